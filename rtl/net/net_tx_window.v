// SPDX-License-Identifier: Apache-2.0
// What is known of every peer's queue: what it has acknowledged, what is sent next, what it allows. Part of net_eth_tx; rules: docs/transport.md, 2 and 4.
//
// Positions of 24 bits, counted without end, per peer:
//   una <= next <= limit,  una <= top <= tail <= una + WINDOW_N,  sequence number = position - base
// una oldest unacknowledged, next the one to send now, top first never sent, tail first not queued, limit first not allowed, base that of number 0.
// One event a cycle changes a peer, as one read and write of its entry:
//   reset            una = next = limit = base = top; of a failed peer tail (discard): what was before is discarded, top too moves there
//   acknowledgement  a = base + number, where una <= a <= top (else ignored, its credit too): una = a, limit = max(limit, a + credit), next = max(next, a)
//                    a nack, and the timer (goback): next = una
//   send             next < tail and next < limit: next + 1
// A reset comes first, in the cycle of its pulse; then acknowledgements and sends take turns. The newest acknowledgement of a peer waits in a
// table, its nack stays noted until then; nothing else waits for it. Flags follow the tables by one cycle, so a peer may be picked that has nothing to
// send any more: the send does nothing then.
//
// Latency ev_valid -> una 4 cycles, pick -> send in the same cycle, put -> ready 1 cycle.
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
    output wire               send_valid,   // a frame for pick_peer
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

// ---- acknowledgements: a1 a peer that has one, a2 its position and limit

reg [PEERS_N-1:0] ack_reg, nack_reg, back_reg;
reg               a2_valid_reg, a2_ack_reg, a2_nack_reg, a2_back_reg;
reg [PEER_W-1:0]  a2_peer_reg;
reg [23:0]        a2_position_reg, a2_limit_reg;

wire              a1_valid;
wire [PEER_W-1:0] a1_peer;
wire [23:0]       a1_number, a1_base;
wire [7:0]        a1_credit;
wire              do_ack;
wire              a1_move = !link_reset && (!a2_valid_reg || do_ack);

net_tx_pick #(.N(PEERS_N)) u_pick (
    .clk(clk), .rst(rst), .req(ack_reg | back_reg), .reload(1'b1), .m_index(a1_peer), .m_valid(a1_valid), .m_ready(a1_move)
);

axis_lutram #(.DATA_W(32), .DEPTH(PEERS_N)) u_newest (
    .clk(clk), .wr_en(ev_valid), .wr_addr(ev_peer), .wr_data({ev_credit, ev_ack}), .rd_addr(a1_peer), .rd_data({a1_credit, a1_number})
);

// ---- one event a cycle

reg               sent_turn_reg;    // the last event was a send: now it is the acknowledgement's turn
reg               progress_reg, back_count_reg;
reg [PEER_W-1:0]  progress_peer_reg;
reg [6:0]         discarded_reg;

wire              pick_go  = pick_valid && send_ready;
wire              ack_turn = a2_valid_reg && (sent_turn_reg || !pick_go);
wire [PEER_W-1:0] peer     = link_reset ? link_reset_peer : ack_turn ? a2_peer_reg : pick_peer;
wire [23:0]       old_una, old_next, old_limit, old_base, old_tail, old_top;

assign do_ack     = !link_reset && ack_turn;
assign pick_ready = !link_reset && !ack_turn && send_ready;

// reset
wire [23:0] restart   = discard[link_reset_peer] ? old_tail : old_top;
wire [6:0]  discarded = restart[6:0] - old_una[6:0];

