// SPDX-License-Identifier: Apache-2.0
// Two nodes whose MAC ports are the bench's: it carries the frames between them and the host, and stalls or delays both directions as it likes.
// The defaults are the shape of three_chained_encoders in test_corners_chain.py, which checks it.
`resetall
`timescale 1ns/1ps
`default_nettype none

module tb_two_nodes #(
    parameter K_LANES     = 64,
    parameter OUT_N       = 16,
    parameter POST_LANES  = 4,
    parameter W_WORDS     = 192,
    parameter BIAS_WORDS  = 128,
    parameter POST_WORDS  = 192,
    parameter STORE_BEATS = 128,
    parameter ROW_W       = 3,
    parameter SLOT_W      = 1,
    parameter HEAD_DIM    = 64,
    parameter HEAD_BEATS  = 1,
    parameter REQ_WORDS   = 4,
    parameter NORM_LANES  = 4,
    parameter LROW_W      = 2,
    parameter ACC_BEATS   = 128,
    parameter RES_WORDS   = 64,
    parameter CHAN_WORDS  = 192,
    parameter ROW_BEATS   = 2,
    parameter PEERS_N     = 4,
    parameter TX_CELLS    = 16,
    parameter RX_CELLS    = 32,
    parameter GATEWAY     = 0,      // in both nodes
    parameter CLUSTER1    = 0       // cluster of node 1
) (
    input  wire          clk,
    input  wire          rst,
    input  wire [15:0]   id_up_node,
    input  wire [47:0]   id_up_mac,
    input  wire [31:0]   id_up_ip,
    input  wire [15:0]   n0_id_node,
    input  wire [47:0]   n0_id_mac,
    input  wire [31:0]   n0_id_ip,
    input  wire          n0_cfg_we,
    input  wire [31:0]   n0_cfg_addr,
    input  wire [511:0]  n0_cfg_data,
    input  wire          n0_mac_tx_tready,
    input  wire [511:0]  n0_mac_rx_tdata,
    input  wire [63:0]   n0_mac_rx_tkeep,
    input  wire          n0_mac_rx_tlast,
    input  wire          n0_mac_rx_tvalid,
    input  wire          n0_mac_rx_tuser,
    output wire [511:0]  n0_mac_tx_tdata,
    output wire [63:0]   n0_mac_tx_tkeep,
    output wire          n0_mac_tx_tlast,
    output wire          n0_mac_tx_tvalid,
    output wire [31:0]   n0_sts_lost,
    output wire          n0_sts_busy,
    output wire          n0_sts_active,
    output wire [27:0]   n0_banks,
    input  wire [15:0]   n1_id_node,
    input  wire [47:0]   n1_id_mac,
    input  wire [31:0]   n1_id_ip,
    input  wire          n1_cfg_we,
    input  wire [31:0]   n1_cfg_addr,
    input  wire [511:0]  n1_cfg_data,
    input  wire          n1_mac_tx_tready,
    input  wire [511:0]  n1_mac_rx_tdata,
    input  wire [63:0]   n1_mac_rx_tkeep,
    input  wire          n1_mac_rx_tlast,
    input  wire          n1_mac_rx_tvalid,
    input  wire          n1_mac_rx_tuser,
    output wire [511:0]  n1_mac_tx_tdata,
    output wire [63:0]   n1_mac_tx_tkeep,
    output wire          n1_mac_tx_tlast,
    output wire          n1_mac_tx_tvalid,
    output wire [31:0]   n1_sts_lost,
    output wire          n1_sts_busy,
    output wire          n1_sts_active,
    output wire [27:0]   n1_banks,
    input  wire          forget_credits,    // a fault that is put in: the gateway of node 1 takes every slot of its cluster for free
    input  wire          stall_kernels,     // each kernel and gateway has no room for its switch to begin a message in half of the cycles, at random
    output reg  [31:0]   kernels_stalled,   // cycles in which one of them had none, of both nodes
    output reg  [31:0]   both_wait          // cycles in which it holds rows of every slot that wait only for that slot of its cluster
);

node_core #(
    .PACKED(0),  // simulates faster, proven equal
    .K_LANES(K_LANES), .OUT_N(OUT_N), .POST_LANES(POST_LANES),
    .W_WORDS(W_WORDS), .BIAS_WORDS(BIAS_WORDS), .POST_WORDS(POST_WORDS),
    .STORE_BEATS(STORE_BEATS), .ROW_W(ROW_W), .SLOT_W(SLOT_W),
    .HEAD_DIM(HEAD_DIM), .HEAD_BEATS(HEAD_BEATS), .REQ_WORDS(REQ_WORDS),
    .NORM_LANES(NORM_LANES), .LROW_W(LROW_W), .ACC_BEATS(ACC_BEATS),
    .RES_WORDS(RES_WORDS), .CHAN_WORDS(CHAN_WORDS), .ROW_BEATS(ROW_BEATS),
    .ETH_N(1), .PEERS_N(PEERS_N), .TX_CELLS(TX_CELLS), .RX_CELLS(RX_CELLS), .GATEWAY(GATEWAY)
) u_node0 (
    .clk(clk), .rst(rst),
    .id_node(n0_id_node),
    .id_mac(n0_id_mac),
    .id_ip(n0_id_ip),
    .id_cluster(8'd0), .id_up_node(id_up_node), .id_up_mac(id_up_mac), .id_up_ip(id_up_ip), .id_up_valid(1'b1),
    .cfg_we(n0_cfg_we),
    .cfg_addr(n0_cfg_addr),
    .cfg_data(n0_cfg_data),
    .mac_tx_tready(n0_mac_tx_tready),
    .mac_rx_tdata(n0_mac_rx_tdata),
    .mac_rx_tkeep(n0_mac_rx_tkeep),
    .mac_rx_tlast(n0_mac_rx_tlast),
    .mac_rx_tvalid(n0_mac_rx_tvalid),
    .mac_rx_tuser(n0_mac_rx_tuser),
    .mac_tx_tdata(n0_mac_tx_tdata),
    .mac_tx_tkeep(n0_mac_tx_tkeep),
    .mac_tx_tlast(n0_mac_tx_tlast),
    .mac_tx_tvalid(n0_mac_tx_tvalid),
    .sts_lost(n0_sts_lost),
    .sts_busy(n0_sts_busy),
    .sts_active(n0_sts_active),
    .sts_failed()
);

node_core #(
    .PACKED(0),  // simulates faster, proven equal
    .K_LANES(K_LANES), .OUT_N(OUT_N), .POST_LANES(POST_LANES),
    .W_WORDS(W_WORDS), .BIAS_WORDS(BIAS_WORDS), .POST_WORDS(POST_WORDS),
    .STORE_BEATS(STORE_BEATS), .ROW_W(ROW_W), .SLOT_W(SLOT_W),
    .HEAD_DIM(HEAD_DIM), .HEAD_BEATS(HEAD_BEATS), .REQ_WORDS(REQ_WORDS),
    .NORM_LANES(NORM_LANES), .LROW_W(LROW_W), .ACC_BEATS(ACC_BEATS),
    .RES_WORDS(RES_WORDS), .CHAN_WORDS(CHAN_WORDS), .ROW_BEATS(ROW_BEATS),
    .ETH_N(1), .PEERS_N(PEERS_N), .TX_CELLS(TX_CELLS), .RX_CELLS(RX_CELLS), .GATEWAY(GATEWAY)
) u_node1 (
    .clk(clk), .rst(rst),
    .id_node(n1_id_node),
    .id_mac(n1_id_mac),
    .id_ip(n1_id_ip),
    .id_cluster(CLUSTER1[7:0]), .id_up_node(id_up_node), .id_up_mac(id_up_mac), .id_up_ip(id_up_ip), .id_up_valid(1'b1),
    .cfg_we(n1_cfg_we),
    .cfg_addr(n1_cfg_addr),
    .cfg_data(n1_cfg_data),
    .mac_tx_tready(n1_mac_tx_tready),
    .mac_rx_tdata(n1_mac_rx_tdata),
    .mac_rx_tkeep(n1_mac_rx_tkeep),
    .mac_rx_tlast(n1_mac_rx_tlast),
    .mac_rx_tvalid(n1_mac_rx_tvalid),
    .mac_rx_tuser(n1_mac_rx_tuser),
    .mac_tx_tdata(n1_mac_tx_tdata),
    .mac_tx_tkeep(n1_mac_tx_tkeep),
    .mac_tx_tlast(n1_mac_tx_tlast),
    .mac_tx_tvalid(n1_mac_tx_tvalid),
    .sts_lost(n1_sts_lost),
    .sts_busy(n1_sts_busy),
    .sts_active(n1_sts_active),
    .sts_failed()
);

// Attention's stores of K and V: for each {slot, bank} {context 6, held 1}, held from the first row of K or V until the last query was
// taken. Looked up inside, because no port of a node shows it.
genvar g;
generate
for (g = 0; g < 4; g = g + 1) begin : g_banks
    wire n0_held = u_node0.u_attention.u_rows.g_bank[g].u_bank.k_cnt_reg != 0 || u_node0.u_attention.u_rows.g_bank[g].u_bank.v_cnt_reg != 0;
    wire n1_held = u_node1.u_attention.u_rows.g_bank[g].u_bank.k_cnt_reg != 0 || u_node1.u_attention.u_rows.g_bank[g].u_bank.v_cnt_reg != 0;
    assign n0_banks[7*g +: 7] = {n0_held ? u_node0.u_attention.u_rows.g_bank[g].u_bank.ctx_reg : 6'd0, n0_held};
    assign n1_banks[7*g +: 7] = {n1_held ? u_node1.u_attention.u_rows.g_bank[g].u_bank.ctx_reg : 6'd0, n1_held};
end
endgenerate

// The gateway's state, looked up inside for the same reason.
generate
if (GATEWAY == 1) begin : g_gate
    always @(posedge clk) begin
        if (&u_node1.g_gateway.u_gateway.u_out.wait_slot) both_wait <= both_wait + 1'b1;
        if (rst) both_wait <= 32'd0;
    end
    // kernels always have room: what the switch looks at is taken in its place
    reg [31:0] lfsr;
    wire       next = lfsr[31] ^ lfsr[21] ^ lfsr[1] ^ lfsr[0];
    always @(posedge clk) begin
        lfsr <= rst ? 32'd1 : {lfsr[30:0], next};
        if (stall_kernels) begin
            force u_node0.room = {lfsr[5], u_node0.eth_room, lfsr[0], lfsr[7], lfsr[13], lfsr[19]};
            force u_node1.room = {lfsr[9], u_node1.eth_room, lfsr[3], lfsr[11], lfsr[17], lfsr[29]};
        end
        if (rst) kernels_stalled <= 32'd0;
        else     kernels_stalled <= kernels_stalled + {31'd0, |(~u_node0.room & 6'h2F)} + {31'd0, |(~u_node1.room & 6'h2F)};
    end
    for (g = 0; g < (1 << SLOT_W); g = g + 1) begin : g_slot
        always @(posedge clk) begin
            if (forget_credits) force u_node1.g_gateway.u_gateway.u_out.g_slot[g].credit_reg = 1'b1;
        end
    end
end else begin : g_no_gate
    always @(posedge clk) both_wait <= 32'd0;
    always @(posedge clk) kernels_stalled <= 32'd0;
end
endgenerate

endmodule

`resetall
