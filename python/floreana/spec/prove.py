# SPDX-License-Identifier: Apache-2.0
"""Equivalence of a converted MyHDL block and a hand-written unit: both are feed-forward pipelines, and their logic is the same.

Yosys flattens each side and ``pipeline`` assigns every register its stage. Then registers become wires, equal multiplications are
cut (their operands become outputs, their products common inputs), and ABC compares what is left for every operand.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from floreana.errors import EnvironmentError_
from floreana.spec import pipeline
from floreana.spec.pipeline import Bit, Refused, Shape

SIDES = ("spec", "unit")
_RUN = "import sys\nfrom pyosys import libyosys\nlibyosys.Design().run_pass('script ' + sys.argv[1])"
_WIRES = """module \\$dff (CLK, D, Q);
  parameter WIDTH = 1;
  parameter CLK_POLARITY = 1;
  input CLK;
  input [WIDTH-1:0] D;
  output [WIDTH-1:0] Q;
  assign Q = D;
endmodule
module \\$dffe (CLK, EN, D, Q);
  parameter WIDTH = 1;
  parameter CLK_POLARITY = 1;
  parameter EN_POLARITY = 1;
  input CLK, EN;
  input [WIDTH-1:0] D;
  output [WIDTH-1:0] Q;
  assign Q = D;
endmodule
"""


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

    def literal(self, value: int) -> str:
        bits = f"{self.width}'h{value & ((1 << self.width) - 1):x}"
        return f"$signed({bits})" if self.is_signed else bits

    def legal(self) -> str:
        """Verilog expression: the free input where it lies in the range, else the range's lower end."""
        full = (-(1 << (self.width - 1)), (1 << (self.width - 1)) - 1) if self.is_signed else (0, (1 << self.width) - 1)
        free = f"{self.name}_any"
        if (self.low, self.high) == full:
            return free
        low, high = self.literal(self.low), self.literal(self.high)
        return f"({free} < {low} || {free} > {high}) ? {low} : {free}"


@dataclass(frozen=True, slots=True)
class Task:
    """One proof: ``spec`` (a converted file) against ``unit`` (module and files)."""

    spec: Path
    unit: str
    files: tuple[Path, ...]
    parameters: Mapping[str, int]
    inputs: tuple[Wire, ...]  # without clk and rst
    outputs: tuple[Wire, ...]
    shape: Shape
    clocks: tuple[str, ...]
    legal: Mapping[str, str]  # inputs that depend on others: Verilog of the value taken, from <input>_any and the others


@dataclass(frozen=True, slots=True)
class Verdict:
    """proven, refuted (a counterexample exists, or the unit is no such pipeline) or undecided (time, or a tool's error), and why."""

    result: str
    seconds: float
    log: str


@dataclass(frozen=True, slots=True)
class Product:
    """One multiplication of one side: operand bits as signed numbers without repeated sign bits, and what it is known by."""

    cell: str
    left: tuple[Bit, ...]
    right: tuple[Bit, ...]
    result: tuple[Bit, ...]
    key: tuple[int, tuple[str, ...]]  # multiplications before it, inputs it depends on


# ------------------------------------------------------------------ tools


def yosys(lines: Sequence[str], folder: Path, name: str, seconds: int) -> None:
    """Run a script; EnvironmentError_ with the log's end where Yosys fails."""
    path = folder / f"{name}.ys"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-c", _RUN, str(path)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise EnvironmentError_(f"Yosys has not finished {path} after {seconds} s") from None
    text = done.stdout + done.stderr
    (folder / f"{name}.log").write_text(text, encoding="utf-8")
    if done.returncode:
        raise EnvironmentError_(f"Yosys fails in {path}:\n{text[-2000:]}")


def compare(first: Path, second: Path, seconds: int) -> tuple[str, str]:
    """ABC's answer for two circuits (proven, refuted, undecided), and its text."""
    package = importlib.util.find_spec("pyosys")
    if package is None or package.origin is None:
        raise EnvironmentError_("pyosys is missing: make env-test")
    abc = Path(package.origin).parent / "yosys-abc"
    if not abc.exists():
        raise EnvironmentError_(f"{abc} is missing: a pyosys with yosys-abc is needed")
    command = [str(abc), "-c", f"dcec -T {seconds} -C 1000000000 {first} {second}"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=seconds + 5)
    except subprocess.TimeoutExpired:
        return "undecided", f"no answer after {seconds + 5} s"
    text = done.stdout + done.stderr
    if re.search(r"^Networks are equivalent", text, re.MULTILINE):
        return "proven", text
    if re.search(r"^Networks are NOT EQUIVALENT", text, re.MULTILINE):
        return "refuted", text
    return "undecided", text


# ------------------------------------------------------------------ the two sides


def read(task: Task, side: str) -> list[str]:
    """Yosys script that reads one side."""
    files, top = ((task.spec,), "spec") if side == "spec" else (task.files, task.unit)
    given = "".join(f" -chparam {name} {value}" for name, value in task.parameters.items()) if side == "unit" else ""
    return [*(f"read_verilog {path}" for path in files), f"hierarchy -check -top {top}{given}"]


