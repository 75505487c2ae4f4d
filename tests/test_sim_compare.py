# SPDX-License-Identifier: Apache-2.0
"""The comparison itself, on captures made from the model: what is equal is found equal, each planted error is named where it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from floreana.cluster.description import find_project, load_project
from floreana.cluster.layout import TYPE_INT8, TYPE_INT32, Header
from floreana.cluster.plan import GROUP_BASE, HOST_KERNEL, Plan, make_plan
from floreana.errors import InputError
from floreana.host.frame import Station, build, parse
from floreana.ibert.model import model
from floreana.ibert.params import IntArray, ModelParams
from floreana.ibert.quantise import quantise
from floreana.ibert.synthetic import random_ids, synthetic_bert
from floreana.report.compare import analyse, check_sequences
from floreana.report.result import SCHEMA_VERSION, SentenceReport, result, write_outputs, write_result
from floreana.sim.capture import Record

N = 3
END = 5000


@pytest.fixture(scope="module")
def case() -> tuple[Plan, ModelParams]:
    project = load_project(find_project("tiny_2"))
    weights = synthetic_bert(1, 128, 2, 256, 2, 100)
    return make_plan(project), quantise(weights, [random_ids(9, 12, 100)], "tiny_2")


def _edge(plan: Plan, encoder: int, tensor: str) -> int:
    return next(
        number for number, edge in plan.edges.items() if (edge.encoder, edge.tensor) == (encoder, tensor) and number != plan.entry.edge
    )


def _rows(seed: int) -> IntArray:
    return np.random.default_rng(seed).integers(-128, 128, (N, 128)).astype(np.int64)


class _Wire:
    """Writes down what a right cluster would send: every encoder's parts and rows, in an order of its own."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.stations = [Station(n.index, n.mac, n.ip) for n in plan.nodes] + [Station(plan.host.node, plan.host.mac, plan.host.ip)]
        self.records: list[Record] = []
        self.sequence: dict[tuple[int, int], int] = {}

    def send(self, source: int, target: int, header: Header, payload: bytes, cycle: int) -> None:
        number = self.sequence.get((source, target), 0)
        self.sequence[source, target] = number + 1
        raw = build(self.stations[source], self.stations[target], header, payload, number, 0)
        self.records += [Record(cycle, source, True, raw), Record(cycle + 220, target, False, raw)]

    def sentence(self, params: ModelParams, rows: IntArray, start: int, slot: int) -> None:
        plan = self.plan
        last = len(rows) - 1

        def header(kernel: int, source: int, edge: int, row: int, kind: int) -> Header:
            return Header(plan.cluster, kernel, edge, plan.cluster, source, slot, 0, row, 0, kind, row == last)

        trace = model(params, rows, parts=2)
        for t, row in enumerate(rows):
            owner = plan.owners[t]
            kernel = plan.entry.kernel_base + owner
            self.send(
                2, owner, header(kernel, HOST_KERNEL, plan.entry.edge, t, TYPE_INT8), row.astype(np.int8).tobytes(), start + 2 + 10 * t
            )
        for e, tensors in enumerate(trace):
            at = start + 500 + 1000 * e
            for t in range(len(rows)):
                owner = plan.owners[t]
                other, norm = 1 - owner, plan.nodes[owner].kernels["add_norm"]
                for tensor, parts in (("out_part", tensors.out_parts), ("ffn2_part", tensors.ffn2_parts)):
                    linear = plan.nodes[other].kernels["linear"]
                    payload = parts[other, t].astype("<i4").tobytes()
                    self.send(other, owner, header(norm, linear, _edge(plan, e, tensor), t, TYPE_INT32), payload, at + t)
                self.send(
                    owner,
                    other,
                    header(GROUP_BASE, norm, _edge(plan, e, "ln1"), t, TYPE_INT8),
                    tensors.ln1[t].astype(np.int8).tobytes(),
                    at + t,
                )
            for t in range(len(rows)):
                owner = plan.owners[t]
                other, norm = 1 - owner, plan.nodes[owner].kernels["add_norm"]
                out = tensors.ln2[t].astype(np.int8).tobytes()
                if e + 1 < plan.encoders:
                    self.send(owner, other, header(GROUP_BASE, norm, _edge(plan, e + 1, "entry"), t, TYPE_INT8), out, at + 400 + t)
                else:
                    self.send(owner, 2, header(HOST_KERNEL, norm, _edge(plan, e, "ln2"), t, TYPE_INT8), out, at + 400 + t)


