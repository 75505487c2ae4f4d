# SPDX-License-Identifier: Apache-2.0
"""Skid buffers and FIFO between the AXI-Stream master and slave of cocotbext-axi: an oracle for the handshake that is not ours."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

from floreana_tb import stalls


def pauses(seed: int, share: float) -> Iterator[bool]:
    """Endless: True stalls the cycle."""
    rng = random.Random(seed)
    while True:
        yield rng.random() < share


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(pattern=list(stalls.PATTERNS))
async def packets(dut: Any, pattern: str) -> None:
    seed = cocotb.RANDOM_SEED
    rng = random.Random(seed)
    cocotb.start_soon(Clock(dut.clk, 5, unit="ns").start())
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk, dut.rst)
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk, dut.rst)
    idle, backpressure = {
        "none": (0.0, 0.0),
        "idle": (0.6, 0.0),
        "backpressure": (0.0, 0.6),
        "both": (0.5, 0.5),
        "random": (0.3, 0.2),
    }[pattern]
    source.set_pause_generator(pauses(seed, idle))
    sink.set_pause_generator(pauses(seed + 1, backpressure))
    dut.rst.value = 1
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    await ClockCycles(dut.clk, 2)

    sent = [rng.randbytes(rng.choice((1, 3, 4, 5, 16, 61))) for _ in range(80)]
    for payload in sent:
        await source.send(AxiStreamFrame(payload))
    for number, payload in enumerate(sent):
        frame = await sink.recv()
        assert bytes(frame.tdata) == payload, f"packet {number}: got {bytes(frame.tdata).hex()}, expected {payload.hex()}"
    await ClockCycles(dut.clk, 20)
    assert sink.empty(), "a packet came twice"
    cocotb.log.info("checked %d equal %d", len(sent), len(sent))
