# SPDX-License-Identifier: Apache-2.0
"""What is known of AMD's 100G MAC IP, `cmac_usplus`: cmac_usplus.toml beside this file, read and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from floreana.boards import Port
from floreana.errors import FloreanaError

DATA = Path(__file__).with_name("cmac_usplus.toml")


class Cmac(BaseModel):
    """Names of the IP: ``properties`` without CONFIG., ports with their width in bits where the IP has the settings of `settings`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vlnv: str
    oldest: str
    sources: tuple[str, ...] = Field(min_length=1)
    fixed: dict[str, str]
    properties: tuple[str, ...] = Field(min_length=1)
    inputs: dict[str, int]
    outputs: dict[str, int]


@cache
def cmac() -> Cmac:
    """The data file."""
    return Cmac.model_validate(tomllib.loads(DATA.read_text(encoding="utf-8")))


def settings(port: Port, drp_mhz: int) -> dict[str, str]:
    """Properties of the IP for a cage of a board, without CONFIG.; ``drp_mhz`` is the clock on init_clk."""
    own = {
        "CMAC_CORE_SELECT": port.cmac,
        "GT_GROUP_SELECT": port.gt_group,
        **{f"LANE{lane}_GT_LOC": site for lane, site in enumerate(port.lanes, 1)},
        "GT_REF_CLK_FREQ": f"{port.refclk.mhz:.10g}",
        "GT_DRP_CLK": str(drp_mhz),
    }
    return check({**cmac().fixed, **own})


def check(values: Mapping[str, str]) -> dict[str, str]:
    """The same, sorted. FloreanaError where the IP has no such property."""
    unknown = sorted(set(values) - set(cmac().properties))
    if unknown:
        raise FloreanaError(f"cmac_usplus has no property {', '.join(unknown)} ({DATA.name})")
    return dict(sorted(values.items()))