// acknowledgement; every difference is below 2^23 where the order of the two is as expected
wire [23:0] ack_step  = a2_position_reg - old_una;
wire [23:0] ack_most  = old_top - old_una;
wire [23:0] ack_grow  = a2_limit_reg - old_limit;
wire [23:0] ack_ahead = old_next - a2_position_reg;
wire        ack_good  = a2_ack_reg && (ack_step <= ack_most);
wire        ack_new   = ack_good && (ack_step != 24'd0);
wire        ack_wider = ack_good && !ack_grow[23] && (ack_grow != 24'd0);
wire        ack_back  = a2_back_reg || (ack_good && a2_nack_reg);
wire [23:0] ack_una   = ack_good ? a2_position_reg : old_una;
wire [23:0] ack_next  = ack_back ? ack_una : (ack_good && ack_ahead[23]) ? a2_position_reg : old_next;

// send
wire        send      = pick_ready && pick_valid && (old_next != old_tail) && (old_next != old_limit);

wire        change    = link_reset || do_ack || send;
wire [23:0] new_una   = link_reset ? restart : do_ack ? ack_una : old_una;
wire [23:0] new_next  = link_reset ? restart : do_ack ? ack_next : old_next + 24'd1;
wire [23:0] new_limit = link_reset ? restart : (do_ack && ack_wider) ? a2_limit_reg : old_limit;
wire [23:0] new_base  = link_reset ? restart : old_base;
wire [95:0] new_entry = {new_una, new_next, new_limit, new_base};

// flags are made of the tables one cycle after an event
reg               flag_valid_reg;
reg [PEER_W-1:0]  flag_peer_reg;
reg [PEERS_N-1:0] unsent_reg, credit_reg, outstanding_reg;
wire [23:0]       flag_una, flag_next, flag_limit, flag_tail, flag_top;

// ---- tables: one write port each, and as many copies as there are readers

net_table #(.DATA_W(96), .DEPTH(PEERS_N)) u_entry (
    .clk(clk), .clear(rst), .wr_en(change), .wr_addr(peer), .wr_data(new_entry),
    .rd_addr(peer), .rd_data({old_una, old_next, old_limit, old_base})
);

net_table #(.DATA_W(72), .DEPTH(PEERS_N)) u_entry_flag (
    .clk(clk), .clear(rst), .wr_en(change), .wr_addr(peer), .wr_data(new_entry[95:24]),
    .rd_addr(flag_peer_reg), .rd_data({flag_una, flag_next, flag_limit})
);

net_table #(.DATA_W(RING_W + 1), .DEPTH(PEERS_N)) u_una (
    .clk(clk), .clear(rst), .wr_en(change), .wr_addr(peer), .wr_data(new_una[RING_W:0]), .rd_addr(una_peer), .rd_data(una)
);

net_table #(.DATA_W(24), .DEPTH(PEERS_N)) u_base_ack (
    .clk(clk), .clear(rst), .wr_en(change), .wr_addr(peer), .wr_data(new_base), .rd_addr(a1_peer), .rd_data(a1_base)
);

net_table #(.DATA_W(24), .DEPTH(PEERS_N)) u_base (
    .clk(clk), .clear(rst), .wr_en(change), .wr_addr(peer), .wr_data(new_base), .rd_addr(base_peer), .rd_data(base)
);

wire [23:0] put_old;
wire [23:0] put_next = put_old + 24'd1;

net_table #(.DATA_W(24), .DEPTH(PEERS_N)) u_tail_put (
    .clk(clk), .clear(rst), .wr_en(put_valid), .wr_addr(put_peer), .wr_data(put_next), .rd_addr(put_peer), .rd_data(put_old)
);

net_table #(.DATA_W(24), .DEPTH(PEERS_N)) u_tail (
    .clk(clk), .clear(rst), .wr_en(put_valid), .wr_addr(put_peer), .wr_data(put_next), .rd_addr(peer), .rd_data(old_tail)
);

net_table #(.DATA_W(24), .DEPTH(PEERS_N)) u_tail_flag (
    .clk(clk), .clear(rst), .wr_en(put_valid), .wr_addr(put_peer), .wr_data(put_next), .rd_addr(flag_peer_reg), .rd_data(flag_tail)
);

