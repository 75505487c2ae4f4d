// SPDX-License-Identifier: Apache-2.0
// For the proof of the whole switch: data do not matter.
`resetall
`timescale 1ns/1ps
`default_nettype none

module axis_ram #(
    parameter DATA_W = 512,
    parameter DEPTH  = 512,
    parameter FWD_EN = 0,
    parameter STYLE  = "auto"
) (
    input  wire                                         clk,
    input  wire                                         wr_en,
    input  wire [((DEPTH > 1) ? $clog2(DEPTH) : 1)-1:0] wr_addr,
    input  wire [DATA_W-1:0]                            wr_data,
    input  wire                                         rd_en,
    input  wire [((DEPTH > 1) ? $clog2(DEPTH) : 1)-1:0] rd_addr,
    output wire [DATA_W-1:0]                            rd_data
);

assign rd_data = {DATA_W{1'b0}};

endmodule

`resetall
