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
  reg         over;  // a bit of the root is shifted out
  integer     i;

  always @* begin
    over = 1'b0;
    for (i = 1; i < 16; i = i + 1) if (root[i] && {1'b0, shift} >= 6'd32 - i[5:0]) over = 1'b1;
  end

  assign sigma = over ? 32'hFFFFFFFF : {low[31:1], low[0] || root == 16'd0};

endmodule

`resetall
