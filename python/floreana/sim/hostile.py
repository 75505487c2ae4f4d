# SPDX-License-Identifier: Apache-2.0
"""Attackers on the Ethernet switch of a simulated cluster: what they send, when, and what must become of it.

`Judge` says which counter of a node a frame must move (docs/transport.md, section 7). It is written from the document alone: it shares no
code with `floreana.host.frame` and `floreana.host.endpoint`. `Forge` makes frames of every kind from a seed and from what was seen on the
wire. `Attack` puts them into the network behind the regular frames, and holds every reply of a node against the reply it must be.

Nothing is authenticated: who knows epochs and numbers can send what a node must believe. Such frames are left out (`Judge.harmless`).
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from floreana.host.words import RX_CAUSES
from floreana.sim.ethernet import HALF_BYTES, OVERHEAD, Arrival, Fabric, beats
from floreana.sim.job import Siege, Target

DROPS = tuple(f"dropped.{name}" for name, _ in RX_CAUSES)  # by number of the cause
CONTROL = ("accepted", "acks", "nacks", "hellos", "hello_acks")  # by type of the frame
ANSWERED = ("arp_answered", "icmp_answered")
FATES = (*CONTROL, *ANSWERED, *DROPS)
ATTACKER_MAC, ATTACKER_IP = 0x02_BA_D0_00_00_01, 0x0A_11_00_FE
PORT = (17996).to_bytes(2, "big")
FAR = 4096  # a number so far from the one expected stays on its side of it
OLDEST, NEWEST = 64, 512  # frames remembered of each way: the first ones of a run, and the last
_BROADCAST = b"\xff" * 6
_ARP_REQUEST = bytes.fromhex("0001080006040001")
_SEQUENCES = 1 << 24


def ones_sum(data: bytes) -> int:
    """Sum of big-endian half-words in ones' complement; 0 only where all are 0. An odd end is padded with a zero."""
    total = sum(data[0::2]) << 8
    total += sum(data[1::2])
    return total and (total - 1) % 0xFFFF + 1


def with_checksum(raw: bytes) -> bytes:
    """The frame with its IPv4 header checksum put right."""
    total = ~ones_sum(raw[14:24] + raw[26:34]) & 0xFFFF
    return raw[:24] + total.to_bytes(2, "big") + raw[26:]


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _newer(epoch: int, known: int) -> bool:
    return epoch != 0 and (known == 0 or (epoch - known) % 255 in range(1, 128))


@dataclass(slots=True)
class Link:
    """What a node must know of a peer."""

    mac: bytes
    ip: bytes
    mine: int = 0
    theirs: int = 0
    expected: int = 0
    acked: int = 0  # the highest number the peer acknowledged


