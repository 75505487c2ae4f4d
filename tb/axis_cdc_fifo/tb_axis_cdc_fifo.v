// SPDX-License-Identifier: Apache-2.0
// axis_cdc_fifo with the two axis_cdc_reset that it demands.
`resetall
`timescale 1ns/1ps
`default_nettype none

module tb_axis_cdc_fifo #(
    parameter DATA_W = 576,
    parameter DEPTH  = 512
) (
    input  wire              arst,
    input  wire              s_clk,
    output wire              s_rst,
    input  wire [DATA_W-1:0] s_axis_tdata,
    input  wire              s_axis_tuser,
    input  wire              s_axis_tlast,
    input  wire              s_axis_tvalid,
    output wire              s_axis_tready,
    input  wire              s_drop,
    input  wire              m_clk,
    output wire              m_rst,
    output wire [DATA_W-1:0] m_axis_tdata,
    output wire              m_axis_tuser,
    output wire              m_axis_tlast,
    output wire              m_axis_tvalid,
    input  wire              m_axis_tready
);

wire s_clear, m_clear;

axis_cdc_reset u_s (.clk(s_clk), .arst(arst), .rst(s_rst), .clear(s_clear));
axis_cdc_reset u_m (.clk(m_clk), .arst(arst), .rst(m_rst), .clear(m_clear));

axis_cdc_fifo #(.DATA_W(DATA_W), .DEPTH(DEPTH)) u_fifo (
    .s_clk(s_clk), .s_rst(s_rst), .s_clear(s_clear), .s_axis_tdata(s_axis_tdata), .s_axis_tuser(s_axis_tuser), .s_axis_tlast(s_axis_tlast),
    .s_axis_tvalid(s_axis_tvalid), .s_axis_tready(s_axis_tready), .s_drop(s_drop),
    .m_clk(m_clk), .m_rst(m_rst), .m_clear(m_clear), .m_axis_tdata(m_axis_tdata), .m_axis_tuser(m_axis_tuser), .m_axis_tlast(m_axis_tlast),
    .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready)
);

endmodule

`resetall
