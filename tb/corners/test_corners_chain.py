# SPDX-License-Identifier: Apache-2.0
"""Three chained encoders on two whole nodes; frames leave and arrive under random stalls, rows come in random order, the last first.

The images are those of a plan. Encoders 0 and 2 share a bank of K and V, encoder 1 has the other. Every frame on the wire equals
the integer model.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge

from floreana.cluster import layout
from floreana.cluster.description import BuildSection, ClusterSection, Project, SyntheticModel
from floreana.cluster.images import node_images
from floreana.cluster.plan import Plan, make_plan
from floreana.host.frame import Frame, Station, build, parse
from floreana.ibert.model import EncoderTrace, model
from floreana.ibert.params import ModelParams
from floreana.ibert.quantise import embed_rows, quantise
from floreana.ibert.synthetic import random_ids, synthetic_bert
from floreana_tb import clocks, stalls, streams

ENCODERS, NODES, ROWS = 3, 2, 8
HIDDEN, HEADS, FFN, VOCAB = 128, 2, 128, 100
WHOLE = ("entry", "ln1", "ln2")  # tensors of which a frame holds a row; the others on the wire are partial sums


def make(seed: int) -> tuple[Plan, ModelParams, Any]:
    project = Project(
        name="chain",
        model=SyntheticModel(hidden=HIDDEN, heads=HEADS, ffn=FFN, encoders=ENCODERS),
        cluster=ClusterSection.model_validate({"nodes": NODES}),
        build=BuildSection.model_validate({"k_lanes": 64, "out_n": 16, "post_lanes": 4, "norm_lanes": 4, "max_tokens": ROWS}),
    )
    weights = synthetic_bert(seed, HIDDEN, HEADS, FFN, ENCODERS, VOCAB)
    params = quantise(weights, [random_ids(1000 + i, ROWS, VOCAB) for i in range(4)], "chain")
    return make_plan(project), params, weights


class Network:
    """The wire between two nodes and the host: frames in the order they left, under the stalls of each port."""

    def __init__(self, dut: Any, plan: Plan, seed: int) -> None:
        self.dut, self.plan = dut, plan
        self.seen: list[Frame] = []
        self.sequence: Counter[tuple[int, int]] = Counter()
        self.host = Station(plan.host.node, plan.host.mac, plan.host.ip)
        self.station = {node.index: Station(node.index, node.mac, node.ip) for node in plan.nodes}
        self.source, self.sink, self.config = [], [], []
        for k in range(NODES):
            pattern = stalls.random(100 * seed + k)
            self.source.append(streams.StreamSource(dut, f"n{k}_mac_rx", dut.clk, pattern))
            self.sink.append(streams.PacketSink(dut, f"n{k}_mac_tx", dut.clk, pattern, callback=self._carry(k), max_beats=17))
            self.config.append(streams.ConfigBus(dut, dut.clk, prefix=f"n{k}_cfg"))
            for name in ("node", "mac", "ip"):
                getattr(dut, f"n{k}_id_{name}").value = getattr(self.station[k], name)

    def _carry(self, source: int) -> Any:
        def carry(packet: streams.Packet) -> None:
            frame = parse(packet.payload)
            assert frame.source == source
            key = source, frame.dst_mac
            assert frame.sequence == self.sequence[key], f"node {source}: sequence {frame.sequence}, not {self.sequence[key]}"
            self.sequence[key] += 1
            self.seen.append(frame)
            for k, station in self.station.items():
                if frame.dst_mac == station.mac:
                    self.source[k].send_packet(packet.payload)
                    return
            assert frame.dst_mac == self.host.mac

        return carry

    async def load(self, params: ModelParams) -> None:
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

    def send(self, slot: int, generation: int, rows: Any, order: list[int]) -> None:
        for row in order:
            owner = self.plan.owners[row]
            header = layout.Header(
                dst_cluster=self.plan.cluster, dst_kernel=self.plan.entry.kernel_base + owner, edge=self.plan.entry.edge,
                src_cluster=self.plan.cluster, src_kernel=255, slot=slot, generation=generation, row=row, offset=0,
                type=layout.TYPE_INT8, last=row == len(rows) - 1,
            )  # fmt: skip
            key = self.host.node, owner
            data = rows[row].astype(np.int8).tobytes()
            self.source[owner].send_packet(build(self.host, self.station[owner], header, data, self.sequence[key], 0))
            self.sequence[key] += 1

    def results(self, slot: int, generation: int) -> int:
        """Rows at the host."""
        return sum(f.dst_mac == self.host.mac and (f.header.slot, f.header.generation) == (slot, generation) for f in self.seen)


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


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def three_chained_encoders(dut: Any) -> None:
    seed = cocotb.RANDOM_SEED % (1 << 31)
    rng = random.Random(seed)
    plan, params, weights = make(seed)
    assert {name: getattr(dut, name).value.to_unsigned() for name in plan.shape} == plan.shape, "the top has another shape"
    assert [plan.nodes[0].context("attention", e).fields["bank"] for e in range(ENCODERS)] == [0, 1, 0]
    network = Network(dut, plan, seed)
    await network.load(params)
    sequences: dict[tuple[int, int], list[EncoderTrace]] = {}

    async def slot_of(slot: int, lengths: list[int]) -> None:
        """Sequences one after another in a slot; the other slot runs beside it."""
        for generation, n in enumerate(lengths):
            rows = embed_rows(params, weights, random_ids(rng.randrange(1 << 30), n, VOCAB))
            sequences[slot, generation] = model(params, rows, NODES)
            network.send(slot, generation, rows, [n - 1, *rng.sample(range(n - 1), n - 1)])
            while network.results(slot, generation) < n:
                await RisingEdge(dut.clk)

    tasks = [cocotb.start_soon(slot_of(slot, lengths)) for slot, lengths in enumerate(([ROWS], [1, 3]))]
    for task in tasks:
        await task
    for sink in network.sink:
        await sink.wait_quiet(600)
        sink.demand_stalls()
    values = sum(check(plan, frame, sequences[frame.header.slot, frame.header.generation]) for frame in network.seen)
    # to the other node: the row of each encoder and of its ffn, and both partial sums where it is the owner; to the host: the last row
    rows = sum(len(traces[0].entry) for traces in sequences.values())
    assert len(network.seen) == rows * (ENCODERS * 4 + 1)
    # rows of the next encoder were on the wire while others were still in the FFN of this one
    edges = [plan.edges[frame.header.edge] for frame in network.seen if frame.header.slot == 0]
    order = [(edge.encoder, edge.tensor) for edge in edges]
    for encoder in range(ENCODERS - 1):
        assert (encoder, "ffn2_part") in order[order.index((encoder + 1, "entry")) :], f"encoder {encoder} had ended"
    for k in range(NODES):
        assert int(getattr(dut, f"n{k}_sts_drops").value) == 0 and int(getattr(dut, f"n{k}_sts_seq_error").value) == 0
    print(f"three chained encoders: checked {values} equal {values} in {len(network.seen)} frames", flush=True)
