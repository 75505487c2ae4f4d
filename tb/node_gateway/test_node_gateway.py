# SPDX-License-Identifier: Apache-2.0
"""node_gateway: sequences under the rule of slots, rewriting, RELEASEs both ways, causes of drops, generations, flush, rate and latency."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from gateway_bench import (
    DEPTH,
    EDGE_IN,
    HEADS,
    LATENCY,
    RELEASE,
    ROW_BEATS,
    ROWS,
    SLICES,
    SLOTS,
    Bench,
    Neighbours,
)

from floreana.cluster.layout import TYPE_CONTROL, TYPE_INT16, TYPE_INT32
from floreana_tb import clocks, stalls
from floreana_tb.generations import Gate

SEQUENCES = 8 if ROW_BEATS < 16 else 3  # of each slot, in random traffic


@cocotb.test(timeout_time=1000, timeout_unit="us")
@cocotb.parametrize(pattern=list(stalls.PATTERNS))
async def sequences(dut: Any, pattern: str) -> None:
    """More sequences than slots, rows in any order, slots mixed, freed some time later."""
    bench = Bench(dut, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED))
    await bench.start()
    await Neighbours(bench, SEQUENCES).run()
    await bench.idle()
    got = bench.finish(2 * SEQUENCES * SLOTS)
    assert got["sequences"] == got["releases_out"] == got["releases_in"] == SEQUENCES * SLOTS
    assert got["dropped_full"] == got["releases_stale"] == 0
    if pattern in ("backpressure", "both"):
        bench.sink.demand_stalls()


@cocotb.test(timeout_time=200, timeout_unit="us")
async def latency(dut: Any) -> None:
    """One message of every length, to the first slot; the first beat out as many cycles after the last beat in."""
    bench = Bench(dut)
    await bench.start()
    for beats in range(1, min(ROW_BEATS, 16) + 1):
        assert bench.slots[0].held is None
        bench.up_free[0] = False
        bench.up_gen[0] = (bench.up_gen[0] + 1) & 15
        message = bench.sequence(0, 1, 16 * (SLICES - 1) + beats, shuffle=False)[-1]
        before = bench.sink.beats
        await bench.send(message)
        start = bench.taken.arrival[-1]
        while bench.sink.beats == before:
            await RisingEdge(dut.clk)
        assert bench.sink.last_cycle == start + LATENCY
        while bench.sink.beats < before + beats:
            await RisingEdge(dut.clk)
        assert bench.sink.last_cycle == start + LATENCY + beats - 1
        await bench.idle()
        if SLICES == 1:
            bench.up_free[0] = False
            await bench.free_slot(0)
            await bench.idle()
        else:
            await bench.flush(0)
    bench.finish(min(ROW_BEATS, 16))


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(held=[False, True])
async def full_rate(dut: Any, held: bool) -> None:
    """Whole sequences back to back into all slots: never refused. They leave without idle cycles, but one beside a message of one beat.

    ``held``: the output stands still until all are in; else messages are of one length, so that none waits for its own arrival.
    """
    bench = Bench(dut)
    await bench.start()
    for beats in (ROW_BEATS, 16 * (SLICES - 1) + 1):
        messages = []
        for slot in range(SLOTS):
            bench.up_free[slot] = False
            bench.up_gen[slot] = (bench.up_gen[slot] + 1) & 15
            messages += bench.sequence(slot, ROWS, beats if held else min(beats, 16), shuffle=held)
        if held:
            bench.sink.pause(iter(lambda: False, True))
        await bench.configure(SLICES if held else 1)
        first, total = bench.taken.cycle, sum(len(payload) // 64 for _, payload in messages)
        out, before = len(bench.sink.received), bench.sink.beats
        await bench.burst(messages)
        assert bench.taken.stalled_cycles == 0
        # one idle cycle at the begin of the burst, by the driver
        assert bench.taken.last_cycle is not None and bench.taken.last_cycle - first <= total + 1
        bench.sink.pause(None)
        await bench.idle()
        assert bench.sink.beats == before + total + SLOTS
        ends, sizes = bench.sink.arrival[out:], [len(payload) // 64 for _, payload in bench.sink.received[out:]]
        for k in range(1, len(ends)):
            assert ends[k] - ends[k - 1] - sizes[k] <= int(sizes[k - 1] == 1), (k, ends, sizes)
        for slot in range(SLOTS):
            await bench.free_slot(slot)
        await bench.idle()
    bench.finish(2 * SLOTS)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def waiting_slots_take_turns(dut: Any) -> None:
    """Both slots wait for a slow output: messages alternate. While a slot is not free, the other goes on alone."""
    bench = Bench(dut)
    await bench.start()
    for slot in range(SLOTS):  # first sequences take the slots
        bench.up_free[slot] = False
        bench.burst(bench.sequence(slot, 1))
    await bench.idle()
    gens = [slot.held for slot in bench.slots]
    out = len(bench.sink.received)
    waits = bench.counters()["waits"]
    for slot in range(SLOTS):
        bench.up_free[slot] = False
        bench.up_gen[slot] = (bench.up_gen[slot] + 1) & 15
        bench.burst(bench.sequence(slot, ROWS))
    await bench.source.wait_idle()
    await ClockCycles(dut.clk, 40)
    assert len(bench.sink.received) == out and int(dut.sts_active.value) == 1, "a message left while its slot was not free"
    assert bench.counters()["messages_peak"] == SLOTS * ROWS * SLICES
    assert bench.counters()["waits"] > waits + 40
    bench.sink.pause(iter(lambda: False, True))
    for slot in range(SLOTS):
        await bench.free_slot(slot, gens[slot])
    await ClockCycles(dut.clk, 40)
    bench.sink.pause(None)
    await bench.idle()
    slots = [header.slot for header, _ in bench.sink.received[out:]]
    assert slots[3:-2] == [(slots[3] + k) % SLOTS for k in range(len(slots) - 5)], "slots do not take turns"
    for slot in range(SLOTS):
        await bench.free_slot(slot)
    await bench.idle()
    bench.finish(SLOTS * ROWS)


@cocotb.test(timeout_time=400, timeout_unit="us")
async def bad_messages(dut: Any) -> None:
    """Every cause of a drop, between good messages; a message under two causes is counted under the first."""
    bench = Bench(dut, stalls.PATTERNS["random"](cocotb.RANDOM_SEED))
    await bench.start()
    data = random.Random(1).randbytes(64 * 17)
    bad: list[Any] = []
    for _ in range(2):
        bad += [
            (bench.header(0, 0, edge=EDGE_IN ^ 1), data[:64]),
            (bench.header(0, ROWS, edge=0), data[:64]),
            (bench.header(0, ROWS), data[:128]),
            (bench.header(0, 0x100), data[:64]),
            (bench.header(SLOTS, 0), data[:64]),
            (bench.header(15, ROWS, generation=0), data[:64]),
            (bench.header(0, 1, type=TYPE_INT16), data[:64]),
            (bench.header(0, 1, type=TYPE_INT32), data[:128]),
            (bench.header(0, 1), data[:63]),
            (bench.header(0, 1), data[:65]),
            (bench.header(0, 1), b""),
            (bench.header(0, 1), data),
            (bench.header(0, 1), data + data),
            (bench.header(0, 1, type=TYPE_CONTROL), b""),
            (bench.header(0, 1, type=TYPE_CONTROL), b"\x22" + RELEASE),
            (bench.header(0, 1, type=TYPE_CONTROL, edge=0), RELEASE[1:]),
        ]
    bench.rng.shuffle(bad)
    bench.up_free = [False] * SLOTS
    good = [message for slot in range(SLOTS) for message in bench.sequence(slot, ROWS)]
    while bad or good:
        pile = bad if (bad and bench.rng.random() < 0.7) or not good else good
        await bench.send(pile.pop())
    await bench.idle()
    for slot in range(SLOTS):
        await bench.free_slot(slot)
    await bench.idle()
    got = bench.finish(SLOTS * ROWS)
    assert (got["dropped_edge"], got["dropped_row"], got["dropped_format"]) == (4, 8, 20)
    assert got["dropped_full"] == got["stale"] == 0


@cocotb.test(timeout_time=200, timeout_unit="us")
async def not_configured(dut: Any) -> None:
    """Before GATE is written, and after a reset, every message is of an unknown edge."""
    bench = Bench(dut)
    await bench.start(configure=False)
    for edge in (0, EDGE_IN):
        await bench.send((bench.header(0, 0, edge=edge), bytes(64)))
    await bench.configure()
    bench.up_free[0] = False
    await bench.burst(bench.sequence(0, 2))
    await bench.idle()
    assert bench.counters()["dropped_edge"] == 2
    await clocks.reset(dut)
    bench.reset_model()
    await bench.send((bench.header(0, 0), bytes(64)))
    await bench.configure()
    bench.up_free[0] = False
    await bench.burst(bench.sequence(0, 2))
    await bench.idle()
    await bench.free_slot(0)
    await bench.idle()
    assert bench.finish(4)["dropped_edge"] == 1


@cocotb.test(timeout_time=200, timeout_unit="us")
async def releases(dut: Any) -> None:
    """A RELEASE counts only of the slot's own generation, once; one of another generation, of a free slot, of no slot is stale."""
    bench = Bench(dut)
    await bench.start()
    slot = SLOTS - 1
    for number in range(5):
        bench.up_free[slot] = False
        bench.up_gen[slot] = (bench.up_gen[slot] + (7 if number else 3)) & 15
        await bench.burst(bench.sequence(slot, ROWS))
        await bench.idle()
        gen = bench.up_gen[slot]
        for stale in (gen ^ 1, gen ^ 8, (gen + 7) & 15):
            await bench.free_slot(slot, stale)
        await bench.free_slot(SLOTS, gen)
        await bench.free_slot(15, gen)
        bench.up_free[slot] = False
        bench.up_gen[slot] = (gen + 1) & 15
        out = len(bench.sink.received)
        await bench.burst(bench.sequence(slot, 1))
        await ClockCycles(dut.clk, 30)
        assert len(bench.sink.received) == out, "a stale RELEASE freed the slot"
        await bench.free_slot(slot, gen, last=True, row=77)
        await bench.idle()
        assert len(bench.sink.received) == out + SLICES + 1
        await bench.free_slot(slot)
        await bench.free_slot(slot, bench.up_gen[slot])
        await bench.idle()
        assert bench.counters()["releases_stale"] == 6 * (number + 1)
    bench.finish(30)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def release_in_the_first_beat(dut: Any) -> None:
    """Of a RELEASE of several beats the first one counts."""
    bench = Bench(dut)
    await bench.start()
    bench.up_free[0] = False
    await bench.burst(bench.sequence(0, 1))
    await bench.idle()
    await bench.send((bench.header(0, 3, type=TYPE_CONTROL), RELEASE + bytes(130)))
    await bench.idle()
    assert bench.slots[0].held is None
    bench.up_free[0] = False
    await bench.burst(bench.sequence(0, 1))
    await bench.idle()
    await bench.free_slot(0)
    await bench.idle()
    bench.finish(4)


