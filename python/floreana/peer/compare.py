# SPDX-License-Identifier: Apache-2.0
"""Compare the integer model with ``transformers.models.ibert``. Runs under the Python of .venv-peer (see ``environment.py``).

The reference carries an integer q as the float q·s. Each case runs in its own float32 and in float64, each once as published
and once with every quotient that lies within the rounding error of an integer restored to that integer. In the last of the
four nothing rounds that matters, and every value must be equal. The integer constants (weights, m, e, b, c, x0, shift) are
those the reference computed in the same run.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found,unused-ignore]
import transformers  # type: ignore[import-not-found,unused-ignore]
from torch.overrides import TorchFunctionMode  # type: ignore[import-not-found,unused-ignore]
from transformers import BertModel, IBertConfig
from transformers.models.ibert import quant_modules as qm  # type: ignore[import-not-found,unused-ignore]
from transformers.models.ibert.modeling_ibert import IBertLayer  # type: ignore[import-not-found,unused-ignore]

from floreana.ibert import bert, model, ops
from floreana.ibert.params import (
    EncoderParams,
    GeluParams,
    IntArray,
    LayerNormParams,
    LinearParams,
    RequantParams,
    SoftmaxParams,
)
from floreana.ibert.source import load_bert
from floreana.peer.table import (
    EXACT,
    FLOAT32,
    FLOAT32_INTEGERS,
    FLOAT64,
    LEVELS,
    MULTIPLIER,
    NARROW,
    SATURATION,
    UNDEFINED,
    BoolArray,
    Table,
)

TOLERANCE = 1e-5  # of the float forward
HIDDENS = (64, 128, 256, 384, 768)
TOKENS = (1, 2, 3, 8, 17, 33, 64, 128)
RANDOM, EXACT_SCALE = "any scale", "m exact"


# ------------------------------------------------------------------ the four arithmetics


class _Doubles:
    """The module ``torch`` with ``torch.float`` meaning double: the reference casts to it by name."""

    float = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


class _Restore(TorchFunctionMode):
    """Quotients of two tensors that lie within their rounding error of an integer become that integer."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (torch.Tensor.__truediv__, torch.Tensor.div, torch.div) and isinstance(args[0], torch.Tensor):
            near = torch.round(result)
            # q·s rounds once, the quotient once more: two half units in the last place
            return torch.where((result - near).abs() <= 1.01 * torch.finfo(result.dtype).eps * near.abs(), near, result)
        return result


@contextlib.contextmanager
def arithmetic(level: str) -> Iterator[torch.dtype]:
    """The reference computes in one of LEVELS inside; yields the dtype that modules and inputs must have."""
    wide = level in (FLOAT64, EXACT)
    try:
        qm.torch = _Doubles() if wide else torch
        with _Restore() if level in (FLOAT32_INTEGERS, EXACT) else contextlib.nullcontext(), torch.no_grad():
            yield torch.float64 if wide else torch.float32
    finally:
        qm.torch = torch


def in_dtype(module: Any, dtype: torch.dtype) -> Any:
    """A copy of a reference module in another float type."""
    copied = copy.deepcopy(module).to(dtype)
    for part in copied.modules():
        if isinstance(part, qm.IntLayerNorm):
            part.dim_sqrt = None  # kept from the first call in that call's type
    return copied


def integers(x: Any, scale: Any = None) -> IntArray:
    """The integers that a tensor carries: x / scale to the nearest."""
    wide = x.detach().double().numpy()
    if scale is not None:
        wide = wide / (scale.detach().double().numpy() if isinstance(scale, torch.Tensor) else scale)
    return np.asarray(np.rint(wide).astype(np.int64))


# ------------------------------------------------------------------ constants out of a reference module


