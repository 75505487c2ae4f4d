// SPDX-License-Identifier: Apache-2.0
//
// The simulated 100G MAC of one node: paces what the node sends, keeps whole frames for the bench and plays frames back.
//
// Transmit. The line takes 125 half bytes a cycle (62.5 bytes: 100 Gb/s at 200 MHz) and every frame costs its bytes plus
//   24 (preamble, checksum, gap). debt' = max(debt + cost - 125, 0); tx_tready = debt < 125, that is: the line falls
//   free within this cycle. The rate is exact in the long run, no half byte is lost to rounding.
//   A finished frame is one word of mbox, {cycle of its last beat, bytes, data}; tx_count counts them. The bench reads
//   words [tx_count before, tx_count now) modulo 2**DEPTH_W at least once in 2**DEPTH_W frames.
//   Before `go` nothing is taken. A frame that node_rst cuts off is forgotten.
// Receive. The bench writes {cycle, bad, bytes[14:0], data} words into rbox and then moves rx_put. The head word is played in consecutive
//   beats, the first one visible to the node in cycle `cycle` of the word (which must be after the current one; rx_late is set if not).
//   Of a longer frame than BEATS beats (hostile ones only) the last of them is repeated.
//   rx_tuser is set with the last beat of a word whose `bad` is set: the MAC's checksum is wrong.
// Errors are sticky: tx_long (a frame beyond BEATS beats), tx_gap (tvalid low inside a frame while the line was free: a real
//   MAC would underrun), tx_keep (tkeep with holes or not full before the last beat), rx_late.
// It does not look at headers.

