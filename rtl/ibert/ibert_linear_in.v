// SPDX-License-Identifier: Apache-2.0
// Input side of ibert_linear: takes messages, writes their beats into the row store, reports complete rows.
//
//   pos  = offset/64 bytes + beat of the message;  address = in_base + rowindex*in_beats + pos;  rowindex = {slot, row[ROW_W-1:0]}
//   COUNT[{region, rowindex}] counts the beats of a row; at in_beats the row is ready and the count is 0 again.
//
// Slices of a row may come in any order and from any source. One beat a cycle, s_axis_tready does not depend on anything downstream;
// it is low only for the 2**(3+SLOT_W+ROW_W) cycles after a reset in which COUNT is cleared, and during a flush. Latency 4 cycles from a
// beat to its store write and, for the beat that completes a row, to row_valid. slot, generation, row and last are those of that beat.
//
// FLUSH: ibert_slots. COUNT of the slot is cleared in 2**(3+ROW_W) cycles, then the message at the input, if it is of this slot, is cut.
// `flush` pulses when the queue of ready rows is to be emptied of flush_of; `flush_wait` holds the input closed while that goes on.
//
// Dropped, each message counted once under the first cause met: unknown edge; row or slot out of range; stale or cut; not int8, not a multiple of 64
// bytes or not a whole beat; a beat beyond the row or the store (beats before it are kept: a message's length is not known before its
// end). It does not check that a beat comes only once.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_linear_in #(
    parameter STORE_BEATS = 8192,  // depth of the row store
    parameter ROW_W       = 7,     // rows of a slot = 2**ROW_W
    parameter SLOT_W      = 1,     // slots = 2**SLOT_W, 0..4
    parameter CTX_N       = 64     // contexts, at most 64
) (
    input  wire                           clk,
    input  wire                           rst,
    input  wire [511:0]                   s_axis_tdata,
    input  wire [63:0]                    s_axis_tkeep,
    input  wire [79:0]                    s_axis_tuser,
    input  wire                           s_axis_tlast,
    input  wire                           s_axis_tvalid,
    output wire                           s_axis_tready,

    output wire                           store_we,
    output wire [$clog2(STORE_BEATS)-1:0] store_addr,
    output wire [511:0]                   store_data,

    output wire                           row_valid,
    output wire [1:0]                     row_prio,
    output wire [5:0]                     row_ctx,
    output wire [7:0]                     row_slotgen,
    output wire [ROW_W-1:0]               row_row,
    output wire                           row_last,

    input  wire                           flush_valid,
    input  wire [3:0]                     flush_slot,
    input  wire [3:0]                     flush_gen,
    output wire                           flush,
    output wire [3:0]                     flush_of,
    input  wire                           flush_wait,
    output wire                           sts_flushing,
    output wire                           sts_held,      // a beat under way, a message half received, a row not complete

    input  wire                           cfg_we,
    input  wire [27:0]                    cfg_addr,
    input  wire [27:0]                    cfg_data,

    output wire                           sts_message,   // pulses
    output wire                           sts_beat,
    output wire                           sts_drop_edge,
    output wire                           sts_drop_row,
    output wire                           sts_drop_slice,
    output wire                           sts_drop_format,
    output wire                           sts_drop_stale
);

localparam SA_W  = $clog2(STORE_BEATS);
localparam CTX_W = (CTX_N > 1) ? $clog2(CTX_N) : 1;
localparam RI_W  = SLOT_W + ROW_W;
localparam CNT_W = 3 + RI_W;
localparam signed [28:0] STORE_SIZE = STORE_BEATS;

generate
if (ROW_W < 1 || ROW_W > 15 || SLOT_W < 0 || SLOT_W > 4) begin : g_row_w
    PARAM_ERROR_ibert_linear_in_ROW_W_1_to_15_SLOT_W_0_to_4 u_err ();
end
if (CTX_N < 1 || CTX_N > 64) begin : g_ctx_n
    PARAM_ERROR_ibert_linear_in_CTX_N_1_to_64 u_err ();
end
if (STORE_BEATS < 2 || STORE_BEATS > 65536) begin : g_store_beats
    PARAM_ERROR_ibert_linear_in_STORE_BEATS_2_to_65536 u_err ();
end
endgenerate

// COUNT is cleared after every reset: a row cut off by the reset starts from nothing
reg  [CNT_W:0] clear_reg;
wire           clearing = !clear_reg[CNT_W];

