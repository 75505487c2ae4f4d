// SPDX-License-Identifier: Apache-2.0
// Integer exponential of one score, I-BERT's second-order polynomial, requantised.
//
//   x  = max(s_score - s_max, 30*x0)         x0 = -x0n < 0
//   q  = floor(x / x0)                       0..30
//   r  = x - q*x0                            -x0n < r <= 0
//   z  = max(r*(r + b) + c, 0)               < 2^36
//   ea = requant(z; m, e - 30 + q)           rounded half to even and saturated to signed 16 bits by ibert_requant
//
// Requires s_score <= s_max, x0n > 0, 30 <= e <= 80. Magnitudes are used inside: d = -x, r = -(d mod x0n), by five restoring
// subtractions of x0n * 16, 8, 4, 2, 1, one a stage.
// Latency 14 cycles, one score a cycle, no stall; registers move only with valid data. x0n, lim, b, c, m, e are static while
// anything is in flight. It does not find the maximum nor the sum.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_exp (
    input  wire               clk,
    input  wire               rst,
    input  wire               s_valid,
    input  wire signed [31:0] s_score,
    input  wire signed [31:0] s_max,
    input  wire        [15:0] x0n,      // -x0
    input  wire        [20:0] lim,      // 30 * x0n
    input  wire signed [19:0] b,
    input  wire signed [31:0] c,
    input  wire signed [31:0] m,
    input  wire        [6:0]  e,
    output wire               m_valid,
    output wire signed [15:0] m_ea
);

// p1: distance below the maximum, 0 .. 2^32-1; p2: clamped
reg [31:0] dist_p1;
reg [20:0] d_p2;
// p3..p7: remainder and quotient after each subtraction
reg [20:0] d_p3, d_p4, d_p5, d_p6;
reg [15:0] d_p7;
reg [4:0]  q_p3, q_p4, q_p5, q_p6, q_p7, q_p8, q_p9;
// p8: r and r + b;  p9: product, |r*(r+b)| < 2^16 * 2^20;  p10: z and its exponent
reg signed [16:0] r_p8;
reg signed [20:0] rb_p8;
reg signed [37:0] prod_p9;
reg signed [36:0] z_p10;
reg        [6:0]  e_p10;
reg        [9:0]  valid_sr;

wire ge16 = d_p2 >= {1'b0, x0n, 4'd0};
wire ge8  = d_p3 >= {2'b0, x0n, 3'd0};
wire ge4  = d_p4 >= {3'b0, x0n, 2'd0};
wire ge2  = d_p5 >= {4'b0, x0n, 1'd0};
wire ge1  = d_p6 >= {5'b0, x0n};
// below x0n now, so 16 bits
wire [20:0] d7_next = d_p6 - (ge1 ? {5'b0, x0n} : 21'd0);

wire signed [16:0] rem_ext  = $signed({1'b0, d_p7});
wire signed [20:0] rem_wide = $signed({5'b0, d_p7});
wire signed [20:0] b_wide   = {b[19], b};
wire signed [37:0] z_next   = prod_p9 + $signed({{6{c[31]}}, c});

always @(posedge clk) begin
    if (s_valid)     dist_p1 <= s_max - s_score;
    if (valid_sr[0]) d_p2    <= (dist_p1 > {11'd0, lim}) ? lim : dist_p1[20:0];
    if (valid_sr[1]) begin
        d_p3 <= d_p2 - (ge16 ? {1'b0, x0n, 4'd0} : 21'd0);
        q_p3 <= {ge16, 4'd0};
    end
    if (valid_sr[2]) begin
        d_p4 <= d_p3 - (ge8 ? {2'b0, x0n, 3'd0} : 21'd0);
        q_p4 <= q_p3 | {1'd0, ge8, 3'd0};
    end
    if (valid_sr[3]) begin
        d_p5 <= d_p4 - (ge4 ? {3'b0, x0n, 2'd0} : 21'd0);
        q_p5 <= q_p4 | {2'd0, ge4, 2'd0};
    end
    if (valid_sr[4]) begin
        d_p6 <= d_p5 - (ge2 ? {4'b0, x0n, 1'd0} : 21'd0);
        q_p6 <= q_p5 | {3'd0, ge2, 1'd0};
    end
    if (valid_sr[5]) begin
        d_p7 <= d7_next[15:0];
        q_p7 <= q_p6 | {4'd0, ge1};
    end
    if (valid_sr[6]) begin
        r_p8  <= -rem_ext;
        rb_p8 <= b_wide - rem_wide;
        q_p8  <= q_p7;
    end
    if (valid_sr[7]) begin
        prod_p9 <= r_p8 * rb_p8;
        q_p9    <= q_p8;
    end
    if (valid_sr[8]) begin
        z_p10 <= z_next[37] ? 37'sd0 : z_next[36:0];
        e_p10 <= e - 7'd30 + {2'd0, q_p9};
    end
    valid_sr <= {valid_sr[8:0], s_valid};
    if (rst) valid_sr <= 10'd0;
end

ibert_requant #(.IN_W(37), .OUT_W(16)) u_requant (
    .clk(clk), .rst(rst),
    .s_valid(valid_sr[9]), .s_x(z_p10), .s_m(m), .s_e(e_p10), .s_off(9'sd0),
    .m_valid(m_valid), .m_y(m_ea)
);

wire unused = &{1'b0, d7_next[20:16]};

endmodule

`resetall
