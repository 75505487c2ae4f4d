# SPDX-License-Identifier: Apache-2.0
"""Resources of a node of a shape, and what its board lets it have: the mapper's only door to both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from floreana.boards import board, boards
from floreana.cluster.description import Description, Project
from floreana.cluster.resources import AVAILABLE, Limits, amount, limits_of, memories, name_of, total
from floreana.cluster.resources import usage as by_kernel

RESOURCES = tuple(AVAILABLE)


@dataclass(frozen=True, slots=True)
class Limit:
    """What a node on ``board`` may use; a figure of the device that is not known limits nothing. ``nodes``: those on that board."""

    board: str
    device: str
    nodes: tuple[str, ...]
    limits: Limits

    def usable(self, resource: str) -> int:
        there, percent = self.limits[resource]
        return there * percent // 100

    def told(self, resource: str) -> str:
        """``885 (90 % of 984)``, or that it is not known."""
        if resource not in self.limits:
            return "not known"
        there, percent = self.limits[resource]
        return f"{self.usable(resource):,} ({percent} % of {there:,})"


def usage(shape: Mapping[str, int]) -> dict[str, float]:
    """Resources of a node of that shape; half a RAMB36 is a RAMB18. URAM as the fit is judged: in whole ranks of 4,096 words."""
    ranks = sum(each.uram_of_ranks for each in memories(shape))
    return {**total(by_kernel(shape)).amounts, "URAM288": ranks}


def limits(project: Project | Description) -> list[Limit]:
    """Limits of every board of the cluster, by name."""
    cluster = project.cluster
    on = {name: tuple(node for node in cluster.nodes if cluster.board_of(node) == name) for name in boards()}
    return [Limit(name, name_of(board(name).device), nodes, limits_of(board(name).device)) for name, nodes in sorted(on.items()) if nodes]


def larger_boards(project: Project | Description) -> list[str]:
    """Boards with more block memories than the smallest of the cluster, ports enough and all figures known; the smallest first."""
    cluster = project.cluster
    present = {cluster.board_of(node) for node in cluster.nodes}
    now = min(limits_of(board(name).device).get("RAMB36", (0, 0))[0] for name in present)
    ports = max(len(board(name).ports) for name in present)
    have = {name: limits_of(each.device) for name, each in boards().items() if len(each.ports) >= ports}
    found = [(each["RAMB36"][0], name) for name, each in have.items() if len(each) == len(RESOURCES)]
    return [name for count, name in sorted(found) if count > now]


__all__ = ["RESOURCES", "Limit", "amount", "larger_boards", "limits", "usage"]
