# SPDX-License-Identifier: Apache-2.0
"""What hangs on an Ethernet port of a node in its bench: stations that speak the transport (floreana.host.endpoint) behind one wire."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from floreana.cluster.layout import Header
from floreana.host.endpoint import Delivery, Endpoint, EndpointConfig, PeerConfig, Timers
from floreana.host.frame import Station
from floreana_tb import stalls, streams


def station(node: int) -> Station:
    return Station(node, 0x02_46_4C_00_00_10 + node, 0x0A_01_FE_10 + 0x1357 * node)


class Wire:
    """Frames of all stations, one after another, into ``prefix``_rx; what leaves ``prefix``_tx goes to the station it is addressed to.

    ``deliver(node, delivery)`` is called for every message that reached a station.
    """

    def __init__(
        self, dut: Any, prefix: str, node: Station, deliver: Callable[[int, Delivery], None], pattern: stalls.Pattern | None = None
    ) -> None:
        self.dut, self.prefix, self.node, self.deliver = dut, prefix, node, deliver
        self.sink = streams.PacketSink(dut, f"{prefix}_tx", dut.clk, pattern, callback=self._out, max_beats=17)
        self.endpoints: dict[int, Endpoint] = {}
        self.cut: set[int] = set()  # stations that hear and say nothing
        self.now = 0
        self.frames_in = 0  # into the node
        self._wake: dict[int, int | None] = {}
        self._frames: deque[list[streams.Beat]] = deque()
        for name in ("tdata", "tkeep", "tlast", "tvalid", "tuser"):
            getattr(dut, f"{prefix}_rx_{name}").value = 0
        cocotb.start_soon(self._run())

    def join(self, node: int, quota: int = 8, timers: Timers | None = None) -> Endpoint:
        """A station begins, or begins again without any memory. It says hello often: only the node's own timers cost a test time."""
        config = EndpointConfig(station(node), {self.node.node: PeerConfig(self.node, quota)}, timers or Timers(rto=300))
        self.endpoints[node] = Endpoint(config, self.now)
        self._wake[node] = self.now
        return self.endpoints[node]

    def send(self, node: int, header: Header, payload: bytes) -> None:
        """A station sends a message to the node."""
        assert self.endpoints[node].send(self.now, self.node.node, header, payload), "the station's queue is full"
        self._wake[node] = self.now

    @property
    def quiet(self) -> bool:
        return not self._frames and all(self.endpoints[k].queued == 0 for k in self.endpoints if k not in self.cut)

    def _out(self, packet: streams.Packet) -> None:
        target = int.from_bytes(packet.payload[:6], "big")
        for node, endpoint in self.endpoints.items():
            if station(node).mac == target and node not in self.cut:
                dropped = sum(endpoint.counters.drops)
                endpoint.receive(self.now, packet.payload)
                assert sum(endpoint.counters.drops) == dropped or self.cut, f"station {node}: {endpoint.counters.drops_by_name()}"
                self._wake[node] = self.now

    async def _run(self) -> None:
        rx = {name: getattr(self.dut, f"{self.prefix}_rx_{name}") for name in ("tdata", "tkeep", "tlast", "tvalid")}
        beats: deque[streams.Beat] = deque()
        valid = False
        edge = RisingEdge(self.dut.clk)
        while True:
            await edge
            self.now += 1
            for node, wake in self._wake.items():
                if wake is not None and wake <= self.now:
                    self._serve(node)
            if not beats and self._frames:
                beats.extend(self._frames.popleft())
                self.frames_in += 1
            offer = bool(beats)
            if beats:
                beat = beats.popleft()
                rx["tdata"].value, rx["tkeep"].value, rx["tlast"].value = beat.data, beat.keep, int(beat.last)
            if offer != valid:
                rx["tvalid"].value = int(offer)
                valid = offer

    def _serve(self, node: int) -> None:
        endpoint = self.endpoints[node]
        while (delivery := endpoint.take(self.now)) is not None:
            self.deliver(node, delivery)
        for raw in endpoint.poll(self.now):
            if node not in self.cut:
                self._frames.append(streams.packet_beats(raw, None))
        self._wake[node] = endpoint.next_time()