class Judge:
    """What a port must count for every frame that enters it. Bytes after a frame's end read as 0, as the simulated MAC gives them."""

    def __init__(self, mac: int, ip: int, peers: Mapping[int, tuple[int, int]]) -> None:
        """``peers``: by node number, MAC and IPv4 address."""
        self.mac, self.ip = mac.to_bytes(6, "big"), ip.to_bytes(4, "big")
        self.links = {node: Link(m.to_bytes(6, "big"), a.to_bytes(4, "big")) for node, (m, a) in peers.items()}

    def look(self, raw: bytes, bad: bool = False) -> str:
        """The counter that moves, changing nothing. An answered request may also be dropped: the responder may be busy."""
        if bad:
            return DROPS[0]
        head, size = raw[:64].ljust(64, b"\0"), len(raw)
        mine = head[0:6] == self.mac
        if head[12:14] == b"\x08\x06" and (mine or head[0:6] == _BROADCAST):
            right = 42 <= size <= 64 and head[14:22] == _ARP_REQUEST and head[38:42] == self.ip
            return ANSWERED[0] if right else DROPS[18]
        if not mine:
            return DROPS[1]
        if head[12:14] != b"\x08\x00":
            return DROPS[2]
        if head[14] != 0x45:
            return DROPS[3]
        if _number(head[20:22]) & 0x3FFF:
            return DROPS[4]
        if head[23] not in (1, 17):
            return DROPS[5]
        if ones_sum(head[14:34]) != 0xFFFF:
            return DROPS[6]
        if head[30:34] != self.ip:
            return DROPS[7]
        total = _number(head[16:18])
        if head[23] == 1:
            fits = 28 <= total <= 1024 and (size == total + 14 or (size <= 64 and size > total + 14))
            echo = fits and head[34:36] == b"\x08\x00" and ones_sum(raw[34 : total + 14]) == 0xFFFF
            return ANSWERED[1] if echo else DROPS[19]
        if head[34:38] != PORT + PORT:
            return DROPS[8]
        kind, udp = head[42] & 31, _number(head[38:40])
        if head[42] >> 5 != 1 or kind > 4:
            return DROPS[9]
        if size != udp + 34 or total != udp + 20 or not 30 <= udp <= 1054 or (kind and udp != 30):
            return DROPS[10]
        link = self.links.get(_number(head[44:46]))
        if link is None:
            return DROPS[11]
        if (head[6:12], head[26:30]) != (link.mac, link.ip):
            return DROPS[12]
        if kind < 3 and not self.right(link, head):
            return DROPS[13]
        if kind:
            return CONTROL[kind]
        if udp == 30 and head[63] >> 4 & 3 != 3:
            return DROPS[14]
        ahead = (_number(head[48:51]) - link.expected) % _SEQUENCES
        return CONTROL[0] if ahead == 0 else DROPS[16] if ahead < _SEQUENCES // 2 else DROPS[17]

    def take(self, raw: bytes, bad: bool = False) -> str:
        """The same, and go on as the node does."""
        fate = self.look(raw, bad)
        if fate in CONTROL or fate in (DROPS[16], DROPS[17]):
            link, kind, epoch, known = self.links[_number(raw[44:46])], raw[42] & 31, raw[46], raw[47]
            if kind >= 3 and _newer(epoch, link.theirs):
                link.theirs, link.expected, link.acked = epoch, 0, 0
            if kind == 4 and epoch in (0, link.theirs) and (link.mine == 0 or _newer(known, link.mine)):
                if link.mine:
                    link.expected = link.acked = 0
                link.mine = known % 255 + 1
            if self.right(link, raw):
                more = (_number(raw[51:54]) - link.acked) % _SEQUENCES
                link.acked = (link.acked + (more if more < FAR else 0)) % _SEQUENCES
            if fate == CONTROL[0]:
                link.expected = (link.expected + 1) % _SEQUENCES
        return fate

    @staticmethod
    def right(link: Link, raw: bytes) -> bool:
        """True if the epochs of a frame are those of the link."""
        return link.mine != 0 and link.theirs != 0 and (raw[46], raw[47]) == (link.theirs, link.mine)

    def harmless(self, raw: bytes, bad: bool, seen: bool) -> bool:
        """False for a forgery that a node must believe, and for what may count in either of two ways by the time it arrives.

        ``seen``: an exact copy of a frame that entered this port before.
        """
        fate = self.look(raw, bad)
        if fate in ANSWERED:  # the reply must go to the attacker and to nobody else
            return _number(raw[22:28] if fate == ANSWERED[0] else raw[6:12]) >> 8 == ATTACKER_MAC >> 8
        if fate not in CONTROL and fate not in (DROPS[13], DROPS[16], DROPS[17]):
            return True
        link, kind, epoch, known = self.links[_number(raw[44:46])], raw[42] & 31, raw[46], raw[47]
        if not (link.mine and link.theirs):
            return False
        if kind >= 3 and (_newer(epoch, link.theirs) or (kind == 4 and epoch in (0, link.theirs) and _newer(known, link.mine))):
            return False  # begins another epoch
        if not self.right(link, raw):
            return True
        if kind == 0:
            ahead = (_number(raw[48:51]) - link.expected) % _SEQUENCES
            if ahead < FAR or 0 <= ahead - _SEQUENCES // 2 < FAR:
                return False  # may be the number expected by then, or change sides
        if seen:
            return True
        # acknowledges more than the peer did, or grants more with the same number
        return (_number(raw[51:54]) - link.acked) % _SEQUENCES >= FAR

    def reply(self, raw: bytes) -> bytes:
        """What the responder answers to a request that is right (RFC 826, RFC 792), padded to 60 bytes."""
        if raw[12:14] == b"\x08\x06":
            out = raw[22:28] + self.mac + raw[12:20] + b"\0\2" + self.mac + self.ip + raw[22:32]
            return out.ljust(60, b"\0")
        total = raw[16:18]
        rest = raw[38 : 14 + _number(total)]
        check = ~ones_sum(rest) & 0xFFFF
        head = b"\x45\0" + total + b"\0\0\x40\0\x40\1\0\0" + self.ip + raw[26:30]
        frame = raw[6:12] + self.mac + b"\x08\0" + head + b"\0\0" + check.to_bytes(2, "big") + rest
        return with_checksum(frame).ljust(60, b"\0")


