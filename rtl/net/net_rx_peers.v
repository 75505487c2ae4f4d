// SPDX-License-Identifier: Apache-2.0
// What the receiving side keeps per peer: the number expected, cells in use, and what must be told (docs/transport.md, section 3).
//
//   held   = frames accepted - frames handed on            expected = frames accepted since the link's last reset, modulo 2^24
//   credit = max(quota - held, 0)                          the peer may send numbers below expected + credit
//
// Frames may come in every cycle, of the same peer too: a number is compared (n_*) with the expected one and with the one after it; in the next
// cycle, the frame's verdict, it is known whether the frame before it was accepted. The answers for a header (hd_expected, hd_credit) are of one
// moment; a change in the cycle of hd_sent has not been told and stays owed.
//
// Owed: an ack is due to a peer ACK_DELAY cycles after the first change that was not told (a frame accepted, a cell handed on), and at once
// after a duplicate or a write of PEER; a nack at once after a gap, but not again before a frame was accepted or NACK_HOLD cycles have
// passed. One peer is looked at per cycle: delay and hold may be up to PEERS_N + 2 cycles longer than the register says. Nothing is owed to
// a peer from which no frame with right epochs came since the link's reset: the frame that opens the link tells it everything.
//
// Latency: event -> ack_due, nack_due 2 cycles where due at once. Configuration: PEER quota (bits 88:81, memory 1; reset clears it), REGISTER
// (memory 2) 0 ACK_DELAY, 4 NACK_HOLD: 24 bits, cycles, 128 and 768 after reset.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_rx_peers #(
    parameter PEERS_N = 64,     // peers. Requires a power of two, 2 to 64 (checked by net_eth_rx)
    parameter COUNT_W = 9,      // bits of a count of cells. Requires 2^(COUNT_W-1) at least the number of cells
    parameter PEER_W  = $clog2(PEERS_N)     // not to be set
) (
    input  wire               clk,
    input  wire               rst,

    // ev_peer, ev_seq of the next cycle
    input  wire [PEER_W-1:0]  n_peer,
    input  wire [23:0]        n_seq,

    // the frame judged in this cycle; accept, gap, dup: at most one; right: its epochs are right
    input  wire [PEER_W-1:0]  ev_peer,
    input  wire [23:0]        ev_seq,
    output wire               ev_next,          // ev_seq is the number expected
    output wire               ev_behind,        // it is one before it
    input  wire               ev_right,
    input  wire               ev_accept,
    input  wire               ev_gap,
    input  wire               ev_dup,

    input  wire               release_valid,    // a cell was handed on
    input  wire [PEER_W-1:0]  release_peer,

    input  wire               link_reset,
    input  wire [PEER_W-1:0]  link_reset_peer,
    input  wire [PEER_W-1:0]  hd_peer,
    output wire [23:0]        hd_expected,
    output wire [7:0]         hd_credit,        // 0 where hd_none
    output wire               hd_none,
    input  wire               hd_sent,
    input  wire [PEER_W-1:0]  hd_sent_peer,
    input  wire               hd_sent_nack,
    output wire [PEERS_N-1:0] ack_due,
    output wire [PEERS_N-1:0] nack_due,

    input  wire               cfg_we,
    input  wire [27:0]        cfg_addr,
    input  wire [23:0]        cfg_value,        // bits 23:0 of the data
    input  wire [7:0]         cfg_quota         // bits 88:81
);

