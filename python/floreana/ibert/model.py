# SPDX-License-Identifier: Apache-2.0
"""The integer model: one encoder, or a stack of them, with every tensor that ever crosses a wire.

The tensor-parallel split is part of the trace, since nodes exchange partial sums: part p of P holds columns
[p*H/P, (p+1)*H/P) of the attention's context and [p*F/P, (p+1)*F/P) of the FFN, and the bias of OUT and FFN2 enters in part 0.
The sum over the parts, and with it every later tensor, does not depend on P.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from floreana.ibert import ops
from floreana.ibert.params import EncoderParams, IntArray, LinearParams, ModelParams


@dataclass(frozen=True, slots=True)
class EncoderTrace:
    """Tensors of one encoder, int64. N rows, H hidden, F FFN, P parts.

    entry, q, k, v, context, ln1, ln2 (N, H) int8 range; ffn1 (N, F) int8 range; out_parts, ffn2_parts (P, N, H) int32 range.
    """

    entry: IntArray
    q: IntArray
    k: IntArray
    v: IntArray
    context: IntArray
    out_parts: IntArray
    ln1: IntArray
    ffn1: IntArray
    ffn2_parts: IntArray
    ln2: IntArray


def linear_parts(x: IntArray, p: LinearParams, parts: int) -> IntArray:
    """Partial sums (parts, N, C) of a linear layer whose input columns are split evenly; the bias enters in part 0."""
    size = x.shape[1] // parts
    zero = np.zeros_like(p.bias)
    return np.stack(
        [
            ops.linear(
                x[:, i * size : (i + 1) * size],
                LinearParams(p.weight[:, i * size : (i + 1) * size], p.bias if i == 0 else zero),
            )
            for i in range(parts)
        ]
    )


def encoder(params: EncoderParams, rows: IntArray, heads: int, parts: int = 1) -> EncoderTrace:
    """One encoder on ``rows`` (N, H), values of int8. ``parts`` must divide the heads and the FFN size."""
    rows = ops.check("encoder input", rows, ops.INT8)
    ffn_size = params.ffn1.weight.shape[0]
    if rows.ndim != 2 or rows.shape[1] != params.q.weight.shape[1]:
        raise ValueError(f"encoder input has shape {rows.shape}, not (N, {params.q.weight.shape[1]})")
    if not rows.shape[0]:
        raise ValueError("encoder input has no rows: at least one is needed")
    if parts < 1 or heads % parts or ffn_size % parts:
        raise ValueError(f"{parts} parts do not divide {heads} heads and {ffn_size} FFN columns")
    q = ops.requant_params(ops.linear(rows, params.q), params.q_rq)
    k = ops.requant_params(ops.linear(rows, params.k), params.k_rq)
    v = ops.requant_params(ops.linear(rows, params.v), params.v_rq)
    context = ops.attention(q, k, v, params.softmax, params.context_rq, heads)
    out_parts = linear_parts(context, params.out, parts)
    y1 = ops.residual(out_parts.sum(axis=0), params.out_rq, rows, params.out_res_rq)
    ln1 = ops.requant_params(ops.layer_norm(y1, params.ln1), params.ln1_rq)
    ffn1 = ops.requant_params(ops.gelu(ops.linear(ln1, params.ffn1), params.gelu), params.ffn1_rq)
    ffn2_parts = linear_parts(ffn1, params.ffn2, parts)
    y2 = ops.residual(ffn2_parts.sum(axis=0), params.ffn2_rq, ln1, params.ffn2_res_rq)
    ln2 = ops.requant_params(ops.layer_norm(y2, params.ln2), params.ln2_rq)
    return EncoderTrace(rows, q, k, v, context, out_parts, ln1, ffn1, ffn2_parts, ln2)


def model(params: ModelParams, rows: IntArray, parts: int = 1) -> list[EncoderTrace]:
    """All encoders in turn on ``rows`` (N, H), values of int8; one trace per encoder."""
    traces: list[EncoderTrace] = []
    for layer in params.encoders:
        traces.append(encoder(layer, rows, params.heads, parts))
        rows = traces[-1].ln2
    return traces
