// SPDX-License-Identifier: Apache-2.0
// Exponential stage of ibert_attention: exponentials of a job's scores, their sum, its reciprocal.
//
//   ea[k][h] = ibert_exp(s[k][h] - max[h]),   sum[h] = sum over k of ea[k][h]  (32 bits unsigned; 0 <= sum < 2^(15+ROW_W))
//   mode 1 (deferred): ea = min(ea, 255), which is the requantisation to unsigned 8 bits; sum < 2^(8+ROW_W)
//   f[h] = min(floor(2^32 / sum[h]), 2^32 - 1);   sum = 0 gives f = 0 (ibert_recip)
//
// One key a cycle; the division (19 cycles, one divider a head) overlaps the next jobs. Exponentials are stored in a ring of four, so that
// short jobs are bound by the division alone. Latency from a job's last score to m_valid: 15 + 20 cycles. A job is taken while fewer
// than four are stored, and only when the one before has left the pipeline if it belongs to another context (the constants of
// ibert_exp are static). A job of one key is taken at the earliest two cycles after the one before it, hidden behind the division.
// m_take frees a place at once: the reader takes one key a cycle without pause, the writer follows at least 15 cycles behind.
// Requires m >= 0 (ea is not negative then), x0 > 0, 30 <= e <= 80 of the context.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_attention_exp #(
    parameter HEADS = 1,    // heads in a beat
    parameter ROW_W = 7,    // rows of a slot = 2**ROW_W
    parameter CTX_N = 16,   // contexts
    parameter JOB_W = 33    // see ibert_attention_rows
) (
    input  wire                clk,
    input  wire                rst,
    input  wire                s_valid,
    input  wire [JOB_W-1:0]    s_job,    // stands at least a cycle before s_valid
    input  wire [32*HEADS-1:0] s_max,
    output wire                s_take,
    output wire                rd_en,
    output wire [ROW_W-1:0]    rd_index,
    input  wire [32*HEADS-1:0] rd_scores,

    output wire                m_valid,
    output wire [JOB_W-1:0]    m_job,
    output wire [32*HEADS-1:0] m_f,
    output wire                m_mode,   // of the context
    output wire [4:0]          m_min,    // min(n, 17)
    input  wire                m_take,
    input  wire                ea_rd_en,
    input  wire [ROW_W-1:0]    ea_rd_index,
    output wire [16*HEADS-1:0] ea_rd_data,

    input  wire                cfg_we,
    input  wire [27:0]         cfg_addr,
    input  wire [132:0]        cfg_data
);

localparam CTX_AW = (CTX_N > 1) ? $clog2(CTX_N) : 1;
localparam LAT    = 14;   // of ibert_exp

// ---- issue
reg                act_reg, last_reg;   // k_reg is the job's last
reg                same_reg;            // the job offered is of the context at work; 0 in the cycle after a job was taken
reg [ROW_W:0]      n_reg;
reg [ROW_W-1:0]    k_reg;
reg [ROW_W:0]      two_reg;             // k_reg + 2
reg [5:0]          ctx_reg;
reg [2:0]          flying_reg;   // jobs taken whose last exponential is not out yet
reg [2:0]          stored_reg;   // jobs begun and not yet taken, 0..4
reg [1:0]          in_buf_reg;   // where the next job goes; pointers of the ring wrap by themselves
reg [4*JOB_W-1:0]  jobs_reg;
reg [32*HEADS-1:0] max_reg, max_p1;
reg [3:0]          modes_reg;
reg [19:0]         mins_reg;
reg [107:0]        par_reg;      // mode 1, e 7, m 32, c 32, b 20, x0 16
reg [20:0]         lim_reg;

