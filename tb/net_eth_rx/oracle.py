# SPDX-License-Identifier: Apache-2.0
"""What must become of a received frame, from its bytes alone: written after docs/transport.md, knows nothing of the RTL."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from net_eth.frames import UDP_PORT, Station, station

from floreana.cluster.layout import TYPE_CONTROL

CAUSES = [
    "mac error", "destination mac", "ethertype", "ip version", "fragment", "protocol", "checksum", "destination address", "udp port",
    "version or type", "length", "unknown node", "source address", "epoch", "empty", "full", "gap", "duplicate", "arp", "icmp", "busy",
]  # fmt: skip
KINDS = ["data", "ack", "nack", "hello", "hello-ack"]
#: words of sts_count; beats: of payload accepted, peak: most cells in use
WORDS = dict(enumerate(["frames", "data", "beats", *KINDS[1:], "peak", "arp answered", "icmp answered", *CAUSES]))
BROADCAST = b"\xff" * 6
NUMBERS = 1 << 24


@dataclass(frozen=True, slots=True)
class Event:
    """One pulse of ev_valid."""

    peer: int
    kind: int
    epoch: int
    ack_epoch: int
    ack: int
    credit: int
    right: bool


@dataclass(slots=True)
class Oracle:
    """The receiver's state that a verdict depends on; ``judge`` keeps it."""

    me: Station
    peers: set[int]
    start: int = 0
    mine: dict[int, int] = field(default_factory=dict)
    theirs: dict[int, int] = field(default_factory=dict)
    expected: dict[int, int] = field(default_factory=dict)
    full: bool = False
    peers_n: int = 64  # an event tells the peer's index, its number modulo this

    def judge(self, raw: bytes, *, bad: bool = False, gap: bool = False) -> tuple[str, Event | None, tuple[int, bytes] | None]:
        """Fate of a frame (a kind, ``arp answered``, ``icmp answered`` or a cause), its event, its message (tuser, payload).

        ``gap``: tkeep has a hole."""
        head = raw.ljust(64, b"\0")
        mac, ip = self.me.mac.to_bytes(6, "big"), self.me.ip.to_bytes(4, "big")
        if bad:
            return "mac error", None, None
        arp = head[12:14] == b"\x08\x06" and head[0:6] in (mac, BROADCAST)
        if arp:
            return "arp answered", None, None
        if head[0:6] != mac:
            return "destination mac", None, None
        if head[12:14] != b"\x08\x00":
            return "ethertype", None, None
        if head[14] != 0x45:
            return "ip version", None, None
        if int.from_bytes(head[20:22], "big") & 0x3FFF:
            return "fragment", None, None
        if head[23] not in (1, 17):
            return "protocol", None, None
        if not _checksum_right(head[14:34]):
            return "checksum", None, None
        if head[30:34] != ip:
            return "destination address", None, None
        if head[23] == 1:
            return "icmp answered", None, None
        if struct.unpack(">HH", head[34:38]) != (UDP_PORT, UDP_PORT):
            return "udp port", None, None
        kind = head[42] & 31
        if head[42] >> 5 != 1 or kind > 4:
            return "version or type", None, None
        total, udp = int.from_bytes(head[16:18], "big"), int.from_bytes(head[38:40], "big")
        if not 30 <= udp <= 1054 or total != udp + 20 or len(raw) != udp + 34 or gap or (kind and udp != 30):
            return "length", None, None
        node = int.from_bytes(head[44:46], "big")
        if node not in self.peers:
            return "unknown node", None, None
        peer = station(node)
        if head[6:12] != peer.mac.to_bytes(6, "big") or head[26:30] != peer.ip.to_bytes(4, "big"):
            return "source address", None, None
        epoch, ack_epoch = head[46], head[47]
        right = 0 not in (epoch, ack_epoch) and (epoch, ack_epoch) == (self.theirs.get(node, 0), self.mine.get(node, 0))
        event = Event(node % self.peers_n, kind, epoch, ack_epoch, int.from_bytes(head[51:54], "big"), head[43], right)
        if kind < 3 and not right:
            return "epoch", event, None
        if kind:
            return KINDS[kind], event, None
        payload = raw[64:]
        if not payload and head[63] >> 4 & 3 != TYPE_CONTROL:
            return "empty", event, None
        if self.full:
            return "full", event, None
        number, expected = int.from_bytes(head[48:51], "big"), self.expected.get(node, self.start)
        if number != expected:
            return "gap" if (number - expected) % NUMBERS < NUMBERS // 2 else "duplicate", event, None
        self.expected[node] = (expected + 1) % NUMBERS
        return "data", event, (int.from_bytes(head[54:64], "little"), payload)


def _checksum_right(header: bytes) -> bool:
    total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, len(header), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF
