// SPDX-License-Identifier: Apache-2.0
// FIFO of whole frames between two clocks: no beat of a frame comes out before its last beat is in. Users concatenate what travels together into
// tdata; a FIFO of single words is one whose tlast is always 1.
//
//   s_clk -> m_clk: wr_gray_reg, Gray code of the number of whole frames written. It steps by one, and only after all of a frame is in memory
//   m_clk -> s_clk: rd_gray_reg, Gray code of the number of beats read. It steps by one
//
// Both cross through axis_cdc_bit (sync1_reg, sync2_reg). What the sending side sees of the other is old: there is more room, there are more frames
// than it knows. Memory is read only where a frame is whole, so a word is never read while it is written.
// s_drop: forget the beats of the frame that is not whole; the beat of this cycle is not written either. tuser belongs to the last beat.
//
// Latency last beat in -> first beat out 3 edges of m_clk, 4 where an edge is missed; a beat read -> room for another 4 edges of s_clk, or 5. One
// beat a cycle on both sides, frames back to back without gap where they wait. Holds DEPTH - 1 beats or DEPTH; the last beat of a longer frame never
// comes in: tready stays 0 until s_drop. tready is a register.
// Resets: both sides from axis_cdc_reset with the same request. s_rst, m_rst stop a side at once, s_clear, m_clear empty it: what is stored is
// lost, and a frame that is being read is cut (node_shell_close ends it).
`resetall
`timescale 1ns/1ps
`default_nettype none

module axis_cdc_fifo #(
    parameter DATA_W = 576,     // everything that travels with a beat but tlast and tuser; default tdata 512, tkeep 64
    parameter DEPTH  = 512,     // beats. Requires a power of two, at least 4
    parameter STYLE  = "auto"   // ram_style of the memory
) (
    input  wire              s_clk,
    input  wire              s_rst,
    input  wire              s_clear,
    input  wire [DATA_W-1:0] s_axis_tdata,
    input  wire              s_axis_tuser,
    input  wire              s_axis_tlast,
    input  wire              s_axis_tvalid,
    output wire              s_axis_tready,
    input  wire              s_drop,

    input  wire              m_clk,
    input  wire              m_rst,
    input  wire              m_clear,
    output wire [DATA_W-1:0] m_axis_tdata,
    output wire              m_axis_tuser,
    output wire              m_axis_tlast,
    output wire              m_axis_tvalid,
    input  wire              m_axis_tready
);

localparam ADDR_W = $clog2(DEPTH);

generate
if (DEPTH < 4 || (1 << ADDR_W) != DEPTH) begin : g_depth
    PARAM_ERROR_axis_cdc_fifo_DEPTH_power_of_two_from_4 u_err ();
end
endgenerate

function [ADDR_W:0] to_gray(input [ADDR_W:0] n);
    to_gray = n ^ {1'b0, n[ADDR_W:1]};
endfunction

function [ADDR_W:0] from_gray(input [ADDR_W:0] g);
    integer b;
    for (b = 0; b <= ADDR_W; b = b + 1) from_gray[b] = ^(g >> b);
endfunction

wire [ADDR_W:0] frames_seen;    // in m_clk, Gray code
wire [ADDR_W:0] read_seen;      // in s_clk, Gray code
wire            issue;
wire            user, last;     // of the beat that is read next

// ---- s_clk: write

reg  [ADDR_W:0] wr_ptr_reg;     // beats written
reg  [ADDR_W:0] start_ptr_reg;  // of these in whole frames
reg  [ADDR_W:0] frames_reg;     // whole frames
reg  [ADDR_W:0] wr_gray_reg;    // their Gray code
reg  [ADDR_W:0] read_reg;       // beats read, as seen here
reg             s_ready_reg;

wire            wr_en       = s_axis_tvalid && s_ready_reg && !s_drop;
wire [ADDR_W:0] wr_ptr_next = wr_ptr_reg + 1'b1;
wire [ADDR_W:0] frames_next = frames_reg + 1'b1;
wire [ADDR_W:0] used        = wr_ptr_reg - read_reg;    // at most DEPTH

assign s_axis_tready = s_ready_reg;

always @(posedge s_clk) begin
    read_reg <= from_gray(read_seen);
    // a beat of this cycle and one of the next fit: at most DEPTH - 2 are used
    s_ready_reg <= !used[ADDR_W] && !(&used[ADDR_W-1:0]);
    if (wr_en) wr_ptr_reg <= wr_ptr_next;
    if (wr_en && s_axis_tlast) begin
        start_ptr_reg <= wr_ptr_next;
        frames_reg    <= frames_next;
        wr_gray_reg   <= to_gray(frames_next);
    end
    if (s_drop) wr_ptr_reg <= start_ptr_reg;

    if (s_rst) s_ready_reg <= 1'b0;
    if (s_clear) begin
        wr_ptr_reg    <= {(ADDR_W+1){1'b0}};
        start_ptr_reg <= {(ADDR_W+1){1'b0}};
        frames_reg    <= {(ADDR_W+1){1'b0}};
        wr_gray_reg   <= {(ADDR_W+1){1'b0}};
    end
end

// ---- m_clk: read

reg  [ADDR_W:0] rd_ptr_reg;     // beats read
reg  [ADDR_W:0] rd_gray_reg;    // their Gray code
reg  [ADDR_W:0] done_reg;       // frames read
reg             open_reg;       // in the middle of a frame
reg             m_valid_reg, m_user_reg, m_last_reg;

wire [ADDR_W:0] rd_ptr_next = rd_ptr_reg + 1'b1;
wire            some        = open_reg || (frames_seen != to_gray(done_reg));
assign          issue       = some && !m_rst && (!m_valid_reg || m_axis_tready);

assign m_axis_tuser  = m_user_reg;
assign m_axis_tlast  = m_last_reg;
assign m_axis_tvalid = m_valid_reg;

always @(posedge m_clk) begin
    m_valid_reg <= issue || (m_valid_reg && !m_axis_tready);
    if (issue) begin
        rd_ptr_reg  <= rd_ptr_next;
        rd_gray_reg <= to_gray(rd_ptr_next);
        open_reg    <= !last;
        m_last_reg  <= last;
        m_user_reg  <= user;
        if (last) done_reg <= done_reg + 1'b1;
    end

    if (m_rst) begin
        m_valid_reg <= 1'b0;
        open_reg    <= 1'b0;
    end
    if (m_clear) begin
        rd_ptr_reg  <= {(ADDR_W+1){1'b0}};
        rd_gray_reg <= {(ADDR_W+1){1'b0}};
        done_reg    <= {(ADDR_W+1){1'b0}};
    end
end

// ---- crossing and memories

axis_cdc_bit #(.W(ADDR_W+1)) u_frames (.clk(m_clk), .d(wr_gray_reg), .q(frames_seen));
axis_cdc_bit #(.W(ADDR_W+1)) u_read (.clk(s_clk), .d(rd_gray_reg), .q(read_seen));

axis_cdc_ram #(.DATA_W(DATA_W), .DEPTH(DEPTH), .STYLE(STYLE)) u_ram (
    .wr_clk(s_clk), .wr_en(wr_en), .wr_addr(wr_ptr_reg[ADDR_W-1:0]), .wr_data(s_axis_tdata),
    .rd_clk(m_clk), .rd_en(issue), .rd_addr(rd_ptr_reg[ADDR_W-1:0]), .rd_data(m_axis_tdata)
);

// tlast is wanted a cycle before tdata: whether the beat after this one may be read
axis_lutram #(.DATA_W(2), .DEPTH(DEPTH)) u_last (
    .clk(s_clk), .wr_en(wr_en), .wr_addr(wr_ptr_reg[ADDR_W-1:0]), .wr_data({s_axis_tuser, s_axis_tlast}),
    .rd_addr(rd_ptr_reg[ADDR_W-1:0]), .rd_data({user, last})
);

endmodule

`resetall
