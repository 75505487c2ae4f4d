// SPDX-License-Identifier: Apache-2.0
// Queues of the sending side: for every peer a ring of WINDOW_N cell numbers, from its oldest unacknowledged message on. Part of net_eth_tx.
//
// Positions are counted without end (24 bits, those of net_tx_window); the place in the ring is the position modulo WINDOW_N.
// Put: a message goes into the queue of each of its peers, lowest first, one a cycle. A peer that is unknown or failed is skipped and counted; a full
// queue holds this message and those behind it until there is room or the peer is failed. After the last peer the cell's users are told (close_*).
// A message that is dropped (s_drop) has no peers, and is not counted here. Nothing is put in the cycle of a link reset: what comes after it knows
// which peers have failed.
// Release: positions before the acknowledged one (una) leave, one a cycle, the peers in rounds. A position whose frame is on its way out
// (busy_*) stays until the frame has left: a cell is never written while it is read. Other peers go on meanwhile.
//
// Latency s_valid -> put 2 cycles.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_tx_queue #(
    parameter PEERS_N  = 64,                // peers. Requires a power of two, 2 to 64
    parameter CELLS    = 128,               // message cells. Requires a power of two, at least 2
    parameter WINDOW_N = 64,                // messages queued for a peer. Requires a power of two, 2 to 64
    parameter PEER_W   = $clog2(PEERS_N),   // not to be set
    parameter CELL_W   = $clog2(CELLS),     // not to be set
    parameter RING_W   = $clog2(WINDOW_N)   // not to be set
) (
    input  wire                clk,
    input  wire                rst,

    input  wire [CELL_W-1:0]   s_cell,
    input  wire [PEERS_N-1:0]  s_peers,
    input  wire                s_drop,
    input  wire                s_valid,
    output wire                s_ready,
    input  wire [PEERS_N-1:0]  known,
    input  wire [PEERS_N-1:0]  discard,
    input  wire                link_reset,

    output wire                put_valid,       // in the queue now: position put_tail
    output wire [PEER_W-1:0]   put_peer,
    input  wire [RING_W:0]     put_tail,        // asked by put_peer in the same cycle

    input  wire                get_en,          // the cell at a place; its number one cycle later
    input  wire [PEER_W-1:0]   get_peer,
    input  wire [RING_W-1:0]   get_place,
    output wire [CELL_W-1:0]   get_cell,

    input  wire                moved_valid,     // una of this peer has changed
    input  wire [PEER_W-1:0]   moved_peer,
    output wire [PEER_W-1:0]   una_peer,        // una is asked and answered in the same cycle
    input  wire [RING_W:0]     una,
    input  wire [2:0]          busy_valid,      // frames on their way out
    input  wire [3*PEER_W-1:0] busy_peer,
    input  wire [3*RING_W-1:0] busy_place,

    output wire                close_valid,
    output wire [CELL_W-1:0]   close_cell,
    output wire [6:0]          close_n,
    output wire                rel_valid,
    output wire [CELL_W-1:0]   rel_cell,
    input  wire                rel_ready,

    output wire                sts_no_node,     // pulses: a message for no node, a copy skipped
    output wire                sts_skipped,
    output wire                sts_busy         // messages wait to be put
);

generate
if (WINDOW_N < 2 || WINDOW_N > 64 || (1 << RING_W) != WINDOW_N) begin : g_window
    PARAM_ERROR_net_tx_queue_WINDOW_N_power_of_two_to_64 u_err ();
end
if (PEERS_N < 2 || PEERS_N > 64 || (1 << PEER_W) != PEERS_N) begin : g_peers
    PARAM_ERROR_net_tx_queue_PEERS_N_power_of_two_to_64 u_err ();
end
endgenerate

