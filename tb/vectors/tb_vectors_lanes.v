// SPDX-License-Identifier: Apache-2.0
// Arithmetic units side by side, so that a bench moves many recorded values a cycle: LANES x ibert_gelu with ibert_requant behind it
// (48 to 8 bits, as in the linear kernel), LANES x ibert_requant 32 to 32 bits (as in front of the residual sum), DOTS x ibert_dot.
// No arithmetic of its own. Operands lie in slots of 32 or 64 bits, low bits used.
`resetall
`timescale 1ns/1ps
`default_nettype none

module tb_vectors_lanes #(
    parameter LANES = 16,
    parameter DOTS  = 8
) (
    input  wire                clk,
    input  wire                rst,

    input  wire                s_valid,
    input  wire                s_gelu,
    input  wire [32*LANES-1:0] s_x,
    input  wire [32*LANES-1:0] s_b,
    input  wire [64*LANES-1:0] s_c,
    input  wire [32*LANES-1:0] s_shift,
    input  wire [32*LANES-1:0] s_m,
    input  wire [32*LANES-1:0] s_e,
    output wire                gelu_valid,
    output wire [64*LANES-1:0] gelu_y,
    output wire                narrow_valid,
    output wire [8*LANES-1:0]  narrow_y,
    output wire                wide_valid,
    output wire [32*LANES-1:0] wide_y,

    input  wire                dot_valid,
    input  wire [511:0]        dot_a,
    input  wire [512*DOTS-1:0] dot_b,
    output wire                sum_valid,
    output wire [32*DOTS-1:0]  sum
);

wire [LANES-1:0] g_valid, n_valid, w_valid;
wire [DOTS-1:0]  d_valid;

assign gelu_valid   = g_valid[0];
assign narrow_valid = n_valid[0];
assign wide_valid   = w_valid[0];
assign sum_valid    = d_valid[0];

// the constants of the requantisation wait as long as GELU takes
reg [32*LANES-1:0] m_p1, m_p2, m_p3, m_p4, m_p5;
reg [32*LANES-1:0] e_p1, e_p2, e_p3, e_p4, e_p5;

always @(posedge clk) begin
    m_p1 <= s_m;
    m_p2 <= m_p1;
    m_p3 <= m_p2;
    m_p4 <= m_p3;
    m_p5 <= m_p4;
    e_p1 <= s_e;
    e_p2 <= e_p1;
    e_p3 <= e_p2;
    e_p4 <= e_p3;
    e_p5 <= e_p4;
end

genvar i;
generate
for (i = 0; i < LANES; i = i + 1) begin : g_lane
    wire signed [47:0] y;

    ibert_gelu u_gelu (
        .clk(clk), .rst(rst), .s_valid(s_valid), .s_gelu(s_gelu), .s_x(s_x[32*i +: 32]), .s_b(s_b[32*i +: 20]),
        .s_c(s_c[64*i +: 40]), .s_shift(s_shift[32*i +: 24]), .m_valid(g_valid[i]), .m_y(y)
    );
    assign gelu_y[64*i +: 64] = {{16{y[47]}}, y};

    ibert_requant #(.IN_W(48), .OUT_W(8)) u_narrow (
        .clk(clk), .rst(rst), .s_valid(g_valid[i]), .s_x(y), .s_m(m_p5[32*i +: 32]), .s_e(e_p5[32*i +: 7]), .s_off(9'd0),
        .m_valid(n_valid[i]), .m_y(narrow_y[8*i +: 8])
    );
    ibert_requant #(.IN_W(32), .OUT_W(32)) u_wide (
        .clk(clk), .rst(rst), .s_valid(s_valid), .s_x(s_x[32*i +: 32]), .s_m(s_m[32*i +: 32]), .s_e(s_e[32*i +: 7]),
        .s_off(9'd0), .m_valid(w_valid[i]), .m_y(wide_y[32*i +: 32])
    );
end
for (i = 0; i < DOTS; i = i + 1) begin : g_dot
    ibert_dot #(.HEADS(1)) u_dot (
        .clk(clk), .rst(rst), .s_valid(dot_valid), .s_a(dot_a), .s_b(dot_b[512*i +: 512]),
        .m_valid(d_valid[i]), .m_sum(sum[32*i +: 32])
    );
end
endgenerate

endmodule

`resetall
