# SPDX-License-Identifier: Apache-2.0
"""The kernel `attention` of a node, job by job (rtl/ibert/ibert_attention.v). A job is a head beat of a row."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from floreana.cluster import layout
from floreana.cluster.schedule import depths
from floreana.cluster.schedule.events import Clock, Flight, Message, Spans
from floreana.cluster.schedule.switch import Switch


@dataclass(frozen=True, slots=True)
class Heads:
    """A context. ``cuts``: cluster, kernel, edge of each beat's message."""

    encoder: int
    bank: int
    beats: int
    cuts: tuple[tuple[int, int, int], ...]


class _Bank:
    """Rows of a sequence in a bank of a slot."""

    __slots__ = ("heads", "keys", "queries", "row", "sequence", "values")

    def __init__(self, heads: Heads, sequence: Flight) -> None:
        self.heads, self.sequence = heads, sequence
        self.keys = self.values = 0  # beats
        self.queries: dict[int, int] = {}  # by row: beats
        self.row = 0  # the next

    @property
    def ready(self) -> bool:
        need = self.sequence.tokens * self.heads.beats
        return self.keys == need and self.values == need and self.queries.get(self.row, 0) == self.heads.beats


class Attention:
    """Scores, exponentials, division and context, each a job at a time."""

    __slots__ = (
        "_banks",
        "_clock",
        "_contexts",
        "_exp",
        "_factor",
        "_heads",
        "_offered",
        "_out",
        "_port",
        "_score",
        "_served",
        "_switch",
        "_waiting",
        "out_beats",
        "spans",
    )  # fmt: skip

    def __init__(self, clock: Clock, switch: Switch, heads: Mapping[int, tuple[Heads, int]]) -> None:
        """``heads``: by edge, the context and the role."""
        self._clock, self._switch, self._heads = clock, switch, heads
        self._port = layout.PORT_ATTENTION
        self._banks: dict[tuple[int, int, int, int], _Bank] = {}  # slot, bank, sequence, encoder
        self._served = (-1, -1)
        self._offered = 0  # cycle from which on the next row may be taken
        # of the last jobs, newest last: the cycle a stage took it in, and its number of keys
        self._score: deque[tuple[int, int]] = deque([(-1000, 0)], maxlen=1)
        self._exp: deque[tuple[int, int]] = deque([(-1000, 0)] * depths.SCORES_STORED, maxlen=depths.SCORES_STORED)
        self._factor = -1000
        self._contexts: deque[tuple[int, int]] = deque([(-1000, 0)] * depths.EXPONENTIALS_STORED, maxlen=depths.EXPONENTIALS_STORED)
        self._out: deque[int] = deque([-1000] * depths.ATTENTION_ROOM, maxlen=depths.ATTENTION_ROOM)
        self._waiting: deque[tuple[int, Message]] = deque()  # output that waits for a cell
        self.spans = Spans()
        self.out_beats = 0

    def take(self, message: Message, first: int, last: int) -> None:
        self._clock.at(last + depths.ATTENTION_IN, self._arrived, message)

    def _arrived(self, message: Message) -> None:
        heads, role = self._heads[message.edge]
        sequence = message.sequence
        key = (sequence.slot, heads.bank, sequence.number, heads.encoder)
        bank = self._banks.get(key)
        if bank is None:
            bank = self._banks[key] = _Bank(heads, sequence)
        if role == layout.ROLE_Q:
            bank.queries[message.row] = bank.queries.get(message.row, 0) + message.beats
        elif role == layout.ROLE_K:
            bank.keys += message.beats
        else:
            bank.values += message.beats
        self._serve()

    def _serve(self) -> None:
        """Take the next row, where none is being offered."""
        if self._clock.now < self._offered:
            return
        ready = sorted(key for key, bank in self._banks.items() if bank.ready)
        if not ready:
            return
        key = next((key for key in ready if key[:2] >= self._served), ready[0])
        self._served = key[:2]
        bank = self._banks[key]
        row = bank.row
        bank.row += 1
        if bank.row == bank.sequence.tokens:
            del self._banks[key]
        at = self._clock.now + depths.OFFER
        for cluster, kernel, edge in bank.heads.cuts:
            at = self._job(at, bank, Message(cluster, kernel, edge, 1, bank.sequence, row)) + 1
        self._offered = at - 1 + depths.ROW_GAP
        self._clock.at(self._offered, self._serve)

    def _job(self, ready: int, bank: _Bank, message: Message) -> int:
        """Take a job through the stages. Returns the cycle in which the first one took it."""
        keys = bank.sequence.tokens
        taken, before = self._score[-1]
        score = max(ready, taken + before, self._exp[0][0] + 1)
        taken, before = self._exp[-1]
        exp = max(score + keys + depths.SCORES, taken + before, self._contexts[0][0] + 1)
        self._factor = max(exp + keys + depths.EXPONENTIALS, self._factor + depths.DIVISION)
        taken, before = self._contexts[-1]
        spaced = taken + before + depths.CONTEXT_SPACING - keys
        context = max(self._factor, taken + before, spaced, self._out[0] + 1)
        beat = context + keys + depths.CONTEXT
        out = max(beat + depths.ATTENTION_OUT, self._out[-1] + 1)
        self._score.append((score, keys))
        self._exp.append((exp, keys))
        self._contexts.append((context, keys))
        self._out.append(out)
        self.spans.add("attention", bank.heads.encoder, bank.sequence.number, score + 1, out)
        self.out_beats += 1
        self._clock.at(out, self._emit, message)
        return score

    def _emit(self, message: Message) -> None:
        self._waiting.append((self._clock.now, message))
        self._flow()

    def _flow(self) -> None:
        while self._waiting:
            if self._switch.full(self._port):
                self._switch.woken[self._port] = self._flow
                return
            self._switch.push(self._port, self._waiting.popleft()[1], self._clock.now)
