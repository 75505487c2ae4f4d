# SPDX-License-Identifier: Apache-2.0
"""net_link: the epoch rules against a model in every cycle, hello, expiries, failure, in cycles."""

from __future__ import annotations

import itertools
import os
import random
from dataclasses import dataclass, field
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from floreana.host.frame import newer
from floreana_tb import clocks, streams

PEERS_N = int(os.environ.get("LINK_PEERS", "8"))
DATA, ACK, NACK, HELLO, HELLO_ACK = range(5)
RTO, RETRIES, KEEP = 1, 2, 3
ROUND = 2 * PEERS_N  # cycles between two visits to a peer
SLACK = 8  # registers, and the cycle in which the bench looks
VALID = 1 << 80
Event = tuple[int, int, int, int, int, int, int]  # peer, type, epochs, acknowledged, credit, right
NODE = PEERS_N - 1


@dataclass(slots=True)
class State:
    """Registers of the design, by section 4 of docs/transport.md."""

    mine: list[int] = field(default_factory=lambda: [0] * PEERS_N)
    theirs: list[int] = field(default_factory=lambda: [0] * PEERS_N)
    up: int = 0
    hello: int = 0
    helloack: int = 0
    reset: int | None = None
    restarted: int = 0
    right: bool | None = None
    event: Event | None = None

    def step(self, event: Event | None, sent: tuple[int, int] | None) -> None:
        self.reset, self.restarted, self.right, self.event = None, 0, None, event
        if sent is not None:
            kind, node = sent
            if kind == HELLO:
                self.hello &= ~(1 << node)
            if kind == HELLO_ACK:
                self.helloack &= ~(1 << node)
        if event is None:
            return
        node, kind, e, a, _, _, rx_right = event
        bit = 1 << node
        changed = False
        if kind in (HELLO, HELLO_ACK):
            if newer(e, self.theirs[node]):
                self.restarted = bit if self.theirs[node] else 0
                self.theirs[node] = e
                changed = True
            if kind == HELLO_ACK and e in (0, self.theirs[node]) and (self.mine[node] == 0 or newer(a, self.mine[node])):
                self.mine[node] = a + 1 if a < 255 else 1
                changed = True
            if changed:
                self.reset = node
                self.up &= ~bit
        self.right = e != 0 and a != 0 and e == self.theirs[node] and a == self.mine[node]
        if kind not in (HELLO, HELLO_ACK):
            self.right = self.right and bool(rx_right)
        if self.right and not self.up & bit:
            self.up |= bit
            self.hello &= ~bit
        if kind == HELLO:
            self.helloack |= bit
        if changed and self.mine[node] and not self.up & bit:
            self.hello |= bit


