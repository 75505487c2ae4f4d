# SPDX-License-Identifier: Apache-2.0
"""The wire against the integer model: every message of a capture compared with the tensor that the plan says its edge carries.

Input rows come from the host's own frames, so that a capture, a plan and the parameters are all it takes. Each record counts: a frame is
compared as it left one port and as it entered the next.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from floreana.cluster.layout import TYPE_INT8, TYPE_INT32
from floreana.cluster.plan import HOST_KERNEL, RECEIVER, SENDER, TENSORS, Plan
from floreana.errors import InputError
from floreana.host.frame import SEQUENCE_MODULUS, Frame, parse
from floreana.ibert import ops
from floreana.ibert.model import EncoderTrace, model
from floreana.ibert.params import EncoderParams, IntArray, LinearParams, ModelParams
from floreana.sim.capture import Record
from floreana.sim.ethernet import beats

Int8Array = NDArray[np.int8]
_TYPE_NAMES = {0: "int8", 1: "int16", 2: "int32", 3: "control"}


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """One place where the wire and the model differ; ordered by sentence, then as data flows."""

    sentence: int
    encoder: int
    tensor: int  # index in TENSORS
    node: int
    row: int
    column: int
    cycle: int
    frame: int  # number of the record in the capture, from 1 (Wireshark's)
    source: str = field(compare=False)
    what: str = field(compare=False)

    def __str__(self) -> str:
        place = f", frame {self.frame} of the capture, cycle {self.cycle}" if self.frame else ""
        return (
            f"first difference: sentence {self.sentence}, encoder {self.encoder}, kernel {self.source} ({TENSORS[self.tensor]}), "
            f"row {self.row}, column {self.column}: {self.what}{place}"
        )


@dataclass(slots=True)
class SentenceAnalysis:
    """What a capture says about one sentence."""

    slot: int
    generation: int
    start: int  # cycle of row 0's first beat at the host's port
    inputs: list[bytes]
    end: int = -1  # cycle of the last beat of the last row back
    encoder_end: list[int] = field(default_factory=list)  # -1 where an encoder's rows never cross the wire
    rtl: list[Int8Array] = field(default_factory=list)  # rows of every encoder as they were on the wire
    on_wire: list[bool] = field(default_factory=list)
    model: list[Int8Array] = field(default_factory=list)
    equal: list[bool] = field(default_factory=list)  # per encoder: no difference in it
    frames: int = 0
    wire_bytes: int = 0

    @property
    def tokens(self) -> int:
        return len(self.inputs)

    @property
    def cycles(self) -> int:
        return self.end - self.start

    @property
    def cycles_per_encoder(self) -> list[int | None]:
        """From the end of the encoder before; None where an encoder's rows stay inside one node."""
        out: list[int | None] = []
        before = self.start
        for end in self.encoder_end:
            out.append(None if end < 0 else end - before)
            before = before if end < 0 else end
        return out


@dataclass(slots=True)
class WireRows:
    """Rows of a tensor, or of some columns of it, as the nodes sent them: values (N, C) and whether each was ever seen."""

    values: IntArray
    seen: NDArray[np.bool_]


Wire = dict[tuple[int, int, str, tuple[int, int] | None], WireRows]


@dataclass(slots=True)
class Analysis:
    """A whole capture. ``differences`` holds the first one of every encoder of every sentence, in order.

    ``wire`` has every value that left a node, by sentence, encoder, tensor and columns: those of the receiver's operator, of partial
    sums the inputs summed over, None where rows are sent whole.
    """

    sentences: list[SentenceAnalysis]
    differences: list[Difference]
    frames: int
    wire_bytes: int
    values: int  # compared
    wire: Wire

    @property
    def first(self) -> Difference | None:
        return self.differences[0] if self.differences else None


