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


@pytest.mark.parametrize("width", [1, 4])
def test_axis_chain(width: int) -> None:
    run_unit("tb_axis_chain", "axis.test_axis_chain", parameters={"BYTES": width})


@pytest.mark.parametrize("forward", [0, 1])
@pytest.mark.parametrize(("width", "depth"), [(1, 2), (37, 37)])
def test_axis_ram(width: int, depth: int, forward: int) -> None:
    parameters = {"DATA_W": width, "DEPTH": depth, "FWD_EN": forward}
    run_unit("axis_ram", "axis.test_axis_ram", parameters=parameters, expected_tests=["ram"])


def test_axis_lutram() -> None:
    run_unit("axis_lutram", "axis.test_axis_ram", parameters={"DATA_W": 77, "DEPTH": 37}, expected_tests=["lutram"])


@pytest.mark.parametrize("row_bits", [1, 7])
def test_axis_msg_emit(row_bits: int) -> None:
    run_unit("axis_msg_emit", "axis.test_axis_msg_emit", parameters={"ROW_W": row_bits})


def test_axis_msg_emit_verilator() -> None:
    run_unit("axis_msg_emit", "axis.test_axis_msg_emit", simulator="verilator")


MUTATIONS = {
    "skid overwrites a stored beat": ("axis_skid", "assign s_axis_tready = s_ready_reg;", "assign s_axis_tready = 1'b1;"),
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
    "emit keeps its message number between rows": (
        "axis_msg_emit",
        "first_reg <= s_axis_tlast;",
        "first_reg <= 1'b0;",
    ),
    "emit ignores the owner": ("axis_msg_emit", "(entry[24] ? minus_owner : 8'd0)", "8'd0"),
    "emit swaps the row's bytes": ("axis_msg_emit", "s_row[7:0], s_row[15:8]", "s_row[15:8], s_row[7:0]"),
    "fifo reads while stalled": ("axis_fifo", "(!out_valid_reg || m_axis_tready);", "1'b1;"),
}


def test_a_fifo_that_forgets_a_beat_turns_the_chain_red(tmp_path: Path) -> None:
    mutated = mutate("axis_fifo", "assign s_axis_tready = !stored[ADDR_W];", "assign s_axis_tready = 1'b1;", tmp_path)
    with pytest.raises(TestsFailed):
        run_unit("tb_axis_chain", "axis.test_axis_chain", sources=[mutated])


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_the_bench_red(name: str, tmp_path: Path) -> None:
    module, old, new = MUTATIONS[name]
    mutated = mutate(module, old, new, tmp_path)
    parameters = {} if module == "axis_msg_emit" else {"DATA_W": 32}
    with pytest.raises(TestsFailed):
        run_unit(module, f"axis.test_{module}", sources=[mutated], parameters=parameters)
