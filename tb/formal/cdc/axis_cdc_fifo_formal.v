// SPDX-License-Identifier: Apache-2.0
// axis_cdc_fifo between two clocks that step as they like, together or not. Writer and reader do as they like, s_drop comes at any time. Every beat
// that comes out is the next one of the whole frames that went in (its number, modulo 2^POS_W; of beat `pos`, any one, tlast and tuser too), and
// none comes out before the frame's last beat is in. Resets: benches only.
`resetall
`timescale 1ns/1ps
`default_nettype none

module axis_cdc_fifo_formal #(
    parameter DEPTH = 4,
    parameter POS_W = 3     // beats are told apart modulo 2^POS_W: more than DEPTH + 1 are stored nowhere
) (
    input wire s_clk,
    input wire m_clk,
    input wire tuser,
    input wire tlast,
    input wire tvalid,
    input wire tready,
    input wire drop
);

(* anyconst *) reg [POS_W-1:0] pos;

reg  [POS_W-1:0] in_reg, whole_reg, out_reg;    // beats written, in whole frames, taken
reg  [1:0]       mark_reg;                      // of beat pos, as it was written last
wire             s_ready, m_valid, m_last, m_user;
wire [POS_W-1:0] m_data;

axis_cdc_fifo #(.DATA_W(POS_W), .DEPTH(DEPTH)) dut (
    .s_clk(s_clk), .s_rst(1'b0), .s_clear(1'b0), .s_axis_tdata(in_reg), .s_axis_tuser(tuser), .s_axis_tlast(tlast), .s_axis_tvalid(tvalid),
    .s_axis_tready(s_ready), .s_drop(drop),
    .m_clk(m_clk), .m_rst(1'b0), .m_clear(1'b0), .m_axis_tdata(m_data), .m_axis_tuser(m_user), .m_axis_tlast(m_last), .m_axis_tvalid(m_valid),
    .m_axis_tready(tready)
);

always @(posedge s_clk) begin
    if (drop) begin
        in_reg <= whole_reg;
    end else if (tvalid && s_ready) begin
        in_reg <= in_reg + 1'b1;
        if (in_reg == pos) mark_reg <= {tuser, tlast};
        if (tlast) whole_reg <= in_reg + 1'b1;
    end
end

wire [POS_W-1:0] stored = in_reg - out_reg;
wire [POS_W-1:0] ready  = whole_reg - out_reg;

always @(posedge m_clk) begin
    if (m_valid) begin
        a_number: assert (m_data == out_reg);
        a_whole:  assert (ready != 0 && ready <= stored);
        a_marks:  assert (out_reg != pos || {m_user, m_last} == mark_reg);
        if (tready) out_reg <= out_reg + 1'b1;
    end
end

endmodule

`resetall
