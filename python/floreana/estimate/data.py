# SPDX-License-Identifier: Apache-2.0
"""What an estimate is made of: simulated runs, efficiencies of AI engines, and the devices that are estimated."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from floreana.boards import Device, board, boards, device
from floreana.errors import InputError

DATA = Path(__file__).parents[1] / "report" / "data"
SIMULATED, ENGINES = DATA / "simulated.toml", DATA / "engines.toml"
Count = Annotated[int, Field(ge=1)]
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "simulated": "RTL simulation of the whole cluster, bit for bit equal to the integer model",
        "modelled": "computed here, nothing was built",
        "measured": "measured by `make gpu-baseline` on the machine named",
        "published": "stands in the source named",
    }
)


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Run(_Data):
    """A simulated cluster; cycles of 5 ns, ``interval`` those of a sequence with two in flight. ``groups``: of all ``clusters``."""

    hidden: Count
    heads: Count
    ffn: Count
    nodes: Count
    groups: Count
    encoders: Count
    tokens: Count
    cycles: Count
    interval: Count | None = None
    clusters: Count = 1
    source: str = "docs/bench.md"


class Simulated(_Data):
    """data/simulated.toml."""

    run: tuple[Run, ...] = Field(min_length=1)


class Efficiency(_Data):
    """Share of the peak that AI engines of a generation reach, known by its int8 multiply-accumulates a cycle."""

    mac8: Count
    generation: str
    share: Annotated[float, Field(gt=0, le=1)]
    why: str
    source: str


class Engines(_Data):
    """data/engines.toml."""

    efficiency: tuple[Efficiency, ...] = Field(min_length=1)


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; restore it") from error
    except ValueError as error:
        raise InputError(f"{path} is not TOML: {error}") from error


def _refuse(path: Path, error: ValidationError) -> InputError:
    lines = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)]
    return InputError("\n".join([f"{path}: {len(lines)} error(s)", *lines]))


def load_simulated(path: Path = SIMULATED) -> Simulated:
    """Simulated runs. InputError with everything that is wrong."""
    try:
        return Simulated.model_validate(_load(path))
    except ValidationError as error:
        raise _refuse(path, error) from error


def load_engines(path: Path = ENGINES) -> tuple[Efficiency, ...]:
    """Efficiencies of AI engines. InputError with everything that is wrong."""
    try:
        return Engines.model_validate(_load(path)).efficiency
    except ValidationError as error:
        raise _refuse(path, error) from error


@dataclass(frozen=True, slots=True)
class Target:
    """What is estimated: a device, with as many 100 Gb/s ports as its board has cages. ``engines``: on its AI engines, not with our RTL."""

    name: str
    title: str
    device: Device
    ports: int
    ports_known: bool
    engines: bool = False


_VERSAL = {"vck190": ("VCK190", "xcvc1902"), "vpk180": ("VPK180", "xcvp1802"), "vek280": ("VEK280", "xcve2802")}
NO_TARGET = ("zcu102",)  # boards without a 100 Gb/s MAC
ENGINES_SUFFIX = "_aie"


def targets() -> dict[str, Target]:
    """Everything that can be estimated, by name. Versal boards have no board file, so one port is assumed of them."""
    out: dict[str, Target] = {}
    for name in (name for name in boards() if name not in NO_TARGET):
        known = board(name)
        out[name] = Target(name, known.title, known.device, len(known.ports), ports_known=True)
    for name, (title, of) in _VERSAL.items():
        out[name] = Target(name, title, device(of), 1, ports_known=False)
        if device(of).aie:
            out[name + ENGINES_SUFFIX] = Target(
                name + ENGINES_SUFFIX, f"{title}, AI engines", device(of), 1, ports_known=False, engines=True
            )
    return out
