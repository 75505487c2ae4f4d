// SPDX-License-Identifier: Apache-2.0
// Techmap rule of `make synth`: a signed product that does not fit a DSP slice is cut into tiles of 27 by 18 bits, in the way round that takes fewer;
// Yosys' own rule always puts the wider operand on the wider side (25 x 33 bits: four slices, not two).
//
//   a * b = ((a >> n) * b << n) + (a mod 2^n) * b       n = 26 or 17, a mod 2^n with a sign bit 0
(* techmap_celltype = "$mul" *)
module tiles (A, B, Y);

parameter A_SIGNED = 0;
parameter B_SIGNED = 0;
parameter A_WIDTH  = 1;
parameter B_WIDTH  = 1;
parameter Y_WIDTH  = 1;

input  [A_WIDTH-1:0] A;
input  [B_WIDTH-1:0] B;
output [Y_WIDTH-1:0] Y;

// tiles with A on the side of 27 bits, and with A on the side of 18
localparam A_26  = (A_WIDTH + 24) / 26;
localparam A_17  = (A_WIDTH + 15) / 17;
localparam B_26  = (B_WIDTH + 24) / 26;
localparam B_17  = (B_WIDTH + 15) / 17;
localparam WIDE  = A_26 * B_17 <= A_17 * B_26;
localparam A_CUT = WIDE ? 26 : 17;
localparam B_CUT = WIDE ? 17 : 26;

generate
if (!A_SIGNED || !B_SIGNED || (WIDE ? A_26 * B_17 : A_17 * B_26) < 2) begin : g_leave
    wire _TECHMAP_FAIL_ = 1;
end else if (A_WIDTH > A_CUT + 1) begin : g_a
    wire signed [B_WIDTH-1:0]       b  = B;
    wire signed [A_CUT:0]           lo = {1'b0, A[A_CUT-1:0]};
    wire signed [A_WIDTH-A_CUT-1:0] hi = A[A_WIDTH-1:A_CUT];
    wire signed [A_CUT+B_WIDTH:0]   lo_product = lo * b;
    wire signed [A_WIDTH-A_CUT+B_WIDTH-1:0] hi_product = hi * b;
    wire signed [A_WIDTH+B_WIDTH-1:0] sum = $signed({hi_product, {A_CUT{1'b0}}}) + lo_product;
    assign Y = sum;
end else begin : g_b
    wire signed [A_WIDTH-1:0]       a  = A;
    wire signed [B_CUT:0]           lo = {1'b0, B[B_CUT-1:0]};
    wire signed [B_WIDTH-B_CUT-1:0] hi = B[B_WIDTH-1:B_CUT];
    wire signed [B_CUT+A_WIDTH:0]   lo_product = lo * a;
    wire signed [B_WIDTH-B_CUT+A_WIDTH-1:0] hi_product = hi * a;
    wire signed [A_WIDTH+B_WIDTH-1:0] sum = $signed({hi_product, {B_CUT{1'b0}}}) + lo_product;
    assign Y = sum;
end
endgenerate

endmodule
