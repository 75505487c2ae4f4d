// SPDX-License-Identifier: Apache-2.0
// Ethernet port of a node: messages of the switch to frames of the MAC and back. See net_eth_tx and net_eth_rx.
//
// Latency and rate: those of the two sides. Configuration: memory 0 PEERS, memory 1 PEER (both sides).
// sts_count: 7 words of net_eth_tx, then 21 of net_eth_rx. It has no retransmission: a sequence error is reported, not repaired.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_eth #(
    parameter TX_CELLS = 32,    // see net_eth_tx
    parameter RX_CELLS = 64,    // see net_eth_rx
    parameter UDP_PORT = 17996  // both ports of a frame
) (
    input  wire          clk,
    input  wire          rst,
    input  wire [15:0]   id_node,
    input  wire [47:0]   id_mac,
    input  wire [31:0]   id_ip,

    input  wire [511:0]  s_axis_tdata,
    input  wire [63:0]   s_axis_tkeep,
    input  wire [79:0]   s_axis_tuser,
    input  wire          s_axis_tlast,
    input  wire          s_axis_tvalid,
    output wire          s_axis_tready,

    output wire [511:0]  m_axis_tdata,
    output wire [63:0]   m_axis_tkeep,
    output wire [79:0]   m_axis_tuser,
    output wire          m_axis_tlast,
    output wire          m_axis_tvalid,
    input  wire          m_axis_tready,

    output wire [511:0]  mac_tx_tdata,
    output wire [63:0]   mac_tx_tkeep,
    output wire          mac_tx_tlast,
    output wire          mac_tx_tvalid,
    input  wire          mac_tx_tready,

    input  wire [511:0]  mac_rx_tdata,
    input  wire [63:0]   mac_rx_tkeep,
    input  wire          mac_rx_tlast,
    input  wire          mac_rx_tvalid,
    input  wire          mac_rx_tuser,

    input  wire          cfg_we,
    input  wire [27:0]   cfg_addr,
    input  wire [80:0]   cfg_data,

    output wire [28*32-1:0] sts_count,
    output wire [31:0]   sts_drops,
    output wire          sts_seq_error,
    output wire [15:0]   sts_seq_peer,
    output wire [23:0]   sts_seq_expected,
    output wire [23:0]   sts_seq_got,
    output wire          sts_busy
);

wire [5:0]  ack_peer;
wire [23:0] ack_next;
wire [7:0]  credit;
wire [31:0] tx_drops, rx_drops;
wire        tx_busy, rx_busy;

net_eth_tx #(.CELLS(TX_CELLS), .UDP_PORT(UDP_PORT)) u_tx (
    .clk(clk), .rst(rst), .id_node(id_node), .id_mac(id_mac), .id_ip(id_ip),
    .s_axis_tdata(s_axis_tdata), .s_axis_tkeep(s_axis_tkeep), .s_axis_tuser(s_axis_tuser), .s_axis_tlast(s_axis_tlast),
    .s_axis_tvalid(s_axis_tvalid), .s_axis_tready(s_axis_tready),
    .ack_peer(ack_peer), .ack_next(ack_next), .credit(credit),
    .mac_tx_tdata(mac_tx_tdata), .mac_tx_tkeep(mac_tx_tkeep), .mac_tx_tlast(mac_tx_tlast),
    .mac_tx_tvalid(mac_tx_tvalid), .mac_tx_tready(mac_tx_tready),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data),
    .sts_count(sts_count[7*32-1:0]), .sts_drops(tx_drops), .sts_busy(tx_busy)
);

net_eth_rx #(.CELLS(RX_CELLS), .UDP_PORT(UDP_PORT)) u_rx (
    .clk(clk), .rst(rst), .id_mac(id_mac), .id_ip(id_ip),
    .mac_rx_tdata(mac_rx_tdata), .mac_rx_tkeep(mac_rx_tkeep), .mac_rx_tlast(mac_rx_tlast),
    .mac_rx_tvalid(mac_rx_tvalid), .mac_rx_tuser(mac_rx_tuser),
    .m_axis_tdata(m_axis_tdata), .m_axis_tkeep(m_axis_tkeep), .m_axis_tuser(m_axis_tuser), .m_axis_tlast(m_axis_tlast),
    .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready),
    .ack_peer(ack_peer), .ack_next(ack_next), .credit(credit),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data),
    .sts_count(sts_count[28*32-1:7*32]), .sts_drops(rx_drops),
    .sts_seq_error(sts_seq_error), .sts_seq_peer(sts_seq_peer), .sts_seq_expected(sts_seq_expected), .sts_seq_got(sts_seq_got),
    .sts_busy(rx_busy)
);

assign sts_drops = tx_drops + rx_drops;
assign sts_busy  = tx_busy || rx_busy;

endmodule

`resetall
