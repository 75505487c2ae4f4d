# SPDX-License-Identifier: Apache-2.0
"""How the nodes of a cluster are cabled, and the way of every message: tables by destination alone, free of circular waits.

* ``star``: port 0 of every node and the host on one Ethernet switch; every node is every other's neighbour.
* ``line``: host - port 0 of node 0; port 1 of node k - port 0 of node k+1.
* ``ring``: a line whose ends meet: port 0 of node 0, port 1 of the last node and the host share an Ethernet switch.

A node's packet switch forwards messages that are not for it. It looks at the destination kernel only and never sends a message
back out of the port it came from. Message buffers are finite and in order: what a port sends (one queue for all its neighbours), what
it receives (one queue for all senders). A message that holds room in one and waits for room in the next makes an edge; a cycle of such
edges can stop for good. :func:`check_channels` refuses tables that have one.

The graph holds under one condition on the packet switch: a multicast begins only when each of its outputs takes the whole
message without stopping. Otherwise it would hold one output while it waits for another, an edge that is not in the graph.

A ring is routed with a *dateline* at its last node z: nothing passes through z from one side to the other. Nodes 0 to z-1 exchange
messages along the line; between them and z both ways round are used, the shorter one. The host enters at node 0 for all of them and at z
for z. (Were it to enter at z for node t, that message would pass through z; and the receive buffer of z's port 1 is
the one that node 0's messages to z use.) Multicasts run along the line from port 0 of node 0 to port 0 of z.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from floreana.cluster import layout
from floreana.errors import InputError

TopologyName = Literal["star", "line", "ring"]
RoutingName = Literal["shortest", "dateline"]
DEFAULT_ROUTING: Mapping[str, RoutingName] = {"star": "shortest", "line": "shortest", "ring": "dateline"}
ETH_PORTS: Mapping[str, int] = {"star": 1, "line": 2, "ring": 2}
ETH_PORT = (layout.PORT_ETH, layout.PORT_ETH_1)  # switch port of each Ethernet port
PORT_STEP = 128  # added to MAC and IP of port 0 for port 1
RING_NODES_MIN = 3
CHAIN_NODES_MAX = 31  # managers have the numbers 193 to 223; in a line or a ring they must have one
PEERS_MAX = 64  # of an Ethernet port


@dataclass(frozen=True, slots=True)
class LinkEnd:
    """An Ethernet port of a node, or port 0 of the host (node number = count of nodes)."""

    node: int
    port: int


Links = tuple[tuple[LinkEnd, ...], ...]


def make_links(topology: TopologyName, nodes: int) -> Links:
    """Segments: two ends are a cable, more an Ethernet switch. The host's segment comes first."""
    host, last = LinkEnd(nodes, 0), nodes - 1
    if topology == "star":
        return ((*(LinkEnd(k, 0) for k in range(nodes)), host),)
    first = (LinkEnd(0, 0), LinkEnd(last, 1), host) if topology == "ring" else (host, LinkEnd(0, 0))
    return (first, *((LinkEnd(k, 1), LinkEnd(k + 1, 0)) for k in range(last)))


def neighbours(links: Links, end: LinkEnd) -> tuple[LinkEnd, ...]:
    """Who shares a segment with ``end``, by number; empty where nothing is plugged in."""
    for segment in links:
        if end in segment:
            return tuple(sorted((other for other in segment if other != end), key=lambda other: (other.node, other.port)))
    return ()


def wires(links: Links) -> dict[LinkEnd, dict[int, int]]:
    """For each end, its neighbours: number -> their port."""
    ends = [end for segment in links for end in segment]
    return {end: {other.node: other.port for other in neighbours(links, end)} for end in ends}


def reach(members: int, clusters: int) -> int:
    """Stations that the nodes of one cluster must tell apart: their own, those of the cluster before, the next gateway, the host.

    ``members``: nodes of each of the ``clusters``.
    """
    return members * min(clusters, 2) + int(clusters > 2) + 1


