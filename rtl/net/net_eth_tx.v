// SPDX-License-Identifier: Apache-2.0
// Sending side of the Ethernet port: nothing is lost. Rules: docs/transport.md; frames: docs/frame-format.md.
//
//   net_tx_store (cells) -> net_tx_queue (queue of each peer) -> net_tx_window (what may be sent) -> net_tx_pick (turns) -> net_tx_frame -> MAC
//
// A message is stored once and sent to each of its peers; its cell is free when all of them have acknowledged it or are failed. The epochs are
// kept by net_link, which also checks the acknowledgements (ev_*: only those with ev_right count) and runs the timers.
// Dropped and counted: a message for no node; a malformed one (see net_tx_store). Discarded and counted, per peer: for an unknown or failed peer;
// what was sent at least once when a link is reset.
//
// Latency last beat in -> header at mac_tx 9 cycles where nothing waits; ev_valid -> first frame it allows at mac_tx 14; ack_due -> ack at mac_tx 7.
// One beat a cycle: header and payload without gap, no idle cycle between the frames of waiting messages, acknowledgements coming in or not.
// Depth: CELLS messages of 16 beats of 512 bits in all, WINDOW_N a peer; tables of PEERS_N entries are LUT memory, flags are vectors.
// tready falls between messages while no cell is free. s_axis_room, for net_switch: 8 cells and more are free (all, where there are fewer than 8),
// two cycles ago: a source that begins at most 7 messages after the one with which it falls is never refused. The messages of a peer keep their
// order.
//
// Configuration: memory 0 PEERS[kernel; 256 + another cluster] {peers 64}, memory 1 PEER[node number] {mac 48, ip 32, valid 1, quota 8}, a peer's
// index being its node number modulo PEERS_N. Reset clears both.
// sts_count: messages in, data frames sent, of these sent again, payload beats sent, acks, nacks, hellos, hello-acks, frames of the responder,
// messages dropped for no node, malformed, copies discarded, 0, go-backs by nack, most cells in use, cycles an offered beat was refused.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_eth_tx #(
    parameter PEERS_N  = 64,                // peers. Requires a power of two, 2 to 64
    parameter CELLS    = 128,               // message cells. Requires a power of two, at least 2
    parameter WINDOW_N = 64,                // messages queued for a peer. Requires a power of two, 2 to 64
    parameter UDP_PORT = 17996,             // both ports of a frame. Requires 1 to 65,535
    parameter PEER_W   = $clog2(PEERS_N)    // not to be set
) (
    input  wire               clk,
    input  wire               rst,
    input  wire [15:0]        id_node,
    input  wire [47:0]        id_mac,
    input  wire [31:0]        id_ip,
    input  wire [7:0]         id_cluster,

    input  wire [511:0]       s_axis_tdata,
    input  wire [63:0]        s_axis_tkeep,
    input  wire [79:0]        s_axis_tuser,
    input  wire               s_axis_tlast,
    input  wire               s_axis_tvalid,
    output wire               s_axis_tready,
    output reg                s_axis_room,

    // with net_eth_rx: docs/transport.md, section 7
    output wire [PEER_W-1:0]  hd_peer,
    input  wire [23:0]        hd_expected,
    input  wire [7:0]         hd_credit,        // 0 where hd_none
    input  wire               hd_none,
    output wire               hd_sent,
    output wire [PEER_W-1:0]  hd_sent_peer,
    output wire               hd_sent_nack,
    input  wire [PEERS_N-1:0] ack_due,
    input  wire [PEERS_N-1:0] nack_due,

    // with net_link
    input  wire               ev_valid,
    input  wire [PEER_W-1:0]  ev_peer,
    input  wire [4:0]         ev_type,
    input  wire [23:0]        ev_ack,
    input  wire [7:0]         ev_credit,
    input  wire               ev_right,
    output wire [PEER_W-1:0]  lk_hd_peer,       // answered in the same cycle
    input  wire [7:0]         lk_hd_mine,
    input  wire [7:0]         lk_hd_theirs,
    input  wire [PEERS_N-1:0] up,
    input  wire [PEERS_N-1:0] discard,          // failed. Requires that it rises in the cycle of link_reset
    input  wire               link_reset,       // pulse. Requires that epochs and up have changed in this cycle
    input  wire [PEER_W-1:0]  link_reset_peer,
    input  wire [PEERS_N-1:0] hello_due,
    input  wire [PEERS_N-1:0] helloack_due,
    output wire [4:0]         hd_sent_type,     // with hd_sent
    input  wire               goback_valid,
    input  wire [PEER_W-1:0]  goback_peer,
    output wire [PEERS_N-1:0] outstanding,      // frames are unacknowledged
    output wire [PEERS_N-1:0] waiting,          // messages wait for credit or for the link
    output wire               progress_valid,   // the acknowledged number or the limit has grown
    output wire [PEER_W-1:0]  progress_peer,

    input  wire [511:0]       rp_axis_tdata,
    input  wire [63:0]        rp_axis_tkeep,
    input  wire               rp_axis_tlast,
    input  wire               rp_axis_tvalid,
    output wire               rp_axis_tready,

    output wire [511:0]       mac_tx_tdata,
    output wire [63:0]        mac_tx_tkeep,
    output wire               mac_tx_tlast,
    output wire               mac_tx_tvalid,
    input  wire               mac_tx_tready,

    input  wire               cfg_we,
    input  wire [27:0]        cfg_addr,
    input  wire [88:0]        cfg_data,

    output wire [16*32-1:0]   sts_count,
    output wire [31:0]        sts_lost,         // messages and copies that no peer will get: no node, malformed, discarded
    output wire               sts_busy
);

