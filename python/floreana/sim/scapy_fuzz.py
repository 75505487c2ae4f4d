# SPDX-License-Identifier: Apache-2.0
"""Frames made by scapy's fuzz(): fields that are not set get random values of their kind, some of them far out of range."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw, fuzz

PORT = 17996
_HOP = 42


def _mac(raw: bytes) -> str:
    return ":".join(f"{byte:02x}" for byte in raw)


def _ip(raw: bytes) -> str:
    return ".".join(str(byte) for byte in raw)


def _packets(rng: random.Random, mac: bytes, ip: bytes, real: bytes) -> list[Callable[[], Any]]:
    ether: dict[str, Any] = {"dst": _mac(mac), "src": _mac(real[6:12])}
    peer, load = _ip(real[26:30]), rng.randbytes(rng.randrange(200))
    addresses: dict[str, Any] = {"src": peer, "dst": _ip(ip)}
    right = IP(ttl=64, id=0, flags="DF", **addresses)
    return [
        lambda: fuzz(Ether(dst=_mac(rng.choice((mac, rng.randbytes(6)))), src=ether["src"])) / Raw(load),
        lambda: Ether(**ether) / fuzz(IP(**addresses)) / Raw(load),
        lambda: Ether(**ether) / fuzz(IP(options=[], **addresses)) / UDP(sport=PORT, dport=PORT, chksum=0) / Raw(real[_HOP:]),
        lambda: Ether(**ether) / right / fuzz(UDP()) / Raw(load),
        lambda: Ether(**ether) / right / fuzz(UDP(sport=PORT, dport=PORT)) / Raw(real[_HOP:]),
        lambda: Ether(**ether) / right / UDP(sport=PORT, dport=PORT, chksum=0) / Raw(load),
        lambda: Ether(**ether) / IP(version=4, ihl=5, proto=1, **addresses) / fuzz(ICMP()) / Raw(load),
        lambda: Ether(**ether) / fuzz(IP(version=4, ihl=5, options=[], frag=0, proto=1, **addresses)) / ICMP(type=8) / Raw(load),
        lambda: Ether(**ether, type=0x0806) / fuzz(ARP(hwsrc=ether["src"], psrc=peer, pdst=_ip(ip))),
        lambda: Ether(**ether, type=0x0806) / fuzz(ARP(hwtype=1, ptype=0x0800, hwlen=6, plen=4, hwsrc=ether["src"], psrc=peer)),
    ]


def fuzzed(rng: random.Random, mac: bytes, ip: bytes, real: bytes) -> bytes:
    """A frame of 1 to 9,018 bytes, as if from the sender of the frame ``real`` to the node of these addresses.

    scapy draws from Python's own generator: its state is set from ``rng``. Every address is given, so that scapy never looks one up.
    """
    while True:
        random.seed(rng.getrandbits(64))
        try:
            raw = bytes(rng.choice(_packets(rng, mac, ip, real))())
        except Exception:  # values that scapy drew and then cannot write
            continue
        if raw:
            return raw[:9018]
