// SPDX-License-Identifier: Apache-2.0
// One input of net_switch: message cells, virtual output queues of cells, and the engine that reads one message after the other.
//
// Queue o < PORTS holds the unicasts for output o, queue PORTS the multicasts. `offer` names queues that net_switch_arb would let go
// (their outputs are kept for this input in this cycle); the engine takes at most one (`took`), and only while `open`. What it takes
// while a message still runs starts right behind it. Behind a unicast the next of the same queue follows without an offer while nobody else has
// been promised this input or that output (shut_*): a turn. After BEATS beats, or where the queue is empty, it is open before the turn
// ends, so that others can be let in without a gap.
//
// Latency: offer -> first beat at m_axis 1 cycle; last beat in (first beat where CUT = 1) -> `waiting` 2 cycles. One beat a cycle. Of a message
// that still arrives, a beat leaves at the earliest 2 cycles after it came in. Counters and drops: see net_switch_store.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_switch_input #(
    parameter PORTS     = 5,    // outputs
    parameter DATA_W    = 512,  // width of tdata. Requires a multiple of 8
    parameter CELLS     = 64,   // message cells. Requires a power of two, at least 2
    parameter BEATS     = 16,   // beats of a cell. Requires a power of two, at least 2
    parameter CUT       = 0,    // 1: messages may leave before their last beat is in
    parameter ALLOW     = 31    // outputs this input may send to
) (
    input  wire                  clk,
    input  wire                  rst,
    input  wire [7:0]            id_cluster,

    input  wire [DATA_W-1:0]     s_axis_tdata,
    input  wire [DATA_W/8-1:0]   s_axis_tkeep,
    input  wire [79:0]           s_axis_tuser,
    input  wire                  s_axis_tlast,
    input  wire                  s_axis_tvalid,
    output wire                  s_axis_tready,

    output wire [PORTS:0]        waiting,       // queues that hold a message
    output wire [PORTS-1:0]      late,          // unicast heads that have waited for more than one tick and are not taken
    output wire                  multi,         // the multicast head is not taken
    output wire [PORTS-1:0]      multi_mask,    // outputs of the multicast head
    output wire                  open,          // an offer can be taken
    input  wire [PORTS:0]        offer,
    output wire [PORTS:0]        took,          // one hot, or none
    output wire                  taken,         // any
    input  wire                  shut_in,       // this input is promised
    input  wire                  hold_in,       // this input must fall free
    input  wire [PORTS-1:0]      shut_out,      // outputs that are promised to others or must fall free
    input  wire [PORTS-1:0]      hold_out,      // outputs that must fall free
    output wire [PORTS-1:0]      ending,        // outputs that this input was about to leave one cycle ago
    input  wire                  tick,

    output wire [DATA_W-1:0]     m_axis_tdata,
    output wire [DATA_W/8-1:0]   m_axis_tkeep,
    output wire [79:0]           m_axis_tuser,
    output wire                  m_axis_tlast,
    output wire                  m_axis_tvalid,
    input  wire                  m_axis_tready, // of all outputs in m_axis_mask
    output wire [PORTS-1:0]      m_axis_mask,
    output wire                  m_axis_leave,  // with tlast: the turn ends, its outputs fall free

    input  wire                  cfg_we,        // a write to ROUTE
    input  wire [8:0]            cfg_index,
    input  wire [PORTS-1:0]      cfg_data,

    output wire [5*32-1:0]       sts_count,     // messages, beats, messages dropped, most cells in use, cycles refused
    output wire                  sts_busy
);

localparam QUEUES = PORTS + 1;
localparam CELL_W = $clog2(CELLS);
localparam BEAT_W = $clog2(BEATS);
localparam KEEP_W = DATA_W / 8;
localparam TURN_W = BEAT_W + 1;
localparam [TURN_W-1:0] TURN_OPEN = (BEATS > 3) ? BEATS - 3 : 1;   // beats after which a turn lets others in: three before its end
localparam [BEAT_W:0] NEAR = 2;
localparam [CELL_W+1:0] THREE = 3;
localparam [BEAT_W-1:0] SECOND = 1;
localparam [CELL_W-1:0] SECOND_CELL = 1;

