# SPDX-License-Identifier: Apache-2.0
"""Ethernet ports, frame by frame: the line's pace, turns of the peers, windows and acknowledgements; and the simulated network.

Rules: docs/transport.md; rtl/net/net_eth.v; the network: python/floreana/sim/ethernet.py. Nothing is lost, so nothing is sent again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from floreana.cluster.layout import BEAT_BYTES, CLUSTERS_BASE
from floreana.cluster.schedule import depths
from floreana.cluster.schedule.events import Clock, Message
from floreana.cluster.topology import LinkEnd, Links

_BEAT = 2 * BEAT_BYTES  # half bytes


def frame_half_bytes(beats: int) -> int:
    """What a frame with so many beats of payload costs on the line, in half bytes."""
    return (beats + depths.HEADER_BEATS) * _BEAT + 2 * depths.OVERHEAD


class Line:
    """A sending port's line: a beat goes when less than a cycle's worth is owed."""

    __slots__ = ("_cycle", "_debt", "half_bytes")

    def __init__(self) -> None:
        self._debt, self._cycle = 0, 0
        self.half_bytes = 0

    def free(self, ready: int) -> int:
        """The first cycle, from ``ready`` on, in which a frame can begin."""
        at = max(self._cycle, ready)
        return at + max(self._debt - depths.HALF_BYTES * (at - self._cycle), 0) // depths.HALF_BYTES

    def send(self, ready: int, beats: int) -> int:
        """Cycle of the last beat of a frame with ``beats`` of payload that begins in cycle ``ready``, one of :meth:`free`."""
        debt = max(self._debt - depths.HALF_BYTES * max(ready - self._cycle, 0), 0)
        count = beats + depths.HEADER_BEATS
        before = debt + (_BEAT - depths.HALF_BYTES) * (count - 1)  # owed when the last beat is to go
        idle = before // depths.HALF_BYTES
        last = ready + count - 1 + idle
        self._debt = max(before - idle * depths.HALF_BYTES, 0) + _BEAT + 2 * depths.OVERHEAD - depths.HALF_BYTES
        self._cycle = last + 1
        self.half_bytes += frame_half_bytes(beats)
        return last


@dataclass(slots=True, eq=False)
class Frame:
    """``told``, ``handed``: of the messages from the receiver, how many came, how many were handed on when the header was made."""

    source: int
    target: int
    message: Message | None
    told: int
    handed: int

    @property
    def beats(self) -> int:
        return 0 if self.message is None else self.message.beats


@dataclass(slots=True, eq=False)
class _Peer:
    quota: int  # messages of ours that may wait there
    queue: deque[tuple[int, Message]] = field(default_factory=deque)  # (ready, message) not sent
    flying: deque[Message] = field(default_factory=deque)  # sent, not acknowledged
    sent: int = 0
    acked: int = 0
    limit: int = 0
    came: int = 0  # messages from it
    handing: deque[int] = field(default_factory=deque)  # cycles in which they are handed on
    handed: int = 0
    owed: int = -1  # since when something is not told


class Network:
    """The segments between the ports: a cable, or an Ethernet switch that queues for each output."""

    __slots__ = ("_clock", "_delay", "_finish", "_last", "_wires", "ports")

    def __init__(self, clock: Clock, links: Links, delay: int) -> None:
        self._clock, self._delay = clock, delay
        self._wires = {end: {other.node: other for other in segment if other != end} for segment in links for end in segment}
        self._finish: dict[LinkEnd, int] = {}
        self._last: dict[LinkEnd, int] = {}
        self.ports: dict[LinkEnd, Port] = {}

    def forward(self, end: LinkEnd, frame: Frame) -> None:
        """The last beat of a frame has left ``end`` in this cycle."""
        to = self._wires[end][frame.target]
        finish = (self._clock.now + self._delay) * depths.HALF_BYTES
        free = self._finish.get(to)
        if free is not None:
            finish = max(finish, free + frame_half_bytes(frame.beats))
        self._finish[to] = finish
        count = frame.beats + depths.HEADER_BEATS
        last = max(-(-finish // depths.HALF_BYTES), self._last.get(to, -count) + count)
        self._last[to] = last
        self._clock.at(last, self.ports[to].receive, frame)


class Port:
    """An Ethernet port of a node, or the host's.

    ``deliver`` takes a message in the cycle of its frame's last beat and answers when it is handed on.
    """

    __slots__ = (
        "_ack_delay",
        "_busy",
        "_clock",
        "_end",
        "_latency",
        "_look",
        "_network",
        "_peers",
        "_round",
        "_rounds",
        "_table",
        "_targets",
        "_turn",
        "_users",
        "acks",
        "cells",
        "deliver",
        "frames",
        "line",
        "own",
        "planned",
        "received",
        "room_hook",
        "sent_hook",
        "tx_cells",
    )  # fmt: skip

    def __init__(
        self,
        clock: Clock,
        network: Network,
        end: LinkEnd,
        *,
        table: Mapping[int, int],
        quotas: Mapping[int, int],
        cluster: int,
        ack_delay: int,
        latency: int,
        tx_cells: int,
        peers_n: int,
        rounds: bool,
    ) -> None:
        """``table``: PEERS; ``quotas``: cells each neighbour keeps for us; ``rounds``: peers are served in rounds, else in turn."""
        self._clock, self._network, self._end = clock, network, end
        self._table, self.own = table, cluster
        self._peers = {node: _Peer(quota, limit=quota) for node, quota in sorted(quotas.items())}
        self._ack_delay = ack_delay + (peers_n // 2 if rounds else 0)  # in RTL the peers are looked at in turn: half a turn
        self._latency, self.tx_cells, self._rounds = latency, tx_cells, rounds
        self._busy: set[int] = set()  # peers with something to send
        self._targets: dict[int, tuple[int, ...]] = {}  # by number in the table
        self._round: list[int] = []
        self._turn = 0
        self._users: dict[int, int] = {}  # id of a message -> peers that have not acknowledged it
        self.acks: deque[int] = deque()  # peers to whom an acknowledgement goes next
        self.cells = 0
        self.frames = self.received = 0
        self.line = Line()
        self.planned = -1
        self.deliver: Callable[[Message], int] = lambda message: 0
        self.room_hook: Callable[[], None] = lambda: None
        self.sent_hook: Callable[[Message, int], None] = lambda message, first: None
        network.ports[end] = self

    def room(self) -> bool:
        """The switch may begin a message to this port."""
        return self.cells + depths.ETH_ROOM <= self.tx_cells

    def take(self, message: Message, first: int, last: int) -> None:
        """A message of the switch, its beats in the cycles ``first`` to ``last``."""
        self.cells += 1
        number = message.kernel if message.cluster == self.own else CLUSTERS_BASE + message.cluster
        targets = self._targets.get(number)
        if targets is None:
            mask = self._table[number]
            targets = self._targets[number] = tuple(node for node in self._peers if mask >> node & 1)
        ready = last + self._latency
        for count, node in enumerate(targets):
            self._peers[node].queue.append((ready + count, message))
        self._busy.update(targets)
        self._users[id(message)] = len(targets)
        self._plan(ready)

    def hand(self, node: int, message: Message) -> None:
        """The host's own: a message for a neighbour."""
        self._users[id(message)] = self._users.get(id(message), 0) + 1
        self._peers[node].queue.append((self._clock.now, message))
        self._busy.add(node)
        self._plan(self._clock.now)

    def _plan(self, ready: int) -> None:
        at = self.line.free(max(ready, self._clock.now))
        if self.planned < 0 or at < self.planned:
            self.planned = at
            self._clock.at(at, self._send, at)

    def _send(self, planned: int) -> None:
        if planned != self.planned:
            return
        self.planned = -1
        now = self._clock.now
        if self.line.free(now) > now:
            self._plan(now)
            return
        frame: Frame | None = None
        if self.acks:
            frame = self._frame(self.acks.popleft(), None)
        else:
            node = self._next(now)
            if node is not None:
                peer = self._peers[node]
                message = peer.queue.popleft()[1]
                if not peer.queue:
                    self._busy.remove(node)
                peer.flying.append(message)
                peer.sent += 1
                self.sent_hook(message, now)
                frame = self._frame(node, message)
        if frame is not None:
            self.frames += 1
            last = self.line.send(now, frame.beats)
            self._clock.at(last, self._network.forward, self._end, frame)
        if self.acks:
            self._plan(now)
            return
        waiting = [peer.queue[0][0] for peer in map(self._peers.__getitem__, self._busy) if peer.sent < peer.limit]
        if waiting:
            self._plan(max(min(waiting), now))

    def _ready(self, node: int, now: int) -> bool:
        peer = self._peers[node]
        return bool(peer.queue) and peer.queue[0][0] <= now and peer.sent < peer.limit

    def _next(self, now: int) -> int | None:
        """Whose turn it is. In rounds: those ready at a round's begin, lowest first; in turn: the next ready one behind the last."""
        if self._rounds:
            while self._round:
                node = self._round.pop(0)
                if self._ready(node, now):
                    return node
            self._round = [node for node in sorted(self._busy) if self._ready(node, now)]
            return self._round.pop(0) if self._round else None
        order = list(self._peers)
        for step in range(len(order)):
            place = (self._turn + step) % len(order)
            if self._ready(order[place], now):
                self._turn = (place + 1) % len(order)
                return order[place]
        return None

    def _frame(self, node: int, message: Message | None) -> Frame:
        peer, now = self._peers[node], self._clock.now
        while peer.handing and peer.handing[0] <= now:
            peer.handing.popleft()
            peer.handed += 1
        peer.owed = -1
        return Frame(self._end.node, node, message, peer.came, peer.handed)

    def receive(self, frame: Frame) -> None:
        """The last beat of a frame is in."""
        now, peer = self._clock.now, self._peers[frame.source]
        self.received += 1
        if frame.told > peer.acked or frame.handed + peer.quota > peer.limit:
            if self.cells + depths.ETH_ROOM >= self.tx_cells or peer.queue:
                self._clock.at(now + depths.ETH_EVENT if self._rounds else now, self._acknowledge, peer, frame.told, frame.handed)
            else:
                self._acknowledge(peer, frame.told, frame.handed)
        if frame.message is not None:
            peer.came += 1
            self._owe(frame.source, peer)
            handed = self.deliver(frame.message)
            peer.handing.append(handed)
            if handed > now:
                self._clock.at(handed, self._owe, frame.source, peer)

    def _owe(self, node: int, peer: _Peer) -> None:
        if peer.owed < 0:
            peer.owed = self._clock.now
            self._clock.at(self._clock.now + self._ack_delay, self._late, node, peer, peer.owed)

    def _late(self, node: int, peer: _Peer, since: int) -> None:
        if peer.owed == since:
            self.acks.append(node)
            self._plan(self._clock.now)

    def _acknowledge(self, peer: _Peer, told: int, handed: int) -> None:
        peer.limit = max(peer.limit, handed + peer.quota)
        freed = False
        while peer.acked < told:
            peer.acked += 1
            message = peer.flying.popleft()
            left = self._users[id(message)] - 1
            if left:
                self._users[id(message)] = left
            else:
                del self._users[id(message)]
                self.cells -= 1
                freed = True
        if peer.queue:
            self._plan(max(self._clock.now, peer.queue[0][0]))
        if freed:
            self.room_hook()
