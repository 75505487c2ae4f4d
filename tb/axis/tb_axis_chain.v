// SPDX-License-Identifier: Apache-2.0
// Bench only: skid buffer, FIFO, skid buffer in a row on a narrow stream with named AXI4-Stream signals, for an AXI library's own
// master and slave models.
`resetall
`timescale 1ns/1ps
`default_nettype none

module tb_axis_chain #(
    parameter BYTES = 4,    // bytes of a beat
    parameter DEPTH = 8     // of the FIFO
) (
    input  wire               clk,
    input  wire               rst,
    input  wire [BYTES*8-1:0] s_axis_tdata,
    input  wire [BYTES-1:0]   s_axis_tkeep,
    input  wire               s_axis_tlast,
    input  wire               s_axis_tvalid,
    output wire               s_axis_tready,
    output wire [BYTES*8-1:0] m_axis_tdata,
    output wire [BYTES-1:0]   m_axis_tkeep,
    output wire               m_axis_tlast,
    output wire               m_axis_tvalid,
    input  wire               m_axis_tready
);

localparam W = BYTES * 9 + 1;

wire [W-1:0]       a_data, b_data;
wire               a_valid, a_ready, b_valid, b_ready;
wire [$clog2(DEPTH):0] level;
wire               unused_level = &{1'b0, level};

axis_skid #(.DATA_W(W)) u_in (
    .clk(clk), .rst(rst),
    .s_axis_tdata({s_axis_tlast, s_axis_tkeep, s_axis_tdata}), .s_axis_tvalid(s_axis_tvalid), .s_axis_tready(s_axis_tready),
    .m_axis_tdata(a_data), .m_axis_tvalid(a_valid), .m_axis_tready(a_ready)
);

axis_fifo #(.DATA_W(W), .DEPTH(DEPTH), .STYLE("auto")) u_fifo (
    .clk(clk), .rst(rst),
    .s_axis_tdata(a_data), .s_axis_tvalid(a_valid), .s_axis_tready(a_ready),
    .m_axis_tdata(b_data), .m_axis_tvalid(b_valid), .m_axis_tready(b_ready), .sts_level(level)
);

axis_skid #(.DATA_W(W)) u_out (
    .clk(clk), .rst(rst),
    .s_axis_tdata(b_data), .s_axis_tvalid(b_valid), .s_axis_tready(b_ready),
    .m_axis_tdata({m_axis_tlast, m_axis_tkeep, m_axis_tdata}), .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready)
);

endmodule

`resetall
