// SPDX-License-Identifier: Apache-2.0
// For the proof of the whole switch, in place of rtl/net/net_switch_store: messages for any outputs come at any time, CELLS at most are
// inside. Nothing is stored.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_switch_store #(
    parameter PORTS  = 5,
    parameter CELLS  = 32,
    parameter BEATS  = 16,
    parameter CUT    = 0,
    parameter ALLOW  = 31
) (
    input  wire                      clk,
    input  wire                      rst,
    input  wire [7:0]                id_cluster,
    input  wire [15:0]               s_axis_tdest,
    input  wire                      s_axis_tlast,
    input  wire                      s_axis_tvalid,
    output wire                      s_axis_tready,
    output wire                      wr_en,
    output wire [$clog2(CELLS)-1:0]  wr_cell,
    output wire [$clog2(BEATS)-1:0]  wr_beat,
    output wire                      wr_first,
    output wire                      wr_close,
    output wire                      wr_open,
    output wire                      push,
    output wire [PORTS-1:0]          push_mask,
    output wire [$clog2(CELLS)-1:0]  push_cell,
    output wire                      push_single,
    input  wire                      free,
    input  wire [$clog2(CELLS)-1:0]  free_cell,
    input  wire                      cfg_we,
    input  wire [8:0]                cfg_index,
    input  wire [PORTS-1:0]          cfg_data,
    output wire [5*32-1:0]           sts_count,
    output wire                      sts_busy
);

localparam CELL_W = $clog2(CELLS);

(* anyseq *) wire             any_push, any_single;
(* anyseq *) wire [PORTS-1:0] any_mask;

reg [CELL_W:0] used_reg;

assign push          = any_push && !used_reg[CELL_W] && ((any_mask & ALLOW) != {PORTS{1'b0}});
assign push_mask     = any_mask & ALLOW;
assign push_cell     = {CELL_W{1'b0}};
assign push_single   = any_single;
assign s_axis_tready = 1'b0;
assign wr_en         = 1'b0;
assign wr_cell       = {CELL_W{1'b0}};
assign wr_beat       = {$clog2(BEATS){1'b0}};
assign wr_first      = 1'b0;
assign wr_close      = 1'b0;
assign wr_open       = 1'b0;
assign sts_count     = 160'd0;
assign sts_busy      = 1'b0;

always @(posedge clk) begin
    if (push != free) used_reg <= push ? used_reg + 1'b1 : used_reg - 1'b1;
    if (rst) used_reg <= {(CELL_W+1){1'b0}};
end

endmodule

`resetall
