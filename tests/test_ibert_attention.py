# SPDX-License-Identifier: Apache-2.0
"""Benches of the attention kernel and of its exponential lane."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from floreana_tb import TestsFailed, mutate, run_unit

SMALL = {"HEAD_DIM": 64, "HEAD_BEATS": 2, "ROW_W": 4, "SLOT_W": 1, "CTX_N": 3, "REQ_WORDS": 4}
PAIR = {**SMALL, "HEAD_DIM": 32}
ODD = {"HEAD_DIM": 32, "HEAD_BEATS": 1, "ROW_W": 4, "SLOT_W": 0, "CTX_N": 2, "REQ_WORDS": 2}
WIDE = {"HEAD_DIM": 64, "HEAD_BEATS": 4, "ROW_W": 5, "SLOT_W": 2, "CTX_N": 5, "REQ_WORDS": 8}
WHOLE = {**SMALL, "HEAD_BEATS": 16, "REQ_WORDS": 32}  # every head of a wide model in one kernel
DEFAULT = {"HEAD_DIM": 64, "HEAD_BEATS": 2, "ROW_W": 7, "SLOT_W": 1, "CTX_N": 16, "REQ_WORDS": 32}

SEED = int(os.environ.get("SEED", "1"))


def attention(
    parameters: dict[str, int],
    *,
    simulator: str = "icarus",
    tests: Sequence[str] | None = None,
    sources: list[Path] | None = None,
) -> None:
    run_unit(
        "ibert_attention",
        "ibert_attention.test_ibert_attention",
        parameters=parameters,
        simulator=simulator,
        expected_tests=tests,
        sources=sources,
        seed=SEED,
        extra_env={name: str(value) for name, value in parameters.items()},
    )


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_ibert_exp(simulator: str) -> None:
    run_unit("ibert_exp", "ibert_exp.test_ibert_exp", simulator=simulator, seed=SEED)


def test_ibert_attention() -> None:
    attention(SMALL)


@pytest.mark.parametrize("shape", [PAIR, ODD, WIDE], ids=["pair", "odd", "wide"])
def test_ibert_attention_other_shapes(shape: dict[str, int]) -> None:
    some = ["basic", "streams/pattern=4", "modes_take_turns", "next_encoder", "drops", "rate", "flush_cuts_a_message", "flush_in_traffic"]
    attention(shape, tests=some)


@pytest.mark.parametrize("head_dim", [64, 32])
def test_ibert_attention_verilator(head_dim: int) -> None:
    attention({**DEFAULT, "HEAD_DIM": head_dim}, simulator="verilator")


def test_ibert_attention_of_a_whole_model() -> None:
    attention(WHOLE, simulator="verilator", tests=["basic", "streams/pattern=4", "modes_take_turns", "next_encoder", "drops", "rate"])


MUTATIONS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "maximum from the second key on": (
        "ibert_attention_score",
        "(s_first || now > best)",
        "(!s_first && now > best)",
        ("basic",),
    ),
    "clamp at 31 x0": ("ibert_attention_exp", "- {4'd0, entry[15:0], 1'b0};", "- {5'd0, entry[15:0]};", ("corners",)),
    "probability wraps at 256": ("ibert_prob", "(prod_p2[A_W+31:32] != {A_W{1'b0}})", "1'b0", ("corners",)),
    "factor wraps at 2**32": ("ibert_recip", "| {W{quo[LOG]}}", "| {W{1'b0}}", ("corners",)),
    "served before V is in": ("ibert_attention_bank", " && v_cnt_reg == need_reg;", ";", ("waiting_is_counted",)),
    "half rows survive reset": (
        "ibert_attention_rows",
        "if (rst)   touched_reg <= {ROWS{1'b0}};",
        "",
        ("reset_mid_packet",),
    ),
    "over-long messages are kept": ("ibert_attention_in", "|| beat >= {3'd0, ctx_entry[4:1]}", "", ("drops",)),
    "counts are kept after the last row": (
        "ibert_attention_bank",
        "if (rst || retire || clear) begin",
        "if (rst || clear) begin",
        ("lengths",),
    ),
    "exponentials overwritten": (
        "ibert_attention_exp",
        "!stored_reg[2] && (flying",
        "(flying",
        ("streams",),
    ),
    "constants of the wrong context": (
        "ibert_attention_exp",
        "(flying_reg == 3'd0 || same_reg)",
        "1'b1",
        ("streams",),
    ),
    "stale messages are taken": ("ibert_attention_in", "cut_p1 || stale;", "cut_p1;", ("generations",)),
    "a cut message goes on": ("ibert_attention_in", "cut_p1 || stale;", "stale;", ("flush_cuts_a_message",)),
    "half Q rows survive a flush": (
        "ibert_attention_rows",
        "(flush && flush_of == t[3:0])",
        "(1'b0)",
        ("flush_cuts_a_message",),
    ),
    "counts survive a flush": ("ibert_attention_rows", ".clear(flush && flush_of == g / 2)", ".clear(1'b0)", ("flush_empties_the_queue",)),
    "K and V are activity for ever": ("ibert_attention_bank", "        used_reg  <= 1'b0;\n", "", ("basic",)),
    "a deferred exponential wraps": ("ibert_attention_exp", "&& wide[15:8] != 8'd0)", "&& 1'b0)", ("corners_deferred",)),
    "the factor of the next job": ("ibert_attention_context", "hold_f_reg <= cap_f_reg;", "hold_f_reg <= f_reg;", ("rate",)),
    "multipliers taken a cycle early": ("ibert_attention_context", "SWITCH  = 5'd22;", "SWITCH  = 5'd21;", ("modes_take_turns",)),
    "the mode of another job": ("ibert_attention_exp", "modes_reg[head_reg];", "modes_reg[head_reg + 2'd1];", ("modes_take_turns",)),
    "constants before their products": ("ibert_attention_context", "valid_n1 ? par_n1 :", "valid_n1 ? par_x :", ("basic_deferred",)),
    "a borrowed one is forgotten": ("ibert_attention_sums", "+ hi + one;", "+ hi;", ("basic",)),
    "output FIFO overrun": ("ibert_attention", "kept < OUT_N - 1 : kept < OUT_N;", "kept < OUT_N + 3 : kept < OUT_N + 4;", ("blocked",)),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_the_bench_red(name: str, tmp_path: Path) -> None:
    module, old, new, tests = MUTATIONS[name]
    mutated = mutate(module, old, new, tmp_path)
    with pytest.raises(TestsFailed):
        attention(SMALL, sources=[mutated], tests=tests)
