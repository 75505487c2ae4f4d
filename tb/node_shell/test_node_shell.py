# SPDX-License-Identifier: Apache-2.0
"""node_shell between a node and 100G MACs: bytes, rates, overload, bad frames, link loss, resets of either side in the middle of frames."""

from __future__ import annotations

import os
import random
from typing import Any

import cocotb
from axis_cdc_fifo.frames import start_clock
from cocotb.triggers import ClockCycles, RisingEdge, Timer, with_timeout
from cocotb.utils import get_sim_time
from node_shell.mac import FEWEST, MOST, Port, line_rate, numbered, settled, start

from floreana_tb import stalls
from floreana_tb.streams import Scoreboard, packet_beats

PORTS = int(os.environ.get("SHELL_PORTS", "1"))
RX_DEPTH = int(os.environ.get("SHELL_RX_DEPTH", "512"))
# clk and mac_clk in ps: 200 MHz; faster than the MAC; nearly the same; the least that is allowed
CLOCKS = {"mhz200": (5000, 3104), "mhz322": (3104, 5000), "drift": (3108, 3104), "mhz110": (9090, 3104)}


def ports(dut: Any, period_ps: int = 3104) -> list[Port]:
    return [Port(dut, f"p{k}", period_ps) for k in range(PORTS)]


def every_length() -> list[int]:
    """Sizes of frames: all numbers of beats, full, with one byte in the last beat, and any between."""
    full = [64 * n for n in range(1, 18)]
    tails = [64 * n + 1 for n in range(1, 17)]
    sizes = [FEWEST, *full, *tails, *(random.randint(FEWEST, MOST) for _ in range(20))]
    random.shuffle(sizes)
    return sizes


async def until(dut: Any, condition: Any, cycles: int = 20_000) -> None:
    for _ in range(cycles):
        if condition():
            return
        await RisingEdge(dut.clk)
    raise AssertionError(f"not reached after {cycles} cycles")


def compare(name: str, got: list[tuple[bytes, int]], expected: list[tuple[bytes, int]]) -> None:
    board = Scoreboard(name)
    for item in expected:
        board.expect(item)
    for item in got:
        board.got(item)
    board.finish(len(expected))


