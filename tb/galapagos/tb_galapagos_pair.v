// SPDX-License-Identifier: Apache-2.0
// Both ends of a Galapagos stream beside each other: messages in -> axis_galapagos_out -> packets out, packets in -> axis_galapagos_in ->
// messages out. The bench is the router between them. TDEST and TID are on p_axis_tuser, {TID, TDEST, TUSER}, for one monitor.
//
// Receivers: kernel k below 64 has the Galapagos number k + 3; 224 has 5, 6, 7; 225 has 9; nobody else.
`resetall
`timescale 1ns/1ps
`default_nettype none

module tb_galapagos_pair #(
    parameter DEST_W = 24,
    parameter USER_W = 16
) (
    input  wire                       clk,
    input  wire                       rst,
    input  wire [7:0]                 id_cluster,
    input  wire [DEST_W-1:0]          id,

    input  wire [511:0]               s_axis_tdata,
    input  wire [63:0]                s_axis_tkeep,
    input  wire [79:0]                s_axis_tuser,
    input  wire                       s_axis_tlast,
    input  wire                       s_axis_tvalid,
    output wire                       s_axis_tready,

    output wire [511:0]               p_axis_tdata,
    output wire [63:0]                p_axis_tkeep,
    output wire [2*DEST_W+USER_W-1:0] p_axis_tuser,
    output wire                       p_axis_tlast,
    output wire                       p_axis_tvalid,
    input  wire                       p_axis_tready,
    output wire [31:0]                sts_drops_out,

    input  wire [511:0]               g_axis_tdata,
    input  wire [63:0]                g_axis_tkeep,
    input  wire                       g_axis_tlast,
    input  wire                       g_axis_tvalid,
    output wire                       g_axis_tready,

    output wire [511:0]               m_axis_tdata,
    output wire [63:0]                m_axis_tkeep,
    output wire [79:0]                m_axis_tuser,
    output wire                       m_axis_tlast,
    output wire                       m_axis_tvalid,
    input  wire                       m_axis_tready,

    output wire                       cfg_we,
    output wire [27:0]                cfg_addr,
    output wire [511:0]               cfg_data,
    output wire                       flush_valid,
    output wire [3:0]                 flush_slot,
    output wire [3:0]                 flush_gen,
    output wire [31:0]                sts_drops_in
);

wire [7:0]        sel_kernel, sel_index;
reg               sel_valid, sel_last;
reg  [DEST_W-1:0] sel_dest;

always @* begin
    sel_valid = sel_kernel < 8'd64 || sel_kernel == 8'd224 || sel_kernel == 8'd225;
    sel_last  = sel_kernel != 8'd224 || sel_index == 8'd2;
    sel_dest  = {{(DEST_W-8){1'b0}}, sel_kernel} + {{(DEST_W-2){1'b0}}, 2'd3};
    if (sel_kernel == 8'd224) sel_dest = {{(DEST_W-8){1'b0}}, sel_index} + {{(DEST_W-3){1'b0}}, 3'd5};
    if (sel_kernel == 8'd225) sel_dest = {{(DEST_W-4){1'b0}}, 4'd9};
end

axis_galapagos_out #(.DEST_W(DEST_W), .USER_W(USER_W)) u_out (
    .clk(clk), .rst(rst), .id_cluster(id_cluster), .id(id),
    .s_axis_tdata(s_axis_tdata), .s_axis_tkeep(s_axis_tkeep), .s_axis_tuser(s_axis_tuser), .s_axis_tlast(s_axis_tlast),
    .s_axis_tvalid(s_axis_tvalid), .s_axis_tready(s_axis_tready),
    .m_axis_tdata(p_axis_tdata), .m_axis_tkeep(p_axis_tkeep), .m_axis_tdest(p_axis_tuser[USER_W +: DEST_W]),
    .m_axis_tid(p_axis_tuser[USER_W+DEST_W +: DEST_W]), .m_axis_tuser(p_axis_tuser[0 +: USER_W]), .m_axis_tlast(p_axis_tlast),
    .m_axis_tvalid(p_axis_tvalid), .m_axis_tready(p_axis_tready),
    .sel_kernel(sel_kernel), .sel_index(sel_index), .sel_valid(sel_valid), .sel_last(sel_last), .sel_dest(sel_dest),
    .sts_drops(sts_drops_out)
);

axis_galapagos_in u_in (
    .clk(clk), .rst(rst),
    .s_axis_tdata(g_axis_tdata), .s_axis_tkeep(g_axis_tkeep), .s_axis_tlast(g_axis_tlast),
    .s_axis_tvalid(g_axis_tvalid), .s_axis_tready(g_axis_tready),
    .m_axis_tdata(m_axis_tdata), .m_axis_tkeep(m_axis_tkeep), .m_axis_tuser(m_axis_tuser), .m_axis_tlast(m_axis_tlast),
    .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data),
    .flush_valid(flush_valid), .flush_slot(flush_slot), .flush_gen(flush_gen), .sts_drops(sts_drops_in)
);

endmodule

`resetall
