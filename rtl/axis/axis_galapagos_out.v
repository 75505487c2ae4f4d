// SPDX-License-Identifier: Apache-2.0
// Messages of a kernel -> packets of a Galapagos stream, one for each receiver (docs/galapagos.md).
//
// A packet is a header beat, {432 zeros, the ten message bytes}, and the beats of the message. TDEST is the receiver's Galapagos number, TID
// `id`, TUSER the number of beats of the packet, header included, the same on every beat: Galapagos' bridges send that many words.
// Receivers come from a table outside, combinational: of kernel sel_kernel the one with number sel_index, from 0; sel_valid: there is one;
// sel_last: it is the last. A message to another cluster than id_cluster, or to a kernel without a receiver, is dropped and counted.
//
// Requires messages of at most 16 beats. A message is stored whole, since TUSER is known at its end only: two are, so that one comes in
// while the other goes out. Last beat in -> header 3 cycles; n + 1 cycles for a message of n beats and a receiver.
`resetall
`timescale 1ns/1ps
`default_nettype none

module axis_galapagos_out #(
    parameter DEST_W = 24,  // width of TDEST and TID
    parameter USER_W = 16   // width of TUSER. Requires at least 5
) (
    input  wire              clk,
    input  wire              rst,
    input  wire [7:0]        id_cluster,
    input  wire [DEST_W-1:0] id,

    input  wire [511:0]      s_axis_tdata,
    input  wire [63:0]       s_axis_tkeep,
    input  wire [79:0]       s_axis_tuser,
    input  wire              s_axis_tlast,
    input  wire              s_axis_tvalid,
    output wire              s_axis_tready,

    output wire [511:0]      m_axis_tdata,
    output wire [63:0]       m_axis_tkeep,
    output wire [DEST_W-1:0] m_axis_tdest,
    output wire [DEST_W-1:0] m_axis_tid,
    output wire [USER_W-1:0] m_axis_tuser,
    output wire              m_axis_tlast,
    output wire              m_axis_tvalid,
    input  wire              m_axis_tready,

    output wire [7:0]        sel_kernel,
    output wire [7:0]        sel_index,
    input  wire              sel_valid,
    input  wire              sel_last,
    input  wire [DEST_W-1:0] sel_dest,
    output wire [31:0]       sts_drops
);

generate
if (USER_W < 5) begin : g_user_w
    PARAM_ERROR_axis_galapagos_out_USER_W_at_least_5 u_err ();
end
endgenerate

// ---------------------------------------------------------------- two cells of 16 beats

reg         wr_cell_reg, rd_cell_reg;
reg  [3:0]  wr_beat_reg;
reg  [1:0]  full_reg;
reg  [4:0]  beats_reg [0:1];
reg  [79:0] bytes_reg [0:1];
reg  [31:0] drops_reg;

wire        wr_en   = s_axis_tvalid && s_axis_tready;
wire        wr_done = wr_en && s_axis_tlast;
wire        adv;            // the output register takes a beat
reg  [4:0]  rd_beat_reg;    // 0: header
reg  [7:0]  index_reg;
wire [79:0] bytes   = bytes_reg[rd_cell_reg];
wire [4:0]  beats   = beats_reg[rd_cell_reg];
wire        some    = full_reg[rd_cell_reg];
wire        known   = sel_valid && bytes[7:0] == id_cluster;
wire        issue   = some && known && adv;
wire        last    = rd_beat_reg == beats;
wire        rd_done = some && (!known || (issue && last && sel_last));
wire [3:0]  payload = rd_beat_reg[3:0] - 4'd1;
wire [511:0] rd_data;
wire [63:0]  rd_keep;

assign s_axis_tready = !full_reg[wr_cell_reg];
assign sel_kernel    = bytes[15:8];
assign sel_index     = index_reg;
assign sts_drops     = drops_reg;

axis_ram #(.DATA_W(576), .DEPTH(32), .FWD_EN(0), .STYLE("distributed")) u_ram (
    .clk(clk),
    .wr_en(wr_en), .wr_addr({wr_cell_reg, wr_beat_reg}), .wr_data({s_axis_tkeep, s_axis_tdata}),
    .rd_en(issue), .rd_addr({rd_cell_reg, payload}), .rd_data({rd_keep, rd_data})
);

// ---------------------------------------------------------------- output

reg              out_valid_reg, out_header_reg, out_last_reg;
reg [DEST_W-1:0] out_dest_reg;
reg [USER_W-1:0] out_user_reg;
reg [79:0]       out_bytes_reg;
wire             out_ready;

assign adv = !out_valid_reg || out_ready;

always @(posedge clk) begin
    if (wr_en) wr_beat_reg <= s_axis_tlast ? 4'd0 : wr_beat_reg + 4'd1;
    if (wr_done) begin
        wr_cell_reg            <= !wr_cell_reg;
        full_reg[wr_cell_reg]  <= 1'b1;
        beats_reg[wr_cell_reg] <= {1'b0, wr_beat_reg} + 5'd1;
        bytes_reg[wr_cell_reg] <= s_axis_tuser;
    end
    if (issue) begin
        rd_beat_reg    <= last ? 5'd0 : rd_beat_reg + 5'd1;
        if (last) index_reg <= sel_last ? 8'd0 : index_reg + 8'd1;
        out_header_reg <= rd_beat_reg == 5'd0;
        out_last_reg   <= last;
        out_dest_reg   <= sel_dest;
        out_user_reg   <= {{(USER_W-5){1'b0}}, beats} + {{(USER_W-1){1'b0}}, 1'b1};
        out_bytes_reg  <= bytes;
    end
    if (adv) out_valid_reg <= issue;
    if (rd_done) begin
        rd_cell_reg           <= !rd_cell_reg;
        full_reg[rd_cell_reg] <= 1'b0;
    end
    if (some && !known) drops_reg <= drops_reg + 32'd1;

    if (rst) begin
        wr_cell_reg   <= 1'b0;
        rd_cell_reg   <= 1'b0;
        wr_beat_reg   <= 4'd0;
        rd_beat_reg   <= 5'd0;
        index_reg     <= 8'd0;
        full_reg      <= 2'd0;
        out_valid_reg <= 1'b0;
        drops_reg     <= 32'd0;
    end
end

assign m_axis_tid = id;

axis_skid #(.DATA_W(577+DEST_W+USER_W)) u_skid (
    .clk(clk), .rst(rst),
    .s_axis_tdata({out_last_reg, out_user_reg, out_dest_reg, out_header_reg ? {{64{1'b1}}, 432'd0, out_bytes_reg} : {rd_keep, rd_data}}),
    .s_axis_tvalid(out_valid_reg), .s_axis_tready(out_ready),
    .m_axis_tdata({m_axis_tlast, m_axis_tuser, m_axis_tdest, m_axis_tkeep, m_axis_tdata}),
    .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready)
);

endmodule

`resetall
