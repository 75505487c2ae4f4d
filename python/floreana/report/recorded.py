# SPDX-License-Identifier: Apache-2.0
"""One encoder on recorded rows against the recording: what the integer model computes on the way, and what crossed the wire.

A recording has neither matrix of the feed-forward part. Everything before them must be the recorded values. There is one exception,
which is computed, not tolerated: a probability that the recording's floats rounded (report.vectors says when that is so) changes values
behind it. The model is run twice, with the exact probabilities and with the recorded ones. The second run must be the recording, value by
value. The wire must carry the recorded value wherever both runs agree, and the exact integer where they do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floreana.cluster.plan import Plan
from floreana.ibert import ops
from floreana.ibert.params import EncoderParams, IntArray, LayerNormParams, LinearParams, ModelParams
from floreana.report.compare import Analysis
from floreana.report.vectors import ACTS, ATTENTION, CONTEXT, LINEARS, MATMUL, SOFTMAX, Check, Rounded, Vectors, exact_probabilities

Tensors = dict[str, IntArray]
Bools = NDArray[np.bool_]

INPUT = "input rows"
OUT, ADDED, NORM, NORMED = "self_output/linear", "self_output/act_linear", "self_output/layernorm", "self_output/act_layernorm"
# the tensors that messages carry, and the steps that make them
WIRE = {
    "entry": INPUT, "q": ACTS[0], "k": ACTS[1], "v": ACTS[2], "context": f"{ATTENTION}/act_out", "out_part": OUT, "ln1": NORMED,
}  # fmt: skip
NOT_COVERED = (
    "intermediate/linear", "intermediate/gelu", "intermediate/act", "output/linear", "output/act_linear", "output/layernorm",
    "output/act_layernorm",
)  # fmt: skip
WHY_NOT_COVERED = "behind the two matrices that a recording does not hold, compared with the integer model"


@dataclass(slots=True)
class Recorded:
    """What was compared of one encoder; ``rows`` are the numbers of the recording's rows that were run."""

    name: str
    rows: tuple[int, ...]
    of: int
    checks: list[Check] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    rounded: list[Rounded] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)  # steps whose results no frame carries

    @property
    def equal(self) -> bool:
        return not self.differences

    def compare(self, step: str, side: str, got: IntArray, want: Sequence[IntArray], counted: Bools | None = None, note: str = "") -> None:
        """Equality with every recording of a value; the last axes are row and column, one in front of them the head."""
        counted = np.ones(got.shape, np.bool_) if counted is None else counted
        wrong = counted & np.logical_or.reduce([got != each for each in want])
        checked, differ = int(counted.sum()), int(wrong.sum())
        self.checks.append(Check(step, side, checked, checked - differ, note))
        if differ:
            at = tuple(np.argwhere(wrong)[0].tolist())
            expected = next(int(each[at]) for each in want if each[at] != got[at])
            column = self.rows[at[-1]] if len(at) == 3 else at[-1]  # a key is a row, too
            place = f"row {self.rows[at[-2]]}, column {column}" + (f" of head {at[0]}" if len(at) == 3 else "")
            self.differences.append(f"{self.name} {step} ({side}): {place} is {int(got[at])}, recorded {expected}")

    def content(self) -> dict[str, Any]:
        """What result.json says of it."""
        return {
            "encoder": self.name,
            "rows": len(self.rows),
            "rows_recorded": self.of,
            "equal": self.equal,
            "checks": [asdict(check) for check in self.checks],
            "rounded": [asdict(value) for value in self.rounded],
            "inside": self.inside,
            "not_covered": list(NOT_COVERED),
        }


# ------------------------------------------------------------------ parameters