class Bench:
    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.config = streams.ConfigBus(dut, dut.clk)
        self.resets: list[tuple[int, int]] = []
        self.gobacks: list[tuple[int, int]] = []
        self.hellos: list[tuple[int, int]] = []
        self.helloacks: list[tuple[int, int]] = []
        self.cycle = 0
        for name in (
            "ev_valid", "ev_peer", "ev_type", "ev_epoch", "ev_ack_epoch", "ev_ack", "ev_credit", "ev_right", "lk_peer", "lk_hd_peer",
            "hd_sent",
            "hd_sent_peer", "hd_sent_type", "outstanding", "waiting", "progress_valid", "progress_peer",
        ):  # fmt: skip
            getattr(dut, name).value = 0

    async def start(self, rto: int, retries: int = 3, keep: int = 0, known: bool = True) -> None:
        clocks.start_clock(self.dut)
        await clocks.reset(self.dut)
        cocotb.start_soon(self._watch())
        last = None
        for index, value in ((RTO, rto), (RETRIES, retries), (KEEP, keep)):
            last = self.config.write(2, index, value)
        assert last is not None
        await last
        if known:
            await self.config.write(1, NODE, VALID)
        await ClockCycles(self.dut.clk, 1)

    async def _watch(self) -> None:
        """Control frames leave at once, like from an idle port."""
        dut, edge = self.dut, RisingEdge(self.dut.clk)
        while True:
            await edge
            self.cycle += 1
            if int(dut.link_reset.value):
                self.resets.append((self.cycle, int(dut.link_reset_peer.value)))
            if int(dut.goback_valid.value):
                self.gobacks.append((self.cycle, int(dut.goback_peer.value)))
            sending = int(dut.hd_sent.value)
            dut.hd_sent.value = 0
            if sending:
                continue
            for due, kind, seen in ((dut.helloack_due, HELLO_ACK, self.helloacks), (dut.hello_due, HELLO, self.hellos)):
                value = int(due.value)
                if value:
                    node = value.bit_length() - 1
                    seen.append((self.cycle, node))
                    dut.hd_sent.value, dut.hd_sent_peer.value, dut.hd_sent_type.value = 1, node, kind
                    break

    async def event(self, node: int, kind: int, e: int, a: int) -> None:
        dut = self.dut
        dut.ev_valid.value, dut.ev_peer.value, dut.ev_type.value = 1, node, kind
        dut.ev_epoch.value, dut.ev_ack_epoch.value, dut.ev_right.value = e, a, 1
        await RisingEdge(dut.clk)
        dut.ev_valid.value = 0

    async def make_up(self, node: int = NODE, e: int = 7) -> int:
        """A peer that knows nothing of us: hello-ack, then hello."""
        await self.event(node, HELLO_ACK, e, 0)
        await self.event(node, HELLO, e, 1)
        await ClockCycles(self.dut.clk, 6)
        assert int(self.dut.up.value) >> node & 1
        return self.cycle

    async def progress(self, node: int = NODE) -> int:
        self.dut.progress_valid.value, self.dut.progress_peer.value = 1, node
        await RisingEdge(self.dut.clk)
        self.dut.progress_valid.value = 0
        return self.cycle

    def epochs(self, node: int) -> tuple[int, int]:
        assert int(self.dut.lk_peer.value) == node
        return int(self.dut.lk_mine.value), int(self.dut.lk_theirs.value)

    def counts(self) -> list[int]:
        value = self.dut.sts_count.value.to_unsigned()
        return [value >> 32 * k & 0xFFFFFFFF for k in range(4)]


