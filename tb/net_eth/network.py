# SPDX-License-Identifier: Apache-2.0
"""A switch in Python between the ports of net_eth_three, which can lose, repeat, delay, reorder and spoil frames, by a seed."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from net_eth.frames import station
from net_eth.mac import Mac

from floreana.cluster.layout import MEM_PEER, MEM_PEERS, MEM_REGISTER, PEER, TYPE_CONTROL, TYPE_INT8, Header, pack
from floreana_tb import clocks, stalls, streams

NODES = 3
CLUSTER = 7  # of the ports, in net_eth_three.v
ALL_OTHERS = 20  # kernel number of a multicast to both other nodes


def kernel(node: int) -> int:
    return 10 + node


@dataclass(slots=True)
class Faults:
    """Probabilities per frame, and the cycles of delay. Of the delay a part at random: frames overtake each other."""

    loss: float = 0.0
    repeat: float = 0.0
    spoil: float = 0.0
    delay: int = 5
    spread: int = 0
    late: int = 5
    cut: set[tuple[int, int]] = field(default_factory=set)

    def cable(self, a: int, b: int, whole: bool) -> None:
        """Cut or mend the way between two nodes."""
        (self.cut.difference_update if whole else self.cut.update)({(a, b), (b, a)})


class Network:
    """One port: monitor of what it sends, driver of what it receives."""

    def __init__(self, dut: Any, faults: Faults, seed: int) -> None:
        self.dut = dut
        self.faults = faults
        self.rng = random.Random(f"network{seed}")
        self.cycle = 0
        self.order = 0
        self.queues: list[list[tuple[int, int, bytes, bool]]] = [[] for _ in range(NODES)]
        self.sent = [0] * NODES
        self.log: list[tuple[int, int, bytes]] = []  # cycle, sender, frame
        self.macs = [Mac(dut, f"rx{n}") for n in range(NODES)]
        self.watch: Callable[[int, bytes], None] | None = None
        self.monitors = [
            streams.PacketMonitor(
                dut, f"tx{n}", dut.clk, callback=lambda got, n=n: self.route(n, got.payload), reset=getattr(dut, f"rst{n}"), max_beats=17
            )
            for n in range(NODES)
        ]
        self.addresses = {station(n).mac.to_bytes(6, "big"): n for n in range(NODES)}

    def start(self) -> None:
        cocotb.start_soon(self._count())
        for node in range(NODES):
            cocotb.start_soon(self._drive(node))

    async def _count(self) -> None:
        edge = RisingEdge(self.dut.clk)
        while True:
            await edge
            self.cycle += 1

    def route(self, source: int, frame: bytes) -> None:
        self.sent[source] += 1
        if self.watch is not None:
            self.watch(source, frame)
        target = self.addresses.get(frame[:6])
        if target is not None:
            self.put(source, target, frame)

    def put(self, source: int, target: int, frame: bytes) -> None:
        rng, faults = self.rng, self.faults
        if (source, target) in faults.cut or rng.random() < faults.loss:
            return
        for _ in range(2 if rng.random() < faults.repeat else 1):
            wait = faults.delay + (rng.randrange(faults.spread) if faults.spread and rng.random() < 0.3 else 0)
            if rng.random() < 0.01 and faults.spread:
                wait += faults.late
            self.order += 1
            heapq.heappush(self.queues[target], (self.cycle + wait, self.order, frame, rng.random() < faults.spoil))

    async def _drive(self, node: int) -> None:
        edge = RisingEdge(self.dut.clk)
        queue, mac = self.queues[node], self.macs[node]
        while True:
            if queue and queue[0][0] <= self.cycle:
                _, _, frame, bad = heapq.heappop(queue)
                await mac.send(frame, bad)
            else:
                mac.end()
                await edge

    @property
    def quiet(self) -> bool:
        return not any(self.queues)


def header(source: int, target: int, number: int, kind: int = TYPE_INT8) -> Header:
    return Header(
        dst_cluster=CLUSTER, dst_kernel=kernel(target) if target < NODES else ALL_OTHERS, edge=number & 255, src_cluster=CLUSTER,
        src_kernel=source, slot=number & 15, generation=number >> 4 & 15, row=number & 0xFFFF, offset=number & 1023, type=kind,
        last=bool(number & 1),
    )  # fmt: skip


class Bench:
    """Three ports; every message sent is expected once, in order of its sender, at each of its receivers."""

    def __init__(self, dut: Any, faults: Faults | None = None, pattern: stalls.Pattern | None = None, tx_stalls: bool = False) -> None:
        self.dut = dut
        seed = cocotb.RANDOM_SEED
        self.faults = faults or Faults()
        self.net = Network(dut, self.faults, seed)
        self.rng = random.Random(f"messages{seed}")
        self.boards = [streams.Scoreboard(f"to node {n}", key=lambda item: item[0].src_kernel) for n in range(NODES)]
        self.sources = [streams.MessageSource(dut, f"s{n}_axis", dut.clk, None) for n in range(NODES)]
        self.into = [streams.Monitor(dut, f"s{n}_axis", dut.clk, reset=getattr(dut, f"rst{n}")) for n in range(NODES)]
        self.sinks = [
            streams.MessageSink(
                dut, f"m{n}_axis", dut.clk, stalls.random(seed + n) if pattern is not None else None, callback=self.boards[n].got,
                reset=getattr(dut, f"rst{n}"),
            )
            for n in range(NODES)
        ]  # fmt: skip
        self.configs = [streams.ConfigBus(dut, dut.clk, prefix=f"cfg{n}") for n in range(NODES)]
        self.settings: dict[int, int] = {}
        self.quota = 8
        self.number = 0
        self.tx_stalls = tx_stalls
        dut.direct.value = 0
        for n in range(NODES):
            getattr(dut, f"tx{n}_tready").value = 1

    async def start(self, nodes: tuple[int, ...] = (0, 1, 2), quota: int = 8, **settings: int) -> None:
        """Reset and write the tables: the peers of a node are the other ``nodes``; ``settings`` r0 to r4 are registers."""
        self.quota = quota
        self.settings = {int(name[1:]): value for name, value in settings.items()}
        clocks.start_clock(self.dut)
        for n in range(NODES):
            getattr(self.dut, f"rst{n}").value = 1
        await ClockCycles(self.dut.clk, 4)
        for n in range(NODES):
            getattr(self.dut, f"rst{n}").value = 0
        self.net.start()
        if self.tx_stalls:
            for n in range(NODES):
                cocotb.start_soon(self._slow_mac(n))
        await RisingEdge(self.dut.clk)
        # all at once: a hello to a node that does not know its sender yet is dropped, and comes again after RTO
        tables = [cocotb.start_soon(self.configure(n, nodes)) for n in nodes]
        for table in tables:
            await table

    async def _slow_mac(self, node: int) -> None:
        ready = stalls.random(cocotb.RANDOM_SEED * 7 + node).ready
        while True:
            await RisingEdge(self.dut.clk)
            getattr(self.dut, f"tx{node}_tready").value = int(next(ready))

    async def configure(self, node: int, nodes: tuple[int, ...] = (0, 1, 2)) -> None:
        config = self.configs[node]
        for index, value in self.settings.items():
            config.write(MEM_REGISTER, index, value)
        for other in nodes:
            config.write(MEM_PEERS, kernel(other), 1 << other)
        config.write(MEM_PEERS, ALL_OTHERS, sum(1 << other for other in nodes if other != node))
        last = None
        for other in nodes:
            if other != node:
                peer = station(other)
                last = config.write(MEM_PEER, other, pack(PEER, {"mac": peer.mac, "ip": peer.ip, "valid": 1, "quota": self.quota}))
        if last is not None:
            await last

    async def restart(self, node: int) -> None:
        """Reset one node: what waits in it is lost."""
        rst = getattr(self.dut, f"rst{node}")
        self.sources[node].abort()
        rst.value = 1
        await ClockCycles(self.dut.clk, 4)
        rst.value = 0
        await RisingEdge(self.dut.clk)
        await self.configure(node)

    def send(self, source: int, target: int, payload: bytes, kind: int = TYPE_INT8, expect: bool = True) -> None:
        """Queue a message; ``target`` NODES is a multicast to both others."""
        self.number += 1
        item = (header(source, target, self.number, kind), payload)
        if expect:
            for node in [target] if target < NODES else [n for n in range(NODES) if n != source]:
                self.boards[node].expect(item)
        self.sources[source].send(*item)

    def send_some(self, count: int, sources: tuple[int, ...] = (0, 1, 2), multicast: bool = True) -> None:
        """Random messages between all of ``sources``."""
        rng = self.rng
        for _ in range(count):
            source = rng.choice(sources)
            targets = [n for n in sources if n != source] + ([NODES] if multicast else [])
            if rng.random() < 0.3:
                self.send(source, rng.choice(targets), rng.randbytes(rng.choice([0, 0, 1, 64, 65, 1000])), TYPE_CONTROL)
            else:
                self.send(source, rng.choice(targets), rng.randbytes(64 * rng.choice([1, 2, 3, 16])))

    def mask(self, name: str, node: int) -> int:
        return int(getattr(self.dut, f"{name}{node}").value)

    def words(self, node: int) -> list[int]:
        value = getattr(self.dut, f"sts_count{node}").value.to_unsigned()
        return [value >> 32 * k & 0xFFFFFFFF for k in range(64)]

    async def all_up(self, nodes: tuple[int, ...] = (0, 1, 2), cycles: int = 3000) -> int:
        """Wait until every node sees every other; returns the cycles."""
        for waited in range(cycles):
            await RisingEdge(self.dut.clk)
            if all(self.mask("sts_up", n) == sum(1 << o for o in nodes if o != n) for n in nodes):
                return waited + 1
        raise AssertionError(f"not up after {cycles} cycles: {[self.mask('sts_up', n) for n in range(NODES)]}")

    async def delivered(self, cycles: int = 6000) -> None:
        """Wait until every expected message was compared."""
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)
            if all(source.idle for source in self.sources) and not any(
                queue for board in self.boards for queue in board._expected.values()
            ):
                return
        raise AssertionError(f"missing after {cycles} cycles: {[{k: len(v) for k, v in b._expected.items()} for b in self.boards]}")

    async def settle(self, cycles: int = 4000) -> None:
        """Wait until no port is busy and no frame is on the way."""
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)
            if self.net.quiet and not any(int(getattr(self.dut, f"sts_busy{n}").value) for n in range(NODES)):
                await ClockCycles(self.dut.clk, 4)
                return
        raise AssertionError("sts_busy does not fall")

    def finish(self, at_least: int = 1) -> None:
        for board in self.boards:
            if board.checked or any(board._expected.values()):
                board.finish(0)
        checked = sum(board.checked for board in self.boards)
        assert checked >= at_least
        for n in range(NODES):
            words = self.words(n)
            assert words[16] == words[17] + sum(words[19:23]) + sum(words[24:47]), f"frames are not the sum of their fates at node {n}"
            assert words[47] == 0 and words[58:] == [0] * 6
        print(f"messages: checked {checked} equal {checked}", flush=True)
