# SPDX-License-Identifier: Apache-2.0
"""Corners of the RTL, one named bench test each, and the table of docs/corners.md that pairs them with the model's."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from floreana_tb import TestsFailed, mutate, run_unit, runner

ROOT = Path(__file__).resolve().parents[1]
LINEAR = {
    "K_LANES": 64, "OUT_N": 16, "POST_LANES": 4, "W_WORDS": 128, "BIAS_WORDS": 64, "POST_WORDS": 128, "STORE_BEATS": 192,
    "ROW_W": 2, "SLOT_W": 1, "CTX_N": 64, "ACC_FIFO_GROUPS": 8,
}  # fmt: skip
ATTENTION = {"HEAD_DIM": 64, "HEAD_BEATS": 1, "ROW_W": 4, "SLOT_W": 0, "CTX_N": 3, "REQ_WORDS": 4}
ADD_NORM = {
    "LANES": 8, "ROW_BEATS": 2, "RES_W": 8, "ROW_W": 5, "SLOT_W": 1, "LROW_W": 3, "ACC_BEATS": 512, "RES_WORDS": 128,
    "CHAN_WORDS": 128, "CTX_N": 8,
}  # fmt: skip

# the longest sequence of the default builds, 128 tokens, in kernels that are small otherwise
LONG_LINEAR = {**LINEAR, "ROW_W": 7, "SLOT_W": 0, "STORE_BEATS": 256}
LONG_ATTENTION = {**ATTENTION, "ROW_W": 7}
LONG_ADD_NORM = {**ADD_NORM, "ROW_BEATS": 1, "ROW_W": 7, "SLOT_W": 0, "LROW_W": 7, "RES_WORDS": 256}
# the plan of both_banks_hold_rows
TWO_BANKS = {
    "POST_LANES": 16, "POST_WORDS": 64, "STORE_BEATS": 768, "ROW_W": 6, "NORM_LANES": 16, "LROW_W": 5, "ACC_BEATS": 1024,
    "RES_WORDS": 256, "CHAN_WORDS": 64,
}  # fmt: skip


def named(parameters: dict[str, int]) -> dict[str, str]:
    return {name: str(value) for name, value in parameters.items()}


def corners(unit: str, simulator: str, **options: object) -> None:
    top, parameters, env = {
        "requant": ("ibert_requant", {"IN_W": 56, "OUT_W": 8}, {}),
        "gelu": ("ibert_gelu", {}, {}),
        "linear": ("ibert_linear", LINEAR, {"LINEAR_PARAMETERS": json.dumps(LINEAR)}),
        "attention": ("ibert_attention", ATTENTION, named(ATTENTION)),
        "add_norm": ("ibert_add_norm", ADD_NORM, {"HIDDEN": "128", **named(ADD_NORM)}),
        "long linear": ("ibert_linear", LONG_LINEAR, {"LINEAR_PARAMETERS": json.dumps(LONG_LINEAR)}),
        "long attention": ("ibert_attention", LONG_ATTENTION, named(LONG_ATTENTION)),
        "long add_norm": ("ibert_add_norm", LONG_ADD_NORM, {"HIDDEN": "64", **named(LONG_ADD_NORM)}),
    }[unit]
    unit = unit.removeprefix("long ")
    run_unit(top, f"corners.test_corners_{unit}", parameters=parameters, extra_env=env, simulator=simulator, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", ["requant", "gelu", "linear", "attention", "add_norm"])
def test_corners(unit: str) -> None:
    corners(unit, "icarus")


@pytest.mark.parametrize(
    ("unit", "test"),
    [("linear", "linear_longest_sequence"), ("attention", "longest_sequence"), ("add_norm", "norm_longest_sequence")],
    ids=["linear", "attention", "add_norm"],
)
def test_128_tokens(unit: str, test: str) -> None:
    corners(f"long {unit}", "icarus", expected_tests=[test])


def test_three_chained_encoders() -> None:
    run_unit("tb_two_nodes", "corners.test_corners_chain", simulator="verilator", expected_tests=["three_chained_encoders"])


def test_both_banks_hold_rows() -> None:
    run_unit(
        "tb_two_nodes", "corners.test_corners_chain", parameters=TWO_BANKS, simulator="verilator", expected_tests=["both_banks_hold_rows"]
    )


@pytest.mark.parametrize("unit", ["requant", "gelu"])
def test_corners_verilator(unit: str) -> None:
    corners(unit, "verilator")


MUTATIONS = {
    "probability wraps at 256": ("attention", "ibert_prob", "(prod_p2[A_W+31:32] != {A_W{1'b0}})", "1'b0",
                                 {"dominant_score_saturates_at_255", "one_token"}),
    "a mean rounded towards zero": ("attention", "ibert_prob", "prod_p2[A_W+32:16];",
                                    "prod_p2[A_W+32:16] + {{(A_W+16){1'b0}}, prod_p2[A_W+32]};", {"deferred_floor"}),
    "floor instead of rounding": ("requant", "ibert_requant", "off_p3, inc}", "off_p3, 1'b0}",
                                  {"requant_ties_positive", "requant_ties_negative", "requant_shift_eighty"}),
    "sign is always one": ("gelu", "ibert_gelu", "poly[41:14] ^ {28{negative}}", "poly[41:14]", {"gelu_at_zero"}),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_fails_the_corner_it_is_about(name: str, tmp_path: Path) -> None:
    unit, module, old, new, corner = MUTATIONS[name]
    with pytest.raises(TestsFailed) as failure:
        corners(unit, "icarus", sources=[mutate(module, old, new, tmp_path)])
    assert corner <= set(failure.value.failed)


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_corner_of_the_table_has_its_tests_and_every_test_is_in_the_table() -> None:
    rows = re.findall(
        r"^\| [^|]+ \| `(\w+)` \| `(\w+)::(\w+)` \|$", (ROOT / "docs" / "corners.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {model for model, _, _ in rows} == functions(ROOT / "tests" / "test_corners_model.py")
    have = {
        (path.stem, name.split("/", maxsplit=1)[0])
        for path in (ROOT / "tb" / "corners").glob("test_*.py")
        for name in runner.bench_tests(path)
    }
    assert {(bench, test) for _, bench, test in rows} == have
