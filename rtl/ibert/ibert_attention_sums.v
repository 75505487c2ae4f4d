// SPDX-License-Identifier: Apache-2.0
// Sums of ibert_attention: 64 columns of values, weighted with one byte a key and head.
//
//   acc[c] = (first_p2 ? 0 : acc[c]) + p[h(c)] * v[c]      p unsigned 8, v int8; |acc| <= 2^ROW_W * 255 * 128 < 2^(15+ROW_W)
//
// Two columns share a multiplier: ((v1 << 18) + v0) * p = (v1*p << 18) + v0*p, 27 by 9 bits, one DSP48E2. The low 18 bits, signed, are
// v0*p, for |v0*p| < 2^15; a negative one has borrowed one from v1*p above. Exact, nothing rounded.
// Latency 2 cycles from p, v to acc (products, sums), one key a cycle; a stage moves only where its enable is 1. No reset, no handshake.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_attention_sums #(
    parameter HEADS = 1,    // heads in a beat. Requires 1 or 2
    parameter ACC_W = 23    // bits of a sum, at most 32. Requires 16 + bits of a key's number
) (
    input  wire                clk,
    input  wire                en_p1,      // p, v valid
    input  wire                en_p2,
    input  wire                first_p2,   // first key of a job
    input  wire [8*HEADS-1:0]  p,
    input  wire [511:0]        v,
    output wire [64*ACC_W-1:0] acc
);

localparam PAIRS = 32 / HEADS;

generate
if (HEADS != 1 && HEADS != 2) begin : g_heads
    PARAM_ERROR_ibert_attention_sums_HEADS_1_or_2 u_err ();
end
if (ACC_W < 17 || ACC_W > 32) begin : g_acc_w
    PARAM_ERROR_ibert_attention_sums_ACC_W_17_to_32 u_err ();
end
endgenerate

genvar k;
generate
for (k = 0; k < 32; k = k + 1) begin : g_pair
    wire signed [7:0]       v0 = v[16*k +: 8];
    wire signed [7:0]       v1 = v[16*k+8 +: 8];
    wire signed [26:0]      a  = $signed({v1[7], v1, 18'd0}) + $signed({{19{v0[7]}}, v0});
    wire signed [8:0]       b  = $signed({1'b0, p[8*(k/PAIRS) +: 8]});
    reg  signed [35:0]      prod_p2;
    reg  signed [ACC_W-1:0] acc0_p3, acc1_p3;
    wire signed [ACC_W-1:0] lo = {{(ACC_W-16){prod_p2[17]}}, prod_p2[15:0]};
    // the carry that was borrowed comes in at the adder
    wire signed [ACC_W-1:0] hi = {{(ACC_W-16){prod_p2[35]}}, prod_p2[33:18]};
    wire signed [ACC_W-1:0] one = {{(ACC_W-1){1'b0}}, prod_p2[17]};

    always @(posedge clk) begin
        if (en_p1) prod_p2 <= a * b;
        if (en_p2) begin
            acc0_p3 <= (first_p2 ? {ACC_W{1'b0}} : acc0_p3) + lo;
            acc1_p3 <= (first_p2 ? {ACC_W{1'b0}} : acc1_p3) + hi + one;
        end
    end
    assign acc[2*ACC_W*k +: 2*ACC_W] = {acc1_p3, acc0_p3};
    wire unused = &{1'b0, prod_p2[34], prod_p2[16]};
end
endgenerate

endmodule

`resetall
