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
from floreana.host.frame import ACK, HELLO_ACK, NO_MESSAGE, Station, build, parse
from floreana.ibert.model import model
from floreana.ibert.params import IntArray, ModelParams
from floreana.ibert.quantise import quantise
from floreana.ibert.synthetic import random_ids, synthetic_bert
from floreana.report.compare import analyse
from floreana.report.result import SCHEMA_VERSION, SentenceReport, result, write_outputs, write_result
from floreana.report.transport import inspect
from floreana.sim.capture import Record

N = 3
BEGIN = 1000  # the links stand
END = 5000


@pytest.fixture(scope="module")
def case() -> tuple[Plan, ModelParams]:
    project = load_project(find_project("tiny_2"))
    weights = synthetic_bert(1, 128, 2, 256, 2, 100)
    return make_plan(project), quantise(weights, [random_ids(9, 12, 100)], "tiny_2")


def _edge(plan: Plan, encoder: int, tensor: str) -> int:
    host = (plan.entry.edge, plan.entry.direct_edge)
    return next(n for n, edge in plan.edges.items() if (edge.encoder, edge.tensor) == (encoder, tensor) and n not in host)


def _rows(seed: int) -> IntArray:
    return np.random.default_rng(seed).integers(-128, 128, (N, 128)).astype(np.int64)


