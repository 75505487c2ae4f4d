// SPDX-License-Identifier: Apache-2.0
// Decides which queue heads of net_switch start: oldest first, a multicast all or nothing, nobody starves. Combinational.
//
// Candidates for output o: the unicast heads for o and the multicast heads whose mask has o, of inputs that are idle; and of busy
// inputs if more than 2**OVERDUE_W stamps were given since they arrived. The oldest candidate wins o (equal stamps: the lower
// input, unicast before multicast). If its input is busy, o waits for it. A multicast is granted when it won all its outputs and all are free; until
// then the outputs it won wait for it. An input that won several outputs takes the oldest.
//
// Ages are one total order, so the oldest message in the switch never waits for a younger one that has not started: no deadlock, and a
// message is passed by a bounded number of others: 2**OVERDUE_W stamps before it is overdue, then only by what is already under way or older.
// Stamps are compared modulo 2**STAMP_W: order is right while fewer than 2**(STAMP_W-1) stamps are given during one wait.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_switch_arb #(
    parameter PORTS     = 5,    // inputs and outputs. Requires 2 to 7
    parameter STAMP_W   = 32,   // width of arrival stamps
    parameter OVERDUE_W = 8     // see above. Requires less than STAMP_W - 1
) (
    input  wire [PORTS*(PORTS+1)-1:0]         head_valid,  // input i, queue q at i*(PORTS+1) + q; queue PORTS is multicast
    input  wire [PORTS*(PORTS+1)*STAMP_W-1:0] head_stamp,
    input  wire [PORTS*PORTS-1:0]             head_mask,   // of input i's multicast head, at i*PORTS
    input  wire [STAMP_W-1:0]                 stamp,       // now
    input  wire [PORTS-1:0]                   idle,        // of inputs
    input  wire [PORTS-1:0]                   out_free,
    output reg  [PORTS-1:0]                   grant,
    output reg  [PORTS*$clog2(PORTS+1)-1:0]   grant_q
);

localparam Q = PORTS + 1;
localparam Q_W = $clog2(PORTS + 1);
localparam I_W = $clog2(PORTS);
localparam [Q_W-1:0] MULTI_Q = PORTS[Q_W-1:0];

generate
if (PORTS < 2 || PORTS > 7) begin : g_ports
    PARAM_ERROR_net_switch_arb_PORTS_2_to_7 u_err ();
end
if (OVERDUE_W < 1 || OVERDUE_W > STAMP_W - 2) begin : g_overdue
    PARAM_ERROR_net_switch_arb_OVERDUE_W_range u_err ();
end
endgenerate

reg [PORTS*PORTS-1:0] won;        // won[i*PORTS + o]: input i's unicast head for o won o
reg [PORTS*PORTS-1:0] won_multi;  // the same for its multicast head
reg [STAMP_W-1:0]     best, this_stamp, age, ahead;
reg                   found;
reg [I_W-1:0]         best_i;
reg                   best_multi;
integer i, o, k;

always @* begin
    i          = 0;
    o          = 0;
    k          = 0;  // a loop variable too must not be kept: no latch
    grant      = {PORTS{1'b0}};
    grant_q    = {PORTS*Q_W{1'b0}};
    won        = {PORTS*PORTS{1'b0}};
    won_multi  = {PORTS*PORTS{1'b0}};
    best       = {STAMP_W{1'b0}};
    this_stamp = {STAMP_W{1'b0}};
    age        = {STAMP_W{1'b0}};
    ahead      = {STAMP_W{1'b0}};
    found      = 1'b0;
    best_i     = {I_W{1'b0}};
    best_multi = 1'b0;
    if (head_valid != {PORTS*Q{1'b0}}) begin
        for (o = 0; o < PORTS; o = o + 1) begin
            found = 1'b0;
            for (i = 0; i < PORTS; i = i + 1) begin
                for (k = 0; k < 2; k = k + 1) begin  // k = 1: the multicast head
                    if ((k == 0) ? head_valid[i*Q + o] : (head_valid[i*Q + PORTS] && head_mask[i*PORTS + o])) begin
                        this_stamp = head_stamp[(i*Q + ((k == 0) ? o : PORTS))*STAMP_W +: STAMP_W];
                        age        = (stamp - this_stamp) >> OVERDUE_W;
                        ahead      = this_stamp - best;  // negative: older than the best so far
                        if ((idle[i] || age != {STAMP_W{1'b0}}) && (!found || ahead[STAMP_W-1])) begin
                            found      = 1'b1;
                            best       = this_stamp;
                            best_i     = i[I_W-1:0];
                            best_multi = (k == 1);
                        end
                    end
                end
            end
            if (found && out_free[o]) begin
                if (best_multi) won_multi[best_i*PORTS + o] = 1'b1;
                else            won[best_i*PORTS + o]       = 1'b1;
            end
        end
        for (i = 0; i < PORTS; i = i + 1) begin
            found = 1'b0;
            if (idle[i]) begin
                for (o = 0; o < PORTS; o = o + 1) begin
                    if (won[i*PORTS + o]) begin
                        this_stamp = head_stamp[(i*Q + o)*STAMP_W +: STAMP_W];
                        ahead      = this_stamp - best;
                        if (!found || ahead[STAMP_W-1]) begin
                            found               = 1'b1;
                            best                = this_stamp;
                            grant[i]            = 1'b1;
                            grant_q[i*Q_W +: Q_W] = o[Q_W-1:0];
                        end
                    end
                end
                if (head_valid[i*Q + PORTS] && won_multi[i*PORTS +: PORTS] == head_mask[i*PORTS +: PORTS]) begin
                    this_stamp = head_stamp[(i*Q + PORTS)*STAMP_W +: STAMP_W];
                    ahead      = this_stamp - best;
                    if (!found || ahead[STAMP_W-1]) begin
                        grant[i]          = 1'b1;
                        grant_q[i*Q_W +: Q_W] = MULTI_Q;
                    end
                end
            end
        end
    end
end

endmodule

`resetall
