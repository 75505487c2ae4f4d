// SPDX-License-Identifier: Apache-2.0
// net_switch under generated load, checked in Verilog: whole messages, never interleaved, each once at each of its outputs, unicasts of an
// (input, output) pair in order, multicasts too; beats and greatest waits are counted.
//
// A source sends whenever the switch takes (`cfg_idle` of 256: how often it pauses between messages, `cfg_dribble`: inside one).
// `cfg_room` of 256: how often the room of an output in CUT, an Ethernet port, comes or goes (0: there is always room).
// Traffic: permutation (`cfg_shift`), uniform random, a hot output, two outputs half and half, with `cfg_multi` of 256 multicasts of random masks. Sizes: cfg_beats, or
// mixed (0): a half of one beat, the others 1 to BEATS. A beat holds {number of the message 24, 0, beat 5, 0, group 1, 0, source 4}.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_switch_load #(
    parameter PORTS     = 5,
    parameter CELLS     = 64,
    parameter BEATS     = 16,
    parameter NO_RETURN = 0,
    parameter CUT       = 0,
    parameter OVERDUE_W = 9
) (
    input  wire                clk,
    input  wire                rst,
    input  wire                cfg_run,         // 0: sources stop between messages
    input  wire [3:0]          cfg_traffic,     // 0 permutation, 1 uniform, 2 hot output 0, 3 outputs 0 and 1
    input  wire [2:0]          cfg_shift,
    input  wire [4:0]          cfg_beats,       // 0: mixed
    input  wire [8:0]          cfg_multi,       // of 256
    input  wire [8:0]          cfg_idle,
    input  wire [8:0]          cfg_dribble,
    input  wire [8:0]          cfg_stall,       // of sinks
    input  wire [8:0]          cfg_room,
    input  wire                cfg_clear,       // counters of this module to 0
    output reg  [31:0]         sts_cycles,
    output reg  [PORTS*32-1:0] sts_beats,       // out, a port
    output reg  [PORTS*32-1:0] sts_gaps,        // cycles without a beat after a port's first one
    output reg  [31:0]         sts_head,        // longest wait of a unicast at the head of its queue, since reset
    output reg  [31:0]         sts_head_multi,  // the same of a multicast
    output reg  [31:0]         sts_sent,        // copies that must arrive, since reset
    output reg  [31:0]         sts_got,         // copies that arrived
    output reg  [31:0]         sts_errors,
    output wire                sts_busy
);

localparam SEQ_W = 24;
localparam Q     = PORTS + 1;

reg  [PORTS*64-1:0]  s_tdata;
reg  [PORTS*80-1:0]  s_tuser;
reg  [PORTS-1:0]     s_tlast, s_tvalid;
wire [PORTS-1:0]     s_tready;
wire [PORTS*64-1:0]  m_tdata;
wire [PORTS*8-1:0]   m_tkeep;
wire [PORTS*80-1:0]  m_tuser;
wire [PORTS-1:0]     m_tlast, m_tvalid;
reg  [PORTS-1:0]     m_tready, m_room;

reg                  cfg_we;
reg  [27:0]          cfg_addr;
reg  [PORTS-1:0]     cfg_data;
reg  [8:0]           boot;
integer              seed, i, o, k, r, mask, kernel, errors, got, sent;

reg  [4:0]           beat    [0:PORTS-1];    // next beat of source i
reg  [4:0]           size    [0:PORTS-1];
reg                  busy    [0:PORTS-1];
reg                  group   [0:PORTS-1];
reg  [6:0]           target  [0:PORTS-1];
reg  [SEQ_W-1:0]     tx_seq  [0:PORTS*PORTS*2-1];    // (source, output, group)
reg  [SEQ_W-1:0]     rx_seq  [0:PORTS*PORTS*2-1];
reg  [4:0]           rx_beat [0:PORTS-1];
reg  [3:0]           rx_key  [0:PORTS-1];
reg  [SEQ_W-1:0]     number  [0:PORTS-1];            // messages of source i
reg                  started [0:PORTS-1];
reg  [63:0]          d;

