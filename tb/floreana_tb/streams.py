# SPDX-License-Identifier: Apache-2.0
"""AXI4-Stream drivers, monitors and scoreboard over cocotb-bus, and the configuration bus.

tdata is driven and read as one whole integer a beat (handling bytes one by one is fifteen times slower at 512 bits). tlast, tkeep,
tuser and tready may be absent from a stream: without tlast every beat is a packet, without tready the stream cannot stall.

Sampling: after ``await RisingEdge(clk)`` a read gives the value before the edge, and a write takes effect after it, in both simulators.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, Event, RisingEdge
from cocotb_bus.drivers import BusDriver
from cocotb_bus.monitors import BusMonitor
from cocotb_bus.scoreboard import Scoreboard as _BusScoreboard

from floreana.cluster.layout import BEAT_BYTES, MESSAGE_BEATS, Header
from floreana_tb.stalls import Pattern

_OPTIONAL = ("tdata", "tkeep", "tuser", "tlast", "tready")


class ProtocolError(AssertionError):
    """A stream broke the handshake contract of rtl/README.md."""


@dataclass(frozen=True, slots=True)
class Beat:
    data: int
    keep: int | None
    user: int | None
    last: bool


@dataclass(frozen=True, slots=True)
class Packet:
    """Beats of one packet; ``payload`` is cut to the bytes that tkeep marks."""

    user: int | None
    payload: bytes
    beats: int


class _Sent:
    """What a queued transaction gives back: awaiting it waits until the last beat was taken; not awaiting it is fine."""

    def __init__(self) -> None:
        self.event = Event()

    @property
    def done(self) -> bool:
        return self.event.is_set()

    def __await__(self) -> Generator[Any, Any, None]:
        yield from self.event.wait().__await__()


def _present(entity: Any, prefix: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if hasattr(entity, f"{prefix}_{name}")]


def _as_int(handle: Any, what: str) -> int:
    """Integer of a signal. The binary string is read from the handle directly: building a LogicArray costs ten times as much."""
    text = handle._handle.get_signal_val_binstr()
    try:
        return int(text, 2)
    except ValueError:
        raise ProtocolError(f"{what} holds X or Z: {text[-64:]}") from None


def packet_beats(payload: bytes, user: int | None, beat_bytes: int = BEAT_BYTES) -> list[Beat]:
    """Cut a payload into beats; an empty one is one beat with tkeep 0, a part beat has its low tkeep bits set."""
    chunks = [payload[i : i + beat_bytes] for i in range(0, len(payload), beat_bytes)] or [b""]
    return [Beat(int.from_bytes(chunk, "little"), (1 << len(chunk)) - 1, user, i == len(chunks) - 1) for i, chunk in enumerate(chunks)]


class StreamSource(BusDriver):
    """Drives beats; ``stalls`` (a Pattern or an iterator of bool) says in which cycles the next beat is held back."""

    def __init__(self, dut: Any, prefix: str, clock: Any, stalls: Pattern | Iterator[bool] | None = None) -> None:
        self._signals = ["tvalid", *_present(dut, prefix, _OPTIONAL)]
        self._stalls = stalls.stalls if isinstance(stalls, Pattern) else stalls
        self._prefix = prefix
        super().__init__(dut, prefix, clock, case_insensitive=False)
        self._has = {name: name in self._signals for name in _OPTIONAL}
        self.beat_bytes = (len(self.bus.tdata) + 7) // 8 if self._has["tdata"] else 0
        self.sent_packets = 0
        self._outstanding = 0
        self.bus.tvalid.value = 0
        for name in ("tdata", "tkeep", "tuser", "tlast"):
            if self._has[name]:
                getattr(self.bus, name).value = 0

    def pause(self, stalls: Pattern | Iterator[bool] | None) -> None:
        """Change the stall pattern from the next beat on."""
        self._stalls = stalls.stalls if isinstance(stalls, Pattern) else stalls

    def send_beats(self, beats: Iterable[Beat]) -> _Sent:
        """Queue beats; returns at once (await the result to wait until the last one was taken)."""
        sent = _Sent()
        self._outstanding += 1
        self.append(list(beats), event=sent.event)
        return sent

    def send_packet(self, payload: bytes, user: int | None = None) -> _Sent:
        """Queue one packet."""
        return self.send_beats(packet_beats(payload, user, self.beat_bytes))

    @property
    def idle(self) -> bool:
        return self._outstanding == 0

    async def wait_idle(self, cycles: int = 1_000_000) -> None:
        """Wait until everything queued was taken; fails after ``cycles`` cycles."""
        for _ in range(cycles):
            if self._outstanding == 0:
                return
            await RisingEdge(self.clock)
        raise AssertionError(f"{self._prefix}: {self._outstanding} packets not taken after {cycles} cycles")

    def abort(self) -> None:
        """Drop what is queued and in flight, at once: for a reset in mid-packet."""
        thread: Any = getattr(self, "_thread")  # noqa: B009 - the untyped base class makes it
        thread.cancel()
        self.clear()
        self._outstanding = 0
        self.bus.tvalid.value = 0
        self._thread = cocotb.start_soon(self._send_thread())

    async def _driver_send(self, transaction: list[Beat], sync: bool = True) -> None:
        edge = RisingEdge(self.clock)
        bus, has = self.bus, self._has
        if sync:
            await edge
        for beat in transaction:
            if self._stalls is not None and next(self._stalls):
                bus.tvalid.value = 0
                await edge
                while next(self._stalls):
                    await edge
            bus.tvalid.value = 1
            if has["tdata"]:
                bus.tdata.value = beat.data
            if has["tkeep"] and beat.keep is not None:
                bus.tkeep.value = beat.keep
            if has["tuser"] and beat.user is not None:
                bus.tuser.value = beat.user
            if has["tlast"]:
                bus.tlast.value = int(beat.last)
            await edge
            if has["tready"]:
                while not _as_int(bus.tready, f"{self._prefix}_tready"):
                    await edge
        self._outstanding -= 1
        self.sent_packets += 1
        if not self._sendQ:
            bus.tvalid.value = 0


class MessageSource(StreamSource):
    """Sends messages of the on-chip stream."""

    def send(self, header: Header | int, payload: bytes) -> _Sent:  # type: ignore[override]
        """Queue one message (tuser the same on every beat); await the result to wait until it was taken."""
        return self.send_packet(payload, header if isinstance(header, int) else header.to_tuser())


class ProtocolMonitor(BusMonitor):
    """Checks the handshake contract of one stream in every cycle and passes each transferred beat to ``_on_beat``.

    tvalid is never withdrawn, a stalled beat does not change, tuser is constant in a packet, tkeep is contiguous and full but on
    the last beat, a packet has at most ``max_beats`` beats, no X or Z on what tvalid covers, none on tvalid outside reset.
    """

    def __init__(
        self,
        dut: Any,
        prefix: str,
        clock: Any,
        callback: Callable[[Any], None] | None = None,
        *,
        reset: Any = None,
        max_beats: int | None = MESSAGE_BEATS,
        constant_user: bool = True,
    ) -> None:
        self._signals = ["tvalid", *_present(dut, prefix, _OPTIONAL)]
        self._prefix = prefix
        self._max_beats = max_beats
        self._constant_user = constant_user
        self.beats = 0
        self.stalled_cycles = 0
        self.cycle = 0
        self.first_cycle: int | None = None
        self.last_cycle: int | None = None
        if reset is None and hasattr(dut, "rst"):
            reset = dut.rst
        super().__init__(dut, prefix, clock, reset=reset, callback=callback, case_insensitive=False)

    def _fail(self, text: str) -> None:
        raise ProtocolError(f"{self._prefix} cycle {self.cycle}: {text}")

    def demand_stalls(self) -> None:
        """After a run with back-pressure: tvalid was seen without tready, so it does not wait for it.

        A design that makes tvalid out of tready never shows a stalled beat, and so never breaks the rules on stalled beats.
        """
        if self.stalled_cycles == 0:
            self._fail("tvalid never came without tready: it waits for it")

    def _on_edge(self) -> None:
        """Called once a cycle after sampling: where a sink drives tready."""

    def _on_beat(self, beat: Beat) -> None:
        """Called for every transferred beat."""

    def _on_reset(self) -> None:
        """Called in every cycle of reset: part packets are dropped."""

    async def _monitor_recv(self) -> None:
        bus = self.bus
        edge = RisingEdge(self.clock)
        covered = [name for name in ("tdata", "tkeep", "tuser", "tlast") if name in self._signals]
        handles: dict[str, Any] = {name: getattr(bus, name)._handle for name in covered}
        valid, ready = bus.tvalid, bus.tready if "tready" in self._signals else None
        reset = self._reset
        stalled: dict[str, str] | None = None
        user: str | None = None
        in_packet = 0
        while True:
            await edge
            self.cycle += 1
            self._on_edge()
            if reset is not None and reset._handle.get_signal_val_binstr() != "0":
                stalled, user, in_packet = None, None, 0
                self._on_reset()
                continue
            if not _as_int(valid, f"{self._prefix}_tvalid"):
                if stalled is not None:
                    self._fail("tvalid was withdrawn before tready")
                continue
            now = {name: handle.get_signal_val_binstr() for name, handle in handles.items()}
            if stalled is not None and now != stalled:
                changed = [name for name in covered if now[name] != stalled[name]]
                self._fail(f"a stalled beat changed: {', '.join(changed)}")
            if ready is not None and not _as_int(ready, f"{self._prefix}_tready"):
                stalled = now
                self.stalled_cycles += 1
                continue
            stalled = None
            try:
                value = {name: int(text, 2) for name, text in now.items()}
            except ValueError:
                self._fail(f"X or Z on {[n for n in covered if set(now[n]) - {'0', '1'}]}")
            in_packet += 1
            last = bool(value.get("tlast", 1))
            if self._constant_user and "tuser" in now:
                if user is not None and now["tuser"] != user:
                    self._fail("tuser changed within a packet")
                user = None if last else now["tuser"]
            if self._max_beats is not None and in_packet > self._max_beats:
                self._fail(f"a packet has more than {self._max_beats} beats")
            if "tkeep" in now:
                keep = value["tkeep"]
                if keep & (keep + 1):
                    self._fail(f"tkeep {keep:#x} is not contiguous from byte 0")
                if not last and keep + 1 != 1 << len(now["tkeep"]):
                    self._fail(f"tkeep {keep:#x} is not full before the last beat")
            if last:
                in_packet = 0
            self.beats += 1
            self.last_cycle = self.cycle
            if self.first_cycle is None:
                self.first_cycle = self.cycle
            self._on_beat(Beat(value.get("tdata", 0), value.get("tkeep"), value.get("tuser"), last))


class PacketMonitor(ProtocolMonitor):
    """Assembles packets and calls ``callback(Packet)``; keeps them in ``received`` too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.received: list[Any] = []
        self.arrival: list[int] = []  # cycle of each packet's last beat
        self._beats: list[Beat] = []
        self._news = Event()
        super().__init__(*args, **kwargs)

    def _on_reset(self) -> None:
        self._beats.clear()

    def _on_beat(self, beat: Beat) -> None:
        self._beats.append(beat)
        if beat.last:
            beats, self._beats = self._beats, []
            self._on_packet(beats)

    def _item(self, packet: Packet) -> Any:
        return packet

    def _on_packet(self, beats: list[Beat]) -> None:
        size = (len(self.bus.tdata) + 7) // 8 if "tdata" in self._signals else 0
        payload = b"".join(beat.data.to_bytes(size, "little")[: size if beat.keep is None else beat.keep.bit_length()] for beat in beats)
        item = self._item(Packet(beats[0].user, payload, len(beats)))
        self.received.append(item)
        self.arrival.append(self.cycle)
        self._recv(item)
        self._news.set()

    async def wait(self, packets: int, cycles: int = 1_000_000) -> None:
        """Wait until ``packets`` packets were received in all; fails after ``cycles`` cycles."""
        for _ in range(cycles):
            if len(self.received) >= packets:
                return
            await RisingEdge(self.clock)
        raise AssertionError(f"{self._prefix}: {len(self.received)} of {packets} packets after {cycles} cycles")

    async def wait_quiet(self, cycles: int = 100) -> None:
        """Wait until no beat was transferred for ``cycles`` cycles: shows that nothing more comes."""
        while True:
            before = self.beats
            await ClockCycles(self.clock, cycles)
            if self.beats == before:
                return


