# SPDX-License-Identifier: Apache-2.0
"""node_shell: the shell between a node and its 100G MACs. Under Icarus each crossing wire has a delay of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from floreana_tb import TestsFailed, mutate, run_unit

SKEW = "tb/axis_cdc_fifo/skew/axis_cdc_bit.v"


def run(**options: Any) -> None:
    run_unit("tb_node_shell", "node_shell.test_node_shell", **{"sources": [SKEW], **options})


def test_one_port() -> None:
    run(
        expected_tests=[
            "both_ways/pattern=none/clocks=mhz200", "both_ways/pattern=random/clocks=drift", "both_ways/pattern=random/clocks=mhz322",
            "the_node_sends_at_full_rate", "latency", "a_full_line_is_drained/size=64", "a_full_line_is_drained/size=1088",
            "frames_of_65_bytes_fill_the_store", "bring_up", "link_loss/seed=1", "resets/side=node/clocks=mhz200",
            "resets/side=mac_tx/clocks=mhz322", "resets/side=mac_rx/clocks=mhz200", "resets/side=mac/clocks=mhz322",
            "a_frame_that_pauses_through_a_reset", "a_dead_clock_does_not_stop_the_node",
        ]
    )  # fmt: skip


def test_two_ports_small_stores_verilator() -> None:
    run(
        sources=None, simulator="verilator", parameters={"PORTS_N": 2, "TX_DEPTH": 32, "RX_DEPTH": 256},
        extra_env={"SHELL_PORTS": "2", "SHELL_RX_DEPTH": "256"}, expected_tests=["both_ways", "overload"],
    )  # fmt: skip


MUTATIONS = {
    "a frame begins before it is whole": (
        "axis_cdc_fifo",
        "    if (wr_en && s_axis_tlast) begin\n        start_ptr_reg <= wr_ptr_next;\n        frames_reg    <= frames_next;",
        "    if (wr_en && (wr_ptr_reg == start_ptr_reg)) begin\n        frames_reg    <= frames_next;",
        "both_ways/pattern=random/clocks=mhz200",
    ),
    "a frame is cut where it finds no room": (
        "node_shell_cross",
        "wire drop = drop_reg || s_stop || ((STALL_EN == 0) && !fifo_ready);",
        "wire drop = s_stop || ((STALL_EN == 0) && !fifo_ready);",
        "frames_of_65_bytes_fill_the_store",
    ),
    "a frame without room is not counted": (
        "node_shell_cross",
        ".s_event(s_axis_tvalid && s_axis_tlast && drop && !s_stop)",
        ".s_event(s_axis_tvalid && s_axis_tlast && drop_reg && !s_stop)",
        "frames_of_65_bytes_fill_the_store",
    ),
    "bad frames lose their mark": (
        "node_shell_rx",
        ".s_axis_tuser(in_tuser_reg)",
        ".s_axis_tuser(1'b0)",
        "both_ways/pattern=none/clocks=mhz200",
    ),
    "a cut frame is not ended": (
        "node_shell_close",
        "wire close = open_reg && (s_cut || close_reg);",
        "wire close = 1'b0;",
        "resets/side=node/clocks=mhz200",
    ),
    "the rest of a frame after a reset of the MAC is a frame": (
        "node_shell_cross",
        "if (s_stop && inside_reg) drop_reg <= 1'b1;",
        "if (s_stop && inside_reg && STALL_EN == 0) drop_reg <= 1'b1;",
        "a_frame_that_pauses_through_a_reset",
    ),
    "the rest of a frame after a reset of the node is a frame": (
        "node_shell_cross",
        "if (s_stop && inside_reg) drop_reg <= 1'b1;",
        "if (s_stop && inside_reg && STALL_EN != 0) drop_reg <= 1'b1;",
        "a_frame_that_pauses_through_a_reset",
    ),
    "the transmitter is disabled in the middle of a frame": (
        "node_shell_link",
        "end else if (!tx_busy) begin",
        "end else begin",
        "link_loss",
    ),
    "frames go to a MAC that is not enabled": ("node_shell_cross", "going_reg ? pass_reg : open;", "1'b1;", "bring_up"),
    "the MAC is enabled before its receiver is aligned": (
        "node_shell_link",
        "wire good = aligned && !mac_rx_rst;",
        "wire good = 1'b1;",
        "bring_up",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_turns_the_bench_red(name: str, tmp_path: Path) -> None:
    module, old, new, test = MUTATIONS[name]
    with pytest.raises(TestsFailed):
        run(sources=[SKEW, mutate(module, old, new, tmp_path)], expected_tests=[test])


def test_a_count_that_crosses_as_a_plain_number_turns_the_bench_red(tmp_path: Path) -> None:
    path = mutate("axis_cdc_count", "events_next ^ {1'b0, events_next[3:1]};", "events_next;", tmp_path)
    text, gray = path.read_text(encoding="utf-8"), "{seen[3], ^seen[3:2], ^seen[3:1], ^seen};"
    assert text.count(gray) == 1
    path.write_text(text.replace(gray, "seen;"), encoding="utf-8")
    with pytest.raises(TestsFailed):
        run(sources=[SKEW, path], expected_tests=["frames_of_65_bytes_fill_the_store"])
