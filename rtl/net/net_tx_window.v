// SPDX-License-Identifier: Apache-2.0
// What is known of every peer's queue: what it has acknowledged, what is sent next, what it allows. Part of net_eth_tx; rules: docs/transport.md, 2
// and 4.
//
// Positions of 24 bits, counted without end, per peer:
//   una <= next <= limit,  una <= top <= tail <= una + WINDOW_N,  sequence number = position - base
// una oldest unacknowledged, next the one to send now, top first never sent, tail first not queued, limit first not allowed, base that of number 0.
// One event a cycle changes a peer, as one read and write of its entry:
//   reset            una = next = limit = base = top; of a failed peer tail (discard): what was before is discarded, top too moves there
//   acknowledgement  a = base + number, where una <= a <= top (else ignored, its credit too): una = a, limit = max(limit, a + credit), next =
//   max(next, a)
//                    a nack, and the timer (goback): next = una
//   send             next < tail and next < limit: next + 1
// A reset comes first, in the cycle of its pulse. An acknowledgement takes three cycles, in the last it changes its peer and nothing is sent; so
// two cycles of three are left for sends at least. The newest acknowledgement of a peer waits in a table, its nack stays noted until then; nothing
// else waits for it. A send takes two cycles, one begins in every cycle: picked, its entry is read (load_*), then it is sent, or waits for
// send_ready. Flags follow the tables by two cycles, so a peer may be picked that has nothing to send any more: nothing is sent then. What was
// picked is dropped when its peer goes back or is reset; the peer is picked again.
// Who has gone back sends less, so that a crowded network empties: from then on 4 messages of the peer may be under way (next - una), and twice
// as many each time una grows, up to WINDOW_N. The flags say so, four cycles late: two more may go.
// Differences are known from few bits: tail - next, top - una and position - una of a good acknowledgement are at most WINDOW_N, limit - next at
// most 255.
//
// Latency ev_valid -> una 6 cycles, pick -> send 1, put -> ready 1.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_tx_window #(
    parameter PEERS_N  = 64,                // peers. Requires a power of two, 2 to 64
    parameter WINDOW_N = 64,                // messages queued for a peer. Requires a power of two, 2 to 64
    parameter PEER_W   = $clog2(PEERS_N),   // not to be set
    parameter RING_W   = $clog2(WINDOW_N)   // not to be set
) (
    input  wire               clk,
    input  wire               rst,

    input  wire               ev_valid,     // an acknowledgement with right epochs
    input  wire [PEER_W-1:0]  ev_peer,
    input  wire               ev_nack,
    input  wire [23:0]        ev_ack,
    input  wire [7:0]         ev_credit,
    input  wire               link_reset,
    input  wire [PEER_W-1:0]  link_reset_peer,
    input  wire [PEERS_N-1:0] up,
    input  wire [PEERS_N-1:0] discard,
    input  wire               goback_valid,
    input  wire [PEER_W-1:0]  goback_peer,
    output wire               progress_valid,
    output wire [PEER_W-1:0]  progress_peer,
    output wire [PEERS_N-1:0] outstanding,
    output wire [PEERS_N-1:0] waiting,

    input  wire               put_valid,    // tail + 1
    input  wire [PEER_W-1:0]  put_peer,
    output wire [RING_W:0]    put_tail,
    input  wire [PEER_W-1:0]  una_peer,
    output wire [RING_W:0]    una,
    output wire               moved_valid,
    output wire [PEER_W-1:0]  moved_peer,

    output wire [PEERS_N-1:0] ready,        // may send
    input  wire               pick_valid,
    input  wire [PEER_W-1:0]  pick_peer,
    output wire               pick_ready,
    output wire               load_valid,   // what is picked is read: its place is load_place
    output wire [RING_W-1:0]  load_place,
    output wire               send_valid,   // a frame for send_peer, the one loaded last
    output wire [PEER_W-1:0]  send_peer,
    output wire [23:0]        send_position,
    input  wire               send_ready,
    output wire               kill_valid,   // frames of this peer whose header is not made yet are taken back
    output wire [PEER_W-1:0]  kill_peer,
    input  wire [PEER_W-1:0]  base_peer,
    output wire [23:0]        base,
    input  wire               sent_valid,   // the header of this frame is made. Requires link_reset = 0
    input  wire [PEER_W-1:0]  sent_peer,
    input  wire [23:0]        sent_position,
    output wire               sent_again,   // it was sent before, in the same cycle

    output wire               sts_back,         // pulse: gone back by a nack
    output wire [6:0]         sts_discarded     // messages discarded in this cycle
);

