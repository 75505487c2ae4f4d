# SPDX-License-Identifier: Apache-2.0
"""Admission of sequences, on a cluster model whose nodes restart, whose links fail, whose network loses frames: the same results always."""

from __future__ import annotations

import random
import struct
from collections import Counter
from dataclasses import replace

import pytest
from host_cluster import DIRECT_EDGE, EDGE, ENTRY, LINEAR, ROW_EDGE, TABLES, TIMERS, Cluster, Plan, answer

from floreana.cluster.entry import EntryPlan
from floreana.cluster.layout import TYPE_CONTROL, TYPE_INT8, Header
from floreana.cluster.topology import Numbers
from floreana.errors import InputError
from floreana.host import words
from floreana.host.admission import Admission, AdmissionConfig, ClusterError, Finished, LastGateway
from floreana.host.endpoint import LinkEvent
from floreana.host.manager import ManagerAddress, ManagerClient, ManagerConfig

Rows = list[bytes]


def sequences(rng: random.Random, count: int, plan: Plan, longest: int | None = None) -> list[Rows]:
    return [[rng.randbytes(plan.row_bytes) for _ in range(rng.randint(1, longest or plan.max_tokens))] for _ in range(count)]


def check(results: list[Finished], inputs: list[Rows]) -> int:
    """Every sequence came back once, with the right bits; the number of rows compared."""
    assert sorted(result.number for result in results) == list(range(len(inputs)))
    for result in results:
        assert list(result.rows) == [answer(row) for row in inputs[result.number]], f"sequence {result.number}"
    return sum(len(rows) for rows in inputs)


def test_slots_and_generations_without_faults() -> None:
    plan = Plan(slots=3)
    cluster = Cluster(plan, 1)
    inputs = sequences(random.Random(2), 60, plan)
    for place, rows in enumerate(inputs):
        assert cluster.admission.submit(rows) == place
    assert cluster.run(400_000, lambda: cluster.admission.idle)
    results = list(cluster.admission.finished)
    rows = check(results, inputs)
    assert cluster.most == 3 and cluster.prepared == [0, 1, 2]
    for slot in range(3):
        used = [r.generation for r in sorted(results, key=lambda r: r.start) if r.slot == slot]
        assert len(used) >= 17 and used == [k % 16 for k in range(len(used))]
    c = cluster.admission.counters
    assert (c.submitted, c.finished, c.replayed, c.stale, c.faults, c.recoveries) == (60, 60, 0, 0, 0, 1)
    assert all(r.attempts == 1 and r.start < r.end for r in results)
    assert all(node.stale == node.unloaded == 0 for node in cluster.nodes.values())
    print(f"{len(inputs)} sequences, {rows} rows in {cluster.now} cycles")


@pytest.mark.parametrize("in_flight", [1, 2])
def test_no_more_than_asked_are_in_the_cluster(in_flight: int) -> None:
    plan = Plan(slots=3)
    cluster = Cluster(plan, 1, in_flight=in_flight)
    inputs = sequences(random.Random(3), 20, plan)
    for rows in inputs:
        cluster.admission.submit(rows)
    assert cluster.run(400_000, lambda: cluster.admission.idle)
    check(list(cluster.admission.finished), inputs)
    assert cluster.most == in_flight
    if in_flight == 1:
        assert [r.number for r in cluster.admission.finished] == list(range(20))


def test_wrong_sequences_are_refused() -> None:
    admission = Cluster(Plan(), 1).admission
    with pytest.raises(InputError, match="25 tokens; the cluster is built for 24"):
        admission.submit([bytes(192)] * 25)
    with pytest.raises(InputError, match="without rows"):
        admission.submit([])
    with pytest.raises(InputError, match="row 1 has 191 bytes, not 192"):
        admission.submit([bytes(192), bytes(191)])
    assert admission.counters.refused == 3 and admission.counters.submitted == 0


