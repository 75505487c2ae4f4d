# SPDX-License-Identifier: Apache-2.0
"""Two chained clusters of one node each on the RTL, and a host with the real admission: many more sequences than slots.

Frames leave and arrive under random stalls and are for a random time on the wire, in order on each link. Inside the nodes kernels and
gateways seem to have no room in half of the cycles, so that messages wait in the switches. Rows come in random order, and the host is
slow to give slots back, so that whole sequences wait in the gateway. Every row on the wire equals the integer model.
CHAIN_SEQUENCES: how many sequences (60). CHAIN_FORGET = 1: the gateway keeps no credits, which must be seen.
"""

from __future__ import annotations

import heapq
import os
import random
from collections import defaultdict
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge
from corners.two_nodes import Network, check_shape, not_clean, small_ports

from floreana.cluster import layout
from floreana.cluster.description import BuildSection, ClusterSection, Project, SyntheticModel
from floreana.cluster.plan import Plan, make_plan
from floreana.host import words
from floreana.host.admission import Admission, AdmissionConfig, LastGateway
from floreana.host.endpoint import LinkEvent
from floreana.host.frame import DATA, parse
from floreana.host.manager import ManagerAddress, ManagerClient, ManagerConfig
from floreana.ibert.model import EncoderTrace, model
from floreana.ibert.params import ModelParams
from floreana.ibert.quantise import embed_rows, quantise
from floreana.ibert.synthetic import random_ids, synthetic_bert

HIDDEN, HEADS, FFN, VOCAB = 128, 2, 128, 100
ROWS = 8
SEQUENCES = int(os.environ.get("CHAIN_SEQUENCES", "60"))
FORGET = int(os.environ.get("CHAIN_FORGET", "0"))
GATEWAY, HOST = 254, 255
LOOK = 40  # cycles between looks of the host at what may be sent


def make(seed: int) -> tuple[Plan, ModelParams, Any]:
    project = Project(
        name="chain",
        model=SyntheticModel(hidden=HIDDEN, heads=HEADS, ffn=FFN, encoders=2),
        cluster=ClusterSection.model_validate({"nodes": 2, "clusters": 2}),
        build=BuildSection.model_validate({"k_lanes": 64, "out_n": 16, "post_lanes": 4, "norm_lanes": 4, "max_tokens": ROWS}),
    )
    weights = synthetic_bert(seed, HIDDEN, HEADS, FFN, 2, VOCAB)
    params = quantise(weights, [random_ids(1000 + i, ROWS, VOCAB) for i in range(4)], "chain")
    return small_ports(make_plan(project)), params, weights


