// SPDX-License-Identifier: Apache-2.0
// Requantisation: the only module of Floreana that rounds and saturates to a narrower type.
//
//   y = saturate_OUT_W( round_half_even(x * m / 2^e) + off )
//
// The product is exact: |x*m| <= 2^(IN_W+30), IN_W+32 bits. Rounding is to nearest, ties to even; e is 0..127, and e >= IN_W+32 gives
// 0 + off, which is exact since |x*m| <= 2^(e-1) then. off is added after rounding, saturation happens once, last.
// Latency 4 cycles, one value a cycle, no stall: the caller keeps room for what is in flight. Registers move only with valid data.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_requant #(
    parameter IN_W  = 32,   // width of x. Requires 2 <= IN_W <= 56
    parameter OUT_W = 8,    // width of y. Requires 2 <= OUT_W <= IN_W + 32
    parameter DSP   = "yes" // use_dsp of the product: "no" builds it of LUTs
) (
    input  wire                    clk,
    input  wire                    rst,
    input  wire                    s_valid,
    input  wire signed [IN_W-1:0]  s_x,
    input  wire signed [31:0]      s_m,
    input  wire        [6:0]       s_e,
    input  wire signed [8:0]       s_off,
    output wire                    m_valid,
    output wire signed [OUT_W-1:0] m_y
);

localparam P_W = IN_W + 32;
// a floor of more than LOW + 1 bits saturates whatever is added to it: 2^LOW >= 2^(OUT_W-1) + 256
localparam LOW_W = (OUT_W > 9) ? OUT_W : 9;
localparam LOW   = (LOW_W < P_W - 1) ? LOW_W : P_W - 1;

generate
if (IN_W < 2 || IN_W > 56) begin : g_in_w
    PARAM_ERROR_ibert_requant_IN_W_2_to_56 u_err ();
end
if (OUT_W < 2 || OUT_W > P_W) begin : g_out_w
    PARAM_ERROR_ibert_requant_OUT_W_2_to_IN_W_plus_32 u_err ();
end
endgenerate

// p1: operands
reg signed [IN_W-1:0] x_p1;
reg signed [31:0]     m_p1;
reg        [6:0]      e_p1;
reg signed [8:0]      off_p1, off_p2, off_p3;
reg                   valid_p1, valid_p2, valid_p3, valid_p4;
// p2: exact product; which of its bits lie below the point, decoded beside it: sticky bit and overflow need no shift
reg signed [P_W-1:0]  prod_p2;
reg        [6:0]      e_p2;
reg        [P_W-1:0]  below_p2;
// p3: product shifted by all but the lowest bit of e, in units of 1/2; any bit below that of 1/2; any that the floor lacks, other than the sign
reg signed [LOW+2:0]  part_p3;
reg                   odd_p3, neg_p3;
reg        [1:0]      sticky_p3, far_p3;
reg signed [OUT_W-1:0] y_p4;

(* use_dsp = DSP *)
wire signed [P_W-1:0] prod;
assign prod = x_p1 * m_p1;

// coarse step first: the fine one is then of few bits. Beyond P_W only signs are left: -1 and the half of a negative product make 0
wire signed [P_W+1:0] by_16 = $signed({prod_p2[P_W-1], prod_p2, 1'b0}) >>> {e_p2[6:4], 4'd0};
wire signed [P_W+1:0] by_2  = by_16 >>> {e_p2[3:1], 1'b0};
wire        [P_W-1:0] high  = {P_W{1'b1}} << LOW;
wire        [P_W-1:0] below = prod_p2 & (below_p2 >> 1);
wire        [P_W-1:0] above = (prod_p2 ^ {P_W{prod_p2[P_W-1]}}) & ~(below_p2 << LOW) & high;

wire signed [LOW:0]   floor = odd_p3 ? part_p3[LOW+2:2] : part_p3[LOW+1:1];
wire                  half  = odd_p3 ? part_p3[1] : part_p3[0];
wire                  inc   = half && (sticky_p3 != 2'd0 || floor[0]);
wire                  far   = far_p3 != 2'd0;
// |floor + inc + off| <= 2^LOW + 256; the lowest bit of both terms carries inc in
wire signed [LOW+2:0] twice = $signed({floor[LOW], floor, 1'b1}) + $signed({{(LOW-7){off_p3[8]}}, off_p3, inc});
wire signed [LOW+1:0] sum   = twice[LOW+2:1];
wire                  fits  = sum[LOW+1:OUT_W-1] == {(LOW+3-OUT_W){sum[LOW+1]}};
wire                  neg   = far ? neg_p3 : sum[LOW+1];

always @(posedge clk) begin
    if (s_valid) begin
        x_p1   <= s_x;
        m_p1   <= s_m;
        e_p1   <= s_e;
        off_p1 <= s_off;
    end
    if (valid_p1) begin
        prod_p2  <= prod;
        e_p2     <= e_p1;
        below_p2 <= ~({P_W{1'b1}} << e_p1);
        off_p2   <= off_p1;
    end
    if (valid_p2) begin
        part_p3   <= by_2[LOW+2:0];
        odd_p3    <= e_p2[0];
        sticky_p3 <= {|below[P_W-1:P_W/2], |below[P_W/2-1:0]};
        far_p3    <= {|above[P_W-1:(P_W+LOW)/2], |above[(P_W+LOW)/2-1:0]};
        neg_p3    <= prod_p2[P_W-1];
        off_p3    <= off_p2;
    end
    if (valid_p3) y_p4 <= (fits && !far) ? sum[OUT_W-1:0] : {neg, {(OUT_W-1){!neg}}};

    valid_p1 <= s_valid;
    valid_p2 <= valid_p1;
    valid_p3 <= valid_p2;
    valid_p4 <= valid_p3;
    if (rst) begin
        valid_p1 <= 1'b0;
        valid_p2 <= 1'b0;
        valid_p3 <= 1'b0;
        valid_p4 <= 1'b0;
    end
end

assign m_valid = valid_p4;
assign m_y     = y_p4;

wire unused = &{1'b0, by_2, twice[0]};

endmodule

`resetall
