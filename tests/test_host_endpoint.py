# SPDX-License-Identifier: Apache-2.0
"""The transport in software (docs/transport.md) over a channel that loses, repeats, delays and damages frames."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from floreana.cluster.layout import TYPE_CONTROL, TYPE_INT8, Header
from floreana.host.endpoint import Endpoint, EndpointConfig, LinkEvent, PeerConfig, Timers
from floreana.host.frame import (
    ACK,
    DATA,
    HELLO,
    HELLO_ACK,
    HOP_BYTES,
    NACK,
    NO_MESSAGE,
    SEQUENCE_MODULUS,
    Cause,
    Frame,
    Segment,
    Station,
    build,
    build_hop,
    build_segment,
    newer,
    parse,
)

TIMERS = Timers(ack_delay=16, rto=400, retries=8, keep=3000, nack_hold=100)
QUIET = 100  # a node says nothing for this long after a restart: longer than a frame lives in the channel


def station(node: int) -> Station:
    return Station(node, 0x02F10E000000 + node, 0x0A110001 + node)


def config(node: int, nodes: int, quota: int = 8, timers: Timers = TIMERS) -> EndpointConfig:
    return EndpointConfig(station(node), {n: PeerConfig(station(n), quota) for n in range(nodes) if n != node}, timers)


def header(kind: int = TYPE_INT8, row: int = 0) -> Header:
    return Header(0, 129, 3, 0, 255, 1, 2, row, 0, kind, False)


def message(number: int) -> bytes:
    return number.to_bytes(4, "big") * 16


@dataclass(frozen=True, slots=True)
class Faults:
    """Chances of a frame; ``delay`` the least and the most cycles on the way (overtaking where they differ)."""

    loss: float = 0.0
    repeat: float = 0.0
    damage: float = 0.0
    delay: tuple[int, int] = (20, 20)


@dataclass
class World:
    """Endpoints and the channel between them."""

    ends: dict[int, Endpoint]
    faults: Faults
    rng: random.Random
    now: int = 0
    way: list[tuple[int, int, int, bytes, bool]] = field(default_factory=list)
    cut: set[frozenset[int]] = field(default_factory=set)
    slow: float = 0.0  # chance that a message that arrived is not taken yet
    got: dict[tuple[int, int], list[int]] = field(default_factory=dict)  # (sender, receiver) -> numbers
    events: list[tuple[int, LinkEvent]] = field(default_factory=list)
    seen: list[tuple[int, Frame]] = field(default_factory=list)  # frames that were sent
    keep: bool = True
    tick: Callable[[], None] = lambda: None
    count: int = 0
    lost: int = 0

    def put(self, raw: bytes) -> None:
        rng, faults = self.rng, self.faults
        source, target = int.from_bytes(raw[44:46], "big"), int.from_bytes(raw[:6], "big") - station(0).mac
        if self.keep:
            self.seen.append((self.now, parse(raw)))
        if frozenset((source, target)) in self.cut or rng.random() < faults.loss:
            self.lost += 1
            return
        for _ in range(1 + (rng.random() < faults.repeat)):
            self.count += 1
            damaged = rng.random() < faults.damage
            data = raw
            if damaged:
                at = rng.randrange(len(raw))
                data = raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :]
            heapq.heappush(self.way, (self.now + rng.randint(*faults.delay), self.count, target, data, damaged))

    def run(self, until: int, done: Callable[[], bool] = lambda: False) -> bool:
        """From event to event up to time ``until``, or until ``done``."""
        while self.now < until:
            self.tick()
            while self.way and self.way[0][0] <= self.now:
                _, _, target, raw, damaged = heapq.heappop(self.way)
                if target in self.ends:
                    self.ends[target].receive(self.now, raw, damaged)
            for node, end in self.ends.items():
                for peer in end.config.peers:
                    held = sum(item.peer == peer for item in end.delivered)
                    assert held <= end.config.peers[peer].quota, f"node {node} holds {held} messages of {peer}"
                while end.delivered and self.rng.random() >= self.slow:
                    item = end.take(self.now)
                    assert item is not None
                    number = int.from_bytes(item.payload[:4], "big")
                    assert item.payload == message(number) and item.header.row == number & 0xFFFF
                    self.got.setdefault((item.peer, node), []).append(number)
                for raw in end.poll(self.now):
                    self.put(raw)
                while end.events:
                    self.events.append((node, end.events.popleft()))
            if done():
                return True
            times = [time for end in self.ends.values() if (time := end.next_time()) is not None]
            if self.way:
                times.append(self.way[0][0])
            if any(end.delivered for end in self.ends.values()):
                times.append(self.now + 5)
            self.now = max(min([*times, until]), self.now + 1)
        return done()

    def raw(self, f: Frame) -> bytes:
        """A frame of ``seen`` again."""
        segment = Segment(f.type, f.credit, f.source, f.epoch, f.epoch_acknowledged, f.sequence, f.acknowledged, f.header, f.payload)
        target = f.dst_mac - station(0).mac
        return build_hop(station(f.source), station(target), len(f.payload)) + build_segment(segment)

    def kinds(self, node: int) -> list[str]:
        return [event.kind for at, event in self.events if at == node]


def world(nodes: int, seed: int = 1, faults: Faults | None = None, **change: int) -> World:
    ends = {n: Endpoint(config(n, nodes, timers=replace(TIMERS, **change))) for n in range(nodes)}
    return World(ends, faults or Faults(), random.Random(seed))


def feed(w: World, left: dict[tuple[int, int], list[int]]) -> None:
    """Send what the queues take."""
    for (source, target), numbers in left.items():
        while numbers and source in w.ends and w.ends[source].send(w.now, target, header(row=numbers[0] & 0xFFFF), message(numbers[0])):
            numbers.pop(0)


def add_up(end: Endpoint) -> int:
    """Conservation; returns the number of frames received."""
    c = end.counters
    assert c.frames == sum(c.accepted) + sum(c.drops)
    assert c.accepted[DATA] == c.taken + len(end.delivered)
    assert c.messages == c.acknowledged + c.discarded_restart + c.discarded_failed + end.queued
    return c.frames


HARD = Faults(loss=0.08, repeat=0.08, damage=0.04, delay=(5, 60))


@pytest.mark.parametrize("seed", range(5))
def test_every_message_arrives_once_and_in_order(seed: int) -> None:
    w = world(3, seed, HARD, retries=60)
    w.slow = 0.5
    pairs = [(a, b) for a in range(3) for b in range(3) if a != b]
    left = {pair: list(range(120)) for pair in pairs}
    w.tick = lambda: feed(w, left)
    done = w.run(400_000, lambda: not any(left.values()) and all(not e.queued and not e.delivered for e in w.ends.values()))
    assert done, f"seed {seed}: not all arrived; {[e.counters.drops_by_name() for e in w.ends.values()]}"
    assert all(w.got[pair] == list(range(120)) for pair in pairs)
    assert {event.kind for _, event in w.events} == {"up"} and len(w.events) == 6
    total = sum(add_up(end) for end in w.ends.values())
    drops = sum((Counter(end.counters.drops_by_name()) for end in w.ends.values()), Counter[str]())
    assert drops["no cell"] == 0 and drops["gap"] > 0 and drops["duplicate"] > 0 and drops["mac error"] > 0
    assert total == w.count - len(w.way) and sum(end.counters.sent_again for end in w.ends.values()) > 0
    print(f"seed {seed}: {6 * 120} messages in {w.now} cycles, {total} frames received, drops {dict(drops)}")


@pytest.mark.parametrize("slow", [0.0, 0.9])
def test_a_clean_link_repeats_and_drops_nothing(slow: float) -> None:
    """Incast of seven nodes into one that takes its time."""
    w = world(8)
    w.slow = slow
    left = {(n, 0): list(range(80)) for n in range(1, 8)}
    w.tick = lambda: feed(w, left)
    assert w.run(100_000, lambda: not any(left.values()) and all(not e.queued and not e.delivered for e in w.ends.values()))
    assert all(w.got[n, 0] == list(range(80)) for n in range(1, 8))
    for end in w.ends.values():
        add_up(end)
        assert end.counters.sent_again == 0 and not end.counters.drops_by_name(), end.counters
    assert w.ends[0].counters.accepted[DATA] == 560
    data = [frame for _, frame in w.seen if frame.type == DATA]
    assert len(data) == 560


def test_no_frame_is_sent_beyond_the_limit() -> None:
    w = world(2, 5, HARD, retries=60)
    w.slow = 0.8
    left = {(0, 1): list(range(400))}
    w.tick = lambda: feed(w, left)
    assert w.run(400_000, lambda: not left[0, 1] and not w.ends[0].queued)
    limit, checked = 0, 0
    # what node 1 ever said is at most what node 0 can know
    for _, frame in w.seen:
        if frame.source == 1 and frame.epoch_acknowledged:
            limit = max(limit, frame.acknowledged + frame.credit)
        elif frame.source == 0 and frame.type == DATA:
            assert frame.sequence < limit
            checked += 1
    assert checked >= 400


def test_a_link_that_returns_resumes() -> None:
    w = world(2)
    left = {(0, 1): list(range(500)), (1, 0): list(range(500))}
    w.tick = lambda: feed(w, left)
    w.run(500)
    before = [w.ends[n].epochs(1 - n) for n in (0, 1)]
    w.cut.add(frozenset((0, 1)))
    w.run(500 + (TIMERS.retries - 2) * TIMERS.rto)
    w.cut.clear()
    assert w.run(60_000, lambda: not any(left.values()) and all(not e.queued and not e.delivered for e in w.ends.values()))
    assert w.got[0, 1] == w.got[1, 0] == list(range(500)) and w.lost > 0
    assert [w.ends[n].epochs(1 - n) for n in (0, 1)] == before
    assert {event.kind for _, event in w.events} == {"up"} and len(w.events) == 2


def test_an_idle_link_stays_up_and_silence_fails_it() -> None:
    w = world(2)
    w.run(50_000)
    assert w.kinds(0) == w.kinds(1) == ["up"]
    hellos = [now for now, frame in w.seen if frame.type == HELLO and now > 1000]
    assert 5 < len(hellos) < 60
    w.cut.add(frozenset((0, 1)))
    w.run(100_000)
    assert w.kinds(0) == w.kinds(1) == ["up", "failed"]
    end = w.ends[0]
    last = max(now for now, frame in w.seen if frame.type in {HELLO, HELLO_ACK} and now < 50_000)
    failed = next(event.now for node, event in w.events if node == 0 and event.kind == "failed")
    assert 0 <= failed - last - TIMERS.keep - TIMERS.retries * TIMERS.rto <= TIMERS.keep + TIMERS.rto
    w.cut.clear()
    w.run(101_000)
    # both counted on: each sees the other's new epoch, which is how a restart looks
    assert w.kinds(0)[-1] == w.kinds(1)[-1] == "up" and not end.failed(1)
    assert end.epochs(1) == (2, 2)
    for _ in range(3):
        assert end.send(w.now, 1, header(row=7), message(7))
    w.run(102_000)
    assert w.got[0, 1] == [7, 7, 7]


def test_keep_0_never_asks() -> None:
    w = world(2, keep=0)
    w.run(1000)
    assert w.ends[0].up(1) and w.ends[0].next_time() is None
    w.cut.add(frozenset((0, 1)))
    w.run(200_000)
    assert w.ends[0].up(1)


def test_a_peer_that_restarts_is_reported_and_gets_what_was_never_sent() -> None:
    w = world(2)
    w.slow = 0.9  # the credit is used up: most messages are queued, not sent
    left = {(0, 1): list(range(60)), (1, 0): list(range(60))}
    w.tick = lambda: feed(w, left)
    end = w.ends[0]
    assert w.run(2000, lambda: w.now > 300 and end._peers[1].top - end._peers[1].acked > 0)
    first = list(w.got[0, 1])
    del w.ends[1]
    w.tick = lambda: None
    w.run(w.now + QUIET)
    sent, arrived = end._peers[1].top, end.counters.acknowledged
    w.ends[1] = Endpoint(config(1, 2), w.now)
    w.slow = 0.0
    w.run(20_000, lambda: not w.ends[0].queued)
    assert w.kinds(0) == ["up", "restarted", "up"] and w.kinds(1) == ["up", "up"]
    assert w.ends[0].epochs(1) == (1, 2) and w.ends[1].epochs(0) == (2, 1)
    # those in flight are discarded and counted, those never sent come, in order
    assert w.got[0, 1] == first + list(range(sent, 60))
    assert end.counters.discarded_restart == sent - arrived > 0
    add_up(end)


def _frame(source: int, target: int, kind: int, epochs: tuple[int, int], number: int = 0, acked: int = 0, credit: int = 8) -> bytes:
    payload = message(number) if kind == DATA else b""
    what = header(row=number & 0xFFFF) if kind == DATA else NO_MESSAGE
    return build(
        station(source), station(target), what, payload, number, acked, credit, kind=kind, epoch=epochs[0], epoch_acknowledged=epochs[1]
    )  # fmt: skip


def _snapshot(end: Endpoint) -> list[dict[str, object]]:
    names = ["mine", "theirs", "up", "failed", "acked", "cursor", "top", "limit", "expected", "held"]
    return [{name: getattr(peer, name) for name in names} for peer in end._peers.values()]


def test_replayed_frames_change_nothing() -> None:
    """Every frame of five lives of the peer, again and again, on an established link."""
    w = world(2)
    for life in range(5):
        left = {(0, 1): list(range(40)), (1, 0): list(range(40))}
        w.tick = lambda left=left: feed(w, left)  # type: ignore[misc]
        w.run(w.now + 3000)
        if life < 4:
            w.tick = lambda: None
            del w.ends[1]
            w.run(w.now + QUIET)
            w.ends[1] = Endpoint(config(1, 2), w.now)
    end = w.ends[0]
    assert end.epochs(1) == (1, 5) and end.up(1) and not end.queued
    frames = [frame for _, frame in w.seen if frame.source == 1]
    assert len(frames) > 200 and {frame.type for frame in frames} >= {DATA, ACK, HELLO, HELLO_ACK}
    before, got, counters = _snapshot(end), len(w.got[1, 0]), replace(end.counters, drops=list(end.counters.drops))
    random.Random(3).shuffle(frames)
    for frame in frames:
        end.receive(w.now, w.raw(frame))
        assert _snapshot(end) == before
    assert not end.events and not end.delivered and got == len(w.got[1, 0])
    again = [parse(raw).type for raw in end.poll(w.now)]
    assert set(again) <= {ACK, HELLO_ACK} and end.counters.accepted[DATA] == counters.accepted[DATA]
    for cause in (Cause.EPOCH, Cause.DUPLICATE):
        assert end.counters.drops[cause] > counters.drops[cause]
    add_up(end)


def test_a_dead_peer_fails_in_time_and_blocks_nobody() -> None:
    w = world(3, keep=100_000)
    w.run(1000)
    del w.ends[2]
    left = {(0, 1): list(range(300)), (0, 2): list(range(30))}
    start = w.now
    w.tick = lambda: feed(w, left)
    assert w.run(start + 2800, lambda: len(w.got.get((0, 1), ())) == 300)
    w.run(start + TIMERS.rto * (TIMERS.retries + 1))
    events = [event for node, event in w.events if node == 0 and event.kind == "failed"]
    assert events == [LinkEvent(start + TIMERS.rto * TIMERS.retries, "failed", 2)]
    end = w.ends[0]
    assert end.failed(2) and end.counters.discarded_failed == 30 and end.counters.expiries == TIMERS.retries
    assert end.send(w.now, 2, header(), message(5)) and end.counters.discarded_failed == 31 and not end.queued
    # one failure only; hello goes on
    since = w.now
    w.run(w.now + 20 * TIMERS.rto + 1)
    assert end.counters.expiries == TIMERS.retries and end.epochs(2) == (2, 1)
    assert sum(frame.type == HELLO and frame.dst_mac == station(2).mac and now > since for now, frame in w.seen) == 20
    # it comes back, and is a peer like any other
    w.ends[2] = Endpoint(config(2, 3), w.now)
    w.run(w.now + 2000)
    assert w.kinds(0)[-2:] == ["restarted", "up"] and end.epochs(2) == (2, 2)
    assert end.send(w.now, 2, header(row=9), message(9))
    w.run(w.now + 500)
    assert w.got[0, 2] == [9]


def test_a_peer_that_never_came_fails_and_can_still_come() -> None:
    """The own epoch stays unknown, so that the peer's memory of the last one is still asked for."""
    w = world(2)
    gone = w.ends.pop(1)
    end = w.ends[0]
    assert end.send(0, 1, header(), message(1))
    w.run(TIMERS.rto * TIMERS.retries + 10)
    assert w.kinds(0) == ["failed"] and end.epochs(1) == (0, 0)
    gone._peers[0].theirs = 200  # an earlier life of node 0
    w.ends[1] = gone
    w.run(w.now + 2000)
    assert w.kinds(0) == ["failed", "up"] and end.epochs(1) == (201, 1)


