// SPDX-License-Identifier: Apache-2.0
// Kernel linear: rows of int8 times weights, for up to 64 contexts that share one MAC array.
//
//   acc[o] = bias[o] + sum_k x[k] * W[o][k]                                  int32
//   mode 0: acc is sent as it is (partial sums); mode 1: requant(acc) to int8; mode 2: requant(GELU(acc)) to int8
//
// Rounding to nearest, ties to even, in ibert_requant only. Contexts, edges, messages: docs/architecture.md, sections 3 to 5.
//
// Budget (defaults, ksteps = in_beats*64/K_LANES):
//   rate    input one beat a cycle, always taken (but for the 2**(3+SLOT_W+ROW_W) cycles after reset that clear the counts, and a flush);
//           array one word of K_LANES x OUT_N a cycle, no idle cycle between passes, rows, contexts while rows are ready;
//           partial sums 16 int32 a cycle; int8 results POST_LANES a cycle; output one beat a cycle
//   latency last beat of a row in -> first beat out, with the output idle: 18 + ksteps (mode 0); in modes 1 and 2 at most
//           35 + n*ksteps + 64/POST_LANES, n = ceil(64/OUT_N) groups, which the first 64 results need
//   depth   row store STORE_BEATS x 512; ready rows 4 x 2**(3+SLOT_W+ROW_W); accumulators 2 x ACC_FIFO_GROUPS x OUT_N int32;
//           int8 beats 16
//   width   products and sums int32 (|acc| <= 2^14*K + |bias|), GELU output 48, requant product 80, results 8
//
// Partial-sum rows and int8 rows leave through separate accumulator FIFOs, so that neither waits for the other's rate; a row's
// messages are never interleaved with another row's, but rows of the two kinds may overtake each other. Where both wait they alternate.
//
// Generations: cur of a slot is 0 after reset. A message whose generation is 1 to 7 newer (mod 16) makes it cur; one that is older is
// dropped and counted. FLUSH(slot), flush_valid: cur becomes flush_gen, rows half received or queued are forgotten, and what is
// left of a message half received is dropped as stale. It takes, and keeps the input closed for, 5 + 2**(3+ROW_W) cycles, or 11 + the
// rows queued in one priority where that is more; queued rows of other slots wait so long, rows in the sequencer and behind it go on. Of the slot
// at most three rows in the sequencer and those behind it may still come out, with their old generation. Requires that no message of flush_gen is
// still under way. flush_valid is ignored during a flush, and for a slot that does not exist.
// sts_active is 1 while anything is held: a message or row partly received, a row queued or at work, output not yet taken. One
// cycle behind; clearing after reset does not count.
//
// sts_count, 32 bits each, wrapping, from bit 0: 0 messages in, 1 beats in, 2 messages dropped: unknown edge, 3 ... row or slot out of
// range, 4 ... beat beyond the row, 5 ... not int8, not whole beats, 6 rows dropped: sent again while waiting, queue full, 7 array busy,
// 8 array idle: no row ready, 9 array idle: output blocked, 10 rows sent, 11 messages out, 12 beats out, 13 messages dropped: stale,
// 14 array idle: a row is there, its context is being read.
// EDGE entries never written are undefined until the loader writes them (LUT memory of an FPGA starts at 0, not valid).
// Does not: look at msg_count (a row's end ends its messages), or detect a beat that comes twice.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_linear #(
    parameter K_LANES         = 64,    // products of an output a cycle. Requires 16, 32 or 64
    parameter OUT_N           = 48,    // outputs at once. Requires a multiple of 16, at most 64
    parameter POST_LANES      = 8,     // int8 results a cycle. Requires 1, 2, 4, 8 or 16
    parameter W_WORDS         = 1024,  // weight words of K_LANES x OUT_N
    parameter BIAS_WORDS      = 256,   // bias words of OUT_N
    parameter POST_WORDS      = 512,   // words of POST_LANES channels
    parameter STORE_BEATS     = 8192,  // row store
    parameter ROW_W           = 7,     // rows of a slot = 2**ROW_W
    parameter SLOT_W          = 1,     // slots = 2**SLOT_W, 0..4
    parameter CTX_N           = 64,    // contexts, at most 64
    parameter ACC_FIFO_GROUPS = 64,    // groups per accumulator FIFO. Requires a power of two, at least 2
    parameter PACKED          = 1      // 1: two products a DSP slice. 0: the form that simulates fast (ibert_mac_pair)
) (
    input  wire             clk,
    input  wire             rst,
    input  wire [7:0]       id_cluster,
    input  wire [7:0]       id_kernel,

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
    input  wire [511:0]     cfg_data,

    input  wire             flush_valid,   // pulse
    input  wire [3:0]       flush_slot,
    input  wire [3:0]       flush_gen,
    output wire             sts_flushing,
    output wire             sts_active,
    output wire [15*32-1:0] sts_count
);

