// SPDX-License-Identifier: Apache-2.0
//
// Reciprocal, the factor of a row of softmax (LOG = 32) or of LayerNorm (LOG = 31).
//
//   f = min(floor(2^LOG / den), 2^W - 1);   den = 0 gives f = 0
//
// Floor, nothing rounded. The minimum matters for LOG = W and den = 1 alone. Handshake and time are those of ibert_div with
// NUM_W = LOG + 1: `done` pulses ceil((LOG + 1)/2) + 1 cycles after `start`, a start is taken whenever `busy` is low, and f holds
// until the next start is taken.
//
// Does not: handle signs, or stop early. Reset drops the division under way.

`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_recip #(
    parameter LOG = 32,  // exponent of the dividend. Requires LOG = W or LOG = W - 1
    parameter W   = 32   // bits of den and f, at least 2
) (
    input  wire         clk,
    input  wire         rst,
    input  wire         start,
    input  wire [W-1:0] den,
    output wire         busy,
    output wire         done,
    output wire [W-1:0] f
);

  generate
    if (W < 2) begin : g_err_w
      PARAM_ERROR_ibert_recip_W_at_least_2 u_err ();
    end
    if (LOG != W && LOG != W - 1) begin : g_err_log
      PARAM_ERROR_ibert_recip_LOG_must_be_W_or_W_minus_1 u_err ();
    end
  endgenerate

  wire [LOG:0] quo;
  wire [W-1:0] unused_rem;
  reg          zero_reg;
  wire         unused = &{1'b0, unused_rem};

  ibert_div #(
      .NUM_W(LOG + 1),
      .DEN_W(W)
  ) u_div (
      .clk  (clk),
      .rst  (rst),
      .start(start),
      .num  ({1'b1, {LOG{1'b0}}}),
      .den  (den),
      .busy (busy),
      .done (done),
      .quo  (quo),
      .rem  (unused_rem)
  );

  always @(posedge clk) if (start && !busy) zero_reg <= den == {W{1'b0}};

  wire [W-1:0] limited;
  generate
    if (LOG == W) begin : g_limit
      assign limited = quo[W-1:0] | {W{quo[LOG]}};
    end else begin : g_fits
      assign limited = quo;
    end
  endgenerate

  assign f = zero_reg ? {W{1'b0}} : limited;

endmodule

`resetall
