# SPDX-License-Identifier: Apache-2.0
"""Did the transport keep its promise? Answered from a capture alone (docs/transport.md).

For every pair of neighbours and pair of epochs: new data frames carry the numbers 0, 1, 2 ... and stay below the limit that the receiver
granted; whatever is sent again is what was sent first; the receiver acknowledges no more than what came in order, and never takes an
acknowledgement back. Of each message one sending and at most one arrival count: the first whose number was the expected one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from floreana.cluster.plan import Plan
from floreana.cluster.topology import Numbers
from floreana.host.frame import SEQUENCE_MODULUS
from floreana.sim.capture import Record

KINDS = ("data", "ack", "nack", "hello", "hello-ack")
_HALF = SEQUENCE_MODULUS // 2


@dataclass(frozen=True, slots=True)
class Network:
    """Who is behind which port and address. ``names`` are those of the capture's interfaces, ``nodes`` the node number of each."""

    names: tuple[str, ...]
    nodes: tuple[int, ...]
    macs: Mapping[int, int]  # MAC address -> node number
    stations: Mapping[int, str]  # node number -> name
    numbers: Numbers  # those on the wire; everywhere else a node's number is its place in the plan


def network(plan: Plan) -> Network:
    """Ports in the order of the capture: those of the nodes, then the host's."""
    names: list[str] = []
    nodes: list[int] = []
    macs: dict[int, int] = {plan.host.mac: plan.host.node}
    for node in plan.nodes:
        for number, port in enumerate(node.ports):
            names.append(node.name if len(node.ports) == 1 else f"{node.name}.{number}")
            nodes.append(node.index)
            macs[port.mac] = node.index
    stations = {node.index: node.name for node in plan.nodes} | {plan.host.node: "host"}
    return Network((*names, "host"), (*nodes, plan.host.node), macs, stations, plan.numbers)


@dataclass(slots=True)
class Traffic:
    """What the transport did. ``once[i]`` is True where record i is the one sending, or the one arrival, of a message that counts."""

    once: list[bool]
    problem: str | None = None  # the first promise that was not kept
    sent: Counter[str] = field(default_factory=Counter)  # frames that left, by kind
    again: int = 0  # data frames sent again
    again_by: Counter[int] = field(default_factory=Counter)  # the same by node number
    bad: int = 0  # arrivals that the MAC marked
    repeated: int = 0  # arrivals of data that had come before
    ahead: int = 0  # arrivals of data whose turn had not come


@dataclass(slots=True)
class _Way:
    """One direction between two nodes in one pair of epochs. Numbers are absolute here."""

    contents: list[bytes] = field(default_factory=list)  # what was sent first
    limit: int = 0
    acked: int = 0  # what came back to the sender
    expected: int = 0
    told: int = 0  # what the receiver acknowledged


def _absolute(near: int, number: int) -> int:
    """The absolute number nearest to ``near`` that is ``number`` on the wire."""
    return near + (number - near + _HALF) % SEQUENCE_MODULUS - _HALF


def _content(raw: bytes) -> bytes:
    """A data frame without what may change between two sendings: credit and acknowledgement."""
    return raw[:43] + raw[44:51] + raw[54:]


class _Inspection:
    def __init__(self, net: Network, records: Sequence[Record]) -> None:
        self.net = net
        self.traffic = Traffic([False] * len(records))
        self.ways: dict[tuple[int, int, int, int], _Way] = {}
        for index, record in enumerate(records):
            if record.bad:
                self.traffic.bad += 1
            elif len(record.data) < 64 or record.data[12:14] != b"\x08\x00" or record.data[42] & 31 >= len(KINDS):
                continue  # no frame of ours: the comparison says so
            elif record.outbound:
                self.left(index, record)
            else:
                self.came(index, record)

    def way(self, source: int, target: int, epoch: int, other: int) -> _Way:
        return self.ways.setdefault((source, target, epoch, other), _Way())

    def wrong(self, index: int, record: Record, what: str) -> None:
        if self.traffic.problem is None:
            name = self.net.names[record.port]
            self.traffic.problem = f"transport error at {name}: {what} (frame {index + 1} of the capture, cycle {record.cycle})"

    def left(self, index: int, record: Record) -> None:
        raw, traffic = record.data, self.traffic
        kind, epoch, other = raw[42] & 31, raw[46], raw[47]
        source, target = self.net.nodes[record.port], self.net.macs.get(int.from_bytes(raw[:6], "big"), -1)
        traffic.sent[KINDS[kind]] += 1
        if int.from_bytes(raw[44:46], "big") != self.net.numbers.number(source):
            self.wrong(index, record, f"sent a frame of node {int.from_bytes(raw[44:46], 'big')}")
            return
        if not epoch or not other:
            if kind in (0, 1, 2):
                self.wrong(index, record, f"sent a frame of kind {KINDS[kind]} in an unknown epoch ({epoch}, {other})")
            return
        peer = self.net.stations.get(target, f"node {target}")
        back = self.way(target, source, other, epoch)
        told = _absolute(back.told, int.from_bytes(raw[51:54], "big"))
        if told < back.told:
            self.wrong(index, record, f"took back an acknowledgement to {peer}: {told} after {back.told}")
        elif told > back.expected:
            self.wrong(index, record, f"acknowledged {told} message(s) of {peer}, of which {back.expected} had come in order")
        back.told = max(told, back.told)
        if kind:
            return
        way = self.way(source, target, epoch, other)
        number = _absolute(len(way.contents), int.from_bytes(raw[48:51], "big"))
        content = _content(raw)
        if number == len(way.contents):
            if number >= way.limit:
                self.wrong(index, record, f"sent message {number} to {peer}, which had granted {way.limit}")
            way.contents.append(content)
            traffic.once[index] = True
        elif 0 <= number < len(way.contents):
            traffic.again += 1
            traffic.again_by[source] += 1
            if content != way.contents[number]:
                self.wrong(index, record, f"sent message {number} to {peer} again, and not as it was")
        else:
            self.wrong(index, record, f"sent message {number} to {peer} where {len(way.contents)} was the next")

    def came(self, index: int, record: Record) -> None:
        raw = record.data
        kind, epoch, other = raw[42] & 31, raw[46], raw[47]
        target, source = self.net.nodes[record.port], self.net.numbers.station(int.from_bytes(raw[44:46], "big"))
        if not epoch or not other:
            return
        back = self.way(target, source, other, epoch)
        back.acked = max(back.acked, _absolute(back.acked, int.from_bytes(raw[51:54], "big")))
        back.limit = max(back.limit, _absolute(back.acked, int.from_bytes(raw[51:54], "big")) + raw[43])
        if kind:
            return
        way = self.way(source, target, epoch, other)
        number = _absolute(way.expected, int.from_bytes(raw[48:51], "big"))
        if number == way.expected:
            way.expected += 1
            self.traffic.once[index] = True
        elif number < way.expected:
            self.traffic.repeated += 1
            if 0 <= number < len(way.contents) and _content(raw) != way.contents[number]:
                self.wrong(index, record, f"message {number} came again, and not as it was sent")
        else:
            self.traffic.ahead += 1


def inspect(plan: Plan, records: Sequence[Record]) -> Traffic:
    """Follow every link of a capture; ``records`` in the capture's order."""
    return _Inspection(network(plan), records).traffic
