# SPDX-License-Identifier: Apache-2.0
"""The units of softmax normalisation, LayerNorm's row arithmetic and the dot product."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np

from floreana.ibert import ops
from floreana.ibert.params import IntArray
from floreana.spec import blocks_norm
from floreana.spec.blocks import flag, ranged, signed, unsigned
from floreana.spec.unit import Streams, Unit, Values, some


def _natural(rng: random.Random, bits: int) -> int:
    """A number of ``bits`` bits without sign: any magnitude alike often, and the corners."""
    if rng.random() < 0.2:
        return rng.choice((0, 1, (1 << bits) - 1, (1 << bits) - 2, 1 << (bits - 1)))
    return rng.randrange(1 << bits) >> rng.randrange(bits)


# ------------------------------------------------------------------ softmax: one probability, or one mean of values


def _prob_operands(rng: random.Random, count: int, p: Mapping[str, int]) -> Streams:
    rows: list[Values] = []
    for _ in range(count):
        a, f = some(rng, p["A_W"]), _natural(rng, 32)
        if a > 0 and rng.random() < 0.5:  # near 0, 255 and 256, where the answer turns
            f = min((1 << 32) - 1, max(0, (rng.choice((0, 1, 255, 256)) << 24) // a + rng.randrange(-1, 2)))
        rows.append({"s_a": a, "s_f": f})
    yield {}, rows


def _prob_expect(v: Values, p: Mapping[str, int]) -> Values:
    return {"m_p": int(ops.saturate(np.asarray(v["s_a"] * v["s_f"] >> 24, np.int64), ops.UINT8))}


PROB = Unit(
    name="prob",
    module="ibert_prob",
    block=blocks_norm.prob,
    inputs=lambda p: dict(s_valid=flag(), s_a=signed(p["A_W"]), s_f=unsigned(32)),
    outputs=lambda p: dict(m_o=signed(p["A_W"] + 17), m_valid=flag(), m_p=unsigned(8)),
    full=dict(A_W=16),
    proofs=(dict(A_W=16), dict(A_W=23)),
    operands=_prob_operands,
    expect=_prob_expect,
    bugs=(
        ("(prod_p2[A_W+31:32] != {A_W{1'b0}})", "(prod_p2[A_W+31:33] != {A_W-1{1'b0}})"),
        ("prod_p2[A_W+32] ? 8'd0 : ", ""),
        ("$signed({1'b0, s_f})", "$signed({s_f[31], s_f})"),
        ("prod_p2 <= prod_p1;", "prod_p2 <= s_a * f;"),
    ),
    depth=lambda p: 4,
    valid_in="s_valid",
    valid_out="m_valid",
    at={"m_o": 2},
)


def _mean_of_values_operands(rng: random.Random, count: int, p: Mapping[str, int]) -> Streams:
    """Sums of values -128..127 with weights that sum to ``total``, and the factor of that."""
    rows: list[Values] = []
    for _ in range(count):
        total = rng.choice((0, 1, 2, 254, 255, 256, 255 << 7, rng.randrange(255, 255 << 7)))
        a = rng.choice((-128 * total, 127 * total, rng.randrange(-128 * total, 127 * total + 1)))
        rows.append({"s_valid": 1, "s_a": a, "s_f": min((1 << 32) // total, (1 << 32) - 1) if total else 0})
    yield {}, rows


def _mean_of_values_expect(v: Values, p: Mapping[str, int]) -> Values:
    mean = v["s_a"] * v["s_f"] >> 16  # as floreana.ibert.ops.head_context computes it
    if not -(1 << 23) <= mean < 1 << 23:
        raise ValueError(f"{mean} does not fit 24 bits")
    return {"m_o": mean, "m_valid": 1, **_prob_expect(v, p)}


MEAN_OF_VALUES = Unit(
    name="mean_of_values",
    module="ibert_prob",
    block=blocks_norm.prob,
    inputs=PROB.inputs,
    outputs=PROB.outputs,
    full=dict(A_W=23),
    proofs=(dict(A_W=28),),
    operands=_mean_of_values_operands,
    expect=_mean_of_values_expect,
    bugs=(
        ("prod_p2[A_W+32:16];", "prod_p2[A_W+32:16] + 1;"),
        ("prod_p2[A_W+32:16];", "prod_p1[A_W+32:16];"),
        ("if (valid_p1) prod_p2", "if (s_valid) prod_p2"),
    ),
    depth=lambda p: 4,
    valid_out="m_valid",
    hold=5,
    enables=dict(s_valid=0),
    at={"m_o": 2},
)

# ------------------------------------------------------------------ factors of a row


def _factor_operands(rng: random.Random, count: int, p: Mapping[str, int]) -> Streams:
    width, top = p["W"], 1 << p["LOG"]
    dens = [0, 1, 2, 3, (1 << width) - 1, (1 << width) - 2, 1 << (width - 1), (1 << (width - 1)) + 1]
    for _ in range(count):
        den = _natural(rng, width)
        if rng.random() < 0.5:  # exact quotients, and one beside
            den = min((1 << width) - 1, max(0, top // rng.randrange(1, 1 << rng.randrange(1, width)) + rng.randrange(-1, 2)))
        dens.append(den)
    yield {}, [{"den": den} for den in dens]


def _factor_expect(v: Values, p: Mapping[str, int]) -> Values:
    """As floreana.ibert.ops.softmax and layer_norm compute it."""
    return {"f": min((1 << p["LOG"]) // v["den"], (1 << p["W"]) - 1) if v["den"] else 0}


SOFTMAX_FACTOR = Unit(
    name="softmax_factor",
    module="ibert_recip",
    block=blocks_norm.softmax_factor,
    inputs=lambda p: dict(start=flag(), den=unsigned(p["W"])),
    outputs=lambda p: dict(busy=flag(), done=flag(), f=unsigned(p["W"])),
    full=dict(LOG=32, W=32),
    proofs=(dict(LOG=12, W=12),),
    operands=_factor_operands,
    expect=_factor_expect,
    bugs=(
        ("| {W{quo[LOG]}}", "| {W{1'b0}}"),
        ("zero_reg ? {W{1'b0}} : limited", "limited"),
        ("if (start && !busy)", "if (start)"),
        (".num  ({1'b1, {LOG{1'b0}}})", ".num  ({1'b0, {LOG{1'b1}}})"),
    ),
    depth=lambda p: (p["LOG"] + 2) // 2 + 3,
    children=("ibert_div",),
    valid_in="start",
    valid_out="done",
    iterative=True,
)

NORM_FACTOR = Unit(
    name="norm_factor",
    module="ibert_recip",
    block=blocks_norm.norm_factor,
    inputs=lambda p: dict(start=flag(), den=unsigned(p["W"])),
    outputs=lambda p: dict(busy=flag(), done=flag(), f=unsigned(p["W"])),
    full=dict(LOG=31, W=32),
    proofs=(dict(LOG=11, W=12),),
    operands=_factor_operands,
    expect=_factor_expect,
    bugs=(
        ("assign limited = quo;", "assign limited = {quo[W-1:1], 1'b0};"),
        ("zero_reg ? {W{1'b0}} : limited", "limited"),
        ("if (start && !busy)", "if (start)"),
    ),
    depth=lambda p: (p["LOG"] + 2) // 2 + 3,
    children=("ibert_div",),
    valid_in="start",
    valid_out="done",
    iterative=True,
)

# ------------------------------------------------------------------ LayerNorm: mean, variance, standard deviation


def _mean_operands(rng: random.Random, count: int, p: Mapping[str, int]) -> Streams:
    low, high = ops.signed(p["SUM_W"])
    rows: list[Values] = []
    for _ in range(count):
        n = rng.choice((1, 2, 64, 768, (1 << p["COUNT_W"]) - 1, _natural(rng, p["COUNT_W"]))) or 1
        least, most = max(low, n * -(1 << (p["MEAN_W"] - 1))), min(high, n * ((1 << (p["MEAN_W"] - 1)) - 1))
        total = rng.choice((least, most, some(rng, p["SUM_W"]), rng.randrange(least, most + 1)))
        if rng.random() < 0.5:  # ties, and one beside
            total = n * rng.randrange(-300, 300) + n // 2 + rng.randrange(-1, 2)
        rows.append({"total": min(most, max(least, total)), "count": n})
    yield {}, rows


MEAN = Unit(
    name="mean",
    module="ibert_mean",
    block=blocks_norm.mean,
    inputs=lambda p: dict(start=flag(), total=signed(p["SUM_W"]), count=ranged(1, (1 << p["COUNT_W"]) - 1)),
    outputs=lambda p: dict(busy=flag(), done=flag(), mean=signed(p["MEAN_W"])),
    full=dict(SUM_W=34, COUNT_W=13, MEAN_W=24),
    proofs=(dict(SUM_W=8, COUNT_W=4, MEAN_W=6),),
    operands=_mean_operands,
    expect=lambda v, p: {"mean": int(ops.round_half_even_div(np.asarray(v["total"], np.int64), v["count"]))},
    bugs=(
        ("{rem, quo[0]} >", "{rem, 1'b0} >"),
        ("{rem, quo[0]} >", "{rem, quo[0]} >="),
        ("up != negative_reg", "up"),
        ("if (start && !busy)", "if (start)"),
    ),
    depth=lambda p: (p["SUM_W"] + 1) // 2 + 4,
    children=("ibert_div",),
    valid_in="start",
    valid_out="done",
    iterative=True,
)


def _sigma_operands(rng: random.Random, count: int, p: Mapping[str, int]) -> Streams:
    rows = [{"root": root, "shift": shift} for root in (65535, 32768, 2, 1, 0) for shift in reversed(range(32))]
    yield {}, rows + [{"root": _natural(rng, 16), "shift": rng.randrange(32)} for _ in range(count)]


def _sigma_expect(v: Values, p: Mapping[str, int]) -> Values:
    """The hardware's divisor has 32 bits: floreana.ibert.ops holds it exactly, and both give the same factor."""
    exact = max(v["root"] << v["shift"], 1)
    held = min(exact, ops.UINT32[1])
    if (1 << 31) // exact != (1 << 31) // held:
        raise ValueError(f"saturation of {exact} shows in the factor")
    return {"sigma": held}


