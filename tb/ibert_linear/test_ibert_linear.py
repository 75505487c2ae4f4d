# SPDX-License-Identifier: Apache-2.0
"""ibert_linear against the integer model, message for message and bit for bit."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge
from ibert_linear.linear_bench import GELU, KERNEL, PARTIAL, REQUANT, SHAPE, Bench, Context, random_context

from floreana.cluster import layout
from floreana.cluster.layout import Header
from floreana.ibert.params import GeluParams, LinearParams, RequantParams
from floreana_tb import stalls
from floreana_tb.generations import Gate


def mixed(bench: Bench) -> list[Context]:
    """Contexts of all modes, shapes and priorities; the last group of some is only partly used."""
    rng = bench.rng
    return [
        random_context(rng, 0, PARTIAL, 1, 16, prio=rng.randrange(4)),
        random_context(rng, 1, REQUANT, 2, 64, prio=rng.randrange(4)),
        random_context(rng, 2, GELU, 3, 64, prio=rng.randrange(4)),
        random_context(rng, 5, PARTIAL, 2, 112, prio=rng.randrange(4)),
        random_context(rng, min(63, SHAPE.CTX_N - 1), GELU, 2, 128, prio=rng.randrange(4), region=1),
    ]


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(pattern=list(stalls.PATTERNS))
async def rows_of_all_contexts(dut: Any, pattern: str) -> None:
    """Every row of every slot, two rounds, slices in any order, contexts and priorities mixed."""
    bench = Bench(dut, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED))
    contexts = mixed(bench)
    await bench.start(contexts)
    for _ in range(2):
        bench.send_rows(bench.keys(contexts))
        await bench.drain()
    await bench.finish()
    if pattern in ("backpressure", "both", "random"):
        bench.sink.demand_stalls()


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(mode=[PARTIAL, REQUANT, GELU])
async def one_row(dut: Any, mode: int) -> None:
    """A single row, and its latency: 18 + ksteps in mode 0, at most 35 + n*ksteps + 64/POST_LANES in modes 1 and 2."""
    bench = Bench(dut)
    context = random_context(bench.rng, 3, mode, 2, 64)
    await bench.start([context])
    bench.send_rows([(context, 1, 0)], whole=True)
    await bench.finish()
    ksteps = context.in_beats * 64 // SHAPE.K_LANES
    latency = bench.sink.first_cycle - bench.seen.last_cycle
    print(f"latency mode {mode}: {latency} cycles")
    if mode == PARTIAL:
        assert latency == 18 + ksteps
    else:  # a unit of 16 takes 16/POST_LANES cycles; groups that come faster wait for each other
        assert latency <= 35 + context.groups * ksteps + 64 // SHAPE.POST_LANES


def exact(context: Context, m: int = 1, e: int = 0, off: int = 0) -> None:
    n = context.outs
    context.rq = RequantParams(np.full(n, m), np.full(n, e), np.full(n, off))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def extremes(dut: Any) -> None:
    """Accumulators at both ends of int32, largest products, zeros, ties of the rounding, GELU at zero and saturated."""
    bench = Bench(dut)
    rng = bench.rng
    n = 64
    top = random_context(rng, 0, PARTIAL, 2, 16)
    k = top.in_beats * 64
    top.linear = LinearParams(np.full((16, k), -128), np.full(16, (1 << 31) - 1 - (k << 14)))
    low = random_context(rng, 1, PARTIAL, 2, 16)
    low.linear = LinearParams(np.full((16, k), 127), np.full(16, -(1 << 31) + k * 127 * 128))
    tie = random_context(rng, 2, REQUANT, 1, n)  # acc = -n/2 .. n/2 + 4*x[0]; e = 1, 2: ties of both parities
    weight = np.zeros((n, 64), np.int64)
    weight[:, 0] = 4
    tie.linear = LinearParams(weight, np.arange(n) - n // 2)
    exact(tie, e=1)
    tie.rq.e[1::2] = 2
    flat = random_context(rng, 3, GELU, 1, n)  # sign(0) = 0, and around it
    flat.linear = LinearParams(np.zeros((n, 64), np.int64), np.arange(n) - n // 2)
    flat.gelu = GeluParams(np.full(n, -100000), np.full(n, -(1 << 39)), np.full(n, (1 << 23) - 1))
    exact(flat, m=(1 << 31) - 1, e=48)
    full = random_context(rng, 4, GELU, 2, n)  # GELU output beyond 48 bits, both signs
    full.linear = LinearParams(np.full((n, k), -128), np.where(np.arange(n) % 2, (1 << 31) - 1 - (k << 14), k * 127 * 128 - (1 << 31)))
    full.gelu = GeluParams(
        np.where(np.arange(n) % 4 < 2, -(1 << 19), 0), np.where(np.arange(n) % 3, (1 << 39) - 1, -(1 << 39)),
        np.where(np.arange(n) % 5 < 3, (1 << 23) - 1, -(1 << 23)),
    )  # fmt: skip
    exact(full, m=-(1 << 31), e=71, off=-256)
    full.rq.off[::2] = 255
    full.rq.e[::7] = 80
    full.rq.e[1::7] = 0
    contexts = [top, low, tie, flat, full]
    await bench.start(contexts)
    for row, fill in enumerate((-128, 127, 0)):
        for context in contexts:
            for header, payload in bench.slices(context, row, 0, np.full(context.in_beats * 64, fill)):
                bench.source.send(header, payload)
    bound = top.out_row(np.full(k, -128)), low.out_row(np.full(k, -128))
    assert np.frombuffer(bound[0], "<i4")[0] == (1 << 31) - 1 and np.frombuffer(bound[1], "<i4")[0] == -(1 << 31)
    await bench.finish()


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def array_has_no_bubble(dut: Any) -> None:
    """With rows ready the array is busy in every cycle, across groups, rows and contexts of different shape."""
    bench = Bench(dut)
    # int8 groups long enough for the output stage: OUT_N results take OUT_N/POST_LANES cycles; partial sums OUT_N/16
    beats = -(-SHAPE.OUT_N // SHAPE.POST_LANES * SHAPE.K_LANES // 64)
    contexts = [
        random_context(bench.rng, 0, REQUANT, max(2, beats), 64),
        random_context(bench.rng, 1, PARTIAL, 3, 3 * SHAPE.OUT_N),
        random_context(bench.rng, 2, GELU, max(2, beats), 64),
        random_context(bench.rng, 3, PARTIAL, 4, 2 * SHAPE.OUT_N),
    ]
    await bench.start(contexts)
    bench.watch_busy = True
    # the longest rows first, so that the input is ahead from the second row on
    keys = sorted(bench.keys(contexts), key=lambda key: -key[0].words)[:40]
    keys[2:] = bench.rng.sample(keys[2:], len(keys) - 2)
    bench.send_rows(keys, whole=True)
    await bench.finish()
    cycles = bench.busy_cycles
    assert len(cycles) == bench.words
    gaps = [b - a for a, b in itertools.pairwise(cycles) if b - a != 1]
    print(f"array: {bench.words} words, {len(gaps)} gaps")
    assert not gaps, f"idle cycles between words: {[gap - 1 for gap in gaps]}"


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def rows_of_a_node(dut: Any) -> None:
    """The four operators of a sixth of MiniLM (default size): the array is busy in every cycle, so neither port nor output stage binds."""
    bench = Bench(dut)
    contexts = [
        random_context(bench.rng, 0, REQUANT, 6, 192, prio=1),
        random_context(bench.rng, 1, PARTIAL, 1, 384, prio=0),
        random_context(bench.rng, 2, GELU, 6, 256, prio=2),
        random_context(bench.rng, 3, PARTIAL, 4, 384, prio=3),
    ]
    await bench.start(contexts)
    bench.watch_busy = True
    rows = bench.rng.sample(range(128), 16)
    bench.send_rows([(context, row, row & 1) for row in rows for context in contexts], whole=True)
    count = await bench.finish()
    cycles = bench.busy_cycles
    gaps = [b - a for a, b in itertools.pairwise(cycles) if b - a != 1]
    print(f"array: {bench.words} words in {cycles[-1] - cycles[0] + 1} cycles")
    assert not gaps and count["blocked"] == 0, gaps


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def rows_of_one_beat_at_full_rate(dut: Any) -> None:
    """Smallest rows: one beat in; words, and one output beat, follow without an idle cycle."""
    bench = Bench(dut)
    context = random_context(bench.rng, 0, PARTIAL, 1, 16)
    await bench.start([context])
    bench.watch_busy = True
    keys = bench.keys([context])
    bench.send_rows(keys, whole=True)
    await bench.finish()
    cycles = bench.busy_cycles
    assert cycles[-1] - cycles[0] == len(keys) * 64 // SHAPE.K_LANES - 1, "idle cycle"
    if SHAPE.K_LANES == 64:
        assert bench.sink.last_cycle - bench.sink.first_cycle == len(keys) - 1, "idle cycle at the output"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def priorities(dut: Any) -> None:
    """Rows that wait are served by priority, whatever order they came in; only the row at work is ahead of them."""
    bench = Bench(dut)
    contexts = [random_context(bench.rng, prio, PARTIAL, 1, 16, prio=prio) for prio in range(4)]
    # long enough to hold the array until all others are in: 8 groups of 3 beats
    filler = random_context(bench.rng, 4, PARTIAL, 3, min(8 * SHAPE.OUT_N, 512), prio=3)
    await bench.start([*contexts, filler])
    rows = 1 << SHAPE.ROW_W
    assert rows >= 3
    bench.send_rows([(filler, row, 0) for row in range(3)], whole=True)
    late = [(contexts[prio], row, 0) for row in range(2) for prio in (3, 1, 0, 2)]
    bench.send_rows(late, whole=True)
    await bench.finish()
    order = [edge for edge, _ in dict.fromkeys((header.edge, header.row) for header, _ in bench.sink.received)]
    f = filler.number
    assert order == [f, 0, 0, 1, 1, 2, 2, f, f, 3, 3], order


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def blocked_output_does_not_stall_the_input(dut: Any) -> None:
    """The sink takes nothing: rows are still taken, the array stops when both accumulator FIFOs are full, and nothing is lost."""
    bench = Bench(dut)
    contexts = [
        random_context(bench.rng, 0, PARTIAL, 1, 8 * SHAPE.OUT_N),
        random_context(bench.rng, 1, REQUANT, 1, 448),
    ]
    await bench.start(contexts)
    bench.sink.pause(iter(lambda: False, True))
    rows = 1 << (SHAPE.ROW_W + SHAPE.SLOT_W)
    keys = [(context, row >> SHAPE.SLOT_W, row & ((1 << SHAPE.SLOT_W) - 1)) for row in range(min(rows, 16)) for context in contexts]
    bench.send_rows(keys, whole=True)
    await bench.source.wait_idle()
    await ClockCycles(dut.clk, 4 * SHAPE.ACC_FIFO_GROUPS + 300)
    before = bench.counters()
    await ClockCycles(dut.clk, 20)
    after = bench.counters()
    assert bench.sink.beats == 0 and len(bench.seen.received) == len(keys)
    assert after["busy"] == before["busy"] < sum(context.words for context, _, _ in keys), "the array was never blocked"
    assert after["blocked"] == before["blocked"] + 20
    assert (after["no_row"], after["switch"]) == (before["no_row"], before["switch"])
    bench.sink.pause(None)
    await bench.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def drops_are_counted(dut: Any) -> None:
    """Each cause, one message at a time and in a mixed stream; good rows between them stay right."""
    bench = Bench(dut)
    contexts = mixed(bench)
    await bench.start(contexts, all_edges=True)
    context = contexts[1]
    free = next(edge for edge in range(256) if edge not in bench.by_edge)
    good = Header(1, KERNEL, context.edge, 2, 3, 0, bench.generation[0], 1, 0, layout.TYPE_INT8, False)
    beat = bytes(range(64))

    def bad(payload: bytes = beat, **change: Any) -> tuple[Header, bytes]:
        return Header(**{**{name: getattr(good, name) for name in Header.__slots__}, **change}), payload

    causes = [
        ("drop_edge", bad(edge=free)),
        ("drop_edge", bad(beat * 16, edge=free, row=65535, type=layout.TYPE_CONTROL)),
        ("drop_row", bad(row=1 << SHAPE.ROW_W)),
        ("drop_row", bad(row=65535)),
        ("drop_row", bad(slot=15)),
        ("drop_row", bad(beat * 3, slot=1 << SHAPE.SLOT_W, type=layout.TYPE_INT32)),
        ("drop_format", bad(type=layout.TYPE_CONTROL)),
        ("drop_format", bad(b"", type=layout.TYPE_CONTROL)),
        ("drop_format", bad(beat * 2, type=layout.TYPE_INT32)),
        ("drop_format", bad(type=layout.TYPE_INT16)),
        ("drop_format", bad(offset=4)),
        ("drop_format", bad(offset=15)),
        ("drop_format", bad(beat[:63])),
        ("drop_slice", bad(offset=16 * context.in_beats)),
        ("drop_slice", bad(beat * 2, offset=16 * 63)),
        ("drop_slice", bad(beat * 16, offset=16 * 60)),
    ]
    count: dict[str, int] = {}
    keys = bench.keys(contexts)
    for name, message in causes * 2:
        bench.source.send(*message)
        count[name] = count.get(name, 0) + 1
        if keys:
            bench.send_rows([keys.pop()])
    await bench.drain()
    assert bench.counters()["drop_slice"] == count["drop_slice"]
    # a message that runs beyond the row: what lies inside counts, the rest is dropped, the message counted once
    bench.source.send(*bad(beat * (context.in_beats + 3), row=0))
    count["drop_slice"] += 1
    await bench.drain()
    await bench.finish(count)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_row_sent_twice_fills_the_queue_and_is_counted(dut: Any) -> None:
    """Against the protocol: with the array blocked one row is sent until its queue is full; the surplus is counted, nothing hangs."""
    bench = Bench(dut)
    context = random_context(bench.rng, 0, PARTIAL, 1, 16)
    await bench.start([context])
    bench.sink.pause(iter(lambda: False, True))
    bench.watcher.cancel()  # the model expects every row sent
    message = bench.slices(context, 1, 0)[0]
    total = SHAPE.clear_cycles + SHAPE.ACC_FIFO_GROUPS + 40
    for _ in range(total):
        bench.source.send(*message)
    await bench.source.wait_idle()
    await ClockCycles(dut.clk, 20)
    dropped = bench.counters()["drop_queue"]
    assert 0 < dropped < 40
    bench.sink.pause(None)
    await bench.sink.wait(total - dropped)
    await bench.sink.wait_quiet(60)
    assert len(bench.sink.received) == total - dropped == bench.counters()["rows_out"]


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def reset_in_mid_packet(dut: Any) -> None:
    """Rows in every stage and a message half in when the reset comes: none of them appears, and what follows is right."""
    bench = Bench(dut, stalls.both(cocotb.RANDOM_SEED))
    contexts = mixed(bench)
    await bench.start(contexts)
    for beats in (20, 45):
        start = bench.seen.beats
        bench.send_rows(bench.keys(contexts))
        while bench.seen.beats < start + beats or not bench.seen._beats:
            await RisingEdge(dut.clk)
        assert not bench.source.idle
        bench.source.abort()
        dut.rst.value = 1
        await ClockCycles(dut.clk, 2)
        bench.board.forget()
        bench.rows.clear()
        bench.seen.received.clear()
        bench.sink.received.clear()
        bench.gens.reset()
        bench.expected_rows = bench.words = bench.seen.beats = bench.sink.beats = 0
        dut.rst.value = 0
        await ClockCycles(dut.clk, SHAPE.clear_cycles + 20)
        assert not bench.sink.received, "a message from before the reset appeared"
        bench.send_rows(bench.keys(contexts)[:20])
        await bench.finish()


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def generations(dut: Any) -> None:
    """Every age, the generation going round four times: 1 to 7 newer is taken, 8 to 15 is dropped and leaves no trace in a row half in."""
    bench = Bench(dut, stalls.idle(cocotb.RANDOM_SEED))
    context = random_context(bench.rng, 1, PARTIAL, 3, 32)
    await bench.start([context], all_edges=True)
    assert not bench.active_cycles
    slots = 1 << SHAPE.SLOT_W
    dropped = 0
    now = bench.generation
    for slot in range(slots):
        now[slot] = 0
    for step in range(16):
        slot = step % slots
        # of one slot only: the other's generation stays
        first, *rest = bench.slices(context, step % (1 << SHAPE.ROW_W), slot)
        bench.source.send(*first)
        for age in range(8, 16):
            header, payload = bench.slices(context, first[0].row, slot)[0]
            bench.source.send(replace(header, generation=(now[slot] + age) & 15), payload)
            dropped += 1
        # unknown edges and rows beyond the build say nothing about the slot
        bench.source.send(replace(first[0], generation=(now[slot] + 3) & 15, row=1 << SHAPE.ROW_W), first[1])
        bench.source.send(replace(first[0], generation=(now[slot] + 3) & 15, edge=(context.edge + 1) & 255), first[1])
        for header, payload in rest:
            bench.source.send(header, payload)
        await bench.drain()
        assert bench.gens.cur[slot] == now[slot]
        now[slot] = (now[slot] + 1 + step % 7) & 15
    assert bench.gens.stale == dropped == 128
    await bench.finish({"drop_row": 16, "drop_edge": 16})
    assert bench.expected_rows == 16


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def flush_cuts_a_message(dut: Any) -> None:
    """Rows half in, in the middle of a message of either slot; one is flushed to the generation it has. The other goes on."""
    bench = Bench(dut)
    context = random_context(bench.rng, 1, REQUANT, 3, 64)
    await bench.start([context])
    slots = 1 << SHAPE.SLOT_W
    mine, other = 0, slots - 1
    for slot in (mine, other) * 2 if slots > 1 else (mine, mine):
        for which in {mine, other}:  # one beat of a row of each slot
            header = bench.slices(context, 1, which, whole=True)[0][0]
            bench.source.send(header, bench.rng.randbytes(64))
        header, payload = bench.slices(context, 1, slot, whole=True)[0]
        header = replace(header, offset=16)
        sent = bench.source.send(header, payload[64:])
        gate = Gate(len({mine, other}) + 1)
        bench.source.pause(gate)
        while not bench.seen._beats:
            await RisingEdge(dut.clk)
        await ClockCycles(dut.clk, 20)
        assert int(dut.sts_active.value) == 1 and len(bench.seen._beats) == 1
        cycles = await bench.flush(mine, bench.generation[mine])
        assert cycles == 5 + (8 << SHAPE.ROW_W), cycles
        gate.open()
        await sent
        if slot == mine and other != mine:  # the rest of the row that was not flushed
            header, payload = bench.slices(context, 1, other, whole=True)[0]
            bench.source.send(replace(header, offset=16), payload[64:])
        bench.send_rows([(context, 1, mine)], whole=True)
        await bench.drain()
        assert int(dut.sts_active.value) == 0
    await bench.finish()
    assert bench.gens.cuts == bench.gens.stale == 2 and bench.gens.late == 0
    assert bench.board.checked == bench.expected_rows == (8 if slots > 1 else 2)


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def flush_in_traffic(dut: Any) -> None:
    """One slot is flushed at random moments of the traffic and replayed with the next generation; the other runs through, bit for bit."""
    bench = Bench(dut, seed=3)
    rng = bench.rng
    contexts = mixed(bench)[:4]
    await bench.start(contexts)
    slots = 1 << SHAPE.SLOT_W
    late = 0
    for round_ in range(8):
        pattern = rng.choice(list(stalls.PATTERNS.values()))(round_)
        bench.source.pause(pattern)
        bench.sink.pause(pattern if round_ % 4 else iter(lambda: False, True))  # or blocked
        slot = rng.randrange(slots)
        keys = bench.keys(contexts)[:14]
        bench.send_rows(keys)
        await ClockCycles(dut.clk, rng.randrange(5, 90))
        flying = int(dut.flight_reg.value)
        before = bench.gens.late
        cycles = await bench.flush(slot, (bench.generation[slot] + rng.randrange(1, 8)) & 15)
        assert 5 + (8 << SHAPE.ROW_W) <= cycles <= max(5 + (8 << SHAPE.ROW_W), 10 + len(keys))
        if round_ % 2:  # a second one while the rest of the first is still under way
            await bench.flush(slot, (bench.generation[slot] + 1) & 15)
        bench.sink.pause(pattern)
        # the replay, among what is left of the other slot
        bench.send_rows([key for key in keys if key[2] == slot])
        await bench.drain()
        assert int(dut.sts_active.value) == 0
        # rows leave that were at work, or became so before the queue was emptied: no queued row
        most = max(len(context.messages) for context in contexts)
        assert bench.gens.late - before <= most * (flying + 12), (bench.gens.late - before, flying)
        late += bench.gens.late - before
    await bench.finish()
    print(f"flushes {bench.gens.flushes} cuts {bench.gens.cuts} stale {bench.gens.stale} late {late}")
    assert (bench.gens.stale or late) and bench.board.checked > 60


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def flush_empties_the_queue(dut: Any) -> None:
    """Output blocked, rows of two slots queued by turns; one is flushed, to the generation it has: only its rows at work still leave."""
    bench = Bench(dut)
    contexts = [random_context(bench.rng, i, PARTIAL, 1, 16, prio=i % 4) for i in range(8)]  # a row leaves as one message
    await bench.start(contexts)
    slots, rows = 1 << SHAPE.SLOT_W, 1 << SHAPE.ROW_W
    bench.sink.pause(iter(lambda: False, True))
    bench.send_rows([(context, row, slot) for row in range(rows) for slot in range(slots) for context in contexts], whole=True)
    await bench.source.wait_idle()
    await ClockCycles(dut.clk, 10 * SHAPE.ACC_FIFO_GROUPS)
    working = int(dut.flight_reg.value)
    assert working < len(contexts) * rows, "no row is queued"
    cycles = await bench.flush(0, bench.generation[0])
    assert cycles <= max(5 + (8 << SHAPE.ROW_W), 10 + rows * slots)
    assert int(dut.flight_reg.value) == working
    bench.sink.pause(None)
    await bench.drain()
    assert 0 < bench.gens.late <= working + 2  # two messages in the skid buffer
    assert bench.counters()["rows_out"] == bench.gens.late + bench.board.checked
    assert bench.board.checked == len(contexts) * rows * (slots - 1)
    assert int(dut.sts_active.value) == 0
    bench.send_rows([(context, row, 0) for row in range(rows) for context in contexts])
    await bench.drain()
    for slot in range(slots):
        await bench.flush(slot, (bench.generation[slot] + 7) & 15)
    # a slot that does not exist
    dut.flush_valid.value, dut.flush_slot.value = 1, slots if slots < 16 else 15
    await RisingEdge(dut.clk)
    dut.flush_valid.value = 0
    for _ in range(8):
        await RisingEdge(dut.clk)
        assert int(dut.sts_flushing.value) == 0
    await bench.finish()


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def random_run(dut: Any) -> None:
    """Long seeded run: random contexts, changing stall patterns."""
    seed = cocotb.RANDOM_SEED
    print(f"seed {seed}")
    bench = Bench(dut, seed=2)
    rng = bench.rng
    contexts = []
    for number in rng.sample(range(min(32, SHAPE.CTX_N)), 6):
        mode = rng.randrange(3)
        outs = 16 * rng.randint(1, 12) if mode == PARTIAL else 64 * rng.randint(1, 3)
        contexts.append(random_context(rng, number, mode, rng.randint(1, 3), outs, rng.randrange(4), region=len(contexts)))
    await bench.start(contexts)
    for round_ in range(3):
        bench.generation = [(g + 7 - round_) & 15 for g in bench.generation]
        pattern = rng.choice(list(stalls.PATTERNS.values()))(seed + round_)
        bench.source.pause(pattern)
        bench.sink.pause(pattern)
        bench.send_rows(bench.keys(contexts))
        await bench.drain()
    await bench.finish()
