# SPDX-License-Identifier: Apache-2.0
"""Benches of rtl/node/node_core: the wiring of a whole node."""

from __future__ import annotations

from pathlib import Path

import pytest

from floreana_tb import TestsFailed, mutate, run_unit

# the defaults of tb_node_core are the small shape
BENCH, TWO, GATEWAY = "node_core.test_node_core", "node_core.test_node_core_two", "node_core.test_node_core_gateway"


def test_node_core() -> None:
    run_unit("tb_node_core", BENCH)


def test_node_core_two_ports() -> None:
    run_unit("tb_node_core", TWO, parameters={"ETH_N": 2})


@pytest.mark.parametrize("ports", [1, 2])
def test_node_core_gateway(ports: int) -> None:
    run_unit("tb_node_core", GATEWAY, parameters={"ETH_N": ports, "GATEWAY": 1})


# text of node_core, the text in its place, test that must see it
MUTATIONS = {
    "eth returns its own frames": ("ETH_N == 2) ? 48 : 16", "ETH_N == 2) ? 48 : 0", "losses_of_every_unit_are_summed"),
    "add_norm speaks as attention": (
        ".id_kernel(ident_reg[31:24])", ".id_kernel(ident_reg[23:16])", "entry_multicast_linear_host/pattern=0",
    ),
    "counters out of place": (
        "{(16-NORM_N)*32{1'b0}}, norm_count", "norm_count, {(16-NORM_N)*32{1'b0}}", "entry_multicast_linear_host/pattern=0",
    ),
    "attention does not show that it works": ("kernel_active != 4'd0", "(kernel_active & 4'd13) != 4'd0", "flush_and_busy"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_the_bench_red(name: str, tmp_path: Path) -> None:
    old, new, test = MUTATIONS[name]
    mutated = mutate("node_core", old, new, tmp_path)
    with pytest.raises(TestsFailed):
        run_unit("tb_node_core", BENCH, sources=[mutated], expected_tests=[test])