class Monitor(PacketMonitor):
    """Watches a message stream; items are ``(Header, payload)``."""

    def _item(self, packet: Packet) -> tuple[Header, bytes]:
        if packet.user is None:
            raise TypeError(f"{self._prefix} has no tuser: use PacketMonitor")
        return Header.from_tuser(packet.user), packet.payload


class _ReadyMixin(PacketMonitor):
    """Drives tready from ``ready`` (a Pattern or an iterator of bool; None: always ready)."""

    def __init__(
        self,
        dut: Any,
        prefix: str,
        clock: Any,
        ready: Pattern | Iterator[bool] | None = None,
        callback: Callable[[Any], None] | None = None,
        **kwargs: Any,
    ) -> None:
        self._ready = ready.ready if isinstance(ready, Pattern) else ready
        self._can_stall = hasattr(dut, f"{prefix}_tready")
        super().__init__(dut, prefix, clock, callback, **kwargs)
        if self._can_stall:
            self.bus.tready.value = 1

    def pause(self, ready: Pattern | Iterator[bool] | None) -> None:
        """Change the pattern of tready from the next cycle on."""
        self._ready = ready.ready if isinstance(ready, Pattern) else ready
        if self._ready is None and self._can_stall:
            self.bus.tready.value = 1

    def _on_edge(self) -> None:
        if self._ready is not None and self._can_stall:
            self.bus.tready.value = int(next(self._ready))


