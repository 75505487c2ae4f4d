// SPDX-License-Identifier: Apache-2.0
// Links of an Ethernet port: epochs, up and failed, timers, hello. Rules: docs/transport.md, sections 4 and 5.
//
// Epochs. ev_* is registered (e1); in the next cycle the rules of section 4 are applied to the entry of its peer as one read and write, and the event
// goes on to net_eth_tx as lk_ev_*, with lk_ev_right judged by the epochs after the rules. What follows from one event is seen in one cycle:
// link_reset, changed epochs, up, failed, lk_ev_*; a hello that resets the link counts as an acknowledgement in the new epochs.
// Timers. The peers are visited in turn, one every two cycles; what happened to a peer meanwhile is kept in flags until then. A time ends
// at a visit: up to two rounds of 2 * PEERS_N cycles late, one round early where it runs from the begin of its reason and not from progress.
// A link that fails waits for a cycle without an event, and does not fail if there was progress until then. Its mine stays 0 if it is not known yet.
//
// Latency ev_valid -> lk_ev_*, link_reset 2 cycles, -> hello_due, helloack_due 2; one event a cycle. lk_peer -> lk_mine, lk_theirs 1 cycle.
// Configuration: memory 1 PEER[node], only valid (bit 80); memory 2 REGISTER 1 RTO, 2 RETRIES, 3 KEEP, 24 bits. Reset clears PEER, and the registers
// have their defaults. sts_count: expiries, links failed, peers restarted, hellos answered (hello-acks that became due).
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

// (e - known) mod 255 is 1 to 127, for e and known from 1 to 255
function ahead(input [7:0] e, input [7:0] known);
    reg [8:0] d;
    begin
        d     = {1'b0, e} - {1'b0, known};      // 1 to 127, or at most -128
        ahead = d[8] ? (!d[7] || d[6:0] == 7'd0) : (!d[7] && d[6:0] != 7'd0);
    end
endfunction

