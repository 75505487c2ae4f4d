# SPDX-License-Identifier: Apache-2.0
"""Frames built by scapy: the independent oracle of the Ethernet port's benches (layout: docs/frame-format.md)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from floreana.cluster.layout import Header

UDP_PORT = 17996


@dataclass(frozen=True, slots=True)
class Station:
    """What names a node on the wire."""

    node: int
    mac: int
    ip: int

    @property
    def mac_text(self) -> str:
        return ":".join(f"{byte:02x}" for byte in self.mac.to_bytes(6, "big"))

    @property
    def ip_text(self) -> str:
        return ".".join(str(byte) for byte in self.ip.to_bytes(4, "big"))


def station(node: int) -> Station:
    return Station(node, 0x02_46_4C_00_00_10 + node, 0x0A_01_FE_10 + 0x1357 * node)


def transport(
    source: int, seq: int, ack: int, header: Header, credit: int = 64, kind: int = 0, version: int = 1, epochs: bytes = b"\1\1"
) -> bytes:
    """Bytes 42 to 63."""
    return (
        struct.pack(">BBH", version << 5 | kind, credit, source)
        + epochs
        + seq.to_bytes(3, "big")
        + ack.to_bytes(3, "big")
        + header.to_bytes()
    )


def packet(source: Station, target: Station, tail: bytes) -> Ether:
    """A scapy packet whose checksum and lengths scapy computes when it is turned into bytes. UDP checksum 0 as we send it."""
    return (
        Ether(dst=target.mac_text, src=source.mac_text, type=0x0800)
        / IP(src=source.ip_text, dst=target.ip_text, ttl=64, id=0, flags="DF", tos=0)
        / UDP(sport=UDP_PORT, dport=UDP_PORT, chksum=0)
        / Raw(tail)
    )


def frame(source: Station, target: Station, seq: int, header: Header, payload: bytes, ack: int = 0, credit: int = 64) -> bytes:
    """A good data frame."""
    return bytes(packet(source, target, transport(source.node, seq, ack, header, credit) + payload))
