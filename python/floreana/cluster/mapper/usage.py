# SPDX-License-Identifier: Apache-2.0
"""Resources of a node of a shape, and what its board lets it have: the mapper's only door to both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from floreana.boards import board, boards
from floreana.cluster.description import Description, Project
from floreana.cluster.multipliers import dsp_count

RESOURCES = ("DSP48E2", "RAMB36", "URAM288", "LUT")
PERCENT = {"DSP48E2": 90, "RAMB36": 90, "URAM288": 90, "LUT": 80}  # of a device that a node may use, as in make synth
_FIGURES = {"DSP48E2": "dsp", "RAMB36": "ramb36", "URAM288": "uram", "LUT": "lut"}


@dataclass(frozen=True, slots=True)
class Limit:
    """What a node may use, and of how many there are; a figure of the device that is not known limits nothing. ``nodes``: of that board."""

    board: str
    device: str
    nodes: tuple[str, ...]
    available: Mapping[str, int]

    def usable(self, resource: str) -> int:
        return self.available[resource] * PERCENT[resource] // 100


def amount(value: float) -> str:
    """24, 1,026 or 378.5."""
    return f"{value:,.1f}".removesuffix(".0")


def usage(shape: Mapping[str, int]) -> dict[str, float]:
    """Resources of a node of that shape; half a RAMB36 is a RAMB18."""
    width = 8 * shape["K_LANES"] * shape["OUT_N"]
    weights = ceil(width / 72) * ceil(shape["W_WORDS"] / 512)
    attention = 3 * 7.5 * ceil((2 << shape["ROW_W"] + shape["SLOT_W"]) * shape["HEAD_BEATS"] / 512)
    norm = 7.5 * ceil(shape["RES_WORDS"] / 512) + 2.5 * shape["NORM_LANES"]
    uram = 8 * (ceil(shape["STORE_BEATS"] / 4096) + ceil(shape["ACC_BEATS"] / 4096)) + 56
    lut = 36 * shape["K_LANES"] * shape["OUT_N"] + 3000 * shape["NORM_LANES"] + 60_000
    return {"DSP48E2": dsp_count(shape), "RAMB36": weights + attention + norm + 20, "URAM288": uram, "LUT": lut}


def _available(name: str) -> dict[str, int]:
    figures = board(name).device.figures
    return {resource: figures[figure] for resource, figure in _FIGURES.items() if figure in figures}


def limits(project: Project | Description) -> list[Limit]:
    """Limits of every board of the cluster, by name."""
    cluster = project.cluster
    names = sorted({cluster.board_of(node) for node in cluster.nodes})
    return [
        Limit(name, board(name).device_name, tuple(node for node in cluster.nodes if cluster.board_of(node) == name), _available(name))
        for name in names
    ]


def larger_boards(project: Project | Description) -> list[str]:
    """Boards with more block memories than the smallest of the cluster, 100G ports enough and all figures known; the smallest first."""
    cluster = project.cluster
    now = min((_available(cluster.board_of(node)).get("RAMB36", 0) for node in cluster.nodes), default=0)
    ports = max(len(board(cluster.board_of(node)).ports) for node in cluster.nodes)
    found = []
    for name, each in boards().items():
        have = _available(name)
        if len(have) == len(RESOURCES) and have["RAMB36"] > now and len(each.ports) >= min(ports, 1):
            found.append((have["RAMB36"], name))
    return [name for _, name in sorted(found)]
