# SPDX-License-Identifier: Apache-2.0
"""The kernel `linear` of a node, row by row (rtl/ibert/ibert_linear.v)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from floreana.cluster import layout
from floreana.cluster.schedule import depths
from floreana.cluster.schedule.events import Clock, Flight, Message, Spans
from floreana.cluster.schedule.switch import Switch

_NEVER = 1 << 60


@dataclass(frozen=True, slots=True)
class Operator:
    """A context: array words, how its row is cut into messages (kernel relative to the row's owner where ``by_owner``)."""

    name: str
    encoder: int
    prio: int
    int8: bool
    in_beats: int
    groups: int
    ksteps: int  # words of a group
    units: int  # 16 outputs each
    cuts: tuple[tuple[int, int, int, int, int], ...]  # cluster, kernel, by_owner, edge, beats

    @property
    def words(self) -> int:
        return self.groups * self.ksteps


@dataclass(slots=True, eq=False)
class _Row:
    operator: Operator
    sequence: Flight
    row: int
    groups: list[int] = field(default_factory=list)  # cycle in which the first unit of each group can leave its FIFO
    unit: int = 0  # the next unit (int8: of the output stage)
    beats: list[int] = field(default_factory=list)  # int8: cycle in which each beat can leave
    cut: int = 0  # the next message
    beat: int = 0  # the next beat


class Linear:
    """Array, accumulator FIFOs, output stage and output port of one node."""

    __slots__ = (
        "_array_free",
        "_blocked",
        "_chosen",
        "_clock",
        "_count",
        "_current",
        "_emitted",
        "_free",
        "_ints",
        "_next_emit",
        "_operators",
        "_owners",
        "_pick_at",
        "_port",
        "_post",
        "_post_free",
        "_queues",
        "_rooms",
        "_segments",
        "_step_at",
        "_sub",
        "_sums",
        "_switch",
        "_was_int8",
        "cluster",
        "out_beats",
        "spans",
    )  # fmt: skip

    def __init__(
        self, clock: Clock, switch: Switch, operators: Mapping[int, Operator], owners: Sequence[int], shape: Mapping[str, int], cluster: int
    ) -> None:
        """``operators`` by edge."""
        self._clock, self._switch, self._operators, self._owners, self.cluster = clock, switch, operators, owners, cluster
        self._port = layout.PORT_LINEAR
        self._segments = shape["OUT_N"] // 16
        self._sub = 16 // shape["POST_LANES"]
        self._count: dict[tuple[int, int, int], int] = {}
        self._queues: tuple[deque[_Row], ...] = (deque(), deque(), deque(), deque())
        self._pick_at = 0
        self._array_free = 0
        # of sums, of int8: groups for which there never was a need to wait, and cycles in which room comes back
        self._rooms = [depths.ACC_GROUPS, depths.ACC_GROUPS]
        self._free: tuple[deque[int], deque[int]] = (deque(), deque())
        self._blocked: tuple[_Row, int] | None = None  # row at work and the cycle from which its next group may start
        self._sums: deque[_Row] = deque()
        self._ints: deque[_Row] = deque()
        self._post: deque[_Row] = deque()  # rows in the output stage
        self._post_free = 0
        self._emitted: deque[int] = deque()  # int8: cycles in which the last beats left, at most those that hold room
        self._current: _Row | None = None
        self._was_int8 = False
        self._next_emit = 0
        self._step_at = _NEVER
        self.spans = Spans()
        self.out_beats = 0

    # ------------------------------------------------------------------------------------------------------------- rows in

    def take(self, message: Message, first: int, last: int) -> None:
        self._clock.at(last + depths.LINEAR_IN + depths.ROW_QUEUE, self._arrived, message)

    def _arrived(self, message: Message) -> None:
        operator = self._operators[message.edge]
        key = (message.edge, message.sequence.number, message.row)
        count = self._count.get(key, 0) + message.beats
        if count < operator.in_beats:
            self._count[key] = count
            return
        self._count.pop(key, None)
        self._queues[operator.prio].append(_Row(operator, message.sequence, message.row))
        self._choose()

    def _choose(self) -> None:
        """Take the next row where the sequencer may."""
        if self._clock.now < self._pick_at:
            return
        for queue in self._queues:
            if queue:
                row = queue.popleft()
                self._pick_at = _NEVER
                self._clock.at(max(self._clock.now + depths.SEQUENCER, self._array_free), self._begin, row)
                return

    # --------------------------------------------------------------------------------------------------------------- array

    def _begin(self, row: _Row) -> None:
        (self._ints if row.operator.int8 else self._sums).append(row)
        if row.operator.int8:
            self._post.append(row)
        self._go_on(row, self._clock.now)

    def _go_on(self, row: _Row, at: int) -> None:
        """Groups of the row at work, from cycle ``at`` on, as long as it is known when there is room for them."""
        operator = row.operator
        kind, steps = int(operator.int8), operator.ksteps
        free = self._free[kind]
        begin, blocked = at, 0
        while len(row.groups) < operator.groups:
            if self._rooms[kind]:
                self._rooms[kind] -= 1
            elif free:
                cycle = free.popleft()
                if cycle > at:
                    blocked, at = blocked + cycle - at, cycle
            else:
                self._blocked = (row, at)
                break
            at += steps
            row.groups.append(at - 1 + depths.ARRAY + depths.ACC_FIFO)
        if at > begin:
            self.spans.add(operator.name, operator.encoder, row.sequence.number, begin, at, blocked)
        if self._blocked is None:
            self._array_free = at
            # the next row is taken in the last group; where groups are shorter than four words in the last two, or four of one word
            ahead = steps * (4 if steps == 1 else 2 if steps < 4 else 1)
            self._pick_at = at - max(min(ahead, operator.words), depths.LOOK_AHEAD)
            if self._pick_at <= self._clock.now:
                self._choose()
            else:
                self._clock.at(self._pick_at, self._choose)
        self._output()

    def _give(self, kind: int, cycle: int) -> None:
        """The last unit of a group leaves its FIFO in ``cycle``: there is room for one more."""
        self._free[kind].append(cycle + depths.CREDIT)
        if self._blocked is not None and int(self._blocked[0].operator.int8) == kind:
            row, at = self._blocked
            self._blocked = None
            self._clock.at(at, self._go_on, row, at)

    # -------------------------------------------------------------------------------------------------------- output stage

    def _advance(self) -> None:
        """Int8 beats that can be made now: their units are there, and room in the beat FIFO."""
        while self._post:
            row = self._post[0]
            operator = row.operator
            while row.unit < operator.units:
                end = min(row.unit + 4, operator.units)
                if (end - 1) // self._segments >= len(row.groups):
                    return
                if len(self._emitted) >= depths.POST_BEATS:
                    oldest = self._emitted[0]
                    if oldest < 0:
                        return
                    self._emitted.popleft()
                    self._post_free = max(self._post_free, oldest + 1)
                at = self._post_free
                for unit in range(row.unit, end):
                    at = max(at, row.groups[unit // self._segments]) + self._sub
                    if (unit + 1) % self._segments == 0 or unit + 1 == operator.units:
                        self._give(1, at - 1)
                self._post_free = at
                row.unit = end
                row.beats.append(at - 1 + depths.POST)
                self._emitted.append(-1)
            self._post.popleft()

    def _left(self, cycle: int) -> None:
        """The oldest int8 beat in the output stage leaves in ``cycle``."""
        for place, value in enumerate(self._emitted):
            if value < 0:
                self._emitted[place] = cycle
                return

    # --------------------------------------------------------------------------------------------------------- output port

    def _output(self) -> None:
        self._advance()
        self._plan(max(self._next_emit, self._clock.now))

    def _plan(self, at: int) -> None:
        if at < self._step_at:
            self._step_at = at
            self._clock.at(at, self._step, at)

    def _step(self, planned: int) -> None:
        """The output is free: begin the next message."""
        if planned != self._step_at:
            return
        self._step_at = _NEVER
        now = self._clock.now
        if now < self._next_emit:
            self._plan(self._next_emit)
            return
        if self._current is None and not self._arbitrate(now):
            return
        row = self._current
        assert row is not None
        operator = row.operator
        cluster, kernel, by_owner, edge, beats = operator.cuts[row.cut]
        end = row.beat + beats
        if operator.int8 and len(row.beats) < end:  # the output stage waits for the array
            return
        if not operator.int8 and (end - 1) // self._segments >= len(row.groups):
            self._partial(row, end)
            return
        if self._switch.full(self._port):
            self._switch.woken[self._port] = self._output
            return
        at = now
        for beat in range(row.beat, end):
            if operator.int8:
                at = max(at, row.beats[beat])
                self._left(at)
                self._advance()
            else:
                at = max(at, row.groups[beat // self._segments])
                if (beat + 1) % self._segments == 0 or beat + 1 == operator.units:
                    self._give(0, at)
            at += 1
        row.beat, row.cut = end, row.cut + 1
        self._next_emit = at
        self.out_beats += beats
        number = kernel + (self._owners[row.row] if by_owner else 0)
        self._switch.push(self._port, Message(cluster, number, edge, beats, row.sequence, row.row), at - 1 + depths.EMIT)
        if row.cut == len(operator.cuts):
            self._current = None
            (self._ints if operator.int8 else self._sums).popleft()
        self._plan(at)

    def _partial(self, row: _Row, end: int) -> None:
        """The array waits for room, and the message at the output is not whole: what is there leaves, so that there is room again."""
        at = max(self._clock.now, self._next_emit)
        while row.beat < end and row.beat // self._segments < len(row.groups):
            at = max(at, row.groups[row.beat // self._segments])
            if (row.beat + 1) % self._segments == 0:
                self._give(0, at)
            at += 1
            row.beat += 1
        self._next_emit = at

    def _arbitrate(self, now: int) -> bool:
        """Choose the row that leaves next; False: none can now, the next look is planned."""
        some = _NEVER
        sums = self._sums[0] if self._sums and self._sums[0].groups else None
        ints = self._ints[0] if self._ints and self._ints[0].beats else None
        sum_at = sums.groups[0] if sums is not None else _NEVER
        int_at = ints.beats[0] if ints is not None else _NEVER
        whole_at = _NEVER
        if ints is not None:
            beats = ints.operator.units // 4
            needed = min(beats, depths.POST_HALF)
            if len(ints.beats) >= needed:
                whole_at = ints.beats[needed - 1] + 1
        sum_valid, int_valid, whole = sum_at <= now, int_at <= now, whole_at <= now
        if int_valid and (whole or not sum_valid) and not (sum_valid and self._was_int8):
            self._current, self._was_int8 = ints, True
        elif sum_valid:
            self._current, self._was_int8 = sums, False
        else:
            some = min(sum_at, int_at)
            if some < _NEVER:
                self._plan(some)
            return False
        return True
