# SPDX-License-Identifier: Apache-2.0
"""Recorded integer vectors of a real encoder, step by step, through the integer model and through the RTL units.

  python -m floreana.report.vectors --vectors FOLDER [--encoder 00] [--jobs N] [--simulator verilator|icarus] [--out FOLDER]

Every ``encoder_*.npz`` of the folder is read; sizes and scales come from the files. A step's operands are the recorded ones, so that each
step stands alone; that the steps fit together is checked too. docs/vectors.md describes the layout, the steps and the one exception.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from floreana.environment import find_tool, missing_tool_message, tool_environment
from floreana.errors import DiffersError, EnvironmentError_, FloreanaError, InputError
from floreana.ibert import ops
from floreana.ibert.params import GeluParams, IntArray, LayerNormParams, LinearParams, RequantParams, SoftmaxParams

ROOT = Path(__file__).resolve().parents[3]
HEAD_DIM = 64
MASKED = ops.INT32[0]  # score of a key that does not count
MAX_HIDDEN = 1024  # 16 beats: a row in one message
MAX_TOKENS = 128  # rows the units are built for
GELU_SHIFT = 14  # built into the units
SKIPPED = {
    "intermediate/linear": "the recording holds no weights",
    "output/linear": "the recording holds no weights",
}  # fmt: skip

ATTENTION, SOFTMAX, MATMUL, CONTEXT = (
    "self_attention", "self_attention/softmax", "self_attention/attention_matmul", "self_attention/softmax_matmul",
)  # fmt: skip
LINEARS = tuple(f"{ATTENTION}/linear_{c}" for c in "qkv")
ACTS = tuple(f"{ATTENTION}/act_{c}" for c in "qkv")
NORMS = ("self_output", "output")

# steps that a kernel does not show: its output, of the second step, is compared
INSIDE = {
    f"{ATTENTION}/softmax_matmul": ("attention", f"{ATTENTION}/act_out"),
    **{
        f"{norm}/{step}": ("add_norm", f"{norm}/act_layernorm")
        for norm in NORMS
        for step in ("act_linear", "layernorm before the bias", "layernorm")
    },
}

Limits = tuple[int, int]


# ------------------------------------------------------------------ the files


class Vectors:
    """One encoder's arrays as int64, every key present, of the right shape and range."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem
        try:
            data = np.load(path)
            if not isinstance(data, np.lib.npyio.NpzFile):
                raise ValueError("a file of one array")
        except Exception as error:  # numpy and zipfile raise a dozen different ones on what is not theirs
            raise InputError(f"{path}: expected an .npz archive of integer arrays, got: {_one_line(error)}") from None
        with data:
            self._load(data)

    def _load(self, data: np.lib.npyio.NpzFile) -> None:
        self._data = data
        self.arrays: dict[str, IntArray] = {}
        first = self._read(f"{LINEARS[0]}/input")
        if (
            first.ndim != 2
            or not 1 <= len(first) <= MAX_TOKENS
            or first.shape[1] % HEAD_DIM
            or not HEAD_DIM <= first.shape[1] <= MAX_HIDDEN
        ):
            raise self._wrong(
                f"{LINEARS[0]}/input",
                f"1 to {MAX_TOKENS} rows of {HEAD_DIM} to {MAX_HIDDEN} values, a multiple of {HEAD_DIM}",
                _shape(first.shape),
            )
        self.tokens, self.hidden = (int(size) for size in first.shape)
        self.heads = self.hidden // HEAD_DIM
        inner = self._read("intermediate/gelu/input")
        if inner.ndim != 2 or inner.shape[1] % HEAD_DIM or not inner.shape[1]:
            raise self._wrong("intermediate/gelu/input", f"{self.tokens} rows of a multiple of {HEAD_DIM} values", _shape(inner.shape))
        self.ffn = int(inner.shape[1])
        for key, shape, limits in self._schema():
            self._take(key, shape, limits)
        for key, size in (("intermediate/linear/bias_integer", self.ffn), ("output/linear/bias_integer", self.hidden)):
            if key in data.files:
                self._take(key, (size,), ops.INT32)

    def _schema(self) -> Iterator[tuple[str, tuple[int, ...], Limits]]:
        """Key, shape and range of everything that is used. A constant per channel, shape (C,), may also be one for all channels."""
        n, h, f = self.tokens, self.hidden, self.ffn
        multiplier, shift, rows = ops.INT32, (0, ops.E_MAX), (n, h)
        for linear, act in zip((*LINEARS, "self_output/linear"), (*ACTS, None), strict=True):
            yield f"{linear}/input", rows, ops.INT8
            yield f"{linear}/weight_integer", (h, h), ops.INT8
            yield f"{linear}/bias_integer", (h,), ops.INT32
            yield f"{linear}/output", rows, ops.INT32
            if act:
                yield f"{act}/input", rows, ops.INT32
                yield f"{act}/m", (h,), multiplier
                yield f"{act}/e", (h,), shift
                yield f"{act}/output", rows, ops.INT8
        for head in range(self.heads):
            for c in "qk":
                yield f"{MATMUL}/input_{c}_{head}", (n, HEAD_DIM), ops.INT8
            yield f"{MATMUL}/output_{head}", (n, n), ops.INT32
            yield f"{SOFTMAX}/soft_input_{head}", (n, n), ops.INT32
            yield f"{SOFTMAX}/output_{head}", (n, n), ops.UINT8
            yield f"{CONTEXT}/input_v_{head}", (n, HEAD_DIM), ops.INT8
            yield f"{CONTEXT}/output_{head}", (n, HEAD_DIM), ops.INT32
        yield f"{SOFTMAX}/x0", (1,), (-(1 << 16) + 1, -1)
        yield f"{SOFTMAX}/b", (1,), ops.signed(20)
        yield f"{SOFTMAX}/c", (1,), ops.INT32
        yield f"{SOFTMAX}/const", (1,), (ops.SOFTMAX_N, ops.SOFTMAX_N)
        yield f"{SOFTMAX}/m", (1,), (0, ops.INT32[1])
        yield f"{SOFTMAX}/e", (1,), (ops.SOFTMAX_N, ops.E_MAX)
        yield f"{ATTENTION}/act_out/input", rows, ops.INT32
        yield f"{ATTENTION}/act_out/m", (h,), multiplier
        yield f"{ATTENTION}/act_out/e", (h,), shift
        yield f"{ATTENTION}/act_out/output", rows, ops.INT8
        for norm in NORMS:
            act, layer, last = f"{norm}/act_linear", f"{norm}/layernorm", f"{norm}/act_layernorm"
            yield f"{act}/input", rows, ops.INT32
            yield f"{act}/identity", rows, ops.INT8
            for suffix in ("", "1"):
                yield f"{act}/m{suffix}", (h,), multiplier
                yield f"{act}/e{suffix}", (h,), shift
            yield f"{act}/output0", rows, ops.INT32
            yield f"{act}/output1", rows, ops.INT32
            yield f"{act}/output", rows, ops.INT24
            yield f"{layer}/input", rows, ops.INT24
            yield f"{layer}/shift", (1,), (0, 31)
            yield f"{layer}/y_int", rows, ops.INT36
            yield f"{layer}/bias", (h,), ops.INT32
            yield f"{layer}/output", rows, ops.INT36
            yield f"{last}/input", rows, ops.INT36
            yield f"{last}/m", (h,), multiplier
            yield f"{last}/e", (h,), shift
            yield f"{last}/output", rows, ops.INT8
        gelu, act = "intermediate/gelu", "intermediate/act"
        yield f"{gelu}/input", (n, f), ops.INT32
        yield f"{gelu}/b", (f,), (ops.signed(20)[0], 0)
        yield f"{gelu}/c", (f,), ops.signed(40)
        yield f"{gelu}/shift", (f,), ops.signed(24)
        yield f"{gelu}/const", (1,), (GELU_SHIFT, GELU_SHIFT)
        yield f"{gelu}/output", (n, f), ops.INT48
        yield f"{act}/input", (n, f), ops.INT48
        yield f"{act}/m", (f,), multiplier
        yield f"{act}/e", (f,), shift
        yield f"{act}/output", (n, f), ops.INT8
        # their matrices are absent, what goes in and comes out joins the steps around them
        yield "intermediate/linear/input", rows, ops.INT8
        yield "intermediate/linear/output", (n, f), ops.INT32
        yield "output/linear/input", (n, f), ops.INT8
        yield "output/linear/output", rows, ops.INT32

    def _wrong(self, key: str, expected: str, got: str) -> InputError:
        return InputError(f"{self.path}: {key}: expected {expected}, got {got}")

    def _read(self, key: str) -> IntArray:
        if key not in self._data.files:
            raise self._wrong(key, "an integer array", "no such key")
        try:
            array = self._data[key]
        except Exception as error:
            raise self._wrong(key, "an integer array", f"a damaged one ({_one_line(error)})") from None
        if array.dtype.kind not in "iu" or array.dtype == np.uint64:
            raise self._wrong(key, "an array of integers of at most 64 bits signed", str(array.dtype))
        values: IntArray = array.astype(np.int64)
        return values

    def _take(self, key: str, shape: tuple[int, ...], limits: Limits) -> None:
        array = self._read(key)
        if len(shape) == 1 and array.size == 1:
            array = np.broadcast_to(array.ravel(), shape)
        elif array.shape != shape:
            raise self._wrong(key, f"shape {_shape(shape)}", _shape(array.shape))
        low, high = int(array.min()), int(array.max())
        if low < limits[0] or high > limits[1]:
            raise self._wrong(key, f"values {limits[0]} to {limits[1]}", f"{low if low < limits[0] else high}")
        self.arrays[key] = array

    def __getitem__(self, key: str) -> IntArray:
        return self.arrays[key]

    def scalar(self, key: str) -> int:
        return int(self.arrays[key][0])

    def requant(self, stem: str, suffix: str = "") -> RequantParams:
        m, e = (self[f"{stem}/{name}{suffix}"] for name in "me")
        return RequantParams(m, e, np.zeros_like(m))

    def linear(self, stem: str) -> LinearParams:
        return LinearParams(self[f"{stem}/weight_integer"], self[f"{stem}/bias_integer"])

    @property
    def softmax(self) -> SoftmaxParams:
        return SoftmaxParams(*(self.scalar(f"{SOFTMAX}/{name}") for name in ("x0", "b", "c", "m", "e")))

    @property
    def gelu(self) -> GeluParams:
        return GeluParams(*(self[f"intermediate/gelu/{name}"] for name in ("b", "c", "shift")))

    def per_head(self, stem: str) -> IntArray:
        """The recordings of all heads, stacked."""
        return np.stack([self[f"{stem}_{head}"] for head in range(self.heads)])

    def keys(self) -> IntArray:
        """Numbers of the keys that count. The units know no mask: it must be the same for every query and head."""
        scores = self.per_head(f"{SOFTMAX}/soft_input")
        masked = scores[0, 0] == MASKED
        wrong = np.argwhere((scores == MASKED) != masked)
        if len(wrong):
            head, query, key = wrong[0].tolist()
            raise self._wrong(f"{SOFTMAX}/soft_input_{head}", "the same masked keys in every row", f"another at row {query}, column {key}")
        if masked.all():
            raise self._wrong(f"{SOFTMAX}/soft_input_0", "a key that is not masked", "none")
        return np.flatnonzero(~masked)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"


