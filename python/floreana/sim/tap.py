# SPDX-License-Identifier: Apache-2.0
"""The cluster's bench with TAP devices in place of the simulated network: runs inside the simulator, under cocotb.

Every window it writes the frames that left the nodes to their TAP devices, and hands the ports what came from there, at the line's rate. It
runs as fast as it can until its stop file reads empty (the other end is closed, or its process is gone), and says so in a status file.

A frame shorter than 60 bytes is padded as any MAC does; one longer than a port takes (a ping of 1,200 bytes) is cut and marked bad, as a
MAC marks what is too long.

Environment: FLOREANA_TAP_JOB, the job file.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import ValueChange

from floreana.demo.job import TapJob, TapStatus
from floreana.host.host import RunError
from floreana.sim.bench import _PORT_ERRORS, _Box
from floreana.sim.ethernet import BEAT_BYTES, MAX_BEATS, Arrival, Pacer
from floreana.sim.process import die_with_parent

SHORTEST = 60  # bytes of a frame on a wire, without its checksum
LONGEST = BEAT_BYTES * MAX_BEATS
_READ_BYTES = 2048  # more than any frame of an MTU of 1500
_MOST = 200  # frames a port is given in one window; it has room for 256
_STATUS_SECONDS = 0.2


class _Line:
    """One port and its TAP device."""

    def __init__(self, port: Any, name: str, number: int, tap: int) -> None:
        self.box = _Box(port, name)
        self.name, self.number, self.tap = name, number, tap
        self.sent = self.received = self.broken = self.refused = 0
        self._pacer = Pacer()
        self._ahead: deque[Arrival] = deque()

    def leave(self, count: int) -> None:
        """Frames that left the node, up to the port's counter."""
        for _cycle, data in self.box.take(count):
            self.sent += 1
            if self.tap < 0:
                continue
            try:
                os.write(self.tap, data)
            except OSError:  # down, or no room: lost, as on any cable
                self.refused += 1

    def come(self, horizon: int, window: int, readable: bool) -> None:
        """Frames that begin in cycles ``horizon`` + 1 to ``horizon`` + ``window``; the others stay in the device."""
        last = horizon + window
        out: list[Arrival] = []
        while len(out) < _MOST:
            if not self._ahead:
                data = self._read() if readable else None
                if data is None:
                    break
                self._ahead.append(self._arrival(data, horizon + 1))
            if self._ahead[0].start > last:
                break
            out.append(self._ahead.popleft())
        if out:
            self.received += len(out)
            self.box.put(out)

    def _read(self) -> bytes | None:
        with contextlib.suppress(BlockingIOError):
            return os.read(self.tap, _READ_BYTES)
        return None

    def _arrival(self, data: bytes, earliest: int) -> Arrival:
        data = data.ljust(SHORTEST, b"\0")
        bad = len(data) > LONGEST
        self.broken += bad
        data = data[:LONGEST]
        return Arrival(self._pacer.send(earliest, len(data))[1], self.number, data, bad)


class TapBench:
    """State of one run; ``window`` does one window's work."""

    def __init__(self, dut: Any, job: TapJob) -> None:
        self.job = job
        self.status = dut.status._handle
        self.lines = [_Line(getattr(dut, f"port_{k}"), name, k, tap) for k, (name, tap) in enumerate(zip(job.names, job.taps, strict=True))]
        self._by_file = {line.tap: line for line in self.lines if line.tap >= 0}
        self._poll = select.poll()
        for handle in (*self._by_file, job.stop):
            self._poll.register(handle, select.POLLIN)

    def window(self, horizon: int) -> bool:
        """Everything before cycle ``horizon`` has happened. True when it is time to end. RunError on a fault of a node."""
        status = int(self.status.get_signal_val_binstr(), 2)
        for k, line in enumerate(self.lines):
            word = status >> 32 * k
            if word & 0xF_0000:
                causes = [text for bit, text in enumerate(_PORT_ERRORS) if word >> 16 + bit & 1]
                raise RunError(f"{line.name} {', '.join(causes)} (before cycle {horizon})")
            line.leave(word & 0xFFFF)
        ready = {handle for handle, _ in self._poll.poll(0)}
        for line in self.lines:
            line.come(horizon, self.job.window, line.tap in ready)
        return self.job.stop in ready

    def say(self, state: str, horizon: int, seconds: float, load_cycles: int, error: str | None = None) -> None:
        status = TapStatus(
            state=state,
            cycle=horizon,
            seconds=seconds,
            load_cycles=load_cycles,
            sent=tuple(line.sent for line in self.lines),
            received=tuple(line.received for line in self.lines),
            broken=sum(line.broken for line in self.lines),
            refused=sum(line.refused for line in self.lines),
            error=error,
        )
        path = Path(self.job.status)
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        scratch.write_text(json.dumps(asdict(status)), encoding="utf-8")
        scratch.replace(path)


@cocotb.test()
async def taps(dut: Any) -> None:
    """Free-running until told to end."""
    die_with_parent()
    job = TapJob.load(Path(os.environ["FLOREANA_TAP_JOB"]))
    bench = TapBench(dut, job)
    bench.say("loading", 0, 0.0, 0)
    begin, said, horizon, load_cycles = 0.0, 0.0, 0, 0
    error: str | None = None
    tick = ValueChange(dut.tick)
    try:
        while True:
            await tick
            now = time.monotonic()
            if horizon == 0:
                if "1" not in dut.cycle._handle.get_signal_val_binstr():
                    continue  # time 0: in an event simulator the first value is a change, too
                begin = now
                load_cycles = int(dut.load_cycles._handle.get_signal_val_binstr(), 2)
            horizon += job.window
            if bench.window(horizon):
                break
            if now - said > _STATUS_SECONDS:
                said = now
                bench.say("running", horizon, now - begin, load_cycles)
    except RunError as stop:
        error = str(stop)
    bench.say("ended", horizon, time.monotonic() - begin if begin else 0.0, load_cycles, error)
