# SPDX-License-Identifier: Apache-2.0
"""node_manager: every request and status, refusal while kernels work, flushes, events, stalls (docs/manager.md)."""

from __future__ import annotations

import itertools
import os
import random
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from floreana.cluster.layout import TYPE_CONTROL, TYPE_INT8, TYPE_INT32, Header
from floreana.host import words as manager
from floreana_tb import clocks, stalls, streams

WORDS = int(os.environ.get("MANAGER_WORDS", "240"))
CLUSTER, NODE = 7, 0x1234
READ, WRITE, FLUSH, EVENTS = 1, 2, 3, 4
OK, OPCODE, RANGE, BUSY, UNIT = range(5)
COUNTERS = 10


def request(number: int, kind: int = TYPE_CONTROL) -> Header:
    """Header of a request: all fields differ from request to request."""
    return Header(
        dst_cluster=number % 3, dst_kernel=(0, 193, 200)[number % 3], edge=number & 255, src_cluster=number % 5,
        src_kernel=255 - number % 9, slot=number & 15, generation=3, row=1000 + number, offset=77, type=kind, last=True,
    )  # fmt: skip


def ask(first: int, count: int, opcode: int = READ, tag: int = 0) -> bytes:
    return struct.pack("<BBHII", opcode, 0, tag, first, count)


def write(address: int, count: int, beats: int, rng: random.Random, tag: int = 0) -> bytes:
    """A WRITE that says ``count`` and carries ``beats`` beats after the first."""
    return ask(address, count, WRITE, tag).ljust(64, b"\xa5") + rng.randbytes(64 * beats)


def high(signal: Any) -> bool:
    """A one-bit signal is 1 (X is not): several times faster than its ``value``."""
    return bool(signal._handle.get_signal_val_binstr() == "1")


