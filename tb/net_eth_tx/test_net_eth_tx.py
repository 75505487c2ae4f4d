# SPDX-License-Identifier: Apache-2.0
"""net_eth_tx: frames byte by byte, windows, credits, go-back, resets and failures of links, control frames, rate and latency in cycles."""

from __future__ import annotations

import itertools
import random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from net_eth_tx.tx_bench import (
    ACK,
    CELLS,
    CLUSTER,
    HELLO,
    HELLO_ACK,
    IP,
    MAC,
    NACK,
    PEERS_N,
    WINDOW_N,
    Bench,
    Peer,
    header,
    ip_of,
    mac_of,
)
from scapy.layers import inet
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from floreana.cluster.layout import TYPE_CONTROL
from floreana_tb import clocks, stalls, streams

FIRST, LAST = 0, PEERS_N - 1
KNOWN = [n for n in range(PEERS_N) if PEERS_N == 2 or n % 4 != 2]  # the others are strangers
ALL = sum(1 << n for n in KNOWN)
EVERY = (1 << PEERS_N) - 1
ONE, OTHER, BOTH, SOME, MANY, STRANGE = 1, 223, 224, 253, 127, 254
MASKS = {
    ONE: 1 << FIRST, OTHER: 1 << LAST, BOTH: 1 << FIRST | 1 << LAST, SOME: ALL, MANY: EVERY,
    STRANGE: EVERY & ~ALL, 255: 1 << FIRST, 256 + 0: 1 << LAST, 256 + 255: ALL, 256 + CLUSTER: EVERY,
}  # fmt: skip
NOWHERE = 99


def acknowledges(bench: Bench, credit: int = 200, every: int = 1) -> None:
    """Peers that take everything and acknowledge every frame at once."""

    def on_data(peer: Peer, number: int, old: bool) -> None:
        bench.take(peer, number, old)
        if not old and number % every == every - 1:
            bench.acknowledge(peer.node, peer.expected, credit)

    bench.on_data = on_data


def mac_text(value: int) -> str:
    return ":".join(f"{byte:02x}" for byte in value.to_bytes(6, "big"))


def ip_text(value: int) -> str:
    return ".".join(str(byte) for byte in value.to_bytes(4, "big"))


