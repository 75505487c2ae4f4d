# SPDX-License-Identifier: Apache-2.0
"""What the tests of ibert_linear share: contexts with random constants, their images, and the model behind the input monitor."""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge

from floreana.cluster import layout
from floreana.cluster.layout import Header
from floreana.ibert import ops
from floreana.ibert.params import GeluParams, IntArray, LinearParams, RequantParams
from floreana_tb import clocks
from floreana_tb.generations import Generations, watch_active
from floreana_tb.stalls import Pattern
from floreana_tb.streams import ConfigBus, MessageSink, MessageSource, Monitor, Scoreboard

PARTIAL, REQUANT, GELU = layout.LINEAR_PARTIAL, layout.LINEAR_REQUANT, layout.LINEAR_GELU
CLUSTER, KERNEL = 0x5A, 0x21
COUNTERS = [
    "messages_in",
    "beats_in",
    "drop_edge",
    "drop_row",
    "drop_slice",
    "drop_format",
    "drop_queue",
    "busy",
    "no_row",
    "blocked",
    "rows_out",
    "messages_out",
    "beats_out",
    "drop_stale",
    "switch",
]


@dataclass(frozen=True)
class Shape:
    """Parameters of the design, handed over by the runner."""

    K_LANES: int = 64
    OUT_N: int = 48
    POST_LANES: int = 8
    W_WORDS: int = 1024
    BIAS_WORDS: int = 256
    POST_WORDS: int = 512
    STORE_BEATS: int = 8192
    ROW_W: int = 7
    SLOT_W: int = 1
    CTX_N: int = 64
    ACC_FIFO_GROUPS: int = 64

    @property
    def clear_cycles(self) -> int:
        return 8 << (self.ROW_W + self.SLOT_W)


SHAPE = Shape(**json.loads(os.environ.get("LINEAR_PARAMETERS", "{}")))


