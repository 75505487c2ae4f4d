# SPDX-License-Identifier: Apache-2.0
"""What a node takes of its FPGA, from the parameters of `node_core` alone: by kernel, in a moment, without Yosys.

DSP slices are those of :mod:`floreana.cluster.multipliers`. Memories are arithmetic: every `axis_ram` of the RTL with its width, depth
and style, placed by the rules of Yosys' memory_libmap for UltraScale+. Both equal what `make synth` finds. LUTs and registers are
formulas, fitted to Yosys' results of a few shapes (`floreana resources --refresh 1` writes resources.toml), with an error that is
measured on others.
docs/resources.md has the table, and says what Yosys over-counts.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.table import Table

from floreana.boards import Device, board
from floreana.cluster.description import DEFAULT_BOARD, Project
from floreana.cluster.multipliers import dsp_count, multipliers
from floreana.errors import FloreanaError, InputError

DATA = Path(__file__).with_name("resources.toml")
PERCENT = MappingProxyType({"DSP48E2": 90, "RAMB36": 90, "URAM288": 90, "LUT": 80, "FF": 100})  # of what is there that may be used
KERNELS = ("linear", "attention", "add_norm", "switch", "eth", "gateway", "rest")
RANK_WORDS, URAM_BITS = 4096, 72  # of one URAM288


def clog2(value: int) -> int:
    """Verilog's $clog2."""
    return (value - 1).bit_length()


# ------------------------------------------------------------------ memories


@dataclass(frozen=True, slots=True)
class _Way:
    """A primitive of Yosys' library in one of its widths: ``cost`` is memory_libmap's, ``byte`` what widths are rounded up to."""

    kind: str  # block, ultra, distributed
    width: int
    words: int
    cost: int
    byte: int
    ramb36: float = 0.0
    lut: int = 0


_RAMB18 = tuple(_Way("block", width, 16384 >> step, 129, 9, ramb36=0.5) for step, width in enumerate((1, 2, 4, 9, 18, 36)))
_RAMB36 = tuple(_Way("block", width, 32768 >> step, 257, 9, ramb36=1.0) for step, width in enumerate((1, 2, 4, 9, 18, 36, 72)))
_URAM = (_Way("ultra", URAM_BITS, RANK_WORDS, 1024, 8),)
_LUTS = tuple(_Way("distributed", width, words, 16, 0, lut=8) for width, words in ((14, 32), (7, 64), (2, 128), (1, 256)))
_WAYS = (*_RAMB18, *_RAMB36, *_URAM, *_LUTS)


