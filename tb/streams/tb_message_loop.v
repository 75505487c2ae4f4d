// SPDX-License-Identifier: Apache-2.0
// A message stream through one skid buffer, a register on the configuration bus, and faults on demand: what the stream classes are
// tested against.
//
// Memory 1 of the configuration bus, index 5: fault number 0 none, 1 tvalid withdrawn when stalled, 2 tdata changes when stalled,
// 3 tuser changes within a message, 4 tkeep with a hole, 5 a beat is lost, 6 X on tdata.
`resetall
`timescale 1ns/1ps
`default_nettype none

module tb_message_loop (
    input  wire         clk,
    input  wire         rst,
    input  wire [511:0] s_axis_tdata,
    input  wire [63:0]  s_axis_tkeep,
    input  wire [79:0]  s_axis_tuser,
    input  wire         s_axis_tlast,
    input  wire         s_axis_tvalid,
    output wire         s_axis_tready,
    output wire [511:0] m_axis_tdata,
    output wire [63:0]  m_axis_tkeep,
    output wire [79:0]  m_axis_tuser,
    output wire         m_axis_tlast,
    output wire         m_axis_tvalid,
    input  wire         m_axis_tready,
    input  wire         cfg_we,
    input  wire [27:0]  cfg_addr,
    input  wire [511:0] cfg_data,
    output wire [31:0]  sts_fault
);

reg  [31:0]  fault_reg;
reg  [7:0]   count_reg;
reg          stalled_reg;
wire [511:0] data;
wire [79:0]  user;
wire [63:0]  keep;
wire         valid, last, ready;

wire fire    = valid && m_axis_tready;
wire trigger = count_reg >= 8'd20;

axis_skid #(.DATA_W(657)) u_skid (
    .clk(clk), .rst(rst),
    .s_axis_tdata({s_axis_tlast, s_axis_tuser, s_axis_tkeep, s_axis_tdata}),
    .s_axis_tvalid(s_axis_tvalid), .s_axis_tready(s_axis_tready),
    .m_axis_tdata({last, user, keep, data}), .m_axis_tvalid(valid), .m_axis_tready(ready)
);

wire lose = (fault_reg == 5) && trigger && !last;

assign ready         = m_axis_tready || lose;
assign m_axis_tvalid = valid && !lose && !((fault_reg == 1) && stalled_reg && trigger);
assign m_axis_tdata  = ((fault_reg == 6) && trigger) ? {data[511:1], 1'bx} : (data ^ {511'd0, (fault_reg == 2) && stalled_reg && trigger});
assign m_axis_tuser  = user ^ {79'd0, (fault_reg == 3) && trigger && count_reg[0]};
assign m_axis_tkeep  = ((fault_reg == 4) && trigger) ? (keep & 64'hffff_fff0_ffff_ffff) : keep;
assign m_axis_tlast  = last;
assign sts_fault     = fault_reg;

always @(posedge clk) begin
    stalled_reg <= valid && !m_axis_tready;
    if (fire) count_reg <= count_reg + 8'd1;
    if (cfg_we && cfg_addr == {4'd1, 24'd5}) fault_reg <= cfg_data[31:0];
    if (rst) begin
        stalled_reg <= 1'b0;
        count_reg   <= 8'd0;
        fault_reg   <= 32'd0;
    end
end

endmodule

`resetall
