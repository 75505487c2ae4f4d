# SPDX-License-Identifier: Apache-2.0
"""axis_cdc_fifo between unrelated clocks: whole frames, in order, each once; room, rate, latency, s_drop, resets."""

from __future__ import annotations

import os
import random
from typing import Any

import cocotb
from axis_cdc_fifo.frames import CLOCKS, Frames, FrameSink, start_clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge, Timer

from floreana_tb import stalls
from floreana_tb.streams import Beat, Scoreboard, StreamSource

DEPTH = int(os.environ.get("CDC_DEPTH", "512"))  # of the build
LONGEST = int(os.environ.get("CDC_LONGEST", "17"))  # beats of a frame


class Bench:
    """Source and sink, each in its clock; what the monitor at the input sees is what must come out (``expect`` False: it sees nothing)."""

    def __init__(self, dut: Any, clocks: str, pattern: stalls.Pattern, expect: bool = True) -> None:
        self.dut = dut
        self.width = len(dut.s_axis_tdata)
        self.s_ps, self.m_ps = CLOCKS[clocks]
        self.board = Scoreboard(dut)
        self.source = StreamSource(dut, "s_axis", dut.s_clk, pattern)
        self.seen = Frames(dut, "s_axis", dut.s_clk, self.board.expect, reset=dut.s_rst if expect else dut.s_axis_tvalid)
        self.sink = FrameSink(dut, "m_axis", dut.m_clk, pattern, self.board.got, reset=dut.m_rst)
        dut.s_drop.value = 0

    async def start(self) -> None:
        self.dut.arst.value = 0
        start_clock(self.dut.s_clk, self.s_ps)
        start_clock(self.dut.m_clk, self.m_ps)
        await Timer(50, "ns")
        await self.reset()
        self.board.forget()
        self.sink.received.clear()
        self.seen._beats.clear()

    async def reset(self, ns: int = 20, abort: bool = False) -> None:
        """Request a reset and wait until both sides have left it."""
        self.dut.arst.value = 1
        await Timer(ns, "ns")
        self.dut.arst.value = 0
        await ClockCycles(self.dut.s_clk, 5)
        if abort:
            self.source.abort()
        await ClockCycles(self.dut.m_clk, 5)
        while self.dut.s_rst.value != 0 or self.dut.m_rst.value != 0:
            await RisingEdge(self.dut.m_clk)
        await ClockCycles(self.dut.s_clk, 4)

    def frame(self, beats: int) -> list[Beat]:
        return [Beat(random.getrandbits(self.width), None, random.getrandbits(1), i == beats - 1) for i in range(beats)]

    async def fill(self, last: bool) -> tuple[int, list[list[Beat]]]:
        """Beats that find room while nothing is read, and all that were offered: each a frame, or all of one without end."""
        self.sink.pause(iter(lambda: False, True))
        offered = [[Beat(random.getrandbits(self.width), None, 0, last)] for _ in range(2 * DEPTH)]
        before = self.source.sent_packets
        for beats in offered:
            self.source.send_beats(beats)
        await ClockCycles(self.dut.s_clk, 2 * DEPTH + 40)
        return self.source.sent_packets - before, offered

    async def run(self, frames: list[list[Beat]]) -> None:
        before = len(self.sink.received)
        for beats in frames:
            self.source.send_beats(beats)
        await self.sink.wait(before + len(frames), 100_000)
        await self.sink.wait_quiet(40)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(pattern=["none", "both", "random"], clocks=list(CLOCKS))