def test_an_old_epoch_taken_from_a_replay_heals() -> None:
    """A stale hello-ack makes a node take epoch 4 where the peer has seen 9: the next hello-ack corrects it."""
    w = world(2)
    w.ends[1]._peers[0].theirs = 9
    w.ends[0].receive(0, _frame(1, 0, HELLO_ACK, (0, 3)))
    assert w.ends[0].epochs(1) == (4, 0)
    w.run(3000)
    assert w.ends[0].up(1) and w.ends[1].up(0) and w.ends[0].epochs(1)[0] == 10


def test_epochs_wrap_past_zero() -> None:
    w = world(2)
    w.ends[1]._peers[0].theirs = 255
    w.run(2000)
    assert w.ends[0].epochs(1) == (1, 1) and w.ends[1].epochs(0) == (1, 1) and w.kinds(1) == ["restarted", "up"]
    ahead = [(e - 200) % 255 for e in range(1, 256) if newer(e, 200)]
    assert sorted(ahead) == list(range(1, 128)) and not newer(0, 200) and not newer(0, 0) and newer(1, 0)


@pytest.mark.parametrize("seed", range(4))
def test_sequence_numbers_wrap(seed: int) -> None:
    w = world(2, seed, HARD, retries=60)
    w.run(20_000, lambda: w.ends[0].up(1) and w.ends[1].up(0) and not w.way)
    start = SEQUENCE_MODULUS - 30
    for n in (0, 1):
        peer = w.ends[n]._peers[1 - n]
        peer.acked = peer.cursor = peer.top = peer.expected = start
        peer.limit = (start + 8) % SEQUENCE_MODULUS
        peer.told = peer.state
    w.way.clear()
    left = {(0, 1): list(range(100)), (1, 0): list(range(100))}
    w.tick = lambda: feed(w, left)
    assert w.run(200_000, lambda: not any(left.values()) and all(not e.queued and not e.delivered for e in w.ends.values()))
    assert w.got[0, 1] == w.got[1, 0] == list(range(100))
    assert w.ends[0]._peers[1].top == 70


