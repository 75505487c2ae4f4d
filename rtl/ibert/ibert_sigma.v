// SPDX-License-Identifier: Apache-2.0
//
// Divisor of LayerNorm: the standard deviation from the root of the shifted variance.
//
//   sigma = min(max(root << shift, 1), 2^32 - 1)
//
// Nothing is rounded. Combinational (latency 0). The upper limit does not show in the factor: floor(2^31 / sigma) is 0 for every
// sigma above 2^31. Does not: take the root (ibert_isqrt), or divide (ibert_recip).

`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_sigma (
    input  wire [15:0] root,
    input  wire [ 4:0] shift,
    output wire [31:0] sigma
);

  // root < 2^16, shift <= 31: 47 bits
  wire [46:0] shifted = {31'd0, root} << shift;

  assign sigma = (root == 16'd0) ? 32'd1 : (shifted[46:32] != 15'd0) ? 32'hFFFFFFFF : shifted[31:0];

endmodule

`resetall
