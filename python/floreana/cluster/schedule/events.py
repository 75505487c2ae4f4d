# SPDX-License-Identifier: Apache-2.0
"""Time of the schedule model: a heap of what happens next, and what travels."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class Clock:
    """Events in order of their cycle; those of one cycle in the order in which they were asked for."""

    __slots__ = ("_count", "_heap", "now")

    def __init__(self) -> None:
        self.now = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, cycle: int, what: Callable[..., None], *arguments: Any) -> None:
        """Do ``what`` in a cycle, at once where it has passed."""
        self._count += 1
        heapq.heappush(self._heap, (cycle if cycle > self.now else self.now, self._count, what, arguments))

    def run(self) -> None:
        """Until nothing is left to happen."""
        heap = self._heap
        while heap:
            self.now, _, what, arguments = heapq.heappop(heap)
            what(*arguments)


@dataclass(slots=True, eq=False)
class Flight:
    """A sequence under way. Cycles are -1 until they are known."""

    number: int
    tokens: int
    slot: int
    start: int = -1
    end: int = -1
    first_row: int = -1
    beats: dict[int, int] = field(default_factory=dict)  # by row: beats of the result that came
    missing: int = 0  # rows


@dataclass(slots=True, eq=False)
class Message:
    """A message; one object for all its copies. ``copies``: Ethernet peers that have not acknowledged it at the port it is in."""

    cluster: int
    kernel: int
    edge: int
    beats: int
    sequence: Flight
    row: int
    release: bool = False


class Spans:
    """When a kernel was at work: busy cycles, and first and last cycle of each (operator, encoder, sequence)."""

    __slots__ = ("_until", "busy", "spans")

    def __init__(self) -> None:
        self.busy = 0
        self._until = -1
        self.spans: dict[tuple[str, int, int], tuple[int, int]] = {}

    def add(self, name: str, encoder: int, sequence: int, begin: int, end: int, idle: int = 0) -> None:
        """At work in the cycles ``begin`` to ``end`` - 1, but for ``idle`` of them, begins in order; cycles that overlap count once."""
        key = (name, encoder, sequence)
        seen = self.spans.get(key)
        self.spans[key] = (begin, end) if seen is None else (min(seen[0], begin), max(seen[1], end))
        self.busy += max(end - max(begin, self._until), 0) - idle
        self._until = max(self._until, end)
