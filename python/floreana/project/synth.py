# SPDX-License-Identifier: Apache-2.0
"""Resources and logic levels of a project's node, from Yosys (`make synth`, docs/resources.md).

`node_core` of the plan's shape is cut at the modules CUT names. Each different one (module and parameters) is synthesised once, kept under
the hash of all that it depends on, and counted as often as it stands in the node. The mapped parts are then put together again, and the
longest path between registers is walked over the whole node.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.table import Table

from floreana.cluster.resources import AVAILABLE, DEVICE, PERCENT
from floreana.environment import project_root
from floreana.errors import EnvironmentError_
from floreana.project.synth_worker import RECIPE, SYNTH

OWN = "node_core itself"
LEVELS = 6  # logic levels between registers aimed at, outside multipliers
# Registers behind the multipliers that are built of LUTs (use_dsp = "no"): what ends there is a product, not logic around it
PRODUCTS = re.compile(r"(^|[./])(u_lane\.sq|u_res\.prod_p2|u_dot/p[0-3]_p1)\[")
PRODUCT = ", products of LUTs"  # name of their line

TOP = "node_core"
# net_switch is one part with its inputs and its arbiter: its logic runs across them
CUT = frozenset({
    "axis_msg_emit", "axis_ram", "axis_skid", "ibert_acc_fifo", "ibert_add_norm", "ibert_add_norm_rx", "ibert_attention",
    "ibert_attention_context", "ibert_attention_exp", "ibert_attention_in", "ibert_attention_rows", "ibert_attention_score",
    "ibert_dot", "ibert_gelu", "ibert_layernorm", "ibert_layernorm_lane", "ibert_linear", "ibert_linear_array",
    "ibert_linear_in", "ibert_linear_seq", "ibert_mac_pair", "ibert_post", "ibert_requant", "ibert_residual_lane",
    "ibert_residual_sum", "ibert_row_queue", "net_eth", "net_eth_rx", "net_eth_tx", "net_link", "net_respond", "net_rx_cells",
    "net_rx_check", "net_rx_peers", "net_switch", "net_switch_out", "net_tx_frame",
    "net_tx_queue", "net_tx_store", "net_tx_window", "node_boot", "node_config", "node_gateway", "node_manager",
})  # fmt: skip
WHOLE = frozenset({"ibert_residual_lane", "ibert_layernorm_lane", "ibert_mac_pair"})  # nothing is cut inside
# cut here only: read and written at one address, this memory would become a single-port RAM512X1S, whose mapping Yosys 0.70 lacks for xcup
ALSO = {"ibert_attention_rows": frozenset({"axis_lutram"})}

Value = int | str
Key = tuple[str, tuple[tuple[str, Value], ...]]
_WORD = re.compile(r"[A-Za-z_]\w*")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)

# resource -> cells; LUTs of a cell of LUT memory (a SLICEM holds 8 LUTs)
_LUT_RAM = {
    "RAM32X1S": 1, "RAM32X1D": 2, "RAM32M": 4, "RAM32M16": 8, "RAM64X1S": 1, "RAM64X1D": 2, "RAM64M": 4, "RAM64M8": 8, "RAM128X1S": 2,
    "RAM128X1D": 4, "RAM256X1S": 4, "RAM256X1D": 8, "RAM512X1S": 8, "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1,
}  # fmt: skip
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Part:
    """A synthesised module: cells by type, children by instance name (derived name), the netlist."""

    key: Key
    cells: Counter[str]
    children: dict[str, Key]
    netlist: dict[str, Any]


# ------------------------------------------------------------------ counting


def resources(cells: Mapping[str, int]) -> Counter[str]:
    """Cells by type as resources of the device; RAMB18 is half a RAMB36, an inverter in front of a register costs nothing."""
    out: Counter[str] = Counter()
    for kind, count in cells.items():
        if kind.startswith("LUT") and kind[3:].isdigit():
            out["LUT"] += count
        elif kind in _LUT_RAM:
            out["LUT"] += count * _LUT_RAM[kind]
        elif kind.startswith(("FD", "LD")):
            out["FF"] += count
        elif kind.startswith("DSP48"):
            out["DSP48E2"] += count
        elif kind.startswith("URAM288"):
            out["URAM288"] += count
        elif kind.startswith("RAMB36"):
            out["RAMB36"] += count
        elif kind.startswith("RAMB18"):
            out["RAMB36"] += count * _HALF  # type: ignore[assignment]
    return out


def over(total: Mapping[str, float]) -> list[str]:
    """What lies beyond its limit: value, limit."""
    told = []
    for name, percent in PERCENT.items():
        limit = AVAILABLE[name] * percent // 100
        if total.get(name, 0) > limit:
            told.append(f"{name}: {total[name]:,} of {AVAILABLE[name]:,}, limit {limit:,} ({percent} %)")
    return told


# ------------------------------------------------------------------ synthesis, kept by hash


def files() -> dict[str, Path]:
    """Module name -> file."""
    return {path.stem: path for path in sorted((project_root() / "rtl").glob("*/*.v"))}


def code(path: Path) -> str:
    """Verilog without its comments."""
    return _COMMENT.sub(" ", path.read_text(encoding="utf-8"))


def head(text: str) -> str:
    """A module's text as far as its ports, without what closes them."""
    return text.split(");", 1)[0]


