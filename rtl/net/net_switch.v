// SPDX-License-Identifier: Apache-2.0
// Packet switch of a node: whole messages, virtual output queues, multicast, oldest first.
//
//   outputs of a message from input i = ROUTE[tuser[15:8]], without i itself where NO_RETURN[i] = 1; none: dropped and counted
//
// A message takes part when its last beat is in (store and forward), in the order of arrival stamps: see net_switch_arb. An input
// sends one message at a time; a multicast starts when all its outputs are free and then moves only when all are ready. Messages are never
// interleaved. From one input to one output unicasts stay in order, and multicasts; a unicast may overtake a multicast that waits behind another.
//
// Latency last beat in -> first beat out 5 cycles on an idle switch; one beat a cycle a port, one idle cycle between messages of a port.
// ROUTE: configuration memory 0 {ports}. Destination cluster is not looked at.
//
// sts_count, 8 words a port (port 0 lowest): messages in, beats in, messages dropped, most cells in use, cycles an offered beat was
// refused; messages out, beats out, cycles an offered beat was not taken.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_switch #(
    parameter PORTS     = 5,        // Requires 2 to 7
    parameter CELLS     = 32,       // message cells of an input. Requires a power of two, at least 2
    parameter BEATS     = 16,       // beats of a cell. Requires a power of two, at least 2
    parameter NO_RETURN = 16,       // mask of ports that never send to themselves
    parameter STAMP_W   = 32,       // width of arrival stamps
    parameter OVERDUE_W = 8         // see net_switch_arb
) (
    input  wire                  clk,
    input  wire                  rst,

    input  wire [PORTS*512-1:0]  s_axis_tdata,
    input  wire [PORTS*64-1:0]   s_axis_tkeep,
    input  wire [PORTS*80-1:0]   s_axis_tuser,
    input  wire [PORTS-1:0]      s_axis_tlast,
    input  wire [PORTS-1:0]      s_axis_tvalid,
    output wire [PORTS-1:0]      s_axis_tready,

    output wire [PORTS*512-1:0]  m_axis_tdata,
    output wire [PORTS*64-1:0]   m_axis_tkeep,
    output wire [PORTS*80-1:0]   m_axis_tuser,
    output wire [PORTS-1:0]      m_axis_tlast,
    output wire [PORTS-1:0]      m_axis_tvalid,
    input  wire [PORTS-1:0]      m_axis_tready,

    input  wire                  cfg_we,
    input  wire [27:0]           cfg_addr,
    input  wire [PORTS-1:0]      cfg_data,

    output wire [PORTS*8*32-1:0] sts_count,
    output wire [31:0]           sts_drops,
    output wire                  sts_busy
);

localparam Q   = PORTS + 1;
localparam Q_W = $clog2(PORTS + 1);

wire [PORTS*512-1:0]       cell_tdata;
wire [PORTS*64-1:0]        cell_tkeep;
wire [PORTS*80-1:0]        cell_tuser;
wire [PORTS-1:0]           cell_tlast, cell_tvalid;
wire [PORTS*PORTS-1:0]     cell_mask;
wire [PORTS-1:0]           move;        // input i's beat goes to all its outputs in this cycle
wire [PORTS-1:0]           arrived, idle, grant, in_busy;
wire [PORTS*Q-1:0]         head_valid;
wire [PORTS*Q*STAMP_W-1:0] head_stamp;
wire [PORTS*PORTS-1:0]     head_mask;
wire [PORTS*Q_W-1:0]       grant_q;
wire [PORTS-1:0]           out_tready;  // of the output registers
wire [PORTS*160-1:0]       in_count;
reg  [STAMP_W-1:0]         stamp_reg;
reg  [PORTS-1:0]           out_busy_reg;
reg  [PORTS-1:0]           out_done;    // the last beat of output o's message moves
reg  [PORTS-1:0]           out_start;
reg  [31:0]                drops, drops_reg;
wire                       route_we = cfg_we && (cfg_addr[27:8] == 20'd0);

genvar g, h;
integer i, o, d;

net_switch_arb #(.PORTS(PORTS), .STAMP_W(STAMP_W), .OVERDUE_W(OVERDUE_W)) u_arb (
    .head_valid(head_valid), .head_stamp(head_stamp), .head_mask(head_mask), .stamp(stamp_reg),
    .idle(idle), .out_free(~out_busy_reg | out_done), .grant(grant), .grant_q(grant_q)
);

