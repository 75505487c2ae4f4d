// SPDX-License-Identifier: Apache-2.0
// Proof of net_switch_lru: where anybody asks, exactly one of those who ask wins; a requester that keeps asking sees at most N-1 others
// served before it; whoever is served need not have won.
`resetall
`timescale 1ns/1ps
`default_nettype none

module net_switch_lru_formal #(
    parameter N = 4
) (
    input  wire         clk,
    input  wire [N-1:0] req,
    input  wire         serve,      // the winner is served
    input  wire [N-1:0] other,      // else this one is, if one hot
    output wire         bad
);

localparam WATCH = 0;   // all are alike but for the order at reset
localparam COUNT_W = $clog2(N + 1);

reg               run_reg;
initial run_reg = 1'b0;
wire              rst = !run_reg;
reg [COUNT_W-1:0] passed_reg;       // wins of others that were served while WATCH asked
wire [N-1:0]      win;
wire              one_hot = (other != 0) && ((other & (other - 1'b1)) == 0);
wire [N-1:0]      take = serve ? win : (one_hot && !req[WATCH]) ? other : {N{1'b0}};

net_switch_lru #(.N(N)) u_lru (.clk(clk), .rst(rst), .req(req), .win(win), .take(take));

always @(posedge clk) begin
    run_reg <= 1'b1;
    if (!req[WATCH] || take[WATCH]) passed_reg <= {COUNT_W{1'b0}};
    else if (take != 0 && passed_reg != N[COUNT_W-1:0]) passed_reg <= passed_reg + 1'b1;
    if (rst) passed_reg <= {COUNT_W{1'b0}};
end

assign bad = run_reg && ((win & ~req) != 0 || (win & (win - 1'b1)) != 0 || (req != 0 && win == 0) || passed_reg == N[COUNT_W-1:0]);

endmodule

`resetall
