# SPDX-License-Identifier: Apache-2.0
"""Recordings in the layout of docs/vectors.md, made by the integer model: small, of other sizes and scales than any published one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from floreana.ibert import ops
from floreana.ibert.params import GeluParams, IntArray, LayerNormParams, LinearParams, RequantParams, SoftmaxParams
from floreana.report import vectors

TOKENS, MASKED, HEADS, FFN = 8, 2, 2, 192
Arrays = dict[str, IntArray]


def recording(
    seed: int,
    rounded: tuple[int, int, int] | None = None,
    tokens: int = TOKENS,
    masked_keys: int = MASKED,
    heads: int = HEADS,
    ffn: int = FFN,
) -> Arrays:
    """Every key of the layout; scales and weights random. ``rounded``: head, query and key of a probability recorded one too high."""
    hidden = 64 * heads
    rng = np.random.default_rng(seed)
    d: Arrays = {}

    def requant(stem: str, channels: int, e: int, suffix: str = "", signs: bool = False) -> RequantParams:
        m = rng.integers(1 << 30, 1 << 31, channels) * (rng.choice([-1, 1], channels) if signs else 1)
        rq = RequantParams(m, rng.integers(e, e + 2, channels), np.zeros(channels, np.int64))
        d[f"{stem}/m{suffix}"], d[f"{stem}/e{suffix}"] = rq.m, rq.e
        return rq

    def step(stem: str, x: IntArray, y: IntArray) -> IntArray:
        d[f"{stem}/input"], d[f"{stem}/output"] = x, y
        return y

    def linear(stem: str, x: IntArray) -> IntArray:
        p = LinearParams(rng.integers(-128, 128, (hidden, x.shape[1])), rng.integers(-5000, 5000, hidden))
        d[f"{stem}/weight_integer"], d[f"{stem}/bias_integer"] = p.weight, p.bias
        return step(stem, x, ops.linear(x, p))

    def act(stem: str, x: IntArray, e: int, signs: bool = False) -> IntArray:
        return step(stem, x, ops.requant_params(x, requant(stem, x.shape[1], e, signs=signs)))

    def norm(stem: str, x: IntArray, row: IntArray) -> IntArray:
        rq, row_rq = requant(f"{stem}/act_linear", hidden, 29), requant(f"{stem}/act_linear", 1, 18, "1")
        d[f"{stem}/act_linear/identity"] = row
        d[f"{stem}/act_linear/output0"] = ops.requant_params(x, rq, ops.INT32)
        d[f"{stem}/act_linear/output1"] = ops.requant_params(row, row_rq, ops.INT32)
        y = step(f"{stem}/act_linear", x, ops.residual(x, rq, row, row_rq))
        shift, bias = int(rng.integers(5, 9)), rng.integers(-(1 << 25), 1 << 25, hidden)
        d[f"{stem}/layernorm/shift"], d[f"{stem}/layernorm/bias"] = np.array([shift]), bias
        d[f"{stem}/layernorm/y_int"] = ops.layer_norm(y, LayerNormParams(shift, np.zeros_like(bias)))
        return act(f"{stem}/act_layernorm", step(f"{stem}/layernorm", y, ops.layer_norm(y, LayerNormParams(shift, bias))), 54, signs=True)

    row = rng.integers(-128, 128, (tokens, hidden))
    q, k, v = (act(f"self_attention/act_{c}", linear(f"self_attention/linear_{c}", row), 41) for c in "qkv")
    p = SoftmaxParams(x0=-2100, b=8204, c=25_638_000, m=1_405_279_000, e=75)  # exponentials of 9 bits
    for name in ("x0", "b", "c", "m", "e"):
        d[f"self_attention/softmax/{name}"] = np.array([getattr(p, name)])
    d["self_attention/softmax/const"] = np.array([30])
    contexts = []
    for head in range(heads):
        hq, hk, hv = (tensor[:, 64 * head : 64 * head + 64] for tensor in (q, k, v))
        scores = ops.matmul(hq, hk.T)
        masked = scores.copy()
        masked[:, tokens - masked_keys :] = ops.INT32[0]
        probabilities = ops.softmax(masked, p)
        if rounded and rounded[0] == head:
            probabilities[rounded[1:]] += 1
        context = ops.matmul(probabilities, hv)
        contexts.append(context)
        stem = "self_attention/attention_matmul"
        d[f"{stem}/input_q_{head}"], d[f"{stem}/input_k_{head}"], d[f"{stem}/output_{head}"] = hq, hk, scores
        d[f"self_attention/softmax/soft_input_{head}"], d[f"self_attention/softmax/output_{head}"] = masked, probabilities
        d[f"self_attention/softmax_matmul/input_v_{head}"], d[f"self_attention/softmax_matmul/output_{head}"] = hv, context
    attended = act("self_attention/act_out", np.concatenate(contexts, axis=1), 39)
    row = norm("self_output", linear("self_output/linear", attended), row)
    accumulators = step("intermediate/linear", row, rng.integers(-30_000, 30_000, (tokens, ffn)))
    gelu = GeluParams(-rng.integers(2000, 20_000, ffn), -rng.integers(3_000_000, 400_000_000, ffn), -rng.integers(200, 27_000, ffn))
    for name in ("b", "c", "shift"):
        d[f"intermediate/gelu/{name}"] = getattr(gelu, name)
    d["intermediate/gelu/const"] = np.array([14])
    inner = act("intermediate/act", step("intermediate/gelu", accumulators, ops.gelu(accumulators, gelu)), 53, signs=True)
    norm("output", step("output/linear", inner, rng.integers(-60_000, 60_000, (tokens, hidden))), row)
    return {key: array.copy() for key, array in d.items()}  # a planted value shall change one key


def write(folder: Path, arrays: Arrays, number: str = "00") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"encoder_{number}.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def near(folder: Path, seed: int) -> tuple[int, int, int]:
    """A probability that one unit of its exponential and its factor would raise: head, query, key."""
    arrays = recording(seed)
    for head in range(HEADS):
        arrays[f"self_attention/softmax/output_{head}"] += arrays[f"self_attention/softmax/output_{head}"] < 255
    _, places = vectors.exact_probabilities(vectors.Vectors(write(folder, arrays)))
    head, query, key = np.argwhere(places)[0].tolist()
    return head, query, key