@pytest.mark.parametrize("line", [False, True])
@pytest.mark.parametrize("victim", [0, 2])
def test_a_node_that_restarts_is_prepared_and_all_is_sent_again(line: bool, victim: int) -> None:
    plan = Plan(line=line)
    cluster = Cluster(plan, 4, outstanding=2)
    inputs = sequences(random.Random(5), 12, plan)
    for rows in inputs:
        cluster.admission.submit(rows)
    admission = cluster.admission
    assert cluster.run(100_000, lambda: len(admission.finished) >= 3 and admission.in_flight == 2)
    cluster.restart(victim)
    assert cluster.run(400_000, lambda: admission.idle), admission.log
    check(list(admission.finished), inputs)
    c = admission.counters
    assert cluster.prepared == [0, 1, 2, victim] and cluster.nodes[victim].tables == TABLES
    assert c.replayed >= 2 and c.faults >= 1 and c.recoveries == 2, admission.log
    assert Counter(r.attempts for r in admission.finished)[1] >= 3 and max(r.attempts for r in admission.finished) >= 2
    assert any(f"fpga{victim} restarted" in text for _, text in admission.log)
    # every slot of every node was flushed to the generation used next
    assert len(cluster.nodes[victim].flushes) >= 2 * plan.slots


def test_rows_of_a_generation_that_was_given_up_are_counted() -> None:
    plan = Plan()
    cluster = Cluster(plan, 6)
    for node in cluster.nodes.values():
        node.max_delay = 20_000  # results that come long after the replay began
    inputs = sequences(random.Random(7), 4, plan)
    for rows in inputs:
        cluster.admission.submit(rows)
    emitted: list[int] = []
    sinks = cluster.shared.sinks
    sinks.append(lambda now, key, rows: emitted.append(now))
    assert cluster.run(100_000, lambda: len(emitted) >= 1)
    cluster.restart(2)
    assert cluster.run(400_000, lambda: cluster.admission.idle)
    check(list(cluster.admission.finished), inputs)
    assert cluster.admission.counters.stale > 0


def test_a_new_host_takes_nothing_of_one_that_died_in_the_middle() -> None:
    """Rows of the earlier host's sequences still come, in slots and generations that the new one uses, too."""
    plan, stale = Plan(), 0
    for seed in range(8):
        cluster = Cluster(plan, seed)
        for rows in sequences(random.Random(seed), 6, plan):
            cluster.admission.submit(rows)
        pieces = 5 + 12 * seed
        assert cluster.run(50_000, lambda c=cluster, n=pieces: c.admission.counters.messages_in > n and c.admission.in_flight > 0)  # type: ignore[misc]
        cluster.new_host()
        inputs = sequences(random.Random(100 + seed), 6, plan)
        for rows in inputs:
            cluster.admission.submit(rows)
        assert cluster.run(200_000, lambda c=cluster: c.admission.idle), seed  # type: ignore[misc]
        check(list(cluster.admission.finished), inputs)
        assert cluster.prepared == [0, 1, 2], "the nodes have their tables"
        flushed = plan.slots * plan.nodes
        assert cluster.admission.counters.flushes == 2 * flushed and cluster.admission.counters.recoveries == 1
        stale += cluster.admission.counters.stale
    assert stale > 0
    # the links of one that ended in order are new, too, and nothing comes
    cluster.new_host()
    cluster.admission.submit(inputs[0])
    assert cluster.run(400_000, lambda: cluster.admission.idle) and cluster.admission.counters.stale == 0


