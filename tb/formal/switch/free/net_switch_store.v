// SPDX-License-Identifier: Apache-2.0
// For proofs of its users, in place of rtl/net/net_switch_store: a message goes into any cell that is free, taken at any time. What is
// proven with it holds for the real one, which hands out free cells only (net_switch_store_formal).
//
// The table of routes is filled for good: kernel k goes to mask k; foreign clusters have no route.
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
localparam BEAT_W = $clog2(BEATS);

(* anyseq *) wire [CELL_W-1:0] any_cell;
(* anyseq *) wire              any_pause;

reg  [CELLS-1:0]  used_reg;         // announced, not yet given back
reg               inside_reg, over_reg, begin_reg, close_reg, single_reg, whole_reg;
reg  [CELL_W-1:0] cell_reg, last_cell_reg;
reg  [BEAT_W-1:0] beat_reg;
reg  [PORTS-1:0]  mask_reg;

wire any_free = !used_reg[any_cell] && !((begin_reg || close_reg) && last_cell_reg == any_cell);
wire accept   = s_axis_tvalid && s_axis_tready;
wire full     = (CUT != 0) && (beat_reg == {BEAT_W{1'b1}});
wire close    = wr_en && (s_axis_tlast || full);

assign s_axis_tready = inside_reg || (any_free && !any_pause);
assign wr_en    = accept && !over_reg;
assign wr_cell  = (inside_reg && !over_reg) ? cell_reg : any_cell;
assign wr_beat  = beat_reg;
assign wr_first = !inside_reg;
assign wr_close = close;
assign wr_open  = (inside_reg && !over_reg) || any_free;
assign push        = (mask_reg != {PORTS{1'b0}}) && ((CUT != 0) ? begin_reg : close_reg);
assign push_mask   = mask_reg;
assign push_cell   = last_cell_reg;
assign push_single = single_reg;
assign sts_count   = 160'd0;
assign sts_busy    = (used_reg != {CELLS{1'b0}}) || inside_reg || whole_reg;

always @(posedge clk) begin
    if (accept && !inside_reg) begin
        mask_reg <= (s_axis_tdest[7:0] == id_cluster) ? s_axis_tdest[8 +: PORTS] & ALLOW : {PORTS{1'b0}};
        cell_reg <= any_cell;
    end
    if (accept) begin
        inside_reg <= !s_axis_tlast;
        beat_reg   <= s_axis_tlast ? {BEAT_W{1'b0}} : beat_reg + 1'b1;
        over_reg   <= !s_axis_tlast && (over_reg || beat_reg == {BEAT_W{1'b1}});
    end
    begin_reg     <= wr_en && !inside_reg;
    close_reg     <= close;
    whole_reg     <= accept && s_axis_tlast;
    single_reg    <= !inside_reg && s_axis_tlast;
    last_cell_reg <= wr_cell;
    if (free) used_reg[free_cell] <= 1'b0;
    if (push) used_reg[push_cell] <= 1'b1;
    if (rst) begin
        used_reg   <= {CELLS{1'b0}};
        inside_reg <= 1'b0;
        over_reg   <= 1'b0;
        begin_reg  <= 1'b0;
        close_reg  <= 1'b0;
        whole_reg  <= 1'b0;
        beat_reg   <= {BEAT_W{1'b0}};
    end
end

endmodule

`resetall
