// SPDX-License-Identifier: Apache-2.0
//
// Saturation of a signed value to fewer bits.
//
//   y = min(max(x, -2^(OUT_W-1)), 2^(OUT_W-1) - 1)
//
// Combinational. Does not round: values that need rounding go through ibert_requant.

`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_sat #(
    parameter IN_W  = 33,  // bits of x. Requires IN_W > OUT_W
    parameter OUT_W = 24   // bits of y, at least 2
) (
    input  wire signed [ IN_W-1:0] x,
    output wire signed [OUT_W-1:0] y
);

  generate
    if (OUT_W < 2 || IN_W <= OUT_W) begin : g_err
      PARAM_ERROR_ibert_sat_IN_W_must_exceed_OUT_W u_err ();
    end
  endgenerate

  // fits when every bit from the new sign bit upwards is the sign
  wire fits = x[IN_W-1:OUT_W-1] == {(IN_W - OUT_W + 1) {x[IN_W-1]}};

  assign y = fits ? x[OUT_W-1:0] : {x[IN_W-1], {(OUT_W - 1) {!x[IN_W-1]}}};

endmodule

`resetall
