# SPDX-License-Identifier: Apache-2.0
"""Recorded values through the arithmetic units themselves: dot products, GELU, requantisation to 8 and to 32 bits.

Job: heads, <h>_q, <h>_k (N, 64); requants; <i>_x (N, C), <i>_m, <i>_e (C), and <i>_b, <i>_c, <i>_shift (C) where GELU comes first.
Result: <h>_score (N, N); <i>_gelu, <i>_narrow, <i>_wide (N, C).
"""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge
from vectors_job import read_job, write_result

from floreana.ibert.params import IntArray
from floreana_tb import clocks

LANES, DOTS = 16, 8
LATENCY = 12


def packed(values: IntArray, dtype: str, width: int) -> list[int]:
    """Words of ``width`` values, the first one lowest; the last is filled up with zeros."""
    flat = np.zeros(-(-values.size // width) * width, dtype)
    flat[: values.size] = values.ravel()
    raw = flat.tobytes()
    step = width * flat.itemsize
    return [int.from_bytes(raw[at : at + step], "little") for at in range(0, len(raw), step)]


class Taker:
    """Keeps every word that comes with a valid signal."""

    def __init__(self, dut: Any, valid: str, data: str, dtype: str) -> None:
        self.dtype = dtype
        self.words: list[bytes] = []
        self.task = cocotb.start_soon(self._watch(dut.clk, getattr(dut, valid), getattr(dut, data)))

    async def _watch(self, clock: Any, valid: Any, data: Any) -> None:
        edge, size = RisingEdge(clock), len(data) // 8
        while True:
            await edge
            if valid._handle.get_signal_val_binstr() == "1":
                self.words.append(int(data._handle.get_signal_val_binstr(), 2).to_bytes(size, "little"))

    def stop(self, shape: tuple[int, ...]) -> IntArray:
        self.task.cancel()
        values = np.frombuffer(b"".join(self.words), self.dtype).astype(np.int64)
        size = int(np.prod(shape))
        assert size <= len(values) < size + max(LANES, DOTS), f"{len(values)} values, expected {size}"
        return values[:size].reshape(shape)


async def drive(dut: Any, valid: str, columns: dict[str, list[int]]) -> None:
    """One word of every operand a cycle."""
    handles = [getattr(dut, name) for name in columns]
    edge = RisingEdge(dut.clk)
    getattr(dut, valid).value = 1
    for words in zip(*columns.values(), strict=True):
        for handle, word in zip(handles, words, strict=True):
            handle.value = word
        await edge
    getattr(dut, valid).value = 0
    await ClockCycles(dut.clk, LATENCY)


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def values(dut: Any) -> None:
    job = read_job()
    for name in ("s_valid", "s_gelu", "s_x", "s_b", "s_c", "s_shift", "s_m", "s_e", "dot_valid", "dot_a", "dot_b"):
        getattr(dut, name).value = 0
    await clocks.start(dut)
    result = {}
    for h in range(int(job["heads"])):
        q, k = job[f"{h}_q"], job[f"{h}_k"]
        keys = packed(k, "i1", 64 * DOTS)
        queries = packed(q, "i1", 64)
        taker = Taker(dut, "sum_valid", "sum", "<i4")
        await drive(dut, "dot_valid", {"dot_a": [query for query in queries for _ in keys], "dot_b": keys * len(queries)})
        result[f"{h}_score"] = taker.stop((len(q), DOTS * len(keys)))[:, : len(k)]
    for i in range(int(job["requants"])):
        x = job[f"{i}_x"]
        per_row = {"s_m": (f"{i}_m", "<i4"), "s_e": (f"{i}_e", "<i4")}
        gelu = f"{i}_b" in job
        if gelu:
            per_row |= {"s_b": (f"{i}_b", "<i4"), "s_c": (f"{i}_c", "<i8"), "s_shift": (f"{i}_shift", "<i4")}
        dut.s_gelu.value = int(gelu)
        columns = {"s_x": packed(x, "<i4", LANES)}
        for name, (key, dtype) in per_row.items():
            columns[name] = packed(job[key], dtype, LANES) * len(x)
        outputs = {"gelu": ("gelu_y", "<i8"), "narrow": ("narrow_y", "i1"), "wide": ("wide_y", "<i4")}
        takers = {name: Taker(dut, f"{name}_valid", port, dtype) for name, (port, dtype) in outputs.items()}
        await drive(dut, "s_valid", columns)
        result |= {f"{i}_{name}": taker.stop(x.shape) for name, taker in takers.items()}
    write_result(result)