def within(start: int, time: int, got: int, early: int = 0, rounds: int = 2) -> None:
    """What began at ``start`` is seen at the next visit and ends at the first visit after its time: up to two rounds late for each time."""
    least, most = time - early, time + rounds * ROUND + SLACK
    assert least <= got - start <= most, f"{got - start} cycles, not {least} to {most}"


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def rules_in_every_cycle(dut: Any) -> None:
    """Random events back to back; every output of the rules in every cycle."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut)
    clocks.start_clock(dut)
    await clocks.reset(dut)
    await bench.config.write(2, RTO, (1 << 24) - 1)
    await bench.config.write(2, KEEP, 0)
    await ClockCycles(dut.clk, 3)
    state = State()
    events: list[Event | None] = [None] * 4
    sents: list[tuple[int, int] | None] = [None] * 4
    asked = [0, 0]
    before = 0  # lk_peer is answered one cycle later
    checked = restarts = hellos = rights = resets = 0
    for _ in range(4000):
        await RisingEdge(dut.clk)
        state.step(events[-3], sents[-2])
        got = (
            int(dut.up.value), int(dut.hello_due.value), int(dut.helloack_due.value), int(dut.restarted.value),
            int(dut.link_reset_peer.value) if int(dut.link_reset.value) else None,
            int(dut.lk_mine.value), int(dut.lk_theirs.value), int(dut.lk_hd_mine.value), int(dut.lk_hd_theirs.value),
            int(dut.discard.value),
        )  # fmt: skip
        assert got == (
            state.up, state.hello, state.helloack, state.restarted, state.reset,
            state.mine[before], state.theirs[before], state.mine[asked[1]], state.theirs[asked[1]], 0,
        )  # fmt: skip
        assert int(dut.lk_ev_valid.value) == (state.event is not None)
        if state.event is not None:
            node, kind, _, _, number, credit, _ = state.event
            assert int(dut.lk_ev_right.value) == bool(state.right)
            assert (int(dut.lk_ev_peer.value), int(dut.lk_ev_ack.value), int(dut.lk_ev_credit.value)) == (node, number, credit)
            assert (int(dut.lk_ev_type.value) == NACK) == (kind == NACK)
            rights += bool(state.right)
        restarts += state.restarted != 0
        hellos += state.event is not None and state.event[1] == HELLO
        resets += state.reset is not None
        checked += 1
        event: Event | None = None
        if rng.random() < 0.7:
            node = rng.randrange(PEERS_N)
            mine, theirs = state.mine[node], state.theirs[node]
            e = rng.choice(
                [theirs, theirs, theirs, (theirs + rng.choice([1, 2, 126, 127, 128, 254, 253])) % 256, 0, rng.randrange(256), 255, 1]
            )
            a = rng.choice([mine, mine, mine, mine, (mine + rng.choice([1, 127, 128, 254])) % 256, 0, rng.randrange(256), 255])
            kind = rng.choice([DATA, ACK, NACK, HELLO, HELLO_ACK])
            event = (node, kind, e, a, rng.randrange(1 << 24), rng.randrange(256), int(rng.random() < 0.9))
            for name, value in zip(("peer", "type", "epoch", "ack_epoch", "ack", "credit", "right"), event, strict=True):
                getattr(dut, f"ev_{name}").value = value
        dut.ev_valid.value = int(event is not None)
        sent = (rng.choice([DATA, HELLO, HELLO_ACK]), rng.randrange(PEERS_N)) if rng.random() < 0.3 else None
        dut.hd_sent.value = int(sent is not None)
        if sent is not None:
            dut.hd_sent_type.value, dut.hd_sent_peer.value = sent
        before = asked[0]
        asked = [rng.randrange(PEERS_N), rng.randrange(PEERS_N)]
        dut.lk_peer.value, dut.lk_hd_peer.value = asked
        events.append(event)
        sents.append(sent)
    print(f"net_link: checked {checked} equal {checked}: {rights} right, {resets} resets, {restarts} restarts")
    await RisingEdge(dut.clk)
    dut.ev_valid.value = 0
    await ClockCycles(dut.clk, 6)
    assert min(rights, resets, restarts) > 100
    for left in events[-3:]:  # still in the pipeline at the end of the loop
        hellos += left is not None and left[1] == HELLO
        state.step(left, None)
        restarts += state.restarted != 0
    assert bench.counts() == [0, 0, restarts, hellos]


@cocotb.test(timeout_time=200, timeout_unit="us")
async def meeting(dut: Any) -> None:
    """Both nodes start at the same time; then the peer restarts; a replayed hello changes nothing."""
    bench = Bench(dut)
    await bench.start(rto=100000)
    await ClockCycles(dut.clk, 6)
    assert bench.hellos == [(bench.hellos[0][0], NODE)]  # at once, and once
    dut.lk_peer.value = NODE
    await bench.event(NODE, HELLO, 0, 0)
    await ClockCycles(dut.clk, 6)
    assert len(bench.helloacks) == 1
    assert bench.epochs(NODE) == (0, 0)
    await bench.event(NODE, HELLO_ACK, 0, 0)  # the peer's answer to our hello: it knows no epoch of ours
    await ClockCycles(dut.clk, 6)
    assert bench.epochs(NODE) == (1, 0)
    assert len(bench.hellos) == 2
    await bench.event(NODE, HELLO, 1, 1)
    await ClockCycles(dut.clk, 6)
    assert bench.epochs(NODE) == (1, 1)
    assert int(dut.up.value) == 1 << NODE
    resets = len(bench.resets)
    await bench.event(NODE, HELLO, 0, 0)  # the peer has restarted
    await ClockCycles(dut.clk, 6)
    assert int(dut.up.value) == 1 << NODE
    await bench.event(NODE, HELLO, 2, 1)  # and took the next epoch
    await ClockCycles(dut.clk, 6)
    assert int(dut.up.value) == 1 << NODE
    assert len(bench.resets) == resets + 1
    assert bench.epochs(NODE) == (1, 2)
    for e, a in ((1, 1), (1, 0), (0, 0)):
        await bench.event(NODE, HELLO, e, a)
        await bench.event(NODE, HELLO_ACK, e, a)
    await ClockCycles(dut.clk, 6)
    assert bench.epochs(NODE) == (1, 2)
    assert len(bench.resets) == resets + 1
    assert int(dut.up.value) == 1 << NODE
    assert bench.counts() == [0, 0, 1, 7]


@cocotb.test(timeout_time=400, timeout_unit="us")
async def hello_until_up(dut: Any) -> None:
    """A known peer that is not up: hello at once and every RTO; nobody else; it is no failure while no message waits."""
    bench = Bench(dut)
    await bench.start(rto=300)
    await ClockCycles(dut.clk, 300 * 12)
    times = [t for t, node in bench.hellos if node == NODE]
    assert len(times) == len(bench.hellos)
    assert len(times) >= 3600 // (300 + 2 * ROUND + SLACK)
    for a, b in itertools.pairwise(times):
        within(a, 300, b, early=ROUND + SLACK if a == times[0] else SLACK)
    assert bench.counts() == [0, 0, 0, 0]
    await bench.make_up()
    before = len(bench.hellos)
    await ClockCycles(dut.clk, 2000)
    assert len(bench.hellos) == before
    await bench.config.write(1, NODE, 0)
    await ClockCycles(dut.clk, 1000)
    assert len(bench.hellos) == before


@cocotb.test(timeout_time=400, timeout_unit="us")
async def expiries_and_failure(dut: Any) -> None:
    """Unacknowledged frames: go back every RTO, progress begins anew, failure after RETRIES, once; hello goes on; up again."""
    bench = Bench(dut)
    await bench.start(rto=400, retries=3)
    dut.lk_peer.value = NODE
    await bench.make_up()
    await ClockCycles(dut.clk, 1000)
    assert bench.gobacks == []
    start = bench.cycle
    dut.outstanding.value = 1 << NODE
    while len(bench.gobacks) < 2:
        await RisingEdge(dut.clk)
    within(start, 400, bench.gobacks[0][0], early=ROUND)  # the time runs from the last visit without the reason
    within(bench.gobacks[0][0], 400, bench.gobacks[1][0], rounds=1)
    start = await bench.progress()
    while len(bench.gobacks) < 3:
        await RisingEdge(dut.clk)
    within(start, 400, bench.gobacks[2][0])
    await ClockCycles(dut.clk, 1)  # the counters follow
    assert bench.counts()[:2] == [3, 0]
    # a hello-ack is progress, a frame that is only valid is not
    await ClockCycles(dut.clk, 50)
    await bench.event(NODE, HELLO_ACK, 7, 1)
    start = bench.cycle
    await ClockCycles(dut.clk, 350)
    await bench.event(NODE, DATA, 7, 1)
    resets = len(bench.resets)
    while len(bench.gobacks) < 5:
        await RisingEdge(dut.clk)
    within(start, 400, bench.gobacks[3][0])
    while len(bench.resets) == resets:
        await RisingEdge(dut.clk)
        if not int(dut.link_reset.value):
            assert int(dut.discard.value) == 0
    assert int(dut.failed.value) == int(dut.discard.value) == 1 << NODE  # in the cycle of the reset
    assert int(dut.up.value) == 0
    assert bench.epochs(NODE) == (2, 7)
    within(bench.gobacks[4][0], 400, bench.resets[-1][0], rounds=1)
    dut.outstanding.value = 0
    dut.waiting.value = 0
    await ClockCycles(dut.clk, 5000)
    assert bench.counts()[:2] == [6, 1]
    assert len(bench.resets) == resets + 1
    hellos = [t for t, _ in bench.hellos if t > bench.resets[-1][0] - 3]
    assert len(hellos) >= 5000 // (400 + 2 * ROUND + SLACK)
    await bench.event(NODE, HELLO_ACK, 7, 1)  # of the old epoch
    await ClockCycles(dut.clk, 6)
    assert int(dut.failed.value) == 1 << NODE
    await bench.event(NODE, HELLO_ACK, 7, 2)
    await ClockCycles(dut.clk, 6)
    assert int(dut.failed.value) == 0
    assert int(dut.up.value) == 1 << NODE


@cocotb.test(timeout_time=400, timeout_unit="us")
async def failure_waits_for_a_free_cycle(dut: Any) -> None:
    """Events in every cycle put a failure off; progress until then takes it back."""
    bench = Bench(dut)
    await bench.start(rto=200, retries=1)
    await bench.make_up()
    dut.outstanding.value = 1 << NODE
    other = NODE - 1
    dut.ev_valid.value, dut.ev_peer.value, dut.ev_type.value, dut.ev_right.value = 1, other, DATA, 0
    await ClockCycles(dut.clk, 400)
    assert bench.counts()[:2] == [1, 0]
    await bench.progress()
    await ClockCycles(dut.clk, 4)
    dut.ev_valid.value = 0
    await ClockCycles(dut.clk, 4)
    assert int(dut.failed.value) == 0
    dut.ev_valid.value = 1
    await ClockCycles(dut.clk, 400)
    dut.ev_valid.value = 0
    await ClockCycles(dut.clk, 4)
    assert int(dut.failed.value) == 1 << NODE
    assert bench.counts()[:2] == [2, 1]


@cocotb.test(timeout_time=400, timeout_unit="us")
async def waiting_asks_with_hello(dut: Any) -> None:
    """Messages wait for credit: hello every RTO; the peer's answers keep the link from failing, silence does not."""
    bench = Bench(dut)
    await bench.start(rto=200, retries=2)
    await bench.make_up()
    before = len(bench.hellos)
    dut.waiting.value = 1 << NODE
    for k in range(6):
        while len(bench.hellos) == before + k:
            await RisingEdge(dut.clk)
        await bench.event(NODE, HELLO_ACK, 7, 1)
    assert bench.counts()[1] == 0
    start = bench.cycle
    while not int(dut.failed.value):
        await RisingEdge(dut.clk)
    within(start, 400, bench.cycle, rounds=3)
    assert bench.gobacks == []
    await ClockCycles(dut.clk, 1)  # the counters follow
    assert bench.counts()[:2] == [8, 1]


