# SPDX-License-Identifier: Apache-2.0
"""net_eth against net_eth, two or three: every message is delivered once, in order of its sender, bit by bit, whatever the network does."""

from __future__ import annotations

import os
import random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from net_eth.frames import Station, station
from net_eth.network import NODES, Bench, Faults, header
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from floreana.cluster.layout import REG_ACK_DELAY, REG_KEEP, REG_NACK_HOLD, REG_RETRIES, REG_RTO, TYPE_CONTROL
from floreana_tb import stalls

RX_CELLS = int(os.environ.get("RX_CELLS", "256"))
QUOTA = RX_CELLS // 2  # two peers
RTO, RETRIES = 300, 5
FAST = {f"r{REG_ACK_DELAY}": 32, f"r{REG_RTO}": RTO, f"r{REG_RETRIES}": RETRIES, f"r{REG_KEEP}": 0, f"r{REG_NACK_HOLD}": 150}
CALM = {**FAST, f"r{REG_RTO}": 4096, f"r{REG_RETRIES}": 24}  # no expiry while readers are slow
TX_AGAIN, TX_LOST = 2, 11
LINK_EXPIRED, LINK_FAILED, LINK_RESTARTED = 48, 49, 50
CAUSES = slice(26, 47)


def dropped(words: list[int]) -> list[int]:
    return words[CAUSES]


# ------------------------------------------------------------------ a clean network


@cocotb.test(timeout_time=400, timeout_unit="us")
async def clean(dut: Any) -> None:
    """Up from reset; all to all with slow readers: nothing is sent again, nothing dropped; all cells and credits come back."""
    bench = Bench(dut, pattern=stalls.random(cocotb.RANDOM_SEED))
    await bench.start(quota=QUOTA, **CALM)
    waited = await bench.all_up()
    print(f"all links up {waited} cycles after the last table was written")
    assert waited < 200
    bench.send_some(60)
    await bench.delivered()
    await bench.settle()
    await ClockCycles(dut.clk, 300)
    for n in range(NODES):
        words = bench.words(n)
        assert words[TX_AGAIN] == 0, f"node {n} sent {words[TX_AGAIN]} frames again"
        # a frame that comes before the hello that opens the link is the only one that may be dropped: none here
        assert dropped(words) == [0] * 21, f"node {n} dropped {dropped(words)}"
        assert words[48:52][:3] == [0, 0, 0], "expiries, failures, restarts"
        assert words[52:58] == [bench.mask("sts_up", n), 0, 0, 0, 0, 0]
        assert int(getattr(dut, f"sts_lost{n}").value) == 0
    bench.finish(60)


@cocotb.test(timeout_time=400, timeout_unit="us")
async def incast(dut: Any) -> None:
    """Two nodes send to the third as fast as they can, the third reads slowly: credits hold them, nothing is dropped or sent again."""
    bench = Bench(dut)
    await bench.start(quota=QUOTA, **CALM)
    await bench.all_up()
    bench.sinks[0].pause(iter([False] * (200 + 16 * QUOTA) + [k % 2 == 0 for k in range(100000)]))
    for _ in range(QUOTA + 8):
        for source in (1, 2):
            bench.send(source, 0, bench.rng.randbytes(64 * bench.rng.choice([1, 4, 8])))
    await bench.delivered(800 + 100 * QUOTA)
    await bench.settle()
    words = bench.words(0)
    assert dropped(words) == [0] * 21 and words[23] <= RX_CELLS
    assert words[23] >= RX_CELLS - 2, f"most cells in use {words[23]}: the incast did not fill them"
    for n in (1, 2):
        assert bench.words(n)[TX_AGAIN] == 0
    bench.finish(2 * (QUOTA + 8))


