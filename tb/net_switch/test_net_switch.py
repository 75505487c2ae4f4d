# SPDX-License-Identifier: Apache-2.0
"""net_switch: conservation, order, no interleaving, multicast all or nothing, full rate, latency, routing, nobody starves, drops.

SWITCH_PORTS, SWITCH_CELLS, SWITCH_OVERDUE, SWITCH_ETH (mask: NO_RETURN) and SWITCH_CUT say how the unit was built.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from floreana.cluster.layout import TYPE_CONTROL, TYPE_INT8, Header
from floreana_tb import clocks, stalls, streams

PORTS = int(os.environ.get("SWITCH_PORTS", "5"))
CELLS = int(os.environ.get("SWITCH_CELLS", "32"))
OVERDUE = int(os.environ.get("SWITCH_OVERDUE", "9"))
ETH = int(os.environ.get("SWITCH_ETH", "16"))  # mask of ports that never send to themselves
CUT = int(os.environ.get("SWITCH_CUT", "16"))
ALL = (1 << PORTS) - 1
BEATS = 16
HOME, ABROAD = 1, 77  # clusters
GROUP = 64  # kernel GROUP + mask goes to the ports in mask, kernel o < PORTS to port o
NOWHERE = 200  # never written in ROUTE
AWAY = {0: 1, 2: 1 << (PORTS - 1), ABROAD: 1 << PORTS // 2, 255: ALL}  # other clusters: ports; no others are written in ROUTE
WORDS = 8  # counters of a port
LATENCY = 5  # cycles, first beat out after the last beat in (CUT: after the first)
ROOM_DELAY = 3  # cycles from the room that lets a message go to its first beat out, at least
AFTER = 5  # messages that begin at an output after its room has fallen, at most: those under way
NEVER: Iterator[bool] = iter(lambda: False, True)


FULL: dict[int, int] = {}  # in every_address, ROUTE as it is written there: kernels of HOME, then 256 + clusters


def masks(cluster: int, kernel: int, port: int) -> int:
    """Independent statement of the routing rule."""
    if FULL:
        mask = FULL[kernel if cluster == HOME else 256 + cluster]
        return mask & ~(1 << port) if ETH >> port & 1 else mask
    if cluster != HOME:
        mask = AWAY.get(cluster, 0)
    elif kernel < PORTS:
        mask = 1 << kernel
    else:
        mask = kernel - GROUP if GROUP <= kernel < GROUP + ALL + 1 else 0
    return mask & ~(1 << port) if ETH >> port & 1 else mask


@dataclass(frozen=True, slots=True)
class Sent:
    number: int
    port: int
    mask: int
    item: tuple[Header, bytes]


class Bench:
    """A source, a sink and two monitors for each port; each message carries its number, so that deliveries name their origin."""

    def __init__(self, dut: Any, patterns: list[stalls.Pattern], max_beats: int | None = BEATS) -> None:
        self.dut = dut
        ports = range(PORTS)
        self.sources = [streams.MessageSource(dut, f"s{i}_axis", dut.clk, patterns[i]) for i in ports]
        self.sinks = [streams.MessageSink(dut, f"m{i}_axis", dut.clk, patterns[i], callback=self._deliver(i)) for i in ports]
        self.seen = [streams.Monitor(dut, f"s{i}_axis", dut.clk, callback=self._arrive(i), max_beats=max_beats) for i in ports]
        self.config = streams.ConfigBus(dut, dut.clk)
        self.board = streams.Scoreboard("net_switch", key=lambda item: item[0])
        self.beat_bytes = self.sources[0].beat_bytes
        self.arrived: list[list[Sent]] = [[] for _ in ports]  # per input
        self.position: dict[int, int] = {}  # number -> cycle of its last beat in
        self.delivered: list[list[tuple[int, int]]] = [[] for _ in ports]  # per output: (number, cycle of last beat)
        self.drops = [0] * PORTS
        self.count = 0
        dut.id_cluster.value = HOME
        dut.room.value = ALL

    def _arrive(self, port: int) -> Any:
        def callback(item: tuple[Header, bytes]) -> None:
            header, payload = item
            mask = masks(header.dst_cluster, header.dst_kernel, port)
            number = header.row
            self.position[number] = self.seen[port].cycle
            self.arrived[port].append(Sent(number, port, mask, item))
            if mask == 0 or len(payload) > BEATS * self.beat_bytes:
                self.drops[port] += 1
                return
            for out in range(PORTS):
                if mask >> out & 1:
                    self.board.expect(((port, out, mask.bit_count() > 1), item))

        return callback

    def _deliver(self, out: int) -> Any:
        def callback(item: tuple[Header, bytes]) -> None:
            header = item[0]
            self.delivered[out].append((header.row, self.sinks[out].cycle))
            mask = masks(header.dst_cluster, header.dst_kernel, header.src_kernel)
            self.board.got(((header.src_kernel, out, mask.bit_count() > 1), item))

        return callback

    async def start(self) -> None:
        clocks.start_clock(self.dut)
        await clocks.reset(self.dut)
        await self.route()

    async def route(self) -> None:
        for kernel in [*range(PORTS), *range(GROUP, GROUP + ALL + 1)]:
            self.config.write(0, kernel, masks(HOME, kernel, next(p for p in range(8) if not ETH >> p & 1)))
        for cluster, mask in AWAY.items():
            self.config.write(0, 256 + cluster, mask)
        self.config.write(0, 512, ALL)  # beyond the table: written nowhere
        await self.config.write(0, 256 + HOME, ALL)  # never looked up
        await ClockCycles(self.dut.clk, 2)

    def message(self, port: int, kernel: int, beats: float, kind: int = TYPE_INT8, cluster: int = HOME) -> tuple[Header, bytes]:
        number, self.count = self.count, self.count + 1
        header = Header(
            dst_cluster=cluster, dst_kernel=kernel, edge=number & 255, src_cluster=HOME, src_kernel=port, slot=2, generation=3,
            row=number, offset=0, type=kind, last=False,
        )  # fmt: skip
        return header, random.Random(number).randbytes(int(beats * self.beat_bytes))

    def send(self, port: int, kernel: int, beats: float, kind: int = TYPE_INT8, cluster: int = HOME) -> Any:
        return self.sources[port].send(*self.message(port, kernel, beats, kind, cluster))

    def burst(self, port: int, kernels: list[int], sizes: int | list[int]) -> Any:
        """Messages back to back, without the idle cycle that a driver may leave between two sends."""
        beats = []
        for k, kernel in enumerate(kernels):
            header, payload = self.message(port, kernel, sizes if isinstance(sizes, int) else sizes[k])
            beats += streams.packet_beats(payload, header.to_tuser(), self.beat_bytes)
        return self.sources[port].send_beats(beats)

    def counter(self, port: int, word: int) -> int:
        text = self.dut.sts_count.value
        low = 32 * (port * WORDS + word)
        return text[low + 31 : low].to_unsigned()

    async def drain(self, cycles: int = 6000) -> None:
        for source in self.sources:
            await source.wait_idle(cycles)
        quiet = 0
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)
            quiet = 0 if int(self.dut.sts_busy.value) else quiet + 1
            if quiet > 6:
                break
        else:
            raise AssertionError("sts_busy does not fall")
        await ClockCycles(self.dut.clk, 2)

    def finish(self, at_least: int = 1) -> None:
        self.board.finish(at_least)
        for port in range(PORTS):
            arrived = self.arrived[port]
            assert self.counter(port, 0) == len(arrived), f"messages in, port {port}"
            assert self.counter(port, 1) == self.seen[port].beats, f"beats in, port {port}"
            assert self.counter(port, 2) == self.drops[port], f"drops, port {port}"
            assert self.counter(port, 4) == self.seen[port].stalled_cycles, f"cycles refused, port {port}"
            assert self.counter(port, 5) == len(self.delivered[port]), f"messages out, port {port}"
            assert self.counter(port, 6) == self.sinks[port].beats, f"beats out, port {port}"
            assert self.counter(port, 7) == self.sinks[port].stalled_cycles, f"cycles stalled, port {port}"
        assert self.dut.sts_drops.value.to_unsigned() == sum(self.drops)


def patterns(name: str) -> list[stalls.Pattern]:
    return [stalls.PATTERNS[name](cocotb.RANDOM_SEED * PORTS + i) for i in range(PORTS)]


def destination(rng: random.Random) -> tuple[int, int]:
    """Cluster and kernel: mostly unicast, some groups, now and then another cluster or nowhere."""
    pick = rng.random()
    if pick < 0.6:
        return HOME, rng.randrange(PORTS)
    if pick < 0.85:
        return HOME, GROUP + rng.randrange(1, ALL + 1)
    if pick < 0.95:
        return ABROAD, rng.randrange(256)
    return HOME, NOWHERE


async def random_traffic(bench: Bench, messages: int) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    for _ in range(messages):
        for port in range(PORTS):
            cluster, kernel = destination(rng)
            bench.send(port, kernel, rng.choice([1, 1, 2, 3, rng.randint(1, BEATS)]), cluster=cluster)
    await bench.drain()
    bench.finish(messages)


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(pattern=list(stalls.PATTERNS))
async def conservation(dut: Any, pattern: str) -> None:
    """Random traffic: every message once at each of its outputs, whole and unchanged; unicasts of an (input, output) pair in order,
    multicasts too. Under idle and both, sources of CUT inputs dribble."""
    bench = Bench(dut, patterns(pattern))
    await bench.start()
    await random_traffic(bench, 24 if PORTS < 5 else 12)
    if pattern in ("backpressure", "both"):
        bench.sinks[0].demand_stalls()


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(beats=[1, 2, 16])
async def latency(dut: Any, beats: int) -> None:
    """Every (input, output) pair alone on an idle switch: last beat in to last beat out; one cycle more for a multicast."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    checked = 0
    for port in range(PORTS):
        usual = LATENCY + (0 if CUT >> port & 1 else beats - 1)
        for out in range(PORTS):
            bench.send(port, out, beats)
            await bench.drain()
            if masks(HOME, out, port):
                number, cycle = bench.delivered[out][-1]
                assert cycle - bench.position[number] == usual, f"latency {cycle - bench.position[number]} of {port} to {out}"
                checked += 1
        bench.send(port, GROUP + ALL, beats)
        await bench.drain()
        if masks(HOME, GROUP + ALL, port).bit_count() > 1:
            number, cycle = bench.delivered[(port + 1) % PORTS][-1]
            assert cycle - bench.position[number] == usual + 1, f"latency {cycle - bench.position[number]} of a multicast of {port}"
    assert checked == PORTS * PORTS - (ETH & ALL).bit_count()
    bench.finish(checked)
    print(f"latency of {beats} beats: {LATENCY} cycles to the first beat out: checked {checked} equal {checked}")


