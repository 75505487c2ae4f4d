# SPDX-License-Identifier: Apache-2.0
"""The demo on real Linux devices: its parts everywhere; devices, ping and the whole demo where the machine lets us make devices.

Making devices (CAP_NET_ADMIN and some system tools) is no requirement of the project: without them the tests of the second half are not
there.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from io import StringIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from floreana import cli
from floreana.cluster import layout
from floreana.cluster.description import find_project, load_project
from floreana.cluster.layout import TYPE_CONTROL, Header
from floreana.cluster.plan import make_plan
from floreana.demo import namespaces
from floreana.demo.job import Net, TapStatus, scaled
from floreana.demo.namespaces import Lab, Wiring, in_namespace, leftovers, open_packets, powerless, prefix
from floreana.demo.net_demo import NetOptions, check_net_options, compare, read_arping, read_ping, tap_name, wiring
from floreana.demo.relay import Relay, pump
from floreana.demo.sentence import registers
from floreana.demo.top import ROWS, line_of, render, top
from floreana.environment import project_root
from floreana.errors import DiffersError, EnvironmentError_, InputError
from floreana.host import words
from floreana.host.endpoint import EndpointConfig, PeerConfig, Timers
from floreana.host.frame import Station
from floreana.host.socket_host import SocketConfig, SocketHost, dotted
from floreana.ibert.model import model
from floreana.ibert.quantise import quantise
from floreana.ibert.synthetic import random_ids, synthetic_bert
from floreana.sim.faults import Rates
from floreana.sim.flow import Options, Trouble, make_job
from floreana.sim.job import Job

BUILDS = project_root() / "build" / "test_sim"  # shared with the other tests of whole clusters
LIMIT = 120.0  # seconds


# ------------------------------------------------------------------------------------------------------------------------ relay


def _frames(count: int, seed: int = 1) -> list[bytes]:
    rng = random.Random(seed)
    return [k.to_bytes(4, "big") + rng.randbytes(rng.randint(60, 1000)) for k in range(count)]


def test_a_relay_without_rates_passes_everything_in_order() -> None:
    for relay in (Relay(Rates(), 1), Relay(Rates(0.5, 0.5, 0.5), 1, active=False)):
        frames = _frames(50)
        assert [out for k, frame in enumerate(frames) for out in relay.enter(0, frame, float(k))] == frames
        assert relay.next_time() is None and relay.counts == Counter(passed=50)


def _relayed(seed: int) -> tuple[list[bytes], Relay]:
    relay, out = Relay(Rates(0.1, 0.1, 0.2), seed, hold=5.0), []
    for k, frame in enumerate(_frames(2000)):
        out += relay.enter(0, frame, k * 0.001)
    out += relay.due(0, 1e9)
    assert relay.next_time() is None
    return out, relay


def test_the_seed_decides_what_the_relay_does_to_which_frame() -> None:
    out, relay = _relayed(7)
    again, _ = _relayed(7)
    other, _ = _relayed(8)
    assert out == again and out != other
    counts = relay.counts
    assert 2000 + counts["duplicated"] == counts["passed"] + counts["lost"] and counts["passed"] == len(out)
    for kind, share in (("lost", 200), ("duplicated", 180), ("reordered", 400)):
        assert 0.7 * share < counts[kind] < 1.3 * share, (kind, counts)
    times = Counter(out)
    assert set(times) <= set(_frames(2000)) and sum(n == 2 for n in times.values()) == counts["duplicated"] and max(times.values()) == 2
    numbers = [int.from_bytes(frame[:4], "big") for frame in out]
    back = [b - a for a, b in pairwise(numbers) if b < a]
    assert len(back) > 200 and min(back) > -40  # overtaken, by few
    print(f"{len(out)} frames out of 2000, {len(back)} overtaken: {dict(counts)}")


def test_a_delayed_frame_that_nothing_overtakes_goes_after_the_hold() -> None:
    relay = Relay(Rates(reorder=0.5), 3, hold=0.5)
    frames, passed = _frames(1), []
    while not relay.next_time():  # the first frame of this way that is delayed
        passed += relay.enter(1, frames[0], 10.0)
    assert relay.next_time() == 10.5 and relay.due(1, 10.49) == [] and relay.due(0, 10.5) == []
    assert relay.due(1, 10.5) == frames and relay.next_time() is None
    with pytest.raises(ValueError, match="a frame with a wrong checksum reaches no TAP device"):
        Relay(Rates(corrupt=0.1), 1)
    with pytest.raises(ValueError, match="use reorder"):
        Relay(Rates(delay=0.1), 1)


def test_the_relay_carries_both_ways() -> None:
    with ExitStack() as stack:
        ends = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
        for pair in ends:
            for end in pair:
                stack.callback(end.close)
                end.setblocking(False)
        inner, outer = [pair[0] for pair in ends], [pair[1] for pair in ends]

        def reader(end: socket.socket):  # type: ignore[no-untyped-def]
            def read() -> bytes | None:
                try:
                    return end.recv(2048)
                except BlockingIOError:
                    return None

            return read

        relay, stop = Relay(Rates(loss=0.2, reorder=0.2), 5, hold=0.05), threading.Event()
        worker = threading.Thread(
            target=pump,
            args=(
                relay,
                (inner[0].fileno(), inner[1].fileno()),
                (reader(inner[0]), reader(inner[1])),
                (inner[0].send, inner[1].send),
                stop.is_set,
            ),
        )
        worker.start()
        got: list[list[bytes]] = [[], []]
        for frame in _frames(100):
            for way in (0, 1):
                outer[way].send(frame)
            time.sleep(0.0005)
        end = time.monotonic() + 10
        while time.monotonic() < end and sum(map(len, got)) < relay.counts["passed"] + 1:
            for way in select.select(outer, [], [], 0.3)[0]:
                got[outer.index(way)].append(way.recv(2048))
            if relay.frames == (100, 100) and relay.next_time() is None and sum(map(len, got)) == relay.counts["passed"]:
                break
        stop.set()
        worker.join(10)
        assert relay.frames == (100, 100) and all(60 < len(frames) < 100 for frames in got)
        assert sum(map(len, got)) == relay.counts["passed"] == 200 - relay.counts["lost"]


# ---------------------------------------------------------------------------------------------------------------------- numbers


def test_timers_grow_with_the_speed_of_the_simulation_and_never_shrink() -> None:
    plan = Timers(128, 2272, 24, 18176, 740)
    slow = scaled(plan, 150.0, 200)
    assert (slow.rto, slow.keep, slow.ack_delay, slow.retries, slow.nack_hold) == (2272, 18176, 128, 24, 803)
    fast = scaled(plan, 100_000.0, 200)
    assert fast.rto == 25_000 and fast.keep == 200_000 and fast.nack_hold == 2800 and fast.retries == 24
    assert scaled(plan, 200e6, 200).rto == (1 << 24) - 1
    assert scaled(replace(plan, keep=0), 100_000.0, 200).keep == 0


def _job(name: str = "tiny_2", tokens: int = 3) -> Job:
    plan = make_plan(load_project(find_project(name)))
    rows = [np.zeros((tokens, plan.hidden), np.int64)]
    return make_job(plan, rows, Options(project=name), Path("nowhere"), Trouble(), (), 100)


def test_registers_are_written_by_their_addresses() -> None:
    job = replace(_job(), timers=Timers(1, 2, 3, 4, 5))
    [(address, entries)] = registers(job.timers, job.eth_n)
    assert address == layout.cfg_addr(layout.UNIT_ETH, layout.MEM_REGISTER, 0)
    assert [int.from_bytes(entry, "little") for entry in entries] == [1, 2, 3, 4, 5] and {len(entry) for entry in entries} == {64}
    ring_job = _job("tiny_3_ring")
    ring = registers(ring_job.timers, ring_job.eth_n)
    assert [address >> 28 for address, _ in ring] == [layout.UNIT_ETH, layout.UNIT_ETH_1]


def test_segments_become_bridges() -> None:
    star = wiring(_job(), relay=True)
    assert star.taps == ("n0", "n1") and star.segments == ((0, 1),) and star.host == 0 and star.relay
    assert dotted(star.host_ip) == "10.17.0.3" and [dotted(ip) for ip in star.addresses] == ["10.17.0.1", "10.17.0.2"]
    ring = wiring(_job("tiny_3_ring"), relay=False)
    assert ring.taps == ("n0p0", "n0p1", "n1p0", "n1p1", "n2p0", "n2p1") and len(ring.segments) == 3
    assert [ring.taps[place] for place in ring.segments[ring.host]] == ["n0p0", "n2p1"]
    assert sorted(place for segment in ring.segments for place in segment) == list(range(6))
    assert tap_name(3, 1) == "n3" and tap_name(3, 2) == "n1p1"


@pytest.mark.parametrize(
    ("addresses", "length"),
    [(("10.17.0.1", "10.17.0.3"), 29), (("10.17.0.1", "10.17.0.2"), 30), (("10.17.0.1", "10.17.0.129"), 24), (("10.0.0.4",), 29)],
)
def test_the_prefix_holds_all_addresses(addresses: tuple[str, ...], length: int) -> None:
    assert prefix(int.from_bytes(socket.inet_aton(a), "big") for a in addresses) == length


def test_what_the_tools_print_is_understood() -> None:
    text = "3 packets transmitted, 3 received, 0% packet loss, time 2003ms\nrtt min/avg/max/mdev = 13.2/20.275/27.2/7.0 ms\n"
    assert read_ping(text) == (3, 20.275) and read_ping("3 packets transmitted, 0 received, 100% packet loss") == (0, None)
    answer = "Unicast reply from 10.17.0.1 [02:F1:0E:00:00:00]  24.3ms\n"
    assert read_arping(answer + "Sent 1 probes\n") == "02:f1:0e:00:00:00" and read_arping("Sent 9 probes") == ""
    assert read_arping(answer + answer.replace("00]", "07]")) == "02:f1:0e:00:00:00 02:f1:0e:00:00:07"


def test_rows_are_compared_bit_for_bit() -> None:
    weights = synthetic_bert(1, 128, 2, 256, 1, 50)
    params = quantise(weights, [random_ids(k, 8, 50) for k in range(2)], "demo")
    entry = np.random.default_rng(1).integers(-128, 128, (3, 128))
    rows = [[bytes(int(v) & 255 for v in row).hex() for row in model(params, entry)[-1].ln2]]
    values, digest = compare(rows, params, [entry])
    assert values == 3 * 128 and len(digest) == 64
    wrong = bytearray.fromhex(rows[0][2])
    wrong[7] ^= 1
    with pytest.raises(DiffersError, match="sentence 0, row 2, column 7: "):
        compare([[*rows[0][:2], wrong.hex()]], params, [entry])
    with pytest.raises(DiffersError, match=r"\(2, 128\) values came back"):
        compare([rows[0][:2]], params, [entry])


def test_what_cannot_be_is_refused() -> None:
    for change, why in (
        ({"corrupt": 0.1}, "CORRUPT=0.1: a frame with a wrong checksum"),
        ({"loss": 0.6}, r"LOSS=0\.6"),
        ({"cut": "node0:1-2"}, "CUT: the demo has no such thing"),
    ):
        with pytest.raises(InputError, match=why):
            check_net_options(NetOptions(Options(project="tiny_2", **change)))
    with pytest.raises(InputError, match=r"TOP=0\.01"):
        check_net_options(NetOptions(Options(project="tiny_2"), interval=0.01))


def test_what_the_machine_lacks_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = namespaces.problems(0)
    assert "lacks CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN: run it as root (sudo make net-demo), in a container" in found[0]
    monkeypatch.setattr(namespaces, "_effective_capabilities", lambda: 0)
    monkeypatch.setattr(namespaces, "_PACKAGES", {"no-such-tool": "its-package"})
    monkeypatch.setattr(namespaces, "TUN", Path("/nowhere/tun"))
    assert cli.main(["net-demo", "--out", "/nowhere"]) == 3
    said = capsys.readouterr().err
    for part in ("CAP_NET_ADMIN", "no-such-tool is not found: install the package `its-package`", "/nowhere/tun is missing"):
        assert part in said
    assert cli.main(["net-demo", "--loss", "0.7"]) == 2


# -------------------------------------------------------------------------------------------------------------------------- top


def _words(node: int, eth_n: int = 1) -> list[int]:
    out = [0] * words.word_count(eth_n)
    for name, value in {
        "node.node": node,
        "node.ports_peers": eth_n << 16 | 4,
        "node.tx_cells": 128,
        "node.rx_cells": 256,
        "node.lost": 5 * node,
        "linear.busy": 1234,
        "eth0.tx.frames": 100 + node,
        "eth0.tx.acks": 10,
        "eth0.tx.again": 3,
        "eth0.rx.frames": 90,
        "eth0.rx.dropped.gap": 2,
        "eth0.rx.dropped.dst_mac": 1,
        "eth0.tx.discarded": 4,
        "eth0.tx.cells_peak": 9,
        "switch.eth0.cells_peak": 6,
        "eth0.link.up_low": 0b101,
        "eth0.link.failed_low": 0b1000,
    }.items():
        out[words.index_of(name, eth_n)] = value
    return out


def _shown(*parts: object) -> str:
    out = StringIO()
    Console(file=out, width=120).print(*parts)
    return out.getvalue()


def test_the_table_shows_every_node() -> None:
    one, two = (words.name_words(_words(k, 2), 0, 2) for k in (0, 1))
    line = line_of(two)
    assert (line.frames_out, line.frames_in, line.again, line.dropped, line.lost) == (111, 90, 3, 7, 5)
    assert line.up == {0, 2} and line.failed == {3} and line.causes == (("dst mac", 1), ("gap", 2), ("tx discarded", 4))
    before = {"a": one | {"linear.busy": (1 << 32) - 10, "eth0.rx.frames": 80}}
    text = _shown(render(["a", "b", "c"], {"a": one, "b": two}, before, "title"))
    for part in ("title", "no answer", "90 +10", "1,234 +1,244", "9 of 128", "a dropped 1 (dst mac), 2 (gap), 4 (tx discarded)", *ROWS):
        assert part in text, part
    assert "host" in text  # peer 3 of three nodes


class _Node(threading.Thread):
    """A node's manager behind a socket: it answers READ."""

    def __init__(self, config: SocketConfig) -> None:
        super().__init__(daemon=True)
        self.host, self.stop, self.asked = SocketHost(config), threading.Event(), 0
        self._table = _words(config.endpoint.station.node)

    def run(self) -> None:
        with self.host:
            while not self.stop.is_set():
                self.host.step(0.01)
                while (item := self.host.take()) is not None:
                    opcode, first, count = item.payload[0], *(int.from_bytes(item.payload[k : k + 4], "little") for k in (4, 8))
                    assert opcode == words.OP_READ and item.header.type == TYPE_CONTROL
                    self.asked += 1
                    reply = bytearray(item.payload[:64].ljust(64, b"\0"))
                    reply[0] |= words.OP_REPLY
                    reply[12:16] = len(self._table).to_bytes(4, "little")
                    body = b"".join(v.to_bytes(4, "little") for v in self._table[first : first + count])
                    h = item.header
                    back = Header(h.src_cluster, h.src_kernel, h.edge, h.dst_cluster, h.dst_kernel, 0, 0, 0, 0, TYPE_CONTROL, False)
                    assert self.host.send(self.host.now(), item.peer, back, bytes(reply) + body)


