# SPDX-License-Identifier: Apache-2.0
"""Figures of the network, measured between kernel ports: `make bench-net`. Runs inside the simulator.

Each test adds its figures to the JSON file BENCH_NET_OUT and asserts the limits the project sets itself.
"""

from __future__ import annotations

import json
import os
import random
from collections import deque
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge, Timer

from floreana.cluster.layout import PEER, TYPE_CONTROL, TYPE_INT8, Header, cfg_addr, pack
from floreana.sim.ethernet import HALF_BYTES, OVERHEAD

SWITCH, ETH = 4, 5
QUOTA = 32
DELAY = 220
TX = {"data": 1, "again": 2, "lost": 9}
RX = {"frames": 16, "data": 17, "causes": 26}
LINKED = 1 << 12  # cycles in which links must be up


def header(source: int, target: int, row: int, empty: bool = False) -> Header:
    return Header(
        dst_cluster=0,
        dst_kernel=1 + target,
        edge=0,
        src_cluster=0,
        src_kernel=1 + source,
        slot=0,
        generation=0,
        row=row,
        offset=0,
        type=TYPE_CONTROL if empty else TYPE_INT8,
        last=False,
    )


class Net:
    """The stations: configuration, kernels' ports, and the frames between them."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.count = int(dut.STATIONS.value)
        self.cycle = 0
        self.queues: list[deque[tuple[Header, bytes]]] = [deque() for _ in range(self.count)]
        self.taken: list[list[int]] = [[] for _ in range(self.count)]  # cycle of each message's last beat in
        self.came: list[list[tuple[int, Header, bytes]]] = [[] for _ in range(self.count)]

    async def start(self) -> None:
        dut = self.dut
        dut.rst.value = 1
        for name in (
            "s_tvalid",
            "s_tlast",
            "s_tdata",
            "s_tkeep",
            "s_tuser",
            "mac_tx_tready",
            "mac_rx_tvalid",
            "mac_rx_tlast",
            "mac_rx_tdata",
            "mac_rx_tkeep",
        ):
            getattr(dut, name).value = 0
        dut.cfg_we.value = 0
        cocotb.start_soon(self._clock())
        for _ in range(4):
            await RisingEdge(dut.clk)
        dut.rst.value = 0
        for k in range(self.count):
            for other in range(self.count):
                await self.write(k, cfg_addr(SWITCH, 0, 1 + other), 2 if other == k else 16)
                if other != k:
                    await self.write(k, cfg_addr(ETH, 0, 1 + other), 1 << other)
            for other in range(self.count):
                if other != k:
                    entry = {"mac": 0x020000000000 + other, "ip": 0x0A000001 + other, "valid": 1, "quota": QUOTA}
                    await self.write(k, cfg_addr(ETH, 1, other), pack(PEER, entry))
        cocotb.start_soon(self._sources())
        cocotb.start_soon(self._sinks())

    async def _clock(self) -> None:
        clk = self.dut.clk
        while True:
            clk.value = 0
            await Timer(2500, "ps")
            clk.value = 1
            await Timer(2500, "ps")
            self.cycle += 1

    def field(self, name: str, width: int, k: int) -> int:
        """Station k's part of a signal; the others' may be unknown."""
        text = getattr(self.dut, name)._handle.get_signal_val_binstr()
        end = len(text) - width * k
        return int(text[end - width : end], 2)

    def flags(self, name: str) -> list[int]:
        """Stations whose bit of a signal is 1."""
        text = getattr(self.dut, name)._handle.get_signal_val_binstr()
        return [k for k, bit in enumerate(reversed(text)) if bit == "1"]

    async def write(self, station: int, address: int, data: int) -> None:
        dut = self.dut
        dut.cfg_we.value = 1 << station
        dut.cfg_addr.value = address
        dut.cfg_data.value = data
        await RisingEdge(dut.clk)
        dut.cfg_we.value = 0

    async def linked(self) -> None:
        everybody = [sum(1 << o for o in range(self.count) if o != k) for k in range(self.count)]
        for _ in range(LINKED):
            await RisingEdge(self.dut.clk)
            ups = int(self.dut.sts_up.value)
            if all(ups >> 64 * k & 0xFF == everybody[k] for k in range(self.count)):
                return
        raise AssertionError(f"links not up after {LINKED} cycles")

    def counter(self, station: int, word: int) -> int:
        return self.field("sts_count", 32, 64 * station + word)

    async def _sources(self) -> None:
        """Offers each station the beats of its queue; all stations' signals are written as one."""
        dut, edge = self.dut, RisingEdge(self.dut.clk)
        rest: list[deque[int]] = [deque() for _ in range(self.count)]  # beats of the message under way: {user, keep, data}
        while True:
            for k, queue in enumerate(self.queues):
                if not rest[k] and queue:
                    head, payload = queue.popleft()
                    chunks = [payload[i : i + 64] for i in range(0, len(payload), 64)] or [b""]
                    rest[k].extend(head.to_tuser() << 576 | (1 << len(c)) - 1 << 512 | int.from_bytes(c, "little") for c in chunks)
            valid = last = data = keep = user = 0
            for k, beats in enumerate(rest):
                if beats:
                    valid |= 1 << k
                    last |= int(len(beats) == 1) << k
                    data |= (beats[0] & (1 << 512) - 1) << 512 * k
                    keep |= (beats[0] >> 512 & (1 << 64) - 1) << 64 * k
                    user |= beats[0] >> 576 << 80 * k
            dut.s_tvalid.value = valid
            if valid:
                dut.s_tlast.value = last
                dut.s_tdata.value = data
                dut.s_tkeep.value = keep
                dut.s_tuser.value = user
            await edge
            ready = int(dut.s_tready.value) if valid else 0
            for k, beats in enumerate(rest):
                if beats and ready >> k & 1:
                    beats.popleft()
                    if not beats:
                        self.taken[k].append(self.cycle)

    async def _sinks(self) -> None:
        dut = self.dut
        parts: list[list[bytes]] = [[] for _ in range(self.count)]
        while True:
            await RisingEdge(dut.clk)
            for k in self.flags("m_tvalid"):
                size = self.field("m_tkeep", 64, k).bit_length()
                parts[k].append(self.field("m_tdata", 512, k).to_bytes(64, "little")[:size] if size else b"")
                if self.field("m_tlast", 1, k):
                    self.came[k].append((self.cycle, Header.from_tuser(self.field("m_tuser", 80, k)), b"".join(parts[k])))
                    parts[k] = []

    async def until(self, station: int, count: int, limit: int) -> None:
        for _ in range(limit):
            if len(self.came[station]) >= count:
                return
            await RisingEdge(self.dut.clk)
        raise AssertionError(f"station {station}: {len(self.came[station])} of {count} messages after {limit} cycles")

    def clean(self) -> None:
        """Nothing was sent again, nothing was dropped."""
        for k in range(self.count):
            again, lost = self.counter(k, TX["again"]), self.counter(k, TX["lost"])
            causes = [self.counter(k, RX["causes"] + i) for i in range(21)]
            assert (again, lost, sum(causes)) == (0, 0, 0), f"station {k}: sent again {again}, lost {lost}, causes {causes}"


