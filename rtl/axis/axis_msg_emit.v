// SPDX-License-Identifier: Apache-2.0
// Cuts a row of output beats into messages and gives each its ten message bytes, from the MESSAGE and OWNER tables.
//
// Input: the beats of a row, tlast on its last beat; msg_base, slotgen, row and last are the same on every beat of the row.
// Message i of the row takes the next `beats` beats of MESSAGE[msg_base + i]. It goes to dst_kernel, plus OWNER[row] where by_owner.
// Latency 1 cycle (one skid buffer), one beat a cycle, no idle cycle between messages or rows. tkeep is all ones: data slices are
// whole beats. It does not check that the entries' beats add up to the row: the plan does; a row's tlast always ends the message.
//
// Configuration (a write beyond a table is ignored): memory 2 MESSAGE, 256 entries {beats 5, type 2, offset 10, by_owner 1, edge 8, dst_kernel 8,
// dst_cluster 8}, memory 3 OWNER 8.
`resetall
`timescale 1ns/1ps
`default_nettype none

module axis_msg_emit #(
    parameter ROW_W = 7     // rows of a slot = 2**ROW_W
) (
    input  wire         clk,
    input  wire         rst,
    input  wire [7:0]   id_cluster,
    input  wire [7:0]   id_kernel,

    input  wire [511:0] s_axis_tdata,
    input  wire         s_axis_tlast,
    input  wire         s_axis_tvalid,
    output wire         s_axis_tready,
    input  wire [7:0]   s_msg_base,
    input  wire [7:0]   s_slotgen,
    input  wire [15:0]  s_row,
    input  wire         s_last,

    output wire [511:0] m_axis_tdata,
    output wire [63:0]  m_axis_tkeep,
    output wire [79:0]  m_axis_tuser,
    output wire         m_axis_tlast,
    output wire         m_axis_tvalid,
    input  wire         m_axis_tready,

    input  wire         cfg_we,
    input  wire [27:0]  cfg_addr,
    input  wire [41:0]  cfg_data
);

generate
if (ROW_W < 1 || ROW_W > 16) begin : g_row_w
    PARAM_ERROR_axis_msg_emit_ROW_W_1_to_16 u_err ();
end
endgenerate

reg       first_reg;  // the next beat begins a row
reg [7:0] index_reg;  // its MESSAGE entry otherwise
reg [4:0] beat_reg;   // its number in the message, from 1

wire [7:0]  entry_index = first_reg ? s_msg_base : index_reg;
wire [41:0] entry;
wire [7:0]  minus_owner;

axis_lutram #(.DATA_W(42), .DEPTH(256)) u_message (
    .clk(clk),
    .wr_en(cfg_we && cfg_addr[27:24] == 4'd2 && cfg_addr[23:8] == 0), .wr_addr(cfg_addr[7:0]), .wr_data(cfg_data),
    .rd_addr(entry_index), .rd_data(entry)
);

// -OWNER is kept: in a subtraction the kernel's number goes straight into the carry chain, and the choice by by_owner costs no level
axis_lutram #(.DATA_W(8), .DEPTH(1 << ROW_W)) u_owner (
    .clk(clk),
    .wr_en(cfg_we && cfg_addr[27:24] == 4'd3 && cfg_addr[23:ROW_W] == 0), .wr_addr(cfg_addr[ROW_W-1:0]), .wr_data(-cfg_data[7:0]),
    .rd_addr(s_row[ROW_W-1:0]), .rd_data(minus_owner)
);

wire [7:0] dst_cluster = entry[7:0];
wire [7:0] dst_kernel  = entry[15:8] - (entry[24] ? minus_owner : 8'd0);
wire [9:0] offset      = entry[34:25];
wire [4:0] beats       = entry[41:37];
wire       msg_last    = s_axis_tlast || (beat_reg == beats);
wire [79:0] tuser = {offset[1:0], entry[36:35], s_last, 3'b000, offset[9:2], s_row[7:0], s_row[15:8], s_slotgen,
                     id_kernel, id_cluster, entry[23:16], dst_kernel, dst_cluster};

always @(posedge clk) begin
    if (s_axis_tvalid && s_axis_tready) begin
        first_reg <= s_axis_tlast;
        beat_reg  <= msg_last ? 5'd1 : beat_reg + 5'd1;
        index_reg <= msg_last ? entry_index + 8'd1 : entry_index;
    end
    if (rst) begin
        first_reg <= 1'b1;
        beat_reg  <= 5'd1;
    end
end

assign m_axis_tkeep = {64{1'b1}};

axis_skid #(.DATA_W(593)) u_skid (
    .clk(clk), .rst(rst),
    .s_axis_tdata({msg_last, tuser, s_axis_tdata}), .s_axis_tvalid(s_axis_tvalid), .s_axis_tready(s_axis_tready),
    .m_axis_tdata({m_axis_tlast, m_axis_tuser, m_axis_tdata}), .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready)
);

endmodule

`resetall
