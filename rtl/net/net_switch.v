// SPDX-License-Identifier: Apache-2.0
// Packet switch of a node: whole messages, virtual output queues, multicast, a bound for everybody's wait.
//
//   outputs of a message from input i = R without i itself where NO_RETURN[i] = 1; none: dropped and counted
//   R = ROUTE[tuser[15:8]], by kernel, where tuser[7:0] = id_cluster, else ROUTE[256 + tuser[7:0]], by cluster
//
// Messages are never interleaved; a multicast goes to all its outputs in the same cycles. From one input to one output unicasts stay in
// order, and multicasts; a unicast may overtake a multicast. A message of an input in CUT may leave while it still arrives: such an input
// must not stall inside a message for long, and must end every message it began without waiting for anything from this switch.
//
// Latency on an idle switch, first beat in -> first beat out: 5 cycles (CUT: then last in -> last out too, where messages come without gaps),
// else last beat in -> first beat out 5 cycles; one more for a multicast. One beat a cycle a port, without gaps between messages.
// Uniform random traffic, five ports: 94 % of that with messages of 16 beats, 89 % with those of one beat (with half the cells 84 %).
// Wait: who sends to whom is decided by net_switch_arb, oldest service first. A unicast head that has waited for 2**(OVERDUE_W+1) cycles, and every
// multicast head, goes through its lane: while its outputs have room at most 2*PORTS*PORTS - 1 and 2*PORTS - 1 others come before it there
// (tb/formal), each as long as three messages of its input and outputs and 8 cycles. A message whose source dribbles (CUT) or whose sink stalls
// counts as long as it takes.
//
// m_axis_room[o]: output o takes the next messages whole, without waiting for another output or node; a message starts only where there is room.
// Kernels always sink: constant 1. An Ethernet port: at least 8 free cells, since up to 8 messages may be under way to it, see net_switch_arb.
// ROUTE: configuration memory 0 {ports}, 512 entries: kernels of the own cluster, then clusters; cleared by rst.
// sts_count, 8 words a port (port 0 lowest): messages in, beats in, messages dropped, most cells in use, cycles an offered beat was
// refused; messages out, beats out, cycles an offered beat was not taken. sts_drops: sum of the messages dropped, PORTS cycles later.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_switch #(
    parameter PORTS     = 5,        // Requires 2 to 7
    parameter DATA_W    = 512,      // width of tdata of one port. Requires a multiple of 8
    parameter CELLS     = 64,       // message cells of an input. Requires a power of two, at least 2
    parameter BEATS     = 16,       // beats of a cell. Requires a power of two, at least 2
    parameter NO_RETURN = 16,       // mask of ports that never send to themselves
    parameter CUT       = NO_RETURN, // mask of inputs that cut through, see above: the Ethernet ports
    parameter OVERDUE_W = 9         // see above. Requires at least 1
) (
    input  wire                      clk,
    input  wire                      rst,
    input  wire [7:0]                id_cluster,

    input  wire [PORTS*DATA_W-1:0]   s_axis_tdata,
    input  wire [PORTS*DATA_W/8-1:0] s_axis_tkeep,
    input  wire [PORTS*80-1:0]       s_axis_tuser,
    input  wire [PORTS-1:0]          s_axis_tlast,
    input  wire [PORTS-1:0]          s_axis_tvalid,
    output wire [PORTS-1:0]          s_axis_tready,

    output wire [PORTS*DATA_W-1:0]   m_axis_tdata,
    output wire [PORTS*DATA_W/8-1:0] m_axis_tkeep,
    output wire [PORTS*80-1:0]       m_axis_tuser,
    output wire [PORTS-1:0]          m_axis_tlast,
    output wire [PORTS-1:0]          m_axis_tvalid,
    input  wire [PORTS-1:0]          m_axis_tready,
    input  wire [PORTS-1:0]          m_axis_room,

    input  wire                      cfg_we,
    input  wire [27:0]               cfg_addr,
    input  wire [PORTS-1:0]          cfg_data,

    output wire [PORTS*8*32-1:0]     sts_count,
    output wire [31:0]               sts_drops,
    output wire                      sts_busy
);

localparam Q      = PORTS + 1;
localparam KEEP_W = DATA_W / 8;
localparam BEAT_W = 81 + KEEP_W + DATA_W;   // tlast, tuser, tkeep, tdata

generate
if (OVERDUE_W < 1 || OVERDUE_W > 31) begin : g_overdue
    PARAM_ERROR_net_switch_OVERDUE_W_1_to_31 u_err ();
end
endgenerate

wire [PORTS*BEAT_W-1:0]  cell_beat;
wire [PORTS-1:0]         cell_last, cell_valid, cell_leave, move;   // move[i]: input i's beat goes to all its outputs in this cycle
wire [PORTS*PORTS-1:0]   cell_mask, left, own, late, multi_mask, ending, shut_out;
wire [PORTS*Q-1:0]       waiting, offer, took;
wire [PORTS-1:0]         multi, open, taken, shut_in, hold_in, hold_out, in_busy;
wire [PORTS-1:0]         out_tready;        // of the output registers
wire [PORTS*160-1:0]     in_count;
reg  [OVERDUE_W-1:0]     time_reg;
reg                      tick_reg;
reg  [PORTS*32-1:0]      drops_reg;     // sums of the inputs up to this one
wire                     route_we = cfg_we && (cfg_addr[27:9] == 19'd0);

genvar g, h, s;
integer d;

net_switch_arb #(.PORTS(PORTS)) u_arb (
    .clk(clk), .rst(rst), .waiting(waiting), .late(late), .multi(multi), .multi_mask(multi_mask), .open(open), .room(m_axis_room),
    .offer(offer), .took(took), .taken(taken), .ending(ending), .left(left), .shut_in(shut_in), .hold_in(hold_in), .shut_out(shut_out),
    .hold_out(hold_out), .own(own)
);

