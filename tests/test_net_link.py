# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/net/net_link."""

from __future__ import annotations

from pathlib import Path

import pytest

from floreana_tb import TestsFailed, mutate, run_unit

AT_64 = ["rules_in_every_cycle", "expiries_and_failure", "registers_at_run_time"]


def test_net_link() -> None:
    run_unit("net_link", "net_link.test_net_link", parameters={"PEERS_N": 8}, extra_env={"LINK_PEERS": "8"})


def test_net_link_of_64_peers() -> None:
    run_unit("net_link", "net_link.test_net_link", parameters={"PEERS_N": 64}, extra_env={"LINK_PEERS": "64"}, expected_tests=AT_64)


MUTATIONS = {
    "the window of newer epochs is one too wide": (
        "e[7] ? less : less || same", "less || same",
        "rules_in_every_cycle"),
    "a silence's timer sends again what was sent late in it": (
        "(q_touched || !q_runs || q_begins)", "(q_touched || !q_runs)",
        "sent_late_in_a_silence"),
    "a failed link fails again": (
        "(q_sent_reg || q_waits_reg || q_silent_reg) && !q_failed_reg",
        "(q_sent_reg || q_waits_reg || q_silent_reg)",
        "silence_is_noticed"),
    "the answer to hello is no progress": (
        "({PEERS_N{e1_helloack_reg}} | ~up_reg)", "~up_reg",
        "waiting_asks_with_hello"),
    "progress does not take a failure back": (
        "fail_turn && !touched_reg[fail_peer_reg]",
        "fail_turn",
        "failure_waits_for_a_free_cycle"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_the_bench_red(name: str, tmp_path: Path) -> None:
    old, new, test = MUTATIONS[name]
    mutated = mutate("net_link", old, new, tmp_path)
    with pytest.raises(TestsFailed):
        run_unit(
            "net_link", "net_link.test_net_link", sources=[mutated], parameters={"PEERS_N": 8}, extra_env={"LINK_PEERS": "8"},
            expected_tests=[test],
        )  # fmt: skip
