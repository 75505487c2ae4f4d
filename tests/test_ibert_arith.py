# SPDX-License-Identifier: Apache-2.0
"""ibert_div, ibert_isqrt and ibert_requant against exact Python integers, at the sizes the kernels use and at odd ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from floreana_tb import BuildError, TestsFailed, mutate, run_unit


@pytest.mark.parametrize(("num_w", "den_w"), [(33, 32), (34, 13), (32, 32), (7, 13), (2, 2)])
def test_div(num_w: int, den_w: int) -> None:
    run_unit("ibert_div", "test_ibert_div", parameters={"NUM_W": num_w, "DEN_W": den_w})


@pytest.mark.parametrize("w", [32, 14, 4])
def test_isqrt(w: int) -> None:
    run_unit("ibert_isqrt", "test_ibert_isqrt", parameters={"W": w})


@pytest.mark.parametrize(("in_w", "out_w"), [(32, 8), (32, 32), (8, 32), (36, 8), (48, 8), (56, 16), (16, 48), (9, 2)])
def test_requant(in_w: int, out_w: int) -> None:
    run_unit("ibert_requant", "test_ibert_requant", parameters={"IN_W": in_w, "OUT_W": out_w})


@pytest.mark.parametrize(
    ("unit", "parameters"),
    [("ibert_div", {}), ("ibert_isqrt", {}), ("ibert_requant", {"IN_W": 36, "OUT_W": 8})],
    ids=["div", "isqrt", "requant"],
)
def test_verilator(unit: str, parameters: dict[str, int]) -> None:
    run_unit(unit, f"test_{unit}", parameters=parameters, simulator="verilator")


@pytest.mark.parametrize(
    ("unit", "old", "new"),
    [
        ("ibert_div", "ge_1 = !less_1[DEN_W+2]", "ge_1 = !less_1[DEN_W+2] && less_1 != {DEN_W + 3{1'b0}}"),
        ("ibert_isqrt", "ge_1 = !less_1[ROOT_W+6]", "ge_1 = !less_1[ROOT_W+6] && less_1 != {ROOT_W + 7{1'b0}}"),
        ("ibert_requant", "!= 2'd0 || floor[0])", "!= 2'd0 || !floor[0])"),
    ],
    ids=["div", "isqrt", "requant"],
)
def test_mutation_is_seen(unit: str, old: str, new: str, tmp_path: Path) -> None:
    with pytest.raises(TestsFailed):
        run_unit(unit, f"test_{unit}", sources=[mutate(unit, old, new, tmp_path)])


@pytest.mark.parametrize(
    ("unit", "parameters", "message"),
    [
        ("ibert_div", {"NUM_W": 0}, "widths_must_be_positive"),
        ("ibert_isqrt", {"W": 7}, "W_must_be_even"),
        ("ibert_requant", {"IN_W": 57}, "IN_W_2_to_56"),
        ("ibert_requant", {"IN_W": 8, "OUT_W": 41}, "OUT_W_2_to_IN_W_plus_32"),
    ],
)
def test_illegal_parameters_stop_the_build(unit: str, parameters: dict[str, int], message: str) -> None:
    with pytest.raises(BuildError, match=message):
        run_unit(unit, f"test_{unit}", parameters=parameters)
