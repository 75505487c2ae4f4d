# SPDX-License-Identifier: Apache-2.0
"""Frames whose tuser counts with the last beat only, pairs of clocks, and a watch for gaps inside frames."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from floreana_tb.streams import Beat, PacketMonitor, PacketSink, ProtocolError

# periods in ps, writer's and reader's clock: node to MAC (200 and 322.3 MHz), back, nearly the same (drifting through every phase), 100 MHz
CLOCKS = {"to_mac": (5000, 3104), "from_mac": (3104, 5000), "drift": (5000, 5006), "slow": (10000, 3104)}


def start_clock(signal: Any, period_ps: int) -> None:
    """Start a clock of this period in the simulator."""
    Clock(signal, period_ps, unit="ps", impl="gpi").start()


class Frames(PacketMonitor):
    """Items are (beats, tuser of the last beat): ``((data, keep), ...), user``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, constant_user=False, max_beats=kwargs.pop("max_beats", None), **kwargs)

    def _on_packet(self, beats: list[Beat]) -> None:
        item = tuple((beat.data, beat.keep) for beat in beats), beats[-1].user
        self.received.append(item)
        self.arrival.append(self.cycle)
        self._recv(item)
        self._news.set()


class FrameSink(Frames, PacketSink):
    """Takes frames; drives tready."""


class NoGaps:
    """Fails where tvalid is 0 between the first and the last beat of a frame: a MAC that is ready would underflow."""

    def __init__(self, clock: Any, valid: Any, ready: Any, last: Any, reset: Any) -> None:
        self.frames = 0
        self._signals = clock, valid, ready, last, reset
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        clock, valid, ready, last, reset = self._signals
        inside = False
        edge = RisingEdge(clock)
        while True:
            await edge
            if reset.value != 0:
                inside = False
            elif valid.value == 1:
                ends = ready.value == 1 and last.value == 1
                self.frames += ends
                inside = not ends
            elif inside:
                raise ProtocolError("a frame pauses on its way to the MAC")
