// SPDX-License-Identifier: Apache-2.0
// Scheduler of ibert_attention: completes Q rows, offers their head beats as jobs.
//
// A Q row is complete when its `beats` beats have arrived. The rows of a (slot, bank) are served in order of their numbers, whatever the order in
// which they came: nodes that share a row then finish it at the same time. A (slot, bank) is served
// until it has nothing ready, then the next in circular order. A row is offered as `beats` jobs, one per 64-byte head beat.
//
// Job, from bit 0: n ROW_W+1 | ctx 6 | sb SB_W | beat 4 | row ROW_W | gen 4 | last 1 | end 1 (last beat of the row).
// Three cycles from a completing message to job_valid; one idle cycle between rows, none between the beats of a row.
//
// `flush` (a pulse) forgets everything of flush_of but the row being offered. Requires that no message comes with it.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_attention_rows #(
    parameter HEAD_BEATS = 2,   // most beats of a row
    parameter ROW_W      = 7,   // rows of a slot = 2**ROW_W
    parameter SB_W       = 2,   // {slot, bank}
    parameter JOB_W      = 33   // 2*ROW_W + SB_W + 17
) (
    input  wire             clk,
    input  wire             rst,
    input  wire [ROW_W-1:0] p_row,       // row of the message that comes in the next cycle, if one does
    input  wire             c_valid,
    input  wire [1:0]       c_role,
    input  wire [SB_W-1:0]  c_sb,
    input  wire [ROW_W-1:0] c_row,
    input  wire [3:0]       c_beats,
    input  wire [3:0]       c_ctx_beats,
    input  wire [5:0]       c_ctx,
    input  wire [3:0]       c_gen,
    input  wire             c_last,

    input  wire             flush,
    input  wire [3:0]       flush_of,
    output wire             sts_held,    // rows of a sequence whose queries are not all popped, or a row being offered

    output wire             job_valid,
    output wire [JOB_W-1:0] job,
    input  wire             job_take,
    output wire             sts_waiting  // a Q row waits, nothing may be served
);

localparam SB_N  = 1 << SB_W;
localparam REC_W = ROW_W + 15;   // gen, ctx, beats, n

// ---- c1: the message a cycle later, with the beats of its Q row seen before it
reg                    q_c1;
reg [SB_W-1:0]         sb_c1;
reg [ROW_W-1:0]        row_c1;
wire                   q_msg = c_valid && c_role == 2'd0;
wire                   q_done;

always @(posedge clk) begin
    q_c1 <= q_msg;
    if (q_msg) begin
        sb_c1  <= c_sb;
        row_c1 <= c_row;
    end
    if (rst) q_c1 <= 1'b0;
end

