# SPDX-License-Identifier: Apache-2.0
"""Integer parameters of an I-BERT encoder: what the quantiser makes, the integer model computes with and the mapper places.

All arrays are numpy int64 unless said. ``H`` hidden, ``F`` FFN size, ``C`` channels. Semantics: docs/integer-semantics.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LinearParams:
    """acc = x @ weight.T + bias; weight (out, in) in -128..127, bias (out,) int32."""

    weight: IntArray
    bias: IntArray


@dataclass(frozen=True, slots=True)
class RequantParams:
    """Per channel: round_half_even(x*m / 2**e) + off, saturated. Arrays of shape (C,): m int32, e 0..80, off 9-bit signed."""

    m: IntArray
    e: IntArray
    off: IntArray


PUBLISHED, DEFERRED = 0, 1  # softmax: probabilities before the values, as published; or the sum normalised afterwards
SOFTMAX_MODES = {"published": PUBLISHED, "deferred": DEFERRED}


@dataclass(frozen=True, slots=True)
class SoftmaxParams:
    """Scalars of the integer softmax: x0 < 0 (16-bit magnitude), b 20-bit, c 32-bit, m 32-bit, e 30..80; n = 30 fixed.

    ``mode`` PUBLISHED: the greatest exponential is at most 32,767. DEFERRED: it is 255, neither more nor less.
    """

    x0: int
    b: int
    c: int
    m: int
    e: int
    mode: int = PUBLISHED


@dataclass(frozen=True, slots=True)
class GeluParams:
    """Per channel (C,): b <= 0 20-bit, c 40-bit, shift 24-bit."""

    b: IntArray
    c: IntArray
    shift: IntArray


@dataclass(frozen=True, slots=True)
class LayerNormParams:
    """shift 0..31; bias (H,) int32, added to ((v*f) >> 1)."""

    shift: int
    bias: IntArray


@dataclass(frozen=True, slots=True)
class EncoderParams:
    """One encoder. Residual requants act on the int8 row kept by add_norm."""

    q: LinearParams
    k: LinearParams
    v: LinearParams
    q_rq: RequantParams
    k_rq: RequantParams
    v_rq: RequantParams
    softmax: SoftmaxParams
    context_rq: RequantParams
    out: LinearParams
    out_rq: RequantParams
    out_res_rq: RequantParams
    ln1: LayerNormParams
    ln1_rq: RequantParams
    ffn1: LinearParams
    gelu: GeluParams
    ffn1_rq: RequantParams
    ffn2: LinearParams
    ffn2_rq: RequantParams
    ffn2_res_rq: RequantParams
    ln2: LayerNormParams
    ln2_rq: RequantParams


@dataclass(frozen=True, slots=True)
class ModelParams:
    """A whole encoder stack and the float scales at its two ends.

    input_scale (H,): the host sends round_half_even(embedding / input_scale) saturated to int8.
    output_scale (H,): the last encoder's int8 row times output_scale is the float row.
    """

    name: str
    hidden: int
    heads: int
    ffn: int
    encoders: tuple[EncoderParams, ...]
    input_scale: FloatArray
    output_scale: FloatArray