@pytest.mark.parametrize("seed", range(4))
def test_restarts_and_cuts_at_random(seed: int) -> None:
    """A long run of everything at once. Within one life of a receiver a sender's numbers only rise; afterwards the network works."""
    rng = random.Random(1000 + seed)
    w = world(3, seed, Faults(0.05, 0.05, 0.02, (5, 60)))
    w.slow, w.keep = 0.3, False
    pairs = [(a, b) for a in range(3) for b in range(3) if a != b]
    left: dict[tuple[int, int], list[int]] = {pair: [] for pair in pairs}
    nextnum = dict.fromkeys(pairs, 0)
    checked = restarts = frames = 0

    def tick() -> None:
        for pair in pairs:
            if rng.random() < 0.1 and len(left[pair]) < 10:
                left[pair].append(nextnum[pair])
                nextnum[pair] += 1
        feed(w, left)

    def check(final: bool = False) -> None:
        nonlocal checked
        for pair, numbers in w.got.items():
            assert all(a < b for a, b in pairwise(numbers)), f"seed {seed}: {pair} got {numbers}"
            checked += len(numbers) if final else 0

    w.tick = tick
    for _ in range(9):
        action = rng.choice(["restart", "cut", "run"])
        node = rng.randrange(3)
        if action == "restart":
            add_up(w.ends[node])
            frames += w.ends[node].counters.frames
            del w.ends[node]
            w.run(w.now + rng.choice([QUIET, 20 * TIMERS.rto]))
            w.ends[node] = Endpoint(config(node, 3), w.now)
            restarts += 1
        elif action == "cut":
            w.cut.add(frozenset((node, (node + 1) % 3)))
            w.run(w.now + rng.choice([500, 2000, 8000]))
            w.cut.clear()
        w.run(w.now + rng.randrange(2000))
        check()
    w.tick = lambda: None
    w.faults, w.slow = Faults(), 0.0
    assert w.run(w.now + 40_000, lambda: all(e.up(p) and not e.failed(p) and not e.queued for e in w.ends.values() for p in e.config.peers))
    for numbers in left.values():
        numbers.clear()
    # every pair works again
    for a, b in pairs:
        w.got[a, b].append(nextnum[a, b] - 1) if not w.got.get((a, b)) else None
        assert w.ends[a].send(w.now, b, header(row=nextnum[a, b] & 0xFFFF), message(nextnum[a, b]))
    assert w.run(w.now + 5000, lambda: all(w.got[pair][-1] == nextnum[pair] for pair in pairs))
    check(final=True)
    for end in w.ends.values():
        add_up(end)
        assert end.counters.drops[Cause.NO_CELL] == 0
    assert checked > 100 and restarts > 0, (checked, restarts)
    print(f"seed {seed}: {checked} messages in {w.now} cycles, {restarts} restarts, events {Counter(e.kind for _, e in w.events)}")


