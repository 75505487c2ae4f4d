// SPDX-License-Identifier: Apache-2.0
// Frames of the sending side: header, payload, control frames, the responder's frames. Part of net_eth_tx. Fields: docs/frame-format.md.
//
// Between frames the responder comes first, then control, then data. The header is made in one cycle from what is true in that cycle: epochs
// (lk_hd_*), acknowledged and credit (hd_*; the credit is written into the header one cycle later). A frame, once begun, has no gap (its payload is
// stored, the responder's too). Control frames are 64 bytes with sequence number and message bytes 0; of a peer that is owed several: hello-ack,
// hello, nack, ack. IPv4 checksum = ones' complement of the ones' complement sum of the header's half-words; what does not depend on the length is
// added up before the header is made.
// No data header is made in the cycle of a link reset; data frames of kill_peer whose header is not made are forgotten.
//
// Latency send_valid -> header at mac_tx 3 cycles, due -> header 6; one beat a cycle, no idle cycle between frames while they come every cycle.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_tx_frame #(
    parameter PEERS_N  = 64,                // peers. Requires a power of two, 2 to 64
    parameter CELLS    = 128,               // message cells. Requires a power of two, at least 2
    parameter WINDOW_N = 64,                // messages queued for a peer. Requires a power of two, 2 to 64
    parameter UDP_PORT = 17996,             // both ports of a frame. Requires 1 to 65,535
    parameter PEER_W   = $clog2(PEERS_N),   // not to be set
    parameter CELL_W   = $clog2(CELLS),     // not to be set
    parameter RING_W   = $clog2(WINDOW_N)   // not to be set
) (
    input  wire                clk,
    input  wire                rst,
    input  wire [15:0]         id_node,
    input  wire [47:0]         id_mac,
    input  wire [31:0]         id_ip,

    input  wire                load_valid,      // the peer of the next data frame
    input  wire [PEER_W-1:0]   load_peer,
    input  wire                send_valid,      // a data frame of it, and its cell. Requires send_ready, and neither kill_valid nor link_reset for
                                                // its peer
    input  wire [PEER_W-1:0]   send_peer,
    input  wire [23:0]         send_position,
    output wire                send_ready,
    input  wire [CELL_W-1:0]   get_cell,
    input  wire                kill_valid,
    input  wire [PEER_W-1:0]   kill_peer,
    input  wire                link_reset,
    output wire [PEER_W-1:0]   base_peer,
    input  wire [23:0]         base,
    output wire                sent_valid,      // a data header is made
    output wire [PEER_W-1:0]   sent_peer,
    output wire [23:0]         sent_position,
    output wire [2:0]          busy_valid,      // data frames that still need their cell
    output wire [3*PEER_W-1:0] busy_peer,
    output wire [3*RING_W-1:0] busy_place,

    output wire [CELL_W-1:0]   info_cell,
    input  wire [79:0]         info_user,
    input  wire [10:0]         info_bytes,
    output wire                rd_en,
    output wire [CELL_W-1:0]   rd_cell,
    output wire [3:0]          rd_beat,
    input  wire [511:0]        rd_data,

    input  wire [PEERS_N-1:0]  ack_due,
    input  wire [PEERS_N-1:0]  nack_due,
    input  wire [PEERS_N-1:0]  hello_due,
    input  wire [PEERS_N-1:0]  helloack_due,
    output wire [PEER_W-1:0]   hd_peer,
    input  wire [23:0]         hd_expected,
    input  wire [7:0]          hd_credit,       // 0 where hd_none
    input  wire                hd_none,
    input  wire [7:0]          lk_hd_mine,
    input  wire [7:0]          lk_hd_theirs,
    output wire                hd_sent,
    output wire [4:0]          hd_sent_type,
    output wire                hd_sent_nack,    // hd_sent, and it is a nack

    input  wire [511:0]        rp_axis_tdata,
    input  wire [63:0]         rp_axis_tkeep,
    input  wire                rp_axis_tlast,
    input  wire                rp_axis_tvalid,
    output wire                rp_axis_tready,

    output wire [511:0]        mac_tx_tdata,
    output wire [63:0]         mac_tx_tkeep,
    output wire                mac_tx_tlast,
    output wire                mac_tx_tvalid,
    input  wire                mac_tx_tready,

    input  wire                cfg_we,
    input  wire [27:0]         cfg_addr,
    input  wire [80:0]         cfg_data,

    output wire [PEERS_N-1:0]  known,           // PEER entries that are valid
    output wire                sts_payload,     // pulses: a payload beat is sent, a frame of the responder is
    output wire                sts_responder,
    output wire                sts_busy
);

