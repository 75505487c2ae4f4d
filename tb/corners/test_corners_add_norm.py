# SPDX-License-Identifier: Apache-2.0
"""Corners of the kernel ibert_add_norm, one test each. Where the row is known by hand it is demanded besides the model's bits."""

from __future__ import annotations

import itertools
from typing import Any

import cocotb
import numpy as np
from corners import corner_cases as cases
from corners.corner_cases import HIGH32, LOW32, Norm
from ibert_add_norm.norm_bench import Bench, Shape, channels, make_context, same_channels

from floreana.cluster import layout

ENTRY, PARTS = 10, 11
EDGES = {ENTRY: (0, 0), PARTS: (1, 1)}


async def start(dut: Any, parts: int) -> Bench:
    bench = Bench(dut, None, cocotb.RANDOM_SEED)
    await bench.start()
    chan = channels(bench.rng, bench.shape.hidden)
    contexts = [
        make_context(bench.shape, 0, [], mode=layout.NORM_ENTRY, region=2, msg=0, edge=100),
        make_context(bench.shape, 1, chan, parts=parts, msg=4, edge=101),
    ]
    await bench.configure(contexts, EDGES)
    return bench


async def run(dut: Any, rows: list[Norm]) -> None:
    bench = await start(dut, 1)
    context, row = bench.ref.contexts[1], bench.our_rows()[0]
    for case in rows:
        context.channels[:] = same_channels(bench.shape.hidden, **case.constants)
        context.fields["shift"] = case.shift
        bench.write_context(context)
        await bench.cfg.write(layout.MEM_EDGE, 255, 0)
        bench.send(bench.row_messages(ENTRY, row, case.res))
        await bench.drain()
        before = len(bench.sink.received)
        bench.send(bench.part_messages(PARTS, row, case.acc))
        await bench.drain()
        got = b"".join(payload for _, payload in bench.sink.received[before:])
        assert np.frombuffer(got, np.int8).tolist() == case.want.tolist()
    bench.finish(2 * len(rows))


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def zero_variance(dut: Any) -> None:
    await run(dut, cases.zero_variance(Shape().hidden))


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def norm_accumulators_at_their_bound(dut: Any) -> None:
    await run(dut, cases.norm_accumulators_at_their_bound(Shape().hidden))


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def parts_in_every_order(dut: Any) -> None:
    """Four partial sums of two rows, the flagged last row's first, in every order; running sums wrap beyond int32 and come back."""
    bench = await start(dut, 4)
    h = bench.shape.hidden
    first, last = bench.our_rows()[:2]
    wanted: dict[int, bytes] = {}
    parts = {
        row: [np.full(h, v) + np.arange(h) * (i + row) for i, v in enumerate((HIGH32 >> 1, HIGH32 >> 1, LOW32, 7))] for row in (first, last)
    }
    for order in itertools.permutations(range(4)):
        for row in (first, last):
            bench.send(bench.row_messages(ENTRY, row, np.arange(h) % 100 - row, last=row == last))
        await bench.drain()
        before = len(bench.sink.received)
        for i in order:
            for row in (last, first):
                bench.send(bench.part_messages(PARTS, row, parts[row][i], last=row == last))
        await bench.drain()
        for header, payload in bench.sink.received[before:]:
            assert wanted.setdefault(header.row, payload) == payload, f"order {order} gives other bits"
    bench.finish(24 * 4)
    assert len(wanted) == 2 and wanted[first] != wanted[last]


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def norm_longest_sequence(dut: Any) -> None:
    """As many rows as a node can own, all of a sequence where LROW_W = ROW_W, the flagged last one first."""
    bench = await start(dut, 2)
    shape, h = bench.shape, bench.shape.hidden
    rows = 1 << min(shape.row_w, shape.lrow_w)
    for row in range(1 << shape.row_w):
        bench.ref.local_row[row] = row if row < rows else 0xFFFF
        await bench.cfg.write(layout.MEM_LOCAL_ROW, row, bench.ref.local_row[row])
    order = [rows - 1, *bench.rng.sample(range(rows - 1), rows - 1)]
    for row in order:
        bench.send(bench.row_messages(ENTRY, row, np.arange(h) % 100 - row, last=row == rows - 1))
    await bench.drain()
    before = len(bench.sink.received)
    for part in range(2):
        for row in order:
            values = np.array([bench.rng.randrange(-(1 << 20), 1 << 20) for _ in range(h)]) + part
            bench.send(bench.part_messages(PARTS, row, values, last=row == rows - 1))
    await bench.drain()
    bench.finish(2 * rows)
    assert [(header.row, header.last) for header, _ in bench.sink.received[before:]] == [(row, row == rows - 1) for row in order]
