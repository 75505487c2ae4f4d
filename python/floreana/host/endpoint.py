# SPDX-License-Identifier: Apache-2.0
"""The transport of one port in software: docs/transport.md, rule by rule. No socket, no clock: time is an integer handed in.

``receive`` (or ``receive_segment`` behind a UDP socket) takes what came, ``send`` queues a message, ``poll`` (or ``poll_segments``) gives
the frames to send, ``take`` hands on a message that arrived, ``next_time`` says when to poll again. Nothing here raises on what the
network brings: a frame that is not right is dropped and counted by its cause.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from floreana.cluster.layout import Header
from floreana.host.frame import (
    ACK,
    DATA,
    EPOCHS,
    HELLO,
    HELLO_ACK,
    HOP_BYTES,
    MAX_PAYLOAD_BYTES,
    NACK,
    NO_MESSAGE,
    SEGMENT_BYTES,
    SEQUENCE_MODULUS,
    TYPE_NAMES,
    Cause,
    Segment,
    Station,
    build_hop,
    build_segment,
    inspect,
    inspect_segment,
    is_empty,
    newer,
    parse_segment,
)

_HALF = SEQUENCE_MODULUS // 2
_REGISTER = 1 << 24
_BURST = 4  # messages under way after going back, at most


@dataclass(frozen=True, slots=True)
class Timers:
    """The five registers, in units of the time handed in (cycles), but for ``retries``. ``keep`` = 0: never."""

    ack_delay: int = 128
    rto: int = 4096
    retries: int = 24
    keep: int = 32768
    nack_hold: int = 768

    def __post_init__(self) -> None:
        for name, least in (("ack_delay", 0), ("rto", 1), ("retries", 1), ("keep", 0), ("nack_hold", 0)):
            value = getattr(self, name)
            if not least <= value < _REGISTER:
                raise ValueError(f"{name} = {value}: a register holds {least} to {_REGISTER - 1}; choose a value in this range")


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """A peer's addresses, and how many messages of it may wait here to be handed on (1 to 255)."""

    station: Station
    quota: int = 32


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """``peers`` by whatever their user calls them; frames carry the node numbers of their stations.

    ``window``: messages queued for a peer at most; ``cells``: messages kept until they are taken.
    """

    station: Station
    peers: Mapping[int, PeerConfig]
    timers: Timers = field(default_factory=Timers)
    window: int = 64
    cells: int = 256

    def __post_init__(self) -> None:
        numbers = [peer.station.node for peer in self.peers.values()]
        for node, peer in self.peers.items():
            if numbers.count(peer.station.node) > 1:
                raise ValueError(f"peer {node} is not alone with node number {peer.station.node}; give each peer its own")
            if not 1 <= peer.quota <= 255:
                raise ValueError(f"quota {peer.quota} of peer {node}: choose 1 to 255")
        total = sum(peer.quota for peer in self.peers.values())
        if total > self.cells:
            raise ValueError(f"the quotas add up to {total}, but there are {self.cells} cells; lower the quotas or raise cells")
        if self.window < 1:
            raise ValueError(f"window {self.window}: choose at least 1")


EventKind = Literal["failed", "restarted", "up"]


@dataclass(frozen=True, slots=True)
class LinkEvent:
    """``failed``: no progress; ``restarted``: the peer has a newer epoch; ``up``: the link carries data (again)."""

    now: int
    kind: EventKind
    peer: int


class Delivery(NamedTuple):
    """A message that arrived."""

    peer: int
    header: Header
    payload: bytes


@dataclass(slots=True)
class Counters:
    """Since the start. ``frames`` = ``accepted`` of every type + ``drops`` of every cause; ``messages`` = ``acknowledged`` + those
    discarded + those still queued."""

    frames: int = 0  # received
    accepted: list[int] = field(default_factory=lambda: [0] * len(TYPE_NAMES))  # by type; data: put into a cell
    drops: list[int] = field(default_factory=lambda: [0] * len(Cause))
    sent: list[int] = field(default_factory=lambda: [0] * len(TYPE_NAMES))  # by type; data: repetitions too
    sent_again: int = 0  # data frames
    messages: int = 0  # that `send` took
    acknowledged: int = 0  # messages that arrived for certain
    discarded_restart: int = 0  # messages in flight when the peer restarted
    discarded_failed: int = 0  # messages of a link that failed, or for one that is failed
    taken: int = 0  # messages handed on
    expiries: int = 0
    most_cells: int = 0

    def drops_by_name(self) -> dict[str, int]:
        """The causes that happened, in words."""
        return {cause.name.lower().replace("_", " "): self.drops[cause] for cause in Cause if self.drops[cause]}


