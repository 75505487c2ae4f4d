// SPDX-License-Identifier: Apache-2.0
// net_switch under stream names of its own for each port, for the stream classes of the bench. Ports from PORTS on are not connected.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_switch_tb #(
    parameter PORTS     = 5,
    parameter DATA_W    = 512,
    parameter CELLS     = 64,
    parameter BEATS     = 16,
    parameter NO_RETURN = 16,
    parameter CUT       = 16,
    parameter OVERDUE_W = 9
) (
    input  wire                clk,
    input  wire                rst,
    input  wire [7:0]          id_cluster,
    input  wire [DATA_W-1:0]   s0_axis_tdata,
    input  wire [DATA_W/8-1:0] s0_axis_tkeep,
    input  wire [79:0]         s0_axis_tuser,
    input  wire                s0_axis_tlast,
    input  wire                s0_axis_tvalid,
    output wire                s0_axis_tready,
    output wire [DATA_W-1:0]   m0_axis_tdata,
    output wire [DATA_W/8-1:0] m0_axis_tkeep,
    output wire [79:0]         m0_axis_tuser,
    output wire                m0_axis_tlast,
    output wire                m0_axis_tvalid,
    input  wire                m0_axis_tready,
    input  wire [DATA_W-1:0]   s1_axis_tdata,
    input  wire [DATA_W/8-1:0] s1_axis_tkeep,
    input  wire [79:0]         s1_axis_tuser,
    input  wire                s1_axis_tlast,
    input  wire                s1_axis_tvalid,
    output wire                s1_axis_tready,
    output wire [DATA_W-1:0]   m1_axis_tdata,
    output wire [DATA_W/8-1:0] m1_axis_tkeep,
    output wire [79:0]         m1_axis_tuser,
    output wire                m1_axis_tlast,
    output wire                m1_axis_tvalid,
    input  wire                m1_axis_tready,
    input  wire [DATA_W-1:0]   s2_axis_tdata,
    input  wire [DATA_W/8-1:0] s2_axis_tkeep,
    input  wire [79:0]         s2_axis_tuser,
    input  wire                s2_axis_tlast,
    input  wire                s2_axis_tvalid,
    output wire                s2_axis_tready,
    output wire [DATA_W-1:0]   m2_axis_tdata,
    output wire [DATA_W/8-1:0] m2_axis_tkeep,
    output wire [79:0]         m2_axis_tuser,
    output wire                m2_axis_tlast,
    output wire                m2_axis_tvalid,
    input  wire                m2_axis_tready,
    input  wire [DATA_W-1:0]   s3_axis_tdata,
    input  wire [DATA_W/8-1:0] s3_axis_tkeep,
    input  wire [79:0]         s3_axis_tuser,
    input  wire                s3_axis_tlast,
    input  wire                s3_axis_tvalid,
    output wire                s3_axis_tready,
    output wire [DATA_W-1:0]   m3_axis_tdata,
    output wire [DATA_W/8-1:0] m3_axis_tkeep,
    output wire [79:0]         m3_axis_tuser,
    output wire                m3_axis_tlast,
    output wire                m3_axis_tvalid,
    input  wire                m3_axis_tready,
    input  wire [DATA_W-1:0]   s4_axis_tdata,
    input  wire [DATA_W/8-1:0] s4_axis_tkeep,
    input  wire [79:0]         s4_axis_tuser,
    input  wire                s4_axis_tlast,
    input  wire                s4_axis_tvalid,
    output wire                s4_axis_tready,
    output wire [DATA_W-1:0]   m4_axis_tdata,
    output wire [DATA_W/8-1:0] m4_axis_tkeep,
    output wire [79:0]         m4_axis_tuser,
    output wire                m4_axis_tlast,
    output wire                m4_axis_tvalid,
    input  wire                m4_axis_tready,
    input  wire [DATA_W-1:0]   s5_axis_tdata,
    input  wire [DATA_W/8-1:0] s5_axis_tkeep,
    input  wire [79:0]         s5_axis_tuser,
    input  wire                s5_axis_tlast,
    input  wire                s5_axis_tvalid,
    output wire                s5_axis_tready,
    output wire [DATA_W-1:0]   m5_axis_tdata,
    output wire [DATA_W/8-1:0] m5_axis_tkeep,
    output wire [79:0]         m5_axis_tuser,
    output wire                m5_axis_tlast,
    output wire                m5_axis_tvalid,
    input  wire                m5_axis_tready,
    input  wire [DATA_W-1:0]   s6_axis_tdata,
    input  wire [DATA_W/8-1:0] s6_axis_tkeep,
    input  wire [79:0]         s6_axis_tuser,
    input  wire                s6_axis_tlast,
    input  wire                s6_axis_tvalid,
    output wire                s6_axis_tready,
    output wire [DATA_W-1:0]   m6_axis_tdata,
    output wire [DATA_W/8-1:0] m6_axis_tkeep,
    output wire [79:0]         m6_axis_tuser,
    output wire                m6_axis_tlast,
    output wire                m6_axis_tvalid,
    input  wire                m6_axis_tready,
    input  wire                cfg_we,
    input  wire [27:0]         cfg_addr,
    input  wire [511:0]        cfg_data,
    input  wire [6:0]          room,
    output wire [7*256-1:0]    sts_count,
    output wire [31:0]         sts_drops,
    output wire                sts_busy
);

