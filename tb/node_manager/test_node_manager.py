# SPDX-License-Identifier: Apache-2.0
"""node_manager: reads of every range, errors, drops, several requesters, stalls (docs/manager.md)."""

from __future__ import annotations

import os
import random
import struct
from dataclasses import replace
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from floreana.cluster.layout import TYPE_CONTROL, TYPE_INT8, TYPE_INT32, Header
from floreana_tb import clocks, stalls, streams

WORDS = int(os.environ.get("MANAGER_WORDS", "160"))
CLUSTER, KERNEL = 7, 0


def request(number: int, kind: int = TYPE_CONTROL) -> Header:
    return Header(
        dst_cluster=CLUSTER, dst_kernel=KERNEL, edge=number & 255, src_cluster=number % 5, src_kernel=255 - number % 9, slot=number & 15,
        generation=3, row=1000 + number, offset=77, type=kind, last=True,
    )  # fmt: skip


def ask(first: int, count: int, opcode: int = 1, tag: int = 0) -> bytes:
    return struct.pack("<BBHII", opcode, 0, tag, first, count)


class Bench:
    def __init__(self, dut: Any, pattern: stalls.Pattern) -> None:
        self.dut = dut
        self.values = [random.Random(k).getrandbits(32) for k in range(WORDS)]
        self.board = streams.Scoreboard("node_manager")
        self.source = streams.MessageSource(dut, "s_axis", dut.clk, pattern)
        self.seen = streams.Monitor(dut, "s_axis", dut.clk, callback=self.model)
        self.sink = streams.MessageSink(dut, "m_axis", dut.clk, pattern, callback=self.board.got)
        self.requests = self.reads = self.errors = self.drops = 0
        dut.id_cluster.value = CLUSTER
        dut.id_kernel.value = KERNEL
        dut.words.value = sum(value << 32 * k for k, value in enumerate(self.values))

    def model(self, item: tuple[Header, bytes]) -> None:
        header, payload = item
        if header.type != TYPE_CONTROL or len(payload) < 12:
            self.drops += 1
            return
        self.requests += 1
        opcode, _, tag, first, count = struct.unpack("<BBHII", payload[:12])
        status = 1 if opcode != 1 else 2 if count > 128 or first + count > WORDS else 0
        self.reads += status == 0
        self.errors += status != 0
        words = self.values[first : first + count] if status == 0 else []
        reply = struct.pack("<BBHIII48x", opcode | 0x80, status, tag, first, len(words), WORDS) + struct.pack(f"<{len(words)}I", *words)
        answer = replace(
            header, dst_cluster=header.src_cluster, dst_kernel=header.src_kernel, src_cluster=CLUSTER, src_kernel=KERNEL,
            offset=0, type=TYPE_CONTROL, last=False,
        )  # fmt: skip
        self.board.expect((answer, reply))

    async def finish(self, at_least: int) -> None:
        await self.source.wait_idle(20000)
        await ClockCycles(self.dut.clk, 3)
        for _ in range(20000):
            await RisingEdge(self.dut.clk)
            if not int(self.dut.sts_busy.value):
                break
        else:
            raise AssertionError("sts_busy does not fall")
        await ClockCycles(self.dut.clk, 3)
        self.board.finish(at_least)
        counts = [self.dut.sts_count.value.to_unsigned() >> 32 * k & 0xFFFFFFFF for k in range(4)]
        assert counts == [self.requests, self.reads, self.errors, self.drops]


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(pattern=list(stalls.PATTERNS))
async def reads(dut: Any, pattern: str) -> None:
    """Random ranges, wrong ones among them, from many requesters, back to back."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED))
    await clocks.start(dut)
    for number in range(120):
        first = rng.randrange(WORDS)
        count = rng.choice([0, 1, 15, 16, 17, WORDS - first, WORDS - first + 1, rng.randint(0, 40)])
        extra = bytes(rng.choice([0, 0, 1, 52, 53, 300]))
        bench.source.send(request(number), ask(first, count, rng.choice([1, 1, 1, 1, 2, 0, 129]), rng.getrandbits(16)) + extra)
    await bench.finish(120)
    assert bench.reads > 10 and bench.errors > 5


@cocotb.test(timeout_time=200, timeout_unit="us")
async def edges_of_the_range(dut: Any) -> None:
    bench = Bench(dut, stalls.none())
    await clocks.start(dut)
    big = (1 << 32) - 1
    cases = [
        (0, min(128, WORDS)),
        (0, 129),
        (WORDS, 0),
        (WORDS, 1),
        (WORDS - 1, 1),
        (WORDS - 1, 2),
        (big, 1),
        (big, big),
        (1, big),
        (65536, 1),
        (0, 0),
    ]
    for number, (first, count) in enumerate(cases):
        bench.source.send(request(number), ask(first, count, tag=number))
    await bench.finish(len(cases))


@cocotb.test(timeout_time=200, timeout_unit="us")
async def drops(dut: Any) -> None:
    """Data, short requests and long data messages get no answer and do not disturb the next request."""
    bench = Bench(dut, stalls.none())
    await clocks.start(dut)
    for number, (kind, payload) in enumerate(
        [
            (TYPE_INT8, ask(0, 1)), (TYPE_INT32, bytes(1024)), (TYPE_CONTROL, b""), (TYPE_CONTROL, ask(0, 1)[:11]),
            (TYPE_CONTROL, ask(0, 3) + bytes(1012)), (TYPE_INT8, bytes(65)), (TYPE_CONTROL, ask(2, 1)),
        ]
    ):  # fmt: skip
        bench.source.send(request(number, kind), payload)
    await bench.finish(2)
    assert bench.drops == 5


@cocotb.test(timeout_time=200, timeout_unit="us")
async def latency(dut: Any) -> None:
    bench = Bench(dut, stalls.none())
    await clocks.start(dut)
    count = min(32, WORDS)
    bench.source.send(request(0), ask(0, count))
    await bench.finish(1)
    delay = bench.sink.first_cycle - bench.seen.last_cycle
    print(f"request in to header beat out: {delay} cycles, last beat {bench.sink.last_cycle - bench.sink.first_cycle} later")
    assert delay == 4
    # a cycle a word, and one a beat of 16
    assert bench.sink.last_cycle - bench.sink.first_cycle == count + -(-count // 16)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def reset_in_mid_reply(dut: Any) -> None:
    bench = Bench(dut, stalls.none())
    await clocks.start(dut)
    bench.source.send(request(0), ask(0, 40))
    await ClockCycles(dut.clk, 30)
    bench.source.abort()
    await clocks.reset(dut)
    bench.board.forget()
    before = bench.sink.beats
    await ClockCycles(dut.clk, 60)
    assert bench.sink.beats == before
    bench.source.send(request(1), ask(3, 7))
    await ClockCycles(dut.clk, 60)
    bench.board.finish(1)
