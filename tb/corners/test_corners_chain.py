# SPDX-License-Identifier: Apache-2.0
"""Three chained encoders on two whole nodes; frames leave and arrive under random stalls, rows come in random order, the last first.

The images are those of a plan with smaller Ethernet ports. Encoders 0 and 2 share a bank of K and V, encoder 1 has the other. Every
message between kernels on the wire equals the integer model. The wire is clean: nothing is dropped, nothing sent twice. The second test
demands that both banks of both nodes hold rows at once; that needs sequences so long that serving the queries of one encoder takes longer
than a row's way round to the next.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge, ValueChange
from corners.two_nodes import NODES, Network, check_shape, not_clean, small_ports

from floreana.cluster.description import BuildSection, ClusterSection, Project, SyntheticModel
from floreana.cluster.plan import Plan, make_plan
from floreana.host import words
from floreana.host.frame import Frame
from floreana.ibert.model import EncoderTrace, model
from floreana.ibert.params import ModelParams
from floreana.ibert.quantise import embed_rows, quantise
from floreana.ibert.synthetic import random_ids, synthetic_bert

ENCODERS = 3
HIDDEN, HEADS, FFN, VOCAB = 128, 2, 128, 100
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
    return small_ports(make_plan(project)), params, weights


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
        check_shape(dut, self.plan)
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
        # to the other node: the row of each encoder and of its ffn, and both partial sums where it is the owner; to the host: the last row.
        # Direct rows come to the first encoder from the host
        rows = sum(len(traces[0].entry) for traces in self.sequences.values())
        direct = sum(min(len(traces[0].entry), plan.entry.direct) for traces in self.sequences.values())
        assert direct == len(self.sequences) and len(seen) == rows * (ENCODERS * 4 + 1) - direct
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
            wrong = not_clean(got)
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