@cocotb.test(timeout_time=800, timeout_unit="us")
async def silence_is_noticed(dut: Any) -> None:
    """KEEP cycles without a valid frame: hello every RTO, then failure; any valid frame is enough to prevent it."""
    bench = Bench(dut)
    await bench.start(rto=200, retries=2, keep=1500)
    await bench.make_up()
    before = len(bench.hellos)
    for _ in range(4):
        await ClockCycles(dut.clk, 1400)
        await bench.event(NODE, ACK, 7, 1)
    start = bench.cycle
    assert len(bench.hellos) == before
    assert bench.counts()[:2] == [0, 0]
    while len(bench.hellos) == before:
        await RisingEdge(dut.clk)
    within(start, 1700, bench.hellos[-1][0], rounds=4)
    await bench.event(NODE, DATA, 7, 1)
    start = bench.cycle
    while not int(dut.failed.value):
        await RisingEdge(dut.clk)
    within(start, 1900, bench.cycle, rounds=5)
    await ClockCycles(dut.clk, 1000)
    assert bench.counts()[:2] == [3, 1]  # no second time


@cocotb.test(timeout_time=800, timeout_unit="us")
async def sent_late_in_a_silence(dut: Any) -> None:
    """A message leaves after KEEP cycles of silence, just before the timer of the silence ends: it has RTO cycles of its own."""
    bench = Bench(dut)
    await bench.start(rto=200, retries=2, keep=1500)
    await bench.make_up()
    start = bench.cycle
    await ClockCycles(dut.clk, 1500 + 150)
    dut.outstanding.value = 1 << NODE
    sent = bench.cycle
    await ClockCycles(dut.clk, 150)  # both timers of the silence would be over
    assert bench.cycle > start + 1500 + 200 + 4 * PEERS_N
    assert bench.gobacks == [] and bench.counts()[:2] == [0, 0]
    while not bench.gobacks:
        await RisingEdge(dut.clk)
    within(sent, 200, bench.gobacks[-1][0], rounds=2)
    while not int(dut.failed.value):
        await RisingEdge(dut.clk)
    within(sent, 400, bench.cycle, rounds=3)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def unknown_epoch_stays_unknown(dut: Any) -> None:
    """A link that fails before it knows its epoch asks for it still."""
    bench = Bench(dut)
    await bench.start(rto=100, retries=2)
    dut.lk_peer.value = NODE
    dut.waiting.value = 1 << NODE
    while not int(dut.failed.value):
        await RisingEdge(dut.clk)
    assert bench.epochs(NODE) == (0, 0)
    dut.waiting.value = 0
    await bench.event(NODE, HELLO_ACK, 9, 41)
    await ClockCycles(dut.clk, 6)
    assert bench.epochs(NODE) == (42, 9)
    assert bench.counts()[:2] == [2, 1]