@cocotb.test(timeout_time=400, timeout_unit="us")
async def generations(dut: Any) -> None:
    """Every age of a message: 1 to 7 becomes the slot's, 8 to 15 is stale and changes nothing."""
    bench = Bench(dut)
    await bench.start()
    gen = bench.up_gen[0]
    for age in [*range(1, 16), *range(7, 0, -1)]:
        bench.up_free[0] = False
        newer = (gen + age) & 15
        header = bench.header(0, 0, generation=newer, last=True)
        for slice_ in range(SLICES):
            await bench.send((header if slice_ == 0 else bench.header(0, 0, generation=newer, offset=256, last=True), bytes([age]) * 64))
        await bench.idle()
        if age < 8:
            gen = newer
            assert bench.slots[0].held == gen
            await bench.free_slot(0)
            await bench.idle()
    assert bench.finish(28)["stale"] == 8 * SLICES


@cocotb.test(timeout_time=400, timeout_unit="us")
async def no_room(dut: Any) -> None:
    """A sender that breaks the rule: what does not fit (beats or headers) is dropped whole and counted; a flush makes all good."""
    bench = Bench(dut)
    await bench.start()
    slot = SLOTS - 1
    for case in range(6):
        bench.source.pause(stalls.PATTERNS["idle" if case < 3 else "none"](case))
        bench.up_free[slot] = False
        bench.up_gen[slot] = (bench.up_gen[slot] + 1) & 15
        await bench.burst(bench.sequence(slot, 1))  # takes the slot for good
        await bench.idle()
        bench.up_free[slot] = False
        bench.up_gen[slot] = (bench.up_gen[slot] + 1) & 15
        bench.tight = True
        drops = bench.counters()["dropped_full"]
        used = 0
        sizes = [1] if case % 3 == 0 else [1, 2, min(ROW_BEATS, 16)]
        messages = []
        while used < (DEPTH if case % 3 else HEADS) + 40:
            beats = bench.rng.choice(sizes)
            messages.append((bench.header(slot, bench.rng.randrange(ROWS)), bench.rng.randbytes(64 * beats)))
            used += beats
        await bench.burst(messages)
        await ClockCycles(dut.clk, 10)
        assert bench.counters()["dropped_full"] > drops
        bench.tight = False
        if case % 2:
            await bench.flush(slot)
        else:  # what was taken comes out
            await bench.free_slot(slot)
            await bench.idle()
            await bench.flush(slot)
    bench.up_free[slot] = False
    await bench.burst(bench.sequence(slot, ROWS))
    await bench.idle()
    await bench.free_slot(slot)
    await bench.idle()
    bench.finish(HEADS)


