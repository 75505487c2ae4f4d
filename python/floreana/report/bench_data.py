# SPDX-License-Identifier: Apache-2.0
"""The figures that `make bench` is to reach and the peers beside them: data/bench.toml, checked as it is read."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from floreana.errors import InputError
from floreana.report.published import load_published

DATA = Path(__file__).parent / "data" / "bench.toml"
KINDS = ("published", "model", "measured")
UNITS = ("cycles", "percent", "ratio")  # percent: a share, shown so
SENSES = ("most", "least")


@dataclass(frozen=True, slots=True)
class Peer:
    """A figure of another system. ``kind``: published, model (derived by us) or measured (by us)."""

    id: str
    system: str
    kind: str
    source: str
    figure: str = ""
    cycles: int | None = None
    tokens: int | None = None

    @property
    def shown(self) -> str:
        return self.figure or f"{self.cycles:,}"


@dataclass(frozen=True, slots=True)
class Target:
    """A figure to reach: at most or at least ``reach``."""

    name: str
    what: str
    unit: str
    sense: Literal["most", "least"]
    reach: float
    peer: Peer | None

    def show(self, value: float) -> str:
        """A value in the figure's unit."""
        return {"cycles": f"{value:,.0f}", "percent": f"{100 * value:.1f} %", "ratio": f"{value:.3f}"}[self.unit]

    @property
    def shown(self) -> str:
        return f"{self.show(self.reach)} or {'fewer' if self.sense == 'most' else 'more'}"

    def reached(self, value: float) -> bool:
        return value <= self.reach if self.sense == "most" else value >= self.reach

    def verdict(self, value: float) -> str:
        """In words: reached, or missed by how much."""
        if self.reached(value):
            return "reached"
        by = abs(value - self.reach)
        return f"missed by {self.show(by)}" + ("" if self.unit == "percent" else f" ({100 * by / self.reach:.1f} %)")


@dataclass(frozen=True, slots=True)
class BenchData:
    """The whole file."""

    targets: tuple[Target, ...]
    peers: tuple[Peer, ...]

    def peer(self, name: str) -> Peer:
        return next(peer for peer in self.peers if peer.id == name)


def _fields(where: str, raw: Any, needed: Mapping[str, type], more: Mapping[str, type], problems: list[str]) -> dict[str, Any]:
    """The entries of a table that are as they should be; what is not goes to ``problems``."""
    if not isinstance(raw, dict):
        problems.append(f"{where} is no table")
        return {}
    known = {**needed, **more}
    problems += [f"{where}: {name} is missing" for name in needed if name not in raw]
    problems += [f"{where}: {name} is not known; there are {', '.join(known)}" for name in raw if name not in known]
    out = {}
    for name, kind in known.items():
        value = raw.get(name)
        if value is None:
            continue
        fits = isinstance(value, (int, float)) if kind is float else isinstance(value, kind)
        if isinstance(value, bool) or not fits or value == "" or (not isinstance(value, str) and value <= 0):
            problems.append(f"{where}: {name} = {value!r}, a {'positive number' if kind in (int, float) else 'text'} is needed")
        else:
            out[name] = value
    return out


def _one_of(where: str, fields: dict[str, Any], name: str, choices: tuple[str, ...], problems: list[str]) -> None:
    if name in fields and fields[name] not in choices:
        problems.append(f"{where}: {name} = {fields[name]!r}; choose {', '.join(choices)}")


def _unique(what: str, names: list[Any], problems: list[str]) -> None:
    problems += [f"{what} {name!r} stands there {names.count(name)} times" for name in sorted({n for n in names if names.count(n) > 1})]


def parse_data(raw: dict[str, Any], where: str) -> BenchData:
    """InputError with everything that is wrong."""
    problems = [f"[{name}] is not known; there are target, peer" for name in raw if name not in ("target", "peer")]
    peers: list[dict[str, Any]] = []
    for number, item in enumerate(raw.get("peer", [])):
        place = f"peer {item.get('id', number)}"
        text = {"id": str, "system": str, "kind": str, "source": str}
        fields = _fields(place, item, text, {"figure": str, "cycles": int, "tokens": int}, problems)
        _one_of(place, fields, "kind", KINDS, problems)
        if "figure" not in fields and "cycles" not in fields:
            problems.append(f"{place}: neither figure nor cycles")
        peers.append(fields)
    _unique("peer", [fields.get("id") for fields in peers], problems)
    ids = {fields.get("id"): fields for fields in peers}
    targets: list[dict[str, Any]] = []
    for number, item in enumerate(raw.get("target", [])):
        place = f"target {item.get('name', number)}"
        fields = _fields(place, item, {"name": str, "what": str, "unit": str, "sense": str, "reach": float}, {"peer": str}, problems)
        _one_of(place, fields, "unit", UNITS, problems)
        _one_of(place, fields, "sense", SENSES, problems)
        if "peer" in fields and fields["peer"] not in ids:
            problems.append(f"{place}: there is no peer {fields['peer']!r}")
        targets.append(fields)
    _unique("target", [fields.get("name") for fields in targets], problems)
    if not targets:
        problems.append("there is no target")
    if problems:
        raise InputError(f"{where}: {len(problems)} error(s)\n" + "\n".join(f"  {line}" for line in problems))
    known = {fields["id"]: Peer(**fields) for fields in peers}
    return BenchData(
        tuple(Target(**{**fields, "peer": known.get(fields.get("peer", ""))}) for fields in targets),
        tuple(known.values()),
    )


def published_peers(tokens: int = 128) -> tuple[Peer, ...]:
    """Other systems' latencies of BERT-base (data/gpus.toml), one peer a system: its figures of all data types."""
    systems: dict[str, Peer] = {}
    for each in load_published():
        if each.tokens == tokens and each.dtype is not None and each.ms is not None:
            before = systems.get(each.system)
            figure = f"{each.dtype} {each.ms:.2f} ms" if before is None else f"{before.figure}, {each.dtype} {each.ms:.2f} ms"
            systems[each.system] = Peer(each.id, each.system, each.kind, each.source, figure)
    return tuple(systems.values())


def load_data(path: Path = DATA) -> BenchData:
    """Read and check the file, published systems with it. InputError with everything that is wrong."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; restore it") from error
    except ValueError as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    data = parse_data(raw, str(path))
    return replace(data, peers=(*published_peers(), *data.peers))
