// SPDX-License-Identifier: Apache-2.0
// Round robin over a vector of requests, in rounds: the requests of a round are taken as they are at its begin and served once each, lowest first.
//
// Latency request -> m_index 1 cycle where no round is under way, one index a cycle. Nobody waits for more than two rounds. A request that is
// withdrawn in a round is served all the same: the user looks at it again. `reload` = 0 keeps the next round from beginning.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_tx_pick #(
    parameter N       = 64,         // requesters. Requires a power of two, 2 to 64
    parameter INDEX_W = $clog2(N)   // not to be set
) (
    input  wire               clk,
    input  wire               rst,
    input  wire [N-1:0]       req,
    input  wire               reload,
    output wire [INDEX_W-1:0] m_index,
    output wire               m_valid,
    input  wire               m_ready
);

localparam GROUP   = (N > 8) ? 8 : N;
localparam GROUPS  = N / GROUP;

generate
if (N < 2 || N > 64 || (1 << INDEX_W) != N) begin : g_n
    PARAM_ERROR_net_tx_pick_N_power_of_two_to_64 u_err ();
end
endgenerate

reg [N-1:0]       rest_reg;     // of the round under way
reg               more_reg;     // rest_reg is not zero
reg [INDEX_W-1:0] index_reg;
reg               valid_reg;

wire [N-1:0] work = more_reg ? rest_reg : (req & {N{reload}});

// first stage inside each group of eight, second stage between the groups: all groups at the same time
reg [GROUPS-1:0]         any, several;
reg [GROUPS*INDEX_W-1:0] low;
reg [INDEX_W-1:0]        pick;
reg [N-1:0]              rest;      // work without its lowest
reg                      two;       // more than one request is left
reg                      below;
reg [GROUP-1:0]          some, more;
integer                  g, b, n;

always @* begin
    pick    = {INDEX_W{1'b0}};
    two     = 1'b0;
    any     = {GROUPS{1'b0}};
    several = {GROUPS{1'b0}};
    low     = {GROUPS*INDEX_W{1'b0}};
    rest    = work;
    below   = 1'b0;
    some    = {GROUP{1'b0}};
    more    = {GROUP{1'b0}};
    n       = 0;
    for (g = 0; g < GROUPS; g = g + 1) begin
        any[g] = |work[g*GROUP +: GROUP];
        below  = 1'b0;
        // more than one: in groups that double with every round
        some = work[g*GROUP +: GROUP];
        more = {GROUP{1'b0}};
        for (n = GROUP / 2; n > 0; n = n / 2)
            for (b = 0; b < n; b = b + 1) begin
                more[b] = more[2*b] || more[2*b + 1] || (some[2*b] && some[2*b + 1]);
                some[b] = some[2*b] || some[2*b + 1];
            end
        several[g] = more[0];
        for (b = 0; b < GROUP; b = b + 1) begin
            rest[g*GROUP + b] = work[g*GROUP + b] && below;
            below = below || work[g*GROUP + b];
        end
        for (b = GROUP-1; b >= 0; b = b - 1) if (work[g*GROUP + b]) low[g*INDEX_W +: INDEX_W] = g[INDEX_W-1:0] * GROUP[INDEX_W-1:0] + b[INDEX_W-1:0];
    end
    for (g = GROUPS-1; g >= 0; g = g - 1) begin
        if (any[g]) pick = low[g*INDEX_W +: INDEX_W];
        two = two || several[g];
        for (b = 0; b < g; b = b + 1) begin
            two = two || (any[g] && any[b]);
            if (any[b]) rest[g*GROUP +: GROUP] = work[g*GROUP +: GROUP];
        end
    end
end

assign m_index = index_reg;
assign m_valid = valid_reg;

always @(posedge clk) begin
    if (!valid_reg || m_ready) begin
        valid_reg <= (any != {GROUPS{1'b0}});
        index_reg <= pick;
        rest_reg  <= rest;
        more_reg  <= two;
    end
    if (rst) begin
        valid_reg <= 1'b0;
        more_reg  <= 1'b0;
    end
end

endmodule

`resetall
