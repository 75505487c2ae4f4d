// SPDX-License-Identifier: Apache-2.0
// Checks of one received frame that need no state but the table PEER: causes 0 to 12 of docs/transport.md, section 7.
//
//   header checksum right  <=>  sum of the ten half-words = n * 65535, 1 <= n <= 10
//   length right           <=>  bytes = UDP length + 34, UDP length 30 to 1,054 (30 but for data), IPv4 length = UDP length + 20, tkeep whole
//
// c_causes are the causes met so far: at c_last they are all there are of the frame (bit k: cause k; more than one may be set). A frame is
// the responder's (c_arp, c_icmp) by its addresses and type alone; causes that do not concern such a frame are 0: ARP to our MAC or to
// broadcast knows cause 0 only, ICMP to our MAC the causes 0 to 7. c_type, c_credit, c_head, c_node are those of the frame's first beat.
// Of a frame shorter than the header any cause may be named; it is never free of causes.
//
// c_node is the peer's index, its node number modulo PEERS_N. A node is known if its whole number, MAC and address are those of the entry there.
//
// Latency mac_rx -> c_* 3 cycles, one beat a cycle, frames back to back. Configuration: memory 1 PEER[node number] {mac 48, ip 32, valid 1}, of all
// numbers with the same index the one written last; reset clears it.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_rx_check #(
    parameter PEERS_N  = 64,    // peers known. Requires a power of two, 2 to 64 (checked by net_eth_rx)
    parameter UDP_PORT = 17996, // both ports of a frame
    parameter PEER_W   = $clog2(PEERS_N)    // not to be set
) (
    input  wire              clk,
    input  wire              rst,
    input  wire [47:0]       id_mac,
    input  wire [31:0]       id_ip,

    input  wire [511:0]      mac_rx_tdata,
    input  wire [63:0]       mac_rx_tkeep,
    input  wire              mac_rx_tlast,
    input  wire              mac_rx_tvalid,
    input  wire              mac_rx_tuser,

    input  wire              cfg_we,
    input  wire [27:0]       cfg_addr,
    input  wire [80:0]       cfg_data,

    output reg               c_valid,
    output reg               c_first,
    output reg               c_last,
    output reg  [511:0]      c_data,
    output reg  [63:0]       c_keep,
    output reg  [4:0]        c_beat,        // number of the beat in its frame, stays at 31
    output reg  [10:0]       c_bytes,       // at c_last: of the frame, right up to 1,984; of a longer frame 0 or more than 1,984
    output reg               c_whole,       // no gap in tkeep so far
    output reg  [4:0]        c_type,
    output reg  [7:0]        c_credit,
    output reg  [143:0]      c_head,        // bytes 46 to 63
    output reg               c_epochs,      // neither epoch is 0
    output reg  [PEER_W-1:0] c_node,
    output wire [PEER_W-1:0] n_node,        // c_node of the next cycle, where a beat comes then
    output wire [23:0]       n_seq,         // and the sequence number of its frame
    output reg               c_empty,       // data of no payload, and not of type control
    output wire [12:0]       c_causes,
    output reg               c_arp,
    output reg               c_icmp,
    output wire              sts_busy
);

localparam [15:0] PORT16 = UDP_PORT;
localparam        HIGH_W = 16 - PEER_W;   // of a node number, what its index does not say

