// SPDX-License-Identifier: Apache-2.0
// Packets of a Galapagos stream -> messages, configuration writes and flushes of one kernel (docs/galapagos.md).
//
// The first beat of a packet is its header: bits 79:0 the ten message bytes, bits 83:80 the kind, the rest ignored.
//   kind 0: a message. The other beats, 1 to 16, are its payload; the message bytes go beside each of them.
//   kind 1: configuration. Beats in pairs: address (low 28 bits), then data. The write is made with the second beat.
//   kind 2: flush of the slot in bits 47:44 up to the generation in bits 43:40. The header is the whole packet.
// Anything else is dropped and counted once a packet in sts_drops: another kind, a message without payload, what follows its 16th beat,
// an address without data, beats behind a flush (the flush is made).
// Who sent a packet, and to whom, is not looked at: the router delivered it. Latency 1 cycle, one beat a cycle.
`resetall
`timescale 1ns/1ps
`default_nettype none

module axis_galapagos_in (
    input  wire         clk,
    input  wire         rst,

    input  wire [511:0] s_axis_tdata,
    input  wire [63:0]  s_axis_tkeep,
    input  wire         s_axis_tlast,
    input  wire         s_axis_tvalid,
    output wire         s_axis_tready,

    output wire [511:0] m_axis_tdata,
    output wire [63:0]  m_axis_tkeep,
    output wire [79:0]  m_axis_tuser,
    output wire         m_axis_tlast,
    output wire         m_axis_tvalid,
    input  wire         m_axis_tready,

    output reg          cfg_we,
    output reg  [27:0]  cfg_addr,
    output reg  [511:0] cfg_data,

    output reg          flush_valid,
    output reg  [3:0]   flush_slot,
    output reg  [3:0]   flush_gen,
    output wire [31:0]  sts_drops
);

localparam [2:0] HEADER = 3'd0, MESSAGE = 3'd1, ADDRESS = 3'd2, DATA = 3'd3, DROP = 3'd4;
localparam [3:0] KIND_MESSAGE = 4'd0, KIND_CONFIG = 4'd1, KIND_FLUSH = 4'd2;

reg  [2:0]  state_reg, state_next;
reg  [79:0] tuser_reg;
reg  [3:0]  beat_reg;       // beats of the message so far
reg  [31:0] drops_reg;

wire        room;           // the skid buffer takes a beat
wire        beat  = s_axis_tvalid && s_axis_tready;
wire [3:0]  kind  = s_axis_tdata[83:80];
wire        full  = beat_reg == 4'd15;
reg         bad;

assign s_axis_tready = state_reg != MESSAGE || room;
assign sts_drops     = drops_reg;

always @* begin
    state_next = state_reg;
    bad        = 1'b0;
    if (beat) case (state_reg)
        HEADER: begin
            state_next = DROP;
            bad        = 1'b1;
            if (kind == KIND_MESSAGE && !s_axis_tlast) begin
                state_next = MESSAGE;
                bad        = 1'b0;
            end
            if (kind == KIND_CONFIG && !s_axis_tlast) begin
                state_next = ADDRESS;
                bad        = 1'b0;
            end
            if (kind == KIND_FLUSH && s_axis_tlast) bad = 1'b0;
            if (s_axis_tlast) state_next = HEADER;
        end
        MESSAGE: begin
            if (full && !s_axis_tlast) begin
                state_next = DROP;
                bad        = 1'b1;
            end
            if (s_axis_tlast) state_next = HEADER;
        end
        ADDRESS: begin
            state_next = s_axis_tlast ? HEADER : DATA;
            bad        = s_axis_tlast;
        end
        DATA:    state_next = s_axis_tlast ? HEADER : ADDRESS;
        default: state_next = s_axis_tlast ? HEADER : DROP;
    endcase
end

always @(posedge clk) begin
    state_reg <= state_next;
    if (bad) drops_reg <= drops_reg + 32'd1;
    if (beat) beat_reg <= state_reg == MESSAGE ? beat_reg + 4'd1 : 4'd0;
    if (beat && state_reg == HEADER) tuser_reg <= s_axis_tdata[79:0];

    cfg_we <= beat && state_reg == DATA;
    if (beat && state_reg == ADDRESS) cfg_addr <= s_axis_tdata[27:0];
    if (beat && state_reg == DATA)    cfg_data <= s_axis_tdata;

    flush_valid <= beat && state_reg == HEADER && kind == KIND_FLUSH;
    if (beat && state_reg == HEADER) begin
        flush_slot <= s_axis_tdata[47:44];
        flush_gen  <= s_axis_tdata[43:40];
    end

    if (rst) begin
        state_reg   <= HEADER;
        drops_reg   <= 32'd0;
        cfg_we      <= 1'b0;
        flush_valid <= 1'b0;
    end
end

axis_skid #(.DATA_W(657)) u_skid (
    .clk(clk), .rst(rst),
    .s_axis_tdata({s_axis_tlast || full, tuser_reg, s_axis_tkeep, s_axis_tdata}),
    .s_axis_tvalid(s_axis_tvalid && state_reg == MESSAGE), .s_axis_tready(room),
    .m_axis_tdata({m_axis_tlast, m_axis_tuser, m_axis_tkeep, m_axis_tdata}), .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready)
);

endmodule

`resetall
