# SPDX-License-Identifier: Apache-2.0
"""A 100G MAC with the AXIS interface of cmac_usplus, and a node, at one port of tb_node_shell."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import cocotb
from axis_cdc_fifo.frames import Frames, FrameSink, NoGaps, start_clock
from cocotb.triggers import ClockCycles, RisingEdge, Timer

from floreana_tb.streams import ProtocolError, StreamSource, packet_beats

LINE_BYTES_PER_NS = 12.5
WIRE_EXTRA = 24  # checksum, preamble, least gap
FEWEST, MOST = 60, 17 * 64  # bytes of a frame towards the MAC


def numbered(number: int, size: int) -> bytes:
    """A frame that begins with its number."""
    return number.to_bytes(4, "big") + random.randbytes(size - 4)


def content(item: Any) -> bytes:
    """Bytes of an item of Frames."""
    beats, _ = item
    return b"".join(data.to_bytes(64, "little")[: keep.bit_length()] for data, keep in beats)


def number(item: Any) -> int:
    return int.from_bytes(content(item)[:4], "big")


def line_rate(period_ps: int, burst: int = 2) -> Iterator[bool]:
    """tready of a transmitter that empties 12.5 bytes a ns: with every beat 64 bytes go, and never more than ``burst`` wait."""
    room = float(burst)
    while True:
        room = min(burst, room + LINE_BYTES_PER_NS * period_ps / 1000 / 64)
        ready = room >= 1
        room -= ready
        yield ready


class Port:
    """Drivers and monitors of one port. ``from_node``, ``to_node``: what came out at the MAC, and at the node, as ``(bytes, tuser)``."""

    def __init__(self, dut: Any, name: str = "p0", period_ps: int = 3104) -> None:
        self.dut, self.name, self.period_ps = dut, name, period_ps
        self.clock = self.signal("mac_clk")
        self.node = StreamSource(dut, f"{name}_mac_tx", dut.clk)
        self.at_mac = FrameSink(dut, f"{name}_cmac_tx", self.clock, reset=self.signal("mac_tx_rst"), callback=self._sent)
        self.gaps = NoGaps(
            self.clock, *(self.signal(f"cmac_tx_{part}") for part in ("tvalid", "tready", "tlast")), self.signal("mac_tx_rst")
        )
        for part in ("tdata", "tkeep", "tlast", "tuser", "tvalid"):
            self.signal(f"cmac_rx_{part}").value = 0
        for part in ("mac_tx_rst", "mac_rx_rst"):
            self.signal(part).value = 1
        self.signal("stat_rx_aligned").value = 0
        cocotb.start_soon(self._sequence())

    def watch_node(self) -> None:
        """From here on; before its first edges of clk rst is as random as all else."""
        self.at_node = Frames(self.dut, f"{self.name}_mac_rx", self.dut.clk, reset=self.dut.rst)

    def signal(self, name: str) -> Any:
        return getattr(self.dut, f"{self.name}_{name}")

    @property
    def from_node(self) -> list[tuple[bytes, int]]:
        return [(content(item), item[1]) for item in self.at_mac.received]

    @property
    def to_node(self) -> list[tuple[bytes, int]]:
        return [(content(item), item[1]) for item in self.at_node.received]

    def _sent(self, item: Any) -> None:
        size = len(content(item))
        if item[1] == 0 and not FEWEST <= size <= MOST:
            raise ProtocolError(f"{size} bytes to the MAC")

    async def _sequence(self) -> None:
        """A frame begins and ends while the transmitter is enabled and no remote fault is sent."""
        edge = RisingEdge(self.clock)
        valid, enable, rfi, rst = (self.signal(part) for part in ("cmac_tx_tvalid", "ctl_tx_enable", "ctl_tx_send_rfi", "mac_tx_rst"))
        while True:
            await edge
            if rst.value == 0 and valid.value == 1 and (enable.value != 1 or rfi.value != 0):
                raise ProtocolError("a beat is offered to a MAC that is not enabled")

    async def leave_reset(self, aligned: bool = True) -> None:
        """The MAC's clock runs; its resets end, and its receiver aligns."""
        start_clock(self.clock, self.period_ps)
        await ClockCycles(self.clock, 8)
        self.signal("mac_tx_rst").value = 0
        self.signal("mac_rx_rst").value = 0
        self.signal("stat_rx_aligned").value = int(aligned)

    async def deliver(self, raw: bytes, bad: bool = False, gaps: Iterator[bool] | None = None, part: slice = slice(None)) -> None:
        """A frame out of the MAC's receiver, at once; ``part``: only these beats of it."""
        edge = RisingEdge(self.clock)
        data, keep, last, user, valid = (self.signal(f"cmac_rx_{part}") for part in ("tdata", "tkeep", "tlast", "tuser", "tvalid"))
        for beat in packet_beats(raw, None)[part]:
            while gaps is not None and next(gaps):
                valid.value = 0
                await edge
            valid.value = 1
            data.value = beat.data
            keep.value = beat.keep or 0
            last.value = int(beat.last)
            user.value = int(beat.last and bad)
            await edge
        valid.value = 0

    async def deliver_line(self, frames: list[bytes]) -> None:
        """Frames back to back on a wire of 100 Gb/s: each comes out when its last bit is in."""
        due_ns = cocotb.utils.get_sim_time("ns")
        for raw in frames:
            due_ns += (len(raw) + WIRE_EXTRA) / LINE_BYTES_PER_NS
            wait = due_ns - cocotb.utils.get_sim_time("ns") - len(packet_beats(raw, None)) * self.period_ps / 1000
            if wait > self.period_ps / 1000:
                await ClockCycles(self.clock, int(wait * 1000 / self.period_ps))
            await self.deliver(raw)

    async def reset_mac(self, tx: bool, rx: bool, ns: float) -> None:
        """The MAC's own reset of one or both directions, synchronous to its clock; its receiver is lost with ``rx``."""
        await RisingEdge(self.clock)
        self.signal("mac_tx_rst").value = int(tx)
        self.signal("mac_rx_rst").value = int(rx)
        await Timer(round(ns * 1000), "ps")
        await RisingEdge(self.clock)
        self.signal("mac_tx_rst").value = 0
        self.signal("mac_rx_rst").value = 0


async def start(dut: Any, ports: list[Port], clk_ps: int = 5000, aligned: bool = True) -> None:
    """Clocks of node and MACs, power-up reset, links up."""
    dut.arst.value = 1
    start_clock(dut.clk, clk_ps)
    await Timer(60, "ns")
    for port in ports:
        port.watch_node()
    dut.arst.value = 0
    for port in ports:
        await port.leave_reset(aligned)
    await settled(dut)


async def settled(dut: Any) -> None:
    """Wait until all parts have left their resets."""
    await ClockCycles(dut.clk, 280)
