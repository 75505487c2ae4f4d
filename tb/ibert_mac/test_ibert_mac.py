# SPDX-License-Identifier: Apache-2.0
"""ibert_mac against floreana.ibert.ops.linear: groups of any length, gaps between words, ends of int32."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge

from floreana.ibert import ops
from floreana.ibert.params import LinearParams
from floreana_tb import clocks


async def run(dut: Any, groups: list[tuple[np.ndarray, np.ndarray, int]], gaps: float) -> None:
    """Each group is x (words, lanes), w (words, lanes), bias."""
    rng = random.Random(cocotb.RANDOM_SEED)
    lanes = len(dut.x) // 8
    for name in ("en_p1", "en_p2", "en_p3", "en_p4", "first_p4", "x", "w", "bias"):
        getattr(dut, name).value = 0
    clocks.start_clock(dut)
    await ClockCycles(dut.clk, 2)
    words: list[tuple[bytes, bytes, bool, bool, int] | None] = []
    want = []
    for x, w, bias in groups:
        steps = x.shape[0]
        for i in range(steps):
            while rng.random() < gaps:
                words.append(None)
            words.append((x[i].astype("i1").tobytes(), w[i].astype("i1").tobytes(), i == 0, i == steps - 1, bias))
        row, weight = x.reshape(1, steps * lanes), w.reshape(1, steps * lanes)
        want.append(int(ops.linear(row, LinearParams(weight, np.array([bias])))[0, 0]))
    words += [None] * 6
    pipe: list[Any] = [None] * 5
    got = []
    for word in words:
        pipe = [word, *pipe[:4]]
        for stage in range(4):
            getattr(dut, f"en_p{stage + 1}").value = int(pipe[stage] is not None)
        if pipe[0] is not None:
            dut.x.value = int.from_bytes(pipe[0][0], "little")
            dut.w.value = int.from_bytes(pipe[0][1], "little")
        dut.first_p4.value = int(pipe[3] is not None and pipe[3][2])
        dut.bias.value = (pipe[3][4] if pipe[3] is not None and pipe[3][2] else rng.getrandbits(32)) & 0xFFFFFFFF
        await RisingEdge(dut.clk)
        # the sum of the word whose last stage was the cycle before stands now
        if pipe[4] is not None and pipe[4][3]:
            got.append(dut.acc.value.to_signed())
    assert got == want
    print(f"ibert_mac: checked {len(got)} equal {len(want)}")


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(gaps=[0.0, 0.5])
async def random_groups(dut: Any, gaps: float) -> None:
    rng = np.random.default_rng(cocotb.RANDOM_SEED & 0xFFFFFFFF)
    lanes = len(dut.x) // 8
    groups = []
    for _ in range(100):
        shape = (int(rng.integers(1, 6)), lanes)
        groups.append((rng.integers(-128, 128, shape), rng.integers(-128, 128, shape), int(rng.integers(-(1 << 30), 1 << 30))))
    await run(dut, groups, gaps)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def extremes(dut: Any) -> None:
    lanes = len(dut.x) // 8
    groups = []
    for steps in (1, 3, 127 * 64 // lanes):
        k = steps * lanes
        for x, w in ((-128, -128), (-128, 127), (127, 127), (0, -128)):
            full = np.full((steps, lanes), x), np.full((steps, lanes), w)
            total = k * x * w
            bias = (1 << 31) - 1 - total if total >= 0 else -(1 << 31) - total  # the sum ends exactly at the end of int32
            groups.append((*full, min(max(bias, -(1 << 31)), (1 << 31) - 1)))
    await run(dut, groups, 0.0)
