# SPDX-License-Identifier: Apache-2.0
"""node_core: a whole node seen from the wire alone. It is loaded, used, flushed and watched by frames; nothing touches cfg_* but one test.

Stations speak the transport in software (wire.py); their messages in and out are compared.
"""

from __future__ import annotations

import random
import struct
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge
from node_bench import (
    ADD_NORM,
    ALIAS,
    ATTENTION,
    CLUSTER,
    GENERATION,
    GROUP,
    HOST,
    HOST_KERNEL,
    LINEAR,
    ME,
    NODE,
    SHAPE,
    Bench,
    entry,
    high,
    zeros,
)  # fmt: skip
from wire import station

from floreana.cluster import layout
from floreana.cluster.layout import TYPE_CONTROL, TYPE_INT8, TYPE_INT32, pack
from floreana.host import words
from floreana.ibert import ops
from floreana.ibert.params import RequantParams, SoftmaxParams
from floreana_tb import clocks, stalls

# ------------------------------------------------------------------------------------------------------------ a bare node


@cocotb.test(timeout_time=200, timeout_unit="us")
async def boot_writes_what_a_bare_node_needs(dut: Any) -> None:
    """The routes of the manager, under both its numbers, and of the host, and the upstream peer, in the first 16 cycles; nothing else."""
    bench = Bench(dut)
    clocks.start_clock(dut)
    up = station(HOST)
    quota = min(32, dut.RX_CELLS.value.to_unsigned())
    last = bench.peers_n - 1
    beyond = 5 * bench.peers_n + 3  # the table has the whole number, masks have its index
    for valid, node, me in ((1, HOST, NODE), (0, HOST, 30), (1, bench.peers_n, 31), (1, last, 0), (1, last, 0x8000), (1, beyond, 64)):
        dut.id_up_valid.value, dut.id_up_node.value, dut.id_node.value = valid, node, me
        await clocks.reset(dut)
        bench.written.clear()
        await ClockCycles(dut.clk, 40)
        value = pack(layout.PEER, {"mac": up.mac, "ip": up.ip, "valid": valid, "quota": quota})
        expected = [
            (entry(layout.UNIT_SWITCH, layout.MEM_ROUTE, 0), 1),
            (entry(layout.UNIT_SWITCH, layout.MEM_ROUTE, 255), 16),
            (entry(layout.UNIT_ETH, layout.MEM_PEER, node), value),
            (entry(layout.UNIT_ETH, layout.MEM_PEERS, 255), valid << node % bench.peers_n),
        ]
        expected += [(entry(layout.UNIT_SWITCH, layout.MEM_ROUTE, 193 + me), 1)] if me <= 30 else []
        assert [(address, data) for _, address, data in bench.written] == expected
        assert all(3 <= cycle <= 16 for cycle, _, _ in bench.written)