class _Wire:
    """Writes down what a right cluster would send: every encoder's parts and rows, in an order of its own."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.stations = [Station(n.index, n.mac, n.ip) for n in plan.nodes] + [Station(plan.host.node, plan.host.mac, plan.host.ip)]
        self.records: list[Record] = []
        self.sequence: dict[tuple[int, int], int] = {}
        self.stop = 1 << 30  # nothing is sent from that cycle on
        self.times: dict[int, int] = {}  # kernel -> how often row 0 is sent to it, if not once
        for source in range(3):
            for target in {0, 1, 2} - {source}:
                self.control(source, target, HELLO_ACK, 0, 10 * source + target)

    def control(self, source: int, target: int, kind: int, acknowledged: int, cycle: int) -> None:
        """A frame without message."""
        self.carry(build(self.stations[source], self.stations[target], NO_MESSAGE, b"", 0, acknowledged, kind=kind), source, target, cycle)

    def carry(self, raw: bytes, source: int, target: int, cycle: int) -> None:
        self.records += [Record(cycle, source, True, raw), Record(cycle + 220, target, False, raw)]

    def send(self, source: int, target: int, header: Header, payload: bytes, cycle: int) -> None:
        if cycle >= self.stop:
            return
        number = self.sequence.get((source, target), 0)
        self.sequence[source, target] = number + 1
        self.carry(build(self.stations[source], self.stations[target], header, payload, number, 0), source, target, cycle)

    def sentence(self, params: ModelParams, rows: IntArray, start: int, slot: int, generation: int = 0, stop: int = 1 << 30) -> None:
        """``stop``: nothing is sent from that cycle on."""
        plan = self.plan
        last = len(rows) - 1

        def header(kernel: int, source: int, edge: int, row: int, kind: int) -> Header:
            return Header(plan.cluster, kernel, edge, plan.cluster, source, slot, generation, row, 0, kind, row == last)

        self.stop = stop
        trace = model(params, rows, parts=2)
        for t, row in enumerate(rows):
            owner = plan.owners[t]
            for place, (kernel, edge) in enumerate(plan.entry.copies(t, owner)):
                to, at = (1 - owner if place else owner), start + 2 + 10 * t + 4 * place
                for again in range(1 if t else self.times.get(kernel, 1)):
                    self.send(2, to, header(kernel, HOST_KERNEL, edge, t, TYPE_INT8), row.astype(np.int8).tobytes(), at + 2 * again)
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
        self.stop = 1 << 30

    def sorted(self) -> list[Record]:
        return sorted(self.records, key=lambda r: (r.cycle, r.port, r.outbound))


def _capture(plan: Plan, params: ModelParams, sentences: int = 1) -> list[Record]:
    wire = _Wire(plan)
    for s in range(sentences):
        wire.sentence(params, _rows(s), BEGIN + END * s, s % 2)
    return wire.sorted()


def test_a_right_capture_is_equal_and_its_cycles_are_read_off(case: tuple[Plan, ModelParams]) -> None:
    plan, params = case
    records = _capture(plan, params, 2)
    analysis = analyse(plan, params, records)
    assert analysis.differences == [] and analysis.first is None
    traffic = analysis.traffic
    assert traffic.problem is None and (traffic.again, traffic.bad, traffic.repeated, traffic.ahead) == (0, 0, 0, 0)
    assert [s.start for s in analysis.sentences] == [BEGIN, BEGIN + END]
    for sentence in analysis.sentences:
        assert sentence.tokens == N and sentence.equal == [True, True] and sentence.on_wire == [True, True]
        # encoder 0 ends as its last row leaves a node, encoder 1 as its last row reaches the host
        assert sentence.cycles_per_encoder == [902, 1900 + 2 + 220 - 902] and sentence.cycles == 2122
        assert [np.array_equal(a, b) for a, b in zip(sentence.rtl, sentence.model, strict=True)] == [True, True]
    outbound = [r for r in records if r.outbound]
    assert analysis.frames == len(outbound) == 6 + 2 * (N + 1 + 2 * 4 * N)  # row 0 is sent direct to both nodes
    assert analysis.wire_bytes == sum(len(r.data) for r in outbound)
    assert analysis.values == 2 * 2 * ((N + 1) * 128 + N * 2 * 4 * 128)


@pytest.mark.parametrize(
    ("encoder", "tensor", "row", "column"),
    [(0, "out_part", 1, 5), (1, "ln1", 2, 127), (1, "ffn2_part", 0, 0), (0, "ln2", 2, 64), (1, "ln2", 1, 3)],
)
def test_a_flipped_bit_is_named_where_it_is(case: tuple[Plan, ModelParams], encoder: int, tensor: str, row: int, column: int) -> None:
    plan, params = case
    edge = _edge(plan, 1, "entry") if (encoder, tensor) == (0, "ln2") else _edge(plan, encoder, tensor)
    records = _capture(plan, params)
    index = next(i for i, r in enumerate(records) if not r.outbound and not r.data[42] & 31 and r.data[56] == edge and r.data[61] == row)
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
    records = [r for r in _capture(plan, params) if r.data[42] & 31 or not (r.data[56] == edge and r.data[61] == 1)]
    first = analyse(plan, params, records).first
    assert first is not None and "encoder 0" in str(first) and "row 1, column 0: never sent" in str(first)


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
        index = next(
            i
            for i, r in enumerate(records)
            if not r.outbound and not r.data[42] & 31 and r.data[56] == _edge(plan, 0, "ln1") and r.data[61] == 0
        )
        data = bytearray(records[index].data)
        data[at] = value
        records[index] = replace(records[index], data=bytes(data))
        first = analyse(plan, params, records).first
        assert first is not None and word in str(first), (word, str(first))


def _copies(plan: Plan, records: list[Record]) -> list[int]:
    """Places of the host's outbound copies of row 0: the owner's, then the other node's."""
    return [
        i for i, r in enumerate(records) if r.port == 2 and r.outbound and not r.data[42] & 31 and r.data[61] == 0
        and r.data[56] in (plan.entry.direct_edge, plan.entry.row_edge)
    ]  # fmt: skip


def test_every_copy_of_a_direct_row_is_looked_for(case: tuple[Plan, ModelParams]) -> None:
    plan, params = case
    for kernel in (129, 2):
        wire = _Wire(plan)
        wire.times[kernel] = 0
        wire.sentence(params, _rows(0), BEGIN, 0)
        assert len(_copies(plan, wire.records)) == 1
        first = analyse(plan, params, wire.sorted()).first
        assert first is not None and first.source == "host (number 255)" and first.what == f"never sent to kernel {kernel}", str(first)
        assert (first.encoder, first.row, first.column) == (0, 0, 0)


