# SPDX-License-Identifier: Apache-2.0
"""Equivalence of a converted MyHDL block and a hand-written unit, by Yosys.

Both are flattened into one circuit with common inputs, every register starts in an arbitrary state, and the outputs must agree in
the cycle after the pipeline's depth: whatever happened before. That covers every cycle of every run. Identical products of
identical operands are merged into one multiplier.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_RUN = "import sys\nfrom pyosys import libyosys\nlibyosys.Design().run_pass('script ' + sys.argv[1])"


@dataclass(frozen=True, slots=True)
class Wire:
    """A port: its name, width, signedness, and range where that is narrower than the width."""

    name: str
    width: int
    is_signed: bool
    low: int
    high: int

    @classmethod
    def of(cls, name: str, signal: Any) -> Wire:
        """From a MyHDL signal, whose intbv states the range."""
        width = max(len(signal), 1)
        if isinstance(signal.val, bool):
            return cls(name, 1, False, 0, 1)
        low, high = int(signal.min), int(signal.max) - 1
        return cls(name, width, low < 0, low, high)

    def declared(self, kind: str, suffix: str = "") -> str:
        sign = "signed " if self.is_signed else ""
        return f"{kind} {sign}[{self.width - 1}:0] {self.name}{suffix}"

    def outside(self, name: str) -> str | None:
        """Verilog condition that ``name`` (wide enough) lies outside the range; None where the width alone forbids it."""
        full = (-(1 << (self.width - 1)), (1 << (self.width - 1)) - 1) if self.is_signed else (0, (1 << self.width) - 1)
        if (self.low, self.high) == full:
            return None
        if not self.is_signed:
            return f"({name} < {self.width}'d{self.low} || {name} > {self.width}'d{self.high})"
        mask = (1 << self.width) - 1
        return f"({name} < $signed({self.width}'h{self.low & mask:x}) || {name} > $signed({self.width}'h{self.high & mask:x}))"


@dataclass(frozen=True, slots=True)
class Task:
    """One proof: ``spec`` (a converted file) against ``unit`` (module and files)."""

    spec: Path
    unit: str
    files: tuple[Path, ...]
    parameters: Mapping[str, int]
    inputs: tuple[Wire, ...]  # without clk and rst
    outputs: tuple[Wire, ...]
    depth: int  # cycles until the outputs depend on inputs alone
    clocked: bool
    valid_out: str | None  # the output that says when the others count; None: always
    ties: Mapping[str, int]
    requires: Sequence[str]
    constant: Sequence[str]
    from_reset: bool  # one operation from reset instead of every state


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Yosys said: proven, refuted (a counterexample exists) or undecided (time, or a build error), with the log's end."""

    result: str
    seconds: float
    log: str


def wrapper(task: Task) -> str:
    """Module ``check``: both sides on the same inputs; ``trigger`` where they differ, ``ok`` where the assumptions hold."""
    ports = [wire.declared("input") for wire in task.inputs]
    if task.clocked:
        ports = ["input clk", "input rst", *ports]
    body: list[str] = []
    bad: list[str] = []
    assume: list[str] = list(task.requires)
    for wire in task.inputs:
        outside = wire.outside(wire.name)
        if outside:
            assume.append(f"!{outside}")
    for name, value in task.ties.items():
        assume.append(f"{name} == {value}")
    for name in task.constant:
        wire = next(w for w in task.inputs if w.name == name)
        body.append(f"reg [{wire.width - 1}:0] {name}_before;\nalways @(posedge clk) {name}_before <= {name};")
        assume.append(f"{name} == {name}_before")
    connected = {"gold": [], "gate": []} if not task.clocked else {s: [".clk(clk)", ".rst(rst)"] for s in ("gold", "gate")}
    for side, links in connected.items():
        links += [f".{w.name}({w.name})" for w in task.inputs]
        for wire in task.outputs:
            body.append(f"{wire.declared('wire', f'_{side}')};")
            links.append(f".{wire.name}({wire.name}_{side})")
        body.append(f"{side} u_{side} ({', '.join(links)});")
    for wire in task.outputs:
        differ = f"{wire.name}_gold != {wire.name}_gate"
        if task.valid_out and wire.name not in (task.valid_out, "busy"):
            differ = f"({task.valid_out}_gold && {differ})"
        bad.append(f"(* keep *) wire bad_{wire.name} = {differ};")
    text = ",\n  ".join([*ports, "output trigger", "output ok"])
    joined = "\n".join([*body, *bad])
    differs = " || ".join(f"bad_{wire.name}" for wire in task.outputs)
    return (
        f"module check (\n  {text}\n);\n{joined}\nassign trigger = {differs};\n"
        f"assign ok = {' && '.join(assume) if assume else chr(49) + chr(39) + 'b1'};\nendmodule\n"
    )


def script(task: Task, folder: Path, seconds: int) -> str:
    """The Yosys script of a task."""
    tidy = ["proc", "flatten", "opt -full", "clean"]
    parameters = " ".join(f"-chparam {name} {value}" for name, value in task.parameters.items())
    lines = [f"read_verilog {path}" for path in task.files]
    lines += [f"hierarchy -top {task.unit} {parameters}", *tidy, "rename -top gate", "design -stash unit"]
    lines += [f"read_verilog {task.spec}", "hierarchy -auto-top", *tidy, "rename -top gold", "design -copy-from unit gate"]
    lines += [f"read_verilog {folder / 'check.v'}", "hierarchy -top check", "proc", "flatten", "opt -full", "wreduce", "opt -full", "clean"]
    steps = task.depth + 1
    solve = f"sat -set ok 1 -prove trigger 0 -timeout {seconds}"
    if task.from_reset:
        solve += f" -seq {steps} -prove-skip 1 -set-at 1 rst 1 -set-at 2 start 1"
        solve += "".join(f" -set-at {step} rst 0" for step in range(2, steps + 1))
    elif task.clocked:
        solve += f" -seq {steps} -prove-skip {task.depth}"
    solve += "".join(f" -show bad_{wire.name}" for wire in task.outputs)
    lines.append(f"{solve} check")
    return "\n".join(lines) + "\n"


def prove(task: Task, folder: Path, seconds: int) -> Verdict:
    """Run one proof in ``folder``; ``seconds`` bounds the solver."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "check.v").write_text(wrapper(task), encoding="utf-8")
    path = folder / "check.ys"
    path.write_text(script(task, folder, seconds), encoding="utf-8")
    started = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-c", _RUN, str(path)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=seconds + 120,
        )  # fmt: skip
        text = done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        text = f"no answer after {seconds + 120} s"
    spent = time.monotonic() - started
    (folder / "log").write_text(text, encoding="utf-8")
    if re.search(r"no model found: SUCCESS", text):
        result = "proven"
    elif re.search(r"model found: FAIL", text):
        result = "refuted"
    else:
        result = "undecided"
    return Verdict(result, spent, "\n".join(text.splitlines()[-12:]))
