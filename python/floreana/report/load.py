# SPDX-License-Identifier: Apache-2.0
"""How busy a run kept its ports and its kernels: ports from the capture, kernels from the nodes' own counters.

The span of a run is from the first beat of its first sentence at the host's port to the last beat of its last one there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from floreana.sim.capture import Record
from floreana.sim.ethernet import HALF_BYTES, OVERHEAD

KERNELS = ("linear", "attention", "add_norm")


@dataclass(slots=True)
class PortLoad:
    """Frames and bytes (Ethernet header to payload) at a port within a span of ``cycles``."""

    name: str
    cycles: int
    sent_frames: int = 0
    sent_bytes: int = 0
    received_frames: int = 0
    received_bytes: int = 0

    def share(self, frames: int, size: int) -> float:
        """Of the line, preamble, checksum and gap of each frame included."""
        return 2 * (size + OVERHEAD * frames) / (HALF_BYTES * max(self.cycles, 1))

    @property
    def sent_share(self) -> float:
        return self.share(self.sent_frames, self.sent_bytes)

    @property
    def received_share(self) -> float:
        return self.share(self.received_frames, self.received_bytes)

    def content(self) -> dict[str, Any]:
        """The entry of result.json."""
        return {
            "port": self.name,
            "sent_frames": self.sent_frames,
            "sent_bytes": self.sent_bytes,
            "sent_share": round(self.sent_share, 6),
            "received_frames": self.received_frames,
            "received_bytes": self.received_bytes,
            "received_share": round(self.received_share, 6),
        }


def port_loads(names: Sequence[str], records: Iterable[Record], begin: int, end: int) -> list[PortLoad]:
    """Load of every port between two cycles; a frame counts at its last beat."""
    loads = [PortLoad(name, end - begin) for name in names]
    for record in records:
        if not begin <= record.cycle <= end:
            continue
        load = loads[record.port]
        if record.outbound:
            load.sent_frames += 1
            load.sent_bytes += len(record.data)
        else:
            load.received_frames += 1
            load.received_bytes += len(record.data)
    return loads


def kernel_counters(words: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Cycles by kernel and cause, out of all words of a node: ``busy`` and everything ``idle_``."""
    out: dict[str, dict[str, int]] = {}
    for kernel in KERNELS:
        named = {name.removeprefix(f"{kernel}."): value for name, value in words.items() if name.startswith(f"{kernel}.")}
        out[kernel] = {name: value for name, value in named.items() if name == "busy" or name.startswith("idle_")}
    return out


def array_shares(linear: Mapping[str, int], span: int) -> dict[str, float] | None:
    """What the MAC array did in the cycles of a span, as shares of it: ``busy``, ``idle_row`` and the other causes.

    The counters run from reset to their reading. All but ``idle_row`` (no row is ready) count only while there is work, hence within the
    span; ``idle_row`` is what is left of it. None where the counters are of less than the span: a node restarted in it.
    """
    if not linear or sum(linear.values()) < span:
        return None
    counts = {name: value for name, value in linear.items() if name != "idle_row"}
    left = span - sum(counts.values())
    if left < 0:
        return None
    return {name: round({**counts, "idle_row": left}[name] / span, 6) for name in linear}


def counters(words: Mapping[str, Mapping[str, int]], span: int) -> dict[str, Any]:
    """The part of result.json about every node's kernels; empty where the counters were not read."""
    out: dict[str, Any] = {}
    for node, values in words.items():
        kernels = kernel_counters(values)
        out[node] = {**kernels, "array": array_shares(kernels["linear"], span)}
    return out
