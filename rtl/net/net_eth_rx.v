// SPDX-License-Identifier: Apache-2.0
// Receiving side of the Ethernet port: checks every frame, stores the message whole, hands it to the switch. Fields: docs/frame-format.md.
//
// The MAC cannot be stopped: a frame that finds no cell free is dropped and counted. A frame is dropped for the first of these causes, counted each:
//    0 MAC error (tuser at tlast)  1 destination MAC  2 EtherType  3 IPv4 version or header length  4 fragment  5 protocol
//    6 header checksum  7 destination address  8 UDP port  9 version, or type not data  10 length: fewer or more bytes than the UDP and
//    IPv4 lengths say, more than 1,024 bytes of payload, a gap in tkeep  11 unknown source node  12 its MAC or address is another
//   13 epoch  14 empty and not control  15 no cell free  16 sequence number
// Accepted: the sequence number is the next expected from that node (from 0 after reset, modulo 2^24); expected is then increased.
// The first wrong number sets sts_seq_error with the node, the number expected and the number received, until reset.
//
// Latency last beat in -> first beat of the message out 6 cycles; takes one beat a cycle, frames back to back without gap. Payload order of bytes
// unchanged: the 64 header bytes are one beat. UDP checksum, TTL, DSCP, identification are ignored. An empty control message leaves as one beat with tkeep 0.
//
// Configuration: memory 1 PEER[node] {mac 48, ip 32, valid 1}; entries never written are invalid.
// sts_count: frames, messages accepted, payload beats accepted, most cells in use, then the 17 causes. frames = accepted + causes.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_eth_rx #(
    parameter CELLS    = 64,    // message cells. Requires a power of two, 2 to 128
    parameter UDP_PORT = 17996  // both ports of a frame
) (
    input  wire          clk,
    input  wire          rst,
    input  wire [47:0]   id_mac,
    input  wire [31:0]   id_ip,

    input  wire [511:0]  mac_rx_tdata,
    input  wire [63:0]   mac_rx_tkeep,
    input  wire          mac_rx_tlast,
    input  wire          mac_rx_tvalid,
    input  wire          mac_rx_tuser,

    output wire [511:0]  m_axis_tdata,
    output wire [63:0]   m_axis_tkeep,
    output wire [79:0]   m_axis_tuser,
    output wire          m_axis_tlast,
    output wire          m_axis_tvalid,
    input  wire          m_axis_tready,

    input  wire [5:0]    ack_peer,
    output wire [23:0]   ack_next,      // next sequence number expected from ack_peer
    output wire [7:0]    credit,        // free cells

    input  wire          cfg_we,
    input  wire [27:0]   cfg_addr,
    input  wire [80:0]   cfg_data,

    output wire [21*32-1:0] sts_count,
    output wire [31:0]   sts_drops,
    output reg           sts_seq_error,
    output reg  [15:0]   sts_seq_peer,
    output reg  [23:0]   sts_seq_expected,
    output reg  [23:0]   sts_seq_got,
    output wire          sts_busy
);

localparam CELL_W = $clog2(CELLS);
localparam BEATS  = 16;
localparam CAUSES = 17;
localparam [15:0] PORT16 = UDP_PORT;

generate
if (CELLS < 2 || CELLS > 128 || (1 << CELL_W) != CELLS) begin : g_cells
    PARAM_ERROR_net_eth_rx_CELLS_power_of_two_to_128 u_err ();
end
if (UDP_PORT < 1 || UDP_PORT > 65535) begin : g_port
    PARAM_ERROR_net_eth_rx_UDP_PORT_1_to_65535 u_err ();
end
endgenerate

