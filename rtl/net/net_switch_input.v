// SPDX-License-Identifier: Apache-2.0
// One input of net_switch: message cells, virtual output queues of whole messages, one read port.
//
// A message is written to a free cell of BEATS beats while it arrives. At its last beat ROUTE[tuser[15:8]] & ALLOW gives its mask
// of output ports: none: it is dropped and counted, and the cell is used again; one: it joins that output's queue; several: the
// multicast queue (number PORTS). A message longer than BEATS beats is swallowed and counted as dropped. Queues are linked lists
// through the cells: any split of the cells among the queues is possible. The head of each queue is presented with its arrival stamp; `grant` sends
// the head of queue `grant_q` through the read port, one beat a cycle while m_axis_tready.
//
// Latency: last beat in -> head presented 2 cycles; grant -> first beat at m_axis 2 cycles. With all cells in use tready falls
// between messages, never inside one. It decides nothing: net_switch_arb does.
//
// Configuration: memory 0 ROUTE {ports}. An entry never written is 0.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_switch_input #(
    parameter PORTS   = 5,      // outputs
    parameter CELLS   = 32,     // message cells. Requires a power of two, at least 2
    parameter BEATS   = 16,     // beats of a cell. Requires a power of two, at least 2
    parameter STAMP_W = 32,     // width of arrival stamps
    parameter ALLOW   = 31      // outputs this input may send to
) (
    input  wire                         clk,
    input  wire                         rst,

    input  wire [511:0]                 s_axis_tdata,
    input  wire [63:0]                  s_axis_tkeep,
    input  wire [79:0]                  s_axis_tuser,
    input  wire                         s_axis_tlast,
    input  wire                         s_axis_tvalid,
    output wire                         s_axis_tready,

    input  wire [STAMP_W-1:0]           stamp,        // arrival stamp of a message that completes now
    output wire                         arrived,      // a message takes the stamp in this cycle
    output wire [PORTS:0]               head_valid,
    output wire [(PORTS+1)*STAMP_W-1:0] head_stamp,
    output wire [PORTS-1:0]             head_mask,    // outputs of the multicast head
    output wire                         idle,         // a grant is possible
    input  wire                         grant,
    input  wire [$clog2(PORTS+1)-1:0]   grant_q,

    output wire [511:0]                 m_axis_tdata,
    output wire [63:0]                  m_axis_tkeep,
    output wire [79:0]                  m_axis_tuser,
    output wire                         m_axis_tlast,
    output wire                         m_axis_tvalid,
    input  wire                         m_axis_tready, // of all outputs in m_axis_mask
    output wire [PORTS-1:0]             m_axis_mask,

    input  wire                         cfg_we,       // a write to ROUTE
    input  wire [7:0]                   cfg_index,
    input  wire [PORTS-1:0]             cfg_data,

    output wire [5*32-1:0]              sts_count,    // messages, beats, messages dropped, most cells in use, cycles refused
    output wire                         sts_busy
);

localparam QUEUES = PORTS + 1;
localparam CELL_W = $clog2(CELLS);
localparam BEAT_W = $clog2(BEATS);
localparam INFO_W = 64 + 80 + BEAT_W;
localparam LINK_W = CELL_W + STAMP_W + PORTS;
localparam [PORTS-1:0] ALLOW_MASK = ALLOW;
localparam QUEUE_W = $clog2(PORTS + 1);
localparam [QUEUE_W-1:0] MULTI_Q = PORTS[QUEUE_W-1:0];

generate
if (CELLS < 2 || (1 << CELL_W) != CELLS) begin : g_cells
    PARAM_ERROR_net_switch_input_CELLS_power_of_two u_err ();
end
if (BEATS < 2 || (1 << BEAT_W) != BEATS) begin : g_beats
    PARAM_ERROR_net_switch_input_BEATS_power_of_two u_err ();
end
endgenerate

// ---- write side

reg              wr_have_reg;   // wr_cell_reg is a cell of ours
reg [CELL_W-1:0] wr_cell_reg;
reg [BEAT_W-1:0] wr_beat_reg;
reg              wr_over_reg;   // the message is longer than a cell

