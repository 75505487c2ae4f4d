// SPDX-License-Identifier: Apache-2.0
// Scheduler of ibert_attention: completes Q rows, offers their head beats as jobs.
//
// A Q row is complete when its `beats` beats have arrived. The rows of a (slot, bank) are served in order of their numbers, whatever the order in
// which they came: nodes that share a row then finish it at the same time. A (slot, bank) is served
// until it has nothing ready, then the next in circular order. A row is offered as `beats` jobs, one per 64-byte head beat.
//
// Job, from bit 0: n ROW_W+1 | ctx 6 | sb SB_W | beat 4 | row ROW_W | gen 4 | last 1 | end 1 (last beat of the row).
// Four cycles from a completing message to job_valid; one idle cycle between rows, none between the beats of a row.
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
localparam ROWS  = 1 << (SB_W + ROW_W);
localparam REC_W = ROW_W + 15;   // gen, ctx, beats, n

// ---- Q rows: beats seen so far; touched = 0 means none, so that reset needs no sweep over the table
wire q_done;
generate
if (HEAD_BEATS == 1) begin : g_one
    assign q_done = c_valid && c_role == 2'd0;
    wire unused = &{1'b0, c_beats};
end else begin : g_count
    localparam SLOT_ROWS = 2 << ROW_W;
    integer               t;
    reg  [ROWS-1:0]       touched_reg;
    wire [3:0]            seen_raw;
    wire [SB_W+ROW_W-1:0] at    = {c_sb, c_row};
    wire [3:0]            seen  = (touched_reg[at] ? seen_raw : 4'd0) + c_beats;
    wire                  q_msg = c_valid && c_role == 2'd0;
    assign q_done = q_msg && seen == c_ctx_beats;
    axis_lutram #(.DATA_W(4), .DEPTH(ROWS)) u_seen (
        .clk(clk), .wr_en(q_msg), .wr_addr(at), .wr_data(seen), .rd_addr(at), .rd_data(seen_raw)
    );
    always @(posedge clk) begin
        if (q_msg) touched_reg[at] <= !q_done;
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

// complete Q rows that are not taken yet
localparam BANK_ROWS = 1 << ROW_W;
reg  [ROWS-1:0]       done_reg;

genvar g;
generate
for (g = 0; g < SB_N; g = g + 1) begin : g_bank
    wire [BANK_ROWS-1:0] done = done_reg[BANK_ROWS*g +: BANK_ROWS];
    ibert_attention_bank #(.HEAD_BEATS(HEAD_BEATS), .ROW_W(ROW_W)) u_bank (
        .clk(clk), .rst(rst),
        .c_valid(c_valid && c_sb == g), .c_role(c_role), .c_row(c_row), .c_beats(c_beats), .c_ctx_beats(c_ctx_beats),
        .c_ctx(c_ctx), .c_gen(c_gen), .c_last(c_last),
        .push(q_done && c_sb == g), .pop(pop[g]), .head(done[q_next[ROW_W*g +: ROW_W]]), .clear(flush && flush_of == g / 2), .used(used[g]),
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

// the served one first, then circular order
reg  [SB_W-1:0] pick;
integer         i;
always @* begin
    pick = sb_reg;
    for (i = SB_N - 1; i >= 0; i = i - 1)
        if (ready[sb_reg + i[SB_W-1:0]]) pick = sb_reg + i[SB_W-1:0];
end
wire take_row = !act_reg && ready != {SB_N{1'b0}};
assign pop = take_row ? {{(SB_N-1){1'b0}}, 1'b1} << pick : {SB_N{1'b0}};

reg  [ROW_W-1:0] row;
wire [ROW_W-1:0] next = q_next[ROW_W*pick +: ROW_W];
integer          s;

always @(posedge clk) begin
    if (take_row) begin
        row                    <= next;
        done_reg[{pick, next}] <= 1'b0;
    end
    if (q_done) done_reg[{c_sb, c_row}] <= 1'b1;
    for (s = 0; s < SB_N / 2; s = s + 1)
        if (flush && flush_of == s[3:0]) done_reg[2*BANK_ROWS*s +: 2*BANK_ROWS] <= {2*BANK_ROWS{1'b0}};
    if (rst) done_reg <= {ROWS{1'b0}};
end

wire [ROW_W:0] n_now    = rec_reg[ROW_W:0];
wire [3:0]     beats    = rec_reg[ROW_W+1 +: 4];
wire           last_now = {1'b0, row} + 1'b1 == n_now;
wire           end_now  = beat_reg + 4'd1 == beats;

always @(posedge clk) begin
    if (take_row) begin
        act_reg  <= 1'b1;
        sb_reg   <= pick;
        rec_reg  <= rec[REC_W*pick +: REC_W];
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
