// SPDX-License-Identifier: Apache-2.0
// Links of an Ethernet port: epochs, up and failed, timers, hello. Rules: docs/transport.md, sections 4 and 5.
//
// Epochs. With ev_* the entry of its peer is read and compared (e0); in the next cycle (e1) the rules of section 4 are applied and the entry is
// written, and the event goes on to net_eth_tx as lk_ev_*, with lk_ev_right judged by the epochs after the rules. What follows from one event is seen
// in one cycle: link_reset, changed epochs, up, failed, lk_ev_*; a hello that resets the link counts as an acknowledgement in the new epochs.
// Timers. The peers are visited in turn, one every two cycles; what happened to a peer meanwhile is kept in flags until then. A time ends
// at a visit: up to two rounds of 2 * PEERS_N cycles late, one round early where it runs from the begin of its reason and not from progress.
// A link that fails waits for a cycle without an event, and does not fail if there was progress until then. Its mine stays 0 if it is not known yet.
//
// Latency ev_valid -> lk_ev_*, link_reset 2 cycles, -> hello_due, helloack_due 2; one event a cycle. lk_peer -> lk_mine, lk_theirs 1 cycle.
// Configuration: memory 1 PEER[node number], only valid (bit 80), one cycle late; memory 2 REGISTER 1 RTO, 2 RETRIES, 3 KEEP, 24 bits. Reset clears
// PEER, and the registers have their defaults. sts_count: expiries, links failed, peers restarted, hellos answered (hello-acks that became due).
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_link #(
    parameter PEERS_N = 64,             // peers. Requires a power of two, 2 to 64
    parameter PEER_W  = $clog2(PEERS_N) // not to be set
) (
    input  wire               clk,
    input  wire               rst,

    // with net_eth_rx: docs/transport.md, section 7
    input  wire               ev_valid,
    input  wire [PEER_W-1:0]  ev_peer,
    input  wire [4:0]         ev_type,
    input  wire [7:0]         ev_epoch,
    input  wire [7:0]         ev_ack_epoch,
    input  wire [23:0]        ev_ack,
    input  wire [7:0]         ev_credit,
    input  wire               ev_right,
    input  wire [PEER_W-1:0]  lk_peer,          // answered one cycle later, with what is true then
    output wire [7:0]         lk_mine,
    output wire [7:0]         lk_theirs,
    output wire               link_reset,
    output wire [PEER_W-1:0]  link_reset_peer,

    // with net_eth_tx
    output wire               lk_ev_valid,
    output wire [PEER_W-1:0]  lk_ev_peer,
    output wire [4:0]         lk_ev_type,
    output wire [23:0]        lk_ev_ack,
    output wire [7:0]         lk_ev_credit,
    output wire               lk_ev_right,
    input  wire [PEER_W-1:0]  lk_hd_peer,
    output wire [7:0]         lk_hd_mine,
    output wire [7:0]         lk_hd_theirs,
    output wire [PEERS_N-1:0] up,
    output wire [PEERS_N-1:0] discard,
    output wire [PEERS_N-1:0] hello_due,
    output wire [PEERS_N-1:0] helloack_due,
    input  wire               hd_sent,
    input  wire [PEER_W-1:0]  hd_sent_peer,
    input  wire [4:0]         hd_sent_type,
    output wire               goback_valid,
    output wire [PEER_W-1:0]  goback_peer,
    input  wire [PEERS_N-1:0] outstanding,
    input  wire [PEERS_N-1:0] waiting,
    input  wire               progress_valid,
    input  wire [PEER_W-1:0]  progress_peer,

    output wire [PEERS_N-1:0] failed,       // level
    output wire [PEERS_N-1:0] restarted,    // pulse

    input  wire               cfg_we,
    input  wire [27:0]        cfg_addr,
    input  wire [88:0]        cfg_data,

    output wire [4*32-1:0]    sts_count
);

localparam TIME_W = 25;     // twice the longest time

