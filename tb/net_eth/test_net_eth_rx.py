# SPDX-License-Identifier: Apache-2.0
"""net_eth_rx: good frames made by scapy become messages; every other kind is dropped and counted by its cause."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from net_eth.frames import Station, frame, packet, station, transport
from scapy.layers.inet import IP, UDP

from floreana.cluster.layout import PEER, TYPE_CONTROL, TYPE_INT8, Header, pack
from floreana_tb import clocks, stalls, streams

# with node 5 and 65 payload bytes the checksum's first fold carries: both folds are needed from there on
ME = Station(3, 0x02_46_4C_FF_00_03, 0xC0_A8_11_0E)
CELLS = int(os.environ.get("RX_CELLS", "4"))
PEERS = [*range(7), 40, 63]
CAUSES = [
    "mac error", "destination mac", "ethertype", "ip version", "fragment", "protocol", "checksum", "destination address", "udp port",
    "version or type", "length", "unknown node", "source address", "epoch", "empty", "full", "sequence",
]  # fmt: skip
HEADER = Header(
    dst_cluster=7, dst_kernel=33, edge=200, src_cluster=8, src_kernel=65, slot=9, generation=5,
    row=0x1234, offset=0x2A5, type=TYPE_INT8, last=True,
)  # fmt: skip


def control(row: int) -> Header:
    return Header(
        dst_cluster=7, dst_kernel=0, edge=2, src_cluster=8, src_kernel=255, slot=0, generation=0, row=row, offset=0,
        type=TYPE_CONTROL, last=False,
    )  # fmt: skip


class Mac:
    """Drives mac_rx: no tready, tuser = 1 on the last beat of a bad frame."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        for name in ("tdata", "tkeep", "tlast", "tvalid", "tuser"):
            getattr(dut, f"mac_rx_{name}").value = 0

    async def send(self, raw: bytes, bad: bool = False, gaps: Any = None, keep: int | None = None) -> None:
        """One beat a cycle; ``keep`` overrides tkeep of the last beat. Ends with the last beat still driven: call ``end`` or send on."""
        dut = self.dut
        beats = streams.packet_beats(raw, None)
        for beat in beats:
            while gaps is not None and next(gaps):
                dut.mac_rx_tvalid.value = 0
                await RisingEdge(dut.clk)
            dut.mac_rx_tvalid.value = 1
            dut.mac_rx_tdata.value = beat.data
            dut.mac_rx_tkeep.value = keep if beat.last and keep is not None else beat.keep
            dut.mac_rx_tlast.value = int(beat.last)
            dut.mac_rx_tuser.value = int(beat.last and bad)
            await RisingEdge(dut.clk)

    def end(self) -> None:
        self.dut.mac_rx_tvalid.value = 0


