// SPDX-License-Identifier: Apache-2.0
//
// One channel of LayerNorm's second and third pass.
//
//   v = y - mu                                   25 bits
//   second pass: sq = min((v >> shift)^2, 2^32 - 1)
//   third pass:  out = requant8( sat36( ((v*f) >> 1) + bias ); om, oe, ooff )
//
// `>>` is arithmetic (floor); the requant rounds half to even. One value a cycle, no stall. y is valid in stage r1; sq is valid
// 3 cycles later (r4), out 8 cycles later (r9). The user drives the enable of each stage; chan {ooff 9, oe 7, om 32, bias 32} is
// to be valid in stage r4. Does not: sum, hold mu, shift and f (the user keeps them constant during a pass).

`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_layernorm_lane (
    input  wire               clk,
    input  wire               rst,
    input  wire               en_r1,   // y valid
    input  wire               en_sq2,  // second pass, stage r2
    input  wire               en_sq3,  // second pass, stage r3
    input  wire               en_r2,   // third pass, stage r2
    input  wire               en_r3,
    input  wire               en_r4,
    input  wire               en_r5,
    input  wire signed [23:0] y,
    input  wire signed [23:0] mu,
    input  wire        [ 4:0] shift,
    input  wire        [31:0] f,
    input  wire        [79:0] chan,
    output wire        [31:0] sq,      // stage r4
    output wire               m_valid, // stage r9
    output wire signed [ 7:0] m_out
);

  reg signed [24:0] v_r2;
  reg signed [24:0] vs_r3;
  reg        [49:0] sq_r4;
  // |v*f| < 2^24 * 2^32
  reg signed [57:0] prod_r3;
  reg signed [57:0] prod_r4;
  reg signed [35:0] o_r5;
  reg        [47:0] chan_r5;

  wire signed [32:0] f_signed = $signed({1'b0, f});
  wire signed [57:0] bias = $signed({{26{chan[31]}}, chan[31:0]});
  wire signed [57:0] o_wide = (prod_r4 >>> 1) + bias;
  wire signed [35:0] o_sat;

  ibert_sat #(
      .IN_W (58),
      .OUT_W(36)
  ) u_sat (
      .x(o_wide),
      .y(o_sat)
  );

  always @(posedge clk) begin
    if (en_r1) v_r2 <= $signed({y[23], y}) - $signed({mu[23], mu});
    if (en_sq2) vs_r3 <= v_r2 >>> shift;
    if (en_sq3) sq_r4 <= vs_r3 * vs_r3;
    if (en_r2) prod_r3 <= v_r2 * f_signed;
    if (en_r3) prod_r4 <= prod_r3;
    if (en_r4) begin
      o_r5    <= o_sat;
      chan_r5 <= chan[79:32];
    end
  end

  assign sq = (sq_r4[49:32] != 18'd0) ? 32'hFFFFFFFF : sq_r4[31:0];

  ibert_requant #(
      .IN_W (36),
      .OUT_W(8)
  ) u_requant (
      .clk    (clk),
      .rst    (rst),
      .s_valid(en_r5),
      .s_x    (o_r5),
      .s_m    (chan_r5[31:0]),
      .s_e    (chan_r5[38:32]),
      .s_off  (chan_r5[47:39]),
      .m_valid(m_valid),
      .m_y    (m_out)
  );

endmodule

`resetall
