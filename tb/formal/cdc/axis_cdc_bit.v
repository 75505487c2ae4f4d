// SPDX-License-Identifier: Apache-2.0
// axis_cdc_bit whose wires are late: each bit is seen as it is, or as it was a step ago, by free choice. A step is the least time between two edges.
`resetall
`timescale 1ns/1ps
`default_nettype none

module axis_cdc_bit #(
    parameter W = 1
) (
    input  wire         clk,
    input  wire [W-1:0] d,
    output wire [W-1:0] q
);

(* gclk *)   reg          step;
(* anyseq *) reg [W-1:0]  late;
reg [W-1:0] before_reg, sync1_reg, sync2_reg;

always @(posedge step) before_reg <= d;

always @(posedge clk) begin
    sync1_reg <= (late & before_reg) | (~late & d);
    sync2_reg <= sync1_reg;
end

assign q = sync2_reg;

endmodule

`resetall
