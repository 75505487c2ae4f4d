# SPDX-License-Identifier: Apache-2.0
"""The command that checks recorded vectors, on a folder made here: other sizes and scales than any published one.

Eight tokens (two of them masked), hidden 128, two heads, FFN 192: the integer model makes the recording; one probability of it can be
off by one, as a rounded float leaves it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from recordings import MASKED, TOKENS, Arrays, near, recording, write

from floreana.errors import InputError
from floreana.ibert import ops
from floreana.ibert.params import IntArray
from floreana.report import vectors


def command(folder: Path, tmp_path: Path, simulator: str = "icarus", *more: str) -> int:
    return vectors.main(["--vectors", str(folder), "--simulator", simulator, "--out", str(tmp_path / "out"), *more])


def test_a_folder_of_another_size_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head, query, key = near(tmp_path / "search", 1)
    write(tmp_path / "in", recording(1, (head, query, key)))
    code = command(tmp_path / "in", tmp_path)
    shown = capsys.readouterr()
    assert code == 0, shown.err
    lines = [line for line in shown.out.splitlines() if "checked" in line]
    assert all(line.split("checked")[1].split()[0] == line.split("equal")[1].split()[0] for line in lines)
    assert {line.split()[1] for line in lines if line.split()[0] == "RTL"} >= {
        *vectors.LINEARS, *vectors.ACTS, "self_output/linear", "self_attention/attention_matmul", "self_attention/softmax",
        "self_attention/act_out", "self_output/act_layernorm", "output/act_layernorm", "intermediate/gelu", "intermediate/act",
    }  # fmt: skip
    assert "skip  intermediate/linear" in shown.out and "skip  output/linear" in shown.out
    assert f"head {head} row {query} column {key}: recorded" in shown.out
    assert "probabilities that floats rounded: 1\n" in shown.out


def test_more_keys_than_a_beat_an_odd_number_of_heads_and_no_mask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Probabilities in two passes, a context of one head beat, three loads of the local rows."""
    write(tmp_path / "in", recording(8, tokens=65, masked_keys=0, heads=1))
    code = command(tmp_path / "in", tmp_path)
    shown = capsys.readouterr()
    assert code == 0, shown.err
    assert "65 of 65 keys count" in shown.out and "without the mask" not in shown.out
    (line,) = [line for line in shown.out.splitlines() if line.startswith("  RTL   self_attention/softmax ")]
    assert "checked    4225 equal    4225" in line


# where one wrong value is planted, in a recorded output or in a recorded operand, and on which sides it must be named
PLANTED = [
    ("self_attention/linear_k/output", (3, 70), "self_attention/linear_k (RTL): row 3, column 70 is"),
    ("self_attention/act_v/output", (7, 127), "self_attention/act_v (RTL): row 7, column 127 is"),
    ("self_attention/attention_matmul/output_1", (2, 5), "self_attention/attention_matmul (RTL): row 2, column 5 of head 1 is"),
    ("self_attention/softmax/output_1", (4, 5), "self_attention/softmax (RTL): row 4, column 5 of head 1 is"),
    ("self_attention/act_out/output", (0, 64), "self_attention/act_out (RTL): row 0, column 64 is"),
    ("self_output/linear/output", (6, 1), "self_output/linear (RTL): row 6, column 1 is"),
    ("self_output/act_layernorm/output", (1, 0), "self_output/act_layernorm (RTL): row 1, column 0 is"),
    ("output/act_linear/output1", (5, 9), "output/act_linear requant of the residual (RTL): row 5, column 9 is"),
    ("output/act_layernorm/output", (7, 3), "output/act_layernorm (RTL): row 7, column 3 is"),
    ("intermediate/gelu/output", (2, 191), "intermediate/gelu (RTL): row 2, column 191 is"),
    ("intermediate/act/output", (3, 100), "intermediate/act (RTL): row 3, column 100 is"),
]


def test_planted_values_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = recording(2)
    for key, place, _ in PLANTED:
        # far enough for a probability not to pass as rounded; int8 stays int8
        arrays[key][place] += -9 if arrays[key][place] > 100 else 9
    write(tmp_path / "in", arrays)
    assert command(tmp_path / "in", tmp_path) == 1
    errors = capsys.readouterr().err
    for _, _, text in PLANTED:
        assert f"differs: encoder_00 {text}" in errors
        assert f"differs: encoder_00 {text.replace('(RTL)', '(model)')}" in errors


