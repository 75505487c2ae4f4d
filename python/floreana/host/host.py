# SPDX-License-Identifier: Apache-2.0
"""The host as a port of the simulated network: sends input rows, checks sequence numbers, collects result rows.

It carries bytes and computes no activation. One sentence is in the cluster at a time; slots alternate and the generation
counts the uses of a slot. Row t goes, as one message, to ``add_norm`` on owner(t).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from floreana.cluster.layout import TYPE_INT8, Header
from floreana.host.frame import SEQUENCE_MODULUS, Station, build, parse
from floreana.sim.ethernet import Arrival, Pacer, Sent

SENTENCE_GAP = 64  # cycles between the last row of a sentence and the first of the next
HOST_KERNEL = 255


class RunError(Exception):
    """The run cannot go on; the message says what was seen and where."""


class _Wrong(Exception):
    """A message with _WHERE in the place of the frame's name."""


_WHERE = "\0"


@dataclass(frozen=True, slots=True)
class HostConfig:
    """What the host must know of the plan."""

    port: int
    station: Station
    stations: dict[int, tuple[int, Station]]  # kernel number of each add_norm -> (port, station)
    peers: dict[int, str]  # node number -> name
    cluster: int
    entry_kernel: int
    entry_edge: int
    owners: tuple[int, ...]
    row_bytes: int
    slots: int


@dataclass(slots=True)
class Sentence:
    """What became of one sentence."""

    rows: Sequence[bytes]
    slot: int
    generation: int
    start: int = -1  # first beat of row 0
    end: int = -1  # last beat of the last row back
    got: dict[int, set[int]] = field(default_factory=dict)  # row -> 64-byte pieces that came
    out: list[bytearray] = field(default_factory=list)

    def missing(self, row_bytes: int) -> list[int]:
        """Rows that are not wholly there."""
        return [t for t in range(len(self.rows)) if 64 * len(self.got.get(t, ())) < row_bytes]


class Host:
    """See the module. Call ``send`` once a window, ``receive`` for every frame the switch brings."""

    def __init__(self, config: HostConfig, sentences: Sequence[Sequence[bytes]]) -> None:
        self._config = config
        self.sentences = [Sentence(rows, i % config.slots, i // config.slots % 16) for i, rows in enumerate(sentences)]
        self.current = 0
        self._pacer = Pacer()
        self._queue: list[tuple[int, int, int]] = []  # first beat, last beat, row
        self._sequence: dict[int, int] = {}  # next to send, by peer
        self._arrived: dict[int, list[int]] = {}  # cycles of the frames that came, by peer
        self._begin(0)

    @property
    def done(self) -> bool:
        return self.current == len(self.sentences)

    def _begin(self, ready: int) -> None:
        sentence = self.sentences[self.current]
        sentence.out = [bytearray(self._config.row_bytes) for _ in sentence.rows]
        for row, data in enumerate(sentence.rows):
            first, last = self._pacer.send(ready, 64 + len(data))
            self._queue.append((first, last, row))
        sentence.start = self._queue[0][0]

    def send(self, horizon: int) -> list[Sent]:
        """Frames whose last beat leaves before cycle ``horizon`` and that were not handed out yet."""
        out = []
        while self._queue and self._queue[0][1] < horizon:
            first, last, row = self._queue.pop(0)
            sentence, config = self.sentences[self.current], self._config
            kernel = config.entry_kernel + config.owners[row]
            _, station = config.stations[kernel]
            header = Header(
                dst_cluster=config.cluster,
                dst_kernel=kernel,
                edge=config.entry_edge,
                src_cluster=config.cluster,
                src_kernel=HOST_KERNEL,
                slot=sentence.slot,
                generation=sentence.generation,
                row=row,
                offset=0,
                type=TYPE_INT8,
                last=row == len(sentence.rows) - 1,
            )
            sequence = self._sequence.get(station.node, 0)
            self._sequence[station.node] = (sequence + 1) % SEQUENCE_MODULUS
            # what had come when the frame began to leave, however long the window is
            seen = bisect_left(self._arrived.get(station.node, []), first) % SEQUENCE_MODULUS
            data = build(config.station, station, header, sentence.rows[row], sequence, seen)
            out.append(Sent(last, config.port, data))
        return out

    def receive(self, arrival: Arrival, name: Callable[[], str]) -> None:
        """A frame enters the host's port; ``name`` tells which it is, for errors. RunError if it is wrong."""
        try:
            self._receive(arrival)
        except _Wrong as error:
            raise RunError(str(error).replace(_WHERE, f"{name()}, cycle {arrival.cycle}")) from error

    def _receive(self, arrival: Arrival) -> None:
        where = _WHERE
        try:
            frame = parse(arrival.data)
        except ValueError as error:
            raise _Wrong(f"the host received something that is not a frame of ours ({where}): {error}") from error
        peer = self._config.peers.get(frame.source)
        if peer is None:
            raise _Wrong(f"the host received a frame of node {frame.source}, which the plan does not have ({where})")
        arrived = self._arrived.setdefault(frame.source, [])
        expected = len(arrived) % SEQUENCE_MODULUS
        if frame.sequence != expected:
            raise _Wrong(sequence_message("host", peer, expected, frame.sequence, where))
        arrived.append(arrival.cycle)
        header = frame.header
        if self.done:
            raise _Wrong(f"{peer} sent row {header.row} after the last sentence was complete ({where})")
        sentence = self.sentences[self.current]
        if (header.slot, header.generation) != (sentence.slot, sentence.generation):
            raise _Wrong(
                f"{peer} sent slot {header.slot} generation {header.generation} while slot {sentence.slot} "
                f"generation {sentence.generation} is in the cluster ({where})"
            )
        begin, size = 4 * header.offset, len(frame.payload)
        if header.row >= len(sentence.rows) or begin + size > self._config.row_bytes or begin % 64 or size % 64 or not size:
            raise _Wrong(
                f"{peer} sent bytes {begin} to {begin + size} of row {header.row}: a result has "
                f"{len(sentence.rows)} rows of {self._config.row_bytes} bytes ({where})"
            )
        pieces = set(range(begin // 64, (begin + size) // 64))
        have = sentence.got.setdefault(header.row, set())
        if have & pieces:
            raise _Wrong(f"{peer} sent row {header.row} twice ({where})")
        have |= pieces
        sentence.out[header.row][begin : begin + size] = frame.payload
        if not sentence.missing(self._config.row_bytes):
            sentence.end = arrival.cycle
            self.current += 1
            if not self.done:
                self._begin(arrival.cycle + SENTENCE_GAP)


def sequence_message(receiver: str, peer: str, expected: int, got: int, where: str) -> str:
    """One sentence that says what a wrong sequence number means."""
    ahead = (got - expected) % SEQUENCE_MODULUS
    if ahead < SEQUENCE_MODULUS // 2:
        cause = f"{ahead} frame(s) lost or overtaken"
    else:
        cause = "a frame repeated or out of order"
    return (
        f"sequence error at {receiver}: peer {peer}, expected sequence number {expected}, got {got}: {cause} ({where}); "
        "the network must deliver every frame once and in order"
    )
