# SPDX-License-Identifier: Apache-2.0
"""The float forward: its own numerics, and known properties of the published model all-MiniLM-L6-v2."""

from __future__ import annotations

import math

import numpy as np
import pytest

from floreana.environment import cache_folder
from floreana.errors import InputError
from floreana.ibert import bert, source, synthetic
from floreana.ibert.bert import Array, BertWeights


@pytest.fixture(scope="module")
def minilm() -> tuple[BertWeights, source.Tokenizer]:
    return source.load_bert(source.fetch_minilm(cache_folder()))


def test_erf_and_gelu() -> None:
    x = np.concatenate([np.linspace(-7, 7, 4001), [0.0, -0.0, 1e-9, -1e-300, 40.0, -40.0]])
    assert np.abs(bert.erf(x) - [math.erf(v) for v in x]).max() < 1e-14
    assert np.abs(bert.gelu(x) - [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x]).max() < 1e-13
    big = np.linspace(-3, 3, 40000).reshape(4, 100, 100)  # more than one block, any shape
    assert np.abs(bert.erf(big).ravel() - [math.erf(v) for v in big.ravel()]).max() < 1e-14


def test_sequences_side_by_side_equal_one_by_one() -> None:
    weights = synthetic.synthetic_bert(3, 64, 2, 128, 1, 50)
    a, b = (bert.embed(weights, synthetic.random_ids(seed, 7 + seed, 50)) for seed in (1, 2))
    both = bert.encoder(weights.encoders[0], np.concatenate([a, b]), 2, [slice(0, 8), slice(8, 17)])
    apart = [bert.encoder(weights.encoders[0], x, 2) for x in (a, b)]
    np.testing.assert_allclose(both.ln2, np.concatenate([t.ln2 for t in apart]), atol=1e-12)


def test_attention_against_loops() -> None:
    weights = synthetic.synthetic_bert(4, 8, 2, 16, 1, 20)
    layer = weights.encoders[0]
    trace = bert.encoder(layer, bert.embed(weights, [3, 1, 4]), 2)
    for head in range(2):
        s = slice(4 * head, 4 * head + 4)
        for i in range(3):
            e = [math.exp(float(trace.q[i, s] @ trace.k[j, s]) / 2.0) for j in range(3)]
            want = sum(e[j] / sum(e) * trace.v[j, s] for j in range(3))
            np.testing.assert_allclose(trace.context[i, s], want, atol=1e-12)


def test_tokens_the_model_does_not_take() -> None:
    weights = synthetic.synthetic_bert(1, 64, 2, 128, 1, 50)
    for ids in ([], [0] * 513):
        with pytest.raises(InputError, match="1 to 512"):
            bert.forward(weights, ids)
    for ids in ([50], [-1]):
        with pytest.raises(InputError, match="vocabulary of 50"):
            bert.forward(weights, ids)


def test_synthetic_models_repeat() -> None:
    a, b, c = (synthetic.synthetic_bert(seed, 64, 2, 128, 2, 50) for seed in (1, 1, 2))
    ids = synthetic.random_ids(5, 9, 50)
    assert ids == synthetic.random_ids(5, 9, 50)
    assert len(ids) == 9
    assert max(ids) < 50
    assert np.array_equal(bert.forward(a, ids).embedding, bert.forward(b, ids).embedding)
    assert not np.array_equal(bert.forward(a, ids).embedding, bert.forward(c, ids).embedding)
    with pytest.raises(ValueError, match="3 heads"):
        synthetic.synthetic_bert(1, 64, 3, 128, 1, 50)


# --- the published model --------------------------------------------------------------------------


def embed(model: tuple[BertWeights, source.Tokenizer], text: str) -> Array:
    return bert.forward(model[0], model[1].encode(text)).embedding


def test_minilm_tokens(minilm: tuple[BertWeights, source.Tokenizer]) -> None:
    assert minilm[1].encode("Hello world") == [101, 7592, 2088, 102]
    assert minilm[1].encode("") == [101, 102]
    assert len(minilm[1].encode("a " * 600)) == 602  # never cut off


def test_minilm_sizes(minilm: tuple[BertWeights, source.Tokenizer]) -> None:
    weights = minilm[0]
    assert (weights.hidden, weights.heads, weights.ffn, len(weights.encoders)) == (384, 12, 1536, 6)
    trace = bert.forward(weights, minilm[1].encode("Where is the harbour?"))
    assert [rows.shape for rows in trace.hidden] == [(7, 384)] * 7
    assert trace.embedding.shape == (384,)
    assert float(trace.embedding @ trace.embedding) == pytest.approx(1.0, abs=1e-12)


def test_minilm_similarities_published_with_it(minilm: tuple[BertWeights, source.Tokenizer]) -> None:
    """The three sentences of the quick start of Sentence Transformers, and the similarities printed there."""
    texts = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    e = np.stack([embed(minilm, text) for text in texts])
    want = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    np.testing.assert_allclose(e @ e.T, want, atol=1e-4)


def test_minilm_orders_by_meaning(minilm: tuple[BertWeights, source.Tokenizer]) -> None:
    triples = [
        ("A man is eating food.", "A man is eating a piece of bread.", "A man is riding a horse."),
        ("The cat sits outside.", "A kitten is in the garden.", "The stock market fell."),
        ("How do I reset my password?", "I cannot log in to my account.", "The cake needs more sugar."),
    ]
    for anchor, near, far in triples:
        a, n, f = (embed(minilm, text) for text in (anchor, near, far))
        assert a @ n > a @ f + 0.1
