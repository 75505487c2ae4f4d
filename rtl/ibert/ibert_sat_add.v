// SPDX-License-Identifier: Apache-2.0
//
// One step of a saturating sum of numbers that are not negative: the variance of LayerNorm.
//
//   y = min(acc + x, 2^W - 1)
//
// Nothing is rounded. Combinational (latency 0). Saturating every step gives what saturating the whole sum once would give.
// Does not: handle signs (ibert_sat does), or hold the sum.

`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_sat_add #(
    parameter X_W = 36,  // bits of x. Requires X_W >= W
    parameter W   = 32   // bits of acc and y, at least 1
) (
    input  wire [  W-1:0] acc,
    input  wire [X_W-1:0] x,
    output wire [  W-1:0] y
);

  generate
    if (W < 1 || X_W < W) begin : g_err
      PARAM_ERROR_ibert_sat_add_X_W_at_least_W u_err ();
    end
  endgenerate

  wire [X_W:0] sum = {1'b0, x} + {{X_W + 1 - W{1'b0}}, acc};

  assign y = (sum[X_W:W] != {X_W + 1 - W{1'b0}}) ? {W{1'b1}} : sum[W-1:0];

endmodule

`resetall
