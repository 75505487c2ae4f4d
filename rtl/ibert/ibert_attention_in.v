// SPDX-License-Identifier: Apache-2.0
// Intake of ibert_attention: finds the store address of every beat, checks the message, reports whole messages.
//
//   edge -> (context, role) -> (bank, beats);  address = {slot, bank, row, offset/16 + beat of the message}
//
// Two cycles from a beat to its store write, one beat a cycle, never stalls but for the 5 cycles of a flush (ibert_slots). A message is reported
// (c_valid, the cycle of its last write) only if its last beat is legal: type, offset and edge are the same on all beats, tkeep is full on all but
// the last, and beats beyond the row are its last ones. Otherwise it is dropped and counted under the first cause that holds:
//   edge   no valid EDGE entry, role 3, or a context beyond CTX_N
//   row    row >= 2**ROW_W or slot >= 2**SLOT_W: nothing written
//   stale  its generation is stale: nothing written; or it was half received when its slot was flushed
//   slice  type not int8, offset not a multiple of 64 bytes, tkeep not all ones, or a beat beyond the row. Such a message may have
//          written the beats before the illegal one; they do not count, and a later correct message replaces them.
// It does not know how many rows there are, nor whether a slice arrived twice. `flush` pulses when the counts of flush_of are to be cleared.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_attention_in #(
    parameter HEAD_BEATS = 2,   // most 64-byte beats of a row, 1 to 16
    parameter ROW_W      = 7,   // rows of a slot = 2**ROW_W
    parameter SLOT_W     = 1,   // slots = 2**SLOT_W
    parameter CTX_N      = 16,  // contexts
    parameter SB_W       = 2,   // SLOT_W + 1: {slot, bank}
    parameter ADDR_W     = 10   // SB_W + ROW_W + $clog2(HEAD_BEATS)
) (
    input  wire              clk,
    input  wire              rst,
    input  wire [511:0]      s_axis_tdata,
    input  wire [63:0]       s_axis_tkeep,
    input  wire [79:0]       s_axis_tuser,
    input  wire              s_axis_tlast,
    input  wire              s_axis_tvalid,
    output wire              s_axis_tready,

    output wire [2:0]        wr_en,      // per role: Q, K, V store
    output wire [ADDR_W-1:0] wr_addr,
    output wire [511:0]      wr_data,

    output wire [ROW_W-1:0]  p_row,      // c_row of a message reported in the next cycle
    output wire              c_valid,    // a whole legal message is in the store after this cycle
    output wire [1:0]        c_role,
    output wire [SB_W-1:0]   c_sb,
    output wire [ROW_W-1:0]  c_row,
    output wire [3:0]        c_beats,    // beats of the message
    output wire [3:0]        c_ctx_beats,// beats of the row
    output wire [5:0]        c_ctx,
    output wire [3:0]        c_gen,
    output wire              c_last,     // flagged last row

    output wire              n_beat,     // counter pulses: a beat; whole messages by fate
    output wire              n_message,
    output wire              n_drop_edge,
    output wire              n_drop_row,
    output wire              n_drop_slice,
    output wire              n_drop_stale,

    input  wire              flush_valid,
    input  wire [3:0]        flush_slot,
    input  wire [3:0]        flush_gen,
    output wire              flush,
    output wire [3:0]        flush_of,
    output wire              sts_flushing,
    output wire              sts_held,   // a beat under way, a message half received

    input  wire              cfg_we,
    input  wire [27:0]       cfg_addr,
    input  wire [8:0]        cfg_data
);

localparam CTX_AW  = (CTX_N > 1) ? $clog2(CTX_N) : 1;
localparam BEAT_AW = $clog2(HEAD_BEATS);

// ---- p1: the beat, its edge looked up, its number in the message
reg [511:0] data_p1;
reg         valid_p1, tlast_p1, keep_p1, cut_p1;
reg [8:0]   edge_p1;
reg [3:0]   slot_p1, gen_p1;
reg [15:0]  row_p1;
reg [9:0]   offset_p1;
reg [1:0]   type_p1;
reg         last_p1;
reg [4:0]   index_reg, index_p1;
wire        open, part, cut;
wire        take = s_axis_tvalid && s_axis_tready;

