// SPDX-License-Identifier: Apache-2.0
// Dot products of one beat of int8 with another: HEADS independent sums over 64/HEADS bytes.
//
//   m_sum[h] = sum over i of s_a[h*64/HEADS + i] * s_b[h*64/HEADS + i]      |m_sum| <= 64 * 2^14 = 2^20
//
// Exact, nothing rounded. Latency 4 cycles, one beat a cycle, no stall; registers move only with valid data.
// 32-bit lanes and sums of four at most before a register: the form that simulates fast. No two of its products have a factor in
// common, so that none could share a DSP slice: they are built of LUTs.
`resetall
`timescale 1ns/1ps
`default_nettype none

(* use_dsp = "no" *)
module ibert_dot #(
    parameter HEADS = 1     // 1 or 2
) (
    input  wire                clk,
    input  wire                rst,
    input  wire                s_valid,
    input  wire [511:0]        s_a,
    input  wire [511:0]        s_b,
    output wire                m_valid,
    output wire [32*HEADS-1:0] m_sum
);

reg [511:0] p0_p1, p1_p1, p2_p1, p3_p1, l1_p2;
reg [127:0] l2_p3;
reg         valid_p1, valid_p2, valid_p3, valid_p4;
integer     k;

always @(posedge clk) begin
    if (s_valid) begin
        for (k = 0; k < 16; k = k + 1) begin
            p0_p1[32*k +: 32] <= $signed({{24{s_a[32*k+7]}},  s_a[32*k    +: 8]}) * $signed({{24{s_b[32*k+7]}},  s_b[32*k    +: 8]});
            p1_p1[32*k +: 32] <= $signed({{24{s_a[32*k+15]}}, s_a[32*k+8  +: 8]}) * $signed({{24{s_b[32*k+15]}}, s_b[32*k+8  +: 8]});
            p2_p1[32*k +: 32] <= $signed({{24{s_a[32*k+23]}}, s_a[32*k+16 +: 8]}) * $signed({{24{s_b[32*k+23]}}, s_b[32*k+16 +: 8]});
            p3_p1[32*k +: 32] <= $signed({{24{s_a[32*k+31]}}, s_a[32*k+24 +: 8]}) * $signed({{24{s_b[32*k+31]}}, s_b[32*k+24 +: 8]});
        end
    end
    if (valid_p1) begin
        for (k = 0; k < 16; k = k + 1)
            l1_p2[32*k +: 32] <= (p0_p1[32*k +: 32] + p1_p1[32*k +: 32]) + (p2_p1[32*k +: 32] + p3_p1[32*k +: 32]);
    end
    if (valid_p2) begin
        for (k = 0; k < 4; k = k + 1)
            l2_p3[32*k +: 32] <= (l1_p2[128*k +: 32] + l1_p2[128*k+32 +: 32]) + (l1_p2[128*k+64 +: 32] + l1_p2[128*k+96 +: 32]);
    end
    valid_p1 <= s_valid;
    valid_p2 <= valid_p1;
    valid_p3 <= valid_p2;
    valid_p4 <= valid_p3;
    if (rst) begin
        valid_p1 <= 1'b0;
        valid_p2 <= 1'b0;
        valid_p3 <= 1'b0;
        valid_p4 <= 1'b0;
    end
end

reg [32*HEADS-1:0] sum_p4;
generate
if (HEADS == 1) begin : g_one
    always @(posedge clk)
        if (valid_p3) sum_p4 <= (l2_p3[31:0] + l2_p3[63:32]) + (l2_p3[95:64] + l2_p3[127:96]);
end else if (HEADS == 2) begin : g_two
    always @(posedge clk)
        if (valid_p3) sum_p4 <= {l2_p3[95:64] + l2_p3[127:96], l2_p3[31:0] + l2_p3[63:32]};
end else begin : g_err
    PARAM_ERROR_ibert_dot_HEADS_1_or_2 u_err ();
end
endgenerate

assign m_valid = valid_p4;
assign m_sum   = sum_p4;

endmodule

`resetall
