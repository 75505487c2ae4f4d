# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/node/node_manager and its parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from floreana_tb import TestsFailed, mutate, run_unit

BENCH = "node_manager.test_node_manager"
SMALL = {"WORDS": 53, "DEPTH": 16, "UNITS": 6, "SLOTS": 2, "PORTS_N": 1, "PEERS_N": 8}
TWO_PORTS = {"WORDS": 288, "DEPTH": 32, "UNITS": 7, "SLOTS": 16, "PORTS_N": 2, "PEERS_N": 4}


@pytest.mark.parametrize("parameters", [SMALL, TWO_PORTS], ids=["words53", "two_ports"])
def test_node_manager(parameters: dict[str, int]) -> None:
    run_unit("node_manager", BENCH, parameters=parameters, extra_env={"MANAGER_WORDS": str(parameters["WORDS"])})


def test_node_manager_verilator() -> None:
    run_unit("node_manager", BENCH, simulator="verilator", extra_env={"MANAGER_WORDS": "240"})


# module, its text, the text in its place, test that must see it
MUTATIONS = {
    "reply goes to the wrong kernel": (
        "node_manager", "user_reg[15:8], user_reg[31:16]};", "user_reg[15:8], user_reg[23:16], user_reg[31:24]};", "drops",
    ),
    "range not checked at the end": (
        "node_manager", "end_reg <= {17'd0, WORDS16}", "{1'b0, first_reg} <= {17'd0, WORDS16}", "edges_of_a_read",
    ),
    "the last word of a group is another": (
        "node_words", "<= index[9:4];", "<= index[9:4] + {5'd0, index[3:0] == 4'd15 && index[9:4] == 6'd1};", "edges_of_a_read",
    ),
    "replies are served": ("node_requests", " && (s_axis_tdata[7:0] < OP_LIMIT)", "", "drops"),
    "a refused WRITE leaves its beats": ("node_manager", "good ? S_WRITE : S_SKIP;", "good ? S_WRITE : S_HEAD;", "lengths_of_a_write"),
    "last address not looked at": ("node_manager", " && ({1'b0, last_address[31:28]} < UNITS5)", "", "units_of_a_write"),
    "written while kernels work": (
        "node_manager", "active ? ST_BUSY : ST_OK", "(active && !first_reg[30]) ? ST_BUSY : ST_OK", "no_write_while_kernels_work",
    ),
    "replied before the last write": (
        "node_manager", "if (beat_valid && cfg_ready && last_beat) state_next", "if (last_beat) state_next", "requests/pattern=3",
    ),
    "replied before the last word has reached its memory": (
        "node_manager", "last_beat) state_next = S_REACH;", "last_beat) state_next = S_HEAD;", "latency",
    ),
    "flush replied at once": ("node_manager", "wait_reg[3] && !flushing", "wait_reg[3]", "flush_waits_for_the_kernels"),
    "an event is forgotten when another is told": (
        "node_events", "(here & {N{take && kind == 2'd2}})", "{N{take && kind == 2'd2}}", "events_are_told",
    ),
    "an old state is told last": ("node_events", "if (see_down_reg) kind", "if (1'b0) kind", "events_merge_and_end_true"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_the_bench_red(name: str, tmp_path: Path) -> None:
    module, old, new, test = MUTATIONS[name]
    mutated = mutate(module, old, new, tmp_path)
    with pytest.raises(TestsFailed):
        run_unit(
            "node_manager", BENCH, sources=[mutated], parameters=SMALL, expected_tests=[test],
            extra_env={"MANAGER_WORDS": str(SMALL["WORDS"])},
        )  # fmt: skip
