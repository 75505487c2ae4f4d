# SPDX-License-Identifier: Apache-2.0
"""Recorded heads through the attention kernel, two heads (beats) at a time, twice: with the recorded values, and to see the probabilities.

The kernel knows no padding, so it gets the n keys that count alone; where that is not all of them, it gets all in a further pass.
Queries are served n at a time, as the rows of as many sequences (the last one is filled up with its own queries). For the
probabilities V is the unit matrix and the context's requantisation adds -128: what leaves is the probability less 128. Keys beyond 64
take another pass.

Job: q, k, v (heads, N, 64), counted (n), m, e (heads*64), softmax (x0, b, c, m, e).
Result: context (heads, N, 64), probability (heads, N, n), and unmasked (heads, N, 64), the context of all keys, where n < N.
"""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
from vectors_job import Kernel, edge_entry, message, read_job, write_result

from floreana.cluster import layout
from floreana.ibert.params import IntArray

PAIR = 2  # heads in a row of the kernel
OUT_EDGE = 9
UNIT_WORD = PAIR  # REQUANT words 0..1: the recorded constants; 2..3: those of the probabilities


def side_by_side(heads: IntArray) -> IntArray:
    """(heads, rows, 64) -> (rows, 64*heads) as int8."""
    return heads.transpose(1, 0, 2).reshape(heads.shape[1], -1).astype(np.int8)


@cocotb.test(timeout_time=500, timeout_unit="ms")
async def heads(dut: Any) -> None:
    job = read_job()
    q, k, v, counted = job["q"], job["k"], job["v"], job["counted"]
    count, total, _ = q.shape
    x0, b, c, m, e = (int(value) for value in job["softmax"])
    kernel = Kernel(dut)
    await kernel.start(16)
    for word in (UNIT_WORD, UNIT_WORD + 1):
        for lane in range(64):
            kernel.write(layout.MEM_REQUANT, 64 * word + lane, layout.pack(layout.REQUANT, {"m": 1, "e": 0, "off": -128}))
    for beat in range(PAIR):
        kernel.write(layout.MEM_MESSAGE, beat, message(OUT_EDGE, 16 * beat, layout.TYPE_INT8, 1))
    for ctx in range(2):
        for role in range(3):
            kernel.write(layout.MEM_EDGE, 4 * ctx + role, edge_entry(ctx, role))

    async def run(ctx: int, pair: slice, keys: IntArray, values: IntArray) -> IntArray:
        """All queries of the pair against n keys: (heads, N, 64)."""
        beats, n = keys.shape[0], keys.shape[1]
        out = np.full((total, 64 * beats), np.iinfo(np.int64).min)
        queries, roles = side_by_side(q[pair]), (side_by_side(keys), side_by_side(values))
        for at in range(0, total, n):
            chunk = np.resize(queries[at : at + n], (n, 64 * beats))
            for row in range(n):
                for role, data in enumerate((chunk, *roles)):
                    kernel.send(4 * ctx + role, row, layout.TYPE_INT8, data[row].tobytes(), row == n - 1)
            await kernel.take(n * beats, OUT_EDGE, out[at : at + n])
        return out.reshape(total, beats, 64).transpose(1, 0, 2)

    n = len(counted)
    context, unmasked = np.empty((count, total, 64), np.int64), np.empty((count, total, 64), np.int64)
    probability = np.empty((count, total, n), np.int64)
    for first in range(0, count, PAIR):
        pair = slice(first, min(first + PAIR, count))
        beats = pair.stop - first
        for channel in range(64 * beats):
            constants = {"m": int(job["m"][64 * first + channel]), "e": int(job["e"][64 * first + channel]), "off": 0}
            kernel.write(layout.MEM_REQUANT, channel, layout.pack(layout.REQUANT, constants))
        for ctx in range(2):
            fields = {
                "bank": ctx, "beats": beats, "x0": -x0, "b": b, "c": c, "m": m, "e": e, "req_base": UNIT_WORD * ctx, "msg_base": 0,
                "mode": layout.ATTENTION_PUBLISHED,
            }  # fmt: skip
            kernel.write(layout.MEM_CONTEXT, ctx, layout.pack(layout.ATTENTION_CONTEXT, fields))
        await kernel.settle()
        keys = k[pair][:, counted]
        context[pair] = await run(0, pair, keys, v[pair][:, counted])
        if n < total:
            unmasked[pair] = await run(0, pair, k[pair], v[pair])
        for start in range(0, n, 64):
            size = min(64, n - start)
            unit = np.broadcast_to(np.eye(n, 64, -start, dtype=np.int64), (beats, n, 64))
            probability[pair, :, start : start + size] = (await run(1, pair, keys, unit))[:, :, :size] + 128
    write_result({"context": context, "probability": probability} | ({"unmasked": unmasked} if n < total else {}))