# (first byte, bytes) of what a header says, by name
FIELDS = {
    "destination MAC": (0, 6),
    "source MAC": (6, 6),
    "EtherType": (12, 2),
    "IPv4 version": (14, 1),
    "DSCP": (15, 1),
    "IPv4 length": (16, 2),
    "identification": (18, 2),
    "fragment": (20, 2),
    "TTL": (22, 1),
    "protocol": (23, 1),
    "checksum": (24, 2),
    "source address": (26, 4),
    "destination address": (30, 4),
    "source port": (34, 2),
    "destination port": (36, 2),
    "UDP length": (38, 2),
    "UDP checksum": (40, 2),
    "version and type": (42, 1),
    "credit": (43, 1),
    "node": (44, 2),
    "epoch": (46, 1),
    "epoch acknowledged": (47, 1),
    "sequence": (48, 3),
    "acknowledged": (51, 3),
    "message header": (54, 10),
}


@dataclass(slots=True)
class Memory:
    """Frames seen: the first and the last of a way, one of each content."""

    oldest: list[bytes] = field(default_factory=list)
    newest: deque[bytes] = field(default_factory=lambda: deque(maxlen=NEWEST))

    def add(self, raw: bytes) -> None:
        if len(self.oldest) < OLDEST:
            self.oldest.append(raw)
        else:
            self.newest.append(raw)

    def __len__(self) -> int:
        return len(self.oldest) + len(self.newest)

    def pick(self, rng: random.Random) -> bytes:
        if self.newest and rng.random() < 0.7:
            return self.newest[rng.randrange(len(self.newest))]
        return self.oldest[rng.randrange(len(self.oldest))]


