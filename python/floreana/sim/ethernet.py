# SPDX-License-Identifier: Apache-2.0
"""The simulated network (an Ethernet switch, direct cables or both) and the pacing of a port, in exact integers of half bytes.

One cycle of 5 ns carries 125 half bytes (100 Gb/s). A frame costs its bytes and 24 more (preamble, checksum, gap).

A frame whose last beat left its port in cycle ``t`` is served by its output at

    finish = max(t + delay, previous finish of that output + (bytes + 24) / 62.5)

and its last beat enters the receiver in cycle ``ceil(finish)``, or where that leaves too few cycles for its beats after the frame before (a
beat that is not full takes a whole cycle), in the first one that does not. Frames of one output are served in the order of
(last beat's cycle, source port). Nothing depends on how often the network is called, as long as each call hands over
every frame up to its horizon. A direct cable is the same with one output for one source.

A frame of more than 17 beats (hostile ones only) is stored whole first: it comes later by the beats it has more.

Faults happen at three places. Before the output: a frame is lost, doubled or held back (``t`` grows, others overtake). At the output: it
stands still for a while, and all that leave by it wait (``finish`` grows). On the way to the receiver: bits flip or the end is cut off, and
the receiver's MAC marks the frame bad, since its checksum is wrong.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from floreana.sim.faults import Cut, Rates, fate

HALF_BYTES = 125  # a cycle
OVERHEAD = 24  # bytes a frame
BEAT_BYTES = 64
MAX_BEATS = 17
# a frame's first beat comes MAX_BEATS - 1 cycles before its last; one cycle for the player's register, one to spare
LOOKAHEAD = MAX_BEATS + 1
ATTACKERS = 1 << 16  # source ports from here on are attackers: after all others where frames leave in one cycle
_T = TypeVar("_T")


def beats(size: int) -> int:
    """Beats of a frame of ``size`` bytes."""
    return -(-size // BEAT_BYTES)


class Pacer:
    """A sending port, beat by beat as tb_port does it: a beat goes when less than a cycle's worth of the line is owed."""

    def __init__(self) -> None:
        self._debt = 0
        self._cycle = 0  # the debt is that at the start of this cycle

    def free(self, ready: int) -> int:
        """The first cycle, from ``ready`` on, in which a frame can begin."""
        at = max(self._cycle, ready)
        return at + max(self._debt - HALF_BYTES * (at - self._cycle), 0) // HALF_BYTES

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
    """A frame whose last beat enters ``port`` in ``cycle``; ``bad``: the MAC marks it, its checksum is wrong."""

    cycle: int
    port: int
    data: bytes = field(compare=False)
    bad: bool = field(default=False, compare=False)
    hostile: bool = field(default=False, compare=False)  # injected by an attacker

    @property
    def start(self) -> int:
        """Cycle of the first beat."""
        return self.cycle - beats(len(self.data)) + 1