@dataclass
class Context:
    number: int
    edge: int
    region: int
    prio: int
    mode: int
    in_beats: int
    linear: LinearParams
    rq: RequantParams
    gelu: GeluParams
    messages: list[dict[str, int]]
    msg_base: int = 0
    in_base: int = 0

    @property
    def outs(self) -> int:
        return int(self.linear.bias.shape[0])

    @property
    def groups(self) -> int:
        return -(-self.outs // SHAPE.OUT_N)

    @property
    def words(self) -> int:
        return self.groups * self.in_beats * 64 // SHAPE.K_LANES

    def out_row(self, x: IntArray) -> bytes:
        """Output bytes of one row."""
        acc = ops.linear(x[None, :], self.linear)
        if self.mode == PARTIAL:
            return acc.astype("<i4").tobytes()
        y = ops.gelu(acc, self.gelu) if self.mode == GELU else acc
        return ops.requant_params(y, self.rq).astype("i1").tobytes()


def random_context(
    rng: random.Random, number: int, mode: int, in_beats: int, outs: int, prio: int = 0, region: int | None = None
) -> Context:
    nrng = np.random.default_rng(rng.getrandbits(64))
    k = in_beats * 64
    gelu = GeluParams(
        b=-nrng.integers(0, 1 << 16, outs), c=nrng.integers(-(1 << 33), 1 << 33, outs), shift=nrng.integers(-(1 << 19), 1 << 19, outs)
    )
    # typical |acc| is 2^16..2^19, after GELU 2^38: e brings most results inside int8, some outside
    e = nrng.integers(53, 58, outs) if mode == GELU else nrng.integers(36, 41, outs)
    sign = nrng.choice([-1, 1], outs)
    context = Context(
        number=number, edge=4 * number + rng.randrange(4), region=number % 8 if region is None else region, prio=prio, mode=mode,
        in_beats=in_beats,
        linear=LinearParams(nrng.integers(-128, 128, (outs, k)), nrng.integers(-(1 << 18), 1 << 18, outs)),
        rq=RequantParams(sign * nrng.integers(1 << 28, 1 << 30, outs), e, nrng.integers(-20, 20, outs)),
        gelu=gelu,
        messages=[],
    )  # fmt: skip
    cut_messages(rng, context)
    return context


def cut_messages(rng: random.Random, context: Context) -> None:
    """Random cut of the output row into messages of 1 to 16 beats."""
    beats = context.outs // (16 if context.mode == PARTIAL else 64)
    done = 0
    while done < beats:
        size = min(rng.randint(1, 16), beats - done)
        if len(context.messages) >= 6:
            size = min(16, beats - done)
        context.messages.append(
            {
                "dst_cluster": rng.randrange(256), "dst_kernel": rng.randrange(200), "edge": context.number,
                "by_owner": rng.randrange(2), "offset": 16 * done,
                "type": layout.TYPE_INT32 if context.mode == PARTIAL else layout.TYPE_INT8, "beats": size,
            }
        )  # fmt: skip
        done += size


class Bench:
    """Drivers, monitors, configuration and model."""

    def __init__(self, dut: Any, pattern: Pattern | None = None, seed: int = 1) -> None:
        self.dut = dut
        self.rng = random.Random(f"{cocotb.RANDOM_SEED}/{seed}")
        self.source = MessageSource(dut, "s_axis", dut.clk, pattern)
        self.sink = MessageSink(dut, "m_axis", dut.clk, pattern)
        self.board = Scoreboard("ibert_linear", key=lambda item: (item[0].edge, item[0].slot, item[0].row, item[0].offset))
        self.seen = Monitor(dut, "s_axis", dut.clk, self.on_message)
        self.sink.add_callback(self.on_output)
        self.gens = Generations(dut, 1 << SHAPE.SLOT_W, self.seen)
        # what the next row of a slot carries: 0 to 7 newer than the 0 of the reset
        self.generation = [random.Random(f"generation{seed}/{slot}").randrange(8) for slot in range(1 << SHAPE.SLOT_W)]
        self.active_cycles: list[int] = []
        self.config = ConfigBus(dut, dut.clk)
        self.contexts: dict[int, Context] = {}
        self.by_edge: dict[int, Context] = {}
        self.owner = [self.rng.randrange(50) for _ in range(1 << SHAPE.ROW_W)]
        self.rows: dict[tuple[int, int, int], dict[int, bytes]] = {}
        self.expected_rows = 0
        self.words = 0
        self.busy_cycles: list[int] = []
        self.watch_busy = False
        dut.id_cluster.value = CLUSTER
        dut.id_kernel.value = KERNEL

    async def start(self, contexts: list[Context], all_edges: bool = False) -> None:
        await clocks.start(self.dut)
        await self.configure(contexts, all_edges)
        await ClockCycles(self.dut.clk, max(1, SHAPE.clear_cycles - self.config.writes) + 4)
        cocotb.start_soon(self.always_ready())
        self.watcher = cocotb.start_soon(watch_active(self.dut, self.held, self.active_cycles))

    async def always_ready(self) -> None:
        """tready of the input is 1 but for flushes, whatever the output does; notes the cycles in which the array is busy."""
        cycle, before = 0, None
        while True:
            await RisingEdge(self.dut.clk)
            if str(self.dut.rst.value) != "0":
                return
            cycle += 1
            assert str(self.dut.s_axis_tready.value) != str(self.dut.sts_flushing.value), "input was stalled"
            if self.watch_busy:
                busy = int(self.dut.sts_count.value) >> (32 * COUNTERS.index("busy")) & 0xFFFFFFFF
                if before is not None and busy != before:
                    self.busy_cycles.append(cycle)
                before = busy

    async def configure(self, contexts: list[Context], all_edges: bool) -> None:
        w_base = b_base = post_base = msg_base = 0
        in_base: dict[int, tuple[int, int]] = {}
        store = 0
        write = self.config.write
        if all_edges:
            for edge in range(256):
                write(layout.MEM_EDGE, edge, 0x5F)  # not valid
        for row, number in enumerate(self.owner):
            write(layout.MEM_OWNER, row, number)
        rows = 1 << (SHAPE.ROW_W + SHAPE.SLOT_W)
        for context in contexts:
            self.contexts[context.number] = context
            self.by_edge[context.edge] = context
            beats, lanes = context.in_beats, SHAPE.K_LANES
            if context.region not in in_base:
                in_base[context.region] = (store, beats)
                store += beats * rows
            context.in_base, context.msg_base = in_base[context.region][0], msg_base
            write(layout.MEM_EDGE, context.edge, layout.pack(layout.EDGE, {"ctx": context.number, "role": 0, "valid": 1}))
            write(
                layout.MEM_CONTEXT,
                context.number,
                layout.pack(
                    layout.LINEAR_CONTEXT,
                    {
                        "in_base": context.in_base, "in_beats": beats, "region": context.region, "prio": context.prio,
                        "mode": context.mode, "groups": context.groups, "out_units": context.outs // 16, "w_base": w_base,
                        "bias_base": b_base, "post_base": post_base, "msg_base": msg_base, "msg_count": len(context.messages),
                    },
                ),
            )  # fmt: skip
            for message in context.messages:
                write(layout.MEM_MESSAGE, msg_base, layout.pack(layout.MESSAGE, message))
                msg_base += 1
            ksteps = beats * 64 // lanes
            padded = np.zeros((context.groups * SHAPE.OUT_N, beats * 64), np.int64)
            padded[: context.outs] = context.linear.weight
            bias = np.zeros(context.groups * SHAPE.OUT_N, np.int64)
            bias[: context.outs] = context.linear.bias
            for g in range(context.groups):
                for k in range(ksteps):
                    for o in range(SHAPE.OUT_N):
                        lane = padded[g * SHAPE.OUT_N + o, k * lanes : (k + 1) * lanes].astype("i1").tobytes()
                        write(layout.MEM_WEIGHT, (w_base + g * ksteps + k) << 6 | o, int.from_bytes(lane, "little"))
                for seg in range(SHAPE.OUT_N // 16):
                    first = g * SHAPE.OUT_N + 16 * seg
                    raw = bias[first : first + 16].astype("<i4").tobytes()
                    write(layout.MEM_BIAS, (b_base + g) << 4 | seg, int.from_bytes(raw, "little"))
            w_base += context.groups * ksteps
            b_base += context.groups
            if context.mode != PARTIAL:
                for c in range(context.outs):
                    value = layout.pack(
                        layout.POST,
                        {
                            "m": int(context.rq.m[c]), "e": int(context.rq.e[c]), "off": int(context.rq.off[c]),
                            "gelu_b": int(context.gelu.b[c]), "gelu_c": int(context.gelu.c[c]),
                            "gelu_shift": int(context.gelu.shift[c]),
                        },
                    )  # fmt: skip
                    write(layout.MEM_POST, post_base * SHAPE.POST_LANES + c, value)
                post_base += -(-context.outs // SHAPE.POST_LANES)
        assert w_base <= SHAPE.W_WORDS and b_base <= SHAPE.BIAS_WORDS and post_base <= SHAPE.POST_WORDS
        assert store <= SHAPE.STORE_BEATS and msg_base <= 256, (store, msg_base)
        # beyond the memories: ignored, or the wrap would overwrite a word in use
        write(layout.MEM_WEIGHT, SHAPE.W_WORDS << 6, (1 << 512) - 1)
        write(layout.MEM_BIAS, SHAPE.BIAS_WORDS << 4, (1 << 512) - 1)
        write(layout.MEM_POST, SHAPE.POST_WORDS * SHAPE.POST_LANES, (1 << 132) - 1)
        write(layout.MEM_CONTEXT, SHAPE.CTX_N, (1 << 106) - 1)
        await write(layout.MEM_EDGE, 256, 0)
        await ClockCycles(self.dut.clk, 3)

    # ---- model: sees what the design saw

    def on_message(self, item: tuple[Header, bytes]) -> None:
        header, payload = item
        cut = self.gens.begin()
        context = self.by_edge.get(header.edge)
        if (
            context is None or header.row >> SHAPE.ROW_W or header.slot >> SHAPE.SLOT_W
            or self.gens.drop(header, cut)
            or header.type != layout.TYPE_INT8 or header.offset % 16 or not payload or len(payload) % 64
        ):  # fmt: skip
            return
        row = self.rows.setdefault((context.region, header.slot, header.row), {})
        for i in range(len(payload) // 64):
            pos = header.offset // 16 + i
            if pos >= context.in_beats:
                continue
            row[pos] = payload[64 * i : 64 * i + 64]
            if len(row) == context.in_beats:
                x = np.frombuffer(b"".join(row[p] for p in range(context.in_beats)), "i1").astype(np.int64)
                row.clear()
                self.expect_row(context, header, x)

    def on_output(self, item: tuple[Header, bytes]) -> None:
        if not self.gens.is_late(item[0]):
            self.board.got(item)

    def held(self) -> bool:
        """The model waits for something: the rest of a message or of a row, or a row that has not left."""
        return bool(self.seen._beats) or any(self.rows.values()) or any(self.board._expected.values())

    def forget_slot(self, slot: int) -> None:
        self.gens.forget(self.board, slot, lambda item: item[0])
        for key in self.rows:
            if key[1] == slot:
                self.rows[key].clear()

    async def flush(self, slot: int, generation: int) -> int:
        """FLUSH(slot); rows queued by then keep their generation, later ones have the new one. Returns its cycles."""
        self.generation[slot] = generation
        return await self.gens.flush(slot, generation, self.forget_slot)

    def expect_row(self, context: Context, header: Header, x: IntArray) -> None:
        data = context.out_row(x)
        self.expected_rows += 1
        self.words += context.words
        done = 0
        for m in context.messages:
            size = 64 * m["beats"]
            kernel = (m["dst_kernel"] + (self.owner[header.row] if m["by_owner"] else 0)) & 255
            out = Header(
                m["dst_cluster"], kernel, m["edge"], CLUSTER, KERNEL, header.slot, header.generation, header.row, m["offset"],
                m["type"], header.last,
            )  # fmt: skip
            self.board.expect((out, data[done : done + size]))
            done += size
        assert done == len(data)

    # ---- stimulus

    def slices(self, context: Context, row: int, slot: int, x: IntArray | None = None, whole: bool = False) -> list[tuple[Header, bytes]]:
        """Messages of one row in random cut and order."""
        size = context.in_beats * 64
        if x is None:
            x = np.frombuffer(self.rng.randbytes(size), "i1")
        raw = x.astype("i1").tobytes()
        generation, last = self.generation[slot], bool(self.rng.randrange(2))
        out, pos = [], 0
        while pos < context.in_beats:
            beats = min(16 if whole else self.rng.randint(1, 16), context.in_beats - pos)
            header = Header(
                self.rng.randrange(256), KERNEL, context.edge, self.rng.randrange(256), self.rng.randrange(256), slot, generation,
                row, 16 * pos, layout.TYPE_INT8, last,
            )  # fmt: skip
            out.append((header, raw[64 * pos : 64 * (pos + beats)]))
            pos += beats
        self.rng.shuffle(out)
        return out

    def keys(self, contexts: list[Context]) -> list[tuple[Context, int, int]]:
        """Every (context, row, slot) once, in random order; a region holds one row of that number at a time."""
        regions: dict[int, list[Context]] = {}
        for context in contexts:
            regions.setdefault(context.region, []).append(context)
        keys = [
            (self.rng.choice(members), row, slot)
            for _, members in sorted(regions.items())
            for row in range(1 << SHAPE.ROW_W)
            for slot in range(1 << SHAPE.SLOT_W)
        ]
        self.rng.shuffle(keys)
        return keys

    def send_rows(self, keys: list[tuple[Context, int, int]], whole: bool = False) -> None:
        """Queue rows; slices of up to three rows are mixed."""
        waiting: list[tuple[Header, bytes]] = []
        for i, (context, row, slot) in enumerate(keys):
            waiting.extend(self.slices(context, row, slot, whole=whole))
            if whole or i % 3 == 2 or i == len(keys) - 1:
                if not whole:
                    self.rng.shuffle(waiting)
                for header, payload in waiting:
                    self.source.send(header, payload)
                waiting = []

    async def drain(self, cycles: int = 20_000) -> None:
        await self.source.wait_idle(cycles)
        await ClockCycles(self.dut.clk, 8)
        for _ in range(cycles):
            if not any(self.board._expected.values()):
                break
            await RisingEdge(self.dut.clk)
        else:
            raise AssertionError(f"rows did not leave within {cycles} cycles")
        await self.sink.wait_quiet(60)
        self.gens.settle()

    def counters(self) -> dict[str, int]:
        word = int(self.dut.sts_count.value)
        return {name: word >> (32 * i) & 0xFFFFFFFF for i, name in enumerate(COUNTERS)}

    async def finish(self, drops: dict[str, int] | None = None) -> dict[str, int]:
        """Everything came; the counters agree with the monitors."""
        await self.drain()
        self.board.finish()
        count = self.counters()
        want = {
            "messages_in": len(self.seen.received), "beats_in": self.seen.beats, "busy": self.words, "rows_out": self.expected_rows,
            "messages_out": len(self.sink.received), "beats_out": self.sink.beats,
            **{name: (drops or {}).get(name, 0) for name in COUNTERS if name.startswith("drop")}, "drop_stale": self.gens.stale,
        }  # fmt: skip
        if self.gens.flushes:  # rows at work when their slot is flushed may still leave, or not
            del want["busy"], want["rows_out"]
        assert {name: count[name] for name in want} == want
        assert self.active_cycles and int(self.dut.sts_active.value) == 0, "sts_active is not 0 at the end"
        return count
