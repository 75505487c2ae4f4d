// SPDX-License-Identifier: Apache-2.0
// The configuration bus of a node: three writers in, one enable a unit out (docs/architecture.md, section 3).
//
// Who writes in a cycle: node_boot, else the bus from outside (cfg_*), else the manager (man_*), which waits while man_ready = 0. What the outside
// writes while node_boot does is lost: it must keep away for 16 cycles after a reset.
//
// Latency 2 cycles, one write a cycle. Unit u is cfg_addr[31:28]; a write to a unit that does not exist goes nowhere.
`resetall
`timescale 1ns/1ps
`default_nettype none

module node_config #(
    parameter UNITS = 6     // units 0 .. UNITS-1. Requires 1 to 16
) (
    input  wire             clk,
    input  wire             rst,

    input  wire             boot_we,
    input  wire [31:0]      boot_addr,
    input  wire [88:0]      boot_data,

    input  wire             cfg_we,
    input  wire [31:0]      cfg_addr,
    input  wire [511:0]     cfg_data,

    input  wire             man_we,
    output wire             man_ready,
    input  wire [31:0]      man_addr,
    input  wire [511:0]     man_data,

    output wire [UNITS-1:0] unit_we,
    output wire [27:0]      unit_addr,
    output wire [511:0]     unit_data
);

generate
if (UNITS < 1 || UNITS > 16) begin : g_units
    PARAM_ERROR_node_config_UNITS_1_to_16 u_err ();
end
endgenerate

reg             we_p1;
reg [31:0]      addr_p1;
reg [511:0]     data_p1;
reg [UNITS-1:0] we_p2;
reg [27:0]      addr_p2;
reg [511:0]     data_p2;
integer         u;

assign man_ready = !boot_we && !cfg_we;

always @(posedge clk) begin
    we_p1 <= boot_we || cfg_we || man_we;
    if (boot_we) begin
        addr_p1 <= boot_addr;
        data_p1 <= {423'd0, boot_data};
    end else if (cfg_we) begin
        addr_p1 <= cfg_addr;
        data_p1 <= cfg_data;
    end else if (man_we) begin
        addr_p1 <= man_addr;
        data_p1 <= man_data;
    end
    for (u = 0; u < UNITS; u = u + 1) we_p2[u] <= we_p1 && (addr_p1[31:28] == u[3:0]);
    if (we_p1) begin
        addr_p2 <= addr_p1[27:0];
        data_p2 <= data_p1;
    end
    if (rst) begin
        we_p1 <= 1'b0;
        we_p2 <= {UNITS{1'b0}};
    end
end

assign unit_we   = we_p2;
assign unit_addr = addr_p2;
assign unit_data = data_p2;

endmodule

`resetall