@cocotb.test(timeout_time=400, timeout_unit="us")
async def registers_at_run_time(dut: Any) -> None:
    """What is written while a timer runs counts from the next visit: RTO shorter and longer, RETRIES below the count, KEEP on and off."""
    bench = Bench(dut)
    await bench.start(rto=100000, retries=24)
    await bench.make_up()
    dut.outstanding.value = 1 << NODE
    await ClockCycles(dut.clk, 1000)
    assert bench.gobacks == []
    await bench.config.write(2, RTO, 300)
    start = bench.cycle
    while len(bench.gobacks) < 3:
        await RisingEdge(dut.clk)
    within(start, 0, bench.gobacks[0][0], rounds=1)  # more than 300 cycles are over
    within(bench.gobacks[0][0], 300, bench.gobacks[1][0], rounds=1)
    within(bench.gobacks[1][0], 300, bench.gobacks[2][0], rounds=1)
    await bench.config.write(2, RTO, 1000)
    while len(bench.gobacks) < 4:
        await RisingEdge(dut.clk)
    within(bench.gobacks[2][0], 1000, bench.gobacks[3][0], rounds=1)
    await bench.config.write(2, RETRIES, 2)  # four expiries are counted
    while not int(dut.failed.value):
        await RisingEdge(dut.clk)
    within(bench.gobacks[3][0], 1000, bench.cycle, rounds=1)
    assert len(bench.gobacks) == 4
    await ClockCycles(dut.clk, 1)  # the counters follow
    assert bench.counts()[:2] == [5, 1]
    # RETRIES 0 is as 1: the first expiry
    await bench.config.write(2, RETRIES, 0)
    dut.outstanding.value = 0
    await bench.event(NODE, HELLO_ACK, 7, 2)
    await ClockCycles(dut.clk, 3 * ROUND)
    assert int(dut.failed.value) == 0
    start = bench.cycle
    dut.outstanding.value = 1 << NODE
    while not int(dut.failed.value):
        await RisingEdge(dut.clk)
    within(start, 1000, bench.cycle, early=ROUND)
    assert len(bench.gobacks) == 4
    await ClockCycles(dut.clk, 1)
    assert bench.counts()[:2] == [6, 2]
    # KEEP in a silence that is longer, and off again before the link fails
    dut.outstanding.value = 0
    await bench.config.write(2, RETRIES, 3)
    await bench.event(NODE, HELLO_ACK, 7, 3)
    await ClockCycles(dut.clk, 1200)
    before = len(bench.hellos)
    await bench.config.write(2, KEEP, 800)
    start = bench.cycle
    while len(bench.hellos) == before:
        await RisingEdge(dut.clk)
    within(start, 1000, bench.hellos[-1][0], early=ROUND, rounds=3)
    await bench.config.write(2, KEEP, 0)
    await ClockCycles(dut.clk, 4000)
    assert len(bench.hellos) == before + 1
    assert bench.counts()[:2] == [7, 2]


