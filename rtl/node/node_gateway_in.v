// SPDX-License-Identifier: Apache-2.0
// Intake of node_gateway: checks each message, writes it into its slot's part of the store, hands its header on; reads RELEASEs.
//
// The store of a slot is a ring of DEPTH beats. A message is written behind the one before it while it comes, and counts (push, in the cycle of
// its last beat's write) only if it is legal as a whole; else the next one takes its place. The first cause that holds is counted:
//   edge    not EDGE_IN, or SLICES is 0 (not configured)
//   row     row >= 2**ROW_W or slot >= 2**SLOT_W
//   stale   its generation is stale (ibert_slots), or it was half received when its slot was flushed
//   format  type not int8, tkeep not all ones, more than 16 beats; of a control message: its first byte is not RELEASE
//   full    its slot had not enough free beats when its first beat came, or the FIFO of headers is full
// Of a control message the first beat is all that counts.
//
// Latency: a beat is written 2 cycles after it was taken. One beat a cycle, always; the input is closed during a flush only.
`resetall
`timescale 1ns/1ps
`default_nettype none

module node_gateway_in #(
    parameter ROW_W  = 7,       // rows of a slot = 2**ROW_W
    parameter SLOT_W = 1,       // slots = 2**SLOT_W
    parameter DEPTH  = 1536,    // beats of a slot
    parameter ADDR_W = 12,      // not to be set: $clog2(DEPTH << SLOT_W)
    parameter HEAD_W = 48       // not to be set: ADDR_W + 2*ROW_W + 22
) (
    input  wire                      clk,
    input  wire                      rst,
    input  wire [7:0]                edge_in,
    input  wire [2:0]                slices,

    input  wire [511:0]              s_axis_tdata,
    input  wire [63:0]               s_axis_tkeep,
    input  wire [79:0]               s_axis_tuser,
    input  wire                      s_axis_tlast,
    input  wire                      s_axis_tvalid,
    output wire                      s_axis_tready,

    output wire                      wr_en,
    output wire [ADDR_W-1:0]         wr_addr,
    output wire [511:0]              wr_data,

    output wire [(1 << SLOT_W)-1:0]  push,          // per slot
    output wire [HEAD_W-1:0]         push_head,     // {address, goal, beats - 1, last, offset, row, generation}
    input  wire [(1 << SLOT_W)-1:0]  push_room,     // for one header, for two: of what was pushed by the cycle before the last
    input  wire [(1 << SLOT_W)-1:0]  push_room2,
    input  wire [(1 << SLOT_W)-1:0]  free,          // a message was read: its beats are free
    input  wire [4:0]                free_beats,

    output wire                      rel_valid,     // a RELEASE came
    output wire [3:0]                rel_slot,
    output wire [3:0]                rel_gen,

    input  wire                      flush_valid,
    input  wire [3:0]                flush_slot,
    input  wire [3:0]                flush_gen,
    output wire                      sts_flushing,
    output wire                      start,         // what is stored of start_slot is forgotten
    output wire [3:0]                start_slot,    // from the first cycle of a flush on
    input  wire                      busy,          // a message of start_slot is still being read

    output wire [6:0]                events,        // pulses: stale, full, format, row, edge; a beat, a message came
    output wire                      sts_held
);

localparam SLOT_N = 1 << SLOT_W;
localparam GOAL_W = ROW_W + 3;
localparam FREE_W = $clog2(DEPTH + 1);
localparam [7:0] OP_RELEASE = 8'h21;
localparam [GOAL_W-1:0] NONE = 0;
localparam [FREE_W-1:0] ALL_FREE = DEPTH[FREE_W-1:0];

// ---- p1: comparisons that need nothing but the beat

wire        open, part, cut;
wire        take = s_axis_tvalid && open;
wire [15:0] row  = {s_axis_tuser[55:48], s_axis_tuser[63:56]};
reg  [4:0]  index_reg;      // beat of the message, stays at 16

reg  [511:0]      data_p1;
reg               valid_p1, first_p1, tlast_p1, cut_p1, edge_p1, inside_p1, control_p1, form_p1, release_p1, last_p1;
reg  [3:0]        slot_p1, gen_p1, index_p1;
reg  [ROW_W-1:0]  row_p1;
reg  [9:0]        offset_p1;

assign s_axis_tready = open;

always @(posedge clk) begin
    valid_p1 <= take;
    if (take) begin
        data_p1    <= s_axis_tdata;
        first_p1   <= (index_reg == 5'd0);
        tlast_p1   <= s_axis_tlast;
        cut_p1     <= cut;
        edge_p1    <= (s_axis_tuser[23:16] == edge_in) && (slices != 3'd0);
        inside_p1  <= (row >> ROW_W) == 16'd0 && (s_axis_tuser[47:44] >> SLOT_W) == 4'd0;
        control_p1 <= (s_axis_tuser[77:76] == 2'd3);
        form_p1    <= (s_axis_tuser[77:76] == 2'd0) && (&s_axis_tkeep) && !index_reg[4];
        release_p1 <= (s_axis_tdata[7:0] == OP_RELEASE) && s_axis_tkeep[0];
        last_p1    <= s_axis_tuser[75];
        slot_p1    <= s_axis_tuser[47:44];
        gen_p1     <= s_axis_tuser[43:40];
        index_p1   <= index_reg[3:0];
        row_p1     <= row[ROW_W-1:0];
        offset_p1  <= {s_axis_tuser[71:64], s_axis_tuser[79:78]};
        index_reg  <= s_axis_tlast ? 5'd0 : index_reg[4] ? index_reg : index_reg + 5'd1;
    end
    if (rst) begin
        valid_p1  <= 1'b0;
        index_reg <= 5'd0;
    end
end

// ---- p2: generation

wire data_beat = valid_p1 && !control_p1;
wire [GOAL_W-1:0] rows = {3'd0, row_p1} + {{(GOAL_W-1){1'b0}}, 1'b1};
wire stale, sweep_valid, sweep_index;
wire [(4 << SLOT_W)-1:0] cur;
wire unused = &{1'b0, sweep_valid, sweep_index, cur, s_axis_tuser};

// what was taken has its last trace in tails and FIFOs three cycles later; they are emptied at once
ibert_slots #(.SLOT_W(SLOT_W), .DRAIN(3), .SWEEP_W(1)) u_slots (
    .clk(clk), .rst(rst),
    .in_take(take), .in_last(s_axis_tlast), .in_slot(s_axis_tuser[47:44]), .in_open(open), .in_part(part), .in_cut(cut),
    .chk_valid(data_beat && edge_p1 && inside_p1 && !cut_p1), .chk_slot(slot_p1), .chk_gen(gen_p1), .chk_stale(stale), .cur(cur),
    .flush_valid(flush_valid), .flush_slot(flush_slot), .flush_gen(flush_gen), .sts_flushing(sts_flushing),
    .start(start), .sweep_valid(sweep_valid), .sweep_slot(start_slot), .sweep_index(sweep_index), .busy(busy)
);

reg  [511:0]      data_p2;
reg               beat_p2, message_p2, data_beat_p2, first_p2, tlast_p2, legal_p2, edge_bad_p2, row_bad_p2, stale_p2, form_p2, last_p2;
reg               release_p2, opcode_bad_p2;
reg  [3:0]        slot_p2, gen_p2, index_p2;
reg  [ROW_W-1:0]  row_p2;
reg  [9:0]        offset_p2;
reg  [GOAL_W-1:0] goal_p2;      // messages of the sequence, if this row is its last

always @(posedge clk) begin
    beat_p2       <= valid_p1;
    message_p2    <= valid_p1 && tlast_p1;
    data_beat_p2  <= data_beat;
    release_p2    <= valid_p1 && control_p1 && first_p1 && release_p1;
    opcode_bad_p2 <= valid_p1 && control_p1 && first_p1 && !release_p1;
    data_p2       <= data_p1;
    first_p2      <= first_p1;
    tlast_p2      <= tlast_p1;
    legal_p2      <= edge_p1 && inside_p1 && !cut_p1 && !stale;
    edge_bad_p2   <= !edge_p1;
    row_bad_p2    <= edge_p1 && !inside_p1;
    stale_p2      <= edge_p1 && inside_p1 && (cut_p1 || stale);
    form_p2       <= form_p1;
    last_p2       <= last_p1;
    slot_p2       <= slot_p1;
    gen_p2        <= gen_p1;
    index_p2      <= index_p1;
    row_p2        <= row_p1;
    offset_p2     <= offset_p1;
    goal_p2       <= (slices[0] ? rows : NONE) + (slices[1] ? rows << 1 : NONE) + (slices[2] ? rows << 2 : NONE);
    if (rst) begin
        beat_p2       <= 1'b0;
        message_p2    <= 1'b0;
        data_beat_p2  <= 1'b0;
        release_p2    <= 1'b0;
        opcode_bad_p2 <= 1'b0;
    end
end

assign rel_valid = release_p2;
assign rel_slot  = slot_p2;
assign rel_gen   = gen_p2;

// ---- the ring of a slot

wire [SLOT_N*ADDR_W-1:0] tails, firsts, lasts;     // next beat to write; first and last of the ring
wire [SLOT_N*FREE_W-1:0] frees;
reg  [ADDR_W-1:0] tail, ring_first, ring_last;
reg  [FREE_W-1:0] vacant;
reg               head_room;
reg  [SLOT_N-1:0] pushed_reg;
integer           k;

always @* begin
    k          = 0;
    tail       = {ADDR_W{1'b0}};
    ring_first = {ADDR_W{1'b0}};
    ring_last  = {ADDR_W{1'b0}};
    vacant     = {FREE_W{1'b0}};
    head_room  = 1'b0;
    for (k = 0; k < SLOT_N; k = k + 1) begin
        if (slot_p2 == k[3:0]) begin
            tail       = tails[k*ADDR_W +: ADDR_W];
            vacant     = frees[k*FREE_W +: FREE_W];
            head_room  = pushed_reg[k] ? push_room2[k] : push_room[k];
            ring_first = firsts[k*ADDR_W +: ADDR_W];
            ring_last  = lasts[k*ADDR_W +: ADDR_W];
        end
    end
end

reg  [ADDR_W-1:0] next_reg, begin_reg;
reg  [FREE_W-1:0] left_reg;     // free beats of the slot as the message began, less its own
reg               bad_form_reg, bad_full_reg;

wire [ADDR_W-1:0] address = first_p2 ? tail : next_reg;
wire [ADDR_W-1:0] after   = (address == ring_last) ? ring_first : address + 1'b1;
wire [FREE_W-1:0] left    = first_p2 ? vacant : left_reg;
wire              room    = (left != {FREE_W{1'b0}});
wire              form    = form_p2 && (first_p2 || !bad_form_reg);
wire              fits    = room && (first_p2 || !bad_full_reg);
wire              whole   = data_beat_p2 && tlast_p2 && legal_p2 && form;
wire              store   = whole && fits && head_room;
wire [4:0]        beats   = {1'b0, index_p2} + 5'd1;

assign wr_en     = data_beat_p2 && legal_p2 && room;
assign wr_addr   = address;
assign wr_data   = data_p2;
assign push_head = {first_p2 ? tail : begin_reg, goal_p2, index_p2, last_p2, offset_p2, row_p2, gen_p2};

always @(posedge clk) begin
    pushed_reg <= push;
    if (data_beat_p2) begin
        next_reg     <= after;
        left_reg     <= left - {{(FREE_W-1){1'b0}}, room};
        bad_form_reg <= !form;
        bad_full_reg <= !fits;
        if (first_p2) begin_reg <= tail;
    end
    if (rst) pushed_reg <= {SLOT_N{1'b0}};
end

genvar s;
generate
for (s = 0; s < SLOT_N; s = s + 1) begin : g_ring
    localparam FIRST = s * DEPTH;
    localparam LAST  = FIRST + DEPTH - 1;
    reg  [ADDR_W-1:0] tail_reg;
    reg  [FREE_W-1:0] free_reg;
    wire              mine  = store && (slot_p2 == s);
    wire [FREE_W+4:0] count = {5'd0, free_reg} - {{FREE_W{1'b0}}, mine ? beats : 5'd0} + {{FREE_W{1'b0}}, free[s] ? free_beats : 5'd0};
    wire              unused_count = &{1'b0, count[FREE_W+4:FREE_W]};

    assign push[s] = mine;
    assign tails[s*ADDR_W +: ADDR_W]  = tail_reg;
    assign firsts[s*ADDR_W +: ADDR_W] = FIRST[ADDR_W-1:0];
    assign lasts[s*ADDR_W +: ADDR_W]  = LAST[ADDR_W-1:0];
    assign frees[s*FREE_W +: FREE_W]  = free_reg;

    always @(posedge clk) begin
        if (mine) tail_reg <= after;
        free_reg <= (start && start_slot == s) ? ALL_FREE : count[FREE_W-1:0];
        if (rst) begin
            tail_reg <= FIRST[ADDR_W-1:0];
            free_reg <= ALL_FREE;
        end
    end
end
endgenerate

// ---- what happened

wire ended = data_beat_p2 && tlast_p2;

assign events = {
    ended && stale_p2, whole && !(fits && head_room), (ended && legal_p2 && !form) || opcode_bad_p2, ended && row_bad_p2, ended && edge_bad_p2,
    beat_p2, message_p2
};
assign sts_held = part || take || valid_p1 || beat_p2;

endmodule

`resetall
