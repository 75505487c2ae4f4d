// SPDX-License-Identifier: Apache-2.0
// Rows that are ready, in four FIFOs by priority: the head shown is that of the highest priority (0 first) that holds a row.
//
// Latency 2 cycles from push to m_valid, one push and one pop a cycle. The head shown may be overtaken by a higher priority while it
// is not taken. DEPTH covers every (region, slot, row) once, so an admitted row always finds room; a push into a full FIFO (a row sent
// again while it waits, against the protocol) is dropped and pulses sts_drop.
//
// `purge` (a pulse) takes out the rows of purge_slot: `busy` from the next cycle on, for at most the rows of one priority + 4 cycles; no head
// is shown then, and nothing may be pushed.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_row_queue #(
    parameter DATA_W   = 22,   // one row
    parameter DEPTH    = 2048, // rows of one priority. Requires a power of two, at least 2
    parameter SLOT_LSB = 10    // lowest of the four bits that hold the slot
) (
    input  wire              clk,
    input  wire              rst,
    input  wire              push,
    input  wire [1:0]        push_prio,
    input  wire [DATA_W-1:0] push_data,
    output wire              m_valid,
    output wire [DATA_W-1:0] m_data,
    input  wire              m_ready,
    input  wire              purge,
    input  wire [3:0]        purge_slot,
    output wire              busy,
    output wire              sts_held,  // a row waits
    output wire              sts_drop
);

wire [3:0]           has, room, purging, held;
reg                  busy_reg;
wire [4*DATA_W-1:0]  heads;

genvar p;
generate
for (p = 0; p < 4; p = p + 1) begin : g_prio
    wire higher = |(has & ((4'd1 << p) - 4'd1));
    ibert_slot_fifo #(.DATA_W(DATA_W), .DEPTH(DEPTH), .SLOT_LSB(SLOT_LSB), .STYLE("auto")) u_fifo (
        .clk(clk), .rst(rst),
        .s_tdata(push_data), .s_tvalid(push && push_prio == p), .s_tready(room[p]),
        .m_tdata(heads[DATA_W*p +: DATA_W]), .m_tvalid(has[p]), .m_tready(m_ready && !higher && !busy),
        .purge(purge), .purge_slot(purge_slot), .busy(purging[p]), .sts_held(held[p])
    );
end
endgenerate

// the four turn for as long as the longest
always @(posedge clk) begin
    busy_reg <= purge || |purging;
    if (rst) busy_reg <= 1'b0;
end

assign busy     = busy_reg;
assign sts_held = |held;
assign m_valid  = |has && !busy;
assign m_data   = has[0] ? heads[0 +: DATA_W]
                : has[1] ? heads[DATA_W +: DATA_W]
                : has[2] ? heads[2*DATA_W +: DATA_W] : heads[3*DATA_W +: DATA_W];
assign sts_drop = push && !room[push_prio];

endmodule

`resetall
