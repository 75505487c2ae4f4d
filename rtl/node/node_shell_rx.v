// SPDX-License-Identifier: Apache-2.0
// Frames of a 100G MAC (AMD cmac_usplus, AXIS) to a node: crosses from mac_clk to clk, whole frames or none.
//
// The MAC cannot be stopped. A frame of which a beat finds no room is dropped whole and counted in sts_dropped. A frame that the MAC marks bad
// (cmac_rx_tuser with tlast) is passed on with mac_rx_tuser = 1 and counted in sts_bad: net_eth drops it, and counts it too (docs/transport.md,
// section 7, cause 0). Frames at cmac_rx = frames at mac_rx + sts_dropped, but for resets.
// Resets: rst (node) or mac_rst (MAC) empties the FIFO.
//   rst: the rest of the frame that the MAC is delivering is dropped; frames that end before the FIFO is open again are not counted
//   mac_rst: the frame under way at the node ends at once with tlast and tuser = 1, counted in sts_bad
//
// Depth. At 100 Gb/s a frame of L bytes (without checksum) takes (L + 24) * 0.08 ns on the wire and ceil(L / 64) cycles of clk here. At 200 MHz the
// frames of a Floreana node, 64 * n bytes in n beats but for control messages, take 5 * n ns here and 5.12 * n + 1.92 on the wire: they do not pile
// up.
// Others can: worst are frames of 65 bytes, 2 beats = 10 ns every 7.12 ns, and a FIFO of 512 beats is full after about 890 of them (6.3 us).
// Frames above 25 beats, or from 101 bytes in 2 beats, 164 in 3, 226 in 4, are drained at any rate. 512 beats cost no more than 64: 8 RAMB36 by
// their width. One frame must fit: 9,600 bytes are 150 beats.
// Latency last beat in -> first beat at the node 2 edges of mac_clk, then 5 of clk, 6 where an edge is missed. Rate: one beat a cycle of mac_clk in,
// one a cycle of clk out, frames back to back without gap where they wait; no gap inside a frame.
`resetall
`timescale 1ns/1ps
`default_nettype none

module node_shell_rx #(
    parameter DEPTH = 512,      // beats. Requires a power of two, at least 32
    parameter STYLE = "block"   // ram_style of the FIFO
) (
    input  wire         mac_clk,
    input  wire         mac_rst,
    input  wire [511:0] cmac_rx_tdata,
    input  wire [63:0]  cmac_rx_tkeep,
    input  wire         cmac_rx_tlast,
    input  wire         cmac_rx_tuser,
    input  wire         cmac_rx_tvalid,

    input  wire         clk,
    input  wire         rst,
    output wire [511:0] mac_rx_tdata,
    output wire [63:0]  mac_rx_tkeep,
    output wire         mac_rx_tlast,
    output wire         mac_rx_tvalid,
    output wire         mac_rx_tuser,
    output wire [31:0]  sts_dropped,    // since rst
    output reg  [31:0]  sts_bad
);

generate
if (DEPTH < 32) begin : g_depth
    PARAM_ERROR_node_shell_rx_DEPTH_32_or_more u_err ();
end
endgenerate

wire request = rst || mac_rst;
wire s_rst, s_clear, m_rst, m_clear;

axis_cdc_reset u_s_rst (.clk(mac_clk), .arst(request), .rst(s_rst), .clear(s_clear));
axis_cdc_reset u_m_rst (.clk(clk), .arst(request), .rst(m_rst), .clear(m_clear));

// ---- mac_clk: a frame is stored or dropped

reg  [511:0] in_tdata_reg;
reg  [63:0]  in_tkeep_reg;
reg          in_tlast_reg, in_tuser_reg, in_tvalid_reg;
reg          inside_reg;    // in the middle of a frame
reg          drop_reg;      // which is dropped
wire         fifo_ready;
wire         drop = drop_reg || s_rst || !fifo_ready;

always @(posedge mac_clk) begin
    in_tdata_reg  <= cmac_rx_tdata;
    in_tkeep_reg  <= cmac_rx_tkeep;
    in_tlast_reg  <= cmac_rx_tlast;
    in_tuser_reg  <= cmac_rx_tuser;
    in_tvalid_reg <= cmac_rx_tvalid;
    if (in_tvalid_reg) begin
        inside_reg <= !in_tlast_reg;
        drop_reg   <= drop && !in_tlast_reg;
    end else begin
        // what of it was stored is lost
        if (s_rst && inside_reg) drop_reg <= 1'b1;
    end

    if (mac_rst) begin
        in_tvalid_reg <= 1'b0;
        inside_reg    <= 1'b0;
        drop_reg      <= 1'b0;
    end
end

// ---- crossing

wire [511:0] f_tdata;
wire [63:0]  f_tkeep;
wire         f_tlast, f_tuser, f_tvalid, f_tready;

axis_cdc_fifo #(.DATA_W(576), .DEPTH(DEPTH), .STYLE(STYLE)) u_fifo (
    .s_clk(mac_clk), .s_rst(s_rst), .s_clear(s_clear),
    .s_axis_tdata({in_tkeep_reg, in_tdata_reg}), .s_axis_tuser(in_tuser_reg), .s_axis_tlast(in_tlast_reg),
    .s_axis_tvalid(in_tvalid_reg), .s_axis_tready(fifo_ready), .s_drop(mac_rst || (in_tvalid_reg && drop)),
    .m_clk(clk), .m_rst(m_rst), .m_clear(m_clear),
    .m_axis_tdata({f_tkeep, f_tdata}), .m_axis_tuser(f_tuser), .m_axis_tlast(f_tlast), .m_axis_tvalid(f_tvalid), .m_axis_tready(f_tready)
);

axis_cdc_count u_dropped (
    .s_clk(mac_clk), .s_clear(s_clear), .s_event(in_tvalid_reg && in_tlast_reg && drop && !s_rst),
    .m_clk(clk), .m_rst(m_rst), .m_zero(rst), .count(sts_dropped)
);

// ---- clk: the node takes every beat

wire busy;
wire unused = &{1'b0, busy};

node_shell_close u_close (
    .clk(clk), .rst(rst), .s_cut(m_rst),
    .s_axis_tdata(f_tdata), .s_axis_tkeep(f_tkeep), .s_axis_tuser(f_tuser), .s_axis_tlast(f_tlast),
    .s_axis_tvalid(f_tvalid), .s_axis_tready(f_tready),
    .m_axis_tdata(mac_rx_tdata), .m_axis_tkeep(mac_rx_tkeep), .m_axis_tuser(mac_rx_tuser), .m_axis_tlast(mac_rx_tlast),
    .m_axis_tvalid(mac_rx_tvalid), .m_axis_tready(1'b1), .sts_busy(busy)
);

always @(posedge clk) begin
    if (mac_rx_tvalid && mac_rx_tlast && mac_rx_tuser) sts_bad <= sts_bad + 32'd1;
    if (rst) sts_bad <= 32'd0;
end

endmodule

`resetall