localparam CELL_W = $clog2(CELLS);
localparam ROOM_LEVEL = (CELLS > 8) ? CELLS - 8 : 0;   // the switch has at most 8 messages under way, see net_switch
localparam RING_W = $clog2(WINDOW_N);

wire unused = &{1'b0, cfg_data[88:81]};

// ---- cells and queues

wire [CELL_W-1:0]   put_cell, close_cell, rel_cell, get_cell, info_cell, rd_cell;
wire [PEERS_N-1:0]  put_peers, known, ready;
wire                put_request, put_request_ready, put_drop, put_valid, close_valid, rel_valid, rel_ready, moved_valid, rd_en;
wire [PEER_W-1:0]   put_peer, una_peer, moved_peer, pick_peer, send_peer, kill_peer, base_peer, sent_peer;
wire [RING_W:0]     una;
wire [6:0]          close_n, discarded;
wire [79:0]         info_user;
wire [10:0]         info_bytes;
wire [3:0]          rd_beat;
wire [511:0]        rd_data;
wire [2:0]          busy_valid;
wire [3*PEER_W-1:0] busy_peer;
wire [3*RING_W-1:0] busy_place;
wire [RING_W-1:0]   load_place;
wire [RING_W:0]     put_tail;
wire [23:0]         send_position, base, sent_position;
wire                pick_valid, pick_ready, load_valid, send_valid, send_ready, kill_valid, sent_valid, sent_again;
wire                message, malformed, no_node, skipped, back, payload, responder, store_busy, queue_busy, frame_busy;
wire [CELL_W:0]     used;

net_tx_store #(.PEERS_N(PEERS_N), .CELLS(CELLS)) u_store (
    .clk(clk), .rst(rst), .id_cluster(id_cluster),
    .s_axis_tdata(s_axis_tdata), .s_axis_tkeep(s_axis_tkeep), .s_axis_tuser(s_axis_tuser), .s_axis_tlast(s_axis_tlast),
    .s_axis_tvalid(s_axis_tvalid), .s_axis_tready(s_axis_tready),
    .m_cell(put_cell), .m_peers(put_peers), .m_drop(put_drop), .m_valid(put_request), .m_ready(put_request_ready),
    .close_valid(close_valid), .close_cell(close_cell), .close_n(close_n), .rel_valid(rel_valid), .rel_cell(rel_cell), .rel_ready(rel_ready),
    .info_cell(info_cell), .info_user(info_user), .info_bytes(info_bytes),
    .rd_en(rd_en), .rd_cell(rd_cell), .rd_beat(rd_beat), .rd_data(rd_data),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data[PEERS_N-1:0]),
    .sts_message(message), .sts_malformed(malformed), .sts_used(used), .sts_busy(store_busy)
);

