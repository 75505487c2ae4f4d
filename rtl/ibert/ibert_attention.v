// SPDX-License-Identifier: Apache-2.0
// Kernel `attention`: integer softmax attention of the heads of one node, row by row, no padding.
//
//   s = q.k;  p = softmax(s) (I-BERT, 0..255);  o = sum p*v;  y = requant(o) to int8      per 64-byte head beat of a row
//   mode 1 of the context, normalisation deferred: e8 = exp(s), 0..255;  o = (sum e8*v * floor(2^32 / sum e8)) >> 16;  y = requant(o)
// (equations, rounding and bounds: ibert_dot, ibert_exp, ibert_attention_exp, ibert_attention_context)
//
// A head beat holds 64/HEAD_DIM heads side by side; both are computed in the same cycles. Rows of a (slot, bank) are served once all K and V
// of its n rows are in, Q rows in the order in which they became complete. Rows are counted: any order of rows and slices, n from any
// message of the flagged last row (Q, K or V). Output: message entry msg_base + beat, one beat, with slot, generation and row of the Q row; the
// last flag on row n-1. Always sinks: s_axis_tready is 1 but for the 5 cycles of a flush.
//
// Stages (a job = one head beat, n keys), each taking the next job while the one after works on the last:
//   scores n cycles | exponentials n | division 19 | context n | requantisation 16 | output FIFO 8 beats
// Rate: one job per max(n, 18) cycles (18: the division).  Budget: a job's scores follow 6 cycles behind its last key,
// exponentials 15, f 20, sums 6, output beat 22 (24 in mode 1), FIFO and skid 3; last input beat to first key 6; a cycle to take a job in each
// of two stages: 3n + 77 cycles from the completing beat to the first output beat, 3n + 79 in mode 1. The rate is the same in both modes; a job
// of mode 0 that follows one of mode 1 starts its context 23 cycles behind the last key of that (they share multipliers).
// Back-pressure stops new context jobs only; nothing in flight is lost.
// Stores: 3 x 512 bits x 2**(SLOT_W+1+ROW_W) * HEAD_BEATS words; scores of two jobs, exponentials of four.
//
// Generations: cur of a slot is 0 after reset. A message whose generation is 1 to 7 newer (mod 16) makes it cur; one that is older is
// dropped and counted. FLUSH(slot), flush_valid, 5 cycles: cur becomes flush_gen, counts and queued rows of both banks are forgotten,
// and what is left of a message half received is dropped as stale. Rows already offered to the stages still come out with their old
// generation; they touch no count. Requires that no message of flush_gen is still under way. flush_valid is ignored during a flush, and for
// a slot that does not exist. sts_active is 1 while anything is held: a message partly received, rows of a (slot, bank) whose queries are not all
// taken by the stages, a job at work, output not yet taken. It is one cycle behind; K and V that are left in the stores do not count.
//
// It does not: check that slices come once, mask, pad, or split rows over nodes.
//
// Configuration: 0 EDGE, 1 CONTEXT {mode 1, msg_base 8, req_base 12, e 7, m 32, c 32, b 20, x0 16 = -x0, beats 4, bank 1}, 2 MESSAGE, 3 OWNER,
// 4 REQUANT {off 9, e 7, m 32} per channel. A context with beats > HEAD_BEATS never completes a row.
// sts_count, 32 bits each, from bit 0: messages in, beats in, dropped by edge, by row or slot, by slice, rows served, cycles with a job in
// flight, cycles a complete Q row waited for K or V, cycles a finished softmax waited for room in the output FIFO, messages dropped as stale.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_attention #(
    parameter HEAD_DIM   = 64,  // channels of a head, 32 or 64
    parameter HEAD_BEATS = 2,   // most 64-byte beats of a row. Requires 1, 2, 4, 8 or 16 (of which a context may use 15)
    parameter ROW_W      = 7,   // rows of a slot = 2**ROW_W. Requires 1 to 12
    parameter SLOT_W     = 1,   // slots = 2**SLOT_W. Requires 0 to 3
    parameter CTX_N      = 16,  // contexts. Requires 1 to 64
    parameter REQ_WORDS  = 32   // 64-channel words of requantisation constants. Requires a power of two, at least 2
) (
    input  wire         clk,
    input  wire         rst,
    input  wire [7:0]   id_cluster,
    input  wire [7:0]   id_kernel,

    input  wire [511:0] s_axis_tdata,
    input  wire [63:0]  s_axis_tkeep,
    input  wire [79:0]  s_axis_tuser,
    input  wire         s_axis_tlast,
    input  wire         s_axis_tvalid,
    output wire         s_axis_tready,

    output wire [511:0] m_axis_tdata,
    output wire [63:0]  m_axis_tkeep,
    output wire [79:0]  m_axis_tuser,
    output wire         m_axis_tlast,
    output wire         m_axis_tvalid,
    input  wire         m_axis_tready,

    input  wire         cfg_we,
    input  wire [27:0]  cfg_addr,
    input  wire [511:0] cfg_data,

    input  wire         flush_valid,   // pulse
    input  wire [3:0]   flush_slot,
    input  wire [3:0]   flush_gen,
    output wire         sts_flushing,
    output wire         sts_active,
    output wire [319:0] sts_count
);

