// SPDX-License-Identifier: Apache-2.0
//
// One channel of LayerNorm's second pass: a square of the variance.
//
//   vs = (y - mu) >> shift;   sq = vs^2 where |vs| < 2^16;   big = |vs| >= 2^16: the square has more than 32 bits
//
// `>>` is arithmetic (floor). One value a cycle, no stall: y is valid in stage r1, sq and big are 4 cycles later (r5). The user drives the
// enable of each stage. The square is of LUTs. Does not: sum, saturate, hold mu and shift (the user keeps them constant during a pass).

`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_square_lane (
    input  wire               clk,
    input  wire               en_r1,  // y valid
    input  wire               en_r2,
    input  wire               en_r3,
    input  wire               en_r4,
    input  wire signed [23:0] y,
    input  wire signed [23:0] mu,
    input  wire        [ 4:0] shift,
    output wire        [31:0] sq,     // stage r5
    output wire               big
);

  reg signed [24:0] v_r2;
  reg signed [24:0] vs_r3;
  reg        [15:0] mag_r4;
  reg               big_r4;
  reg        [31:0] sq_r5;
  reg               big_r5;

  wire [24:0] mag = vs_r3[24] ? -vs_r3 : vs_r3;
  (* use_dsp = "no" *)
  wire [31:0] square;
  assign square = mag_r4 * mag_r4;

  always @(posedge clk) begin
    if (en_r1) v_r2 <= $signed({y[23], y}) - $signed({mu[23], mu});
    if (en_r2) vs_r3 <= v_r2 >>> shift;
    if (en_r3) {big_r4, mag_r4} <= {mag[24:16] != 9'd0, mag[15:0]};
    if (en_r4) {big_r5, sq_r5} <= {big_r4, square};
  end

  assign sq  = sq_r5;
  assign big = big_r5;

endmodule

`resetall
