# SPDX-License-Identifier: Apache-2.0
"""Bench of ibert_isqrt: the root equals Python's math.isqrt, in the stated number of cycles."""

from __future__ import annotations

import os
import random
from math import isqrt

import cocotb
from cocotb.triggers import FallingEdge

from floreana_tb import clocks

SEED = int(os.environ.get("COCOTB_RANDOM_SEED", "1"))


async def root(dut, num: int) -> int:
    """One root, driven between edges; gives the cycle of `done`, counted from that of `start` (0)."""
    assert dut.busy.value == 0
    dut.start.value, dut.num.value = 1, num
    cycle = 0
    while True:
        await FallingEdge(dut.clk)
        cycle += 1
        # a start while busy is not taken
        dut.start.value, dut.num.value = int(cycle == 1), num ^ 1
        if dut.done.value == 1:
            dut.start.value = 0
            return cycle
        assert dut.busy.value == 1


async def begin(dut) -> None:
    dut.start.value, dut.num.value = 0, 0
    await clocks.start(dut)
    await FallingEdge(dut.clk)


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def roots_and_cycles(dut):
    w = len(dut.num)
    top = (1 << w) - 1
    rng = random.Random(f"isqrt{SEED}")
    await begin(dut)
    numbers = set(range(min(40, top + 1))) | {top, top - 1, 1 << w - 1}
    for _ in range(250):
        r = rng.randrange(1 << w // 2) >> rng.randrange(w // 2)
        numbers |= {r * r, max(0, r * r - 1), min(top, r * r + 2 * r), rng.randrange(top + 1)}
    checked = 0
    for num in sorted(numbers):
        cycles = await root(dut, num)
        assert int(dut.root.value) == isqrt(num), num
        assert cycles == -(-w // 4) + 1, cycles
        checked += 1
    print(f"ibert_isqrt: checked {checked} equal {checked}", flush=True)
    await FallingEdge(dut.clk)
    assert dut.done.value == 0
    assert int(dut.root.value) == isqrt(num), "the answer holds until the next start"


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def reset_drops_the_root(dut):
    w = len(dut.num)
    await begin(dut)
    for cycles in range(1, -(-w // 4) + 1):
        dut.start.value, dut.num.value = 1, (1 << w) - 1
        for _ in range(cycles):
            await FallingEdge(dut.clk)
            dut.start.value = 0
        dut.rst.value = 1
        await FallingEdge(dut.clk)
        dut.rst.value = 0
        for _ in range(w + 4):
            assert dut.done.value == 0 and dut.busy.value == 0
            await FallingEdge(dut.clk)
        await root(dut, cycles)
        assert int(dut.root.value) == isqrt(cycles)
