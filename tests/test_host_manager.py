# SPDX-License-Identifier: Apache-2.0
"""The host's side of the managers: requests byte by byte, cutting, order, pauses, errors, answers that come late or are none."""

from __future__ import annotations

import random
import struct

import pytest
from host_cluster import MANAGER_BASE, Node, Plan, Shared

from floreana.cluster.layout import TYPE_CONTROL, TYPE_INT8, Header
from floreana.host import words
from floreana.host.endpoint import Delivery
from floreana.host.manager import ManagerAddress, ManagerClient, ManagerConfig, ManagerError, Operation

PLAN = Plan()


class Bench:
    """A client and managers without network; ``turn`` carries what waits once each way."""

    def __init__(self, outstanding: int = 1, timeout: int | None = None) -> None:
        addresses = {0: ManagerAddress(0), 1: ManagerAddress(1), 2: ManagerAddress(1, MANAGER_BASE + 2)}
        names = {0: "left", 1: "right", 2: "far"}
        self.client = ManagerClient(ManagerConfig(addresses, names, timeout=timeout, outstanding=outstanding), self.send)
        self.nodes = {n: Node(PLAN, n, Shared(), random.Random(n), 0) for n in range(3)}
        self.sent: list[tuple[int, Header, bytes]] = []
        self.all: list[tuple[int, Header, bytes]] = []
        self.room = 100
        self.now = 0

    def send(self, now: int, peer: int, header: Header, payload: bytes) -> bool:
        assert now == self.now
        if len(self.sent) >= self.room:
            return False
        self.sent.append((peer, header, payload))
        self.all.append((peer, header, payload))
        return True

    def turn(self) -> None:
        self.now += 100
        self.client.poll(self.now)
        sent, self.sent = self.sent, []
        for peer, header, payload in sent:
            node = self.nodes[header.dst_kernel - MANAGER_BASE if header.dst_kernel else peer]
            node.message(self.now, Delivery(peer, header, payload))
        for node in self.nodes.values():
            for _, _, _, header, payload in sorted(node.later):
                assert self.client.receive(self.now, header, payload)
            node.later.clear()

    def run(self, operation: Operation, turns: int = 100) -> Operation:
        for _ in range(turns):
            if operation.done:
                break
            self.turn()
        return operation


def test_a_read_byte_by_byte() -> None:
    bench = Bench()
    operation = bench.client.read(2, 5, 3)
    assert not operation.done and not bench.sent
    with pytest.raises(RuntimeError, match="a read of 3 words from 5 is not done"):
        operation.result()
    assert bench.run(operation).result() == (2005, 2006, 2007)
    ((peer, header, payload),) = bench.all
    assert peer == 1 and header == Header(0, MANAGER_BASE + 2, 0, 0, 255, 0, 0, 0, 0, TYPE_CONTROL, False)
    assert payload == struct.pack("<BBHII", 1, 0, 0, 5, 3)
    assert bench.client.idle and bench.client.next_time() is None


@pytest.mark.parametrize("outstanding", [1, 2, 6])
def test_long_reads_and_writes_are_cut(outstanding: int) -> None:
    bench = Bench(outstanding)
    total = words.word_count()
    values = [random.Random(k).randbytes(64) for k in range(100)]
    read, write = bench.client.read(0, 0, total), bench.client.write(0, 0x2000_0010, values)
    bench.run(write)
    assert read.result() == tuple(bench.nodes[0].word(k) for k in range(total))
    assert [(p[0], *struct.unpack_from("<II", p, 4)) for _, _, p in bench.all] == [
        (1, 0, 128),
        (1, 128, total - 128),
        *((2, 0x2000_0010 + at, min(15, 100 - at)) for at in range(0, 100, 15)),
    ]
    first = bench.all[2][2]
    assert len(first) == 64 + 15 * 64 and first[12:64] == bytes(52) and first[64:] == b"".join(values[:15])
    assert bench.nodes[0].tables == {0x2000_0010 + k: value for k, value in enumerate(values)}
    assert [struct.unpack_from("<H", p, 2)[0] for _, _, p in bench.all] == list(range(9))


