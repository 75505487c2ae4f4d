# SPDX-License-Identifier: Apache-2.0
"""net_switch: conservation, order, no interleaving, oldest first, multicast all or nothing, full rate, no starvation, drops."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from floreana.cluster.layout import TYPE_CONTROL, TYPE_INT8, Header
from floreana_tb import clocks, stalls, streams

PORTS = 5
ETH = 4
GROUP = 32  # kernel GROUP + mask goes to the ports in mask, kernel o < PORTS to port o
NOWHERE = 200  # never written in ROUTE
WORDS = 8  # counters of a port
NEVER: Iterator[bool] = iter(lambda: False, True)


def masks(kernel: int, port: int) -> int:
    """Independent statement of the routing rule."""
    mask = 1 << kernel if kernel < PORTS else kernel - GROUP if GROUP <= kernel < GROUP + 32 else 0
    return mask & ~(1 << ETH) if port == ETH else mask


@dataclass(frozen=True, slots=True)
class Sent:
    number: int
    port: int
    mask: int
    item: tuple[Header, bytes]


class Bench:
    """Five sources, five sinks; each message carries its number, so that deliveries name their origin."""

    def __init__(self, dut: Any, patterns: list[stalls.Pattern], max_beats: int | None = 16) -> None:
        self.dut = dut
        self.sources = [streams.MessageSource(dut, f"s{i}_axis", dut.clk, patterns[i]) for i in range(PORTS)]
        self.sinks = [streams.MessageSink(dut, f"m{i}_axis", dut.clk, patterns[i], callback=self._deliver(i)) for i in range(PORTS)]
        self.seen = [streams.Monitor(dut, f"s{i}_axis", dut.clk, callback=self._arrive(i), max_beats=max_beats) for i in range(PORTS)]
        self.config = streams.ConfigBus(dut, dut.clk)
        self.board = streams.Scoreboard("net_switch", key=lambda item: item[0])
        self.arrived: list[list[Sent]] = [[] for _ in range(PORTS)]  # per input
        self.position: dict[int, int] = {}  # number -> cycle of its last beat in
        self.delivered: list[list[tuple[int, int]]] = [[] for _ in range(PORTS)]  # per output: (number, cycle of last beat)
        self.drops = [0] * PORTS
        self.count = 0

    def _arrive(self, port: int) -> Any:
        def callback(item: tuple[Header, bytes]) -> None:
            header, payload = item
            mask = masks(header.dst_kernel, port)
            number = header.row
            self.position[number] = self.seen[port].cycle
            self.arrived[port].append(Sent(number, port, mask, item))
            if mask == 0 or len(payload) > 1024:
                self.drops[port] += 1
                return
            for out in range(PORTS):
                if mask >> out & 1:
                    self.board.expect(((port, out, item[0].dst_kernel >= PORTS), item))

        return callback

    def _deliver(self, out: int) -> Any:
        def callback(item: tuple[Header, bytes]) -> None:
            self.delivered[out].append((item[0].row, self.sinks[out].cycle))
            self.board.got(((item[0].src_kernel, out, item[0].dst_kernel >= PORTS), item))

        return callback

    async def start(self) -> None:
        clocks.start_clock(self.dut)
        await clocks.reset(self.dut)
        for kernel in [*range(PORTS), *range(GROUP, GROUP + 32)]:
            last = self.config.write(0, kernel, masks(kernel, 0))
        await last
        await ClockCycles(self.dut.clk, 2)

    def message(self, port: int, kernel: int, size: int, kind: int = TYPE_INT8) -> tuple[Header, bytes]:
        number, self.count = self.count, self.count + 1
        header = Header(
            dst_cluster=1, dst_kernel=kernel, edge=number & 255, src_cluster=1, src_kernel=port, slot=2, generation=3,
            row=number, offset=0, type=kind, last=False,
        )  # fmt: skip
        return header, random.Random(number).randbytes(size)

    def send(self, port: int, kernel: int, size: int, kind: int = TYPE_INT8) -> Any:
        return self.sources[port].send(*self.message(port, kernel, size, kind))

    def burst(self, port: int, kernels: list[int], size: int) -> Any:
        """Messages back to back, without the idle cycle that a driver may leave between two sends."""
        beats = []
        for kernel in kernels:
            header, payload = self.message(port, kernel, size)
            beats += streams.packet_beats(payload, header.to_tuser())
        return self.sources[port].send_beats(beats)

    def counter(self, port: int, word: int) -> int:
        return self.dut.sts_count.value.to_unsigned() >> 32 * (port * WORDS + word) & 0xFFFFFFFF

    async def drain(self, cycles: int = 20000) -> None:
        for source in self.sources:
            await source.wait_idle(cycles)
        quiet = 0
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)
            quiet = 0 if int(self.dut.sts_busy.value) else quiet + 1
            if quiet > 6:
                break
        else:
            raise AssertionError("sts_busy does not fall")
        await ClockCycles(self.dut.clk, 2)

    def finish(self, at_least: int = 1) -> None:
        self.board.finish(at_least)
        for port in range(PORTS):
            arrived = self.arrived[port]
            assert self.counter(port, 0) == len(arrived), f"messages in, port {port}"
            assert self.counter(port, 1) == self.seen[port].beats, f"beats in, port {port}"
            assert self.counter(port, 2) == self.drops[port], f"drops, port {port}"
            assert self.counter(port, 4) == self.seen[port].stalled_cycles, f"cycles refused, port {port}"
            assert self.counter(port, 5) == len(self.delivered[port]), f"messages out, port {port}"
            assert self.counter(port, 6) == self.sinks[port].beats, f"beats out, port {port}"
            assert self.counter(port, 7) == self.sinks[port].stalled_cycles, f"cycles stalled, port {port}"
        assert self.dut.sts_drops.value.to_unsigned() == sum(self.drops)


def patterns(name: str) -> list[stalls.Pattern]:
    return [stalls.PATTERNS[name](cocotb.RANDOM_SEED * PORTS + i) for i in range(PORTS)]


def kernels_of(rng: random.Random, port: int) -> int:
    """Mostly unicast, some groups, now and then nowhere."""
    pick = rng.random()
    if pick < 0.7:
        return rng.randrange(PORTS)
    if pick < 0.95:
        return GROUP + rng.randrange(1, 32)
    return NOWHERE


async def random_traffic(bench: Bench, messages: int) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    for _ in range(messages):
        for port in range(PORTS):
            beats = rng.choice([1, 1, 2, 3, rng.randint(1, 16)])
            bench.send(port, kernels_of(rng, port), 64 * beats)
    await bench.drain()
    bench.finish(messages)


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(pattern=list(stalls.PATTERNS))
async def conservation(dut: Any, pattern: str) -> None:
    """Random traffic: every message once at each of its outputs, whole and unchanged; unicasts of an (input, output) pair in order,
    multicasts too."""
    bench = Bench(dut, patterns(pattern))
    await bench.start()
    await random_traffic(bench, 12)
    if pattern in ("backpressure", "both"):
        bench.sinks[0].demand_stalls()


@cocotb.test(timeout_time=100, timeout_unit="us")
async def one_message_each_way(dut: Any) -> None:
    """Every (input, output) pair alone, with its latency; an empty control message and a part beat keep their tkeep."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    for port in range(PORTS):
        for out in range(PORTS):
            bench.send(port, out, 192)
            await bench.drain()
            if port != ETH or out != ETH:
                number, cycle = bench.delivered[out][-1]
                # the last of three beats leaves 2 cycles after the first
                assert cycle - bench.position[number] - 2 == 5, f"latency {cycle - bench.position[number] - 2} of {port} to {out}"
    bench.send(0, 1, 0, TYPE_CONTROL)
    bench.send(0, 1, 12, TYPE_CONTROL)
    bench.send(0, 1, 65, TYPE_CONTROL)
    await bench.drain()
    bench.finish(27)
    assert bench.drops == [0, 0, 0, 0, 1], "only eth to eth is dropped"


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(beats=[1, 2, 16])
async def permutation_rate(dut: Any, beats: int) -> None:
    """All ports at once: at most two idle cycles between the messages of a port, one beat a cycle inside."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    count = 6 if beats == 16 else 24
    for port in range(PORTS):
        bench.burst(port, [(port + 2) % PORTS] * count, 64 * beats)
    await bench.drain()
    bench.finish(PORTS * count)
    for out in range(PORTS):
        cycles = [cycle for _, cycle in bench.delivered[out]]
        assert len(cycles) == count
        worst = max(b - a for a, b in itertools.pairwise(cycles)) - beats
        assert worst <= 2, f"output {out}: {worst} idle cycles between messages"
        print(f"permutation of {beats} beats, output {out}: {worst} idle cycles between messages")


@cocotb.test(timeout_time=100, timeout_unit="us")
async def oldest_first(dut: Any) -> None:
    """One output is blocked while messages for it arrive at all inputs in a known order: they leave in that order."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    bench.sinks[1].pause(NEVER)
    rng = random.Random(cocotb.RANDOM_SEED)
    order: list[int] = []
    ports = [port for port in range(PORTS) for _ in range(4)]  # what the smallest build holds
    rng.shuffle(ports)
    for port in ports:
        order.append(bench.count)
        kernel = GROUP + 0b00010 + (rng.randrange(2) << 2 | rng.randrange(2) << 3) if rng.random() < 0.3 else 1
        await bench.send(port, kernel, 64 * rng.randint(1, 4))
    bench.sinks[1].pause(None)
    await bench.drain()
    assert [number for number, _ in bench.delivered[1]] == order
    bench.finish(20)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def multicast_is_one_act(dut: Any) -> None:
    """A message for all ports reaches all in the same cycles, and does not starve under unicasts to every port."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    for port in range(4):
        bench.burst(port, [(port + k) % PORTS for k in range(30)], 128)
    await ClockCycles(dut.clk, 20)
    start = bench.count
    for mask in (31, 31, 19, 5):
        await bench.send(ETH, GROUP + mask, 320)
    await bench.drain()
    bench.finish(120)
    for k, mask in enumerate((31, 31, 19, 5)):
        cycles = {out: cycle for out in range(PORTS) for number, cycle in bench.delivered[out] if number == start + k}
        assert set(cycles) == {out for out in range(4) if mask >> out & 1}, "eth never sends to itself"
        assert len(set(cycles.values())) == 1, f"multicast {k} left at cycles {cycles}"
        # 30 messages of 2 beats and a gap wait in each queue before it at most; it is older than what comes later
        waited = max(cycles.values()) - bench.position[start + k]
        print(f"multicast {k} waited {waited} cycles")
        assert waited < 200


@cocotb.test(timeout_time=100, timeout_unit="us")
async def nobody_is_passed_for_ever(dut: Any) -> None:
    """Saturated random traffic: at an output at most 5 * 2**OVERDUE_W younger messages pass an older one."""
    overdue = int(os.environ["SWITCH_OVERDUE"])
    bench = Bench(dut, patterns("none"))
    await bench.start()
    rng = random.Random(cocotb.RANDOM_SEED)
    for port in range(PORTS):
        mix = [rng.choice([1, 1, 1, 0, 2, GROUP + 6]) for _ in range(120)]
        bench.burst(port, mix, 64)
    await bench.drain()
    bench.finish(500)
    worst = 0
    for out in range(PORTS):
        order = [bench.position[number] for number, _ in bench.delivered[out]]
        for k, mine in enumerate(order):
            worst = max(worst, sum(1 for other in order[:k] if other > mine))
    print(f"most younger messages that passed an older one: {worst}")
    assert 0 < worst <= 5 * 2**overdue


@cocotb.test(timeout_time=100, timeout_unit="us")
async def an_overdue_message_holds_its_output(dut: Any) -> None:
    """Input 0 always starts the next message for output 2 while output 1 is busy, and is busy whenever output 1 falls free: without
    a limit its message for output 1 would wait until all others have passed."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    for out in (1, 2):
        bench.sinks[out].pause(NEVER)
    bench.burst(3, [1], 1024)
    await ClockCycles(dut.clk, 24)
    late = bench.count + 1
    bench.burst(0, [2, 1] + [2] * 40, 1024)
    await ClockCycles(dut.clk, 40)
    bench.burst(3, [1] * 41, 1024)
    await ClockCycles(dut.clk, 60)
    bench.sinks[1].pause(None)
    await ClockCycles(dut.clk, 8)  # the two outputs fall free half a message apart, for good
    bench.sinks[2].pause(None)
    await bench.drain()
    bench.finish(84)
    order = [number for number, _ in bench.delivered[1]]
    passed = sum(1 for number in order[: order.index(late)] if bench.position[number] > bench.position[late])
    print(f"{passed} younger messages passed")
    # one stamp or more for each message that passed before it was overdue, and one under way
    assert passed <= 2 ** int(os.environ["SWITCH_OVERDUE"]) + 1
    assert passed > 0, "the case is not what it says"


