# SPDX-License-Identifier: Apache-2.0
"""ibert_sat within the cycle: both bounds and beside them, the ends of the input, random values."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import Timer


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def values(dut: Any) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    in_w, out_w = len(dut.x), len(dut.y)
    least, most = -(1 << out_w - 1), (1 << out_w - 1) - 1
    ends = (-(1 << in_w - 1), (1 << in_w - 1) - 1)
    near = [bound + d for bound in (least, most, 0) for d in (-1, 0, 1)]
    cases = [*ends, *(x for x in near if ends[0] <= x <= ends[1])]
    cases += [rng.randint(*ends) >> rng.randrange(in_w) for _ in range(400)]
    saturated = 0
    for x in cases:
        dut.x.value = x
        await Timer(1, unit="ns")
        assert dut.y.value.to_signed() == min(max(x, least), most), x
        saturated += not least <= x <= most
    assert saturated > 2
    print(f"ibert_sat: checked {len(cases)} equal {len(cases)}", flush=True)
