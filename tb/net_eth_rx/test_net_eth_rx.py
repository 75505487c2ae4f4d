# SPDX-License-Identifier: Apache-2.0
"""net_eth_rx alone: every frame meets the fate that the oracle names; what is owed to a peer falls due when the rules say."""

from __future__ import annotations

import os
import random
from collections import deque
from collections.abc import Callable
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from net_eth.frames import ACK, HELLO, HELLO_ACK, NACK, Station, bare, control, frame, packet, repair_checksum, station, transport
from net_eth.mac import Mac
from net_eth_rx.oracle import CAUSES, KINDS, NUMBERS, WORDS, Event, Oracle
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether

from floreana.cluster.layout import MEM_PEER, MEM_REGISTER, PEER, REG_ACK_DELAY, REG_NACK_HOLD, TYPE_INT8, Header, pack
from floreana_tb import clocks, stalls, streams

# with node 5 and 65 payload bytes the checksum's first fold carries
ME = Station(3, 0x02_46_4C_FF_00_03, 0xC0_A8_11_0E)
CELLS = int(os.environ.get("RX_CELLS", "256"))
PEERS_N = int(os.environ.get("RX_PEERS", "64"))
START = int(os.environ.get("RX_START", "0"))  # first sequence number, where the bench runs in a mutated build
HIGH = 0xA5A5 // PEERS_N * PEERS_N + 6  # a number beyond the table, but of the index 6
HIGH_BIT = PEERS_N.bit_length() - 1  # from here on bits are no part of the index
PEERS = [*(node for node in (*range(6), 40, 63) if node < PEERS_N), *([HIGH] if PEERS_N > 2 else [])]
A, B = 1, 0
EPOCHS = {node: (node * 7 % 255 + 1, node * 31 % 255 + 1) for node in PEERS}  # mine, theirs
HEADER = Header(
    dst_cluster=7, dst_kernel=33, edge=200, src_cluster=8, src_kernel=65, slot=9, generation=5,
    row=0x1234, offset=0x2A5, type=TYPE_INT8, last=True,
)  # fmt: skip


def epochs(node: int) -> bytes:
    mine, theirs = EPOCHS[node]
    return bytes([theirs, mine])


def data(node: int, seq: int, payload: bytes, header: Header = HEADER, **fields: Any) -> bytes:
    return frame(station(node), ME, seq % NUMBERS, header, payload, epochs=epochs(node), **fields)


def short(kind: int, node: int, **fields: Any) -> bytes:
    return bare(kind, station(node), ME, **{"epochs": epochs(node), **fields})


