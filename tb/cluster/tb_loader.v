// SPDX-License-Identifier: Apache-2.0
//
// Plays a node's image on its configuration bus: WAIT cycles after `start`, one write a cycle, then `done`. When `start` falls (the node is in
// reset), it begins again from the first write. With +idle=1 it writes nothing and is done at once: the image comes in frames.
//
// The image is <images>/node<NODE>.hex, the folder given by +images=; one write a line, 136 hexadecimal digits =
// {addr[31:0], data[511:0]}. The file is read as it is played, so no depth limits it. `writes` counts them.
// It does not check the image: the program that starts the simulation does, against its manifest.

`resetall
`timescale 1ns / 1ps
`default_nettype none

module tb_loader #(
    parameter NODE = 0,  // number of the node, part of the file's name
    parameter WAIT = 24  // cycles after reset in which the node writes its own first entries
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
  reg     [       7:0] waited;
  integer              file;
  integer              got;
  integer              idle;

  initial begin
    cfg_we = 1'b0;
    cfg_addr = 32'd0;
    cfg_data = 512'd0;
    done = 1'b0;
    writes = 32'd0;
    got = NOTHING;
    word = 544'd0;
    waited = 8'd0;
    if ($value$plusargs("idle=%d", idle) == 0) idle = 0;
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
  wire ready = start && waited == WAIT;
  always @(negedge clk) begin
    if (!start) begin
      if (got != NOTHING) begin
        $fclose(file);
        file <= $fopen(path, "r");
      end
      got <= NOTHING;
    end else if (idle != 0) got <= -1;
    else if (ready && !done) got <= $fscanf(file, "%h", word);
  end

  always @(posedge clk) begin
    cfg_we <= 1'b0;
    if (!start) begin
      done   <= 1'b0;
      writes <= 32'd0;
      waited <= 8'd0;
    end else if (waited != WAIT) begin
      waited <= waited + 8'd1;
    end else if (!done && got != NOTHING) begin
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