localparam SA_W    = $clog2(STORE_BEATS);
localparam QUEUE_W = 6 + 8 + ROW_W + 1;

// ---- configuration bus, registered once for its fan-out ----------------------------------------------------------------------
reg         cwe_reg;
reg [27:0]  caddr_reg;
reg [511:0] cdata_reg;

always @(posedge clk) begin
    cwe_reg <= cfg_we;
    if (cfg_we) begin
        caddr_reg <= cfg_addr;
        cdata_reg <= cfg_data;
    end
    if (rst) cwe_reg <= 1'b0;
end

// ---- input -> row store and ready rows ------------------------------------------------------------------------------------------
wire             store_we;
wire [SA_W-1:0]  store_addr;
wire [511:0]     store_data;
wire             row_valid, row_last;
wire [1:0]       row_prio;
wire [5:0]       row_ctx;
wire [7:0]       row_slotgen;
wire [ROW_W-1:0] row_row;
wire             flush, purging, in_held, queue_held;
wire [3:0]       flush_of;
wire             ev_message, ev_beat, ev_drop_edge, ev_drop_row, ev_drop_slice, ev_drop_format, ev_drop_stale, ev_drop_queue;

ibert_linear_in #(.STORE_BEATS(STORE_BEATS), .ROW_W(ROW_W), .SLOT_W(SLOT_W), .CTX_N(CTX_N)) u_in (
    .clk(clk), .rst(rst),
    .s_axis_tdata(s_axis_tdata), .s_axis_tkeep(s_axis_tkeep), .s_axis_tuser(s_axis_tuser), .s_axis_tlast(s_axis_tlast),
    .s_axis_tvalid(s_axis_tvalid), .s_axis_tready(s_axis_tready),
    .store_we(store_we), .store_addr(store_addr), .store_data(store_data),
    .row_valid(row_valid), .row_prio(row_prio), .row_ctx(row_ctx), .row_slotgen(row_slotgen), .row_row(row_row), .row_last(row_last),
    .flush_valid(flush_valid), .flush_slot(flush_slot), .flush_gen(flush_gen), .flush(flush), .flush_of(flush_of), .flush_wait(purging),
    .sts_flushing(sts_flushing), .sts_held(in_held),
    .cfg_we(cwe_reg), .cfg_addr(caddr_reg), .cfg_data(cdata_reg[27:0]),
    .sts_message(ev_message), .sts_beat(ev_beat), .sts_drop_edge(ev_drop_edge), .sts_drop_row(ev_drop_row),
    .sts_drop_slice(ev_drop_slice), .sts_drop_format(ev_drop_format), .sts_drop_stale(ev_drop_stale)
);

wire               q_valid, q_ready;
wire [QUEUE_W-1:0] q_data;

ibert_row_queue #(.DATA_W(QUEUE_W), .DEPTH(1 << (3 + SLOT_W + ROW_W)), .SLOT_LSB(10)) u_queue (
    .clk(clk), .rst(rst),
    .push(row_valid), .push_prio(row_prio), .push_data({row_last, row_row, row_slotgen, row_ctx}),
    .m_valid(q_valid), .m_data(q_data), .m_ready(q_ready),
    .purge(flush), .purge_slot(flush_of), .busy(purging), .sts_held(queue_held), .sts_drop(ev_drop_queue)
);

// ---- sequencer -> array ----------------------------------------------------------------------------------------------------------
wire            word_valid, word_first, word_last, word_int8;
wire [SA_W-1:0] word_store_addr;
wire [1:0]      word_part;
wire [15:0]     word_w_addr;
wire [13:0]     word_b_addr;
wire            desc_valid_sum, desc_valid_int8, free_sum, free_int8;
wire [59:0]     desc_data;
wire            ev_busy, ev_no_row, ev_blocked, ev_switch;

