# SPDX-License-Identifier: Apache-2.0
"""Benches of rtl/net/net_switch: messages one by one, and generated load."""

from __future__ import annotations

from pathlib import Path

import pytest

from floreana_tb import TestsFailed, mutate, run_unit

BENCH = "net_switch.test_net_switch"


def build(
    ports: int = 5, cells: int = 8, overdue: int = 3, eth: int = 16, cut: int = 16, data: int = 64
) -> tuple[dict[str, int], dict[str, str]]:
    """Parameters of the unit and what the bench is told of them."""
    parameters = {"PORTS": ports, "DATA_W": data, "CELLS": cells, "NO_RETURN": eth, "CUT": cut, "OVERDUE_W": overdue}
    told = {"PORTS": ports, "CELLS": cells, "ETH": eth, "CUT": cut, "OVERDUE": overdue}
    return parameters, {f"SWITCH_{name}": str(value) for name, value in told.items()}


def test_net_switch() -> None:
    parameters, env = build(ports=4, eth=8, cut=8)
    run_unit("net_switch_tb", BENCH, parameters=parameters, extra_env=env)


SHAPES = {
    "two ports, no Ethernet": build(ports=2, eth=0, cut=0),
    "six ports, two Ethernet": build(ports=6, eth=48, cut=48),
    "seven ports, all cut through": build(ports=7, eth=96, cut=127, cells=2),
}


@pytest.mark.parametrize("name", SHAPES)
def test_net_switch_shapes(name: str) -> None:
    parameters, env = SHAPES[name]
    tests = [
        "conservation/pattern=3",
        "latency/beats=1",
        "permutation_rate/beats=1",
        "foreign_clusters",
        "room_is_kept/longest=12",
        "a_turn_ends_without_room",
    ]
    if parameters["CELLS"] < 8:  # a cell comes back after seven cycles
        tests.remove("permutation_rate/beats=1")
    run_unit("net_switch_tb", BENCH, parameters=parameters, extra_env=env, expected_tests=tests, seed=2)


# as node_core has them, the smallest and the largest
LOADED = {
    "one Ethernet port": {"PORTS": 5, "NO_RETURN": 16, "CUT": 16, "OVERDUE_W": 9},
    "two Ethernet ports and a gateway": {"PORTS": 7, "NO_RETURN": 48, "CUT": 48, "OVERDUE_W": 9},
}


@pytest.mark.parametrize("name", LOADED)
def test_net_switch_load_verilator(name: str) -> None:
    """Long runs: full rate on permutations, 85 % and more on uniform random traffic, storms, stalls."""
    parameters = LOADED[name]
    # behavioural code with integers: widths are not its business
    args = ("-Wno-WIDTHTRUNC", "-Wno-WIDTHEXPAND")
    run_unit("net_switch_load", "net_switch.test_net_switch_load", simulator="verilator", parameters=parameters, extra_args=args)


MUTATIONS = {
    "multicast moves when one output is ready": (
        "net_switch",
        "((mask & ~able) == {PORTS{1'b0}})",
        "((mask & able) != {PORTS{1'b0}})",
        "conservation/pattern=2",
    ),
    "an output is left in mid message": ("net_switch", "(move[g] && cell_last[g] && cell_leave[g])", "move[g]", "conservation/pattern=0"),
    "an output is promised twice": (
        "net_switch_arb",
        "soon & ~promised_reg & ~asked_out",
        "soon & ~asked_out",
        "conservation/pattern=2",
    ),
    "a freed cell is lost": (
        "net_switch_store",
        "if (free) ring_wr_reg",
        "if (free && !free_cell[0]) ring_wr_reg",
        "permutation_rate/beats=1",
    ),
    "a dropped message keeps its cell": (
        "net_switch_store",
        "unused = close_reg && !routed;",
        "unused = 1'b0;",
        "drops_give_their_cells_back",
    ),
    "the cluster is not looked up": ("net_switch_store", "(home_reg ? kernel_reg : cluster_reg)", "kernel_reg", "foreign_clusters"),
    "clusters overwrite kernels": ("net_switch_store", "cfg_we && !cfg_index[8]", "cfg_we", "foreign_clusters"),
    "the highest bit of a kernel number is not looked at": (
        "net_switch_store",
        ".rd_addr(s_axis_tdest[15:8])",
        ".rd_addr({1'b0, s_axis_tdest[14:8]})",
        "every_address",
    ),
    "the highest bit of a cluster number is not looked at": (
        "net_switch_store",
        ".rd_addr(s_axis_tdest[7:0])",
        ".rd_addr({1'b0, s_axis_tdest[6:0]})",
        "every_address",
    ),
    "nobody is late": (
        "net_switch_input",
        "assign late    = late_reg &",
        "assign late    = {PORTS{1'b0}} &",
        "a_late_message_holds_its_output",
    ),
    "a beat refused inside a message": (
        "net_switch_store",
        "assign s_axis_tready = have_reg;",
        "assign s_axis_tready = have_reg && (free_any || beat_reg != 3);",
        "cells_run_out_between_messages",
    ),
    "turns go on without room": ("net_switch_arb", "lane_mask_reg | ~room;", "lane_mask_reg;", "a_turn_ends_without_room"),
    "messages begin without room": ("net_switch", ".room(m_axis_room)", ".room({PORTS{1'b1}})", "room_is_kept/longest=12"),
    "the lane keeps a multicast whose room has fallen": (
        "net_switch_arb",
        "(!lane_has || (lane_mask_reg & ~room) != {PORTS{1'b0}})",
        "!lane_has",
        "a_multicast_without_room_holds_nobody",
    ),
    "a beat is read before it is written": ("net_switch_input", "(!partial || run_beat_reg != wr_beat)", "1'b1", "conservation/pattern=1"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_the_bench_red(name: str, tmp_path: Path) -> None:
    module, old, new, test = MUTATIONS[name]
    mutated = mutate(module, old, new, tmp_path)
    parameters, env = build(ports=3, eth=4, cut=4)
    with pytest.raises(TestsFailed):
        run_unit("net_switch_tb", BENCH, sources=[mutated], parameters=parameters, extra_env=env, expected_tests=[test])