def encoder_params(v: Vectors, synthetic: EncoderParams) -> EncoderParams:
    """The recorded encoder; only the feed-forward matrices are ``synthetic``, and their biases where none are recorded."""

    def matrix(stem: str, p: LinearParams) -> LinearParams:
        return replace(p, bias=v.arrays.get(f"{stem}/bias_integer", p.bias))

    def norm(stem: str) -> LayerNormParams:
        return LayerNormParams(v.scalar(f"{stem}/layernorm/shift"), v[f"{stem}/layernorm/bias"])

    (q, k, value), (q_rq, k_rq, v_rq) = (v.linear(stem) for stem in LINEARS), (v.requant(stem) for stem in ACTS)
    return EncoderParams(
        q=q,
        k=k,
        v=value,
        q_rq=q_rq,
        k_rq=k_rq,
        v_rq=v_rq,
        softmax=v.softmax,
        context_rq=v.requant(f"{ATTENTION}/act_out"),
        out=v.linear(OUT),
        out_rq=v.requant(ADDED),
        out_res_rq=v.requant(ADDED, "1"),
        ln1=norm("self_output"),
        ln1_rq=v.requant(NORMED),
        ffn1=matrix("intermediate/linear", synthetic.ffn1),
        gelu=v.gelu,
        ffn1_rq=v.requant("intermediate/act"),
        ffn2=matrix("output/linear", synthetic.ffn2),
        ffn2_rq=v.requant("output/act_linear"),
        ffn2_res_rq=v.requant("output/act_linear", "1"),
        ln2=norm("output"),
        ln2_rq=v.requant("output/act_layernorm"),
    )


# ------------------------------------------------------------------ the model's side


def side_by_side(heads: IntArray) -> IntArray:
    """(heads, N, 64) -> (N, heads*64)."""
    return heads.transpose(1, 0, 2).reshape(heads.shape[1], -1)


def compute(p: EncoderParams, rows: IntArray, heads: int, probabilities: IntArray | None = None) -> Tensors:
    """Every step up to the first LayerNorm on ``rows`` (N, H), by its name; ``probabilities`` (heads, N, N) in place of the softmax."""
    t: Tensors = {INPUT: rows}
    for linear, act, layer, rq in zip(LINEARS, ACTS, (p.q, p.k, p.v), (p.q_rq, p.k_rq, p.v_rq), strict=True):
        t[linear] = ops.linear(rows, layer)
        t[act] = ops.requant_params(t[linear], rq)
    q, k, v = (t[act].reshape(len(rows), heads, -1).transpose(1, 0, 2) for act in ACTS)
    t[MATMUL] = np.stack([ops.matmul(a, b.T) for a, b in zip(q, k, strict=True)])
    t[SOFTMAX] = ops.softmax(t[MATMUL], p.softmax) if probabilities is None else probabilities
    t[CONTEXT] = side_by_side(np.stack([ops.matmul(a, b) for a, b in zip(t[SOFTMAX], v, strict=True)]))
    context = t[f"{ATTENTION}/act_out"] = ops.requant_params(t[CONTEXT], p.context_rq)
    t[OUT] = ops.linear(context, p.out)
    t[f"{ADDED} requant of the sum"] = ops.requant_params(t[OUT], p.out_rq, ops.INT32)
    t[f"{ADDED} requant of the residual"] = ops.requant_params(rows, p.out_res_rq, ops.INT32)
    t[ADDED] = ops.residual(t[OUT], p.out_rq, rows, p.out_res_rq)
    t[f"{NORM} before the bias"] = ops.layer_norm(t[ADDED], replace(p.ln1, bias=np.zeros_like(p.ln1.bias)))
    t[NORM] = ops.layer_norm(t[ADDED], p.ln1)
    t[NORMED] = ops.requant_params(t[NORM], p.ln1_rq)
    return t


def recordings(v: Vectors, counted: IntArray) -> dict[str, list[IntArray]]:
    """Everything that is recorded of a step's result, as its own output and as operands of others; ``counted`` rows and keys only."""

    def rows(*keys: str) -> list[IntArray]:
        return [v[key][counted] for key in keys]

    def heads(stem: str) -> IntArray:
        return v.per_head(stem)[:, counted]

    out: dict[str, list[IntArray]] = {INPUT: rows(*(f"{linear}/input" for linear in LINEARS), f"{ADDED}/identity")}
    for linear, act, stem in zip(LINEARS, ACTS, (f"{MATMUL}/input_q", f"{MATMUL}/input_k", f"{CONTEXT}/input_v"), strict=True):
        out[linear] = rows(f"{linear}/output", f"{act}/input")
        out[act] = [*rows(f"{act}/output"), side_by_side(heads(stem))]
    out[MATMUL] = [heads(stem)[:, :, counted] for stem in (f"{MATMUL}/output", f"{SOFTMAX}/soft_input")]
    out[SOFTMAX] = [heads(f"{SOFTMAX}/output")[:, :, counted]]
    act_out = f"{ATTENTION}/act_out"
    out[CONTEXT] = [side_by_side(heads(f"{CONTEXT}/output")), *rows(f"{act_out}/input")]
    out[act_out] = rows(f"{act_out}/output", f"{OUT}/input")
    out[OUT] = rows(f"{OUT}/output", f"{ADDED}/input")
    out[f"{ADDED} requant of the sum"] = rows(f"{ADDED}/output0")
    out[f"{ADDED} requant of the residual"] = rows(f"{ADDED}/output1")
    out[ADDED] = rows(f"{ADDED}/output", f"{NORM}/input")
    out[f"{NORM} before the bias"] = rows(f"{NORM}/y_int")
    out[NORM] = rows(f"{NORM}/output", f"{NORMED}/input")
    out[NORMED] = rows(f"{NORMED}/output", "output/act_linear/identity", "intermediate/linear/input")
    return out


