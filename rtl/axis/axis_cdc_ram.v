// SPDX-License-Identifier: Apache-2.0
// Simple dual-port memory with a clock for each port. With axis_ram and axis_lutram the only place where memory is inferred.
//
//   rd_data(t+1) = mem[rd_addr(t)] where rd_en(t) = 1, else it keeps its value; t counts edges of rd_clk
//
// Latency 1 cycle, one read and one write a cycle. Requires that a word is read only when its write is a whole period of rd_clk old: what comes of
// a word that is being written is not specified. No reset, no initial contents.
// Not one module with axis_ram: Vivado makes an UltraRAM only where both ports have the same clock (UG901), which a module's two clocks hide.
`resetall
`timescale 1ns/1ps
`default_nettype none

module axis_cdc_ram #(
    parameter DATA_W = 512,     // width of a word in bits
    parameter DEPTH  = 512,     // number of words
    parameter STYLE  = "auto"   // ram_style: auto, block, distributed
) (
    input  wire                                            wr_clk,
    input  wire                                            wr_en,
    input  wire [((DEPTH > 1) ? $clog2(DEPTH) : 1)-1:0]    wr_addr,
    input  wire [DATA_W-1:0]                               wr_data,
    input  wire                                            rd_clk,
    input  wire                                            rd_en,
    input  wire [((DEPTH > 1) ? $clog2(DEPTH) : 1)-1:0]    rd_addr,
    output wire [DATA_W-1:0]                               rd_data
);

(* ram_style = STYLE *)
reg [DATA_W-1:0] mem [0:DEPTH-1];
reg [DATA_W-1:0] rd_reg;

always @(posedge wr_clk) begin
    if (wr_en) mem[wr_addr] <= wr_data;
end

always @(posedge rd_clk) begin
    if (rd_en) rd_reg <= mem[rd_addr];
end

assign rd_data = rd_reg;

endmodule

`resetall
