// SPDX-License-Identifier: Apache-2.0
// Store of the sending side: messages of the switch in cells of BEATS beats, shared by all peers. Part of net_eth_tx.
//
// A message goes into a free cell; when its last beat is in, its cell and the peers it is for (PEERS[destination kernel] of the own cluster,
// PEERS[256 + destination cluster] of another) are offered at m_*, in the order of arrival, one cycle later if none waits before it. One that is
// malformed is offered too, with m_drop and for nobody: its cell takes the way of all cells. A cell counts its users:
//   users = queues it was put into (close_n, told once, when all are known) - queues it has left (rel_*, one each)
// and is free when the sum is zero after the close. Some may leave before the close: the count is modulo 128, and is not zero then (at most 64
// peers).
//
// Malformed and dropped: longer than a cell; tkeep not contiguous from byte 0, or not all ones before the last beat; empty and not of type control.
// One beat a cycle, no idle cycle between messages while cells are free. A release is counted in the cycle after rel_*, unless a close comes first,
// and a cell that falls free with it is free one cycle later.
// Configuration: memory 0 PEERS {nodes 64}, 512 entries: kernels of the own cluster, then clusters, looked up side by side. Bits from PEERS_N on
// are ignored. Reset clears it.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_tx_store #(
    parameter PEERS_N = 64,             // peers. Requires a power of two, 2 to 64
    parameter CELLS   = 128,            // message cells. Requires a power of two, at least 2
    parameter CELL_W  = $clog2(CELLS)   // not to be set
) (
    input  wire               clk,
    input  wire               rst,
    input  wire [7:0]         id_cluster,

    input  wire [511:0]       s_axis_tdata,
    input  wire [63:0]        s_axis_tkeep,
    input  wire [79:0]        s_axis_tuser,
    input  wire               s_axis_tlast,
    input  wire               s_axis_tvalid,
    output wire               s_axis_tready,

    output wire [CELL_W-1:0]  m_cell,
    output wire [PEERS_N-1:0] m_peers,
    output wire               m_drop,
    output wire               m_valid,
    input  wire               m_ready,

    input  wire               close_valid,
    input  wire [CELL_W-1:0]  close_cell,
    input  wire [6:0]         close_n,
    input  wire               rel_valid,
    input  wire [CELL_W-1:0]  rel_cell,
    output wire               rel_ready,

    input  wire [CELL_W-1:0]  info_cell,    // read in the same cycle
    output wire [79:0]        info_user,
    output wire [10:0]        info_bytes,   // 0 to 1,024
    input  wire               rd_en,        // payload, one cycle later
    input  wire [CELL_W-1:0]  rd_cell,
    input  wire [3:0]         rd_beat,
    output wire [511:0]       rd_data,

    input  wire               cfg_we,
    input  wire [27:0]        cfg_addr,
    input  wire [PEERS_N-1:0] cfg_data,

    output wire               sts_message,      // pulses: a message is in, it was malformed
    output wire               sts_malformed,
    output wire [CELL_W:0]    sts_used,         // cells in use
    output wire               sts_busy
);

localparam BEATS = 16;

generate
if (PEERS_N < 2 || PEERS_N > 64 || (PEERS_N & (PEERS_N - 1)) != 0) begin : g_peers
    PARAM_ERROR_net_tx_store_PEERS_N_power_of_two_to_64 u_err ();
end
if (CELLS < 2 || (1 << CELL_W) != CELLS) begin : g_cells
    PARAM_ERROR_net_tx_store_CELLS_power_of_two u_err ();
end
endgenerate

