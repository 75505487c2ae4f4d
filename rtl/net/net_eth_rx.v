// SPDX-License-Identifier: Apache-2.0
// Receiving side of the Ethernet port: checks every frame, keeps the messages, knows what each peer must be told. Rules: docs/transport.md.
//
// The MAC cannot be stopped. Every frame has one fate: data accepted (its number is the expected one, a cell is free), ack, nack, hello or
// hello-ack accepted, left to net_respond (ARP, ICMP), or dropped for the first of the causes 0 to 20. lk_peer is asked one cycle
// before ev_*, and answered in the cycle of ev_* with what is true then. link_reset must come in the first cycle in which lk_mine, lk_theirs show
// the changed epochs: a frame judged in it is of the link after the reset.
//
// Latency last beat in -> first beat of the message out 6 cycles, -> ev_valid 3; one beat a cycle, frames back to back without gap. Payload order
// of bytes unchanged: the 64 header bytes are one beat. UDP checksum, TTL, DSCP, identification are ignored. An empty control message leaves as one
// beat with tkeep 0.
//
// Configuration: memory 1 PEER[node number] {mac 48, ip 32, valid 1, quota 8}, memory 2 REGISTER 0 ACK_DELAY, 4 NACK_HOLD; reset clears PEER, and
// gives the registers their defaults. sts_count: frames, data accepted, payload beats accepted, acks, nacks, hellos, hello-acks, most cells in use,
// ARP answered, ICMP answered, then the 21 causes. A frame is counted when its fate is known: frames = sum of the fates in every cycle.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_eth_rx #(
    parameter PEERS_N  = 64,    // peers. Requires a power of two, 2 to 64
    parameter CELLS    = 256,   // message cells. Requires a power of two, 2 to 256
    parameter UDP_PORT = 17996, // both ports of a frame. Requires 1 to 65,535
    parameter PEER_W   = $clog2(PEERS_N)    // not to be set
) (
    input  wire               clk,
    input  wire               rst,
    input  wire [47:0]        id_mac,
    input  wire [31:0]        id_ip,

    input  wire [511:0]       mac_rx_tdata,
    input  wire [63:0]        mac_rx_tkeep,
    input  wire               mac_rx_tlast,
    input  wire               mac_rx_tvalid,
    input  wire               mac_rx_tuser,

    output wire [511:0]       m_axis_tdata,
    output wire [63:0]        m_axis_tkeep,
    output wire [79:0]        m_axis_tuser,
    output wire               m_axis_tlast,
    output wire               m_axis_tvalid,
    input  wire               m_axis_tready,

    // to net_link and net_eth_tx: docs/transport.md, section 7
    output wire               ev_valid,
    output wire [PEER_W-1:0]  ev_peer,
    output wire [4:0]         ev_type,
    output wire [7:0]         ev_epoch,
    output wire [7:0]         ev_ack_epoch,
    output wire [23:0]        ev_ack,
    output wire [7:0]         ev_credit,
    output wire               ev_right,
    output wire [PEER_W-1:0]  lk_peer,          // answered one cycle later
    input  wire [7:0]         lk_mine,
    input  wire [7:0]         lk_theirs,
    input  wire               link_reset,
    input  wire [PEER_W-1:0]  link_reset_peer,
    input  wire [PEER_W-1:0]  hd_peer,
    output wire [23:0]        hd_expected,
    output wire [7:0]         hd_credit,        // 0 where hd_none
    output wire               hd_none,
    input  wire               hd_sent,
    input  wire [PEER_W-1:0]  hd_sent_peer,
    input  wire               hd_sent_nack,
    output wire [PEERS_N-1:0] ack_due,
    output wire [PEERS_N-1:0] nack_due,

    // to net_respond: every beat; in the last one of a frame rq_arp or rq_icmp where it is for the responder and so far right
    output wire [511:0]       rq_data,
    output wire [63:0]        rq_keep,
    output wire               rq_valid,
    output wire               rq_first,
    output wire               rq_last,
    output wire               rq_want,      // with rq_first: may become a frame for it
    output wire               rq_arp,
    output wire               rq_icmp,
    output wire [10:0]        rq_bytes,     // of the frame, with rq_last; right up to 1,984, of a longer one 0 or more than 1,984
    output wire               rq_whole,     // no gap in tkeep, with rq_last
    input  wire               rs_arp,       // one pulse per frame left to it, of one of the five
    input  wire               rs_icmp,
    input  wire [2:0]         rs_cause,     // 18, 19, 20

    input  wire               cfg_we,
    input  wire [27:0]        cfg_addr,
    input  wire [88:0]        cfg_data,

    output wire [31*32-1:0]   sts_count,
    output wire               sts_busy
);

