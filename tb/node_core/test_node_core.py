# SPDX-License-Identifier: Apache-2.0
"""node_core: wiring of the whole node, seen from the wire alone. Frames in and out are built by scapy (net_eth/frames.py)."""

from __future__ import annotations

import random
import struct
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge
from net_eth.frames import Station, frame, station

from floreana.cluster import layout
from floreana.cluster.layout import TYPE_CONTROL, TYPE_INT8, TYPE_INT32, Header, pack
from floreana.ibert import ops
from floreana.ibert.params import RequantParams, SoftmaxParams
from floreana_tb import clocks, stalls, streams

CLUSTER, NODE, HOST = 7, 3, 6
LINEAR, ATTENTION, ADD_NORM, GROUP, HOST_KERNEL = 4, 68, 132, 224, 255
ME = Station(NODE, 0x02_46_4C_FF_00_03, 0xC0_A8_FF_FE)
SHAPE = [
    "K_LANES", "OUT_N", "POST_LANES", "W_WORDS", "BIAS_WORDS", "POST_WORDS", "STORE_BEATS", "ROW_W", "SLOT_W", "HEAD_DIM", "HEAD_BEATS",
    "REQ_WORDS", "NORM_LANES", "LROW_W", "ACC_BEATS", "RES_WORDS", "CHAN_WORDS", "ROW_BEATS",
]  # fmt: skip
WORDS = 156


class Bench:
    def __init__(self, dut: Any, pattern: stalls.Pattern | None = None) -> None:
        self.dut = dut
        self.board = streams.Scoreboard("node_core")
        self.sink = streams.PacketSink(dut, "mac_tx", dut.clk, pattern, callback=lambda got: self.board.got(got.payload), max_beats=17)
        self.config = streams.ConfigBus(dut, dut.clk)
        self.seq_in = dict.fromkeys(range(64), 0)
        self.seq_out = dict.fromkeys(range(64), 0)
        for name in ("tdata", "tkeep", "tlast", "tvalid", "tuser"):
            getattr(dut, f"mac_rx_{name}").value = 0
        dut.id_node.value = ME.node
        dut.id_mac.value = ME.mac
        dut.id_ip.value = ME.ip

    def write(self, unit: int, mem: int, index: int, fields: layout.Layout, **values: int) -> Any:
        return self.config.write(mem, index, pack(fields, values), unit=unit)

    async def start(self) -> None:
        clocks.start_clock(self.dut)
        await clocks.reset(self.dut)
        clearing = 8 << (self.dut.ROW_W.value.to_unsigned() + self.dut.SLOT_W.value.to_unsigned())
        await ClockCycles(self.dut.clk, clearing + 40)  # linear clears its counts
        w = self.write
        w(layout.UNIT_NODE, 0, 0, layout.IDENT, cluster=CLUSTER, linear=LINEAR, attention=ATTENTION, add_norm=ADD_NORM)
        for kernel, ports in ((0, 1), (LINEAR, 2), (ATTENTION, 4), (ADD_NORM, 8), (GROUP, 2 | 16), (HOST_KERNEL, 16)):
            w(layout.UNIT_SWITCH, 0, kernel, layout.ROUTE, ports=ports)
        w(layout.UNIT_ETH, layout.MEM_PEERS, HOST_KERNEL, layout.PEERS, nodes=1 << HOST)
        w(layout.UNIT_ETH, layout.MEM_PEERS, GROUP, layout.PEERS, nodes=1 << 1 | 1 << 2)
        for node in (1, 2, HOST):
            last = w(layout.UNIT_ETH, layout.MEM_PEER, node, layout.PEER, mac=station(node).mac, ip=station(node).ip, valid=1)
        await last
        await ClockCycles(self.dut.clk, 4)

    async def receive(self, node: int, header: Header, payload: bytes, seq: int | None = None) -> None:
        """A frame comes from the wire."""
        number = self.seq_in[node] if seq is None else seq
        if seq is None:
            self.seq_in[node] += 1
        for beat in streams.packet_beats(frame(station(node), ME, number, header, payload), None):
            self.dut.mac_rx_tvalid.value = 1
            self.dut.mac_rx_tdata.value = beat.data
            self.dut.mac_rx_tkeep.value = beat.keep
            self.dut.mac_rx_tlast.value = int(beat.last)
            await RisingEdge(self.dut.clk)
        self.dut.mac_rx_tvalid.value = 0

    def expect(self, node: int, header: Header, payload: bytes) -> None:
        """A frame must leave to a node, in this order."""
        self.board.expect(frame(ME, station(node), self.seq_out[node], header, payload, ack=self.seq_in[node]))
        self.seq_out[node] += 1

    async def drain(self) -> None:
        quiet = 0
        for _ in range(5000):
            await RisingEdge(self.dut.clk)
            quiet = 0 if int(self.dut.sts_busy.value) else quiet + 1
            if quiet > 200:  # kernels do not show in sts_busy
                return
        raise AssertionError("sts_busy does not fall")

    async def read(self, first: int, count: int) -> list[int]:
        """Ask the manager over the wire; the reply's header and length are checked, the words returned."""
        ask = Header(
            dst_cluster=CLUSTER, dst_kernel=0, edge=17, src_cluster=CLUSTER, src_kernel=HOST_KERNEL, slot=3, generation=2, row=77,
            offset=5, type=TYPE_CONTROL, last=False,
        )  # fmt: skip
        before = len(self.sink.received)
        await self.receive(HOST, ask, struct.pack("<BBHII", 1, 0, 0xBEEF, first, count))
        await self.sink.wait(before + 1, 3000)
        got = self.sink.received[before].payload
        words = list(struct.unpack(f"<{count}I", got[128:]))
        answer = Header(
            dst_cluster=CLUSTER, dst_kernel=HOST_KERNEL, edge=17, src_cluster=CLUSTER, src_kernel=0, slot=3, generation=2, row=77,
            offset=0, type=TYPE_CONTROL, last=False,
        )  # fmt: skip
        head = struct.pack("<BBHIII48x", 0x81, 0, 0xBEEF, first, count, WORDS)
        self.expect(HOST, answer, head + got[128:])
        return words


