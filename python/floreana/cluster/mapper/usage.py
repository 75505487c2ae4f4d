# SPDX-License-Identifier: Apache-2.0
"""Resources of a node of a shape, and what its board lets it have: the mapper's only door to both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from floreana.cluster.description import Description, Project
from floreana.cluster.multipliers import dsp_count
from floreana.project.synth import AVAILABLE

RESOURCES = ("DSP48E2", "RAMB36", "URAM288", "LUT")
PERCENT = {"DSP48E2": 90, "RAMB36": 90, "URAM288": 90, "LUT": 80}


@dataclass(frozen=True, slots=True)
class Limit:
    """What a node may use, and of how many there are. ``nodes``: those of that board."""

    board: str
    device: str
    nodes: tuple[str, ...]
    available: Mapping[str, int]

    def usable(self, resource: str) -> int:
        return self.available[resource] * PERCENT[resource] // 100


def usage(shape: Mapping[str, int]) -> dict[str, float]:
    """Resources of a node of that shape; half a RAMB36 is a RAMB18."""
    width = 8 * shape["K_LANES"] * shape["OUT_N"]
    weights = ceil(width / 72) * ceil(shape["W_WORDS"] / 512)
    attention = 3 * 7.5 * ceil((2 << shape["ROW_W"] + shape["SLOT_W"]) * shape["HEAD_BEATS"] / 512)
    norm = 7.5 * ceil(shape["RES_WORDS"] / 512) + 2.5 * shape["NORM_LANES"]
    uram = 8 * (ceil(shape["STORE_BEATS"] / 4096) + ceil(shape["ACC_BEATS"] / 4096)) + 56
    lut = 36 * shape["K_LANES"] * shape["OUT_N"] + 3000 * shape["NORM_LANES"] + 60_000
    return {"DSP48E2": dsp_count(shape), "RAMB36": weights + attention + norm + 20, "URAM288": uram, "LUT": lut}


def limits(project: Project | Description) -> list[Limit]:
    """Limits of every board of the cluster."""
    return [Limit("sidewinder", "xczu19eg", project.cluster.nodes, AVAILABLE)]
