// SPDX-License-Identifier: Apache-2.0
// Simple dual-port memory: one write port, one read port, one clock. With axis_lutram the only place where memory is inferred.
//
//   rd_data(t+1) = mem[rd_addr(t)] where rd_en(t) = 1, else it keeps its value
//
// Latency 1 cycle, one read and one write a cycle. Reading the address that is written in the same cycle gives the new word where
// FWD_EN = 1, and an unspecified (old) word where FWD_EN = 0. No reset, no initial contents.
`resetall
`timescale 1ns/1ps
`default_nettype none

module axis_ram #(
    parameter DATA_W = 512,     // width of a word in bits
    parameter DEPTH  = 512,     // number of words
    parameter FWD_EN = 0,       // 1: a read sees the write of the same cycle
    parameter STYLE  = "auto"   // ram_style: auto, block, ultra, distributed
) (
    input  wire                                            clk,
    input  wire                                            wr_en,
    input  wire [((DEPTH > 1) ? $clog2(DEPTH) : 1)-1:0]    wr_addr,
    input  wire [DATA_W-1:0]                               wr_data,
    input  wire                                            rd_en,
    input  wire [((DEPTH > 1) ? $clog2(DEPTH) : 1)-1:0]    rd_addr,
    output wire [DATA_W-1:0]                               rd_data
);

(* ram_style = STYLE *)
reg [DATA_W-1:0] mem [0:DEPTH-1];
reg [DATA_W-1:0] rd_reg;

always @(posedge clk) begin
    if (wr_en) mem[wr_addr] <= wr_data;
    if (rd_en) rd_reg <= mem[rd_addr];
end

generate
if (FWD_EN != 0) begin : g_fwd
    // address and write are compared a cycle later, so that a late write enable ends at a register
    reg              same_reg;
    reg              wr_reg;
    reg [DATA_W-1:0] fwd_reg;
    always @(posedge clk) begin
        if (rd_en) begin
            same_reg <= wr_addr == rd_addr;
            wr_reg   <= wr_en;
            fwd_reg  <= wr_data;
        end
    end
    assign rd_data = (same_reg && wr_reg) ? fwd_reg : rd_reg;
end else begin : g_plain
    assign rd_data = rd_reg;
end
endgenerate

endmodule

`resetall
