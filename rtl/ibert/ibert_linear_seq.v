// SPDX-License-Identifier: Apache-2.0
// Sequencer of ibert_linear: turns ready rows into array words, one a cycle.
//
//   for g in 0..groups-1: for k in 0..ksteps-1:  store beat in_base + rowindex*in_beats + k/(64/K_LANES), part k mod (64/K_LANES);
//                                                weight word w_base + g*ksteps + k; bias word bias_base + g;  ksteps = in_beats*64/K_LANES
//
// Rows pass two registers (context read; base address) before the word counters. A row is taken from the queue only when the one at work is in its
// last group (where groups are shorter than four words, the last two, or four of one word), so that a row of a higher priority waits for hardly
// more than the row at work. Latency 4 cycles from q_valid to the first word, then one word a cycle with no idle cycle between groups, rows and
// contexts, as long as the group's accumulator FIFO has room. Room is counted by credits: one is spent when a group starts and comes
// back by free_*; a word once issued never stalls. There are two FIFOs: mode 0 (partial sums) and modes 1, 2 (int8), so a credit each.
// Requires in_beats >= 1, groups >= 1, (groups-1)*OUT_N < 16*out_units <= groups*OUT_N, and a multiple of four out_units in modes 1, 2.
//
// DESC_W bits describe a row to the output side: {last 1, row 16, slotgen 8, msg_base 8, post_base 16, gelu 1, out_units 10}.
`resetall
`timescale 1ns/1ps
`default_nettype none

module ibert_linear_seq #(
    parameter K_LANES         = 64,
    parameter STORE_BEATS     = 8192,
    parameter ROW_W           = 7,
    parameter CTX_N           = 64,
    parameter ACC_FIFO_GROUPS = 64   // groups each accumulator FIFO holds
) (
    input  wire                           clk,
    input  wire                           rst,

    input  wire                           q_valid,
    output wire                           q_ready,
    input  wire [5:0]                     q_ctx,
    input  wire [7:0]                     q_slotgen,
    input  wire [ROW_W-1:0]               q_row,
    input  wire                           q_last,

    output reg                            word_valid,
    output reg  [$clog2(STORE_BEATS)-1:0] word_store_addr,
    output reg  [1:0]                     word_part,
    output reg  [15:0]                    word_w_addr,
    output reg  [13:0]                    word_b_addr,
    output reg                            word_first,    // first word of a group
    output reg                            word_last,     // last word of a group
    output reg                            word_int8,     // 0: the group goes to the partial-sum FIFO

    output wire                           desc_valid_sum,
    output wire                           desc_valid_int8,
    output wire [59:0]                    desc_data,
    input  wire                           free_sum,
    input  wire                           free_int8,

    input  wire                           cfg_we,
    input  wire [27:0]                    cfg_addr,
    input  wire [105:0]                   cfg_data,

    output wire                           sts_busy,
    output wire                           sts_idle_no_row,
    output wire                           sts_idle_blocked,
    output wire                           sts_idle_switch   // a row is there, its context is being read
);

localparam SA_W   = $clog2(STORE_BEATS);
localparam CTX_W  = (CTX_N > 1) ? $clog2(CTX_N) : 1;
localparam PARTS  = 64 / K_LANES;
localparam CRED_W = $clog2(ACC_FIFO_GROUPS) + 1;
localparam [CRED_W-1:0] CREDITS = ACC_FIFO_GROUPS[CRED_W-1:0];
localparam [1:0] PART_LAST = (PARTS == 4) ? 2'd3 : (PARTS == 2) ? 2'd1 : 2'd0;

// ---- s1: context of the row ------------------------------------------------------------------------------------------------
// tiny: so few words that the next row must be on its way before this one is at work; found when the context is written
wire [105:0] entry;
wire         short_in, one_in, tiny_in;
wire         cfg_short = {25'd0, cfg_data[22:16]} * PARTS < 4;
wire         cfg_one   = cfg_data[22:16] == 7'd1 && PARTS == 1;
axis_lutram #(.DATA_W(109), .DEPTH(CTX_N)) u_context (
    .clk(clk),
    .wr_en(cfg_we && cfg_addr[27:24] == 4'd1 && cfg_addr[23:CTX_W] == 0), .wr_addr(cfg_addr[CTX_W-1:0]),
    .wr_data({cfg_short && cfg_data[37:30] < 8'd4, cfg_one, cfg_short, cfg_data}),
    .rd_addr(q_ctx[CTX_W-1:0]), .rd_data({tiny_in, one_in, short_in, entry})
);
wire unused_entry = &{1'b0, entry[105:102], entry[27:23], entry[15:0], q_ctx};

reg              valid_s1, valid_s2, active_reg;
reg  [SA_W-1:0]  in_base_s1;
reg  [6:0]       in_beats_s1, in_beats_s2;
reg  [1:0]       mode_s1;
reg  [7:0]       groups_s1, groups_s2;
reg  [15:0]      w_base_s1, w_base_s2;
reg  [13:0]      b_base_s1, b_base_s2;
reg  [9:0]       out_units_s1;
reg  [15:0]      post_base_s1;
reg  [7:0]       msg_base_s1;
reg  [7:0]       slotgen_s1;
reg  [ROW_W-1:0] row_s1;
reg              last_s1;

// ---- s2: base address --------------------------------------------------------------------------------------------------------
// in_base + rowindex*in_beats without a multiplier: the four low bits of in_beats, and base and its three high ones; added as the row is loaded
reg  [SA_W-1:0]  low_s2, high_s2;
reg              int8_s2;
reg  [59:0]      desc_s2;

wire [19:0]      slot_row = ({16'd0, slotgen_s1[7:4]} << ROW_W) | {{(20-ROW_W){1'b0}}, row_s1};
// modulo the store: the input side has refused rows that reach beyond it
wire [27:0]      index_all = {8'd0, slot_row};
wire [SA_W-1:0]  index    = index_all[SA_W-1:0];
wire [SA_W-1:0]  base_s2  = low_s2 + high_s2;
wire             unused_index = &{1'b0, index_all[27:SA_W]};

// ---- the row at work -----------------------------------------------------------------------------------------------------------
reg  [SA_W-1:0]  base_reg, addr_reg;
reg  [6:0]       in_beats_reg, beat_reg;    // beat_reg counts down to 1
reg  [1:0]       part_reg;
reg              first_reg;                 // next word is the first of its group
reg              row_first_reg;             // ... and of the row
reg  [7:0]       groups_reg;                // counts down to 1
reg  [15:0]      w_addr_reg;
reg  [13:0]      b_addr_reg;
reg              int8_reg;
reg  [59:0]      desc_reg;
reg  [CRED_W-1:0] cred_sum_reg, cred_int8_reg;
reg               any_sum_reg, any_int8_reg;   // there are credits
reg               beat_one_reg, group_one_reg; // beat_reg, groups_reg are 1

reg  tiny_s1, tiny_s2, tiny_reg, short_s1, short_s2, short_reg, one_s1, one_s2, one_reg;
reg  far_reg;    // not in its last group, or the last of the short ones
wire behind    = (active_reg && far_reg) || (valid_s2 && !tiny_s2) || (valid_s1 && !tiny_s1);

wire room      = int8_reg ? any_int8_reg : any_sum_reg;
wire issue     = active_reg && (!first_reg || room);
wire part_end  = PARTS == 1 || part_reg == PART_LAST;
wire group_end = part_end && beat_one_reg;
wire row_end   = group_end && group_one_reg;
wire load      = valid_s2 && (!active_reg || (issue && row_end));
wire move      = valid_s1 && (!valid_s2 || load);

assign q_ready = (!valid_s1 || !valid_s2 || !active_reg || (issue && row_end)) && !behind;   // !valid_s1 || move

wire spend_sum  = issue && first_reg && !int8_reg;
wire spend_int8 = issue && first_reg && int8_reg;

assign desc_valid_sum  = spend_sum && row_first_reg;
assign desc_valid_int8 = spend_int8 && row_first_reg;
assign desc_data       = desc_reg;

assign sts_busy         = issue;
wire   coming           = q_valid || valid_s1 || valid_s2;
assign sts_idle_no_row  = !active_reg && !coming;
assign sts_idle_switch  = !active_reg && coming;
assign sts_idle_blocked = active_reg && !issue;

always @(posedge clk) begin
    if (q_valid && q_ready) begin
        in_base_s1   <= entry[SA_W-1:0];
        in_beats_s1  <= entry[22:16];
        mode_s1      <= entry[29:28];
        groups_s1    <= entry[37:30];
        out_units_s1 <= entry[47:38];
        w_base_s1    <= entry[63:48];
        b_base_s1    <= entry[77:64];
        post_base_s1 <= entry[93:78];
        msg_base_s1  <= entry[101:94];
        slotgen_s1   <= q_slotgen;
        short_s1     <= short_in;
        one_s1       <= one_in;
        tiny_s1      <= tiny_in;
        row_s1       <= q_row;
        last_s1      <= q_last;
    end
    if (move) begin
        low_s2      <= ((index & {SA_W{in_beats_s1[0]}}) + ((index & {SA_W{in_beats_s1[1]}}) << 1))
                     + (((index & {SA_W{in_beats_s1[2]}}) << 2) + ((index & {SA_W{in_beats_s1[3]}}) << 3));
        high_s2     <= (in_base_s1 + ((index & {SA_W{in_beats_s1[4]}}) << 4))
                     + (((index & {SA_W{in_beats_s1[5]}}) << 5) + ((index & {SA_W{in_beats_s1[6]}}) << 6));
        in_beats_s2 <= in_beats_s1;
        groups_s2   <= groups_s1;
        short_s2    <= short_s1;
        one_s2      <= one_s1;
        tiny_s2     <= tiny_s1;
        w_base_s2   <= w_base_s1;
        b_base_s2   <= b_base_s1;
        int8_s2     <= mode_s1 != 2'd0;
        desc_s2     <= {last_s1, {(16-ROW_W){1'b0}}, row_s1, slotgen_s1, msg_base_s1, post_base_s1, mode_s1[1], out_units_s1};
    end

    word_valid <= issue;
    if (issue) begin
        word_store_addr <= addr_reg;
        word_part       <= part_reg;
        word_w_addr     <= w_addr_reg;
        word_b_addr     <= b_addr_reg;
        word_first      <= first_reg;
        word_last       <= group_end;
        word_int8       <= int8_reg;

        w_addr_reg    <= w_addr_reg + 16'd1;
        part_reg      <= part_end ? 2'd0 : part_reg + 2'd1;
        first_reg     <= group_end;
        row_first_reg <= 1'b0;
        if (group_end) begin
            addr_reg   <= base_reg;
            beat_reg   <= in_beats_reg;
            groups_reg <= groups_reg - 8'd1;
            beat_one_reg  <= in_beats_reg == 7'd1;
            group_one_reg <= groups_reg == 8'd2;
            far_reg       <= !tiny_reg && groups_reg != 8'd2 && !(short_reg && groups_reg == 8'd3) && !(one_reg && groups_reg <= 8'd5);
            b_addr_reg <= b_addr_reg + 14'd1;
        end else if (part_end) begin
            addr_reg <= addr_reg + 1'b1;
            beat_reg <= beat_reg - 7'd1;
            beat_one_reg <= beat_reg == 7'd2;
        end
        if (row_end) active_reg <= 1'b0;
    end
    if (load) begin
        active_reg    <= 1'b1;
        base_reg      <= base_s2;
        addr_reg      <= base_s2;
        in_beats_reg  <= in_beats_s2;
        beat_reg      <= in_beats_s2;
        beat_one_reg  <= in_beats_s2 == 7'd1;
        group_one_reg <= groups_s2 == 8'd1;
        far_reg       <= !tiny_s2 && groups_s2 != 8'd1 && !(short_s2 && groups_s2 == 8'd2) && !(one_s2 && groups_s2 <= 8'd4);
        part_reg      <= 2'd0;
        first_reg     <= 1'b1;
        row_first_reg <= 1'b1;
        groups_reg    <= groups_s2;
        short_reg     <= short_s2;
        one_reg       <= one_s2;
        tiny_reg      <= tiny_s2;
        w_addr_reg    <= w_base_s2;
        b_addr_reg    <= b_base_s2;
        int8_reg      <= int8_s2;
        desc_reg      <= desc_s2;
    end
    if (q_valid && q_ready) valid_s1 <= 1'b1;
    else if (move)          valid_s1 <= 1'b0;
    if (move)               valid_s2 <= 1'b1;
    else if (load)          valid_s2 <= 1'b0;

    cred_sum_reg  <= cred_sum_reg  + {{(CRED_W-1){1'b0}}, free_sum}  - {{(CRED_W-1){1'b0}}, spend_sum};
    cred_int8_reg <= cred_int8_reg + {{(CRED_W-1){1'b0}}, free_int8} - {{(CRED_W-1){1'b0}}, spend_int8};

    any_sum_reg   <= free_sum  || (spend_sum  ? cred_sum_reg[CRED_W-1:1]  != {(CRED_W-1){1'b0}} : any_sum_reg);
    any_int8_reg  <= free_int8 || (spend_int8 ? cred_int8_reg[CRED_W-1:1] != {(CRED_W-1){1'b0}} : any_int8_reg);

    if (rst) begin
        valid_s1      <= 1'b0;
        valid_s2      <= 1'b0;
        active_reg    <= 1'b0;
        word_valid    <= 1'b0;
        cred_sum_reg  <= CREDITS;
        cred_int8_reg <= CREDITS;
        any_sum_reg   <= 1'b1;
        any_int8_reg  <= 1'b1;
    end
end

endmodule

`resetall