@cocotb.test(timeout_time=100, timeout_unit="us")
async def parts_of_a_beat(dut: Any) -> None:
    """An empty control message and a part beat keep their tkeep."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    part = 1 / bench.beat_bytes
    for port in range(2):
        for size in (0, 3 * part, 1 + part, 2):
            bench.send(port, 1 - port, size, TYPE_CONTROL)
    await bench.drain()
    bench.finish(8)


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(beats=[1, 2, 16])
async def permutation_rate(dut: Any, beats: int) -> None:
    """All ports at once: no idle cycle between the messages of a port, over several turns."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    count = 6 if beats == 16 else 50
    shift = 1 if PORTS == 2 else 2
    for port in range(PORTS):
        bench.burst(port, [(port + shift) % PORTS] * count, beats)
    await bench.drain()
    bench.finish(PORTS * count)
    for out in range(PORTS):
        cycles = [cycle for _, cycle in bench.delivered[out]]
        assert len(cycles) == count
        worst = max(b - a for a, b in itertools.pairwise(cycles)) - beats
        assert worst == 0, f"output {out}: {worst} idle cycles between messages"
    print(f"permutation of {beats} beats: no idle cycle between messages: checked {PORTS * count} equal {PORTS * count}")


@cocotb.test(timeout_time=100, timeout_unit="us")
async def multicast_is_one_act(dut: Any) -> None:
    """A multicast reaches all its outputs in the same cycles, and does not starve under unicasts to every port."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    for port in range(PORTS - 1):
        bench.burst(port, [(port + k) % PORTS for k in range(40)], 2)
    await ClockCycles(dut.clk, 20)
    start = bench.count
    source = PORTS - 1
    groups = [ALL, ALL, ALL & ~1 | 2, ALL & 5 | 2]
    for mask in groups:
        await bench.send(source, GROUP + mask, 5)
    await bench.drain()
    bench.finish(40)
    worst = 0
    for k, mask in enumerate(groups):
        cycles = {out: cycle for out in range(PORTS) for number, cycle in bench.delivered[out] if number == start + k}
        assert set(cycles) == {out for out in range(PORTS) if masks(HOME, GROUP + mask, source) >> out & 1}
        assert len(set(cycles.values())) == 1, f"multicast {k} left at cycles {cycles}"
        waited = max(cycles.values()) - bench.position[start + k]
        worst = max(worst, waited)
        # those before it in its queue, and for each two messages at most and a turn's end: 16 beats
        assert waited <= (k + 1) * 3 * (BEATS + 8), f"multicast {k} waited {waited} cycles"
    print(f"longest wait of a multicast: {worst} cycles")


@cocotb.test(timeout_time=200, timeout_unit="us")
async def multicast_storm(dut: Any) -> None:
    """Every input sends multicasts of overlapping groups at once, while unicasts go on: no deadlock, all delivered."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    rng = random.Random(cocotb.RANDOM_SEED)
    groups = [mask for mask in range(1, ALL + 1) if mask.bit_count() > 1]
    for port in range(PORTS):
        kernels = [GROUP + rng.choice(groups) if rng.random() < 0.8 else rng.randrange(PORTS) for _ in range(30)]
        bench.burst(port, kernels, [rng.choice([1, 2, 5]) for _ in kernels])
    await bench.drain()
    bench.finish(30)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def a_late_message_holds_its_output(dut: Any) -> None:
    """Inputs 0 and 1 keep outputs 1 and 0 busy, half a message apart: whenever one of the two falls free the other does not. A message from
    input 0 to output 0 would wait until all is over, but for the lane."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    for out in (0, 1):
        bench.sinks[out].pause(NEVER)
    bench.burst(1, [0] * 40, BEATS)
    bench.burst(0, [1] * 5, BEATS)
    await ClockCycles(dut.clk, 6 * BEATS)
    bench.sinks[0].pause(None)
    await ClockCycles(dut.clk, BEATS // 2)
    bench.sinks[1].pause(None)
    late = bench.count
    bench.burst(0, [0] + [1] * 35, BEATS)
    await bench.drain()
    bench.finish(81)
    waited = dict(bench.delivered[0])[late] - bench.position[late]
    # late after two ticks, found in one circle, then what runs and what was promised, then itself
    most = 2 ** (OVERDUE + 1) + PORTS * PORTS + 4 * BEATS + 16
    print(f"the late message waited {waited} cycles of at most {most}")
    assert waited <= most


@cocotb.test(timeout_time=100, timeout_unit="us")
async def a_dribbling_source_holds_only_its_output(dut: Any) -> None:
    """A CUT input sends a message with long gaps: its output waits for it, others are at full rate, nothing is lost or mixed. A store
    and forward input that dribbles holds nobody."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    slow = PORTS - 1
    bench.sources[slow].pause(iter(itertools.cycle([True] * 19 + [False])))
    bench.send(slow, 0, 8)
    await ClockCycles(dut.clk, 60)
    bench.burst(1 if PORTS > 2 else 0, [0] * 2, 4)
    quick = bench.burst(0, [1] * 20, 2)
    await quick
    done = len(bench.delivered[1])
    await bench.drain()
    bench.finish(23)
    assert done >= 16, f"only {done} messages of output 1 left while input {slow} dribbled"
    order = [number for number, _ in bench.delivered[0]]
    assert (order[0] == 0) == bool(CUT >> slow & 1), f"order at output 0: {order}"