localparam CELL_W = $clog2(CELLS);

generate
if (PEERS_N < 2 || PEERS_N > 64 || (1 << PEER_W) != PEERS_N) begin : g_peers
    PARAM_ERROR_net_eth_rx_PEERS_N_power_of_two_to_64 u_err ();
end
if (CELLS < 2 || CELLS > 256 || (1 << CELL_W) != CELLS) begin : g_cells
    PARAM_ERROR_net_eth_rx_CELLS_power_of_two_to_256 u_err ();
end
if (UDP_PORT < 1 || UDP_PORT > 65535) begin : g_port
    PARAM_ERROR_net_eth_rx_UDP_PORT_1_to_65535 u_err ();
end
endgenerate

// ---- p1 to p3: checks without state

wire              c_valid, c_first, c_last, c_epochs, c_empty, c_arp, c_icmp, c_whole, check_busy;
wire [511:0]      c_data;
wire [63:0]       c_keep;
wire [4:0]        c_beat;
wire [10:0]       c_bytes;
wire [4:0]        c_type;
wire [7:0]        c_credit;
wire [143:0]      c_head;
wire [PEER_W-1:0] c_node;
wire [12:0]       c_causes;
wire [23:0]       n_seq;

net_rx_check #(.PEERS_N(PEERS_N), .UDP_PORT(UDP_PORT)) u_check (
    .clk(clk), .rst(rst), .id_mac(id_mac), .id_ip(id_ip),
    .mac_rx_tdata(mac_rx_tdata), .mac_rx_tkeep(mac_rx_tkeep), .mac_rx_tlast(mac_rx_tlast), .mac_rx_tvalid(mac_rx_tvalid), .mac_rx_tuser(mac_rx_tuser),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data[80:0]),
    .c_valid(c_valid), .c_first(c_first), .c_last(c_last), .c_data(c_data), .c_keep(c_keep), .c_beat(c_beat), .c_bytes(c_bytes), .c_whole(c_whole),
    .c_type(c_type), .c_credit(c_credit), .c_head(c_head), .c_epochs(c_epochs), .c_node(c_node), .n_node(lk_peer), .n_seq(n_seq),
    .c_empty(c_empty), .c_causes(c_causes), .c_arp(c_arp), .c_icmp(c_icmp), .sts_busy(check_busy)
);

// ---- p3: the verdict at the last beat. Byte 46 + i of the frame is c_head[8*i +: 8]

wire        full, release_valid;
wire [PEER_W-1:0] release_peer;
wire [23:0] seq      = {c_head[23:16], c_head[31:24], c_head[39:32]};
wire        next, behind;   // it is the number expected, one before it
wire        clean    = (c_causes == 13'd0);
wire        finish   = c_valid && c_last;
wire        known    = finish && clean && !c_arp && !c_icmp;
wire        data     = (c_type == 5'd0);
wire        right    = ({ev_epoch, ev_ack_epoch} == {lk_theirs, lk_mine}) && c_epochs;
wire        hello    = (c_type == 5'd3) || (c_type == 5'd4);
wire        fits     = right && !c_empty && !full;
wire        accept   = known && data && fits && next;
wire        gap      = known && data && fits && !behind && !next;
wire        dup      = known && data && fits && behind;

assign ev_valid     = known;
assign ev_peer      = c_node;
assign ev_type      = c_type;
assign ev_credit    = c_credit;
assign ev_epoch     = c_head[7:0];
assign ev_ack_epoch = c_head[15:8];
assign ev_ack       = {c_head[47:40], c_head[55:48], c_head[63:56]};
assign ev_right     = right;

net_rx_peers #(.PEERS_N(PEERS_N), .COUNT_W(CELL_W + 1)) u_peers (
    .clk(clk), .rst(rst),
    .n_peer(lk_peer), .n_seq(n_seq), .ev_peer(c_node), .ev_seq(seq), .ev_next(next), .ev_behind(behind), .ev_right(known && right),
    .ev_accept(accept), .ev_gap(gap), .ev_dup(dup),
    .release_valid(release_valid), .release_peer(release_peer),
    .link_reset(link_reset), .link_reset_peer(link_reset_peer),
    .hd_peer(hd_peer), .hd_expected(hd_expected), .hd_credit(hd_credit), .hd_none(hd_none),
    .hd_sent(hd_sent), .hd_sent_peer(hd_sent_peer), .hd_sent_nack(hd_sent_nack),
    .ack_due(ack_due), .nack_due(nack_due),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_value(cfg_data[23:0]), .cfg_quota(cfg_data[88:81])
);

wire [CELL_W:0] peak;
wire            cells_busy;

net_rx_cells #(.CELLS(CELLS), .PEER_W(PEER_W)) u_cells (
    .clk(clk), .rst(rst),
    .c_valid(c_valid), .c_first(c_first), .c_last(c_last), .c_data(c_data), .c_keep(c_keep), .c_beat(c_beat), .c_user(c_head[143:64]),
    .c_peer(c_node),
    .accept(accept), .full(full), .release_valid(release_valid), .release_peer(release_peer),
    .m_axis_tdata(m_axis_tdata), .m_axis_tkeep(m_axis_tkeep), .m_axis_tuser(m_axis_tuser), .m_axis_tlast(m_axis_tlast),
    .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready),
    .sts_peak(peak), .sts_busy(cells_busy)
);

