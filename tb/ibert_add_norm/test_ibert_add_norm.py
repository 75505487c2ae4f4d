# SPDX-License-Identifier: Apache-2.0
"""Bench of ibert_add_norm: every message that leaves equals the reference kernel's, in order; every counter too."""

from __future__ import annotations

import os
from dataclasses import replace

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from norm_bench import Bench, Context, channels, make_context, same_channels

from floreana.cluster import layout
from floreana.cluster.layout import Header
from floreana_tb import stalls
from floreana_tb.generations import Gate

ENTRY, LN1, LN2, BY_MESSAGE = 10, 11, 12, 13
BY_MESSAGE_RES = 14
SEED = int(os.environ.get("COCOTB_RANDOM_SEED", "1"))


def standard(bench: Bench, parts: int, style: str = "plain") -> list[Context]:
    """ENTRY -> LN1 -> LN2 -> LN1 ..., each keeping its rows where the next one finds its residual."""
    s, rng = bench.shape, bench.rng
    words = s.hidden // s.lanes
    cut = (1,) * 2 + (s.beats - 2,) if s.beats > 2 else (1,) * s.beats
    shift = rng.randrange(3, 6)
    return [
        make_context(s, 0, [], mode=layout.NORM_ENTRY, region=2, res=0, msg=0, edge=100, cut=cut),
        make_context(s, 1, channels(rng, s.hidden, style), parts=parts, region=0, acc=0, res=0, keep=1, chan_base=0,
                     shift=shift, msg=4, edge=101),
        make_context(s, 2, channels(rng, s.hidden, style), parts=parts, region=1, acc=1, res=1, keep=0, chan_base=words,
                     shift=shift, msg=8, edge=102, by_owner=1, cut=cut),
    ]  # fmt: skip


EDGES = {ENTRY: (0, 0), LN1: (1, 1), LN2: (2, 1)}


def entry_row(bench: Bench) -> np.ndarray:
    return np.array([bench.rng.randrange(-128, 128) for _ in range(bench.shape.hidden)])


def total_row(bench: Bench, bits: int = 28) -> np.ndarray:
    return np.array([bench.rng.randrange(-(1 << bits), 1 << bits) for _ in range(bench.shape.hidden)], dtype=np.int64)


def shuffled_parts(bench: Bench, jobs: list[tuple[int, int, int]], parts: int, bits: int = 28) -> None:
    """All slices of all parts of the rows (edge, row, slot) in one random order."""
    messages = []
    for edge, row, slot in jobs:
        for values in bench.split(total_row(bench, bits), parts):
            messages += bench.part_messages(edge, row, values, slot=slot, last=row == 4)
    bench.rng.shuffle(messages)
    bench.send(messages)


