// SPDX-License-Identifier: Apache-2.0
//
// Product with the factor of a row of softmax: a probability, or the mean of a column of values.
//
//   m_p = min(max((s_a * s_f) >> 24, 0), 255)    s_a an exponential: its probability in units of 1/256
//   m_o = (s_a * s_f) >> 16                       s_a a sum of values weighted with exponentials: their mean in units of 1/65536
//
// s_f is the factor of the row (ibert_recip). `>>` is floor: nothing is rounded. m_o stands after 2 cycles, m_p and m_valid after 3, one
// value a cycle, no stall. Registers move only with valid data.
//
// Does not: compute the factor, or make the probabilities of a row sum to 256.

`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_prob #(
    parameter A_W = 16  // bits of s_a. Requires 16 to 32
) (
    input  wire                   clk,
    input  wire                   rst,
    input  wire                   s_valid,
    input  wire signed [A_W-1:0]  s_a,
    input  wire        [31:0]     s_f,
    output wire signed [A_W+16:0] m_o,
    output wire                   m_valid,
    output wire        [ 7:0]     m_p
);

  generate
    if (A_W < 16 || A_W > 32) begin : g_err_a_w
      PARAM_ERROR_ibert_prob_A_W_16_to_32 u_err ();
    end
  endgenerate

  wire signed [32:0] f = $signed({1'b0, s_f});
  // |a * f| < 2^(A_W-1) * 2^32
  reg signed [A_W+32:0] prod_p1;
  reg signed [A_W+32:0] prod_p2;  // for the multiplier's own register
  reg        [     7:0] p_p3;
  reg                   valid_p1;
  reg                   valid_p2;
  reg                   valid_p3;
  wire                  unused = &{1'b0, prod_p2[15:0]};

  always @(posedge clk) begin
    if (s_valid) prod_p1 <= s_a * f;
    if (valid_p1) prod_p2 <= prod_p1;
    if (valid_p2) p_p3 <= prod_p2[A_W+32] ? 8'd0 : (prod_p2[A_W+31:32] != {A_W{1'b0}}) ? 8'd255 : prod_p2[31:24];
    valid_p1 <= s_valid;
    valid_p2 <= valid_p1;
    valid_p3 <= valid_p2;
    if (rst) begin
      valid_p1 <= 1'b0;
      valid_p2 <= 1'b0;
      valid_p3 <= 1'b0;
    end
  end

  assign m_o     = prod_p2[A_W+32:16];
  assign m_valid = valid_p3;
  assign m_p     = p_p3;

endmodule

`resetall
