// SPDX-License-Identifier: Apache-2.0
// Context stage of ibert_attention: probabilities, their sum over the values, requantisation to one output beat.
//
//   mode 0: p[k][h] = (ea[k][h] * f[h]) >> 24, saturated to 0..255 (ibert_prob)
//           o[c]    = sum over k of p[k][h(c)] * v[k][c]        c = 0..63, |o| <= 2^ROW_W * 255 * 128 < 2^(15+ROW_W)
//   mode 1: o[c]    = (sum over k of ea[k][h(c)] * v[k][c] * f[h(c)]) >> 16        ea 0..255; |o| <= 2^23, since f <= 2^32 / sum of ea
//   y[c]    = requant(o[c]; REQUANT[64*(req_base + beat) + c]) to int8, by ibert_requant
//
// One key a cycle, 64 columns (ibert_attention_sums); then four channels a cycle, overlapped with the next job. Latency: 6 cycles from a job's
// last key to the finished sums, 22 more to m_valid, in mode 1 24: two for the product with f. Jobs end at least 17 cycles apart. A job is
// taken only with s_room = 1, because its result cannot be held back: m_valid is one cycle long.
//
// The four multipliers of f (ibert_prob, 16+ROW_W by 33 bits) serve both modes: the first HEADS make probabilities while keys of mode 0 pass,
// all four the products of a finished job of mode 1, 16 cycles from the 8th behind its last key. A job of mode 0 is therefore taken not
// before the 22nd cycle behind the last key of a job of mode 1.
//
// Configuration: memory 1 CONTEXT (req_base, msg_base), memory 4 REQUANT {off 9, e 7, m 32}, four memories, channel modulo 4.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_attention_context #(
    parameter HEADS     = 1,    // heads in a beat
    parameter ROW_W     = 7,    // rows of a slot = 2**ROW_W
    parameter SB_W      = 2,    // {slot, bank}
    parameter BEAT_AW   = 1,    // $clog2 of the most beats of a row
    parameter ADDR_W    = 10,   // SB_W + ROW_W + BEAT_AW
    parameter CTX_N     = 16,   // contexts
    parameter REQ_WORDS = 32,   // 64-channel words of requantisation constants
    parameter JOB_W     = 33    // see ibert_attention_rows
) (
    input  wire                clk,
    input  wire                rst,
    input  wire                s_valid,
    input  wire [JOB_W-1:0]    s_job,
    input  wire [32*HEADS-1:0] s_f,
    input  wire                s_mode,
    input  wire [4:0]          s_min,      // its n, 17 where it is more
    input  wire                s_room,     // a result may be produced
    output wire                s_take,
    output wire                ea_rd_en,
    output wire [ROW_W-1:0]    ea_rd_index,
    input  wire [16*HEADS-1:0] ea_rd_data,
    output wire                v_rd_en,
    output wire [ADDR_W-1:0]   v_rd_addr,
    input  wire [511:0]        v_rd_data,

    output wire                m_valid,
    output wire [511:0]        m_data,
    output wire [7:0]          m_msg,      // MESSAGE entry
    output wire [JOB_W-1:0]    m_job,

    input  wire                cfg_we,
    input  wire [27:0]         cfg_addr,
    input  wire [131:0]        cfg_data
);

localparam CTX_AW  = (CTX_N > 1) ? $clog2(CTX_N) : 1;
localparam WORD_W  = (REQ_WORDS > 1) ? $clog2(REQ_WORDS) : 1;
localparam ACC_W   = ROW_W + 16;                       // sums
localparam X_W     = (ACC_W > 24) ? ACC_W : 24;        // operands of the requantisation
localparam [4:0] SPACING = 5'd17;
localparam [4:0] SWITCH  = 5'd22;   // until the multipliers of f are free for mode 0

// ---- issue
reg                act_reg, last_reg;   // k_reg is the job's last
reg [JOB_W-1:0]    cur_reg, cap_reg;
reg [ROW_W-1:0]    k_reg;
reg [32*HEADS-1:0] f_reg, f_p1;
reg [32*HEADS-1:0] cap_f_reg;
reg                mode_reg, cap_mode_reg;
reg [4:0]          since_reg;   // cycles since the last key of the job before, at most 22
reg [4:0]          need_reg;    // least n of a job taken now: its last key falls SPACING behind that