class PacketSink(_ReadyMixin):
    """Takes packets of any stream; ``received`` is a list of Packet."""


class MessageSink(_ReadyMixin, Monitor):
    """Takes messages; ``received`` is a list of ``(Header, payload)``."""


class Scoreboard(_BusScoreboard):
    """In-order comparison of expected and received items, equality only.

    With ``key`` items are in order per ``key(item)`` (streams merged by a switch). Either side may come first.
    """

    def __init__(self, name: Any = "scoreboard", key: Callable[[Any], Hashable] | None = None) -> None:
        text = getattr(name, "_name", name)
        super().__init__(SimpleNamespace(_name=text))
        self.name = text
        self._key = key
        self._expected: dict[Hashable, list[Any]] = {}
        self._got: dict[Hashable, list[Any]] = {}
        self.checked = 0
        self.equal = 0

    def expect(self, item: Any) -> None:
        """Add an item that must come."""
        self._match(item, self._expected, self._got, lambda other: (other, item))

    def got(self, item: Any) -> None:
        """Add an item that came; compared at once if its turn is known."""
        self._match(item, self._got, self._expected, lambda other: (item, other))

    def _match(self, item: Any, mine: Any, theirs: Any, pair: Callable[[Any], tuple[Any, Any]]) -> None:
        key = None if self._key is None else self._key(item)
        waiting = theirs.get(key)
        if not waiting:
            mine.setdefault(key, []).append(item)
            return
        got, expected = pair(waiting.pop(0))
        self.checked += 1
        self.compare(got, expected, self.log)
        self.equal += 1

    def compare(self, got: Any, exp: Any, log: Any, strict_type: bool = True) -> None:
        """Equality only. Replaces the base class's hexdiff, which takes ten seconds on a message of 1,024 bytes."""
        if type(got) is type(exp) and got == exp:
            return
        self.errors += 1
        text = f"{self.name}: item {self.checked - 1} differs: {_difference(got, exp)}"
        log.error(text)
        raise AssertionError(text)

    def forget(self) -> None:
        """Drop what is waiting on either side, as a reset of the design does; what was compared stays counted."""
        self._expected.clear()
        self._got.clear()

    def finish(self, at_least: int = 1) -> None:
        """Demand empty queues and ``at_least`` checked items; print how many were equal."""
        missing = sum(len(q) for q in self._expected.values())
        surplus = sum(len(q) for q in self._got.values())
        print(f"{self.name}: checked {self.checked} equal {self.equal}", flush=True)
        if missing or surplus:
            first = next((q[0] for q in [*self._expected.values(), *self._got.values()] if q), None)
            raise AssertionError(f"{self.name}: {missing} expected items never came, {surplus} came unexpected; first: {first!r:.400}")
        if self.checked < at_least or self.equal != self.checked:
            raise AssertionError(f"{self.name}: checked {self.checked} items, equal {self.equal}, demanded at least {at_least}")


