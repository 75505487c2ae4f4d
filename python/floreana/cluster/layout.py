# SPDX-License-Identifier: Apache-2.0
"""Bit layouts of everything the configuration bus writes: the one place in software where field positions are stated.

A layout is a tuple of ``(name, width)`` packed from bit 0 upwards (see docs/architecture.md, sections 2, 3 and 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Layout = tuple[tuple[str, int], ...]

BEAT_BYTES = 64
MESSAGE_BYTES = 1024
MESSAGE_BEATS = MESSAGE_BYTES // BEAT_BYTES
GENERATIONS_MAX = 7  # of a slot under way at a time: a flush is newer than all of them, and none of them for a kernel stale

# units of the configuration bus, cfg_addr[31:28]; the gateway's comes after that of the last eth port
UNIT_NODE, UNIT_LINEAR, UNIT_ATTENTION, UNIT_ADD_NORM, UNIT_SWITCH, UNIT_ETH, UNIT_ETH_1 = range(7)
# memories, cfg_addr[27:24]
MEM_EDGE, MEM_CONTEXT, MEM_MESSAGE, MEM_OWNER = range(4)
MEM_IDENT = 0
MEM_WEIGHT, MEM_BIAS, MEM_POST = 4, 5, 6  # linear
MEM_REQUANT = 4  # attention
MEM_CHANNEL, MEM_LOCAL_ROW = 4, 5  # add_norm
MEM_ROUTE = 0  # switch
MEM_PEERS, MEM_PEER, MEM_REGISTER = range(3)  # eth
MEM_GATE = 1  # gateway; its OWNER table is MEM_OWNER
CLUSTERS_BASE = 256  # ROUTE and PEERS: 0 to 255 kernels of the own cluster, from here on the other clusters
# registers of an eth port
REG_ACK_DELAY, REG_RTO, REG_RETRIES, REG_KEEP, REG_NACK_HOLD = range(5)

# switch ports
PORT_MANAGER, PORT_LINEAR, PORT_ATTENTION, PORT_ADD_NORM, PORT_ETH, PORT_ETH_1 = range(6)  # the gateway comes after the last eth port

TYPE_INT8, TYPE_INT16, TYPE_INT32, TYPE_CONTROL = range(4)
LINEAR_PARTIAL, LINEAR_REQUANT, LINEAR_GELU = range(3)
ROLE_DATA, ROLE_PART, ROLE_RESIDUAL = range(3)
ROLE_Q, ROLE_K, ROLE_V = range(3)
ATTENTION_PUBLISHED, ATTENTION_DEFERRED = range(2)
NORM_ENTRY, NORM_NORM = range(2)

IDENT: Layout = (("cluster", 8), ("linear", 8), ("attention", 8), ("add_norm", 8))
EDGE: Layout = (("ctx", 6), ("role", 2), ("valid", 1))
MESSAGE: Layout = (
    ("dst_cluster", 8),
    ("dst_kernel", 8),
    ("edge", 8),
    ("by_owner", 1),
    ("offset", 10),
    ("type", 2),
    ("beats", 5),
)
OWNER: Layout = (("owner", 8),)
POST: Layout = (("m", 32), ("e", 7), ("off", 9), ("gelu_b", 20), ("gelu_c", 40), ("gelu_shift", 24))
REQUANT: Layout = (("m", 32), ("e", 7), ("off", 9))
CHANNEL: Layout = (
    ("m", 32),
    ("e", 7),
    ("m1", 32),
    ("e1", 7),
    ("bias", 32),
    ("om", 32),
    ("oe", 7),
    ("ooff", 9),
)
LOCAL_ROW: Layout = (("local_row", 16),)
ROUTE: Layout = (("ports", 8),)
PEERS: Layout = (("nodes", 64),)
PEER: Layout = (("mac", 48), ("ip", 32), ("valid", 1), ("quota", 8))
REGISTER: Layout = (("value", 24),)
GATE: Layout = (("kernel", 8), ("edge_in", 8), ("edge_out", 8), ("slices", 3), ("up_cluster", 8), ("up_kernel", 8))

LINEAR_CONTEXT: Layout = (
    ("in_base", 16),
    ("in_beats", 7),
    ("region", 3),
    ("prio", 2),
    ("mode", 2),
    ("groups", 8),
    ("out_units", 10),
    ("w_base", 16),
    ("bias_base", 14),
    ("post_base", 16),
    ("msg_base", 8),
    ("msg_count", 4),
)
ATTENTION_CONTEXT: Layout = (
    ("bank", 1),
    ("beats", 4),
    ("x0", 16),
    ("b", 20),
    ("c", 32),
    ("m", 32),
    ("e", 7),
    ("req_base", 12),
    ("msg_base", 8),
    ("mode", 1),
)
ADD_NORM_CONTEXT: Layout = (
    ("mode", 1),
    ("beats", 7),
    ("parts", 7),
    ("slices", 3),
    ("region", 2),
    ("acc_base", 16),
    ("res_base", 14),
    ("keep", 1),
    ("keep_base", 14),
    ("chan_base", 14),
    ("h", 13),
    ("shift", 5),
    ("msg_base", 8),
    ("msg_count", 4),
)


def layout_width(layout: Layout) -> int:
    """Bits of an entry."""
    return sum(width for _, width in layout)


def pack(layout: Layout, values: Mapping[str, int]) -> int:
    """Pack ``values`` (every field named, none more) into an unsigned integer.

    Accepts the signed or the unsigned range of each field. Raises ValueError naming field, value and limit.
    """
    names = {name for name, _ in layout}
    if names != set(values):
        raise ValueError(f"fields {sorted(names ^ set(values))} do not match the layout {sorted(names)}")
    word, shift = 0, 0
    for name, width in layout:
        value = int(values[name])
        if not -(1 << (width - 1)) <= value < (1 << width):
            raise ValueError(f"field {name}: value {value} does not fit {width} bits")
        word |= (value & ((1 << width) - 1)) << shift
        shift += width
    return word


def unpack(layout: Layout, word: int) -> dict[str, int]:
    """Unsigned fields of a packed entry."""
    out: dict[str, int] = {}
    for name, width in layout:
        out[name] = word & ((1 << width) - 1)
        word >>= width
    return out


def cfg_addr(unit: int, mem: int, index: int) -> int:
    """Configuration bus address: unit [31:28], memory [27:24], index [23:0]."""
    if not (0 <= unit < 16 and 0 <= mem < 16 and 0 <= index < 1 << 24):
        raise ValueError(f"configuration address out of range: unit {unit}, memory {mem}, index {index}")
    return unit << 28 | mem << 24 | index


@dataclass(frozen=True, slots=True)
class Header:
    """The ten message bytes (wire bytes 54 to 63)."""

    dst_cluster: int
    dst_kernel: int
    edge: int
    src_cluster: int
    src_kernel: int
    slot: int
    generation: int
    row: int
    offset: int  # units of 4 bytes
    type: int
    last: bool

    def to_bytes(self) -> bytes:
        tail = self.offset << 6 | self.type << 4 | int(self.last) << 3
        return bytes(
            [
                self.dst_cluster,
                self.dst_kernel,
                self.edge,
                self.src_cluster,
                self.src_kernel,
                self.slot << 4 | self.generation,
            ]
        ) + bytes([self.row >> 8, self.row & 255, tail >> 8, tail & 255])

    def to_tuser(self) -> int:
        """Value of tuser[79:0]: wire byte 54+i in bits 8*i+7..8*i."""
        return int.from_bytes(self.to_bytes(), "little")

    @classmethod
    def from_bytes(cls, raw: bytes) -> Header:
        if len(raw) != 10:
            raise ValueError(f"message header has {len(raw)} bytes, not 10")
        tail = raw[8] << 8 | raw[9]
        return cls(
            dst_cluster=raw[0],
            dst_kernel=raw[1],
            edge=raw[2],
            src_cluster=raw[3],
            src_kernel=raw[4],
            slot=raw[5] >> 4,
            generation=raw[5] & 15,
            row=raw[6] << 8 | raw[7],
            offset=tail >> 6,
            type=tail >> 4 & 3,
            last=bool(tail >> 3 & 1),
        )

    @classmethod
    def from_tuser(cls, tuser: int) -> Header:
        return cls.from_bytes(tuser.to_bytes(10, "little"))
