// SPDX-License-Identifier: Apache-2.0
// Two outputs of the MAC array on one activation: two dot products of K_LANES int8 pairs a cycle, accumulated over the words of a group.
//
//   accj = (first_p4 ? biasj : accj) + sum_k x[k] * wj[k]      j = 0, 1 (int32, wraps modulo 2^32)
//
// Exact, no rounding. PACKED = 1 is for synthesis: two products a DSP48E2 (ibert_mul_pair), K_LANES slices in all. PACKED = 0 is two
// ibert_mac, which compilers of simulators turn into vector code: five times as fast. Both are the same in every cycle (docs/formal.md).
// Latency 4 cycles from x, w to acc, one word a cycle; enables, bound and the rest as in ibert_mac.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_mac_pair #(
    parameter K_LANES = 64,  // products of an output a cycle. Requires 16, 32 or 64
    parameter PACKED  = 1    // 1: two products a DSP slice. 0: the form that simulates fast. Requires 0 or 1
) (
    input  wire                 clk,
    input  wire                 en_p1,     // x, w0, w1 valid
    input  wire                 en_p2,
    input  wire                 en_p3,
    input  wire                 en_p4,
    input  wire                 first_p4,  // first word of a group
    input  wire [8*K_LANES-1:0] x,
    input  wire [8*K_LANES-1:0] w0,
    input  wire [8*K_LANES-1:0] w1,
    input  wire [31:0]          bias0,
    input  wire [31:0]          bias1,
    output wire [31:0]          acc0,
    output wire [31:0]          acc1
);

localparam N1 = K_LANES / 4;
localparam N2 = K_LANES / 16;

generate
if (K_LANES != 16 && K_LANES != 32 && K_LANES != 64) begin : g_k_lanes
    PARAM_ERROR_ibert_mac_pair_K_LANES_16_32_64 u_err ();
end
if (PACKED != 0 && PACKED != 1) begin : g_packed_n
    PARAM_ERROR_ibert_mac_pair_PACKED_0_or_1 u_err ();
end
endgenerate

genvar k, j;
generate
if (PACKED == 0) begin : g_plain
    ibert_mac #(.K_LANES(K_LANES)) u_mac0 (
        .clk(clk), .en_p1(en_p1), .en_p2(en_p2), .en_p3(en_p3), .en_p4(en_p4), .first_p4(first_p4),
        .x(x), .w(w0), .bias(bias0), .acc(acc0)
    );
    ibert_mac #(.K_LANES(K_LANES)) u_mac1 (
        .clk(clk), .en_p1(en_p1), .en_p2(en_p2), .en_p3(en_p3), .en_p4(en_p4), .first_p4(first_p4),
        .x(x), .w(w1), .bias(bias1), .acc(acc1)
    );
end else begin : g_packed
    wire [36*N1-1:0] l1_p3;   // sums of four: {output 1, output 0}
    wire [63:0]      bias = {bias1, bias0};
    wire [63:0]      acc;

    for (k = 0; k < N1; k = k + 1) begin : g_four
        ibert_mul_pair u_pair (
            .clk(clk), .en_p1(en_p1), .en_p2(en_p2),
            .x(x[32*k +: 32]), .a0(w0[32*k +: 32]), .a1(w1[32*k +: 32]), .lo(l1_p3[36*k +: 18]), .hi(l1_p3[36*k+18 +: 18])
        );
    end
    for (j = 0; j < 2; j = j + 1) begin : g_out
        wire [21:0]      sum_p4;    // |sum| <= 64 * 2^14 = 2^20
        wire [22*N2-1:0] l2_p4;     // sums of sixteen, |sum| <= 2^18
        reg  [31:0]      acc_p5;

        for (k = 0; k < N2; k = k + 1) begin : g_sixteen
            wire [17:0] a = l1_p3[144*k       + 18*j +: 18];
            wire [17:0] b = l1_p3[144*k +  36 + 18*j +: 18];
            wire [17:0] c = l1_p3[144*k +  72 + 18*j +: 18];
            wire [17:0] d = l1_p3[144*k + 108 + 18*j +: 18];
            reg  [19:0] sum_reg;
            always @(posedge clk)
                if (en_p3) sum_reg <= ({{2{a[17]}}, a} + {{2{b[17]}}, b}) + ({{2{c[17]}}, c} + {{2{d[17]}}, d});
            assign l2_p4[22*k +: 22] = {{2{sum_reg[19]}}, sum_reg};
        end
        if (N2 == 4) begin : g_sum4
            assign sum_p4 = (l2_p4[21:0] + l2_p4[43:22]) + (l2_p4[65:44] + l2_p4[87:66]);
        end else if (N2 == 2) begin : g_sum2
            assign sum_p4 = l2_p4[21:0] + l2_p4[43:22];
        end else begin : g_sum1
            assign sum_p4 = l2_p4;
        end
        always @(posedge clk) if (en_p4) acc_p5 <= (first_p4 ? bias[32*j +: 32] : acc_p5) + {{10{sum_p4[21]}}, sum_p4};
        assign acc[32*j +: 32] = acc_p5;
    end
    assign {acc1, acc0} = acc;
end
endgenerate

endmodule

`resetall
