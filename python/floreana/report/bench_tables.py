# SPDX-License-Identifier: Apache-2.0
"""Tables of `floreana bench`: for a terminal, and for docs/bench.md, from the content of bench.json."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from floreana.errors import InputError
from floreana.report.bench_data import BenchData, Peer

CLOCK_HZ = 200_000_000
CAUSES = {"busy": "busy", "idle_row": "no row is ready", "idle_output": "output is behind", "idle_switch": "context is being read"}


@dataclass(frozen=True, slots=True)
class Grid:
    """A table. ``left``: columns of text."""

    name: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: tuple[int, ...] = (0,)

    def table(self) -> Table:
        table = Table(title=self.title, title_justify="left")
        for number, text in enumerate(self.head):
            table.add_column(text, justify="left" if number in self.left else "right")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        marks = ["---" if number in self.left else "---:" for number in range(len(self.head))]
        return "\n".join(f"| {' | '.join(row)} |" for row in (self.head, marks, *self.rows)) + "\n"


def peer_head(what: str, peers: Iterable[Peer]) -> str:
    """A column's head says what kind of figures stand below it."""
    kinds = sorted({peer.kind for peer in peers})
    return f"{what} ({', '.join(kinds)})" if kinds else what


def _count(value: int | float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def figures_grid(content: Mapping[str, Any], data: BenchData) -> Grid:
    """What is to be reached, what was measured, and the published design beside it."""
    targets = {target.name: target for target in data.targets}
    rows = []
    peers = []
    for entry in content["figures"]:
        target = targets[entry["name"]]
        measured = "-" if entry["measured"] is None else target.show(entry["measured"])
        exact = {None: "", True: ", bit-exact" if entry["tokens"] is not None else "", False: ""}[entry["exact"]]
        rows.append(
            (
                target.what,
                target.shown,
                measured,
                _count(entry["to_last_add_norm"]),
                f"{entry['verdict']}{exact}",
                "-" if target.peer is None else target.peer.shown,
            )
        )
        peers += [target.peer] if target.peer is not None else []
    head = ("what", "reach", "measured", "to the last add_norm", "verdict", peer_head("published design", peers))
    return Grid("figures", f"RTL simulation, link delay {content['link_delay']} cycles", head, tuple(rows), (0, 4, 5))


def array_grid(content: Mapping[str, Any]) -> Grid:
    """What each node's array did in the run of 128 tokens, and how busy its other kernels were."""
    causes = [name for name in content["array"][0] if name != "node"]
    rows = []
    for entry in content["array"]:
        kernels = content["kernels"][entry["node"]]
        shares = [_percent(entry[cause]) for cause in causes]
        rows.append((entry["node"], *shares, _count(kernels["attention"]["busy"]), _count(kernels["add_norm"]["busy"])))
    names = [CAUSES.get(cause, cause.removeprefix("idle_").replace("_", " ")) for cause in causes]
    head = ("node", *(name if name == "busy" else f"idle: {name}" for name in names), "attention busy, cycles", "add_norm busy, cycles")
    return Grid("array", "the MAC array over the run of 128 tokens, by cause", head, tuple(rows))


def tokens_grid(content: Mapping[str, Any], data: BenchData) -> Grid:
    """Cycles as tokens grow."""
    peers = {peer.tokens: peer for peer in data.peers if peer.tokens is not None}
    rows = tuple(
        (
            f"{row['tokens']}",
            _count(row["cycles"]),
            _count(row["to_last_add_norm"]),
            _count(row["linear"]),
            _count(row["attention"]),
            _count(row["waiting"]),
            _count(row["wire_bytes_per_token"]),
            peers[row["tokens"]].shown if row["tokens"] in peers else "-",
        )
        for row in content["tokens"]
    )
    head = ("tokens", "cycles", "to the last add_norm", "array busy", "attention busy", "array waits", "wire bytes a token")
    return Grid(
        "tokens",
        "one encoder on six nodes as tokens grow, cycles of the busiest node",
        (*head, peer_head("published design", peers.values())),
        rows,
    )


def scaling_grid(content: Mapping[str, Any]) -> Grid:
    """The same encoder on more nodes."""
    rows = []
    for row in content["scaling"]:
        notes = [*(f"does not fit: {text}" for text in row["misfits"]), *([f"refused: {row['refused']}"] if row["refused"] else [])]
        speedup = "-" if row["speedup"] is None else f"{row['speedup']:.2f}"
        efficiency = "-" if row["efficiency"] is None else _percent(row["efficiency"])
        rows.append(
            (
                f"{row['nodes']}",
                _count(row["cycles"]),
                _count(row["bound"]),
                speedup,
                efficiency,
                "; ".join(notes) or f"fits an {content['part']}",
            )
        )
    head = ("nodes", "cycles", "array's own bound", "times one array", "parallel efficiency", content["part"])
    return Grid("scaling", "one encoder, 128 tokens, on more nodes", head, tuple(rows), (5,))


def ports_grid(content: Mapping[str, Any]) -> Grid:
    """Load of every port."""
    rows = tuple(
        (
            port["port"],
            _count(port["sent_frames"]),
            _count(port["sent_bytes"]),
            _percent(port["sent_share"]),
            _count(port["received_frames"]),
            _count(port["received_bytes"]),
            _percent(port["received_share"]),
        )
        for port in content["ports"]
    )
    title = f"ports over the run of 128 tokens; {content['wire_bytes_per_token']:,.0f} bytes a token leave all ports"
    return Grid("ports", title, ("port", "frames sent", "bytes", "of the line", "frames received", "bytes", "of the line"), rows)


def mapper_grid(content: Mapping[str, Any]) -> Grid:
    """What the mapper chooses, and how long that takes."""
    rows = tuple(
        (
            row["what"],
            _count(row["nodes"]),
            row["objective"],
            row["found"],
            _count(row["cycles"]),
            _count(row["bound"]),
            _percent(row["gap"]),
            _count(row["timed"]),
            f"{row['seconds']:.1f}",
        )
        for row in content["mapper"]
    )
    head = (
        "description",
        "nodes",
        "objective",
        "found",
        "cycles by its model",
        "bound proved",
        "gap",
        "by the schedule model",
        "CPU seconds",
    )
    return Grid("mapper", "the mapper, encoders of BERT-base size, 128 tokens", head, rows, (0, 2, 3))


def systems_grid(content: Mapping[str, Any], data: BenchData) -> Grid:
    """Other systems, and ours beside them where it was measured."""
    rows = []
    ours = next((e for e in content.get("figures", []) if e["name"] == "base_12_encoders" and e["measured"] is not None), None)
    if ours is not None:
        rows.append(
            (
                "Floreana, 36 nodes, RTL simulation at an assumed 200 MHz",
                "measured",
                f"{1e3 * ours['measured'] / CLOCK_HZ:.2f} ms",
                "this table",
            )
        )
    shown = {target.peer.id for target in data.targets if target.peer is not None}
    rows += [(p.system, p.kind, p.shown, p.source) for p in data.peers if p.id not in shown and p.tokens is None]
    return Grid(
        "systems",
        "twelve encoders of BERT-base size, 128 tokens, one sequence",
        ("system", "kind", "latency", "source"),
        tuple(rows),
        (0, 1, 2, 3),
    )


def grids(content: Mapping[str, Any], data: BenchData) -> list[Grid]:
    """All tables for which there is content."""
    out = []
    if "figures" in content:
        out.append(figures_grid(content, data))
    if "array" in content:
        out.append(array_grid(content))
    if "tokens" in content:
        out.append(tokens_grid(content, data))
    if "scaling" in content:
        out.append(scaling_grid(content))
    if "ports" in content:
        out.append(ports_grid(content))
    if "mapper" in content:
        out.append(mapper_grid(content))
    if "figures" in content:
        out.append(systems_grid(content, data))
    return out


def record_document(path: Path, content: Mapping[str, Any], data: BenchData, plots: Iterable[str] = ()) -> None:
    """Put the tables between their marks in a Markdown document, plots of their names below. InputError where a mark is missing."""
    text = path.read_text(encoding="utf-8")
    for grid in grids(content, data):
        begin, end = f"<!-- bench {grid.name} -->\n", f"<!-- end {grid.name} -->\n"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
        if len(pattern.findall(text)) != 1:
            raise InputError(f"{path} must hold {begin.strip()} and, below, {end.strip()} once each; restore it")
        image = f"\n![{grid.title}](plots/{grid.name}.svg)\n" if grid.name in plots else ""
        section = f"{begin}{grid.markdown()}{image}{end}"
        text = pattern.sub(lambda _, section=section: section, text)  # type: ignore[misc]
    path.write_text(text, encoding="utf-8")


def column(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """A column of rows."""
    return [row[name] for row in rows]
