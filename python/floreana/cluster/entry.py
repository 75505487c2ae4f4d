# SPDX-License-Identifier: Apache-2.0
"""How rows enter a cluster: what the host sends for each row (docs/mapping.md, section 3.3).

Part of the plan (plan.json) and of all that the host is told of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EntryPlan:
    """Row t goes to its owner's ENTRY, kernel ``kernel_base + owners[t]``, on ``edge``; that keeps it and multicasts it.

    The first ``direct`` rows of a sequence go straight to who multiplies them, which saves a crossing of the wire before the first word
    of work: to the owner's ENTRY on ``direct_edge``, which keeps the row and hands it to its own node's `linear` only, and to the
    `linear` kernels ``linear_base`` + node of all other ``takers`` on ``row_edge``, the multicast's. Other nodes may then be at
    work on a row that its owner does not have yet. The owner's LayerNorm still finds the residual, whatever is lost or overtaken: it
    waits for the parts of all nodes, every part needs the queries of the row from all takers, and those of the owner's own node are made of
    the row as ENTRY hands it on, after it was stored.
    """

    kernel_base: int
    edge: int
    direct: int = 0
    direct_edge: int = -1  # -1: there is none
    row_edge: int = -1
    linear_base: int = 0
    takers: tuple[int, ...] = ()

    def copies(self, row: int, owner: int) -> tuple[tuple[int, int], ...]:
        """(kernel, edge) of everyone whom the host sends a row of that owner, in order."""
        if row >= self.direct:
            return ((self.kernel_base + owner, self.edge),)
        others = ((self.linear_base + node, self.row_edge) for node in self.takers if node != owner)
        return ((self.kernel_base + owner, self.direct_edge), *others)

    def kernels(self, owners: Iterable[int]) -> set[int]:
        """Every kernel that the host sends rows to; ``owners`` by row."""
        return {kernel for row, owner in enumerate(owners) for kernel, _ in self.copies(row, owner)}

    @property
    def edges(self) -> frozenset[int]:
        """Every edge that the host sends rows on."""
        return frozenset({self.edge, self.direct_edge, self.row_edge} - {-1})