def test_no_kernel_gets_a_message_when_the_first_sequence_of_a_new_host_goes_in() -> None:
    """Node 0 counts messages of the earlier host's work for a while: so long the slots are not emptied for the last time."""
    cluster = Cluster(Plan(), 3)
    cluster.run(5000, lambda: cluster.admission.idle)
    cluster.new_host()
    node, begin = cluster.nodes[0], cluster.now
    word, index = node.word, words.index_of("linear.messages_in")
    node.word = lambda k: min(cluster.now, begin + 20_000) if k == index else word(k)  # type: ignore[method-assign]
    cluster.admission.submit([bytes(192)])
    flushed = 0

    def watch() -> None:
        nonlocal flushed
        if cluster.now < begin + 20_000:
            flushed = len(node.flushes)
            assert cluster.admission.in_flight == 0

    assert cluster.run(begin + 60_000, lambda: cluster.admission.idle, watch)
    assert len(node.flushes) == flushed + cluster.plan.slots


def test_whatever_a_message_says_the_host_goes_on() -> None:
    """Random control messages, replies that nobody waits for, events of nodes and peers that are and are not there; rows are refused."""
    cluster, rng, refused = Cluster(Plan(), 1), random.Random(9), 0
    cluster.admission.submit([bytes(192)])
    assert cluster.run(50_000, lambda: cluster.admission.idle)
    manager = cluster.manager
    for k in range(3000):
        size = rng.choice([0, 1, 2, 11, 12, 15, 16, 63, 64, 65, 68, 128, 1024])
        body = bytearray(rng.randbytes(size))
        if size and k % 3:
            body[0] = rng.choice([words.OP_EVENT, *(op | words.OP_REPLY for op in range(6)), words.OP_RELEASE])
        if size == 64 and k % 2:
            numbers = rng.randrange(2), rng.choice([0, 2, 3, 63, 1 << 31]), rng.choice([0, 1, 2, 3, 77, (1 << 32) - 1]), k
            body = bytearray(bytes([words.OP_EVENT, rng.randrange(5), 0, 0]) + struct.pack("<4I", *numbers)).ljust(64, b"\0")
        kind = TYPE_CONTROL if k % 10 else rng.randrange(3)
        header = Header(*(rng.randrange(256) for _ in range(4)), rng.choice([0, 254, 255, 7]), 0, 0, rng.randrange(1 << 16), 0, kind, False)
        try:
            cluster.admission.receive(cluster.now, header, bytes(body))
        except ClusterError as error:
            refused += "while nothing is in the cluster" in error.message and kind != TYPE_CONTROL
        if k % 100 == 99:
            assert cluster.run(cluster.now + 50_000, lambda: cluster.admission.idle), cluster.admission.log[-1]
    assert refused > 100 and manager.counters.strays > 100 and manager.counters.malformed > 100 and manager.counters.events > 50
    inputs = [[bytes(192)], *sequences(rng, 3, cluster.plan)]
    for rows in inputs[1:]:
        cluster.admission.submit(rows)
    assert cluster.run(cluster.now + 50_000, lambda: cluster.admission.idle)
    check(list(cluster.admission.finished), inputs)


def test_a_link_that_fails_and_returns_is_a_fault_too() -> None:
    plan = Plan()
    cluster = Cluster(plan, 8)
    inputs = sequences(random.Random(9), 12, plan)
    for rows in inputs:
        cluster.admission.submit(rows)
    assert cluster.run(100_000, lambda: len(cluster.admission.finished) >= 2)
    cluster.cut.add(frozenset((1, plan.host)))
    cluster.run(cluster.now + 3 * TIMERS.retries * TIMERS.rto)
    assert cluster.admission.recovering and cluster.admission.in_flight == 0
    cluster.cut.clear()
    assert cluster.run(400_000, lambda: cluster.admission.idle)
    check(list(cluster.admission.finished), inputs)
    assert any("the host's link to fpga1 failed" in text for _, text in cluster.admission.log)
    assert cluster.prepared == [0, 1, 2]  # nobody restarted


