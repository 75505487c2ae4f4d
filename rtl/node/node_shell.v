// SPDX-License-Identifier: Apache-2.0
// Shell between a node (node_core) and its 100G MACs (AMD cmac_usplus, AXIS interface), one for each port: clocks, resets, bring-up, frames whole.
//
//   node_shell_cross to the MAC, node_shell_rx from it, node_shell_link for each port; no logic of its own but the node's reset and sts_link
//
// To the MAC a frame never pauses, so the MAC cannot underflow; what comes while the link is not up is dropped, and the node's transport sends it
// again. net_eth sends no frame below the 60 bytes that the MAC demands (its own have 64 at least; net_respond pads to 60), none above 17 beats (64 +
// 1,024 bytes; echo replies 1,038). cmac_tx_tuser is 0 but for a frame that a reset of the node cuts: the MAC sends it as bad, and every receiver
// drops it.
//
// Clocks: clk and each mac_clk are unrelated. Requires that their periods differ by less than a factor of 3 (322.265625 MHz: clk 108 MHz or more).
// Both directions of a MAC are in its mac_clk: rx_clk of the MAC is its gt_txusrclk2.
// Resets: arst (asynchronous, at least a period of clk long) makes rst, at least 64 cycles long. mac_tx_rst, mac_rx_rst are the MAC's
// usr_tx_reset, usr_rx_reset. Neither side's reset resets the other side; what is under way is dropped, or ended as a bad frame: see the parts. For
// up to 70 cycles of the slower clock after a reset frames are still dropped in both directions, and one that begins in that time may be cut, and
// marked bad.
//
// Latency node to node through two shells and a MAC of no latency: that of node_shell_cross + node_shell_rx. sts_link: frames to this port go out.
// sts_rx_dropped, sts_rx_bad: frames since rst, see node_shell_rx.
`resetall
`timescale 1ns/1ps
`default_nettype none

module node_shell #(
    parameter PORTS_N  = 1,             // Ethernet ports. Requires 1 or 2
    parameter TX_DEPTH = 64,            // beats a port towards the MAC: see node_shell_cross
    parameter RX_DEPTH = 512,           // beats a port from the MAC: see node_shell_rx
    parameter TX_STYLE = "distributed", // ram_style of these
    parameter RX_STYLE = "block"
) (
    input  wire                   clk,
    input  wire                   arst,
    output wire                   rst,

    // node: ports of node_core, port 0 in the low bits
    input  wire [PORTS_N*512-1:0] mac_tx_tdata,
    input  wire [PORTS_N*64-1:0]  mac_tx_tkeep,
    input  wire [PORTS_N-1:0]     mac_tx_tlast,
    input  wire [PORTS_N-1:0]     mac_tx_tvalid,
    output wire [PORTS_N-1:0]     mac_tx_tready,
    output wire [PORTS_N*512-1:0] mac_rx_tdata,
    output wire [PORTS_N*64-1:0]  mac_rx_tkeep,
    output wire [PORTS_N-1:0]     mac_rx_tlast,
    output wire [PORTS_N-1:0]     mac_rx_tvalid,
    output wire [PORTS_N-1:0]     mac_rx_tuser,
    output wire [PORTS_N-1:0]     sts_link,
    output wire [PORTS_N*32-1:0]  sts_rx_dropped,
    output wire [PORTS_N*32-1:0]  sts_rx_bad,

    // MACs, each in its mac_clk
    input  wire [PORTS_N-1:0]     mac_clk,
    input  wire [PORTS_N-1:0]     mac_tx_rst,
    input  wire [PORTS_N-1:0]     mac_rx_rst,
    input  wire [PORTS_N-1:0]     stat_rx_aligned,
    output wire [PORTS_N-1:0]     ctl_rx_enable,
    output wire [PORTS_N-1:0]     ctl_tx_enable,
    output wire [PORTS_N-1:0]     ctl_tx_send_rfi,
    output wire [PORTS_N*512-1:0] cmac_tx_tdata,
    output wire [PORTS_N*64-1:0]  cmac_tx_tkeep,
    output wire [PORTS_N-1:0]     cmac_tx_tlast,
    output wire [PORTS_N-1:0]     cmac_tx_tuser,
    output wire [PORTS_N-1:0]     cmac_tx_tvalid,
    input  wire [PORTS_N-1:0]     cmac_tx_tready,
    input  wire [PORTS_N*512-1:0] cmac_rx_tdata,
    input  wire [PORTS_N*64-1:0]  cmac_rx_tkeep,
    input  wire [PORTS_N-1:0]     cmac_rx_tlast,
    input  wire [PORTS_N-1:0]     cmac_rx_tuser,
    input  wire [PORTS_N-1:0]     cmac_rx_tvalid
);

generate
if (PORTS_N < 1 || PORTS_N > 2) begin : g_ports
    PARAM_ERROR_node_shell_PORTS_N_1_or_2 u_err ();
end
endgenerate

wire clear;
wire unused = &{1'b0, clear};

axis_cdc_reset u_rst (.clk(clk), .arst(arst), .rst(rst), .clear(clear));

genvar p;
generate
for (p = 0; p < PORTS_N; p = p + 1) begin : g_port
    wire        open, busy;
    wire [31:0] unused_dropped; // 0: the node waits for room

    node_shell_link u_link (
        .mac_clk(mac_clk[p]), .mac_tx_rst(mac_tx_rst[p]), .mac_rx_rst(mac_rx_rst[p]), .stat_rx_aligned(stat_rx_aligned[p]),
        .tx_busy(busy), .open(open),
        .ctl_rx_enable(ctl_rx_enable[p]), .ctl_tx_enable(ctl_tx_enable[p]), .ctl_tx_send_rfi(ctl_tx_send_rfi[p])
    );

    axis_cdc_bit u_open (.clk(clk), .d(open), .q(sts_link[p]));

    node_shell_cross #(.DEPTH(TX_DEPTH), .STYLE(TX_STYLE), .STALL_EN(1)) u_tx (
        .s_clk(clk), .s_rst(rst),
        .s_axis_tdata(mac_tx_tdata[512*p +: 512]), .s_axis_tkeep(mac_tx_tkeep[64*p +: 64]), .s_axis_tuser(1'b0), .s_axis_tlast(mac_tx_tlast[p]),
        .s_axis_tvalid(mac_tx_tvalid[p]), .s_axis_tready(mac_tx_tready[p]),
        .m_clk(mac_clk[p]), .m_rst(mac_tx_rst[p]), .open(open),
        .m_axis_tdata(cmac_tx_tdata[512*p +: 512]), .m_axis_tkeep(cmac_tx_tkeep[64*p +: 64]), .m_axis_tuser(cmac_tx_tuser[p]),
        .m_axis_tlast(cmac_tx_tlast[p]), .m_axis_tvalid(cmac_tx_tvalid[p]), .m_axis_tready(cmac_tx_tready[p]),
        .sts_busy(busy), .sts_dropped(unused_dropped)
    );

    node_shell_rx #(.DEPTH(RX_DEPTH), .STYLE(RX_STYLE)) u_rx (
        .mac_clk(mac_clk[p]), .mac_rst(mac_rx_rst[p]),
        .cmac_rx_tdata(cmac_rx_tdata[512*p +: 512]), .cmac_rx_tkeep(cmac_rx_tkeep[64*p +: 64]), .cmac_rx_tlast(cmac_rx_tlast[p]),
        .cmac_rx_tuser(cmac_rx_tuser[p]), .cmac_rx_tvalid(cmac_rx_tvalid[p]),
        .clk(clk), .rst(rst),
        .mac_rx_tdata(mac_rx_tdata[512*p +: 512]), .mac_rx_tkeep(mac_rx_tkeep[64*p +: 64]), .mac_rx_tlast(mac_rx_tlast[p]),
        .mac_rx_tvalid(mac_rx_tvalid[p]), .mac_rx_tuser(mac_rx_tuser[p]),
        .sts_dropped(sts_rx_dropped[32*p +: 32]), .sts_bad(sts_rx_bad[32*p +: 32])
    );
end
endgenerate

endmodule

`resetall
