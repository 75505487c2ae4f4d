# SPDX-License-Identifier: Apache-2.0
"""The stream classes themselves: messages arrive as sent, and every breach of the contract is caught by name."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from floreana.cluster.layout import TYPE_CONTROL, TYPE_INT8, Header
from floreana_tb import clocks, stalls
from floreana_tb.streams import ConfigBus, MessageSink, MessageSource, Monitor, ProtocolError, Scoreboard


def message(number: int, size: int) -> tuple[Header, bytes]:
    header = Header(
        dst_cluster=number & 255, dst_kernel=2, edge=3, src_cluster=4, src_kernel=5, slot=number & 15, generation=9,
        row=number, offset=random.randrange(1024), type=TYPE_INT8 if size else TYPE_CONTROL, last=bool(number & 1),
    )  # fmt: skip
    return header, random.randbytes(size)


class Bench:
    def __init__(self, dut: Any, pattern: stalls.Pattern) -> None:
        self.board = Scoreboard(dut)
        self.source = MessageSource(dut, "s_axis", dut.clk, stalls=pattern)
        self.seen = Monitor(dut, "s_axis", dut.clk, self.board.expect)
        self.sink = MessageSink(dut, "m_axis", dut.clk, ready=pattern, callback=self.board.got)
        self.config = ConfigBus(dut, dut.clk)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(pattern=list(stalls.PATTERNS))
async def messages(dut: Any, pattern: str) -> None:
    """Sizes 0 (control), whole beats, a part beat, the largest; the sink's list equals what was sent."""
    bench = Bench(dut, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED))
    await clocks.start(dut)
    sizes = [0, 64, 1024, 100, 128, 1, 63, 65, *(64 * random.randint(1, 16) for _ in range(12))]
    sent = [message(i, size) for i, size in enumerate(sizes)]
    for item in sent[:-1]:
        bench.source.send(*item)
    await bench.source.send(*sent[-1])
    assert bench.source.sent_packets == len(sent)
    await bench.sink.wait(len(sent))
    assert bench.sink.received == sent
    bench.board.finish(len(sent))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def throughput(dut: Any) -> None:
    """Messages follow each other without an idle cycle: the source itself must not add one."""
    bench = Bench(dut, stalls.none())
    await clocks.start(dut)
    for i in range(8):
        bench.source.send(*message(i, 256))
    await bench.sink.wait(8)
    assert bench.sink.last_cycle - bench.sink.first_cycle == 8 * 4 - 1


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def config_writes(dut: Any) -> None:
    """One write a cycle, the last one awaited; a write to another address changes nothing."""
    bench = Bench(dut, stalls.none())
    await clocks.start(dut)
    bench.config.write(1, 5, 1)
    bench.config.write(1, 4, 77)
    await bench.config.write(1, 5, 3)
    await RisingEdge(dut.clk)
    assert int(dut.sts_fault.value) == 3
    assert bench.config.writes == 3


FAULTS = {
    1: "tvalid was withdrawn",
    2: "a stalled beat changed: tdata",
    3: "tuser changed within a packet",
    4: "is not contiguous",
    6: "X or Z on",
}


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(fault=sorted(FAULTS))
async def breach_is_caught(dut: Any, fault: int) -> None:
    """Each breach ends a protocol monitor with its own message; Verilator has no X, so there fault 6 must change the data."""
    caught: list[str] = []

    class Watch(Monitor):
        async def _monitor_recv(self) -> None:
            try:
                await super()._monitor_recv()
            except ProtocolError as error:
                caught.append(str(error))

    class QuietSink(MessageSink):
        async def _monitor_recv(self) -> None:
            while True:
                await RisingEdge(self.clock)
                self._on_edge()

    pattern = stalls.both(cocotb.RANDOM_SEED)
    source = MessageSource(dut, "s_axis", dut.clk)
    Watch(dut, "m_axis", dut.clk)
    QuietSink(dut, "m_axis", dut.clk, ready=pattern)
    config = ConfigBus(dut, dut.clk)
    await clocks.start(dut)
    await config.write(1, 5, fault)
    for i in range(12):
        source.send(*message(i, 512))
    await ClockCycles(dut.clk, 400)
    if fault == 6 and "verilator" in cocotb.SIM_NAME.lower():
        assert caught == [], "two-state simulators show no X"
        return
    assert len(caught) == 1, f"fault {fault} was not caught"
    assert FAULTS[fault] in caught[0], caught[0]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def lost_beat_is_caught(dut: Any) -> None:
    """A lost beat keeps the protocol and breaks the comparison."""
    bench = Bench(dut, stalls.none())
    await clocks.start(dut)
    await bench.config.write(1, 5, 5)
    wrong: list[str] = []

    def got(item: Any) -> None:
        try:
            board.got(item)
        except AssertionError as error:
            wrong.append(str(error))

    board = Scoreboard("lost")
    bench.seen._callbacks[:] = [board.expect]
    bench.sink._callbacks[:] = [got]
    for i in range(6):
        bench.source.send(*message(i, 512))
    await ClockCycles(dut.clk, 100)
    assert wrong, "a lost beat went unnoticed"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def scoreboard_counts(dut: Any) -> None:
    """finish() demands empty queues on both sides and something checked; key= orders per stream."""
    clocks.start_clock(dut)
    await RisingEdge(dut.clk)
    for case in ("missing", "surplus", "nothing"):
        board = Scoreboard(case)
        if case == "missing":
            board.expect(1)
        if case == "surplus":
            board.got(1)
        try:
            board.finish()
        except AssertionError:
            continue
        raise RuntimeError(f"finish() passed with {case}")
    board = Scoreboard("keyed", key=lambda item: item[0])
    for item in (("a", 1), ("a", 2), ("b", 1)):
        board.expect(item)
    for item in (("b", 1), ("a", 1), ("a", 2)):
        board.got(item)
    board.finish(3)
