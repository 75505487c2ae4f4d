# SPDX-License-Identifier: Apache-2.0
"""axis_fifo: order, stalls, reset, full rate, latency 2, capacity, level."""

from __future__ import annotations

from typing import Any

import cocotb
from axis.beats import Bench, beat
from cocotb.triggers import ClockCycles, RisingEdge

from floreana_tb import clocks, stalls


def depth(dut: Any) -> int:
    """sts_level has $clog2(DEPTH)+1 bits."""
    return 1 << (len(dut.sts_level) - 1)


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
    bench = Bench(dut, stalls.none())
    await bench.start()
    await bench.run(100)
    assert bench.sink.last_cycle - bench.sink.first_cycle == 99, "idle cycle in an unstalled stream"
    assert bench.sink.first_cycle - bench.seen.first_cycle == 2, "latency is not 2"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def level_is_what_is_stored(dut: Any) -> None:
    """In every cycle sts_level = beats in - beats out, under bursts that fill and empty it."""
    bench = Bench(dut, stalls.random(cocotb.RANDOM_SEED))
    levels: list[tuple[int, int]] = []

    async def watch() -> None:
        while True:
            stored = bench.seen.beats - bench.sink.beats
            await RisingEdge(dut.clk)
            if dut.rst.value == 0:
                levels.append((int(dut.sts_level.value), stored))

    await bench.start()
    await ClockCycles(dut.clk, 2)
    task = cocotb.start_soon(watch())
    await bench.run(400)
    task.cancel()
    wrong = [(i, pair) for i, pair in enumerate(levels) if pair[0] != pair[1]]
    assert not wrong, f"cycle, (level, stored): {wrong[:4]}"
    assert max(stored for _, stored in levels) >= depth(dut), "the run never filled the FIFO"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_drops_what_is_stored(dut: Any) -> None:
    bench = Bench(dut, stalls.none())
    bench.sink.pause(iter(lambda: False, True))
    await bench.start()
    bench.source.send_beats(beat(word) for word in bench.words(depth(dut) + 8))
    await ClockCycles(dut.clk, depth(dut) + 12)
    assert bench.seen.beats == depth(dut) + 1, f"holds {bench.seen.beats} beats, not DEPTH + 1"
    bench.source.abort()
    await clocks.reset(dut)
    bench.sink.pause(None)
    await ClockCycles(dut.clk, 10)
    assert bench.sink.beats == 0, "a beat from before the reset appeared"
    bench.board.forget()
    await bench.run(20)
