// SPDX-License-Identifier: Apache-2.0
// Synchronous FIFO over one axis_ram; first word falls through. Users concatenate what travels together into tdata.
//
// Latency 2 cycles from write to m_axis_tvalid, one beat a cycle. Holds DEPTH words in memory plus one in the read register;
// sts_level counts both. A stalled beat does not change. Reset empties it. It does not know packets: see net_switch for whole messages.
`resetall
`timescale 1ns/1ps
`default_nettype none

module axis_fifo #(
    parameter DATA_W = 32,      // everything that travels with a beat
    parameter DEPTH  = 16,      // words in memory. Requires DEPTH to be a power of two, at least 2
    parameter STYLE  = "auto"   // ram_style of the memory
) (
    input  wire                   clk,
    input  wire                   rst,
    input  wire [DATA_W-1:0]      s_axis_tdata,
    input  wire                   s_axis_tvalid,
    output wire                   s_axis_tready,
    output wire [DATA_W-1:0]      m_axis_tdata,
    output wire                   m_axis_tvalid,
    input  wire                   m_axis_tready,
    output wire [$clog2(DEPTH):0] sts_level
);

localparam ADDR_W = $clog2(DEPTH);

generate
if (DEPTH < 2 || (1 << ADDR_W) != DEPTH) begin : g_depth
    PARAM_ERROR_axis_fifo_DEPTH_power_of_two u_err ();
end
endgenerate

reg [ADDR_W:0] wr_ptr_reg, rd_ptr_reg;
reg            out_valid_reg;

wire [ADDR_W:0] stored = wr_ptr_reg - rd_ptr_reg;
wire            wr_en  = s_axis_tvalid && s_axis_tready;
wire            some   = wr_ptr_reg != rd_ptr_reg;
wire            rd_en  = some && (!out_valid_reg || m_axis_tready);

// stored <= DEPTH, so its top bit alone says full
assign s_axis_tready = !stored[ADDR_W];
assign m_axis_tvalid = out_valid_reg;
assign sts_level     = stored + {{ADDR_W{1'b0}}, out_valid_reg};

axis_ram #(.DATA_W(DATA_W), .DEPTH(DEPTH), .FWD_EN(0), .STYLE(STYLE)) u_ram (
    .clk(clk),
    .wr_en(wr_en), .wr_addr(wr_ptr_reg[ADDR_W-1:0]), .wr_data(s_axis_tdata),
    .rd_en(rd_en), .rd_addr(rd_ptr_reg[ADDR_W-1:0]), .rd_data(m_axis_tdata)
);

always @(posedge clk) begin
    if (wr_en) wr_ptr_reg <= wr_ptr_reg + 1'b1;
    if (rd_en) rd_ptr_reg <= rd_ptr_reg + 1'b1;
    out_valid_reg <= some || (out_valid_reg && !m_axis_tready);

    if (rst) begin
        wr_ptr_reg    <= {(ADDR_W+1){1'b0}};
        rd_ptr_reg    <= {(ADDR_W+1){1'b0}};
        out_valid_reg <= 1'b0;
    end
end

endmodule

`resetall
