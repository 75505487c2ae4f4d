# SPDX-License-Identifier: Apache-2.0
"""The encoder as a whole: independence of the split, agreement with a slow rendering, storage."""

from __future__ import annotations

import io
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from floreana.errors import EnvironmentError_, InputError
from floreana.ibert import model, ops, quantise, store, synthetic
from floreana.ibert.bert import BertWeights
from floreana.ibert.params import ModelParams, RequantParams

HIDDEN, HEADS, FFN, ENCODERS, VOCAB = 128, 4, 256, 2, 200


@pytest.fixture(scope="module")
def weights() -> BertWeights:
    return synthetic.synthetic_bert(1, HIDDEN, HEADS, FFN, ENCODERS, VOCAB)


@pytest.fixture(scope="module")
def params(weights: BertWeights) -> ModelParams:
    calibration = [synthetic.random_ids(seed, 24, VOCAB) for seed in range(16)]
    return quantise.quantise(weights, calibration, "synthetic")


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(7).integers(-128, 128, (9, HIDDEN))


def test_the_trace_does_not_depend_on_the_split(params: ModelParams, rows: np.ndarray) -> None:
    whole = model.model(params, rows)
    assert len(whole) == ENCODERS
    for parts in (2, 4):
        for one, many in zip(whole, model.model(params, rows, parts), strict=True):
            for field in fields(one):
                a, b = getattr(one, field.name), getattr(many, field.name)
                if field.name.endswith("_parts"):
                    assert a.shape == (1, 9, HIDDEN)
                    assert b.shape == (parts, 9, HIDDEN)
                    a, b = a.sum(axis=0), b.sum(axis=0)
                assert a.dtype == np.int64
                np.testing.assert_array_equal(a, b)


