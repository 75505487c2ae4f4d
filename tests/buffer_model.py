# SPDX-License-Identifier: Apache-2.0
"""Stations with finite buffers and a plan's tables, moved in random order until all is delivered or nothing can move.

A station has, for each Ethernet port, room for ``cells`` messages that it sends (a queue for each neighbour, all in one store) and for
``cells`` that it receives (one queue for each set of outputs). The kernels of a station have endless sources and always sink. Transport is
taken as perfect: a message crosses when the neighbour has room, in order.

Two switches: ``whole`` starts a message when every Ethernet port it goes out of has room, and until then holds nothing. ``holding``
starts it when its outputs are free, holds them, kernels too, and moves when there is room in all: what is held is lost to others.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from floreana.cluster.topology import ETH_PORT, LinkEnd, Links, Station, wires

Message = tuple[int, int]  # number, destination kernel


@dataclass
class Store:
    """Messages of one input of a switch, by the outputs they go to."""

    size: int | None  # None: a source without end
    queues: dict[int, deque[Message]] = field(default_factory=dict)
    used: int = 0

    def room(self) -> bool:
        return self.size is None or self.used < self.size

    def put(self, mask: int, message: Message) -> None:
        self.queues.setdefault(mask, deque()).append(message)
        self.used += 1

    def take(self, mask: int) -> Message:
        self.used -= 1
        message = self.queues[mask].popleft()
        if not self.queues[mask]:
            del self.queues[mask]
        return message


class Network:
    """``deliveries``: (number, station, switch port) of what kernels got, in order."""

    def __init__(self, stations: Sequence[Station], links: Links, cells: int, holding: bool, seed: int) -> None:
        self.stations, self.wiring, self.holding = stations, wires(links), holding
        self.random = random.Random(seed)
        self.deliveries: list[tuple[int, int, int]] = []
        # inputs of the switches: an Ethernet port, or -1 for all kernels of the station together
        self.inputs = {(k, port): Store(cells if port >= 0 else None) for k in range(len(stations)) for port in (-1, 0, 1)}
        self.sending: dict[LinkEnd, Store] = {end: Store(cells) for end in self.wiring}
        self.held: dict[tuple[int, int], tuple[int, int]] = {}  # (station, output) -> (input, mask)
        self.busy: dict[tuple[int, int], int] = {}  # input -> mask of what it has started

    def inject(self, station: int, message: Message) -> None:
        self.inputs[station, -1].put(self._mask(station, -1, message), message)

    def _mask(self, at: int, port: int, message: Message) -> int:
        mask = self.stations[at].route[message[1]]
        return mask & ~(1 << ETH_PORT[port]) if port >= 0 else mask

    def _ports(self, mask: int) -> list[int]:
        return [eth for eth, port in enumerate(ETH_PORT) if mask >> port & 1]

    def _room(self, at: int, mask: int) -> bool:
        return all(self.sending[LinkEnd(at, eth)].room() for eth in self._ports(mask))

    def _pass(self, at: int, port: int, mask: int) -> None:
        """A message goes through the switch to all its outputs."""
        message = self.inputs[at, port].take(mask)
        self.deliveries += [(message[0], at, out) for out in range(8) if mask >> out & 1 and out not in ETH_PORT]
        for eth in self._ports(mask):
            self.sending[LinkEnd(at, eth)].put(self.stations[at].peers[eth][message[1]], message)

    def _moves(self) -> list[tuple[str, int, int, int]]:
        moves: list[tuple[str, int, int, int]] = []
        for (at, port), store in self.inputs.items():
            if (at, port) in self.busy:
                mask = self.busy[at, port]
                moves += [("finish", at, port, mask)] if self._room(at, mask) else []
                continue
            for mask in store.queues:
                if self.holding:
                    free = all((at, out) not in self.held for out in range(8) if mask >> out & 1)
                    moves += [("start", at, port, mask)] if free else []
                elif self._room(at, mask):
                    moves.append(("pass", at, port, mask))
        for end, store in self.sending.items():
            for mask in store.queues:
                (peer,) = (bit for bit in range(mask.bit_length()) if mask >> bit & 1)  # in a line or a ring one neighbour a port
                if self.inputs[peer, self.wiring[end][peer]].room():
                    moves.append(("cross", end.node, end.port, mask))
        return moves

    def run(self) -> bool:
        """True when all was delivered, False when nothing can move any more."""
        while moves := self._moves():
            kind, at, port, mask = self.random.choice(moves)
            outputs = [(at, out) for out in range(8) if mask >> out & 1]
            if kind == "pass":
                self._pass(at, port, mask)
            elif kind == "start":
                self.busy[at, port] = mask
                self.held |= dict.fromkeys(outputs, (port, mask))
            elif kind == "finish":
                self._pass(at, port, mask)
                del self.busy[at, port]
                for output in outputs:
                    del self.held[output]
            else:
                end = LinkEnd(at, port)
                message = self.sending[end].take(mask)
                peer = mask.bit_length() - 1
                came = self.wiring[end][peer]
                self.inputs[peer, came].put(self._mask(peer, came, message), message)
        return not any(store.used for store in (*self.inputs.values(), *self.sending.values()))
