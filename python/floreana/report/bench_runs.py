# SPDX-License-Identifier: Apache-2.0
"""Runs of `floreana bench`, each simulated once.

A run that is complete is kept in build/bench/runs under the hash of all that decides it (RTL, plan, tokens, the software that runs it),
so that a bench which was stopped goes on where it was, and changed RTL is measured anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from floreana.cluster.description import find_project, load_project
from floreana.cluster.layout import MESSAGE_BYTES
from floreana.cluster.plan import Plan, make_plan, with_link_delay
from floreana.environment import project_root
from floreana.errors import DiffersError
from floreana.host.frame import DATA
from floreana.project.tops import cluster_top, render_tops
from floreana.report.result import write_whole
from floreana.sim.build import rtl_folders, sources_of
from floreana.sim.capture import read_capture
from floreana.sim.flow import Finished, Hooks, Options, Teller, simulate
from floreana.sim.speed import Speed, measure_speed

LINK_DELAY = 220
# what of the software decides a run's figures, besides the plan
_SOFTWARE = (
    *("cluster/entry.py", "host/*.py", "ibert/*.py", "sim/*.py"),
    *("report/compare.py", "report/load.py", "report/result.py", "report/transport.py"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One simulated run. ``line``: of texts/lengths.txt; ``nodes``: another count than the project's."""

    project: str
    tokens: str | None = None
    line: int | None = None
    in_flight: int = 1
    nodes: int | None = None
    speed: bool = False

    @property
    def shown(self) -> str:
        what = f"line {self.line} of lengths.txt" if self.tokens is None else f"{self.tokens} tokens"
        nodes = "" if self.nodes is None else f" on {self.nodes} nodes"
        return f"{self.project}{nodes}, {what}" + (f", {self.in_flight} in flight" if self.in_flight > 1 else "")


class _Brief:
    """Passes on what a run is at, with its name in front; the bench has tables of its own for results."""

    def __init__(self, teller: Teller, prefix: str) -> None:
        self._teller, self._prefix = teller, prefix

    def stage(self, text: str) -> None:
        self._teller.stage(f"{self._prefix}: {text}")

    def built(self, simulator: Any) -> None:
        self._teller.built(simulator)

    def progress(self, line: dict[str, Any], sentences: int, rows: int) -> None:
        if line["stage"] == "loading":
            self.stage("loading the memory images")
        else:
            self.stage(f"cycle {line['cycle']:,}, {line['frames']:,} frames")

    def sentence(self, number: int, report: Any, plan: Plan) -> None:
        pass

    def summary(self, content: dict[str, Any], analysis: Any, outcome: Any, folder: Path) -> None:
        pass


def digest(parts: Iterable[bytes]) -> str:
    """SHA-256 of parts, each with its length."""
    out = hashlib.sha256()
    for part in parts:
        out.update(f"{len(part)} ".encode() + part)
    return out.hexdigest()


def software_digest() -> str:
    """Of the modules that decide a run's figures."""
    root = project_root() / "python" / "floreana"
    paths = sorted(path for pattern in _SOFTWARE for path in root.glob(pattern))
    return digest(part for path in paths for part in (str(path.relative_to(root)).encode(), path.read_bytes()))


