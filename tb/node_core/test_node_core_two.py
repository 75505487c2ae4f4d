# SPDX-License-Identifier: Apache-2.0
"""node_core with two Ethernet ports: a link of a line or a ring."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge
from node_bench import FAR, HOST, HOST_KERNEL, NODE, Bench, entry, peer
from wire import station

from floreana.cluster import layout
from floreana.host import words


@cocotb.test(timeout_time=1000, timeout_unit="us")
async def two_ports_forward(dut: Any) -> None:
    """With two ports: what is for a station behind the other port goes there; the manager answers through both, and tells of both."""
    bench = Bench(dut)
    await bench.start()
    far = bench.wires[1]
    await bench.write(
        {
            entry(layout.UNIT_SWITCH, layout.MEM_ROUTE, 99): 32,
            entry(layout.UNIT_SWITCH, layout.MEM_ROUTE, 98): 48,
            entry(layout.UNIT_ETH, layout.MEM_PEERS, 98): 1 << 1 | 1 << 2,
            entry(layout.UNIT_ETH_1, layout.MEM_PEERS, 98): 1 << FAR,
            entry(layout.UNIT_ETH_1, layout.MEM_PEERS, 99): 1 << FAR,
            entry(layout.UNIT_ETH_1, layout.MEM_PEER, FAR): peer(station(FAR)),
            entry(layout.UNIT_ETH_1, layout.MEM_REGISTER, layout.REG_RTO): 256,
            entry(layout.UNIT_ETH_1, layout.MEM_REGISTER, layout.REG_RETRIES): 3,
        }
    )
    far.join(FAR)
    await bench.link_up(FAR, far)
    rng = random.Random(cocotb.RANDOM_SEED)
    for row in range(6):
        data = rng.randbytes(64 * (1 + row % 3))
        there = bench.message(99, 3, row)
        bench.wire.send(HOST, there, data)
        bench.board.expect((FAR, there, data))
        back = bench.message(HOST_KERNEL, 4, row, src_kernel=99)
        far.send(FAR, back, data)
        bench.board.expect((HOST, back, data))
    group = bench.message(98, 5, 0, src_kernel=200)  # from port 0: not back to it
    bench.wire.send(HOST, group, bytes(64))
    bench.board.expect((FAR, group, bytes(64)))
    group = bench.message(98, 5, 1, src_kernel=201)  # from port 1
    far.send(FAR, group, bytes(range(64)))
    for node in (1, 2):
        bench.board.expect((node, group, bytes(range(64))))
    await bench.drain()
    bench.board.finish(15)
    assert int(dut.sts_lost.value) == 0
    # asked through port 1; the reply goes to kernel 255, to the host
    got = await bench.read(source=FAR, wire=far)
    assert words.peer_mask(got, "eth1.link.up") == {FAR} and words.peer_mask(got, "eth0.link.up") == {1, 2, HOST}
    assert got["eth1.tx.messages"] == 7, "this word is in the second of three requests"
    assert got["eth1.rx.accepted"] == 6 + 1 + 3, "this one in the third"
    await bench.reply(bench.ask(words.events_request(bench.tag, True)))
    far.cut.add(FAR)
    bench.wire.send(HOST, bench.message(99, 3, 9), bytes(64))
    for _ in range(20000):
        if bench.events:
            break
        await RisingEdge(dut.clk)
    assert bench.events == [words.Event(words.EVENT_FAILED, 1, FAR, NODE, 0)]
    assert int(dut.sts_failed.value) == 1 << (bench.peers_n + FAR)
