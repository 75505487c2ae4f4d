// SPDX-License-Identifier: Apache-2.0
// MAC array of ibert_linear: OUT_N outputs times K_LANES lanes, with the weight and bias memories.
//
//   group(o) = bias[b_addr][o] + sum over the words of the group of sum_k x[k] * weight[w_addr][o][k]       (int32, modulo 2^32)
//
// One word a cycle, no stall, no bubble between groups. Latency 5 cycles from word_valid to grp_valid: 1 weight read, 1 product,
// 2 sums of four, 1 accumulate; the sum stands in the cycle of grp_valid. x belongs to the cycle after word_valid (it comes out of
// the row store). Each output has its own weight bank, K_LANES*8 bits x W_WORDS, so that it is read in one cycle; biases are read
// three cycles later. Nothing moves in a stage without valid data.
//
// Configuration (a write beyond a memory is ignored): memory 4 WEIGHT, index {word, output[5:0]}; memory 5 BIAS, index {word, seg[3:0]}.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_linear_array #(
    parameter K_LANES    = 64,    // Requires 16, 32 or 64
    parameter OUT_N      = 48,    // outputs. Requires a multiple of 16, at most 64
    parameter W_WORDS    = 1024,  // weight words
    parameter BIAS_WORDS = 256,   // bias words
    parameter PACKED     = 1      // 1: two products a DSP slice. 0: the form that simulates fast (ibert_mac_pair)
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire                 word_valid,
    input  wire [15:0]          word_w_addr,
    input  wire [13:0]          word_b_addr,
    input  wire                 word_first,
    input  wire                 word_last,
    input  wire                 word_int8,
    input  wire [8*K_LANES-1:0] x,          // one cycle after word_valid
    output wire                 grp_valid,
    output wire                 grp_int8,
    output wire [32*OUT_N-1:0]  grp_data,

    input  wire                 cfg_we,
    input  wire [27:0]          cfg_addr,
    input  wire [511:0]         cfg_data
);

localparam SEG_N = OUT_N / 16;
localparam WA_W  = (W_WORDS > 1) ? $clog2(W_WORDS) : 1;
localparam BA_W  = (BIAS_WORDS > 1) ? $clog2(BIAS_WORDS) : 1;

generate
if (OUT_N < 16 || OUT_N > 64 || OUT_N % 16 != 0) begin : g_out_n
    PARAM_ERROR_ibert_linear_OUT_N_multiple_of_16_at_most_64 u_err ();
end
if (W_WORDS < 1 || W_WORDS > 65536) begin : g_w_words
    PARAM_ERROR_ibert_linear_W_WORDS_1_to_65536 u_err ();
end
if (BIAS_WORDS < 1 || BIAS_WORDS > 16384) begin : g_bias_words
    PARAM_ERROR_ibert_linear_BIAS_WORDS_1_to_16384 u_err ();
end
endgenerate

wire w_we = cfg_we && cfg_addr[27:24] == 4'd4 && {14'd0, cfg_addr[23:6]} < W_WORDS;
wire b_we = cfg_we && cfg_addr[27:24] == 4'd5 && {12'd0, cfg_addr[23:4]} < BIAS_WORDS;

// bit i-1 of valid, int8 ...: stage p<i>
reg [4:0]  valid_reg;
reg [4:0]  int8_reg;
reg [4:0]  last_reg;
reg [3:0]  first_reg;
reg [13:0] b_addr_p1, b_addr_p2, b_addr_p3;

// the plan keeps addresses inside the memories
wire unused_addr = &{1'b0, word_w_addr, word_b_addr, b_addr_p3};

always @(posedge clk) begin
    int8_reg  <= {int8_reg[3:0], word_int8};
    last_reg  <= {last_reg[3:0], word_last};
    first_reg <= {first_reg[2:0], word_first};
    b_addr_p1 <= word_b_addr;
    b_addr_p2 <= b_addr_p1;
    b_addr_p3 <= b_addr_p2;
    valid_reg <= {valid_reg[3:0], word_valid};
    if (rst) valid_reg <= 5'd0;
end

wire [32*OUT_N-1:0] bias;

genvar o, s;
generate
for (s = 0; s < SEG_N; s = s + 1) begin : g_bias
    axis_ram #(.DATA_W(512), .DEPTH(BIAS_WORDS), .FWD_EN(0), .STYLE("auto")) u_ram (
        .clk(clk),
        .wr_en(b_we && cfg_addr[3:0] == s), .wr_addr(cfg_addr[4 +: BA_W]), .wr_data(cfg_data),
        .rd_en(valid_reg[2] && first_reg[2]), .rd_addr(b_addr_p3[BA_W-1:0]), .rd_data(bias[512*s +: 512])
    );
end
for (o = 0; o < OUT_N; o = o + 2) begin : g_pair
    wire [8*K_LANES-1:0] w0, w1;
    axis_ram #(.DATA_W(8*K_LANES), .DEPTH(W_WORDS), .FWD_EN(0), .STYLE("auto")) u_ram0 (
        .clk(clk),
        .wr_en(w_we && cfg_addr[5:0] == o), .wr_addr(cfg_addr[6 +: WA_W]), .wr_data(cfg_data[8*K_LANES-1:0]),
        .rd_en(word_valid), .rd_addr(word_w_addr[WA_W-1:0]), .rd_data(w0)
    );
    axis_ram #(.DATA_W(8*K_LANES), .DEPTH(W_WORDS), .FWD_EN(0), .STYLE("auto")) u_ram1 (
        .clk(clk),
        .wr_en(w_we && cfg_addr[5:0] == o + 1), .wr_addr(cfg_addr[6 +: WA_W]), .wr_data(cfg_data[8*K_LANES-1:0]),
        .rd_en(word_valid), .rd_addr(word_w_addr[WA_W-1:0]), .rd_data(w1)
    );
    ibert_mac_pair #(.K_LANES(K_LANES), .PACKED(PACKED)) u_mac (
        .clk(clk), .en_p1(valid_reg[0]), .en_p2(valid_reg[1]), .en_p3(valid_reg[2]), .en_p4(valid_reg[3]), .first_p4(first_reg[3]),
        .x(x), .w0(w0), .w1(w1), .bias0(bias[32*o +: 32]), .bias1(bias[32*o+32 +: 32]),
        .acc0(grp_data[32*o +: 32]), .acc1(grp_data[32*o+32 +: 32])
    );
end
endgenerate

assign grp_valid = valid_reg[4] && last_reg[4];
assign grp_int8  = int8_reg[4];

endmodule

`resetall
