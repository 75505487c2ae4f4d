// SPDX-License-Identifier: Apache-2.0
// Sending side of the Ethernet port: one frame to every remote node a message is for. Fields: docs/frame-format.md.
//
// A message is stored whole in a cell of BEATS beats. Its remote nodes are PEERS[tuser[15:8]]; for every set bit n, lowest first,
// one frame goes out: a header beat (64 bytes), then the payload beats, read again from the cell for each frame. Sequence number: per peer, from 0
// after reset, one per frame, modulo 2^24. IPv4 checksum = ones' complement of the ones' complement sum of the header's ten half-words.
// `acknowledged` and `credit` are taken when the header leaves. A frame, once begun, has no gap (the whole message is stored).
//
// Dropped and counted: a message for no node; a peer that PEER does not know (the other peers get theirs); a malformed message: longer than a
// cell, tkeep not contiguous from byte 0 or not all ones before the last beat, or empty and not of type control (an empty frame would carry nothing).
// Latency last beat in -> header at mac_tx 7 cycles; one beat a cycle, no idle cycle between the frames of waiting messages.
// With all cells in use tready falls between messages. It does not retransmit and does not act on credits.
//
// Configuration: memory 0 PEERS[kernel] {nodes 64}, memory 1 PEER[node] {mac 48, ip 32, valid 1}. Entries never written are 0.
// sts_count: messages, frames, payload beats sent, dropped for no node, dropped for an unknown peer, malformed, most cells in use.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_eth_tx #(
    parameter CELLS    = 32,    // message cells. Requires a power of two, at least 2
    parameter UDP_PORT = 17996  // both ports of a frame
) (
    input  wire          clk,
    input  wire          rst,
    input  wire [15:0]   id_node,
    input  wire [47:0]   id_mac,
    input  wire [31:0]   id_ip,

    input  wire [511:0]  s_axis_tdata,
    input  wire [63:0]   s_axis_tkeep,
    input  wire [79:0]   s_axis_tuser,
    input  wire          s_axis_tlast,
    input  wire          s_axis_tvalid,
    output wire          s_axis_tready,

    output wire [5:0]    ack_peer,      // the peer the next header is for
    input  wire [23:0]   ack_next,      // next sequence number expected from it
    input  wire [7:0]    credit,

    output wire [511:0]  mac_tx_tdata,
    output wire [63:0]   mac_tx_tkeep,
    output wire          mac_tx_tlast,
    output wire          mac_tx_tvalid,
    input  wire          mac_tx_tready,

    input  wire          cfg_we,
    input  wire [27:0]   cfg_addr,
    input  wire [80:0]   cfg_data,

    output wire [7*32-1:0] sts_count,
    output wire [31:0]   sts_drops,
    output wire          sts_busy
);

localparam CELL_W = $clog2(CELLS);
localparam BEATS  = 16;
localparam INFO_W = 64 + 80 + 64 + 5 + 7;
localparam [15:0] PORT16 = UDP_PORT;

generate
if (CELLS < 2 || (1 << CELL_W) != CELLS) begin : g_cells
    PARAM_ERROR_net_eth_tx_CELLS_power_of_two u_err ();
end
if (UDP_PORT < 1 || UDP_PORT > 65535) begin : g_port
    PARAM_ERROR_net_eth_tx_UDP_PORT_1_to_65535 u_err ();
end
endgenerate

