# SPDX-License-Identifier: Apache-2.0
"""The data files of boards and devices, read and checked."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from floreana.errors import FloreanaError, InputError

_ROOM = Path(__file__).parent
DEVICES_FILE = _ROOM / "devices.toml"
LANES = 4  # of a QSFP28 cage
REF_MHZ = (156.25, 161.1328125, 322.265625)  # GT_REF_CLK_FREQ seen in public designs

Pin = Annotated[str, StringConstraints(pattern=r"^[A-Z]{1,2}[0-9]{1,2}$")]
CmacSite = Annotated[str, StringConstraints(pattern=r"^CMACE4_X[0-9]+Y[0-9]+$")]
GtGroup = Annotated[str, StringConstraints(pattern=r"^X[0-9]+Y[0-9]+~X[0-9]+Y[0-9]+$")]
PortName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Standard = Annotated[str, StringConstraints(pattern=r"^(LVCMOS(12|18|25|33)|LVDS(_25)?|DIFF_SSTL12)$")]
Count = Annotated[int, Field(ge=0)]


def _reference(mhz: float) -> float:
    if mhz not in REF_MHZ:
        raise ValueError(f"{mhz} MHz is no reference clock of cmac_usplus; {', '.join(map(str, REF_MHZ))} are known")
    return mhz


RefMhz = Annotated[float, AfterValidator(_reference)]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Device(_Data):
    """What a device has; None: no source was found. ``sources`` maps a source to the figures it gives."""

    name: str
    family: str
    lut: Count | None = None
    ff: Count | None = None
    dsp: Count | None = None
    """DSP slices: DSP48E2, in Versal DSP58."""
    ramb36: Count | None = None
    """Block memories of 36 kbit."""
    uram: Count | None = None
    """UltraRAM blocks of 288 kbit."""
    mac100: Count | None = None
    """Hard 100G Ethernet MACs (CMAC)."""
    aie: Count | None = None
    """AI engines."""
    aie_mac8: Count | None = None
    """int8 multiply-accumulates of one AI engine a cycle."""
    aie_mhz: Count | None = None
    """Clock of the AI engines in MHz."""
    sources: dict[str, tuple[str, ...]]

    @property
    def figures(self) -> dict[str, int]:
        """The known figures by name."""
        names = ("lut", "ff", "dsp", "ramb36", "uram", "mac100", "aie", "aie_mac8", "aie_mhz")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @model_validator(mode="after")
    def _sourced(self) -> Device:
        told = sorted(name for names in self.sources.values() for name in names)
        if told != sorted(self.figures):
            raise ValueError(f"each figure has one source: figures {sorted(self.figures)}, sources of {told}")
        return self


class Clock(_Data):
    """A free-running clock of the board; ``n`` None: single ended."""

    p: Pin
    n: Pin | None = None
    mhz: float = Field(ge=10, le=500)
    standard: Standard
    dedicated_route: Literal["ANY_CMT_COLUMN", "BACKBONE", "FALSE"] | None = None
    """CLOCK_DEDICATED_ROUTE of its net, where the pin is not clock capable."""


class Reset(_Data):
    """The board's reset button or pin."""

    pin: Pin
    active: Literal["low", "high"]
    standard: Standard


class Leds(_Data):
    """Single LEDs of the board, lowest first."""

    pins: tuple[Pin, ...] = Field(min_length=1)
    standard: Standard


class RefClock(_Data):
    """Reference clock of a transceiver quad."""

    p: Pin
    n: Pin
    mhz: RefMhz


class FixedPin(_Data):
    """An output that is driven at one level for ever."""

    name: PortName
    pin: Pin
    standard: Standard
    level: Literal[0, 1]


class Port(_Data):
    """A QSFP28 cage wired to a GTY quad. ``rx`` and ``tx`` are the P pins of lanes 0 to 3."""

    name: PortName
    refclk: RefClock
    gt_group: GtGroup
    cmac: CmacSite
    cmac_legal: tuple[CmacSite, ...] = Field(min_length=1)
    """Sites known to reach the quad."""
    rx: tuple[Pin, Pin, Pin, Pin]
    tx: tuple[Pin, Pin, Pin, Pin]
    sideband: tuple[FixedPin, ...] = ()

    @property
    def lanes(self) -> tuple[str, ...]:
        """Transceivers of lanes 0 to 3, ``X0Y12`` and so on."""
        column, first, last_column, last = (int(number) for number in re.findall(r"\d+", self.gt_group))
        assert column == last_column
        return tuple(f"X{column}Y{row}" for row in range(first, last + 1))

    @property
    def quad(self) -> str:
        """The quad, as its transceiver 0 divided by 4: ``X0Y3``."""
        column, first = (int(number) for number in re.findall(r"\d+", self.gt_group)[:2])
        return f"X{column}Y{first // LANES}"

    @property
    def pins(self) -> tuple[str, ...]:
        return (self.refclk.p, self.refclk.n, *self.rx, *self.tx, *(pin.pin for pin in self.sideband))

    @model_validator(mode="after")
    def _consistent(self) -> Port:
        column, first, last_column, last = (int(number) for number in re.findall(r"\d+", self.gt_group))
        if column != last_column or last != first + LANES - 1 or first % LANES:
            raise ValueError(f"{self.name}: gt_group {self.gt_group} is not the four transceivers of one quad")
        if self.cmac not in self.cmac_legal:
            raise ValueError(f"{self.name}: {self.cmac} does not reach quad {self.quad}; legal: {', '.join(self.cmac_legal)}")
        return self


