# SPDX-License-Identifier: Apache-2.0
"""A generated top through Yosys, in a process of its own: ``python elaborate.py FOLDER TOP FILES``.

The vendor's primitives are Yosys' own black boxes, so their names, ports and parameters are checked by somebody else; files below
``blackbox/`` are black boxes too. Prints "cells: N" at the end; any problem ends it with another exit code than 0.
"""

from __future__ import annotations

import os
import sys

from pyosys import libyosys as ys


def main() -> None:
    folder, top, *files = sys.argv[1:]
    os.chdir(folder)
    design = ys.Design()

    def run(command: str) -> None:
        ys.run_pass(command, design)

    run("read_verilog -lib +/xilinx/cells_sim.v +/xilinx/cells_xtra.v")
    for file in files:
        run(f"read_verilog {'-lib' if file.startswith('blackbox/') else '-defer'} -DFLOREANA_PACKED=1 {file}")
    run(f"hierarchy -check -top {top}")
    run("proc")
    run("check -assert")
    print("cells:", sum(len(module.cells_) for module in design.all_selected_modules()))


if __name__ == "__main__":
    main()