wire             accept  = s_axis_tvalid && wr_have_reg;
wire [PORTS-1:0] routed;
wire [PORTS-1:0] mask_in = routed & ALLOW_MASK;
wire             finish  = accept && s_axis_tlast;
wire             keep_it = finish && !wr_over_reg && (mask_in != {PORTS{1'b0}});

assign s_axis_tready = wr_have_reg;

net_table #(.DATA_W(PORTS), .DEPTH(256)) u_route (
    .clk(clk), .clear(1'b0), .wr_en(cfg_we), .wr_addr(cfg_index), .wr_data(cfg_data),
    .rd_addr(s_axis_tuser[15:8]), .rd_data(routed)
);

// ---- free cells: numbers never used yet, then a ring of returned ones

reg  [CELL_W:0] fresh_reg;              // fresh_reg .. CELLS-1 were never used
reg  [CELL_W:0] ring_wr_reg, ring_rd_reg;
wire [CELL_W-1:0] ring_cell;
wire            is_fresh = !fresh_reg[CELL_W];
wire            free_any = is_fresh || (ring_wr_reg != ring_rd_reg);
wire            take     = (keep_it || !wr_have_reg) && free_any;
wire            release_en;
wire [CELL_W-1:0] release_cell;

axis_lutram #(.DATA_W(CELL_W), .DEPTH(CELLS)) u_ring (
    .clk(clk), .wr_en(release_en), .wr_addr(ring_wr_reg[CELL_W-1:0]), .wr_data(release_cell),
    .rd_addr(ring_rd_reg[CELL_W-1:0]), .rd_data(ring_cell)
);

// ---- queues

reg                       push_reg;
reg  [CELL_W-1:0]         push_cell_reg;
reg  [PORTS-1:0]          push_mask_reg;
reg  [QUEUE_W-1:0]        push_q;
reg  [QUEUES-1:0]         head_valid_reg;
reg  [QUEUES*CELL_W-1:0]  head_cell_reg;
reg  [QUEUES*CELL_W-1:0]  tail_cell_reg;
reg  [QUEUES*STAMP_W-1:0] head_stamp_reg;
reg  [PORTS-1:0]          head_mask_reg;

wire              pop      = grant;
wire [CELL_W-1:0] pop_cell = head_cell_reg[grant_q*CELL_W +: CELL_W];
wire [CELL_W-1:0] pop_tail = tail_cell_reg[grant_q*CELL_W +: CELL_W];
wire [CELL_W-1:0] push_tail = tail_cell_reg[push_q*CELL_W +: CELL_W];
wire              pop_last = (pop_cell == pop_tail);  // the queue holds one message
wire              same_q   = push_reg && (push_q == grant_q);
wire [CELL_W-1:0]  next_cell;
wire [STAMP_W-1:0] next_stamp;
wire [PORTS-1:0]   next_mask;

integer q;

always @* begin
    q      = 0;  // a loop variable too must not be kept: no latch
    push_q = MULTI_Q;
    if ((push_mask_reg & (push_mask_reg - {{(PORTS-1){1'b0}}, 1'b1})) == {PORTS{1'b0}}) begin
        for (q = 0; q < PORTS; q = q + 1) begin
            if (push_mask_reg[q]) push_q = q[QUEUE_W-1:0];
        end
    end
end

// the link out of a cell: the message behind it in the same queue
axis_lutram #(.DATA_W(LINK_W), .DEPTH(CELLS)) u_link (
    .clk(clk), .wr_en(push_reg && head_valid_reg[push_q]), .wr_addr(push_tail), .wr_data({push_mask_reg, stamp, push_cell_reg}),
    .rd_addr(pop_cell), .rd_data({next_mask, next_stamp, next_cell})
);

assign arrived    = push_reg;
assign head_valid = head_valid_reg;
assign head_stamp = head_stamp_reg;
assign head_mask  = head_mask_reg;

always @(posedge clk) begin
    push_reg <= keep_it;
    if (keep_it) begin
        push_cell_reg <= wr_cell_reg;
        push_mask_reg <= mask_in;
    end
    if (pop) begin
        if (!pop_last) begin
            head_cell_reg[grant_q*CELL_W +: CELL_W]    <= next_cell;
            head_stamp_reg[grant_q*STAMP_W +: STAMP_W] <= next_stamp;
            if (grant_q == MULTI_Q) head_mask_reg      <= next_mask;
        end else if (!same_q) begin
            head_valid_reg[grant_q] <= 1'b0;
        end
    end
    if (push_reg) begin
        tail_cell_reg[push_q*CELL_W +: CELL_W] <= push_cell_reg;
        if (!head_valid_reg[push_q] || (pop && pop_last && same_q)) begin
            head_valid_reg[push_q]                    <= 1'b1;
            head_cell_reg[push_q*CELL_W +: CELL_W]    <= push_cell_reg;
            head_stamp_reg[push_q*STAMP_W +: STAMP_W] <= stamp;
            if (push_q == MULTI_Q) head_mask_reg      <= push_mask_reg;
        end
    end
    if (rst) begin
        push_reg       <= 1'b0;
        head_valid_reg <= {QUEUES{1'b0}};
    end
end

// ---- read port: issue stage, then the memory's output register

reg                rd_active_reg;
reg  [CELL_W-1:0]  rd_cell_reg;
reg  [BEAT_W-1:0]  rd_beat_reg, rd_len_reg;
reg  [63:0]        rd_keep_reg;
reg  [79:0]        rd_user_reg;
reg  [PORTS-1:0]   rd_mask_reg;
reg                out_valid_reg, out_last_reg;
reg  [63:0]        out_keep_reg;
reg  [79:0]        out_user_reg;
reg  [PORTS-1:0]   out_mask_reg;

wire [63:0]       info_keep;
wire [79:0]       info_user;
wire [BEAT_W-1:0] info_len;
wire              advance = !out_valid_reg || m_axis_tready;
wire              issue   = rd_active_reg && advance;
wire              rd_last = (rd_beat_reg == rd_len_reg);

assign idle         = !rd_active_reg;
assign release_en   = issue && rd_last;
assign release_cell = rd_cell_reg;

axis_lutram #(.DATA_W(INFO_W), .DEPTH(CELLS)) u_info (
    .clk(clk), .wr_en(keep_it), .wr_addr(wr_cell_reg), .wr_data({wr_beat_reg, s_axis_tkeep, s_axis_tuser}),
    .rd_addr(pop_cell), .rd_data({info_len, info_keep, info_user})
);

axis_ram #(.DATA_W(512), .DEPTH(CELLS * BEATS), .FWD_EN(0), .STYLE("block")) u_cells (
    .clk(clk),
    .wr_en(accept && !wr_over_reg), .wr_addr({wr_cell_reg, wr_beat_reg}), .wr_data(s_axis_tdata),
    .rd_en(issue), .rd_addr({rd_cell_reg, rd_beat_reg}), .rd_data(m_axis_tdata)
);

assign m_axis_tkeep  = out_keep_reg;
assign m_axis_tuser  = out_user_reg;
assign m_axis_tlast  = out_last_reg;
assign m_axis_tvalid = out_valid_reg;
assign m_axis_mask   = out_mask_reg;

always @(posedge clk) begin
    if (pop) begin
        rd_active_reg <= 1'b1;
        rd_cell_reg   <= pop_cell;
        rd_beat_reg   <= {BEAT_W{1'b0}};
        rd_len_reg    <= info_len;
        rd_keep_reg   <= info_keep;
        rd_user_reg   <= info_user;
        rd_mask_reg   <= (grant_q == MULTI_Q) ? head_mask_reg : ({{(PORTS-1){1'b0}}, 1'b1} << grant_q);
    end else if (issue) begin
        rd_beat_reg <= rd_beat_reg + 1'b1;
        if (rd_last) rd_active_reg <= 1'b0;
    end
    if (issue) begin
        out_valid_reg <= 1'b1;
        out_last_reg  <= rd_last;
        out_keep_reg  <= rd_last ? rd_keep_reg : {64{1'b1}};
        out_user_reg  <= rd_user_reg;
        out_mask_reg  <= rd_mask_reg;
    end else if (advance) begin
        out_valid_reg <= 1'b0;
    end
    if (rst) begin
        rd_active_reg <= 1'b0;
        out_valid_reg <= 1'b0;
    end
end

// ---- write side state and counters

reg [31:0]     messages_reg, beats_reg, drops_reg, refused_reg;
reg [CELL_W:0] used_reg, peak_reg;  // cells that hold a whole message

always @(posedge clk) begin
    if (take) begin
        wr_have_reg <= 1'b1;
        wr_cell_reg <= is_fresh ? fresh_reg[CELL_W-1:0] : ring_cell;
        if (is_fresh) fresh_reg   <= fresh_reg + 1'b1;
        else          ring_rd_reg <= ring_rd_reg + 1'b1;
    end else if (keep_it) begin
        wr_have_reg <= 1'b0;
    end
    if (release_en) ring_wr_reg <= ring_wr_reg + 1'b1;
    if (accept) begin
        beats_reg   <= beats_reg + 1'b1;
        wr_beat_reg <= s_axis_tlast ? {BEAT_W{1'b0}} : wr_beat_reg + 1'b1;
        wr_over_reg <= !s_axis_tlast && (wr_over_reg || wr_beat_reg == {BEAT_W{1'b1}});
        if (finish)             messages_reg <= messages_reg + 1'b1;
        if (finish && !keep_it) drops_reg    <= drops_reg + 1'b1;
    end else if (s_axis_tvalid) begin
        refused_reg <= refused_reg + 1'b1;
    end
    if (keep_it != release_en) used_reg <= keep_it ? used_reg + 1'b1 : used_reg - 1'b1;
    if (used_reg > peak_reg) peak_reg <= used_reg;

    if (rst) begin
        wr_have_reg  <= 1'b0;
        wr_beat_reg  <= {BEAT_W{1'b0}};
        wr_over_reg  <= 1'b0;
        fresh_reg    <= {(CELL_W+1){1'b0}};
        ring_wr_reg  <= {(CELL_W+1){1'b0}};
        ring_rd_reg  <= {(CELL_W+1){1'b0}};
        used_reg     <= {(CELL_W+1){1'b0}};
        peak_reg     <= {(CELL_W+1){1'b0}};
        messages_reg <= 32'd0;
        beats_reg    <= 32'd0;
        drops_reg    <= 32'd0;
        refused_reg  <= 32'd0;
    end
end

assign sts_count = {refused_reg, {(31-CELL_W){1'b0}}, peak_reg, drops_reg, beats_reg, messages_reg};
assign sts_busy  = (used_reg != {(CELL_W+1){1'b0}}) || (wr_beat_reg != {BEAT_W{1'b0}}) || wr_over_reg || out_valid_reg;

endmodule

`resetall