generate
if (PEERS_N < 2 || PEERS_N > 64 || (1 << PEER_W) != PEERS_N) begin : g_peers
    PARAM_ERROR_net_tx_window_PEERS_N_power_of_two_to_64 u_err ();
end
if (WINDOW_N < 2 || WINDOW_N > 64 || (1 << RING_W) != WINDOW_N) begin : g_window
    PARAM_ERROR_net_tx_window_WINDOW_N_power_of_two_to_64 u_err ();
end
endgenerate

function [PEERS_N-1:0] one_hot(input enable, input [PEER_W-1:0] index);
    one_hot = enable ? ({{(PEERS_N-1){1'b0}}, 1'b1} << index) : {PEERS_N{1'b0}};
endfunction

localparam POS_W = RING_W + 1;     // bits that tell positions of one window apart
localparam LIM_W = 10;             // bits of a limit: two limits of a peer differ by less than 512
localparam LESS   = (RING_W > 2) ? RING_W - 2 : 0;      // WINDOW_N >> LESS messages under way after going back: 4

// ---- acknowledgements: a1 a peer that has one; a2 its position: first what it is compared with is read, then (a2_see_reg) it is compared, then
// (a2_write_reg) the peer is changed

reg [PEERS_N-1:0] ack_reg, nack_reg, back_reg;
reg               a2_valid_reg, a2_see_reg, a2_write_reg, a2_ack_reg, a2_nack_reg, a2_back_reg;
reg [PEER_W-1:0]  a2_peer_reg;
reg [23:0]        a2_position_reg;
reg [7:0]         a2_credit_reg;
reg [23:0]        old_una_reg, old_next_reg, ack_step_reg;
reg [LIM_W-1:0]   old_limit_reg, a3_limit_reg;
reg [POS_W-1:0]   ack_most_reg;
reg               good_reg, new_reg, wider_reg;   // it counts; una grows; the limit grows
reg [2:0]         old_less_reg;

wire              a1_valid;
wire [PEER_W-1:0] a1_peer;
wire [23:0]       a1_number, a1_base;
wire [7:0]        a1_credit;
wire              a3_valid = a2_valid_reg && a2_write_reg;
wire              do_ack   = a3_valid && !link_reset;
wire              a1_move  = !link_reset && (!a2_valid_reg || a2_write_reg);

net_tx_pick #(.N(PEERS_N)) u_pick (
    .clk(clk), .rst(rst), .req(ack_reg | back_reg), .reload(1'b1), .m_index(a1_peer), .m_valid(a1_valid), .m_ready(a1_move)
);

axis_lutram #(.DATA_W(32), .DEPTH(PEERS_N)) u_newest (
    .clk(clk), .wr_en(ev_valid), .wr_addr(ev_peer), .wr_data({ev_credit, ev_ack}), .rd_addr(a1_peer), .rd_data({a1_credit, a1_number})
);

// ---- sends: what is picked, read

reg               s_valid_reg;
reg [PEER_W-1:0]  s_peer_reg;
reg [23:0]        s_next_reg;
// queued and allowed, when it was read: for the number in the table, and for the one after it (s_load_plus_reg)
reg               s_may_old_reg, s_may_plus_reg, s_load_plus_reg;
wire              s_may  = s_load_plus_reg ? s_may_plus_reg : s_may_old_reg;

wire [23:0]       load_old;
wire [POS_W-1:0]  load_tail;
wire [7:0]        load_limit;
wire              s_turn = send_ready && !a3_valid && !link_reset;
wire              send   = s_valid_reg && s_may && s_turn;
wire              s_free = !s_valid_reg || !s_may || s_turn;
wire [23:0]       s_plus = s_next_reg + 24'd1;
// the entry is being changed by the send before it
wire              load_plus = s_valid_reg && s_may && s_peer_reg == pick_peer;
wire [23:0]       load_next = load_plus ? s_plus : load_old;
wire              may_plus  = (load_tail != s_plus[POS_W-1:0]) && (load_limit != s_plus[7:0]);
wire              may_old   = (load_tail != load_old[POS_W-1:0]) && (load_limit != load_old[7:0]);

assign pick_ready = s_free && !a3_valid && !link_reset;
assign load_valid = pick_ready;
assign load_place = load_next[RING_W-1:0];

// ---- one event a cycle

reg               progress_reg, moved_reg, back_count_reg, reset_reg;
reg [PEER_W-1:0]  progress_peer_reg;
reg [6:0]         discarded_reg, restart_reg, gone_reg;

wire [PEER_W-1:0] peer       = link_reset ? link_reset_peer : a2_peer_reg;
wire [PEER_W-1:0] next_peer  = link_reset ? link_reset_peer : a3_valid ? a2_peer_reg : s_peer_reg;
wire [23:0]       a2_una, a2_next, old_top, old_tail;
wire [LIM_W-1:0]  a2_limit;
wire [2:0]        a2_less;
wire [POS_W-1:0]  a2_top;
wire [6:0]        reset_una;

// reset
wire [23:0] restart   = discard[link_reset_peer] ? old_tail : old_top;

// acknowledgement
wire [LIM_W-1:0]  ack_grow  = a3_limit_reg - old_limit_reg;                                         // of a good one
wire [POS_W:0]    ack_ahead = old_next_reg[POS_W:0] - a2_position_reg[POS_W:0];                     // of a good one
wire        ack_inside = (ack_step_reg[23:POS_W] == {(24-POS_W){1'b0}}) && (ack_step_reg[POS_W-1:0] <= ack_most_reg);
wire        ack_good  = a2_ack_reg && ack_inside;
wire        ack_back  = a2_back_reg || (good_reg && a2_nack_reg);
wire        ack_moves = ack_back || (good_reg && ack_ahead[POS_W]);
wire [23:0] ack_una   = good_reg ? a2_position_reg : old_una_reg;
wire [23:0] ack_next  = ack_back ? ack_una : (good_reg && ack_ahead[POS_W]) ? a2_position_reg : old_next_reg;

wire             change      = link_reset || a3_valid;
wire             change_next = change || send;
wire [23:0]      new_una     = link_reset ? restart : ack_una;
wire [23:0]      new_next    = link_reset ? restart : a3_valid ? ack_next : s_plus;
wire [2:0]       new_less    = link_reset ? 3'd0 : ack_back ? LESS[2:0] : (new_reg && old_less_reg != 3'd0) ? old_less_reg - 3'd1 : old_less_reg;
wire [LIM_W-1:0] new_limit   = link_reset ? restart[LIM_W-1:0] : wider_reg ? a3_limit_reg : old_limit_reg;

// flags are made of the tables two cycles after an event: f1 reads, f2 compares; f3 what is under way
reg               flag_valid_reg;
reg [PEER_W-1:0]  flag_peer_reg;
reg [PEERS_N-1:0] f2_reg;                       // its peer, one hot
reg [POS_W-1:0]   f2_una_reg, f2_tail_reg, f2_top_reg;
reg [7:0]         f2_limit_reg, f2_next_reg;
reg [POS_W-1:0]   f2_more_reg;                  // bits of a number of messages that is at least what may be under way
reg [PEERS_N-1:0] f3_reg;
reg               f3_less_reg;
reg [PEERS_N-1:0] put_reg, first_reg;           // came while f1 read, and may not be in what it read: peers, one hot
reg [PEERS_N-1:0] unsent_reg, credit_reg, outstanding_reg, less_reg;
wire [POS_W-1:0]  flag_una, flag_tail, flag_top;
wire [7:0]        flag_limit, flag_next;
wire [2:0]        flag_less;
wire [POS_W-1:0]  f2_under_way = f2_next_reg[POS_W-1:0] - f2_una_reg;

// ---- tables: one write port each, and as many copies as there are readers

net_table #(.DATA_W(3 + 24 + LIM_W), .DEPTH(PEERS_N)) u_una_ack (
    .clk(clk), .clear(rst), .wr_en(change), .wr_addr(peer), .wr_data({new_less, new_una, new_limit}),
    .rd_addr(a2_peer_reg), .rd_data({a2_less, a2_una, a2_limit})
);

net_table #(.DATA_W(3 + POS_W + 8), .DEPTH(PEERS_N)) u_una_flag (
    .clk(clk), .clear(rst), .wr_en(change), .wr_addr(peer), .wr_data({new_less, new_una[POS_W-1:0], new_limit[7:0]}),
    .rd_addr(flag_peer_reg), .rd_data({flag_less, flag_una, flag_limit})
);

net_table #(.DATA_W(7), .DEPTH(PEERS_N)) u_una_reset (
    .clk(clk), .clear(rst), .wr_en(change), .wr_addr(peer), .wr_data(new_una[6:0]), .rd_addr(link_reset_peer), .rd_data(reset_una)
);

net_table #(.DATA_W(POS_W), .DEPTH(PEERS_N)) u_una (
    .clk(clk), .clear(rst), .wr_en(change), .wr_addr(peer), .wr_data(new_una[POS_W-1:0]), .rd_addr(una_peer), .rd_data(una)
);

net_table #(.DATA_W(8), .DEPTH(PEERS_N)) u_limit_send (
    .clk(clk), .clear(rst), .wr_en(change), .wr_addr(peer), .wr_data(new_limit[7:0]), .rd_addr(pick_peer), .rd_data(load_limit)
);

