# SPDX-License-Identifier: Apache-2.0
"""Latencies and rates of the parts of ibert_add_norm, as their headers state them, measured inside the kernel."""

from __future__ import annotations

import os
from typing import Any

import cocotb
import numpy as np
from ibert_add_norm.norm_bench import Bench, channels, make_context

from floreana.cluster import layout
from floreana_tb.trace import Trace

ENTRY, PARTS = 10, 11


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def stages(dut: Any) -> None:
    bench = Bench(dut, None, cocotb.RANDOM_SEED)
    await bench.start()
    hidden, lanes = bench.shape.hidden, bench.shape.lanes
    contexts = [
        make_context(bench.shape, 0, [], mode=layout.NORM_ENTRY, region=2, msg=0, edge=100),
        make_context(bench.shape, 1, channels(bench.rng, hidden), msg=4, edge=101),
    ]
    await bench.configure(contexts, {ENTRY: (0, 0), PARTS: (1, 1)})
    trace = Trace(
        dut.clk, beat=dut.s_axis_tvalid, acc_write=dut.u_rx.acc_wr_en, res_write=dut.u_rx.res_wr_en, start=dut.u_sum.start,
        done=dut.u_sum.done, sum_in=dut.u_sum.g_lane[0].u_lane.s_valid, sum_out=dut.u_sum.g_lane[0].u_lane.m_valid,
        norm_start=dut.u_norm.start, idle=dut.u_norm.idle, scale=dut.u_norm.g_lane[0].u_lane.en_r2,
        square=dut.u_norm.g_square[0].g_lane.u_lane.en_r2, out=dut.u_norm.rq_done, first=dut.m_axis_tvalid,
    )  # fmt: skip
    words = hidden // lanes
    for row in bench.our_rows()[:2]:
        trace.clear()
        bench.send(bench.row_messages(ENTRY, row, np.arange(hidden) % 100 - row))
        await bench.drain()
        trace.demand("res_write", [cycle + 5 for cycle in trace["beat"]])
        trace.clear()
        bench.send(bench.part_messages(PARTS, row, [bench.rng.randrange(-(1 << 20), 1 << 20) for _ in range(hidden)]))
        await bench.drain()
        # receiving side: a beat a cycle, stored five cycles later
        assert trace["beat"] == list(range(trace["beat"][0], trace["beat"][0] + hidden // 16))
        trace.demand("acc_write", [cycle + 5 for cycle in trace["beat"]])
        # first pass: LANES channels a cycle, the lane takes 4 cycles
        (start,), (done,) = trace["start"], trace["done"]
        assert trace["sum_in"] == list(range(trace["sum_in"][0], trace["sum_in"][0] + words))
        trace.demand("sum_out", [cycle + 4 for cycle in trace["sum_in"]])
        sum_w = 24 + (64 * int(os.environ.get("ROW_BEATS", "12")) - 1).bit_length()
        assert done - start <= words + (sum_w + 1) // 2 + 13
        # second and third pass: 2*LANES and LANES channels a cycle, a result eight cycles after its y (seven after stage r2)
        (norm,) = trace["norm_start"]
        for name, count in (("square", words // 2), ("scale", words)):
            assert trace[name] == list(range(trace[name][0], trace[name][0] + count)), name
        trace.demand("out", [cycle + 7 for cycle in trace["scale"]])
        again = next(cycle for cycle in trace["idle"] if cycle > norm)
        assert again - norm <= 3 * words // 2 + 57
        assert trace["first"][0] - trace["beat"][-1] <= 3 * words + 120
    bench.finish(4)
