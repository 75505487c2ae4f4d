# SPDX-License-Identifier: Apache-2.0
"""Admission of sequences to a cluster: slots, generations, result rows, and what to do when a node restarts or a link fails.

A state machine without clock and socket on top of a transport and a `ManagerClient`. `submit` queues a sequence; at most ``in_flight``
are in the cluster, each in a slot of its own; the generation of a slot is one higher at each use, modulo 16. `poll` sends what may go,
`receive` takes what came, ``finished`` gets the results in the order of completion.

On a fault (a link failed or came back in a new epoch, a node says so of a peer) everything in the cluster is given up. Then: wait until
no link is failed; ask every node whether it was told to tell events (one that was not has restarted: ``prepare`` loads it) and tell it;
wait until no node calls a link failed; flush every slot on every node to the slot's next generation; send again what was given up. The
results are those of a run without fault: a kernel drops a message of a stale generation, and so does `receive`. A fault meanwhile
starts this again; after ``patience`` an error names the node.

A host that begins may find nodes that an earlier one left in the middle of its work. What still comes of that is no result of ours, and
before the first sequence goes in the kernels must be found at rest and emptied once more: the generations of the earlier host are not
known here.

In a chain of clusters the host is the gateway of the first one and the receiver of the last one (docs/gateway.md): a slot is free again
when the second cluster's gateway says that it has handed the whole sequence on, and the last gateway is told when all result rows of a
sequence are here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from floreana.cluster.entry import EntryPlan
from floreana.cluster.layout import BEAT_BYTES, GENERATIONS_MAX, MESSAGE_BYTES, TYPE_CONTROL, TYPE_INT8, Header
from floreana.cluster.topology import Numbers
from floreana.errors import FloreanaError, InputError
from floreana.host import words
from floreana.host.endpoint import LinkEvent
from floreana.host.manager import GATEWAY_KERNEL, HOST_KERNEL, ManagerClient, ManagerError, Operation, Send

GENERATIONS = 16
MAX_SLOTS = 16
_REST = 8  # pauses in which no kernel gets a message: the cluster is at rest
_RECEIVERS = tuple(f"{kernel}.messages_in" for kernel in ("linear", "attention", "add_norm", "gateway"))


class ClusterError(FloreanaError):
    """The cluster does not do what it must: a node stays dead, a result is wrong in form."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class LastGateway:
    """The gateway of the last of several clusters: number of the cluster, and the next hop to it."""

    cluster: int
    peer: int


@dataclass(frozen=True, slots=True)
class AdmissionConfig:
    """What must be known of the plan. Times are in units of the time handed in."""

    host: int  # what ``around`` and the peers of the endpoint call the host itself
    cluster: int
    entry: EntryPlan
    owners: tuple[int, ...]  # by row
    hops: Mapping[int, int]  # destination kernel -> next hop
    row_bytes: int
    max_tokens: int
    slots: int
    in_flight: int | None = None  # sequences in the cluster at a time, at most `most_in_flight`; None: so many
    gateway: LastGateway | None = None  # of a chain of clusters
    eth_n: int = 1
    patience: int = 1_000_000  # a recovery that takes longer is an error
    pause: int = 1024  # between two attempts to reach a node
    numbers: Numbers | None = None  # those that managers speak of; None: nodes and their peers have their own
    around: tuple[tuple[int, ...], ...] = ()  # by node: its peers, where ``numbers`` are given

    def __post_init__(self) -> None:
        wrong = []
        if not 1 <= self.slots <= MAX_SLOTS:
            wrong.append(f"slots = {self.slots}: a cluster has 1 to {MAX_SLOTS}")
        if self.in_flight is not None and not 1 <= self.in_flight <= self.most_in_flight:
            wrong.append(f"in_flight = {self.in_flight}: choose 1 to {self.most_in_flight}, for {self.slots} slots")
        if self.row_bytes < BEAT_BYTES or self.row_bytes % BEAT_BYTES:
            wrong.append(f"row_bytes = {self.row_bytes}: a row is a multiple of {BEAT_BYTES} bytes")
        if not 1 <= self.max_tokens <= len(self.owners):
            wrong.append(f"max_tokens = {self.max_tokens}: choose 1 to the number of owners, {len(self.owners)}")
        missing = sorted(self.entry.kernels(self.owners) - set(self.hops))
        if missing:
            wrong.append(f"hops lacks kernels {missing}: everyone whom a row is sent to needs a next hop")
        alone = sorted(set(self.owners[: self.entry.direct]) - set(self.entry.takers))
        if alone:
            wrong.append(f"entry.direct = {self.entry.direct}: nodes {alone} own such rows and are none of its takers {self.entry.takers}")
        if wrong:
            raise ValueError("; ".join(wrong))

    @property
    def most_in_flight(self) -> int:
        """In a chain a slot is under way in several generations."""
        return self.slots if self.gateway is None else self.slots * GENERATIONS_MAX