def test_top_prints_one_table_and_ends_or_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two nodes on loopback addresses, and a third that is not there."""
    base = 127 << 24 | (1 + (os.getpid() >> 8) % 250) << 16 | (os.getpid() & 255) << 8
    job = _job()
    port = job.ports[0]
    ports = tuple(replace(port, name=f"n{k}", node=k, ip=base + 1 + k) for k in range(4))
    neighbours = tuple(replace(job.neighbours[0], node=k, mac=port.mac, ip=base + 1 + k) for k in range(3))
    timers = Timers(1_000, 50_000, 24, 500_000, 5_000)  # microseconds
    job = replace(job, nodes=("n0", "n1", "n2"), ports=ports, neighbours=neighbours, managers=(0, 0, 0), clusters=(0, 0, 0), timers=timers)
    job.save(tmp_path / "job.json")
    Net("demo", "none", 1_000_000, str(tmp_path / "job.json"), os.getpid()).save(tmp_path / "net.json")
    monkeypatch.setattr(namespaces, "is_inside", lambda name: True)
    monkeypatch.setattr("floreana.demo.top.patience", lambda net, job: 1.5)
    host = PeerConfig(Station(3, port.mac, base + 4), 32)
    nodes = [_Node(SocketConfig(EndpointConfig(Station(k, port.mac, base + 1 + k), {3: host}, timers), 1_000_000)) for k in range(2)]
    try:
        for node in nodes:
            node.start()
        out = StringIO()
        assert top(tmp_path / "net.json", Console(file=out, width=100), 1.0, once=True) == 0
        text = out.getvalue()
        assert text.count("links up") == 1 and "no answer" in text and "demo: 1,000,000 cycles" in text
        assert text.splitlines()[2].split() == ["┃", "┃", "n0", "┃", "n1", "┃", "n2", "┃"] and "110" in text and "111" in text
        asked, turns = nodes[0].asked, iter((False, False, True))
        assert asked == 2  # 224 words, 128 a request
        assert top(tmp_path / "net.json", Console(file=StringIO(), width=100), 0.1, once=False, ended=lambda: next(turns)) == 0
        assert nodes[0].asked == 2 + 3 * 2
        with pytest.raises(InputError, match=r"INTERVAL=0\.01"):
            top(tmp_path / "net.json", Console(file=StringIO()), 0.01, once=False)
    finally:
        for node in nodes:
            node.stop.set()
            node.join(10)


def test_without_a_demo_top_says_how_to_start_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["top", "--out", str(tmp_path)]) == 2
    assert "start one with `floreana net-demo --keep 1`" in capsys.readouterr().err
    Net("demo", "floreana-0-host", 1, "job", 1 << 30).save(tmp_path / "net.json")
    with pytest.raises(InputError, match="has ended"):
        Net.load(tmp_path / "net.json")
    Net("demo", "floreana-0-host", 1, str(tmp_path / "job.json"), os.getpid()).save(tmp_path / "net.json")
    with pytest.raises(EnvironmentError_, match=r"cannot enter the network namespace floreana-0-host: .*sudo ip netns exec"):
        top(tmp_path / "net.json", Console(file=StringIO()), 1.0, once=True)


# ------------------------------------------------------------------------------------------------------------ on real devices

if not namespaces.problems():

    def _namespaces() -> set[str]:
        folder = namespaces.NETNS_FOLDER
        return {path.name for path in folder.iterdir() if path.name.startswith("floreana-")} if folder.is_dir() else set()

    def _own(pid: int) -> set[str]:
        return {name for name in _namespaces() if f"-{pid}" in name}

    def _lab(relay: bool) -> Lab:
        return Lab(Wiring(("n0", "n1", "n2"), ((0, 1), (2,)), 0, 0x02F10E000003, 0x0A110003, (0x0A110001, 0x0A110002), relay))

    def _read(handle: int) -> bytes:
        """The next frame at a TAP device that is not the system's own chatter."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            select.select([handle], [], [], 0.2)
            try:
                data = os.read(handle, 2048)
            except BlockingIOError:
                continue
            if data[12:14] == b"\x88\xb5":
                return data
        raise AssertionError("nothing came")

    def test_frames_cross_the_lab_and_nothing_is_left() -> None:
        def frame(target: int, text: bytes) -> bytes:
            return target.to_bytes(6, "big") + bytes.fromhex("02f10e000000") + b"\x88\xb5" + text.ljust(50, b"\0")  # local experimental

        with _lab(relay=False) as lab:
            assert _own(os.getpid()) == {lab.switch_namespace, lab.host_namespace} and len(lab.taps) == 3
            host = open_packets(lab.host_namespace, namespaces.HOST_DEVICE)
            with host:
                os.write(lab.taps[0], frame(0x02F10E000003, b"to the host"))
                assert select.select([host], [], [], 10)[0]
                while (data := host.recv(2048))[12:14] != b"\x88\xb5":
                    assert select.select([host], [], [], 10)[0]
                assert data == frame(0x02F10E000003, b"to the host")
                host.send(frame(0xFFFFFFFFFFFF, b"to all"))
                for tap in lab.taps[:2]:
                    while (data := _read(tap)) != frame(0xFFFFFFFFFFFF, b"to all"):
                        assert b"to the host" in data  # flooded before the bridge had learned
                with pytest.raises(BlockingIOError):
                    os.read(lab.taps[2], 2048)  # another segment
            inside = subprocess.run(
                in_namespace(lab.host_namespace, ["ip", "-o", "address", "show", "dev", "host0"]),
                capture_output=True,
                text=True,
                check=True,
            )
            assert "10.17.0.3/29" in inside.stdout and "inet6" not in inside.stdout
            refused = "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"
            done = subprocess.run(
                in_namespace(lab.host_namespace, powerless([sys.executable, "-c", refused])), capture_output=True, text=True, check=False
            )
            assert done.returncode and "PermissionError" in done.stderr
        assert not _own(os.getpid())
        with _lab(relay=True) as lab:
            assert lab.relay_wire is not None and lab.relay_tap >= 0
            os.write(lab.relay_tap, frame(0xFFFFFFFFFFFF, b"from the relay"))
            assert _read(lab.taps[1]) == frame(0xFFFFFFFFFFFF, b"from the relay")
        assert not _own(os.getpid())

    def test_an_error_in_the_making_leaves_nothing() -> None:
        lab = Lab(Wiring(("n0", "n0"), ((0, 1),), 0, 0x02F10E000003, 0x0A110003, (0x0A110001,)))
        with pytest.raises(EnvironmentError_, match="cannot make the TAP device n0"), lab:
            raise AssertionError("made")
        assert not _own(os.getpid())
        with pytest.raises(EnvironmentError_, match="`ip link show nobody` failed: "):
            namespaces.run_ip("link", "show", "nobody")

    def test_what_a_killed_process_left_is_removed_by_the_next() -> None:
        code = (
            "import sys, time; from floreana.demo.namespaces import Lab, Wiring\n"
            "with Lab(Wiring(('n0',), ((0,),), 0, 0x02F10E000003, 0x0A110003, (0x0A110001,))): print('made', flush=True); time.sleep(60)"
        )
        env = {**os.environ, "PYTHONPATH": str(project_root() / "python")}
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=env)
        assert child.stdout is not None and child.stdout.readline() == b"made\n"
        child.kill()
        child.wait(10)
        child.stdout.close()
        left = {f"floreana-{child.pid}", f"floreana-{child.pid}-host"}
        assert left <= _namespaces() and left <= set(leftovers())
        with _lab(relay=False):
            assert not left & _namespaces()

    _DEMO = """
import signal, sys
from pathlib import Path
from floreana.demo.net_demo import NetOptions, net_demo
from floreana.sim.flow import Options

class Plain:
    def stage(self, text): print(text, flush=True)
    note = stage
    def built(self, simulator): pass
    def show(self, table): pass

def interrupt(number, frame): raise KeyboardInterrupt
signal.signal(signal.SIGTERM, interrupt)
options = Options(project="tiny_2", tokens="3,2", out=Path(sys.argv[1]), loss=0.1, reorder=0.2, dup=0.1)
net_demo(NetOptions(options, keep=True, interval=0.2, builds=Path(sys.argv[2])), Plain())
"""

    class _Demo:
        """The demo as a process, and what it says."""

        def __init__(self, stack: ExitStack, out: Path) -> None:
            env = {**os.environ, "PYTHONPATH": str(project_root() / "python"), "FLOREANA_CACHE": str(out / "cache")}
            self.process = subprocess.Popen(
                [sys.executable, "-c", _DEMO, str(out), str(BUILDS)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=env,
                start_new_session=True,
            )
            stack.callback(self._end)
            self.lines: list[str] = []
            assert self.process.stdout is not None
            self._reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)  # type: ignore[arg-type]
            self._reader.start()

        def _end(self) -> None:
            if self.process.poll() is None:
                self.process.terminate()
                self.process.wait(30)

        def wait_for(self, text: str, seconds: float) -> None:
            end = time.monotonic() + seconds
            while not any(text in line for line in self.lines):
                assert self.process.poll() is None and time.monotonic() < end, "".join(self.lines)
                time.sleep(0.1)

        def end_with(self, number: int) -> tuple[int, str]:
            self.process.send_signal(number)
            code = self.process.wait(60)
            self._reader.join(10)
            return code, "".join(self.lines)

    def _simulators(out: Path) -> int:
        """Processes of simulators that belong to a demo in that folder."""
        count = 0
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                count += f"FLOREANA_TAP_JOB={out}".encode() in path.read_bytes()
            except OSError:
                continue
        return count

    def test_the_demo_from_ping_to_the_compared_sentence(tmp_path: Path) -> None:
        """Two nodes under Verilator, images over the bus, a clean cable and a bad one; `floreana top`; Ctrl-C ends it."""
        with ExitStack() as stack:
            demo = _Demo(stack, tmp_path)
            demo.wait_for("running; Ctrl-C ends it", 600)  # the first run builds the simulator
            said = "".join(demo.lines)
            env = {**os.environ, "PYTHONPATH": str(project_root() / "python"), "COLUMNS": "100"}
            shown = subprocess.run(
                [sys.executable, "-m", "floreana", "top", "--out", str(tmp_path), "--once", "1"],
                capture_output=True,
                text=True,
                check=False,
                env=env,
                timeout=LIMIT,
            )
            assert shown.returncode == 0 and shown.stdout.count("links up") == 1 and "no answer" not in shown.stdout, shown
            code, _ = demo.end_with(signal.SIGINT)
            assert code == 0, said
            assert not _own(demo.process.pid) and not _simulators(tmp_path)
        result = json.loads((tmp_path / "tiny_2" / "net_demo" / "result.json").read_text())
        assert [a["pings"] for a in result["answers"]] == [3, 3] and result["bit_exact"] is True
        assert [a["mac"] for a in result["answers"]] == ["02:f1:0e:00:00:00", "02:f1:0e:00:00:01"]
        clean, bad = result["passes"]["clean"], result["passes"]["relay"]
        assert clean["values"] == bad["values"] == 5 * 128 and clean["sha256"] == bad["sha256"]
        assert clean["relay"]["active"] is False and bad["relay"]["active"] is True
        assert all(bad["relay"][kind] > 0 for kind in ("lost", "reordered"))
        for node, own in bad["words"].items():
            assert own["eth0.rx.arp_answered"] > 0 and own["eth0.rx.icmp_answered"] >= 3, node
            assert own["linear.rows_out"] > 0 and own["eth0.rx.dropped.mac_error"] == 0
        again = sum(own["eth0.tx.again"] for own in bad["words"].values()) + bad["host"]["again"]
        assert again > 0
        assert "cycles a second, a board 200,000,000" in said and "bit for bit equal to the integer model" in said
        status = TapStatus.read(tmp_path / "tiny_2" / "net_demo" / "tap.json")
        assert status.state == "ended" and status.error is None and not status.refused
        print(f"{result['cycles_per_second']} cycles/s, {bad['relay']}, {again} data frames sent again, {2 * clean['values']} values equal")

    def test_a_demo_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
        with ExitStack() as stack:
            demo = _Demo(stack, tmp_path)
            demo.wait_for("loading the memory images", 600)
            assert len(_own(demo.process.pid)) == 2 and _simulators(tmp_path) == 1
            code, said = demo.end_with(signal.SIGTERM)
            assert code == -signal.SIGINT and "KeyboardInterrupt" in said  # the command line makes 130 of it
            assert not _own(demo.process.pid) and not _simulators(tmp_path)
            assert not (tmp_path / "tiny_2" / "net_demo" / "net.json").exists()
