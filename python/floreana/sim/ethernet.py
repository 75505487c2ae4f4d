# SPDX-License-Identifier: Apache-2.0
"""The simulated Ethernet switch and the pacing of a port, in exact integers of half bytes.

One cycle of 5 ns carries 125 half bytes (100 Gb/s). A frame costs its bytes and 24 more (preamble, checksum, gap).

A frame whose last beat left its port in cycle ``t`` is served by its output at

    finish = max(t + delay, previous finish of that output + (bytes + 24) / 62.5)

and its last beat enters the receiver in cycle ``ceil(finish)``. Frames of one output are served in the order of
(last beat's cycle, source port). Nothing depends on how often the switch is called, as long as each call hands over
every frame up to its horizon.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

HALF_BYTES = 125  # a cycle
OVERHEAD = 24  # bytes a frame
BEAT_BYTES = 64
MAX_BEATS = 17
# a frame's first beat comes MAX_BEATS - 1 cycles before its last; one cycle for the player's register, one to spare
LOOKAHEAD = MAX_BEATS + 1


def beats(size: int) -> int:
    """Beats of a frame of ``size`` bytes."""
    return -(-size // BEAT_BYTES)


class Pacer:
    """A sending port, beat by beat as tb_port does it: a beat goes when less than a cycle's worth of the line is owed."""

    def __init__(self) -> None:
        self._debt = 0
        self._cycle = 0  # the debt is that at the start of this cycle

    def send(self, ready: int, size: int) -> tuple[int, int]:
        """Cycles of the first and last beat of a frame of ``size`` bytes that is ready in cycle ``ready``."""
        first = last = -1
        for beat in range(beats(size)):
            at = max(self._cycle, ready)
            self._debt = max(self._debt - HALF_BYTES * (at - self._cycle), 0)
            if self._debt >= HALF_BYTES:
                wait = self._debt // HALF_BYTES
                at += wait
                self._debt -= HALF_BYTES * wait
            chunk = min(BEAT_BYTES, size - BEAT_BYTES * beat)
            cost = 2 * chunk + (2 * OVERHEAD if beat == beats(size) - 1 else 0)
            self._debt = max(self._debt + cost - HALF_BYTES, 0)
            self._cycle = at + 1
            first, last = (at if first < 0 else first), at
        return first, last


@dataclass(frozen=True, slots=True, order=True)
class Sent:
    """A frame that left ``port``, its last beat in ``cycle``."""

    cycle: int
    port: int
    data: bytes = field(compare=False)


@dataclass(frozen=True, slots=True, order=True)
class Arrival:
    """A frame whose last beat enters ``port`` in ``cycle``."""

    cycle: int
    port: int
    data: bytes = field(compare=False)

    @property
    def start(self) -> int:
        """Cycle of the first beat."""
        return self.cycle - beats(len(self.data)) + 1


class EthernetSwitch:
    """Forwards by destination MAC; queues per output. ``fault`` may replace each frame by none, one or several (tests)."""

    def __init__(
        self,
        ports: dict[int, int],
        delay: int,
        fault: Callable[[Sent], Iterable[Sent]] | None = None,
    ) -> None:
        """``ports`` maps a MAC address to its port number; ``delay`` in cycles."""
        self._ports = ports
        self._delay = delay
        self._fault = fault
        self._finish: dict[int, int] = {}  # half bytes since cycle 0

    def forward(self, sent: Iterable[Sent]) -> list[Arrival]:
        """Arrivals of the frames of one window, any order in, in service order out. KeyError names an unknown MAC."""
        out: list[Arrival] = []
        for frame in sorted(sent, key=lambda s: (s.cycle, s.port)):
            for item in (frame,) if self._fault is None else self._fault(frame):
                target = int.from_bytes(item.data[:6], "big")
                if target not in self._ports:
                    raise KeyError(f"{target:012x}")
                port = self._ports[target]
                free = self._finish.get(port)
                finish = (item.cycle + self._delay) * HALF_BYTES
                if free is not None:
                    finish = max(finish, free + 2 * (len(item.data) + OVERHEAD))
                self._finish[port] = finish
                out.append(Arrival(-(-finish // HALF_BYTES), port, item.data))
        return out


class Delivery:
    """Arrivals waiting for their receiver: handed over in order of their first beat, one window ahead."""

    def __init__(self) -> None:
        self._waiting: dict[int, list[tuple[int, int, Arrival]]] = {}
        self._count = 0

    def add(self, arrivals: Iterable[Arrival]) -> None:
        for arrival in arrivals:
            self._count += 1
            heapq.heappush(self._waiting.setdefault(arrival.port, []), (arrival.start, self._count, arrival))

    def due(self, port: int, before: int) -> list[Arrival]:
        """Arrivals of ``port`` whose first beat comes before cycle ``before``."""
        waiting = self._waiting.get(port, [])
        out = []
        while waiting and waiting[0][0] < before:
            out.append(heapq.heappop(waiting)[2])
        return out

    def __len__(self) -> int:
        return sum(len(waiting) for waiting in self._waiting.values())
