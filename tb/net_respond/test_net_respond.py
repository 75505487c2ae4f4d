# SPDX-License-Identifier: Apache-2.0
"""net_respond behind net_eth_rx: each reply is the one that scapy builds, byte by byte; everything else is counted under its cause."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from net_eth.frames import Station, repair_checksum
from net_eth.mac import Mac
from net_eth_rx.oracle import WORDS
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from floreana_tb import clocks, stalls, streams

ME = Station(3, 0x02_46_4C_FF_00_03, 0xC0_A8_11_0E)
THEM = Station(9, 0x9C_00_BE_EF_12_34, 0xC0_A8_11_FA)
ALL = "ff:ff:ff:ff:ff:ff"
ZERO = "00:00:00:00:00:00"


def arp_request(dst: str = ALL, target: str = ME.ip_text, sender: Station = THEM, pad: int = 60, **fields: Any) -> bytes:
    request = Ether(dst=dst, src=sender.mac_text, type=0x0806) / ARP(
        **{"op": 1, "hwsrc": sender.mac_text, "psrc": sender.ip_text, "hwdst": ZERO, "pdst": target, **fields}
    )
    return bytes(request).ljust(pad, b"\x5a")


def arp_reply(sender: Station = THEM) -> bytes:
    reply = Ether(dst=sender.mac_text, src=ME.mac_text, type=0x0806) / ARP(
        op=2, hwsrc=ME.mac_text, psrc=ME.ip_text, hwdst=sender.mac_text, pdst=sender.ip_text
    )
    return bytes(reply).ljust(60, b"\0")


def echo_request(payload: bytes, ident: int = 7, number: int = 1, pad: int = 60, ip: dict[str, Any] | None = None, **fields: Any) -> bytes:
    request = (
        Ether(dst=ME.mac_text, src=THEM.mac_text)
        / IP(**{"src": THEM.ip_text, "dst": ME.ip_text, "ttl": 3, "id": 0x7777, "tos": 0x2E, **(ip or {})})
        / ICMP(**{"type": 8, "code": 0, "id": ident, "seq": number, **fields})
        / Raw(payload)
    )
    return bytes(request).ljust(pad, b"\xa5")


def echo_reply(payload: bytes, ident: int = 7, number: int = 1) -> bytes:
    reply = (
        Ether(dst=THEM.mac_text, src=ME.mac_text)
        / IP(src=ME.ip_text, dst=THEM.ip_text, ttl=64, id=0, flags="DF", tos=0)
        / ICMP(type=0, code=0, id=ident, seq=number)
        / Raw(payload)
    )
    return bytes(reply).ljust(60, b"\0")


class Bench:
    def __init__(self, dut: Any, pattern: stalls.Pattern | None = None) -> None:
        self.dut = dut
        self.mac = Mac(dut)
        self.gaps = None if pattern is None else pattern.stalls
        self.board = streams.Scoreboard("replies")
        self.sink = streams.PacketSink(dut, "rp_axis", dut.clk, pattern, callback=lambda got: self.board.got(got.payload), max_beats=17)
        self.counts = dict.fromkeys(WORDS.values(), 0)
        dut.id_mac.value = ME.mac
        dut.id_ip.value = ME.ip

    async def send(self, raw: bytes, fate: str, reply: bytes | None = None, **options: Any) -> None:
        self.counts["frames"] += 1
        self.counts[fate] += 1
        assert (reply is not None) == fate.endswith("answered")
        if reply is not None:
            self.board.expect(reply)
        await self.mac.send(raw, gaps=self.gaps, **options)

    async def drain(self) -> None:
        self.mac.end()
        await ClockCycles(self.dut.clk, 8)
        for _ in range(2000):
            await RisingEdge(self.dut.clk)
            if not int(self.dut.sts_busy.value):
                break
        else:
            raise AssertionError("sts_busy does not fall")
        await ClockCycles(self.dut.clk, 4)

    async def ask(self, raw: bytes, fate: str, reply: bytes | None = None, **options: Any) -> None:
        """Send and wait for the reply."""
        await self.send(raw, fate, reply, **options)
        await self.drain()

    async def finish(self, at_least: int) -> None:
        await self.drain()
        self.board.finish(at_least)
        value = self.dut.sts_count.value.to_unsigned()
        assert {name: value >> 32 * k & 0xFFFFFFFF for k, name in WORDS.items()} == self.counts
        print(f"frames: checked {self.counts['frames']} equal {self.counts['frames']}", flush=True)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def arp(dut: Any) -> None:
    """Requests for our address, broadcast or not, padded or not; all others are cause 18."""
    bench = Bench(dut)
    await clocks.start(dut)
    other = Station(1, 0x06_05_04_03_02_01, 0x0A_00_00_01)
    await bench.ask(arp_request(), "arp answered", arp_reply())
    await bench.ask(arp_request(dst=ME.mac_text), "arp answered", arp_reply())
    await bench.ask(arp_request(pad=42), "arp answered", arp_reply())
    await bench.ask(arp_request(pad=64), "arp answered", arp_reply())
    await bench.ask(arp_request(hwdst="01:02:03:04:05:06"), "arp answered", arp_reply())
    await bench.ask(arp_request(sender=other), "arp answered", arp_reply(other))
    probe = Station(1, other.mac, 0)
    await bench.ask(arp_request(sender=probe), "arp answered", arp_reply(probe))
    for target in ("192.168.17.15", "192.168.16.14", "64.168.17.14", "0.0.0.0"):
        await bench.ask(arp_request(target=target), "arp")
    for fields in ({"op": 2}, {"op": 0x101}, {"hwtype": 6}, {"ptype": 0x86DD}, {"hwlen": 8}, {"plen": 16}):
        raw = bytearray(arp_request())
        at, size = {"op": (20, 2), "hwtype": (14, 2), "ptype": (16, 2), "hwlen": (18, 1), "plen": (19, 1)}[next(iter(fields))]
        raw[at : at + size] = next(iter(fields.values())).to_bytes(size, "big")
        await bench.ask(bytes(raw), "arp")
    await bench.ask(arp_request()[:41], "arp")
    await bench.ask(arp_request(pad=65), "arp")
    await bench.ask(arp_request(), "arp", keep=(1 << 60) - 1 & ~(1 << 17))
    await bench.ask(arp_request(), "mac error", bad=True)
    await bench.ask(arp_request(dst="02:46:4c:ff:00:04"), "destination mac")
    await bench.ask(arp_request(), "arp answered", arp_reply())
    await bench.finish(8)


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(pattern=["none", "both"])
async def echo(dut: Any, pattern: str) -> None:
    """Every length at an edge of a beat, the padding or the limit."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED))
    await clocks.start(dut)
    sizes = [*range(26), 56, 85, 86, 87, 88, 149, 150, 151, 500, 981, 982, 983, 994, 995, 996]
    for size in sizes if pattern == "none" else sizes[::3]:
        payload, ident, number = rng.randbytes(size), rng.randrange(65536), rng.randrange(65536)
        await bench.ask(echo_request(payload, ident, number), "icmp answered", echo_reply(payload, ident, number))
        await bench.ask(echo_request(payload, ident, number, pad=0), "icmp answered", echo_reply(payload, ident, number))
    await bench.ask(echo_request(b"", pad=64), "icmp answered", echo_reply(b""))
    if pattern == "both":
        bench.sink.demand_stalls()
    await bench.finish(25)


