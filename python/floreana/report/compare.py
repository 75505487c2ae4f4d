# SPDX-License-Identifier: Apache-2.0
"""The wire against the integer model: every message of a capture compared with the tensor that the plan says its edge carries.

Input rows come from the host's own frames, so that a capture, a plan and the parameters are all it takes. A message is compared as it
first left a port and as it entered the next one in its turn; what is sent again, doubled, broken or lost on the way is the transport's
business (`floreana.report.transport`), which is checked here, too.

Where a node restarted, the host sent its sentences once more, with the next generation: an attempt that was given up is compared as
far as it came, and only the last one must be complete.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from floreana.cluster.layout import BEAT_BYTES, TYPE_CONTROL, TYPE_INT8, TYPE_INT32, Header
from floreana.cluster.plan import GATEWAY_KERNEL, GROUP_BASE, HOST_KERNEL, MANAGER, MANAGER_BASE, RECEIVER, SENDER, TENSORS, Plan
from floreana.errors import InputError
from floreana.host.frame import DATA, Frame, parse
from floreana.ibert import ops
from floreana.ibert.model import EncoderTrace, model
from floreana.ibert.params import EncoderParams, IntArray, LinearParams, ModelParams
from floreana.report.load import PortLoad, port_loads
from floreana.report.transport import Traffic, inspect, network
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
    start: int  # cycle of the first beat of the first row that left the host's port
    inputs: list[bytes]
    attempts: int = 1  # slot and generation are those of the last
    end: int = -1  # cycle of the last beat of the last row back
    norm_end: int = -1  # the same as it left the node of the last add_norm
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
    def cycles_to_last_add_norm(self) -> int:
        return self.norm_end - self.start

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

    ``wire`` has every value that left a node, or the host for a `linear` in a node's stead, by sentence, encoder, tensor and columns: those
    of the receiver's operator, of partial sums the inputs summed over, None where rows are sent whole.
    """

    sentences: list[SentenceAnalysis]
    differences: list[Difference]
    frames: int
    wire_bytes: int
    values: int  # compared
    wire: Wire
    traffic: Traffic
    ports: list[PortLoad]  # in the capture's order

    @property
    def span(self) -> tuple[int, int]:
        """From the first sentence's start to the last one's end."""
        return min(s.start for s in self.sentences), max(s.end for s in self.sentences)

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


@dataclass(slots=True)
class Attempt:
    """One way of a sentence through the cluster. ``last``: the flagged last row that left, None if it never did."""

    slot: int
    generation: int
    start: int
    rows: dict[int, dict[int, bytes]] = field(default_factory=dict)  # row -> offset in bytes -> payload, of the copy that left first
    copies: set[tuple[int, int, int]] = field(default_factory=set)  # (row, kernel it went to, piece of 64 bytes)
    last: int | None = None
    results: set[tuple[int, int]] = field(default_factory=set)  # (row, piece of 64 bytes) that reached the host
    sentence: int = -1

    def row(self, number: int) -> bytes:
        """Bytes of a row, as far as they are there."""
        return b"".join(payload for _, payload in sorted(self.rows.get(number, {}).items()))

    def inputs(self, row_bytes: int) -> list[bytes] | None:
        """All rows, None if some are missing."""
        count = len(self.rows)
        whole = [self.row(t) for t in range(count)]
        return whole if self.last == count - 1 and all(len(row) == row_bytes for row in whole) else None

    def begins(self, other: Attempt) -> bool:
        """True where all that was sent here was sent there, too."""
        return all(other.rows.get(row, {}).get(at) == payload for row, parts in self.rows.items() for at, payload in parts.items())


def is_control(header: Header) -> bool:
    """True of a message between the host and a manager, or between gateways (the host is one)."""
    managers = {MANAGER, *range(MANAGER_BASE, GROUP_BASE)}
    ends = {header.src_kernel, header.dst_kernel}
    gateways = GATEWAY_KERNEL in ends and ends <= {GATEWAY_KERNEL, HOST_KERNEL}
    return header.type == TYPE_CONTROL and (gateways or (HOST_KERNEL in ends and bool(managers & ends)))


