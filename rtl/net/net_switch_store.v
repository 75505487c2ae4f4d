// SPDX-License-Identifier: Apache-2.0
// Write side of one input of net_switch: routes messages, writes them into cells, hands out and takes back cells.
//
//   outputs of a message = ALLOW & (tuser[7:0] = id_cluster ? ROUTE[tuser[15:8]] : ROUTE[256 + tuser[7:0]])
//
// A message is written to a free cell of BEATS beats while it arrives. With CUT = 0 it is announced (push) when its last beat is in, with
// CUT = 1 at its first: it may leave while it still arrives. No output: dropped, counted, the cell is used again. A message longer
// than a cell is swallowed and counted as dropped; where CUT = 1 it is cut to BEATS beats instead, and counted as dropped too.
//
// Latency: first or last beat in -> push 1 cycle; the beat can be read from then on. With all cells in use tready falls between
// messages, never inside one. Configuration: memory 0 ROUTE {ports}, 512 entries: the kernels of the own cluster, then the clusters; an entry
// not written since reset is 0.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_switch_store #(
    parameter PORTS  = 5,       // outputs
    parameter CELLS  = 64,      // message cells. Requires a power of two, at least 2
    parameter BEATS  = 16,      // beats of a cell. Requires a power of two, at least 2
    parameter CUT    = 0,       // 1: messages may leave before their last beat is in
    parameter ALLOW  = 31       // outputs this input may send to
) (
    input  wire                      clk,
    input  wire                      rst,
    input  wire [7:0]                id_cluster,

    input  wire [15:0]               s_axis_tdest,  // tuser[15:0]: cluster, kernel
    input  wire                      s_axis_tlast,
    input  wire                      s_axis_tvalid,
    output wire                      s_axis_tready,

    output wire                      wr_en,         // this beat goes into the cell memory
    output wire [$clog2(CELLS)-1:0]  wr_cell,
    output wire [$clog2(BEATS)-1:0]  wr_beat,
    output wire                      wr_first,
    output wire                      wr_close,      // and it is the last one of its cell
    output wire                      wr_open,       // wr_cell is being written, its beats below wr_beat are in

    output wire                      push,          // a message for the queues
    output wire [PORTS-1:0]          push_mask,
    output wire [$clog2(CELLS)-1:0]  push_cell,
    output wire                      push_single,   // of one beat

    input  wire                      free,          // the reader gives a cell back
    input  wire [$clog2(CELLS)-1:0]  free_cell,

    input  wire                      cfg_we,        // a write to ROUTE
    input  wire [8:0]                cfg_index,
    input  wire [PORTS-1:0]          cfg_data,

    output wire [5*32-1:0]           sts_count,     // messages, beats, messages dropped, most cells in use, cycles refused
    output wire                      sts_busy
);

