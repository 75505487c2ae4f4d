# SPDX-License-Identifier: Apache-2.0
"""Benches of rtl/axis: buffers."""

from __future__ import annotations

from pathlib import Path

import pytest

from floreana_tb import TestsFailed, mutate, run_unit


@pytest.mark.parametrize("width", [1, 64, 593])
def test_axis_skid(width: int) -> None:
    run_unit("axis_skid", "axis.test_axis_skid", parameters={"DATA_W": width})


def test_axis_skid_verilator() -> None:
    run_unit("axis_skid", "axis.test_axis_skid", simulator="verilator")


@pytest.mark.parametrize(("width", "depth"), [(1, 2), (32, 16), (593, 4)])
def test_axis_fifo(width: int, depth: int) -> None:
    run_unit("axis_fifo", "axis.test_axis_fifo", parameters={"DATA_W": width, "DEPTH": depth})


def test_axis_fifo_verilator() -> None:
    run_unit("axis_fifo", "axis.test_axis_fifo", simulator="verilator")


MUTATIONS = {
    "skid overwrites a stored beat": ("axis_skid", "assign s_axis_tready = !skid_valid_reg;", "assign s_axis_tready = 1'b1;"),
    "skid withdraws tvalid": (
        "axis_skid",
        "assign m_axis_tvalid = out_valid_reg;",
        "assign m_axis_tvalid = out_valid_reg && m_axis_tready;",
    ),
    "skid keeps its beats in reset": ("axis_skid", "if (rst) begin", "if (1'b0) begin"),
    "fifo takes a beat when full": (
        "axis_fifo",
        "assign s_axis_tready = !stored[ADDR_W];",
        "assign s_axis_tready = 1'b1;",
    ),
    "fifo reads while stalled": ("axis_fifo", "(!out_valid_reg || m_axis_tready);", "1'b1;"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_the_bench_red(name: str, tmp_path: Path) -> None:
    module, old, new = MUTATIONS[name]
    mutated = mutate(module, old, new, tmp_path)
    with pytest.raises(TestsFailed):
        run_unit(module, f"axis.test_{module}", sources=[mutated], parameters={"DATA_W": 32})
