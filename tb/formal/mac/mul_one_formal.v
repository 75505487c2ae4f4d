// SPDX-License-Identifier: Apache-2.0
// Proof of ibert_mul_pair, one product pair at a time: with the other three activations 0, the sums are the two products, for every
// a0, a1, x. WHICH is the pair. The enables are 1: what they do is mac_pair's business. Then no output depends on anything but the inputs of
// two cycles before, or the 0 at reset: three cycles are all there is to see, and each is looked at for all 2^24 operands.
`resetall
`timescale 1ns/1ps
`default_nettype none

module mul_one_formal #(
    parameter WHICH = 0
) (
    input  wire        clk,
    input  wire [7:0]  x,
    input  wire [31:0] a0,      // the weights of the others are free
    input  wire [31:0] a1,
    output wire        bad
);

wire [17:0] lo, hi;
reg signed [17:0] lo_p2, lo_p3, hi_p2, hi_p3;

ibert_mul_pair u_pair (
    .clk(clk), .en_p1(1'b1), .en_p2(1'b1), .x({24'd0, x} << (8*WHICH)), .a0(a0), .a1(a1), .lo(lo), .hi(hi)
);

always @(posedge clk) begin
    lo_p2 <= $signed(a0[8*WHICH +: 8]) * $signed(x);
    hi_p2 <= $signed(a1[8*WHICH +: 8]) * $signed(x);
    lo_p3 <= lo_p2;
    hi_p3 <= hi_p2;
end

assign bad = lo != lo_p3 || hi != hi_p3;

endmodule

`resetall
