// SPDX-License-Identifier: Apache-2.0
// Output stage of int8 rows: POST_LANES channels a cycle through GELU (where the row asks for it) and requantisation, packed to beats.
//
//   y[c] = requant( gelu ? GELU(acc[c]; b, c, shift) : acc[c];  m, e, off ) to int8,  constants of POST index post_base*POST_LANES + c
//
// Rounding: ibert_requant; saturation: ibert_gelu to 48 bits, ibert_requant to 8. Rate POST_LANES values a cycle without idle cycles
// between units and rows. Latency 12 cycles from the last unit of a beat taken to the beat written into the beat FIFO, 2 through it.
// The arithmetic never stalls: a beat starts only with a credit for its room in the FIFO. m_row_ready tells that a whole row, or half
// a FIFO of it, waits, of the half a cycle late. A row's units must fill whole beats (a multiple of four units); m_desc is the same on every beat
// of the row.
//
// s_desc {last 1, row 16, slotgen 8, msg_base 8, post_base 16, gelu 1, out_units 10}, m_desc {last, row, slotgen, msg_base}.
// Configuration: memory 6 POST, index channel: {gelu_shift 24, gelu_c 40, gelu_b 20, off 9, e 7, m 32}; a write beyond it is ignored.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_post #(
    parameter POST_LANES = 8,    // channels a cycle. Requires 1, 2, 4, 8 or 16
    parameter POST_WORDS = 512   // words of POST_LANES channels
) (
    input  wire         clk,
    input  wire         rst,
    input  wire [511:0] s_data,
    input  wire         s_last,
    input  wire [59:0]  s_desc,
    input  wire         s_valid,
    output wire         s_ready,

    output wire [511:0] m_data,
    output wire         m_last,
    output wire [32:0]  m_desc,
    output wire         m_valid,
    input  wire         m_ready,
    output wire         m_row_ready,

    input  wire         cfg_we,
    input  wire [27:0]  cfg_addr,
    input  wire [131:0] cfg_data
);

localparam SUB_N  = 16 / POST_LANES;          // cycles of a unit
localparam VEC_N  = 64 / POST_LANES;          // cycles of a beat
localparam LANE_W = $clog2(POST_LANES);
localparam PA_W   = (POST_WORDS > 1) ? $clog2(POST_WORDS) : 1;
localparam DEPTH  = 16;                       // beats
localparam [5:0] VEC_LAST = VEC_N[5:0] - 6'd1;
localparam [4:0] SUB_LAST = SUB_N[4:0] - 5'd1;
localparam [4:0] CREDITS  = DEPTH;

generate
if (POST_LANES < 1 || POST_LANES > 16 || (1 << LANE_W) != POST_LANES) begin : g_lanes
    PARAM_ERROR_ibert_post_POST_LANES_1_2_4_8_16 u_err ();
end
if (POST_WORDS < 1 || POST_WORDS > 65536) begin : g_words
    PARAM_ERROR_ibert_post_POST_WORDS_1_to_65536 u_err ();
end
endgenerate

// ---- issue: one vector of POST_LANES channels a cycle -------------------------------------------------------------------------
reg  [4:0]  sub_reg;       // vector of the unit
reg  [5:0]  vec_reg;       // vector of the beat
reg         begun_reg;     // it is not the first
reg  [15:0] vec_row_reg;   // vector of the row
reg         row_first_reg;
reg  [4:0]  cred_reg;
reg         any_reg;       // there are credits