def flattened(task: Task, side: str, folder: Path) -> list[str]:
    """Yosys script of one side: <side>.stages.json with its registers, <side>.wires.json with wires instead of them."""
    return [
        *read(task, side), "proc", "flatten", "opt_clean", "opt_dff -nosdff", "opt_clean", f"rename -top {side}",
        "design -push-copy", "simplemap", "opt_clean", f"write_json {folder / side}.stages.json", "design -pop",
        f"techmap -map {folder / 'wires.v'}", "opt_clean", f"write_json {folder / side}.wires.json", "design -reset",
    ]  # fmt: skip


def module(path: Path) -> dict[str, Any]:
    (found,) = json.loads(path.read_text(encoding="utf-8"))["modules"].values()
    return dict(found)


def _operand(bits: Sequence[Bit], is_signed: bool) -> tuple[Bit, ...]:
    kept = list(bits) if is_signed else [*bits, "0"]
    while len(kept) > 1 and kept[-1] == kept[-2]:
        kept.pop()
    return tuple(kept)


def products(found: Mapping[str, Any], data: Collection[str]) -> list[Product]:
    """The multiplications of two variables, in the order of their keys; ``data`` names the inputs that tell them apart."""
    driver: dict[Bit, str] = {}
    for name, cell in found["cells"].items():
        for port, direction in cell["port_directions"].items():
            if direction == "output":
                driver.update(dict.fromkeys(cell["connections"][port], name))
    inputs = {
        bit: f"{name}[{index}]"
        for name, port in found["ports"].items() if name in data
        for index, bit in enumerate(port["bits"])
    }  # fmt: skip
    known: dict[str, tuple[int, frozenset[str]]] = {}

    def of_bits(bits: Sequence[Bit]) -> tuple[int, frozenset[str]]:
        """Multiplications in series up to these nets, and the inputs they depend on."""
        pending = [name for name in {driver[bit] for bit in bits if bit in driver} if name not in known]
        for name in pending:
            of_cell(name)
        parts = [known[driver[bit]] for bit in bits if bit in driver]
        names = {inputs[bit] for bit in bits if bit in inputs}
        return max((depth for depth, _ in parts), default=0), frozenset(names).union(*(some for _, some in parts))

    def of_cell(name: str) -> None:
        cell = found["cells"][name]
        bits = [bit for port, direction in cell["port_directions"].items() if direction == "input" for bit in cell["connections"][port]]
        depth, names = of_bits(bits)
        known[name] = (depth + (cell["type"] == "$mul"), names)

    answer = []
    for name, cell in found["cells"].items():
        if cell["type"] != "$mul":
            continue
        signs = [int(cell["parameters"][f"{port}_SIGNED"], 2) for port in "AB"]
        left, right = (_operand(cell["connections"][port], bool(signs[0] and signs[1])) for port in "AB")
        if any(all(isinstance(bit, str) for bit in operand) for operand in (left, right)):
            continue
        depth, names = of_bits(cell["connections"]["A"] + cell["connections"]["B"])
        answer.append(Product(name, left, right, tuple(cell["connections"]["Y"]), (depth, tuple(sorted(names)))))
    return sorted(answer, key=lambda one: (one.key, len(one.left), len(one.right)))


def _bounds(operand: Wire) -> tuple[int, int]:
    return operand.low, operand.high


def _narrow(name: str, sides: Sequence[tuple[Bit, ...]]) -> Wire:
    """An operand as a signed wire as wide as the wider side; its value fits the narrower, and is not negative where a sign bit is 0."""
    width, least = max(map(len, sides)), min(map(len, sides))
    low = 0 if any(bits[-1] == "0" for bits in sides) else -(1 << (least - 1))
    return Wire(name, width, True, low, (1 << (least - 1)) - 1)


def cut(pairs: Sequence[Sequence[Product]]) -> tuple[list[Wire], list[Wire]]:
    """Of each pair of equal multiplications: the product, an input within what its operands allow, and the operands, outputs."""
    inputs, outputs = [], []
    for index, sides in enumerate(pairs):
        left = _narrow(f"left_{index}", [one.left for one in sides])
        right = _narrow(f"right_{index}", [one.right for one in sides])
        corners = [a * b for a in _bounds(left) for b in _bounds(right)]
        low = 0 if all(one.left == one.right for one in sides) else min(corners)
        inputs.append(Wire(f"product_{index}", left.width + right.width, True, low, max(corners)))
        outputs += [left, right]
    return inputs, outputs


