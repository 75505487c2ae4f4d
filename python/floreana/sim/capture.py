# SPDX-License-Identifier: Apache-2.0
"""traffic.pcapng: what every port sent and received, for Wireshark, for the comparison and for `floreana verify`.

One interface a port (the nodes in order, then the host), named after it. Each frame is recorded twice: outbound at the port it left and
inbound at the port it entered (``epb_flags``), each with the cycle of its last beat; timestamps are cycle * 5 ns. A frame the network
lost is there once, one that it doubled three times; one that arrived broken has the flag of a wrong checksum. Records are sorted by
(cycle, interface, inbound first), so that the same run makes the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from floreana.errors import InputError

NS_PER_CYCLE = 5
INBOUND, OUTBOUND = 1, 2
CRC_ERROR = 1 << 24
_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_ETHERNET = 1


@dataclass(frozen=True, slots=True)
class Record:
    """A frame seen at a port; ``cycle`` is that of its last beat. ``bad``: it came with a wrong checksum."""

    cycle: int
    port: int
    outbound: bool
    data: bytes
    bad: bool = False


def _block(kind: int, body: bytes) -> bytes:
    size = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + size + body + size


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def write_capture(path: Path, names: Sequence[str], comment: str, records: Sequence[Record]) -> None:
    """Write the capture; ``names`` are those of the ports, in order."""
    with path.open("wb") as out:
        end = _option(0, b"")
        out.write(
            _block(
                _SECTION,
                struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + _option(1, comment.encode()) + _option(4, b"floreana") + end,
            )
        )
        for name in names:
            options = _option(2, name.encode()) + _option(8, struct.pack("<Q", 100_000_000_000)) + _option(9, b"\x09")
            out.write(_block(_INTERFACE, struct.pack("<HHI", _ETHERNET, 0, 0) + options + end))
        flags = {
            (o, bad): _option(2, struct.pack("<I", (OUTBOUND if o else INBOUND) | (CRC_ERROR if bad else 0))) + end
            for o in (False, True)
            for bad in (False, True)
        }
        for record in sorted(records, key=lambda r: (r.cycle, r.port, r.outbound)):
            stamp, size = record.cycle * NS_PER_CYCLE, len(record.data)
            head = struct.pack("<IIIII", record.port, stamp >> 32, stamp & 0xFFFFFFFF, size, size)
            out.write(_block(_PACKET, head + record.data + bytes(-size % 4) + flags[record.outbound, record.bad]))


def _options(raw: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(raw):
        code, size = struct.unpack_from("<HH", raw, at)
        if code == 0:
            return
        yield code, raw[at + 4 : at + 4 + size]
        at += 4 + size + (-size % 4)


def read_capture(path: Path) -> tuple[list[str], list[Record]]:
    """Port names and records of a capture that `write_capture` made. InputError if it is missing or damaged."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the capture {path}: {error.strerror}; run `floreana sim` first") from error

    def damaged(at: int, why: str) -> InputError:
        return InputError(f"the capture {path} is damaged at byte {at}: {why}; run `floreana sim` again")

    names: list[str] = []
    records: list[Record] = []
    at = 0
    while at < len(raw):
        if at + 12 > len(raw):
            raise damaged(at, "a block is cut short")
        kind, size = struct.unpack_from("<II", raw, at)
        if size < 12 or size % 4 or at + size > len(raw):
            raise damaged(at, f"a block of {size} bytes where {len(raw) - at} are left")
        if struct.unpack_from("<I", raw, at + size - 4)[0] != size:
            raise damaged(at, "the two lengths of a block differ")
        body = raw[at + 8 : at + size - 4]
        if (at == 0) != (kind == _SECTION):
            raise damaged(at, f"block type {kind:#x} is out of place")
        if kind == _INTERFACE:
            names.append(dict(_options(body[8:])).get(2, b"?").decode(errors="replace"))
        elif kind == _PACKET:
            if len(body) < 20:
                raise damaged(at, "a packet block is cut short")
            port, high, low, kept, length = struct.unpack_from("<IIIII", body)
            if kept != length or 20 + kept > len(body) or port >= len(names):
                raise damaged(at, f"packet of {length} bytes, {kept} kept, interface {port} of {len(names)}")
            flags = dict(_options(body[20 + kept + (-kept % 4) :])).get(2, b"\0\0\0\0")
            flag = struct.unpack("<I", flags)[0]
            stamp = high << 32 | low
            if stamp % NS_PER_CYCLE:
                raise damaged(at, f"time {stamp} ns is not a whole cycle of {NS_PER_CYCLE} ns")
            records.append(Record(stamp // NS_PER_CYCLE, port, flag & 3 == OUTBOUND, body[20 : 20 + kept], bool(flag & CRC_ERROR)))
        at += size
    if not names:
        raise InputError(f"the capture {path} is empty; run `floreana sim` again")
    return names, records