def keep(figures: dict[str, float | int]) -> None:
    """Add figures to the file that the report reads."""
    path = os.environ.get("BENCH_NET_OUT")
    if path:
        file = Path(path)
        known = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(known | figures, indent=1))
    print("figures:", ", ".join(f"{name} {value}" for name, value in figures.items()))


@cocotb.test(timeout_time=200, timeout_unit="us")
async def latency(dut: Any) -> None:
    """Kernel to kernel across two nodes, without the link's own delay: last beat in to last beat out."""
    net, rng = Net(dut), random.Random(1)
    await net.start()
    await net.linked()
    worst = {}
    for name, size, limit in (("empty", 0, 40), ("full", 1024, 75)):
        times = []
        for i in range(20):
            payload = rng.randbytes(size)
            before = len(net.came[1])
            net.queues[0].append((header(0, 1, i, empty=size == 0), payload))
            await net.until(1, before + 1, 500)
            cycle, head, data = net.came[1][-1]
            assert (head, data) == (header(0, 1, i, empty=size == 0), payload)
            times.append(cycle - net.taken[0][-1])
            for _ in range(rng.randrange(40, 200)):
                await RisingEdge(dut.clk)
        worst[name] = max(times)
        assert max(times) <= limit, f"{name}: {max(times)} cycles, at most {limit} wanted ({times})"
    net.clean()
    keep({"latency_empty": worst["empty"], "latency_full": worst["full"]})


