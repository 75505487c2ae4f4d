# SPDX-License-Identifier: Apache-2.0
"""Corners of ibert_requant (IN_W 56, OUT_W 8), one test each; the answers are those of corner_cases."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.triggers import FallingEdge
from corners.corner_cases import REQUANT

from floreana_tb import clocks


async def run(dut: Any, corner: str) -> None:
    """All cases of a corner, one a cycle."""
    for name in ("s_valid", "s_x", "s_m", "s_e", "s_off"):
        getattr(dut, name).value = 0
    await clocks.start(dut)
    got: list[int] = []
    for case in [*REQUANT[corner], *[None] * 6]:
        await FallingEdge(dut.clk)
        if int(dut.m_valid.value):
            got.append(dut.m_y.value.to_signed())
        dut.s_valid.value = int(case is not None)
        if case is not None:
            dut.s_x.value, dut.s_m.value, dut.s_e.value, dut.s_off.value = case[:4]
    assert got == [case[4] for case in REQUANT[corner]]
    print(f"{corner}: checked {len(got)} equal {len(got)}", flush=True)


@cocotb.test(timeout_time=10, timeout_unit="us")
async def requant_ties_positive(dut: Any) -> None:
    await run(dut, "requant_ties_positive")


@cocotb.test(timeout_time=10, timeout_unit="us")
async def requant_ties_negative(dut: Any) -> None:
    await run(dut, "requant_ties_negative")


@cocotb.test(timeout_time=10, timeout_unit="us")
async def requant_negative_multipliers(dut: Any) -> None:
    await run(dut, "requant_negative_multipliers")


@cocotb.test(timeout_time=10, timeout_unit="us")
async def requant_shift_zero(dut: Any) -> None:
    await run(dut, "requant_shift_zero")


@cocotb.test(timeout_time=10, timeout_unit="us")
async def requant_shift_eighty(dut: Any) -> None:
    await run(dut, "requant_shift_eighty")


@cocotb.test(timeout_time=10, timeout_unit="us")
async def requant_offsets(dut: Any) -> None:
    await run(dut, "requant_offsets")


@cocotb.test(timeout_time=10, timeout_unit="us")
async def requant_most_negative_inputs(dut: Any) -> None:
    await run(dut, "requant_most_negative_inputs")