def reached(key: Key, cut: frozenset[str], known: Mapping[str, Path]) -> list[str]:
    """Modules below a part, itself among them; those below one that is cut are not looked at, but the one that is."""
    seen: set[str] = set()
    queue = [key[0]]
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        if name == key[0] or name not in cut:
            text = code(known[name])
            queue += [word for word in set(_WORD.findall(text)) if word in known and word != name]
    return sorted(seen)


def below(key: Key, known: Mapping[str, Path]) -> list[str]:
    """Files that Yosys must read for a part: it elaborates what is cut too, and drops it then."""
    return reached(key, frozenset(), known)


def digest(key: Key, cut: frozenset[str], known: Mapping[str, Path]) -> str:
    """Hash of all that decides a part: tool, parameters, text of every module reached; of one that is cut its ports only."""
    sha = hashlib.sha256()
    try:
        tool = version("pyosys")
    except PackageNotFoundError:
        raise EnvironmentError_("pyosys (Yosys) is missing: make env-test") from None
    for part in (tool, f"{RECIPE} {SYNTH}", repr(key)):
        sha.update(part.encode() + b"\0")
    for name in reached(key, cut, known):
        text = code(known[name])
        sha.update((head(text) if name in cut and name != key[0] else text).encode() + b"\0")
    return sha.hexdigest()[:20]


def cut_of(key: Key) -> frozenset[str]:
    """Modules that are black boxes inside a part."""
    return frozenset() if key[0] in WHOLE else (CUT | ALSO.get(key[0], frozenset())) - {key[0]}


def compact(found: Mapping[str, Any]) -> dict[str, Any]:
    """Netlist without what is not needed: ports, cells (type, connections, which are outputs), names of nets."""
    netlist = found["netlist"]
    cells = {}
    for name, cell in netlist["cells"].items():
        if cell["type"] == "$scopeinfo":
            continue
        outputs = [port for port, direction in cell["port_directions"].items() if direction == "output"]
        cells[name] = [cell["type"], cell["connections"], outputs]
    names: dict[int, str] = {}
    for name, net in netlist["netnames"].items():
        hidden = net.get("hide_name", 0) or name.startswith("$")
        for index, bit in enumerate(net["bits"]):
            if isinstance(bit, int) and (bit not in names or (not hidden and (len(name) < len(names[bit]) or names[bit].startswith("$")))):
                names[bit] = f"{name}[{index}]" if len(net["bits"]) > 1 else name
    ports = {name: [port["direction"], port["bits"]] for name, port in netlist["ports"].items()}
    return {"children": found["children"], "cells": cells, "names": {str(k): v for k, v in names.items()}, "ports": ports}