@pytest.mark.parametrize("kernel", [129, 2])
def test_a_copy_of_a_direct_row_that_is_sent_twice_is_a_difference(case: tuple[Plan, ModelParams], kernel: int) -> None:
    plan, params = case
    text = "host (number 255) (entry), row 0, column 0: the message was made twice"
    wire = _Wire(plan)
    wire.times[kernel] = 2
    wire.sentence(params, _rows(0), BEGIN, 0)
    analysis = analyse(plan, params, wire.sorted())
    assert len(analysis.sentences) == 1 and text in str(analysis.first)
    late = _Wire(plan)  # when all others are out
    late.sentence(params, _rows(0), BEGIN, 0)
    frame = next(f for f in (parse(late.records[i].data) for i in _copies(plan, late.records)) if f.header.dst_kernel == kernel)
    late.send(2, 0 if kernel == 129 else 1, frame.header, frame.payload, BEGIN + 3000)
    analysis = analyse(plan, params, late.sorted())
    assert len(analysis.sentences) == 1 and text in str(analysis.first)


@pytest.mark.parametrize(("node", "kernel"), [(0, 1), (1, 66), (1, 130)])
def test_a_copy_of_a_direct_row_for_another_kernel_is_a_difference(case: tuple[Plan, ModelParams], node: int, kernel: int) -> None:
    """Above all for the owner's own `linear`, which must get it from ENTRY."""
    plan, params = case
    wire = _Wire(plan)
    wire.sentence(params, _rows(0), BEGIN, 0)
    frame = parse(wire.records[_copies(plan, wire.records)[1]].data)
    wire.send(2, node, replace(frame.header, dst_kernel=kernel), frame.payload, BEGIN + 60)
    assert "no such message is in the plan" in str(analyse(plan, params, wire.sorted()).first)


def test_each_copy_of_a_direct_row_is_compared(case: tuple[Plan, ModelParams]) -> None:
    plan, params = case
    records = _capture(plan, params)
    sent = records[_copies(plan, records)[1]]
    for index, place in ((i, 64 + 9) for i, r in enumerate(records) if r.data == sent.data):  # as it left, as it arrived
        data = bytearray(records[index].data)
        data[place] ^= 4
        wrong = [*records[:index], replace(records[index], data=bytes(data)), *records[index + 1 :]]
        first = analyse(plan, params, wrong).first
        assert first is not None and "host (number 255) (entry), row 0, column 9: got" in str(first)


def test_a_row_that_is_not_direct_goes_to_its_owner_only(case: tuple[Plan, ModelParams]) -> None:
    plan, params = case
    wire = _Wire(plan)
    wire.sentence(params, _rows(0), BEGIN, 0)
    frame = parse(wire.records[_copies(plan, wire.records)[1]].data)
    payload = _rows(0)[2].astype(np.int8).tobytes()
    wire.send(2, 1, replace(frame.header, row=2, last=True), payload, BEGIN + 60)
    assert "no such message is in the plan" in str(analyse(plan, params, wire.sorted()).first)
    wire.send(2, 1, replace(frame.header, row=2, edge=7), payload, BEGIN + 70)
    with pytest.raises(InputError, match="the host sent a frame on edge 7, not 0 or 1 or 20"):
        analyse(plan, params, wire.sorted())


def test_a_generation_that_comes_round_again_is_another_attempt(case: tuple[Plan, ModelParams]) -> None:
    plan, params = case
    wire = _Wire(plan)
    for use, generation in enumerate((0, 1, 0)):
        wire.sentence(params, _rows(use), BEGIN + END * use, 0, generation)
    analysis = analyse(plan, params, wire.sorted())
    assert analysis.differences == [] and [s.generation for s in analysis.sentences] == [0, 1, 0]


