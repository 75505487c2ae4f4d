// SPDX-License-Identifier: Apache-2.0
// One whole FPGA without its shell: packet switch, Ethernet port, manager and the three kernels, on one configuration bus.
//
// Switch ports: 0 manager, 1 linear, 2 attention, 3 add_norm, 4 eth. Identity enters by ports; the cluster and the kernels' numbers
// are configuration (unit 0, memory 0, IDENT). Configuration writes take one register stage, one a cycle, no back-pressure.
//
// No arithmetic here. Latency and rate are those of the parts (docs/architecture.md, section 6). It holds no weights after power-up: every
// memory is written over cfg_*. Words read by the manager, 32 bits each (docs/manager.md): 0 identity, 32 linear, 48 attention,
// 64 add_norm, 80 eth, 112 switch, 152 manager.
//
// sts_drops: sum of every unit's drops. sts_busy: a message is in the switch, the Ethernet port or the manager; work inside the kernels does not show.
`resetall
`timescale 1ns/1ps
`default_nettype none

module node_core #(
    parameter K_LANES     = 64,     // ibert_linear: products of an output a cycle
    parameter OUT_N       = 48,     // ibert_linear: outputs at once
    parameter POST_LANES  = 8,      // ibert_linear: int8 results a cycle
    parameter W_WORDS     = 1024,   // ibert_linear: weight words of K_LANES * OUT_N bytes
    parameter BIAS_WORDS  = 256,    // ibert_linear: bias words of OUT_N int32
    parameter POST_WORDS  = 512,    // ibert_linear: words of POST_LANES channels
    parameter STORE_BEATS = 8192,   // ibert_linear: row store
    parameter ROW_W       = 7,      // rows of a slot = 2**ROW_W
    parameter SLOT_W      = 1,      // slots = 2**SLOT_W
    parameter HEAD_DIM    = 32,     // ibert_attention: columns of a head
    parameter HEAD_BEATS  = 1,      // ibert_attention: most 64-byte beats of a row
    parameter REQ_WORDS   = 16,     // ibert_attention: context requant channels / 64
    parameter NORM_LANES  = 8,      // ibert_add_norm: lanes
    parameter LROW_W      = 5,      // ibert_add_norm: local row bits
    parameter ACC_BEATS   = 2048,   // ibert_add_norm: accumulator beats of 16 int32
    parameter RES_WORDS   = 1024,   // ibert_add_norm: residual words of 64 elements
    parameter CHAN_WORDS  = 1024,   // ibert_add_norm: words of NORM_LANES channels
    parameter ROW_BEATS   = 12      // ibert_add_norm: most int8 beats of a row
) (
    input  wire          clk,
    input  wire          rst,
    input  wire [15:0]   id_node,
    input  wire [47:0]   id_mac,
    input  wire [31:0]   id_ip,

    input  wire          cfg_we,
    input  wire [31:0]   cfg_addr,
    input  wire [511:0]  cfg_data,

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

    output wire          sts_seq_error,
    output wire [15:0]   sts_seq_peer,
    output wire [23:0]   sts_seq_expected,
    output wire [23:0]   sts_seq_got,
    output wire [31:0]   sts_drops,
    output wire          sts_busy
);

localparam PORTS   = 5;
localparam LIN_N   = 13;    // counters of each unit
localparam ATT_N   = 9;
localparam NORM_N  = 10;
localparam ETH_N   = 28;
localparam SW_N    = 8 * PORTS;
localparam MAN_N   = 4;
localparam WORDS   = 156;

localparam [31:0] MAGIC   = 32'h464c4f52;   // "FLOR"
localparam [31:0] VERSION = 32'h00000100;   // 0.1.0: major 16, minor 8, patch 8

// ---- configuration bus: one register stage, then one enable a unit

reg         cfg_we_reg;
reg [31:0]  cfg_addr_reg;
reg [511:0] cfg_data_reg;
reg [31:0]  ident_reg;      // cluster, linear, attention, add_norm from bit 0 upwards

wire we_node   = cfg_we_reg && cfg_addr_reg[31:28] == 4'd0;
wire we_linear = cfg_we_reg && cfg_addr_reg[31:28] == 4'd1;
wire we_attn   = cfg_we_reg && cfg_addr_reg[31:28] == 4'd2;
wire we_norm   = cfg_we_reg && cfg_addr_reg[31:28] == 4'd3;
wire we_switch = cfg_we_reg && cfg_addr_reg[31:28] == 4'd4;
wire we_eth    = cfg_we_reg && cfg_addr_reg[31:28] == 4'd5;

always @(posedge clk) begin
    cfg_we_reg <= cfg_we;
    if (cfg_we) begin
        cfg_addr_reg <= cfg_addr;
        cfg_data_reg <= cfg_data;
    end
    if (we_node && cfg_addr_reg[27:0] == 28'd0) ident_reg <= cfg_data_reg[31:0];
    if (rst) cfg_we_reg <= 1'b0;
end

initial ident_reg = 32'd0;

// ---- streams: k_* from the kernels into the switch, w_* from the switch to the kernels

wire [PORTS*512-1:0] k_tdata, w_tdata;
wire [PORTS*64-1:0]  k_tkeep, w_tkeep;
wire [PORTS*80-1:0]  k_tuser, w_tuser;
wire [PORTS-1:0]     k_tlast, k_tvalid, k_tready, w_tlast, w_tvalid, w_tready;

wire [LIN_N*32-1:0]  lin_count;
wire [ATT_N*32-1:0]  att_count;
wire [NORM_N*32-1:0] norm_count;
wire [ETH_N*32-1:0]  eth_count;
wire [SW_N*32-1:0]   switch_count;
wire [MAN_N*32-1:0]  manager_count;
wire [31:0]          switch_drops, eth_drops;
wire                 switch_busy, eth_busy, manager_busy;

net_switch #(.PORTS(PORTS), .CELLS(32), .BEATS(16), .NO_RETURN(16), .STAMP_W(32), .OVERDUE_W(8)) u_switch (
    .clk(clk), .rst(rst),
    .s_axis_tdata(k_tdata), .s_axis_tkeep(k_tkeep), .s_axis_tuser(k_tuser), .s_axis_tlast(k_tlast),
    .s_axis_tvalid(k_tvalid), .s_axis_tready(k_tready),
    .m_axis_tdata(w_tdata), .m_axis_tkeep(w_tkeep), .m_axis_tuser(w_tuser), .m_axis_tlast(w_tlast),
    .m_axis_tvalid(w_tvalid), .m_axis_tready(w_tready),
    .cfg_we(we_switch), .cfg_addr(cfg_addr_reg[27:0]), .cfg_data(cfg_data_reg[PORTS-1:0]),
    .sts_count(switch_count), .sts_drops(switch_drops), .sts_busy(switch_busy)
);

wire [31:0] identity [0:31];
wire [WORDS*32-1:0] words;

node_manager #(.WORDS(WORDS), .DEPTH(16)) u_manager (
    .clk(clk), .rst(rst), .id_cluster(ident_reg[7:0]), .id_kernel(8'd0),
    .s_axis_tdata(w_tdata[0*512 +: 512]), .s_axis_tkeep(w_tkeep[0*64 +: 64]), .s_axis_tuser(w_tuser[0*80 +: 80]),
    .s_axis_tlast(w_tlast[0]), .s_axis_tvalid(w_tvalid[0]), .s_axis_tready(w_tready[0]),
    .m_axis_tdata(k_tdata[0*512 +: 512]), .m_axis_tkeep(k_tkeep[0*64 +: 64]), .m_axis_tuser(k_tuser[0*80 +: 80]),
    .m_axis_tlast(k_tlast[0]), .m_axis_tvalid(k_tvalid[0]), .m_axis_tready(k_tready[0]),
    .words(words), .sts_count(manager_count), .sts_busy(manager_busy)
);

ibert_linear #(
    .K_LANES(K_LANES), .OUT_N(OUT_N), .POST_LANES(POST_LANES), .W_WORDS(W_WORDS), .BIAS_WORDS(BIAS_WORDS), .POST_WORDS(POST_WORDS),
    .STORE_BEATS(STORE_BEATS), .ROW_W(ROW_W), .SLOT_W(SLOT_W)
) u_linear (
    .clk(clk), .rst(rst), .id_cluster(ident_reg[7:0]), .id_kernel(ident_reg[15:8]),
    .s_axis_tdata(w_tdata[1*512 +: 512]), .s_axis_tkeep(w_tkeep[1*64 +: 64]), .s_axis_tuser(w_tuser[1*80 +: 80]),
    .s_axis_tlast(w_tlast[1]), .s_axis_tvalid(w_tvalid[1]), .s_axis_tready(w_tready[1]),
    .m_axis_tdata(k_tdata[1*512 +: 512]), .m_axis_tkeep(k_tkeep[1*64 +: 64]), .m_axis_tuser(k_tuser[1*80 +: 80]),
    .m_axis_tlast(k_tlast[1]), .m_axis_tvalid(k_tvalid[1]), .m_axis_tready(k_tready[1]),
    .cfg_we(we_linear), .cfg_addr(cfg_addr_reg[27:0]), .cfg_data(cfg_data_reg), .sts_count(lin_count)
);

ibert_attention #(
    .HEAD_DIM(HEAD_DIM), .HEAD_BEATS(HEAD_BEATS), .ROW_W(ROW_W), .SLOT_W(SLOT_W), .REQ_WORDS(REQ_WORDS)
) u_attention (
    .clk(clk), .rst(rst), .id_cluster(ident_reg[7:0]), .id_kernel(ident_reg[23:16]),
    .s_axis_tdata(w_tdata[2*512 +: 512]), .s_axis_tkeep(w_tkeep[2*64 +: 64]), .s_axis_tuser(w_tuser[2*80 +: 80]),
    .s_axis_tlast(w_tlast[2]), .s_axis_tvalid(w_tvalid[2]), .s_axis_tready(w_tready[2]),
    .m_axis_tdata(k_tdata[2*512 +: 512]), .m_axis_tkeep(k_tkeep[2*64 +: 64]), .m_axis_tuser(k_tuser[2*80 +: 80]),
    .m_axis_tlast(k_tlast[2]), .m_axis_tvalid(k_tvalid[2]), .m_axis_tready(k_tready[2]),
    .cfg_we(we_attn), .cfg_addr(cfg_addr_reg[27:0]), .cfg_data(cfg_data_reg), .sts_count(att_count)
);

ibert_add_norm #(
    .LANES(NORM_LANES), .ROW_W(ROW_W), .SLOT_W(SLOT_W), .LROW_W(LROW_W), .ACC_BEATS(ACC_BEATS), .RES_WORDS(RES_WORDS),
    .CHAN_WORDS(CHAN_WORDS), .ROW_BEATS(ROW_BEATS)
) u_add_norm (
    .clk(clk), .rst(rst), .id_cluster(ident_reg[7:0]), .id_kernel(ident_reg[31:24]),
    .s_axis_tdata(w_tdata[3*512 +: 512]), .s_axis_tkeep(w_tkeep[3*64 +: 64]), .s_axis_tuser(w_tuser[3*80 +: 80]),
    .s_axis_tlast(w_tlast[3]), .s_axis_tvalid(w_tvalid[3]), .s_axis_tready(w_tready[3]),
    .m_axis_tdata(k_tdata[3*512 +: 512]), .m_axis_tkeep(k_tkeep[3*64 +: 64]), .m_axis_tuser(k_tuser[3*80 +: 80]),
    .m_axis_tlast(k_tlast[3]), .m_axis_tvalid(k_tvalid[3]), .m_axis_tready(k_tready[3]),
    .cfg_we(we_norm), .cfg_addr(cfg_addr_reg[27:0]), .cfg_data(cfg_data_reg), .sts_count(norm_count)
);

net_eth #(.TX_CELLS(32), .RX_CELLS(64), .UDP_PORT(17996)) u_eth (
    .clk(clk), .rst(rst), .id_node(id_node), .id_mac(id_mac), .id_ip(id_ip),
    .s_axis_tdata(w_tdata[4*512 +: 512]), .s_axis_tkeep(w_tkeep[4*64 +: 64]), .s_axis_tuser(w_tuser[4*80 +: 80]),
    .s_axis_tlast(w_tlast[4]), .s_axis_tvalid(w_tvalid[4]), .s_axis_tready(w_tready[4]),
    .m_axis_tdata(k_tdata[4*512 +: 512]), .m_axis_tkeep(k_tkeep[4*64 +: 64]), .m_axis_tuser(k_tuser[4*80 +: 80]),
    .m_axis_tlast(k_tlast[4]), .m_axis_tvalid(k_tvalid[4]), .m_axis_tready(k_tready[4]),
    .mac_tx_tdata(mac_tx_tdata), .mac_tx_tkeep(mac_tx_tkeep), .mac_tx_tlast(mac_tx_tlast), .mac_tx_tvalid(mac_tx_tvalid),
    .mac_tx_tready(mac_tx_tready),
    .mac_rx_tdata(mac_rx_tdata), .mac_rx_tkeep(mac_rx_tkeep), .mac_rx_tlast(mac_rx_tlast), .mac_rx_tvalid(mac_rx_tvalid),
    .mac_rx_tuser(mac_rx_tuser),
    .cfg_we(we_eth), .cfg_addr(cfg_addr_reg[27:0]), .cfg_data(cfg_data_reg[80:0]),
    .sts_count(eth_count), .sts_drops(eth_drops), .sts_seq_error(sts_seq_error), .sts_seq_peer(sts_seq_peer),
    .sts_seq_expected(sts_seq_expected), .sts_seq_got(sts_seq_got), .sts_busy(eth_busy)
);

// ---- what the manager reads

reg [31:0] drops_reg;

assign identity[0]  = MAGIC;
assign identity[1]  = VERSION;
assign identity[2]  = {16'd0, id_node};
assign identity[3]  = {16'd0, id_mac[47:32]};
assign identity[4]  = id_mac[31:0];
assign identity[5]  = id_ip;
assign identity[6]  = ident_reg;
assign identity[7]  = WORDS;
assign identity[8]  = K_LANES;
assign identity[9]  = OUT_N;
assign identity[10] = POST_LANES;
assign identity[11] = W_WORDS;
assign identity[12] = BIAS_WORDS;
assign identity[13] = POST_WORDS;
assign identity[14] = STORE_BEATS;
assign identity[15] = ROW_W;
assign identity[16] = SLOT_W;
assign identity[17] = HEAD_DIM;
assign identity[18] = HEAD_BEATS;
assign identity[19] = REQ_WORDS;
assign identity[20] = NORM_LANES;
assign identity[21] = LROW_W;
assign identity[22] = ACC_BEATS;
assign identity[23] = RES_WORDS;
assign identity[24] = CHAN_WORDS;
assign identity[25] = ROW_BEATS;
assign identity[26] = drops_reg;
assign identity[27] = {31'd0, sts_seq_error};
assign identity[28] = {16'd0, sts_seq_peer};
assign identity[29] = {8'd0, sts_seq_expected};
assign identity[30] = {8'd0, sts_seq_got};
assign identity[31] = 32'd0;

genvar g;
generate
for (g = 0; g < 32; g = g + 1) begin : g_identity
    assign words[32*g +: 32] = identity[g];
end
endgenerate

assign words[48*32-1:32*32]  = {{(16-LIN_N)*32{1'b0}}, lin_count};
assign words[64*32-1:48*32]  = {{(16-ATT_N)*32{1'b0}}, att_count};
assign words[80*32-1:64*32]  = {{(16-NORM_N)*32{1'b0}}, norm_count};
assign words[112*32-1:80*32] = {128'd0, eth_count};
assign words[152*32-1:112*32] = switch_count;
assign words[156*32-1:152*32] = manager_count;

// ---- sum of all drops

always @(posedge clk) begin
    drops_reg <= switch_drops + eth_drops + manager_count[3*32 +: 32]
               + lin_count[2*32 +: 32] + lin_count[3*32 +: 32] + lin_count[4*32 +: 32] + lin_count[5*32 +: 32] + lin_count[6*32 +: 32]
               + att_count[2*32 +: 32] + att_count[3*32 +: 32] + att_count[4*32 +: 32]
               + norm_count[2*32 +: 32] + norm_count[3*32 +: 32] + norm_count[4*32 +: 32] + norm_count[5*32 +: 32];
    if (rst) drops_reg <= 32'd0;
end

assign sts_drops = drops_reg;
assign sts_busy  = switch_busy || eth_busy || manager_busy;

endmodule

`resetall