always @* begin
    o         = 0;  // a loop variable too must not be kept: no latch
    out_done  = {PORTS{1'b0}};
    out_start = {PORTS{1'b0}};
    for (i = 0; i < PORTS; i = i + 1) begin
        if (move[i] && cell_tlast[i]) out_done = out_done | cell_mask[i*PORTS +: PORTS];
        if (grant[i]) begin
            for (o = 0; o < PORTS; o = o + 1) begin
                if (grant_q[i*Q_W +: Q_W] == o[Q_W-1:0]) out_start[o] = 1'b1;
            end
            if (grant_q[i*Q_W +: Q_W] == PORTS[Q_W-1:0]) out_start = out_start | head_mask[i*PORTS +: PORTS];
        end
    end
end

always @(posedge clk) begin
    if (arrived != {PORTS{1'b0}}) stamp_reg <= stamp_reg + 1'b1;
    out_busy_reg <= (out_busy_reg & ~out_done) | out_start;
    drops_reg    <= drops;
    if (rst) begin
        stamp_reg    <= {STAMP_W{1'b0}};
        out_busy_reg <= {PORTS{1'b0}};
        drops_reg    <= 32'd0;
    end
end

always @* begin
    drops = 32'd0;
    for (d = 0; d < PORTS; d = d + 1) drops = drops + in_count[d*160 + 64 +: 32];
end

assign sts_drops = drops_reg;
assign sts_busy  = (in_busy != {PORTS{1'b0}}) || (m_axis_tvalid != {PORTS{1'b0}});

generate
for (g = 0; g < PORTS; g = g + 1) begin : g_in
    localparam [PORTS-1:0] SELF = ((NO_RETURN >> g) & 1) << g;
    net_switch_input #(.PORTS(PORTS), .CELLS(CELLS), .BEATS(BEATS), .STAMP_W(STAMP_W), .ALLOW(~SELF & {PORTS{1'b1}})) u_in (
        .clk(clk), .rst(rst),
        .s_axis_tdata(s_axis_tdata[g*512 +: 512]), .s_axis_tkeep(s_axis_tkeep[g*64 +: 64]), .s_axis_tuser(s_axis_tuser[g*80 +: 80]),
        .s_axis_tlast(s_axis_tlast[g]), .s_axis_tvalid(s_axis_tvalid[g]), .s_axis_tready(s_axis_tready[g]),
        .stamp(stamp_reg), .arrived(arrived[g]),
        .head_valid(head_valid[g*Q +: Q]), .head_stamp(head_stamp[g*Q*STAMP_W +: Q*STAMP_W]), .head_mask(head_mask[g*PORTS +: PORTS]),
        .idle(idle[g]), .grant(grant[g]), .grant_q(grant_q[g*Q_W +: Q_W]),
        .m_axis_tdata(cell_tdata[g*512 +: 512]), .m_axis_tkeep(cell_tkeep[g*64 +: 64]), .m_axis_tuser(cell_tuser[g*80 +: 80]),
        .m_axis_tlast(cell_tlast[g]), .m_axis_tvalid(cell_tvalid[g]), .m_axis_tready(move[g]), .m_axis_mask(cell_mask[g*PORTS +: PORTS]),
        .cfg_we(route_we), .cfg_index(cfg_addr[7:0]), .cfg_data(cfg_data),
        .sts_count(in_count[g*160 +: 160]), .sts_busy(in_busy[g])
    );
    assign move[g] = cell_tvalid[g] && ((cell_mask[g*PORTS +: PORTS] & ~out_tready) == {PORTS{1'b0}});
end

for (h = 0; h < PORTS; h = h + 1) begin : g_out
    // at most one input's beat has this output in its mask: outputs are granted to one message at a time
    reg          hit;
    reg  [511:0] tdata;
    reg  [63:0]  tkeep;
    reg  [79:0]  tuser;
    reg          tlast;
    reg  [31:0]  messages_reg, beats_reg, stalled_reg;
    integer      s;

    always @* begin
        hit   = 1'b0;
        tdata = cell_tdata[511:0];
        tkeep = cell_tkeep[63:0];
        tuser = cell_tuser[79:0];
        tlast = cell_tlast[0];
        for (s = 0; s < PORTS; s = s + 1) begin
            if (move[s] && cell_mask[s*PORTS + h]) begin
                hit   = 1'b1;
                tdata = cell_tdata[s*512 +: 512];
                tkeep = cell_tkeep[s*64 +: 64];
                tuser = cell_tuser[s*80 +: 80];
                tlast = cell_tlast[s];
            end
        end
    end

    axis_skid #(.DATA_W(657)) u_skid (
        .clk(clk), .rst(rst),
        .s_axis_tdata({tlast, tuser, tkeep, tdata}), .s_axis_tvalid(hit), .s_axis_tready(out_tready[h]),
        .m_axis_tdata({m_axis_tlast[h], m_axis_tuser[h*80 +: 80], m_axis_tkeep[h*64 +: 64], m_axis_tdata[h*512 +: 512]}),
        .m_axis_tvalid(m_axis_tvalid[h]), .m_axis_tready(m_axis_tready[h])
    );

    always @(posedge clk) begin
        if (m_axis_tvalid[h]) begin
            if (m_axis_tready[h]) begin
                beats_reg <= beats_reg + 1'b1;
                if (m_axis_tlast[h]) messages_reg <= messages_reg + 1'b1;
            end else begin
                stalled_reg <= stalled_reg + 1'b1;
            end
        end
        if (rst) begin
            messages_reg <= 32'd0;
            beats_reg    <= 32'd0;
            stalled_reg  <= 32'd0;
        end
    end

    assign sts_count[h*256 +: 256] = {stalled_reg, beats_reg, messages_reg, in_count[h*160 +: 160]};
end
endgenerate

endmodule

`resetall
