# SPDX-License-Identifier: Apache-2.0
"""Clock domain crossings of node_shell, from Yosys' netlist, in a process of its own: ``python crossings.py PORTS FILES``.

Prints JSON: for each path from a register, memory or input of one clock to a register of another [kind of source, source, register], and
the registers with an asynchronous set. Names are as Vivado spells them, below the instance ``shell``.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from pyosys import libyosys as ys

FF = ("$dff", "$adff")


def vivado_name(name: str) -> str:
    """Instances are joined by a slash, a generate block and what is in it by a dot."""
    return "shell/" + re.sub(r"(?<!\])\.", "/", name.removeprefix("\\"))


def netlist(ports: int, files: list[str]) -> dict[str, Any]:
    design = ys.Design()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "shell.json"
        for command in (
            f"read_verilog -defer {' '.join(files)}",
            f"hierarchy -check -top node_shell -chparam PORTS_N {ports}",
            "proc -noopt",
            "flatten",
            "memory_collect",
            "opt_clean",
            f"write_json {out}",
        ):
            ys.run_pass(command, design)
        modules: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))["modules"]
        return next(module for module in modules.values() if module["attributes"].get("top"))


def main() -> None:
    ports, files = int(sys.argv[1]), sys.argv[2:]
    module = netlist(ports, files)
    clock_of: dict[int, str] = {module["ports"]["clk"]["bits"][0]: "clk"}
    for p in range(ports):
        clock_of[module["ports"]["mac_clk"]["bits"][p]] = f"mac{p}"
    names: dict[int, str] = {}
    for name, net in module["netnames"].items():
        for bit in net["bits"]:
            if isinstance(bit, int) and (bit not in names or (name.endswith("_reg") and not names[bit].endswith("_reg"))):
                names[bit] = name

    driver: dict[int, tuple[str, str]] = {}  # bit -> cell, port
    for name, cell in module["cells"].items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "output":
                for bit in bits:
                    driver[bit] = (name, port)
    domain: dict[int, str] = {}  # input bit -> clock
    for name, port in module["ports"].items():
        if port["direction"] == "input":
            for index, bit in enumerate(port["bits"]):
                mac = name.startswith(("cmac_", "mac_tx_rst", "mac_rx_rst", "stat_"))
                domain[bit] = f"mac{index * ports // len(port['bits'])}" if mac else "clk"

    def name_of(bits: list[Any]) -> str:
        return vivado_name(names[next(bit for bit in bits if isinstance(bit, int))]) + "_reg"

    known: dict[str, frozenset[tuple[str, str, str]]] = {}

    def behind_cell(name: str) -> frozenset[tuple[str, str, str]]:
        """(kind, name, clock) of what a cell's outputs depend on, without a register between; all outputs of a cell alike."""
        if name not in known:
            known[name] = frozenset()  # nothing new where a loop closes; rtl/ has none, check -assert says
            cell = module["cells"][name]
            nets = cell["connections"]
            if cell["type"] in FF:
                known[name] = frozenset({("register", name_of(nets["Q"]), clock_of[nets["CLK"][0]])})
            elif cell["type"] == "$mem_v2":
                memory = vivado_name(cell["parameters"]["MEMID"]) + "_reg"
                known[name] = frozenset({("memory", memory, clock_of[nets["WR_CLK"][0]])}) | behind(nets["RD_ADDR"])
            else:
                known[name] = behind([bit for q, bits in nets.items() if cell["port_directions"][q] == "input" for bit in bits])
        return known[name]

    def behind(bits: list[Any]) -> frozenset[tuple[str, str, str]]:
        found: set[tuple[str, str, str]] = set()
        for name in {driver[bit][0] for bit in bits if bit in driver}:
            found |= behind_cell(name)
        for bit in bits:
            if bit in domain:
                found.add(("input", names[bit].removeprefix("\\"), domain[bit]))
        return frozenset(found)

    crossings: set[tuple[str, str, str]] = set()
    caught: set[str] = set()
    registers = 0
    for cell in module["cells"].values():
        nets = cell["connections"]
        if cell["type"] in FF:
            name, clock, data = name_of(nets["Q"]), clock_of[nets["CLK"][0]], nets["D"]
            if cell["type"] == "$adff":
                caught.add(name)
        elif cell["type"] == "$mem_v2":
            name, clock = vivado_name(cell["parameters"]["MEMID"]) + "_reg", clock_of[nets["WR_CLK"][0]]
            data = [bit for port in ("WR_DATA", "WR_ADDR", "WR_EN") for bit in nets[port]]
        else:
            continue
        registers += 1
        crossings |= {(kind, source, name) for kind, source, other in behind(data) if other != clock}
    print("JSON", json.dumps({"crossings": sorted(crossings), "caught": sorted(caught), "registers": registers}))


if __name__ == "__main__":
    main()
