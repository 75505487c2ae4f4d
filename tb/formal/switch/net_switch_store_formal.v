// SPDX-License-Identifier: Apache-2.0
// Proof of net_switch_store: whatever messages come and in whatever order the reader gives cells back, a cell is written or announced only
// while nobody else has it, and no cell is ever lost. `bad` must never rise.
//
// Messages obey the handshake by construction; kernel numbers are masks (net_table of this folder).
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_switch_store_formal #(
    parameter PORTS = 2,
    parameter CELLS = 4,
    parameter BEATS = 2,
    parameter CUT   = 0
) (
    input  wire                     clk,
    input  wire                     valid,      // a beat is offered
    input  wire                     last,
    input  wire                     foreign,
    input  wire [PORTS-1:0]         kernel,
    input  wire                     give,       // the reader gives a cell back
    input  wire [$clog2(CELLS)-1:0] give_cell,  // this one, if it has it
    output wire                     bad
);

localparam CELL_W = $clog2(CELLS);

reg              run_reg;
initial run_reg = 1'b0;
wire             rst = !run_reg;

wire             tready, wr_en, wr_first, wr_close, wr_open, push, push_single, busy;
wire [CELL_W-1:0] wr_cell, push_cell;
wire             wr_beat;
wire [PORTS-1:0] push_mask;
reg  [CELLS-1:0] out_reg;       // cells that the reader has
reg  [CELLS-1:0] open_reg;      // of these, the one that is still written (CUT)
reg  [2:0]       rest_reg;
reg              inside_reg, early_reg;
reg              wrong;
reg  [CELL_W:0]  count;         // cells that the reader has
integer          c;

wire beat = valid && tready;
wire free = give && out_reg[give_cell] && !open_reg[give_cell];

net_switch_store #(.PORTS(PORTS), .CELLS(CELLS), .BEATS(BEATS), .CUT(CUT), .ALLOW({PORTS{1'b1}})) u_store (
    .clk(clk), .rst(rst), .id_cluster(8'd1), .s_axis_tdest({{(8-PORTS){1'b0}}, kernel, 7'd0, !foreign}),
    .s_axis_tlast(last), .s_axis_tvalid(valid), .s_axis_tready(tready),
    .wr_en(wr_en), .wr_cell(wr_cell), .wr_beat(wr_beat), .wr_first(wr_first), .wr_close(wr_close), .wr_open(wr_open),
    .push(push), .push_mask(push_mask), .push_cell(push_cell), .push_single(push_single), .free(free), .free_cell(give_cell),
    .cfg_we(1'b0), .cfg_index(9'd0), .cfg_data({PORTS{1'b0}}), .sts_count(), .sts_busy(busy)
);

always @* begin
    c     = 0;
    count = {(CELL_W+1){1'b0}};
    for (c = 0; c < CELLS; c = c + 1) count = count + out_reg[c];
    wrong = 1'b0;
    // a cell is announced once, and never written while the reader has it, but by the message that is its own
    if (push && out_reg[push_cell]) wrong = 1'b1;
    if (wr_en && out_reg[wr_cell] && !(CUT != 0 && inside_reg && open_reg[wr_cell])) wrong = 1'b1;
    // a message is refused at its beginning only, and not while a cell is left: at rest one is at hand unless the reader has all
    if (valid && !tready && inside_reg && !early_reg) wrong = 1'b1;
    if (rest_reg[2] && !inside_reg && !tready && count != CELLS) wrong = 1'b1;
    if (rest_reg[2] && !inside_reg && busy != (count != 0)) wrong = 1'b1;
end

always @(posedge clk) begin
    run_reg  <= 1'b1;
    rest_reg <= (beat || free) ? 3'd0 : rest_reg[2] ? rest_reg : rest_reg + 1'b1;
    if (beat) inside_reg <= !last;
    // a message cut short: its rest may be refused
    if (beat) early_reg <= !last && (early_reg || (wr_close && CUT != 0));
    if (free) out_reg[give_cell] <= 1'b0;
    if (push) out_reg[push_cell] <= 1'b1;
    if (wr_close) open_reg <= {CELLS{1'b0}};
    else if (wr_en && wr_first && CUT != 0) open_reg <= {{(CELLS-1){1'b0}}, 1'b1} << wr_cell;
    if (rst) begin
        inside_reg <= 1'b0;
        early_reg  <= 1'b0;
        rest_reg   <= 3'd0;
        out_reg    <= {CELLS{1'b0}};
        open_reg   <= {CELLS{1'b0}};
    end
end

assign bad = run_reg && wrong;

endmodule

`resetall
