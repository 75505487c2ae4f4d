# SPDX-License-Identifier: Apache-2.0
"""What the mapper decides, and what a decision needs and costs. The model (model.py) is filled from these functions alone.

A :class:`Layout` is one decision. :func:`shape_of` predicts the parameters of `node_core` that the plan gives it, :func:`evaluate` its
cycles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from floreana.cluster import layout
from floreana.cluster.description import K_LANES, LANES, OUT_N, Description, PlaceSection, Project, share_limits
from floreana.cluster.plan import (
    DEPTH_STEP,
    HEAD_BEATS_MAX,
    RX_CELLS,
    TX_CELLS,
    index_bits,
)
from floreana.cluster.topology import ETH_PORTS, reach

Objective = Literal["latency", "throughput"]
LINEAR = ("qkv", "out", "ffn1", "ffn2")
NORMS = ("ln1", "ln2")
OPERATORS = ("qkv", "attention", "out", "ln1", "ffn1", "ffn2", "ln2")
# who hands whom its rows: slices of columns, partial sums of a whole row, whole rows to all
SLICES = (("qkv", "attention"), ("attention", "out"), ("ffn1", "ffn2"))
PARTS = (("out", "ln1"), ("ffn2", "ln2"))
COPIES = (("ln2", "qkv"), ("ln1", "ffn1"))
PAIRS = (*SLICES, *PARTS, *COPIES)
PHASE_A = frozenset({"qkv"})  # until all keys and values are there; everything else comes after

LINE_BYTES = (125, 2)  # of a 100 Gb/s port a cycle of 200 MHz: 62.5
FRAME_OVERHEAD = 88  # bytes: header beat, preamble, checksum and gap
MESSAGE_RUN_MAX = 15  # msg_count
GROUPS_FIELD = 255  # groups of a context
ATTENTION_LEAST = 18  # cycles a head beat takes at least
FIELDS: Mapping[str, int] = {  # entries that an address field reaches
    "W_WORDS": 1 << 16,
    "BIAS_WORDS": 1 << 14,
    "POST_WORDS": 1 << 16,
    "STORE_BEATS": 1 << 16,
    "ACC_BEATS": 1 << 16,
    "RES_WORDS": 1 << 14,
    "CHAN_WORDS": 1 << 14,
}


@dataclass(frozen=True, slots=True)
class Build:
    """Parameters of the node that the mapper may choose."""

    k_lanes: int
    out_n: int
    post_lanes: int
    norm_lanes: int


@dataclass(frozen=True, slots=True)
class Layout:
    """One decision: ``groups`` of a cluster, the positions in a group of each operator's nodes, parameters."""

    groups: int
    place: Mapping[str, tuple[int, ...]]
    build: Build

    def shares(self) -> dict[str, int]:
        """Nodes that share each operator."""
        return {name: len(nodes) for name, nodes in self.place.items()}