@cocotb.test(timeout_time=400, timeout_unit="us")
async def flush_frees_the_slot(dut: Any) -> None:
    """Flushed while messages wait for the slot: they are forgotten, the slot is free, an old RELEASE is stale; others lose nothing."""
    bench = Bench(dut)
    await bench.start()
    for slot in range(SLOTS):
        bench.up_free[slot] = False
        bench.burst(bench.sequence(slot, ROWS))
    await bench.idle()
    old = bench.up_gen[0]
    for slot in range(SLOTS):
        bench.up_free[slot] = False
        bench.up_gen[slot] = (bench.up_gen[slot] + 1) & 15
        bench.burst(bench.sequence(slot, ROWS))
    await bench.source.wait_idle()
    await ClockCycles(dut.clk, 10)
    out = len(bench.sink.received)
    assert await bench.flush(0) == 5
    await bench.free_slot(0, old)
    bench.up_free[0] = False
    await bench.burst(bench.sequence(0, ROWS))
    for slot in range(1, SLOTS):
        await bench.free_slot(slot)
    await bench.idle()
    assert len(bench.sink.received) == out + SLOTS * (ROWS * SLICES + 1)
    for slot in range(SLOTS):
        await bench.free_slot(slot)
    await bench.idle()
    got = bench.finish(2 * SLOTS * ROWS)
    assert got["releases_stale"] == 1 and bench.gens.late == 0