SIGMA = Unit(
    name="sigma",
    module="ibert_sigma",
    block=blocks_norm.sigma,
    inputs=lambda p: dict(root=unsigned(16), shift=unsigned(5)),
    outputs=lambda p: dict(sigma=unsigned(32)),
    full={},
    proofs=({},),
    operands=_sigma_operands,
    expect=_sigma_expect,
    bugs=(
        ("low[0] || root == 16'd0", "low[0]"),
        ("(root & beyond[15:0]) != 16'd0", "(root[14:0] & beyond[14:0]) != 15'd0"),
    ),
    depth=lambda p: 0,
    clocks=(),
    hold=1,
)

# ------------------------------------------------------------------ dot product


def _pack(values: Sequence[int]) -> int:
    return sum((value & 255) << (8 * i) for i, value in enumerate(values))


def _bytes(word: int) -> IntArray:
    return np.frombuffer(word.to_bytes(64, "little"), np.int8).astype(np.int64)


def _dot_operands(rng: random.Random, count: int, p: Mapping[str, int]) -> Streams:
    rows: list[Values] = []
    for _ in range(count):
        a, b = ([some(rng, 8) for _ in range(64)] for _ in range(2))
        kind = rng.randrange(6)
        if kind == 0:
            a, b = [-128] * 64, [rng.choice((-128, 127))] * 64
        elif kind == 1:  # one product alone
            at = rng.randrange(64)
            a = [value if i == at else 0 for i, value in enumerate(a)]
        rows.append({"s_a": _pack(a), "s_b": _pack(b)})
    yield {}, rows


