// SPDX-License-Identifier: Apache-2.0
// Sending side of node_gateway: which slot may go, the messages with their new headers, RELEASEs upstream, credits of the own cluster's slots.
//
// Kept per slot: credit (1: the own cluster's slot is free), the generation that took it last, whether its sequence is open (not wholly sent), how
// many of its messages were sent, how many there are (known when the flagged last row was sent), and whether a RELEASE is to be sent.
//   a slot's first header may go if its sequence is open and of the same generation, else if credit = 1, which it takes, as a new sequence
//   when as many messages were sent as there are, the sequence is closed and the RELEASE is owed; nothing else of the slot goes before it
//   a RELEASE that came gives the credit back if it is taken and the generation is the one that took it; else it is stale
// Slots that have something to send take turns, message by message. start forgets all of start_slot, whose credit is free then; while `flushing`
// nothing new of it goes, a message that is being sent is completed (`busy`).
//
// Latency: header at heads -> first beat out 4 cycles where nothing waits. One beat a cycle; between messages no idle cycle, but one
// between messages of one beat of the same slot.
`resetall
`timescale 1ns/1ps
`default_nettype none

module node_gateway_out #(
    parameter ROW_W  = 7,       // rows of a slot = 2**ROW_W
    parameter SLOT_W = 1,       // slots = 2**SLOT_W
    parameter DEPTH  = 1536,    // beats of a slot
    parameter ADDR_W = 12,      // not to be set: $clog2(DEPTH << SLOT_W)
    parameter HEAD_W = 48       // not to be set: ADDR_W + 2*ROW_W + 22
) (
    input  wire                             clk,
    input  wire                             rst,
    input  wire [7:0]                       id_cluster,
    input  wire [7:0]                       kernel,         // where messages go: kernel + owner
    input  wire [7:0]                       edge_out,
    input  wire [7:0]                       up_cluster,     // where RELEASEs go
    input  wire [7:0]                       up_kernel,
    output wire [ROW_W-1:0]                 owner_row,      // answered in the same cycle
    input  wire [7:0]                       owner,

    input  wire [(HEAD_W << SLOT_W)-1:0]    heads,          // first header of each slot, see node_gateway_in
    input  wire [(1 << SLOT_W)-1:0]         head_valid,
    output wire [(1 << SLOT_W)-1:0]         head_pop,
    output wire                             rd_en,          // of the store, one cycle
    output wire [ADDR_W-1:0]                rd_addr,
    input  wire [511:0]                     rd_data,
    output reg  [(1 << SLOT_W)-1:0]         free,           // a message was read: its beats are free
    output reg  [4:0]                       free_beats,

    input  wire                             rel_valid,      // a RELEASE came
    input  wire [3:0]                       rel_slot,
    input  wire [3:0]                       rel_gen,

    input  wire                             flushing,
    input  wire                             start,
    input  wire [3:0]                       start_slot,
    output wire                             busy,

    output wire [511:0]                     m_axis_tdata,
    output wire [79:0]                      m_axis_tuser,
    output wire                             m_axis_tlast,
    output wire                             m_axis_tvalid,
    input  wire                             m_axis_tready,

    output wire [2:0]                       events,         // pulses: a stored message waits for its slot only, RELEASE was stale, sequence sent
    output wire                             sts_held
);

localparam SLOT_N = 1 << SLOT_W;
localparam GOAL_W = ROW_W + 3;
localparam COUNT_W = GOAL_W + 1;
localparam [7:0] GATEWAY    = 8'd254;
localparam [7:0] OP_RELEASE = 8'h21;
localparam [COUNT_W-1:0] ONE = 1;

// ---- what each slot may do

wire [SLOT_N-1:0]   may, owes, done, hit, wait_slot;    // a header may go; a RELEASE is owed; with the header the sequence is sent
wire [SLOT_N*4-1:0] gens;
wire [SLOT_N*ADDR_W-1:0] firsts, lasts;     // beats of the ring
reg  [SLOT_N-1:0]   pick;                   // one hot, or none
wire                take;                   // the picked one goes

genvar s;
generate
for (s = 0; s < SLOT_N; s = s + 1) begin : g_slot
    localparam FIRST = s * DEPTH;
    localparam LAST  = FIRST + DEPTH - 1;
    wire [3:0]         gen     = heads[s*HEAD_W +: 4];
    wire               last    = heads[s*HEAD_W + ROW_W + 14];
    wire [GOAL_W-1:0]  goal    = heads[s*HEAD_W + ROW_W + 19 +: GOAL_W];
    wire               go      = take && pick[s];
    reg                credit_reg, open_reg, known_reg, owe_reg;
    wire               fetch   = go && !owe_reg;
    reg  [3:0]         gen_reg;
    reg  [COUNT_W-1:0] next_reg;            // number of the next message, from 1
    reg  [GOAL_W-1:0]  goal_reg;
    reg                may_reg, fresh_reg, done_reg, wait_reg;
    reg                shut_reg;            // nothing may begin: from before `start` to the end of a flush
    wire               same    = open_reg && (gen == gen_reg);
    wire [COUNT_W-1:0] number  = same ? next_reg : ONE;
    wire               counted = last || (same && known_reg);

    assign may[s]  = may_reg;
    assign owes[s] = owe_reg && !shut_reg;
    assign done[s] = done_reg && fetch;
    assign hit[s]  = (rel_slot == s) && (rel_gen == gen_reg) && !credit_reg;
    assign head_pop[s]  = fetch;
    assign wait_slot[s] = wait_reg;
    assign gens[4*s +: 4] = owe_reg ? gen_reg : gen;
    assign firsts[s*ADDR_W +: ADDR_W] = FIRST[ADDR_W-1:0];
    assign lasts[s*ADDR_W +: ADDR_W]  = LAST[ADDR_W-1:0];

    always @(posedge clk) begin
        shut_reg  <= flushing && (start_slot == s);
        // what is true of the header and stays true until it goes
        may_reg   <= head_valid[s] && (same || credit_reg) && !owe_reg && !shut_reg && !fetch;
        fresh_reg <= !same;
        done_reg  <= counted && (number == {1'b0, last ? goal : goal_reg});
        wait_reg  <= head_valid[s] && !same && !credit_reg && !owe_reg && !shut_reg;
        if (rel_valid && hit[s]) credit_reg <= 1'b1;
        if (go && owe_reg)   owe_reg <= 1'b0;
        if (fetch) begin
            if (fresh_reg) credit_reg <= 1'b0;
            gen_reg     <= gen;
            open_reg    <= !done_reg;
            owe_reg <= done_reg;
            next_reg    <= number + ONE;
            known_reg   <= last || (known_reg && !fresh_reg);
            if (last) goal_reg <= goal;
        end
        if (rst || (start && start_slot == s)) begin
            may_reg     <= 1'b0;
            wait_reg    <= 1'b0;
            credit_reg  <= 1'b1;
            open_reg    <= 1'b0;
            known_reg   <= 1'b0;
            owe_reg <= 1'b0;
        end
    end
end
endgenerate

// ---- turns: the next slot after the last one

reg  [SLOT_N-1:0] after_reg;    // slots after the one that went last
wire [SLOT_N-1:0] wants  = may | owes;
wire [SLOT_N-1:0] first  = wants & after_reg;
wire [SLOT_N-1:0] lowest = ((first != {SLOT_N{1'b0}}) ? first : wants);
reg               any;
integer           i;

always @* begin
    i    = 0;
    any  = 1'b0;
    pick = {SLOT_N{1'b0}};
    for (i = 0; i < SLOT_N; i = i + 1) begin
        pick[i] = lowest[i] && !any;
        any     = any || lowest[i];
    end
end

// ---- the message that is read

reg               run_reg, release_reg, last_reg, dead_reg;     // dead: its slot was flushed meanwhile, its beats are free already
reg  [3:0]        slot_reg, gen_reg, left_reg;
reg  [4:0]        beats_reg;
reg  [ROW_W-1:0]  row_reg;
reg  [9:0]        offset_reg;
reg  [ADDR_W-1:0] addr_reg, first_reg, end_reg;
reg               valid_p1, release_p1, last_p1;
reg  [79:0]       user_p1;
wire              out_ready;
wire              advance = !valid_p1 || out_ready;
wire              step    = run_reg && advance;
wire              final   = step && (left_reg == 4'd0);
wire              killed  = start && run_reg && (slot_reg == start_slot);
reg  [HEAD_W-1:0] head;
reg  [3:0]        head_slot, head_gen;
reg  [ADDR_W-1:0] head_first, head_end;
reg               head_release;
wire [15:0]       row16 = {{(16-ROW_W){1'b0}}, row_reg};
wire [3:0]        head_left = head_release ? 4'd0 : head[ROW_W+15 +: 4];
integer           j, m;

always @* begin
    j            = 0;
    head         = {HEAD_W{1'b0}};
    head_slot    = 4'd0;
    head_gen     = 4'd0;
    head_first   = {ADDR_W{1'b0}};
    head_end     = {ADDR_W{1'b0}};
    head_release = 1'b0;
    for (j = 0; j < SLOT_N; j = j + 1) begin
        head         = head         | (heads[j*HEAD_W +: HEAD_W] & {HEAD_W{pick[j]}});
        head_slot    = head_slot    | (j[3:0] & {4{pick[j]}});
        head_gen     = head_gen     | (gens[4*j +: 4] & {4{pick[j]}});
        head_first   = head_first   | (firsts[j*ADDR_W +: ADDR_W] & {ADDR_W{pick[j]}});
        head_end     = head_end     | (lasts[j*ADDR_W +: ADDR_W] & {ADDR_W{pick[j]}});
        head_release = head_release | (owes[j] & pick[j]);
    end
end

assign take      = (!run_reg || final) && any;
assign rd_en     = step && !release_reg;
assign rd_addr   = addr_reg;
assign owner_row = row_reg;
assign busy      = run_reg && (slot_reg == start_slot);

wire [7:0]  to_kernel = kernel + owner;
wire [79:0] data_user = {offset_reg[1:0], 2'd0, last_reg, 3'd0, offset_reg[9:2], row16[7:0], row16[15:8], slot_reg, gen_reg,
                         GATEWAY, id_cluster, edge_out, to_kernel, id_cluster};
wire [79:0] release_user = {2'd0, 2'd3, 1'b0, 3'd0, 8'd0, 16'd0, slot_reg, gen_reg, GATEWAY, id_cluster, 8'd0, up_kernel, up_cluster};

always @(posedge clk) begin
    if (step) begin
        left_reg <= left_reg - 4'd1;
        addr_reg <= (addr_reg == end_reg) ? first_reg : addr_reg + 1'b1;
    end
    if (take) begin
        slot_reg    <= head_slot;
        gen_reg     <= head_gen;
        release_reg <= head_release;
        row_reg     <= head[4 +: ROW_W];
        offset_reg  <= head[ROW_W+4 +: 10];
        last_reg    <= head[ROW_W+14];
        left_reg    <= head_left;
        beats_reg   <= {1'b0, head_left} + 5'd1;
        addr_reg    <= head[ROW_W+19+GOAL_W +: ADDR_W];
        first_reg   <= head_first;
        end_reg     <= head_end;
        for (m = 0; m < SLOT_N; m = m + 1) after_reg[m] <= (m[4:0] > {1'b0, head_slot});
    end
    if (take)       run_reg <= 1'b1;
    else if (final) run_reg <= 1'b0;
    dead_reg   <= !take && (dead_reg || killed);
    free_beats <= beats_reg;
    for (m = 0; m < SLOT_N; m = m + 1) free[m] <= final && !release_reg && !dead_reg && !killed && (slot_reg == m[3:0]);
    if (advance) begin
        valid_p1   <= run_reg;
        user_p1    <= release_reg ? release_user : data_user;
        release_p1 <= release_reg;
        last_p1    <= (left_reg == 4'd0);
    end
    if (rst) begin
        run_reg   <= 1'b0;
        valid_p1  <= 1'b0;
        free      <= {SLOT_N{1'b0}};
        after_reg <= {SLOT_N{1'b0}};
    end
end

axis_skid #(.DATA_W(593)) u_skid (
    .clk(clk), .rst(rst),
    .s_axis_tdata({last_p1, user_p1, release_p1 ? {504'd0, OP_RELEASE} : rd_data}), .s_axis_tvalid(valid_p1), .s_axis_tready(out_ready),
    .m_axis_tdata({m_axis_tlast, m_axis_tuser, m_axis_tdata}), .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready)
);

assign events   = {wait_slot != {SLOT_N{1'b0}}, rel_valid && (hit == {SLOT_N{1'b0}}), done != {SLOT_N{1'b0}}};
assign sts_held = run_reg || valid_p1 || m_axis_tvalid || (owes != {SLOT_N{1'b0}});

endmodule

`resetall
