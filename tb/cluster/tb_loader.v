// SPDX-License-Identifier: Apache-2.0
//
// Plays a node's image on its configuration bus: one write a cycle from the cycle after `start`, then `done` for good.
//
// The image is <images>/node<NODE>.hex, the folder given by +images=; one write a line, 136 hexadecimal digits =
// {addr[31:0], data[511:0]}. The file is read as it is played, so no depth limits it. `writes` counts them.
// It does not check the image: the program that starts the simulation does, against its manifest.

`resetall
`timescale 1ns / 1ps
`default_nettype none

module tb_loader #(
    parameter NODE = 0  // number of the node, part of the file's name
) (
    input  wire         clk,
    input  wire         start,
    output reg          cfg_we,
    output reg  [ 31:0] cfg_addr,
    output reg  [511:0] cfg_data,
    output reg          done,
    output reg  [ 31:0] writes
);

  localparam NOTHING = 2;  // no line was read yet: 1 is a line, anything else the end

  reg     [8*1024-1:0] folder;
  reg     [8*1040-1:0] path;
  reg     [     543:0] word;
  integer              file;
  integer              got;

  initial begin
    cfg_we = 1'b0;
    cfg_addr = 32'd0;
    cfg_data = 512'd0;
    done = 1'b0;
    writes = 32'd0;
    got = NOTHING;
    word = 544'd0;
    if ($value$plusargs("images=%s", folder) == 0) begin
      $display("tb_loader: +images=<folder> is missing");
      $finish;
    end
    $sformat(path, "%0s/node%0d.hex", folder, NODE);
    file = $fopen(path, "r");
    if (file == 0) begin
      $display("tb_loader: cannot open the image %0s", path);
      $finish;
    end
  end

  // a line is read while the clock is low and played at the next edge
  always @(negedge clk) if (start && !done) got <= $fscanf(file, "%h", word);

  always @(posedge clk) begin
    cfg_we <= 1'b0;
    if (start && !done && got != NOTHING) begin
      if (got == 1) begin
        cfg_we   <= 1'b1;
        cfg_addr <= word[543:512];
        cfg_data <= word[511:0];
        writes   <= writes + 32'd1;
      end else begin
        done <= 1'b1;
      end
    end
  end

endmodule

`resetall