def counts(port: Port) -> tuple[int, int]:
    return int(port.signal("sts_rx_dropped").value), int(port.signal("sts_rx_bad").value)


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(pattern=["none", "both", "random"], clocks=list(CLOCKS))
async def both_ways(dut: Any, pattern: str, clocks: str) -> None:
    """Frames of every length in both directions of all ports at once, some of them bad; each byte as it went in, in order."""
    clk_ps, mac_ps = CLOCKS[clocks]
    all_ports = ports(dut, mac_ps)
    sent: list[list[tuple[bytes, int]]] = []
    received: list[list[tuple[bytes, int]]] = []
    await start(dut, all_ports, clk_ps)

    async def deliver(port: Port, frames: list[tuple[bytes, int]], gaps: Any) -> None:
        for raw, bad in frames:
            await port.deliver(raw, bool(bad), gaps)
            # the wire is slower than the MAC, and the node: the FIFO must not fill
            await ClockCycles(port.clock, 1 + int(len(raw) / 64 * (clk_ps / mac_ps)))

    tasks = []
    for k, port in enumerate(all_ports):
        assert port.signal("sts_link").value == 1 and port.signal("ctl_rx_enable").value == 1
        stall = stalls.PATTERNS[pattern](cocotb.RANDOM_SEED + k)
        port.node.pause(stall)
        port.at_mac.pause(stall)
        sent.append([(numbered(n, size), 0) for n, size in enumerate(every_length())])
        received.append([(numbered(n, size), int(random.random() < 0.3)) for n, size in enumerate(every_length())])
        for raw, _ in sent[k]:
            port.node.send_packet(raw)
        tasks.append(cocotb.start_soon(deliver(port, received[k], stalls.random(k).stalls if pattern != "none" else None)))
    for task in tasks:
        await task
    for k, port in enumerate(all_ports):
        await port.at_mac.wait(len(sent[k]), 3000)
        await port.at_node.wait(len(received[k]), 3000)
        await port.at_mac.wait_quiet(40)
        compare(f"{port.name} node to MAC", port.from_node, sent[k])
        compare(f"{port.name} MAC to node", port.to_node, received[k])
        assert counts(port) == (0, sum(bad for _, bad in received[k]))
        assert port.gaps.frames == len(sent[k])
        if pattern != "none":
            port.at_mac.demand_stalls()


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(beats=[1, 2, 17])
async def the_node_sends_at_full_rate(dut: Any, beats: int) -> None:
    """200 MHz: no beat of the node waits for a MAC that is always ready; and a line of 100 Gb/s is never idle while the node has more."""
    (port, *_) = ports(dut)
    await start(dut, [port])
    count = 340 // beats
    for n in range(count):
        port.node.send_packet(numbered(n, 64 * beats))
    stalled = 0
    edge = RisingEdge(dut.clk)
    while not port.node.idle:
        await edge
        stalled += int(port.signal("mac_tx_tvalid").value == 1 and port.signal("mac_tx_tready").value == 0)
    assert stalled == 0, f"the node waited {stalled} cycles"
    await port.at_mac.wait(count, 3000)

    # 60 % of the line's rate to the MAC: the store fills, and then there is always a whole frame
    port.at_mac.pause(line_rate(port.period_ps * 6 // 10))
    for n in range(count):
        port.node.send_packet(numbered(n, 64 * beats))
    await ClockCycles(dut.clk, 60)
    idle = 0
    edge = RisingEdge(port.clock)
    while not port.node.idle:
        await edge
        idle += int(port.signal("cmac_tx_tready").value == 1 and port.signal("cmac_tx_tvalid").value == 0)
    assert idle == 0, f"the MAC found nothing in {idle} cycles"
    await port.at_mac.wait(2 * count, 3000)
    assert [raw[:4] for raw, _ in port.from_node] == [numbered(n, 64)[:4] for n in range(count)] * 2
    print(f"full rate, {beats} beats: checked {2 * count} equal {2 * count}")


@cocotb.test(timeout_time=100, timeout_unit="us")
async def latency(dut: Any) -> None:
    """Those of the headers, at many phases of the two clocks."""
    (port, *_) = ports(dut)
    await start(dut, [port])
    to_mac, to_node = set(), set()
    for n in range(24):
        sent = port.node.send_packet(numbered(n, 128))
        await sent
        begin = get_sim_time("ps")
        while port.signal("cmac_tx_tvalid").value == 0:
            await RisingEdge(port.clock)
        to_mac.add(int((get_sim_time("ps") - begin) // port.period_ps))
        await port.at_mac.wait(n + 1, 100)
        await ClockCycles(port.clock, n % 3)
        await port.deliver(numbered(n, 128))
        begin = get_sim_time("ps")
        while port.signal("mac_rx_tvalid").value == 0:
            await RisingEdge(dut.clk)
        to_node.add(int((get_sim_time("ps") - begin) // 5000))
        await port.at_node.wait(n + 1, 100)
    # a register that changes at edge n is seen at edge n + 1
    print(f"latency: to the MAC {sorted(to_mac)} edges, to the node {sorted(to_node)}")
    assert to_mac <= {4, 5} and to_node <= {4, 5, 6}


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(size=[60, 64, 128, 192, 1088, 101, 164, 226])
async def a_full_line_is_drained(dut: Any, size: int) -> None:
    """At 100 Gb/s, frames of whole beats and the short ones of the header, back to back: not one is dropped, and few beats wait."""
    (port, *_) = ports(dut)
    await start(dut, [port])
    frames = [numbered(n, size) for n in range(64 * 1200 // max(size, 64))]
    await port.deliver_line(frames)
    await port.at_node.wait(len(frames), 3000)
    compare("a full line", port.to_node, [(raw, 0) for raw in frames])
    assert counts(port) == (0, 0)


def in_order_without_cut(port: Port, offered: list[bytes]) -> int:
    """What came out is some of what went in, in its order, whole. Returns how many."""
    came = port.to_node
    rest = iter(enumerate(offered))
    for raw, bad in came:
        assert bad == 0 and any(raw == other for _, other in rest), f"frame {int.from_bytes(raw[:4], 'big')} was cut, changed or came twice"
    return len(came)


@cocotb.test(timeout_time=400, timeout_unit="us")
async def frames_of_65_bytes_fill_the_store(dut: Any) -> None:
    """The worst size at line rate: the first one is dropped after about as many frames as the header says; then exactly counted."""
    (port, *_) = ports(dut)
    await start(dut, [port])
    frames = [numbered(n, 65) for n in range(RX_DEPTH * 3)]
    await port.deliver_line(frames)
    await port.at_node.wait_quiet(100)
    came = in_order_without_cut(port, frames)
    dropped, _ = counts(port)
    first = next(n for n, (raw, _) in enumerate(port.to_node) if raw != frames[n])
    print(f"65 bytes: {len(frames)} frames, first dropped {first}, dropped {dropped}: checked {came + dropped} equal {len(frames)}")
    assert came + dropped == len(frames) and dropped > 0
    assert abs(first - RX_DEPTH / (2 - 7.12 / 5)) < RX_DEPTH / 20


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(seed=[1, 2])
async def overload(dut: Any, seed: int) -> None:
    """A beat a cycle at 322 MHz: frames are dropped whole, in = out + dropped, and those that follow are whole again."""
    (port, *_) = ports(dut)
    await start(dut, [port])
    rng = random.Random(seed)
    offered: list[bytes] = []
    for _ in range(4):
        begin = len(offered)
        for n in range(90 * RX_DEPTH // 512):
            offered.append(numbered(begin + n, 64 * 160 if rng.random() < 0.01 else rng.randint(FEWEST, MOST)))
            await port.deliver(offered[-1])
        await ClockCycles(dut.clk, rng.randint(0, 300))
    await ClockCycles(dut.clk, RX_DEPTH + 50)
    offered += [numbered(len(offered) + n, size) for n, size in enumerate((60, 1088, 65))]
    for raw in offered[-3:]:
        await port.deliver(raw)
    await port.at_node.wait_quiet(RX_DEPTH + 100)
    came, (dropped, bad) = in_order_without_cut(port, offered), counts(port)
    print(f"overload: {len(offered)} frames, {dropped} dropped: checked {came + dropped} equal {len(offered)}")
    assert came + dropped == len(offered) and bad == 0
    assert dropped > 2 and came > len(offered) // 3
    assert [raw for raw, _ in port.to_node[-3:]] == offered[-3:]


@cocotb.test(timeout_time=100, timeout_unit="us")
async def bring_up(dut: Any) -> None:
    """Remote fault until the receiver is aligned, then frames; what the node sends before that is taken and dropped."""
    (port, *_) = ports(dut)
    await start(dut, [port], aligned=False)
    enable, rfi, link = (port.signal(name) for name in ("ctl_tx_enable", "ctl_tx_send_rfi", "sts_link"))
    assert (int(enable.value), int(rfi.value), int(link.value)) == (0, 1, 0)
    for n in range(80):
        port.node.send_packet(numbered(n, MOST))
    await port.node.wait_idle(80 * 17 + 40)
    assert port.at_mac.beats == 0
    port.signal("stat_rx_aligned").value = 1
    for _ in range(5):
        assert int(enable.value) == 1 - int(rfi.value)
        await RisingEdge(port.clock)
    assert (int(enable.value), int(rfi.value)) == (1, 0)
    await until(dut, lambda: link.value == 1, 8)
    port.node.send_packet(numbered(99, 200))
    await port.at_mac.wait(1, 100)
    assert [raw[:4] for raw, _ in port.from_node] == [numbered(99, 60)[:4]]
    print("bring-up: checked 1 equal 1")


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(seed=[1, 2])
async def link_loss(dut: Any, seed: int) -> None:
    """Alignment goes at any moment: the frame under way is finished before the transmitter is disabled, frames are dropped whole, the node
    never waits for a dead link, nothing old is sent afterwards."""
    (port, *_) = ports(dut)
    await start(dut, [port])
    rng = random.Random(seed)
    enable, link, aligned = (port.signal(name) for name in ("ctl_tx_enable", "sts_link", "stat_rx_aligned"))
    port.at_mac.pause(stalls.random(seed))
    total, checked = 0, 0
    for _ in range(12):
        frames = [numbered(total + n, rng.randint(FEWEST, MOST)) for n in range(40)]
        total += 40
        first = len(port.at_mac.received)
        for raw in frames:
            port.node.send_packet(raw)
        await Timer(rng.randint(50_000, 1_000_000), "ps")
        aligned.value = 0
        await until(dut, lambda: enable.value == 0, 400)
        whole = len(port.at_mac.received)
        await port.node.wait_idle(1500)  # a node with a dead link does not stall: at most 40 frames of 17 beats
        assert len(port.at_mac.received) == whole and link.value == 0
        await ClockCycles(port.clock, rng.randint(10, 200))
        aligned.value = 1
        await until(dut, lambda: link.value == 1, 20)
        await ClockCycles(dut.clk, 30)
        assert len(port.at_mac.received) == whole, "a frame of before the loss was sent"
        came = port.from_node[first:]
        assert came == [(raw, 0) for raw in frames[: len(came)]]
        checked += len(came)
        last = numbered(total, 640)
        port.node.send_packet(last)
        total += 1
        await port.at_mac.wait(whole + 1, 200)
        assert port.from_node[-1] == (last, 0)
    print(f"link loss: checked {checked} equal {checked}")
    assert checked > 20


def whole_or_marked(got: list[tuple[bytes, int]], offered: list[bytes]) -> tuple[int, int]:
    """Good frames are some of those offered, in order, each once; a bad one is a beginning of one, and a beat. Returns both counts."""
    rest = iter(offered)
    good = bad = 0
    for raw, user in got:
        if user == 0:
            assert any(raw == other for other in rest), f"frame {int.from_bytes(raw[:4], 'big')} was cut, changed or came twice"
            good += 1
        else:
            size = (len(raw) - 1) // 64 * 64
            assert any(raw[:size] == other[:size] for other in offered), "a bad frame is no beginning of one"
            bad += 1
    return good, bad


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(side=["node", "mac_tx", "mac_rx", "mac"], clocks=["mhz200", "mhz322"])
async def resets(dut: Any, side: str, clocks: str) -> None:
    """A reset of one side alone at any moment, of any length: no half frame that looks whole on either side, and then all is as before."""
    clk_ps, mac_ps = CLOCKS[clocks]
    (port, *_) = ports(dut, mac_ps)
    await start(dut, [port], clk_ps)
    rng = random.Random(f"{side}{clocks}{cocotb.RANDOM_SEED}")
    marks = [0, 0]
    checked = 0
    gaps = stalls.random(3).stalls
    for n in range(10):
        base = 1000 * n
        out = [numbered(base + k, rng.randint(FEWEST, MOST)) for k in range(16)]
        into = [numbered(base + k, rng.randint(FEWEST, MOST)) for k in range(16)]
        port.at_mac.received.clear()
        port.at_node.received.clear()
        port.at_mac.pause(stalls.both(n) if n % 2 else None)
        for raw in out:
            port.node.send_packet(raw)

        async def arrive(frames: list[bytes] = into) -> None:
            for raw in frames:
                await port.deliver(raw, gaps=gaps)

        task = cocotb.start_soon(arrive())
        await Timer(rng.randint(60_000, 400_000), "ps")
        length = rng.choice((1, 40, 700))
        if side == "node":
            await RisingEdge(dut.clk)
            await Timer(rng.randint(100, clk_ps - 100), "ps")
            dut.arst.value = 1
            await Timer(max(length, 10), "ns")
            dut.arst.value = 0
            await until(dut, lambda: dut.rst.value == 1, 4)
            port.node.abort()
            await until(dut, lambda: dut.rst.value == 0, 100)
        else:
            # the MAC's receiver stops in the middle of a frame and begins anew
            if side != "mac_tx":
                task.cancel()
                port.signal("cmac_rx_tvalid").value = 0
            await port.reset_mac(side != "mac_rx", side != "mac_tx", length)
            if side != "mac_tx" and n % 3:
                more = [numbered(base + 100 + k, 64 * (1 + k % 9)) for k in range(10)]
                into = [*into, *more]
                task = cocotb.start_soon(arrive(more))
        if not task.done() and not task.cancelled():
            await with_timeout(task, 100, "us")
        await port.node.wait_idle(3000)
        await settled(dut)
        await port.at_mac.wait_quiet(60)
        await port.at_node.wait_quiet(60)
        good, bad = whole_or_marked(port.from_node, out)
        marks[0] += bad
        checked += good
        good, bad = whole_or_marked(port.to_node, into)
        marks[1] += bad
        checked += good
        # all is as before
        fresh = [numbered(base + 500 + k, rng.randint(FEWEST, MOST)) for k in range(6)]
        port.at_mac.received.clear()
        port.at_node.received.clear()
        before = counts(port)
        for raw in fresh:
            port.node.send_packet(raw)
            await port.deliver(raw)
        await port.at_mac.wait(6, 1000)
        await port.at_node.wait(6, 1000)
        assert port.from_node == port.to_node == [(raw, 0) for raw in fresh]
        assert counts(port) == before
        checked += 12
    print(f"resets of {side}: cut at the MAC {marks[0]}, at the node {marks[1]}; checked {checked} equal {checked}")
    if side == "node":
        assert marks[0] > 0, "no frame was ever cut at the MAC: the test shows nothing"
    elif side != "mac_tx":
        assert marks[1] > 0, "no frame was ever cut at the node: the test shows nothing"


@cocotb.test(timeout_time=100, timeout_unit="us")
async def a_frame_that_pauses_through_a_reset(dut: Any) -> None:
    """Its rest, which comes long after the reset of the other side, is no frame; the next one is."""
    (port, *_) = ports(dut)
    await start(dut, [port])
    old, new = numbered(1, 320), numbered(2, 320)
    await port.node.send_beats(packet_beats(old, None)[:2])
    await port.reset_mac(True, False, 40)
    await settled(dut)
    port.node.send_beats(packet_beats(old, None)[2:])
    port.node.send_packet(new)
    await port.at_mac.wait(1, 200)
    await port.deliver(old, part=slice(0, 2))
    dut.arst.value = 1
    await Timer(20, "ns")
    dut.arst.value = 0
    await settled(dut)
    await settled(dut)
    await port.deliver(old, part=slice(2, None))
    await port.deliver(new)
    await port.at_node.wait(1, 200)
    await port.at_node.wait_quiet(40)
    assert port.from_node == port.to_node == [(new, 0)]
    assert counts(port) == (1, 0)
    print("pauses: checked 2 equal 2")


@cocotb.test(timeout_time=100, timeout_unit="us")
async def a_dead_clock_does_not_stop_the_node(dut: Any) -> None:
    """The MAC in reset and without a clock: what the node sends is taken and dropped, rst ends."""
    (port, *_) = ports(dut)
    dut.arst.value = 1
    start_clock(dut.clk, 5000)
    await Timer(60, "ns")
    port.watch_node()
    dut.arst.value = 0
    await settled(dut)
    assert dut.rst.value == 0
    for n in range(30):
        port.node.send_packet(numbered(n, MOST))
    await port.node.wait_idle(30 * 17 + 20)
    assert port.at_node.beats == 0
    await port.leave_reset()
    await until(dut, lambda: port.signal("sts_link").value == 1, 200)
    await settled(dut)
    port.node.send_packet(numbered(99, 100))
    await port.deliver(numbered(98, 1000))
    await port.at_mac.wait(1, 200)
    await port.at_node.wait(1, 200)
    print("dead clock: checked 2 equal 2")
