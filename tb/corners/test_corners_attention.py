# SPDX-License-Identifier: Apache-2.0
"""Corners of the attention kernel, one test each. Where the context is known by hand it is demanded besides the model's bits."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import Any

import cocotb
import numpy as np
from corners import corner_cases as cases
from corners.corner_cases import Attention
from ibert_attention import attention_env as env
from ibert_attention.attention_env import ROWS, Context, Env, Rows, make_tables, random_sequence

from floreana_tb import stalls

CONTEXT = Context(0, 0, 1, cases.POWER, 0, 0)


async def start(dut: Any, rq: tuple[int, int, int] | None = None, pattern: stalls.Pattern | None = None, context: Context = CONTEXT) -> Env:
    tables = make_tables([context], cocotb.RANDOM_SEED)
    if rq is not None:
        tables.requant = cases.same_requant(len(tables.requant.m), *rq)
    bench = Env(dut, tables, pattern)
    await bench.start()
    return bench


async def run(dut: Any, case: Attention) -> None:
    """One head of which the context is known."""
    assert env.HEAD_DIM == 64
    rng = random.Random(cocotb.RANDOM_SEED)
    context = replace(CONTEXT, softmax=case.softmax)
    bench = await start(dut, case.rq, context=context)
    await bench.send(Rows(context, 0, 3, case.q, case.k, case.v).messages(rng))
    await bench.finish(len(case.q))
    got = {header.row: np.frombuffer(payload, np.int8).tolist() for header, payload in bench.sink.received}
    assert got == dict(enumerate(case.want.tolist()))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def one_token(dut: Any) -> None:
    await run(dut, cases.one_token())


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def dominant_score_saturates_at_255(dut: Any) -> None:
    await run(dut, cases.dominant_score())


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(n=[3, 8, 9])
async def all_scores_equal(dut: Any, n: int) -> None:
    await run(dut, cases.all_scores_equal(n))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def attention_most_negative_inputs(dut: Any) -> None:
    await run(dut, cases.most_negative_attention())


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def deferred_one_token(dut: Any) -> None:
    await run(dut, cases.deferred_one_token())


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(n=[3, 8, 9])
async def deferred_mean(dut: Any, n: int) -> None:
    await run(dut, cases.deferred_mean(n))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def deferred_floor(dut: Any) -> None:
    await run(dut, cases.deferred_floor())


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def deferred_sum_of_zero(dut: Any) -> None:
    await run(dut, cases.deferred_sum_of_zero())


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def deferred_most_negative(dut: Any) -> None:
    await run(dut, cases.deferred_most_negative())


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def longest_sequence(dut: Any) -> None:
    """As many rows as the build holds, then a short sequence in the same bank."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = await start(dut)
    for n in (ROWS, 2):
        before = bench.outputs()
        await bench.send(random_sequence(CONTEXT, 0, n, rng).messages(rng))
        await bench.sink.wait(before + n)
    await bench.finish(ROWS + 2)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def rows_in_every_order(dut: Any) -> None:
    """Four rows: the flagged last one first, in each of the three roles or in all, and every order of the others."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = await start(dut, pattern=stalls.random(cocotb.RANDOM_SEED))
    sequences = 0
    for order in itertools.permutations(range(3)):
        for roles in ((0,), (1,), (2,), (0, 1, 2)):
            messages = random_sequence(CONTEXT, 0, 4, rng).messages(rng, last_roles=roles)
            place = {3: 0, **{row: 1 + at for at, row in enumerate(order)}}
            # of the last row the flagged message comes first of all
            messages.sort(key=lambda m: (place[m[0].row], not m[0].last))
            await bench.send(messages)
            sequences += 1
            await bench.sink.wait(4 * sequences)
    await bench.finish(4 * sequences)
    assert sequences == 24


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def three_encoders_in_two_banks(dut: Any) -> None:
    """Encoders in banks 0, 1, 0 of one slot under random stalls: K, V and Q of the next one come among the last Q of the one before."""
    rng = random.Random(cocotb.RANDOM_SEED)
    encoders = [Context(i, i % 2, 1, cases.POWER, i, 8 * i) for i in range(3)]
    bench = Env(dut, make_tables(encoders, cocotb.RANDOM_SEED), stalls.random(cocotb.RANDOM_SEED))
    await bench.start()
    n = 12
    late: list[Any] = []  # the Q rows that an encoder still lacks when the next one begins
    for number, ctx in enumerate(encoders):
        messages = random_sequence(ctx, 0, n, rng).messages(rng)
        rng.shuffle(messages)
        queries = [message for message in messages if message[0].edge == ctx.edge(0)]
        queries.sort(key=lambda m: m[0].row)  # rows are served in order
        now = [message for message in messages if message not in queries[n // 2 :]]
        both = late + now
        rng.shuffle(both)
        await bench.send(both)
        late = queries[n // 2 :]
        # a bank is free for the encoder after the next when all of its rows are out
        await bench.sink.wait(n * number + n // 2)
    await bench.send(late)
    await bench.finish(3 * n)
    bench.sink.demand_stalls()
    assert bench.model.served == {(0, 0): 2, (0, 1): 1}