def test_a_part_of_a_word_is_a_difference(case: tuple[Plan, ModelParams]) -> None:
    """A whole frame of ours whose sums are cut inside one of 32 bits."""
    plan, params = case
    wire = _Wire(plan)
    wire.sentence(params, _rows(0), BEGIN, 0)
    index = next(i for i, r in enumerate(wire.records) if r.outbound and not r.data[42] & 31 and r.data[56] == _edge(plan, 0, "out_part"))
    record = wire.records[index]
    frame = parse(record.data)
    raw = build(wire.stations[record.port], wire.stations[1 - record.port], frame.header, frame.payload[:-1], frame.sequence, 0)
    wire.records[index] = replace(record, data=raw)
    first = analyse(plan, params, wire.sorted()).first
    assert first is not None and "(out_part)" in str(first) and "bytes 0 to 511 of a row of 512" in str(first)


def test_what_the_nodes_sent_is_kept(case: tuple[Plan, ModelParams]) -> None:
    """Rows of partial sums of both nodes, each only for the rows that the other one owns; of the host the row it sent in a node's stead."""
    plan, params = case
    analysis = analyse(plan, params, _capture(plan, params, 2))
    trace = model(params, _rows(1), parts=2)
    entry = analysis.wire[1, 0, "entry", None]
    assert entry.seen[0].all() and not entry.seen[1:].any() and np.array_equal(entry.values[0], _rows(1)[0])
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
    with pytest.raises(InputError, match=r"holds rows \[0, 1\]"):
        analyse(plan, params, [r for r in records if r.port != 2 or not r.outbound or r.data[61] != 2 or r.data[42] & 31])
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
        transport={},
        words={},
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


# ------------------------------------------------------------------------------------------------------------------------- transport


def _row_frames(plan: Plan, records: list[Record]) -> list[int]:
    """Places of the outbound data frames from node 0 to node 1."""
    mac = plan.nodes[1].mac.to_bytes(6, "big")
    return [i for i, r in enumerate(records) if r.outbound and r.port == 0 and r.data[:6] == mac and not r.data[42] & 31]


def test_what_is_sent_again_counts_once(case: tuple[Plan, ModelParams]) -> None:
    plan, params = case
    records = _capture(plan, params)
    clean = analyse(plan, params, records)
    at = _row_frames(plan, records)[0]
    again = [replace(records[at], cycle=records[at].cycle + 300), Record(records[at].cycle + 520, 1, False, records[at].data)]
    broken = Record(records[at].cycle + 521, 1, False, records[at].data[:70], bad=True)
    more = sorted([*records, *again, broken], key=lambda r: (r.cycle, r.port, r.outbound))
    analysis = analyse(plan, params, more)
    assert analysis.differences == [] and analysis.values == clean.values and analysis.frames == clean.frames + 1
    traffic = analysis.traffic
    assert traffic.problem is None and (traffic.again, traffic.bad, traffic.repeated, traffic.ahead) == (1, 1, 1, 0)
    assert traffic.again_by == {0: 1} and traffic.sent["data"] == clean.traffic.sent["data"] + 1
    # a frame that is lost and comes when it is sent again
    lost = [r for r in more if not (r.cycle == records[at].cycle + 220 and r.data == records[at].data)]
    analysis = analyse(plan, params, lost)
    assert analysis.traffic.ahead == len(_row_frames(plan, records)) - 1 and analysis.traffic.problem is None


