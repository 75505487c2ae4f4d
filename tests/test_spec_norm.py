# SPDX-License-Identifier: Apache-2.0
"""Softmax normalisation, LayerNorm's row arithmetic, the dot product: proven in every width stated, and the model's own when chained."""

from __future__ import annotations

import random

import numpy as np
import pytest

from floreana.ibert import ops
from floreana.ibert.params import LayerNormParams, SoftmaxParams
from floreana.spec import check
from floreana.spec.unit import Unit
from floreana.spec.units import EXP, ISQRT, LAYERNORM_LANE, REQUANT, SQUARE_LANE
from floreana.spec.units_norm import MEAN, NORM_FACTOR, PROB, SIGMA, SOFTMAX_FACTOR, UNITS


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_proof(unit: Unit) -> None:
    for parameters in unit.proofs:
        assert check.proof(unit, parameters, 300).result == "proven", parameters


def answer(unit: Unit, name: str, **operands: int) -> int:
    return unit.expect(operands, unit.full)[name]


def test_softmax_of_the_model_is_its_units_in_a_row() -> None:
    rng = random.Random(1)
    seen: set[int] = set()
    for case in range(60):
        x0n = rng.randrange(1, 1 << rng.randrange(2, 16))
        c = rng.randrange(1 << 28)
        fixed = {"b": rng.randrange(1 << 12), "c": c, "m": rng.randrange(1 << 30, 1 << 31), "e": rng.randrange(40, 50)}
        scores = [rng.randrange(-40 * x0n, 1) for _ in range((1, 2, 17, 128)[case % 4])]
        ea = [answer(EXP, "m_ea", s_score=score, s_max=max(scores), x0n=x0n, lim=30 * x0n, **fixed) for score in scores]
        f = answer(SOFTMAX_FACTOR, "f", den=sum(ea))
        got = [answer(PROB, "m_p", s_a=one, s_f=f) for one in ea]
        assert got == ops.softmax(np.array(scores), SoftmaxParams(x0=-x0n, **fixed)).tolist()
        seen.update(got)
    assert {0, 255} < seen


def test_layer_norm_of_the_model_is_its_units_in_a_row() -> None:
    rng = random.Random(1)
    variances: set[int] = set()
    for case in range(60):
        reach = rng.randrange(1, 1 << rng.randrange(1, 24))
        centre = rng.randrange(reach - (1 << 23), (1 << 23) - reach + 1)
        y = [centre + (0 if case % 5 == 0 else rng.randrange(-reach, reach)) for _ in range(64)]
        shift, bias = rng.randrange(12), [rng.randrange(-(1 << 31), 1 << 31) for _ in y]
        om, oe, off = rng.randrange(1 << 31), rng.randrange(40, 64), rng.randrange(-256, 256)
        mu = answer(MEAN, "mean", total=sum(y), count=len(y))
        squares = [SQUARE_LANE.expect({"y": one, "mu": mu, "shift": shift}, {}) for one in y]
        variance = ops.UINT32[1] if any(one["big"] for one in squares) else min(sum(one["sq"] for one in squares), ops.UINT32[1])
        sigma = answer(SIGMA, "sigma", root=answer(ISQRT, "root", num=variance), shift=shift)
        f = answer(NORM_FACTOR, "f", den=sigma)
        packed = [(b & ops.UINT32[1]) | om << 32 | oe << 64 | (off & 511) << 71 for b in bias]
        o = [answer(LAYERNORM_LANE, "o", y=one, mu=mu, f=f, chan=chan) for one, chan in zip(y, packed, strict=True)]
        got = [REQUANT.expect({"s_x": one, "s_m": om, "s_e": oe, "s_off": off}, {"OUT_W": 8})["m_y"] for one in o]
        wide = ops.layer_norm(np.array([y]), LayerNormParams(bias=np.array(bias), shift=shift))
        assert got == ops.requant(wide, om, oe, off)[0].tolist()
        variances.add(variance)
    assert {0, ops.UINT32[1]} < variances