@dataclass(frozen=True, slots=True)
class Numbers:
    """Node numbers on the wire of the stations, the nodes 0 to ``nodes``-1 and the host, ``nodes``.

    A port keeps what it knows of a peer at the peer's *index*, its number modulo ``peers_n``. Where ``peers_n`` is more than ``nodes``,
    number, index and station are the same. Else the index ``peers_n``-1 is the host's alone, since it is everybody's neighbour: no node
    has a number with that index, and any ``peers_n``-1 nodes in a row have different ones.
    """

    nodes: int
    peers_n: int

    def number(self, station: int) -> int:
        if station == self.nodes:
            return min(self.nodes, self.peers_n - 1)
        return station + station // (self.peers_n - 1)

    def index(self, station: int) -> int:
        return self.number(station) % self.peers_n

    def station(self, number: int) -> int:
        """The station that has a number; -1: none."""
        if number == self.number(self.nodes):
            return self.nodes
        node = number - number // self.peers_n
        return node if node < self.nodes and self.number(node) == number else -1

    def peer(self, index: int, around: Iterable[int]) -> int:
        """Which of the stations ``around`` has an index; -1: none."""
        return next((station for station in around if self.index(station) == index), -1)


@dataclass(frozen=True, slots=True)
class Hop:
    """Out of Ethernet port ``port`` to the neighbour ``node``."""

    port: int
    node: int


@dataclass(frozen=True, slots=True)
class Router:
    """Next hops. Stations are the nodes 0 to ``nodes``-1 and the host, ``nodes``."""

    topology: TopologyName
    routing: RoutingName
    nodes: int

    def unicast(self, at: int, to: int) -> Hop:
        """First hop from station ``at`` to another station ``to``."""
        host, last = self.nodes, self.nodes - 1
        if self.topology == "star":
            return Hop(0, to)
        if self.topology == "line":
            return Hop(0, 0) if at == host else self._left(at) if to < at or to == host else Hop(1, at + 1)
        if self.routing == "shortest":
            return self._shortest(at, to)
        if host in (at, to):
            if at == host:
                return Hop(0, last if to == last else 0)
            return Hop(1, host) if at == last else self._left(at)
        if last in (at, to):
            other = to if at == last else at
            round_the_end = other + 1 < last - other  # over the Ethernet switch between node 0 and the last node
            if at == last:
                return Hop(1, 0) if round_the_end else Hop(0, last - 1)
            if round_the_end:
                return Hop(0, at - 1 if at else last)
            return Hop(1, at + 1)
        return self._left(at) if to < at else Hop(1, at + 1)

    def manager(self, at: int, to: int) -> Hop:
        """First hop to the manager of node ``to``. In a ring it is always the way along the line.

        So a node that knows nobody but its neighbour on port 0 can be reached, the last one too.
        """
        if self.topology == "ring" and to == self.nodes - 1:
            return Hop(0, 0) if at == self.nodes else Hop(1, at + 1)
        return self.unicast(at, to)

    def multicast(self, at: int, members: Iterable[int]) -> tuple[Hop, ...]:
        """Hops from node ``at`` to a group with those nodes (``at`` itself does not count): every one is reached once, from anywhere."""
        others = {member for member in members if member != at}
        if self.topology == "star":
            return tuple(Hop(0, member) for member in sorted(others))
        left = (Hop(0, at - 1),) if any(member < at for member in others) else ()
        return (*left, Hop(1, at + 1)) if any(member > at for member in others) else left

    def _left(self, at: int) -> Hop:
        return Hop(0, at - 1 if at else self.nodes)

    def _shortest(self, at: int, to: int) -> Hop:
        """The fewer hops, up the numbers where both ways have as many."""
        host, count = self.nodes, self.nodes
        if at == host:
            return Hop(0, 0 if to + 1 <= count - to else count - 1)
        if to == host:
            return self._left(at) if at + 1 <= count - at else Hop(1, at + 1)  # at + 1 is the host after the last node
        if (to - at) % count <= (at - to) % count:
            return Hop(1, (at + 1) % count)
        return Hop(0, (at - 1) % count)


@dataclass(frozen=True, slots=True)
class Station:
    """The tables of a node, or of the host, that send messages on.

    ``route``: destination kernel -> mask of switch ports; ``peers``, one for each Ethernet port: destination kernel -> mask of
    neighbours. Ports other than Ethernet are at home.
    """

    route: Mapping[int, int]
    peers: Sequence[Mapping[int, int]]


@dataclass(frozen=True, slots=True, order=True)
class Channel:
    """A buffer: what Ethernet port ``port`` of ``node`` sends, or what it receives."""

    node: int
    port: int
    sends: bool