class Forge:
    """Makes hostile frames for one port; everything follows from the seed and from what was seen on the wire."""

    def __init__(self, judge: Judge, seed: int) -> None:
        self.judge = judge
        self.rng = random.Random(seed)
        self.came: dict[int, Memory] = {}  # by type: frames that entered the port
        self.others = Memory()  # frames for somebody else
        self._scapy: Callable[[random.Random, bytes, bytes, bytes], bytes] | None = None
        self.left_out = 0  # forgeries that a node would have to believe
        self._kinds = {name: maker for name, (_, maker) in KINDS.items()}
        self._names = list(KINDS)
        self._weights = [weight for weight, _ in KINDS.values()]

    def saw(self, raw: bytes, mine: bool) -> None:
        """A regular frame entered the port (``mine``), or another one."""
        if mine:
            self.came.setdefault(raw[42] & 31, Memory()).add(raw)
        else:
            self.others.add(raw)

    @property
    def ready(self) -> bool:
        """Enough was seen: data, hello and hello-ack."""
        return all(kind in self.came for kind in (0, 3, 4)) and len(self.came[0]) >= 8

    def make(self) -> tuple[str, bytes, bool]:
        """(kind, frame, marked bad by the MAC)."""
        while True:
            name = self.rng.choices(self._names, self._weights)[0]
            raw, bad, seen = self._kinds[name](self)
            if self.judge.harmless(raw, bad, seen):
                return name, raw, bad
            self.left_out += 1

    # ------------------------------------------------------------------------------------------------------------- what it is made of

    def real(self, *kinds: int) -> bytes:
        """A frame that entered the port, of one of the types (none given: of any)."""
        known = [kind for kind in kinds or (0, 0, 0, 0, 1, 1, 2, 3, 4) if kind in self.came]
        return self.came[self.rng.choice(known) if known else 0].pick(self.rng)

    def maybe_right(self, raw: bytes) -> bytes:
        return with_checksum(raw) if self.rng.random() < 0.7 else raw

    def ether(self, kind: int) -> bytes:
        return self.judge.mac + ATTACKER_MAC.to_bytes(6, "big") + kind.to_bytes(2, "big")

    def ping(self, size: int) -> bytes:
        """A right echo request with ``size`` bytes of data."""
        body = self.rng.randbytes(4 + size)
        check = ~ones_sum(b"\x08\0" + body) & 0xFFFF
        total = 24 + len(body)
        head = b"\x45\0" + total.to_bytes(2, "big") + self.rng.randbytes(2) + b"\x40\0\x40\1\0\0"
        head += ATTACKER_IP.to_bytes(4, "big") + self.judge.ip
        return with_checksum(self.ether(0x0800) + head + b"\x08\0" + check.to_bytes(2, "big") + body)

    def arp(self) -> bytes:
        """A right request, to everybody or to the node."""
        attacker = ATTACKER_MAC.to_bytes(6, "big")
        head = (_BROADCAST if self.rng.random() < 0.5 else self.judge.mac) + attacker + b"\x08\x06"
        body = _ARP_REQUEST + attacker + ATTACKER_IP.to_bytes(4, "big") + bytes(6) + self.judge.ip
        return head + body + bytes(self.rng.choice((0, 18, 22)))

    def flip(self, raw: bytes, most: int) -> bytes:
        out = bytearray(raw)
        for _ in range(self.rng.randint(1, most)):
            out[self.rng.randrange(len(out))] ^= 1 << self.rng.randrange(8)
        return bytes(out)

    def put(self, raw: bytes, field_name: str, value: bytes | None = None) -> bytes:
        at, size = FIELDS[field_name]
        return raw[:at] + (self.rng.randbytes(size) if value is None else value) + raw[at + size :]

    def resize(self, raw: bytes) -> bytes:
        """IPv4 and UDP length of the bytes there are."""
        raw = self.put(raw, "IPv4 length", (len(raw) - 14).to_bytes(2, "big"))
        return with_checksum(self.put(raw, "UDP length", (len(raw) - 34).to_bytes(2, "big")))

    # -------------------------------------------------------------------------------------------------------------------- kinds

    def random_bytes(self) -> tuple[bytes, bool, bool]:
        raw = self.rng.randbytes(self.rng.randint(1, 1200) if self.rng.random() < 0.2 else self.rng.randint(1, 200))
        if len(raw) > 14 and self.rng.random() < 0.5:  # get past the first checks
            raw = self.judge.mac + raw[6:12] + b"\x08\0" + raw[14:]
        return raw, False, False

    def oversized(self) -> tuple[bytes, bool, bool]:
        raw = self.real(0)
        limit = 9018 if self.rng.random() < 0.1 else 1518
        raw += self.rng.randbytes(self.rng.randint(1089, limit) - len(raw))
        return (self.resize(raw) if self.rng.random() < 0.7 else raw), False, False

    def field(self) -> tuple[bytes, bool, bool]:
        return self.maybe_right(self.put(self.real(), self.rng.choice(tuple(FIELDS)))), False, False

    def bits(self) -> tuple[bytes, bool, bool]:
        return self.maybe_right(self.flip(self.real(), 8)), False, False

    def truncated(self) -> tuple[bytes, bool, bool]:
        raw = self.real()
        raw = raw[: self.rng.randint(1, len(raw) - 1)]
        return (self.resize(raw) if len(raw) >= 42 and self.rng.random() < 0.3 else raw), False, False

    def longer(self) -> tuple[bytes, bool, bool]:
        raw = self.real()
        return raw + self.rng.randbytes(self.rng.randint(1, 64)), False, False

    def lengths(self) -> tuple[bytes, bool, bool]:
        raw = self.real()
        udp = self.rng.choice((0, 8, 29, 31, 30 + 1024, 1055, len(raw) - 35, len(raw) - 33, self.rng.randrange(1 << 16)))
        raw = self.put(raw, "UDP length", udp.to_bytes(2, "big"))
        if self.rng.random() < 0.7:
            raw = self.put(raw, "IPv4 length", (udp + 20 & 0xFFFF).to_bytes(2, "big"))
        return self.maybe_right(raw), False, False

    def marked_bad(self) -> tuple[bytes, bool, bool]:
        raw = self.real() if self.rng.random() < 0.8 else self.ping(8)
        return (raw if self.rng.random() < 0.5 else self.flip(raw, 4)), True, False

    def replayed(self) -> tuple[bytes, bool, bool]:
        return self.real(), False, True

    def replayed_control(self) -> tuple[bytes, bool, bool]:
        return self.real(1, 2, 3, 4), False, True

    def other_epoch(self) -> tuple[bytes, bool, bool]:
        """Epochs of an earlier life, or none."""
        raw = bytearray(self.real())
        at = self.rng.choice((46, 47))
        raw[at] = (raw[at] - 1 - self.rng.randint(1, 120)) % 255 + 1 if self.rng.random() < 0.7 else 0
        return bytes(raw), False, False

    def old_nack(self) -> tuple[bytes, bool, bool]:
        """A nack with the numbers of an ack long past."""
        raw = self.real(1)
        return self.put(raw, "version and type", b"\x22") if raw[42] & 31 == 1 else raw, False, False

    def ahead(self) -> tuple[bytes, bool, bool]:
        """Right epochs, and a number that nobody will reach in this run: a gap. The node tells the peer what it expects."""
        raw = self.real(0)
        number = _number(raw[48:51]) + self.rng.randint(1 << 16, 1 << 22)
        return self.put(raw, "sequence", (number % _SEQUENCES).to_bytes(3, "big")), False, False

    def acknowledges_too_much(self) -> tuple[bytes, bool, bool]:
        """Right epochs, and an acknowledgement of what was never sent: it says nothing, its credit neither."""
        raw = self.real(0, 1)
        number = _number(raw[51:54]) + self.rng.randint(1 << 16, 1 << 22)
        return self.put(raw, "acknowledged", (number % _SEQUENCES).to_bytes(3, "big")), False, False

    def fragment(self) -> tuple[bytes, bool, bool]:
        flags = self.rng.choice((0x2000, 0x6000, self.rng.randint(1, 0x1FFF), 0x2000 | self.rng.randrange(0x2000)))
        return self.maybe_right(self.put(self.real(), "fragment", flags.to_bytes(2, "big"))), False, False

    def version(self) -> tuple[bytes, bool, bool]:
        return self.put(self.real(), "version and type"), False, False

    def unknown_node(self) -> tuple[bytes, bool, bool]:
        numbers = (self.rng.randrange(8), self.rng.randrange(64), 1 << self.rng.randrange(16), self.rng.randrange(1 << 16))
        return self.put(self.real(), "node", self.rng.choice(numbers).to_bytes(2, "big")), False, False

    def impostor(self) -> tuple[bytes, bool, bool]:
        """A known node with another one's MAC address, or another IPv4 address."""
        raw = self.real()
        if self.rng.random() < 0.5:
            return self.put(raw, "source MAC", ATTACKER_MAC.to_bytes(6, "big")), False, False
        return with_checksum(self.put(raw, "source address", (ATTACKER_IP + self.rng.randrange(64)).to_bytes(4, "big"))), False, False

    def for_others(self) -> tuple[bytes, bool, bool]:
        """A frame between others that the switch floods, or the same with the node's MAC address."""
        if not len(self.others):
            return self.put(self.real(), "destination MAC"), False, False
        raw = self.others.pick(self.rng)
        return (raw if self.rng.random() < 0.5 else self.put(raw, "destination MAC", self.judge.mac)), False, False

    def bad_arp(self) -> tuple[bytes, bool, bool]:
        raw = self.arp()
        choice = self.rng.randrange(3)
        if choice == 0:
            return self.flip(raw[:42], 4) + raw[42:], False, False
        if choice == 1:
            return raw[: self.rng.randint(14, 41)], False, False
        return raw + self.rng.randbytes(self.rng.randint(1, 80)), False, False

    def bad_icmp(self) -> tuple[bytes, bool, bool]:
        raw = self.ping(self.rng.choice((0, 8, 22, 56, self.rng.randrange(200), self.rng.randrange(900, 1300))))
        choice = self.rng.randrange(5)
        if choice == 0:
            return self.flip(raw, 3), False, False
        if choice == 1:
            return raw[: self.rng.randint(34, len(raw) - 1)], False, False
        if choice == 2:
            return raw + self.rng.randbytes(self.rng.randint(1, 80)), False, False
        if choice == 3:
            return raw[:34] + self.rng.randbytes(2) + raw[36:], False, False
        return (
            self.maybe_right(self.put(raw, self.rng.choice(("fragment", "IPv4 length", "IPv4 version", "destination address")))),
            False,
            False,
        )

    def good_arp(self) -> tuple[bytes, bool, bool]:
        return self.arp(), False, False

    def good_ping(self) -> tuple[bytes, bool, bool]:
        return self.ping(self.rng.choice((0, 1, 18, 22, 23, 56, 996, self.rng.randrange(400)))), False, False

    def scapy(self) -> tuple[bytes, bool, bool]:
        if self._scapy is None:
            from floreana.sim.scapy_fuzz import fuzzed

            self._scapy = fuzzed
        return self._scapy(self.rng, self.judge.mac, self.judge.ip, self.real()), False, False