class Bench:
    def __init__(self, dut: Any, pattern: stalls.Pattern) -> None:
        self.dut = dut
        self.mac = Mac(dut)
        self.board = streams.Scoreboard("net_eth_rx")
        self.sink = streams.MessageSink(dut, "m_axis", dut.clk, pattern, callback=self.board.got)
        self.config = streams.ConfigBus(dut, dut.clk)
        self.gaps = pattern.stalls
        self.seq = dict.fromkeys(range(64), 0)
        self.accepted = self.beats = 0
        self.causes = dict.fromkeys(CAUSES, 0)
        dut.id_mac.value = ME.mac
        dut.id_ip.value = ME.ip
        dut.ack_peer.value = 0

    async def start(self) -> None:
        clocks.start_clock(self.dut)
        await clocks.reset(self.dut)
        for node in PEERS:
            peer = station(node)
            last = self.config.write(1, node, pack(PEER, {"mac": peer.mac, "ip": peer.ip, "valid": 1}))
        await last
        await ClockCycles(self.dut.clk, 2)

    async def good(self, node: int, header: Header, payload: bytes) -> None:
        """Send the next frame of a node; it must be accepted."""
        self.board.expect((header, payload))
        self.accepted += 1
        self.beats += -(-len(payload) // 64)
        seq, self.seq[node] = self.seq[node], (self.seq[node] + 1) % (1 << 24)
        await self.mac.send(frame(station(node), ME, seq, header, payload), gaps=self.gaps)

    async def bad(self, cause: str, raw: bytes, **options: Any) -> None:
        self.causes[cause] += 1
        await self.mac.send(raw, **options)

    async def drain(self, cycles: int = 20000) -> None:
        self.mac.end()
        await ClockCycles(self.dut.clk, 4)
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)
            if not int(self.dut.sts_busy.value):
                break
        else:
            raise AssertionError("sts_busy does not fall")
        await ClockCycles(self.dut.clk, 2)

    def counts(self) -> list[int]:
        return [self.dut.sts_count.value.to_unsigned() >> 32 * k & 0xFFFFFFFF for k in range(21)]

    def finish(self, at_least: int = 1) -> None:
        self.board.finish(at_least)
        counts = self.counts()
        assert dict(zip(CAUSES, counts[4:], strict=True)) == self.causes
        dropped = sum(self.causes.values())
        assert counts[:3] == [self.accepted + dropped, self.accepted, self.beats]
        assert 0 < counts[3] <= CELLS
        assert self.dut.sts_drops.value.to_unsigned() == dropped


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(pattern=["none", "idle"])
async def good_frames(dut: Any, pattern: str) -> None:
    """All payload lengths, several peers interleaved, sequence numbers per peer."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED))
    await bench.start()
    for number in range(60):
        node = rng.choice(PEERS)
        if rng.random() < 0.4:
            await bench.good(node, control(number), rng.randbytes(rng.choice([0, 1, 12, 63, 64, 65, 1023, 1024])))
        else:
            await bench.good(node, HEADER, rng.randbytes(64 * rng.choice([1, 2, 5, 15, 16])))
    await bench.drain()
    bench.finish(60)
    for size in range(60, 72):
        await bench.good(5, control(size), rng.randbytes(size))
    await bench.drain()
    bench.finish(72)
    assert not int(dut.sts_seq_error.value)
    for node in PEERS:
        dut.ack_peer.value = node
        await ClockCycles(dut.clk, 1)
        await RisingEdge(dut.clk)
        assert dut.ack_next.value.to_unsigned() == bench.seq[node], f"acknowledged of node {node}"
    assert int(dut.credit.value) == CELLS


@cocotb.test(timeout_time=200, timeout_unit="us")
async def slow_reader(dut: Any) -> None:
    """The switch takes a beat in half of the cycles; frames come slowly enough for the cells."""
    bench = Bench(dut, stalls.both(cocotb.RANDOM_SEED))
    await bench.start()
    for number in range(20):
        await bench.good(number % 7, HEADER, random.Random(number).randbytes(64 * (1 + number % 16)))
        bench.mac.end()
        await ClockCycles(dut.clk, 24)
    await bench.drain()
    bench.finish(20)
    bench.sink.demand_stalls()


@cocotb.test(timeout_time=100, timeout_unit="us")
async def latency(dut: Any) -> None:
    """Last beat of the frame in -> first beat of the message out."""
    bench = Bench(dut, stalls.none())
    await bench.start()
    await bench.good(1, HEADER, bytes(256))
    sent = bench.sink.cycle
    await bench.drain()
    delay = bench.sink.first_cycle - sent
    print(f"last beat in to first beat out: {delay} cycles")
    assert delay == 6
    bench.finish(1)


def change(**fields: dict[str, Any]) -> Callable[[int], bytes]:
    """A good frame of node 1 with fields of scapy's layers replaced; scapy computes the rest."""

    def make(seq: int) -> bytes:
        built = packet(station(1), ME, transport(1, seq, 0, HEADER) + bytes(range(128)))
        for layer, values in fields.items():
            target = {"ether": built, "ip": built[IP], "udp": built[UDP]}[layer]
            for name, value in values.items():
                setattr(target, name, value)
        return bytes(built)

    return make


def tail(payload: bytes = bytes(128), sender: Station | None = None, **fields: Any) -> Callable[[int], bytes]:
    """A frame with another transport header or payload."""

    def make(seq: int) -> bytes:
        options = {"source": 1, "ack": 0, "header": HEADER, **fields}
        return bytes(packet(sender or station(1), ME, transport(seq=seq, **options) + payload))

    return make