class Rooms:
    """Drives room and records it with the first beats of messages, cycle by cycle."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.dut = bench, bench.dut
        self.seen: list[int] = []  # room in each cycle
        self.want: Iterator[int] = itertools.repeat(ALL)
        self.came: dict[int, int] = {}  # number -> cycle of its first beat in
        self.went: list[dict[int, int]] = [{} for _ in range(PORTS)]  # per output: the same of its first beat out
        self.most = 0  # messages begun in one gap of room
        self.task = cocotb.start_soon(self._run())

    async def _run(self) -> None:
        dut = self.dut
        sides = [(way, port, *(getattr(dut, f"{way}{port}_axis_{name}") for name in ("tvalid", "tready", "tlast", "tuser")))
                 for way in "sm" for port in range(PORTS)]  # fmt: skip
        inside = dict.fromkeys([(side[0], side[1]) for side in sides], False)
        after = [0] * PORTS
        edge = RisingEdge(dut.clk)
        while True:
            await edge
            room, cycle = int(dut.room.value), len(self.seen)
            self.seen.append(room)
            dut.room.value = next(self.want)
            after = [0 if room >> o & 1 else after[o] for o in range(PORTS)]
            for way, port, valid, ready, last, user in sides:
                if not int(valid.value) or not int(ready.value):
                    continue
                if not inside[way, port]:
                    number = Header.from_tuser(int(user.value)).row
                    if way == "s":
                        self.came[number] = cycle
                    else:
                        self.went[port][number] = cycle
                        if not room >> port & 1:
                            after[port] += 1
                            self.most = max(self.most, after[port])
                            assert after[port] <= AFTER, f"output {port}: message {after[port]} began after its room fell"
                inside[way, port] = not int(last.value)

    def check(self) -> int:
        """Every message began only after a cycle in which all its outputs had room: not before it came, nor before the third of its kind
        before it (two wait in the pipeline) had begun."""
        checked = 0
        for port in range(PORTS):
            before: dict[int, list[int]] = {}
            for sent in self.bench.arrived[port]:
                if not sent.mask:
                    continue
                starts = {self.went[out][sent.number] for out in range(PORTS) if sent.mask >> out & 1}
                assert len(starts) == 1, f"message {sent.number} began at cycles {sorted(starts)}"
                (start,) = starts
                kind = sent.mask if sent.mask.bit_count() == 1 else 0
                ours = before.setdefault(kind, [])
                since = max(self.came[sent.number], ours[-3] if len(ours) > 2 else 0)
                had = any(room & sent.mask == sent.mask for room in self.seen[since : start - ROOM_DELAY + 1])
                assert had, f"message {sent.number} to {sent.mask:#x} began in cycle {start}: never room since {since}"
                ours.append(start)
                checked += 1
        return checked


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(longest=[3, 12, 90])
async def room_is_kept(dut: Any, longest: int) -> None:
    """Rooms rise and fall at random: a message begins only when all its outputs had room, only those under way begin after it has fallen,
    all that was sent arrives, in order."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    rng = random.Random(cocotb.RANDOM_SEED + longest)

    def wander() -> Iterator[int]:
        room, until = ALL, [0] * PORTS
        for cycle in itertools.count():
            for out in range(PORTS):
                if until[out] <= cycle:
                    room ^= 1 << out
                    until[out] = cycle + rng.randint(1, longest)
            yield room

    rooms = Rooms(bench)
    rooms.want = wander()
    count = 40 if PORTS < 5 else 20
    for port in range(PORTS):
        kernels = [rng.randrange(PORTS) if rng.random() < 0.75 else GROUP + rng.randrange(1, ALL + 1) for _ in range(count)]
        bench.burst(port, kernels, [1 if rng.random() < 0.6 else rng.randint(1, 6) for _ in kernels])
    await bench.drain(20000)
    bench.finish(count)
    checked = rooms.check()
    rooms.task.cancel()
    print(f"{rooms.most} messages began after the room fell, at most {AFTER}: checked {checked} equal {checked}")


