// SPDX-License-Identifier: Apache-2.0
// A station of the ring bench: packet switch, two Ethernet ports, and a kernel that sends messages and sinks what comes.
//
// Switch ports: 0 kernel, 1 and 2 Ethernet. After `go` the kernel sends COUNT messages of BEATS beats, as fast as it can, to the destinations of its
// list in turn; `row` numbers them. It always sinks, and counts what comes: per sender (low 3 bits of the source kernel), rows that do not ascend,
// and payloads that are not the row.
// Configuration: cfg_addr[31:28] 4 switch, 5 and 6 Ethernet ports, 7 the kernel: {count 16, beats 4, destinations less one 3, list 8 x 8}.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ring_station #(
    parameter CELLS    = 4,
    parameter TX_CELLS = 8,
    parameter RX_CELLS = 8,
    parameter PEERS_N  = 8
) (
    input  wire               clk,
    input  wire               rst,
    input  wire [15:0]        id_node,
    input  wire [47:0]        id_mac,
    input  wire [31:0]        id_ip,
    input  wire               go,
    input  wire               cfg_we,
    input  wire [31:0]        cfg_addr,
    input  wire [90:0]        cfg_data,
    output wire [2*512-1:0]   tx_tdata,
    output wire [2*64-1:0]    tx_tkeep,
    output wire [1:0]         tx_tlast,
    output wire [1:0]         tx_tvalid,
    input  wire [2*512-1:0]   rx_tdata,
    input  wire [2*64-1:0]    rx_tkeep,
    input  wire [1:0]         rx_tlast,
    input  wire [1:0]         rx_tvalid,
    output reg  [15:0]        sts_sent,
    output reg  [8*16-1:0]    sts_got,
    output reg  [15:0]        sts_order,
    output reg  [15:0]        sts_bad,
    output wire [2*PEERS_N-1:0] sts_up,
    output wire [31:0]        sts_lost
);

wire [3*512-1:0] i_tdata, o_tdata;
wire [3*64-1:0]  i_tkeep, o_tkeep;
wire [3*80-1:0]  i_tuser, o_tuser;
wire [2:0]       i_tlast, i_tvalid, i_tready, o_tlast, o_tvalid, o_tready;
wire [2*32-1:0]  eth_lost;
wire [31:0]      switch_lost;
wire [1:0]       room;

// ---- kernel

reg  [15:0] count_reg;
reg  [3:0]  beats_reg, beat_reg;
reg  [2:0]  last_reg, turn_reg;
reg  [63:0] list_reg;
reg  [15:0] before_reg [0:7];

wire [7:0]  to   = list_reg[turn_reg*8 +: 8];
wire        move = i_tvalid[0] && i_tready[0];
wire [7:0]  own  = 8'd1 + id_node[7:0];
wire [15:0] row  = {o_tuser[55:48], o_tuser[63:56]};
wire [2:0]  from = o_tuser[34:32];
integer     s;