wire [15:0] post_base = s_desc[26:11];
wire        unused_desc = &{1'b0, s_desc[9:0]};
wire        fire      = s_valid && (begun_reg || any_reg);
wire        unit_end  = sub_reg == SUB_LAST;
wire        row_end   = unit_end && s_last;
wire        beat_end  = vec_reg == VEC_LAST || row_end;
wire        spend     = fire && !begun_reg;
wire        give      = m_valid && m_ready;
wire [15:0] addr      = post_base + vec_row_reg;

assign s_ready = fire && unit_end;

// p1 .. p10 (bit i-1 is stage p<i>): p1 operands of GELU, p6 operands of requant, p10 results
reg [9:0]               valid_reg, beat_end_reg, row_end_reg;
reg                     gelu_p1;
reg [32*POST_LANES-1:0] x_p1;
reg [15:0]              addr_p1, addr_p2, addr_p3, addr_p4, addr_p5;
wire                    unused_addr = &{1'b0, addr, addr_p5};

always @(posedge clk) begin
    if (fire) begin
        sub_reg       <= unit_end ? 5'd0 : sub_reg + 5'd1;
        vec_reg       <= beat_end ? 6'd0 : vec_reg + 6'd1;
        begun_reg     <= !beat_end;
        vec_row_reg   <= row_end ? 16'd0 : vec_row_reg + 16'd1;
        row_first_reg <= row_end;
        gelu_p1       <= s_desc[10];
        x_p1          <= s_data[{27'd0, sub_reg} * (32*POST_LANES) +: 32*POST_LANES];
        addr_p1       <= addr;
    end
    if (valid_reg[0]) addr_p2 <= addr_p1;
    if (valid_reg[1]) addr_p3 <= addr_p2;
    if (valid_reg[2]) addr_p4 <= addr_p3;
    if (valid_reg[3]) addr_p5 <= addr_p4;
    beat_end_reg <= {beat_end_reg[8:0], beat_end};
    row_end_reg  <= {row_end_reg[8:0], row_end};
    valid_reg    <= {valid_reg[8:0], fire};
    cred_reg     <= cred_reg + {4'd0, give} - {4'd0, spend};
    any_reg      <= give || (spend ? cred_reg[4:1] != 4'd0 : any_reg);
    if (rst) begin
        sub_reg       <= 5'd0;
        vec_reg       <= 6'd0;
        begun_reg     <= 1'b0;
        vec_row_reg   <= 16'd0;
        row_first_reg <= 1'b1;
        valid_reg     <= 10'd0;
        cred_reg      <= CREDITS;
        any_reg       <= 1'b1;
    end
end

// ---- lanes ----------------------------------------------------------------------------------------------------------------------
wire [8*POST_LANES-1:0] y_p10;
wire [POST_LANES-1:0]   unused_gelu_valid, unused_valid;
wire                    post_we = cfg_we && cfg_addr[27:24] == 4'd6 && ({8'd0, cfg_addr[23:0]} >> LANE_W) < POST_WORDS;

genvar l;
generate
for (l = 0; l < POST_LANES; l = l + 1) begin : g_lane
    wire [83:0]        gelu_c;
    wire [47:0]        req_c;
    wire signed [47:0] y_p6;
    wire               lane_we = post_we && {8'd0, cfg_addr[23:0]} % POST_LANES == l;

    axis_ram #(.DATA_W(84), .DEPTH(POST_WORDS), .FWD_EN(0), .STYLE("auto")) u_gelu_ram (
        .clk(clk),
        .wr_en(lane_we), .wr_addr(cfg_addr[LANE_W +: PA_W]), .wr_data(cfg_data[131:48]),
        .rd_en(fire && s_desc[10]), .rd_addr(addr[PA_W-1:0]), .rd_data(gelu_c)
    );
    axis_ram #(.DATA_W(48), .DEPTH(POST_WORDS), .FWD_EN(0), .STYLE("auto")) u_requant_ram (
        .clk(clk),
        .wr_en(lane_we), .wr_addr(cfg_addr[LANE_W +: PA_W]), .wr_data(cfg_data[47:0]),
        .rd_en(valid_reg[4]), .rd_addr(addr_p5[PA_W-1:0]), .rd_data(req_c)
    );
    ibert_gelu u_gelu (
        .clk(clk), .rst(rst),
        .s_valid(valid_reg[0]), .s_gelu(gelu_p1), .s_x(x_p1[32*l +: 32]),
        .s_b(gelu_c[19:0]), .s_c(gelu_c[59:20]), .s_shift(gelu_c[83:60]),
        .m_valid(unused_gelu_valid[l]), .m_y(y_p6)
    );
    ibert_requant #(.IN_W(48), .OUT_W(8)) u_requant (
        .clk(clk), .rst(rst),
        .s_valid(valid_reg[5]), .s_x(y_p6), .s_m(req_c[31:0]), .s_e(req_c[38:32]), .s_off(req_c[47:39]),
        .m_valid(unused_valid[l]), .m_y(y_p10[8*l +: 8])
    );
end
endgenerate

// ---- packing: the first vector of a beat ends up lowest -------------------------------------------------------------------------
reg [511:0] pack_p11;
reg         push_p11, last_p11;

always @(posedge clk) begin
    if (valid_reg[9]) pack_p11 <= {y_p10, pack_p11[511:8*POST_LANES]};
    last_p11 <= row_end_reg[9];
    push_p11 <= valid_reg[9] && beat_end_reg[9];
    if (rst) push_p11 <= 1'b0;
end

// ---- beats and descriptions of rows; each row in flight holds a credit, so 16 descriptions suffice ------------------------------
wire       unused_room, unused_desc_room, unused_desc_valid;
wire [4:0] level, unused_desc_level;
reg  [4:0] rows_reg;   // whole rows in the FIFO
reg        some_reg;   // not 0
reg        ready_reg;
wire       row_in    = push_p11 && last_p11;
wire       row_out   = give && m_last;
wire       some_next = row_in || (row_out ? rows_reg[4:1] != 4'd0 : some_reg);

axis_fifo #(.DATA_W(513), .DEPTH(DEPTH), .STYLE("distributed")) u_beats (
    .clk(clk), .rst(rst),
    .s_axis_tdata({last_p11, pack_p11}), .s_axis_tvalid(push_p11), .s_axis_tready(unused_room),
    .m_axis_tdata({m_last, m_data}), .m_axis_tvalid(m_valid), .m_axis_tready(m_ready),
    .sts_level(level)
);
axis_fifo #(.DATA_W(33), .DEPTH(DEPTH), .STYLE("distributed")) u_desc (
    .clk(clk), .rst(rst),
    .s_axis_tdata(s_desc[59:27]), .s_axis_tvalid(fire && row_first_reg), .s_axis_tready(unused_desc_room),
    .m_axis_tdata(m_desc), .m_axis_tvalid(unused_desc_valid), .m_axis_tready(give && m_last),
    .sts_level(unused_desc_level)
);

always @(posedge clk) begin
    rows_reg  <= rows_reg + {4'd0, row_in} - {4'd0, row_out};
    some_reg  <= some_next;
    ready_reg <= some_next || level >= 5'd8;
    if (rst) begin
        rows_reg  <= 5'd0;
        some_reg  <= 1'b0;
        ready_reg <= 1'b0;
    end
end

assign m_row_ready = ready_reg;

endmodule

`resetall
