# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/net/net_respond."""

from __future__ import annotations

from pathlib import Path

import pytest

from floreana_tb import TestsFailed, mutate, run_unit

TOP, BENCH = "net_respond_tb", "net_respond.test_net_respond"


def test_net_respond() -> None:
    run_unit(TOP, BENCH)


MUTATIONS = {
    "a reply of zeros has checksum 0": ("(zero_reg && echo_fold", "(1'b0 && zero_reg && echo_fold", "checksums"),
    "padding is in the sum": ("(h_total > b - 14)", "1'b1", "echo/pattern=both"),
    "a second request overwrites the first": ("rq_want && (state_reg == IDLE)", "rq_want && (state_reg != FILL)", "one_at_a_time"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_the_bench_red(name: str, tmp_path: Path) -> None:
    old, new, test = MUTATIONS[name]
    mutated = mutate("net_respond", old, new, tmp_path)
    with pytest.raises(TestsFailed):
        run_unit(TOP, BENCH, sources=[mutated], expected_tests=[test])