wire [7*DATA_W-1:0]   s_tdata, m_tdata;
wire [7*DATA_W/8-1:0] s_tkeep, m_tkeep;
wire [7*80-1:0]       s_tuser, m_tuser;
wire [6:0]            s_tlast, s_tvalid, s_tready, m_tlast, m_tvalid, m_tready;

assign s_tdata = {s6_axis_tdata, s5_axis_tdata, s4_axis_tdata, s3_axis_tdata, s2_axis_tdata, s1_axis_tdata, s0_axis_tdata};
assign {m6_axis_tdata, m5_axis_tdata, m4_axis_tdata, m3_axis_tdata, m2_axis_tdata, m1_axis_tdata, m0_axis_tdata} = m_tdata;
assign s_tkeep = {s6_axis_tkeep, s5_axis_tkeep, s4_axis_tkeep, s3_axis_tkeep, s2_axis_tkeep, s1_axis_tkeep, s0_axis_tkeep};
assign {m6_axis_tkeep, m5_axis_tkeep, m4_axis_tkeep, m3_axis_tkeep, m2_axis_tkeep, m1_axis_tkeep, m0_axis_tkeep} = m_tkeep;
assign s_tuser = {s6_axis_tuser, s5_axis_tuser, s4_axis_tuser, s3_axis_tuser, s2_axis_tuser, s1_axis_tuser, s0_axis_tuser};
assign {m6_axis_tuser, m5_axis_tuser, m4_axis_tuser, m3_axis_tuser, m2_axis_tuser, m1_axis_tuser, m0_axis_tuser} = m_tuser;
assign s_tlast = {s6_axis_tlast, s5_axis_tlast, s4_axis_tlast, s3_axis_tlast, s2_axis_tlast, s1_axis_tlast, s0_axis_tlast};
assign {m6_axis_tlast, m5_axis_tlast, m4_axis_tlast, m3_axis_tlast, m2_axis_tlast, m1_axis_tlast, m0_axis_tlast} = m_tlast;
assign s_tvalid = {s6_axis_tvalid, s5_axis_tvalid, s4_axis_tvalid, s3_axis_tvalid, s2_axis_tvalid, s1_axis_tvalid, s0_axis_tvalid};
assign {m6_axis_tvalid, m5_axis_tvalid, m4_axis_tvalid, m3_axis_tvalid, m2_axis_tvalid, m1_axis_tvalid, m0_axis_tvalid} = m_tvalid;
assign {s6_axis_tready, s5_axis_tready, s4_axis_tready, s3_axis_tready, s2_axis_tready, s1_axis_tready, s0_axis_tready} = s_tready;
assign m_tready = {m6_axis_tready, m5_axis_tready, m4_axis_tready, m3_axis_tready, m2_axis_tready, m1_axis_tready, m0_axis_tready};

net_switch #(
    .PORTS(PORTS), .DATA_W(DATA_W), .CELLS(CELLS), .BEATS(BEATS), .NO_RETURN(NO_RETURN), .CUT(CUT), .OVERDUE_W(OVERDUE_W)
) u_switch (
    .clk(clk), .rst(rst), .id_cluster(id_cluster),
    .s_axis_tdata(s_tdata[PORTS*DATA_W-1:0]), .s_axis_tkeep(s_tkeep[PORTS*DATA_W/8-1:0]), .s_axis_tuser(s_tuser[PORTS*80-1:0]),
    .s_axis_tlast(s_tlast[PORTS-1:0]), .s_axis_tvalid(s_tvalid[PORTS-1:0]), .s_axis_tready(s_tready[PORTS-1:0]),
    .m_axis_tdata(m_tdata[PORTS*DATA_W-1:0]), .m_axis_tkeep(m_tkeep[PORTS*DATA_W/8-1:0]), .m_axis_tuser(m_tuser[PORTS*80-1:0]),
    .m_axis_tlast(m_tlast[PORTS-1:0]), .m_axis_tvalid(m_tvalid[PORTS-1:0]), .m_axis_room(room[PORTS-1:0]), .m_axis_tready(m_tready[PORTS-1:0]),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data[PORTS-1:0]),
    .sts_count(sts_count[PORTS*256-1:0]), .sts_drops(sts_drops), .sts_busy(sts_busy)
);

endmodule

`resetall