assign s_axis_tready = open;

wire [8:0] edge_entry;
axis_lutram #(.DATA_W(9), .DEPTH(256)) u_edge (
    .clk(clk),
    .wr_en(cfg_we && cfg_addr[27:24] == 4'd0 && cfg_addr[23:8] == 0), .wr_addr(cfg_addr[7:0]), .wr_data(cfg_data),
    .rd_addr(s_axis_tuser[23:16]), .rd_data(edge_entry)
);

always @(posedge clk) begin
    valid_p1 <= take;
    if (take) begin
        cut_p1    <= cut;
        data_p1   <= s_axis_tdata;
        tlast_p1  <= s_axis_tlast;
        keep_p1   <= &s_axis_tkeep;
        edge_p1   <= edge_entry;
        slot_p1   <= s_axis_tuser[47:44];
        gen_p1    <= s_axis_tuser[43:40];
        row_p1    <= {s_axis_tuser[55:48], s_axis_tuser[63:56]};
        offset_p1 <= {s_axis_tuser[71:64], s_axis_tuser[79:78]};
        type_p1   <= s_axis_tuser[77:76];
        last_p1   <= s_axis_tuser[75];
        index_p1  <= index_reg;
        // saturates: a message longer than 31 beats is illegal long before
        index_reg <= s_axis_tlast ? 5'd0 : (index_reg == 5'd31 ? 5'd31 : index_reg + 5'd1);
    end
    if (rst) begin
        valid_p1  <= 1'b0;
        index_reg <= 5'd0;
    end
end

// ---- p2: context, checks, address
wire [4:0] ctx_entry;   // beats 4, bank 1
axis_lutram #(.DATA_W(5), .DEPTH(CTX_N)) u_context (
    .clk(clk),
    .wr_en(cfg_we && cfg_addr[27:24] == 4'd1 && {8'd0, cfg_addr[23:0]} < CTX_N), .wr_addr(cfg_addr[CTX_AW-1:0]), .wr_data(cfg_data[4:0]),
    .rd_addr(edge_p1[CTX_AW-1:0]), .rd_data(ctx_entry)
);

