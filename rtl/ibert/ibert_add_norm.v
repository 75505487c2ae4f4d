// SPDX-License-Identifier: Apache-2.0
//
// Kernel add_norm: sums int32 parts as they arrive, adds the residual, normalises (integer LayerNorm), requantises to int8, sends
// the row on, and keeps it as a later residual. Time-shared: what a message means is in the tables.
//
//   y = sat24( requant32(acc; m, e) + requant32(res; m1, e1) );  mu = round_half_even(sum y / H);  v = y - mu
//   vs = v >> shift;  var = min(sum vs^2, 2^32-1);  sigma = max(isqrt(var) << shift, 1);  f = floor(2^31 / sigma)
//   out = requant8( sat36( ((v*f) >> 1) + bias ); om, oe, ooff )
//
// `>>` is arithmetic (floor), each requant rounds half to even. H = 64*beats. Contexts:
//   mode 0 (ENTRY): a role 0 row (int8) is stored at res_base + rowindex*beats and sent out unchanged.
//   mode 1 (NORM):  role 1 slices (int32) are added at acc_base + rowindex*4*beats; role 2 rows (int8) are stored at res_base +
//                   rowindex*beats; complete rows are normalised, sent, and where `keep` stored at keep_base + rowindex*beats.
// rowindex = {slot, LOCAL_ROW[row]}. What completes a row, and what is dropped: ibert_add_norm_rx.
//
// Input: one beat a cycle always (tready falls only while the records are zeroed after reset, and during a flush). The LayerNorm pass
// reads the accumulator store in cycles without a part beat. Output row rate: one per 3*H/(2*LANES) + 48 cycles (the first pass of a row
// overlaps the second of the row before; the third needs its requants), latency 5*H/(2*LANES) + 88 cycles from the last part beat to the
// last output beat; at most, and a part beat in the way of the first pass adds its cycle to both.
//
// Complete rows wait in a FIFO of 2^(SLOT_W+LROW_W+2) entries, one per record: a row of (region, rowindex) cannot complete again
// before its result has left, so at most one entry per record waits. Were a plan to break that, the row is lost and counted.
//
// Generations: cur of a slot is 0 after reset. A message whose generation is 1 to 7 newer (mod 16) makes it cur; one that is older is
// dropped and counted. FLUSH(slot), flush_valid: cur becomes flush_gen, records and ready rows of the slot are forgotten, and what is left of
// a message half received is dropped as stale. It takes, and keeps the input closed for, 5 + 2^(LROW_W+2) cycles, or 10 + the
// ready rows where that is more; ready rows of other slots wait so long. Rows of the slot behind the ready FIFO still come out,
// with their old generation, but are not kept: a row is kept only while its generation is cur. Requires that no message or
// row of flush_gen is still under way. flush_valid is ignored during a flush, and for a slot that does not exist.
// sts_active is 1 while anything is held: a message or row partly received, a ready row, one at work, output not yet taken. It is
// one cycle behind; stored residuals and zeroing after reset do not count.
//
// sts_count, 32 bits each from bit 0: messages in, beats in, dropped by edge, by row, by slice, rows lost to a full ready FIFO, rows
// normalised, rows entered, busy cycles (a row is between the ready FIFO and the output), cycles with a refused output beat, messages
// dropped as stale.
//
// Configuration: memory 0 EDGE, 1 CONTEXT {msg_count 4, msg_base 8, shift 5, h 13, chan_base 14, keep_base 14, keep 1, res_base 14,
// acc_base 16, region 2, slices 3, parts 7, beats 7, mode 1}, 2 MESSAGE, 3 OWNER, 4 CHANNEL {ooff 9, oe 7, om 32, bias 32, e1 7, m1
// 32, e 7, m 32}, 5 LOCAL_ROW.
//
// Does not: check that a context's addresses stay in the stores, that beats <= ROW_BEATS or h = 64*beats (the plan does).

