// SPDX-License-Identifier: Apache-2.0
// Makes a bare node reachable: in the first 16 cycles after a reset it writes the routes of the manager and of the host, and the upstream peer.
//
//   ROUTE[0] = port 0; ROUTE[255] = port 4; PEER[id_up_node] of port 0 = {QUOTA, id_up_valid, id_up_ip, id_up_mac};
//   PEERS[255] of port 0 = 1 << (id_up_node mod PEERS_N);
//   ROUTE[193 + id_node] = port 0 where id_node <= 30: the manager under its number in the plan of one cluster
//
// Where id_up_valid = 0, PEER is not valid and PEERS is 0.
// One write a cycle, in cycles 8 to 12 after the reset; `boot_busy` is 1 through cycle 15. Nobody else may write in that time.
// It knows no other entry: everything else, and changes of these, come later over the configuration bus.
`resetall
`timescale 1ns/1ps
`default_nettype none

module node_boot #(
    parameter PEERS_N = 64, // peers of a port. Requires a power of two, 2 to 64
    parameter QUOTA   = 32  // receive cells of the upstream peer. Requires 1 to 255
) (
    input  wire         clk,
    input  wire         rst,
    input  wire [15:0]  id_node,
    input  wire [15:0]  id_up_node,
    input  wire [47:0]  id_up_mac,
    input  wire [31:0]  id_up_ip,
    input  wire         id_up_valid,

    output wire         boot_busy,
    output reg          boot_we,
    output reg  [31:0]  boot_addr,
    output reg  [88:0]  boot_data
);

localparam [3:0]  UNIT_SWITCH = 4'd4, UNIT_ETH = 4'd5;
localparam [3:0]  MEM_ROUTE = 4'd0, MEM_PEERS = 4'd0, MEM_PEER = 4'd1;
localparam        PEER_W = $clog2(PEERS_N);
localparam [7:0]  MANAGER_BASE = 8'd193;    // kernel number of node 0's manager in the plan
localparam [15:0] ALIASES = 16'd31;         // managers that have one: 193 to 223

generate
if (PEERS_N < 2 || PEERS_N > 64 || (1 << PEER_W) != PEERS_N) begin : g_peers
    PARAM_ERROR_node_boot_PEERS_N_power_of_two_2_to_64 u_err ();
end
if (QUOTA < 1 || QUOTA > 255) begin : g_quota
    PARAM_ERROR_node_boot_QUOTA_1_to_255 u_err ();
end
endgenerate

reg  [4:0]  step_reg;   // 16 and above: done

always @(posedge clk) begin
    if (!step_reg[4]) step_reg <= step_reg + 1'b1;
    boot_we <= (step_reg[4:2] == 3'b010) || (step_reg == 5'd12 && id_node < ALIASES);
    case (step_reg[2:0])
        3'd0: begin
            boot_addr <= {UNIT_SWITCH, MEM_ROUTE, 24'd0};
            boot_data <= 89'd1;
        end
        3'd1: begin
            boot_addr <= {UNIT_SWITCH, MEM_ROUTE, 24'd255};
            boot_data <= 89'd16;
        end
        3'd2: begin
            boot_addr <= {UNIT_ETH, MEM_PEER, 8'd0, id_up_node};
            boot_data <= {QUOTA[7:0], id_up_valid, id_up_ip, id_up_mac};
        end
        3'd3: begin
            boot_addr <= {UNIT_ETH, MEM_PEERS, 24'd255};
            boot_data <= {25'd0, id_up_valid ? (64'd1 << id_up_node[PEER_W-1:0]) : 64'd0};
        end
        default: begin
            boot_addr <= {UNIT_SWITCH, MEM_ROUTE, 16'd0, MANAGER_BASE + {3'd0, id_node[4:0]}};
            boot_data <= 89'd1;
        end
    endcase
    if (rst) begin
        step_reg <= 5'd0;
        boot_we  <= 1'b0;
    end
end

assign boot_busy = !step_reg[4];

endmodule

`resetall
