# SPDX-License-Identifier: Apache-2.0
"""Benches of rtl/net/net_eth_tx and its parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from floreana_tb import TestsFailed, mutate, run_unit

BENCH = "net_eth_tx.test_net_eth_tx"
# at the default size; not those that set the tables from outside, which only Icarus allows
DEFAULT_SIZE = (
    "messages_of_all_kinds/pattern=4", "latency", "long_frames_at_full_rate", "one_peer_at_full_rate", "short_frames_back_to_back",
    "empty_frames_every_cycle", "credit_is_kept", "full_window_holds_and_failure_frees", "slow_peer_holds_others_for_its_pace",
    "cells_run_out_and_come_back", "room_falls_in_time", "go_back",
    "peer_restarts", "cell_is_not_written_while_it_is_read", "control_frames_come_first", "nothing_to_strangers",
    "bad_network/pattern=none/trouble=True", "reset_in_mid_frame",
)  # fmt: skip


def run(
    peers: int,
    cells: int,
    window: int,
    *,
    simulator: str = "icarus",
    tests: Sequence[str] | None = None,
    sources: Sequence[Path] | None = None,
) -> None:
    run_unit(
        "net_eth_tx_tb", BENCH, sources=sources, simulator=simulator, expected_tests=tests,
        parameters={"PEERS_N": peers, "CELLS": cells, "WINDOW_N": window},
        extra_env={"TX_PEERS": str(peers), "TX_CELLS": str(cells), "TX_WINDOW": str(window)},
    )  # fmt: skip


def test_net_eth_tx() -> None:
    run(8, 16, 8)


def test_net_eth_tx_verilator() -> None:
    run(64, 128, 64, simulator="verilator", tests=DEFAULT_SIZE)


MUTATIONS = {
    "checksum without the second fold": (
        "net_tx_frame",
        "h_sum[15:0] + {15'd0, h_sum[16]}",
        "h_sum[15:0]",
        "every_payload_length"),
    "an acknowledgement of what was never sent counts": (
        "net_tx_window",
        "a2_ack_reg && ack_inside",
        "a2_ack_reg",
        "credit_is_kept"),
    "the limit is looked at only when a peer is picked": (
        "net_tx_window",
        "&& (load_limit != s_plus[7:0])",
        "",
        "credit_is_kept"),
    "a reset discards what was never sent": (
        "net_tx_window",
        "discard[link_reset_peer] ? old_tail : old_top",
        "old_tail",
        "peer_restarts"),
    "a frame of before the reset goes out": (
        "net_tx_frame",
        "wire p3_kill = kill_valid &&",
        "wire p3_kill = 1'b0 &&",
        "peer_restarts"),
    "an acknowledgement of before the reset counts": (
        "net_tx_window",
        "if (a2_peer_reg == link_reset_peer) a2_valid_reg <= 1'b0;",
        "",
        "reset_against_acknowledgement"),
    "an acknowledgement does not move what is sent next": (
        "net_tx_window",
        "(good_reg && ack_ahead[POS_W]) ? a2_position_reg",
        "1'b0 ? a2_position_reg",
        "go_back"),
    "a cell is free while its frame is on its way": (
        "net_tx_queue",
        "== k2_gone_reg[RING_W-1:0]) k2_busy = 1'b1;",
        "== k2_gone_reg[RING_W-1:0]) k2_busy = 1'b0;",
        "cell_is_not_written_while_it_is_read"),
    "control waits behind data": (
        "net_tx_frame",
        "assign c_go           = start && c3_valid_reg;",
        "assign c_go           = start && c3_valid_reg && !p3_valid_reg;",
        "control_frames_come_first"),
    "room falls four messages late": (
        "net_eth_tx",
        "CELLS - 8 : 0;",
        "CELLS - 4 : 0;",
        "room_falls_in_time"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_the_bench_red(name: str, tmp_path: Path) -> None:
    module, old, new, test = MUTATIONS[name]
    mutated = mutate(module, old, new, tmp_path)
    with pytest.raises(TestsFailed):
        run(8, 16, 8, sources=[mutated], tests=[test])
