# SPDX-License-Identifier: Apache-2.0
"""net_eth against net_eth: messages survive the wire both ways, acknowledged numbers and credits appear in the frames."""

from __future__ import annotations

import os
import random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from net_eth.frames import station

from floreana.cluster.layout import PEER, TYPE_CONTROL, TYPE_INT8, Header, pack
from floreana_tb import clocks, stalls, streams

TO_A, TO_B = 10, 20
RX_CELLS = int(os.environ.get("RX_CELLS", "64"))


class Bench:
    def __init__(self, dut: Any, source: stalls.Pattern) -> None:
        assert (station(1).mac, station(1).ip) == (0x02464C000011, 0x0A021167)
        assert (station(2).mac, station(2).ip) == (0x02464C000012, 0x0A0224BE)
        self.dut = dut
        self.boards = [streams.Scoreboard("a to b"), streams.Scoreboard("b to a")]
        self.sources = [streams.MessageSource(dut, f"s{x}_axis", dut.clk, source) for x in "ab"]
        self.seen = [streams.Monitor(dut, f"s{x}_axis", dut.clk, callback=board.expect) for x, board in zip("ab", self.boards, strict=True)]
        self.sinks = [
            streams.MessageSink(dut, f"m{x}_axis", dut.clk, None, callback=board.got) for x, board in zip("ba", self.boards, strict=True)
        ]
        self.cable = streams.PacketMonitor(dut, "ab", dut.clk, max_beats=17)
        self.config = streams.ConfigBus(dut, dut.clk)

    async def start(self) -> None:
        clocks.start_clock(self.dut)
        await clocks.reset(self.dut)
        for kernel, node in ((TO_A, 1), (TO_B, 2)):
            self.config.write(0, kernel, 1 << node)
        for node in (1, 2):
            peer = station(node)
            last = self.config.write(1, node, pack(PEER, {"mac": peer.mac, "ip": peer.ip, "valid": 1}))
        await last
        await ClockCycles(self.dut.clk, 2)

    async def drain(self) -> None:
        for source in self.sources:
            await source.wait_idle(20000)
        await ClockCycles(self.dut.clk, 4)
        for _ in range(20000):
            await RisingEdge(self.dut.clk)
            if not int(self.dut.sts_busy.value):
                return
        raise AssertionError("sts_busy does not fall")


def header(kernel: int, number: int, kind: int) -> Header:
    return Header(
        dst_cluster=0, dst_kernel=kernel, edge=number & 255, src_cluster=0, src_kernel=1, slot=number & 15, generation=number >> 4 & 15,
        row=number, offset=number & 1023, type=kind, last=bool(number & 1),
    )  # fmt: skip


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(pattern=["none", "random"])
async def both_ways(dut: Any, pattern: str) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED))
    await bench.start()
    for number in range(60):
        for source, kernel in zip(bench.sources, (TO_B, TO_A), strict=True):
            if rng.random() < 0.3:
                source.send(header(kernel, number, TYPE_CONTROL), rng.randbytes(rng.choice([0, 1, 64, 200, 1024])))
            else:
                source.send(header(kernel, number, TYPE_INT8), rng.randbytes(64 * rng.randint(1, 16)))
    await bench.drain()
    for name in "ab":
        counts = getattr(dut, f"sts_count_{name}").value.to_unsigned()
        words = [counts >> 32 * k & 0xFFFFFFFF for k in range(28)]
        assert words[11:] == [0] * 17, f"{name} dropped frames, by cause: {words[11:]}, most cells {words[10]}"
    for board in bench.boards:
        board.finish(60)
    assert int(dut.sts_seq_error.value) == 0
    # bytes 48 to 53 of each frame on the cable: its number, and how many came the other way so far
    fields = [(int.from_bytes(got.payload[48:51], "big"), int.from_bytes(got.payload[51:54], "big")) for got in bench.cable.received]
    assert [seq for seq, _ in fields] == list(range(60))
    acks = [ack for _, ack in fields]
    assert acks == sorted(acks) and 0 < acks[-1] <= 60
    assert all(0 < got.payload[43] <= RX_CELLS for got in bench.cable.received)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def latency(dut: Any) -> None:
    """A full message without the link's delay: last beat in -> first beat out on the other side."""
    bench = Bench(dut, stalls.none())
    await bench.start()
    bench.sources[0].send(header(TO_B, 1, TYPE_INT8), random.Random(1).randbytes(1024))
    await bench.drain()
    bench.boards[0].finish(1)
    delay = bench.sinks[0].first_cycle - bench.seen[0].last_cycle
    print(f"message of 16 beats, last beat in to first beat out of the other port: {delay} cycles")
    # 7 to the header, 16 more beats of the frame, 6 after its last
    assert delay == 7 + 16 + 6
