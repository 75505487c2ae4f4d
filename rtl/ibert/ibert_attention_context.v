// SPDX-License-Identifier: Apache-2.0
// Context stage of ibert_attention: probabilities, their sum over the values, requantisation to one output beat.
//
//   p[k][h] = (ea[k][h] * f[h]) >> 24, saturated to 0..255 (ibert_prob)
//   o[c]    = sum over k of p[k][h(c)] * v[k][c]        c = 0..63, |o| <= 2^ROW_W * 255 * 128 < 2^(15+ROW_W)
//   y[c]    = requant(o[c]; REQUANT[64*(req_base + beat) + c]) to int8, by ibert_requant
//
// One key a cycle, 64 lanes; then four channels a cycle, overlapped with the next job. Latency: 6 cycles from a job's last key to the
// finished sums, 22 more to m_valid. Jobs end at least 17 cycles apart. A job is taken only with s_room = 1, because its result
// cannot be held back: m_valid is one cycle long.
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
localparam [4:0] SPACING = 5'd17;

// ---- issue
reg                act_reg;
reg [JOB_W-1:0]    cur_reg, cap_reg;
reg [ROW_W-1:0]    k_reg;
reg [32*HEADS-1:0] f_reg, f_p1;
reg [4:0]          since_reg;   // cycles since the last key of the job before, at most 17

wire [ROW_W:0]   n_new  = s_job[ROW_W:0];
wire             k_last = {1'b0, k_reg} + 1'b1 == cur_reg[ROW_W:0];
wire             end_now = act_reg && k_last;
wire [4:0]       since  = end_now ? 5'd0 : since_reg;
wire [ROW_W+6:0] reach  = {6'd0, n_new} + {{(ROW_W+2){1'b0}}, since};   // where its last key would fall
wire             take   = s_valid && s_room && (!act_reg || k_last) && reach >= {{(ROW_W+2){1'b0}}, SPACING};

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
        k_reg <= k_reg + 1'b1;
        if (k_reg == {ROW_W{1'b0}}) f_p1 <= f_reg;
        if (k_last) begin
            act_reg <= 1'b0;
            cap_reg <= cur_reg;   // holds for 17 cycles, until the sums are finished
        end
    end
    if (end_now)                   since_reg <= 5'd1;
    else if (since_reg != SPACING) since_reg <= since_reg + 5'd1;
    if (take) begin
        act_reg <= 1'b1;
        cur_reg <= s_job;
        f_reg   <= s_f;
        k_reg   <= {ROW_W{1'b0}};
    end
    if (rst) begin
        act_reg   <= 1'b0;
        since_reg <= SPACING;
    end
end

// ---- p1: ea here; p2, p3: ea * f in ibert_prob; p4: p and the value beat; p5: products; p6: sums
reg  [4:0]         valid_sr, first_sr, last_sr;   // bit i: stage p(i+1)
reg  [ADDR_W-1:0]  addr_p1, addr_p2, addr_p3;
wire [8*HEADS-1:0] p_p4;
genvar h;
generate
for (h = 0; h < HEADS; h = h + 1) begin : g_p
    wire unused_valid;   // in step with valid_sr[3]
    ibert_prob u_prob (
        .clk(clk), .rst(rst), .s_valid(valid_sr[0]), .s_ea(ea_rd_data[16*h +: 16]), .s_f(f_p1[32*h +: 32]),
        .m_valid(unused_valid), .m_p(p_p4[8*h +: 8])
    );
end
endgenerate

always @(posedge clk) begin
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

// ---- 64 lanes: products, sums, and the finished sums held for the requantisation
reg [2047:0] prod_p5, acc_p6, hold_reg;
reg          done_p6;
integer      k;
localparam LANES = 64 / HEADS;

always @(posedge clk) begin
    if (valid_sr[3])
        for (k = 0; k < 64; k = k + 1)
            prod_p5[32*k +: 32] <= $signed({24'd0, p_p4[8*(k/LANES) +: 8]}) * $signed({{24{v_rd_data[8*k+7]}}, v_rd_data[8*k +: 8]});
    if (valid_sr[4]) begin
        if (first_sr[4]) acc_p6 <= prod_p5;
        else
            for (k = 0; k < 64; k = k + 1)
                acc_p6[32*k +: 32] <= acc_p6[32*k +: 32] + prod_p5[32*k +: 32];
    end
    done_p6 <= valid_sr[4] && last_sr[4];
    if (done_p6) hold_reg <= acc_p6;
    if (rst) done_p6 <= 1'b0;
end

// ---- requantisation, channels 4t .. 4t+3 in cycle t
reg               req_reg;
reg  [3:0]        t_reg, t_out_reg;
reg  [WORD_W-1:0] word_reg;
reg  [JOB_W-1:0]  hold_job_reg, out_job_reg;
reg  [7:0]        hold_msg_reg, out_msg_reg;
reg  [127:0]      x_reg;
reg               x_valid_reg;
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

wire [31:0] y;
wire [3:0]  y_valid;
genvar l;
generate
for (l = 0; l < 4; l = l + 1) begin : g_requant
    wire [47:0] par;
    axis_ram #(.DATA_W(48), .DEPTH(REQ_WORDS*16)) u_par (
        .clk(clk),
        .wr_en(cfg_we && cfg_addr[27:24] == 4'd4 && {8'd0, cfg_addr[23:0]} < REQ_WORDS*64 && cfg_addr[1:0] == l),
        .wr_addr(cfg_addr[2 +: $clog2(REQ_WORDS*16)]), .wr_data(cfg_data[47:0]),
        .rd_en(req_reg), .rd_addr({word_reg, t_reg}), .rd_data(par)
    );
    ibert_requant #(.IN_W(32), .OUT_W(8)) u_requant (
        .clk(clk), .rst(rst), .s_valid(x_valid_reg), .s_x(x_reg[32*l +: 32]), .s_m(par[31:0]), .s_e(par[38:32]), .s_off(par[47:39]),
        .m_valid(y_valid[l]), .m_y(y[8*l +: 8])
    );
end
endgenerate

always @(posedge clk) begin
    x_valid_reg   <= req_reg;
    out_valid_reg <= y_valid[0] && t_out_reg == 4'd15;
    if (req_reg) begin
        t_reg <= t_reg + 4'd1;
        x_reg <= hold_reg[128*t_reg +: 128];
        if (t_reg == 4'd15) req_reg <= 1'b0;
    end
    if (done_p6) begin
        req_reg      <= 1'b1;
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
