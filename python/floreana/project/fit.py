# SPDX-License-Identifier: Apache-2.0
"""`floreana resources`: kernels of a few shapes through Yosys, and the formulas of cluster/resources.py fitted to them (docs/resources.md).

DSP slices and memories are arithmetic and must equal what Yosys finds. LUTs and registers are fitted, least squares of the relative error;
cases that are held out of the fit say how far the formulas are off on a shape they were not made from.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.table import Table

from floreana.cluster.plan import write_text
from floreana.cluster.resources import (
    DATA,
    KERNELS,
    TERMS,
    Data,
    Formula,
    Point,
    Usage,
    amount,
    error,
    kernel_usage,
    load,
    memories,
    worst,
)
from floreana.environment import project_root
from floreana.errors import FloreanaError, InputError
from floreana.project import synth
from floreana.project.synth import Key
from floreana.project.synth_worker import RECIPE, SYNTH

_TEMPLATES = Path(__file__).parent / "templates"
_BEGIN, _END = "<!-- errors -->\n", "<!-- end errors -->\n"

INSTANCES = {"u_linear": "linear", "u_attention": "attention", "u_add_norm": "add_norm", "u_switch": "switch"}
BASE = {
    "K_LANES": 64, "OUT_N": 48, "POST_LANES": 8, "W_WORDS": 448, "BIAS_WORDS": 64, "POST_WORDS": 128, "STORE_BEATS": 8704, "ROW_W": 7,
    "SLOT_W": 1, "HEAD_DIM": 64, "HEAD_BEATS": 2, "REQ_WORDS": 2, "NORM_LANES": 16, "LROW_W": 5, "ACC_BEATS": 6144, "RES_WORDS": 1536,
    "CHAN_WORDS": 128, "ROW_BEATS": 12, "ETH_N": 1, "PEERS_N": 8, "TX_CELLS": 128, "RX_CELLS": 256, "GATEWAY": 0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """A shape, given by what differs from BASE; the kernels that are fitted on it, and those that are held out of the fit and test it."""

    name: str
    differs: Mapping[str, int]
    fit: tuple[str, ...] = ()
    held: tuple[str, ...] = ()

    @property
    def shape(self) -> dict[str, int]:
        return {**BASE, **self.differs}

    @property
    def kernels(self) -> tuple[str, ...]:
        return self.fit + self.held


MATRIX = (
    Case("base", {}, ("linear", "attention", "add_norm", "switch", "eth", "rest")),  # ibert_base_6
    Case(
        "minilm",  # minilm_6
        {
            "W_WORDS": 640, "BIAS_WORDS": 192, "POST_WORDS": 384, "STORE_BEATS": 4352, "HEAD_DIM": 32, "HEAD_BEATS": 1, "REQ_WORDS": 8,
            "ACC_BEATS": 3072, "RES_WORDS": 768, "CHAN_WORDS": 320, "ROW_BEATS": 6,
        },
        ("attention",),
        ("linear", "add_norm"),
    ),
    Case(
        "slim",
        {"K_LANES": 16, "OUT_N": 64, "POST_LANES": 16, "NORM_LANES": 4, "PEERS_N": 64, "GATEWAY": 1},
        ("linear", "add_norm", "eth", "gateway", "rest"),
    ),
    Case("few", {"OUT_N": 16, "POST_LANES": 4}, ("linear",)),
    Case("quarter", {"K_LANES": 32, "OUT_N": 32, "POST_LANES": 2}, ("linear",)),
    Case(
        "middle",
        {"K_LANES": 32, "W_WORDS": 896, "NORM_LANES": 8, "HEAD_BEATS": 1, "REQ_WORDS": 4, "PEERS_N": 16, "ETH_N": 2},
        (),
        ("linear", "attention", "add_norm", "switch", "eth", "rest"),
    ),
    Case(
        "long",  # 512 rows, one sequence, all ports
        {
            "K_LANES": 32, "OUT_N": 32, "POST_LANES": 2, "W_WORDS": 1024, "STORE_BEATS": 12288, "ROW_W": 9, "SLOT_W": 0, "HEAD_DIM": 32,
            "HEAD_BEATS": 4, "REQ_WORDS": 16, "NORM_LANES": 8, "LROW_W": 6, "ROW_BEATS": 16, "PEERS_N": 64, "ETH_N": 2, "GATEWAY": 1,
        },
        ("attention", "switch", "rest"),
        ("linear", "add_norm", "gateway"),
    ),
)  # fmt: skip


KERNEL_TOPS = {
    "linear": ("ibert_linear",), "attention": ("ibert_attention",), "add_norm": ("ibert_add_norm",), "switch": ("net_switch",),
    "eth": ("net_eth",), "gateway": ("node_gateway",), "rest": ("node_boot", "node_config", "node_manager"),
}  # fmt: skip


def kernel_of(instance: str) -> str:
    """The kernel that a child of node_core belongs to."""
    if instance.startswith("g_eth["):
        return "eth"
    if instance.startswith("g_gateway."):
        return "gateway"
    return INSTANCES.get(instance, "rest")


def rtl_hash(kernel: str) -> str:
    """Hash of the Verilog of a kernel, comments and white space left out; rest has node_core's own."""
    known = synth.files()
    names = {name for top in KERNEL_TOPS[kernel] for name in synth.below((top, ()), known)} | ({synth.TOP} if kernel == "rest" else set())
    sha = hashlib.sha256()
    for name in sorted(names):
        sha.update(" ".join(synth.code(known[name]).split()).encode() + b"\0")
    return sha.hexdigest()[:16]