@cache
def _placed(width: int, depth: int, style: str) -> tuple[_Way, int]:
    """The cheapest way to build one memory, one port that writes and one that reads, and how many primitives it takes.

    Rounded costs are compared among the widths of one primitive, exact ones between primitives, as memory_libmap does. It packs what
    is left over in one rank into the next: ``ceil(ranks * width / primitive's width)`` primitives.
    """
    best: tuple[float, _Way, int] | None = None
    for ways in (_RAMB18, _RAMB36, _URAM, *((way,) for way in _LUTS)):
        if style not in ("auto", ways[0].kind):
            continue
        mine: tuple[float, _Way, int] | None = None
        for way in ways:
            byte = way.byte if 0 < way.byte <= way.width else way.width
            ranks = -(-depth // way.words)
            count = -(-ranks * -(-width // byte) * byte // way.width)
            cost = ranks * width * way.cost / way.width if way.kind == "distributed" else float(count * way.cost)
            cost += 0.5 * (ranks - 1) * width + (0.5 * ranks if ranks > 1 else 0.0)
            if mine is None or cost < int(mine[0]):
                mine = (cost, way, count)
        if mine is not None and (best is None or mine[0] < best[0]):
            best = mine
    assert best is not None
    return best[1], best[2]


@dataclass(frozen=True, slots=True)
class Memory:
    """``count`` memories of ``depth`` words of ``width`` bits; ``style`` as in axis_ram: auto, block, ultra, distributed."""

    kernel: str
    where: str
    count: int
    width: int
    depth: int
    style: str = "auto"

    @property
    def ramb36(self) -> float:
        """RAMB36 of all of them, a RAMB18 is half."""
        way, count = _placed(self.width, self.depth, self.style)
        return self.count * count * way.ramb36

    @property
    def uram(self) -> int:
        """URAM288 of all of them, as Yosys counts: bits left over in a rank serve another."""
        way, count = _placed(self.width, self.depth, self.style)
        return self.count * count if way.kind == "ultra" else 0

    @property
    def ranks(self) -> tuple[int, int]:
        """URAM288 side by side, and ranks of 4,096 words, of one of them; (0, 0) where it is none."""
        way, _ = _placed(self.width, self.depth, self.style)
        return (-(-self.width // URAM_BITS), -(-self.depth // RANK_WORDS)) if way.kind == "ultra" else (0, 0)

    @property
    def uram_of_ranks(self) -> int:
        """URAM288 of all of them where each rank has its own."""
        wide, ranks = self.ranks
        return self.count * wide * ranks

    @property
    def lut(self) -> int:
        """LUTs of all of them: LUT memory, and a multiplexer of the ranks, of which a LUT takes three more than the first."""
        way, count = _placed(self.width, self.depth, self.style)
        return self.count * (count * way.lut + self.width * -(-(-(-self.depth // way.words) - 1) // 3))

    @property
    def ff(self) -> int:
        """Registers of all of them: LUT memory has none behind it."""
        way, _ = _placed(self.width, self.depth, self.style)
        return self.count * self.width if way.kind == "distributed" else 0


def memories(shape: Mapping[str, int]) -> list[Memory]:
    """Every `axis_ram` of a node of that shape."""
    s = {"GATEWAY": 0, **shape}
    row_w, slot_w, heads = s["ROW_W"], s["SLOT_W"], 64 // s["HEAD_DIM"]
    out: list[Memory] = []

    def add(kernel: str, where: str, count: int, width: int, depth: int, style: str = "auto") -> None:
        out.append(Memory(kernel, where, count, width, depth, style))

    segments, lanes, rows = s["OUT_N"] // 16, s["POST_LANES"], slot_w + row_w
    add("linear", "weights", s["OUT_N"], 8 * s["K_LANES"], s["W_WORDS"])
    add("linear", "row store", 1, 512, s["STORE_BEATS"], "ultra")
    add("linear", "biases", segments, 512, s["BIAS_WORDS"])
    add("linear", "GELU constants", lanes, 84, s["POST_WORDS"])
    add("linear", "requant constants", lanes, 48, s["POST_WORDS"])
    add("linear", "row queues", 4, row_w + 15, 8 << rows)
    add("linear", "row counts", 1, 7, 8 << rows)
    add("linear", "accumulator FIFOs", 2 * segments, 512, 64, "distributed")
    add("linear", "rows of accumulators", 2, 60, 64, "distributed")
    add("linear", "output beats", 1, 513, 16, "distributed")
    add("linear", "rows of output beats", 1, 33, 16, "distributed")

    add("attention", "Q, K, V", 3, 512, 2 << rows + clog2(s["HEAD_BEATS"]), "block")
    add("attention", "scores", 1, 32 * heads, 2 << row_w)
    add("attention", "exponentials", 1, 16 * heads, 4 << row_w)
    add("attention", "requant constants", 4, 48, 16 * s["REQ_WORDS"])
    add("attention", "output beats", 1, 529 + row_w, 8, "distributed")

    lanes, own = s["NORM_LANES"], slot_w + s["LROW_W"]
    add("add_norm", "accumulators", 1, 512, s["ACC_BEATS"], "ultra")
    add("add_norm", "residuals", 1, 512, s["RES_WORDS"])
    add("add_norm", "constants of the sum", lanes, 78, s["CHAN_WORDS"])
    add("add_norm", "constants of the norm", lanes, 80, s["CHAN_WORDS"])
    add("add_norm", "sums of two rows", 2, 24 * lanes, 1 << clog2(s["ROW_BEATS"] * 64 // lanes))
    add("add_norm", "records of rows", 1, 48, 4 << own)
    add("add_norm", "ready rows", 1, own + 45, 4 << own)
    add("add_norm", "output beats", 1, 547 + max(clog2(s["RES_WORDS"]), 1), 2 << clog2(s["ROW_BEATS"]))

    add("switch", "message cells", 4 + s["ETH_N"] + s["GATEWAY"], 576, 64 * 16, "ultra")

    ports = s["ETH_N"]
    add("eth", "cells sent", ports, 512, 16 * s["TX_CELLS"], "ultra")
    add("eth", "cells received", ports, 512, 16 * s["RX_CELLS"], "ultra")
    add("eth", "rings", 2 * ports, clog2(s["TX_CELLS"]), 64 * s["PEERS_N"], "block")
    add("eth", "ARP and ICMP", ports, 512, 32)

    if s["GATEWAY"]:
        beats = (1 << row_w) * s["ROW_BEATS"]
        heads_w = row_w + clog2(-(-s["ROW_BEATS"] // 16))
        add("gateway", "rows", 1, 512, beats << slot_w, "ultra")
        add("gateway", "messages", 1 << slot_w, clog2(beats << slot_w) + 2 * row_w + 22, 1 << heads_w)

    add("rest", "requests", 1, 154, 8, "distributed")
    add("rest", "their beats", 1, 512, 32, "distributed")
    return out


# ------------------------------------------------------------------ LUTs and registers

Shape = Mapping[str, int]
Term = Callable[[Shape], float]


def _ports(s: Shape) -> int:
    return 4 + s["ETH_N"] + s["GATEWAY"]


# what LUTs and registers of a kernel outside its memories are sums of
TERMS: Mapping[str, Mapping[str, Term]] = MappingProxyType({
    "linear": {
        "1": lambda s: 1,
        "K_LANES * OUT_N": lambda s: s["K_LANES"] * s["OUT_N"],
        "OUT_N": lambda s: s["OUT_N"],
        "POST_LANES": lambda s: s["POST_LANES"],
    },
    "attention": {
        "1": lambda s: 1,
        "heads side by side": lambda s: 64 // s["HEAD_DIM"],
        "rows": lambda s: 1 << s["SLOT_W"] + s["ROW_W"],
    },
    "add_norm": {"1": lambda s: 1, "NORM_LANES": lambda s: s["NORM_LANES"]},
    "switch": {"ports": _ports, "ports ** 2": lambda s: _ports(s) ** 2},
    "eth": {"ETH_N": lambda s: s["ETH_N"], "ETH_N * PEERS_N": lambda s: s["ETH_N"] * s["PEERS_N"]},
    "gateway": {"1": lambda s: 1},
    "rest": {"1": lambda s: 1, "ETH_N": lambda s: s["ETH_N"], "GATEWAY": lambda s: s.get("GATEWAY", 0)},
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Usage:
    """Resources; a RAMB18 is half a RAMB36."""

    dsp: int = 0
    ramb36: float = 0.0
    uram: int = 0
    lut: int = 0
    ff: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.dsp + other.dsp, self.ramb36 + other.ramb36, self.uram + other.uram, self.lut + other.lut, self.ff + other.ff)

    @property
    def amounts(self) -> dict[str, float]:
        """By the names of the device's resources."""
        return dict(zip(PERCENT, (self.dsp, self.ramb36, self.uram, self.lut, self.ff), strict=True))


@dataclass(frozen=True, slots=True)
class Point:
    """What Yosys made of a kernel of the shape ``name``; ``held``: it was not fitted on."""

    name: str
    held: bool
    usage: Usage


@dataclass(frozen=True, slots=True)
class Formula:
    """Coefficients by term, the hash of the RTL they were measured on, the points."""

    kernel: str
    rtl: str
    lut: Mapping[str, float]
    ff: Mapping[str, float]
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Data:
    """The content of resources.toml."""

    tool: str
    shapes: Mapping[str, Shape]
    formulas: Mapping[str, Formula]


def _point(raw: Mapping[str, Any]) -> Point:
    return Point(raw["shape"], raw["held_out"], Usage(raw["dsp"], float(raw["ramb36"]), raw["uram"], raw["lut"], raw["ff"]))


def load(path: Path = DATA) -> Data:
    """Read the data file. Raises FloreanaError where it is not what `floreana resources --refresh 1` writes."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        formulas = {
            name: Formula(name, raw[name]["rtl"], raw[name]["coefficients"]["lut"], raw[name]["coefficients"]["ff"],
                          tuple(_point(each) for each in raw[name]["points"]))
            for name in KERNELS
        }  # fmt: skip
        data = Data(raw["tool"], raw["shapes"], formulas)
        for formula in formulas.values():
            for given in (formula.lut, formula.ff):
                if list(given) != list(TERMS[formula.kernel]):
                    raise ValueError(f"{formula.kernel}: terms {', '.join(given)}; the formula has {', '.join(TERMS[formula.kernel])}")
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise FloreanaError(f"{path.name}: {error}; make it again: make resources REFRESH=1") from None
    return data


@cache
def _data() -> Data:
    return load()


def _memory(kernel: str, shape: Shape) -> list[Memory]:
    return [each for each in memories(shape) if each.kernel == kernel]


def dsp_of(kernel: str, shape: Shape) -> int:
    """DSP slices of a kernel."""
    return sum(each.dsp for each in multipliers(shape) if each.where.startswith(f"{kernel}:"))


def kernel_usage(kernel: str, shape: Shape, data: Data | None = None) -> Usage:
    """One kernel of a node; nothing of a gateway that is not there."""
    shape = {"GATEWAY": 0, **shape}
    if kernel == "gateway" and not shape["GATEWAY"]:
        return Usage()
    memory, formula, terms = _memory(kernel, shape), (data or _data()).formulas[kernel], TERMS[kernel]

    def logic(coefficients: Mapping[str, float]) -> int:
        return round(sum(factor * terms[name](shape) for name, factor in coefficients.items()))

    return Usage(
        dsp_of(kernel, shape),
        sum(each.ramb36 for each in memory),
        sum(each.uram for each in memory),
        logic(formula.lut) + sum(each.lut for each in memory),
        logic(formula.ff) + sum(each.ff for each in memory),
    )


def usage(shape: Shape) -> dict[str, Usage]:
    """By kernel, all KERNELS."""
    return {kernel: kernel_usage(kernel, shape) for kernel in KERNELS}


def total(used: Mapping[str, Usage]) -> Usage:
    """The node."""
    return sum(used.values(), Usage())


def error(measured: float, given: float) -> float:
    """How far ``given`` is from what was measured, in percent."""
    return 100 * (given - measured) / measured


def worst(data: Data, kernel: str, what: str, held: bool) -> float | None:
    """The largest error of a kernel's formula, ``what`` lut or ff, on the points it was fitted on or on the others, in percent, without its
    sign; None where there are no such points."""
    points = [point for point in data.formulas[kernel].points if point.held == held]
    given = [getattr(kernel_usage(kernel, data.shapes[point.name], data), what) for point in points]
    return max((abs(error(getattr(point.usage, what), value)) for point, value in zip(points, given, strict=True)), default=None)


# ------------------------------------------------------------------ against a device

Limits = Mapping[str, tuple[int, int]]  # name -> (how many there are, how many percent of them may be used)


def limits_of(device: Device) -> Limits:
    """Limits of a device; none for a figure that is not known."""
    there = dict(zip(PERCENT, (device.dsp, device.ramb36, device.uram, device.lut, device.ff), strict=True))
    return MappingProxyType({name: (count, PERCENT[name]) for name, count in there.items() if count is not None})


def name_of(device: Device) -> str:
    """As the tables write it: XCZU19EG."""
    return device.name.upper()


def devices_of(project: Project) -> dict[str, Limits]:
    """Name and limits of the devices that the nodes of a project are on."""
    found = {project.cluster.board_of(name) for name in project.cluster.nodes}
    devices = sorted({board(name).device_name: board(name).device for name in found}.items())
    return {name_of(device): limits_of(device) for _, device in devices}


DEVICE = name_of(board(DEFAULT_BOARD).device)  # XCZU19EG
LIMITS = limits_of(board(DEFAULT_BOARD).device)
AVAILABLE = MappingProxyType({name: there for name, (there, _) in LIMITS.items()})
OVERCOUNT = "LUT and FF are formulas fitted to Yosys, which over-counts them (docs/resources.md); memories and DSP slices are exact"
_REMEDY = {
    "DSP48E2": "a smaller build.k_lanes, out_n or post_lanes, or a larger part",
    "RAMB36": "fewer encoders a node, more nodes, or a larger part",
    "URAM288": "fewer tokens or slots, more nodes, or a larger part",
    "LUT": "a smaller build.k_lanes, out_n or norm_lanes, or a larger part; LUTs are over-estimated (docs/resources.md)",
    "FF": "a smaller build.k_lanes, out_n or norm_lanes, or a larger part; FF are over-estimated (docs/resources.md)",
}


def amount(value: float) -> str:
    """As text: 24, 1,026 or 378.5."""
    return f"{value:,.1f}".removesuffix(".0")


def _summands(name: str, shape: Shape) -> list[tuple[float, str]]:
    """What a resource goes into: (amount, text), largest first."""
    if name == "RAMB36":
        out = [(each.ramb36, f"{amount(each.ramb36)} {each.kernel} {each.where}") for each in memories(shape)]
    elif name == "URAM288":
        out = []
        for each in memories(shape):
            wide, ranks = each.ranks
            out.append((each.uram_of_ranks, f"{each.uram_of_ranks:,} {each.kernel} {each.where} ({each.count} x {ranks} ranks of {wide})"))
    else:
        out = [(used.amounts[name], f"{amount(used.amounts[name])} {kernel}") for kernel, used in usage(shape).items()]
    return sorted((each for each in out if each[0]), key=lambda each: (-each[0], each[1]))


def whole(limits: Limits) -> Limits:
    """All there is of what is counted exactly: what exceeds it cannot be built."""
    return MappingProxyType({name: (there, 100) for name, (there, _) in limits.items() if name not in ("LUT", "FF")})


def excess(shape: Shape, limits: Limits = LIMITS) -> dict[str, tuple[float, int]]:
    """Of what a node of that shape takes more than a device allows: (needed, allowed) by name. URAM is counted in whole ranks."""
    out = {}
    for name, (there, percent) in limits.items():
        needed, allowed = sum(amount for amount, _ in _summands(name, shape)), there * percent // 100
        if needed > allowed:
            out[name] = needed, allowed
    return out


def check_fit(shape: Shape, limits: Limits = LIMITS) -> list[str]:
    """What of a node of that shape does not fit a device, with the arithmetic: nothing where it fits.

    URAM is counted in whole ranks of 4,096 words: no two of them share a URAM288.
    """
    problems = []
    for name, (needed, allowed) in excess(shape, limits).items():
        there, percent = limits[name]
        text = " + ".join(each for _, each in _summands(name, shape))
        problems.append(f"{name}: {text} = {amount(needed)} needed, {allowed:,} allowed ({percent} % of {there:,}); {_REMEDY[name]}")
    return problems


def require_fit(shape: Shape, limits: Limits = LIMITS, device: str = DEVICE) -> None:
    """Raises InputError with everything that does not fit the device."""
    if problems := check_fit(shape, limits):
        raise InputError("\n".join([f"a node does not fit one {device}:", *(f"  {each}" for each in problems)]))


def multiplier_table(shape: Shape, devices: Mapping[str, Limits]) -> Table:
    """Multipliers of a node, and the DSP slices they fill of those of each device."""
    table = Table(title="multipliers of a node", title_justify="left")
    for column in ("where", "count", "bits", "DSP48E2"):
        table.add_column(column, justify="left" if column == "where" else "right")
    for each in multipliers(shape):
        table.add_row(each.where, f"{each.count:,}", f"{each.a} x {each.b}", f"{'LUTs' if each.luts else f'{each.dsp:,}'}")
    there = {device: limits["DSP48E2"][0] for device, limits in devices.items() if "DSP48E2" in limits}
    slices = [f"{dsp_count(shape):,} of the {count:,} of an {device}" for device, count in there.items()]
    table.add_row("all", "", "", "\n".join(slices) or f"{dsp_count(shape):,}", style="bold")
    return table


def resource_table(shape: Shape, devices: Mapping[str, Limits]) -> Table:
    """Resources of a node by kernel, and their share of each device."""
    table = Table(title="resources of a node", title_justify="left")
    table.add_column("kernel")
    for name in PERCENT:
        table.add_column(name, justify="right")
    used = usage(shape)
    for kernel, each in used.items():
        if each != Usage():
            table.add_row(kernel, *(amount(value) for value in each.amounts.values()))
    all_of = total(used).amounts
    table.add_row("all", *(amount(value) for value in all_of.values()), style="bold")
    for device, limits in devices.items():
        cells = []
        for name, value in all_of.items():
            there, percent = limits.get(name, (0, 0))
            cells.append(f"{100 * value / there:.1f} % of {there:,}\nlimit {percent} %" if there else "-")
        table.add_row(f"of one {device}", *cells)
    return table
