// SPDX-License-Identifier: Apache-2.0
// Reset of one clock domain from a request of any other: caught asynchronously, released synchronously, never shorter than 64 cycles.
//
// A request is caught without a clock (async_reg) and passes two flip-flops, so that both edges of the outputs are synchronous to clk: registers
// with synchronous reset all see them in the same cycle. A request that comes while clk stands still is not lost.
//   rst    stops the domain: 3 edges after arst, until 64 cycles after its end or more
//   clear  rises 8 cycles after rst and falls with it: for what another domain reads (pointers, counts), which still sees true values until it is
//          stopped too
// Two domains with the same arst, whose periods differ by less than a factor of 3: each is stopped before it sees what the other cleared, and
// neither starts before it sees that. In the worst case, periods of 1 and 3: the slow one is stopped after at most 4 * 3 = 12, the fast one clears
// after at least 2 + 8 + 1 = 11, seen one or two slow periods later; the slow one has cleared after at most 12 * 3 = 36, the fast one starts after at
// least 64.
//
// Constraint: paths to async_reg are not timed.
`resetall
`timescale 1ns/1ps
`default_nettype none

module axis_cdc_reset (
    input  wire clk,
    input  wire arst,   // asynchronous, active high. Requires a register or a pin, no logic that can glitch high
    output reg  rst,
    output wire clear
);

(* ASYNC_REG = "TRUE" *) reg async_reg;
wire      caught;
reg [6:0] hold_reg;
reg [7:0] late_reg;

always @(posedge clk or posedge arst) begin
    if (arst) async_reg <= 1'b1;
    else      async_reg <= 1'b0;
end

axis_cdc_bit u_sync (.clk(clk), .d(async_reg), .q(caught));

always @(posedge clk) begin
    if (caught)                hold_reg <= 7'd64;
    else if (hold_reg != 7'd0) hold_reg <= hold_reg - 7'd1;
    rst      <= caught || (hold_reg != 7'd0);
    late_reg <= rst ? {late_reg[6:0], 1'b1} : 8'd0;
end

assign clear = rst && late_reg[7];

endmodule

`resetall