class Bench:
    """The manager between a source of requests, a sink, a configuration bus, kernels that flush, and peers."""

    def __init__(self, dut: Any, pattern: stalls.Pattern, config: Iterator[bool] | None = None) -> None:
        self.dut = dut
        self.values = [random.Random(k).getrandbits(32) for k in range(WORDS)]
        self.units = dut.UNITS.value.to_unsigned()
        self.slots = dut.SLOTS.value.to_unsigned()
        self.peers = dut.PEERS_N.value.to_unsigned()
        self.ports = dut.PORTS_N.value.to_unsigned()
        self.board = streams.Scoreboard("node_manager")
        self.writes = streams.Scoreboard("configuration writes")
        self.flushes = streams.Scoreboard("flushes")
        self.source = streams.MessageSource(dut, "s_axis", dut.clk, pattern)
        self.seen = streams.Monitor(dut, "s_axis", dut.clk, callback=self.model)
        self.sink = streams.MessageSink(dut, "m_axis", dut.clk, pattern, callback=self.got)
        self.count: Counter[str] = Counter()
        self.events: list[manager.Event] = []
        self.active = False
        self.written = 0  # writes that were taken from the bus
        self.due: list[tuple[int, int, int]] = []  # of each reply to come: opcode and status, writes and flushes done by then
        self.flushed = 0
        self.flush_time: Iterator[int] = itertools.cycle([1, 7, 0, 40])
        self.config = config
        self.first_write = self.last_write = 0
        self.cycle = 0
        dut.id_cluster.value = CLUSTER
        dut.id_node.value = NODE
        dut.cfg_ready.value = 1
        dut.flushing.value = 0
        dut.active.value = 0
        for name in ("up", "failed", "restarted"):
            getattr(dut, f"peer_{name}").value = 0
        dut.words.value = sum(value << 32 * k for k, value in enumerate(self.values))
        cocotb.start_soon(self._bus())
        cocotb.start_soon(self._kernels())

    # ---- what is around the manager

    async def _bus(self) -> None:
        """Takes writes when the pattern says so; an offered write must not change or go away."""
        dut, offered = self.dut, None
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            taken = high(dut.cfg_ready)
            if self.config is not None:
                dut.cfg_ready.value = int(next(self.config))
            if high(dut.rst):
                offered = None
                continue
            if not high(dut.cfg_we):
                assert offered is None, "a write was withdrawn"
                continue
            now = (dut.cfg_addr.value.to_unsigned(), dut.cfg_data.value.to_unsigned())
            assert offered in (None, now), "an offered write changed"
            offered = None if taken else now
            if taken:
                if not self.written:
                    self.first_write = self.cycle
                self.last_write = self.cycle
                self.written += 1
                self.writes.got(now)

    async def _kernels(self) -> None:
        """Flush for a while after each pulse, which must not come while they flush."""
        dut, left, flushing = self.dut, 0, False
        while True:
            await RisingEdge(dut.clk)
            if high(dut.flush_valid) and not high(dut.rst):
                assert left == 0, "a flush was asked for during another"
                self.flushes.got((dut.flush_slot.value.to_unsigned(), dut.flush_gen.value.to_unsigned()))
                left = next(self.flush_time) + 1
            if left:
                left -= 1
                self.flushed += left == 0
            if (left != 0) != flushing:
                flushing = left != 0
                dut.flushing.value = int(flushing)

    def set_active(self, active: bool) -> None:
        self.active = active
        self.dut.active.value = int(active)

    # ---- model

    def status(self, opcode: int, first: int, count: int, payload: bytes) -> int:
        if opcode == READ:
            return OK if count <= 128 and first + count <= WORDS else RANGE
        if opcode == WRITE:
            if not 1 <= count <= 15 or len(payload) != 64 * (count + 1):
                return RANGE
            last = (first + count - 1) % (1 << 32)
            if first >> 28 >= self.units or last >> 28 >= self.units:
                return UNIT
            return BUSY if self.active else OK
        if opcode == FLUSH:
            return OK if first < self.slots and count < 16 else RANGE
        if opcode == EVENTS:
            return OK if first < 2 else RANGE
        return OPCODE

    def model(self, item: tuple[Header, bytes]) -> None:
        header, payload = item
        if header.type != TYPE_CONTROL or len(payload) < 12 or payload[0] >= 0x60:
            self.count["dropped"] += 1
            return
        opcode, _, tag, first, count = struct.unpack("<BBHII", payload[:12])
        status = self.status(opcode, first, count, payload)
        self.count["requests"] += 1
        self.count["errors"] += status != OK
        self.count["busy"] += status == BUSY
        words: list[int] = []
        if status == OK:
            self.count[{READ: "reads", WRITE: "writes", FLUSH: "flushes", EVENTS: "switches"}[opcode]] += 1
            if opcode == READ:
                words = self.values[first : first + count]
            if opcode == WRITE:
                for k in range(count):
                    self.writes.expect((first + k, int.from_bytes(payload[64 * (k + 1) : 64 * (k + 2)], "little")))
                self.count["written"] += count
            if opcode == FLUSH:
                self.flushes.expect((first, count))
        self.due.append((opcode | status << 8, self.count["written"], self.count["flushes"]))
        reply = struct.pack("<BBHIII48x", opcode | 0x80, status, tag, first, count if status == OK else 0, WORDS)
        answer = replace(
            header, dst_cluster=header.src_cluster, dst_kernel=header.src_kernel, src_cluster=CLUSTER, src_kernel=header.dst_kernel,
            offset=0, type=TYPE_CONTROL, last=False,
        )  # fmt: skip
        self.board.expect((answer, reply + struct.pack(f"<{len(words)}I", *words)))

    def got(self, item: tuple[Header, bytes]) -> None:
        header, payload = item
        if payload[0] == 0xE0:
            assert header == Header(
                dst_cluster=CLUSTER, dst_kernel=255, edge=0, src_cluster=CLUSTER, src_kernel=0, slot=0, generation=0, row=0, offset=0,
                type=TYPE_CONTROL, last=False,
            )  # fmt: skip
            event = manager.Event.parse(payload)
            assert payload == struct.pack("<BBHIIII44x", 0xE0, event.kind, 0, event.port, event.peer, NODE, len(self.events))
            self.events.append(event)
            return
        _, written, flushed = self.due.pop(0)
        assert self.written >= written, f"replied when {self.written} of {written} words were written"
        assert self.flushed >= flushed, f"replied when {self.flushed} of {flushed} flushes were done"
        self.board.got(item)

    async def idle(self) -> None:
        await self.source.wait_idle(40000)
        await ClockCycles(self.dut.clk, 3)
        for _ in range(40000):
            await RisingEdge(self.dut.clk)
            if not high(self.dut.sts_busy):
                break
        else:
            raise AssertionError("sts_busy does not fall")
        await ClockCycles(self.dut.clk, 3)

    def counts(self) -> list[int]:
        return [self.dut.sts_count.value.to_unsigned() >> 32 * k & 0xFFFFFFFF for k in range(16)]

    async def finish(self, at_least: int) -> None:
        await self.idle()
        self.board.finish(at_least)
        self.writes.finish(self.count["written"])
        self.flushes.finish(self.count["flushes"])
        assert not self.due
        names = ("requests", "reads", "writes", "written", "flushes", "events", "errors", "dropped", "busy", "switches")
        self.count["events"] = len(self.events)
        assert self.counts() == [self.count[name] for name in names] + [0] * 6


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(pattern=list(stalls.PATTERNS))
async def requests(dut: Any, pattern: str) -> None:
    """Random requests of every kind, wrong ones among them, from many requesters, back to back."""
    rng = random.Random(cocotb.RANDOM_SEED)
    stall = stalls.PATTERNS[pattern](cocotb.RANDOM_SEED)
    bench = Bench(dut, stall, None if pattern == "none" else stalls.PATTERNS["both"](cocotb.RANDOM_SEED + 1).ready)
    await clocks.start(dut)
    for number in range(150):
        tag = rng.getrandbits(16)
        match rng.choice([READ, READ, WRITE, WRITE, WRITE, FLUSH, EVENTS, 99]):
            case 1:
                first = rng.randrange(WORDS)
                count = rng.choice([0, 1, 15, 16, 17, WORDS - first, WORDS - first + 1, rng.randint(0, 40)])
                payload = ask(first, count, tag=tag) + bytes(rng.choice([0, 0, 1, 52, 53, 300]))
            case 2:
                beats = rng.choice([1, 1, 2, 15, rng.randint(0, 15)])
                count = beats if rng.random() < 0.8 else rng.choice([0, 15, 16, beats + 1])
                payload = write(rng.randrange(bench.units + 1) << 28 | rng.getrandbits(28), count, beats, rng, tag)
                payload = payload[: len(payload) - rng.choice([0] * 9 + [1, 63])]
            case 3:
                payload = ask(rng.choice([0, bench.slots - 1, rng.randrange(20)]), rng.randrange(18), FLUSH, tag)
            case 4:
                payload = ask(rng.choice([0, 1, 1, 2]), rng.getrandbits(32), EVENTS, tag)
            case _:
                payload = ask(0, 1, rng.choice([0, 5, 0x5F]), tag)
        kind = rng.choice([TYPE_CONTROL] * 12 + [TYPE_INT8])
        bench.source.send(request(number, kind), payload)
    await bench.finish(120)
    assert min(bench.count[name] for name in ("reads", "writes", "flushes", "errors", "dropped", "switches")) >= 3


