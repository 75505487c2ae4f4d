# SPDX-License-Identifier: Apache-2.0
"""The cycles of a plan, without simulating its RTL (docs/schedule.md).

The model moves messages, not beats: it knows how many cycles each unit needs for a row or a message and in which order it serves
what waits, from the RTL's parameters and pipeline depths (:mod:`floreana.cluster.schedule.depths`). Sequences are on a clean network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from floreana.cluster import layout
from floreana.cluster.plan import ContextPlan, MessageEntry, NodePlan, Plan, with_link_delay
from floreana.cluster.schedule import depths
from floreana.cluster.schedule.attention import Attention, Heads
from floreana.cluster.schedule.events import Clock, Flight, Message, Spans
from floreana.cluster.schedule.gateway import Gateway, Host
from floreana.cluster.schedule.linear import Linear, Operator
from floreana.cluster.schedule.norm import AddNorm, Norm
from floreana.cluster.schedule.switch import Sink, Switch
from floreana.cluster.schedule.wire import Network, Port
from floreana.cluster.topology import ETH_PORT, LinkEnd
from floreana.errors import InputError


@dataclass(frozen=True, slots=True)
class Span:
    """Cycles in which a kernel was at work for an operator of an encoder: from ``begin`` to before ``end``, gaps included."""

    operator: str
    encoder: int
    sequence: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class KernelLoad:
    """A kernel of a node. ``busy``: cycles at work, those that overlap counted once; ``out_beats``: beats at its output port."""

    node: int
    kernel: str
    busy: int
    out_beats: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class PortLoad:
    """An Ethernet port (of node ``len(plan.nodes)``: the host's). ``share``: of 62.5 bytes a cycle, 24 bytes a frame included."""

    node: int
    port: int
    frames: int
    share: float


@dataclass(frozen=True, slots=True)
class SequenceTimes:
    """Cycles since the first beat of the first sequence: own first beat, last beat of the first row back at the host, of the last row."""

    tokens: int
    start: int
    first_row: int
    last_row: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """What :func:`schedule` finds. ``cycles``: from the first beat to the last one of all sequences; shares are of it."""

    sequences: tuple[SequenceTimes, ...]
    kernels: tuple[KernelLoad, ...]
    ports: tuple[PortLoad, ...]

    @property
    def cycles(self) -> int:
        return max(s.last_row for s in self.sequences)

    @property
    def first_row(self) -> int:
        """Cycles from the first beat at the host's port to the last beat of the first row there, of the first sequence."""
        return self.sequences[0].first_row - self.sequences[0].start

    @property
    def last_row(self) -> int:
        """Cycles from the first beat at the host's port to the last beat of the last row there, of the first sequence."""
        return self.sequences[0].last_row - self.sequences[0].start

    @property
    def interval(self) -> float:
        """Cycles a sequence, fill and drain included."""
        return self.cycles / len(self.sequences)

    def kernel(self, node: int, kernel: str) -> KernelLoad:
        return next(load for load in self.kernels if (load.node, load.kernel) == (node, kernel))


class _Node:
    """One node of the model."""

    def __init__(self, clock: Clock, network: Network, plan: Plan, node: NodePlan) -> None:
        self.index = node.index
        shape = plan.shape
        self.ports = [
            Port(
                clock,
                network,
                LinkEnd(node.index, k),
                table=node.peers[k],
                quotas={other: _quota(plan, node.index, other) for other in node.peer[k]},
                cluster=node.cluster,
                ack_delay=plan.transport.ack_delay + depths.ETH_ACK,
                latency=depths.ETH_TX,
                tx_cells=shape["TX_CELLS"],
                peers_n=shape["PEERS_N"],
                rounds=True,
            )
            for k in range(shape["ETH_N"])
        ]
        eth = ETH_PORT[: len(self.ports)]
        sinks: list[Sink] = [_nothing] * (layout.PORT_ETH + len(self.ports) + len(node.gateway))
        rooms: list[Callable[[], bool]] = [_always] * len(sinks)
        for port, end in zip(self.ports, eth, strict=True):
            sinks[end], rooms[end] = port.take, port.room
        switch = self.switch = Switch(clock, node.cluster, node.route, sinks, eth, rooms)
        contexts = {(c.kernel, c.index): c for c in node.contexts}
        k_lanes = shape["K_LANES"]
        operators: dict[int, Operator] = {}
        heads: dict[int, tuple[Heads, int]] = {}
        norms: dict[int, tuple[Norm, int]] = {}
        for edge, entry in node.edges["linear"].items():
            operators[edge] = _operator(node, contexts["linear", entry.ctx], k_lanes)
        for edge, entry in node.edges["attention"].items():
            heads[edge] = (_heads(node, contexts["attention", entry.ctx]), entry.role)
        residual = {entry.ctx for entry in node.edges["add_norm"].values() if entry.role == layout.ROLE_RESIDUAL}
        for edge, entry in node.edges["add_norm"].items():
            norms[edge] = (_norm(node, contexts["add_norm", entry.ctx], entry.ctx in residual), entry.role)
        self.linear = Linear(clock, switch, operators, node.owners, shape, node.cluster)
        self.attention = Attention(clock, switch, heads)
        self.add_norm = AddNorm(clock, switch, norms, node.owners, shape)
        sinks[layout.PORT_LINEAR] = self.linear.take
        sinks[layout.PORT_ATTENTION] = self.attention.take
        sinks[layout.PORT_ADD_NORM] = self.add_norm.take
        for gate in node.gateway:
            port_number = layout.PORT_ETH + len(self.ports)
            sinks[port_number] = Gateway(clock, switch, port_number, gate, node.cluster, node.owners).take
        for port, end in zip(self.ports, eth, strict=True):
            port.room_hook = switch.look
            port.deliver = _Receiver(clock, switch, end).take


class _Receiver:
    """What an Ethernet port received, on its way into the switch: a beat a cycle."""

    __slots__ = ("_clock", "_end", "_free", "_switch")

    def __init__(self, clock: Clock, switch: Switch, end: int) -> None:
        self._clock, self._switch, self._end, self._free = clock, switch, end, 0

    def take(self, message: Message) -> int:
        first = max(self._clock.now + depths.ETH_RX, self._free)
        self._free = first + message.beats
        self._switch.push(self._end, message, first)
        return self._free


def _nothing(message: Message, first: int, last: int) -> None:
    """The manager: no message of a sequence is for it."""
    raise AssertionError(f"a message for kernel {message.kernel} went to the manager's port")


def _always() -> bool:
    return True


def _quota(plan: Plan, node: int, other: int) -> int:
    """Messages of ``node`` that may wait at its neighbour ``other``."""
    if other == plan.host.node:
        return plan.host.peer[node].quota
    return next(peer[node].quota for peer in plan.nodes[other].peer if node in peer)


def _run(node: NodePlan, context: ContextPlan, count: int) -> tuple[MessageEntry, ...]:
    base = context.fields["msg_base"]
    return node.messages[context.kernel][base : base + count]


def _cuts(node: NodePlan, context: ContextPlan) -> tuple[tuple[int, int, int, int, int], ...]:
    run = _run(node, context, context.fields["msg_count"])
    return tuple((m.dst_cluster, m.dst_kernel, m.by_owner, m.edge, m.beats) for m in run)


def _operator(node: NodePlan, context: ContextPlan, k_lanes: int) -> Operator:
    f = context.fields
    return Operator(
        name=context.name,
        encoder=context.encoder,
        prio=f["prio"],
        int8=f["mode"] != layout.LINEAR_PARTIAL,
        in_beats=f["in_beats"],
        groups=f["groups"],
        ksteps=f["in_beats"] * layout.BEAT_BYTES // k_lanes,
        units=f["out_units"],
        cuts=_cuts(node, context),
    )


def _heads(node: NodePlan, context: ContextPlan) -> Heads:
    run = _run(node, context, context.fields["beats"])
    cuts = tuple((m.dst_cluster, m.dst_kernel, m.edge) for m in run)
    return Heads(context.encoder, context.fields["bank"], context.fields["beats"], cuts)


def _norm(node: NodePlan, context: ContextPlan, residual: bool) -> Norm:
    f = context.fields
    copies = f["mode"] == layout.NORM_ENTRY
    return Norm(
        name=context.name,
        encoder=context.encoder,
        copies=copies,
        beats=f["beats"],
        arrivals=f["beats"] if copies else f["slices"] * f["parts"],
        residual=f["beats"] if residual else 0,
        cuts=_cuts(node, context),
    )


def _spans(spans: Spans, origin: int) -> tuple[Span, ...]:
    return tuple(Span(*key, begin - origin, end - origin) for key, (begin, end) in sorted(spans.spans.items(), key=lambda s: (s[1], s[0])))


def schedule(plan: Plan, tokens: int | Sequence[int], *, link_delay: int | None = None, in_flight: int = 1) -> Schedule:
    """Cycles of sequences of ``tokens`` rows, one after the other, ``in_flight`` of them at a time.

    ``link_delay`` in cycles, None: the plan's. InputError for a length the plan is not made for, or more in flight than there are slots.
    """
    lengths = [tokens] if isinstance(tokens, int) else list(tokens)
    problems = [f"{n} tokens: the plan is made for 1 to {plan.max_tokens}" for n in lengths if not 1 <= n <= plan.max_tokens]
    most = plan.slots * len(plan.clusters)
    if not lengths:
        problems.append("no sequence: give the tokens of at least one")
    if not 1 <= in_flight <= most:
        problems.append(f"{in_flight} sequences in flight: choose 1 to {most}, the slots of all clusters")
    if problems:
        raise InputError("\n".join(problems))
    if link_delay is not None:
        plan = with_link_delay(plan, link_delay)
    clock = Clock()
    network = Network(clock, plan.links, plan.transport.link_delay)
    nodes = [_Node(clock, network, plan, node) for node in plan.nodes]
    port = Port(
        clock,
        network,
        LinkEnd(plan.host.node, 0),
        table=plan.host.peers,
        quotas={other: _quota(plan, plan.host.node, other) for other in plan.host.peer},
        cluster=plan.cluster,
        ack_delay=plan.transport.ack_delay,
        latency=0,
        tx_cells=1 << 30,
        peers_n=0,
        rounds=False,
    )
    sequences = [Flight(number, n, -1) for number, n in enumerate(lengths)]
    host = Host(clock, plan, port, sequences, in_flight)
    host.begin()
    clock.run()
    stuck = [s.number for s in sequences if s.end < 0]
    assert not stuck, f"sequences {stuck} never ended: the plan's tables lead nowhere"
    origin = sequences[0].start
    times = tuple(SequenceTimes(s.tokens, s.start - origin, s.first_row - origin, s.end - origin) for s in sequences)
    cycles = max(t.last_row for t in times)
    units: list[tuple[int, str, Linear | Attention | AddNorm]] = []
    for node in nodes:
        units += [(node.index, "linear", node.linear), (node.index, "attention", node.attention), (node.index, "add_norm", node.add_norm)]
    kernels = tuple(KernelLoad(index, name, unit.spans.busy, unit.out_beats, _spans(unit.spans, origin)) for index, name, unit in units)
    ends = [(node.index, k, each) for node in nodes for k, each in enumerate(node.ports)] + [(plan.host.node, 0, port)]
    loads = tuple(PortLoad(index, k, each.frames, each.line.half_bytes / (depths.HALF_BYTES * cycles)) for index, k, each in ends)
    return Schedule(times, kernels, loads)