class Board(_Data):
    """A board. ``ports`` empty: it has no 100G MAC, and no node can be built for it."""

    name: str
    title: str
    part: str
    board_part: str | None = None
    device_name: str = Field(alias="device")
    sources: tuple[str, ...] = Field(min_length=1)
    traps: tuple[str, ...] = ()
    """What public files say wrong, or what damages or stops the board."""
    power_budget_w: int | None = Field(default=None, ge=1)
    """Of set_operating_conditions, in watts."""
    clock: Clock
    reset: Reset | None = None
    leds: Leds | None = None
    ports: tuple[Port, ...]
    fixed: tuple[FixedPin, ...] = ()
    config: dict[str, str] = {}
    """Properties of the design that configuration needs."""

    @property
    def device(self) -> Device:
        return device(self.device_name)

    @property
    def pins(self) -> tuple[str, ...]:
        """Every package pin the board names."""
        clock = (self.clock.p,) if self.clock.n is None else (self.clock.p, self.clock.n)
        reset = () if self.reset is None else (self.reset.pin,)
        leds = () if self.leds is None else self.leds.pins
        ports = tuple(pin for port in self.ports for pin in port.pins)
        return (*clock, *reset, *leds, *ports, *(pin.pin for pin in self.fixed))

    @model_validator(mode="after")
    def _consistent(self) -> Board:
        for what, values in (
            ("pin", self.pins),
            ("port", tuple(port.name for port in self.ports)),
            ("GT quad", tuple(port.quad for port in self.ports)),
            ("CMAC", tuple(port.cmac for port in self.ports)),
            ("output", tuple(pin.name for pin in self.fixed)),
        ):
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"{what} {', '.join(twice)} is used twice")
        known = devices()
        if self.device_name not in known:
            raise ValueError(f"device {self.device_name} is unknown; known: {', '.join(known)}")
        if not self.part.startswith(f"{self.device_name}-"):
            raise ValueError(f"part {self.part} is not a {self.device_name}")
        macs = known[self.device_name].mac100
        if macs is not None and len(self.ports) > macs:
            raise ValueError(f"{len(self.ports)} ports, but {self.device_name} has {macs} 100G MACs")
        return self


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise FloreanaError(f"{path.name}: cannot be read: {error}") from error


def load_device(name: str, raw: Mapping[str, Any]) -> Device:
    """A device from its table of ``devices.toml``. Raises FloreanaError where it breaks a rule."""
    try:
        return Device.model_validate({"name": name, **raw})
    except ValidationError as error:
        raise FloreanaError(f"device {name}: {error}") from error


def load_board(name: str, raw: Mapping[str, Any]) -> Board:
    """A board from the contents of its file. Raises FloreanaError where it breaks a rule."""
    try:
        return Board.model_validate({"name": name, **raw})
    except ValidationError as error:
        raise FloreanaError(f"board {name}: {error}") from error


@cache
def devices() -> Mapping[str, Device]:
    """All devices by name, sorted."""
    raw = _read(DEVICES_FILE)
    return MappingProxyType({name: load_device(name, raw[name]) for name in sorted(raw)})


@cache
def boards() -> Mapping[str, Board]:
    """All boards by name, sorted."""
    paths = sorted(path for path in _ROOM.glob("*.toml") if path != DEVICES_FILE)
    return MappingProxyType({path.stem: load_board(path.stem, _read(path)) for path in paths})


def _unknown(kind: str, name: str, known: Mapping[str, object]) -> InputError:
    close = difflib.get_close_matches(name, list(known), n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return InputError(f"{kind} {name!r} is unknown; known: {', '.join(known)}{hint}")


def device(name: str) -> Device:
    """A device by name, for example ``xczu19eg``. Raises InputError with the known names."""
    known = devices()
    if name not in known:
        raise _unknown("device", name, known)
    return known[name]


def board(name: str) -> Board:
    """A board by name, for example ``sidewinder``. Raises InputError with the known names."""
    known = boards()
    if name not in known:
        raise _unknown("board", name, known)
    return known[name]