ibert_linear_seq #(
    .K_LANES(K_LANES), .STORE_BEATS(STORE_BEATS), .ROW_W(ROW_W), .CTX_N(CTX_N), .ACC_FIFO_GROUPS(ACC_FIFO_GROUPS)
) u_seq (
    .clk(clk), .rst(rst),
    .q_valid(q_valid), .q_ready(q_ready),
    .q_ctx(q_data[5:0]), .q_slotgen(q_data[13:6]), .q_row(q_data[14 +: ROW_W]), .q_last(q_data[QUEUE_W-1]),
    .word_valid(word_valid), .word_store_addr(word_store_addr), .word_part(word_part), .word_w_addr(word_w_addr),
    .word_b_addr(word_b_addr), .word_first(word_first), .word_last(word_last), .word_int8(word_int8),
    .desc_valid_sum(desc_valid_sum), .desc_valid_int8(desc_valid_int8), .desc_data(desc_data),
    .free_sum(free_sum), .free_int8(free_int8),
    .cfg_we(cwe_reg), .cfg_addr(caddr_reg), .cfg_data(cdata_reg[105:0]),
    .sts_busy(ev_busy), .sts_idle_no_row(ev_no_row), .sts_idle_blocked(ev_blocked), .sts_idle_switch(ev_switch)
);

wire [511:0]         store_rd;
wire [8*K_LANES-1:0] x;

axis_ram #(.DATA_W(512), .DEPTH(STORE_BEATS), .FWD_EN(0), .STYLE("ultra")) u_store (
    .clk(clk),
    .wr_en(store_we), .wr_addr(store_addr), .wr_data(store_data),
    .rd_en(word_valid), .rd_addr(word_store_addr), .rd_data(store_rd)
);

generate
if (K_LANES == 64) begin : g_whole
    wire unused_part = &{1'b0, word_part};
    assign x = store_rd;
end else begin : g_part
    reg [1:0] part_p1;
    always @(posedge clk) if (word_valid) part_p1 <= word_part;
    assign x = store_rd[{30'd0, part_p1} * (8*K_LANES) +: 8*K_LANES];
end
endgenerate

wire                grp_valid, grp_int8;
wire [32*OUT_N-1:0] grp_data;

ibert_linear_array #(.K_LANES(K_LANES), .OUT_N(OUT_N), .W_WORDS(W_WORDS), .BIAS_WORDS(BIAS_WORDS), .PACKED(PACKED)) u_array (
    .clk(clk), .rst(rst),
    .word_valid(word_valid), .word_w_addr(word_w_addr), .word_b_addr(word_b_addr), .word_first(word_first), .word_last(word_last),
    .word_int8(word_int8), .x(x),
    .grp_valid(grp_valid), .grp_int8(grp_int8), .grp_data(grp_data),
    .cfg_we(cwe_reg), .cfg_addr(caddr_reg), .cfg_data(cdata_reg)
);

// ---- accumulators -> rows of output beats ---------------------------------------------------------------------------------------
wire [511:0] sum_data, acc8_data, int8_data;
wire         sum_last, sum_valid, sum_ready;
wire         acc8_last, acc8_valid, acc8_ready;
wire         int8_last, int8_valid, int8_ready, int8_row_ready;
wire [59:0]  sum_desc, acc8_desc;
wire [32:0]  int8_desc;
wire         unused_sum_desc = &{1'b0, sum_desc[26:0]};

ibert_acc_fifo #(.OUT_N(OUT_N), .GROUPS(ACC_FIFO_GROUPS), .DESC_W(60)) u_acc_sum (
    .clk(clk), .rst(rst),
    .desc_valid(desc_valid_sum), .desc_data(desc_data), .grp_valid(grp_valid && !grp_int8), .grp_data(grp_data), .free(free_sum),
    .m_data(sum_data), .m_last(sum_last), .m_desc(sum_desc), .m_valid(sum_valid), .m_ready(sum_ready)
);
ibert_acc_fifo #(.OUT_N(OUT_N), .GROUPS(ACC_FIFO_GROUPS), .DESC_W(60)) u_acc_int8 (
    .clk(clk), .rst(rst),
    .desc_valid(desc_valid_int8), .desc_data(desc_data), .grp_valid(grp_valid && grp_int8), .grp_data(grp_data), .free(free_int8),
    .m_data(acc8_data), .m_last(acc8_last), .m_desc(acc8_desc), .m_valid(acc8_valid), .m_ready(acc8_ready)
);
ibert_post #(.POST_LANES(POST_LANES), .POST_WORDS(POST_WORDS)) u_post (
    .clk(clk), .rst(rst),
    .s_data(acc8_data), .s_last(acc8_last), .s_desc(acc8_desc), .s_valid(acc8_valid), .s_ready(acc8_ready),
    .m_data(int8_data), .m_last(int8_last), .m_desc(int8_desc), .m_valid(int8_valid), .m_ready(int8_ready),
    .m_row_ready(int8_row_ready),
    .cfg_we(cwe_reg), .cfg_addr(caddr_reg), .cfg_data(cdata_reg[131:0])
);

