// SPDX-License-Identifier: Apache-2.0
// Answers ARP requests for our address (RFC 826) and ICMP echo requests (RFC 792). net_eth_rx has checked addresses and the IPv4 header.
//
//   ARP reply: sent to the sender hardware address of the request, padded with zeros to 60 bytes
//   echo reply: type 0, the request's identifier, number and data; IPv4 with identification 0, DF, TTL 64; padded with zeros to 60 bytes
//   its checksum: HC' = ~(~HC + ~0x0800 + 0x0000) in ones' complement (RFC 1624), of a request whose checksum is right; where all of the reply
//   but its checksum is 0, HC' = 0xffff
//
// One frame at a time: stored whole, then sent without a gap. Each frame left to the responder gets one pulse: rs_arp or rs_icmp (will be
// answered), or rs_cause: [0] cause 18, ARP that is not a request for our address; [1] cause 19, no whole echo request: type or code, IPv4 length
// not 28 to 1,024, fewer bytes than it says, more of them in a frame of more than one beat (padding), a gap, a wrong checksum; [2] cause 20: right,
// but the responder was busy when it began.
//
// Latency rq_last -> rs_* 6 cycles, -> first beat of the reply 10. Takes one beat a cycle, frames back to back.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_respond (
    input  wire         clk,
    input  wire         rst,
    input  wire [47:0]  id_mac,
    input  wire [31:0]  id_ip,

    input  wire [511:0] rq_data,        // see net_eth_rx
    input  wire [63:0]  rq_keep,
    input  wire         rq_valid,
    input  wire         rq_first,
    input  wire         rq_last,
    input  wire         rq_want,
    input  wire         rq_arp,
    input  wire         rq_icmp,
    input  wire [10:0]  rq_bytes,
    input  wire         rq_whole,
    output reg          rs_arp,
    output reg          rs_icmp,
    output reg  [2:0]   rs_cause,

    output wire [511:0] rp_axis_tdata,
    output wire [63:0]  rp_axis_tkeep,
    output wire         rp_axis_tlast,
    output wire         rp_axis_tvalid,
    input  wire         rp_axis_tready,

    output wire         sts_busy
);

localparam BEATS = 32;      // 17 are used: 14 + 1,024 bytes
localparam [2:0] IDLE = 3'd0, FILL = 3'd1, SUM = 3'd2, FOLD = 3'd3, SEND = 3'd4;

reg [2:0] state_reg;

// ---- r1: the beat as it came, and whether it is kept

reg         r1_valid_reg, r1_first_reg, r1_last_reg, r1_keep_it_reg, r1_arp_reg, r1_icmp_reg, r1_whole_reg;
reg [511:0] r1_data_reg;
reg [63:0]  r1_keep_reg;
reg [10:0]  r1_bytes_reg;
reg [4:0]   r1_beat_reg;        // stays at 31
wire        take = rq_valid && rq_first && rq_want && (state_reg == IDLE);      // this frame gets the store

always @(posedge clk) begin
    r1_valid_reg <= rq_valid;
    if (rq_valid) begin
        r1_first_reg <= rq_first;
        r1_last_reg  <= rq_last;
        r1_data_reg  <= rq_data;
        r1_keep_reg  <= rq_keep;
        r1_arp_reg   <= rq_arp;
        r1_icmp_reg  <= rq_icmp;
        r1_bytes_reg <= rq_bytes;
        r1_whole_reg <= rq_whole;
        r1_beat_reg  <= rq_first ? 5'd0 : (r1_beat_reg == 5'd31) ? 5'd31 : r1_beat_reg + 5'd1;
        if (rq_first) r1_keep_it_reg <= take;
    end
    if (rst) r1_valid_reg <= 1'b0;
end

// ---- r2: fields of the first beat stay for the frame; bytes outside the ICMP message are cleared

