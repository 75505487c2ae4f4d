// SPDX-License-Identifier: Apache-2.0
// One output of the MAC array: a dot product of K_LANES int8 pairs a cycle, accumulated over the words of a group.
//
//   acc = (first_p4 ? bias : acc) + sum_k x[k] * w[k]      (int32, wraps modulo 2^32)
//
// Exact, no rounding. Latency 4 cycles from x, w to acc, one word a cycle; bias and first_p4 belong to the last stage. The enables
// en_p1 .. en_p4 are the valid bits of the four stages: a stage without valid data does not move. It has no reset and no handshake.
// |acc| <= 2^14 * K + |bias|; with K = 127*64 the bias must stay below 2^31 - 2^27 in magnitude for an exact int32 (the plan checks).
//
// Every product and every sum of four stands in a 32-bit slot, four terms before a register: compilers of simulators turn such loops
// into vector code, synthesis trims the copies of the sign.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_mac #(
    parameter K_LANES = 64  // products a cycle. Requires 16, 32 or 64
) (
    input  wire                 clk,
    input  wire                 en_p1,     // x, w valid
    input  wire                 en_p2,
    input  wire                 en_p3,
    input  wire                 en_p4,
    input  wire                 first_p4,  // first word of a group
    input  wire [8*K_LANES-1:0] x,
    input  wire [8*K_LANES-1:0] w,
    input  wire [31:0]          bias,
    output wire [31:0]          acc
);

localparam N1 = K_LANES / 4;
localparam N2 = K_LANES / 16;

generate
if (K_LANES != 16 && K_LANES != 32 && K_LANES != 64) begin : g_k_lanes
    PARAM_ERROR_ibert_mac_K_LANES_16_32_64 u_err ();
end
endgenerate

reg [32*N1-1:0] pa_p2, pb_p2, pc_p2, pd_p2;
reg [32*N1-1:0] l1_p3;
reg [32*N2-1:0] l2_p4;
reg [31:0]      acc_p5;
wire [31:0]     sum_p4;   // used once, so that simulators evaluate it only where en_p4

integer k;

always @(posedge clk) begin
    if (en_p1) begin
        for (k = 0; k < N1; k = k + 1) pa_p2[32*k +: 32] <= $signed(w[32*k      +: 8]) * $signed(x[32*k      +: 8]);
        for (k = 0; k < N1; k = k + 1) pb_p2[32*k +: 32] <= $signed(w[32*k +  8 +: 8]) * $signed(x[32*k +  8 +: 8]);
        for (k = 0; k < N1; k = k + 1) pc_p2[32*k +: 32] <= $signed(w[32*k + 16 +: 8]) * $signed(x[32*k + 16 +: 8]);
        for (k = 0; k < N1; k = k + 1) pd_p2[32*k +: 32] <= $signed(w[32*k + 24 +: 8]) * $signed(x[32*k + 24 +: 8]);
    end
    if (en_p2)
        for (k = 0; k < N1; k = k + 1)
            l1_p3[32*k +: 32] <= ($signed(pa_p2[32*k +: 32]) + $signed(pb_p2[32*k +: 32]))
                               + ($signed(pc_p2[32*k +: 32]) + $signed(pd_p2[32*k +: 32]));
    if (en_p3)
        for (k = 0; k < N2; k = k + 1)
            l2_p4[32*k +: 32] <= ($signed(l1_p3[128*k      +: 32]) + $signed(l1_p3[128*k + 32 +: 32]))
                               + ($signed(l1_p3[128*k + 64 +: 32]) + $signed(l1_p3[128*k + 96 +: 32]));
    if (en_p4) acc_p5 <= (first_p4 ? bias : acc_p5) + sum_p4;
end

generate
if (N2 == 4) begin : g_sum4
    assign sum_p4 = (l2_p4[31:0] + l2_p4[63:32]) + (l2_p4[95:64] + l2_p4[127:96]);
end else if (N2 == 2) begin : g_sum2
    assign sum_p4 = l2_p4[31:0] + l2_p4[63:32];
end else begin : g_sum1
    assign sum_p4 = l2_p4[31:0];
end
endgenerate

assign acc = acc_p5;

endmodule

`resetall
