# SPDX-License-Identifier: Apache-2.0
"""Multipliers of a node, counted from the parameters of `node_core`, and the DSP48E2 slices they fill.

Counted are all products of signed numbers in the RTL: those of the model's arithmetic. A slice multiplies 27 by 18 bits signed; wider
products take as many slices as tiles. Two int8 products with a factor in common share a slice: the array's (an input times two outputs)
and the context's (a probability times two columns of V), packed as one product of 27 by 8 or 9 bits. Scores have no common factor:
they, and the requantisation of the residual, are built of LUTs (use_dsp = "no" in the RTL). Not counted are unsigned products: the squares
of LayerNorm (16 by 16 bits, of LUTs) and those of indices in addresses (row times beats of a row), which take no slice: a few adders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

RES_W = 8  # bits of a residual element in ibert_add_norm


@dataclass(frozen=True, slots=True)
class Multipliers:
    """``count`` multipliers of ``a`` by ``b`` bits, signed; ``luts``: no DSP slice is used."""

    where: str
    count: int
    a: int
    b: int
    luts: bool = False

    @property
    def dsp(self) -> int:
        """DSP48E2 slices of all of them."""
        return 0 if self.luts else self.count * _tiles(self.a, self.b)


def _tiles(a: int, b: int) -> int:
    """Slices of one product: 26 and 17 bits a tile, the sign bit once."""

    def covered(x: int, y: int) -> int:
        return -(-(x - 1) // 26) * -(-(y - 1) // 17)

    return min(covered(a, b), covered(b, a))


def multipliers(shape: Mapping[str, int]) -> list[Multipliers]:
    """Every signed multiplier of a node of that shape."""
    heads = 64 // shape["HEAD_DIM"]  # side by side in a beat
    post, norm = shape["POST_LANES"], shape["NORM_LANES"]
    total = shape["ROW_W"] + 16  # bits of the sum of 2**ROW_W products of 9 by 8
    return [
        Multipliers("linear: array, two x*w", shape["K_LANES"] * shape["OUT_N"] // 2, 8, 27),
        Multipliers("linear: GELU, square", post, 21, 21),
        Multipliers("linear: GELU, x*(g+shift)", post, 32, 28),
        Multipliers("linear: requant", post, 48, 32),
        Multipliers("attention: scores, q*k", 64, 8, 8, luts=True),
        Multipliers("attention: exponential", heads, 17, 21),
        Multipliers("attention: requant of the exponential", heads, 37, 32),
        Multipliers("attention: probability ea*f, mean of values acc*f", 4, total, 33),
        Multipliers("attention: context, two p*v", 32, 9, 27),
        Multipliers("attention: requant of the context", 4, max(total, 24), 32),
        Multipliers("add_norm: requant of the residual", norm, RES_W, 32, luts=True),
        Multipliers("add_norm: v*f", norm, 25, 33),
        Multipliers("add_norm: requant of the sum, and of the result", norm, 36, 32),
    ]


def dsp_count(shape: Mapping[str, int]) -> int:
    """DSP48E2 slices of a node."""
    return sum(each.dsp for each in multipliers(shape))
