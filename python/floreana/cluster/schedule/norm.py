# SPDX-License-Identifier: Apache-2.0
"""The kernel `add_norm` of a node, row by row (rtl/ibert/ibert_add_norm.v)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from floreana.cluster import layout
from floreana.cluster.schedule import depths
from floreana.cluster.schedule.events import Clock, Message, Sequence_, Spans
from floreana.cluster.schedule.switch import Switch


@dataclass(frozen=True, slots=True)
class Norm:
    """A context. ``arrivals``: slices that make a row complete; ``residual``: beats of a residual it waits for, too."""

    name: str
    encoder: int
    copies: bool  # mode ENTRY
    beats: int
    arrivals: int
    residual: int
    cuts: tuple[tuple[int, int, int, int, int], ...]  # cluster, kernel, by_owner, edge, beats


class AddNorm:
    """The ready rows one after the other: context and first pass, then second and third pass beside the first of the next."""

    __slots__ = (
        "_clock",
        "_counts",
        "_idle",
        "_lanes",
        "_mean",
        "_norm_idle",
        "_norms",
        "_out",
        "_owners",
        "_parts",
        "_port",
        "_queue",
        "_switch",
        "_third",
        "_waiting",
        "out_beats",
        "spans",
    )  # fmt: skip

    def __init__(
        self, clock: Clock, switch: Switch, norms: Mapping[int, tuple[Norm, int]], owners: Sequence[int], shape: Mapping[str, int]
    ) -> None:
        """``norms``: by edge, the context and the role."""
        self._clock, self._switch, self._norms, self._owners = clock, switch, norms, owners
        self._port = layout.PORT_ADD_NORM
        self._lanes = shape["NORM_LANES"]
        self._mean = -(-(24 + (layout.BEAT_BYTES * shape["ROW_BEATS"] - 1).bit_length()) // 2)  # ibert_residual_sum.v SUM_W, two bits a cycle
        self._counts: dict[tuple[str, int, int, int], list[int]] = {}
        self._queue: deque[tuple[Norm, Sequence_, int]] = deque()
        self._idle = 0  # cycle in which the next row can be taken; -1: a row is at work
        self._norm_idle = 0  # cycle in which the second pass can start
        self._third = (0, 0)  # cycles in which the third pass keeps the accumulators
        self._parts: deque[tuple[int, int]] = deque()  # cycles in which parts read the accumulators
        self._out = 0
        self._waiting: deque[Message] = deque()
        self.spans = Spans()
        self.out_beats = 0

    def take(self, message: Message, first: int, last: int) -> None:
        if self._norms[message.edge][1] == layout.ROLE_PART:
            self._parts.append((first + depths.ACC_READ, last + depths.ACC_READ))
        self._clock.at(last + depths.NORM_IN, self._arrived, message)

    def _arrived(self, message: Message) -> None:
        norm, role = self._norms[message.edge]
        key = (norm.name, norm.encoder, message.sequence.number, message.row)
        count = self._counts.setdefault(key, [0, 0])
        if role == layout.ROLE_PART:
            count[0] += 1
        elif role == layout.ROLE_RESIDUAL:
            count[1] += message.beats
        else:
            count[0] += message.beats
        if count[0] == norm.arrivals and count[1] == norm.residual:
            del self._counts[key]
            self._queue.append((norm, message.sequence, message.row))
            if 0 <= self._idle <= self._clock.now:
                self._next()

    def _next(self) -> None:
        if not self._queue:
            return
        norm, sequence, row = self._queue.popleft()
        now = self._clock.now
        self._idle = -1
        if norm.copies:
            first = max(now + depths.COPY_START, self._norm_idle + depths.COPY_IDLE)
            done = first + norm.beats
            self._clock.at(done - 1 + 1 + depths.NORM_OUT, self._emit, norm, sequence, row, now)
            self._free(done + 1)
            return
        begin = now + depths.NORM_START + depths.NORM_SUM_START
        self._clock.at(begin - depths.ACC_READ, self._sum, norm, sequence, row, now, begin, 4 * norm.beats)

    def _free(self, cycle: int) -> None:
        self._idle = cycle
        self._clock.at(cycle, self._resume)

    def _resume(self) -> None:
        if 0 <= self._idle <= self._clock.now:
            self._next()

    def _sum(self, norm: Norm, sequence: Sequence_, row: int, began: int, at: int, left: int) -> None:
        """First pass: ``left`` accumulator beats from cycle ``at`` on, one in 16/LANES cycles, where neither parts nor the third pass read.

        A part that begins now reads ACC_READ cycles later, so what is further away is looked at again.
        """
        step, parts = 16 // self._lanes, self._parts
        known = self._clock.now + depths.ACC_READ
        while left:
            while parts and parts[0][1] < at:
                parts.popleft()
            if self._third[0] <= at <= self._third[1]:
                at = self._third[1] + 1
            elif parts and parts[0][0] <= at:
                at = parts[0][1] + 1
            elif at > known:
                self._clock.at(at - depths.ACC_READ, self._sum, norm, sequence, row, began, at, left)
                return
            else:
                left -= 1
                at += step
        self._clock.at(at + depths.NORM_SUM + self._mean, self._hand, norm, sequence, row, began)

    def _hand(self, norm: Norm, sequence: Sequence_, row: int, began: int) -> None:
        """Second and third pass."""
        start = max(self._clock.now + depths.NORM_HAND, self._norm_idle)
        words = norm.beats * layout.BEAT_BYTES // self._lanes
        room = start + words // 2 + depths.NORM_ROOT + depths.NORM_RECIP
        last = room + words
        self._third = (room, last + depths.NORM_SCALE)
        self._norm_idle = last + depths.NORM_SCALE + depths.NORM_FLUSH + 1
        out = last + depths.NORM_SCALE + depths.NORM_FLUSH + depths.NORM_OUT
        self._clock.at(out, self._emit, norm, sequence, row, began)
        self._free(start + 1)

    def _emit(self, norm: Norm, sequence: Sequence_, row: int, began: int) -> None:
        now = self._clock.now
        self.spans.add(norm.name, norm.encoder, sequence.number, began, now)
        for cluster, kernel, by_owner, edge, beats in norm.cuts:
            number = kernel + (self._owners[row] if by_owner else 0)
            self.out_beats += beats
            self._waiting.append(Message(cluster, number, edge, beats, sequence, row))
        self._flow()

    def _flow(self) -> None:
        while self._waiting:
            if self._switch.full(self._port):
                self._switch.woken[self._port] = self._flow
                return
            self._switch.push(self._port, self._waiting.popleft(), self._clock.now)