@cocotb.test(timeout_time=400, timeout_unit="us")
async def flush_cuts_a_message(dut: Any) -> None:
    """Flushed when a message of the slot is half in: its rest is dropped as stale; when one is half out: it comes out whole."""
    if ROW_BEATS < 2:
        return
    cuts = 0
    bench = Bench(dut)
    await bench.start()
    length = min(16, ROW_BEATS)
    for taken in range(1, length):
        gate = Gate(taken)
        bench.up_free[0] = False
        await bench.burst(bench.sequence(0, 2)[:-1])
        bench.source.pause(gate)
        sent = bench.send((bench.header(0, 3), bench.rng.randbytes(64 * length)))
        await ClockCycles(dut.clk, taken + 12)
        await bench.flush(0)
        gate.open()
        await sent
        bench.source.pause(None)
        cuts += 1
        await bench.idle()
    assert bench.gens.cuts == bench.gens.stale == cuts
    # the output stands still inside a message, and its slot is flushed; what follows is written at once where the message was
    for stalled in range(1, 2 * length, 3):
        bench.up_free[0] = False
        bench.burst(bench.sequence(0, ROWS, ROW_BEATS))
        before = bench.sink.beats
        while bench.sink.beats < before + stalled:
            await RisingEdge(dut.clk)
        bench.sink.pause(iter(lambda: False, True))
        await bench.source.wait_idle()
        await ClockCycles(dut.clk, 20)
        flush = cocotb.start_soon(bench.flush(0))
        await ClockCycles(dut.clk, 60)
        bench.sink.pause(None)
        await flush
        bench.up_free[0] = False
        await bench.burst(bench.sequence(0, ROWS))
        await bench.idle()
        await bench.free_slot(0)
        await bench.idle()
    bench.finish(ROWS)


@cocotb.test(timeout_time=1000, timeout_unit="us")
@cocotb.parametrize(pattern=["none", "random"])
async def flush_in_traffic(dut: Any, pattern: str) -> None:
    """Slots are flushed at any moment of random traffic and their sequences sent again: every one comes out whole in the end."""
    bench = Bench(dut, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED))
    await bench.start()
    rng = random.Random(f"flush{cocotb.RANDOM_SEED}")
    near = Neighbours(bench, SEQUENCES)
    run = cocotb.start_soon(near.run())
    flushes = 0
    while not run.done():
        await ClockCycles(dut.clk, rng.randint(10, 40))
        if flushes < 12:
            await near.flush(rng.randrange(SLOTS))
            flushes += 1
    await bench.idle()
    got = bench.finish(SEQUENCES)
    assert flushes >= 6 and got["dropped_full"] == 0
    assert all(slot.sequences >= SEQUENCES for slot in bench.slots)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def reset_in_mid_message(dut: Any) -> None:
    """Reset with messages stored, half in and half out: nothing of them appears afterwards, and all slots are free."""
    bench = Bench(dut)
    await bench.start()
    for slot in range(SLOTS):
        bench.up_free[slot] = False
        bench.burst(bench.sequence(slot, ROWS))
    await ClockCycles(dut.clk, 3 * ROW_BEATS + 10)
    bench.source.abort()
    await clocks.reset(dut)
    bench.reset_model()
    before = bench.sink.beats
    await ClockCycles(dut.clk, 40)
    assert bench.sink.beats == before
    await bench.configure()
    for slot in range(SLOTS):
        bench.up_free[slot] = False
        bench.burst(bench.sequence(slot, ROWS))
    await bench.idle()
    for slot in range(SLOTS):
        await bench.free_slot(slot)
    await bench.idle()
    bench.finish(SLOTS * ROWS)
