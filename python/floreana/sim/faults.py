# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in a simulated network on purpose: rates of broken frames, cut cables, nodes that restart or die.

Whether frame n of a port is lost, doubled, overtaken, delayed or broken depends on (seed, port, n) alone: not on the window, not on what
other ports do. The same seed breaks the same frames.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise

MAX_RATE = 0.5
REORDER_CYCLES = 400  # most extra delay of a frame that later ones overtake
DELAY_CYCLES = 400  # most extra delay of a frame that holds up those behind it
DUPLICATE_CYCLES = 200  # most extra delay of a second copy
RESTART_CYCLES = 100  # a restart holds the reset for so long unless said
MIN_RESTART_CYCLES = 16
FOREVER = (1 << 48) - 1
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Rates:
    """How many of the frames, 0 to 0.5 each, are lost, arrive twice, are held back so that later ones overtake, arrive broken, or hold up
    the output they leave by."""

    loss: float = 0.0
    dup: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    delay: float = 0.0

    def any(self) -> bool:
        return any(astuple(self))


# what a run counts, by rate
KINDS = {"loss": "lost", "dup": "duplicated", "reorder": "reordered", "corrupt": "corrupted", "delay": "delayed"}


def check_rate(name: str, value: float) -> str | None:
    """Why a rate is impossible, or None."""
    if 0 <= value <= MAX_RATE:
        return None
    return f"{name}={value:g}: 0 to {MAX_RATE} of all frames are possible (0.1 is every tenth); choose one of these, 0 is the default"


@dataclass(frozen=True, slots=True)
class Cut:
    """The cable of a port is out in cycles ``begin`` to ``end`` - 1: a frame whose last beat leaves or enters the port then vanishes."""

    port: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Restart:
    """A node is held in reset in cycles ``begin`` to ``end`` - 1, then loaded again. FOREVER: it is dead."""

    node: int
    begin: int
    end: int

    @property
    def dead(self) -> bool:
        return self.end == FOREVER


class Draws:
    """A short stream of 64-bit random numbers that depends on its key alone (splitmix64)."""

    __slots__ = ("_state",)

    def __init__(self, *key: int) -> None:
        self._state = 0
        for part in key:
            self._state = self._state + part & _MASK
            self._state = self.next()

    def next(self) -> int:
        """The next number, 0 to 2**64 - 1."""
        self._state = self._state + 0x9E3779B97F4A7C15 & _MASK
        z = self._state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
        return z ^ z >> 31

    def hit(self, rate: float) -> bool:
        """True for that share of all numbers."""
        return self.next() < int(rate * (1 << 64))

    def below(self, limit: int) -> int:
        """0 to ``limit`` - 1."""
        return self.next() * limit >> 64


@dataclass(frozen=True, slots=True)
class Fate:
    """What the network does to one frame: copies, each (extra delay in cycles, data, marked bad by the receiving MAC).

    ``hold``: cycles for which the output stands still before the first copy leaves by it.
    """

    copies: tuple[tuple[int, bytes, bool], ...]
    kinds: tuple[str, ...]  # values of KINDS
    hold: int = 0


def damaged(data: bytes, draws: Draws) -> bytes:
    """The frame with one to eight bits flipped, or (every fourth) cut short. It always differs from the original."""
    if draws.below(4) == 0 and len(data) > 1:
        return data[: 1 + draws.below(len(data) - 1)]
    out = bytearray(data)
    for bit in {draws.below(8 * len(data)) for _ in range(1 + draws.below(8))}:
        out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