def first_row(done: Finished) -> int | None:
    """Cycles from the first beat of the first sequence to the last beat of the first whole row that enters the host's port.

    None where the run left no capture.
    """
    plan, path = done.plan, done.folder / "traffic.pcapng"
    if not path.exists():
        return None
    start = done.content["sentences"][0]["start"]
    final = {number for number, edge in plan.edges.items() if edge.tensor == "ln2" and edge.encoder == plan.encoders - 1}
    names, records = read_capture(path)
    pieces = -(-plan.hidden // MESSAGE_BYTES)
    seen: Counter[bytes] = Counter()
    for record in records:
        data = record.data
        if not record.outbound and record.port == len(names) - 1 and data[42] & 31 == DATA and data[56] in final and record.cycle >= start:
            row = data[59:62]  # slot, generation, row
            seen[row] += 1
            if seen[row] == pieces:
                return int(record.cycle - start)
    return None


@dataclass(slots=True)
class Runner:
    """Runs cases, each once. ``base``: the folder in which bench/ is; ``again``: take no record of an earlier bench."""

    base: Path
    teller: Teller
    version: str
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    model: Path | None = None
    again: bool = False
    sim: str = "verilator"
    builds: Path | None = None
    simulate: Callable[[Options, Teller, str, Hooks | None], Finished] = simulate
    speed: Callable[[Options, Teller, str, Hooks | None], Speed] = measure_speed
    _done: dict[Case, dict[str, Any]] = field(default_factory=dict)
    failed: dict[Case, str] = field(default_factory=dict)  # what differs
    unclean: dict[Case, str] = field(default_factory=dict)  # equal, but for what the transport did

    @property
    def folder(self) -> Path:
        return self.base / "bench"

    def plan(self, case: Case) -> Plan:
        """InputError where the project is missing or refused."""
        return with_link_delay(make_plan(load_project(find_project(case.project), nodes=case.nodes)), LINK_DELAY)

    def options(self, case: Case) -> Options:
        text = None
        if case.tokens is None:
            lines = (project_root() / "python" / "floreana" / "ibert" / "texts" / "lengths.txt").read_text(encoding="utf-8").splitlines()
            text = lines[(case.line or 1) - 1]
        return Options(
            project=case.project,
            text=text,
            tokens=case.tokens,
            sim=self.sim,
            link_delay=LINK_DELAY,
            in_flight=case.in_flight,
            model=self.model if text is not None else None,
            nodes=case.nodes,
            jobs=self.jobs,
            out=self.folder / "work",
        )

    def key(self, case: Case, plan: Plan) -> str:
        """Hash of all that decides the run."""
        sources = sources_of(cluster_top(plan), render_tops(plan), rtl_folders())
        options = {name: str(value) for name, value in asdict(self.options(case)).items() if name not in ("out", "jobs")}
        texts = (json.dumps([asdict(case), options], sort_keys=True), plan.to_json(), software_digest())
        return digest([*(text.encode() for text in texts), *(part for name, text in sources.items() for part in (name.encode(), text))])[
            :24
        ]

    def run(self, case: Case) -> dict[str, Any]:
        """The record of a run. DiffersError where it is not bit-exact, InputError where it cannot be."""
        if case in self.failed:
            raise DiffersError(self.failed[case])
        if case not in self._done:
            try:
                self._done[case] = self._run(case)
                if "unclean" in self._done[case]:
                    self.unclean[case] = self._done[case]["unclean"]
            except DiffersError as error:
                self.failed[case] = error.message
                raise
        return self._done[case]

    def _simulated(self, case: Case, teller: Teller, hooks: Hooks) -> dict[str, Any]:
        """The result; where all values are equal, but the transport did what it must not on a clean network, with that."""
        options = self.options(case)
        try:
            done = self.simulate(options, teller, self.version, hooks)
            return {"content": done.content, "first_row": first_row(done)}
        except DiffersError as error:
            written = self.folder / "work" / case.project / "result.json"
            content = json.loads(written.read_text(encoding="utf-8")) if written.exists() else {"bit_exact": False}
            if content["bit_exact"] is not True:
                raise
            return {"content": content, "unclean": error.message.partition("; capture:")[0].rpartition("and yet: ")[2]}

    def _run(self, case: Case) -> dict[str, Any]:
        plan = self.plan(case)
        path = self.folder / "runs" / f"{self.key(case, plan)}.json"
        if not self.again and path.exists():
            try:
                record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
                self.teller.stage(f"{case.shown}: measured before")
                return record
            except ValueError:
                path.unlink()
        builds = self.folder / "sims" / f"{case.project}_{len(plan.nodes)}" if self.builds is None else self.builds
        teller, hooks = _Brief(self.teller, case.shown), Hooks(builds=builds)
        record = {
            "case": asdict(case),
            "nodes": len(plan.nodes),
            "mac_bound": plan.mac_bound(int(case.tokens)) if case.tokens is not None and "," not in case.tokens else None,
            "shape": plan.shape,
        }
        if case.speed:
            record["speed"] = asdict(self.speed(self.options(case), teller, self.version, hooks))
        else:
            record |= self._simulated(case, teller, hooks)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"

        def write(temporary: Path) -> None:
            temporary.write_text(text, encoding="utf-8")

        write_whole(path, write)
        return record
