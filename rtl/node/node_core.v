// SPDX-License-Identifier: Apache-2.0
// One whole FPGA without its shell: packet switch, Ethernet ports, manager and the three kernels, on one configuration bus.
//
// Switch ports: 0 manager, 1 linear, 2 attention, 3 add_norm, 4 eth 0, 5 eth 1; the gateway, where there is one, comes last. Identity enters by
// ports; the kernels' numbers and the cluster are configuration (unit 0, memory 0, IDENT; after a reset id_cluster, and 0). Units of the
// configuration bus:
// 1 linear, 2 attention, 3 add_norm, 4 switch, 5 eth 0, 6 eth 1; the gateway, where there is one, comes last. Writes take two register stages, one
// a cycle, no back-pressure. node_boot writes in the first 16 cycles after a reset, the manager where cfg_we = 0: see node_config.
//
// No arithmetic here. Latency and rate are those of the parts (docs/architecture.md, section 6). It holds no weights after power-up: every
// memory is written over cfg_* or by frames to the manager. Words read by the manager, 32 bits each (docs/manager.md): 0 identity, 32 linear,
// 48 attention, 64 add_norm, 80 manager, 96 switch, 160 gateway (zeros where there is none), 176 eth 0, 240 eth 1.
//
// sts_lost: messages lost inside the node: drops of switch, kernels, gateway (but of a stale generation) and manager, and net_eth's sts_lost.
// Frames that net_eth_rx refuses are not lost: their sender repeats them. Two cycles old.
// sts_busy: a message is in the switch, an Ethernet port or the manager. sts_active: a kernel or the gateway holds something of a sequence.
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
    parameter NORM_LANES  = 16,     // ibert_add_norm: lanes
    parameter LROW_W      = 5,      // ibert_add_norm: local row bits
    parameter ACC_BEATS   = 2048,   // ibert_add_norm: accumulator beats of 16 int32
    parameter RES_WORDS   = 1024,   // ibert_add_norm: residual words of 64 elements
    parameter CHAN_WORDS  = 1024,   // ibert_add_norm: words of NORM_LANES channels
    parameter ROW_BEATS   = 12,     // ibert_add_norm: most int8 beats of a row
    parameter ETH_N       = 1,      // Ethernet ports. Requires 1 or 2
    parameter PEERS_N     = 64,     // net_eth: peers of a port. Requires a power of two, 2 to 64
    parameter TX_CELLS    = 128,    // net_eth: messages sent and not acknowledged, or waiting
    parameter RX_CELLS    = 256,    // net_eth: messages received and not yet handed on
    parameter GATEWAY     = 0,      // 1: this node is the gateway of its cluster. Requires 0 or 1
    parameter PACKED      = 1       // ibert_linear: 1: two products a DSP slice, for synthesis. 0: the form that simulates fast
) (
    input  wire          clk,
    input  wire          rst,
    input  wire [15:0]              id_node,
    input  wire [7:0]               id_cluster,     // until IDENT is written
    input  wire [ETH_N*48-1:0]      id_mac,         // port 0 in the low bits, here and below
    input  wire [ETH_N*32-1:0]      id_ip,
    input  wire [15:0]              id_up_node,     // where node_boot finds the host: the upstream peer on port 0
    input  wire [47:0]              id_up_mac,
    input  wire [31:0]              id_up_ip,
    input  wire                     id_up_valid,

    input  wire                     cfg_we,
    input  wire [31:0]              cfg_addr,
    input  wire [511:0]             cfg_data,

    output wire [ETH_N*512-1:0]     mac_tx_tdata,
    output wire [ETH_N*64-1:0]      mac_tx_tkeep,
    output wire [ETH_N-1:0]         mac_tx_tlast,
    output wire [ETH_N-1:0]         mac_tx_tvalid,
    input  wire [ETH_N-1:0]         mac_tx_tready,

    input  wire [ETH_N*512-1:0]     mac_rx_tdata,
    input  wire [ETH_N*64-1:0]      mac_rx_tkeep,
    input  wire [ETH_N-1:0]         mac_rx_tlast,
    input  wire [ETH_N-1:0]         mac_rx_tvalid,
    input  wire [ETH_N-1:0]         mac_rx_tuser,

    output wire [31:0]              sts_lost,
    output wire                     sts_busy,
    output wire                     sts_active,
    output wire [ETH_N*PEERS_N-1:0] sts_failed
);

