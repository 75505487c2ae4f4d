# SPDX-License-Identifier: Apache-2.0
"""Cycles of a layout by the schedule model (:func:`floreana.cluster.schedule.schedule`), which runs the plan message by message.

A chain of equal encoders is not run whole: two of them and three on one group say what one more takes, two on two groups and on two
clusters what such a step changes (arrays of their own save more than a gateway costs). What was computed is kept in
build/estimate/schedules.json, under the hash of plan, tokens, delay and the model's source.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from floreana.cluster.description import SyntheticModel
from floreana.cluster.plan import Plan, write_text
from floreana.cluster.schedule import schedule
from floreana.estimate.layout import Bounds, Chooser, Layout, bounds

CHAIN = 3  # encoders of the longest chain that is run whole
Run = Callable[[Plan, int, int], int]


def _schedule(plan: Plan, tokens: int, delay: int) -> int:
    return schedule(plan, tokens, link_delay=delay).cycles


def source_digest() -> str:
    """Of the schedule model."""
    folder = Path(__file__).parents[1] / "cluster" / "schedule"
    parts = [path.read_bytes() for path in sorted(folder.glob("*.py"))]
    return hashlib.sha256(b"".join(b"%d " % len(part) + part for part in parts)).hexdigest()


@dataclass(slots=True)
class Timer:
    """Times layouts of one project. ``tell`` is told what takes long; ``run``: plan, tokens, delay -> cycles."""

    chooser: Chooser
    store: Path
    tell: Callable[[str], None]
    run: Run = _schedule
    _known: dict[str, int] | None = None
    _source: str = field(default_factory=source_digest)

    def _cycles(self, layout: Layout, encoders: int, clusters: int = 1, groups: int = 1) -> int:
        """Of a chain of encoders on so many groups of so many clusters."""
        chooser = self.chooser
        part = Layout(layout.devices, layout.k, clusters, groups, layout.parts, layout.k_lanes, layout.out_n)
        m = chooser.model
        model = SyntheticModel(source="synthetic", hidden=m.hidden, heads=m.heads, ffn=m.ffn, encoders=encoders)
        project = chooser.project.model_copy(update={"model": model})
        plan = Chooser(project, chooser.tokens, chooser.network).plan(part)
        delay = chooser.network.delay
        text = f"{self._source} {chooser.tokens} {delay} {plan.to_json()}"
        key = hashlib.sha256(text.encode()).hexdigest()[:24]
        if self._known is None:
            try:
                self._known = {str(name): int(value) for name, value in json.loads(self.store.read_text(encoding="utf-8")).items()}
            except (OSError, ValueError, AttributeError):
                self._known = {}
        if key not in self._known:
            self.tell(f"schedule of {encoders} encoder{'s' if encoders > 1 else ''} on {part}")
            self._known[key] = self.run(plan, chooser.tokens, delay)
            write_text(self.store, json.dumps(self._known, indent=1, sort_keys=True) + "\n")
        return self._known[key]

    def latency(self, layout: Layout, ports: int) -> tuple[int, Bounds]:
        """(cycles of a sequence alone, host to host; bounds of an encoder). Where nodes share a port, what the line takes more is added."""
        chooser = self.chooser
        encoders = chooser.model.encoders
        each = bounds(chooser.model, layout, chooser.tokens, ports, chooser.network)
        whole = min(encoders, CHAIN)
        cycles = self._cycles(layout, whole)
        if encoders > whole:
            cycles += (encoders - whole) * (cycles - self._cycles(layout, whole - 1))
        if layout.clusters > 1:
            cycles += (layout.clusters - 1) * (self._cycles(layout, 2, clusters=2) - self._cycles(layout, 2))
        if layout.groups > 1:
            cycles += (layout.teams - layout.clusters) * (self._cycles(layout, 2, groups=2) - self._cycles(layout, 2))
        return cycles + encoders * max(0, each.line - max(each.array, each.attention)), each
