# SPDX-License-Identifier: Apache-2.0
"""The plot of `floreana estimate`: latency against the number of devices, other systems as lines. The same bytes from the same content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from floreana.report.bench_plots import SETTINGS

MARKERS = "os^vD<>Phd"


def draw(content: Mapping[str, Any], path: Path) -> Path:
    """Write the plot."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        figure = Figure(figsize=(8.6, 5.4), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        most = max((row["devices"] for row in content["estimates"]), default=1)
        for number, name in enumerate(dict.fromkeys(row["target"] for row in content["estimates"])):
            rows = [row for row in content["estimates"] if row["target"] == name and row["latency_ms"] is not None]
            if rows:
                x, y = [row["devices"] for row in rows], [row["latency_ms"] for row in rows]
                style = ":" if any(row.get("assumption") for row in rows) else "-"
                marker = MARKERS[number % len(MARKERS)]
                axes.plot(x, y, style, marker=marker, markersize=4, linewidth=1, label=f"{rows[0]['title']} (modelled)")
        if content["simulated"]:
            x, y = [row["devices"] for row in content["simulated"]], [row["latency_ms"] for row in content["simulated"]]
            axes.plot(x, y, "*", color="black", markersize=10, label="XCZU19EG (simulated)")
        for system in content["systems"]:
            colour = "#b5483a" if system["kind"] == "measured" else "#8a8a8a"
            axes.axhline(system["latency_ms"], linestyle="--", linewidth=0.7, color=colour)
            text = f"{system['system']} {system['dtype']} ({system['kind']})"
            axes.annotate(text, (1, system["latency_ms"]), textcoords="offset points", xytext=(2, 2), fontsize=6, color=colour)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        ticks = [n for n in (1, 2, 4, 6, 12, 24, 36, 48, 72) if n <= most]
        axes.set_xticks(ticks, [str(n) for n in ticks])
        axes.set_xlim(0.95, most * 1.1)
        axes.set_xlabel("devices")
        axes.set_ylabel("latency of one sequence, ms")
        m = content["model"]
        axes.set_title(
            f"{m['encoders']} x hidden {m['hidden']}, {content['tokens']} tokens; {content['clock_mhz']:g} MHz assumed, not reached"
        )
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    return path
