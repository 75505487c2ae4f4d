# SPDX-License-Identifier: Apache-2.0
"""A ring of stations under heavy traffic, to the end or until nothing moves any more. What to load and to expect comes in RING_JOB."""

from __future__ import annotations

import json
import os
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from floreana_tb import clocks

STEP = 100  # cycles between looks
UP_CYCLES = 2000


def words(signal: Any, width: int) -> list[int]:
    value, count = signal.value.to_unsigned(), len(signal) // width
    return [value >> width * i & (1 << width) - 1 for i in range(count)]


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def heavy_traffic(dut: Any) -> None:
    """All links come up, every kernel sends; every message comes once, or the counts stand still for `quiet` cycles."""
    job = json.loads(os.environ["RING_JOB"])
    clocks.start_clock(dut)
    dut.go.value = 0
    dut.cfg_we.value = 0
    dut.cfg_station.value = 0
    dut.cfg_addr.value = 0
    dut.cfg_data.value = 0
    await clocks.reset(dut)
    await ClockCycles(dut.clk, 20)
    for station, address, data in job["writes"]:
        dut.cfg_we.value = 1
        dut.cfg_station.value = station
        dut.cfg_addr.value = address
        dut.cfg_data.value = int(data, 16)
        await RisingEdge(dut.clk)
    dut.cfg_we.value = 0
    for _ in range(UP_CYCLES // STEP):
        await ClockCycles(dut.clk, STEP)
        if words(dut.sts_up, len(dut.sts_up) // job["stations"]) == job["up"]:
            break
    else:
        raise AssertionError(f"links {dut.sts_up.value}, expected {job['up']}")
    dut.go.value = 1
    expected = [count for station in job["expected"] for count in station]
    moved, cycle, before = 0, 0, [-1]
    looks: list[tuple[int, int]] = []
    while cycle - moved < job["quiet"]:
        await ClockCycles(dut.clk, STEP)
        cycle += STEP
        got = words(dut.sts_got, 16)
        if got == expected:
            break
        looks.append((cycle, sum(got)))
        if got != before:
            moved, before = cycle, got
    total, wanted = sum(got), sum(expected)
    print(f"{total} of {wanted} messages came, the last in cycle {moved}; sent {words(dut.sts_sent, 16)}; looked for {cycle} cycles")
    assert all(a <= b for a, b in zip(got, expected, strict=True)), "a message came twice, or where it does not belong"
    assert words(dut.sts_bad, 16) == [0] * job["stations"], "payload"
    if job["ordered"]:
        assert words(dut.sts_order, 16) == [0] * job["stations"], "order"
    assert words(dut.sts_lost, 32) == [0] * job["stations"], "lost"
    assert (total == wanted) != job["stops"], "stopped" if total != wanted else "did not stop"
    if job["rate"]:  # frames of a way in the middle of the traffic, a beat a cycle at most
        middle = [(cycle, number) for cycle, number in looks if number >= wanted // 4]
        (begin, first), (end, last) = middle[0], middle[-1]
        rate = (last - first) * job["frame"] / (end - begin) / job["ways"]
        print(f"{rate:.3f} of the beats of each way carry frames in {end - begin} cycles")
        assert rate >= job["rate"], f"{rate:.3f} of the beats, not {job['rate']}"
    if not job["stops"]:
        await ClockCycles(dut.clk, 500)
        assert words(dut.sts_got, 16) == expected, "more came afterwards"
