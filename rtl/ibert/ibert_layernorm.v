// SPDX-License-Identifier: Apache-2.0
//
// Second and third pass of integer LayerNorm over one row y[0..H-1] of known mean, H = 64*beats.
//
//   v = y - mu;  vs = v >> shift;  var = min(sum vs^2, 2^32 - 1);  sigma = max(isqrt(var) << shift, 1);  f = floor(2^31 / sigma)
//   out = requant8( sat36( ((v*f) >> 1) + bias ); om, oe, ooff )
//
// `>>` is arithmetic (floor), the requant rounds half to even. 2*LANES channels a cycle in the second pass, LANES in the third; y words
// (in pairs: the first in the low bits) and channel words are read in order from memories of one cycle latency. The requant is the
// user's, one a lane, shared with another pass: rq_wait asks for it from the end of the division until the last word is in, rq_free
// grants it; words go in with rq_valid and come back in order with rq_done. The third pass starts when out_room says that a whole row
// fits behind out_we, and does not stall. Output beat b holds channels 64*b .. 64*b+63, channel 64*b in the low byte.
// Rate: a row takes at most 3*H/(2*LANES) + 57 cycles from start to the next start (plus the wait for out_room).
//
// Does not: compute the mean (ibert_residual_sum), hold output beats, or accept a start unless idle.