`resetall
`timescale 1ns / 1ps
`default_nettype none

module tb_port #(
    parameter DEPTH_W = 8,  // log2 of frames kept in either direction
    parameter BEATS   = 17  // most beats of a frame, header included
) (
    input  wire         clk,
    input  wire         rst,
    input  wire         go,
    input  wire         node_rst,
    input  wire [ 47:0] cycle,
    // what the node sends
    input  wire [511:0] tx_tdata,
    input  wire [ 63:0] tx_tkeep,
    input  wire         tx_tlast,
    input  wire         tx_tvalid,
    output wire         tx_tready,
    // what the node receives
    output reg  [511:0] rx_tdata,
    output reg  [ 63:0] rx_tkeep,
    output reg          rx_tlast,
    output reg          rx_tvalid,
    output reg          rx_tuser,
    // towards the bench
    output wire [ 15:0] sts_tx_count,
    output wire [  3:0] sts_error
);

  localparam WORD_W = 48 + 16 + BEATS * 512;
  localparam DEPTH = 1 << DEPTH_W;

  // ---------------------------------------------------------------- transmit
  reg  [WORD_W-1:0] mbox[0:DEPTH-1]  /*verilator public_flat_rd*/;
  reg  [15:0] tx_count_reg;
  reg  [12:0] debt_reg;
  reg  [ 7:0] beat_reg;
  reg  tx_long_reg, tx_gap_reg, tx_keep_reg, rx_late_reg;

  wire tx_go = tx_tvalid && tx_tready && !node_rst;
  wire [DEPTH_W-1:0] tx_word = tx_count_reg[DEPTH_W-1:0];

  reg [6:0] last_bytes;
  integer   n;
  always @* begin
    last_bytes = 7'd64;
    if (tx_tlast && !(&tx_tkeep)) begin
      last_bytes = 7'd0;
      for (n = 0; n < 64; n = n + 1) last_bytes = last_bytes + {6'd0, tx_tkeep[n]};
    end
  end

  // at most 124 + 128 + 48 half bytes
  wire [12:0] debt_sum = debt_reg + (tx_go ? {5'd0, last_bytes, 1'b0} + (tx_tlast ? 13'd48 : 13'd0) : 13'd0);
  wire [15:0] frame_bytes = {2'd0, beat_reg, 6'd0} + {9'd0, last_bytes};

  assign tx_tready    = go && debt_reg < 13'd125;
  assign sts_tx_count = tx_count_reg;
  assign sts_error    = {rx_late_reg, tx_keep_reg, tx_gap_reg, tx_long_reg};

  always @(posedge clk) begin
    debt_reg <= (debt_sum > 13'd125) ? debt_sum - 13'd125 : 13'd0;
    if (tx_go) begin
      if (beat_reg < BEATS) mbox[tx_word][512*beat_reg+:512] <= tx_tdata;
      else tx_long_reg <= 1'b1;
      if (!tx_tkeep[0] || (tx_tkeep & (tx_tkeep + 64'd1)) != 64'd0 || (!tx_tlast && !(&tx_tkeep)))
        tx_keep_reg <= 1'b1;
      if (tx_tlast) begin
        mbox[tx_word][BEATS*512+:64] <= {cycle, frame_bytes};
        tx_count_reg <= tx_count_reg + 16'd1;
        beat_reg <= 8'd0;
      end else if (beat_reg < BEATS) begin
        beat_reg <= beat_reg + 8'd1;
      end
    end else if (tx_tready && beat_reg != 8'd0) begin
      tx_gap_reg <= 1'b1;
    end
    if (node_rst) begin
      beat_reg   <= 8'd0;
      tx_gap_reg <= tx_gap_reg;
    end
    if (rst) begin
      debt_reg <= 13'd0;
      beat_reg <= 8'd0;
      tx_count_reg <= 16'd0;
      tx_long_reg <= 1'b0;
      tx_gap_reg <= 1'b0;
      tx_keep_reg <= 1'b0;
    end
  end

  // ---------------------------------------------------------------- receive
  reg [WORD_W-1:0] rbox[0:DEPTH-1]  /*verilator public_flat_rw*/;
  reg [15:0] rx_put  /*verilator public_flat_rw*/;
  reg [15:0] rx_get_reg;
  reg [ 7:0] rx_beat_reg;

  wire [DEPTH_W-1:0] rx_word = rx_get_reg[DEPTH_W-1:0];
  wire [63:0] rx_meta = rbox[rx_word][BEATS*512+:64];
  wire [47:0] rx_start = rx_meta[63:16];
  wire rx_bad = rx_meta[15];
  wire [15:0] rx_left = {1'b0, rx_meta[14:0]} - {2'd0, rx_beat_reg, 6'd0};
  wire rx_more = rx_put != rx_get_reg;
  // registered outputs: what is loaded in this cycle is seen in the next one
  wire rx_due = cycle + 48'd1 >= rx_start;

  initial rx_put = 16'd0;

  always @(posedge clk) begin
    rx_tvalid <= 1'b0;
    rx_tlast  <= 1'b0;
    rx_tuser  <= 1'b0;
    if (rx_more && (rx_beat_reg != 8'd0 || rx_due)) begin
      if (rx_beat_reg == 8'd0 && cycle + 48'd1 != rx_start) rx_late_reg <= 1'b1;
      rx_tvalid <= 1'b1;
      rx_tdata  <= rbox[rx_word][512*(({24'd0,rx_beat_reg}<BEATS)?{24'd0,rx_beat_reg} : BEATS-1)+:512];
      rx_tkeep  <= (rx_left >= 16'd64) ? {64{1'b1}} : (64'd1 << rx_left[5:0]) - 64'd1;
      if (rx_left <= 16'd64) begin
        rx_tlast <= 1'b1;
        rx_tuser <= rx_bad;
        rx_beat_reg <= 8'd0;
        rx_get_reg <= rx_get_reg + 16'd1;
      end else begin
        rx_beat_reg <= rx_beat_reg + 8'd1;
      end
    end
    if (rst) begin
      rx_tvalid <= 1'b0;
      rx_tlast <= 1'b0;
      rx_get_reg <= 16'd0;
      rx_beat_reg <= 8'd0;
      rx_late_reg <= 1'b0;
    end
  end

endmodule

`resetall