def requant_params(ratio: Any, channels: int) -> RequantParams:
    """m and e as FixedPointMul makes them of a ratio of scales."""
    m, e = (np.asarray(part.numpy()).reshape(-1).astype(np.int64) for part in qm.batch_frexp(ratio.double().view(1, 1, -1)))
    full = m == 1 << 31  # a mantissa that rounded up to one: the same number with 32 signed bits
    m, e = np.where(full, m >> 1, m), np.where(full, e - 1, e)
    m, e = (np.ascontiguousarray(np.broadcast_to(part, (channels,))) for part in (m, e))
    return RequantParams(m, e, np.zeros(channels, np.int64))


def linear_params(module: Any) -> LinearParams:
    """Weights and bias as the last call of a QuantLinear quantised them."""
    return LinearParams(integers(module.weight_integer), integers(module.bias_integer))


def softmax_params(module: Any, scale: Any) -> SoftmaxParams:
    """The 16-bit requant takes the exponentials unscaled: its multiplier is one over its own scale, 32767 / (c·2^30)."""
    x0 = integers(torch.floor(module.x0 / scale))
    b = integers(torch.floor(module.coef[1] / scale))
    c = integers(torch.floor(module.coef[2] / scale**2))
    rq = requant_params(1.0 / module.act.act_scaling_factor.double(), 1)
    return SoftmaxParams(int(x0.item()), int(b.item()), int(c.item()), int(rq.m[0]), int(rq.e[0]))


def gelu_params(module: Any, scale: Any, channels: int) -> GeluParams:
    """b, c, shift per channel, by the module's own expressions."""
    inner = scale / module.k
    b, c = torch.floor(module.coeff[1] / inner), torch.floor(module.coeff[2] / inner**2)
    shift = 1.0 // (inner**2 * module.coeff[0] * 2**module.const)
    return GeluParams(*(np.ascontiguousarray(np.broadcast_to(integers(part).reshape(-1), (channels,))) for part in (b, c, shift)))


def norm_params(module: Any) -> LayerNormParams:
    """shift and the integer bias."""
    bias = torch.floor((module.bias / module.weight) / (module.dim_sqrt / 2**30))
    return LayerNormParams(int(module.shift.item()), integers(bias))


# ------------------------------------------------------------------ one call of a reference module, and ours on the same integers


@dataclass(frozen=True, slots=True)
class Compared:
    """Integers of both sides; ``causes`` are established beyond the four arithmetics."""

    ours: IntArray
    theirs: IntArray
    causes: dict[str, BoolArray]


def compare_linear(module: Any, args: Any, out: Any) -> Compared:
    x, scale = args
    return Compared(ops.linear(integers(x, scale)[0], linear_params(module)), integers(*out)[0], {})


def compare_act(module: Any, args: Any, out: Any) -> Compared:
    x, scale, row, row_scale = (*args, None, None)[:4]
    target = module.act_scaling_factor.double()
    channels = x.shape[-1]
    rq = requant_params(scale.double() / target, channels)
    values = integers(x, scale)[0]
    if row is None:
        ours = ops.requant_params(values, rq, ops.signed(module.activation_bit))
    else:
        row_rq = requant_params(row_scale.double() / target, channels)
        ours = ops.residual(values, rq, integers(row, row_scale)[0], row_rq)
    theirs = integers(*out)[0]
    return Compared(ours, theirs, {NARROW: ops.saturate(ours, ops.signed(module.activation_bit)) == theirs})


