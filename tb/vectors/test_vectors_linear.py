# SPDX-License-Identifier: Apache-2.0
"""Recorded rows through the linear kernel: each matrix as partial sums, then, where it has constants, requantised to int8.

Job: names = number of linears; <i>_weight, <i>_bias, <i>_input, and <i>_m, <i>_e where requantised. Result: <i>_sum, <i>_int8.
"""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
from vectors_job import Kernel, edge_entry, message, read_job, write_result

from floreana.cluster import layout

K_LANES, OUT_N, POST_LANES = 64, 48, 8  # the defaults of the kernel
MESSAGE_AREA = 16


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def rows(dut: Any) -> None:
    job = read_job()
    linears = int(job["linears"])
    kernel = Kernel(dut)
    await kernel.start(16)
    w_base = b_base = post_base = 0
    passes: list[tuple[int, int, int]] = []  # linear, mode, edge
    for i in range(linears):
        weight, bias = job[f"{i}_weight"], job[f"{i}_bias"]
        outs, width = weight.shape
        groups, ksteps = -(-outs // OUT_N), width // K_LANES
        padded = np.zeros((groups * OUT_N, width), np.int8)
        padded[:outs] = weight
        sums = np.zeros(groups * OUT_N, "<i4")
        sums[:outs] = bias
        for g in range(groups):
            for k in range(ksteps):
                for o in range(OUT_N):
                    lanes = padded[g * OUT_N + o, k * K_LANES : (k + 1) * K_LANES].tobytes()
                    kernel.write(layout.MEM_WEIGHT, (w_base + g * ksteps + k) << 6 | o, int.from_bytes(lanes, "little"))
            for seg in range(OUT_N // 16):
                raw = sums[g * OUT_N + 16 * seg : g * OUT_N + 16 * seg + 16].tobytes()
                kernel.write(layout.MEM_BIAS, (b_base + g) << 4 | seg, int.from_bytes(raw, "little"))
        modes = [layout.LINEAR_PARTIAL]
        if f"{i}_m" in job:
            modes.append(layout.LINEAR_REQUANT)
            for c in range(outs):
                constants = {"m": int(job[f"{i}_m"][c]), "e": int(job[f"{i}_e"][c]), "off": 0, "gelu_b": 0, "gelu_c": 0, "gelu_shift": 0}
                kernel.write(layout.MEM_POST, post_base * POST_LANES + c, layout.pack(layout.POST, constants))
        for mode in modes:
            number = len(passes)
            passes.append((i, mode, number))
            kernel.write(layout.MEM_EDGE, number, edge_entry(number, 0))
            kind, beats = (layout.TYPE_INT32, outs // 16) if mode == layout.LINEAR_PARTIAL else (layout.TYPE_INT8, outs // 64)
            cuts = range(0, beats, layout.MESSAGE_BEATS)
            for n, at in enumerate(cuts):
                entry = message(number, 16 * at, kind, min(layout.MESSAGE_BEATS, beats - at))
                kernel.write(layout.MEM_MESSAGE, MESSAGE_AREA * number + n, entry)
            context = {
                "in_base": 0, "in_beats": width // 64, "region": number, "prio": 0, "mode": mode, "groups": groups,
                "out_units": outs // 16, "w_base": w_base, "bias_base": b_base, "post_base": post_base,
                "msg_base": MESSAGE_AREA * number, "msg_count": len(cuts),
            }  # fmt: skip
            kernel.write(layout.MEM_CONTEXT, number, layout.pack(layout.LINEAR_CONTEXT, context))
        w_base += groups * ksteps
        b_base += groups
        post_base += -(-outs // POST_LANES)
    await kernel.settle()

    result = {}
    for i, mode, edge in passes:
        x = job[f"{i}_input"].astype(np.int8)
        outs = len(job[f"{i}_bias"])
        into = np.full((len(x), outs), np.iinfo(np.int64).min)
        for row in range(len(x)):
            kernel.send(edge, row, layout.TYPE_INT8, x[row].tobytes(), row == len(x) - 1)
        beats = outs // (16 if mode == layout.LINEAR_PARTIAL else 64)
        await kernel.take(len(x) * -(-beats // layout.MESSAGE_BEATS), edge, into)
        result[f"{i}_sum" if mode == layout.LINEAR_PARTIAL else f"{i}_int8"] = into
    write_result(result)