wire [ROW_W:0]   n_new  = s_job[ROW_W:0];
wire             k_last = last_reg;
wire [ROW_W+1:0] k_two  = {2'b00, k_reg} + {{ROW_W{1'b0}}, 2'd2};
wire             end_now = act_reg && k_last;
wire             long   = s_min == SPACING;
wire             enough = s_min >= need_reg;
wire             free   = s_mode || !mode_reg || (!act_reg && since_reg == SWITCH);
wire             take   = s_valid && s_room && free && (act_reg ? k_last && long : enough);

assign s_take      = take;
assign ea_rd_en    = act_reg;
assign ea_rd_index = k_reg;

wire [SB_W-1:0]   cur_sb = cur_reg[ROW_W+7 +: SB_W];
wire [ADDR_W-1:0] v_addr;
generate
if (BEAT_AW == 0) begin : g_addr0
    assign v_addr = {cur_sb, k_reg};
end else begin : g_addr
    assign v_addr = {cur_sb, k_reg, cur_reg[ROW_W+SB_W+7 +: BEAT_AW]};
end
endgenerate

always @(posedge clk) begin
    if (act_reg) begin
        k_reg    <= k_reg + 1'b1;
        last_reg <= k_two == {1'b0, cur_reg[ROW_W:0]};
        if (k_reg == {ROW_W{1'b0}}) f_p1 <= f_reg;
        if (k_last) begin
            act_reg      <= 1'b0;
            cap_reg      <= cur_reg;   // holds for 17 cycles, until the sums are finished
            cap_mode_reg <= mode_reg;
            if (mode_reg) cap_f_reg <= f_reg;
        end
    end
    if (end_now)                  since_reg <= 5'd1;
    else if (since_reg != SWITCH) since_reg <= since_reg + 5'd1;
    if (end_now)                  need_reg  <= SPACING - 5'd1;
    else if (need_reg != 5'd0)    need_reg  <= need_reg - 5'd1;
    if (take) begin
        act_reg  <= 1'b1;
        cur_reg  <= s_job;
        f_reg    <= s_f;
        mode_reg <= s_mode;
        k_reg    <= {ROW_W{1'b0}};
        last_reg <= n_new == {{ROW_W{1'b0}}, 1'b1};
    end
    if (rst) begin
        act_reg   <= 1'b0;
        mode_reg  <= 1'b0;
        since_reg <= SWITCH;
        need_reg  <= 5'd0;
    end
end

// ---- p1: ea here; p2, p3: ea * f in ibert_prob, or ea alone in mode 1; p4: p and the value beat; p5: products; p6: sums
// x: four sums of a job of mode 1; n1, n2: their products with f
reg  [4:0]           valid_sr, first_sr, last_sr;   // bit i: stage p(i+1)
reg  [ADDR_W-1:0]    addr_p1, addr_p2, addr_p3;
reg                  mode_p1, mode_p2, mode_p3, mode_p4;
reg  [8*HEADS-1:0]   e8_p2, e8_p3, e8_p4;
wire [8*HEADS-1:0]   e8_p1, prob_p4;
wire [8*HEADS-1:0]   p_p4   = mode_p4 ? e8_p4 : prob_p4;
wire                 key_p1 = valid_sr[0] && !mode_p1;
reg                  x_valid_reg, x_mode_reg, valid_n1, valid_n2;
reg  [4*ACC_W-1:0]   x_reg;
reg  [31:0]          x_f_reg;
wire                 n_now  = x_valid_reg && x_mode_reg;
wire [4*X_W-1:0]     o_n2;
genvar h;
generate
for (h = 0; h < 4; h = h + 1) begin : g_p
    wire [ACC_W+16:0] o;
    wire [7:0]        p;
    wire              unused_valid;   // in step with valid_sr[3]
    if (h < HEADS) begin : g_both
        assign e8_p1[8*h +: 8]   = ea_rd_data[16*h +: 8];
        assign prob_p4[8*h +: 8] = p;
        ibert_prob #(.A_W(ACC_W)) u_prob (
            .clk(clk), .rst(rst), .s_valid(key_p1 || n_now),
            .s_a(n_now ? x_reg[ACC_W*h +: ACC_W] : {{(ACC_W-16){ea_rd_data[16*h+15]}}, ea_rd_data[16*h +: 16]}),
            .s_f(n_now ? x_f_reg : f_p1[32*h +: 32]),
            .m_o(o), .m_valid(unused_valid), .m_p(p)
        );
    end else begin : g_mean
        wire unused_p = &{1'b0, p};
        ibert_prob #(.A_W(ACC_W)) u_prob (
            .clk(clk), .rst(rst), .s_valid(n_now), .s_a(x_reg[ACC_W*h +: ACC_W]), .s_f(x_f_reg), .m_o(o), .m_valid(unused_valid), .m_p(p)
        );
    end
    // |o| <= 2^23
    wire signed [23:0] o24 = o[23:0];
    wire               unused_o = &{1'b0, o[ACC_W+16:24]};
    assign o_n2[X_W*h +: X_W] = {{(X_W-23){o24[23]}}, o24[22:0]};
end
endgenerate

always @(posedge clk) begin
    if (act_reg)                mode_p1 <= mode_reg;
    if (valid_sr[0])            mode_p2 <= mode_p1;
    if (valid_sr[1])            mode_p3 <= mode_p2;
    if (valid_sr[2])            mode_p4 <= mode_p3;
    if (valid_sr[0] && mode_p1) e8_p2   <= e8_p1;
    if (valid_sr[1] && mode_p2) e8_p3   <= e8_p2;
    if (valid_sr[2] && mode_p3) e8_p4   <= e8_p3;
    valid_sr <= {valid_sr[3:0], act_reg};
    first_sr <= {first_sr[3:0], act_reg && k_reg == {ROW_W{1'b0}}};
    last_sr  <= {last_sr[3:0], end_now};
    if (act_reg)     addr_p1 <= v_addr;
    if (valid_sr[0]) addr_p2 <= addr_p1;
    if (valid_sr[1]) addr_p3 <= addr_p2;
    if (rst) begin
        valid_sr <= 5'd0;
        last_sr  <= 5'd0;
    end
end
assign v_rd_en   = valid_sr[2];
assign v_rd_addr = addr_p3;

// ---- 64 columns: products, sums, and the finished sums held for the requantisation
wire [64*ACC_W-1:0] acc_p6;
reg  [64*ACC_W-1:0] hold_reg;
reg                 done_p6;

ibert_attention_sums #(.HEADS(HEADS), .ACC_W(ACC_W)) u_sums (
    .clk(clk), .en_p1(valid_sr[3]), .en_p2(valid_sr[4]), .first_p2(first_sr[4]), .p(p_p4), .v(v_rd_data), .acc(acc_p6)
);

always @(posedge clk) begin
    done_p6 <= valid_sr[4] && last_sr[4];
    if (done_p6) hold_reg <= acc_p6;
    if (rst) done_p6 <= 1'b0;
end

// ---- requantisation, channels 4t .. 4t+3 in cycle t; in mode 1 two cycles later
reg               req_reg, hold_mode_reg;
reg  [32*HEADS-1:0] hold_f_reg;
reg  [WORD_W+3:0] par_x, par_n1;
reg  [3:0]        t_reg, t_out_reg;
reg  [WORD_W-1:0] word_reg;
reg  [JOB_W-1:0]  hold_job_reg, out_job_reg;
reg  [7:0]        hold_msg_reg, out_msg_reg;
reg  [511:0]      out_reg;
reg               out_valid_reg;

wire [19:0] entry;   // msg_base 8, req_base 12
axis_lutram #(.DATA_W(20), .DEPTH(CTX_N)) u_context (
    .clk(clk),
    .wr_en(cfg_we && cfg_addr[27:24] == 4'd1 && {8'd0, cfg_addr[23:0]} < CTX_N), .wr_addr(cfg_addr[CTX_AW-1:0]), .wr_data(cfg_data[131:112]),
    .rd_addr(cap_reg[ROW_W+1 +: CTX_AW]), .rd_data(entry)
);
wire [3:0]  cap_beat = cap_reg[ROW_W+SB_W+7 +: 4];
wire [11:0] word_all = entry[11:0] + {8'd0, cap_beat};

// constants of four channels: with the sums in mode 0, with the products in mode 1
wire              par_en   = valid_n1 || (req_reg && !hold_mode_reg);
wire [WORD_W+3:0] par_addr = valid_n1 ? par_n1 : {word_reg, t_reg};
wire [31:0]       f_now;
generate
if (HEADS == 1) begin : g_f1
    assign f_now = hold_f_reg;
end else begin : g_f2
    assign f_now = t_reg[3] ? hold_f_reg[63:32] : hold_f_reg[31:0];
end
endgenerate

wire [31:0] y;
wire [3:0]  y_valid;
genvar l;
generate
for (l = 0; l < 4; l = l + 1) begin : g_requant
    wire [47:0]    par;
    wire [X_W-1:0] x;
    if (X_W > ACC_W) begin : g_extend
        assign x = {{(X_W-ACC_W){x_reg[ACC_W*l+ACC_W-1]}}, x_reg[ACC_W*l +: ACC_W]};
    end else begin : g_as_it_is
        assign x = x_reg[ACC_W*l +: ACC_W];
    end
    axis_ram #(.DATA_W(48), .DEPTH(REQ_WORDS*16)) u_par (
        .clk(clk),
        .wr_en(cfg_we && cfg_addr[27:24] == 4'd4 && {8'd0, cfg_addr[23:0]} < REQ_WORDS*64 && cfg_addr[1:0] == l),
        .wr_addr(cfg_addr[2 +: $clog2(REQ_WORDS*16)]), .wr_data(cfg_data[47:0]),
        .rd_en(par_en), .rd_addr(par_addr), .rd_data(par)
    );
    ibert_requant #(.IN_W(X_W), .OUT_W(8)) u_requant (
        .clk(clk), .rst(rst), .s_valid(valid_n2 || (x_valid_reg && !x_mode_reg)), .s_x(valid_n2 ? o_n2[X_W*l +: X_W] : x),
        .s_m(par[31:0]), .s_e(par[38:32]), .s_off(par[47:39]),
        .m_valid(y_valid[l]), .m_y(y[8*l +: 8])
    );
end
endgenerate

always @(posedge clk) begin
    x_valid_reg   <= req_reg;
    out_valid_reg <= y_valid[0] && t_out_reg == 4'd15;
    if (req_reg) begin
        t_reg <= t_reg + 4'd1;
        x_reg <= hold_reg[4*ACC_W*t_reg +: 4*ACC_W];
        x_mode_reg <= hold_mode_reg;
        if (hold_mode_reg) begin
            x_f_reg <= f_now;
            par_x   <= {word_reg, t_reg};
        end
        if (t_reg == 4'd15) req_reg <= 1'b0;
    end
    valid_n1 <= n_now;
    valid_n2 <= valid_n1;
    if (n_now) par_n1 <= par_x;
    if (done_p6) begin
        req_reg       <= 1'b1;
        hold_mode_reg <= cap_mode_reg;
        if (cap_mode_reg) hold_f_reg <= cap_f_reg;
        word_reg     <= word_all[WORD_W-1:0];
        hold_job_reg <= cap_reg;
        hold_msg_reg <= entry[19:12] + {4'd0, cap_beat};
    end
    if (y_valid[0]) begin
        out_reg[32*t_out_reg +: 32] <= y;
        t_out_reg <= t_out_reg + 4'd1;
        if (t_out_reg == 4'd0) begin
            out_job_reg <= hold_job_reg;
            out_msg_reg <= hold_msg_reg;
        end
    end
    if (rst) begin
        x_valid_reg   <= 1'b0;
        valid_n1      <= 1'b0;
        valid_n2      <= 1'b0;
        out_valid_reg <= 1'b0;
        req_reg       <= 1'b0;
        t_reg         <= 4'd0;
        t_out_reg     <= 4'd0;
    end
end

assign m_valid = out_valid_reg;
assign m_data  = out_reg;
assign m_msg   = out_msg_reg;
assign m_job   = out_job_reg;

wire unused = &{1'b0, cfg_data[111:48], word_all, y_valid[3:1]};

endmodule

`resetall
