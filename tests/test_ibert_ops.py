# SPDX-License-Identifier: Apache-2.0
"""The vectorised integer operators against plain Python integers, at corners and at random."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from floreana.ibert import ops
from floreana.ibert.params import DEFERRED, GeluParams, LayerNormParams, LinearParams, RequantParams, SoftmaxParams


def arr(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def clamp(value: int, limits: tuple[int, int]) -> int:
    return min(max(value, limits[0]), limits[1])


def slow_requant(x: int, m: int, e: int, off: int = 0, limits: tuple[int, int] = ops.INT8) -> int:
    # round() of a Fraction is exact and goes to the even neighbour at a tie
    return clamp(round(Fraction(x * m, 1 << e)) + off, limits)


def slow_softmax(row: list[int], p: SoftmaxParams) -> list[int]:
    exps = []
    for s in row:
        x = max(s - max(row), 30 * p.x0)
        q = x // p.x0
        r = x - q * p.x0
        # the wide form: the exponential itself, shifted left, then requantised
        ex = max((r * (r + p.b) + p.c) << (30 - q), 0)
        exps.append(slow_requant(ex, p.m, p.e, 0, ops.INT16))
    total = sum(exps)
    f = min((1 << 32) // total, (1 << 32) - 1) if total else 0
    return [clamp((ea * f) >> 24, (0, 255)) for ea in exps]


def slow_deferred(row: list[int], v: list[list[int]], p: SoftmaxParams) -> list[int]:
    """The context of one query: exponentials of 8 bits, their sum with each column of v, then the reciprocal of their own sum."""
    exps = []
    for s in row:
        x = max(s - max(row), 30 * p.x0)
        q = x // p.x0
        r = x - q * p.x0
        exps.append(slow_requant(max((r * (r + p.b) + p.c) << (30 - q), 0), p.m, p.e, 0, ops.UINT8))
    total = sum(exps)
    f = min((1 << 32) // total, (1 << 32) - 1) if total else 0
    return [sum(e * values[c] for e, values in zip(exps, v, strict=True)) * f >> 16 for c in range(len(v[0]))]


def slow_layer_norm(row: list[int], shift: int, bias: list[int]) -> list[int]:
    mu = round(Fraction(sum(row), len(row)))
    v = [y - mu for y in row]
    var = min(sum((a >> shift) ** 2 for a in v), (1 << 32) - 1)
    sigma = max(math.isqrt(var) << shift, 1)
    f = (1 << 31) // sigma
    return [clamp(((a * f) >> 1) + b, ops.INT36) for a, b in zip(v, bias, strict=True)]


def slow_gelu(x: int, b: int, c: int, shift: int) -> int:
    a = min(abs(x), -b)
    sign = (x > 0) - (x < 0)
    return clamp(x * (((sign * ((a + b) ** 2 + c)) >> 14) + shift), ops.INT48)


# --- requant --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("x", "want"), [(-5, -2), (-3, -2), (-1, 0), (1, 0), (3, 2), (5, 2), (7, 4), (-7, -4)])
def test_requant_ties_go_to_even(x: int, want: int) -> None:
    assert ops.requant(x, 1, 1) == want
    assert ops.requant(-x, -1, 1) == want
    assert ops.requant(x << 30, 1, 31) == want
    assert ops.requant(x << 23, 1 << 30, 54) == want  # the tie lies in the high word


@pytest.mark.parametrize(("x", "m"), [((1 << 55) - 1, 3), (-(1 << 55), 3), (1 << 24, 1), ((1 << 24) + 1, 1), (-(1 << 24) - 1, 1), (1, 1)])
def test_requant_at_every_shift(x: int, m: int) -> None:
    for e in range(81):
        for a, b in ((x, m), (x, -m), (-x - 1, m), (x + (x < 0), m)):
            assert ops.requant(a, b, e, 0, ops.INT32) == slow_requant(a, b, e, 0, ops.INT32), (a, b, e)


def test_requant_is_exact_near_ties() -> None:
    """Products one below, at and one above a tie, for every shift: the last bit decides."""
    for e in range(1, 81):
        for n in (-129, -128, -3, -2, -1, 0, 1, 2, 126, 127):
            tie = (2 * n + 1) << (e - 1)
            for product in (tie - 1, tie, tie + 1):
                if abs(product) < 1 << 55:
                    assert ops.requant(product, 1, e, 0) == slow_requant(product, 1, e, 0), (n, e, product - tie)
                    assert ops.requant(-product, -1, e, 0) == slow_requant(product, 1, e, 0), (n, e, product - tie)


def test_requant_extremes() -> None:
    xs = (-(1 << 55), (1 << 55) - 1, -1, 0, 1)
    ms = (-(1 << 31), (1 << 31) - 1, -1, 0, 1)
    for x in xs:
        for m in ms:
            for e in (0, 1, 23, 24, 25, 55, 62, 63, 64, 79, 80):
                for off in (-256, 0, 255):
                    for limits in (ops.INT8, ops.INT16, ops.INT32, ops.UINT8):
                        assert ops.requant(x, m, e, off, limits) == slow_requant(x, m, e, off, limits), (x, m, e, off)


def test_requant_saturates_after_the_offset() -> None:
    assert ops.requant(200, 1, 0, -100) == 100
    assert ops.requant(-200, 1, 0, 100) == -100
    assert ops.requant(200, 1, 0, 0) == 127


def test_requant_at_random() -> None:
    rng = random.Random(1)
    n = 20000
    bits = [rng.randrange(1, 56) for _ in range(n)]
    x = [rng.randrange(-(1 << b), 1 << b) for b in bits]
    m = [rng.randrange(-(1 << 31), 1 << 31) >> rng.randrange(31) for _ in range(n)]
    e = [min(80, max(0, a.bit_length() + b.bit_length() - rng.randrange(34))) for a, b in zip(x, m, strict=True)]
    off = [rng.randrange(-256, 256) for _ in range(n)]
    for limits in (ops.INT8, ops.INT32):
        want = [slow_requant(*args, limits) for args in zip(x, m, e, off, strict=True)]
        assert ops.requant(arr(*x), arr(*m), arr(*e), arr(*off), limits).tolist() == want


@pytest.mark.parametrize("bits", [28, 55])
def test_requant_in_blocks_equals_one_by_one(bits: int) -> None:
    """More values than one block, channels with parameters of their own; 28 bits take the one-word path, 55 the other."""
    rng = random.Random(bits)
    channels, rows = 48, ops.BLOCK // 48 + 50
    x = [[rng.randrange(-(1 << bits), 1 << bits) >> rng.randrange(bits) for _ in range(channels)] for _ in range(rows)]
    m = [rng.randrange(-(1 << 31), 1 << 31) for _ in range(channels)]
    e = [rng.randrange(20, 81) for _ in range(channels)]
    got = ops.requant_params(np.array(x, np.int64), RequantParams(arr(*m), arr(*e), arr(*([3] * channels))))
    for row in range(0, rows, 7):
        assert got[row].tolist() == [slow_requant(*args, 3) for args in zip(x[row], m, e, strict=True)]


# --- softmax --------------------------------------------------------------------------------------

REAL = SoftmaxParams(x0=-490, b=1912, c=1393919, m=1615394284, e=66)
SMALL = SoftmaxParams(x0=-1, b=3, c=7, m=(1 << 31) - 1, e=66)
WIDE = SoftmaxParams(x0=-65535, b=(1 << 19) - 1, c=(1 << 31) - 1, m=(1 << 31) - 1, e=80)
NEGATIVE = SoftmaxParams(x0=-100, b=400, c=10000, m=1 << 30, e=60)  # the polynomial dips below 0
TINY = SoftmaxParams(x0=-490, b=1912, c=1393919, m=1, e=80)  # every exponential rounds to 0
ONE = SoftmaxParams(x0=-490, b=1912, c=1 << 20, m=1 << 29, e=79)  # the greatest exponential is exactly 1


@pytest.mark.parametrize("p", [REAL, SMALL, WIDE, NEGATIVE, TINY, ONE])
def test_softmax(p: SoftmaxParams) -> None:
    rng = random.Random(2)
    rows = [
        [0] * 8,
        [-(1 << 31)] * 8,
        [(1 << 31) - 1] + [-(1 << 31)] * 7,
        [0, p.x0, p.x0 - 1, p.x0 + 1, 30 * p.x0, 30 * p.x0 + 1, 30 * p.x0 - 1, 29 * p.x0],
        [5, 5, 5, 5, 5, 5, 5, 4],
    ]
    rows += [[rng.randrange(-(1 << b), 1 << b) for _ in range(8)] for b in (1, 4, 8, 10, 12, 14, 16, 20, 24, 31) for _ in range(5)]
    got = ops.softmax(np.array(rows, np.int64), p)
    assert got.tolist() == [slow_softmax(row, p) for row in rows]


def test_softmax_degenerate_answers() -> None:
    assert ops.softmax(arr(3, 3, -9)[None], TINY).tolist() == [[0, 0, 0]]  # sum 0: f = 0
    # one exponential of 1: f = 2**32 - 1, and (1 * f) >> 24 is 255
    assert ops.softmax(arr(0)[None], ONE).tolist() == [[255]]
    assert ops.softmax(arr(0, -(1 << 20))[None], ONE).tolist() == [[255, 0]]
    # a single token: its probability would be 256 and saturates
    assert ops.softmax(arr(12345)[None], REAL).tolist() == [[255]]


FULL = SoftmaxParams(x0=-490, b=1912, c=1393919, m=1608720479, e=73, mode=DEFERRED)  # the greatest exponential is 255


@pytest.mark.parametrize("p", [FULL, *(replace(p, mode=DEFERRED) for p in (REAL, SMALL, WIDE, NEGATIVE, TINY, ONE))])
def test_deferred_softmax(p: SoftmaxParams) -> None:
    rng = random.Random(4)
    v = [[rng.randrange(-128, 128) for _ in range(5)] + [127, -128, 0] for _ in range(8)]
    rows = [[0] * 8, [(1 << 31) - 1] + [-(1 << 31)] * 7, [0, p.x0, p.x0 - 1, p.x0 + 1, 30 * p.x0, 29 * p.x0, 2 * p.x0, 3]]
    rows += [[rng.randrange(-(1 << b), 1 << b) for _ in range(8)] for b in (1, 8, 10, 12, 14, 20, 31) for _ in range(5)]
    got = ops.head_context(np.array(rows, np.int64), np.array(v, np.int64), p)
    assert got.tolist() == [slow_deferred(row, v, p) for row in rows]


def test_deferred_softmax_degenerate_answers() -> None:
    v = arr(-128, -1, 0, 1, 127)[None]
    zero, one = replace(TINY, mode=DEFERRED), replace(ONE, mode=DEFERRED)
    # sum 0: f = 0, and so is every mean; sum 1: f = 2**32 - 1 falls short of one by less than a unit, which the shift floors
    assert ops.head_context(arr(7)[None], v, zero).tolist() == [[0, 0, 0, 0, 0]]
    assert ops.head_context(arr(7)[None], v, one).tolist() == [[-128 << 16, -1 << 16, 0, (1 << 16) - 1, (127 << 16) - 1]]
    # a single token: 255 * floor(2**32 / 255) is 2**32 - 1 too
    assert ops.greatest_exponential(FULL) == 255
    assert ops.head_context(arr(7)[None], v, FULL).tolist() == [[-128 << 16, -1 << 16, 0, (1 << 16) - 1, (127 << 16) - 1]]


def test_deferred_softmax_stays_within_24_bits() -> None:
    for n in (1, 3, 512):
        for low in (-128, 127):
            out = ops.head_context(np.zeros((1, n), np.int64), np.full((n, 1), low, np.int64), FULL)
            assert abs(int(out[0, 0]) - (low << 16)) < 1 << 9 and -(1 << 23) <= int(out[0, 0]) < 1 << 23


# --- layer norm, residual, gelu -------------------------------------------------------------------


def test_layer_norm() -> None:
    rng = random.Random(3)
    h = 64
    top = (1 << 23) - 1
    rows = [
        [0] * h,
        [top] * h,
        [-top - 1] * h,
        [top] * (h // 2) + [-top - 1] * (h // 2),  # the variance saturates where shift is 0
        [1] + [0] * (h - 1),
        [1] * (h // 2) + [0] * (h // 2),  # the mean is 1/2: rounds to 0
        [1] * (h // 2) + [2] * (h // 2),  # 3/2: rounds to 2
        [-1] * (h // 2) + [0] * (h // 2),  # -1/2: rounds to 0
        [-1] * (h // 2) + [-2] * (h // 2),  # -3/2: rounds to -2
        [top] + [-1] * (h - 1),
    ]
    rows += [[rng.randrange(-(1 << b), 1 << b) for _ in range(h)] for b in (1, 4, 9, 14, 19, 23) for _ in range(4)]
    for shift in (0, 1, 7, 15, 31):
        bias = [rng.randrange(-(1 << 31), 1 << 31) for _ in range(h)]
        got = ops.layer_norm(np.array(rows, np.int64), LayerNormParams(shift, np.array(bias, np.int64)))
        assert got.tolist() == [slow_layer_norm(row, shift, bias) for row in rows]


def test_layer_norm_degenerate_answers() -> None:
    bias = arr(5, -5, 0, (1 << 31) - 1)
    assert ops.layer_norm(np.full((1, 4), -77, np.int64), LayerNormParams(3, bias)).tolist() == [bias.tolist()]
    # the shift hides all variance: sigma = 1, f = 2**31, and the output saturates at 36 bits
    rows = np.zeros((1, 128), np.int64)
    rows[0, 0] = 33
    assert ops.layer_norm(rows, LayerNormParams(31, np.zeros(128, np.int64)))[0, :2].tolist() == [ops.INT36[1], 0]


def test_layer_norm_saturates_both_ways() -> None:
    """The variance saturates, so sigma is too small and the output leaves 36 bits."""
    rows = np.zeros((2, 4096), np.int64)
    rows[0, 0], rows[1, 0] = 1 << 22, -(1 << 22)
    got = ops.layer_norm(rows, LayerNormParams(0, np.zeros(4096, np.int64)))
    assert got[:, 0].tolist() == [ops.INT36[1], ops.INT36[0]]
    assert got[0].tolist() == slow_layer_norm(rows[0].tolist(), 0, [0] * 4096)


def test_round_half_even_div() -> None:
    for count in (1, 2, 3, 4, 7, 128, 384):
        totals = list(range(-2 * count - 3, 2 * count + 4))
        got = ops.round_half_even_div(np.array(totals, np.int64), count)
        assert got.tolist() == [round(Fraction(total, count)) for total in totals]


def test_isqrt() -> None:
    rng = random.Random(4)
    values = [0, 1, 2, 3, 4, (1 << 32) - 1, 65535**2, 65535**2 - 1, 65535**2 + 1]
    values += [r * r + d for r in (1, 2, 255, 256, 46340, 65535) for d in (-1, 0, 1)]
    values += [rng.randrange(1 << 32) for _ in range(2000)]
    assert ops.isqrt(np.array(values, np.int64)).tolist() == [math.isqrt(v) for v in values]


def test_residual_saturates_in_two_steps() -> None:
    one = RequantParams(arr(1), arr(0), arr(0))
    double = RequantParams(arr(2), arr(0), arr(0))
    top = (1 << 31) - 1
    assert ops.residual(arr(5)[None], one, arr(-7)[None], one).tolist() == [[-2]]
    assert ops.residual(arr(top)[None], double, arr(0)[None], one).tolist() == [[(1 << 23) - 1]]
    assert ops.residual(arr(-top - 1)[None], double, arr(-1)[None], one).tolist() == [[-(1 << 23)]]
    # saturated to 32 bits first: 2**31 - 1 and -(2**31) leave -1, though the exact sum is beyond
    big = RequantParams(arr(-(1 << 31)), arr(0), arr(0))
    assert ops.residual(arr(top)[None], double, arr(127)[None], big).tolist() == [[-1]]


def test_gelu() -> None:
    rng = random.Random(5)
    triples = [
        (0, 0, 0),
        (-1, -1, -1),
        (-(1 << 19), (1 << 39) - 1, (1 << 23) - 1),
        (-(1 << 19), -(1 << 39), -(1 << 23)),
        (-7000, -49000001, -3000),
    ]
    triples += [(-rng.randrange(1 << 19), rng.randrange(-(1 << 39), 1 << 39), rng.randrange(-(1 << 23), 1 << 23)) for _ in range(20)]
    b, c, shift = (np.array(column, np.int64) for column in zip(*triples, strict=True))
    xs = [-(1 << 31), (1 << 31) - 1, -1, 0, 1, 7000, -7000, 6999, -6999] + [rng.randrange(-(1 << 31), 1 << 31) >> s for s in range(32)]
    got = ops.gelu(np.repeat(np.array(xs, np.int64)[:, None], len(triples), axis=1), GeluParams(b, c, shift))
    assert got.tolist() == [[slow_gelu(x, *t) for t in triples] for x in xs]
    assert (got[3] == 0).all()


# --- linear, ranges -------------------------------------------------------------------------------


def test_linear_is_exact_at_its_bound() -> None:
    k = 4096
    p = LinearParams(np.full((2, k), -128, np.int64), arr(-3, 3))
    assert ops.linear(np.full((1, k), -128, np.int64), p).tolist() == [[k * 16384 - 3, k * 16384 + 3]]
    rng = np.random.default_rng(6)
    x, w = rng.integers(-128, 128, (5, 300)), rng.integers(-128, 128, (7, 300))
    want = [[sum(int(a) * int(b) for a, b in zip(u, v, strict=True)) for v in w] for u in x]
    assert ops.linear(x, LinearParams(w, np.zeros(7, np.int64))).tolist() == want


@pytest.mark.parametrize(
    "call",
    [
        lambda: ops.requant(1 << 55, 1, 0),
        lambda: ops.requant(1, 1 << 31, 0),
        lambda: ops.requant(1, 1, 81),
        lambda: ops.requant(1, 1, -1),
        lambda: ops.requant(1, 1, 0, 256),
        lambda: ops.requant(1, 1, 0, 0, ops.INT36),
        lambda: ops.linear(arr(128)[None], LinearParams(arr(1)[None], arr(0))),
        lambda: ops.linear(arr(127)[None], LinearParams(arr(1)[None], arr((1 << 31) - 1))),
        lambda: ops.softmax(arr(0)[None], SoftmaxParams(0, 1, 1, 1, 30)),
        lambda: ops.softmax(arr(0)[None], SoftmaxParams(-1, 1, 1, 1, 29)),
        lambda: ops.softmax(arr(0)[None], SoftmaxParams(-65536, 1, 1, 1, 30)),
        lambda: ops.layer_norm(arr(1 << 23)[None], LayerNormParams(0, arr(0))),
        lambda: ops.layer_norm(arr(1)[None], LayerNormParams(32, arr(0))),
        lambda: ops.gelu(arr(1)[None], GeluParams(arr(1), arr(0), arr(0))),
        lambda: ops.isqrt(-1),
    ],
)
def test_operands_out_of_range_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ops.RangeError):
        call()


def test_floats_are_refused() -> None:
    with pytest.raises(TypeError):
        ops.requant(1.0, 1, 0)
