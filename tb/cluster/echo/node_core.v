// SPDX-License-Identifier: Apache-2.0
//
// Stand-in for node_core in tests of the cluster bench itself: sends every frame it receives back to where it came from.
//
// The answer is the frame with MAC, IP and kernel addresses exchanged, this node as source and the edge written by the configuration
// bus to address 0; the sequence number is the one received, so that every peer sees 0, 1, 2 ... A frame leaves no
// earlier than its last beat has come. Sequence errors are reported as by the real node. It computes nothing.

`resetall
`timescale 1ns / 1ps
`default_nettype none

module node_core #(
    parameter DEPTH_W = 8  // log2 of the beats kept
) (
    input  wire         clk,
    input  wire         rst,
    input  wire [ 15:0] id_node,
    input  wire [ 47:0] id_mac,
    input  wire [ 31:0] id_ip,
    input  wire         cfg_we,
    input  wire [ 31:0] cfg_addr,
    input  wire [511:0] cfg_data,
    output wire [511:0] mac_tx_tdata,
    output wire [ 63:0] mac_tx_tkeep,
    output wire         mac_tx_tlast,
    output wire         mac_tx_tvalid,
    input  wire         mac_tx_tready,
    input  wire [511:0] mac_rx_tdata,
    input  wire [ 63:0] mac_rx_tkeep,
    input  wire         mac_rx_tlast,
    input  wire         mac_rx_tvalid,
    input  wire         mac_rx_tuser,
    output reg          sts_seq_error,
    output reg  [ 15:0] sts_seq_peer,
    output reg  [ 23:0] sts_seq_expected,
    output reg  [ 23:0] sts_seq_got,
    output reg  [ 31:0] sts_drops,
    output wire         sts_busy
);

  reg [576:0] beats[0:(1<<DEPTH_W)-1];
  reg [DEPTH_W-1:0] wr_reg, whole_reg, rd_reg;
  reg         first_reg;
  reg [  7:0] edge_reg;
  reg [ 23:0] expected_reg;
  reg [511:0] turned;

  wire [23:0] got = {mac_rx_tdata[8*48+:8], mac_rx_tdata[8*49+:8], mac_rx_tdata[8*50+:8]};

  always @* begin
    turned = mac_rx_tdata;
    if (first_reg) begin
      turned[47:0] = mac_rx_tdata[95:48];
      turned[95:48] = {
        id_mac[7:0], id_mac[15:8], id_mac[23:16], id_mac[31:24], id_mac[39:32], id_mac[47:40]
      };
      turned[8*26+:32] = {id_ip[7:0], id_ip[15:8], id_ip[23:16], id_ip[31:24]};
      turned[8*30+:32] = mac_rx_tdata[8*26+:32];
      turned[8*44+:16] = {id_node[7:0], id_node[15:8]};
      turned[8*54+:16] = mac_rx_tdata[8*57+:16];
      turned[8*56+:8] = edge_reg;
      turned[8*57+:16] = mac_rx_tdata[8*54+:16];
    end
  end

  assign {mac_tx_tlast, mac_tx_tkeep, mac_tx_tdata} = beats[rd_reg];
  assign mac_tx_tvalid = rd_reg != whole_reg;
  assign sts_busy = rd_reg != wr_reg;

  always @(posedge clk) begin
    if (cfg_we && cfg_addr == 32'd0) edge_reg <= cfg_data[7:0];
    if (mac_rx_tvalid) begin
      beats[wr_reg] <= {mac_rx_tlast, mac_rx_tkeep, turned};
      wr_reg <= wr_reg + 1'b1;
      if (mac_rx_tlast) whole_reg <= wr_reg + 1'b1;
      first_reg <= mac_rx_tlast;
      if (mac_rx_tlast && mac_rx_tuser) sts_drops <= sts_drops + 32'd1;
      if (first_reg) begin
        expected_reg <= got + 24'd1;
        if (got != expected_reg && !sts_seq_error) begin
          sts_seq_error <= 1'b1;
          sts_seq_peer <= {mac_rx_tdata[8*44+:8], mac_rx_tdata[8*45+:8]};
          sts_seq_expected <= expected_reg;
          sts_seq_got <= got;
        end
      end
    end
    if (mac_tx_tvalid && mac_tx_tready) rd_reg <= rd_reg + 1'b1;
    if (rst) begin
      wr_reg <= 0;
      whole_reg <= 0;
      rd_reg <= 0;
      first_reg <= 1'b1;
      expected_reg <= 24'd0;
      sts_seq_error <= 1'b0;
      sts_seq_peer <= 16'd0;
      sts_seq_expected <= 24'd0;
      sts_seq_got <= 24'd0;
      sts_drops <= 32'd0;
    end
  end

endmodule

`resetall
