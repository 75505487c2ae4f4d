// SPDX-License-Identifier: Apache-2.0
// Proof of ibert_mac_pair: both forms give the same sums in every cycle, whatever the enables do. ibert_mul_pair, which mul_one and
// mul_sum prove, is replaced by its equation (plain/ibert_mul_pair.v). No multiplier is left on either side: in place of each product
// stand its operands, a free number of 16 bits (patch mac_any), and no product of int8 needs more.
`resetall
`timescale 1ns/1ps
`default_nettype none

module mac_pair_formal #(
    parameter K_LANES = 16
) (
    input  wire                 clk,
    input  wire                 en_p1,
    input  wire                 en_p2,
    input  wire                 en_p3,
    input  wire                 en_p4,
    input  wire                 first_p4,
    input  wire [8*K_LANES-1:0] x,
    input  wire [8*K_LANES-1:0] w0,
    input  wire [8*K_LANES-1:0] w1,
    input  wire [31:0]          bias0,
    input  wire [31:0]          bias1,
    output wire                 bad
);

wire [31:0] packed0, packed1, plain0, plain1;

ibert_mac_pair #(.K_LANES(K_LANES), .PACKED(1)) u_packed (
    .clk(clk), .en_p1(en_p1), .en_p2(en_p2), .en_p3(en_p3), .en_p4(en_p4), .first_p4(first_p4),
    .x(x), .w0(w0), .w1(w1), .bias0(bias0), .bias1(bias1), .acc0(packed0), .acc1(packed1)
);
ibert_mac_pair #(.K_LANES(K_LANES), .PACKED(0)) u_plain (
    .clk(clk), .en_p1(en_p1), .en_p2(en_p2), .en_p3(en_p3), .en_p4(en_p4), .first_p4(first_p4),
    .x(x), .w0(w0), .w1(w1), .bias0(bias0), .bias1(bias1), .acc0(plain0), .acc1(plain1)
);

assign bad = packed0 != plain0 || packed1 != plain1;

endmodule

`resetall