assign rq_data  = c_data;
assign rq_keep  = c_keep;
assign rq_valid = c_valid;
assign rq_first = c_first;
assign rq_last  = c_last;
assign rq_want  = c_arp || c_icmp;
assign rq_arp   = finish && clean && c_arp;
assign rq_icmp  = finish && clean && c_icmp;
assign rq_bytes = c_bytes;
assign rq_whole = c_whole;

// ---- p4: all causes and kinds; p5: the one fate of the frame; then the counters

localparam FATES  = 23;     // causes 0 to 17, data, ack, nack, hello, hello-ack
localparam FATE_W = FATES + 5;

reg  [17:0]           p4_causes_reg;
reg  [4:0]            p4_kind_reg;
reg                   p4_valid_reg;
reg  [4:0]            p4_beats_reg, p5_beats_reg;
reg  [FATE_W-1:0]     p5_fate_reg;      // above the frame's: ICMP and ARP answered, 20 to 18
wire [17:0]           first_cause = p4_causes_reg & (~p4_causes_reg + 18'd1);
reg  [FATE_W*32-1:0]  fate_count_reg;
reg  [31:0]           frames_reg, beats_reg;
reg  [1:0]            p5_frames_reg;    // frames whose fate it is: one that was judged here, one that was left to the responder
integer               f;

always @(posedge clk) begin
    // one of the responder's is counted when the responder has judged it
    p4_valid_reg  <= finish && !(clean && (c_arp || c_icmp));
    p4_causes_reg <= {data && behind, data && !next && !behind, data && full, data && c_empty, !hello && !right, c_causes};
    p4_kind_reg   <= {c_type == 5'd4, c_type == 5'd3, c_type == 5'd2, c_type == 5'd1, data};
    p4_beats_reg  <= c_beat;
    p5_fate_reg   <= {rs_cause, rs_icmp, rs_arp, {FATES{1'b0}}};
    p5_frames_reg <= {1'b0, p4_valid_reg} + {1'b0, {rs_cause, rs_icmp, rs_arp} != 5'd0};
    if (p4_valid_reg) p5_fate_reg[FATES-1:0] <= {(p4_causes_reg == 18'd0) ? p4_kind_reg : 5'd0, first_cause};
    p5_beats_reg  <= p4_beats_reg;
    frames_reg    <= frames_reg + {30'd0, p5_frames_reg};
    if (p5_fate_reg[18]) beats_reg <= beats_reg + {27'd0, p5_beats_reg};
    for (f = 0; f < FATE_W; f = f + 1) begin
        if (p5_fate_reg[f]) fate_count_reg[32*f +: 32] <= fate_count_reg[32*f +: 32] + 1'b1;
    end
    if (rst) begin
        p4_valid_reg   <= 1'b0;
        p5_fate_reg    <= {FATE_W{1'b0}};
        p5_frames_reg  <= 2'd0;
        fate_count_reg <= {FATE_W*32{1'b0}};
        frames_reg     <= 32'd0;
        beats_reg      <= 32'd0;
    end
end

assign sts_count = {fate_count_reg[32*25 +: 96], fate_count_reg[0 +: 32*18],    // causes 20 to 18, 17 to 0
                    fate_count_reg[32*23 +: 64],                                // ICMP, ARP answered
                    {(31-CELL_W){1'b0}}, peak,
                    fate_count_reg[32*19 +: 128],                               // hello-acks, hellos, nacks, acks
                    beats_reg, fate_count_reg[32*18 +: 32], frames_reg};
assign sts_busy  = check_busy || cells_busy || p4_valid_reg || (p5_frames_reg != 2'd0);

endmodule

`resetall
