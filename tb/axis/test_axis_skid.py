# SPDX-License-Identifier: Apache-2.0
"""axis_skid: order, stalls, reset, full rate, latency 1."""

from __future__ import annotations

from typing import Any

import cocotb
from axis.beats import Bench, beat
from cocotb.triggers import ClockCycles

from floreana_tb import clocks, stalls


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(pattern=list(stalls.PATTERNS), count=[1, 300])
async def order(dut: Any, pattern: str, count: int) -> None:
    bench = Bench(dut, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED))
    await bench.start()
    await bench.run(count)
    if count > 1 and pattern in ("backpressure", "both", "random"):
        bench.sink.demand_stalls()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def full_rate(dut: Any) -> None:
    """100 beats pass in 100 consecutive cycles, one cycle after they went in."""
    bench = Bench(dut, stalls.none())
    await bench.start()
    await bench.run(100)
    assert bench.sink.last_cycle - bench.sink.first_cycle == 99, "idle cycle in an unstalled stream"
    assert bench.sink.first_cycle - bench.seen.first_cycle == 1, "latency is not 1"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_drops_what_is_stored(dut: Any) -> None:
    """Fill the buffer against a blocked sink, reset: nothing of it appears, and the next beats pass."""
    bench = Bench(dut, stalls.none())
    bench.sink.pause(iter(lambda: False, True))
    await bench.start()
    bench.source.send_beats(beat(word) for word in bench.words(8))
    await ClockCycles(dut.clk, 12)
    assert bench.seen.beats == 2, f"a skid buffer holds 2 beats, took {bench.seen.beats}"
    bench.source.abort()
    await clocks.reset(dut)
    bench.sink.pause(None)
    await ClockCycles(dut.clk, 10)
    assert bench.sink.beats == 0, "a beat from before the reset appeared"
    bench.board.forget()
    await bench.run(20)
