// SPDX-License-Identifier: Apache-2.0
// Entry of the manager: keeps whole requests, in order of arrival, until they are served.
//
// A request is a control message of at least 12 bytes whose opcode is below 0x60: replies and events have 0x80 and more, so that two managers
// can never answer each other for ever. Anything else is dropped and counted. A request is offered when its last beat is in:
// its message bytes, the first 12 bytes, and what is known of its length: `req_beats`, the beats after the first (31: 31 or more), and
// `req_whole`, the last beat is a full one. Of a WRITE the beats after the first, at most 15, wait in a FIFO of their own: `req_stored`
// beats belong to the request that is offered. The further beats of any other request are forgotten.
//
// Latency last beat in -> req_valid 3 cycles. One beat a cycle, until 6 requests or DEPTH beats wait. It does not look at what a request says.
`resetall
`timescale 1ns/1ps
`default_nettype none

module node_requests #(
    parameter DEPTH = 32    // beats of WRITEs that may wait. Requires a power of two, at least 16: one whole WRITE must fit
) (
    input  wire         clk,
    input  wire         rst,

    input  wire [511:0] s_axis_tdata,
    input  wire [63:0]  s_axis_tkeep,
    input  wire [79:0]  s_axis_tuser,
    input  wire         s_axis_tlast,
    input  wire         s_axis_tvalid,
    output wire         s_axis_tready,

    output wire         req_valid,
    input  wire         req_ready,
    output wire [55:0]  req_user,       // message bytes 1 to 7: destination kernel to row
    output wire [7:0]   req_op,
    output wire [15:0]  req_tag,
    output wire [31:0]  req_first,
    output wire [31:0]  req_count,
    output wire [4:0]   req_beats,
    output wire         req_whole,
    output wire [3:0]   req_stored,

    output wire         beat_valid,
    input  wire         beat_ready,
    output wire [511:0] beat_data,

    output wire [31:0]  sts_drops,
    output wire         sts_busy
);

localparam [7:0] OP_WRITE = 8'd2, OP_LIMIT = 8'h60;
localparam QUEUE = 8;   // requests; two are kept free, for what is under way when the level is looked at

generate
if (DEPTH < 16 || (1 << $clog2(DEPTH)) != DEPTH) begin : g_depth
    PARAM_ERROR_node_requests_DEPTH_power_of_two_from_16 u_err ();
end
endgenerate

reg          first_reg;     // the next beat begins a message
reg          request_reg;   // the message under way is a request
reg          write_reg;     // and a WRITE
reg          push_reg;      // the request in the registers is whole
reg          whole_reg;
reg  [4:0]   beats_reg;
reg  [3:0]   stored_reg;
reg  [55:0]  user_reg;
reg  [87:0]  head_reg;      // bytes 0 and 2 to 11
reg  [31:0]  drops_reg;

wire [$clog2(QUEUE):0] queue_level;
wire [$clog2(DEPTH):0] store_level;
wire         queue_ready, store_ready;
wire         in_go      = s_axis_tvalid && s_axis_tready;
wire         in_request = (s_axis_tuser[77:76] == 2'd3) && (s_axis_tkeep[11:0] == 12'hfff) && (s_axis_tdata[7:0] < OP_LIMIT);
wire         store      = in_go && !first_reg && write_reg && (stored_reg != 4'd15);
wire         unused     = &{1'b0, s_axis_tdata[15:8], s_axis_tkeep[62:12], s_axis_tuser[79:78], s_axis_tuser[75:64], s_axis_tuser[7:0],
                            queue_ready, store_level};

assign s_axis_tready = store_ready && (queue_level < QUEUE - 2);

always @(posedge clk) begin
    push_reg <= in_go && s_axis_tlast && (first_reg ? in_request : request_reg);
    if (in_go) begin
        first_reg <= s_axis_tlast;
        whole_reg <= s_axis_tkeep[63];
        if (first_reg) begin
            user_reg    <= s_axis_tuser[63:8];
            head_reg    <= {s_axis_tdata[95:16], s_axis_tdata[7:0]};
            request_reg <= in_request;
            write_reg   <= in_request && (s_axis_tdata[7:0] == OP_WRITE);
            beats_reg   <= 5'd0;
            stored_reg  <= 4'd0;
            if (!in_request) drops_reg <= drops_reg + 1'b1;
        end else begin
            if (beats_reg != 5'd31) beats_reg <= beats_reg + 1'b1;
            if (store) stored_reg <= stored_reg + 1'b1;
        end
    end
    if (rst) begin
        first_reg   <= 1'b1;
        request_reg <= 1'b0;
        write_reg   <= 1'b0;
        push_reg    <= 1'b0;
        drops_reg   <= 32'd0;
    end
end

axis_fifo #(.DATA_W(154), .DEPTH(QUEUE), .STYLE("distributed")) u_queue (
    .clk(clk), .rst(rst),
    .s_axis_tdata({stored_reg, whole_reg, beats_reg, user_reg, head_reg}), .s_axis_tvalid(push_reg), .s_axis_tready(queue_ready),
    .m_axis_tdata({req_stored, req_whole, req_beats, req_user, req_count, req_first, req_tag, req_op}),
    .m_axis_tvalid(req_valid), .m_axis_tready(req_ready), .sts_level(queue_level)
);

axis_fifo #(.DATA_W(512), .DEPTH(DEPTH), .STYLE("distributed")) u_store (
    .clk(clk), .rst(rst),
    .s_axis_tdata(s_axis_tdata), .s_axis_tvalid(store), .s_axis_tready(store_ready),
    .m_axis_tdata(beat_data), .m_axis_tvalid(beat_valid), .m_axis_tready(beat_ready), .sts_level(store_level)
);

assign sts_drops = drops_reg;
assign sts_busy  = !first_reg || push_reg || (queue_level != 0);

endmodule

`resetall
