# SPDX-License-Identifier: Apache-2.0
"""net_eth_tx: frames byte by byte against scapy, one per remote node, drops, rate, no gap in a frame."""

from __future__ import annotations

import itertools
import os
import random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from net_eth.frames import Station, frame, station

from floreana.cluster.layout import PEER, TYPE_CONTROL, TYPE_INT8, Header, pack
from floreana_tb import clocks, stalls, streams

# with node 5 and 65 payload bytes the checksum's first fold carries: both folds are needed from there on
ME = Station(3, 0x02_46_4C_FF_00_03, 0xC0_A8_11_0E)
CELLS = int(os.environ.get("TX_CELLS", "4"))
PEERS = [*range(7), 40, 63]  # stations known
MASKS = {9: 1 << 5, 10: 1 << 63, 11: 1 << 0 | 1 << 4 | 1 << 63, 12: sum(1 << n for n in PEERS), 13: 1 << 20, 14: 1 << 2 | 1 << 20 | 1 << 21}
NOWHERE = 99


class Bench:
    def __init__(self, dut: Any, pattern: stalls.Pattern, max_beats: int | None = 16) -> None:
        self.dut = dut
        self.source = streams.MessageSource(dut, "s_axis", dut.clk, pattern)
        self.seen = streams.Monitor(dut, "s_axis", dut.clk, callback=self.model, max_beats=max_beats)
        self.board = streams.Scoreboard("net_eth_tx")
        self.sink = streams.PacketSink(dut, "mac_tx", dut.clk, pattern, callback=lambda got: self.board.got(got.payload), max_beats=17)
        self.config = streams.ConfigBus(dut, dut.clk)
        self.seq = dict.fromkeys(range(64), 0)
        self.frames = self.beats = self.no_node = self.no_peer = self.malformed = 0
        self.ack, self.credit = 0, 64
        dut.id_node.value = ME.node
        dut.id_mac.value = ME.mac
        dut.id_ip.value = ME.ip
        dut.ack_next.value = 0
        dut.credit.value = 64

    def model(self, item: tuple[Header, bytes]) -> None:
        header, payload = item
        if len(payload) > 1024 or (not payload and header.type != TYPE_CONTROL):
            self.malformed += 1
            return
        mask = MASKS.get(header.dst_kernel, 0)
        if not mask:
            self.no_node += 1
        for node in range(64):
            if mask >> node & 1:
                if node not in PEERS:
                    self.no_peer += 1
                    continue
                self.board.expect(frame(ME, station(node), self.seq[node], header, payload, self.ack, self.credit))
                self.seq[node] = (self.seq[node] + 1) % (1 << 24)
                self.frames += 1
                self.beats += -(-len(payload) // 64)

    async def start(self) -> None:
        clocks.start_clock(self.dut)
        await clocks.reset(self.dut)
        for kernel, mask in MASKS.items():
            self.config.write(0, kernel, mask)
        for node in PEERS:
            peer = station(node)
            last = self.config.write(1, node, pack(PEER, {"mac": peer.mac, "ip": peer.ip, "valid": 1}))
        await last
        await ClockCycles(self.dut.clk, 2)

    async def drain(self, cycles: int = 20000) -> None:
        await self.source.wait_idle(cycles)
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)
            if not int(self.dut.sts_busy.value):
                break
        else:
            raise AssertionError("sts_busy does not fall")
        await ClockCycles(self.dut.clk, 2)

    def finish(self, at_least: int = 1) -> None:
        self.board.finish(at_least)
        counts = [self.dut.sts_count.value.to_unsigned() >> 32 * k & 0xFFFFFFFF for k in range(7)]
        assert counts[:6] == [self.seen_messages, self.frames, self.beats, self.no_node, self.no_peer, self.malformed]
        assert counts[6] <= CELLS
        assert self.dut.sts_drops.value.to_unsigned() == self.no_node + self.no_peer + self.malformed

    @property
    def seen_messages(self) -> int:
        return len(self.seen.received)