wire unused = &{1'b0, put_tail[RING_W]};

// number of the lowest set bit
function [PEER_W-1:0] lowest(input [PEERS_N-1:0] mask);
    integer b;
    begin
        lowest = {PEER_W{1'b0}};
        for (b = PEERS_N-1; b >= 0; b = b - 1) if (mask[b]) lowest = b[PEER_W-1:0];
    end
endfunction

// more than one bit is set
function several(input [PEERS_N-1:0] mask);
    integer b, n;
    reg [PEERS_N-1:0] any, two;     // of groups that double with every round
    begin
        any = mask;
        two = {PEERS_N{1'b0}};
        for (n = PEERS_N / 2; n > 0; n = n / 2)
            for (b = 0; b < n; b = b + 1) begin
                two[b] = two[2*b] | two[2*b + 1] | (any[2*b] & any[2*b + 1]);
                any[b] = any[2*b] | any[2*b + 1];
            end
        several = two[0];
    end
endfunction

// ---- put: p0 a message that came while p1 was taken, p1 the message and the peers left, p2 one peer

reg               p0_valid_reg, p0_drop_reg, p1_valid_reg, p1_last_reg, p1_drop_reg, p2_valid_reg, p2_none_reg, p2_drop_reg, p2_last_reg;
reg [CELL_W-1:0]  p0_cell_reg, p1_cell_reg, p2_cell_reg;
reg [PEERS_N-1:0] p0_peers_reg, p1_peers_reg;
reg [PEER_W-1:0]  p2_peer_reg;
reg [6:0]         users_reg;        // queues the message of p2 is in
reg [PEERS_N-1:0] full_reg;
reg               close_valid_reg, no_node_reg, skipped_reg;
reg [CELL_W-1:0]  close_cell_reg;
reg [6:0]         close_n_reg;

reg  [PEERS_N-1:0] open_reg;    // known, and not failed
reg  [PEERS_N-1:0] p1_rest;     // without the lowest
reg                p1_below;
wire               p2_skip = p2_none_reg || !open_reg[p2_peer_reg];
wire               p2_done = p2_valid_reg && !link_reset && (p2_skip || !full_reg[p2_peer_reg]);
wire               p2_free = !p2_valid_reg || p2_done;
integer            p;

always @* begin
    p1_rest  = {PEERS_N{1'b0}};
    p1_below = 1'b0;
    for (p = 0; p < PEERS_N; p = p + 1) begin
        p1_rest[p] = p1_peers_reg[p] && p1_below;
        p1_below   = p1_below || p1_peers_reg[p];
    end
end

wire               put     = p2_done && !p2_skip;
wire [6:0]         users   = users_reg + {6'd0, put};

wire               p1_free  = !p1_valid_reg || (p2_free && p1_last_reg);
wire [PEERS_N-1:0] p0_peers = p0_valid_reg ? p0_peers_reg : s_peers;

assign s_ready   = !p0_valid_reg;
assign put_valid = put;
assign put_peer  = p2_peer_reg;

axis_ram #(.DATA_W(CELL_W), .DEPTH(PEERS_N * WINDOW_N), .FWD_EN(0), .STYLE("block")) u_ring_send (
    .clk(clk), .wr_en(put), .wr_addr({p2_peer_reg, put_tail[RING_W-1:0]}), .wr_data(p2_cell_reg),
    .rd_en(get_en), .rd_addr({get_peer, get_place}), .rd_data(get_cell)
);

// ---- release: k1 a peer, k2 its oldest position, which is released if it may be, k3 the cell

reg [PEERS_N-1:0] moved_reg;        // una and the released positions may differ
reg               k2_valid_reg, k3_valid_reg;
reg               left_reg;         // a busy position was left in the cycle before
reg [PEER_W-1:0]  left_peer_reg;
reg [PEER_W-1:0]  k2_peer_reg;
reg [RING_W:0]    k2_gone_reg, k2_una_reg;

wire              k1_valid;
wire [PEER_W-1:0] k1_peer;
wire [RING_W:0]   k1_gone;                  // released so far
wire [RING_W-1:0] put_gone;                 // ~(released so far - 1)
reg               k2_busy;
integer           i;

always @* begin
    k2_busy = 1'b0;
    for (i = 0; i < 3; i = i + 1)
        if (busy_valid[i] && busy_peer[i*PEER_W +: PEER_W] == k2_peer_reg
            && busy_place[i*RING_W +: RING_W] == k2_gone_reg[RING_W-1:0]) k2_busy = 1'b1;
end

wire              k2_end  = (k2_gone_reg == k2_una_reg);
wire              k3_free = !k3_valid_reg || rel_ready;
wire              k2_step = k2_valid_reg && !k2_end && !k2_busy && k3_free;
wire              k2_free = !k2_valid_reg || k2_end || k2_busy;     // no step is made: what k1 reads stays
wire [RING_W:0]   k2_next = k2_gone_reg + 1'b1;
wire              put_full = ((put_tail[RING_W-1:0] ^ put_gone) == {RING_W{1'b1}});     // WINDOW_N with the message put now

assign una_peer = k1_peer;

net_tx_pick #(.N(PEERS_N)) u_pick (
    .clk(clk), .rst(rst), .req(moved_reg), .reload(1'b1), .m_index(k1_peer), .m_valid(k1_valid), .m_ready(k2_free)
);

net_table #(.DATA_W(RING_W + 1), .DEPTH(PEERS_N)) u_gone_release (
    .clk(clk), .clear(rst), .wr_en(k2_step), .wr_addr(k2_peer_reg), .wr_data(k2_next), .rd_addr(k1_peer), .rd_data(k1_gone)
);

net_table #(.DATA_W(RING_W), .DEPTH(PEERS_N)) u_gone_put (
    .clk(clk), .clear(rst), .wr_en(k2_step), .wr_addr(k2_peer_reg), .wr_data(~k2_gone_reg[RING_W-1:0]), .rd_addr(p2_peer_reg), .rd_data(put_gone)
);

axis_ram #(.DATA_W(CELL_W), .DEPTH(PEERS_N * WINDOW_N), .FWD_EN(0), .STYLE("block")) u_ring_release (
    .clk(clk), .wr_en(put), .wr_addr({p2_peer_reg, put_tail[RING_W-1:0]}), .wr_data(p2_cell_reg),
    .rd_en(k2_step), .rd_addr({k2_peer_reg, k2_gone_reg[RING_W-1:0]}), .rd_data(rel_cell)
);

assign rel_valid   = k3_valid_reg;
assign close_valid = close_valid_reg;
assign close_cell  = close_cell_reg;
assign close_n     = close_n_reg;
assign sts_no_node = no_node_reg;
assign sts_skipped = skipped_reg;
assign sts_busy    = p0_valid_reg || p1_valid_reg || p2_valid_reg || close_valid_reg;

always @(posedge clk) begin
    p0_valid_reg <= !p1_free && (s_valid || p0_valid_reg);
    if (!p0_valid_reg) begin
        p0_cell_reg  <= s_cell;
        p0_peers_reg <= s_peers;
        p0_drop_reg  <= s_drop;
    end
    if (p1_free) begin
        p1_valid_reg <= s_valid || p0_valid_reg;
        p1_cell_reg  <= p0_valid_reg ? p0_cell_reg : s_cell;
        p1_drop_reg  <= p0_valid_reg ? p0_drop_reg : s_drop;
    end
    if (p1_free || p2_free) begin
        p1_peers_reg <= p1_free ? p0_peers : p1_rest;
        p1_last_reg  <= p1_free ? !several(p0_peers) : !several(p1_rest);
    end
    if (p2_free) begin
        p2_valid_reg <= p1_valid_reg;
        p2_none_reg  <= (p1_peers_reg == {PEERS_N{1'b0}});
        p2_drop_reg  <= p1_drop_reg;
        p2_last_reg  <= p1_last_reg;
        p2_cell_reg  <= p1_cell_reg;
        p2_peer_reg  <= lowest(p1_peers_reg);
    end
    if (p2_done) users_reg <= p2_last_reg ? 7'd0 : users;
    close_valid_reg <= p2_done && p2_last_reg;
    close_cell_reg  <= p2_cell_reg;
    close_n_reg     <= users;
    no_node_reg     <= p2_done && p2_none_reg && !p2_drop_reg;
    open_reg        <= known & ~discard;
    skipped_reg     <= p2_done && p2_skip && !p2_none_reg;

    // full: exactly WINDOW_N positions after a put; a release in the same cycle makes room again
    if (put && put_full) full_reg[p2_peer_reg] <= 1'b1;
    if (k2_step)         full_reg[k2_peer_reg] <= 1'b0;

    if (k2_free) begin
        k2_valid_reg <= k1_valid;
        k2_peer_reg  <= k1_peer;
        k2_gone_reg  <= k1_gone;
        k2_una_reg   <= una;
    end else if (k2_step) begin
        k2_gone_reg  <= k2_next;
    end
    if (k3_free) k3_valid_reg <= k2_step;
    // a peer whose position is busy is looked at again; una may move while it is read
    if (k2_free && k1_valid) moved_reg[k1_peer]       <= 1'b0;
    if (left_reg)            moved_reg[left_peer_reg] <= 1'b1;
    if (moved_valid)         moved_reg[moved_peer]    <= 1'b1;
    left_reg      <= k2_valid_reg && !k2_end && k2_busy;
    left_peer_reg <= k2_peer_reg;

    if (rst) begin
        p0_valid_reg    <= 1'b0;
        p1_valid_reg    <= 1'b0;
        p2_valid_reg    <= 1'b0;
        users_reg       <= 7'd0;
        close_valid_reg <= 1'b0;
        no_node_reg     <= 1'b0;
        skipped_reg     <= 1'b0;
        full_reg        <= {PEERS_N{1'b0}};
        moved_reg       <= {PEERS_N{1'b0}};
        k2_valid_reg    <= 1'b0;
        k3_valid_reg    <= 1'b0;
        left_reg        <= 1'b0;
    end
end

endmodule

`resetall