@cocotb.test(timeout_time=400, timeout_unit="us")
async def throughput(dut: Any) -> None:
    """Two ports cabled, both directions full: payload beats per cycle at each reader, acknowledgements flowing."""
    bench = Bench(dut)
    await bench.start(nodes=(0, 1), quota=min(RX_CELLS, 255), **{**CALM, f"r{REG_ACK_DELAY}": 128})
    dut.direct.value = 1
    await bench.all_up((0, 1))
    count = 24
    for number in range(count):
        for source in (0, 1):
            bench.send(source, 1 - source, random.Random(number).randbytes(1024))
    await bench.delivered()
    await bench.settle()
    for n in (0, 1):
        arrival = bench.sinks[n].arrival
        # from the end of the fourth message to the end of the last
        share = 16 * (count - 4) / (arrival[-1] - arrival[3])
        words = bench.words(n)
        print(f"node {n}: {share:.4f} payload beats a cycle; acks {words[19]}, most cells {words[23]}")
        assert share >= 0.93, f"{share:.4f} of the port's beats"
        assert dropped(words) == [0] * 21 and words[TX_AGAIN] == 0
    bench.finish(2 * count)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def one_way(dut: Any) -> None:
    """One direction only: acknowledgements go alone and are few."""
    bench = Bench(dut)
    await bench.start(nodes=(0, 1), quota=min(RX_CELLS, 255), **{**CALM, f"r{REG_ACK_DELAY}": 128})
    dut.direct.value = 1
    await bench.all_up((0, 1))
    count = 40
    for number in range(count):
        bench.send(0, 1, random.Random(number).randbytes(1024))
    await bench.delivered()
    await ClockCycles(dut.clk, 400)
    arrival = bench.sinks[1].arrival
    share = 16 * (count - 4) / (arrival[-1] - arrival[3])
    acks = bench.words(0)[19]
    print(f"{share:.4f} payload beats a cycle, {acks} acks for {count} frames")
    assert share >= 0.93 and 0 < acks <= 10
    bench.finish(count)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def latency(dut: Any) -> None:
    """MACs cabled: last beat in -> first and last beat of the message out of the other port."""
    bench = Bench(dut)
    await bench.start(nodes=(0, 1), quota=QUOTA, **CALM)
    dut.direct.value = 1
    await bench.all_up((0, 1))
    await ClockCycles(dut.clk, 20)  # the hello-acks have been taken as acknowledgements
    seen = {}
    for size in (0, 64, 1024):
        bench.sinks[1].first_cycle = None
        bench.send(0, 1, random.Random(size).randbytes(size), TYPE_CONTROL)
        await bench.delivered()
        start = bench.into[0].arrival[-1]
        seen[size] = (bench.sinks[1].first_cycle - start, bench.sinks[1].arrival[-1] - start)
        await ClockCycles(dut.clk, 60)
    print(f"last beat in -> first, last beat out by payload: {seen}")
    assert seen[0][1] <= 16 and seen[64][1] <= 17
    # the frame's 17 beats pass the wire, then the whole message is read out
    assert seen[1024][0] <= 32 and seen[1024][1] == seen[1024][0] + 15
    bench.finish(3)


# ------------------------------------------------------------------ a network with faults


@cocotb.test(timeout_time=4000, timeout_unit="us")
@cocotb.parametrize(kind=["loss", "repeat", "reorder", "spoil", "all"])
async def faults(dut: Any, kind: str) -> None:
    """Three nodes, all to all and multicast, readers and MACs stall; every message once, in order, whatever is lost."""
    every = kind == "all"
    count = 40 if every else 60
    faults = Faults(
        loss=0.08 if kind == "loss" or every else 0.0,
        repeat=0.15 if kind == "repeat" or every else 0.0,
        spoil=0.08 if kind == "spoil" or every else 0.0,
        spread=150 if kind == "reorder" or every else 0,
        late=900,
        delay=20,
    )
    bench = Bench(dut, faults, stalls.random(cocotb.RANDOM_SEED), tx_stalls=every)
    await bench.start(quota=QUOTA, **{**FAST, f"r{REG_RETRIES}": 24})
    bench.send_some(count)
    await bench.delivered(60000)
    bench.faults.loss = bench.faults.spoil = 0.0
    await bench.settle(20000)
    again = causes = 0
    for n in range(NODES):
        words = bench.words(n)
        again += words[TX_AGAIN]
        causes += sum(dropped(words))
        assert words[LINK_FAILED] == 0 and words[LINK_RESTARTED] == 0
        assert words[TX_LOST] == 0 and int(getattr(dut, f"sts_lost{n}").value) == 0
        assert bench.mask("sts_failed", n) == 0
    print(f"{kind}: {sum(bench.net.sent)} frames, {again} sent again, {causes} dropped by receivers")
    assert causes > 0 or kind == "loss"
    assert again > 0 or kind == "repeat"
    bench.finish(count)