@cocotb.test(timeout_time=400, timeout_unit="us")
async def identity_of_a_bare_node(dut: Any) -> None:
    """A node that only has its identity answers the upstream peer in cluster 0; then it is told what it is."""
    bench = Bench(dut)
    await bench.start(load=False)
    got = await bench.read()
    expected = {
        "magic": 0x464C4F52, "version": 0x200, "node": NODE, "mac_high": ME[0].mac >> 32, "mac_low": ME[0].mac & 0xFFFFFFFF,
        "ip": ME[0].ip, "ident": 0, "words": words.word_count(bench.eth_n), "lost": 0, "ports_peers": bench.eth_n << 16 | bench.peers_n,
        "busy": 1, "gateway": 0, "tx_cells": dut.TX_CELLS.value.to_unsigned(), "rx_cells": dut.RX_CELLS.value.to_unsigned(),
    }  # fmt: skip
    expected |= {name.lower(): getattr(dut, name).value.to_unsigned() for name in SHAPE}
    assert {name: got[f"node.{name}"] for name in expected} == expected
    # words to 127 were read before anything was answered, the others after one reply of nine beats
    kernels = {name for name in got if name.split(".")[0] in {"linear", "attention", "add_norm"}}
    assert {name for name in kernels if got[name]} == {"linear.idle_row"}
    assert {name: got[name] for name in got if name.startswith("manager.") and got[name]} == {"manager.requests": 1, "manager.reads": 1}
    # header and six beats of the first reply are in the switch when the seventh is filled
    switch = {"messages_in": 0, "beats_in": 7, "dropped": 0, "cells_peak": 0, "refused": 0, "messages_out": 1, "beats_out": 1, "stalled": 0}
    assert {name: got[f"switch.manager.{name}"] for name in switch} == switch
    switch = {"messages_in": 2, "beats_in": 2, "dropped": 0, "cells_peak": 1, "refused": 0, "messages_out": 1, "beats_out": 9, "stalled": 0}
    assert {name: got[f"switch.eth0.{name}"] for name in switch} == switch
    assert got["eth0.rx.accepted"] == got["eth0.rx.beats"] == 2
    assert got["eth0.tx.messages"] == got["eth0.tx.frames"] == 1 and got["eth0.tx.beats"] == 9
    assert words.peer_mask(got, "eth0.link.up") == {HOST} and not words.peer_mask(got, "eth0.link.failed")
    assert not any(got[name] for name in got if ".dropped" in name)
    assert await bench.read(2, 1, kernel=ALIAS) == {"node.node": NODE}
    await bench.load()
    assert await bench.word("node.ident") == CLUSTER | LINEAR << 8 | ATTENTION << 16 | ADD_NORM << 24
    await bench.drain()
    words_now = await bench.read()
    # IDENT; four routes; the group; two peers in one request
    assert words_now["manager.words_written"] == 1 + 4 + 1 + 2 and words_now["manager.writes"] == 1 + 4 + 1 + 1
    assert words_now["manager.errors"] == 0 and words_now["node.lost"] == 0


@cocotb.test(timeout_time=200, timeout_unit="us")
async def cluster_of_a_bare_node(dut: Any) -> None:
    """A node that knows its cluster by id_cluster answers there, and nowhere else; what IDENT says replaces it, until the next reset."""
    bench = Bench(dut, cluster=CLUSTER + 1)
    await bench.start(load=False)
    assert await bench.word("node.ident") == CLUSTER + 1
    bench.cluster = 0
    bench.ask(words.read_request(0xFFFF, 0, 1))  # goes nowhere
    bench.tag, bench.cluster = bench.tag - 1, CLUSTER + 1
    await bench.load()
    assert await bench.word("node.ident") & 255 == CLUSTER and await bench.word("switch.eth0.dropped") == 1
    await clocks.reset(dut)
    bench.cluster = CLUSTER + 1
    for _ in range(10000):
        if any(item.kind == "restarted" for item in bench.wire.endpoints[HOST].events) and bench.wire.endpoints[HOST].up(NODE):
            break
        await RisingEdge(dut.clk)
    assert await bench.word("node.ident") == CLUSTER + 1


