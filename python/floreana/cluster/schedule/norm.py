# SPDX-License-Identifier: Apache-2.0
"""The kernel `add_norm` of a node, row by row (rtl/ibert/ibert_add_norm.v)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from floreana.cluster import layout
from floreana.cluster.schedule import depths
from floreana.cluster.schedule.events import Clock, Flight, Message, Spans
from floreana.cluster.schedule.switch import Switch

_NEVER = 1 << 60


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


@dataclass(frozen=True, slots=True)
class _Job:
    """A row at work, since cycle ``begin``."""

    norm: Norm
    sequence: Flight
    row: int
    begin: int


class AddNorm:
    """The ready rows one after the other: context and first pass, then second and third pass beside the first of the next."""

    __slots__ = (
        "_clock", "_counts", "_granted", "_idle", "_lanes", "_mean", "_norm_idle", "_norms", "_owners", "_parts", "_port", "_queue",
        "_stopped", "_switch", "_third", "_waiting", "_waits", "out_beats", "spans",
    )  # fmt: skip

    def __init__(
        self, clock: Clock, switch: Switch, norms: Mapping[int, tuple[Norm, int]], owners: Sequence[int], shape: Mapping[str, int]
    ) -> None:
        """``norms``: by edge, the context and the role."""
        self._clock, self._switch, self._norms, self._owners = clock, switch, norms, owners
        self._port = layout.PORT_ADD_NORM
        self._lanes = shape["NORM_LANES"]
        self._mean = -(
            -(24 + (layout.BEAT_BYTES * shape["ROW_BEATS"] - 1).bit_length()) // 2
        )  # ibert_residual_sum.v SUM_W, two bits a cycle
        self._counts: dict[tuple[str, int, int, int], list[int]] = {}
        self._queue: deque[tuple[Norm, Flight, int]] = deque()
        self._idle = 0  # cycle in which the next row can be taken
        self._norm_idle = 0  # cycle in which the second pass can start, as soon as it is known
        self._third = (-1, -1)  # cycles in which the third pass has or awaits the requants
        self._granted = -1000  # cycle of the last accumulator beat of the first pass
        self._stopped: tuple[_Job, int, int] | None = None  # a first pass that the third of the row before has stopped
        self._waits: Callable[[], None] | None = None  # who goes on as soon as _norm_idle is known
        self._parts: deque[tuple[int, int]] = deque()  # cycles in which parts read the accumulators
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
            self._resume()

    def _next(self) -> None:
        if not self._queue:
            return
        norm, sequence, row = self._queue.popleft()
        now = self._clock.now
        job = _Job(norm, sequence, row, now)
        self._idle = _NEVER
        if norm.copies:
            self._copy(job)
            return
        first = now + depths.NORM_START + depths.NORM_SUM_START
        self._clock.at(first - depths.ACC_READ, self._sum, job, first, 4 * norm.beats)

    def _copy(self, job: _Job) -> None:
        """A row of mode ENTRY leaves unchanged, behind the one that is being normalised."""
        if self._norm_idle == _NEVER:
            self._waits = partial(self._copy, job)
            return
        first = max(job.begin + depths.COPY_START, self._norm_idle + depths.COPY_IDLE)
        done = first + job.norm.beats
        self._clock.at(done + depths.NORM_OUT, self._emit, job)
        self._free(done + 1)

    def _free(self, cycle: int) -> None:
        self._idle = cycle
        self._clock.at(cycle, self._resume)

    def _resume(self) -> None:
        if self._idle <= self._clock.now:
            self._next()

    def _sum(self, job: _Job, at: int, left: int) -> None:
        """First pass: ``left`` accumulator beats from cycle ``at`` on, one in 16/LANES cycles, where neither parts nor the third pass read.

        A part that begins now reads ACC_READ cycles later, so what is further away is looked at again.
        """
        step, parts = 16 // self._lanes, self._parts
        known = self._clock.now + depths.ACC_READ
        while left:
            while parts and parts[0][1] < at:
                parts.popleft()
            if self._third[0] <= at <= self._third[1]:
                if self._third[1] == _NEVER:
                    self._stopped = (job, at, left)
                    return
                at = self._third[1] + 1
            elif parts and parts[0][0] <= at:
                at = parts[0][1] + 1
            elif at > known:
                self._clock.at(at - depths.ACC_READ, self._sum, job, at, left)
                return
            else:
                self._granted = at
                left -= 1
                at += step
        self._clock.at(self._granted + step + depths.NORM_SUM + self._mean, self._hand, job)

    def _hand(self, job: _Job) -> None:
        """Second pass, root and reciprocal, where the row before has left."""
        if self._norm_idle == _NEVER:
            self._waits = partial(self._hand, job)
            return
        start = max(self._clock.now + depths.NORM_HAND, self._norm_idle)
        words = job.norm.beats * layout.BEAT_BYTES // self._lanes
        room = start + words // 2 + depths.NORM_ROOT + depths.NORM_RECIP
        self._third, self._norm_idle = (room, _NEVER), _NEVER
        self._clock.at(room, self._scale, job, words)
        self._free(start + 1)

    def _scale(self, job: _Job, words: int) -> None:
        """Third pass: it waits until the first pass of the next row has none of its words in front of the shared requants."""
        now = self._clock.now
        last = max(now, self._granted + depths.NORM_QUIET + 16 // self._lanes) + words
        self._third = (now, last + depths.NORM_SCALE)
        self._norm_idle = last + depths.NORM_SCALE + depths.NORM_FLUSH + 1
        self._clock.at(last + depths.NORM_SCALE + depths.NORM_FLUSH + depths.NORM_OUT, self._emit, job)
        if self._stopped is not None:
            self._sum(*self._stopped)
            self._stopped = None
        if self._waits is not None:
            waits, self._waits = self._waits, None
            waits()

    def _emit(self, job: _Job) -> None:
        norm, sequence = job.norm, job.sequence
        self.spans.add(norm.name, norm.encoder, sequence.number, job.begin, self._clock.now)
        for cluster, kernel, by_owner, edge, beats in norm.cuts:
            number = kernel + (self._owners[job.row] if by_owner else 0)
            self.out_beats += beats
            self._waiting.append(Message(cluster, number, edge, beats, sequence, job.row))
        self._flow()

    def _flow(self) -> None:
        while self._waiting:
            if self._switch.full(self._port):
                self._switch.woken[self._port] = self._flow
                return
            self._switch.push(self._port, self._waiting.popleft(), self._clock.now)