def header(kernel: int, number: int = 0, kind: int = TYPE_INT8) -> Header:
    return Header(
        dst_cluster=7, dst_kernel=kernel, edge=number & 255, src_cluster=7, src_kernel=1, slot=9, generation=5,
        row=number, offset=0x2A5, type=kind, last=bool(number & 1),
    )  # fmt: skip


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(pattern=list(stalls.PATTERNS))
async def frames_equal_scapy(dut: Any, pattern: str) -> None:
    """Random messages of all lengths to one, three and nine nodes, among them unknown ones."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED))
    await bench.start()
    for number in range(24):
        kernel = rng.choice([9, 10, 11, 12, 13, 14, NOWHERE])
        if rng.random() < 0.3:
            bench.source.send(header(kernel, number, TYPE_CONTROL), rng.randbytes(rng.choice([0, 1, 63, 64, 65, 1000, 1023])))
        else:
            bench.source.send(header(kernel, number), rng.randbytes(64 * rng.choice([1, 2, 5, 15, 16])))
    await bench.drain()
    bench.finish(20)
    if pattern in ("backpressure", "both"):
        bench.sink.demand_stalls()


@cocotb.test(timeout_time=200, timeout_unit="us")
async def every_payload_length(dut: Any) -> None:
    """Control messages of 0 to 130 bytes and around 1,024: lengths, checksum, tkeep."""
    bench = Bench(dut, stalls.none())
    await bench.start()
    for size in [*range(131), *range(1020, 1025)]:
        bench.source.send(header(9, size, TYPE_CONTROL), random.Random(size).randbytes(size))
    await bench.drain()
    bench.finish(136)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def malformed_is_dropped(dut: Any) -> None:
    bench = Bench(dut, stalls.none(), max_beats=None)
    await bench.start()
    for size, kind in ((17 * 64, TYPE_INT8), (0, TYPE_INT8), (40 * 64, TYPE_CONTROL), (64, TYPE_INT8), (0, TYPE_CONTROL)):
        bench.source.send(header(11, size, kind), bytes(size))
    await bench.drain()
    bench.finish(6)
    assert bench.malformed == 3


@cocotb.test(timeout_time=100, timeout_unit="us")
async def rate_and_latency(dut: Any) -> None:
    """The MAC always ready: header 7 cycles after the last beat in; no idle cycle inside a frame, none between waiting frames."""
    bench = Bench(dut, stalls.none())
    await bench.start()
    bench.source.send(header(9, 1), bytes(256))
    await bench.drain()
    delay = bench.sink.first_cycle - bench.seen.last_cycle
    print(f"last beat in to header out: {delay} cycles")
    assert delay == 7
    beats = []
    for number in range(8):
        beats += streams.packet_beats(random.Random(number).randbytes(1024), header(11, number).to_tuser())
    before = len(bench.sink.arrival)
    bench.source.send_beats(beats)
    await bench.drain()
    arrival = bench.sink.arrival[before:]
    # three frames of 17 beats leave while one message of 16 comes in: the output is the bottleneck from the first frame on
    assert len(arrival) == 24
    assert [b - a for a, b in itertools.pairwise(arrival)] == [17] * 23
    bench.finish(25)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def short_frames_back_to_back(dut: Any) -> None:
    """Frames of a header and one beat: two cycles each."""
    bench = Bench(dut, stalls.none())
    await bench.start()
    bench.source.send(header(12, 1), bytes(64))
    await bench.drain()
    assert [b - a for a, b in zip(bench.sink.arrival, bench.sink.arrival[1:], strict=False)] == [2] * 8
    bench.finish(9)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def acknowledged_and_credit(dut: Any) -> None:
    """The header carries what the receiving side says about this peer when it leaves."""
    bench = Bench(dut, stalls.none())
    await bench.start()
    for ack, credit in ((0xFEDCBA, 0), (1, 17), (0xFFFFFF, 64)):
        bench.ack, bench.credit = ack, credit
        dut.ack_next.value = ack
        dut.credit.value = credit
        bench.source.send(header(9, credit), bytes(64))
        await bench.drain()
    bench.finish(3)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def cells_run_out(dut: Any) -> None:
    """The MAC blocked: CELLS messages are taken, then tready falls between messages; everything leaves afterwards."""
    bench = Bench(dut, stalls.none())
    await bench.start()
    bench.sink.pause(iter(lambda: False, True))
    for number in range(CELLS + 3):
        bench.source.send(header(9, number), random.Random(number).randbytes(512))
    await ClockCycles(dut.clk, 9 * (CELLS + 3) + 30)
    assert bench.seen_messages == CELLS, f"{bench.seen_messages} messages in {CELLS} cells"
    assert bench.seen.beats == 8 * CELLS, "a beat of a message was taken that has no cell"
    bench.sink.pause(None)
    await bench.drain()
    bench.finish(CELLS + 3)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def reset_starts_over(dut: Any) -> None:
    """Reset in mid-frame: nothing old appears, sequence numbers start at 0, the tables stay."""
    bench = Bench(dut, stalls.none())
    await bench.start()
    for number in range(4):
        bench.source.send(header(11, number), bytes(1024))
    await ClockCycles(dut.clk, 40)
    assert bench.sink.beats > 0
    bench.source.abort()
    await clocks.reset(dut)
    bench.board.forget()
    bench.seq = dict.fromkeys(range(64), 0)
    before = bench.sink.beats
    await ClockCycles(dut.clk, 60)
    assert bench.sink.beats == before
    bench.source.send(header(11, 5), random.Random(5).randbytes(1024))
    await bench.drain()
    bench.board.finish(3)
