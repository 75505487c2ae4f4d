// SPDX-License-Identifier: Apache-2.0
// Ethernet port of a node: messages of the switch to frames of the MAC and back, nothing lost, nothing foreign let in. Rules: docs/transport.md.
//
//   net_eth_tx, net_link, net_eth_rx, net_respond; no logic of its own but the marks of restarted peers
//
// Latency and rate: those of the parts; port to port, MAC to MAC: header out 9 cycles after the last beat in, message out 6 after the frame's last
// beat.
// Configuration: memory 0 PEERS, 1 PEER, 2 REGISTER (docs/transport.md, section 6); reset clears the first two, and gives the registers their
// defaults.
// sts_count, 64 words: 0-15 net_eth_tx, 16-46 net_eth_rx, 48-51 net_link; masks of peers, low and high word: 52, 53 up, 54, 55 failed, 56, 57
// restarted since reset; the others 0. sts_restarted: one pulse per restart.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_eth #(
    parameter PEERS_N  = 64,    // peers. Requires a power of two, 2 to 64
    parameter TX_CELLS = 128,   // see net_eth_tx
    parameter RX_CELLS = 256,   // see net_eth_rx
    parameter WINDOW_N = 64,    // see net_eth_tx
    parameter UDP_PORT = 17996  // both ports of a frame
) (
    input  wire               clk,
    input  wire               rst,
    input  wire [15:0]        id_node,
    input  wire [47:0]        id_mac,
    input  wire [31:0]        id_ip,
    input  wire [7:0]         id_cluster,

    input  wire [511:0]       s_axis_tdata,
    input  wire [63:0]        s_axis_tkeep,
    input  wire [79:0]        s_axis_tuser,
    input  wire               s_axis_tlast,
    input  wire               s_axis_tvalid,
    output wire               s_axis_tready,
    output wire               s_axis_room,      // see net_eth_tx

    output wire [511:0]       m_axis_tdata,
    output wire [63:0]        m_axis_tkeep,
    output wire [79:0]        m_axis_tuser,
    output wire               m_axis_tlast,
    output wire               m_axis_tvalid,
    input  wire               m_axis_tready,

    output wire [511:0]       mac_tx_tdata,
    output wire [63:0]        mac_tx_tkeep,
    output wire               mac_tx_tlast,
    output wire               mac_tx_tvalid,
    input  wire               mac_tx_tready,

    input  wire [511:0]       mac_rx_tdata,
    input  wire [63:0]        mac_rx_tkeep,
    input  wire               mac_rx_tlast,
    input  wire               mac_rx_tvalid,
    input  wire               mac_rx_tuser,

    input  wire               cfg_we,
    input  wire [27:0]        cfg_addr,
    input  wire [88:0]        cfg_data,

    output wire [64*32-1:0]   sts_count,
    output wire [31:0]        sts_lost,         // messages that a peer will not get: no node, malformed, discarded
    output wire [PEERS_N-1:0] sts_up,
    output wire [PEERS_N-1:0] sts_failed,
    output wire [PEERS_N-1:0] sts_restarted,
    output wire               sts_busy
);

localparam PEER_W = $clog2(PEERS_N);

wire              ev_valid, ev_right, lk_ev_valid, lk_ev_right, link_reset, hd_none, hd_sent, hd_sent_nack, goback_valid, progress_valid;
wire [PEER_W-1:0] ev_peer, lk_peer, lk_ev_peer, lk_hd_peer, link_reset_peer, hd_peer, hd_sent_peer, goback_peer, progress_peer;
wire [4:0]        ev_type, lk_ev_type, hd_sent_type;
wire [7:0]        ev_epoch, ev_ack_epoch, ev_credit, lk_ev_credit, lk_mine, lk_theirs, lk_hd_mine, lk_hd_theirs, hd_credit;
wire [23:0]       ev_ack, lk_ev_ack, hd_expected;
wire [PEERS_N-1:0] ack_due, nack_due, hello_due, helloack_due, outstanding, waiting, discard;
wire [511:0]      rq_data, rp_axis_tdata;
wire [63:0]       rq_keep, rp_axis_tkeep;
wire [10:0]       rq_bytes;
wire [2:0]        rs_cause;
wire              rq_valid, rq_first, rq_last, rq_want, rq_arp, rq_icmp, rq_whole, rs_arp, rs_icmp;
wire              rp_axis_tlast, rp_axis_tvalid, rp_axis_tready, tx_busy, rx_busy, respond_busy;

