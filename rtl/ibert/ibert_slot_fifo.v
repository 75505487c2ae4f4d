// SPDX-License-Identifier: Apache-2.0
// FIFO of rows from which the rows of one slot can be taken out; the others keep their order.
//
// Otherwise an axis_fifo: latency 2 cycles, one row in and one out a cycle, DEPTH rows in memory plus one at the output.
// `purge` (a pulse) turns the FIFO once round: each of the n rows held is popped, and pushed again unless its slot is purge_slot. `busy`
// is 1 from the next cycle on for at most n + 3 cycles (0 where n = 0); m_tvalid is 0 then, and in the cycle of `purge`, without
// waiting for m_tready. Requires: nothing is pushed from `purge` until `busy` is 0.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_slot_fifo #(
    parameter DATA_W   = 22,   // one row
    parameter DEPTH    = 2048, // Requires a power of two, at least 2
    parameter SLOT_LSB = 10,   // lowest of the four bits that hold the slot
    parameter STYLE    = "auto"
) (
    input  wire                   clk,
    input  wire                   rst,
    input  wire [DATA_W-1:0]      s_tdata,
    input  wire                   s_tvalid,
    output wire                   s_tready,
    output wire [DATA_W-1:0]      m_tdata,
    output wire                   m_tvalid,
    input  wire                   m_tready,

    input  wire                   purge,
    input  wire [3:0]             purge_slot,
    output wire                   busy,
    output wire                   sts_held      // it holds a row
);

localparam LEVEL_W = $clog2(DEPTH) + 1;

generate
if (SLOT_LSB < 0 || SLOT_LSB + 4 > DATA_W) begin : g_slot_lsb
    PARAM_ERROR_ibert_slot_fifo_SLOT_LSB_inside_DATA_W u_err ();
end
endgenerate

reg  [LEVEL_W-1:0] left_reg;    // rows still to be popped
reg                turn_reg;    // some are left
reg                busy_reg;    // turn_reg or hold_reg
reg                hold_reg;    // a popped row is pushed again: one cycle later, when a full memory has room
reg  [DATA_W-1:0]  row_reg;
reg                pushed_reg;  // a cycle ago; it is in memory, or already at the output
wire [LEVEL_W-1:0] level;
wire               valid;
wire               some = valid || pushed_reg;   // nothing stays in memory while the output is empty, but what was pushed a cycle ago
wire               turn = turn_reg && valid;
wire               turn_next = purge ? some : turn ? left_reg != {{LEVEL_W-1{1'b0}}, 1'b1} : turn_reg;
wire               hold_next = turn && m_tdata[SLOT_LSB +: 4] != purge_slot;

assign busy     = busy_reg;
assign m_tvalid = valid && !busy && !purge;
assign sts_held = some || busy;

axis_fifo #(.DATA_W(DATA_W), .DEPTH(DEPTH), .STYLE(STYLE)) u_fifo (
    .clk(clk), .rst(rst),
    .s_axis_tdata(hold_reg ? row_reg : s_tdata), .s_axis_tvalid(hold_reg || s_tvalid), .s_axis_tready(s_tready),
    .m_axis_tdata(m_tdata), .m_axis_tvalid(valid), .m_axis_tready(turn || (m_tready && !busy && !purge)),
    .sts_level(level)
);

always @(posedge clk) begin
    if (turn) row_reg <= m_tdata;
    if (purge)     left_reg <= level;
    else if (turn) left_reg <= left_reg - 1'b1;
    turn_reg   <= turn_next;
    hold_reg   <= hold_next;
    busy_reg   <= turn_next || hold_next;
    pushed_reg <= (hold_reg || s_tvalid) && s_tready;
    if (rst) begin
        pushed_reg <= 1'b0;
        turn_reg <= 1'b0;
        left_reg <= {LEVEL_W{1'b0}};
        hold_reg <= 1'b0;
        busy_reg <= 1'b0;
    end
end

endmodule

`resetall
