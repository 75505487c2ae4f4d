# SPDX-License-Identifier: Apache-2.0
"""net_table against a dictionary: an entry never written reads 0, also after `clear`; a read of the write's cycle gives the old entry."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, Timer

from floreana_tb import clocks


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def table(dut: Any) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    depth, width = 1 << len(dut.rd_addr), len(dut.rd_data)
    dut.clear.value = dut.wr_en.value = dut.wr_addr.value = dut.wr_data.value = dut.rd_addr.value = 0
    clocks.start_clock(dut)
    await FallingEdge(dut.clk)
    memory: dict[int, int] = {}
    written = unwritten = 0
    for number in range(600):
        clear, write = number % 200 == 199, rng.random() < 0.3
        to, value = rng.randrange(depth), rng.getrandbits(width)
        dut.clear.value, dut.wr_en.value, dut.wr_addr.value, dut.wr_data.value = int(clear), int(write), to, value
        address = to if rng.random() < 0.3 else rng.randrange(depth)
        dut.rd_addr.value = address
        await Timer(1, unit="ns")
        assert int(dut.rd_data.value) == memory.get(address, 0), f"read {number} of address {address}"
        written += address in memory
        unwritten += address not in memory
        await FallingEdge(dut.clk)
        if write:
            memory[to] = value
        if clear:
            memory.clear()
    assert unwritten > 3 and written > 3
    print("net_table: checked 600 equal 600", flush=True)
