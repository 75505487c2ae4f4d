// SPDX-License-Identifier: Apache-2.0
//
// node_core with its Ethernet ports apart (m0_*, m1_*) and what is written over its configuration bus in sight, for the bench. With one
// Ethernet port m1 is silent. It changes nothing.

`resetall
`timescale 1ns / 1ps
`default_nettype none

module tb_node_core #(
    parameter K_LANES     = 16,
    parameter OUT_N       = 16,
    parameter POST_LANES  = 1,
    parameter W_WORDS     = 16,
    parameter BIAS_WORDS  = 4,
    parameter POST_WORDS  = 64,
    parameter STORE_BEATS = 64,
    parameter ROW_W       = 2,
    parameter SLOT_W      = 1,
    parameter HEAD_DIM    = 64,
    parameter HEAD_BEATS  = 1,
    parameter REQ_WORDS   = 2,
    parameter NORM_LANES  = 1,
    parameter LROW_W      = 1,
    parameter ACC_BEATS   = 64,
    parameter RES_WORDS   = 16,
    parameter CHAN_WORDS  = 64,
    parameter ROW_BEATS   = 1,
    parameter ETH_N       = 1,
    parameter PEERS_N     = 8,
    parameter TX_CELLS    = 16,
    parameter RX_CELLS    = 32,
    parameter GATEWAY     = 0
) (
    input wire clk,
    input wire rst,
    input wire [15:0] id_node,
    input wire [7:0] id_cluster,
    input wire [95:0] id_mac,
    input wire [63:0] id_ip,
    input wire [15:0] id_up_node,
    input wire [47:0] id_up_mac,
    input wire [31:0] id_up_ip,
    input wire id_up_valid,
    input wire cfg_we,
    input wire [31:0] cfg_addr,
    input wire [511:0] cfg_data,
    output wire [511:0] m0_tx_tdata,
    output wire [63:0] m0_tx_tkeep,
    output wire m0_tx_tlast,
    output wire m0_tx_tvalid,
    input wire m0_tx_tready,
    input wire [511:0] m0_rx_tdata,
    input wire [63:0] m0_rx_tkeep,
    input wire m0_rx_tlast,
    input wire m0_rx_tvalid,
    input wire m0_rx_tuser,
    output wire [511:0] m1_tx_tdata,
    output wire [63:0] m1_tx_tkeep,
    output wire m1_tx_tlast,
    output wire m1_tx_tvalid,
    input wire m1_tx_tready,
    input wire [511:0] m1_rx_tdata,
    input wire [63:0] m1_rx_tkeep,
    input wire m1_rx_tlast,
    input wire m1_rx_tvalid,
    input wire m1_rx_tuser,
    output wire [31:0] sts_lost,
    output wire sts_busy,
    output wire sts_active,
    output wire [ETH_N*PEERS_N-1:0] sts_failed,
    // a write that the units see
    output wire unit_we,
    output wire [31:0] unit_addr,
    output wire [511:0] unit_data
);

wire [ETH_N*512-1:0] tx_tdata, rx_tdata;
wire [ETH_N*64-1:0]  tx_tkeep, rx_tkeep;
wire [ETH_N-1:0]     tx_tlast, tx_tvalid, tx_tready, rx_tlast, rx_tvalid, rx_tuser;

assign {m0_tx_tdata, m0_tx_tkeep} = {tx_tdata[511:0], tx_tkeep[63:0]};
assign {m0_tx_tlast, m0_tx_tvalid, tx_tready[0]} = {tx_tlast[0], tx_tvalid[0], m0_tx_tready};
assign {rx_tdata[511:0], rx_tkeep[63:0]} = {m0_rx_tdata, m0_rx_tkeep};
assign {rx_tlast[0], rx_tvalid[0], rx_tuser[0]} = {m0_rx_tlast, m0_rx_tvalid, m0_rx_tuser};

generate
if (ETH_N == 2) begin : g_two
    assign {m1_tx_tdata, m1_tx_tkeep} = {tx_tdata[512 +: 512], tx_tkeep[64 +: 64]};
    assign {m1_tx_tlast, m1_tx_tvalid, tx_tready[1]} = {tx_tlast[1], tx_tvalid[1], m1_tx_tready};
    assign {rx_tdata[512 +: 512], rx_tkeep[64 +: 64]} = {m1_rx_tdata, m1_rx_tkeep};
    assign {rx_tlast[1], rx_tvalid[1], rx_tuser[1]} = {m1_rx_tlast, m1_rx_tvalid, m1_rx_tuser};
end else begin : g_one
    assign {m1_tx_tdata, m1_tx_tkeep, m1_tx_tlast, m1_tx_tvalid} = 578'd0;
end
endgenerate

integer u;
reg [3:0] unit;
always @* begin
    unit = 4'd0;
    for (u = 0; u < 5 + ETH_N + GATEWAY; u = u + 1) if (core.unit_we[u]) unit = u[3:0];
end
assign unit_we = |core.unit_we;
assign unit_addr = {unit, core.unit_addr};
assign unit_data = core.cfg_word;

node_core #(
    .PACKED(0),  // simulates faster, proven equal
    .K_LANES(K_LANES),
    .OUT_N(OUT_N),
    .POST_LANES(POST_LANES),
    .W_WORDS(W_WORDS),
    .BIAS_WORDS(BIAS_WORDS),
    .POST_WORDS(POST_WORDS),
    .STORE_BEATS(STORE_BEATS),
    .ROW_W(ROW_W),
    .SLOT_W(SLOT_W),
    .HEAD_DIM(HEAD_DIM),
    .HEAD_BEATS(HEAD_BEATS),
    .REQ_WORDS(REQ_WORDS),
    .NORM_LANES(NORM_LANES),
    .LROW_W(LROW_W),
    .ACC_BEATS(ACC_BEATS),
    .RES_WORDS(RES_WORDS),
    .CHAN_WORDS(CHAN_WORDS),
    .ROW_BEATS(ROW_BEATS),
    .ETH_N(ETH_N),
    .PEERS_N(PEERS_N),
    .TX_CELLS(TX_CELLS),
    .RX_CELLS(RX_CELLS),
    .GATEWAY(GATEWAY)
) core (
    .clk(clk), .rst(rst), .id_node(id_node), .id_cluster(id_cluster), .id_mac(id_mac[48*ETH_N-1:0]), .id_ip(id_ip[32*ETH_N-1:0]),
    .id_up_node(id_up_node), .id_up_mac(id_up_mac), .id_up_ip(id_up_ip), .id_up_valid(id_up_valid),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data),
    .mac_tx_tdata(tx_tdata), .mac_tx_tkeep(tx_tkeep), .mac_tx_tlast(tx_tlast), .mac_tx_tvalid(tx_tvalid), .mac_tx_tready(tx_tready),
    .mac_rx_tdata(rx_tdata), .mac_rx_tkeep(rx_tkeep), .mac_rx_tlast(rx_tlast), .mac_rx_tvalid(rx_tvalid), .mac_rx_tuser(rx_tuser),
    .sts_lost(sts_lost), .sts_busy(sts_busy), .sts_active(sts_active), .sts_failed(sts_failed)
);

endmodule

`resetall
