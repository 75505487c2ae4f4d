// SPDX-License-Identifier: Apache-2.0
// Generations and FLUSH of a kernel: which messages count, and when the records of a slot are emptied.
//
//   age = (generation - cur[slot]) mod 16:   0 current;  1..7 newer, cur[slot] becomes it;  8..15 stale, to be dropped
//
// Check: chk_stale answers in the same cycle, cur follows one cycle later; one check a cycle. A message's beats are checked one by one:
// after the first one its generation is cur. chk_valid only for a slot below 2**SLOT_W, of a beat that is not cut.
//
// FLUSH(slot): sts_flushing is 1, and in_open 0, from the cycle after flush_valid for
//   DRAIN      cycles in which what was taken goes through the kernel's input pipeline,
//   2**SWEEP_W cycles in which sweep_index counts through the records of sweep_slot (`start` in the first of them), and longer while `busy`.
// With `start` cur[slot] becomes flush_gen, and a message of this slot that is half received is cut: in_cut is 1 with each of its further
// beats, whatever its generation. flush_valid is ignored while sts_flushing is 1 and for a slot that does not exist.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_slots #(
    parameter SLOT_W  = 1,    // slots = 2**SLOT_W, 0..4
    parameter DRAIN   = 5,    // cycles, 1..15: from a beat taken to its last trace in records and queues
    parameter SWEEP_W = 10    // records of a slot = 2**SWEEP_W, at least 1
) (
    input  wire               clk,
    input  wire               rst,

    input  wire               in_take,      // a beat is taken
    input  wire               in_last,
    input  wire [3:0]         in_slot,
    output wire               in_open,      // beats may be taken
    output wire               in_part,      // a message is half received
    output wire               in_cut,       // the beat offered belongs to a cut message

    input  wire               chk_valid,
    input  wire [3:0]         chk_slot,
    input  wire [3:0]         chk_gen,
    output wire               chk_stale,
    output wire [(4 << SLOT_W)-1:0] cur,    // generation of every slot, slot 0 lowest

    input  wire               flush_valid,
    input  wire [3:0]         flush_slot,
    input  wire [3:0]         flush_gen,
    output wire               sts_flushing,

    output wire               start,
    output wire               sweep_valid,
    output wire [3:0]         sweep_slot,   // stays after the flush
    output wire [SWEEP_W-1:0] sweep_index,
    input  wire               busy          // answers `start` one cycle later
);

localparam SLOT_N = 1 << SLOT_W;

generate
if (SLOT_W < 0 || SLOT_W > 4) begin : g_slot_w
    PARAM_ERROR_ibert_slots_SLOT_W_0_to_4 u_err ();
end
if (DRAIN < 1 || DRAIN > 15 || SWEEP_W < 1) begin : g_drain
    PARAM_ERROR_ibert_slots_DRAIN_1_to_15_SWEEP_W_from_1 u_err ();
end
endgenerate

localparam [1:0] S_IDLE = 2'd0, S_DRAIN = 2'd1, S_START = 2'd2, S_SWEEP = 2'd3;

reg [1:0]         state_reg, state_next;
reg [3:0]         slot_reg, gen_reg, drain_reg;
reg [SWEEP_W-1:0] index_reg;
reg               swept_reg;      // every record was named
reg               start_reg;
reg               part_reg, cut_reg;
reg [3:0]         part_slot_reg;
reg [4*SLOT_N-1:0] cur_reg;

wire accept = state_reg == S_IDLE && flush_valid && (flush_slot >> SLOT_W) == 4'd0;

always @* begin
    state_next = state_reg;
    case (state_reg)
        S_IDLE:  if (accept) state_next = S_DRAIN;
        S_DRAIN: if (drain_reg == DRAIN[3:0]) state_next = S_START;
        S_START: state_next = S_SWEEP;
        default: if ((swept_reg || (&index_reg)) && !busy) state_next = S_IDLE;
    endcase
end

// ---- the message at the input ---------------------------------------------------------------------------------------------------
assign start       = start_reg;    // state_reg == S_START
assign sweep_valid = start || (state_reg == S_SWEEP && !swept_reg);
assign sweep_slot  = slot_reg;
assign sweep_index = index_reg;

assign in_open      = state_reg == S_IDLE;
assign in_part      = part_reg;
assign in_cut       = cut_reg;
assign sts_flushing = state_reg != S_IDLE;

// ---- generations ------------------------------------------------------------------------------------------------------------------
reg [3:0] cur_chk;
integer   i;

always @* begin
    cur_chk = 4'd0;
    for (i = 0; i < SLOT_N; i = i + 1)
        if (chk_slot == i[3:0]) cur_chk = cur_reg[4*i +: 4];
end

wire [3:0] age = chk_gen - cur_chk;
wire       unused_age = &{1'b0, age[2:0]};

assign chk_stale = age[3];
assign cur       = cur_reg;

always @(posedge clk) begin
    state_reg <= state_next;
    start_reg <= state_next == S_START;
    drain_reg <= (state_reg == S_DRAIN) ? drain_reg + 4'd1 : 4'd1;
    index_reg <= sweep_valid ? index_reg + 1'b1 : {SWEEP_W{1'b0}};
    swept_reg <= (state_reg == S_SWEEP) && (swept_reg || (&index_reg));
    if (accept) begin
        slot_reg <= flush_slot;
        gen_reg  <= flush_gen;
    end
    if (in_take) begin
        part_reg      <= !in_last;
        part_slot_reg <= in_slot;
        if (in_last) cut_reg <= 1'b0;
    end
    if (start && part_reg && part_slot_reg == slot_reg) cut_reg <= 1'b1;
    if (rst) begin
        state_reg <= S_IDLE;
        start_reg <= 1'b0;
        part_reg  <= 1'b0;
        cut_reg   <= 1'b0;
    end
end

genvar s;
generate
for (s = 0; s < SLOT_N; s = s + 1) begin : g_cur
    always @(posedge clk) begin
        if (chk_valid && !chk_stale && chk_slot == s) cur_reg[4*s +: 4] <= chk_gen;
        if (start && slot_reg == s)                   cur_reg[4*s +: 4] <= gen_reg;
        if (rst)                                      cur_reg[4*s +: 4] <= 4'd0;
    end
end
endgenerate

endmodule

`resetall