`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_add_norm #(
    parameter LANES      = 16,    // channels a cycle. Requires LANES to divide 16
    parameter ROW_W      = 7,     // rows of a slot = 2**ROW_W
    parameter SLOT_W     = 1,     // slots = 2**SLOT_W, 0 to 4
    parameter LROW_W     = 5,     // rows of a slot this node owns, at most 2**LROW_W
    parameter ACC_BEATS  = 8192,  // beats of the int32 store, at most 65536
    parameter RES_WORDS  = 2048,  // 64-element words of the residual store, at most 16384
    parameter RES_W      = 8,     // bits kept of a residual element. Requires 8 to 16
    parameter CHAN_WORDS = 1024,  // words of LANES channels
    parameter ROW_BEATS  = 12,    // most int8 beats of a row, 1 to 64
    parameter CTX_N      = 32     // contexts, at most 64
) (
    input  wire         clk,
    input  wire         rst,
    input  wire [  7:0] id_cluster,
    input  wire [  7:0] id_kernel,

    input  wire [511:0] s_axis_tdata,
    input  wire [ 63:0] s_axis_tkeep,
    input  wire [ 79:0] s_axis_tuser,
    input  wire         s_axis_tlast,
    input  wire         s_axis_tvalid,
    output wire         s_axis_tready,

    output wire [511:0] m_axis_tdata,
    output wire [ 63:0] m_axis_tkeep,
    output wire [ 79:0] m_axis_tuser,
    output wire         m_axis_tlast,
    output wire         m_axis_tvalid,
    input  wire         m_axis_tready,

    input  wire         cfg_we,
    input  wire [ 27:0] cfg_addr,
    input  wire [511:0] cfg_data,

    input  wire         flush_valid,  // pulse
    input  wire [  3:0] flush_slot,
    input  wire [  3:0] flush_gen,
    output wire         sts_flushing,
    output wire         sts_active,
    output wire [351:0] sts_count
);

  localparam RI_W = SLOT_W + LROW_W;
  localparam ACC_AW = (ACC_BEATS > 1) ? $clog2(ACC_BEATS) : 1;
  localparam RES_AW = (RES_WORDS > 1) ? $clog2(RES_WORDS) : 1;
  localparam CHAN_AW = (CHAN_WORDS > 1) ? $clog2(CHAN_WORDS) : 1;
  localparam CTX_AW = (CTX_N > 1) ? $clog2(CTX_N) : 1;
  localparam LANE_AW = $clog2(LANES);
  localparam YA_W = $clog2(ROW_BEATS * 64 / LANES);
  localparam READY_W = RI_W + 45;
  localparam READY_N = 1 << (RI_W + 2);
  localparam OUT_N = 2 << $clog2(ROW_BEATS);  // output beats held: at least two rows
  localparam OUT_LW = $clog2(OUT_N) + 1;
  localparam INFO_W = 34 + RES_AW;
  localparam [4:0] SLOTS = 5'd1 << SLOT_W;
  localparam [3:0] SLOT_MASK = SLOTS[3:0] - 4'd1;  // a row that is here is of a slot that exists
  localparam [OUT_LW:0] OUT_ROOM = OUT_N[OUT_LW:0];

  generate
    if (LANES != 1 && LANES != 2 && LANES != 4 && LANES != 8 && LANES != 16) begin : g_err_lanes
      PARAM_ERROR_ibert_add_norm_LANES_must_divide_16 u_err ();
    end
    if (RES_W < 8 || RES_W > 16) begin : g_err_res
      PARAM_ERROR_ibert_add_norm_RES_W_must_be_8_to_16 u_err ();
    end
    if (ROW_BEATS < 1 || ROW_BEATS > 64) begin : g_err_beats
      PARAM_ERROR_ibert_add_norm_ROW_BEATS_must_be_1_to_64 u_err ();
    end
    if (CHAN_AW + LANE_AW > 24) begin : g_err_chan
      PARAM_ERROR_ibert_add_norm_CHAN_WORDS_beyond_configuration_index u_err ();
    end
  endgenerate

  // ---------------------------------------------------------------- receive
  wire                rx_acc_rd_en;
  wire [  ACC_AW-1:0] rx_acc_rd_addr;
  wire [       511:0] acc_rd_data;
  wire                acc_wr_en;
  wire [  ACC_AW-1:0] acc_wr_addr;
  wire [       511:0] acc_wr_data;
  wire                rx_res_wr_en;
  wire [  RES_AW-1:0] rx_res_wr_addr;
  wire [       511:0] rx_res_wr_data;
  wire                rx_ready_valid;
  wire [ READY_W-1:0] rx_ready_data;
  wire                ev_drop_edge;
  wire                ev_drop_row;
  wire                ev_drop_slice;
  wire                ev_drop_stale;
  wire                flush;
  wire [         3:0] flush_of;
  wire                purging;
  wire                rx_held;
  wire [(4 << SLOT_W)-1:0] cur;

  ibert_add_norm_rx #(
      .ROW_W  (ROW_W),
      .SLOT_W (SLOT_W),
      .LROW_W (LROW_W),
      .ACC_AW (ACC_AW),
      .RES_AW (RES_AW),
      .CTX_N  (CTX_N),
      .READY_W(READY_W)
  ) u_rx (
      .clk          (clk),
      .rst          (rst),
      .s_axis_tdata (s_axis_tdata),
      .s_axis_tuser (s_axis_tuser),
      .s_axis_tlast (s_axis_tlast),
      .s_axis_tvalid(s_axis_tvalid),
      .s_axis_tready(s_axis_tready),
      .acc_rd_en    (rx_acc_rd_en),
      .acc_rd_addr  (rx_acc_rd_addr),
      .acc_rd_data  (acc_rd_data),
      .acc_wr_en    (acc_wr_en),
      .acc_wr_addr  (acc_wr_addr),
      .acc_wr_data  (acc_wr_data),
      .res_wr_en    (rx_res_wr_en),
      .res_wr_addr  (rx_res_wr_addr),
      .res_wr_data  (rx_res_wr_data),
      .ready_valid  (rx_ready_valid),
      .ready_data   (rx_ready_data),
      .ev_drop_edge (ev_drop_edge),
      .ev_drop_row  (ev_drop_row),
      .ev_drop_slice(ev_drop_slice),
      .ev_drop_stale(ev_drop_stale),
      .flush_valid  (flush_valid),
      .flush_slot   (flush_slot),
      .flush_gen    (flush_gen),
      .flush        (flush),
      .flush_of     (flush_of),
      .flush_wait   (purging),
      .cur          (cur),
      .sts_flushing (sts_flushing),
      .sts_held     (rx_held),
      .cfg_we       (cfg_we),
      .cfg_addr     (cfg_addr),
      .cfg_data     (cfg_data[108:0])
  );

  wire               ready_room;
  wire               ready_valid;
  wire [READY_W-1:0] ready_data;
  wire               ready_pop;
  wire               ready_held;

  ibert_slot_fifo #(
      .DATA_W  (READY_W),
      .DEPTH   (READY_N),
      .SLOT_LSB(RI_W + 10)
  ) u_ready (
      .clk       (clk),
      .rst       (rst),
      .s_tdata   (rx_ready_data),
      .s_tvalid  (rx_ready_valid),
      .s_tready  (ready_room),
      .m_tdata   (ready_data),
      .m_tvalid  (ready_valid),
      .m_tready  (ready_pop),
      .purge     (flush),
      .purge_slot(flush_of),
      .busy      (purging),
      .sts_held  (ready_held)
  );

  // ---------------------------------------------------------------- stores
  wire                acc_req;
  wire [  ACC_AW-1:0] acc_req_addr;
  wire                norm_rq_wait;   // the third pass has the requants, or waits for them
  wire                acc_gnt = !rx_acc_rd_en && !norm_rq_wait;

  axis_ram #(
      .DATA_W(512),
      .DEPTH (ACC_BEATS),
      .STYLE ("ultra")
  ) u_acc (
      .clk    (clk),
      .wr_en  (acc_wr_en),
      .wr_addr(acc_wr_addr),
      .wr_data(acc_wr_data),
      .rd_en  (rx_acc_rd_en || acc_req),
      .rd_addr(rx_acc_rd_en ? rx_acc_rd_addr : acc_req_addr),
      .rd_data(acc_rd_data)
  );

  // residual elements are kept sign-extended to RES_W bits; writers are the input (first) and the kept output rows
  wire                keep_wr_en;
  wire [  RES_AW-1:0] keep_wr_addr;
  wire [       511:0] keep_wr_data;
  wire [       511:0] res_wr_bytes = rx_res_wr_en ? rx_res_wr_data : keep_wr_data;
  wire [64*RES_W-1:0] res_wr_data;
  wire                res_rd_en;
  wire [  RES_AW-1:0] res_rd_addr;
  wire [64*RES_W-1:0] res_rd_data;
  wire [       511:0] res_rd_bytes;

  genvar i;
  generate
    for (i = 0; i < 64; i = i + 1) begin : g_res
      if (RES_W > 8) begin : g_wide
        assign res_wr_data[RES_W*i+:RES_W] = {{RES_W - 8{res_wr_bytes[8*i+7]}}, res_wr_bytes[8*i+:8]};
      end else begin : g_byte
        assign res_wr_data[RES_W*i+:RES_W] = res_wr_bytes[8*i+:8];
      end
      assign res_rd_bytes[8*i+:8] = res_rd_data[RES_W*i+:8];
    end
  endgenerate

  axis_ram #(
      .DATA_W(64 * RES_W),
      .DEPTH (RES_WORDS)
  ) u_res (
      .clk    (clk),
      .wr_en  (rx_res_wr_en || keep_wr_en),
      .wr_addr(rx_res_wr_en ? rx_res_wr_addr : keep_wr_addr),
      .wr_data(res_wr_data),
      .rd_en  (res_rd_en),
      .rd_addr(res_rd_addr),
      .rd_data(res_rd_data)
  );

  // channel constants: first pass {e1, m1, e, m}, third pass {ooff, oe, om, bias}
  wire                sum_chan_en;
  wire [ CHAN_AW-1:0] sum_chan_addr;
  wire [78*LANES-1:0] sum_chan_data;
  wire                norm_chan_en;
  wire [ CHAN_AW-1:0] norm_chan_addr;
  wire [80*LANES-1:0] norm_chan_data;
  wire                cfg_chan = cfg_we && cfg_addr[27:24] == 4'd4;
  wire [        23:0] cfg_lane = cfg_addr[23:0] & (LANES - 1);
  wire [        23:0] cfg_word = cfg_addr[23:0] >> LANE_AW;

  generate
    for (i = 0; i < LANES; i = i + 1) begin : g_chan
      axis_ram #(
          .DATA_W(78),
          .DEPTH (CHAN_WORDS)
      ) u_sum (
          .clk    (clk),
          .wr_en  (cfg_chan && cfg_lane == i),
          .wr_addr(cfg_word[CHAN_AW-1:0]),
          .wr_data(cfg_data[77:0]),
          .rd_en  (sum_chan_en),
          .rd_addr(sum_chan_addr),
          .rd_data(sum_chan_data[78*i+:78])
      );
      axis_ram #(
          .DATA_W(80),
          .DEPTH (CHAN_WORDS)
      ) u_norm (
          .clk    (clk),
          .wr_en  (cfg_chan && cfg_lane == i),
          .wr_addr(cfg_word[CHAN_AW-1:0]),
          .wr_data(cfg_data[157:78]),
          .rd_en  (norm_chan_en),
          .rd_addr(norm_chan_addr),
          .rd_data(norm_chan_data[80*i+:80])
      );
    end
  endgenerate

  // y words of two rows: one being summed, one being normalised; even and odd words apart, read in pairs
  wire                y_we;
  wire [    YA_W-1:0] y_wr_addr;
  wire [24*LANES-1:0] y_wr_data;
  wire                y_en;
  wire [    YA_W-2:0] y_rd_addr;      // of a pair of words
  wire [48*LANES-1:0] y_rd_data;
  reg                 half_reg;       // half of the row being summed
  reg                 norm_half_reg;

  generate
    for (i = 0; i < 2; i = i + 1) begin : g_y
      axis_ram #(
          .DATA_W(24 * LANES),
          .DEPTH (1 << YA_W)
      ) u_y (
          .clk    (clk),
          .wr_en  (y_we && y_wr_addr[0] == i),
          .wr_addr({half_reg, y_wr_addr[YA_W-1:1]}),
          .wr_data(y_wr_data),
          .rd_en  (y_en),
          .rd_addr({norm_half_reg, y_rd_addr}),
          .rd_data(y_rd_data[24*LANES*i+:24*LANES])
      );
    end
  endgenerate

  // ---------------------------------------------------------------- rows in turn: context, then copy or first pass, then hand over
  localparam [2:0] S_IDLE = 3'd0, S_ADDR = 3'd1, S_START = 3'd2, S_SUM = 3'd3, S_HAND = 3'd4, S_ROOM = 3'd5, S_COPY = 3'd6,
                   S_TAIL = 3'd7;

  reg  [        2:0] state_reg;
  reg  [        2:0] state_next;
  reg                mode_reg;
  reg  [        6:0] beats_reg;
  reg  [       15:0] acc_base_reg;
  reg  [       13:0] res_base_reg;
  reg                keep_reg;
  reg  [       13:0] keep_base_reg;
  reg  [       13:0] chan_base_reg;
  reg  [       12:0] h_reg;
  reg  [        4:0] shift_reg;
  reg  [        7:0] msg_base_reg;
  reg  [       24:0] head_reg;       // {last, row, slotgen}
  reg  [        6:0] copy_left_reg;
  reg                copy_p1;        // a copied word comes out of the residual store
  reg                copy_last_p1;
  wire [      108:0] context;
  reg  [       13:0] row_addr_reg;

  axis_lutram #(
      .DATA_W(109),
      .DEPTH (CTX_N)
  ) u_context (
      .clk    (clk),
      .wr_en  (cfg_we && cfg_addr[27:24] == 4'd1),
      .wr_addr(cfg_addr[CTX_AW-1:0]),
      .wr_data(cfg_data[108:0]),
      .rd_addr(ready_data[CTX_AW-1:0]),
      .rd_data(context)
  );

  wire               sum_done;
  wire signed [23:0] sum_mu;
  wire               norm_idle;
  wire               out_room;
  wire               copy_room;
  wire               sum_start = state_reg == S_START && mode_reg;
  wire               norm_start = state_reg == S_HAND && norm_idle;
  wire               copy_en = state_reg == S_COPY;

  assign ready_pop = state_reg == S_IDLE;

  always @* begin
    state_next = state_reg;
    case (state_reg)
      S_IDLE:  if (ready_valid) state_next = S_ADDR;
      S_ADDR:  state_next = S_START;
      S_START: state_next = mode_reg ? S_SUM : S_ROOM;
      S_SUM:   if (sum_done) state_next = S_HAND;
      S_HAND:  if (norm_idle) state_next = S_IDLE;
      // rows leave in the order of the ready FIFO: a copied row waits for the one being normalised
      S_ROOM:  if (norm_idle && copy_room) state_next = S_COPY;
      S_COPY:  if (copy_left_reg == 7'd1) state_next = S_TAIL;
      default: state_next = S_IDLE;
    endcase
  end

  always @(posedge clk) begin
    state_reg <= state_next;
    copy_p1   <= copy_en;
    if (copy_en) copy_last_p1 <= copy_left_reg == 7'd1;
    if (norm_start) half_reg <= !half_reg;
    if (rst) begin
      state_reg <= S_IDLE;
      copy_p1   <= 1'b0;
      half_reg  <= 1'b0;
    end
  end

  always @(posedge clk) begin
    if (ready_pop && ready_valid) begin
      mode_reg      <= context[0];
      beats_reg     <= context[7:1];
      acc_base_reg  <= context[35:20];
      res_base_reg  <= context[49:36];
      keep_reg      <= context[50];
      keep_base_reg <= context[64:51];
      chan_base_reg <= context[78:65];
      h_reg         <= context[91:79];
      shift_reg     <= context[96:92];
      msg_base_reg  <= context[104:97];
      row_addr_reg  <= ready_data[31+RI_W+:14];
      head_reg      <= ready_data[6+RI_W+:25];
    end
    if (state_reg == S_ADDR) begin
      acc_base_reg  <= acc_base_reg + {row_addr_reg, 2'b00};
      res_base_reg  <= res_base_reg + row_addr_reg;
      keep_base_reg <= keep_base_reg + row_addr_reg;
      copy_left_reg <= beats_reg;
    end
    if (copy_en) begin
      res_base_reg  <= res_base_reg + 1'b1;
      copy_left_reg <= copy_left_reg - 1'b1;
    end
  end

  // ---------------------------------------------------------------- passes
  wire              sum_res_en;
  wire [RES_AW-1:0] sum_res_addr;

  // one requant a lane, for the accumulators of the first pass or the results of the third; the first pass reads no accumulator
  // while the third has or awaits it
  wire                sum_quiet;
  wire                sum_rq_valid;
  wire [32*LANES-1:0] sum_rq_acc;
  wire [39*LANES-1:0] sum_rq_chan;
  wire [32*LANES-1:0] sum_rq_q;
  wire                sum_rq_done;
  wire                norm_rq_valid;
  wire [36*LANES-1:0] norm_rq_o;
  wire [48*LANES-1:0] norm_rq_chan;
  wire [ 8*LANES-1:0] norm_rq_out;
  wire [   LANES-1:0] rq_done;
  wire                unused_done = &{1'b0, rq_done};

  generate
    for (i = 0; i < LANES; i = i + 1) begin : g_requant
      ibert_requant #(
          .IN_W (36),
          .OUT_W(32)
      ) u_requant (
          .clk    (clk),
          .rst    (rst),
          .s_valid(sum_rq_valid || norm_rq_valid),
          .s_x    (norm_rq_valid ? norm_rq_o[36*i+:36] : {{4{sum_rq_acc[32*i+31]}}, sum_rq_acc[32*i+:32]}),
          .s_m    (norm_rq_valid ? norm_rq_chan[48*i+:32] : sum_rq_chan[39*i+:32]),
          .s_e    (norm_rq_valid ? norm_rq_chan[48*i+32+:7] : sum_rq_chan[39*i+32+:7]),
          .s_off  (norm_rq_valid ? norm_rq_chan[48*i+39+:9] : 9'd0),
          .m_valid(rq_done[i]),
          .m_y    (sum_rq_q[32*i+:32])
      );
      ibert_sat #(
          .IN_W (32),
          .OUT_W(8)
      ) u_sat (
          .x(sum_rq_q[32*i+:32]),
          .y(norm_rq_out[8*i+:8])
      );
    end
  endgenerate

  wire [CHAN_AW-1:0] chan_addr_in;
  generate
    if (CHAN_AW > 14) begin : g_chan_wide
      assign chan_addr_in = {{CHAN_AW - 14{1'b0}}, chan_base_reg};
    end else begin : g_chan_addr
      assign chan_addr_in = chan_base_reg[CHAN_AW-1:0];
    end
  endgenerate

  ibert_residual_sum #(
      .LANES    (LANES),
      .RES_W    (RES_W),
      .ROW_BEATS(ROW_BEATS),
      .ACC_AW   (ACC_AW),
      .RES_AW   (RES_AW),
      .CHAN_AW  (CHAN_AW),
      .YA_W     (YA_W)
  ) u_sum (
      .clk        (clk),
      .rst        (rst),
      .start      (sum_start),
      .s_beats    (beats_reg),
      .s_h        (h_reg),
      .s_acc_addr (acc_base_reg[ACC_AW-1:0]),
      .s_res_addr (res_base_reg[RES_AW-1:0]),
      .s_chan_addr(chan_addr_in),
      .done       (sum_done),
      .mu         (sum_mu),
      .quiet      (sum_quiet),
      .rq_valid   (sum_rq_valid),
      .rq_acc     (sum_rq_acc),
      .rq_chan    (sum_rq_chan),
      .rq_q       (sum_rq_q),
      .rq_done    (sum_rq_done),
      .acc_req    (acc_req),
      .acc_addr   (acc_req_addr),
      .acc_gnt    (acc_gnt),
      .acc_data   (acc_rd_data),
      .res_en     (sum_res_en),
      .res_addr   (sum_res_addr),
      .res_data   (res_rd_data),
      .chan_en    (sum_chan_en),
      .chan_addr  (sum_chan_addr),
      .chan_data  (sum_chan_data),
      .y_we       (y_we),
      .y_addr     (y_wr_addr),
      .y_data     (y_wr_data)
  );

  assign res_rd_en   = sum_res_en || copy_en;
  assign res_rd_addr = copy_en ? res_base_reg[RES_AW-1:0] : sum_res_addr;

  wire         norm_out_we;
  wire [511:0] norm_out_data;
  wire         norm_out_last;

  ibert_layernorm #(
      .LANES  (LANES),
      .CHAN_AW(CHAN_AW),
      .YA_W   (YA_W)
  ) u_norm (
      .clk        (clk),
      .rst        (rst),
      .start      (norm_start),
      .s_beats    (beats_reg),
      .s_shift    (shift_reg),
      .s_mu       (sum_mu),
      .s_chan_addr(chan_addr_in),
      .idle       (norm_idle),
      .y_en       (y_en),
      .y_addr     (y_rd_addr),
      .y_data     (y_rd_data),
      .chan_en    (norm_chan_en),
      .chan_addr  (norm_chan_addr),
      .chan_data  (norm_chan_data),
      .rq_wait    (norm_rq_wait),
      .rq_free    (sum_quiet),
      .rq_valid   (norm_rq_valid),
      .rq_o       (norm_rq_o),
      .rq_chan    (norm_rq_chan),
      .rq_done    (rq_done[0] && !sum_rq_done),
      .rq_out     (norm_rq_out),
      .out_room   (out_room),
      .out_we     (norm_out_we),
      .out_data   (norm_out_data),
      .out_last   (norm_out_last)
  );

  // what travels with the row being normalised: {keep address, keep, last, row, slotgen, msg_base}
  reg  [INFO_W-1:0] norm_info_reg;
  reg  [       6:0] norm_beats_reg;
  wire [INFO_W-1:0] info = {keep_base_reg[RES_AW-1:0], keep_reg && mode_reg, head_reg, msg_base_reg};

  always @(posedge clk) begin
    if (norm_start) begin
      norm_info_reg  <= info;
      norm_beats_reg <= beats_reg;
      norm_half_reg  <= half_reg;
    end
  end

  // ---------------------------------------------------------------- output
  wire                out_we = norm_out_we || copy_p1;
  wire                out_last = norm_out_we ? norm_out_last : copy_last_p1;
  wire [       511:0] out_data = norm_out_we ? norm_out_data : res_rd_bytes;
  wire [  INFO_W-1:0] out_info = norm_out_we ? norm_info_reg : info;
  wire [  OUT_LW-1:0] out_level;
  wire                unused_out_ready;
  wire [       511:0] fifo_data;
  wire                fifo_last;
  wire [  INFO_W-1:0] fifo_info;
  wire                fifo_valid;
  wire                fifo_pop;

  // a whole row must fit before its first beat is made: the writers cannot stall
  reg  [  OUT_LW-1:0] level_reg;
  wire [  OUT_LW+7:0] norm_level = {8'd0, level_reg} + {{OUT_LW + 1{1'b0}}, norm_beats_reg};
  wire [  OUT_LW+7:0] copy_level = {8'd0, level_reg} + {{OUT_LW + 1{1'b0}}, beats_reg};
  reg                 out_room_reg;
  reg                 copy_room_reg;
  reg  [         1:0] norm_idle_reg;  // of two cycles before, as the rooms

  always @(posedge clk) begin
    level_reg     <= out_level;
    out_room_reg  <= norm_level <= {7'd0, OUT_ROOM};
    copy_room_reg <= copy_level <= {7'd0, OUT_ROOM};
    norm_idle_reg <= {norm_idle_reg[0], norm_idle};
    if (rst) {out_room_reg, copy_room_reg, norm_idle_reg} <= 4'd0;
  end

  assign out_room  = out_room_reg;
  assign copy_room = copy_room_reg && norm_idle_reg[1];

  axis_fifo #(
      .DATA_W(513 + INFO_W),
      .DEPTH (OUT_N)
  ) u_out (
      .clk          (clk),
      .rst          (rst),
      .s_axis_tdata ({out_info, out_last, out_data}),
      .s_axis_tvalid(out_we),
      .s_axis_tready(unused_out_ready),
      .m_axis_tdata ({fifo_info, fifo_last, fifo_data}),
      .m_axis_tvalid(fifo_valid),
      .m_axis_tready(fifo_pop),
      .sts_level    (out_level)
  );

  // a kept beat is stored before it is offered, so a later residual read cannot miss it
  reg  [RES_AW-1:0] kept_reg;       // beat of the row
  reg               stored_reg;     // this beat is in the residual store
  wire              keep_beat = fifo_info[33];
  wire              emit_ready;

  // a row from before a flush must not be stored over a row of the replay
  reg  [       3:0] keep_cur;
  integer           k;

  always @* begin
    keep_cur = 4'd0;
    for (k = 0; k < 1 << SLOT_W; k = k + 1) if ((fifo_info[15:12] & SLOT_MASK) == k[3:0]) keep_cur = cur[4*k+:4];
  end

  wire keep_now = keep_beat && fifo_info[11:8] == keep_cur;

  assign keep_wr_en   = fifo_valid && keep_now && !stored_reg && !rx_res_wr_en;
  assign keep_wr_addr = fifo_info[34+:RES_AW] + kept_reg;
  assign keep_wr_data = fifo_data;
  wire emit_valid = fifo_valid && (!keep_now || stored_reg || keep_wr_en);
  assign fifo_pop = emit_valid && emit_ready;

  always @(posedge clk) begin
    if (fifo_pop) begin
      stored_reg <= 1'b0;
      kept_reg   <= fifo_last ? {RES_AW{1'b0}} : kept_reg + 1'b1;
    end else if (keep_wr_en) begin
      stored_reg <= 1'b1;
    end
    if (rst) begin
      stored_reg <= 1'b0;
      kept_reg   <= {RES_AW{1'b0}};
    end
  end

  axis_msg_emit #(
      .ROW_W(ROW_W)
  ) u_emit (
      .clk          (clk),
      .rst          (rst),
      .id_cluster   (id_cluster),
      .id_kernel    (id_kernel),
      .s_axis_tdata (fifo_data),
      .s_axis_tlast (fifo_last),
      .s_axis_tvalid(emit_valid),
      .s_axis_tready(emit_ready),
      .s_msg_base   (fifo_info[7:0]),
      .s_slotgen    (fifo_info[15:8]),
      .s_row        (fifo_info[31:16]),
      .s_last       (fifo_info[32]),
      .m_axis_tdata (m_axis_tdata),
      .m_axis_tkeep (m_axis_tkeep),
      .m_axis_tuser (m_axis_tuser),
      .m_axis_tlast (m_axis_tlast),
      .m_axis_tvalid(m_axis_tvalid),
      .m_axis_tready(m_axis_tready),
      .cfg_we       (cfg_we),
      .cfg_addr     (cfg_addr),
      .cfg_data     (cfg_data[41:0])
  );

  // ---------------------------------------------------------------- counters
  // rows between the ready FIFO and the messages: one summed, one normalised, the output FIFO
  localparam FLIGHT_W = OUT_LW + 2;

  reg  [FLIGHT_W-1:0] flight_reg;
  reg                 active_reg;
  wire                row_begun = ready_pop && ready_valid;
  wire                row_sent = fifo_pop && fifo_last;

  always @(posedge clk) begin
    flight_reg <= flight_reg + {{FLIGHT_W - 1{1'b0}}, row_begun} - {{FLIGHT_W - 1{1'b0}}, row_sent};
    active_reg <= rx_held || (s_axis_tvalid && s_axis_tready) || ready_held || flight_reg != {FLIGHT_W{1'b0}} || m_axis_tvalid;
    if (rst) begin
      flight_reg <= {FLIGHT_W{1'b0}};
      active_reg <= 1'b0;
    end
  end

  assign sts_active = active_reg;

  wire [10:0] event_now = {
    ev_drop_stale,
    m_axis_tvalid && !m_axis_tready,
    state_reg != S_IDLE || !norm_idle || fifo_valid || m_axis_tvalid,
    copy_p1 && copy_last_p1,
    norm_out_we && norm_out_last,
    rx_ready_valid && !ready_room,
    ev_drop_slice,
    ev_drop_row,
    ev_drop_edge,
    s_axis_tvalid && s_axis_tready,
    s_axis_tvalid && s_axis_tready && s_axis_tlast
  };

  reg [10:0] event_reg;

  always @(posedge clk) event_reg <= rst ? 11'd0 : event_now;

  generate
    for (i = 0; i < 11; i = i + 1) begin : g_count
      reg [31:0] count_reg;
      always @(posedge clk) begin
        if (rst) count_reg <= 32'd0;
        else if (event_reg[i]) count_reg <= count_reg + 1'b1;
      end
      assign sts_count[32*i+:32] = count_reg;
    end
  endgenerate

  wire unused_bits = &{1'b0, s_axis_tkeep, cfg_data, context, acc_base_reg, res_base_reg, keep_base_reg, chan_base_reg,
                       cfg_word, ready_data};

endmodule

`resetall