class Chain(Network):
    """The wire, and a host that admits sequences to the first cluster and takes those of the last."""

    def __init__(self, dut: Any, plan: Plan, seed: int) -> None:
        super().__init__(dut, plan, seed)
        self.rng = random.Random(seed)
        dut.forget_credits.value = FORGET
        dut.stall_kernels.value = 1
        self.wire: list[tuple[int, int, int, int, bytes]] = []  # heap: arrival, number, source, target, frame
        self.arrival: dict[tuple[int, int], int] = defaultdict(int)  # of the last frame of a link
        self.delayed = 0
        nodes = {node.index: ManagerAddress(node.index, 0, node.cluster) for node in plan.nodes}
        self.manager = ManagerClient(ManagerConfig(nodes, timeout=8 * plan.transport.rto, outstanding=4), self.give)
        last = plan.clusters[-1]
        hops = {kernel: mask.bit_length() - 1 for kernel, mask in plan.host.peers.items()}
        self.admission = Admission(
            AdmissionConfig(
                host=plan.host.node, cluster=plan.cluster, entry=plan.entry, owners=plan.owners, hops=hops,
                row_bytes=plan.hidden, max_tokens=ROWS, slots=plan.slots, gateway=LastGateway(last.number, last.gateway),
            ),
            self.give, self.manager,
        )  # fmt: skip
        self.held_until = 0
        self.rows: list[tuple[int, layout.Header, bytes]] = []
        self.inputs: dict[int, tuple[list[bytes], list[EncoderTrace]]] = {}  # by sequence
        self.number: dict[tuple[int, int], int] = {}  # slot, generation -> sequence, of the youngest use
        self.values = 0
        # by slot: the generation in the first cluster; those from the gateway on, the oldest first
        self.entered: dict[int, set[int]] = defaultdict(set)
        self.stored: dict[int, list[int]] = defaultdict(list)
        self.stale_allowed = False

    def give(self, now: int, peer: int, header: layout.Header, payload: bytes) -> bool:
        """To the endpoint; a RELEASE is sometimes held back for long."""
        if header.dst_kernel == GATEWAY and header.type == layout.TYPE_CONTROL:
            if now < self.held_until:
                return False
            if self.rng.random() < 0.3:
                self.held_until = now + self.rng.randrange(4000)
        if header.type == layout.TYPE_INT8:
            self.rows.append((peer, header, payload))
            return True
        assert self.host is not None
        self.wake = now
        return self.host.send(now, peer, header, payload)

    def send_rows(self) -> None:
        """What the admission let in, in random order."""
        self.rng.shuffle(self.rows)
        self.rows = [item for item in self.rows if not self.host.send(self.now, *item)]

    def carry(self, source: int, raw: bytes) -> None:
        frame = parse(raw)
        header = frame.header
        if frame.type == DATA and header is not None:
            self._saw(source, frame.dst_mac, header, frame.payload)
        super().carry(source, raw)

    def deliver(self, source: int, target: int, raw: bytes) -> None:
        """The frame is on the wire for a random time; frames of a link keep their order."""
        if self.host is None:
            super().deliver(source, target, raw)
            return
        link = source, target
        wait = self.rng.randrange(400 if self.rng.random() < 0.1 else 40)
        self.arrival[link] = max(self.arrival[link], self.now + wait)
        self.delayed += 1
        heapq.heappush(self.wire, (self.arrival[link], self.delayed, source, target, raw))

    def _saw(self, source: int, target: int, header: layout.Header, payload: bytes) -> None:
        """A message left a port for the first time (the wire loses nothing)."""
        slot, generation, host = header.slot, header.generation, self.plan.host.node
        if header.type == layout.TYPE_CONTROL:
            if header.src_kernel == GATEWAY:
                self.entered[slot].discard(generation)
            elif header.dst_kernel == GATEWAY and generation in self.stored[slot]:
                self.stored[slot].remove(generation)
            return
        if source == host:
            self.entered[slot].add(generation)
            assert self.stale_allowed or len(self.entered[slot]) == 1, f"slot {slot}: generations {self.entered[slot]} in the first cluster"
            return
        if (slot, generation) not in self.number:
            assert self.stale_allowed, f"slot {slot} generation {generation} is nobody's"
            return
        edge = self.plan.edges[header.edge]
        traces = self.inputs[self.number[slot, generation]][1]
        assert edge.tensor == "ln2" and (header.dst_cluster, header.dst_kernel) == ((1, GATEWAY) if source == 0 else (1, HOST))
        want = traces[edge.encoder].ln2[header.row].astype(np.int8).tobytes()
        assert payload == want, f"slot {slot} generation {generation} row {header.row} differs"
        assert header.last == (header.row == len(want_rows := traces[0].entry) - 1) and header.row < len(want_rows)
        self.values += len(payload)
        held = self.stored[slot]
        if source == 0:
            if generation not in held:
                held.append(generation)
            # two generations of a slot: the older in the second cluster, the younger in the store. Never a third
            assert self.stale_allowed or len(held) <= 2, f"slot {slot}: generations {held} from the gateway on"
        else:
            # the younger one stays out of the second cluster until the host has given the older one's slot back
            assert self.stale_allowed or generation == held[0], f"slot {slot}: a row of generation {generation}, but {held[0]} has the slot"

    async def _serve(self) -> None:
        while True:
            await RisingEdge(self.dut.clk)
            self.now += 1
            while self.wire and self.wire[0][0] <= self.now:
                _, _, source, target, raw = heapq.heappop(self.wire)
                super().deliver(source, target, raw)
            look = self.now % LOOK == 0
            if not look and (self.wake is None or self.now < self.wake):
                continue
            host, admission = self.host, self.admission
            while (delivery := host.take(self.now)) is not None:
                admission.receive(self.now, delivery.header, delivery.payload)
            while host.events:
                admission.link_event(host.events.popleft())
            admission.poll(self.now)
            self.send_rows()
            self.number |= {key: sequence.number for key, sequence in admission._flying.items()}
            for raw in host.poll(self.now):
                self.carry(self.plan.host.node, raw)
            self.wake = host.next_time()

    def submit(self, params: ModelParams, weights: Any) -> None:
        count = self.rng.randint(1, ROWS)
        rows = embed_rows(params, weights, random_ids(self.rng.randrange(1 << 30), count, VOCAB))
        data = [row.astype(np.int8).tobytes() for row in rows]
        self.inputs[self.admission.submit(data)] = data, model(params, rows, 1)

    async def work_off(self) -> None:
        """Until every sequence is back and nothing moves any more."""
        quiet = 0
        while quiet < 20:
            await ClockCycles(self.dut.clk, LOOK)
            busy = any(int(getattr(self.dut, f"n{k}_sts_{name}").value) for k in (0, 1) for name in ("busy", "active"))
            quiet = 0 if busy or self.wire or self.admission._outbox or not self.admission.idle else quiet + 1

    def check_results(self) -> None:
        finished = list(self.admission.finished)
        assert sorted(item.number for item in finished) == sorted(self.inputs)
        for item in finished:
            want = [row.astype(np.int8).tobytes() for row in self.inputs[item.number][1][-1].ln2]
            assert list(item.rows) == want, f"sequence {item.number}"

    async def words_of(self, node: int) -> dict[str, int]:
        operation = self.manager.read(node, 0, words.word_count())
        while not operation.done:
            await RisingEdge(self.dut.clk)
        return words.name_words(operation.result())

    async def check_clean(self) -> list[dict[str, int]]:
        """Nothing was lost, nothing sent again, by nobody; the words of both nodes."""
        for sink in self.sink:
            sink.demand_stalls()
        every = [await self.words_of(node) for node in (0, 1)]
        for node, got in enumerate(every):
            assert not not_clean(got), f"node {node}: {not_clean(got)}"
            assert got["node.lost"] == 0, f"node {node} lost {got['node.lost']}"
        counters = self.host.counters
        assert (sum(counters.drops), counters.sent_again) == (0, 0)
        return every


