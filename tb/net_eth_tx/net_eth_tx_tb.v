// SPDX-License-Identifier: Apache-2.0
// net_eth_tx with the tables of net_eth_rx and net_link that it asks while it makes a header: entry p of each vector answers for peer p.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_eth_tx_tb #(
    parameter PEERS_N  = 8,
    parameter CELLS    = 16,
    parameter WINDOW_N = 8,
    parameter UDP_PORT = 17996,
    parameter PEER_W   = $clog2(PEERS_N)
) (
    input  wire                  clk,
    input  wire                  rst,
    input  wire [15:0]           id_node,
    input  wire [47:0]           id_mac,
    input  wire [31:0]           id_ip,
    input  wire [7:0]            id_cluster,
    input  wire [511:0]          s_axis_tdata,
    input  wire [63:0]           s_axis_tkeep,
    input  wire [79:0]           s_axis_tuser,
    input  wire                  s_axis_tlast,
    input  wire                  s_axis_tvalid,
    output wire                  s_axis_tready,
    output wire                  room,
    input  wire [PEERS_N*24-1:0] t_expected,
    input  wire [PEERS_N*8-1:0]  t_credit,
    input  wire [PEERS_N*8-1:0]  t_mine,
    input  wire [PEERS_N*8-1:0]  t_theirs,
    output wire                  hd_sent,
    output wire [PEER_W-1:0]     hd_sent_peer,
    output wire                  hd_sent_nack,
    output wire [4:0]            hd_sent_type,
    input  wire [PEERS_N-1:0]    ack_due,
    input  wire [PEERS_N-1:0]    nack_due,
    input  wire [PEERS_N-1:0]    hello_due,
    input  wire [PEERS_N-1:0]    helloack_due,
    input  wire                  ev_valid,
    input  wire [PEER_W-1:0]     ev_peer,
    input  wire [4:0]            ev_type,
    input  wire [23:0]           ev_ack,
    input  wire [7:0]            ev_credit,
    input  wire                  ev_right,
    input  wire [PEERS_N-1:0]    up,
    input  wire [PEERS_N-1:0]    discard,
    input  wire                  link_reset,
    input  wire [PEER_W-1:0]     link_reset_peer,
    input  wire                  goback_valid,
    input  wire [PEER_W-1:0]     goback_peer,
    output wire [PEERS_N-1:0]    outstanding,
    output wire [PEERS_N-1:0]    waiting,
    output wire                  progress_valid,
    output wire [PEER_W-1:0]     progress_peer,
    input  wire [511:0]          rp_axis_tdata,
    input  wire [63:0]           rp_axis_tkeep,
    input  wire                  rp_axis_tlast,
    input  wire                  rp_axis_tvalid,
    output wire                  rp_axis_tready,
    output wire [511:0]          mac_tx_tdata,
    output wire [63:0]           mac_tx_tkeep,
    output wire                  mac_tx_tlast,
    output wire                  mac_tx_tvalid,
    input  wire                  mac_tx_tready,
    input  wire                  cfg_we,
    input  wire [27:0]           cfg_addr,
    input  wire [88:0]           cfg_data,
    output wire [16*32-1:0]      sts_count,
    output wire [31:0]           sts_lost,
    output wire                  sts_busy
);

wire [PEER_W-1:0] hd_peer, lk_hd_peer;

net_eth_tx #(.PEERS_N(PEERS_N), .CELLS(CELLS), .WINDOW_N(WINDOW_N), .UDP_PORT(UDP_PORT)) u_tx (
    .clk(clk), .rst(rst), .id_node(id_node), .id_mac(id_mac), .id_ip(id_ip), .id_cluster(id_cluster),
    .s_axis_tdata(s_axis_tdata), .s_axis_tkeep(s_axis_tkeep), .s_axis_tuser(s_axis_tuser), .s_axis_tlast(s_axis_tlast),
    .s_axis_tvalid(s_axis_tvalid), .s_axis_tready(s_axis_tready), .s_axis_room(room),
    .hd_peer(hd_peer), .hd_expected(t_expected[hd_peer*24 +: 24]), .hd_credit(t_credit[hd_peer*8 +: 8]), .hd_none(1'b0),
    .hd_sent(hd_sent), .hd_sent_peer(hd_sent_peer), .hd_sent_nack(hd_sent_nack), .ack_due(ack_due), .nack_due(nack_due),
    .ev_valid(ev_valid), .ev_peer(ev_peer), .ev_type(ev_type), .ev_ack(ev_ack), .ev_credit(ev_credit), .ev_right(ev_right),
    .lk_hd_peer(lk_hd_peer), .lk_hd_mine(t_mine[lk_hd_peer*8 +: 8]), .lk_hd_theirs(t_theirs[lk_hd_peer*8 +: 8]),
    .up(up), .discard(discard), .link_reset(link_reset), .link_reset_peer(link_reset_peer),
    .hello_due(hello_due), .helloack_due(helloack_due), .hd_sent_type(hd_sent_type),
    .goback_valid(goback_valid), .goback_peer(goback_peer), .outstanding(outstanding), .waiting(waiting),
    .progress_valid(progress_valid), .progress_peer(progress_peer),
    .rp_axis_tdata(rp_axis_tdata), .rp_axis_tkeep(rp_axis_tkeep), .rp_axis_tlast(rp_axis_tlast),
    .rp_axis_tvalid(rp_axis_tvalid), .rp_axis_tready(rp_axis_tready),
    .mac_tx_tdata(mac_tx_tdata), .mac_tx_tkeep(mac_tx_tkeep), .mac_tx_tlast(mac_tx_tlast),
    .mac_tx_tvalid(mac_tx_tvalid), .mac_tx_tready(mac_tx_tready),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data),
    .sts_count(sts_count), .sts_lost(sts_lost), .sts_busy(sts_busy)
);

endmodule

`resetall
