// SPDX-License-Identifier: Apache-2.0
// Decides who of net_switch's inputs may send to which outputs, and who owns an output.
//
// Ordinary way: every output that nobody is promised and whose owner is about to leave offers itself to the input that it served least recently,
// among those that are open and have a unicast for it. In the next cycle an input takes one of its offers (net_switch_input). An input that takes
// an offer owns the output at once, or as soon as its owner has left; one input at a time may be promised an output. Two offers of an output are at
// least two cycles apart.
//
// Lane: one message at a time, alternately a multicast (input served least recently) and a late unicast (in a fixed circle), each if
// there is one. Its input and its outputs are held: nothing is offered to or by them, and turns end. When all of them can be had, all are promised
// in the same cycle.
//
// Room: a message is offered an output, and taken into the lane, only while all its outputs have room for it; in the lane it gives way when they
// have not.
// So no output and no input is held for a message that would wait for another node. Otherwise two nodes that multicast to each other could stop.
// When an output's room falls, at most 4 messages more enter its register that were let go before. A sink that counts whole messages and answers
// two cycles later is sent at most 6 messages after what it had when it should have said no; net_eth_tx keeps 8 cells for them.
//
// No deadlock: promises of a message are made in one cycle, so messages wait only for messages promised earlier; holds wait for what
// was promised already, and one message holds at a time.
// Bound: while its outputs have room, a multicast at the head of its queue waits for at most 2*PORTS - 1 others in the lane (every other input's
// multicast once, a unicast before each and before itself), a late unicast for at most 2*PORTS*PORTS - 1 (every other input and output
// once, a multicast before each and before itself). Each of them waits until its input and outputs have finished what they run and what they had
// promised: two messages each at most.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_switch_arb #(
    parameter PORTS = 5     // inputs and outputs. Requires 2 to 7
) (
    input  wire                       clk,
    input  wire                       rst,
    // of input i at i*PORTS, or i*(PORTS+1) with the multicast queue at the top
    input  wire [PORTS*(PORTS+1)-1:0] waiting,
    input  wire [PORTS*PORTS-1:0]     late,
    input  wire [PORTS-1:0]           multi,        // a multicast head that is not promised yet
    input  wire [PORTS*PORTS-1:0]     multi_mask,
    input  wire [PORTS-1:0]           open,
    input  wire [PORTS-1:0]           room,         // output o takes the next messages whole without waiting for another output or node
    output reg  [PORTS*(PORTS+1)-1:0] offer,
    input  wire [PORTS*(PORTS+1)-1:0] took,
    input  wire [PORTS-1:0]           taken,        // of input i: any
    input  wire [PORTS*PORTS-1:0]     ending,       // one cycle ago: outputs that input i is about to leave
    input  wire [PORTS*PORTS-1:0]     left,         // outputs that input i's last beat leaves in this cycle
    output reg  [PORTS-1:0]           shut_in,
    output wire [PORTS-1:0]           hold_in,
    output reg  [PORTS*PORTS-1:0]     shut_out,     // for input i: outputs that are promised to others, or held
    output wire [PORTS-1:0]           hold_out,
    output wire [PORTS*PORTS-1:0]     own           // owner of output o, one hot or none, at o*PORTS
);

localparam Q = PORTS + 1;

generate
if (PORTS < 2 || PORTS > 7) begin : g_ports
    PARAM_ERROR_net_switch_arb_PORTS_2_to_7 u_err ();
end
endgenerate

reg  [PORTS*PORTS-1:0] offer_reg;       // offer_reg[o*PORTS + i]: output o offered itself to input i
reg  [PORTS-1:0]       multi_in_reg;    // the lane's multicast is offered all its outputs
reg  [PORTS*PORTS-1:0] own_reg, next_reg;
reg  [PORTS-1:0]       owned_reg;       // own_reg of output o is not empty
reg  [PORTS-1:0]       promised_reg;    // next_reg of output o is not empty
reg  [PORTS-1:0]       soon;            // output o is free, or its owner is about to leave

reg                    lane_reg, lane_multi_reg, lane_asked_reg, lane_turn_reg;
reg  [PORTS-1:0]       lane_in_reg, lane_mask_reg;      // 0 without lane_reg
reg  [PORTS-1:0]       scan_in_reg, scan_out_reg;
reg                    scan_hit_reg;

reg  [PORTS-1:0]       multi_mask_won, ready_in, ready_out, asked_in, is_late_in;
reg  [PORTS-1:0]       asked_out_reg;   // output o is on offer
reg                    scan_hit, lane_has, lane_took;
wire [PORTS-1:0]       multi_won;
wire [PORTS*PORTS-1:0] won;
reg  [PORTS*PORTS-1:0] owner_taken;     // owner_taken[o*PORTS + i]: input i takes output o now
integer i, o, n;