// bytes of a beat; right for tkeep without a gap
function [6:0] keep_bytes(input [63:0] keep);
    integer b;
    begin
        keep_bytes = 7'd0;
        for (b = 0; b < 63; b = b + 1) if (keep[b] && !keep[b + 1]) keep_bytes = keep_bytes | (b[6:0] + 7'd1);
        if (keep[63]) keep_bytes = keep_bytes | 7'd64;
    end
endfunction

// ---- p1: the beat as it came

reg         p1_valid_reg, p1_first_reg, p1_last_reg, p1_bad_reg;
reg [511:0] p1_data_reg;
reg [63:0]  p1_keep_reg;
reg [4:0]   p1_beat_reg;
reg         in_frame_reg;
reg [84:0]  p1_pair_reg;        // sums of two half-words of the IPv4 header, as if it were a first beat
integer     k;

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
        for (k = 0; k < 5; k = k + 1)
            p1_pair_reg[17*k +: 17] <= {1'b0, mac_rx_tdata[112 + 32*k +: 8], mac_rx_tdata[120 + 32*k +: 8]}
                                     + {1'b0, mac_rx_tdata[128 + 32*k +: 8], mac_rx_tdata[136 + 32*k +: 8]};
    end
    if (rst) begin
        p1_valid_reg <= 1'b0;
        in_frame_reg <= 1'b0;
    end
end

// ---- header fields of p1, big-endian on the wire

wire [47:0]  h_dst_mac   = {p1_data_reg[7:0], p1_data_reg[15:8], p1_data_reg[23:16], p1_data_reg[31:24], p1_data_reg[39:32], p1_data_reg[47:40]};
wire [47:0]  h_src_mac   = {p1_data_reg[55:48], p1_data_reg[63:56], p1_data_reg[71:64], p1_data_reg[79:72], p1_data_reg[87:80], p1_data_reg[95:88]};
wire [15:0]  h_ethertype = {p1_data_reg[103:96], p1_data_reg[111:104]};
wire [159:0] h_ip;      // ten half-words, each big-endian
wire [31:0]  h_src_ip    = {h_ip[6*16 +: 16], h_ip[7*16 +: 16]};
wire [31:0]  h_dst_ip    = {h_ip[8*16 +: 16], h_ip[9*16 +: 16]};
wire [15:0]  h_src_port  = {p1_data_reg[279:272], p1_data_reg[287:280]};
wire [15:0]  h_dst_port  = {p1_data_reg[295:288], p1_data_reg[303:296]};
wire [15:0]  h_udp_len   = {p1_data_reg[311:304], p1_data_reg[319:312]};
wire [7:0]   h_kind      = p1_data_reg[343:336];
wire [15:0]  h_node      = {p1_data_reg[359:352], p1_data_reg[367:360]};
wire [HIGH_W+80:0] entry;       // high bits of the node number, then as written
wire         unused = &{1'b0, h_ip};

genvar g;
generate
for (g = 0; g < 10; g = g + 1) begin : g_half
    assign h_ip[16*g +: 16] = {p1_data_reg[112 + 16*g +: 8], p1_data_reg[120 + 16*g +: 8]};
end
endgenerate

net_table #(.DATA_W(HIGH_W + 81), .DEPTH(PEERS_N)) u_peer (
    .clk(clk), .clear(rst),
    .wr_en(cfg_we && cfg_addr[27:16] == {4'd1, 8'd0}), .wr_addr(cfg_addr[PEER_W-1:0]), .wr_data({cfg_addr[15:PEER_W], cfg_data}),
    .rd_addr(h_node[PEER_W-1:0]), .rd_data(entry)
);

// ---- p2: comparisons with constants and own addresses, first additions; the header's results stay for the whole frame

reg              p2_valid_reg, p2_first_reg, p2_last_reg, p2_bad_reg, p2_gap_reg;
reg [511:0]      p2_data_reg;
reg [63:0]       p2_keep_reg;
reg [4:0]        p2_beat_reg;
reg [6:0]        p2_bytes_reg;      // of this beat
reg [4:0]        p2_type_reg;
reg [7:0]        p2_credit_reg;
reg [143:0]      p2_head_reg;
reg [PEER_W-1:0] p2_node_reg;
reg [HIGH_W-1:0] p2_high_reg;       // of the node number
reg [HIGH_W+80:0] p2_entry_reg;
reg [79:0]       p2_source_reg;     // {ip, mac}
reg [15:0]       p2_want_reg;       // bytes that the frame must have
reg [18:0]       p2_sum_a_reg, p2_sum_b_reg;
reg              p2_mine_reg, p2_all_reg, p2_arp_reg, p2_ip_reg, p2_icmp_reg, p2_udp_reg;
reg              p2_ver_bad_reg, p2_frag_reg, p2_dst_bad_reg, p2_port_bad_reg, p2_kind_bad_reg, p2_size_bad_reg, p2_empty_reg;

always @(posedge clk) begin
    p2_valid_reg <= p1_valid_reg;
    if (p1_valid_reg) begin
        p2_first_reg <= p1_first_reg;
        p2_last_reg  <= p1_last_reg;
        p2_bad_reg   <= p1_bad_reg;
        p2_data_reg  <= p1_data_reg;
        p2_keep_reg  <= p1_keep_reg;
        p2_beat_reg  <= p1_beat_reg;
        p2_bytes_reg <= keep_bytes(p1_keep_reg);
        // a hole in tkeep, in this beat or an earlier one of the frame
        p2_gap_reg   <= (!p1_first_reg && p2_gap_reg) || (p1_keep_reg[63:1] & ~p1_keep_reg[62:0]) != 63'd0 || !p1_keep_reg[0]
                     || (!p1_last_reg && !p1_keep_reg[63]);
        if (p1_first_reg) begin
            p2_type_reg     <= h_kind[4:0];
            p2_credit_reg   <= p1_data_reg[351:344];
            p2_head_reg     <= p1_data_reg[511:368];
            p2_node_reg     <= h_node[PEER_W-1:0];
            p2_high_reg     <= h_node[15:PEER_W];
            p2_entry_reg    <= entry;
            p2_source_reg   <= {h_src_ip, h_src_mac};
            p2_want_reg     <= h_udp_len + 16'd34;
            // at most 6 * 65535 < 2^19
            p2_sum_a_reg    <= {2'd0, p1_pair_reg[0 +: 17]} + {2'd0, p1_pair_reg[17 +: 17]} + {2'd0, p1_pair_reg[34 +: 17]};
            p2_sum_b_reg    <= {2'd0, p1_pair_reg[51 +: 17]} + {2'd0, p1_pair_reg[68 +: 17]};
            p2_mine_reg     <= (h_dst_mac == id_mac);
            p2_all_reg      <= (h_dst_mac == {48{1'b1}});
            p2_arp_reg      <= (h_ethertype == 16'h0806);
            p2_ip_reg       <= (h_ethertype == 16'h0800);
            p2_ver_bad_reg  <= (h_ip[15:8] != 8'h45);
            p2_frag_reg     <= (h_ip[3*16 +: 14] != 14'd0);     // more fragments, offset
            p2_icmp_reg     <= (h_ip[4*16 +: 8] == 8'd1);
            p2_udp_reg      <= (h_ip[4*16 +: 8] == 8'd17);
            p2_dst_bad_reg  <= (h_dst_ip != id_ip);
            p2_port_bad_reg <= (h_src_port != PORT16) || (h_dst_port != PORT16);
            p2_kind_bad_reg <= (h_kind[7:5] != 3'd1) || (h_kind[4:0] > 5'd4);
            p2_size_bad_reg <= (h_udp_len < 16'd30) || (h_udp_len > 16'd1054) || (h_ip[16 +: 16] != h_udp_len + 16'd20)
                            || (h_kind[4:0] != 5'd0 && h_udp_len != 16'd30);
            p2_empty_reg    <= (h_udp_len == 16'd30) && (p1_data_reg[432 + 76 +: 2] != 2'd3);
        end
    end
    if (rst) p2_valid_reg <= 1'b0;
end

// ---- p3: what the table says, the sum, the length; outputs

wire [10:0] bytes  = {p2_beat_reg, 6'd0} + {4'd0, p2_bytes_reg};
wire        arp    = p2_arp_reg && (p2_mine_reg || p2_all_reg);
wire        icmp   = p2_ip_reg && p2_icmp_reg && p2_mine_reg;
// sum = n * 65535 with n <= 10 is {n - 1, 16'hffff - (n - 1)}; 16'hffff - k is all ones above the low four bits, and those are ~k
wire [19:0] sum = {1'b0, p2_sum_a_reg} + {1'b0, p2_sum_b_reg};
wire        sum_right = (sum[15:4] == 12'hfff) && (sum[3:0] == ~sum[19:16]);
reg         sum_bad_reg;
reg  [5:0]  low_reg;        // causes 0 to 5
reg  [5:0]  high_reg;       // causes 7 to 12

always @(posedge clk) begin
    c_valid <= p2_valid_reg;
    if (p2_valid_reg) begin
        c_first <= p2_first_reg;
        c_last  <= p2_last_reg;
        c_data  <= p2_data_reg;
        c_keep  <= p2_keep_reg;
        c_beat  <= p2_beat_reg;
        c_bytes <= bytes;
        c_whole <= !p2_gap_reg;
        c_type  <= p2_type_reg;
        c_head  <= p2_head_reg;
        c_credit <= p2_credit_reg;
        c_epochs <= (p2_head_reg[7:0] != 8'd0) && (p2_head_reg[15:8] != 8'd0);
        c_node  <= p2_node_reg;
        c_empty <= p2_empty_reg;
        c_arp   <= arp;
        c_icmp  <= icmp;
        sum_bad_reg     <= !arp && !sum_right;
        low_reg[0]      <= p2_bad_reg;
        low_reg[5:1]    <= arp ? 5'd0 : {!p2_udp_reg && !p2_icmp_reg, p2_frag_reg, p2_ver_bad_reg, !p2_ip_reg, !p2_mine_reg};
        high_reg[0]     <= p2_dst_bad_reg && !arp;
        high_reg[5:1]   <= (arp || icmp) ? 5'd0
                         : {p2_source_reg != p2_entry_reg[79:0], p2_high_reg != p2_entry_reg[81 +: HIGH_W] || !p2_entry_reg[80],
                            p2_size_bad_reg || p2_gap_reg || {5'd0, bytes} != p2_want_reg, p2_kind_bad_reg, p2_port_bad_reg};
    end
    if (rst) c_valid <= 1'b0;
end

assign n_node   = p2_node_reg;
assign n_seq    = {p2_head_reg[23:16], p2_head_reg[31:24], p2_head_reg[39:32]};
assign c_causes = {high_reg, sum_bad_reg, low_reg};
assign sts_busy = in_frame_reg || p1_valid_reg || p2_valid_reg || c_valid;

endmodule

`resetall
