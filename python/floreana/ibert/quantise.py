# SPDX-License-Identifier: Apache-2.0
"""Static post-training quantisation of a float BERT to the integer encoder, and the float ends of the integer model.

What is chosen, and on what (docs/integer-semantics.md has the reasons and the accuracy measured):

* weights int8 with one scale per output; activations int8;
* the rows between encoders, the rows between the two halves of an encoder, the context and the GELU output with one scale per
  channel, folded into the weights of the next linear layer before these are quantised; q, k with one scale each, v with one per
  channel (the context's requantisation undoes it);
* scales by least squared error over the calibration texts, but v and the last row by their maximum;
* of the published softmax a head's context scaled up by what the flooring of its probabilities loses;
* int32 biases corrected, in one pass of the integer model, by a robust mean of the difference to the float model.

The float arithmetic here runs once, on the host; what it makes is integers only. Deterministic for the same weights and texts.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from floreana.errors import InputError
from floreana.ibert import bert, ops, store
from floreana.ibert.bert import Array, BertWeights, FloatLinear, FloatNorm
from floreana.ibert.params import (
    DEFERRED,
    PUBLISHED,
    SOFTMAX_MODES,
    EncoderParams,
    GeluParams,
    IntArray,
    LayerNormParams,
    LinearParams,
    ModelParams,
    RequantParams,
    SoftmaxParams,
)

# exponent of the activation's range against the weights' when a per-channel scale is chosen (see _channel_scale)
NORM_SHARE = 0.8
GELU_SHARE = 0.8
CONTEXT_SHARE = 0.7
MOST_GAIN = 1.3  # of a head's context, against what the flooring of its probabilities loses
DEAD_GAMMA = 1e-6  # a LayerNorm channel below this is constant
Y_TARGET = float(1 << 20)  # the calibrated extreme of a LayerNorm input: an eighth of what 24 bits hold
TRIM = 0.1  # part of the samples left out at each end by the robust mean

# polynomials of I-BERT (Kim et al. 2021): exp on (-ln 2, 0] and erf, each a * ((x + b)**2 + c) in integers
EXP_A, EXP_B, EXP_C = 0.35815147, 0.96963238 / 0.35815147, 1.0 / 0.35815147
ERF_A, ERF_B, ERF_C = -0.2888, -1.769, 1.0 / -0.2888
LEAST_SCORE_SCALE = 4e-5  # below it the softmax's c leaves 32 bits
LEAST_GELU_SCALE = 8e-6  # below it GELU's b, c, shift leave 20, 40, 24 bits
_TINY = 1e-12


# --- scales ---------------------------------------------------------------------------------------


def to_requant(ratio: Array, off: IntArray | None = None) -> RequantParams:
    """m and e with m / 2**e = ratio to 31 bits (fewer where e would leave 0..80); m negative where ratio is."""
    ratio = np.asarray(ratio, np.float64)
    _, exponent = np.frexp(ratio)  # ratio = fraction * 2**exponent, 1/2 <= |fraction| < 1
    e = np.clip(31 - exponent, 0, ops.E_MAX).astype(np.int64)
    m = np.rint(np.ldexp(ratio, e)).astype(np.int64)
    full = np.abs(m) >= 1 << 31  # the fraction rounded up to 1
    if (full & (e == 0)).any():
        raise InputError(f"a requantisation factor of {float(np.abs(ratio).max()):.3g} is beyond 32 bits. The model's scales are unusable.")
    m = np.where(full, m >> 1, m)
    e = np.where(full, e - 1, e)
    return RequantParams(m, e, np.zeros_like(m) if off is None else off)


def _least_squares(x: Array, unit: Array | float, weight: Array | float = 1.0) -> float:
    """The multiple s of ``unit`` (per channel) whose int8 grid has the least squared error on x (T, C), channels weighted."""
    ratio = x / unit
    top = float(np.abs(ratio).max())
    if top < _TINY:
        return 1.0
    importance = np.broadcast_to(np.asarray(unit * weight) ** 2, ratio.shape[1:])
    best, best_error = top / 127, math.inf
    for step in range(24):
        s = top / 127 * (1.0 - step / 32)
        d = ratio - s * np.clip(np.rint(ratio / s), -128, 127)
        error = float(((d * d).sum(axis=0) * importance).sum())
        if error < best_error:
            best, best_error = s, error
    return best


def _tensor_scale(x: Array) -> float:
    """One scale for all channels."""
    return max(_least_squares(x[:, None] if x.ndim == 1 else x, 1.0), _TINY)


def _channel_scale(x: Array, weights: list[Array], share: float) -> Array:
    """One scale per channel of x (T, C): proportional to xmax**share / wmax**(1 - share), wmax over the columns of ``weights``.

    At share 1 every channel fills int8 and the weights take all the unevenness; at 0 the other way round. The common factor is
    the one of least squared error, each channel weighted by the length of its weight columns.
    """
    xmax = np.maximum(np.abs(x).max(axis=0), _TINY)
    stacked = np.concatenate(weights, axis=0)
    wmax = np.maximum(np.abs(stacked).max(axis=0), _TINY)
    unit = xmax**share / wmax ** (1 - share)
    length = np.sqrt((stacked * stacked).sum(axis=0))
    # a channel far below the others would get a scale that makes its integers overflow nothing but its requantisation
    unit = np.maximum(unit, unit.max() * 1e-6)
    return np.asarray(unit * _least_squares(_sample(x), unit, length))


def _sample(x: Array, rows: int = 768) -> Array:
    """At most ``rows`` rows, evenly spread; their largest magnitudes are kept by adding each channel's extreme rows."""
    if len(x) <= rows:
        return x
    index = np.linspace(0, len(x) - 1, rows).astype(np.int64)
    peaks = np.unique(np.abs(x).argmax(axis=0))[: rows // 4]
    return np.asarray(x[np.union1d(index, peaks)])


def robust_mean(x: Array) -> Array:
    """Mean per column of x (T, C) without the TRIM smallest and the TRIM largest values."""
    cut = int(len(x) * TRIM)
    ordered = np.sort(x, axis=0)
    return np.asarray(ordered[cut : len(x) - cut].mean(axis=0))


# --- layers ---------------------------------------------------------------------------------------


def _linear(layer: FloatLinear, in_scale: Array, least: float = 0.0) -> tuple[LinearParams, Array]:
    """Integer weights of ``layer`` for inputs of ``in_scale`` (per channel), and the accumulator's scale per output."""
    w = layer.weight * in_scale
    scale = np.abs(w).max(axis=1) / 127
    scale = np.maximum(scale, np.abs(layer.bias) / (1 << 29))  # the bias must fit 32 bits, with room for its correction
    scale = np.maximum(scale, max(least, _TINY))
    weight = np.clip(np.rint(w / scale[:, None]), -127, 127).astype(np.int64)
    return LinearParams(weight, np.rint(layer.bias / scale).astype(np.int64)), scale


def _corrected(p: LinearParams, scale: Array, difference: Array) -> LinearParams:
    """``p`` with its bias moved by the robust mean of ``difference`` (float - integer, in float units)."""
    bias = p.bias + np.rint(robust_mean(difference) / scale).astype(np.int64)
    return LinearParams(p.weight, np.clip(bias, -(1 << 30), 1 << 30))


def softmax_params(score_scale: float, mode: int = PUBLISHED) -> SoftmaxParams:
    """Constants for scores of ``score_scale`` each; the exponential's greatest value maps to 32,767, deferred to 255."""
    c = math.floor(EXP_C / score_scale**2)
    greatest = ops.UINT8[1] if mode == DEFERRED else ops.INT16[1]
    rq = to_requant(np.array([greatest / (c * float(1 << ops.SOFTMAX_N))]))
    return SoftmaxParams(
        x0=math.floor(-math.log(2) / score_scale),
        b=math.floor(EXP_B / score_scale),
        c=c,
        m=int(rq.m[0]),
        e=int(rq.e[0]),
        mode=mode,
    )


def gelu_params(scale: Array) -> tuple[GeluParams, Array]:
    """Constants for accumulators of ``scale`` per channel, and the (negative) scale of the result per channel."""
    s = scale / math.sqrt(2)
    unit = s * s * ERF_A * (1 << 14)  # of g, and of the 1 that is added to erf
    p = GeluParams(
        b=np.floor(ERF_B / s).astype(np.int64),
        c=np.floor(ERF_C / (s * s)).astype(np.int64),
        shift=np.floor(1.0 / unit).astype(np.int64),
    )
    return p, scale * unit / 2


def _norm(norm: FloatNorm, y: IntArray, out_scale: Array) -> tuple[LayerNormParams, RequantParams]:
    """LayerNorm for integer inputs like ``y`` (T, H) and outputs of ``out_scale`` per channel."""
    hidden = y.shape[1]
    unit = math.sqrt(hidden) / float(1 << 30)  # the standardised value of one unit before gamma
    dead = np.abs(norm.gamma) < DEAD_GAMMA
    gamma = np.where(dead, 1.0, norm.gamma)
    bias = np.where(dead, 0.0, norm.beta / gamma / unit)
    bias = np.clip(np.rint(bias), *ops.INT32)
    # what the bias cannot hold (dead channels: all of beta) enters as the offset of the requantisation
    rest = norm.beta - np.where(dead, 0.0, bias * unit * gamma)
    off = np.clip(np.rint(rest / out_scale), *ops.INT8).astype(np.int64)
    off = np.where(np.abs(rest) < np.abs(norm.gamma) * unit * 2, 0, off)
    v = y - ops.round_half_even_div(y.sum(axis=1, keepdims=True), hidden)
    worst = 4.0 * float((v.astype(np.float64) ** 2).sum(axis=1).max())  # room for rows twice as wide as any seen
    shift = max(0, math.ceil(math.log2(max(worst, 1.0) / (1 << 32)) / 2))
    rq = to_requant(np.where(dead, 0.0, norm.gamma * unit / out_scale), off)
    return LayerNormParams(shift, bias.astype(np.int64)), rq


# --- the pass -------------------------------------------------------------------------------------


class _Texts:
    """Rows of several sequences, one below the other."""

    def __init__(self, lengths: list[int]) -> None:
        ends = np.cumsum(lengths)
        self.slices = [slice(int(end - n), int(end)) for end, n in zip(ends, lengths, strict=True)]

    def attention(self, q: IntArray, k: IntArray, v: IntArray, p: SoftmaxParams, rq: RequantParams, heads: int) -> IntArray:
        return np.concatenate([ops.attention(q[s], k[s], v[s], p, rq, heads) for s in self.slices])


def _qkv(layer: bert.FloatEncoder) -> list[Array]:
    return [layer.q.weight, layer.k.weight, layer.v.weight]


def _head_gain(want: Array, got: Array, heads: int) -> Array:
    """Per channel of the context, the factor of its head that brings the integers closest to the float model.

    Probabilities are floored to multiples of 1/256, so that a row of them adds up to less than one; with many keys much less.
    """
    shape = (len(want), heads, -1)
    product = (want * got).reshape(shape).sum(axis=(0, 2))
    square = np.maximum((got * got).reshape(shape).sum(axis=(0, 2)), _TINY)
    return np.asarray(np.repeat(np.clip(product / square, 1.0, MOST_GAIN), want.shape[1] // heads))


def _encoder(
    layer: bert.FloatEncoder,
    f: bert.EncoderFloats,
    rows: IntArray,
    in_scale: Array,
    out_scale: Array,
    texts: _Texts,
    heads: int,
    mode: int,
) -> tuple[EncoderParams, IntArray]:
    """Quantise one encoder. ``rows`` are its integer inputs (T, H), ``f`` the float tensors of the same tokens.

    Every correction sees the integers that the layers before it, already corrected, really make.
    """
    hidden = rows.shape[1]

    # q, k, v
    q, q_acc = _linear(layer.q, in_scale)
    k, k_acc = _linear(layer.k, in_scale)
    v, v_acc = _linear(layer.v, in_scale)
    q = _corrected(q, q_acc, f.q - ops.linear(rows, q) * q_acc)
    k = _corrected(k, k_acc, f.k - ops.linear(rows, k) * k_acc)
    v = _corrected(v, v_acc, f.v - ops.linear(rows, v) * v_acc)
    q_scale, k_scale = _tensor_scale(_sample(f.q)), _tensor_scale(_sample(f.k))
    root = math.sqrt(hidden // heads)
    if q_scale * k_scale / root < LEAST_SCORE_SCALE:
        q_scale = LEAST_SCORE_SCALE * root / k_scale
    v_scale = np.maximum(np.abs(f.v).max(axis=0), _TINY) / 127
    v_scale = np.maximum(v_scale, v_scale.max() * 1e-6)
    q_rq = to_requant(q_acc / q_scale)
    k_rq = to_requant(k_acc / k_scale)
    v_rq = to_requant(v_acc / v_scale)
    softmax = softmax_params(q_scale * k_scale / root, mode)
    qi = ops.requant_params(ops.linear(rows, q), q_rq)
    ki = ops.requant_params(ops.linear(rows, k), k_rq)
    vi = ops.requant_params(ops.linear(rows, v), v_rq)

    # attention, output projection, first LayerNorm
    context_scale = _channel_scale(f.context, [layer.out.weight], CONTEXT_SHARE)
    whole = 1 << (16 if mode == DEFERRED else 8)  # the sum of a row's weights
    context_rq = to_requant(v_scale / whole / context_scale)
    context = texts.attention(qi, ki, vi, softmax, context_rq, heads)
    if mode != DEFERRED:  # which loses nothing
        gain = _head_gain(f.context, context * context_scale, heads)
        context_rq = to_requant(gain * v_scale / whole / context_scale)
        context = texts.attention(qi, ki, vi, softmax, context_rq, heads)
    out, out_acc = _linear(layer.out, context_scale)
    out = _corrected(out, out_acc, f.y1 - rows * in_scale - ops.linear(context, out) * out_acc)
    y1_scale = max(float(np.abs(f.y1).max()), _TINY) / Y_TARGET
    out_rq, out_res_rq = to_requant(out_acc / y1_scale), to_requant(in_scale / y1_scale)
    y1 = ops.residual(ops.linear(context, out), out_rq, rows, out_res_rq)
    ln1_scale = _channel_scale(f.ln1, [layer.ffn1.weight], NORM_SHARE)
    ln1, ln1_rq = _norm(layer.ln1, y1, ln1_scale)
    middle = ops.requant_params(ops.layer_norm(y1, ln1), ln1_rq)

    # FFN, second LayerNorm
    ffn1, ffn1_acc = _linear(layer.ffn1, ln1_scale, LEAST_GELU_SCALE)
    ffn1 = _corrected(ffn1, ffn1_acc, f.u - ops.linear(middle, ffn1) * ffn1_acc)
    gelu, gelu_scale = gelu_params(ffn1_acc)
    act_scale = _channel_scale(f.ffn1, [layer.ffn2.weight], GELU_SHARE)
    ffn1_rq = to_requant(gelu_scale / act_scale)
    act = ops.requant_params(ops.gelu(ops.linear(middle, ffn1), gelu), ffn1_rq)
    ffn2, ffn2_acc = _linear(layer.ffn2, act_scale)
    ffn2 = _corrected(ffn2, ffn2_acc, f.y2 - middle * ln1_scale - ops.linear(act, ffn2) * ffn2_acc)
    y2_scale = max(float(np.abs(f.y2).max()), _TINY) / Y_TARGET
    ffn2_rq, ffn2_res_rq = to_requant(ffn2_acc / y2_scale), to_requant(ln1_scale / y2_scale)
    y2 = ops.residual(ops.linear(act, ffn2), ffn2_rq, middle, ffn2_res_rq)
    ln2, ln2_rq = _norm(layer.ln2, y2, out_scale)

    params = EncoderParams(
        q=q,
        k=k,
        v=v,
        q_rq=q_rq,
        k_rq=k_rq,
        v_rq=v_rq,
        softmax=softmax,
        context_rq=context_rq,
        out=out,
        out_rq=out_rq,
        out_res_rq=out_res_rq,
        ln1=ln1,
        ln1_rq=ln1_rq,
        ffn1=ffn1,
        gelu=gelu,
        ffn1_rq=ffn1_rq,
        ffn2=ffn2,
        ffn2_rq=ffn2_rq,
        ffn2_res_rq=ffn2_res_rq,
        ln2=ln2,
        ln2_rq=ln2_rq,
    )
    return params, ops.requant_params(ops.layer_norm(y2, ln2), ln2_rq)


def _to_int8(x: Array, scale: Array) -> IntArray:
    return np.clip(np.rint(x / scale), -128, 127).astype(np.int64)


def quantise(
    weights: BertWeights,
    calibration: list[list[int]],
    name: str,
    progress: Callable[[str], None] = lambda _: None,
    softmax: Sequence[str] = ("published",),
) -> ModelParams:
    """Integer parameters of ``weights``, calibrated on token sequences. Raises InputError where there are none.

    ``progress`` is called with one line per encoder. ``softmax``: a key of SOFTMAX_MODES for each encoder, or one for all.
    """
    if not calibration:
        raise InputError("no calibration text: at least one sequence of tokens is needed")
    if len(softmax) not in (1, len(weights.encoders)) or not set(softmax) <= set(SOFTMAX_MODES):
        raise InputError(f"softmax {', '.join(softmax)}: choose {' or '.join(SOFTMAX_MODES)}, one for all encoders or one for each")
    modes = [SOFTMAX_MODES[each] for each in (tuple(softmax) * len(weights.encoders))[: len(weights.encoders)]]
    texts = _Texts([len(ids) for ids in calibration])
    floats = np.concatenate([bert.embed(weights, ids) for ids in calibration])
    count = len(weights.encoders)
    scale = _channel_scale(floats, _qkv(weights.encoders[0]), NORM_SHARE)
    input_scale = scale
    rows = _to_int8(floats, scale)
    encoders: list[EncoderParams] = []
    for index, layer in enumerate(weights.encoders):
        progress(f"quantising encoder {index + 1} of {count}")
        f = bert.encoder(layer, floats, weights.heads, texts.slices)
        if index + 1 < count:
            out_scale = _channel_scale(f.ln2, _qkv(weights.encoders[index + 1]), NORM_SHARE)
        else:
            out_scale = np.maximum(np.abs(f.ln2).max(axis=0), _TINY) / 127
            out_scale = np.maximum(out_scale, out_scale.max() * 1e-6)
        params, rows = _encoder(layer, f, rows, scale, out_scale, texts, weights.heads, modes[index])
        encoders.append(params)
        floats, scale = f.ln2, out_scale
    result = ModelParams(name, weights.hidden, weights.heads, weights.ffn, tuple(encoders), input_scale, scale)
    found = store.problems(result)
    if found:
        raise InputError(f"model {name!r} does not fit the integer formats: {'; '.join(found[:4])}. Choose another model.")
    return result


# --- the float ends -------------------------------------------------------------------------------


def embed_rows(params: ModelParams, weights: BertWeights, ids: list[int]) -> IntArray:
    """The host's share before the first encoder: (N, H), values of int8."""
    return _to_int8(bert.embed(weights, ids), params.input_scale)


def pool(params: ModelParams, rows: IntArray) -> Array:
    """The host's share after the last encoder: the sentence embedding of its rows (N, H), a unit vector (H,)."""
    return bert.pool(rows * params.output_scale)


# --- cache ----------------------------------------------------------------------------------------


def fingerprint(weights: BertWeights, calibration: list[list[int]], name: str, softmax: Sequence[str] = ("published",)) -> str:
    """SHA-256 of everything the parameters depend on, the code that makes them included."""
    h = hashlib.sha256(f"{name} {weights.hidden} {weights.heads} {weights.ffn} {','.join(softmax)} numpy {np.__version__}\n".encode())
    for module in ("bert", "model", "ops", "params", "quantise", "store"):
        h.update((Path(__file__).parent / f"{module}.py").read_bytes())

    def add(array: Array) -> None:
        h.update(f"{array.shape}".encode())
        h.update(np.ascontiguousarray(array, np.float64).data)

    for table in (weights.words, weights.positions, weights.types):
        add(table)
    norms = [weights.norm]
    for layer in weights.encoders:
        norms += [layer.ln1, layer.ln2]
        for linear in (layer.q, layer.k, layer.v, layer.out, layer.ffn1, layer.ffn2):
            add(linear.weight)
            add(linear.bias)
    for norm in norms:
        add(norm.gamma)
        add(norm.beta)
        h.update(repr(norm.eps).encode())
    h.update(repr([[int(i) for i in ids] for ids in calibration]).encode())
    return h.hexdigest()


def quantise_cached(
    weights: BertWeights,
    calibration: list[list[int]],
    name: str,
    cache: Path,
    progress: Callable[[str], None] = lambda _: None,
    softmax: Sequence[str] = ("published",),
) -> ModelParams:
    """:func:`quantise`, its result kept below ``cache`` under the fingerprint of its input. A damaged file is made again."""
    path = cache / f"{name}-{fingerprint(weights, calibration, name, softmax)[:16]}.npz"
    if path.is_file():
        try:
            return store.load_params(path)
        except InputError:
            progress(f"{path} is damaged: quantising again")
    params = quantise(weights, calibration, name, progress, softmax)
    store.save_params(path, params)
    return params


def _lines(name: str) -> list[str]:
    text = (Path(__file__).parent / "texts" / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def shipped_sentences() -> list[str]:
    """The twenty sentences accuracy is stated on; none is used for calibration."""
    return _lines("sentences.txt")


def calibration_texts() -> list[str]:
    """The texts activation scales are measured on."""
    return _lines("calibration.txt")
