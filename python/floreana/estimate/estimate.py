# SPDX-License-Identifier: Apache-2.0
"""`floreana estimate`: latency, throughput and utilisation on 1 to 72 devices, beside simulated, published and measured figures."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from floreana.baseline.launch import read_baselines
from floreana.cluster.description import Project, find_project, load_project
from floreana.environment import project_root
from floreana.errors import InputError
from floreana.estimate.data import KINDS, Simulated, Target, load_engines, load_simulated, targets
from floreana.estimate.engines import engines_estimate
from floreana.estimate.layout import Chooser, Misfit, Model, Network
from floreana.estimate.timing import Timer
from floreana.report.bench_tables import Grid
from floreana.report.published import load_published
from floreana.report.result import write_whole

MOST_DEVICES = 72
COUNTS = (1, 2, 3, 4, 6, 8, 9, 12, 18, 24, 36, 48, 60, 72)
DEFAULT_PROJECT = "ibert_base_3x12"
BASE_HZ = 200e6  # of which the link delay of a description is told
WIDTH = 180  # of a table where no terminal says
CLOCKS = (1.0, 1000.0)  # MHz
BERT_BASE = Model(768, 12, 3072, 12)


@dataclass(frozen=True, slots=True)
class EstimateOptions:
    """What the command line gives."""

    project: str = DEFAULT_PROJECT
    tokens: int = 128
    devices: str | None = None
    only: str | None = None
    clock: float = 200.0
    aie_efficiency: float | None = None
    record: bool = False
    out: Path | None = None


def counts_of(text: str | None) -> tuple[int, ...]:
    """Numbers of devices: ``6,12`` or ``1-12``. InputError."""
    if text is None:
        return COUNTS
    found: set[int] = set()
    for word in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})(?:\s*-\s*(\d{1,4}))?\s*", word)
        low = int(match[1]) if match else 0
        high = int(match[2] or match[1]) if match else 0
        if not 1 <= low <= high <= MOST_DEVICES:
            raise InputError(f"DEVICES={text}: {word.strip()!r} is no number from 1 to {MOST_DEVICES}; write for example 1-12,36")
        found |= set(range(low, high + 1))
    return tuple(sorted(found))


def check(options: EstimateOptions, known: Mapping[str, Target]) -> tuple[list[Target], tuple[int, ...]]:
    """What is estimated, on how many devices. InputError with everything that is wrong."""
    problems: list[str] = []
    counts: tuple[int, ...] = ()
    try:
        counts = counts_of(options.devices)
    except InputError as error:
        problems.append(error.message)
    names = list(known) if options.only is None else [name.strip() for name in options.only.split(",") if name.strip()]
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        problems.append(f"ONLY={options.only}: {', '.join(wrong) or 'nothing'} is not known; choose {', '.join(known)}")
    if not CLOCKS[0] <= options.clock <= CLOCKS[1]:
        problems.append(f"CLOCK={options.clock:g}: choose {CLOCKS[0]:g} to {CLOCKS[1]:g} MHz")
    if options.aie_efficiency is not None and not 0 < options.aie_efficiency <= 1:
        problems.append(f"AIE_EFFICIENCY={options.aie_efficiency:g}: a share of the peak is needed, above 0, at most 1")
    if not 1 <= options.tokens <= 512:
        problems.append(f"TOKENS={options.tokens}: a sequence has 1 to 512 tokens")
    if problems:
        raise InputError("\n".join(problems))
    return [known[name] for name in names], counts


# ------------------------------------------------------------------ one estimate


def _row(target: Target, devices: int, **more: Any) -> dict[str, Any]:
    nothing = ("used", "layout", "cycles", "latency_ms", "sequences_s", "array", "limit", "refused")
    start = {"target": target.name, "title": target.title, "devices": devices, "kind": "modelled", "resources": {}}
    return {**start, **dict.fromkeys(nothing), **more}


def estimate_rtl(target: Target, devices: int, chooser: Chooser, timer: Timer, clock_hz: float) -> dict[str, Any]:
    """Our RTL on so many devices; ``refused`` says why there is nothing."""
    try:
        layout, _, resources = chooser.best(target.device, target.ports, devices)
    except InputError as error:
        return _row(target, devices, refused=error.message, fits=not isinstance(error, Misfit))
    cycles, each = timer.latency(layout, target.ports)
    copies = devices // layout.devices
    every = chooser.interval(layout, target.ports, cycles)
    return _row(
        target,
        devices,
        used=layout.devices * copies,
        layout=f"{f'{copies} times ' if copies > 1 else ''}{layout}",
        cycles=cycles,
        latency_ms=round(1e3 * cycles / clock_hz, 4),
        sequences_s=round(copies * clock_hz / every, 1),
        array=round(chooser.model.encoders // layout.teams * each.array / every, 4),
        limit=each.limit,
        resources={name: round(value, 4) for name, value in resources.items()},
    )


def estimate_engines(target: Target, devices: int, model: Model, tokens: int, delay_s: float, given: float | None) -> dict[str, Any]:
    """AI engines as a budget of products."""
    try:
        found = engines_estimate(model, target.device, devices, tokens, delay_s, load_engines(), given)
    except InputError as error:
        return _row(target, devices, refused=error.message, fits=not isinstance(error, Misfit))
    copies = devices // found.devices
    team = f"{found.teams} groups x " if found.teams > 1 else ""
    return _row(
        target,
        devices,
        used=found.devices * copies,
        layout=f"{f'{copies} times ' if copies > 1 else ''}{team}{found.parts} device{'s' if found.parts > 1 else ''}",
        latency_ms=round(1e3 * found.latency, 4),
        sequences_s=round(copies / found.interval, 1),
        resources={name: round(value, 4) for name, value in found.memory.items()},
        assumption=found.assumption,
    )


def simulated_rows(simulated: Simulated, project: Project, options: EstimateOptions) -> list[dict[str, Any]]:
    """What was simulated of this model: as many encoders, as many tokens."""
    out = []
    for run in simulated.run:
        if Model(run.hidden, run.heads, run.ffn, run.encoders) != Model.of(project) or run.tokens != options.tokens:
            continue
        team = f"{run.groups} {'clusters' if run.clusters > 1 else 'groups'} x " if run.groups > 1 else ""
        out.append(
            {
                "devices": run.nodes,
                "layout": f"{team}{run.nodes // run.groups} nodes of 64 x 48, 1 a device",
                "cycles": run.cycles,
                "latency_ms": round(1e3 * run.cycles / BASE_HZ, 4),
                "sequences_s": None if run.interval is None else round(BASE_HZ / run.interval, 1),
                "kind": "simulated",
                "source": run.source,
            }
        )
    return out


def systems(model: Model, tokens: int, base: Path) -> list[dict[str, Any]]:
    """Published and measured latencies of BERT-base, batch 1, with so many tokens; none beside another model."""
    if model != BERT_BASE:
        return []
    out: list[dict[str, Any]] = [
        {"system": each.system, "dtype": each.dtype, "latency_ms": each.ms, "kind": each.kind, "source": each.source}
        for each in load_published()
        if each.tokens == tokens
    ]
    for content in read_baselines(base):
        for row in content["rows"]:
            if row["tokens"] == tokens:
                threads = f", {content['threads']} threads" if content.get("threads") else ""
                mode = "" if row["mode"] == "eager" else f", {row['mode']}"
                source = f"make gpu-baseline: median of {row['runs']} ({row['q1_ms']:.2f} to {row['q3_ms']:.2f} ms the middle half)"
                system = f"{content['device']}{threads}, PyTorch {content['torch']}{mode}"
                out.append(
                    {"system": system, "dtype": row["dtype"].upper(), "latency_ms": row["median_ms"], "kind": "measured", "source": source}
                )
    return out


# ------------------------------------------------------------------ tables


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def merged(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Neighbours that say the same as one: (numbers of devices, row)."""
    out: list[list[Any]] = []
    for row in rows:
        same = {name: value for name, value in row.items() if name != "devices" and not (name == "refused" and row.get("fits") is False)}
        same.setdefault("refused", "")
        if out and out[-1][2] == same:
            out[-1][1] = row["devices"]
        else:
            out.append([row["devices"], row["devices"], same])
    return [(f"{first}" if first == last else f"{first} to {last}", row) for first, last, row in out]