def reference_rows(trace: EncoderTrace, params: EncoderParams, tensor: str, columns: tuple[int, int] | None) -> list[bytes]:
    """Bytes of every row of a tensor as it is sent: its ``columns``, or the sums over them; None: whole rows.

    The bias enters a sum with the first columns.
    """
    own = slice(None) if columns is None else slice(*columns)
    if tensor in SENDER:
        x, whole = (trace.context, params.out) if tensor == "out_part" else (trace.ffn1, params.ffn2)
        bias = whole.bias if own.start == 0 else np.zeros_like(whole.bias)
        values = ops.linear(x[:, own], LinearParams(whole.weight[:, own], bias))
        return [row.tobytes() for row in np.ascontiguousarray(values.astype("<i4"))]
    return [row.tobytes() for row in np.ascontiguousarray(getattr(trace, tensor)[:, own].astype(np.int8))]


def find_sentences(plan: Plan, records: Sequence[Record]) -> list[SentenceAnalysis]:
    """Sentences and their input rows, from the frames that left the host's port. InputError if they are not whole."""
    host_port = len(plan.nodes)
    out: list[SentenceAnalysis] = []
    rows: list[dict[int, bytes]] = []
    for record in records:
        if record.port != host_port or not record.outbound:
            continue
        frame = parse(record.data)
        header = frame.header
        if header.edge != plan.entry.edge:
            raise InputError(f"the host sent a frame on edge {header.edge}, not {plan.entry.edge} (cycle {record.cycle})")
        if not out or (header.slot, header.generation) != (out[-1].slot, out[-1].generation):
            out.append(SentenceAnalysis(header.slot, header.generation, record.cycle - beats(len(record.data)) + 1, []))
            rows.append({})
        if header.row in rows[-1] or len(frame.payload) != plan.hidden:
            raise InputError(f"the host sent row {header.row} twice or not whole (cycle {record.cycle}); run `floreana sim` again")
        rows[-1][header.row] = frame.payload
    if not out:
        raise InputError("the capture holds no frame from the host; run `floreana sim` again")
    for number, (sentence, found) in enumerate(zip(out, rows, strict=True)):
        if sorted(found) != list(range(len(found))):
            raise InputError(f"the capture holds rows {sorted(found)} of sentence {number}; run `floreana sim` again")
        sentence.inputs = [found[t] for t in range(len(found))]
    return out