# ------------------------------------------------------------------------------------------------------------- single rules


def _pair() -> tuple[Endpoint, World]:
    """Node 0 with a link to a node 1 that the test plays by hand."""
    w = world(2)
    w.run(200)
    end = w.ends[0]
    w.way.clear()
    assert end.up(1) and end.epochs(1) == (1, 1)
    end.poll(w.now)
    return end, w


def test_an_acknowledgement_goes_alone_after_its_delay() -> None:
    end, w = _pair()
    now = w.now
    end.receive(now, _frame(1, 0, DATA, (1, 1), 0))
    assert end.take(now) is not None and not end.poll(now + TIMERS.ack_delay - 1) and end.next_time() == now + TIMERS.ack_delay
    (raw,) = end.poll(now + TIMERS.ack_delay)
    frame = parse(raw)
    assert (frame.type, frame.acknowledged, frame.credit, frame.epoch, frame.epoch_acknowledged) == (ACK, 1, 8, 1, 1)
    assert len(raw) == 64 and raw[48:51] == bytes(3) and raw[54:] == bytes(10)
    # nothing is owed any more
    assert not any(end.poll(now + step) for step in range(TIMERS.ack_delay, TIMERS.keep, 5))


def test_an_acknowledgement_rides_on_data() -> None:
    end, w = _pair()
    end.receive(w.now, _frame(1, 0, DATA, (1, 1), 0))
    end.send(w.now, 1, header(), message(0))
    frame = parse(end.poll(w.now)[0])
    assert (frame.type, frame.acknowledged, frame.credit) == (DATA, 1, 7)
    # handing on moves the limit: owed again
    assert end.take(w.now + 1) is not None
    assert [parse(raw).credit for raw in end.poll(w.now + 1 + TIMERS.ack_delay)] == [8]