HEAD = ("device", "devices", "layout", "latency, ms", "sequences/s, at most", "array", "dsp", "ramb36", "uram", "lut", "kind")


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Layout and what follows."""
    if row["refused"] is not None:
        return ("does not fit" if row["fits"] is False else "refused, see below", *("-",) * 8)
    shares = [_percent(row["resources"].get(name)) for name in ("dsp", "ramb36", "uram", "lut")]
    return (row["layout"], f"{row['latency_ms']:.3f}", f"{row['sequences_s']:,.0f}", _percent(row["array"]), *shares, row["kind"])


def estimate_grid(content: Mapping[str, Any]) -> Grid:
    """One row a device and layout; what was simulated below."""
    lines: list[tuple[str, ...]] = []
    for name in dict.fromkeys(row["target"] for row in content["estimates"]):
        rows = [row for row in content["estimates"] if row["target"] == name]
        lines += [(row["title"], count, *_cells(row)) for count, row in merged(rows)]
    for row in content["simulated"]:
        rate = "-" if row["sequences_s"] is None else f"{row['sequences_s']:,.0f}"
        cells = (row["layout"], f"{row['latency_ms']:.3f}", rate, *("-",) * 5, f"{row['kind']}, {row['source']}")
        lines.append(("XCZU19EG (Sidewinder)", f"{row['devices']}", *cells))
    m = content["model"]
    what = f"{m['encoders']} encoder{'s' if m['encoders'] > 1 else ''}, hidden {m['hidden']}, FFN {m['ffn']:,}, {content['tokens']} tokens"
    return Grid("devices", f"{what}; {content['clock_mhz']:g} MHz assumed, not reached", HEAD, tuple(lines), (0, 1, 2, 10))


def refusals(content: Mapping[str, Any]) -> list[str]:
    """Why there is no estimate: a figure that is unknown, or what the largest count that does not fit lacks."""
    out: dict[tuple[str, bool], str] = {}
    for row in content["estimates"]:
        if row["refused"] is not None:
            key = (row["title"], row["fits"])
            out[key] = f"{row['title']}, {row['devices']}: {row['refused']}"
    return list(out.values())


def systems_grid(content: Mapping[str, Any]) -> Grid:
    """Other systems, each figure with its kind and source."""
    rows = tuple((s["system"], s["dtype"], f"{s['latency_ms']:.2f}", s["kind"], s["source"]) for s in content["systems"])
    return Grid(
        "systems",
        f"BERT-base, batch 1, {content['tokens']} tokens",
        ("system", "type", "latency, ms", "kind", "source"),
        rows,
        (0, 1, 3, 4),
    )


def grids(content: Mapping[str, Any]) -> list[Grid]:
    return [estimate_grid(content), *([systems_grid(content)] if content["systems"] else [])]


def notes(content: Mapping[str, Any]) -> list[str]:
    """What the numbers rest on, in words."""
    clock, delay = f"{content['clock_mhz']:g} MHz", f"{content['delay_us']:.2f} us"
    out = [
        "modelled: the plan that `floreana plan` makes, timed by the schedule model; nothing was built. The shell is not in the shares.",
        f"{clock} is assumed at every figure of ours: no tool and no board has reached it. A crossing takes {delay}, on one device too.",
        *(f"{kind}: {text}" for kind, text in KINDS.items() if kind != "modelled"),
    ]
    said = dict.fromkeys(f"{row['title']}: {row['assumption']}" for row in content["estimates"] if row.get("assumption"))
    if said:
        out.append("AI engines are another array than ours, which this project does not have: a budget of products, a bound from below.")
    return [*out, *said]


# ------------------------------------------------------------------ the command


def estimate(options: EstimateOptions, tell: Callable[[str], None]) -> dict[str, Any]:
    """The content of estimate.json. InputError."""
    chosen, counts = check(options, targets())
    base = (project_root() / "build" if options.out is None else options.out).absolute()
    project = load_project(find_project(options.project))
    clock_hz = 1e6 * options.clock
    delay_s = project.transport.link_delay / BASE_HZ
    chooser = Chooser(project, options.tokens, Network.at(clock_hz, delay_s))
    timer = Timer(chooser, base / "estimate" / "schedules.json", tell)
    rows: list[dict[str, Any]] = []
    for target in chosen:
        for count in counts:
            if target.engines:
                rows.append(estimate_engines(target, count, chooser.model, options.tokens, delay_s, options.aie_efficiency))
            else:
                rows.append(estimate_rtl(target, count, chooser, timer, clock_hz))
    model = chooser.model
    return {
        "model": {"project": project.name, "hidden": model.hidden, "heads": model.heads, "ffn": model.ffn, "encoders": model.encoders},
        "tokens": options.tokens,
        "clock_mhz": options.clock,
        "delay_us": round(1e6 * delay_s, 4),
        "estimates": rows,
        "simulated": simulated_rows(load_simulated(), project, options),
        "systems": systems(model, options.tokens, base),
    }


def write_estimate(options: EstimateOptions, console: Console, tell: Callable[[str], None]) -> int:
    """Estimate, print, write; with ``record`` into docs/, too."""
    from floreana.estimate.plot import draw

    content = estimate(options, tell)
    folder = (project_root() / "build" if options.out is None else options.out).absolute() / "estimate"
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_whole(folder / "estimate.json", write)
    wide = console if console.is_terminal else Console(width=max(console.width, WIDTH), file=console.file)
    for grid in grids(content):
        wide.print(grid.table())
    for line in (*refusals(content), *notes(content)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    plot = draw(content, folder / "estimate.svg")
    console.print(f"written: {folder / 'estimate.json'}, {plot}", highlight=False, markup=False, soft_wrap=True)
    if options.record:
        docs = project_root() / "docs"
        (docs / "plots" / plot.name).write_bytes(plot.read_bytes())
        record(docs / "estimates.md", content)
        console.print(f"recorded in {docs / 'estimates.md'} and {docs / 'plots'}", highlight=False, soft_wrap=True)
    return 0


def record(path: Path, content: Mapping[str, Any]) -> None:
    """Put the tables between their marks. InputError where a mark is missing."""
    text = path.read_text(encoding="utf-8")
    image = f"\n![{estimate_grid(content).title}](plots/estimate.svg)\n"
    reasons = "".join(f"- {line}\n" for line in refusals(content))
    for grid in grids(content):
        begin, end = f"<!-- estimate {grid.name} -->\n", f"<!-- end {grid.name} -->\n"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
        if len(pattern.findall(text)) != 1:
            raise InputError(f"{path} must hold {begin.strip()} and, below, {end.strip()} once each; restore it")
        section = f"{begin}{grid.markdown()}{f'{chr(10)}{reasons}{image}' if grid.name == 'devices' else ''}{end}"
        text = pattern.sub(lambda _, section=section: section, text)  # type: ignore[misc]
    path.write_text(text, encoding="utf-8")
