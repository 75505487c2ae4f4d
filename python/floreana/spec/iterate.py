# SPDX-License-Identifier: Apache-2.0
"""Equivalence of two units that take one operation at a time: a reset from any state, one start, and every cycle until the answer.

Each side's registers are cut, and as many copies of its logic as there are cycles are chained; ABC compares the outputs of every cycle.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from floreana.errors import EnvironmentError_
from floreana.spec.prove import SIDES, Task, Verdict, compare, module, read, yosys

State = list[tuple[str, int]]  # names and widths of registers


def opened(found: Mapping[str, Any], side: str) -> tuple[dict[str, Any], State]:
    """One side with its registers cut: state_<n> is what one holds, next_<n> what it takes."""
    ports, cells = dict(found["ports"]), {}
    state: State = []
    for name, cell in found["cells"].items():
        if cell["type"] != "$dff":
            if "ff" in cell["type"] or "latch" in cell["type"] or "mem" in cell["type"]:
                raise EnvironmentError_(f"{side}: {name} is a {cell['type']}, not a plain register")
            cells[name] = cell
            continue
        index = len(state)
        ports[f"state_{index}"] = {"direction": "input", "bits": cell["connections"]["Q"]}
        ports[f"next_{index}"] = {"direction": "output", "bits": cell["connections"]["D"]}
        state.append((f"{index}", len(cell["connections"]["Q"])))
    return {**found, "ports": ports, "cells": cells}, state


def chain(task: Task, side: str, states: Mapping[str, State], start: str, cycles: int) -> str:
    """Module ``top``: reset in cycle 0, ``start`` in cycle 1, free inputs then; answers count in the cycle of the valid output."""
    valid = task.shape.valid_out
    ports = [f"input [{width - 1}:0] {other}_{name}" for other in SIDES for name, width in states[other]]
    body = [f"wire [{width - 1}:0] at_0_{name} = {side}_{name};" for name, width in states[side]]
    for cycle in range(cycles):
        inputs = [replace(wire, name=f"{wire.name}_{cycle}") for wire in task.inputs]
        links = [".clk(1'b0)", f".rst(1'b{int(cycle == 0)})"]
        for own, wire in zip(task.inputs, inputs, strict=True):
            free = cycle > 0 and not (own.name == start and cycle == 1)
            if free:
                ports.append(wire.declared("input", "_any"))
            taken = wire.legal() if free else wire.literal(int(own.name == start and cycle == 1))
            body.append(f"{wire.declared('wire')} = {taken};")
            links.append(f".{own.name}({wire.name})")
        for name, width in states[side]:
            body.append(f"wire [{width - 1}:0] at_{cycle + 1}_{name};")
            links += [f".state_{name}(at_{cycle}_{name})", f".next_{name}(at_{cycle + 1}_{name})"]
        for own in task.outputs:
            wire = replace(own, name=f"{own.name}_{cycle}", is_signed=False)
            body.append(f"{wire.declared('wire', '_raw')};")
            links.append(f".{own.name}({wire.name}_raw)")
            if cycle > 0:
                ports.append(wire.declared("output"))
                counts = own.name in (valid, "busy")
                body.append(f"assign {wire.name} = {wire.name}_raw{'' if counts else f' & {{{wire.width}{{{valid}_{cycle}_raw}}}}'};")
        body.append(f"{side} u_{cycle} ({', '.join(links)});")
    return "\n".join([f"module top ({', '.join(ports)});", *body, "endmodule"]) + "\n"


def prove(task: Task, start: str, cycles: int, folder: Path, seconds: int) -> Verdict:
    """Run one proof in ``folder``; ``seconds`` bounds each run of a tool."""
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        line
        for side in SIDES
        for line in (*read(task, side), "proc", "flatten", "opt_clean", f"rename -top {side}",
                     f"write_json {folder / side}.step.json", "design -reset")
    ]  # fmt: skip
    yosys(lines, folder, "step", seconds)
    states: dict[str, State] = {}
    for side in SIDES:
        cut, states[side] = opened(module(folder / f"{side}.step.json"), side)
        (folder / f"{side}.cut.json").write_text(json.dumps({"modules": {side: cut}}), encoding="utf-8")
    lines = []
    for side in SIDES:
        (folder / f"{side}.chain.v").write_text(chain(task, side, states, start, cycles), encoding="utf-8")
        lines += [
            f"read_json {folder / side}.cut.json", f"read_verilog {folder / side}.chain.v", "hierarchy -check -top top", "flatten",
            "opt_expr -mux_undef" if side == "spec" else "opt_expr", "opt_clean", "techmap", "opt_expr", "opt_clean", "aigmap", "opt_clean",
            f"write_aiger -symbols {folder / side}.aig", "design -reset",
        ]  # fmt: skip
    yosys(lines, folder, "chain", seconds)
    result, text = compare(folder / "spec.aig", folder / "unit.aig", seconds)
    return Verdict(result, time.monotonic() - started, f"{cycles} cycles: {result}\n{text}")