@cocotb.test(timeout_time=200, timeout_unit="us")
async def a_multicast_without_room_holds_nobody(dut: Any) -> None:
    """Outputs 0 and 1 have room by turns, never both: a multicast to both does not begin, unicasts to either go on; then it goes. One that
    is in the lane, waiting for output 1, when the room of output 0 falls, gives way to unicasts to 1."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    rooms = Rooms(bench)
    rooms.want = itertools.cycle([1] * 30 + [ALL & ~3] * 10 + [2] * 30 + [0] * 10)
    await ClockCycles(dut.clk, 45)
    source = 2 % PORTS
    group = bench.count
    bench.send(source, GROUP + 3, 3)
    await ClockCycles(dut.clk, 20)
    count = 12
    for port in (0, 1):
        bench.burst(port, [1 - port] * count, 2)
    await ClockCycles(dut.clk, 40 * count)
    assert [len(went) for went in rooms.went[:2]] == [count, count], "unicasts waited for a multicast without room"
    assert group not in rooms.went[0]
    rooms.want = itertools.repeat(ALL)
    await bench.drain()
    assert group in rooms.went[0]
    # input 1 sends a long message to output 1 and more behind it; the multicast comes while it runs
    before = len(rooms.went[1])
    bench.burst(1, [1] * 5, [BEATS, 1, 1, 1, 1])
    await ClockCycles(dut.clk, (3 if CUT >> 1 & 1 else BEATS) + 6)
    group = bench.count
    bench.send(source if source != 1 else 0, GROUP + 3, 1)
    await ClockCycles(dut.clk, 9)
    assert len(rooms.went[1]) == before + 1 and bench.sinks[1].beats, "the long message does not run"
    rooms.want = itertools.repeat(ALL & ~1)
    await ClockCycles(dut.clk, 60)
    assert len(rooms.went[1]) == before + 5, "unicasts waited for a multicast without room in the lane"
    assert group not in rooms.went[0]
    rooms.want = itertools.repeat(ALL)
    await bench.drain()
    bench.finish(2 * count + 9)
    assert rooms.check() == 2 * count + 7
    rooms.task.cancel()


@cocotb.test(timeout_time=200, timeout_unit="us")
async def a_turn_ends_without_room(dut: Any) -> None:
    """Two inputs send runs of short messages to output 0, whose room falls for a while, again and again: AFTER begin at most."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    rooms = Rooms(bench)
    rooms.want = itertools.cycle([ALL] * 23 + [ALL & ~1] * 40)
    count = 40
    for port in (0, 1):
        bench.burst(port, [0] * count, 1)
    await bench.drain()
    sent = count * (1 + (masks(HOME, 0, 0) != 0))
    bench.finish(sent)
    assert rooms.check() == sent
    assert rooms.most > 0, "no message began after the room had fallen"
    rooms.task.cancel()
    print(f"{rooms.most} messages began after the room fell, at most {AFTER}: checked {sent} equal {sent}")


