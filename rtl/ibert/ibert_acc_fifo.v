// SPDX-License-Identifier: Apache-2.0
// Accumulator FIFO: takes groups of OUT_N int32 at once, gives them back as rows of units of 16 int32 (one 512-bit beat).
//
// desc_* announces a row (its low ten bits are the number of units) no later than its first group; a row's units are the first
// out_units units of its groups in order, what is left of the last group is skipped. free pulses a cycle after a group's room is free again.
// There is no ready at the entry: the sequencer holds one credit per group of room, and each row in the FIFO holds at least one, so
// neither groups nor descriptions can overflow. Latency 2 cycles, one unit a cycle, no idle cycle between rows.
// m_desc is the same on every unit of a row. Requires (groups-1)*OUT_N < 16*out_units <= groups*OUT_N.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_acc_fifo #(
    parameter OUT_N  = 48,  // int32 of a group. Requires a multiple of 16
    parameter GROUPS = 64,  // groups it holds. Requires a power of two, at least 2
    parameter DESC_W = 60   // description of a row
) (
    input  wire                clk,
    input  wire                rst,
    input  wire                desc_valid,
    input  wire [DESC_W-1:0]   desc_data,
    input  wire                grp_valid,
    input  wire [32*OUT_N-1:0] grp_data,
    output wire                free,
    output wire [511:0]        m_data,
    output wire                m_last,
    output wire [DESC_W-1:0]   m_desc,
    output wire                m_valid,
    input  wire                m_ready
);

localparam SEG_N = OUT_N / 16;
localparam PTR_W = $clog2(GROUPS);
localparam [1:0] SEG_LAST = SEG_N[1:0] - 2'd1;

reg  [PTR_W:0]    wr_ptr_reg, rd_ptr_reg;
reg  [1:0]        seg_reg, out_seg_reg;
reg  [9:0]        unit_reg;    // number of the next unit, from 1
reg               valid_reg, last_reg;
reg  [DESC_W-1:0] desc_reg;

wire              row_valid;
wire [DESC_W-1:0] row_desc;
wire              unused_ready;
wire [PTR_W:0]    unused_level;

wire rd_en     = row_valid && (wr_ptr_reg != rd_ptr_reg) && (!valid_reg || m_ready);
wire unit_last = unit_reg == row_desc[9:0];
wire seg_last  = seg_reg == SEG_LAST || unit_last;

reg free_reg;
assign free = free_reg;

axis_fifo #(.DATA_W(DESC_W), .DEPTH(GROUPS), .STYLE("distributed")) u_desc (
    .clk(clk), .rst(rst),
    .s_axis_tdata(desc_data), .s_axis_tvalid(desc_valid), .s_axis_tready(unused_ready),
    .m_axis_tdata(row_desc), .m_axis_tvalid(row_valid), .m_axis_tready(rd_en && unit_last),
    .sts_level(unused_level)
);

wire [511:0] seg_data [0:3];

genvar s;
generate
for (s = 0; s < 4; s = s + 1) begin : g_seg
    if (s < SEG_N) begin : g_ram
        axis_ram #(.DATA_W(512), .DEPTH(GROUPS), .FWD_EN(0), .STYLE("distributed")) u_ram (
            .clk(clk),
            .wr_en(grp_valid), .wr_addr(wr_ptr_reg[PTR_W-1:0]), .wr_data(grp_data[512*s +: 512]),
            .rd_en(rd_en && seg_reg == s), .rd_addr(rd_ptr_reg[PTR_W-1:0]), .rd_data(seg_data[s])
        );
    end else begin : g_none
        assign seg_data[s] = 512'd0;
    end
end
endgenerate

always @(posedge clk) begin
    free_reg <= rd_en && seg_last;
    if (grp_valid) wr_ptr_reg <= wr_ptr_reg + 1'b1;
    if (rd_en) begin
        seg_reg     <= seg_last ? 2'd0 : seg_reg + 2'd1;
        unit_reg    <= unit_last ? 10'd1 : unit_reg + 10'd1;
        out_seg_reg <= seg_reg;
        last_reg    <= unit_last;
        desc_reg    <= row_desc;
        if (seg_last) rd_ptr_reg <= rd_ptr_reg + 1'b1;
    end
    if (rd_en)        valid_reg <= 1'b1;
    else if (m_ready) valid_reg <= 1'b0;

    if (rst) begin
        free_reg   <= 1'b0;
        wr_ptr_reg <= {(PTR_W+1){1'b0}};
        rd_ptr_reg <= {(PTR_W+1){1'b0}};
        seg_reg    <= 2'd0;
        unit_reg   <= 10'd1;
        valid_reg  <= 1'b0;
    end
end

assign m_data  = seg_data[out_seg_reg];
assign m_last  = last_reg;
assign m_desc  = desc_reg;
assign m_valid = valid_reg;

endmodule

`resetall
