# SPDX-License-Identifier: Apache-2.0
"""Recorded rows through the add_norm kernel: linear output as one part, residual row, then residual sum, LayerNorm and requantisation.

Job: norms; <i>_part (N, H), <i>_row (N, H), <i>_{m,e,m1,e1,bias,om,oe} (H), <i>_shift. Result: <i>_int8 (N, H).
"""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
from vectors_job import Kernel, edge_entry, message, read_job, write_result

from floreana.cluster import layout

LANES, LOCAL_ROWS = 8, 32  # the defaults of the kernel: a slot keeps 32 rows
CLEAR_CYCLES = 8 * LOCAL_ROWS + 16
OUT_EDGE = 9


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def rows(dut: Any) -> None:
    job = read_job()
    kernel = Kernel(dut)
    await kernel.start(CLEAR_CYCLES)
    result = {}
    for i in range(int(job["norms"])):
        part, residual = job[f"{i}_part"].astype("<i4"), job[f"{i}_row"].astype(np.int8)
        n, hidden = part.shape
        beats = hidden // 64
        cuts = range(0, beats, layout.MESSAGE_BEATS)
        for c in range(hidden):
            constants = {name: int(job[f"{i}_{name}"][c]) for name in ("m", "e", "m1", "e1", "bias", "om", "oe")}
            kernel.write(layout.MEM_CHANNEL, c, layout.pack(layout.CHANNEL, {**constants, "ooff": 0}))
        for index, at in enumerate(cuts):
            kernel.write(layout.MEM_MESSAGE, index, message(OUT_EDGE, 16 * at, layout.TYPE_INT8, min(layout.MESSAGE_BEATS, beats - at)))
        for role in (layout.ROLE_PART, layout.ROLE_RESIDUAL):
            kernel.write(layout.MEM_EDGE, role, edge_entry(0, role))
        context = {
            "mode": layout.NORM_NORM, "beats": beats, "parts": 1, "slices": -(-beats // 4), "region": 0, "acc_base": 0, "res_base": 0,
            "keep": 0, "keep_base": 0, "chan_base": 0, "h": hidden, "shift": int(job[f"{i}_shift"]), "msg_base": 0,
            "msg_count": len(cuts),
        }  # fmt: skip
        kernel.write(layout.MEM_CONTEXT, 0, layout.pack(layout.ADD_NORM_CONTEXT, context))
        for row in range(n):
            kernel.write(layout.MEM_LOCAL_ROW, row, row % LOCAL_ROWS)
        await kernel.settle()
        into = np.full((n, hidden), np.iinfo(np.int64).min)
        for first in range(0, n, LOCAL_ROWS):
            some = range(first, min(first + LOCAL_ROWS, n))
            for row in some:
                kernel.send(layout.ROLE_RESIDUAL, row, layout.TYPE_INT8, residual[row].tobytes(), row == n - 1)
                kernel.send(layout.ROLE_PART, row, layout.TYPE_INT32, part[row].tobytes(), row == n - 1)
            await kernel.take(len(some) * len(cuts), OUT_EDGE, into)
        result[f"{i}_int8"] = into
    write_result(result)
