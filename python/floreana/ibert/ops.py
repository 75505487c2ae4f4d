# SPDX-License-Identifier: Apache-2.0
"""The integer arithmetic of an I-BERT encoder, one function per hardware unit, exact and vectorised.

Everything is numpy int64; no value ever passes through a float, except inside :func:`matmul`, whose docstring states why that
is exact. Every function checks the range of its operands and raises :class:`RangeError` naming the value and the limit: the
hardware has no more bits than these. docs/integer-semantics.md states the same formulas in prose.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from floreana.ibert.params import (
    DEFERRED,
    GeluParams,
    IntArray,
    LayerNormParams,
    LinearParams,
    RequantParams,
    SoftmaxParams,
)

INT8 = (-(1 << 7), (1 << 7) - 1)
INT16 = (-(1 << 15), (1 << 15) - 1)
INT24 = (-(1 << 23), (1 << 23) - 1)
INT32 = (-(1 << 31), (1 << 31) - 1)
INT36 = (-(1 << 35), (1 << 35) - 1)
INT48 = (-(1 << 47), (1 << 47) - 1)
INT56 = (-(1 << 55), (1 << 55) - 1)
UINT8 = (0, 255)
UINT32 = (0, (1 << 32) - 1)

SOFTMAX_N = 30  # greatest number of halvings of the exponential
E_MAX = 80  # greatest shift of a requantisation
BLOCK = 1 << 15  # values requantised at a time: memory, not meaning


class RangeError(ValueError):
    """An operand does not fit the width the hardware gives it."""


def signed(bits: int) -> tuple[int, int]:
    """Least and greatest value of a signed number of ``bits`` bits."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def check(name: str, values: ArrayLike, limits: tuple[int, int]) -> IntArray:
    """``values`` as int64, or RangeError if one lies outside ``limits`` (both inclusive)."""
    array = np.asarray(values)
    if array.dtype.kind not in "iub":
        raise TypeError(f"{name}: {array.dtype} is not an integer type")
    array = array.astype(np.int64, copy=False)
    if array.size:
        low, high = int(array.min()), int(array.max())
        if low < limits[0] or high > limits[1]:
            worst = low if low < limits[0] else high
            raise RangeError(f"{name}: value {worst} is outside {limits[0]}..{limits[1]}")
    return array


def _largest(values: IntArray) -> int:
    """The greatest magnitude; 0 of nothing."""
    return max(int(values.max(initial=0)), -int(values.min(initial=0)))


def saturate(values: IntArray, limits: tuple[int, int]) -> IntArray:
    """Clamp to ``limits``, both inclusive."""
    return np.clip(values, limits[0], limits[1])


def _round_shift(high: IntArray, low: IntArray, split: int, e: IntArray) -> IntArray:
    """round_half_even((high * 2**split + low) / 2**e) with 0 <= low < 2**split; |high| < 2**62, split <= 25.

    The result is exact where it fits 33 bits, and on the right side of the 33-bit range elsewhere (the caller saturates).
    """
    # e > split: low only decides whether the remainder is above the half. One sticky bit below ``high`` says so.
    far = np.maximum(e - split, 1)
    wide = (high << 1) | (low != 0)
    q_far = _carry_even(wide, far + 1)
    if int(e.min(initial=split + 1)) > split:
        return q_far
    # e <= split: the quotient is high << (split - e) plus some bits of low. |high| > 2**36 is far beyond saturation there.
    near = np.clip(high, -(1 << 36), 1 << 36)
    q_near = _carry_even((near << split) | low, np.minimum(e, split))
    return np.where(e <= split, q_near, q_far)


def _carry_even(value: IntArray, e: IntArray) -> IntArray:
    """round_half_even(value / 2**e), 0 <= e <= 63, where value + 2**(e - 1) does not overflow."""
    half = (np.int64(1) << e) >> 1
    # adding half - 1, and 1 more where the floor is odd, carries exactly when the value rounds up
    return np.where(e == 0, value, (value + (half - 1 + ((value >> e) & 1))) >> e)