@cocotb.test(timeout_time=200, timeout_unit="us")
async def epochs_wrap(dut: Any) -> None:
    """After 255 comes 1: the own epoch at a failure, the peer's at a restart; 255 is the older one then."""
    bench = Bench(dut)
    await bench.start(rto=100, retries=1)
    dut.lk_peer.value = NODE
    await bench.event(NODE, HELLO_ACK, 255, 254)
    await bench.event(NODE, HELLO, 255, 255)
    await ClockCycles(dut.clk, 6)
    assert bench.epochs(NODE) == (255, 255)
    assert int(dut.up.value) == 1 << NODE
    dut.outstanding.value = 1 << NODE
    while not int(dut.failed.value):
        await RisingEdge(dut.clk)
    dut.outstanding.value = 0
    await ClockCycles(dut.clk, 1)
    assert bench.epochs(NODE) == (1, 255)
    await bench.event(NODE, ACK, 255, 255)
    await bench.event(NODE, HELLO_ACK, 255, 255)
    await ClockCycles(dut.clk, 6)
    assert int(dut.failed.value) == 1 << NODE
    await bench.event(NODE, HELLO_ACK, 255, 1)
    await ClockCycles(dut.clk, 6)
    assert (int(dut.failed.value), int(dut.up.value)) == (0, 1 << NODE)
    await bench.event(NODE, HELLO, 1, 1)
    await ClockCycles(dut.clk, 6)
    resets = len(bench.resets)
    await bench.event(NODE, HELLO, 255, 1)
    await bench.event(NODE, HELLO_ACK, 255, 255)
    await ClockCycles(dut.clk, 6)
    assert bench.epochs(NODE) == (1, 1)
    assert int(dut.up.value) == 1 << NODE
    assert len(bench.resets) == resets
    assert bench.counts() == [1, 1, 1, 3]