def test_broken_promises_are_named(case: tuple[Plan, ModelParams]) -> None:
    plan, params = case
    records = _capture(plan, params)
    places = _row_frames(plan, records)
    first = records[places[0]]

    def problem(*changed: Record, without: tuple[int, ...] = ()) -> str:
        some = [r for i, r in enumerate(records) if i not in without]
        return str(inspect(plan, sorted([*some, *changed], key=lambda r: (r.cycle, r.port, r.outbound))).problem)

    def with_byte(record: Record, at: int, value: int, later: int = 0) -> Record:
        data = bytearray(record.data)
        data[at] = value
        return replace(record, data=bytes(data), cycle=record.cycle + later)

    stations = _Wire(plan).stations
    assert problem() == "None"
    assert "at node0: sent message 0 to node1 again, and not as it was" in problem(with_byte(first, 70, first.data[70] ^ 1, 1))
    assert "sent message 1 to node1 where 0 was the next" in problem(without=(places[0],))
    came = next(r for r in records if not r.outbound and r.data == first.data)
    assert "message 0 came again, and not as it was sent" in problem(with_byte(came, 70, came.data[70] ^ 1, 1))
    lie = build(stations[1], stations[0], NO_MESSAGE, b"", 0, 1, kind=ACK)
    assert "at node1: acknowledged 1 message(s) of node0, of which 0 had come in order" in problem(Record(900, 1, True, lie))
    late = BEGIN + 3000
    truth = [build(stations[1], stations[0], NO_MESSAGE, b"", 0, count, kind=ACK) for count in (2, 1)]
    assert "took back an acknowledgement to node0: 1 after 2" in problem(*(Record(late + i, 1, True, raw) for i, raw in enumerate(truth)))
    assert "sent a frame of node 1" in problem(Record(800, 0, True, truth[0]))
    nobody = build(stations[1], stations[0], NO_MESSAGE, b"", 0, 0, kind=ACK, epoch=0)
    assert "sent a frame of kind ack in an unknown epoch (0, 1)" in problem(Record(800, 1, True, nobody))
    hello = next(i for i, r in enumerate(records) if not r.outbound and r.port == 0 and r.data[42] & 31 == HELLO_ACK and r.data[45] == 1)
    assert "sent message 0 to node1, which had granted 0" in problem(without=(hello,))


def test_an_attempt_that_was_given_up_is_part_of_its_sentence(case: tuple[Plan, ModelParams]) -> None:
    plan, params = case
    wire = _Wire(plan)
    wire.sentence(params, _rows(0), BEGIN, 0, stop=BEGIN + 1900)  # encoder 1 is under way
    wire.sentence(params, _rows(0), BEGIN + END, 0, generation=1)
    wire.sentence(params, _rows(1), BEGIN + 2 * END, 1)
    analysis = analyse(plan, params, wire.sorted())
    assert analysis.differences == [] and [s.attempts for s in analysis.sentences] == [2, 1]
    a, b = analysis.sentences
    assert (a.start, a.slot, a.generation, a.cycles) == (BEGIN, 0, 1, END + 2122) and b.cycles == 2122
    assert [np.array_equal(x, y) for x, y in zip(a.rtl, a.model, strict=True)] == [True, True]
    # a wrong value of the attempt that was given up is a difference, too
    at = next(i for i, r in enumerate(wire.records) if r.outbound and not r.data[42] & 31 and r.data[56] == _edge(plan, 0, "ln1"))
    data = bytearray(wire.records[at].data)
    data[64] ^= 1
    wire.records[at] = replace(wire.records[at], data=bytes(data))
    assert "(ln1)" in str(analyse(plan, params, wire.sorted()).first)


def test_a_message_made_twice_is_a_difference(case: tuple[Plan, ModelParams]) -> None:
    plan, params = case
    wire = _Wire(plan)
    wire.sentence(params, _rows(0), BEGIN, 0)
    frame = parse(next(r.data for r in wire.records if r.outbound and not r.data[42] & 31 and r.data[56] == _edge(plan, 0, "ln1")))
    wire.send(0, 1, frame.header, frame.payload, BEGIN + 3000)
    assert "made twice" in str(analyse(plan, params, wire.sorted()).first)