localparam HEADS   = 64 / HEAD_DIM;
localparam SB_W    = SLOT_W + 1;
localparam BEAT_AW = $clog2(HEAD_BEATS);
localparam ADDR_W  = SB_W + ROW_W + BEAT_AW;
localparam JOB_W   = 2 * ROW_W + SB_W + 17;
localparam OUT_N   = 8;                     // output beats promised to jobs in the context stage

generate
if (HEAD_DIM != 32 && HEAD_DIM != 64) begin : g_head_dim
    PARAM_ERROR_ibert_attention_HEAD_DIM_32_or_64 u_err ();
end
if (HEAD_BEATS < 1 || HEAD_BEATS > 16 || (1 << BEAT_AW) != HEAD_BEATS) begin : g_head_beats
    PARAM_ERROR_ibert_attention_HEAD_BEATS_1_2_4_8_or_16 u_err ();
end
if (ROW_W < 1 || ROW_W > 12) begin : g_row_w
    PARAM_ERROR_ibert_attention_ROW_W_1_to_12 u_err ();
end
if (SLOT_W < 0 || SLOT_W > 3) begin : g_slot_w
    PARAM_ERROR_ibert_attention_SLOT_W_0_to_3 u_err ();
end
if (CTX_N < 1 || CTX_N > 64) begin : g_ctx_n
    PARAM_ERROR_ibert_attention_CTX_N_1_to_64 u_err ();
end
if (REQ_WORDS < 2 || (1 << $clog2(REQ_WORDS)) != REQ_WORDS) begin : g_req_words
    PARAM_ERROR_ibert_attention_REQ_WORDS_power_of_two_from_2 u_err ();
end
endgenerate

// ---- intake and stores
wire [2:0]        wr_en;
wire [ADDR_W-1:0] wr_addr;
wire [511:0]      wr_data;
wire              c_valid, c_last;
wire [1:0]        c_role;
wire [SB_W-1:0]   c_sb;
wire [ROW_W-1:0]  c_row, p_row;
wire [3:0]        c_beats, c_ctx_beats, c_gen;
wire [5:0]        c_ctx;
wire              n_beat, n_message, n_drop_edge, n_drop_row, n_drop_slice, n_drop_stale;
wire              flush, in_held, rows_held;
wire [3:0]        flush_of;

ibert_attention_in #(
    .HEAD_BEATS(HEAD_BEATS), .ROW_W(ROW_W), .SLOT_W(SLOT_W), .CTX_N(CTX_N), .SB_W(SB_W), .ADDR_W(ADDR_W)
) u_in (
    .clk(clk), .rst(rst),
    .s_axis_tdata(s_axis_tdata), .s_axis_tkeep(s_axis_tkeep), .s_axis_tuser(s_axis_tuser), .s_axis_tlast(s_axis_tlast), .s_axis_tvalid(s_axis_tvalid),
    .s_axis_tready(s_axis_tready),
    .wr_en(wr_en), .wr_addr(wr_addr), .wr_data(wr_data),
    .p_row(p_row), .c_valid(c_valid), .c_role(c_role), .c_sb(c_sb), .c_row(c_row), .c_beats(c_beats), .c_ctx_beats(c_ctx_beats), .c_ctx(c_ctx),
    .c_gen(c_gen), .c_last(c_last),
    .n_beat(n_beat), .n_message(n_message), .n_drop_edge(n_drop_edge), .n_drop_row(n_drop_row), .n_drop_slice(n_drop_slice),
    .n_drop_stale(n_drop_stale), .flush_valid(flush_valid), .flush_slot(flush_slot), .flush_gen(flush_gen), .flush(flush), .flush_of(flush_of),
    .sts_flushing(sts_flushing), .sts_held(in_held),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data[8:0])
);

wire [2:0]          st_rd_en;
wire [3*ADDR_W-1:0] st_rd_addr;
wire [1535:0]       st_rd_data;
genvar r;
generate
for (r = 0; r < 3; r = r + 1) begin : g_store   // Q, K, V
    axis_ram #(.DATA_W(512), .DEPTH(1 << ADDR_W), .STYLE("block")) u_ram (
        .clk(clk),
        .wr_en(wr_en[r]), .wr_addr(wr_addr), .wr_data(wr_data),
        .rd_en(st_rd_en[r]), .rd_addr(st_rd_addr[ADDR_W*r +: ADDR_W]), .rd_data(st_rd_data[512*r +: 512])
    );
