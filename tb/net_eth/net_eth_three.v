// SPDX-License-Identifier: Apache-2.0
// Three Ethernet ports, nodes 0 to 2, each with its own reset and configuration bus; MACs joined by the bench, or, with `direct`, 0 and 1 cabled.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_eth_three #(
    parameter PEERS_N  = 64,    // at least 4
    parameter TX_CELLS = 128,
    parameter RX_CELLS = 256,
    parameter WINDOW_N = 64
) (
    input  wire              clk,
    input  wire              direct,
    input  wire              rst0,
    input  wire [511:0]      s0_axis_tdata,
    input  wire [63:0]       s0_axis_tkeep,
    input  wire [79:0]       s0_axis_tuser,
    input  wire              s0_axis_tlast,
    input  wire              s0_axis_tvalid,
    output wire              s0_axis_tready,
    output wire [511:0]      m0_axis_tdata,
    output wire [63:0]       m0_axis_tkeep,
    output wire [79:0]       m0_axis_tuser,
    output wire              m0_axis_tlast,
    output wire              m0_axis_tvalid,
    input  wire              m0_axis_tready,
    output wire [511:0]      tx0_tdata,
    output wire [63:0]       tx0_tkeep,
    output wire              tx0_tlast,
    output wire              tx0_tvalid,
    input  wire              tx0_tready,
    input  wire [511:0]      rx0_tdata,
    input  wire [63:0]       rx0_tkeep,
    input  wire              rx0_tlast,
    input  wire              rx0_tvalid,
    input  wire              rx0_tuser,
    input  wire              cfg0_we,
    input  wire [27:0]       cfg0_addr,
    input  wire [88:0]       cfg0_data,
    output wire [64*32-1:0]  sts_count0,
    output wire [31:0]       sts_lost0,
    output wire [2:0]        sts_up0,
    output wire [2:0]        sts_failed0,
    output reg  [2:0]        restarts0,       // pulses of sts_restarted seen since reset, of any peer
    output wire              sts_busy0,
    input  wire              rst1,
    input  wire [511:0]      s1_axis_tdata,
    input  wire [63:0]       s1_axis_tkeep,
    input  wire [79:0]       s1_axis_tuser,
    input  wire              s1_axis_tlast,
    input  wire              s1_axis_tvalid,
    output wire              s1_axis_tready,
    output wire [511:0]      m1_axis_tdata,
    output wire [63:0]       m1_axis_tkeep,
    output wire [79:0]       m1_axis_tuser,
    output wire              m1_axis_tlast,
    output wire              m1_axis_tvalid,
    input  wire              m1_axis_tready,
    output wire [511:0]      tx1_tdata,
    output wire [63:0]       tx1_tkeep,
    output wire              tx1_tlast,
    output wire              tx1_tvalid,
    input  wire              tx1_tready,
    input  wire [511:0]      rx1_tdata,
    input  wire [63:0]       rx1_tkeep,
    input  wire              rx1_tlast,
    input  wire              rx1_tvalid,
    input  wire              rx1_tuser,
    input  wire              cfg1_we,
    input  wire [27:0]       cfg1_addr,
    input  wire [88:0]       cfg1_data,
    output wire [64*32-1:0]  sts_count1,
    output wire [31:0]       sts_lost1,
    output wire [2:0]        sts_up1,
    output wire [2:0]        sts_failed1,
    output reg  [2:0]        restarts1,       // pulses of sts_restarted seen since reset, of any peer
    output wire              sts_busy1,
    input  wire              rst2,
    input  wire [511:0]      s2_axis_tdata,
    input  wire [63:0]       s2_axis_tkeep,
    input  wire [79:0]       s2_axis_tuser,
    input  wire              s2_axis_tlast,
    input  wire              s2_axis_tvalid,
    output wire              s2_axis_tready,
    output wire [511:0]      m2_axis_tdata,
    output wire [63:0]       m2_axis_tkeep,
    output wire [79:0]       m2_axis_tuser,
    output wire              m2_axis_tlast,
    output wire              m2_axis_tvalid,
    input  wire              m2_axis_tready,
    output wire [511:0]      tx2_tdata,
    output wire [63:0]       tx2_tkeep,
    output wire              tx2_tlast,
    output wire              tx2_tvalid,
    input  wire              tx2_tready,
    input  wire [511:0]      rx2_tdata,
    input  wire [63:0]       rx2_tkeep,
    input  wire              rx2_tlast,
    input  wire              rx2_tvalid,
    input  wire              rx2_tuser,
    input  wire              cfg2_we,
    input  wire [27:0]       cfg2_addr,
    input  wire [88:0]       cfg2_data,
    output wire [64*32-1:0]  sts_count2,
    output wire [31:0]       sts_lost2,
    output wire [2:0]        sts_up2,
    output wire [2:0]        sts_failed2,
    output reg  [2:0]        restarts2,       // pulses of sts_restarted seen since reset, of any peer
    output wire              sts_busy2
);

