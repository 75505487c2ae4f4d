// SPDX-License-Identifier: Apache-2.0
// Bookkeeping of one (slot, bank) of ibert_attention: what has arrived, whether it may be served, when it starts anew.
//
//   n     = row + 1 of any message flagged last row (Q, K or V; all of them agree)
//   open  = n known and K beats = V beats = n * beats   (beats are counted, in any order of rows and slices)
//   ready = open and the next Q row, in order of rows, is complete
//
// `open` follows the completing message by two cycles. When the n-th Q row is popped every count returns to zero: no message of the
// next sequence in this (slot, bank) can exist before the outputs of this one have left the node; `used` is 0 from then on until the next
// message comes. `clear` (FLUSH) does the same at any time: rows popped before it go on, nothing of them comes back here. It trusts senders to send
// each slice once.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_attention_bank #(
    parameter HEAD_BEATS = 2,   // most beats of a row
    parameter ROW_W      = 7    // rows of a slot = 2**ROW_W
) (
    input  wire             clk,
    input  wire             rst,
    input  wire             c_valid,     // a message for this bank
    input  wire [1:0]       c_role,
    input  wire [ROW_W:0]   c_n,         // its row + 1
    input  wire [ROW_W+$clog2(HEAD_BEATS):0] c_need,  // times beats of a row
    input  wire [3:0]       c_beats,
    input  wire [3:0]       c_ctx_beats,
    input  wire [5:0]       c_ctx,
    input  wire [3:0]       c_gen,
    input  wire             c_last,
    input  wire             push,        // the Q row push_row became complete
    input  wire [ROW_W-1:0] push_row,
    input  wire             pop,         // a Q row is taken
    input  wire             clear,

    output wire             used,        // rows of a sequence are here, not all of its queries are popped
    output wire             waiting,     // a complete Q row is here
    output wire             ready,
    output wire [ROW_W:0]   n,
    output wire [5:0]       ctx,
    output wire [3:0]       gen,
    output wire [3:0]       beats,
    output wire [ROW_W-1:0] q_next
);

// largest count: 2**ROW_W rows of HEAD_BEATS beats
localparam CNT_W = ROW_W + 1 + $clog2(HEAD_BEATS);

reg [CNT_W-1:0] k_cnt_reg, v_cnt_reg, need_reg;
reg             known_reg, open_reg, used_reg, head_reg;
reg             new_reg;                 // the Q row q_next became complete a cycle ago
reg  [(1 << ROW_W)-1:0] done_reg;        // complete Q rows that are not taken
reg             end_reg;                 // the next row is the last; of the counts a cycle ago, which stand two cycles before a pop
reg [ROW_W:0]   n_reg, wr_reg, rd_reg;   // Q rows completed, taken
reg [5:0]       ctx_reg;
reg [3:0]       gen_reg, beats_reg;

wire [CNT_W+3:0] c_add    = {{CNT_W{1'b0}}, c_beats};
wire             retire   = pop && end_reg;

integer          i;

always @(posedge clk) begin
    if (c_valid) begin
        used_reg  <= 1'b1;
        ctx_reg   <= c_ctx;
        gen_reg   <= c_gen;
        beats_reg <= c_ctx_beats;
        if (c_role == 2'd1) k_cnt_reg <= k_cnt_reg + c_add[CNT_W-1:0];
        if (c_role == 2'd2) v_cnt_reg <= v_cnt_reg + c_add[CNT_W-1:0];
        if (c_last) begin
            n_reg     <= c_n;
            need_reg  <= c_need;
            known_reg <= 1'b1;
        end
    end
    open_reg <= known_reg && k_cnt_reg == need_reg && v_cnt_reg == need_reg;
    head_reg <= done_reg[q_next] && !pop;
    new_reg  <= push && push_row == q_next && !pop;
    for (i = 0; i < (1 << ROW_W); i = i + 1)
        done_reg[i] <= (push && push_row == i[ROW_W-1:0]) || (done_reg[i] && !(pop && q_next == i[ROW_W-1:0]));
    end_reg  <= rd_reg + 1'b1 == n_reg;
    if (push) wr_reg <= wr_reg + 1'b1;
    if (pop)  rd_reg <= rd_reg + 1'b1;

    if (rst || retire || clear) begin
        k_cnt_reg <= {CNT_W{1'b0}};
        v_cnt_reg <= {CNT_W{1'b0}};
        wr_reg    <= {(ROW_W+1){1'b0}};
        rd_reg    <= {(ROW_W+1){1'b0}};
        done_reg  <= {(1 << ROW_W){1'b0}};
        known_reg <= 1'b0;
        open_reg  <= 1'b0;
        head_reg  <= 1'b0;
        new_reg   <= 1'b0;
        used_reg  <= 1'b0;
    end
end

assign used    = used_reg;
assign waiting = wr_reg != rd_reg;
assign ready   = (head_reg || new_reg) && open_reg;
assign n       = n_reg;
assign ctx     = ctx_reg;
assign gen     = gen_reg;
assign beats   = beats_reg;
assign q_next  = rd_reg[ROW_W-1:0];

// beats <= HEAD_BEATS in every accepted message, so the counts fit
wire unused = &{1'b0, c_add[CNT_W+3:CNT_W]};

endmodule

`resetall