@cocotb.test(timeout_time=1000, timeout_unit="us")
async def cut_and_resume(dut: Any) -> None:
    """A cable out for less than RETRIES x RTO: the link keeps its epochs and goes on; others do not notice."""
    bench = Bench(dut)
    await bench.start(quota=QUOTA, **{**FAST, f"r{REG_RETRIES}": 10})
    await bench.all_up()
    bench.send_some(30)
    await ClockCycles(dut.clk, 120)
    bench.faults.cable(0, 1, whole=False)
    for _ in range(6):
        bench.send(0, 1, bench.rng.randbytes(128))
        bench.send(1, 0, bench.rng.randbytes(128))
    await ClockCycles(dut.clk, 4 * RTO)
    before = len(bench.sinks[2].received)
    bench.send(0, 2, b"over", TYPE_CONTROL)
    await ClockCycles(dut.clk, 300)
    assert len(bench.sinks[2].received) == before + 1, "another peer waits"
    bench.faults.cable(0, 1, whole=True)
    await bench.delivered()
    await bench.settle()
    for n in range(NODES):
        words = bench.words(n)
        assert words[LINK_FAILED] == 0 and words[LINK_RESTARTED] == 0
        assert (words[LINK_EXPIRED] > 0) == (n != 2), f"node {n}: {words[LINK_EXPIRED]} expiries"
    bench.finish(43)


@cocotb.test(timeout_time=1000, timeout_unit="us")
async def dead_peer(dut: Any) -> None:
    """Node 2 never answers: failed within RETRIES x RTO, its messages discarded and counted; others go on; then it comes alive."""
    bench = Bench(dut)
    bench.faults.cable(0, 2, whole=False)
    bench.faults.cable(1, 2, whole=False)
    await bench.start(quota=QUOTA, **FAST)
    await ClockCycles(dut.clk, 200)
    assert (bench.mask("sts_up", 0), bench.mask("sts_up", 1)) == (2, 1)
    lost = 5
    for _ in range(lost):
        bench.send(0, 2, bytes(64), expect=False)
    # node 1 sends it more than its window and the cells hold: what is behind waits until the link has failed
    stuck = 128 + 2
    for _ in range(stuck):
        bench.send(1, 2, bytes(64), expect=False)
    await ClockCycles(dut.clk, 20)
    start = bench.net.cycle
    bench.send(1, 0, bench.rng.randbytes(64))
    took = held = 0
    while not (bench.mask("sts_failed", 0) and held):
        if (bench.net.cycle - start) % 300 == 0 and not bench.mask("sts_failed", 0):
            bench.send(0, 1, bench.rng.randbytes(64))
        await RisingEdge(dut.clk)
        assert bench.net.cycle - start < (RETRIES + 1) * RTO + 300, "not failed in time, or another waits longer"
        if not held and bench.sinks[0].received:
            held = bench.net.cycle - start
            assert bench.mask("sts_failed", 1) == 4, "the window was not full"
        if not bench.mask("sts_failed", 0):
            took = bench.net.cycle - start
    print(f"a message behind a full window of the dead peer was held for {held} cycles")
    print(f"failed after {took} cycles, RETRIES x RTO = {RETRIES * RTO}")
    assert took > (RETRIES - 1) * RTO
    assert bench.mask("sts_failed", 0) == 4 and bench.mask("sts_up", 0) == 2
    bench.send(0, NODES, b"multicast", TYPE_CONTROL, expect=False)
    bench.boards[1].expect((header(0, NODES, bench.number, TYPE_CONTROL), b"multicast"))
    await bench.delivered()
    await bench.settle()
    words = bench.words(0)
    assert words[TX_LOST] == lost + 1 and int(dut.sts_lost0.value) == lost + 1
    assert bench.words(1)[TX_LOST] == stuck and int(dut.sts_lost1.value) == stuck
    assert words[LINK_FAILED] == 1 and words[54] == 4
    bench.faults.cable(0, 2, whole=True)
    bench.faults.cable(1, 2, whole=True)
    await bench.all_up(cycles=3 * RTO)
    assert bench.mask("sts_failed", 0) == 0
    bench.send_some(30)
    await bench.delivered()
    await bench.settle()
    assert bench.words(0)[TX_LOST] == lost + 1
    bench.finish(30)