def requant(
    x: ArrayLike,
    m: ArrayLike,
    e: ArrayLike,
    off: ArrayLike = 0,
    limits: tuple[int, int] = INT8,
) -> IntArray:
    """ibert_requant: ``saturate(round_half_even(x * m / 2**e) + off, limits)``; operands broadcast against each other.

    x 56 bits, m 32 bits, both signed; e 0..80; off 9 bits signed. The product of up to 87 bits is held exactly in two words.
    """
    x = check("requant x", x, INT56)
    m = check("requant m", m, INT32)
    e = check("requant e", e, (0, E_MAX))
    off = check("requant off", off, signed(9))
    if limits[0] < INT32[0] or limits[1] > INT32[1]:
        raise RangeError(f"requant target {limits} is wider than 32 bits")
    bound = _largest(x) * _largest(m)
    if x.ndim > 1 and x.size > BLOCK and all(a.ndim < x.ndim for a in (m, e, off)):
        # the same for every row: blocks of rows stay in the processor's cache, which is several times faster
        out = np.empty(x.shape, np.int64)
        step = max(1, BLOCK * len(x) // x.size)
        for start in range(0, len(x), step):
            out[start : start + step] = _requant(x[start : start + step], m, e, off, limits, bound)
        return out
    return _requant(x, m, e, off, limits, bound)


def _requant(x: IntArray, m: IntArray, e: IntArray, off: IntArray, limits: tuple[int, int], bound: int) -> IntArray:
    if bound < 1 << 61:
        rounded = _carry_even(x * m, np.minimum(e, 62))  # below 2**61 the answer is 0 beyond 62 bits
    else:
        split = 25
        # |x >> 25| <= 2**30 and |m| <= 2**31: the high word stays below 2**61 + 2**31, the low product below 2**56
        low = (x & ((1 << split) - 1)) * m
        high = (x >> split) * m + (low >> split)
        rounded = _round_shift(high, low & ((1 << split) - 1), split, e)
    return saturate(rounded + off, limits)


def requant_params(x: IntArray, rq: RequantParams, limits: tuple[int, int] = INT8) -> IntArray:
    """:func:`requant` with per-channel parameters along the last axis."""
    return requant(x, rq.m, rq.e, rq.off, limits)


def matmul(a: IntArray, b: IntArray) -> IntArray:
    """Exact ``a @ b`` of operands of at most 9 bits (int8, or probabilities 0..255).

    Computed by the floating-point BLAS, where that is exact: with |a| <= A, |b| <= B and K terms every partial sum, in whatever
    order and fused or not, is an integer of magnitude at most K*A*B. float32 holds every integer up to 2**24, float64 up to
    2**53; the narrower type is taken only where K*A*B <= 2**24. K is limited to 2**16, so K*A*B stays below 2**32.
    """
    a = check("matmul left operand", a, (-255, 255))
    b = check("matmul right operand", b, (-255, 255))
    inner = a.shape[-1]
    if inner > 1 << 16:
        raise RangeError(f"matmul: inner size {inner} exceeds {1 << 16}")
    if not a.size or not b.size:
        return np.zeros((*a.shape[:-1], b.shape[-1]), np.int64)
    bound = inner * _largest(a) * _largest(b)
    if bound <= 1 << 24:
        return (a.astype(np.float32) @ b.astype(np.float32)).astype(np.int64)
    return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)


def linear(x: IntArray, p: LinearParams) -> IntArray:
    """ibert_linear: ``x @ weight.T + bias``. x (N, K) int8, weight (C, K) int8, bias (C,) int32 -> (N, C) int32."""
    x = check("linear input", x, INT8)
    w = check("linear weight", p.weight, INT8)
    b = check("linear bias", p.bias, INT32)
    return check("linear accumulator", matmul(x, w.T) + b, INT32)


def gelu(x: IntArray, p: GeluParams) -> IntArray:
    """Integer GELU per channel: x (N, C) int32 -> (N, C) signed 48, saturated."""
    x = check("gelu x", x, INT32)
    b = check("gelu b", p.b, (signed(20)[0], 0))
    c = check("gelu c", p.c, signed(40))
    shift = check("gelu shift", p.shift, signed(24))
    a = np.minimum(np.abs(x), -b)
    # (a+b)**2 <= 2**38, |c| <= 2**39: the bracket fits 41 bits, g 27, g + shift 28, the product 60
    g = (np.sign(x) * ((a + b) ** 2 + c)) >> 14
    return saturate(x * (g + shift), INT48)


def exponentials(scores: IntArray, p: SoftmaxParams, limits: tuple[int, int]) -> IntArray:
    """ibert_exp along the last axis: scores int32 -> exponentials of their distance to the greatest, saturated to ``limits``."""
    scores = check("softmax score", scores, INT32)
    check("softmax -x0", -p.x0, (1, (1 << 16) - 1))
    check("softmax b", p.b, signed(20))
    check("softmax c", p.c, INT32)
    check("softmax m", p.m, (0, INT32[1]))
    check("softmax e", p.e, (SOFTMAX_N, E_MAX))
    x = np.maximum(scores - scores.max(axis=-1, keepdims=True), SOFTMAX_N * p.x0)
    q = x // p.x0
    r = x - q * p.x0
    z = r * (r + p.b) + p.c
    # the exponential is z * 2**(30 - q); the shift joins the requantisation, which is exact and spares a wide word. q reaches
    # 30, so the shift stays within e - 30 .. e
    return requant(np.maximum(z, 0), p.m, p.e - SOFTMAX_N + q, 0, limits)


