# SPDX-License-Identifier: Apache-2.0
"""`floreana bench`: cycles, busy arrays and wire load of whole simulated clusters, beside what they are to reach (docs/bench.md)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console

from floreana.cluster.plan import Plan
from floreana.cluster.resources import DEVICE, LIMITS, amount, excess, whole
from floreana.environment import project_root
from floreana.errors import DiffersError, InputError
from floreana.report.bench_data import BenchData, load_data
from floreana.report.bench_mapper import measure_mapper
from floreana.report.bench_runs import LINK_DELAY, Case, Runner
from floreana.report.result import write_whole
from floreana.sim.flow import Teller
from floreana.sim.speed import Speed

PARTS = ("figures", "tokens", "scaling", "wire", "mapper")
TOKENS = (1, 2, 4, 8, 16, 32, 64, 96, 128)
NODES = (1, 2, 3, 4, 6, 12)
BACK_TO_BACK = 7  # sequences
LENGTHS_LINE = 3  # of texts/lengths.txt: 32 tokens
BASE, BASE_NODES = "ibert_base_6", 6


def base_case(tokens: int, nodes: int = BASE_NODES) -> Case:
    """One encoder of BERT-base size."""
    return Case(BASE, str(tokens), nodes=None if nodes == BASE_NODES else nodes)


CASES: Mapping[str, Case] = {
    "base_128": base_case(128),
    "base_32": base_case(32),
    "base_1": base_case(1),
    "interval": Case(BASE, ",".join(["128"] * BACK_TO_BACK), in_flight=2),
    "array_busy": base_case(128),
    "minilm_32": Case("minilm_6", line=LENGTHS_LINE),
    "base_128_deferred": Case("ibert_base_6_deferred", "128"),
    "minilm_32_deferred": Case("minilm_6_deferred", line=LENGTHS_LINE),
    "base_12_encoders": Case("ibert_base_3x12", "128"),
    "speed": Case(BASE, "128", speed=True),
}


# ------------------------------------------------------------------ what a run's result says


def completions(sentences: Sequence[Mapping[str, Any]]) -> list[int]:
    """Cycles between consecutive completions."""
    return [b - a for a, b in pairwise(sorted(s["end"] for s in sentences))]


def interval(sentences: Sequence[Mapping[str, Any]]) -> float:
    """Cycles a sequence of equal ones back to back, from the first beat of the first to the last beat of the last, fill and drain included.

    The time between two completions in the middle is no measure: the other sequence in flight has come further at one than at the other.
    InputError for fewer than four sequences.
    """
    if len(sentences) < 4:
        raise InputError(f"an interval needs at least 4 sequences back to back, there are {len(sentences)}")
    return float((max(s["end"] for s in sentences) - min(s["start"] for s in sentences)) / len(sentences))


def array_table(content: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """By node: what its MAC array did in the run, as shares. InputError where the counters were not read."""
    shares = {node: kernels["array"] for node, kernels in content["counters"].items()}
    if not shares or None in shares.values():
        raise InputError("the run has no counters of all nodes")
    return shares


def figure(name: str, record: Mapping[str, Any]) -> float:
    """The measured value of a target out of its run's record."""
    if name == "speed":
        return float(Speed(**record["speed"]).ratio)
    content = record["content"]
    if name == "interval":
        return interval(content["sentences"])
    if name == "array_busy":
        return min(shares["busy"] for shares in array_table(content).values())
    return float(content["cycles"])


def busiest(content: Mapping[str, Any], kernel: str) -> int:
    """Cycles the busiest node's kernel of that kind was busy."""
    return max(int(kernels[kernel]["busy"]) for kernels in content["counters"].values())


def token_row(tokens: int, record: Mapping[str, Any]) -> dict[str, Any]:
    """Cycles of a run of so many tokens, and where they went."""
    content = record["content"]
    linear = busiest(content, "linear")
    return {
        "tokens": tokens,
        "cycles": content["cycles"],
        "to_last_add_norm": content["cycles_to_last_add_norm"],
        "linear": linear,
        "attention": busiest(content, "attention"),
        "waiting": content["cycles"] - linear,
        "wire_bytes_per_token": content["wire_bytes_per_token"],
    }


