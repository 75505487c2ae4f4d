// SPDX-License-Identifier: Apache-2.0
// Kernel 0 of a node: answers requests for its identity and counters. Messages: docs/manager.md.
//
//   READ(first, count) -> header beat {opcode | 0x80, status, tag, first, count, WORDS}, then words[first .. first+count-1], 16 a beat
//
// A request is a control message; the reply is a control message to the request's source cluster and kernel with its edge, slot, generation and
// row. Anything but READ is answered with an error status and no words; a message that is not of type control, or shorter than 12 bytes, is
// dropped and counted. One request is served at a time, in order of arrival; further ones wait in a FIFO of DEPTH beats and then in the switch.
// Each word is sampled in the cycle it is copied: the words of a reply are not one instant.
//
// Latency request in -> header beat out 4 cycles; then 17 cycles a beat of 16 words. It does not write anything.
// sts_count: requests, READs answered, error replies, messages dropped.
`resetall
`timescale 1ns/1ps
`default_nettype none

module node_manager #(
    parameter WORDS = 160,  // readable 32-bit words. Requires 1 to 65535
    parameter DEPTH = 16    // beats of the request FIFO. Requires a power of two, at least 2
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire [7:0]           id_cluster,
    input  wire [7:0]           id_kernel,

    input  wire [511:0]         s_axis_tdata,
    input  wire [63:0]          s_axis_tkeep,
    input  wire [79:0]          s_axis_tuser,
    input  wire                 s_axis_tlast,
    input  wire                 s_axis_tvalid,
    output wire                 s_axis_tready,

    output wire [511:0]         m_axis_tdata,
    output wire [63:0]          m_axis_tkeep,
    output wire [79:0]          m_axis_tuser,
    output wire                 m_axis_tlast,
    output wire                 m_axis_tvalid,
    input  wire                 m_axis_tready,

    input  wire [WORDS*32-1:0]  words,          // word 0 in the low bits
    output wire [4*32-1:0]      sts_count,
    output wire                 sts_busy
);

localparam [15:0] WORDS16   = WORDS;
localparam [7:0]  OP_READ   = 8'd1;
localparam [7:0]  ST_OK     = 8'd0;
localparam [7:0]  ST_OPCODE = 8'd1;     // unknown opcode, writes among them
localparam [7:0]  ST_RANGE  = 8'd2;     // first + count beyond the words, or count above 128
localparam [7:0]  OP_REPLY  = 8'h80;

localparam [2:0] S_IDLE = 3'd0, S_SKIP = 3'd1, S_HEAD = 3'd2, S_FILL = 3'd3, S_SEND = 3'd4;

generate
if (WORDS < 1 || WORDS > 65535) begin : g_words
    PARAM_ERROR_node_manager_WORDS_1_to_65535 u_err ();
end
endgenerate

// ---- request FIFO: of a beat only what a request says is stored

wire [87:0] q_data;     // bytes 0, 2 and up of the request
wire [79:0] q_user;
wire        q_last, q_long, q_valid;
wire        q_ready;
wire        unused = &{1'b0, s_axis_tdata[511:96], s_axis_tdata[15:8], s_axis_tkeep[63:12], q_user[79:78], q_user[75:64], q_user[15:0]};
wire [$clog2(DEPTH):0] q_level;

axis_fifo #(.DATA_W(170), .DEPTH(DEPTH), .STYLE("distributed")) u_fifo (
    .clk(clk), .rst(rst),
    .s_axis_tdata({s_axis_tlast, s_axis_tkeep[11:0] == 12'hfff, s_axis_tuser, s_axis_tdata[95:16], s_axis_tdata[7:0]}),
    .s_axis_tvalid(s_axis_tvalid), .s_axis_tready(s_axis_tready),
    .m_axis_tdata({q_last, q_long, q_user, q_data}), .m_axis_tvalid(q_valid), .m_axis_tready(q_ready),
    .sts_level(q_level)
);

reg [2:0]   state_reg, state_next;
reg [63:16] user_reg;
reg [7:0]   op_reg, status_reg;
reg [15:0]  tag_reg;
reg [31:0]  first_reg, count_reg;
reg [15:0]  index_reg;      // word to copy
reg [7:0]   left_reg;       // words still to copy
reg [4:0]   lane_reg;       // words in beat_reg
reg [511:0] beat_reg;

wire [7:0]  in_op     = q_data[7:0];
wire [31:0] in_first  = q_data[55:24];
wire [31:0] in_count  = q_data[87:56];
wire [32:0] in_end    = {1'b0, in_first} + {1'b0, in_count};
wire [7:0]  in_status = (in_op != OP_READ) ? ST_OPCODE
                      : (in_count > 32'd128 || in_end > {17'd0, WORDS16}) ? ST_RANGE : ST_OK;
wire        request   = (q_user[77:76] == 2'd3) && q_long;
wire        start     = (state_reg == S_IDLE) && q_valid;
wire        out_valid = (state_reg == S_HEAD) || (state_reg == S_SEND);
wire        out_ready;
wire        no_words  = (left_reg == 8'd0);
wire [511:0] out_data = (state_reg == S_HEAD)
                      ? {384'd0, 16'd0, WORDS16, count_reg, first_reg, tag_reg, status_reg, op_reg | OP_REPLY} : beat_reg;

reg  drop_reg;      // the message being skipped gets no reply
reg [63:0] out_keep;
integer k;

// 4 bytes a word; the header beat and full beats are whole
always @* begin
    k        = 0;  // a loop variable too must not be kept: no latch
    out_keep = {64{1'b1}};
    if (state_reg == S_SEND) begin
        for (k = 0; k < 16; k = k + 1) out_keep[4*k +: 4] = {4{k[4:0] < lane_reg}};
    end
end

assign q_ready = (state_reg == S_IDLE) || (state_reg == S_SKIP);

always @* begin
    state_next = state_reg;
    case (state_reg)
        S_IDLE: if (q_valid) state_next = !q_last ? S_SKIP : request ? S_HEAD : S_IDLE;
        S_SKIP: if (q_valid && q_last) state_next = drop_reg ? S_IDLE : S_HEAD;
        S_HEAD: if (out_ready) state_next = no_words ? S_IDLE : S_FILL;
        S_FILL: if (lane_reg == 5'd15 || left_reg == 8'd1) state_next = S_SEND;
        S_SEND: if (out_ready) state_next = no_words ? S_IDLE : S_FILL;
        default: state_next = S_IDLE;
    endcase
end

reg [31:0] requests_reg, reads_reg, errors_reg, drops_reg;

always @(posedge clk) begin
    state_reg <= state_next;
    if (start) begin
        user_reg   <= q_user[63:16];
        op_reg     <= in_op;
        tag_reg    <= q_data[23:8];
        first_reg  <= in_first;
        count_reg  <= (in_status == ST_OK) ? in_count : 32'd0;
        status_reg <= in_status;
        index_reg  <= in_first[15:0];
        left_reg   <= (in_status == ST_OK) ? in_count[7:0] : 8'd0;
        lane_reg   <= 5'd0;
        drop_reg   <= !request;
        if (!request)                 drops_reg    <= drops_reg + 1'b1;
        else                          requests_reg <= requests_reg + 1'b1;
        if (request && in_status == ST_OK) reads_reg  <= reads_reg + 1'b1;
        if (request && in_status != ST_OK) errors_reg <= errors_reg + 1'b1;
    end
    if (state_reg == S_FILL) begin
        if (lane_reg == 5'd0) beat_reg[511:32] <= 480'd0;
        beat_reg[32*lane_reg[3:0] +: 32] <= words[32*index_reg +: 32];
        index_reg <= index_reg + 16'd1;
        left_reg  <= left_reg - 8'd1;
        lane_reg  <= lane_reg + 5'd1;
    end
    if (state_reg == S_SEND && out_ready) lane_reg <= 5'd0;
    if (rst) begin
        state_reg    <= S_IDLE;
        requests_reg <= 32'd0;
        reads_reg    <= 32'd0;
        errors_reg   <= 32'd0;
        drops_reg    <= 32'd0;
    end
end

// source and destination change places; edge, slot, generation and row stay; offset 0, control, not a last row
wire [79:0] reply_user = {2'd0, 2'd3, 1'b0, 3'd0, 8'd0, user_reg[63:40], id_kernel, id_cluster, user_reg[23:16], user_reg[39:32], user_reg[31:24]};

axis_skid #(.DATA_W(657)) u_skid (
    .clk(clk), .rst(rst),
    .s_axis_tdata({no_words, out_keep, reply_user, out_data}), .s_axis_tvalid(out_valid), .s_axis_tready(out_ready),
    .m_axis_tdata({m_axis_tlast, m_axis_tkeep, m_axis_tuser, m_axis_tdata}), .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready)
);

assign sts_count = {drops_reg, errors_reg, reads_reg, requests_reg};
assign sts_busy  = (state_reg != S_IDLE) || (q_level != 0) || m_axis_tvalid;

endmodule

`resetall
