# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/node/node_core: the wiring of a whole node."""

from __future__ import annotations

from pathlib import Path

import pytest

from floreana_tb import TestsFailed, mutate, run_unit

SMALL = {
    "K_LANES": 16, "OUT_N": 16, "POST_LANES": 1, "W_WORDS": 16, "BIAS_WORDS": 4, "POST_WORDS": 64, "STORE_BEATS": 64, "ROW_W": 2,
    "SLOT_W": 1, "HEAD_DIM": 64, "HEAD_BEATS": 1, "REQ_WORDS": 2, "NORM_LANES": 1, "LROW_W": 1, "ACC_BEATS": 64, "RES_WORDS": 16,
    "CHAN_WORDS": 64, "ROW_BEATS": 1,
}  # fmt: skip


def test_node_core() -> None:
    run_unit("node_core", "node_core.test_node_core", parameters=SMALL)


MUTATIONS = {
    "attention gets linear's configuration": ("cfg_addr_reg[31:28] == 4'd2;", "cfg_addr_reg[31:28] == 4'd1;", "attention_over_the_wire"),
    "eth returns its own frames": (".NO_RETURN(16)", ".NO_RETURN(0)", "drops_of_every_unit_are_summed"),
    "add_norm speaks as attention": ("u_add_norm (\n    .clk(clk), .rst(rst), .id_cluster(ident_reg[7:0]), .id_kernel(ident_reg[31:24])",
                                     "u_add_norm (\n    .clk(clk), .rst(rst), .id_cluster(ident_reg[7:0]), .id_kernel(ident_reg[23:16])",
                                     "entry_multicast_linear_host"),
    "counters out of place": ("assign words[80*32-1:64*32]  = {{(16-NORM_N)*32{1'b0}}, norm_count};",
                              "assign words[80*32-1:64*32]  = {norm_count, {(16-NORM_N)*32{1'b0}}};", "entry_multicast_linear_host"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_the_bench_red(name: str, tmp_path: Path) -> None:
    old, new, test = MUTATIONS[name]
    mutated = mutate("node_core", old, new, tmp_path)
    with pytest.raises(TestsFailed):
        run_unit("node_core", "node_core.test_node_core", sources=[mutated], parameters=SMALL, expected_tests=[test])
