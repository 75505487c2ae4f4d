# SPDX-License-Identifier: Apache-2.0
"""axis_cdc_fifo and the parts that cross clocks. Under Icarus each crossing wire has a delay of its own, drawn anew for each change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from floreana_tb import TestsFailed, mutate, run_unit

SKEW = "tb/axis_cdc_fifo/skew/axis_cdc_bit.v"
WIDE = {"DATA_W": 40, "DEPTH": 64}
TINY = {"DATA_W": 2, "DEPTH": 4}
TINY_TESTS = ["order", "no_beat_before_the_frame_is_whole", "room", "dropped_frames_never_come", "resets_leave_nothing"]


def run(parameters: dict[str, int], **options: Any) -> None:
    env = {"CDC_DEPTH": str(parameters["DEPTH"]), "CDC_LONGEST": str(min(17, parameters["DEPTH"] - 1))}
    run_unit(
        "tb_axis_cdc_fifo", "axis_cdc_fifo.test_axis_cdc_fifo", parameters=parameters, **{"sources": [SKEW], "extra_env": env, **options}
    )  # fmt: skip


def test_wide() -> None:
    run(WIDE)


def test_tiny() -> None:
    run(TINY, expected_tests=TINY_TESTS)


MUTATIONS = {
    "a frame is announced with its first beat": (
        "    if (wr_en && s_axis_tlast) begin\n        start_ptr_reg <= wr_ptr_next;\n        frames_reg    <= frames_next;",
        "    if (wr_en && (wr_ptr_reg == start_ptr_reg)) begin\n        frames_reg    <= frames_next;",
        ["no_beat_before_the_frame_is_whole"],
    ),
    "it is full a beat too late": ("!used[ADDR_W] && !(&used[ADDR_W-1:0])", "!used[ADDR_W]", ["order", "room"]),
    "a dropped frame stays": ("if (s_drop) wr_ptr_reg <= start_ptr_reg;", "", ["dropped_frames_never_come"]),
    "the beat of s_drop is written": ("&& s_ready_reg && !s_drop", "&& s_ready_reg", ["dropped_frames_never_come"]),
    "the writer's count survives a reset": (
        "        frames_reg    <= {(ADDR_W+1){1'b0}};\n        wr_gray_reg   <= {(ADDR_W+1){1'b0}};\n",
        "        frames_reg    <= frames_reg;\n",
        ["resets_leave_nothing"],
    ),
    "room is given back before it is read": ("to_gray(rd_ptr_next);", "to_gray(rd_ptr_next + 2'd2);", ["order"]),
    "reading stops for nobody": ("(!m_valid_reg || m_axis_tready);", "1'b1;", ["order"]),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_turns_the_bench_red(name: str, tmp_path: Path) -> None:
    old, new, tests = MUTATIONS[name]
    with pytest.raises(TestsFailed):
        run(TINY, sources=[SKEW, mutate("axis_cdc_fifo", old, new, tmp_path)], expected_tests=tests)
