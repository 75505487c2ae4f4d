// SPDX-License-Identifier: Apache-2.0
// Stand-in for ibert_mul_pair in the proof mac_pair: its equation, each product replaced by its operands side
// by side: a free number of 16 bits, wider than any product of int8.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_mul_pair (
    input  wire        clk,
    input  wire        en_p1,
    input  wire        en_p2,
    input  wire [31:0] x,
    input  wire [31:0] a0,
    input  wire [31:0] a1,
    output wire [17:0] lo,
    output wire [17:0] hi
);

reg [31:0] lo0_p2, lo1_p2, lo2_p2, lo3_p2, hi0_p2, hi1_p2, hi2_p2, hi3_p2;
reg [31:0] lo_p3, hi_p3;

always @(posedge clk) begin
    if (en_p1) begin
        lo0_p2 <= $signed({a0[7:0], x[7:0]});
        lo1_p2 <= $signed({a0[15:8], x[15:8]});
        lo2_p2 <= $signed({a0[23:16], x[23:16]});
        lo3_p2 <= $signed({a0[31:24], x[31:24]});
        hi0_p2 <= $signed({a1[7:0], x[7:0]});
        hi1_p2 <= $signed({a1[15:8], x[15:8]});
        hi2_p2 <= $signed({a1[23:16], x[23:16]});
        hi3_p2 <= $signed({a1[31:24], x[31:24]});
    end
    if (en_p2) begin
        lo_p3 <= (lo0_p2 + lo1_p2) + (lo2_p2 + lo3_p2);
        hi_p3 <= (hi0_p2 + hi1_p2) + (hi2_p2 + hi3_p2);
    end
end

assign lo = lo_p3[17:0];
assign hi = hi_p3[17:0];

endmodule

`resetall