// a header is never made in the cycle of a reset: one write port is enough
wire [23:0]       sent_top, sent_ahead;
wire              first_time = sent_valid && !sent_ahead[23];
wire              top_write  = link_reset || first_time;
wire [PEER_W-1:0] top_peer   = link_reset ? link_reset_peer : sent_peer;
wire [23:0]       top_new    = link_reset ? restart : sent_position + 24'd1;

assign sent_ahead = sent_position - sent_top;

net_table #(.DATA_W(24), .DEPTH(PEERS_N)) u_top_sent (
    .clk(clk), .clear(rst), .wr_en(top_write), .wr_addr(top_peer), .wr_data(top_new), .rd_addr(sent_peer), .rd_data(sent_top)
);

net_table #(.DATA_W(24), .DEPTH(PEERS_N)) u_top (
    .clk(clk), .clear(rst), .wr_en(top_write), .wr_addr(top_peer), .wr_data(top_new), .rd_addr(peer), .rd_data(old_top)
);

net_table #(.DATA_W(24), .DEPTH(PEERS_N)) u_top_flag (
    .clk(clk), .clear(rst), .wr_en(top_write), .wr_addr(top_peer), .wr_data(top_new), .rd_addr(flag_peer_reg), .rd_data(flag_top)
);

wire unused = &{1'b0, ack_ahead[22:0], sent_ahead[22:0]};

assign put_tail       = put_old[RING_W:0];
assign send_valid     = send;
assign send_position  = old_next;
assign sent_again     = sent_ahead[23];
assign kill_valid     = link_reset || (do_ack && ack_back);
assign kill_peer      = peer;
assign moved_valid    = link_reset || (do_ack && ack_new);
assign moved_peer     = peer;
assign ready          = unsent_reg & credit_reg & up & ~discard;
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
        a2_limit_reg    <= a1_base + a1_number + {16'd0, a1_credit};
        if (a1_valid) begin
            ack_reg[a1_peer]  <= 1'b0;
            nack_reg[a1_peer] <= 1'b0;
            back_reg[a1_peer] <= 1'b0;
        end
    end
    // what comes now counts, in the cycle of a reset too: it is of the new epochs
    if (ev_valid)            ack_reg[ev_peer]      <= 1'b1;
    if (ev_valid && ev_nack) nack_reg[ev_peer]     <= 1'b1;
    if (goback_valid)        back_reg[goback_peer] <= 1'b1;

    sent_turn_reg     <= pick_ready && pick_valid;
    progress_reg      <= do_ack && (ack_new || ack_wider);
    progress_peer_reg <= peer;
    back_count_reg    <= do_ack && ack_good && a2_nack_reg && (old_next != a2_position_reg);
    discarded_reg     <= link_reset ? discarded : 7'd0;

    flag_valid_reg <= change;
    flag_peer_reg  <= peer;
    if (flag_valid_reg) begin
        unsent_reg[flag_peer_reg]      <= (flag_next != flag_tail);
        credit_reg[flag_peer_reg]      <= (flag_next != flag_limit);
        outstanding_reg[flag_peer_reg] <= (flag_una != flag_top);
    end
    if (put_valid)  unsent_reg[put_peer]       <= 1'b1;
    if (first_time) outstanding_reg[sent_peer] <= 1'b1;

    if (rst) begin
        ack_reg         <= {PEERS_N{1'b0}};
        nack_reg        <= {PEERS_N{1'b0}};
        back_reg        <= {PEERS_N{1'b0}};
        a2_valid_reg    <= 1'b0;
        sent_turn_reg   <= 1'b0;
        progress_reg    <= 1'b0;
        back_count_reg  <= 1'b0;
        discarded_reg   <= 7'd0;
        flag_valid_reg  <= 1'b0;
        unsent_reg      <= {PEERS_N{1'b0}};
        credit_reg      <= {PEERS_N{1'b0}};
        outstanding_reg <= {PEERS_N{1'b0}};
    end
end

endmodule

`resetall
