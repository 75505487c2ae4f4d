# SPDX-License-Identifier: Apache-2.0
"""What surrounds net_eth_tx in its bench: peers that acknowledge, the receiving side, the links. Frames are expected byte by byte."""

from __future__ import annotations

import os
import random
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from floreana.cluster.layout import PEER, TYPE_CONTROL, TYPE_INT8, Header, pack
from floreana_tb import clocks, stalls, streams

PEERS_N = int(os.environ.get("TX_PEERS", "8"))
CELLS = int(os.environ.get("TX_CELLS", "16"))
WINDOW_N = int(os.environ.get("TX_WINDOW", "8"))
DATA, ACK, NACK, HELLO, HELLO_ACK = range(5)
COUNTS = (
    "messages", "data", "again", "beats", "acks", "nacks", "hellos", "helloacks", "responder", "no_node", "malformed", "discarded", "spare",
    "back", "peak", "refused",
)  # fmt: skip
# with peer 7 and 65 payload bytes the checksum needs its second fold
NODE, MAC, IP, CLUSTER = 0x1203, 0x02_46_4C_FF_00_03, 0xC0_A8_33_B8, 7
Message = tuple[Header, bytes]


def mac_of(node: int) -> int:
    return 0x02_46_4C_00_00_10 + 0x10001 * node


def ip_of(node: int) -> int:
    return 0xC0_A8_FE_10 + 0x1357 * node


def hop(node: int, payload: int) -> bytes:
    """Bytes 0 to 41 of a frame to ``node``: fields in wire order, the checksum by its definition."""
    words = [0x4500, 50 + payload, 0, 0x4000, 0x4011, 0, IP >> 16, IP & 0xFFFF, ip_of(node) >> 16, ip_of(node) & 0xFFFF]
    words[5] = 0xFFFF - (sum(words) % 0xFFFF or 0xFFFF)
    ethernet = mac_of(node).to_bytes(6, "big") + MAC.to_bytes(6, "big") + b"\x08\x00"
    return ethernet + struct.pack(">10H", *words) + struct.pack(">HHHH", 17996, 17996, 30 + payload, 0)


@dataclass(slots=True)
class Sent:
    """A header that was made, or (kind -1) the reset of a link at this place of the order."""

    kind: int
    peer: int
    tail: bytes = b""  # credit, own node, epochs
    expected: int = 0
    epoch: int = 0
    failed: bool = False


@dataclass(slots=True)
class Peer:
    """A peer as the model knows it. Numbers are those of its epoch; ``base`` is the place in ``messages`` of number 0 (None: not known)."""

    node: int
    quota: int = 4
    messages: list[Message] = field(default_factory=list)
    base: int | None = 0
    epoch: int = 0  # counts resets
    seen: int = 0  # resets that all frames before have come
    top: int = 0  # first number never seen on the wire
    before: int = -1  # number of the last data frame
    jumps: int = 0  # events that make the next number another than the following one
    acked: int = 0  # told to the design, in this epoch
    limit: int = 0
    gone: int = 0  # acknowledged in all epochs
    expected: int = 0  # of the peer as a receiver
    held: int = 0
    delivered: int = 0
    owes: bool = False  # an acknowledgement
    gap: bool = False  # a nack is on its way
    news: int = 0  # cycle of the last event told
    bogus: int = 0  # cycle of the last false one


