// SPDX-License-Identifier: Apache-2.0
// Proof of the adders of ibert_mul_pair: where its four multipliers give (q << 18) + p, as mul_one proves, and p, q are products of
// int8, then lo is the sum of the p and hi that of the q. The multipliers are taken out (patch mul_any), the
// enables are 1: three cycles are all there is to see.
`resetall
`timescale 1ns/1ps
`default_nettype none

module mul_sum_formal (
    input  wire        clk,
    input  wire [63:0] p_any,
    input  wire [63:0] q_any,
    output wire        bad
);

// what lies beyond a product's range, -127*128 .. 2^14, becomes 0
function signed [15:0] product(input signed [15:0] any);
    product = (any < -16'sd16256 || any > 16'sd16384) ? 16'sd0 : any;
endfunction

wire signed [15:0] p0 = product(p_any[15:0]), p1 = product(p_any[31:16]), p2 = product(p_any[47:32]), p3 = product(p_any[63:48]);
wire signed [15:0] q0 = product(q_any[15:0]), q1 = product(q_any[31:16]), q2 = product(q_any[47:32]), q3 = product(q_any[63:48]);
wire        [17:0] lo, hi;
reg signed  [17:0] lo_p2, hi_p2, lo_p3, hi_p3;

ibert_mul_pair u_pair (
    .clk(clk), .en_p1(1'b1), .en_p2(1'b1), .x(32'd0), .a0(32'd0), .a1(32'd0), .lo(lo), .hi(hi),
    .p({p3, p2, p1, p0}), .q({q3, q2, q1, q0})
);

always @(posedge clk) begin
    lo_p2 <= (p0 + p1) + (p2 + p3);
    hi_p2 <= (q0 + q1) + (q2 + q3);
    lo_p3 <= lo_p2;
    hi_p3 <= hi_p2;
end

assign bad = lo != lo_p3 || hi != hi_p3;

endmodule

`resetall