class _Peer:
    """What is kept of one peer."""

    __slots__ = (
        "ack_now", "acked", "active", "burst", "cursor", "ever_up", "expected", "expiries", "failed", "fired", "heard", "held",
        "hello_ack_due", "hello_due", "limit", "mine", "nack_due", "nack_until", "owed_at", "queue", "quota", "since", "station",
        "theirs", "told", "top", "up",
    )  # fmt: skip

    def __init__(self, config: PeerConfig, now: int) -> None:
        self.station, self.quota = config.station, config.quota
        # link
        self.mine = self.theirs = 0
        self.up = self.ever_up = self.failed = False
        self.hello_due, self.hello_ack_due = True, False
        # sending: queue[0] has number acked; frames up to top (excluded) were sent at least once; cursor is the next to send
        self.queue: deque[tuple[Header, bytes]] = deque()
        self.acked = self.cursor = self.top = self.limit = 0
        self.burst: int | None = None  # messages that may be under way; None: as many as the peer allows
        # receiving
        self.expected = self.held = 0
        self.nack_due = False
        self.nack_until: int | None = None  # no further nack before this time, unless expected moves
        self.told = (0, self.quota)  # expected and limit as the last frame to the peer said
        self.owed_at: int | None = None
        self.ack_now = False
        # timer
        self.active = True  # frames unacknowledged, or messages wait for credit or the link, or the link is not up
        self.since = self.fired = self.heard = now
        self.expiries = 0

    @property
    def credit(self) -> int:
        return max(self.quota - self.held, 0)

    @property
    def state(self) -> tuple[int, int]:
        return self.expected, (self.expected + self.credit) % SEQUENCE_MODULUS

    @property
    def unacknowledged(self) -> bool:
        return self.acked != self.top

    @property
    def waits(self) -> bool:
        """Messages wait for credit or for the link."""
        new = (self.top - self.acked) % SEQUENCE_MODULUS < len(self.queue)
        return new and (not self.up or not self.allowed(self.top))

    def allowed(self, number: int) -> bool:
        return 0 < (self.limit - number) % SEQUENCE_MODULUS < _HALF

    @property
    def sendable(self) -> bool:
        place = (self.cursor - self.acked) % SEQUENCE_MODULUS
        return self.up and place < len(self.queue) and self.allowed(self.cursor) and (self.burst is None or place < self.burst)

    def go_back(self) -> None:
        """Send again from the oldest that is not acknowledged, few at a time."""
        self.cursor = self.acked
        self.burst = _BURST