@cocotb.test(timeout_time=100, timeout_unit="us")
async def cells_run_out_between_messages(dut: Any) -> None:
    """All outputs blocked: inputs fill up to their last cell, never refusing a beat inside a message; then all drains."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    for sink in bench.sinks:
        sink.pause(NEVER)
    inside: list[str] = []

    async def watch(port: int) -> None:
        valid, ready = getattr(dut, f"s{port}_axis_tvalid"), getattr(dut, f"s{port}_axis_tready")
        last, middle = getattr(dut, f"s{port}_axis_tlast"), False
        while True:
            await RisingEdge(dut.clk)
            if int(valid.value):
                if middle and not int(ready.value):
                    inside.append(f"port {port}")
                if int(ready.value):
                    middle = not int(last.value)

    tasks = [cocotb.start_soon(watch(port)) for port in range(PORTS)]
    for port in range(PORTS):
        # each output takes two beats of a message into its register: that message still holds its cell (4 beats)
        bench.burst(port, [(port + 1) % PORTS] * (CELLS + 3), 4)
    await ClockCycles(dut.clk, 4 * (CELLS + 3) + 40)
    for port in range(PORTS):
        assert bench.counter(port, 0) == CELLS, f"port {port} took {bench.counter(port, 0)} messages into {CELLS} cells"
        assert bench.counter(port, 3) == CELLS, f"peak of port {port}"
        assert bench.counter(port, 4) > 0
    for sink in bench.sinks:
        sink.pause(None)
    await bench.drain()
    for task in tasks:
        task.cancel()
    assert not inside, f"tready fell inside a message: {inside[:3]}"
    bench.finish(PORTS * (CELLS + 3))


@cocotb.test(timeout_time=100, timeout_unit="us")
async def too_long_is_swallowed(dut: Any) -> None:
    """Messages of 17 and 33 beats are dropped and counted; the next ones pass. (Cut short at CUT inputs, which promise not to.)"""
    bench = Bench(dut, patterns("none"), max_beats=None)
    await bench.start()
    stored = [port for port in range(PORTS) if not CUT >> port & 1]
    for port in stored:
        for beats in (17, 1, 33, 16, 3):
            bench.send(port, 0, beats)
        bench.send(port, NOWHERE, 1)
        bench.send(port, 1, 1)
    await bench.drain()
    bench.finish(4 * len(stored))
    assert bench.drops == [3 if port in stored else 0 for port in range(PORTS)]
    for port in range(PORTS):
        if CUT >> port & 1:
            before = bench.sinks[0].beats
            bench.sources[port].send(*bench.message(port, 0, 20))
            await bench.drain()
            assert bench.sinks[0].beats == before + BEATS
            assert bench.counter(port, 2) == 1
            break


@cocotb.test(timeout_time=100, timeout_unit="us")
async def drops_give_their_cells_back(dut: Any) -> None:
    """Runs of messages that go nowhere, one beat each, between others: no cell is lost."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    rng = random.Random(cocotb.RANDOM_SEED)
    for port in range(PORTS):
        kernels = [NOWHERE if rng.random() < 0.7 else rng.randrange(PORTS) for _ in range(6 * CELLS + 20)]
        bench.burst(port, kernels, [rng.choice([1, 1, 1, 2]) for _ in kernels])
    await bench.drain()
    for port in range(PORTS):
        bench.burst(port, [(port + 1) % PORTS] * (CELLS + 3), 1)
    await bench.drain()
    bench.finish(PORTS * (CELLS + 3))