localparam PORTS   = 4 + ETH_N + GATEWAY;
localparam UNITS   = 5 + ETH_N + GATEWAY;
localparam LIN_N   = 15;    // counters of each unit
localparam ATT_N   = 10;
localparam NORM_N  = 11;
localparam MAN_N   = 16;
localparam GATE_N  = 16;
localparam PORT_N  = 64;    // of an Ethernet port
localparam SW_N    = 8 * PORTS;
localparam WORDS   = 176 + PORT_N * ETH_N;
localparam N       = ETH_N * PEERS_N;
localparam NO_RETURN = (ETH_N == 2) ? 48 : 16;      // no frame goes back to the wire it came from
localparam BOOT_QUOTA = (RX_CELLS < 32) ? RX_CELLS : 32;

localparam [31:0] MAGIC   = 32'h464c4f52;   // "FLOR"
localparam [31:0] VERSION = 32'h00000200;   // 0.2.0: major 16, minor 8, patch 8
localparam [31:0] WORDS32 = WORDS;
localparam [15:0] ETH16   = ETH_N[15:0];
localparam [15:0] PEERS16 = PEERS_N[15:0];

generate
if (ETH_N < 1 || ETH_N > 2) begin : g_eth_n
    PARAM_ERROR_node_core_ETH_N_1_or_2 u_err ();
end
if (GATEWAY != 0 && GATEWAY != 1) begin : g_gateway_n
    PARAM_ERROR_node_core_GATEWAY_0_or_1 u_err ();
end
endgenerate

// ---- configuration bus

wire             boot_busy, boot_we, man_we, man_ready;
wire [31:0]      boot_addr, man_addr;
wire [88:0]      boot_data;
wire [511:0]     man_data, cfg_word;
wire [UNITS-1:0] unit_we;
wire [27:0]      unit_addr;
reg  [31:0]      ident_reg;     // cluster, linear, attention, add_norm from bit 0 upwards

node_boot #(.PEERS_N(PEERS_N), .QUOTA(BOOT_QUOTA)) u_boot (
    .clk(clk), .rst(rst), .id_node(id_node), .id_up_node(id_up_node), .id_up_mac(id_up_mac), .id_up_ip(id_up_ip), .id_up_valid(id_up_valid),
    .boot_busy(boot_busy), .boot_we(boot_we), .boot_addr(boot_addr), .boot_data(boot_data)
);

node_config #(.UNITS(UNITS)) u_config (
    .clk(clk), .rst(rst), .boot_we(boot_we), .boot_addr(boot_addr), .boot_data(boot_data),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data),
    .man_we(man_we), .man_ready(man_ready), .man_addr(man_addr), .man_data(man_data),
    .unit_we(unit_we), .unit_addr(unit_addr), .unit_data(cfg_word)
);

