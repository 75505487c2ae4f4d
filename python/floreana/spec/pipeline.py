# SPDX-License-Identifier: Apache-2.0
"""Is a circuit a balanced feed-forward pipeline? Each register gets the one stage in which it holds a datum, or the circuit is refused.

With that, the outputs at their latency are the circuit's own logic with every register replaced by a wire (docs/specifications.md).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

Bit = int | str  # of Yosys' JSON: a net's number, or "0", "1", "x"
CONSTANT = ("0", "1", "x")

_REGISTERS = ("$_DFF_P_", "$_DFFE_PP_")
_GATES: Mapping[str, Callable[[Mapping[str, bool]], bool]] = {
    "$_NOT_": lambda v: not v["A"],
    "$_AND_": lambda v: v["A"] and v["B"],
    "$_OR_": lambda v: v["A"] or v["B"],
    "$_MUX_": lambda v: v["B"] if v["S"] else v["A"],
}


class Refused(Exception):
    """The circuit is no such pipeline; the text names a register or a port, and why."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What is stated of a pipeline: cycles from the operands to the answer, and the ports that come earlier or later."""

    depth: int
    at: Mapping[str, int] = field(default_factory=dict)  # stage of inputs that are not of stage 0, of outputs that are not of the last
    enables: Mapping[str, int] = field(default_factory=dict)  # inputs that say in which stage a datum is, and that stage
    constant: frozenset[str] = frozenset()  # inputs that do not change while anything is in flight
    valid_out: str | None = None


class Circuit:
    """One flat module of ``write_json`` after ``simplemap``: single-bit logic and registers, arithmetic of whole words."""

    def __init__(self, module: Mapping[str, Any]) -> None:
        self.ports: Mapping[str, Any] = module["ports"]
        self.names: dict[Bit, str] = {}
        for name, net in sorted(module["netnames"].items(), key=lambda item: (item[1].get("hide_name", 0), len(item[0])), reverse=True):
            for index, bit in enumerate(net["bits"]):
                self.names[bit] = f"{name}[{index}]" if len(net["bits"]) > 1 else name
        self.driver: dict[Bit, tuple[str, Mapping[str, list[Bit]]]] = {}
        for name, cell in module["cells"].items():
            links: Mapping[str, list[Bit]] = cell["connections"]
            for port, direction in cell["port_directions"].items():
                if direction == "output":
                    for bit in links[port]:
                        self.driver[bit] = (cell["type"], links)
                elif direction != "input":
                    raise Refused(f"cell {name}: port {port} is neither input nor output")

    def name(self, bit: Bit) -> str:
        return self.names.get(bit, f"net {bit}")

    def inputs(self) -> dict[Bit, str]:
        return {bit: name for name, port in self.ports.items() if port["direction"] == "input" for bit in port["bits"]}

    def registers(self) -> list[tuple[Bit, str, Mapping[str, list[Bit]]]]:
        """Output bit, type and connections of each register."""
        return [(bit, kind, links) for bit, (kind, links) in self.driver.items() if kind in _REGISTERS]


def _sources(circuit: Circuit, bit: Bit, found: set[Bit], seen: set[Bit]) -> bool:
    """Collect the nets that ``bit`` is made of by single gates; False where anything else is in between."""
    if bit in seen:
        return True
    seen.add(bit)
    if bit not in circuit.driver or circuit.driver[bit][0] in _REGISTERS:
        if bit not in ("0", "1"):
            found.add(bit)
        return True
    kind, links = circuit.driver[bit]
    return kind in _GATES and all(_sources(circuit, one, found, seen) for port, bits in links.items() if port != "Y" for one in bits)


def _value(circuit: Circuit, bit: Bit, given: Mapping[Bit, bool]) -> bool:
    if bit in given:
        return given[bit]
    if bit in ("0", "1"):
        return bit == "1"
    kind, links = circuit.driver[bit]
    return _GATES[kind]({port: _value(circuit, bits[0], given) for port, bits in links.items() if port != "Y"})