def test_one_nack_a_gap_and_one_more_after_the_hold() -> None:
    end, w = _pair()
    now = w.now
    for number in (1, 2, 3):
        end.receive(now, _frame(1, 0, DATA, (1, 1), number))
    (raw,) = end.poll(now)
    assert parse(raw).type == NACK and parse(raw).acknowledged == 0 and end.counters.drops[Cause.GAP] == 3
    end.receive(now + TIMERS.nack_hold - 1, _frame(1, 0, DATA, (1, 1), 4))
    assert not end.poll(now + TIMERS.nack_hold - 1)
    end.receive(now + TIMERS.nack_hold, _frame(1, 0, DATA, (1, 1), 4))
    assert [parse(raw).type for raw in end.poll(now + TIMERS.nack_hold)] == [NACK]
    # expected moves: the next gap is reported at once
    end.receive(now + TIMERS.nack_hold, _frame(1, 0, DATA, (1, 1), 0))
    end.receive(now + TIMERS.nack_hold, _frame(1, 0, DATA, (1, 1), 2))
    assert [(parse(raw).type, parse(raw).acknowledged) for raw in end.poll(now + TIMERS.nack_hold)] == [(NACK, 1)]


def test_a_duplicate_is_acknowledged_at_once() -> None:
    end, w = _pair()
    for _ in range(2):
        end.receive(w.now, _frame(1, 0, DATA, (1, 1), 0))
    assert [parse(raw).type for raw in end.poll(w.now)] == [ACK] and end.counters.drops[Cause.DUPLICATE] == 1


