# SPDX-License-Identifier: Apache-2.0
"""The cluster's bench: runs inside the simulator, under cocotb, and is the same for Verilator and Icarus.

Every window it collects the frames that left the nodes, passes them and the host's through the simulated Ethernet switch,
and hands the ports those that arrive in the next window. It carries bytes and computes no activation.

Environment: FLOREANA_JOB, the job file; FLOREANA_PROGRESS, a file that gets one JSON line on every change.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import ValueChange

from floreana.host.frame import SEQUENCE_MODULUS, Station, fault
from floreana.host.host import Host, HostConfig, RunError, sequence_message
from floreana.sim.capture import Record, write_capture
from floreana.sim.ethernet import BEAT_BYTES, MAX_BEATS, Arrival, Delivery, EthernetSwitch, Sent
from floreana.sim.job import Fault, Job, Outcome, SentenceOutcome
from floreana.sim.process import die_with_parent

BOX_DEPTH = 256  # frames tb_port keeps in either direction
_DATA_BITS = 512 * MAX_BEATS
_WORD_BITS = _DATA_BITS + 64
_DEPOSIT = 0
_PORT_ERRORS = (
    "sent a frame of more than 17 beats",
    "left a gap inside a frame: a real MAC would underrun",
    "sent a frame with a hole in tkeep, or not full before its last beat",
    "was handed a frame too late (bench error: window too long for the delay)",
)


class _Box:
    """One port's frame memories, read and written a whole frame at a time."""

    def __init__(self, port: Any, name: str) -> None:
        self._name = name
        self._out = [port.mbox[i]._handle for i in range(BOX_DEPTH)]
        self._in = [port.rbox[i]._handle for i in range(BOX_DEPTH)]
        self._in_put = port.rx_put._handle
        self.taken = 0
        self._put = 0

    def take(self, count: int) -> list[tuple[int, bytes]]:
        """(cycle of the last beat, data) of the frames up to the port's counter ``count``."""
        out = []
        while self.taken != count:
            word = self._out[self.taken % BOX_DEPTH].get_signal_val_binstr()
            cycle, size = int(word[:48], 2), int(word[48:64], 2)
            kept = min(size, BEAT_BYTES * MAX_BEATS)
            try:
                data = int(word[_WORD_BITS - 8 * kept :], 2).to_bytes(kept, "little")
            except ValueError as error:
                raise RunError(f"{self._name} sent a frame with unknown bits (x or z) in cycle {cycle}") from error
            out.append((cycle, data))
            self.taken = (self.taken + 1) & 0xFFFF
        return out

    def put(self, arrivals: Iterable[Arrival]) -> None:
        for arrival in arrivals:
            size = len(arrival.data)
            word = (arrival.start << 16 | size) << _DATA_BITS | int.from_bytes(arrival.data, "little")
            self._in[self._put % BOX_DEPTH].set_signal_val_binstr(_DEPOSIT, format(word, f"0{_WORD_BITS}b"))
            self._put = (self._put + 1) & 0xFFFF
        self._in_put.set_signal_val_binstr(_DEPOSIT, format(self._put, "016b"))