always @(posedge clk) begin
    if (unit_we[0] && unit_addr == 28'd0) ident_reg <= cfg_word[31:0];
    if (rst) ident_reg <= {24'd0, id_cluster};
end

// ---- streams: k_* from the kernels into the switch, w_* from the switch to the kernels

wire [PORTS*512-1:0] k_tdata, w_tdata;
wire [PORTS*64-1:0]  k_tkeep, w_tkeep;
wire [PORTS*80-1:0]  k_tuser, w_tuser;
wire [PORTS-1:0]     k_tlast, k_tvalid, k_tready, w_tlast, w_tvalid, w_tready;

wire [LIN_N*32-1:0]  lin_count;
wire [ATT_N*32-1:0]  att_count;
wire [NORM_N*32-1:0] norm_count;
wire [SW_N*32-1:0]   switch_count;
wire [MAN_N*32-1:0]  manager_count;
wire [GATE_N*32-1:0] gate_count;
wire [ETH_N*PORT_N*32-1:0] eth_count;
wire [ETH_N*32-1:0]  eth_lost;
wire [ETH_N-1:0]     eth_busy;
wire [N-1:0]         peer_up, peer_failed, peer_restarted;
wire [31:0]          switch_drops;
wire                 switch_busy, manager_busy;
wire [3:0]           kernel_flushing, kernel_active;
wire                 flush_valid;
wire [3:0]           flush_slot, flush_gen;
reg                  flushing_reg, active_reg;

wire [ETH_N-1:0]     eth_room;
wire [PORTS-1:0]     room;       // kernels always sink
assign room[ETH_N+3:0] = {eth_room, 4'b1111};

net_switch #(.PORTS(PORTS), .CELLS(64), .BEATS(16), .NO_RETURN(NO_RETURN), .OVERDUE_W(9)) u_switch (
    .clk(clk), .rst(rst), .id_cluster(ident_reg[7:0]),
    .s_axis_tdata(k_tdata), .s_axis_tkeep(k_tkeep), .s_axis_tuser(k_tuser), .s_axis_tlast(k_tlast),
    .s_axis_tvalid(k_tvalid), .s_axis_tready(k_tready),
    .m_axis_tdata(w_tdata), .m_axis_tkeep(w_tkeep), .m_axis_tuser(w_tuser), .m_axis_tlast(w_tlast),
    .m_axis_tvalid(w_tvalid), .m_axis_tready(w_tready), .m_axis_room(room),
    .cfg_we(unit_we[4]), .cfg_addr(unit_addr), .cfg_data(cfg_word[PORTS-1:0]),
    .sts_count(switch_count), .sts_drops(switch_drops), .sts_busy(switch_busy)
);

wire [WORDS*32-1:0] words;

node_manager #(.WORDS(WORDS), .DEPTH(32), .UNITS(UNITS), .SLOTS(1 << SLOT_W), .PORTS_N(ETH_N), .PEERS_N(PEERS_N)) u_manager (
    .clk(clk), .rst(rst), .id_node(id_node), .id_cluster(ident_reg[7:0]),
    .s_axis_tdata(w_tdata[0*512 +: 512]), .s_axis_tkeep(w_tkeep[0*64 +: 64]), .s_axis_tuser(w_tuser[0*80 +: 80]),
    .s_axis_tlast(w_tlast[0]), .s_axis_tvalid(w_tvalid[0]), .s_axis_tready(w_tready[0]),
    .m_axis_tdata(k_tdata[0*512 +: 512]), .m_axis_tkeep(k_tkeep[0*64 +: 64]), .m_axis_tuser(k_tuser[0*80 +: 80]),
    .m_axis_tlast(k_tlast[0]), .m_axis_tvalid(k_tvalid[0]), .m_axis_tready(k_tready[0]),
    .cfg_we(man_we), .cfg_addr(man_addr), .cfg_data(man_data), .cfg_ready(man_ready && !boot_busy),
    .flush_valid(flush_valid), .flush_slot(flush_slot), .flush_gen(flush_gen), .flushing(flushing_reg), .active(active_reg),
    .peer_up(peer_up), .peer_failed(peer_failed), .peer_restarted(peer_restarted),
    .words(words), .sts_count(manager_count), .sts_busy(manager_busy)
);

ibert_linear #(
    .K_LANES(K_LANES), .OUT_N(OUT_N), .POST_LANES(POST_LANES), .W_WORDS(W_WORDS), .BIAS_WORDS(BIAS_WORDS), .POST_WORDS(POST_WORDS),
    .STORE_BEATS(STORE_BEATS), .ROW_W(ROW_W), .SLOT_W(SLOT_W), .PACKED(PACKED)
) u_linear (
    .clk(clk), .rst(rst), .id_cluster(ident_reg[7:0]), .id_kernel(ident_reg[15:8]),
    .s_axis_tdata(w_tdata[1*512 +: 512]), .s_axis_tkeep(w_tkeep[1*64 +: 64]), .s_axis_tuser(w_tuser[1*80 +: 80]),
    .s_axis_tlast(w_tlast[1]), .s_axis_tvalid(w_tvalid[1]), .s_axis_tready(w_tready[1]),
    .m_axis_tdata(k_tdata[1*512 +: 512]), .m_axis_tkeep(k_tkeep[1*64 +: 64]), .m_axis_tuser(k_tuser[1*80 +: 80]),
    .m_axis_tlast(k_tlast[1]), .m_axis_tvalid(k_tvalid[1]), .m_axis_tready(k_tready[1]),
    .cfg_we(unit_we[1]), .cfg_addr(unit_addr), .cfg_data(cfg_word),
    .flush_valid(flush_valid), .flush_slot(flush_slot), .flush_gen(flush_gen),
    .sts_flushing(kernel_flushing[0]), .sts_active(kernel_active[0]), .sts_count(lin_count)
);