def _capture(plan: Plan, params: ModelParams, sentences: int = 1) -> list[Record]:
    wire = _Wire(plan)
    for s in range(sentences):
        wire.sentence(params, _rows(s), END * s, s % 2)
    return sorted(wire.records, key=lambda r: (r.cycle, r.port, r.outbound))


def test_a_right_capture_is_equal_and_its_cycles_are_read_off(case: tuple[Plan, ModelParams]) -> None:
    plan, params = case
    records = _capture(plan, params, 2)
    analysis = analyse(plan, params, records)
    assert analysis.differences == [] and analysis.first is None
    assert check_sequences(records, ["node0", "node1", "host"]) is None
    assert [s.start for s in analysis.sentences] == [0, END]
    for sentence in analysis.sentences:
        assert sentence.tokens == N and sentence.equal == [True, True] and sentence.on_wire == [True, True]
        # encoder 0 ends as its last row leaves a node, encoder 1 as its last row reaches the host
        assert sentence.cycles_per_encoder == [902, 1900 + 2 + 220 - 902] and sentence.cycles == 2122
        assert [np.array_equal(a, b) for a, b in zip(sentence.rtl, sentence.model, strict=True)] == [True, True]
    outbound = [r for r in records if r.outbound]
    assert analysis.frames == len(outbound) == 2 * (N + 2 * 4 * N)
    assert analysis.wire_bytes == sum(len(r.data) for r in outbound)
    assert analysis.values == 2 * 2 * N * (128 + 2 * 4 * 128)


@pytest.mark.parametrize(
    ("encoder", "tensor", "row", "column"),
    [(0, "out_part", 1, 5), (1, "ln1", 2, 127), (1, "ffn2_part", 0, 0), (0, "ln2", 2, 64), (1, "ln2", 1, 3)],
)
def test_a_flipped_bit_is_named_where_it_is(case: tuple[Plan, ModelParams], encoder: int, tensor: str, row: int, column: int) -> None:
    plan, params = case
    edge = _edge(plan, 1, "entry") if (encoder, tensor) == (0, "ln2") else _edge(plan, encoder, tensor)
    records = _capture(plan, params)
    index = next(i for i, r in enumerate(records) if not r.outbound and r.data[56] == edge and r.data[61] == row)
    data = bytearray(records[index].data)
    width = 4 if tensor.endswith("part") else 1
    data[64 + width * column] ^= 1
    records[index] = replace(records[index], data=bytes(data))
    first = analyse(plan, params, records).first
    assert first is not None
    owner = plan.owners[row]
    node, kind = (1 - owner, "linear") if tensor.endswith("part") else (owner, "add_norm")
    text = str(first)
    for word in (
        f"encoder {encoder},",
        f"node{node}.{kind} (number",
        f"({tensor})",
        f"row {row},",
        f"column {column}:",
        f"frame {index + 1} of",
    ):
        assert word in text, text
    assert analyse(plan, params, records).sentences[0].equal == [encoder != 0, encoder != 1]


def test_the_first_of_many_is_the_one_that_flows_first(case: tuple[Plan, ModelParams]) -> None:
    plan, params = case
    other = replace(
        params,
        encoders=(
            replace(params.encoders[0], ln1=replace(params.encoders[0].ln1, bias=params.encoders[0].ln1.bias + 10**7)),
            params.encoders[1],
        ),
    )
    analysis = analyse(plan, other, _capture(plan, params))
    assert (
        analysis.first is not None and "encoder 0, kernel node0.add_norm" in str(analysis.first) and "(ln1), row 0" in str(analysis.first)
    )
    assert [d.encoder for d in analysis.differences] == [0, 1]


def test_a_row_that_never_came_is_a_difference(case: tuple[Plan, ModelParams]) -> None:
    plan, params = case
    edge = _edge(plan, 1, "entry")
    records = [r for r in _capture(plan, params) if not (r.data[56] == edge and r.data[61] == 1)]
    first = analyse(plan, params, records).first
    assert first is not None and "encoder 0" in str(first) and "row 1, column 0: never sent" in str(first)
    assert "sequence error at node0: peer node 1" in str(check_sequences(records, ["node0", "node1", "host"]))