wire        ea_valid, ea_last;
wire        k_last  = last_reg;
wire [5:0]  ctx_new = s_job[ROW_W+1 +: 6];
wire        take    = s_valid && (!act_reg || k_last) && !stored_reg[2] && (flying_reg == 3'd0 || same_reg);

assign s_take   = take;
assign rd_en    = act_reg;
assign rd_index = k_reg;

wire [ROW_W+5:0] n_wide  = {5'd0, s_job[ROW_W:0]};
wire [4:0]       min_new = (n_wide >= 17) ? 5'd17 : n_wide[4:0];

wire [107:0] entry;
axis_lutram #(.DATA_W(108), .DEPTH(CTX_N)) u_context (
    .clk(clk),
    .wr_en(cfg_we && cfg_addr[27:24] == 4'd1 && {8'd0, cfg_addr[23:0]} < CTX_N), .wr_addr(cfg_addr[CTX_AW-1:0]),
    .wr_data({cfg_data[132], cfg_data[111:5]}),
    .rd_addr(ctx_new[CTX_AW-1:0]), .rd_data(entry)
);

reg valid_p1;
always @(posedge clk) begin
    valid_p1 <= act_reg;
    if (act_reg) begin
        k_reg    <= k_reg + 1'b1;
        two_reg  <= two_reg + 1'b1;
        last_reg <= two_reg == n_reg;
        if (k_last) act_reg <= 1'b0;
        if (k_reg == {ROW_W{1'b0}}) max_p1 <= max_reg;
    end
    if (take) begin
        act_reg    <= 1'b1;
        n_reg      <= s_job[ROW_W:0];
        ctx_reg    <= ctx_new;
        k_reg      <= {ROW_W{1'b0}};
        two_reg    <= {{(ROW_W-1){1'b0}}, 2'd2};
        last_reg   <= s_job[ROW_W:0] == {{ROW_W{1'b0}}, 1'b1};
        max_reg    <= s_max;
        par_reg    <= entry;
        lim_reg    <= {entry[15:0], 5'd0} - {4'd0, entry[15:0], 1'b0};   // 30 * x0
        in_buf_reg <= in_buf_reg + 2'd1;
        jobs_reg[JOB_W*in_buf_reg +: JOB_W] <= s_job;
        modes_reg[in_buf_reg] <= entry[107];
        mins_reg[5*in_buf_reg +: 5] <= min_new;
    end
    same_reg   <= !take && ctx_new == ctx_reg;
    stored_reg <= stored_reg + {2'b0, take} - {2'b0, m_take};
    flying_reg <= flying_reg + {2'b0, take} - {2'b0, ea_valid && ea_last};
    if (rst) begin
        valid_p1   <= 1'b0;
        act_reg    <= 1'b0;
        in_buf_reg <= 2'd0;
        stored_reg <= 3'd0;
        flying_reg <= 3'd0;
    end
end

// ---- exponentials, sums
reg  [LAT:0]        last_sr;     // of the key in p1..
reg  [ROW_W-1:0]    wr_reg;
reg  [1:0]          wr_buf_reg, rd_buf_reg;
reg  [32*HEADS-1:0] sum_reg;
reg  [128*HEADS-1:0] sums_reg;
wire [32*HEADS-1:0] sum_next;
wire [16*HEADS-1:0] ea;
wire [HEADS-1:0]    ea_valids;
wire                ea_first = wr_reg == {ROW_W{1'b0}};

assign ea_valid = ea_valids[0];
assign ea_last  = last_sr[LAT];

genvar h;
generate
for (h = 0; h < HEADS; h = h + 1) begin : g_exp
    wire [15:0] wide;
    ibert_exp u_exp (
        .clk(clk), .rst(rst), .s_valid(valid_p1), .s_score(rd_scores[32*h +: 32]), .s_max(max_p1[32*h +: 32]),
        .x0n(par_reg[15:0]), .lim(lim_reg), .b(par_reg[35:16]), .c(par_reg[67:36]), .m(par_reg[99:68]), .e(par_reg[106:100]),
        .m_valid(ea_valids[h]), .m_ea(wide)
    );
    assign ea[16*h +: 16] = (par_reg[107] && wide[15:8] != 8'd0) ? 16'd255 : wide;
    assign sum_next[32*h +: 32] = (ea_first ? 32'd0 : sum_reg[32*h +: 32]) + {{16{ea[16*h+15]}}, ea[16*h +: 16]};
end
endgenerate

// ---- division: up to three sums wait while a division runs
reg  [2:0]          pending_reg, ready_reg;
reg                 some_reg;     // ready_reg is not 0
reg  [4:0]          min_reg;      // of the job offered
reg  [1:0]          div_buf_reg, head_reg, res_buf_reg;
wire [1:0]          head_after = head_reg + 2'd1;
reg  [128*HEADS-1:0] fs_reg;
wire [HEADS-1:0]    div_busy, div_done;
wire [32*HEADS-1:0] f_next;
wire                div_start = pending_reg != 3'd0 && !div_busy[0];
wire [32*HEADS-1:0] div_den   = sums_reg[32*HEADS*div_buf_reg +: 32*HEADS];

generate
for (h = 0; h < HEADS; h = h + 1) begin : g_div
    ibert_recip #(.LOG(32), .W(32)) u_recip (
        .clk(clk), .rst(rst), .start(div_start), .den(div_den[32*h +: 32]),
        .busy(div_busy[h]), .done(div_done[h]), .f(f_next[32*h +: 32])
    );
end
if (HEADS > 1) begin : g_same   // heads run in step: head 0 speaks for all
    wire unused = &{1'b0, ea_valids[HEADS-1:1], div_busy[HEADS-1:1], div_done[HEADS-1:1]};
end
endgenerate

always @(posedge clk) begin
    last_sr <= {last_sr[LAT-1:0], act_reg && k_last};
    if (ea_valid) begin
        sum_reg <= sum_next;
        wr_reg  <= ea_last ? {ROW_W{1'b0}} : wr_reg + 1'b1;
        if (ea_last) begin
            wr_buf_reg <= wr_buf_reg + 2'd1;
            sums_reg[32*HEADS*wr_buf_reg +: 32*HEADS] <= sum_next;
        end
    end
    if (div_start) div_buf_reg <= div_buf_reg + 2'd1;
    if (div_done[0]) begin
        res_buf_reg <= res_buf_reg + 2'd1;
        fs_reg[32*HEADS*res_buf_reg +: 32*HEADS] <= f_next;
    end
    if (m_take) begin
        rd_buf_reg <= head_reg;
        head_reg   <= head_reg + 2'd1;
    end
    pending_reg <= pending_reg + {2'b0, ea_valid && ea_last} - {2'b0, div_start};
    ready_reg   <= ready_reg + {2'b0, div_done[0]} - {2'b0, m_take};
    some_reg    <= div_done[0] || (m_take ? ready_reg[2:1] != 2'd0 : some_reg);
    min_reg     <= m_take ? mins_reg[5*head_after +: 5] : mins_reg[5*head_reg +: 5];
    if (rst) begin
        last_sr     <= {(LAT+1){1'b0}};
        wr_reg      <= {ROW_W{1'b0}};
        wr_buf_reg  <= 2'd0;
        div_buf_reg <= 2'd0;
        res_buf_reg <= 2'd0;
        head_reg    <= 2'd0;
        pending_reg <= 3'd0;
        ready_reg   <= 3'd0;
        some_reg    <= 1'b0;
    end
end

axis_ram #(.DATA_W(16*HEADS), .DEPTH(4 << ROW_W)) u_ea (
    .clk(clk),
    .wr_en(ea_valid), .wr_addr({wr_buf_reg, wr_reg}), .wr_data(ea),
    .rd_en(ea_rd_en), .rd_addr({rd_buf_reg, ea_rd_index}), .rd_data(ea_rd_data)
);

assign m_valid = some_reg;
assign m_min   = min_reg;
assign m_job   = jobs_reg[JOB_W*head_reg +: JOB_W];
assign m_f     = fs_reg[32*HEADS*head_reg +: 32*HEADS];
assign m_mode  = modes_reg[head_reg];

wire unused_cfg = &{1'b0, cfg_data[131:112], cfg_data[4:0]};

endmodule

`resetall