def stale(got: dict[str, int]) -> int:
    """Messages of flushed sequences that a node dropped."""
    return sum(got[f"{unit}.stale"] for unit in ("linear", "attention", "add_norm", "gateway"))


async def begin(dut: Any) -> tuple[Chain, ModelParams, Any]:
    seed = cocotb.RANDOM_SEED % (1 << 31)
    plan, params, weights = make(seed)
    check_shape(dut, plan)
    chain = Chain(dut, plan, seed)
    await chain.load(params)
    return chain, params, weights


@cocotb.test(timeout_time=60, timeout_unit="ms")
async def more_sequences_than_slots(dut: Any) -> None:
    chain, params, weights = await begin(dut)
    for _ in range(SEQUENCES):
        chain.submit(params, weights)
    await chain.work_off()
    chain.check_results()
    rows = sum(len(data) for data, _ in chain.inputs.values())
    assert chain.values == 2 * rows * HIDDEN, "a row is missing on the wire"
    both = dut.both_wait.value.to_unsigned()
    assert both > 0, "the gateway never held rows of both slots while both were busy in the second cluster"
    stalled = dut.kernels_stalled.value.to_unsigned()
    assert stalled > chain.now, "the kernels were not stalled"
    every = await chain.check_clean()
    assert [stale(got) for got in every] == [0, 0]
    got = every[1]
    told = {
        name: got[f"gateway.{name}"] for name in ("sequences", "releases_in", "releases_stale", "releases_out", "messages_out", "waits")
    }
    assert told.pop("waits") > 0
    assert told == {
        "sequences": SEQUENCES, "releases_in": SEQUENCES, "releases_stale": 0, "releases_out": SEQUENCES, "messages_out": rows,
    }  # fmt: skip
    print(
        f"chained clusters: {SEQUENCES} sequences, checked {chain.values} equal {chain.values} in {chain.now} cycles, "
        f"both slots waited in {both} of them, {chain.delayed} frames on the wire"
    )


@cocotb.test(timeout_time=60, timeout_unit="ms")
async def flush_in_flight(dut: Any) -> None:
    """Three times, while rows are everywhere, the host gives up what is under way: both clusters are flushed, all is sent again."""
    chain, params, weights = await begin(dut)
    chain.stale_allowed = True
    for _ in range(12):
        chain.submit(params, weights)
    for fault in range(3):
        while chain.admission.recovering or chain.admission.in_flight < 2:
            await ClockCycles(dut.clk, LOOK)
        await ClockCycles(dut.clk, chain.rng.randrange(200, 4000))
        chain.entered.clear()
        chain.stored.clear()
        chain.number.clear()
        chain.rows.clear()
        chain.admission.link_event(LinkEvent(chain.now, "restarted", fault % 2))
    await chain.work_off()
    chain.check_results()
    counters = chain.admission.counters
    assert (counters.faults, counters.recoveries) == (3, 4) and counters.replayed >= 3
    dropped = sum(stale(got) for got in await chain.check_clean())
    assert dropped > 0, "no row was under way in a node when the slots were flushed"
    values = sum(len(data) for data, _ in chain.inputs.values()) * HIDDEN
    print(
        f"flush in flight: 12 sequences, checked {values} equal {values}, {counters.replayed} sequences sent again, "
        f"stale: {dropped} in the nodes, {counters.stale} at the host"
    )