wire            open, part, cut, sweep, stale_p2;
wire [ROW_W+2:0] sweep_index;
wire            take = s_axis_tvalid && s_axis_tready;

assign s_axis_tready = !clearing && open;

// ---- p1: the beat, registered -------------------------------------------------------------------------------------------
reg         valid_p1, valid_p2, valid_p3, valid_p4;
reg [511:0] data_p1, data_p2, data_p3, data_p4;
reg         last_p1, last_p2, last_p3, last_p4;       // tlast
reg         format_p1, format_p2, format_p3, format_p4; // 1: not a whole int8 beat
reg         cut_p1, cut_p2, stale_p3, stale_p4;
reg [7:0]   edge_p1;
reg [7:0]   slotgen_p1, slotgen_p2, slotgen_p3, slotgen_p4;
reg [15:0]  row_p1, row_p2, row_p3;
reg [ROW_W-1:0] row_p4;
reg         rowlast_p1, rowlast_p2, rowlast_p3, rowlast_p4;
reg [8:0]   pos_p1, pos_p2, pos_p3;
reg [7:0]   beat_reg;   // beat of the message, stays at 255

// wire order of the message bytes, see docs/architecture.md, section 2
wire [9:0] in_offset = {s_axis_tuser[71:64], s_axis_tuser[79:78]};
wire       unused_tuser = &{1'b0, s_axis_tuser[15:0], s_axis_tuser[39:24], s_axis_tuser[74:72]};

// ---- p2: edge -> context ------------------------------------------------------------------------------------------------
wire [8:0] edge_entry;
wire       unused_role = &{1'b0, edge_entry[7:6]};
reg        edge_ok_p2, edge_ok_p3, edge_ok_p4;
reg [5:0]  ctx_p2, ctx_p3, ctx_p4;

axis_lutram #(.DATA_W(9), .DEPTH(256)) u_edge (
    .clk(clk),
    .wr_en(cfg_we && cfg_addr[27:24] == 4'd0 && cfg_addr[23:8] == 16'd0), .wr_addr(cfg_addr[7:0]), .wr_data(cfg_data[8:0]),
    .rd_addr(edge_p1), .rd_data(edge_entry)
);

// ---- p2: generation of the slot -------------------------------------------------------------------------------------------
wire known_p2 = edge_ok_p2 && ({16'd0, row_p2} >> ROW_W) == 32'd0 && (slotgen_p2[7:4] >> SLOT_W) == 4'd0;
wire [(4 << SLOT_W)-1:0] unused_cur;

// records and queue are at rest five cycles after the last beat was taken
ibert_slots #(.SLOT_W(SLOT_W), .DRAIN(5), .SWEEP_W(3 + ROW_W)) u_slots (
    .clk(clk), .rst(rst),
    .in_take(take), .in_last(s_axis_tlast), .in_slot(s_axis_tuser[47:44]), .in_open(open), .in_part(part), .in_cut(cut),
    .chk_valid(valid_p2 && known_p2 && !cut_p2), .chk_slot(slotgen_p2[7:4]), .chk_gen(slotgen_p2[3:0]), .chk_stale(stale_p2),
    .cur(unused_cur),
    .flush_valid(flush_valid), .flush_slot(flush_slot), .flush_gen(flush_gen), .sts_flushing(sts_flushing),
    .start(flush), .sweep_valid(sweep), .sweep_slot(flush_of), .sweep_index(sweep_index), .busy(flush_wait)
);

// ---- p3: context -> where the row stands --------------------------------------------------------------------------------
wire [27:0] ctx_entry;
reg  [6:0]  in_beats_p3, rest_p4;      // rest_p4: beats of the row but one
reg  [2:0]  region_p3;
reg  [1:0]  prio_p3, prio_p4;

axis_lutram #(.DATA_W(28), .DEPTH(CTX_N)) u_context (
    .clk(clk),
    .wr_en(cfg_we && cfg_addr[27:24] == 4'd1 && cfg_addr[23:CTX_W] == 0), .wr_addr(cfg_addr[CTX_W-1:0]), .wr_data(cfg_data),
    .rd_addr(ctx_p2[CTX_W-1:0]), .rd_data(ctx_entry)
);

// ---- p4: address, count ---------------------------------------------------------------------------------------------------
// rowindex*in_beats without a multiplier: its four low bits and its three high ones in p3, added in p4
wire [19:0]      slot_row    = ({16'd0, slotgen_p3[7:4]} << ROW_W) | {4'd0, row_p3};
wire [19:0]      slot_row_p2 = ({16'd0, slotgen_p2[7:4]} << ROW_W) | {4'd0, row_p2};
wire [27:0]      index_p2    = {{(28-RI_W){1'b0}}, slot_row_p2[RI_W-1:0]};
wire             unused_slot_row = &{1'b0, slot_row_p2[19:RI_W]};
wire [6:0]       beats_p2    = ctx_entry[22:16];
reg  [27:0]      low_p3, high_p3, pos_base_p3;
reg  signed [28:0] room_p3;    // beats of the store from in_base + pos on
wire             row_ok    = ({16'd0, row_p3} >> ROW_W) == 32'd0 && (slot_row >> RI_W) == 20'd0;
wire [RI_W-1:0]  rowindex  = slot_row[RI_W-1:0];
wire [27:0]      product   = low_p3 + (high_p3 << 4);
wire [27:0]      addr      = pos_base_p3 + product;
wire signed [28:0] product_signed = $signed({1'b0, product});
wire [27:0]      pos_base_p2 = {12'd0, ctx_entry[15:0]} + {19'd0, pos_p2};

reg              row_ok_p4, slice_ok_p4, fits_p4;
reg  [SA_W-1:0]  addr_p4;
reg  [CNT_W-1:0] count_addr_p4;
wire [CNT_W-1:0] count_addr = {region_p3, rowindex};
wire [6:0]       count_rd;
wire [6:0]       count_next = count_rd + 7'd1;
wire             ok_p4      = edge_ok_p4 && row_ok_p4 && !stale_p4 && !format_p4 && slice_ok_p4 && fits_p4;
wire             store_p4   = valid_p4 && ok_p4;
wire             done_p4    = store_p4 && count_rd == rest_p4;

// COUNT of a slot: its rows in each region
wire [19:0]      sweep_row  = ({16'd0, flush_of} << ROW_W) | {{(20-ROW_W){1'b0}}, sweep_index[ROW_W-1:0]};
wire             unused_addr = &{1'b0, addr[27:SA_W]};
wire             unused_sweep = &{1'b0, sweep_row[19:RI_W-1]};
wire [CNT_W-1:0] sweep_addr = {sweep_index[ROW_W +: 3], sweep_row[RI_W-1:0]};

axis_ram #(.DATA_W(7), .DEPTH(1 << CNT_W), .FWD_EN(1), .STYLE("auto")) u_count (
    .clk(clk),
    .wr_en(clearing || sweep || store_p4),
    .wr_addr(clearing ? clear_reg[CNT_W-1:0] : sweep ? sweep_addr : count_addr_p4),
    .wr_data((clearing || sweep || done_p4) ? 7'd0 : count_next),
    .rd_en(valid_p3), .rd_addr(count_addr), .rd_data(count_rd)
);

// rows begun and not complete
reg        up_p5, down_p5;
reg  [3:0] slot_p5;
wire       rows_open;

ibert_open_rows #(.SLOT_W(SLOT_W), .COUNT_W(ROW_W + 4)) u_open (
    .clk(clk), .rst(rst), .up(up_p5), .down(down_p5), .slot(slot_p5), .clear(flush), .clear_slot(flush_of), .open(rows_open)
);

assign sts_held = valid_p1 || valid_p2 || valid_p3 || valid_p4 || part || rows_open;

reg  dropped_reg;   // this message is counted already
wire drop_p4 = valid_p4 && !ok_p4 && !dropped_reg;

always @(posedge clk) begin
    if (take) begin
        data_p1    <= s_axis_tdata;
        last_p1    <= s_axis_tlast;
        format_p1  <= s_axis_tuser[77:76] != 2'd0 || in_offset[3:0] != 4'd0 || s_axis_tkeep != {64{1'b1}};
        cut_p1     <= cut;
        edge_p1    <= s_axis_tuser[23:16];
        slotgen_p1 <= s_axis_tuser[47:40];
        row_p1     <= {s_axis_tuser[55:48], s_axis_tuser[63:56]};
        rowlast_p1 <= s_axis_tuser[75];
        pos_p1     <= {3'd0, in_offset[9:4]} + {1'b0, beat_reg};
        beat_reg   <= s_axis_tlast ? 8'd0 : beat_reg + {7'd0, beat_reg != 8'd255};
    end
    if (valid_p1) begin
        data_p2    <= data_p1;
        last_p2    <= last_p1;
        format_p2  <= format_p1;
        cut_p2     <= cut_p1;
        slotgen_p2 <= slotgen_p1;
        row_p2     <= row_p1;
        rowlast_p2 <= rowlast_p1;
        pos_p2     <= pos_p1;
        ctx_p2     <= edge_entry[5:0];
        // an entry never written counts as invalid
        if (edge_entry[8] && {26'd0, edge_entry[5:0]} < CTX_N) edge_ok_p2 <= 1'b1;
        else                                                   edge_ok_p2 <= 1'b0;
    end
    if (valid_p2) begin
        data_p3    <= data_p2;
        last_p3    <= last_p2;
        format_p3  <= format_p2;
        stale_p3   <= cut_p2 || stale_p2;
        slotgen_p3 <= slotgen_p2;
        row_p3     <= row_p2;
        rowlast_p3 <= rowlast_p2;
        pos_p3     <= pos_p2;
        ctx_p3     <= ctx_p2;
        edge_ok_p3 <= edge_ok_p2;
        {prio_p3, region_p3, in_beats_p3} <= ctx_entry[27:16];
        low_p3     <= ((index_p2 & {28{beats_p2[0]}}) + ((index_p2 & {28{beats_p2[1]}}) << 1))
                    + (((index_p2 & {28{beats_p2[2]}}) << 2) + ((index_p2 & {28{beats_p2[3]}}) << 3));
        high_p3    <= ((index_p2 & {28{beats_p2[4]}}) + ((index_p2 & {28{beats_p2[5]}}) << 1)) + ((index_p2 & {28{beats_p2[6]}}) << 2);
        pos_base_p3 <= pos_base_p2;
        room_p3    <= STORE_SIZE - $signed({1'b0, pos_base_p2});
    end
    if (valid_p3) begin
        data_p4       <= data_p3;
        last_p4       <= last_p3;
        format_p4     <= format_p3;
        stale_p4      <= stale_p3;
        slotgen_p4    <= slotgen_p3;
        row_p4        <= row_p3[ROW_W-1:0];
        rowlast_p4    <= rowlast_p3;
        ctx_p4        <= ctx_p3;
        prio_p4       <= prio_p3;
        rest_p4       <= in_beats_p3 - 7'd1;
        edge_ok_p4    <= edge_ok_p3;
        row_ok_p4     <= row_ok;
        slice_ok_p4   <= pos_p3 < {2'd0, in_beats_p3};
        addr_p4       <= addr[SA_W-1:0];
        fits_p4       <= product_signed < room_p3;
        count_addr_p4 <= count_addr;
    end
    if (valid_p4) begin
        dropped_reg <= !last_p4 && (dropped_reg || !ok_p4);
        slot_p5     <= slotgen_p4[7:4];
    end
    up_p5   <= store_p4 && !done_p4 && count_rd == 7'd0;
    down_p5 <= done_p4 && count_rd != 7'd0;

    valid_p1 <= take;
    valid_p2 <= valid_p1;
    valid_p3 <= valid_p2;
    valid_p4 <= valid_p3;
    if (clearing) clear_reg <= clear_reg + 1'b1;

    if (rst) begin
        valid_p1    <= 1'b0;
        valid_p2    <= 1'b0;
        valid_p3    <= 1'b0;
        valid_p4    <= 1'b0;
        up_p5       <= 1'b0;
        down_p5     <= 1'b0;
        beat_reg    <= 8'd0;
        dropped_reg <= 1'b0;
        clear_reg   <= {(CNT_W+1){1'b0}};
    end
end

assign store_we    = store_p4;
assign store_addr  = addr_p4;
assign store_data  = data_p4;

assign row_valid   = done_p4;
assign row_prio    = prio_p4;
assign row_ctx     = ctx_p4;
assign row_slotgen = slotgen_p4;
assign row_row     = row_p4;
assign row_last    = rowlast_p4;

assign sts_message     = take && s_axis_tlast;
assign sts_beat        = take;
assign sts_drop_edge   = drop_p4 && !edge_ok_p4;
assign sts_drop_row    = drop_p4 && edge_ok_p4 && !row_ok_p4;
assign sts_drop_stale  = drop_p4 && edge_ok_p4 && row_ok_p4 && stale_p4;
assign sts_drop_format = drop_p4 && edge_ok_p4 && row_ok_p4 && !stale_p4 && format_p4;
assign sts_drop_slice  = drop_p4 && edge_ok_p4 && row_ok_p4 && !stale_p4 && !format_p4;

endmodule

`resetall
