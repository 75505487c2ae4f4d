// SPDX-License-Identifier: Apache-2.0
// Arbiter of N requesters: the one that was served least recently wins.
//
// first(j, k) = 1: j goes before k; always a total order. The winner is the requester before which no other requester goes. `take`
// (one hot, or none) names who was served in this cycle: it goes behind all others. A requester that is served whenever it wins waits
// for at most N-1 others; one that wins without being served keeps its place.
//
// Combinational from req to win, 3 levels of six-input tables for N = 7. It keeps no request.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_switch_lru #(
    parameter N = 5     // requesters. Requires at least 2
) (
    input  wire         clk,
    input  wire         rst,
    input  wire [N-1:0] req,
    output reg  [N-1:0] win,    // one hot, or none
    input  wire [N-1:0] take
);

generate
if (N < 2) begin : g_n
    PARAM_ERROR_net_switch_lru_N_at_least_2 u_err ();
end
endgenerate

reg [N*N-1:0] first_reg;    // first(j, k) at j*N + k
integer j, k, a, b;

always @* begin
    j   = 0;  // a loop variable too must not be kept: no latch
    win = req;
    for (k = 0; k < N; k = k + 1) begin
        for (j = 0; j < N; j = j + 1) begin
            if (j != k && req[j] && first_reg[j*N + k]) win[k] = 1'b0;
        end
    end
end

always @(posedge clk) begin
    for (a = 0; a < N; a = a + 1) begin
        for (b = 0; b < N; b = b + 1) begin
            if (take[a])      first_reg[a*N + b] <= 1'b0;
            else if (take[b]) first_reg[a*N + b] <= (a != b);
            if (rst)          first_reg[a*N + b] <= (a < b);
        end
    end
end

endmodule

`resetall
