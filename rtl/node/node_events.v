// SPDX-License-Identifier: Apache-2.0
// Remembers what happened to the peers of a node's Ethernet ports until the manager has told it: a link failed (kind 1), a peer
// restarted (2), a failed link is up again (3). A peer is known by its index, its node number modulo PEERS_N.
//
// One flag a peer and kind: a second event of a kind before the first was offered merges with it. The kinds of one peer are offered so that
// the last one offered is true: 1, 2, 3, or 3, 2, 1 where the link is failed now. While `on` is 0 nothing is remembered.
//
// Peers are looked at in turn, one in 2 cycles: an event is offered at most 2 * PORTS_N * PEERS_N + 3 cycles after it, others apart. It does
// not judge: `failed` is a level, `restarted` a pulse, and `up` ends a failure.
`resetall
`timescale 1ns/1ps
`default_nettype none

module node_events #(
    parameter PORTS_N = 1,  // Ethernet ports. Requires 1 or 2
    parameter PEERS_N = 64  // peers of a port. Requires a power of two, 2 to 64
) (
    input  wire                       clk,
    input  wire                       rst,
    input  wire                       on,

    input  wire [PORTS_N*PEERS_N-1:0] up,           // port 0 in the low bits
    input  wire [PORTS_N*PEERS_N-1:0] failed,
    input  wire [PORTS_N*PEERS_N-1:0] restarted,

    output wire                       ev_valid,
    input  wire                       ev_ready,
    output wire [1:0]                 ev_kind,
    output wire                       ev_port,
    output wire [5:0]                 ev_peer,
    output wire                       sts_pending   // an event waits
);

localparam N     = PORTS_N * PEERS_N;
localparam PEER_W = $clog2(PEERS_N);
localparam N_W   = $clog2(N);
localparam [1:0] S_LOOK = 2'd0, S_JUDGE = 2'd1, S_OFFER = 2'd2;

generate
if (PORTS_N < 1 || PORTS_N > 2) begin : g_ports
    PARAM_ERROR_node_events_PORTS_N_1_or_2 u_err ();
end
if (PEERS_N < 2 || PEERS_N > 64 || (1 << PEER_W) != PEERS_N) begin : g_peers
    PARAM_ERROR_node_events_PEERS_N_power_of_two_2_to_64 u_err ();
end
endgenerate

reg [N-1:0]   down_reg;                     // failed, and not up since
reg [N-1:0]   failed_reg, restart_reg, again_reg;   // events that wait
reg [1:0]     state_reg;
reg [N_W-1:0] index_reg;
reg           pending_reg;
reg           see_down_reg, see_failed_reg, see_restart_reg, see_again_reg;     // of the peer looked at

wire          any  = see_failed_reg || see_restart_reg || see_again_reg;
wire          take = (state_reg == S_JUDGE) && any;
wire [N-1:0]  here = {{(N-1){1'b0}}, 1'b1} << index_reg;
reg  [1:0]    kind_reg, kind;

always @* begin
    if (see_down_reg) kind = see_again_reg  ? 2'd3 : see_restart_reg ? 2'd2 : 2'd1;
    else              kind = see_failed_reg ? 2'd1 : see_restart_reg ? 2'd2 : 2'd3;
end

always @(posedge clk) begin
    down_reg    <= failed | (down_reg & ~up);
    // a flag falls when its event is first offered: what happens while the offer waits is told after it
    failed_reg  <= (failed_reg  & ~(here & {N{take && kind == 2'd1}})) | (failed & ~down_reg);
    restart_reg <= (restart_reg & ~(here & {N{take && kind == 2'd2}})) | restarted;
    again_reg   <= (again_reg   & ~(here & {N{take && kind == 2'd3}})) | (down_reg & ~failed & up);
    pending_reg <= ((failed_reg | restart_reg | again_reg) != {N{1'b0}}) || take;

    case (state_reg)
        S_LOOK: begin
            see_down_reg    <= down_reg[index_reg];
            see_failed_reg  <= failed_reg[index_reg];
            see_restart_reg <= restart_reg[index_reg];
            see_again_reg   <= again_reg[index_reg];
            state_reg       <= S_JUDGE;
        end
        S_JUDGE: begin
            state_reg <= any ? S_OFFER : S_LOOK;
            kind_reg  <= kind;
            if (!any) index_reg <= index_reg + 1'b1;
        end
        default: if (ev_ready) state_reg <= S_LOOK;     // the same peer may have more
    endcase

    if (rst || !on) begin
        failed_reg  <= {N{1'b0}};
        restart_reg <= {N{1'b0}};
        again_reg   <= {N{1'b0}};
        pending_reg <= 1'b0;
        state_reg   <= S_LOOK;
        index_reg   <= {N_W{1'b0}};
    end
    if (rst) down_reg <= {N{1'b0}};
end

assign ev_valid    = (state_reg == S_OFFER);
assign ev_kind     = kind_reg;
assign sts_pending = pending_reg || ev_valid;

generate
if (PORTS_N == 2) begin : g_two
    assign ev_port = index_reg[N_W-1];
end else begin : g_one
    assign ev_port = 1'b0;
end
if (PEER_W == 6) begin : g_full
    assign ev_peer = index_reg[PEER_W-1:0];
end else begin : g_part
    assign ev_peer = {{(6-PEER_W){1'b0}}, index_reg[PEER_W-1:0]};
end
endgenerate

endmodule

`resetall