async def order(dut: Any, pattern: str, clocks: str) -> None:
    """Frames of 1 to 17 beats, as far as they fit; single beats in between, that give one step a cycle in both pointers."""
    bench = Bench(dut, clocks, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED))
    await bench.start()
    frames = [bench.frame(1 if i % 60 < 30 else random.randint(1, LONGEST)) for i in range(120)]
    await bench.run(frames)
    bench.board.finish(120)
    if pattern != "none":
        bench.sink.demand_stalls()


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(clocks=list(CLOCKS))
async def no_beat_before_the_frame_is_whole(dut: Any, clocks: str) -> None:
    """And then 3 or 4 edges of the reader's clock later."""
    bench = Bench(dut, clocks, stalls.none())
    await bench.start()
    latencies = set()
    for n in range(24):
        beats = bench.frame(3)
        bench.source.send_beats(beats[:2])
        await ClockCycles(dut.m_clk, 30 + n)
        assert bench.seen.beats == 3 * n + 2 and bench.sink.beats == 3 * n and dut.m_axis_tvalid.value == 0, (
            "a beat came before its frame was whole"
        )
        bench.source.send_beats(beats[2:])
        while not (dut.s_axis_tvalid.value == 1 and dut.s_axis_tready.value == 1):
            await FallingEdge(dut.s_clk)
        await RisingEdge(dut.s_clk)
        edges = 0
        await Timer(1, "ps")
        while dut.m_axis_tvalid.value == 0:
            await RisingEdge(dut.m_clk)
            await Timer(1, "ps")
            edges += 1
        latencies.add(edges)
        await bench.sink.wait(n + 1)
        await ClockCycles(dut.s_clk, 3)
    assert latencies and latencies <= {3, 4}, f"latency in edges of the reader: {sorted(latencies)}"
    bench.board.finish(24)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def room(dut: Any) -> None:
    """DEPTH - 1 beats find room while nothing is read, or DEPTH, no more; an endless frame is forgotten by s_drop."""
    bench = Bench(dut, "to_mac", stalls.none(), expect=False)
    await bench.start()
    held, _ = await bench.fill(last=False)
    assert DEPTH - 1 <= held <= DEPTH, f"{held} beats found room"
    bench.source.abort()
    dut.s_drop.value = 1
    await RisingEdge(dut.s_clk)
    dut.s_drop.value = 0
    await ClockCycles(dut.s_clk, 4)
    held, offered = await bench.fill(last=True)
    assert DEPTH <= held <= DEPTH + 1, f"{held} single beats found room, not DEPTH - 1 or DEPTH, and one in the output register"
    for (beat,) in offered:
        bench.board.expect((((beat.data, None),), beat.user))
    bench.sink.pause(None)
    await bench.sink.wait(2 * DEPTH)
    await bench.sink.wait_quiet(40)
    bench.board.finish(2 * DEPTH)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(clocks=["to_mac", "from_mac", "drift"])
async def full_rate(dut: Any, clocks: str) -> None:
    """Single beats and long frames: the slower side moves one beat a cycle."""
    bench = Bench(dut, clocks, stalls.none())
    await bench.start()
    long = LONGEST
    await bench.run([*[bench.frame(1) for _ in range(60)], *[bench.frame(long) for _ in range(12)]])
    beats = 60 + 12 * long
    slow = bench.seen if bench.s_ps >= bench.m_ps else bench.sink
    extra = slow.last_cycle - slow.first_cycle - (beats - 1)
    # a slow reader waits for the first long frame to be whole
    assert extra <= (long if slow is bench.sink else 0), f"{extra} idle cycles"
    bench.board.finish(72)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(clocks=list(CLOCKS))
async def dropped_frames_never_come(dut: Any, clocks: str) -> None:
    """s_drop in the middle of a frame, with and without a beat in the same cycle; the frames around it stay."""
    bench = Bench(dut, clocks, stalls.random(cocotb.RANDOM_SEED), expect=False)
    await bench.start()
    kept = 0
    for n in range(60):
        if n % 2:
            beats = bench.frame(random.randint(1, 3))
            bench.board.expect((tuple((beat.data, None) for beat in beats), beats[-1].user))
            await bench.source.send_beats(beats)
            kept += 1
            continue
        await bench.source.send_beats(bench.frame(3)[: random.randint(0, 2)])
        if n % 4:  # a beat in the cycle of s_drop counts for nothing, even a last one
            dut.s_axis_tvalid.value = 1
            dut.s_axis_tlast.value = 1
        dut.s_drop.value = 1
        await RisingEdge(dut.s_clk)
        dut.s_drop.value = 0
        dut.s_axis_tvalid.value = 0
        await ClockCycles(dut.s_clk, random.randint(0, 4))
    await bench.sink.wait(kept)
    await bench.sink.wait_quiet(60)
    bench.board.finish(kept)


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(clocks=list(CLOCKS))
async def resets_leave_nothing(dut: Any, clocks: str) -> None:
    """Requests of any length and phase: what came out before is a beginning of what went in, nothing comes late, and then all is as new."""
    bench = Bench(dut, clocks, stalls.random(cocotb.RANDOM_SEED))
    await bench.start()
    checked = 0
    for n in range(8):
        sent = [bench.frame(random.randint(1, 3)) for _ in range(40)]
        for beats in sent:
            bench.source.send_beats(beats)
        await Timer(random.randint(50_000, 500_000), "ps")
        await bench.reset(random.choice((6, 20, 300)), abort=True)
        for (beats, _), expected in zip(bench.sink.received, sent, strict=False):
            assert [data for data, _ in beats] == [beat.data for beat in expected], "not a beginning of what went in"
            checked += 1
        bench.sink.received.clear()
        before = bench.sink.beats
        await ClockCycles(dut.m_clk, 40)
        assert bench.sink.beats == before, "a beat of before the reset appeared"
        bench.board.forget()
        bench.sink.received.clear()
        await bench.run([bench.frame(1 + n % 3) for _ in range(20)])
        bench.sink.received.clear()
    assert checked > 20
    bench.board.finish(160)
