// SPDX-License-Identifier: Apache-2.0
//
// Stand-in for node_core in tests of the cluster bench itself: sends every message it receives back to where it came from.
//
// The answer is the data frame with MAC, IP and kernel addresses exchanged, this node as source, the edge written by the configuration
// bus to address 0 and as many messages acknowledged as have come; the sequence number is the one received, so that the one peer there is
// sees 0, 1, 2 ... A hello is answered with a hello-ack of epoch 1. All other frames are swallowed, data that is not expected
// too: nothing is ever sent again. A frame leaves no earlier than its last beat has come. It computes nothing.

`resetall
`timescale 1ns / 1ps
`default_nettype none

module node_core #(
    parameter DEPTH_W = 8,  // log2 of the beats kept
    parameter ETH_N   = 1,  // Ethernet ports. Requires 1
    parameter PEERS_N = 2,  // width of sts_failed
    parameter PACKED  = 0   // has no meaning here
) (
    input  wire               clk,
    input  wire               rst,
    input  wire [       15:0] id_node,
    input  wire [        7:0] id_cluster,
    input  wire [       47:0] id_mac,
    input  wire [       31:0] id_ip,
    input  wire [       15:0] id_up_node,
    input  wire [       47:0] id_up_mac,
    input  wire [       31:0] id_up_ip,
    input  wire               id_up_valid,
    input  wire               cfg_we,
    input  wire [       31:0] cfg_addr,
    input  wire [      511:0] cfg_data,
    output wire [      511:0] mac_tx_tdata,
    output wire [       63:0] mac_tx_tkeep,
    output wire               mac_tx_tlast,
    output wire               mac_tx_tvalid,
    input  wire               mac_tx_tready,
    input  wire [      511:0] mac_rx_tdata,
    input  wire [       63:0] mac_rx_tkeep,
    input  wire               mac_rx_tlast,
    input  wire               mac_rx_tvalid,
    input  wire               mac_rx_tuser,
    output reg  [       31:0] sts_lost,
    output wire               sts_busy,
    output wire               sts_active,
    output wire [PEERS_N-1:0] sts_failed
);

  localparam [4:0] DATA = 5'd0, HELLO = 5'd3, HELLO_ACK = 5'd4;

  reg [576:0] beats[0:(1<<DEPTH_W)-1];
  reg [DEPTH_W-1:0] wr_reg, whole_reg, rd_reg;
  reg first_reg, keep_reg;
  reg [  7:0] edge_reg;
  reg [  7:0] theirs_reg;
  reg [ 23:0] expected_reg;
  reg [511:0] turned;

  wire [4:0] kind = mac_rx_tdata[8*42+:5];
  wire [7:0] theirs = mac_rx_tdata[8*46+:8];
  wire [23:0] got = {mac_rx_tdata[8*48+:8], mac_rx_tdata[8*49+:8], mac_rx_tdata[8*50+:8]};
  // what acknowledged says: a message that is echoed has come
  wire [23:0] after = (kind == HELLO) ? (theirs != theirs_reg ? 24'd0 : expected_reg) : expected_reg + 24'd1;
  wire keep = first_reg ? (kind == HELLO) || (kind == DATA && theirs == theirs_reg && got == expected_reg) : keep_reg;

  wire unused = &{1'b0, id_cluster, id_up_node, id_up_mac, id_up_ip, id_up_valid};

  always @* begin
    turned = mac_rx_tdata;
    if (first_reg) begin
      turned[47:0] = mac_rx_tdata[95:48];
      turned[95:48] = {
        id_mac[7:0], id_mac[15:8], id_mac[23:16], id_mac[31:24], id_mac[39:32], id_mac[47:40]
      };
      turned[8*26+:32] = {id_ip[7:0], id_ip[15:8], id_ip[23:16], id_ip[31:24]};
      turned[8*30+:32] = mac_rx_tdata[8*26+:32];
      turned[8*42+:5] = (kind == HELLO) ? HELLO_ACK : DATA;
      turned[8*43+:8] = 8'd64;
      turned[8*44+:16] = {id_node[7:0], id_node[15:8]};
      turned[8*46+:8] = 8'd1;
      turned[8*47+:8] = theirs;
      turned[8*51+:24] = {after[7:0], after[15:8], after[23:16]};
      if (kind == DATA) begin
        turned[8*54+:16] = mac_rx_tdata[8*57+:16];
        turned[8*56+:8]  = edge_reg;
        turned[8*57+:16] = mac_rx_tdata[8*54+:16];
      end
    end
  end

  assign {mac_tx_tlast, mac_tx_tkeep, mac_tx_tdata} = beats[rd_reg];
  assign mac_tx_tvalid = rd_reg != whole_reg;
  assign sts_busy = rd_reg != wr_reg;
  assign sts_active = 1'b0;
  assign sts_failed = {PEERS_N{1'b0}};

  always @(posedge clk) begin
    if (cfg_we && cfg_addr == 32'd0) edge_reg <= cfg_data[7:0];
    if (mac_rx_tvalid) begin
      first_reg <= mac_rx_tlast;
      keep_reg  <= keep;
      if (keep) begin
        beats[wr_reg] <= {mac_rx_tlast, mac_rx_tkeep, turned};
        wr_reg <= wr_reg + 1'b1;
        if (mac_rx_tlast) whole_reg <= wr_reg + 1'b1;
      end
      if (first_reg && keep) begin
        theirs_reg   <= theirs;
        expected_reg <= after;
      end
      if (mac_rx_tlast && mac_rx_tuser) sts_lost <= sts_lost + 32'd1;
    end
    if (mac_tx_tvalid && mac_tx_tready) rd_reg <= rd_reg + 1'b1;
    if (rst) begin
      wr_reg <= 0;
      whole_reg <= 0;
      rd_reg <= 0;
      first_reg <= 1'b1;
      theirs_reg <= 8'd0;
      expected_reg <= 24'd0;
      sts_lost <= 32'd0;
    end
  end

endmodule

`resetall