def test_a_nack_goes_back_and_the_credit_limits() -> None:
    end, w = _pair()
    for number in range(20):
        end.send(w.now, 1, header(row=number), message(number))
    assert [parse(raw).sequence for raw in end.poll(w.now)] == list(range(8))
    end.receive(w.now, _frame(1, 0, NACK, (1, 1), 0, acked=3, credit=8))
    assert [parse(raw).sequence for raw in end.poll(w.now)] == [3, 4, 5, 6] and end.counters.sent_again == 4
    # a late frame that says less, and one that acknowledges what was never sent, say nothing
    end.receive(w.now, _frame(1, 0, NACK, (1, 1), 0, acked=1, credit=200))
    end.receive(w.now, _frame(1, 0, ACK, (1, 1), 0, acked=12, credit=200))
    assert not end.poll(w.now) and end.counters.acknowledged == 3
    # the timer sends again from the oldest
    assert end.next_time() == w.now + TIMERS.rto
    assert [parse(raw).sequence for raw in end.poll(w.now + TIMERS.rto)] == [3, 4, 5, 6]
    # twice as many may be under way after each acknowledgement that frees something
    end.receive(w.now, _frame(1, 0, ACK, (1, 1), 0, acked=4, credit=16))
    assert [parse(raw).sequence for raw in end.poll(w.now)] == list(range(7, 12))
    end.receive(w.now, _frame(1, 0, ACK, (1, 1), 0, acked=5, credit=16))
    assert [parse(raw).sequence for raw in end.poll(w.now)] == list(range(12, 20))
    # a nack of a newer one goes back again
    end.receive(w.now, _frame(1, 0, NACK, (1, 1), 0, acked=9, credit=16))
    assert [parse(raw).sequence for raw in end.poll(w.now)] == [9, 10, 11, 12]