@cocotb.test(timeout_time=2000, timeout_unit="us")
@cocotb.parametrize(delayed=[0, 1])
async def restart(dut: Any, delayed: int) -> None:
    """Node 1 is reset in mid-traffic: reported once by the others, nothing twice or out of order, losses counted, then all goes on.

    ``delayed`` = 1: old frames of its former life come late.
    """
    faults = Faults(spread=100 * delayed, late=1500, repeat=0.3 * delayed, delay=30)
    bench = Bench(dut, faults)
    await bench.start(quota=QUOTA, **FAST)
    await bench.all_up()
    bench.send_some(20)
    await bench.delivered()
    # traffic whose fate is open: remember what was sent and what came
    sent: dict[tuple[int, int], list[Any]] = {}
    old = [len(sink.received) for sink in bench.sinks]
    for board in bench.boards:
        board.got = lambda item: None  # type: ignore[method-assign]
    for sink in bench.sinks:
        sink._callbacks.clear()
    for _ in range(60):
        source = bench.rng.randrange(NODES)
        target = bench.rng.choice([n for n in range(NODES) if n != source])
        payload = bench.rng.randbytes(64 * bench.rng.choice([1, 2, 16]))
        bench.send(source, target, payload, expect=False)
        sent.setdefault((source, target), []).append((header(source, target, bench.number), payload))
    await ClockCycles(dut.clk, 350)
    await bench.restart(1)
    await bench.all_up(cycles=6 * RTO)
    for _ in range(8000):
        await RisingEdge(dut.clk)
        if all(source.idle for source in bench.sources):
            break
    await bench.settle(8000 if delayed else 2500)
    missing: dict[tuple[int, int], int] = {}
    for (source, target), items in sent.items():
        came = [item for item in bench.sinks[target].received[old[target] :] if item[0].src_kernel == source]
        rest = iter(items)
        assert all(any(item == want for want in rest) for item in came), f"{source} to {target}: twice, out of order or foreign"
        missing[source, target] = len(items) - len(came)
    print(f"missing after the restart, by way: {missing}")
    assert missing.get((0, 2), 0) == 0 and missing.get((2, 0), 0) == 0, "a way that has no part in the restart lost messages"
    for n in (0, 2):
        words = bench.words(n)
        assert words[LINK_RESTARTED] == 1 and words[56] == 2 and int(getattr(dut, f"restarts{n}").value) == 1, f"node {n}: {words[48:58]}"
        # what was sent at least once is discarded: it may have arrived before the reset, never the other way round
        assert words[TX_LOST] >= missing.get((n, 1), 0), f"node {n} counts {words[TX_LOST]} of {missing.get((n, 1), 0)}"
    assert bench.words(1)[LINK_RESTARTED] == 0
    # from now on nothing is lost
    for n, sink in enumerate(bench.sinks):
        bench.boards[n] = type(bench.boards[n])(f"to node {n}", key=lambda item: item[0].src_kernel)
        sink.add_callback(bench.boards[n].got)
    bench.send_some(40)
    await bench.delivered()
    await bench.settle()
    bench.finish(40)


# ------------------------------------------------------------------ strangers


@cocotb.test(timeout_time=400, timeout_unit="us")
async def ping_in_traffic(dut: Any) -> None:
    """A stranger asks for the address and pings while messages flow; replies go out whole, messages are not disturbed."""
    stranger = Station(99, 0x9C_00_BE_EF_12_34, 0x0A_01_FF_FF)
    me = station(0)
    bench = Bench(dut)
    await bench.start(quota=QUOTA, **CALM)
    await bench.all_up()
    replies: list[bytes] = []
    bench.net.watch = lambda source, frame: replies.append(frame) if frame[:6] == stranger.mac.to_bytes(6, "big") and source == 0 else None
    bench.send_some(40)
    wanted = []
    out, back = Ether(dst=me.mac_text, src=stranger.mac_text), Ether(dst=stranger.mac_text, src=me.mac_text)
    for number in range(6):
        if number % 3 == 0:
            ask = Ether(dst="ff:ff:ff:ff:ff:ff", src=out.src) / ARP(op=1, hwsrc=out.src, psrc=stranger.ip_text, pdst=me.ip_text)
            reply = back / ARP(op=2, hwsrc=me.mac_text, psrc=me.ip_text, hwdst=out.src, pdst=stranger.ip_text)
        else:
            payload = random.Random(number).randbytes(160 * number)
            ask = out / IP(src=stranger.ip_text, dst=me.ip_text) / ICMP(id=5, seq=number) / Raw(payload)
            address = IP(src=me.ip_text, dst=stranger.ip_text, id=0, flags="DF", ttl=64)
            reply = back / address / ICMP(type=0, id=5, seq=number) / Raw(payload)
        wanted.append(bytes(reply).ljust(60, b"\0"))
        bench.net.put(99, 0, bytes(ask))
        await ClockCycles(dut.clk, 150)
    await bench.delivered()
    await bench.settle()
    assert replies == wanted
    words = bench.words(0)
    assert words[24:26] == [2, 4] and dropped(words) == [0] * 21 and words[8] == 6
    bench.finish(40)
