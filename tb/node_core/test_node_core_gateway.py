# SPDX-License-Identifier: Apache-2.0
"""node_core with the gateway of its cluster: sequences of another cluster come over the wire and are sent on while their slot is free."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles
from node_bench import ATTENTION, CLUSTER, HOST, Bench, entry, high

from floreana.cluster import layout
from floreana.cluster.layout import TYPE_CONTROL, Header, pack
from floreana.host import words

FAR, GATEWAY = 255, 254  # the cluster before, whose station is the host
ENTRY, EDGE_IN, EDGE_OUT, SLOT = 222, 9, 255, 1  # 223 is the last number of a kernel


class Gateway:
    """A loaded node; kernels ENTRY and ENTRY + 1 are on nodes 1 and 2, rows go to them in turn."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.rows = 1 << bench.dut.ROW_W.value.to_unsigned()
        self.generation = 0
        self.rng = random.Random(cocotb.RANDOM_SEED)

    async def load(self) -> None:
        eth_n = self.bench.eth_n
        unit = layout.UNIT_ETH + eth_n
        gate = {"kernel": ENTRY, "edge_in": EDGE_IN, "edge_out": EDGE_OUT, "slices": 1, "up_cluster": FAR, "up_kernel": GATEWAY}
        await self.bench.write(
            {
                entry(layout.UNIT_SWITCH, layout.MEM_ROUTE, GATEWAY): 1 << 4 + eth_n,
                entry(layout.UNIT_SWITCH, layout.MEM_ROUTE, ENTRY): 16,
                entry(layout.UNIT_SWITCH, layout.MEM_ROUTE, ENTRY + 1): 16,
                entry(layout.UNIT_SWITCH, layout.MEM_ROUTE, layout.CLUSTERS_BASE + FAR): 16,
                entry(layout.UNIT_ETH, layout.MEM_PEERS, ENTRY): 1 << 1,
                entry(layout.UNIT_ETH, layout.MEM_PEERS, ENTRY + 1): 1 << 2,
                entry(layout.UNIT_ETH, layout.MEM_PEERS, layout.CLUSTERS_BASE + FAR): 1 << HOST,
                entry(unit, layout.MEM_GATE, 0): pack(layout.GATE, gate),
                **{entry(unit, layout.MEM_OWNER, row): row & 1 for row in range(self.rows)},
            }
        )

    def sequence(self, expected: bool = True) -> None:
        """A whole sequence from the other cluster, in any order of rows, and what must come of it."""
        bench = self.bench
        self.generation += 1
        rows = list(range(self.rows))
        self.rng.shuffle(rows)
        for row in rows:
            data, last = self.rng.randbytes(64), row == self.rows - 1
            header = bench.message(GATEWAY, EDGE_IN, row, src_cluster=FAR, src_kernel=77, generation=self.generation, offset=row, last=last)
            bench.wire.send(HOST, header, data)
            if expected:
                bench.board.expect((1 + row % 2, self.out(row, last), data))
        if expected:
            bench.board.expect((HOST, self.release_out(), words.release()))

    def out(self, row: int, last: bool) -> Header:
        return self.bench.message(
            ENTRY + row % 2, EDGE_OUT, row, src_kernel=GATEWAY, generation=self.generation, offset=row, last=last, slot=SLOT
        )

    def release_out(self) -> Header:
        return Header(FAR, GATEWAY, 0, CLUSTER, GATEWAY, SLOT, self.generation, 0, 0, TYPE_CONTROL, False)

    def release(self, generation: int) -> None:
        """The next cluster's gateway says that the slot is free."""
        header = self.bench.message(GATEWAY, 0, 0, TYPE_CONTROL, src_cluster=9, src_kernel=GATEWAY, generation=generation, last=False)
        self.bench.wire.send(1, header, words.release())


