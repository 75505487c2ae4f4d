# SPDX-License-Identifier: Apache-2.0
"""axis_galapagos_out and axis_galapagos_in: packets by the rule of docs/galapagos.md, and messages unchanged from one to the other."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from floreana_tb import clocks, stalls
from floreana_tb.streams import MessageSink, MessageSource, PacketSink, StreamSource, packet_beats

CLUSTER, ID = 3, 77
MESSAGE, CONFIG, FLUSH = 0, 1, 2


def receivers(kernel: int) -> list[int]:
    """Galapagos numbers, as in tb_galapagos_pair."""
    if kernel < 64:
        return [kernel + 3]
    return {224: [5, 6, 7], 225: [9]}.get(kernel, [])


def message(kernel: int, beats: int | None = None, cluster: int = CLUSTER) -> tuple[int, bytes]:
    """Random message bytes to a kernel (reserved bits 0), and a payload of whole beats or of part of one."""
    user = random.getrandbits(80) & ~(7 << 72) & ~0xFFFF | kernel << 8 | cluster
    size = random.choice([1, 37, 64]) if beats is None else 64 * beats
    return user, random.randbytes(size)


def header(user: int, kind: int = MESSAGE) -> bytes:
    return (kind << 80 | user).to_bytes(64, "little")


class Bench:
    def __init__(self, dut: Any, pattern: stalls.Pattern, other: stalls.Pattern | None = None) -> None:
        other = pattern if other is None else other
        self.dut = dut
        self.dest_w, self.user_w = int(dut.DEST_W.value), int(dut.USER_W.value)
        dut.id_cluster.value, dut.id.value = CLUSTER, ID
        self.source = MessageSource(dut, "s_axis", dut.clk, pattern)
        self.raw = StreamSource(dut, "g_axis", dut.clk, other)
        self.out = PacketSink(dut, "p_axis", dut.clk, pattern, max_beats=17)
        self.back = MessageSink(dut, "m_axis", dut.clk, other)
        self.writes: list[tuple[int, int]] = []
        self.flushes: list[tuple[int, int]] = []

    async def start(self) -> None:
        await clocks.start(self.dut)
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            if int(dut.cfg_we.value):
                self.writes.append((int(dut.cfg_addr.value), int(dut.cfg_data.value)))
            if int(dut.flush_valid.value):
                self.flushes.append((int(dut.flush_slot.value), int(dut.flush_gen.value)))

    def packet(self, user: int, payload: bytes, dest: int) -> tuple[int, bytes, int]:
        """What must leave for one receiver: {TID, TDEST, TUSER}, bytes, beats."""
        beats = 1 + max(1, (len(payload) + 63) // 64)
        return (ID << self.dest_w | dest) << self.user_w | beats, header(user) + payload, beats

    def send_raw(self, payload: bytes) -> None:
        self.raw.send_beats(packet_beats(payload, None))


@cocotb.test(timeout_time=50, timeout_unit="us")
@cocotb.parametrize(pattern=list(stalls.PATTERNS))
async def there_and_back(dut: Any, pattern: str) -> None:
    """Messages of every size to one, three or nobody; each packet goes straight into the other end, and the message comes out again."""
    bench = Bench(dut, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED), stalls.PATTERNS[pattern](cocotb.RANDOM_SEED + 1))
    await bench.start()
    wanted, nobody = [], 0
    for number in range(48):
        kernel = random.choice([0, 1, 5, 63, 224, 225, 64, 193])
        cluster = CLUSTER if number % 8 else CLUSTER + 1
        user, payload = message(kernel, None if number % 3 == 0 else random.randint(1, 16), cluster)
        to = receivers(kernel) if cluster == CLUSTER else []
        nobody += not to
        wanted += [(user, payload, dest) for dest in to]
        bench.source.send(user, payload)
    await bench.out.wait(len(wanted))
    await bench.source.wait_idle()
    await bench.out.wait_quiet(40)
    got = [(p.user, p.payload, p.beats) for p in bench.out.received]
    assert got == [bench.packet(*each) for each in wanted]
    assert int(dut.sts_drops_out.value) == nobody > 0
    for packet in bench.out.received:
        bench.send_raw(packet.payload)
    await bench.back.wait(len(wanted))
    await bench.back.wait_quiet(40)
    assert [(h.to_tuser(), p) for h, p in bench.back.received] == [(user, payload) for user, payload, _ in wanted]
    assert int(dut.sts_drops_in.value) == 0
    if pattern in ("backpressure", "both"):
        bench.out.demand_stalls()
        bench.back.demand_stalls()
    print(f"checked {len(wanted)} packets there and back")


@cocotb.test(timeout_time=50, timeout_unit="us")
async def empty_message(dut: Any) -> None:
    """A message without payload is a beat with tkeep 0, and stays one behind the header."""
    bench = Bench(dut, stalls.none())
    await bench.start()
    user = 0x123 << 16 | 5 << 8 | CLUSTER
    bench.source.send(user, b"")
    await bench.out.wait(1)
    assert (bench.out.received[0].user, bench.out.received[0].payload, bench.out.received[0].beats) == bench.packet(user, b"", 8)
    head = packet_beats(header(user) + bytes(64), None)
    empty = packet_beats(b"", None)
    bench.raw.send_beats([head[0], *empty])
    await bench.back.wait(1)
    assert bench.back.received[0][1] == b"" and bench.back.received[0][0].to_tuser() == user
    assert int(dut.sts_drops_in.value) == 0


@cocotb.test(timeout_time=50, timeout_unit="us")
async def full_rate(dut: Any) -> None:
    """A header beat is all that a message costs: nothing is idle between messages."""
    bench = Bench(dut, stalls.none())
    await bench.start()
    for _ in range(12):
        bench.source.send(*message(7, 16))
    await bench.out.wait(12)
    assert bench.out.last_cycle - bench.out.first_cycle == 12 * 17 - 1
    for packet in bench.out.received:
        bench.send_raw(packet.payload)
    await bench.back.wait(12)
    assert bench.back.last_cycle - bench.back.first_cycle == 12 * 17 - 2


@cocotb.test(timeout_time=50, timeout_unit="us")
@cocotb.parametrize(pattern=["none", "random"])
async def configuration_and_flush(dut: Any, pattern: str) -> None:
    """Pairs of address and data, a flush, a message between them: each does what it says, in order."""
    bench = Bench(dut, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED))
    await bench.start()
    pairs = [(random.getrandbits(28), random.getrandbits(512)) for _ in range(9)]
    for part in (pairs[:1], pairs[1:8], pairs[8:]):
        # address bits above 28 are not of the kernel: ignored
        body = b"".join((address | 0xF << 28).to_bytes(64, "little") + data.to_bytes(64, "little") for address, data in part)
        bench.send_raw(header(random.getrandbits(80), CONFIG) + body)
        bench.send_raw(header(5 << 44 | 9 << 40, FLUSH))
        user, payload = message(9, 2)
        bench.send_raw(header(user) + payload)
    await bench.raw.wait_idle()
    await bench.back.wait(3)
    await ClockCycles(dut.clk, 4)
    assert bench.writes == pairs
    assert bench.flushes == [(5, 9)] * 3
    assert int(dut.sts_drops_in.value) == 0


@cocotb.test(timeout_time=50, timeout_unit="us")
async def malformed_packets(dut: Any) -> None:
    """Each is counted once and changes nothing else; the packet behind it is taken."""
    bench = Bench(dut, stalls.none())
    await bench.start()
    user, payload = message(1, 16)
    bad = [
        header(user),  # no payload
        header(0, CONFIG),  # no write
        header(0, CONFIG) + bytes(64),  # an address without data
        header(0, 3),  # another kind
        header(0, 15) + bytes(64 * 3),
    ]
    for packet in bad:
        bench.send_raw(packet)
        bench.send_raw(header(user) + payload)
    await bench.back.wait(len(bad))
    assert int(dut.sts_drops_in.value) == len(bad)
    assert not bench.writes and not bench.flushes
    bench.send_raw(header(6 << 44 | 1 << 40, FLUSH) + bytes(64))  # the flush is made
    bench.send_raw(header(user) + payload + payload[:128])  # cut behind its 16th beat
    bench.send_raw(header(0, CONFIG) + bytes(64 * 3))  # a write, then an address without data
    bench.send_raw(header(user) + payload)
    await bench.back.wait(len(bad) + 2)
    assert bench.flushes == [(6, 1)] and bench.writes == [(0, 0)]
    assert int(dut.sts_drops_in.value) == len(bad) + 3
    assert all(got == payload for _, got in bench.back.received)


@cocotb.test(timeout_time=50, timeout_unit="us")
async def reset_in_mid_message(dut: Any) -> None:
    """What was stored is gone; the next message and the next packet begin anew."""
    bench = Bench(dut, stalls.none())
    await bench.start()
    for _ in range(3):
        bench.source.send(*message(224, 16))
        bench.send_raw(header(0) + bytes(64 * 16))
    await ClockCycles(dut.clk, 25)
    bench.source.abort()
    bench.raw.abort()
    await clocks.reset(dut)
    await bench.out.wait_quiet(20)
    await bench.back.wait_quiet(20)
    count, back = len(bench.out.received), len(bench.back.received)
    user, payload = message(2, 3)
    bench.source.send(user, payload)
    bench.send_raw(header(user) + payload)
    await bench.out.wait(count + 1)
    await bench.back.wait(back + 1)
    got = bench.out.received[-1]
    assert (got.user, got.payload, got.beats) == bench.packet(user, payload, 5)
    assert bench.back.received[-1][1] == payload
