# SPDX-License-Identifier: Apache-2.0
"""Plots of `floreana bench`, the same bytes from the same content of bench.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from floreana.report.bench_data import BenchData, Peer
from floreana.report.bench_tables import CAUSES, column

# ids of SVG elements come from this salt, and nothing tells when the file was made
SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "floreana",
    "svg.fonttype": "none",
    "font.size": 9.0,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
}
COLOURS = {"busy": "#2f6f9f", "idle_row": "#d9a441", "idle_output": "#b5483a", "other": "#8a8a8a"}
MORE = ("#6b4f9f", "#4f8f5a", "#8a8a8a", "#9f4f7f")  # causes that are not in the list above
Draw = Callable[[Any, Mapping[str, Any], BenchData], None]


def _peers(data: BenchData) -> list[Peer]:
    return [peer for peer in data.peers if peer.tokens is not None and peer.cycles is not None]


def draw_tokens(axes: Any, content: Mapping[str, Any], data: BenchData) -> None:
    rows = content["tokens"]
    x = column(rows, "tokens")
    peers = _peers(data)
    if peers:
        axes.plot(
            [p.tokens for p in peers], [p.cycles for p in peers], "--", marker="x", color=COLOURS["other"], label="published design (model)"
        )
    axes.plot(x, column(rows, "cycles"), marker="o", color="black", label="all")
    axes.plot(x, column(rows, "linear"), marker="s", color=COLOURS["busy"], label="MAC array busy (linear)")
    axes.plot(x, column(rows, "attention"), marker="^", color=COLOURS["idle_row"], label="attention busy")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(x, [str(n) for n in x])
    axes.set_xlabel("tokens")
    axes.set_ylabel("cycles of 5 ns")
    axes.set_title("one encoder of BERT-base size on six nodes")
    axes.legend()


def draw_scaling(axes: Any, content: Mapping[str, Any], data: BenchData) -> None:
    rows = [row for row in content["scaling"] if row["efficiency"] is not None]
    if not rows:
        axes.set_title("nothing was run")
        return
    for fits, fill in ((True, COLOURS["busy"]), (False, "white")):
        some = [row for row in rows if (not row["misfits"]) is fits]
        label = f"fits an {content['part']}" if fits else "does not fit"
        axes.plot(column(some, "nodes"), column(some, "speedup"), "o", color=COLOURS["busy"], markerfacecolor=fill, label=label)
    for row in rows:
        axes.annotate(f"{100 * row['efficiency']:.0f} %", (row["nodes"], row["speedup"]), textcoords="offset points", xytext=(6, -10))
    most = max(column(rows, "nodes"))
    axes.plot([0, most], [0, most], "--", color=COLOURS["other"], label="ideal")
    axes.set_xticks(column(rows, "nodes"))
    axes.set_xlabel("nodes")
    axes.set_ylabel("times one array that is always busy")
    axes.set_title("one encoder of BERT-base size, 128 tokens; parallel efficiency beside")
    axes.legend()


def draw_array(axes: Any, content: Mapping[str, Any], data: BenchData) -> None:
    nodes = column(content["array"], "node")
    bottom = [0.0] * len(nodes)
    for number, cause in enumerate(name for name in content["array"][0] if name != "node"):
        shares = [100 * value for value in column(content["array"], cause)]
        label = CAUSES.get(cause, cause.removeprefix("idle_").replace("_", " "))
        axes.bar(
            nodes,
            shares,
            bottom=bottom,
            color=COLOURS.get(cause, MORE[number % len(MORE)]),
            label=label if cause == "busy" else f"idle: {label}",
        )
        bottom = [a + b for a, b in zip(bottom, shares, strict=True)]
    axes.set_ylabel("% of the run")
    axes.set_title("the MAC array over the run of 128 tokens")
    axes.legend(loc="lower right")


def draw_ports(axes: Any, content: Mapping[str, Any], data: BenchData) -> None:
    ports = content["ports"]
    x = range(len(ports))
    for shift, name, colour in ((-0.2, "sent", COLOURS["busy"]), (0.2, "received", COLOURS["idle_row"])):
        axes.bar([k + shift for k in x], [100 * value for value in column(ports, f"{name}_share")], 0.4, color=colour, label=name)
    axes.set_xticks(list(x), column(ports, "port"))
    axes.set_ylabel("% of a 100 Gb/s line")
    axes.set_title("load of every port over the run of 128 tokens")
    axes.legend()


# file name, the part of bench.json that it shows, how
PLOTS: tuple[tuple[str, str, Draw], ...] = (
    ("tokens", "tokens", draw_tokens),
    ("scaling", "scaling", draw_scaling),
    ("array", "array", draw_array),
    ("ports", "ports", draw_ports),
)


def write_plots(content: Mapping[str, Any], data: BenchData, folder: Path) -> list[Path]:
    """Write the plots for which there is content; their paths."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    out = []
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        for name, part, draw in PLOTS:
            if part not in content:
                continue
            figure = Figure(figsize=(6.4, 4.0), layout="constrained")
            FigureCanvasSVG(figure)
            draw(figure.add_subplot(), content, data)
            path = folder / f"{name}.svg"
            figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
            out.append(path)
    return out
