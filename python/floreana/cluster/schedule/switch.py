# SPDX-License-Identifier: Apache-2.0
"""The packet switch of a node, message by message (rtl/net/net_switch.v)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from floreana.cluster.layout import CLUSTERS_BASE
from floreana.cluster.schedule import depths
from floreana.cluster.schedule.events import Clock, Message

Sink = Callable[[Message, int, int], None]  # message, cycles of its first and last beat at the output


class Switch:
    """Virtual output queues, the least recently served first, multicasts by a lane that all others make way for."""

    __slots__ = (
        "_clock",
        "_cluster",
        "_in_free",
        "_lane",
        "_multi",
        "_no_return",
        "_out_free",
        "_outputs",
        "_queues",
        "_room",
        "_route",
        "_served",
        "_sinks",
        "_wanted",
        "cells",
        "woken",
    )  # fmt: skip

    def __init__(
        self,
        clock: Clock,
        cluster: int,
        route: Mapping[int, int],
        sinks: Sequence[Sink],
        eth: Sequence[int],
        room: Sequence[Callable[[], bool]],
    ) -> None:
        """``sinks`` and ``room`` by port; ``eth``: the Ethernet ports, which never send back."""
        ports = len(sinks)
        self._clock, self._cluster, self._route, self._sinks, self._room = clock, cluster, route, sinks, room
        self._no_return = frozenset(eth)
        self._queues: dict[tuple[int, int], deque[Message]] = {}  # (input, output) -> those that wait
        self._multi: dict[int, deque[tuple[Message, tuple[int, ...]]]] = {}
        self._in_free, self._out_free = [0] * ports, [0] * ports
        self._outputs: dict[tuple[int, int], tuple[int, ...]] = {}
        self._served: dict[tuple[int, int], int] = {}  # (input, output or -1) -> when
        self._lane: tuple[int, Message, tuple[int, ...]] | None = None
        self._wanted: int = -1  # cycle of the next look that is planned
        self.cells = [0] * ports  # in use
        self.woken: list[Callable[[], None] | None] = [None] * ports  # who waits for a cell of the input

    def full(self, port: int) -> bool:
        """No cell of the input is free."""
        return self.cells[port] >= depths.SWITCH_CELLS

    def outputs(self, port: int, message: Message) -> tuple[int, ...]:
        """Ports that a message from input ``port`` leaves by."""
        number = message.kernel if message.cluster == self._cluster else CLUSTERS_BASE + message.cluster
        known = self._outputs.get((port, number))
        if known is None:
            mask = self._route[number]
            known = tuple(o for o in range(len(self._sinks)) if mask >> o & 1 and not (o == port and o in self._no_return))
            self._outputs[port, number] = known
        return known

    def push(self, port: int, message: Message, known: int) -> None:
        """A message takes a cell of input ``port``; ``known``: the cycle with its last beat, of an Ethernet port with its first."""
        self.cells[port] += 1
        outputs = self.outputs(port, message)
        late = depths.SWITCH + (depths.SWITCH_MULTI if len(outputs) > 1 else 0)
        self._clock.at(known + late, self._queue, port, message, outputs)

    def _queue(self, port: int, message: Message, outputs: tuple[int, ...]) -> None:
        if len(outputs) > 1:
            self._multi.setdefault(port, deque()).append((message, outputs))
        else:
            self._queues.setdefault((port, outputs[0]), deque()).append(message)
        self.look()

    def look(self) -> None:
        """Begin what can begin now."""
        now = self._clock.now
        while self._multi:
            if self._lane is None:
                able = [i for i, queue in self._multi.items() if all(self._room[o]() for o in queue[0][1])]
                if not able:
                    break
                port = min(able, key=lambda i: (self._served.get((i, -1), -1), i))
                self._lane = (port, *self._multi[port][0])
            port, message, outputs = self._lane
            if not all(self._room[o]() for o in outputs):
                self._served[port, -1] = now
                self._lane = None
                continue
            if self._in_free[port] > now or any(self._out_free[o] > now for o in outputs):
                break
            self._multi[port].popleft()
            if not self._multi[port]:
                del self._multi[port]
            self._lane = None
            self._served[port, -1] = now
            self._begin(port, message, outputs)
        lane_in = self._lane[0] if self._lane is not None else -1
        lane_out = self._lane[2] if self._lane is not None else ()
        if self._queues:
            for port, output in sorted(self._queues, key=lambda pair: (self._served.get(pair, -1), pair)):
                if (
                    self._in_free[port] <= now
                    and self._out_free[output] <= now
                    and port != lane_in
                    and output not in lane_out
                    and self._room[output]()
                ):
                    queue = self._queues[port, output]
                    message = queue.popleft()
                    if not queue:
                        del self._queues[port, output]
                    self._served[port, output] = now
                    self._begin(port, message, (output,))

    def _begin(self, port: int, message: Message, outputs: tuple[int, ...]) -> None:
        now = self._clock.now
        end = now + message.beats
        self._in_free[port] = end
        for output in outputs:
            self._out_free[output] = end
            self._sinks[output](message, now, end - 1)
        self._clock.at(end, self._leave, port)

    def _leave(self, port: int) -> None:
        self.cells[port] -= 1
        waits = self.woken[port]
        if waits is not None:
            self.woken[port] = None
            waits()
        if self._queues or self._multi:
            self.look()