class Bench:
    """The design with ``nodes`` as known peers. ``masks``: destination kernel, or 256 + another cluster -> nodes."""

    def __init__(self, dut: Any, pattern: stalls.Pattern, nodes: list[int], masks: dict[int, int], max_beats: int | None = 16) -> None:
        self.dut, self.nodes, self.masks = dut, nodes, masks
        self.cycle = 0
        self.rng = random.Random(f"{cocotb.RANDOM_SEED} {nodes}")
        self.peers = {node: Peer(node) for node in nodes}
        self.source = streams.MessageSource(dut, "s_axis", dut.clk, pattern)
        self.seen = streams.Monitor(dut, "s_axis", dut.clk, callback=self.message, max_beats=max_beats)
        self.board = streams.Scoreboard("net_eth_tx")
        self.sink = streams.PacketSink(dut, "mac_tx", dut.clk, pattern, callback=self.frame, max_beats=17)
        self.responder = streams.StreamSource(dut, "rp_axis", dut.clk)
        self.config = streams.ConfigBus(dut, dut.clk)
        self.sent: deque[Sent] = deque()
        self.replies: deque[bytes] = deque()
        self.events: deque[tuple[int, int, int, int, bool]] = deque()  # peer, type, number, credit, right
        self.gobacks: deque[int] = deque()
        self.resets: deque[tuple[int, bool]] = deque()
        self.on_data: Any = None  # called with (peer, number, lost to a reset) of every data frame
        self.on_cycle: Any = None
        self.due = {ACK: 0, NACK: 0, HELLO: 0, HELLO_ACK: 0}
        self.raised = {ACK: 0, NACK: 0, HELLO: 0, HELLO_ACK: 0}
        self.up = self.failed = 0
        self.tables = {"expected": [0] * PEERS_N, "credit": [0] * PEERS_N, "mine": [0] * PEERS_N, "theirs": [0] * PEERS_N}
        self.count = dict.fromkeys(COUNTS, 0)
        self.copies = self.skipped = 0
        self.headers = 0  # made
        self.progress: list[int] = []
        for name, value in (
            ("id_node", NODE), ("id_mac", MAC), ("id_ip", IP), ("id_cluster", CLUSTER), ("ev_valid", 0), ("ev_peer", 0), ("ev_type", 0),
            ("ev_ack", 0), ("ev_credit", 0), ("ev_right", 0), ("up", 0), ("discard", 0), ("link_reset", 0), ("link_reset_peer", 0),
            ("goback_valid", 0), ("goback_peer", 0), ("ack_due", 0), ("nack_due", 0), ("hello_due", 0), ("helloack_due", 0),
        ):  # fmt: skip
            getattr(dut, name).value = value
        for name in self.tables:
            self.write_table(name)

    # ------------------------------------------------------------------------------------------------------------ driving

    def write_table(self, name: str) -> None:
        width = 24 if name == "expected" else 8
        getattr(self.dut, f"t_{name}").value = sum(value << width * p for p, value in enumerate(self.tables[name]))

    def set_table(self, name: str, peer: int, value: int) -> None:
        self.tables[name][peer] = value
        self.write_table(name)

    async def start(self, up: bool = True, credit: int = 255) -> None:
        clocks.start_clock(self.dut)
        await clocks.reset(self.dut)
        cocotb.start_soon(self._run())
        last = None
        for kernel, mask in self.masks.items():
            last = self.config.write(0, kernel, mask)
        for node in self.nodes:
            last = self.config.write(1, node, pack(PEER, {"mac": mac_of(node), "ip": ip_of(node), "valid": 1, "quota": 9}))
        if last is not None:
            await last
        for node in self.nodes:
            self.tables["mine"][node], self.tables["theirs"][node] = 1 + node, 201 + node % 50
            self.tables["credit"][node] = 100 + node
        for name in self.tables:
            self.write_table(name)
        if up:
            for node in self.nodes:
                self.link_up(node, credit)
        await ClockCycles(self.dut.clk, 4 + 3 * len(self.nodes))

    def link_up(self, node: int, credit: int) -> None:
        self.up |= 1 << node
        self.failed &= ~(1 << node)
        self.dut.up.value = self.up
        self.dut.discard.value = self.failed
        if credit:
            self.acknowledge(node, 0, credit)

    def acknowledge(self, node: int, number: int, credit: int, kind: int = ACK) -> None:
        """Queue a true acknowledgement."""
        self.events.append((node, kind, number, credit, True))

    def raise_due(self, kind: int, node: int) -> None:
        if not self.due[kind] >> node & 1:
            self.due[kind] |= 1 << node
            self.raised[kind] += 1
            self._write_due(kind)

    def _write_due(self, kind: int) -> None:
        name = {ACK: "ack_due", NACK: "nack_due", HELLO: "hello_due", HELLO_ACK: "helloack_due"}[kind]
        getattr(self.dut, name).value = self.due[kind]

    def reply(self, size: int) -> None:
        """A frame of the responder: recognised by its EtherType."""
        data = bytes(12) + b"\x08\x06" + self.rng.randbytes(size - 14)
        self.replies.append(data)
        self.responder.send_packet(data)

    def reset_link(self, node: int, failed: bool = False) -> None:
        self.resets.append((node, failed))

    async def _run(self) -> None:
        dut, edge = self.dut, RisingEdge(self.dut.clk)
        busy = dict.fromkeys(("ev", "goback", "reset"), False)
        while True:
            await edge
            self.cycle += 1
            if int(dut.hd_sent.value):
                self._header(int(dut.hd_sent_peer.value), int(dut.hd_sent_type.value), bool(dut.hd_sent_nack.value))
            if int(dut.progress_valid.value):
                self.progress.append(int(dut.progress_peer.value))
            if int(dut.s_axis_tvalid.value) and not int(dut.s_axis_tready.value):
                self.count["refused"] += 1
            if self.on_cycle is not None:
                self.on_cycle()
            if busy["ev"]:
                dut.ev_valid.value = 0
            if busy["goback"]:
                dut.goback_valid.value = 0
            if busy["reset"]:
                dut.link_reset.value = 0
            busy = {"ev": bool(self.events), "goback": bool(self.gobacks), "reset": bool(self.resets)}
            if self.resets:
                self._reset(*self.resets.popleft())
            if self.events:
                self._event(*self.events.popleft())
            if self.gobacks:
                node = self.gobacks.popleft()
                self.peers[node].jumps += 1
                dut.goback_valid.value, dut.goback_peer.value = 1, node

    def _header(self, node: int, kind: int, nack: bool) -> None:
        assert nack == (kind == NACK)
        self.headers += 1
        values = [self.tables[name][node] for name in ("credit", "mine", "theirs", "expected")]
        tail = struct.pack(">BHBB", values[0], NODE, values[1], values[2])
        self.sent.append(Sent(kind, node, tail, values[3], self.peers[node].epoch))
        if kind != DATA:
            assert self.due[kind] >> node & 1 or kind == ACK, f"frame of type {kind} that is not due"
        else:
            assert self.up >> node & 1
        cleared = {ACK} | ({kind} if kind != DATA else set())
        for one in cleared:
            if self.due[one] >> node & 1:
                self.due[one] &= ~(1 << node)
                self._write_due(one)

    def _event(self, node: int, kind: int, number: int, credit: int, right: bool) -> None:
        dut = self.dut
        dut.ev_valid.value, dut.ev_peer.value, dut.ev_type.value = 1, node, kind
        dut.ev_ack.value, dut.ev_credit.value, dut.ev_right.value = number % (1 << 24), credit, int(right)
        if not right:
            return
        peer = self.peers[node]
        peer.news = self.cycle
        # what is acknowledged is at most what came out at the MAC, so `top` is exact here
        if 0 <= number <= (peer.top if peer.seen == peer.epoch else 0):
            if number > peer.before + 1 or peer.jumps or kind == NACK:
                peer.jumps += 1
            if number >= peer.acked:
                peer.gone += number - peer.acked
                peer.acked = number
                peer.limit = max(peer.limit, number + credit)

    def _reset(self, node: int, failed: bool) -> None:
        dut, peer = self.dut, self.peers[node]
        dut.link_reset.value, dut.link_reset_peer.value = 1, node
        self.up &= ~(1 << node)
        dut.up.value = self.up
        if failed:
            self.failed |= 1 << node
            dut.discard.value = self.failed
        peer.epoch += 1
        self.sent.append(Sent(-1, node, epoch=peer.epoch, failed=failed))
        peer.acked = peer.limit = peer.expected = peer.held = 0
        peer.owes = peer.gap = False
        name = "mine" if failed else "theirs"
        self.set_table(name, node, self.tables[name][node] % 255 + 1)
        self._markers()

    # ------------------------------------------------------------------------------------------------------------ the model

    def message(self, item: Message) -> None:
        header, payload = item
        self.count["messages"] += 1
        if len(payload) > 1024 or (not payload and header.type != TYPE_CONTROL):
            self.count["malformed"] += 1
            return
        mask = self.masks.get(header.dst_kernel if header.dst_cluster == CLUSTER else 256 + header.dst_cluster, 0) & ((1 << PEERS_N) - 1)
        if not mask:
            self.count["no_node"] += 1
        for node in range(PEERS_N):
            if mask >> node & 1:
                self.copies += 1
                if node in self.peers:
                    self.peers[node].messages.append(item)
                else:
                    self.skipped += 1

    def _markers(self) -> None:
        """Resets whose earlier frames have all come out."""
        while self.sent and self.sent[0].kind < 0:
            mark = self.sent.popleft()
            peer = self.peers[mark.peer]
            peer.base = None if mark.failed or peer.base is None else peer.base + peer.top
            peer.top, peer.before, peer.jumps, peer.seen = 0, -1, 0, mark.epoch

    def frame(self, packet: streams.Packet) -> None:
        got = packet.payload
        if got[12:14] == b"\x08\x06":
            self.count["responder"] += 1
            self.board.expect(self.replies.popleft())
            self.board.got(got)
            return
        assert self.sent, "a frame whose header was never made"
        record = self.sent.popleft()
        start = hop(record.peer, len(got) - 64) + bytes([0x20 | record.kind]) + record.tail
        if record.kind != DATA:
            self.count[("", "acks", "nacks", "hellos", "helloacks")[record.kind]] += 1
            self.board.expect(start + bytes(3) + record.expected.to_bytes(3, "big") + bytes(10))
            self.board.got(got)
        else:
            self._data(record, start, got)
        self._markers()

    def _data(self, record: Sent, start: bytes, got: bytes) -> None:
        peer = self.peers[record.peer]
        number = int.from_bytes(got[48:51], "big")
        number = peer.top + (number - peer.top + (1 << 23)) % (1 << 24) - (1 << 23)  # numbers of the model do not wrap
        assert record.epoch == peer.seen
        if peer.base is None:  # after a failure: which message is the first is not known, but that it is one of ours and in order is
            peer.base = next(
                i for i in range(peer.delivered, len(peer.messages)) if got[54:] == peer.messages[i][0].to_bytes() + peer.messages[i][1]
            )
        assert peer.base + number < len(peer.messages), f"peer {peer.node}: number {number} of a message that does not exist"
        header, payload = peer.messages[peer.base + number]
        self.board.expect(
            start + (number % (1 << 24)).to_bytes(3, "big") + record.expected.to_bytes(3, "big") + header.to_bytes() + payload
        )
        self.board.got(got)
        self.count["data"] += 1
        self.count["beats"] += -(-len(payload) // 64)
        assert number <= peer.top, f"peer {peer.node}: number {number} before {peer.top}"
        old = record.epoch != peer.epoch
        if not old:
            assert number < peer.limit, f"peer {peer.node}: number {number} is beyond the limit {peer.limit}"
            assert number - peer.acked < WINDOW_N
        if number != peer.before + 1:
            assert peer.jumps, f"peer {peer.node}: number {number} after {peer.before}"
            assert old or number <= peer.acked, f"peer {peer.node}: went to {number}, acknowledged are {peer.acked}"
            peer.jumps -= 1
        peer.before = number
        if number == peer.top:
            peer.top += 1
        else:
            self.count["again"] += 1
        if self.on_data is not None:
            self.on_data(peer, number, old)

    def take(self, peer: Peer, number: int, old: bool) -> None:
        """A receiver that takes what it expects and owes an acknowledgement."""
        if not old and number == peer.expected:
            peer.expected += 1
            peer.delivered = max(peer.delivered, (peer.base or 0) + peer.expected)
        peer.owes = peer.owes or not old

    # ------------------------------------------------------------------------------------------------------------ end

    async def drain(self, cycles: int = 20000) -> None:
        await self.source.wait_idle(cycles)
        await self.quiet(cycles)

    async def quiet(self, cycles: int = 20000) -> None:
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)
            if not int(self.dut.sts_busy.value) and not self.events and not any(self.due.values()):
                break
        else:
            raise AssertionError(f"sts_busy does not fall; due {self.due}")
        await ClockCycles(self.dut.clk, 12)

    def counts(self) -> dict[str, int]:
        value = self.dut.sts_count.value.to_unsigned()
        return {name: value >> 32 * k & 0xFFFFFFFF for k, name in enumerate(COUNTS)}

    def finish(self, at_least: int = 1) -> None:
        """Conservation: every copy was acknowledged or is counted as discarded; all counters that the model knows."""
        self.board.finish(at_least)
        assert not self.sent
        assert not self.replies
        got = self.counts()
        self.count["discarded"] = self.copies - sum(peer.gone for peer in self.peers.values())
        assert got["peak"] <= CELLS
        assert got["spare"] == 0
        for name in ("peak", "back", "spare"):
            got.pop(name)
            self.count.pop(name)
        assert got == self.count
        for kind, name in ((NACK, "nacks"), (HELLO, "hellos"), (HELLO_ACK, "helloacks")):
            assert got[name] == self.raised[kind]
        assert got["acks"] <= self.raised[ACK]
        assert int(self.dut.sts_lost.value) == got["no_node"] + got["malformed"] + got["discarded"]
        assert int(self.dut.outstanding.value) == 0
        assert int(self.dut.waiting.value) == 0


def header(kernel: int, number: int = 0, kind: int = TYPE_INT8, cluster: int = CLUSTER) -> Header:
    return Header(
        dst_cluster=cluster, dst_kernel=kernel, edge=number & 255, src_cluster=7, src_kernel=1, slot=9, generation=5,
        row=number & 0xFFFF, offset=0x2A5, type=kind, last=bool(number & 1),
    )  # fmt: skip
