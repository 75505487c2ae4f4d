# SPDX-License-Identifier: Apache-2.0
"""Reference kernel and bench of ibert_add_norm.

``Reference`` is fed by the input monitor with the messages the design took, keeps stores and records at the addresses of the contexts,
and says which messages must leave, in order. Arithmetic: floreana.ibert.ops, each row a second time in Python integers (norm_exact).
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from ibert_add_norm.norm_exact import add_norm_row

from floreana.cluster import layout
from floreana.cluster.layout import Header
from floreana.ibert import ops
from floreana.ibert.params import LayerNormParams, RequantParams
from floreana_tb import clocks, stalls, streams
from floreana_tb.generations import Generations, watch_active

CLUSTER, KERNEL = 7, 133
COUNTERS = (
    "messages", "beats", "drop_edge", "drop_row", "drop_slice", "overflow", "normalised", "entered", "busy", "refused", "drop_stale",
)  # fmt: skip


def knob(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


@dataclass(frozen=True)
class Shape:
    """Parameters the design was built with (tests/test_ibert_add_norm.py passes both) and the row length of the run."""

    hidden: int = field(default_factory=lambda: knob("HIDDEN", 128))
    lanes: int = field(default_factory=lambda: knob("LANES", 16))
    row_w: int = field(default_factory=lambda: knob("ROW_W", 7))
    slot_w: int = field(default_factory=lambda: knob("SLOT_W", 1))
    lrow_w: int = field(default_factory=lambda: knob("LROW_W", 5))

    @property
    def beats(self) -> int:
        return self.hidden // 64

    @property
    def slices(self) -> int:
        return (self.beats * 4 + 15) // 16


@dataclass
class Context:
    """A context in words: what the tables hold."""

    number: int
    fields: dict[str, int]
    channels: list[dict[str, int]]
    messages: list[dict[str, int]]


class Reference:
    """Rows, records and expected output of the kernel."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.edges: dict[int, tuple[int, int]] = {}
        self.contexts: dict[int, Context] = {}
        self.local_row: dict[int, int] = {}
        self.owner: dict[int, int] = {}
        self.gens: Generations  # set by Bench, which has the monitor it needs
        self.count = dict.fromkeys(COUNTERS[:8], 0)
        self.acc: dict[int, np.ndarray] = {}
        self.res: dict[int, bytes] = {}
        self.records: dict[tuple[int, int], dict[Any, int]] = {}
        self.rows: list[tuple[int, list[int]]] = []
        self.expected: list[tuple[Header, bytes]] = []

    def reset(self) -> None:
        self.records.clear()
        self.expected.clear()
        self.count = dict.fromkeys(self.count, 0)
        self.gens.reset()

    def take(self, header: Header, payload: bytes) -> list[tuple[Header, bytes]]:
        """One whole message came in; gives the messages that must leave because of it."""
        n = (len(payload) + 63) // 64 or 1
        self.count["messages"] += 1
        self.count["beats"] += n
        cut = self.gens.begin()
        if header.edge not in self.edges:
            self.count["drop_edge"] += 1
            return []
        number, role = self.edges[header.edge]
        if number not in self.contexts:
            self.count["drop_edge"] += 1
            return []
        ctx = self.contexts[number].fields
        if (role, ctx["mode"]) not in {(0, 0), (1, 1), (2, 1)}:
            self.count["drop_edge"] += 1
            return []
        s = self.shape
        local = self.local_row.get(header.row, 1 << 16)
        if header.slot >> s.slot_w or header.row >> s.row_w or local >> s.lrow_w:
            self.count["drop_row"] += 1
            return []
        if self.gens.drop(header, cut):
            return []
        index = header.slot << s.lrow_w | local
        record = self.records.setdefault((ctx["region"], index), {})
        kind = layout.TYPE_INT32 if role == 1 else layout.TYPE_INT8
        unit, length = (256, 4 * ctx["beats"]) if role == 1 else (16, ctx["beats"])
        place = header.offset // 16
        bad = header.type != kind or header.offset % unit or place >= length
        if role == 1 and not bad:
            slice_ = header.offset // 256
            bad = slice_ >= ctx["slices"] or n != min(16, length - place) or record.get(slice_, 0) == ctx["parts"]
        elif not bad:
            bad = place + n > length or record.get("res", 0) + n > length
        if bad:
            self.count["drop_slice"] += 1
            return []
        if role == 1:
            base = ctx["acc_base"] + index * length + place
            words = np.frombuffer(payload, dtype="<i4").astype(np.int64).reshape(n, 16)
            for i in range(n):
                old = self.acc[base + i] if record.get(slice_, 0) else np.zeros(16, dtype=np.int64)
                self.acc[base + i] = (old + words[i] + (1 << 31)) % (1 << 32) - (1 << 31)
            record[slice_] = record.get(slice_, 0) + 1
        else:
            base = ctx["res_base"] + index * length + place
            for i in range(n):
                self.res[base + i] = payload[64 * i : 64 * i + 64]
            record["res"] = record.get("res", 0) + n
        if ctx["mode"] == 0:
            complete = record["res"] == length
        else:
            by_message = (number, 2) in self.edges.values()
            complete = all(record.get(i, 0) == ctx["parts"] for i in range(ctx["slices"])) and (
                not by_message or record.get("res", 0) == ctx["beats"]
            )
        if not complete:
            return []
        record.clear()
        return self.leave(self.contexts[number], index, header)

    def leave(self, context: Context, index: int, header: Header) -> list[tuple[Header, bytes]]:
        ctx, beats = context.fields, context.fields["beats"]
        base = ctx["res_base"] + index * beats
        res = b"".join(self.res[base + i] for i in range(beats))
        if ctx["mode"] == 0:
            self.count["entered"] += 1
            row = res
        else:
            self.count["normalised"] += 1
            start = ctx["acc_base"] + index * 4 * beats
            acc = np.concatenate([self.acc[start + i] for i in range(4 * beats)])
            row = self.norm(context, acc, np.frombuffer(res, dtype=np.int8).astype(np.int64))
            if ctx["keep"]:
                for i in range(beats):
                    self.res[ctx["keep_base"] + index * beats + i] = row[64 * i : 64 * i + 64]
        out, at = [], 0
        for message in context.messages:
            kernel = message["dst_kernel"] + (self.owner[header.row] if message["by_owner"] else 0)
            out.append(
                (
                    Header(
                        message["dst_cluster"], kernel & 255, message["edge"], CLUSTER, KERNEL, header.slot, header.generation,
                        header.row, message["offset"], message["type"], header.last,
                    ),
                    row[64 * at : 64 * (at + message["beats"])],
                )
            )  # fmt: skip
            at += message["beats"]
        self.expected.extend(out)
        return out

    @staticmethod
    def norm(context: Context, acc: np.ndarray, res: np.ndarray) -> bytes:
        chan, shift = context.channels, context.fields["shift"]
        column = {key: np.array([c[key] for c in chan], dtype=np.int64) for key in chan[0]}
        zero = np.zeros(len(chan), dtype=np.int64)
        y = ops.residual(
            acc[None], RequantParams(column["m"], column["e"], zero),
            res[None], RequantParams(column["m1"], column["e1"], zero),
        )  # fmt: skip
        o = ops.layer_norm(y, LayerNormParams(shift, column["bias"]))
        row = ops.requant(o, column["om"], column["oe"], column["ooff"])[0]
        exact = add_norm_row(acc.tolist(), res.tolist(), chan, shift)
        assert row.tolist() == exact, "floreana.ibert.ops and norm_exact differ"
        return row.astype(np.int8).tobytes()


