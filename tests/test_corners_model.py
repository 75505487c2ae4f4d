# SPDX-License-Identifier: Apache-2.0
"""Corners of the integer model, one test each; docs/corners.md names the bench of the RTL for every one of them."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from cluster_interpreter import Cluster, check_log, random_params
from corners import corner_cases as cases
from corners.corner_cases import HIGH32, LOW32, Attention, Norm
from ibert_add_norm.norm_bench import channels
from ibert_add_norm.norm_exact import add_norm_row

from floreana.cluster.description import BuildSection, ClusterSection, Project, SyntheticModel
from floreana.cluster.images import write_images
from floreana.cluster.plan import make_plan
from floreana.ibert import ops
from floreana.ibert.model import encoder, linear_parts, model
from floreana.ibert.params import GeluParams, LayerNormParams, LinearParams, RequantParams


def requant(corner: str) -> None:
    for x, m, e, off, want in cases.REQUANT[corner]:
        assert ops.requant(x, m, e, off) == want, (x, m, e, off)
        assert max(-128, min(127, round(Fraction(x * m, 1 << e)) + off)) == want, "the answer in the table is wrong"


def test_requant_ties_positive() -> None:
    requant("requant_ties_positive")


def test_requant_ties_negative() -> None:
    requant("requant_ties_negative")


def test_requant_negative_multipliers() -> None:
    requant("requant_negative_multipliers")


def test_requant_shift_zero() -> None:
    requant("requant_shift_zero")


def test_requant_shift_eighty() -> None:
    requant("requant_shift_eighty")


def test_requant_offsets() -> None:
    requant("requant_offsets")


def test_requant_most_negative_inputs() -> None:
    requant("requant_most_negative_inputs")


def gelu(corner: str) -> None:
    for x, b, c, shift, want in cases.GELU[corner]:
        column = (np.array([value], np.int64) for value in (b, c, shift))
        assert ops.gelu(np.array([[x]], np.int64), GeluParams(*column)).tolist() == [[want]], (x, b, c, shift)


def test_gelu_at_zero() -> None:
    gelu("gelu_at_zero")


def test_gelu_at_the_clip() -> None:
    gelu("gelu_at_the_clip")


def test_gelu_most_negative_inputs() -> None:
    gelu("gelu_most_negative_inputs")


@pytest.mark.parametrize("k", [64, 3072, 8128])
def test_accumulators_at_their_bound(k: int) -> None:
    full = np.full((1, k), -128, np.int64)
    high = LinearParams(full, np.array([HIGH32 - (k << 14)]))
    low = LinearParams(np.full((1, k), 127), np.array([LOW32 + k * 127 * 128]))
    assert ops.linear(full, high).tolist() == [[HIGH32]] and ops.linear(full, low).tolist() == [[LOW32]]
    for beyond in (LinearParams(full, high.bias + 1), LinearParams(low.weight, low.bias - 1)):
        with pytest.raises(ops.RangeError, match="accumulator"):
            ops.linear(full, beyond)


def test_linear_longest_sequence() -> None:
    """The rows of a sequence are independent: all at once, in any order, and one by one in plain integers."""
    rng = np.random.default_rng(3)
    x, p = rng.integers(-128, 128, (512, 64)), LinearParams(rng.integers(-128, 128, (16, 64)), rng.integers(-(1 << 18), 1 << 18, 16))
    outputs = list(zip(p.weight.tolist(), p.bias.tolist(), strict=True))
    want = [[sum(a * b for a, b in zip(row, w, strict=True)) + c for w, c in outputs] for row in x.tolist()]
    assert ops.linear(x, p).tolist() == want
    order = rng.permutation(512)
    assert ops.linear(x[order], p).tolist() == [want[row] for row in order]


def test_linear_most_negative_inputs() -> None:
    k = 256
    full = np.full((2, k), -128, np.int64)
    weight = np.stack([np.full(k, -128), np.full(k, 127), np.zeros(k, np.int64)])
    got = ops.linear(full, LinearParams(weight, np.array([LOW32, 0, LOW32])))
    assert got.tolist() == [[LOW32 + (k << 14), -k * 127 * 128, LOW32]] * 2


def attention(case: Attention) -> None:
    got = ops.attention(case.q, case.k, case.v, case.softmax, cases.same_requant(64, *case.rq), heads=1)
    assert got.tolist() == case.want.tolist()


def test_one_token() -> None:
    attention(cases.one_token())
    trace = encoder(random_params(3, 64, 1, 64, 1).encoders[0], np.full((1, 64), 9, np.int64), 1)
    assert trace.ln2.shape == (1, 64)


@pytest.mark.parametrize("n", [16, 128, 512])
def test_longest_sequence(n: int) -> None:
    """One query over the most keys, against plain integers."""
    rng = random.Random(n)
    p = cases.POWER
    scores = [rng.randrange(-(1 << 18), 1 << 18) for _ in range(n)]
    exps = []
    for s in scores:
        x = max(s - max(scores), 30 * p.x0)
        halvings = x // p.x0
        r = x - halvings * p.x0
        exps.append(min(round(Fraction(max(r * (r + p.b) + p.c, 0) * p.m, 1 << (p.e - 30 + halvings))), 32767))
    f = (1 << 32) // sum(exps)
    assert ops.softmax(np.array([scores], np.int64), p).tolist() == [[min(e * f >> 24, 255) for e in exps]]


def test_dominant_score_saturates_at_255() -> None:
    p = cases.POWER
    ea = round(Fraction(p.c * p.m, 1 << (p.e - 30)))
    assert (ea * ((1 << 32) // ea)) >> 24 == 256, "256 before saturation"
    assert ops.softmax(np.array([[1 << 20, -(1 << 20), -(1 << 20)]]), p).tolist() == [[255, 0, 0]]
    attention(cases.dominant_score())


@pytest.mark.parametrize("n", [3, 8, 9])
def test_all_scores_equal(n: int) -> None:
    attention(cases.all_scores_equal(n))


def test_attention_most_negative_inputs() -> None:
    attention(cases.most_negative_attention())


def test_deferred_one_token() -> None:
    assert ops.greatest_exponential(cases.LATE) == 255
    attention(cases.deferred_one_token())


@pytest.mark.parametrize("n", [3, 8, 9])
def test_deferred_mean(n: int) -> None:
    attention(cases.deferred_mean(n))


def test_deferred_floor() -> None:
    attention(cases.deferred_floor())


def test_deferred_sum_of_zero() -> None:
    attention(cases.deferred_sum_of_zero())


def test_deferred_most_negative() -> None:
    attention(cases.deferred_most_negative())


def test_rows_in_every_order() -> None:
    """Rows have no order of their own: permuted queries permute the context, permuted keys with their values change nothing."""
    rng = np.random.default_rng(1)
    q, k, v = (rng.integers(-128, 128, (4, 64)) for _ in range(3))
    rq = cases.same_requant(64, 1 << 30, 37, 3)
    want = ops.attention(q, k, v, cases.POWER, rq, heads=1)
    assert len(np.unique(want)) > 20
    for order in itertools.permutations(range(4)):
        index = list(order)
        got = ops.attention(q[index], k[index[::-1]], v[index[::-1]], cases.POWER, rq, heads=1)
        assert np.array_equal(got, want[index])


def norm(case: Norm) -> None:
    h = len(case.acc)
    c = {name: np.full(h, case.constants.get(name, default)) for name, default in DEFAULTS.items()}
    zero = np.zeros(h, np.int64)
    y = ops.residual(case.acc[None], RequantParams(c["m"], c["e"], zero), case.res[None], RequantParams(c["m1"], c["e1"], zero))
    o = ops.layer_norm(y, LayerNormParams(case.shift, c["bias"]))
    assert ops.requant(o, c["om"], c["oe"], c["ooff"])[0].tolist() == case.want.tolist()


DEFAULTS = {"m": 1, "e": 0, "m1": 1, "e1": 0, "bias": 0, "om": 1, "oe": 0, "ooff": 0}


@pytest.mark.parametrize("h", [64, 128, 768])
def test_zero_variance(h: int) -> None:
    for case in cases.zero_variance(h):
        norm(case)


@pytest.mark.parametrize("h", [64, 128, 768])
def test_norm_accumulators_at_their_bound(h: int) -> None:
    for case in cases.norm_accumulators_at_their_bound(h):
        norm(case)


def test_norm_longest_sequence() -> None:
    """512 rows at once, each against plain integers."""
    rng = np.random.default_rng(4)
    h, n = 64, 512
    chan = channels(random.Random(4), h)
    column = {name: np.array([c[name] for c in chan], np.int64) for name in chan[0]}
    acc, res, zero = rng.integers(-(1 << 20), 1 << 20, (n, h)), rng.integers(-128, 128, (n, h)), np.zeros(h, np.int64)
    y = ops.residual(acc, RequantParams(column["m"], column["e"], zero), res, RequantParams(column["m1"], column["e1"], zero))
    got = ops.requant(ops.layer_norm(y, LayerNormParams(4, column["bias"])), column["om"], column["oe"], column["ooff"])
    assert got.tolist() == [add_norm_row(a, r, chan, 4) for a, r in zip(acc.tolist(), res.tolist(), strict=True)]


def test_parts_in_every_order() -> None:
    """Partial sums of a row may come in any order: running sums modulo 2**32 end at the undivided sum."""
    rng = np.random.default_rng(2)
    x, weight = rng.integers(-128, 128, (2, 256)), rng.integers(-128, 128, (3, 256))
    p = LinearParams(weight, np.array([0, HIGH32 - (1 << 22), LOW32 + (1 << 22)]))
    want = ops.linear(x[:1], p)
    parts = linear_parts(x[:1], p, 4)
    for order in itertools.permutations(range(4)):
        total = np.zeros((1, 3), np.int64)
        for part in order:
            total = (total + parts[part] - LOW32) % (1 << 32) + LOW32
        assert np.array_equal(total, want)


def test_three_chained_encoders(tmp_path: Path) -> None:
    """The tables of a plan in behavioural kernels, one of them starved, deliveries in random order: encoders 0 and 2 share a bank."""
    plan = make_plan(
        Project(
            name="chain",
            model=SyntheticModel(hidden=128, heads=2, ffn=128, encoders=3),
            cluster=ClusterSection.model_validate({"nodes": 2}),
            build=BuildSection.model_validate({"k_lanes": 64, "out_n": 16, "post_lanes": 4, "norm_lanes": 4, "max_tokens": 8}),
        )
    )
    assert [plan.nodes[0].context("attention", e).fields["bank"] for e in range(3)] == [0, 1, 0]
    params = random_params(7, 128, 2, 128, 3)
    images = write_images(plan, params, tmp_path)
    rng = np.random.default_rng(7)
    sequences = {slot: rng.integers(-100, 101, (count, 128)) for slot, count in ((0, 8), (1, 3))}
    traces = {slot: model(params, rows, 2) for slot, rows in sequences.items()}
    for seed in range(8):
        cluster = Cluster(images, plan, seed)
        got = cluster.run(sequences, plan)
        assert got == {(s, row): t[-1].ln2[row].astype("i1").tobytes() for s, t in traces.items() for row in range(len(t[-1].ln2))}
        assert check_log(plan, traces, cluster.log) > 0