wire [PEERS_N-1:0] up0, failed0, restarted0;
wire [PEERS_N-1:0] up1, failed1, restarted1;
wire [PEERS_N-1:0] up2, failed2, restarted2;

net_eth #(.PEERS_N(PEERS_N), .TX_CELLS(TX_CELLS), .RX_CELLS(RX_CELLS), .WINDOW_N(WINDOW_N)) u_0 (
    .clk(clk), .rst(rst0), .id_node(16'd0), .id_mac(48'h02464c000010 + 48'd0), .id_ip(32'h0a01fe10 + 32'h1357 * 0), .id_cluster(8'd7),
    .s_axis_tdata(s0_axis_tdata), .s_axis_tkeep(s0_axis_tkeep), .s_axis_tuser(s0_axis_tuser), .s_axis_tlast(s0_axis_tlast),
    .s_axis_tvalid(s0_axis_tvalid), .s_axis_tready(s0_axis_tready),
    .m_axis_tdata(m0_axis_tdata), .m_axis_tkeep(m0_axis_tkeep), .m_axis_tuser(m0_axis_tuser), .m_axis_tlast(m0_axis_tlast),
    .m_axis_tvalid(m0_axis_tvalid), .m_axis_tready(m0_axis_tready),
    .mac_tx_tdata(tx0_tdata), .mac_tx_tkeep(tx0_tkeep), .mac_tx_tlast(tx0_tlast), .mac_tx_tvalid(tx0_tvalid), .mac_tx_tready(tx0_tready),
    .mac_rx_tdata(direct ? tx1_tdata : rx0_tdata), .mac_rx_tkeep(direct ? tx1_tkeep : rx0_tkeep),
    .mac_rx_tlast(direct ? tx1_tlast : rx0_tlast), .mac_rx_tvalid(direct ? tx1_tvalid : rx0_tvalid), .mac_rx_tuser(direct ? 1'b0 : rx0_tuser),
    .cfg_we(cfg0_we), .cfg_addr(cfg0_addr), .cfg_data(cfg0_data),
    .sts_count(sts_count0), .sts_lost(sts_lost0), .sts_up(up0), .sts_failed(failed0), .sts_restarted(restarted0), .sts_busy(sts_busy0)
);

assign sts_up0     = up0[2:0];
assign sts_failed0 = failed0[2:0];

