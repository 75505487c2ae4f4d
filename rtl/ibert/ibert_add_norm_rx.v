// SPDX-License-Identifier: Apache-2.0
//
// Receiving side of ibert_add_norm: looks messages up, stores residual rows, adds int32 parts on arrival, counts slices, and
// reports rows that are complete.
//
//   accumulator[acc_base + rowindex*4*beats + beat]  = part      first arrival of the slice
//                                                   += part      later arrivals (16 x int32, modulo 2^32)
//   residual[res_base + rowindex*beats + beat]       = data
//
// One beat a cycle, always: a beat taken in stage p0 is counted in stage p3 and stored in p5. The accumulator is read in p4 and written in p5 without
// forwarding: a slice ends after 16 beats or with the row, whose length is a multiple of 4 beats, so no address recurs within
// 4 cycles. The records of the rows are counted message by message, single-beat messages too, so their memory forwards.
//
// A record per (region, rowindex) holds four slice counters and a count of residual beats, each with what follows from it for the next
// arrival. A NORM row is complete when each of
// its `slices` slices came `parts` times and, where an EDGE entry brings the context's residual by role 2, its `beats` residual
// beats are in; an ENTRY row when its `beats` data beats are in. The record returns to zero when the row is complete. In every
// other context the residual row was stored before the own node's part can exist (it was the source of that part), so nothing waits
// for it. Contexts of one region must not be under way with the same rowindex at the same time (the plan sees to it).
//
// Dropped and counted (a whole message, one count): ev_drop_edge: edge not valid, or role not of the context's mode; ev_drop_row:
// slot or row out of range; ev_drop_stale: generation stale, or cut by a flush; ev_drop_slice: wrong type, offset not on a slice (parts: multiples
// of 1,024 bytes; rows: of 64), beyond the row, wrong length, or more arrivals than the row takes. Beats of a message of wrong length that lie
// inside the row are stored before the length is known: that row's values are lost, but nothing outside it is touched.
//
// After reset the records are zeroed, one a cycle: s_axis_tready is 0 for 2^(SLOT_W+LROW_W+2) cycles, and then 1 but for flushes.
// FLUSH: ibert_slots. The records of the slot are zeroed in 2^(LROW_W+2) cycles. A message counts when its last beat is in, so one
// that is cut leaves no count. `flush` pulses when the ready rows of flush_of are to be taken out; `flush_wait` holds the input closed.
//
// Does not: check that addresses stay inside the stores (the plan does), nor look at tkeep (slices are whole beats).

