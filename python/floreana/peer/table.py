# SPDX-License-Identifier: Apache-2.0
"""What was compared and why anything differs: counts per unit and arithmetic, and the rule that makes a difference explained.

A cause is established by experiment. The same case runs in four arithmetics; where taking a rounding away takes the
difference away, that rounding is its cause. A difference that stays when nothing rounds any more is unexplained.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]

FLOAT32 = "float32"
FLOAT32_INTEGERS = "float32, integers restored"
FLOAT64 = "float64"
EXACT = "float64, integers restored"
LEVELS = (FLOAT32, FLOAT32_INTEGERS, FLOAT64, EXACT)

QUOTIENT = "q·s divided by s again is not q"
MANTISSA = "24 bits of mantissa hold neither the integer nor the product"
SATURATION = "probability 256, saturated to 255 here"
MULTIPLIER = "(near) tie of the 16-bit requant: the ratio there is not quite m/2^e"
NARROW = "beyond the 22 bits of the reference's residual, within our 24"
UNDEFINED = "0/0 there, defined here"


@dataclass(slots=True)
class Tally:
    """One row of the table."""

    checked: int = 0
    differ: int = 0
    largest: int = 0
    unexplained: int = 0
    causes: dict[str, int] = field(default_factory=dict)

    def add(self, size: NDArray[np.int64], causes: dict[str, BoolArray]) -> None:
        """``size``: |difference| of every value. ``causes``: where each cause is established; the first that applies counts."""
        open_ = size != 0
        self.checked += size.size
        self.differ += int(open_.sum())
        self.largest = max(self.largest, int(size.max(initial=0)))
        for cause, where in causes.items():
            count = int((open_ & where).sum())
            if count:
                self.causes[cause] = self.causes.get(cause, 0) + count
            open_ = open_ & ~where
        self.unexplained += int(open_.sum())


def explain(level: str, differs: dict[str, BoolArray]) -> dict[str, BoolArray]:
    """Causes of the differences at ``level``; ``differs`` says for each of the four arithmetics where the same case differs."""
    rounding = ~differs[EXACT]  # it is equal where nothing rounds: something that rounds is the cause
    if level == FLOAT32:
        return {MANTISSA: rounding & differs[FLOAT32_INTEGERS], QUOTIENT: rounding}
    if level == FLOAT32_INTEGERS:
        return {MANTISSA: rounding}
    if level == FLOAT64:
        return {QUOTIENT: rounding}
    return {}


class Table:
    """Rows by unit and arithmetic, in the order in which they first appeared."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Tally] = {}

    def row(self, unit: str, level: str) -> Tally:
        return self.rows.setdefault((unit, level), Tally())

    def case(
        self,
        unit: str,
        sizes: dict[str, NDArray[np.int64]],
        named: dict[str, dict[str, BoolArray]] | None = None,
    ) -> None:
        """One case in all four arithmetics. ``named`` adds, per arithmetic, causes that were established in another way."""
        left = {level: (size != 0) for level, size in sizes.items()}
        for level, causes in (named or {}).items():
            for where in causes.values():
                left[level] = left[level] & ~where
        for level in LEVELS:
            self.row(unit, level).add(sizes[level], {**(named or {}).get(level, {}), **explain(level, left)})

    @property
    def unexplained(self) -> int:
        return sum(row.unexplained for row in self.rows.values())

    def lines(self) -> Iterator[str]:
        """The table as text."""
        head = ("unit", "arithmetic of the reference", "checked", "equal", "differ", "largest")
        body = [
            (unit, level, str(row.checked), str(row.checked - row.differ), str(row.differ), str(row.largest))
            for (unit, level), row in self.rows.items()
        ]
        widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
        last = ""
        for line, row in zip([head, *body], [None, *self.rows.values()], strict=True):
            cells = [line[0] if line[0] != last else "", *line[1:]]
            last = line[0]
            text = "  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True)))
            if row is None:
                yield f"{text}  cause"
                continue
            causes = [f"{count} {cause}" for cause, count in row.causes.items()]
            if row.unexplained:
                causes.append(f"{row.unexplained} UNEXPLAINED")
            yield f"{text}  {'; '.join(causes)}".rstrip()