def array_words_of_one(plan: Plan) -> float:
    """Cycles a token that one array needs for a whole encoder, no output lane left over."""
    macs = plan.hidden * (4 * plan.hidden + 2 * plan.ffn)
    return macs * plan.encoders / (plan.shape["K_LANES"] * plan.shape["OUT_N"])


def misfits(shape: Mapping[str, int]) -> list[str]:
    """Why a node of that shape cannot be built on the device of the boards: of what it needs more than there is."""
    return [f"{amount(needed)} {name}, {there:,} exist" for name, (needed, there) in excess(shape, whole(LIMITS)).items()]


def scaling_row(nodes: int, tokens: int, record: Mapping[str, Any] | None, one: float) -> dict[str, Any]:
    """A cluster of so many nodes against one array that is always busy; without a record, one that was not run."""
    row: dict[str, Any] = {"nodes": nodes, "cycles": None, "bound": None, "efficiency": None, "speedup": None, "refused": None}
    if record is None:
        return row | {"misfits": []}
    ideal, cycles = one * tokens, record["content"]["cycles"]
    return row | {
        "cycles": cycles,
        "bound": record["mac_bound"],
        "speedup": round(ideal / cycles, 3),
        "efficiency": round(ideal / (nodes * cycles), 4),
        "misfits": misfits(record["shape"]),
    }


# ------------------------------------------------------------------ the bench


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What the command line gives."""

    only: str | None = None
    record: bool = False
    again: bool = False
    model: Path | None = None
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    out: Path | None = None


def chosen(only: str | None, data: BenchData) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(parts, names of figures) that ONLY names, all where it is silent. InputError for what there is not."""
    figures = tuple(target.name for target in data.targets)
    if only is None:
        return PARTS, figures
    names = [name.strip() for name in only.split(",") if name.strip()]
    wrong = [name for name in names if name not in PARTS and name not in figures]
    if wrong or not names:
        raise InputError(f"ONLY={only}: {', '.join(wrong) or 'nothing'} cannot be measured; choose {', '.join((*PARTS, *figures))}")
    parts = tuple(part for part in PARTS if part in names or (part == "figures" and any(name in figures for name in names)))
    return parts, figures if "figures" in names else tuple(name for name in figures if name in names)


def missing(project: str) -> bool:
    """True of a project that is not there (yet)."""
    return not (project_root() / "fpga_projects" / project / "project.yaml").exists()


def measure_figures(runner: Runner, data: BenchData, names: Sequence[str]) -> list[dict[str, Any]]:
    """One entry a target: measured, its second figure, verdict; measured is None where it was skipped or differs."""
    out = []
    for target in data.targets:
        if target.name not in names:
            continue
        case = CASES[target.name]
        entry: dict[str, Any] = {"name": target.name, "what": target.what, "unit": target.unit, "reach": target.reach, "measured": None}
        entry |= {"to_last_add_norm": None, "reached": None, "exact": None, "tokens": None}
        if missing(case.project):
            out.append(entry | {"verdict": f"skipped: there is no project {case.project}"})
            continue
        try:
            record = runner.run(case)
        except DiffersError as error:
            out.append(entry | {"verdict": f"DIFFERS: {error.message.splitlines()[0]}", "exact": False, "reached": False})
            continue
        value = figure(target.name, record)
        if target.unit == "cycles" and target.name != "interval":
            entry["to_last_add_norm"] = record["content"]["cycles_to_last_add_norm"]
        if "content" in record:
            entry["tokens"] = record["content"]["tokens"]
        if target.name == "interval":
            entry["completions"] = completions(record["content"]["sentences"])
        unclean = record.get("unclean")
        entry |= {"measured": round(value, 6), "reached": target.reached(value) and unclean is None, "exact": True}
        entry |= {"verdict": target.verdict(value) + (f"; NOT CLEAN: {unclean.split(';')[0]}" if unclean else "")}
        out.append(entry)
    return out