@cocotb.test(timeout_time=200, timeout_unit="us")
async def edges_of_a_read(dut: Any) -> None:
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


@cocotb.test(timeout_time=400, timeout_unit="us")
async def lengths_of_a_write(dut: Any) -> None:
    """Every number of beats with the right count, one less, one more; 0 and 16; a last beat that is not whole."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut, stalls.none())
    await clocks.start(dut)
    number = 0
    for beats in range(16):
        for count in sorted({max(beats - 1, 0), beats, beats + 1, beats + 16, beats + 32, beats | 1 << 31}):
            bench.source.send(request(number), write(0x0300_0010 + number, count, beats, rng, number))
            number += 1
    for cut in (1, 32, 63):
        bench.source.send(request(number), write(0x0F00_0000, 3, 3, rng)[:-cut])
        number += 1
    bench.source.send(request(number), ask(0, 0, WRITE))  # 12 bytes
    await bench.finish(number + 1)
    assert bench.count["writes"] == 15 and bench.count["written"] == 120


@cocotb.test(timeout_time=200, timeout_unit="us")
async def units_of_a_write(dut: Any) -> None:
    """Each unit there is, each there is not, and writes that run from one into the next."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut, stalls.none())
    await clocks.start(dut)
    number = 0
    for unit in range(16):
        for address, count in ((unit << 28 | 5, 1), (unit << 28 | 0x0FFF_FFFE, 2), (unit << 28 | 0x0FFF_FFFE, 3)):
            bench.source.send(request(number), write(address, count, count, rng, number))
            number += 1
    await bench.finish(48)
    assert bench.count["writes"] == 3 * bench.units - 1