def _dot_expect(v: Values, p: Mapping[str, int]) -> Values:
    a, b = _bytes(v["s_a"]).reshape(p["HEADS"], 1, -1), _bytes(v["s_b"]).reshape(p["HEADS"], -1, 1)
    sums = [int(ops.matmul(a[h], b[h])[0, 0]) for h in range(p["HEADS"])]
    return {"m_sum": sum((total & ops.UINT32[1]) << (32 * h) for h, total in enumerate(sums))}


DOT = Unit(
    name="dot",
    module="ibert_dot",
    block=blocks_norm.dot,
    inputs=lambda p: dict(s_valid=flag(), s_a=unsigned(512), s_b=unsigned(512)),
    outputs=lambda p: dict(m_valid=flag(), m_sum=unsigned(32 * p["HEADS"])),
    full=dict(HEADS=2),
    proofs=(dict(HEADS=2), dict(HEADS=1)),
    operands=_dot_operands,
    expect=_dot_expect,
    bugs=(
        ("{{24{s_b[32*k+31]}}, s_b[32*k+24 +: 8]}", "{24'd0, s_b[32*k+24 +: 8]}"),
        ("l1_p2[128*k+64 +: 32] + l1_p2[128*k+96 +: 32]", "l1_p2[128*k+64 +: 32] - l1_p2[128*k+96 +: 32]"),
    ),
    depth=lambda p: 5,
    valid_in="s_valid",
    valid_out="m_valid",
)

UNITS = (PROB, MEAN_OF_VALUES, SOFTMAX_FACTOR, NORM_FACTOR, MEAN, SIGMA, DOT)
