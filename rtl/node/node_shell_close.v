// SPDX-License-Identifier: Apache-2.0
// Last register stage before a receiver that must never see half a frame: a frame whose rest is lost gets a last beat with tuser = 1.
//
// s_cut = 1: nothing more comes of the frame that is under way. If its first beat is in and its last one is not, a beat of tkeep all ones, tlast and
// tuser = 1 takes the place of the rest, as soon as there is room for it; tuser = 1 tells the receiver that the frame is bad. Until it is in,
// s_axis_tready is 0. A beat offered with s_cut is not taken.
//
// Latency 1 cycle, one beat a cycle (an axis_skid). rst is the receiver's own: after it the receiver knows of no frame.
`resetall
`timescale 1ns/1ps
`default_nettype none

module node_shell_close (
    input  wire         clk,
    input  wire         rst,
    input  wire         s_cut,
    input  wire [511:0] s_axis_tdata,
    input  wire [63:0]  s_axis_tkeep,
    input  wire         s_axis_tuser,
    input  wire         s_axis_tlast,
    input  wire         s_axis_tvalid,
    output wire         s_axis_tready,
    output wire [511:0] m_axis_tdata,
    output wire [63:0]  m_axis_tkeep,
    output wire         m_axis_tuser,
    output wire         m_axis_tlast,
    output wire         m_axis_tvalid,
    input  wire         m_axis_tready,
    output wire         sts_busy        // a frame is under way here
);

reg  open_reg;      // a first beat is in, its last one is not
reg  close_reg;     // it was cut, and the last beat waits for room

wire close = open_reg && (s_cut || close_reg);
wire valid = close || (s_axis_tvalid && !s_cut);
wire last  = close || s_axis_tlast;
wire ready;

assign s_axis_tready = ready && !close && !s_cut;
assign sts_busy      = open_reg || m_axis_tvalid;

always @(posedge clk) begin
    if (valid && ready) open_reg <= !last;
    close_reg <= close && !ready;

    if (rst) begin
        open_reg  <= 1'b0;
        close_reg <= 1'b0;
    end
end

axis_skid #(.DATA_W(578)) u_skid (
    .clk(clk), .rst(rst),
    .s_axis_tdata({close || s_axis_tuser, last, s_axis_tkeep | {64{close}}, s_axis_tdata}), .s_axis_tvalid(valid), .s_axis_tready(ready),
    .m_axis_tdata({m_axis_tuser, m_axis_tlast, m_axis_tkeep, m_axis_tdata}), .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready)
);

endmodule

`resetall