def factor(ea: IntArray) -> IntArray:
    """ibert_recip of the sum along the last axis, which stays with size 1: floor(2**32 / sum) in 32 bits, 0 of 0."""
    total = check("softmax sum", ea.sum(axis=-1, keepdims=True), UINT32)
    return np.where(total == 0, 0, np.minimum((1 << 32) // np.maximum(total, 1), UINT32[1]))


def softmax(scores: IntArray, p: SoftmaxParams) -> IntArray:
    """The published softmax along the last axis: scores int32 -> probabilities 0..255 in units of 1/256."""
    ea = exponentials(scores, p, INT16)
    return saturate((ea * factor(ea)) >> 24, UINT8)


def head_context(scores: IntArray, v: IntArray, p: SoftmaxParams) -> IntArray:
    """Context of one head before its requantisation, int32: scores (N, K) int32, v (K, d) int8 -> (N, d).

    PUBLISHED: in units of v / 256. DEFERRED: of v / 65,536; exponentials of 8 bits unsigned, normalised after their sum with v.
    """
    if p.mode != DEFERRED:
        return check("context accumulator", matmul(softmax(scores, p), v), INT32)
    e8 = exponentials(scores, p, UINT8)
    # |acc| <= 128 * sum and f <= 2**32 / sum: the product stays within 2**39, the context within 2**23
    acc = check("context accumulator", matmul(e8, v), INT32)
    return (acc * factor(e8)) >> 16


def greatest_exponential(p: SoftmaxParams) -> int:
    """The exponential of the greatest score of a row, saturated only to 16 bits: DEFERRED needs exactly 255."""
    return int(requant(max(p.c, 0), p.m, p.e - SOFTMAX_N, 0, INT16))


def residual(acc: IntArray, rq: RequantParams, row: IntArray, row_rq: RequantParams) -> IntArray:
    """The input of LayerNorm: both terms requantised to 32 bits, their sum saturated to 24 bits. Shapes (N, H)."""
    check("residual accumulator", acc, INT32)
    check("residual row", row, INT16)
    total = requant_params(acc, rq, INT32) + requant_params(row, row_rq, INT32)
    return saturate(total, INT24)


def isqrt(values: ArrayLike) -> IntArray:
    """ibert_isqrt: floor of the square root of unsigned 32-bit values."""
    values = check("isqrt operand", values, UINT32)
    root = np.zeros_like(values)
    for bit in reversed(range(16)):
        trial = root | (1 << bit)
        root = np.where(trial * trial <= values, trial, root)
    return root


def round_half_even_div(total: IntArray, count: int) -> IntArray:
    """round_half_even(total / count), count > 0."""
    q = total // count
    twice = 2 * (total - q * count)
    return np.asarray(q + ((twice > count) | ((twice == count) & ((q & 1) == 1))))


def layer_norm(y: IntArray, p: LayerNormParams) -> IntArray:
    """Integer LayerNorm over the last axis: y (N, H) signed 24 -> (N, H) signed 36, saturated."""
    y = check("layer_norm input", y, INT24)
    bias = check("layer_norm bias", p.bias, INT32)
    check("layer_norm shift", p.shift, (0, 31))
    mu = round_half_even_div(y.sum(axis=-1, keepdims=True), y.shape[-1])
    v = y - mu
    vs = v >> p.shift
    # v has 25 bits, a square 48, and rows are shorter than 2**13: the sum stays below 2**62
    var = saturate((vs * vs).sum(axis=-1, keepdims=True), UINT32)
    sigma = np.maximum(isqrt(var) << p.shift, 1)
    f = (1 << 31) // sigma
    return saturate(((v * f) >> 1) + bias, INT36)


def attention(
    q: IntArray,
    k: IntArray,
    v: IntArray,
    p: SoftmaxParams,
    context_rq: RequantParams,
    heads: int,
) -> IntArray:
    """ibert_attention: q, k, v (N, H) int8 of ``heads`` heads side by side -> context (N, H) int8."""
    n, hidden = q.shape
    if hidden % heads:
        raise ValueError(f"hidden size {hidden} is not a multiple of {heads} heads")
    d = hidden // heads
    context: NDArray[np.int64] = np.empty((n, hidden), np.int64)
    for head in range(heads):
        part = slice(head * d, (head + 1) * d)
        context[:, part] = head_context(matmul(q[:, part], k[:, part].T), v[:, part], p)
    return requant_params(context, context_rq)
