# SPDX-License-Identifier: Apache-2.0
"""Frames as they are on the wire: 64 header bytes and the payload (docs/frame-format.md)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from floreana.cluster.layout import Header

HEADER_BYTES = 64
MAX_FRAME_BYTES = HEADER_BYTES + 1024
UDP_PORT = 17996
VERSION = 1
DATA = 0
SEQUENCE_MODULUS = 1 << 24


@dataclass(frozen=True, slots=True)
class Station:
    """Who sends or receives frames: its node number and addresses."""

    node: int
    mac: int
    ip: int


@dataclass(frozen=True, slots=True)
class Frame:
    """The fields of a frame that something depends on."""

    dst_mac: int
    src_mac: int
    source: int  # node number
    sequence: int
    acknowledged: int
    header: Header
    payload: bytes


def checksum(header: bytes) -> int:
    """Internet checksum (RFC 1071) of an even number of bytes; 0 over a header whose checksum field is right."""
    total: int = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def build(source: Station, target: Station, header: Header, payload: bytes, sequence: int, acknowledged: int, credit: int = 255) -> bytes:
    """The frame that carries one message from ``source`` to ``target``."""
    ip = struct.pack(">BBHHHBBHII", 0x45, 0, 50 + len(payload), 0, 0x4000, 64, 17, 0, source.ip, target.ip)
    ip = ip[:10] + checksum(ip).to_bytes(2, "big") + ip[12:]
    return b"".join(
        (
            target.mac.to_bytes(6, "big"),
            source.mac.to_bytes(6, "big"),
            b"\x08\x00",
            ip,
            struct.pack(">HHHH", UDP_PORT, UDP_PORT, 30 + len(payload), 0),
            struct.pack(">BBHBB", VERSION << 5 | DATA, credit, source.node, 1, 1),
            sequence.to_bytes(3, "big"),
            acknowledged.to_bytes(3, "big"),
            header.to_bytes(),
            payload,
        )
    )


def fault(raw: bytes) -> str | None:
    """What makes ``raw`` not one of our frames, or None."""
    if not HEADER_BYTES <= len(raw) <= MAX_FRAME_BYTES:
        return f"{len(raw)} bytes, not {HEADER_BYTES} to {MAX_FRAME_BYTES}"
    if raw[12:15] != b"\x08\x00\x45":
        return f"EtherType and IP version are {raw[12:15].hex()}, not 080045"
    if raw[23] != 17:
        return f"IP protocol {raw[23]}, not 17 (UDP)"
    if checksum(raw[14:34]):
        return f"IPv4 header checksum {raw[24:26].hex()} is wrong"
    payload = len(raw) - HEADER_BYTES
    total, udp = int.from_bytes(raw[16:18], "big"), int.from_bytes(raw[38:40], "big")
    if total != 50 + payload or udp != 30 + payload:
        return f"IPv4 length {total} and UDP length {udp} do not fit {payload} payload bytes"
    ports = raw[34:38]
    if ports != struct.pack(">HH", UDP_PORT, UDP_PORT):
        return f"UDP ports {ports.hex()}, not {UDP_PORT} both ways"
    if raw[42] >> 5 != VERSION:
        return f"version {raw[42] >> 5}, not {VERSION}"
    if raw[42] & 31 != DATA:
        return f"type {raw[42] & 31}: only data frames (0) are sent today"
    return None


def parse(raw: bytes) -> Frame:
    """Fields of a frame; ValueError with the cause if it is not one of ours."""
    cause = fault(raw)
    if cause:
        raise ValueError(cause)
    return Frame(
        dst_mac=int.from_bytes(raw[0:6], "big"),
        src_mac=int.from_bytes(raw[6:12], "big"),
        source=int.from_bytes(raw[44:46], "big"),
        sequence=int.from_bytes(raw[48:51], "big"),
        acknowledged=int.from_bytes(raw[51:54], "big"),
        header=Header.from_bytes(raw[54:64]),
        payload=raw[64:],
    )
