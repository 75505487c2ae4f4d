// SPDX-License-Identifier: Apache-2.0
// Sender (net_tx_pick, net_tx_window, net_tx_queue) and receiver (net_rx_peers) of the transport, one link in one epoch pair, joined by a channel
// that may lose, duplicate, reorder and delay every frame. A window of two messages, four cells, quota two.
//
// A message is the number of its put, kept where its cell is, so that a cell written too early shows. Proven, at every moment:
//   exactly once, in order:  the n-th message the receiver accepts is the n-th the sender took
//   credits:                 the receiver never holds more than its quota
//   progress:                once the channel is fair (every frame arrives within two cycles, the timer runs, the receiver hands on), everything taken
//                            arrives and is acknowledged within FAIR_N cycles
// What it does not cover: headers and checks (net_rx_check), epochs (net_link), the payload memories: their benches do.
`default_nettype none

module net_transport_formal #(
    parameter FAIR_AT = 255,    // cycle from which the channel is fair, 255: never
    parameter FAIR_N  = 48
) (
    input wire clk
);

localparam CELLS = 4;
localparam SLOTS = 2;           // frames under way in each direction
localparam QUOTA = 2;

// free choices of each cycle
(* anyseq *) wire       any_put, any_send_ready, any_made, any_goback, any_release, any_ack_made;
(* anyseq *) wire       any_data_in, any_data_out, any_data_keep, any_back_in, any_back_out, any_back_keep;
(* anyseq *) wire       any_data_to, any_data_from, any_back_to, any_back_from;

reg [7:0] cycle = 8'd0;
always @(posedge clk) if (cycle != 8'hff) cycle <= cycle + 8'd1;
wire rst  = (cycle < 8'd2);
wire cfg  = (cycle == 8'd2);    // PEER: the quota
wire fair = (cycle >= FAIR_AT);

// ---- sender

wire        send_ready, put_request_ready, put_valid, moved_valid, close_valid, rel_valid, pick_valid, pick_ready, load_valid, load_place, send_valid, kill_valid, sent_valid, sent_again;
wire        pick_peer, send_peer, una_peer, moved_peer, kill_peer, put_peer;
wire [1:0]  put_tail, una, ready, outstanding, waiting;
wire [1:0]  get_cell, close_cell, rel_cell;
wire [23:0] send_position, base;

reg         ev_valid_reg, ev_nack_reg;
reg  [23:0] ev_ack_reg;
reg  [7:0]  ev_credit_reg;

// cells: a free one is found by number; the message of the put is written when its put is requested
reg  [CELLS-1:0] used_reg;
reg  [3:0]  cell_0, cell_1, cell_2, cell_3;     // message in the cell
reg  [3:0]  taken_reg;                          // messages taken
reg  [1:0]  free_cell;
integer     i;

always @* begin
    free_cell = 2'd0;
    for (i = CELLS-1; i >= 0; i = i - 1) if (!used_reg[i]) free_cell = i[1:0];
end

wire request = any_put && !fair && !rst && (cycle > 8'd3) && (used_reg != {CELLS{1'b1}}) && (taken_reg != 4'd15);
wire take    = request && put_request_ready;

net_tx_queue #(.PEERS_N(2), .CELLS(CELLS), .WINDOW_N(2)) u_queue (
    .clk(clk), .rst(rst), .s_cell(free_cell), .s_peers(2'b01), .s_drop(1'b0), .s_valid(request), .s_ready(put_request_ready), .known(2'b01), .discard(2'b00), .link_reset(1'b0),
    .put_valid(put_valid), .put_peer(put_peer), .put_tail(put_tail),
    .get_en(load_valid), .get_peer(pick_peer), .get_place(load_place), .get_cell(get_cell),
    .moved_valid(moved_valid), .moved_peer(moved_peer), .una_peer(una_peer), .una(una),
    .busy_valid({2'b00, b_valid_reg}), .busy_peer(3'b000), .busy_place({2'b00, b_position_reg[0]}),
    .close_valid(close_valid), .close_cell(close_cell), .close_n(), .rel_valid(rel_valid), .rel_cell(rel_cell), .rel_ready(1'b1),
    .sts_no_node(), .sts_skipped(), .sts_busy()
);

net_tx_pick #(.N(2)) u_pick (
    .clk(clk), .rst(rst), .req(ready), .reload(1'b1), .m_index(pick_peer), .m_valid(pick_valid), .m_ready(pick_ready)
);

net_tx_window #(.PEERS_N(2), .WINDOW_N(2)) u_window (
    .clk(clk), .rst(rst), .ev_valid(ev_valid_reg), .ev_peer(1'b0), .ev_nack(ev_nack_reg), .ev_ack(ev_ack_reg), .ev_credit(ev_credit_reg),
    .link_reset(1'b0), .link_reset_peer(1'b0), .up(2'b01), .discard(2'b00), .goback_valid(goback), .goback_peer(1'b0),
    .progress_valid(), .progress_peer(), .outstanding(outstanding), .waiting(waiting),
    .put_valid(put_valid), .put_peer(put_peer), .put_tail(put_tail), .una_peer(una_peer), .una(una), .moved_valid(moved_valid), .moved_peer(moved_peer),
    .ready(ready), .pick_valid(pick_valid), .pick_peer(pick_peer), .pick_ready(pick_ready),
    .load_valid(load_valid), .load_place(load_place), .send_valid(send_valid), .send_peer(send_peer), .send_position(send_position),
    .send_ready(send_ready), .kill_valid(kill_valid), .kill_peer(kill_peer), .base_peer(1'b0), .base(base),
    .sent_valid(sent_valid), .sent_peer(1'b0), .sent_position(b_position_reg), .sent_again(sent_again), .sts_back(), .sts_discarded()
);

// the frame's stage: its cell is known, its header waits to be made; then the message is read from the cell
reg         b_valid_reg;
reg  [23:0] b_position_reg;
reg  [1:0]  b_cell_reg;
wire        kill   = kill_valid && (kill_peer == 1'b0);
reg  [3:0]  b_message;

always @* begin
    case (b_cell_reg)
        2'd0:    b_message = cell_0;
        2'd1:    b_message = cell_1;
        2'd2:    b_message = cell_2;
        default: b_message = cell_3;
    endcase
end

assign sent_valid = b_valid_reg && (any_made || fair) && !rst;
assign send_ready = (!b_valid_reg || sent_valid) && (any_send_ready || fair);

always @(posedge clk) begin
    if (send_valid) begin
        b_valid_reg    <= 1'b1;
        b_position_reg <= send_position;
        b_cell_reg     <= get_cell;
    end else if (sent_valid || kill) begin
        b_valid_reg    <= 1'b0;
    end
    if (take) begin
        used_reg[free_cell] <= 1'b1;
        taken_reg <= taken_reg + 4'd1;
        case (free_cell)
            2'd0:    cell_0 <= taken_reg;
            2'd1:    cell_1 <= taken_reg;
            2'd2:    cell_2 <= taken_reg;
            default: cell_3 <= taken_reg;
        endcase
    end
    if (rel_valid) used_reg[rel_cell] <= 1'b0;
    if (rst) begin
        b_valid_reg <= 1'b0;
        used_reg    <= {CELLS{1'b0}};
        taken_reg   <= 4'd0;
    end
end

// the timer: whenever it likes; once fair, every eighth cycle
wire goback = !rst && (fair ? (cycle[3:0] == 4'd0 && outstanding[0]) : (any_goback && outstanding[0]));

// ---- channel: SLOTS frames each way. In: lost unless a slot takes it. Out: any slot, kept (a duplicate comes later) or not

reg  [SLOTS-1:0] data_valid_reg, back_valid_reg;
reg  [23:0] data_number_0, data_number_1, back_ack_0, back_ack_1;
reg  [3:0]  data_message_0, data_message_1;
reg  [7:0]  back_credit_0, back_credit_1;
reg  [SLOTS-1:0] back_nack_reg;

wire        data_to   = fair ? data_valid_reg[0] : any_data_to;
wire        data_from = fair ? !data_valid_reg[0] : any_data_from;
wire        back_to   = fair ? back_valid_reg[0] : any_back_to;
wire        back_from = fair ? !back_valid_reg[0] : any_back_from;
wire        data_in   = sent_valid && (any_data_in || fair);
wire        data_out  = data_valid_reg[data_from] && (any_data_out || fair) && !rst;
wire        back_made = ack_made;
wire        back_in   = back_made && (any_back_in || fair);
wire        back_out  = back_valid_reg[back_from] && (any_back_out || fair) && !rst;
wire [23:0] number    = data_from ? data_number_1 : data_number_0;
wire [3:0]  message   = data_from ? data_message_1 : data_message_0;

always @(posedge clk) begin
    if (data_out && (fair || !any_data_keep)) data_valid_reg[data_from] <= 1'b0;
    if (data_in) begin
        data_valid_reg[data_to] <= 1'b1;
        if (data_to) {data_number_1, data_message_1} <= {b_position_reg - base, b_message};
        else         {data_number_0, data_message_0} <= {b_position_reg - base, b_message};
    end
    if (back_out && (fair || !any_back_keep)) back_valid_reg[back_from] <= 1'b0;
    if (back_in) begin
        back_valid_reg[back_to] <= 1'b1;
        back_nack_reg[back_to]  <= nack_due[0];
        if (back_to) {back_ack_1, back_credit_1} <= {hd_expected, hd_none ? 8'd0 : hd_credit};
        else         {back_ack_0, back_credit_0} <= {hd_expected, hd_none ? 8'd0 : hd_credit};
    end
    ev_valid_reg  <= back_out;
    ev_nack_reg   <= back_nack_reg[back_from];
    ev_ack_reg    <= back_from ? back_ack_1 : back_ack_0;
    ev_credit_reg <= back_from ? back_credit_1 : back_credit_0;
    if (rst) begin
        data_valid_reg <= {SLOTS{1'b0}};
        back_valid_reg <= {SLOTS{1'b0}};
        ev_valid_reg   <= 1'b0;
    end
end

// ---- receiver

// what comes out of the channel is judged one cycle later
reg         d_valid_reg;
reg  [23:0] d_number_reg;
reg  [3:0]  d_message_reg;
wire [23:0] hd_expected;
wire        next, behind, hd_none;
wire [7:0]  hd_credit;
wire [1:0]  ack_due, nack_due;
wire        accept   = d_valid_reg && next;
wire        gap      = d_valid_reg && !next && !behind;
wire        dup      = d_valid_reg && behind;
reg  [3:0]  held_reg, accepted_reg;
wire        hand_on  = (held_reg != 4'd0) && (any_release || fair) && !rst;
// the first frame from the receiver is the hello-ack, at any time; later ones when they are due, or ride on data at any time
wire        ack_made = !rst && (cycle > 8'd3) && (fair ? (ack_due[0] || nack_due[0] || cycle[2:0] == 3'd0) : any_ack_made);

net_rx_peers #(.PEERS_N(2), .COUNT_W(3)) u_peers (
    .clk(clk), .rst(rst), .n_peer(1'b0), .n_seq(number), .ev_peer(1'b0), .ev_seq(d_number_reg), .ev_next(next), .ev_behind(behind),
    .ev_right(d_valid_reg), .ev_accept(accept), .ev_gap(gap), .ev_dup(dup),
    .release_valid(hand_on), .release_peer(1'b0), .link_reset(1'b0), .link_reset_peer(1'b0),
    .hd_peer(1'b0), .hd_expected(hd_expected), .hd_credit(hd_credit), .hd_none(hd_none), .hd_sent(ack_made), .hd_sent_peer(1'b0), .hd_sent_nack(ack_made && nack_due[0]),
    .ack_due(ack_due), .nack_due(nack_due), .cfg_we(cfg), .cfg_addr({4'd1, 24'd0}), .cfg_value(24'd0), .cfg_quota(QUOTA[7:0])
);

always @(posedge clk) begin
    d_valid_reg   <= data_out && !rst;
    d_number_reg  <= number;
    d_message_reg <= message;
    held_reg     <= held_reg + {3'd0, accept} - {3'd0, hand_on};
    accepted_reg <= accepted_reg + {3'd0, accept};
    if (rst) begin
        held_reg     <= 4'd0;
        accepted_reg <= 4'd0;
    end
end

// ---- what is proven

always @(posedge clk) if (!rst && cycle > 8'd3) begin
    if (accept) in_order:  assert (d_message_reg == accepted_reg);
    if (accept) once:      assert (accepted_reg != taken_reg);
    quota:  assert (held_reg <= QUOTA);
    if (FAIR_AT != 255 && cycle == FAIR_AT + FAIR_N) begin
        arrived:      assert (accepted_reg == taken_reg);
        acknowledged: assert (outstanding == 2'b00 && used_reg == {CELLS{1'b0}});
    end
    // reachable: what the channel does to a frame, and the sender about it; a planted assertion that it never happens must be refuted
    if (FAIR_AT == 255) begin
        seen_again:     cover (accepted_reg == 4'd3 && sent_valid && sent_again);
        seen_lost:      cover (accepted_reg == 4'd2 && lost_reg);
        seen_repeated:  cover (came_reg > sent_reg && accepted_reg == 4'd2);
        seen_overtaken: cover (accept && gap_reg && !again_reg && accepted_reg == 4'd1);
        seen_late_ack:  cover (late_ack_reg && accepted_reg == 4'd2);
        seen_delay:     cover (accept && d_age_reg == 4'd8);
    end
end

// ---- for these alone: frames sent and arrived, whether one was lost, came before another, was sent again; an acknowledgement overtaken by a newer
// one; cycles since the last data frame was sent

reg [3:0]  sent_reg = 4'd0, came_reg = 4'd0, d_age_reg = 4'd0;
reg        lost_reg = 1'b0, gap_reg = 1'b0, again_reg = 1'b0, late_ack_reg = 1'b0;
reg [23:0] newest_ack_reg = 24'd0;

always @(posedge clk) begin
    sent_reg  <= sent_reg + {3'd0, sent_valid};
    came_reg  <= came_reg + {3'd0, d_valid_reg && !rst};
    lost_reg  <= lost_reg || (sent_valid && !data_in);
    gap_reg   <= gap_reg || gap;
    again_reg <= again_reg || (sent_valid && sent_again);
    d_age_reg <= sent_valid ? 4'd0 : (d_age_reg == 4'd15) ? 4'd15 : d_age_reg + 4'd1;
    if (ev_valid_reg) begin
        if (ev_ack_reg > newest_ack_reg) newest_ack_reg <= ev_ack_reg;
        late_ack_reg <= late_ack_reg || (ev_ack_reg < newest_ack_reg);
    end
end

endmodule

`default_nettype wire