// ---- Q rows: beats seen so far; touched = 0 means none yet, so that reset needs no sweep over the table
generate
if (HEAD_BEATS == 1) begin : g_one
    reg whole_c1;
    always @(posedge clk) if (q_msg) whole_c1 <= c_ctx_beats == 4'd1;
    assign q_done = q_c1 && whole_c1;
    wire unused_row = &{1'b0, p_row};
end else begin : g_count
    localparam ROWS      = 1 << (SB_W + ROW_W);
    localparam SLOT_ROWS = 2 << ROW_W;
    integer               t;
    reg  [ROWS-1:0]       touched_reg;
    reg  [SB_N-1:0]       touched_c0;               // of the row p_row a cycle ago, by {slot, bank}
    reg  [3:0]            seen_c1, beats_c1, rest_c1;
    wire [3:0]            seen_raw;
    wire [SB_W+ROW_W-1:0] at     = {c_sb, c_row};
    wire [SB_W+ROW_W-1:0] at_c1  = {sb_c1, row_c1};
    wire [3:0]            sum_c1 = q_done ? 4'd0 : seen_c1 + beats_c1;
    wire                  again  = q_c1 && at == at_c1;   // a row twice in two cycles: its sum is not in the table yet
    assign q_done = q_c1 && seen_c1 == rest_c1;
    axis_lutram #(.DATA_W(4), .DEPTH(ROWS)) u_seen (
        .clk(clk), .wr_en(q_c1), .wr_addr(at_c1), .wr_data(sum_c1), .rd_addr(at), .rd_data(seen_raw)
    );
    always @(posedge clk) begin
        for (t = 0; t < SB_N; t = t + 1)
            touched_c0[t] <= touched_reg[(t << ROW_W) + {{(32-ROW_W){1'b0}}, p_row}] || (q_c1 && sb_c1 == t[SB_W-1:0] && row_c1 == p_row);
        if (q_msg) begin
            beats_c1 <= c_beats;
            rest_c1  <= c_ctx_beats - c_beats;
            seen_c1  <= again ? sum_c1 : touched_c0[c_sb] ? seen_raw : 4'd0;
        end
        for (t = 0; t < ROWS; t = t + 1)
            if (q_c1 && at_c1 == t[SB_W+ROW_W-1:0]) touched_reg[t] <= 1'b1;
        for (t = 0; t < SB_N / 2; t = t + 1)
            if (flush && flush_of == t[3:0]) touched_reg[SLOT_ROWS*t +: SLOT_ROWS] <= {SLOT_ROWS{1'b0}};
        if (rst)   touched_reg <= {ROWS{1'b0}};
    end
end
endgenerate

// ---- (slot, bank) state
wire [SB_N-1:0]       waiting, ready, used;
wire [SB_N*REC_W-1:0] rec;
wire [SB_N*ROW_W-1:0] q_next;
wire [SB_N-1:0]       pop;

// beats of n = c_row + 1 rows. A context with more beats than HEAD_BEATS never completes a row, whatever the number
localparam NEED_W = $clog2(HEAD_BEATS) + 1;
localparam CNT_W  = ROW_W + NEED_W;
wire [ROW_W:0]   n_next   = {1'b0, c_row} + 1'b1;
reg  [CNT_W-1:0] need;
integer          m;
always @* begin
    need = {CNT_W{1'b0}};
    for (m = 0; m < NEED_W && m < 4; m = m + 1)
        need = need + ({{(CNT_W-ROW_W-1){1'b0}}, n_next & {(ROW_W+1){c_ctx_beats[m]}}} << m);
end

genvar g;
generate
for (g = 0; g < SB_N; g = g + 1) begin : g_bank
    ibert_attention_bank #(.HEAD_BEATS(HEAD_BEATS), .ROW_W(ROW_W)) u_bank (
        .clk(clk), .rst(rst),
        .c_valid(c_valid && c_sb == g), .c_role(c_role), .c_n(n_next), .c_need(need), .c_beats(c_beats), .c_ctx_beats(c_ctx_beats),
        .c_ctx(c_ctx), .c_gen(c_gen), .c_last(c_last),
        .push(q_done && sb_c1 == g), .push_row(row_c1), .pop(pop[g]), .clear(flush && flush_of == g / 2), .used(used[g]),
        .waiting(waiting[g]), .ready(ready[g]),
        .n(rec[REC_W*g +: ROW_W+1]), .beats(rec[REC_W*g+ROW_W+1 +: 4]), .ctx(rec[REC_W*g+ROW_W+5 +: 6]), .gen(rec[REC_W*g+ROW_W+11 +: 4]),
        .q_next(q_next[ROW_W*g +: ROW_W])
    );
end
endgenerate

// ---- the row being offered
reg             act_reg;
reg [SB_W-1:0]  sb_reg;
reg [REC_W-1:0] rec_reg;
reg [3:0]       beat_reg;

// the served one first, then circular order: the first ready one of those from sb_reg on, else the first of all
wire            take_row = !act_reg && ready != {SB_N{1'b0}};
reg             low, high;   // one below is ready: of all, of those from sb_reg on
reg [SB_N-1:0]  first_all, first_from, pop_next;
reg [SB_W-1:0]  pick;
reg [ROW_W-1:0] next;
reg [REC_W-1:0] rec_next;
integer         i;
always @* begin
    low  = 1'b0;
    high = 1'b0;
    for (i = 0; i < SB_N; i = i + 1) begin
        first_all[i]  = ready[i] && !low;
        first_from[i] = ready[i] && !high && sb_reg <= i[SB_W-1:0];
        low           = low || ready[i];
        high          = high || (ready[i] && sb_reg <= i[SB_W-1:0]);
    end
    pop_next = act_reg ? {SB_N{1'b0}} : high ? first_from : first_all;
    pick     = {SB_W{1'b0}};
    next     = {ROW_W{1'b0}};
    rec_next = {REC_W{1'b0}};
    for (i = 0; i < SB_N; i = i + 1) begin
        pick     = pick | ({SB_W{pop_next[i]}} & i[SB_W-1:0]);
        next     = next | ({ROW_W{pop_next[i]}} & q_next[ROW_W*i +: ROW_W]);
        rec_next = rec_next | ({REC_W{pop_next[i]}} & rec[REC_W*i +: REC_W]);
    end
end
assign pop = pop_next;

reg [ROW_W-1:0] row;
always @(posedge clk) if (take_row) row <= next;

wire [ROW_W:0] n_now    = rec_reg[ROW_W:0];
wire [3:0]     beats    = rec_reg[ROW_W+1 +: 4];
wire           last_now = {1'b0, row} + 1'b1 == n_now;
wire           end_now  = beat_reg + 4'd1 == beats;

always @(posedge clk) begin
    if (take_row) begin
        act_reg  <= 1'b1;
        sb_reg   <= pick;
        rec_reg  <= rec_next;
        beat_reg <= 4'd0;
    end else if (job_take) begin
        beat_reg <= beat_reg + 4'd1;
        if (end_now) act_reg <= 1'b0;
    end
    if (rst) begin
        act_reg <= 1'b0;
        sb_reg  <= {SB_W{1'b0}};
    end
end

assign sts_held    = act_reg || used != {SB_N{1'b0}};
assign job_valid   = act_reg;
assign job         = {end_now, last_now, rec_reg[ROW_W+11 +: 4], row, beat_reg, sb_reg, rec_reg[ROW_W+5 +: 6], n_now};
assign sts_waiting = !act_reg && waiting != {SB_N{1'b0}} && ready == {SB_N{1'b0}};

endmodule

`resetall
