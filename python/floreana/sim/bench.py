# SPDX-License-Identifier: Apache-2.0
"""The cluster's bench: runs inside the simulator, under cocotb, and is the same for Verilator and Icarus.

Every window it collects the frames that left the nodes, passes them and the host's through the simulated network,
and hands the ports those that arrive in the next window. It carries bytes and computes no activation.

Environment: FLOREANA_JOB, the job file; FLOREANA_PROGRESS, a file that gets one JSON line on every change.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import ValueChange

from floreana.cluster.layout import TYPE_CONTROL
from floreana.host.endpoint import PeerConfig
from floreana.host.frame import DATA, SEQUENCE_MODULUS, Station, fault
from floreana.host.host import Host, HostConfig, RunError, Sentence
from floreana.sim.capture import Record, write_capture
from floreana.sim.ethernet import BEAT_BYTES, MAX_BEATS, Arrival, Delivery, Fabric, Sent
from floreana.sim.faults import Restart
from floreana.sim.hostile import Attack, AttackError
from floreana.sim.job import Fault, Happened, Job, Outcome, SentenceOutcome
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
            meta = arrival.start << 16 | int(arrival.bad) << 15 | size
            word = meta << _DATA_BITS | int.from_bytes(arrival.data[: BEAT_BYTES * MAX_BEATS], "little")
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
        self.names = [port.name for port in job.ports]
        self.boxes = [_Box(getattr(dut, f"port_{k}"), name) for k, name in enumerate(self.names[:-1])]
        self.status = dut.status._handle
        self.ports = {port.mac: k for k, port in enumerate(job.ports)}
        self.fabric = Fabric(
            self.ports,
            job.delay,
            segments=job.segments,
            rates=job.rates,
            seed=job.seed,
            cuts=job.cuts,
            tamper=_Faults(job.faults) if job.faults else None,
        )
        self.delivery = Delivery()
        self.attack = None if job.siege is None else Attack(job.siege, job.seed)
        self.restarts = {k: deque(sorted((r for r in job.restarts if r.node == k), key=lambda r: r.begin)) for k in range(len(job.nodes))}
        self.begun: dict[int, Restart] = {}  # by node: the restart that was set up last
        for k in self.restarts:
            self._set_up_restart(k)
        frames, number = job.load == "frames", job.numbers.number
        self.host = Host(
            HostConfig(
                port=len(job.ports) - 1,
                station=Station(number(job.host.node), job.host.mac, job.host.ip),
                neighbours={n.node: PeerConfig(Station(number(n.node), n.mac, n.ip), n.quota) for n in job.neighbours},
                hops=job.hops,
                timers=job.timers,
                nodes=job.nodes,
                managers=job.managers,
                clusters=job.clusters,
                eth_n=job.eth_n,
                cluster=job.cluster,
                entry=job.entry,
                owners=job.owners,
                row_bytes=job.row_bytes,
                slots=job.slots,
                in_flight=job.in_flight,
                gateway=job.gateway,
                patience=job.patience,
                images=tuple(Path(job.images) / f"node{k}.hex" for k in range(len(job.nodes))) if frames else None,
                restarts={k: tuple(r.begin for r in job.restarts if r.node == k and not r.dead) for k in range(len(job.nodes))},
                counters=job.counters,
                numbers=job.numbers,
                around=job.around,
            ),
            [[bytes.fromhex(row) for row in rows] for rows in job.rows],
            self._name,
        )
        self.records: list[Record] = []
        self.frames = 0
        self.moved_at = 0  # the last window in which something new was sent
        self.newest: dict[bytes, int] = {}  # addresses and epochs -> the highest number sent
        self.links_down: set[tuple[int, int, int]] = set()  # node, Ethernet port, index of the peer: as the nodes' own flags say
        self.encoder_rows: dict[tuple[int, int], set[int]] = {}  # (sentence, encoder) -> rows that left

    def window(self, horizon: int) -> bool:
        """Everything before cycle ``horizon`` has happened. True when the host is done. RunError on a fault."""
        status = int(self.status.get_signal_val_binstr(), 2)
        try:
            sent = self.host.run(horizon)
        except RunError:
            self._keep(self.host.left(horizon), horizon)
            raise
        for k, box in enumerate(self.boxes):
            word = status >> 32 * k
            for cycle, data in box.take(word & 0xFFFF):
                if self.attack is not None and self._replied(k, data, cycle):
                    continue
                cause = fault(data)
                if cause:
                    self._keep(sent, horizon)
                    if word & 0xF_0000:  # the port saw what is wrong at its root
                        self._port_error(k, word, horizon)
                    raise RunError(f"{self.names[k]} sent something that is not a frame of ours (cycle {cycle}): {cause}")
                number = int.from_bytes(data[44:46], "big")
                if number != self.job.numbers.number(self.job.ports[k].node):
                    self._keep(sent, horizon)
                    raise RunError(f"{self.names[k]} sent a frame of node {number} (cycle {cycle})")
                sent.append(Sent(cycle, k, data))
        sent.sort()
        self._keep(sent, horizon)
        for k in range(len(self.boxes)):
            if status >> 32 * k & 0xF_0000:
                self._port_error(k, status >> 32 * k, horizon)
        self._look_at_nodes(status, horizon)
        try:
            arrivals = self.fabric.forward(sent, horizon)
        except KeyError as error:
            raise RunError(
                f"a frame for MAC address {error.args[0]}, which no port of that Ethernet switch has (before cycle {horizon})"
            ) from error
        self.delivery.add(arrivals)
        if self.attack is not None:
            arrivals = self._go_on_with_the_attack(arrivals, horizon)
        for arrival in arrivals:
            self.records.append(Record(arrival.cycle, arrival.port, False, arrival.data, arrival.bad))
        self.host.receive(self.delivery.due(len(self.boxes), 1 << 62))
        for k, box in enumerate(self.boxes):
            arrivals = self.delivery.due(k, horizon + self.job.window + 1)  # the player looks one cycle ahead
            if arrivals:
                box.put(arrivals)
        if not self.host.done and horizon - self.moved_at > self.job.stall:
            raise RunError(self._stalled(horizon, status))
        return self.host.done

    def _replied(self, k: int, data: bytes, cycle: int) -> bool:
        """True of a node's reply to an attacker: it goes there, not into the network."""
        assert self.attack is not None
        try:
            return self.attack.replied(k, data)
        except AttackError as error:
            raise RunError(f"{self.names[k]} {error} (cycle {cycle})") from error

    def _go_on_with_the_attack(self, arrivals: Sequence[Arrival], horizon: int) -> list[Arrival]:
        """Hostile frames of the next window, and sentences as long as there are any. Returns the regular arrivals."""
        attack, host = self.attack, self.host
        assert attack is not None
        regular = attack.saw(arrivals)
        if host.phase == "running":
            if not self.begun:  # no restart is to come
                attack.go_on(horizon, self.job.window, self.fabric)
            if not attack.done and host.current + 2 * self.job.in_flight >= len(host.sentences):
                host.sentences.append(Sentence(host.sentences[len(host.sentences) % len(self.job.rows)].rows))
        return regular

    def _set_up_restart(self, node: int) -> None:
        """Tell the top when the next reset of a node is."""
        if self.restarts[node]:
            self.begun[node] = item = self.restarts[node].popleft()
            for name, cycle in (("rst_begin", item.begin), ("rst_end", item.end)):
                getattr(self.dut, f"{name}_{node}")._handle.set_signal_val_binstr(_DEPOSIT, format(cycle, "048b"))

    def _look_at_nodes(self, status: int, horizon: int) -> None:
        """Restarts, what nodes lost inside, and links that they call failed."""
        job = self.job
        for node, item in list(self.begun.items()):
            if horizon <= item.begin:
                continue
            self.moved_at = max(self.moved_at, min(item.end, horizon))
            if item.dead or horizon <= item.end:
                continue
            loaded = int(self.dut.loaded._handle.get_signal_val_binstr(), 2) >> 48 * node & (1 << 48) - 1
            if loaded > item.begin:
                self.moved_at = max(self.moved_at, loaded)
                self.host.loaded(node, loaded)
                del self.begun[node]
                self._set_up_restart(node)
            elif job.load == "bus":
                self.moved_at = horizon  # the loader is at work
        words = [status >> 32 * job.eth_n * node for node in range(len(job.nodes))]
        if not (job.restarts or job.cuts) and any(word & 0x10_0000 for word in words):
            lost = int(self.dut.lost._handle.get_signal_val_binstr(), 2)
            for node, word in enumerate(words):
                if word & 0x10_0000:
                    raise RunError(f"{job.nodes[node]} lost {lost >> 32 * node & 0xFFFFFFFF} message(s) inside before cycle {horizon}")
        if any(word & 0x40_0000 for word in words):
            width = job.eth_n * job.peers_n
            flags = int(self.dut.failed._handle.get_signal_val_binstr(), 2)
            self.links_down |= {
                (node, bit // job.peers_n, bit % job.peers_n)
                for node in range(len(job.nodes))
                for bit in range(width)
                if flags >> width * node + bit & 1
            }

    def _keep(self, sent: Iterable[Sent], horizon: int) -> None:
        for item in sent:
            self.frames += 1
            self.records.append(Record(item.cycle, item.port, True, item.data))
            data = item.data
            if data[42] & 31 != DATA:
                continue
            key, number = data[:12] + data[46:48], int.from_bytes(data[48:51], "big")
            newest = self.newest.get(key)
            if newest is not None and not 0 < (number - newest) % SEQUENCE_MODULUS < SEQUENCE_MODULUS // 2:
                continue  # sent before
            self.newest[key] = number
            control = data[63] >> 4 & 3 == TYPE_CONTROL
            if not control or self.host.phase != "running":
                self.moved_at = horizon
            encoder = None if control else self.job.encoder_edges.get(data[56])
            if encoder is not None:
                rows = self.encoder_rows.setdefault((self.host.current, encoder), set())
                rows.add(data[60] << 8 | data[61])

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

    def _port_error(self, k: int, status: int, horizon: int) -> None:
        causes = [text for bit, text in enumerate(_PORT_ERRORS) if status >> 16 + bit & 1]
        raise RunError(f"{self.names[k]} {', '.join(causes)} (before cycle {horizon})")

    def link_failures(self) -> list[str]:
        """Links that nodes call failed, or did so once."""
        job, names = self.job, [*self.job.nodes, "host"]
        around = job.around or (tuple(range(len(names))),) * len(job.nodes)
        down = sorted((node, port, job.numbers.peer(index, around[node])) for node, port, index in self.links_down)
        return [f"{names[node]}{'' if job.eth_n == 1 else f'.{port}'} to {names[peer]}" for node, port, peer in down if peer >= 0]

    def _stalled(self, horizon: int, status: int) -> str:
        why = f"nothing new was sent for {horizon - self.moved_at} cycles (limit {self.job.stall}), phase {self.host.phase}"
        busy = [name for k, name in enumerate(self.job.nodes) if status >> 32 * k * self.job.eth_n & 0x20_0000]
        end = f"busy nodes: {', '.join(busy) or 'none'}; last new message before cycle {self.moved_at}"
        down = self.link_failures()
        end += f"; failed links: {', '.join(down)}" if down else ""
        if self.host.current == len(self.host.sentences):
            return f"{why}; {end}"
        sentence = self.host.sentences[self.host.current]
        missing = self.host.admission.missing().get(self.host.current, list(range(len(sentence.rows))))
        seen = ", ".join(
            f"encoder {e}: {len(self.encoder_rows.get((self.host.current, e), ()))} of {len(sentence.rows)}"
            for e in range(self.job.encoders)
        )
        return (
            f"{why}: sentence {self.host.current} still lacks row(s) {_ranges(missing)} of {len(sentence.rows)}; finished rows seen on "
            f"the wire: {seen}; {end}"
        )

    def progress(self, horizon: int) -> dict[str, object]:
        rows = [
            sum(len(r) for (s, e), r in self.encoder_rows.items() if s == self.host.current and e == encoder)
            for encoder in range(self.job.encoders)
        ]
        return {"phase": self.host.phase, "sentence": self.host.current, "cycle": horizon, "frames": self.frames, "rows": rows}


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
    job = Job.load_file(Path(os.environ["FLOREANA_JOB"]))
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
    end = bench.host.finished
    if end is not None:  # what is on its way when the host is done does not count: windows of any length give the same capture
        bench.records = [record for record in bench.records if record.cycle <= end]
        bench.frames = sum(record.outbound for record in bench.records)
    write_capture(
        Path(job.capture),
        bench.names,
        f"project {job.project}: every frame of one simulated run, at the cycle of its last beat times 5 ns",
        bench.records,
    )
    writes = int(dut.writes._handle.get_signal_val_binstr(), 2)
    Outcome(
        error=error,
        load_cycles=bench.host.loaded_at if job.load == "frames" else int(dut.load_cycles._handle.get_signal_val_binstr(), 2),
        load_writes=tuple(writes >> 32 * k & 0xFFFFFFFF for k in range(len(job.nodes))),
        cycles=horizon if end is None else end,
        frames=bench.frames,
        seconds=seconds,
        load_seconds=load_seconds,
        cpu_seconds=cpu_seconds,
        bench_seconds=bench_seconds,
        sentences=tuple(
            SentenceOutcome(s.start, s.end, s.slot, s.generation, tuple(bytes(row).hex() for row in s.out), s.attempts)
            for s in bench.host.sentences
        ),
        events=tuple(Happened(*item) for item in bench.host.events),
        failed_links=tuple(bench.link_failures()),
        network=dict(sorted(bench.fabric.done(end).items())),
        words=bench.host.words,
        host_drops=bench.host.endpoint.counters.drops_by_name(),
        host_again=bench.host.endpoint.counters.sent_again,
        sieges=() if bench.attack is None else bench.attack.told(),
    ).save(Path(job.outcome))
