# SPDX-License-Identifier: Apache-2.0
"""Latencies and rates of the parts of ibert_linear, as their headers state them, measured inside the kernel."""

from __future__ import annotations

import itertools
from typing import Any

import cocotb
from ibert_linear.linear_bench import GELU, PARTIAL, SHAPE, Bench, Context, random_context

from floreana_tb.trace import Trace


async def one_row(bench: Bench, trace: Trace, context: Context, row: int) -> None:
    trace.clear()
    bench.send_rows([(context, row, 0)], whole=True)
    await bench.drain()
    # input: four cycles to the store write and, for the completing beat, to the row
    trace.demand("store", [cycle + 4 for cycle in trace["beat"]])
    trace.demand("row", [trace["beat"][-1] + 4])
    # queue 2, sequencer 4; then a word a cycle
    assert trace["queued"][0] == trace["row"][0] + 2
    first = trace["queued"][0] + 4
    trace.demand("word", list(range(first, first + context.words)))
    # array: five cycles from the last word of a group
    steps = context.words // context.groups
    trace.demand("group", [first + steps * (g + 1) - 1 + 5 for g in range(context.groups)])


def watch(dut: Any) -> Trace:
    return Trace(
        dut.clk, beat=dut.s_axis_tvalid, store=dut.u_in.store_we, row=dut.u_in.row_valid, queued=dut.u_queue.m_valid,
        word=dut.u_seq.word_valid, group=dut.u_array.grp_valid, sum_unit=dut.u_acc_sum.m_valid, sum_ready=dut.u_acc_sum.m_ready,
        unit=dut.u_acc_int8.m_valid, unit_ready=dut.u_acc_int8.m_ready, push=dut.u_post.u_beats.s_axis_tvalid,
        int8_beat=dut.u_post.m_valid, out=dut.m_axis_tvalid,
    )  # fmt: skip


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def stages_of_partial_sums(dut: Any) -> None:
    """One group, and as many as come while the first is sent: a unit of 16 a cycle from each."""
    bench = Bench(dut)
    contexts = [random_context(bench.rng, 0, PARTIAL, 2, 16), random_context(bench.rng, 1, PARTIAL, 1, 4 * SHAPE.OUT_N)]
    await bench.start(contexts)
    trace = watch(dut)
    for context in contexts:
        await one_row(bench, trace, context, 1)
        # accumulator FIFO: two cycles, then a unit a cycle; two more cycles to the output
        assert trace["sum_unit"][0] == trace["group"][0] + 2
        units = trace.both("sum_unit", "sum_ready")
        of_group = SHAPE.OUT_N // 16
        want = [trace["group"][i // of_group] + 2 + i % of_group for i in range(context.outs // 16)]
        if context.groups == 1 or trace["group"][1] - trace["group"][0] >= of_group:
            assert units == want, (units, want)
        trace.demand("out", [cycle + 2 for cycle in units])
        assert trace["out"][0] - trace["beat"][-1] == 18 + context.words // context.groups
    await bench.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def stages_of_int8_rows(dut: Any) -> None:
    bench = Bench(dut)
    contexts = [random_context(bench.rng, 2, GELU, 2, 64), random_context(bench.rng, 3, GELU, 1, 128)]
    await bench.start(contexts)
    trace = watch(dut)
    for context in contexts:
        await one_row(bench, trace, context, 2)
        assert trace["unit"][0] == trace["group"][0] + 2
        # output stage: 12 cycles from the last unit of a beat to the beat's place in the FIFO, 2 through it, 2 to the output
        taken = trace.both("unit", "unit_ready")
        assert len(taken) == context.outs // 16
        written = [cycle + 12 for cycle in taken[3::4]]
        trace.demand("push", [cycle - 1 for cycle in written])
        trace.demand("int8_beat", [cycle + 1 for cycle in written])
        trace.demand("out", [cycle + 2 for cycle in trace["int8_beat"]])
    # a unit of 16 takes 16/POST_LANES cycles, and no more where the array is faster
    if (contexts[1].words // contexts[1].groups) * 16 <= SHAPE.OUT_N * 16 // SHAPE.POST_LANES:
        assert [b - a for a, b in itertools.pairwise(taken)] == [16 // SHAPE.POST_LANES] * (len(taken) - 1), taken
    await bench.finish()