localparam [15:0] PORT16 = UDP_PORT;
localparam [4:0]  TYPE_DATA = 5'd0, TYPE_ACK = 5'd1, TYPE_NACK = 5'd2, TYPE_HELLO = 5'd3, TYPE_HELLO_ACK = 5'd4;

generate
if (PEERS_N < 2 || PEERS_N > 64 || (1 << PEER_W) != PEERS_N) begin : g_peers
    PARAM_ERROR_net_tx_frame_PEERS_N_power_of_two_to_64 u_err ();
end
if (UDP_PORT < 1 || UDP_PORT > 65535) begin : g_port
    PARAM_ERROR_net_tx_frame_UDP_PORT_1_to_65535 u_err ();
end
endgenerate

// ones' complement sum of two half-words
function [15:0] add_ones(input [15:0] a, input [15:0] b);
    reg [16:0] sum;
    begin
        sum      = {1'b0, a} + {1'b0, b};
        add_ones = sum[15:0] + {15'd0, sum[16]};
    end
endfunction

// the wire's byte 0 is the top byte of `be` and the lowest of the result
function [511:0] reverse_bytes(input [511:0] be);
    integer b;
    for (b = 0; b < 64; b = b + 1) reverse_bytes[8*b +: 8] = be[8*(63-b) +: 8];
endfunction

function [79:0] wire_order(input [79:0] user);
    integer b;
    for (b = 0; b < 10; b = b + 1) wire_order[8*b +: 8] = user[8*(9-b) +: 8];
endfunction

// tkeep of a last beat with n bytes, 0 for 64: b < n bit by bit, a table of six inputs and no carry chain
function [63:0] keep_of(input [5:0] n);
    integer b, k;
    reg     less;
    for (b = 0; b < 64; b = b + 1) begin
        less = 1'b0;
        for (k = 0; k < 6; k = k + 1) less = b[k] ? (n[k] && less) : (n[k] || less);
        keep_of[b] = (n == 6'd0) || less;
    end
endfunction

// ---- peers: address, and the ones' complement sum of its IPv4 address's halves; written one cycle late

reg [PEERS_N-1:0] known_reg;
reg               cfg_peer_reg;
reg [PEER_W-1:0]  cfg_index_reg;
reg [80:0]        cfg_entry_reg;
wire [PEER_W-1:0] c1_peer;
wire [79:0]       d_entry, c_entry;
wire [15:0]       d_sum, c_sum;
wire [95:0]       cfg_entry = {add_ones(cfg_entry_reg[79:64], cfg_entry_reg[63:48]), cfg_entry_reg[79:0]};

assign known = known_reg;

axis_lutram #(.DATA_W(96), .DEPTH(PEERS_N)) u_peer_data (
    .clk(clk), .wr_en(cfg_peer_reg), .wr_addr(cfg_index_reg), .wr_data(cfg_entry), .rd_addr(load_peer), .rd_data({d_sum, d_entry})
);

axis_lutram #(.DATA_W(96), .DEPTH(PEERS_N)) u_peer_control (
    .clk(clk), .wr_en(cfg_peer_reg), .wr_addr(cfg_index_reg), .wr_data(cfg_entry), .rd_addr(c1_peer), .rd_data({c_sum, c_entry})
);

// the half-words that are the same in every header, length of an empty frame included; static, so it may settle slowly
reg [15:0] own_ip_reg;
reg [15:0] own_sum_reg;

// ---- data: p2 addresses are known, w (only where p3 is not free) waits, p3 everything is known