def _difference(got: Any, expected: Any) -> str:
    """First difference of two items, in words."""
    if isinstance(got, tuple) and isinstance(expected, tuple) and len(got) == len(expected):
        for i, (a, b) in enumerate(zip(got, expected, strict=True)):
            if a != b:
                return f"part {i}: {_difference(a, b)}"
    if isinstance(got, bytes) and isinstance(expected, bytes):
        if len(got) != len(expected):
            return f"{len(got)} bytes, expected {len(expected)}"
        for i, (a, b) in enumerate(zip(got, expected, strict=True)):
            if a != b:
                return f"byte {i} is {a:#04x}, expected {b:#04x}"
    return f"got {got!r:.300}, expected {expected!r:.300}"


class ConfigBus(BusDriver):
    """The configuration bus: one write a cycle. ``unit`` is put in bits 31:28 where the bus carries the unit number."""

    def __init__(self, dut: Any, clock: Any, prefix: str = "cfg", unit: int | None = None) -> None:
        self._signals = ["we", "addr", "data"]
        super().__init__(dut, prefix, clock, case_insensitive=False)
        self._unit = unit
        self.writes = 0
        self.bus.we.value = 0
        self.bus.addr.value = 0
        self.bus.data.value = 0

    def write(self, mem: int, index: int, value: int, unit: int | None = None) -> _Sent:
        """Queue a write of an unsigned value; await the result to wait until it was taken."""
        number = self._unit if unit is None else unit
        return self.write_address((number or 0) << 28 | mem << 24 | index, value)

    def write_address(self, address: int, value: int) -> _Sent:
        """Queue a write to a full address."""
        sent = _Sent()
        self.append((address, value), event=sent.event)
        return sent

    async def _driver_send(self, transaction: tuple[int, int], sync: bool = True) -> None:
        if sync:
            await RisingEdge(self.clock)
        self.bus.we.value = 1
        self.bus.addr.value = transaction[0]
        self.bus.data.value = transaction[1]
        await RisingEdge(self.clock)
        self.writes += 1
        if not self._sendQ:
            self.bus.we.value = 0
