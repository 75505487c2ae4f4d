# SPDX-License-Identifier: Apache-2.0
"""Bench of ibert_requant: every value equals the exact rational rounded half to even, and floreana.ibert.ops; 4 cycles later."""

from __future__ import annotations

import os
import random
from collections import deque
from fractions import Fraction

import cocotb
from cocotb.triggers import FallingEdge

from floreana.ibert import ops
from floreana_tb import clocks

SEED = int(os.environ.get("COCOTB_RANDOM_SEED", "1"))


def signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> bits - 1 else value


def exact(x: int, m: int, e: int, off: int, out_w: int) -> int:
    value = round(Fraction(x * m, 1 << e)) + off
    return max(-(1 << out_w - 1), min((1 << out_w - 1) - 1, value))


def operands(rng: random.Random, in_w: int, out_w: int, count: int):
    least, most = -(1 << in_w - 1), (1 << in_w - 1) - 1
    bounds_m = (-(1 << 31), (1 << 31) - 1, -1, 0, 1)
    shifts = sorted({0, 1, 2, in_w - 1, in_w + 29, in_w + 30, in_w + 31, in_w + 32, 63, 64, 80, 127})
    for x in (least, most, -1, 0, 1):
        for m in bounds_m:
            for e in shifts:
                yield x, m, e, rng.choice((0, -256, 255))
    for i in range(count):
        e = rng.choice((rng.randrange(81), rng.randrange(0, in_w + 32)))
        x = signed(rng.randrange(1 << in_w) >> rng.randrange(in_w), in_w) * rng.choice((-1, 1))
        x = max(least, min(most, x))
        m = rng.randrange(-(1 << 31), 1 << 31) >> rng.randrange(31)
        off = rng.choice((0, 0, rng.randrange(-256, 256)))
        if i % 4 == 0:  # ties of both signs, odd and even
            e = rng.randrange(1, 20)
            m = 1 << min(e - 1, 30)
            x = max(least, min(most, rng.randrange(-300, 300) | 1))
        elif i % 4 == 1:  # answers near the bounds of the output
            m, e, off = 1 << 20, 20 + rng.randrange(2), 0
            x = max(least, min(most, rng.choice((-1, 1)) * ((1 << out_w - 1) + rng.randrange(-3, 4))))
        yield x, m, e, off


@cocotb.test(timeout_time=100, timeout_unit="ms")
@cocotb.parametrize(gaps=[False, True])
async def values_and_latency(dut, gaps):
    """A value a cycle, or with gaps; each answer 4 cycles after its operands."""
    in_w, out_w = len(dut.s_x), len(dut.m_y)
    rng = random.Random(f"requant{SEED}{gaps}")
    dut.s_valid.value, dut.s_x.value, dut.s_m.value, dut.s_e.value, dut.s_off.value = 0, 0, 0, 0, 0
    await clocks.start(dut)
    await FallingEdge(dut.clk)
    pending: deque[tuple[int, tuple[int, int, int, int]]] = deque()
    source = operands(rng, in_w, out_w, 3000)
    cycle, checked, more = 0, 0, True
    while more or pending:
        if dut.m_valid.value == 1:
            due, (x, m, e, off) = pending.popleft()
            got = signed(int(dut.m_y.value), out_w)
            want = exact(x, m, e, off, out_w)
            assert got == want, (x, m, e, off, got, want)
            assert due == cycle, "latency"
            if e <= ops.E_MAX and checked % 16 == 0 and out_w <= 32:
                assert ops.requant([x], [m], [e], [off], ops.signed(out_w)).tolist() == [want]
            checked += 1
        else:
            assert not pending or pending[0][0] > cycle, "an answer did not come"
        dut.s_valid.value = 0
        if more and not (gaps and rng.random() < 0.5):
            values = next(source, None)
            more = values is not None
            if values is not None:
                x, m, e, off = values
                dut.s_valid.value, dut.s_e.value = 1, e
                dut.s_x.value, dut.s_m.value, dut.s_off.value = x, m, off
                pending.append((cycle + 4, values))
        await FallingEdge(dut.clk)
        cycle += 1
    assert checked >= 3000
    print(f"ibert_requant: checked {checked} equal {checked}", flush=True)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def reset_drops_what_is_under_way(dut):
    dut.s_valid.value, dut.s_x.value, dut.s_m.value, dut.s_e.value, dut.s_off.value = 0, 0, 0, 0, 0
    await clocks.start(dut)
    await FallingEdge(dut.clk)
    dut.s_valid.value, dut.s_x.value, dut.s_m.value = 1, 1, 1
    for _ in range(6):
        await FallingEdge(dut.clk)
    assert dut.m_valid.value == 1
    dut.s_valid.value, dut.rst.value = 0, 1
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    for _ in range(8):
        assert dut.m_valid.value == 0
        await FallingEdge(dut.clk)
