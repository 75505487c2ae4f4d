// SPDX-License-Identifier: Apache-2.0
// Frames from one clock to another, whole or none: store and forward.
//
// A frame begins at the receiver only when all of it is in the FIFO, and never pauses on the way: m_axis_tvalid stays 1 from its first beat until its
// last one is taken. A sender without room waits; where STALL_EN = 0 it cannot: a frame of which a beat finds no room is dropped whole and counted in
// sts_dropped. Frames are passed on as they are, tuser with the last beat.
//
// Frames that reach m_clk while open is 0 are dropped whole, a beat a cycle of m_clk; those that come while the receiver is in reset are taken and
// dropped without an m_clk: a sender with a dead receiver does not stall.
// Resets: s_rst (sender) or m_rst (receiver) empties the FIFO. Frames that end before it is open again are not counted.
//   s_rst: the frame under way at the receiver ends at once with tlast and tuser = 1
//   m_rst: the receiver forgets its frame; the rest of the frame that the sender is sending is taken and dropped
//
// Latency last beat in -> first beat out 4 edges of m_clk after that of s_clk, 5 where an edge is missed. Rate: one beat a cycle of s_clk in, one a
// cycle of m_clk out, frames back to back without gap where they wait.
`resetall
`timescale 1ns/1ps
`default_nettype none

module node_shell_cross #(
    parameter DEPTH    = 64,     // beats. Requires a power of two, at least 32: more than the longest frame
    parameter STYLE    = "auto", // ram_style of the FIFO
    parameter STALL_EN = 1       // 0: s_axis_tready is always 1
) (
    input  wire         s_clk,
    input  wire         s_rst,
    input  wire [511:0] s_axis_tdata,
    input  wire [63:0]  s_axis_tkeep,
    input  wire         s_axis_tuser,
    input  wire         s_axis_tlast,
    input  wire         s_axis_tvalid,
    output wire         s_axis_tready,

    input  wire         m_clk,
    input  wire         m_rst,
    input  wire         open,           // frames may begin
    output wire [511:0] m_axis_tdata,
    output wire [63:0]  m_axis_tkeep,
    output wire         m_axis_tuser,
    output wire         m_axis_tlast,
    output wire         m_axis_tvalid,
    input  wire         m_axis_tready,
    output wire         sts_busy,       // a frame is under way to the receiver
    output wire [31:0]  sts_dropped     // since m_rst; 0 where STALL_EN = 1
);

generate
if (DEPTH < 32) begin : g_depth
    PARAM_ERROR_node_shell_cross_DEPTH_32_or_more u_err ();
end
endgenerate

wire request = s_rst || m_rst;
wire s_stop, s_clear, m_stop, m_clear;

axis_cdc_reset u_s_rst (.clk(s_clk), .arst(request), .rst(s_stop), .clear(s_clear));
axis_cdc_reset u_m_rst (.clk(m_clk), .arst(request), .rst(m_stop), .clear(m_clear));

// ---- s_clk: a frame is taken or dropped

reg  inside_reg;    // in the middle of a frame
reg  drop_reg;      // which is dropped
wire fifo_ready;
wire drop = drop_reg || s_stop || ((STALL_EN == 0) && !fifo_ready);

assign s_axis_tready = drop || fifo_ready;

always @(posedge s_clk) begin
    if (s_axis_tvalid && s_axis_tready) begin
        inside_reg <= !s_axis_tlast;
        drop_reg   <= drop && !s_axis_tlast;
    end else begin
        // what of it was stored is lost
        if (s_stop && inside_reg) drop_reg <= 1'b1;
    end

    if (s_rst) begin
        inside_reg <= 1'b0;
        drop_reg   <= 1'b0;
    end
end

// ---- crossing

wire [511:0] f_tdata;
wire [63:0]  f_tkeep;
wire         f_tuser, f_tlast, f_tvalid, f_tready;

axis_cdc_fifo #(.DATA_W(576), .DEPTH(DEPTH), .STYLE(STYLE)) u_fifo (
    .s_clk(s_clk), .s_rst(s_stop), .s_clear(s_clear),
    .s_axis_tdata({s_axis_tkeep, s_axis_tdata}), .s_axis_tuser(s_axis_tuser), .s_axis_tlast(s_axis_tlast),
    .s_axis_tvalid(s_axis_tvalid), .s_axis_tready(fifo_ready), .s_drop(s_rst || (s_axis_tvalid && drop)),
    .m_clk(m_clk), .m_rst(m_stop), .m_clear(m_clear),
    .m_axis_tdata({f_tkeep, f_tdata}), .m_axis_tuser(f_tuser), .m_axis_tlast(f_tlast), .m_axis_tvalid(f_tvalid), .m_axis_tready(f_tready)
);

generate
if (STALL_EN == 0) begin : g_count
    axis_cdc_count u_dropped (
        .s_clk(s_clk), .s_clear(s_clear), .s_event(s_axis_tvalid && s_axis_tlast && drop && !s_stop),
        .m_clk(m_clk), .m_rst(m_stop), .m_zero(m_rst), .count(sts_dropped)
    );
end else begin : g_none
    assign sts_dropped = 32'd0;
end
endgenerate

// ---- m_clk: a frame is passed on or dropped

reg  going_reg;     // in the middle of a frame
reg  pass_reg;      // which is passed on
wire pass = going_reg ? pass_reg : open;
wire close_ready;

assign f_tready = close_ready || !pass;

always @(posedge m_clk) begin
    if (f_tvalid && f_tready) begin
        going_reg <= !f_tlast;
        pass_reg  <= pass;
    end
    if (m_rst)  pass_reg  <= 1'b0;  // the receiver has forgotten the frame under way: its rest is dropped
    if (m_stop) going_reg <= 1'b0;
end

node_shell_close u_close (
    .clk(m_clk), .rst(m_rst), .s_cut(m_stop),
    .s_axis_tdata(f_tdata), .s_axis_tkeep(f_tkeep), .s_axis_tuser(f_tuser), .s_axis_tlast(f_tlast),
    .s_axis_tvalid(f_tvalid && pass), .s_axis_tready(close_ready),
    .m_axis_tdata(m_axis_tdata), .m_axis_tkeep(m_axis_tkeep), .m_axis_tuser(m_axis_tuser), .m_axis_tlast(m_axis_tlast),
    .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready), .sts_busy(sts_busy)
);

endmodule

`resetall
