# SPDX-License-Identifier: Apache-2.0
"""The wire between the two nodes of tb_two_nodes.v and the host, and the loading of both; the benches of that top share it."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge

from floreana.cluster import layout
from floreana.cluster.images import node_images
from floreana.cluster.plan import MANAGER_BASE, Plan
from floreana.host import words
from floreana.host.endpoint import Delivery, Endpoint, EndpointConfig, PeerConfig, Timers
from floreana.host.frame import DATA, HELLO, NACK, Frame, Station, parse
from floreana.ibert.params import ModelParams
from floreana_tb import clocks, stalls, streams

NODES = 2
CELLS, QUOTA = {"TX_CELLS": 16, "RX_CELLS": 32}, 16  # of a port, fewer than a plan has


def small_ports(plan: Plan) -> Plan:
    """The plan with smaller Ethernet ports, so that they fill."""
    nodes = [
        dataclasses.replace(node, peer=tuple({k: dataclasses.replace(peer, quota=QUOTA) for k, peer in near.items()} for near in node.peer))
        for node in plan.nodes
    ]
    return dataclasses.replace(plan, nodes=tuple(nodes), shape=plan.shape | CELLS)


def check_shape(dut: Any, plan: Plan) -> None:
    shape = {name: getattr(dut, name).value.to_unsigned() for name in plan.shape if name != "ETH_N"} | {"ETH_N": 1}
    assert shape == plan.shape, "the top has another shape"


def not_clean(got: dict[str, int]) -> dict[str, int]:
    """Words of a node's Ethernet port that must be 0 on a wire that loses nothing, and are not."""
    bad = {"again", "nacks", "go_backs", "discarded", "failed", "restarted", "expiries"}
    return {
        name: value
        for name, value in got.items()
        if value and name.startswith("eth0.") and (name.split(".")[-1] in bad or "dropped" in name)
    }


