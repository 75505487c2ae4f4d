# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/net/net_eth: whole ports against each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from floreana_tb import TestsFailed, mutate, run_unit

TOP, BENCH = "net_eth_three", "net_eth.test_net_eth"
SMALL = {"PEERS_N": 4, "TX_CELLS": 32, "RX_CELLS": 32, "WINDOW_N": 32}
ENV = {"RX_CELLS": "32"}
# the other cases, other sizes and seeds: tb/regress.toml
QUICK = ["clean", "incast", "throughput", "latency", "faults/kind=all", "dead_peer", "restart/delayed=0"]


def test_net_eth() -> None:
    run_unit(TOP, BENCH, parameters=SMALL, extra_env=ENV, expected_tests=QUICK)


MUTATIONS = {
    "a reset of the link is not seen by the receiver": (
        "net_eth", ".link_reset(link_reset), .link_reset_peer(link_reset_peer),\n    .hd_peer",
        ".link_reset(1'b0), .link_reset_peer(link_reset_peer),\n    .hd_peer", "restart/delayed=0"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_the_bench_red(name: str, tmp_path: Path) -> None:
    module, old, new, test = MUTATIONS[name]
    mutated = mutate(module, old, new, tmp_path)
    with pytest.raises(TestsFailed):
        run_unit(TOP, BENCH, sources=[mutated], parameters=SMALL, extra_env=ENV, expected_tests=[test])
