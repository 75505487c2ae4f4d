// SPDX-License-Identifier: Apache-2.0
// Skid buffer: registers tdata, tvalid and tready of a stream. Users concatenate what travels together into tdata.
//
// Latency 1 cycle, one beat a cycle, two beats of storage. A stalled beat does not change. Reset drops what is stored.
`resetall
`timescale 1ns/1ps
`default_nettype none

module axis_skid #(
    parameter DATA_W = 593  // everything that travels with a beat; default tdata 512, tuser 80, tlast 1
) (
    input  wire              clk,
    input  wire              rst,
    input  wire [DATA_W-1:0] s_axis_tdata,
    input  wire              s_axis_tvalid,
    output wire              s_axis_tready,
    output wire [DATA_W-1:0] m_axis_tdata,
    output wire              m_axis_tvalid,
    input  wire              m_axis_tready
);

reg [DATA_W-1:0] out_reg, skid_reg;
reg              out_valid_reg;
reg              s_ready_reg;        // nothing is in skid_reg

assign s_axis_tready = s_ready_reg;
assign m_axis_tdata  = out_reg;
assign m_axis_tvalid = out_valid_reg;

wire out_load = m_axis_tready || !out_valid_reg;

always @(posedge clk) begin
    if (out_load) begin
        if (!s_ready_reg)       out_reg <= skid_reg;
        else if (s_axis_tvalid) out_reg <= s_axis_tdata;
    end
    if (s_axis_tvalid && s_ready_reg && !out_load) skid_reg <= s_axis_tdata;

    if (out_load) begin
        out_valid_reg <= !s_ready_reg || s_axis_tvalid;
        s_ready_reg   <= 1'b1;
    end else if (s_axis_tvalid) begin
        s_ready_reg   <= 1'b0;
    end

    if (rst) begin
        out_valid_reg <= 1'b0;
        s_ready_reg   <= 1'b1;
    end
end

endmodule

`resetall