@pytest.mark.parametrize(("outstanding", "turns"), [(1, 9), (3, 4)])
def test_a_node_has_few_requests_outstanding(outstanding: int, turns: int) -> None:
    """Two reads and seven writes: one each turn, or three; of one operation at a time."""
    bench = Bench(outstanding)
    bench.client.read(0, 0, 200)
    write = bench.client.write(0, 0, [bytes(64)] * 100)
    other = bench.client.read(1, 7, 1)
    for _ in range(turns):
        assert not write.done
        bench.turn()
        assert other.done  # another node's answer does not wait
    assert write.done and bench.client.counters.requests == bench.client.counters.replies == 10


def test_flush_and_events() -> None:
    bench = Bench()
    operations = [bench.client.flush(1, 1, 9), bench.client.events(1, True), bench.client.events(2, False)]
    for operation in operations:
        assert bench.run(operation).result() == ()
    payloads = [p for _, _, p in sorted(bench.all, key=lambda item: item[1].dst_kernel)]
    assert [p[0] for p in payloads] == [3, 4, 4] and [struct.unpack_from("<II", p, 4) for p in payloads] == [(1, 9), (1, 0), (0, 0)]
    assert bench.nodes[1].cur == [0, 9] and bench.nodes[1].on and not bench.nodes[2].on


@pytest.mark.parametrize("outstanding", [1, 3])
def test_a_busy_kernel_is_waited_for(outstanding: int) -> None:
    bench = Bench(outstanding)
    bench.nodes[0].busy = 5
    values = [bytes([k]) * 64 for k in range(40)]
    operation = bench.client.write(0, 16, values)
    bench.turn()
    assert bench.client.next_time() == bench.now + bench.client.config.pause or outstanding > 1
    assert bench.run(operation).result() == ()
    assert bench.nodes[0].tables == {16 + k: value for k, value in enumerate(values)}
    assert bench.client.counters.busy == 5 and bench.client.counters.requests == 8


def test_a_full_transport_is_tried_again() -> None:
    bench = Bench(outstanding=2)
    bench.room = 0
    operation = bench.client.read(0, 0, 200)
    bench.client.poll(0)
    assert not bench.all
    bench.room = 1
    bench.run(operation)
    assert len(operation.result()) == 200 and [struct.unpack_from("<H", p, 2)[0] for _, _, p in bench.all] == [0, 1]


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (
            lambda c: c.read(0, words.word_count(), 1),
            "left: a read of 1 words from 224: it says: an argument or the length is out of range",
        ),
        (lambda c: c.write(0, 0x9000_0000, [bytes(64)]), "left: a write of 1 entries to 90000000: it says: there is no such unit"),
        (lambda c: c.flush(0, 7, 1), "left: a flush of slot 7 to generation 1: it says: an argument"),
    ],
)
def test_a_refusal_is_an_error(ask, text: str) -> None:  # type: ignore[no-untyped-def]
    bench = Bench()
    operation, after = ask(bench.client), bench.client.read(0, 1, 1)
    with pytest.raises(ManagerError) as caught:
        bench.run(operation).result()
    assert caught.value.message.startswith(text.replace("224", str(words.word_count()))), caught.value.message
    assert caught.value.node == 0 and not caught.value.lost
    assert bench.run(after).result() == (1,)  # the next one is served all the same


def test_the_rest_of_an_operation_that_failed_is_not_asked() -> None:
    bench = Bench()
    operation = bench.client.write(0, 0x6000_0000, [bytes(64)] * 40)
    with pytest.raises(ManagerError, match="no such unit"):
        bench.run(operation).result()
    bench.turn()
    assert len(bench.all) == 1 and bench.client.idle