net_eth_tx #(.PEERS_N(PEERS_N), .CELLS(TX_CELLS), .WINDOW_N(WINDOW_N), .UDP_PORT(UDP_PORT)) u_tx (
    .clk(clk), .rst(rst), .id_node(id_node), .id_mac(id_mac), .id_ip(id_ip), .id_cluster(id_cluster),
    .s_axis_tdata(s_axis_tdata), .s_axis_tkeep(s_axis_tkeep), .s_axis_tuser(s_axis_tuser), .s_axis_tlast(s_axis_tlast),
    .s_axis_tvalid(s_axis_tvalid), .s_axis_tready(s_axis_tready), .s_axis_room(s_axis_room),
    .hd_peer(hd_peer), .hd_expected(hd_expected), .hd_credit(hd_credit), .hd_none(hd_none),
    .hd_sent(hd_sent), .hd_sent_peer(hd_sent_peer), .hd_sent_nack(hd_sent_nack), .ack_due(ack_due), .nack_due(nack_due),
    .ev_valid(lk_ev_valid), .ev_peer(lk_ev_peer), .ev_type(lk_ev_type), .ev_ack(lk_ev_ack), .ev_credit(lk_ev_credit), .ev_right(lk_ev_right),
    .lk_hd_peer(lk_hd_peer), .lk_hd_mine(lk_hd_mine), .lk_hd_theirs(lk_hd_theirs), .up(sts_up), .discard(discard),
    .link_reset(link_reset), .link_reset_peer(link_reset_peer), .hello_due(hello_due), .helloack_due(helloack_due), .hd_sent_type(hd_sent_type),
    .goback_valid(goback_valid), .goback_peer(goback_peer), .outstanding(outstanding), .waiting(waiting),
    .progress_valid(progress_valid), .progress_peer(progress_peer),
    .rp_axis_tdata(rp_axis_tdata), .rp_axis_tkeep(rp_axis_tkeep), .rp_axis_tlast(rp_axis_tlast), .rp_axis_tvalid(rp_axis_tvalid),
    .rp_axis_tready(rp_axis_tready),
    .mac_tx_tdata(mac_tx_tdata), .mac_tx_tkeep(mac_tx_tkeep), .mac_tx_tlast(mac_tx_tlast), .mac_tx_tvalid(mac_tx_tvalid),
    .mac_tx_tready(mac_tx_tready),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data),
    .sts_count(sts_count[16*32-1:0]), .sts_lost(sts_lost), .sts_busy(tx_busy)
);

net_link #(.PEERS_N(PEERS_N)) u_link (
    .clk(clk), .rst(rst),
    .ev_valid(ev_valid), .ev_peer(ev_peer), .ev_type(ev_type), .ev_epoch(ev_epoch), .ev_ack_epoch(ev_ack_epoch), .ev_ack(ev_ack),
    .ev_credit(ev_credit), .ev_right(ev_right),
    .lk_peer(lk_peer), .lk_mine(lk_mine), .lk_theirs(lk_theirs), .link_reset(link_reset), .link_reset_peer(link_reset_peer),
    .lk_ev_valid(lk_ev_valid), .lk_ev_peer(lk_ev_peer), .lk_ev_type(lk_ev_type), .lk_ev_ack(lk_ev_ack), .lk_ev_credit(lk_ev_credit),
    .lk_ev_right(lk_ev_right), .lk_hd_peer(lk_hd_peer), .lk_hd_mine(lk_hd_mine), .lk_hd_theirs(lk_hd_theirs), .up(sts_up), .discard(discard),
    .hello_due(hello_due), .helloack_due(helloack_due), .hd_sent(hd_sent), .hd_sent_peer(hd_sent_peer), .hd_sent_type(hd_sent_type),
    .goback_valid(goback_valid), .goback_peer(goback_peer), .outstanding(outstanding), .waiting(waiting),
    .progress_valid(progress_valid), .progress_peer(progress_peer), .failed(sts_failed), .restarted(sts_restarted),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data),
    .sts_count(sts_count[48*32 +: 4*32])
);