wire [15:0]  h_total = {r1_data_reg[135:128], r1_data_reg[143:136]};
wire [511:0] summed;        // data of the bytes that the checksum covers

genvar b;
generate
for (b = 0; b < 64; b = b + 1) begin : g_byte
    // in the first beat bytes 34 to 13 + total
    wire in_first = (b < 34) ? 1'b0 : (h_total > b - 14);
    assign summed[8*b +: 8] = (r1_keep_reg[b] && (!r1_first_reg || in_first)) ? r1_data_reg[8*b +: 8] : 8'd0;
end
endgenerate

reg         r2_valid_reg, r2_first_reg, r2_last_reg, r2_keep_it_reg, r2_arp_reg, r2_icmp_reg, r2_whole_reg;
reg         r2_arp_right_reg, r2_echo_reg, r2_size_right_reg, r2_exact_reg;
reg [511:0] r2_data_reg;
reg [10:0]  r2_bytes_reg, r2_total_reg;
reg [15:0]  r2_check_reg;
reg [31:0]  r2_ip_reg;

wire [10:0] frame_total = r1_first_reg ? h_total[10:0] : r2_total_reg;

always @(posedge clk) begin
    r2_valid_reg <= r1_valid_reg;
    if (r1_valid_reg) begin
        r2_first_reg   <= r1_first_reg;
        r2_last_reg    <= r1_last_reg;
        r2_keep_it_reg <= r1_keep_it_reg;
        r2_arp_reg     <= r1_arp_reg;
        r2_icmp_reg    <= r1_icmp_reg;
        r2_whole_reg   <= r1_whole_reg;
        r2_bytes_reg   <= r1_bytes_reg;
        r2_data_reg    <= summed;
        r2_exact_reg   <= (r1_bytes_reg == frame_total + 11'd14) || (r1_first_reg && r1_bytes_reg > frame_total + 11'd14);
        if (r1_first_reg) begin
            // hardware type 1, protocol 0x0800, lengths 6 and 4, operation 1; target address ours; wire's byte 14 is data[119:112]
            r2_arp_right_reg  <= (r1_data_reg[175:112] == 64'h0100_0406_0008_0100)
                              && ({r1_data_reg[311:304], r1_data_reg[319:312], r1_data_reg[327:320], r1_data_reg[335:328]} == id_ip);
            r2_echo_reg       <= (r1_data_reg[287:272] == 16'h0008);        // type 8, code 0
            r2_size_right_reg <= (h_total >= 16'd28) && (h_total <= 16'd1024);
            r2_total_reg      <= h_total[10:0];
            r2_check_reg      <= {r1_data_reg[295:288], r1_data_reg[303:296]};
            r2_ip_reg         <= {r1_data_reg[215:208], r1_data_reg[223:216], r1_data_reg[231:224], r1_data_reg[239:232]};
        end
    end
    if (rst) r2_valid_reg <= 1'b0;
end

// ---- r3: eight sums of four half-words, r4: one of eight; r5: over the frame's beats

wire [18*8-1:0] sum4;
genvar g;
generate
for (g = 0; g < 8; g = g + 1) begin : g_sum
    wire [15:0] h0 = {r2_data_reg[64*g +: 8], r2_data_reg[64*g + 8 +: 8]};
    wire [15:0] h1 = {r2_data_reg[64*g + 16 +: 8], r2_data_reg[64*g + 24 +: 8]};
    wire [15:0] h2 = {r2_data_reg[64*g + 32 +: 8], r2_data_reg[64*g + 40 +: 8]};
    wire [15:0] h3 = {r2_data_reg[64*g + 48 +: 8], r2_data_reg[64*g + 56 +: 8]};
    assign sum4[18*g +: 18] = {2'd0, h0} + {2'd0, h1} + {2'd0, h2} + {2'd0, h3};
end
endgenerate

reg            r3_valid_reg, r3_first_reg, r3_last_reg, r4_valid_reg, r4_first_reg, r4_last_reg;
reg            r3_keep_it_reg, r4_keep_it_reg;
reg            r3_arp_reg, r3_icmp_reg, r3_right_reg, r4_arp_reg, r4_icmp_reg, r4_right_reg;
reg [18*8-1:0] r3_sum_reg;
reg [20:0]     r4_sum_reg;      // at most 32 * 65535 < 2^21
reg [24:0]     total_sum_reg;   // at most 16 such: a frame that is right has at most 1,004 bytes in the sum
wire [24:0]    frame_sum = (r4_first_reg ? 25'd0 : total_sum_reg) + {4'd0, r4_sum_reg};

always @(posedge clk) begin
    r3_valid_reg <= r2_valid_reg;
    r4_valid_reg <= r3_valid_reg;
    if (r2_valid_reg) begin
        r3_first_reg   <= r2_first_reg;
        r3_last_reg    <= r2_last_reg;
        r3_keep_it_reg <= r2_keep_it_reg;
        r3_arp_reg     <= r2_arp_reg;
        r3_icmp_reg    <= r2_icmp_reg;
        r3_right_reg   <= r2_whole_reg && (r2_arp_reg ? r2_arp_right_reg && r2_first_reg && r2_bytes_reg >= 11'd42
                                                      : r2_echo_reg && r2_size_right_reg && r2_exact_reg);
        r3_sum_reg     <= sum4;
    end
    if (r3_valid_reg) begin
        r4_first_reg   <= r3_first_reg;
        r4_last_reg    <= r3_last_reg;
        r4_keep_it_reg <= r3_keep_it_reg;
        r4_arp_reg     <= r3_arp_reg;
        r4_icmp_reg    <= r3_icmp_reg;
        r4_right_reg   <= r3_right_reg;
        r4_sum_reg     <= {3'd0, r3_sum_reg[0 +: 18]} + {3'd0, r3_sum_reg[18 +: 18]} + {3'd0, r3_sum_reg[36 +: 18]} + {3'd0, r3_sum_reg[54 +: 18]}
                        + {3'd0, r3_sum_reg[72 +: 18]} + {3'd0, r3_sum_reg[90 +: 18]} + {3'd0, r3_sum_reg[108 +: 18]} + {3'd0, r3_sum_reg[126 +: 18]};
    end
    if (r4_valid_reg) total_sum_reg <= frame_sum;
    if (rst) begin
        r3_valid_reg <= 1'b0;
        r4_valid_reg <= 1'b0;
    end
end

// ---- r5: the verdict

reg         r5_last_reg, r5_keep_it_reg, r5_arp_reg, r5_icmp_reg, r5_right_reg;
// n * 65535 with n - 1 < 2^9 is {n - 1, 16'hffff - (n - 1)}, and never 0: an echo request begins with 8
wire        sum_right = (total_sum_reg[15:9] == 7'h7f) && (total_sum_reg[8:0] == ~total_sum_reg[24:16]);
wire        good    = r5_right_reg && (r5_arp_reg || sum_right);
wire        answer  = r5_last_reg && r5_keep_it_reg && good && (r5_arp_reg || r5_icmp_reg);
wire        drop_it = r5_last_reg && r5_keep_it_reg && !answer;

always @(posedge clk) begin
    r5_last_reg    <= r4_valid_reg && r4_last_reg;
    r5_keep_it_reg <= r4_keep_it_reg;
    r5_arp_reg     <= r4_arp_reg;
    r5_icmp_reg    <= r4_icmp_reg;
    r5_right_reg   <= r4_right_reg;
    rs_arp         <= answer && r5_arp_reg;
    rs_icmp        <= answer && r5_icmp_reg;
    rs_cause[0]    <= r5_last_reg && r5_arp_reg && !good;
    rs_cause[1]    <= r5_last_reg && r5_icmp_reg && !good;
    rs_cause[2]    <= r5_last_reg && (r5_arp_reg || r5_icmp_reg) && good && !r5_keep_it_reg;
    if (rst) begin
        r5_last_reg <= 1'b0;
        rs_arp      <= 1'b0;
        rs_icmp     <= 1'b0;
        rs_cause    <= 3'd0;
    end
end

// n >= k, for k a constant: no carry chain
function at_least(input [10:0] n, input [10:0] k);
    integer j;
    begin
        at_least = 1'b1;
        for (j = 0; j < 11; j = j + 1) at_least = k[j] ? (n[j] && at_least) : (n[j] || at_least);
    end
endfunction

// ---- the reply: its numbers, then the stored beats with the first one patched

reg          is_arp_reg, zero_reg;
reg  [10:0]  total_reg;         // IPv4 length
reg  [15:0]  check_reg;         // the request's
reg  [31:0]  ip_reg;
reg  [18:0]  ip_sum_reg;
reg  [16:0]  echo_sum_reg;
reg  [15:0]  ip_check_reg, echo_check_reg;
reg  [59:42] first_keep_reg;    // bytes of the first beat that are not padding
reg  [63:0]  last_keep_reg;
reg  [4:0]   last_beat_reg, rd_beat_reg;
reg          out_valid_reg, out_last_reg, out_first_reg, sent_reg;
wire         out_ready;
wire         advance = !out_valid_reg || out_ready;
wire         issue   = (state_reg == SEND) && !sent_reg && advance;
wire [511:0] stored;
wire [16:0]  ip_fold   = {1'b0, ip_sum_reg[15:0]} + {14'd0, ip_sum_reg[18:16]};
wire [15:0]  echo_fold = echo_sum_reg[15:0] + {15'd0, echo_sum_reg[16]};
wire [10:0]  frame_end = total_reg + 11'd13;    // the reply's last byte
reg  [10:0]  end_reg;
integer      k;

axis_ram #(.DATA_W(512), .DEPTH(BEATS), .FWD_EN(0), .STYLE("auto")) u_store (
    .clk(clk), .wr_en(r1_valid_reg && r1_keep_it_reg), .wr_addr(r1_beat_reg), .wr_data(r1_data_reg),
    .rd_en(issue), .rd_addr(rd_beat_reg), .rd_data(stored)
);

always @(posedge clk) begin
    if (r2_valid_reg && r2_first_reg && r2_keep_it_reg) begin
        total_reg <= r2_total_reg;
        check_reg <= r2_check_reg;
        ip_reg    <= r2_ip_reg;
    end
    case (state_reg)
        IDLE: if (take) state_reg <= FILL;
        FILL: begin
            is_arp_reg <= r5_arp_reg;
            zero_reg   <= (total_sum_reg == 25'h0_ffff);    // nothing but type and checksum
            if (answer)       state_reg <= SUM;
            else if (drop_it) state_reg <= IDLE;
        end
        SUM: begin
            // 0x4500, length, 0x4000, 0x4001, both addresses: at most 7 * 65535 < 2^19
            ip_sum_reg    <= 19'h0c501 + {8'd0, total_reg} + {3'd0, id_ip[31:16]} + {3'd0, id_ip[15:0]}
                           + {3'd0, ip_reg[31:16]} + {3'd0, ip_reg[15:0]};
            echo_sum_reg  <= {1'b0, ~check_reg} + 17'h0f7ff;
            end_reg       <= frame_end;
            last_beat_reg <= is_arp_reg ? 5'd0 : frame_end[10:6];
            state_reg     <= FOLD;
        end
        FOLD: begin
            ip_check_reg   <= ~(ip_fold[15:0] + {15'd0, ip_fold[16]});
            echo_check_reg <= (zero_reg && echo_fold == 16'hffff) ? 16'hffff : ~echo_fold;
            for (k = 42; k < 60; k = k + 1) first_keep_reg[k] <= !is_arp_reg && at_least(end_reg, k[10:0]);
            // at least 60 bytes
            for (k = 0; k < 64; k = k + 1)
                last_keep_reg[k] <= (last_beat_reg == 5'd0 && k < 60) || (!is_arp_reg && at_least({5'd0, end_reg[5:0]}, k[10:0]));
            rd_beat_reg <= 5'd0;
            sent_reg    <= 1'b0;
            state_reg   <= SEND;
        end
        default: begin
            if (issue) begin
                rd_beat_reg <= rd_beat_reg + 5'd1;
                if (rd_beat_reg == last_beat_reg) sent_reg <= 1'b1;
            end
            if (sent_reg && advance) state_reg <= IDLE;
        end
    endcase
    if (issue) begin
        out_valid_reg <= 1'b1;
        out_first_reg <= (rd_beat_reg == 5'd0);
        out_last_reg  <= (rd_beat_reg == last_beat_reg);
    end else if (advance) begin
        out_valid_reg <= 1'b0;
    end
    if (rst) begin
        state_reg     <= IDLE;
        out_valid_reg <= 1'b0;
    end
end

// byte 0 of the wire is the top byte of `be` and the lowest of the result
function [335:0] reverse_bytes(input [335:0] be);
    integer n;
    for (n = 0; n < 42; n = n + 1) reverse_bytes[8*n +: 8] = be[8*(41-n) +: 8];
endfunction

function [47:0] reverse_mac(input [47:0] v);
    reverse_mac = {v[7:0], v[15:8], v[23:16], v[31:24], v[39:32], v[47:40]};
endfunction

function [31:0] reverse_word(input [31:0] v);
    reverse_word = {v[7:0], v[15:8], v[23:16], v[31:24]};
endfunction

wire [335:0] arp_head  = {reverse_mac(stored[8*22 +: 48]), id_mac, 16'h0806, 64'h0001_0800_0604_0002, id_mac, id_ip,
                          reverse_mac(stored[8*22 +: 48]), reverse_word(stored[8*28 +: 32])};
wire [335:0] echo_head = {reverse_mac(stored[8*6 +: 48]), id_mac, 16'h0800, 16'h4500, 5'd0, total_reg, 16'h0000, 16'h4000, 16'h4001, ip_check_reg,
                          id_ip, reverse_word(stored[8*26 +: 32]), 16'h0000, echo_check_reg, reverse_word(stored[8*38 +: 32])};
wire [335:0] patched   = reverse_bytes(is_arp_reg ? arp_head : echo_head);
wire [511:0] first_beat;

generate
for (b = 0; b < 64; b = b + 1) begin : g_out
    if (b < 42) begin : g_patched
        assign first_beat[8*b +: 8] = patched[8*b +: 8];
    end else if (b < 60) begin : g_padded
        assign first_beat[8*b +: 8] = first_keep_reg[b] ? stored[8*b +: 8] : 8'd0;
    end else begin : g_plain
        assign first_beat[8*b +: 8] = stored[8*b +: 8];
    end
end
endgenerate

axis_skid #(.DATA_W(577)) u_skid (
    .clk(clk), .rst(rst),
    .s_axis_tdata({out_last_reg, out_last_reg ? last_keep_reg : {64{1'b1}}, out_first_reg ? first_beat : stored}),
    .s_axis_tvalid(out_valid_reg), .s_axis_tready(out_ready),
    .m_axis_tdata({rp_axis_tlast, rp_axis_tkeep, rp_axis_tdata}), .m_axis_tvalid(rp_axis_tvalid), .m_axis_tready(rp_axis_tready)
);

assign sts_busy = (state_reg != IDLE) || r1_valid_reg || r2_valid_reg || r3_valid_reg || r4_valid_reg || r5_last_reg
               || rs_arp || rs_icmp || (rs_cause != 3'd0) || rp_axis_tvalid;

endmodule

`resetall
