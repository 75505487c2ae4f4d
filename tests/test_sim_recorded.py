# SPDX-License-Identifier: Apache-2.0
"""`floreana sim --vectors` on small recordings made here: whole runs in both strategies under Icarus, planted differences, refusals.

Eight rows of which six count, hidden 128, two heads, FFN 128; one probability is off by one, as a rounded float leaves it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from recordings import Arrays, near, recording, write

from floreana.cli import main
from floreana.cluster.description import SyntheticModel, load_project
from floreana.cluster.plan import load_plan, make_plan
from floreana.environment import project_root
from floreana.ibert.quantise import quantise
from floreana.ibert.store import load_params
from floreana.report.compare import Analysis, analyse
from floreana.report.recorded import Recorded, compare_recorded, encoder_params
from floreana.report.vectors import Vectors
from floreana.sim import recorded as flow_recorded
from floreana.sim.capture import read_capture
from floreana.sim.flow import Hooks, make_fresh, recorded_runs, synthetic_workload

BUILDS = project_root() / "build" / "test_sim_recorded"  # built simulators, found again by their content
MODEL = "model: {source: synthetic, hidden: 128, heads: 2, ffn: 128, encoders: 1}"
BUILD = "build: {k_lanes: 64, out_n: 16, post_lanes: 4, norm_lanes: 4, max_tokens: 8, slots: 1}"
TENSOR = f"""
name: recorded_2
{MODEL}
cluster: {{nodes: 2}}
{BUILD}
"""
PIPELINE = f"""
name: recorded_3
{MODEL}
cluster: {{nodes: [left, middle, right]}}
mapping:
  strategy: pipeline
  place: {{qkv: [left], attention: [middle, right], out: [left], ln1: [left], ffn1: [middle], ffn2: [right], ln2: [right]}}
{BUILD}
"""
SEED, TOKENS, COUNTED, HIDDEN = 1, 8, 6, 128


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    patch = pytest.MonkeyPatch()
    patch.setenv("FLOREANA_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.setattr(flow_recorded, "Hooks", lambda: Hooks(builds=BUILDS))
    yield
    patch.undo()


def _project(folder: Path, text: str) -> Path:
    path = folder / text.split()[1] / "project.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def _rounded(folder: Path) -> Arrays:
    return recording(SEED, near(folder, SEED), ffn=128)


def _shuffled(arrays: Arrays, order: list[int]) -> Arrays:
    """Rows and keys in another order, so that the masked ones are not the last."""
    out = {}
    for key, array in arrays.items():
        rows = array[order] if array.ndim == 2 and len(array) == TOKENS else array
        out[key] = rows[:, order] if rows.shape == (TOKENS, TOKENS) else rows
    return out


def _sim(project: Path, folder: Path, out: Path, *more: str) -> int:
    fixed = ("--sim", "icarus", "--link-delay", "40", "--out", str(out))  # a short delay: fewer cycles to simulate
    return main(["sim", "--project", str(project), "--vectors", str(folder), *fixed, *more])


# ------------------------------------------------------------------------------------------------------------------- whole runs


@pytest.fixture(scope="module")
def tensor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run of two recordings left; a third one is of another size."""
    folder = tmp_path_factory.mktemp("tensor")
    write(folder / "in", _rounded(folder / "search"))
    write(folder / "in", recording(2, ffn=128), "06")
    write(folder / "in", recording(3, heads=1, ffn=128), "07")
    assert _sim(_project(folder, TENSOR), folder / "in", folder / "out") == 0
    return folder


def _steps(content: dict[str, Any], side: str) -> dict[str, tuple[int, int]]:
    return {check["step"]: (check["checked"], check["equal"]) for check in content["vectors"]["checks"] if check["side"] == side}


