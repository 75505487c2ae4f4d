# SPDX-License-Identifier: Apache-2.0
"""The host over real UDP sockets on loopback addresses, with a relay in between that loses, repeats and reorders datagrams."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
from host_cluster import EDGE, ENTRY, TABLES, Node, Plan, Shared, answer

from floreana.cluster.entry import EntryPlan
from floreana.cluster.layout import TYPE_INT8, Header
from floreana.errors import EnvironmentError_
from floreana.host.admission import Admission, AdmissionConfig
from floreana.host.endpoint import EndpointConfig, PeerConfig, Timers
from floreana.host.frame import DATA, UDP_PORT, Cause, Station
from floreana.host.manager import ManagerAddress, ManagerClient, ManagerConfig
from floreana.host.socket_host import SocketConfig, SocketHost, dotted

# microseconds; the machine that runs the tests may pause for long
TIMERS = Timers(ack_delay=500, rto=20_000, retries=500, keep=500_000, nack_hold=5_000)
CYCLES_PER_SECOND = 1_000_000
LIMIT = 60.0  # seconds


def address(number: int) -> int:
    """A loopback address of this process: tests may run side by side."""
    pid = os.getpid()
    return 127 << 24 | (1 + (pid >> 8) % 250) << 16 | (pid & 255) << 8 | number


def station(node: int, number: int) -> Station:
    return Station(node, 0x02F10E000000 + node, address(number))


def config(node: int, own: int, peers: dict[int, int]) -> SocketConfig:
    """A host at loopback address ``own``; its peers, and the address behind which each is."""
    entries = {peer: PeerConfig(station(peer, number), 32) for peer, number in peers.items()}
    return SocketConfig(EndpointConfig(station(node, own), entries, TIMERS), CYCLES_PER_SECOND)


class Relay:
    """Has an address for each end of one link: what comes at one goes out at the other."""

    def __init__(self, seed: int, ends: dict[int, int], bad: float) -> None:
        """``ends``: own address -> address of the end that talks to it. Two of them."""
        self.rng, self.bad = random.Random(seed), bad
        self.ends = ends
        self.sockets: dict[int, socket.socket] = {}
        for number in ends:
            self.sockets[number] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.sockets[number].setblocking(False)
            self.sockets[number].bind((dotted(address(number)), UDP_PORT))
        self.held: list[tuple[int, bytes]] = []
        self.lost = self.passed = 0

    def step(self) -> None:
        here, there = self.ends
        for source, target in ((here, there), (there, here)):
            while True:
                try:
                    data = self.sockets[source].recv(2000)
                except BlockingIOError:
                    break
                if self.rng.random() < self.bad:
                    self.lost += 1
                    continue
                for _ in range(2 if self.rng.random() < self.bad else 1):
                    self.held.append((target, data))
        if self.bad and len(self.held) > 1 and self.rng.random() < 0.5:
            self.rng.shuffle(self.held)
        for target, data in self.held:
            self.passed += 1
            self.sockets[target].sendto(data, (dotted(address(self.ends[target])), UDP_PORT))
        self.held.clear()

    def close(self) -> None:
        for item in self.sockets.values():
            item.close()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as out:
        yield out


def header(row: int) -> Header:
    return Header(0, 1, 2, 0, 255, 0, 0, row, 0, TYPE_INT8, False)


@pytest.mark.parametrize("bad", [0.0, 0.1])
def test_two_hosts_and_a_relay(stack: ExitStack, bad: float) -> None:
    """Host 0 at .1 sees host 1 behind .12, host 1 at .2 sees host 0 behind .11."""
    left = stack.enter_context(SocketHost(config(0, 1, {1: 12})))
    right = stack.enter_context(SocketHost(config(1, 2, {0: 11})))
    relay = Relay(3, {12: 1, 11: 2}, bad)
    stack.callback(relay.close)
    hosts, count = (left, right), 300
    sent, got = [0, 0], [[], []]  # type: ignore[var-annotated]

    def turn() -> bool:
        for me, host in enumerate(hosts):
            now = host.now()
            while sent[me] < count and host.send(now, 1 - me, header(sent[me]), sent[me].to_bytes(4, "big") * 200):
                sent[me] += 1
            host.step(0.0005)
            while (item := host.take()) is not None:
                assert item.payload == item.header.row.to_bytes(4, "big") * 200
                got[me].append(item.header.row)
        relay.step()
        return all(len(rows) == count for rows in got) and not any(host.endpoint.queued for host in hosts)

    assert left.run(turn, LIMIT), [host.endpoint.counters for host in hosts]
    assert got == [list(range(count))] * 2
    kinds = []
    for host in hosts:
        while (event := host.take_event()) is not None:
            kinds.append(event.kind)
        c = host.endpoint.counters
        assert c.frames == sum(c.accepted) + sum(c.drops) and c.accepted[DATA] == count and host.send_errors == 0
        assert set(c.drops_by_name()) <= {"gap", "duplicate", "epoch"}
    assert kinds == ["up", "up"]
    assert (relay.lost > 0) == (bad > 0)
    print(f"{2 * count} messages, {relay.passed} datagrams passed, {relay.lost} lost")


def test_a_cluster_over_sockets(stack: ExitStack) -> None:
    """Three nodes of the model, admission, managers, tables written over the wire, one node restarts."""
    plan = Plan(nodes=3)
    peers = {node: 20 + node for node in range(4)}
    shared = Shared()
    rng = random.Random(5)

    def start(number: int) -> tuple[SocketHost, Node]:
        others = {peer: at for peer, at in peers.items() if peer != number}
        host = stack.enter_context(SocketHost(config(number, peers[number], others)))
        node = Node(plan, number, shared, rng, 0)
        node.endpoint, node.max_delay = host.endpoint, 3000
        return host, node

    nodes = [start(number) for number in range(3)]
    shared.sinks.append(lambda now, key, rows: [node.emit(host.now(), key, rows) for host, node in nodes])  # type: ignore[arg-type,func-returns-value]
    host = stack.enter_context(SocketHost(config(3, peers[3], {node: peers[node] for node in range(3)})))
    manager = ManagerClient(ManagerConfig({node: ManagerAddress(node) for node in range(3)}, timeout=2_000_000, outstanding=2), host.send)
    prepared: list[int] = []

    def prepare(node: int):  # type: ignore[no-untyped-def]
        prepared.append(node)
        yield manager.write(node, min(TABLES), [TABLES[at] for at in sorted(TABLES)])

    host.admission = admission = Admission(
        AdmissionConfig(
            host=3,
            cluster=0,
            entry=EntryPlan(ENTRY, EDGE),
            owners=tuple(t % 3 for t in range(24)),
            hops={ENTRY + node: node for node in range(3)},
            row_bytes=192,
            max_tokens=24,
            slots=2,
            patience=30_000_000,
            pause=10_000,
        ),
        host.send,
        manager,
        prepare,
    )
    inputs = [[rng.randbytes(192) for _ in range(rng.randint(1, 24))] for _ in range(12)]
    for rows in inputs:
        admission.submit(rows)
    restarted = False

    def turn() -> bool:
        nonlocal restarted
        for place, (other, node) in enumerate(nodes):
            other.step(0.0)
            node.step(other.now())
            if place == 1 and not restarted and len(admission.finished) >= 3:
                restarted = True
                other.close()
                node.forget(lambda key: True)
                nodes[1] = start(1)
        return restarted and admission.idle

    assert host.run(turn, LIMIT), (admission.counters, admission.log)
    assert sorted(r.number for r in admission.finished) == list(range(12))
    for result in admission.finished:
        assert list(result.rows) == [answer(row) for row in inputs[result.number]]
    assert sorted(prepared) == [0, 1, 1, 2] and admission.counters.recoveries == 2
    operation = manager.read(1, 2, 3)
    host.run(lambda: (turn(), operation.done)[1], LIMIT)
    assert host.ask(operation, 1.0) == (1002, 1003, 1004)
    with pytest.raises(TimeoutError, match=r"a read of 1 words from 0 is not answered after 0\.01 s"):
        host.ask(manager.read(1, 0, 1), 0.01)


def test_strangers_are_dropped_and_counted(stack: ExitStack) -> None:
    host = stack.enter_context(SocketHost(config(0, 41, {1: 42})))
    for own, port, data in (
        (42, UDP_PORT, b"nonsense"),
        (43, UDP_PORT, bytes(22)),
        (42, 0, bytes(22)),
        (43, UDP_PORT, b"\x23" + bytes(21)),
    ):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((dotted(address(own)), port))
            sender.sendto(data, (dotted(address(41)), UDP_PORT))
    assert host.run(lambda: host.endpoint.counters.frames == 4, LIMIT)
    assert host.endpoint.counters.drops_by_name() == {"udp port": 1, "version or type": 2, "unknown node": 1}
    good = b"\x23\x08\x00\x01" + bytes(18)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((dotted(address(43)), UDP_PORT))
        sender.sendto(good, (dotted(address(41)), UDP_PORT))
    assert host.run(lambda: host.endpoint.counters.frames == 5, LIMIT)
    assert host.endpoint.counters.drops[Cause.SOURCE_ADDRESS] == 1


def test_an_address_that_cannot_be_had_is_named(stack: ExitStack) -> None:
    first = config(0, 51, {1: 52})
    stack.enter_context(SocketHost(first))
    with pytest.raises(EnvironmentError_, match=rf"cannot use UDP port {UDP_PORT} of 127\..*: Address already in use"):
        SocketHost(first)
    foreign = replace(first.endpoint, station=replace(first.endpoint.station, ip=0xC0000201))
    with pytest.raises(EnvironmentError_, match=r"of 192\.0\.2\.1: Cannot assign"):
        SocketHost(replace(first, endpoint=foreign))
    with pytest.raises(ValueError, match="cycles_per_second = 0"):
        replace(first, cycles_per_second=0)
    with pytest.raises(ValueError, match="port 0"):
        replace(first, port=0)