reg                p3_valid_reg;
reg [PEER_W-1:0]   p3_peer_reg;
reg [23:0]         p3_position_reg, p3_seq_reg;
reg [79:0]         p2_entry_reg, p3_entry_reg;
reg [15:0]         p2_sum_reg;
reg                w_valid_reg, w_free_reg;     // w_free_reg: not w_valid_reg
reg [PEER_W-1:0]   w_peer_reg;
reg [23:0]         w_position_reg;
reg [79:0]         w_entry_reg;
reg [15:0]         w_sum_reg;
reg [CELL_W-1:0]   w_cell_reg;
reg [CELL_W-1:0]   p3_cell_reg;
reg [79:0]         p3_user_reg;
reg [10:0]         p3_bytes_reg;
reg                p3_some_reg;     // p3_bytes_reg is not 0
reg [15:0]         p3_sum_reg;      // without the length

wire d_go;
wire p3_free = !p3_valid_reg || d_go;
wire p3_kill = kill_valid && p3_peer_reg == kill_peer;
wire w_kill  = kill_valid && w_peer_reg == kill_peer;
wire w_keeps = w_valid_reg && !w_kill;
wire w_wait  = p3_free ? 1'b0 : w_keeps || send_valid;
wire [PEER_W-1:0] in_peer     = w_valid_reg ? w_peer_reg : send_peer;
wire [23:0]       in_position = w_valid_reg ? w_position_reg : send_position;
wire [CELL_W-1:0] in_cell     = w_valid_reg ? w_cell_reg : get_cell;

assign send_ready = w_free_reg;
assign base_peer  = in_peer;
assign info_cell  = in_cell;

// ---- control: c1 a peer, c2 addresses, c3 the type

reg              c2_valid_reg, c3_valid_reg, c3_nack_reg;
reg [PEERS_N-1:0] asks_reg;      // peers that are owed something
reg [PEER_W-1:0] c2_peer_reg;
reg [79:0]       c2_entry_reg, c3_entry_reg;
reg [4:0]        c3_type_reg;
reg [15:0]       c2_sum_reg, c3_sum_reg;
reg [2:0]        settle_reg;    // what was sent is still seen in asks_reg, while it is not 0
reg              settled_reg;

wire c_go;
wire c1_valid;
wire c3_free = !c3_valid_reg || c_go;
wire c2_free = !c2_valid_reg || c3_free;
wire [PEERS_N-1:0] due = helloack_due | hello_due | nack_due | ack_due;
wire c_any   = due[c2_peer_reg];

net_tx_pick #(.N(PEERS_N)) u_pick (
    .clk(clk), .rst(rst), .req(asks_reg),
    .reload(!c1_valid && !c2_valid_reg && !c3_valid_reg && settled_reg), .m_index(c1_peer), .m_valid(c1_valid), .m_ready(c2_free)
);

// ---- header

reg                pay_active_reg, rp_active_reg;
reg                idle_reg;        // neither
reg                out_valid_reg, out_header_reg, out_last_reg;
reg [63:0]         out_keep_reg;
reg [511:0]        header_reg;      // or a beat of the responder
reg                made_reg;        // it is a header, and lacks the credit
reg [7:0]          credit_reg;
reg                none_reg;
reg [PEER_W-1:0]   h_peer_reg;      // that of c3, else of p3
reg [PEER_W-1:0]   pay_peer_reg;
reg [RING_W-1:0]   pay_place_reg;
reg [CELL_W-1:0]   pay_cell_reg;
reg [3:0]          pay_beat_reg, pay_left_reg;
reg [63:0]         pay_keep_reg;