// ---- one row at a time to the messages. An int8 row of which only a part is there yields to partial sums. -----------------------
reg  lock_reg, sel_reg;
wire want_int8 = int8_valid && (int8_row_ready || !sum_valid);
wire sel       = lock_reg ? sel_reg : (want_int8 && !(sum_valid && sel_reg));
wire e_valid   = sel ? int8_valid : sum_valid;
wire e_last    = sel ? int8_last : sum_last;
wire e_ready;

assign sum_ready  = e_ready && !sel;
assign int8_ready = e_ready && sel;

always @(posedge clk) begin
    if (e_valid) begin
        lock_reg <= !(e_ready && e_last);
        sel_reg  <= sel;
    end
    if (rst) begin
        lock_reg <= 1'b0;
        sel_reg  <= 1'b0;
    end
end

// the chosen beat in a register, so that the tables of the messages are looked up from there
reg          p_valid_reg, p_last_reg;
reg  [511:0] p_data_reg;
reg  [32:0]  p_desc_reg;
wire         p_ready;

assign e_ready = !p_valid_reg || p_ready;

always @(posedge clk) begin
    if (e_ready) p_valid_reg <= e_valid;
    if (e_ready && e_valid) begin
        p_data_reg <= sel ? int8_data : sum_data;
        p_desc_reg <= sel ? int8_desc : sum_desc[59:27];
        p_last_reg <= e_last;
    end
    if (rst) p_valid_reg <= 1'b0;
end

axis_msg_emit #(.ROW_W(ROW_W)) u_emit (
    .clk(clk), .rst(rst), .id_cluster(id_cluster), .id_kernel(id_kernel),
    .s_axis_tdata(p_data_reg), .s_axis_tlast(p_last_reg), .s_axis_tvalid(p_valid_reg), .s_axis_tready(p_ready),
    .s_msg_base(p_desc_reg[7:0]), .s_slotgen(p_desc_reg[15:8]), .s_row(p_desc_reg[31:16]), .s_last(p_desc_reg[32]),
    .m_axis_tdata(m_axis_tdata), .m_axis_tkeep(m_axis_tkeep), .m_axis_tuser(m_axis_tuser), .m_axis_tlast(m_axis_tlast),
    .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready),
    .cfg_we(cwe_reg), .cfg_addr(caddr_reg), .cfg_data(cdata_reg[41:0])
);

// ---- rows between queue and messages: three in the sequencer, GROUPS in each accumulator FIFO, 17 in the output stage of int8 --------------
localparam FLIGHT_W = $clog2(ACC_FIFO_GROUPS) + 6;

reg  [FLIGHT_W-1:0] flight_reg;
reg                 active_reg, begun_reg;
wire                row_sent  = p_valid_reg && p_ready && p_last_reg;

always @(posedge clk) begin
    begun_reg  <= q_valid && q_ready;
    flight_reg <= flight_reg + {{(FLIGHT_W-1){1'b0}}, begun_reg} - {{(FLIGHT_W-1){1'b0}}, row_sent};
    active_reg <= in_held || (s_axis_tvalid && s_axis_tready) || queue_held || flight_reg != {FLIGHT_W{1'b0}} || begun_reg || m_axis_tvalid;
    if (rst) begin
        begun_reg  <= 1'b0;
        flight_reg <= {FLIGHT_W{1'b0}};
        active_reg <= 1'b0;
    end
end

assign sts_active = active_reg;

// ---- counters --------------------------------------------------------------------------------------------------------------------
wire        beat_out = m_axis_tvalid && m_axis_tready;
wire [14:0] event_now = {ev_switch, ev_drop_stale, beat_out, beat_out && m_axis_tlast, row_sent, ev_blocked, ev_no_row, ev_busy,
                         ev_drop_queue, ev_drop_format, ev_drop_slice, ev_drop_row, ev_drop_edge, ev_beat, ev_message};

genvar n;
generate
for (n = 0; n < 15; n = n + 1) begin : g_count
    reg [31:0] count_reg;
    always @(posedge clk) begin
        if (event_now[n]) count_reg <= count_reg + 32'd1;
        if (rst) count_reg <= 32'd0;
    end
    assign sts_count[32*n +: 32] = count_reg;
end
endgenerate

endmodule

`resetall
