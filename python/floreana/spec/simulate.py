# SPDX-License-Identifier: Apache-2.0
"""Simulation of a specification against the integer model, alone or beside the hand-written unit under Icarus."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from myhdl import Cosimulation, Signal, Simulation, StopSimulation, delay, intbv

from floreana.environment import find_tool, missing_tool_message, tool_environment
from floreana.errors import DiffersError, EnvironmentError_
from floreana.spec.unit import Unit, wrap


def bench(unit: Unit, params: Mapping[str, int], count: int, seed: int, exe: str | None = None) -> int:
    """Run ``count`` or more operands; returns the number of answers, all equal. With ``exe`` the unit runs beside the block."""
    rng = random.Random(f"{unit.name} {seed}")
    inputs, outputs = unit.inputs(params), unit.outputs(params)
    clk, rst = Signal(bool(0)), Signal(bool(0))
    clocks = {name: signal for name, signal in (("clk", clk), ("rst", rst)) if name in unit.clocks}
    parts: list[Any] = [unit.block(**clocks, **inputs, **outputs)]
    # the co-simulation carries plain bits: shadows of the inputs, and the unit's answers
    raw_in = {name: Signal(intbv(0)[max(len(s), 1) :]) for name, s in inputs.items()}
    raw_out = {name: Signal(intbv(0)[max(len(s), 1) :]) for name, s in outputs.items()}
    if exe is not None:
        parts.append(Cosimulation(exe, **clocks, **raw_in, **raw_out))

    def put(values: Mapping[str, int]) -> None:
        for name, value in values.items():
            inputs[name].next = value
            raw_in[name].next = value & ((1 << len(raw_in[name])) - 1)

    def answers() -> list[tuple[str, dict[str, int]]]:
        seen = [("specification", {name: int(signal.val) for name, signal in outputs.items()})]
        if exe is not None:
            plain = {name: int(signal.val) for name, signal in raw_out.items()}
            for name, signal in outputs.items():
                if signal.min is not None and signal.min < 0:
                    plain[name] = wrap(plain[name], len(signal))
            seen.append((unit.module, plain))
        return seen

    checked = 0
    expected: deque[tuple[dict[str, int], dict[str, int]]] = deque()

    def check() -> None:
        nonlocal checked
        seen = answers()
        for who, values in seen[1:]:
            if unit.valid_out and values[unit.valid_out] != seen[0][1][unit.valid_out]:
                raise DiffersError(f"{unit.name}: {unit.valid_out} of {who} {values[unit.valid_out]}, of the specification otherwise")
        if unit.valid_out and not seen[0][1][unit.valid_out]:
            return
        if not expected:
            raise DiffersError(f"{unit.name}: an answer that nobody asked for")
        operands, want = expected.popleft()
        for who, values in seen:
            got = {name: values[name] for name in want}
            if got != want:
                raise DiffersError(f"{unit.name}: {operands} gives {got} in {who}, {want} in floreana.ibert.ops")
        checked += 1

    # operands of a stream that belong to a later stage come so many edges later
    late = {name: deque([0] * (stage - 1)) for name, stage in unit.at.items() if name in inputs and unit.valid_in is not None}
    now = dict.fromkeys(late, 0)

    def cycle() -> Any:
        yield delay(1)  # operands move well before the edge
        clk.next = 1
        yield delay(5)
        for name, line in late.items():
            line.append(now[name])
        put({name: line.popleft() for name, line in late.items()})
        clk.next = 0
        yield delay(5)

    def drive() -> Any:
        rst.next = 1
        yield cycle()
        yield cycle()
        rst.next = 0
        for constants, rows in unit.operands(rng, count, params):
            put(constants)
            for row in rows:
                expected.append((row, unit.expect({**constants, **row}, params)))
                now.update({name: row[name] for name in late})
                put({name: value for name, value in row.items() if name not in late})
                if unit.valid_in is None:
                    for _ in range(unit.hold):
                        yield cycle()
                    check()
                    continue
                put({unit.valid_in: 1})
                yield cycle()
                check()
                put({unit.valid_in: 0})
                for _ in range(unit.depth(params) if unit.iterative else rng.choice((0, 0, 0, 1, 3))):
                    yield cycle()
                    check()
            for _ in range(0 if unit.valid_in is None else unit.depth(params) + 2):
                yield cycle()
                check()
        raise StopSimulation

    Simulation(*parts, drive()).run(quiet=1)
    if expected:
        raise DiffersError(f"{unit.name}: {len(expected)} operands without an answer")
    return checked


# ------------------------------------------------------------------ Icarus


def vpi_module(folder: Path) -> Path:
    """MyHDL's co-simulation module, built from the installed wheel for the Icarus in use; EnvironmentError_ where that fails."""
    target = folder / "myhdl.vpi"
    if target.exists():
        return target
    iverilog = find_tool("iverilog")
    if iverilog is None:
        raise EnvironmentError_(missing_tool_message("iverilog"))
    source = Path(sys.prefix) / "share" / "myhdl" / "cosimulation" / "icarus"
    # of the unpacked copy beside the wrapper, else the system's
    places = [
        iverilog.resolve().parents[1] / "root" / "usr" / "include" / "iverilog",
        iverilog.resolve().parents[1] / "include" / "iverilog",
    ]
    named = os.environ.get("IVERILOG_INCLUDE")
    include = next((p for p in ([Path(named)] if named else places) if (p / "vpi_user.h").exists()), None)
    if include is None:
        raise EnvironmentError_(f"vpi_user.h is not in {' nor '.join(map(str, places))}: IVERILOG_INCLUDE= names its folder")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("g++")
    if compiler is None:
        raise EnvironmentError_("no C compiler for MyHDL's co-simulation module: apt install g++")
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"myhdl.vpi.{os.getpid()}"
    command = [compiler, "-x", "c", "-O1", "-w", "-shared", "-fPIC", f"-I{include}", "-o", str(part)]
    done = subprocess.run([*command, str(source / "myhdl.c"), str(source / "myhdl_table.c")], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvironmentError_(f"MyHDL's co-simulation module does not build:\n{done.stderr[-2000:]}")
    part.rename(target)
    return target


def icarus(unit: Unit, params: Mapping[str, int], files: list[Path], folder: Path) -> str:
    """Compile the unit for Icarus with MyHDL's two system tasks around it; returns the command that runs it."""
    vpi = vpi_module(folder.parent)
    folder.mkdir(parents=True, exist_ok=True)
    clocks = unit.clocks
    inputs, outputs = unit.inputs(params), unit.outputs(params)
    lines = ["`timescale 1ns/1ps", "module top;"]
    lines += [f"reg {name};" for name in clocks]
    lines += [f"reg [{max(len(s), 1) - 1}:0] {name};" for name, s in inputs.items()]
    lines += [f"wire [{max(len(s), 1) - 1}:0] {name};" for name, s in outputs.items()]
    lines += [f"initial $from_myhdl({', '.join([*clocks, *inputs])});", f"initial $to_myhdl({', '.join(outputs)});"]
    given = ", ".join(f".{k}({v})" for k, v in params.items())
    links = ", ".join(f".{name}({name})" for name in [*clocks, *inputs, *outputs])
    lines += [f"{unit.module} {f'#({given})' if given else ''} dut ({links});", "endmodule"]
    top = folder / "top.v"
    top.write_text("\n".join(lines) + "\n", encoding="utf-8")
    env = tool_environment()
    command = ["iverilog", "-g2005", "-gno-xtypes", "-s", "top", "-o", str(folder / "top.vvp"), str(top), *map(str, files)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvironmentError_(f"Icarus does not build {unit.module}:\n{done.stderr[-2000:]}")
    vvp = find_tool("vvp")
    if vvp is None:
        raise EnvironmentError_(missing_tool_message("vvp"))
    return f"{vvp} -m {vpi} {folder / 'top.vvp'}"
