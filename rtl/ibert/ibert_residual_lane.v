// SPDX-License-Identifier: Apache-2.0
//
// One channel of the residual sum.
//
//   y = sat24( acc_q + requant32(res; m1, e1) )
//
// acc_q is the accumulator, requantised by the user in an ibert_requant of the same latency: it is to be valid with m_valid. The
// requant rounds half to even and saturates to int32; the sum saturates once. Latency 4 cycles (the requant's), one value a cycle,
// no stall; y is combinational behind the requants' last register and is to be registered by the user.

`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_residual_lane #(
    parameter RES_W = 8  // bits of the residual
) (
    input  wire                    clk,
    input  wire                    rst,
    input  wire                    s_valid,
    input  wire signed [RES_W-1:0] s_res,
    input  wire        [     38:0] s_chan,   // {e1 7, m1 32}
    input  wire signed [     31:0] s_acc_q,  // 4 cycles later than the others
    output wire                    m_valid,
    output wire signed [     23:0] m_y
);

  wire signed [31:0] res_q;
  wire signed [32:0] sum = $signed({s_acc_q[31], s_acc_q}) + $signed({res_q[31], res_q});

  ibert_requant #(
      .IN_W (RES_W),
      .OUT_W(32),
      .DSP  ("no")
  ) u_res (
      .clk    (clk),
      .rst    (rst),
      .s_valid(s_valid),
      .s_x    (s_res),
      .s_m    (s_chan[31:0]),
      .s_e    (s_chan[38:32]),
      .s_off  (9'd0),
      .m_valid(m_valid),
      .m_y    (res_q)
  );

  ibert_sat #(
      .IN_W (33),
      .OUT_W(24)
  ) u_sat (
      .x(sum),
      .y(m_y)
  );

endmodule

`resetall
