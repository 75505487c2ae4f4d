# SPDX-License-Identifier: Apache-2.0
"""The float reference: a BERT encoder stack in numpy, and the sentence embedding made of it.

This is the model before quantisation; nothing of it runs on hardware but the embedding of tokens, which the host does.
Conventions are those of the published checkpoints: post-LayerNorm encoders, exact (erf) GELU, mean pooling, unit length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floreana.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FloatLinear:
    """y = x @ weight.T + bias; weight (out, in), bias (out,)."""

    weight: Array
    bias: Array

    def __call__(self, x: Array) -> Array:
        return np.asarray(x @ self.weight.T + self.bias)


@dataclass(frozen=True, slots=True)
class FloatNorm:
    """LayerNorm: gamma (H,), beta (H,), eps under the root."""

    gamma: Array
    beta: Array
    eps: float

    def standardise(self, x: Array) -> Array:
        """Zero mean, unit variance per row."""
        v = x - x.mean(axis=-1, keepdims=True)
        return np.asarray(v / np.sqrt((v * v).mean(axis=-1, keepdims=True) + self.eps))

    def __call__(self, x: Array) -> Array:
        return np.asarray(self.standardise(x) * self.gamma + self.beta)


@dataclass(frozen=True, slots=True)
class FloatEncoder:
    """One encoder."""

    q: FloatLinear
    k: FloatLinear
    v: FloatLinear
    out: FloatLinear
    ln1: FloatNorm
    ffn1: FloatLinear
    ffn2: FloatLinear
    ln2: FloatNorm


@dataclass(frozen=True, slots=True)
class BertWeights:
    """A whole model. Tables: words (V, H), positions (P, H), types (T, H); every token is of type 0."""

    hidden: int
    heads: int
    ffn: int
    words: Array
    positions: Array
    types: Array
    norm: FloatNorm
    encoders: tuple[FloatEncoder, ...]

    @property
    def max_tokens(self) -> int:
        """Rows of the position table."""
        return int(self.positions.shape[0])


@dataclass(frozen=True, slots=True)
class EncoderFloats:
    """Every tensor of one encoder in float: what the quantiser takes its statistics from. Shapes as in EncoderTrace."""

    entry: Array
    q: Array
    k: Array
    v: Array
    context: Array
    y1: Array  # input of the first LayerNorm
    ln1: Array
    u: Array  # input of GELU (N, F)
    ffn1: Array
    y2: Array
    ln2: Array


@dataclass(frozen=True, slots=True)
class BertTrace:
    """hidden[0] is the embedding layer's output, hidden[i] that of encoder i, each (N, H); embedding (H,) of unit length."""

    hidden: tuple[Array, ...]
    embedding: Array


_ERF_STEP = 1.0 / 512
_ERF_POINTS = np.arange(6 * 512 + 2) * _ERF_STEP
_ERF_TABLE = np.array([math.erf(t) for t in _ERF_POINTS])
_ERF_SLOPE = 2.0 / math.sqrt(math.pi) * np.exp(-_ERF_POINTS * _ERF_POINTS)
_ERF_BLOCK = 1 << 14  # values at a time: these stay in the processor's cache


def erf(x: Array) -> Array:
    """The error function, to 1e-14: a table of exact values, then four terms of the Taylor series about the nearest point."""
    flat = np.ascontiguousarray(x).reshape(-1)
    out = np.empty_like(flat)
    for start in range(0, flat.size, _ERF_BLOCK):
        out[start : start + _ERF_BLOCK] = _erf_block(flat[start : start + _ERF_BLOCK])
    return out.reshape(x.shape)


def _erf_block(x: Array) -> Array:
    a = np.minimum(np.abs(x), 6.0)  # erf(6) is 1 to the last bit
    index = np.rint(a / _ERF_STEP).astype(np.int64)
    t = index * _ERF_STEP
    d = a - t
    # the derivatives of erf are its slope times Hermite polynomials of t
    series = d * (1 - d * (t - d * ((2 * t * t - 1) / 3 - d * (t * (2 * t * t - 3) / 6))))
    return np.asarray(np.copysign(_ERF_TABLE[index] + _ERF_SLOPE[index] * series, x))


def gelu(x: Array) -> Array:
    """x * Phi(x), Phi the normal distribution function."""
    return 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)))


def softmax(x: Array) -> Array:
    """Along the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def embed(weights: BertWeights, ids: list[int]) -> Array:
    """The embedding layer: (N, H). Raises InputError for no token, too many, or a token outside the vocabulary."""
    if not 1 <= len(ids) <= weights.max_tokens:
        raise InputError(f"{len(ids)} tokens; the model takes 1 to {weights.max_tokens}. Shorten the text.")
    if min(ids) < 0 or max(ids) >= len(weights.words):
        worst = min(ids) if min(ids) < 0 else max(ids)
        raise InputError(f"token {worst} is outside the vocabulary of {len(weights.words)}. Tokeniser and weights do not match.")
    x = weights.words[np.array(ids)] + weights.positions[: len(ids)] + weights.types[0]
    return weights.norm(x)


def encoder(layer: FloatEncoder, rows: Array, heads: int, sequences: Sequence[slice] | None = None) -> EncoderFloats:
    """One encoder on rows (N, H): one sequence, or several one below the other, each named by its slice of the rows."""
    hidden = rows.shape[1]
    d = hidden // heads
    q, k, v = layer.q(rows), layer.k(rows), layer.v(rows)
    context = np.empty_like(rows)
    for part in [slice(0, len(rows))] if sequences is None else sequences:
        qh, kh, vh = (x[part].reshape(-1, heads, d).transpose(1, 0, 2) for x in (q, k, v))
        probabilities = softmax(qh @ kh.transpose(0, 2, 1) / math.sqrt(d))
        context[part] = (probabilities @ vh).transpose(1, 0, 2).reshape(-1, hidden)
    y1 = layer.out(context) + rows
    ln1 = layer.ln1(y1)
    u = layer.ffn1(ln1)
    ffn1 = gelu(u)
    y2 = layer.ffn2(ffn1) + ln1
    return EncoderFloats(rows, q, k, v, context, y1, ln1, u, ffn1, y2, layer.ln2(y2))


def pool(rows: Array) -> Array:
    """Mean over the tokens, scaled to unit length (a zero mean stays zero): (N, H) -> (H,)."""
    mean = rows.mean(axis=0)
    length = float(np.sqrt((mean * mean).sum()))
    return np.asarray(mean / length if length > 0 else mean)


def forward(weights: BertWeights, ids: list[int]) -> BertTrace:
    """The whole model on one sequence of token numbers, special tokens included."""
    hidden = [embed(weights, ids)]
    for layer in weights.encoders:
        hidden.append(encoder(layer, hidden[-1], weights.heads).ln2)
    return BertTrace(tuple(hidden), pool(hidden[-1]))
