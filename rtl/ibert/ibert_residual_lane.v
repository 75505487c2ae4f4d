// SPDX-License-Identifier: Apache-2.0
//
// One channel of the residual sum.
//
//   y = sat24( requant32(acc; m, e) + requant32(res; m1, e1) )
//
// Each requant rounds half to even and saturates to int32; the sum saturates once. Latency 4 cycles (the requants'), one value
// a cycle, no stall; y is combinational behind the requants' last register and is to be registered by the user.

`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_residual_lane #(
    parameter RES_W = 8  // bits of the residual
) (
    input  wire                    clk,
    input  wire                    rst,
    input  wire                    s_valid,
    input  wire signed [     31:0] s_acc,
    input  wire signed [RES_W-1:0] s_res,
    input  wire        [     77:0] s_chan,   // {e1 7, m1 32, e 7, m 32}
    output wire                    m_valid,
    output wire signed [     23:0] m_y
);

  wire signed [31:0] acc_q;
  wire signed [31:0] res_q;
  wire signed [32:0] sum = $signed({acc_q[31], acc_q}) + $signed({res_q[31], res_q});
  wire               unused_valid;

  ibert_requant #(
      .IN_W (32),
      .OUT_W(32)
  ) u_acc (
      .clk    (clk),
      .rst    (rst),
      .s_valid(s_valid),
      .s_x    (s_acc),
      .s_m    (s_chan[31:0]),
      .s_e    (s_chan[38:32]),
      .s_off  (9'd0),
      .m_valid(m_valid),
      .m_y    (acc_q)
  );

  ibert_requant #(
      .IN_W (RES_W),
      .OUT_W(32),
      .DSP  ("no")
  ) u_res (
      .clk    (clk),
      .rst    (rst),
      .s_valid(s_valid),
      .s_x    (s_res),
      .s_m    (s_chan[70:39]),
      .s_e    (s_chan[77:71]),
      .s_off  (9'd0),
      .m_valid(unused_valid),
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
