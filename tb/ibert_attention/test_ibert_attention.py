# SPDX-License-Identifier: Apache-2.0
"""Bench of the attention kernel against ``floreana.ibert.ops``: bits, order, message bytes, drops, counters, rate."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import Any

import attention_env as env
import cocotb
import numpy as np
from attention_env import MOST_BEATS, ROWS, SLOTS, Context, Env, Rows, make_tables, random_sequence
from cocotb.triggers import ClockCycles, RisingEdge

from floreana.cluster import layout
from floreana.ibert.params import DEFERRED, SoftmaxParams
from floreana_tb import clocks, stalls
from floreana_tb.generations import Gate

LAST_CTX = env.CTX_N - 1


def contexts(first: SoftmaxParams = env.PLAIN, second: SoftmaxParams = env.COARSE) -> tuple[Context, Context]:
    """One context a bank, different in everything."""
    return (
        Context(0, 0, MOST_BEATS, first, 0, 0),
        Context(LAST_CTX, 1, max(1, MOST_BEATS - 1), second, env.REQ_WORDS - MOST_BEATS, 255 - MOST_BEATS),
    )


def shuffled(messages: list[Any], rng: random.Random) -> list[Any]:
    rng.shuffle(messages)
    return messages


async def serve(bench: Env, sequence: Rows, messages: list[Any], rng: random.Random) -> None:
    """Send one sequence among others, then wait until all its outputs have left, as a cluster would."""
    key = (sequence.slot, sequence.ctx.bank)
    target = bench.got.get(key, 0) + sequence.n * sequence.ctx.beats
    for header, payload in messages:
        await bench.source.send(header, payload)
        if rng.random() < 0.1:
            await ClockCycles(bench.dut.clk, rng.randint(1, 20))
    for _ in range(100_000):
        if bench.got.get(key, 0) >= target:
            return
        await RisingEdge(bench.dut.clk)
    raise AssertionError(f"{key}: {bench.got.get(key, 0)} outputs of {target}")


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def basic(dut: Any) -> None:
    """One sequence, rows in order."""
    rng = random.Random(cocotb.RANDOM_SEED)
    ctx = contexts()[0]
    bench = Env(dut, make_tables([ctx], rng.getrandbits(32)))
    await bench.start()
    await bench.send(random_sequence(ctx, 0, 5, rng).messages(rng, split=False))
    await bench.finish(5 * ctx.beats)
    assert bench.count("busy") > 0


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def basic_deferred(dut: Any) -> None:
    """One sequence with normalisation deferred, rows in order."""
    rng = random.Random(cocotb.RANDOM_SEED)
    ctx = contexts(env.LATE)[0]
    bench = Env(dut, make_tables([ctx], rng.getrandbits(32)))
    await bench.start()
    await bench.send(random_sequence(ctx, 0, 7, rng).messages(rng, split=False))
    await bench.finish(7 * ctx.beats)


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(pattern=sorted(stalls.PATTERNS))
async def streams(dut: Any, pattern: str) -> None:
    """All slots and both banks at once, shuffled slices, several sequences each, two sets of constants, every stall pattern."""
    await chains(dut, pattern, contexts())


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(pattern=sorted(stalls.PATTERNS))
async def streams_of_both_modes(dut: Any, pattern: str) -> None:
    """The same with one context deferred; without stalls, both."""
    await chains(dut, pattern, contexts(env.LATE, env.LATE_COARSE if pattern == "none" else env.COARSE))


async def chains(dut: Any, pattern: str, both: tuple[Context, Context]) -> None:
    rng = random.Random(f"{cocotb.RANDOM_SEED}{pattern}")
    bench = Env(dut, make_tables(both, rng.getrandbits(32)), stalls.PATTERNS[pattern](rng.randrange(1000)))
    await bench.start()

    async def chain(ctx: Context, slot: int, seed: int) -> None:
        mine = random.Random(seed)
        for _ in range(3):
            n = mine.choice([1, 2, 3, 7, min(ROWS, 16), mine.randint(1, min(ROWS, 24))])
            sequence = random_sequence(ctx, slot, n, mine)
            await serve(bench, sequence, shuffled(sequence.messages(mine), mine), mine)

    tasks = [cocotb.start_soon(chain(ctx, slot, rng.getrandbits(32))) for ctx in both for slot in range(SLOTS)]
    for task in tasks:
        await task
    await bench.finish(2 * SLOTS * 3)
    assert all(done == 3 for done in bench.model.served.values())


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def next_encoder(dut: Any) -> None:
    """Bank 1 fills and runs while bank 0 is still read; Q of bank 0 arrives row by row after its K and V."""
    rng = random.Random(cocotb.RANDOM_SEED)
    both = contexts()
    bench = Env(dut, make_tables(both, rng.getrandbits(32)))
    await bench.start()
    n = min(ROWS, 12)
    for _ in range(2):
        first, second = (random_sequence(ctx, SLOTS - 1, n, rng) for ctx in both)
        parts = first.messages(rng)
        kv = [m for m in parts if m[0].edge != first.ctx.edge(0)]
        q = [m for m in parts if m[0].edge == first.ctx.edge(0)]
        other = shuffled(second.messages(rng), rng)
        task_a = cocotb.start_soon(serve(bench, first, kv + q, rng))
        task_b = cocotb.start_soon(serve(bench, second, other, rng))
        await task_a
        await task_b
    await bench.finish(n)


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(role=[0, 1, 2])
async def flagged_last_row_first(dut: Any, role: int) -> None:
    """The last row first, flagged in one role only; then every order of the rest."""
    rng = random.Random(f"{cocotb.RANDOM_SEED}{role}")
    ctx = contexts()[0]
    bench = Env(dut, make_tables([ctx], rng.getrandbits(32)))
    await bench.start()
    for n in (1, 2, 5):
        sequence = random_sequence(ctx, 0, n, rng)
        messages = sequence.messages(rng, last_roles=(role,))
        rest = shuffled([m for m in messages if not m[0].last], rng)
        await serve(bench, sequence, [m for m in messages if m[0].last] + rest, rng)
    await bench.finish(8 * ctx.beats)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def lengths(dut: Any) -> None:
    """One row, all rows the build holds, and back to back in the same bank."""
    rng = random.Random(cocotb.RANDOM_SEED)
    ctx = contexts()[0]
    bench = Env(dut, make_tables([ctx], rng.getrandbits(32)))
    await bench.start()
    for n in (1, ROWS, 1, 2, ROWS):
        sequence = random_sequence(ctx, 0, n, rng)
        await serve(bench, sequence, shuffled(sequence.messages(rng), rng), rng)
    await bench.finish((2 * ROWS + 4) * ctx.beats)


CORNERS = {
    "plain": env.PLAIN,
    "power": env.POWER,
    "tiny": env.TINY,
    "zero": env.ZERO,
    "bound": env.BOUND,
    "clamped": env.CLAMPED,
    "saturated": env.SATURATED,
    "negative": env.NEGATIVE,
}


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(constants=sorted(CORNERS))
async def corners(dut: Any, constants: str) -> None:
    """Equal scores, one dominant score, extreme operands and a lone key, under constants at their bounds."""
    await corner(dut, constants, CORNERS[constants])


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(constants=sorted([*CORNERS, "late"]))
async def corners_deferred(dut: Any, constants: str) -> None:
    """The same deferred, sums of 0 and 1 and exponentials beyond 8 bits among them."""
    await corner(dut, constants, env.LATE if constants == "late" else replace(CORNERS[constants], mode=DEFERRED))


async def corner(dut: Any, constants: str, softmax: SoftmaxParams) -> None:
    rng = random.Random(f"{cocotb.RANDOM_SEED}{constants}")
    ctx = contexts(softmax)[0]
    bench = Env(dut, make_tables([ctx], rng.getrandbits(32)))
    await bench.start()
    n, h = min(ROWS, 9), 64 * ctx.beats
    full = {name: np.full((n, h), value, np.int64) for name, value in (("low", -128), ("high", 127), ("zero", 0))}
    dominant = np.full((n, h), -128, np.int64)
    dominant[n // 2] = 127
    v = random_sequence(ctx, 0, n, rng).v
    cases = [
        (full["zero"], full["low"], v),
        (full["low"], full["low"], full["low"]),
        (full["high"], full["low"], full["high"]),
        (full["high"], dominant, v),
        (full["high"], dominant, full["low"]),
        (full["low"], dominant, full["high"]),
    ]
    cases += [tuple(m[:1] for m in case) for case in (cases[1], cases[3])]
    for q, k, values in cases:
        sequence = Rows(ctx, 0, 3, q, k, values)
        await serve(bench, sequence, sequence.messages(rng), rng)
    await bench.finish((6 * n + 2) * ctx.beats)


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(which=[0, 1])
async def drops(dut: Any, which: int) -> None:
    """Every illegal message is counted under its cause and leaves no trace, in the midst of a good sequence."""
    rng = random.Random(f"{cocotb.RANDOM_SEED}{which}")
    ctx = contexts()[which]
    bench = Env(dut, make_tables([ctx], rng.getrandbits(32)), stalls.idle(3))
    await bench.start()
    sequence = random_sequence(ctx, 0, 6, rng)
    beat = bytes(rng.randrange(256) for _ in range(64))
    beats = ctx.beats
    bad: list[Any] = []
    for role in range(3):

        def make(offset: int = 0, role: int = role, **changes: int) -> layout.Header:
            return replace(sequence.header(2, role, offset), **changes)

        bad += [
            (make(edge=ctx.edge(0) + 3), beat),  # role 3
            (make(edge=ctx.edge(0) + 4), beat * beats),  # not valid
            (make(edge=255), beat),
            (make(row=ROWS, last=True), beat),
            (make(row=65535), beat * beats),
            (make(slot=15, last=True), beat),
            (make(slot=env.SLOTS), beat),
            (make(16 * beats), beat),
            (make(1), beat),
            (make(8, last=True), beat),
            (make(1008), beat),
            (make(type=layout.TYPE_INT32, last=True), beat),
            (make(type=layout.TYPE_CONTROL), b""),
            (make(), beat[:32]),
            (make(), beat * (beats + 1)),
            (make(16 * (beats - 1)), beat * 2),
            (make(last=True), beat * 16),
            (make(), beat * 40),
        ]
    # a message that runs over its row may have written it: the good copy of row 2 comes afterwards
    good = sequence.messages(rng)
    others = [m for m in good if m[0].row != 2]
    rest = [m for m in good if m[0].row == 2]
    await bench.send(shuffled(bad + others, rng))
    await bench.send(shuffled(rest, rng))
    await bench.finish(6 * beats)
    assert [bench.model.counts[name] for name in ("edge", "row", "slice")] == [9, 12, 33]


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def reset_mid_packet(dut: Any) -> None:
    """Reset with a message half sent, rows half counted and jobs in every stage: nothing of it is seen again."""
    rng = random.Random(cocotb.RANDOM_SEED)
    both = contexts()
    bench = Env(dut, make_tables(both, rng.getrandbits(32)), stalls.random(5))
    await bench.start()
    for trial in range(6):
        sequences = [random_sequence(ctx, 0, min(ROWS, 10), rng) for ctx in both]
        messages = [m for s in sequences for m in s.messages(rng)]
        bench.source.send_beats([])
        for header, payload in messages[: None if trial % 2 else -3]:
            bench.source.send(header, payload)
        await ClockCycles(dut.clk, rng.randint(20, 500))
        bench.source.abort()
        await clocks.reset(dut, cycles=1 + trial)
        bench.model.reset()
        bench.gens.reset()
        bench.board._expected.clear()
        bench.board._got.clear()
        bench.got.clear()
        bench.sink_base = len(bench.sink.received)
        bench.board.checked = bench.board.equal = bench.sink_base
        for s in sequences:
            await bench.send(shuffled(s.messages(rng), rng))
        await bench.finish(1)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def generations(dut: Any) -> None:
    """Every age, the generation going round: 1 to 7 newer is taken, 8 to 15 is dropped and leaves no trace in a sequence half in."""
    rng = random.Random(cocotb.RANDOM_SEED)
    ctx = contexts()[0]
    bench = Env(dut, make_tables([ctx], rng.getrandbits(32)))
    await bench.start()
    assert not bench.active_cycles
    now = [0] * SLOTS
    for step in range(12):
        slot = step % SLOTS
        good = random_sequence(ctx, slot, 2, rng, now[slot]).messages(rng)
        at = rng.randrange(1, len(good) + 1)
        for header, payload in good[:at]:
            bench.source.send(header, payload)
        for age in range(8, 16):
            header, payload = rng.choice(random_sequence(ctx, slot, 2, rng, now[slot] + age & 15).messages(rng))
            bench.source.send(header, payload)
        # unknown edges and rows beyond the build say nothing about the slot
        header, payload = good[0]
        bench.source.send(replace(header, generation=now[slot] + 3 & 15, edge=ctx.edge(0) + 4), payload)
        bench.source.send(replace(header, generation=now[slot] + 3 & 15, row=ROWS), payload)
        for header, payload in good[at:]:
            bench.source.send(header, payload)
        await bench.drain()
        assert bench.gens.cur[slot] == now[slot]
        now[slot] = now[slot] + 1 + step % 7 & 15
    await bench.finish(24 * ctx.beats)
    assert bench.gens.stale == 96


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def flush_cuts_a_message(dut: Any) -> None:
    """Rows of Q, K, V half in, in the middle of a message of either slot; one is flushed to the generation it has. The other goes on."""
    rng = random.Random(cocotb.RANDOM_SEED)
    ctx = contexts()[0]
    bench = Env(dut, make_tables([ctx], rng.getrandbits(32)))
    await bench.start()
    mine, other = 0, SLOTS - 1
    cuts = [slot for slot in (mine, other) for _ in range(3)] if other != mine else [mine] * 3
    for role, slot in enumerate(cuts):
        sequences = {which: random_sequence(ctx, which, 3, rng) for which in (mine, other)}
        whole = {which: s.messages(rng, split=False) for which, s in sequences.items()}
        for messages in whole.values():  # the first Q row in two messages, one of which comes
            header, payload = messages.pop(0)
            messages += [(header, payload[:64])] if ctx.beats == 1 else [(header, payload[:64]), (replace(header, offset=16), payload[64:])]
            assert header.edge == ctx.edge(0) and header.row == 0
        sent = [m for messages in whole.values() for m in messages if m[0].row == 1]
        sent += [m for messages in whole.values() for m in messages if (m[0].row, m[0].edge, m[0].offset) == (0, ctx.edge(0), 0)]
        half = next(m for m in whole[slot] if m[0].row == 2 and m[0].edge == ctx.edge(role % 3))
        before = len(bench.monitor.received)
        gate = Gate(sum(len(payload) // 64 for _, payload in sent) + (ctx.beats > 1))  # a row of one beat has no half
        bench.source.pause(gate)
        for header, payload in [*sent, half] if ctx.beats > 1 else sent:
            last = bench.source.send(header, payload)
        while len(bench.monitor.received) < before + len(sent) or (ctx.beats > 1 and not bench.monitor._beats):
            await RisingEdge(dut.clk)
        await ClockCycles(dut.clk, 9)
        assert int(dut.sts_active.value) == 1
        assert await bench.flush(mine, sequences[mine].generation) == 5
        gate.open()
        await last
        bench.source.pause(None)
        if other != mine:
            for message in whole[other]:
                if message not in sent and (message != half or ctx.beats == 1):
                    bench.source.send(*message)
            await bench.drain(15_000)
            assert int(dut.sts_active.value) == 0
        # whole rows: one that a beat was left of would never be complete
        for header, payload in random_sequence(ctx, mine, 3, rng).messages(rng, split=False):
            bench.source.send(header, payload)
        await bench.drain(15_000)
    await bench.finish(len(cuts) * (2 if other != mine else 1) * 3 * ctx.beats)
    assert bench.gens.cuts == bench.gens.stale == (3 if ctx.beats > 1 else 0) and bench.gens.late == 0


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def flush_in_traffic(dut: Any) -> None:
    """One slot is flushed at random moments of the traffic and replayed with the next generation; the other runs through, bit for bit."""
    rng = random.Random(cocotb.RANDOM_SEED)
    both = contexts()
    bench = Env(dut, make_tables(both, rng.getrandbits(32)))
    await bench.start()
    now = [0] * SLOTS
    for round_ in range(10):
        pattern = rng.choice(list(stalls.PATTERNS.values()))(round_)
        bench.source.pause(pattern)
        bench.sink.pause(pattern if round_ % 3 else iter(lambda: False, True))  # or blocked
        slot = rng.randrange(SLOTS)
        sequences = [random_sequence(ctx, s, rng.randint(2, 6), rng, now[s]) for ctx in both for s in range(SLOTS)]
        messages = [m for sequence in sequences for m in sequence.messages(rng)]
        for header, payload in shuffled(messages, rng) if round_ % 2 else messages:
            bench.source.send(header, payload)
        await ClockCycles(dut.clk, rng.randrange(10, 3 * len(messages)))
        now[slot] = now[slot] + rng.randrange(1, 8) & 15
        assert await bench.flush(slot, now[slot]) == 5
        bench.sink.pause(pattern)
        if round_ % 4 == 1:  # a second one while the rest of the first is still under way
            now[slot] = now[slot] + 1 & 15
            await bench.flush(slot, now[slot])
        replay = [replace(sequence, generation=now[slot]) for sequence in sequences if sequence.slot == slot]
        for header, payload in shuffled([m for sequence in replay for m in sequence.messages(rng)], rng):
            bench.source.send(header, payload)
        await bench.drain()
        assert int(dut.sts_active.value) == 0
    await bench.finish(10 * SLOTS * 2)
    print(f"flushes {bench.gens.flushes} cuts {bench.gens.cuts} stale {bench.gens.stale} late {bench.gens.late}")
    assert bench.gens.stale or bench.gens.late, "no flush met traffic"


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def flush_empties_the_queue(dut: Any) -> None:
    """Output blocked, Q rows of both banks of every slot queued; one slot is flushed: only its rows at work still leave. Then all are."""
    rng = random.Random(cocotb.RANDOM_SEED)
    both = contexts()
    bench = Env(dut, make_tables(both, rng.getrandbits(32)))
    await bench.start()
    bench.sink.pause(iter(lambda: False, True))
    n = min(ROWS, 12)
    for ctx in both:
        for slot in range(SLOTS):
            for header, payload in random_sequence(ctx, slot, n, rng).messages(rng):
                bench.source.send(header, payload)
    await bench.source.wait_idle()
    await ClockCycles(dut.clk, 40 * n)
    working = int(dut.flight_reg.value) + MOST_BEATS + 2  # a row being offered, two messages in the skid buffer
    assert working < n * (both[0].beats + both[1].beats)
    await bench.flush(0, (random_sequence(both[0], 0, 1, rng).generation + 1) & 15)
    bench.sink.pause(None)
    await bench.drain()
    assert 0 < bench.gens.late <= working
    assert int(dut.sts_active.value) == 0
    bench.sink.pause(iter(lambda: False, True))
    for slot in range(SLOTS):
        for header, payload in random_sequence(both[1], slot, n, rng, bench.gens.cur[slot]).messages(rng)[: -1 if slot else None]:
            bench.source.send(header, payload)
    await bench.source.wait_idle()
    await ClockCycles(dut.clk, 100)
    for slot in range(SLOTS):
        await bench.flush(slot, (bench.gens.cur[slot] + 7) & 15)
    assert int(dut.sts_active.value) == 1
    bench.sink.pause(None)
    # a slot that does not exist
    dut.flush_valid.value, dut.flush_slot.value = 1, SLOTS
    await RisingEdge(dut.clk)
    dut.flush_valid.value = 0
    for _ in range(8):
        await RisingEdge(dut.clk)
        assert int(dut.sts_flushing.value) == 0
    for ctx in both:
        for header, payload in random_sequence(ctx, 0, 3, rng, bench.gens.cur[0]).messages(rng):
            bench.source.send(header, payload)
    await bench.finish(6)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def blocked(dut: Any) -> None:
    """The output is blocked until everything is full; input goes on, and nothing is lost when it opens."""
    rng = random.Random(cocotb.RANDOM_SEED)
    both = contexts()
    bench = Env(dut, make_tables(both, rng.getrandbits(32)), stalls.Pattern(stalls.none().stalls, itertools.repeat(False)))
    await bench.start()
    sequences = [random_sequence(ctx, 0, min(ROWS, 16), rng) for ctx in both]
    for sequence in sequences:
        await bench.send(sequence.messages(rng))
    await ClockCycles(dut.clk, 1500)
    assert bench.count("stalled") > 500
    assert not bench.sink.received
    bench.sink.pause(stalls.random(3))
    await bench.finish(32)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def waiting_is_counted(dut: Any) -> None:
    """Q rows wait for the last V beat: the counter of those cycles moves, and only then."""
    rng = random.Random(cocotb.RANDOM_SEED)
    ctx = contexts()[0]
    bench = Env(dut, make_tables([ctx], rng.getrandbits(32)))
    await bench.start()
    messages = random_sequence(ctx, 0, 3, rng).messages(rng, split=False)
    messages.sort(key=lambda m: m[0].edge & 3)
    await bench.send(messages[:-1])
    await ClockCycles(dut.clk, 20)
    first = bench.count("waiting")
    await ClockCycles(dut.clk, 100)
    assert bench.count("waiting") == first + 100
    assert bench.count("busy") == 0 and int(dut.sts_active.value) == 1
    await bench.send(messages[-1:])
    await bench.finish(3)
    last = bench.count("waiting")
    await ClockCycles(dut.clk, 100)
    assert bench.count("waiting") == last


async def flow(bench: Env, sequence: Rows, rng: random.Random) -> tuple[int, list[int]]:
    """Send Q and K, then V; returns the cycle of the last input beat and those of the outputs."""
    base = len(bench.sink.arrival)
    messages = sequence.messages(rng, split=False)
    messages.sort(key=lambda m: m[0].edge & 3)
    await bench.send(messages)
    await bench.sink.wait(base + sequence.n * sequence.ctx.beats)
    last_in = bench.monitor.last_cycle
    assert last_in is not None
    return last_in, bench.sink.arrival[base:]


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(mode=[0, 1])
async def rate(dut: Any, mode: int) -> None:
    """Cycles between head beats: at most max(N, 17) + 16 always, N where N hides the division; latency within its budget."""
    rng = random.Random(cocotb.RANDOM_SEED)
    ctx = contexts(env.LATE if mode else env.PLAIN)[0]
    bench = Env(dut, make_tables([ctx], rng.getrandbits(32)))
    await bench.start()
    lengths = sorted({1, 2, min(ROWS, 8), min(ROWS, 16), min(ROWS, 17), min(ROWS, 40), ROWS})
    for n in lengths:
        last_in, arrival = await flow(bench, random_sequence(ctx, 0, n, rng), rng)
        latency = arrival[0] - last_in
        gaps = [b - a for a, b in itertools.pairwise(arrival)]
        worst = max(gaps, default=0)
        mean = sum(gaps) / len(gaps) if gaps else 0.0
        print(f"rate: N {n}: latency {latency}, interval mean {mean:.2f} worst {worst}", flush=True)
        assert worst <= max(n, 17) + 16, f"N {n}: {worst} cycles between head beats"
        assert latency <= 3 * n + (79 if mode else 77), f"N {n}: latency {latency}"
        if n >= 40:
            assert worst == n, f"N {n}: {worst} cycles between head beats, nothing hides there"
    await bench.finish(sum(lengths) * ctx.beats)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def modes_take_turns(dut: Any) -> None:
    """Sequences of one row, deferred in bank 0 and not in bank 1, as fast as they come: jobs of both modes wait for the multipliers."""
    rng = random.Random(cocotb.RANDOM_SEED)
    both = contexts(env.LATE)
    bench = Env(dut, make_tables(both, rng.getrandbits(32)))
    await bench.start()
    for trial in range(12):
        rows = [random_sequence(ctx, slot, 1 + trial % 3, rng) for slot in range(SLOTS) for ctx in both]
        messages = [m for sequence in rows for m in sequence.messages(rng)]
        messages.sort(key=lambda m: m[0].edge & 3, reverse=True)  # queries last: all are ready at once
        before = len(bench.sink.received)
        for header, payload in messages:
            bench.source.send(header, payload)
        await bench.sink.wait(before + sum(sequence.n * sequence.ctx.beats for sequence in rows))
    await bench.finish(24 * SLOTS)
