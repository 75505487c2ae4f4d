# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/net/net_eth_rx."""

from __future__ import annotations

from pathlib import Path

import pytest

from floreana_tb import TestsFailed, mutate, run_unit

TOP, BENCH = "net_eth_rx_tb", "net_eth_rx.test_net_eth_rx"
SMALL = {"PEERS_N": 8, "CELLS": 16}
ENV = {"RX_PEERS": "8", "RX_CELLS": "16"}


def test_net_eth_rx() -> None:
    run_unit(TOP, BENCH, parameters=SMALL, extra_env=ENV)


def test_all_64_peers_at_once() -> None:
    run_unit(
        TOP, BENCH, parameters={"PEERS_N": 64, "CELLS": 256}, extra_env={"RX_PEERS": "64", "RX_CELLS": "256"},
        expected_tests=["every_peer"],
    )  # fmt: skip


def test_numbers_wrap(tmp_path: Path) -> None:
    """A build whose numbers begin at 2^24 - 20 instead of 0: they go on at 0."""
    mutated = mutate("net_rx_peers", "FIRST = 24'd0", "FIRST = 24'hffffec", tmp_path)
    run_unit(
        TOP, BENCH, sources=[mutated], parameters=SMALL, extra_env={**ENV, "RX_START": str(0xFFFFEC)},
        expected_tests=["storm", "a_nack_falls_due"],
    )  # fmt: skip


MUTATIONS = {
    "checksum not checked": (
        "net_rx_check", "!arp && !sum_right", "1'b0 && !arp && !sum_right", "every_cause"),
    "a stranger with a peer's index is the peer": (
        "net_rx_check", "p2_high_reg != p2_entry_reg[81 +: HIGH_W] || ", "", "every_cause"),
    "a number beyond the table is not kept whole": (
        "net_rx_check", "{cfg_addr[15:PEER_W], cfg_data}", "{{HIGH_W{1'b0}}, cfg_data}", "good_frames/pattern=none"),
    "half of the numbers is ahead, one more too": (
        "net_rx_peers", "to_first[23] : to_number[23]", "to_first > 24'h800000 : to_number > 24'h800000", "every_cause"),
    "a change is owed though told": (
        "net_rx_peers", "(arrived_reg & ~told_mask)", "(arrived_reg & ~one_hot(hd_sent, hd_sent_peer))", "told_in_the_same_cycle"),
    "a nack is not held back": (
        "net_rx_peers", "&& !hold_reg[q_peer_reg]", "", "a_nack_falls_due"),
    "credit does not count the cells held": (
        "net_rx_peers", "hd_credit = hd_left[7:0]", "hd_credit = hd_quota", "quotas"),
    "a frame in the cycle of a reset is judged by the old number": (
        "net_rx_peers", "ev_begins ? first_reg : ", "", "a_link_is_reset"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_the_bench_red(name: str, tmp_path: Path) -> None:
    module, old, new, test = MUTATIONS[name]
    mutated = mutate(module, old, new, tmp_path)
    with pytest.raises(TestsFailed):
        run_unit(TOP, BENCH, sources=[mutated], parameters=SMALL, extra_env=ENV, expected_tests=[test])
