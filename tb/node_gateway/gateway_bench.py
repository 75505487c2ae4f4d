# SPDX-License-Identifier: Apache-2.0
"""node_gateway in its bench: the model of what it does, the cluster before it (which keeps the rule of slots), and the kernels behind it.

GATE_ROW_W, GATE_SLOT_W and GATE_BEATS say how the unit was built.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, replace
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from floreana.cluster import layout
from floreana.cluster.layout import TYPE_CONTROL, TYPE_INT8, Header
from floreana_tb import clocks, stalls, streams
from floreana_tb.generations import Generations, watch_active

ROW_W = int(os.environ.get("GATE_ROW_W", "3"))
SLOT_W = int(os.environ.get("GATE_SLOT_W", "1"))
ROW_BEATS = int(os.environ.get("GATE_BEATS", "2"))
ROWS, SLOTS = 1 << ROW_W, 1 << SLOT_W
SLICES = -(-ROW_BEATS // 16)
DEPTH = ROWS * ROW_BEATS  # beats of a slot
HEADS = ROWS << (SLICES - 1).bit_length()  # headers of a slot
CLUSTER, UP_CLUSTER, UP_KERNEL, GATEWAY = 255, 128, 251, 254
KERNEL, EDGE_IN, EDGE_OUT = 240, 191, 255
RELEASE = bytes([0x21]) + bytes(63)
LATENCY = 8  # cycles, last beat in -> first beat out
COUNTS = (
    "messages_in", "beats_in", "dropped_edge", "dropped_row", "dropped_format", "dropped_full", "stale", "sequences", "releases_in",
    "releases_stale", "messages_out", "beats_out", "waits", "refused", "messages_peak", "releases_out",
)  # fmt: skip
Message = tuple[Header, bytes]


@dataclass(slots=True)
class Slot:
    """What the model knows of a slot, as its messages come in (first block) and as they leave."""

    count: int = 0  # messages of the sequence that comes in
    total: int = 0  # of these in all, 0: not known
    free: int = DEPTH  # beats; only true while nothing leaves
    heads: int = HEADS
    held: int | None = None  # generation of the sequence that has the own cluster's slot
    sent: int = 0  # messages of the sequence that leaves
    whole: int = 0  # of these in all, 0: not known
    sequences: int = 0  # sent on


class Bench:
    def __init__(self, dut: Any, pattern: stalls.Pattern | None = None) -> None:
        self.dut = dut
        self.rng = random.Random(f"{cocotb.RANDOM_SEED} {ROW_BEATS}")
        self.owner = [self.rng.randrange(256) for _ in range(ROWS)]
        self.slices = 0  # not configured
        self.slots = [Slot() for _ in range(SLOTS)]
        self.count = dict.fromkeys(COUNTS, 0)
        self.board = streams.Scoreboard("node_gateway", key=lambda item: item[0].slot)
        dut.id_cluster.value = CLUSTER
        self.source = streams.MessageSource(dut, "s_axis", dut.clk, pattern)
        self.cfg = streams.ConfigBus(dut, dut.clk)
        self.taken = streams.Monitor(dut, "s_axis", dut.clk, self._took, max_beats=None)
        self.sink = streams.MessageSink(dut, "m_axis", dut.clk, pattern, self._got)
        self.gens = Generations(dut, SLOTS, self.taken)
        self.up_free = [True] * SLOTS  # the cluster before may use the slot
        self.up_gen = [self.rng.randrange(5) for _ in range(SLOTS)]
        self.late_until: int | None = 0  # beats out: what was flushed cannot come after these; None: a flush is going on
        self.active_cycles: list[int] = []
        self.tight = False  # nothing leaves: free beats are exact

    # ------------------------------------------------------------------------------------------------------------ model

    def _took(self, item: Message) -> None:
        """A whole message came in."""
        header, payload = item
        count = self.count
        count["messages_in"] += 1
        cut = self.gens.begin()
        if header.type == TYPE_CONTROL:
            self._control(header, payload)
            return
        if header.edge != EDGE_IN or self.slices == 0:
            count["dropped_edge"] += 1
        elif header.row >= ROWS or header.slot >= SLOTS:
            count["dropped_row"] += 1
        elif self.gens.drop(header, cut):
            pass
        elif header.type != TYPE_INT8 or not 1 <= len(payload) <= 1024 or len(payload) % 64:
            count["dropped_format"] += 1
        elif self.tight and not self._fits(header, payload):
            count["dropped_full"] += 1
        else:
            self._store(header, payload)

    def _fits(self, header: Header, payload: bytes) -> bool:
        slot, beats = self.slots[header.slot], len(payload) // 64
        if slot.free < beats or slot.heads == 0:
            return False
        slot.free -= beats
        slot.heads -= 1
        return True

    def _control(self, header: Header, payload: bytes) -> None:
        if payload[:1] != RELEASE[:1]:
            self.count["dropped_format"] += 1
            return
        self.count["releases_in"] += 1
        if header.slot < SLOTS and self.slots[header.slot].held == header.generation:
            self.slots[header.slot].held = None
        else:
            self.count["releases_stale"] += 1

    def _store(self, header: Header, payload: bytes) -> None:
        """What is stored is sent, with the new header; after the last message of a sequence the RELEASE."""
        slot = self.slots[header.slot]
        self.board.expect(
            (
                replace(
                    header, dst_cluster=CLUSTER, dst_kernel=(KERNEL + self.owner[header.row]) & 255, edge=EDGE_OUT, src_cluster=CLUSTER,
                    src_kernel=GATEWAY,
                ),
                payload,
            )
        )  # fmt: skip
        slot.count += 1
        if header.last:
            slot.total = (header.row + 1) * self.slices
        if slot.count == slot.total:
            slot.count = slot.total = 0
            self.board.expect((self.release_header(header, UP_CLUSTER, UP_KERNEL, CLUSTER, GATEWAY), RELEASE))

    @staticmethod
    def release_header(of: Header, cluster: int, kernel: int, src_cluster: int, src_kernel: int) -> Header:
        return Header(cluster, kernel, 0, src_cluster, src_kernel, of.slot, of.generation, 0, 0, TYPE_CONTROL, False)

    def _got(self, item: Message) -> None:
        """A whole message left."""
        header, payload = item
        control = header.type == TYPE_CONTROL
        self.count["releases_out" if control else "messages_out"] += 1
        self.count["beats_out"] += 0 if control else len(payload) // 64
        if self.late_until is not None and self.sink.beats > self.late_until:
            self.gens._forgotten.clear()
        if self.gens.is_late(header):
            return
        self.board.got(item)
        slot = self.slots[header.slot]
        if control:
            assert not self.up_free[header.slot], "a RELEASE of a slot that is free"
            self.up_free[header.slot] = True
            return
        if slot.sent == 0:
            assert slot.held is None, f"slot {header.slot} was taken while it was not free"
            slot.held = header.generation
        slot.sent += 1
        if header.last:
            slot.whole = (header.row + 1) * self.slices
        if slot.sent == slot.whole:
            slot.sent = slot.whole = 0
            slot.sequences += 1
            self.count["sequences"] += 1

    def held(self) -> bool:
        return bool(self.taken._beats) or any(self.board._expected.values())

    # ------------------------------------------------------------------------------------------------------------ control

    async def start(self, configure: bool = True) -> None:
        clocks.start_clock(self.dut)
        await clocks.reset(self.dut)
        cocotb.start_soon(watch_active(self.dut, self.held, self.active_cycles))
        if configure:
            await self.configure()

    async def configure(self, slices: int = SLICES) -> None:
        gate = {
            "kernel": KERNEL, "edge_in": EDGE_IN, "edge_out": EDGE_OUT, "slices": slices, "up_cluster": UP_CLUSTER, "up_kernel": UP_KERNEL,
        }  # fmt: skip
        for row, owner in enumerate(self.owner):
            self.cfg.write(layout.MEM_OWNER, row, owner)
            self.cfg.write(layout.MEM_OWNER, ROWS + row, owner ^ 255)  # beyond the table
        await self.cfg.write(layout.MEM_GATE, 0, layout.pack(layout.GATE, gate))
        await self.cfg.write(layout.MEM_GATE, 1, 0)
        self.slices = slices

    def reset_model(self) -> None:
        self.slots = [Slot() for _ in range(SLOTS)]
        self.count = dict.fromkeys(COUNTS, 0)
        self.gens.reset()
        self.board.forget()
        self.slices = 0
        self.up_free = [True] * SLOTS
        self.taken.beats = self.taken.stalled_cycles = self.sink.stalled_cycles = 0

    async def flush(self, slot: int) -> int:
        def apply(slot: int) -> None:
            self.gens.forget(self.board, slot, lambda item: item[0])
            old = self.slots[slot]
            self.slots[slot] = Slot(sequences=old.sequences)
            self.up_free[slot] = True

        self.up_gen[slot] = (self.up_gen[slot] + self.rng.randint(1, 4)) & 15
        self.late_until = None
        cycles = await self.gens.flush(slot, self.up_gen[slot], apply)
        self.late_until = self.sink.beats + 3  # what was read from the store, and is not yet taken
        cocotb.start_soon(self._settle())
        return cycles

    async def _settle(self) -> None:
        """Three cycles without an output beat: nothing from before the flush is under way (generations come again: this must be known)."""
        quiet = 0
        while quiet < 3 and self.late_until is not None:
            await RisingEdge(self.dut.clk)
            quiet = 0 if int(self.dut.m_axis_tvalid.value) else quiet + 1
        if self.late_until is not None:
            self.gens._forgotten.clear()

    # ------------------------------------------------------------------------------------------------------------ messages

    def header(self, slot: int, row: int, **more: Any) -> Header:
        values = {
            "dst_cluster": CLUSTER, "dst_kernel": GATEWAY, "edge": EDGE_IN, "src_cluster": self.rng.randrange(256),
            "src_kernel": self.rng.randrange(256), "slot": slot, "generation": self.up_gen[slot % SLOTS], "row": row, "offset": 0,
            "type": TYPE_INT8, "last": False,
        }  # fmt: skip
        return Header(**{**values, **more})

    def sequence(self, slot: int, rows: int, beats: int = ROW_BEATS, shuffle: bool = True, cut: int = 16) -> list[Message]:
        """The messages of a sequence, slices of ``cut`` beats, rows in any order or not."""
        out = []
        for row in range(rows):
            for at in range(0, beats, cut):
                data = self.rng.randbytes(64 * min(cut, beats - at))
                out.append((self.header(slot, row, offset=16 * at, last=row == rows - 1), data))
        if shuffle:
            self.rng.shuffle(out)
        return out

    def send(self, message: Message) -> Any:
        return self.source.send(*message)

    def burst(self, messages: list[Message]) -> Any:
        """Messages back to back."""
        beats = []
        for header, payload in messages:
            beats += streams.packet_beats(payload, header.to_tuser())
        return self.source.send_beats(beats)

    def free_slot(self, slot: int, generation: int | None = None, **more: Any) -> Any:
        """The cluster behind says that the slot is free again."""
        held = self.slots[slot].held if slot < SLOTS else 0
        value = (held or 0) if generation is None else generation
        header = self.header(slot, more.pop("row", 0), generation=value, type=TYPE_CONTROL, edge=self.rng.randrange(256), **more)
        return self.send((header, RELEASE))

    async def idle(self, cycles: int = 20000) -> None:
        """Until everything that can leave has left."""
        await self.source.wait_idle(cycles)
        quiet = 0
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)
            quiet = 0 if int(self.dut.sts_active.value) else quiet + 1
            if quiet > 3:
                self.gens.settle()
                return
        raise AssertionError("sts_active does not fall")

    async def until(self, messages: int, cycles: int = 5000) -> None:
        """Until so many messages have left in all."""
        await self.sink.wait(messages, cycles)

    def counters(self) -> dict[str, int]:
        value = self.dut.sts_count.value.to_unsigned()
        return {name: value >> 32 * i & 0xFFFFFFFF for i, name in enumerate(COUNTS)}

    def finish(self, at_least: int = 1) -> dict[str, int]:
        """All counters; `waits` and the peak only as far as the model knows them. Returns the design's."""
        self.board.finish(at_least)
        got = self.counters()
        want = {
            **self.count, "beats_in": self.taken.beats, "stale": self.gens.stale, "refused": self.sink.stalled_cycles,
            "waits": got["waits"], "messages_peak": got["messages_peak"],
        }  # fmt: skip
        if self.gens.flushes:  # the last message of a sequence may have left before its RELEASE was forgotten
            want["sequences"] = got["sequences"]
        assert got == want
        assert got["messages_peak"] <= SLOTS * HEADS
        assert self.active_cycles and int(self.dut.sts_active.value) == 0, "sts_active is not 0 at the end"
        return got


