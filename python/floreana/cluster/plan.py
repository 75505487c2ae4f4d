# SPDX-License-Identifier: Apache-2.0
"""The mapper: a project's description -> the plan, every context placed and every table of every node filled.

The plan is the only input of the generators (images, tops, simulation). No value of the model's parameters enters it.
Strategy ``tensor``: every node holds a slice of every operator. ``pipeline``: each operator on the nodes its description names.
Both are one mapping, a list of nodes for each operator; docs/mapping.md describes it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from rich.console import Console
from rich.table import Table

from floreana.cluster import layout
from floreana.cluster.description import MAX_REGISTER, Project, format_ip, format_mac
from floreana.cluster.entry import EntryPlan
from floreana.cluster.resources import DEVICE, LIMITS, Limits, multiplier_table, resource_table
from floreana.cluster.topology import (
    DEFAULT_ROUTING,
    ETH_PORT,
    ETH_PORTS,
    PORT_STEP,
    Hop,
    LinkEnd,
    Numbers,
    Router,
    Station,
    check_channels,
    make_links,
    neighbours,
    reach,
)
from floreana.errors import EnvironmentError_, InputError

# kernel numbers, unique in a cluster: k is the node's place in its cluster
MANAGER = 0
LINEAR_BASE, ATTENTION_BASE, ADD_NORM_BASE = 1, 65, 129
MANAGER_BASE = 193  # to 223: the managers of the first 31 nodes, seen from other nodes
MANAGERS_N = 31
GROUP_BASE = 224  # to 253
GATEWAY_KERNEL = 254
HOST_KERNEL = 255

EDGES_N = 256
MESSAGES_N = 256
LINEAR_CONTEXTS, ATTENTION_CONTEXTS, ADD_NORM_CONTEXTS = 64, 16, 32
TENSORS = ("entry", "q", "k", "v", "context", "out_part", "ln1", "ffn1", "ffn2_part", "ln2")
REGION_QKV, REGION_OUT, REGION_FFN1, REGION_FFN2 = range(4)
REGION_LN1, REGION_LN2, REGION_ENTRY = range(3)
HEAD_BEATS_MAX = 15  # 4 bits in ibert_attention's context
OPERATORS = ("qkv", "attention", "out", "ln1", "ffn1", "ffn2", "ln2")
# whose columns: of the tensors a receiver numbers from 0 its own operator's, of partial sums the sender's
RECEIVER = types.MappingProxyType({"q": "attention", "k": "attention", "v": "attention", "context": "out", "ffn1": "ffn2"})
SENDER = types.MappingProxyType({"out_part": "out", "ffn2_part": "ffn2"})
TX_CELLS, RX_CELLS = 128, 256  # of an Ethernet port, in messages
QUOTA_MAX = 64  # messages a peer may have on the way
RETRIES, ACK_DELAY = 24, 128
DIRECT_ROWS = 1  # rows of a sequence that the host sends straight to all who multiply them, see EntryPlan; 0: none
DEPTH_STEP = 64  # memory depths are rounded up to this, so that similar plans share one build of the RTL


@dataclass(frozen=True, slots=True)
class EdgePlan:
    """What an edge carries: a tensor of an encoder's trace."""

    encoder: int
    tensor: str


@dataclass(frozen=True, slots=True)
class GatewayPlan:
    """Registers of a gateway: rows come in on ``edge_in`` and leave for kernel ``kernel`` + owner on ``edge_out``, ``slices`` messages
    a row; ``up_cluster``, ``up_kernel`` is told when a sequence has left."""

    kernel: int
    edge_in: int
    edge_out: int
    slices: int
    up_cluster: int
    up_kernel: int


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """Nodes and encoders of a cluster, the owner of each row of a slot, how rows enter, the node with its gateway (-1: the host is it)."""

    number: int
    nodes: tuple[int, ...]
    encoders: tuple[int, ...]
    owners: tuple[int, ...]
    entry: EntryPlan
    gateway: int


@dataclass(frozen=True, slots=True)
class PeerEntry:
    """A neighbour that frames are exchanged with: addresses of its port, and the messages it may have on the way to us."""

    mac: int
    ip: int
    quota: int


@dataclass(frozen=True, slots=True)
class HostPlan:
    """The host is the node after the last. ``peers`` and ``peer`` are those of its one port, as in :class:`NodePlan`. All nodes of a star
    are its neighbours; of kernels in clusters after the first it knows the last one's gateway."""

    node: int
    mac: int
    ip: int
    peers: dict[int, int]
    peer: dict[int, PeerEntry]


@dataclass(frozen=True, slots=True)
class TransportPlan:
    """Registers of every Ethernet port, in cycles; ``given``: those that the description states, the others follow from ``link_delay``.

    ``quota`` is that of the port with most neighbours.
    """

    link_delay: int
    ack_delay: int
    rto: int
    retries: int
    keep: int
    nack_hold: int
    quota: int
    given: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PortPlan:
    """Addresses of one Ethernet port."""

    mac: int
    ip: int


@dataclass(frozen=True, slots=True)
class UpPlan:
    """Whom a node that was not loaded yet knows on its port 0: the neighbour towards the host."""

    node: int
    mac: int
    ip: int
    valid: int


@dataclass(frozen=True, slots=True)
class MessageEntry:
    """An entry of a MESSAGE table: where the next ``beats`` beats of a row go. ``offset`` in units of 4 bytes."""

    dst_cluster: int
    dst_kernel: int
    edge: int
    by_owner: int
    offset: int
    type: int
    beats: int


@dataclass(frozen=True, slots=True)
class EdgeEntry:
    """An entry of a kernel's EDGE table."""

    ctx: int
    role: int