class Endpoint:
    """See the module."""

    def __init__(self, config: EndpointConfig, now: int = 0) -> None:
        self.config = config
        self.delivered: deque[Delivery] = deque()  # look at it, but take messages with `take`: it gives the credit back
        self.events: deque[LinkEvent] = deque()  # the user empties it
        self.counters = Counters()
        self._now = now
        self._peers = {node: _Peer(peer, now) for node, peer in sorted(config.peers.items())}
        self._order = tuple(self._peers)
        self._names = {peer.station.node: node for node, peer in config.peers.items()}  # by node number
        self._turn = 0  # place in _order of the peer whose turn it is

    # ------------------------------------------------------------------------------------------------------------------ state

    def up(self, peer: int) -> bool:
        """Whether the link carries data."""
        return self._peers[peer].up

    def failed(self, peer: int) -> bool:
        """Whether messages for the peer are discarded until the link is up again."""
        return self._peers[peer].failed

    def epochs(self, peer: int) -> tuple[int, int]:
        """Own epoch on this link, and the peer's; 0: not known."""
        return self._peers[peer].mine, self._peers[peer].theirs

    def room(self, peer: int) -> int:
        """Messages that `send` would take now."""
        return max(self.config.window - len(self._peers[peer].queue), 0)

    @property
    def queued(self) -> int:
        """Messages not acknowledged yet, to all peers."""
        return sum(len(peer.queue) for peer in self._peers.values())

    def next_time(self) -> int | None:
        """When `poll` has something to do next: the time of the last call if frames wait, None if nothing ever will."""
        times = [self._now] if self._ready() else []
        for peer in self._peers.values():
            if peer.owed_at is not None:
                times.append(peer.owed_at + self.config.timers.ack_delay)
            expiry = self._expiry(peer)
            if expiry is not None:
                times.append(expiry)
        return max(min(times), self._now) if times else None

    # ---------------------------------------------------------------------------------------------------------------- sending

    def send(self, now: int, peer: int, header: Header, payload: bytes) -> bool:
        """Queue a message; False if the peer's queue is full (nothing is done: try again after `poll` and `receive`).

        A message for a failed peer is discarded and counted, and True returned. ValueError: unknown peer, more than 1,024 bytes of
        payload, or none without type control.
        """
        self._now = max(self._now, now)
        state = self._peers.get(peer)
        if state is None:
            raise ValueError(f"node {peer} is no peer of node {self.config.station.node}; its peers are {list(self._order)}")
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"a message of {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES} fit a frame: cut it into slices")
        if is_empty(header, payload):
            raise ValueError("a message without payload; only those of type control may be empty")
        if state.failed:
            self.counters.messages += 1
            self.counters.discarded_failed += 1
            return True
        if len(state.queue) >= self.config.window:
            return False
        state.queue.append((header, payload))
        self.counters.messages += 1
        self._settle(state)
        return True

    def poll(self, now: int, count: int | None = None) -> list[bytes]:
        """The frames to send now, in order, at most ``count``: control first, then data of the peers in turn."""
        here, out = self.config.station, []
        for peer, data in self.poll_segments(now, count):
            out.append(build_hop(here, self._peers[peer].station, len(data) - SEGMENT_BYTES) + data)
        return out

    def poll_segments(self, now: int, count: int | None = None) -> list[tuple[int, bytes]]:
        """As `poll`, but (peer, bytes 42 on) instead of whole frames."""
        self._now = max(self._now, now)
        for number, peer in self._peers.items():
            self._settle(peer)
            expiry = self._expiry(peer)
            if expiry is not None and expiry <= self._now:
                self._expire(number, peer)
        out: list[tuple[int, bytes]] = []
        while count is None or len(out) < count:
            item = self._next_control() or self._next_data()
            if item is None:
                break
            out.append(item)
        return out

    def _ready(self) -> bool:
        return any(p.hello_ack_due or p.hello_due or (p.up and (p.nack_due or p.ack_now)) or p.sendable for p in self._peers.values())

    def _next_control(self) -> tuple[int, bytes] | None:
        for number, peer in self._peers.items():
            if peer.hello_ack_due:
                peer.hello_ack_due = False
                return number, self._build(peer, HELLO_ACK)
            if peer.hello_due:
                peer.hello_due = False
                return number, self._build(peer, HELLO)
            if peer.up and peer.nack_due:
                peer.nack_due = False
                peer.nack_until = self._now + self.config.timers.nack_hold
                return number, self._build(peer, NACK)
            late = peer.owed_at is not None and peer.owed_at + self.config.timers.ack_delay <= self._now
            if peer.up and (peer.ack_now or late):
                return number, self._build(peer, ACK)
        return None

    def _next_data(self) -> tuple[int, bytes] | None:
        for step in range(len(self._order)):
            place = (self._turn + step) % len(self._order)
            number = self._order[place]
            peer = self._peers[number]
            if peer.sendable:
                self._turn = (place + 1) % len(self._order)
                header, payload = peer.queue[(peer.cursor - peer.acked) % SEQUENCE_MODULUS]
                data = self._build(peer, DATA, peer.cursor, header, payload)
                new = peer.cursor == peer.top
                peer.cursor = (peer.cursor + 1) % SEQUENCE_MODULUS
                if new:
                    peer.top = peer.cursor
                else:
                    self.counters.sent_again += 1
                self._settle(peer)
                return number, data
        return None

    def _build(self, peer: _Peer, kind: int, sequence: int = 0, header: Header = NO_MESSAGE, payload: bytes = b"") -> bytes:
        """Bytes 42 on; the peer has then been told expected and limit."""
        peer.told = peer.state
        peer.owed_at, peer.ack_now = None, False
        self.counters.sent[kind] += 1
        return build_segment(
            Segment(kind, peer.credit, self.config.station.node, peer.mine, peer.theirs, sequence, peer.expected, header, payload)
        )

    # -------------------------------------------------------------------------------------------------------------- receiving

    def receive(self, now: int, raw: bytes, error: bool = False) -> None:
        """A whole frame came; ``error``: the MAC marked it bad."""
        self._now = max(self._now, now)
        self.counters.frames += 1
        if error:
            self._drop(Cause.MAC_ERROR)
            return
        found = inspect(raw, self.config.station)
        if found is not None:
            self._drop(found[0])
            return
        self._receive(raw[HOP_BYTES:], int.from_bytes(raw[26:30], "big"), int.from_bytes(raw[6:12], "big"))

    def receive_segment(self, now: int, data: bytes, address: int) -> None:
        """Bytes 42 on came from the IPv4 ``address``: what a UDP socket gives. The MAC address is not looked at."""
        self._now = max(self._now, now)
        self.counters.frames += 1
        found = inspect_segment(data)
        if found is not None:
            self._drop(found[0])
            return
        self._receive(data, address, None)

    def reject(self, now: int, cause: Cause) -> None:
        """Count a frame that was found wrong before it came here."""
        self._now = max(self._now, now)
        self.counters.frames += 1
        self._drop(cause)

    def take(self, now: int) -> Delivery | None:
        """The next message, handed on: its cell is free again and the peer gets the credit. None if there is none."""
        self._now = max(self._now, now)
        if not self.delivered:
            return None
        item = self.delivered.popleft()
        self.counters.taken += 1
        peer = self._peers[item.peer]
        peer.held -= 1
        self._settle(peer)
        return item

    def _drop(self, cause: Cause) -> None:
        self.counters.drops[cause] += 1

    def _receive(self, data: bytes, address: int, mac: int | None) -> None:
        segment = parse_segment(data)
        name = self._names.get(segment.source)
        if name is None:
            self._drop(Cause.UNKNOWN_NODE)
            return
        peer = self._peers[name]
        if address != peer.station.ip or (mac is not None and mac != peer.station.mac):
            self._drop(Cause.SOURCE_ADDRESS)
            return
        if segment.type in {HELLO, HELLO_ACK}:
            self.counters.accepted[segment.type] += 1
            self._hello(segment, name, peer)
            self._settle(peer)
            return
        if not self._right(segment, peer):
            self._drop(Cause.EPOCH)
            return
        self._heard(name, peer)
        self._acknowledge(segment, peer)
        if segment.type == DATA:
            self._data(segment, name, peer)
        else:
            self.counters.accepted[segment.type] += 1
        self._settle(peer)

    def _data(self, segment: Segment, name: int, peer: _Peer) -> None:
        if is_empty(segment.header, segment.payload):
            self._drop(Cause.EMPTY)
        elif len(self.delivered) >= self.config.cells:
            self._drop(Cause.NO_CELL)
        elif segment.sequence == peer.expected:
            self.counters.accepted[DATA] += 1
            peer.expected = (peer.expected + 1) % SEQUENCE_MODULUS
            peer.held += 1
            peer.nack_due, peer.nack_until = False, None
            self.delivered.append(Delivery(name, segment.header, segment.payload))
            self.counters.most_cells = max(self.counters.most_cells, len(self.delivered))
        elif (segment.sequence - peer.expected) % SEQUENCE_MODULUS < _HALF:
            self._drop(Cause.GAP)
            if peer.nack_until is None or self._now >= peer.nack_until:
                peer.nack_due = True
        else:
            self._drop(Cause.DUPLICATE)
            peer.ack_now = True

    # ------------------------------------------------------------------------------------------------------------------- link

    @staticmethod
    def _right(segment: Segment, peer: _Peer) -> bool:
        mine, theirs = segment.epoch_acknowledged, segment.epoch
        return mine != 0 and theirs != 0 and (mine, theirs) == (peer.mine, peer.theirs)

    def _hello(self, segment: Segment, name: int, peer: _Peer) -> None:
        """Section 4, rules 1 to 5."""
        changed = False
        if newer(segment.epoch, peer.theirs):
            restarted = peer.theirs != 0
            peer.theirs = segment.epoch
            self._reset(peer)
            if restarted:
                self.events.append(LinkEvent(self._now, "restarted", name))
            changed = True
        answers = segment.type == HELLO_ACK and segment.epoch in {0, peer.theirs}
        if answers and (peer.mine == 0 or newer(segment.epoch_acknowledged, peer.mine)):
            peer.mine = segment.epoch_acknowledged % EPOCHS + 1
            self._reset(peer)
            changed = True
        if self._right(segment, peer):
            self._heard(name, peer)
            self._acknowledge(segment, peer)
            if segment.type == HELLO_ACK:
                self._progress(peer)
        if segment.type == HELLO:
            peer.hello_ack_due = True
        if changed and peer.mine and not peer.up:
            peer.hello_due = True

    def _heard(self, number: int, peer: _Peer) -> None:
        """A frame with right epochs came."""
        peer.heard = self._now
        if not peer.up:
            peer.up, peer.ever_up, peer.failed = True, True, False
            peer.hello_due = False
            self.events.append(LinkEvent(self._now, "up", number))
            self._progress(peer)
        elif not (peer.unacknowledged or peer.waits):
            peer.expiries = 0

    def _reset(self, peer: _Peer) -> None:
        """A new pair of epochs: numbers start at 0 on both sides."""
        sent = (peer.top - peer.acked) % SEQUENCE_MODULUS
        for _ in range(sent):
            peer.queue.popleft()
        self.counters.discarded_restart += sent
        peer.up = False
        peer.acked = peer.cursor = peer.top = peer.limit = 0
        peer.burst = None
        peer.expected = 0
        peer.nack_due, peer.nack_until = False, None
        peer.told = peer.state
        peer.owed_at, peer.ack_now = None, False

    def _acknowledge(self, segment: Segment, peer: _Peer) -> None:
        """What every frame with right epochs says of our own frames. One that says less than an earlier one, or nonsense, says nothing."""
        step = (segment.acknowledged - peer.acked) % SEQUENCE_MODULUS
        if step > (peer.top - peer.acked) % SEQUENCE_MODULUS:
            return
        for _ in range(step):
            peer.queue.popleft()
        self.counters.acknowledged += step
        if (peer.cursor - peer.acked) % SEQUENCE_MODULUS < step:
            peer.cursor = segment.acknowledged
        peer.acked = segment.acknowledged
        if segment.type == NACK:
            peer.go_back()
        elif step and peer.burst is not None:
            peer.burst = 2 * peer.burst if 2 * peer.burst < self.config.window else None
        limit = (segment.acknowledged + segment.credit) % SEQUENCE_MODULUS
        grown = 0 < (limit - peer.limit) % SEQUENCE_MODULUS < _HALF
        if grown:
            peer.limit = limit
        if step or grown:
            self._progress(peer)

    # ------------------------------------------------------------------------------------------------------------------ timer

    def _progress(self, peer: _Peer) -> None:
        peer.expiries = 0
        peer.since = self._now

    def _silent(self, peer: _Peer) -> bool:
        """(c): the link was up once and nothing valid came for KEEP cycles."""
        keep = self.config.timers.keep
        return keep > 0 and peer.ever_up and self._now >= peer.heard + keep

    def _expiry(self, peer: _Peer) -> int | None:
        timers = self.config.timers
        if peer.active:
            return peer.since + timers.rto
        if timers.keep == 0:
            return None
        return max(peer.heard + timers.keep, peer.fired) + timers.rto

    def _expire(self, number: int, peer: _Peer) -> None:
        counts = not peer.failed and (peer.unacknowledged or peer.waits or self._silent(peer))
        peer.since = peer.fired = self._now
        if counts:
            self.counters.expiries += 1
            peer.expiries += 1
            if peer.expiries >= self.config.timers.retries:
                self._fail(number, peer)
                return
        if peer.up and peer.unacknowledged:
            peer.go_back()
        else:
            peer.hello_due = True

    def _fail(self, number: int, peer: _Peer) -> None:
        self.counters.discarded_failed += len(peer.queue)
        peer.queue.clear()
        peer.acked = peer.top  # nothing is left to discard as sent
        self._reset(peer)
        peer.failed = True
        peer.expiries = 0
        if peer.mine:
            peer.mine = peer.mine % EPOCHS + 1
        peer.hello_due = True
        self.events.append(LinkEvent(self._now, "failed", number))
        self._settle(peer)

    def _settle(self, peer: _Peer) -> None:
        """After any change: start the timer if its reason is new, and the delay of an acknowledgement if it is newly owed."""
        active = not peer.up or peer.unacknowledged or peer.waits
        if active and not peer.active:
            peer.since = self._now
        peer.active = active
        if not peer.up or peer.told == peer.state:
            peer.owed_at = None
        elif peer.owed_at is None:
            peer.owed_at = self._now