@dataclass(frozen=True, slots=True)
class Task:
    """The sizes of what is to be mapped."""

    hidden: int
    heads: int
    ffn: int
    encoders: int
    nodes: int
    clusters: int
    tokens: int
    slots: int
    link_delay: int
    eth_n: int
    star: bool
    rows: int
    """Rows of a sequence that loads are counted for: for its latency all but the first, whose way is counted by itself."""

    @classmethod
    def of(cls, project: Project | Description) -> Task:
        model, cluster, build = project.model, project.cluster, project.build
        return cls(
            hidden=model.hidden,
            heads=model.heads,
            ffn=model.ffn,
            encoders=model.encoders,
            nodes=len(cluster.nodes),
            clusters=cluster.clusters,
            tokens=build.max_tokens,
            slots=build.slots,
            link_delay=project.transport.link_delay,
            eth_n=build.eth_ports or ETH_PORTS[cluster.topology],
            star=cluster.topology == "star",
            rows=build.max_tokens - 1,
        )

    def whole(self) -> Task:
        """With loads of all rows, for the interval between sequences."""
        return replace(self, rows=self.tokens)

    @property
    def cluster_nodes(self) -> int:
        return self.nodes // self.clusters

    def team(self, groups: int) -> int:
        """Nodes of a group."""
        return self.cluster_nodes // groups

    def encoders_of(self, groups: int) -> int:
        """Encoders of a group."""
        return self.encoders // (self.clusters * groups)

    def legal_shares(self, operator: str, most: int) -> list[int]:
        """Node counts, up to ``most``, over which an operator divides."""
        if operator in NORMS:
            return list(range(1, most + 1))
        return [p for p in range(1, most + 1) if not share_limits(p, self.hidden, self.heads, self.ffn)[operator]]

    # ------------------------------------------------------------------ sizes of a node's part

    def sizes(self, operator: str, share: int) -> tuple[int, int]:
        """Inputs and outputs of a linear operator on one of ``share`` nodes."""
        h, f = self.hidden, self.ffn
        return {"qkv": (h, 3 * h // share), "out": (h // share, h), "ffn1": (h, f // share), "ffn2": (f // share, h)}[operator]

    def groups_of(self, operator: str, share: int, out_n: int) -> int:
        """Groups of ``out_n`` outputs; also bias words."""
        return -(-self.sizes(operator, share)[1] // out_n)

    def words(self, operator: str, share: int, k_lanes: int, out_n: int) -> int:
        """Array words a row, also weight words."""
        return self.groups_of(operator, share, out_n) * (self.sizes(operator, share)[0] // k_lanes)

    def post_words(self, operator: str, share: int, out_n: int, post_lanes: int) -> int:
        """Requantisation words; none for partial sums."""
        return -(-self.groups_of(operator, share, out_n) * out_n // post_lanes) if operator in ("qkv", "ffn1") else 0

    def post_cycles(self, operator: str, share: int, post_lanes: int) -> int:
        """Cycles a row of requantisation; none for partial sums."""
        return -(-self.sizes(operator, share)[1] // post_lanes) if operator in ("qkv", "ffn1") else 0

    def out_beats(self, operator: str, share: int) -> int:
        """Beats a row that leave the `linear` kernel: int8, of partial sums int32."""
        outputs = self.sizes(operator, share)[1]
        return outputs // 64 if operator in ("qkv", "ffn1") else outputs // 16

    def store_beats(self, operator: str, share: int) -> int:
        """Beats of the row store."""
        return (self.sizes(operator, share)[0] // layout.BEAT_BYTES) << (index_bits(self.tokens) + self.slots.bit_length() - 1)

    def head_beats(self, share: int) -> int:
        """Beats of a row in `attention`."""
        return self.hidden // layout.BEAT_BYTES // share

    def head_beats_field(self, share: int) -> int:
        """HEAD_BEATS, a power of two."""
        return 1 << max(self.head_beats(share) - 1, 0).bit_length()

    def req_words(self, share: int, groups: int) -> int:
        """REQ_WORDS, a power of two."""
        return 1 << index_bits(self.head_beats(share) * self.encoders_of(groups))

    def local_row_w(self, share: int) -> int:
        """LROW_W, index bits of the rows that one of ``share`` nodes owns."""
        return index_bits(-(-(1 << index_bits(self.tokens)) // share))

    def norm_words(self, share: int) -> int:
        """Residual words of a LayerNorm; accumulator beats are four times as many."""
        return (self.hidden // layout.BEAT_BYTES) << (self.local_row_w(share) + self.slots.bit_length() - 1)

    def runs(self, source: str, sender: int, receiver: int) -> int:
        """Messages of a row that a node of an operator sends in slices, the most of any: msg_count."""
        parts = 3 if source == "qkv" else 1
        size = self.hidden if source in ("qkv", "attention") else self.ffn
        cut = layout.BEAT_BYTES if source == "attention" else layout.MESSAGE_BYTES
        mine, theirs = size // sender, size // receiver
        most = 0
        for node in range(sender):
            begin, end = node * mine, (node + 1) * mine
            count = 0
            for other in range(begin // theirs, -(-end // theirs)):
                low, high = max(begin, other * theirs), min(end, (other + 1) * theirs)
                count += -(-(high - low) // cut)
            most = max(most, count)
        return parts * most

    # ------------------------------------------------------------------ cycles

    def row_bytes(self, count: int) -> int:
        """Bytes on the wire of a row of ``count`` bytes, cut into messages."""
        return count + FRAME_OVERHEAD * -(-count // layout.MESSAGE_BYTES)

    def norm_cycles(self, norm_lanes: int) -> int:
        """Cycles a row of `add_norm`."""
        return -(-3 * self.hidden // (2 * norm_lanes)) + 48

    def norm_latency(self, norm_lanes: int) -> int:
        """Last part in to last beat out of `add_norm`."""
        return -(-5 * self.hidden // (2 * norm_lanes)) + 88

    def attention_cycles(self, share: int) -> int:
        """Cycles a row of `attention`."""
        return self.head_beats(share) * max(self.tokens, ATTENTION_LEAST)

    def attention_latency(self, share: int) -> int:
        """All keys and values there to the last beat of the first row out."""
        return 3 * self.tokens + 77 + (self.head_beats(share) - 1) * max(self.tokens, ATTENTION_LEAST)

    def linear_latency(self, operator: str, share: int, build: Build) -> int:
        """Last beat of a row in to its last beat out, the array free."""
        words = self.words(operator, share, build.k_lanes, build.out_n)
        return words + (35 + 64 // build.post_lanes if operator in ("qkv", "ffn1") else 18)

    def crossing(self, pair: tuple[str, str], sender: int, receiver: int, same: bool) -> Crossing:
        """What a pair of operators costs on the wire; ``same``: both have the same nodes."""
        h, source = self.hidden, pair[0]
        if pair in SLICES:
            if same:
                return Crossing(0, 0, 0)
            runs = self.runs(source, sender, receiver)
            size = {"qkv": 3 * h, "attention": h, "ffn1": self.ffn}[source]
            tx = size // sender + FRAME_OVERHEAD * runs
            rx = size // receiver + FRAME_OVERHEAD * -(-runs * sender // receiver)
            return Crossing(ser(self.rows * tx), ser(self.rows * rx), self.link_delay + ser(tx))
        if pair in PARTS:  # sender: nodes that make parts, receiver: nodes that add them
            row = self.row_bytes(4 * h)
            own = -(-self.rows // receiver)  # rows that a node adds
            tx = ser((self.rows - self.rows // receiver if same else self.rows) * row)
            rx = ser(own * (sender - same) * row)
            wire = self.link_delay + ser((sender - same) * row)
            return Crossing(tx, rx, 0 if same and receiver == 1 else wire)
        row = self.row_bytes(h)
        own = -(-self.rows // sender)
        tx = ser(own * (receiver - same) * row)
        rx = ser((self.rows - self.rows // receiver if same else self.rows) * row)
        wire = self.link_delay + ser((receiver - same) * row)
        return Crossing(tx, rx, 0 if same and receiver == 1 else wire)


@dataclass(frozen=True, slots=True)
class Crossing:
    """Cycles of a sequence on the sender's port, on the receiver's, and of one row from one to the other."""

    tx: int
    rx: int
    row: int


def ser(count: int) -> int:
    """Cycles that so many bytes take on a line."""
    return -(-count * LINE_BYTES[1] // LINE_BYTES[0])


# ------------------------------------------------------------------ a decision as a whole


def node_depths(task: Task, chosen: Layout, position: int) -> dict[str, int]:
    """Entries that the node at a position of its group uses, by memory."""
    shares, build = chosen.shares(), chosen.build
    here = [name for name in OPERATORS if position in chosen.place[name]]
    encoders = task.encoders_of(chosen.groups)
    out = dict.fromkeys(FIELDS, 0)
    for name in here:
        share = shares[name]
        if name in LINEAR:
            out["W_WORDS"] += encoders * task.words(name, share, build.k_lanes, build.out_n)
            out["BIAS_WORDS"] += encoders * task.groups_of(name, share, build.out_n)
            out["POST_WORDS"] += encoders * task.post_words(name, share, build.out_n, build.post_lanes)
            out["STORE_BEATS"] += task.store_beats(name, share)
        elif name in NORMS:
            out["RES_WORDS"] += task.norm_words(share)
            out["ACC_BEATS"] += 4 * task.norm_words(share)
            out["CHAN_WORDS"] += encoders * task.hidden // build.norm_lanes
    return out


def shape_of(task: Task, chosen: Layout) -> dict[str, int]:
    """Parameters of `node_core` as the plan gives them."""
    shares, build = chosen.shares(), chosen.build
    depths = [node_depths(task, chosen, position) for position in range(task.team(chosen.groups))]
    most = {name: max(1, *(each[name] for each in depths)) for name in FIELDS}
    shape = base_shape(task) | {name: -(-value // DEPTH_STEP) * DEPTH_STEP for name, value in most.items()}
    return shape | {
        "K_LANES": build.k_lanes,
        "OUT_N": build.out_n,
        "POST_LANES": build.post_lanes,
        "NORM_LANES": build.norm_lanes,
        "HEAD_BEATS": task.head_beats_field(shares["attention"]),
        "REQ_WORDS": task.req_words(shares["attention"], chosen.groups),
        "LROW_W": task.local_row_w(shares["ln1"]),
    }


def base_shape(task: Task) -> dict[str, int]:
    """The smallest node for a task: least depths and lanes."""
    peers = 1 << (reach(task.cluster_nodes, task.clusters) - 1).bit_length()
    shape = dict.fromkeys(FIELDS, DEPTH_STEP) | {
        "K_LANES": K_LANES[0],
        "OUT_N": OUT_N[0],
        "POST_LANES": LANES[0],
        "NORM_LANES": LANES[0],
        "ROW_W": index_bits(task.tokens),
        "SLOT_W": task.slots.bit_length() - 1,
        "HEAD_DIM": task.hidden // task.heads,
        "HEAD_BEATS": 1,
        "REQ_WORDS": 2,
        "LROW_W": 1,
        "ROW_BEATS": task.hidden // layout.BEAT_BYTES,
        "ETH_N": task.eth_n,
        "PEERS_N": peers,
        "TX_CELLS": TX_CELLS,
        "RX_CELLS": RX_CELLS,
    }
    return shape | ({"GATEWAY": 1} if task.clusters > 1 else {})


RESOURCES_OF_TIME = ("array", "requantisation", "linear's port", "attention", "add_norm", "add_norm's input", "wire out", "wire in")


@dataclass(slots=True)
class Load:
    """Cycles a sequence keeps each resource of a node busy, before and after all keys and values are there."""

    before: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RESOURCES_OF_TIME, 0))
    after: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RESOURCES_OF_TIME, 0))

    def add(self, resource: str, cycles: int, *, before: bool = False) -> None:
        (self.before if before else self.after)[resource] += cycles


def same_nodes(chosen: Layout, pair: tuple[str, str]) -> bool:
    return set(chosen.place[pair[0]]) == set(chosen.place[pair[1]])


def node_load(task: Task, chosen: Layout, position: int) -> Load:
    """Load of the node at a position of its group for one encoder."""
    shares, build, rows = chosen.shares(), chosen.build, task.rows
    load = Load()
    here = {name for name in OPERATORS if position in chosen.place[name]}
    apart = chosen.place["ln1"] != chosen.place["ln2"]
    for name in here:
        share, before = shares[name], name in PHASE_A
        if name in LINEAR:
            load.add("array", rows * task.words(name, share, build.k_lanes, build.out_n), before=before)
            load.add("requantisation", rows * task.post_cycles(name, share, build.post_lanes), before=before)
            load.add("linear's port", rows * task.out_beats(name, share), before=before)
        elif name == "attention":
            load.add("attention", rows * task.attention_cycles(share))
        else:
            load.add("add_norm", -(-rows // share) * task.norm_cycles(build.norm_lanes))
            parts = shares["out" if name == "ln1" else "ffn2"]
            load.add("add_norm's input", -(-rows // share) * parts * task.hidden // 16)
            if apart:  # the row comes and goes as a residual, too
                residual = ser(rows * task.row_bytes(task.hidden))
                load.add("wire out", residual)
                load.add("wire in", residual)
    for pair in PAIRS:
        source, target = pair
        cross = task.crossing(pair, shares[source], shares[target], same_nodes(chosen, pair))
        before = target in PHASE_A or source in PHASE_A
        if source in here:
            load.add("wire out", cross.tx, before=before)
        if target in here:
            load.add("wire in", cross.rx, before=before)
    return load


@dataclass(frozen=True, slots=True)
class Cost:
    """The model's cycles of a decision. ``before``, ``after``: the busiest resource of one encoder until all keys and values are there, and
    from then on; ``both`` of an encoder's after with the next one's before; ``chain``: one row through an encoder, nothing else going on.
    """

    latency: int
    interval: int
    before: int
    after: int
    both: int
    chain: int
    bottleneck: str


def is_direct(task: Task, chosen: Layout) -> bool:
    """True where the host sends the first row straight to all who multiply it, see the plan."""
    place = chosen.place
    return task.star and len(place["qkv"]) > 1 and place["ln1"] == place["ln2"] and set(place["ln1"]) <= set(place["qkv"])


def ends(task: Task, groups: int, direct: bool) -> int:
    """Crossings at both ends and from group to group, which no encoder's chain has."""
    teams = task.clusters * groups
    hop = task.link_delay + ser(task.row_bytes(task.hidden))
    return (2 - direct + (teams - 1) + (task.clusters - 1)) * hop


def latency(task: Task, groups: int, before: int, after: int, both: int, chain: int, direct: bool) -> int:
    """From the host's first beat to its last: an encoder's last part overlaps with the next one's first, on the same nodes or on others."""
    teams = task.clusters * groups
    inner = task.encoders - teams
    return before + inner * both + (teams - 1) * max(before, after) + after + task.encoders * chain + ends(task, groups, direct)


def evaluate(task: Task, chosen: Layout) -> Cost:
    """Cycles of a decision by the model."""
    cost, whole = _cycles(task, chosen), _cycles(task.whole(), chosen)
    interval = max(task.encoders_of(chosen.groups) * whole.both, -(-whole.latency // (task.clusters * task.slots)))
    return replace(cost, interval=interval)


def _cycles(task: Task, chosen: Layout) -> Cost:
    loads = [node_load(task, chosen, position) for position in range(task.team(chosen.groups))]
    before = max(max(load.before.values()) for load in loads)
    after = max(max(load.after.values()) for load in loads)
    both, where = max(
        ((load.before[name] + load.after[name], (name, -node)) for node, load in enumerate(loads) for name in RESOURCES_OF_TIME),
    )
    shares, build = chosen.shares(), chosen.build
    chain = sum(task.linear_latency(name, shares[name], build) for name in LINEAR)
    chain += task.attention_latency(shares["attention"]) + 2 * task.norm_latency(build.norm_lanes)
    chain += sum(task.crossing(pair, shares[pair[0]], shares[pair[1]], same_nodes(chosen, pair)).row for pair in PAIRS)
    cycles = latency(task, chosen.groups, before, after, both, chain, is_direct(task, chosen))
    return Cost(cycles, 0, before, after, both, chain, f"{where[0]} of node {-where[1]} of a group")


def as_project(description: Description, chosen: Layout) -> Project:
    """The description with everything decided."""
    names = description.cluster.nodes
    tensor = all(len(nodes) == len(names) // description.cluster.clusters // chosen.groups for nodes in chosen.place.values())
    place = None if tensor else PlaceSection(**{name: tuple(names[k] for k in chosen.place[name]) for name in OPERATORS})
    build = chosen.build
    return description.decided(
        strategy="tensor" if tensor else "pipeline",
        groups=chosen.groups,
        place=place,
        k_lanes=build.k_lanes,
        out_n=build.out_n,
        post_lanes=build.post_lanes,
        norm_lanes=build.norm_lanes,
    )


def layout_of(project: Project) -> Layout:
    """The decision that a project states."""
    groups, build = project.mapping.groups, project.build
    members = project.teams(0)[0]
    place = {name: tuple(node - members[0] for node in project.place(name, members)) for name in OPERATORS}
    return Layout(groups, place, Build(build.k_lanes, build.out_n, build.post_lanes, build.norm_lanes))


__all__ = ["HEAD_BEATS_MAX", "Build", "Cost", "Layout", "Objective", "Task", "as_project", "evaluate", "layout_of", "shape_of"]
