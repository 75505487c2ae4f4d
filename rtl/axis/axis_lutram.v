// SPDX-License-Identifier: Apache-2.0
// Small table with asynchronous read (LUT memory), written over the configuration bus and static while the unit is busy.
//
//   rd_data = mem[rd_addr]
//
// Latency 0. An asynchronous read breaks the rule "synchronous read everywhere" on purpose: the tables are at most 256 deep, and a
// chain edge -> context -> address without wait states keeps kernels at one beat a cycle.
`resetall
`timescale 1ns/1ps
`default_nettype none

module axis_lutram #(
    parameter DATA_W = 32,  // width of an entry in bits
    parameter DEPTH  = 256  // number of entries
) (
    input  wire                                            clk,
    input  wire                                            wr_en,
    input  wire [((DEPTH > 1) ? $clog2(DEPTH) : 1)-1:0]    wr_addr,
    input  wire [DATA_W-1:0]                               wr_data,
    input  wire [((DEPTH > 1) ? $clog2(DEPTH) : 1)-1:0]    rd_addr,
    output wire [DATA_W-1:0]                               rd_data
);

(* ram_style = "distributed" *)
reg [DATA_W-1:0] mem [0:DEPTH-1];

always @(posedge clk) begin
    if (wr_en) mem[wr_addr] <= wr_data;
end

assign rd_data = mem[rd_addr];

endmodule

`resetall
