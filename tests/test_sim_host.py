# SPDX-License-Identifier: Apache-2.0
"""The simulated host against nodes in Python, through the simulated network: faults, restarts, dead nodes, images in frames. No RTL."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from floreana.cluster.entry import EntryPlan
from floreana.cluster.layout import TYPE_CONTROL, Header
from floreana.host import words
from floreana.host.endpoint import Endpoint, EndpointConfig, PeerConfig, Timers
from floreana.host.frame import Station
from floreana.host.host import Host, HostConfig, RunError, read_image
from floreana.sim.ethernet import Arrival, Fabric, Pacer, Sent
from floreana.sim.faults import FOREVER, Cut, Rates, Restart

NODES = 3
HOST = NODES
STATIONS = [Station(k, 0x02F10E000000 + k, 0x0A110001 + k) for k in range(NODES + 1)]
MACS = {station.mac: station.node for station in STATIONS}
TIMERS = Timers(ack_delay=128, rto=2000, retries=24, keep=20_000, nack_hold=740)
ENTRY_EDGE, MIDDLE_EDGE, RESULT_EDGE = 3, 4, 5
ENTRY_KERNEL, GROUP = 129, 1
ROW_BYTES = 128
SLOTS = 2
ENTRIES = 40  # of a node's image


def _rows(sentence: int, count: int) -> list[bytes]:
    return [bytes((17 * sentence + 5 * t + i) % 256 for i in range(ROW_BYTES)) for t in range(count)]


class Node:
    """Sends each row on to the next node, which sends it to the host. Its manager answers as the real one, its slots know generations."""

    def __init__(self, number: int, needs_image: bool) -> None:
        self.number = number
        self.needs_image = needs_image
        self.restarts = 0
        self.boot(0)

    def boot(self, now: int) -> None:
        """Everything is forgotten, but for the addresses."""
        peers = {s.node: PeerConfig(s, 32) for s in STATIONS if s.node != self.number}
        self.endpoint = Endpoint(EndpointConfig(STATIONS[self.number], peers, TIMERS), now)
        self.pacer = Pacer()
        self.arrivals: list[tuple[int, int, Arrival]] = []
        self.count = 0
        self.outbox: deque[tuple[int, Header, bytes]] = deque()
        self.generation = [0] * SLOTS
        self.switches = self.events = self.stale = 0
        self.image: dict[int, bytes] = {}
        self.sending: deque[Sent] = deque()
        self.now = now - 1

    def run(self, horizon: int) -> list[Sent]:
        while True:
            times = [self.arrivals[0][0]] if self.arrivals else []
            timer = self.endpoint.next_time()
            if timer is not None:
                times.append(self.pacer.free(max(timer, self.now + 1)))
            at = max(min(times), self.now + 1) if times else horizon
            if at >= horizon:
                break
            self.now = at
            while self.arrivals and self.arrivals[0][0] <= at:
                arrival = heapq.heappop(self.arrivals)[2]
                self.endpoint.receive(at, arrival.data, arrival.bad)
                while (item := self.endpoint.take(at)) is not None:
                    self.message(item.header, item.payload)
            while self.endpoint.events:
                event = self.endpoint.events.popleft()
                kind = {"failed": words.EVENT_FAILED, "restarted": words.EVENT_RESTARTED}.get(event.kind, words.EVENT_UP)
                if self.switches and kind != words.EVENT_UP:
                    body = bytes([words.OP_EVENT, kind, 0, 0]) + b"".join(
                        v.to_bytes(4, "little") for v in (0, event.peer, self.number, self.events)
                    )
                    self.events += 1
                    self.outbox.append((HOST, Header(0, 255, 0, 0, 0, 0, 0, 0, 0, TYPE_CONTROL, False), body.ljust(64, b"\0")))
            while self.outbox and self.endpoint.send(at, *self.outbox[0]):
                self.outbox.popleft()
            if self.pacer.free(at) == at:
                for frame in self.endpoint.poll(at, 1):
                    self.sending.append(Sent(self.pacer.send(at, len(frame))[1], self.number, frame))
        out = []
        while self.sending and self.sending[0].cycle < horizon:
            out.append(self.sending.popleft())
        return out

    def message(self, header: Header, payload: bytes) -> None:
        if header.type == TYPE_CONTROL:
            self.request(header, payload)
            return
        age = (header.generation - self.generation[header.slot]) % 16
        if age > 7:
            self.stale += 1
            return
        self.generation[header.slot] = header.generation
        assert not self.needs_image or len(self.image) == ENTRIES, "a row came before the image"
        if header.edge == ENTRY_EDGE:
            target = (self.number + 1) % NODES
            self.outbox.append((target, replace(header, dst_kernel=GROUP + target, edge=MIDDLE_EDGE, src_kernel=129), payload))
        else:
            self.outbox.append((HOST, replace(header, dst_kernel=255, edge=RESULT_EDGE, src_kernel=129 + self.number), payload))

    def request(self, header: Header, payload: bytes) -> None:
        opcode, tag = payload[0], payload[2:4]
        first, count = int.from_bytes(payload[4:8], "little"), int.from_bytes(payload[8:12], "little")
        body = b""
        if opcode == words.OP_READ:
            values = {words.index_of("manager.switches"): self.switches, words.index_of("node.node"): self.number}
            body = b"".join(values.get(first + i, 0).to_bytes(4, "little") for i in range(count))
        elif opcode == words.OP_WRITE:
            for i in range(count):
                self.image[first + i] = payload[64 * (i + 1) : 64 * (i + 2)]
        elif opcode == words.OP_FLUSH:
            self.generation[first] = count
        else:
            self.switches += 1
        head = bytes([opcode | words.OP_REPLY, words.STATUS_OK]) + tag
        head += b"".join(v.to_bytes(4, "little") for v in (first, count, words.word_count(1)))
        self.outbox.append((HOST, replace(header, dst_kernel=255, src_kernel=header.dst_kernel), head.ljust(64, b"\0") + body))


@dataclass
class Run:
    """What came of a run."""

    host: Host
    nodes: list[Node]
    fabric: Fabric
    error: str | None = None
    frames: list[tuple[int, int, bytes]] = field(default_factory=list)  # that left a port, up to the host's end


def _run(
    *,
    rates: Rates | None = None,
    cuts: tuple[Cut, ...] = (),
    restarts: tuple[Restart, ...] = (),
    window: int = 200,
    sentences: int = 3,
    rows: int = 6,
    in_flight: int = 1,
    images: tuple[Path, ...] | None = None,
    patience: int = 100_000,
    limit: int = 3_000_000,
    seed: int = 1,
    image_cycles: int = 500,
    watch: Callable[[int, list[Node]], None] = lambda horizon, nodes: None,
) -> Run:
    host = Host(
        HostConfig(
            port=HOST,
            station=STATIONS[HOST],
            neighbours={s.node: PeerConfig(s, 64) for s in STATIONS[:-1]},
            hops={ENTRY_KERNEL + k: k for k in range(NODES)},
            timers=TIMERS,
            nodes=tuple(f"node{k}" for k in range(NODES)),
            managers=(0,) * NODES,
            clusters=(0,) * NODES,
            eth_n=1,
            cluster=0,
            entry=EntryPlan(ENTRY_KERNEL, ENTRY_EDGE),
            owners=tuple(t % NODES for t in range(16)),
            row_bytes=ROW_BYTES,
            slots=SLOTS,
            in_flight=in_flight,
            patience=patience,
            images=images,
            restarts={k: tuple(r.begin for r in restarts if r.node == k and not r.dead) for k in range(NODES)},
        ),
        [_rows(s, rows) for s in range(sentences)],
    )
    run = Run(host, [Node(k, images is not None) for k in range(NODES)], Fabric(MACS, 220, rates=rates, seed=seed, cuts=cuts))
    todo = sorted(restarts, key=lambda r: r.begin)
    told: set[Restart] = set()
    horizon = 0
    while not host.done:
        horizon += window
        assert horizon < limit, "no end"
        try:
            sent = host.run(horizon)
        except RunError as error:
            run.error = str(error)
            break
        for node in run.nodes:
            down = next((r for r in todo if r.node == node.number and r.begin < horizon and node.restarts <= todo.index(r)), None)
            if down is None:
                sent += node.run(horizon)
                continue
            if down.begin >= horizon - window:  # the reset begins in this window
                sent += node.run(down.begin)
                node.sending.clear()
                node.arrivals.clear()
            if down.end < horizon:
                node.boot(down.end)
                node.restarts = todo.index(down) + 1
                sent += node.run(horizon)
        for item in todo:
            loaded = item.end + image_cycles
            if item not in told and not item.dead and loaded < horizon:
                told.add(item)
                host.loaded(item.node, loaded)
        run.frames += [(item.cycle, item.port, item.data) for item in sent]
        for arrival in run.fabric.forward(sent, horizon):
            if arrival.port == HOST:
                host.receive([arrival])
                continue
            node = run.nodes[arrival.port]
            if not any(r.node == node.number and r.begin <= arrival.cycle < r.end for r in todo):
                node.count += 1
                heapq.heappush(node.arrivals, (arrival.cycle, node.count, arrival))
        watch(horizon, run.nodes)
    if host.finished is not None:
        run.frames = sorted(item for item in run.frames if item[0] <= host.finished)
    if run.error is None:
        for number, sentence in enumerate(host.sentences):
            assert list(sentence.out) == _rows(number, rows), number
    return run


ALL = Rates(0.1, 0.1, 0.1, 0.1, 0.1)


def _images(folder: Path) -> tuple[Path, ...]:
    for k in range(NODES):
        lines = [f"{(0x1000 if i < 25 else 0x2000) + i:08x}{1000 * k + i:0128x}" for i in range(ENTRIES)]
        (folder / f"node{k}.hex").write_text("\n".join(lines) + "\n")
    return tuple(folder / f"node{k}.hex" for k in range(NODES))


def test_nothing_is_sent_again_on_a_clean_network() -> None:
    run = _run()
    assert run.host.endpoint.counters.sent_again == 0 and run.host.endpoint.counters.drops_by_name() == {}
    assert all(node.endpoint.counters.sent_again == 0 and node.endpoint.counters.drops_by_name() == {} for node in run.nodes)
    assert run.host.events == [] and [s.attempts for s in run.host.sentences] == [1, 1, 1]
    assert [(s.slot, s.generation) for s in run.host.sentences] == [(0, 0), (1, 0), (0, 1)]
    assert run.host.words["node2"]["node.node"] == 2 and run.host.words["node1"]["manager.switches"] == 1


@pytest.mark.parametrize(
    "rates",
    [Rates(loss=0.1), Rates(dup=0.1), Rates(reorder=0.1), Rates(corrupt=0.1), Rates(delay=0.1), ALL, Rates(0.3, 0.3, 0.3, 0.3, 0.3)],
)
@pytest.mark.parametrize("in_flight", [1, 2])
def test_a_bad_network_changes_no_byte(rates: Rates, in_flight: int) -> None:
    run = _run(rates=rates, in_flight=in_flight, sentences=4, rows=12)
    assert all(s.attempts == 1 for s in run.host.sentences) and sum(run.fabric.done().values()) > 0
    if rates.loss:
        assert sum(e.counters.sent_again for e in (run.host.endpoint, *(n.endpoint for n in run.nodes))) > 0


@pytest.mark.parametrize("window", [1, 37, 202])
def test_the_window_changes_nothing(window: int) -> None:
    some = {"rates": ALL, "restarts": (Restart(1, 9000, 9100),), "sentences": 4, "seed": 3}
    a, b = _run(**some), _run(**some, window=window)  # type: ignore[arg-type]
    assert a.frames == b.frames and a.host.finished == b.host.finished and a.host.events == b.host.events
    assert a.fabric.done(a.host.finished) == b.fabric.done(b.host.finished)


@pytest.mark.parametrize("begin", range(300, 9000, 870))
def test_a_node_that_restarts_costs_time_and_no_byte(begin: int) -> None:
    run = _run(restarts=(Restart(1, begin, begin + 100),), rows=16)
    assert run.error is None
    if begin > 1000:  # the links stood
        assert any(text == "node1 restarted" for _, text in run.host.events)
    assert sum(s.attempts for s in run.host.sentences) >= 3


def test_two_nodes_restart_one_after_the_other_on_a_bad_network() -> None:
    restarts = (Restart(0, 9000, 9500), Restart(2, 14_000, 15_000), Restart(0, 40_000, 40_100))
    run = _run(restarts=restarts, rates=Rates(0.05, 0.05, 0.05, 0.05), sentences=12, in_flight=2)
    assert run.error is None
    assert {"node0 restarted", "node2 restarted"} <= {text for _, text in run.host.events}
    assert max(s.attempts for s in run.host.sentences) > 1
    # a slot's generation grows at every use, so that no message of an attempt that was given up can count
    uses = Counter(data[59] for _, port, data in run.frames if port == HOST and (data[42] & 31, data[56]) == (0, ENTRY_EDGE))
    assert len(uses) == min(sum(s.attempts for s in run.host.sentences), 16 * SLOTS)


def test_a_dead_node_is_named_in_time() -> None:
    run = _run(restarts=(Restart(1, 9000, FOREVER),), patience=30_000, sentences=40)
    assert run.error is not None and "node1" in run.error, run.error
    assert run.host._now < 9000 + TIMERS.retries * TIMERS.rto + 3000 + 30_000 + 5000
    assert any("link to node1 failed" in text for _, text in run.host.events)


def test_a_cut_is_bridged_or_survived() -> None:
    short = _run(cuts=(Cut(1, 8000, 14_000),), sentences=10)
    assert short.error is None and [s.attempts for s in short.host.sentences] == [1] * 10
    long = _run(cuts=(Cut(1, 8000, 8000 + 30 * TIMERS.rto),), sentences=10)
    assert long.error is None and any("failed" in text for _, text in long.host.events)
    assert max(s.attempts for s in long.host.sentences) == 2


def test_images_travel_in_frames(tmp_path: Path) -> None:
    images = _images(tmp_path)
    for rates, restarts in ((None, ()), (ALL, ()), (None, (Restart(2, 12_000, 12_100),))):
        run = _run(images=images, rates=rates, restarts=restarts, sentences=20)
        assert run.error is None and run.host.loaded_at > 0
        for node, path in zip(run.nodes, images, strict=True):
            expected = {address + i: value.to_bytes(64, "little") for address, values in read_image(path) for i, value in enumerate(values)}
            assert node.image == expected and len(expected) == ENTRIES
    assert any(text == "node2 restarted" for _, text in run.host.events) and max(s.attempts for s in run.host.sentences) == 2


def test_an_image_is_cut_where_addresses_jump(tmp_path: Path) -> None:
    runs = read_image(_images(tmp_path)[1])
    assert [(address, len(values)) for address, values in runs] == [(0x1000, 25), (0x2000 + 25, ENTRIES - 25)]
    assert runs[1][1][0] == 1000 + 25
