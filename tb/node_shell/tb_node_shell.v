// SPDX-License-Identifier: Apache-2.0
// node_shell with a name for each port's signals; of one port the signals p1_* do nothing.
`resetall
`timescale 1ns/1ps
`default_nettype none

module tb_node_shell #(
    parameter PORTS_N  = 1,
    parameter TX_DEPTH = 64,
    parameter RX_DEPTH = 512
) (
    input  wire         clk,
    input  wire         arst,
    output wire         rst,

    input  wire [511:0] p0_mac_tx_tdata,
    input  wire [63:0]  p0_mac_tx_tkeep,
    input  wire         p0_mac_tx_tlast,
    input  wire         p0_mac_tx_tvalid,
    output wire         p0_mac_tx_tready,
    output wire [511:0] p0_mac_rx_tdata,
    output wire [63:0]  p0_mac_rx_tkeep,
    output wire         p0_mac_rx_tlast,
    output wire         p0_mac_rx_tvalid,
    output wire         p0_mac_rx_tuser,
    output wire         p0_sts_link,
    output wire [31:0]  p0_sts_rx_dropped,
    output wire [31:0]  p0_sts_rx_bad,
    input  wire         p0_mac_clk,
    input  wire         p0_mac_tx_rst,
    input  wire         p0_mac_rx_rst,
    input  wire         p0_stat_rx_aligned,
    output wire         p0_ctl_rx_enable,
    output wire         p0_ctl_tx_enable,
    output wire         p0_ctl_tx_send_rfi,
    output wire [511:0] p0_cmac_tx_tdata,
    output wire [63:0]  p0_cmac_tx_tkeep,
    output wire         p0_cmac_tx_tlast,
    output wire         p0_cmac_tx_tuser,
    output wire         p0_cmac_tx_tvalid,
    input  wire         p0_cmac_tx_tready,
    input  wire [511:0] p0_cmac_rx_tdata,
    input  wire [63:0]  p0_cmac_rx_tkeep,
    input  wire         p0_cmac_rx_tlast,
    input  wire         p0_cmac_rx_tuser,
    input  wire         p0_cmac_rx_tvalid,

    input  wire [511:0] p1_mac_tx_tdata,
    input  wire [63:0]  p1_mac_tx_tkeep,
    input  wire         p1_mac_tx_tlast,
    input  wire         p1_mac_tx_tvalid,
    output wire         p1_mac_tx_tready,
    output wire [511:0] p1_mac_rx_tdata,
    output wire [63:0]  p1_mac_rx_tkeep,
    output wire         p1_mac_rx_tlast,
    output wire         p1_mac_rx_tvalid,
    output wire         p1_mac_rx_tuser,
    output wire         p1_sts_link,
    output wire [31:0]  p1_sts_rx_dropped,
    output wire [31:0]  p1_sts_rx_bad,
    input  wire         p1_mac_clk,
    input  wire         p1_mac_tx_rst,
    input  wire         p1_mac_rx_rst,
    input  wire         p1_stat_rx_aligned,
    output wire         p1_ctl_rx_enable,
    output wire         p1_ctl_tx_enable,
    output wire         p1_ctl_tx_send_rfi,
    output wire [511:0] p1_cmac_tx_tdata,
    output wire [63:0]  p1_cmac_tx_tkeep,
    output wire         p1_cmac_tx_tlast,
    output wire         p1_cmac_tx_tuser,
    output wire         p1_cmac_tx_tvalid,
    input  wire         p1_cmac_tx_tready,
    input  wire [511:0] p1_cmac_rx_tdata,
    input  wire [63:0]  p1_cmac_rx_tkeep,
    input  wire         p1_cmac_rx_tlast,
    input  wire         p1_cmac_rx_tuser,
    input  wire         p1_cmac_rx_tvalid
);

wire [1023:0] n_tx_tdata  = {p1_mac_tx_tdata, p0_mac_tx_tdata};
wire [127:0]  n_tx_tkeep  = {p1_mac_tx_tkeep, p0_mac_tx_tkeep};
wire [1:0]    n_tx_tlast  = {p1_mac_tx_tlast, p0_mac_tx_tlast};
wire [1:0]    n_tx_tvalid = {p1_mac_tx_tvalid, p0_mac_tx_tvalid};
wire [1023:0] c_rx_tdata  = {p1_cmac_rx_tdata, p0_cmac_rx_tdata};
wire [127:0]  c_rx_tkeep  = {p1_cmac_rx_tkeep, p0_cmac_rx_tkeep};
wire [1:0]    c_rx_tlast  = {p1_cmac_rx_tlast, p0_cmac_rx_tlast};
wire [1:0]    c_rx_tuser  = {p1_cmac_rx_tuser, p0_cmac_rx_tuser};
wire [1:0]    c_rx_tvalid = {p1_cmac_rx_tvalid, p0_cmac_rx_tvalid};
wire [1:0]    c_tx_tready = {p1_cmac_tx_tready, p0_cmac_tx_tready};
wire [1:0]    c_clk       = {p1_mac_clk, p0_mac_clk};
wire [1:0]    c_tx_rst    = {p1_mac_tx_rst, p0_mac_tx_rst};
wire [1:0]    c_rx_rst    = {p1_mac_rx_rst, p0_mac_rx_rst};
wire [1:0]    c_aligned   = {p1_stat_rx_aligned, p0_stat_rx_aligned};
wire [1023:0] n_rx_tdata, c_tx_tdata;
wire [127:0]  n_rx_tkeep, c_tx_tkeep;
wire [63:0]   dropped, bad;
wire [1:0]    n_rx_tlast, n_rx_tvalid, n_rx_tuser, n_tx_tready, link;
wire [1:0]    c_tx_tlast, c_tx_tuser, c_tx_tvalid, rx_enable, tx_enable, send_rfi;

assign {p1_mac_rx_tdata, p0_mac_rx_tdata}       = n_rx_tdata;
assign {p1_mac_rx_tkeep, p0_mac_rx_tkeep}       = n_rx_tkeep;
assign {p1_mac_rx_tlast, p0_mac_rx_tlast}       = n_rx_tlast;
assign {p1_mac_rx_tvalid, p0_mac_rx_tvalid}     = n_rx_tvalid;
assign {p1_mac_rx_tuser, p0_mac_rx_tuser}       = n_rx_tuser;
assign {p1_mac_tx_tready, p0_mac_tx_tready}     = n_tx_tready;
assign {p1_sts_link, p0_sts_link}               = link;
assign {p1_sts_rx_dropped, p0_sts_rx_dropped}   = dropped;
assign {p1_sts_rx_bad, p0_sts_rx_bad}           = bad;
assign {p1_ctl_rx_enable, p0_ctl_rx_enable}     = rx_enable;
assign {p1_ctl_tx_enable, p0_ctl_tx_enable}     = tx_enable;
assign {p1_ctl_tx_send_rfi, p0_ctl_tx_send_rfi} = send_rfi;
assign {p1_cmac_tx_tdata, p0_cmac_tx_tdata}     = c_tx_tdata;
assign {p1_cmac_tx_tkeep, p0_cmac_tx_tkeep}     = c_tx_tkeep;
assign {p1_cmac_tx_tlast, p0_cmac_tx_tlast}     = c_tx_tlast;
assign {p1_cmac_tx_tuser, p0_cmac_tx_tuser}     = c_tx_tuser;
assign {p1_cmac_tx_tvalid, p0_cmac_tx_tvalid}   = c_tx_tvalid;

node_shell #(.PORTS_N(PORTS_N), .TX_DEPTH(TX_DEPTH), .RX_DEPTH(RX_DEPTH)) u_shell (
    .clk(clk), .arst(arst), .rst(rst),
    .mac_tx_tdata(n_tx_tdata[PORTS_N*512-1:0]), .mac_tx_tkeep(n_tx_tkeep[PORTS_N*64-1:0]), .mac_tx_tlast(n_tx_tlast[PORTS_N-1:0]),
    .mac_tx_tvalid(n_tx_tvalid[PORTS_N-1:0]), .mac_tx_tready(n_tx_tready[PORTS_N-1:0]),
    .mac_rx_tdata(n_rx_tdata[PORTS_N*512-1:0]), .mac_rx_tkeep(n_rx_tkeep[PORTS_N*64-1:0]), .mac_rx_tlast(n_rx_tlast[PORTS_N-1:0]),
    .mac_rx_tvalid(n_rx_tvalid[PORTS_N-1:0]), .mac_rx_tuser(n_rx_tuser[PORTS_N-1:0]),
    .sts_link(link[PORTS_N-1:0]), .sts_rx_dropped(dropped[PORTS_N*32-1:0]), .sts_rx_bad(bad[PORTS_N*32-1:0]),
    .mac_clk(c_clk[PORTS_N-1:0]), .mac_tx_rst(c_tx_rst[PORTS_N-1:0]), .mac_rx_rst(c_rx_rst[PORTS_N-1:0]),
    .stat_rx_aligned(c_aligned[PORTS_N-1:0]),
    .ctl_rx_enable(rx_enable[PORTS_N-1:0]), .ctl_tx_enable(tx_enable[PORTS_N-1:0]), .ctl_tx_send_rfi(send_rfi[PORTS_N-1:0]),
    .cmac_tx_tdata(c_tx_tdata[PORTS_N*512-1:0]), .cmac_tx_tkeep(c_tx_tkeep[PORTS_N*64-1:0]), .cmac_tx_tlast(c_tx_tlast[PORTS_N-1:0]),
    .cmac_tx_tuser(c_tx_tuser[PORTS_N-1:0]), .cmac_tx_tvalid(c_tx_tvalid[PORTS_N-1:0]), .cmac_tx_tready(c_tx_tready[PORTS_N-1:0]),
    .cmac_rx_tdata(c_rx_tdata[PORTS_N*512-1:0]), .cmac_rx_tkeep(c_rx_tkeep[PORTS_N*64-1:0]), .cmac_rx_tlast(c_rx_tlast[PORTS_N-1:0]),
    .cmac_rx_tuser(c_rx_tuser[PORTS_N-1:0]), .cmac_rx_tvalid(c_rx_tvalid[PORTS_N-1:0])
);

endmodule

`resetall