wire [6:0] beat      = {1'b0, offset_p1[9:4]} + {2'b00, index_p1};
wire       edge_bad  = !edge_p1[8] || edge_p1[7:6] == 2'd3 || {26'd0, edge_p1[5:0]} >= CTX_N;
wire       row_bad   = {16'd0, row_p1} >= (1 << ROW_W) || {28'd0, slot_p1} >= (1 << SLOT_W);
wire       slice_bad = type_p1 != 2'd0 || offset_p1[3:0] != 4'd0 || !keep_p1 || beat >= {3'd0, ctx_entry[4:1]} || {25'd0, beat} >= HEAD_BEATS;
wire       stale, sweep, unused_index;
wire       stale_bad = cut_p1 || stale;
wire       bad       = edge_bad || row_bad || stale_bad || slice_bad;
wire [(4 << SLOT_W)-1:0] unused_cur;
wire       unused_sweep = &{1'b0, sweep};

// the counts are at rest three cycles after the last beat was taken, and cleared at once
ibert_slots #(.SLOT_W(SLOT_W), .DRAIN(3), .SWEEP_W(1)) u_slots (
    .clk(clk), .rst(rst),
    .in_take(take), .in_last(s_axis_tlast), .in_slot(s_axis_tuser[47:44]), .in_open(open), .in_part(part), .in_cut(cut),
    .chk_valid(valid_p1 && !edge_bad && !row_bad && !cut_p1), .chk_slot(slot_p1), .chk_gen(gen_p1), .chk_stale(stale), .cur(unused_cur),
    .flush_valid(flush_valid), .flush_slot(flush_slot), .flush_gen(flush_gen), .sts_flushing(sts_flushing),
    .start(flush), .sweep_valid(sweep), .sweep_slot(flush_of), .sweep_index(unused_index), .busy(1'b0)
);

wire [SB_W-1:0]   sb_next;
wire [ADDR_W-1:0] addr_next;
generate
if (SLOT_W == 0) begin : g_sb0
    assign sb_next = ctx_entry[0];
end else begin : g_sb
    assign sb_next = {slot_p1[SLOT_W-1:0], ctx_entry[0]};
end
if (BEAT_AW == 0) begin : g_addr0
    assign addr_next = {sb_next, row_p1[ROW_W-1:0]};
end else begin : g_addr
    assign addr_next = {sb_next, row_p1[ROW_W-1:0], beat[BEAT_AW-1:0]};
end
endgenerate

reg [511:0]      data_p2;
reg [2:0]        wr_en_p2;
reg [ADDR_W-1:0] addr_p2;
reg              good_p2, message_p2, beat_p2, drop_edge_p2, drop_row_p2, drop_stale_p2, drop_slice_p2;
reg [1:0]        role_p2;
reg [SB_W-1:0]   sb_p2;
reg [ROW_W-1:0]  row_p2;
reg [3:0]        beats_p2, ctx_beats_p2, gen_p2;
reg [5:0]        ctx_p2;
reg              last_p2;

always @(posedge clk) begin
    wr_en_p2      <= 3'b000;
    good_p2       <= 1'b0;
    message_p2    <= 1'b0;
    beat_p2       <= valid_p1;
    drop_edge_p2  <= 1'b0;
    drop_row_p2   <= 1'b0;
    drop_stale_p2 <= 1'b0;
    drop_slice_p2 <= 1'b0;
    if (valid_p1) begin
        if (!bad) begin
            data_p2  <= data_p1;
            addr_p2  <= addr_next;
            wr_en_p2 <= 3'b001 << edge_p1[7:6];
        end
        if (tlast_p1) begin
            message_p2    <= 1'b1;
            good_p2       <= !bad;
            drop_edge_p2  <= edge_bad;
            drop_row_p2   <= !edge_bad && row_bad;
            drop_stale_p2 <= !edge_bad && !row_bad && stale_bad;
            drop_slice_p2 <= !edge_bad && !row_bad && !stale_bad && slice_bad;
            role_p2       <= edge_p1[7:6];
            sb_p2         <= sb_next;
            row_p2        <= row_p1[ROW_W-1:0];
            beats_p2      <= index_p1[3:0] + 4'd1;
            ctx_beats_p2  <= ctx_entry[4:1];
            ctx_p2        <= edge_p1[5:0];
            gen_p2        <= gen_p1;
            last_p2       <= last_p1;
        end
    end
    if (rst) begin
        wr_en_p2      <= 3'b000;
        good_p2       <= 1'b0;
        message_p2    <= 1'b0;
        beat_p2       <= 1'b0;
        drop_edge_p2  <= 1'b0;
        drop_row_p2   <= 1'b0;
        drop_stale_p2 <= 1'b0;
        drop_slice_p2 <= 1'b0;
    end
end

assign wr_en        = wr_en_p2;
assign wr_addr      = addr_p2;
assign wr_data      = data_p2;
assign p_row        = row_p1[ROW_W-1:0];
assign c_valid      = good_p2;
assign c_role       = role_p2;
assign c_sb         = sb_p2;
assign c_row        = row_p2;
assign c_beats      = beats_p2;
assign c_ctx_beats  = ctx_beats_p2;
assign c_ctx        = ctx_p2;
assign c_gen        = gen_p2;
assign c_last       = last_p2;
assign n_beat       = beat_p2;
assign n_message    = message_p2;
assign n_drop_edge  = drop_edge_p2;
assign n_drop_row   = drop_row_p2;
assign n_drop_slice = drop_slice_p2;
assign n_drop_stale = drop_stale_p2;
assign sts_held     = valid_p1 || good_p2 || part;

// destination and source were for the switch
wire unused = &{1'b0, s_axis_tuser[74:72], s_axis_tuser[39:24], s_axis_tuser[15:0]};

endmodule

`resetall
