// SPDX-License-Identifier: Apache-2.0
// net_eth_rx with what the bench cannot answer in the same cycle: epochs by table, a responder that answers everything, and the rule
// frames = sum of the fates, watched in every cycle.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_eth_rx_tb #(
    parameter PEERS_N = 64,
    parameter CELLS   = 256,
    parameter PEER_W  = $clog2(PEERS_N)
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire [47:0]          id_mac,
    input  wire [31:0]          id_ip,
    input  wire [511:0]         mac_rx_tdata,
    input  wire [63:0]          mac_rx_tkeep,
    input  wire                 mac_rx_tlast,
    input  wire                 mac_rx_tvalid,
    input  wire                 mac_rx_tuser,
    output wire [511:0]         m_axis_tdata,
    output wire [63:0]          m_axis_tkeep,
    output wire [79:0]          m_axis_tuser,
    output wire                 m_axis_tlast,
    output wire                 m_axis_tvalid,
    input  wire                 m_axis_tready,
    output wire                 ev_valid,
    output wire [PEER_W+61:0]   ev_fields,      // {peer, type, epoch, ack_epoch, ack, credit, right, 8 bits of zeros}
    input  wire [8*PEERS_N-1:0] mine,
    input  wire [8*PEERS_N-1:0] theirs,
    input  wire                 link_reset,
    input  wire [PEER_W-1:0]    link_reset_peer,
    input  wire [PEER_W-1:0]    hd_peer,
    output wire [23:0]          hd_expected,
    output wire [7:0]           hd_credit,
    input  wire                 hd_sent,
    input  wire [PEER_W-1:0]    hd_sent_peer,
    input  wire                 hd_sent_nack,
    output wire [PEERS_N-1:0]   ack_due,
    output wire [PEERS_N-1:0]   nack_due,
    input  wire                 cfg_we,
    input  wire [27:0]          cfg_addr,
    input  wire [88:0]          cfg_data,
    output wire [31*32-1:0]     sts_count,
    output reg                  sum_broken,
    output wire                 sts_busy
);

wire [7:0]        credit;
wire              none;
wire [PEER_W-1:0] ev_peer, lk_peer;
reg  [PEER_W-1:0] lk_peer_reg;      // answered one cycle later
wire [4:0]        ev_type;
wire [7:0]        ev_epoch, ev_ack_epoch, ev_credit;
wire [23:0]       ev_ack;
wire              ev_right, rq_arp, rq_icmp;
reg               rs_arp, rs_icmp;
reg  [31:0]       sum;
integer           k;

assign hd_credit = none ? 8'd0 : credit;
assign ev_fields = {ev_peer, ev_type, ev_epoch, ev_ack_epoch, ev_ack, ev_credit, ev_right, 8'd0};

net_eth_rx #(.PEERS_N(PEERS_N), .CELLS(CELLS)) u_rx (
    .clk(clk), .rst(rst), .id_mac(id_mac), .id_ip(id_ip),
    .mac_rx_tdata(mac_rx_tdata), .mac_rx_tkeep(mac_rx_tkeep), .mac_rx_tlast(mac_rx_tlast), .mac_rx_tvalid(mac_rx_tvalid), .mac_rx_tuser(mac_rx_tuser),
    .m_axis_tdata(m_axis_tdata), .m_axis_tkeep(m_axis_tkeep), .m_axis_tuser(m_axis_tuser), .m_axis_tlast(m_axis_tlast),
    .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready),
    .ev_valid(ev_valid), .ev_peer(ev_peer), .ev_type(ev_type), .ev_epoch(ev_epoch), .ev_ack_epoch(ev_ack_epoch), .ev_ack(ev_ack),
    .ev_credit(ev_credit), .ev_right(ev_right),
    .lk_peer(lk_peer), .lk_mine(mine[8*lk_peer_reg +: 8]), .lk_theirs(theirs[8*lk_peer_reg +: 8]),
    .link_reset(link_reset), .link_reset_peer(link_reset_peer),
    .hd_peer(hd_peer), .hd_expected(hd_expected), .hd_credit(credit), .hd_none(none),
    .hd_sent(hd_sent), .hd_sent_peer(hd_sent_peer), .hd_sent_nack(hd_sent_nack), .ack_due(ack_due), .nack_due(nack_due),
    .rq_data(), .rq_keep(), .rq_valid(), .rq_first(), .rq_last(), .rq_want(), .rq_arp(rq_arp), .rq_icmp(rq_icmp), .rq_bytes(), .rq_whole(),
    .rs_arp(rs_arp), .rs_icmp(rs_icmp), .rs_cause(3'd0),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data),
    .sts_count(sts_count), .sts_busy(sts_busy)
);

always @* begin
    sum = sts_count[32*1 +: 32];
    for (k = 3; k < 7; k = k + 1) sum = sum + sts_count[32*k +: 32];
    for (k = 8; k < 31; k = k + 1) sum = sum + sts_count[32*k +: 32];
end

always @(posedge clk) begin
    lk_peer_reg <= lk_peer;
    rs_arp  <= rq_arp;
    rs_icmp <= rq_icmp;
    if (sum != sts_count[31:0]) sum_broken <= 1'b1;
    if (rst) sum_broken <= 1'b0;
end

endmodule

`resetall
