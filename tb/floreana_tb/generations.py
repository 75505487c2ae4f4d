# SPDX-License-Identifier: Apache-2.0
"""Generations, FLUSH and the activity flag of a kernel, for the benches of all three kernels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from cocotb.triggers import RisingEdge

from floreana.cluster.layout import Header
from floreana_tb.streams import PacketMonitor, Scoreboard


class Gate:
    """Stalls of a source that a test closes after a number of beats and opens again."""

    def __init__(self, beats: int) -> None:
        self.beats = beats

    def __iter__(self) -> Iterator[bool]:
        return self

    def __next__(self) -> bool:
        self.beats -= 1
        return self.beats < 0

    def open(self) -> None:
        self.beats = 1 << 60


def idle(dut: Any) -> None:
    """Drive the flush port of a kernel, so that no input is undriven."""
    dut.flush_valid.value = 0
    dut.flush_slot.value = 0
    dut.flush_gen.value = 0


class Generations:
    """Model of ``ibert_slots`` and of what a flush leaves: fed by the monitors of a bench.

    ``monitor`` watches the kernel's input. Outputs that were due when their slot was flushed may come or not, with any payload; they
    must be among those due (``forgotten``), each at most once.
    """

    def __init__(self, dut: Any, slots: int, monitor: PacketMonitor) -> None:
        self.dut = dut
        self.monitor = monitor
        self.cur = [0] * slots
        self.stale = 0  # messages dropped as stale
        self.late = 0  # outputs of rows from before a flush
        self.flushes = 0
        self.cuts = 0  # messages half received when their slot was flushed
        self._cut = False
        self._forgotten: Counter[Header] = Counter()
        idle(dut)

    def reset(self) -> None:
        """The design was reset."""
        self.cur = [0] * len(self.cur)
        self.stale = 0
        self._cut = False
        self._forgotten.clear()

    def begin(self) -> bool:
        """To call first with every message that came in whole: whether a flush cut it."""
        cut, self._cut = self._cut, False
        return cut

    def drop(self, header: Header, cut: bool) -> bool:
        """Whether a message of a known edge and a legal row and slot is dropped as stale; a newer generation becomes the slot's."""
        if cut or (header.generation - self.cur[header.slot]) & 15 >= 8:
            self.stale += 1
            return True
        self.cur[header.slot] = header.generation
        return False

    def is_late(self, header: Header) -> bool:
        """Whether an output belongs to a row from before a flush: to call first with every message that leaves."""
        if not self._forgotten[header]:
            return False
        self._forgotten[header] -= 1
        self.late += 1
        return True

    def settle(self) -> None:
        """Where sts_active is 0 nothing from before a flush can come any more."""
        if int(self.dut.sts_active.value) == 0:
            self._forgotten.clear()

    def forget(self, board: Scoreboard, slot: int, header_of: Callable[[Any], Header]) -> int:
        """Outputs of the slot that were expected need not come; returns how many."""
        count = 0
        for key, items in list(board._expected.items()):
            mine = [item for item in items if header_of(item).slot == slot]
            self._forgotten.update(header_of(item) for item in mine)
            count += len(mine)
            board._expected[key] = [item for item in items if header_of(item).slot != slot]
        return count

    async def flush(self, slot: int, generation: int, apply: Callable[[int], None]) -> int:
        """FLUSH(slot): ``apply(slot)`` makes the bench's model forget the slot. Returns the cycles in which sts_flushing was 1."""
        dut, edge = self.dut, RisingEdge(self.dut.clk)
        assert int(dut.sts_flushing.value) == 0
        dut.flush_valid.value, dut.flush_slot.value, dut.flush_gen.value = 1, slot, generation
        await edge
        dut.flush_valid.value, dut.flush_slot.value, dut.flush_gen.value = 0, slot ^ 1, generation ^ 5
        await edge
        assert int(dut.sts_flushing.value) == 1 and int(dut.s_axis_tready.value) == 0, "the input is open during a flush"
        # no beat is taken from here on: what the monitor saw is what the kernel has
        self.flushes += 1
        half = self.monitor._beats
        if half and half[0].user is not None and Header.from_tuser(half[0].user).slot == slot:
            self._cut = True
            self.cuts += 1
        self.cur[slot] = generation
        apply(slot)
        cycles, beats = 0, self.monitor.beats
        while int(dut.sts_flushing.value):
            assert int(dut.s_axis_tready.value) == 0 and self.monitor.beats == beats, "the input is open during a flush"
            cycles += 1
            await edge
        return cycles


async def watch_active(dut: Any, held: Callable[[], bool], seen: list[int]) -> None:
    """sts_active is 1 while the model holds something (two cycles of grace); ``seen`` collects the cycles in which it was 1."""
    since, cycle = 0, 0
    while True:
        await RisingEdge(dut.clk)
        cycle += 1
        if str(dut.rst.value) != "0":
            since = 0
            continue
        active = int(dut.sts_active.value)
        if active:
            seen.append(cycle)
        since = since + 1 if held() else 0
        assert active or since < 3, "sts_active is 0 while the kernel holds something"
