# SPDX-License-Identifier: Apache-2.0
"""Three chained encoders on two whole nodes; frames leave and arrive under random stalls, rows come in random order, the last first.

The images are those of a plan with smaller Ethernet ports. Encoders 0 and 2 share a bank of K and V, encoder 1 has the other. Every
message between kernels on the wire equals the integer model. The wire is clean: nothing is dropped, nothing sent twice. The second test
demands that both banks of both nodes hold rows at once; that needs sequences so long that serving the queries of one encoder takes longer
than a row's way round to the next.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections import Counter
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge, ValueChange

from floreana.cluster import layout
from floreana.cluster.description import BuildSection, ClusterSection, Project, SyntheticModel
from floreana.cluster.images import node_images
from floreana.cluster.plan import MANAGER_BASE, Plan, make_plan
from floreana.host import words
from floreana.host.endpoint import Delivery, Endpoint, EndpointConfig, PeerConfig, Timers
from floreana.host.frame import DATA, HELLO, NACK, Frame, Station, parse
from floreana.ibert.model import EncoderTrace, model
from floreana.ibert.params import ModelParams
from floreana.ibert.quantise import embed_rows, quantise
from floreana.ibert.synthetic import random_ids, synthetic_bert
from floreana_tb import clocks, stalls, streams

ENCODERS, NODES = 3, 2
HIDDEN, HEADS, FFN, VOCAB = 128, 2, 128, 100
CELLS, QUOTA = {"TX_CELLS": 16, "RX_CELLS": 32}, 16  # of a port, fewer than a plan has
WHOLE = ("entry", "ln1", "ln2")  # tensors of which a frame holds a row; the others on the wire are partial sums


def make(seed: int, rows: int, lanes: int) -> tuple[Plan, ModelParams, Any]:
    project = Project(
        name="chain",
        model=SyntheticModel(hidden=HIDDEN, heads=HEADS, ffn=FFN, encoders=ENCODERS),
        cluster=ClusterSection.model_validate({"nodes": NODES}),
        build=BuildSection.model_validate({"k_lanes": 64, "out_n": 16, "post_lanes": lanes, "norm_lanes": lanes, "max_tokens": rows}),
    )
    weights = synthetic_bert(seed, HIDDEN, HEADS, FFN, ENCODERS, VOCAB)
    params = quantise(weights, [random_ids(1000 + i, rows, VOCAB) for i in range(4)], "chain")
    plan = make_plan(project)
    nodes = [
        dataclasses.replace(node, peer=tuple({k: dataclasses.replace(peer, quota=QUOTA) for k, peer in near.items()} for near in node.peer))
        for node in plan.nodes
    ]
    return dataclasses.replace(plan, nodes=tuple(nodes), shape=plan.shape | CELLS), params, weights


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
        target = self.target[frame.dst_mac]
        if target == self.plan.host.node:
            if self.host is None:
                assert frame.type == HELLO
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
            owner = self.plan.owners[row]
            header = layout.Header(
                dst_cluster=self.plan.cluster, dst_kernel=self.plan.entry.kernel_base + owner, edge=self.plan.entry.edge,
                src_cluster=self.plan.cluster, src_kernel=255, slot=slot, generation=generation, row=row, offset=0,
                type=layout.TYPE_INT8, last=row == len(rows) - 1,
            )  # fmt: skip
            self._send(owner, header, rows[row].astype(np.int8).tobytes())

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


def check(plan: Plan, frame: Frame, traces: list[EncoderTrace]) -> int:
    """Compare a frame with the model; the number of its values."""
    edge, header = plan.edges[frame.header.edge], frame.header
    trace = traces[edge.encoder]
    if edge.tensor in WHOLE:
        raw = getattr(trace, edge.tensor)[header.row].astype(np.int8).tobytes()
    else:
        raw = getattr(trace, f"{edge.tensor}s")[frame.source, header.row].astype("<i4").tobytes()
    at = 4 * header.offset
    assert frame.payload and raw[at : at + len(frame.payload)] == frame.payload, (
        f"encoder {edge.encoder} {edge.tensor} row {header.row} differs"
    )
    assert header.last == (header.row == len(trace.entry) - 1)
    return len(frame.payload) // (1 if edge.tensor in WHOLE else 4)


class Run:
    """Sequences through the nodes, every frame compared."""

    def __init__(self, dut: Any, rows: int, lanes: int) -> None:
        self.dut = dut
        seed = cocotb.RANDOM_SEED % (1 << 31)
        self.rng = random.Random(seed)
        self.plan, self.params, self.weights = make(seed, rows, lanes)
        shape = {name: getattr(dut, name).value.to_unsigned() for name in self.plan.shape if name != "ETH_N"} | {"ETH_N": 1}
        assert shape == self.plan.shape, "the top has another shape"
        assert [self.plan.nodes[0].context("attention", e).fields["bank"] for e in range(ENCODERS)] == [0, 1, 0]
        self.network = Network(dut, self.plan, seed)
        self.sequences: dict[tuple[int, int], list[EncoderTrace]] = {}

    async def slot(self, slot: int, lengths: list[int]) -> None:
        """Sequences one after another in a slot; other slots run beside it."""
        for generation, n in enumerate(lengths):
            rows = embed_rows(self.params, self.weights, random_ids(self.rng.randrange(1 << 30), n, VOCAB))
            self.sequences[slot, generation] = model(self.params, rows, NODES)
            self.network.send(slot, generation, rows, [n - 1, *self.rng.sample(range(n - 1), n - 1)])
            while self.network.results(slot, generation) < n:
                await RisingEdge(self.dut.clk)

    async def finish(self) -> None:
        """Nothing more comes; every frame equals the model, none is missing, none was dropped or sent again."""
        network, plan = self.network, self.plan
        for sink in network.sink:
            await sink.wait_quiet(600)
            sink.demand_stalls()
        seen = network.seen
        values = sum(check(plan, frame, self.sequences[frame.header.slot, frame.header.generation]) for frame in seen)
        # to the other node: the row of each encoder and of its ffn, and both partial sums where it is the owner; to the host: the last row
        rows = sum(len(traces[0].entry) for traces in self.sequences.values())
        assert len(seen) == rows * (ENCODERS * 4 + 1)
        to = Counter(network.target[frame.dst_mac] for frame in seen)
        assert to[plan.host.node] == rows
        at_host = [(frame.source, frame.header, frame.payload) for frame in seen if frame.dst_mac == plan.host.mac]
        assert [tuple(item) for item in network.delivered] == at_host
        for k in range(NODES):
            for name in ("lost", "busy", "active"):
                assert int(getattr(self.dut, f"n{k}_sts_{name}").value) == 0, f"node {k}: {name}"
            before = dict(network.sequence)
            got = await network.read(k)
            # the counts are those of the second request, after one reply
            sent = sum(count for (source, _), count in before.items() if source == k)
            come = sum(count for (_, mac), count in before.items() if mac == network.station[k].mac)
            assert (got["eth0.tx.frames"], got["eth0.rx.accepted"]) == (sent + 1, come + 2)
            assert words.peer_mask(got, "eth0.link.up") == set(network.station) - {k}
            bad = {"again", "nacks", "go_backs", "discarded", "failed", "restarted", "expiries"}
            wrong = {
                name: value
                for name, value in got.items()
                if value and name.startswith("eth0.") and (name.split(".")[-1] in bad or "dropped" in name)
            }
            assert not wrong, f"node {k}: {wrong}"
        counters = network.host.counters
        assert (sum(counters.drops), counters.sent_again, counters.acknowledged) == (0, 0, counters.messages)
        print(f"three chained encoders: checked {values} equal {values} in {len(seen)} frames", flush=True)


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def three_chained_encoders(dut: Any) -> None:
    run = Run(dut, 8, 4)
    await run.network.load(run.params)
    tasks = [cocotb.start_soon(run.slot(slot, lengths)) for slot, lengths in enumerate(([8], [1, 3]))]
    for task in tasks:
        await task
    await run.finish()
    # rows of the next encoder were on the wire while others were still in the FFN of this one
    edges = [run.plan.edges[frame.header.edge] for frame in run.network.seen if frame.header.slot == 0]
    order = [(edge.encoder, edge.tensor) for edge in edges]
    for encoder in range(ENCODERS - 1):
        assert (encoder, "ffn2_part") in order[order.index((encoder + 1, "entry")) :], f"encoder {encoder} had ended"


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def both_banks_hold_rows(dut: Any) -> None:
    """K and V of the next encoder stand in one bank while queries of this one are still served from the other: on both nodes, each time."""
    run = Run(dut, 48, 16)
    together: list[set[tuple[int, int]]] = [set() for _ in range(NODES)]

    async def watch(node: int, banks: Any) -> None:
        """Encoders whose rows banks 0 and 1 of slot 0 hold at the same time."""
        while True:
            await ValueChange(banks)
            await ReadOnly()
            if banks.value.is_resolvable:
                now = int(banks.value)
                held = [now >> 7 * bank & 127 for bank in (0, 1)]
                if all(bank & 1 for bank in held):
                    together[node].add((held[0] >> 1, held[1] >> 1))

    await run.network.load(run.params)
    watching = [cocotb.start_soon(watch(k, getattr(dut, f"n{k}_banks"))) for k in range(NODES)]
    await run.slot(0, [48])
    await run.finish()
    for task in watching:
        task.cancel()
    encoder = [[node.context("attention", e).index for e in range(ENCODERS)] for node in run.plan.nodes]
    assert together == [{(a, b), (c, b)} for a, b, c in encoder], f"encoders seen together in banks 0 and 1: {together}"