end
endgenerate

// ---- rows, then the three stages
wire             row_valid, row_take, waiting;
wire [JOB_W-1:0] row_job;

ibert_attention_rows #(.HEAD_BEATS(HEAD_BEATS), .ROW_W(ROW_W), .SB_W(SB_W), .JOB_W(JOB_W)) u_rows (
    .clk(clk), .rst(rst),
    .p_row(p_row), .c_valid(c_valid), .c_role(c_role), .c_sb(c_sb), .c_row(c_row), .c_beats(c_beats), .c_ctx_beats(c_ctx_beats), .c_ctx(c_ctx),
    .c_gen(c_gen), .c_last(c_last), .flush(flush), .flush_of(flush_of), .sts_held(rows_held),
    .job_valid(row_valid), .job(row_job), .job_take(row_take), .sts_waiting(waiting)
);

wire                sc_valid, sc_take, sc_rd_en, sc_active;
wire [JOB_W-1:0]    sc_job;
wire [32*HEADS-1:0] sc_max, sc_scores;
wire [ROW_W-1:0]    sc_rd_index;

ibert_attention_score #(.HEADS(HEADS), .ROW_W(ROW_W), .SB_W(SB_W), .BEAT_AW(BEAT_AW), .ADDR_W(ADDR_W), .JOB_W(JOB_W)) u_score (
    .clk(clk), .rst(rst),
    .job_valid(row_valid), .job(row_job), .job_take(row_take),
    .q_rd_en(st_rd_en[0]), .q_rd_addr(st_rd_addr[0 +: ADDR_W]), .q_rd_data(st_rd_data[0 +: 512]),
    .k_rd_en(st_rd_en[1]), .k_rd_addr(st_rd_addr[ADDR_W +: ADDR_W]), .k_rd_data(st_rd_data[512 +: 512]),
    .m_valid(sc_valid), .m_job(sc_job), .m_max(sc_max), .m_take(sc_take),
    .rd_en(sc_rd_en), .rd_index(sc_rd_index), .rd_scores(sc_scores), .sts_active(sc_active)
);

wire                ex_valid, ex_take, ex_rd_en;
wire [JOB_W-1:0]    ex_job;
wire [32*HEADS-1:0] ex_f;
wire                ex_mode;
wire [4:0]          ex_min;
wire [ROW_W-1:0]    ex_rd_index;
wire [16*HEADS-1:0] ex_data;

ibert_attention_exp #(.HEADS(HEADS), .ROW_W(ROW_W), .CTX_N(CTX_N), .JOB_W(JOB_W)) u_exp (
    .clk(clk), .rst(rst),
    .s_valid(sc_valid), .s_job(sc_job), .s_max(sc_max), .s_take(sc_take),
    .rd_en(sc_rd_en), .rd_index(sc_rd_index), .rd_scores(sc_scores),
    .m_valid(ex_valid), .m_job(ex_job), .m_f(ex_f), .m_mode(ex_mode), .m_min(ex_min), .m_take(ex_take),
    .ea_rd_en(ex_rd_en), .ea_rd_index(ex_rd_index), .ea_rd_data(ex_data),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data[132:0])
);

reg              room_reg;
wire             y_valid;
wire [511:0]     y_data;
wire [7:0]       y_msg;
wire [JOB_W-1:0] y_job;

ibert_attention_context #(
    .HEADS(HEADS), .ROW_W(ROW_W), .SB_W(SB_W), .BEAT_AW(BEAT_AW), .ADDR_W(ADDR_W), .CTX_N(CTX_N), .REQ_WORDS(REQ_WORDS), .JOB_W(JOB_W)
) u_context (
    .clk(clk), .rst(rst),
    .s_valid(ex_valid), .s_job(ex_job), .s_f(ex_f), .s_mode(ex_mode), .s_min(ex_min), .s_room(room_reg), .s_take(ex_take),
    .ea_rd_en(ex_rd_en), .ea_rd_index(ex_rd_index), .ea_rd_data(ex_data),
    .v_rd_en(st_rd_en[2]), .v_rd_addr(st_rd_addr[2*ADDR_W +: ADDR_W]), .v_rd_data(st_rd_data[1024 +: 512]),
    .m_valid(y_valid), .m_data(y_data), .m_msg(y_msg), .m_job(y_job),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data[131:0])
);

