# SPDX-License-Identifier: Apache-2.0
"""Random models of any size, for tests and for projects without trained weights. Same seed, same model."""

from __future__ import annotations

import numpy as np

from floreana.ibert.bert import Array, BertWeights, FloatEncoder, FloatLinear, FloatNorm

EPS = 1e-12
POSITIONS = 512


def synthetic_bert(seed: int, hidden: int, heads: int, ffn: int, encoders: int, vocab: int) -> BertWeights:
    """A BERT whose activations stay in the range trained ones have. Raises ValueError for sizes that do not divide."""
    if min(hidden, heads, ffn, encoders, vocab) < 1 or hidden % heads:
        raise ValueError(f"hidden size {hidden} is not a multiple of {heads} heads, or a size is below 1")
    rng = np.random.default_rng(seed)

    def normal(scale: float, *shape: int) -> Array:
        return np.asarray(rng.standard_normal(shape) * scale)

    def linear(outputs: int, inputs: int, gain: float) -> FloatLinear:
        return FloatLinear(normal(gain / inputs**0.5, outputs, inputs), normal(0.1, outputs))

    def norm() -> FloatNorm:
        return FloatNorm(1.0 + normal(0.1, hidden), normal(0.1, hidden), EPS)

    layers = tuple(
        FloatEncoder(
            q=linear(hidden, hidden, 1.2),
            k=linear(hidden, hidden, 1.2),
            v=linear(hidden, hidden, 1.0),
            out=linear(hidden, hidden, 1.0),
            ln1=norm(),
            ffn1=linear(ffn, hidden, 1.0),
            ffn2=linear(hidden, ffn, 1.5),
            ln2=norm(),
        )
        for _ in range(encoders)
    )
    return BertWeights(
        hidden=hidden,
        heads=heads,
        ffn=ffn,
        words=normal(1.0, vocab, hidden),
        positions=normal(0.3, POSITIONS, hidden),
        types=normal(0.1, 1, hidden),
        norm=norm(),
        encoders=layers,
    )


def random_ids(seed: int, n: int, vocab: int) -> list[int]:
    """n token numbers below vocab."""
    return [int(i) for i in np.random.default_rng(seed).integers(0, vocab, n)]
