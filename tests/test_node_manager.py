# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/node/node_manager."""

from __future__ import annotations

from pathlib import Path

import pytest

from floreana_tb import TestsFailed, mutate, run_unit


@pytest.mark.parametrize("words", [53, 156])
def test_node_manager(words: int) -> None:
    run_unit(
        "node_manager", "node_manager.test_node_manager", parameters={"WORDS": words, "DEPTH": 4}, extra_env={"MANAGER_WORDS": str(words)}
    )


def test_node_manager_verilator() -> None:
    run_unit("node_manager", "node_manager.test_node_manager", simulator="verilator", extra_env={"MANAGER_WORDS": "160"})


MUTATIONS = {
    "reply goes to the wrong kernel": ("user_reg[39:32], user_reg[31:24]};", "user_reg[31:24], user_reg[39:32]};"),
    "a word is skipped": ("index_reg <= index_reg + 16'd1;", "index_reg <= index_reg + (lane_reg == 5'd14 ? 16'd2 : 16'd1);"),
    "range not checked at the end": ("in_end > {17'd0, WORDS16}", "in_first > {16'd0, WORDS16}"),
    "short requests are served": ("(q_user[77:76] == 2'd3) && q_long", "(q_user[77:76] == 2'd3)"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_the_bench_red(name: str, tmp_path: Path) -> None:
    mutated = mutate("node_manager", *MUTATIONS[name], tmp_path)
    with pytest.raises(TestsFailed):
        run_unit(
            "node_manager", "node_manager.test_node_manager", sources=[mutated], parameters={"WORDS": 53}, extra_env={"MANAGER_WORDS": "53"}
        )