// bytes of a beat with contiguous tkeep: from the one place where it ends
function [6:0] keep_bytes(input [63:0] keep);
    integer b;
    begin
        keep_bytes = 7'd0;
        for (b = 0; b < 63; b = b + 1) if (keep[b] && !keep[b + 1]) keep_bytes = keep_bytes | (b[6:0] + 7'd1);
        if (keep[63]) keep_bytes = keep_bytes | 7'd64;
    end
endfunction

// ---- messages in

reg              cell_valid_reg;    // a free cell for the message that comes
reg [CELL_W-1:0] cell_reg;
reg [3:0]        beat_reg;
reg              bad_reg;           // not to be kept: too long, or a gap before the last beat
reg              f_valid_reg, f_drop_reg;   // a message has come to its end
reg [CELL_W-1:0] f_cell_reg;
reg [PEERS_N-1:0] f_peers_reg;

wire accept   = s_axis_tvalid && cell_valid_reg;
wire finish   = accept && s_axis_tlast;
wire control  = (s_axis_tuser[77:76] == 2'd3);
wire whole    = (s_axis_tkeep == {64{1'b1}});
wire gap      = ((s_axis_tkeep[63:1] & ~s_axis_tkeep[62:0]) != 63'd0);
wire keep_ok  = !gap && (s_axis_tkeep[0] || (beat_reg == 4'd0 && control));

assign s_axis_tready = cell_valid_reg;

wire               peers_we = cfg_we && (cfg_addr[27:9] == 19'd0);
wire [PEERS_N-1:0] kernel_peers, cluster_peers;
wire [PEERS_N-1:0] peers    = (s_axis_tuser[7:0] == id_cluster) ? kernel_peers : cluster_peers;

net_table #(.DATA_W(PEERS_N), .DEPTH(256)) u_kernels (
    .clk(clk), .clear(rst), .wr_en(peers_we && !cfg_addr[8]), .wr_addr(cfg_addr[7:0]), .wr_data(cfg_data),
    .rd_addr(s_axis_tuser[15:8]), .rd_data(kernel_peers)
);

net_table #(.DATA_W(PEERS_N), .DEPTH(256)) u_clusters (
    .clk(clk), .clear(rst), .wr_en(peers_we && cfg_addr[8]), .wr_addr(cfg_addr[7:0]), .wr_data(cfg_data),
    .rd_addr(s_axis_tuser[7:0]), .rd_data(cluster_peers)
);

axis_lutram #(.DATA_W(91), .DEPTH(CELLS)) u_info (
    .clk(clk), .wr_en(finish), .wr_addr(cell_reg), .wr_data({{1'b0, beat_reg, 6'd0} + {4'd0, keep_bytes(s_axis_tkeep)}, s_axis_tuser}),
    .rd_addr(info_cell), .rd_data({info_bytes, info_user})
);

axis_ram #(.DATA_W(512), .DEPTH(CELLS * BEATS), .FWD_EN(0), .STYLE("ultra")) u_cells (
    .clk(clk),
    .wr_en(accept && !bad_reg), .wr_addr({cell_reg, beat_reg}), .wr_data(s_axis_tdata),
    .rd_en(rd_en), .rd_addr({rd_cell, rd_beat}), .rd_data(rd_data)
);

// ---- messages that wait to be put into queues, beside the one that has come to its end

reg [CELL_W:0]     wait_wr_reg, wait_rd_reg;
reg                waits_reg;       // they differ
wire [CELL_W:0]    wait_next = wait_rd_reg + 1'b1;
wire [CELL_W-1:0]  wait_cell;
wire [PEERS_N-1:0] wait_peers;
wire               wait_drop;
wire [PEERS_N-1:0] f_peers = f_peers_reg & {PEERS_N{!f_drop_reg}};
wire               push  = f_valid_reg && (waits_reg || !m_ready);
wire               pop   = waits_reg && m_ready;

axis_lutram #(.DATA_W(CELL_W + PEERS_N + 1), .DEPTH(CELLS)) u_wait (
    .clk(clk), .wr_en(push), .wr_addr(wait_wr_reg[CELL_W-1:0]), .wr_data({f_cell_reg, f_peers, f_drop_reg}),
    .rd_addr(wait_rd_reg[CELL_W-1:0]), .rd_data({wait_cell, wait_peers, wait_drop})
);

assign m_valid = waits_reg || f_valid_reg;
assign m_cell  = waits_reg ? wait_cell : f_cell_reg;
assign m_peers = waits_reg ? wait_peers : f_peers;
assign m_drop  = waits_reg ? wait_drop : f_drop_reg;

// ---- users of a cell, free cells

reg [CELL_W:0]   fresh_reg;                     // cells never used since reset begin here
reg [CELL_W:0]   free_wr_reg, free_rd_reg, used_reg;
reg              rel_valid_reg;
wire [CELL_W:0]  used_plus = used_reg + 1'b1;
wire [CELL_W:0]  used_less = used_reg - 1'b1;
reg [CELL_W-1:0] rel_cell_reg;

// u0 the count of a cell is read, u1 it is changed
reg              change_reg;
reg [CELL_W-1:0] use_cell_reg;
reg [6:0]        use_old_reg, use_add_reg;

wire              change   = close_valid || rel_valid_reg;
wire [CELL_W-1:0] use_cell = close_valid ? close_cell : rel_cell_reg;
wire [6:0]        use_old;
wire [6:0]        use_new  = use_old_reg + use_add_reg;
wire              free_it  = change_reg && (use_new == 7'd0);
wire              fresh    = !fresh_reg[CELL_W];
wire              any_free = fresh || (free_wr_reg != free_rd_reg);
wire              fetch    = any_free && (!cell_valid_reg || finish);
wire [CELL_W-1:0] free_cell;

assign rel_ready = !rel_valid_reg || !close_valid;

net_table #(.DATA_W(7), .DEPTH(CELLS)) u_users (
    .clk(clk), .clear(rst), .wr_en(change_reg), .wr_addr(use_cell_reg), .wr_data(use_new), .rd_addr(use_cell), .rd_data(use_old)
);

axis_lutram #(.DATA_W(CELL_W), .DEPTH(CELLS)) u_free (
    .clk(clk), .wr_en(free_it), .wr_addr(free_wr_reg[CELL_W-1:0]), .wr_data(use_cell_reg),
    .rd_addr(free_rd_reg[CELL_W-1:0]), .rd_data(free_cell)
);

assign sts_message   = f_valid_reg;
assign sts_malformed = f_valid_reg && f_drop_reg;
assign sts_used      = used_reg;
assign sts_busy      = (used_reg != {(CELL_W+1){1'b0}}) || (beat_reg != 4'd0) || bad_reg;

always @(posedge clk) begin
    if (accept) begin
        beat_reg <= s_axis_tlast ? 4'd0 : beat_reg + 4'd1;
        bad_reg  <= !s_axis_tlast && (bad_reg || beat_reg == 4'd15 || !whole);
    end
    f_valid_reg <= finish;
    f_drop_reg  <= bad_reg || !keep_ok;
    f_cell_reg  <= cell_reg;
    f_peers_reg <= peers;

    if (push) wait_wr_reg <= wait_wr_reg + 1'b1;
    if (pop)  wait_rd_reg <= wait_next;
    waits_reg <= push || (waits_reg && !(pop && wait_next == wait_wr_reg));

    if (fetch) begin
        cell_reg <= fresh ? fresh_reg[CELL_W-1:0] : free_cell;
        if (fresh) fresh_reg   <= fresh_reg + 1'b1;
        else       free_rd_reg <= free_rd_reg + 1'b1;
    end
    if (fetch)       cell_valid_reg <= 1'b1;
    else if (finish) cell_valid_reg <= 1'b0;

    change_reg   <= change;
    use_cell_reg <= use_cell;
    use_add_reg  <= close_valid ? close_n : 7'd127;
    use_old_reg  <= (change_reg && use_cell_reg == use_cell) ? use_new : use_old;
    if (rel_ready) begin
        rel_valid_reg <= rel_valid;
        rel_cell_reg  <= rel_cell;
    end
    if (free_it) free_wr_reg <= free_wr_reg + 1'b1;
    used_reg <= (finish && !free_it) ? used_plus : (!finish && free_it) ? used_less : used_reg;

    if (rst) begin
        cell_valid_reg <= 1'b0;
        beat_reg       <= 4'd0;
        bad_reg        <= 1'b0;
        f_valid_reg    <= 1'b0;
        waits_reg      <= 1'b0;
        wait_wr_reg    <= {(CELL_W+1){1'b0}};
        wait_rd_reg    <= {(CELL_W+1){1'b0}};
        fresh_reg      <= {(CELL_W+1){1'b0}};
        free_wr_reg    <= {(CELL_W+1){1'b0}};
        free_rd_reg    <= {(CELL_W+1){1'b0}};
        used_reg       <= {(CELL_W+1){1'b0}};
        rel_valid_reg  <= 1'b0;
        change_reg     <= 1'b0;
    end
end

endmodule

`resetall
