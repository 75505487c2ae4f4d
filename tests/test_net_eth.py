# SPDX-License-Identifier: Apache-2.0
"""Benches of rtl/net/net_eth_tx, net_eth_rx and net_eth."""

from __future__ import annotations

from pathlib import Path

import pytest

from floreana_tb import TestsFailed, mutate, run_unit


def test_net_eth_tx() -> None:
    run_unit("net_eth_tx", "net_eth.test_net_eth_tx", parameters={"CELLS": 4}, extra_env={"TX_CELLS": "4"})


def test_net_eth_rx() -> None:
    run_unit("net_eth_rx", "net_eth.test_net_eth_rx", parameters={"CELLS": 16}, extra_env={"RX_CELLS": "16"})


def test_net_eth_tx_verilator() -> None:
    run_unit("net_eth_tx", "net_eth.test_net_eth_tx", simulator="verilator", extra_env={"TX_CELLS": "32"})


def test_net_eth_rx_verilator() -> None:
    run_unit("net_eth_rx", "net_eth.test_net_eth_rx", simulator="verilator", extra_env={"RX_CELLS": "64"})


def test_net_eth() -> None:
    run_unit("net_eth_pair", "net_eth.test_net_eth", parameters={"TX_CELLS": 4, "RX_CELLS": 16})


MUTATIONS = {
    "checksum without the second fold": (
        "net_eth_tx",
        "p2_fold[15:0] + {15'd0, p2_fold[16]}",
        "p2_fold[15:0]",
        "every_payload_length"),
    "cell freed after the first peer": (
        "net_eth_tx",
        "p1_end_reg   <= (rest_mask == 64'd0);",
        "p1_end_reg   <= 1'b1;",
        "frames_equal_scapy"),
    "last beat dropped": (
        "net_eth_tx",
        "wire         pay_last = (pay_left_reg == 4'd0);",
        "wire         pay_last = (pay_left_reg == 4'd1);",
        "frames_equal_scapy"),
    "checksum not checked": (
        "net_eth_rx",
        "fold != 17'h0ffff",
        "1'b0",
        "every_cause"),
    "a frame too long is accepted": (
        "net_eth_rx",
        "(h_udp_len > 16'd1054)",
        "(h_udp_len > 16'd2054)",
        "every_cause"),
    "a full store overwrites": (
        "net_eth_rx",
        "p2_valid_reg && !full &&",
        "p2_valid_reg &&",
        "full_cells_drop_whole_frames"),
    "expected moves on an error": (
        "net_eth_rx",
        ".wr_en(accept), .wr_addr(p2_node_reg[5:0])",
        ".wr_en(accept || seq_error), .wr_addr(p2_node_reg[5:0])",
        "sequence_errors"),
    "the last sequence error is kept": (
        "net_eth_rx",
        "if (seq_error && !sts_seq_error) begin",
        "if (seq_error) begin",
        "sequence_errors"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_the_bench_red(name: str, tmp_path: Path) -> None:
    module, old, new, test = MUTATIONS[name]
    mutated = mutate(module, old, new, tmp_path, count=2 if module == "net_eth_rx" and "wr_addr" in old else 1)
    with pytest.raises(TestsFailed):
        run_unit(
            module, f"net_eth.test_{module}", sources=[mutated], parameters={"CELLS": 16},
            extra_env={"TX_CELLS": "16", "RX_CELLS": "16"}, expected_tests=[test],
        )  # fmt: skip