always @(posedge clk) begin
    time_reg  <= time_reg + 1'b1;
    tick_reg  <= (time_reg == {OVERDUE_W{1'b1}});
    drops_reg[31:0] <= in_count[64 +: 32];
    for (d = 1; d < PORTS; d = d + 1) drops_reg[d*32 +: 32] <= drops_reg[(d-1)*32 +: 32] + in_count[d*160 + 64 +: 32];
    if (rst) begin
        time_reg  <= {OVERDUE_W{1'b0}};
        tick_reg  <= 1'b0;
        drops_reg <= {PORTS*32{1'b0}};
    end
end

assign sts_drops = drops_reg[(PORTS-1)*32 +: 32];
assign sts_busy  = (in_busy != {PORTS{1'b0}}) || (m_axis_tvalid != {PORTS{1'b0}});

generate
for (g = 0; g < PORTS; g = g + 1) begin : g_in
    localparam [PORTS-1:0] SELF = ((NO_RETURN >> g) & 1) << g;
    wire [PORTS-1:0] mask = cell_mask[g*PORTS +: PORTS];
    wire [PORTS-1:0] able;      // outputs that are ours and ready

    for (s = 0; s < PORTS; s = s + 1) begin : g_able
        assign able[s] = own[s*PORTS + g] && out_tready[s];
    end

    net_switch_input #(
        .PORTS(PORTS), .DATA_W(DATA_W), .CELLS(CELLS), .BEATS(BEATS), .CUT((CUT >> g) & 1), .ALLOW(~SELF & {PORTS{1'b1}})
    ) u_in (
        .clk(clk), .rst(rst), .id_cluster(id_cluster),
        .s_axis_tdata(s_axis_tdata[g*DATA_W +: DATA_W]), .s_axis_tkeep(s_axis_tkeep[g*KEEP_W +: KEEP_W]),
        .s_axis_tuser(s_axis_tuser[g*80 +: 80]), .s_axis_tlast(s_axis_tlast[g]), .s_axis_tvalid(s_axis_tvalid[g]),
        .s_axis_tready(s_axis_tready[g]),
        .waiting(waiting[g*Q +: Q]), .late(late[g*PORTS +: PORTS]), .multi(multi[g]), .multi_mask(multi_mask[g*PORTS +: PORTS]),
        .open(open[g]), .offer(offer[g*Q +: Q]), .took(took[g*Q +: Q]), .taken(taken[g]), .shut_in(shut_in[g]), .hold_in(hold_in[g]),
        .shut_out(shut_out[g*PORTS +: PORTS]), .hold_out(hold_out), .ending(ending[g*PORTS +: PORTS]), .tick(tick_reg),
        .m_axis_tdata(cell_beat[g*BEAT_W +: DATA_W]), .m_axis_tkeep(cell_beat[g*BEAT_W + DATA_W +: KEEP_W]),
        .m_axis_tuser(cell_beat[g*BEAT_W + DATA_W + KEEP_W +: 80]), .m_axis_tlast(cell_last[g]), .m_axis_tvalid(cell_valid[g]),
        .m_axis_tready(move[g]), .m_axis_mask(cell_mask[g*PORTS +: PORTS]), .m_axis_leave(cell_leave[g]),
        .cfg_we(route_we), .cfg_index(cfg_addr[8:0]), .cfg_data(cfg_data),
        .sts_count(in_count[g*160 +: 160]), .sts_busy(in_busy[g])
    );
    assign cell_beat[g*BEAT_W + BEAT_W-1] = cell_last[g];
    assign move[g] = cell_valid[g] && ((mask & ~able) == {PORTS{1'b0}});
    assign left[g*PORTS +: PORTS] = (move[g] && cell_last[g] && cell_leave[g]) ? mask : {PORTS{1'b0}};
end

for (h = 0; h < PORTS; h = h + 1) begin : g_out
    wire [PORTS-1:0] mine;      // inputs whose beat is for this output
    wire [95:0]      out_count;

    for (s = 0; s < PORTS; s = s + 1) begin : g_mine
        assign mine[s] = cell_mask[s*PORTS + h];
    end

    net_switch_out #(.PORTS(PORTS), .BEAT_W(BEAT_W)) u_out (
        .clk(clk), .rst(rst), .own(own[h*PORTS +: PORTS]), .move(move), .mine(mine), .s_beat(cell_beat), .s_ready(out_tready[h]),
        .m_beat({m_axis_tlast[h], m_axis_tuser[h*80 +: 80], m_axis_tkeep[h*KEEP_W +: KEEP_W], m_axis_tdata[h*DATA_W +: DATA_W]}),
        .m_valid(m_axis_tvalid[h]), .m_ready(m_axis_tready[h]), .sts_count(out_count)
    );

    assign sts_count[h*256 +: 256] = {out_count, in_count[h*160 +: 160]};
end
endgenerate

endmodule

`resetall
