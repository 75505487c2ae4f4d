# SPDX-License-Identifier: Apache-2.0
"""What the benches of recorded vectors share: the job file they read, the result file they write, the kernel they drive.

The benches compare nothing: floreana.report.vectors writes the operands (VECTORS_JOB), reads what the units gave (VECTORS_RESULT), and
compares. Every message that leaves must be one that was asked for.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from cocotb.triggers import ClockCycles

from floreana.cluster import layout
from floreana.cluster.layout import Header
from floreana.ibert.params import IntArray
from floreana_tb import clocks, generations
from floreana_tb.streams import ConfigBus, MessageSink, MessageSource

CLUSTER, KERNEL = 3, 77


def read_job() -> dict[str, IntArray]:
    with np.load(os.environ["VECTORS_JOB"]) as data:
        return {key: data[key].astype(np.int64) for key in data.files}


def write_result(arrays: dict[str, IntArray]) -> None:
    path = Path(os.environ["VECTORS_RESULT"])
    temporary = path.with_suffix(".tmp.npz")
    np.savez(temporary, **arrays)
    temporary.rename(path)


class Kernel:
    """One kernel with its streams and its configuration bus; all rows are of slot 0 unless said."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        dut.id_cluster.value = CLUSTER
        dut.id_kernel.value = KERNEL
        self.source = MessageSource(dut, "s_axis", dut.clk)
        self.sink = MessageSink(dut, "m_axis", dut.clk)
        self.config = ConfigBus(dut, dut.clk)
        generations.idle(dut)

    async def start(self, cycles: int) -> None:
        """Clock and reset; then ``cycles`` cycles in which memories are cleared."""
        await clocks.start(self.dut)
        await ClockCycles(self.dut.clk, cycles)

    def write(self, mem: int, index: int, value: int) -> Any:
        return self.config.write(mem, index, value)

    async def settle(self) -> None:
        """Wait until every table write so far has arrived."""
        await self.write(layout.MEM_OWNER, 0, 0)
        await ClockCycles(self.dut.clk, 4)

    def send(self, edge: int, row: int, kind: int, raw: bytes, last: bool, slot: int = 0) -> None:
        """A row in messages of at most 16 beats."""
        for at in range(0, len(raw), layout.MESSAGE_BYTES):
            header = Header(CLUSTER, KERNEL, edge, CLUSTER, 1, slot, 0, row, at // 4, kind, last)
            self.source.send(header, raw[at : at + layout.MESSAGE_BYTES])

    async def take(self, messages: int, edge: int, into: IntArray) -> None:
        """Wait for ``messages`` messages; their payloads go to their rows and offsets of ``into`` (rows beyond it are dropped)."""
        await self.sink.wait(messages)
        seen: set[tuple[int, int]] = set()
        for header, payload in self.sink.received:
            assert header.edge == edge and (header.row, header.offset) not in seen, f"unexpected message {header}"
            seen.add((header.row, header.offset))
            if header.row < len(into):
                kind = "<i4" if header.type == layout.TYPE_INT32 else "i1"
                values = np.frombuffer(payload, kind)
                start = 4 * header.offset // np.dtype(kind).itemsize
                into[header.row, start : start + len(values)] = values
        assert len(self.sink.received) == messages, f"{len(self.sink.received)} messages, expected {messages}"
        self.sink.received.clear()
        self.sink.arrival.clear()


def message(edge: int, offset: int, kind: int, beats: int) -> int:
    """A MESSAGE entry."""
    fields = {"dst_cluster": 1, "dst_kernel": 2, "edge": edge, "by_owner": 0, "offset": offset, "type": kind, "beats": beats}
    return layout.pack(layout.MESSAGE, fields)


def edge_entry(ctx: int, role: int) -> int:
    return layout.pack(layout.EDGE, {"ctx": ctx, "role": role, "valid": 1})