generate
if (DATA_W < 8 || DATA_W % 8 != 0) begin : g_data
    PARAM_ERROR_net_switch_input_DATA_W_multiple_of_8 u_err ();
end
endgenerate

// ---- write side

wire              wr_en, wr_first, wr_close, wr_open;
wire [CELL_W-1:0] wr_cell;
wire [BEAT_W-1:0] wr_beat;
wire              push, push_single;
wire [PORTS-1:0]  push_mask;
wire [CELL_W-1:0] push_cell;
wire              free;
reg  [CELL_W-1:0] out_cell_reg;

net_switch_store #(.PORTS(PORTS), .CELLS(CELLS), .BEATS(BEATS), .CUT(CUT), .ALLOW(ALLOW)) u_store (
    .clk(clk), .rst(rst), .id_cluster(id_cluster),
    .s_axis_tdest(s_axis_tuser[15:0]), .s_axis_tlast(s_axis_tlast), .s_axis_tvalid(s_axis_tvalid), .s_axis_tready(s_axis_tready),
    .wr_en(wr_en), .wr_cell(wr_cell), .wr_beat(wr_beat), .wr_first(wr_first), .wr_close(wr_close), .wr_open(wr_open),
    .push(push), .push_mask(push_mask), .push_cell(push_cell), .push_single(push_single),
    .free(free), .free_cell(out_cell_reg),
    .cfg_we(cfg_we), .cfg_index(cfg_index), .cfg_data(cfg_data), .sts_count(sts_count), .sts_busy(sts_busy)
);

// ---- queues: rings of {single, cell}, the head in registers; the multicast one has the mask too

reg                      push_multi, push_some;
integer                  b;

always @* begin
    push_multi = 1'b0;
    push_some  = 1'b0;
    for (b = 0; b < PORTS; b = b + 1) begin
        push_multi = push_multi || (push_some && push_mask[b]);
        push_some  = push_some || push_mask[b];
    end
end

wire [QUEUES-1:0]        push_q = push ? (push_multi ? {1'b1, {PORTS{1'b0}}} : {1'b0, push_mask}) : {QUEUES{1'b0}};
wire [QUEUES-1:0]        pop_q;
reg  [QUEUES-1:0]        has_reg, more_reg;     // a queue holds one message, two; three_reg: three
wire [QUEUES*CELL_W-1:0] head_cell;
wire [QUEUES-1:0]        head_single;
wire [QUEUES-1:0]        head_writing;   // it is still written
wire [QUEUES-1:0]        head_short;     // it is known to have at most three beats
wire [QUEUES*BEAT_W-1:0] head_len;       // its beats less one; anything while it is still written
reg  [PORTS-1:0]         age_reg, late_reg;

