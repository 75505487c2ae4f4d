# SPDX-License-Identifier: Apache-2.0
"""Bench of ibert_div: quotient and remainder equal Python's divmod, in the stated number of cycles."""

from __future__ import annotations

import os
import random

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge

from floreana_tb import clocks

SEED = int(os.environ.get("COCOTB_RANDOM_SEED", "1"))


def operands(rng: random.Random, num_w: int, den_w: int, count: int):
    num_top, den_top = (1 << num_w) - 1, (1 << den_w) - 1
    for num in {0, 1 & num_top, num_top, num_top >> 1, (num_top >> 1) + 1 & num_top}:
        for den in {0, 1, den_top, den_top >> 1, (den_top >> 1) + 1}:
            yield num, den
    for _ in range(count):
        num, den = rng.randrange(num_top + 1) >> rng.randrange(num_w), rng.randrange(den_top + 1) >> rng.randrange(den_w)
        if rng.random() < 0.3:  # exact multiples, and one less
            num = min(num_top, max(0, den * rng.randrange(1 << max(1, num_w - den.bit_length())) - rng.randrange(2)))
        yield num, den


def answer(num: int, den: int, num_w: int, den_w: int) -> tuple[int, int]:
    return divmod(num, den) if den else ((1 << num_w) - 1, num & ((1 << den_w) - 1))


async def divide(dut, num: int, den: int, wait: int) -> int:
    """One division, driven between edges; gives the cycle of `done`, counted from that of `start` (0)."""
    for _ in range(wait):
        await FallingEdge(dut.clk)
    assert dut.busy.value == 0
    dut.start.value, dut.num.value, dut.den.value = 1, num, den
    cycle = 0
    while True:
        await FallingEdge(dut.clk)
        cycle += 1
        # a start while busy is not taken
        dut.start.value = int(cycle == 1)
        dut.num.value, dut.den.value = num ^ 1, den ^ 1
        if dut.done.value == 1:
            dut.start.value = 0
            return cycle
        assert dut.busy.value == 1


async def begin(dut) -> None:
    dut.start.value, dut.num.value, dut.den.value = 0, 0, 0
    await clocks.start(dut)
    await FallingEdge(dut.clk)


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def quotients_and_cycles(dut):
    num_w, den_w = len(dut.num), len(dut.den)
    rng = random.Random(f"div{SEED}")
    await begin(dut)
    checked = 0
    for num, den in operands(rng, num_w, den_w, 600):
        cycles = await divide(dut, num, den, rng.choice((0, 0, 1, 3)))
        got = int(dut.quo.value), int(dut.rem.value)
        assert got == answer(num, den, num_w, den_w), (num, den, got)
        assert cycles == (num_w + 1) // 2 + 1, cycles
        assert dut.busy.value == 0
        checked += 1
    print(f"ibert_div: checked {checked} equal {checked}", flush=True)
    await FallingEdge(dut.clk)
    assert dut.done.value == 0
    assert (int(dut.quo.value), int(dut.rem.value)) == got, "the answer holds until the next start"


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def reset_drops_the_division(dut):
    num_w, den_w = len(dut.num), len(dut.den)
    await begin(dut)
    num, den = (1 << num_w) - 1, min(3, (1 << den_w) - 1)
    for cycles in range(1, (num_w + 1) // 2 + 1):
        dut.start.value, dut.num.value, dut.den.value = 1, num, den
        for _ in range(cycles):
            await FallingEdge(dut.clk)
            dut.start.value = 0
        dut.rst.value = 1
        await FallingEdge(dut.clk)
        dut.rst.value = 0
        for _ in range(num_w + 4):
            assert dut.done.value == 0 and dut.busy.value == 0
            await FallingEdge(dut.clk)
        await divide(dut, num - cycles, den, 0)
        assert (int(dut.quo.value), int(dut.rem.value)) == answer(num - cycles, den, num_w, den_w)
    await RisingEdge(dut.clk)