def valid_bits(circuit: Circuit, shape: Shape) -> dict[Bit, int]:
    """The nets that say that stage k holds a datum: the enables given, and each register that is one of them, or 0 in reset."""
    stage: dict[Bit, int] = {circuit.ports[name]["bits"][0]: at for name, at in shape.enables.items()}
    reset = circuit.ports["rst"]["bits"][0] if "rst" in circuit.ports else None
    candidates: list[tuple[Bit, Bit, Bit]] = []
    for out, kind, links in circuit.registers():
        found: set[Bit] = set()
        if kind == "$_DFF_P_" and _sources(circuit, links["D"][0], found, set()) and reset in found and len(found) == 2:
            before = next(bit for bit in found if bit != reset)
            d = links["D"][0]
            if all(_value(circuit, d, {before: v, reset: r}) == (v and not r) for v, r in product((False, True), repeat=2)):
                candidates.append((out, before, d))
    grown = True
    while grown:
        grown = False
        for out, before, _ in candidates:
            if before in stage and out not in stage:
                stage[out] = stage[before] + 1
                grown = True
    return stage


def check(module: Mapping[str, Any], shape: Shape) -> int:
    """Assign a stage to every register behind the outputs; the number of registers (bits). Refused names the first that has none."""
    circuit = Circuit(module)
    valid = valid_bits(circuit, shape)
    inputs = circuit.inputs()
    stages: dict[Bit, int | None] = {}
    under_way: set[Bit] = set()
    counted = 0

    def joined(bits: list[Bit], where: str) -> int | None:
        """The one stage of all of them; None where all are constant."""
        found: dict[int, Bit] = {}
        for bit in bits:
            at = stage(bit)
            if at is not None:
                found.setdefault(at, bit)
        if len(found) > 1:
            (one, a), (two, b), *_ = sorted(found.items())
            raise Refused(f"{where} mixes {circuit.name(a)} of stage {one} with {circuit.name(b)} of stage {two}")
        return next(iter(found), None)

    def stage(bit: Bit) -> int | None:
        """In which stage the net belongs to a datum; None: in any."""
        nonlocal counted
        if bit in stages:
            return stages[bit]
        if bit in CONSTANT:
            return None  # x included: it stands still, and the equivalence does not accept it
        if bit in valid:
            return valid[bit]
        if bit in inputs:
            name = inputs[bit]
            if name in ("clk", "rst"):
                raise Refused(f"{name} reaches data")
            return None if name in shape.constant else shape.at.get(name, 0)
        if bit not in circuit.driver:
            raise Refused(f"{circuit.name(bit)} has no driver")
        if bit in under_way:
            raise Refused(f"feedback through {circuit.name(bit)}")
        under_way.add(bit)
        kind, links = circuit.driver[bit]
        name = circuit.name(bit)
        if kind in _REGISTERS:
            counted += 1
            if inputs.get(links["C"][0]) != "clk":
                raise Refused(f"register {name} is not clocked by clk")
            try:
                before = stage(links["D"][0])
            except Refused as error:
                raise Refused(f"register {name}: {error}" if not str(error).startswith("register") else str(error)) from None
            enable = links["E"][0] if kind == "$_DFFE_PP_" else None
            if enable is not None and enable not in valid:
                raise Refused(f"register {name} is enabled by {circuit.name(enable)}, which is no valid bit")
            if before is None:
                if enable is None:
                    raise Refused(f"register {name} holds a constant, but has no enable")
                before = valid[enable]
            if enable is not None and valid[enable] != before:
                raise Refused(f"register {name} takes stage {before}, but its enable {circuit.name(enable)} is of stage {valid[enable]}")
            result: int | None = before + 1
        elif kind.startswith(("$_DFF", "$_SDFF", "$_ALDFF", "$_DLATCH", "$_SR", "$_FF", "$mem")):
            raise Refused(f"register {name} is a {kind}, neither plain nor with an enable alone")
        else:
            result = joined([one for port, bits in links.items() if port != "Y" for one in bits], name)
        under_way.discard(bit)
        stages[bit] = result
        return result

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)  # a cone is as deep as the pipeline has gates in series
    try:
        for name, port in sorted(circuit.ports.items()):
            if port["direction"] != "output":
                continue
            wanted = shape.at.get(name, shape.depth)
            if name == shape.valid_out:
                found = valid.get(port["bits"][0])
                if found is None:
                    raise Refused(f"{name} is not the last of the valid bits")
            else:
                found = joined(port["bits"], name)
            if found is not None and found != wanted:
                raise Refused(f"{name} comes {found} cycles after its operands, not {wanted}")
    finally:
        sys.setrecursionlimit(limit)
    return counted + sum(bit not in inputs for bit in valid)