@cocotb.test(timeout_time=400, timeout_unit="us")
async def throughput(dut: Any) -> None:
    """1,024-byte messages one way, acknowledgements the other: payload beats of all beats of the port, MAC always ready."""
    net, rng = Net(dut), random.Random(2)
    await net.start()
    await net.linked()
    count = 400
    sent = [(header(0, 1, i), rng.randbytes(1024)) for i in range(count)]
    net.queues[0].extend(sent)
    beats: list[int] = []

    async def watch() -> None:
        while True:
            await FallingEdge(dut.clk)
            if 0 in net.flags("mac_tx_tvalid"):
                beats.append(net.cycle)

    cocotb.start_soon(watch())
    await net.until(1, count, 20 * count)
    assert [(head, data) for _, head, data in net.came[1]] == sent
    steady = [c for c in beats if c >= beats[len(beats) // 10]]
    share = (16 / 17) * len(steady) / (steady[-1] - steady[0] + 1)
    assert share >= 0.93, f"payload is {share:.3f} of the port's beats, at least 0.93 wanted"
    acks = net.counter(1, 4)
    assert acks > 0
    net.clean()
    keep({"payload_share": round(share, 4), "acks_for_400": acks})


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def incast(dut: Any) -> None:
    """All stations send to station 0 at once through a switch of 100 Gb/s a port, 220 cycles: nothing lost, nothing sent again."""
    net, rng = Net(dut), random.Random(3)
    await net.start()
    cocotb.start_soon(ethernet(net))
    await net.linked()
    count = 60
    begin = net.cycle
    sent = {k: [(header(k, 0, i), rng.randbytes(1024)) for i in range(count)] for k in range(1, net.count)}
    for k, messages in sent.items():
        net.queues[k].extend(messages)
    await net.until(0, count * (net.count - 1), 40 * count * net.count)
    for k, messages in sent.items():
        assert [(head, data) for _, head, data in net.came[0] if head.src_kernel == 1 + k] == messages
    net.clean()
    cycles = net.came[0][-1][0] - begin
    line = count * (net.count - 1) * 2 * (1088 + OVERHEAD) / HALF_BYTES
    keep({"incast_stations": net.count - 1, "incast_line_share": round(line / (cycles - DELAY), 4)})


async def ethernet(net: Net) -> None:
    """The Ethernet switch between the stations: ports of 100 Gb/s, a queue per output."""
    dut = net.dut
    frames: list[list[tuple[int, int]]] = [[] for _ in range(net.count)]
    debt = [0] * net.count  # half bytes the sending port owes
    free = [0] * net.count  # half bytes: when the output is free again
    waiting: list[deque[tuple[int, list[tuple[int, int]]]]] = [deque() for _ in range(net.count)]
    playing: list[deque[tuple[int, int]]] = [deque() for _ in range(net.count)]
    while True:
        ready = [d < HALF_BYTES for d in debt]
        dut.mac_tx_tready.value = sum(1 << k for k, r in enumerate(ready) if r)
        await RisingEdge(dut.clk)
        sending = net.flags("mac_tx_tvalid")
        for k in range(net.count):
            cost = 0
            if k in sending and ready[k]:
                data = net.field("mac_tx_tdata", 512, k)
                mask = net.field("mac_tx_tkeep", 64, k)
                frames[k].append((data, mask))
                cost = 2 * mask.bit_length()
                if net.field("mac_tx_tlast", 1, k):
                    cost += 2 * OVERHEAD
                    whole, frames[k] = frames[k], []
                    target = whole[0][0] >> 40 & 0xFF  # the last byte of the destination MAC
                    size = 2 * (sum(m.bit_length() for _, m in whole) + OVERHEAD)
                    free[target] = max((net.cycle + DELAY) * HALF_BYTES, free[target] + size)
                    waiting[target].append((-(-free[target] // HALF_BYTES) - len(whole), whole))
            debt[k] = max(debt[k] + cost - HALF_BYTES, 0)
        valid_in = last_in = data_in = keep_in = 0
        for k in range(net.count):
            if not playing[k] and waiting[k] and waiting[k][0][0] <= net.cycle:
                playing[k].extend(waiting[k].popleft()[1])
            if playing[k]:
                data, mask = playing[k].popleft()
                valid_in |= 1 << k
                last_in |= int(not playing[k]) << k
                data_in |= data << 512 * k
                keep_in |= mask << 64 * k
        dut.mac_rx_tvalid.value = valid_in
        dut.mac_rx_tlast.value = last_in
        dut.mac_rx_tdata.value = data_in
        dut.mac_rx_tkeep.value = keep_in
