// SPDX-License-Identifier: Apache-2.0
// Takes the place of axis_cdc_bit in simulations with Icarus: each bit has a wire of its own, whose delay is drawn anew for each change. Bits that
// change together may so be seen in the wrong order; of a Gray code only one changes. Delays stay below a period of the fastest clock (3.1 ns).
`resetall
`timescale 1ns/1ps
`default_nettype none

module axis_cdc_bit #(
    parameter W = 1
) (
    input  wire         clk,
    input  wire [W-1:0] d,
    output wire [W-1:0] q
);

reg [W-1:0] late, sync1_reg, sync2_reg;

genvar i;
generate
for (i = 0; i < W; i = i + 1) begin : g_wire
    initial #1 late[i] = d[i];  // a change at time 0 may come before the next line listens
    always @(d[i]) begin
        #(({$random} % 3000) * 0.001) late[i] = d[i];
    end
end
endgenerate

always @(posedge clk) begin
    sync1_reg <= late;
    sync2_reg <= sync1_reg;
end

assign q = sync2_reg;

endmodule

`resetall