assign own      = own_reg;
assign hold_in  = lane_in_reg;
assign hold_out = lane_mask_reg | ~room;    // turns end there too

// ---- what is on offer now, and what is taken

always @* begin
    i           = 0;
    o           = 0;  // a loop variable too must not be kept: no latch
    offer       = {PORTS*Q{1'b0}};
    asked_in    = multi_in_reg;
    owner_taken = {PORTS*PORTS{1'b0}};
    lane_took   = 1'b0;
    soon        = {PORTS{1'b0}};
    shut_out    = {PORTS*PORTS{1'b0}};
    for (i = 0; i < PORTS; i = i + 1) begin
        offer[i*Q + PORTS] = multi_in_reg[i];
        for (o = 0; o < PORTS; o = o + 1) begin
            offer[i*Q + o] = offer_reg[o*PORTS + i];
            asked_in[i]    = asked_in[i] | offer_reg[o*PORTS + i];
            owner_taken[o*PORTS + i] = took[i*Q + o] | (took[i*Q + PORTS] & lane_mask_reg[o]);
        end
        // an input in the lane has no other offer in that cycle
        lane_took = lane_took | (lane_in_reg[i] & lane_asked_reg & taken[i]);
    end
    for (o = 0; o < PORTS; o = o + 1) begin
        soon[o] = ~owned_reg[o];
        for (i = 0; i < PORTS; i = i + 1) soon[o] = soon[o] | (own_reg[o*PORTS + i] & ending[i*PORTS + o]);
    end
    ready_in  = open & ~asked_in;
    ready_out = soon & ~promised_reg & ~asked_out_reg & room;
    shut_in   = asked_in | hold_in;
    for (i = 0; i < PORTS; i = i + 1) begin
        for (o = 0; o < PORTS; o = o + 1) begin
            shut_out[i*PORTS + o] = asked_out_reg[o] | (promised_reg[o] & ~next_reg[o*PORTS + i]) | hold_out[o];
        end
    end
end

// ---- the lane

reg [PORTS-1:0] multi_able;     // multicast heads whose outputs all have room
integer         m;

always @* begin
    m          = 0;
    multi_able = {PORTS{1'b0}};
    for (m = 0; m < PORTS; m = m + 1) multi_able[m] = multi[m] && ((multi_mask[m*PORTS +: PORTS] & ~room) == {PORTS{1'b0}});
end

wire lane_go = lane_reg && !lane_asked_reg && lane_has && ((lane_in_reg & ~ready_in) == {PORTS{1'b0}})
               && ((lane_mask_reg & ~ready_out) == {PORTS{1'b0}});
wire lane_over = lane_took || (!lane_asked_reg && (!lane_has || (lane_mask_reg & ~room) != {PORTS{1'b0}}));

wire scan_first = scan_hit_reg && lane_turn_reg;    // a late unicast has the next turn
wire scan_goes  = !lane_reg && (scan_first || (scan_hit_reg && multi_able == {PORTS{1'b0}}));   // it enters

// a multicast that gives way goes behind the others too: a room that comes and goes starves nobody else
net_switch_lru #(.N(PORTS)) u_multi (
    .clk(clk), .rst(rst), .req(multi_able), .win(multi_won), .take((lane_reg && lane_over && lane_multi_reg) ? lane_in_reg : {PORTS{1'b0}})
);

always @* begin
    n              = 0;
    multi_mask_won = {PORTS{1'b0}};
    scan_hit       = 1'b0;
    lane_has       = 1'b0;
    is_late_in     = {PORTS{1'b0}};
    for (n = 0; n < PORTS; n = n + 1) begin
        multi_mask_won = multi_mask_won | ({PORTS{multi_won[n]}} & multi_mask[n*PORTS +: PORTS]);
        is_late_in[n]  = ((late[n*PORTS +: PORTS] & scan_out_reg & room) != {PORTS{1'b0}});
        lane_has = lane_has || (lane_in_reg[n] && lane_multi_reg && waiting[n*Q + PORTS])
                            || (lane_in_reg[n] && !lane_multi_reg && (waiting[n*Q +: PORTS] & lane_mask_reg) != {PORTS{1'b0}});
    end
    scan_hit = ((is_late_in & scan_in_reg) != {PORTS{1'b0}});
end

always @(posedge clk) begin
    lane_asked_reg <= lane_go;
    multi_in_reg   <= (lane_go && lane_multi_reg) ? lane_in_reg : {PORTS{1'b0}};
    scan_hit_reg   <= scan_hit && !(lane_reg && !lane_multi_reg);
    // the late unicast, else the multicast that won, else none
    lane_reg      <= lane_reg ? !lane_over : (scan_hit_reg || multi_able != {PORTS{1'b0}});
    lane_in_reg   <= (lane_in_reg & {PORTS{!lane_over}}) | ({PORTS{scan_goes}} & scan_in_reg)
                     | ({PORTS{!lane_reg && !scan_first}} & multi_won);
    lane_mask_reg <= (lane_mask_reg & {PORTS{!lane_over}}) | ({PORTS{scan_goes}} & scan_out_reg)
                     | ({PORTS{!lane_reg && !scan_first}} & multi_mask_won);
    if (!lane_reg)              lane_multi_reg <= !scan_goes;
    if (lane_reg && lane_over)  lane_turn_reg  <= lane_multi_reg;
    // the circle stands still at a late unicast until the lane has served it
    if (lane_reg ? (lane_multi_reg ? !scan_hit : lane_over) : !(scan_hit || scan_goes)) begin
        scan_out_reg <= {scan_out_reg[PORTS-2:0], scan_out_reg[PORTS-1]};
        if (scan_out_reg[PORTS-1]) scan_in_reg <= {scan_in_reg[PORTS-2:0], scan_in_reg[PORTS-1]};
    end
    if (rst) begin
        lane_reg       <= 1'b0;
        lane_in_reg    <= {PORTS{1'b0}};
        lane_mask_reg  <= {PORTS{1'b0}};
        lane_asked_reg <= 1'b0;
        lane_turn_reg  <= 1'b0;
        multi_in_reg   <= {PORTS{1'b0}};
        scan_hit_reg   <= 1'b0;
        scan_in_reg    <= {{(PORTS-1){1'b0}}, 1'b1};
        scan_out_reg   <= {{(PORTS-1){1'b0}}, 1'b1};
    end
end

// ---- outputs

genvar g;
generate
for (g = 0; g < PORTS; g = g + 1) begin : g_out
    reg  [PORTS-1:0] req, leaves;
    wire [PORTS-1:0] mine = own_reg[g*PORTS +: PORTS];
    wire             goes = ((mine & leaves) != {PORTS{1'b0}});
    wire             stays = owned_reg[g] && !goes;
    wire             won_now = (owner_taken[g*PORTS +: PORTS] != {PORTS{1'b0}});
    integer          k;

    always @* begin
        k      = 0;
        req    = {PORTS{1'b0}};
        leaves = {PORTS{1'b0}};
        for (k = 0; k < PORTS; k = k + 1) begin
            req[k]    = waiting[k*Q + g] && ready_in[k] && !hold_in[k];
            leaves[k] = left[k*PORTS + g];
        end
    end

    net_switch_lru #(.N(PORTS)) u_pick (
        .clk(clk), .rst(rst), .req(req), .win(won[g*PORTS +: PORTS]), .take(owner_taken[g*PORTS +: PORTS])
    );

    always @(posedge clk) begin
        asked_out_reg[g] <= (ready_out[g] && !hold_out[g] && req != {PORTS{1'b0}}) || (lane_go && lane_mask_reg[g]);
        offer_reg[g*PORTS +: PORTS] <= (ready_out[g] && !hold_out[g]) ? won[g*PORTS +: PORTS]
                                     : (lane_go && !lane_multi_reg && lane_mask_reg[g]) ? lane_in_reg : {PORTS{1'b0}};
        own_reg[g*PORTS +: PORTS]  <= (mine & {PORTS{!goes}}) | ({PORTS{!stays && promised_reg[g]}} & next_reg[g*PORTS +: PORTS])
                                      | ({PORTS{!stays && !promised_reg[g]}} & owner_taken[g*PORTS +: PORTS]);
        next_reg[g*PORTS +: PORTS] <= ({PORTS{stays}} & next_reg[g*PORTS +: PORTS])
                                      | ({PORTS{stays || promised_reg[g]}} & owner_taken[g*PORTS +: PORTS]);
        owned_reg[g]    <= stays || promised_reg[g] || won_now;
        promised_reg[g] <= stays ? (promised_reg[g] || won_now) : (promised_reg[g] && won_now);
        if (rst) begin
            asked_out_reg[g]            <= 1'b0;
            offer_reg[g*PORTS +: PORTS] <= {PORTS{1'b0}};
            own_reg[g*PORTS +: PORTS]   <= {PORTS{1'b0}};
            next_reg[g*PORTS +: PORTS]  <= {PORTS{1'b0}};
            owned_reg[g]                <= 1'b0;
            promised_reg[g]             <= 1'b0;
        end
    end
end
endgenerate

endmodule

`resetall
