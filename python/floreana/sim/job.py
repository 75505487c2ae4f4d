# SPDX-License-Identifier: Apache-2.0
"""What the program that starts a simulation and the bench inside the simulator tell each other, as JSON files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from floreana.cluster.entry import EntryPlan
from floreana.cluster.topology import Numbers
from floreana.host.admission import LastGateway
from floreana.host.endpoint import Timers
from floreana.sim.faults import Cut, Rates, Restart


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the network: of a node, or the host's."""

    name: str
    node: int  # place in the plan; the host's is the number of nodes
    mac: int
    ip: int


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A direct neighbour of the host: the messages it may have on the way to us are ``quota``."""

    node: int
    mac: int
    ip: int
    quota: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Something the network does to the frame with this number (tests only): flip, drop, repeat, or swap with the next of its way.

    Numbers count the frames of all ports in order of (last beat's cycle, port). ``flip`` is not seen by the receiver's MAC.
    """

    kind: str
    frame: int
    bit: int = 0  # of the frame, bit 0 of byte 0 first


@dataclass(frozen=True, slots=True)
class Target:
    """A port that is attacked (number in the job), its addresses and its peers, these by their numbers on the wire."""

    port: int
    mac: int
    ip: int
    peers: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True)
class Siege:
    """Attackers on the Ethernet switch of their targets: ``frames`` in all, each at most that share of a port's line."""

    targets: tuple[Target, ...]
    frames: int
    share: float


@dataclass(frozen=True, slots=True)
class Job:
    """One run. Paths are absolute."""

    project: str
    toplevel: str
    nodes: tuple[str, ...]  # names
    ports: tuple[Port, ...]  # those of the nodes in order, each node's together, then the host's
    segments: tuple[tuple[int, ...], ...]  # port numbers: two are a cable, more an Ethernet switch
    neighbours: tuple[Neighbour, ...]  # of the host
    hops: dict[int, int]  # destination kernel -> node that is the host's next hop
    managers: tuple[int, ...]  # by node: the kernel number of its manager
    clusters: tuple[int, ...]  # by node
    timers: Timers
    peers_n: int  # peers of an Ethernet port, width of its link flags
    cluster: int
    entry: EntryPlan
    owners: tuple[int, ...]
    row_bytes: int
    slots: int
    # edge number -> encoder, of the edges that carry finished encoder rows: progress only
    encoder_edges: dict[int, int]
    encoders: int
    delay: int
    window: int
    stall: int  # cycles without a new message after which the run is given up
    rows: tuple[tuple[str, ...], ...]  # per sentence, each row in hexadecimal
    capture: str
    outcome: str
    patience: int = 1_000_000  # cycles a recovery may take
    in_flight: int = 1  # sentences in the cluster at a time
    gateway: LastGateway | None = None  # of a chain of clusters
    load: str = "bus"  # or frames: the images are written by the host
    images: str = ""  # folder of the images, for load frames
    counters: bool = True  # read the nodes' words at the end
    rates: Rates = field(default_factory=Rates)
    seed: int = 1
    cuts: tuple[Cut, ...] = ()
    restarts: tuple[Restart, ...] = ()
    faults: tuple[Fault, ...] = ()
    siege: Siege | None = None  # sentences are repeated until its frames are through
    around: tuple[tuple[int, ...], ...] = ()  # by node: its peers; none: all others

    @property
    def eth_n(self) -> int:
        """Ethernet ports of a node."""
        return (len(self.ports) - 1) // len(self.nodes)

    @property
    def numbers(self) -> Numbers:
        """Node numbers on the wire."""
        return Numbers(len(self.nodes), self.peers_n)

    @property
    def host(self) -> Port:
        return self.ports[-1]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load_file(cls, path: Path) -> Job:
        raw: dict[str, Any] = json.loads(path.read_text())
        for name, kind in (
            ("ports", Port),
            ("neighbours", Neighbour),
            ("cuts", Cut),
            ("restarts", Restart),
            ("faults", Fault),
        ):
            raw[name] = tuple(kind(**item) for item in raw[name])
        for name in ("segments", "rows", "around"):
            raw[name] = tuple(tuple(item) for item in raw[name])
        for name in ("nodes", "managers", "clusters", "owners"):
            raw[name] = tuple(raw[name])
        for name in ("hops", "encoder_edges"):
            raw[name] = {int(key): value for key, value in raw[name].items()}
        raw["entry"] = EntryPlan(**{**raw["entry"], "takers": tuple(raw["entry"]["takers"])})
        raw["timers"] = Timers(**raw["timers"])
        raw["rates"] = Rates(**raw["rates"])
        if raw["gateway"] is not None:
            raw["gateway"] = LastGateway(**raw["gateway"])
        if raw["siege"] is not None:
            raw["siege"]["targets"] = tuple(
                Target(**{**target, "peers": tuple(Neighbour(**peer) for peer in target["peers"])}) for target in raw["siege"]["targets"]
            )
            raw["siege"] = Siege(**raw["siege"])
        return cls(**raw)


@dataclass(frozen=True, slots=True)
class SentenceOutcome:
    """First beat of row 0 and last beat of the last row back at the host's port, and the rows that came.

    ``attempts``: how often its rows were sent, more than once where a node restarted. Slot and generation are those of the last.
    """

    start: int
    end: int
    slot: int
    generation: int
    rows: tuple[str, ...]
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Happened:
    """Something the host was told, or found out."""

    cycle: int
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the bench saw. ``error`` is None or why the run was stopped."""

    error: str | None
    load_cycles: int
    load_writes: tuple[int, ...]
    cycles: int  # simulated after the images were loaded over the buses, or in all where the host loaded them
    frames: int
    seconds: float  # wall time of the traffic
    load_seconds: float
    cpu_seconds: float  # CPU time of the traffic
    bench_seconds: float  # of the wall time, spent in the bench's Python
    sentences: tuple[SentenceOutcome, ...]
    events: tuple[Happened, ...] = ()
    failed_links: tuple[str, ...] = ()  # as the nodes' own flags said, at any time
    network: dict[str, int] = field(default_factory=dict)  # frames the network lost, doubled, reordered, broke, delayed
    words: dict[str, dict[str, int]] = field(default_factory=dict)  # by node: its manager's words at the end
    host_drops: dict[str, int] = field(default_factory=dict)  # frames the host dropped, by cause
    host_again: int = 0  # data frames the host sent again
    sieges: tuple[dict[str, Any], ...] = ()  # what `floreana.sim.hostile.Attack.told` says of every attacked port

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Outcome:
        raw: dict[str, Any] = json.loads(path.read_text())
        raw["load_writes"] = tuple(raw["load_writes"])
        raw["sentences"] = tuple(SentenceOutcome(**{**item, "rows": tuple(item["rows"])}) for item in raw["sentences"])
        raw["failed_links"] = tuple(raw["failed_links"])
        raw["sieges"] = tuple(raw["sieges"])
        raw["events"] = tuple(Happened(**item) for item in raw["events"])
        return cls(**raw)