def test_a_link_between_two_nodes_is_waited_for() -> None:
    """All answer the host, but what one would send to the other is lost: nothing is sent before the link stands."""
    plan = Plan()
    cluster = Cluster(plan, 20, patience=300_000)
    inputs = sequences(random.Random(21), 8, plan)
    admission = cluster.admission
    assert cluster.run(50_000, lambda: admission.idle)
    cluster.cut.add(frozenset((0, 1)))
    assert cluster.run(cluster.now + 50_000, lambda: admission.recovering)
    for rows in inputs:
        admission.submit(rows)
    cluster.run(cluster.now + 50_000, lambda: not admission.recovering)
    assert admission.recovering and admission.in_flight == 0 and admission.waiting == 8
    cluster.cut.clear()
    assert cluster.run(cluster.now + 50_000, lambda: admission.idle)
    check(list(admission.finished), inputs)
    assert any("reports that its link to fpga" in text for _, text in admission.log) and cluster.prepared == [0, 1, 2]


@pytest.mark.parametrize("line", [False, True])
def test_a_node_that_stays_dead_is_named(line: bool) -> None:
    plan = Plan(line=line)
    cluster = Cluster(plan, 10, patience=30_000)
    for rows in sequences(random.Random(11), 12, plan):
        cluster.admission.submit(rows)
    assert cluster.run(100_000, lambda: len(cluster.admission.finished) >= 2)
    cluster.restart(2, after=10_000_000)
    with pytest.raises(ClusterError) as caught:
        cluster.run(cluster.now + 100_000)
    text = str(caught.value)
    by = "fpga1" if line else "the host"
    assert text.startswith(f"fpga2 stays dead: the link from {by} failed ") and "waited 30000 cycles (limit 30000)" in text, text


def test_a_manager_that_is_mute_is_named() -> None:
    cluster = Cluster(Plan(), 12, patience=20_000)
    cluster.nodes[1].mute = True
    with pytest.raises(
        ClusterError, match=r"did not recover within 20000 cycles .*fpga1: a read of . words .* after 6000 cycles there is no answer"
    ):
        cluster.run(100_000)


def test_a_second_fault_during_the_recovery_begins_it_again() -> None:
    plan = Plan(nodes=4)
    cluster = Cluster(plan, 13)
    inputs = sequences(random.Random(14), 10, plan)
    for rows in inputs:
        cluster.admission.submit(rows)
    admission = cluster.admission
    assert cluster.run(100_000, lambda: len(admission.finished) >= 2)
    cluster.restart(0)
    assert cluster.run(cluster.now + 50_000, lambda: cluster.prepared[4:] == [0])  # its tables are being written
    cluster.restart(0)
    cluster.restart(3)
    assert cluster.run(400_000, lambda: admission.idle)
    check(list(admission.finished), inputs)
    assert admission.counters.recoveries == 2 and Counter(cluster.prepared)[0] == 3 and Counter(cluster.prepared)[3] == 2


def test_without_managers_a_fault_ends_the_run() -> None:
    plan = Plan()
    cluster = Cluster(plan, 15, managers=False)
    inputs = sequences(random.Random(16), 5, plan)
    for rows in inputs:
        cluster.admission.submit(rows)
    assert cluster.run(100_000, lambda: cluster.admission.idle)
    check(list(cluster.admission.finished), inputs)
    with pytest.raises(ClusterError, match=r"node 1 restarted .* have no managers"):
        cluster.admission.link_event(LinkEvent(cluster.now, "restarted", 1))


def test_two_clusters_in_a_chain() -> None:
    """What comes out of the first goes into the second: gateways of plain queues."""
    first, second = Cluster(Plan(nodes=2, slots=2), 17, loss=0.01), Cluster(Plan(nodes=4, slots=3), 18)
    inputs = sequences(random.Random(19), 30, first.plan)
    for rows in inputs:
        first.admission.submit(rows)
    order: list[int] = []
    for until in range(1000, 400_000, 1000):
        first.run(until)
        while first.admission.finished:
            result = first.admission.finished.popleft()
            order.append(result.number)
            second.admission.submit(result.rows)
        second.run(until)
        if until == 6_000:
            second.restart(1)
        if until == 4_000:
            first.restart(0)
        if len(second.admission.finished) == 30:
            break
    assert len(second.admission.finished) == 30 and sorted(order) == list(range(30))
    for result in second.admission.finished:
        assert list(result.rows) == inputs[order[result.number]]  # exclusive-or twice
    assert first.admission.counters.recoveries == second.admission.counters.recoveries == 2