`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_add_norm_rx #(
    parameter ROW_W   = 7,   // row bits. Requires 1 to 16
    parameter SLOT_W  = 1,   // slot bits, 0 to 4
    parameter LROW_W  = 5,   // local rows of a slot = 2**LROW_W. Requires 1 to 16
    parameter ACC_AW  = 13,  // address bits of the accumulator store. Requires at most 16
    parameter RES_AW  = 11,  // address bits of the residual store. Requires at most 14
    parameter CTX_N   = 32,  // contexts, at most 64
    parameter READY_W = 51   // bits of a ready row: {beats of the rows before 14, last 1, row 16, slotgen 8, rowindex SLOT_W+LROW_W, ctx 6}
) (
    input  wire               clk,
    input  wire               rst,

    input  wire [      511:0] s_axis_tdata,
    input  wire [       79:0] s_axis_tuser,
    input  wire               s_axis_tlast,
    input  wire               s_axis_tvalid,
    output wire               s_axis_tready,

    // accumulator store: read has priority over every other reader
    output wire               acc_rd_en,
    output wire [ ACC_AW-1:0] acc_rd_addr,
    input  wire [      511:0] acc_rd_data,
    output wire               acc_wr_en,
    output wire [ ACC_AW-1:0] acc_wr_addr,
    output wire [      511:0] acc_wr_data,

    // residual store: write has priority over every other writer
    output wire               res_wr_en,
    output wire [ RES_AW-1:0] res_wr_addr,
    output wire [      511:0] res_wr_data,

    output wire               ready_valid,
    output wire [READY_W-1:0] ready_data,

    output wire               ev_drop_edge,
    output wire               ev_drop_row,
    output wire               ev_drop_slice,
    output wire               ev_drop_stale,

    input  wire               flush_valid,
    input  wire [        3:0] flush_slot,
    input  wire [        3:0] flush_gen,
    output wire               flush,
    output wire [        3:0] flush_of,
    input  wire               flush_wait,
    output wire [(4 << SLOT_W)-1:0] cur,       // generation of every slot
    output wire               sts_flushing,
    output wire               sts_held,        // a beat under way, a message half received, a record that is not zero

    input  wire               cfg_we,
    input  wire [       27:0] cfg_addr,
    input  wire [      108:0] cfg_data
);

  localparam RI_W = SLOT_W + LROW_W;
  localparam REC_AW = RI_W + 2;
  // a slice: arrivals 7; came at all, the next arrival completes it, complete 1 each. Residual: beats 7, all are in 1
  localparam REC_W = 48;
  localparam REC_STARTED = 28;
  localparam REC_LAST = 32;
  localparam REC_DONE = 36;
  localparam REC_RES = 40;
  localparam REC_RES_IN = 47;
  localparam CTX_AW = (CTX_N > 1) ? $clog2(CTX_N) : 1;
  localparam [6:0] CTX_TOP = CTX_N[6:0];

  generate
    if (ROW_W < 1 || ROW_W > 16 || LROW_W < 1 || LROW_W > 16 || SLOT_W < 0 || SLOT_W > 4) begin : g_err_row
      PARAM_ERROR_ibert_add_norm_row_or_slot_bits_out_of_range u_err ();
    end
    if (CTX_N < 1 || CTX_N > 64) begin : g_err_ctx
      PARAM_ERROR_ibert_add_norm_CTX_N_must_be_1_to_64 u_err ();
    end
    if (READY_W != RI_W + 45) begin : g_err_ready
      PARAM_ERROR_ibert_add_norm_rx_READY_W_must_match u_err ();
    end
    if (ACC_AW > 16 || RES_AW > 14) begin : g_err_addr
      PARAM_ERROR_ibert_add_norm_stores_beyond_address_fields u_err ();
    end
  endgenerate

  // records are zeroed after reset
  reg               clear_reg;
  reg  [REC_AW-1:0] clear_addr_reg;

  always @(posedge clk) begin
    if (rst) begin
      clear_reg      <= 1'b1;
      clear_addr_reg <= {REC_AW{1'b0}};
    end else if (clear_reg) begin
      clear_addr_reg <= clear_addr_reg + 1'b1;
      clear_reg      <= clear_addr_reg != {REC_AW{1'b1}};
    end
  end

  wire open;
  wire part;
  wire cut;
  wire sweep;
  wire [REC_AW-SLOT_W-1:0] sweep_index;  // {region, local row}
  wire stale_p2;

  assign s_axis_tready = !clear_reg && open;

  // p0: header fields and the two tables that need nothing else
  wire        take = s_axis_tvalid && s_axis_tready;
  wire [15:0] row_p0 = {s_axis_tuser[55:48], s_axis_tuser[63:56]};
  wire [ 8:0] edge_p0;
  wire [15:0] lrow_p0;
  reg  [ 4:0] count_p0;  // beat of the message, stays at 31

  axis_lutram #(
      .DATA_W(9),
      .DEPTH (256)
  ) u_edge (
      .clk    (clk),
      .wr_en  (cfg_we && cfg_addr[27:24] == 4'd0),
      .wr_addr(cfg_addr[7:0]),
      .wr_data(cfg_data[8:0]),
      .rd_addr(s_axis_tuser[23:16]),
      .rd_data(edge_p0)
  );

  axis_lutram #(
      .DATA_W(16),
      .DEPTH (1 << ROW_W)
  ) u_local_row (
      .clk    (clk),
      .wr_en  (cfg_we && cfg_addr[27:24] == 4'd5),
      .wr_addr(cfg_addr[ROW_W-1:0]),
      .wr_data(cfg_data[15:0]),
      .rd_addr(row_p0[ROW_W-1:0]),
      .rd_data(lrow_p0)
  );

  // contexts whose residual comes by role 2: noted when such an EDGE entry is written (configuration survives reset)
  reg [63:0] by_message_reg;

  initial by_message_reg = 64'd0;

  always @(posedge clk) begin
    if (cfg_we && cfg_addr[27:24] == 4'd0 && cfg_data[7:6] == 2'd2) by_message_reg[cfg_data[5:0]] <= cfg_data[8];
  end

  always @(posedge clk) begin
    if (take) count_p0 <= s_axis_tlast ? 5'd0 : (count_p0 == 5'd31) ? count_p0 : count_p0 + 1'b1;
    if (rst) count_p0 <= 5'd0;
  end

  // p1: header registered, context looked up
  reg          valid_p1;
  reg  [511:0] data_p1;
  reg          end_p1;      // tlast
  reg  [  4:0] count_p1;
  reg  [  8:0] edge_p1;
  reg          cut_p1;
  reg  [  7:0] slotgen_p1;
  reg  [ 15:0] row_p1;
  reg  [ 15:0] lrow_p1;
  reg  [  9:0] offset_p1;
  reg  [  1:0] type_p1;
  reg          last_p1;     // last row of the sequence
  wire [108:0] ctx_p1;

  axis_lutram #(
      .DATA_W(109),
      .DEPTH (CTX_N)
  ) u_context (
      .clk    (clk),
      .wr_en  (cfg_we && cfg_addr[27:24] == 4'd1),
      .wr_addr(cfg_addr[CTX_AW-1:0]),
      .wr_data(cfg_data),
      .rd_addr(edge_p1[CTX_AW-1:0]),
      .rd_data(ctx_p1)
  );

  wire         is_part_p1 = edge_p1[7:6] == 2'd1 && ctx_p1[0];
  // place in the row, in beats; a row has 4*beats int32 beats
  wire [  8:0] part_place_p1 = {3'd0, offset_p1[9:8], 4'd0} + {4'd0, count_p1};
  wire [  8:0] row_place_p1 = {3'd0, offset_p1[9:4]} + {4'd0, count_p1};
  wire         is_data_p1 = edge_p1[7:6] == 2'd0 && !ctx_p1[0];
  wire         is_res_p1 = edge_p1[7:6] == 2'd2 && ctx_p1[0];
  wire         bad_edge_p1 = !edge_p1[8] || {1'b0, edge_p1[5:0]} >= CTX_TOP || !(is_part_p1 || is_data_p1 || is_res_p1);
  wire [  6:0] top_p1 = ctx_p1[7:1] - 7'd1;

  wire [19:0] index_wide = ({16'd0, slotgen_p1[7:4]} << LROW_W) | {4'd0, lrow_p1};
  wire        slot_ok = (slotgen_p1[7:4] >> SLOT_W) == 4'd0;
  wire        row_ok = ({1'b0, row_p1} >> ROW_W) == 17'd0 && ({1'b0, lrow_p1} >> LROW_W) == 17'd0;

  // p2: checks and addresses
  reg          valid_p2;
  reg  [511:0] data_p2;
  reg          end_p2;
  reg  [  4:0] count_p2;
  reg          bad_edge_p2;
  reg          ok_p2;        // edge, slot and row are good, and it was not cut
  reg          row_ok_p2;
  reg          by_message_p2;
  reg  [  5:0] ctx_p2;
  reg          cut_p2;
  reg          is_part_p2;
  reg          is_data_p2;
  reg  [  8:0] place_p2;
  reg  [  8:0] top_p2;       // last place of the row
  reg  [  7:0] slotgen_p2;
  reg  [ 15:0] row_p2;
  reg          last_p2;
  reg  [RI_W-1:0] index_p2;
  reg  [  9:0] offset_p2;
  reg  [  1:0] type_p2;
  reg  [  6:0] beats_p2;
  reg  [  6:0] parts_p2;
  reg  [  2:0] slices_p2;
  reg  [  1:0] region_p2;
  reg  [ 15:0] acc_base_p2;
  reg  [ 13:0] res_base_p2;

  wire         bad_slice_p2 = is_part_p2
                            ? type_p2 != 2'd2 || offset_p2[7:0] != 8'd0 || {1'b0, offset_p2[9:8]} >= slices_p2
                            : type_p2 != 2'd0 || offset_p2[3:0] != 4'd0 || {1'b0, offset_p2[9:4]} >= beats_p2;
  wire         beyond_p2 = place_p2 > top_p2 || (is_part_p2 && count_p2[4]);
  // a part ends with its slice (16 beats) or with the row
  wire         short_p2 = is_part_p2 && count_p2 != 5'd15 && place_p2 != top_p2;
  (* use_dsp = "no" *)
  wire [ 15:0] row_addr_p2;
  assign row_addr_p2 = {{16 - RI_W{1'b0}}, index_p2} * {9'd0, beats_p2};

  // records and ready rows are at rest five cycles after the last beat was taken
  ibert_slots #(
      .SLOT_W (SLOT_W),
      .DRAIN  (5),
      .SWEEP_W(LROW_W + 2)
  ) u_slots (
      .clk         (clk),
      .rst         (rst),
      .in_take     (take),
      .in_last     (s_axis_tlast),
      .in_slot     (s_axis_tuser[47:44]),
      .in_open     (open),
      .in_part     (part),
      .in_cut      (cut),
      .chk_valid   (valid_p2 && ok_p2),
      .chk_slot    (slotgen_p2[7:4]),
      .chk_gen     (slotgen_p2[3:0]),
      .chk_stale   (stale_p2),
      .cur         (cur),
      .flush_valid (flush_valid),
      .flush_slot  (flush_slot),
      .flush_gen   (flush_gen),
      .sts_flushing(sts_flushing),
      .start       (flush),
      .sweep_valid (sweep),
      .sweep_slot  (flush_of),
      .sweep_index (sweep_index),
      .busy        (flush_wait)
  );

  wire drop_stale_p2 = cut_p2 || stale_p2;
  wire good_p2 = valid_p2 && ok_p2 && !bad_slice_p2 && !beyond_p2 && end_p2 && !short_p2;

  // p3: the record is there; count
  reg          valid_p3;
  reg  [511:0] data_p3;
  reg          end_p3;
  reg          drop_edge_p3;
  reg          drop_row_p3;
  reg          drop_stale_p3;
  reg          drop_slice_p3;
  reg          store_p3;     // this beat is inside the row
  reg          is_part_p3;
  reg          is_data_p3;
  reg          by_message_p3;
  reg  [  5:0] ctx_p3;
  reg  [RI_W-1:0] index_p3;
  reg  [  7:0] slotgen_p3;
  reg  [ 15:0] row_p3;
  reg          last_p3;
  reg          part_p3;      // the end of a part that counts, unless there were enough
  reg          other_p3;     // and of a row
  reg          one_part_p3;  // the first arrival of a slice completes it
  reg  [  6:0] prior_p3;     // arrivals before the last but one
  reg  [  3:0] needed_p3;    // slices of the row
  reg  [  3:0] slice_p3;     // one-hot; 0 where this is no part
  reg  [  1:0] slice_at_p3;
  reg  [  1:0] region_p3;
  reg  [  6:0] came_p3;      // beats of the message up to this one
  reg  [  6:0] res_before_p3;  // residual beats before it, if it completes the row's
  reg  [ 13:0] row_addr_p3;  // beats of the rows before
  reg  [ 15:0] acc_at_p3;    // accumulator's address within the row
  reg  [ 13:0] res_at_p3;
  wire [ 15:0] acc_addr_p3 = acc_at_p3 + {row_addr_p3, 2'b00};
  wire [ 13:0] res_addr_p3 = res_at_p3 + row_addr_p3;

  // p4: the accumulator is read
  reg          valid_p4;
  reg  [511:0] data_p4;
  reg          end_p4;
  reg          drop_edge_p4;
  reg          drop_row_p4;
  reg          drop_stale_p4;
  reg          drop_slice_p4;
  reg          store_p4;
  reg          is_part_p4;
  reg          write_p4;
  reg          first_p4;     // of the slice
  reg          excess_p4;
  reg          ready_p4;     // the row is complete
  reg  [  5:0] ctx_p4;
  reg  [RI_W-1:0] index_p4;
  reg  [  7:0] slotgen_p4;
  reg  [ 15:0] row_p4;
  reg          last_p4;
  reg  [ 13:0] row_addr_p4;
  reg  [ACC_AW-1:0] acc_addr_p4;
  reg  [RES_AW-1:0] res_addr_p4;

  assign acc_rd_en   = valid_p4 && write_p4 && is_part_p4;
  assign acc_rd_addr = acc_addr_p4;

  // p5: accumulators are there; sum, store
  reg          acc_write_p5;
  reg          res_write_p5;
  reg          first_p5;
  reg  [511:0] data_p5;
  reg  [ACC_AW-1:0] acc_addr_p5;
  reg  [RES_AW-1:0] res_addr_p5;

  wire [REC_W-1:0] rec;        // in p3
  reg  [REC_W-1:0] rec_after;  // with this arrival
  wire             rec_wr_en;
  wire             excess;
  wire             complete;

  always @(posedge clk) begin
    valid_p1 <= take;
    valid_p2 <= valid_p1;
    valid_p3 <= valid_p2;
    valid_p4 <= valid_p3;
    part_p3 <= good_p2 && is_part_p2 && !stale_p2;
    other_p3 <= good_p2 && !is_part_p2 && !stale_p2;
    ready_p4 <= complete;
    acc_write_p5 <= valid_p4 && write_p4 && is_part_p4;
    res_write_p5 <= valid_p4 && write_p4 && !is_part_p4;
    if (rst) {valid_p1, valid_p2, valid_p3, valid_p4, part_p3, other_p3, ready_p4, acc_write_p5, res_write_p5} <= 9'd0;
  end

  always @(posedge clk) begin
    if (take) begin
      data_p1    <= s_axis_tdata;
      end_p1     <= s_axis_tlast;
      count_p1   <= count_p0;
      edge_p1    <= edge_p0;
      cut_p1     <= cut;
      slotgen_p1 <= s_axis_tuser[47:40];
      row_p1     <= row_p0;
      lrow_p1    <= lrow_p0;
      offset_p1  <= {s_axis_tuser[71:64], s_axis_tuser[79:78]};
      type_p1    <= s_axis_tuser[77:76];
      last_p1    <= s_axis_tuser[75];
    end
    if (valid_p1) begin
      data_p2       <= data_p1;
      end_p2        <= end_p1;
      count_p2      <= count_p1;
      bad_edge_p2   <= bad_edge_p1;
      ok_p2         <= !bad_edge_p1 && slot_ok && row_ok && !cut_p1;
      row_ok_p2     <= slot_ok && row_ok;
      by_message_p2 <= by_message_reg[edge_p1[5:0]];
      ctx_p2        <= edge_p1[5:0];
      cut_p2        <= cut_p1;
      is_part_p2    <= is_part_p1;
      is_data_p2    <= is_data_p1;
      place_p2      <= is_part_p1 ? part_place_p1 : row_place_p1;
      top_p2        <= is_part_p1 ? {top_p1, 2'b11} : {2'b00, top_p1};
      slotgen_p2    <= slotgen_p1;
      row_p2        <= row_p1;
      last_p2       <= last_p1;
      index_p2      <= index_wide[RI_W-1:0];
      offset_p2     <= offset_p1;
      type_p2       <= type_p1;
      beats_p2      <= ctx_p1[7:1];
      parts_p2      <= ctx_p1[14:8];
      slices_p2     <= ctx_p1[17:15];
      region_p2     <= ctx_p1[19:18];
      acc_base_p2   <= ctx_p1[35:20];
      res_base_p2   <= ctx_p1[49:36];
    end
    if (valid_p2) begin
      data_p3       <= data_p2;
      end_p3        <= end_p2;
      drop_edge_p3  <= bad_edge_p2;
      drop_row_p3   <= !bad_edge_p2 && !row_ok_p2;
      drop_stale_p3 <= !bad_edge_p2 && row_ok_p2 && drop_stale_p2;
      drop_slice_p3 <= !bad_edge_p2 && row_ok_p2 && !drop_stale_p2 && (bad_slice_p2 || beyond_p2 || (end_p2 && short_p2));
      store_p3      <= ok_p2 && !stale_p2 && !bad_slice_p2 && !beyond_p2;
      is_part_p3    <= is_part_p2;
      is_data_p3    <= is_data_p2;
      by_message_p3 <= by_message_p2;
      ctx_p3        <= ctx_p2;
      index_p3      <= index_p2;
      slotgen_p3    <= slotgen_p2;
      row_p3        <= row_p2;
      last_p3       <= last_p2;
      one_part_p3   <= parts_p2 == 7'd1;
      prior_p3      <= parts_p2 - 7'd2;
      needed_p3     <= {slices_p2 > 3'd3, slices_p2 > 3'd2, slices_p2 > 3'd1, slices_p2 > 3'd0};
      slice_p3      <= {3'd0, is_part_p2} << offset_p2[9:8];
      slice_at_p3   <= offset_p2[9:8];
      res_before_p3 <= beats_p2 - {2'b00, count_p2} - 7'd1;
      region_p3     <= region_p2;
      came_p3       <= {2'b00, count_p2} + 7'd1;
      row_addr_p3   <= row_addr_p2[13:0];
      acc_at_p3     <= acc_base_p2 + {7'd0, place_p2};
      res_at_p3     <= res_base_p2 + {5'd0, place_p2};
    end
    if (valid_p3) begin
      data_p4       <= data_p3;
      end_p4        <= end_p3;
      drop_edge_p4  <= drop_edge_p3;
      drop_row_p4   <= drop_row_p3;
      drop_stale_p4 <= drop_stale_p3;
      drop_slice_p4 <= drop_slice_p3;
      store_p4      <= store_p3;
      is_part_p4    <= is_part_p3;
      write_p4      <= store_p3 && !excess;
      first_p4      <= (rec[REC_STARTED+:4] & slice_p3) == 4'd0;
      excess_p4     <= excess;
      ctx_p4        <= ctx_p3;
      index_p4      <= index_p3;
      slotgen_p4    <= slotgen_p3;
      row_p4        <= row_p3;
      last_p4       <= last_p3;
      row_addr_p4   <= row_addr_p3;
      acc_addr_p4   <= acc_addr_p3[ACC_AW-1:0];
      res_addr_p4   <= res_addr_p3[RES_AW-1:0];
    end
    if (valid_p4) begin
      data_p5     <= data_p4;
      first_p5    <= first_p4;
      acc_addr_p5 <= acc_addr_p4;
      res_addr_p5 <= res_addr_p4;
    end
  end

  // records of the slot being flushed
  wire [19:0] sweep_row = ({16'd0, flush_of} << LROW_W) | {{20 - LROW_W{1'b0}}, sweep_index[LROW_W-1:0]};
  wire [REC_AW-1:0] sweep_addr = {sweep_index[LROW_W+:2], sweep_row[RI_W-1:0]};
  wire unused_sweep = &{1'b0, sweep_row[19:RI_W-1]};

  // record of the row
  axis_ram #(
      .DATA_W(REC_W),
      .DEPTH (1 << REC_AW),
      .FWD_EN(1)
  ) u_record (
      .clk    (clk),
      .wr_en  (clear_reg || sweep || rec_wr_en),
      .wr_addr(clear_reg ? clear_addr_reg : sweep ? sweep_addr : {region_p3, index_p3}),
      .wr_data((clear_reg || sweep || complete) ? {REC_W{1'b0}} : rec_after),
      .rd_en  (valid_p2),
      .rd_addr({region_p2, index_p2}),
      .rd_data(rec)
  );

  wire [6:0] slice_count = rec[7*slice_at_p3+:7];
  wire [6:0] res_count = rec[REC_RES+:7];
  // slices that are complete with this arrival
  wire [3:0] done_after = rec[REC_DONE+:4] | (slice_p3 & (rec[REC_LAST+:4] | {4{one_part_p3}}));
  wire       parts_in = (needed_p3 & ~done_after) == 4'd0;
  wire       res_now = res_count == res_before_p3;
  wire       excess_part = (rec[REC_DONE+:4] & slice_p3) != 4'd0;

  // more arrivals than the row takes
  wire excess_row = res_count > res_before_p3;
  assign excess    = is_part_p3 ? excess_part : excess_row;
  assign rec_wr_en = (part_p3 && !excess_part) || (other_p3 && !excess_row);
  // the last residual beats are not too many; a part must not be, and waits for the residual only where that comes by message
  assign complete  = (part_p3 && !excess_part && parts_in && (rec[REC_RES_IN] || !by_message_p3))
                  || (other_p3 && res_now && (is_data_p3 || parts_in));

  integer k;

  always @* begin
    rec_after = rec;
    rec_after[REC_DONE+:4] = done_after;
    for (k = 0; k < 4; k = k + 1) begin
      if (slice_p3[k]) begin
        rec_after[7*k+:7]         = slice_count + 7'd1;
        rec_after[REC_STARTED+k]  = 1'b1;
        rec_after[REC_LAST+k]     = slice_count == prior_p3;
      end
    end
    if (!is_part_p3) begin
      rec_after[REC_RES+:7]  = res_count + came_p3;
      rec_after[REC_RES_IN]  = res_now;
    end
  end

  assign ready_valid = ready_p4;
  assign ready_data  = {row_addr_p4, last_p4, row_p4, slotgen_p4, index_p4, ctx_p4};

  // records that are not zero
  reg        up_p4;
  reg        down_p4;
  wire       rows_open;
  wire       zero = rec[REC_STARTED+:4] == 4'd0 && res_count == 7'd0;

  always @(posedge clk) begin
    up_p4   <= rec_wr_en && !complete && zero;
    down_p4 <= complete && !zero;
    if (rst) {up_p4, down_p4} <= 2'b00;
  end

  ibert_open_rows #(
      .SLOT_W (SLOT_W),
      .COUNT_W(LROW_W + 3)
  ) u_open (
      .clk       (clk),
      .rst       (rst),
      .up        (up_p4),
      .down      (down_p4),
      .slot      (slotgen_p4[7:4]),
      .clear     (flush),
      .clear_slot(flush_of),
      .open      (rows_open)
  );

  assign sts_held = valid_p1 || valid_p2 || valid_p3 || valid_p4 || acc_write_p5 || res_write_p5 || part || rows_open;

  // accumulate
  wire [511:0] sum;
  genvar i;
  generate
    for (i = 0; i < 16; i = i + 1) begin : g_add
      assign sum[32*i+:32] = data_p5[32*i+:32] + (first_p5 ? 32'd0 : acc_rd_data[32*i+:32]);
    end
  endgenerate

  assign acc_wr_en   = acc_write_p5;
  assign acc_wr_addr = acc_addr_p5;
  assign acc_wr_data = sum;
  assign res_wr_en   = res_write_p5;
  assign res_wr_addr = res_addr_p5;
  assign res_wr_data = data_p5;

  wire ended = valid_p4 && end_p4;
  assign ev_drop_edge  = ended && drop_edge_p4;
  assign ev_drop_row   = ended && drop_row_p4;
  assign ev_drop_stale = ended && drop_stale_p4;
  assign ev_drop_slice = ended && (drop_slice_p4 || (store_p4 && excess_p4));

  wire unused_bits = &{1'b0, s_axis_tuser[74:64], s_axis_tuser[39:24], s_axis_tuser[15:0], cfg_addr, index_wide, acc_addr_p3,
                       res_addr_p3, ctx_p1[108:50], row_addr_p2, row_p0};

endmodule

`resetall
