# SPDX-License-Identifier: Apache-2.0
"""How a model is laid over so many devices with this project's RTL, and how long it then takes.

A device holds ``k`` nodes of one shape. A group of P nodes shares each encoder (strategy ``tensor``), groups and clusters take the
encoders in turn. Only what the mapper accepts and the device holds is a layout: DSP slices and memories to 90 %, LUTs to 80 %, the shell
not counted.

Cycles by the bounds of the kernels serve to choose a layout:

    array       T x words                           the multiplier array: T rows, words of all operators of an encoder
    attention   beats x T (T + 16)                  heads of a node, 64 bytes each; in a chain it overlaps with the rest
    line        bytes x 1.15 / (12.5 GB/s)          what a device sends in an encoder; s nodes of a group share its ports
    crossings   4 x delay + 3 T + LATENCY           of an encoder's last row: to LN1, to FFN1, to LN2, to the next encoder
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from floreana.boards import Device
from floreana.cluster.description import MAX_NODES, ClusterSection, Project, legal_node_counts
from floreana.cluster.multipliers import dsp_count
from floreana.cluster.plan import Plan, make_plan
from floreana.cluster.resources import Memory, memories, total, usage
from floreana.errors import InputError

DSP_SHARE, MEMORY_SHARE, LUT_SHARE = 0.9, 0.9, 0.8
LINE_BYTES_SECOND = 12.5e9  # 100 Gb/s
FRAMING = 1.15  # headers, acknowledgements, preamble, checksum and gap on slices of 512 to 1,024 bytes
ATTENTION_GAP = 16
LATENCY = 750  # cycles of one row through linear four times, attention and two LayerNorms, from their headers, without the crossings
CLUSTER_NODES, CHAINED_NODES = 63, 31  # of a cluster alone, of each of several (docs/mapping.md)
SAME = 0.02  # latencies that differ by less are alike: then throughput decides
"""docs/estimates.md derives the constants."""


class Misfit(InputError):
    """No layout: why, for the table."""


@dataclass(frozen=True, slots=True)
class Network:
    """What lies between two ports, in cycles of the nodes' clock: ``delay`` a crossing, ``line`` bytes a cycle. It is the same between
    nodes on one device, which have no way of their own to each other."""

    delay: int
    line: float

    @classmethod
    def at(cls, clock_hz: float, delay_s: float) -> Network:
        return cls(round(delay_s * clock_hz), LINE_BYTES_SECOND / clock_hz)


@dataclass(frozen=True, slots=True)
class Model:
    """Sizes of an encoder, and how many there are."""

    hidden: int
    heads: int
    ffn: int
    encoders: int

    @classmethod
    def of(cls, project: Project) -> Model:
        m = project.model
        return cls(m.hidden, m.heads, m.ffn, m.encoders)

    @property
    def weights(self) -> int:
        """Of an encoder, one byte each."""
        return self.hidden * (4 * self.hidden + 2 * self.ffn)

    def macs(self, tokens: int) -> int:
        """int8 products of an encoder, attention with it."""
        return tokens * self.weights + 2 * tokens * tokens * self.hidden


@dataclass(frozen=True, slots=True)
class Layout:
    """``clusters`` x ``groups`` x ``parts`` nodes, ``k`` of them on a device."""

    devices: int  # used
    k: int
    clusters: int
    groups: int
    parts: int
    k_lanes: int
    out_n: int

    @property
    def nodes(self) -> int:
        return self.clusters * self.groups * self.parts

    @property
    def teams(self) -> int:
        return self.clusters * self.groups

    @property
    def shared(self) -> int:
        """Nodes of one group on a device: groups are dealt out device by device."""
        return -(-self.parts // self.devices)

    def __str__(self) -> str:
        chain = f"{self.clusters} clusters x " if self.clusters > 1 else ""
        team = f"{self.groups} groups x " if self.groups > 1 else ""
        return f"{chain}{team}{self.parts} node{'s' if self.parts > 1 else ''} of {self.k_lanes} x {self.out_n}, {self.k} a device"


def words(model: Model, layout: Layout) -> dict[str, int]:
    """Cycles of the array for one row, by operator."""
    h, f, p, n, k = model.hidden, model.ffn, layout.parts, layout.out_n, layout.k_lanes

    def groups(outputs: int) -> int:
        return -(-outputs // n)

    return {
        "qkv": groups(3 * h // p) * (h // k),
        "out": groups(h) * (h // p // k),
        "ffn1": groups(f // p) * (h // k),
        "ffn2": groups(h) * (f // p // k),
    }


def line_bytes(model: Model, layout: Layout, tokens: int, nodes: int) -> float:
    """Bytes with framing that a device with so many of a group's nodes sends in an encoder: partial sums, then whole rows."""
    p = layout.parts
    away = p - nodes
    partial = 2 * tokens * 4 * model.hidden * away / p
    rows = 2 * tokens / p * model.hidden * away
    return nodes * (partial + rows) * FRAMING