def tool() -> str:
    """What measures: Yosys' version and the recipe of synth_worker."""
    return f"pyosys {version('pyosys')}, recipe {RECIPE}: {SYNTH}"


def stale(data: Data) -> list[str]:
    """What of the data file was measured on other RTL, or by another Yosys, than what is here."""
    out = [f"{name}: measured on other RTL" for name in KERNELS if data.formulas[name].rtl != rtl_hash(name)]
    if data.tool != tool():
        out.append(f"measured by {data.tool}, here is {tool()}")
    return out


# ------------------------------------------------------------------ measuring


def children(case: Case) -> dict[str, Key]:
    """Kernels of a node by instance, with their parameters: node_core elaborated by Yosys over modules of which only the ports are read."""
    known = synth.files()
    tops = {name for names in KERNEL_TOPS.values() for name in names}
    with tempfile.TemporaryDirectory() as scratch:
        out, stubs = Path(scratch) / "children.json", Path(scratch) / "stubs.v"
        heads = (synth.head(synth.code(known[name])) for name in sorted(tops))
        stubs.write_text("".join(f"{text});\nwire stub = clk;\nendmodule\n" for text in heads), encoding="utf-8")  # not empty: no black box
        job = {
            "files": [str(known[synth.TOP]), str(stubs)], "top": synth.TOP, "parameters": {**case.shape, "PACKED": 1}, "cut": sorted(tops),
            "out": str(out), "elaborate": True,
        }  # fmt: skip
        synth.worker(job, synth.TOP)
        found = json.loads(out.read_text(encoding="utf-8"))
    keys = {name: (base, tuple(sorted(parameters.items()))) for name, (base, parameters) in found["children"].items()}
    return {instance: keys[name] for instance, name in found["instances"].items()}


def still_true(case: Case, data: Data) -> dict[str, Usage]:
    """What of a case the data file has of this RTL, by this Yosys."""
    if data.tool != tool() or data.shapes.get(case.name) != case.shape:
        return {}
    return {
        kernel: point.usage
        for kernel in case.kernels
        if kernel in data.formulas and data.formulas[kernel].rtl == rtl_hash(kernel)
        for point in data.formulas[kernel].points
        if point.name == case.name
    }


def measure(case: Case, kernels: Sequence[str], folder: Path, tell: Callable[[str], None]) -> dict[str, Usage]:
    """These kernels of a case by Yosys, each alone; what was synthesised before is not again. rest has node_core's own cells, too."""
    found: dict[str, Counter[str]] = {kernel: Counter() for kernel in kernels}
    if not found:
        return {}
    for instance, key in sorted(children(case).items()):
        kernel = kernel_of(instance)
        if kernel in found:
            parts = synth.all_parts(key, folder, 1, tell)
            for row in synth.totals(parts, key, lambda _: "").values():
                found[kernel].update(row.used)
    if "rest" in found:
        core = synth.synthesise((synth.TOP, tuple(sorted({**case.shape, "PACKED": 1}.items()))), folder, tell)
        found["rest"].update(synth.resources(core.cells))
    return {
        kernel: Usage(int(each["DSP48E2"]), float(each["RAMB36"]), int(each["URAM288"]), int(each["LUT"]), int(each["FF"]))
        for kernel, each in found.items()
    }


def solve(kernel: str, what: str, points: Sequence[Point], shapes: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    """Coefficients by term: least squares of the relative error, on the points that are not held out; ``what`` is lut or ff."""
    terms, fitted = TERMS[kernel], [point for point in points if not point.held]
    if len(fitted) < len(terms):
        raise FloreanaError(f"{kernel}: {len(terms)} terms need as many points, there are {len(fitted)}; add a case to MATRIX")
    rows, wanted = [], []
    for point in fitted:
        shape, measured = shapes[point.name], getattr(point.usage, what)
        memory = sum(getattr(each, what) for each in memories(shape) if each.kernel == kernel)
        rows.append([term(shape) / measured for term in terms.values()])
        wanted.append((measured - memory) / measured)
    found = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0]
    # ten digits first: what lies between two values of five digits is rounded alike by every machine
    return {name: float(f"{float(f'{value:.10g}'):.5g}") for name, value in zip(terms, found, strict=True)}