def test_every_recording_that_fits_is_run(tensor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tensor / "out" / "recorded_2"
    assert {path.name for path in folder.iterdir()} == {".lock", "encoder_00", "encoder_06", "sim"}
    schema = json.loads((project_root() / "docs" / "result.schema.json").read_text())
    for name, rounded in (("encoder_00", 1), ("encoder_06", 0)):
        content = json.loads((folder / name / "result.json").read_text())
        Draft202012Validator(schema).validate(content)
        assert content["bit_exact"] is True and content["cosine_fp32"] is None and content["tokens"] == COUNTED
        found = content["vectors"]
        assert (found["encoder"], found["equal"], found["rows"], found["rows_recorded"]) == (name, True, COUNTED, TOKENS)
        assert len(found["rounded"]) == rounded and found["inside"] == [*(f"self_attention/act_{step}" for step in ("q", "k", "v", "out"))]
        rows, scores = COUNTED * HIDDEN, 2 * COUNTED * COUNTED
        model, rtl = _steps(content, "model"), _steps(content, "RTL")
        assert all(checked == equal for checked, equal in [*model.values(), *rtl.values()])
        assert {step: checked for step, (checked, _) in model.items() if checked != rows} == {
            "self_attention/attention_matmul": scores, "self_attention/softmax": scores - rounded,
        }  # fmt: skip
        assert len(model) == 18
        assert rtl == dict.fromkeys(("input rows", "self_output/linear", "self_output/act_layernorm", "output rows"), (rows, rows))
        behind = any("behind rounded probabilities" in check["note"] for check in found["checks"])
        assert behind == bool(rounded)
        with np.load(folder / name / "outputs.npz") as outputs:
            assert sorted(outputs) == ["s0_e0_model", "s0_e0_rtl"]
    capsys.readouterr()
    assert main(["verify", str(folder)]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == [str(folder / f"encoder_{n}") for n in ("00", "06")]


def test_what_a_run_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pipeline: projections and contexts cross the wire. Rows 1 and 4 of the recording are masked."""
    arrays = _rounded(tmp_path / "search")
    write(tmp_path / "in", _shuffled(arrays, [0, 6, 1, 2, 7, 3, 4, 5]))
    write(tmp_path / "in", recording(3, heads=1, ffn=128), "07")
    assert _sim(_project(tmp_path, PIPELINE), tmp_path / "in", tmp_path / "out") == 0
    shown = capsys.readouterr().out
    assert "left out: " in shown and "encoder_07.npz: hidden size 64, the project has 128; heads 1, the project has 2" in shown
    lines = [line for line in shown.splitlines() if " checked " in line and not line.strip().endswith("]")]
    rows = {tuple(line.split()[:2]): line for line in lines}
    for step in ("act_q", "act_k", "act_v", "act_out"):
        assert "checked     768 equal     768" in rows["RTL", f"self_attention/{step}"]
    assert "values behind rounded probabilities against exact integers" in rows["RTL", "self_attention/act_out"]
    assert "RTL   inside a node, where what is made of it is compared: input rows, self_output/linear" in shown
    assert "recorded probabilities that floats rounded: 1\n" in shown
    content = json.loads((tmp_path / "out" / "recorded_3" / "encoder_00" / "result.json").read_text())
    assert content["vectors"]["rows"] == COUNTED and "cosine" not in shown


def test_a_planted_value_is_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = recording(2, ffn=128)
    arrays["self_output/act_layernorm/output"][3, 70] ^= 1
    write(tmp_path / "in", recording(4, ffn=128), "00")
    write(tmp_path / "in", arrays, "06")
    assert _sim(_project(tmp_path, TENSOR), tmp_path / "in", tmp_path / "out", "--encoder", "06") == 1
    error = capsys.readouterr().err
    for side in ("model", "RTL"):
        assert f"differs: encoder_06 self_output/act_layernorm ({side}): row 3, column 70 is" in error
    folder = tmp_path / "out" / "recorded_2"
    assert not (folder / "encoder_00").exists()
    content = json.loads((folder / "encoder_06" / "result.json").read_text())
    assert content["bit_exact"] is True and content["vectors"]["equal"] is False
    assert _steps(content, "RTL")["self_output/act_layernorm"] == (768, 767)


# ------------------------------------------------------------------------------------- planted differences, on the capture of a run


def _compare(tensor: Path, plant: Callable[[Arrays], None], tmp_path: Path, wire: Callable[[Analysis], None] = lambda _: None) -> Recorded:
    """encoder_00's run once more, against a recording with something planted."""
    with np.load(tensor / "in" / "encoder_00.npz") as data:
        arrays = {key: data[key] for key in data.files}
    plant(arrays)
    folder = tensor / "out" / "recorded_2" / "encoder_00"
    plan, params = load_plan(folder / "plan.json"), load_params(folder / "params.npz")
    analysis = analyse(plan, params, read_capture(folder / "traffic.pcapng")[1])
    wire(analysis)
    return compare_recorded(Vectors(write(tmp_path, arrays)), plan, params, analysis)


def _nothing(_: Arrays) -> None:
    pass


PLANTED = {  # recorded value -> the step that must be named, and whether its rows cross the wire
    "self_attention/linear_k/input": ("input rows", True),
    "self_output/act_linear/identity": ("input rows", True),
    "self_attention/linear_q/output": ("self_attention/linear_q", False),
    "self_attention/act_k/input": ("self_attention/linear_k", False),
    "self_attention/act_v/output": ("self_attention/act_v", False),
    "self_attention/attention_matmul/input_q_0": ("self_attention/act_q", False),
    "self_attention/softmax_matmul/input_v_0": ("self_attention/act_v", False),
    "self_attention/attention_matmul/output_0": ("self_attention/attention_matmul", False),
    "self_attention/softmax_matmul/output_0": ("self_attention/softmax_matmul", False),
    "self_attention/act_out/input": ("self_attention/softmax_matmul", False),
    "self_attention/act_out/output": ("self_attention/act_out", False),
    "self_output/linear/input": ("self_attention/act_out", False),
    "self_output/linear/output": ("self_output/linear", True),
    "self_output/act_linear/input": ("self_output/linear", True),
    "self_output/act_linear/output0": ("self_output/act_linear requant of the sum", False),
    "self_output/act_linear/output1": ("self_output/act_linear requant of the residual", False),
    "self_output/act_linear/output": ("self_output/act_linear", False),
    "self_output/layernorm/y_int": ("self_output/layernorm before the bias", False),
    "self_output/layernorm/output": ("self_output/layernorm", False),
    "self_output/act_layernorm/output": ("self_output/act_layernorm", True),
    "output/act_linear/identity": ("self_output/act_layernorm", True),
    "intermediate/linear/input": ("self_output/act_layernorm", True),
}


@pytest.mark.parametrize("key", PLANTED)
def test_one_unit_anywhere_is_a_difference(key: str, tensor: Path, tmp_path: Path) -> None:
    step, seen = PLANTED[key]

    def plant(arrays: Arrays) -> None:
        arrays[key][4, 5] += -1 if arrays[key][4, 5] > 0 else 1

    report = _compare(tensor, plant, tmp_path)
    head = " of head 0" if step == "self_attention/attention_matmul" else ""
    want = [f"encoder_00 {step} ({side}): row 4, column 5{head} is" for side in (("model", "RTL") if seen else ("model",))]
    assert [text.split(" is ")[0] + " is" for text in report.differences] == want
    for check in report.checks:
        assert check.checked - check.equal == int((check.step, check.side) in [(step, "model"), (step, "RTL")])


def test_nothing_planted_is_no_difference(tensor: Path, tmp_path: Path) -> None:
    assert _compare(tensor, _nothing, tmp_path).differences == []


def test_a_masked_row_is_not_compared(tensor: Path, tmp_path: Path) -> None:
    def plant(arrays: Arrays) -> None:
        arrays["self_output/act_layernorm/output"][COUNTED, 5] ^= 1

    assert _compare(tensor, plant, tmp_path).differences == []


def test_a_probability_that_no_rounding_explains(tensor: Path, tmp_path: Path) -> None:
    """Three off: the exact one is kept, and neither this value nor what is recorded behind it passes."""

    def plant(arrays: Arrays) -> None:
        arrays["self_attention/softmax/output_1"][2, 3] ^= 3

    (difference,) = _compare(tensor, plant, tmp_path).differences
    assert difference.startswith("encoder_00 self_attention/softmax (model): row 2, column 3 of head 1 is")


def test_a_rounded_probability_explains_only_what_follows_from_it(tensor: Path, tmp_path: Path) -> None:
    """With the exact probability in the recording and the other values as they were, everything behind it differs."""

    def plant(arrays: Arrays) -> None:
        for head in range(2):
            name = f"self_attention/softmax/output_{head}"
            arrays[name] = recording(SEED, ffn=128)[name]

    report = _compare(tensor, plant, tmp_path)
    assert report.rounded == []
    steps = [text.split()[1:-1] for text in report.differences]
    assert any(words[:2] == ["self_attention/softmax_matmul", "(model):"] for words in steps)
    assert any(words[:2] == ["self_output/linear", "(RTL):"] for words in steps)


@pytest.mark.parametrize(
    ("tensor_name", "step"), [("ln1", "self_output/act_layernorm"), ("out_part", "self_output/linear"), ("entry", "input rows")]
)
def test_another_value_on_the_wire_is_a_difference(tensor_name: str, step: str, tensor: Path, tmp_path: Path) -> None:
    def wire(analysis: Analysis) -> None:
        rows = next(rows for (_, _, name, _), rows in analysis.wire.items() if name == tensor_name)
        row = int(np.flatnonzero(rows.seen[:, 9])[-1])
        rows.values[row, 9] += 1

    (difference,) = _compare(tensor, _nothing, tmp_path, wire).differences
    assert difference.startswith(f"encoder_00 {step} (RTL): row ") and ", column 9 is" in difference


def test_behind_a_rounded_probability_the_recorded_value_is_wrong(tensor: Path, tmp_path: Path) -> None:
    """RTL that gave what the recording's floats gave would not be exact."""
    _, row, _ = near(tmp_path / "search", SEED)
    with np.load(tensor / "in" / "encoder_00.npz") as data:
        recorded = data["self_output/linear/output"]
    exact = recording(SEED, ffn=128)["self_output/linear/output"]
    column = int(np.flatnonzero(exact[row] != recorded[row])[0])
    rest = (exact == recorded)[:COUNTED]
    assert not rest[row].all() and np.delete(rest, row, axis=0).all()

    def wire(analysis: Analysis) -> None:
        rows = next(rows for (_, _, name, _), rows in analysis.wire.items() if name == "out_part" and rows.seen[row, column])
        rows.values[row, column] += recorded[row, column] - exact[row, column]

    (difference,) = _compare(tensor, _nothing, tmp_path, wire).differences
    assert difference.startswith(f"encoder_00 self_output/linear (RTL): row {row}, column {column} is {recorded[row, column]}")


def test_values_that_never_left_a_node_are_not_counted(tensor: Path, tmp_path: Path) -> None:
    def wire(analysis: Analysis) -> None:
        for key, rows in analysis.wire.items():
            if key[2] == "ln1":
                rows.seen[1] = False
            if key[2] == "out_part":
                rows.seen[:] = False

    report = _compare(tensor, _nothing, tmp_path, wire)
    assert "self_output/linear" in report.inside and report.equal
    (check,) = [check for check in report.checks if (check.step, check.side) == ("self_output/act_layernorm", "RTL")]
    assert (check.checked, check.equal) == (5 * HIDDEN, 5 * HIDDEN) and "128 values stay in their node" in check.note


# ------------------------------------------------------------------------------------------------------------ parameters, refusals


def test_only_the_matrices_are_synthetic(tmp_path: Path) -> None:
    project = load_project(_project(tmp_path, TENSOR))
    assert isinstance(project.model, SyntheticModel)
    synthetic = quantise(*synthetic_workload(project.model, make_plan(project)), "test").encoders[0]
    arrays = recording(5, ffn=128)
    p = encoder_params(Vectors(write(tmp_path, arrays)), synthetic)
    assert p.ffn1 is not synthetic.ffn1 and np.array_equal(p.ffn1.bias, synthetic.ffn1.bias)
    arrays |= {"intermediate/linear/bias_integer": np.arange(128), "output/linear/bias_integer": -np.arange(128)}
    p = encoder_params(Vectors(write(tmp_path, arrays)), synthetic)
    assert np.array_equal(p.ffn1.weight, synthetic.ffn1.weight) and np.array_equal(p.ffn1.bias, np.arange(128))
    assert np.array_equal(p.ffn2.weight, synthetic.ffn2.weight) and np.array_equal(p.ffn2.bias, -np.arange(128))
    recorded = {
        "self_attention/linear_q/weight_integer": p.q.weight, "self_attention/linear_k/bias_integer": p.k.bias,
        "self_attention/linear_v/weight_integer": p.v.weight, "self_output/linear/weight_integer": p.out.weight,
        "self_attention/act_q/m": p.q_rq.m, "self_attention/act_k/e": p.k_rq.e, "self_attention/act_v/m": p.v_rq.m,
        "self_attention/act_out/m": p.context_rq.m, "self_output/act_linear/m": p.out_rq.m, "self_output/act_layernorm/m": p.ln1_rq.m,
        "self_output/layernorm/bias": p.ln1.bias, "output/layernorm/bias": p.ln2.bias, "intermediate/gelu/c": p.gelu.c,
        "intermediate/act/m": p.ffn1_rq.m, "output/act_linear/m": p.ffn2_rq.m, "output/act_layernorm/m": p.ln2_rq.m,
    }  # fmt: skip
    for key, array in recorded.items():
        assert np.array_equal(arrays[key], array), key
    for key, rq in (("self_output/act_linear", p.out_res_rq), ("output/act_linear", p.ffn2_res_rq)):
        assert set(rq.m) == {int(arrays[f"{key}/m1"][0])} and set(rq.e) == {int(arrays[f"{key}/e1"][0])}
    assert (p.softmax.x0, p.softmax.m) == (-2100, 1_405_279_000)
    assert [p.ln1.shift, p.ln2.shift] == [int(arrays[f"{norm}/layernorm/shift"][0]) for norm in ("self_output", "output")]


WRONG: list[tuple[list[str], list[str]]] = [
    (["--text", "Hello"], ["TEXT and VECTORS exclude each other", "leave TEXT out"]),
    (["--text-file", "some.txt", "--model", "x"], ["TEXT_FILE and VECTORS exclude", "MODEL and VECTORS exclude"]),
    (["--tokens", "4"], ["TOKENS and VECTORS exclude each other", "all rows that count"]),
    (["--encoder", "05"], ["encoder_05.npz, got no such file"]),
    (["--vectors", "no/such/folder"], ["no/such/folder: expected a folder with encoder_*.npz, got nothing of that name"]),
    (["--project", "tiny_2"], ["project tiny_2 has 2 encoder(s)", "for example PROJECT=ibert_base_6"]),
    (["--project", "minilm_6"], ["project minilm_6 has 6 encoder(s) and source minilm"]),
    (["--project", "ibert_base_6"], ["no recording fits project ibert_base_6", "hidden size 128, the project has 768", "FFN size 128"]),
    (["--encoder", "06"], ["no recording fits", "encoder_06.npz: 9 rows that count, the project takes at most 8"]),
    (["--encoder", "07"], ["encoder_07.npz: output/layernorm/shift: expected an integer array, got no such key"]),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_bad_input_is_refused_before_anything_is_written(
    arguments: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "in", recording(2, ffn=128))
    write(tmp_path / "in", recording(3, tokens=10, masked_keys=1, ffn=128), "06")
    if "07" in arguments:
        arrays = recording(2, ffn=128)
        del arrays["output/layernorm/shift"]
        write(tmp_path / "in", arrays, "07")
    assert _sim(_project(tmp_path, TENSOR), tmp_path / "in", tmp_path / "out", *arguments) == 2
    error = capsys.readouterr().err
    for word in words:
        assert word in error, error
    assert "Traceback" not in error and not (tmp_path / "out").exists()


def test_an_encoder_without_vectors_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "--project", "tiny_2", "--encoder", "00", "--out", str(tmp_path / "out")]) == 2
    assert "ENCODER=00 chooses one of the recordings of VECTORS" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("self_attention/linear_v/bias_integer", (1 << 31) - 1, "expected values whose sums and products fit the units, got linear acc"),
        ("self_attention/softmax/e", 52, "self_attention/softmax/soft_input: expected masked keys without weight"),
    ],
)
def test_what_no_unit_could_compute_is_refused(
    key: str, value: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = recording(2, ffn=128)
    arrays[key][:] = value
    path = write(tmp_path / "in", arrays)
    assert _sim(_project(tmp_path, TENSOR), tmp_path / "in", tmp_path / "out") == 2
    assert f"{path}: {message}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_results_of_the_other_kind_of_run_are_removed(tmp_path: Path) -> None:
    """A run of text after one of recordings, and the other way round: verify finds the last one."""
    for folder in (tmp_path, tmp_path / "encoder_00", tmp_path / "encoder_06"):
        make_fresh(folder)
    for folder in (tmp_path / "encoder_00", tmp_path / "encoder_06"):
        (folder / "traffic.pcapng").touch()
    assert recorded_runs(tmp_path) == [tmp_path / "encoder_00", tmp_path / "encoder_06"]
    make_fresh(tmp_path)
    assert recorded_runs(tmp_path) == [tmp_path] and not list(tmp_path.rglob("*.pcapng"))
    (tmp_path / "traffic.pcapng").touch()
    assert recorded_runs(tmp_path) == [tmp_path]
