// SPDX-License-Identifier: Apache-2.0
// Two Ethernet ports cabled to each other: messages into one come out of the other. Node 1 is a, node 2 is b. No other logic.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_eth_pair #(
    parameter TX_CELLS = 32,
    parameter RX_CELLS = 64
) (
    input  wire          clk,
    input  wire          rst,
    input  wire [511:0]  sa_axis_tdata,
    input  wire [63:0]   sa_axis_tkeep,
    input  wire [79:0]   sa_axis_tuser,
    input  wire          sa_axis_tlast,
    input  wire          sa_axis_tvalid,
    output wire          sa_axis_tready,
    output wire [511:0]  ma_axis_tdata,
    output wire [63:0]   ma_axis_tkeep,
    output wire [79:0]   ma_axis_tuser,
    output wire          ma_axis_tlast,
    output wire          ma_axis_tvalid,
    input  wire          ma_axis_tready,
    input  wire [511:0]  sb_axis_tdata,
    input  wire [63:0]   sb_axis_tkeep,
    input  wire [79:0]   sb_axis_tuser,
    input  wire          sb_axis_tlast,
    input  wire          sb_axis_tvalid,
    output wire          sb_axis_tready,
    output wire [511:0]  mb_axis_tdata,
    output wire [63:0]   mb_axis_tkeep,
    output wire [79:0]   mb_axis_tuser,
    output wire          mb_axis_tlast,
    output wire          mb_axis_tvalid,
    input  wire          mb_axis_tready,
    output wire [511:0]  ab_tdata,      // the cable from a to b
    output wire [63:0]   ab_tkeep,
    output wire          ab_tlast,
    output wire          ab_tvalid,
    input  wire          cfg_we,
    input  wire [27:0]   cfg_addr,
    input  wire [511:0]  cfg_data,
    output wire [895:0]  sts_count_a,
    output wire [895:0]  sts_count_b,
    output wire [1:0]    sts_seq_error,
    output wire [1:0]    sts_busy
);

wire [511:0] ba_tdata;
wire [63:0]  ba_tkeep;
wire         ba_tlast, ba_tvalid;

net_eth #(.TX_CELLS(TX_CELLS), .RX_CELLS(RX_CELLS)) u_a (
    .clk(clk), .rst(rst), .id_node(16'd1), .id_mac(48'h02464c000011), .id_ip(32'h0a021167),
    .s_axis_tdata(sa_axis_tdata), .s_axis_tkeep(sa_axis_tkeep), .s_axis_tuser(sa_axis_tuser), .s_axis_tlast(sa_axis_tlast),
    .s_axis_tvalid(sa_axis_tvalid), .s_axis_tready(sa_axis_tready),
    .m_axis_tdata(ma_axis_tdata), .m_axis_tkeep(ma_axis_tkeep), .m_axis_tuser(ma_axis_tuser), .m_axis_tlast(ma_axis_tlast),
    .m_axis_tvalid(ma_axis_tvalid), .m_axis_tready(ma_axis_tready),
    .mac_tx_tdata(ab_tdata), .mac_tx_tkeep(ab_tkeep), .mac_tx_tlast(ab_tlast), .mac_tx_tvalid(ab_tvalid), .mac_tx_tready(1'b1),
    .mac_rx_tdata(ba_tdata), .mac_rx_tkeep(ba_tkeep), .mac_rx_tlast(ba_tlast), .mac_rx_tvalid(ba_tvalid), .mac_rx_tuser(1'b0),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data[80:0]),
    .sts_count(sts_count_a), .sts_drops(), .sts_seq_error(sts_seq_error[0]), .sts_seq_peer(), .sts_seq_expected(),
    .sts_seq_got(), .sts_busy(sts_busy[0])
);

net_eth #(.TX_CELLS(TX_CELLS), .RX_CELLS(RX_CELLS)) u_b (
    .clk(clk), .rst(rst), .id_node(16'd2), .id_mac(48'h02464c000012), .id_ip(32'h0a0224be),
    .s_axis_tdata(sb_axis_tdata), .s_axis_tkeep(sb_axis_tkeep), .s_axis_tuser(sb_axis_tuser), .s_axis_tlast(sb_axis_tlast),
    .s_axis_tvalid(sb_axis_tvalid), .s_axis_tready(sb_axis_tready),
    .m_axis_tdata(mb_axis_tdata), .m_axis_tkeep(mb_axis_tkeep), .m_axis_tuser(mb_axis_tuser), .m_axis_tlast(mb_axis_tlast),
    .m_axis_tvalid(mb_axis_tvalid), .m_axis_tready(mb_axis_tready),
    .mac_tx_tdata(ba_tdata), .mac_tx_tkeep(ba_tkeep), .mac_tx_tlast(ba_tlast), .mac_tx_tvalid(ba_tvalid), .mac_tx_tready(1'b1),
    .mac_rx_tdata(ab_tdata), .mac_rx_tkeep(ab_tkeep), .mac_rx_tlast(ab_tlast), .mac_rx_tvalid(ab_tvalid), .mac_rx_tuser(1'b0),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data[80:0]),
    .sts_count(sts_count_b), .sts_drops(), .sts_seq_error(sts_seq_error[1]), .sts_seq_peer(), .sts_seq_expected(),
    .sts_seq_got(), .sts_busy(sts_busy[1])
);

endmodule

`resetall
