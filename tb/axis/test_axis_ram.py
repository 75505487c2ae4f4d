# SPDX-License-Identifier: Apache-2.0
"""axis_ram and axis_lutram against a dictionary: random reads and writes, also of one address in one cycle."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge, Timer

from floreana_tb import clocks


async def write_all(dut: Any, depth: int, width: int) -> dict[int, int]:
    memory = {}
    dut.wr_en.value = 1
    for address in range(depth):
        memory[address] = random.getrandbits(width)
        dut.wr_addr.value = address
        dut.wr_data.value = memory[address]
        await RisingEdge(dut.clk)
    dut.wr_en.value = 0
    return memory


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def ram(dut: Any) -> None:
    """rd_data one cycle after rd_en, kept without it; with FWD_EN a write of the same cycle is seen, without it is not read."""
    depth, width, forward = int(dut.DEPTH.value), int(dut.DATA_W.value), int(dut.FWD_EN.value)
    dut.rd_en.value = 0
    dut.rd_addr.value = 0
    clocks.start_clock(dut)
    await RisingEdge(dut.clk)
    memory = await write_all(dut, depth, width)
    expected: int | None = None
    checked = same = 0
    for _ in range(600):
        write, read = random.random() < 0.5, random.random() < 0.7
        to, of = random.randrange(depth), random.randrange(depth)
        if write and read and random.random() < 0.3:
            of = to
        if write and read and of == to and not forward:
            read = False  # unspecified by the header
        value = random.getrandbits(width)
        dut.wr_en.value, dut.wr_addr.value, dut.wr_data.value = int(write), to, value
        dut.rd_en.value, dut.rd_addr.value = int(read), of
        await RisingEdge(dut.clk)
        if expected is not None:
            assert int(dut.rd_data.value) == expected
            checked += 1
        same += write and read and of == to
        if write and forward:
            memory[to] = value
        if read:
            expected = memory[of]
        if write:
            memory[to] = value
    assert checked > 500
    assert (same > 20) == bool(forward)
    print(f"axis_ram: checked {checked} equal {checked}")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def lutram(dut: Any) -> None:
    """rd_data follows rd_addr within the cycle."""
    depth, width = int(dut.DEPTH.value), int(dut.DATA_W.value)
    dut.rd_addr.value = 0
    clocks.start_clock(dut)
    await RisingEdge(dut.clk)
    memory = await write_all(dut, depth, width)
    await RisingEdge(dut.clk)
    for checked in range(2 * depth):
        address = random.randrange(depth)
        dut.rd_addr.value = address
        await Timer(1, unit="ns")
        assert int(dut.rd_data.value) == memory[address], f"read {checked} of address {address}"
    print(f"axis_lutram: checked {2 * depth} equal {2 * depth}")