net_table #(.DATA_W(24), .DEPTH(PEERS_N)) u_next_ack (
    .clk(clk), .clear(rst), .wr_en(change_next), .wr_addr(next_peer), .wr_data(new_next), .rd_addr(a2_peer_reg), .rd_data(a2_next)
);

net_table #(.DATA_W(24), .DEPTH(PEERS_N)) u_next_send (
    .clk(clk), .clear(rst), .wr_en(change_next), .wr_addr(next_peer), .wr_data(new_next), .rd_addr(pick_peer), .rd_data(load_old)
);

net_table #(.DATA_W(8), .DEPTH(PEERS_N)) u_next_flag (
    .clk(clk), .clear(rst), .wr_en(change_next), .wr_addr(next_peer), .wr_data(new_next[7:0]), .rd_addr(flag_peer_reg), .rd_data(flag_next)
);

net_table #(.DATA_W(24), .DEPTH(PEERS_N)) u_base_ack (
    .clk(clk), .clear(rst), .wr_en(link_reset), .wr_addr(link_reset_peer), .wr_data(restart), .rd_addr(a1_peer), .rd_data(a1_base)
);

net_table #(.DATA_W(24), .DEPTH(PEERS_N)) u_base (
    .clk(clk), .clear(rst), .wr_en(link_reset), .wr_addr(link_reset_peer), .wr_data(restart), .rd_addr(base_peer), .rd_data(base)
);