Maker = Callable[[Forge], tuple[bytes, bool, bool]]
# kind of frame -> its share in a thousand, and who makes it: (frame, marked bad, an exact copy of one that entered this port)
KINDS: dict[str, tuple[float, Maker]] = {
    "random bytes": (120, Forge.random_bytes),
    "longer than 1,088 bytes": (12, Forge.oversized),
    "real, a header field changed": (150, Forge.field),
    "real, bits flipped": (90, Forge.bits),
    "real, cut short": (70, Forge.truncated),
    "real, bytes added": (40, Forge.longer),
    "real, other lengths": (50, Forge.lengths),
    "real, marked bad by the MAC": (40, Forge.marked_bad),
    "replayed": (70, Forge.replayed),
    "replayed ack, hello, hello-ack": (30, Forge.replayed_control),
    "of an earlier epoch": (40, Forge.other_epoch),
    "nack of numbers long past": (5, Forge.old_nack),
    "number far ahead": (1, Forge.ahead),
    "acknowledges what was never sent": (5, Forge.acknowledges_too_much),
    "fragment": (25, Forge.fragment),
    "other version or type": (30, Forge.version),
    "another node number": (30, Forge.unknown_node),
    "known node, another address": (30, Forge.impostor),
    "for somebody else": (20, Forge.for_others),
    "ARP, malformed": (20, Forge.bad_arp),
    "ICMP, malformed": (20, Forge.bad_icmp),
    "ARP request": (4, Forge.good_arp),
    "echo request": (4, Forge.good_ping),
    "scapy's fuzz()": (110, Forge.scapy),
}


