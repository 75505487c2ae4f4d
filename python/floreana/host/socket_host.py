# SPDX-License-Identifier: Apache-2.0
"""The host on a real network: the transport over a plain UDP socket, in real time.

The operating system makes Ethernet, IPv4 and UDP (bytes 0 to 41 of a frame) and answers ARP; everything from byte 42 on is `Endpoint`'s,
as in the simulation. Time is counted in cycles of the nodes' clock, so that the registers of the plan mean the same on both sides. No
raw socket, no privilege.

A process may pause for milliseconds where a node answers in microseconds: give the nodes that talk to such a host, and the host itself,
an RTO longer than its longest pause (at 200 MHz 2,000,000 cycles are 10 ms).
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from floreana.cluster.layout import Header
from floreana.errors import EnvironmentError_
from floreana.host.admission import Admission
from floreana.host.endpoint import Delivery, Endpoint, EndpointConfig, LinkEvent
from floreana.host.frame import MAX_PAYLOAD_BYTES, SEGMENT_BYTES, UDP_PORT, Cause
from floreana.host.manager import Operation

_BATCH = 256  # datagrams taken before the timers are looked at again
_BUFFER_BYTES = 4 << 20  # asked of the system for each direction
_NS = 1_000_000_000


def dotted(address: int) -> str:
    """An IPv4 address as text."""
    return socket.inet_ntoa(address.to_bytes(4, "big"))


@dataclass(frozen=True, slots=True)
class SocketConfig:
    """``endpoint.station.ip`` must be an address of this machine. ``cycles_per_second``: the clock of the timers, that of the nodes."""

    endpoint: EndpointConfig
    cycles_per_second: int = 200_000_000
    port: int = UDP_PORT

    def __post_init__(self) -> None:
        if self.cycles_per_second < 1:
            raise ValueError(f"cycles_per_second = {self.cycles_per_second}: choose at least 1; the nodes' clock is 200000000")
        if not 1 <= self.port < 1 << 16:
            raise ValueError(f"port {self.port}: choose 1 to 65535, that of the nodes (they have {UDP_PORT})")


class SocketHost:
    """One socket and one `Endpoint`. Give ``admission`` an `Admission` made with ``host.send``, or take messages with `take` yourself.

    Everything happens inside `step`, so inside `run`; nothing runs in the background.
    """

    def __init__(self, config: SocketConfig) -> None:
        """EnvironmentError_ if the address or port cannot be had."""
        self.config = config
        self.admission: Admission | None = None
        self.send_errors = 0  # datagrams that the system did not take: lost, the transport sends them again
        self._start = time.monotonic_ns()
        address = dotted(config.endpoint.station.ip)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                with contextlib.suppress(OSError):  # a wish: a smaller buffer only loses more
                    self._socket.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
            self._socket.bind((address, config.port))
        except OSError as error:
            self._socket.close()
            raise EnvironmentError_(
                f"cannot use UDP port {config.port} of {address}: {error.strerror}; give the host an address of this machine, "
                "and end what else uses the port"
            ) from error
        self.endpoint = Endpoint(config.endpoint, self.now())
        self._targets = {node: (dotted(peer.station.ip), config.port) for node, peer in config.endpoint.peers.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def now(self) -> int:
        """Cycles since the host started."""
        return (time.monotonic_ns() - self._start) * self.config.cycles_per_second // _NS

    def send(self, now: int, peer: int, header: Header, payload: bytes) -> bool:
        """As `Endpoint.send`: for `Admission` and `ManagerClient`."""
        return self.endpoint.send(now, peer, header, payload)

    def take(self) -> Delivery | None:
        """The next message that came, where there is no ``admission``."""
        return self.endpoint.take(self.now())

    def take_event(self) -> LinkEvent | None:
        """The next thing that happened to a link, where there is no ``admission``."""
        return self.endpoint.events.popleft() if self.endpoint.events else None

    def step(self, longest: float = 0.05) -> None:
        """Send what may go; then wait until something comes or a timer runs out, at most ``longest`` seconds; take what came."""
        self._poll()
        wait = longest
        for at in (self.endpoint.next_time(), self.admission.next_time() if self.admission is not None else None):
            if at is not None:
                wait = min(wait, max(at - self.now(), 0) / self.config.cycles_per_second)
        select.select([self._socket], [], [], wait)
        self._receive()
        self._poll()

    def run(self, done: Callable[[], bool], seconds: float) -> bool:
        """`step` until ``done``; False if it is not after ``seconds``."""
        end = time.monotonic() + seconds
        while not done():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.step(min(left, 0.05))
        return True

    def ask(self, operation: Operation, seconds: float) -> tuple[int, ...]:
        """Wait for an operation of the admission's manager; its result. ManagerError as there; TimeoutError after ``seconds``."""
        if not self.run(lambda: operation.done, seconds):
            raise TimeoutError(f"{operation.what} is not answered after {seconds} s; is the node running and the cable in?")
        return operation.result()

    def _poll(self) -> None:
        now = self.now()
        if self.admission is not None:
            self.admission.poll(now)
        for peer, data in self.endpoint.poll_segments(now):
            try:
                self._socket.sendto(data, self._targets[peer])
            except OSError:
                self.send_errors += 1

    def _receive(self) -> None:
        for _ in range(_BATCH):
            try:
                data, (address, port) = self._socket.recvfrom(SEGMENT_BYTES + MAX_PAYLOAD_BYTES + 1)
            except BlockingIOError:
                break
            except OSError:  # what an earlier datagram met, say an unreachable port
                continue
            now = self.now()
            if port != self.config.port:
                self.endpoint.reject(now, Cause.UDP_PORT)
                continue
            self.endpoint.receive_segment(now, data, int.from_bytes(socket.inet_aton(address), "big"))
        admission = self.admission
        if admission is None:
            return
        now = self.now()
        while (item := self.endpoint.take(now)) is not None:
            admission.receive(now, item.header, item.payload)
        while self.endpoint.events:
            admission.link_event(self.endpoint.events.popleft())
