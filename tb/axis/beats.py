# SPDX-License-Identifier: Apache-2.0
"""Bench of a buffer: what goes in comes out, once, in order. Shared by axis_skid and axis_fifo."""

from __future__ import annotations

import random
from typing import Any

from floreana_tb import clocks, stalls
from floreana_tb.streams import Beat, PacketMonitor, PacketSink, Scoreboard, StreamSource


def beat(data: int) -> Beat:
    return Beat(data, None, None, True)


class Bench:
    """Source, monitors at both ends, scoreboard: the input monitor says what is expected."""

    def __init__(self, dut: Any, pattern: stalls.Pattern) -> None:
        self.dut = dut
        self.width = len(dut.s_axis_tdata)
        self.board = Scoreboard(dut)
        self.source = StreamSource(dut, "s_axis", dut.clk, pattern)
        self.seen = PacketMonitor(dut, "s_axis", dut.clk, self.board.expect, max_beats=None)
        self.sink = PacketSink(dut, "m_axis", dut.clk, pattern, self.board.got, max_beats=None)

    async def start(self) -> None:
        await clocks.start(self.dut)

    def words(self, count: int) -> list[int]:
        """Corner values first, then random ones."""
        corner = [0, (1 << self.width) - 1, 1, 1 << (self.width - 1)]
        return [*corner, *(random.getrandbits(self.width) for _ in range(count))][:count]

    async def run(self, count: int) -> None:
        self.source.send_beats(beat(word) for word in self.words(count))
        await self.sink.wait(count, 40 * count + 200)
        await self.sink.wait_quiet(40)
        self.board.finish(count)
