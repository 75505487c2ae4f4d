# SPDX-License-Identifier: Apache-2.0
"""net_switch_load: rates and waits under long generated load; the load module itself checks every message.

Rates are in per cent of one beat a cycle a port. The bounds of waits are those of rtl/net/net_switch.v.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from floreana_tb import clocks

PERMUTATION, UNIFORM, HOT, TOGETHER = range(4)
BEATS = 16
WARM_UP = 400


@dataclass(frozen=True, slots=True)
class Load:
    """Shares (multi, idle, dribble, stall, room) are of 256; ``beats`` 0 is a mixture of sizes, half of them one beat."""

    traffic: int
    beats: int
    shift: int = 2
    multi: int = 0
    idle: int = 0
    dribble: int = 0
    stall: int = 0
    room: int = 0
    cycles: int = 3000


class Bench:
    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.ports = len(dut.sts_beats) // 32
        self.sent = 0
        for name in ("run", "traffic", "shift", "beats", "multi", "idle", "dribble", "stall", "room", "clear"):
            getattr(dut, f"cfg_{name}").value = 0

    async def start(self) -> None:
        await clocks.start(self.dut)
        await ClockCycles(self.dut.clk, 300)  # ROUTE is written

    def words(self, name: str) -> list[int]:
        text = getattr(self.dut, f"sts_{name}").value.to_unsigned()
        return [text >> 32 * k & 0xFFFFFFFF for k in range(self.ports)]

    async def run(self, load: Load) -> float:
        """One load; returns the rate in per cent. Everything sent arrives, whole and in order."""
        dut = self.dut
        for name in ("traffic", "shift", "beats", "multi", "idle", "dribble", "stall", "room"):
            getattr(dut, f"cfg_{name}").value = getattr(load, name)
        dut.cfg_run.value = 1
        await ClockCycles(dut.clk, WARM_UP)
        dut.cfg_clear.value = 1
        await RisingEdge(dut.clk)
        dut.cfg_clear.value = 0
        await ClockCycles(dut.clk, load.cycles)
        rate = 100 * sum(self.words("beats")) / (int(dut.sts_cycles.value) * self.ports)
        gaps = sum(self.words("gaps"))
        dut.cfg_run.value = 0
        for _ in range(400):
            await ClockCycles(dut.clk, 100)
            if int(dut.sts_sent.value) == int(dut.sts_got.value) and not int(dut.sts_busy.value):
                break
        sent, got = int(dut.sts_sent.value), int(dut.sts_got.value)
        assert int(dut.sts_errors.value) == 0, f"{load}: {int(dut.sts_errors.value)} broken messages"
        assert sent == got > self.sent, f"{load}: sent {sent} got {got}"
        print(
            f"{load}: {rate:.2f} % of full rate, {gaps} idle cycles, head waits at most {int(dut.sts_head.value)} cycles, "
            f"a multicast {int(dut.sts_head_multi.value)}: checked {sent - self.sent} equal {got - self.sent}",
            flush=True,
        )
        self.sent = sent
        return rate


def bounds(bench: Bench, overdue: int) -> tuple[int, int]:
    """Cycles that a unicast head and a multicast head wait at most, with sinks always ready and sources without gaps."""
    turn = 3 * BEATS + 8
    return 2 ** (overdue + 1) + bench.ports**2 + 2 * bench.ports**2 * turn, 2 * bench.ports * turn


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def load(dut: Any) -> None:
    bench = Bench(dut)
    await bench.start()
    overdue = int(dut.OVERDUE_W.value)
    unicast, multicast = bounds(bench, overdue)
    for beats in (1, 2, 3, 16):
        for shift in (1, 2):
            rate = await bench.run(Load(PERMUTATION, beats, shift % bench.ports))
            assert rate == 100, f"{beats} beats: {rate:.2f} %"
    assert await bench.run(Load(UNIFORM, 16, cycles=12000)) >= 85
    assert await bench.run(Load(UNIFORM, 0, cycles=12000)) >= 85
    assert await bench.run(Load(UNIFORM, 4, cycles=6000)) >= 85
    assert await bench.run(Load(UNIFORM, 1, cycles=6000)) >= 85
    await bench.run(Load(HOT, 0, cycles=6000))
    await bench.run(Load(UNIFORM, 0, multi=64, cycles=6000))
    await bench.run(Load(UNIFORM, 16, multi=64, cycles=6000))
    await bench.run(Load(UNIFORM, 0, multi=256, cycles=6000))
    await bench.run(Load(HOT, 0, multi=32, cycles=6000))
    await bench.run(Load(TOGETHER, 16, cycles=6000))
    assert 0 < int(dut.sts_head.value) <= unicast
    assert 0 < int(dut.sts_head_multi.value) <= multicast
    print(f"bounds of a head's wait: {unicast} and {multicast} cycles, seen {int(dut.sts_head.value)} and {int(dut.sts_head_multi.value)}")
    for stall in (
        Load(UNIFORM, 0, multi=64, idle=100, dribble=100, stall=100),
        Load(UNIFORM, 16, multi=64, stall=128),
        Load(UNIFORM, 0, multi=64, room=8),
        # nothing but multicasts, from every port at once
        Load(UNIFORM, 0, multi=256, stall=100, room=8, cycles=6000),
        Load(UNIFORM, 0, multi=256, idle=100, dribble=100, stall=100, room=16, cycles=6000),
        Load(UNIFORM, 16, multi=256, stall=160, room=4),
    ):
        assert await bench.run(stall) > 5, f"{stall} comes to rest"