@cocotb.test(timeout_time=1000, timeout_unit="us")
async def sequences_over_the_wire(dut: Any) -> None:
    """The first goes on at once, the second when the slot is free; RELEASEs go back; everything is counted."""
    bench = Bench(dut)
    await bench.start()
    gate = Gateway(bench)
    await gate.load()
    gate.sequence()
    await bench.drain()
    got = await bench.read()
    assert got["node.gateway"] == 1 and got["node.busy"] == 1 and got["node.words"] == words.word_count(bench.eth_n)
    gate.sequence()
    await ClockCycles(dut.clk, 600)
    first = gate.rows + 1
    assert bench.board.checked == first, "the slot is not free"
    assert high(dut.sts_active) and await bench.word("node.busy") == 1 | 16
    refused = await bench.reply(bench.ask(words.write_request(bench.tag, entry(layout.UNIT_SWITCH, layout.MEM_ROUTE, 99), [0])))
    assert refused.status == words.STATUS_BUSY
    gate.release(gate.generation)  # of the sequence that waits, not of the one that has the slot
    gate.release(gate.generation - 1)
    await bench.drain()
    bench.wire.send(HOST, bench.message(GATEWAY, EDGE_IN + 1, 0, src_cluster=FAR), bytes(64))
    bench.wire.send(HOST, bench.message(GATEWAY, EDGE_IN, gate.rows, src_cluster=FAR), bytes(64))
    bench.wire.send(HOST, bench.message(GATEWAY, EDGE_IN, 0, TYPE_CONTROL, src_cluster=FAR), bytes(64))
    bench.wire.send(HOST, bench.message(ATTENTION, 0, 0, src_cluster=FAR, dst_cluster=FAR), bytes(64))  # through the wire it came from
    await bench.drain()
    bench.board.finish(2 * first)
    got = await bench.read()
    rows = gate.rows
    expected = {
        "messages_in": 2 * rows + 2 + 3, "beats_in": 2 * rows + 2 + 3, "dropped_edge": 1, "dropped_row": 1, "dropped_format": 1,
        "dropped_full": 0, "stale": 0, "sequences": 2, "releases_in": 2, "releases_stale": 1, "messages_out": 2 * rows,
        "beats_out": 2 * rows, "messages_peak": rows, "releases_out": 2,
    }  # fmt: skip
    assert {name: got[f"gateway.{name}"] for name in expected} == expected
    assert got["gateway.waits"] > 500
    names = ("messages_in", "beats_in", "dropped", "messages_out", "beats_out")
    assert [got[f"switch.gateway.{name}"] for name in names] == [2 * rows + 2, 2 * rows + 2, 0, 2 * rows + 5, 2 * rows + 5]
    assert got["switch.eth0.dropped"] == 1 and got["node.lost"] == int(dut.sts_lost.value) == 3 + 1
    assert got["node.busy"] == 1


@cocotb.test(timeout_time=1000, timeout_unit="us")
async def flush_frees_the_slot(dut: Any) -> None:
    """FLUSH reaches the gateway: what waits is forgotten, the slot is free, the sequence sent again goes on at once."""
    bench = Bench(dut)
    await bench.start()
    gate = Gateway(bench)
    await gate.load()
    gate.sequence()
    await bench.drain()
    gate.sequence(expected=False)
    await ClockCycles(dut.clk, 400)
    gate.generation += 2
    reply = await bench.reply(bench.ask(words.flush_request(bench.tag, SLOT, gate.generation)))
    assert (reply.opcode, reply.status) == (words.OP_FLUSH, 0)
    await bench.drain()
    gate.sequence()
    await bench.drain()
    bench.board.finish(2 * (gate.rows + 1))
    got = await bench.read(words.index_of("gateway.messages_in", bench.eth_n), 16)
    assert (got["gateway.messages_in"], got["gateway.messages_out"], got["gateway.sequences"]) == (3 * gate.rows, 2 * gate.rows, 2)
    assert int(dut.sts_lost.value) == 0