@cocotb.test(timeout_time=400, timeout_unit="us")
async def checksums(dut: Any) -> None:
    """Sums that fold to 0xffff or carry twice; nothing but zeros; every checksum of a small request but the right one is refused."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut)
    await clocks.start(dut)
    for payload, ident, number in [
        (b"", 0, 0), (bytes(64), 0, 0), (bytes(996), 0, 0), (b"\xff" * 996, 0xFFFF, 0xFFFF), (b"\xff\xff", 0, 0), (b"", 0xFFFF, 0),
        (b"", 0xF7FF, 0), (b"", 0xF7FE, 0), (b"", 0xF800, 0), (b"\x00\x01", 0xF7FF, 0xFFFF), (b"\xff", 0x00FF, 0), (b"\x00", 0, 0),
    ]:  # fmt: skip
        await bench.ask(echo_request(payload, ident, number), "icmp answered", echo_reply(payload, ident, number))
    for _ in range(40):  # identifier and number chosen so that the reply's sum is 0xffff or next to it
        ident = rng.randrange(65536)
        number = (0xFFFF - ident + rng.randint(-2, 2)) & 0xFFFF
        await bench.ask(echo_request(b"", ident, number), "icmp answered", echo_reply(b"", ident, number))
    raw = echo_request(b"abc", 1, 2)
    right = raw[36] << 8 | raw[37]
    near = {0, 0xFFFF, right ^ 1, right ^ 0x100, right ^ 0x8000, right - 1, right + 1, ~right & 0xFFFF}
    for wrong in sorted(near | {rng.randrange(65536) for _ in range(20)}):
        if wrong != right:
            await bench.ask(raw[:36] + wrong.to_bytes(2, "big") + raw[38:], "icmp")
    for at in range(34, 45):  # every byte that the sum covers
        if at not in (34, 35):
            await bench.ask(raw[:at] + bytes([raw[at] ^ 16]) + raw[at + 1 :], "icmp")
    await bench.finish(52)


@cocotb.test(timeout_time=400, timeout_unit="us")
async def refused(dut: Any) -> None:
    """What is no whole echo request to us."""
    bench = Bench(dut)
    await clocks.start(dut)
    for kind, code in ((0, 0), (8, 1), (13, 0), (9, 0), (0x88, 0)):
        await bench.ask(echo_request(bytes(48), type=kind, code=code), "icmp")
    await bench.ask(echo_request(bytes(997)), "icmp")
    await bench.ask(echo_request(bytes(1400)), "icmp")
    await bench.ask(echo_request(bytes(2100)), "icmp")
    whole = echo_request(bytes(200))
    await bench.ask(whole[:-1], "icmp")
    await bench.ask(whole[:-64], "icmp")
    await bench.ask(whole + b"\0", "icmp")
    await bench.ask(whole + bytes(2048), "icmp")
    await bench.ask(echo_request(b"", pad=65), "icmp")
    await bench.ask(echo_request(bytes(40), pad=0)[:50], "icmp")
    for total in (0, 20, 27, 1025, 2048 + 48, 0x8000 + 48):
        raw = echo_request(bytes(20))
        await bench.ask(repair_checksum(raw[:16] + total.to_bytes(2, "big") + raw[18:]), "icmp")
    await bench.ask(whole, "icmp", keep=1)
    await bench.ask(whole, "mac error", bad=True)
    await bench.ask(echo_request(bytes(8), ip={"dst": "192.168.17.255"}), "destination address")
    await bench.ask(echo_request(bytes(8), ip={"flags": "MF"}), "fragment")
    await bench.ask(echo_request(bytes(8), ip={"frag": 2}), "fragment")
    await bench.ask(echo_request(bytes(8), ip={"chksum": 0x1234}), "checksum")
    await bench.ask(echo_request(bytes(8), ip={"options": b"\x01\x01\x01\x00"}), "ip version")
    await bench.ask(whole, "icmp answered", echo_reply(bytes(200)))
    await bench.finish(1)


@cocotb.test(timeout_time=400, timeout_unit="us")
async def one_at_a_time(dut: Any) -> None:
    """While it stores, judges or sends, another right request is cause 20 and a wrong one has its own cause; replies are whole."""
    bench = Bench(dut)
    await clocks.start(dut)
    bench.sink.pause(iter(lambda: False, True))
    payload = random.Random(1).randbytes(996)
    await bench.send(echo_request(payload), "icmp answered", echo_reply(payload))
    for _ in range(3):
        await bench.send(arp_request(), "busy")
        await bench.send(echo_request(b"x" * 300), "busy")
        await bench.send(echo_request(b"x", chksum=1), "icmp")
        await bench.send(arp_request(target="10.0.0.1"), "arp")
    bench.sink.pause(None)
    await bench.drain()
    # a wrong one holds the store until it is judged
    await bench.send(arp_request(target="10.0.0.1"), "arp")
    await bench.send(arp_request(), "busy")
    await bench.drain()
    # foreign frames between the beats' sums change nothing
    for size in (0, 100, 996):
        await bench.send(echo_request(payload[:size]), "icmp answered", echo_reply(payload[:size]))
        for _ in range(6):
            await bench.send(echo_request(payload[:200], ip={"proto": 6}), "protocol")
        await bench.drain()
    await bench.finish(4)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def latency(dut: Any) -> None:
    """Last beat in -> first beat of the reply, and the reply without a gap."""
    bench = Bench(dut)
    wire = streams.PacketMonitor(dut, "mac_rx", dut.clk, max_beats=17, constant_user=False)
    await clocks.start(dut)
    await bench.send(echo_request(bytes(996)), "icmp answered", echo_reply(bytes(996)))
    await bench.drain()
    delay = bench.sink.first_cycle - wire.last_cycle
    print(f"last beat of the request in to first beat of the reply out: {delay} cycles")
    assert delay == 13
    assert bench.sink.last_cycle - bench.sink.first_cycle == 16
    await bench.finish(1)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def reset_in_mid_frame(dut: Any) -> None:
    """Half a request, or half a reply, reset: nothing of it appears, the next request is answered."""
    bench = Bench(dut)
    await clocks.start(dut)
    for where in ("request", "reply"):
        raw = echo_request(bytes(900))
        if where == "request":
            beats = streams.packet_beats(raw, None)[:5]
            for beat in beats:
                dut.mac_rx_tvalid.value = 1
                dut.mac_rx_tdata.value = beat.data
                dut.mac_rx_tkeep.value = beat.keep
                dut.mac_rx_tlast.value = 0
                await RisingEdge(dut.clk)
        else:
            bench.sink.pause(iter([False] * 20 + [True] * 3 + [False] * 30))
            await bench.mac.send(raw)
        bench.mac.end()
        await ClockCycles(dut.clk, 30 if where == "reply" else 1)
        await clocks.reset(dut)
        bench.sink.pause(None)
        bench.counts = dict.fromkeys(bench.counts, 0)
        await bench.ask(arp_request(), "arp answered", arp_reply())
        await bench.ask(echo_request(b"after"), "icmp answered", echo_reply(b"after"))
    await bench.finish(4)