@cocotb.test(timeout_time=100, timeout_unit="us")
async def foreign_clusters(dut: Any) -> None:
    """A message to another cluster goes by the entry of that cluster whatever its kernel number, or nowhere; not by its own."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    for cluster in (0, 2, ABROAD, HOME ^ 0x80, 255):
        for port in range(PORTS):
            for kernel in (0, GROUP + ALL, NOWHERE, 255):
                bench.send(port, kernel, 1, cluster=cluster)
    for port in range(PORTS):
        bench.send(port, port ^ 1 if port ^ 1 < PORTS else 0, 1)
    await bench.drain()
    bench.finish(10)
    assert all(count >= 4 for count in bench.drops), "messages to cluster HOME ^ 0x80"


@cocotb.test(timeout_time=200, timeout_unit="us")
async def every_address(dut: Any) -> None:
    """All 512 entries of ROUTE at random, then a message to every kernel of the own cluster and to a kernel of every other cluster."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    rng = random.Random(cocotb.RANDOM_SEED)
    FULL.update((index, rng.randrange(1, ALL + 1)) for index in range(512))
    try:
        order = list(range(512))
        rng.shuffle(order)
        for index in order:
            last = bench.config.write(0, index, FULL[index])
        await last
        await ClockCycles(dut.clk, 2)
        targets = [(HOME, kernel) for kernel in range(256)]
        targets += [(cluster, rng.choice([0, 1, 223, 224, 253, 254, 255])) for cluster in range(256) if cluster != HOME]
        rng.shuffle(targets)
        for place, (cluster, kernel) in enumerate(targets):
            bench.send(place % PORTS, kernel, 1, cluster=cluster)
        await bench.drain(20000)
        bench.finish(500)
        assert sum(map(len, bench.arrived)) == len(targets) == 511
    finally:
        FULL.clear()


@cocotb.test(timeout_time=100, timeout_unit="us")
async def reset_in_mid_message(dut: Any) -> None:
    """Reset while messages are half in and half out: nothing of them appears afterwards, ROUTE is empty until it is written again."""
    bench = Bench(dut, patterns("none"))
    await bench.start()
    for port in range(PORTS):
        bench.burst(port, [k % PORTS for k in range(4)], 8)
    await ClockCycles(dut.clk, 25)
    for source in bench.sources:
        source.abort()
    await clocks.reset(dut)
    bench.board.forget()
    before = [sink.beats for sink in bench.sinks]
    await ClockCycles(dut.clk, 60)
    assert [sink.beats for sink in bench.sinks] == before
    for port in range(PORTS):
        for cluster in (HOME, ABROAD):
            bench.sources[port].send(*bench.message(port, 1, 1, cluster=cluster))
    await bench.drain()
    assert [bench.counter(port, 2) for port in range(PORTS)] == [2] * PORTS, "dropped: no route"
    assert [sink.beats for sink in bench.sinks] == before
    bench.board.forget()
    await bench.route()
    for port in range(PORTS):
        bench.send(port, GROUP + ALL, 5)
    await bench.drain()
    bench.board.finish(PORTS)
