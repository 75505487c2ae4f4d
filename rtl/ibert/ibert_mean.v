// SPDX-License-Identifier: Apache-2.0
//
// Mean of a row.
//
//   mean = round_half_even(total / count),   count > 0,   -count * 2^(MEAN_W-1) <= total <= count * (2^(MEAN_W-1) - 1)
//
// The magnitude is divided, rounded half to even and given its sign back: half to even is symmetric. With `start` in cycle 0 the
// pulse `done` comes in cycle ceil(SUM_W/2) + 2; a start is taken whenever `busy` is low, and `mean` holds until the next `done`.
//
// Does not: sum, saturate, or answer for count = 0. Reset drops the division under way.

`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_mean #(
    parameter SUM_W   = 34,  // bits of total. Requires SUM_W >= MEAN_W
    parameter COUNT_W = 13,  // bits of count
    parameter MEAN_W  = 24   // bits of mean, at least 2
) (
    input  wire                      clk,
    input  wire                      rst,
    input  wire                      start,
    input  wire signed [  SUM_W-1:0] total,
    input  wire        [COUNT_W-1:0] count,
    output wire                      busy,
    output wire                      done,
    output wire signed [ MEAN_W-1:0] mean
);

  generate
    if (MEAN_W < 2 || SUM_W < MEAN_W) begin : g_err
      PARAM_ERROR_ibert_mean_SUM_W_at_least_MEAN_W u_err ();
    end
  endgenerate

  wire [  SUM_W-1:0] magnitude = total[SUM_W-1] ? -total : total;
  reg                negative_reg;
  reg  [COUNT_W-1:0] count_reg;
  wire               div_done;
  wire [  SUM_W-1:0] quo;
  wire [COUNT_W-1:0] rem;

  ibert_div #(
      .NUM_W(SUM_W),
      .DEN_W(COUNT_W)
  ) u_div (
      .clk  (clk),
      .rst  (rst),
      .start(start),
      .num  (magnitude),
      .den  (count),
      .busy (busy),
      .done (div_done),
      .quo  (quo),
      .rem  (rem)
  );

  // above the half, or at it and odd: 2*rem + odd > count
  wire              up = {rem, quo[0]} > {1'b0, count_reg};
  // -(quo + up) = ~quo + !up
  wire [MEAN_W-1:0] nearest = (quo[MEAN_W-1:0] ^ {MEAN_W{negative_reg}}) + {{MEAN_W - 1{1'b0}}, up != negative_reg};
  wire              unused = &{1'b0, quo};  // |mean| <= 2^(MEAN_W-1)

  reg                     done_reg;
  reg signed [MEAN_W-1:0] mean_reg;

  always @(posedge clk) begin
    if (start && !busy) begin
      negative_reg <= total[SUM_W-1];
      count_reg    <= count;
    end
    done_reg <= div_done;
    if (div_done) mean_reg <= nearest;
    if (rst) done_reg <= 1'b0;
  end

  assign done = done_reg;
  assign mean = mean_reg;

endmodule

`resetall