ibert_attention #(
    .HEAD_DIM(HEAD_DIM), .HEAD_BEATS(HEAD_BEATS), .ROW_W(ROW_W), .SLOT_W(SLOT_W), .REQ_WORDS(REQ_WORDS)
) u_attention (
    .clk(clk), .rst(rst), .id_cluster(ident_reg[7:0]), .id_kernel(ident_reg[23:16]),
    .s_axis_tdata(w_tdata[2*512 +: 512]), .s_axis_tkeep(w_tkeep[2*64 +: 64]), .s_axis_tuser(w_tuser[2*80 +: 80]),
    .s_axis_tlast(w_tlast[2]), .s_axis_tvalid(w_tvalid[2]), .s_axis_tready(w_tready[2]),
    .m_axis_tdata(k_tdata[2*512 +: 512]), .m_axis_tkeep(k_tkeep[2*64 +: 64]), .m_axis_tuser(k_tuser[2*80 +: 80]),
    .m_axis_tlast(k_tlast[2]), .m_axis_tvalid(k_tvalid[2]), .m_axis_tready(k_tready[2]),
    .cfg_we(unit_we[2]), .cfg_addr(unit_addr), .cfg_data(cfg_word),
    .flush_valid(flush_valid), .flush_slot(flush_slot), .flush_gen(flush_gen),
    .sts_flushing(kernel_flushing[1]), .sts_active(kernel_active[1]), .sts_count(att_count)
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
    .cfg_we(unit_we[3]), .cfg_addr(unit_addr), .cfg_data(cfg_word),
    .flush_valid(flush_valid), .flush_slot(flush_slot), .flush_gen(flush_gen),
    .sts_flushing(kernel_flushing[2]), .sts_active(kernel_active[2]), .sts_count(norm_count)
);

genvar g;
generate
for (g = 0; g < ETH_N; g = g + 1) begin : g_eth
    net_eth #(.PEERS_N(PEERS_N), .TX_CELLS(TX_CELLS), .RX_CELLS(RX_CELLS), .WINDOW_N(64), .UDP_PORT(17996)) u_eth (
        .clk(clk), .rst(rst), .id_node(id_node), .id_mac(id_mac[g*48 +: 48]), .id_ip(id_ip[g*32 +: 32]), .id_cluster(ident_reg[7:0]),
        .s_axis_tdata(w_tdata[(4+g)*512 +: 512]), .s_axis_tkeep(w_tkeep[(4+g)*64 +: 64]), .s_axis_tuser(w_tuser[(4+g)*80 +: 80]),
        .s_axis_tlast(w_tlast[4+g]), .s_axis_tvalid(w_tvalid[4+g]), .s_axis_tready(w_tready[4+g]), .s_axis_room(eth_room[g]),
        .m_axis_tdata(k_tdata[(4+g)*512 +: 512]), .m_axis_tkeep(k_tkeep[(4+g)*64 +: 64]), .m_axis_tuser(k_tuser[(4+g)*80 +: 80]),
        .m_axis_tlast(k_tlast[4+g]), .m_axis_tvalid(k_tvalid[4+g]), .m_axis_tready(k_tready[4+g]),
        .mac_tx_tdata(mac_tx_tdata[g*512 +: 512]), .mac_tx_tkeep(mac_tx_tkeep[g*64 +: 64]), .mac_tx_tlast(mac_tx_tlast[g]),
        .mac_tx_tvalid(mac_tx_tvalid[g]), .mac_tx_tready(mac_tx_tready[g]),
        .mac_rx_tdata(mac_rx_tdata[g*512 +: 512]), .mac_rx_tkeep(mac_rx_tkeep[g*64 +: 64]), .mac_rx_tlast(mac_rx_tlast[g]),
        .mac_rx_tvalid(mac_rx_tvalid[g]), .mac_rx_tuser(mac_rx_tuser[g]),
        .cfg_we(unit_we[5+g]), .cfg_addr(unit_addr), .cfg_data(cfg_word[88:0]),
        .sts_count(eth_count[g*PORT_N*32 +: PORT_N*32]), .sts_lost(eth_lost[g*32 +: 32]), .sts_up(peer_up[g*PEERS_N +: PEERS_N]),
        .sts_failed(peer_failed[g*PEERS_N +: PEERS_N]), .sts_restarted(peer_restarted[g*PEERS_N +: PEERS_N]), .sts_busy(eth_busy[g])
    );
end
endgenerate

generate
if (GATEWAY == 1) begin : g_gateway
    node_gateway #(.ROW_W(ROW_W), .SLOT_W(SLOT_W), .ROW_BEATS(ROW_BEATS)) u_gateway (
        .clk(clk), .rst(rst), .id_cluster(ident_reg[7:0]),
        .s_axis_tdata(w_tdata[(4+ETH_N)*512 +: 512]), .s_axis_tkeep(w_tkeep[(4+ETH_N)*64 +: 64]), .s_axis_tuser(w_tuser[(4+ETH_N)*80 +: 80]),
        .s_axis_tlast(w_tlast[4+ETH_N]), .s_axis_tvalid(w_tvalid[4+ETH_N]), .s_axis_tready(w_tready[4+ETH_N]),
        .m_axis_tdata(k_tdata[(4+ETH_N)*512 +: 512]), .m_axis_tkeep(k_tkeep[(4+ETH_N)*64 +: 64]), .m_axis_tuser(k_tuser[(4+ETH_N)*80 +: 80]),
        .m_axis_tlast(k_tlast[4+ETH_N]), .m_axis_tvalid(k_tvalid[4+ETH_N]), .m_axis_tready(k_tready[4+ETH_N]),
        .cfg_we(unit_we[5+ETH_N]), .cfg_addr(unit_addr), .cfg_data(cfg_word[42:0]),
        .flush_valid(flush_valid), .flush_slot(flush_slot), .flush_gen(flush_gen),
        .sts_flushing(kernel_flushing[3]), .sts_active(kernel_active[3]), .sts_count(gate_count)
    );
    assign room[4+ETH_N] = 1'b1;
