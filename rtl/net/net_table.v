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

// One mark for a row of BANKS entries: the first write to a row gives its other entries zero
localparam BANKS = (DEPTH > 64) ? 4 : 1;
localparam ROWS  = DEPTH / BANKS;
localparam ROW_W = $clog2(ROWS);

reg [ROWS-1:0] written_reg;
initial written_reg = {ROWS{1'b0}};
wire [BANKS*DATA_W-1:0] entry;
wire                    fresh = !written_reg[wr_addr[ROW_W-1:0]];

genvar g;
generate
for (g = 0; g < BANKS; g = g + 1) begin : g_bank
    wire mine = (BANKS == 1) || ((wr_addr >> ROW_W) == g);

    axis_lutram #(.DATA_W(DATA_W), .DEPTH(ROWS)) u_mem (
        .clk(clk), .wr_en(wr_en && (mine || fresh)), .wr_addr(wr_addr[ROW_W-1:0]), .wr_data(mine ? wr_data : {DATA_W{1'b0}}),
        .rd_addr(rd_addr[ROW_W-1:0]), .rd_data(entry[g*DATA_W +: DATA_W])
    );
end
if (BANKS == 1) begin : g_one
    assign rd_data = written_reg[rd_addr] ? entry : {DATA_W{1'b0}};
end else begin : g_some
    assign rd_data = written_reg[rd_addr[ROW_W-1:0]] ? entry[{30'd0, rd_addr[$clog2(DEPTH)-1:ROW_W]}*DATA_W +: DATA_W] : {DATA_W{1'b0}};
end
endgenerate

always @(posedge clk) begin
    if (wr_en) written_reg[wr_addr[ROW_W-1:0]] <= 1'b1;
    if (clear) written_reg <= {ROWS{1'b0}};
end

endmodule

`resetall