def test_no_answer_in_time() -> None:
    bench = Bench(timeout=1000)
    bench.nodes[1].mute = True
    operation = bench.client.read(1, 0, 4)
    bench.turn()
    assert bench.client.next_time() == 100 + 1000
    bench.run(operation)
    assert bench.now == 1100 and operation.error is not None and operation.error.lost
    assert operation.error.message == (
        "right: a read of 4 words from 0: after 1000 cycles there is no answer; is the node running and the cable in?"
    )
    bench.nodes[1].busy, bench.nodes[1].mute = 1000, False
    with pytest.raises(ManagerError, match="a kernel is still at work"):
        bench.run(bench.client.write(1, 0, [bytes(64)])).result()


def test_a_lost_node_and_an_abandoned_operation() -> None:
    bench = Bench()
    read, write, other = bench.client.read(0, 0, 300), bench.client.write(0, 0, [bytes(64)]), bench.client.read(1, 3, 1)
    bench.client.poll(0)
    bench.client.lost(0, "it restarted")
    assert read.done and write.done and not other.done
    for operation, what in ((read, "a read of 300 words from 0"), (write, "a write of 1 entries to 00000000")):
        with pytest.raises(ManagerError, match=f"left: {what}: it restarted"):
            operation.result()
    bench.client.abandon(other)
    with pytest.raises(ManagerError, match="was abandoned"):
        other.result()
    assert bench.client.idle
    bench.turn()  # the answers to what was sent come, and are for nobody
    assert bench.client.counters.strays == 2 and bench.client.counters.replies == 0
    assert bench.run(bench.client.read(0, 9, 1)).result() == (9,)


def test_events_and_nonsense() -> None:
    bench = Bench()
    control = Header(0, 255, 0, 0, 0, 0, 0, 0, 0, TYPE_CONTROL, False)
    event = bytes([0xE0, 2, 0, 0]) + struct.pack("<IIII", 1, 3, 2, 17)
    assert bench.client.receive(0, control, event.ljust(64, b"\0"))
    assert list(bench.client.reports) == [words.Event(words.EVENT_RESTARTED, 1, 3, 2, 17)]
    for payload in (b"", b"\x81", event, bytes(64), bytes([0xE0, 9]).ljust(64, b"\0"), bytes([0x81, 0, 0, 0]).ljust(68, b"\0")):
        assert bench.client.receive(0, control, payload)
    assert bench.client.counters.malformed == 6 and bench.client.counters.events == 1
    assert not bench.client.receive(0, Header(0, 255, 0, 0, 0, 0, 0, 0, 0, TYPE_INT8, False), bytes(64))
    # an answer of another kind than asked is for nobody; one for other words is an error
    operation = bench.client.read(0, 0, 1)
    bench.client.poll(0)
    assert bench.client.receive(0, control, struct.pack("<BBHIII", 0x83, 0, 0, 0, 1, 224).ljust(64, b"\0"))
    assert bench.client.counters.strays == 1 and not operation.done
    assert bench.client.receive(0, control, struct.pack("<BBHIII", 0x81, 0, 0, 1, 1, 224).ljust(64, b"\0") + bytes(4))
    with pytest.raises(ManagerError, match="it answered for 1, 1 where 0, 1 was asked"):
        operation.result()


def test_wrong_uses_are_named() -> None:
    client = Bench().client
    with pytest.raises(ValueError, match="no node 5"):
        client.read(5, 0, 1)
    with pytest.raises(ValueError, match="entry 1 has 63 bytes, not 64"):
        client.write(0, 0, [bytes(64), bytes(63)])
    assert client.read(0, 0, 0).result() == () and client.write(0, 0, []).done


def test_tags_wrap_and_are_unique() -> None:
    bench = Bench(outstanding=2)
    bench.client._tag = 0xFFFF
    stuck = bench.client.read(1, 0, 1)
    bench.nodes[1].mute = True
    bench.turn()
    assert bench.run(bench.client.read(0, 0, 2)).result() == (0, 1)
    bench.client._tag = 0xFFFF  # the tag of the request that is still open is left out
    bench.run(bench.client.read(0, 0, 2))
    assert [struct.unpack_from("<H", p, 2)[0] for _, _, p in bench.all] == [0xFFFF, 0, 0] and not stuck.done