@dataclass(frozen=True, slots=True)
class Bounds:
    """Cycles of an encoder by what may limit it."""

    array: int
    attention: int
    line: int
    crossings: int

    @property
    def limit(self) -> str:
        """What is longest."""
        return max(("array", "attention", "line"), key=lambda name: int(getattr(self, name)))

    @property
    def busy(self) -> int:
        return max(self.array, self.attention, self.line)

    @property
    def cycles(self) -> int:
        return self.busy + self.crossings


def bounds(model: Model, layout: Layout, tokens: int, ports: int, network: Network) -> Bounds:
    """Of one encoder on its group, a sequence alone."""
    by = words(model, layout)
    beats = model.hidden // layout.parts // 64
    line = line_bytes(model, layout, tokens, layout.shared) / (min(ports, layout.shared) * network.line) if layout.parts > 1 else 0.0
    return Bounds(
        array=tokens * sum(by.values()),
        attention=beats * tokens * (tokens + ATTENTION_GAP),
        line=round(line),
        crossings=4 * network.delay + 3 * tokens + LATENCY,
    )


def latency(model: Model, layout: Layout, tokens: int, ports: int, network: Network) -> int:
    """Cycles of a sequence by the bounds, host to host.

    Rows that a team of nodes finishes are taken up by the next one at once: its QKV and what is left here go on side by side.
    """
    each, qkv = bounds(model, layout, tokens, ports, network), tokens * words(model, layout)["qkv"]
    overlap = (layout.teams - 1) * min(qkv, each.busy - qkv)
    return model.encoders * each.cycles - overlap + (layout.clusters + 1) * network.delay


