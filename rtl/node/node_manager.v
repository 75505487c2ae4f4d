// SPDX-License-Identifier: Apache-2.0
// Kernel 0 of a node: reads its words, writes its tables, flushes its kernels, tells of its peers. Messages: docs/manager.md.
//
//   READ(first, count)    -> words[first .. first+count-1], 16 a beat, at most 128
//   WRITE(first, count)   -> the count (1 to 15) beats that follow go to configuration addresses first, first+1, ..
//   FLUSH(slot, generation) -> the kernels forget the slot; replied when all have
//   EVENTS(on)            -> from now on changes of peers are told to kernel 255, or no longer
//
// Every request gets one reply, {opcode | 0x80, status, tag, first, count, WORDS}, sent by the kernel number it was addressed to. Requests are
// served in order, one at a time; further ones wait (node_requests). A WRITE is done wholly or not at all; while `active` is 1 it is refused.
// Each word is sampled in the cycle it is copied: the words of a reply are not one instant.
//
// Latency request's last beat in -> header beat out 8 cycles; then at most 19 cycles a beat of 16 words. WRITE: one word a cycle where cfg_ready
// stays 1, and its reply 11 cycles after the last one, which has reached its memory by then.
// sts_count: requests; READs, WRITEs, words written, FLUSHes, events told, error replies, messages dropped, WRITEs refused as busy, EVENTS; 6 spare.
`resetall
`timescale 1ns/1ps
`default_nettype none

module node_manager #(
    parameter WORDS   = 240,    // readable 32-bit words. Requires 1 to 1024
    parameter DEPTH   = 32,     // beats of WRITEs that may wait, see node_requests
    parameter UNITS   = 6,      // units of the configuration bus. Requires 1 to 15
    parameter SLOTS   = 2,      // slots of the kernels. Requires 1 to 16
    parameter PORTS_N = 1,      // Ethernet ports, see node_events
    parameter PEERS_N = 64      // peers of a port, see node_events
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire [15:0]          id_node,
    input  wire [7:0]           id_cluster,

    input  wire [511:0]         s_axis_tdata,
    input  wire [63:0]          s_axis_tkeep,
    input  wire [79:0]          s_axis_tuser,
    input  wire                 s_axis_tlast,
    input  wire                 s_axis_tvalid,
    output wire                 s_axis_tready,

    output wire [511:0]         m_axis_tdata,
    output wire [63:0]          m_axis_tkeep,
    output wire [79:0]          m_axis_tuser,
    output wire                 m_axis_tlast,
    output wire                 m_axis_tvalid,
    input  wire                 m_axis_tready,

    output wire                 cfg_we,
    output wire [31:0]          cfg_addr,
    output wire [511:0]         cfg_data,
    input  wire                 cfg_ready,      // the write is taken in this cycle

    output wire                 flush_valid,
    output wire [3:0]           flush_slot,
    output wire [3:0]           flush_gen,
    input  wire                 flushing,       // of any kernel; at the latest 4 cycles after flush_valid
    input  wire                 active,         // a kernel holds something of a sequence

    input  wire [PORTS_N*PEERS_N-1:0] peer_up,
    input  wire [PORTS_N*PEERS_N-1:0] peer_failed,
    input  wire [PORTS_N*PEERS_N-1:0] peer_restarted,

    input  wire [WORDS*32-1:0]  words,          // word 0 in the low bits
    output wire [16*32-1:0]     sts_count,
    output wire                 sts_busy
);

localparam [15:0] WORDS16 = WORDS[15:0];
localparam [4:0]  SLOTS5  = SLOTS[4:0];
localparam [4:0]  UNITS5  = UNITS[4:0];

localparam [7:0] OP_READ = 8'd1, OP_WRITE = 8'd2, OP_FLUSH = 8'd3, OP_EVENTS = 8'd4, OP_EVENT = 8'he0, OP_REPLY = 8'h80;
localparam [7:0] ST_OK     = 8'd0;
localparam [7:0] ST_OPCODE = 8'd1;  // unknown opcode
localparam [7:0] ST_RANGE  = 8'd2;  // an argument, or the length, is out of range
localparam [7:0] ST_BUSY   = 8'd3;  // a WRITE while a kernel is at work
localparam [7:0] ST_UNIT   = 8'd4;  // a WRITE to a unit that does not exist
localparam [7:0] HOST_KERNEL = 8'd255;

localparam [3:0] S_IDLE  = 4'd0;    // a request or an event is taken
localparam [3:0] S_CHECK = 4'd1;    // sums and comparisons ..
localparam [3:0] S_JUDGE = 4'd2;    // .. and what they mean
localparam [3:0] S_BEGIN = 4'd3;
localparam [3:0] S_SKIP  = 4'd4;    // beats of a refused WRITE are thrown away
localparam [3:0] S_WRITE = 4'd5;
localparam [3:0] S_PULSE = 4'd6;    // waits for the kernels, then pulses flush_valid
localparam [3:0] S_FLUSH = 4'd7;
localparam [3:0] S_HEAD  = 4'd8;
localparam [3:0] S_FILL  = 4'd9;    // 16 words into a beat
localparam [3:0] S_SEND  = 4'd10;
localparam [3:0] S_EVENT = 4'd11;
localparam [3:0] S_REACH = 4'd12;   // the last word of a WRITE is on its way to its memory: the reply may be routed by it

generate
if (UNITS < 1 || UNITS > 15) begin : g_units
    PARAM_ERROR_node_manager_UNITS_1_to_15 u_err ();
end
if (SLOTS < 1 || SLOTS > 16) begin : g_slots
    PARAM_ERROR_node_manager_SLOTS_1_to_16 u_err ();
end
endgenerate

// ---- requests

wire         req_valid, req_whole, beat_valid;
wire [55:0]  req_user;
wire [7:0]   req_op;
wire [15:0]  req_tag;
wire [31:0]  req_first, req_count, drops;
wire [4:0]   req_beats;
wire [3:0]   req_stored;
wire [511:0] beat_data;
wire         in_busy;
wire         ev_valid, ev_port, ev_pending;
wire [1:0]   ev_kind;
wire [5:0]   ev_peer;
wire         out_ready;

reg  [3:0]   state_reg, state_next;
wire         take_request = (state_reg == S_IDLE) && req_valid && !ev_valid;
wire         writing      = (state_reg == S_WRITE) && beat_valid;
wire         take_beat    = writing ? cfg_ready : (state_reg == S_SKIP);

node_requests #(.DEPTH(DEPTH)) u_requests (
    .clk(clk), .rst(rst),
    .s_axis_tdata(s_axis_tdata), .s_axis_tkeep(s_axis_tkeep), .s_axis_tuser(s_axis_tuser), .s_axis_tlast(s_axis_tlast),
    .s_axis_tvalid(s_axis_tvalid), .s_axis_tready(s_axis_tready),
    .req_valid(req_valid), .req_ready(take_request), .req_user(req_user), .req_op(req_op), .req_tag(req_tag), .req_first(req_first),
    .req_count(req_count), .req_beats(req_beats), .req_whole(req_whole), .req_stored(req_stored),
    .beat_valid(beat_valid), .beat_ready(take_beat), .beat_data(beat_data), .sts_drops(drops), .sts_busy(in_busy)
);

// ---- events

reg          events_on_reg;

node_events #(.PORTS_N(PORTS_N), .PEERS_N(PEERS_N)) u_events (
    .clk(clk), .rst(rst), .on(events_on_reg), .up(peer_up), .failed(peer_failed), .restarted(peer_restarted),
    .ev_valid(ev_valid), .ev_ready((state_reg == S_EVENT) && out_ready), .ev_kind(ev_kind), .ev_port(ev_port), .ev_peer(ev_peer),
    .sts_pending(ev_pending)
);

// ---- the request that is served

reg  [55:0]  user_reg;
reg  [7:0]   op_reg, status_reg;
reg  [15:0]  tag_reg;
reg  [31:0]  first_reg, count_reg;
reg  [4:0]   beats_reg;
reg          whole_reg;
reg  [3:0]   stored_reg;        // beats of it that wait, then beats still to write or to throw away
reg  [32:0]  end_reg;           // first + count
reg          few_words_reg, few_beats_reg, few_slots_reg, few_gens_reg, is_switch_reg, unit_reg;
wire [31:0]  last_address = first_reg + {28'd0, count_reg[3:0]} - 32'd1;
wire         unused       = &{1'b0, last_address[27:0]};
reg  [7:0]   verdict;

wire is_read   = (op_reg == OP_READ);
wire is_write  = (op_reg == OP_WRITE);
wire is_flush  = (op_reg == OP_FLUSH);
wire is_events = (op_reg == OP_EVENTS);
wire good      = (status_reg == ST_OK);

// a request that can never be served is told so before one that only comes at the wrong time
always @* begin
    verdict = ST_OPCODE;
    case (op_reg)
        OP_READ:   verdict = (few_words_reg && end_reg <= {17'd0, WORDS16}) ? ST_OK : ST_RANGE;
        OP_WRITE:  verdict = !few_beats_reg ? ST_RANGE : !unit_reg ? ST_UNIT : active ? ST_BUSY : ST_OK;
        OP_FLUSH:  verdict = (few_slots_reg && few_gens_reg) ? ST_OK : ST_RANGE;
        OP_EVENTS: verdict = is_switch_reg ? ST_OK : ST_RANGE;
        default:   verdict = ST_OPCODE;
    endcase
end

always @(posedge clk) begin
    if (take_request) begin
        user_reg   <= req_user;
        op_reg     <= req_op;
        tag_reg    <= req_tag;
        first_reg  <= req_first;
        count_reg  <= req_count;
        beats_reg  <= req_beats;
        whole_reg  <= req_whole;
        stored_reg <= req_stored;
    end
    end_reg       <= {1'b0, first_reg} + {1'b0, count_reg};
    few_words_reg <= (count_reg <= 32'd128);
    few_beats_reg <= (count_reg == {27'd0, beats_reg}) && (beats_reg >= 5'd1) && (beats_reg <= 5'd15) && whole_reg;
    few_slots_reg <= (first_reg[31:5] == 27'd0) && (first_reg[4:0] < SLOTS5);
    few_gens_reg  <= (count_reg[31:4] == 28'd0);
    is_switch_reg <= (first_reg[31:1] == 31'd0);
    unit_reg      <= ({1'b0, first_reg[31:28]} < UNITS5) && ({1'b0, last_address[31:28]} < UNITS5);
    if (state_reg == S_JUDGE) begin
        status_reg <= verdict;
        if (verdict != ST_OK) count_reg <= 32'd0;
    end
    if (take_beat && beat_valid) stored_reg <= stored_reg - 1'b1;
    if (rst) events_on_reg <= 1'b0;
    else if (state_reg == S_BEGIN && is_events && good) events_on_reg <= first_reg[0];
end

// ---- words of a reply

reg  [9:0]   index_reg;         // word to ask for
reg  [7:0]   left_reg;          // words still to ask for
reg  [4:0]   asked_reg, lane_reg;   // words of the beat asked for, and in it
reg          ask_p1, ask_p2;
reg  [511:0] beat_reg;
wire [31:0]  word;
wire         ask      = (state_reg == S_FILL) && (left_reg != 8'd0) && (asked_reg != 5'd16);
wire         no_words = (left_reg == 8'd0);

node_words #(.WORDS(WORDS)) u_words (.clk(clk), .words(words), .en(ask), .index(index_reg), .word(word));

always @(posedge clk) begin
    ask_p1 <= ask;
    ask_p2 <= ask_p1;
    if (state_reg == S_BEGIN) begin
        index_reg <= first_reg[9:0];
        left_reg  <= (is_read && good) ? count_reg[7:0] : 8'd0;
    end
    if (state_reg != S_FILL && state_reg != S_SEND) begin
        asked_reg <= 5'd0;
        lane_reg  <= 5'd0;
        beat_reg  <= 512'd0;
    end
    if (ask) begin
        index_reg <= index_reg + 1'b1;
        left_reg  <= left_reg - 1'b1;
        asked_reg <= asked_reg + 1'b1;
    end
    if (ask_p2) begin
        beat_reg[32*lane_reg[3:0] +: 32] <= word;
        lane_reg <= lane_reg + 1'b1;
    end
    if (state_reg == S_SEND && out_ready) begin
        asked_reg <= 5'd0;
        lane_reg  <= 5'd0;
        beat_reg  <= 512'd0;
    end
    if (rst) begin
        ask_p1 <= 1'b0;
        ask_p2 <= 1'b0;
    end
end

// ---- flush

reg  [7:0] wait_reg;    // fills with ones
assign flush_valid = (state_reg == S_PULSE) && !flushing;
assign flush_slot  = first_reg[3:0];
assign flush_gen   = count_reg[3:0];

always @(posedge clk) wait_reg <= (state_reg == S_FLUSH || state_reg == S_REACH) ? {wait_reg[6:0], 1'b1} : 8'd0;

// ---- control

wire flushed = wait_reg[3] && !flushing;
wire last_beat = (stored_reg == 4'd1);

always @* begin
    state_next = state_reg;
    case (state_reg)
        S_IDLE:  state_next = ev_valid ? S_EVENT : req_valid ? S_CHECK : S_IDLE;
        S_CHECK: state_next = S_JUDGE;
        S_JUDGE: state_next = S_BEGIN;
        S_BEGIN: begin
            if (is_write && stored_reg != 4'd0) state_next = good ? S_WRITE : S_SKIP;
            else                                state_next = (is_flush && good) ? S_PULSE : S_HEAD;
        end
        S_SKIP:  if (beat_valid && last_beat) state_next = S_HEAD;
        S_WRITE: if (beat_valid && cfg_ready && last_beat) state_next = S_REACH;
        S_REACH: if (wait_reg[7]) state_next = S_HEAD;
        S_PULSE: if (!flushing) state_next = S_FLUSH;
        S_FLUSH: if (flushed) state_next = S_HEAD;
        S_HEAD:  if (out_ready) state_next = no_words ? S_IDLE : S_FILL;
        S_FILL:  if (ask_p2 && lane_reg + 5'd1 == asked_reg) state_next = S_SEND;
        S_SEND:  if (out_ready) state_next = no_words ? S_IDLE : S_FILL;
        S_EVENT: if (out_ready) state_next = S_IDLE;
        default: state_next = S_IDLE;
    endcase
end

reg  [31:0] address_reg;
assign cfg_we   = writing;
assign cfg_addr = address_reg;
assign cfg_data = beat_data;

always @(posedge clk) begin
    state_reg <= state_next;
    if (state_reg == S_BEGIN)          address_reg <= first_reg;
    else if (writing && cfg_ready)     address_reg <= address_reg + 1'b1;
    if (rst) state_reg <= S_IDLE;
end

// ---- counters

reg [31:0] requests_reg, reads_reg, writes_reg, written_reg, flushes_reg, told_reg, errors_reg, busy_reg, switches_reg;
wire       serve = (state_reg == S_BEGIN);

always @(posedge clk) begin
    if (serve)                                 requests_reg <= requests_reg + 1'b1;
    if (serve && good && is_read)              reads_reg    <= reads_reg + 1'b1;
    if (serve && good && is_write)             writes_reg   <= writes_reg + 1'b1;
    if (writing && cfg_ready)                  written_reg  <= written_reg + 1'b1;
    if (serve && good && is_flush)             flushes_reg  <= flushes_reg + 1'b1;
    if (state_reg == S_EVENT && out_ready)     told_reg     <= told_reg + 1'b1;
    if (serve && !good)                        errors_reg   <= errors_reg + 1'b1;
    if (serve && status_reg == ST_BUSY)        busy_reg     <= busy_reg + 1'b1;
    if (serve && good && is_events)            switches_reg <= switches_reg + 1'b1;
    if (rst) begin
        requests_reg <= 32'd0;
        reads_reg    <= 32'd0;
        writes_reg   <= 32'd0;
        written_reg  <= 32'd0;
        flushes_reg  <= 32'd0;
        told_reg     <= 32'd0;
        errors_reg   <= 32'd0;
        busy_reg     <= 32'd0;
        switches_reg <= 32'd0;
    end
end

assign sts_count = {192'd0, switches_reg, busy_reg, drops, errors_reg, told_reg, flushes_reg, written_reg, writes_reg, reads_reg, requests_reg};

// ---- output: source and destination change places; edge, slot, generation and row stay; offset 0, control, not a last row

wire         out_valid = (state_reg == S_HEAD) || (state_reg == S_SEND) || (state_reg == S_EVENT);
wire         out_last  = (state_reg == S_EVENT) || no_words;
wire [79:0]  reply_user = {2'd0, 2'd3, 1'b0, 3'd0, 8'd0, user_reg[55:32], user_reg[7:0], id_cluster, user_reg[15:8], user_reg[31:16]};
wire [79:0]  event_user = {2'd0, 2'd3, 1'b0, 3'd0, 8'd0, 24'd0, 8'd0, id_cluster, 8'd0, HOST_KERNEL, id_cluster};
wire [511:0] reply_data = {384'd0, 16'd0, WORDS16, count_reg, first_reg, tag_reg, status_reg, op_reg | OP_REPLY};
wire [511:0] event_data = {352'd0, told_reg, 16'd0, id_node, 26'd0, ev_peer, 31'd0, ev_port, 16'd0, 6'd0, ev_kind, OP_EVENT};
reg  [511:0] out_data;
reg  [63:0]  out_keep;
integer      k;

// 4 bytes a word; the header beat and full beats are whole
always @* begin
    k        = 0;  // a loop variable too must not be kept: no latch
    out_keep = {64{1'b1}};
    if (state_reg == S_SEND) begin
        for (k = 0; k < 16; k = k + 1) out_keep[4*k +: 4] = {4{k[4:0] < lane_reg}};
    end
    case (state_reg)
        S_HEAD:  out_data = reply_data;
        S_EVENT: out_data = event_data;
        default: out_data = beat_reg;
    endcase
end

axis_skid #(.DATA_W(657)) u_skid (
    .clk(clk), .rst(rst),
    .s_axis_tdata({out_last, out_keep, (state_reg == S_EVENT) ? event_user : reply_user, out_data}),
    .s_axis_tvalid(out_valid), .s_axis_tready(out_ready),
    .m_axis_tdata({m_axis_tlast, m_axis_tkeep, m_axis_tuser, m_axis_tdata}), .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready)
);

assign sts_busy = (state_reg != S_IDLE) || in_busy || ev_pending || m_axis_tvalid;

endmodule

`resetall