def test_the_bias_enters_in_part_0(params: ModelParams, rows: np.ndarray) -> None:
    layer = params.encoders[0]
    trace = model.encoder(layer, rows, HEADS, 4)
    for p in range(4):
        part = slice(p * HIDDEN // 4, (p + 1) * HIDDEN // 4)
        want = trace.context[:, part] @ layer.out.weight[:, part].T + (layer.out.bias if p == 0 else 0)
        np.testing.assert_array_equal(trace.out_parts[p], want)
        part = slice(p * FFN // 4, (p + 1) * FFN // 4)
        want = trace.ffn1[:, part] @ layer.ffn2.weight[:, part].T + (layer.ffn2.bias if p == 0 else 0)
        np.testing.assert_array_equal(trace.ffn2_parts[p], want)


def test_rows_only_meet_in_attention(params: ModelParams, rows: np.ndarray) -> None:
    """Permuting the rows permutes every tensor: nothing depends on a row's index."""
    order = np.random.default_rng(1).permutation(9)
    straight, shuffled = model.model(params, rows), model.model(params, rows[order])
    for a, b in zip(straight, shuffled, strict=True):
        np.testing.assert_array_equal(a.ln2[order], b.ln2)
        np.testing.assert_array_equal(a.q[order], b.q)


def test_encoder_equals_its_steps_in_plain_integers(params: ModelParams, rows: np.ndarray) -> None:
    """The order of the steps, written out with int64 matrix products and no helper of the model."""
    p, t = params.encoders[1], model.encoder(params.encoders[1], rows, HEADS)

    def rq(x: np.ndarray, r: RequantParams) -> np.ndarray:
        return ops.requant(x, r.m, r.e, r.off)

    d = HIDDEN // HEADS
    np.testing.assert_array_equal(t.q, rq(rows @ p.q.weight.T + p.q.bias, p.q_rq))
    np.testing.assert_array_equal(t.k, rq(rows @ p.k.weight.T + p.k.bias, p.k_rq))
    np.testing.assert_array_equal(t.v, rq(rows @ p.v.weight.T + p.v.bias, p.v_rq))
    context = [ops.softmax(t.q[:, i : i + d] @ t.k[:, i : i + d].T, p.softmax) @ t.v[:, i : i + d] for i in range(0, HIDDEN, d)]
    np.testing.assert_array_equal(t.context, rq(np.concatenate(context, axis=1), p.context_rq))
    y1 = ops.residual(t.out_parts[0], p.out_rq, rows, p.out_res_rq)
    np.testing.assert_array_equal(t.ln1, rq(ops.layer_norm(y1, p.ln1), p.ln1_rq))
    np.testing.assert_array_equal(t.ffn1, rq(ops.gelu(t.ln1 @ p.ffn1.weight.T + p.ffn1.bias, p.gelu), p.ffn1_rq))
    y2 = ops.residual(t.ffn2_parts[0], p.ffn2_rq, t.ln1, p.ffn2_res_rq)
    np.testing.assert_array_equal(t.ln2, rq(ops.layer_norm(y2, p.ln2), p.ln2_rq))


def test_one_row(params: ModelParams, rows: np.ndarray) -> None:
    trace = model.encoder(params.encoders[0], rows[:1], HEADS)
    # one key: its probability saturates at 255
    np.testing.assert_array_equal(trace.context, ops.requant_params(255 * trace.v, params.encoders[0].context_rq))


@pytest.mark.parametrize("extreme", [-128, 0, 127])
def test_constant_rows_have_an_answer(params: ModelParams, extreme: int) -> None:
    for trace in model.model(params, np.full((3, HIDDEN), extreme, np.int64)):
        assert trace.ln2.min() >= -128
        assert trace.ln2.max() <= 127
        np.testing.assert_array_equal(trace.ln2[0], trace.ln2[2])


def test_wrong_inputs_are_refused(params: ModelParams, rows: np.ndarray) -> None:
    layer = params.encoders[0]
    with pytest.raises(ops.RangeError, match="128"):
        model.encoder(layer, rows + 200, HEADS)
    with pytest.raises(ValueError, match="shape"):
        model.encoder(layer, rows[:, :64], HEADS)
    with pytest.raises(ValueError, match="3 parts"):
        model.encoder(layer, rows, HEADS, 3)
    with pytest.raises(ValueError, match="no rows"):
        model.encoder(layer, rows[:0], HEADS)


# --- store ----------------------------------------------------------------------------------------


def same(a: ModelParams, b: ModelParams) -> bool:
    if (a.name, a.hidden, a.heads, a.ffn, len(a.encoders)) != (b.name, b.hidden, b.heads, b.ffn, len(b.encoders)):
        return False
    equal = np.array_equal(a.input_scale, b.input_scale) and np.array_equal(a.output_scale, b.output_scale)
    for left, right in zip(a.encoders, b.encoders, strict=True):
        for field in fields(left):
            x, y = getattr(left, field.name), getattr(right, field.name)
            equal &= all(np.array_equal(getattr(x, f.name), getattr(y, f.name)) for f in fields(x))
    return equal


def test_what_is_saved_is_loaded(params: ModelParams, tmp_path: Path) -> None:
    store.save_params(tmp_path / "deep" / "a.npz", params)
    store.save_params(tmp_path / "b.npz", params)
    loaded = store.load_params(tmp_path / "deep" / "a.npz")
    assert same(loaded, params)
    assert loaded.encoders[0].q.weight.dtype == np.int64
    assert isinstance(loaded.encoders[0].softmax.x0, int)
    assert (tmp_path / "deep" / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.npz", "deep"]  # no temporary file is left


def test_damaged_files_are_refused(params: ModelParams, tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    with pytest.raises(InputError, match=r"p\.npz: no such file"):
        store.load_params(path)
    store.save_params(path, params)
    raw = path.read_bytes()
    flipped = bytearray(raw)
    flipped[len(raw) // 2] ^= 1
    for bad in (raw[: len(raw) // 2], b"", b"not a zip", bytes(flipped)):
        path.write_bytes(bad)
        with pytest.raises(InputError, match=r"p\.npz.*(run|again)"):
            store.load_params(path)
    with np.load(io.BytesIO(raw)) as data:
        arrays = {key: data[key] for key in data.files}
    missing = {key: value for key, value in arrays.items() if key != "1/gelu/c"}
    np.savez(path, **missing)
    with pytest.raises(InputError, match="1/gelu/c"):
        store.load_params(path)
    np.savez(path, **(arrays | {"0/q_rq/e": arrays["0/q_rq/e"] + 81}))
    with pytest.raises(InputError, match=r"encoder 0, q_rq\.e: .* outside 0\.\.80"):
        store.load_params(path)
    np.savez(path, **(arrays | {"1/softmax/mode": np.array(1)}))
    with pytest.raises(InputError, match="encoder 1, softmax: the greatest exponential is 32767, a deferred softmax needs 255"):
        store.load_params(path)
    np.savez(path, **(arrays | {"0/out/bias": arrays["0/out/bias"][:-1]}))
    with pytest.raises(InputError, match=r"out\.bias: shape \(127,\), not \(128,\)"):
        store.load_params(path)


def test_parameters_out_of_range_are_not_saved(params: ModelParams, tmp_path: Path) -> None:
    layer = params.encoders[0]
    bad = replace(layer, softmax=replace(layer.softmax, e=29), q=replace(layer.q, weight=layer.q.weight + 128))
    with pytest.raises(InputError) as caught:
        store.save_params(tmp_path / "p.npz", replace(params, encoders=(bad, *params.encoders[1:])))
    assert "softmax.e: 29..29 is outside 30..80" in caught.value.message
    assert "q.weight" in caught.value.message  # all of them at once
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(params: ModelParams, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentError_, match="cannot write"):
        store.save_params(tmp_path / "file" / "p.npz", params)