class Network:
    """The wire between two nodes and the host: frames in the order they left, under the stalls of each port. It loses nothing."""

    def __init__(self, dut: Any, plan: Plan, seed: int) -> None:
        self.dut, self.plan = dut, plan
        self.seen: list[Frame] = []  # data frames between kernels that a node sent
        self.sequence: Counter[tuple[int, int]] = Counter()
        self.station = {node.index: Station(node.index, node.mac, node.ip) for node in plan.nodes}
        self.station[plan.host.node] = Station(plan.host.node, plan.host.mac, plan.host.ip)
        self.target = {station.mac: node for node, station in self.station.items()}
        self.delivered: list[Delivery] = []  # messages from kernels that reached the host
        self.replies: list[words.Reply] = []
        self.host: Endpoint | None = None  # begins when the nodes are loaded
        dut.id_up_node.value, dut.id_up_mac.value, dut.id_up_ip.value = plan.host.node, plan.host.mac, plan.host.ip
        self.source, self.sink, self.config, self.pattern = [], [], [], []
        for k in range(NODES):
            pattern = stalls.random(100 * seed + k)
            self.pattern.append(pattern)
            self.source.append(streams.StreamSource(dut, f"n{k}_mac_rx", dut.clk, itertools.repeat(True)))
            self.sink.append(streams.PacketSink(dut, f"n{k}_mac_tx", dut.clk, pattern, callback=self._carry(k), max_beats=17))
            self.config.append(streams.ConfigBus(dut, dut.clk, prefix=f"n{k}_cfg"))
            for name in ("node", "mac", "ip"):
                getattr(dut, f"n{k}_id_{name}").value = getattr(self.station[k], name)

    def _carry(self, source: int) -> Any:
        return lambda packet: self.carry(source, packet.payload)

    def carry(self, source: int, raw: bytes) -> None:
        """A frame left a station. Nothing is sent twice: data frames of a link are numbered in the order in which they leave."""
        frame = parse(raw)
        assert frame.source == source
        if frame.type == DATA:
            key = source, frame.dst_mac
            assert frame.sequence == self.sequence[key], f"node {source}: sequence {frame.sequence}, not {self.sequence[key]}"
            self.sequence[key] += 1
            if source != self.plan.host.node and frame.header.type != layout.TYPE_CONTROL:
                self.seen.append(frame)
        else:
            assert frame.type != NACK, f"node {source} misses a frame"
        self.deliver(source, self.target[frame.dst_mac], raw)

    def deliver(self, source: int, target: int, raw: bytes) -> None:
        """The frame arrives: at once, here."""
        if target == self.plan.host.node:
            if self.host is None:
                assert parse(raw).type == HELLO
                return
            self.host.receive(self.now, raw)
            self.wake = self.now
        else:
            self.source[target].send_packet(raw)

    async def _serve(self) -> None:
        """The host: one look a cycle where there is something to do."""
        while True:
            await RisingEdge(self.dut.clk)
            self.now += 1
            if self.wake is None or self.now < self.wake:
                continue
            while (delivery := self.host.take(self.now)) is not None:
                if delivery.header.type == layout.TYPE_CONTROL:
                    self.replies.append(words.Reply.parse(delivery.payload))
                else:
                    self.delivered.append(delivery)
            for raw in self.host.poll(self.now):
                self.carry(self.plan.host.node, raw)
            self.wake = self.host.next_time()

    async def load(self, params: ModelParams) -> None:
        """Load both nodes; what they say before they are loaded the wire holds back. Then wait until both links of the host are up."""
        clocks.start_clock(self.dut)
        await clocks.reset(self.dut)
        await ClockCycles(self.dut.clk, 8 << (self.plan.shape["ROW_W"] + self.plan.shape["SLOT_W"] + 1))
        last = []
        for k, (_, text, _) in enumerate(node_images(self.plan, params)):
            writes = [self.config[k].write_address(int(line[:8], 16), int(line[8:], 16)) for line in text.decode("ascii").splitlines()]
            last.append(writes[-1])
        for sent in last:
            await sent
        await ClockCycles(self.dut.clk, 4)
        transport = self.plan.transport
        timers = Timers(**{name: getattr(transport, name) for name in ("ack_delay", "rto", "retries", "keep", "nack_hold")})
        peers = {k: PeerConfig(self.station[k], peer.quota) for k, peer in self.plan.host.peer.items()}
        self.now, self.wake = 0, 0
        self.host = Endpoint(EndpointConfig(self.station[self.plan.host.node], peers, timers))
        for source, pattern in zip(self.source, self.pattern, strict=True):
            source.pause(pattern)
        cocotb.start_soon(self._serve())
        for _ in range(4 * transport.rto):
            await RisingEdge(self.dut.clk)
            if all(self.host.up(k) for k in range(NODES)):
                return
        raise AssertionError("a link of the host does not come up")

    def _send(self, node: int, header: layout.Header, payload: bytes) -> None:
        assert self.host.send(self.now, node, header, payload), "the host's queue is full"
        self.wake = self.now

    def send(self, slot: int, generation: int, rows: Any, order: list[int]) -> None:
        for row in order:
            for kernel, edge in self.plan.entry.copies(row, self.plan.owners[row]):
                header = layout.Header(
                    dst_cluster=self.plan.cluster, dst_kernel=kernel, edge=edge, src_cluster=self.plan.cluster, src_kernel=255, slot=slot,
                    generation=generation, row=row, offset=0, type=layout.TYPE_INT8, last=row == len(rows) - 1,
                )  # fmt: skip
                self._send(self.plan.host.peers[kernel].bit_length() - 1, header, rows[row].astype(np.int8).tobytes())

    def results(self, slot: int, generation: int) -> int:
        """Rows at the host."""
        return sum((item.header.slot, item.header.generation) == (slot, generation) for item in self.delivered)

    async def read(self, node: int) -> dict[str, int]:
        """Words of a node's manager, all of them, asked for in two requests."""
        values: list[int] = []
        while len(values) < words.word_count():
            count = min(words.READ_LIMIT, words.word_count() - len(values))
            header = layout.Header(
                dst_cluster=self.plan.cluster, dst_kernel=MANAGER_BASE + node, edge=0, src_cluster=self.plan.cluster, src_kernel=255,
                slot=0, generation=0, row=0, offset=0, type=layout.TYPE_CONTROL, last=False,
            )  # fmt: skip
            asked = len(self.replies)
            self._send(node, header, words.read_request(asked, len(values), count))
            while len(self.replies) == asked:
                await RisingEdge(self.dut.clk)
            assert (self.replies[asked].tag, self.replies[asked].count) == (asked, count)
            values += self.replies[asked].words
        return words.name_words(values)