@dataclass(frozen=True, slots=True)
class Finished:
    """A sequence that came back: ``number`` as `submit` gave it, the rows, when it was sent (the last time) and was complete."""

    number: int
    rows: tuple[bytes, ...]
    slot: int
    generation: int
    start: int
    end: int
    attempts: int


@dataclass(slots=True)
class AdmissionCounters:
    """Since the start. ``submitted`` = ``finished`` + those in flight + those that wait."""

    submitted: int = 0
    refused: int = 0  # too long, or malformed
    finished: int = 0
    replayed: int = 0  # sequences given up and sent again
    messages_in: int = 0  # pieces of result rows that counted
    stale: int = 0  # of a generation that was given up
    released: int = 0  # slots that a gateway gave back
    faults: int = 0
    recoveries: int = 0  # that came to their end
    flushes: int = 0


@dataclass(slots=True, eq=False)
class _Sequence:
    number: int
    rows: tuple[bytes, ...]
    slot: int = -1
    generation: int = -1
    attempts: int = 0
    start: int = -1
    got: list[set[int]] = field(default_factory=list)  # by row: 64-byte pieces that came
    out: list[bytearray] = field(default_factory=list)
    missing: int = 0  # pieces


_Steps = Generator[None, None, None]


class Admission:
    """See the module. ``manager`` None: nodes without managers; a fault is an error then."""

    def __init__(
        self,
        config: AdmissionConfig,
        send: Send,
        manager: ManagerClient | None = None,
        prepare: Callable[[int], Iterable[Operation]] | None = None,
        fresh: bool = True,
    ) -> None:
        """``prepare``: what must be written to a node that restarted (ManagerClient operations, asked for one after the other).

        ``fresh``: begin with a recovery, so that all nodes are prepared, tell events, and have every slot empty.
        """
        self.config = config
        self.manager = manager
        self.counters = AdmissionCounters()
        self.finished: deque[Finished] = deque()
        self.log: list[tuple[int, str]] = []
        self._send = send
        self._prepare = prepare
        self._limit = config.in_flight or config.most_in_flight
        self._now = 0
        self._waiting: deque[_Sequence] = deque()
        self._flying: dict[tuple[int, int], _Sequence] = {}
        self._held: dict[int, int] = {}  # slots of the (first) cluster that are in use -> generation
        self._stale: set[tuple[int, int]] = set()
        self._outbox: deque[tuple[int, Header, bytes]] = deque()
        self._generation = [0] * config.slots  # of the next use
        self._turn = 0
        self._begun = False  # a sequence was sent
        self._used = False  # an earlier host spoke to a node
        self._mine: set[int] = set()  # nodes that were made to tell events
        self._down: dict[tuple[int, int], int] = {}  # (reporter, peer) of failed links -> since when
        self._recovery: _Steps | None = None
        self._recovery_since = 0
        self._wake: int | None = None
        self._trouble: str | None = None  # of the last attempt, for the error
        if fresh and manager is not None:
            self._recovery = self._recover()

    # ---------------------------------------------------------------------------------------------------------------- state

    @property
    def in_flight(self) -> int:
        return len(self._flying)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def recovering(self) -> bool:
        return self._recovery is not None

    @property
    def idle(self) -> bool:
        """Everything submitted came back."""
        return not self._waiting and not self._flying and self._recovery is None

    def missing(self) -> dict[int, list[int]]:
        """By sequence in the cluster: the rows that are not wholly there."""
        whole = self.config.row_bytes // BEAT_BYTES
        return {s.number: [t for t, got in enumerate(s.got) if len(got) < whole] for s in self._flying.values()}

    def next_time(self) -> int | None:
        """When `poll` is needed though nothing came."""
        times = [] if self._wake is None else [self._wake]
        if self._recovery is not None:
            times.append(self._recovery_since + self.config.patience)
        asked = self.manager.next_time() if self.manager is not None else None
        if asked is not None:
            times.append(asked)
        return min(times, default=None)

    # --------------------------------------------------------------------------------------------------------------- submit

    def submit(self, rows: Sequence[bytes]) -> int:
        """Queue a sequence; its number, counted from 0. InputError if it is too long, empty, or a row has another size."""
        config, wrong = self.config, None
        if not rows:
            wrong = "a sequence without rows; give at least one token"
        elif len(rows) > config.max_tokens:
            wrong = f"a sequence of {len(rows)} tokens; the cluster is built for {config.max_tokens}: shorten it, or build for more"
        for place, row in enumerate(rows):
            if wrong is None and len(row) != config.row_bytes:
                wrong = f"row {place} has {len(row)} bytes, not {config.row_bytes}"
        if wrong is not None:
            self.counters.refused += 1
            raise InputError(wrong)
        number = self.counters.submitted
        self.counters.submitted += 1
        self._waiting.append(_Sequence(number, tuple(rows)))
        return number

    def poll(self, now: int) -> None:
        """Do what can be done now. ClusterError if a recovery takes too long."""
        self._now = max(self._now, now)
        self._wake = None
        if self.manager is not None:
            self.manager.poll(self._now)
            self._reports()
        if self._recovery is not None:
            if self._now - self._recovery_since >= self.config.patience:
                raise ClusterError(self._dead())
            try:
                next(self._recovery)
            except StopIteration:
                self._recovery = None
                self.counters.recoveries += 1
            if self.manager is not None:
                self.manager.poll(self._now)
        while self._recovery is None and self._waiting and len(self._flying) < self._limit:
            slot = self._free_slot()
            if slot is None:
                break
            self._begin(self._waiting.popleft(), slot)
        self._push()

    def _free_slot(self) -> int | None:
        """The next free slot in turn."""
        slots = self.config.slots
        flying = [slot for slot, _ in self._flying]
        for slot in (s % slots for s in range(self._turn, self._turn + slots)):
            if slot not in self._held and flying.count(slot) < GENERATIONS_MAX:
                return slot
        return None

    def _begin(self, sequence: _Sequence, slot: int) -> None:
        config = self.config
        self._turn = (slot + 1) % config.slots
        generation = self._generation[slot]
        self._generation[slot] = (generation + 1) % GENERATIONS
        self._held[slot] = generation
        self._stale.discard((slot, generation))
        self._begun = True
        self._flying[slot, generation] = sequence
        sequence.slot, sequence.generation, sequence.start = slot, generation, self._now
        sequence.attempts += 1
        sequence.got = [set() for _ in sequence.rows]
        sequence.out = [bytearray(config.row_bytes) for _ in sequence.rows]
        sequence.missing = len(sequence.rows) * (config.row_bytes // BEAT_BYTES)
        for row, data in enumerate(sequence.rows):
            for kernel, edge in config.entry.copies(row, config.owners[row]):
                for at in range(0, config.row_bytes, MESSAGE_BYTES):
                    header = Header(
                        dst_cluster=config.cluster,
                        dst_kernel=kernel,
                        edge=edge,
                        src_cluster=config.cluster,
                        src_kernel=HOST_KERNEL,
                        slot=slot,
                        generation=generation,
                        row=row,
                        offset=at // 4,
                        type=TYPE_INT8,
                        last=row == len(sequence.rows) - 1,
                    )
                    self._outbox.append((config.hops[kernel], header, data[at : at + MESSAGE_BYTES]))

    def _push(self) -> None:
        """Hand messages to the transport; those of one peer stay in order, a full peer does not hold up the others."""
        peers = set(self.config.hops.values()) | ({self.config.gateway.peer} if self.config.gateway is not None else set())
        full: set[int] = set()
        kept: deque[tuple[int, Header, bytes]] = deque()
        while self._outbox:
            item = self._outbox.popleft()
            peer, header, payload = item
            if peer in full or not self._send(self._now, peer, header, payload):
                full.add(peer)
                kept.append(item)
                if len(full) == len(peers):
                    break
        kept.extend(self._outbox)
        self._outbox = kept

    # ---------------------------------------------------------------------------------------------------------------- coming

    def receive(self, now: int, header: Header, payload: bytes) -> None:
        """A message came. ClusterError if it is a result that cannot be."""
        self._now = max(self._now, now)
        if header.type == TYPE_CONTROL:
            if header.src_kernel == GATEWAY_KERNEL and payload[:1] == bytes([words.OP_RELEASE]):
                self._released(header)
            elif self.manager is not None:
                self.manager.receive(self._now, header, payload)
                self._reports()
            return
        key = (header.slot, header.generation)
        sequence = self._flying.get(key)
        if sequence is None:
            if key in self._stale or (self.manager is not None and not self._begun):
                self.counters.stale += 1
                return
            flying = ", ".join(f"slot {slot} generation {generation}" for slot, generation in self._flying)
            raise ClusterError(
                f"kernel {header.src_kernel} sent row {header.row} of slot {header.slot} generation {header.generation} while "
                f"{flying or 'nothing'} is in the cluster"
            )
        begin, size, whole = 4 * header.offset, len(payload), self.config.row_bytes
        if header.row >= len(sequence.rows) or begin + size > whole or begin % BEAT_BYTES or size % BEAT_BYTES or not size:
            raise ClusterError(
                f"kernel {header.src_kernel} sent bytes {begin} to {begin + size} of row {header.row}: the result of sequence "
                f"{sequence.number} has {len(sequence.rows)} rows of {whole} bytes"
            )
        pieces = set(range(begin // BEAT_BYTES, (begin + size) // BEAT_BYTES))
        got = sequence.got[header.row]
        if got & pieces:
            raise ClusterError(f"kernel {header.src_kernel} sent row {header.row} of sequence {sequence.number} twice")
        got |= pieces
        sequence.out[header.row][begin : begin + size] = payload
        sequence.missing -= len(pieces)
        self.counters.messages_in += 1
        if not sequence.missing:
            del self._flying[key]
            self.counters.finished += 1
            self._complete(header)
            rows = tuple(bytes(row) for row in sequence.out)
            self.finished.append(
                Finished(sequence.number, rows, sequence.slot, sequence.generation, sequence.start, self._now, sequence.attempts)
            )

    def _complete(self, header: Header) -> None:
        """All result rows of a slot and generation are here: the slot of the cluster they come from is free."""
        gateway = self.config.gateway
        if gateway is None:
            del self._held[header.slot]
            return
        release = Header(
            dst_cluster=gateway.cluster,
            dst_kernel=GATEWAY_KERNEL,
            edge=0,
            src_cluster=self.config.cluster,
            src_kernel=HOST_KERNEL,
            slot=header.slot,
            generation=header.generation,
            row=0,
            offset=0,
            type=TYPE_CONTROL,
            last=False,
        )
        self._outbox.append((gateway.peer, release, words.release()))

    def _released(self, header: Header) -> None:
        """The second cluster's gateway has handed a whole sequence on."""
        if self._held.get(header.slot) == header.generation:
            del self._held[header.slot]
            self.counters.released += 1
            self._wake = self._now
        else:
            self.counters.stale += 1

    # ---------------------------------------------------------------------------------------------------------------- faults

    def link_event(self, event: LinkEvent) -> None:
        """Something happened to a link of the host's own endpoint. ClusterError without managers, but for ``up``."""
        self._now = max(self._now, event.now)
        link, name = (self.config.host, event.peer), self._name(event.peer)
        if event.kind == "up":
            self._down.pop(link, None)
            return
        if event.kind == "restarted":
            self._forget(event.peer)
            self._fault(f"{name} restarted", event.peer)
        else:
            self._down[link] = event.now
            self._fault(f"the host's link to {name} failed", event.peer)

    def _reports(self) -> None:
        assert self.manager is not None
        while self.manager.reports:
            report = self.manager.reports.popleft()
            node = report.node if self.config.numbers is None else self.config.numbers.station(report.node)
            if node not in self.manager.config.nodes:
                self.manager.counters.malformed += 1  # nobody could be asked whether it is true
                continue
            at = self._peer(node, report.peer)
            link, name, peer = (node, at), self._name(node), self._name(at)
            if report.kind == words.EVENT_UP:
                self._down.pop(link, None)
                continue
            if report.kind == words.EVENT_FAILED:
                self._down[link] = self._now
                self._fault(f"{name} reports that its link to {peer} failed", at)
            elif at != self.config.host:
                self._fault(f"{name} reports that {peer} restarted", at)

    def _peer(self, node: int, index: int) -> int:
        """Which of its peers a node calls by that index; -1: none."""
        numbers, around = self.config.numbers, self.config.around
        return index if numbers is None else numbers.peer(index, around[node] if 0 <= node < len(around) else range(numbers.nodes + 1))

    def _forget(self, node: int) -> None:
        """A node that restarted knows nothing of its links any more."""
        self._down = {link: since for link, since in self._down.items() if link[0] != node}

    def _name(self, node: int) -> str:
        if node == self.config.host:
            return "the host"
        return self.manager.name(node) if self.manager is not None else f"node {node}"

    def _fault(self, what: str, node: int) -> None:
        self.log.append((self._now, what))
        self.counters.faults += 1
        if self.manager is None:
            raise ClusterError(f"{what} (time {self._now}); the nodes have no managers, so nothing can be sent again: run again")
        self.manager.lost(node, what)
        for key, sequence in sorted(self._flying.items(), key=lambda item: -item[1].number):
            self._stale.add(key)
            self._waiting.appendleft(sequence)
            self.counters.replayed += 1
        self._flying.clear()
        self._held.clear()
        self._outbox.clear()
        if self._recovery is None:
            self._recovery_since = self._now
        else:
            self._recovery.close()
        self._recovery = self._recover()
        self._wake = self._now

    def _dead(self) -> str:
        """What to say when a recovery takes too long."""
        took = self._now - self._recovery_since
        host = self.config.host
        # a node that the host or another cannot reach is named before one that only answers late
        for (reporter, peer), since in sorted(self._down.items(), key=lambda item: item[0][0] != host):
            node = reporter if peer == host else peer
            by = "the host" if reporter == host else self._name(reporter)
            return (
                f"{self._name(node)} stays dead: the link from {by} failed {self._now - since} cycles ago and is not up again; waited "
                f"{took} cycles (limit {self.config.patience}). Check its power and cable, or run on a plan without it"
            )
        detail = f": {self._trouble}" if self._trouble else ""
        return f"the cluster did not recover within {took} cycles (limit {self.config.patience}){detail}"

    def _recover(self) -> _Steps:
        """The steps of the module's header, from the start at every failed attempt."""
        assert self.manager is not None
        nodes = sorted(self.manager.config.nodes)
        while True:
            try:
                while any(reporter == self.config.host for reporter, _ in self._down):
                    yield
                yield from self._visit(nodes)
                yield from self._links_stand(nodes)
                yield from self._flush(nodes)
                if self._used and not self._begun:
                    yield from self._rest(nodes)
                return
            except ManagerError as error:
                if not error.lost:
                    raise
                self._trouble = error.message
            yield from self._wait()

    def _wait(self) -> _Steps:
        until = self._now + self.config.pause
        while self._now < until:
            self._wake = until
            yield

    def _all(self, operations: Iterable[Operation]) -> _Steps:
        """Wait for operations that were asked for at the same time; the first error is raised, the others are abandoned."""
        assert self.manager is not None
        operations = list(operations)
        try:
            while not all(operation.done for operation in operations) and not any(operation.error for operation in operations):
                yield
            for operation in operations:
                if operation.error is not None:
                    raise operation.error
        finally:
            for operation in operations:
                if not operation.done:
                    self.manager.abandon(operation)

    def _visit(self, nodes: Sequence[int]) -> _Steps:
        """Find the nodes that restarted, prepare them, and make all tell of their links."""
        manager = self.manager
        assert manager is not None
        told = words.index_of("manager.switches", self.config.eth_n)
        # direct neighbours first, side by side, then the others in their order: one behind a node without tables cannot be reached
        direct = [node for node in nodes if manager.config.nodes[node].kernel == 0]
        for group in (direct, *([node] for node in nodes if node not in direct)):
            yield from self._failed_links(group)
            reads = [manager.read(node, told, 1) for node in group]
            yield from self._all(reads)
            self._used |= any(read.result() != (0,) and read.node not in self._mine for read in reads)
            self._mine.update(group)
            for node in [read.node for read in reads if read.result() == (0,)]:
                self._forget(node)
                # what others still send of the old generations must not stay in it: a node with rows under way takes no tables
                yield from self._flush([node])
                for operation in self._prepare(node) if self._prepare is not None else ():
                    yield from self._all([operation])
            yield from self._all([manager.events(node, True) for node in group])

    def _rest(self, nodes: Sequence[int]) -> _Steps:
        """Of an earlier host: wait until no kernel gets a message any more, then empty all once more."""
        before: tuple[int, ...] = ()
        while (seen := (yield from self._received(nodes))) != before:
            before = seen
            for _ in range(_REST):
                yield from self._wait()
        yield from self._flush(nodes)

    def _received(self, nodes: Sequence[int]) -> Generator[None, None, tuple[int, ...]]:
        """Messages that came to the kernels of some nodes, and results to nobody that came here."""
        assert self.manager is not None
        eth_n = self.config.eth_n
        reads = [self.manager.read(node, words.index_of(name, eth_n), 1) for name in _RECEIVERS for node in nodes]
        yield from self._all(reads)
        return (*(value for read in reads for value in read.result()), self.counters.stale)

    def _failed_links(self, nodes: Sequence[int]) -> _Steps:
        """Ask nodes which of their links are failed. What they told may not have arrived: it went over links that failed, too."""
        manager, eth_n = self.manager, self.config.eth_n
        assert manager is not None
        failed = set()
        for port in range(eth_n):
            reads = [manager.read(node, words.index_of(f"eth{port}.link.failed_low", eth_n), 2) for node in nodes]
            yield from self._all(reads)
            for read in reads:
                low, high = read.result()
                failed |= {(read.node, self._peer(read.node, index)) for index in range(64) if (low | high << 32) >> index & 1}
        kept = {link: since for link, since in self._down.items() if link[0] not in nodes or link in failed}
        self._down = dict.fromkeys(failed, self._now) | kept

    def _links_stand(self, nodes: Sequence[int]) -> _Steps:
        """Wait until no node calls a link failed: what is sent on such a link is discarded."""
        yield from self._failed_links(nodes)
        while self._down:
            yield from self._wait()
            yield from self._failed_links(nodes)

    def _flush(self, nodes: Sequence[int]) -> _Steps:
        """Every slot of some nodes; from then on only the next generation counts there."""
        assert self.manager is not None
        for slot, generation in enumerate(self._generation):
            yield from self._all([self.manager.flush(node, slot, generation) for node in nodes])
            self.counters.flushes += len(nodes)
