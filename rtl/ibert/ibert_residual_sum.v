// SPDX-License-Identifier: Apache-2.0
//
// First pass of LayerNorm over one row: residual sum and mean.
//
//   y[c] = sat24( requant32(acc[c]; m, e) + requant32(res[c]; m1, e1) )       c = 0 .. H-1, H = 64*beats
//   mu   = round_half_even( sum y / H )                                       |mu| <= 2^23
//
// LANES channels a cycle. The accumulator store is shared: acc_req asks for beat acc_addr, and the beat is read in a cycle
// where acc_gnt answers; acc_data follows one cycle later. The residual and channel memories are read by nobody else.
// The requant of acc is the user's, one a lane: accumulators go in with rq_valid, and are to come back as rq_q with the latency of
// ibert_requant, 4 cycles. `quiet` says that none will go in but for beats yet to be granted.
// y words leave in order with y_we. `done` pulses once mu is valid; mu holds until the next start.
// Rate: a row takes at most H/LANES + ceil(SUM_W/2) + 13 cycles from start to done, plus the cycles in which acc_gnt was refused.
//
// Does not: keep y (the user writes it to a row buffer), check addresses, or accept a start while busy.

`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_residual_sum #(
    parameter LANES     = 8,     // channels a cycle. Requires LANES to divide 16
    parameter RES_W     = 8,     // bits of a stored residual element
    parameter ROW_BEATS = 12,    // most 64-channel beats of a row
    parameter ACC_AW    = 13,    // address bits of the accumulator store
    parameter RES_AW    = 11,    // address bits of the residual store
    parameter CHAN_AW   = 10,    // address bits of the channel memory
    parameter YA_W      = 7      // index bits of a row's y words
) (
    input  wire                 clk,
    input  wire                 rst,

    input  wire                 start,
    input  wire [          6:0] s_beats,
    input  wire [         12:0] s_h,
    input  wire [   ACC_AW-1:0] s_acc_addr,
    input  wire [   RES_AW-1:0] s_res_addr,
    input  wire [  CHAN_AW-1:0] s_chan_addr,
    output wire                 done,
    output wire signed [  23:0] mu,

    output wire                 quiet,
    output wire                 rq_valid,
    output wire [ 32*LANES-1:0] rq_acc,
    output wire [ 39*LANES-1:0] rq_chan,  // a lane: {e 7, m 32}
    input  wire [ 32*LANES-1:0] rq_q,
    output wire                 rq_done,  // rq_q is taken

    output wire                 acc_req,
    output wire [   ACC_AW-1:0] acc_addr,
    input  wire                 acc_gnt,
    input  wire [        511:0] acc_data,

    output wire                 res_en,
    output wire [   RES_AW-1:0] res_addr,
    input  wire [ 64*RES_W-1:0] res_data,

    output wire                 chan_en,
    output wire [  CHAN_AW-1:0] chan_addr,
    input  wire [ 78*LANES-1:0] chan_data,

    output wire                 y_we,
    output wire [     YA_W-1:0] y_addr,
    output wire [ 24*LANES-1:0] y_data
);

  localparam SUB_N = 16 / LANES;                    // words of LANES channels in an int32 beat
  localparam SUB_W = (SUB_N > 1) ? $clog2(SUB_N) : 1;
  localparam SUM_W = 24 + $clog2(64 * ROW_BEATS);   // |sum| <= H * 2^23
  localparam TREE_W = 28;                           // of a word: 16 * 2^23
  localparam integer SUB_TOP = SUB_N - 1;
  localparam [SUB_W-1:0] SUB_LAST = SUB_TOP[SUB_W-1:0];

  generate
    if (LANES != 1 && LANES != 2 && LANES != 4 && LANES != 8 && LANES != 16) begin : g_err
      PARAM_ERROR_ibert_residual_sum_LANES_must_divide_16 u_err ();
    end
  endgenerate

  // q0: ask for accumulator beats, at most one in SUB_N cycles; every fourth beat brings a residual word of 64 elements
  reg                asking_reg;
  reg  [        8:0] ask_left_reg;   // beats still to ask for, at most 4*64
  reg  [        1:0] quarter_reg;    // beat of the residual word
  reg  [  SUB_W-1:0] gap_reg;        // cycles until the next beat may be asked for
  reg  [ ACC_AW-1:0] acc_addr_reg;
  reg  [ RES_AW-1:0] res_addr_reg;

  assign acc_req  = asking_reg && gap_reg == 0;
  assign acc_addr = acc_addr_reg;
  wire grant = acc_req && acc_gnt;
  assign res_en   = grant && quarter_reg == 2'd0;
  assign res_addr = res_addr_reg;

  // q1: memory outputs are valid; they are taken into the beat buffer, which feeds SUB_N words from the next cycle on
  reg                valid_q1;
  reg  [        1:0] quarter_q1;
  reg                valid_q2;
  reg  [  SUB_W-1:0] sub_q2;
  reg  [      511:0] acc_q2;
  reg  [16*RES_W-1:0] res_q2;
  reg  [CHAN_AW-1:0] chan_addr_reg;

  wire more_q2 = valid_q2 && sub_q2 != SUB_LAST;
  assign chan_en   = valid_q1 || more_q2;
  assign chan_addr = chan_addr_reg;

  always @(posedge clk) begin
    if (start) begin
      asking_reg   <= 1'b1;
      ask_left_reg <= {s_beats, 2'b00};
      quarter_reg  <= 2'd0;
      gap_reg      <= {SUB_W{1'b0}};
      acc_addr_reg <= s_acc_addr;
      res_addr_reg <= s_res_addr;
    end else begin
      if (gap_reg != 0) gap_reg <= gap_reg - 1'b1;
      if (grant) begin
        gap_reg      <= SUB_LAST;
        ask_left_reg <= ask_left_reg - 1'b1;
        asking_reg   <= ask_left_reg != 9'd1;
        quarter_reg  <= quarter_reg + 1'b1;
        acc_addr_reg <= acc_addr_reg + 1'b1;
        if (quarter_reg == 2'd0) res_addr_reg <= res_addr_reg + 1'b1;
      end
    end
    if (rst) begin
      asking_reg <= 1'b0;
      gap_reg    <= {SUB_W{1'b0}};
    end
  end

  always @(posedge clk) begin
    valid_q1 <= grant;
    valid_q2 <= chan_en;
    if (grant) quarter_q1 <= quarter_reg;
    if (valid_q1) begin
      acc_q2 <= acc_data;
      res_q2 <= res_data[16*RES_W*quarter_q1+:16*RES_W];
      sub_q2 <= {SUB_W{1'b0}};
    end else if (more_q2) begin
      sub_q2 <= sub_q2 + 1'b1;
    end
    if (start) chan_addr_reg <= s_chan_addr;
    else if (chan_en) chan_addr_reg <= chan_addr_reg + 1'b1;
    if (rst) begin
      valid_q1 <= 1'b0;
      valid_q2 <= 1'b0;
    end
  end

  // q2 .. q6: requantisation and sum, one lane a channel
  wire [LANES-1:0]    lane_valid;
  wire [24*LANES-1:0] lane_y;

  genvar i;
  generate
    for (i = 0; i < LANES; i = i + 1) begin : g_lane
      wire [RES_W-1:0] res = res_q2[RES_W*(LANES*sub_q2+i)+:RES_W];
      assign rq_acc[32*i+:32]  = acc_q2[32*(LANES*sub_q2+i)+:32];
      assign rq_chan[39*i+:39] = chan_data[78*i+:39];
      ibert_residual_lane #(
          .RES_W(RES_W)
      ) u_lane (
          .clk    (clk),
          .rst    (rst),
          .s_valid(valid_q2),
          .s_res  (res),
          .s_chan (chan_data[78*i+39+:39]),
          .s_acc_q(rq_q[32*i+:32]),
          .m_valid(lane_valid[i]),
          .m_y    (lane_y[24*i+:24])
      );
    end
  endgenerate

  // q7: y word; q8: sums of its lanes by four; q9: sum of all; q10: running sum
  reg                     valid_q7;
  reg                     valid_q8;
  reg                     valid_q9;
  reg  [    24*LANES-1:0] y_q7;
  reg  [        YA_W-1:0] y_addr_reg;
  reg  [        YA_W:0]   left_reg;    // words not yet summed
  reg                     last_q8;
  reg                     last_q9;
  reg signed [TREE_W-1:0] tree_q9;
  reg signed [ SUM_W-1:0] sum_reg;
  wire       [24*16-1:0] y_all;

  generate
    for (i = 0; i < 16; i = i + 1) begin : g_all
      if (i < LANES) begin : g_lane
        assign y_all[24*i+:24] = y_q7[24*i+:24];
      end else begin : g_none
        assign y_all[24*i+:24] = 24'd0;
      end
    end
  endgenerate

  wire       [ 26*4-1:0] four_q8;

  generate
    for (i = 0; i < 4; i = i + 1) begin : g_four
      reg signed [25:0] sum_q8;
      always @(posedge clk) begin
        if (valid_q7) begin
          sum_q8 <= ($signed({{2{y_all[96*i+23]}}, y_all[96*i+:24]}) + $signed({{2{y_all[96*i+47]}}, y_all[96*i+24+:24]}))
                  + ($signed({{2{y_all[96*i+71]}}, y_all[96*i+48+:24]}) + $signed({{2{y_all[96*i+95]}}, y_all[96*i+72+:24]}));
        end
      end
      assign four_q8[26*i+:26] = sum_q8;
    end
  endgenerate

  wire signed [27:0] tree = ($signed({{2{four_q8[25]}}, four_q8[0+:26]}) + $signed({{2{four_q8[51]}}, four_q8[26+:26]}))
                          + ($signed({{2{four_q8[77]}}, four_q8[52+:26]}) + $signed({{2{four_q8[103]}}, four_q8[78+:26]}));

  assign quiet    = !valid_q1 && !valid_q2;
  assign rq_valid = valid_q2;
  assign rq_done  = lane_valid[0];

  assign y_we   = valid_q7;
  assign y_addr = y_addr_reg;
  assign y_data = y_q7;

  localparam integer PER_BEAT_LOG = $clog2(64 / LANES);
  wire [YA_W+7:0] words = {{YA_W + 1{1'b0}}, s_beats} << PER_BEAT_LOG;
  wire            unused_words = &{1'b0, words[YA_W+7:YA_W+1], lane_valid};

  reg sum_done_reg;

  always @(posedge clk) begin
    valid_q7     <= lane_valid[0];
    valid_q8     <= valid_q7;
    valid_q9     <= valid_q8;
    sum_done_reg <= valid_q9 && last_q9;
    if (lane_valid[0]) y_q7 <= lane_y;
    if (start) begin
      y_addr_reg <= {YA_W{1'b0}};
      left_reg   <= words[YA_W:0];
      sum_reg    <= {SUM_W{1'b0}};
    end else begin
      if (valid_q7) begin
        y_addr_reg <= y_addr_reg + 1'b1;
        left_reg   <= left_reg - 1'b1;
      end
      if (valid_q9) sum_reg <= sum_reg + $signed({{SUM_W - TREE_W{tree_q9[TREE_W-1]}}, tree_q9});
    end
    if (valid_q7) last_q8 <= left_reg == 1;
    if (valid_q8) begin
      tree_q9 <= tree;
      last_q9 <= last_q8;
    end
    if (rst) begin
      valid_q7     <= 1'b0;
      valid_q8     <= 1'b0;
      valid_q9     <= 1'b0;
      sum_done_reg <= 1'b0;
    end
  end

  // mean
  reg  [12:0] h_reg;
  wire        unused_busy;

  always @(posedge clk) if (start) h_reg <= s_h;

  ibert_mean #(
      .SUM_W  (SUM_W),
      .COUNT_W(13),
      .MEAN_W (24)
  ) u_mean (
      .clk  (clk),
      .rst  (rst),
      .start(sum_done_reg),
      .total(sum_reg),
      .count(h_reg),
      .busy (unused_busy),
      .done (done),
      .mean (mu)
  );

endmodule

`resetall