def message(kernel: int, edge: int, row: int, kind: int = TYPE_INT8, **fields: Any) -> Header:
    base = {
        "dst_cluster": CLUSTER, "dst_kernel": kernel, "edge": edge, "src_cluster": CLUSTER, "src_kernel": HOST_KERNEL, "slot": 1,
        "generation": 9, "row": row, "offset": 0, "type": kind, "last": True,
    }  # fmt: skip
    return Header(**{**base, **fields})


@cocotb.test(timeout_time=100, timeout_unit="us")
async def identity_over_the_wire(dut: Any) -> None:
    bench = Bench(dut)
    await bench.start()
    words = await bench.read(0, 32)
    assert words[0] == 0x464C4F52
    assert words[2:7] == [NODE, ME.mac >> 32, ME.mac & 0xFFFFFFFF, ME.ip, CLUSTER | LINEAR << 8 | ATTENTION << 16 | ADD_NORM << 24]
    assert words[7] == WORDS
    assert words[8:26] == [getattr(dut, name).value.to_unsigned() for name in SHAPE]
    assert words[26:32] == [0] * 6
    words = await bench.read(80, 76)
    assert words[:11] == [1, 1, 3, 0, 0, 0, 1, 2, 2, 2, 1], "eth: one reply of three payload beats sent, two requests received"
    assert words[11:32] == [0] * 21
    switch = words[32:72]
    # three beats of the first reply; header and two beats of this one are in the switch when the words are read
    assert switch[0:8] == [1, 6, 0, 1, 0, 2, 2, 0], "switch port of the manager"
    assert switch[8:32] == [0] * 24, "kernels"
    assert switch[32:40] == [2, 2, 0, 1, 0, 1, 3, 0], "switch port of eth"
    assert words[72:76] == [2, 2, 0, 0], "manager"
    await bench.drain()
    bench.board.finish(2)


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(pattern=["none", "backpressure"])
async def entry_multicast_linear_host(dut: Any, pattern: str) -> None:
    """A row from the host: add_norm/ENTRY sends it to the group (own linear, nodes 1 and 2), linear's sums go to the host."""
    bench = Bench(dut, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED))
    await bench.start()
    rng = random.Random(cocotb.RANDOM_SEED)
    lanes = dut.K_LANES.value.to_unsigned()
    weight = [[rng.randint(-128, 127) for _ in range(64)] for _ in range(16)]
    bias = [rng.randint(-(2**31) + 2**21, 2**31 - 2**21) for _ in range(16)]
    w = bench.write
    w(layout.UNIT_ADD_NORM, layout.MEM_EDGE, 11, layout.EDGE, ctx=1, role=layout.ROLE_DATA, valid=1)
    zero = dict.fromkeys((name for name, _ in layout.ADD_NORM_CONTEXT), 0)
    context = zero | {"mode": layout.NORM_ENTRY, "beats": 1, "msg_base": 4, "msg_count": 1}
    w(layout.UNIT_ADD_NORM, layout.MEM_CONTEXT, 1, layout.ADD_NORM_CONTEXT, **context)
    out = {"dst_cluster": CLUSTER, "by_owner": 0, "offset": 0, "beats": 1}
    w(layout.UNIT_ADD_NORM, layout.MEM_MESSAGE, 4, layout.MESSAGE, dst_kernel=GROUP, edge=10, type=TYPE_INT8, **out)
    w(layout.UNIT_LINEAR, layout.MEM_EDGE, 10, layout.EDGE, ctx=0, role=0, valid=1)
    zero = dict.fromkeys((name for name, _ in layout.LINEAR_CONTEXT), 0)
    context = zero | {"in_beats": 1, "mode": layout.LINEAR_PARTIAL, "groups": 1, "out_units": 1, "msg_count": 1}
    w(layout.UNIT_LINEAR, layout.MEM_CONTEXT, 0, layout.LINEAR_CONTEXT, **context)
    w(layout.UNIT_LINEAR, layout.MEM_MESSAGE, 0, layout.MESSAGE, dst_kernel=HOST_KERNEL, edge=99, type=TYPE_INT32, **out)
    for row in range(4):
        w(layout.UNIT_ADD_NORM, layout.MEM_OWNER, row, layout.OWNER, owner=0)
        w(layout.UNIT_LINEAR, layout.MEM_OWNER, row, layout.OWNER, owner=0)
        w(layout.UNIT_ADD_NORM, layout.MEM_LOCAL_ROW, row, layout.LOCAL_ROW, local_row=row & 1)
    for word in range(64 // lanes):
        for output in range(16):
            value = bytes(x & 255 for x in weight[output][word * lanes : (word + 1) * lanes])
            bench.config.write(layout.MEM_WEIGHT, word << 6 | output, int.from_bytes(value, "little"), unit=layout.UNIT_LINEAR)
    await bench.config.write(layout.MEM_BIAS, 0, int.from_bytes(struct.pack("<16i", *bias), "little"), unit=layout.UNIT_LINEAR)
    await ClockCycles(dut.clk, 4)
    for row in range(4):
        data = rng.randbytes(64)
        signed = struct.unpack("64b", data)
        sums = [bias[o] + sum(weight[o][k] * signed[k] for k in range(64)) for o in range(16)]
        await bench.receive(HOST, message(ADD_NORM, 11, row, last=row == 3), data)
        for node in (1, 2):
            bench.expect(node, message(GROUP, 10, row, src_kernel=ADD_NORM, last=row == 3), data)
        result = message(HOST_KERNEL, 99, row, TYPE_INT32, src_kernel=LINEAR, last=row == 3)
        bench.expect(HOST, result, struct.pack("<16i", *sums))
        await bench.drain()
    bench.board.finish(12)
    assert int(dut.sts_drops.value) == 0 and not int(dut.sts_seq_error.value)
    words = await bench.read(32, 48)
    assert words[0] == 4 and words[32] == 4, "messages into linear and add_norm"


@cocotb.test(timeout_time=100, timeout_unit="us")
async def attention_over_the_wire(dut: Any) -> None:
    """Q, K and V rows of one beat of heads from the host; the context rows equal the integer model."""
    bench = Bench(dut)
    await bench.start()
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    softmax = SoftmaxParams(x0=-6931, b=27073, c=279_200_000, m=1_032_266_490, e=73)
    rows, width = 3, 64
    q, k, v = (rng.integers(-128, 128, (rows, width)) for _ in range(3))
    m, e = rng.integers(1 << 29, 1 << 30, width), rng.integers(36, 40, width)
    rq = RequantParams(m=m, e=e, off=rng.integers(-9, 10, width))
    w = bench.write
    for role in (layout.ROLE_Q, layout.ROLE_K, layout.ROLE_V):
        w(layout.UNIT_ATTENTION, layout.MEM_EDGE, 20 + role, layout.EDGE, ctx=2, role=role, valid=1)
    w(
        layout.UNIT_ATTENTION, layout.MEM_CONTEXT, 2, layout.ATTENTION_CONTEXT,
        bank=0, beats=1, x0=-softmax.x0, b=softmax.b, c=softmax.c, m=softmax.m, e=softmax.e, req_base=0, msg_base=8,
    )  # fmt: skip
    w(
        layout.UNIT_ATTENTION, layout.MEM_MESSAGE, 8, layout.MESSAGE, dst_cluster=CLUSTER, dst_kernel=HOST_KERNEL - NODE, edge=98,
        by_owner=1, offset=0, type=TYPE_INT8, beats=1,
    )  # fmt: skip
    for row in range(4):
        w(layout.UNIT_ATTENTION, layout.MEM_OWNER, row, layout.OWNER, owner=NODE)
    for c in range(width):
        last = w(layout.UNIT_ATTENTION, layout.MEM_REQUANT, c, layout.REQUANT, m=int(m[c]), e=int(e[c]), off=int(rq.off[c]))
    await last
    await ClockCycles(dut.clk, 4)
    context = ops.attention(q, k, v, softmax, rq, heads=width // dut.HEAD_DIM.value.to_unsigned())
    assert len(set(context.flatten().tolist())) > 20, "the case shows nothing"
    for row in range(rows):
        result = message(HOST_KERNEL, 98, row, src_kernel=ATTENTION, last=row == rows - 1)
        # all frames are in before the first result leaves
        bench.board.expect(frame(ME, station(HOST), row, result, context[row].astype("i1").tobytes(), ack=3 * rows))
    for row in range(rows):
        for role, tensor in ((layout.ROLE_K, k), (layout.ROLE_V, v), (layout.ROLE_Q, q)):
            await bench.receive(HOST, message(ATTENTION, 20 + role, row, last=row == rows - 1), tensor[row].astype("i1").tobytes())
    await bench.drain()
    bench.board.finish(rows)
    assert int(dut.sts_drops.value) == 0


@cocotb.test(timeout_time=100, timeout_unit="us")
async def drops_of_every_unit_are_summed(dut: Any) -> None:
    """Unknown edges at each kernel, an unroutable kernel, data for the manager: counted where they fall, and in sts_drops."""
    bench = Bench(dut)
    await bench.start()
    for edge in (200, 201):
        for unit in (layout.UNIT_LINEAR, layout.UNIT_ATTENTION, layout.UNIT_ADD_NORM):
            await bench.write(unit, layout.MEM_EDGE, edge, layout.EDGE, ctx=0, role=0, valid=0)
    await ClockCycles(dut.clk, 4)
    for count, kernel in ((3, LINEAR), (2, ATTENTION), (1, ADD_NORM)):
        for k in range(count):
            await bench.receive(HOST, message(kernel, 200 + k % 2, 0), bytes(64))
    await bench.receive(1, message(77, 0, 0), bytes(64))  # no route
    await bench.receive(1, message(HOST_KERNEL, 0, 0), bytes(64))  # from the wire to the wire
    await bench.receive(1, message(0, 0, 0), bytes(64))  # data for the manager
    await bench.receive(2, message(0, 0, 0), b"")  # empty, not control
    await bench.drain()
    assert int(dut.sts_drops.value) == 10
    words = await bench.read(26, 108 - 26) + await bench.read(108, 48)
    at = {26 + k: word for k, word in enumerate(words)}
    assert (at[26], at[34], at[50], at[66], at[105], at[112 + 4 * 8 + 2], at[155]) == (10, 3, 2, 1, 1, 2, 1)
    await bench.drain()
    bench.board.finish(2)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def sequence_error_is_reported(dut: Any) -> None:
    bench = Bench(dut)
    await bench.start()
    await bench.receive(2, message(77, 0, 0), bytes(64))
    await bench.receive(2, message(77, 0, 0), bytes(64), seq=0x020304)
    await bench.drain()
    assert int(dut.sts_seq_error.value) == 1
    assert (int(dut.sts_seq_peer.value), int(dut.sts_seq_expected.value), int(dut.sts_seq_got.value)) == (2, 1, 0x020304)
    assert await bench.read(27, 4) == [1, 2, 1, 0x020304]
    assert int(dut.sts_drops.value) == 2, "one without a route, one out of sequence"
    await bench.drain()
    bench.board.finish(1)
