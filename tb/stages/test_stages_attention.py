# SPDX-License-Identifier: Apache-2.0
"""Latencies and rates of the parts of ibert_attention, as their headers state them, measured inside the kernel."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import cocotb
from ibert_attention.attention_env import HEAD_BEATS, LATE, POWER, ROWS, Context, Env, make_tables, random_sequence

from floreana_tb.trace import Trace

CONTEXT = Context(0, 0, HEAD_BEATS, POWER, 0, 0)


def ends(cycles: list[int], n: int) -> list[int]:
    """Last cycle of every job of n cycles; a job has no idle cycle inside."""
    jobs = [cycles[at : at + n] for at in range(0, len(cycles), n)]
    assert all(job == list(range(job[0], job[0] + n)) for job in jobs), cycles
    return [job[-1] for job in jobs]


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(mode=[0, 1])
async def stages(dut: Any, mode: int) -> None:
    """Sequences so long that nothing waits for the division, and a single row."""
    rng = random.Random(cocotb.RANDOM_SEED)
    context = replace(CONTEXT, softmax=LATE) if mode else CONTEXT
    bench = Env(dut, make_tables([context], cocotb.RANDOM_SEED))
    await bench.start()
    trace = Trace(
        dut.clk, beat=dut.s_axis_tvalid, write=dut.u_in.wr_en, message=dut.u_in.c_valid, job=dut.u_rows.job_valid,
        key=dut.u_score.k_rd_en, dot_in=dut.u_score.u_dot.s_valid, dot_out=dut.u_score.u_dot.m_valid, score=dut.u_score.m_valid,
        score_take=dut.u_score.m_take, score_read=dut.u_exp.rd_en, exp=dut.u_exp.m_valid, exp_take=dut.u_exp.m_take,
        ea_read=dut.u_context.ea_rd_en, result=dut.u_context.m_valid, out=dut.m_axis_tvalid,
    )  # fmt: skip
    for n in (1, 20):
        assert n <= ROWS
        messages = random_sequence(context, 0, n, rng).messages(rng, split=False)
        messages.sort(key=lambda m: m[0].edge & 3)  # V last: its last message completes everything
        trace.clear()
        before = len(bench.sink.received)
        await bench.send(messages)
        jobs = n * HEAD_BEATS
        await bench.sink.wait(before + jobs)
        # intake: two cycles from a beat to its store write; a message is reported with its last one
        trace.demand("write", [cycle + 2 for cycle in trace["beat"]])
        assert len(trace["beat"]) == 3 * jobs and len(trace["message"]) == 3 * n
        assert trace["message"][-1] == trace["write"][-1]
        # rows: three cycles from the completing message to the first job
        assert trace["job"][0] == trace["message"][-1] + 3
        # scores: one key a cycle, no idle cycle between jobs; the dot product takes 4 cycles, the maximum stands 6 after the last key
        keys = ends(trace["key"], n)
        assert len(keys) == jobs and trace["key"][0] == trace["message"][-1] + 4
        trace.demand("dot_out", [cycle + 4 for cycle in trace["dot_in"]])
        assert trace["score"][0] == keys[0] + 6
        # exponentials: 15 cycles and the division's 20 from the last score
        scores = ends(trace["score_read"], n)
        assert trace["exp"][0] == scores[0] + 15 + 20
        # context: 6 cycles from the last key to the sums, 22 to the beat, deferred 24; two through the FIFO, one through the skid buffer
        late = 2 * mode
        sums = ends(trace["ea_read"], n)
        trace.demand("result", [cycle + 6 + 22 + late for cycle in sums])
        assert trace["out"][0] == trace["result"][0] + 3
        assert trace["out"][0] - trace["beat"][-1] == 3 * n + 77 + late
        if n == 20:
            assert trace["key"][-1] - trace["key"][0] == jobs * n - 1, "idle cycle between jobs"
            trace.demand("score_take", [cycle + 6 for cycle in keys])
            trace.demand("exp_take", [cycle + 15 + 20 for cycle in scores])
        print(f"stages of {n} rows: checked {jobs} equal {len(sums)}", flush=True)
    await bench.finish(2)