net_tx_queue #(.PEERS_N(PEERS_N), .CELLS(CELLS), .WINDOW_N(WINDOW_N)) u_queue (
    .clk(clk), .rst(rst),
    .s_cell(put_cell), .s_peers(put_peers), .s_valid(put_request), .s_ready(put_request_ready), .s_drop(put_drop), .known(known), .discard(discard),
    .link_reset(link_reset), .put_valid(put_valid), .put_peer(put_peer), .put_tail(put_tail),
    .get_en(load_valid), .get_peer(pick_peer), .get_place(load_place), .get_cell(get_cell),
    .moved_valid(moved_valid), .moved_peer(moved_peer), .una_peer(una_peer), .una(una),
    .busy_valid(busy_valid), .busy_peer(busy_peer), .busy_place(busy_place),
    .close_valid(close_valid), .close_cell(close_cell), .close_n(close_n), .rel_valid(rel_valid), .rel_cell(rel_cell), .rel_ready(rel_ready),
    .sts_no_node(no_node), .sts_skipped(skipped), .sts_busy(queue_busy)
);

// ---- what may be sent, and to whom next

net_tx_window #(.PEERS_N(PEERS_N), .WINDOW_N(WINDOW_N)) u_window (
    .clk(clk), .rst(rst),
    .ev_valid(ev_valid && ev_right), .ev_peer(ev_peer), .ev_nack(ev_type == 5'd2), .ev_ack(ev_ack), .ev_credit(ev_credit),
    .link_reset(link_reset), .link_reset_peer(link_reset_peer), .up(up), .discard(discard),
    .goback_valid(goback_valid), .goback_peer(goback_peer), .progress_valid(progress_valid), .progress_peer(progress_peer),
    .outstanding(outstanding), .waiting(waiting),
    .put_valid(put_valid), .put_peer(put_peer), .put_tail(put_tail), .una_peer(una_peer), .una(una), .moved_valid(moved_valid),
    .moved_peer(moved_peer),
    .ready(ready), .pick_valid(pick_valid), .pick_peer(pick_peer), .pick_ready(pick_ready),
    .load_valid(load_valid), .load_place(load_place),
    .send_valid(send_valid), .send_peer(send_peer), .send_position(send_position), .send_ready(send_ready), .kill_valid(kill_valid),
    .kill_peer(kill_peer),
    .base_peer(base_peer), .base(base),
    .sent_valid(sent_valid), .sent_peer(sent_peer), .sent_position(sent_position), .sent_again(sent_again),
    .sts_back(back), .sts_discarded(discarded)
);

net_tx_pick #(.N(PEERS_N)) u_pick (
    .clk(clk), .rst(rst), .req(ready), .reload(1'b1), .m_index(pick_peer), .m_valid(pick_valid), .m_ready(pick_ready)
);

net_tx_frame #(.PEERS_N(PEERS_N), .CELLS(CELLS), .WINDOW_N(WINDOW_N), .UDP_PORT(UDP_PORT)) u_frame (
    .clk(clk), .rst(rst), .id_node(id_node), .id_mac(id_mac), .id_ip(id_ip),
    .load_valid(load_valid), .load_peer(pick_peer),
    .send_valid(send_valid), .send_peer(send_peer), .send_position(send_position), .send_ready(send_ready), .get_cell(get_cell),
    .kill_valid(kill_valid), .kill_peer(kill_peer), .link_reset(link_reset), .base_peer(base_peer), .base(base),
    .sent_valid(sent_valid), .sent_peer(sent_peer), .sent_position(sent_position),
    .busy_valid(busy_valid), .busy_peer(busy_peer), .busy_place(busy_place),
    .info_cell(info_cell), .info_user(info_user), .info_bytes(info_bytes), .rd_en(rd_en), .rd_cell(rd_cell), .rd_beat(rd_beat), .rd_data(rd_data),
    .ack_due(ack_due), .nack_due(nack_due), .hello_due(hello_due), .helloack_due(helloack_due),
    .hd_peer(hd_peer), .hd_expected(hd_expected), .hd_credit(hd_credit), .hd_none(hd_none), .lk_hd_mine(lk_hd_mine), .lk_hd_theirs(lk_hd_theirs),
    .hd_sent(hd_sent), .hd_sent_type(hd_sent_type), .hd_sent_nack(hd_sent_nack),
    .rp_axis_tdata(rp_axis_tdata), .rp_axis_tkeep(rp_axis_tkeep), .rp_axis_tlast(rp_axis_tlast),
    .rp_axis_tvalid(rp_axis_tvalid), .rp_axis_tready(rp_axis_tready),
    .mac_tx_tdata(mac_tx_tdata), .mac_tx_tkeep(mac_tx_tkeep), .mac_tx_tlast(mac_tx_tlast),
    .mac_tx_tvalid(mac_tx_tvalid), .mac_tx_tready(mac_tx_tready),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data[80:0]),
    .known(known), .sts_payload(payload), .sts_responder(responder), .sts_busy(frame_busy)
);

