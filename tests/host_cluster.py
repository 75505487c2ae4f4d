# SPDX-License-Identifier: Apache-2.0
"""A cluster in Python for the tests of the host: nodes with a transport, a manager and one kernel, behind a channel that may be bad.

The kernel of a node stores its rows of a sequence, and with ``direct`` rows a second one the copies of those that others own. When all
nodes have all rows of it, every node sends its rows back, each byte exclusive-or 0x5A, cut into pieces, after random delays.
Generations, flushes and managers work as those of the RTL. Nodes hang on one network (star) or one behind the other (line).
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from floreana.cluster.entry import EntryPlan
from floreana.cluster.layout import TYPE_CONTROL, TYPE_INT8, Header
from floreana.host import words
from floreana.host.admission import Admission, AdmissionConfig
from floreana.host.endpoint import Delivery, Endpoint, EndpointConfig, PeerConfig, Timers
from floreana.host.frame import Station
from floreana.host.manager import ManagerAddress, ManagerClient, ManagerConfig

ENTRY, EDGE, HOST_KERNEL, MANAGER_BASE = 129, 7, 255, 193
LINEAR, DIRECT_EDGE, ROW_EDGE = 1, 8, 10
TIMERS = Timers(ack_delay=16, rto=400, retries=8, keep=3000, nack_hold=100)
TABLES = {0x1000 + k: bytes([k]) * 64 for k in range(40)}  # what a node needs before its kernel works
Key = tuple[int, int]  # slot, generation

QUIET = 200  # a node says nothing for this long after a restart


def station(node: int) -> Station:
    return Station(node, 0x02F10E000000 + node, 0x0A110001 + node)


def answer(row: bytes) -> bytes:
    """What the cluster makes of a row."""
    return bytes(b ^ 0x5A for b in row)


@dataclass(frozen=True, slots=True)
class Plan:
    """The cluster. The host is the node after the last. ``line``: host - 0 - 1 - .. , else a star."""

    nodes: int = 3
    line: bool = False
    slots: int = 2
    row_bytes: int = 192
    max_tokens: int = 24
    direct: int = 0

    @property
    def entry(self) -> EntryPlan:
        return EntryPlan(ENTRY, EDGE, self.direct, DIRECT_EDGE, ROW_EDGE, LINEAR, tuple(range(self.nodes)))

    @property
    def host(self) -> int:
        return self.nodes

    def peers(self, node: int) -> list[int]:
        if not self.line:
            return [n for n in range(self.nodes + 1) if n != node]
        chain = [self.host, *range(self.nodes)]
        at = chain.index(node)
        return [chain[k] for k in (at - 1, at + 1) if 0 <= k < len(chain)]

    def hop(self, node: int, target: int) -> int:
        if not self.line:
            return target
        chain = [self.host, *range(self.nodes)]
        return chain[chain.index(node) + (1 if chain.index(target) > chain.index(node) else -1)]

    def endpoint(self, node: int, now: int) -> Endpoint:
        return Endpoint(EndpointConfig(station(node), {n: PeerConfig(station(n), 16) for n in self.peers(node)}, TIMERS), now)

    def target(self, kernel: int, local: int) -> int:
        """The node a message for ``kernel`` goes to; ``local`` where it is kernel 0."""
        if kernel == HOST_KERNEL:
            return self.host
        for base in (LINEAR, ENTRY):
            if base <= kernel < base + self.nodes:
                return kernel - base
        return local if kernel == 0 else kernel - MANAGER_BASE


@dataclass
class Shared:
    """What the nodes of a cluster tell each other, past the network: rows by (slot, generation)."""

    rows: dict[Key, dict[int, tuple[int, bytes]]] = field(default_factory=dict)  # row -> node, data
    copies: dict[Key, dict[tuple[int, int], bytes]] = field(default_factory=dict)  # (row, node that does not own it) -> data
    total: dict[Key, int] = field(default_factory=dict)
    sinks: list[Callable[[int, Key, dict[int, tuple[int, bytes]]], None]] = field(default_factory=list)  # told of whole sequences


class Node:
    """One node, from its start to its end."""

    def __init__(self, plan: Plan, number: int, shared: Shared, rng: random.Random, now: int) -> None:
        self.plan, self.number, self.shared, self.rng = plan, number, shared, rng
        self.endpoint = plan.endpoint(number, now)
        self.tables: dict[int, bytes] = {}
        self.told = 0  # EVENTS requests obeyed
        self.on = False
        self.events = 0
        self.failed: set[int] = set()
        self.cur = [0] * plan.slots
        self.stale = self.unloaded = 0
        self.flushes: list[tuple[int, int]] = []
        self.writes = 0
        self.busy = 0  # WRITEs to refuse as busy
        self.mute = False  # managers that do not answer
        self.later: list[tuple[int, int, int, Header, bytes]] = []  # time, count, peer, message
        self.count = 0
        self.max_delay = 300

    def push(self, at: int, header: Header, payload: bytes) -> None:
        self.count += 1
        target = self.plan.target(header.dst_kernel, self.number)
        heapq.heappush(self.later, (at, self.count, self.plan.hop(self.number, target), header, payload))

    def step(self, now: int) -> None:
        while (item := self.endpoint.take(now)) is not None:
            self.message(now, item)
        while self.endpoint.events:
            event = self.endpoint.events.popleft()
            kind = {"failed": words.EVENT_FAILED, "restarted": words.EVENT_RESTARTED, "up": words.EVENT_UP}[event.kind]
            if kind == words.EVENT_UP and event.peer not in self.failed:
                continue
            (self.failed.add if kind == words.EVENT_FAILED else self.failed.discard)(event.peer)
            if self.on:
                body = bytes([words.OP_EVENT, kind, 0, 0]) + b"".join(
                    n.to_bytes(4, "little") for n in (0, event.peer, self.number, self.events)
                )
                self.push(now + 20, Header(0, HOST_KERNEL, 0, 0, 0, 0, 0, 0, 0, TYPE_CONTROL, False), body.ljust(64, b"\0"))
                self.events += 1
        while self.later and self.later[0][0] <= now:
            _, _, peer, header, payload = self.later[0]
            if not self.endpoint.send(now, peer, header, payload):
                break
            heapq.heappop(self.later)

    def next_time(self) -> int | None:
        times = [time for time in (self.endpoint.next_time(), self.later[0][0] if self.later else None) if time is not None]
        return min(times, default=None)

    def message(self, now: int, item: Delivery) -> None:
        header = item.header
        if self.plan.target(header.dst_kernel, self.number) != self.number:
            self.push(now + 5, header, item.payload)
        elif header.type == TYPE_CONTROL:
            self.manager(now, header, item.payload)
        elif header.type == TYPE_INT8:
            self.row(now, header, item.payload)

    def word(self, index: int) -> int:
        failed = sum(1 << peer for peer in self.failed)
        special = {
            words.index_of("manager.switches"): self.told,
            words.index_of("eth0.link.failed_low"): failed & 0xFFFFFFFF,
            words.index_of("eth0.link.failed_high"): failed >> 32,
        }
        return special.get(index, 1000 * self.number + index)

    def manager(self, now: int, header: Header, payload: bytes) -> None:
        op, tag, there = payload[0], payload[2:4], words.word_count()
        first, count = int.from_bytes(payload[4:8], "little"), int.from_bytes(payload[8:12], "little")
        status, body = words.STATUS_OK, b""
        if self.mute:
            return
        if op == words.OP_READ:
            status = words.STATUS_OK if count <= 128 and first + count <= there else words.STATUS_RANGE
            if status == words.STATUS_OK:
                body = b"".join(self.word(k).to_bytes(4, "little") for k in range(first, first + count))
        elif op == words.OP_WRITE:
            if len(payload) != 64 + 64 * count or not 1 <= count <= 15:
                status = words.STATUS_RANGE
            elif first >> 28 >= 6:
                status = words.STATUS_UNIT
            elif self.busy:
                self.busy -= 1
                status = words.STATUS_BUSY
            else:
                self.writes += 1
                for k in range(count):
                    self.tables[first + k] = payload[64 + 64 * k : 128 + 64 * k]
        elif op == words.OP_FLUSH:
            if first < self.plan.slots and count < 16:
                self.flush(first, count)
                self.flushes.append((first, count))
            else:
                status = words.STATUS_RANGE
        elif op == words.OP_EVENTS:
            self.on = bool(first)
            self.told += 1
        else:
            status = words.STATUS_OPCODE
        said = count if status == words.STATUS_OK else 0
        head = bytes([op | words.OP_REPLY, status]) + tag + payload[4:8] + said.to_bytes(4, "little")
        reply = (head + there.to_bytes(4, "little")).ljust(64, b"\0") + body
        back = replace(
            header, dst_kernel=header.src_kernel, src_cluster=0, src_kernel=header.dst_kernel, offset=0, type=TYPE_CONTROL, last=False
        )
        self.push(now + self.rng.randint(10, 40), back, reply)

    def flush(self, slot: int, generation: int) -> None:
        self.cur[slot] = generation
        self.forget(lambda key: key[0] == slot)

    def forget(self, which: Callable[[tuple[int, int]], bool]) -> None:
        for key, rows in self.shared.rows.items():
            if which(key):
                self.shared.rows[key] = {row: item for row, item in rows.items() if item[0] != self.number}
        for key, copies in self.shared.copies.items():
            if which(key):
                self.shared.copies[key] = {place: data for place, data in copies.items() if place[1] != self.number}

    def row(self, now: int, header: Header, payload: bytes) -> None:
        if self.tables != TABLES:
            self.unloaded += 1
            return
        ahead = (header.generation - self.cur[header.slot]) % 16
        if ahead > 7:
            self.stale += 1
            return
        if ahead:
            self.cur[header.slot] = header.generation
            self.forget(lambda key: key[0] == header.slot and key[1] != header.generation)
        key, plan = (header.slot, header.generation), self.plan
        rows, copies = self.shared.rows.setdefault(key, {}), self.shared.copies.setdefault(key, {})
        if header.dst_kernel == LINEAR + self.number:
            assert header.edge == ROW_EDGE and header.row < plan.direct and header.row % plan.nodes != self.number
            assert (header.row, self.number) not in copies, f"node {self.number} got a copy of row {header.row} of {key} twice"
            copies[header.row, self.number] = payload
        else:
            assert header.edge == (DIRECT_EDGE if header.row < plan.direct else EDGE)
            assert header.row not in rows, f"node {self.number} got row {header.row} of {key} twice"
            rows[header.row] = self.number, payload
        if header.last:
            self.shared.total[key] = header.row + 1
        total = self.shared.total.get(key)
        if total is not None and len(rows) == total and len(copies) == min(plan.direct, total) * (plan.nodes - 1):
            assert all(data == rows[row][1] for (row, _), data in copies.items())
            del self.shared.rows[key], self.shared.copies[key], self.shared.total[key]
            for sink in self.shared.sinks:
                sink(now, key, rows)

    def emit(self, now: int, key: tuple[int, int], rows: dict[int, tuple[int, bytes]]) -> None:
        """The sequence is whole: this node's rows go to the host."""
        for row, (node, data) in rows.items():
            if node != self.number:
                continue
            out, at = answer(data), 0
            while at < len(out):
                size = min(64 * self.rng.randint(1, 3), len(out) - at)
                header = Header(0, HOST_KERNEL, 9, 0, ENTRY + node, *key, row, at // 4, TYPE_INT8, row == len(rows) - 1)
                self.push(now + self.rng.randint(1, self.max_delay), header, out[at : at + size])
                at += size


class Cluster:
    """The nodes, the host and the channel; ``run`` goes from event to event."""

    def __init__(self, plan: Plan, seed: int, in_flight: int | None = None, loss: float = 0.0, delay: tuple[int, int] = (20, 20),
                 patience: int = 100_000, timeout: int = 6000, outstanding: int = 1, managers: bool = True) -> None:  # fmt: skip
        self.plan, self.rng, self.loss, self.delay = plan, random.Random(seed), loss, delay
        self.now = 0
        self.shared = Shared()
        self.way: list[tuple[int, int, int, bytes]] = []
        self.count = 0
        self.cut: set[frozenset[int]] = set()
        self.restarts: list[tuple[int, int]] = []  # time, node: to come
        self.prepared: list[int] = []
        self.most = 0
        self.nodes = {n: Node(plan, n, self.shared, self.rng, 0) for n in range(plan.nodes)}
        self.shared.sinks.append(self.sink)
        self.endpoint = plan.endpoint(plan.host, 0)
        addresses = {
            n: ManagerAddress(plan.hop(plan.host, n), 0 if plan.hop(plan.host, n) == n else MANAGER_BASE + n) for n in range(plan.nodes)
        }
        names = {n: f"fpga{n}" for n in range(plan.nodes)}
        self.asked = ManagerConfig(addresses, names, timeout=timeout, outstanding=outstanding)
        self.manager = ManagerClient(self.asked, self.endpoint.send)
        self.config = AdmissionConfig(
            host=plan.host,
            cluster=0,
            entry=plan.entry,
            owners=tuple(t % plan.nodes for t in range(plan.max_tokens)),
            hops={base + n: plan.hop(plan.host, n) for base in (LINEAR, ENTRY) for n in range(plan.nodes)},
            row_bytes=plan.row_bytes,
            max_tokens=plan.max_tokens,
            slots=plan.slots,
            in_flight=in_flight,
            patience=patience,
        )
        if not managers:
            for node in self.nodes.values():
                node.tables = dict(TABLES)
        self.admission = Admission(self.config, self.endpoint.send, self.manager if managers else None, self.prepare)

    def new_host(self) -> None:
        """The host dies, silently; another begins, which knows nothing of its work."""
        links = {frozenset((self.plan.host, node)) for node in range(self.plan.nodes)}
        self.cut |= links
        self.run(self.now + QUIET)
        self.cut -= links
        self.endpoint = self.plan.endpoint(self.plan.host, self.now)
        self.manager = ManagerClient(self.asked, self.endpoint.send)
        self.admission = Admission(self.config, self.endpoint.send, self.manager, self.prepare)

    def sink(self, now: int, key: tuple[int, int], rows: dict[int, tuple[int, bytes]]) -> None:
        for node in self.nodes.values():
            node.emit(now, key, rows)

    def prepare(self, node: int):  # type: ignore[no-untyped-def]
        self.prepared.append(node)
        yield self.manager.write(node, min(TABLES), [TABLES[address] for address in sorted(TABLES)])

    def restart(self, node: int, after: int = QUIET) -> None:
        """The node loses all it knows, and is back ``after`` cycles later."""
        if node in self.nodes:
            gone = self.nodes.pop(node)
            gone.forget(lambda key: True)
            self.restarts.append((self.now + after, node))
            self.restarts.sort()

    def put(self, source: int, raw: bytes) -> None:
        target = int.from_bytes(raw[:6], "big") - station(0).mac
        if frozenset((source, target)) in self.cut or self.rng.random() < self.loss:
            return
        self.count += 1
        heapq.heappush(self.way, (self.now + self.rng.randint(*self.delay), self.count, target, raw))

    def step(self) -> None:
        while self.restarts and self.restarts[0][0] <= self.now:
            node = self.restarts.pop(0)[1]
            self.nodes[node] = Node(self.plan, node, self.shared, self.rng, self.now)
        while self.way and self.way[0][0] <= self.now:
            _, _, target, raw = heapq.heappop(self.way)
            end = self.endpoint if target == self.plan.host else self.nodes[target].endpoint if target in self.nodes else None
            if end is not None:
                end.receive(self.now, raw)
        for number, node in self.nodes.items():
            node.step(self.now)
            for raw in node.endpoint.poll(self.now):
                self.put(number, raw)
        while (item := self.endpoint.take(self.now)) is not None:
            self.admission.receive(self.now, item.header, item.payload)
        while self.endpoint.events:
            self.admission.link_event(self.endpoint.events.popleft())
        self.admission.poll(self.now)
        self.most = max(self.most, self.admission.in_flight)
        for raw in self.endpoint.poll(self.now):
            self.put(self.plan.host, raw)

    def run(self, until: int, done: Callable[[], bool] = lambda: False, tick: Callable[[], None] = lambda: None) -> bool:
        while self.now < until:
            tick()
            self.step()
            if done():
                return True
            times = [node.next_time() for node in self.nodes.values()]
            times += [self.endpoint.next_time(), self.admission.next_time()]
            times += [self.way[0][0]] if self.way else []
            times += [self.restarts[0][0]] if self.restarts else []
            self.now = max(min([time for time in times if time is not None] + [until]), self.now + 1)
        return done()
