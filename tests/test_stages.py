# SPDX-License-Identifier: Apache-2.0
"""Latencies and rates of the kernels' parts, and benches of the small units between them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from floreana_tb import TestsFailed, mutate, run_unit

LINEAR = {
    "K_LANES": 64, "OUT_N": 16, "POST_LANES": 4, "W_WORDS": 128, "BIAS_WORDS": 64, "POST_WORDS": 128, "STORE_BEATS": 192,
    "ROW_W": 2, "SLOT_W": 1, "CTX_N": 64, "ACC_FIFO_GROUPS": 8,
}  # fmt: skip
ATTENTION = {"HEAD_DIM": 64, "HEAD_BEATS": 1, "ROW_W": 5, "SLOT_W": 0, "CTX_N": 3, "REQ_WORDS": 4}
ADD_NORM = {
    "LANES": 8, "ROW_BEATS": 2, "RES_W": 8, "ROW_W": 5, "SLOT_W": 1, "LROW_W": 3, "ACC_BEATS": 512, "RES_WORDS": 128,
    "CHAN_WORDS": 128, "CTX_N": 8,
}  # fmt: skip
# odd shapes: words of a quarter beat, two groups' worth of outputs; two heads in a beat, rows of two beats; a channel a cycle
ODD = {
    "linear": {**LINEAR, "K_LANES": 16, "OUT_N": 32, "POST_LANES": 16, "W_WORDS": 200},
    "attention": {**ATTENTION, "HEAD_DIM": 32, "HEAD_BEATS": 2},
    "add_norm": {**ADD_NORM, "LANES": 1, "ROW_BEATS": 1, "RES_W": 13},
}
SHAPES = {"linear": LINEAR, "attention": ATTENTION, "add_norm": ADD_NORM}


def stages(kernel: str, parameters: dict[str, int], sources: list[Path] | None = None) -> None:
    env = {name: str(value) for name, value in parameters.items()}
    env |= {"LINEAR_PARAMETERS": json.dumps(parameters)} if kernel == "linear" else {}
    env |= {"HIDDEN": str(64 * parameters["ROW_BEATS"])} if kernel == "add_norm" else {}
    run_unit(f"ibert_{kernel}", f"stages.test_stages_{kernel}", parameters=parameters, extra_env=env, sources=sources)


@pytest.mark.parametrize("kernel", SHAPES)
def test_stages(kernel: str) -> None:
    stages(kernel, SHAPES[kernel])


@pytest.mark.parametrize("kernel", ODD)
def test_stages_of_odd_shapes(kernel: str) -> None:
    stages(kernel, ODD[kernel])


# slower, never wrong: no comparison of data sees these
MUTATIONS = {
    "a unit every other cycle": ("linear", "ibert_acc_fifo", "(!valid_reg || m_ready);", "!valid_reg;"),
    "an idle cycle between groups": ("linear", "ibert_linear_seq", "(!first_reg || room);", "(!first_reg || (room && !word_valid));"),
    "an idle cycle between jobs": ("attention", "ibert_attention_score", "(!act_reg || k_last) && stored_reg", "!act_reg && stored_reg"),
    "idle cycles between sums": (
        "add_norm",
        "ibert_residual_sum",
        "asking_reg && gap_reg == 0;",
        "asking_reg && gap_reg == 0 && !valid_q2;",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_slower_part_is_seen(name: str, tmp_path: Path) -> None:
    kernel, module, old, new = MUTATIONS[name]
    shape = ODD[kernel] if module == "ibert_acc_fifo" else SHAPES[kernel]  # one unit a group shows nothing of the FIFO's rate
    with pytest.raises(TestsFailed):
        stages(kernel, shape, [mutate(module, old, new, tmp_path)])


SMALL_UNITS = [
    ("ibert_sat", "ibert_arith.test_ibert_sat", {}),
    ("ibert_sat", "ibert_arith.test_ibert_sat", {"IN_W": 3, "OUT_W": 2}),
    ("ibert_dot", "ibert_arith.test_ibert_dot", {}),
    ("ibert_dot", "ibert_arith.test_ibert_dot", {"HEADS": 2}),
    ("net_table", "net_switch.test_net_table", {}),
    ("net_table", "net_switch.test_net_table", {"DATA_W": 1, "DEPTH": 2}),
]


@pytest.mark.parametrize(("unit", "bench", "parameters"), SMALL_UNITS)
def test_small_unit(unit: str, bench: str, parameters: dict[str, int]) -> None:
    run_unit(unit, bench, parameters=parameters)


@pytest.mark.parametrize(
    ("unit", "bench", "old", "new"),
    [
        ("ibert_sat", "ibert_arith.test_ibert_sat", "{x[IN_W-1], {(OUT_W - 1) {!x[IN_W-1]}}}", "{x[IN_W-1], {(OUT_W - 1) {x[IN_W-1]}}}"),
        ("ibert_dot", "ibert_arith.test_ibert_dot", "valid_p4 <= valid_p3;", "valid_p4 <= valid_p2;"),
        ("net_table", "net_switch.test_net_table", "if (clear) written_reg <= {ROWS{1'b0}};", ""),
    ],
    ids=["sat", "dot", "table"],
)
def test_mutation_is_seen(unit: str, bench: str, old: str, new: str, tmp_path: Path) -> None:
    with pytest.raises(TestsFailed):
        run_unit(unit, bench, sources=[mutate(unit, old, new, tmp_path)])