async def watch_ready(bench: Bench) -> None:
    while True:
        await RisingEdge(bench.dut.clk)
        if bench.dut.rst.value == 0:
            assert bench.dut.s_axis_tready.value != bench.dut.sts_flushing.value, "the kernel did not take a beat"


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(pattern=list(stalls.PATTERNS))
async def rows_through_the_chain(dut, pattern):
    """ENTRY, LN1, LN2, LN1 again of rows of two slots, slices of all sources in random order, under each stall pattern."""
    bench = Bench(dut, stalls.PATTERNS[pattern](SEED), SEED)
    parts = bench.rng.randrange(1, 5)
    await bench.start()
    await bench.configure(standard(bench, parts), EDGES)
    cocotb.start_soon(watch_ready(bench))
    rows = bench.rng.sample(bench.our_rows(), 3)
    slots = range(1 << bench.shape.slot_w)
    jobs = [(row, slot) for row in rows for slot in slots]
    for row, slot in jobs:
        cut = bench.rng.choice((None, 1))
        messages = bench.row_messages(ENTRY, row, entry_row(bench), cut, slot=slot)
        bench.rng.shuffle(messages)
        bench.send(messages)
    await bench.drain()
    # the slots run one LayerNorm apart, so that both regions are under way at once
    for step in range(4):
        now = [(LN1, LN2)[(step - slot) % 2] for slot in slots]
        shuffled_parts(bench, [(now[slot], row, slot) for row, slot in jobs if step >= slot], parts)
        await bench.drain()
    if pattern == "backpressure":
        bench.sink.demand_stalls()
    bench.finish(len(jobs) * 4)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def whole_range_of_constants(dut):
    """Constants over the whole legal range (e 0 and 80, m at its bounds, any sign), accumulators at the int32 bounds, any shift."""
    bench = Bench(dut, stalls.random(SEED), SEED + 1)
    await bench.start()
    contexts = standard(bench, 1, "wild")
    await bench.configure(contexts, EDGES)
    rows = bench.our_rows()
    bounds = np.array([-(1 << 31), (1 << 31) - 1, 0, -1, 1])
    for i in range(8):
        row = rows[i % len(rows)]
        bench.send(bench.row_messages(ENTRY, row, entry_row(bench)))
        await bench.drain()
        for context in contexts[1:]:
            context.channels[:] = channels(bench.rng, bench.shape.hidden, "wild")
            if i % 2:
                # leave y inside its 24 bits and the output off its bounds
                for c in context.channels:
                    c.update(m=bench.rng.randrange(-(1 << 31), 1 << 31), e=40, m1=1 << 20, e1=17)
                    c.update(om=bench.rng.choice((-1, 1)) * (1 << 30), oe=bench.rng.randrange(50, 62))
            context.fields["shift"] = (0, 31, 3, 7, 12, 16, 24, 1)[i]
            bench.write_context(context)
        await bench.cfg.write(layout.MEM_EDGE, 255, 0)
        for edge in (LN1, LN2):
            acc = total_row(bench, 31)
            acc[:5] = bounds
            if i == 2:
                acc[:] = -(1 << 31)
            bench.send(bench.part_messages(edge, row, acc))
            await bench.drain()
    bench.finish(24)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def corners(dut):
    """Equal rows (zero variance), ties of both signs in every requant and in the mean, saturation of y, variance and o."""
    bench = Bench(dut, None, SEED + 2)
    s = bench.shape
    await bench.start()
    contexts = standard(bench, 1)
    await bench.configure(contexts, EDGES)
    context, row = contexts[1], bench.our_rows()[0]
    h = s.hidden
    up = np.arange(h, dtype=np.int64)
    cases: list[tuple[dict[str, int], int, np.ndarray, np.ndarray]] = [
        # constants, shift, accumulators, residual
        (dict(bias=77), 0, np.full(h, 5000), np.zeros(h)),  # zero variance: o = bias
        (dict(bias=-77, om=1, oe=0), 31, np.full(h, -(1 << 31)), np.full(h, -128)),
        (dict(m=1, e=1, m1=1, e1=1, om=1 << 20, oe=44), 0, up - h // 2, up % 8 - 4),  # ties in both first requants
        (dict(m=-1, e=1, m1=-3, e1=2, om=-(1 << 20), oe=44), 0, up - h // 2, up % 8 - 4),
        (dict(om=1, oe=27), 0, np.where(up < h // 2, 1, 0), np.zeros(h)),  # mean 1/2: to even 0
        (dict(om=1, oe=27), 0, np.where(up < h // 2, 2, 1), np.zeros(h)),  # mean 3/2: to even 2
        (dict(om=1, oe=27), 0, np.where(up < h // 2, -1, 0), np.zeros(h)),
        (dict(om=1, oe=27), 0, np.where(up < h // 2, -2, -1), np.zeros(h)),
        (dict(om=1, oe=27), 0, np.where(up < h // 2 - 1, -1, 0), np.zeros(h)),
        (dict(m=(1 << 31) - 1), 0, np.where(up % 2 == 0, (1 << 31) - 1, -(1 << 31)), np.zeros(h)),  # y and variance saturate
        (dict(m=(1 << 31) - 1, om=1, oe=0), 9, np.where(up % 2 == 0, (1 << 31) - 1, -(1 << 31)), np.zeros(h)),
        (dict(m=1, bias=(1 << 31) - 1, om=1, oe=28), 0, np.where(up == 0, 1, 0), np.zeros(h)),  # sigma small
        (dict(m=1, bias=-(1 << 31), om=1, oe=29), 0, np.where(up == 0, -8000000, 0), np.zeros(h)),
        (dict(m=1, bias=(1 << 31) - 1, om=1, oe=29), 22, np.where(up == 0, 8000000, 0), np.zeros(h)),  # o saturates at 36 bits
        (dict(om=1, oe=30, ooff=255), 2, up * 3, up % 2),
        (dict(om=1, oe=30, ooff=-256), 2, up * 3, up % 2),
    ]  # fmt: skip
    for constants, shift, acc, res in cases:
        context.channels[:] = same_channels(h, **constants)
        context.fields["shift"] = shift
        bench.write_context(context)
        await bench.cfg.write(layout.MEM_EDGE, 255, 0)
        bench.send(bench.row_messages(ENTRY, row, res))
        await bench.drain()
        bench.send(bench.part_messages(LN1, row, acc))
        await bench.drain()
    bench.finish(2 * len(cases))


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def input_flows_while_output_is_blocked(dut):
    """With the output refused for a long time the kernel takes parts of every row at one beat a cycle; nothing is lost."""
    bench = Bench(dut, None, SEED + 3)
    await bench.start()
    parts = 3
    await bench.configure(standard(bench, parts), EDGES)
    watcher = cocotb.start_soon(watch_ready(bench))
    slots = range(1 << bench.shape.slot_w)
    rows = bench.our_rows()[:8]
    for row in rows:
        for slot in slots:
            bench.send(bench.row_messages(ENTRY, row, entry_row(bench), slot=slot))
    await bench.drain()
    blocked = [False]

    def ready():
        while True:
            yield not blocked[0]

    bench.sink.pause(ready())
    blocked[0] = True
    await RisingEdge(dut.clk)
    before, cycle = bench.taken.beats, bench.taken.cycle
    shuffled_parts(bench, [(LN1, row, slot) for row in rows for slot in slots], parts)
    await bench.source.wait_idle()
    beats = bench.taken.beats - before
    assert beats == len(rows) * len(slots) * parts * bench.shape.beats * 4
    assert bench.taken.cycle - cycle <= beats + 3, "one beat a cycle"
    for _ in range(1000):
        await RisingEdge(dut.clk)
    assert bench.counters()["refused"] > 700
    blocked[0] = False
    await bench.drain()
    watcher.cancel()
    bench.finish(2 * len(rows) * len(slots))


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def single_beat_messages_back_to_back(dut):
    """Messages of one beat count for the same row in consecutive cycles; the slices of one row follow each other directly."""
    bench = Bench(dut, None, SEED + 4)
    await bench.start()
    parts = 6
    await bench.configure(standard(bench, parts), EDGES)
    a, b, c, d = bench.our_rows()[:4]
    for row in (a, b):
        bench.send(bench.row_messages(ENTRY, row, entry_row(bench), 1))
    # two rows by turns: every other record is the same
    pair = [bench.row_messages(ENTRY, row, entry_row(bench), 1) for row in (c, d)]
    bench.send([message for group in zip(*pair, strict=True) for message in group])
    await bench.drain()
    for row in (a, b, c, d):
        slices = [bench.part_messages(LN1, row, v) for v in bench.split(total_row(bench), parts)]
        # all parts of slice 0, then all of slice 1, ...
        bench.send([message for group in zip(*slices, strict=True) for message in group])
    await bench.drain()
    bench.finish(8)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def residual_by_message(dut):
    """A context whose residual comes by role 2: the row waits for it, whichever comes last."""
    bench = Bench(dut, stalls.idle(SEED), SEED + 5)
    await bench.start()
    s, parts = bench.shape, 2
    contexts = standard(bench, parts)
    contexts.append(
        make_context(s, 3, channels(bench.rng, s.hidden), parts=parts, region=3, acc=1, res=1, chan_base=2 * s.hidden // s.lanes,
                     shift=4, msg=12, edge=103)
    )  # fmt: skip
    await bench.configure(contexts, {**EDGES, BY_MESSAGE: (3, 1), BY_MESSAGE_RES: (3, 2)})
    for i, row in enumerate(bench.our_rows()[:6]):
        acc = [m for v in bench.split(total_row(bench), parts) for m in bench.part_messages(BY_MESSAGE, row, v)]
        res = bench.row_messages(BY_MESSAGE_RES, row, entry_row(bench), 1)
        messages = (acc + res, res + acc, acc[:1] + res + acc[1:])[i % 3]
        bench.send(messages[:-1])
        await bench.source.wait_idle()
        await bench.sink.wait_quiet(4 * s.hidden)
        assert len(bench.sink.received) == i, "a row left before it was complete"
        bench.send(messages[-1:])
        await bench.drain()
    # the row of LN1 beside it waits for no message
    bench.send(bench.row_messages(ENTRY, 1, entry_row(bench)))
    await bench.drain()
    shuffled_parts(bench, [(LN1, 1, 0)], parts)
    await bench.drain()
    bench.finish(8)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def bad_messages_are_dropped_and_counted(dut):
    """Every cause of a drop, counted; the rows beside are right."""
    bench = Bench(dut, None, SEED + 6)
    await bench.start()
    s, parts = bench.shape, 2
    contexts = standard(bench, parts)
    await bench.configure(contexts, {**EDGES, 20: (0, 1), 21: (1, 0), 22: (1, 3), 23: (0, 2), 24: (33, 1)})
    ours, row2 = bench.our_rows()[:2]
    for row in (ours, row2):
        bench.send(bench.row_messages(ENTRY, row, entry_row(bench)))
    await bench.drain()
    shuffled_parts(bench, [(LN1, row2, 0)], parts)
    await bench.drain()
    first, second = (bench.part_messages(LN1, ours, v) for v in bench.split(total_row(bench), parts))
    bench.send(first)
    beat = bytes(range(64))
    slice_ = first[0][1]
    int8 = dict(type=layout.TYPE_INT8)
    bad = [(bench.header(edge, ours), slice_) for edge in (0, 20, 21, 22, 23, 24, 99, 255)]
    bad += [(bench.header(edge, ours, **int8), beat) for edge in (0, 20, 21, 22, 23)]
    bad += [(bench.header(LN1, ours, type=layout.TYPE_CONTROL), b"")]
    bad += [(bench.header(LN1, row), slice_) for row in (0, 2, (1 << s.row_w) + ours, 0xFFFF)]
    bad += [(bench.header(ENTRY, ours, slot=slot, **int8), beat) for slot in (1 << s.slot_w, 15)]
    bad += [(bench.header(LN1, ours, type=kind), slice_) for kind in (0, 1, 3)]
    bad += [(bench.header(LN1, ours, offset=at), slice_) for at in (1, 16, 128, 256 * s.slices, 1023)]
    bad += [(bench.header(ENTRY, ours, type=kind), beat) for kind in (1, 2, 3)]
    bad += [(bench.header(ENTRY, ours, offset=at, **int8), beat) for at in (1, 8, 16 * s.beats, 1023)]
    bad += [(bench.header(ENTRY, row2, offset=16 * (s.beats - 1), **int8), beat * 2)]  # beyond the row
    bench.send(bad)
    bench.send(second)
    await bench.drain()
    # wrong lengths before the slice's first arrival, and one arrival too many: the row still comes right
    bench.send([(bench.header(LN2, row2), slice_[:-64])])
    if s.slices == 1:
        bench.send([(bench.header(LN2, row2), slice_ + beat)])
    first, second = (bench.part_messages(LN2, row2, v) for v in bench.split(total_row(bench), parts))
    bench.send([first[0], second[0], *([first[0]] if s.slices > 1 else []), *first[1:], *second[1:]])
    await bench.drain()
    counters = bench.counters()
    assert counters["drop_edge"] >= 13 and counters["drop_row"] >= 6 and counters["drop_slice"] >= 16, counters
    assert {k: counters[k] for k in bench.ref.count} == bench.ref.count, (counters, bench.ref.count)
    # the store and the tables are as before
    bench.send(bench.row_messages(ENTRY, ours, entry_row(bench)))
    await bench.drain()
    shuffled_parts(bench, [(LN1, ours, 0)], parts)
    await bench.drain()
    bench.finish(7)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def reset_in_mid_packet(dut):
    """Reset while a message comes in, rows are half counted, passes run and the output is stalled: afterwards all is as new."""
    bench = Bench(dut, None, SEED + 7)
    await bench.start()
    parts = 3
    await bench.configure(standard(bench, parts), EDGES)
    rows = bench.our_rows()[:4]
    for cycles in (3, 10, 60, 150, 200):
        for row in rows:
            bench.send(bench.row_messages(ENTRY, row, entry_row(bench)))
        await bench.drain()
        bench.sink.pause(stalls.backpressure(cycles))
        shuffled_parts(bench, [(LN1, row, 0) for row in rows], parts)
        for _ in range(cycles):
            await RisingEdge(dut.clk)
        bench.source.abort()
        bench.ref.reset()
        bench.board.forget()
        bench.sink.pause(None)
        await bench.reset()
        bench.board.forget()
        bench.ref.reset()
    for row in rows:
        bench.send(bench.row_messages(ENTRY, row, entry_row(bench)))
    await bench.drain()
    shuffled_parts(bench, [(LN1, row, 0) for row in rows], parts)
    await bench.drain()
    bench.finish(2 * len(rows))


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def generations(dut):
    """Every age, the generation going round: 1 to 7 newer is taken, 8 to 15 is dropped and leaves no trace in a row half in."""
    bench = Bench(dut, None, SEED + 10)
    await bench.start()
    assert not bench.active_cycles
    parts = 2
    await bench.configure(standard(bench, parts), EDGES)
    slots = 1 << bench.shape.slot_w
    now = bench.generation
    now[:] = [0] * slots
    for step in range(8):
        slot, row = step % slots, bench.our_rows()[step % 3]
        entry = bench.row_messages(ENTRY, row, entry_row(bench), 1, slot=slot)
        sums = [m for values in bench.split(total_row(bench), parts) for m in bench.part_messages(LN1, row, values, slot=slot)]
        for good in (entry, sums):
            bench.send(good[:1])
            for age in range(8, 16):
                other = bench.row_messages(ENTRY, row, entry_row(bench), slot=slot)
                other += bench.part_messages(LN1, row, total_row(bench), slot=slot)
                header, payload = bench.rng.choice(other)
                bench.send([(replace(header, generation=(now[slot] + age) & 15), payload)])
            # unknown edges, rows of other nodes and roles of the other mode say nothing about the slot
            wrong = replace(good[0][0], generation=(now[slot] + 3) & 15)
            bench.send([(replace(wrong, **change), good[0][1]) for change in ({"edge": 0}, {"row": row + 1})])
            bench.send(good[1:])
            await bench.drain()
        assert bench.gens.cur[slot] == now[slot]
        now[slot] = (now[slot] + 1 + step % 7) & 15
    bench.finish(16)
    assert bench.gens.stale == 2 * 8 * 8


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def flush_cuts_a_message(dut):
    """Rows half in, in the middle of a message of either slot; one is flushed to the generation it has. The other goes on."""
    bench = Bench(dut, None, SEED + 11)
    await bench.start()
    s, parts = bench.shape, 3
    await bench.configure(standard(bench, parts), EDGES)
    mine, other = 0, (1 << s.slot_w) - 1
    first, second, third = bench.our_rows()[:3]
    kept = sorted({mine, other})

    def sums(slot: int, row: int) -> list[tuple[Header, bytes]]:
        return [m for values in bench.split(total_row(bench), parts) for m in bench.part_messages(LN1, row, values, slot=slot)]

    for cut in (mine, mine, other):
        for slot in kept:
            for row in (first, second):
                bench.send(bench.row_messages(ENTRY, row, entry_row(bench), slot=slot))
        await bench.drain()
        messages = {(slot, row): sums(slot, row) for slot in kept for row in (first, second)}
        entries = {slot: bench.row_messages(ENTRY, third, entry_row(bench), 1, slot=slot) for slot in kept}
        for slot in kept:  # all but one message of the first row, one of the second, a part of an ENTRY row
            bench.send(messages[slot, first][:-1] + messages[slot, second][:1] + entries[slot][:-1])
        await bench.source.wait_idle()
        gate = Gate(2)
        bench.source.pause(gate)
        bench.send(messages[cut, first][-1:])
        while len(bench.taken._beats) < 2:
            await RisingEdge(dut.clk)
        for _ in range(9):
            await RisingEdge(dut.clk)
        assert int(dut.sts_active.value) == 1
        cycles = await bench.flush(mine, bench.generation[mine])
        assert cycles == 5 + (4 << s.lrow_w), cycles
        gate.open()
        await bench.source.wait_idle()
        bench.source.pause(None)
        if other != mine:
            bench.send(messages[other, second][1:] + entries[other][-1:])
            if cut != other:
                bench.send(messages[other, first][-1:])
        await bench.drain()
        assert int(dut.sts_active.value) == 0
        for row in (first, second, third):
            bench.send(bench.row_messages(ENTRY, row, entry_row(bench), 1, slot=mine))
        await bench.drain()
        for row in (first, second):
            bench.send(sums(mine, row))
        await bench.drain()
    bench.finish(3 * 5 * len(kept))
    assert bench.gens.cuts == bench.gens.stale == (2 if other != mine else 3) and bench.gens.late == 0


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def flush_in_traffic(dut):
    """One slot is flushed at random moments of the traffic and replayed with the next generation; the other runs through, bit for bit."""
    bench = Bench(dut, None, SEED + 12)
    rng = bench.rng
    await bench.start()
    parts = 2
    await bench.configure(standard(bench, parts), EDGES)
    cocotb.start_soon(watch_ready(bench))
    slots = range(1 << bench.shape.slot_w)
    rows = bench.our_rows()[:3]

    async def step(edge: int, which: list[int]) -> None:
        if edge == ENTRY:
            for row in rows:
                for slot in which:
                    bench.send(bench.row_messages(ENTRY, row, entry_row(bench), 1, slot=slot))
        else:
            shuffled_parts(bench, [(edge, row, slot) for row in rows for slot in which], parts)

    rounds = int(os.environ.get("FLUSHES", "4"))
    for round_ in range(rounds):
        pattern = rng.choice(list(stalls.PATTERNS.values()))(round_)
        slot = rng.choice(slots)
        await step(ENTRY, list(slots))
        await bench.drain()
        bench.source.pause(pattern)
        bench.sink.pause(pattern if round_ % 3 else iter(lambda: False, True))  # or blocked
        await step(LN1, list(slots))
        # until the first rows are at work at most
        for _ in range(rng.randrange(10, 60 + 30 * len(rows) * len(slots) + 4 * bench.shape.hidden // bench.shape.lanes)):
            await RisingEdge(dut.clk)
        cycles = await bench.flush(slot, (bench.generation[slot] + rng.randrange(1, 8)) & 15)
        assert 5 + (4 << bench.shape.lrow_w) <= cycles <= max(5 + (4 << bench.shape.lrow_w), 10 + len(rows) * len(slots))
        if round_ % 4 == 1:  # a second one while the rest of the first is still under way
            await bench.flush(slot, (bench.generation[slot] + 1) & 15)
        # the replay: its first rows come in while rows from before the flush are still at work
        await step(ENTRY, [slot])
        for _ in range(40):
            await RisingEdge(dut.clk)
        bench.sink.pause(pattern)
        await bench.drain()
        for edge in (LN1, LN2):
            await step(edge, [slot])
            await bench.drain()
        assert int(dut.sts_active.value) == 0
    bench.finish(rounds * 3 * len(rows))
    print(f"flushes {bench.gens.flushes} cuts {bench.gens.cuts} stale {bench.gens.stale} late {bench.gens.late}", flush=True)
    assert bench.gens.stale or bench.gens.late, "no flush met traffic"


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def old_rows_are_not_kept(dut):
    """Rows of LN2 wait behind a blocked output when their slot is flushed: they do not overwrite the residuals of the replay."""
    bench = Bench(dut, None, SEED + 13)
    await bench.start()
    await bench.configure(standard(bench, 1), EDGES)
    slots = list(range(1 << bench.shape.slot_w))
    rows = bench.our_rows()[:10]  # more than are at work when the output is blocked

    async def step(edge: int, which: list[int]) -> None:
        for row in rows:
            for slot in which:
                if edge == ENTRY:
                    bench.send(bench.row_messages(ENTRY, row, entry_row(bench), slot=slot))
                else:
                    bench.send(bench.part_messages(edge, row, total_row(bench), slot=slot))
        await bench.source.wait_idle()
        for _ in range(10):
            await RisingEdge(dut.clk)

    for edge in (ENTRY, LN1):
        await step(edge, slots)
        await bench.drain()
    bench.sink.pause(iter(lambda: False, True))
    await step(LN2, slots)
    for _ in range(12 * bench.shape.hidden // bench.shape.lanes + 400):
        await RisingEdge(dut.clk)
    working = int(dut.flight_reg.value)
    await bench.flush(0, (bench.generation[0] + 1) & 15)
    assert int(dut.flight_reg.value) == working < len(rows)
    await step(ENTRY, [0])
    bench.sink.pause(None)
    await bench.drain()
    # no row of the slot that was in the FIFO of ready rows
    messages = len(bench.ref.contexts[2].messages)
    assert 0 < bench.gens.late <= working * messages + 2 < len(rows) * messages
    await step(LN1, slots)
    await bench.drain()
    # all slots at once, rows in every stage
    await step(LN2, slots)
    for slot in slots:
        await bench.flush(slot, (bench.generation[slot] + 7) & 15)
    assert int(dut.sts_active.value) == 1
    await bench.drain()
    assert int(dut.sts_active.value) == 0
    # a slot that does not exist
    dut.flush_valid.value, dut.flush_slot.value = 1, len(slots)
    await RisingEdge(dut.clk)
    dut.flush_valid.value = 0
    for _ in range(8):
        await RisingEdge(dut.clk)
        assert int(dut.sts_flushing.value) == 0
    bench.finish(4 * len(rows))


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def rate_and_latency(dut):
    """Cycles of a single row from its last part beat to its last output beat, and between rows that wait ready."""
    bench = Bench(dut, None, SEED + 8)
    await bench.start()
    s = bench.shape
    await bench.configure(standard(bench, 1), EDGES)
    rows = bench.our_rows()[:8]
    for row in rows:
        bench.send(bench.row_messages(ENTRY, row, entry_row(bench)))
    await bench.drain()
    passes = s.hidden // s.lanes
    bench.send(bench.part_messages(LN1, rows[0], total_row(bench)))
    await bench.drain()
    latency = bench.sink.arrival[-1] - bench.taken.last_cycle
    for row in rows[1:]:
        bench.send(bench.part_messages(LN1, row, total_row(bench)))
    await bench.drain()
    period = [b - a for a, b in zip(bench.sink.arrival[-6:], bench.sink.arrival[-5:], strict=False)]
    print(f"H {s.hidden} LANES {s.lanes}: latency {latency} cycles, a row every {max(period)} cycles", flush=True)
    assert latency <= 5 * passes // 2 + 88
    assert max(period) <= 3 * passes // 2 + 48
    bench.finish(2 * len(rows))


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def long_random_run(dut):
    """Rows of both slots go round the chain at their own pace; a slot's next slices are sent when its row came out."""
    bench = Bench(dut, stalls.random(SEED + 9), SEED + 9)
    print(f"seed {SEED}", flush=True)
    await bench.start()
    parts = bench.rng.randrange(2, 8)
    await bench.configure(standard(bench, parts), EDGES)
    cocotb.start_soon(watch_ready(bench))
    slots = range(1 << bench.shape.slot_w)
    jobs = {(row, slot): -1 for row in bench.rng.sample(bench.our_rows(), 5) for slot in slots}
    waiting: dict[tuple[int, int], int] = {}
    seen = 0
    rounds = int(os.environ.get("ROUNDS", "5"))
    while waiting or any(step < rounds for step in jobs.values()):
        batch = []
        for (row, slot), step in jobs.items():
            if (row, slot) in waiting or step >= rounds or bench.rng.random() < 0.4:
                continue
            if step < 0:
                batch += bench.row_messages(ENTRY, row, entry_row(bench), 1, slot=slot)
            else:
                for values in bench.split(total_row(bench, bench.rng.randrange(20, 31)), parts):
                    batch += bench.part_messages((LN1, LN2)[step % 2], row, values, slot=slot)
            context = bench.ref.contexts[0 if step < 0 else 1 + step % 2]
            waiting[row, slot] = len(context.messages)
            jobs[row, slot] = step + 1
        bench.rng.shuffle(batch)
        bench.send(batch)
        for _ in range(50):
            await RisingEdge(dut.clk)
        for header, _ in bench.sink.received[seen:]:
            key = (header.row, header.slot)
            waiting[key] -= 1
            if not waiting[key]:
                del waiting[key]
        seen = len(bench.sink.received)
    await bench.drain()
    bench.finish(len(jobs) * (rounds + 1))
