# SPDX-License-Identifier: Apache-2.0
"""Benches of the kernel ibert_linear and of its small units."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from floreana_tb import BuildError, TestsFailed, mutate, run_unit

SMALL = {
    "K_LANES": 64, "OUT_N": 16, "POST_LANES": 4, "W_WORDS": 128, "BIAS_WORDS": 64, "POST_WORDS": 128, "STORE_BEATS": 192,
    "ROW_W": 2, "SLOT_W": 1, "CTX_N": 64, "ACC_FIFO_GROUPS": 8,
}  # fmt: skip
ODD = {**SMALL, "K_LANES": 16, "OUT_N": 32, "POST_LANES": 16, "W_WORDS": 200, "SLOT_W": 0, "ROW_W": 3, "CTX_N": 32}
HALF = {**SMALL, "K_LANES": 32, "OUT_N": 48, "POST_LANES": 8, "W_WORDS": 200, "ACC_FIFO_GROUPS": 16}


def run(parameters: dict[str, int], **options: object) -> None:
    run_unit(
        "ibert_linear", "ibert_linear.test_ibert_linear", parameters=parameters,
        extra_env={"LINEAR_PARAMETERS": json.dumps(parameters)}, **options,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize("parameters", [SMALL, ODD, HALF], ids=["small", "odd", "half"])
def test_ibert_linear(parameters: dict[str, int]) -> None:
    run(parameters)