@dataclass(frozen=True, slots=True)
class Walk:
    """The way of one message: (node, switch port) of every delivery, and every pair of buffers it takes one after the other."""

    deliveries: tuple[tuple[int, int], ...]
    pairs: tuple[tuple[Channel, Channel], ...]


def walk(stations: Sequence[Station], wiring: Mapping[LinkEnd, Mapping[int, int]], source: int, kernel: int) -> Walk:
    """Follow a message for ``kernel`` that is made on station ``source`` through the tables. ``wiring`` comes from :func:`wires`.

    Raises ValueError where the tables lead nowhere, to a station that is no neighbour, or round in a circle.
    """
    what = f"kernel {kernel} from station {source}"
    deliveries: list[tuple[int, int]] = []
    pairs: list[tuple[Channel, Channel]] = []
    waiting: list[tuple[int, Channel | None]] = [(source, None)]
    seen: set[tuple[int, Channel | None]] = set()
    while waiting:
        at, came = waiting.pop()
        if (at, came) in seen:
            raise ValueError(f"{what}: comes to station {at} twice by the same port")
        seen.add((at, came))
        ports = stations[at].route.get(kernel, 0)
        if came is not None:
            ports &= ~(1 << ETH_PORT[came.port])
        if not ports:
            raise ValueError(f"{what}: station {at} does not know where to send it")
        eth_ports = ETH_PORT[: len(stations[at].peers)]
        deliveries += [(at, port) for port in range(8) if ports >> port & 1 and port not in eth_ports]
        for eth, port in enumerate(eth_ports):
            if not ports >> port & 1:
                continue
            sent = Channel(at, eth, sends=True)
            if came is not None:
                pairs.append((came, sent))
            around = wiring.get(LinkEnd(at, eth), {})
            mask = stations[at].peers[eth].get(kernel, 0)
            if not mask or mask >> (max(around, default=-1) + 1):
                raise ValueError(f"{what}: station {at} port {eth} has peers {mask:#b}, neighbours {sorted(around)}")
            for peer in range(mask.bit_length()):
                if mask >> peer & 1:
                    if peer not in around:
                        raise ValueError(f"{what}: station {peer} is no neighbour of station {at} port {eth}")
                    received = Channel(peer, around[peer], sends=False)
                    pairs.append((sent, received))
                    waiting.append((peer, received))
    return Walk(tuple(deliveries), tuple(pairs))


def dependencies(stations: Sequence[Station], links: Links) -> dict[Channel, set[Channel]]:
    """Which buffers wait for which: all pairs of every message from every station to every kernel its tables know."""
    graph: dict[Channel, set[Channel]] = {}
    wiring = wires(links)
    for source, station in enumerate(stations):
        for kernel in station.route:
            for before, after in walk(stations, wiring, source, kernel).pairs:
                graph.setdefault(before, set()).add(after)
    return graph


_Place = TypeVar("_Place", Channel, str)


def find_cycle(graph: Mapping[_Place, Iterable[_Place]]) -> list[_Place]:
    """Places of a cycle in order, the lowest first; empty where there is none."""
    done: set[_Place] = set()
    for root in sorted(graph):
        if root in done:
            continue
        path: list[_Place] = [root]
        choices = [iter(sorted(graph.get(root, ())))]
        while path:
            following = next(choices[-1], None)
            if following is None:
                done.add(path.pop())
                choices.pop()
            elif following in path:
                cycle = path[path.index(following) :]
                at = cycle.index(min(cycle))
                return cycle[at:] + cycle[:at]
            elif following not in done:
                path.append(following)
                choices.append(iter(sorted(graph.get(following, ()))))
    return []


def check_channels(stations: Sequence[Station], links: Links, names: Sequence[str], remedy: str) -> None:
    """Raise InputError that names a cycle of buffers, if there is one. ``names``: of the stations."""
    cycle = find_cycle(dependencies(stations, links))
    if cycle:
        steps = " -> ".join(f"{names[c.node]} port {c.port} {'sends' if c.sends else 'receives'}" for c in [*cycle, cycle[0]])
        raise InputError(f"the routes can wait for each other in a circle, each full buffer for the next: {steps}; {remedy}")
