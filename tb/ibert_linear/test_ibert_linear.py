# SPDX-License-Identifier: Apache-2.0
"""ibert_linear against the integer model, message for message and bit for bit."""

from __future__ import annotations

import itertools
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge
from ibert_linear.linear_bench import GELU, KERNEL, PARTIAL, REQUANT, SHAPE, Bench, Context, random_context

from floreana.cluster import layout
from floreana.cluster.layout import Header
from floreana.ibert.params import GeluParams, LinearParams, RequantParams
from floreana_tb import stalls


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
    """A single row, and its latency: 17 + ksteps in mode 0, at most 34 + n*ksteps + 64/POST_LANES in modes 1 and 2."""
    bench = Bench(dut)
    context = random_context(bench.rng, 3, mode, 2, 64)
    await bench.start([context])
    bench.send_rows([(context, 1, 0)], whole=True)
    await bench.finish()
    ksteps = context.in_beats * 64 // SHAPE.K_LANES
    latency = bench.sink.first_cycle - bench.seen.last_cycle
    print(f"latency mode {mode}: {latency} cycles")
    if mode == PARTIAL:
        assert latency == 17 + ksteps
    else:  # a unit of 16 takes 16/POST_LANES cycles; groups that come faster wait for each other
        assert latency <= 34 + context.groups * ksteps + 64 // SHAPE.POST_LANES


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
    """Rows that wait are served by priority, whatever order they came in; two rows may be ahead in the sequencer."""
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
    order = [header.edge for header, _ in bench.sink.received if header.edge != filler.number]
    assert order == [0, 0, 1, 1, 2, 2, 3, 3], order


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
    assert after["blocked"] == before["blocked"] + 20 and after["no_row"] == before["no_row"]
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
    good = Header(1, KERNEL, context.edge, 2, 3, 0, 0, 1, 0, layout.TYPE_INT8, False)
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
        bench.expected_messages = bench.expected_rows = bench.words = bench.seen.beats = bench.sink.beats = 0
        dut.rst.value = 0
        await ClockCycles(dut.clk, SHAPE.clear_cycles + 20)
        assert not bench.sink.received, "a message from before the reset appeared"
        bench.send_rows(bench.keys(contexts)[:20])
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
        pattern = rng.choice(list(stalls.PATTERNS.values()))(seed + round_)
        bench.source.pause(pattern)
        bench.sink.pause(pattern)
        bench.send_rows(bench.keys(contexts))
        await bench.drain()
    await bench.finish()