wire [23:0] put_old;
wire [23:0] put_next = put_old + 24'd1;

net_table #(.DATA_W(24), .DEPTH(PEERS_N)) u_tail_put (
    .clk(clk), .clear(rst), .wr_en(put_valid), .wr_addr(put_peer), .wr_data(put_next), .rd_addr(put_peer), .rd_data(put_old)
);

net_table #(.DATA_W(24), .DEPTH(PEERS_N)) u_tail (
    .clk(clk), .clear(rst), .wr_en(put_valid), .wr_addr(put_peer), .wr_data(put_next), .rd_addr(link_reset_peer), .rd_data(old_tail)
);

net_table #(.DATA_W(POS_W), .DEPTH(PEERS_N)) u_tail_send (
    .clk(clk), .clear(rst), .wr_en(put_valid), .wr_addr(put_peer), .wr_data(put_next[POS_W-1:0]), .rd_addr(pick_peer), .rd_data(load_tail)
);

net_table #(.DATA_W(POS_W), .DEPTH(PEERS_N)) u_tail_flag (
    .clk(clk), .clear(rst), .wr_en(put_valid), .wr_addr(put_peer), .wr_data(put_next[POS_W-1:0]), .rd_addr(flag_peer_reg), .rd_data(flag_tail)
);

// a header is never made in the cycle of a reset: one write port is enough. What is sent is top, or below it
wire [POS_W-1:0]  sent_top;
wire              sent_first = (sent_position[POS_W-1:0] == sent_top);
wire              first_time = sent_valid && sent_first;
wire              top_write  = link_reset || first_time;
wire [PEER_W-1:0] top_peer   = link_reset ? link_reset_peer : sent_peer;
wire [23:0]       top_new    = link_reset ? restart : sent_position + 24'd1;