def interval(model: Model, layout: Layout, tokens: int, ports: int, network: Network, latency: int, slots: int) -> int:
    """Cycles a sequence when they come back to back: the busiest kernel or line, and no more in a cluster than it has slots."""
    by, beats = words(model, layout), model.hidden // layout.parts // 64
    share = model.encoders // layout.teams
    here = -(-layout.nodes // layout.devices)  # nodes of all groups on a device
    whole = min(layout.shared, here)
    line = line_bytes(model, layout, tokens, whole) * here / whole / (min(ports, here) * network.line) if layout.parts > 1 else 0.0
    busiest = share * max(tokens * sum(by.values()), beats * tokens * (tokens + ATTENTION_GAP), line)
    return max(round(busiest), -(-latency // (slots * layout.clusters)))


# ------------------------------------------------------------------ what fits


def figure(device: Device, name: str) -> int:
    """A figure of a device. InputError where it is unknown: it names the figure and its place."""
    value: int | None = getattr(device, name)
    if value is None:
        what = f"{name} of {device.name} is unknown, and this estimate needs it"
        raise InputError(f"{what}; put it, with its source, into [{device.name}] of python/floreana/boards/devices.toml")
    return value


def needs_of(shape: Mapping[str, int]) -> dict[str, float]:
    """What a node of that shape takes, by the device's names; URAM288 in whole ranks, of which no two share one."""
    used = total(usage(shape))
    return {"dsp": used.dsp, "ramb36": used.ramb36, "uram": sum(each.uram_of_ranks for each in memories(shape)), "lut": used.lut}


def shares(device: Device, needs: Mapping[str, float], k: int) -> dict[str, float]:
    """Share of each resource that ``k`` nodes take. InputError where a figure that is needed is unknown."""
    return {name: k * value / max(figure(device, name), 1) for name, value in needs.items() if value}


LIMITS = {"dsp": DSP_SHARE, "ramb36": MEMORY_SHARE, "uram": MEMORY_SHARE, "lut": LUT_SHARE}


def over(found: Mapping[str, float]) -> list[str]:
    """What is over its limit, in words."""
    return [f"{name} {100 * value:.0f} % of {100 * LIMITS[name]:.0f} %" for name, value in found.items() if value > LIMITS[name]]


@dataclass(slots=True)
class Chooser:
    """Finds the best layout of a project's model for devices; ``tokens`` and ``network`` as in :func:`bounds`."""

    project: Project
    tokens: int
    network: Network
    _plans: dict[tuple[int, ...], Plan | str] = field(default_factory=dict)

    @property
    def model(self) -> Model:
        return Model.of(self.project)

    @property
    def least_dsp(self) -> int:
        """DSP slices of the smallest node that is tried."""
        build, model = self.project.build, self.model
        row_w = max((max(self.tokens, build.max_tokens) - 1).bit_length(), 1)
        shape = {"HEAD_DIM": model.hidden // model.heads, "POST_LANES": build.post_lanes, "NORM_LANES": build.norm_lanes}
        return dsp_count(shape | {"ROW_W": row_w, "K_LANES": 64, "OUT_N": 16})

    def plan(self, layout: Layout) -> Plan:
        """Of the mapper. InputError where it refuses."""
        key = (layout.clusters, layout.groups, layout.parts, layout.k_lanes, layout.out_n)
        if key not in self._plans:
            project = self.project
            cluster = ClusterSection.model_validate({"nodes": layout.nodes, "clusters": layout.clusters})
            mapping = project.mapping.model_copy(update={"strategy": "tensor", "place": None, "groups": layout.groups})
            build = project.build.model_copy(
                update={
                    "k_lanes": layout.k_lanes,
                    "out_n": layout.out_n,
                    "max_tokens": max(self.tokens, project.build.max_tokens),
                    "eth_ports": None,
                }
            )
            update = {"cluster": cluster, "mapping": mapping, "build": build}
            try:
                self._plans[key] = make_plan(project.model_copy(update=update))
            except InputError as error:
                self._plans[key] = error.message.splitlines()[-1].strip()
        found = self._plans[key]
        if isinstance(found, str):
            raise Misfit(found)
        return found

    def layouts(self, devices: int, most: int) -> Iterator[Layout]:
        """All of up to ``most`` nodes a device."""
        model = self.model
        for parts in legal_node_counts(model.hidden, model.heads, model.ffn):
            for teams in (n for n in range(1, model.encoders + 1) if model.encoders % n == 0):
                nodes = parts * teams
                if nodes > min(most * devices, MAX_NODES):
                    continue
                k = -(-nodes // devices)
                for clusters in (n for n in range(1, teams + 1) if teams % n == 0):
                    if nodes // clusters > (CLUSTER_NODES if clusters == 1 else CHAINED_NODES):
                        continue
                    for k_lanes, out_n in ((64, 64), (64, 48), (64, 32), (64, 16)):
                        yield Layout(-(-nodes // k), k, clusters, teams // clusters, parts, k_lanes, out_n)

    def latency(self, layout: Layout, ports: int) -> int:
        """Cycles by the bounds, host to host."""
        return latency(self.model, layout, self.tokens, ports, self.network)

    def interval(self, layout: Layout, ports: int, latency: int) -> int:
        """Cycles a sequence, see :func:`interval`."""
        return interval(self.model, layout, self.tokens, ports, self.network, latency, self.project.build.slots)

    def best(self, device: Device, ports: int, devices: int) -> tuple[Layout, Plan, dict[str, float]]:
        """The layout of least latency, of those alike the one of most throughput, then of fewest nodes. Misfit where there is none;
        InputError where a figure of the device that is needed is unknown."""
        dsp = figure(device, "dsp")
        most = int(DSP_SHARE * dsp / self.least_dsp)
        scored = []
        for layout in self.layouts(devices, most):
            cycles = self.latency(layout, ports)
            every = self.interval(layout, ports, cycles) / (devices // layout.devices)
            scored.append((cycles, every, layout.nodes, layout))
        scored.sort(key=lambda each: each[:3])
        best: tuple[int, float, int, Layout, Plan, dict[str, float]] | None = None
        nearest: tuple[float, str] = (math.inf, "")
        unknown: InputError | None = None
        for cycles, every, nodes, layout in scored:
            if best is not None and cycles > best[0] * (1 + SAME):
                break
            if best is not None and (every, nodes) >= best[1:3]:
                continue
            try:
                found = shares(device, weights_of(self.model, layout), layout.k)  # quick: most that do not fit need no plan
                if not over(found):
                    plan = self.plan(layout)
                    found = shares(device, needs_of(plan.shape), layout.k)
                    if not over(found):
                        best = (cycles if best is None else best[0], every, nodes, layout, plan, found)
                        continue
            except Misfit as error:
                nearest = min(nearest, (math.inf, error.message))
                continue
            except InputError as error:  # a layout that needs less may be judged all the same
                unknown = error
                continue
            nearest = min(nearest, (max(value / LIMITS[name] for name, value in found.items()), f"{layout}: {', '.join(over(found))}"))
        if best is None and unknown is not None:
            raise unknown
        if best is None:
            raise Misfit(f"does not fit; nearest {nearest[1]}" if scored else self._no_node(device, most))
        return best[3:]

    def _no_node(self, device: Device, most: int) -> str:
        if most:
            return f"no layout: more nodes than the {MAX_NODES} that there can be"
        return f"no node fits: the smallest takes {self.least_dsp:,} DSP slices, {DSP_SHARE:.0%} of {figure(device, 'dsp'):,} may be used"


def weights_of(model: Model, layout: Layout) -> dict[str, float]:
    """What a node's weights alone take."""
    depth = model.encoders // layout.teams * sum(words(model, layout).values())
    memory = Memory("linear", "weights", layout.out_n, 8 * layout.k_lanes, depth)
    return {"ramb36": memory.ramb36, "uram": memory.uram_of_ranks}
