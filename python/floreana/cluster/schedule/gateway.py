# SPDX-License-Identifier: Apache-2.0
"""The gateway of a cluster, and the host: who lets sequences in (docs/gateway.md, python/floreana/sim/host.py)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from floreana.cluster import layout
from floreana.cluster.plan import GATEWAY_KERNEL, GatewayPlan, Plan
from floreana.cluster.schedule import depths
from floreana.cluster.schedule.events import Clock, Flight, Message
from floreana.cluster.schedule.switch import Switch
from floreana.cluster.schedule.wire import Port


class Gateway:
    """Rows of the cluster before, sent on while the sequence's slot is free here."""

    __slots__ = ("_clock", "_free", "_gate", "_holder", "_owners", "_port", "_queue", "_sent", "_switch", "cluster")

    def __init__(self, clock: Clock, switch: Switch, port: int, gate: GatewayPlan, cluster: int, owners: Sequence[int]) -> None:
        self._clock, self._switch, self._port, self._gate, self.cluster, self._owners = clock, switch, port, gate, cluster, owners
        self._queue: deque[tuple[int, Message]] = deque()  # (ready, message)
        self._holder: dict[int, Flight] = {}  # by slot
        self._sent: dict[int, int] = {}  # by sequence: messages
        self._free = 0

    def take(self, message: Message, first: int, last: int) -> None:
        self._clock.at(last + depths.GATEWAY, self._arrived, message)

    def _arrived(self, message: Message) -> None:
        if not message.release:
            self._queue.append((self._clock.now, message))
        elif self._holder.get(message.sequence.slot) is message.sequence:
            del self._holder[message.sequence.slot]
        self._go_on()

    def _go_on(self) -> None:
        """Send the first message whose slot is its sequence's, or free."""
        now = self._clock.now
        if now < self._free:
            return
        for place, (_, message) in enumerate(self._queue):
            sequence = message.sequence
            if self._holder.setdefault(sequence.slot, sequence) is sequence:
                if self._switch.full(self._port):
                    self._switch.woken[self._port] = self._go_on
                    return
                del self._queue[place]
                self._send(message)
                return

    def _send(self, message: Message) -> None:
        sequence, gate = message.sequence, self._gate
        kernel = gate.kernel + self._owners[message.row]
        last = self._clock.now + message.beats - 1
        self._switch.push(self._port, Message(self.cluster, kernel, gate.edge_out, message.beats, sequence, message.row), last)
        sent = self._sent[sequence.number] = self._sent.get(sequence.number, 0) + 1
        if sent == sequence.tokens * gate.slices:
            last += 1
            self._switch.push(self._port, Message(gate.up_cluster, gate.up_kernel, 0, 1, sequence, 0, release=True), last)
        self._free = last + 1
        self._clock.at(self._free, self._go_on)


class Host:
    """Sends the rows of each sequence at once, as far as windows go, and takes the results."""

    __slots__ = ("_clock", "_flying", "_held", "_limit", "_plan", "_port", "_queue", "_ready", "_turn", "_whole")

    def __init__(self, clock: Clock, plan: Plan, port: Port, sequences: Sequence[Flight], in_flight: int) -> None:
        self._clock, self._plan, self._port, self._limit = clock, plan, port, in_flight
        self._queue = deque(sequences)
        self._flying = 0
        self._held: dict[int, int] = {}  # slot -> sequence
        self._ready = self._turn = 0
        self._whole = plan.hidden // layout.BEAT_BYTES
        port.deliver = self._take
        port.sent_hook = self._left

    def begin(self) -> None:
        """Let in what may come in now."""
        now, plan = self._clock.now, self._plan
        while self._queue and self._flying < self._limit:
            if now < self._ready:
                self._clock.at(self._ready, self.begin)
                return
            slot = next((s % plan.slots for s in range(self._turn, self._turn + plan.slots) if s % plan.slots not in self._held), None)
            if slot is None:
                return
            sequence = self._queue.popleft()
            self._turn = (slot + 1) % plan.slots
            self._held[slot] = sequence.number
            self._flying += 1
            sequence.slot, sequence.missing = slot, sequence.tokens
            for row in range(sequence.tokens):
                for kernel, edge in plan.entry.copies(row, plan.owners[row]):
                    node = plan.host.peers[kernel].bit_length() - 1
                    for start in range(0, plan.hidden, layout.MESSAGE_BYTES):
                        beats = min(layout.MESSAGE_BYTES, plan.hidden - start) // layout.BEAT_BYTES
                        self._port.hand(node, Message(plan.cluster, kernel, edge, beats, sequence, row))

    def _left(self, message: Message, first: int) -> None:
        if message.sequence.start < 0 and not message.release:
            message.sequence.start = first

    def _take(self, message: Message) -> int:
        now, sequence = self._clock.now, message.sequence
        if message.release:
            if self._held.get(sequence.slot) == sequence.number:
                del self._held[sequence.slot]
            self.begin()
            return now
        count = sequence.beats[message.row] = sequence.beats.get(message.row, 0) + message.beats
        if count == self._whole:
            if sequence.first_row < 0:
                sequence.first_row = now
            sequence.missing -= 1
            if not sequence.missing:
                self._complete(sequence)
        return now

    def _complete(self, sequence: Flight) -> None:
        now, plan = self._clock.now, self._plan
        sequence.end = now
        self._flying -= 1
        self._ready = max(self._ready, now + depths.HOST_GAP)
        last = plan.clusters[-1]
        if last.gateway >= 0:
            self._port.hand(last.gateway, Message(last.number, GATEWAY_KERNEL, 0, 1, sequence, 0, release=True))
        else:
            del self._held[sequence.slot]
        self.begin()