def fitted(measured: Mapping[str, Mapping[str, Usage]]) -> Data:
    """Formulas from what was measured: case -> kernel -> resources."""
    shapes = {case.name: case.shape for case in MATRIX}
    formulas = {}
    for kernel in KERNELS:
        points = tuple(Point(case.name, kernel in case.held, measured[case.name][kernel]) for case in MATRIX if kernel in case.kernels)
        lut, ff = (solve(kernel, what, points, shapes) for what in ("lut", "ff"))
        formulas[kernel] = Formula(kernel, rtl_hash(kernel), lut, ff, points)
    return Data(tool(), shapes, formulas)


def errors(data: Data) -> dict[str, dict[str, float]]:
    """By kernel: the largest errors, as the data file states them; those of held-out points where there are any."""
    out: dict[str, dict[str, float]] = {kernel: {} for kernel in KERNELS}
    for kernel, found in out.items():
        for what in ("lut", "ff"):
            for held, kind in ((False, "fitted"), (True, "held_out")):
                value = worst(data, kernel, what, held)
                if value is not None:
                    found[f"{what}_{kind}"] = round(value, 2)
    return out


def markdown(data: Data) -> str:
    """The errors as a table for docs/resources.md."""
    rows = ["| kernel | terms | fitted on | LUT | FF | held out | LUT | FF |", "|---|---|---:|---:|---:|---|---:|---:|"]
    for kernel, found in errors(data).items():
        held = [each.name for each in data.formulas[kernel].points if each.held]
        cells = [", ".join(f"`{name}`" for name in TERMS[kernel]), str(len(data.formulas[kernel].points) - len(held))]
        cells += [f"{found[name]:.2f}" for name in ("lut_fitted", "ff_fitted")]
        cells += [", ".join(held) or "none", *(f"{found[name]:.2f}" if name in found else "-" for name in ("lut_held_out", "ff_held_out"))]
        rows.append(f"| {kernel} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def render(data: Data) -> str:
    """Text of the data file."""
    environment = Environment(loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    values = {"tool": data.tool, "shapes": data.shapes, "formulas": [data.formulas[kernel] for kernel in KERNELS], "errors": errors(data)}
    return environment.get_template("resources.toml.j2").render(values)


def document(text: str, errors_of: str) -> str:
    """docs/resources.md with that table of errors between its marks. Raises InputError where they are missing."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise InputError(f"docs/resources.md must hold {_BEGIN.strip()} and, below, {_END.strip()}; restore them")
    return f"{before}{begin}{errors_of}{end}{after}"


def refresh(folder: Path, tell: Callable[[str], None], path: Path = DATA, docs: Path | None = None) -> Data:
    """Measure what of MATRIX the data file has not of this RTL, fit, write the data file and the table of the document."""
    docs = docs or project_root() / "docs" / "resources.md"
    text = docs.read_text(encoding="utf-8")
    document(text, "")  # what is missing there is told before an hour of Yosys
    before = load(path) if path.exists() else None
    measured = {}
    for case in MATRIX:
        known = still_true(case, before) if before else {}
        missing = [kernel for kernel in case.kernels if kernel not in known]
        tell(f"{case.name}: measured before {', '.join(known) or 'nothing'}, to measure {', '.join(missing) or 'nothing'}")
        measured[case.name] = known | measure(case, missing, folder, tell)
    data = fitted(measured)
    write_text(path, render(data))
    write_text(docs, document(text, markdown(data)))
    return load(path)


# ------------------------------------------------------------------ the table


def differing(data: Data) -> list[str]:
    """Where the arithmetic of DSP slices and memories is not what Yosys found: nothing."""
    out = []
    for kernel in KERNELS:
        for point in data.formulas[kernel].points:
            given = kernel_usage(kernel, data.shapes[point.name], data)
            for name in ("dsp", "ramb36", "uram"):
                if getattr(given, name) != getattr(point.usage, name):
                    out.append(
                        f"{kernel}, {point.name}: {getattr(given, name)} {name} by arithmetic, {getattr(point.usage, name)} by Yosys"
                    )
    return out


def table(data: Data) -> Table:
    """Formula against measured, every point."""
    out = Table(title=f"resources of kernels: {data.tool}", title_justify="left")
    for column in ("kernel", "shape", "used to", "DSP48E2", "RAMB36", "URAM288", "LUT", "formula", "%", "FF", "formula ", "% "):
        out.add_column(column, justify="left" if column in ("kernel", "shape", "used to") else "right")
    for kernel in KERNELS:
        for point in data.formulas[kernel].points:
            found, given = point.usage, kernel_usage(kernel, data.shapes[point.name], data)
            cells = [amount(value) for value in (found.dsp, found.ramb36, found.uram)]
            for measured, formula in ((found.lut, given.lut), (found.ff, given.ff)):
                cells += [f"{measured:,}", f"{formula:,}", f"{error(measured, formula):+.1f}"]
            out.add_row(kernel, point.name, "test" if point.held else "fit", *cells)
    return out
