// SPDX-License-Identifier: Apache-2.0
// Counts events of one clock domain in another.
//
//   s_clk: gray_reg, 4-bit Gray code of the number of events, steps by one; m_clk: count = sum of the differences of what is seen of it, modulo 2^32
//
// One event a cycle of s_clk. Latency 4 edges of m_clk, or 5. Exact while a period of m_clk is shorter than 7 of s_clk: fewer than 16 steps lie
// between two samples. Resets: s_clear and m_rst from axis_cdc_reset with the same request; count stays (events of the last 5 edges of m_clk before
// a reset are not counted). m_zero clears count.
`resetall
`timescale 1ns/1ps
`default_nettype none

module axis_cdc_count (
    input  wire        s_clk,
    input  wire        s_clear,
    input  wire        s_event,

    input  wire        m_clk,
    input  wire        m_rst,
    input  wire        m_zero,
    output reg  [31:0] count
);

reg  [3:0] events_reg, gray_reg;
wire [3:0] events_next = events_reg + 4'd1;
wire [3:0] seen;
reg  [3:0] now_reg, before_reg, diff_reg;

always @(posedge s_clk) begin
    if (s_event) begin
        events_reg <= events_next;
        gray_reg   <= events_next ^ {1'b0, events_next[3:1]};
    end
    if (s_clear) begin
        events_reg <= 4'd0;
        gray_reg   <= 4'd0;
    end
end

axis_cdc_bit #(.W(4)) u_sync (.clk(m_clk), .d(gray_reg), .q(seen));

always @(posedge m_clk) begin
    now_reg    <= {seen[3], ^seen[3:2], ^seen[3:1], ^seen};
    before_reg <= now_reg;
    diff_reg   <= m_rst ? 4'd0 : now_reg - before_reg;
    count      <= count + {28'd0, diff_reg};
    if (m_zero) count <= 32'd0;
end

endmodule

`resetall
