# SPDX-License-Identifier: Apache-2.0
"""Frames as they are on the wire: 64 header bytes and the payload (docs/frame-format.md).

A frame is a *hop header* (bytes 0 to 41: Ethernet, IPv4, UDP) and a *segment* (bytes 42 on: what the transport says, the message
header, the payload). A host behind a UDP socket sees segments only.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from floreana.cluster.layout import TYPE_CONTROL, Header

HOP_BYTES = 42
SEGMENT_BYTES = 22  # of a segment without payload
HEADER_BYTES = HOP_BYTES + SEGMENT_BYTES
MAX_PAYLOAD_BYTES = 1024
MAX_FRAME_BYTES = HEADER_BYTES + MAX_PAYLOAD_BYTES
UDP_PORT = 17996
VERSION = 1
DATA, ACK, NACK, HELLO, HELLO_ACK = range(5)
TYPE_NAMES = ("data", "ack", "nack", "hello", "hello-ack")
SEQUENCE_MODULUS = 1 << 24
EPOCHS = 255  # 1 to 255; 0: not known
NO_MESSAGE = Header(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, False)  # bytes 54 to 63 of a frame that is not data


class Cause(IntEnum):
    """Why a frame is dropped, in the order in which it is looked for (docs/transport.md, section 7)."""

    MAC_ERROR = 0
    DESTINATION_MAC = 1
    ETHERTYPE = 2
    IP_VERSION = 3
    FRAGMENT = 4
    PROTOCOL = 5
    CHECKSUM = 6
    DESTINATION_ADDRESS = 7
    UDP_PORT = 8
    VERSION_OR_TYPE = 9
    LENGTH = 10
    UNKNOWN_NODE = 11
    SOURCE_ADDRESS = 12
    EPOCH = 13
    EMPTY = 14
    NO_CELL = 15
    GAP = 16
    DUPLICATE = 17
    ARP = 18
    ICMP = 19
    RESPONDER_BUSY = 20


@dataclass(frozen=True, slots=True)
class Station:
    """Who sends or receives frames: its node number and addresses."""

    node: int
    mac: int
    ip: int


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes 42 on. Of ack, nack, hello and hello-ack the message header is zero and there is no payload."""

    type: int
    credit: int
    source: int  # node number
    epoch: int  # of the sender
    epoch_acknowledged: int
    sequence: int
    acknowledged: int
    header: Header
    payload: bytes


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
    type: int = DATA
    credit: int = 255
    epoch: int = 1
    epoch_acknowledged: int = 1


def checksum(header: bytes) -> int:
    """Internet checksum (RFC 1071) of an even number of bytes; 0 over a header whose checksum field is right."""
    total: int = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def build_hop(source: Station, target: Station, payload: int) -> bytes:
    """Bytes 0 to 41 of a frame with ``payload`` bytes of payload."""
    ip = struct.pack(">BBHHHBBHII", 0x45, 0, 50 + payload, 0, 0x4000, 64, 17, 0, source.ip, target.ip)
    return b"".join(
        (
            target.mac.to_bytes(6, "big"),
            source.mac.to_bytes(6, "big"),
            b"\x08\x00",
            ip[:10],
            checksum(ip).to_bytes(2, "big"),
            ip[12:],
            struct.pack(">HHHH", UDP_PORT, UDP_PORT, 30 + payload, 0),
        )
    )


def build_segment(segment: Segment) -> bytes:
    """Bytes 42 on of a frame."""
    return b"".join(
        (
            struct.pack(
                ">BBHBB",
                VERSION << 5 | segment.type,
                segment.credit,
                segment.source,
                segment.epoch,
                segment.epoch_acknowledged,
            ),
            segment.sequence.to_bytes(3, "big"),
            segment.acknowledged.to_bytes(3, "big"),
            segment.header.to_bytes(),
            segment.payload,
        )
    )


def build(
    source: Station,
    target: Station,
    header: Header,
    payload: bytes,
    sequence: int,
    acknowledged: int,
    credit: int = 255,
    *,
    kind: int = DATA,
    epoch: int = 1,
    epoch_acknowledged: int = 1,
) -> bytes:
    """The frame of type ``kind`` from ``source`` to ``target``; for other types than data give NO_MESSAGE and no payload."""
    segment = Segment(kind, credit, source.node, epoch, epoch_acknowledged, sequence, acknowledged, header, payload)
    return build_hop(source, target, len(payload)) + build_segment(segment)


