# SPDX-License-Identifier: Apache-2.0
"""Stimuli of the corners and answers worked out by hand: tests/test_corners_model.py is for the model, the benches here for the RTL."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from floreana.ibert.params import DEFERRED, IntArray, RequantParams, SoftmaxParams

LOW56, HIGH56 = -(1 << 55), (1 << 55) - 1
LOW32, HIGH32 = -(1 << 31), (1 << 31) - 1

# ------------------------------------------------------------------------------------------------------------------ requant

# corner -> (x of 56 bits, m, e, off, int8 answer)
REQUANT: dict[str, list[tuple[int, int, int, int, int]]] = {
    "requant_ties_positive": [
        (1, 1, 1, 0, 0), (3, 1, 1, 0, 2), (5, 1, 1, 0, 2), (7, 1, 1, 0, 4), (253, 1, 1, 0, 126), (255, 1, 1, 0, 127),
        (3 << 29, 1, 30, 0, 2), (1 << 30, 1 << 30, 61, 0, 0), (5 << 50, 1 << 29, 80, 0, 2), (1 << 50, 3 << 29, 80, 0, 2),
    ],
    "requant_ties_negative": [
        (-1, 1, 1, 0, 0), (-3, 1, 1, 0, -2), (-5, 1, 1, 0, -2), (-7, 1, 1, 0, -4), (-255, 1, 1, 0, -128), (-257, 1, 1, 0, -128),
        (-3 << 29, 1, 30, 0, -2), (-1 << 30, 1 << 30, 61, 0, 0), (-5 << 50, 1 << 29, 80, 0, -2), (1 << 50, -3 << 29, 80, 0, -2),
    ],
    "requant_negative_multipliers": [
        (3, -1, 1, 0, -2), (-3, -1, 1, 0, 2), (1, -1, 1, 0, 0), (127, -1, 0, 0, -127), (-127, -1, 0, 0, 127), (-128, -1, 0, 0, 127),
        (100, LOW32, 31, 0, -100), (-100, LOW32, 31, 0, 100), (LOW32, LOW32, 62, 0, 1), (HIGH56, LOW32, 80, 0, -64),
    ],
    "requant_shift_zero": [
        (0, HIGH32, 0, 0, 0), (5, 25, 0, 0, 125), (5, 26, 0, 0, 127), (-5, 25, 0, 0, -125), (-5, 26, 0, 0, -128), (-1, 128, 0, 0, -128),
        (HIGH56, HIGH32, 0, 0, 127), (LOW56, HIGH32, 0, 0, -128), (HIGH56, LOW32, 0, 0, -128), (LOW56, LOW32, 0, 0, 127),
    ],
    "requant_shift_eighty": [
        (1 << 49, 1 << 30, 80, 0, 0), ((1 << 49) + 1, 1 << 30, 80, 0, 1), (3 << 49, 1 << 30, 80, 0, 2), ((3 << 49) - 1, 1 << 30, 80, 0, 1),
        (-1 << 49, 1 << 30, 80, 0, 0), ((-1 << 49) - 1, 1 << 30, 80, 0, -1), (HIGH56, HIGH32, 80, 0, 64), (LOW56, HIGH32, 80, 0, -64),
        (HIGH32, HIGH32, 80, 0, 0), (LOW32, HIGH32, 80, 7, 7),
    ],
    "requant_offsets": [
        (200, 1, 0, -100, 100), (-200, 1, 0, 100, -100), (0, 0, 0, 255, 127), (0, 0, 0, -256, -128), (3, 1, 1, -256, -128),
        (250, 1, 0, -256, -6), (0, 123, 5, 7, 7), (383, 1, 0, -256, 127), (384, 1, 0, -256, 127), (-383, 1, 0, 255, -128),
        (-382, 1, 0, 255, -127), (HIGH56, HIGH32, 0, -256, 127), (LOW56, HIGH32, 0, 255, -128),
    ],
    "requant_most_negative_inputs": [
        (LOW56, 1, 0, 0, -128), (LOW56, 1, 48, 0, -128), (LOW56, 1, 49, 0, -64), (LOW56, -1, 49, 0, 64), (LOW56, -1, 48, 0, 127),
        (LOW56, LOW32, 80, 0, 64), (LOW56, LOW32, 79, 0, 127), (LOW56, LOW32, 80, -256, -128), (LOW56, 0, 0, 0, 0),
    ],
}  # fmt: skip

# ------------------------------------------------------------------------------------------------------------------ GELU

# corner -> (x, b, c, shift, answer of 48 bits)
GELU: dict[str, list[tuple[int, int, int, int, int]]] = {
    # beside zero the polynomial's sign is taken before its shift: -1999 >> 14 is -1, 1999 >> 14 is 0
    "gelu_at_zero": [
        (0, -1000, -2_000_000, -50, 0), (0, -(1 << 19), (1 << 39) - 1, (1 << 23) - 1, 0), (0, 0, -(1 << 39), -(1 << 23), 0),
        (1, -1000, -1_000_000, -70, -71), (-1, -1000, -1_000_000, -70, 70),
    ],
    # |x| = -b and one to either side; -1000000 >> 14 is -62, 1000000 >> 14 is 61
    "gelu_at_the_clip": [
        (999, -1000, -1_000_000, -61, -122_877), (1000, -1000, -1_000_000, -61, -123_000), (1001, -1000, -1_000_000, -61, -123_123),
        (-999, -1000, -1_000_000, -60, -999), (-1000, -1000, -1_000_000, -60, -1000), (-1001, -1000, -1_000_000, -60, -1001),
        (HIGH32, -1000, -1_000_000, -61, -123 * HIGH32),
        ((1 << 19) - 1, -(1 << 19), 0, 1, (1 << 19) - 1), (1 << 19, -(1 << 19), 0, 1, 1 << 19),
        (5, 0, 1 << 14, 0, 5),
    ],
    "gelu_most_negative_inputs": [
        (LOW32, -(1 << 19), -(1 << 39), -(1 << 23), -(1 << 47)), (LOW32, 0, 0, 0, 0), (LOW32, 0, 1 << 14, 0, 1 << 31),
        (LOW32, -1, 0, -(1 << 23), (1 << 47) - 1), (HIGH32, 0, (1 << 39) - 1, 0, (1 << 47) - 1),
    ],
}  # fmt: skip

# ------------------------------------------------------------------------------------------------------------------ attention

# the greatest exponential is exactly 2**14: alone it gives (2**14 * 2**18) >> 24 = 256 before saturation
POWER = SoftmaxParams(x0=-6931, b=27073, c=1 << 28, m=1 << 30, e=74)
# deferred: exactly 255; and exponentials that are all 0
LATE = SoftmaxParams(x0=-6931, b=27073, c=1 << 28, m=255 << 22, e=80, mode=DEFERRED)
NONE = SoftmaxParams(x0=-6931, b=27073, c=1 << 28, m=0, e=80, mode=DEFERRED)


def same_requant(channels: int, m: int, e: int, off: int) -> RequantParams:
    """One set of constants for all channels."""
    return RequantParams(*(np.full(channels, value, np.int64) for value in (m, e, off)))


class Attention:
    """One head's q, k, v (n, 64), context requant, the context expected, and the softmax."""

    def __init__(
        self, q: IntArray, k: IntArray, v: IntArray, rq: tuple[int, int, int], want: IntArray, softmax: SoftmaxParams = POWER
    ) -> None:
        self.q, self.k, self.v, self.rq, self.want, self.softmax = q, k, v, rq, want, softmax


