# SPDX-License-Identifier: Apache-2.0
"""Bench of the exponential lane: every constant range of docs/integer-semantics.md, against exact Python integers."""

from __future__ import annotations

import random
from collections import deque
from fractions import Fraction
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from floreana_tb import clocks

LATENCY = 14


Constants = tuple[int, int, int, int, int]


def reference(s: int, top: int, constants: Constants) -> int:
    """ea of one score. Python's round of a Fraction is half to even."""
    x0, b, c, m, e = constants
    x = max(s - top, 30 * x0)
    q = x // x0
    r = x - q * x0
    z = max(r * (r + b) + c, 0)
    return max(-32768, min(32767, round(Fraction(z * m, 1 << (e - 30 + q)))))


def constants(rng: random.Random) -> Constants:
    """x0, b, c, m, e: bounds, real shapes, anything."""
    if rng.random() < 0.5:
        scale = 10 ** -rng.uniform(1.0, 4.9)
        x0, b, c = -max(1, int(0.6931 / scale)), int(2.7073 / scale), int(2.792 / scale**2)
        if -x0 < 1 << 16 and b < 1 << 19 and c < 1 << 31:
            m = rng.randint(1 << 30, (1 << 31) - 1)
            e = 30 + max(0, min(50, (c * m).bit_length() - 15 + rng.randint(-2, 3)))
            return x0, b, c, m, e
    return (
        -rng.choice([1, 2, 3, 65535, 32768, rng.randint(1, 65535)]),
        rng.choice([-(1 << 19), (1 << 19) - 1, 0, rng.randint(-(1 << 19), (1 << 19) - 1)]),
        rng.choice([-(1 << 31), (1 << 31) - 1, 0, rng.randint(-(1 << 31), (1 << 31) - 1)]),
        rng.choice([0, 1, (1 << 31) - 1, rng.randint(0, (1 << 31) - 1)]),
        rng.choice([30, 80, rng.randint(30, 80)]),
    )


async def run(dut: Any, rng: random.Random, sets: int, each: int, gap: float) -> None:
    for name in ("s_valid", "s_score", "s_max", "x0n", "lim", "b", "c", "m", "e"):
        getattr(dut, name).value = 0
    await clocks.start(dut)
    expected: deque[tuple[int, int]] = deque()
    checked = 0
    cycle = 0

    def sample() -> None:
        nonlocal checked
        if int(dut.m_valid.value):
            when, value = expected.popleft()
            assert when == cycle, f"answer in cycle {cycle}, expected in {when}"
            got = dut.m_ea.value.to_signed()
            assert got == value, f"answer {checked}: {got}, expected {value}"
            checked += 1

    async def step() -> None:
        nonlocal cycle
        await RisingEdge(dut.clk)
        cycle += 1
        sample()

    for _ in range(sets):
        chosen = constants(rng)
        x0, b, c, m, e = chosen
        dut.x0n.value, dut.lim.value, dut.b.value, dut.c.value, dut.m.value, dut.e.value = -x0, -30 * x0, b, c, m, e
        top = rng.choice([(1 << 31) - 1, 0, rng.randint(-(1 << 20), 1 << 20)])
        for _ in range(each):
            while rng.random() < gap:
                dut.s_valid.value = 0
                await step()
            kind = rng.randrange(4)
            below = (
                rng.randint(0, -32 * x0) if kind == 0
                else -x0 * rng.randint(0, 31) + rng.choice([-1, 0, 1]) if kind == 1
                else rng.choice([0, -30 * x0, (1 << 32) - 1]) if kind == 2
                else rng.randint(0, 1 << 21)
            )  # fmt: skip
            s = max(top - max(below, 0), -(1 << 31))
            dut.s_valid.value, dut.s_score.value, dut.s_max.value = 1, s, top
            # driven after this edge, taken by the next: visible LATENCY edges later
            expected.append((cycle + 1 + LATENCY, reference(s, top, chosen)))
            await step()
        dut.s_valid.value = 0
        for _ in range(LATENCY + 1):
            await step()
        assert not expected
    print(f"ibert_exp: checked {checked} equal {checked}", flush=True)
    assert checked == sets * each


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def full_rate(dut: Any) -> None:
    await run(dut, random.Random(cocotb.RANDOM_SEED), 120, 40, 0.0)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def gaps(dut: Any) -> None:
    await run(dut, random.Random(cocotb.RANDOM_SEED + 1), 60, 30, 0.5)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def reset_in_flight(dut: Any) -> None:
    """What was in flight at a reset never comes out."""
    dut.x0n.value, dut.lim.value, dut.b.value, dut.c.value, dut.m.value, dut.e.value = 9, 270, 3, 5, 7, 31
    dut.s_score.value, dut.s_max.value, dut.s_valid.value = 0, 0, 0
    await clocks.start(dut)
    dut.s_valid.value = 1
    await ClockCycles(dut.clk, 10)
    dut.s_valid.value = 0
    await clocks.reset(dut, 1)
    for _ in range(2 * LATENCY):
        await RisingEdge(dut.clk)
        assert not int(dut.m_valid.value)