@dataclass(frozen=True, slots=True)
class ContextPlan:
    """One operator in a kernel.

    ``fields`` are those of the kernel's context layout; the ones that come from the model's parameters (softmax
    constants, LayerNorm shift) are absent and filled in by the images.
    """

    kernel: str
    index: int
    name: str
    encoder: int
    fields: dict[str, int]


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One node: identity and every table but the parameters. ``mac`` and ``ip`` are those of Ethernet port 0.

    ``route``: destination kernel -> mask of switch ports; 256 + c stands for another cluster c. For each Ethernet port: ``peers``,
    destination -> mask of neighbours that are the next on the way, and ``peer``, its neighbours. Both speak of nodes by their place in
    ``nodes``; what numbers and indices they have on the wire and in the tables says :attr:`Plan.numbers`.
    ``columns`` has, for each operator on the node, its range [begin, end): of heads (qkv, attention), of the inputs it takes
    (out, ffn2) or of the FFN's channels it makes (ffn1).
    """

    index: int
    name: str
    cluster: int
    mac: int
    ip: int
    kernels: dict[str, int]
    columns: dict[str, tuple[int, int]]
    owners: tuple[int, ...]  # node that normalises a row, by row: OWNER
    contexts: tuple[ContextPlan, ...]
    edges: dict[str, dict[int, EdgeEntry]]
    messages: dict[str, tuple[MessageEntry, ...]]
    ports: tuple[PortPlan, ...]
    route: dict[int, int]
    peers: tuple[dict[int, int], ...]
    peer: tuple[dict[int, PeerEntry], ...]
    up: UpPlan
    gateway: tuple[GatewayPlan, ...]  # one, or none

    def context(self, name: str, encoder: int) -> ContextPlan:
        """The context of that operator: qkv, out, ffn1, ffn2, attention, entry, ln1 or ln2."""
        for context in self.contexts:
            if context.name == name and context.encoder == encoder:
                return context
        raise KeyError(f"node {self.index} has no context {name} of encoder {encoder}")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the generators need. ``owners`` and ``local_rows`` have one entry per row of a slot (2**ROW_W).

    ``cluster``, ``owners`` and ``entry`` are those of the first cluster, where the host hands rows in.

    ``links``: segments, see :func:`floreana.cluster.topology.make_links`.
    """

    project: str
    strategy: str
    topology: str
    routing: str
    links: tuple[tuple[LinkEnd, ...], ...]
    transport: TransportPlan
    hidden: int
    heads: int
    ffn: int
    encoders: int
    clusters: tuple[ClusterPlan, ...]
    nodes: tuple[NodePlan, ...]
    host: HostPlan
    shape: dict[str, int]
    local_rows: tuple[int, ...]
    edges: dict[int, EdgePlan]
    max_tokens: int
    slots: int

    @property
    def cluster(self) -> int:
        return self.clusters[0].number

    @property
    def owners(self) -> tuple[int, ...]:
        return self.clusters[0].owners

    @property
    def entry(self) -> EntryPlan:
        return self.clusters[0].entry

    @property
    def numbers(self) -> Numbers:
        """Node numbers on the wire, and indices of peers."""
        return Numbers(len(self.nodes), self.shape["PEERS_N"])

    def cluster_of(self, encoder: int) -> ClusterPlan:
        """The cluster an encoder is in."""
        return next(cluster for cluster in self.clusters if encoder in cluster.encoders)

    def holders(self, name: str, encoder: int = 0) -> tuple[int, ...]:
        """Nodes with the context of that name and encoder."""
        return tuple(node.index for node in self.nodes if any((c.name, c.encoder) == (name, encoder) for c in node.contexts))

    def owner(self, name: str, row: int, encoder: int = 0) -> int:
        """Node that normalises a row in ln1 or ln2."""
        nodes = self.holders(name, encoder)
        return self.nodes[nodes[0]].owners[row] if len(nodes) > 1 else nodes[0]

    def mac_bound(self, tokens: int) -> int:
        """Cycles the multiplier array of the busiest node needs at least for ``tokens`` rows through all encoders."""
        return tokens * max(sum(array_words(self, context) for context in node.contexts) for node in self.nodes)

    def to_json(self) -> str:
        """Deterministic text; :func:`plan_from_json` reads it back."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    def save(self, path: Path) -> None:
        """Write the plan as JSON, under a temporary name first."""
        write_text(path, self.to_json())


def make_transport(peers: Iterable[Mapping[int, PeerEntry]], link_delay: int, given: dict[str, int]) -> TransportPlan:
    """Registers for a delay of the links; ``peers`` are those of every port.

    Raises InputError where a ``given`` one does not go with it, or one does not fit.
    """
    quotas = [[entry.quota for entry in port.values()] for port in peers if port]
    window = max(sum(port) for port in quotas)
    least = 4 * (2 * link_delay + window)
    rto = given.get("rto", least)
    values = {
        "ack_delay": min(ACK_DELAY, rto // 2),
        "rto": rto,
        "retries": RETRIES,
        "keep": 8 * rto,
        "nack_hold": 2 * link_delay + 300,
    } | given
    problems = []
    if rto < least:
        why = f"4 x (2 x {link_delay} for the crossings + {window} for the messages of all peers) = {least:,} cycles"
        problems.append(f"transport.rto = {rto:,}: at least {why}; choose at least that, or remove it")
    if values["ack_delay"] > rto // 2:
        problems.append(f"transport.ack_delay = {values['ack_delay']:,}: at most half of rto, {rto // 2:,}; choose less, or remove it")
    if 0 < values["keep"] < rto:
        problems.append(f"transport.keep = {values['keep']:,}: 0 (never), or at least rto, {rto:,}; choose such a value, or remove it")
    for name, value in values.items():
        if value > MAX_REGISTER:
            limit = f"at most {MAX_REGISTER:,} (24 bits)"
            problems.append(f"transport.{name} = {value:,}: {limit}, with a link delay of {link_delay:,}; give {name}, or a shorter delay")
    if problems:
        raise InputError("\n".join(problems))
    return TransportPlan(link_delay=link_delay, quota=min(min(port) for port in quotas), given=tuple(sorted(given)), **values)


def quota(peers: int) -> int:
    """Messages each of ``peers`` neighbours of a port may have on the way: the largest power of two for which all find room."""
    return min(QUOTA_MAX, 1 << (RX_CELLS // peers).bit_length() - 1)


def with_link_delay(plan: Plan, link_delay: int) -> Plan:
    """The plan with registers for another delay of the links, in cycles; those the description states stay. Raises InputError."""
    given = {name: getattr(plan.transport, name) for name in plan.transport.given}
    peers = [*(port for node in plan.nodes for port in node.peer), plan.host.peer]
    return dataclasses.replace(plan, transport=make_transport(peers, link_delay, given))


def stations(plan: Plan) -> list[Station]:
    """Tables of the nodes, then the host, whose own kernel stands at port 0.

    Ways to other clusters are left out: they lead over one Ethernet switch straight to a gateway, which always sinks.
    """

    def own(table: dict[int, int]) -> dict[int, int]:
        return {number: mask for number, mask in table.items() if number < layout.CLUSTERS_BASE}

    peers = own(plan.host.peers)
    host = Station(dict.fromkeys(peers, 1 << layout.PORT_ETH) | {HOST_KERNEL: 1}, (peers,))
    return [*(Station(own(node.route), tuple(own(each) for each in node.peers)) for node in plan.nodes), host]


def array_words(plan: Plan, context: ContextPlan) -> int:
    """Array words (cycles of the multiplier array) a row of a linear context takes; 0 for other kernels."""
    if context.kernel != "linear":
        return 0
    return context.fields["groups"] * context.fields["in_beats"] * layout.BEAT_BYTES // plan.shape["K_LANES"]


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink()
            raise
    except OSError as error:
        raise EnvironmentError_(f"{path}: cannot be written: {error.strerror}; free or choose another place") from None


def _from_json(kind: Any, data: Any) -> Any:
    origin = get_origin(kind)
    if origin is tuple:
        if not isinstance(data, list):
            raise ValueError(f"a list is needed, not {type(data).__name__}")
        return tuple(_from_json(get_args(kind)[0], item) for item in data)
    if origin is dict:
        key_kind, value_kind = get_args(kind)
        return {key_kind(key): _from_json(value_kind, value) for key, value in dict(data).items()}
    if dataclasses.is_dataclass(kind):
        assert isinstance(kind, type)
        hints = get_type_hints(kind)
        if set(data) != set(hints):
            raise ValueError(f"{kind.__name__}: keys {sorted(set(data) ^ set(hints))}")
        return kind(**{name: _from_json(hint, data[name]) for name, hint in hints.items()})
    if type(data) is not kind:
        raise ValueError(f"{data!r} is not of type {kind.__name__}")
    return data


def plan_from_json(text: str) -> Plan:
    """Inverse of :meth:`Plan.to_json`. Raises ValueError."""
    plan = _from_json(Plan, json.loads(text))
    assert isinstance(plan, Plan)
    return plan


def load_plan(path: Path) -> Plan:
    """Read a plan. Raises InputError where the file is missing or is no plan."""
    try:
        return plan_from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; make the plan first: floreana plan") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a plan: {error}; make it again: floreana plan") from None


class Allocator:
    """Places ranges in one memory or table, in order of request, and remembers who asked for more than there is."""

    def __init__(self, what: str, limit: int, reason: str, remedy: str) -> None:
        self.what, self.limit, self.reason, self.remedy = what, limit, reason, remedy
        self.used = 0
        self.shares: dict[str, int] = {}

    def take(self, count: int, owner: str) -> int:
        """Base of a new range of ``count`` entries for ``owner`` (a kind of operator, for the message)."""
        base = self.used
        self.used += count
        self.shares[owner] = self.shares.get(owner, 0) + count
        return base

    def depth(self, step: int = DEPTH_STEP) -> int:
        """Entries in use, rounded up to ``step``; at least one step."""
        return max(-(-self.used // step), 1) * step

    def problems(self) -> list[str]:
        """Empty, or the one message that says what does not fit."""
        if self.used <= self.limit:
            return []
        terms = " + ".join(f"{count:,} {owner}" for owner, count in self.shares.items())
        return [f"{self.what}: {terms} = {self.used:,} needed, {self.limit:,} exist ({self.reason}); {self.remedy}"]


class _MessageTable:
    """MESSAGE entries of one kernel; a run of entries that is there already is used again."""

    def __init__(self, what: str) -> None:
        self.entries: list[MessageEntry] = []
        self.allocator = Allocator(f"{what} MESSAGE entries", MESSAGES_N, "8-bit msg_base", "fewer encoders, or shorter rows")

    def place(self, run: Sequence[MessageEntry], owner: str) -> int:
        for base in range(len(self.entries) - len(run) + 1):
            if self.entries[base : base + len(run)] == list(run):
                return base
        self.entries += run
        return self.allocator.take(len(run), owner)


def _row_messages(
    cluster: int, kernel: int, edge: int, row_bytes: int, kind: int, *, by_owner: bool = False, cut: int = layout.MESSAGE_BYTES
) -> list[MessageEntry]:
    """The messages of one row (or of one slice that the receiver numbers from 0): a cut every ``cut`` bytes."""
    return [
        MessageEntry(
            cluster,
            kernel,
            edge,
            int(by_owner),
            start // 4,
            kind,
            min(cut, row_bytes - start) // layout.BEAT_BYTES,
        )
        for start in range(0, row_bytes, cut)
    ]


class _Edges:
    """Edge numbers of the plan, the same at every receiver."""

    def __init__(self) -> None:
        self.plan: dict[int, EdgePlan] = {}
        self.allocator = Allocator("edges", EDGES_N, "8-bit edge", "fewer encoders")

    def new(self, encoder: int, tensor: str) -> int:
        assert tensor in TENSORS
        number = self.allocator.take(1, tensor)
        self.plan[number] = EdgePlan(encoder, tensor)
        return number


def _shares(size: int, nodes: tuple[int, ...]) -> dict[int, tuple[int, int]]:
    """Columns [begin, end) of ``size`` for each of ``nodes``: even shares, in order."""
    share = size // len(nodes)
    return {node: (i * share, (i + 1) * share) for i, node in enumerate(nodes)}


def index_bits(count: int) -> int:
    """Index bits of ``count`` entries, at least 1."""
    return max((count - 1).bit_length(), 1)


@dataclass(frozen=True, slots=True)
class _Team:
    """Nodes of a cluster that compute some encoders by themselves: every operator on its list of nodes, ``place``."""

    members: tuple[int, ...]
    encoders: range
    place: dict[str, tuple[int, ...]]
    columns: dict[str, dict[int, tuple[int, int]]]  # of an operator, by node

    @property
    def apart(self) -> bool:
        """True where a row made by one LayerNorm is sent to the other as its residual."""
        return self.place["ln1"] != self.place["ln2"]


class _Mapper:
    """Maps one cluster: its teams, one after the other. ``edges`` and ``problems`` are those of the whole plan."""

    def __init__(self, project: Project, number: int, edges: _Edges, problems: list[str], arrives: int | None) -> None:
        """``arrives``: the edge on which rows come to the gateway; None: the host hands them in."""
        model, build = project.model, project.build
        self.project, self.build, self.number = project, build, number
        self.hidden, self.heads, self.ffn = model.hidden, model.heads, model.ffn
        share = model.encoders // project.clusters
        self.encoders = range(number * share, (number + 1) * share)
        self.members = project.members(number)
        self.first = self.members[0]
        self.parts = project.nodes
        sizes = {"qkv": self.hidden, "attention": self.hidden, "out": self.hidden, "ffn1": self.ffn, "ffn2": self.ffn}
        teams = project.teams(number)
        share //= len(teams)
        self.teams: list[_Team] = []
        for k, members in enumerate(teams):
            place = {name: project.place(name, members) for name in OPERATORS}
            columns = {name: _shares(size, place[name]) for name, size in sizes.items()}
            first = self.encoders[k * share]
            self.teams.append(_Team(members, range(first, first + share), place, columns))
        self.beats = self.hidden // layout.BEAT_BYTES
        self.row_w = index_bits(build.max_tokens)
        self.slot_w = build.slots.bit_length() - 1
        self.local_row_w = index_bits(-(-(1 << self.row_w) // len(self.teams[0].place["ln1"])))
        self.row_indices = 1 << (self.row_w + self.slot_w)
        self.local_indices = 1 << (self.local_row_w + self.slot_w)
        cluster = project.cluster
        self.routing = cluster.routing or DEFAULT_ROUTING[cluster.topology]
        self.router = Router(cluster.topology, self.routing, self.parts)
        self.links = make_links(cluster.topology, self.parts)
        self.eth_n = build.eth_ports or ETH_PORTS[cluster.topology]
        self.problems = problems
        self.shapes: list[dict[str, int]] = []
        self.edges, self.arrives = edges, arrives
        first, last = self.encoders[0], self.encoders[-1]
        self.host_entry = edges.new(first, "entry")
        self.entry_edge = {first: edges.new(first, "entry")}
        self.handed = {first: self.host_entry}  # first encoder of a team: the edge on which rows come to its ENTRY
        self.edge: dict[int, dict[str, int]] = {}
        for encoder in self.encoders:
            names = ("q", "k", "v", "context", "out_part", "ln1", "ffn1", "ffn2_part")
            self.edge[encoder] = {name: edges.new(encoder, name) for name in names}
            if any(team.encoders[0] == encoder + 1 for team in self.teams):
                self.handed[encoder + 1] = edges.new(encoder + 1, "entry")
            if encoder < last:
                self.entry_edge[encoder + 1] = edges.new(encoder + 1, "entry")
            else:
                self.output_edge = edges.new(encoder, "ln2")
        self.direct = self._direct_rows()
        self.direct_edge = edges.new(first, "entry") if self.direct else -1
        # groups: who receives a whole row
        self.groups: dict[frozenset[tuple[int, int]], int] = {}
        for team in self.teams:
            for linear, residual in (("qkv", None), ("ffn1", "ln2"), ("qkv", "ln1")):
                self._group(team, linear, residual)
        numbers = GATEWAY_KERNEL - GROUP_BASE
        if len(self.groups) > numbers:
            limit = f"{len(self.groups)} for the rows of {len(self.teams)} groups of nodes, {numbers} exist"
            problems.append(f"kernel numbers of receivers: {limit} ({GROUP_BASE} to {GATEWAY_KERNEL - 1}); a smaller mapping.groups")

    def _direct_rows(self) -> int:
        """Rows that the host sends direct: none where a gateway hands rows in, or a row has one taker, or ENTRY has none beside it.

        In a line or a ring neither: the way from the host to a node is the way over node 0, which owns the first row.
        """
        team = self.teams[0]
        takers = team.place["qkv"]
        beside = not team.apart and set(team.place["ln1"]) <= set(takers)
        use = not self.number and self.router.topology == "star" and len(takers) > 1 and beside
        return min(DIRECT_ROWS, self.build.max_tokens) if use else 0

    def _entry(self) -> EntryPlan:
        if not self.direct:
            return EntryPlan(ADD_NORM_BASE, self.host_entry)
        row_edge, takers = self.entry_edge[self.encoders[0]], self.teams[0].place["qkv"]
        return EntryPlan(ADD_NORM_BASE, self.host_entry, self.direct, self.direct_edge, row_edge, LINEAR_BASE, takers)

    def _group(self, team: _Team, linear: str, residual: str | None = None) -> int:
        """Number of the group of an operator's `linear` kernels, with `add_norm` where the residual is kept elsewhere."""
        members = {(node, layout.PORT_LINEAR) for node in team.place[linear]}
        if residual and team.apart:
            members |= {(node, layout.PORT_ADD_NORM) for node in team.place[residual]}
        return self.groups.setdefault(frozenset(members), GROUP_BASE + len(self.groups))

    def _slices(
        self, team: _Team, base: int, edge: int, columns: tuple[int, int], operator: str, cut: int = layout.MESSAGE_BYTES
    ) -> list[MessageEntry]:
        """Messages of the int8 ``columns`` of a row to the nodes of ``operator``, which number their columns from 0."""
        run: list[MessageEntry] = []
        for node, (begin, end) in team.columns[operator].items():
            low, high = max(begin, columns[0]), min(end, columns[1])
            for start in range(low, high, cut):
                beats = min(cut, high - start) // layout.BEAT_BYTES
                run.append(MessageEntry(self.number, self._kernel(base, node), edge, 0, (start - begin) // 4, layout.TYPE_INT8, beats))
        return run

    def _parts(self, team: _Team, edge: int, operator: str) -> list[MessageEntry]:
        """Messages of a row of partial sums to whoever normalises it."""
        by_owner = team.place[operator] == team.place["ln1"]
        kernel = ADD_NORM_BASE if by_owner else self._kernel(ADD_NORM_BASE, team.place[operator][0])
        return _row_messages(self.number, kernel, edge, 4 * self.hidden, layout.TYPE_INT32, by_owner=by_owner)

    @property
    def ends(self) -> bool:
        """True of the last cluster, whose results go to the host."""
        return self.number + 1 == self.project.clusters

    def _owners(self, team: _Team) -> tuple[int, ...]:
        """Node that owns a row, by row."""
        nodes = team.place["ln1"]
        return tuple(nodes[t % len(nodes)] for t in range(1 << self.row_w))

    def cluster(self) -> ClusterPlan:
        return ClusterPlan(
            number=self.number,
            nodes=self.members,
            encoders=tuple(self.encoders),
            owners=self._owners(self.teams[0]),
            entry=self._entry(),
            gateway=self.members[0] if self.number else -1,
        )

    def nodes(self) -> tuple[NodePlan, ...]:
        return tuple(self._node(k) for k in self.members)

    def _node(self, k: int) -> NodePlan:
        cluster = self.project.cluster
        team = next(team for team in self.teams if k in team.members)
        bases = {"linear": LINEAR_BASE, "attention": ATTENTION_BASE, "add_norm": ADD_NORM_BASE}
        kernels = {name: self._kernel(base, k) for name, base in bases.items()}
        contexts: list[ContextPlan] = []
        edges: dict[str, dict[int, EdgeEntry]] = {}
        messages: dict[str, tuple[MessageEntry, ...]] = {}
        shape: dict[str, int] = {}
        for kernel, place in (
            ("linear", self._linear),
            ("attention", self._attention),
            ("add_norm", self._add_norm),
        ):
            table = _MessageTable(kernel)
            own, own_edges = place(k, team, table, shape)
            contexts += own
            edges[kernel] = own_edges
            messages[kernel] = tuple(table.entries)
            self.problems += table.allocator.problems()
        self.shapes.append(shape)
        self._check_fields(contexts)
        route, peers = self._route(k)
        return NodePlan(
            index=k,
            name=cluster.nodes[k],
            cluster=self.number,
            mac=self._address(LinkEnd(k, 0)).mac,
            ip=self._address(LinkEnd(k, 0)).ip,
            kernels=kernels,
            columns={name: shares[k] for name, shares in team.columns.items() if k in shares},
            owners=self._owners(team),
            contexts=tuple(contexts),
            edges=edges,
            messages=messages,
            ports=tuple(self._address(LinkEnd(k, port)) for port in range(self.eth_n)),
            route=route,
            peers=tuple(peers),
            peer=tuple(self._neighbours(LinkEnd(k, port)) for port in range(self.eth_n)),
            up=self._up(k),
            gateway=(self._gateway(),) if self.number and k == self.members[0] else (),
        )

    def _gateway(self) -> GatewayPlan:
        assert self.arrives is not None
        slices = -(-self.hidden // layout.MESSAGE_BYTES)
        up_kernel = HOST_KERNEL if self.number == 1 else GATEWAY_KERNEL
        return GatewayPlan(ADD_NORM_BASE, self.arrives, self.host_entry, slices, self.number - 1, up_kernel)

    def _linear(self, k: int, team: _Team, table: _MessageTable, shape: dict[str, int]) -> tuple[list[ContextPlan], dict[int, EdgeEntry]]:
        build = self.build
        wider = "more nodes, or fewer encoders"
        weight = Allocator("linear weight words", 1 << 16, "16-bit w_base", f"{wider}, or a wider array (k_lanes, out_n)")
        bias = Allocator("linear bias words", 1 << 14, "14-bit bias_base", f"{wider}, or a larger out_n")
        post = Allocator("linear requant words", 1 << 16, "16-bit post_base", f"{wider}, or more post_lanes")
        store = Allocator("linear row store beats", 1 << 16, "16-bit in_base", "more nodes, fewer max_tokens, or one slot")
        count = Allocator("linear contexts", LINEAR_CONTEXTS, "4 an encoder", "at most 16 encoders")
        priorities = self.project.mapping.priorities
        share = {name: shares[k] for name, shares in team.columns.items() if k in shares}
        width = {name: end - begin for name, (begin, end) in share.items()}
        sizes = {  # inputs and outputs of this node's part, in bytes and channels
            name: size
            for name, size in {
                "qkv": (self.hidden, 3 * width.get("qkv", 0), REGION_QKV, layout.LINEAR_REQUANT, priorities.qkv),
                "out": (width.get("out", 0), self.hidden, REGION_OUT, layout.LINEAR_PARTIAL, priorities.out),
                "ffn1": (self.hidden, width.get("ffn1", 0), REGION_FFN1, layout.LINEAR_GELU, priorities.ffn1),
                "ffn2": (width.get("ffn2", 0), self.hidden, REGION_FFN2, layout.LINEAR_PARTIAL, priorities.ffn2),
            }.items()
            if name in share
        }
        in_base = {name: store.take(self.row_indices * (inputs // layout.BEAT_BYTES), name) for name, (inputs, *_) in sizes.items()}
        contexts: list[ContextPlan] = []
        edges: dict[int, EdgeEntry] = {}
        for encoder in team.encoders:
            edge = self.edge[encoder]
            runs: dict[str, list[MessageEntry]] = {
                "out": self._parts(team, edge["out_part"], "ln1"),
                "ffn2": self._parts(team, edge["ffn2_part"], "ln2"),
            }
            if "qkv" in share:
                runs["qkv"] = [
                    message
                    for part in ("q", "k", "v")
                    for message in self._slices(team, ATTENTION_BASE, edge[part], share["qkv"], "attention")
                ]
            if "ffn1" in share:
                runs["ffn1"] = self._slices(team, LINEAR_BASE, edge["ffn1"], share["ffn1"], "ffn2")
            incoming = {
                "qkv": self.entry_edge[encoder],
                "out": edge["context"],
                "ffn1": edge["ln1"],
                "ffn2": edge["ffn1"],
            }
            for name, (inputs, outputs, region, mode, priority) in sizes.items():
                in_beats = inputs // layout.BEAT_BYTES
                groups = -(-outputs // build.out_n)
                steps = inputs // build.k_lanes
                post_words = 0 if mode == layout.LINEAR_PARTIAL else -(-groups * build.out_n // build.post_lanes)
                index = count.take(1, name)
                edges[incoming[name]] = EdgeEntry(index, layout.ROLE_DATA)
                fields = {
                    "in_base": in_base[name],
                    "in_beats": in_beats,
                    "region": region,
                    "prio": priority,
                    "mode": mode,
                    "groups": groups,
                    "out_units": outputs // 16,
                    "w_base": weight.take(groups * steps, name),
                    "bias_base": bias.take(groups, name),
                    "post_base": post.take(post_words, name) if post_words else 0,
                    "msg_base": table.place(runs[name], name),
                    "msg_count": len(runs[name]),
                }
                contexts.append(ContextPlan("linear", index, name, encoder, fields))
        for allocator in (weight, bias, post, store, count):
            self.problems += allocator.problems()
        shape |= {
            "K_LANES": build.k_lanes,
            "OUT_N": build.out_n,
            "POST_LANES": build.post_lanes,
            "W_WORDS": weight.depth(),
            "BIAS_WORDS": bias.depth(),
            "POST_WORDS": post.depth(),
            "STORE_BEATS": store.depth(),
            "ROW_W": self.row_w,
            "SLOT_W": self.slot_w,
        }
        return contexts, edges

    def _attention(
        self, k: int, team: _Team, table: _MessageTable, shape: dict[str, int]
    ) -> tuple[list[ContextPlan], dict[int, EdgeEntry]]:
        requant = Allocator("attention requant words", 1 << 12, "12-bit req_base", "more nodes, or fewer encoders")
        count = Allocator("attention contexts", ATTENTION_CONTEXTS, "1 an encoder", "at most 16 encoders")
        contexts: list[ContextPlan] = []
        edges: dict[int, EdgeEntry] = {}
        columns = team.columns["attention"].get(k, (0, 0))
        beats = (columns[1] - columns[0]) // layout.BEAT_BYTES
        for encoder in team.encoders if beats else ():
            edge = self.edge[encoder]
            run = self._slices(team, LINEAR_BASE, edge["context"], columns, "out", cut=layout.BEAT_BYTES)
            index = count.take(1, "attention")
            for name, role in (("q", layout.ROLE_Q), ("k", layout.ROLE_K), ("v", layout.ROLE_V)):
                edges[edge[name]] = EdgeEntry(index, role)
            fields = {
                "bank": encoder % 2,
                "beats": beats,
                "req_base": requant.take(beats, "context"),
                "msg_base": table.place(run, "context"),
            }
            contexts.append(ContextPlan("attention", index, "attention", encoder, fields))
        for allocator in (requant, count):
            self.problems += allocator.problems()
        if beats > HEAD_BEATS_MAX:
            self.problems.append(
                f"attention head beats: {self.heads // len(team.place['attention'])} heads x {self.hidden // self.heads} channels ="
                f" {beats} beats of 64 bytes a row, {HEAD_BEATS_MAX} exist (HEAD_BEATS); more nodes"
            )
        shape |= {
            "HEAD_DIM": self.hidden // self.heads,
            "HEAD_BEATS": 1 << max(beats - 1, 0).bit_length(),
            "REQ_WORDS": 1 << index_bits(requant.used),
        }
        return contexts, edges

    def _add_norm(self, k: int, team: _Team, table: _MessageTable, shape: dict[str, int]) -> tuple[list[ContextPlan], dict[int, EdgeEntry]]:
        lanes = self.build.norm_lanes
        fewer = "more nodes, fewer max_tokens, or one slot"
        acc = Allocator("add_norm accumulator beats", 1 << 16, "16-bit acc_base", fewer)
        residual = Allocator("add_norm residual words", 1 << 14, "14-bit res_base", fewer)
        channel = Allocator("add_norm channel words", 1 << 14, "14-bit chan_base", "more norm_lanes, or fewer encoders")
        count = Allocator("add_norm contexts", ADD_NORM_CONTEXTS, "1 or 2, and 2 an encoder", "at most 15 encoders")
        int32_bytes = 4 * self.hidden
        here = [name for name in ("ln1", "ln2") if k in team.place[name]]
        first = team.encoders[0]
        acc_base = {name: acc.take(self.local_indices * int32_bytes // layout.BEAT_BYTES, name) for name in here}
        res_base = {name: residual.take(self.local_indices * self.beats, name) for name in here}
        contexts: list[ContextPlan] = []
        edges: dict[int, EdgeEntry] = {}

        def add(name: str, encoder: int, incoming: tuple[int, int], run: list[MessageEntry], fields: dict[str, int]) -> None:
            index = count.take(1, name)
            edge, role = incoming
            edges[edge] = EdgeEntry(index, role)
            fields |= {"beats": self.beats, "msg_base": table.place(run, name), "msg_count": len(run)}
            contexts.append(ContextPlan("add_norm", index, name, encoder, fields))

        def whole(kernel: int, edge: int) -> list[MessageEntry]:
            return _row_messages(self.number, kernel, edge, self.hidden, layout.TYPE_INT8)

        entries = [("entry", self.handed[first], self._group(team, "qkv"))]
        if self.direct and team is self.teams[0]:  # a row uses one of the two: they share the residuals and the region
            entries.append(("direct", self.direct_edge, self._kernel(LINEAR_BASE, k)))
        for name, edge, kernel in entries if "ln1" in here else ():
            add(
                name,
                first,
                (edge, layout.ROLE_DATA),
                whole(kernel, self.entry_edge[first]),
                {
                    "mode": layout.NORM_ENTRY,
                    "parts": 1,
                    "slices": -(-self.hidden // layout.MESSAGE_BYTES),
                    "region": REGION_ENTRY,
                    "acc_base": 0,
                    "res_base": res_base["ln1"],
                    "keep": 0,
                    "keep_base": 0,
                    "chan_base": 0,
                    "h": self.hidden,
                    "shift": 0,
                },
            )
        for encoder in team.encoders:
            last = encoder == team.encoders[-1]
            for name, other, part, operator, region in (
                ("ln1", "ln2", "out_part", "out", REGION_LN1),
                ("ln2", "ln1", "ffn2_part", "ffn2", REGION_LN2),
            ):
                if name not in here:
                    continue
                source = self.edge[encoder]["ln1"] if name == "ln2" else self.entry_edge[encoder]  # of the residual
                if name == "ln1":
                    run = whole(self._group(team, "ffn1", "ln2"), self.edge[encoder]["ln1"])
                elif not last:
                    run = whole(self._group(team, "qkv", "ln1"), self.entry_edge[encoder + 1])
                elif encoder + 1 in self.handed:  # the row's owner in the next team, which has as many nodes
                    base = ADD_NORM_BASE + len(team.members)
                    run = _row_messages(self.number, base, self.handed[encoder + 1], self.hidden, layout.TYPE_INT8, by_owner=True)
                elif self.ends:
                    run = whole(HOST_KERNEL, self.output_edge)
                else:
                    run = _row_messages(self.number + 1, GATEWAY_KERNEL, self.output_edge, self.hidden, layout.TYPE_INT8)
                keep = int(not team.apart and (name == "ln1" or not last))
                fields = {
                    "mode": layout.NORM_NORM,
                    "parts": len(team.place[operator]),
                    "slices": -(-int32_bytes // layout.MESSAGE_BYTES),
                    "region": region,
                    "acc_base": acc_base[name],
                    "res_base": res_base[name],
                    "keep": keep,
                    "keep_base": res_base[other] if keep else 0,
                    "chan_base": channel.take(self.hidden // lanes, name),
                    "h": self.hidden,
                }
                add(name, encoder, (self.edge[encoder][part], layout.ROLE_PART), run, fields)
                if team.apart and (name == "ln2" or encoder > first):  # the first residual came through the own ENTRY
                    edges[source] = EdgeEntry(contexts[-1].index, layout.ROLE_RESIDUAL)
        for allocator in (acc, residual, channel, count):
            self.problems += allocator.problems()
        shape |= {
            "NORM_LANES": lanes,
            "LROW_W": self.local_row_w,
            "ACC_BEATS": acc.depth(),
            "RES_WORDS": residual.depth(),
            "CHAN_WORDS": channel.depth(),
            "ROW_BEATS": self.beats,
        }
        return contexts, edges

    def _kernel_nodes(self) -> Iterable[tuple[int, int, int]]:
        """(kernel number, node, port on that node) of every kernel that messages are addressed to."""
        for base, port in (
            (LINEAR_BASE, layout.PORT_LINEAR),
            (ATTENTION_BASE, layout.PORT_ATTENTION),
            (ADD_NORM_BASE, layout.PORT_ADD_NORM),
        ):
            for node in self.members:
                yield self._kernel(base, node), node, port

    def _kernel(self, base: int, node: int) -> int:
        """Number of a node's kernel in its cluster."""
        return base + node - self.first

    def _address(self, end: LinkEnd) -> PortPlan:
        return PortPlan(*self.project.cluster.address(end.node, end.port, PORT_STEP))

    def _partners(self, k: int) -> set[int]:
        """Whom node k exchanges messages with: its cluster, the host, the next gateway; a gateway with all of the cluster before, too."""
        project, number = self.project, self.number
        after = project.members(number + 1)[:1] if number + 1 < project.clusters else ()
        before = project.members(number - 1) if number and k == self.first else ()
        return {*self.members, self.parts, *after, *before}

    def _neighbours(self, end: LinkEnd) -> dict[int, PeerEntry]:
        """Peers of a node's port."""
        partners = self._partners(end.node)
        others = {other.node: self._address(other) for other in neighbours(self.links, end) if other.node in partners}
        return {node: PeerEntry(address.mac, address.ip, quota(len(others))) for node, address in others.items()}

    def _up(self, k: int) -> UpPlan:
        """In a star the host, else the neighbour of port 0; in a ring too, where the way along the line never leads over port 1."""
        hop = Hop(0, self.parts) if self.router.topology == "star" or k == 0 else Hop(0, k - 1)
        (end,) = (other for other in neighbours(self.links, LinkEnd(k, 0)) if other.node == hop.node)
        address = self._address(end)
        return UpPlan(hop.node, address.mac, address.ip, 1)

    def _managers(self) -> Iterable[tuple[int, int]]:
        """(kernel number, node) of the managers as other nodes see them."""
        return ((self._kernel(MANAGER_BASE, node), node) for node in self.members[:MANAGERS_N])

    def _route(self, k: int) -> tuple[dict[int, int], list[dict[int, int]]]:
        """ROUTE of a node, and PEERS of each of its Ethernet ports."""
        route = {MANAGER: 1 << layout.PORT_MANAGER}
        peers: list[dict[int, int]] = [{} for _ in range(self.eth_n)]

        def add(number: int, own: int, hops: Iterable[Hop]) -> None:
            route[number] = own
            for hop in hops:
                route[number] |= 1 << ETH_PORT[hop.port]
                peers[hop.port][number] = peers[hop.port].get(number, 0) | 1 << hop.node

        for number, node, port in self._kernel_nodes():
            add(number, 1 << port if node == k else 0, () if node == k else (self.router.unicast(k, node),))
        for number, node in self._managers():
            add(number, 1 << layout.PORT_MANAGER if node == k else 0, () if node == k else (self.router.manager(k, node),))
        for members, number in self.groups.items():
            own = sum(1 << port for node, port in members if node == k)
            add(number, own, self.router.multicast(k, (node for node, _ in members)))
        add(HOST_KERNEL, 0, (self.router.unicast(k, self.parts),))
        abroad = [self.number + 1]  # gets the rows
        if self.number and k == self.first:
            route[GATEWAY_KERNEL] = 1 << layout.PORT_ETH + self.eth_n
            abroad.append(self.number - 1)  # is told when a sequence has left
        for number in abroad:
            if number < self.project.clusters:
                to = self.project.members(number)[0] if number else self.parts  # the first cluster's gateway is the host
                add(layout.CLUSTERS_BASE + number, 0, (self.router.unicast(k, to),))
        return dict(sorted(route.items())), [dict(sorted(each.items())) for each in peers]

    def host(self, nodes: Sequence[NodePlan]) -> HostPlan:
        """Of the first cluster; ``nodes`` of all. The host gives everybody the quota of the node's port with most neighbours."""
        host, project = self.parts, self.project
        peers = {number: 1 << self.router.unicast(host, node).node for number, node, _ in self._kernel_nodes()}
        peers |= {number: 1 << self.router.manager(host, node).node for number, node in self._managers()}
        if project.clusters > 1:
            last = project.clusters - 1
            peers[layout.CLUSTERS_BASE + last] = 1 << self.router.unicast(host, project.members(last)[0]).node
        end = LinkEnd(host, 0)
        address = self._address(end)
        least = min(entry.quota for node in nodes for port in node.peer for entry in port.values())
        others = {other.node: self._address(other) for other in neighbours(self.links, end)}
        peer = {node: PeerEntry(other.mac, other.ip, least) for node, other in others.items()}
        return HostPlan(host, address.mac, address.ip, dict(sorted(peers.items())), peer)

    def _check_fields(self, contexts: list[ContextPlan]) -> None:
        remedies = {
            "beats": "more nodes, or a smaller hidden size",
            "in_beats": "more nodes, or a smaller model",
            "groups": "more nodes, or a larger out_n",
            "msg_count": "more nodes, or a smaller model",
        }
        for context in contexts:
            if context.encoder > min(other.encoder for other in contexts):
                continue  # sizes are the same in every encoder, and bases have allocators
            for name, width in CONTEXT_LAYOUTS[context.kernel]:
                value = context.fields.get(name, 0)
                if value >= 1 << width and not name.endswith("_base"):
                    self.problems.append(
                        f"{context.kernel} context {context.name}: {name} = {value:,} needed, at most"
                        f" {(1 << width) - 1:,} ({width} bits); {remedies.get(name, 'a smaller model')}"
                    )


CONTEXT_LAYOUTS = types.MappingProxyType(
    {
        "linear": layout.LINEAR_CONTEXT,
        "attention": layout.ATTENTION_CONTEXT,
        "add_norm": layout.ADD_NORM_CONTEXT,
    }
)


def make_plan(project: Project) -> Plan:
    """Map a project. Raises InputError listing everything that does not fit, each with its arithmetic."""
    edges = _Edges()
    problems: list[str] = []
    mappers: list[_Mapper] = []
    for number in range(project.clusters):
        mappers.append(_Mapper(project, number, edges, problems, mappers[-1].output_edge if mappers else None))
    first = mappers[0]
    problems += edges.allocator.problems()
    section = project.transport
    names = ("ack_delay", "rto", "retries", "keep", "nack_hold")
    given = {name: getattr(section, name) for name in names if getattr(section, name) is not None}
    nodes = tuple(node for mapper in mappers for node in mapper.nodes())
    host = first.host(nodes)
    try:
        transport = make_transport([*(port for node in nodes for port in node.peer), host.peer], section.link_delay, given)
    except InputError as error:
        problems += error.message.splitlines()
    if problems:
        head = f"project {project.name} on {project.nodes} nodes does not fit:"
        raise InputError("\n".join([head, *(f"  {problem}" for problem in dict.fromkeys(problems))]))
    shapes = [shape for mapper in mappers for shape in mapper.shapes]
    shape = {name: max(each[name] for each in shapes) for name in shapes[0]}
    stations_n = reach(project.nodes // project.clusters, project.clusters)
    peers_n = 1 << (stations_n - 1).bit_length()
    shape |= {"ETH_N": first.eth_n, "PEERS_N": peers_n, "TX_CELLS": TX_CELLS, "RX_CELLS": RX_CELLS}
    if project.clusters > 1:
        shape["GATEWAY"] = 1
    plan = Plan(
        project=project.name,
        strategy=project.mapping.strategy,
        topology=project.cluster.topology,
        routing=first.routing,
        links=first.links,
        transport=transport,
        hidden=first.hidden,
        heads=first.heads,
        ffn=first.ffn,
        encoders=project.model.encoders,
        clusters=tuple(mapper.cluster() for mapper in mappers),
        nodes=nodes,
        host=host,
        shape=shape,
        local_rows=tuple(t // len(first.teams[0].place["ln1"]) for t in range(1 << first.row_w)),
        edges=edges.plan,
        max_tokens=project.build.max_tokens,
        slots=project.build.slots,
    )
    remedy = f"choose cluster.routing: {DEFAULT_ROUTING[plan.topology]}, or leave it out"
    check_channels(stations(plan), plan.links, [*(node.name for node in nodes), "the host"], remedy)
    return plan


def _cables(plan: Plan) -> Table:
    """Every segment and what is plugged into it."""
    table = Table(title=f"cabling: {plan.topology}, routing {plan.routing}", title_justify="left")
    for column in ("segment", "ports (node.port)", "quota of a neighbour"):
        table.add_column(column)
    for segment in plan.links:
        ends = ["host" if end.node == plan.host.node else f"{end.node}.{end.port}" for end in segment]
        kind = "cable" if len(segment) == 2 else f"Ethernet switch, {len(segment)} ports"
        table.add_row(kind, ", ".join(ends), str(quota(len(segment) - 1)))
    return table


def _ranges(numbers: Iterable[int]) -> str:
    """``0-2, 5``."""
    text: list[str] = []
    ordered = sorted(set(numbers))
    for begin in (each for each in ordered if each - 1 not in ordered):
        end = next(last for last in range(begin, ordered[-1] + 1) if last + 1 not in ordered)
        text.append(str(begin) if begin == end else f"{begin}-{end}")
    return ", ".join(text)


def _ways(plan: Plan) -> Table:
    """What leaves by which port for which neighbour."""
    table = Table(title="ways: next neighbour of messages", title_justify="left")
    for column in ("from", "port", "next", "to kernels of nodes", "to managers of nodes", "groups", "host"):
        table.add_column(column)
    homes = {number: node.index for node in plan.nodes for number in node.kernels.values()}
    host = plan.host.node
    sides = [(str(node.index), port, peers) for node in plan.nodes for port, peers in enumerate(node.peers)]
    for name, port, peers in [*sides, ("host", 0, plan.host.peers)]:
        for peer in sorted({bit for mask in peers.values() for bit in range(mask.bit_length()) if mask >> bit & 1}):
            numbers = [number for number, mask in peers.items() if mask >> peer & 1]
            table.add_row(
                name,
                str(port),
                "host" if peer == host else str(peer),
                _ranges(homes[number] for number in numbers if number in homes),
                _ranges(number - MANAGER_BASE for number in numbers if MANAGER_BASE <= number < GROUP_BASE),
                _ranges(number for number in numbers if GROUP_BASE <= number < HOST_KERNEL),
                "yes" if HOST_KERNEL in numbers else "",
            )
    return table


def render(plan: Plan, width: int = 110, devices: Mapping[str, Limits] = types.MappingProxyType({DEVICE: LIMITS})) -> str:
    """The plan as readable text: nodes, contexts, edges, shape, multipliers, resources against the nodes' ``devices``.

    Contexts are those of node 0 where the other nodes have the same ones and differ in numbers only, else those of all nodes.
    """
    tables: list[Table] = []
    wire = plan.numbers.number
    differs = any(wire(node.index) != node.index for node in plan.nodes)
    nodes = Table(
        title=f"{plan.project}: {len(plan.nodes)} nodes{' (and their numbers on the wire)' if differs else ''}", title_justify="left"
    )
    for column in ("node", "name", "MAC", "IP", "linear", "attention", "add_norm", "array words a row"):
        nodes.add_column(column)
    for node in plan.nodes:
        words = sum(array_words(plan, context) for context in node.contexts)
        nodes.add_row(
            f"{node.index} ({wire(node.index)})" if differs else str(node.index),
            node.name,
            format_mac(node.mac),
            format_ip(node.ip),
            *(str(node.kernels[kernel]) for kernel in ("linear", "attention", "add_norm")),
            f"{words:,}",
        )
    nodes.add_row(
        f"{plan.host.node} ({wire(plan.host.node)})" if differs else str(plan.host.node),
        "host",
        format_mac(plan.host.mac),
        format_ip(plan.host.ip),
    )
    tables += [nodes, _cables(plan), *([] if plan.topology == "star" else [_ways(plan)])]
    alike = all([c.name for c in node.contexts] == [c.name for c in plan.nodes[0].contexts] for node in plan.nodes)
    shown = plan.nodes[:1] if alike else plan.nodes
    for kernel, fields in CONTEXT_LAYOUTS.items():
        contexts = [(node, context) for node in shown for context in node.contexts if context.kernel == kernel]
        names = [name for name, _ in fields if any(name in context.fields for _, context in contexts)]
        table = Table(title=f"{kernel} contexts{' of node 0' if alike else ''}", title_justify="left", padding=(0, 0, 0, 1))
        for column in (*(() if alike else ("node",)), "context", "edge", *names):
            table.add_column(column.replace("_", "\n"), no_wrap=True)
        for node, context in contexts:
            incoming = [str(edge) for edge, entry in node.edges[kernel].items() if entry.ctx == context.index]
            table.add_row(
                *(() if alike else (str(node.index),)),
                f"{context.encoder} {context.name}",
                ",".join(incoming),
                *(str(context.fields[name]) if name in context.fields else "" for name in names),
            )
        tables.append(table)
    edges = Table(title="edges", title_justify="left")
    for column in ("encoder", *TENSORS):
        edges.add_column(column)
    for encoder in range(plan.encoders):
        numbers = {
            tensor: ",".join(str(number) for number, edge in sorted(plan.edges.items()) if edge == EdgePlan(encoder, tensor))
            for tensor in TENSORS
        }
        edges.add_row(str(encoder), *(numbers[tensor] for tensor in TENSORS))
    tables.append(edges)
    shape = Table(title="parameters of node_core", title_justify="left", show_header=False)
    items = [f"{name} {value}" for name, value in plan.shape.items()]
    for start in range(0, len(items), 6):
        shape.add_row(*items[start : start + 6])
    tables.append(shape)
    t = plan.transport
    registers = Table(title=f"registers of the Ethernet ports, link delay {t.link_delay}", title_justify="left", show_header=False)
    values = (("ACK_DELAY", t.ack_delay), ("RTO", t.rto), ("RETRIES", t.retries), ("KEEP", t.keep), ("NACK_HOLD", t.nack_hold))
    registers.add_row(*(f"{name} {value}" for name, value in values))
    tables.append(registers)
    tables += [multiplier_table(plan.shape, devices), resource_table(plan.shape, devices)]
    console = Console(width=width if alike else width + 8, color_system=None, highlight=False, legacy_windows=False)
    with console.capture() as capture:
        for table in tables:
            console.print(table)
    text = "\n".join(line.rstrip() for line in capture.get().splitlines())
    direct, takers = plan.entry.direct, len(plan.entry.takers)
    if direct:
        rows = "row 0" if direct == 1 else f"rows 0 to {direct - 1}"
        text += f"\nthe host sends {rows} of a sequence to all {takers} nodes at once, the others to their owners, who hand them on"
    return (
        f"{text}\n{plan.max_tokens} tokens at most; the multipliers alone need {plan.mac_bound(1):,} cycles a token,"
        f" {plan.mac_bound(plan.max_tokens):,} for {plan.max_tokens}"
    )
