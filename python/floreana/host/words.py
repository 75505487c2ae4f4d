# SPDX-License-Identifier: Apache-2.0
"""The manager of a node in software: names of all its words, its requests, replies and events (docs/manager.md).

``word_map`` is the one table of names. The table in docs/manager.md is made from it (``python -m floreana.host.words`` prints it), and a
test holds the two together; the RTL side is checked by the bench of node_core.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

Kind = Literal["value", "count", "peak", "state", "spare"]

MAGIC = 0x464C4F52  # "FLOR"
VERSION = 0x0000_0200  # 0.2.0: major 16 bits, minor 8, patch 8
READ_LIMIT = 128  # words a reply carries
WRITE_LIMIT = 15  # beats a WRITE carries
BEAT_BYTES = 64

OP_READ, OP_WRITE, OP_FLUSH, OP_EVENTS = 1, 2, 3, 4
OP_REPLY, OP_EVENT = 0x80, 0xE0
OP_RELEASE = 0x21  # between gateways: a slot is free again (docs/gateway.md)
STATUS_OK, STATUS_OPCODE, STATUS_RANGE, STATUS_BUSY, STATUS_UNIT = range(5)
STATUS = (
    "good",
    "unknown opcode",
    "an argument or the length is out of range",
    "a kernel is at work",
    "there is no such unit",
)
EVENT_FAILED, EVENT_RESTARTED, EVENT_UP = 1, 2, 3
EVENT = {EVENT_FAILED: "link failed", EVENT_RESTARTED: "peer restarted", EVENT_UP: "link up again"}

SWITCH_WORDS = 8  # words a switch port has
ETH_WORDS = 64  # words an Ethernet port has


# ------------------------------------------------------------------ words


@dataclass(frozen=True, slots=True)
class Word:
    """One 32-bit word. ``kind``: value (never changes), count (wraps, cleared by reset), peak (largest so far), state (now), spare (0)."""

    index: int
    name: str
    kind: Kind
    meaning: str


@dataclass(frozen=True, slots=True)
class Block:
    """Words that stand together: of one unit, or of one of several equal units."""

    first: int
    title: str
    prefix: str
    words: tuple[tuple[str, Kind, str], ...]

    def word(self, k: int) -> Word:
        name, kind, meaning = self.words[k]
        return Word(self.first + k, f"{self.prefix}.{name}", kind, meaning)


_SPARE: tuple[str, Kind, str] = ("spare", "spare", "0")

_SHAPE = (
    "K_LANES", "OUT_N", "POST_LANES", "W_WORDS", "BIAS_WORDS", "POST_WORDS", "STORE_BEATS", "ROW_W", "SLOT_W", "HEAD_DIM", "HEAD_BEATS",
    "REQ_WORDS", "NORM_LANES", "LROW_W", "ACC_BEATS", "RES_WORDS", "CHAN_WORDS", "ROW_BEATS",
)  # fmt: skip

_NODE: tuple[tuple[str, Kind, str], ...] = (
    ("magic", "value", '0x464C4F52 ("FLOR")'),
    ("version", "value", "major 16 bits, minor 8, patch 8"),
    ("node", "value", "node number"),
    ("mac_high", "value", "MAC of Ethernet port 0, high 16 bits"),
    ("mac_low", "value", "its low 32 bits"),
    ("ip", "value", "IPv4 address of Ethernet port 0"),
    ("ident", "state", "cluster (bits 7:0), kernel numbers of linear (15:8), attention (23:16), add_norm (31:24)"),
    ("words", "value", "number of words there are"),
    *((name.lower(), "value", f"parameter {name}") for name in _SHAPE),
    ("lost", "count", "messages lost inside the node, of all units together: the port sts_lost"),
    ("ports_peers", "value", "ETH_N (bits 31:16), PEERS_N (15:0)"),
    ("busy", "state", "bit 0: a message is in switch, Ethernet port or manager; bits 1 to 4: linear, attention, add_norm, gateway active"),
    ("tx_cells", "value", "parameter TX_CELLS"),
    ("rx_cells", "value", "parameter RX_CELLS"),
    ("gateway", "value", "parameter GATEWAY: 1 if the node has the gateway of its cluster"),
)

_LINEAR: tuple[tuple[str, Kind, str], ...] = (
    ("messages_in", "count", "messages in"),
    ("beats_in", "count", "beats in"),
    ("dropped_edge", "count", "messages dropped: unknown edge"),
    ("dropped_row", "count", "dropped: row or slot out of range"),
    ("dropped_slice", "count", "dropped: beat beyond the row"),
    ("dropped_format", "count", "dropped: not int8, or not whole beats"),
    ("dropped_repeat", "count", "rows dropped: sent again while waiting, or queue full"),
    ("busy", "count", "cycles the array works"),
    ("idle_row", "count", "cycles idle: no row is ready"),
    ("idle_output", "count", "cycles idle: the output is behind"),
    ("rows_out", "count", "rows sent"),
    ("messages_out", "count", "messages sent"),
    ("beats_out", "count", "beats sent"),
    ("stale", "count", "messages of a stale generation (not lost: meant to be dropped)"),
    ("idle_switch", "count", "cycles idle: a row is there, its context is being read"),
    _SPARE,
)

_ATTENTION: tuple[tuple[str, Kind, str], ...] = (
    ("messages_in", "count", "messages in"),
    ("beats_in", "count", "beats in"),
    ("dropped_edge", "count", "messages dropped: unknown edge"),
    ("dropped_row", "count", "dropped: row or slot out of range"),
    ("dropped_slice", "count", "dropped: beat beyond the row"),
    ("rows_out", "count", "rows served"),
    ("busy", "count", "cycles with a job"),
    ("idle_row", "count", "cycles a query waited for K or V"),
    ("idle_output", "count", "cycles a softmax waited for the output"),
    ("stale", "count", "messages of a stale generation (not lost: meant to be dropped)"),
    *([_SPARE] * 6),
)

_ADD_NORM: tuple[tuple[str, Kind, str], ...] = (
    ("messages_in", "count", "messages in"),
    ("beats_in", "count", "beats in"),
    ("dropped_edge", "count", "messages dropped: unknown edge"),
    ("dropped_row", "count", "dropped: row or slot out of range"),
    ("dropped_slice", "count", "dropped: slice beyond the row"),
    ("dropped_ready", "count", "rows dropped: ready FIFO full"),
    ("rows_normalised", "count", "rows normalised"),
    ("rows_entered", "count", "rows entered"),
    ("busy", "count", "cycles with a row under way"),
    ("idle_output", "count", "cycles an output beat was refused"),
    ("stale", "count", "messages of a stale generation (not lost: meant to be dropped)"),
    *([_SPARE] * 5),
)

_MANAGER: tuple[tuple[str, Kind, str], ...] = (
    ("requests", "count", "requests"),
    ("reads", "count", "READs answered"),
    ("writes", "count", "WRITEs accepted"),
    ("words_written", "count", "configuration words written"),
    ("flushes", "count", "FLUSHes begun"),
    ("events", "count", "events told"),
    ("errors", "count", "error replies, BUSY among them"),
    ("dropped", "count", "messages dropped: not of type control, shorter than 12 bytes, or opcode 0x60 and more"),
    ("busy_refused", "count", "WRITEs refused with BUSY"),
    ("switches", "count", "EVENTS requests obeyed"),
    *([_SPARE] * 6),
)

# all 0 on a node without gateway
_GATEWAY: tuple[tuple[str, Kind, str], ...] = (
    ("messages_in", "count", "messages in"),
    ("beats_in", "count", "beats in"),
    ("dropped_edge", "count", "messages dropped: unknown edge, or not configured"),
    ("dropped_row", "count", "dropped: row or slot out of range"),
    ("dropped_format", "count", "dropped: not int8, not whole beats, more than 16 beats; control but no RELEASE"),
    ("dropped_full", "count", "dropped: no room for the message in its slot"),
    ("stale", "count", "messages of a stale generation (not lost: meant to be dropped)"),
    ("sequences", "count", "sequences sent on"),
    ("releases_in", "count", "RELEASEs in"),
    ("releases_stale", "count", "of these: of a free slot, or of another generation than the one that has it"),
    ("messages_out", "count", "data messages sent"),
    ("beats_out", "count", "beats of these"),
    ("waits", "count", "cycles a message waits only because its slot is not free"),
    ("refused", "count", "cycles an output beat was refused"),
    ("messages_peak", "peak", "most messages waiting in the store"),
    ("releases_out", "count", "RELEASEs sent"),
)

_SWITCH: tuple[tuple[str, Kind, str], ...] = (
    ("messages_in", "count", "messages into the switch"),
    ("beats_in", "count", "beats into the switch"),
    ("dropped", "count", "messages dropped"),
    ("cells_peak", "peak", "most cells in use"),
    ("refused", "count", "cycles an offered beat was refused"),
    ("messages_out", "count", "messages out of the switch"),
    ("beats_out", "count", "beats out of the switch"),
    ("stalled", "count", "cycles an offered beat was not taken"),
)

# what net_eth_rx drops, in the order it looks (docs/transport.md, section 7)
RX_CAUSES = (
    ("mac_error", "marked bad by the MAC"),
    ("dst_mac", "destination MAC"),
    ("ethertype", "EtherType"),
    ("ip_version", "IPv4 version or header length"),
    ("fragment", "fragment"),
    ("protocol", "protocol"),
    ("checksum", "header checksum"),
    ("dst_ip", "destination address"),
    ("udp_port", "UDP port"),
    ("version", "version or type"),
    ("length", "length"),
    ("unknown_node", "unknown node"),
    ("src_address", "the node's MAC or address is another"),
    ("epoch", "epoch"),
    ("empty", "empty data frame"),
    ("no_cell", "no cell free"),
    ("gap", "number ahead"),
    ("duplicate", "number behind"),
    ("arp", "ARP that asks for nobody here"),
    ("icmp", "ICMP that is no echo request"),
    ("responder_busy", "responder busy"),
)

_ETH: tuple[tuple[str, Kind, str], ...] = (
    ("tx.messages", "count", "messages in"),
    ("tx.frames", "count", "data frames sent"),
    ("tx.again", "count", "of these sent again"),
    ("tx.beats", "count", "payload beats sent"),
    ("tx.acks", "count", "acks sent"),
    ("tx.nacks", "count", "nacks sent"),
    ("tx.hellos", "count", "hellos sent"),
    ("tx.hello_acks", "count", "hello-acks sent"),
    ("tx.responder", "count", "frames of the responder sent"),
    ("tx.dropped_node", "count", "messages dropped: no node"),
    ("tx.dropped_format", "count", "messages dropped: malformed"),
    ("tx.discarded", "count", "messages discarded: link failed, or peer restarted"),
    _SPARE,
    ("tx.go_backs", "count", "go-backs by nack"),
    ("tx.cells_peak", "peak", "most cells in use"),
    ("tx.refused", "count", "cycles a beat was refused"),
    ("rx.frames", "count", "frames in"),
    ("rx.accepted", "count", "data frames accepted"),
    ("rx.beats", "count", "payload beats accepted"),
    ("rx.acks", "count", "acks received"),
    ("rx.nacks", "count", "nacks received"),
    ("rx.hellos", "count", "hellos received"),
    ("rx.hello_acks", "count", "hello-acks received"),
    ("rx.cells_peak", "peak", "most cells in use"),
    ("rx.arp_answered", "count", "ARP requests answered"),
    ("rx.icmp_answered", "count", "echo requests answered"),
    *((f"rx.dropped.{name}", "count", f"frames dropped: {text}") for name, text in RX_CAUSES),
    _SPARE,
    ("link.expiries", "count", "expiries of all peers"),
    ("link.failed", "count", "links failed"),
    ("link.restarted", "count", "peers restarted"),
    ("link.hellos_answered", "count", "hellos answered"),
    ("link.up_low", "state", "links up: peers 0 to 31"),
    ("link.up_high", "state", "links up: peers 32 to 63"),
    ("link.failed_low", "state", "links failed: peers 0 to 31"),
    ("link.failed_high", "state", "links failed: peers 32 to 63"),
    ("link.restarted_low", "state", "peers that ever restarted: 0 to 31"),
    ("link.restarted_high", "state", "peers that ever restarted: 32 to 63"),
    *([_SPARE] * 6),
)

SWITCH_FIRST, GATEWAY_FIRST, ETH_FIRST = 96, 160, 176


def switch_ports(eth_n: int = 1) -> tuple[str, ...]:
    """Names of the switch's ports in order; the gateway's, which comes last, reads 0 on a node without gateway."""
    return ("manager", "linear", "attention", "add_norm", *(f"eth{k}" for k in range(eth_n)), "gateway")


def _blocks(eth_n: int) -> tuple[Block, ...]:
    """All blocks of a node with ``eth_n`` Ethernet ports, in order; they leave no hole."""
    if eth_n not in (1, 2):
        raise ValueError(f"a node has 1 or 2 Ethernet ports, not {eth_n}")
    spare_port: tuple[tuple[str, Kind, str], ...] = (_SPARE,) * SWITCH_WORDS
    ports = switch_ports(eth_n)
    switch = [Block(SWITCH_FIRST + SWITCH_WORDS * k, f"switch port {k}", f"switch.{name}", _SWITCH) for k, name in enumerate(ports)]
    switch += [Block(SWITCH_FIRST + SWITCH_WORDS * k, "reserve", "reserve", spare_port) for k in range(len(ports), 8)]
    return (
        Block(0, "node", "node", _NODE),
        Block(32, "linear", "linear", _LINEAR),
        Block(48, "attention", "attention", _ATTENTION),
        Block(64, "add_norm", "add_norm", _ADD_NORM),
        Block(80, "manager", "manager", _MANAGER),
        *switch,
        Block(GATEWAY_FIRST, "gateway", "gateway", _GATEWAY),
        *(Block(ETH_FIRST + ETH_WORDS * k, f"Ethernet port {k}", f"eth{k}", _ETH) for k in range(eth_n)),
    )


@cache
def word_map(eth_n: int = 1) -> tuple[Word, ...]:
    """Every word of a node with ``eth_n`` Ethernet ports; entry i is word i. ValueError for another number of ports than 1 or 2."""
    out = tuple(block.word(k) for block in _blocks(eth_n) for k in range(len(block.words)))
    if [word.index for word in out] != list(range(len(out))):
        raise AssertionError("the blocks of the word map leave a hole or overlap")
    return out


@cache
def _indices(eth_n: int) -> dict[str, int]:
    return {word.name: word.index for word in word_map(eth_n) if word.kind != "spare"}


def word_count(eth_n: int = 1) -> int:
    """Number of words (word 7 of the node says the same)."""
    return len(word_map(eth_n))


def index_of(name: str, eth_n: int = 1) -> int:
    """Index of the word called ``name``; KeyError with the name if there is none."""
    found = _indices(eth_n).get(name)
    if found is None:
        raise KeyError(f"no manager word is called {name!r} on a node with {eth_n} Ethernet port(s); names are in docs/manager.md")
    return found


def name_words(values: Sequence[int], first: int = 0, eth_n: int = 1) -> dict[str, int]:
    """Names for the words ``first``, ``first + 1``, .. just read; spare words are left out. ValueError beyond the words there are."""
    words = word_map(eth_n)
    if first < 0 or first + len(values) > len(words):
        raise ValueError(f"words {first} to {first + len(values) - 1} are not all within 0 to {len(words) - 1}; read fewer")
    return {word.name: value for word, value in zip(words[first:], values, strict=False) if word.kind != "spare"}


def peer_mask(named: Mapping[str, int], name: str) -> frozenset[int]:
    """Peers in a mask of two words: ``name`` is, say, ``eth0.link.up``."""
    mask = named[f"{name}_low"] | named[f"{name}_high"] << 32
    return frozenset(k for k in range(64) if mask >> k & 1)


def markdown_table() -> str:
    """The table of docs/manager.md: one row a word, spare words in one row; equal units are listed once."""
    lines = ["| words | name | kind | meaning |", "|---|---|---|---|"]
    blocks = _blocks(2)
    for block in blocks:
        if block.title.startswith("switch port") and block.first != SWITCH_FIRST:
            continue
        if block.prefix == "eth1" or block.title == "reserve":
            continue
        switch, eth = block.first == SWITCH_FIRST, block.first == ETH_FIRST
        k = 0
        while k < len(block.words):
            name, kind, meaning = block.words[k]
            end = k + 1
            while kind == "spare" and end < len(block.words) and block.words[end][1] == "spare":
                end += 1
            base = "96 + 8p + " if switch else "176 + 64e + " if eth else ""
            low = k if base else block.first + k
            where = f"{base}{low}" + (f"-{low + end - k - 1}" if end - k > 1 else "")
            prefix = "switch.*port*" if switch else "eth*e*" if eth else block.prefix
            shown = "" if kind == "spare" else f"{prefix}.{name}"
            lines.append(f"| {where} | {shown} | {kind} | {meaning} |")
            k = end
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------ messages


def _head(opcode: int, tag: int, first: int, second: int) -> bytes:
    if not 0 <= tag < 1 << 16:
        raise ValueError(f"tag {tag} is not within 0 to 65535")
    if not (0 <= first < 1 << 32 and 0 <= second < 1 << 32):
        raise ValueError(f"arguments {first} and {second} are not both within 0 to {(1 << 32) - 1}")
    return struct.pack("<BBHII", opcode, 0, tag, first, second)


def read_request(tag: int, first: int, count: int) -> bytes:
    """Payload that asks for ``count`` (at most 128) words from ``first`` on."""
    return _head(OP_READ, tag, first, count)


def write_request(tag: int, address: int, values: Sequence[int]) -> bytes:
    """Payload that writes 1 to 15 values (unsigned, 512 bits) to configuration addresses ``address``, ``address + 1``, ..

    ValueError for another number of values; split the writes.
    """
    if not 1 <= len(values) <= WRITE_LIMIT:
        raise ValueError(f"a WRITE carries 1 to {WRITE_LIMIT} values, not {len(values)}; split it")
    return _head(OP_WRITE, tag, address, len(values)).ljust(BEAT_BYTES, b"\0") + b"".join(v.to_bytes(BEAT_BYTES, "little") for v in values)


def flush_request(tag: int, slot: int, generation: int) -> bytes:
    """Payload that makes the kernels forget a slot; from then on ``generation`` is the one they take."""
    return _head(OP_FLUSH, tag, slot, generation)


def release() -> bytes:
    """Payload that tells a gateway that a slot is free again; slot and generation stand in the message's header."""
    return bytes([OP_RELEASE]).ljust(BEAT_BYTES, b"\0")


