# SPDX-License-Identifier: Apache-2.0
"""Environment of the attention benches: tables, sequences of messages, and the model that sees what the kernel saw.

The shape of the built kernel comes in environment variables of the parameters' names (set by tests/test_ibert_attention.py).
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from floreana.cluster import layout
from floreana.cluster.layout import Header, pack
from floreana.ibert import ops
from floreana.ibert.params import DEFERRED, IntArray, RequantParams, SoftmaxParams
from floreana_tb import clocks, generations
from floreana_tb.stalls import Pattern
from floreana_tb.streams import ConfigBus, MessageSink, MessageSource, Monitor, Scoreboard

HEAD_DIM = int(os.environ.get("HEAD_DIM", "64"))
HEAD_BEATS = int(os.environ.get("HEAD_BEATS", "2"))
MOST_BEATS = min(HEAD_BEATS, 15)  # of a context: 4 bits
ROW_W = int(os.environ.get("ROW_W", "7"))
SLOT_W = int(os.environ.get("SLOT_W", "1"))
CTX_N = int(os.environ.get("CTX_N", "16"))
REQ_WORDS = int(os.environ.get("REQ_WORDS", "32"))
ROWS = 1 << ROW_W
SLOTS = 1 << SLOT_W

Message = tuple[Header, bytes]

ID_CLUSTER, ID_KERNEL = 0x5A, 0xC3
COUNTS = ("messages", "beats", "edge", "row", "slice", "rows", "busy", "waiting", "stalled", "stale")

# scale 1e-4: exponentials up to 32767 spread over all 31 quotients for random int8 operands
PLAIN = SoftmaxParams(x0=-6931, b=27073, c=279_200_000, m=1_032_266_490, e=73)
# scale 3.3e-4, and another exponent
COARSE = SoftmaxParams(x0=-2100, b=8204, c=25_638_000, m=1_405_279_000, e=70)
# one greatest exponential of 2**14: alone it gives probability 256 before saturation
POWER = SoftmaxParams(x0=-6931, b=27073, c=1 << 28, m=1 << 30, e=74)
# greatest exponential 1, so a lone key has sum 1 and a factor beyond 32 bits
TINY = SoftmaxParams(x0=-6931, b=27073, c=1 << 20, m=1 << 30, e=80)
# no exponential at all
ZERO = SoftmaxParams(x0=-6931, b=27073, c=279_200_000, m=0, e=60)
# every constant at its bound
BOUND = SoftmaxParams(x0=-65535, b=-(1 << 19), c=(1 << 31) - 1, m=(1 << 31) - 1, e=80)
# what is clamped to 30*x0 still counts
CLAMPED = SoftmaxParams(x0=-1, b=1000, c=(1 << 31) - 1, m=(1 << 31) - 1, e=50)
SATURATED = SoftmaxParams(x0=-1, b=(1 << 19) - 1, c=(1 << 31) - 1, m=(1 << 31) - 1, e=30)
NEGATIVE = SoftmaxParams(x0=-65535, b=(1 << 19) - 1, c=-(1 << 31), m=1 << 30, e=60)
# normalisation deferred: greatest exponential 255
LATE = SoftmaxParams(x0=-6931, b=27073, c=279_200_000, m=1_028_311_161, e=80, mode=DEFERRED)
LATE_COARSE = SoftmaxParams(x0=-2100, b=8204, c=25_638_000, m=699_899_749, e=76, mode=DEFERRED)


@dataclass(frozen=True, slots=True)
class Context:
    """One attention context and its output messages; edges are 16*index + role."""

    index: int
    bank: int
    beats: int
    softmax: SoftmaxParams
    req_base: int
    msg_base: int

    def edge(self, role: int) -> int:
        return (16 * self.index + role) & 255

    def entry(self) -> int:
        p = self.softmax
        return pack(
            layout.ATTENTION_CONTEXT,
            {
                "bank": self.bank,
                "beats": self.beats,
                "x0": -p.x0,
                "b": p.b,
                "c": p.c,
                "m": p.m,
                "e": p.e,
                "req_base": self.req_base,
                "msg_base": self.msg_base,
                "mode": p.mode,
            },
        )


@dataclass(slots=True)
class Tables:
    """What the configuration bus writes."""

    contexts: dict[int, Context]
    requant: RequantParams
    owner: list[int]
    messages: dict[int, dict[str, int]] = field(default_factory=dict)

    def context_of(self, edge: int) -> tuple[Context, int] | None:
        ctx = self.contexts.get(edge >> 4)
        return (ctx, edge & 3) if ctx is not None and edge & 15 < 3 else None


def make_tables(contexts: Iterable[Context], seed: int) -> Tables:
    rng = random.Random(f"tables{seed}")
    channels = REQ_WORDS * 64
    requant = RequantParams(
        m=np.array([rng.choice([-1, 1]) * rng.randint(1 << 29, (1 << 31) - 1) for _ in range(channels)], np.int64),
        e=np.array([rng.randint(37, 41) for _ in range(channels)], np.int64),
        off=np.array([rng.choice([0, 0, rng.randint(-256, 255)]) for _ in range(channels)], np.int64),
    )
    tables = Tables({c.index: c for c in contexts}, requant, [rng.randrange(256) for _ in range(ROWS)])
    for ctx in tables.contexts.values():
        if ctx.softmax.mode == DEFERRED:  # sums of weights are 2**16, not 2**8
            requant.e[64 * ctx.req_base : 64 * (ctx.req_base + ctx.beats)] += 8
    for ctx in tables.contexts.values():
        for beat in range(ctx.beats):
            tables.messages[(ctx.msg_base + beat) & 255] = {
                "dst_cluster": rng.randrange(256),
                "dst_kernel": rng.randrange(256),
                "edge": rng.randrange(256),
                "by_owner": rng.randrange(2),
                "offset": 16 * beat,
                "type": layout.TYPE_INT8,
                "beats": 1,
            }
    return tables


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one sequence in one context; q, k, v (n, 64*beats) int8."""

    ctx: Context
    slot: int
    generation: int
    q: IntArray
    k: IntArray
    v: IntArray

    @property
    def n(self) -> int:
        return self.q.shape[0]

    def messages(self, rng: random.Random, split: bool = True, last_roles: Sequence[int] = (0, 1, 2)) -> list[Message]:
        """Every row of Q, K and V in order, some cut into slices; messages of the last row are flagged (of ``last_roles``)."""
        out: list[Message] = []
        for row in range(self.n):
            for role, rows in enumerate((self.q, self.k, self.v)):
                data = rows[row].astype(np.int8).tobytes()
                beat = 0
                while beat < self.ctx.beats:
                    beats = rng.randint(1, self.ctx.beats - beat) if split else self.ctx.beats
                    header = self.header(row, role, 16 * beat, row == self.n - 1 and role in last_roles)
                    out.append((header, data[64 * beat : 64 * (beat + beats)]))
                    beat += beats
        return out

    def header(self, row: int, role: int, offset: int = 0, last: bool = False, **changes: int) -> Header:
        values: dict[str, Any] = {
            "dst_cluster": ID_CLUSTER,
            "dst_kernel": ID_KERNEL,
            "edge": self.ctx.edge(role),
            "src_cluster": 1,
            "src_kernel": 2,
            "slot": self.slot,
            "generation": self.generation,
            "row": row,
            "offset": offset,
            "type": layout.TYPE_INT8,
            "last": last,
        }
        return Header(**{**values, **changes})


