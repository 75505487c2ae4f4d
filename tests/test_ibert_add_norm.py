# SPDX-License-Identifier: Apache-2.0
"""ibert_add_norm against the integer model: small shapes under Icarus, the default one under Verilator; a mutation must be seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from floreana_tb import BuildError, TestsFailed, mutate, run_unit

SMALL = {"ROW_W": 5, "SLOT_W": 1, "LROW_W": 3, "ACC_BEATS": 512, "RES_WORDS": 128, "CHAN_WORDS": 128, "CTX_N": 8}


def run(parameters: dict[str, int], hidden: int, **more) -> None:
    knobs = {name: str(parameters[name]) for name in ("LANES", "ROW_W", "SLOT_W", "LROW_W") if name in parameters}
    env = {"HIDDEN": str(hidden), **knobs, **more.pop("extra_env", {})}
    run_unit("ibert_add_norm", "test_ibert_add_norm", parameters=parameters, extra_env=env, **more)


@pytest.mark.parametrize(
    ("hidden", "more"),
    [
        (64, {"LANES": 4, "ROW_BEATS": 1, "RES_W": 8}),
        (128, {"LANES": 8, "ROW_BEATS": 2, "RES_W": 8}),
    ],
    ids=["h64_l4", "h128_l8"],
)
def test_icarus(hidden: int, more: dict[str, int]) -> None:
    run({**SMALL, **more}, hidden, extra_env={"FLUSHES": "4"})


# the same shape under Icarus, and 384 channels, are in the matrix of make regress
@pytest.mark.parametrize(
    ("hidden", "more"),
    [(768, {}), (320, {**SMALL, "LANES": 16, "ROW_BEATS": 5, "RES_W": 12, "SLOT_W": 0, "CHAN_WORDS": 256})],
    ids=["default_h768", "h320_l16_res12_one_slot"],
)
def test_verilator(hidden: int, more: dict[str, int]) -> None:
    run(more, hidden, simulator="verilator")


@pytest.mark.parametrize(
    ("module", "old", "new", "test"),
    [
        # the mean rounded half up instead of half to even
        ("ibert_mean", "{rem, quo[0]} >", "{rem, quo[0]} >=", "corners"),
        # records without forwarding
        ("ibert_add_norm_rx", ".FWD_EN(1)", ".FWD_EN(0)", "single_beat_messages_back_to_back"),
        ("ibert_slots", "assign chk_stale = age[3];", "assign chk_stale = 1'b0;", "generations"),
        # records of the slot stay
        ("ibert_add_norm_rx", "(clear_reg || sweep || rec_wr_en)", "(clear_reg || rec_wr_en)", "flush_cuts_a_message"),
        ("ibert_add_norm", ".purge     (flush)", ".purge     (1'b0)", "old_rows_are_not_kept"),
        ("ibert_add_norm", "keep_now = keep_beat && fifo_info[11:8] == keep_cur;", "keep_now = keep_beat;", "old_rows_are_not_kept"),
        ("ibert_add_norm", "|| flight_reg != {FLIGHT_W{1'b0}} ||", "||", "corners"),
    ],
    ids=[
        "mean_half_up",
        "record_not_forwarded",
        "stale_taken",
        "records_survive_flush",
        "ready_rows_survive_flush",
        "old_rows_are_kept",
        "rows_at_work_not_active",
    ],
)
def test_mutation_is_seen(module: str, old: str, new: str, test: str, tmp_path: Path) -> None:
    mutated = mutate(module, old, new, tmp_path)
    with pytest.raises(TestsFailed) as failure:
        run({**SMALL, "LANES": 8, "ROW_BEATS": 2}, 128, sources=[mutated], expected_tests=[test])
    assert failure.value.failed == (test,)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"LANES": 3}, "LANES_must_divide_16"),
        ({"LANES": 32}, "LANES_must_divide_16"),
        ({"RES_W": 7}, "RES_W_must_be_8_to_16"),
        ({"ROW_BEATS": 65}, "ROW_BEATS_must_be_1_to_64"),
        ({"CTX_N": 65}, "CTX_N_must_be_1_to_64"),
        ({"SLOT_W": 5}, "row_or_slot_bits_out_of_range"),
        ({"ACC_BEATS": 131072}, "stores_beyond_address_fields"),
    ],
)
def test_illegal_parameters_stop_the_build(parameters: dict[str, int], message: str) -> None:
    with pytest.raises(BuildError, match=message):
        run({**SMALL, **parameters}, 128, expected_tests=["corners"])