def find_vectors(folder: Path, encoder: str | None = None) -> list[Path]:
    """The encoders of a folder, in order of their names; ``encoder`` chooses one."""
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder with encoder_*.npz, got {'a file' if folder.exists() else 'nothing of that name'}")
    found = sorted(folder.glob("encoder_*.npz" if encoder is None else f"encoder_{encoder}.npz"))
    if not found:
        raise InputError(f"{folder}: expected {'encoder_*.npz' if encoder is None else f'encoder_{encoder}.npz'}, got no such file")
    return found


# ------------------------------------------------------------------ comparing


@dataclass(frozen=True, slots=True)
class Check:
    """One step on one side."""

    step: str
    side: str  # "model" or "RTL"
    checked: int
    equal: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Rounded:
    """A recorded probability that is not the exact integer."""

    head: int
    query: int
    key: int
    exact: int
    recorded: int

    def __str__(self) -> str:
        return f"head {self.head} row {self.query} column {self.key}: recorded {self.recorded}, exact {self.exact}"


@dataclass(slots=True)
class Report:
    """What was compared of one encoder."""

    name: str
    checks: list[Check] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    rounded: list[Rounded] = field(default_factory=list)

    def compare(self, step: str, side: str, got: IntArray, want: IntArray, note: str = "", left_out: int = 0) -> None:
        """Equality of every value; the last two axes are row and column, one in front of them the head.

        ``left_out`` values of ``want`` are not recorded ones and not counted.
        """
        if got.shape != want.shape:
            raise FloreanaError(f"{self.name} {step} {side}: shape {got.shape} beside {want.shape}")
        wrong = np.argwhere(got != want)
        checked = want.size - left_out
        self.checks.append(Check(step, side, checked, checked - len(wrong), note))
        if len(wrong):
            at = tuple(wrong[0].tolist())
            place = f"row {at[-2]}, column {at[-1]}" + (f" of head {at[0]}" if len(at) == 3 else "")
            self.differences.append(f"{self.name} {step} ({side}): {place} is {int(got[at])}, recorded or exact {int(want[at])}")