@cocotb.test(timeout_time=200, timeout_unit="us")
async def no_write_while_kernels_work(dut: Any) -> None:
    """BUSY for every unit, also behind good writes; a wrong request is told what is wrong with it. Reads and flushes are served."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut, stalls.none())
    await clocks.start(dut)
    number = 0
    for active in (False, True, False, True, True, False):
        bench.set_active(active)
        await ClockCycles(dut.clk, 2)
        for unit in range(bench.units + 1):
            bench.source.send(request(number), write(unit << 28, 2, 2 + (unit == 1), rng, number))
            number += 1
        bench.source.send(request(number), ask(0, 1))
        bench.source.send(request(number), ask(0, 5, FLUSH))
        number += 2
        await bench.idle()
    await bench.finish(number)
    assert bench.count["busy"] == 3 * (bench.units - (bench.units > 1)) and bench.count["written"] == 2 * bench.count["busy"]


@cocotb.test(timeout_time=200, timeout_unit="us")
async def flush_waits_for_the_kernels(dut: Any) -> None:
    """Every slot, each replied only when all kernels are done; one asked for while a kernel still clears waits before its pulse."""
    bench = Bench(dut, stalls.none())
    await clocks.start(dut)
    bench.flush_time = itertools.chain([0, 3, 200], itertools.repeat(9))
    number = 0
    for slot in (*range(bench.slots), bench.slots, 16, 1 << 31):
        for generation in (0, 15, 16):
            bench.source.send(request(number), ask(slot, generation, FLUSH, number))
            number += 1
    await bench.finish(number)
    assert bench.count["flushes"] == 2 * bench.slots


@cocotb.test(timeout_time=200, timeout_unit="us")
async def drops(dut: Any) -> None:
    """Data, short requests, long data messages, replies and events get no answer and do not disturb the next request."""
    bench = Bench(dut, stalls.none())
    await clocks.start(dut)
    rng = random.Random(cocotb.RANDOM_SEED)
    for number, (kind, payload) in enumerate(
        [
            (TYPE_INT8, ask(0, 1)), (TYPE_INT32, bytes(1024)), (TYPE_CONTROL, b""), (TYPE_CONTROL, ask(0, 1)[:11]),
            (TYPE_CONTROL, ask(0, 1) + bytes(1012)), (TYPE_INT8, bytes(65)), (TYPE_INT32, write(0, 4, 4, rng)), (TYPE_CONTROL, ask(0, 1)),
            (TYPE_CONTROL, write(7, 1, 1, rng)), (TYPE_CONTROL, ask(0, 1, 0x60)), (TYPE_CONTROL, ask(0, 1, 0x81)),
            (TYPE_CONTROL, ask(0, 1, 0xE0)), (TYPE_CONTROL, ask(0, 1, 0x5F)),
        ]
    ):  # fmt: skip
        bench.source.send(request(number, kind), payload)
    await bench.finish(4)
    assert bench.count["dropped"] == 9


@cocotb.test(timeout_time=400, timeout_unit="us")
async def a_closed_sink_loses_nothing(dut: Any) -> None:
    """While no reply can leave, requests wait inside and then in front; afterwards each is served once and in order."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut, stalls.Pattern(itertools.repeat(False), itertools.chain(itertools.repeat(False, 800), itertools.repeat(True))))
    await clocks.start(dut)
    for number in range(40):
        bench.source.send(request(number), write(number << 4, 15, 15, rng, number) if number % 3 else ask(0, 1, tag=number))
    await ClockCycles(dut.clk, 700)
    assert not bench.source.idle and bench.sink.beats == 0
    assert bench.written == 15, "a reply of two beats in the output, and one before it: one WRITE was done"
    await bench.finish(40)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def latency(dut: Any) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut, stalls.none())
    await clocks.start(dut)
    count = min(32, WORDS)
    bench.source.send(request(0), ask(0, count))
    await bench.idle()
    delay = bench.sink.first_cycle - bench.seen.last_cycle
    tail = bench.sink.last_cycle - bench.sink.first_cycle
    print(f"request in to header beat out: {delay} cycles, last beat {tail} later")
    assert delay == 8
    # a cycle a word, and three a beat of 16
    assert tail == count + 3 * -(-count // 16)
    bench.source.send(request(1), write(0, 15, 15, rng))
    await bench.finish(2)
    assert bench.last_write - bench.first_write == 14, "a word a cycle"
    assert bench.sink.cycle == bench.cycle, "both count from the start of the test"
    assert bench.sink.last_cycle - bench.last_write == 11, "the last word reaches its memory before the reply is routed"


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(at=[6, 14, 22, 40])
async def reset_in_mid_request(dut: Any, at: int) -> None:
    """Reset while a WRITE comes in, is done, or a reply goes out: nothing of it shows afterwards, and events are off."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut, stalls.none())
    await clocks.start(dut)
    bench.source.send(request(0), ask(1, 1, EVENTS))
    bench.source.send(request(0), write(3, 15, 15, rng))
    bench.source.send(request(0), ask(0, min(40, WORDS)))
    await ClockCycles(dut.clk, at)
    bench.source.abort()
    await clocks.reset(dut)
    for board in (bench.board, bench.writes, bench.flushes):
        board.forget()
    bench.due.clear()
    bench.count.clear()
    bench.written = 0
    before = bench.sink.beats
    dut.peer_failed.value = 1
    await ClockCycles(dut.clk, 60)
    assert bench.sink.beats == before and not int(dut.sts_busy.value)
    dut.peer_failed.value = 0
    bench.source.send(request(1), ask(0, 1))
    bench.source.send(request(2), write(9, 2, 2, rng))
    await bench.finish(2)


# ---------------------------------------------------------------------------------------------------------------- events


class Peers:
    """Drives the three vectors and keeps, for every peer, the events that must be told."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.up = self.failed = 0
        self.due: Counter[tuple[int, int]] = Counter()  # (kind, peer of all ports)

    async def change(self, kind: int, peers: list[int]) -> None:
        dut = self.bench.dut
        restarted = 0
        for peer in peers:
            bit = 1 << peer
            if kind == manager.EVENT_FAILED:
                self.up, self.failed = self.up & ~bit, self.failed | bit
            elif kind == manager.EVENT_UP:
                self.up, self.failed = self.up | bit, self.failed & ~bit
            else:
                restarted |= bit
            self.due[kind, peer] += 1
        dut.peer_up.value, dut.peer_failed.value, dut.peer_restarted.value = self.up, self.failed, restarted
        await RisingEdge(dut.clk)
        dut.peer_restarted.value = 0

    def told(self) -> Counter[tuple[int, int]]:
        return Counter((e.kind, e.port * self.bench.peers + e.peer) for e in self.bench.events)


async def switch(bench: Bench, on: bool) -> None:
    bench.source.send(request(1), ask(int(on), 0, EVENTS))
    await bench.idle()


@cocotb.test(timeout_time=400, timeout_unit="us")
async def events_are_told(dut: Any) -> None:
    """Off: nothing. On: every kind of every peer, each once; requests are served in between."""
    bench = Bench(dut, stalls.none())
    await clocks.start(dut)
    peers = Peers(bench)
    every = list(range(bench.peers * bench.ports))
    for kind in (1, 2, 3):
        await peers.change(kind, every)
    await ClockCycles(dut.clk, 4 * len(every) + 20)
    assert not bench.events, "told before anybody asked"
    await switch(bench, True)
    peers.due.clear()
    for kind in (manager.EVENT_FAILED, manager.EVENT_RESTARTED, manager.EVENT_UP):
        await peers.change(kind, [every[-1]])
        start = bench.cycle
        await bench.sink.wait(len(bench.sink.received) + 1, 2 * len(every) + 8)
        print(f"event told after {bench.cycle - start} cycles")
    assert [event.kind for event in bench.events] == [1, 2, 3]
    for peer in every:  # a first time up without a failure is no event
        await peers.change(manager.EVENT_FAILED, [peer])
        if peer % 3 == 0:
            bench.source.send(request(peer), ask(0, 1))
    await bench.idle()
    await peers.change(manager.EVENT_RESTARTED, every)
    await peers.change(manager.EVENT_UP, every)
    await bench.idle()
    assert peers.told() == peers.due
    await switch(bench, False)
    await peers.change(manager.EVENT_FAILED, every)
    await ClockCycles(dut.clk, 4 * len(every) + 20)
    assert peers.told() != peers.due and not int(dut.sts_busy.value), "told after it was switched off"
    await switch(bench, True)
    await ClockCycles(dut.clk, 4 * len(every) + 20)
    before = len(bench.events)
    await peers.change(manager.EVENT_UP, every[:2])  # a failure seen while off ends
    await bench.idle()
    assert [(e.kind, e.port * bench.peers + e.peer) for e in bench.events[before:]] == [(3, 0), (3, 1)]
    await bench.finish(4)


@cocotb.test(timeout_time=400, timeout_unit="us")
async def events_merge_and_end_true(dut: Any) -> None:
    """While nothing can leave, events of a kind merge; what is told last of a peer is what holds."""
    rng = random.Random(cocotb.RANDOM_SEED)
    gate = [True]
    bench = Bench(dut, stalls.Pattern(itertools.repeat(False), iter(lambda: gate[0], None)))
    await clocks.start(dut)
    await switch(bench, True)
    gate[0] = False
    peers = Peers(bench)
    every = list(range(bench.peers * bench.ports))
    for _ in range(6):
        for peer in every:
            kind = rng.choice([1, 2, 3])
            if kind != (1 if peers.failed >> peer & 1 else 3) and (kind != 3 or peers.failed >> peer & 1):
                await peers.change(kind, [peer])
    await ClockCycles(dut.clk, 4 * len(every) + 20)
    gate[0] = True
    await bench.idle()
    told = peers.told()
    assert set(told) == set(peers.due), "an event was lost"
    # the peer looked at when the output closed may have told one event before the rest merged
    assert sum(count - 1 for count in told.values()) <= 3 and sum(peers.due.values()) > sum(told.values())
    for peer in every:
        kinds = [e.kind for e in bench.events if e.port * bench.peers + e.peer == peer and e.kind != 2]
        if kinds:
            assert kinds[-1] == (1 if peers.failed >> peer & 1 else 3), f"peer {peer}: {kinds}"
    await bench.finish(1)


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(pattern=["none", "random"])
async def events_among_requests(dut: Any, pattern: str) -> None:
    """A stream of requests and of single events together; requests of all kinds, each event told."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED))
    await clocks.start(dut)
    await switch(bench, True)
    peers = Peers(bench)
    every = bench.peers * bench.ports
    for number in range(40):
        payload = write(number, 3, 3, rng) if number % 2 else ask(0, min(WORDS, 20))
        bench.source.send(request(number), payload)
        await peers.change(manager.EVENT_RESTARTED, [rng.randrange(every)])
        await ClockCycles(dut.clk, rng.randint(1, 2 * every + 40))
        await bench.idle()
    assert peers.told() == peers.due
    await bench.finish(41)