class Fabric:
    """The network between the ports, in segments: a direct cable joins two ports, an Ethernet switch any number.

    ``tamper`` may replace each frame by none, one or several (tests).
    """

    def __init__(
        self,
        macs: Mapping[int, int],
        delay: int,
        *,
        segments: Sequence[Sequence[int]] | None = None,
        rates: Rates | None = None,
        seed: int = 0,
        cuts: Sequence[Cut] = (),
        tamper: Callable[[Sent], Iterable[Sent]] | None = None,
    ) -> None:
        """``macs`` maps the MAC address of every port to its number; ``segments`` None: all on one switch; ``delay`` in cycles."""
        self._cable: dict[int, int] = {}
        self._switch: dict[int, dict[int, int]] = {}  # port -> its switch: MAC address -> port
        for segment in (sorted(set(macs.values())),) if segments is None else segments:
            if len(segment) == 2 and segments is not None:
                self._attach(self._cable, {segment[0]: segment[1], segment[1]: segment[0]})
            else:
                table = {mac: port for mac, port in macs.items() if port in segment}
                self._attach(self._switch, dict.fromkeys(segment, table))
        self._delay = delay
        self._rates = rates if rates is not None and rates.any() else None
        self._seed = seed
        self._cuts: dict[int, list[Cut]] = {}
        for cut in cuts:
            self._cuts.setdefault(cut.port, []).append(cut)
        self._tamper = tamper
        self._finish: dict[int, int] = {}  # half bytes since cycle 0
        self._last: dict[int, int] = {}  # cycle of the last beat that entered a port
        self._count: dict[int, int] = {}  # frames a port has sent
        self._waiting: list[tuple[int, int, int, int, int, bytes, bool, int]] = []  # cycle, source, number, copy, output, data, bad, hold
        self._done: list[tuple[int, str]] = []  # what the network did to frames: cycle, kind

    def _attach(self, table: dict[int, _T], ends: Mapping[int, _T]) -> None:
        for port, end in ends.items():
            if port in self._cable or port in self._switch:
                raise ValueError(f"port {port} is in two segments, or twice in one")
            table[port] = end

    def forward(self, sent: Iterable[Sent], horizon: int | None = None) -> list[Arrival]:
        """Arrivals of frames that left before cycle ``horizon`` (None: of all), in service order; ``sent`` in any order.

        KeyError names a MAC address that no port of the sender's switch has.
        """
        for frame in sorted(sent, key=lambda s: (s.cycle, s.port)):
            for item in (frame,) if self._tamper is None else self._tamper(frame):
                self._enter(item)
        out: list[Arrival] = []
        while self._waiting and (horizon is None or self._waiting[0][0] < horizon):
            cycle, source, _number, _copy, port, data, bad, hold = heapq.heappop(self._waiting)
            free = self._finish.get(port)
            finish = (cycle + self._delay + max(beats(len(data)) - MAX_BEATS, 0)) * HALF_BYTES
            if free is not None:
                finish = max(finish, free + 2 * (len(data) + OVERHEAD))
            finish += hold * HALF_BYTES
            self._finish[port] = finish
            last = max(-(-finish // HALF_BYTES), self._last.get(port, -MAX_BEATS) + beats(len(data)))
            self._last[port] = last
            arrival = Arrival(last, port, data, bad, source >= ATTACKERS)
            if self._is_cut(port, arrival.cycle):
                self._done.append((arrival.cycle, "cut"))
            else:
                out.append(arrival)
        return out

    def _enter(self, frame: Sent) -> None:
        """Count a frame, decide its fate, find its output."""
        number = self._count.get(frame.port, 0)
        self._count[frame.port] = number + 1
        port = self._cable.get(frame.port)
        if port is None:
            target = int.from_bytes(frame.data[:6], "big")
            table = self._switch.get(frame.port, {})
            if target not in table:
                raise KeyError(f"{target:012x}")
            port = table[target]
        if self._is_cut(frame.port, frame.cycle):
            self._done.append((frame.cycle, "cut"))
            return
        if self._rates is None:
            heapq.heappush(self._waiting, (frame.cycle, frame.port, number, 0, port, frame.data, False, 0))
            return
        what = fate(self._rates, self._seed, frame.port, number, frame.data)
        self._done += [(frame.cycle, kind) for kind in what.kinds]
        for copy, (extra, data, bad) in enumerate(what.copies):
            heapq.heappush(self._waiting, (frame.cycle + extra, frame.port, number, copy, port, data, bad, 0 if copy else what.hold))

    def inject(self, cycle: int, port: int, data: bytes, bad: bool) -> None:
        """A frame for ``port``, whatever its addresses say, from an attacker on the port's switch; its last beat left in ``cycle``."""
        source = ATTACKERS + port
        number = self._count.get(source, 0)
        self._count[source] = number + 1
        heapq.heappush(self._waiting, (cycle, source, number, 0, port, data, bad, 0))

    def done(self, until: int | None = None) -> Counter[str]:
        """How many frames were lost, duplicated, reordered, corrupted, delayed or cut off up to a cycle (that cycle included)."""
        return Counter(kind for cycle, kind in self._done if until is None or cycle <= until)

    def _is_cut(self, port: int, cycle: int) -> bool:
        return any(cut.begin <= cycle < cut.end for cut in self._cuts.get(port, ()))


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
