# SPDX-License-Identifier: Apache-2.0
"""Benches of the kernel ibert_linear and of its small units."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from floreana_tb import BuildError, TestsFailed, mutate, run_unit

SMALL = {
    "K_LANES": 64, "OUT_N": 16, "POST_LANES": 4, "W_WORDS": 128, "BIAS_WORDS": 64, "POST_WORDS": 128, "STORE_BEATS": 192,
    "ROW_W": 2, "SLOT_W": 1, "CTX_N": 64, "ACC_FIFO_GROUPS": 8, "PACKED": 0,
}  # fmt: skip
ODD = {**SMALL, "K_LANES": 16, "OUT_N": 32, "POST_LANES": 16, "W_WORDS": 200, "SLOT_W": 0, "ROW_W": 3, "CTX_N": 32}
HALF = {**SMALL, "K_LANES": 32, "OUT_N": 48, "POST_LANES": 8, "W_WORDS": 200, "ACC_FIFO_GROUPS": 16}
SHAPE_TESTS = [
    "rows_of_all_contexts/pattern=4", "one_row", "extremes", "array_has_no_bubble", "rows_of_one_beat_at_full_rate", "priorities",
    "blocked_output_does_not_stall_the_input", "reset_in_mid_packet",
]  # fmt: skip
SMALL_TESTS = [
    *(f"rows_of_all_contexts/pattern={pattern}" for pattern in range(4)), "drops_are_counted",
    "a_row_sent_twice_fills_the_queue_and_is_counted", "random_run", "generations", "flush_cuts_a_message", "flush_in_traffic",
    "flush_empties_the_queue",
]  # fmt: skip
DEFAULT_TESTS = ["rows_of_a_node", "one_row", "extremes", "generations", "flush_cuts_a_message", "flush_in_traffic"]


def run(parameters: dict[str, int], **options: object) -> None:
    run_unit(
        "ibert_linear", "ibert_linear.test_ibert_linear", parameters=parameters,
        extra_env={"LINEAR_PARAMETERS": json.dumps({k: v for k, v in parameters.items() if k != "PACKED"})}, **options,  # type: ignore[arg-type]
    )  # fmt: skip


def test_ibert_linear() -> None:
    run(SMALL, expected_tests=[*SHAPE_TESTS, *SMALL_TESTS])


def test_ibert_linear_packed() -> None:
    """The array of packed products, which simulates slowly: its values."""
    run({**SMALL, "PACKED": 1}, expected_tests=["one_row", "extremes"])


@pytest.mark.parametrize("parameters", [ODD, HALF], ids=["16 lanes, one slot", "32 lanes"])
def test_ibert_linear_shapes(parameters: dict[str, int]) -> None:
    run(parameters, expected_tests=[*SHAPE_TESTS, "flush_cuts_a_message", "flush_empties_the_queue"])


def test_ibert_linear_verilator_default_size() -> None:
    run({"PACKED": 0}, simulator="verilator", expected_tests=DEFAULT_TESTS, timeout_s=1500.0)  # as in the simulation of a cluster


MUTATIONS = {
    "floor instead of rounding": ("ibert_requant", "off_p3, inc}", "off_p3, 1'b0}", "extremes"),
    "bias added to every word": ("ibert_mac", "(first_p4 ? bias : acc_p5)", "(bias + acc_p5)", "one_row"),
    "sign is always one": ("ibert_gelu", "poly[41:14] ^ {28{negative}}", "poly[41:14]", None),
    "count of the beat before is missed": ("ibert_linear_in", ".FWD_EN(1)", ".FWD_EN(0)", "rows_of_all_contexts/pattern=0"),
    "one credit too many": (
        "ibert_linear_seq", "= ACC_FIFO_GROUPS[CRED_W-1:0];", "= ACC_FIFO_GROUPS[CRED_W-1:0] + 1'b1;",
        "blocked_output_does_not_stall_the_input",
    ),
    "idle cycle between rows": ("ibert_linear_seq", "(!active_reg || (issue && row_end))", "!active_reg", "array_has_no_bubble"),
    "lowest priority first": ("ibert_row_queue", "push_prio == p", "push_prio == 3 - p", "priorities"),
    "seven newer is stale": ("ibert_slots", "chk_stale = age[3];", "chk_stale = age >= 4'd7;", "generations"),
    "a cut message goes on": ("ibert_slots", "in_cut       = cut_reg;", "in_cut       = 1'b0;", "flush_cuts_a_message"),
    "counts survive a flush": ("ibert_linear_in", "(clearing || sweep || store_p4)", "(clearing || store_p4)", "flush_cuts_a_message"),
    "open rows survive a flush": ("ibert_linear_in", ".clear(flush)", ".clear(1'b0)", "flush_cuts_a_message"),
    "queued rows survive a flush": ("ibert_row_queue", ".purge(purge)", ".purge(1'b0)", "flush_empties_the_queue"),
    "rows of every slot leave the queue": ("ibert_slot_fifo", "!= purge_slot;", "!= m_tdata[SLOT_LSB +: 4];", "flush_empties_the_queue"),
    "rows at work are not activity": ("ibert_linear", "|| flight_reg != {FLIGHT_W{1'b0}} ||", "||", "one_row"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_the_bench_red(name: str, tmp_path: Path) -> None:
    module, old, new, test = MUTATIONS[name]
    mutated = mutate(module, old, new, tmp_path)
    if test is None:
        with pytest.raises(TestsFailed):
            run_unit(module, f"{module}.test_{module}", sources=[mutated])
    else:
        with pytest.raises(TestsFailed):
            run(SMALL, sources=[mutated], expected_tests=[test])


ILLEGAL = [
    {"K_LANES": 48}, {"K_LANES": 8}, {"OUT_N": 24}, {"OUT_N": 80}, {"POST_LANES": 3}, {"POST_LANES": 32}, {"W_WORDS": 65537},
    {"BIAS_WORDS": 16385}, {"POST_WORDS": 0}, {"STORE_BEATS": 65537}, {"ROW_W": 16}, {"SLOT_W": 5}, {"CTX_N": 65},
    {"ACC_FIFO_GROUPS": 6},
]  # fmt: skip


@pytest.mark.parametrize("wrong", ILLEGAL, ids=lambda wrong: "-".join(f"{k}={v}" for k, v in wrong.items()))
def test_illegal_parameter_stops_the_build(wrong: dict[str, int]) -> None:
    with pytest.raises(BuildError, match="PARAM_ERROR"):
        run({**SMALL, **wrong}, expected_tests=["one_row"])


@pytest.mark.parametrize("lanes", [16, 32, 64])
def test_ibert_mac(lanes: int) -> None:
    run_unit("ibert_mac", "ibert_mac.test_ibert_mac", parameters={"K_LANES": lanes})


@pytest.mark.parametrize("packed", [0, 1])
@pytest.mark.parametrize("lanes", [16, 64])
def test_ibert_mac_pair(lanes: int, packed: int) -> None:
    run_unit("ibert_mac_pair", "ibert_mac.test_ibert_mac", parameters={"K_LANES": lanes, "PACKED": packed})


@pytest.mark.parametrize("module", ["ibert_mac", "ibert_mac_pair"])
def test_ibert_mac_verilator(module: str) -> None:
    run_unit(module, "ibert_mac.test_ibert_mac", simulator="verilator")


@pytest.mark.parametrize(
    ("old", "new"),
    [("sum[35:18] + {17'd0, sum[17]}", "sum[35:18]"), ("{{19{lower[7]}}, lower}", "{19'd0, lower}")],
    ids=["no correction of the upper sum", "lower weight unsigned"],
)
def test_mutation_of_the_packed_products(old: str, new: str, tmp_path: Path) -> None:
    mutated = mutate("ibert_mul_pair", old, new, tmp_path)
    with pytest.raises(TestsFailed):
        run_unit("ibert_mac_pair", "ibert_mac.test_ibert_mac", parameters={"K_LANES": 16}, sources=[mutated])


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_ibert_gelu(simulator: str) -> None:
    run_unit("ibert_gelu", "ibert_gelu.test_ibert_gelu", simulator=simulator)
