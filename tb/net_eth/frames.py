# SPDX-License-Identifier: Apache-2.0
"""Frames built by scapy: the independent oracle of the Ethernet port's benches (layout: docs/frame-format.md)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from floreana.cluster.layout import TYPE_CONTROL, Header

UDP_PORT = 17996
DATA, ACK, NACK, HELLO, HELLO_ACK = range(5)


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


def control(row: int) -> Header:
    """Message header of a control message, which may be empty."""
    return Header(
        dst_cluster=7, dst_kernel=0, edge=2, src_cluster=8, src_kernel=255, slot=0, generation=0, row=row & 0xFFFF, offset=0,
        type=TYPE_CONTROL, last=False,
    )  # fmt: skip


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


def frame(
    source: Station, target: Station, seq: int, header: Header, payload: bytes, ack: int = 0, credit: int = 64, epochs: bytes = b"\1\1"
) -> bytes:
    """A good data frame."""
    return bytes(packet(source, target, transport(source.node, seq, ack, header, credit, epochs=epochs) + payload))


def bare(kind: int, source: Station, target: Station, ack: int = 0, credit: int = 64, epochs: bytes = b"\1\1", seq: int = 0) -> bytes:
    """A frame of another type than data: 64 bytes."""
    return bytes(packet(source, target, transport(source.node, seq, ack, control(0), credit, kind, epochs=epochs)))


def repair_checksum(raw: bytes) -> bytes:
    """The frame with the IPv4 header checksum computed anew, by scapy."""
    from scapy.utils import checksum

    head = raw[14:24] + b"\0\0" + raw[26:34]
    return raw[:24] + checksum(head).to_bytes(2, "big") + raw[26:]
