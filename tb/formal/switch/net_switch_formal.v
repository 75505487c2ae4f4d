// SPDX-License-Identifier: Apache-2.0
// Proof of net_switch with cells of two beats: messages of any sizes for any outputs come at any time (abstract/), sinks do as they like.
//
// Safety (LIVE = 0): an output has one owner at most; while it is inside a message its beats come from one input; an input's beat goes to
// all its outputs or to none; a multicast starts and ends at all its outputs in the same cycles; after an output's room has fallen,
// AFTER messages more begin to come to it at most.
// Liveness, sinks always ready. LIVE = 1: nobody keeps the lane for more than BOUND cycles. LIVE = 2: while a late unicast or a multicast at the
// head of queue WATCH waits to be promised its outputs, the lane serves others BOUND times at most.
//
// The switch is a copy with ports probe_*, added by run.py.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_switch_formal #(
    parameter PORTS     = 2,
    parameter CELLS     = 2,
    parameter NO_RETURN = 0,
    parameter OVERDUE_W = 1,
    parameter LIVE      = 0,
    parameter BOUND     = 100,
    parameter AFTER     = 6,
    parameter WATCH     = 0     // queue that is watched: input * (PORTS + 1) + queue
) (
    input  wire             clk,
    input  wire [PORTS-1:0] ready,      // of sinks
    input  wire [PORTS-1:0] room,
    output wire             bad
);

localparam Q      = PORTS + 1;

reg  run_reg;
initial run_reg = 1'b0;
wire rst = !run_reg;

wire [PORTS*PORTS-1:0] probe_own, probe_mask;
wire [PORTS-1:0]       probe_move, probe_last, probe_hit;
wire [PORTS*Q-1:0]     probe_urgent;
wire                   probe_lane;
wire [PORTS-1:0]       room_now = (LIVE != 0) ? {PORTS{1'b1}} : room;

always @(posedge clk) run_reg <= 1'b1;

net_switch #(
    .PORTS(PORTS), .DATA_W(8), .CELLS(CELLS), .BEATS(2), .NO_RETURN(NO_RETURN), .CUT(0), .OVERDUE_W(OVERDUE_W)
) u_switch (
    .clk(clk), .rst(rst), .id_cluster(8'd1),
    .s_axis_tdata({PORTS*8{1'b0}}), .s_axis_tkeep({PORTS{1'b0}}), .s_axis_tuser({PORTS*80{1'b0}}), .s_axis_tlast({PORTS{1'b0}}),
    .s_axis_tvalid({PORTS{1'b0}}), .s_axis_tready(),
    .m_axis_tdata(), .m_axis_tkeep(), .m_axis_tuser(), .m_axis_tlast(), .m_axis_tvalid(),
    .m_axis_room(room_now), .m_axis_tready((LIVE != 0) ? {PORTS{1'b1}} : ready),
    .cfg_we(1'b0), .cfg_addr(28'd0), .cfg_data({PORTS{1'b0}}), .sts_count(), .sts_drops(), .sts_busy(),
    .probe_own(probe_own), .probe_mask(probe_mask), .probe_move(probe_move), .probe_last(probe_last), .probe_hit(probe_hit),
    .probe_urgent(probe_urgent), .probe_lane(probe_lane)
);

net_switch_check #(.PORTS(PORTS), .LIVE(LIVE), .BOUND(BOUND), .WATCH(WATCH), .AFTER(AFTER)) u_check (
    .clk(clk), .rst(rst), .probe_own(probe_own), .probe_mask(probe_mask), .probe_move(probe_move), .probe_last(probe_last),
    .probe_hit(probe_hit), .probe_urgent(probe_urgent), .probe_lane(probe_lane), .room(room_now), .bad(bad)
);

endmodule

`resetall
