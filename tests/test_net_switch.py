# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/net/net_switch."""

from __future__ import annotations

from pathlib import Path

import pytest

from floreana_tb import TestsFailed, mutate, run_unit

SMALL = {"CELLS": 4, "OVERDUE_W": 3}
SMALL_ENV = {"SWITCH_CELLS": "4", "SWITCH_OVERDUE": "3"}


def test_net_switch() -> None:
    run_unit("net_switch_tb", "net_switch.test_net_switch", parameters=SMALL, extra_env=SMALL_ENV)


def test_net_switch_stamps_wrap() -> None:
    """Arrival stamps of 8 bits wrap several times in a test."""
    run_unit(
        "net_switch_tb",
        "net_switch.test_net_switch",
        parameters={"CELLS": 4, "OVERDUE_W": 3, "STAMP_W": 8},
        extra_env=SMALL_ENV,
        expected_tests=["oldest_first", "nobody_is_passed_for_ever", "an_overdue_message_holds_its_output"],
        seed=2,
    )


def test_net_switch_verilator() -> None:
    run_unit(
        "net_switch_tb",
        "net_switch.test_net_switch",
        simulator="verilator",
        extra_env={"SWITCH_CELLS": "32", "SWITCH_OVERDUE": "8"},
    )


MUTATIONS = {
    "youngest first": ("net_switch_arb", "(!found || ahead[STAMP_W-1])) begin", "(!found || !ahead[STAMP_W-1])) begin", "oldest_first"),
    "multicast moves when one output is ready": (
        "net_switch",
        "((cell_mask[g*PORTS +: PORTS] & ~out_tready) == {PORTS{1'b0}})",
        "((cell_mask[g*PORTS +: PORTS] & out_tready) != {PORTS{1'b0}})",
        "conservation",
    ),
    "an output is free too early": ("net_switch", "(~out_busy_reg | out_done)", "({PORTS{1'b1}})", "conservation"),
    "a freed cell is lost": (
        "net_switch_input",
        "if (release_en) ring_wr_reg",
        "if (release_en && rd_len_reg[0]) ring_wr_reg",
        "conservation",
    ),
    "queue end forgotten": ("net_switch_input", "(pop && pop_last && same_q)", "1'b0", "permutation_rate"),
    "overdue never": ("net_switch_arb", "age != {STAMP_W{1'b0}}", "1'b0", "an_overdue_message_holds_its_output"),
    "a beat refused inside a message": (
        "net_switch_input",
        "assign s_axis_tready = wr_have_reg;",
        "assign s_axis_tready = wr_have_reg && (free_any || wr_beat_reg != 3);",
        "cells_run_out_between_messages",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_the_bench_red(name: str, tmp_path: Path) -> None:
    module, old, new, test = MUTATIONS[name]
    mutated = mutate(module, old, new, tmp_path)
    with pytest.raises(TestsFailed):
        run_unit(
            "net_switch_tb", "net_switch.test_net_switch", sources=[mutated], parameters=SMALL, extra_env=SMALL_ENV, expected_tests=[test]
        )
