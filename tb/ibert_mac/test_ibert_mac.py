# SPDX-License-Identifier: Apache-2.0
"""ibert_mac and both forms of ibert_mac_pair against floreana.ibert.ops.linear: groups of any length, gaps, ends of int32."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge

from floreana.ibert import ops
from floreana.ibert.params import LinearParams
from floreana_tb import clocks


def outputs_of(dut: Any) -> int:
    return 2 if hasattr(dut, "w0") else 1


async def run(dut: Any, groups: list[tuple[np.ndarray, np.ndarray, list[int]]], gaps: float) -> None:
    """Each group is x (words, lanes), w (outputs, words, lanes), a bias for each output."""
    rng = random.Random(cocotb.RANDOM_SEED)
    lanes = len(dut.x) // 8
    outputs = [""] if outputs_of(dut) == 1 else ["0", "1"]
    for name in ("en_p1", "en_p2", "en_p3", "en_p4", "first_p4", "x", *(f"{name}{j}" for name in ("w", "bias") for j in outputs)):
        getattr(dut, name).value = 0
    clocks.start_clock(dut)
    await ClockCycles(dut.clk, 2)
    words: list[tuple[bytes, list[bytes], bool, bool, list[int]] | None] = []
    want = []
    for x, w, bias in groups:
        steps = x.shape[0]
        for i in range(steps):
            while rng.random() < gaps:
                words.append(None)
            words.append((x[i].astype("i1").tobytes(), [one[i].astype("i1").tobytes() for one in w], i == 0, i == steps - 1, bias))
        row, weight = x.reshape(1, steps * lanes), w.reshape(len(outputs), steps * lanes)
        want.append(ops.linear(row, LinearParams(weight, np.array(bias)))[0].tolist())
    words += [None] * 6
    pipe: list[Any] = [None] * 5
    got = []
    for word in words:
        pipe = [word, *pipe[:4]]
        for stage in range(4):
            getattr(dut, f"en_p{stage + 1}").value = int(pipe[stage] is not None)
        if pipe[0] is not None:
            dut.x.value = int.from_bytes(pipe[0][0], "little")
        dut.first_p4.value = int(pipe[3] is not None and pipe[3][2])
        for number, j in enumerate(outputs):
            if pipe[0] is not None:
                getattr(dut, f"w{j}").value = int.from_bytes(pipe[0][1][number], "little")
            bias = pipe[3][4][number] if pipe[3] is not None and pipe[3][2] else rng.getrandbits(32)
            getattr(dut, f"bias{j}").value = bias & 0xFFFFFFFF
        await RisingEdge(dut.clk)
        # the sum of the word whose last stage was the cycle before stands now
        if pipe[4] is not None and pipe[4][3]:
            got.append([getattr(dut, f"acc{j}").value.to_signed() for j in outputs])
    assert got == want
    print(f"ibert_mac: checked {len(got) * len(outputs)} equal {len(want) * len(outputs)}")


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(gaps=[0.0, 0.5])
async def random_groups(dut: Any, gaps: float) -> None:
    rng = np.random.default_rng(cocotb.RANDOM_SEED & 0xFFFFFFFF)
    lanes = len(dut.x) // 8
    groups = []
    n = outputs_of(dut)
    for _ in range(100):
        shape = (int(rng.integers(1, 6)), lanes)
        bias = rng.integers(-(1 << 30), 1 << 30, n).tolist()
        groups.append((rng.integers(-128, 128, shape), rng.integers(-128, 128, (n, *shape)), bias))
    await run(dut, groups, gaps)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def extremes(dut: Any) -> None:
    lanes = len(dut.x) // 8
    groups = []
    n = outputs_of(dut)
    for steps in (1, 3, 127 * 64 // lanes):
        k = steps * lanes
        # of a pair, the outputs' weights differ in sign, or do not: the upper product is corrected by the lower one's sign
        for x, w in ((-128, (-128, 127)), (-128, (127, -128)), (127, (127, 127)), (0, (-128, -128)), (-128, (-128, -128)), (127, (-1, 0))):
            bias = []
            for one in w[:n]:
                total = k * x * one
                # the sum ends exactly at the end of int32
                bias.append(min(max((1 << 31) - 1 - total if total >= 0 else -(1 << 31) - total, -(1 << 31)), (1 << 31) - 1))
            weights = np.broadcast_to(np.array(w[:n]).reshape(n, 1, 1), (n, steps, lanes))
            groups.append((np.full((steps, lanes), x), weights, bias))
    await run(dut, groups, 0.0)
