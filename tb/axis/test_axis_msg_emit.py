# SPDX-License-Identifier: Apache-2.0
"""axis_msg_emit: rows cut into messages by the tables, against a model in ten lines."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from floreana.cluster.layout import MEM_MESSAGE, MEM_OWNER, MESSAGE, Header, pack
from floreana_tb import clocks, stalls
from floreana_tb.streams import ConfigBus, MessageSink, ProtocolMonitor, Scoreboard, StreamSource, packet_beats

CLUSTER, KERNEL = 7, 130


@dataclass(frozen=True, slots=True)
class Row:
    payload: bytes
    base: int
    slotgen: int
    row: int
    last: bool


class RowSource(StreamSource):
    """Puts what travels beside a row on its ports for all its beats."""

    def send_row(self, row: Row) -> None:
        self._outstanding += 1
        self.append(row)

    async def _driver_send(self, transaction: Any, sync: bool = True) -> None:
        if sync:
            await RisingEdge(self.clock)
        dut = self.entity
        dut.s_msg_base.value = transaction.base
        dut.s_slotgen.value = transaction.slotgen
        dut.s_row.value = transaction.row
        dut.s_last.value = int(transaction.last)
        await super()._driver_send(packet_beats(transaction.payload, None), sync=False)


class Bench:
    def __init__(self, dut: Any, pattern: stalls.Pattern) -> None:
        self.dut = dut
        self.rows = 1 << int(dut.ROW_W.value)
        dut.id_cluster.value, dut.id_kernel.value = CLUSTER, KERNEL
        dut.s_msg_base.value = dut.s_slotgen.value = dut.s_row.value = dut.s_last.value = 0
        self.board = Scoreboard(dut)
        self.source = RowSource(dut, "s_axis", dut.clk, pattern)
        self.sink = MessageSink(dut, "m_axis", dut.clk, pattern, self.board.got)
        self.config = ConfigBus(dut, dut.clk)
        self.messages: list[dict[str, int]] = []
        self.owners = [random.randrange(256) for _ in range(self.rows)]

    async def start(self, entries: int) -> None:
        await clocks.start(self.dut)
        for i in range(entries):
            entry = {name: random.getrandbits(width) for name, width in MESSAGE}
            entry["beats"] = random.randint(1, 16)
            self.messages.append(entry)
            self.config.write(MEM_MESSAGE, i, pack(MESSAGE, entry))
        for row, owner in enumerate(self.owners[:-1]):
            self.config.write(MEM_OWNER, row, owner)
        await self.config.write(MEM_OWNER, self.rows - 1, self.owners[-1])

    def make_row(self, count: int) -> Row:
        base = random.randrange(len(self.messages) - count + 1)
        beats = sum(entry["beats"] for entry in self.messages[base : base + count])
        return Row(random.randbytes(64 * beats), base, random.getrandbits(8), random.randrange(self.rows), random.random() < 0.5)

    def expected(self, row: Row) -> list[tuple[Header, bytes]]:
        out, index, rest = [], row.base, row.payload
        while rest:
            entry = self.messages[index]
            size = 64 * entry["beats"]
            kernel = entry["dst_kernel"] + (self.owners[row.row] if entry["by_owner"] else 0)
            header = Header(
                dst_cluster=entry["dst_cluster"], dst_kernel=kernel & 255, edge=entry["edge"], src_cluster=CLUSTER, src_kernel=KERNEL,
                slot=row.slotgen >> 4, generation=row.slotgen & 15, row=row.row, offset=entry["offset"], type=entry["type"],
                last=row.last,
            )  # fmt: skip
            out.append((header, rest[:size]))
            rest, index = rest[size:], index + 1
        return out

    async def run(self, rows: list[Row]) -> None:
        count = 0
        for row in rows:
            for item in self.expected(row):
                self.board.expect(item)
                count += 1
            self.source.send_row(row)
        await self.sink.wait(count)
        await self.sink.wait_quiet(40)
        self.board.finish(count)


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(pattern=list(stalls.PATTERNS))
async def rows(dut: Any, pattern: str) -> None:
    """One to four messages a row, entries anywhere in the table, many rows back to back."""
    bench = Bench(dut, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED))
    await bench.start(32)
    await bench.run([bench.make_row(random.randint(1, 4)) for _ in range(24)])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def full_rate(dut: Any) -> None:
    """No idle cycle between messages or rows, one cycle after the row's beats."""
    bench = Bench(dut, stalls.none())
    taken = ProtocolMonitor(dut, "s_axis", dut.clk, max_beats=None)
    await bench.start(8)
    rows = [bench.make_row(3) for _ in range(6)]
    await bench.run(rows)
    beats = sum(len(row.payload) // 64 for row in rows)
    assert bench.sink.last_cycle - bench.sink.first_cycle == beats - 1
    assert bench.sink.first_cycle - taken.first_cycle == 1, "latency is not 1"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def short_row_ends_its_message(dut: Any) -> None:
    """tlast of the row ends the message although the entry says more beats; the next row starts at its own base."""
    bench = Bench(dut, stalls.none())
    await bench.start(8)
    row = bench.make_row(2)
    first = bench.messages[row.base]["beats"]
    short = Row(row.payload[: 64 * first + 64], row.base, row.slotgen, row.row, row.last)
    await bench.run([short, bench.make_row(1)])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_mid_message(dut: Any) -> None:
    """What was stored is gone, and the next row starts with its first message and beat."""
    bench = Bench(dut, stalls.none())
    await bench.start(8)
    row = bench.make_row(3)
    bench.source.send_row(Row(row.payload * 2, row.base, row.slotgen, row.row, row.last))
    await ClockCycles(dut.clk, 4)
    bench.source.abort()
    await clocks.reset(dut)
    await bench.sink.wait_quiet(20)
    done = len(bench.sink.received)
    bench.board.forget()
    wanted = bench.make_row(2)
    for item in bench.expected(wanted):
        bench.board.expect(item)
    bench.source.send_row(wanted)
    await bench.sink.wait(done + 2)
    bench.board.finish(2)