class _Faults:
    """Does to chosen frames what a broken network would (tests only)."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._faults = {item.frame: item for item in faults}
        self._number = -1
        self._held: Sent | None = None

    def __call__(self, sent: Sent) -> list[Sent]:
        self._number += 1
        held = self._held
        if held is not None and (held.port, held.data[:6]) == (sent.port, sent.data[:6]):
            self._held = None
            return [sent, Sent(sent.cycle, held.port, held.data)]
        item = self._faults.get(self._number)
        if item is None:
            return [sent]
        if item.kind == "flip":
            data = bytearray(sent.data)
            data[item.bit // 8] ^= 1 << item.bit % 8
            return [Sent(sent.cycle, sent.port, bytes(data))]
        if item.kind == "drop":
            return []
        if item.kind == "repeat":
            return [sent, sent]
        if item.kind == "swap":
            self._held = sent
            return []
        raise ValueError(f"unknown fault {item.kind}")


class Bench:
    """State of one run; ``window`` does one window's work."""

    def __init__(self, dut: Any, job: Job) -> None:
        self.job = job
        self.dut = dut
        count = len(job.nodes)
        self.boxes = [_Box(getattr(dut, f"port_{k}"), port.name) for k, port in enumerate(job.nodes)]
        self.status = dut.status._handle
        self.ports = {port.mac: k for k, port in enumerate((*job.nodes, job.host))}
        self.names = [port.name for port in (*job.nodes, job.host)]
        self.switch = EthernetSwitch(self.ports, job.delay, _Faults(job.faults) if job.faults else None)
        self.delivery = Delivery()
        station = {k: Station(port.node, port.mac, port.ip) for k, port in enumerate((*job.nodes, job.host))}
        self.host = Host(
            HostConfig(
                port=count,
                station=station[count],
                stations={port.add_norm: (k, station[k]) for k, port in enumerate(job.nodes)},
                peers={port.node: port.name for port in job.nodes},
                cluster=job.cluster,
                entry_kernel=job.entry_kernel,
                entry_edge=job.entry_edge,
                owners=job.owners,
                row_bytes=job.row_bytes,
                slots=job.slots,
            ),
            [[bytes.fromhex(row) for row in rows] for rows in job.rows],
        )
        self.records: list[Record] = []
        self.frames = 0
        self.quiet_since = 0
        self.encoder_rows: dict[tuple[int, int], set[int]] = {}  # (sentence, encoder) -> rows that left

    def window(self, horizon: int) -> bool:
        """Everything before cycle ``horizon`` has happened. True when all sentences are complete. RunError on a fault."""
        status = int(self.status.get_signal_val_binstr(), 2)
        sent = self.host.send(horizon)
        for k, box in enumerate(self.boxes):
            word = status >> 32 * k
            for cycle, data in box.take(word & 0xFFFF):
                cause = fault(data)
                if cause:
                    self._keep(sent)
                    if word & 0x1E_0000:  # the port saw what is wrong at its root
                        self._node_error(k, word, horizon)
                    raise RunError(f"{self.names[k]} sent something that is not a frame of ours (cycle {cycle}): {cause}")
                sent.append(Sent(cycle, k, data))
        if sent:
            sent.sort()
            self.quiet_since = horizon
            self._keep(sent)
        for k in range(len(self.boxes)):
            if status >> 32 * k & 0x3F_0000:
                self._node_error(k, status >> 32 * k, horizon)
        if sent:
            try:
                arrivals = self.switch.forward(sent)
            except KeyError as error:
                raise RunError(f"a frame for MAC address {error.args[0]}, which no port has (before cycle {horizon})") from error
            for arrival in arrivals:
                self.records.append(Record(arrival.cycle, arrival.port, False, arrival.data))
            self.delivery.add(arrivals)
            for arrival in self.delivery.due(len(self.boxes), 1 << 62):
                self.host.receive(arrival, partial(self._name, arrival))
        for k, box in enumerate(self.boxes):
            arrivals = self.delivery.due(k, horizon + self.job.window + 1)  # the player looks one cycle ahead
            if arrivals:
                box.put(arrivals)
        if not self.host.done and horizon - self.quiet_since > self.job.stall:
            raise RunError(self._stalled(horizon, status))
        return self.host.done

    def _keep(self, sent: Iterable[Sent]) -> None:
        for item in sent:
            self.frames += 1
            self.records.append(Record(item.cycle, item.port, True, item.data))
            encoder = self.job.encoder_edges.get(item.data[56])
            if encoder is not None:
                rows = self.encoder_rows.setdefault((self.host.current, encoder), set())
                rows.add(item.data[60] << 8 | item.data[61])

    def _number(self, data: bytes, cycle: int) -> int:
        """Place of an arriving frame among all that left a port, from 1 (in the capture's order, within a window)."""
        source = self.ports.get(int.from_bytes(data[6:12], "big"), -1)
        for index in range(len(self.records) - 1, -1, -1):
            record = self.records[index]
            if record.outbound and record.port == source and record.cycle <= cycle and record.data == data:
                return sum(item.outbound for item in self.records[: index + 1])
        return self.frames

    def _name(self, arrival: Arrival) -> str:
        return f"frame {self._number(arrival.data, arrival.cycle)}"

    def _node_error(self, k: int, status: int, horizon: int) -> None:
        detail = int(self.dut.detail._handle.get_signal_val_binstr(), 2) >> 96 * k & (1 << 96) - 1
        name = self.names[k]
        if status & 0x1_0000:
            expected, got = detail >> 24 & SEQUENCE_MODULUS - 1, detail & SEQUENCE_MODULUS - 1
            number = detail >> 48 & 0xFFFF
            peers = {port.node: port for port in (*self.job.nodes, self.job.host)}
            peer = peers.get(number)
            where = f"before cycle {horizon}"
            for record in self.records:
                if record.outbound or record.port != k or peer is None or record.cycle >= horizon:
                    continue
                data = record.data
                if int.from_bytes(data[44:46], "big") == number and int.from_bytes(data[48:51], "big") == got:
                    where = f"frame {self._number(data, record.cycle)}, cycle {record.cycle}"
            raise RunError(sequence_message(name, peer.name if peer else f"node {number}", expected, got, where))
        if status & 0x20_0000:
            raise RunError(f"{name} dropped {detail >> 64} frame(s) or message(s) before cycle {horizon}")
        causes = [text for bit, text in enumerate(_PORT_ERRORS) if status >> 17 + bit & 1]
        raise RunError(f"{name} {', '.join(causes)} (before cycle {horizon})")

    def _stalled(self, horizon: int, status: int) -> str:
        sentence = self.host.sentences[self.host.current]
        missing = sentence.missing(self.job.row_bytes)
        seen = ", ".join(
            f"encoder {e}: {len(self.encoder_rows.get((self.host.current, e), ()))} of {len(sentence.rows)}"
            for e in range(self.job.encoders)
        )
        busy = [name for k, name in enumerate(self.names[:-1]) if status >> 32 * k & 0x40_0000]
        return (
            f"no frame for {horizon - self.quiet_since} cycles (limit {self.job.stall}): sentence {self.host.current} still lacks "
            f"row(s) {_ranges(missing)} of {len(sentence.rows)}; finished rows seen on the wire: {seen}; "
            f"busy nodes: {', '.join(busy) or 'none'}; last frame before cycle {self.quiet_since}"
        )

    def progress(self, horizon: int) -> dict[str, object]:
        rows = [
            sum(len(r) for (s, e), r in self.encoder_rows.items() if s == self.host.current and e == encoder)
            for encoder in range(self.job.encoders)
        ]
        return {"sentence": self.host.current, "cycle": horizon, "frames": self.frames, "rows": rows}


