// SPDX-License-Identifier: Apache-2.0
//
// Unsigned floor division, one at a time.
//
//   quo = floor(num / den),  rem = num - quo * den,  0 <= rem < den
//
// Radix 4: two quotient bits a cycle, of three subtractions side by side. With `start` in cycle 0 the answer and the one-cycle pulse
// `done` are there in cycle ceil(NUM_W/2) + 1 (ceil(NUM_W/2) + 2 cycles counting both); `busy` is high in the cycles between. A start is taken
// whenever `busy` is low, the cycle of `done` included. `quo` and `rem` hold until the next start is taken.
//
// den = 0: quo is all ones, rem is num modulo 2^DEN_W (callers that need another answer choose it themselves).
//
// Does not: round, saturate, handle signs, or stop early. Reset drops the division under way.

`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_div #(
    parameter NUM_W = 33,  // bits of the dividend and of the quotient, at least 1
    parameter DEN_W = 32   // bits of the divisor and of the remainder, at least 1
) (
    input  wire             clk,
    input  wire             rst,
    input  wire             start,
    input  wire [NUM_W-1:0] num,
    input  wire [DEN_W-1:0] den,
    output wire             busy,
    output wire             done,
    output wire [NUM_W-1:0] quo,
    output wire [DEN_W-1:0] rem
);

  localparam STEP_N = (NUM_W + 1) / 2;
  localparam PAD_W = 2 * STEP_N;
  localparam CNT_W = $clog2(STEP_N + 1);
  localparam [CNT_W-1:0] STEPS = STEP_N[CNT_W-1:0];

  generate
    if (NUM_W < 1 || DEN_W < 1) begin : g_err
      PARAM_ERROR_ibert_div_widths_must_be_positive u_err ();
    end
  endgenerate

  reg              busy_reg;
  reg              done_reg;
  reg  [CNT_W-1:0] left_reg;
  // dividend bits leave at the top, quotient bits enter at the bottom
  reg  [PAD_W-1:0] shift_reg;
  reg  [DEN_W-1:0] rem_reg;
  reg  [DEN_W-1:0] den_reg;

  // quotient digit 0 to 3: what is left is 4*rem + next two bits - digit*den; remainder < den before a step and after it. For den = 0
  // the digit is 3 and nothing is subtracted
  reg  [DEN_W+1:0] triple_reg;
  wire [DEN_W+2:0] rest = {1'b0, rem_reg, shift_reg[PAD_W-1:PAD_W-2]};
  wire [DEN_W+2:0] less_1 = rest - {3'd0, den_reg};
  wire [DEN_W+2:0] less_2 = rest - {2'd0, den_reg, 1'b0};
  wire [DEN_W+2:0] less_3 = rest - {1'b0, triple_reg};
  wire             ge_1 = !less_1[DEN_W+2];
  wire             ge_2 = !less_2[DEN_W+2];
  wire             ge_3 = !less_3[DEN_W+2];
  wire             unused_less = &{1'b0, less_1, less_2, less_3, rest};
  wire             take = start && !busy_reg;

  always @(posedge clk) begin
    done_reg <= 1'b0;
    if (take) begin
      busy_reg <= 1'b1;
      left_reg <= STEPS;
    end else if (busy_reg) begin
      left_reg <= left_reg - 1'b1;
      if (left_reg == 1) begin
        busy_reg <= 1'b0;
        done_reg <= 1'b1;
      end
    end
    if (rst) begin
      busy_reg <= 1'b0;
      done_reg <= 1'b0;
      left_reg <= {CNT_W{1'b0}};
    end
  end

  always @(posedge clk) begin
    if (take) begin
      shift_reg            <= {PAD_W{1'b0}};
      shift_reg[NUM_W-1:0] <= num;
      rem_reg              <= {DEN_W{1'b0}};
      den_reg              <= den;
      triple_reg           <= {2'd0, den} + {1'b0, den, 1'b0};
    end else if (busy_reg) begin
      shift_reg      <= shift_reg << 2;
      shift_reg[1:0] <= {ge_2, ge_3 || (ge_1 && !ge_2)};
      rem_reg        <= ge_3 ? less_3[DEN_W-1:0] : ge_2 ? less_2[DEN_W-1:0] : ge_1 ? less_1[DEN_W-1:0] : rest[DEN_W-1:0];
    end
  end

  assign busy = busy_reg;
  assign done = done_reg;
  assign quo  = shift_reg[NUM_W-1:0];
  assign rem  = rem_reg;

endmodule

`resetall