wire         out_ready;
wire         advance  = !out_valid_reg || out_ready;
wire         start    = advance && idle_reg && !rp_axis_tvalid;
wire         rp_go    = rp_axis_tvalid && rp_axis_tready;
wire         send_pay = pay_active_reg && advance;
wire         pay_last = (pay_left_reg == 4'd0);
wire         pay_next = pay_active_reg ? !(advance && pay_last) : (d_go && p3_some_reg);
wire         rp_next  = rp_go ? !rp_axis_tlast : rp_active_reg;

assign rp_axis_tready = advance && !pay_active_reg;
assign c_go           = start && c3_valid_reg;
assign d_go           = start && !c3_valid_reg && p3_valid_reg && !link_reset;

wire [79:0]  h_entry   = c3_valid_reg ? c3_entry_reg : p3_entry_reg;
wire [4:0]   h_type    = c3_valid_reg ? c3_type_reg : TYPE_DATA;
wire [10:0]  h_bytes   = c3_valid_reg ? 11'd0 : p3_bytes_reg;
wire [16:0]  h_sum     = {1'b0, p3_sum_reg} + {6'd0, p3_bytes_reg};
wire [15:0]  h_fold    = h_sum[15:0] + {15'd0, h_sum[16]};
wire [15:0]  h_check   = c3_valid_reg ? ~c3_sum_reg : ~h_fold;
wire [511:0] h_data    = reverse_bytes({
    h_entry[47:0], id_mac, 16'h0800,
    16'h4500, {5'd0, h_bytes} + 16'd50, 16'h0000, 16'h4000, 16'h4011, h_check, id_ip, h_entry[79:48],
    PORT16, PORT16, {5'd0, h_bytes} + 16'd30, 16'h0000,
    3'd1, h_type, 8'd0, id_node, lk_hd_mine, lk_hd_theirs, c3_valid_reg ? 24'd0 : p3_seq_reg, hd_expected,
    c3_valid_reg ? 80'd0 : wire_order(p3_user_reg)});
// beats of the payload, less one
wire [10:0]  p3_beats  = p3_bytes_reg - 11'd1;
wire         unused    = &{1'b0, cfg_addr[15:PEER_W], p3_beats[10], p3_beats[5:0]};

assign hd_peer       = h_peer_reg;
assign hd_sent       = c_go || d_go;
assign hd_sent_type  = h_type;
assign hd_sent_nack  = c_go && c3_nack_reg;
assign sent_valid    = d_go;
assign sent_peer     = p3_peer_reg;
assign sent_position = p3_position_reg;
assign busy_valid    = {pay_active_reg, p3_valid_reg, w_valid_reg};
assign busy_peer     = {pay_peer_reg, p3_peer_reg, w_peer_reg};
assign busy_place    = {pay_place_reg, p3_position_reg[RING_W-1:0], w_position_reg[RING_W-1:0]};
assign rd_en         = send_pay;
assign rd_cell       = pay_cell_reg;
assign rd_beat       = pay_beat_reg;
assign sts_payload   = send_pay;
assign sts_responder = rp_go && rp_axis_tlast;
assign sts_busy      = w_valid_reg || p3_valid_reg || c1_valid || c2_valid_reg || c3_valid_reg || pay_active_reg || rp_active_reg || out_valid_reg
                       || mac_tx_tvalid;

// byte 43
wire [511:0] header = {header_reg[511:352], (made_reg && !none_reg) ? credit_reg : header_reg[351:344], header_reg[343:0]};

axis_skid #(.DATA_W(577)) u_skid (
    .clk(clk), .rst(rst),
    .s_axis_tdata({out_last_reg, out_keep_reg, out_header_reg ? header : rd_data}),
    .s_axis_tvalid(out_valid_reg), .s_axis_tready(out_ready),
    .m_axis_tdata({mac_tx_tlast, mac_tx_tkeep, mac_tx_tdata}), .m_axis_tvalid(mac_tx_tvalid), .m_axis_tready(mac_tx_tready)
);

always @(posedge clk) begin
    cfg_peer_reg  <= cfg_we && cfg_addr[27:16] == {4'd1, 8'd0};
    cfg_index_reg <= cfg_addr[PEER_W-1:0];
    cfg_entry_reg <= cfg_data;
    if (cfg_peer_reg) known_reg[cfg_index_reg] <= cfg_entry_reg[80];
    // 0x4500 + 0x4000 + 0x4011 + 50 + both halves of the own address
    own_ip_reg  <= add_ones(id_ip[31:16], id_ip[15:0]);
    own_sum_reg <= add_ones(16'hc543, own_ip_reg);

    // data
    if (load_valid) begin
        p2_entry_reg <= d_entry;
        p2_sum_reg   <= d_sum;
    end
    if (p3_free) begin
        p3_valid_reg    <= w_keeps || send_valid;
        p3_peer_reg     <= in_peer;
        p3_position_reg <= in_position;
        p3_seq_reg      <= in_position - base;
        p3_entry_reg    <= w_valid_reg ? w_entry_reg : p2_entry_reg;
        p3_cell_reg     <= in_cell;
        p3_user_reg     <= info_user;
        p3_bytes_reg    <= info_bytes;
        p3_some_reg     <= (info_bytes != 11'd0);
        p3_sum_reg      <= add_ones(own_sum_reg, w_valid_reg ? w_sum_reg : p2_sum_reg);
    end else if (p3_kill) begin
        p3_valid_reg    <= 1'b0;
    end
    w_valid_reg <= w_wait;
    w_free_reg  <= !w_wait;
    if (w_free_reg) begin
        w_peer_reg     <= send_peer;
        w_position_reg <= send_position;
        w_entry_reg    <= p2_entry_reg;
        w_sum_reg      <= p2_sum_reg;
        w_cell_reg     <= get_cell;
    end

    // control
    if (c2_free) begin
        c2_valid_reg <= c1_valid;
        c2_peer_reg  <= c1_peer;
        c2_entry_reg <= c_entry;
        c2_sum_reg   <= c_sum;
    end
    if (c3_free) begin
        c3_valid_reg <= c2_valid_reg && c_any;
        c3_entry_reg <= c2_entry_reg;
        c3_sum_reg   <= add_ones(own_sum_reg, c2_sum_reg);
        c3_nack_reg  <= !helloack_due[c2_peer_reg] && !hello_due[c2_peer_reg] && nack_due[c2_peer_reg];
        c3_type_reg  <= helloack_due[c2_peer_reg] ? TYPE_HELLO_ACK : hello_due[c2_peer_reg] ? TYPE_HELLO
                        : nack_due[c2_peer_reg] ? TYPE_NACK : TYPE_ACK;
    end
    if (c3_free ? c2_valid_reg && c_any : c3_valid_reg) begin
        if (c3_free) h_peer_reg <= c2_peer_reg;
    end else begin
        h_peer_reg <= p3_free ? in_peer : p3_peer_reg;
    end
    asks_reg <= due & known_reg;
    if (c_go)              settle_reg <= 3'd4;
    else if (!settled_reg) settle_reg <= settle_reg - 3'd1;
    settled_reg <= !c_go && (settled_reg || settle_reg == 3'd1);

    // out. What does not count is loaded where that needs no choice
    if (advance) begin
        header_reg <= rp_axis_tvalid ? rp_axis_tdata : h_data;
        made_reg   <= !rp_axis_tvalid;
        credit_reg <= hd_credit;
        none_reg   <= hd_none;
    end
    pay_active_reg <= pay_next;
    rp_active_reg  <= rp_next;
    idle_reg       <= !pay_next && !rp_next;
    if (!pay_active_reg) begin
        pay_peer_reg   <= p3_peer_reg;
        pay_place_reg  <= p3_position_reg[RING_W-1:0];
        pay_cell_reg   <= p3_cell_reg;
        pay_beat_reg   <= 4'd0;
        pay_left_reg   <= p3_beats[9:6];
        pay_keep_reg   <= keep_of(p3_bytes_reg[5:0]);
    end else if (advance) begin
        pay_beat_reg   <= pay_beat_reg + 4'd1;
        pay_left_reg   <= pay_left_reg - 4'd1;
    end
    if (advance) begin
        out_valid_reg  <= c_go || d_go || rp_go || pay_active_reg;
        out_header_reg <= !pay_active_reg;
        out_last_reg   <= pay_active_reg ? pay_last : rp_axis_tvalid ? rp_axis_tlast : (c3_valid_reg || !p3_some_reg);
        out_keep_reg   <= pay_active_reg ? (pay_keep_reg | {64{!pay_last}}) : (rp_axis_tkeep | {64{!rp_axis_tvalid}});
    end

    if (rst) begin
        known_reg      <= {PEERS_N{1'b0}};
        cfg_peer_reg   <= 1'b0;
        w_valid_reg    <= 1'b0;
        w_free_reg     <= 1'b1;
        p3_valid_reg   <= 1'b0;
        asks_reg       <= {PEERS_N{1'b0}};
        c2_valid_reg   <= 1'b0;
        c3_valid_reg   <= 1'b0;
        settle_reg     <= 3'd0;
        settled_reg    <= 1'b1;
        idle_reg       <= 1'b1;
        pay_active_reg <= 1'b0;
        rp_active_reg  <= 1'b0;
        out_valid_reg  <= 1'b0;
    end
end

endmodule

`resetall
