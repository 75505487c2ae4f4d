// SPDX-License-Identifier: Apache-2.0
//
// Normalisation of softmax: one probability in units of 1/256.
//
//   m_p = min(max((s_ea * s_f) >> 24, 0), 255)
//
// s_ea is an exponential, s_f the factor of its row (ibert_recip). `>>` is floor: nothing is rounded. Latency 3 cycles, one value a
// cycle, no stall. Registers move only with valid data.
//
// Does not: compute the factor, or make the probabilities of a row sum to 256.

`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_prob (
    input  wire               clk,
    input  wire               rst,
    input  wire               s_valid,
    input  wire signed [15:0] s_ea,
    input  wire        [31:0] s_f,
    output wire               m_valid,
    output wire        [ 7:0] m_p
);

  wire signed [32:0] f = $signed({1'b0, s_f});
  // |ea * f| < 2^15 * 2^32
  reg signed [48:0] prod_p1;
  reg signed [48:0] prod_p2;  // for the multiplier's own register
  reg        [ 7:0] p_p3;
  reg               valid_p1;
  reg               valid_p2;
  reg               valid_p3;
  wire              unused = &{1'b0, prod_p2[23:0]};

  always @(posedge clk) begin
    if (s_valid) prod_p1 <= s_ea * f;
    if (valid_p1) prod_p2 <= prod_p1;
    if (valid_p2) p_p3 <= prod_p2[48] ? 8'd0 : (prod_p2[47:32] != 16'd0) ? 8'd255 : prod_p2[31:24];
    valid_p1 <= s_valid;
    valid_p2 <= valid_p1;
    valid_p3 <= valid_p2;
    if (rst) begin
      valid_p1 <= 1'b0;
      valid_p2 <= 1'b0;
      valid_p3 <= 1'b0;
    end
  end

  assign m_valid = valid_p3;
  assign m_p     = p_p3;

endmodule

`resetall
