// SPDX-License-Identifier: Apache-2.0
// Kernel 254 of a cluster: takes the rows another cluster sends, whole sequences where it must, and sends them on to kernels of its own cluster
// while the sequence's slot is free there. What it is for and why nothing can deadlock: docs/gateway.md.
//
//   message out = message in with dst = (id_cluster, KERNEL + OWNER[row]), edge = EDGE_OUT, src = (id_cluster, 254); all else unchanged
//   a sequence is sent when (row + 1) * SLICES messages of it were, row being the one flagged as last; then RELEASE goes to (UP_CLUSTER, UP_KERNEL)
//   RELEASE: type control, one beat, byte 0 = 0x21, rest 0; slot and generation of the sequence. One that comes in frees the own cluster's slot
//
// Always sink: a message is taken at full rate whatever the output does. Its slot's store (ROW_BEATS beats for each of 2**ROW_W rows, and as many
// messages as ceil(ROW_BEATS/16) a row, rounded up to a power of two) holds a whole sequence, and the sender may use a slot again only after its
// RELEASE; what does not fit all the same is dropped and counted. Generations and FLUSH are those of the kernels (ibert_slots); FLUSH of a slot
// frees it and takes 5 cycles, or until the message of the slot that is being sent is read.
//
// Latency last beat in -> first beat out 8 cycles where nothing waits. One beat a cycle in and out, at most one idle cycle between messages out.
// sts_active, one cycle late: something is stored, half received, or not yet taken, a RELEASE too. That a slot is not free does not count.
//
// Configuration: memory 1 GATE[0] {kernel 8, edge_in 8, edge_out 8, slices 3, up_cluster 8, up_kernel 8}, cleared by reset (slices 0: everything is
// dropped as of an unknown edge); memory 3 OWNER[row] {owner 8}.
// sts_count: messages in, beats in, dropped by edge, by row or slot, by format, full; stale, sequences sent, RELEASEs in, of these stale; data
// messages out, their beats, cycles in which a message waits only for its slot to be free, cycles a beat out was refused, most messages waiting,
// RELEASEs out.
`resetall
`timescale 1ns/1ps
`default_nettype none

module node_gateway #(
    parameter ROW_W     = 7,    // rows of a slot = 2**ROW_W. Requires 1 to 12
    parameter SLOT_W    = 1,    // slots = 2**SLOT_W. Requires 0 to 4
    parameter ROW_BEATS = 12    // most beats of a row. Requires 1 to 64
) (
    input  wire             clk,
    input  wire             rst,
    input  wire [7:0]       id_cluster,

    input  wire [511:0]     s_axis_tdata,
    input  wire [63:0]      s_axis_tkeep,
    input  wire [79:0]      s_axis_tuser,
    input  wire             s_axis_tlast,
    input  wire             s_axis_tvalid,
    output wire             s_axis_tready,

    output wire [511:0]     m_axis_tdata,
    output wire [63:0]      m_axis_tkeep,
    output wire [79:0]      m_axis_tuser,
    output wire             m_axis_tlast,
    output wire             m_axis_tvalid,
    input  wire             m_axis_tready,

    input  wire             cfg_we,
    input  wire [27:0]      cfg_addr,
    input  wire [42:0]      cfg_data,

    input  wire             flush_valid,    // pulse
    input  wire [3:0]       flush_slot,
    input  wire [3:0]       flush_gen,
    output wire             sts_flushing,
    output wire             sts_active,
    output wire [16*32-1:0] sts_count
);

localparam SLOT_N = 1 << SLOT_W;
localparam DEPTH  = (1 << ROW_W) * ROW_BEATS;                           // beats of a slot
localparam ADDR_W = $clog2(DEPTH << SLOT_W);
localparam HEAD_N = 1 << (ROW_W + $clog2((ROW_BEATS + 15) / 16));       // messages of a slot
localparam HEAD_W = ADDR_W + 2*ROW_W + 22;
localparam LEVEL_W = $clog2(HEAD_N) + 1;
localparam [LEVEL_W-1:0] FULL = HEAD_N[LEVEL_W-1:0];
localparam [LEVEL_W-1:0] NEAR = FULL - 1'b1;
localparam SUM_W  = LEVEL_W + SLOT_W + 1;

generate
if (ROW_W < 1 || ROW_W > 12) begin : g_row_w
    PARAM_ERROR_node_gateway_ROW_W_1_to_12 u_err ();
end
if (SLOT_W < 0 || SLOT_W > 4) begin : g_slot_w
    PARAM_ERROR_node_gateway_SLOT_W_0_to_4 u_err ();
end
if (ROW_BEATS < 1 || ROW_BEATS > 64) begin : g_row_beats
    PARAM_ERROR_node_gateway_ROW_BEATS_1_to_64 u_err ();
end
endgenerate

// ---- configuration

reg  [42:0]      gate_reg;
wire [ROW_W-1:0] owner_row;
wire [7:0]       owner;

always @(posedge clk) begin
    if (cfg_we && cfg_addr == {4'd1, 24'd0}) gate_reg <= cfg_data;
    if (rst) gate_reg <= 43'd0;
end

axis_lutram #(.DATA_W(8), .DEPTH(1 << ROW_W)) u_owner (
    .clk(clk),
    .wr_en(cfg_we && cfg_addr[27:24] == 4'd3 && (cfg_addr[23:0] >> ROW_W) == 24'd0), .wr_addr(cfg_addr[ROW_W-1:0]), .wr_data(cfg_data[7:0]),
    .rd_addr(owner_row), .rd_data(owner)
);

// ---- in, store, out

wire                      wr_en, rd_en, rel_valid, start, busy, in_held, out_held;
wire [ADDR_W-1:0]         wr_addr, rd_addr;
wire [511:0]              wr_data, rd_data;
wire [SLOT_N-1:0]         push, pop, head_valid, free, unused_ready;
reg  [SLOT_N-1:0]         push_room, push_room2;
wire [HEAD_W-1:0]         push_head;
wire [SLOT_N*HEAD_W-1:0]  heads;
wire [SLOT_N*LEVEL_W-1:0] levels;
wire [4:0]                free_beats;
wire [3:0]                rel_slot, rel_gen, start_slot;
wire [6:0]                in_events;
wire [2:0]                out_events;

node_gateway_in #(.ROW_W(ROW_W), .SLOT_W(SLOT_W), .DEPTH(DEPTH), .ADDR_W(ADDR_W), .HEAD_W(HEAD_W)) u_in (
    .clk(clk), .rst(rst), .edge_in(gate_reg[15:8]), .slices(gate_reg[26:24]),
    .s_axis_tdata(s_axis_tdata), .s_axis_tkeep(s_axis_tkeep), .s_axis_tuser(s_axis_tuser), .s_axis_tlast(s_axis_tlast),
    .s_axis_tvalid(s_axis_tvalid), .s_axis_tready(s_axis_tready),
    .wr_en(wr_en), .wr_addr(wr_addr), .wr_data(wr_data),
    .push(push), .push_head(push_head), .push_room(push_room), .push_room2(push_room2), .free(free), .free_beats(free_beats),
    .rel_valid(rel_valid), .rel_slot(rel_slot), .rel_gen(rel_gen),
    .flush_valid(flush_valid), .flush_slot(flush_slot), .flush_gen(flush_gen), .sts_flushing(sts_flushing),
    .start(start), .start_slot(start_slot), .busy(busy), .events(in_events), .sts_held(in_held)
);

axis_ram #(.DATA_W(512), .DEPTH(DEPTH << SLOT_W), .FWD_EN(0), .STYLE("ultra")) u_store (
    .clk(clk), .wr_en(wr_en), .wr_addr(wr_addr), .wr_data(wr_data), .rd_en(rd_en), .rd_addr(rd_addr), .rd_data(rd_data)
);

genvar s;
generate
for (s = 0; s < SLOT_N; s = s + 1) begin : g_heads
    axis_fifo #(.DATA_W(HEAD_W), .DEPTH(HEAD_N)) u_heads (
        .clk(clk), .rst(rst || (start && start_slot == s)),
        .s_axis_tdata(push_head), .s_axis_tvalid(push[s]), .s_axis_tready(unused_ready[s]),
        .m_axis_tdata(heads[s*HEAD_W +: HEAD_W]), .m_axis_tvalid(head_valid[s]), .m_axis_tready(pop[s]),
        .sts_level(levels[s*LEVEL_W +: LEVEL_W])
    );

    // one word more fits into the FIFO than is let in, so it is always ready
    always @(posedge clk) begin
        push_room[s]  <= rst || (levels[s*LEVEL_W +: LEVEL_W] < FULL);
        push_room2[s] <= rst || (levels[s*LEVEL_W +: LEVEL_W] < NEAR);
    end
end
endgenerate

node_gateway_out #(.ROW_W(ROW_W), .SLOT_W(SLOT_W), .DEPTH(DEPTH), .ADDR_W(ADDR_W), .HEAD_W(HEAD_W)) u_out (
    .clk(clk), .rst(rst), .id_cluster(id_cluster),
    .kernel(gate_reg[7:0]), .edge_out(gate_reg[23:16]), .up_cluster(gate_reg[34:27]), .up_kernel(gate_reg[42:35]),
    .owner_row(owner_row), .owner(owner),
    .heads(heads), .head_valid(head_valid), .head_pop(pop), .rd_en(rd_en), .rd_addr(rd_addr), .rd_data(rd_data),
    .free(free), .free_beats(free_beats), .rel_valid(rel_valid), .rel_slot(rel_slot), .rel_gen(rel_gen),
    .flushing(sts_flushing), .start(start), .start_slot(start_slot), .busy(busy),
    .m_axis_tdata(m_axis_tdata), .m_axis_tuser(m_axis_tuser), .m_axis_tlast(m_axis_tlast), .m_axis_tvalid(m_axis_tvalid),
    .m_axis_tready(m_axis_tready),
    .events(out_events), .sts_held(out_held)
);

assign m_axis_tkeep = {64{1'b1}};

// ---- counters

reg  [SUM_W-1:0] stored, stored_reg, peak_reg;
reg              active_reg;
integer          k;

always @* begin
    k      = 0;
    stored = {SUM_W{1'b0}};
    for (k = 0; k < SLOT_N; k = k + 1) stored = stored + {{(SLOT_W+1){1'b0}}, levels[k*LEVEL_W +: LEVEL_W]};
end

always @(posedge clk) begin
    stored_reg <= stored;
    active_reg <= in_held || out_held || (stored != {SUM_W{1'b0}});
    if (stored_reg > peak_reg) peak_reg <= stored_reg;
    if (rst) begin
        stored_reg <= {SUM_W{1'b0}};
        active_reg <= 1'b0;
        peak_reg   <= {SUM_W{1'b0}};
    end
end

assign sts_active = active_reg;

wire sent    = m_axis_tvalid && m_axis_tready;
wire control = (m_axis_tuser[77:76] == 2'd3);
wire [14:0] event_now = {       // all but the peak
    sent && control, m_axis_tvalid && !m_axis_tready, out_events[2], sent && !control, sent && m_axis_tlast && !control, out_events[1], rel_valid,
    out_events[0], in_events[6:0]
};

genvar i;
generate
for (i = 0; i < 16; i = i + 1) begin : g_count
    if (i == 14) begin : g_peak
        assign sts_count[32*i +: 32] = {{(32-SUM_W){1'b0}}, peak_reg};
    end else begin : g_event
        reg [31:0] count_reg;
        always @(posedge clk) begin
            if (rst)               count_reg <= 32'd0;
            else if (event_now[(i == 15) ? 14 : i]) count_reg <= count_reg + 1'b1;
        end
        assign sts_count[32*i +: 32] = count_reg;
    end
end
endgenerate

endmodule

`resetall
