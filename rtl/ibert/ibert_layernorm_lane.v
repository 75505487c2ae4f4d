// SPDX-License-Identifier: Apache-2.0
//
// One channel of LayerNorm's third pass, up to its requant.
//
//   o = sat36( (((y - mu)*f) >> 1) + bias )
//
// `>>` is arithmetic (floor). One value a cycle, no stall. y is valid in stage r1; o, with the constants of its requant, is 4 cycles later
// (r5). The user drives the enable of each stage; chan {ooff 9, oe 7, om 32, bias 32} is to be valid in stage r4.
// Does not: requantise, hold mu and f (the user keeps them constant during a pass).

`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_layernorm_lane (
    input  wire               clk,
    input  wire               en_r1,  // y valid
    input  wire               en_r2,
    input  wire               en_r3,
    input  wire               en_r4,
    input  wire signed [23:0] y,
    input  wire signed [23:0] mu,
    input  wire        [31:0] f,
    input  wire        [79:0] chan,
    output wire signed [35:0] o,      // stage r5
    output wire        [47:0] o_chan  // stage r5: {ooff 9, oe 7, om 32}
);

  reg signed [24:0] v_r2;
  // |v*f| < 2^24 * 2^32
  reg signed [57:0] prod_r3;
  reg signed [37:0] prod_r4;  // its low bits
  reg               fits_r4;  // it has no more
  reg               neg_r4;
  reg signed [35:0] o_r5;
  reg        [47:0] chan_r5;

  wire signed [32:0] f_signed = $signed({1'b0, f});
  wire signed [37:0] bias = $signed({{6{chan[31]}}, chan[31:0]});
  // half a product that fits 37 bits, and a bias of 32: 38 bits hold the sum. A greater one saturates whatever the bias is
  wire signed [37:0] o_wide = (prod_r4 >>> 1) + bias;
  wire               inside = fits_r4 && o_wide[37:35] == {3{o_wide[37]}};
  wire               below = fits_r4 ? o_wide[37] : neg_r4;

  always @(posedge clk) begin
    if (en_r1) v_r2 <= $signed({y[23], y}) - $signed({mu[23], mu});
    if (en_r2) prod_r3 <= v_r2 * f_signed;
    if (en_r3) begin
      prod_r4 <= prod_r3[37:0];
      fits_r4 <= prod_r3[57:37] == {21{prod_r3[57]}};
      neg_r4  <= prod_r3[57];
    end
    if (en_r4) begin
      o_r5    <= inside ? o_wide[35:0] : {below, {35{!below}}};
      chan_r5 <= chan[79:32];
    end
  end

  assign o      = o_r5;
  assign o_chan = chan_r5;

endmodule

`resetall
