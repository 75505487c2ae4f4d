// SPDX-License-Identifier: Apache-2.0
// Frames of a node to a 100G MAC (AMD cmac_usplus, AXIS): crosses from clk to mac_clk, store and forward.
//
// A frame begins at the MAC only when all of it is in the FIFO, and never pauses on the way: cmac_tx_tvalid stays 1 from its first beat until its
// last one is taken, so the MAC cannot underflow. Frames are passed on as they are: net_eth sends none below the 60 bytes that the MAC demands (its
// own have 64 at least; net_respond pads to 60), none above 17 beats (64 + 1,024 bytes; echo replies 1,038). cmac_tx_tuser is 0 but for a cut frame.
//
// Frames that reach mac_clk while open is 0 are dropped whole, a beat a cycle of mac_clk; those of the node while the MAC is in reset are taken and
// dropped without a mac_clk: a node with a dead link does not stall. The node's transport sends them again.
// Resets: rst (node) or mac_rst (MAC) empties the FIFO.
//   rst: the frame under way at the MAC ends at once with tlast and tuser = 1: the MAC sends it as bad, and every receiver drops it
//   mac_rst: the MAC forgets its frame; the rest of the frame that the node is sending is taken and dropped
//
// Latency last beat in -> first beat at the MAC 4 edges of mac_clk after that of clk, 5 where an edge is missed. Rate: one beat a cycle of clk in,
// one a cycle of mac_clk out, frames back to back without gap where they wait.
`resetall
`timescale 1ns/1ps
`default_nettype none

module node_shell_tx #(
    parameter DEPTH = 64,               // beats. Requires a power of two, at least 32: more than a frame of 17 beats
    parameter STYLE = "distributed"     // ram_style of the FIFO
) (
    input  wire         clk,
    input  wire         rst,
    input  wire [511:0] mac_tx_tdata,
    input  wire [63:0]  mac_tx_tkeep,
    input  wire         mac_tx_tlast,
    input  wire         mac_tx_tvalid,
    output wire         mac_tx_tready,

    input  wire         mac_clk,
    input  wire         mac_rst,
    input  wire         open,           // frames may begin
    output wire         busy,           // a frame is under way to the MAC
    output wire [511:0] cmac_tx_tdata,
    output wire [63:0]  cmac_tx_tkeep,
    output wire         cmac_tx_tlast,
    output wire         cmac_tx_tuser,
    output wire         cmac_tx_tvalid,
    input  wire         cmac_tx_tready
);

generate
if (DEPTH < 32) begin : g_depth
    PARAM_ERROR_node_shell_tx_DEPTH_32_or_more u_err ();
end
endgenerate

wire request = rst || mac_rst;
wire s_rst, s_clear, m_rst, m_clear;

axis_cdc_reset u_s_rst (.clk(clk), .arst(request), .rst(s_rst), .clear(s_clear));
axis_cdc_reset u_m_rst (.clk(mac_clk), .arst(request), .rst(m_rst), .clear(m_clear));

// ---- clk: a frame is taken or dropped

reg  inside_reg;    // in the middle of a frame of the node
reg  drop_reg;      // which is dropped
wire drop = drop_reg || s_rst;
wire fifo_ready;

assign mac_tx_tready = drop || fifo_ready;

always @(posedge clk) begin
    if (mac_tx_tvalid && mac_tx_tready) begin
        inside_reg <= !mac_tx_tlast;
        drop_reg   <= drop && !mac_tx_tlast;
    end else begin
        // what of it was stored is lost
        if (s_rst && inside_reg) drop_reg <= 1'b1;
    end

    if (rst) begin
        inside_reg <= 1'b0;
        drop_reg   <= 1'b0;
    end
end

// ---- crossing

wire [511:0] f_tdata;
wire [63:0]  f_tkeep;
wire         f_tuser, f_tlast, f_tvalid, f_tready;
wire         unused = &{1'b0, f_tuser};

axis_cdc_fifo #(.DATA_W(576), .DEPTH(DEPTH), .STYLE(STYLE)) u_fifo (
    .s_clk(clk), .s_rst(s_rst), .s_clear(s_clear),
    .s_axis_tdata({mac_tx_tkeep, mac_tx_tdata}), .s_axis_tuser(1'b0), .s_axis_tlast(mac_tx_tlast),
    .s_axis_tvalid(mac_tx_tvalid && !drop), .s_axis_tready(fifo_ready), .s_drop(1'b0),
    .m_clk(mac_clk), .m_rst(m_rst), .m_clear(m_clear),
    .m_axis_tdata({f_tkeep, f_tdata}), .m_axis_tuser(f_tuser), .m_axis_tlast(f_tlast), .m_axis_tvalid(f_tvalid), .m_axis_tready(f_tready)
);

// ---- mac_clk: a frame is passed on or dropped

reg  going_reg;     // in the middle of a frame
reg  pass_reg;      // which is passed on
wire pass = going_reg ? pass_reg : open;
wire close_ready;

assign f_tready = close_ready || !pass;

always @(posedge mac_clk) begin
    if (f_tvalid && f_tready) begin
        going_reg <= !f_tlast;
        pass_reg  <= pass;
    end
    if (mac_rst) pass_reg  <= 1'b0;     // the MAC has forgotten the frame under way: its rest is dropped
    if (m_rst)   going_reg <= 1'b0;
end

node_shell_close u_close (
    .clk(mac_clk), .rst(mac_rst), .s_cut(m_rst),
    .s_axis_tdata(f_tdata), .s_axis_tkeep(f_tkeep), .s_axis_tuser(1'b0), .s_axis_tlast(f_tlast),
    .s_axis_tvalid(f_tvalid && pass), .s_axis_tready(close_ready),
    .m_axis_tdata(cmac_tx_tdata), .m_axis_tkeep(cmac_tx_tkeep), .m_axis_tuser(cmac_tx_tuser), .m_axis_tlast(cmac_tx_tlast),
    .m_axis_tvalid(cmac_tx_tvalid), .m_axis_tready(cmac_tx_tready), .sts_busy(busy)
);

endmodule

`resetall
