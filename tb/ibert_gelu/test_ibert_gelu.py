# SPDX-License-Identifier: Apache-2.0
"""ibert_gelu against floreana.ibert.ops.gelu: ends of every operand, zero, saturation, pass-through, latency 5."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge

from floreana.ibert import ops
from floreana.ibert.params import GeluParams
from floreana_tb import clocks

LATENCY = 5
Case = tuple[int, int, int, int, int]  # gelu, x, b, c, shift


def model(cases: list[Case]) -> list[int]:
    flag, x, b, c, shift = (np.array(column, np.int64) for column in zip(*cases, strict=True))
    y = ops.gelu(x[None, :], GeluParams(b, c, shift))[0]
    return [int(v) for v in np.where(flag == 1, y, x)]


async def run(dut: Any, cases: list[Case], gaps: float) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    for name in ("s_valid", "s_gelu", "s_x", "s_b", "s_c", "s_shift"):
        getattr(dut, name).value = 0
    await clocks.start(dut)
    got: list[int] = []
    sent: list[int] = []
    arrived: list[int] = []
    cycle = 0

    async def watch() -> None:
        nonlocal cycle
        while True:
            await RisingEdge(dut.clk)
            cycle += 1
            if str(dut.s_valid.value) == "1":
                sent.append(cycle)
            if str(dut.m_valid.value) == "1":
                got.append(dut.m_y.value.to_signed())
                arrived.append(cycle)

    task = cocotb.start_soon(watch())
    for flag, x, b, c, shift in cases:
        while rng.random() < gaps:
            dut.s_valid.value = 0
            await RisingEdge(dut.clk)
        dut.s_valid.value, dut.s_gelu.value, dut.s_x.value, dut.s_b.value = 1, flag, x, b
        dut.s_c.value, dut.s_shift.value = c, shift
        await RisingEdge(dut.clk)
    dut.s_valid.value = 0
    await ClockCycles(dut.clk, LATENCY + 3)
    task.cancel()
    assert got == model(cases)
    waits = {a - s for a, s in zip(arrived, sent, strict=True)}
    assert waits == {LATENCY}, waits
    print(f"ibert_gelu: checked {len(got)} equal {len(cases)}")


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(gaps=[0.0, 0.5])
async def random_values(dut: Any, gaps: float) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)

    def some(bits: int) -> int:
        """Random value of a random magnitude."""
        return rng.randrange(-(1 << rng.randrange(bits)), 1 << rng.randrange(bits))

    cases = [(int(rng.random() < 0.8), some(32), -abs(some(20)), some(40), some(24)) for _ in range(2000)]
    await run(dut, cases, gaps)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def extremes(dut: Any) -> None:
    cases = [
        (flag, x, b, c, shift)
        for flag in (0, 1)
        for x in (-(1 << 31), -(1 << 31) + 1, -(1 << 19), -1, 0, 1, (1 << 19) - 1, 1 << 19, (1 << 31) - 1)
        for b in (-(1 << 19), -(1 << 19) + 1, -1, 0)
        for c in (-(1 << 39), -1, 0, 1, (1 << 14) - 1, (1 << 39) - 1)
        for shift in (-(1 << 23), -1, 0, (1 << 23) - 1)
    ]
    saturated = sum(abs(y) >= (1 << 47) - 1 for y in model(cases))
    assert saturated > 20, "no case saturates"
    await run(dut, cases, 0.0)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_empties_the_pipeline(dut: Any) -> None:
    dut.s_valid.value = 0
    await clocks.start(dut)
    dut.s_gelu.value, dut.s_x.value, dut.s_b.value, dut.s_c.value, dut.s_shift.value = 1, 5, -9, 3, 4
    dut.s_valid.value = 1
    await ClockCycles(dut.clk, 3)
    dut.s_valid.value = 0
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    for _ in range(2 * LATENCY):
        await RisingEdge(dut.clk)
        assert int(dut.m_valid.value) == 0, "a value from before the reset appeared"
    await run(dut, [(1, 5, -9, 3, 4)], 0.0)
