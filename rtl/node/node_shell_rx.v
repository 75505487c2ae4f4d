// SPDX-License-Identifier: Apache-2.0
// Frames of a 100G MAC (AMD cmac_usplus, AXIS) to a node: crosses from mac_clk to clk, whole frames or none.
//
// The MAC cannot be stopped. A frame of which a beat finds no room is dropped whole and counted in sts_dropped. A frame that the MAC marks bad
// (cmac_rx_tuser with tlast) is passed on with mac_rx_tuser = 1 and counted in sts_bad: net_eth drops it, and counts it too (docs/transport.md,
// section 7, cause 0). Frames at cmac_rx = frames at mac_rx + sts_dropped, but for resets.
// Resets: rst (node) or mac_rst (MAC) empties the FIFO, see node_shell_cross. The frame that mac_rst cuts at the node is counted in sts_bad.
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

// ---- mac_clk

reg  [511:0] in_tdata_reg;
reg  [63:0]  in_tkeep_reg;
reg          in_tlast_reg, in_tuser_reg, in_tvalid_reg;

always @(posedge mac_clk) begin
    in_tdata_reg  <= cmac_rx_tdata;
    in_tkeep_reg  <= cmac_rx_tkeep;
    in_tlast_reg  <= cmac_rx_tlast;
    in_tuser_reg  <= cmac_rx_tuser;
    in_tvalid_reg <= cmac_rx_tvalid;

    if (mac_rst) in_tvalid_reg <= 1'b0;
end

// ---- crossing; the node takes every beat

wire unused_ready, unused_busy;

node_shell_cross #(.DEPTH(DEPTH), .STYLE(STYLE), .STALL_EN(0)) u_cross (
    .s_clk(mac_clk), .s_rst(mac_rst),
    .s_axis_tdata(in_tdata_reg), .s_axis_tkeep(in_tkeep_reg), .s_axis_tuser(in_tuser_reg), .s_axis_tlast(in_tlast_reg),
    .s_axis_tvalid(in_tvalid_reg), .s_axis_tready(unused_ready),
    .m_clk(clk), .m_rst(rst), .open(1'b1),
    .m_axis_tdata(mac_rx_tdata), .m_axis_tkeep(mac_rx_tkeep), .m_axis_tuser(mac_rx_tuser), .m_axis_tlast(mac_rx_tlast),
    .m_axis_tvalid(mac_rx_tvalid), .m_axis_tready(1'b1), .sts_busy(unused_busy), .sts_dropped(sts_dropped)
);

// ---- clk

always @(posedge clk) begin
    if (mac_rx_tvalid && mac_rx_tlast && mac_rx_tuser) sts_bad <= sts_bad + 32'd1;
    if (rst) sts_bad <= 32'd0;
end

endmodule

`resetall
