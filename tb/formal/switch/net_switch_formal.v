// SPDX-License-Identifier: Apache-2.0
// Proof of net_switch with cells of two beats: messages of any sizes for any outputs come at any time (abstract/), sinks do as they like.
//
// Safety (LIVE = 0): an output has one owner at most; while it is inside a message its beats come from one input; an input's beat goes to
// all its outputs or to none; a multicast starts and ends at all its outputs in the same cycles. AFTER > 0: after an output's room has fallen,
// AFTER messages more begin to come to it at most. LIVE = 3: a sink at output 0 that has room while it is empty, counted at last beats and said two
// cycles later, is offered no message while it holds UNDER_WAY. (Room while it holds at most L: the same with L + UNDER_WAY.)
// Liveness (LIVE = 1), sinks always ready and with room: nobody keeps the lane for more than BOUND cycles. That the lane serves a message after a
// bounded number of others: net_switch_arb_formal.
//
// The switch is a copy with ports probe_*, added by the proof.
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
    parameter AFTER     = 0,
    parameter UNDER_WAY = 6
) (
    input  wire             clk,
    input  wire [PORTS-1:0] ready,      // of sinks
    input  wire [PORTS-1:0] room,
    input  wire             give,       // LIVE = 3: the sink of output 0 empties a cell
    output wire             bad
);

reg  run_reg;
initial run_reg = 1'b0;
wire rst = !run_reg;

wire [PORTS*PORTS-1:0] probe_own, probe_mask;
wire [PORTS-1:0]       probe_move, probe_last, probe_hit;
wire                   probe_lane;
wire [PORTS-1:0]       m_tvalid, m_tlast;
wire                   bad_check;

// a sink like net_eth_tx: what it holds is counted at last beats, and a register says whether that is nothing
reg  [3:0]             used_reg;
reg                    room_reg;
wire                   store   = m_tvalid[0] && m_tlast[0];
wire                   release_it = give && (used_reg != 4'd0);
wire [PORTS-1:0]       room_now = (LIVE == 0) ? room : (LIVE == 3) ? {room[PORTS-1:1], room_reg} : {PORTS{1'b1}};

always @(posedge clk) begin
    used_reg <= used_reg + {3'd0, store} - {3'd0, release_it};
    room_reg <= (used_reg == 4'd0);
    if (rst) begin
        used_reg <= 4'd0;
        room_reg <= 1'b0;
    end
end

assign bad = (LIVE == 3) ? (!rst && m_tvalid[0] && used_reg >= UNDER_WAY) : bad_check;

always @(posedge clk) run_reg <= 1'b1;

net_switch #(
    .PORTS(PORTS), .DATA_W(8), .CELLS(CELLS), .BEATS(2), .NO_RETURN(NO_RETURN), .CUT(0), .OVERDUE_W(OVERDUE_W)
) u_switch (
    .clk(clk), .rst(rst), .id_cluster(8'd1),
    .s_axis_tdata({PORTS*8{1'b0}}), .s_axis_tkeep({PORTS{1'b0}}), .s_axis_tuser({PORTS*80{1'b0}}), .s_axis_tlast({PORTS{1'b0}}),
    .s_axis_tvalid({PORTS{1'b0}}), .s_axis_tready(),
    .m_axis_tdata(), .m_axis_tkeep(), .m_axis_tuser(), .m_axis_tlast(m_tlast), .m_axis_tvalid(m_tvalid),
    .m_axis_room(room_now), .m_axis_tready((LIVE == 3) ? {ready[PORTS-1:1], 1'b1} : (LIVE != 0) ? {PORTS{1'b1}} : ready),
    .cfg_we(1'b0), .cfg_addr(28'd0), .cfg_data({PORTS{1'b0}}), .sts_count(), .sts_drops(), .sts_busy(),
    .probe_own(probe_own), .probe_mask(probe_mask), .probe_move(probe_move), .probe_last(probe_last), .probe_hit(probe_hit),
    .probe_lane(probe_lane)
);

net_switch_check #(.PORTS(PORTS), .LIVE(LIVE), .BOUND(BOUND), .AFTER(AFTER)) u_check (
    .clk(clk), .rst(rst), .probe_own(probe_own), .probe_mask(probe_mask), .probe_move(probe_move), .probe_last(probe_last),
    .probe_hit(probe_hit), .probe_lane(probe_lane), .room(room_now), .bad(bad_check)
);

endmodule

`resetall
