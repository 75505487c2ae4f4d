// SPDX-License-Identifier: Apache-2.0
// One output of net_switch: takes the beats of the input that owns it, registers them, counts.
//
//   taken = the owner's beat, where it moves and is for this output
//
// Latency 1 cycle, one beat a cycle. Who owns, moves and waits for whom is decided outside; s_ready is a register.
// sts_count: messages out, beats out, cycles an offered beat was not taken; 2 cycles behind.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_switch_out #(
    parameter PORTS  = 5,   // inputs
    parameter BEAT_W = 657  // tlast, and everything else that travels with a beat
) (
    input  wire                    clk,
    input  wire                    rst,

    input  wire [PORTS-1:0]        own,     // owner, one hot or none
    input  wire [PORTS-1:0]        move,    // an input's beat goes
    input  wire [PORTS-1:0]        mine,    // and this output is among its outputs
    input  wire [PORTS*BEAT_W-1:0] s_beat,  // tlast at the top
    output wire                    s_ready,

    output wire [BEAT_W-1:0]       m_beat,
    output wire                    m_valid,
    input  wire                    m_ready,

    output wire [3*32-1:0]         sts_count
);

reg               hit;                              // the owner's beat comes here
reg  [BEAT_W-1:0] beat;
reg               went_reg, ended_reg, stood_reg;   // a beat, a last one, left; one was not taken
reg  [31:0]       messages_reg, beats_reg, stalled_reg;
integer           k;

// the owner alone reaches the output; it may still move a beat of an earlier message elsewhere
always @* begin
    k    = 0;
    hit  = 1'b0;
    beat = {BEAT_W{1'b0}};
    for (k = 0; k < PORTS; k = k + 1) begin
        hit  = hit | (own[k] & move[k] & mine[k]);
        beat = beat | ({BEAT_W{own[k]}} & s_beat[k*BEAT_W +: BEAT_W]);
    end
end

axis_skid #(.DATA_W(BEAT_W)) u_skid (
    .clk(clk), .rst(rst), .s_axis_tdata(beat), .s_axis_tvalid(hit), .s_axis_tready(s_ready),
    .m_axis_tdata(m_beat), .m_axis_tvalid(m_valid), .m_axis_tready(m_ready)
);

always @(posedge clk) begin
    went_reg  <= m_valid && m_ready;
    ended_reg <= m_valid && m_ready && m_beat[BEAT_W-1];
    stood_reg <= m_valid && !m_ready;
    if (went_reg)  beats_reg    <= beats_reg + 1'b1;
    if (ended_reg) messages_reg <= messages_reg + 1'b1;
    if (stood_reg) stalled_reg  <= stalled_reg + 1'b1;
    if (rst) begin
        went_reg     <= 1'b0;
        ended_reg    <= 1'b0;
        stood_reg    <= 1'b0;
        messages_reg <= 32'd0;
        beats_reg    <= 32'd0;
        stalled_reg  <= 32'd0;
    end
end

assign sts_count = {stalled_reg, beats_reg, messages_reg};

endmodule

`resetall