class Bench:
    """Design, drivers, monitors, reference and scoreboard of one test."""

    def __init__(self, dut: Any, pattern: stalls.Pattern | None = None, seed: int = 1) -> None:
        self.dut = dut
        self.shape = Shape()
        self.rng = random.Random(f"add_norm{seed}")
        self.ref = Reference(self.shape)
        self.board = streams.Scoreboard("ibert_add_norm")
        dut.id_cluster.value = CLUSTER
        dut.id_kernel.value = KERNEL
        self.source = streams.MessageSource(dut, "s_axis", dut.clk, pattern)
        self.cfg = streams.ConfigBus(dut, dut.clk)
        self.taken = streams.Monitor(dut, "s_axis", dut.clk, self._took)
        self.sink = streams.MessageSink(dut, "m_axis", dut.clk, pattern, self._got)
        self.gens = self.ref.gens = Generations(dut, 1 << self.shape.slot_w, self.taken)
        # what a message of a slot carries unless said: 0 to 7 is new after a reset
        self.generation = [5 - slot % 3 for slot in range(1 << self.shape.slot_w)]
        self.active_cycles: list[int] = []
        self.always_ready = True

    def _took(self, item: tuple[Header, bytes]) -> None:
        for out in self.ref.take(*item):
            self.board.expect(out)

    def _got(self, item: tuple[Header, bytes]) -> None:
        if not self.gens.is_late(item[0]):
            self.board.got(item)

    def held(self) -> bool:
        """The model waits for something: the rest of a message or of a row, or an output."""
        return bool(self.taken._beats) or any(self.ref.records.values()) or any(self.board._expected.values())

    async def flush(self, slot: int, generation: int) -> int:
        """FLUSH(slot) in design and model; what is sent later has the new generation. Returns its cycles."""

        def apply(slot: int) -> None:
            self.gens.forget(self.board, slot, lambda item: item[0])
            for (_, index), record in self.ref.records.items():
                if index >> self.shape.lrow_w == slot:
                    record.clear()

        self.generation[slot] = generation
        return await self.gens.flush(slot, generation, apply)

    async def start(self) -> None:
        clocks.start_clock(self.dut)
        await self.reset()
        cocotb.start_soon(watch_active(self.dut, self.held, self.active_cycles))

    async def reset(self) -> None:
        await clocks.reset(self.dut)
        for _ in range((1 << (self.shape.slot_w + self.shape.lrow_w + 2)) + 4):
            await RisingEdge(self.dut.clk)
        assert self.dut.s_axis_tready.value == 1, "the records are zeroed by now"

    # ------------------------------------------------------------ configuration

    async def configure(self, contexts: list[Context], edges: dict[int, tuple[int, int]]) -> None:
        """Write every table: all 256 edges, all local rows, all owners, and the contexts with their channels and messages."""
        s, write = self.shape, self.cfg.write
        for edge in range(256):
            ctx, role = edges.get(edge, (0, 0))
            write(layout.MEM_EDGE, edge, layout.pack(layout.EDGE, {"ctx": ctx, "role": role, "valid": int(edge in edges)}))
        self.ref.edges = dict(edges)
        for row in range(1 << s.row_w):
            # every third row is ours; the others have a local number out of range
            local = row // 3 if row % 3 == 1 and row // 3 < 1 << s.lrow_w else 0xFFFF
            self.ref.local_row[row] = local
            write(layout.MEM_LOCAL_ROW, row, local)
            self.ref.owner[row] = self.rng.randrange(64)
            write(layout.MEM_OWNER, row, self.ref.owner[row])
        for context in contexts:
            self.write_context(context)
        await write(layout.MEM_EDGE, 255, 0)

    def write_context(self, context: Context) -> None:
        write, fields = self.cfg.write, context.fields
        self.ref.contexts[context.number] = context
        write(layout.MEM_CONTEXT, context.number, layout.pack(layout.ADD_NORM_CONTEXT, fields))
        for i, message in enumerate(context.messages):
            write(layout.MEM_MESSAGE, fields["msg_base"] + i, layout.pack(layout.MESSAGE, message))
        for c, channel in enumerate(context.channels):
            write(layout.MEM_CHANNEL, fields["chan_base"] * self.shape.lanes + c, layout.pack(layout.CHANNEL, channel))

    def our_rows(self) -> list[int]:
        return [row for row, local in self.ref.local_row.items() if local < 1 << self.shape.lrow_w]

    # ------------------------------------------------------------ messages

    def header(self, edge: int, row: int, **more: Any) -> Header:
        values: dict[str, Any] = dict(
            dst_cluster=CLUSTER, dst_kernel=KERNEL, edge=edge, src_cluster=CLUSTER, src_kernel=self.rng.randrange(1, 64),
            slot=0, row=row, offset=0, type=layout.TYPE_INT32, last=False,
        )  # fmt: skip
        values.update(more)
        values.setdefault("generation", self.generation[values["slot"] % len(self.generation)])
        return Header(**values)

    def part_messages(self, edge: int, row: int, values: Any, **more: Any) -> list[tuple[Header, bytes]]:
        """The slices of one part of a row of int32."""
        raw = np.asarray(values, dtype="<i4").tobytes()
        return [(self.header(edge, row, offset=at // 4, **more), raw[at : at + 1024]) for at in range(0, len(raw), 1024)]

    def row_messages(self, edge: int, row: int, values: Any, cut: int | None = None, **more: Any) -> list[tuple[Header, bytes]]:
        """An int8 row in slices of ``cut`` beats (None: one message)."""
        raw = np.asarray(values, dtype=np.int8).tobytes()
        step = 64 * (cut or 16)
        more = {"type": layout.TYPE_INT8, **more}
        return [(self.header(edge, row, offset=at // 4, **more), raw[at : at + step]) for at in range(0, len(raw), step)]

    def send(self, messages: list[tuple[Header, bytes]]) -> None:
        for header, payload in messages:
            self.source.send(header, payload)

    def split(self, total: np.ndarray, parts: int) -> list[np.ndarray]:
        """``parts`` int32 vectors with the given sum; partial sums may wrap, the sum does not."""
        out = [np.array([self.rng.randrange(-(1 << 29), 1 << 29) for _ in total], dtype=np.int64) for _ in range(parts - 1)]
        rest = (total - sum(out, np.zeros_like(total)) + (1 << 31)) % (1 << 32) - (1 << 31)
        return [*out, rest]

    async def drain(self) -> None:
        """Until every expected message came and nothing follows."""
        await self.source.wait_idle()
        for _ in range(40):
            await RisingEdge(self.dut.clk)
        for _ in range(200_000):
            if not any(self.board._expected.values()):
                break
            await RisingEdge(self.dut.clk)
        else:
            raise AssertionError("rows did not leave within 200,000 cycles")
        await self.sink.wait_quiet(3 * self.shape.hidden // self.shape.lanes + 200)
        self.gens.settle()

    def counters(self) -> dict[str, int]:
        value = int(self.dut.sts_count.value)
        return {name: value >> 32 * i & 0xFFFFFFFF for i, name in enumerate(COUNTERS)}

    def finish(self, at_least: int = 1) -> None:
        self.board.finish(at_least)
        counters = self.counters()
        want = {**self.ref.count, "drop_stale": self.gens.stale}
        if self.gens.flushes:  # rows at work when their slot is flushed may still leave, or not
            del want["normalised"], want["entered"]
        assert {k: counters[k] for k in want} == want, (counters, want)
        assert self.active_cycles and int(self.dut.sts_active.value) == 0, "sts_active is not 0 at the end"


def channels(rng: random.Random, hidden: int, style: str = "plain") -> list[dict[str, int]]:
    """Channel constants: ``plain`` as a quantiser makes them, ``wild`` over the whole legal range."""
    out = []
    for _ in range(hidden):
        if style == "plain":
            chan = dict(
                m=rng.randrange(1 << 30, 1 << 31) * rng.choice((1, 1, 1, -1)), e=rng.randrange(42, 47),
                m1=rng.randrange(1 << 30, 1 << 31), e1=rng.randrange(24, 27),
                bias=rng.randrange(-(1 << 25), 1 << 25), om=rng.randrange(1 << 30, 1 << 31) * rng.choice((1, 1, -1)),
                oe=rng.randrange(48, 52), ooff=rng.choice((0, 0, rng.randrange(-256, 256))),
            )  # fmt: skip
        else:
            chan = dict(
                m=rng.choice((1, -1, -(1 << 31), (1 << 31) - 1, rng.randrange(-(1 << 31), 1 << 31))),
                e=rng.choice((0, 1, 80, 63, 64, rng.randrange(81))),
                m1=rng.choice((1, -1, -(1 << 31), (1 << 31) - 1, rng.randrange(-(1 << 31), 1 << 31))),
                e1=rng.choice((0, 1, 80, 39, 40, rng.randrange(81))),
                bias=rng.choice((0, -(1 << 31), (1 << 31) - 1, rng.randrange(-(1 << 31), 1 << 31))),
                om=rng.choice((1, -1, -(1 << 31), (1 << 31) - 1, rng.randrange(-(1 << 31), 1 << 31))),
                oe=rng.choice((0, 1, 80, 67, 68, rng.randrange(81))), ooff=rng.randrange(-256, 256),
            )  # fmt: skip
        out.append(chan)
    return out


def same_channels(hidden: int, **values: int) -> list[dict[str, int]]:
    chan = dict(m=1, e=0, m1=1, e1=0, bias=0, om=1, oe=0, ooff=0)
    chan.update(values)
    return [dict(chan) for _ in range(hidden)]


def make_context(
    shape: Shape, number: int, chan: list[dict[str, int]], *, mode: int = layout.NORM_NORM, parts: int = 1, region: int = 0,
    acc: int = 0, res: int = 0, keep: int | None = None, chan_base: int = 0, shift: int = 4, msg: int = 0, edge: int = 100,
    by_owner: int = 0, cut: tuple[int, ...] | None = None,
) -> Context:  # fmt: skip
    """``acc``, ``res``, ``keep`` number the row areas: area i begins i times the rows of all slots further up."""
    rows = 1 << (shape.slot_w + shape.lrow_w)
    pieces = cut or (shape.beats,)
    messages, at = [], 0
    for piece in pieces:
        messages.append(
            dict(dst_cluster=9, dst_kernel=60, edge=edge, by_owner=by_owner, offset=16 * at, type=layout.TYPE_INT8, beats=piece)
        )
        at += piece
    assert at == shape.beats
    fields = dict(
        mode=mode, beats=shape.beats, parts=parts, slices=shape.slices, region=region, acc_base=acc * rows * 4 * shape.beats,
        res_base=res * rows * shape.beats, keep=int(keep is not None), keep_base=(keep or 0) * rows * shape.beats,
        chan_base=chan_base, h=shape.hidden, shift=shift, msg_base=msg, msg_count=len(pieces),
    )  # fmt: skip
    return Context(number, fields, chan, messages)
