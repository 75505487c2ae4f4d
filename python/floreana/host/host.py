# SPDX-License-Identifier: Apache-2.0
"""The host as a port of the simulated network, cycle by cycle: `Endpoint`, `Admission` and `ManagerClient` behind a paced line.

It carries bytes and computes no activation. First every node is reached, loaded if the images travel in frames, made to tell events,
and its slots are emptied; then sentence after sentence goes in; at the end the counters of all nodes are read. What happens when a node
restarts or a link fails is Admission's business; an error of its ends the run.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from floreana.cluster.entry import EntryPlan
from floreana.cluster.layout import TYPE_INT8
from floreana.cluster.topology import Numbers
from floreana.errors import FloreanaError
from floreana.host import words
from floreana.host.admission import Admission, AdmissionConfig, LastGateway
from floreana.host.endpoint import Endpoint, EndpointConfig, PeerConfig, Timers
from floreana.host.frame import DATA, Station
from floreana.host.manager import ManagerAddress, ManagerClient, ManagerConfig, Operation
from floreana.sim.ethernet import Arrival, Pacer, Sent, beats

SENTENCE_GAP = 64  # cycles between the last row of a sentence and the first of the next
TOLD_LATE = 256  # cycles after which the host knows that a loader is done: more than the longest window
OUTSTANDING = 6  # requests a manager has at a time


class RunError(Exception):
    """The run cannot go on; the message says what was seen and where."""


@dataclass(frozen=True, slots=True)
class HostConfig:
    """What the host must know of the plan and of the run."""

    port: int
    station: Station
    neighbours: Mapping[int, PeerConfig]
    hops: Mapping[int, int]  # destination kernel -> neighbour
    timers: Timers
    nodes: tuple[str, ...]  # names
    managers: tuple[int, ...]  # by node: kernel number of its manager, 0 of a direct neighbour; empty: nodes without managers (tests)
    clusters: tuple[int, ...]  # by node
    eth_n: int
    cluster: int
    entry: EntryPlan
    owners: tuple[int, ...]
    row_bytes: int
    slots: int
    in_flight: int = 1
    gateway: LastGateway | None = None
    patience: int = 1_000_000  # cycles a recovery may take
    images: tuple[Path, ...] | None = None  # by node: what the host writes over the wire; None: loaders do
    restarts: Mapping[int, tuple[int, ...]] = field(default_factory=dict)  # by node: cycles in which loaders begin again
    counters: bool = True
    numbers: Numbers | None = None  # those on the wire, where they are not those of the stations
    around: tuple[tuple[int, ...], ...] = ()  # by node: its peers


@dataclass(slots=True)
class Sentence:
    """What became of one sentence."""

    rows: Sequence[bytes]
    slot: int = -1
    generation: int = -1
    attempts: int = 0
    start: int = -1  # first beat of the first row that left
    end: int = -1  # last beat of the last row back
    out: tuple[bytes, ...] = ()


def read_image(path: Path) -> list[tuple[int, list[int]]]:
    """Runs of (first address, entries of 512 bits) of an image file."""
    runs: list[tuple[int, list[int]]] = []
    for line in path.read_text().splitlines():
        address, value = int(line[:8], 16), int(line[8:], 16)
        if runs and address == runs[-1][0] + len(runs[-1][1]):
            runs[-1][1].append(value)
        else:
            runs.append((address, [value]))
    return runs


class _Manager(ManagerClient):
    """A client that writes a whole image as one operation, so that its requests follow each other without waiting."""

    def write_runs(self, node: int, runs: Iterable[tuple[int, Sequence[int]]]) -> Operation:
        """Write entries to consecutive configuration addresses, for every run (first address, entries)."""
        operation = self._begin(node, "writing its image")
        for address, values in runs:
            for at in range(0, len(values), words.WRITE_LIMIT):
                part, where = values[at : at + words.WRITE_LIMIT], address + at
                self._add(operation, words.OP_WRITE, where, len(part), partial(_write, where, part))
        return self._close(operation)


def _write(address: int, values: Sequence[int], tag: int) -> bytes:
    return words.write_request(tag, address, values)


class Host:
    """See the module. Hand arrivals to ``receive``; ``run`` does everything before a cycle and returns the frames that left."""

    def __init__(
        self,
        config: HostConfig,
        sentences: Sequence[Sequence[bytes]],
        name: Callable[[Arrival], str] = lambda arrival: f"cycle {arrival.cycle}",
    ) -> None:
        """``name`` tells which frame an arrival is, for errors."""
        self._config = config
        self._name = name
        self.sentences = [Sentence(rows) for rows in sentences]
        cells = sum(peer.quota for peer in config.neighbours.values())
        self.endpoint = Endpoint(EndpointConfig(config.station, config.neighbours, config.timers, cells=cells))
        self.manager: _Manager | None = None
        if config.managers:
            addresses = {
                node: ManagerAddress(config.hops[kernel] if kernel else node, kernel, cluster)
                for node, (kernel, cluster) in enumerate(zip(config.managers, config.clusters, strict=True))
            }
            asked = ManagerConfig(addresses, dict(enumerate(config.nodes)), timeout=8 * config.timers.rto, outstanding=OUTSTANDING)
            self.manager = _Manager(asked, self.endpoint.send)
        self.admission = Admission(
            AdmissionConfig(
                host=config.station.node if config.numbers is None else config.numbers.nodes,
                cluster=config.cluster,
                entry=config.entry,
                owners=config.owners,
                hops=config.hops,
                row_bytes=config.row_bytes,
                max_tokens=len(config.owners),
                slots=config.slots,
                in_flight=config.in_flight,
                gateway=config.gateway,
                eth_n=config.eth_n,
                patience=config.patience,
                pause=max(config.timers.rto // 4, 1),
                numbers=config.numbers,
                around=config.around,
            ),
            self.endpoint.send,
            self.manager,
            self._prepare,
        )
        self.loaded_at = 0  # cycle in which the images were written, where the host does that
        self.words: dict[str, dict[str, int]] = {}  # by node, at the end
        self.finished: int | None = None
        self._now = -1
        self._pacer = Pacer()
        self._arrivals: list[tuple[int, int, Arrival]] = []
        self._count = 0
        self._sending: deque[Sent] = deque()
        self._loaded: dict[int, int] = {}
        self._loading: list[tuple[int, Operation]] = []  # nodes whose loader the host waits for
        self._next_sentence = 0
        self._ready = 0  # cycle from which on the next sentence may begin
        self._reading: list[Operation] | None = None
        self._wake: int | None = 0

    # ------------------------------------------------------------------------------------------------------------- the port

    @property
    def done(self) -> bool:
        return self.finished is not None

    @property
    def phase(self) -> str:
        """What the host is at: starting, running, recovering or ending."""
        if self._reading is not None:
            return "ending"
        if self.admission.recovering:
            return "recovering" if self._next_sentence else "starting"
        return "running"

    @property
    def current(self) -> int:
        """Number of the first sentence that is not complete."""
        return next((number for number, sentence in enumerate(self.sentences) if sentence.end < 0), len(self.sentences))

    @property
    def events(self) -> list[tuple[int, str]]:
        """What happened to links: (cycle, text)."""
        return self.admission.log

    def receive(self, arrivals: Iterable[Arrival]) -> None:
        """Frames that will enter the port; each counts from the cycle of its last beat on."""
        for arrival in arrivals:
            self._count += 1
            heapq.heappush(self._arrivals, (arrival.cycle, self._count, arrival))

    def loaded(self, node: int, cycle: int) -> None:
        """The loader of a node was done in ``cycle``; the host acts on it TOLD_LATE cycles later."""
        self._loaded[node] = cycle
        self._wake_at(cycle + TOLD_LATE)

    def _wake_at(self, cycle: int) -> None:
        self._wake = cycle if self._wake is None else min(cycle, self._wake)

    def run(self, horizon: int) -> list[Sent]:
        """Do all that happens before cycle ``horizon``; RunError is raised where it is, `left` still gives the frames."""
        while not self.done:
            at = self._next()
            if at is None or at >= horizon:
                break
            try:
                self._step(at)
            except FloreanaError as error:
                raise RunError(f"{error.message} (cycle {at})") from error
        return self.left(horizon)

    def left(self, horizon: int) -> list[Sent]:
        """Frames whose last beat left before ``horizon`` and that were not handed out yet."""
        out = []
        while self._sending and self._sending[0].cycle < horizon:
            out.append(self._sending.popleft())
        return out

    def _next(self) -> int | None:
        """The next cycle in which something happens."""
        times = [self._arrivals[0][0]] if self._arrivals else []
        times += [cycle for cycle in (self._wake, self.admission.next_time()) if cycle is not None]
        timer = self.endpoint.next_time()
        if timer is not None:
            times.append(self._pacer.free(max(timer, self._now + 1)))
        return max(min(times), self._now + 1) if times else None

    def _step(self, now: int) -> None:
        self._now = now
        if self._wake is not None and self._wake <= now:
            self._wake = None
        while self._arrivals and self._arrivals[0][0] <= now:
            arrival = heapq.heappop(self._arrivals)[2]
            self.endpoint.receive(now, arrival.data, arrival.bad)
            while (item := self.endpoint.take(now)) is not None:
                try:
                    self.admission.receive(now, item.header, item.payload)
                except FloreanaError as error:
                    raise RunError(f"{error.message} ({self._name(arrival)}, cycle {arrival.cycle})") from error
        while self.endpoint.events:
            self.admission.link_event(self.endpoint.events.popleft())
        self._go_on(now)
        if not self.done and self._pacer.free(now) == now:
            frames = self.endpoint.poll(now, 1)
            if frames:
                last = self._pacer.send(now, len(frames[0]))[1]
                self._sending.append(Sent(last, self._config.port, frames[0]))
                self._leaves(last - beats(len(frames[0])) + 1, frames[0])
            if self.endpoint.events:  # timers run as frames are asked for
                self._wake_at(now + 1)

    def _leaves(self, first: int, raw: bytes) -> None:
        """A frame leaves, its first beat in cycle ``first``: a sentence begins with its first row."""
        if raw[42] & 31 == DATA and raw[56] in self._config.entry.edges and raw[63] >> 4 & 3 == TYPE_INT8:
            number = {key: s.number for key, s in self.admission._flying.items()}.get((raw[59] >> 4, raw[59] & 15))
            if number is not None and self.sentences[number].start < 0:
                self.sentences[number].start = first

    # ------------------------------------------------------------------------------------------------------------ the run

    def _go_on(self, now: int) -> None:
        """Sentences in, results out, counters at the end."""
        config, admission = self._config, self.admission
        for node, operation in self._loading:
            operation.done = operation.done or self._is_loaded(node)
        self._loading = [item for item in self._loading if not item[1].done]
        admission.poll(now)
        while admission.finished:
            result = admission.finished.popleft()
            sentence = self.sentences[result.number]
            sentence.slot, sentence.generation, sentence.attempts = result.slot, result.generation, result.attempts
            sentence.end, sentence.out = result.end, result.rows
            self._ready = max(self._ready, result.end + SENTENCE_GAP)
        if admission.recovering:
            return
        if not self._next_sentence:
            self.loaded_at = now if config.images is not None else 0
        while self._next_sentence < len(self.sentences) and admission.in_flight + admission.waiting < config.in_flight:
            if now < self._ready:
                self._wake_at(self._ready)
                return
            admission.submit(self.sentences[self._next_sentence].rows)
            self._next_sentence += 1
            admission.poll(now)
        if self._next_sentence < len(self.sentences) or not admission.idle:
            return
        if self.manager is None or not config.counters:
            self.finished = now
            return
        if self._reading is None or any(operation.error for operation in self._reading):
            self._reading = [self.manager.read(node, 0, words.word_count(config.eth_n)) for node in range(len(config.nodes))]
            self.manager.poll(now)
        if all(operation.done and not operation.error for operation in self._reading):
            for name, operation in zip(config.nodes, self._reading, strict=True):
                self.words[name] = words.name_words(operation.result(), 0, config.eth_n)
            self.finished = now

    def _prepare(self, node: int) -> Iterator[Operation]:
        """A node that is not prepared: write its image, or wait for its loader."""
        if self._config.images is not None:
            assert self.manager is not None
            yield self.manager.write_runs(node, read_image(self._config.images[node]))
        elif not self._is_loaded(node):
            operation = Operation(node, "waiting for the loader")
            self._loading.append((node, operation))
            yield operation

    def _is_loaded(self, node: int) -> bool:
        """True where the loader has played the image since the node's last restart."""
        begun = [cycle for cycle in self._config.restarts.get(node, ()) if cycle <= self._now]
        return not begun or begun[-1] < self._loaded.get(node, -1) <= self._now - TOLD_LATE
