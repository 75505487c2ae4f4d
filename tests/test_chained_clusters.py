# SPDX-License-Identifier: Apache-2.0
"""Two chained clusters on the RTL under stalls: more sequences than slots, flushes with rows in flight, and a bug that must be seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from floreana_tb import TestsFailed, run_unit

TOP = Path(__file__).resolve().parents[1] / "tb" / "corners" / "tb_two_nodes.v"
BENCH = "chained_clusters.test_chained_clusters"
# the plan of the bench
SHAPE = {
    "W_WORDS": 128, "BIAS_WORDS": 64, "POST_WORDS": 128, "HEAD_BEATS": 2, "REQ_WORDS": 2, "LROW_W": 3, "ACC_BEATS": 256, "CHAN_WORDS": 64,
    "GATEWAY": 1, "CLUSTER1": 1,
}  # fmt: skip


def chained(tests: list[str] | None = None, forget: int = 0) -> None:
    run_unit(
        "tb_two_nodes",
        BENCH,
        parameters=SHAPE,
        simulator="verilator",
        extra_env={"CHAIN_SEQUENCES": "60", "CHAIN_FORGET": str(forget)},
        sources=[TOP],
        expected_tests=tests,
    )


def test_chained_clusters() -> None:
    chained()


def test_a_gateway_without_credits_is_seen() -> None:
    """The top forces the credits: a mutated module would need a second build, which takes minutes."""
    with pytest.raises(TestsFailed, match=r"from the gateway on|has the slot"):
        chained(["more_sequences_than_slots"], forget=1)