assign i_tdata[511:0] = {496'd0, sts_sent};
assign i_tkeep[63:0]  = {64{1'b1}};
assign i_tuser[79:0]  = {16'd0, sts_sent[7:0], sts_sent[15:8], 8'd0, own, 8'd0, 8'd0, to, 8'd0};
assign i_tlast[0]     = (beat_reg == beats_reg - 4'd1);
assign i_tvalid[0]    = go && sts_sent != count_reg;
assign o_tready[0]    = 1'b1;

always @(posedge clk) begin
    if (cfg_we && cfg_addr[31:28] == 4'd7) {count_reg, beats_reg, last_reg, list_reg} <= cfg_data[86:0];
    if (move) begin
        beat_reg <= i_tlast[0] ? 4'd0 : beat_reg + 4'd1;
        if (i_tlast[0]) begin
            sts_sent <= sts_sent + 16'd1;
            turn_reg <= (turn_reg == last_reg) ? 3'd0 : turn_reg + 3'd1;
        end
    end
    if (o_tvalid[0] && o_tlast[0]) begin
        sts_got[from*16 +: 16] <= sts_got[from*16 +: 16] + 16'd1;
        if (row < before_reg[from]) sts_order <= sts_order + 16'd1;
        if (o_tdata[511:0] != {496'd0, row}) sts_bad <= sts_bad + 16'd1;
        before_reg[from] <= row + 16'd1;
    end
    if (rst) begin
        count_reg <= 16'd0;
        sts_sent  <= 16'd0;
        beat_reg  <= 4'd0;
        turn_reg  <= 3'd0;
        sts_got   <= 128'd0;
        sts_order <= 16'd0;
        sts_bad   <= 16'd0;
        for (s = 0; s < 8; s = s + 1) before_reg[s] <= 16'd0;
    end
end

// ---- switch and ports

net_switch #(.PORTS(3), .CELLS(CELLS), .BEATS(16), .NO_RETURN(6), .OVERDUE_W(4)) u_switch (
    .clk(clk), .rst(rst), .id_cluster(8'd0),
    .s_axis_tdata(i_tdata), .s_axis_tkeep(i_tkeep), .s_axis_tuser(i_tuser), .s_axis_tlast(i_tlast), .s_axis_tvalid(i_tvalid), .s_axis_tready(i_tready),
    .m_axis_tdata(o_tdata), .m_axis_tkeep(o_tkeep), .m_axis_tuser(o_tuser), .m_axis_tlast(o_tlast), .m_axis_tvalid(o_tvalid), .m_axis_tready(o_tready), .m_axis_room({room, 1'b1}),
    .cfg_we(cfg_we && cfg_addr[31:28] == 4'd4), .cfg_addr(cfg_addr[27:0]), .cfg_data(cfg_data[2:0]),
    .sts_count(), .sts_drops(switch_lost), .sts_busy()
);

genvar g;
generate
for (g = 0; g < 2; g = g + 1) begin : g_eth
    localparam [3:0] UNIT = 5 + g;
    net_eth #(.PEERS_N(PEERS_N), .TX_CELLS(TX_CELLS), .RX_CELLS(RX_CELLS), .WINDOW_N(8), .UDP_PORT(17996)) u_eth (
        .clk(clk), .rst(rst), .id_node(id_node), .id_mac(id_mac + 48'd128*g), .id_ip(id_ip + 32'd128*g), .id_cluster(8'd0),
        .s_axis_tdata(o_tdata[(1+g)*512 +: 512]), .s_axis_tkeep(o_tkeep[(1+g)*64 +: 64]), .s_axis_tuser(o_tuser[(1+g)*80 +: 80]),
        .s_axis_tlast(o_tlast[1+g]), .s_axis_tvalid(o_tvalid[1+g]), .s_axis_tready(o_tready[1+g]), .s_axis_room(room[g]),
        .m_axis_tdata(i_tdata[(1+g)*512 +: 512]), .m_axis_tkeep(i_tkeep[(1+g)*64 +: 64]), .m_axis_tuser(i_tuser[(1+g)*80 +: 80]),
        .m_axis_tlast(i_tlast[1+g]), .m_axis_tvalid(i_tvalid[1+g]), .m_axis_tready(i_tready[1+g]),
        .mac_tx_tdata(tx_tdata[g*512 +: 512]), .mac_tx_tkeep(tx_tkeep[g*64 +: 64]), .mac_tx_tlast(tx_tlast[g]),
        .mac_tx_tvalid(tx_tvalid[g]), .mac_tx_tready(1'b1),
        .mac_rx_tdata(rx_tdata[g*512 +: 512]), .mac_rx_tkeep(rx_tkeep[g*64 +: 64]), .mac_rx_tlast(rx_tlast[g]),
        .mac_rx_tvalid(rx_tvalid[g]), .mac_rx_tuser(1'b0),
        .cfg_we(cfg_we && cfg_addr[31:28] == UNIT), .cfg_addr(cfg_addr[27:0]), .cfg_data(cfg_data[88:0]),
        .sts_count(), .sts_lost(eth_lost[g*32 +: 32]), .sts_up(sts_up[g*PEERS_N +: PEERS_N]), .sts_failed(), .sts_restarted(), .sts_busy()
    );
end
endgenerate

assign sts_lost = switch_lost + eth_lost[31:0] + eth_lost[63:32];

endmodule

`resetall
