// SPDX-License-Identifier: Apache-2.0
// Brings the link of a 100G MAC up (AMD cmac_usplus; PG203, core bring-up sequence), in mac_clk.
//
//   down: ctl_tx_send_rfi = 1, ctl_tx_enable = 0          -> up where stat_rx_aligned
//   up:   ctl_tx_send_rfi = 0, ctl_tx_enable = 1, open    -> stop where not stat_rx_aligned, or the MAC's receiver is in reset
//   stop: as up, but no frame begins                      -> down when tx_busy is 0: the frame under way is whole
//
// ctl_rx_enable is always 1. A reset of the MAC's transmitter leads to down at once. While the state is not up no frame begins: node_shell_cross
// drops those that wait. Remote faults are not looked at: frames sent before the peer is aligned are lost, and its transport asks for them.
// Latency stat_rx_aligned -> outputs 3 edges of mac_clk, or 4.
`resetall
`timescale 1ns/1ps
`default_nettype none

module node_shell_link (
    input  wire mac_clk,
    input  wire mac_tx_rst,
    input  wire mac_rx_rst,
    input  wire stat_rx_aligned,
    input  wire tx_busy,            // of node_shell_cross
    output reg  open,
    output wire ctl_rx_enable,
    output reg  ctl_tx_enable,
    output reg  ctl_tx_send_rfi
);

wire aligned;
wire good = aligned && !mac_rx_rst;

assign ctl_rx_enable = 1'b1;

axis_cdc_bit u_aligned (.clk(mac_clk), .d(stat_rx_aligned), .q(aligned));

always @(posedge mac_clk) begin
    if (open) begin
        open <= good;
    end else if (!ctl_tx_enable) begin
        open            <= good;
        ctl_tx_enable   <= good;
        ctl_tx_send_rfi <= !good;
    end else if (!tx_busy) begin
        ctl_tx_enable   <= 1'b0;
        ctl_tx_send_rfi <= 1'b1;
    end

    if (mac_tx_rst) begin
        open            <= 1'b0;
        ctl_tx_enable   <= 1'b0;
        ctl_tx_send_rfi <= 1'b1;
    end
end

endmodule

`resetall