@pytest.mark.parametrize("seed", range(8))
def test_a_long_run_of_everything(seed: int) -> None:
    """Loss and overtaking all the time; restarts and cuts at random."""
    rng = random.Random(100 + seed)
    plan = Plan(nodes=rng.randint(2, 4), line=seed % 2 == 1, slots=rng.randint(1, 3), direct=seed // 2 % 4)
    cluster = Cluster(plan, seed, loss=0.01, delay=(10, 40), patience=300_000, outstanding=rng.choice([1, 2]))
    inputs = sequences(rng, 25, plan, 12)
    for rows in inputs:
        cluster.admission.submit(rows)
    actions = 0
    next_action = 4000

    def tick() -> None:
        nonlocal actions, next_action
        if cluster.now < next_action:
            return
        next_action = cluster.now + rng.randint(1000, 20_000)
        cluster.cut.clear()
        if actions == 8:
            return
        actions += 1
        node = rng.randrange(plan.nodes)
        if rng.random() < 0.6:
            cluster.restart(node, rng.choice([QUIET_LONG, 200, 200]))
        else:
            cluster.cut.add(frozenset((node, rng.choice(plan.peers(node)))))

    done = cluster.run(3_000_000, lambda: cluster.admission.idle and actions == 8, tick)
    assert done, (seed, cluster.admission.log, cluster.admission.counters)
    rows = check(list(cluster.admission.finished), inputs)
    c = cluster.admission.counters
    assert c.faults > 0 and c.recoveries > 1
    print(f"seed {seed}: {rows} rows of {len(inputs)} sequences in {cluster.now} cycles; {c}")


QUIET_LONG = 2 * TIMERS.retries * TIMERS.rto


# --------------------------------------------------------------------------------------------------------- results by hand


CONFIG = AdmissionConfig(
    host=1, cluster=0, entry=EntryPlan(ENTRY, EDGE), owners=(0,) * 4, hops={ENTRY: 0}, row_bytes=1216, max_tokens=4, slots=2
)


class Wire:
    """A transport that keeps what is sent, and takes no more than ``room``."""

    def __init__(self, room: int = 1000) -> None:
        self.sent: list[tuple[int, Header, bytes]] = []
        self.room = room

    def __call__(self, now: int, peer: int, header: Header, payload: bytes) -> bool:
        if len(self.sent) >= self.room:
            return False
        self.sent.append((peer, header, payload))
        return True


def back(row: int, begin: int, slot: int = 0, generation: int = 0) -> Header:
    return Header(0, 255, 9, 0, ENTRY, slot, generation, row, begin // 4, TYPE_INT8, False)


def test_long_rows_are_cut_into_messages_and_a_full_transport_is_waited_for() -> None:
    wire = Wire(room=3)
    admission = Admission(CONFIG, wire)
    rows = [random.Random(1).randbytes(1216) for _ in range(3)]
    admission.submit(rows)
    admission.poll(5)
    assert len(wire.sent) == 3
    wire.room = 1000
    admission.poll(6)
    assert [(h.row, 4 * h.offset, len(p), h.last) for _, h, p in wire.sent] == [
        (0, 0, 1024, False), (0, 1024, 192, False), (1, 0, 1024, False), (1, 1024, 192, False), (2, 0, 1024, True), (2, 1024, 192, True),
    ]  # fmt: skip
    assert b"".join(p for _, _, p in wire.sent) == b"".join(rows)
    assert {(peer, h.dst_kernel, h.edge, h.src_kernel, h.slot, h.generation) for peer, h, _ in wire.sent} == {(0, ENTRY, EDGE, 255, 0, 0)}
    assert admission.missing() == {0: [0, 1, 2]}
    for row in (2, 0, 1):
        admission.receive(10 + row, back(row, 1024), bytes(192))
        admission.receive(20 + row, back(row, 0), bytes([row]) * 1024)
    (result,) = admission.finished
    assert (result.start, result.end, result.slot, result.generation) == (5, 22, 0, 0) and result.rows[2] == bytes([2]) * 1024 + bytes(192)


def test_managers_speak_of_numbers_and_indices() -> None:
    """Nine nodes in a row, each a peer of those beside it, and ports of four peers: number 10 is the last, index 0 of node 7 is 6."""
    wire, names = Wire(), {node: f"n{node}" for node in range(9)}
    numbers, around = Numbers(9, 4), tuple((*(k for k in (node - 1, node + 1) if 0 <= k < 9), 9) for node in range(9))
    assert [numbers.number(station) for station in range(10)] == [0, 1, 2, 4, 5, 6, 8, 9, 10, 3]
    manager = ManagerClient(ManagerConfig({node: ManagerAddress(node) for node in range(9)}, names), wire)
    config = replace(CONFIG, host=9, numbers=numbers, around=around)
    admission = Admission(config, wire, manager, fresh=False)
    told = [(words.EVENT_FAILED, 9, 0), (words.EVENT_RESTARTED, 10, 1), (words.EVENT_FAILED, 4, 3), (words.EVENT_RESTARTED, 4, 3)]
    for number, (kind, node, index) in enumerate(told):
        manager.reports.append(words.Event(kind, 0, index, node, number))
    admission.poll(5)
    assert [text for _, text in admission.log] == [
        "n7 reports that its link to n6 failed",
        "n8 reports that n7 restarted",
        "n3 reports that its link to the host failed",
    ]  # the host's own restart is no news
    # masks of failed links are by index, too
    manager = ManagerClient(ManagerConfig({7: ManagerAddress(7)}), wire)
    admission = Admission(config, wire, manager, fresh=False)
    steps = admission._failed_links([7])
    next(steps)
    manager.poll(5)
    tag = int.from_bytes(wire.sent[-1][2][2:4], "little")
    first = words.index_of("eth0.link.failed_low", 1)
    head = struct.pack("<BBHIII", words.OP_READ | words.OP_REPLY, 0, tag, first, 2, 240)
    reply = head.ljust(64, b"\0") + struct.pack("<II", 1 << 2, 0)  # index 2: node 8
    manager.receive(6, Header(0, 255, 0, 0, 0, 0, 0, 0, 0, TYPE_CONTROL, False), reply)
    with pytest.raises(StopIteration):
        next(steps)
    assert set(admission._down) == {(7, 8)}


def test_what_was_not_sent_yet_is_not_sent_after_a_fault() -> None:
    wire = Wire(room=2)
    manager = ManagerClient(ManagerConfig({0: ManagerAddress(0)}), wire)
    admission = Admission(CONFIG, wire, manager, fresh=False)
    admission.submit([bytes(1216)] * 3)
    admission.poll(0)
    admission.link_event(LinkEvent(1, "restarted", 0))
    wire.room = 1000
    for now in range(1, 5):
        admission.poll(now)
    assert [h.type for _, h, _ in wire.sent] == [TYPE_INT8, TYPE_INT8, TYPE_CONTROL] and admission.waiting == 1


@pytest.mark.parametrize("direct", [0, 1, 2, 5])
def test_direct_rows_go_to_their_owner_first_and_then_to_everyone_else(direct: int) -> None:
    """All rows in order; each of the first ones whole to the owner's ENTRY, then whole to the `linear` kernels of the other nodes."""
    wire = Wire()
    entry = EntryPlan(ENTRY, EDGE, direct, DIRECT_EDGE, ROW_EDGE, LINEAR, (0, 1, 2)) if direct else EntryPlan(ENTRY, EDGE)
    hops = {base + node: node for base in (LINEAR, ENTRY) for node in range(3)}
    admission = Admission(replace(CONFIG, entry=entry, owners=(0, 1, 2, 0), hops=hops), wire)
    rows = [random.Random(row).randbytes(1216) for row in range(3)]
    admission.submit(rows)
    admission.poll(5)
    want = {  # row -> (next hop, kernel, edge)
        0: [(0, 129, 8), (1, 2, 10), (2, 3, 10)] if direct > 0 else [(0, 129, 7)],
        1: [(1, 130, 8), (0, 1, 10), (2, 3, 10)] if direct > 1 else [(1, 130, 7)],
        2: [(2, 131, 8), (0, 1, 10), (1, 2, 10)] if direct > 2 else [(2, 131, 7)],
    }
    assert [(h.row, peer, h.dst_kernel, h.edge, 4 * h.offset, p, h.last) for peer, h, p in wire.sent] == [
        (row, *place, at, rows[row][at : at + 1024], row == 2) for row in range(3) for place in want[row] for at in (0, 1024)
    ]
    assert {(h.type, h.src_kernel, h.slot, h.generation) for _, h, _ in wire.sent} == {(TYPE_INT8, 255, 0, 0)}


def test_a_direct_row_may_be_the_only_one() -> None:
    wire = Wire()
    plan = Plan(direct=2)
    admission = Admission(Cluster(plan, 1).admission.config, wire)
    admission.submit([bytes(192)])
    admission.poll(0)
    assert [(h.dst_kernel, h.edge, h.last) for _, h, _ in wire.sent] == [(129, 8, True), (2, 10, True), (3, 10, True)]


def test_a_generation_that_comes_round_again_is_no_longer_stale() -> None:
    wire = Wire()
    admission = Admission(replace(CONFIG, slots=1), wire)
    admission._stale.add((0, 1))
    for _ in range(2):
        admission.submit([bytes(1216)])
    for generation in range(2):
        admission.poll(generation)
        admission.receive(5, back(0, 0, generation=generation), bytes(1216))
    assert len(admission.finished) == 2
    with pytest.raises(ClusterError, match="slot 0 generation 1 while nothing is in the cluster"):
        admission.receive(6, back(0, 0, generation=1), bytes(64))


@pytest.mark.parametrize(
    ("header", "size", "text"),
    [
        (back(0, 0), 64, "sent row 0 of sequence 0 twice"),
        (back(2, 0), 64, "bytes 0 to 64 of row 2: the result of sequence 0 has 2 rows of 1216 bytes"),
        (back(1, 1152), 128, "bytes 1152 to 1280 of row 1"),
        (back(1, 4), 64, "bytes 4 to 68 of row 1"),
        (back(1, 0), 60, "bytes 0 to 60"),
        (back(1, 0), 0, "bytes 0 to 0"),
        (back(1, 0, slot=1), 64, "slot 1 generation 0 while slot 0 generation 0 is in the cluster"),
        (back(1, 0, generation=3), 64, "slot 0 generation 3 while slot 0"),
    ],
)
def test_results_that_cannot_be_are_named(header: Header, size: int, text: str) -> None:
    admission = Admission(CONFIG, Wire())
    admission.submit([bytes(1216)] * 2)
    admission.poll(0)
    admission.receive(1, back(0, 0), bytes(64))
    with pytest.raises(ClusterError, match=text):
        admission.receive(2, header, bytes(size))


def test_a_wrong_configuration_is_named() -> None:
    with pytest.raises(ValueError, match=r"slots = 17.*in_flight = 18"):
        replace(CONFIG, slots=17, in_flight=18)
    with pytest.raises(ValueError, match=r"row_bytes = 100.*max_tokens = 5"):
        replace(CONFIG, row_bytes=100, max_tokens=5)
    with pytest.raises(ValueError, match=r"hops lacks kernels \[129\]"):
        replace(CONFIG, hops={})
    direct = EntryPlan(ENTRY, EDGE, 1, DIRECT_EDGE, ROW_EDGE, LINEAR, (0, 1, 2))
    with pytest.raises(ValueError, match=r"hops lacks kernels \[2, 3\]: everyone whom a row is sent to"):
        replace(CONFIG, entry=direct)
    with pytest.raises(ValueError, match=r"entry.direct = 2: nodes \[0\] own such rows and are none of its takers \(1, 2\)"):
        replace(CONFIG, entry=replace(direct, direct=2, takers=(1, 2)), hops=dict.fromkeys((2, 3, 129), 0))


# ------------------------------------------------------------------------------------------------------- a chain of clusters


CHAIN = replace(CONFIG, row_bytes=64, gateway=LastGateway(3, 2))


def released(slot: int, generation: int) -> Header:
    return Header(0, 255, 0, 1, 254, slot, generation, 0, 0, TYPE_CONTROL, False)


def test_a_slot_of_a_chain_is_free_when_the_next_gateway_says_so() -> None:
    wire = Wire()
    admission = Admission(CHAIN, wire)
    for _ in range(5):
        admission.submit([bytes(64)])
    admission.poll(0)
    assert [(h.slot, h.generation) for _, h, _ in wire.sent] == [(0, 0), (1, 0)], "two slots, two sequences"
    admission.receive(1, released(1, 0), words.release())
    admission.receive(2, released(1, 1), words.release())  # not the generation that holds the slot
    admission.poll(2)
    assert [(h.slot, h.generation) for _, h, _ in wire.sent[2:]] == [(1, 1)] and admission.counters.stale == 1
    # the rows of the first come back while the third is at work: the last gateway is told, the slot of the first cluster stays in use
    admission.receive(3, back(0, 0, slot=0, generation=0), bytes(64))
    admission.poll(3)
    ((peer, header, payload),) = wire.sent[3:]
    assert (peer, payload, header) == (2, words.release(), Header(3, 254, 0, 0, 255, 0, 0, 0, 0, TYPE_CONTROL, False))
    admission.receive(4, released(0, 0), words.release())
    admission.poll(4)
    assert [(h.slot, h.generation) for _, h, _ in wire.sent[4:]] == [(0, 1)] and admission.counters.released == 2


def test_no_more_than_seven_generations_of_a_slot_are_in_a_chain() -> None:
    wire = Wire()
    admission = Admission(replace(CHAIN, slots=1), wire)
    for _ in range(9):
        admission.submit([bytes(64)])
    for generation in range(7):
        admission.poll(generation)
        admission.receive(generation, released(0, generation), words.release())
    admission.poll(8)
    assert [h.generation for _, h, _ in wire.sent] == list(range(7)) and admission.in_flight == 7
    admission.receive(9, back(0, 0), bytes(64))
    admission.poll(9)
    assert [h.generation for _, h, _ in wire.sent[7:] if h.type == TYPE_INT8] == [7]
    with pytest.raises(ValueError, match="in_flight = 15: choose 1 to 14"):
        replace(CHAIN, in_flight=15)


def test_a_fault_in_a_chain_frees_the_slots() -> None:
    wire = Wire()
    manager = ManagerClient(ManagerConfig({0: ManagerAddress(0)}), wire)
    admission = Admission(CHAIN, wire, manager, fresh=False)
    admission.submit([bytes(64)])
    admission.poll(0)
    admission.link_event(LinkEvent(1, "restarted", 0))
    admission.receive(2, released(0, 0), words.release())
    assert admission.counters.released == 0 and admission.counters.stale == 1 and not admission._held
