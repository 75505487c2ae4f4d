# SPDX-License-Identifier: Apache-2.0
"""Two chained clusters of one node each on the RTL, and a host with the real admission: many more sequences than slots.

Frames leave and arrive under random stalls, rows come in random order, and the host is slow to give slots back, so that whole
sequences wait in the gateway. Every row on the wire equals the integer model. CHAIN_SEQUENCES: how many sequences (60).
"""

from __future__ import annotations

import dataclasses
import os
import random
from collections import defaultdict
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge
from corners.test_corners_chain import CELLS, FFN, HEADS, HIDDEN, QUOTA, VOCAB, Network

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

ROWS = 8
SEQUENCES = int(os.environ.get("CHAIN_SEQUENCES", "60"))
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
    plan = make_plan(project)
    nodes = [
        dataclasses.replace(node, peer=tuple({k: dataclasses.replace(peer, quota=QUOTA) for k, peer in near.items()} for near in node.peer))
        for node in plan.nodes
    ]
    return dataclasses.replace(plan, nodes=tuple(nodes), shape=plan.shape | CELLS), params, weights


class Chain(Network):
    """The wire, and a host that admits sequences to the first cluster and takes those of the last."""

    def __init__(self, dut: Any, plan: Plan, seed: int) -> None:
        super().__init__(dut, plan, seed)
        self.rng = random.Random(seed)
        nodes = {node.index: ManagerAddress(node.index, 0, node.cluster) for node in plan.nodes}
        self.manager = ManagerClient(ManagerConfig(nodes, timeout=8 * plan.transport.rto, outstanding=4), self.give)
        last = plan.clusters[-1]
        hops = {kernel: mask.bit_length() - 1 for kernel, mask in plan.host.peers.items()}
        self.admission = Admission(
            AdmissionConfig(
                host=plan.host.node, cluster=plan.cluster, entry_kernel=plan.entry.kernel_base, entry_edge=plan.entry.edge,
                owners=plan.owners, hops=hops, row_bytes=plan.hidden, max_tokens=ROWS, slots=plan.slots,
                gateway=LastGateway(last.number, last.gateway),
            ),
            self.give, self.manager,
        )  # fmt: skip
        self.held_until = 0
        self.rows: list[tuple[int, layout.Header, bytes]] = []
        self.inputs: dict[int, tuple[list[bytes], list[EncoderTrace]]] = {}  # by sequence
        self.number: dict[tuple[int, int], int] = {}  # slot, generation -> sequence, of the youngest use
        self.values = 0
        # by slot: generations in the first cluster, at the gateway, in the second cluster
        self.entered: dict[int, set[int]] = defaultdict(set)
        self.stored: dict[int, set[int]] = defaultdict(set)
        self.both_wait = 0
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

    def _saw(self, source: int, target: int, header: layout.Header, payload: bytes) -> None:
        """A message left a port for the first time (the wire loses nothing)."""
        slot, generation, host = header.slot, header.generation, self.plan.host.node
        if header.type == layout.TYPE_CONTROL:
            if header.src_kernel == GATEWAY:
                self.entered[slot].discard(generation)
            elif header.dst_kernel == GATEWAY:
                self.stored[slot].discard(generation)
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
        if source == 0:
            self.stored[slot].add(generation)
            # two generations of a slot: the older in the second cluster, the younger in the store. Never a third
            assert self.stale_allowed or len(self.stored[slot]) <= 2, f"slot {slot}: generations {self.stored[slot]} from the gateway on"
            self.both_wait += all(len(self.stored[s]) == 2 for s in range(self.plan.slots))

    async def _serve(self) -> None:
        while True:
            await RisingEdge(self.dut.clk)
            self.now += 1
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
            quiet = 0 if busy or self.admission._outbox or not self.admission.idle else quiet + 1

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


async def begin(dut: Any) -> tuple[Chain, ModelParams, Any]:
    seed = cocotb.RANDOM_SEED % (1 << 31)
    plan, params, weights = make(seed)
    shape = {name: getattr(dut, name).value.to_unsigned() for name in plan.shape if name != "ETH_N"} | {"ETH_N": 1}
    assert shape == plan.shape, "the top has another shape"
    chain = Chain(dut, plan, seed)
    await chain.load(params)
    return chain, params, weights


def lost(got: dict[str, int]) -> dict[str, int]:
    """Words that must be 0 on a wire that loses nothing."""
    bad = {"again", "nacks", "go_backs", "discarded", "failed", "restarted", "expiries"}
    return {
        name: value
        for name, value in got.items()
        if value and (name == "node.lost" or (name.startswith("eth0.") and (name.split(".")[-1] in bad or "dropped" in name)))
    }


@cocotb.test(timeout_time=60, timeout_unit="ms")
async def more_sequences_than_slots(dut: Any) -> None:
    chain, params, weights = await begin(dut)
    for _ in range(SEQUENCES):
        chain.submit(params, weights)
    await chain.work_off()
    chain.check_results()
    for sink in chain.sink:
        sink.demand_stalls()
    rows = sum(len(data) for data, _ in chain.inputs.values())
    assert chain.values == 2 * rows * HIDDEN, "a row is missing on the wire"
    assert chain.both_wait > 0, "both slots were never busy in the second cluster while both stores held rows"
    for node in (0, 1):
        got = await chain.words_of(node)
        assert not lost(got), f"node {node}: {lost(got)}"
        assert not any(got[f"{unit}.stale"] for unit in ("linear", "attention", "add_norm", "gateway"))
    told = {
        name: got[f"gateway.{name}"] for name in ("sequences", "releases_in", "releases_stale", "releases_out", "messages_out", "waits")
    }
    assert told.pop("waits") > 0
    assert told == {
        "sequences": SEQUENCES, "releases_in": SEQUENCES, "releases_stale": 0, "releases_out": SEQUENCES, "messages_out": rows,
    }  # fmt: skip
    print(
        f"chained clusters: {SEQUENCES} sequences, checked {chain.values} equal {chain.values} in {chain.now} cycles, both slots waited in "
        f"{chain.both_wait} looks"
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
    stale = 0
    for node in (0, 1):
        got = await chain.words_of(node)
        assert not lost(got), f"node {node}: {lost(got)}"
        stale += sum(got[f"{unit}.stale"] for unit in ("linear", "attention", "add_norm", "gateway"))
    assert stale + counters.stale > 0, "nothing was under way when the slots were flushed"
    print(f"flush in flight: 12 sequences equal, {counters.replayed} sent again, stale: {stale} in the nodes, {counters.stale} at the host")
