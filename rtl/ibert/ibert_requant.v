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
// p2: exact product; shift less one, so that the bit of weight 1/2 stays
reg signed [P_W-1:0]  prod_p2;
reg        [6:0]      sh_p2;
reg                   whole_p2;   // e = 0: nothing to round
reg                   zero_p2;    // e >= P_W: rounds to 0
// p3: floor and increment
reg signed [P_W-1:0]  floor_p3;
reg                   inc_p3;
reg signed [OUT_W-1:0] y_p4;

(* use_dsp = DSP *)
wire signed [P_W-1:0] prod;
assign prod = x_p1 * m_p1;

wire signed [P_W-1:0] half_units = prod_p2 >>> sh_p2;
wire signed [P_W-1:0] floor_next = half_units >>> 1;
wire        [P_W-1:0] back       = half_units << sh_p2;
wire                  sticky     = back != prod_p2;

wire signed [P_W-1:0] inc_ext = $signed({{(P_W-1){1'b0}}, inc_p3});
wire signed [P_W-1:0] off_ext = {{(P_W-9){off_p3[8]}}, off_p3};
// |floor| <= 2^(IN_W+30), so the sum stays inside P_W bits
wire signed [P_W-1:0] sum     = floor_p3 + inc_ext + off_ext;
wire                  fits    = sum[P_W-1:OUT_W-1] == {(P_W-OUT_W+1){sum[P_W-1]}};

always @(posedge clk) begin
    if (s_valid) begin
        x_p1   <= s_x;
        m_p1   <= s_m;
        e_p1   <= s_e;
        off_p1 <= s_off;
    end
    if (valid_p1) begin
        prod_p2  <= prod;
        sh_p2    <= (e_p1 == 7'd0) ? 7'd0 : e_p1 - 7'd1;
        whole_p2 <= e_p1 == 7'd0;
        zero_p2  <= e_p1 >= P_W;
        off_p2   <= off_p1;
    end
    if (valid_p2) begin
        floor_p3 <= zero_p2 ? {P_W{1'b0}} : (whole_p2 ? prod_p2 : floor_next);
        inc_p3   <= !zero_p2 && !whole_p2 && half_units[0] && (sticky || floor_next[0]);
        off_p3   <= off_p2;
    end
    if (valid_p3) y_p4 <= fits ? sum[OUT_W-1:0] : {sum[P_W-1], {(OUT_W-1){!sum[P_W-1]}}};

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

endmodule

`resetall
