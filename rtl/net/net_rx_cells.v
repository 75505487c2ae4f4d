// SPDX-License-Identifier: Apache-2.0
// Store of received messages: a ring of cells of 16 beats, filled by the frames as they come and read out in order of arrival.
//
// Beats 1 to 16 of every frame go into the next cell, whatever will become of the frame; `accept` at its last beat keeps them. A frame that
// finds no cell free at its first beat (`full`, valid while the frame lasts) writes nothing and must not be accepted. An empty frame is kept as one
// beat of zeros with tkeep 0. A cell is free again, and release_valid comes, when its last beat has been read.
//
// Latency last beat -> first beat of the message at m_axis 3 cycles; one beat a cycle in and out, no idle cycle between messages.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_rx_cells #(
    parameter CELLS  = 256,     // message cells. Requires a power of two, 2 to 256 (checked by net_eth_rx)
    parameter PEER_W = 6,       // bits of a peer's number
    parameter CELL_W = $clog2(CELLS)        // not to be set
) (
    input  wire              clk,
    input  wire              rst,

    input  wire              c_valid,
    input  wire              c_first,
    input  wire              c_last,
    input  wire [511:0]      c_data,
    input  wire [63:0]       c_keep,
    input  wire [4:0]        c_beat,
    input  wire [79:0]       c_user,
    input  wire [PEER_W-1:0] c_peer,
    input  wire              accept,
    output wire              full,

    output wire              release_valid,
    output wire [PEER_W-1:0] release_peer,

    output wire [511:0]      m_axis_tdata,
    output wire [63:0]       m_axis_tkeep,
    output wire [79:0]       m_axis_tuser,
    output wire              m_axis_tlast,
    output wire              m_axis_tvalid,
    input  wire              m_axis_tready,

    output wire [CELL_W:0]   sts_peak,      // most cells in use
    output wire              sts_busy
);

localparam BEATS = 16;

// ---- write side

reg  [CELL_W:0] wr_ptr_reg, rd_ptr_reg;     // cells kept, cells handed on
reg  [CELL_W:0] used_reg;                   // cells kept and not handed on, as it was a cycle ago
reg             last_cell_reg;              // it is CELLS - 1
reg             accepted_reg, released_reg; // what came since
reg  [CELL_W:0] peak_reg;
reg             full_reg;                   // the frame found no cell
wire [CELL_W:0] used_plus = used_reg + 1'b1;
wire [CELL_W:0] used_less = used_reg - 1'b1;
wire [3:0]      pay_beat = c_beat[3:0] - 4'd1;      // beat 1 of the frame is beat 0 of the message
wire            empty    = c_first && c_last;

// a cell that was handed on in the cycle before is not free yet
wire            no_cell = used_reg[CELL_W] || (accepted_reg && last_cell_reg);

assign full = c_first ? no_cell : full_reg;

// ---- read side

reg  [3:0]         rd_beat_reg;
reg                out_valid_reg, out_last_reg;
reg  [63:0]        out_keep_reg;
reg  [79:0]        out_user_reg;
wire               out_ready;
wire [3:0]         info_len;
wire [63:0]        info_keep;
wire [79:0]        info_user;
wire [511:0]       cell_data;
wire               advance = !out_valid_reg || out_ready;
wire               issue   = (rd_ptr_reg != wr_ptr_reg) && advance;
wire               rd_last = (rd_beat_reg == info_len);

assign release_valid = issue && rd_last;

axis_lutram #(.DATA_W(PEER_W + 148), .DEPTH(CELLS)) u_info (
    .clk(clk), .wr_en(c_valid && c_last && !full), .wr_addr(wr_ptr_reg[CELL_W-1:0]),
    .wr_data({c_peer, empty ? 4'd0 : pay_beat, empty ? 64'd0 : c_keep, c_user}),
    .rd_addr(rd_ptr_reg[CELL_W-1:0]), .rd_data({release_peer, info_len, info_keep, info_user})
);

// beats of a frame that is too long are not written
axis_ram #(.DATA_W(512), .DEPTH(CELLS * BEATS), .FWD_EN(0), .STYLE("ultra")) u_cells (
    .clk(clk),
    .wr_en(c_valid && !full && (!c_first || c_last) && c_beat <= 5'd16),
    .wr_addr({wr_ptr_reg[CELL_W-1:0], c_first ? 4'd0 : pay_beat}), .wr_data(c_first ? 512'd0 : c_data),
    .rd_en(issue), .rd_addr({rd_ptr_reg[CELL_W-1:0], rd_beat_reg}), .rd_data(cell_data)
);

always @(posedge clk) begin
    if (c_valid && c_first) full_reg <= no_cell;
    if (accept) wr_ptr_reg <= wr_ptr_reg + 1'b1;
    accepted_reg <= accept;
    released_reg <= release_valid;
    if (accepted_reg && !released_reg) begin
        used_reg      <= used_plus;
        last_cell_reg <= (used_plus == CELLS - 1);
    end else if (released_reg && !accepted_reg) begin
        used_reg      <= used_less;
        last_cell_reg <= (used_less == CELLS - 1);
    end
    if (used_reg > peak_reg) peak_reg <= used_reg;
    if (issue) begin
        rd_beat_reg   <= rd_last ? 4'd0 : rd_beat_reg + 4'd1;
        out_valid_reg <= 1'b1;
        out_last_reg  <= rd_last;
        out_keep_reg  <= rd_last ? info_keep : {64{1'b1}};
        out_user_reg  <= info_user;
    end else if (advance) begin
        out_valid_reg <= 1'b0;
    end
    if (release_valid) rd_ptr_reg <= rd_ptr_reg + 1'b1;
    if (rst) begin
        wr_ptr_reg    <= {(CELL_W+1){1'b0}};
        rd_ptr_reg    <= {(CELL_W+1){1'b0}};
        used_reg      <= {(CELL_W+1){1'b0}};
        last_cell_reg <= 1'b0;
        accepted_reg  <= 1'b0;
        released_reg  <= 1'b0;
        peak_reg      <= {(CELL_W+1){1'b0}};
        rd_beat_reg   <= 4'd0;
        out_valid_reg <= 1'b0;
    end
end

axis_skid #(.DATA_W(657)) u_skid (
    .clk(clk), .rst(rst),
    .s_axis_tdata({out_last_reg, out_user_reg, out_keep_reg, cell_data}), .s_axis_tvalid(out_valid_reg), .s_axis_tready(out_ready),
    .m_axis_tdata({m_axis_tlast, m_axis_tuser, m_axis_tkeep, m_axis_tdata}), .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready)
);

assign sts_peak = peak_reg;
assign sts_busy = (used_reg != {(CELL_W+1){1'b0}}) || accepted_reg || out_valid_reg || m_axis_tvalid;

endmodule

`resetall