@cocotb.test(timeout_time=400, timeout_unit="us")
async def every_payload_length(dut: Any) -> None:
    """Control messages of 0 to 130 bytes and around 1,024; headers as scapy writes them too."""
    bench = Bench(dut, stalls.none(), KNOWN, MASKS)
    acknowledges(bench)
    await bench.start()
    for size in [*range(131), *range(1020, 1025)]:
        bench.source.send(header(OTHER, size, TYPE_CONTROL), random.Random(size).randbytes(size))
    await bench.drain()
    for packet in bench.sink.received:
        raw = packet.payload
        oracle = (
            Ether(dst=mac_text(mac_of(LAST)), src=mac_text(MAC), type=0x0800)
            / inet.IP(src=ip_text(IP), dst=ip_text(ip_of(LAST)), ttl=64, id=0, flags="DF", tos=0)
            / inet.UDP(sport=17996, dport=17996, chksum=0)
            / Raw(raw[42:])
        )
        assert bytes(oracle) == raw
    bench.finish(136)
    assert bench.peers[LAST].delivered == 136


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(pattern=list(stalls.PATTERNS))
async def messages_of_all_kinds(dut: Any, pattern: str) -> None:
    """Unicast, multicast, strangers, another cluster, nowhere, malformed; all acknowledged at once."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED), KNOWN, MASKS, max_beats=None)
    acknowledges(bench)
    await bench.start()
    for number in range(40):
        kernel = rng.choice([ONE, OTHER, BOTH, SOME, MANY, STRANGE, NOWHERE, 255])
        cluster = CLUSTER if rng.random() < 0.8 else rng.choice([0, 255, 128])
        if rng.random() < 0.3:
            size = rng.choice([0, 1, 63, 64, 65, 1000, 1023])
            bench.source.send(header(kernel, number, TYPE_CONTROL, cluster), rng.randbytes(size))
        elif rng.random() < 0.2:
            bench.source.send(header(kernel, number, cluster=cluster), rng.randbytes(rng.choice([0, 17 * 64, 40 * 64])))
        else:
            bench.source.send(header(kernel, number, cluster=cluster), rng.randbytes(64 * rng.choice([1, 2, 5, 15, 16])))
    await bench.drain()
    bench.finish(20)
    assert bench.count["malformed"] > 0
    assert bench.count["no_node"] > 0
    if PEERS_N > 2:
        assert bench.skipped > 0
    if pattern in ("backpressure", "both"):
        bench.sink.demand_stalls()


# ------------------------------------------------------------------------------------------------------------ rate and latency


@cocotb.test(timeout_time=200, timeout_unit="us")
async def latency(dut: Any) -> None:
    """Last beat in -> header at the MAC 9 cycles; acknowledgement -> frame it allows 14; due -> control frame 7."""
    bench = Bench(dut, stalls.none(), KNOWN, MASKS)
    await bench.start(credit=1)
    for beats in (4, 1):
        bench.source.send(header(ONE, beats), bytes(64 * beats))
        before = len(bench.sink.arrival)
        await bench.sink.wait(before + 1, 100)
        assert bench.seen.last_cycle is not None
        delay = bench.sink.arrival[-1] - beats - bench.seen.last_cycle
        if beats == 4:
            print(f"last beat in to header out: {delay} cycles")
            assert delay == 9
            bench.source.send(header(ONE, 9), bytes(64))
            await ClockCycles(dut.clk, 20)
            assert len(bench.sink.arrival) == 1  # no credit
            assert int(dut.waiting.value) == 1 << FIRST
            start = bench.sink.cycle
            bench.acknowledge(FIRST, 1, 1)
            await bench.sink.wait(2, 100)
            print(f"acknowledgement to frame: {bench.sink.arrival[-1] - 1 - start - 1} cycles")
            assert bench.sink.arrival[-1] - 1 - start - 1 <= 14
            bench.acknowledge(FIRST, 2, 1)
            await ClockCycles(dut.clk, 20)
        else:
            assert delay == 9
    bench.acknowledge(FIRST, 3, 1)
    await bench.quiet()
    start = bench.sink.cycle
    bench.raise_due(ACK, LAST)
    before = len(bench.sink.arrival)
    await bench.sink.wait(before + 1, 100)
    print(f"due to control frame: {bench.sink.arrival[-1] - start} cycles")
    assert bench.sink.arrival[-1] - start <= 7
    await bench.quiet()
    bench.finish(4)


async def rate(dut: Any, kernels: list[int], beats: int, messages: int, period: int) -> list[int]:
    """Arrival of the last beats of frames of messages that never run out."""
    bench = Bench(dut, stalls.none(), KNOWN, MASKS)
    acknowledges(bench, 250, every=min(WINDOW_N, CELLS) // 2 or 1)
    await bench.start(credit=250)
    data = []
    for number in range(messages):
        data += streams.packet_beats(random.Random(number).randbytes(64 * beats), header(kernels[number % len(kernels)], number).to_tuser())
    bench.source.send_beats(data)
    for _ in range(messages * (beats + 1)):  # acknowledgements without news, and what is not for us
        await ClockCycles(dut.clk, 2)
        node = bench.rng.choice(KNOWN)
        bench.events.append((node, ACK, bench.peers[node].acked, 200, bench.rng.random() < 0.5))
    for node in KNOWN:
        bench.acknowledge(node, bench.peers[node].top, 250)
    await bench.drain()
    for node in KNOWN:
        bench.acknowledge(node, bench.peers[node].top, 250)
    await bench.drain()
    bench.finish(messages)
    gaps = [b - a for a, b in itertools.pairwise(bench.sink.arrival)]
    assert len(gaps) >= messages - 1
    print(f"{len(gaps)} gaps, {sum(gap != period for gap in gaps)} of them not {period} cycles: {sum(gaps)} cycles")
    return gaps


@cocotb.test(timeout_time=400, timeout_unit="us")
async def long_frames_at_full_rate(dut: Any) -> None:
    """1,024-byte messages to two peers in turn: 16 of 17 beats are payload, acknowledgements coming in all the time."""
    gaps = await rate(dut, [ONE, OTHER], 16, 40, 17)
    assert gaps == [17] * 39


@cocotb.test(timeout_time=400, timeout_unit="us")
async def one_peer_at_full_rate(dut: Any) -> None:
    gaps = await rate(dut, [ONE], 16, 30, 17)
    assert gaps == [17] * 29


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(kernel=[ONE, SOME])
async def short_frames_back_to_back(dut: Any, kernel: int) -> None:
    """Waiting messages of one beat, to one peer and to many: two cycles a frame."""
    bench = Bench(dut, stalls.none(), KNOWN, MASKS)
    await bench.start(credit=0)
    number = min(CELLS, WINDOW_N)
    for k in range(number):
        bench.source.send(header(kernel, k), bytes([k] * 64))
    await ClockCycles(dut.clk, 40 + number * PEERS_N)
    assert bench.sink.arrival == []
    for node in KNOWN:
        bench.acknowledge(node, 0, 255)
    frames = number * (1 if kernel == ONE else len(KNOWN))
    await bench.sink.wait(frames, 3 * frames + 1000)
    gaps = [b - a for a, b in itertools.pairwise(bench.sink.arrival)]
    print(f"gaps of short frames: {gaps}")
    assert gaps == [2] * (frames - 1)
    for node in KNOWN:
        bench.acknowledge(node, bench.peers[node].top, 255)
    await bench.quiet()
    bench.finish(frames)


@cocotb.test(timeout_time=400, timeout_unit="us")
async def empty_frames_every_cycle(dut: Any) -> None:
    """Waiting control messages without payload: a frame a cycle where no acknowledgement comes."""
    bench = Bench(dut, stalls.none(), KNOWN, MASKS)
    await bench.start(credit=0)
    number = min(CELLS, WINDOW_N)
    for k in range(number):
        bench.source.send(header(ONE, k, TYPE_CONTROL), b"")
    await ClockCycles(dut.clk, 60 + number)
    bench.acknowledge(FIRST, 0, 255)
    await bench.sink.wait(number, 4000)
    assert [b - a for a, b in itertools.pairwise(bench.sink.arrival)] == [1] * (number - 1)
    bench.acknowledge(FIRST, number, 255)
    await bench.quiet()
    bench.finish(number)


# ------------------------------------------------------------------------------------------------------------ window, credit, cells


@cocotb.test(timeout_time=400, timeout_unit="us")
async def credit_is_kept(dut: Any) -> None:
    """Never more than allowed; the limit only grows; acknowledgements behind, beyond or of wrong epochs change nothing."""
    bench = Bench(dut, stalls.none(), KNOWN, MASKS)
    await bench.start(credit=0)
    number = min(6, WINDOW_N, CELLS)
    for k in range(number):
        bench.source.send(header(ONE, k), bytes([k] * 128))
    await ClockCycles(dut.clk, 60)
    wrong = [(1, 200), (5, 255), (1 << 23, 255), ((1 << 24) - 1, 255), ((1 << 24) - 3, 8)]
    for ack, credit in wrong:
        bench.events.append((FIRST, ACK, ack, credit, True))
        bench.events.append((FIRST, NACK, ack, credit, True))
    bench.events.append((FIRST, ACK, 0, 255, False))
    await ClockCycles(dut.clk, 60)
    assert bench.sink.received == []
    assert bench.progress == []
    for limit in range(1, number + 1):
        acked = max(0, limit - 2)
        bench.acknowledge(FIRST, acked, limit - acked)
        await ClockCycles(dut.clk, 40)
        for ack, credit in (*wrong[1:], (max(0, acked - 1), 255) if acked else wrong[1]):
            bench.events.append((FIRST, ACK, ack + limit if ack < 1 << 23 and ack else ack, credit, True))
        bench.acknowledge(FIRST, acked, 0)  # less than before
        await ClockCycles(dut.clk, 40)
        assert len(bench.sink.received) == limit
        assert int(dut.waiting.value) == (1 << FIRST if limit < number else 0)
        assert int(dut.outstanding.value) == 1 << FIRST
    bench.acknowledge(FIRST, number, 0)
    await bench.quiet()
    assert bench.progress == [FIRST] * (number + 1)
    bench.finish(number)


@cocotb.test(timeout_time=600, timeout_unit="us")
async def full_window_holds_and_failure_frees(dut: Any) -> None:
    """A silent peer: its window fills, the next message waits and holds what is behind; when it is failed all goes on."""
    bench = Bench(dut, stalls.none(), KNOWN, MASKS)
    acknowledges(bench)
    silent = bench.peers[FIRST]
    inner = bench.on_data

    def on_data(peer: Peer, number: int, old: bool) -> None:
        if peer is not silent:
            inner(peer, number, old)

    bench.on_data = on_data
    await bench.start()
    fits = min(WINDOW_N, CELLS)
    for k in range(fits):
        bench.source.send(header(ONE, k), bytes([k] * 64))
    await ClockCycles(dut.clk, 60 + 4 * fits)
    assert len(bench.sink.received) == fits
    behind = max(2, min(6, CELLS - 1))
    bench.source.send(header(BOTH, 100), bytes(64))
    for k in range(behind):
        bench.source.send(header(OTHER, 101 + k), bytes([k] * 64))
    await ClockCycles(dut.clk, 100)
    assert len(bench.sink.received) == fits  # the other peer waits too
    # control frames go on
    for kind in (ACK, NACK, HELLO, HELLO_ACK):
        bench.raise_due(kind, FIRST)
        bench.raise_due(kind, LAST)
    await ClockCycles(dut.clk, 60)
    assert not any(bench.due.values())
    controls = len(bench.sink.received) - fits
    assert controls == 6  # an acknowledgement rode on another frame
    bench.reset_link(FIRST, failed=True)
    await bench.drain()
    assert len(bench.sink.received) - fits - controls == behind + 1
    assert bench.peers[LAST].delivered == behind + 1
    # failed: messages are discarded, control frames are not
    for k in range(5):
        bench.source.send(header(BOTH, 200 + k), bytes([k] * 64))
    bench.raise_due(HELLO, FIRST)
    await bench.drain()
    assert bench.counts()["discarded"] == fits + 1 + 5
    # up again: numbers begin at 0
    bench.on_data = inner
    bench.link_up(FIRST, 4)
    await ClockCycles(dut.clk, 20)
    for k in range(3):
        bench.source.send(header(ONE, 300 + k), bytes([k] * 64))
    await bench.drain()
    assert bench.peers[FIRST].top == 3
    bench.finish(fits)
    assert bench.counts()["discarded"] == fits + 1 + 5


@cocotb.test(timeout_time=600, timeout_unit="us")
async def slow_peer_holds_others_for_its_pace(dut: Any) -> None:
    """A peer that takes a message every 200 cycles, its window full: a message for another, behind one for it, waits that long."""
    pace, pairs = 200, 12
    bench = Bench(dut, stalls.none(), KNOWN, MASKS)
    acknowledges(bench)
    slow, inner = bench.peers[FIRST], bench.on_data
    done: list[int] = []  # cycles in which the other peer got a message

    def on_data(peer: Peer, number: int, old: bool) -> None:
        if peer is slow:
            bench.take(peer, number, old)
            return
        inner(peer, number, old)
        done.append(bench.cycle)

    def on_cycle() -> None:
        if bench.cycle % pace == 0 and slow.acked < slow.expected:
            bench.acknowledge(FIRST, slow.acked + 1, 200)

    bench.on_data, bench.on_cycle = on_data, on_cycle
    await bench.start()
    fits = min(WINDOW_N, CELLS)
    for k in range(fits):
        bench.source.send(header(ONE, k), bytes([k & 255] * 64))
    for k in range(pairs):
        bench.source.send(header(ONE, k), bytes([k] * 64))
        bench.source.send(header(OTHER, k), bytes([k] * 128))
    await bench.source.wait_idle()
    for _ in range((pairs + 2) * 2 * pace):
        await RisingEdge(dut.clk)
        if len(done) == pairs:
            break
    gaps = [b - a for a, b in itertools.pairwise(done)]
    # where all cells are the slow peer's, the message for the other waits for one too
    turns = 1 if CELLS > WINDOW_N else 2
    print(f"a slow peer, {pace} cycles a message: another's messages after {gaps} cycles")
    assert len(done) == pairs
    assert max(gaps) <= turns * pace + 40
    assert max(gaps) >= pace - 40, "the window was not full"
    bench.on_cycle = None
    bench.acknowledge(FIRST, slow.top, 200)
    bench.on_data = inner
    await bench.drain()
    bench.finish(fits + 2 * pairs)


@cocotb.test(timeout_time=600, timeout_unit="us")
async def cells_run_out_and_come_back(dut: Any) -> None:
    """No link is up: messages fill the cells, tready falls, nothing is lost."""
    bench = Bench(dut, stalls.none(), KNOWN, MASKS)
    acknowledges(bench)
    await bench.start(up=False)
    number = CELLS + 5
    for k in range(number):
        bench.source.send(header(ONE if k % 2 else OTHER, k), bytes([k & 255] * 64))
    await ClockCycles(dut.clk, 2 * number + 50)
    assert bench.count["messages"] == CELLS
    assert bench.counts()["peak"] == CELLS
    assert bench.sink.received == []
    assert int(dut.waiting.value) == (1 << FIRST | 1 << LAST)
    for node in KNOWN:
        bench.link_up(node, 200)
    await bench.drain()
    bench.finish(number)


@cocotb.test(timeout_time=800, timeout_unit="us")
async def room_falls_in_time(dut: Any) -> None:
    """s_axis_room: falls with the message that leaves 7 cells (with the first, where there are 8 or fewer), rises when 8 are free again. A
    source that begins at most 7 messages more is never refused, however messages are acknowledged."""
    bench = Bench(dut, stalls.none(), KNOWN, MASKS)
    await bench.start(credit=0)
    level = max(CELLS - 8, 0)
    after = min(7, CELLS - 1)
    await ClockCycles(dut.clk, 10)
    assert int(dut.room.value) == 1
    fall: list[int] = []  # messages in when room had fallen

    def watch() -> None:
        if not int(dut.room.value) and not fall:
            fall.append(bench.count["messages"])

    bench.on_cycle = watch
    # one by one, so that the message that made it fall is known: two cycles after its last beat
    number = 0
    while number <= level:
        assert int(dut.room.value) == 1, f"no room with {number} of {CELLS} cells in use"
        await bench.source.send(header(ONE if number % 2 else OTHER, number), bytes([number & 255] * 64))
        number += 1
        await ClockCycles(dut.clk, 3)
    assert int(dut.room.value) == 0, f"room with {number} of {CELLS} cells in use"
    assert fall == [level + 1]
    for _ in range(after):
        bench.source.send(header(ONE if number % 2 else OTHER, number), bytes([number & 255] * 64))
        number += 1
    await bench.source.wait_idle()
    assert bench.count["refused"] == 0, "tready fell while room was obeyed"
    assert bench.count["messages"] == number == min(level + 8, CELLS)
    acknowledges(bench)
    for node in KNOWN:
        bench.acknowledge(node, 0, 200)
    await bench.drain()
    assert int(dut.room.value) == 1
    # at random: while there is room messages of any size, after it has fallen 7 more, then none
    rng = random.Random(cocotb.RANDOM_SEED)
    sent = min(150, 3 * CELLS + 40)
    fell = 0
    for _ in range(sent):
        while True:
            if int(dut.room.value):
                fell = 0
                break
            if fell < after - 1:  # one may be counted when it has begun
                fell += 1
                break
            await RisingEdge(dut.clk)
        await bench.source.send(
            header(rng.choice([ONE, OTHER, BOTH, SOME]), number), bytes([number & 255] * 64 * rng.choice([1, 1, 1, 2, 4]))
        )
        number += 1
    await bench.drain()
    assert bench.count["refused"] == 0, "tready fell while room was obeyed"
    bench.finish(number)
    print(f"room fell at {level + 1} of {CELLS} cells: checked {number} equal {number}")


# ------------------------------------------------------------------------------------------------------------ go-back, reset


@cocotb.test(timeout_time=600, timeout_unit="us")
async def go_back(dut: Any) -> None:
    """Nack and timer send again from the oldest; an acknowledgement that comes meanwhile moves on."""
    bench = Bench(dut, stalls.none(), KNOWN, MASKS)
    await bench.start()
    number = min(8, WINDOW_N, CELLS)
    for k in range(number):
        bench.source.send(header(BOTH, k), bytes([k] * 1024))
    both = 2 * number
    await bench.sink.wait(both, 2000)
    await ClockCycles(dut.clk, 30)
    numbers: list[int] = []
    bench.on_data = lambda peer, n, old: numbers.append(n) if peer.node == FIRST else None
    bench.acknowledge(FIRST, 1, 200, NACK)
    await ClockCycles(dut.clk, 400)
    if number == 8:  # few at a time: 4, and two that follow before this is seen
        assert numbers == list(range(1, 7))
        bench.acknowledge(FIRST, 2, 200)  # twice as many
        await ClockCycles(dut.clk, 200)
    assert numbers == list(range(1, number))
    # the timer: from the oldest again, and an acknowledgement of all but one while the second of them is on its way
    oldest = numbers[1] if number == 8 else 1
    numbers.clear()
    before = len(bench.sink.received)
    bench.gobacks.append(FIRST)
    await bench.sink.wait(before + 1, 2000)
    bench.acknowledge(FIRST, number - 1, 200)
    await ClockCycles(dut.clk, 200)
    assert numbers[0] == oldest
    assert numbers == sorted(numbers)
    assert numbers[-1] == number - 1
    if number == 8:
        assert numbers == [2, 3, 4, 5, 7]  # four were on their way
    # a nack of everything frees everything and sends nothing
    numbers.clear()
    bench.acknowledge(FIRST, number, 200, NACK)
    bench.acknowledge(LAST, number, 200)
    await bench.quiet()
    assert numbers == []
    assert bench.counts()["back"] == 1
    bench.finish(both)


@cocotb.test(timeout_time=800, timeout_unit="us")
async def peer_restarts(dut: Any) -> None:
    """Reset at every phase of a stream: what was sent is discarded, what never was goes out with numbers from 0."""
    bench = Bench(dut, stalls.random(3), KNOWN, MASKS)
    acknowledges(bench)
    await bench.start()
    for phase in range(40):
        count = min(4, WINDOW_N, CELLS)
        for k in range(count):
            bench.source.send(header(BOTH, 10 * phase + k), bytes([k] * 64 * (1 + phase % 3)))
        await ClockCycles(dut.clk, 4 + phase)
        # no acknowledgement of this peer is under way at a reset: what is discarded is then known
        bench.on_data = None
        await ClockCycles(dut.clk, 30)
        bench.reset_link(FIRST)
        await ClockCycles(dut.clk, 30)
        acknowledges(bench)
        bench.link_up(FIRST, 3)
        for node in KNOWN:
            peer = bench.peers[node]
            if peer.seen == peer.epoch and peer.top:
                peer.expected = peer.top
                bench.acknowledge(node, peer.top, 200)
        await bench.drain()
    bench.finish(100)
    assert bench.peers[FIRST].epoch == 40
    assert bench.counts()["discarded"] > 0


@cocotb.test(timeout_time=800, timeout_unit="us")
async def reset_against_acknowledgement(dut: Any) -> None:
    """An acknowledgement of the old epochs up to 12 cycles before the reset or just after it: it counts or not, what follows is right."""
    for early in range(13):
        bench = Bench(dut, stalls.none(), KNOWN, MASKS)
        await bench.start()
        number = min(3, WINDOW_N, CELLS)
        for k in range(number):
            bench.source.send(header(ONE, k), bytes([k] * 64))
        await bench.sink.wait(number, 2000)
        await ClockCycles(dut.clk, 20)
        if early < 12:
            bench.acknowledge(FIRST, number, 255, NACK if early % 2 else ACK)
        await ClockCycles(dut.clk, early)
        bench.reset_link(FIRST, failed=early % 3 == 0)
        if early == 12:
            await ClockCycles(dut.clk, 1)
            bench.events.appendleft((FIRST, ACK, number, 255, True))  # in the cycle after: beyond what was sent
        await ClockCycles(dut.clk, 30)
        lost = bench.counts()["discarded"]
        assert lost in {0, number}
        bench.peers[FIRST].gone = number - lost
        bench.link_up(FIRST, 1)
        bench.source.send(header(ONE, 50), bytes(64))
        bench.source.send(header(ONE, 51), bytes(64))
        await ClockCycles(dut.clk, 40)
        assert bench.peers[FIRST].top == 1  # one is allowed
        acknowledges(bench)
        bench.peers[FIRST].expected = 1
        bench.acknowledge(FIRST, 1, 1)
        await bench.drain()
        assert bench.peers[FIRST].top == 2
        bench.finish(number + 2)
        for handle in (bench.sink, bench.seen):
            handle.kill()


@cocotb.test(timeout_time=400, timeout_unit="us")
async def cell_is_not_written_while_it_is_read(dut: Any) -> None:
    """A frame is on its way again, slowly, when all is acknowledged: new messages must not get its cell before its last beat."""
    bench = Bench(dut, stalls.none(), KNOWN, MASKS)
    await bench.start()
    other = min(WINDOW_N, CELLS // 2)
    for turn in range(3):
        for k in range(CELLS - other):  # all cells are in use
            bench.source.send(header(ONE, k), bytes([k] * 1024))
        for k in range(other):
            bench.source.send(header(OTHER, k), bytes([k] * 1024))
        await bench.source.wait_idle()
        await bench.sink.wait_quiet(40)
        again = bench.counts()["again"]
        bench.gobacks.append(FIRST)
        bench.sink.pause(itertools.cycle([True] + [False] * 15))
        await ClockCycles(dut.clk, 40)
        bench.acknowledge(FIRST, bench.peers[FIRST].top, 200)
        for k in range(2 * CELLS):  # the queue of this peer is full: its messages wait in their cells
            bench.source.send(header(OTHER, k), bytes([0x80 + k & 255] * 1024))
        await ClockCycles(dut.clk, 40 * CELLS)
        bench.sink.pause(None)
        acknowledges(bench)
        for node in (FIRST, LAST):
            bench.peers[node].expected = bench.peers[node].top
            bench.acknowledge(node, bench.peers[node].top, 200)
        await bench.drain()
        bench.on_data = None
        assert bench.counts()["again"] > again, turn
    bench.finish(6 * CELLS)


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(numbers=[True, False])
async def numbers_wrap(dut: Any, numbers: bool) -> None:
    """Positions, and with them the sequence numbers or not, pass 2^24. The tables are set from outside: only Icarus allows it."""
    bench = Bench(dut, stalls.none(), KNOWN, MASKS)
    await bench.start(up=False)
    start = (1 << 24) - 3
    base = 0 if numbers else start
    window, queue = dut.u_tx.u_window, dut.u_tx.u_queue
    short = start % (2 * WINDOW_N)
    for table, value in (
        (window.u_una_ack, start << 10 | start % 1024), (window.u_una_flag, short << 8 | start % 256), (window.u_una_reset, start % 128),
        (window.u_una, short), (window.u_limit_send, start % 256),
        (window.u_next_ack, start), (window.u_next_send, start), (window.u_next_flag, start % 256),
        (window.u_base, base), (window.u_base_ack, base),
        (window.u_tail, start), (window.u_tail_put, start), (window.u_tail_send, short), (window.u_tail_flag, short),
        (window.u_top, start), (window.u_top_sent, short), (window.u_top_ack, short), (window.u_top_flag, short),
        (queue.u_gone_put, ~(start - 1) % WINDOW_N), (queue.u_gone_release, short),
    ):  # fmt: skip
        table.g_bank[0].u_mem.mem[FIRST].value = value
        table.written_reg.value = 1 << FIRST
    await ClockCycles(dut.clk, 2)
    peer = bench.peers[FIRST]
    first = start if numbers else 0
    peer.base, peer.top, peer.before, peer.acked, peer.limit, peer.expected = -first, first, first - 1, first, first, first
    acknowledges(bench, 3)
    bench.link_up(FIRST, 0)
    bench.acknowledge(FIRST, first, 2)
    for k in range(12):
        bench.source.send(header(ONE, k), bytes([k] * 64))
    await ClockCycles(dut.clk, 60)
    await bench.drain()
    assert peer.top == first + 12
    bench.finish(12)


# ------------------------------------------------------------------------------------------------------------ control frames


@cocotb.test(timeout_time=400, timeout_unit="us")
async def control_frames_come_first(dut: Any) -> None:
    """Behind at most the frame already begun, hello-ack, hello, nack, ack in this order; the responder before them."""
    bench = Bench(dut, stalls.none(), KNOWN, MASKS)
    acknowledges(bench)
    await bench.start()
    for k in range(min(4, CELLS, WINDOW_N)):
        bench.source.send(header(ONE, k), bytes([k] * 1024))
    await bench.sink.wait(1, 200)
    await ClockCycles(dut.clk, 3)
    before = len(bench.sink.received)
    for kind in (ACK, NACK, HELLO, HELLO_ACK):
        bench.raise_due(kind, LAST)
    bench.reply(300)
    await bench.drain()
    kinds = [p.payload[42] & 31 if p.payload[12:14] == b"\x08\x00" else -1 for p in bench.sink.received[before:]]
    assert kinds[:3] == [0, -1, HELLO_ACK]
    assert [kind for kind in kinds if kind > 0] == [HELLO_ACK, HELLO, NACK]
    assert bench.count["acks"] == 0
    # all peers at once, nothing else to do: one frame a cycle in a round
    before = len(bench.sink.received)
    for node in KNOWN:
        bench.raise_due(ACK, node)
    await bench.quiet()
    arrival = bench.sink.arrival[before:]
    assert len(arrival) == len(KNOWN)
    assert arrival[-1] - arrival[0] <= len(KNOWN) + 10
    bench.finish(4)


@cocotb.test(timeout_time=400, timeout_unit="us")
async def nothing_to_strangers(dut: Any) -> None:
    """Due bits of a peer that PEER does not know are not served."""
    bench = Bench(dut, stalls.none(), KNOWN[:1], MASKS)
    await bench.start()
    dut.hello_due.value = EVERY & ~1
    dut.ack_due.value = EVERY & ~1
    await ClockCycles(dut.clk, 60)
    dut.hello_due.value = 0
    dut.ack_due.value = 0
    assert bench.sink.received == []
    bench.source.send(header(MANY, 1), bytes(64))
    acknowledges(bench)
    await bench.drain()
    assert bench.counts()["discarded"] == PEERS_N - 1
    bench.finish(1)


# ------------------------------------------------------------------------------------------------------------ all together


class Network:
    """Peers behind a bad network: frames and acknowledgements get lost, credit comes late, links restart and fail."""

    def __init__(self, bench: Bench, rng: random.Random, trouble: bool) -> None:
        self.bench, self.rng, self.trouble = bench, rng, trouble
        self.quiet_until = dict.fromkeys(bench.nodes, 0)  # nothing is said for a peer until then
        self.plan: dict[int, list[tuple[str, int]]] = {}
        self.loss = 0.1
        self.resets = self.failures = 0
        bench.on_data = self.data
        bench.on_cycle = self.step

    def data(self, peer: Peer, number: int, old: bool) -> None:
        if old or self.rng.random() < self.loss:
            return
        if number == peer.expected:
            if peer.held >= peer.quota:
                raise AssertionError("a frame beyond the credit")
            peer.held += 1
            peer.gap = False
            self.bench.take(peer, number, old)
        elif number < peer.expected:
            peer.owes = True
        elif not peer.gap:
            peer.gap = True
            self.say(peer, NACK)

    def say(self, peer: Peer, kind: int) -> None:
        if self.bench.cycle < self.quiet_until[peer.node] or not self.bench.up >> peer.node & 1:
            peer.gap = False
            return
        if self.rng.random() >= self.loss:
            self.bench.acknowledge(peer.node, peer.expected, peer.quota - peer.held, kind)
        peer.owes = False

    def step(self) -> None:
        bench, rng = self.bench, self.rng
        now = bench.cycle
        for action, node in self.plan.pop(now, []):
            if action == "up":
                bench.link_up(node, 0)
                bench.peers[node].owes = True
            else:
                bench.reset_link(node, failed=action == "fail")
        if bench.events:
            return
        peer = bench.peers[rng.choice(bench.nodes)]
        node = peer.node
        if peer.held and rng.random() < 0.5:
            peer.held -= 1
            peer.owes = True
        if peer.owes and rng.random() < 0.4:
            self.say(peer, ACK)
        dice = rng.random()
        if dice < 0.02:
            bench.events.append((node, rng.choice([ACK, NACK]), rng.randrange(1 << 24), rng.randrange(256), False))
        elif dice < 0.03 and not bench.events and now - peer.news > 80 and now >= self.quiet_until[node] and bench.up >> node & 1:
            false = rng.choice([peer.top + rng.randint(8, 5000), peer.acked - rng.randint(1, 9), peer.top + (1 << 23)])
            bench.events.append((node, rng.choice([ACK, NACK]), false, 255, True))
            self.quiet_until[node] = max(self.quiet_until[node], now + 2)
        elif dice < 0.05:
            bench.set_table("expected", node, rng.randrange(1 << 24))
            bench.set_table("credit", node, rng.randrange(256))
            bench.raise_due(ACK, node)
        elif dice < 0.055:
            bench.raise_due(rng.choice([NACK, HELLO, HELLO_ACK]), node)
        elif dice < 0.06:
            bench.reply(rng.randint(64, 400))
        elif dice < 0.065 and now - peer.news > 120:
            if int(bench.dut.outstanding.value) >> node & 1:
                bench.gobacks.append(node)
            peer.owes = True
        elif dice < 0.067 and self.trouble and now > self.quiet_until[node] and bench.up >> node & 1:
            action = rng.choice(["restart", "restart", "fail"])
            self.resets += action == "restart"
            self.failures += action == "fail"
            self.plan.setdefault(now + 120, []).append((action, node))
            back = now + 121 + rng.randint(1, 200)
            self.plan.setdefault(back, []).append(("up", node))
            self.quiet_until[node] = back


@cocotb.test(timeout_time=3000, timeout_unit="us")
@cocotb.parametrize((("pattern", "trouble"), [("none", True), ("both", False), ("random", True)]))
async def bad_network(dut: Any, pattern: str, trouble: bool) -> None:
    rng = random.Random(f"{cocotb.RANDOM_SEED} {pattern} {trouble}")
    bench = Bench(dut, stalls.PATTERNS[pattern](cocotb.RANDOM_SEED), KNOWN, MASKS)
    network = Network(bench, rng, trouble)
    await bench.start(credit=0)
    for peer in bench.peers.values():
        peer.quota = rng.choice([1, 4, 8, 32, 32])
        peer.owes = True
    for number in range(80):
        kernel = rng.choice([ONE, OTHER, BOTH, SOME, MANY, ONE])
        if rng.random() < 0.2:
            bench.source.send(header(kernel, number, TYPE_CONTROL), rng.randbytes(rng.choice([0, 8, 65])))
        else:
            bench.source.send(header(kernel, number), rng.randbytes(64 * rng.choice([1, 1, 2, 16])))
    await bench.source.wait_idle(200000)
    if trouble:  # many cells take all messages at once: then the trouble is still to come
        await ClockCycles(dut.clk, 3000)
    network.trouble = False
    network.loss = 0.02
    for _ in range(100000):
        await RisingEdge(dut.clk)
        if not network.plan and not int(dut.sts_busy.value):
            break
    bench.on_cycle = None
    await bench.quiet()
    assert len(bench.replies) == 0
    print(f"bad network: {network.resets} restarts, {network.failures} failures, {bench.counts()}")
    bench.finish(80)
    if trouble:
        assert network.resets > 0
        assert network.failures > 0
    else:
        for peer in bench.peers.values():
            assert peer.delivered == len(peer.messages)


@cocotb.test(timeout_time=400, timeout_unit="us")
async def reset_in_mid_frame(dut: Any) -> None:
    bench = Bench(dut, stalls.backpressure(5), KNOWN, MASKS)
    await bench.start()
    for k in range(min(4, CELLS)):
        bench.source.send(header(BOTH, k), bytes([k] * 1024))
    bench.reply(200)
    await ClockCycles(dut.clk, 61)
    bench.source.abort()
    bench.responder.abort()
    for handle in (bench.sink, bench.seen):
        handle.kill()
    await clocks.reset(dut)
    again = Bench(dut, stalls.none(), KNOWN, MASKS)
    acknowledges(again)
    await again.start()
    for k in range(12):
        again.source.send(header(SOME, k), bytes([k] * 128))
    await again.drain()
    again.finish(12)