end else begin : g_no_gateway
    assign {kernel_flushing[3], kernel_active[3], gate_count} = {(2 + GATE_N*32){1'b0}};
end
endgenerate

// ---- what the manager reads

reg        busy_reg;       // sts_busy, for the word that tells it
reg [31:0] lost_reg, linear_lost_reg, attn_lost_reg, norm_lost_reg, gate_lost_reg, others_lost_reg, eth_sum;
integer    e;

// one vector in one assignment: simulators resolve a vector of parts bit by bit. Word 31 first
wire [32*32-1:0] identity = {
    GATEWAY[31:0], RX_CELLS[31:0], TX_CELLS[31:0], {27'd0, kernel_active, busy_reg}, {ETH16, PEERS16}, lost_reg,
    ROW_BEATS[31:0], CHAN_WORDS[31:0], RES_WORDS[31:0], ACC_BEATS[31:0], LROW_W[31:0], NORM_LANES[31:0], REQ_WORDS[31:0], HEAD_BEATS[31:0],
    HEAD_DIM[31:0], SLOT_W[31:0], ROW_W[31:0], STORE_BEATS[31:0], POST_WORDS[31:0], BIAS_WORDS[31:0], W_WORDS[31:0], POST_LANES[31:0],
    OUT_N[31:0], K_LANES[31:0], WORDS32, ident_reg, id_ip[31:0], id_mac[31:0], {16'd0, id_mac[47:32]}, {16'd0, id_node}, VERSION, MAGIC
};

assign words = {
    eth_count, gate_count, {(64-SW_N)*32{1'b0}}, switch_count, manager_count, {(16-NORM_N)*32{1'b0}}, norm_count, {(16-ATT_N)*32{1'b0}}, att_count,
    {(16-LIN_N)*32{1'b0}}, lin_count, identity
};

// ---- what is lost, busy, active

always @* begin
    eth_sum = 32'd0;
    for (e = 0; e < ETH_N; e = e + 1) eth_sum = eth_sum + eth_lost[32*e +: 32];
end

always @(posedge clk) begin
    linear_lost_reg  <= lin_count[2*32 +: 32] + lin_count[3*32 +: 32] + lin_count[4*32 +: 32] + lin_count[5*32 +: 32] + lin_count[6*32 +: 32];
    attn_lost_reg    <= att_count[2*32 +: 32] + att_count[3*32 +: 32] + att_count[4*32 +: 32];
    norm_lost_reg    <= norm_count[2*32 +: 32] + norm_count[3*32 +: 32] + norm_count[4*32 +: 32] + norm_count[5*32 +: 32];
    gate_lost_reg    <= gate_count[2*32 +: 32] + gate_count[3*32 +: 32] + gate_count[4*32 +: 32] + gate_count[5*32 +: 32];
    others_lost_reg  <= switch_drops + manager_count[7*32 +: 32] + eth_sum;
    lost_reg         <= linear_lost_reg + attn_lost_reg + norm_lost_reg + gate_lost_reg + others_lost_reg;
    flushing_reg     <= (kernel_flushing != 4'd0);
    active_reg       <= (kernel_active != 4'd0);
    busy_reg         <= sts_busy;
    if (rst) begin
        linear_lost_reg  <= 32'd0;
        attn_lost_reg    <= 32'd0;
        norm_lost_reg    <= 32'd0;
        gate_lost_reg    <= 32'd0;
        others_lost_reg  <= 32'd0;
        lost_reg         <= 32'd0;
        flushing_reg     <= 1'b0;
        active_reg       <= 1'b0;
    end
end

assign sts_lost   = lost_reg;
assign sts_busy   = switch_busy || (eth_busy != {ETH_N{1'b0}}) || manager_busy;
assign sts_active = active_reg;
assign sts_failed = peer_failed;

endmodule

`resetall