def test_a_bench_that_does_not_pass_is_a_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (norm,) = [unit for unit in vectors.UNITS if unit.name == "add_norm"]
    monkeypatch.setattr(vectors, "UNITS", (dataclasses.replace(norm, shape=lambda _: {"LANES": 3}),))
    write(tmp_path / "in", recording(2))
    assert command(tmp_path / "in", tmp_path) == 1
    shown = capsys.readouterr()
    assert "differs: encoder_00 add_norm (icarus): the bench did not pass: build of" in shown.err
    assert "output output/act_layernorm missing" in shown.out


def test_one_unit_that_no_rounding_explains_is_a_difference(tmp_path: Path) -> None:
    arrays = recording(3)
    key = "self_attention/softmax/output_0"
    arrays[key][:, : TOKENS - MASKED] += 1
    v = vectors.Vectors(write(tmp_path, arrays))
    places = vectors.exact_probabilities(v)[1][0]
    report = vectors.Report(v.name)
    vectors.check_model(v, report)
    wrong = TOKENS * (TOKENS - MASKED) - int(places.sum())
    (check,) = [c for c in report.checks if c.step == "self_attention/softmax"]
    assert wrong and check.checked - check.equal == wrong
    assert len(report.rounded) == int(places.sum())


def _drop(key: str) -> Callable[[Arrays], None]:
    return lambda d: d.__delitem__(key)


def _set(key: str, value: IntArray) -> Callable[[Arrays], None]:
    return lambda d: d.update({key: value})


WRONG: list[tuple[Callable[[Arrays], None], str]] = [
    (_drop("output/layernorm/shift"), "output/layernorm/shift: expected an integer array, got no such key"),
    (_drop("self_attention/linear_q/input"), "self_attention/linear_q/input: expected an integer array, got no such key"),
    (_set("self_attention/act_q/m", np.ones(127, np.int64)), "self_attention/act_q/m: expected shape 128, got 127"),
    (
        _set("self_attention/softmax/output_1", np.zeros((8, 7), np.int64)),
        "self_attention/softmax/output_1: expected shape 8x8, got 8x7",
    ),
    (_set("self_output/linear/weight_integer", np.full((128, 128), 128)), "weight_integer: expected values -128 to 127, got 128"),
    (_set("intermediate/act/e", np.full(192, 81)), "intermediate/act/e: expected values 0 to 80, got 81"),
    (_set("intermediate/gelu/const", np.array([13])), "intermediate/gelu/const: expected values 14 to 14, got 13"),
    (_set("self_attention/linear_v/bias_integer", np.full(128, ops.INT32[1])), "linear accumulator: value"),
    (_set("self_attention/softmax/b", np.array([1.5])), "self_attention/softmax/b: expected an array of integers"),  # type: ignore[arg-type]
    (_set("self_attention/linear_q/input", np.zeros((8, 100), np.int64)), "self_attention/linear_q/input: expected 1 to 128 rows of"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[message.split(":")[0] + str(i) for i, (_, message) in enumerate(WRONG)])
def test_a_wrong_key_is_refused(change: Callable[[Arrays], None], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = recording(4)
    change(arrays)
    path = write(tmp_path / "in", arrays)
    assert command(tmp_path / "in", tmp_path) == 2
    errors = capsys.readouterr().err
    assert str(path) in errors and message in errors and len(errors.splitlines()) == 1


def test_a_mask_that_differs_between_rows_is_refused(tmp_path: Path) -> None:
    arrays = recording(5)
    arrays["self_attention/softmax/soft_input_1"][3, 2] = ops.INT32[0]
    with pytest.raises(InputError, match="soft_input_1: expected the same masked keys in every row, got another at row 3, column 2"):
        vectors.Vectors(write(tmp_path, arrays)).keys()


def test_a_damaged_file_and_an_empty_folder_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "in", recording(6))
    whole = path.read_bytes()
    single = tmp_path / "single.npy"
    np.save(single, np.arange(9))
    for damaged in (single.read_bytes(), whole[: len(whole) // 2], b"", whole[:3000] + bytes(3000) + whole[6000:]):
        path.write_bytes(damaged)
        assert command(tmp_path / "in", tmp_path) == 2
        errors = capsys.readouterr().err
        assert str(path) in errors and len(errors.splitlines()) == 1
    path.unlink()
    assert command(tmp_path / "in", tmp_path) == 2
    assert "expected encoder_*.npz, got no such file" in capsys.readouterr().err
    assert command(tmp_path / "nowhere", tmp_path) == 2


def test_one_encoder_is_chosen(tmp_path: Path) -> None:
    paths = [write(tmp_path, recording(7), number) for number in ("00", "06")]
    assert vectors.find_vectors(tmp_path) == paths
    assert vectors.find_vectors(tmp_path, "06") == paths[1:]
    with pytest.raises(InputError, match=r"expected encoder_05\.npz"):
        vectors.find_vectors(tmp_path, "05")