class Bench:
    """Frames in by ``send``; messages, events and counters are compared with the oracle's."""

    def __init__(self, dut: Any, pattern: stalls.Pattern | None = None) -> None:
        self.dut = dut
        self.mac = Mac(dut)
        self.gaps = None if pattern is None else pattern.stalls
        self.board = streams.Scoreboard("messages")
        self.sink = streams.PacketSink(dut, "m_axis", dut.clk, pattern, callback=lambda got: self.board.got((got.user, got.payload)))
        self.config = streams.ConfigBus(dut, dut.clk)
        mine, theirs = ({node: pair[k] for node, pair in EPOCHS.items()} for k in range(2))
        self.oracle = Oracle(ME, set(PEERS), START, mine, theirs, peers_n=PEERS_N)
        self.counts = dict.fromkeys(WORDS.values(), 0)
        self.events: deque[Event] = deque()
        self.event_count = 0
        self.cycle = 0
        self.event_cycle = 0
        self.release_checked = 0
        for name in ("link_reset", "link_reset_peer", "hd_peer", "hd_sent", "hd_sent_peer", "hd_sent_nack"):
            getattr(dut, name).value = 0
        dut.id_mac.value = ME.mac
        dut.id_ip.value = ME.ip
        self.set_epochs()

    def set_epochs(self) -> None:
        self.dut.mine.value = sum(value << 8 * (node % PEERS_N) for node, value in self.oracle.mine.items())
        self.dut.theirs.value = sum(value << 8 * (node % PEERS_N) for node, value in self.oracle.theirs.items())

    async def start(self, quota: int | None = None) -> None:
        clocks.start_clock(self.dut)
        await clocks.reset(self.dut)
        cocotb.start_soon(self._watch())
        for node in PEERS:
            await self.peer(node, max(1, CELLS // len(PEERS)) if quota is None else quota)

    async def peer(self, node: int, quota: int, valid: int = 1) -> None:
        self.mac.end()
        entry = station(node)
        await self.config.write(MEM_PEER, node, pack(PEER, {"mac": entry.mac, "ip": entry.ip, "valid": valid, "quota": quota}))

    async def register(self, index: int, value: int) -> None:
        await self.config.write(MEM_REGISTER, index, value)

    async def _watch(self) -> None:
        """Events, in every cycle."""
        edge = RisingEdge(self.dut.clk)
        while True:
            await edge
            self.cycle += 1
            if not int(self.dut.ev_valid.value):
                continue
            word = self.dut.ev_fields.value.to_unsigned() >> 8
            fields = []
            for width in (1, 8, 24, 8, 8, 5):
                fields.append(word & (1 << width) - 1)
                word >>= width
            right, credit, ack, ack_epoch, epoch, kind = fields
            got = Event(word, kind, epoch, ack_epoch, ack, credit, bool(right))
            assert self.events, f"event without a frame: {got}"
            want = self.events.popleft()
            assert got == want, f"event {got}, expected {want}"
            self.event_count += 1
            self.event_cycle = self.cycle

    async def send(self, raw: bytes, fate: str | None = None, *, bad: bool = False, keep: int | None = None, gap: bool = False) -> str:
        """Send a frame, with no gap after the one before. ``fate``: what the caller says must become of it; the oracle must agree."""
        got, event, message = self.oracle.judge(raw, bad=bad, gap=gap)
        assert fate in (None, got), f"the oracle says {got}, the test {fate}"
        self.counts["frames"] += 1
        self.counts[got] += 1
        if event is not None:
            self.events.append(event)
        if message is not None:
            self.counts["beats"] += -(-len(message[1]) // 64)
            self.board.expect(message)
        await self.mac.send(raw, bad, self.gaps, keep)
        return got

    async def good(self, node: int, payload: bytes, header: Header = HEADER) -> None:
        """The next frame of a peer."""
        await self.send(data(node, self.oracle.expected.get(node, START), payload, header), "data")

    async def idle(self, cycles: int) -> None:
        self.mac.end()
        await ClockCycles(self.dut.clk, cycles)

    async def drain(self, cycles: int = 30000) -> None:
        await self.idle(8)
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)
            if not int(self.dut.sts_busy.value):
                break
        else:
            raise AssertionError("sts_busy does not fall")
        await ClockCycles(self.dut.clk, 3)

    def words(self) -> dict[str, int]:
        value = self.dut.sts_count.value.to_unsigned()
        return {name: value >> 32 * k & 0xFFFFFFFF for k, name in WORDS.items()}

    async def finish(self, at_least: int = 1) -> None:
        await self.drain()
        self.board.finish(at_least)
        words = self.words()
        peak = words.pop("peak")
        assert words == {name: count for name, count in self.counts.items() if name != "peak"}
        assert 0 <= peak <= CELLS and (peak > 0) == (words["data"] > 0)
        assert not self.events, f"{len(self.events)} events never came"
        assert not int(self.dut.sum_broken.value), "frames were not the sum of their fates in some cycle"
        print(f"frames and events: checked {words['frames'] + self.event_count} equal {words['frames'] + self.event_count}", flush=True)

    async def told(self, node: int) -> tuple[int, int]:
        """Expected number and credit that a header to ``node`` would carry."""
        self.mac.end()
        self.dut.hd_peer.value = node % PEERS_N
        await RisingEdge(self.dut.clk)
        await RisingEdge(self.dut.clk)
        return int(self.dut.hd_expected.value), int(self.dut.hd_credit.value)

    async def tell(self, node: int, nack: int = 0) -> None:
        """One pulse of hd_sent."""
        self.mac.end()
        self.dut.hd_sent.value = 1
        self.dut.hd_sent_peer.value = node
        self.dut.hd_sent_nack.value = nack
        await RisingEdge(self.dut.clk)
        self.dut.hd_sent.value = 0
        self.dut.hd_sent_nack.value = 0

    async def reset_link(self, node: int) -> None:
        self.mac.end()
        self.dut.link_reset.value = 1
        self.dut.link_reset_peer.value = node
        self.dut.hd_peer.value = node
        await RisingEdge(self.dut.clk)
        assert int(self.dut.hd_expected.value) == START, "told in the cycle of the reset"
        self.dut.link_reset.value = 0
        self.oracle.expected.pop(node, None)

    def owed(self) -> tuple[int, int]:
        return self.dut.ack_due.value.to_unsigned(), self.dut.nack_due.value.to_unsigned()

    async def until(self, what: str, node: int, cycles: int) -> int:
        """Cycles from the last event to the first cycle in which ``ack_due`` or ``nack_due`` of ``node`` is set."""
        for _ in range(cycles):
            if getattr(self.dut, what).value.to_unsigned() >> node & 1:
                return self.cycle - self.event_cycle
            await RisingEdge(self.dut.clk)
        raise AssertionError(f"{what} of {node} not set within {cycles} cycles")


# ------------------------------------------------------------------ messages


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(pattern=["none", "random"])
async def good_frames(dut: Any, pattern: str) -> None:
    """Lengths from 0 to 1,024, peers interleaved; senders keep to their limits, so nothing is dropped however the switch stalls."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED))
    await bench.start()
    limits = {node: (START + max(1, CELLS // len(PEERS))) % NUMBERS for node in PEERS}
    for number in range(90):
        node = rng.choice(PEERS)
        while bench.oracle.expected.get(node, START) == limits[node]:
            bench.mac.end()
            expected, credit = await bench.told(node)
            limits[node] = (expected + credit) % NUMBERS
        if rng.random() < 0.4:
            await bench.good(node, rng.randbytes(rng.choice([0, 1, 12, 63, 64, 65, 1023, 1024])), control(number))
        else:
            await bench.good(node, rng.randbytes(64 * rng.choice([1, 2, 5, 15, 16])))
    if pattern == "random":
        bench.sink.demand_stalls()
    for size in range(60, 72):
        await bench.drain()
        await bench.good(PEERS[-1], rng.randbytes(size), control(size))
    await bench.finish(102)
    for node in PEERS:
        assert await bench.told(node) == (bench.oracle.expected.get(node, START), max(1, CELLS // len(PEERS)))


@cocotb.test(timeout_time=100, timeout_unit="us")
async def latency(dut: Any) -> None:
    """Last beat of the frame in -> first beat of the message out; and no idle cycle between waiting messages."""
    bench = Bench(dut)
    wire = streams.PacketMonitor(dut, "mac_rx", dut.clk, max_beats=17, constant_user=False)
    await bench.start()
    await bench.good(A, bytes(256))
    await bench.drain()
    delay = bench.sink.first_cycle - wire.last_cycle
    print(f"last beat in to first beat out: {delay} cycles")
    assert delay == 6
    if CELLS >= 4:
        bench.sink.pause(iter(lambda: False, True))
        for number in range(3):
            await bench.good(A, bytes(192), control(number))
        await bench.idle(10)
        before = bench.sink.cycle
        bench.sink.pause(None)
        await bench.drain()
        assert bench.sink.last_cycle - before == 9, "nine beats without a gap"
    await bench.finish(1)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def storm(dut: Any) -> None:
    """Frames of one and two beats in consecutive cycles: next, repeated and skipped numbers of few peers, wrong epochs between."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut)
    await bench.start()
    nodes = PEERS[:3]
    fates: dict[str, int] = {}
    for number in range(400):
        node = nodes[0] if rng.random() < 0.6 else rng.choice(nodes)
        far = rng.choice([NUMBERS // 2, NUMBERS // 2 - 1, 1000, -1000])
        seq = bench.oracle.expected.get(node, START) + rng.choice([0, 0, 0, 0, 1, -1, 2, far])
        # the reader takes one beat a cycle: at most one beat of message a cycle comes
        raw = data(node, seq, rng.randbytes(rng.choice([0, 0, 0, 5])), control(number))
        kind = rng.random()
        if kind < 0.1:
            raw = short(rng.choice([ACK, NACK, HELLO, HELLO_ACK]), node, ack=rng.randrange(NUMBERS), credit=rng.randrange(256))
        elif kind < 0.2:
            raw = raw[:46] + bytes([raw[46] ^ rng.randrange(2), raw[47] ^ rng.randrange(2)]) + raw[48:]
        fate = await bench.send(raw)
        fates[fate] = fates.get(fate, 0) + 1
    await bench.finish(100)
    assert {*KINDS, "gap", "duplicate", "epoch"} == set(fates), fates


# ------------------------------------------------------------------ causes


def change(**fields: dict[str, Any]) -> Callable[[int], bytes]:
    """A good frame of node A with fields of scapy's layers replaced; scapy computes the rest."""

    def make(seq: int) -> bytes:
        built = packet(station(A), ME, transport(A, seq, 0, HEADER, epochs=epochs(A)) + bytes(range(128)))
        for layer, values in fields.items():
            target = {"ether": built, "ip": built[IP], "udp": built[UDP]}[layer]
            for name, value in values.items():
                setattr(target, name, value)
        return bytes(built)

    return make


def tail(payload: bytes = bytes(128), sender: Station | None = None, **fields: Any) -> Callable[[int], bytes]:
    """A frame with another transport header or payload."""

    def make(seq: int) -> bytes:
        options = {"source": A, "ack": 0, "header": HEADER, "epochs": epochs(A), **fields}
        return bytes(packet(sender or station(A), ME, transport(seq=seq, **options) + payload))

    return make


def another(bit: int) -> Callable[[int], bytes]:
    """All of HIGH's but one bit of its number: a stranger with the same index."""
    return tail(source=HIGH ^ 1 << bit, sender=station(HIGH))


def patch(raw_at: int, value: bytes) -> Callable[[int], bytes]:
    """A good frame with bytes overwritten, checksum not corrected."""

    def make(seq: int) -> bytes:
        raw = bytearray(change()(seq))
        raw[raw_at : raw_at + len(value)] = value
        return bytes(raw)

    return make


def arp(**fields: Any) -> Callable[[int], bytes]:
    options = {"dst": "ff:ff:ff:ff:ff:ff", **fields}
    return lambda _: bytes(Ether(dst=options["dst"], src=station(A).mac_text, type=0x0806) / ARP(psrc=station(A).ip_text, pdst=ME.ip_text))


BAD: list[tuple[str, str, Callable[[int], bytes]]] = [
    ("destination mac", "another's", change(ether={"dst": "02:46:4c:ff:00:04"})),
    ("destination mac", "broadcast", change(ether={"dst": "ff:ff:ff:ff:ff:ff"})),
    ("destination mac", "first byte", change(ether={"dst": "03:46:4c:ff:00:03"})),
    ("destination mac", "ARP to another", arp(dst="02:46:4c:ff:00:04")),
    ("destination mac", "ICMP to broadcast", change(ether={"dst": "ff:ff:ff:ff:ff:ff"}, ip={"proto": 1})),
    ("ethertype", "IPv6", change(ether={"type": 0x86DD})),
    ("ethertype", "VLAN", change(ether={"type": 0x8100})),
    ("ip version", "6", change(ip={"version": 6})),
    ("ip version", "header of 24 bytes", change(ip={"ihl": 6})),
    ("ip version", "ICMP with options", change(ip={"ihl": 6, "proto": 1})),
    ("fragment", "more fragments", change(ip={"flags": "MF"})),
    ("fragment", "offset 1", change(ip={"flags": "DF", "frag": 1})),
    ("fragment", "offset 4096", change(ip={"flags": 0, "frag": 4096})),
    ("fragment", "ICMP", change(ip={"flags": "MF", "proto": 1})),
    ("protocol", "TCP", change(ip={"proto": 6})),
    ("checksum", "checksum off by one", lambda seq: patch(24, ((change()(seq)[24] << 8 | change()(seq)[25]) ^ 1).to_bytes(2, "big"))(seq)),
    ("checksum", "TTL changed alone", patch(22, b"\x3f")),
    ("checksum", "zero", change(ip={"chksum": 0})),
    ("checksum", "ICMP", change(ip={"chksum": 0, "proto": 1})),
    ("destination address", "another's", change(ip={"dst": "192.168.17.15"})),
    ("destination address", "high byte", change(ip={"dst": "193.168.17.14"})),
    ("destination address", "ICMP", change(ip={"dst": "192.168.17.15", "proto": 1})),
    ("udp port", "destination", change(udp={"dport": 17997})),
    ("udp port", "source", change(udp={"sport": 17740})),
    ("version or type", "version 2", tail(version=2)),
    ("version or type", "version 0", tail(version=0)),
    ("version or type", "type 5", tail(kind=5)),
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
    ("length", "payload 1984, the count of bytes wraps", tail(payload=bytes(1984))),
    ("length", "payload 4096", tail(payload=bytes(4096))),
    ("length", "an ack with payload", tail(kind=ACK, payload=bytes(1))),
    ("length", "a hello with payload", tail(kind=HELLO, payload=bytes(64))),
    ("length", "a hello-ack with payload", tail(kind=HELLO_ACK, payload=bytes(1024))),
    ("length", "a nack cut short", lambda _: short(NACK, A)[:63]),
    ("length", "an ack and a byte", lambda _: short(ACK, A) + b"x"),
    ("unknown node", "none of that number" if PEERS_N == 64 else "above the table", tail(source=7 if PEERS_N == 64 else PEERS_N)),
    ("unknown node", "another with the index of A", tail(source=PEERS_N + A)),
    ("unknown node", "high byte", tail(source=0x0100 + A)),
    *(("unknown node", f"bit {bit} of a number beyond the table", another(bit)) for bit in range(HIGH_BIT, 16) if PEERS_N > 2),
    *([("unknown node", "its number without what is beyond", tail(source=HIGH % PEERS_N, sender=station(HIGH)))] if PEERS_N > 2 else []),
    ("source address", "MAC", change(ether={"src": "02:46:4c:00:00:12"})),
    ("source address", "IPv4", change(ip={"src": "10.1.254.17"})),
    ("source address", "another known node", tail(sender=station(B))),
    ("source address", "a hello of another", tail(sender=station(B), kind=HELLO, payload=b"")),
    ("epoch", "sender's", tail(epochs=bytes([epochs(A)[0] ^ 2, epochs(A)[1]]))),
    ("epoch", "acknowledged", tail(epochs=bytes([epochs(A)[0], 0]))),
    ("epoch", "of an ack", tail(kind=ACK, payload=b"", epochs=bytes([epochs(A)[0], epochs(A)[1] ^ 128]))),
    ("epoch", "of a nack", tail(kind=NACK, payload=b"", epochs=b"\0\0")),
    ("empty", "data without payload", tail(payload=b"")),
    ("gap", "one ahead", lambda seq: data(A, seq + 1, bytes(64))),
    ("gap", "far ahead", lambda seq: data(A, seq + NUMBERS // 2 - 1, bytes(64))),
    ("duplicate", "one behind", lambda seq: data(A, seq - 1, bytes(64))),
    ("duplicate", "far behind", lambda seq: data(A, seq + NUMBERS // 2, bytes(64))),
]  # fmt: skip
GOOD: list[tuple[str, Callable[[int], bytes]]] = [
    ("ack", lambda _: short(ACK, A, ack=0x123456, credit=255)),
    ("nack", lambda _: short(NACK, A, ack=0xFEDCBA, credit=0)),
    ("hello", lambda _: short(HELLO, A, epochs=b"\0\0")),
    ("hello", lambda _: short(HELLO, A)),
    ("hello-ack", lambda _: short(HELLO_ACK, A, epochs=b"\x55\xaa")),
    ("arp answered", arp()),
    ("arp answered", arp(dst=ME.mac_text)),
    ("icmp answered", change(ip={"proto": 1})),
]


@cocotb.test(timeout_time=300, timeout_unit="us")
@cocotb.parametrize(between=[0, 1])
async def every_cause(dut: Any, between: int) -> None:
    """Each bad frame is dropped under its cause and changes nothing; ``between`` = 1: good frames between, no gap."""
    bench = Bench(dut)
    await bench.start()
    await bench.good(A, bytes(64))
    for cause, text, make in [*BAD, *((fate, "", make) for fate, make in GOOD)]:
        await bench.send(make(bench.oracle.expected[A]), cause)
        if between:
            await bench.good(A, random.Random(cause).randbytes(128))
            if CELLS < 4:
                await bench.idle(4)
        else:
            await bench.idle(8)
            assert bench.words()[cause] == bench.counts[cause], f"{cause}: {text}"
    whole = (1 << 64) - 1
    seq = bench.oracle.expected[A]
    for raw, cause, options in [
        (change()(seq), "mac error", {"bad": True}),
        (arp()(0), "mac error", {"bad": True}),
        (change()(seq), "length", {"keep": whole & ~2, "gap": True}),
        (change()(seq), "length", {"keep": whole << 1 & whole, "gap": True}),
        (change()(seq), "length", {"keep": 0, "gap": True}),
        (data(A, seq, b"", control(0)), "length", {"keep": whole & ~(1 << 62), "gap": True}),
    ]:
        await bench.send(raw, cause, **options)
    await bench.idle(4)
    await bench.good(A, bytes(1024))
    await bench.finish(2)
    missing = {cause for cause in CAUSES if not bench.counts[cause]}
    assert missing == {"full", "arp", "icmp", "busy"}, "causes without a case here"


@cocotb.test(timeout_time=600, timeout_unit="us")
@cocotb.parametrize(kind=["data", "hello"])
async def every_bit(dut: Any, kind: str) -> None:
    """Each bit of the header turned over, once as it is and once with the checksum repaired: the oracle's fate, event and message."""
    bench = Bench(dut)
    await bench.start()
    rng = random.Random(cocotb.RANDOM_SEED)
    fates = set()
    for bit in range(512):
        for repair in (False, True) if 14 * 8 <= bit < 34 * 8 else (False,):
            if kind == "data":
                raw = bytearray(data(A, bench.oracle.expected.get(A, START), rng.randbytes(64)))
            else:
                raw = bytearray(short(HELLO, A, ack=rng.randrange(NUMBERS), credit=rng.randrange(256)))
            raw[bit // 8] ^= 1 << bit % 8
            fates.add(await bench.send(repair_checksum(bytes(raw)) if repair else bytes(raw)))
            if CELLS < 8:
                await bench.idle(2)
    await bench.finish(0 if kind == "hello" else 100)
    assert len(fates) >= 14, fates


# ------------------------------------------------------------------ cells and quotas


@cocotb.test(timeout_time=200, timeout_unit="us")
async def full_cells_drop_whole_frames(dut: Any) -> None:
    """Nobody reads: CELLS frames are kept, the next are dropped whole and counted, nothing of what is kept is damaged."""
    bench = Bench(dut)
    await bench.start(255)
    bench.sink.pause(iter(lambda: False, True))
    size = 1024 if CELLS <= 16 else 256  # at least four beats: the first is not read out
    for number in range(CELLS):
        await bench.good(A, random.Random(number).randbytes(size), control(number))
    bench.oracle.full = True
    for number in range(3):
        await bench.send(data(A, bench.oracle.expected[A], random.Random(-number).randbytes(640)), "full")
    await bench.idle(6)
    assert (await bench.told(A))[1] == max(255 - CELLS, 0)
    bench.oracle.full = False
    bench.sink.pause(None)
    await bench.drain()
    await bench.good(A, b"after", control(7))
    await bench.finish(CELLS + 1)
    assert bench.words()["peak"] == CELLS, "most cells in use"


@cocotb.test(timeout_time=200, timeout_unit="us")
async def quotas(dut: Any) -> None:
    """credit = quota - cells held, 0 where that is negative; cells are given back in order of arrival, to their own peers."""
    bench = Bench(dut)
    await bench.start(0)
    few = min(CELLS // 2, 4)
    for node in (A, B):
        assert await bench.told(node) == (START, 0)
        await bench.peer(node, few)
        assert await bench.told(node) == (START, few)
    bench.sink.pause(iter(lambda: False, True))
    for number in range(few):
        await bench.good(A, random.Random(number).randbytes(256))
        await bench.good(B, random.Random(-number).randbytes(320))
        await bench.idle(6)
        for node in (A, B):
            assert await bench.told(node) == ((START + number + 1) % NUMBERS, few - number - 1)
    await bench.peer(A, few - 1)
    assert (await bench.told(A))[1] == 0, "a quota below what is held gives no credit"
    await bench.peer(A, 255)
    assert (await bench.told(A))[1] == 255 - few
    await bench.peer(A, few)
    # two messages are read: the first of A, the first of B
    bench.sink.pause(iter([True] * 9 + [False] * 100000))
    await bench.idle(30)
    assert (await bench.told(A))[1] == 1
    assert (await bench.told(B))[1] == 1
    bench.sink.pause(None)
    await bench.finish(2 * few)
    for node in (A, B):
        assert await bench.told(node) == ((START + few) % NUMBERS, few)


@cocotb.test(timeout_time=400, timeout_unit="us")
async def every_peer(dut: Any) -> None:
    """As many peers as there are, each with a number beyond the table: all send their whole quota into a stuck reader, and each has its own
    number, credit, acknowledgement, nack and reset."""
    bench = Bench(dut)
    await bench.start()
    rng = random.Random(cocotb.RANDOM_SEED)
    nodes = [index + PEERS_N * rng.randrange(1, 65536 // PEERS_N) for index in range(PEERS_N)]
    known = {node: (rng.randint(1, 255), rng.randint(1, 255)) for node in nodes}  # mine, theirs
    mine, theirs = ({node: pair[k] for node, pair in known.items()} for k in range(2))
    bench.oracle = Oracle(ME, set(nodes), START, mine, theirs, peers_n=PEERS_N)
    bench.set_epochs()
    quota = dict.fromkeys(nodes, 1)  # different ones, all cells in all
    for _ in range(CELLS - PEERS_N):
        quota[rng.choice(nodes)] += 1
    for node in nodes:
        await bench.peer(node, quota[node])

    async def send(node: int, ahead: int, fate: str) -> None:
        seq = (bench.oracle.expected.get(node, START) + ahead) % NUMBERS
        header = control(rng.randrange(65536))
        raw = frame(station(node), ME, seq, header, rng.randbytes(rng.choice([0, 1, 64, 200])), epochs=bytes(reversed(known[node])))
        await bench.send(raw, fate)

    bench.sink.pause(iter(lambda: False, True))
    turns = [node for node in nodes for _ in range(quota[node])]
    rng.shuffle(turns)
    for node in turns:
        await send(node, 0, "data")
    await bench.idle(12)
    handed = 0
    for node in nodes:
        expected, credit = await bench.told(node)
        assert expected == (START + quota[node]) % NUMBERS
        handed += credit
    assert handed <= 3  # beats that fit between the cells and the reader
    # nobody is told while the others are
    await bench.idle(128 + PEERS_N + 4)
    everybody = (1 << PEERS_N) - 1
    assert bench.owed() == (everybody, 0)
    left = everybody
    for node in rng.sample(nodes, PEERS_N):
        await bench.tell(node % PEERS_N)
        await RisingEdge(dut.clk)
        left &= ~(1 << node % PEERS_N)
        assert bench.owed() == (left, 0)
    bench.sink.pause(None)
    await bench.drain()
    for node in nodes:
        assert await bench.told(node) == ((START + quota[node]) % NUMBERS, quota[node])
    # a gap of each, and one link that is reset
    for node in nodes:
        await send(node, 1, "gap")
    await bench.idle(6)
    assert bench.owed()[1] == everybody
    other = rng.choice(nodes)
    await bench.reset_link(other % PEERS_N)
    bench.oracle.expected.pop(other)
    await RisingEdge(dut.clk)
    assert bench.owed()[1] == everybody & ~(1 << other % PEERS_N)
    for node in nodes:
        assert (await bench.told(node))[0] == (START if node == other else (START + quota[node]) % NUMBERS)
        await send(node, 0, "data")
    await bench.finish(CELLS + PEERS_N)


# ------------------------------------------------------------------ what is owed

DELAY = 40


async def opened(dut: Any, quota: int = 1) -> Bench:
    """A bench whose peers A and B have been heard and told everything."""
    bench = Bench(dut)
    await bench.start(quota)
    await bench.register(REG_ACK_DELAY, DELAY)
    await bench.register(REG_NACK_HOLD, 300)
    for node in (A, B):
        await bench.send(short(ACK, node), "ack")
        await bench.idle(4)
        await bench.tell(node)
    await bench.idle(DELAY + PEERS_N + 8)
    assert bench.owed() == (0, 0)
    return bench


@cocotb.test(timeout_time=200, timeout_unit="us")
async def an_ack_falls_due(dut: Any) -> None:
    """After ACK_DELAY for a frame accepted and for a cell handed on; at once after a duplicate; not where all was told meanwhile."""
    bench = await opened(dut)
    late = DELAY + PEERS_N + 2
    for _ in range(3):
        await bench.good(A, bytes(64))
        bench.mac.end()
        await ClockCycles(dut.clk, 4)
        waited = await bench.until("ack_due", A, 2 * late)
        assert DELAY < waited <= late, f"due after {waited} cycles"
        assert bench.owed() == (1 << A, 0)
        await bench.idle(20)
        assert bench.owed() == (1 << A, 0), "stays due"
        await bench.tell(A)
        await RisingEdge(dut.clk)
        assert bench.owed() == (0, 0)
        await bench.idle(2 * late)
        assert bench.owed() == (0, 0), "nothing new to tell"
    # told before it falls due: the frame and the cell
    await bench.good(A, bytes(64))
    await bench.idle(12)
    await bench.tell(A)
    await bench.idle(2 * late)
    assert bench.owed() == (0, 0)
    # the cell alone: the reader takes the message after all else was told
    bench.sink.pause(iter(lambda: False, True))
    await bench.good(B, bytes(512))
    await bench.idle(12)
    await bench.tell(B)
    await bench.idle(2 * late)
    assert bench.owed() == (0, 0)
    bench.sink.pause(None)
    await bench.idle(14)
    assert bench.owed() == (0, 0)
    bench.event_cycle = bench.cycle
    assert await bench.until("ack_due", B, 2 * late) <= late
    await bench.tell(B)
    # a duplicate
    await bench.send(data(A, bench.oracle.expected[A] - 1, bytes(64)), "duplicate")
    bench.mac.end()
    await ClockCycles(dut.clk, 3)
    waited = await bench.until("ack_due", A, 10)
    assert waited <= 3, f"a duplicate's ack is due after {waited} cycles"
    await bench.tell(A)
    # a write of PEER
    await bench.peer(B, 5)
    await bench.idle(3)
    assert bench.owed() == (1 << B, 0)
    await bench.tell(B)
    await bench.finish(4)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def told_in_the_same_cycle(dut: Any) -> None:
    """hd_sent around the cycle in which a frame is accepted: before it and in it the frame stays owed, after it not. expected agrees."""
    bench = await opened(dut)
    dut.hd_peer.value = A
    late = DELAY + PEERS_N + 2
    # the message is stuck in the reader, so that no cell is handed on
    bench.sink.pause(iter(lambda: False, True))
    seen = []
    for offset in range(6):
        before = bench.oracle.expected.get(A, START)
        await bench.send(data(A, before, bytes(1024)), "data" if offset < CELLS else "full")
        bench.mac.end()
        for _ in range(offset):
            await RisingEdge(dut.clk)
        dut.hd_sent.value, dut.hd_sent_peer.value = 1, A
        await RisingEdge(dut.clk)
        knew = int(dut.hd_expected.value) != before
        dut.hd_sent.value = 0
        await bench.idle(2 * late)
        owed = bench.owed()[0] >> A & 1
        assert owed == int(not knew), f"told {offset} cycles after the last beat: header knew {knew}, owed {owed}"
        seen.append(knew)
        await bench.tell(A)
        if offset == CELLS - 1:
            break
    assert seen[0] is False and (seen[-1] is True or CELLS < 6), seen
    bench.sink.pause(None)
    await bench.finish(min(6, CELLS))


@cocotb.test(timeout_time=200, timeout_unit="us")
async def a_nack_falls_due(dut: Any) -> None:
    """At once after a gap; not again before NACK_HOLD cycles have passed or a frame was accepted; cleared by a nack alone."""
    bench = await opened(dut)

    async def skip(ahead: int = 1) -> None:
        await bench.send(data(A, bench.oracle.expected.get(A, START) + ahead, bytes(64)), "gap")
        bench.mac.end()
        await ClockCycles(dut.clk, 6)

    for ahead in (1, 5):
        await skip(ahead)
        assert bench.owed() == (0, 1 << A) and bench.cycle - bench.event_cycle <= 6
        await bench.tell(A)
        await bench.idle(2)
        assert bench.owed()[1] == 1 << A, "another header does not say it"
        await bench.tell(A, nack=1)
        await bench.idle(2)
        assert bench.owed() == (0, 0)
        await skip(2)
        assert bench.owed()[1] == 0, "held back"
        await bench.good(A, bytes(64))
        await bench.idle(12)
        await bench.tell(A)
        await bench.idle(2)
    await skip()
    start = bench.event_cycle
    await bench.tell(A, nack=1)
    while True:
        await skip(3)
        if bench.owed()[1]:
            break
        await bench.idle(1)
    waited = bench.event_cycle - start
    assert 300 <= waited <= 300 + PEERS_N + 12, f"held for {waited} cycles"
    # other peers are not concerned
    await bench.send(data(B, START + 9, bytes(64)), "gap")
    await bench.idle(6)
    assert bench.owed()[1] == 1 << A | 1 << B
    await bench.tell(B, nack=1)
    await bench.idle(2)
    assert bench.owed()[1] == 1 << A
    await bench.finish(2)


@cocotb.test(timeout_time=300, timeout_unit="us")
async def a_link_is_reset(dut: Any) -> None:
    """expected = 0, nothing owed before a frame with right epochs came; a frame judged in that cycle is of the new link."""
    bench = await opened(dut)
    late = DELAY + PEERS_N + 2
    await bench.good(A, bytes(64))
    await bench.good(B, bytes(64))
    await bench.send(data(A, START + 7, bytes(64)), "gap")
    await bench.send(data(A, START, bytes(64)), "duplicate")
    await bench.idle(late)
    assert bench.owed() == (1 << A | 1 << B, 1 << A)
    await bench.reset_link(A)
    await RisingEdge(dut.clk)
    assert bench.owed() == (1 << B, 0)
    assert (await bench.told(A))[0] == START
    assert (await bench.told(B))[0] == START + 1
    await bench.tell(B)
    # a cell handed on and a wrong epoch owe nothing
    await bench.send(short(ACK, A, epochs=b"\x01\x01"), "epoch")
    await bench.peer(A, 3)
    await bench.idle(2 * late)
    assert bench.owed() == (0, 0)
    await bench.send(short(HELLO_ACK, A), "hello-ack")
    await bench.idle(6)
    await bench.peer(A, 4)
    await bench.idle(4)
    assert bench.owed() == (1 << A, 0)
    await bench.tell(A)
    # the pulse in each cycle around the verdict, which comes in the third cycle after the last beat: from then on the link is the new one
    for number, before, after in ((0, "data", "duplicate"), (2, "gap", "data")):
        for offset in range(6):
            await bench.idle(3)
            await bench.reset_link(A)
            for _ in range(2):
                await bench.good(A, bytes(64))
            await bench.idle(4)
            if offset <= 2:
                bench.oracle.expected.pop(A)
            await bench.send(data(A, START + number, bytes(64)), before if offset <= 2 else after)
            reached = bench.oracle.expected.get(A, START)
            bench.mac.end()
            for _ in range(offset):
                await RisingEdge(dut.clk)
            await bench.reset_link(A)
            bench.oracle.expected[A] = reached if offset <= 2 else START
            await bench.idle(8)
            assert (await bench.told(A))[0] == bench.oracle.expected[A], f"pulse {offset} cycles after the last beat, number {number}"
    await bench.finish(8)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def reset_forgets(dut: Any) -> None:
    """Half a frame, reset: nothing of it appears, no peer is known, registers have their defaults, numbers begin again."""
    bench = await opened(dut)
    await bench.good(A, bytes(64))
    await bench.send(data(A, START + 7, bytes(64)), "gap")
    await bench.drain()
    beats = streams.packet_beats(data(A, START + 1, bytes(512)), None)
    for beat in beats[:4]:
        dut.mac_rx_tvalid.value = 1
        dut.mac_rx_tdata.value = beat.data
        dut.mac_rx_tkeep.value = beat.keep
        dut.mac_rx_tlast.value = 0
        await RisingEdge(dut.clk)
    bench.mac.end()
    await clocks.reset(dut)
    await ClockCycles(dut.clk, 2)
    assert bench.owed() == (0, 0)
    assert all(count == 0 for count in bench.words().values())
    bench.counts = dict.fromkeys(bench.counts, 0)
    bench.oracle.expected.clear()
    bench.oracle.peers.clear()
    assert await bench.told(A) == (START, 0)
    await bench.send(data(A, START, bytes(64)), "unknown node")
    bench.oracle.peers.update(PEERS)
    await bench.idle(8)
    await bench.peer(A, 9)
    await bench.idle(4)
    assert bench.owed() == (0, 0), "not heard yet"
    await bench.good(A, random.Random(1).randbytes(192))
    assert (await bench.told(A))[1] == 9
    bench.mac.end()
    waited = await bench.until("ack_due", A, 300)
    assert 128 < waited <= 128 + PEERS_N + 2
    await bench.send(data(A, START + 5, bytes(64)), "gap")
    await bench.idle(6)
    start = bench.event_cycle
    await bench.tell(A, nack=1)
    await bench.idle(2)
    assert bench.owed()[1] == 0
    while not bench.owed()[1]:
        await bench.send(data(A, START + 5, bytes(64)), "gap")
        await bench.idle(6)
    assert 768 <= bench.event_cycle - start <= 768 + PEERS_N + 10
    await bench.finish(2)
