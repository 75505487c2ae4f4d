// SPDX-License-Identifier: Apache-2.0
// Picks one of many status words in two steps, so that the words may lie anywhere on the chip.
//
//   word(t+2) = words[32*index(t) +: 32] where en(t) = 1, sampled at t; else it keeps its value
//
// Latency 2 cycles, one word a cycle. An index beyond the words gives an unspecified word: the manager checks its requests.
`resetall
`timescale 1ns/1ps
`default_nettype none

module node_words #(
    parameter WORDS = 240   // words of 32 bits. Requires 1 to 1024
) (
    input  wire                clk,
    input  wire [WORDS*32-1:0] words,   // word 0 in the low bits
    input  wire                en,
    input  wire [9:0]          index,
    output wire [31:0]         word
);

localparam GROUPS = (WORDS + 15) / 16;

generate
if (WORDS < 1 || WORDS > 1024) begin : g_range
    PARAM_ERROR_node_words_WORDS_1_to_1024 u_err ();
end
endgenerate

// one bit more than needed: there is no replication of nothing
wire [GROUPS*512:0]  padded = {{(GROUPS*512 - WORDS*32 + 1){1'b0}}, words};
reg  [GROUPS*32-1:0] group_p1;
reg                  en_p1;
reg  [5:0]           select_p1;
reg  [31:0]          word_p2;
integer              k;
wire                 unused = &{1'b0, padded[GROUPS*512]};

always @(posedge clk) begin
    en_p1 <= en;
    if (en) begin
        for (k = 0; k < GROUPS; k = k + 1) group_p1[32*k +: 32] <= padded[512*k + 32*index[3:0] +: 32];
        select_p1 <= index[9:4];
    end
    if (en_p1) word_p2 <= group_p1[32*select_p1 +: 32];
end

assign word = word_p2;

endmodule

`resetall
