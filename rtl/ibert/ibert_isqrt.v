// SPDX-License-Identifier: Apache-2.0
//
// Integer square root, one at a time.
//
//   root = floor(sqrt(num)):  root^2 <= num < (root+1)^2
//
// Two result bits a cycle, digit by digit. With `start` in cycle 0 the answer and the one-cycle pulse `done` are there in
// cycle ceil(W/4) + 1 (ceil(W/4) + 2 cycles counting both); `busy` is high in the cycles between. A start is taken whenever `busy` is
// low, the cycle of `done` included. `root` holds until the next start is taken.
//
// Does not: round, return the remainder, or stop early. Reset drops the root under way.

`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_isqrt #(
    parameter W = 32  // bits of num. Requires even, at least 2
) (
    input  wire           clk,
    input  wire           rst,
    input  wire           start,
    input  wire [  W-1:0] num,
    output wire           busy,
    output wire           done,
    output wire [W/2-1:0] root
);

  localparam STEP_N = (W + 3) / 4;
  localparam PAD_W = 4 * STEP_N;  // zeros in front of an odd number of digits
  localparam ROOT_W = 2 * STEP_N;
  localparam CNT_W = $clog2(STEP_N + 1);
  localparam [CNT_W-1:0] STEPS = STEP_N[CNT_W-1:0];

  generate
    if (W < 2 || W % 2 != 0) begin : g_err
      PARAM_ERROR_ibert_isqrt_W_must_be_even u_err ();
    end
  endgenerate

  reg               busy_reg;
  reg               done_reg;
  reg  [ CNT_W-1:0] left_reg;
  reg  [ PAD_W-1:0] num_reg;
  reg  [ROOT_W-1:0] root_reg;
  // Two binary digits d = 0 to 3 a step, of the root R so far: 4R + d leaves 16*rem + next four bits - d*(8R + d), three subtractions
  // side by side. The remainder is at most 2R before a step, and after one again. 3R + 1 is kept beside R.
  reg  [ROOT_W+1:0] rem_reg;
  reg  [ROOT_W+1:0] triple_reg;
  wire [ROOT_W+6:0] rest = {1'b0, rem_reg, num_reg[PAD_W-1:PAD_W-4]};
  wire [ROOT_W+6:0] less_1 = rest - {4'd0, root_reg, 3'd1};
  wire [ROOT_W+6:0] less_2 = rest - {3'd0, root_reg, 4'd4};
  wire [ROOT_W+6:0] less_3 = rest - {2'd0, triple_reg, 3'd1};
  wire              ge_1 = !less_1[ROOT_W+6];
  wire              ge_2 = !less_2[ROOT_W+6];
  wire              ge_3 = !less_3[ROOT_W+6];
  wire              unused_less = &{1'b0, less_1, less_2, less_3};
  wire              take = start && !busy_reg;

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
      num_reg        <= {PAD_W{1'b0}};
      num_reg[W-1:0] <= num;
      root_reg <= {ROOT_W{1'b0}};
      rem_reg  <= {ROOT_W + 2{1'b0}};
      triple_reg <= {{ROOT_W + 1{1'b0}}, 1'b1};
    end else if (busy_reg) begin
      num_reg       <= num_reg << 4;
      root_reg      <= root_reg << 2;
      root_reg[1:0] <= {ge_2, ge_3 || (ge_1 && !ge_2)};
      rem_reg       <= ge_3 ? less_3[ROOT_W+1:0] : ge_2 ? less_2[ROOT_W+1:0] : ge_1 ? less_1[ROOT_W+1:0] : rest[ROOT_W+1:0];
      triple_reg    <= ge_3 ? {triple_reg[ROOT_W-1:0] + 1'b1, 2'd2} : ge_2 ? {triple_reg[ROOT_W-1:0], 2'd3}
                     : ge_1 ? {triple_reg[ROOT_W-1:0], 2'd0} : {triple_reg[ROOT_W-1:0] - 1'b1, 2'd1};
    end
  end

  assign busy = busy_reg;
  assign done = done_reg;
  assign root = root_reg[W/2-1:0];

endmodule

`resetall
