// SPDX-License-Identifier: Apache-2.0
// Integer GELU of one channel, or the value unchanged.
//
//   a = min(|x|, -b);  g = (sign(x) * ((a + b)^2 + c)) >> 14;  y = saturate_48( x * (g + shift) )      where s_gelu = 1
//   y = x                                                                                             where s_gelu = 0
//
// ">>" is arithmetic (floor); nothing else rounds. x = 0 gives 0, so that sign(0) needs no case of its own. b <= 0 is
// required (|x| is clamped to -b). Widths: -2^19 <= a + b <= 0, the square <= 2^38, g 27 bits, g + shift 28 bits, the product 60 bits, saturated
// once to 48.
// Latency 5 cycles, one value a cycle, no stall: the caller keeps room for what is in flight. Registers move only with valid data.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_gelu (
    input  wire               clk,
    input  wire               rst,
    input  wire               s_valid,
    input  wire               s_gelu,
    input  wire signed [31:0] s_x,
    input  wire signed [19:0] s_b,
    input  wire signed [39:0] s_c,
    input  wire signed [23:0] s_shift,
    output wire               m_valid,
    output wire signed [47:0] m_y
);

reg               valid_p1, valid_p2, valid_p3, valid_p4, valid_p5;
reg               gelu_p1, gelu_p2, gelu_p3;
reg signed [31:0] x_p1, x_p2, x_p3;
reg signed [39:0] c_p1, c_p2;
reg signed [23:0] shift_p1, shift_p2;
reg signed [20:0] d_p1;      // a + b, -2^19 .. 0
reg signed [41:0] sq_p2;
reg signed [27:0] gs_p3;
reg signed [63:0] prod_p4;   // |x * (g + shift)| < 2^59
reg signed [47:0] y_p5;

// Functions, called where the stage is valid: simulators evaluate wires of several uses in every cycle.

// a + b with a = min(|x|, -b), in one addition: |x| + b, or 0 where that is not below 0. |-2^31| = 2^31 needs 33 bits signed; the
// result needs 20. The added one of a negation enters as a carry, here and below: below a bit 1 of both operands.
function signed [20:0] clamp_add(input signed [31:0] x, input signed [19:0] b);
    reg signed [33:0] sum;
    begin
        sum       = {{x[31], x} ^ {33{x[31]}}, 1'b1} + {{13{b[19]}}, b, x[31]};
        clamp_add = sum[33] ? sum[21:1] : 21'd0;
    end
endfunction

// ((sign(x) * (sq + c)) >> 14) + shift. Of -v = ~v + 1 the added one reaches bit 14 only where the bits below are 0 in v
function signed [27:0] factor(
    input negative, input signed [41:0] sq, input signed [39:0] c, input signed [23:0] shift
);
    reg signed [41:0] poly;
    reg signed [28:0] sum;
    begin
        poly   = sq + $signed({{2{c[39]}}, c});
        sum    = {poly[41:14] ^ {28{negative}}, 1'b1} + {{4{shift[23]}}, shift, negative && poly[13:0] == 14'd0};
        factor = sum[28:1];
    end
endfunction

// p5: one saturation
wire               fits    = prod_p4[63:47] == {17{prod_p4[63]}};

always @(posedge clk) begin
    if (s_valid) begin
        gelu_p1  <= s_gelu;
        x_p1     <= s_x;
        c_p1     <= s_c;
        shift_p1 <= s_shift;
        d_p1     <= clamp_add(s_x, s_b);
    end
    if (valid_p1) begin
        gelu_p2  <= gelu_p1;
        x_p2     <= x_p1;
        c_p2     <= c_p1;
        shift_p2 <= shift_p1;
        sq_p2    <= d_p1 * d_p1;
    end
    if (valid_p2) begin
        gelu_p3 <= gelu_p2;
        x_p3    <= x_p2;
        gs_p3   <= factor(x_p2[31], sq_p2, c_p2, shift_p2);
    end
    if (valid_p3) begin
        // $signed: a bare concatenation would make the product unsigned
        prod_p4 <= gelu_p3 ? x_p3 * gs_p3 : $signed({{32{x_p3[31]}}, x_p3});
    end
    if (valid_p4) y_p5 <= fits ? prod_p4[47:0] : {prod_p4[63], {47{!prod_p4[63]}}};

    valid_p1 <= s_valid;
    valid_p2 <= valid_p1;
    valid_p3 <= valid_p2;
    valid_p4 <= valid_p3;
    valid_p5 <= valid_p4;
    if (rst) begin
        valid_p1 <= 1'b0;
        valid_p2 <= 1'b0;
        valid_p3 <= 1'b0;
        valid_p4 <= 1'b0;
        valid_p5 <= 1'b0;
    end
end

assign m_valid = valid_p5;
assign m_y     = y_p5;

endmodule

`resetall