localparam [23:0] FIRST = 24'd0;    // number of the first frame after a reset of the link
localparam [23:0] SECOND = FIRST + 24'd1;
localparam TIME_W = 25;     // one bit more than a delay has: a moment passed up to 2^24 cycles ago is still seen as passed
localparam [PEERS_N-1:0] ONE = {{(PEERS_N-1){1'b0}}, 1'b1};

// ---- expected: 0 until a frame was accepted, in two copies for its two readers

reg  [PEERS_N-1:0] fresh_reg;       // nothing accepted since the link's reset
wire [23:0]        n_number, n_after, hd_number;     // n_after: n_number + 1

// in the cycle of link_reset the epochs are already the new ones: what is judged and told in it is of the link after the reset
wire        n_fresh   = fresh_reg[n_peer] || (link_reset && link_reset_peer == n_peer);
wire        ev_begins = link_reset && link_reset_peer == ev_peer;
wire        hd_fresh  = fresh_reg[hd_peer] || (link_reset && link_reset_peer == hd_peer);

// n_seq against the number expected (same, below), and against the one after it (after, not_after)
wire [23:0] to_number = n_seq - n_number;
wire [23:0] to_after  = n_seq - n_after;
wire [23:0] to_first  = n_seq - FIRST;
wire [23:0] to_second = n_seq - SECOND;
wire        unused    = &{1'b0, to_number[22:0], to_after[22:0], to_first[22:0], to_second[22:0]};
reg         same_reg, below_reg, after_reg, not_after_reg;
reg         first_reg, last_half_reg;       // against FIRST
reg         accepted_reg, same_peer_reg;    // the frame judged in the cycle before was accepted; it was of the same peer
wire        ev_after  = accepted_reg && same_peer_reg;

axis_lutram #(.DATA_W(24), .DEPTH(PEERS_N)) u_n_number (
    .clk(clk), .wr_en(ev_accept), .wr_addr(ev_peer), .wr_data(ev_seq + 24'd1), .rd_addr(n_peer), .rd_data(n_number)
);

axis_lutram #(.DATA_W(24), .DEPTH(PEERS_N)) u_n_after (
    .clk(clk), .wr_en(ev_accept), .wr_addr(ev_peer), .wr_data(ev_seq + 24'd2), .rd_addr(n_peer), .rd_data(n_after)
);

axis_lutram #(.DATA_W(24), .DEPTH(PEERS_N)) u_hd_number (
    .clk(clk), .wr_en(ev_accept), .wr_addr(ev_peer), .wr_data(ev_seq + 24'd1), .rd_addr(hd_peer), .rd_data(hd_number)
);

assign ev_next     = ev_begins ? first_reg : ev_after ? after_reg : same_reg;
assign ev_behind   = ev_begins ? last_half_reg : ev_after ? not_after_reg : below_reg;
assign hd_expected = hd_fresh ? FIRST : hd_number;

// ---- cells: two counts per peer, each with one writer; so wide that quota - held is right as a signed number

localparam SUM_W = ((COUNT_W > 9) ? COUNT_W : 9) + 1;

wire [SUM_W-1:0]   ev_count, hd_count, release_count, hd_handed;
wire [7:0]         hd_quota;
wire               cfg_peer = cfg_we && cfg_addr[27:16] == {4'd1, 8'd0};

net_table #(.DATA_W(SUM_W), .DEPTH(PEERS_N)) u_ev_count (
    .clk(clk), .clear(rst), .wr_en(ev_accept), .wr_addr(ev_peer), .wr_data(ev_count + 1'b1), .rd_addr(ev_peer), .rd_data(ev_count)
);

net_table #(.DATA_W(SUM_W), .DEPTH(PEERS_N)) u_hd_count (
    .clk(clk), .clear(rst), .wr_en(ev_accept), .wr_addr(ev_peer), .wr_data(ev_count + 1'b1), .rd_addr(hd_peer), .rd_data(hd_count)
);

net_table #(.DATA_W(SUM_W), .DEPTH(PEERS_N)) u_release (
    .clk(clk), .clear(rst), .wr_en(release_valid), .wr_addr(release_peer), .wr_data(release_count + 1'b1),
    .rd_addr(release_peer), .rd_data(release_count)
);

net_table #(.DATA_W(SUM_W), .DEPTH(PEERS_N)) u_handed (
    .clk(clk), .clear(rst), .wr_en(release_valid), .wr_addr(release_peer), .wr_data(release_count + 1'b1),
    .rd_addr(hd_peer), .rd_data(hd_handed)
);

net_table #(.DATA_W(8), .DEPTH(PEERS_N)) u_quota (
    .clk(clk), .clear(rst), .wr_en(cfg_peer), .wr_addr(cfg_addr[PEER_W-1:0]), .wr_data(cfg_quota), .rd_addr(hd_peer), .rd_data(hd_quota)
);

wire [SUM_W-1:0] hd_left = {{(SUM_W-8){1'b0}}, hd_quota} + hd_handed - hd_count;

assign hd_credit = hd_left[7:0];
assign hd_none   = hd_left[SUM_W-1];

// ---- registers and time

reg  [23:0]       ack_delay_reg, nack_hold_reg;
reg  [TIME_W-1:0] now_reg, ack_at_reg, nack_at_reg;     // the moments at which what becomes owed now falls due

always @(posedge clk) begin
    now_reg     <= now_reg + 1'b1;
    ack_at_reg  <= now_reg + {1'b0, ack_delay_reg};
    nack_at_reg <= now_reg + {1'b0, nack_hold_reg};
    if (cfg_we && cfg_addr == {4'd2, 24'd0}) ack_delay_reg <= cfg_value;
    if (cfg_we && cfg_addr == {4'd2, 24'd4}) nack_hold_reg <= cfg_value;
    if (rst) begin
        now_reg       <= {TIME_W{1'b0}};
        ack_delay_reg <= 24'd128;
        nack_hold_reg <= 24'd768;
    end
end

// ---- q: the events one cycle later, and so is hd_sent: what came in its cycle it has not told, and stays

reg               q_accept_reg, q_gap_reg, q_dup_reg, q_release_reg, q_quota_reg;
reg  [PEER_W-1:0] q_peer_reg, q_release_peer_reg, q_quota_peer_reg, q_sent_peer_reg;
reg               q_sent_reg, q_nacked_reg;
reg [PEERS_N-1:0] live_reg;         // a frame with right epochs came since the link's reset
reg [PEERS_N-1:0] arrived_reg;      // accepted, not told
reg [PEERS_N-1:0] freed_reg;        // handed on, not told
reg [PEERS_N-1:0] due_reg;
reg [PEERS_N-1:0] nack_reg;
reg [PEERS_N-1:0] hold_reg;         // no other nack for the time being
reg  [PEER_W-1:0] scan_reg;

wire [TIME_W-1:0] arrived_at, freed_at, hold_to;
wire [TIME_W-1:0] arrived_left = now_reg - arrived_at;
wire [TIME_W-1:0] freed_left   = now_reg - freed_at;
wire [TIME_W-1:0] hold_left    = now_reg - hold_to;
wire              q_arrived = q_accept_reg && live_reg[q_peer_reg];
wire              q_freed   = q_release_reg && live_reg[q_release_peer_reg];
wire              q_nack    = q_gap_reg && live_reg[q_peer_reg] && !hold_reg[q_peer_reg];

function [PEERS_N-1:0] one_hot(input enable, input [PEER_W-1:0] index);
    one_hot = enable ? (ONE << index) : {PEERS_N{1'b0}};
endfunction

wire [PEERS_N-1:0] told_mask  = one_hot(q_sent_reg, q_sent_peer_reg);

axis_lutram #(.DATA_W(TIME_W), .DEPTH(PEERS_N)) u_arrived_at (
    .clk(clk), .wr_en(q_arrived && (!arrived_reg[q_peer_reg] || told_mask[q_peer_reg])), .wr_addr(q_peer_reg), .wr_data(ack_at_reg),
    .rd_addr(scan_reg), .rd_data(arrived_at)
);

axis_lutram #(.DATA_W(TIME_W), .DEPTH(PEERS_N)) u_freed_at (
    .clk(clk), .wr_en(q_freed && (!freed_reg[q_release_peer_reg] || told_mask[q_release_peer_reg])), .wr_addr(q_release_peer_reg),
    .wr_data(ack_at_reg),
    .rd_addr(scan_reg), .rd_data(freed_at)
);

axis_lutram #(.DATA_W(TIME_W), .DEPTH(PEERS_N)) u_hold_to (
    .clk(clk), .wr_en(q_nack), .wr_addr(q_peer_reg), .wr_data(nack_at_reg), .rd_addr(scan_reg), .rd_data(hold_to)
);

wire [PEERS_N-1:0] nacked_mask = one_hot(q_nacked_reg, q_sent_peer_reg);
wire [PEERS_N-1:0] reset_mask = one_hot(link_reset, link_reset_peer);
wire               scan_due   = (arrived_reg[scan_reg] && !arrived_left[TIME_W-1]) || (freed_reg[scan_reg] && !freed_left[TIME_W-1]);
wire [PEERS_N-1:0] scan_mask  = one_hot(scan_due, scan_reg);
wire [PEERS_N-1:0] due_mask   = one_hot(q_dup_reg && live_reg[q_peer_reg], q_peer_reg)
                              | one_hot(q_quota_reg && live_reg[q_quota_peer_reg], q_quota_peer_reg);

always @(posedge clk) begin
    same_reg      <= n_fresh ? (n_seq == FIRST) : (n_seq == n_number);      // compared beside the choice
    below_reg     <= n_fresh ? to_first[23] : to_number[23];
    after_reg     <= n_fresh ? (n_seq == SECOND) : (n_seq == n_after);
    not_after_reg <= n_fresh ? to_second[23] : to_after[23];
    first_reg     <= (n_seq == FIRST);
    last_half_reg <= to_first[23];
    accepted_reg  <= ev_accept;
    same_peer_reg <= (n_peer == ev_peer);

    q_accept_reg       <= ev_accept;
    q_gap_reg          <= ev_gap;
    q_dup_reg          <= ev_dup;
    q_peer_reg         <= ev_peer;
    q_release_reg      <= release_valid;
    q_release_peer_reg <= release_peer;
    q_sent_reg         <= hd_sent;
    q_nacked_reg       <= hd_sent && hd_sent_nack;
    q_sent_peer_reg    <= hd_sent_peer;
    q_quota_reg        <= cfg_peer;
    q_quota_peer_reg   <= cfg_addr[PEER_W-1:0];
    scan_reg           <= scan_reg + 1'b1;

    fresh_reg   <= (fresh_reg | reset_mask) & ~one_hot(ev_accept, ev_peer);
    live_reg    <= (live_reg & ~reset_mask) | one_hot(ev_right, ev_peer);
    arrived_reg <= ((arrived_reg & ~told_mask) | one_hot(q_arrived, q_peer_reg)) & ~reset_mask;
    freed_reg   <= ((freed_reg & ~told_mask) | one_hot(q_freed, q_release_peer_reg)) & ~reset_mask;
    due_reg     <= (((due_reg | scan_mask) & ~told_mask) | due_mask) & ~reset_mask;
    nack_reg    <= ((nack_reg & ~nacked_mask) | one_hot(q_nack, q_peer_reg)) & ~reset_mask;
    hold_reg    <= ((hold_reg & ~one_hot(!hold_left[TIME_W-1], scan_reg) & ~one_hot(q_accept_reg, q_peer_reg)) | one_hot(q_nack, q_peer_reg))
                 & ~reset_mask;

    if (rst) begin
        accepted_reg  <= 1'b0;
        q_accept_reg  <= 1'b0;
        q_gap_reg     <= 1'b0;
        q_dup_reg     <= 1'b0;
        q_release_reg <= 1'b0;
        q_quota_reg   <= 1'b0;
        q_sent_reg    <= 1'b0;
        q_nacked_reg  <= 1'b0;
        scan_reg      <= {PEER_W{1'b0}};
        fresh_reg     <= {PEERS_N{1'b1}};
        live_reg      <= {PEERS_N{1'b0}};
        arrived_reg   <= {PEERS_N{1'b0}};
        freed_reg     <= {PEERS_N{1'b0}};
        due_reg       <= {PEERS_N{1'b0}};
        nack_reg      <= {PEERS_N{1'b0}};
        hold_reg      <= {PEERS_N{1'b0}};
    end
end

assign ack_due  = due_reg & ~told_mask;
assign nack_due = nack_reg & ~nacked_mask;

endmodule

`resetall
