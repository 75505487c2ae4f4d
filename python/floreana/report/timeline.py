# SPDX-License-Identifier: Apache-2.0
"""What `floreana plan` tells of the schedule: utilisation, and when each operator is at work, as text and drawn (docs/schedule.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from floreana.cluster.plan import Plan
from floreana.cluster.schedule import Schedule, Span
from floreana.report.bench_plots import SETTINGS
from floreana.report.result import write_whole

# lanes of a node from top to bottom: operator and its kernel
LANES = (
    ("entry", "add_norm"),
    ("direct", "add_norm"),
    ("qkv", "linear"),
    ("attention", "attention"),
    ("out", "linear"),
    ("ln1", "add_norm"),
    ("ffn1", "linear"),
    ("ffn2", "linear"),
    ("ln2", "add_norm"),
)
COLOURS = {"linear": "#2f6f9f", "attention": "#d9a441", "add_norm": "#4f8f5a"}
COLUMNS = 96  # of the text timeline
_DIGITS = "0123456789abcdef"  # of an encoder


def alike(plan: Plan) -> list[tuple[int, ...]]:
    """Nodes with the same operators of the same encoders, together; in order of the first one."""
    groups: dict[tuple[tuple[str, int], ...], list[int]] = {}
    for node in plan.nodes:
        groups.setdefault(tuple((c.name, c.encoder) for c in node.contexts), []).append(node.index)
    return [tuple(nodes) for nodes in groups.values()]


def utilisation(plan: Plan, found: Schedule) -> Table:
    """Busy share of every kernel and of every Ethernet port's line."""
    ports = plan.shape["ETH_N"]
    tokens = ", ".join(str(s.tokens) for s in found.sequences)
    table = Table(title=f"utilisation over {found.cycles:,} cycles, {tokens} tokens (schedule model)", title_justify="left")
    lines = ["line out"] if ports == 1 else [f"line out, port {k}" for k in range(ports)]
    for column in ("node", "name", "linear", "attention", "add_norm", *lines):
        table.add_column(column, justify="left" if column == "name" else "right")
    shares = {(load.node, load.port): load.share for load in found.ports}
    for node in plan.nodes:
        kernels = [found.kernel(node.index, kernel) for kernel in ("linear", "attention", "add_norm")]
        busy = [f"{100 * load.busy / found.cycles:.1f} %" for load in kernels]
        table.add_row(str(node.index), node.name, *busy, *(f"{100 * shares[node.index, k]:.1f} %" for k in range(ports)))
    host = plan.host.node
    table.add_row(str(host), "host", "", "", "", f"{100 * shares[host, 0]:.1f} %")
    return table


def _bar(spans: Sequence[Span], cycles: int) -> str:
    """A line of the text timeline: the encoder's number where the operator is at work."""
    cells = [" "] * COLUMNS
    for span in spans:
        first = span.begin * COLUMNS // cycles
        last = max(min(-(-span.end * COLUMNS // cycles), COLUMNS), first + 1)
        for place in range(first, min(last, COLUMNS)):
            cells[place] = _DIGITS[span.encoder]
    return "".join(cells)


def timeline(plan: Plan, found: Schedule) -> str:
    """Lines of text: for the first of all nodes that are alike a bar for each operator."""
    width = max(len(name) for name, _ in LANES) + 1
    title = "timeline: from an operator's first row to its last one; the digit is the encoder's number in base 16"
    lines = [f"{title}, a column {found.cycles / COLUMNS:,.0f} cycles"]
    for nodes in alike(plan):
        others = ", ".join(plan.nodes[node].name for node in nodes[1:4]) + (", ..." if len(nodes) > 4 else "")
        more = f" (the same operators: {others})" if others else ""
        lines.append(f"{plan.nodes[nodes[0]].name}{more}")
        for name, kernel in LANES:
            spans = [span for span in found.kernel(nodes[0], kernel).spans if span.operator == name]
            if spans:
                lines.append(f"  {name:<{width}}|{_bar(spans, found.cycles)}|")
    end = f"{found.cycles:,}"
    lines.append(" " * (width + 3) + "0" + end.rjust(COLUMNS - 1))
    return "\n".join(lines)


def text(plan: Plan, found: Schedule, width: int = 110) -> str:
    """Utilisation, timeline and the cycles, for the terminal."""
    console = Console(width=width, color_system=None, highlight=False, legacy_windows=False)
    with console.capture() as capture:
        console.print(utilisation(plan, found))
    table = "\n".join(line.rstrip() for line in capture.get().splitlines())
    return (
        f"{table}\n{timeline(plan, found)}\nschedule model: first row back after {found.first_row:,} cycles, last row after"
        f" {found.last_row:,}; within 5 % of the RTL where it was compared (docs/schedule.md)"
    )


def draw(plan: Plan, found: Schedule, folder: Path) -> list[Path]:
    """Write timeline.svg and timeline.png to a folder: the same bytes from the same plan. Returns the paths."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    groups = alike(plan)
    lanes: list[tuple[str, list[tuple[Span, str]]]] = []
    for nodes in groups:
        name = plan.nodes[nodes[0]].name + (f" .. {plan.nodes[nodes[-1]].name}" if len(nodes) > 1 else "")
        for operator, kernel in LANES:
            spans = [(span, kernel) for span in found.kernel(nodes[0], kernel).spans if span.operator == operator]
            if spans:
                lanes.append((f"{name}  {operator}", spans))
    canvases: tuple[tuple[str, Any, dict[str, None]], ...] = (
        ("svg", FigureCanvasSVG, {"Date": None, "Creator": None}),
        ("png", FigureCanvasAgg, {"Software": None}),
    )
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind, canvas, metadata in canvases:
        with matplotlib.rc_context(SETTINGS):
            figure = Figure(figsize=(9, 1.4 + 0.22 * len(lanes)), layout="constrained", dpi=120)
            canvas(figure)
            axes = figure.add_subplot()
            for place, (_, spans) in enumerate(lanes):
                for span, kernel in spans:
                    box = (span.begin, max(span.end - span.begin, 1))
                    alpha = 0.6 if span.encoder % 2 else 0.95
                    axes.broken_barh([box], (place - 0.4, 0.8), facecolors=COLOURS[kernel], alpha=alpha, edgecolor="white", linewidth=0.4)
            axes.set_yticks(range(len(lanes)), [label for label, _ in lanes])
            axes.invert_yaxis()
            axes.set_xlim(0, found.cycles)
            axes.set_xlabel("cycles of 5 ns from the first beat at the host's port")
            tokens = ", ".join(str(s.tokens) for s in found.sequences)
            axes.set_title(f"{plan.project}, {tokens} tokens: first to last row of each operator (schedule model)")
            patches = [Patch(color=colour, label=kernel) for kernel, colour in COLOURS.items()]
            figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), frameon=False)
            path = folder / f"timeline.{kind}"

            def write(temporary: Path, kind: str = kind, metadata: Any = metadata, figure: Any = figure) -> None:
                figure.savefig(temporary, format=kind, metadata=metadata)

            write_whole(path, write)
            paths.append(path)
    return paths