@cocotb.test(timeout_time=100, timeout_unit="us")
async def cells_run_out_between_messages(dut: Any) -> None:
    """All outputs blocked: inputs fill up to their last cell, never refusing a beat inside a message; then all drains."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    cells = int(os.environ["SWITCH_CELLS"])
    for sink in bench.sinks:
        sink.pause(NEVER)
    inside: list[str] = []

    async def watch(port: int) -> None:
        valid, ready = getattr(dut, f"s{port}_axis_tvalid"), getattr(dut, f"s{port}_axis_tready")
        last, middle = getattr(dut, f"s{port}_axis_tlast"), False
        while True:
            await RisingEdge(dut.clk)
            if int(valid.value):
                if middle and not int(ready.value):
                    inside.append(f"port {port}")
                if int(ready.value):
                    middle = not int(last.value)

    tasks = [cocotb.start_soon(watch(port)) for port in range(PORTS)]
    for port in range(PORTS):
        # each output takes two beats of a message into its register: that message still holds its cell (4 beats)
        bench.burst(port, [(port + 1) % PORTS] * (cells + 3), 256)
    await ClockCycles(dut.clk, 4 * (cells + 3) + 40)
    for port in range(PORTS):
        assert bench.counter(port, 0) == cells, f"port {port} took {bench.counter(port, 0)} messages into {cells} cells"
        assert bench.counter(port, 3) == cells, f"peak of port {port}"
        assert bench.counter(port, 4) > 0
    for sink in bench.sinks:
        sink.pause(None)
    await bench.drain()
    for task in tasks:
        task.cancel()
    assert not inside, f"tready fell inside a message: {inside[:3]}"
    bench.finish(PORTS * (cells + 3))


@cocotb.test(timeout_time=100, timeout_unit="us")
async def too_long_is_swallowed(dut: Any) -> None:
    """Messages of 17 and 33 beats are dropped and counted; the next ones pass."""
    bench = Bench(dut, patterns("none"), max_beats=None)
    await bench.start()
    for port in range(2):
        for size in (17 * 64, 64, 33 * 64, 1024, NOWHERE):
            bench.send(port, 3, size)
        bench.send(port, NOWHERE, 64)
    await bench.drain()
    bench.finish(6)
    assert bench.drops == [3, 3, 0, 0, 0]


@cocotb.test(timeout_time=100, timeout_unit="us")
async def reset_in_mid_message(dut: Any) -> None:
    """Reset while messages are half in and half out: nothing of them appears afterwards, traffic works."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    for port in range(PORTS):
        bench.burst(port, [0, 1, 2, 3], 512)
    await ClockCycles(dut.clk, 25)
    for source in bench.sources:
        source.abort()
    await clocks.reset(dut)
    bench.board.forget()
    before = [sink.beats for sink in bench.sinks]
    await ClockCycles(dut.clk, 60)
    assert [sink.beats for sink in bench.sinks] == before
    for port in range(PORTS):
        bench.send(port, GROUP + 15, 320)
    await bench.drain()
    bench.board.finish(20)