def patch(raw_at: int, value: bytes) -> Callable[[int], bytes]:
    """A good frame with bytes overwritten, checksum not corrected."""

    def make(seq: int) -> bytes:
        raw = bytearray(change()(seq))
        raw[raw_at : raw_at + len(value)] = value
        return bytes(raw)

    return make


BAD: list[tuple[str, str, Callable[[int], bytes]]] = [
    ("destination mac", "another's", change(ether={"dst": "02:46:4c:ff:00:04"})),
    ("destination mac", "broadcast", change(ether={"dst": "ff:ff:ff:ff:ff:ff"})),
    ("destination mac", "first byte", change(ether={"dst": "03:46:4c:ff:00:03"})),
    ("ethertype", "ARP", change(ether={"type": 0x0806})),
    ("ethertype", "IPv6", change(ether={"type": 0x86DD})),
    ("ip version", "6", change(ip={"version": 6})),
    ("ip version", "header of 24 bytes", change(ip={"ihl": 6})),
    ("fragment", "more fragments", change(ip={"flags": "MF"})),
    ("fragment", "offset 1", change(ip={"flags": "DF", "frag": 1})),
    ("fragment", "offset 4096", change(ip={"flags": 0, "frag": 4096})),
    ("protocol", "TCP", change(ip={"proto": 6})),
    ("checksum", "checksum off by one", lambda seq: patch(24, ((change()(seq)[24] << 8 | change()(seq)[25]) ^ 1).to_bytes(2, "big"))(seq)),
    ("checksum", "TTL changed alone", patch(22, b"\x3f")),
    ("checksum", "zero", change(ip={"chksum": 0})),
    ("destination address", "another's", change(ip={"dst": "192.168.17.15"})),
    ("destination address", "high byte", change(ip={"dst": "193.168.17.14"})),
    ("udp port", "destination", change(udp={"dport": 17997})),
    ("udp port", "source", change(udp={"sport": 17740})),
    ("version or type", "version 2", tail(version=2)),
    ("version or type", "version 0", tail(version=0)),
    ("version or type", "acknowledgement", tail(kind=1)),
    ("version or type", "type 16", tail(kind=16)),
    ("length", "UDP length short", change(udp={"len": 157})),
    ("length", "UDP length long", change(udp={"len": 159})),
    ("length", "IPv4 length", change(ip={"len": 179})),
    ("length", "a byte more than said", lambda seq: change()(seq) + b"x"),
    ("length", "a byte less than said", lambda seq: change()(seq)[:-1]),
    ("length", "a beat less than said", lambda seq: change()(seq)[:-64]),
    ("length", "a beat more than said", lambda seq: change()(seq) + bytes(64)),
    ("length", "payload 1025", tail(payload=bytes(1025))),
    ("length", "payload 1088", tail(payload=bytes(1088))),
    ("length", "payload 1984, the header's sum wraps", tail(payload=bytes(1984))),
    ("length", "payload 4096", tail(payload=bytes(4096))),
    ("unknown node", "7", tail(source=7)),
    ("unknown node", "64 + 1", tail(source=65)),
    ("unknown node", "high byte", tail(source=0x0101)),
    ("source address", "MAC", change(ether={"src": "02:46:4c:00:00:12"})),
    ("source address", "IPv4", change(ip={"src": "10.1.254.17"})),
    ("source address", "another known node", tail(sender=station(2))),
    ("epoch", "sender's", tail(epochs=b"\2\1")),
    ("epoch", "acknowledged", tail(epochs=b"\1\0")),
    ("empty", "data without payload", tail(payload=b"")),
]  # fmt: skip


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(between=[0, 1])
async def every_cause(dut: Any, between: int) -> None:
    """Each bad frame is dropped under its cause, and costs no sequence number; ``between`` = 1: good frames between, no gap."""
    bench = Bench(dut, stalls.none())
    await bench.start()
    await bench.good(1, HEADER, bytes(64))
    for cause, _, make in BAD:
        await bench.bad(cause, make(bench.seq[1]))
        if between:
            await bench.good(1, HEADER, random.Random(cause).randbytes(128))
        else:
            bench.mac.end()
            await ClockCycles(dut.clk, 4)
            assert bench.counts()[4 + CAUSES.index(cause)] == bench.causes[cause], f"{cause}: {_}"
    whole = (1 << 64) - 1
    await bench.bad("mac error", change()(bench.seq[1]), bad=True)
    await bench.bad("length", change()(bench.seq[1]), keep=whole & ~2)
    await bench.bad("length", change()(bench.seq[1]), keep=whole << 1 & whole)
    runt = frame(station(1), ME, bench.seq[1], control(0), b"")
    await bench.bad("length", runt, keep=whole >> 1)
    await bench.good(1, HEADER, bytes(1024))
    await bench.drain()
    bench.finish(2)
    missing = {cause for cause in CAUSES if not bench.causes[cause]}
    assert missing == {"full", "sequence"}, "causes without a case here"
    assert not int(dut.sts_seq_error.value)


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(kind=["lost", "repeated", "reordered"])
async def sequence_errors(dut: Any, kind: str) -> None:
    """The wrong frame is dropped, the first error is kept; other peers are not touched."""
    bench = Bench(dut, stalls.none())
    await bench.start()

    async def numbered(seq: int) -> None:
        await bench.bad("sequence", frame(station(5), ME, seq, HEADER, bytes(64)))

    for _ in range(3):
        await bench.good(5, HEADER, bytes(128))
    if kind == "lost":
        await numbered(4)
        want = (5, 3, 4)
    elif kind == "repeated":
        await numbered(2)
        want = (5, 3, 2)
    else:
        await numbered(4)
        await bench.good(5, HEADER, bytes(64))
        await numbered(5)  # frame 4 was refused: 5 is not next
        want = (5, 3, 4)
    await bench.good(6, HEADER, bytes(64))
    await bench.bad("sequence", frame(station(6), ME, 0xABCDEF, HEADER, bytes(64)))
    await bench.good(5, HEADER, bytes(64))
    await bench.drain()
    bench.finish(5)
    assert int(dut.sts_seq_error.value)
    got = (int(dut.sts_seq_peer.value), int(dut.sts_seq_expected.value), int(dut.sts_seq_got.value))
    assert got == want
    await clocks.reset(dut)
    await RisingEdge(dut.clk)
    assert not int(dut.sts_seq_error.value)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def full_cells_drop_whole_frames(dut: Any) -> None:
    """Nobody reads: CELLS frames are kept, the next are dropped whole and counted, nothing of what is kept is damaged."""
    bench = Bench(dut, stalls.none())
    await bench.start()
    bench.sink.pause(iter(lambda: False, True))
    for number in range(CELLS):
        await bench.good(2, control(number), random.Random(number).randbytes(1024))
    for number in range(3):
        await bench.bad("full", frame(station(2), ME, bench.seq[2], control(99), random.Random(-number).randbytes(640)))
    bench.mac.end()
    await ClockCycles(dut.clk, 6)
    assert int(dut.credit.value) == 0
    bench.sink.pause(None)
    await bench.drain()
    await bench.good(2, control(7), b"after")
    await bench.drain()
    bench.finish(CELLS + 1)
    assert bench.counts()[3] == CELLS, "most cells in use"


@cocotb.test(timeout_time=100, timeout_unit="us")
async def headers_back_to_back(dut: Any) -> None:
    """Frames of one beat in consecutive cycles, as many as fit."""
    bench = Bench(dut, stalls.none())
    await bench.start()
    for number in range(CELLS):
        await bench.good(number % 2, control(number), b"")
    await bench.drain()
    bench.finish(CELLS)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def reset_in_mid_frame(dut: Any) -> None:
    """Half a frame, reset: nothing of it appears, the next frame starts a new frame with sequence number 0."""
    bench = Bench(dut, stalls.none())
    await bench.start()
    await bench.good(1, HEADER, bytes(64))
    await bench.drain()
    beats = streams.packet_beats(frame(station(1), ME, 1, HEADER, bytes(512)), None)
    for beat in beats[:4]:
        dut.mac_rx_tvalid.value = 1
        dut.mac_rx_tdata.value = beat.data
        dut.mac_rx_tkeep.value = beat.keep
        dut.mac_rx_tlast.value = 0
        await RisingEdge(dut.clk)
    bench.mac.end()
    await clocks.reset(dut)
    bench.seq[1] = 0
    await bench.good(1, HEADER, random.Random(1).randbytes(192))
    await bench.drain()
    bench.board.finish(2)
