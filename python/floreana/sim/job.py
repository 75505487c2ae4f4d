# SPDX-License-Identifier: Apache-2.0
"""What the program that starts a simulation and the bench inside the simulator tell each other, as JSON files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the Ethernet switch."""

    name: str
    node: int
    mac: int
    ip: int
    add_norm: int  # kernel number; -1 for the host


@dataclass(frozen=True, slots=True)
class Fault:
    """Something the switch does wrong to the frame with this number (tests only): flip, drop, repeat, or swap with the next of its way."""

    kind: str
    frame: int
    bit: int = 0  # of the frame, bit 0 of byte 0 first


@dataclass(frozen=True, slots=True)
class Job:
    """One run. Paths are absolute."""

    project: str
    toplevel: str
    nodes: tuple[Port, ...]
    host: Port
    cluster: int
    entry_kernel: int
    entry_edge: int
    owners: tuple[int, ...]
    row_bytes: int
    slots: int
    # edge number -> encoder, of the edges that carry finished encoder rows: progress only
    encoder_edges: dict[int, int]
    encoders: int
    delay: int
    window: int
    stall: int  # cycles without a frame after which the run is given up
    rows: tuple[tuple[str, ...], ...]  # per sentence, each row in hexadecimal
    capture: str
    outcome: str
    faults: tuple[Fault, ...] = field(default=())

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Job:
        raw: dict[str, Any] = json.loads(path.read_text())
        raw["nodes"] = tuple(Port(**port) for port in raw["nodes"])
        raw["host"] = Port(**raw["host"])
        raw["owners"] = tuple(raw["owners"])
        raw["rows"] = tuple(tuple(rows) for rows in raw["rows"])
        raw["encoder_edges"] = {int(edge): encoder for edge, encoder in raw["encoder_edges"].items()}
        raw["faults"] = tuple(Fault(**fault) for fault in raw["faults"])
        return cls(**raw)


@dataclass(frozen=True, slots=True)
class SentenceOutcome:
    """First beat of row 0 and last beat of the last row back at the host's port, and the rows that came."""

    start: int
    end: int
    slot: int
    generation: int
    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the bench saw. ``error`` is None or why the run was stopped."""

    error: str | None
    load_cycles: int
    load_writes: tuple[int, ...]
    cycles: int  # simulated after the images were loaded
    frames: int
    seconds: float  # wall time of the traffic
    load_seconds: float
    cpu_seconds: float  # CPU time of the traffic
    bench_seconds: float  # of the wall time, spent in the bench's Python
    sentences: tuple[SentenceOutcome, ...]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Outcome:
        raw: dict[str, Any] = json.loads(path.read_text())
        raw["load_writes"] = tuple(raw["load_writes"])
        raw["sentences"] = tuple(SentenceOutcome(**{**item, "rows": tuple(item["rows"])}) for item in raw["sentences"])
        return cls(**raw)