def random_sequence(ctx: Context, slot: int, n: int, rng: random.Random, generation: int | None = None) -> Rows:
    """Random rows; the same generation for every sequence of a slot (0 to 7, new after a reset) unless said."""
    gen = np.random.default_rng(rng.getrandbits(64))
    q, k, v = (gen.integers(-128, 127, (n, 64 * ctx.beats), np.int64, endpoint=True) for _ in range(3))
    return Rows(ctx, slot, (5 + 3 * slot) % 8 if generation is None else generation, q, k, v)


class Model:
    """The kernel in Python: takes the messages the kernel took, expects its outputs and its counts."""

    def __init__(self, tables: Tables, board: Scoreboard) -> None:
        self.tables = tables
        self.board = board
        self.gens: generations.Generations  # set by Env, which has the monitor it needs
        self.counts = dict.fromkeys(COUNTS[:6], 0)
        self.served: dict[tuple[int, int], int] = {}  # sequences finished per (slot, bank)
        self.reset()

    def reset(self) -> None:
        self.banks: dict[tuple[int, int], dict[str, Any]] = {}
        for name in self.counts:
            self.counts[name] = 0

    def take(self, item: tuple[Header, bytes]) -> None:
        header, payload = item
        beats = max(1, -(-len(payload) // 64))
        self.counts["messages"] += 1
        self.counts["beats"] += beats
        cut = self.gens.begin()
        found = self.tables.context_of(header.edge)
        if found is None:
            self.counts["edge"] += 1
            return
        ctx, role = found
        if header.row >= ROWS or header.slot >= SLOTS:
            self.counts["row"] += 1
            return
        if self.gens.drop(header, cut):
            return
        if header.type != layout.TYPE_INT8 or header.offset % 16 or len(payload) % 64 or not payload:
            self.counts["slice"] += 1
            return
        if header.offset // 16 + beats > ctx.beats:
            self.counts["slice"] += 1
            return
        key = (header.slot, ctx.bank)
        bank = self.banks.setdefault(
            key,
            {
                "rows": [np.zeros((ROWS, 64 * ctx.beats), np.int64) for _ in range(3)],
                "count": [0, 0, 0],
                "q_beats": {},
                "complete": set(),  # Q rows; they are served in order of their numbers
                "n": None,
                "done": 0,
            },
        )
        start = 4 * header.offset
        bank["rows"][role][header.row, start : start + len(payload)] = np.frombuffer(payload, np.int8)
        bank["count"][role] += beats
        if header.last:
            bank["n"] = header.row + 1
        if role == layout.ROLE_Q:
            seen = bank["q_beats"].get(header.row, 0) + beats
            bank["q_beats"][header.row] = seen
            if seen == ctx.beats:
                bank["complete"].add(header.row)
        n = bank["n"]
        if n is not None and bank["count"][1] == bank["count"][2] == n * ctx.beats:
            self._serve(key, bank, ctx, header.generation)

    def _serve(self, key: tuple[int, int], bank: dict[str, Any], ctx: Context, generation: int) -> None:
        n, tables = bank["n"], self.tables
        rows = list(itertools.takewhile(bank["complete"].__contains__, range(bank["done"], n)))
        if not rows:
            return
        q, k, v = bank["rows"]
        channels = slice(64 * ctx.req_base, 64 * (ctx.req_base + ctx.beats))
        heads = 64 * ctx.beats // HEAD_DIM
        rq = RequantParams(tables.requant.m[channels], tables.requant.e[channels], tables.requant.off[channels])
        padded = np.zeros((n, q.shape[1]), np.int64)
        padded[: len(rows)] = q[rows]
        context = ops.attention(padded, k[:n], v[:n], ctx.softmax, rq, heads)
        for i, row in enumerate(rows):
            for beat in range(ctx.beats):
                entry = tables.messages[(ctx.msg_base + beat) & 255]
                kernel = entry["dst_kernel"] + (tables.owner[row] if entry["by_owner"] else 0)
                header = Header(
                    entry["dst_cluster"], kernel & 255, entry["edge"], ID_CLUSTER, ID_KERNEL, key[0], generation, row,
                    entry["offset"], entry["type"], row == n - 1,
                )  # fmt: skip
                payload = context[i, 64 * beat : 64 * beat + 64].astype(np.int8).tobytes()
                self.board.expect((key, header, payload))
            bank["done"] += 1
            self.counts["rows"] += 1
        if bank["done"] == n:
            del self.banks[key]
            self.served[key] = self.served.get(key, 0) + 1


class Env:
    """Drivers, monitors, model and scoreboard of one test."""

    def __init__(self, dut: Any, tables: Tables, pattern: Pattern | None = None, order: bool = True) -> None:
        self.dut = dut
        self.tables = tables
        dut.rst.value = 1
        dut.id_cluster.value = ID_CLUSTER
        dut.id_kernel.value = ID_KERNEL
        self.board = Scoreboard("attention", key=lambda item: item[0])
        self.model = Model(tables, self.board)
        self.source = MessageSource(dut, "s_axis", dut.clk, pattern)
        self.monitor = Monitor(dut, "s_axis", dut.clk, self.model.take, max_beats=None)
        self.sink = MessageSink(dut, "m_axis", dut.clk, pattern, self._got)
        self.gens = self.model.gens = generations.Generations(dut, SLOTS, self.monitor)
        self.active_cycles: list[int] = []
        self.config = ConfigBus(dut, dut.clk)
        self.got: dict[tuple[int, int], int] = {}

    def _bank(self, header: Header) -> int:
        for ctx in self.tables.contexts.values():
            for beat in range(ctx.beats):
                entry = self.tables.messages[(ctx.msg_base + beat) & 255]
                if entry["edge"] == header.edge and entry["dst_cluster"] == header.dst_cluster:
                    return ctx.bank
        raise AssertionError(f"output {header} belongs to no context")

    def _got(self, item: tuple[Header, bytes]) -> None:
        header, payload = item
        if self.gens.is_late(header):
            return
        key = (header.slot, self._bank(header))
        self.got[key] = self.got.get(key, 0) + 1
        self.board.got((key, header, payload))

    async def start(self) -> None:
        clocks.start_clock(self.dut)
        await clocks.reset(self.dut)
        cocotb.start_soon(generations.watch_active(self.dut, self.held, self.active_cycles))
        await self.load()

    def held(self) -> bool:
        """The model waits for something: the rest of a message or a sequence, or an output."""
        return bool(self.monitor._beats) or bool(self.model.banks) or any(self.board._expected.values())

    async def flush(self, slot: int, generation: int) -> int:
        """FLUSH(slot) in design and model; returns its cycles."""

        def apply(slot: int) -> None:
            self.gens.forget(self.board, slot, lambda item: item[1])
            for key in [key for key in self.model.banks if key[0] == slot]:
                del self.model.banks[key]

        return await self.gens.flush(slot, generation, apply)

    async def load(self) -> None:
        tables = self.tables
        write = self.config.write
        for edge in range(256):
            found = tables.context_of(edge)
            ctx, role, valid = (found[0].index, found[1], 1) if found else (edge & 63, 3 if edge & 1 else 0, edge & 1)
            write(layout.MEM_EDGE, edge, pack(layout.EDGE, {"ctx": ctx, "role": role, "valid": valid}))
        for ctx in tables.contexts.values():
            write(layout.MEM_CONTEXT, ctx.index, ctx.entry())
        for index, message in tables.messages.items():
            write(layout.MEM_MESSAGE, index, pack(layout.MESSAGE, message))
        for row, owner in enumerate(tables.owner):
            write(layout.MEM_OWNER, row, owner)
        words = {w for ctx in tables.contexts.values() for w in range(ctx.req_base, ctx.req_base + ctx.beats)}
        used = [64 * w + lane for w in sorted(words) for lane in range(64)]
        rq = tables.requant
        for c in used:
            word = pack(layout.REQUANT, {"m": int(rq.m[c]), "e": int(rq.e[c]), "off": int(rq.off[c])})
            write(layout.MEM_REQUANT, c, word)
        # beyond every memory: ignored
        write(layout.MEM_EDGE, 256 + tables.contexts[min(tables.contexts)].edge(0), 0)
        write(layout.MEM_CONTEXT, CTX_N + min(tables.contexts), 0)
        await write(layout.MEM_REQUANT, REQ_WORDS * 64 + used[0], 0)

    async def send(self, messages: Iterable[tuple[Header, bytes]]) -> None:
        last = None
        for header, payload in messages:
            last = self.source.send(header, payload)
        if last is not None:
            await last

    def count(self, name: str) -> int:
        return (int(self.dut.sts_count.value) >> (32 * COUNTS.index(name))) & 0xFFFF_FFFF

    async def finish(self, at_least: int = 1, cycles: int = 60_000) -> None:
        """Wait for every expected output; then queues empty, counters right, the input never stalled, nothing active."""
        await self.drain(cycles)
        self.board.finish(at_least)
        assert self.gens.flushes or self.monitor.stalled_cycles == 0, "the kernel did not sink"
        assert self.active_cycles and int(self.dut.sts_active.value) == 0, "sts_active is not 0 at the end"
        for name, value in {**self.model.counts, "stale": self.gens.stale}.items():
            if name == "rows" and self.gens.flushes:  # rows at work when their slot is flushed may still leave, or not
                continue
            assert self.count(name) == value, f"counter {name}: {self.count(name)}, model {value}"

    async def drain(self, cycles: int = 60_000) -> None:
        """Wait until everything queued is taken, every expected output came, and nothing follows."""
        await self.source.wait_idle(cycles)
        await self.monitor.wait_quiet(8)
        for _ in range(cycles):
            if not any(self.board._expected.values()):
                break
            await RisingEdge(self.dut.clk)
        else:
            raise AssertionError(f"{sum(len(q) for q in self.board._expected.values())} expected outputs did not come in {cycles} cycles")
        await self.sink.wait_quiet(3 * ROWS + 150)
        self.gens.settle()

    sink_base = 0

    def outputs(self) -> int:
        """Output beats the model has expected since the counters were zero."""
        return self.board.checked + sum(len(q) for q in self.board._expected.values()) - self.sink_base