net_eth_rx #(.PEERS_N(PEERS_N), .CELLS(RX_CELLS), .UDP_PORT(UDP_PORT)) u_rx (
    .clk(clk), .rst(rst), .id_mac(id_mac), .id_ip(id_ip),
    .mac_rx_tdata(mac_rx_tdata), .mac_rx_tkeep(mac_rx_tkeep), .mac_rx_tlast(mac_rx_tlast), .mac_rx_tvalid(mac_rx_tvalid), .mac_rx_tuser(mac_rx_tuser),
    .m_axis_tdata(m_axis_tdata), .m_axis_tkeep(m_axis_tkeep), .m_axis_tuser(m_axis_tuser), .m_axis_tlast(m_axis_tlast),
    .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready),
    .ev_valid(ev_valid), .ev_peer(ev_peer), .ev_type(ev_type), .ev_epoch(ev_epoch), .ev_ack_epoch(ev_ack_epoch), .ev_ack(ev_ack),
    .ev_credit(ev_credit), .ev_right(ev_right),
    .lk_peer(lk_peer), .lk_mine(lk_mine), .lk_theirs(lk_theirs), .link_reset(link_reset), .link_reset_peer(link_reset_peer),
    .hd_peer(hd_peer), .hd_expected(hd_expected), .hd_credit(hd_credit), .hd_none(hd_none),
    .hd_sent(hd_sent), .hd_sent_peer(hd_sent_peer), .hd_sent_nack(hd_sent_nack), .ack_due(ack_due), .nack_due(nack_due),
    .rq_data(rq_data), .rq_keep(rq_keep), .rq_valid(rq_valid), .rq_first(rq_first), .rq_last(rq_last), .rq_want(rq_want),
    .rq_arp(rq_arp), .rq_icmp(rq_icmp), .rq_bytes(rq_bytes), .rq_whole(rq_whole), .rs_arp(rs_arp), .rs_icmp(rs_icmp), .rs_cause(rs_cause),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data),
    .sts_count(sts_count[16*32 +: 31*32]), .sts_busy(rx_busy)
);

net_respond u_respond (
    .clk(clk), .rst(rst), .id_mac(id_mac), .id_ip(id_ip),
    .rq_data(rq_data), .rq_keep(rq_keep), .rq_valid(rq_valid), .rq_first(rq_first), .rq_last(rq_last), .rq_want(rq_want),
    .rq_arp(rq_arp), .rq_icmp(rq_icmp), .rq_bytes(rq_bytes), .rq_whole(rq_whole), .rs_arp(rs_arp), .rs_icmp(rs_icmp), .rs_cause(rs_cause),
    .rp_axis_tdata(rp_axis_tdata), .rp_axis_tkeep(rp_axis_tkeep), .rp_axis_tlast(rp_axis_tlast), .rp_axis_tvalid(rp_axis_tvalid),
    .rp_axis_tready(rp_axis_tready), .sts_busy(respond_busy)
);

reg [PEERS_N-1:0] restarted_reg;

always @(posedge clk) begin
    restarted_reg <= restarted_reg | sts_restarted;
    if (rst) restarted_reg <= {PEERS_N{1'b0}};
end

generate
if (PEERS_N == 64) begin : g_masks
    assign sts_count[52*32 +: 3*64] = {restarted_reg, sts_failed, sts_up};
end else begin : g_masks
    assign sts_count[52*32 +: 3*64] = {{(64-PEERS_N){1'b0}}, restarted_reg, {(64-PEERS_N){1'b0}}, sts_failed, {(64-PEERS_N){1'b0}}, sts_up};
end
endgenerate

assign sts_count[47*32 +: 32]   = 32'd0;
assign sts_count[58*32 +: 6*32] = {6*32{1'b0}};
assign sts_busy = tx_busy || rx_busy || respond_busy;

endmodule

`resetall
