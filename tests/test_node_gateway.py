# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/node/node_gateway: small shapes under Icarus, one under Verilator; mutations must be seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from floreana_tb import TestsFailed, mutate, run_unit

BENCH = "node_gateway.test_node_gateway"


def run(
    row_w: int = 3,
    slot_w: int = 1,
    beats: int = 2,
    *,
    simulator: str = "icarus",
    tests: Sequence[str] | None = None,
    sources: Sequence[Path] | None = None,
) -> None:
    run_unit(
        "node_gateway", BENCH, simulator=simulator, expected_tests=tests, sources=sources,
        parameters={"ROW_W": row_w, "SLOT_W": slot_w, "ROW_BEATS": beats},
        extra_env={"GATE_ROW_W": str(row_w), "GATE_SLOT_W": str(slot_w), "GATE_BEATS": str(beats)},
    )  # fmt: skip


def test_node_gateway() -> None:
    run()


def test_node_gateway_one_slot() -> None:
    run(slot_w=0, tests=["sequences/pattern=4", "full_rate", "releases", "no_room", "flush_in_traffic/pattern=random"])


def test_node_gateway_two_slices_verilator() -> None:
    run(beats=20, simulator="verilator")


MUTATIONS = {
    "a sequence begins though its slot is not free": (
        "node_gateway_out", "(same || credit_reg) && !owe_reg", "!owe_reg", "waiting_slots_take_turns",
    ),
    "a RELEASE of another generation counts": (
        "node_gateway_out", "(rel_gen == gen_reg) && !credit_reg", "!credit_reg", "releases",
    ),
    "a flush leaves the slot taken": (
        "node_gateway_out", "            credit_reg  <= 1'b1;\n", "            if (rst) credit_reg <= 1'b1;\n", "flush_frees_the_slot",
    ),
    "a flush does not wait for the message that is sent": (
        "node_gateway_out", "busy      = run_reg && (slot_reg == start_slot)", "busy      = 1'b0", "flush_cuts_a_message",
    ),
    "a message begins where a dropped one ended": (
        "node_gateway_in", "tail_reg <= after;\n        free_reg", "tail_reg <= after + 1'b1;\n        free_reg", "sequences/pattern=0",
    ),
    "beats that were sent are not free again": ("node_gateway_in", "free[s] ? free_beats : 5'd0", "5'd0", "sequences/pattern=0"),
    "stored messages are not active": ("node_gateway", " || (stored != {SUM_W{1'b0}})", "", "waiting_slots_take_turns"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_the_bench_red(name: str, tmp_path: Path) -> None:
    module, old, new, test = MUTATIONS[name]
    with pytest.raises(TestsFailed):
        run(sources=[mutate(module, old, new, tmp_path)], tests=[test])
