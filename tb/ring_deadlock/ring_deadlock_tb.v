// SPDX-License-Identifier: Apache-2.0
// A ring of N stations: port 1 of each (Ethernet 1) is cabled to Ethernet 0 of the next, the last to the first. A cable takes DELAY cycles.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ring_deadlock_tb #(
    parameter N        = 4,     // stations. Requires 3 to 7
    parameter DELAY    = 4,     // cycles of a cable. Requires at least 2
    parameter CELLS    = 4,
    parameter TX_CELLS = 8,
    parameter RX_CELLS = 8,
    parameter PEERS_N  = 8      // Requires more than the highest number of a station
) (
    input  wire              clk,
    input  wire              rst,
    input  wire              go,
    input  wire [2:0]        cfg_station,
    input  wire              cfg_we,
    input  wire [31:0]       cfg_addr,
    input  wire [90:0]       cfg_data,
    output wire [N*16-1:0]   sts_sent,
    output wire [N*128-1:0]  sts_got,
    output wire [N*16-1:0]   sts_order,
    output wire [N*16-1:0]   sts_bad,
    output wire [N*2*PEERS_N-1:0] sts_up,
    output wire [N*32-1:0]   sts_lost
);

localparam WIRE_W = 512 + 64 + 2;

genvar k, p;
generate
for (k = 0; k < N; k = k + 1) begin : g_station
    wire [1023:0]  tx_tdata, rx_tdata;
    wire [127:0]   tx_tkeep, rx_tkeep;
    wire [1:0]     tx_tlast, tx_tvalid, rx_tlast, rx_tvalid;

    ring_station #(.CELLS(CELLS), .TX_CELLS(TX_CELLS), .RX_CELLS(RX_CELLS), .PEERS_N(PEERS_N)) u_station (
        .clk(clk), .rst(rst), .id_node(k), .id_mac(48'h02f10e000000 + k), .id_ip(32'h0a110001 + k), .go(go),
        .cfg_we(cfg_we && cfg_station == k), .cfg_addr(cfg_addr), .cfg_data(cfg_data),
        .tx_tdata(tx_tdata), .tx_tkeep(tx_tkeep), .tx_tlast(tx_tlast), .tx_tvalid(tx_tvalid),
        .rx_tdata(rx_tdata), .rx_tkeep(rx_tkeep), .rx_tlast(rx_tlast), .rx_tvalid(rx_tvalid),
        .sts_sent(sts_sent[k*16 +: 16]), .sts_got(sts_got[k*128 +: 128]), .sts_order(sts_order[k*16 +: 16]), .sts_bad(sts_bad[k*16 +: 16]),
        .sts_up(sts_up[k*2*PEERS_N +: 2*PEERS_N]), .sts_lost(sts_lost[k*32 +: 32])
    );

    for (p = 0; p < 2; p = p + 1) begin : g_cable
        localparam TO = (k + N + 2*p - 1) % N;  // port 0 leads to the station before, port 1 to the one behind
        reg [DELAY*WIRE_W-1:0] wire_reg;
        always @(posedge clk) begin
            wire_reg <= {wire_reg[(DELAY-1)*WIRE_W-1:0], tx_tdata[p*512 +: 512], tx_tkeep[p*64 +: 64], tx_tlast[p], tx_tvalid[p]};
            if (rst) wire_reg <= {DELAY*WIRE_W{1'b0}};
        end
        assign {g_station[TO].rx_tdata[(1-p)*512 +: 512], g_station[TO].rx_tkeep[(1-p)*64 +: 64], g_station[TO].rx_tlast[1-p],
                g_station[TO].rx_tvalid[1-p]} = wire_reg[(DELAY-1)*WIRE_W +: WIRE_W];
    end
end
endgenerate

endmodule

`resetall