# -------------------------------------------------------------------------------------------------------- kernels at work


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(pattern=["none", "backpressure"])
async def entry_multicast_linear_host(dut: Any, pattern: str) -> None:
    """A row from the host: add_norm/ENTRY sends it to the group (own linear, nodes 1 and 2), linear's sums go to the host."""
    bench = Bench(dut, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED))
    await bench.start()
    rng = random.Random(cocotb.RANDOM_SEED)
    lanes = dut.K_LANES.value.to_unsigned()
    weight = [[rng.randint(-128, 127) for _ in range(64)] for _ in range(16)]
    bias = [rng.randint(-(2**31) + 2**21, 2**31 - 2**21) for _ in range(16)]
    out = {"dst_cluster": CLUSTER, "by_owner": 0, "offset": 0, "beats": 1}
    norm, linear = layout.UNIT_ADD_NORM, layout.UNIT_LINEAR
    entries = {
        entry(norm, layout.MEM_EDGE, 11): pack(layout.EDGE, {"ctx": 1, "role": layout.ROLE_DATA, "valid": 1}),
        entry(norm, layout.MEM_CONTEXT, 1): zeros(layout.ADD_NORM_CONTEXT, mode=layout.NORM_ENTRY, beats=1, msg_base=4, msg_count=1),
        entry(norm, layout.MEM_MESSAGE, 4): pack(layout.MESSAGE, {**out, "dst_kernel": GROUP, "edge": 10, "type": TYPE_INT8}),
        entry(linear, layout.MEM_EDGE, 10): pack(layout.EDGE, {"ctx": 0, "role": 0, "valid": 1}),
        entry(linear, layout.MEM_CONTEXT, 0): zeros(
            layout.LINEAR_CONTEXT, in_beats=1, mode=layout.LINEAR_PARTIAL, groups=1, out_units=1, msg_count=1
        ),
        entry(linear, layout.MEM_MESSAGE, 0): pack(layout.MESSAGE, {**out, "dst_kernel": HOST_KERNEL, "edge": 99, "type": TYPE_INT32}),
        entry(linear, layout.MEM_BIAS, 0): int.from_bytes(struct.pack("<16i", *bias), "little"),
    }
    entries |= {entry(unit, layout.MEM_OWNER, row): 0 for unit in (norm, linear) for row in range(4)}
    entries |= {entry(norm, layout.MEM_LOCAL_ROW, row): row & 1 for row in range(4)}
    for word in range(64 // lanes):
        for output in range(16):
            value = bytes(x & 255 for x in weight[output][word * lanes : (word + 1) * lanes])
            entries[entry(linear, layout.MEM_WEIGHT, word << 6 | output)] = int.from_bytes(value, "little")
    await bench.write(entries)
    for row in range(4):
        data = rng.randbytes(64)
        signed = struct.unpack("64b", data)
        sums = [bias[o] + sum(weight[o][k] * signed[k] for k in range(64)) for o in range(16)]
        bench.wire.send(HOST, bench.message(ADD_NORM, 11, row, last=row == 3), data)
        for node in (1, 2):
            bench.board.expect((node, bench.message(GROUP, 10, row, src_kernel=ADD_NORM, last=row == 3), data))
        result = bench.message(HOST_KERNEL, 99, row, TYPE_INT32, src_kernel=LINEAR, last=row == 3)
        bench.board.expect((HOST, result, struct.pack("<16i", *sums)))
        if row % 2:
            await bench.drain()
    await bench.drain()
    bench.board.finish(12)
    assert int(dut.sts_lost.value) == 0 and int(dut.sts_failed.value) == 0
    got = await bench.read(32, 48)
    assert got["linear.messages_in"] == got["add_norm.messages_in"] == got["linear.rows_out"] == got["add_norm.rows_entered"] == 4


SOFTMAX = SoftmaxParams(x0=-6931, b=27073, c=279_200_000, m=1_032_266_490, e=73)


class AttentionCase:
    """Q, K and V rows of one beat of heads, the tables they need, and the context rows of the integer model."""

    def __init__(self, dut: Any) -> None:
        rng = np.random.default_rng(cocotb.RANDOM_SEED)
        self.rows, width = 3, 64
        self.q, self.k, self.v = (rng.integers(-128, 128, (self.rows, width)) for _ in range(3))
        m, e = rng.integers(1 << 29, 1 << 30, width), rng.integers(36, 40, width)
        rq = RequantParams(m=m, e=e, off=rng.integers(-9, 10, width))
        unit = layout.UNIT_ATTENTION
        roles = (layout.ROLE_Q, layout.ROLE_K, layout.ROLE_V)
        self.entries = {entry(unit, layout.MEM_EDGE, 20 + role): pack(layout.EDGE, {"ctx": 2, "role": role, "valid": 1}) for role in roles}
        self.entries[entry(unit, layout.MEM_CONTEXT, 2)] = zeros(
            layout.ATTENTION_CONTEXT, beats=1, x0=-SOFTMAX.x0, b=SOFTMAX.b, c=SOFTMAX.c, m=SOFTMAX.m, e=SOFTMAX.e, msg_base=8
        )
        self.entries[entry(unit, layout.MEM_MESSAGE, 8)] = zeros(
            layout.MESSAGE, dst_cluster=CLUSTER, dst_kernel=HOST_KERNEL - NODE, edge=98, by_owner=1, type=TYPE_INT8, beats=1
        )
        self.entries |= {entry(unit, layout.MEM_OWNER, row): NODE for row in range(4)}
        for c in range(width):
            values = {"m": int(m[c]), "e": int(e[c]), "off": int(rq.off[c])}
            self.entries[entry(unit, layout.MEM_REQUANT, c)] = pack(layout.REQUANT, values)
        context = ops.attention(self.q, self.k, self.v, SOFTMAX, rq, heads=width // dut.HEAD_DIM.value.to_unsigned())
        assert len(set(context.flatten().tolist())) > 20, "the case shows nothing"
        self.context = [row.astype("i1").tobytes() for row in context]

    def send(self, bench: Bench, generation: int) -> None:
        for row in range(self.rows):
            for role, tensor in ((layout.ROLE_K, self.k), (layout.ROLE_V, self.v), (layout.ROLE_Q, self.q)):
                header = bench.message(ATTENTION, 20 + role, row, last=row == self.rows - 1, generation=generation)
                bench.wire.send(HOST, header, tensor[row].astype("i1").tobytes())
            result = bench.message(HOST_KERNEL, 98, row, src_kernel=ATTENTION, last=row == self.rows - 1, generation=generation)
            bench.board.expect((HOST, result, self.context[row]))


@cocotb.test(timeout_time=400, timeout_unit="us")
async def flush_and_busy(dut: Any) -> None:
    """Attention over the wire. While it holds rows no table is written, of any unit; a flush empties it, older rows are stale then."""
    bench = Bench(dut)
    await bench.start()
    case = AttentionCase(dut)
    await bench.write(case.entries)
    case.send(bench, GENERATION)
    await bench.drain()
    bench.board.finish(case.rows)
    # half a sequence: keys without their values
    for row in range(2):
        header = bench.message(ATTENTION, 20 + layout.ROLE_K, row, last=False, generation=GENERATION + 1)
        bench.wire.send(HOST, header, case.q[row].astype("i1").tobytes())
    for _ in range(500):
        if high(dut.sts_active):
            break
        await RisingEdge(dut.clk)
    assert high(dut.sts_active), "keys are held, and nothing is active"
    written = len(bench.written)
    for unit in range(5 + bench.eth_n):
        reply = await bench.reply(bench.ask(words.write_request(bench.tag, unit << 28 | 0xFF_FFFF, [1])))
        assert (reply.status, reply.count) == (words.STATUS_BUSY, 0)
    reply = await bench.reply(bench.ask(words.write_request(bench.tag, (5 + bench.eth_n) << 28, [1])))
    assert reply.status == words.STATUS_UNIT
    assert len(bench.written) == written and high(dut.sts_active)
    assert await bench.word("node.busy") == 1 | 4, "the manager is busy with this very request, attention with its rows"
    slots = 1 << dut.SLOT_W.value.to_unsigned()
    assert (await bench.reply(bench.ask(words.flush_request(bench.tag, slots, 0)))).status == words.STATUS_RANGE
    for slot in range(slots):
        reply = await bench.reply(bench.ask(words.flush_request(bench.tag, slot, GENERATION + 2)))
        assert (reply.opcode, reply.status, reply.first, reply.count) == (words.OP_FLUSH, 0, slot, GENERATION + 2)
    await bench.drain()
    assert not high(dut.sts_active)
    bench.wire.send(HOST, bench.message(ATTENTION, 20, 0, generation=GENERATION + 1), bytes(64))  # of the sequence that was flushed
    case.send(bench, GENERATION + 2)
    await bench.drain()
    bench.board.finish(2 * case.rows)
    assert int(dut.sts_lost.value) == 0, "what is stale is not lost"
    got = await bench.read()
    assert (got["attention.stale"], got["manager.flushes"], got["manager.busy_refused"]) == (1, slots, 5 + bench.eth_n)
    assert got["manager.errors"] == 7 + bench.eth_n and got["node.busy"] == 1


@cocotb.test(timeout_time=400, timeout_unit="us")
async def losses_of_every_unit_are_summed(dut: Any) -> None:
    """Unknown edges at each kernel, an unroutable kernel, data for the manager: counted where they fall, and in sts_lost."""
    bench = Bench(dut)
    await bench.start()
    units = (layout.UNIT_LINEAR, layout.UNIT_ATTENTION, layout.UNIT_ADD_NORM)
    await bench.write({entry(unit, layout.MEM_EDGE, edge): 0 for unit in units for edge in (200, 201)})
    for count, kernel in ((3, LINEAR), (2, ATTENTION), (1, ADD_NORM)):
        for k in range(count):
            bench.wire.send(HOST, bench.message(kernel, 200 + k % 2, 0), bytes(64))
    bench.wire.send(1, bench.message(77, 0, 0), bytes(64))  # no route
    bench.wire.send(1, bench.message(HOST_KERNEL, 0, 0), bytes(64))  # from the wire to the wire
    bench.wire.send(1, bench.message(0, 0, 0), bytes(64))  # data for the manager
    bench.wire.send(2, bench.message(0, 0, 0, TYPE_CONTROL), b"")  # empty
    await bench.write({entry(layout.UNIT_SWITCH, layout.MEM_ROUTE, 78): 16})
    bench.wire.send(HOST, bench.message(0, 0, 0, TYPE_CONTROL, src_kernel=78), words.read_request(0xFFFF, 0, 1))  # no node for the reply
    await bench.drain()
    assert int(dut.sts_lost.value) == 11
    got = await bench.read()
    names = (
        "node.lost", "linear.dropped_edge", "attention.dropped_edge", "add_norm.dropped_edge", "switch.eth0.dropped", "manager.dropped",
        "eth0.tx.dropped_node",
    )  # fmt: skip
    assert [got[name] for name in names] == [11, 3, 2, 1, 2, 2, 1]


# ------------------------------------------------------------------------------------------------------------------ links


@cocotb.test(timeout_time=1000, timeout_unit="us")
async def changes_of_peers_are_told(dut: Any) -> None:
    """A peer goes silent and its link fails; it comes back; another restarts; then the node itself restarts and knows nothing."""
    bench = Bench(dut)
    await bench.start()
    registers = {layout.REG_RTO: 256, layout.REG_RETRIES: 3, layout.REG_KEEP: 1024}
    await bench.write({entry(layout.UNIT_ETH, layout.MEM_REGISTER, index): value for index, value in sorted(registers.items())})
    reply = await bench.reply(bench.ask(words.events_request(bench.tag, True)))
    assert (reply.opcode, reply.status, reply.first) == (words.OP_EVENTS, 0, 1)

    async def event(kind: int, node: int) -> None:
        count = len(bench.events)
        for _ in range(20000):
            if len(bench.events) > count:
                break
            await RisingEdge(dut.clk)
        assert bench.events[count:] == [words.Event(kind, 0, node, NODE, count)], f"waited for kind {kind} of node {node}"

    bench.wire.cut.add(1)
    await event(words.EVENT_FAILED, 1)
    assert int(dut.sts_failed.value) == 1 << 1
    assert words.peer_mask(await bench.read(words.ETH_FIRST, 64), "eth0.link.failed") == {1}
    bench.wire.cut.clear()
    bench.wire.join(1)
    await event(words.EVENT_RESTARTED, 1)
    await event(words.EVENT_UP, 1)
    assert int(dut.sts_failed.value) == 0
    bench.wire.join(2)
    await event(words.EVENT_RESTARTED, 2)
    got = await bench.read(words.ETH_FIRST, 64)
    assert words.peer_mask(got, "eth0.link.up") == {1, 2, HOST} and words.peer_mask(got, "eth0.link.restarted") == {1, 2}
    assert await bench.word("manager.events") == 4
    # the node restarts
    await clocks.reset(dut)
    bench.cluster = 0
    host = bench.wire.endpoints[HOST]
    for _ in range(10000):
        if any(item.kind == "restarted" for item in host.events) and host.up(NODE):
            break
        await RisingEdge(dut.clk)
    assert any(item.kind == "restarted" for item in host.events)
    assert await bench.word("node.ident") == 0 and await bench.word("manager.events") == 0


@cocotb.test(timeout_time=400, timeout_unit="us")
async def the_outer_bus_goes_first(dut: Any) -> None:
    """While every cycle is taken by cfg_*, the manager's writes wait; none is lost and both orders are kept."""
    bench = Bench(dut)
    await bench.start()
    bench.written.clear()
    base = entry(layout.UNIT_LINEAR, layout.MEM_WEIGHT, 0)
    inner = [(base + k, random.Random(k).getrandbits(512)) for k in range(15)]
    outer = [(base + 64 + k, random.Random(99 + k).getrandbits(512)) for k in range(400)]
    tag = bench.ask(words.write_request(bench.tag, base, [value for _, value in inner]))
    for address, value in outer:
        last = bench.config.write_address(address, value)
    await last
    await bench.reply(tag)
    seen = [(address, data) for _, address, data in bench.written]
    assert [item for item in seen if item in inner] == inner and [item for item in seen if item in outer] == outer
    assert len(seen) == 415 and seen[:400] == outer, "the outer bus waited"
