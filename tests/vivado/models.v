// SPDX-License-Identifier: Apache-2.0
// What stands around a generated top in simulation: cells of the vendor and the 100G MAC, as far as a top sees them.
//
// The MMCM makes the clocks that its parameters ask for, from the period of its input alone, and locks 200 ns after the start. The MAC's clock is
// 322.265625 MHz and starts late; its resets end 20 cycles after sys_reset, it aligns 30 cycles after ctl_rx_enable. It plays the beats of
// +frames=FILE, one a line (tlast, tkeep, tdata), once its link is up (ctl_tx_enable) and 600 cycles have passed, never stops inside a frame, and takes beats three cycles of four.
// What it takes is written to +taken=FILE in the same form. A frame that pauses at the MAC ends the simulation with UNDERFLOW.
`timescale 1ps / 1ps
`default_nettype none

module IBUFDS (input wire I, input wire IB, output wire O);
  assign O = I & ~IB;
endmodule

module IBUF (input wire I, output wire O);
  assign O = I;
endmodule

module BUFG (input wire I, output wire O);
  assign O = I;
endmodule

module MMCME4_BASE #(
    parameter BANDWIDTH = "OPTIMIZED",
    parameter CLKIN1_PERIOD = 0.0,
    parameter DIVCLK_DIVIDE = 1,
    parameter CLKFBOUT_MULT_F = 5.0,
    parameter CLKOUT0_DIVIDE_F = 1.0,
    parameter CLKOUT1_DIVIDE = 1
) (
    input wire CLKIN1,
    input wire CLKFBIN,
    input wire RST,
    input wire PWRDWN,
    output wire CLKFBOUT,
    output reg CLKOUT0,
    output reg CLKOUT1,
    output reg LOCKED
);
  real half0, half1;
  assign CLKFBOUT = CLKIN1;
  initial begin
    half0   = 500.0 * CLKIN1_PERIOD * DIVCLK_DIVIDE / CLKFBOUT_MULT_F * CLKOUT0_DIVIDE_F;
    half1   = 500.0 * CLKIN1_PERIOD * DIVCLK_DIVIDE / CLKFBOUT_MULT_F * CLKOUT1_DIVIDE;
    LOCKED  = 1'b0;
    CLKOUT0 = 1'b0;
    CLKOUT1 = 1'b0;
    @(posedge CLKIN1);
    fork
      forever #(half0) CLKOUT0 = !CLKOUT0;
      forever #(half1) CLKOUT1 = !CLKOUT1;
      #200000 LOCKED = 1'b1;
    join
  end
endmodule

module cmac_usplus_0 (
    input wire [3:0] gt_rxp_in,
    input wire [3:0] gt_rxn_in,
    output wire [3:0] gt_txp_out,
    output wire [3:0] gt_txn_out,
    input wire [11:0] gt_loopback_in,
    input wire gtwiz_reset_tx_datapath,
    input wire gtwiz_reset_rx_datapath,
    input wire sys_reset,
    input wire gt_ref_clk_p,
    input wire gt_ref_clk_n,
    input wire init_clk,
    input wire ctl_rx_enable,
    input wire ctl_rx_force_resync,
    input wire ctl_rx_test_pattern,
    input wire core_rx_reset,
    input wire rx_clk,
    input wire ctl_tx_enable,
    input wire ctl_tx_test_pattern,
    input wire ctl_tx_send_idle,
    input wire ctl_tx_send_rfi,
    input wire ctl_tx_send_lfi,
    input wire core_tx_reset,
    input wire tx_axis_tvalid,
    input wire [511:0] tx_axis_tdata,
    input wire tx_axis_tlast,
    input wire [63:0] tx_axis_tkeep,
    input wire tx_axis_tuser,
    input wire [55:0] tx_preamblein,
    input wire core_drp_reset,
    input wire drp_clk,
    input wire [9:0] drp_addr,
    input wire [15:0] drp_di,
    input wire drp_en,
    input wire drp_we,
    output reg gt_txusrclk2,
    output reg rx_axis_tvalid,
    output reg [511:0] rx_axis_tdata,
    output reg rx_axis_tlast,
    output reg [63:0] rx_axis_tkeep,
    output wire rx_axis_tuser,
    output reg usr_rx_reset,
    output reg usr_tx_reset,
    output reg stat_rx_aligned,
    output wire tx_axis_tready
);
  integer out, in, code, waited;
  reg [8*256-1:0] name;
  reg [576:0] beat;
  reg [5:0] count;
  reg [7:0] quiet;
  reg inside;

  assign gt_txp_out = 4'd0;
  assign gt_txn_out = 4'd0;
  assign rx_axis_tuser = 1'b0;
  assign tx_axis_tready = count[1:0] != 2'd3;

  initial begin
    gt_txusrclk2 = 1'b0;
    {usr_rx_reset, usr_tx_reset, stat_rx_aligned, rx_axis_tvalid, inside} = 5'b11000;
    count = 6'd0;
    quiet = 8'd0;
    waited = 0;
    if ($value$plusargs("taken=%s", name) == 0) $finish;
    out = $fopen(name, "w");
    if ($value$plusargs("frames=%s", name) == 0) $finish;
    in = $fopen(name, "r");
    @(posedge gt_ref_clk_p);
    #150000 forever #1551.5 gt_txusrclk2 = !gt_txusrclk2;
  end

  always @(posedge gt_txusrclk2) begin
    count <= count + 6'd1;
    waited <= sys_reset ? 0 : waited + 1;
    usr_tx_reset <= waited < 20;
    usr_rx_reset <= waited < 20;
    stat_rx_aligned <= ctl_rx_enable && waited > 50;

    // to the node: frames with a pause between them, none inside
    rx_axis_tvalid <= 1'b0;
    quiet <= (quiet != 8'd0) ? quiet - 8'd1 : 8'd0;
    if (stat_rx_aligned && ctl_tx_enable && !ctl_tx_send_rfi && quiet == 8'd0 && waited > 600) begin
      code = $fscanf(in, "%b %h %h\n", beat[576], beat[575:512], beat[511:0]);
      if (code == 3) begin
        rx_axis_tvalid <= 1'b1;
        {rx_axis_tlast, rx_axis_tkeep, rx_axis_tdata} <= beat;
        if (beat[576]) quiet <= 8'd200;
      end
    end

    // from the node
    if (inside && !tx_axis_tvalid) begin
      $display("UNDERFLOW");
      $finish;
    end
    if (tx_axis_tvalid && tx_axis_tready) begin
      inside <= !tx_axis_tlast;
      $fwrite(out, "%b %h %h\n", tx_axis_tlast, tx_axis_tkeep, tx_axis_tdata);
      $fflush(out);
      if (!ctl_tx_enable || usr_tx_reset || tx_axis_tuser) $display("UNEXPECTED");
    end
  end
endmodule

`default_nettype wire