assign lk_hd_peer   = hd_peer;
assign hd_sent_peer = hd_peer;

// ---- counters: a pulse is counted one cycle later

reg        data_reg, again_reg, payload_reg, ack_reg, nack_reg, hello_reg, helloack_reg, responder_reg, refused_reg;
reg [31:0] n_message_reg, n_data_reg, n_again_reg, n_payload_reg, n_ack_reg, n_nack_reg, n_hello_reg, n_helloack_reg, n_responder_reg;
reg [31:0] n_no_node_reg, n_malformed_reg, n_discarded_reg, n_back_reg, n_refused_reg, lost_reg;
reg [CELL_W:0] peak_reg;

wire [31:0] discards = {25'd0, discarded} + {31'd0, skipped};

always @(posedge clk) begin
    data_reg      <= sent_valid;
    again_reg     <= sent_valid && sent_again;
    payload_reg   <= payload;
    ack_reg       <= hd_sent && hd_sent_type == 5'd1;
    nack_reg      <= hd_sent_nack;
    hello_reg     <= hd_sent && hd_sent_type == 5'd3;
    helloack_reg  <= hd_sent && hd_sent_type == 5'd4;
    responder_reg <= responder;
    refused_reg   <= s_axis_tvalid && !s_axis_tready;

    n_message_reg   <= n_message_reg   + {31'd0, message};
    n_data_reg      <= n_data_reg      + {31'd0, data_reg};
    n_again_reg     <= n_again_reg     + {31'd0, again_reg};
    n_payload_reg   <= n_payload_reg   + {31'd0, payload_reg};
    n_ack_reg       <= n_ack_reg       + {31'd0, ack_reg};
    n_nack_reg      <= n_nack_reg      + {31'd0, nack_reg};
    n_hello_reg     <= n_hello_reg     + {31'd0, hello_reg};
    n_helloack_reg  <= n_helloack_reg  + {31'd0, helloack_reg};
    n_responder_reg <= n_responder_reg + {31'd0, responder_reg};
    n_no_node_reg   <= n_no_node_reg   + {31'd0, no_node};
    n_malformed_reg <= n_malformed_reg + {31'd0, malformed};
    n_discarded_reg <= n_discarded_reg + discards;
    n_back_reg      <= n_back_reg      + {31'd0, back};
    n_refused_reg   <= n_refused_reg   + {31'd0, refused_reg};
    lost_reg        <= n_no_node_reg + n_malformed_reg + n_discarded_reg;
    if (used > peak_reg) peak_reg <= used;
    s_axis_room <= (used <= ROOM_LEVEL[CELL_W:0]);

    if (rst) begin
        s_axis_room     <= 1'b0;
        data_reg        <= 1'b0;
        again_reg       <= 1'b0;
        payload_reg     <= 1'b0;
        ack_reg         <= 1'b0;
        nack_reg        <= 1'b0;
        hello_reg       <= 1'b0;
        helloack_reg    <= 1'b0;
        responder_reg   <= 1'b0;
        refused_reg     <= 1'b0;
        n_message_reg   <= 32'd0;
        n_data_reg      <= 32'd0;
        n_again_reg     <= 32'd0;
        n_payload_reg   <= 32'd0;
        n_ack_reg       <= 32'd0;
        n_nack_reg      <= 32'd0;
        n_hello_reg     <= 32'd0;
        n_helloack_reg  <= 32'd0;
        n_responder_reg <= 32'd0;
        n_no_node_reg   <= 32'd0;
        n_malformed_reg <= 32'd0;
        n_discarded_reg <= 32'd0;
        n_back_reg      <= 32'd0;
        n_refused_reg   <= 32'd0;
        lost_reg        <= 32'd0;
        peak_reg        <= {(CELL_W+1){1'b0}};
    end
end

assign sts_count = {n_refused_reg, {(31-CELL_W){1'b0}}, peak_reg, n_back_reg, 32'd0, n_discarded_reg, n_malformed_reg, n_no_node_reg, n_responder_reg,
                    n_helloack_reg, n_hello_reg, n_nack_reg, n_ack_reg, n_payload_reg, n_again_reg, n_data_reg, n_message_reg};
assign sts_lost  = lost_reg;
assign sts_busy  = store_busy || queue_busy || frame_busy;

endmodule

`resetall