def find_attempts(plan: Plan, records: Sequence[Record], once: Sequence[bool]) -> list[Attempt]:
    """Every attempt of a sentence, in order, from the frames that left and entered the host's port. InputError if there is none."""
    host_port = sum(len(node.ports) for node in plan.nodes)
    out: list[Attempt] = []
    latest: dict[tuple[int, int], Attempt] = {}
    using: dict[int, int] = {}  # slot -> generation; one comes again after all others only
    for record, counts in zip(records, once, strict=True):
        if record.port != host_port or not counts:
            continue
        frame = parse(record.data)
        header = frame.header
        if is_control(header):
            continue
        key, begin = (header.slot, header.generation), 4 * header.offset
        attempt = latest.get(key)
        pieces = range(begin // BEAT_BYTES, (begin + len(frame.payload)) // BEAT_BYTES)
        if not record.outbound:
            if attempt is not None:
                attempt.results |= {(header.row, piece) for piece in pieces}
            continue
        if header.edge not in plan.entry.edges:
            edges = " or ".join(str(edge) for edge in sorted(plan.entry.edges))
            raise InputError(f"the host sent a frame on edge {header.edge}, not {edges} (cycle {record.cycle})")
        if attempt is None or using[header.slot] != header.generation:
            attempt = latest[key] = Attempt(*key, record.cycle - beats(len(record.data)) + 1)
            using[header.slot] = header.generation
            out.append(attempt)
        attempt.rows.setdefault(header.row, {}).setdefault(begin, frame.payload)
        attempt.copies |= {(header.row, header.dst_kernel, piece) for piece in pieces}
        if header.last:
            attempt.last = header.row
    if not out:
        raise InputError("the capture holds no frame from the host; run `floreana sim` again")
    return out


def find_sentences(plan: Plan, attempts: Sequence[Attempt]) -> list[SentenceAnalysis]:
    """Sentences and their input rows; sets ``sentence`` of the attempts. InputError if the rows of one are not whole."""
    begun: dict[int, list[Attempt]] = {}  # place of the last attempt of a sentence -> all of them
    waiting: list[Attempt] = []  # given up, not matched with what followed
    for place, attempt in enumerate(attempts):
        inputs = attempt.inputs(plan.hidden)
        results = 0 if inputs is None else len(inputs) * plan.hidden // BEAT_BYTES
        whole = inputs is not None and len(attempt.results) == results
        if not whole and any(attempt.begins(other) for other in attempts[place + 1 :]):
            waiting.append(attempt)
            continue
        if inputs is None:
            raise InputError(
                f"the capture holds rows {sorted(attempt.rows)} of a sentence in slot {attempt.slot}, generation {attempt.generation}: not "
                "all of them, or not whole; run `floreana sim` again"
            )
        mine = [other for other in waiting if other.begins(attempt)]
        waiting = [other for other in waiting if other not in mine]
        begun[place] = [*mine, attempt]
    out = []
    for number, group in enumerate(sorted(begun.values(), key=lambda group: group[0].start)):
        last = group[-1]
        for attempt in group:
            attempt.sentence = number
        inputs = last.inputs(plan.hidden)
        assert inputs is not None
        out.append(SentenceAnalysis(last.slot, last.generation, group[0].start, inputs, len(group)))
    return out


class _Comparison:
    """State of one pass over a capture."""

    def __init__(self, plan: Plan, params: ModelParams, attempts: list[Attempt], sentences: list[SentenceAnalysis]) -> None:
        self.plan = plan
        self.params = params
        self.attempts = attempts
        self.sentences = sentences
        self.host = len(plan.nodes)
        self.port_nodes = [node.index for node in plan.nodes for _ in node.ports] + [self.host]
        self.starts = [attempt.start for attempt in attempts]
        self.seen: set[tuple[int, int, bytes, bytes]] = set()  # messages that left a port: attempt, port, hop's address, header
        kernels = [(node, kind, (node.cluster, number)) for node in plan.nodes for kind, number in node.kernels.items()]
        self.sources = {address: (node.index, f"{node.name}.{kind}") for node, kind, address in kernels}
        self.gateways = {c.number: (c.gateway, f"{plan.nodes[c.gateway].name}.gateway") for c in plan.clusters if c.gateway >= 0}
        self.traces = [
            model(
                params,
                np.array([np.frombuffer(row, np.int8) for row in sentence.inputs], np.int64),
            )
            for sentence in sentences
        ]
        self.columns = {address: node.columns for node, _kind, address in kernels}
        self.cache: dict[tuple[int, int, str, tuple[int, int] | None], list[bytes]] = {}
        self.found: dict[tuple[int, int], Difference] = {}
        self.values = 0
        self.wire: Wire = {}
        # pieces of 64 bytes of every encoder's finished rows that left a port, or reached the host
        self.pieces: dict[tuple[int, int], set[tuple[int, int]]] = defaultdict(set)
        self.left: dict[int, dict[tuple[int, int], int]] = defaultdict(dict)  # sentence -> piece of a result -> cycle in which it left
        for sentence, trace in zip(sentences, self.traces, strict=True):
            shape = (sentence.tokens, plan.hidden)
            sentence.rtl = [np.zeros(shape, np.int8) for _ in range(plan.encoders)]
            sentence.model = [t.ln2.astype(np.int8) for t in trace]
            sentence.encoder_end = [-1] * plan.encoders

    def add(self, difference: Difference) -> None:
        key = (difference.sentence, difference.encoder)
        if key not in self.found or difference < self.found[key]:
            self.found[key] = difference

    def attempt_of(self, record: Record, frame: Frame) -> int:
        """Number of the attempt a frame belongs to: the youngest of its slot and generation; -1 where there is none."""
        for number in range(bisect_right(self.starts, record.cycle) - 1, -1, -1):
            attempt = self.attempts[number]
            if (attempt.slot, attempt.generation) == (frame.header.slot, frame.header.generation):
                return number
        return -1

    def current(self, record: Record) -> int:
        """Number of the sentence that began last."""
        return max(self.attempts[max(bisect_right(self.starts, record.cycle) - 1, 0)].sentence, 0)

    def entering(self, header: Header) -> bool:
        """True of a row from the host to whom the plan sends it."""
        owners, row = self.plan.owners, header.row
        return row < len(owners) and (header.dst_kernel, header.edge) in self.plan.entry.copies(row, owners[row])

    def record(self, number: int, record: Record, counts: bool) -> None:
        """``counts``: this is the one sending, or the one arrival, of a message."""
        if record.bad:
            return
        try:
            frame = parse(record.data)
        except ValueError as error:
            self.add(
                Difference(
                    *(self.current(record), 0, 0, record.port, 0, 0, record.cycle, number),
                    *(f"at port {record.port}", f"not a frame of ours: {error}"),
                )
            )
            return
        if frame.type != DATA or not counts or is_control(frame.header):
            return
        header, plan = frame.header, self.plan
        attempt = self.attempt_of(record, frame)
        index = self.attempts[attempt].sentence
        edge = plan.edges.get(header.edge)
        if header.src_kernel == GATEWAY_KERNEL:
            node, source = self.gateways.get(header.src_cluster, (self.host, "unknown"))
        else:
            address = (header.src_cluster, header.src_kernel)
            node, source = self.sources.get(address, (self.host, "host" if header.src_kernel == HOST_KERNEL else "unknown"))

        def differs(sentence: int, encoder: int, tensor: str, column: int, what: str) -> None:
            self.add(
                Difference(
                    *(sentence, encoder, TENSORS.index(tensor), node, header.row, column, record.cycle, number),
                    *(f"{source} (number {header.src_kernel})", what if record.outbound else f"{what} (as it arrived)"),
                )
            )

        if attempt < 0 or edge is None or (node == self.host and not self.entering(header)):
            current = self.current(record)
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
            once = (attempt, record.port, record.data[:6], record.data[54:64])
            if once in self.seen:
                differs(index, encoder, tensor, 0, "the message was made twice")
            self.seen.add(once)
        width = 4 if tensor in SENDER else 1
        begin, size = 4 * header.offset, len(frame.payload)
        columns: tuple[int, int] | None = None
        if tensor in SENDER or tensor in RECEIVER:
            if tensor in SENDER:
                cluster, kernel, operator = header.src_cluster, header.src_kernel, SENDER[tensor]
            else:
                cluster, kernel, operator = header.dst_cluster, header.dst_kernel, RECEIVER[tensor]
            columns = self.columns.get((cluster, kernel), {}).get(operator)
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
        if record.outbound and (node != self.host or header.edge == plan.entry.row_edge):
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
        if tensor == "ln2" and self.attempts[attempt].generation == sentence.generation and self.attempts[attempt].slot == sentence.slot:
            self._finished(index, encoder, record, frame, node)

    def _finished(self, index: int, encoder: int, record: Record, frame: Frame, node: int) -> None:
        """Bytes of a finished row: the last encoder's count where they reach the host, the others' where they leave their node."""
        final = encoder == self.plan.encoders - 1
        pieces = [
            (frame.header.row, piece) for piece in range(frame.header.offset // 16, frame.header.offset // 16 + len(frame.payload) // 64)
        ]
        if final and record.outbound:
            for piece in pieces:
                self.left[index].setdefault(piece, record.cycle)
        if record.outbound == final or self.port_nodes[record.port] != (self.host if final else node):
            return
        sentence, row, begin = self.sentences[index], frame.header.row, 4 * frame.header.offset
        size = len(frame.payload)
        sentence.rtl[encoder][row, begin : begin + size] = np.frombuffer(frame.payload, np.int8)
        self.pieces[index, encoder] |= set(pieces)
        sentence.encoder_end[encoder] = max(sentence.encoder_end[encoder], record.cycle)
        if final:
            sentence.end = sentence.encoder_end[encoder]

    def finish(self) -> None:
        """Rows that should have been on the wire and were not."""
        plan = self.plan
        for index, attempt in {attempt.sentence: attempt for attempt in self.attempts}.items():  # the last one of each sentence
            for row in range(self.sentences[index].tokens):
                for kernel, _ in plan.entry.copies(row, plan.owners[row]):
                    for piece in range(plan.hidden // BEAT_BYTES):
                        if (row, kernel, piece) not in attempt.copies:
                            place = (index, 0, TENSORS.index("entry"), self.host, row, BEAT_BYTES * piece, 0, 0)
                            self.add(Difference(*place, f"host (number {HOST_KERNEL})", f"never sent to kernel {kernel}"))
        for index, sentence in enumerate(self.sentences):
            sentence.norm_end = max(self.left[index].values(), default=-1)
            for encoder in range(self.plan.encoders):
                have = self.pieces[index, encoder]
                sentence.on_wire.append(bool(have))
                following = encoder + 1
                takers = {*plan.holders("qkv", following), *plan.holders("ln1", following)} if following < plan.encoders else {self.host}
                for row in range(sentence.tokens):
                    if takers == {plan.owner("ln2", row, encoder)}:
                        continue  # who takes it is where it is made: the row never leaves its node
                    for piece in range(plan.hidden // 64):
                        if (row, piece) not in have:
                            where = (self.plan.owner("ln2", row, encoder), row, 64 * piece)
                            node = self.plan.nodes[where[0]]
                            tensor = TENSORS.index("ln2")
                            self.add(
                                Difference(
                                    *(index, encoder, tensor, *where, 0, 0),
                                    *(f"{node.name}.add_norm (number {node.kernels['add_norm']})", "never sent"),
                                )
                            )
            sentence.equal = [(index, encoder) not in self.found for encoder in range(self.plan.encoders)]


def analyse(plan: Plan, params: ModelParams, records: Sequence[Record]) -> Analysis:
    """Compare a whole capture with the model. InputError where the capture does not fit the plan at all."""
    if (params.hidden, params.heads, params.ffn, len(params.encoders)) != (plan.hidden, plan.heads, plan.ffn, plan.encoders):
        raise InputError("parameters and plan are of different models; run `floreana sim` again")
    traffic = inspect(plan, records)
    attempts = find_attempts(plan, records, traffic.once)
    sentences = find_sentences(plan, attempts)
    comparison = _Comparison(plan, params, attempts, sentences)
    for number, (record, counts) in enumerate(zip(records, traffic.once, strict=True), 1):
        comparison.record(number, record, counts)
    comparison.finish()
    outbound = [record for record in records if record.outbound]
    return Analysis(
        sentences=sentences,
        differences=sorted(comparison.found.values()),
        frames=len(outbound),
        wire_bytes=sum(len(record.data) for record in outbound),
        values=comparison.values,
        wire=comparison.wire,
        traffic=traffic,
        ports=port_loads(network(plan).names, records, min(s.start for s in sentences), max(s.end for s in sentences)),
    )