class AttackError(Exception):
    """A node answered something that is not the reply it must give."""


@dataclass(slots=True)
class _Front:
    """One attacked port."""

    target: Target
    judge: Judge
    forge: Forge
    frames: int
    cycle: int = 0  # in which the next frame's last beat leaves the attacker
    sent: int = 0
    arrived: int = 0
    first: int = -1  # cycles of the first and last hostile frame's last beat
    last: int = -1
    on_the_way: deque[str] = field(default_factory=deque)  # kinds
    requests: deque[bytes] = field(default_factory=deque)  # replies that may come
    replies: int = 0
    table: Counter[tuple[str, str]] = field(default_factory=Counter)  # hostile frames by kind and fate
    regular: list[tuple[int, str, int]] = field(default_factory=list)  # cycle, fate, payload beats


class Attack:
    """All attackers of a run: one for every attacked port, each on a port of its own of that Ethernet switch."""

    def __init__(self, job: Siege, seed: int) -> None:
        self._share = job.share
        self.sieges: dict[int, _Front] = {}
        for number, target in enumerate(job.targets):
            judge = Judge(target.mac, target.ip, {peer.node: (peer.mac, peer.ip) for peer in target.peers})
            count = job.frames // len(job.targets) + (number < job.frames % len(job.targets))
            self.sieges[target.port] = _Front(target, judge, Forge(judge, seed * 1000 + number), count)

    @property
    def done(self) -> bool:
        """Every hostile frame has been handed to its node."""
        return all(siege.arrived == siege.frames for siege in self.sieges.values())

    def replied(self, port: int, raw: bytes) -> bool:
        """True if ``raw``, sent by an attacked node, is the reply to a request of the attacker. AttackError if it is a wrong one."""
        siege = self.sieges.get(port)
        if siege is None or not (raw[12:14] == b"\x08\x06" or (raw[12:14] == b"\x08\0" and raw[23:24] == b"\1")):
            return False
        while siege.requests:  # those before it were dropped: the responder was busy
            if siege.requests.popleft() == raw:
                siege.replies += 1
                return True
        raise AttackError(f"sent a reply that answers no request: {raw.hex()}")

    def saw(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """Follow all frames that enter ports, in the order of each port; returns the regular ones."""
        regular = []
        for arrival in arrivals:
            siege = self.sieges.get(arrival.port)
            if not arrival.hostile:
                regular.append(arrival)
            if siege is None:
                for other in self.sieges.values():
                    other.forge.saw(arrival.data, False)
                continue
            fate = siege.judge.take(arrival.data, arrival.bad)
            if not arrival.hostile:
                size = max(beats(len(arrival.data)) - 1, 0) if fate == CONTROL[0] else 0
                siege.regular.append((arrival.cycle, fate, size))
                if not arrival.bad:
                    siege.forge.saw(arrival.data, True)
                for port, other in self.sieges.items():
                    if port != arrival.port:
                        other.forge.saw(arrival.data, False)
                continue
            siege.table[siege.on_the_way.popleft(), fate] += 1
            siege.arrived += 1
            siege.first, siege.last = (arrival.cycle if siege.first < 0 else siege.first), arrival.cycle
            if fate in ANSWERED:
                siege.requests.append(siege.judge.reply(arrival.data))
        return regular

    def go_on(self, horizon: int, window: int, fabric: Fabric) -> None:
        """Send what leaves the attackers in cycles ``horizon`` to ``horizon + window`` - 1."""
        for port, siege in self.sieges.items():
            if not siege.forge.ready:
                continue
            siege.cycle = max(siege.cycle, horizon)
            while siege.sent < siege.frames and siege.cycle < horizon + window:
                kind, raw, bad = siege.forge.make()
                fabric.inject(siege.cycle, port, raw, bad)
                siege.on_the_way.append(kind)
                siege.sent += 1
                siege.cycle += max(-(-2 * (len(raw) + OVERHEAD) * 100 // int(HALF_BYTES * 100 * self._share)), beats(len(raw)))

    def told(self) -> tuple[dict[str, Any], ...]:
        """What happened at every attacked port, for the outcome."""
        return tuple(
            {
                "port": port,
                "frames": siege.arrived,
                "first": siege.first,
                "last": siege.last,
                "table": [[kind, fate, count] for (kind, fate), count in sorted(siege.table.items())],
                "regular": siege.regular,
                "replies": siege.replies,
                "left_out": siege.forge.left_out,
            }
            for port, siege in self.sieges.items()
        )