def opened(found: dict[str, Any], own: Sequence[Product]) -> dict[str, Any]:
    """One side without these multiplications: their results are input ports, their operands output ports."""
    ports = dict(found["ports"])
    for index, one in enumerate(own):
        ports[f"product_{index}"] = {"direction": "input", "bits": list(one.result)}
        ports[f"left_{index}"] = {"direction": "output", "bits": list(one.left)}
        ports[f"right_{index}"] = {"direction": "output", "bits": list(one.right)}
    gone = {one.cell for one in own}
    return {**found, "ports": ports, "cells": {name: cell for name, cell in found["cells"].items() if name not in gone}}


def wrapper(task: Task, side: str, own: Sequence[Product], free: Sequence[Wire], operands: Sequence[Wire]) -> str:
    """Module ``top`` around one side: every input within its range, whatever comes; a datum in every stage; never a reset."""
    inputs = [wire for wire in task.inputs if wire.name not in task.shape.enables]
    ports = [wire.declared("input", "_any") for wire in (*inputs, *free)] + [wire.declared("output") for wire in (*task.outputs, *operands)]
    body = [f"{wire.declared('wire')} = {task.legal.get(wire.name, wire.legal())};" for wire in (*inputs, *free)]
    links = [f".{name}(1'b0)" for name in task.clocks]
    links += [f".{name}(1'b1)" for name in task.shape.enables] + [f".{wire.name}({wire.name})" for wire in (*inputs, *task.outputs)]
    for index, one in enumerate(own):
        body.append(f"wire [{len(one.result) - 1}:0] result_{index} = product_{index};")  # longer or shorter: as a signed number
        links.append(f".product_{index}(result_{index})")
        for name, bits in (("left", one.left), ("right", one.right)):
            body.append(f"wire signed [{len(bits) - 1}:0] own_{name}_{index};\nassign {name}_{index} = own_{name}_{index};")
            links.append(f".{name}_{index}(own_{name}_{index})")
    return "\n".join([f"module top ({', '.join(ports)});", *body, f"{side} u ({', '.join(links)});", "endmodule"]) + "\n"


def logic(task: Task, folder: Path, pairs: Sequence[Sequence[Product]], seconds: int) -> tuple[str, str]:
    """ABC's answer for the two sides with ``pairs`` of multiplications cut."""
    free, operands = cut(pairs)
    lines: list[str] = []
    for index, side in enumerate(SIDES):
        own = [pair[index] for pair in pairs]
        text = json.dumps({"modules": {side: opened(module(folder / f"{side}.wires.json"), own)}})
        (folder / f"{side}.logic.json").write_text(text, encoding="utf-8")
        (folder / f"{side}.logic.v").write_text(wrapper(task, side, own, free, operands), encoding="utf-8")
        # a branch that is never taken is undefined in the specification; the unit must have none that counts: write_aiger refuses x
        tidy = "opt_expr -mux_undef" if side == "spec" else "opt_expr"
        lines += [
            f"read_json {folder / side}.logic.json", f"read_verilog {folder / side}.logic.v", "hierarchy -check -top top", "flatten",
            tidy, "opt_clean", "techmap", "opt_expr", "opt_clean", "aigmap", "opt_clean",
            f"write_aiger -symbols {folder / side}.logic.aig", "design -reset",
        ]  # fmt: skip
    yosys(lines, folder, "logic", seconds)
    inputs = sum(wire.width for wire in (*task.inputs, *free) if wire.name not in task.shape.enables)
    outputs = sum(wire.width for wire in (*task.outputs, *operands))
    both = [folder / f"{side}.logic.aig" for side in SIDES]
    for path in both:
        header = [int(word) for word in path.read_bytes().split(b"\n", 1)[0].split()[1:5]]
        if header[1:] != [inputs, 0, outputs]:
            raise EnvironmentError_(
                f"{path} has {header[1]} inputs, {header[2]} registers, {header[3]} outputs, not {inputs}, 0, {outputs}"
            )
    return compare(both[0], both[1], seconds)


def prove(task: Task, folder: Path, seconds: int) -> Verdict:
    """Run one proof in ``folder``; ``seconds`` bounds each run of a tool."""
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "wires.v").write_text(_WIRES, encoding="utf-8")
    yosys([line for side in SIDES for line in flattened(task, side, folder)], folder, "flat", seconds)
    notes: list[str] = []
    result = "refuted"
    try:
        for side in SIDES:
            try:
                counted = pipeline.check(module(folder / f"{side}.stages.json"), task.shape)
            except Refused as error:
                raise Refused(f"{side}: {error}") from None
            notes.append(f"{side}: {counted} register bits, each of one stage")
        data = {wire.name for wire in task.inputs if wire.name not in task.shape.enables}
        own = [products(module(folder / f"{side}.wires.json"), data) for side in SIDES]
        alike = [one.key for one in own[0]] == [one.key for one in own[1]]
        pairs = list(zip(*own, strict=True)) if alike else []
        result, text = logic(task, folder, pairs, seconds)
        notes.append(f"{len(pairs)} multiplications cut: {result}\n{text}")
    except Refused as error:
        notes.append(str(error))
    return Verdict(result, time.monotonic() - started, "\n".join(notes))