def events_request(tag: int, on: bool) -> bytes:
    """Payload that switches events on or off."""
    return _head(OP_EVENTS, tag, int(on), 0)


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer to a request: ``first`` and ``count`` as asked (count 0 on an error), the number of words there are, and the words read."""

    opcode: int
    status: int
    tag: int
    first: int
    count: int
    words_there: int
    words: tuple[int, ...]

    @classmethod
    def parse(cls, payload: bytes) -> Reply:
        """ValueError if ``payload`` is no reply."""
        if len(payload) < BEAT_BYTES or not payload[0] & OP_REPLY or payload[0] == OP_EVENT:
            raise ValueError(f"not a reply of a manager: {len(payload)} bytes that begin with {payload[:1].hex() or 'nothing'}")
        opcode, status, tag, first, count, there = struct.unpack_from("<BBHIII", payload)
        body = payload[BEAT_BYTES:]
        if (opcode == OP_READ | OP_REPLY and len(body) != 4 * count) or len(body) % 4:
            raise ValueError(f"a reply of {count} words has {len(body)} bytes of words")
        return cls(opcode & ~OP_REPLY, status, tag, first, count, there, struct.unpack(f"<{len(body) // 4}I", body))


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a peer of a node; ``sequence`` counts the events of that node from 0."""

    kind: int
    port: int
    peer: int
    node: int
    sequence: int

    @classmethod
    def parse(cls, payload: bytes) -> Event:
        """ValueError if ``payload`` is no event."""
        if len(payload) != BEAT_BYTES or payload[0] != OP_EVENT or payload[1] not in EVENT:
            raise ValueError(f"not an event of a manager: {len(payload)} bytes that begin with {payload[:2].hex() or 'nothing'}")
        return cls(payload[1], *struct.unpack_from("<IIII", payload, 4))


if __name__ == "__main__":
    print(markdown_table(), end="")
