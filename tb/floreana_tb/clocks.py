# SPDX-License-Identifier: Apache-2.0
"""Clock and reset of a unit bench (200 MHz, as in the cluster)."""

from __future__ import annotations

from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

PERIOD_NS = 5


def start_clock(dut: Any) -> None:
    """Start ``dut.clk`` in the simulator (faster than in Python)."""
    Clock(dut.clk, PERIOD_NS, unit="ns", impl="gpi").start()


async def reset(dut: Any, cycles: int = 4) -> None:
    """Hold ``dut.rst`` for some cycles; returns just after the edge that follows its release."""
    dut.rst.value = 1
    await ClockCycles(dut.clk, cycles)
    dut.rst.value = 0
    await RisingEdge(dut.clk)


async def start(dut: Any) -> None:
    """Clock and reset in one: how most tests begin (build drivers and monitors first, so that no input is undriven)."""
    start_clock(dut)
    await reset(dut)
