// SPDX-License-Identifier: Apache-2.0
// net_respond behind net_eth_rx: frames in, replies out. No peer is known.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_respond_tb (
    input  wire             clk,
    input  wire             rst,
    input  wire [47:0]      id_mac,
    input  wire [31:0]      id_ip,
    input  wire [511:0]     mac_rx_tdata,
    input  wire [63:0]      mac_rx_tkeep,
    input  wire             mac_rx_tlast,
    input  wire             mac_rx_tvalid,
    input  wire             mac_rx_tuser,
    output wire [511:0]     rp_axis_tdata,
    output wire [63:0]      rp_axis_tkeep,
    output wire             rp_axis_tlast,
    output wire             rp_axis_tvalid,
    input  wire             rp_axis_tready,
    output wire [31*32-1:0] sts_count,
    output wire             sts_busy
);

wire [511:0] rq_data;
wire [63:0]  rq_keep;
wire [10:0]  rq_bytes;
wire         rq_valid, rq_first, rq_last, rq_want, rq_arp, rq_icmp, rq_whole, rs_arp, rs_icmp, rx_busy, respond_busy;
wire [2:0]   rs_cause;

net_eth_rx #(.PEERS_N(2), .CELLS(2)) u_rx (
    .clk(clk), .rst(rst), .id_mac(id_mac), .id_ip(id_ip),
    .mac_rx_tdata(mac_rx_tdata), .mac_rx_tkeep(mac_rx_tkeep), .mac_rx_tlast(mac_rx_tlast), .mac_rx_tvalid(mac_rx_tvalid), .mac_rx_tuser(mac_rx_tuser),
    .m_axis_tdata(), .m_axis_tkeep(), .m_axis_tuser(), .m_axis_tlast(), .m_axis_tvalid(), .m_axis_tready(1'b1),
    .ev_valid(), .ev_peer(), .ev_type(), .ev_epoch(), .ev_ack_epoch(), .ev_ack(), .ev_credit(), .ev_right(),
    .lk_peer(), .lk_mine(8'd0), .lk_theirs(8'd0), .link_reset(1'b0), .link_reset_peer(1'b0),
    .hd_peer(1'b0), .hd_expected(), .hd_credit(), .hd_none(), .hd_sent(1'b0), .hd_sent_peer(1'b0), .hd_sent_nack(1'b0), .ack_due(), .nack_due(),
    .rq_data(rq_data), .rq_keep(rq_keep), .rq_valid(rq_valid), .rq_first(rq_first), .rq_last(rq_last), .rq_want(rq_want),
    .rq_arp(rq_arp), .rq_icmp(rq_icmp), .rq_bytes(rq_bytes), .rq_whole(rq_whole), .rs_arp(rs_arp), .rs_icmp(rs_icmp), .rs_cause(rs_cause),
    .cfg_we(1'b0), .cfg_addr(28'd0), .cfg_data(89'd0),
    .sts_count(sts_count), .sts_busy(rx_busy)
);

net_respond u_respond (
    .clk(clk), .rst(rst), .id_mac(id_mac), .id_ip(id_ip),
    .rq_data(rq_data), .rq_keep(rq_keep), .rq_valid(rq_valid), .rq_first(rq_first), .rq_last(rq_last), .rq_want(rq_want),
    .rq_arp(rq_arp), .rq_icmp(rq_icmp), .rq_bytes(rq_bytes), .rq_whole(rq_whole), .rs_arp(rs_arp), .rs_icmp(rs_icmp), .rs_cause(rs_cause),
    .rp_axis_tdata(rp_axis_tdata), .rp_axis_tkeep(rp_axis_tkeep), .rp_axis_tlast(rp_axis_tlast), .rp_axis_tvalid(rp_axis_tvalid),
    .rp_axis_tready(rp_axis_tready), .sts_busy(respond_busy)
);

assign sts_busy = rx_busy || respond_busy;

endmodule

`resetall