def test_without_credit_hello_asks_and_its_answer_counts() -> None:
    end, w = _pair()
    end.send(w.now, 1, header(), message(0))
    end.poll(w.now)
    end.receive(w.now, _frame(1, 0, ACK, (1, 1), 0, acked=1, credit=0))
    now = w.now
    for number in range(30):
        end.send(now, 1, header(row=number), message(number))
    assert len(end.poll(now)) == 7  # the limit stays 8
    end.receive(now, _frame(1, 0, ACK, (1, 1), 0, acked=8, credit=0))
    for _ in range(3 * TIMERS.retries):
        assert not end.poll(now)
        now += TIMERS.rto
        assert [parse(raw).type for raw in end.poll(now)] == [HELLO]
        end.receive(now, _frame(1, 0, HELLO_ACK, (1, 1), 0, acked=8, credit=0))
    assert end.up(1) and end.counters.discarded_failed == 0
    end.receive(now, _frame(1, 0, HELLO_ACK, (1, 1), 0, acked=8, credit=2))
    assert [parse(raw).sequence for raw in end.poll(now)] == [8, 9]


def test_peers_take_turns_and_control_goes_first() -> None:
    w = world(4)
    w.run(200)
    end = w.ends[0]
    end.poll(w.now)
    for peer in (1, 1, 1, 2, 3, 3):
        end.send(w.now, peer, header(), message(1))
    end.receive(w.now, _frame(3, 0, HELLO, (1, 1)))
    order = []
    for _ in range(7):
        frame = parse(end.poll(w.now, 1)[0])
        order.append((frame.type, frame.dst_mac - station(0).mac))
    assert order == [(HELLO_ACK, 3), *((DATA, peer) for peer in (1, 2, 3, 1, 3, 1))]
    assert not end.poll(w.now, 1)


def test_the_queue_of_a_peer_is_bounded() -> None:
    end, w = _pair()
    taken = [end.send(w.now, 1, header(), message(n)) for n in range(70)]
    assert sum(taken) == 64 == taken.index(False) and end.room(1) == 0 and end.counters.messages == 64


CAUSES: list[tuple[Cause, int, int]] = [
    (Cause.DESTINATION_MAC, 5, 9),
    (Cause.ETHERTYPE, 12, 0x86),
    (Cause.IP_VERSION, 14, 0x46),
    (Cause.FRAGMENT, 21, 1),
    (Cause.FRAGMENT, 20, 0x20),
    (Cause.PROTOCOL, 23, 6),
    (Cause.CHECKSUM, 25, 0),
    (Cause.UDP_PORT, 35, 0),
    (Cause.VERSION_OR_TYPE, 42, 0x40),
    (Cause.VERSION_OR_TYPE, 42, 0x25),
    (Cause.LENGTH, 39, 0),
    (Cause.LENGTH, 42, 0x21),
    (Cause.UNKNOWN_NODE, 45, 5),
    (Cause.UNKNOWN_NODE, 44, 1),
    (Cause.SOURCE_ADDRESS, 11, 7),
    (Cause.EPOCH, 46, 2),
    (Cause.EPOCH, 47, 2),
    (Cause.EPOCH, 46, 0),
]