function [6:0] keep_bytes(input [63:0] keep);
    integer b;
    begin
        keep_bytes = 7'd0;
        if (keep == {64{1'b1}}) keep_bytes = 7'd64;
        else for (b = 0; b < 64; b = b + 1) if (keep[b]) keep_bytes = b[6:0] + 7'd1;
    end
endfunction

// ---- p1: the beat as it came

reg         p1_valid_reg, p1_first_reg, p1_last_reg, p1_bad_reg;
reg [511:0] p1_data_reg;
reg [63:0]  p1_keep_reg;
reg [4:0]   p1_beat_reg;    // number of the beat in its frame, stays at 31
reg         in_frame_reg;

always @(posedge clk) begin
    p1_valid_reg <= mac_rx_tvalid;
    if (mac_rx_tvalid) begin
        p1_first_reg <= !in_frame_reg;
        p1_last_reg  <= mac_rx_tlast;
        p1_bad_reg   <= mac_rx_tuser && mac_rx_tlast;
        p1_data_reg  <= mac_rx_tdata;
        p1_keep_reg  <= mac_rx_tkeep;
        p1_beat_reg  <= !in_frame_reg ? 5'd0 : (p1_beat_reg == 5'd31) ? 5'd31 : p1_beat_reg + 5'd1;
        in_frame_reg <= !mac_rx_tlast;
    end
    if (rst) begin
        p1_valid_reg <= 1'b0;
        in_frame_reg <= 1'b0;
    end
end

// ---- header fields of p1, big-endian on the wire

wire [47:0] h_dst_mac  = {p1_data_reg[7:0], p1_data_reg[15:8], p1_data_reg[23:16], p1_data_reg[31:24], p1_data_reg[39:32], p1_data_reg[47:40]};
wire [47:0] h_src_mac  = {p1_data_reg[55:48], p1_data_reg[63:56], p1_data_reg[71:64], p1_data_reg[79:72], p1_data_reg[87:80], p1_data_reg[95:88]};
wire [15:0] h_ethertype = {p1_data_reg[103:96], p1_data_reg[111:104]};
wire [159:0] h_ip;      // ten half-words, each big-endian
wire [31:0] h_src_ip   = {h_ip[6*16 +: 16], h_ip[7*16 +: 16]};
wire [31:0] h_dst_ip   = {h_ip[8*16 +: 16], h_ip[9*16 +: 16]};
wire [15:0] h_src_port = {p1_data_reg[279:272], p1_data_reg[287:280]};
wire [15:0] h_dst_port = {p1_data_reg[295:288], p1_data_reg[303:296]};
wire [15:0] h_udp_len  = {p1_data_reg[311:304], p1_data_reg[319:312]};
wire [15:0] h_node     = {p1_data_reg[359:352], p1_data_reg[367:360]};
wire [23:0] h_seq      = {p1_data_reg[391:384], p1_data_reg[399:392], p1_data_reg[407:400]};
wire [80:0] peer_entry;

genvar g;
generate
for (g = 0; g < 10; g = g + 1) begin : g_half
    assign h_ip[16*g +: 16] = {p1_data_reg[112 + 16*g +: 8], p1_data_reg[120 + 16*g +: 8]};
end
endgenerate

net_table #(.DATA_W(81), .DEPTH(64)) u_peer (
    .clk(clk), .clear(1'b0),
    .wr_en(cfg_we && cfg_addr[27:24] == 4'd1 && cfg_addr[23:6] == 18'd0), .wr_addr(cfg_addr[5:0]), .wr_data(cfg_data),
    .rd_addr(h_node[5:0]), .rd_data(peer_entry)
);

// ---- p2: comparisons and the checksum's sum; header fields stay for the whole frame

reg         p2_valid_reg, p2_first_reg, p2_last_reg, p2_bad_reg, p2_gap_reg;
reg [511:0] p2_data_reg;
reg [63:0]  p2_keep_reg;
reg [4:0]   p2_beat_reg;
reg [6:0]   p2_bytes_reg;       // of the last beat
reg [79:0]  p2_user_reg;
reg [15:0]  p2_node_reg;
reg [23:0]  p2_seq_reg;
reg [15:0]  p2_udp_reg;
reg [19:0]  p2_sum_reg;
reg         p2_mac_bad_reg, p2_type_bad_reg, p2_ver_bad_reg, p2_frag_reg, p2_proto_bad_reg, p2_dst_bad_reg, p2_port_bad_reg;
reg         p2_kind_bad_reg, p2_size_bad_reg, p2_unknown_reg, p2_source_bad_reg, p2_epoch_bad_reg, p2_empty_bad_reg;

always @(posedge clk) begin
    p2_valid_reg <= p1_valid_reg;
    if (p1_valid_reg) begin
        p2_first_reg <= p1_first_reg;
        p2_last_reg  <= p1_last_reg;
        p2_bad_reg   <= p1_bad_reg;
        p2_data_reg  <= p1_data_reg;
        p2_keep_reg  <= p1_keep_reg;
        p2_beat_reg  <= p1_beat_reg;
        p2_bytes_reg <= p1_last_reg ? keep_bytes(p1_keep_reg) : 7'd64;
        // a hole in tkeep, in this beat or an earlier one of the frame
        p2_gap_reg   <= (!p1_first_reg && p2_gap_reg)
                     || (p1_last_reg ? (p1_keep_reg & (p1_keep_reg + 64'd1)) != 64'd0 : p1_keep_reg != {64{1'b1}});
        if (p1_first_reg) begin
            p2_user_reg       <= p1_data_reg[511:432];
            p2_node_reg       <= h_node;
            p2_seq_reg        <= h_seq;
            p2_udp_reg        <= h_udp_len;
            // ten half-words: at most 10 * 65535 < 2^20
            p2_sum_reg        <= {4'd0, h_ip[15:0]} + {4'd0, h_ip[31:16]} + {4'd0, h_ip[47:32]} + {4'd0, h_ip[63:48]} + {4'd0, h_ip[79:64]}
                               + {4'd0, h_ip[95:80]} + {4'd0, h_ip[111:96]} + {4'd0, h_ip[127:112]} + {4'd0, h_ip[143:128]} + {4'd0, h_ip[159:144]};
            p2_mac_bad_reg    <= (h_dst_mac != id_mac);
            p2_type_bad_reg   <= (h_ethertype != 16'h0800);
            p2_ver_bad_reg    <= (h_ip[15:8] != 8'h45);
            p2_frag_reg       <= (h_ip[3*16 +: 14] != 14'd0);                   // more fragments, offset
            p2_proto_bad_reg  <= (h_ip[4*16 +: 8] != 8'd17);
            p2_dst_bad_reg    <= (h_dst_ip != id_ip);
            p2_port_bad_reg   <= (h_src_port != PORT16) || (h_dst_port != PORT16);
            p2_kind_bad_reg   <= (p1_data_reg[343:336] != 8'h20);
            p2_size_bad_reg   <= (h_udp_len < 16'd30) || (h_udp_len > 16'd1054) || (h_ip[16 +: 16] != h_udp_len + 16'd20);
            p2_unknown_reg    <= (h_node[15:6] != 10'd0) || !peer_entry[80];
            p2_source_bad_reg <= (h_src_mac != peer_entry[47:0]) || (h_src_ip != peer_entry[79:48]);
            p2_epoch_bad_reg  <= (p1_data_reg[383:368] != 16'h0101);
            p2_empty_bad_reg  <= (h_udp_len == 16'd30) && (p1_data_reg[432 + 76 +: 2] != 2'd3);
        end
    end
    if (rst) p2_valid_reg <= 1'b0;
end

// ---- p2 -> memory, and at the last beat the verdict

reg [CELL_W:0]  wr_ptr_reg, rd_ptr_reg;     // cells written, cells handed on
reg             full_reg;                   // the frame in p2 found no cell
wire [CELL_W:0] stored = wr_ptr_reg - rd_ptr_reg;
wire            full   = p2_first_reg ? stored[CELL_W] : full_reg;
wire            finish = p2_valid_reg && p2_last_reg;
wire [10:0]     frame_bytes = {p2_beat_reg, 6'd0} + {4'd0, p2_bytes_reg};  // right up to 31 beats; of a longer frame 0 or above 1,088: never right
wire            length_bad = p2_size_bad_reg || p2_gap_reg || ({5'd0, frame_bytes} != p2_udp_reg + 16'd34);
// a right header sums to n * 65535 with 1 <= n <= 10: one fold gives exactly 65535, and nothing else does
wire [16:0]     fold   = {1'b0, p2_sum_reg[15:0]} + {13'd0, p2_sum_reg[19:16]};
wire [23:0]     expected;
wire            seq_bad = (p2_seq_reg != expected);

wire [CAUSES-1:0] causes = {seq_bad, full, p2_empty_bad_reg, p2_epoch_bad_reg, p2_source_bad_reg, p2_unknown_reg, length_bad, p2_kind_bad_reg,
                            p2_port_bad_reg, p2_dst_bad_reg, fold != 17'h0ffff, p2_proto_bad_reg, p2_frag_reg, p2_ver_bad_reg, p2_type_bad_reg,
                            p2_mac_bad_reg, p2_bad_reg};
wire            accept = finish && (causes == {CAUSES{1'b0}});
wire            seq_error = finish && (causes == {1'b1, {(CAUSES-1){1'b0}}});
wire [3:0]      pay_beat = p2_beat_reg[3:0] - 4'd1;      // beat 1 of the frame is beat 0 of the message
wire            empty    = p2_first_reg && p2_last_reg;

net_table #(.DATA_W(24), .DEPTH(64)) u_expected (
    .clk(clk), .clear(rst), .wr_en(accept), .wr_addr(p2_node_reg[5:0]), .wr_data(expected + 24'd1),
    .rd_addr(p2_node_reg[5:0]), .rd_data(expected)
);

net_table #(.DATA_W(24), .DEPTH(64)) u_ack (
    .clk(clk), .clear(rst), .wr_en(accept), .wr_addr(p2_node_reg[5:0]), .wr_data(expected + 24'd1),
    .rd_addr(ack_peer), .rd_data(ack_next)
);

// ---- read side

reg               rd_active_reg;
reg  [3:0]        rd_beat_reg, rd_len_reg;
reg  [63:0]       rd_keep_reg;
reg  [79:0]       rd_user_reg;
reg               out_valid_reg, out_last_reg;
reg  [63:0]       out_keep_reg;
reg  [79:0]       out_user_reg;
wire              out_ready;
wire              advance = !out_valid_reg || out_ready;
wire              issue   = rd_active_reg && advance;
wire              rd_last = (rd_beat_reg == rd_len_reg);
wire [3:0]        info_len;
wire [63:0]       info_keep;
wire [79:0]       info_user;
wire [511:0]      cell_data;

axis_lutram #(.DATA_W(148), .DEPTH(CELLS)) u_info (
    .clk(clk), .wr_en(accept), .wr_addr(wr_ptr_reg[CELL_W-1:0]),
    .wr_data({empty ? 4'd0 : pay_beat, empty ? 64'd0 : p2_keep_reg, p2_user_reg}),
    .rd_addr(rd_ptr_reg[CELL_W-1:0]), .rd_data({info_len, info_keep, info_user})
);

// beats of a frame that is too long are not written; an empty message leaves zeros
axis_ram #(.DATA_W(512), .DEPTH(CELLS * BEATS), .FWD_EN(0), .STYLE("block")) u_cells (
    .clk(clk),
    .wr_en(p2_valid_reg && !full && (!p2_first_reg || p2_last_reg) && p2_beat_reg <= 5'd16),
    .wr_addr({wr_ptr_reg[CELL_W-1:0], p2_first_reg ? 4'd0 : pay_beat}), .wr_data(p2_first_reg ? 512'd0 : p2_data_reg),
    .rd_en(issue), .rd_addr({rd_ptr_reg[CELL_W-1:0], rd_beat_reg}), .rd_data(cell_data)
);

always @(posedge clk) begin
    if (issue) begin
        rd_beat_reg <= rd_beat_reg + 4'd1;
        if (rd_last) begin
            rd_active_reg <= 1'b0;
            rd_ptr_reg    <= rd_ptr_reg + 1'b1;
        end
    end else if (!rd_active_reg && rd_ptr_reg != wr_ptr_reg) begin
        rd_active_reg <= 1'b1;
        rd_beat_reg   <= 4'd0;
        rd_len_reg    <= info_len;
        rd_keep_reg   <= info_keep;
        rd_user_reg   <= info_user;
    end
    if (issue) begin
        out_valid_reg <= 1'b1;
        out_last_reg  <= rd_last;
        out_keep_reg  <= rd_last ? rd_keep_reg : {64{1'b1}};
        out_user_reg  <= rd_user_reg;
    end else if (advance) begin
        out_valid_reg <= 1'b0;
    end
    if (rst) begin
        rd_active_reg <= 1'b0;
        out_valid_reg <= 1'b0;
        rd_ptr_reg    <= {(CELL_W+1){1'b0}};
    end
end

axis_skid #(.DATA_W(657)) u_skid (
    .clk(clk), .rst(rst),
    .s_axis_tdata({out_last_reg, out_user_reg, out_keep_reg, cell_data}), .s_axis_tvalid(out_valid_reg), .s_axis_tready(out_ready),
    .m_axis_tdata({m_axis_tlast, m_axis_tuser, m_axis_tkeep, m_axis_tdata}), .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready)
);

// ---- state at the verdict, counters

reg [31:0]          frames_reg, accepted_reg, beats_reg, drops_reg;
reg [CELL_W:0]      peak_reg;
reg [CAUSES*32-1:0] cause_count_reg;
integer             c;

always @(posedge clk) begin
    if (p2_valid_reg && p2_first_reg) full_reg <= stored[CELL_W];
    if (finish) begin
        frames_reg <= frames_reg + 1'b1;
        if (accept) begin
            accepted_reg <= accepted_reg + 1'b1;
            wr_ptr_reg   <= wr_ptr_reg + 1'b1;
            beats_reg    <= beats_reg + {27'd0, p2_beat_reg};
        end else begin
            drops_reg <= drops_reg + 1'b1;
            // only the lowest cause counts
            for (c = 0; c < CAUSES; c = c + 1) begin
                if ((causes & ~(causes - {{(CAUSES-1){1'b0}}, 1'b1})) == ({{(CAUSES-1){1'b0}}, 1'b1} << c))
                    cause_count_reg[32*c +: 32] <= cause_count_reg[32*c +: 32] + 1'b1;
            end
        end
    end
    if (seq_error && !sts_seq_error) begin
        sts_seq_error    <= 1'b1;
        sts_seq_peer     <= p2_node_reg;
        sts_seq_expected <= expected;
        sts_seq_got      <= p2_seq_reg;
    end
    if (stored > peak_reg) peak_reg <= stored;
    if (rst) begin
        wr_ptr_reg       <= {(CELL_W+1){1'b0}};
        peak_reg         <= {(CELL_W+1){1'b0}};
        frames_reg       <= 32'd0;
        accepted_reg     <= 32'd0;
        beats_reg        <= 32'd0;
        drops_reg        <= 32'd0;
        cause_count_reg  <= {CAUSES*32{1'b0}};
        sts_seq_error    <= 1'b0;
        sts_seq_peer     <= 16'd0;
        sts_seq_expected <= 24'd0;
        sts_seq_got      <= 24'd0;
    end
end

assign credit    = CELLS[7:0] - {{(7-CELL_W){1'b0}}, stored};
assign sts_count = {cause_count_reg, {(31-CELL_W){1'b0}}, peak_reg, beats_reg, accepted_reg, frames_reg};
assign sts_drops = drops_reg;
assign sts_busy  = in_frame_reg || p1_valid_reg || p2_valid_reg || (stored != {(CELL_W+1){1'b0}}) || out_valid_reg || m_axis_tvalid;

endmodule

`resetall
