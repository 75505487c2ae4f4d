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

  wire [31:0] low = {16'd0, root} << shift;
  // bits of the root that a shift of 16 or more puts beyond bit 31: the upper shift - 16 ones
  wire [31:0] beyond = 32'hFFFF0000 >> shift[3:0];
  wire        over = shift[4] && (root & beyond[15:0]) != 16'd0;
  wire        unused_beyond = &{1'b0, beyond[31:16]};

  assign sigma = over ? 32'hFFFFFFFF : {low[31:1], low[0] || root == 16'd0};

endmodule

`resetall
