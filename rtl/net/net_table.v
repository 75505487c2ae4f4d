// SPDX-License-Identifier: Apache-2.0
// Small table with asynchronous read in which an entry that was never written reads as zero.
//
//   rd_data = written[rd_addr] ? mem[rd_addr] : 0
//
// Latency 0, one write a cycle. `clear` forgets all entries in one cycle; tie it low where the contents must survive a reset
// (the written marks start at zero by their initial value). A read in the cycle of a write gives the old entry.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_table #(
    parameter DATA_W = 8,   // width of an entry in bits
    parameter DEPTH  = 256  // number of entries. Requires a power of two, at least 2
) (
    input  wire                     clk,
    input  wire                     clear,
    input  wire                     wr_en,
    input  wire [$clog2(DEPTH)-1:0] wr_addr,
    input  wire [DATA_W-1:0]        wr_data,
    input  wire [$clog2(DEPTH)-1:0] rd_addr,
    output wire [DATA_W-1:0]        rd_data
);

generate
if (DEPTH < 2 || (1 << $clog2(DEPTH)) != DEPTH) begin : g_depth
    PARAM_ERROR_net_table_DEPTH_power_of_two u_err ();
end
endgenerate

reg [DEPTH-1:0] written_reg;
initial written_reg = {DEPTH{1'b0}};
wire [DATA_W-1:0] entry;

axis_lutram #(.DATA_W(DATA_W), .DEPTH(DEPTH)) u_mem (
    .clk(clk), .wr_en(wr_en), .wr_addr(wr_addr), .wr_data(wr_data), .rd_addr(rd_addr), .rd_data(entry)
);

assign rd_data = written_reg[rd_addr] ? entry : {DATA_W{1'b0}};

always @(posedge clk) begin
    if (wr_en) written_reg[wr_addr] <= 1'b1;
    if (clear) written_reg <= {DEPTH{1'b0}};
end

endmodule

`resetall
