# SPDX-License-Identifier: Apache-2.0
"""Corners of ibert_gelu, one test each; the answers are those of corner_cases."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.triggers import FallingEdge
from corners.corner_cases import GELU

from floreana_tb import clocks


async def run(dut: Any, corner: str) -> None:
    """All cases of a corner, one a cycle."""
    for name in ("s_valid", "s_gelu", "s_x", "s_b", "s_c", "s_shift"):
        getattr(dut, name).value = 0
    await clocks.start(dut)
    got: list[int] = []
    for case in [*GELU[corner], *[None] * 7]:
        await FallingEdge(dut.clk)
        if int(dut.m_valid.value):
            got.append(dut.m_y.value.to_signed())
        dut.s_valid.value = dut.s_gelu.value = int(case is not None)
        if case is not None:
            dut.s_x.value, dut.s_b.value, dut.s_c.value, dut.s_shift.value = case[:4]
    assert got == [case[4] for case in GELU[corner]]
    print(f"{corner}: checked {len(got)} equal {len(got)}", flush=True)


@cocotb.test(timeout_time=10, timeout_unit="us")
async def gelu_at_zero(dut: Any) -> None:
    await run(dut, "gelu_at_zero")


@cocotb.test(timeout_time=10, timeout_unit="us")
async def gelu_at_the_clip(dut: Any) -> None:
    await run(dut, "gelu_at_the_clip")


@cocotb.test(timeout_time=10, timeout_unit="us")
async def gelu_most_negative_inputs(dut: Any) -> None:
    await run(dut, "gelu_most_negative_inputs")
