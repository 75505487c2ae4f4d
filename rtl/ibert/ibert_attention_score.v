// SPDX-License-Identifier: Apache-2.0
// Score stage of ibert_attention: one query beat against the keys of its sequence, and the greatest score.
//
//   s[k][h] = q[h] . key[k][h]   (int32, |s| <= 2^20),   max[h] = max over k of s[k][h],   k = 0..n-1, HEADS heads side by side
//
// One key a cycle, no idle cycle between jobs; scores are stored twice over, so the next job runs while the last one is read.
// Latency: 6 cycles from a job's last key to m_valid. A job is taken while fewer than two are stored; m_take frees the place at once,
// because the reader goes through a job one key a cycle without pause and the writer follows at least 6 cycles behind.
// Reading: after m_take, rd_en/rd_index address that job's scores, rd_scores one cycle later.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_attention_score #(
    parameter HEADS  = 1,   // heads in a beat
    parameter ROW_W  = 7,   // rows of a slot = 2**ROW_W
    parameter SB_W   = 2,   // {slot, bank}
    parameter BEAT_AW = 1,  // $clog2 of the most beats of a row
    parameter ADDR_W = 10,  // SB_W + ROW_W + BEAT_AW
    parameter JOB_W  = 33   // see ibert_attention_rows
) (
    input  wire                clk,
    input  wire                rst,
    input  wire                job_valid,
    input  wire [JOB_W-1:0]    job,
    output wire                job_take,

    output wire                q_rd_en,
    output wire [ADDR_W-1:0]   q_rd_addr,
    input  wire [511:0]        q_rd_data,
    output wire                k_rd_en,
    output wire [ADDR_W-1:0]   k_rd_addr,
    input  wire [511:0]        k_rd_data,

    output wire                m_valid,
    output wire [JOB_W-1:0]    m_job,
    output wire [32*HEADS-1:0] m_max,
    input  wire                m_take,
    input  wire                rd_en,
    input  wire [ROW_W-1:0]    rd_index,
    output wire [32*HEADS-1:0] rd_scores,
    output wire                sts_active
);

// ---- issue: one key a cycle
reg             act_reg, last_reg;   // k_reg is the job's last
reg [JOB_W-1:0] cur_reg;
reg [ROW_W-1:0] k_reg;
reg [1:0]       stored_reg;   // jobs begun and not yet taken, 0..2
reg             in_buf_reg;   // where the next job goes
reg [JOB_W-1:0] job0_reg, job1_reg;

wire [ROW_W:0]    cur_n    = cur_reg[ROW_W:0];
wire [SB_W-1:0]   cur_sb   = cur_reg[ROW_W+7 +: SB_W];
wire [ROW_W-1:0]  cur_row  = cur_reg[ROW_W+SB_W+11 +: ROW_W];
wire              k_last   = last_reg;
wire [ROW_W+1:0]  k_two    = {2'b00, k_reg} + {{ROW_W{1'b0}}, 2'd2};
wire              take     = job_valid && (!act_reg || k_last) && stored_reg != 2'd2;

assign job_take  = take;
assign k_rd_en   = act_reg;
assign q_rd_en   = act_reg && k_reg == {ROW_W{1'b0}};
generate
if (BEAT_AW == 0) begin : g_addr0
    assign k_rd_addr = {cur_sb, k_reg};
    assign q_rd_addr = {cur_sb, cur_row};
end else begin : g_addr
    assign k_rd_addr = {cur_sb, k_reg, cur_reg[ROW_W+SB_W+7 +: BEAT_AW]};
    assign q_rd_addr = {cur_sb, cur_row, cur_reg[ROW_W+SB_W+7 +: BEAT_AW]};
end
endgenerate

always @(posedge clk) begin
    if (act_reg) begin
        k_reg    <= k_reg + 1'b1;
        last_reg <= k_two == {1'b0, cur_n};
        if (k_last) act_reg <= 1'b0;
    end
    if (take) begin
        act_reg    <= 1'b1;
        cur_reg    <= job;
        k_reg      <= {ROW_W{1'b0}};
        last_reg   <= job[ROW_W:0] == {{ROW_W{1'b0}}, 1'b1};
        in_buf_reg <= !in_buf_reg;
        if (in_buf_reg) job1_reg <= job;
        else            job0_reg <= job;
    end
    stored_reg <= stored_reg + {1'b0, take} - {1'b0, m_take};
    if (rst) begin
        act_reg    <= 1'b0;
        in_buf_reg <= 1'b0;
        stored_reg <= 2'd0;
    end
end

// ---- p1: both stores have answered (the query stays in its store's read register); the dot product takes four cycles
reg       valid_p1;
reg [4:0] last_sr;    // of the key in p1..p5
always @(posedge clk) begin
    valid_p1 <= act_reg;
    last_sr  <= {last_sr[3:0], act_reg && k_last};
    if (rst) begin
        valid_p1 <= 1'b0;
        last_sr  <= 5'd0;
    end
end

wire                s_valid;
wire [32*HEADS-1:0] s;
ibert_dot #(.HEADS(HEADS)) u_dot (
    .clk(clk), .rst(rst), .s_valid(valid_p1), .s_a(q_rd_data), .s_b(k_rd_data), .m_valid(s_valid), .m_sum(s)
);

// ---- p5: store the score, follow the maximum
wire                s_last = last_sr[4];
reg  [ROW_W-1:0]    wr_reg;
reg                 wr_buf_reg, head_reg, rd_buf_reg;
reg  [1:0]          ready_reg;
reg  [32*HEADS-1:0] max_reg, max0_reg, max1_reg;
wire [32*HEADS-1:0] max_next;
wire                s_first = wr_reg == {ROW_W{1'b0}};

genvar h;
generate
for (h = 0; h < HEADS; h = h + 1) begin : g_max
    wire signed [31:0] now  = s[32*h +: 32];
    wire signed [31:0] best = max_reg[32*h +: 32];
    assign max_next[32*h +: 32] = (s_first || now > best) ? now : best;
end
endgenerate

always @(posedge clk) begin
    if (s_valid) begin
        max_reg <= max_next;
        wr_reg  <= s_last ? {ROW_W{1'b0}} : wr_reg + 1'b1;
        if (s_last) begin
            wr_buf_reg <= !wr_buf_reg;
            if (wr_buf_reg) max1_reg <= max_next;
            else            max0_reg <= max_next;
        end
    end
    if (m_take) begin
        rd_buf_reg <= head_reg;
        head_reg   <= !head_reg;
    end
    ready_reg <= ready_reg + {1'b0, s_valid && s_last} - {1'b0, m_take};
    if (rst) begin
        wr_reg     <= {ROW_W{1'b0}};
        wr_buf_reg <= 1'b0;
        head_reg   <= 1'b0;
        ready_reg  <= 2'd0;
    end
end

axis_ram #(.DATA_W(32*HEADS), .DEPTH(2 << ROW_W)) u_scores (
    .clk(clk),
    .wr_en(s_valid), .wr_addr({wr_buf_reg, wr_reg}), .wr_data(s),
    .rd_en(rd_en), .rd_addr({rd_buf_reg, rd_index}), .rd_data(rd_scores)
);

assign m_valid    = ready_reg != 2'd0;
assign m_job      = head_reg ? job1_reg : job0_reg;
assign m_max      = head_reg ? max1_reg : max0_reg;
assign sts_active = act_reg;

wire unused = &{1'b0, cur_reg[JOB_W-1:0]};

endmodule

`resetall