def _ranges(numbers: list[int]) -> str:
    out: list[str] = []
    for n in numbers:
        if out and n == int(out[-1].split("-")[-1]) + 1:
            out[-1] = f"{out[-1].split('-')[0]}-{n}"
        else:
            out.append(str(n))
    return ", ".join(out)


@cocotb.test()
async def cluster(dut: Any) -> None:
    """One run of the cluster; the outcome goes to the job's outcome file whatever happens."""
    die_with_parent()
    job = Job.load(Path(os.environ["FLOREANA_JOB"]))
    begin, cpu_begin = time.monotonic(), time.process_time()
    error: str | None = None
    horizon, bench_seconds, last_line, load_seconds = 0, 0.0, 0.0, 0.0
    bench = Bench(dut, job)
    with Path(os.environ["FLOREANA_PROGRESS"]).open("a", buffering=1) as progress:
        progress.write(json.dumps({"stage": "loading"}) + "\n")
        tick = ValueChange(dut.tick)
        try:
            while True:
                await tick
                now = time.monotonic()
                if horizon == 0:
                    if "1" not in dut.cycle._handle.get_signal_val_binstr():
                        continue  # time 0: in an event simulator the first value is a change, too
                    load_seconds, begin, cpu_begin = now - begin, now, time.process_time()
                horizon += job.window
                done = bench.window(horizon)
                if done or now - last_line > 0.2:
                    last_line = now
                    progress.write(json.dumps({"stage": "running", **bench.progress(horizon)}) + "\n")
                bench_seconds += time.monotonic() - now
                if done:
                    break
        except RunError as stop:
            error = str(stop)
    seconds, cpu_seconds = time.monotonic() - begin, time.process_time() - cpu_begin
    write_capture(
        Path(job.capture),
        bench.names,
        f"project {job.project}: every frame of one simulated run, at the cycle of its last beat times 5 ns",
        bench.records,
    )
    writes = int(dut.writes._handle.get_signal_val_binstr(), 2)
    Outcome(
        error=error,
        load_cycles=int(dut.load_cycles._handle.get_signal_val_binstr(), 2),
        load_writes=tuple(writes >> 32 * k & 0xFFFFFFFF for k in range(len(job.nodes))),
        cycles=horizon,
        frames=bench.frames,
        seconds=seconds,
        load_seconds=load_seconds,
        cpu_seconds=cpu_seconds,
        bench_seconds=bench_seconds,
        sentences=tuple(
            SentenceOutcome(s.start, s.end, s.slot, s.generation, tuple(bytes(row).hex() for row in s.out)) for s in bench.host.sentences
        ),
    ).save(Path(job.outcome))