genvar g;
generate
for (g = 0; g < QUEUES; g = g + 1) begin : g_queue
    localparam ENTRY_W = CELL_W + 1 + ((g == PORTS) ? PORTS : 0);
    reg  [CELL_W-1:0]  wr_reg, rd_reg;      // rd_reg: the entry behind the head
    reg  [ENTRY_W-1:0] head_reg;
    reg  [CELL_W:0]    count_reg;
    reg                three_reg;
    wire               grows   = push_q[g] && !pop_q[g];
    wire               shrinks = pop_q[g] && !push_q[g];
    wire [CELL_W:0]    plus  = count_reg + 1'b1;
    wire [CELL_W:0]    minus = count_reg - 1'b1;
    wire [ENTRY_W-1:0] entry_in, entry_out;

    axis_lutram #(.DATA_W(ENTRY_W), .DEPTH(CELLS)) u_ring (
        .clk(clk), .wr_en(push_q[g]), .wr_addr(wr_reg), .wr_data(entry_in), .rd_addr(rd_reg), .rd_data(entry_out)
    );

    // last beat of the head, once it is in
    wire [BEAT_W-1:0]  stored_len;
    axis_lutram #(.DATA_W(BEAT_W), .DEPTH(CELLS)) u_len (
        .clk(clk), .wr_en(wr_close), .wr_addr(wr_cell), .wr_data(wr_beat), .rd_addr(head_reg[CELL_W-1:0]), .rd_data(stored_len)
    );
    assign head_writing[g] = (CUT != 0) && wr_open && (head_reg[CELL_W-1:0] == wr_cell);
    assign head_len[g*BEAT_W +: BEAT_W] = (head_writing[g] && wr_close) ? wr_beat : stored_len;
    assign head_short[g] = !head_writing[g] && ({1'b0, stored_len} <= NEAR);

    assign head_cell[g*CELL_W +: CELL_W] = head_reg[CELL_W-1:0];
    assign head_single[g]                = head_reg[CELL_W];
    if (g == PORTS) begin : g_multi
        assign entry_in   = {push_mask, push_single, push_cell};
        assign multi_mask = head_reg[CELL_W+1 +: PORTS];
    end else begin : g_uni
        assign entry_in = {push_single, push_cell};
    end

    always @(posedge clk) begin
        if (push_q[g]) wr_reg <= wr_reg + 1'b1;
        if (pop_q[g])  rd_reg <= rd_reg + 1'b1;
        if (pop_q[g] || !has_reg[g]) head_reg <= more_reg[g] ? entry_out : entry_in;
        count_reg   <= pop_q[g] ? (push_q[g] ? count_reg : minus) : (push_q[g] ? plus : count_reg);  // pop_q is late
        has_reg[g]  <= grows || (shrinks ? more_reg[g] : has_reg[g]);
        more_reg[g] <= (grows && has_reg[g]) || (shrinks && three_reg) || (!grows && !shrinks && more_reg[g]);
        three_reg   <= (grows && more_reg[g]) || (shrinks && {1'b0, minus} >= THREE) || (!grows && !shrinks && three_reg);
        if (rst) begin
            wr_reg      <= {CELL_W{1'b0}};
            rd_reg      <= SECOND_CELL;
            count_reg   <= {(CELL_W+1){1'b0}};
            has_reg[g]  <= 1'b0;
            more_reg[g] <= 1'b0;
            three_reg   <= 1'b0;
        end
    end
end
endgenerate

always @(posedge clk) begin
    // a message that starts takes the marks of its queue with it
    age_reg  <= (tick ? has_reg[PORTS-1:0] : age_reg) & ~pop_q[PORTS-1:0];
    late_reg <= (tick ? has_reg[PORTS-1:0] & age_reg : late_reg) & ~pop_q[PORTS-1:0];
    if (rst) begin
        age_reg  <= {PORTS{1'b0}};
        late_reg <= {PORTS{1'b0}};
    end
end

// ---- engine: idle, about to fetch the head of a queue, or running through the message in run_cell

reg               fetch_reg, run_reg;
reg  [QUEUES-1:0] fetch_q_reg, run_q_reg;   // the queue of that message, one hot; 0 without fetch_reg, run_reg
reg               partial_reg;          // the message that runs is still written
reg               next_reg;             // next_q_reg follows, it is 0 otherwise
reg  [QUEUES-1:0] next_q_reg;
reg               open_reg;
reg  [CELL_W-1:0] run_cell_reg;
reg  [BEAT_W-1:0] run_beat_reg, run_one_reg, run_two_reg;   // the next beat of the message that runs, and the two behind it
reg  [BEAT_W-1:0] run_len_reg;          // its beats less one, where it is not partial
reg  [PORTS-1:0]  run_mask_reg;
reg               turn_on_reg;          // the message about to be fetched continues a turn
reg  [TURN_W-1:0] turn_reg;             // beats of this turn, saturated
reg               out_valid_reg, out_last_reg, out_leave_reg;
reg  [PORTS-1:0]  out_mask_reg;
reg  [PORTS-1:0]  ending_reg;           // outputs that this input is about to leave, one cycle ago

wire              idle    = !fetch_reg && !run_reg;
wire              advance = !out_valid_reg || m_axis_tready;

// what is taken. Of a queue whose head is fetched now only a second message can be.
wire [QUEUES-1:0] left    = has_reg & (more_reg | ~fetch_q_reg);
wire [QUEUES-1:0] choice  = open_reg ? offer & left : {QUEUES{1'b0}};
wire              takes   = (choice != {QUEUES{1'b0}});
wire [PORTS-1:0]  win;

// a multicast is never offered together with others
net_switch_lru #(.N(PORTS)) u_choice (.clk(clk), .rst(rst), .req(choice[PORTS-1:0]), .win(win), .take(win));
assign took    = {choice[PORTS], win};
assign taken   = takes;

// a message begins: the head of the queue that is taken in this cycle, or of the one to be fetched. took is late: what depends
// on it is chosen queue by queue, and last
reg  [CELL_W-1:0] fetch_cell, take_cell;
reg  [BEAT_W-1:0] fetch_len, take_len;
reg               fetch_single, fetch_more, fetch_short, take_single, take_more, take_turn, take_ends, take_runs;
reg  [QUEUES-1:0] goes_on;              // a turn of this queue that begins now would go on behind its first message
integer           q;

always @* begin
    q            = 0;  // a loop variable too must not be kept: no latch
    fetch_cell   = {CELL_W{1'b0}};
    fetch_single = 1'b0;
    fetch_more   = 1'b0;
    fetch_short  = 1'b0;
    fetch_len    = {BEAT_W{1'b0}};
    take_len     = {BEAT_W{1'b0}};
    take_cell    = {CELL_W{1'b0}};
    take_single  = 1'b0;
    take_more    = 1'b0;
    take_turn    = 1'b0;
    take_ends    = 1'b0;
    take_runs    = 1'b0;
    goes_on      = {QUEUES{1'b0}};
    for (q = 0; q < QUEUES; q = q + 1) begin
        // the offer promised the output to nobody else
        goes_on[q]   = more_reg[q] && q != PORTS && !hold_in && !hold_out[(q < PORTS) ? q : 0];
        fetch_cell   = fetch_cell | ({CELL_W{fetch_q_reg[q]}} & head_cell[q*CELL_W +: CELL_W]);
        fetch_single = fetch_single | (fetch_q_reg[q] & head_single[q]);
        fetch_more   = fetch_more | (fetch_q_reg[q] & more_reg[q] & (q != PORTS));
        fetch_short  = fetch_short | (fetch_q_reg[q] & head_short[q]);
        fetch_len    = fetch_len | ({BEAT_W{fetch_q_reg[q]}} & head_len[q*BEAT_W +: BEAT_W]);
        take_len     = take_len | ({BEAT_W{took[q]}} & head_len[q*BEAT_W +: BEAT_W]);
        take_cell    = take_cell | ({CELL_W{took[q]}} & head_cell[q*CELL_W +: CELL_W]);
        take_single  = take_single | (took[q] & head_single[q]);
        take_more    = take_more | (took[q] & goes_on[q]);
        take_turn    = take_turn | (took[q] & head_single[q] & goes_on[q]);     // of one beat, and the turn goes on
        take_ends    = take_ends | (took[q] & head_single[q] & ~goes_on[q]);    // of one beat, and the turn ends
        take_runs    = take_runs | (took[q] & ~head_single[q]);                 // of several beats
    end
end

wire [PORTS-1:0]  fetch_mask = fetch_q_reg[PORTS] ? multi_mask : fetch_q_reg[PORTS-1:0];
wire [PORTS-1:0]  take_mask  = took[PORTS] ? multi_mask : took[PORTS-1:0];

// the message that runs
wire              partial  = (CUT != 0) && partial_reg;
// two beats behind this one at most
wire              run_near = run_reg && !partial && (run_len_reg == run_beat_reg || run_len_reg == run_one_reg || run_len_reg == run_two_reg);
wire              run_here = run_reg && (!partial || run_beat_reg != wr_beat);  // its beat is in
wire              run      = run_here && advance;
wire              run_last = !partial && (run_len_reg == run_beat_reg);
wire              run_more = (has_reg[PORTS-1:0] & run_q_reg[PORTS-1:0]) != {PORTS{1'b0}};

wire              start    = (fetch_reg || (idle && takes)) && advance;
wire              issue    = (fetch_reg || run_here || (idle && takes)) && advance;
wire              last     = run_reg ? run_last : fetch_reg ? fetch_single : take_single;
wire              run_end  = run_reg && advance && run_last;
wire              more_end = run_end || (advance && fetch_single);  // the last beat of a message that was taken before

// the turn goes on with the next message of the same queue, unless somebody else has been promised this input or that output
wire              free_way = !next_reg && !shut_in && ((shut_out & (fetch_q_reg[PORTS-1:0] | run_q_reg[PORTS-1:0])) == {PORTS{1'b0}});
wire              on_more  = free_way && (run_more || fetch_more);
wire              more     = idle ? take_more : on_more;
// .. if the way is free; of a message to be fetched, if the output advances too
wire [QUEUES-1:0] on_q     = {1'b0, {PORTS{1'b1}}} & ((fetch_q_reg & more_reg & head_single) | (run_q_reg & has_reg & {QUEUES{run_end}}));
wire              on_any   = (on_q != {QUEUES{1'b0}});

wire              fresh    = !run_reg && (idle || !turn_on_reg);
wire [TURN_W-1:0] turn_now = fresh ? {TURN_W{1'b0}} : turn_reg;
wire              spent    = (turn_reg >= TURN_OPEN);
reg               held_reg;             // this input or an output of the message that runs must fall free, one cycle ago
wire              leaving  = run_near && (spent || !run_more || held_reg);  // others are let in before this message ends

wire [QUEUES-1:0] taken_q  = fetch_q_reg | next_q_reg;
wire [PORTS-1:0]  ends     = (leaving ? run_mask_reg : {PORTS{1'b0}})
                           | ((fetch_reg && (open_reg || (advance && fetch_single && !(fetch_more && free_way)))) ? fetch_mask : {PORTS{1'b0}})
                           | ((out_valid_reg && out_last_reg && out_leave_reg && !m_axis_tready) ? out_mask_reg : {PORTS{1'b0}});

assign pop_q   = (fetch_q_reg | (idle ? took : {QUEUES{1'b0}})) & {QUEUES{advance}};
assign open    = open_reg;
assign waiting = has_reg;
assign late    = late_reg & ~taken_q[PORTS-1:0];
assign multi   = has_reg[PORTS] && !taken_q[PORTS];
assign ending  = ending_reg;

always @(posedge clk) begin
    held_reg    <= run_reg && (hold_in || (hold_out & run_mask_reg) != {PORTS{1'b0}});
    turn_reg    <= (issue && !turn_now[BEAT_W]) ? turn_now + 1'b1 : turn_now;
    ending_reg  <= ends;
    partial_reg <= !wr_close && ((run_reg && partial_reg) || (pop_q & head_writing) != {QUEUES{1'b0}});
    if (start || (partial && wr_close)) run_len_reg <= run_reg ? wr_beat : fetch_reg ? fetch_len : take_len;
    if (start) begin
        run_cell_reg <= fetch_reg ? fetch_cell : take_cell;
        run_beat_reg <= SECOND;
        run_one_reg  <= SECOND + 1'b1;
        run_two_reg  <= SECOND + 1'b1 + 1'b1;
        run_mask_reg <= fetch_reg ? fetch_mask : take_mask;
    end else if (run) begin
        run_beat_reg <= run_one_reg;
        run_one_reg  <= run_two_reg;
        run_two_reg  <= run_two_reg + 1'b1;
    end

    fetch_reg   <= (idle && takes && !advance) || (idle && advance && take_turn) || (fetch_reg && !advance)
                   || (free_way && on_any) || (more_end && (next_reg || takes));
    run_reg     <= (idle && advance && take_runs) || (fetch_reg && advance && !fetch_single) || (run_reg && !run_end);
    next_reg    <= !idle && !more_end && (next_reg || takes);
    turn_on_reg <= (idle && advance && take_turn) || (free_way && on_any && advance) || (fetch_reg && !advance && turn_on_reg);
    // the same, queue by queue
    fetch_q_reg <= ({QUEUES{idle}} & took & ({QUEUES{!advance}} | (head_single & goes_on))) | (fetch_q_reg & {QUEUES{!advance}})
                   | ({QUEUES{free_way}} & on_q) | ({QUEUES{more_end}} & (next_q_reg | took));
    run_q_reg   <= ({QUEUES{advance}} & ~head_single & (fetch_q_reg | ({QUEUES{idle}} & took))) | (run_q_reg & {QUEUES{!run_end}});
    next_q_reg  <= {QUEUES{!idle && !more_end}} & (next_q_reg | took);

    // open in the next cycle: idle then, or near the end of a turn that has nothing to go on with, or has had its beats
    open_reg    <= (idle && !takes) || (idle && advance && take_ends)
                   || (!idle && !next_reg && !takes && ((more_end && !on_more) || (more_end && spent && !fresh)
                       || (fetch_reg && open_reg && !advance) || (fetch_reg && open_reg && !fetch_single && fetch_short)
                       || (run_reg && !run_end && leaving)));

    if (issue) begin
        out_valid_reg <= 1'b1;
        out_last_reg  <= last;
        out_leave_reg <= !more;
        out_mask_reg  <= run_reg ? run_mask_reg : fetch_reg ? fetch_mask : take_mask;
        out_cell_reg  <= run_reg ? run_cell_reg : fetch_reg ? fetch_cell : take_cell;
    end else if (advance) begin
        out_valid_reg <= 1'b0;
    end

    if (rst) begin
        fetch_reg     <= 1'b0;
        run_reg       <= 1'b0;
        next_reg      <= 1'b0;
        fetch_q_reg   <= {QUEUES{1'b0}};
        run_q_reg     <= {QUEUES{1'b0}};
        next_q_reg    <= {QUEUES{1'b0}};
        open_reg      <= 1'b0;
        turn_on_reg   <= 1'b0;
        held_reg      <= 1'b0;
        out_valid_reg <= 1'b0;
    end
end

// ---- cell memory; tuser and the length of a cell beside it

axis_ram #(.DATA_W(DATA_W + KEEP_W), .DEPTH(CELLS * BEATS), .FWD_EN(0), .STYLE("ultra")) u_cells (
    .clk(clk),
    .wr_en(wr_en), .wr_addr({wr_cell, wr_beat}), .wr_data({s_axis_tkeep, s_axis_tdata}),
    .rd_en(issue), .rd_addr(run_reg ? {run_cell_reg, run_beat_reg} : {fetch_reg ? fetch_cell : take_cell, {BEAT_W{1'b0}}}),
    .rd_data({m_axis_tkeep, m_axis_tdata})
);

axis_lutram #(.DATA_W(80), .DEPTH(CELLS)) u_user (
    .clk(clk), .wr_en(wr_en && wr_first), .wr_addr(wr_cell), .wr_data(s_axis_tuser), .rd_addr(out_cell_reg), .rd_data(m_axis_tuser)
);

assign m_axis_tlast  = out_last_reg;
assign m_axis_tvalid = out_valid_reg;
assign m_axis_mask   = out_mask_reg;
assign m_axis_leave  = out_leave_reg;
assign free          = out_valid_reg && out_last_reg && m_axis_tready;

endmodule

`resetall
