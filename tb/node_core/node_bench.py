# SPDX-License-Identifier: Apache-2.0
"""A node in its bench: stations on its wires, requests to its manager, how it is loaded by frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge
from wire import Wire, station

from floreana.cluster import layout
from floreana.cluster.layout import TYPE_CONTROL, TYPE_INT8, Header, cfg_addr, pack
from floreana.host import words
from floreana.host.endpoint import Delivery
from floreana.host.frame import Station
from floreana_tb import clocks, stalls, streams

CLUSTER, NODE, HOST, FAR = 254, 3, 6, 5
LINEAR, ATTENTION, ADD_NORM, GROUP, HOST_KERNEL, ALIAS = 4, 68, 132, 224, 255, 193 + NODE
ME = (Station(NODE, 0x02_46_4C_FF_00_03, 0xC0_A8_FF_FE), Station(NODE, 0x02_46_4C_FF_80_83, 0xC0_A8_7F_01))  # by port
SHAPE = [
    "K_LANES", "OUT_N", "POST_LANES", "W_WORDS", "BIAS_WORDS", "POST_WORDS", "STORE_BEATS", "ROW_W", "SLOT_W", "HEAD_DIM", "HEAD_BEATS",
    "REQ_WORDS", "NORM_LANES", "LROW_W", "ACC_BEATS", "RES_WORDS", "CHAN_WORDS", "ROW_BEATS",
]  # fmt: skip
SLOT, GENERATION = 1, 2


def high(signal: Any) -> bool:
    return bool(signal._handle.get_signal_val_binstr() == "1")


class Bench:
    def __init__(self, dut: Any, pattern: stalls.Pattern | None = None, cluster: int = 0) -> None:
        self.dut = dut
        self.eth_n = dut.ETH_N.value.to_unsigned()
        self.peers_n = dut.PEERS_N.value.to_unsigned()
        # no order is promised between kernels: compared by station and source
        self.board = streams.Scoreboard("node_core", key=lambda item: (item[0], item[1].src_kernel))
        self.config = streams.ConfigBus(dut, dut.clk)
        self.wire = Wire(dut, "m0", ME[0], self.deliver, pattern)
        self.wires = [self.wire] + ([Wire(dut, "m1", ME[1], self.deliver)] if self.eth_n == 2 else [])
        if self.eth_n == 1:
            for name in ("tdata", "tkeep", "tlast", "tvalid", "tuser"):
                getattr(dut, f"m1_rx_{name}").value = 0
            dut.m1_tx_tready.value = 0
        self.replies: dict[int, words.Reply] = {}
        self.events: list[words.Event] = []
        self.written: list[tuple[int, int, int]] = []  # cycle, address, data the units saw
        self.tag = 0
        self.cluster = cluster  # the node is in
        dut.id_node.value = NODE
        dut.id_cluster.value = cluster
        dut.id_mac.value = ME[1].mac << 48 | ME[0].mac
        dut.id_ip.value = ME[1].ip << 32 | ME[0].ip
        up = station(HOST)
        dut.id_up_node.value, dut.id_up_mac.value, dut.id_up_ip.value, dut.id_up_valid.value = up.node, up.mac, up.ip, 1
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        dut = self.dut
        cycle = 0
        while True:
            await RisingEdge(dut.clk)
            cycle = 0 if high(dut.rst) else cycle + 1
            if high(dut.unit_we):
                self.written.append((cycle, dut.unit_addr.value.to_unsigned(), dut.unit_data.value.to_unsigned()))

    def deliver(self, node: int, delivery: Delivery) -> None:
        header, payload = delivery.header, delivery.payload
        if header.type == TYPE_CONTROL and payload and payload[0] == words.OP_EVENT:
            assert node == HOST and (header.dst_cluster, header.dst_kernel, header.src_kernel) == (CLUSTER, HOST_KERNEL, 0)
            self.events.append(words.Event.parse(payload))
        elif header.type == TYPE_CONTROL and header.src_kernel in {0, ALIAS}:
            reply = words.Reply.parse(payload)
            assert reply.tag not in self.replies
            self.replies[reply.tag] = reply
        else:
            self.board.got((node, header, payload))

    # ---- the manager, over the wire

    def ask(self, payload: bytes, kernel: int = 0, source: int = HOST, wire: Wire | None = None, src_cluster: int | None = None) -> int:
        header = Header(
            dst_cluster=self.cluster, dst_kernel=kernel, edge=17, src_cluster=self.cluster if src_cluster is None else src_cluster,
            src_kernel=HOST_KERNEL, slot=0, generation=0, row=77, offset=5, type=TYPE_CONTROL, last=False,
        )  # fmt: skip
        (wire or self.wire).send(source, header, payload)
        self.tag += 1
        return self.tag - 1

    async def reply(self, tag: int) -> words.Reply:
        for _ in range(5000):
            if tag in self.replies:
                return self.replies[tag]
            await RisingEdge(self.dut.clk)
        raise AssertionError(f"no reply with tag {tag}")

    async def read(self, first: int = 0, count: int | None = None, **where: Any) -> dict[str, int]:
        """Names and values of words; all of them by default."""
        total = words.word_count(self.eth_n)
        values: list[int] = []
        end = total if count is None else first + count
        while first + len(values) < end:
            part = min(words.READ_LIMIT, end - first - len(values))
            reply = await self.reply(self.ask(words.read_request(self.tag, first + len(values), part), **where))
            assert (reply.opcode, reply.status, reply.first, reply.count) == (words.OP_READ, 0, first + len(values), part)
            assert reply.words_there == total
            values += reply.words
        return words.name_words(values, first, self.eth_n)

    async def word(self, name: str) -> int:
        return (await self.read(words.index_of(name, self.eth_n), 1))[name]

    async def write(self, entries: Mapping[int, int]) -> None:
        """Write entries (address -> value) by frames, runs of addresses together, and wait until all are done."""
        runs: list[tuple[int, list[int]]] = []
        for address, value in entries.items():
            if runs and address == runs[-1][0] + len(runs[-1][1]) and len(runs[-1][1]) < words.WRITE_LIMIT:
                runs[-1][1].append(value)
            else:
                runs.append((address, [value]))
        for address, values in runs:
            tag = self.ask(words.write_request(self.tag, address, values))
            if self.tag % 4 == 0:  # a few at a time: the host's queue is not endless
                await self.reply(tag)
            last = tag
        for tag in range(self.tag - len(runs), last + 1):
            reply = await self.reply(tag)
            assert (reply.opcode, reply.status) == (words.OP_WRITE, 0)

    # ---- a node that begins

    async def start(self, load: bool = True) -> None:
        clocks.start_clock(self.dut)
        self.wire.join(HOST)
        await clocks.reset(self.dut)
        await self.link_up(HOST)
        if load:
            await self.load()

    async def link_up(self, node: int, wire: Wire | None = None) -> None:
        for _ in range(10000):
            if (wire or self.wire).endpoints[node].up(NODE):
                return
            await RisingEdge(self.dut.clk)
        raise AssertionError(f"the link to station {node} does not come up")

    async def load(self) -> None:
        """Cluster, routes and peers by frames; the request that gives the cluster comes from it."""
        ident = pack(layout.IDENT, {"cluster": CLUSTER, "linear": LINEAR, "attention": ATTENTION, "add_norm": ADD_NORM})
        reply = await self.reply(self.ask(words.write_request(self.tag, 0, [ident]), src_cluster=CLUSTER))
        assert (reply.opcode, reply.status, reply.count) == (words.OP_WRITE, 0, 1)
        self.cluster = CLUSTER
        entries = {
            entry(layout.UNIT_SWITCH, layout.MEM_ROUTE, kernel): ports
            for kernel, ports in ((LINEAR, 2), (ATTENTION, 4), (ADD_NORM, 8), (GROUP, 2 | 16))
        }
        entries[entry(layout.UNIT_ETH, layout.MEM_PEERS, GROUP)] = 1 << 1 | 1 << 2
        for node in (1, 2):
            entries[entry(layout.UNIT_ETH, layout.MEM_PEER, node)] = peer(station(node))
            self.wire.join(node)
        await self.write(entries)
        for node in (1, 2):
            await self.link_up(node)

    def message(self, kernel: int, edge: int, row: int, kind: int = TYPE_INT8, **fields: Any) -> Header:
        base = {
            "dst_cluster": CLUSTER, "dst_kernel": kernel, "edge": edge, "src_cluster": CLUSTER, "src_kernel": HOST_KERNEL, "slot": SLOT,
            "generation": GENERATION, "row": row, "offset": 0, "type": kind, "last": True,
        }  # fmt: skip
        return Header(**{**base, **fields})

    async def drain(self) -> None:
        quiet = 0
        for _ in range(30000):
            await RisingEdge(self.dut.clk)
            still = high(self.dut.sts_busy) or high(self.dut.sts_active) or not all(wire.quiet for wire in self.wires)
            quiet = 0 if still else quiet + 1
            if quiet > 20:
                return
        raise AssertionError("the node does not come to rest")


def entry(unit: int, mem: int, index: int) -> int:
    return cfg_addr(unit, mem, index)


def peer(of: Station, quota: int = 4) -> int:
    return pack(layout.PEER, {"mac": of.mac, "ip": of.ip, "valid": 1, "quota": quota})


def zeros(fields: layout.Layout, **values: int) -> int:
    return pack(fields, dict.fromkeys((name for name, _ in fields), 0) | values)
