// SPDX-License-Identifier: Apache-2.0
// Counts the rows of every slot that have begun to arrive and are not complete.
//
//   count[slot] += up - down;   with `clear` count[clear_slot] becomes 0
//
// `open` is 1 while any count is not 0, or up is 1. Requires: no up or down of a slot in the cycle of its clear; a slot has at most
// 2**(COUNT_W-1) open rows.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_open_rows #(
    parameter SLOT_W  = 1,   // slots = 2**SLOT_W
    parameter COUNT_W = 11   // bits of a count
) (
    input  wire       clk,
    input  wire       rst,
    input  wire       up,
    input  wire       down,
    input  wire [3:0] slot,
    input  wire       clear,
    input  wire [3:0] clear_slot,
    output wire       open
);

localparam SLOT_N = 1 << SLOT_W;

reg [SLOT_N*COUNT_W-1:0] count_reg;

genvar s;
generate
for (s = 0; s < SLOT_N; s = s + 1) begin : g_slot
    wire mine = slot == s;
    always @(posedge clk) begin
        if (mine && up && !down) count_reg[COUNT_W*s +: COUNT_W] <= count_reg[COUNT_W*s +: COUNT_W] + 1'b1;
        if (mine && down && !up) count_reg[COUNT_W*s +: COUNT_W] <= count_reg[COUNT_W*s +: COUNT_W] - 1'b1;
        if (rst || (clear && clear_slot == s)) count_reg[COUNT_W*s +: COUNT_W] <= {COUNT_W{1'b0}};
    end
end
endgenerate

assign open = count_reg != {SLOT_N*COUNT_W{1'b0}} || up;

endmodule

`resetall
