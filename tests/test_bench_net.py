# SPDX-License-Identifier: Apache-2.0
"""Figures between kernel ports (`make bench-net`): the latency bench and its limits; the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from floreana.report import bench_net
from floreana_tb import TestsFailed, mutate, run_unit

DIRECT = {"STATIONS": 2, "DIRECT": 1}


def test_latency_between_kernels(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    run_unit(
        "tb_bench_net", "bench_net.test_bench_net", parameters=DIRECT, expected_tests=["latency"], extra_env={"BENCH_NET_OUT": str(out)}
    )
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert figures["latency_empty"] <= 40
    assert figures["latency_full"] <= 75


def test_a_dropped_message_is_noticed(tmp_path: Path) -> None:
    """The receiving side takes no frame of data for the expected one."""
    mutated = mutate("net_rx_peers", "= ev_begins ? first_reg : ev_after ? after_reg : same_reg;", "= 1'b0;", tmp_path)
    with pytest.raises(TestsFailed):
        run_unit("tb_bench_net", "bench_net.test_bench_net", sources=[mutated], parameters=DIRECT, expected_tests=["latency"])


def test_the_table_has_every_figure_and_every_system() -> None:
    figures = {name: 10.0 for name, _, _ in bench_net.LIMITS}
    own, others = bench_net.tables(figures)
    assert own.row_count == len(bench_net.LIMITS)
    assert others.row_count == 5
    with pytest.raises(KeyError, match="latency_full"):
        bench_net.tables({name: value for name, value in figures.items() if name != "latency_full"})
