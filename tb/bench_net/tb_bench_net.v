// SPDX-License-Identifier: Apache-2.0
// Stations for the figures of the network: each a packet switch and an Ethernet port, with the one kernel port 1 open to the bench.
//
// DIRECT = 1: two stations, MAC to MAC without a cycle between. DIRECT = 0: the bench carries the frames (mac_* are its).
// Station k has node number k, MAC 02:00:00:00:00:0k, address 10.0.0.(k+1). cfg_we[k] writes station k: unit 4 switch, 5 eth.
`resetall
`timescale 1ns/1ps
`default_nettype none

module tb_bench_net #(
    parameter STATIONS = 2, // stations. Requires 2 to 8
    parameter DIRECT   = 1  // see above. Requires STATIONS = 2 if 1
) (
    input  wire                     clk,
    input  wire                     rst,

    input  wire [STATIONS*512-1:0]  s_tdata,
    input  wire [STATIONS*64-1:0]   s_tkeep,
    input  wire [STATIONS*80-1:0]   s_tuser,
    input  wire [STATIONS-1:0]      s_tlast,
    input  wire [STATIONS-1:0]      s_tvalid,
    output wire [STATIONS-1:0]      s_tready,

    output wire [STATIONS*512-1:0]  m_tdata,
    output wire [STATIONS*64-1:0]   m_tkeep,
    output wire [STATIONS*80-1:0]   m_tuser,
    output wire [STATIONS-1:0]      m_tlast,
    output wire [STATIONS-1:0]      m_tvalid,

    output wire [STATIONS*512-1:0]  mac_tx_tdata,
    output wire [STATIONS*64-1:0]   mac_tx_tkeep,
    output wire [STATIONS-1:0]      mac_tx_tlast,
    output wire [STATIONS-1:0]      mac_tx_tvalid,
    input  wire [STATIONS-1:0]      mac_tx_tready,

    input  wire [STATIONS*512-1:0]  mac_rx_tdata,
    input  wire [STATIONS*64-1:0]   mac_rx_tkeep,
    input  wire [STATIONS-1:0]      mac_rx_tlast,
    input  wire [STATIONS-1:0]      mac_rx_tvalid,

    input  wire [STATIONS-1:0]      cfg_we,
    input  wire [31:0]              cfg_addr,
    input  wire [511:0]             cfg_data,

    output wire [STATIONS*2048-1:0] sts_count,
    output wire [STATIONS*64-1:0]   sts_up
);

localparam PORTS = 5;

genvar k;
generate
if (STATIONS < 2 || STATIONS > 8 || (DIRECT != 0 && STATIONS != 2)) begin : g_stations
    PARAM_ERROR_tb_bench_net_STATIONS_2_to_8_and_2_if_DIRECT u_err ();
end
for (k = 0; k < STATIONS; k = k + 1) begin : g_station
    localparam OTHER = STATIONS - 1 - k;
    localparam [7:0] NUMBER = k;

    wire [511:0] out_tdata, in_tdata;
    wire [63:0]  out_tkeep, in_tkeep;
    wire [79:0]  out_tuser, in_tuser;
    wire         out_tlast, out_tvalid, out_tready, in_tlast, in_tvalid, in_tready, out_room;

    wire [PORTS*512-1:0] w_tdata;
    wire [PORTS*64-1:0]  w_tkeep;
    wire [PORTS*80-1:0]  w_tuser;
    wire [PORTS-1:0]     w_tlast, w_tvalid, k_tready;

    net_switch #(.PORTS(PORTS), .NO_RETURN(16)) u_switch (
        .clk(clk), .rst(rst), .id_cluster(8'd0),
        .s_axis_tdata({in_tdata, 1024'd0, s_tdata[k*512 +: 512], 512'd0}), .s_axis_tkeep({in_tkeep, 128'd0, s_tkeep[k*64 +: 64], 64'd0}),
        .s_axis_tuser({in_tuser, 160'd0, s_tuser[k*80 +: 80], 80'd0}), .s_axis_tlast({in_tlast, 2'd0, s_tlast[k], 1'b0}),
        .s_axis_tvalid({in_tvalid, 2'd0, s_tvalid[k], 1'b0}), .s_axis_tready(k_tready),
        .m_axis_tdata(w_tdata), .m_axis_tkeep(w_tkeep), .m_axis_tuser(w_tuser), .m_axis_tlast(w_tlast), .m_axis_tvalid(w_tvalid),
        .m_axis_tready({out_tready, 4'b1111}), .m_axis_room({out_room, 4'b1111}),
        .cfg_we(cfg_we[k] && cfg_addr[31:28] == 4'd4), .cfg_addr(cfg_addr[27:0]), .cfg_data(cfg_data[PORTS-1:0]),
        .sts_count(), .sts_drops(), .sts_busy()
    );

    assign s_tready[k]            = k_tready[1];
    assign in_tready              = k_tready[4];
    assign m_tdata[k*512 +: 512]  = w_tdata[512 +: 512];
    assign m_tkeep[k*64 +: 64]    = w_tkeep[64 +: 64];
    assign m_tuser[k*80 +: 80]    = w_tuser[80 +: 80];
    assign m_tlast[k]             = w_tlast[1];
    assign m_tvalid[k]            = w_tvalid[1];
    assign out_tdata              = w_tdata[4*512 +: 512];
    assign out_tkeep              = w_tkeep[4*64 +: 64];
    assign out_tuser              = w_tuser[4*80 +: 80];
    assign out_tlast              = w_tlast[4];
    assign out_tvalid             = w_tvalid[4];

    net_eth #(.PEERS_N(8)) u_eth (
        .clk(clk), .rst(rst), .id_node({8'd0, NUMBER}), .id_mac({40'h0200000000, NUMBER}), .id_ip({24'h0a0000, NUMBER + 8'd1}),
        .id_cluster(8'd0),
        .s_axis_tdata(out_tdata), .s_axis_tkeep(out_tkeep), .s_axis_tuser(out_tuser), .s_axis_tlast(out_tlast),
        .s_axis_tvalid(out_tvalid), .s_axis_tready(out_tready), .s_axis_room(out_room),
        .m_axis_tdata(in_tdata), .m_axis_tkeep(in_tkeep), .m_axis_tuser(in_tuser), .m_axis_tlast(in_tlast),
        .m_axis_tvalid(in_tvalid), .m_axis_tready(in_tready),
        .mac_tx_tdata(mac_tx_tdata[k*512 +: 512]), .mac_tx_tkeep(mac_tx_tkeep[k*64 +: 64]), .mac_tx_tlast(mac_tx_tlast[k]),
        .mac_tx_tvalid(mac_tx_tvalid[k]), .mac_tx_tready((DIRECT != 0) || mac_tx_tready[k]),
        .mac_rx_tdata((DIRECT != 0) ? mac_tx_tdata[OTHER*512 +: 512] : mac_rx_tdata[k*512 +: 512]),
        .mac_rx_tkeep((DIRECT != 0) ? mac_tx_tkeep[OTHER*64 +: 64] : mac_rx_tkeep[k*64 +: 64]),
        .mac_rx_tlast((DIRECT != 0) ? mac_tx_tlast[OTHER] : mac_rx_tlast[k]),
        .mac_rx_tvalid((DIRECT != 0) ? mac_tx_tvalid[OTHER] : mac_rx_tvalid[k]), .mac_rx_tuser(1'b0),
        .cfg_we(cfg_we[k] && cfg_addr[31:28] == 4'd5), .cfg_addr(cfg_addr[27:0]), .cfg_data(cfg_data[88:0]),
        .sts_count(sts_count[k*2048 +: 2048]), .sts_lost(), .sts_up(sts_up[k*64 +: 8]), .sts_failed(), .sts_restarted(), .sts_busy()
    );

    assign sts_up[k*64 + 8 +: 56] = 56'd0;
end
endgenerate

endmodule

`resetall