@pytest.mark.parametrize(("cause", "at", "value"), CAUSES)
def test_the_first_cause_is_counted(cause: Cause, at: int, value: int) -> None:
    end, w = _pair()
    raw = bytearray(_frame(1, 0, DATA, (1, 1)))
    raw[at] = value
    end.receive(w.now, bytes(raw))
    assert [c for c in Cause if end.counters.drops[c]] == [cause] and not end.delivered
    add_up(end)


def test_more_causes() -> None:
    end, w = _pair()
    wrong = replace(station(0), ip=0x0A110099)
    data = _frame(1, 0, DATA, (1, 1))[HOP_BYTES:]
    end.receive(w.now, build_hop(station(1), wrong, 64) + data)
    end.receive(w.now, build_hop(replace(station(1), ip=1), station(0), 64) + data)
    end.receive(w.now, build_hop(station(1), station(0), 64) + data, error=True)
    end.receive(w.now, build_hop(station(1), station(0), 0) + data[:22])
    end.receive(w.now, build_hop(station(1), station(0), 64) + data[:-1])
    end.receive(w.now, (build_hop(station(1), station(0), 64) + data)[:60])
    end.receive(w.now, build_hop(station(1), station(0), 1088) + data[:22] + bytes(1088))
    names = {"mac error": 1, "destination address": 1, "length": 3, "source address": 1, "empty": 1}
    assert end.counters.drops_by_name() == names
    # a message without payload is fine where it is of type control
    control = Segment(DATA, 8, 1, 1, 1, 0, 0, header(TYPE_CONTROL), b"")
    end.receive(w.now, build_hop(station(1), station(0), 0) + build_segment(control))
    assert len(end.delivered) == 1


def test_a_peer_that_ignores_its_limit_finds_no_cell() -> None:
    w = world(2)
    end = w.ends[0] = Endpoint(replace(config(0, 2), cells=8))
    w.run(200)
    end.poll(w.now)
    for number in range(10):
        end.receive(w.now, _frame(1, 0, DATA, (1, 1), number))
    assert end.counters.accepted[DATA] == 8 and end.counters.drops[Cause.NO_CELL] == 2 and end.counters.most_cells == 8
    assert [parse(raw).credit for raw in end.poll(w.now + TIMERS.ack_delay)] == [0]


def test_nothing_from_the_network_raises() -> None:
    rng = random.Random(7)
    end, w = _pair()
    before = end.counters.frames
    for kind in (DATA, DATA, ACK, NACK, HELLO, HELLO_ACK):
        good = _frame(1, 0, kind, (1, 1))
        for _ in range(1500):
            raw = bytearray(good)
            for _ in range(rng.randint(1, 4)):
                raw[rng.randrange(len(raw))] = rng.randrange(256)
            end.receive(w.now, bytes(raw[: rng.choice([len(raw), rng.randrange(len(raw) + 1)])]))
            end.receive_segment(w.now, bytes(raw[HOP_BYTES:]), station(1).ip)
            end.poll(w.now)
    for size in range(200):
        end.receive(w.now, rng.randbytes(size))
        end.receive_segment(w.now, rng.randbytes(size), station(1).ip)
    add_up(end)
    assert end.counters.frames == before + 2 * (6 * 1500 + 200)


def test_a_wrong_use_is_named() -> None:
    end, w = _pair()
    with pytest.raises(ValueError, match=r"node 7 is no peer of node 0; its peers are \[1\]"):
        end.send(w.now, 7, header(), message(0))
    with pytest.raises(ValueError, match="1025 bytes; at most 1024"):
        end.send(w.now, 1, header(), bytes(1025))
    with pytest.raises(ValueError, match="only those of type control"):
        end.send(w.now, 1, header(), b"")
    with pytest.raises(ValueError, match="quotas add up to 300, but there are 256 cells"):
        EndpointConfig(station(0), {1: PeerConfig(station(1), 150), 2: PeerConfig(station(2), 150)})
    with pytest.raises(ValueError, match="quota 256 of peer 1"):
        EndpointConfig(station(0), {1: PeerConfig(station(1), 256)})
    with pytest.raises(ValueError, match="peer 1 is not alone with node number 1"):
        EndpointConfig(station(0), {1: PeerConfig(station(1)), 2: PeerConfig(station(1))})
    with pytest.raises(ValueError, match="rto = 0"):
        Timers(rto=0)
