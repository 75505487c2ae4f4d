// SPDX-License-Identifier: Apache-2.0
// Proof that net_switch_arb starves nobody: inputs, outputs and rooms do as they like, but that the message at the head of queue WATCH
// (input * (PORTS + 1) + queue, the multicasts' queue last), once it is a multicast head or late, stays so until it is taken, and that its outputs
// have room meanwhile.
//
// Before it is taken, the lane is given up at most BOUND times: 2*PORTS - 1 for a multicast, 2*PORTS*PORTS - 1 for a late unicast. That the
// lane is given up at all is a matter of the messages that run (net_switch_formal, LIVE = 1).
//
// The arbiter is a copy with a port probe_over, added by the proof.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_switch_arb_formal #(
    parameter PORTS = 2,
    parameter WATCH = 2,
    parameter BOUND = 3
) (
    input  wire                         clk,
    input  wire [PORTS*(PORTS+1)-1:0]   any_waiting,
    input  wire [PORTS*PORTS-1:0]       any_late,
    input  wire [PORTS-1:0]             any_multi,
    input  wire [PORTS*PORTS-1:0]       any_mask,
    input  wire [PORTS-1:0]             any_room,
    input  wire [PORTS-1:0]             open,
    input  wire [PORTS*(PORTS+1)-1:0]   take,       // offers that an input would take
    input  wire [PORTS*PORTS-1:0]       any_ending,
    input  wire [PORTS*PORTS-1:0]       any_left,
    input  wire                         rise,       // the watched queue gets its message
    output wire                         bad
);

localparam Q       = PORTS + 1;
localparam IN      = WATCH / Q;
localparam QUEUE   = WATCH % Q;
localparam COUNT_W = $clog2(BOUND + 2);

reg  run_reg;
initial run_reg = 1'b0;
wire rst = !run_reg;

reg                    pending_reg;
reg  [PORTS-1:0]       mask_reg;            // outputs of the watched message
reg  [COUNT_W-1:0]     count_reg;
reg  [PORTS*Q-1:0]     waiting, took;
reg  [PORTS*PORTS-1:0] late, multi_mask;
reg  [PORTS-1:0]       multi, taken, room;
reg                    found;
integer                i, q;

wire [PORTS*Q-1:0]     offer;
wire [PORTS*PORTS-1:0] own;
wire                   over;
wire                   served = took[IN*Q + QUEUE];

always @* begin
    i          = 0;
    q          = 0;
    found      = 1'b0;
    waiting    = any_waiting;
    late       = any_late;
    multi      = any_multi;
    multi_mask = any_mask;
    room       = any_room | (pending_reg ? mask_reg : {PORTS{1'b0}});
    waiting[IN*Q + QUEUE] = pending_reg;
    if (QUEUE == PORTS) begin
        multi[IN]                       = pending_reg;
        multi_mask[IN*PORTS +: PORTS]   = mask_reg;
    end else begin
        late[IN*PORTS + (QUEUE % PORTS)] = pending_reg;
    end
    // an input takes one of its offers at most, and only while it is open
    took  = {PORTS*Q{1'b0}};
    taken = {PORTS{1'b0}};
    for (i = 0; i < PORTS; i = i + 1) begin
        found = 1'b0;
        for (q = 0; q < Q; q = q + 1) begin
            if (!found && open[i] && offer[i*Q + q] && take[i*Q + q] && waiting[i*Q + q]) begin
                found          = 1'b1;
                took[i*Q + q] = 1'b1;
            end
        end
        taken[i] = found;
    end
end

always @(posedge clk) begin
    run_reg <= 1'b1;
    if (!pending_reg && rise) begin
        pending_reg <= 1'b1;
        mask_reg    <= (QUEUE == PORTS) ? any_mask[IN*PORTS +: PORTS] : ({{(PORTS-1){1'b0}}, 1'b1} << (QUEUE % PORTS));
    end
    if (served || !pending_reg)           count_reg <= {COUNT_W{1'b0}};
    else if (over && count_reg <= BOUND)  count_reg <= count_reg + 1'b1;
    if (served)                           pending_reg <= rise;   // another may follow at once
    if (rst) begin
        pending_reg <= 1'b0;
        count_reg   <= {COUNT_W{1'b0}};
    end
end

net_switch_arb #(.PORTS(PORTS)) u_arb (
    .clk(clk), .rst(rst), .probe_over(over), .waiting(waiting), .late(late), .multi(multi), .multi_mask(multi_mask), .open(open), .room(room),
    .offer(offer), .took(took), .taken(taken), .ending(any_ending), .left(any_left), .shut_in(), .hold_in(), .shut_out(), .hold_out(), .own(own)
);

assign bad = !rst && (count_reg > BOUND);

endmodule

`resetall