def test_wrong_headers_are_differences(case: tuple[Plan, ModelParams]) -> None:
    plan, params = case
    for at, value, word in (
        (56, 250, "no such message"),
        (61, 9, "row 9 of a sentence of 3"),
        (63, 0x08, "last-row flag 1, expected 0"),
        (62, 2, "bytes 32 to 160"),
        (42, 0, "not a frame of ours"),
    ):
        records = _capture(plan, params)
        index = next(i for i, r in enumerate(records) if not r.outbound and r.data[56] == _edge(plan, 0, "ln1") and r.data[61] == 0)
        data = bytearray(records[index].data)
        data[at] = value
        records[index] = replace(records[index], data=bytes(data))
        first = analyse(plan, params, records).first
        assert first is not None and word in str(first), (word, str(first))


def test_a_part_of_a_word_is_a_difference(case: tuple[Plan, ModelParams]) -> None:
    """A whole frame of ours whose sums are cut inside one of 32 bits."""
    plan, params = case
    wire = _Wire(plan)
    wire.sentence(params, _rows(0), 0, 0)
    index = next(i for i, r in enumerate(wire.records) if r.outbound and r.data[56] == _edge(plan, 0, "out_part"))
    record = wire.records[index]
    frame = parse(record.data)
    raw = build(wire.stations[record.port], wire.stations[1 - record.port], frame.header, frame.payload[:-1], frame.sequence, 0)
    wire.records[index] = replace(record, data=raw)
    first = analyse(plan, params, sorted(wire.records, key=lambda r: (r.cycle, r.port, r.outbound))).first
    assert first is not None and "(out_part)" in str(first) and "bytes 0 to 511 of a row of 512" in str(first)


def test_what_the_nodes_sent_is_kept(case: tuple[Plan, ModelParams]) -> None:
    """Rows of partial sums of both nodes, each only for the rows that the other one owns; nothing of the host."""
    plan, params = case
    analysis = analyse(plan, params, _capture(plan, params, 2))
    trace = model(params, _rows(1), parts=2)
    assert (0, 0, "entry", None) not in analysis.wire
    for e in range(2):
        ln1, ln2 = analysis.wire[1, e, "ln1", None], analysis.wire[1, e, "ln2", None]
        assert ln1.seen.all() and np.array_equal(ln1.values, trace[e].ln1) and np.array_equal(ln2.values, trace[e].ln2)
        for part, columns in enumerate(((0, 64), (64, 128))):
            rows = analysis.wire[1, e, "out_part", columns]
            theirs = np.array(plan.owners[:N]) != part
            assert np.array_equal(rows.seen, np.repeat(theirs[:, None], 128, axis=1))
            assert np.array_equal(rows.values[theirs], trace[e].out_parts[part][theirs])


def test_a_capture_without_its_input_is_refused(case: tuple[Plan, ModelParams]) -> None:
    plan, params = case
    records = _capture(plan, params)
    with pytest.raises(InputError, match="no frame from the host"):
        analyse(plan, params, [r for r in records if r.port != 2])
    with pytest.raises(InputError, match=r"holds rows \[1, 2\]"):
        analyse(plan, params, [r for r in records if r.port != 2 or not r.outbound or r.data[61] != 0])
    with pytest.raises(InputError, match="different models"):
        analyse(replace(plan, encoders=1), params, records)


def test_result_and_outputs_hold_what_was_found(case: tuple[Plan, ModelParams], tmp_path: Path) -> None:
    plan, params = case
    analysis = analyse(plan, params, _capture(plan, params, 2))
    unit = np.zeros(128)
    unit[0] = 1.0
    reports = [SentenceReport(f"text {i}", s, unit, unit) for i, s in enumerate(analysis.sentences)]
    content = result(
        version="1",
        project="tiny_2",
        nodes=2,
        simulator="icarus",
        seed=1,
        link_delay=220,
        sentences=reports,
        analysis=analysis,
        load_cycles=7,
        timing={},
    )
    assert (content["schema_version"], content["tokens"], content["cycles"], content["bit_exact"]) == (SCHEMA_VERSION, 2 * N, 4244, True)
    assert content["cycles_per_encoder"] == content["sentences"][0]["cycles_per_encoder"] and content["cosine_fp32"] == 1.0
    write_result(tmp_path / "result.json", content)
    write_outputs(tmp_path / "outputs.npz", reports)
    with np.load(tmp_path / "outputs.npz") as found:
        assert sorted(found) == sorted(
            [f"s{s}_e{e}_{side}" for s in (0, 1) for e in (0, 1) for side in ("rtl", "model")]
            + [f"s{s}_embedding{suffix}" for s in (0, 1) for suffix in ("", "_fp32")]
        )
        assert found["s1_e1_rtl"].dtype == np.int8 and np.array_equal(found["s1_e1_rtl"], found["s1_e1_model"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["outputs.npz", "result.json"]