// bytes of a beat with contiguous tkeep
function [6:0] keep_bytes(input [63:0] keep);
    integer b;
    begin
        keep_bytes = 7'd0;
        if (keep == {64{1'b1}}) keep_bytes = 7'd64;
        else for (b = 0; b < 64; b = b + 1) if (keep[b]) keep_bytes = b[6:0] + 7'd1;
    end
endfunction

// one fold of a ones' complement sum: the result fits 17 bits
function [16:0] fold(input [19:0] sum);
    fold = {1'b0, sum[15:0]} + {13'd0, sum[19:16]};
endfunction

// the wire's byte 0 is the top byte of `be` and the lowest of the result
function [511:0] reverse_bytes(input [511:0] be);
    integer b;
    for (b = 0; b < 64; b = b + 1) reverse_bytes[8*b +: 8] = be[8*(63-b) +: 8];
endfunction

// ---- write side: a ring of cells

reg [CELL_W:0] wr_ptr_reg, desc_ptr_reg, free_ptr_reg;
reg [3:0]      wr_beat_reg;
reg            wr_bad_reg;      // not to be kept: too long, or a gap before the last beat

wire [CELL_W:0] stored   = wr_ptr_reg - free_ptr_reg;
wire            accept   = s_axis_tvalid && s_axis_tready;
wire            finish   = accept && s_axis_tlast;
wire            control  = (s_axis_tuser[77:76] == 2'd3);
wire            whole    = (s_axis_tkeep == {64{1'b1}});
wire            empty    = (s_axis_tkeep == 64'd0);
wire            keep_ok  = whole || ((s_axis_tkeep & (s_axis_tkeep + 64'd1)) == 64'd0 && (!empty || (wr_beat_reg == 4'd0 && control)));
wire            good     = !wr_bad_reg && keep_ok;
wire [63:0]     peers;
wire            store_it = finish && good && (peers != 64'd0);

assign s_axis_tready = !stored[CELL_W];

net_table #(.DATA_W(64), .DEPTH(256)) u_peers (
    .clk(clk), .clear(1'b0),
    .wr_en(cfg_we && cfg_addr[27:24] == 4'd0 && cfg_addr[23:8] == 16'd0), .wr_addr(cfg_addr[7:0]), .wr_data(cfg_data[63:0]),
    .rd_addr(s_axis_tuser[15:8]), .rd_data(peers)
);

wire [79:0] info_user;
wire [63:0] info_keep, info_mask;
wire [4:0]  info_beats;
wire [6:0]  info_bytes;

axis_lutram #(.DATA_W(INFO_W), .DEPTH(CELLS)) u_info (
    .clk(clk), .wr_en(store_it), .wr_addr(wr_ptr_reg[CELL_W-1:0]),
    .wr_data({peers, empty ? 5'd0 : {1'b0, wr_beat_reg} + 5'd1, keep_bytes(s_axis_tkeep), s_axis_tkeep, s_axis_tuser}),
    .rd_addr(desc_ptr_reg[CELL_W-1:0]), .rd_data({info_mask, info_beats, info_bytes, info_keep, info_user})
);

// ---- frame pipeline: p0 a peer is picked, p1 tables read, p2 sum, p3 checksum; all move together

reg              msg_valid_reg;   // a message whose peers are being picked
reg [63:0]       msg_mask_reg;
reg [CELL_W-1:0] msg_cell_reg;
reg [79:0]       msg_user_reg;
reg [63:0]       msg_keep_reg;
reg [4:0]        msg_beats_reg;
reg [15:0]       msg_bytes_reg;   // payload bytes

reg              p1_valid_reg, p2_valid_reg, p3_valid_reg;
reg              p1_end_reg, p2_end_reg, p3_end_reg;       // the last frame of its message: the cell is free after it
reg              p2_skip_reg, p3_skip_reg;                 // no such peer
reg [5:0]        p1_peer_reg, p2_peer_reg, p3_peer_reg;
reg [CELL_W-1:0] p1_cell_reg, p2_cell_reg, p3_cell_reg;
reg [79:0]       p1_user_reg, p2_user_reg, p3_user_reg;
reg [63:0]       p1_keep_reg, p2_keep_reg, p3_keep_reg;
reg [4:0]        p1_beats_reg, p2_beats_reg, p3_beats_reg;
reg [15:0]       p1_bytes_reg, p2_bytes_reg, p3_bytes_reg;
reg [47:0]       p2_mac_reg, p3_mac_reg;
reg [31:0]       p2_ip_reg, p3_ip_reg;
reg [23:0]       p2_seq_reg, p3_seq_reg;
reg [19:0]       p2_sum_reg;
reg [15:0]       p3_check_reg;

wire             take;            // p3 is used up in this cycle
wire             move = !p3_valid_reg || take;
wire [63:0]      rest_mask = msg_mask_reg & (msg_mask_reg - 64'd1);
wire             load = (desc_ptr_reg != wr_ptr_reg) && (!msg_valid_reg || (move && rest_mask == 64'd0));
wire [80:0]      peer_entry;
wire [23:0]      peer_seq;
wire             sends = p1_valid_reg && peer_entry[80];
wire [16:0]      p2_fold = fold(p2_sum_reg);
wire [15:0]      p2_check = p2_fold[15:0] + {15'd0, p2_fold[16]};

net_table #(.DATA_W(81), .DEPTH(64)) u_peer (
    .clk(clk), .clear(1'b0),
    .wr_en(cfg_we && cfg_addr[27:24] == 4'd1 && cfg_addr[23:6] == 18'd0), .wr_addr(cfg_addr[5:0]), .wr_data(cfg_data),
    .rd_addr(p1_peer_reg), .rd_data(peer_entry)
);

net_table #(.DATA_W(24), .DEPTH(64)) u_seq (
    .clk(clk), .clear(rst), .wr_en(move && sends), .wr_addr(p1_peer_reg), .wr_data(peer_seq + 24'd1),
    .rd_addr(p1_peer_reg), .rd_data(peer_seq)
);

// number of the lowest set bit
function [5:0] lowest(input [63:0] mask);
    integer b;
    begin
        lowest = 6'd0;
        for (b = 63; b >= 0; b = b - 1) if (mask[b]) lowest = b[5:0];
    end
endfunction

always @(posedge clk) begin
    if (load) begin
        msg_valid_reg <= 1'b1;
        msg_mask_reg  <= info_mask;
        msg_cell_reg  <= desc_ptr_reg[CELL_W-1:0];
        msg_user_reg  <= info_user;
        msg_keep_reg  <= info_keep;
        msg_beats_reg <= info_beats;
        msg_bytes_reg <= (info_beats == 5'd0) ? 16'd0 : {5'd0, info_beats - 5'd1, 6'd0} + {9'd0, info_bytes};
        desc_ptr_reg  <= desc_ptr_reg + 1'b1;
    end else if (msg_valid_reg && move) begin
        msg_mask_reg  <= rest_mask;
        msg_valid_reg <= (rest_mask != 64'd0);
    end
    if (move) begin
        p1_valid_reg <= msg_valid_reg;
        p2_valid_reg <= p1_valid_reg;
        p3_valid_reg <= p2_valid_reg;
        if (msg_valid_reg) begin
            p1_peer_reg  <= lowest(msg_mask_reg);
            p1_end_reg   <= (rest_mask == 64'd0);
            p1_cell_reg  <= msg_cell_reg;
            p1_user_reg  <= msg_user_reg;
            p1_keep_reg  <= msg_keep_reg;
            p1_beats_reg <= msg_beats_reg;
            p1_bytes_reg <= msg_bytes_reg;
        end
        if (p1_valid_reg) begin
            p2_peer_reg  <= p1_peer_reg;
            p2_end_reg   <= p1_end_reg;
            p2_cell_reg  <= p1_cell_reg;
            p2_user_reg  <= p1_user_reg;
            p2_keep_reg  <= p1_keep_reg;
            p2_beats_reg <= p1_beats_reg;
            p2_bytes_reg <= p1_bytes_reg;
            p2_skip_reg  <= !peer_entry[80];
            p2_mac_reg   <= peer_entry[47:0];
            p2_ip_reg    <= peer_entry[79:48];
            p2_seq_reg   <= peer_seq;
            // the header's half-words but for identification 0: at most 8 * 65535 < 2^20
            p2_sum_reg   <= 20'h04500 + {4'd0, p1_bytes_reg + 16'd50} + 20'h04000 + 20'h04011
                          + {4'd0, id_ip[31:16]} + {4'd0, id_ip[15:0]} + {4'd0, peer_entry[79:64]} + {4'd0, peer_entry[63:48]};
        end
        if (p2_valid_reg) begin
            p3_peer_reg  <= p2_peer_reg;
            p3_end_reg   <= p2_end_reg;
            p3_cell_reg  <= p2_cell_reg;
            p3_user_reg  <= p2_user_reg;
            p3_keep_reg  <= p2_keep_reg;
            p3_beats_reg <= p2_beats_reg;
            p3_bytes_reg <= p2_bytes_reg;
            p3_skip_reg  <= p2_skip_reg;
            p3_mac_reg   <= p2_mac_reg;
            p3_ip_reg    <= p2_ip_reg;
            p3_seq_reg   <= p2_seq_reg;
            p3_check_reg <= ~p2_check;
        end
    end
    if (rst) begin
        msg_valid_reg <= 1'b0;
        p1_valid_reg  <= 1'b0;
        p2_valid_reg  <= 1'b0;
        p3_valid_reg  <= 1'b0;
        desc_ptr_reg  <= {(CELL_W+1){1'b0}};
    end
end

// ---- emission: header beat, payload beats; then the memory's output register beside the header register

reg              pay_active_reg, pay_end_reg;
reg [CELL_W-1:0] pay_cell_reg;
reg [3:0]        pay_beat_reg, pay_left_reg;
reg [63:0]       pay_keep_reg;
reg              out_valid_reg, out_header_reg, out_last_reg;
reg [63:0]       out_keep_reg;
reg [511:0]      header_reg;

wire         out_ready;
wire         advance  = !out_valid_reg || out_ready;
wire         send_hdr = p3_valid_reg && !p3_skip_reg && !pay_active_reg && advance;
wire         send_pay = pay_active_reg && advance;
wire         pay_last = (pay_left_reg == 4'd0);
wire [511:0] cell_data;
wire         free_en  = (take && p3_end_reg && (p3_skip_reg || p3_beats_reg == 5'd0)) || (send_pay && pay_last && pay_end_reg);

assign take     = p3_valid_reg && !pay_active_reg && (p3_skip_reg || advance);
assign ack_peer = p3_peer_reg;

axis_ram #(.DATA_W(512), .DEPTH(CELLS * BEATS), .FWD_EN(0), .STYLE("block")) u_cells (
    .clk(clk),
    .wr_en(accept && !wr_bad_reg), .wr_addr({wr_ptr_reg[CELL_W-1:0], wr_beat_reg}), .wr_data(s_axis_tdata),
    .rd_en(send_pay), .rd_addr({pay_cell_reg, pay_beat_reg}), .rd_data(cell_data)
);

function [79:0] wire_order(input [79:0] user);
    integer b;
    for (b = 0; b < 10; b = b + 1) wire_order[8*b +: 8] = user[8*(9-b) +: 8];
endfunction

always @(posedge clk) begin
    if (send_hdr) begin
        header_reg <= reverse_bytes({
            p3_mac_reg, id_mac, 16'h0800,
            16'h4500, p3_bytes_reg + 16'd50, 16'h0000, 16'h4000, 16'h4011, p3_check_reg, id_ip, p3_ip_reg,
            PORT16, PORT16, p3_bytes_reg + 16'd30, 16'h0000,
            8'h20, credit, id_node, 8'd1, 8'd1, p3_seq_reg, ack_next, wire_order(p3_user_reg)});
        pay_active_reg <= (p3_beats_reg != 5'd0);
        pay_end_reg    <= p3_end_reg;
        pay_cell_reg   <= p3_cell_reg;
        pay_beat_reg   <= 4'd0;
        pay_left_reg   <= p3_beats_reg[3:0] - 4'd1;
        pay_keep_reg   <= p3_keep_reg;
        out_valid_reg  <= 1'b1;
        out_header_reg <= 1'b1;
        out_last_reg   <= (p3_beats_reg == 5'd0);
        out_keep_reg   <= {64{1'b1}};
    end else if (send_pay) begin
        pay_beat_reg   <= pay_beat_reg + 4'd1;
        pay_left_reg   <= pay_left_reg - 4'd1;
        if (pay_last) pay_active_reg <= 1'b0;
        out_valid_reg  <= 1'b1;
        out_header_reg <= 1'b0;
        out_last_reg   <= pay_last;
        out_keep_reg   <= pay_last ? pay_keep_reg : {64{1'b1}};
    end else if (advance) begin
        out_valid_reg  <= 1'b0;
    end
    if (free_en) free_ptr_reg <= free_ptr_reg + 1'b1;
    if (rst) begin
        pay_active_reg <= 1'b0;
        out_valid_reg  <= 1'b0;
        free_ptr_reg   <= {(CELL_W+1){1'b0}};
    end
end

axis_skid #(.DATA_W(577)) u_skid (
    .clk(clk), .rst(rst),
    .s_axis_tdata({out_last_reg, out_keep_reg, out_header_reg ? header_reg : cell_data}),
    .s_axis_tvalid(out_valid_reg), .s_axis_tready(out_ready),
    .m_axis_tdata({mac_tx_tlast, mac_tx_tkeep, mac_tx_tdata}), .m_axis_tvalid(mac_tx_tvalid), .m_axis_tready(mac_tx_tready)
);

// ---- write side state and counters

reg [31:0]     messages_reg, frames_reg, beats_reg, no_node_reg, no_peer_reg, malformed_reg;
reg [CELL_W:0] peak_reg;

always @(posedge clk) begin
    if (accept) begin
        wr_beat_reg <= s_axis_tlast ? 4'd0 : wr_beat_reg + 4'd1;
        wr_bad_reg  <= !s_axis_tlast && (wr_bad_reg || wr_beat_reg == 4'd15 || !whole);
    end
    if (store_it) wr_ptr_reg <= wr_ptr_reg + 1'b1;
    if (finish) begin
        messages_reg <= messages_reg + 1'b1;
        if (!good)          malformed_reg <= malformed_reg + 1'b1;
        else if (!store_it) no_node_reg   <= no_node_reg + 1'b1;
    end
    if (move && p1_valid_reg && !peer_entry[80]) no_peer_reg <= no_peer_reg + 1'b1;
    if (send_hdr) frames_reg <= frames_reg + 1'b1;
    if (send_pay) beats_reg  <= beats_reg + 1'b1;
    if (stored > peak_reg) peak_reg <= stored;
    if (rst) begin
        wr_beat_reg   <= 4'd0;
        wr_bad_reg    <= 1'b0;
        wr_ptr_reg    <= {(CELL_W+1){1'b0}};
        peak_reg      <= {(CELL_W+1){1'b0}};
        messages_reg  <= 32'd0;
        frames_reg    <= 32'd0;
        beats_reg     <= 32'd0;
        no_node_reg   <= 32'd0;
        no_peer_reg   <= 32'd0;
        malformed_reg <= 32'd0;
    end
end

assign sts_count = {{(31-CELL_W){1'b0}}, peak_reg, malformed_reg, no_peer_reg, no_node_reg, beats_reg, frames_reg, messages_reg};
assign sts_drops = malformed_reg + no_peer_reg + no_node_reg;
assign sts_busy  = (stored != {(CELL_W+1){1'b0}}) || (wr_beat_reg != 4'd0) || wr_bad_reg || out_valid_reg || mac_tx_tvalid;

endmodule

`resetall
