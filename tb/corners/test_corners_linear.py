# SPDX-License-Identifier: Apache-2.0
"""Corners of the kernel ibert_linear's accumulators, one test each: every output is known beforehand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cocotb
import numpy as np
from corners.corner_cases import HIGH32, LOW32
from ibert_linear.linear_bench import GELU, PARTIAL, SHAPE, Bench, random_context

from floreana.ibert.params import LinearParams


async def run(dut: Any, rows: list[tuple[LinearParams, int, list[int]]]) -> None:
    """Each row: weights, the value of all inputs, the outputs."""
    bench = Bench(dut)
    contexts = []
    for number, (weights, _, _) in enumerate(rows):
        context = random_context(bench.rng, number, PARTIAL, weights.weight.shape[1] // 64, 16)
        context.linear = weights
        contexts.append(context)
    await bench.start(contexts)
    for context, (_, fill, want) in zip(contexts, rows, strict=True):
        x = np.full(context.in_beats * 64, fill)
        assert np.frombuffer(context.out_row(x), "<i4").tolist() == want
        for header, payload in bench.slices(context, 0, 0, x):
            bench.source.send(header, payload)
    await bench.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def accumulators_at_their_bound(dut: Any) -> None:
    k = 192
    high = LinearParams(np.full((16, k), -128), np.full(16, HIGH32 - (k << 14)))
    low = LinearParams(np.full((16, k), 127), np.full(16, LOW32 + k * 127 * 128))
    await run(dut, [(high, -128, [HIGH32] * 16), (low, -128, [LOW32] * 16)])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def linear_most_negative_inputs(dut: Any) -> None:
    k = 128
    weight = np.zeros((16, k), np.int64)
    weight[0::3], weight[1::3] = -128, 127
    bias = np.where(np.arange(16) % 3 == 1, 0, LOW32)
    want = [(LOW32 + (k << 14), -k * 127 * 128, LOW32)[i % 3] for i in range(16)]
    await run(dut, [(LinearParams(weight, bias), -128, want)])


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def linear_longest_sequence(dut: Any) -> None:
    """As many rows as a slot holds, the flagged last one first, the others in random order; partial sums and GELU."""
    bench = Bench(dut)
    contexts = [random_context(bench.rng, 0, PARTIAL, 1, 16), random_context(bench.rng, 1, GELU, 1, 64)]
    await bench.start(contexts)
    rows = 1 << SHAPE.ROW_W
    for row in [rows - 1, *bench.rng.sample(range(rows - 1), rows - 1)]:
        for context in contexts:
            for header, payload in bench.slices(context, row, 0):
                bench.source.send(replace(header, last=row == rows - 1), payload)
    await bench.finish()
    first = [next(header for header, _ in bench.sink.received if header.edge == context.number) for context in contexts]
    assert [(header.row, header.last) for header in first] == [(rows - 1, True)] * 2
    assert len(bench.sink.received) == 2 * rows and sum(header.last for header, _ in bench.sink.received) == 2
