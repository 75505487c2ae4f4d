// SPDX-License-Identifier: Apache-2.0
// Self-checking bench for `fusesoc run` (docs/ecosystem.md): plain Verilog, no Python inside the simulator.
//
// Streams: numbers go through axis_fifo and axis_skid while both ends stall at random; each must come out once, in order, unchanged while
// stalled. Requantisation: y of ibert_requant against a quotient and remainder computed with `/` and `%` of wide numbers, for ties,
// saturation, and random operands. Ends with "PASS <count> beats, <count> values" or with "FAIL ..." and $stop, which both simulators return as an error.
`resetall
`timescale 1ns/1ps
`default_nettype none

module fusesoc_check;

localparam BEATS  = 2000;
localparam VALUES = 2000;

reg         clk = 1'b0;
reg         rst = 1'b1;
reg  [31:0] lfsr = 32'h1234_5679;
integer     cycle = 0;

always #2.5 clk = !clk;

// Galois LFSR of maximal length: three bits decide the stalls of a cycle, the whole word makes operands
always @(posedge clk) begin
    lfsr  <= {1'b0, lfsr[31:1]} ^ (lfsr[0] ? 32'hA300_0000 : 32'd0);
    cycle <= cycle + 1;
    rst   <= cycle < 4;
    if (cycle > 40 * BEATS) begin
        $display("FAIL: no end after %0d cycles, %0d beats, %0d values", cycle, got_reg, checked);
        $stop;
    end
end

// ---------------------------------------------------------------- streams

reg  [15:0] sent_reg = 16'd0;
reg  [15:0] got_reg  = 16'd0;
reg         offer_reg = 1'b0;
reg         take_reg  = 1'b0;
wire        s_ready, f_valid, f_ready, m_valid;
wire [31:0] s_data = {~sent_reg, sent_reg};
wire [31:0] f_data, m_data;
wire [4:0]  level;
reg  [31:0] held_reg  = 32'd0;
reg         stall_reg = 1'b0;

axis_fifo #(.DATA_W(32), .DEPTH(16)) u_fifo (
    .clk(clk), .rst(rst),
    .s_axis_tdata(s_data), .s_axis_tvalid(offer_reg), .s_axis_tready(s_ready),
    .m_axis_tdata(f_data), .m_axis_tvalid(f_valid), .m_axis_tready(f_ready), .sts_level(level)
);

axis_skid #(.DATA_W(32)) u_skid (
    .clk(clk), .rst(rst),
    .s_axis_tdata(f_data), .s_axis_tvalid(f_valid), .s_axis_tready(f_ready),
    .m_axis_tdata(m_data), .m_axis_tvalid(m_valid), .m_axis_tready(take_reg)
);

always @(posedge clk) begin
    // an offered beat stays until it is taken
    if (!offer_reg || s_ready) offer_reg <= !rst && lfsr[1:0] != 2'd0 && sent_reg + (offer_reg && s_ready) < BEATS;
    if (offer_reg && s_ready)  sent_reg <= sent_reg + 16'd1;
    take_reg  <= cycle[8] ? lfsr[9] : lfsr[10:9] != 2'd0;
    stall_reg <= m_valid && !take_reg;
    held_reg  <= m_data;
    if (rst) offer_reg <= 1'b0;

    if (!rst) begin
        if (stall_reg && (!m_valid || m_data !== held_reg)) begin
            $display("FAIL: a stalled beat %h became %h, tvalid %b", held_reg, m_data, m_valid);
            $stop;
        end
        if (level > 5'd17) begin
            $display("FAIL: a FIFO of 16 words holds %0d", level);
            $stop;
        end
        if (m_valid && take_reg) begin
            if (m_data !== {~got_reg, got_reg}) begin
                $display("FAIL: beat %0d is %h", got_reg, m_data);
                $stop;
            end
            got_reg <= got_reg + 16'd1;
        end
    end
end

// ---------------------------------------------------------------- requantisation

reg                give_reg = 1'b0;
reg  signed [31:0] x_reg    = 32'd0;
reg  signed [31:0] m_reg    = 32'd0;
reg         [6:0]  e_reg    = 7'd0;
reg  signed [8:0]  off_reg  = 9'd0;
wire               y_valid;
wire signed [7:0]  y;
integer            given    = 0;
integer            checked  = 0;
reg  signed [7:0]  want [0:15];

ibert_requant #(.IN_W(32), .OUT_W(8)) u_requant (
    .clk(clk), .rst(rst), .s_valid(give_reg), .s_x(x_reg), .s_m(m_reg), .s_e(e_reg), .s_off(off_reg), .m_valid(y_valid), .m_y(y)
);

// Quotient towards zero and remainder of the magnitude, then the tie rule: nothing here shifts an accumulator or looks at sticky bits
function signed [7:0] expected(input signed [31:0] x, input signed [31:0] m, input [6:0] e, input signed [8:0] off);
    reg signed [95:0] product;
    reg        [95:0] size, unit, quotient, twice;
    reg signed [95:0] value;
    begin
        product  = {{64{x[31]}}, x};
        product  = product * $signed({{64{m[31]}}, m});
        size     = product < 0 ? -product : product;
        unit     = 96'd1;
        unit     = unit << e;
        quotient = size / unit;
        twice    = (size % unit) * 2;
        if (twice > unit || (twice == unit && (quotient % 2) == 1)) quotient = quotient + 1;
        value    = product < 0 ? -quotient : quotient;
        value    = value + $signed({{87{off[8]}}, off});
        expected = value > 127 ? 8'sd127 : value < -128 ? -8'sd128 : value[7:0];
    end
endfunction

always @(posedge clk) begin
    give_reg <= !rst && lfsr[3] && given < VALUES;
    x_reg    <= lfsr[4] ? {{20{lfsr[31]}}, lfsr[31:20]} : {lfsr[15:0], lfsr[31:16]};
    // small powers of two: many of the products are ties
    m_reg    <= lfsr[5] ? 32'sd1 << lfsr[8:6] : {{8{lfsr[30]}}, lfsr[23:0]};
    e_reg    <= lfsr[5] ? {4'd0, lfsr[13:11]} + 7'd1 : {1'b0, lfsr[16:11]};
    off_reg  <= lfsr[19] ? lfsr[18:10] : 9'sd0;
    if (give_reg) begin
        want[given % 16] = expected(x_reg, m_reg, e_reg, off_reg);
        given = given + 1;
    end
    if (!rst && y_valid) begin
        if (y !== want[checked % 16]) begin
            $display("FAIL: value %0d is %0d, not %0d", checked, y, want[checked % 16]);
            $stop;
        end
        checked = checked + 1;
    end
    if (got_reg == BEATS && checked == VALUES) begin
        $display("PASS %0d beats, %0d values", got_reg, checked);
        $finish;
    end
end

endmodule

`resetall
