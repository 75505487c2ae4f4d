# SPDX-License-Identifier: Apache-2.0
"""Every step of the integer model against published integer vectors of a real I-BERT (RoBERTa-base, two encoders, 128 tokens).

The vectors are not part of the project: the environment variable VECTORS names the folder that holds encoder_00.npz and
encoder_06.npz. Without it this module has no cases; with it, every case runs and demands equality. The exceptions are
named: the dump was computed in 32-bit floats, and six of its probabilities are one off the exact integer.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from floreana.ibert import ops
from floreana.ibert.params import GeluParams, IntArray, LayerNormParams, LinearParams, RequantParams, SoftmaxParams

FOLDER = os.environ.get("VECTORS", "")
ENCODERS = ("encoder_00", "encoder_06") if FOLDER else ()
HEADS = 12

# (encoder, head): (query, key, exact probability, probability of the dump)
KNOWN = {
    ("encoder_00", 1): (15, 8, 9, 10),
    ("encoder_00", 2): (34, 10, 11, 12),
    ("encoder_00", 3): (13, 4, 1, 2),
    ("encoder_00", 10): (19, 3, 5, 6),
    ("encoder_06", 1): (4, 27, 4, 5),
    ("encoder_06", 6): (6, 13, 13, 14),
}


class Vectors:
    """One encoder's arrays as int64."""

    def __init__(self, name: str) -> None:
        self.name = name
        with np.load(Path(FOLDER) / f"{name}.npz") as data:
            self.arrays = {key: data[key].astype(np.int64) for key in data.files}

    def __getitem__(self, key: str) -> IntArray:
        return self.arrays[key]

    def scalar(self, key: str) -> int:
        (value,) = self.arrays[key].ravel().tolist()
        return int(value)

    def rq(self, stem: str, channels: int, suffix: str = "") -> RequantParams:
        m, e = (np.broadcast_to(self[f"{stem}/{name}{suffix}"], (channels,)) for name in "me")
        return RequantParams(m, e, np.zeros(channels, np.int64))


_LOADED: dict[str, Vectors] = {}


def vectors(name: str) -> Vectors:
    if name not in _LOADED:
        _LOADED[name] = Vectors(name)
    return _LOADED[name]


def equal(got: IntArray, want: IntArray) -> None:
    assert got.shape == want.shape
    wrong = np.argwhere(got != want)
    assert not len(wrong), f"{len(wrong)} of {want.size} differ, first at {wrong[0].tolist()}"


if FOLDER:

    @pytest.mark.parametrize("name", ENCODERS)
    @pytest.mark.parametrize(
        "stem", ["self_attention/linear_q", "self_attention/linear_k", "self_attention/linear_v", "self_output/linear"]
    )
    def test_linear(name: str, stem: str) -> None:
        d = vectors(name)
        equal(
            ops.linear(d[f"{stem}/input"], LinearParams(d[f"{stem}/weight_integer"], d[f"{stem}/bias_integer"])),
            d[f"{stem}/output"],
        )

    @pytest.mark.parametrize("name", ENCODERS)
    @pytest.mark.parametrize(
        "stem",
        [
            "self_attention/act_q",
            "self_attention/act_k",
            "self_attention/act_v",
            "self_attention/act_out",
            "self_output/act_layernorm",
            "output/act_layernorm",
            "intermediate/act",
        ],
    )
    def test_requant(name: str, stem: str) -> None:
        d = vectors(name)
        x = d[f"{stem}/input"]
        equal(ops.requant_params(x, d.rq(stem, x.shape[1])), d[f"{stem}/output"])

    @pytest.mark.parametrize("name", ENCODERS)
    @pytest.mark.parametrize("head", range(HEADS))
    def test_attention_steps(name: str, head: int) -> None:
        d = vectors(name)
        stem = "self_attention"
        q, k = (d[f"{stem}/attention_matmul/input_{c}_{head}"] for c in "qk")
        scores = ops.matmul(q, k.T)
        equal(scores, d[f"{stem}/attention_matmul/output_{head}"])
        p = SoftmaxParams(*(d.scalar(f"{stem}/softmax/{c}") for c in ("x0", "b", "c", "m", "e")))
        got, want = ops.softmax(d[f"{stem}/softmax/soft_input_{head}"], p), d[f"{stem}/softmax/output_{head}"]
        if (name, head) in KNOWN:
            query, key, exact, dumped = KNOWN[name, head]
            assert (got[query, key], want[query, key]) == (exact, dumped)
            got[query, key] = dumped
        equal(got, want)
        v = d[f"{stem}/softmax_matmul/input_v_{head}"]
        equal(ops.matmul(want, v), d[f"{stem}/softmax_matmul/output_{head}"])

    @pytest.mark.parametrize("name", ENCODERS)
    @pytest.mark.parametrize("stem", ["self_output", "output"])
    def test_residual(name: str, stem: str) -> None:
        d = vectors(name)
        act = f"{stem}/act_linear"
        x, row = d[f"{act}/input"], d[f"{act}/identity"]
        rq, row_rq = d.rq(act, x.shape[1]), d.rq(act, x.shape[1], "1")
        equal(ops.requant_params(x, rq, ops.INT32), d[f"{act}/output0"])
        equal(ops.requant_params(row, row_rq, ops.INT32), d[f"{act}/output1"])
        equal(ops.residual(x, rq, row, row_rq), d[f"{act}/output"])

    @pytest.mark.parametrize("name", ENCODERS)
    @pytest.mark.parametrize("stem", ["self_output", "output"])
    def test_layer_norm(name: str, stem: str) -> None:
        d = vectors(name)
        ln = f"{stem}/layernorm"
        x, bias, shift = d[f"{ln}/input"], d[f"{ln}/bias"], d.scalar(f"{ln}/shift")
        equal(ops.layer_norm(x, LayerNormParams(shift, np.zeros_like(bias))), d[f"{ln}/y_int"])
        equal(ops.layer_norm(x, LayerNormParams(shift, bias)), d[f"{ln}/output"])

    @pytest.mark.parametrize("name", ENCODERS)
    def test_gelu(name: str) -> None:
        d = vectors(name)
        stem = "intermediate/gelu"
        equal(
            ops.gelu(d[f"{stem}/input"], GeluParams(d[f"{stem}/b"], d[f"{stem}/c"], d[f"{stem}/shift"])),
            d[f"{stem}/output"],
        )
