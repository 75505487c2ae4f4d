// SPDX-License-Identifier: Apache-2.0
// Brings signals into another clock domain: two flip-flops a bit.
//
// Each bit is a register of its own domain and keeps a value for longer than a period of clk, or must not matter where it is missed. Bits that
// belong together change one at a time (Gray code). Constraint: the paths to sync1_reg are not timed against clk; the bits of one instance must not
// differ by more than a period of their source clock (set_max_delay -datapath_only, set_bus_skew).
//
// Latency 2 edges of clk, 3 where an edge is missed. No reset: after 2 edges it holds what is at its input.
`resetall
`timescale 1ns/1ps
`default_nettype none

module axis_cdc_bit #(
    parameter W = 1     // bits
) (
    input  wire         clk,    // of the receiving domain
    input  wire [W-1:0] d,
    output wire [W-1:0] q
);

(* ASYNC_REG = "TRUE" *) reg [W-1:0] sync1_reg;
(* ASYNC_REG = "TRUE" *) reg [W-1:0] sync2_reg;

always @(posedge clk) begin
    sync1_reg <= d;
    sync2_reg <= sync1_reg;
end

assign q = sync2_reg;

endmodule

`resetall