net_table #(.DATA_W(POS_W), .DEPTH(PEERS_N)) u_top_sent (
    .clk(clk), .clear(rst), .wr_en(top_write), .wr_addr(top_peer), .wr_data(top_new[POS_W-1:0]), .rd_addr(sent_peer), .rd_data(sent_top)
);

net_table #(.DATA_W(24), .DEPTH(PEERS_N)) u_top (
    .clk(clk), .clear(rst), .wr_en(top_write), .wr_addr(top_peer), .wr_data(top_new), .rd_addr(link_reset_peer), .rd_data(old_top)
);

net_table #(.DATA_W(POS_W), .DEPTH(PEERS_N)) u_top_ack (
    .clk(clk), .clear(rst), .wr_en(top_write), .wr_addr(top_peer), .wr_data(top_new[POS_W-1:0]), .rd_addr(a2_peer_reg), .rd_data(a2_top)
);

net_table #(.DATA_W(POS_W), .DEPTH(PEERS_N)) u_top_flag (
    .clk(clk), .clear(rst), .wr_en(top_write), .wr_addr(top_peer), .wr_data(top_new[POS_W-1:0]), .rd_addr(flag_peer_reg), .rd_data(flag_top)
);

wire [PEERS_N-1:0] put_mask   = one_hot(put_valid, put_peer);
wire [PEERS_N-1:0] first_mask = one_hot(first_time, sent_peer);
wire               unused     = &{1'b0, ack_ahead[POS_W-1:0]};

assign put_tail       = put_old[RING_W:0];
assign send_valid     = send;
assign send_peer      = s_peer_reg;
assign send_position  = s_next_reg;
assign sent_again     = !sent_first;
assign kill_valid     = link_reset || (a3_valid && ack_back);
assign kill_peer      = peer;
assign moved_valid    = moved_reg;
assign moved_peer     = progress_peer_reg;
assign ready          = unsent_reg & credit_reg & ~less_reg & up & ~discard;
assign waiting        = unsent_reg & ~(credit_reg & up);
assign outstanding    = outstanding_reg;
assign progress_valid = progress_reg;
assign progress_peer  = progress_peer_reg;
assign sts_back       = back_count_reg;
assign sts_discarded  = discarded_reg;

always @(posedge clk) begin
    if (link_reset) begin
        ack_reg[link_reset_peer]  <= 1'b0;
        nack_reg[link_reset_peer] <= 1'b0;
        back_reg[link_reset_peer] <= 1'b0;
        if (a2_peer_reg == link_reset_peer) a2_valid_reg <= 1'b0;
    end
    if (a1_move) begin
        a2_valid_reg    <= a1_valid && (ack_reg[a1_peer] || back_reg[a1_peer]);
        a2_peer_reg     <= a1_peer;
        a2_ack_reg      <= ack_reg[a1_peer];
        a2_nack_reg     <= nack_reg[a1_peer];
        a2_back_reg     <= back_reg[a1_peer];
        a2_position_reg <= a1_base + a1_number;
        a2_credit_reg   <= a1_credit;
        if (a1_valid) begin
            ack_reg[a1_peer]  <= 1'b0;
            nack_reg[a1_peer] <= 1'b0;
            back_reg[a1_peer] <= 1'b0;
        end
    end
    a2_see_reg   <= !a1_move;
    a2_write_reg <= !a1_move && a2_see_reg;
    if (!a2_see_reg) begin
        old_una_reg   <= a2_una;
        old_next_reg  <= a2_next;
        old_limit_reg <= a2_limit;
        old_less_reg  <= a2_less;
        a3_limit_reg  <= a2_position_reg[LIM_W-1:0] + {{(LIM_W-8){1'b0}}, a2_credit_reg};
        ack_step_reg  <= a2_position_reg - a2_una;
        ack_most_reg  <= a2_top - a2_una[POS_W-1:0];
    end
    if (!a2_write_reg) begin
        if (send && s_peer_reg == a2_peer_reg) old_next_reg <= s_plus;
        good_reg  <= ack_good;
        new_reg   <= ack_good && (ack_step_reg[POS_W-1:0] != {POS_W{1'b0}});
        wider_reg <= ack_good && !ack_grow[LIM_W-1] && (ack_grow != {LIM_W{1'b0}});
    end
    // what comes now counts, in the cycle of a reset too: it is of the new epochs
    if (ev_valid)            ack_reg[ev_peer]      <= 1'b1;
    if (ev_valid && ev_nack) nack_reg[ev_peer]     <= 1'b1;
    if (goback_valid)        back_reg[goback_peer] <= 1'b1;

    if (pick_ready) begin
        s_peer_reg  <= pick_peer;
        s_next_reg  <= load_next;
        s_may_old_reg   <= may_old;
        s_may_plus_reg  <= may_plus;
        s_load_plus_reg <= load_plus;
    end
    if (s_free) s_valid_reg <= pick_ready && pick_valid;
    // its next has changed
    if (a3_valid && ack_moves && s_peer_reg == a2_peer_reg) s_valid_reg <= 1'b0;
    if (link_reset && s_peer_reg == link_reset_peer)        s_valid_reg <= 1'b0;

    progress_reg      <= do_ack && (new_reg || wider_reg);
    moved_reg         <= link_reset || (do_ack && new_reg);
    progress_peer_reg <= peer;
    back_count_reg    <= do_ack && good_reg && a2_nack_reg && (old_next_reg != a2_position_reg);
    reset_reg         <= link_reset;
    restart_reg       <= restart[6:0];
    gone_reg          <= reset_una;
    discarded_reg     <= reset_reg ? restart_reg - gone_reg : 7'd0;

    flag_valid_reg <= change_next;
    flag_peer_reg  <= next_peer;
    f2_reg         <= one_hot(flag_valid_reg, flag_peer_reg);
    f2_una_reg     <= flag_una;
    f2_tail_reg    <= flag_tail;
    f2_top_reg     <= flag_top;
    f2_limit_reg   <= flag_limit;
    f2_next_reg    <= flag_next;
    f2_more_reg    <= {POS_W{1'b1}} << (RING_W[2:0] - flag_less);
    f3_reg         <= f2_reg;
    f3_less_reg    <= |(f2_under_way & f2_more_reg);
    put_reg        <= put_mask;
    first_reg      <= first_mask;
    unsent_reg      <= (unsent_reg & ~f2_reg) | (f2_reg & {PEERS_N{f2_next_reg[POS_W-1:0] != f2_tail_reg}}) | put_reg | put_mask;
    less_reg        <= (less_reg & ~f3_reg) | (f3_reg & {PEERS_N{f3_less_reg}});
    credit_reg      <= (credit_reg & ~f2_reg) | (f2_reg & {PEERS_N{f2_next_reg != f2_limit_reg}});
    outstanding_reg <= (outstanding_reg & ~f2_reg) | (f2_reg & {PEERS_N{f2_una_reg != f2_top_reg}}) | first_reg | first_mask;

    if (rst) begin
        ack_reg         <= {PEERS_N{1'b0}};
        nack_reg        <= {PEERS_N{1'b0}};
        back_reg        <= {PEERS_N{1'b0}};
        a2_valid_reg    <= 1'b0;
        s_valid_reg     <= 1'b0;
        progress_reg    <= 1'b0;
        moved_reg       <= 1'b0;
        back_count_reg  <= 1'b0;
        reset_reg       <= 1'b0;
        discarded_reg   <= 7'd0;
        flag_valid_reg  <= 1'b0;
        f2_reg          <= {PEERS_N{1'b0}};
        f3_reg          <= {PEERS_N{1'b0}};
        less_reg        <= {PEERS_N{1'b0}};
        put_reg         <= {PEERS_N{1'b0}};
        first_reg       <= {PEERS_N{1'b0}};
        unsent_reg      <= {PEERS_N{1'b0}};
        credit_reg      <= {PEERS_N{1'b0}};
        outstanding_reg <= {PEERS_N{1'b0}};
    end
end

endmodule

`resetall
