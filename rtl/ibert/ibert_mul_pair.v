// SPDX-License-Identifier: Apache-2.0
// Four int8 activations times the weights of two outputs: two products in one DSP48E2, eight in four.
//
//   lo = sum_k a0[k] * x[k],   hi = sum_k a1[k] * x[k]        k = 0 .. 3, signed, |lo|, |hi| <= 4 * 2^14 = 2^16
//
// Each multiplier makes ((a1 << 18) + a0) * x = (a1*x << 18) + a0*x, 27 by 8 bits. Four such words are added as they are, P; then
// lo = P[17:0] signed, hi = P[35:18] + P[17]: a negative lo has borrowed one from hi. Exact while -2^17 <= lo < 2^17: sums of seven
// terms do, eight of -128 * -128 do not. Nothing is rounded.
// Latency 2 cycles (products, sums), one word a cycle; a stage moves only where its enable is 1. No reset, no handshake.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_mul_pair (
    input  wire        clk,
    input  wire        en_p1,   // x, a0, a1 valid
    input  wire        en_p2,
    input  wire [31:0] x,       // x[k] is x[8*k +: 8], and so on
    input  wire [31:0] a0,
    input  wire [31:0] a1,
    output wire [17:0] lo,
    output wire [17:0] hi
);

reg signed [35:0] prod0_p2, prod1_p2, prod2_p2, prod3_p2;
reg        [17:0] lo_p3, hi_p3;

// both weights as one factor, sign of the lower one extended into the upper
function signed [26:0] packed_pair(input signed [7:0] upper, input signed [7:0] lower);
    packed_pair = $signed({upper[7], upper, 18'd0}) + $signed({{19{lower[7]}}, lower});
endfunction

wire signed [26:0] a_0 = packed_pair(a1[7:0],   a0[7:0]);
wire signed [26:0] a_1 = packed_pair(a1[15:8],  a0[15:8]);
wire signed [26:0] a_2 = packed_pair(a1[23:16], a0[23:16]);
wire signed [26:0] a_3 = packed_pair(a1[31:24], a0[31:24]);
wire        [35:0] sum = (prod0_p2 + prod1_p2) + (prod2_p2 + prod3_p2);

always @(posedge clk) begin
    if (en_p1) begin
        prod0_p2 <= a_0 * $signed(x[7:0]);
        prod1_p2 <= a_1 * $signed(x[15:8]);
        prod2_p2 <= a_2 * $signed(x[23:16]);
        prod3_p2 <= a_3 * $signed(x[31:24]);
    end
    if (en_p2) begin
        lo_p3 <= sum[17:0];
        hi_p3 <= sum[35:18] + {17'd0, sum[17]};
    end
end

assign lo = lo_p3;
assign hi = hi_p3;

endmodule

`resetall