def fate(rates: Rates, seed: int, port: int, number: int, data: bytes) -> Fate:
    """What becomes of frame ``number`` of ``port``. Each copy of a frame is held back or broken on its own."""
    draws = Draws(seed, port, number)
    if draws.hit(rates.loss):
        return Fate((), (KINDS["loss"],))
    kinds: list[str] = []
    copies = []
    twice = draws.hit(rates.dup)
    if twice:
        kinds.append(KINDS["dup"])
    for copy in range(2 if twice else 1):
        extra = draws.below(DUPLICATE_CYCLES) if copy else 0
        if draws.hit(rates.reorder):
            extra += 1 + draws.below(REORDER_CYCLES)
            kinds.append(KINDS["reorder"])
        if draws.hit(rates.corrupt):
            copies.append((extra, damaged(data, draws), True))
            kinds.append(KINDS["corrupt"])
        else:
            copies.append((extra, data, False))
    hold = 0
    if draws.hit(rates.delay):
        hold = 1 + draws.below(DELAY_CYCLES)
        kinds.append(KINDS["delay"])
    return Fate(tuple(copies), tuple(kinds), hold)


_CUT = re.compile(r"([A-Za-z_][\w.-]*):(\d+)-(\d+)")
_AT = re.compile(r"([A-Za-z_][\w.-]*)@(\d+)(?:-(\d+))?")


def parse_cuts(text: str, ports: Mapping[str, Sequence[int]]) -> tuple[tuple[Cut, ...], list[str]]:
    """CUT=name:begin-end[,...] and what is wrong with it. ``ports`` has the ports by name: of a node all of its own."""
    cuts: list[Cut] = []
    problems = []
    for part in text.split(","):
        found = _CUT.fullmatch(part.strip())
        if found is None:
            problems.append(f"CUT={part}: not <node or port>:<first cycle>-<cycle after the last>; write for example CUT=node0:5000-9000")
        elif found[1] not in ports:
            problems.append(f"CUT={part}: no port is named {found[1]}; choose one of {', '.join(ports)}")
        elif not int(found[2]) < int(found[3]) < FOREVER:
            problems.append(f"CUT={part}: cycles {found[2]} to {found[3]} are none; the second must be greater than the first")
        else:
            cuts += [Cut(port, int(found[2]), int(found[3])) for port in ports[found[1]]]
    return tuple(cuts), problems


def parse_restarts(name: str, text: str, nodes: Sequence[str]) -> tuple[tuple[Restart, ...], list[str]]:
    """RESTART=node@cycle[-cycle][,...] or DEAD=node@cycle[,...], and what is wrong with it."""
    out: list[Restart] = []
    problems = []
    for part in text.split(","):
        found = _AT.fullmatch(part.strip())
        if found is None or (name == "DEAD" and found[3]):
            form = "<node>@<cycle>" if name == "DEAD" else "<node>@<cycle> or <node>@<first cycle>-<cycle after the last>"
            problems.append(f"{name}={part}: not {form}; write for example {name}=node0@20000")
            continue
        if found[1] not in nodes:
            problems.append(f"{name}={part}: no node is named {found[1]}; choose one of {', '.join(nodes)}")
            continue
        begin = int(found[2])
        end = FOREVER if name == "DEAD" else int(found[3]) if found[3] else begin + RESTART_CYCLES
        if end - begin < MIN_RESTART_CYCLES or begin >= FOREVER:
            problems.append(f"{name}={part}: {end - begin} cycles of reset; at least {MIN_RESTART_CYCLES} are needed")
            continue
        out.append(Restart(nodes.index(found[1]), begin, end))
    return tuple(out), problems


RESTART_DISTANCE = 1024  # least cycles between two restarts of one node: the bench sets up one after the other


def check_restarts(restarts: Sequence[Restart], names: Sequence[str]) -> list[str]:
    """Restarts of one node that come too close to each other."""
    problems = []
    for node, name in enumerate(names):
        mine = sorted((r for r in restarts if r.node == node), key=lambda r: r.begin)
        for before, after in pairwise(mine):
            if before.dead:
                problems.append(f"{name} is dead from cycle {before.begin} and cannot restart in cycle {after.begin}; leave one out")
            elif after.begin - before.end < RESTART_DISTANCE:
                problems.append(
                    f"{name} restarts in cycle {after.begin}, {after.begin - before.end} cycles after the restart before it; at least "
                    f"{RESTART_DISTANCE} are needed"
                )
    return problems