def exact_probabilities(v: Vectors) -> tuple[IntArray, IntArray]:
    """Probabilities (heads, N, N) in integers, and which recorded ones may be off by one where floats were rounded.

    The second array tells where the recorded value lies between the probabilities that the exponential and the factor, each one
    unit smaller and each one unit greater, would give.
    """
    p = v.softmax
    scores = v.per_head(f"{SOFTMAX}/soft_input")
    probabilities = ops.softmax(scores, p)
    x = np.maximum(scores - scores.max(axis=-1, keepdims=True), ops.SOFTMAX_N * p.x0)
    q = x // p.x0
    r = x - q * p.x0
    exponentials = ops.requant(np.maximum(r * (r + p.b) + p.c, 0), p.m, p.e - ops.SOFTMAX_N + q, 0, ops.INT16)
    if exponentials[scores == MASKED].any():
        raise InputError(f"{v.path}: {SOFTMAX}/soft_input: expected masked keys without weight, got an exponential above 0")
    factor = np.minimum((1 << 32) // np.maximum(exponentials.sum(axis=-1, keepdims=True), 1), ops.UINT32[1])
    low, high = (ops.saturate(((exponentials + d) * (factor + d)) >> 24, ops.UINT8) for d in (-1, 1))
    recorded = v.per_head(f"{SOFTMAX}/output")
    return probabilities, (np.abs(recorded - probabilities) == 1) & (low <= recorded) & (recorded <= high)


def check_model(v: Vectors, report: Report) -> None:
    """Every step through floreana.ibert.ops."""

    def compare(step: str, got: IntArray, want: IntArray) -> None:
        report.compare(step, "model", got, want)

    for linear in (*LINEARS, "self_output/linear"):
        compare(linear, ops.linear(v[f"{linear}/input"], v.linear(linear)), v[f"{linear}/output"])
    for act in (*ACTS, f"{ATTENTION}/act_out", *(f"{norm}/act_layernorm" for norm in NORMS), "intermediate/act"):
        compare(act, ops.requant_params(v[f"{act}/input"], v.requant(act)), v[f"{act}/output"])
    queries, keys, values = (v.per_head(f"{MATMUL}/input_q"), v.per_head(f"{MATMUL}/input_k"), v.per_head(f"{CONTEXT}/input_v"))
    scores = v.per_head(f"{MATMUL}/output")
    compare(f"{ATTENTION}/attention_matmul", np.stack([ops.matmul(q, k.T) for q, k in zip(queries, keys, strict=True)]), scores)
    counted = v.keys()
    compare(f"{SOFTMAX} scores in", v.per_head(f"{SOFTMAX}/soft_input")[:, :, counted], scores[:, :, counted])
    exact, near = exact_probabilities(v)
    recorded = v.per_head(f"{SOFTMAX}/output")
    for head, query, key in np.argwhere(near).tolist():
        report.rounded.append(Rounded(head, query, key, int(exact[head, query, key]), int(recorded[head, query, key])))
    rounded = len(report.rounded)
    note = f"and {rounded} recorded values rounded, named below" if rounded else ""
    report.compare(SOFTMAX, "model", exact, np.where(near, exact, recorded), note, left_out=rounded)
    contexts = np.stack([ops.matmul(p, w) for p, w in zip(recorded, values, strict=True)])
    compare(f"{ATTENTION}/softmax_matmul", contexts, v.per_head(f"{CONTEXT}/output"))
    for norm in NORMS:
        act, layer = f"{norm}/act_linear", f"{norm}/layernorm"
        x, row, rq, row_rq = v[f"{act}/input"], v[f"{act}/identity"], v.requant(act), v.requant(act, "1")
        compare(f"{act} requant of the sum", ops.requant_params(x, rq, ops.INT32), v[f"{act}/output0"])
        compare(f"{act} requant of the residual", ops.requant_params(row, row_rq, ops.INT32), v[f"{act}/output1"])
        compare(act, ops.residual(x, rq, row, row_rq), v[f"{act}/output"])
        y, shift, bias = v[f"{layer}/input"], v.scalar(f"{layer}/shift"), v[f"{layer}/bias"]
        compare(f"{layer} before the bias", ops.layer_norm(y, LayerNormParams(shift, np.zeros_like(bias))), v[f"{layer}/y_int"])
        compare(layer, ops.layer_norm(y, LayerNormParams(shift, bias)), v[f"{layer}/output"])
    compare("intermediate/gelu", ops.gelu(v["intermediate/gelu/input"], v.gelu), v["intermediate/gelu/output"])
    _check_joints(v, report)


def _check_joints(v: Vectors, report: Report) -> None:
    """What one step gives is what the next one takes: the kernels run several steps in one go."""
    joints = [(f"{linear}/output", f"{act}/input") for linear, act in zip(LINEARS, ACTS, strict=True)]
    joints += [(f"{LINEARS[0]}/input", f"{linear}/input") for linear in LINEARS[1:]]
    joints += [
        (f"{ATTENTION}/act_out/output", "self_output/linear/input"), ("self_output/linear/output", "self_output/act_linear/input"),
        (f"{LINEARS[0]}/input", "self_output/act_linear/identity"), ("self_output/act_layernorm/output", "output/act_linear/identity"),
        ("self_output/act_layernorm/output", "intermediate/linear/input"), ("intermediate/linear/output", "intermediate/gelu/input"),
        ("intermediate/gelu/output", "intermediate/act/input"), ("intermediate/act/output", "output/linear/input"),
        ("output/linear/output", "output/act_linear/input"),
    ]  # fmt: skip
    for norm in NORMS:
        joints += [(f"{norm}/act_linear/output", f"{norm}/layernorm/input"), (f"{norm}/layernorm/output", f"{norm}/act_layernorm/input")]
    pairs = [(v[a], v[b]) for a, b in joints]
    names = [f"{a} = {b}" for a, b in joints]
    heads = [
        (f"{act}/output", f"{stem}")
        for act, stem in zip(ACTS, (f"{MATMUL}/input_q", f"{MATMUL}/input_k", f"{CONTEXT}/input_v"), strict=True)
    ]
    for whole, stem in [*heads, (f"{ATTENTION}/act_out/input", f"{CONTEXT}/output")]:
        pairs.append((v[whole], _side_by_side(v.per_head(stem))))
        names.append(f"{whole} = {stem}_*")
    for name, (got, want) in zip(names, pairs, strict=True):
        report.compare(f"joint {name}", "model", got, want)
    joined = report.checks[-len(names) :]
    del report.checks[-len(names) :]
    checked, equal = sum(c.checked for c in joined), sum(c.equal for c in joined)
    report.checks.append(Check("the steps joined", "model", checked, equal, f"{len(names)} outputs are the next inputs"))


def _side_by_side(heads: IntArray) -> IntArray:
    """(heads, N, 64) -> (N, heads*64)."""
    return heads.transpose(1, 0, 2).reshape(heads.shape[1], -1)


# ------------------------------------------------------------------ the RTL units


@dataclass(frozen=True, slots=True)
class Unit:
    """A bench: what it is given, and how its result is compared."""

    name: str
    toplevel: str
    job: Callable[[Vectors], dict[str, IntArray]]
    check: Callable[[Vectors, Report, dict[str, IntArray]], None]
    extra_args: tuple[str, ...] = ()
    shape: Callable[[Vectors], dict[str, int]] = lambda _: {}


def _linear_job(v: Vectors) -> dict[str, IntArray]:
    job = {"linears": np.array(4)}
    for i, stem in enumerate((*LINEARS, "self_output/linear")):
        job |= {f"{i}_weight": v[f"{stem}/weight_integer"], f"{i}_bias": v[f"{stem}/bias_integer"], f"{i}_input": v[f"{stem}/input"]}
    for i, act in enumerate(ACTS):
        job |= {f"{i}_m": v[f"{act}/m"], f"{i}_e": v[f"{act}/e"]}
    return job


def _linear_check(v: Vectors, report: Report, got: dict[str, IntArray]) -> None:
    for i, stem in enumerate((*LINEARS, "self_output/linear")):
        report.compare(stem, "RTL", got[f"{i}_sum"], v[f"{stem}/output"], "linear kernel, partial sums")
    for i, act in enumerate(ACTS):
        report.compare(act, "RTL", got[f"{i}_int8"], v[f"{act}/output"], "linear kernel, matrix and requantisation")


def _linear_shape(v: Vectors) -> dict[str, int]:
    words = 4 * (v.hidden // 64) * -(-v.hidden // 48)
    return {} if words <= 1024 else {"W_WORDS": words}


def _attention_job(v: Vectors) -> dict[str, IntArray]:
    act, p = v.requant(f"{ATTENTION}/act_out"), v.softmax
    return {
        "q": v.per_head(f"{MATMUL}/input_q"), "k": v.per_head(f"{MATMUL}/input_k"), "v": v.per_head(f"{CONTEXT}/input_v"),
        "counted": v.keys(), "m": act.m, "e": act.e, "softmax": np.array([p.x0, p.b, p.c, p.m, p.e]),
    }  # fmt: skip


def _attention_check(v: Vectors, report: Report, got: dict[str, IntArray]) -> None:
    """Against the recorded values; where a probability was rounded, against the exact integers."""
    counted = v.keys()
    exact, near = exact_probabilities(v)
    recorded = v.per_head(f"{SOFTMAX}/output")
    probabilities = np.where(near, exact, recorded)
    note = f"attention kernel, V the unit matrix; {len(counted)} of {v.tokens} keys count"
    if near.any():
        note += f"; {int(near.sum())} against exact integers"
    report.compare(SOFTMAX, "RTL", got["probability"], probabilities[:, :, counted], note)
    values = v.per_head(f"{CONTEXT}/input_v")
    contexts = np.stack([ops.matmul(p, w) for p, w in zip(exact, values, strict=True)])
    want = ops.requant_params(_side_by_side(contexts), v.requant(f"{ATTENTION}/act_out"))
    touched = np.repeat(near.any(axis=2).T, HEAD_DIM, axis=1)  # (N, H): channels whose query has a rounded probability
    want = np.where(touched, want, v[f"{ATTENTION}/act_out/output"])
    differ = int((want != v[f"{ATTENTION}/act_out/output"]).sum())
    note = "attention kernel: scores, softmax, context, requantisation"
    if touched.any():
        note += f"; {int(touched.sum())} values behind rounded probabilities against exact integers ({differ} are not the recorded ones)"
    report.compare(f"{ATTENTION}/act_out", "RTL", _side_by_side(got["context"]), want, note)
    if len(counted) < v.tokens:
        q, k, w = (_side_by_side(v.per_head(stem)) for stem in (f"{MATMUL}/input_q", f"{MATMUL}/input_k", f"{CONTEXT}/input_v"))
        want = ops.attention(q, k, w, v.softmax, v.requant(f"{ATTENTION}/act_out"), v.heads)
        note = f"attention kernel, all {v.tokens} keys, against the integer model"
        report.compare(f"{ATTENTION} without the mask", "RTL", _side_by_side(got["unmasked"]), want, note)


def _norm_job(v: Vectors) -> dict[str, IntArray]:
    job = {"norms": np.array(len(NORMS))}
    for i, norm in enumerate(NORMS):
        act, layer, last = f"{norm}/act_linear", f"{norm}/layernorm", f"{norm}/act_layernorm"
        job |= {f"{i}_part": v[f"{act}/input"], f"{i}_row": v[f"{act}/identity"], f"{i}_shift": np.array(v.scalar(f"{layer}/shift"))}
        job |= {f"{i}_{name}": v[f"{act}/{name}"] for name in ("m", "e", "m1", "e1")}
        job |= {f"{i}_bias": v[f"{layer}/bias"], f"{i}_om": v[f"{last}/m"], f"{i}_oe": v[f"{last}/e"]}
    return job


def _norm_check(v: Vectors, report: Report, got: dict[str, IntArray]) -> None:
    for i, norm in enumerate(NORMS):
        note = "add_norm kernel: both requantisations, residual sum, LayerNorm, requantisation"
        report.compare(f"{norm}/act_layernorm", "RTL", got[f"{i}_int8"], v[f"{norm}/act_layernorm/output"], note)


def _norm_shape(v: Vectors) -> dict[str, int]:
    return {} if v.hidden <= 768 else {"ROW_BEATS": v.hidden // 64}


def _lane_requants(v: Vectors) -> list[tuple[str, str, str]]:
    """Step, its input, suffix of its constants: what the requantisation units are given."""
    steps = [(f"{ATTENTION}/act_{c}", "input", "") for c in ("q", "k", "v", "out")]
    for norm in NORMS:
        steps += [(f"{norm}/act_linear", "input", ""), (f"{norm}/act_linear", "identity", "1")]
    return steps


def _lanes_job(v: Vectors) -> dict[str, IntArray]:
    steps = _lane_requants(v)
    job = {"heads": np.array(v.heads), "requants": np.array(len(steps) + 1)}
    for head in range(v.heads):
        job |= {f"{head}_q": v[f"{MATMUL}/input_q_{head}"], f"{head}_k": v[f"{MATMUL}/input_k_{head}"]}
    for i, (step, name, suffix) in enumerate(steps):
        job |= {f"{i}_x": v[f"{step}/{name}"], f"{i}_m": v[f"{step}/m{suffix}"], f"{i}_e": v[f"{step}/e{suffix}"]}
    i, gelu, act = len(steps), v.gelu, v.requant("intermediate/act")
    return job | {
        f"{i}_x": v["intermediate/gelu/input"], f"{i}_b": gelu.b, f"{i}_c": gelu.c, f"{i}_shift": gelu.shift,
        f"{i}_m": act.m, f"{i}_e": act.e,
    }  # fmt: skip


def _lanes_check(v: Vectors, report: Report, got: dict[str, IntArray]) -> None:
    scores = np.stack([got[f"{head}_score"] for head in range(v.heads)])
    report.compare(f"{ATTENTION}/attention_matmul", "RTL", scores, v.per_head(f"{MATMUL}/output"), "ibert_dot; masked keys too")
    steps = _lane_requants(v)
    for i, (step, name, _) in enumerate(steps):
        if step.startswith(ATTENTION):
            report.compare(step, "RTL", got[f"{i}_narrow"], v[f"{step}/output"], "ibert_requant, 48 to 8 bits")
        else:
            which, key = ("sum", "output0") if name == "input" else ("residual", "output1")
            report.compare(f"{step} requant of the {which}", "RTL", got[f"{i}_wide"], v[f"{step}/{key}"], "ibert_requant, 32 to 32 bits")
    i = len(steps)
    report.compare("intermediate/gelu", "RTL", got[f"{i}_gelu"], v["intermediate/gelu/output"], "ibert_gelu")
    report.compare("intermediate/act", "RTL", got[f"{i}_narrow"], v["intermediate/act/output"], "ibert_gelu, then ibert_requant")


UNITS = (
    Unit("linear", "ibert_linear", _linear_job, _linear_check, shape=_linear_shape),
    # one C++ file: see tests/test_ibert_attention.py, which builds the same model
    Unit("attention", "ibert_attention", _attention_job, _attention_check, ("--output-split", "200000")),
    Unit("add_norm", "ibert_add_norm", _norm_job, _norm_check, shape=_norm_shape),
    Unit("lanes", "tb_vectors_lanes", _lanes_job, _lanes_check),
)  # fmt: skip


def _simulate(name: str, toplevel: str, shape: dict[str, int], simulator: str, extra_args: tuple[str, ...], folder: Path) -> str:
    """Run one bench on the job in ``folder``; the error, or nothing. Runs in a process of its own: the runner sets the environment."""
    for path in (ROOT / "tb", ROOT / "python"):
        if str(path) not in sys.path:
            sys.path.insert(0, str(path))
    from floreana_tb.runner import BenchError, run_unit

    env = {"VECTORS_JOB": str(folder / f"{name}.job.npz"), "VECTORS_RESULT": str(folder / f"{name}.result.npz")}
    try:
        with contextlib.redirect_stdout(sys.stderr):
            run_unit(
                toplevel, f"vectors.test_vectors_{name}", parameters=shape, simulator=simulator,
                extra_args=extra_args if simulator == "verilator" else (), extra_env=env, timeout_s=3600.0,
            )  # fmt: skip
    except BenchError as error:
        return str(error)
    return ""


def check_rtl(encoders: Sequence[Vectors], reports: Sequence[Report], simulator: str, jobs: int, out: Path) -> None:
    """Every unit on every encoder, ``jobs`` at a time."""
    tools = ("iverilog", "vvp") if simulator == "icarus" else ("verilator",)
    env = tool_environment()
    for tool in tools:
        if find_tool(tool, env) is None:
            raise EnvironmentError_(missing_tool_message(tool))
    with ProcessPoolExecutor(jobs) as pool:
        waiting = []
        for unit in UNITS:  # the same unit of two encoders shares a build
            for v, report in zip(encoders, reports, strict=True):
                folder = out.resolve() / v.name
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{unit.name}.result.npz").unlink(missing_ok=True)
                np.savez(folder / f"{unit.name}.job.npz", **unit.job(v))  # type: ignore[arg-type]
                done = pool.submit(_simulate, unit.name, unit.toplevel, unit.shape(v), simulator, unit.extra_args, folder)
                waiting.append((unit, v, report, folder, done))
        for unit, v, report, folder, done in waiting:
            trouble = done.result()
            if trouble:
                report.differences.append(f"{v.name} {unit.name} ({simulator}): the bench did not pass: {trouble}")
                continue
            before = len(report.differences)
            with np.load(folder / f"{unit.name}.result.npz") as data:
                unit.check(v, report, {key: data[key] for key in data.files})
            if len(report.differences) == before:  # kept only where there is something to look at
                for kind in ("job", "result"):
                    (folder / f"{unit.name}.{kind}.npz").unlink()


# ------------------------------------------------------------------ the command


def show(report: Report) -> None:
    """The table of one encoder: a line per step, the model's first."""
    print(report.name)
    steps = dict.fromkeys(check.step for check in report.checks)
    for step in steps:
        for check in (c for side in ("model", "RTL") for c in report.checks if c.step == step and c.side == side):
            note = f"  ({check.note})" if check.note else ""
            print(f"  {check.side:5} {step:48} checked {check.checked:7} equal {check.equal:7}{note}")
        if step in INSIDE:
            kernel, output = INSIDE[step]
            equal = [c.equal == c.checked for c in report.checks if c.step == output and c.side == "RTL"]
            verdict = ("equal" if all(equal) else "different") if equal else "missing"
            print(f"  RTL   {step:48} through the {kernel} kernel: output {output} {verdict}")
    for step, why in SKIPPED.items():
        print(f"  skip  {step:48} {why}")
    for side in ("model", "RTL"):
        some = [c for c in report.checks if c.side == side]
        print(f"  {side:5} in all: checked {sum(c.checked for c in some)} equal {sum(c.equal for c in some)}")
    print(f"  recorded probabilities that floats rounded: {len(report.rounded)}")
    for value in report.rounded:
        print(f"    {value}")


def run(folder: Path, encoder: str | None, simulator: str, jobs: int, out: Path) -> list[Report]:
    """Check and print; raises DiffersError naming every first difference."""
    encoders = [Vectors(path) for path in find_vectors(folder, encoder)]
    reports = [Report(v.name) for v in encoders]
    for v, report in zip(encoders, reports, strict=True):
        try:
            check_model(v, report)
        except ops.RangeError as error:
            raise InputError(f"{v.path}: expected values whose sums and products fit the units, got {error}") from None
    check_rtl(encoders, reports, simulator, jobs, out)
    for report in reports:
        show(report)
    differences = [text for report in reports for text in report.differences]
    if differences:
        raise DiffersError("differs: " + "\ndiffers: ".join(differences))
    return reports


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 equal, 1 differs, 2 bad input, 3 environment, 4 internal."""
    parser = argparse.ArgumentParser(prog="floreana vectors", description="Recorded vectors through the model and the RTL units.")
    parser.add_argument("--vectors", type=Path, required=True, help="folder with encoder_*.npz (docs/vectors.md)")
    parser.add_argument("--encoder", help="one of them, for example 00 (default: all)")
    parser.add_argument("--simulator", choices=("verilator", "icarus"), default="verilator")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="simulations at a time")
    parser.add_argument("--out", type=Path, default=Path("build/vectors"), help="operands and results of units that differ are kept here")
    options = parser.parse_args(argv)
    try:
        if options.jobs < 1:
            raise InputError(f"--jobs: expected at least 1, got {options.jobs}")
        run(options.vectors, options.encoder, options.simulator, options.jobs, options.out)
    except FloreanaError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return EnvironmentError_.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
