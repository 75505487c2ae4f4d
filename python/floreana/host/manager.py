# SPDX-License-Identifier: Apache-2.0
"""Asks the managers of the nodes: reads words, writes tables, flushes slots, switches events on (docs/manager.md).

A state machine that never blocks and knows no clock: `read`, `write`, `flush` and `events` return an `Operation` at once; `poll` sends what
may go, `receive` takes what came. An operation is cut into requests; a node has at most ``outstanding`` of them unanswered, all of one
operation; operations on a node are done in the order of the calls. A write that is refused because a kernel works is sent again after a
pause.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from floreana.cluster.layout import TYPE_CONTROL, Header
from floreana.errors import FloreanaError
from floreana.host import words

GATEWAY_KERNEL, HOST_KERNEL = 254, 255
Send = Callable[[int, int, Header, bytes], bool]  # now, peer, header, payload; False: full, try again. `Endpoint.send` is one


class ManagerError(FloreanaError):
    """A manager refused a request or did not answer. ``node`` says which; ``lost``: no answer will come, asking again later may help."""

    exit_code = 3

    def __init__(self, message: str, node: int, lost: bool = False) -> None:
        super().__init__(message)
        self.node = node
        self.lost = lost


@dataclass(frozen=True, slots=True)
class ManagerAddress:
    """Where requests to a node go: the next hop, the kernel number (0 where the hop is the node itself, else 193 + k), the cluster."""

    peer: int
    kernel: int = 0
    cluster: int = 0


@dataclass(frozen=True, slots=True)
class ManagerConfig:
    """``nodes`` by node number. ``timeout``: a request without answer for so long fails (None: never); ``pause``: before asking again
    where a kernel is at work. Both in units of the time handed in. ``outstanding``: a manager keeps up to 6 requests, and 2 WRITEs."""

    nodes: Mapping[int, ManagerAddress]
    names: Mapping[int, str] = field(default_factory=dict)
    timeout: int | None = None
    pause: int = 256
    outstanding: int = 1


@dataclass(slots=True, eq=False)
class Operation:
    """What was asked of one node. ``done`` once it is answered wholly, or failed."""

    node: int
    what: str  # in words
    done: bool = False
    error: ManagerError | None = None
    pieces: dict[int, tuple[int, ...]] = field(default_factory=dict)  # of a read, by first word
    open: int = 0  # requests not answered yet

    def result(self) -> tuple[int, ...]:
        """The words read (none of other operations). ManagerError if it failed; RuntimeError if it is not done."""
        if self.error is not None:
            raise self.error
        if not self.done:
            raise RuntimeError(f"{self.what} is not done: call poll and receive until it is")
        return tuple(word for first in sorted(self.pieces) for word in self.pieces[first])


@dataclass(slots=True, eq=False)
class _Request:
    operation: Operation
    payload: Callable[[int], bytes]  # from the tag
    opcode: int
    first: int
    count: int
    tag: int = -1
    since: int = -1  # sent first
    not_before: int = 0


@dataclass(slots=True)
class ManagerCounters:
    """Since the start."""

    requests: int = 0  # sent
    replies: int = 0  # that answered one of them
    busy: int = 0  # replies that said: a kernel is at work
    strays: int = 0  # replies to nobody: the request was given up
    events: int = 0
    malformed: int = 0  # control messages that are neither


class ManagerClient:
    """See the module."""

    def __init__(self, config: ManagerConfig, send: Send) -> None:
        self.config = config
        self.counters = ManagerCounters()
        self.reports: deque[words.Event] = deque()  # what the managers tell; the user empties it
        self._send = send
        self._queues: dict[int, deque[_Request]] = {node: deque() for node in sorted(config.nodes)}
        self._open: dict[int, _Request] = {}  # by tag
        self._tag = 0

    # -------------------------------------------------------------------------------------------------------------- asking

    def read(self, node: int, first: int, count: int) -> Operation:
        """Ask for ``count`` words from ``first`` on; any count, cut into requests of 128."""
        operation = self._begin(node, f"a read of {count} words from {first}")
        for at in range(first, first + count, words.READ_LIMIT):
            size = min(words.READ_LIMIT, first + count - at)
            self._add(operation, words.OP_READ, at, size, lambda tag, a=at, n=size: words.read_request(tag, a, n))  # type: ignore[misc]
        return self._close(operation)

    def write(self, node: int, address: int, values: Sequence[bytes]) -> Operation:
        """Write entries of 64 bytes to configuration addresses ``address``, ``address`` + 1, ..; any number, cut into requests of 15.

        ValueError names an entry of another size.
        """
        for place, value in enumerate(values):
            if len(value) != words.BEAT_BYTES:
                raise ValueError(f"entry {place} has {len(value)} bytes, not {words.BEAT_BYTES}: pad it with zeros")
        numbers = [int.from_bytes(value, "little") for value in values]
        operation = self._begin(node, f"a write of {len(values)} entries to {address:08x}")
        for at in range(0, len(numbers), words.WRITE_LIMIT):
            part, where = numbers[at : at + words.WRITE_LIMIT], address + at
            self._add(operation, words.OP_WRITE, where, len(part), lambda tag, a=where, v=part: words.write_request(tag, a, v))  # type: ignore[misc]
        return self._close(operation)

    def flush(self, node: int, slot: int, generation: int) -> Operation:
        """Make the node's kernels forget a slot and take ``generation`` from then on."""
        operation = self._begin(node, f"a flush of slot {slot} to generation {generation}")
        self._add(operation, words.OP_FLUSH, slot, generation, lambda tag: words.flush_request(tag, slot, generation))
        return self._close(operation)

    def events(self, node: int, on: bool) -> Operation:
        """Make the node tell of its links, or stop it."""
        operation = self._begin(node, f"to tell events: {'on' if on else 'off'}")
        self._add(operation, words.OP_EVENTS, int(on), 0, lambda tag: words.events_request(tag, on))
        return self._close(operation)

    def _begin(self, node: int, what: str) -> Operation:
        if node not in self.config.nodes:
            raise ValueError(f"no node {node}: the nodes with managers are {sorted(self.config.nodes)}")
        return Operation(node, what)

    def _add(self, operation: Operation, opcode: int, first: int, count: int, payload: Callable[[int], bytes]) -> None:
        operation.open += 1
        self._queues[operation.node].append(_Request(operation, payload, opcode, first, count))

    def _close(self, operation: Operation) -> Operation:
        operation.done = operation.open == 0  # nothing to ask
        return operation

    # --------------------------------------------------------------------------------------------------------------- state

    def name(self, node: int) -> str:
        return self.config.names.get(node, f"node {node}")

    @property
    def idle(self) -> bool:
        """Nothing is asked or waits to be."""
        return not self._open and not any(self._queues.values())

    def next_time(self) -> int | None:
        """When `poll` is needed though nothing came."""
        times = [request.not_before for node in self._queues for request in self._askable(node) if request.not_before]
        if self.config.timeout is not None:
            times += [queue[0].since + self.config.timeout for queue in self._queues.values() if queue and queue[0].since >= 0]
        return min(times, default=None)

    def poll(self, now: int) -> None:
        """Send what may go, and give up what was not answered in time."""
        timeout = self.config.timeout
        for node, queue in self._queues.items():
            if timeout is not None and queue and 0 <= queue[0].since <= now - timeout:
                request = queue[0]
                why = "a kernel is still at work" if request.tag < 0 else "there is no answer"
                self._fail(request, f"after {now - request.since} cycles {why}; is the node running and the cable in?", lost=True)
            for request in self._askable(node):
                if request.not_before <= now and not self._ask(now, node, request):
                    break

    def _askable(self, node: int) -> list[_Request]:
        """Requests that may be sent now or once their pause is over."""
        queue = self._queues[node]
        front = list(islice((request for request in queue if request.operation is queue[0].operation), self.config.outstanding))
        return [request for request in front if request.tag < 0]

    def _ask(self, now: int, node: int, request: _Request) -> bool:
        address = self.config.nodes[node]
        tag = self._tag
        while tag in self._open:
            tag = (tag + 1) & 0xFFFF
        header = Header(address.cluster, address.kernel, 0, address.cluster, HOST_KERNEL, 0, 0, 0, 0, TYPE_CONTROL, False)
        if not self._send(now, address.peer, header, request.payload(tag)):
            return False
        self._tag = (tag + 1) & 0xFFFF
        self.counters.requests += 1
        request.tag = tag
        request.since = now if request.since < 0 else request.since
        self._open[tag] = request
        return True

    # -------------------------------------------------------------------------------------------------------------- coming

    def receive(self, now: int, header: Header, payload: bytes) -> bool:
        """A message came; False if it is not of type control, so none of a manager."""
        if header.type != TYPE_CONTROL:
            return False
        try:
            if payload[:1] == bytes([words.OP_EVENT]):
                self.reports.append(words.Event.parse(payload))
                self.counters.events += 1
                return True
            reply = words.Reply.parse(payload)
        except ValueError:
            self.counters.malformed += 1
            return True
        request = self._open.get(reply.tag)
        if request is None or reply.opcode != request.opcode:
            self.counters.strays += 1
            return True
        self.counters.replies += 1
        self._answered(now, request, reply)
        return True

    def _answered(self, now: int, request: _Request, reply: words.Reply) -> None:
        node = request.operation.node
        if reply.status == words.STATUS_BUSY:
            self.counters.busy += 1
            self._withdraw(request)
            request.not_before = now + self.config.pause
            return
        if reply.status != words.STATUS_OK:
            known = reply.status < len(words.STATUS)
            why = words.STATUS[reply.status] if known else f"status {reply.status}"
            self._fail(request, f"it says: {why} (it has {reply.words_there} words)")
            return
        if reply.first != request.first or reply.count != request.count:
            self._fail(request, f"it answered for {reply.first}, {reply.count} where {request.first}, {request.count} was asked")
            return
        self._withdraw(request)
        self._queues[node].remove(request)
        operation = request.operation
        operation.pieces[reply.first] = reply.words
        operation.open -= 1
        operation.done = operation.open == 0

    def lost(self, node: int, why: str) -> None:
        """The node restarted or is out of reach: all that was asked of it fails. ``why`` completes "node 3: a read ..: "."""
        queue = self._queues.get(node)
        while queue:
            self._fail(queue[0], why, lost=True)

    def abandon(self, operation: Operation) -> None:
        """Ask no more of an operation; an answer that still comes is a stray."""
        queue = self._queues[operation.node]
        for request in [request for request in queue if request.operation is operation]:
            self._withdraw(request)
            queue.remove(request)
        if not operation.done:
            operation.done = True
            operation.error = ManagerError(f"{self.name(operation.node)}: {operation.what} was abandoned", operation.node, lost=True)

    def _withdraw(self, request: _Request) -> None:
        self._open.pop(request.tag, None)
        request.tag = -1

    def _fail(self, request: _Request, why: str, lost: bool = False) -> None:
        operation = request.operation
        operation.done = True
        operation.error = ManagerError(f"{self.name(operation.node)}: {operation.what}: {why}", operation.node, lost)
        self.abandon(operation)
