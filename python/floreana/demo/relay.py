# SPDX-License-Identifier: Apache-2.0
"""A seeded relay in the host's cable: it loses, doubles and reorders whole frames of real traffic, whatever they are.

What becomes of frame n of a way depends on (seed, way, n) alone, as in the simulated network (`floreana.sim.faults`). A reordered frame
waits until one to three later ones of its way have overtaken it, at most ``hold`` seconds.

Run as a process: `python -m floreana.demo.relay` with the two cables as open files. It passes everything until SIGUSR1; frames are
counted from there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from floreana.sim.faults import Rates, fate
from floreana.sim.process import die_with_parent

HOLD_SECONDS = 0.25
WAYS = ("to the nodes", "to the host")
_FRAME_BYTES = 2048
_OUTGOING = 4  # PACKET_OUTGOING: what we sent ourselves


@dataclass(slots=True)
class _Held:
    left: int  # frames of its way that go first
    until: float
    data: bytes


@dataclass(slots=True)
class Relay:
    """The relay without its cables: frames in, frames out. ``way`` is 0 or 1."""

    rates: Rates
    seed: int
    hold: float = HOLD_SECONDS
    active: bool = True  # else all frames pass
    counts: Counter[str] = field(default_factory=Counter)  # "passed", "lost", "duplicated", "reordered"
    _number: list[int] = field(default_factory=lambda: [0, 0])
    _held: tuple[list[_Held], list[_Held]] = field(default_factory=lambda: ([], []))

    def __post_init__(self) -> None:
        if self.rates.corrupt:
            raise ValueError(f"corrupt = {self.rates.corrupt:g}: a frame with a wrong checksum reaches no TAP device; use loss")
        if self.rates.delay:
            raise ValueError(f"delay = {self.rates.delay:g}: no output stands still here; use reorder, which holds frames back")

    def enter(self, way: int, data: bytes, now: float) -> list[bytes]:
        """A frame comes; those that go out now, in order."""
        if not self.active:
            return self._count([data])
        what = fate(self.rates, self.seed, way, self._number[way], data)
        self._number[way] += 1
        self.counts.update(what.kinds)
        out: list[bytes] = []
        held = self._held[way]
        before = list(held)
        for extra, copy, _bad in what.copies:
            if extra:
                held.append(_Held(1 + extra % 3, now + self.hold, copy))
            else:
                out.append(copy)
        if out:
            for item in before:
                item.left -= 1
        return self._count(out + self._release(way, now))

    def due(self, way: int, now: float) -> list[bytes]:
        """Frames that nothing overtook for ``hold`` seconds."""
        return self._count(self._release(way, now))

    def next_time(self) -> float | None:
        """When `due` has something at the latest."""
        return min((item.until for held in self._held for item in held), default=None)

    @property
    def frames(self) -> tuple[int, int]:
        """Frames that came while active, by way."""
        return self._number[0], self._number[1]

    def _release(self, way: int, now: float) -> list[bytes]:
        held = self._held[way]
        out = [item for item in held if item.left <= 0 or item.until <= now]
        held[:] = [item for item in held if item not in out]
        return [item.data for item in out]

    def _count(self, out: list[bytes]) -> list[bytes]:
        self.counts["passed"] += len(out)
        return out


Read = Callable[[], bytes | None]  # None: nothing there
Write = Callable[[bytes], None]


def pump(relay: Relay, files: tuple[int, int], reads: tuple[Read, Read], writes: tuple[Write, Write], ended: Callable[[], bool]) -> None:
    """Carry frames until ``ended``. Way 0 reads cable 0 and writes cable 1, way 1 the other way round."""
    while not ended():
        at = relay.next_time()
        wait = 0.1 if at is None else min(max(at - time.monotonic(), 0.0), 0.1)
        ready = select.select(files, [], [], wait)[0]
        now = time.monotonic()
        for way in (0, 1):
            if files[way] in ready:
                while (data := reads[way]()) is not None:
                    for frame in relay.enter(way, data, now):
                        writes[1 - way](frame)
            for frame in relay.due(way, now):
                writes[1 - way](frame)


def _tap(handle: int) -> tuple[Read, Write]:
    def read() -> bytes | None:
        with contextlib.suppress(BlockingIOError):
            return os.read(handle, _FRAME_BYTES)
        return None

    def write(data: bytes) -> None:
        with contextlib.suppress(OSError):  # lost, as on any cable
            os.write(handle, data)

    return read, write


def _packets(wire: socket.socket) -> tuple[Read, Write]:
    def read() -> bytes | None:
        while True:
            try:
                data, address = wire.recvfrom(_FRAME_BYTES)
            except BlockingIOError:
                return None
            except OSError:  # the device is gone or down
                return None
            if address[2] != _OUTGOING:
                return data

    def write(data: bytes) -> None:
        with contextlib.suppress(OSError):
            wire.send(data)

    return read, write


def main() -> None:
    die_with_parent()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wire", type=int, required=True, help="file of the packet socket on the host's side")
    parser.add_argument("--tap", type=int, required=True, help="file of the TAP device on the bridge's side")
    parser.add_argument("--status", type=Path, required=True, help="where the counts go, as JSON")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hold", type=float, default=HOLD_SECONDS)
    for name in ("loss", "dup", "reorder"):
        parser.add_argument(f"--{name}", type=float, default=0.0)
    given = parser.parse_args()
    relay = Relay(Rates(given.loss, given.dup, given.reorder), given.seed, given.hold, active=False)
    wire = socket.socket(fileno=given.wire)
    ends = (_packets(wire), _tap(given.tap))
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stop.append(number))
    signal.signal(signal.SIGUSR1, lambda number, frame: setattr(relay, "active", True))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    written = 0.0

    def ended() -> bool:
        nonlocal written
        if stop or time.monotonic() - written > 0.5:
            written = time.monotonic()
            save_status(given.status, {"active": relay.active, "frames": dict(zip(WAYS, relay.frames, strict=True)), **relay.counts})
        return bool(stop)

    pump(relay, (given.wire, given.tap), (ends[0][0], ends[1][0]), (ends[0][1], ends[1][1]), ended)


def save_status(path: Path, content: dict[str, object]) -> None:
    """Whole or not at all."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(json.dumps(content), encoding="utf-8")
    scratch.replace(path)


if __name__ == "__main__":
    main()