net_switch #(
    .PORTS(PORTS), .DATA_W(64), .CELLS(CELLS), .BEATS(BEATS), .NO_RETURN(NO_RETURN), .CUT(CUT), .OVERDUE_W(OVERDUE_W)
) u_switch (
    .clk(clk), .rst(rst), .id_cluster(8'd1),
    .s_axis_tdata(s_tdata), .s_axis_tkeep({PORTS*8{1'b1}}), .s_axis_tuser(s_tuser), .s_axis_tlast(s_tlast), .s_axis_tvalid(s_tvalid),
    .s_axis_tready(s_tready),
    .m_axis_tdata(m_tdata), .m_axis_tkeep(m_tkeep), .m_axis_tuser(m_tuser), .m_axis_tlast(m_tlast), .m_axis_tvalid(m_tvalid),
    .m_axis_room(m_room), .m_axis_tready(m_tready),
    .cfg_we(cfg_we), .cfg_addr(cfg_addr), .cfg_data(cfg_data), .sts_count(), .sts_drops(), .sts_busy(sts_busy)
);

// ---- how long heads of queues wait

wire [PORTS*Q-1:0] has, pop;
reg  [31:0]        waited [0:PORTS*Q-1];
integer            w;
genvar             g;
generate
for (g = 0; g < PORTS; g = g + 1) begin : g_watch
    assign has[g*Q +: Q] = u_switch.g_in[g].u_in.has_reg;
    assign pop[g*Q +: Q] = u_switch.g_in[g].u_in.pop_q;
end
endgenerate

always @(posedge clk) begin
    for (w = 0; w < PORTS*Q; w = w + 1) begin
        waited[w] <= (rst || pop[w] || !has[w]) ? 32'd0 : waited[w] + 1'b1;
        if (has[w] && w % Q == PORTS && waited[w] > sts_head_multi) sts_head_multi <= waited[w];
        if (has[w] && w % Q != PORTS && waited[w] > sts_head)       sts_head       <= waited[w];
    end
    if (rst) begin
        sts_head       <= 32'd0;
        sts_head_multi <= 32'd0;
    end
end

// ---- sources and sinks

function integer dice(input integer of);    // true `of` times of 256
    dice = (($random(seed) & 255) < of) ? 1 : 0;
endfunction

initial seed = 1;

always @(posedge clk) begin
    cfg_we <= 1'b0;
    if (rst) begin
        boot       <= 9'd0;
        errors     = 0;
        got        = 0;
        sent       = 0;
        s_tvalid   <= {PORTS{1'b0}};
        m_tready   <= {PORTS{1'b0}};
        m_room     <= {PORTS{1'b1}};
        cfg_addr   <= 28'd0;
        cfg_data   <= {PORTS{1'b0}};
        sts_cycles <= 32'd0;
        sts_beats  <= {PORTS*32{1'b0}};
        sts_gaps   <= {PORTS*32{1'b0}};
        for (i = 0; i < PORTS; i = i + 1) begin
            beat[i]    = 0;
            busy[i]    = 0;
            rx_beat[i] = 0;
            number[i]  = 0;
            started[i] = 0;
            for (o = 0; o < 2*PORTS; o = o + 1) begin
                tx_seq[i*2*PORTS + o] = 0;
                rx_seq[i*2*PORTS + o] = 0;
            end
        end
    end else if (!boot[8]) begin
        // kernels 0 .. 127: that mask of ports
        boot     <= boot + 1'b1;
        cfg_we   <= !boot[7];
        cfg_addr <= {20'd0, boot[7:0]};
        cfg_data <= boot[PORTS-1:0];
    end else begin
        // ---- sources
        for (i = 0; i < PORTS; i = i + 1) begin
            if (s_tvalid[i] && s_tready[i]) begin
                if (s_tlast[i]) begin
                    busy[i] = 0;
                    number[i] = number[i] + 1'b1;
                end
                beat[i] = beat[i] + 1'b1;
                s_tvalid[i] <= 1'b0;
            end
            if (!s_tvalid[i] || s_tready[i]) begin
                if (!busy[i] && cfg_run && !dice(cfg_idle)) begin
                    group[i] = dice(cfg_multi);
                    r = $random(seed) & 32'h7fffffff;
                    if (group[i]) mask = r % (1 << PORTS);
                    else if (cfg_traffic == 0) mask = 1 << ((i + cfg_shift) % PORTS);
                    else if (cfg_traffic == 2 && dice(192)) mask = 1;
                    else if (cfg_traffic == 3) mask = 1 << (r & 1);
                    else mask = 1 << (r % PORTS);
                    if ((NO_RETURN >> i) & 1) mask = mask & ~(1 << i);
                    if (mask != 0) begin
                        busy[i]   = 1;
                        group[i]  = (mask & (mask - 1)) != 0;
                        target[i] = mask;
                        beat[i]   = 0;
                        size[i]   = cfg_beats;
                        if (cfg_beats == 0) size[i] = dice(128) ? 1 : 1 + ($random(seed) & (BEATS - 1));
                    end
                end
                if (busy[i] && (beat[i] == 0 || !dice(cfg_dribble))) begin
                    s_tvalid[i] <= 1'b1;
                    s_tlast[i]  <= (beat[i] + 1 == size[i]);
                    s_tuser[i*80 +: 80] <= {16'd0, number[i], 16'd0, i[7:0], {1'b0, target[i]}, 8'd1};
                    s_tdata[i*64 +: 64] <= {number[i], 20'd0, beat[i], 7'd0, group[i], 3'd0, i[3:0]};
                    if (beat[i] + 1 == size[i]) begin
                        for (o = 0; o < PORTS; o = o + 1) if ((target[i] >> o) & 1) sent = sent + 1;
                    end
                end
            end
        end
        // ---- sinks
        for (o = 0; o < PORTS; o = o + 1) begin
            if (m_tvalid[o] && m_tready[o]) begin
                d = m_tdata[o*64 +: 64];
                k = d[3:0];
                if (k >= PORTS || m_tuser[o*80+16 +: 8] != k || m_tuser[o*80+40 +: 24] != d[63:40] || !m_tuser[o*80+8+o]) errors = errors + 1;
                else begin
                    if (rx_beat[o] != d[19:15]) errors = errors + 1;
                    if (rx_beat[o] != 0 && rx_key[o] != k) errors = errors + 1;
                    rx_key[o]  = k;
                    rx_beat[o] = m_tlast[o] ? 0 : rx_beat[o] + 1;
                    if (m_tlast[o]) begin
                        got = got + 1;
                        // numbers grow: order
                        if (d[63:40] + 1 <= rx_seq[(k*PORTS + o)*2 + d[7]]) errors = errors + 1;
                        rx_seq[(k*PORTS + o)*2 + d[7]] = d[63:40] + 1;
                    end
                end
                started[o] = 1;
                sts_beats[o*32 +: 32] <= sts_beats[o*32 +: 32] + 1;
            end else if (started[o]) sts_gaps[o*32 +: 32] <= sts_gaps[o*32 +: 32] + 1;
            m_tready[o] <= !dice(cfg_stall);
            if (cfg_room == 0)                             m_room[o] <= 1'b1;
            else if (((CUT >> o) & 1) && dice(cfg_room))   m_room[o] <= !m_room[o];
        end
        sts_cycles <= sts_cycles + 1;
        if (cfg_clear) begin
            sts_cycles <= 0;
            sts_beats  <= 0;
            sts_gaps   <= 0;
            for (o = 0; o < PORTS; o = o + 1) started[o] = 0;
        end
    end
    sts_errors <= errors;
    sts_got    <= got;
    sts_sent   <= sent;
end

endmodule

`resetall
