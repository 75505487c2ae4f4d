// SPDX-License-Identifier: Apache-2.0
// Proof of net_switch_input: one message of any destination and any length is followed through any traffic of one input, under any
// offers and any stalls. `bad` must never rise.
//
// Safety (LIVE = 0): each beat of it comes out once, in order, under its outputs and no others, with its tlast and its destination;
// nothing comes between its beats, and it does not come between another's; when the input is quiet, all of it has come.
// Liveness (LIVE = 1), every waiting queue on offer in every cycle, output always ready, no gaps where CUT = 1: it has left BOUND cycles after its
// last beat came in, at the latest.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_switch_input_formal #(
    parameter PORTS = 2,
    parameter CELLS = 2,
    parameter BEATS = 2,
    parameter CUT   = 1,
    parameter ALLOW = 3,
    parameter LIVE  = 0,
    parameter BOUND = 100
) (
    input  wire             clk,
    input  wire             start,      // the source begins a message when it can
    input  wire             go,         // it has its next beat
    input  wire             foreign,    // to another cluster: no route
    input  wire [PORTS-1:0] kernel,     // = mask of outputs
    input  wire [1:0]       length,     // beats - 1
    input  wire             pick,       // follow this message
    input  wire             ready,
    input  wire [PORTS:0]   offer,
    input  wire             shut_in,
    input  wire             hold_in,
    input  wire [PORTS-1:0] shut_out,
    input  wire [PORTS-1:0] hold_out,
    input  wire             tick,
    output wire             bad
);

localparam WAIT_W = $clog2(BOUND + 2);
localparam [1:0] LIMIT = (CUT != 0) ? BEATS - 1 : BEATS;    // a CUT input promises messages that fit its cells

reg  run_reg;
initial run_reg = 1'b0;
wire rst = !run_reg;

reg              valid_reg, active_reg, tag_reg, foreign_reg;
reg  [PORTS-1:0] kernel_reg;
reg  [1:0]       beat_reg, length_reg;
reg              found_reg, in_reg;         // the followed message has begun, is in
reg  [PORTS-1:0] mask_reg, dest_reg;     // its outputs, its destination
reg  [1:0]       size_reg, seen_reg;        // its beats - 1; beats that came
reg              inside_reg, ours_reg;      // inside a message, inside the followed one
reg  [WAIT_W-1:0] wait_reg;

wire [1:0]       most = (length > LIMIT) ? LIMIT : length;
wire             tready;
wire             last  = (beat_reg == length_reg);
wire             moved = valid_reg && tready;
wire             begin_now = run_reg && (valid_reg ? moved && last : !active_reg) && start;
wire             follow = begin_now && pick && !found_reg;
wire [PORTS:0]   waiting;
wire [PORTS:0]   took;
wire [7:0]       m_tdata;
wire [79:0]      m_tuser;
wire             m_tkeep, m_tlast, m_tvalid, m_leave, busy, open;
wire [PORTS-1:0] m_mask;
wire             m_tready = (LIVE != 0) || ready;
wire [PORTS:0]   offered = (LIVE != 0) ? (waiting[PORTS] ? {1'b1, {PORTS{1'b0}}} : waiting) : (offer[PORTS] ? {1'b1, {PORTS{1'b0}}} : offer);

wire missing = (mask_reg != {PORTS{1'b0}}) && (seen_reg != size_reg + 2'd1);
wire ours    = m_tvalid && m_tready && m_tdata[2];
wire wrong   = (ours && (!missing || m_mask != mask_reg || m_tdata[1:0] != seen_reg || m_tlast != (seen_reg == size_reg) || !m_tkeep
                         || m_tuser[8 +: PORTS] != dest_reg || !m_tuser[0] || (inside_reg && !ours_reg)))
             || (m_tvalid && m_tready && !m_tdata[2] && inside_reg && ours_reg)
             || (!busy && in_reg && missing);
always @(posedge clk) begin
    run_reg <= 1'b1;
    if (begin_now) begin
        active_reg  <= 1'b1;
        valid_reg   <= 1'b1;
        beat_reg    <= 2'd0;
        length_reg  <= most;
        kernel_reg  <= kernel;
        foreign_reg <= foreign;
        tag_reg     <= follow;
    end else if (moved) begin
        active_reg <= !last;
        valid_reg  <= !last && (go || (LIVE != 0 && CUT != 0));
        if (!last) beat_reg <= beat_reg + 1'b1;
    end else if (active_reg) begin
        valid_reg <= valid_reg || go;
    end
    if (follow) begin
        found_reg <= 1'b1;
        size_reg  <= most;
        dest_reg  <= kernel;
        mask_reg  <= (foreign || most == BEATS) ? {PORTS{1'b0}} : kernel & ALLOW;
    end
    if (moved && last && tag_reg) in_reg <= 1'b1;
    if (m_tvalid && m_tready) begin
        inside_reg <= !m_tlast;
        ours_reg   <= m_tdata[2];
        if (m_tdata[2]) seen_reg <= seen_reg + 1'b1;
    end
    if (in_reg && missing && wait_reg <= BOUND) wait_reg <= wait_reg + 1'b1;
    if (rst) begin
        active_reg <= 1'b0;
        valid_reg  <= 1'b0;
        tag_reg    <= 1'b0;
        found_reg  <= 1'b0;
        in_reg     <= 1'b0;
        mask_reg   <= {PORTS{1'b0}};
        inside_reg <= 1'b0;
        seen_reg   <= 2'd0;
        wait_reg   <= {WAIT_W{1'b0}};
    end
end

net_switch_input #(.PORTS(PORTS), .DATA_W(8), .CELLS(CELLS), .BEATS(BEATS), .CUT(CUT), .ALLOW(ALLOW)) u_input (
    .clk(clk), .rst(rst), .id_cluster(8'd1),
    .s_axis_tdata({5'd0, tag_reg, beat_reg}), .s_axis_tkeep(1'b1), .s_axis_tuser({64'd0, {(8-PORTS){1'b0}}, kernel_reg, 7'd0, !foreign_reg}),
    .s_axis_tlast(last), .s_axis_tvalid(valid_reg), .s_axis_tready(tready),
    .waiting(waiting), .late(), .multi(), .multi_mask(), .open(open), .offer(offered), .took(took), .taken(),
    .shut_in(shut_in || offered != {(PORTS+1){1'b0}}), .hold_in(hold_in), .shut_out(shut_out), .hold_out(hold_out), .ending(), .tick(tick),
    .m_axis_tdata(m_tdata), .m_axis_tkeep(m_tkeep), .m_axis_tuser(m_tuser), .m_axis_tlast(m_tlast), .m_axis_tvalid(m_tvalid),
    .m_axis_tready(m_tready), .m_axis_mask(m_mask), .m_axis_leave(m_leave),
    .cfg_we(1'b0), .cfg_index(9'd0), .cfg_data({PORTS{1'b0}}), .sts_count(), .sts_busy(busy)
);

assign bad = run_reg && ((LIVE != 0) ? wait_reg > BOUND : wrong);

endmodule

`resetall