def worker(job: Mapping[str, Any], name: str) -> None:
    """A job through synth_worker in a process of its own."""
    command = [sys.executable, "-m", "floreana.project.synth_worker"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise EnvironmentError_(f"Yosys cannot synthesise {name}:\n{(done.stdout + done.stderr)[-2000:]}")


def synthesise(key: Key, cache: Path, tell: Callable[[str], None]) -> Part:
    """A part from the cache, or from Yosys in a process of its own."""
    known = files()
    cut = cut_of(key)
    path = cache / f"{key[0]}-{digest(key, cut, known)}.json.gz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=".", dir=cache) as scratch:
            out = Path(scratch) / "part.json"
            job = {
                "files": [str(known[name]) for name in below(key, known)], "top": key[0], "parameters": dict(key[1]), "cut": sorted(cut),
                "out": str(out),
            }  # fmt: skip
            worker(job, shown(key))
            small = compact(json.loads(out.read_text(encoding="utf-8")))
            packed = out.with_suffix(".gz")
            packed.write_bytes(gzip.compress(json.dumps(small).encode(), 3, mtime=0))
            packed.rename(path)
        tell(f"{shown(key)}: {time.monotonic() - began:.0f} s")
    small = json.loads(gzip.decompress(path.read_bytes()))
    derived = {name: (base, tuple(sorted(parameters.items()))) for name, (base, parameters) in small["children"].items()}
    children = {name: derived[cell[0]] for name, cell in small["cells"].items() if cell[0] in derived}
    cells = Counter(cell[0] for cell in small["cells"].values() if cell[0] not in derived)
    return Part(key, cells, children, small)


def shown(key: Key) -> str:
    """Module and parameters as text."""
    return f"{key[0]}({', '.join(f'{name}={value}' for name, value in key[1])})" if key[1] else key[0]


def all_parts(top: Key, cache: Path, jobs: int, tell: Callable[[str], None]) -> dict[Key, Part]:
    """Every part below ``top``, ``jobs`` at a time."""
    parts: dict[Key, Part] = {}
    wanted = [top]
    with ThreadPoolExecutor(jobs) as pool:
        while wanted:
            for part in pool.map(lambda key: synthesise(key, cache, tell), wanted):
                parts[part.key] = part
            wanted = sorted({key for part in parts.values() for key in part.children.values()} - set(parts), key=repr)
    return parts


# ------------------------------------------------------------------ totals


@dataclass(slots=True)
class Row:
    """A unit of the node: where, resources, its longest path."""

    name: str
    used: Counter[str] = field(default_factory=Counter)
    levels: int = 0
    path: tuple[str, str] = ("", "")


def instances(parts: Mapping[Key, Part], top: Key, prefix: str = "") -> Iterator[tuple[str, Key]]:
    """Every part of the node with its path."""
    yield prefix, top
    for name, key in sorted(parts[top].children.items()):
        yield from instances(parts, key, f"{prefix}/{name}" if prefix else name)


def kernel_of(path: str) -> str:
    """The child of node_core that an instance belongs to."""
    return path.split("/", maxsplit=1)[0] or OWN


def part_of(path: str) -> str:
    """The same, with the part of it; parts that differ in an index only are one."""
    return re.sub(r"\[\d+\]", "[]", "/".join(path.split("/")[:2])) or OWN


def totals(parts: Mapping[Key, Part], top: Key, unit: Callable[[str], str]) -> dict[str, Row]:
    """Resources by unit."""
    own = {key: resources(part.cells) for key, part in parts.items()}
    rows: dict[str, Row] = {}
    for path, key in instances(parts, top):
        rows.setdefault(unit(path), Row(unit(path))).used.update(own[key])
    return rows


def memories(parts: Mapping[Key, Part], top: Key) -> list[tuple[str, str, float, int, int]]:
    """Every memory outside LUTs: instances, size, RAMB36, URAM288, LUT, largest first."""
    found: dict[tuple[str, str], list[float]] = {}
    for path, key in instances(parts, top):
        if key[0] != "axis_ram":
            continue
        parameters = dict(key[1])
        used = resources(parts[key].cells)
        name = re.sub(r"\[\d+\]", "[]", path)
        name = re.sub(r"u_ram[01]$", "u_ram", name)
        size = f"{parameters['DATA_W']} x {parameters['DEPTH']} {parameters['STYLE']}"
        entry = found.setdefault((name, size), [0, 0, 0, 0])
        for index, amount in enumerate((1, used["RAMB36"], used["URAM288"], used["LUT"])):
            entry[index] += amount
    out = [(f"{int(v[0])} x {name}" if v[0] > 1 else name, size, v[1], int(v[2]), int(v[3])) for (name, size), v in found.items()]
    return sorted(out, key=lambda each: (-each[2] - 8 * each[3], each[0]))


# ------------------------------------------------------------------ longest paths

# Time in eighths of a level: a LUT 8; a CARRY4 4 bits of a chain, 1 (CARRY8: 2), what leaves the chain is rounded up to a whole level.
_LEVEL = 8
_FREE = {"MUXF7", "MUXF8", "MUXF9", "BUFG", "IBUF", "OBUF", "GND", "VCC"}
_COMBINATIONAL_RAM = ("DO", "O", "Q", "DPO", "SPO")


def kind_of(cell: str) -> str:
    """lut, free, carry, lutram (read through), register (starts and ends paths)."""
    if (cell.startswith("LUT") and cell[3:].isdigit()) or cell == "INV":
        return "lut"
    if cell in _FREE:
        return "free"
    if cell in ("CARRY4", "CARRY8"):
        return "carry"
    if cell in _LUT_RAM:
        return "lutram"
    return "register"


class Paths:
    """The mapped node as one graph. ``longest`` gives arrival times in eighths of a level."""

    def __init__(self, parts: Mapping[Key, Part], top: Key) -> None:
        self.names: dict[int, tuple[str, str]] = {}  # net -> path of its instance, name there
        self.driver: dict[int, tuple[str, list[tuple[int, int]], str]] = {}  # net -> kind, [(net, cost)], instance
        self.ends: list[tuple[int, str, str, int]] = []  # net, instance, what takes it, net it is known by
        self.starts: dict[int, str] = {}
        self._next = 2
        self._place(parts, top, "", {})

    def _net(self, bits: Mapping[Any, int], bit: Any) -> int:
        return bits[bit] if isinstance(bit, int) else 0

    def _place(self, parts: Mapping[Key, Part], key: Key, path: str, outer: Mapping[str, Sequence[int]]) -> None:
        small = parts[key].netlist
        bits: dict[Any, int] = {}
        for port, (_direction, own) in sorted(small["ports"].items(), key=lambda each: str(each[1][0])):  # inputs first
            if port in outer:
                for bit, net in zip(own, outer[port], strict=False):
                    if isinstance(bit, int):
                        if bit in bits and bits[bit] != net:  # one net on two output ports: an alias
                            self.driver[net] = ("free", [(bits[bit], 0)], path)
                        else:
                            bits[bit] = net
                    elif _direction == "output":
                        self.starts.setdefault(net, f"{path}: constant")
        inside = {bit for cell in small["cells"].values() for some in cell[1].values() for bit in some if isinstance(bit, int)}
        for bit in sorted(inside - set(bits)):
            bits[bit] = self._next
            self._next += 1
        for bit, name in small["names"].items():
            if (named := bits.get(int(bit), 0)) and named not in self.names:
                self.names[named] = (path, name)
        if not outer:
            for port, (direction, own) in small["ports"].items():
                for bit in own:
                    if isinstance(bit, int) and bit in bits:
                        if direction == "input":
                            self.starts[bits[bit]] = f"port {port}"
                        else:
                            self.ends.append((bits[bit], path, f"port {port}", bits[bit]))
        for name, (kind, connections, outputs) in small["cells"].items():
            nets = {port: [self._net(bits, bit) for bit in own] for port, own in connections.items()}
            if name in parts[key].children:
                self._place(parts, parts[key].children[name], f"{path}/{name}" if path else name, nets)
            else:
                self._cell(kind, nets, outputs, path)

    def _cell(self, cell: str, nets: Mapping[str, list[int]], outputs: Sequence[str], path: str) -> None:
        kind = kind_of(cell)
        inputs = [port for port in nets if port not in outputs]
        if kind == "carry":
            # bits of a chain within the cell are not told apart: all outputs depend on all inputs
            cost = 1 if cell == "CARRY4" else 2
            sources = [(net, cost if port == "CI" else -cost) for port in inputs for net in nets[port] if net]
            for port in outputs:
                for net in nets[port]:
                    self.driver[net] = ("carry", sources, path)
            return
        if kind in ("lut", "free"):
            sources = [(net, _LEVEL if kind == "lut" else 0) for port in inputs for net in nets[port] if net]
            for port in outputs:
                for net in nets[port]:
                    self.driver[net] = (kind, sources, path)
            return
        if kind == "lutram":
            reads = [port for port in inputs if port.startswith(("A", "DPRA", "RADR")) and not cell.startswith("SRL")]
            if cell.startswith("SRL"):
                reads = [port for port in inputs if port == "A" or (len(port) == 2 and port[0] == "A")]
            for port in outputs:
                letter = port[2:3] if port.startswith("DO") else ""
                some = [each for each in reads if not letter or each == f"ADDR{letter}"] or reads
                sources = [(net, _LEVEL) for each in some for net in nets[each] if net]
                for net in nets[port]:
                    self.driver[net] = ("lut", sources, path)
            inputs = [port for port in inputs if port not in reads and not port.endswith("CLK")]
        else:
            for port in outputs:
                for net in nets[port]:
                    self.starts[net] = cell
        for port in inputs:
            if port in ("C", "CLK", "WCLK") or port.startswith("CLK"):
                continue
            for net in nets[port]:
                if net:
                    self.ends.append((net, path, f"{cell}.{port}", nets["Q"][0] if "Q" in nets else net))

    def longest(self) -> tuple[dict[int, int], dict[int, int]]:
        """Arrival of every net in eighths, and the net it comes from. A loop through logic is cut where it closes."""
        arrival: dict[int, int] = dict.fromkeys(self.starts, 0)
        before: dict[int, int] = {}  # 0: nothing before it
        open_nets: set[int] = set()
        for goal in {end[0] for end in self.ends}:
            stack = [goal]
            while stack:
                net = stack[-1]
                if net in arrival:
                    stack.pop()
                    continue
                if net not in self.driver:
                    arrival[net] = 0
                    stack.pop()
                    continue
                kind, sources, _ = self.driver[net]
                waiting = [source for source, _ in sources if source not in arrival and source not in open_nets]
                if waiting and net not in open_nets:
                    open_nets.add(net)
                    stack += waiting
                    continue
                waiting = [source for source, _ in sources if source not in arrival and source not in open_nets]
                if waiting:
                    stack += waiting
                    continue
                best, origin = 0, 0
                for source, cost in sources:
                    came = arrival.get(source, 0)
                    if kind == "carry" and cost > 0 and self.driver.get(source, ("",))[0] == "carry":
                        time_there = came + cost  # inside the chain
                    else:
                        time_there = -(-came // _LEVEL) * _LEVEL + abs(cost)
                    if time_there > best or not origin:
                        best, origin = time_there, source
                arrival[net] = best
                before[net] = origin
                open_nets.discard(net)
                stack.pop()
        return arrival, before

    def label(self, net: int) -> str:
        """A net as instance path and name."""
        path, name = self.names.get(net, ("", f"net {net}"))
        return f"{path}/{name}" if path else name


def levels_by_unit(graph: Paths, unit: Callable[[str], str]) -> dict[str, tuple[int, tuple[str, str]]]:
    """Unit of the path's end -> levels, (start, end); the products of LUTs of a unit are one of its own, with PRODUCT behind the name."""
    arrival, before = graph.longest()
    worst: dict[str, tuple[int, int, str, int]] = {}
    for net, path, what, known in graph.ends:
        count = -(-arrival.get(net, 0) // _LEVEL)
        name = unit(path) + (PRODUCT if PRODUCTS.search(graph.label(known)) else "")
        if count > worst.get(name, (-1, 0, "", 0))[0]:
            worst[name] = (count, net, what, known)
    out = {}
    for name, (count, net, what, known) in worst.items():
        start = net
        while before.get(start):
            start = before[start]
        out[name] = (count, (f"{graph.label(start)} ({graph.starts.get(start, 'undriven')})", f"{graph.label(known)} ({what})"))
    return out


# ------------------------------------------------------------------ the report

OVERESTIMATES = """\
Yosys packs no register, adder or cascade into a DSP slice, and trims nothing across the parts it is given: LUT and FF are over-estimates.
No placement, no timing: levels are counted (a LUT, or a carry chain of up to 32 bits), between registers, memories and multipliers;
multipliers that are built of LUTs have lines of their own."""


@dataclass(frozen=True, slots=True)
class Report:
    """What `make synth` prints and writes: resources by kernel and by part, longest paths by part, memories."""

    project: str
    shape: dict[str, int]
    kernels: list[Row]
    parts: list[Row]
    total: dict[str, float]
    memory: list[tuple[str, str, float, int, int]]
    over: list[str]

    def as_json(self) -> dict[str, Any]:
        def row(each: Row) -> dict[str, Any]:
            return {"name": each.name, **{name: each.used.get(name, 0) for name in AVAILABLE}}

        return {
            "project": self.project,
            "device": DEVICE,
            "available": dict(AVAILABLE),
            "limit_percent": dict(PERCENT),
            "shape": self.shape,
            "total": self.total,
            "over": self.over,
            "kernels": [row(each) for each in self.kernels],
            "parts": [{**row(each), "levels": each.levels, "from": each.path[0], "to": each.path[1]} for each in self.parts],
            "memories": [dict(zip(("where", "size", "RAMB36", "URAM288", "LUT"), each, strict=True)) for each in self.memory],
            "level_target": LEVELS,
            "note": OVERESTIMATES,
        }


def analyse(project: str, shape: Mapping[str, int], cache: Path, jobs: int, tell: Callable[[str], None], top: str = TOP) -> Report:
    """Synthesise ``top`` with these parameters and add it up."""
    key: Key = (top, tuple(sorted(shape.items())))
    parts = all_parts(key, cache, jobs, tell)
    kernels = totals(parts, key, kernel_of)
    rows = totals(parts, key, part_of)
    tell("walking the paths between registers")
    for name, (count, path) in levels_by_unit(Paths(parts, key), part_of).items():
        row = rows.setdefault(name, Row(name))
        row.levels, row.path = count, path
    total: dict[str, float] = {name: sum(row.used.get(name, 0) for row in kernels.values()) for name in AVAILABLE}
    by_name = [sorted(each.values(), key=lambda row: row.name) for each in (kernels, rows)]
    return Report(project, dict(shape), by_name[0], by_name[1], total, memories(parts, key), over(total))


def _amount(value: float) -> str:
    return f"{value:,.1f}".removesuffix(".0")


def tables(report: Report) -> list[Table]:
    """Resources by kernel, memories, longest paths."""
    used = Table(title=f"{report.project}: one node on an {DEVICE}", title_justify="left")
    used.add_column("kernel")
    for name in AVAILABLE:
        used.add_column(name, justify="right")
        used.add_column("%", justify="right")

    def line(name: str, amounts: Mapping[str, float], style: str | None = None) -> None:
        cells = []
        for kind, available in AVAILABLE.items():
            cells += [_amount(amounts.get(kind, 0)), f"{100 * amounts.get(kind, 0) / available:.1f}"]
        used.add_row(name, *cells, style=style)

    for row in report.kernels:
        line(row.name, row.used)
    line("all", report.total, "bold")
    line("limit", {name: AVAILABLE[name] * percent // 100 for name, percent in PERCENT.items()})
    memory = Table(title="memories", title_justify="left")
    for column in ("where", "bits x words, style", "RAMB36", "URAM288", "LUT"):
        memory.add_column(column, justify="left" if column[0] in "wb" else "right")
    for where, size, *amounts in report.memory:
        if amounts[0] or amounts[1]:
            memory.add_row(where, size, *(_amount(amount) for amount in amounts))
    paths = Table(title=f"longest path of each part, logic levels ({LEVELS} aimed at)", title_justify="left")
    for column in ("part", "levels", "from", "to"):
        paths.add_column(column, justify="right" if column == "levels" else "left")
    for row in sorted(report.parts, key=lambda row: (-row.levels, row.name)):
        paths.add_row(row.name, str(row.levels), *row.path, style="red" if row.levels > LEVELS and not row.name.endswith(PRODUCT) else None)
    return [used, memory, paths]


def write(report: Report, folder: Path) -> Path:
    """report/synth.json below the project's build folder."""
    path = folder / "report" / "synth.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8")
    scratch.rename(path)
    return path