class Neighbours:
    """The cluster before, which uses a slot again only after its RELEASE, and the one behind, which frees slots some time later."""

    def __init__(self, bench: Bench, sequences: int, most_rows: int = ROWS) -> None:
        self.bench = bench
        self.left = [sequences] * SLOTS  # to begin
        self.queues: list[list[Message]] = [[] for _ in range(SLOTS)]
        self.most_rows = most_rows
        self.flushed: set[int] = set()

    def begin(self, slot: int) -> None:
        bench, rng = self.bench, self.bench.rng
        bench.up_free[slot] = False
        bench.up_gen[slot] = (bench.up_gen[slot] + rng.randint(1, 3)) & 15
        rows = rng.choice([1, self.most_rows, rng.randint(1, self.most_rows)])
        beats = rng.randint(16 * (SLICES - 1) + 1, ROW_BEATS)
        self.queues[slot] = bench.sequence(slot, rows, beats)
        self.left[slot] -= 1

    async def flush(self, slot: int) -> None:
        """The slot is flushed; then one sequence more, under a new generation, for the one that was lost."""
        self.flushed.add(slot)
        self.queues[slot].clear()
        self.left[slot] += 1
        await self.bench.flush(slot)
        self.flushed.discard(slot)

    async def run(self) -> None:
        """All sequences in, one message after the other, slots mixed; slots are freed in between."""
        bench, rng = self.bench, self.bench.rng
        while any(self.left) or any(self.queues) or not all(bench.up_free) or any(s.held is not None for s in bench.slots):
            for slot in range(SLOTS):
                if not self.queues[slot] and self.left[slot] and bench.up_free[slot] and slot not in self.flushed:
                    self.begin(slot)
            ready = [slot for slot in range(SLOTS) if self.queues[slot]]
            done = [k for k, s in enumerate(bench.slots) if s.held is not None and s.sent == 0]
            if done and rng.random() < 0.1:
                await bench.free_slot(rng.choice(done))
            elif ready:
                slot = rng.choice(ready)
                await bench.send(self.queues[slot].pop(0))
            else:
                await RisingEdge(bench.dut.clk)