def measure_scaling(runner: Runner, tokens: int = 128) -> list[dict[str, Any]]:
    """The base encoder on 1 to 12 nodes. What a plan refuses is not run, what does not fit the part is marked."""
    one = array_words_of_one(runner.plan(base_case(tokens)))
    rows = []
    for nodes in NODES:
        try:
            record: dict[str, Any] | None = runner.run(base_case(tokens, nodes))
            refused = None
        except (InputError, DiffersError) as error:
            lines = error.message.splitlines()
            record, refused = None, lines[0] if isinstance(error, DiffersError) else lines[-1].strip()
        rows.append(scaling_row(nodes, tokens, record, one) | {"refused": refused})
    return rows


def measure(runner: Runner, data: BenchData, options: BenchOptions, version: str) -> dict[str, Any]:
    """The content of bench.json."""
    parts, names = chosen(options.only, data)
    content: dict[str, Any] = {"version": version, "link_delay": LINK_DELAY, "part": DEVICE}
    if "figures" in parts:
        content["figures"] = measure_figures(runner, data, names)
    if "tokens" in parts:
        content["tokens"] = []
        for count in TOKENS:
            with contextlib.suppress(DiffersError):
                content["tokens"].append(token_row(count, runner.run(base_case(count))))
    if "scaling" in parts:
        content["scaling"] = measure_scaling(runner)
    if "wire" in parts or "array_busy" in names:
        with contextlib.suppress(DiffersError):
            run = runner.run(base_case(128))["content"]
            content["array"] = [{"node": node, **shares} for node, shares in array_table(run).items()]
            content["kernels"] = {node: {k: v for k, v in kernels.items() if k != "array"} for node, kernels in run["counters"].items()}
            content["ports"] = run["ports"]
            content["wire_bytes_per_token"] = run["wire_bytes_per_token"]
    if "mapper" in parts:
        content["mapper"] = measure_mapper()
    content["differs"] = {case.shown: message for case, message in {**runner.failed, **runner.unclean}.items()}
    return content


def bench(options: BenchOptions, teller: Teller, version: str, console: Console) -> int:
    """Measure, print, write. 1 where a figure is missed or a run differs."""
    from floreana.report.bench_plots import write_plots
    from floreana.report.bench_tables import grids, record_document

    data = load_data()
    base = (project_root() / "build" if options.out is None else options.out).absolute()
    runner = Runner(base, teller, version, options.jobs, options.model, options.again)
    content = measure(runner, data, options, version)
    runner.folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_whole(runner.folder / "bench.json", write)
    width = console.width if console.is_terminal else max(console.width, 150)
    for grid in grids(content, data):
        console.print(grid.table(), width=width)
    plots = write_plots(content, data, runner.folder / "plots")
    console.print(
        f"written: {runner.folder / 'bench.json'}, {len(plots)} plot(s) in {runner.folder / 'plots'}", highlight=False, soft_wrap=True
    )
    if options.record:
        docs = project_root() / "docs"
        (docs / "plots").mkdir(exist_ok=True)
        for plot in plots:
            shutil.copyfile(plot, docs / "plots" / plot.name)
        record_document(docs / "bench.md", content, data, {plot.stem for plot in plots})
        console.print(f"recorded in {docs / 'bench.md'} and {docs / 'plots'}", highlight=False, soft_wrap=True)
    bad = [entry["name"] for entry in content.get("figures", []) if entry["reached"] is False]
    if bad:
        console.print(f"not reached: {', '.join(bad)}", style="red", highlight=False, soft_wrap=True)
    for case, message in content["differs"].items():
        console.print(f"{case}: {message}", style="red", highlight=False, markup=False, soft_wrap=True)
    return 1 if bad or content["differs"] else 0