localparam [4:0] TYPE_DATA = 5'd0, TYPE_HELLO = 5'd3, TYPE_HELLO_ACK = 5'd4;

generate
if (PEERS_N < 2 || PEERS_N > 64 || (1 << PEER_W) != PEERS_N) begin : g_peers
    PARAM_ERROR_net_link_PEERS_N_power_of_two_to_64 u_err ();
end
endgenerate

// (e - known) mod 255 is 1 to 127, for e and known from 1 to 255: e - known is 1 to 127, or at most -128
function ahead(input [7:0] e, input [7:0] known);
    reg less, same;     // of the low seven bits
    begin
        less  = (e[6:0] < known[6:0]);
        same  = (e[6:0] == known[6:0]);
        ahead = (e[7] == known[7]) ? !less && !same : e[7] ? less : less || same;
    end
endfunction

function [7:0] next_epoch(input [7:0] e);
    next_epoch = (e == 8'd255) ? 8'd1 : e + 8'd1;
endfunction

function [PEERS_N-1:0] one_hot(input enable, input [PEER_W-1:0] index);
    one_hot = enable ? ({{(PEERS_N-1){1'b0}}, 1'b1} << index) : {PEERS_N{1'b0}};
endfunction

// ---- registers

reg [PEERS_N-1:0] known_reg;
reg [23:0]        rto_reg, retries_reg, keep_reg;

reg               cfg_peer_reg, cfg_valid_reg;      // PEER is looked at one cycle later
reg [PEER_W-1:0]  cfg_index_reg;
wire              unused    = &{1'b0, cfg_data[88:81], cfg_data[79:24]};
wire [PEERS_N-1:0] cfg_mask     = one_hot(cfg_peer_reg && cfg_valid_reg, cfg_index_reg);     // becomes known
wire [PEERS_N-1:0] cfg_off_mask = one_hot(cfg_peer_reg && !cfg_valid_reg, cfg_index_reg);    // is forgotten
wire              cfg_value = cfg_we && cfg_addr[27:24] == 4'd2;

// ---- events: e0 (ev_*) reads the entry of the peer and compares, e1 applies the rules

reg               e1_valid_reg, e1_right_reg, e1_hello_reg, e1_helloack_reg;
reg [PEER_W-1:0]  e1_peer_reg;
reg [PEERS_N-1:0] e1_mask_reg;          // the peer, one hot
reg [4:0]         e1_type_reg;
reg [7:0]         e1_epoch_reg, e1_took_reg, e1_credit_reg;
reg               e1_some_reg, e1_ack_some_reg;
reg [23:0]        e1_ack_reg;

reg               fail_valid_reg;       // a link that is to fail
reg               fail_read_reg;        // its entry has been read
reg [PEER_W-1:0]  fail_peer_reg;
reg [15:0]        fail_entry_reg;       // as it will be
reg               fail_mine_some_reg, fail_theirs_some_reg;

reg [PEERS_N-1:0] up_reg, ever_reg, failed_reg, hello_reg, helloack_reg;
reg [PEERS_N-1:0] hello_new_reg, helloack_new_reg;      // became due in the cycle before
reg [PEERS_N-1:0] sent_reg;             // hd_sent is looked at one cycle later: its peer, one hot
reg               sent_hello_reg, sent_helloack_reg;
reg [PEERS_N-1:0] touched_reg;          // progress since the peer was visited
reg [PEERS_N-1:0] heard_reg;            // a valid frame since then
reg [PEERS_N-1:0] silent_reg;           // none for KEEP cycles
reg [PEERS_N-1:0] busy_reg;             // (a) or (b) when the peer was visited
reg               reset_reg;            // an entry was written in the cycle before

wire [PEERS_N-1:0] hello_told    = sent_reg & {PEERS_N{sent_hello_reg}} & ~hello_new_reg;
wire [PEERS_N-1:0] helloack_told = sent_reg & {PEERS_N{sent_helloack_reg}} & ~helloack_new_reg;
wire              fail_turn = fail_read_reg && !e1_valid_reg && !reset_reg;
wire              fail_go   = fail_turn && !touched_reg[fail_peer_reg];
wire [PEERS_N-1:0] fail_mask = one_hot(fail_go, fail_peer_reg);
wire [PEER_W-1:0] peer      = e1_valid_reg ? e1_peer_reg : fail_peer_reg;

// Entries {mine, theirs}: epochs that are not known have no mark, and count as 0. e0 compares with what the table says (old_*), and with what the
// cycle before it writes at this moment (new_*); which of the two is true is known in e1
reg [PEERS_N-1:0] mine_some_reg, theirs_some_reg;
reg               new_mine_reg, new_theirs_reg;         // mine, theirs of the peer was written while it was read
reg               old_mine_some_reg, old_theirs_some_reg;
reg               old_same_reg, old_ahead_reg, old_ack_same_reg, old_ack_ahead_reg, new_same_reg, new_ahead_reg, new_ack_same_reg, new_ack_ahead_reg;
reg  [15:0]       old_reg, new_reg;
wire [15:0]       ev_read;
wire [7:0]        ev_mine = e1_valid_reg ? e1_took_reg : fail_entry_reg[15:8];

wire mine_some   = new_mine_reg || old_mine_some_reg;
wire theirs_some = new_theirs_reg || old_theirs_some_reg;
wire same        = (new_theirs_reg ? new_same_reg : old_same_reg) && theirs_some && e1_some_reg;
wire is_ahead    = (new_theirs_reg ? new_ahead_reg : old_ahead_reg) || !theirs_some;
wire ack_same    = (new_mine_reg ? new_ack_same_reg : old_ack_same_reg) && mine_some && e1_ack_some_reg;
wire ack_ahead   = ((new_mine_reg ? new_ack_ahead_reg : old_ack_ahead_reg) && e1_ack_some_reg) || !mine_some;

// rule 1
wire newer       = (e1_hello_reg || e1_helloack_reg) && e1_some_reg && is_ahead;
// rule 2
wire takes       = e1_helloack_reg && (!e1_some_reg || same || is_ahead) && ack_ahead;
// rule 3; where rule 2 changes mine, the epoch acknowledged was not the one it had, and is not the one it has now
wire right       = ack_same && (same || newer) && (e1_hello_reg || e1_helloack_reg || e1_right_reg);
wire changed     = newer || takes;
// rule 5
wire hello_now   = !right && (takes || (newer && mine_some));

wire        new_mine = takes || (fail_go && fail_mine_some_reg);
wire        write    = changed || fail_go;
wire [15:0] entry   = fail_go ? fail_entry_reg : {takes ? e1_took_reg : new_mine_reg ? new_reg[15:8] : old_reg[15:8],
                                                  newer ? e1_epoch_reg : new_theirs_reg ? new_reg[7:0] : old_reg[7:0]};
wire        entry_mine_some   = fail_go ? fail_mine_some_reg : takes || mine_some;
wire        entry_theirs_some = fail_go ? fail_theirs_some_reg : newer || theirs_some;
wire [PEERS_N-1:0] write_mask = (e1_mask_reg & {PEERS_N{changed}}) | fail_mask;

axis_lutram #(.DATA_W(16), .DEPTH(PEERS_N)) u_epochs (
    .clk(clk), .wr_en(write), .wr_addr(peer), .wr_data(entry), .rd_addr(ev_peer), .rd_data(ev_read)
);

wire [15:0] fail_read;

axis_lutram #(.DATA_W(16), .DEPTH(PEERS_N)) u_epochs_fail (
    .clk(clk), .wr_en(write), .wr_addr(peer), .wr_data(entry), .rd_addr(fail_peer_reg), .rd_data(fail_read)
);

wire [15:0] lk_read;

axis_lutram #(.DATA_W(16), .DEPTH(PEERS_N)) u_epochs_rx (
    .clk(clk), .wr_en(write), .wr_addr(peer), .wr_data(entry), .rd_addr(lk_peer), .rd_data(lk_read)
);

// what is written in the cycle of the question is answered too
reg  [7:0]  lk_mine_reg, lk_theirs_reg;

assign lk_mine   = lk_mine_reg;
assign lk_theirs = lk_theirs_reg;

wire [15:0] hd_read;

axis_lutram #(.DATA_W(16), .DEPTH(PEERS_N)) u_epochs_tx (
    .clk(clk), .wr_en(write), .wr_addr(peer), .wr_data(entry), .rd_addr(lk_hd_peer), .rd_data(hd_read)
);

assign lk_hd_mine   = mine_some_reg[lk_hd_peer] ? hd_read[15:8] : 8'd0;
assign lk_hd_theirs = theirs_some_reg[lk_hd_peer] ? hd_read[7:0] : 8'd0;

// ---- timers: q0 reads what is known of the peer, q1 decides and writes it

reg               q1_reg;           // second cycle of the visit
reg [PEER_W-1:0]  q_peer_reg;
reg [PEERS_N-1:0] q_mask_reg;       // one hot
reg [TIME_W-1:0]  now_reg, q_age_reg, q_quiet_reg;
reg [23:0]        q_count_reg;
reg               q_known_reg, q_up_reg, q_failed_reg, q_busy_reg;
reg               q_sent_reg;       // (a)
reg               q_waits_reg;      // (b)
reg               q_silent_reg;     // (c)
reg [23:0]        retries_less_reg; // retries_reg - 1
reg               retries_none_reg;

wire [TIME_W-1:0] last, heard_at;
wire [23:0]       count;

wire q_counts  = (q_sent_reg || q_waits_reg || q_silent_reg) && !q_failed_reg;
wire q_runs    = q_counts || (q_known_reg && !q_up_reg);
wire q_late    = (q_age_reg >= {1'b0, rto_reg});
wire q_touched = touched_reg[q_peer_reg];
wire q_heard   = heard_reg[q_peer_reg];
// while a link waits to fail nobody else is visited
wire q_act     = q1_reg && !fail_valid_reg;
// the timer begins with its reason: what is sent late in a silence is not sent again by the timer of the silence
wire q_begins  = (q_sent_reg || q_waits_reg) && !q_busy_reg;
wire q_restart = q_act && (q_touched || !q_runs || q_begins);
wire q_expire  = q_act && !q_touched && q_runs && !q_begins && q_late;
wire q_most    = (q_count_reg >= retries_less_reg) || retries_none_reg;
wire q_fails   = q_expire && q_counts && q_most;
wire q_again   = q_expire && q_counts && !q_fails && q_sent_reg;
wire q_hello   = q_expire && !q_fails && q_known_reg && (q_waits_reg || q_silent_reg || !q_up_reg);
wire [PEERS_N-1:0] q_mask = q_mask_reg & {PEERS_N{q_act}};

net_table #(.DATA_W(TIME_W), .DEPTH(PEERS_N)) u_last (
    .clk(clk), .clear(rst), .wr_en(q_restart || q_expire), .wr_addr(q_peer_reg), .wr_data(now_reg), .rd_addr(q_peer_reg), .rd_data(last)
);

net_table #(.DATA_W(24), .DEPTH(PEERS_N)) u_count (
    .clk(clk), .clear(rst), .wr_en(q_restart || (q_expire && q_counts)), .wr_addr(q_peer_reg),
    .wr_data((q_restart || q_most) ? 24'd0 : q_count_reg + 24'd1), .rd_addr(q_peer_reg), .rd_data(count)
);

net_table #(.DATA_W(TIME_W), .DEPTH(PEERS_N)) u_heard (
    .clk(clk), .clear(rst), .wr_en(q_act && q_heard), .wr_addr(q_peer_reg), .wr_data(now_reg), .rd_addr(q_peer_reg), .rd_data(heard_at)
);

// ---- state

reg               goback_reg, out_valid_reg, out_right_reg, restarted_reg, expired_reg;
reg [PEER_W-1:0]  reset_peer_reg, goback_peer_reg, out_peer_reg;
reg [4:0]         out_type_reg;
reg [23:0]        out_ack_reg;
reg [7:0]         out_credit_reg;
reg [31:0]        n_expire_reg, n_failed_reg, n_restarted_reg, n_answered_reg;
reg [PEERS_N-1:0] restarted_mask_reg;

assign link_reset      = reset_reg;
assign link_reset_peer = reset_peer_reg;
assign lk_ev_valid     = out_valid_reg;
assign lk_ev_peer      = out_peer_reg;
assign lk_ev_type      = out_type_reg;
assign lk_ev_ack       = out_ack_reg;
assign lk_ev_credit    = out_credit_reg;
assign lk_ev_right     = out_right_reg;
assign up              = up_reg;
assign discard         = failed_reg;
assign failed          = failed_reg;
assign hello_due       = hello_reg & ~hello_told;
assign helloack_due    = helloack_reg & ~helloack_told;
assign goback_valid    = goback_reg;
assign goback_peer     = goback_peer_reg;
assign restarted       = restarted_mask_reg;
assign sts_count       = {n_answered_reg, n_restarted_reg, n_failed_reg, n_expire_reg};

always @(posedge clk) begin
    now_reg          <= now_reg + 1'b1;
    retries_less_reg <= retries_reg - 24'd1;
    retries_none_reg <= (retries_reg == 24'd0);

    // e0
    lk_mine_reg      <= (peer == lk_peer && new_mine) ? ev_mine : mine_some_reg[lk_peer] ? lk_read[15:8] : 8'd0;
    lk_theirs_reg    <= (peer == lk_peer && newer) ? e1_epoch_reg : theirs_some_reg[lk_peer] ? lk_read[7:0] : 8'd0;
    new_mine_reg     <= peer == ev_peer && new_mine;
    new_theirs_reg   <= peer == ev_peer && newer;
    new_reg          <= {ev_mine, e1_epoch_reg};
    new_same_reg      <= (ev_epoch == e1_epoch_reg);
    new_ahead_reg     <= ahead(ev_epoch, e1_epoch_reg);
    new_ack_same_reg  <= (ev_ack_epoch == ev_mine);
    new_ack_ahead_reg <= ahead(ev_ack_epoch, ev_mine);
    old_reg             <= ev_read;
    old_mine_some_reg   <= mine_some_reg[ev_peer];
    old_theirs_some_reg <= theirs_some_reg[ev_peer];
    old_same_reg        <= (ev_epoch == ev_read[7:0]);
    old_ahead_reg       <= ahead(ev_epoch, ev_read[7:0]);
    old_ack_same_reg    <= (ev_ack_epoch == ev_read[15:8]);
    old_ack_ahead_reg   <= ahead(ev_ack_epoch, ev_read[15:8]);
    e1_valid_reg     <= ev_valid;
    e1_hello_reg     <= ev_valid && ev_type == TYPE_HELLO;
    e1_helloack_reg  <= ev_valid && ev_type == TYPE_HELLO_ACK;
    e1_peer_reg      <= ev_peer;
    e1_mask_reg      <= one_hot(ev_valid, ev_peer);
    e1_type_reg      <= ev_type;
    e1_epoch_reg     <= ev_epoch;
    e1_some_reg      <= (ev_epoch != 8'd0);
    e1_ack_some_reg  <= (ev_ack_epoch != 8'd0);
    e1_took_reg      <= next_epoch(ev_ack_epoch);
    e1_ack_reg       <= ev_ack;
    e1_credit_reg    <= ev_credit;
    e1_right_reg     <= ev_valid && ev_right;

    // e1
    mine_some_reg   <= (mine_some_reg & ~write_mask) | (write_mask & {PEERS_N{entry_mine_some}});
    theirs_some_reg <= (theirs_some_reg & ~write_mask) | (write_mask & {PEERS_N{entry_theirs_some}});
    out_valid_reg  <= e1_valid_reg;
    out_peer_reg   <= e1_peer_reg;
    out_type_reg   <= (e1_hello_reg || e1_helloack_reg) ? TYPE_DATA : e1_type_reg;   // only a nack is more than an acknowledgement
    out_ack_reg    <= e1_ack_reg;
    out_credit_reg <= e1_credit_reg;
    out_right_reg  <= right;
    reset_reg      <= write;
    reset_peer_reg <= peer;
    goback_reg      <= q_again;
    goback_peer_reg <= q_peer_reg;

    // a visit: its flags begin anew, and what happens in this cycle is kept for the next
    if (!fail_valid_reg) begin
        q1_reg <= !q1_reg;
        if (q1_reg) begin
            q_peer_reg <= q_peer_reg + 1'b1;
            q_mask_reg <= {q_mask_reg[PEERS_N-2:0], q_mask_reg[PEERS_N-1]};
        end
        q_age_reg    <= now_reg - last;
        q_quiet_reg  <= now_reg - heard_at;
        q_count_reg  <= count;
        q_known_reg  <= known_reg[q_peer_reg];
        q_up_reg     <= up_reg[q_peer_reg];
        q_failed_reg <= failed_reg[q_peer_reg];
        q_busy_reg   <= busy_reg[q_peer_reg];
        q_sent_reg   <= up_reg[q_peer_reg] && outstanding[q_peer_reg];
        q_waits_reg  <= waiting[q_peer_reg];
        q_silent_reg <= ever_reg[q_peer_reg] && silent_reg[q_peer_reg];
    end
    busy_reg    <= (busy_reg & ~q_mask) | (q_mask & {PEERS_N{q_sent_reg || q_waits_reg}});
    heard_reg   <= (heard_reg & ~q_mask) | (e1_mask_reg & {PEERS_N{right}});
    touched_reg <= (touched_reg & ~q_mask) | one_hot(progress_valid, progress_peer)
                   | (e1_mask_reg & ({PEERS_N{e1_helloack_reg}} | ~up_reg) & {PEERS_N{right}});
    silent_reg  <= ((silent_reg & ~(q_mask & {PEERS_N{q_heard || keep_reg == 24'd0}}))
                    | (q_mask & {PEERS_N{!q_heard && keep_reg != 24'd0 && q_quiet_reg >= {1'b0, keep_reg}}})) & ~(e1_mask_reg & {PEERS_N{right}});

    // what was sent is no longer due; what became due in that cycle, or does in this one, is
    sent_reg          <= one_hot(hd_sent, hd_sent_peer);
    sent_hello_reg    <= (hd_sent_type == TYPE_HELLO);
    sent_helloack_reg <= (hd_sent_type == TYPE_HELLO_ACK);
    hello_new_reg     <= (q_mask_reg & {PEERS_N{q_hello}}) | (fail_mask & known_reg) | (e1_mask_reg & {PEERS_N{hello_now}}) | (cfg_mask & ~up_reg);
    helloack_new_reg  <= e1_mask_reg & {PEERS_N{e1_hello_reg}};
    hello_reg    <= ((((hello_reg & ~hello_told & ~fail_mask) | (q_mask_reg & {PEERS_N{q_hello}}) | (fail_mask & known_reg))
                      & ~(e1_mask_reg & ~up_reg & {PEERS_N{right}}))
                     | (e1_mask_reg & {PEERS_N{hello_now}}) | (cfg_mask & ~up_reg)) & ~cfg_off_mask;
    helloack_reg <= (helloack_reg & ~helloack_told) | (e1_mask_reg & {PEERS_N{e1_hello_reg}});

    if (q_fails)        fail_valid_reg <= 1'b1;
    else if (fail_turn) fail_valid_reg <= 1'b0;
    if (q_fails) fail_peer_reg <= q_peer_reg;
    fail_read_reg        <= fail_valid_reg && !fail_turn;
    fail_entry_reg       <= {next_epoch(fail_read[15:8]), fail_read[7:0]};
    fail_mine_some_reg   <= mine_some_reg[fail_peer_reg];
    fail_theirs_some_reg <= theirs_some_reg[fail_peer_reg];

    up_reg     <= (up_reg & ~write_mask) | (e1_mask_reg & {PEERS_N{right}});
    ever_reg   <= ever_reg | (e1_mask_reg & {PEERS_N{right}});
    failed_reg <= (failed_reg | fail_mask) & ~(e1_mask_reg & {PEERS_N{right}});
    restarted_mask_reg <= e1_mask_reg & {PEERS_N{newer && theirs_some}};
    restarted_reg <= newer && theirs_some;
    expired_reg   <= q_expire && q_counts;

    cfg_peer_reg  <= cfg_we && cfg_addr[27:16] == {4'd1, 8'd0};
    cfg_valid_reg <= cfg_data[80];
    cfg_index_reg <= cfg_addr[PEER_W-1:0];
    known_reg     <= (known_reg | cfg_mask) & ~cfg_off_mask;
    if (cfg_value && cfg_addr[23:0] == 24'd1) rto_reg     <= cfg_data[23:0];
    if (cfg_value && cfg_addr[23:0] == 24'd2) retries_reg <= cfg_data[23:0];
    if (cfg_value && cfg_addr[23:0] == 24'd3) keep_reg    <= cfg_data[23:0];

    n_expire_reg    <= n_expire_reg    + {31'd0, expired_reg};
    n_failed_reg    <= n_failed_reg    + {31'd0, fail_go};
    n_restarted_reg <= n_restarted_reg + {31'd0, restarted_reg};
    n_answered_reg  <= n_answered_reg  + {31'd0, e1_hello_reg};

    if (rst) begin
        known_reg          <= {PEERS_N{1'b0}};
        cfg_peer_reg       <= 1'b0;
        rto_reg            <= 24'd4096;
        retries_reg        <= 24'd24;
        keep_reg           <= 24'd32768;
        e1_valid_reg       <= 1'b0;
        e1_hello_reg       <= 1'b0;
        e1_helloack_reg    <= 1'b0;
        e1_right_reg       <= 1'b0;
        e1_mask_reg        <= {PEERS_N{1'b0}};
        mine_some_reg      <= {PEERS_N{1'b0}};
        theirs_some_reg    <= {PEERS_N{1'b0}};
        fail_valid_reg     <= 1'b0;
        fail_read_reg      <= 1'b0;
        up_reg             <= {PEERS_N{1'b0}};
        ever_reg           <= {PEERS_N{1'b0}};
        failed_reg         <= {PEERS_N{1'b0}};
        hello_reg          <= {PEERS_N{1'b0}};
        sent_reg           <= {PEERS_N{1'b0}};
        helloack_reg       <= {PEERS_N{1'b0}};
        touched_reg        <= {PEERS_N{1'b0}};
        heard_reg          <= {PEERS_N{1'b0}};
        silent_reg         <= {PEERS_N{1'b0}};
        busy_reg           <= {PEERS_N{1'b0}};
        q1_reg             <= 1'b0;
        q_peer_reg         <= {PEER_W{1'b0}};
        q_mask_reg         <= {{(PEERS_N-1){1'b0}}, 1'b1};
        now_reg            <= {TIME_W{1'b0}};
        reset_reg          <= 1'b0;
        goback_reg         <= 1'b0;
        out_valid_reg      <= 1'b0;
        restarted_reg      <= 1'b0;
        expired_reg        <= 1'b0;
        restarted_mask_reg <= {PEERS_N{1'b0}};
        n_expire_reg       <= 32'd0;
        n_failed_reg       <= 32'd0;
        n_restarted_reg    <= 32'd0;
        n_answered_reg     <= 32'd0;
    end
end

endmodule

`resetall
