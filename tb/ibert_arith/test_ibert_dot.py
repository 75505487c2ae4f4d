# SPDX-License-Identifier: Apache-2.0
"""ibert_dot: sums of one or two heads, a beat a cycle or with gaps, each 4 cycles after its operands; reset."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge

from floreana_tb import clocks


def beat(rng: random.Random) -> list[int]:
    kind = rng.randrange(4)
    return [(-128, 127, rng.choice((-128, 127)), rng.randint(-128, 127))[kind] for _ in range(64)]


def raw(values: list[int]) -> int:
    return int.from_bytes(bytes(v & 255 for v in values), "little")


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(gaps=[False, True])
async def sums_and_latency(dut: Any, gaps: bool) -> None:
    rng = random.Random(f"{cocotb.RANDOM_SEED}{gaps}")
    heads = len(dut.m_sum) // 32
    part = 64 // heads
    dut.s_valid.value = dut.s_a.value = dut.s_b.value = 0
    await clocks.start(dut)
    await FallingEdge(dut.clk)
    pending: deque[tuple[int, list[int]]] = deque()
    checked = 0
    for cycle in range(400):
        if dut.m_valid.value == 1:
            due, want = pending.popleft()
            value = int(dut.m_sum.value)
            got = [(value >> 32 * h & 0xFFFFFFFF ^ 1 << 31) - (1 << 31) for h in range(heads)]
            assert (cycle, got) == (due, want)
            checked += 1
        else:
            assert not pending or pending[0][0] > cycle, "a sum did not come"
        send = cycle < 390 and not (gaps and rng.random() < 0.5)
        dut.s_valid.value = int(send)
        if send:
            a, b = beat(rng), beat(rng)
            dut.s_a.value, dut.s_b.value = raw(a), raw(b)
            want = [sum(a[i] * b[i] for i in range(part * h, part * (h + 1))) for h in range(heads)]
            pending.append((cycle + 4, want))
        await FallingEdge(dut.clk)
    assert not pending and checked > 100
    print(f"ibert_dot: checked {checked} equal {checked}", flush=True)


@cocotb.test(timeout_time=10, timeout_unit="us")
async def reset_drops_what_is_under_way(dut: Any) -> None:
    dut.s_valid.value = dut.s_a.value = dut.s_b.value = 0
    await clocks.start(dut)
    await FallingEdge(dut.clk)
    dut.s_valid.value = 1
    for _ in range(6):
        await FallingEdge(dut.clk)
    assert dut.m_valid.value == 1
    dut.s_valid.value, dut.rst.value = 0, 1
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    for _ in range(8):
        assert dut.m_valid.value == 0
        await FallingEdge(dut.clk)