always @(posedge clk) begin
    if (restarted0 != {PEERS_N{1'b0}}) restarts0 <= restarts0 + 1'b1;
    if (rst0) restarts0 <= 3'd0;
end

net_eth #(.PEERS_N(PEERS_N), .TX_CELLS(TX_CELLS), .RX_CELLS(RX_CELLS), .WINDOW_N(WINDOW_N)) u_1 (
    .clk(clk), .rst(rst1), .id_node(16'd1), .id_mac(48'h02464c000010 + 48'd1), .id_ip(32'h0a01fe10 + 32'h1357 * 1), .id_cluster(8'd7),
    .s_axis_tdata(s1_axis_tdata), .s_axis_tkeep(s1_axis_tkeep), .s_axis_tuser(s1_axis_tuser), .s_axis_tlast(s1_axis_tlast),
    .s_axis_tvalid(s1_axis_tvalid), .s_axis_tready(s1_axis_tready),
    .m_axis_tdata(m1_axis_tdata), .m_axis_tkeep(m1_axis_tkeep), .m_axis_tuser(m1_axis_tuser), .m_axis_tlast(m1_axis_tlast),
    .m_axis_tvalid(m1_axis_tvalid), .m_axis_tready(m1_axis_tready),
    .mac_tx_tdata(tx1_tdata), .mac_tx_tkeep(tx1_tkeep), .mac_tx_tlast(tx1_tlast), .mac_tx_tvalid(tx1_tvalid), .mac_tx_tready(tx1_tready),
    .mac_rx_tdata(direct ? tx0_tdata : rx1_tdata), .mac_rx_tkeep(direct ? tx0_tkeep : rx1_tkeep),
    .mac_rx_tlast(direct ? tx0_tlast : rx1_tlast), .mac_rx_tvalid(direct ? tx0_tvalid : rx1_tvalid), .mac_rx_tuser(direct ? 1'b0 : rx1_tuser),
    .cfg_we(cfg1_we), .cfg_addr(cfg1_addr), .cfg_data(cfg1_data),
    .sts_count(sts_count1), .sts_lost(sts_lost1), .sts_up(up1), .sts_failed(failed1), .sts_restarted(restarted1), .sts_busy(sts_busy1)
);

assign sts_up1     = up1[2:0];
assign sts_failed1 = failed1[2:0];

always @(posedge clk) begin
    if (restarted1 != {PEERS_N{1'b0}}) restarts1 <= restarts1 + 1'b1;
    if (rst1) restarts1 <= 3'd0;
end

net_eth #(.PEERS_N(PEERS_N), .TX_CELLS(TX_CELLS), .RX_CELLS(RX_CELLS), .WINDOW_N(WINDOW_N)) u_2 (
    .clk(clk), .rst(rst2), .id_node(16'd2), .id_mac(48'h02464c000010 + 48'd2), .id_ip(32'h0a01fe10 + 32'h1357 * 2), .id_cluster(8'd7),
    .s_axis_tdata(s2_axis_tdata), .s_axis_tkeep(s2_axis_tkeep), .s_axis_tuser(s2_axis_tuser), .s_axis_tlast(s2_axis_tlast),
    .s_axis_tvalid(s2_axis_tvalid), .s_axis_tready(s2_axis_tready),
    .m_axis_tdata(m2_axis_tdata), .m_axis_tkeep(m2_axis_tkeep), .m_axis_tuser(m2_axis_tuser), .m_axis_tlast(m2_axis_tlast),
    .m_axis_tvalid(m2_axis_tvalid), .m_axis_tready(m2_axis_tready),
    .mac_tx_tdata(tx2_tdata), .mac_tx_tkeep(tx2_tkeep), .mac_tx_tlast(tx2_tlast), .mac_tx_tvalid(tx2_tvalid), .mac_tx_tready(tx2_tready),
    .mac_rx_tdata(rx2_tdata), .mac_rx_tkeep(rx2_tkeep),
    .mac_rx_tlast(rx2_tlast), .mac_rx_tvalid(rx2_tvalid), .mac_rx_tuser(rx2_tuser),
    .cfg_we(cfg2_we), .cfg_addr(cfg2_addr), .cfg_data(cfg2_data),
    .sts_count(sts_count2), .sts_lost(sts_lost2), .sts_up(up2), .sts_failed(failed2), .sts_restarted(restarted2), .sts_busy(sts_busy2)
);

assign sts_up2     = up2[2:0];
assign sts_failed2 = failed2[2:0];

always @(posedge clk) begin
    if (restarted2 != {PEERS_N{1'b0}}) restarts2 <= restarts2 + 1'b1;
    if (rst2) restarts2 <= 3'd0;
end

endmodule

`resetall