function [7:0] next_epoch(input [7:0] e);
    next_epoch = (e == 8'd255) ? 8'd1 : e + 8'd1;
endfunction

// ---- registers

reg [PEERS_N-1:0] known_reg;
reg [23:0]        rto_reg, retries_reg, keep_reg;

wire              cfg_peer  = cfg_we && cfg_addr[27:24] == 4'd1 && (cfg_addr[23:0] >> PEER_W) == 24'd0;
wire [PEER_W-1:0] cfg_index = cfg_addr[PEER_W-1:0];
wire              unused    = &{1'b0, cfg_data[88:81], cfg_data[79:24]};
wire              cfg_value = cfg_we && cfg_addr[27:24] == 4'd2;

// ---- events

reg              e1_valid_reg, e1_right_reg;
reg [PEER_W-1:0] e1_peer_reg;
reg [4:0]        e1_type_reg;
reg [7:0]        e1_epoch_reg, e1_ack_epoch_reg, e1_credit_reg;
reg [23:0]       e1_ack_reg;

reg              fail_valid_reg;        // a link that is to fail
reg [PEER_W-1:0] fail_peer_reg;

reg [PEERS_N-1:0] up_reg, ever_reg, failed_reg, hello_reg, helloack_reg;
reg [PEERS_N-1:0] hello_new_reg, helloack_new_reg;      // became due in the cycle before
reg               sent_hello_reg, sent_helloack_reg;    // hd_sent is looked at one cycle later
reg [PEER_W-1:0]  sent_peer_reg;
reg [PEERS_N-1:0] touched_reg;          // progress since the peer was visited
reg [PEERS_N-1:0] heard_reg;            // a valid frame since then
reg [PEERS_N-1:0] silent_reg;           // none for KEEP cycles
reg [PEERS_N-1:0] busy_reg;             // (a) or (b) when the peer was visited

wire [PEERS_N-1:0] hello_told    = ({{(PEERS_N-1){1'b0}}, sent_hello_reg} << sent_peer_reg) & ~hello_new_reg;
wire [PEERS_N-1:0] helloack_told = ({{(PEERS_N-1){1'b0}}, sent_helloack_reg} << sent_peer_reg) & ~helloack_new_reg;
wire              fail_turn = fail_valid_reg && !e1_valid_reg;
wire              fail_go   = fail_turn && !touched_reg[fail_peer_reg];
wire [PEER_W-1:0] peer      = e1_valid_reg ? e1_peer_reg : fail_peer_reg;
wire [7:0]        mine, theirs, fail_mine, fail_theirs;
wire [15:0]       ev_read;
reg               ev_hit_reg;           // the entry of e1 was written while it was read: entry_reg
reg  [15:0]       ev_read_reg, entry_reg;

assign {mine, theirs} = ev_hit_reg ? entry_reg : ev_read_reg;

wire e1_hello    = e1_valid_reg && e1_type_reg == TYPE_HELLO;
wire e1_helloack = e1_valid_reg && e1_type_reg == TYPE_HELLO_ACK;
wire e1_some     = (e1_epoch_reg != 8'd0);
wire e1_same     = (e1_epoch_reg == theirs);
// rule 1
wire newer       = (e1_hello || e1_helloack) && e1_some && (theirs == 8'd0 || ahead(e1_epoch_reg, theirs));
// rule 2
wire takes       = e1_helloack && (!e1_some || e1_same || newer)
                   && (mine == 8'd0 || (e1_ack_epoch_reg != 8'd0 && ahead(e1_ack_epoch_reg, mine)));
wire [7:0] mine_took = next_epoch(e1_ack_epoch_reg);
// rule 3; after rule 2 mine is another epoch than the one acknowledged
wire right       = e1_valid_reg && e1_some && e1_ack_epoch_reg != 8'd0 && (newer || e1_same) && !takes && e1_ack_epoch_reg == mine
                   && (e1_hello || e1_helloack || e1_right_reg);
wire changed     = newer || takes;
wire is_up       = right || (up_reg[e1_peer_reg] && !changed);
// rule 5
wire hello_now   = changed && !is_up && (takes || mine != 8'd0);

wire        write   = changed || fail_go;
wire [15:0] entry   = {fail_go ? ((fail_mine == 8'd0) ? 8'd0 : next_epoch(fail_mine)) : takes ? mine_took : mine, fail_go ? fail_theirs : newer ? e1_epoch_reg : theirs};

net_table #(.DATA_W(16), .DEPTH(PEERS_N)) u_epochs (
    .clk(clk), .clear(rst), .wr_en(write), .wr_addr(peer), .wr_data(entry), .rd_addr(ev_peer), .rd_data(ev_read)
);

net_table #(.DATA_W(16), .DEPTH(PEERS_N)) u_epochs_fail (
    .clk(clk), .clear(rst), .wr_en(write), .wr_addr(peer), .wr_data(entry), .rd_addr(fail_peer_reg), .rd_data({fail_mine, fail_theirs})
);

wire [15:0] lk_read;

net_table #(.DATA_W(16), .DEPTH(PEERS_N)) u_epochs_rx (
    .clk(clk), .clear(rst), .wr_en(write), .wr_addr(peer), .wr_data(entry), .rd_addr(lk_peer), .rd_data(lk_read)
);

// what was written in the cycle of the question is answered too
reg         lk_hit_reg;
reg  [15:0] lk_read_reg;

assign {lk_mine, lk_theirs} = lk_hit_reg ? entry_reg : lk_read_reg;

net_table #(.DATA_W(16), .DEPTH(PEERS_N)) u_epochs_tx (
    .clk(clk), .clear(rst), .wr_en(write), .wr_addr(peer), .wr_data(entry), .rd_addr(lk_hd_peer), .rd_data({lk_hd_mine, lk_hd_theirs})
);

// ---- timers: q0 reads the entry of the peer, q1 decides and writes it

reg               q1_reg;           // second cycle of the visit
reg [PEER_W-1:0]  q_peer_reg;
reg [TIME_W-1:0]  now_reg, q_age_reg, q_quiet_reg;
reg [23:0]        q_count_reg;
reg [23:0]        retries_less_reg;     // retries_reg - 1
reg               retries_none_reg;

wire [TIME_W-1:0] last, heard_at;
wire [23:0]       count;

wire q_known   = known_reg[q_peer_reg];
wire q_up      = up_reg[q_peer_reg];
wire q_failed  = failed_reg[q_peer_reg];
wire q_sent    = q_up && outstanding[q_peer_reg];                       // (a)
wire q_waits   = waiting[q_peer_reg];                                   // (b)
wire q_silent  = ever_reg[q_peer_reg] && silent_reg[q_peer_reg];        // (c)
wire q_counts  = (q_sent || q_waits || q_silent) && !q_failed;
wire q_runs    = q_counts || (q_known && !q_up);
wire q_late    = (q_age_reg >= {1'b0, rto_reg});
wire q_touched = touched_reg[q_peer_reg];
wire q_heard   = heard_reg[q_peer_reg];
// while a link waits to fail nobody else is visited
wire q_act     = q1_reg && !fail_valid_reg;
// the timer begins with its reason: what is sent late in a silence is not sent again by the timer of the silence
wire q_begins  = (q_sent || q_waits) && !busy_reg[q_peer_reg];
wire q_restart = q_act && (q_touched || !q_runs || q_begins);
wire q_expire  = q_act && !q_touched && q_runs && !q_begins && q_late;
wire q_fails   = q_expire && q_counts && (q_count_reg >= retries_less_reg || retries_none_reg);
wire q_again   = q_expire && q_counts && !q_fails && q_sent;
wire q_hello   = q_expire && !q_fails && q_known && (q_waits || q_silent || !q_up);

net_table #(.DATA_W(TIME_W), .DEPTH(PEERS_N)) u_last (
    .clk(clk), .clear(rst), .wr_en(q_restart || q_expire), .wr_addr(q_peer_reg), .wr_data(now_reg), .rd_addr(q_peer_reg), .rd_data(last)
);

net_table #(.DATA_W(24), .DEPTH(PEERS_N)) u_count (
    .clk(clk), .clear(rst), .wr_en(q_restart || (q_expire && q_counts)), .wr_addr(q_peer_reg),
    .wr_data((q_restart || q_fails) ? 24'd0 : q_count_reg + 24'd1), .rd_addr(q_peer_reg), .rd_data(count)
);

net_table #(.DATA_W(TIME_W), .DEPTH(PEERS_N)) u_heard (
    .clk(clk), .clear(rst), .wr_en(q_act && q_heard), .wr_addr(q_peer_reg), .wr_data(now_reg), .rd_addr(q_peer_reg), .rd_data(heard_at)
);

// ---- state

reg               reset_reg, goback_reg, out_valid_reg, out_right_reg, restarted_reg;
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
    lk_hit_reg       <= write && peer == lk_peer;
    ev_hit_reg       <= write && peer == ev_peer;
    ev_read_reg      <= ev_read;
    retries_less_reg <= retries_reg - 24'd1;
    retries_none_reg <= (retries_reg == 24'd0);
    lk_read_reg      <= lk_read;
    entry_reg        <= entry;
    e1_valid_reg     <= ev_valid;
    e1_peer_reg      <= ev_peer;
    e1_type_reg      <= ev_type;
    e1_epoch_reg     <= ev_epoch;
    e1_ack_epoch_reg <= ev_ack_epoch;
    e1_ack_reg       <= ev_ack;
    e1_credit_reg    <= ev_credit;
    e1_right_reg     <= ev_right;

    out_valid_reg  <= e1_valid_reg;
    out_peer_reg   <= e1_peer_reg;
    out_type_reg   <= (e1_hello || e1_helloack) ? TYPE_DATA : e1_type_reg;   // only a nack is more than an acknowledgement
    out_ack_reg    <= e1_ack_reg;
    out_credit_reg <= e1_credit_reg;
    out_right_reg  <= right;
    reset_reg      <= write;
    reset_peer_reg <= peer;
    goback_reg     <= q_again;
    goback_peer_reg <= q_peer_reg;
    restarted_mask_reg <= {PEERS_N{1'b0}};

    // a visit: its flags begin anew, and what happens in this cycle is kept for the next
    if (!fail_valid_reg) begin
        q1_reg <= !q1_reg;
        if (q1_reg) begin
            q_peer_reg <= q_peer_reg + 1'b1;
            touched_reg[q_peer_reg] <= 1'b0;
            heard_reg[q_peer_reg]   <= 1'b0;
            busy_reg[q_peer_reg]    <= q_sent || q_waits;
            if (q_heard || keep_reg == 24'd0)           silent_reg[q_peer_reg] <= 1'b0;
            else if (q_quiet_reg >= {1'b0, keep_reg})   silent_reg[q_peer_reg] <= 1'b1;
        end
        q_age_reg   <= now_reg - last;
        q_quiet_reg <= now_reg - heard_at;
        q_count_reg <= count;
    end

    // what was sent is no longer due; what became due in that cycle, or does in this one, is
    sent_hello_reg    <= hd_sent && hd_sent_type == TYPE_HELLO;
    sent_helloack_reg <= hd_sent && hd_sent_type == TYPE_HELLO_ACK;
    sent_peer_reg     <= hd_sent_peer;
    hello_new_reg     <= {PEERS_N{1'b0}};
    helloack_new_reg  <= {PEERS_N{1'b0}};
    hello_reg    <= hello_reg & ~hello_told;
    helloack_reg <= helloack_reg & ~helloack_told;
    if (q_hello) begin
        hello_reg[q_peer_reg]     <= 1'b1;
        hello_new_reg[q_peer_reg] <= 1'b1;
    end

    if (q_fails) begin
        fail_valid_reg <= 1'b1;
        fail_peer_reg  <= q_peer_reg;
    end else if (fail_turn) begin
        fail_valid_reg <= 1'b0;
    end
    if (fail_go) begin
        up_reg[fail_peer_reg]     <= 1'b0;
        failed_reg[fail_peer_reg] <= 1'b1;
        hello_reg[fail_peer_reg]     <= known_reg[fail_peer_reg];
        hello_new_reg[fail_peer_reg] <= known_reg[fail_peer_reg];
    end

    if (progress_valid) touched_reg[progress_peer] <= 1'b1;
    if (e1_valid_reg) begin
        up_reg[e1_peer_reg] <= is_up;
        if (right) begin
            ever_reg[e1_peer_reg]   <= 1'b1;
            failed_reg[e1_peer_reg] <= 1'b0;
            heard_reg[e1_peer_reg]  <= 1'b1;
            silent_reg[e1_peer_reg] <= 1'b0;
            if (e1_helloack || !up_reg[e1_peer_reg]) touched_reg[e1_peer_reg] <= 1'b1;
            if (!up_reg[e1_peer_reg]) hello_reg[e1_peer_reg] <= 1'b0;
        end
        if (hello_now) begin
            hello_reg[e1_peer_reg]     <= 1'b1;
            hello_new_reg[e1_peer_reg] <= 1'b1;
        end
        if (e1_hello) begin
            helloack_reg[e1_peer_reg]     <= 1'b1;
            helloack_new_reg[e1_peer_reg] <= 1'b1;
        end
        if (newer && theirs != 8'd0) restarted_mask_reg[e1_peer_reg] <= 1'b1;
    end
    restarted_reg <= newer && theirs != 8'd0;

    if (cfg_peer) begin
        known_reg[cfg_index] <= cfg_data[80];
        if (!cfg_data[80])           hello_reg[cfg_index] <= 1'b0;
        else if (!up_reg[cfg_index]) begin
            hello_reg[cfg_index]     <= 1'b1;
            hello_new_reg[cfg_index] <= 1'b1;
        end
    end
    if (cfg_value && cfg_addr[23:0] == 24'd1) rto_reg     <= cfg_data[23:0];
    if (cfg_value && cfg_addr[23:0] == 24'd2) retries_reg <= cfg_data[23:0];
    if (cfg_value && cfg_addr[23:0] == 24'd3) keep_reg    <= cfg_data[23:0];

    n_expire_reg    <= n_expire_reg    + {31'd0, q_expire && q_counts};
    n_failed_reg    <= n_failed_reg    + {31'd0, fail_go};
    n_restarted_reg <= n_restarted_reg + {31'd0, restarted_reg};
    n_answered_reg  <= n_answered_reg  + {31'd0, e1_hello};

    if (rst) begin
        known_reg          <= {PEERS_N{1'b0}};
        rto_reg            <= 24'd4096;
        retries_reg        <= 24'd24;
        keep_reg           <= 24'd32768;
        e1_valid_reg       <= 1'b0;
        fail_valid_reg     <= 1'b0;
        up_reg             <= {PEERS_N{1'b0}};
        ever_reg           <= {PEERS_N{1'b0}};
        failed_reg         <= {PEERS_N{1'b0}};
        hello_reg          <= {PEERS_N{1'b0}};
        sent_hello_reg     <= 1'b0;
        sent_helloack_reg  <= 1'b0;
        helloack_reg       <= {PEERS_N{1'b0}};
        touched_reg        <= {PEERS_N{1'b0}};
        heard_reg          <= {PEERS_N{1'b0}};
        silent_reg         <= {PEERS_N{1'b0}};
        busy_reg           <= {PEERS_N{1'b0}};
        q1_reg             <= 1'b0;
        q_peer_reg         <= {PEER_W{1'b0}};
        now_reg            <= {TIME_W{1'b0}};
        reset_reg          <= 1'b0;
        goback_reg         <= 1'b0;
        out_valid_reg      <= 1'b0;
        restarted_reg      <= 1'b0;
        restarted_mask_reg <= {PEERS_N{1'b0}};
        n_expire_reg       <= 32'd0;
        n_failed_reg       <= 32'd0;
        n_restarted_reg    <= 32'd0;
        n_answered_reg     <= 32'd0;
    end
end

endmodule

`resetall