def wide_softmax(scores: IntArray, p: SoftmaxParams, module: Any, scale: Any) -> IntArray:
    """Our softmax, but its requant by the reference's own ratio of unscaled exponential and scale, exact at any width."""
    inner = float(module.coef[0] * scale.double() ** 2 / 2**module.const)
    rq = requant_params(torch.tensor([inner]).double() / module.act.act_scaling_factor.double(), 1)
    top, bottom = inner.as_integer_ratio()
    x = np.maximum(scores - scores.max(axis=-1, keepdims=True), ops.SOFTMAX_N * p.x0)
    q = x // p.x0
    r = x - q * p.x0
    z = np.maximum(r * (r + p.b) + p.c, 0)

    def requant(exponential: int) -> int:
        value, unit = exponential * bottom * int(rq.m[0]), top << int(rq.e[0])
        whole, rest = divmod(value, unit)
        return min(whole + (2 * rest > unit or (2 * rest == unit and whole % 2 == 1)), ops.INT16[1])

    flat = [requant(int(a) << (ops.SOFTMAX_N - int(b))) for a, b in zip(z.reshape(-1), q.reshape(-1), strict=True)]
    ea = np.array(flat, np.int64).reshape(z.shape)
    total = ea.sum(axis=-1, keepdims=True)
    return ops.saturate((ea * ((1 << 32) // np.maximum(total, 1))) >> 24, ops.UINT8)


def compare_softmax(module: Any, args: Any, out: Any) -> Compared:
    x, scale = args
    scores = integers(x, scale)[0]
    p = softmax_params(module, scale)
    ours, theirs = ops.softmax(scores, p), integers(*out)[0]
    causes = {SATURATION: (theirs == 256) & (ours == 255)}
    if x.dtype == torch.float64 and (ours != theirs).any():
        causes[MULTIPLIER] = np.minimum(theirs, 255) == wide_softmax(scores, p, module, scale)
    return Compared(ours, theirs, causes)


def compare_gelu(module: Any, args: Any, out: Any) -> Compared:
    x, scale = args
    return Compared(ops.gelu(integers(x, scale)[0], gelu_params(module, scale, x.shape[-1])), integers(*out)[0], {})


def compare_norm(module: Any, args: Any, out: Any) -> Compared:
    x, scale = args
    return Compared(ops.layer_norm(integers(x, scale)[0], norm_params(module)), integers(*out)[0], {})


COMPARE: dict[Any, tuple[str, Callable[[Any, Any, Any], Compared]]] = {
    qm.QuantLinear: ("QuantLinear", compare_linear),
    qm.QuantAct: ("QuantAct", compare_act),
    qm.IntSoftmax: ("IntSoftmax", compare_softmax),
    qm.IntGELU: ("IntGELU", compare_gelu),
    qm.IntLayerNorm: ("IntLayerNorm", compare_norm),
}


def run_case(table: Table, unit: str, module: Any, prepare: Callable[[torch.dtype], tuple[Any, ...]]) -> None:
    """One module on one input in the four arithmetics."""
    compare = COMPARE[type(module)][1]
    sizes, named = {}, {}
    for level in LEVELS:
        with arithmetic(level) as dtype:
            copied = in_dtype(module, dtype)
            args = prepare(dtype)
            compared = compare(copied, args, copied(*args))
        sizes[level], named[level] = np.abs(compared.ours - compared.theirs), compared.causes
    table.case(unit, sizes, named)


# ------------------------------------------------------------------ units by themselves


def tensor(values: Any, dtype: torch.dtype = torch.float64) -> Any:
    return torch.tensor(np.asarray(values), dtype=dtype)


def carried(values: IntArray, scale: Any) -> Callable[[torch.dtype], Any]:
    """q·s of integers (N, C) with a leading batch of one, in the type asked for."""
    return lambda dtype: tensor(values, dtype)[None] * scale.to(dtype)


def exact_scale(least: float) -> float:
    """The smallest s >= least for which the softmax's inner scale, coef·s², is a power of two, to the last bit or the one before."""
    coef = qm.IntSoftmax(8).coef[0]
    return math.sqrt(2.0 ** math.ceil(math.log2(coef * least * least)) / coef)


def set_range(act: Any, scale: float) -> None:
    """Give a QuantAct the range that makes its scale ``scale``."""
    top = scale * (2 ** (act.activation_bit - 1) - 1)
    act.x_min, act.x_max = -tensor([top]), tensor([top])


def set_softmax_range(softmax: Any, scale: float) -> None:
    """Range of the exponentials by their greatest, c·2^30, moved by less than 2^-30 so that m is exact."""
    inner = softmax.coef[0] * scale**2 / 2.0**softmax.const
    top = math.floor(softmax.coef[2] / scale**2) * 2.0**softmax.const / 32767
    mantissa, exponent = math.frexp(inner / top)
    set_range(softmax.act, inner / math.ldexp(round(mantissa * 2**31), exponent - 31))


def units(table: Table, seed: int, hidden: int, tokens: int) -> None:
    """Every unit alone on integers that a layer of this size may give it."""
    rng = np.random.default_rng([seed, 1])

    linear = qm.QuantLinear(hidden, hidden, quant_mode=True, per_channel=True)
    linear.weight.data = tensor(rng.standard_normal((hidden, hidden)) / hidden**0.5, torch.float32)
    linear.bias.data = tensor(rng.standard_normal(hidden), torch.float32)
    scale = tensor([rng.uniform(0.005, 0.05)], torch.float32)
    rows = rng.integers(-128, 128, (tokens, hidden))
    rows[0, : hidden // 2] = -128
    run_case(table, "QuantLinear", linear, lambda dtype: (carried(rows, scale)(dtype), scale.to(dtype)))
    quantised = in_dtype(linear, torch.float32)
    with torch.no_grad():
        quantised(carried(rows, scale)(torch.float32), scale)
        # the clip of the reference's weights is not symmetric: -127..126, ties to even
        per_row = np.float32(1.0) / quantised.fc_scaling_factor.numpy()
        own = np.clip(np.rint(per_row[:, None] * linear.weight.numpy(force=True)), -127, 126).astype(np.int64)
    table.row("QuantLinear, weights -127..126", FLOAT32).add(np.abs(own - integers(quantised.weight_integer)), {})

    act = qm.QuantAct(8, quant_mode=True).eval()
    values = rng.integers(-(1 << 20), 1 << 20, (tokens, hidden))
    channel = tensor(rng.uniform(2.0**-21, 2.0**-16, hidden), torch.float32)
    set_range(act, rng.uniform(0.02, 0.1))
    run_case(table, "QuantAct", act, lambda dtype: (carried(values, channel)(dtype), channel.to(dtype)))
    ties = rng.integers(-40, 40, (tokens, hidden))
    half = tensor([0.5], torch.float32)
    set_range(act, 1.0)
    run_case(table, "QuantAct, ties", act, lambda dtype: (carried(ties, half)(dtype), half.to(dtype)))
    wide = qm.QuantAct(22, quant_mode=True).eval()
    set_range(wide, 2.0**-15)
    small = rng.integers(-128, 128, (tokens, hidden))
    run_case(
        table, "QuantAct, residual", wide,
        lambda dtype: (carried(values, channel)(dtype), channel.to(dtype), carried(small, scale)(dtype), scale.to(dtype)),
    )  # fmt: skip

    for name in (EXACT_SCALE, RANDOM):
        softmax = qm.IntSoftmax(8, quant_mode=True).eval()
        step = rng.uniform(2.0**-12, 2.0**-6)
        step = exact_scale(step) if name == EXACT_SCALE else step
        set_softmax_range(softmax, step)
        if name == RANDOM:
            set_range(softmax.act, math.floor(softmax.coef[2] / step**2) * 2.0**softmax.const / 32767)
        scores = np.rint(rng.standard_normal((2, tokens, tokens)) * rng.choice([0.3, 1.0, 3.0]) / step).astype(np.int64)
        scores[0, 0] = 7  # all scores equal
        scores[1, 0, 0] += int(40 / step)  # one dominant score
        unit = tensor([step])
        run_case(table, f"IntSoftmax, {name}", softmax, lambda d, s=scores, u=unit: (carried(s, u)(d), u.to(d)))  # type: ignore[misc]

    gelu = qm.IntGELU(quant_mode=True)
    per = tensor(rng.uniform(2.0**-16, 2.0**-10, hidden), torch.float32)
    inputs = np.rint(rng.standard_normal((tokens, hidden)) * 2 / per.double().numpy()).astype(np.int64)
    inputs[0, : hidden // 4] = 0
    run_case(table, "IntGELU", gelu, lambda dtype: (carried(inputs, per)(dtype), per.to(dtype)))

    norm = qm.IntLayerNorm(hidden, 1e-12, quant_mode=True)
    norm.weight.data = tensor(rng.uniform(0.5, 2, hidden) * rng.choice([-1, 1], hidden), torch.float32)
    norm.bias.data = tensor(rng.standard_normal(hidden), torch.float32)
    grain = tensor([rng.uniform(2.0**-19, 2.0**-15)], torch.float32)
    sums = np.clip(np.rint(rng.standard_normal((tokens, hidden)) * 2.0 ** rng.integers(12, 20)), -(1 << 21), (1 << 21) - 1).astype(np.int64)
    with torch.no_grad():
        norm.train()(carried(sums, grain)(torch.float32), grain)  # chooses the shift
    norm.eval()
    run_case(table, "IntLayerNorm", norm, lambda dtype: (carried(sums, grain)(dtype), grain.to(dtype)))
    flat = np.full((1, hidden), 77)
    with arithmetic(EXACT) as dtype:
        copied = in_dtype(norm, dtype)
        out, _ = copied(carried(flat, grain)(dtype), grain.to(dtype))
        ours = ops.layer_norm(flat, norm_params(copied))
    undefined = ~torch.isfinite(out[0]).numpy()
    size = np.where(undefined, 1, np.abs(ours - norm_params(copied).bias))
    table.row("IntLayerNorm, all values equal", EXACT).add(size, {UNDEFINED: undefined & (ours == norm_params(copied).bias)})


# ------------------------------------------------------------------ a whole layer


def make_layer(seed: int, hidden: int, tokens: int) -> tuple[Any, int, IntArray, Any]:
    """A random IBertLayer with ranges taken from one input: layer (float64), heads, that input as integers, and its scale."""
    rng = np.random.default_rng([seed, 2])
    heads = 4 if hidden == 64 else hidden // 64
    config = IBertConfig(
        hidden_size=hidden, num_attention_heads=heads, intermediate_size=4 * hidden, quant_mode=True,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    layer = IBertLayer(config)
    for part in layer.modules():
        if isinstance(part, qm.QuantLinear):
            part.weight.data = tensor(rng.standard_normal(part.weight.shape) * 1.2 / part.in_features**0.5, torch.float32)
            part.bias.data = tensor(rng.standard_normal(part.out_features) * 0.1, torch.float32)
        elif isinstance(part, qm.IntLayerNorm):
            part.weight.data = tensor(rng.uniform(0.5, 1.5, hidden) * rng.choice([-1, 1], hidden, p=[0.1, 0.9]), torch.float32)
            part.bias.data = tensor(rng.standard_normal(hidden) * 0.1, torch.float32)
    rows = np.clip(np.rint(rng.standard_normal((tokens, hidden)) * 40), -128, 127).astype(np.int64)
    scale = tensor([1 / 40.0 * rng.uniform(0.8, 1.25)], torch.float32)
    with torch.no_grad():
        layer.train()(carried(rows, scale)(torch.float32), scale)  # every QuantAct takes its range, every LayerNorm its shift
    layer = in_dtype(layer, torch.float64).eval()
    attention = layer.attention.self
    for act in (layer.attention.output.ln_input_act, layer.output.ln_input_act):
        act.x_min, act.x_max = act.x_min * 2, act.x_max * 2  # 22 bits there, 24 here: no saturation in either
    # rounded to 8 bits a second time by the reference; with equal ranges that changes nothing
    for first, second in (
        (layer.attention.output.output_activation, layer.pre_intermediate_act),
        (layer.intermediate.output_activation, layer.pre_output_act),
    ):
        second.x_min, second.x_max = first.x_min.clone(), first.x_max.clone()

    def scale_of(act: Any) -> float:
        return float(max(abs(act.x_min.item()), abs(act.x_max.item()))) / 127

    root = float(attention.attention_head_size) ** 0.5
    q_scale, k_scale = scale_of(attention.query_activation), scale_of(attention.key_activation)
    wanted = exact_scale(max(q_scale * k_scale / root, 2.0**-14))
    set_range(attention.key_activation, wanted * root / q_scale)
    set_softmax_range(attention.softmax, wanted)
    return layer, heads, rows, scale


def encoder_params(layer: Any, calls: dict[str, tuple[Any, Any]]) -> EncoderParams:
    """Our parameters of a layer, out of the modules' constants in one run."""

    def act(name: str, row: bool = False) -> RequantParams:
        args = calls[name][0]
        ratio = (args[3] if row else args[1]).double() / layer.get_submodule(name).act_scaling_factor.double()
        return requant_params(ratio, args[0].shape[-1])

    def linear(name: str) -> LinearParams:
        return linear_params(layer.get_submodule(name))

    own, out, mid = "attention.self.", "attention.output.", "intermediate."
    gelu_args = calls[f"{mid}intermediate_act_fn"][0]
    return EncoderParams(
        q=linear(f"{own}query"), k=linear(f"{own}key"), v=linear(f"{own}value"),
        q_rq=act(f"{own}query_activation"), k_rq=act(f"{own}key_activation"), v_rq=act(f"{own}value_activation"),
        softmax=softmax_params(layer.attention.self.softmax, calls[f"{own}softmax"][0][1]),
        context_rq=act(f"{own}output_activation"),
        out=linear(f"{out}dense"), out_rq=act(f"{out}ln_input_act"), out_res_rq=act(f"{out}ln_input_act", row=True),
        ln1=norm_params(layer.attention.output.LayerNorm), ln1_rq=act(f"{out}output_activation"),
        ffn1=linear(f"{mid}dense"),
        gelu=gelu_params(layer.intermediate.intermediate_act_fn, gelu_args[1], gelu_args[0].shape[-1]),
        ffn1_rq=act(f"{mid}output_activation"),
        ffn2=linear("output.dense"), ffn2_rq=act("output.ln_input_act"), ffn2_res_rq=act("output.ln_input_act", row=True),
        ln2=norm_params(layer.output.LayerNorm), ln2_rq=act("output.output_activation"),
    )  # fmt: skip


def whole_layer(table: Table, seed: int, hidden: int, tokens: int) -> int:
    """A layer end to end, and each of its units on the integers it met there. Returns how many probabilities of 256 were met."""
    made, heads, rows, scale = make_layer(seed, hidden, tokens)
    sizes: dict[str, IntArray] = {}
    inner: dict[str, dict[str, Compared]] = {}
    saturated = 0
    for level in LEVELS:
        with arithmetic(level) as dtype:
            layer = in_dtype(made, dtype)
            calls: dict[str, tuple[Any, Any]] = {}
            found: dict[str, Compared] = {}

            def after(module: Any, args: Any, kwargs: Any, out: Any, name: str, calls: Any = calls, found: Any = found) -> Any:
                args = (*args, *(kwargs[key] for key in ("identity", "identity_scaling_factor") if key in kwargs))
                calls[name] = args, out
                found[name] = COMPARE[type(module)][1](module, args, out)
                if isinstance(module, qm.IntSoftmax):
                    return torch.clamp(out[0], max=255 / 256), out[1]  # as the hardware does; counted by its caller
                return None

            for name, part in layer.named_modules():
                if type(part) in COMPARE and not name.endswith(("softmax.act", "LayerNorm.activation")):
                    part.register_forward_hook(
                        lambda module, args, kwargs, out, name=name: after(module, args, kwargs, out, name), with_kwargs=True
                    )
            layer(carried(rows, scale)(dtype), scale.to(dtype))
            params = encoder_params(layer, calls)
            theirs = integers(*calls["output.output_activation"][1])[0]
        sizes[level] = np.abs(model.encoder(params, rows, heads).ln2 - theirs)
        inner[level] = found
        if level == EXACT:
            saturated = int((found["attention.self.softmax"].theirs == 256).sum())
    table.case("IBertLayer, end to end", sizes)
    for name in inner[EXACT]:
        unit = f"  its {COMPARE[type(made.get_submodule(name))][0]}"
        parts = {level: inner[level][name] for level in LEVELS}
        table.case(unit, {lv: np.abs(p.ours - p.theirs) for lv, p in parts.items()}, {lv: p.causes for lv, p in parts.items()})
    return saturated


# ------------------------------------------------------------------ the float model


def float_forward(folder: Path, texts: Sequence[str]) -> float:
    """The greatest difference of any hidden state or embedding between BertModel and the float reference of this project."""
    weights, tokenizer = load_bert(folder)
    reference = BertModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    worst = 0.0
    for text in texts:
        ids = tokenizer.encode(text)
        trace = bert.forward(weights, ids)
        with torch.no_grad():
            answer = reference(torch.tensor([ids]), output_hidden_states=True)
        for own, theirs in zip(trace.hidden, answer.hidden_states, strict=True):
            worst = max(worst, float(np.abs(own - theirs[0].double().numpy()).max()))
        pooled = torch.nn.functional.normalize(answer.last_hidden_state[0].mean(dim=0), dim=0).double().numpy()
        worst = max(worst, float(np.abs(trace.embedding - pooled).max()))
    return worst


# ------------------------------------------------------------------ main


def cases(seeds: int, quick: bool) -> Iterator[tuple[int, int, int]]:
    """(seed, hidden, tokens): the corners first, then every size in turn."""
    hiddens, tokens = (HIDDENS[:2], TOKENS[:6]) if quick else (HIDDENS, TOKENS)
    corners = [(hiddens[0], 1), (hiddens[-1], tokens[-1])]
    for seed in range(seeds):
        if seed < len(corners):
            yield seed, *corners[seed]
        else:
            rng = np.random.default_rng([seed, 0])
            yield seed, hiddens[seed % len(hiddens)], int(rng.choice(tokens))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--model", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--texts", type=Path, required=True, help="one text a line")
    args = parser.parse_args(argv)
    started = time.monotonic()
    print(f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}, numpy {np.__version__}", flush=True)
    table = Table()
    saturated = 0
    for seed, hidden, tokens in cases(args.seeds, args.quick):
        units(table, seed, hidden, tokens)
        saturated += whole_layer(table, seed, hidden, tokens)
        print(f"  seed {seed}: hidden {hidden}, {tokens} tokens, {table.unexplained} unexplained", flush=True)
    print()
    for line in table.lines():
        print(line)
    print(f"\nin the layers {saturated} probabilities of 256 were cut to 255 before the context")
    texts = [line for line in args.texts.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    worst = float_forward(args.model, texts)
    print(f"BertModel in float32 on {len(texts)} texts: greatest difference {worst:.1e} (limit {TOLERANCE:.0e})")
    exact = [row for (_, level), row in table.rows.items() if level == EXACT]
    checked, differ = (sum(getattr(row, name) for row in exact) for name in ("checked", "differ"))
    print(f"where nothing rounds: checked {checked} equal {checked - differ}, {differ} differ for a named reason")
    print(f"everywhere: {table.unexplained} unexplained of {sum(row.differ for row in table.rows.values())} differences", end="")
    print(f"; {time.monotonic() - started:.0f} s")
    return 0 if table.unexplained == 0 and worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