// ---- output: a FIFO with a place promised to every job in the context stage, then the message bytes
localparam TAG_W = 8 + 4 + 4 + ROW_W + 1;   // msg, slot, generation, row, last
wire [4:0]       y_sb    = {{(5-SB_W){1'b0}}, y_job[ROW_W+7 +: SB_W]};
wire [TAG_W-1:0] y_tag   = {y_msg, y_sb[4:1], y_job[2*ROW_W+SB_W+11 +: 4], y_job[ROW_W+SB_W+11 +: ROW_W], y_job[2*ROW_W+SB_W+15]};
wire             y_end   = y_job[2*ROW_W+SB_W+16];
wire             o_valid, o_ready, fifo_ready;
wire [511:0]     o_data;
wire [TAG_W-1:0] o_tag;
wire [15:0]      o_row   = {{(16-ROW_W){1'b0}}, o_tag[1 +: ROW_W]};
wire [3:0]       fifo_level;

axis_fifo #(.DATA_W(512 + TAG_W), .DEPTH(OUT_N), .STYLE("distributed")) u_fifo (
    .clk(clk), .rst(rst),
    .s_axis_tdata({y_tag, y_data}), .s_axis_tvalid(y_valid), .s_axis_tready(fifo_ready),
    .m_axis_tdata({o_tag, o_data}), .m_axis_tvalid(o_valid), .m_axis_tready(o_ready),
    .sts_level(fifo_level)
);

axis_msg_emit #(.ROW_W(ROW_W)) u_emit (
    .clk(clk), .rst(rst), .id_cluster(id_cluster), .id_kernel(id_kernel),
    .s_axis_tdata(o_data), .s_axis_tlast(1'b1), .s_axis_tvalid(o_valid), .s_axis_tready(o_ready),
    .s_msg_base(o_tag[ROW_W+9 +: 8]), .s_slotgen(o_tag[ROW_W+1 +: 8]), .s_row(o_row), .s_last(o_tag[0]),
    .m_axis_tdata(m_axis_tdata), .m_axis_tkeep(m_axis_tkeep), .m_axis_tuser(m_axis_tuser), .m_axis_tlast(m_axis_tlast),
    .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data[41:0])
);

// ---- places promised, jobs in flight, counters
reg [3:0]   promised_reg;   // 0..OUT_N
reg [4:0]   flight_reg;     // 0..2 + 4 + OUT_N
wire        o_take        = o_valid && o_ready;
wire [3:0]  kept          = promised_reg - {3'd0, o_take};   // what it is without the job that may be taken now, the last to be known
reg [319:0] count_reg;
reg         active_reg, waiting_reg;

always @(posedge clk) begin
    promised_reg <= ex_take ? kept + 4'd1 : kept;
    room_reg     <= ex_take ? kept < OUT_N - 1 : kept < OUT_N;
    flight_reg   <= flight_reg + {4'd0, row_take} - {4'd0, o_take};
    active_reg   <= in_held || (s_axis_tvalid && s_axis_tready) || rows_held || flight_reg != 5'd0 || m_axis_tvalid;

    if (n_message)            count_reg[0   +: 32] <= count_reg[0   +: 32] + 32'd1;
    if (n_beat)               count_reg[32  +: 32] <= count_reg[32  +: 32] + 32'd1;
    if (n_drop_edge)          count_reg[64  +: 32] <= count_reg[64  +: 32] + 32'd1;
    if (n_drop_row)           count_reg[96  +: 32] <= count_reg[96  +: 32] + 32'd1;
    if (n_drop_slice)         count_reg[128 +: 32] <= count_reg[128 +: 32] + 32'd1;
    if (y_valid && y_end)     count_reg[160 +: 32] <= count_reg[160 +: 32] + 32'd1;
    if (flight_reg != 5'd0)   count_reg[192 +: 32] <= count_reg[192 +: 32] + 32'd1;
    waiting_reg <= waiting && !sc_active;
    if (waiting_reg)           count_reg[224 +: 32] <= count_reg[224 +: 32] + 32'd1;
    if (ex_valid && !room_reg) count_reg[256 +: 32] <= count_reg[256 +: 32] + 32'd1;

    if (n_drop_stale)          count_reg[288 +: 32] <= count_reg[288 +: 32] + 32'd1;

    if (rst) begin
        active_reg   <= 1'b0;
        waiting_reg  <= 1'b0;
        promised_reg <= 4'd0;
        room_reg     <= 1'b1;
        flight_reg   <= 5'd0;
        count_reg    <= 320'd0;
    end
end

assign sts_count  = count_reg;
assign sts_active = active_reg;

// the promises keep the FIFO from ever being full
wire unused = &{1'b0, fifo_ready, fifo_level, y_sb[0], cfg_data[511:133]};

endmodule

`resetall