def inspect_segment(data: bytes) -> tuple[Cause, str] | None:
    """What makes ``data`` (bytes 42 on) not one of ours, or None."""
    kind, size = (data[0] if data else 0), len(data)
    if kind >> 5 != VERSION:
        return Cause.VERSION_OR_TYPE, f"version {kind >> 5}, not {VERSION}"
    kind &= 31
    if kind > HELLO_ACK:
        return Cause.VERSION_OR_TYPE, f"type {kind}, not {DATA} to {HELLO_ACK}"
    if not SEGMENT_BYTES <= size <= SEGMENT_BYTES + MAX_PAYLOAD_BYTES:
        return Cause.LENGTH, f"{size + HOP_BYTES} bytes, not {HEADER_BYTES} to {MAX_FRAME_BYTES}"
    if kind != DATA and size != SEGMENT_BYTES:
        return Cause.LENGTH, f"type {kind} ({TYPE_NAMES[kind]}) with {size - SEGMENT_BYTES} payload bytes, not 0"
    return None


def inspect(raw: bytes, station: Station | None = None) -> tuple[Cause, str] | None:
    """The first cause to drop ``raw`` (1 to 10) and what was seen, or None. Destinations are checked if ``station`` is given."""
    head = raw[:HOP_BYTES].ljust(HOP_BYTES, b"\0")
    target, address = int.from_bytes(head[:6], "big"), int.from_bytes(head[30:34], "big")
    if station is not None and target != station.mac:
        return Cause.DESTINATION_MAC, f"destination MAC address {target:012x}, not {station.mac:012x}"
    if head[12:14] != b"\x08\x00":
        return Cause.ETHERTYPE, f"EtherType {head[12:14].hex()}, not 0800"
    if head[14] != 0x45:
        return Cause.IP_VERSION, f"IP version and header length {head[14]:02x}, not 45"
    if head[20] & 0x3F or head[21]:
        return Cause.FRAGMENT, f"flags and fragment offset {head[20:22].hex()}: a fragment"
    if head[23] != 17:
        return Cause.PROTOCOL, f"IP protocol {head[23]}, not 17 (UDP)"
    if checksum(head[14:34]):
        return Cause.CHECKSUM, f"IPv4 header checksum {head[24:26].hex()} is wrong"
    if station is not None and address != station.ip:
        return Cause.DESTINATION_ADDRESS, f"destination address {address:08x}, not {station.ip:08x}"
    ports = head[34:38]
    if ports != struct.pack(">HH", UDP_PORT, UDP_PORT):
        return Cause.UDP_PORT, f"UDP ports {ports.hex()}, not {UDP_PORT} both ways"
    found = inspect_segment(raw[HOP_BYTES:])
    if found is None:
        payload = len(raw) - HEADER_BYTES
        total, udp = int.from_bytes(head[16:18], "big"), int.from_bytes(head[38:40], "big")
        if total != 50 + payload or udp != 30 + payload:
            found = Cause.LENGTH, f"IPv4 length {total} and UDP length {udp} do not fit {payload} payload bytes"
    return found


def fault(raw: bytes) -> str | None:
    """What makes ``raw`` not one of our frames, or None."""
    found = inspect(raw)
    return None if found is None else found[1]


def parse_segment(data: bytes) -> Segment:
    """Fields of bytes 42 on that `inspect_segment` found good."""
    return Segment(
        type=data[0] & 31,
        credit=data[1],
        source=int.from_bytes(data[2:4], "big"),
        epoch=data[4],
        epoch_acknowledged=data[5],
        sequence=int.from_bytes(data[6:9], "big"),
        acknowledged=int.from_bytes(data[9:12], "big"),
        header=Header.from_bytes(data[12:22]),
        payload=data[22:],
    )


def parse(raw: bytes) -> Frame:
    """Fields of a frame; ValueError with the cause if it is not one of ours."""
    cause = fault(raw)
    if cause:
        raise ValueError(cause)
    segment = parse_segment(raw[HOP_BYTES:])
    return Frame(
        dst_mac=int.from_bytes(raw[0:6], "big"),
        src_mac=int.from_bytes(raw[6:12], "big"),
        source=segment.source,
        sequence=segment.sequence,
        acknowledged=segment.acknowledged,
        header=segment.header,
        payload=segment.payload,
        type=segment.type,
        credit=segment.credit,
        epoch=segment.epoch,
        epoch_acknowledged=segment.epoch_acknowledged,
    )


def is_empty(header: Header, payload: bytes) -> bool:
    """True of a message that must not be sent: without payload, and not of type control."""
    return not payload and header.type != TYPE_CONTROL


def newer(epoch: int, known: int) -> bool:
    """True if ``epoch`` is newer than ``known``: known = 0, or 1 to 127 steps ahead modulo 255. 0 is never newer."""
    return epoch != 0 and (known == 0 or 1 <= (epoch - known) % EPOCHS <= 127)
