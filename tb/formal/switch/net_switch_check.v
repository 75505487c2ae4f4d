// SPDX-License-Identifier: Apache-2.0
// What net_switch_formal demands, see there. The probes are signals of the switch.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_switch_check #(
    parameter PORTS = 2,
    parameter LIVE  = 0,
    parameter BOUND = 100,
    parameter AFTER = 0     // messages that begin to come to an output after its room has fallen, at most. 0: not looked at
) (
    input  wire                         clk,
    input  wire                         rst,
    input  wire [PORTS*PORTS-1:0]       probe_own,      // owner of output o at o*PORTS
    input  wire [PORTS*PORTS-1:0]       probe_mask,     // outputs of input i's beat at i*PORTS
    input  wire [PORTS-1:0]             probe_move,     // input i's beat goes
    input  wire [PORTS-1:0]             probe_last,
    input  wire [PORTS-1:0]             probe_hit,      // output o takes a beat
    input  wire                         probe_lane,     // the lane is taken
    input  wire [PORTS-1:0]             room,
    output wire                         bad
);

localparam WAIT_W = $clog2(BOUND + 2);

reg  [PORTS-1:0]       inside_reg, inside_in_reg;   // output o, input i is inside a message
reg  [PORTS*PORTS-1:0] owner_reg;
reg  [WAIT_W-1:0]      wait_reg;
reg                    wrong;
reg  [PORTS*4-1:0]     after_reg;
integer i, o, j, p;

always @* begin
    i     = 0;
    o     = 0;
    wrong = 1'b0;
    for (o = 0; o < PORTS; o = o + 1) begin
        if ((probe_own[o*PORTS +: PORTS] & (probe_own[o*PORTS +: PORTS] - 1'b1)) != 0) wrong = 1'b1;
        if (AFTER != 0 && probe_hit[o] && !inside_reg[o] && !room[o] && after_reg[4*o +: 4] == AFTER) wrong = 1'b1;
        if (probe_hit[o] && inside_reg[o] && probe_own[o*PORTS +: PORTS] != owner_reg[o*PORTS +: PORTS]) wrong = 1'b1;
        for (i = 0; i < PORTS; i = i + 1) begin
            if (probe_move[i] && probe_mask[i*PORTS + o]) begin
                if (!probe_hit[o] || !probe_own[o*PORTS + i]) wrong = 1'b1;
                // where one output of a multicast is at a message's first beat, all are
                if (inside_reg[o] != inside_in_reg[i]) wrong = 1'b1;
            end
        end
    end
end

always @(posedge clk) begin
    for (p = 0; p < PORTS; p = p + 1) begin
        if (probe_move[p]) inside_in_reg[p] <= !probe_last[p];
        for (j = 0; j < PORTS; j = j + 1) begin
            if (probe_hit[p] && probe_own[p*PORTS + j]) inside_reg[p] <= !probe_last[j];
        end
        if (room[p])                              after_reg[4*p +: 4] <= 4'd0;
        else if (probe_hit[p] && !inside_reg[p]) after_reg[4*p +: 4] <= after_reg[4*p +: 4] + 1'b1;
        if (probe_hit[p]) owner_reg[p*PORTS +: PORTS] <= probe_own[p*PORTS +: PORTS];
    end
    if (!probe_lane)            wait_reg <= {WAIT_W{1'b0}};
    else if (wait_reg <= BOUND) wait_reg <= wait_reg + 1'b1;
    if (rst) begin
        inside_reg    <= {PORTS{1'b0}};
        inside_in_reg <= {PORTS{1'b0}};
        wait_reg      <= {WAIT_W{1'b0}};
    end
end

assign bad = !rst && ((LIVE != 0) ? wait_reg > BOUND : wrong);

endmodule

`resetall