def _full(n: int, value: int) -> IntArray:
    return np.full((n, 64), value, np.int64)


def one_token() -> Attention:
    """Probability 255/256, whatever the score: the context of v is v*255/256, rounded half to even."""
    v = np.arange(-64, 64, 2, dtype=np.int64)[None] * 2
    want = np.array([[round(Fraction(255 * int(x), 256)) for x in v[0]]], np.int64)
    return Attention(_full(1, 77), _full(1, -5), v, (1, 8, 0), want)


def dominant_score(n: int = 5) -> Attention:
    """One key takes all: 255 and not 256, so that 255*1 - 256 = -1; the others' v do not enter."""
    k, v = _full(n, -128), _full(n, 99)
    k[n // 2], v[n // 2] = 127, 1
    return Attention(_full(n, 127), k, v, (1, 0, -256), _full(n, -1))


def all_scores_equal(n: int) -> Attention:
    """q = 0: each of n keys has (2**14 * (2**18 // n)) >> 24 (n = 8: 32, 3: 85, 9: 28); the sum over v = 1 shows the lost mass."""
    total = {8: 256, 3: 255, 9: 252}[n]
    k = np.random.default_rng(n).integers(-128, 128, (n, 64))
    return Attention(_full(n, 0), k, _full(n, 1), (1, 0, -256), _full(n, total - 256))


def deferred_one_token() -> Attention:
    """All of it: (255*v * floor(2**32 / 255)) >> 16 is 65,536*v, one less where v > 0, and v again over 65,536."""
    v = np.arange(-128, 128, 4, dtype=np.int64)[None]
    return Attention(_full(1, 77), _full(1, -5), v, (1, 16, 0), v, LATE)


def deferred_mean(n: int) -> Attention:
    """q = 0: the mean of v = 0, 2, 4 ... is n - 1, of which no key's share is floored away (n = 9 loses 4 of 256 published)."""
    k = np.random.default_rng(n).integers(-128, 128, (n, 64))
    v = np.repeat(np.arange(0, 2 * n, 2, dtype=np.int64)[:, None], 64, axis=1)
    return Attention(_full(n, 0), k, v, (1, 16, 0), _full(n, n - 1), LATE)


def deferred_floor() -> Attention:
    """Exponentials 255, 1, 1 and v = 0, -1, 0: -1 * floor(2**32 / 257) is -255.003 * 65,536, floored to -256; the offset makes it -1."""
    k, v = _full(3, -5), _full(3, 0)
    k[0], v[1] = 4, -1
    return Attention(_full(3, 100), k, v, (1, 0, 255), _full(3, -1), LATE)


def deferred_sum_of_zero() -> Attention:
    """Every exponential 0: factor 0, mean 0, and the offset is what is left."""
    return Attention(_full(3, 5), _full(3, 7), _full(3, 127), (HIGH32, 0, -9), _full(3, -9), NONE)


def deferred_most_negative() -> Attention:
    """-128 everywhere: |sum * factor| near 2**39, the mean -2**23 within a few units, over 65,536 -128."""
    return Attention(_full(16, -128), _full(16, -128), _full(16, -128), (1, 16, 0), _full(16, -128), LATE)


def most_negative_attention() -> Attention:
    """All operands -128: equal scores of 2**20; eight probabilities of 32 times -128 are -32768, over 256 -128."""
    return Attention(_full(8, -128), _full(8, -128), _full(8, -128), (1, 8, 0), _full(8, -128))


# ------------------------------------------------------------------------------------------------------------------ add and norm


class Norm:
    """One row: constants of all channels, shift, accumulators, residual, and the row expected."""

    def __init__(self, constants: dict[str, int], shift: int, acc: IntArray, res: IntArray, want: IntArray) -> None:
        self.constants, self.shift, self.acc, self.res, self.want = constants, shift, acc, res, want


def zero_variance(h: int) -> list[Norm]:
    """All values equal: the output is the bias, requantised, at the smallest and the largest shift."""
    zero = np.zeros(h, np.int64)
    return [
        Norm({"bias": 77}, 0, np.full(h, 5000), zero, np.full(h, 77)),
        Norm({"bias": -77}, 31, np.full(h, -5000), zero, np.full(h, -77)),
        Norm({"bias": 3, "oe": 1}, 5, zero, zero, np.full(h, 2)),
    ]


def norm_accumulators_at_their_bound(h: int) -> list[Norm]:
    """Sums at either end of int32. Halves of 2**31 - 1 and -2**31, scaled to 1 and -1 (e = 31): var = h, sigma = isqrt(h)."""
    zero, up = np.zeros(h, np.int64), np.arange(h) % 2 == 0
    out = ((1 << 31) // int(h**0.5)) >> 1
    want = np.where(up, round(Fraction(out, 1 << 21)), -round(Fraction(((1 << 31) // int(h**0.5) + 1) // 2, 1 << 21)))
    return [
        Norm({"bias": 5}, 0, np.full(h, HIGH32), zero, np.full(h, 5)),
        Norm({"bias": -5}, 0, np.full(h, LOW32), np.full(h, -128), np.full(h, -5)),
        Norm({"e": 31, "oe": 21}, 0, np.where(up, HIGH32, LOW32), zero, np.clip(want, -128, 127)),
    ]
