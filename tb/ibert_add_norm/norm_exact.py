# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of add_norm on Python integers, written apart from floreana.ibert.ops: a second opinion on both."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import isqrt


def clamp(x: int, bits: int) -> int:
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, x))


def requant(x: int, m: int, e: int, off: int, bits: int) -> int:
    # round() of a Fraction is exact and takes ties to even
    return clamp(round(Fraction(x * m, 1 << e)) + off, bits)


def add_norm_row(acc: Sequence[int], res: Sequence[int], chan: Sequence[dict[str, int]], shift: int) -> list[int]:
    """One row: int32 accumulators, int8 residual, channel constants (layout.CHANNEL names, signed) -> int8."""
    h = len(acc)
    y = [clamp(requant(a, c["m"], c["e"], 0, 32) + requant(r, c["m1"], c["e1"], 0, 32), 24) for a, r, c in zip(acc, res, chan, strict=True)]
    mu = round(Fraction(sum(y), h))
    var = min(sum(((v - mu) >> shift) ** 2 for v in y), (1 << 32) - 1)
    f = (1 << 31) // max(isqrt(var) << shift, 1)
    return [requant(clamp((((v - mu) * f) >> 1) + c["bias"], 36), c["om"], c["oe"], c["ooff"], 8) for v, c in zip(y, chan, strict=True)]