# ------------------------------------------------------------------ the wire's side


def wire_tensor(plan: Plan, params: EncoderParams, exact: Tensors, analysis: Analysis, tensor: str) -> tuple[IntArray, Bools, str]:
    """A tensor of encoder 0 as the nodes sent it, which of its values were on the wire, and how it was put together."""
    want = exact[WIRE[tensor]]
    values, seen = np.zeros_like(want), np.zeros(want.shape, np.bool_)
    found = {columns: rows for (_, _, name, columns), rows in analysis.wire.items() if name == tensor}
    if tensor != "out_part":
        for columns, rows in found.items():
            own = slice(None) if columns is None else slice(*columns)
            values[:, own], seen[:, own] = rows.values, rows.seen
        return values, seen, ""
    shares = [node.columns["out"] for node in plan.nodes if "out" in node.columns]
    for begin, end in shares:  # a part that stays in its node is the model's
        bias = params.out.bias if begin == 0 else np.zeros_like(params.out.bias)
        part = ops.linear(exact[f"{ATTENTION}/act_out"][:, begin:end], LinearParams(params.out.weight[:, begin:end], bias))
        if (begin, end) in found:
            rows = found[begin, end]
            part = np.where(rows.seen, rows.values, part)
            seen |= rows.seen
        values += part
    return values, seen, f"sums of {len(shares)} parts, of which the one that stays in its node is the model's"


# ------------------------------------------------------------------ both


def compare_recorded(v: Vectors, plan: Plan, params: ModelParams, analysis: Analysis) -> Recorded:
    """Model and wire against the recording. ``params`` are those of :func:`encoder_params`, the capture is of one sequence."""
    counted = v.keys()
    (p,), (sentence,) = params.encoders, analysis.sentences
    report = Recorded(v.name, tuple(counted.tolist()), v.tokens)
    recorded = recordings(v, counted)
    exact = compute(p, recorded[INPUT][0], plan.heads)
    near: Bools = exact_probabilities(v)[1].astype(np.bool_)[:, counted][:, :, counted]
    (probabilities,) = recorded[SOFTMAX]
    for head, query, key in np.argwhere(near).tolist():
        place = (head, query, key)
        report.rounded.append(Rounded(head, int(counted[query]), int(counted[key]), int(exact[SOFTMAX][place]), int(probabilities[place])))
    rounded = compute(p, recorded[INPUT][0], plan.heads, np.where(near, probabilities, exact[SOFTMAX])) if near.any() else exact
    for step, want in recorded.items():
        if step == SOFTMAX:
            note = f"and {len(report.rounded)} recorded values rounded, named below" if report.rounded else ""
            report.compare(step, "model", exact[step], want, ~near, note)
            continue
        differ = int((exact[step] != rounded[step]).sum())
        note = f"with the recorded probabilities; {differ} values are others with the exact ones" if differ else ""
        report.compare(step, "model", rounded[step], want, note=note)
    for tensor, step in WIRE.items():
        values, seen, note = wire_tensor(plan, p, exact, analysis, tensor)
        if not seen.any():
            report.inside.append(step)
            continue
        behind: Bools = exact[step] != rounded[step]
        notes = [note] if note else []
        if not seen.all():
            notes.append(f"{int((~seen).sum())} values stay in their node")
        if (behind & seen).any():
            notes.append(f"{int((behind & seen).sum())} values behind rounded probabilities against exact integers")
        report.compare(step, "RTL", values, [np.where(behind, exact[step], each) for each in recorded[step]], seen, "; ".join(notes))
    note = "the encoder's output, behind synthetic feed-forward matrices: against the integer model"
    report.compare("output rows", "RTL", sentence.rtl[-1].astype(np.int64), [sentence.model[-1].astype(np.int64)], note=note)
    return report