class _Comparison:
    """State of one pass over a capture."""

    def __init__(self, plan: Plan, params: ModelParams, sentences: list[SentenceAnalysis]) -> None:
        self.plan = plan
        self.params = params
        self.sentences = sentences
        self.host = len(plan.nodes)
        self.starts = [s.start for s in sentences]
        self.sources = {number: (node.index, f"{node.name}.{kind}") for node in plan.nodes for kind, number in node.kernels.items()}
        self.traces = [
            model(
                params,
                np.array([np.frombuffer(row, np.int8) for row in sentence.inputs], np.int64),
            )
            for sentence in sentences
        ]
        self.columns = {number: node.columns for node in plan.nodes for number in node.kernels.values()}
        self.cache: dict[tuple[int, int, str, tuple[int, int] | None], list[bytes]] = {}
        self.found: dict[tuple[int, int], Difference] = {}
        self.values = 0
        self.wire: Wire = {}
        # pieces of 64 bytes of every encoder's finished rows that left a port, or reached the host
        self.pieces: dict[tuple[int, int], set[tuple[int, int]]] = defaultdict(set)
        for sentence, trace in zip(sentences, self.traces, strict=True):
            shape = (sentence.tokens, plan.hidden)
            sentence.rtl = [np.zeros(shape, np.int8) for _ in range(plan.encoders)]
            sentence.model = [t.ln2.astype(np.int8) for t in trace]
            sentence.encoder_end = [-1] * plan.encoders

    def add(self, difference: Difference) -> None:
        key = (difference.sentence, difference.encoder)
        if key not in self.found or difference < self.found[key]:
            self.found[key] = difference

    def sentence_of(self, record: Record, frame: Frame) -> int:
        """Number of the sentence a frame belongs to: the youngest of its slot and generation."""
        for number in range(bisect_right(self.starts, record.cycle) - 1, -1, -1):
            sentence = self.sentences[number]
            if (sentence.slot, sentence.generation) == (frame.header.slot, frame.header.generation):
                return number
        return -1

    def record(self, number: int, record: Record) -> None:
        try:
            frame = parse(record.data)
        except ValueError as error:
            current = max(bisect_right(self.starts, record.cycle) - 1, 0)
            self.add(
                Difference(
                    current, 0, 0, record.port, 0, 0, record.cycle, number, f"at port {record.port}", f"not a frame of ours: {error}"
                )
            )
            return
        header, plan = frame.header, self.plan
        index = self.sentence_of(record, frame)
        edge = plan.edges.get(header.edge)
        node, source = self.sources.get(header.src_kernel, (self.host, "host" if header.src_kernel == HOST_KERNEL else "unknown"))

        def differs(sentence: int, encoder: int, tensor: str, column: int, what: str) -> None:
            self.add(
                Difference(
                    *(sentence, encoder, TENSORS.index(tensor), node, header.row, column, record.cycle, number),
                    *(f"{source} (number {header.src_kernel})", what if record.outbound else f"{what} (as it arrived)"),
                )
            )

        if index < 0 or edge is None or (node == self.host and header.edge != plan.entry.edge):
            current = max(bisect_right(self.starts, record.cycle) - 1, 0)
            what = (
                f"kernel {header.src_kernel} sent edge {header.edge}, slot {header.slot}, generation {header.generation}: "
                "no such message is in the plan"
            )
            differs(current, 0 if edge is None else edge.encoder, "entry" if edge is None else edge.tensor, 0, what)
            return
        sentence = self.sentences[index]
        encoder, tensor = edge.encoder, edge.tensor
        if tensor == "entry" and encoder > 0:  # an encoder's result on its way to the next one
            encoder, tensor = encoder - 1, "ln2"
        if record.outbound:
            sentence.frames += 1
            sentence.wire_bytes += len(record.data)
        width = 4 if tensor in SENDER else 1
        begin, size = 4 * header.offset, len(frame.payload)
        columns: tuple[int, int] | None = None
        if tensor in SENDER or tensor in RECEIVER:
            kernel, operator = (header.src_kernel, SENDER[tensor]) if tensor in SENDER else (header.dst_kernel, RECEIVER[tensor])
            columns = self.columns.get(kernel, {}).get(operator)
            if columns is None:
                differs(index, encoder, tensor, 0, f"kernel {kernel} is on no node with {operator}")
                return
        key = (index, encoder, tensor, columns)
        if key not in self.cache:
            self.cache[key] = reference_rows(self.traces[index][encoder], self.params.encoders[encoder], tensor, columns)
        reference = self.cache[key]
        kind = TYPE_INT32 if width == 4 else TYPE_INT8
        if header.row >= len(reference):
            differs(index, encoder, tensor, 0, f"row {header.row} of a sentence of {len(reference)} rows")
            return
        row = reference[header.row]
        if not size or size % width or begin + size > len(row):
            differs(index, encoder, tensor, 0, f"bytes {begin} to {begin + size} of a row of {len(row)}")
            return
        if header.type != kind:
            differs(index, encoder, tensor, begin // width, f"type {_TYPE_NAMES[header.type]}, expected {_TYPE_NAMES[kind]}")
        last = header.row == len(reference) - 1
        if header.last != last:
            differs(index, encoder, tensor, begin // width, f"last-row flag {int(header.last)}, expected {int(last)}")
        self.values += size // width
        kind_of = np.dtype("<i4") if width == 4 else np.dtype(np.int8)
        got = np.frombuffer(frame.payload, kind_of)
        if record.outbound and node != self.host:
            if key not in self.wire:
                shape = (len(reference), len(row) // width)
                self.wire[key] = WireRows(np.zeros(shape, np.int64), np.zeros(shape, np.bool_))
            place = (header.row, slice(begin // width, (begin + size) // width))
            self.wire[key].values[place] = got
            self.wire[key].seen[place] = True
        if frame.payload != row[begin : begin + size]:
            want = np.frombuffer(row, kind_of)[begin // width : (begin + size) // width]
            first = int(np.flatnonzero(got != want)[0])
            base = columns[0] if columns is not None and tensor in RECEIVER else 0
            differs(index, encoder, tensor, base + begin // width + first, f"got {int(got[first])}, expected {int(want[first])}")
        if tensor == "ln2":
            self._finished(index, encoder, record, frame)

    def _finished(self, index: int, encoder: int, record: Record, frame: Frame) -> None:
        """Bytes of a finished row: the last encoder's count where they reach the host, the others' where they leave."""
        final = encoder == self.plan.encoders - 1
        if record.outbound == final or (final and record.port != self.host):
            return
        sentence, row, begin = self.sentences[index], frame.header.row, 4 * frame.header.offset
        size = len(frame.payload)
        sentence.rtl[encoder][row, begin : begin + size] = np.frombuffer(frame.payload, np.int8)
        self.pieces[index, encoder] |= {(row, piece) for piece in range(begin // 64, (begin + size) // 64)}
        sentence.encoder_end[encoder] = max(sentence.encoder_end[encoder], record.cycle)
        if final:
            sentence.end = sentence.encoder_end[encoder]

    def finish(self) -> None:
        """Rows that should have been on the wire and were not."""
        for index, sentence in enumerate(self.sentences):
            for encoder in range(self.plan.encoders):
                have = self.pieces[index, encoder]
                sentence.on_wire.append(bool(have))
                if not have and encoder < self.plan.encoders - 1 and self.host == 1:
                    continue  # one node: rows between encoders never leave it
                for row in range(sentence.tokens):
                    for piece in range(self.plan.hidden // 64):
                        if (row, piece) not in have:
                            where = (self.plan.owner("ln2", row), row, 64 * piece)
                            node = self.plan.nodes[where[0]]
                            tensor = TENSORS.index("ln2")
                            self.add(
                                Difference(
                                    *(index, encoder, tensor, *where, 0, 0),
                                    *(f"{node.name}.add_norm (number {node.kernels['add_norm']})", "never sent"),
                                )
                            )
            sentence.equal = [(index, encoder) not in self.found for encoder in range(self.plan.encoders)]


def check_sequences(records: Sequence[Record], names: Sequence[str]) -> str | None:
    """Why the sequence numbers of the arrivals are wrong, or None."""
    expected: dict[tuple[int, int], int] = {}
    for number, record in enumerate(records, 1):
        if record.outbound:
            continue
        peer = int.from_bytes(record.data[44:46], "big")
        got = int.from_bytes(record.data[48:51], "big")
        want = expected.get((record.port, peer), 0)
        if got != want:
            return (
                f"sequence error at {names[record.port]}: peer node {peer}, expected sequence number {want}, got {got} "
                f"(frame {number} of the capture, cycle {record.cycle})"
            )
        expected[record.port, peer] = (want + 1) % SEQUENCE_MODULUS
    return None


def analyse(plan: Plan, params: ModelParams, records: Sequence[Record]) -> Analysis:
    """Compare a whole capture with the model. InputError where the capture does not fit the plan at all."""
    if (params.hidden, params.heads, params.ffn, len(params.encoders)) != (plan.hidden, plan.heads, plan.ffn, plan.encoders):
        raise InputError("parameters and plan are of different models; run `floreana sim` again")
    sentences = find_sentences(plan, records)
    comparison = _Comparison(plan, params, sentences)
    for number, record in enumerate(records, 1):
        comparison.record(number, record)
    comparison.finish()
    outbound = [record for record in records if record.outbound]
    return Analysis(
        sentences=sentences,
        differences=sorted(comparison.found.values()),
        frames=len(outbound),
        wire_bytes=sum(len(record.data) for record in outbound),
        values=comparison.values,
        wire=comparison.wire,
    )