localparam CELL_W = $clog2(CELLS);
localparam BEAT_W = $clog2(BEATS);
localparam [PORTS-1:0] ALLOW_MASK = ALLOW;
localparam [BEAT_W-1:0] BEFORE_LAST = {BEAT_W{1'b1}} - 1'b1;

generate
if (CELLS < 2 || (1 << CELL_W) != CELLS) begin : g_cells
    PARAM_ERROR_net_switch_store_CELLS_power_of_two u_err ();
end
if (BEATS < 2 || (1 << BEAT_W) != BEATS) begin : g_beats
    PARAM_ERROR_net_switch_store_BEATS_power_of_two u_err ();
end
endgenerate

// ---- the cell being written

reg              have_reg;      // cell_reg is a cell of ours
reg [CELL_W-1:0] cell_reg;
reg [BEAT_W-1:0] beat_reg;
reg              end_reg;       // beat_reg is the last one of a cell
reg              inside_reg;    // the next beat is not a first one
reg              over_reg;      // the message is longer than its cell

wire accept = s_axis_tvalid && have_reg;
wire first  = !inside_reg;
wire fits   = accept && !over_reg;
wire full   = (CUT != 0) && end_reg;   // cut short here if it goes on
wire close  = fits && (s_axis_tlast || full);

assign s_axis_tready = have_reg;
assign wr_en    = fits;
assign wr_cell  = cell_reg;
assign wr_beat  = beat_reg;
assign wr_first = first;
assign wr_close = close;
assign wr_open  = have_reg;

// ---- routing: of the first beat, in two cycles. Kernel and cluster are looked up side by side, so that no lookup waits for the comparison

reg  [PORTS-1:0] kernel_reg, cluster_reg;
reg              home_reg;
wire [PORTS-1:0] kernel_ports, cluster_ports;
wire [PORTS-1:0] mask   = (home_reg ? kernel_reg : cluster_reg) & ALLOW_MASK;
wire             routed = (mask != {PORTS{1'b0}});

net_table #(.DATA_W(PORTS), .DEPTH(256)) u_kernels (
    .clk(clk), .clear(rst), .wr_en(cfg_we && !cfg_index[8]), .wr_addr(cfg_index[7:0]), .wr_data(cfg_data),
    .rd_addr(s_axis_tdest[15:8]), .rd_data(kernel_ports)
);

net_table #(.DATA_W(PORTS), .DEPTH(256)) u_clusters (
    .clk(clk), .clear(rst), .wr_en(cfg_we && cfg_index[8]), .wr_addr(cfg_index[7:0]), .wr_data(cfg_data),
    .rd_addr(s_axis_tdest[7:0]), .rd_data(cluster_ports)
);

// ---- what came in the cycle before: announced, or dropped and its cell set aside

reg              close_reg, whole_reg, begin_reg, short_reg, single_reg;
reg [CELL_W-1:0] last_cell_reg;
wire             keep   = close_reg && routed;
wire             unused = close_reg && !routed;

assign push        = routed && ((CUT != 0) ? begin_reg : close_reg);
assign push_mask   = mask;
assign push_cell   = last_cell_reg;
assign push_single = single_reg;

always @(posedge clk) begin
    if (accept && first) begin
        kernel_reg  <= kernel_ports;
        cluster_reg <= cluster_ports;
        home_reg    <= (s_axis_tdest[7:0] == id_cluster);
    end
    begin_reg     <= fits && first;
    close_reg     <= close;
    whole_reg     <= accept && s_axis_tlast;
    short_reg     <= (CUT != 0) ? (close && !s_axis_tlast) : (accept && s_axis_tlast && over_reg);
    single_reg    <= first && s_axis_tlast;
    last_cell_reg <= cell_reg;
    if (rst) begin
        begin_reg <= 1'b0;
        close_reg <= 1'b0;
        whole_reg <= 1'b0;
        short_reg <= 1'b0;
    end
end

// ---- free cells: set aside after a drop (two at most), numbers never used yet, then a ring of returned ones

reg  [CELL_W:0]     fresh_reg;                  // fresh_reg .. CELLS-1 were never used
reg  [CELL_W:0]     ring_wr_reg, ring_rd_reg;
reg  [1:0]          aside_reg;
reg  [2*CELL_W-1:0] aside_cell_reg;
wire [CELL_W-1:0]   ring_cell;
wire                is_fresh = !fresh_reg[CELL_W];
wire                free_any = aside_reg[0] || is_fresh || (ring_wr_reg != ring_rd_reg);
wire                refill   = (close || !have_reg) && free_any;

axis_lutram #(.DATA_W(CELL_W), .DEPTH(CELLS)) u_ring (
    .clk(clk), .wr_en(free), .wr_addr(ring_wr_reg[CELL_W-1:0]), .wr_data(free_cell),
    .rd_addr(ring_rd_reg[CELL_W-1:0]), .rd_data(ring_cell)
);

always @(posedge clk) begin
    if (refill) begin
        cell_reg <= aside_reg[0] ? aside_cell_reg[CELL_W-1:0] : is_fresh ? fresh_reg[CELL_W-1:0] : ring_cell;
        if (!aside_reg[0]) begin
            if (is_fresh) fresh_reg   <= fresh_reg + 1'b1;
            else          ring_rd_reg <= ring_rd_reg + 1'b1;
        end
    end
    if (refill || close) have_reg <= refill;
    if (free) ring_wr_reg <= ring_wr_reg + 1'b1;
    if (refill && aside_reg[0]) begin
        aside_reg                     <= {unused && aside_reg[1], unused || aside_reg[1]};
        aside_cell_reg[CELL_W-1:0]    <= aside_reg[1] ? aside_cell_reg[2*CELL_W-1:CELL_W] : last_cell_reg;
        aside_cell_reg[CELL_W +: CELL_W] <= last_cell_reg;
    end else if (unused) begin
        aside_reg <= {aside_reg[0], 1'b1};
        if (!aside_reg[0]) aside_cell_reg[CELL_W-1:0] <= last_cell_reg;
        aside_cell_reg[CELL_W +: CELL_W] <= last_cell_reg;
    end
    if (rst) begin
        have_reg    <= 1'b0;
        fresh_reg   <= {(CELL_W+1){1'b0}};
        ring_wr_reg <= {(CELL_W+1){1'b0}};
        ring_rd_reg <= {(CELL_W+1){1'b0}};
        aside_reg   <= 2'd0;
    end
end

// ---- state and counters

reg [31:0]     messages_reg, beats_reg, drops_reg, refused_reg;
reg [CELL_W:0] used_reg, peak_reg;              // cells that hold a whole message

always @(posedge clk) begin
    if (accept) begin
        inside_reg <= !s_axis_tlast;
        beat_reg   <= s_axis_tlast ? {BEAT_W{1'b0}} : beat_reg + 1'b1;
        over_reg   <= !s_axis_tlast && (over_reg || end_reg);
        end_reg    <= !s_axis_tlast && (beat_reg == BEFORE_LAST);
        beats_reg  <= beats_reg + 1'b1;
    end else if (s_axis_tvalid) begin
        refused_reg <= refused_reg + 1'b1;
    end
    if (whole_reg)                                             messages_reg <= messages_reg + 1'b1;
    if (short_reg || (whole_reg && close_reg && !routed))      drops_reg    <= drops_reg + 1'b1;
    if (keep != free)        used_reg <= keep ? used_reg + 1'b1 : used_reg - 1'b1;
    if (used_reg > peak_reg) peak_reg <= used_reg;

    if (rst) begin
        beat_reg     <= {BEAT_W{1'b0}};
        end_reg      <= 1'b0;
        inside_reg   <= 1'b0;
        over_reg     <= 1'b0;
        used_reg     <= {(CELL_W+1){1'b0}};
        peak_reg     <= {(CELL_W+1){1'b0}};
        messages_reg <= 32'd0;
        beats_reg    <= 32'd0;
        drops_reg    <= 32'd0;
        refused_reg  <= 32'd0;
    end
end

assign sts_count = {refused_reg, {(31-CELL_W){1'b0}}, peak_reg, drops_reg, beats_reg, messages_reg};
assign sts_busy  = (used_reg != {(CELL_W+1){1'b0}}) || inside_reg || whole_reg;

endmodule

`resetall