`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_layernorm #(
    parameter LANES   = 8,   // channels a cycle. Requires LANES to divide 16
    parameter CHAN_AW = 10,  // address bits of the channel memory
    parameter YA_W    = 7    // index bits of a row's y words
) (
    input  wire                clk,
    input  wire                rst,

    input  wire                start,
    input  wire [         6:0] s_beats,
    input  wire [         4:0] s_shift,
    input  wire signed [ 23:0] s_mu,
    input  wire [ CHAN_AW-1:0] s_chan_addr,
    output wire                idle,

    output wire                y_en,
    output wire [    YA_W-2:0] y_addr,   // of a pair of words
    input  wire [48*LANES-1:0] y_data,

    output wire                chan_en,
    output wire [ CHAN_AW-1:0] chan_addr,
    input  wire [80*LANES-1:0] chan_data,

    output wire                rq_wait,
    input  wire                rq_free,
    output wire                rq_valid,
    output wire [36*LANES-1:0] rq_o,
    output wire [48*LANES-1:0] rq_chan,  // a lane: {ooff 9, oe 7, om 32}
    input  wire                rq_done,
    input  wire [ 8*LANES-1:0] rq_out,

    input  wire                out_room,
    output wire                out_we,
    output wire [       511:0] out_data,
    output wire                out_last
);

  localparam WORD_N = 64 / LANES;  // words in an output beat
  localparam WORD_W = $clog2(WORD_N);
  localparam SQ_N = 2 * LANES;  // squares a cycle
  localparam VAR_W = 45;        // H <= 4096 squares of 32 bits
  localparam integer WORD_TOP = WORD_N - 1;
  localparam [WORD_W-1:0] WORD_LAST = WORD_TOP[WORD_W-1:0];

  localparam [2:0] S_IDLE = 3'd0, S_SQUARE = 3'd1, S_ROOT = 3'd2, S_DIVIDE = 3'd3, S_ROOM = 3'd4, S_SCALE = 3'd5, S_FLUSH = 3'd6;

  generate
    if (LANES != 1 && LANES != 2 && LANES != 4 && LANES != 8 && LANES != 16) begin : g_err
      PARAM_ERROR_ibert_layernorm_LANES_must_divide_16 u_err ();
    end
  endgenerate

  reg  [        2:0] state_reg;
  reg  [        2:0] state_next;
  reg  [     YA_W:0] last_reg;       // the row's last word
  reg  [     YA_W:0] index_reg;      // word to read
  reg  [        6:0] beats_reg;      // output beats left
  reg  [        4:0] shift_reg;
  reg signed [ 23:0] mu_reg;
  reg  [CHAN_AW-1:0] chan_addr_reg;
  reg  [       31:0] f_reg;

  // words under way by stage: second pass, and the last of them; third pass
  reg                sq_r1, sq_r2, sq_r3, sq_r4, sq_r5, sq_r6, sq_r7;
  reg  [        7:1] last_r;
  reg                odd_r1;         // the upper word of the pair
  reg                sc_r1, sc_r2, sc_r3, sc_r4, sc_r5;

  wire               square = state_reg == S_SQUARE;
  wire               scale = state_reg == S_SCALE;
  wire [     YA_W:0] index_inc = index_reg + {{YA_W - 1{1'b0}}, square, !square};  // pairs: a beat has 64/LANES words, an even number
  wire               index_last = index_reg[YA_W:1] == last_reg[YA_W:1] && (square || index_reg[0] == last_reg[0]);

  wire               root_done;
  wire [       15:0] root;
  wire               recip_done;
  wire [       31:0] f;
  reg                recip_start_reg;
  wire [       31:0] sigma;
  reg  [       31:0] sigma_reg;

  localparam integer PER_BEAT_LOG = $clog2(64 / LANES);
  wire [YA_W+7:0] words = {{YA_W + 1{1'b0}}, s_beats} << PER_BEAT_LOG;
  wire            unused_words = &{1'b0, words[YA_W+7:YA_W+1]};

  assign idle      = state_reg == S_IDLE;
  assign y_en      = square || scale;
  assign y_addr    = index_reg[YA_W-1:1];
  assign chan_en   = sc_r3;
  assign chan_addr = chan_addr_reg;

  always @* begin
    state_next = state_reg;
    case (state_reg)
      S_IDLE:   if (start) state_next = S_SQUARE;
      S_SQUARE: if (index_last) state_next = S_ROOT;
      S_ROOT:   if (root_done) state_next = S_DIVIDE;
      S_DIVIDE: if (recip_done) state_next = S_ROOM;
      S_ROOM:   if (out_room && rq_free) state_next = S_SCALE;
      S_SCALE:  if (index_last) state_next = S_FLUSH;
      default:  if (out_we && out_last) state_next = S_IDLE;
    endcase
  end

  always @(posedge clk) begin
    state_reg <= state_next;
    if (start && idle) begin
      last_reg      <= words[YA_W:0] - 1'b1;
      shift_reg     <= s_shift;
      mu_reg        <= s_mu;
      chan_addr_reg <= s_chan_addr;
      index_reg     <= {YA_W + 1{1'b0}};
    end else begin
      if (y_en) index_reg <= index_last ? {YA_W + 1{1'b0}} : index_inc;
      if (chan_en) chan_addr_reg <= chan_addr_reg + 1'b1;
    end
    sq_r1 <= square;
    sq_r2 <= sq_r1;
    sq_r3 <= sq_r2;
    sq_r4 <= sq_r3;
    sq_r5 <= sq_r4;
    sq_r6 <= sq_r5;
    sq_r7 <= sq_r6;
    last_r <= {last_r[6:1], square && index_last};
    odd_r1 <= index_reg[0];
    sc_r1 <= scale;
    sc_r2 <= sc_r1;
    sc_r3 <= sc_r2;
    sc_r4 <= sc_r3;
    sc_r5 <= sc_r4;
    if (rst) begin
      state_reg <= S_IDLE;
      {sq_r1, sq_r2, sq_r3, sq_r4, sq_r5, sq_r6, sq_r7} <= 7'd0;
      last_r <= 7'd0;
      {sc_r1, sc_r2, sc_r3, sc_r4, sc_r5} <= 5'd0;
    end
  end

  // third pass
  assign rq_wait  = state_reg == S_ROOM || scale || sc_r1 || sc_r2 || sc_r3 || sc_r4 || sc_r5;
  assign rq_valid = sc_r5;

  wire [24*LANES-1:0] y_word = odd_r1 ? y_data[24*LANES+:24*LANES] : y_data[0+:24*LANES];

  genvar i;
  generate
    for (i = 0; i < LANES; i = i + 1) begin : g_lane
      ibert_layernorm_lane u_lane (
          .clk   (clk),
          .en_r1 (sc_r1),
          .en_r2 (sc_r2),
          .en_r3 (sc_r3),
          .en_r4 (sc_r4),
          .y     (y_word[24*i+:24]),
          .mu    (mu_reg),
          .f     (f_reg),
          .chan  (chan_data[80*i+:80]),
          .o     (rq_o[36*i+:36]),
          .o_chan(rq_chan[48*i+:48])
      );
    end
  endgenerate

  // second pass: squares of 32 bits, their sums by four and by sixteen, and the exact sum; one that is too big is only noted
  wire [32*32-1:0] square_r5;   // at most 32 lanes; 0 where there is none
  wire [     31:0] big_r5;
  wire [ 34*8-1:0] four_r6;
  wire [ 36*2-1:0] sixteen_r7;
  reg              big_r6;
  reg              big_r7;
  reg  [VAR_W-1:0] sum_reg;
  reg              big_reg;

  generate
    for (i = 0; i < 32; i = i + 1) begin : g_square
      if (i < SQ_N) begin : g_lane
        ibert_square_lane u_lane (
            .clk  (clk),
            .en_r1(sq_r1),
            .en_r2(sq_r2),
            .en_r3(sq_r3),
            .en_r4(sq_r4),
            .y    (y_data[24*i+:24]),
            .mu   (mu_reg),
            .shift(shift_reg),
            .sq   (square_r5[32*i+:32]),
            .big  (big_r5[i])
        );
      end else begin : g_none
        assign square_r5[32*i+:32] = 32'd0;
        assign big_r5[i]           = 1'b0;
      end
    end
  endgenerate

  generate
    for (i = 0; i < 8; i = i + 1) begin : g_four
      reg [33:0] sum_r6;
      always @(posedge clk) begin
        if (sq_r5) begin
          sum_r6 <= ({2'd0, square_r5[128*i+:32]} + {2'd0, square_r5[128*i+32+:32]})
                  + ({2'd0, square_r5[128*i+64+:32]} + {2'd0, square_r5[128*i+96+:32]});
        end
      end
      assign four_r6[34*i+:34] = sum_r6;
    end
    for (i = 0; i < 2; i = i + 1) begin : g_sixteen
      reg [35:0] sum_r7;
      always @(posedge clk) begin
        if (sq_r6) begin
          sum_r7 <= ({2'd0, four_r6[136*i+:34]} + {2'd0, four_r6[136*i+34+:34]})
                  + ({2'd0, four_r6[136*i+68+:34]} + {2'd0, four_r6[136*i+102+:34]});
        end
      end
      assign sixteen_r7[36*i+:36] = sum_r7;
    end
  endgenerate

  always @(posedge clk) begin
    if (sq_r5) big_r6 <= big_r5 != 32'd0;
    if (sq_r6) big_r7 <= big_r6;
    if (start && idle) begin
      sum_reg <= {VAR_W{1'b0}};
      big_reg <= 1'b0;
    end else if (sq_r7) begin
      sum_reg <= sum_reg + ({{VAR_W - 36{1'b0}}, sixteen_r7[35:0]} + {{VAR_W - 36{1'b0}}, sixteen_r7[71:36]});
      big_reg <= big_reg || big_r7;
    end
  end

  wire [31:0] variance = (big_reg || sum_reg[VAR_W-1:32] != {VAR_W - 32{1'b0}}) ? 32'hFFFFFFFF : sum_reg[31:0];
  reg         root_start_reg;
  wire        unused_root_busy;
  wire        unused_recip_busy;

  always @(posedge clk) begin
    root_start_reg <= last_r[7];
    if (rst) root_start_reg <= 1'b0;
  end

  ibert_isqrt #(
      .W(32)
  ) u_isqrt (
      .clk  (clk),
      .rst  (rst),
      .start(root_start_reg),
      .num  (variance),
      .busy (unused_root_busy),
      .done (root_done),
      .root (root)
  );

  ibert_sigma u_sigma (
      .root (root),
      .shift(shift_reg),
      .sigma(sigma)
  );

  ibert_recip #(
      .LOG(31),
      .W  (32)
  ) u_recip (
      .clk  (clk),
      .rst  (rst),
      .start(recip_start_reg),
      .den  (sigma_reg),
      .busy (unused_recip_busy),
      .done (recip_done),
      .f    (f)
  );

  always @(posedge clk) begin
    recip_start_reg <= root_done;
    if (root_done) sigma_reg <= sigma;
    if (recip_done) f_reg <= f;
    if (rst) recip_start_reg <= 1'b0;
  end

  // output beats: LANES bytes a cycle into place, the full beat leaves in the next cycle
  reg  [     511:0] pack_reg;
  reg  [WORD_W-1:0] place_reg;
  reg               full_reg;

  always @(posedge clk) begin
    full_reg <= rq_done && place_reg == WORD_LAST;
    if (rq_done) begin
      pack_reg[8*LANES*place_reg+:8*LANES] <= rq_out;
      place_reg <= place_reg + 1'b1;
    end
    if (start && idle) beats_reg <= s_beats;
    else if (full_reg) beats_reg <= beats_reg - 1'b1;
    if (rst) begin
      full_reg  <= 1'b0;
      place_reg <= {WORD_W{1'b0}};
    end
  end

  assign out_we   = full_reg;
  assign out_data = pack_reg;
  assign out_last = beats_reg == 7'd1;

endmodule

`resetall
