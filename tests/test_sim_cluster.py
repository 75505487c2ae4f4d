# SPDX-License-Identifier: Apache-2.0
"""The cluster bench itself, with nodes that only send every frame back: timing, windows, broken networks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from floreana.cluster.entry import EntryPlan
from floreana.cluster.layout import Header
from floreana.environment import project_root
from floreana.errors import EnvironmentError_, FloreanaError
from floreana.host.endpoint import Timers
from floreana.host.frame import DATA, parse
from floreana.project.tops import render_tops
from floreana.sim.build import Simulator, build, rtl_folders
from floreana.sim.capture import Record, read_capture
from floreana.sim.ethernet import Fabric, Pacer, Sent
from floreana.sim.faults import Cut
from floreana.sim.job import Fault, Job, Neighbour, Outcome, Port
from floreana.sim.run import run

NODES = 2
EDGE = 9
ROW_BYTES = 128
ECHO = project_root() / "tb" / "cluster" / "echo"


MACS = {0x02F10E000000 + k: k for k in range(NODES + 1)}
PORTS = tuple(Port(f"node{k}" if k < NODES else "host", k, mac, 0x0A110001 + k) for mac, k in MACS.items())


def _plan() -> Any:
    host = PORTS[-1]
    nodes = tuple(
        SimpleNamespace(
            index=p.node,
            name=p.name,
            cluster=0,
            ports=(SimpleNamespace(mac=p.mac, ip=p.ip),),
            up=SimpleNamespace(node=host.node, mac=host.mac, ip=host.ip, valid=1),
        )
        for p in PORTS[:-1]
    )
    return SimpleNamespace(project="echo", nodes=nodes, shape={"DEPTH_W": 8, "ETH_N": 1, "PEERS_N": 4})


@dataclass(frozen=True)
class Echo:
    simulator: Simulator
    folder: Path

    def run(self, name: str, rows: int = 6, sentences: int = 2, **changes: Any) -> tuple[Outcome, list[Record]]:
        folder = self.folder / name
        folder.mkdir()
        images = folder / "images"
        images.mkdir()
        for k in range(NODES):
            (images / f"node{k}.hex").write_text(f"{0:08x}{EDGE:0128x}\n")
        job = Job(
            project="echo",
            toplevel="echo_cluster",
            nodes=tuple(p.name for p in PORTS[:-1]),
            ports=PORTS,
            segments=(tuple(range(NODES + 1)),),
            neighbours=tuple(Neighbour(p.node, p.mac, p.ip, 32) for p in PORTS[:-1]),
            hops={129 + k: k for k in range(NODES)},
            managers=(),
            clusters=(),
            timers=Timers(),
            peers_n=4,
            cluster=0,
            entry=EntryPlan(129, 3),
            owners=tuple(t % NODES for t in range(16)),
            row_bytes=ROW_BYTES,
            slots=2,
            encoder_edges={EDGE: 0},
            encoders=1,
            delay=220,
            window=200,
            stall=3000,
            rows=tuple(
                tuple(bytes((17 * s + 5 * t + i) % 256 for i in range(ROW_BYTES)).hex() for t in range(rows)) for s in range(sentences)
            ),
            capture=str(folder / "traffic.pcapng"),
            outcome=str(folder / "outcome.json"),
        )
        job = replace(job, **changes)
        outcome = run(self.simulator, job, images=images, folder=folder, log=folder / "run.log", seed=1)
        if outcome.error is None:
            for s, sentence in enumerate(outcome.sentences):
                assert sentence.rows == job.rows[s]
        return outcome, read_capture(folder / "traffic.pcapng")[1]


def _build(kind: str, folder: Path, node: Path = ECHO) -> Simulator:
    return build(
        kind=kind,
        top="echo_cluster",
        own=render_tops(_plan()),
        folder=folder,
        log=folder / "build.log",
        jobs=2,
        hier=False,
        folders=[node, *rtl_folders()],
        optimise="-O1",
    )


@pytest.fixture(scope="module")
def icarus(tmp_path_factory: pytest.TempPathFactory) -> Echo:
    folder = tmp_path_factory.mktemp("icarus")
    return Echo(_build("icarus", folder), folder)


def _frames(records: list[Record], **want: Any) -> list[Record]:
    return [r for r in records if all(getattr(r, name) == value for name, value in want.items())]


def _data(records: list[Record], **want: Any) -> list[Record]:
    return [r for r in _frames(records, **want) if r.data[42] & 31 == DATA]


def test_every_frame_is_where_and_when_the_rules_put_it(icarus: Echo) -> None:
    outcome, records = icarus.run("rules")
    assert outcome.error is None
    assert outcome.load_writes == (1, 1)
    assert outcome.load_cycles == 24 + 3  # the wait after reset, the write, the end of the file, and done itself
    # hello there and back, twice: the first tells the host the other's epoch and its own
    start = outcome.sentences[0].start
    assert start == 2 * (220 + 1) + 2 * 220
    # the host: row 0's three beats, then 192 + 24 bytes a frame at 62.5 a cycle
    first = [r.cycle for r in _data(records, port=NODES, outbound=True)][:6]
    pacer = Pacer()
    assert first == [pacer.send(start, 192)[1] for _ in range(6)] and first[0] == start + 2
    assert outcome.sentences[1].start == outcome.sentences[0].end + 64
    # each arrival again from the departures alone
    sent = [Sent(r.cycle, r.port, r.data) for r in records if r.outbound]
    expected = sorted((a.cycle, a.port, a.data) for a in Fabric(MACS, 220).forward(sent) if a.cycle <= outcome.cycles)
    assert sorted((r.cycle, r.port, r.data) for r in records if not r.outbound) == expected
    # the stand-in node sends a frame the cycle after its last beat came: the beats were seen when the switch said
    for k in range(NODES):
        came, left = _data(records, port=k, outbound=False), _data(records, port=k, outbound=True)
        assert left[0].cycle == came[0].cycle + 3
    assert outcome.cycles == outcome.sentences[1].end == max(r.cycle for r in records)
    headers = [parse(r.data).header for r in _data(records, port=NODES, outbound=True)]
    assert headers[0] == Header(0, 129, 3, 0, 255, 0, 0, 0, 0, 0, False)
    assert (headers[5].row, headers[5].last, headers[6].slot, headers[6].generation) == (5, True, 1, 0)
    assert outcome.host_drops == {} and outcome.host_again == 0 and outcome.network == {}


def _same(a: Outcome, b: Outcome) -> bool:
    return (a.load_cycles, a.frames, a.sentences, a.error) == (b.load_cycles, b.frames, b.sentences, b.error)


@pytest.mark.parametrize("window", [1, 7, 64, 202])
def test_results_do_not_depend_on_the_window(icarus: Echo, window: int) -> None:
    reference, records = icarus.run(f"reference{window}")
    outcome, other = icarus.run(f"window{window}", window=window)
    assert _same(reference, outcome) and records == other


def test_a_run_repeats(icarus: Echo) -> None:
    """Verilator and Icarus are held against each other with the real node, in test_sim_tiny.py."""
    a, of_a = icarus.run("once", sentences=3)
    b, of_b = icarus.run("again", sentences=3)
    assert a.error is None and _same(a, b) and of_a == of_b


def test_delay_moves_every_arrival(icarus: Echo) -> None:
    a, _ = icarus.run("delay220", sentences=1)
    b, _ = icarus.run("delay500", sentences=1, delay=500)
    assert b.sentences[0].start - a.sentences[0].start == 4 * 280  # hello twice, there and back
    assert b.sentences[0].end - a.sentences[0].end == 6 * 280


def test_two_sentences_in_the_cluster_at_a_time(icarus: Echo) -> None:
    alone, _ = icarus.run("alone", sentences=4)
    both, records = icarus.run("both", sentences=4, in_flight=2)
    assert both.error is None
    assert both.sentences[1].start < both.sentences[0].end and both.cycles < alone.cycles
    assert [(s.slot, s.generation) for s in both.sentences] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert len(_data(records, port=NODES, outbound=True)) == 4 * 6


# frames 0 to 7 are hello and hello-ack, 8 to 13 the host's rows, then come the answers
@pytest.mark.parametrize(
    ("kind", "frame", "again"),
    [("drop", 8, True), ("drop", 13, True), ("repeat", 8, False), ("repeat", 12, False), ("swap", 8, True), ("swap", 10, True)],
)
def test_the_host_makes_good_what_the_network_does(icarus: Echo, kind: str, frame: int, again: bool) -> None:
    outcome, _ = icarus.run(f"{kind}{frame}", sentences=1, faults=(Fault(kind, frame),), stall=20_000)
    assert outcome.error is None
    assert (outcome.host_again > 0) == again and (outcome.sentences[0].end > 4096) == again


def test_the_host_takes_every_answer_once(icarus: Echo) -> None:
    outcome, records = icarus.run("twice", sentences=1, faults=(Fault("repeat", 14),))
    assert outcome.error is None and outcome.host_drops == {"duplicate": 1}
    assert len(_data(records, port=NODES, outbound=False)) == 7


def test_a_cut_cable_is_bridged(icarus: Echo) -> None:
    """The rows for node 1 are on their way; they go again when the cable is whole."""
    outcome, _ = icarus.run("cut", sentences=1, cuts=(Cut(1, 900, 2500),), stall=20_000)
    assert outcome.error is None and outcome.network == {"cut": 3} and outcome.host_again >= 3


def test_a_link_that_stays_dead_ends_the_run_with_the_nodes_name(icarus: Echo) -> None:
    timers = Timers(ack_delay=128, rto=1000, retries=5, keep=5000, nack_hold=768)
    outcome, _ = icarus.run("dead", sentences=1, cuts=(Cut(1, 900, 10**9),), timers=timers, stall=200_000)
    assert outcome.error is not None
    assert "the host's link to node 1 failed" in outcome.error, outcome.error
    assert [e.text for e in outcome.events] == ["the host's link to node 1 failed"]
    assert 884 + 5 * 1000 < outcome.events[0].cycle < 884 + 5 * 1000 + 100 and outcome.cycles < 6200


@pytest.mark.parametrize(("kind", "frame"), [("drop", 14), ("swap", 15), ("drop", 19)])
def test_an_answer_that_never_comes_is_a_stall_that_names_the_row(icarus: Echo, kind: str, frame: int) -> None:
    """The stand-in node sends nothing again."""
    outcome, _ = icarus.run(f"{kind}{frame}", sentences=1, faults=(Fault(kind, frame),))
    assert outcome.error is not None and outcome.cycles < 6000
    for word in ("nothing new was sent for", "(limit 3000)", "lacks row(s)", "encoder 0: 6 of 6"):
        assert word in outcome.error, outcome.error


VALID = "assign mac_tx_tvalid = rd_reg != whole_reg;"
BEAT = "assign {mac_tx_tlast, mac_tx_tkeep, mac_tx_tdata} = beats[rd_reg];"
TURNED = "      turned[47:0] = mac_rx_tdata[95:48];"


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        (VALID, VALID.replace(";", " && cycle_reg[0];"), ["node0 left a gap inside a frame"]),
        (BEAT, BEAT.replace(";", " ^ (577'd1 << 517);"), ["node0 sent a frame with a hole in tkeep"]),
        (
            BEAT,
            BEAT.replace("beats[rd_reg]", "{rd_reg < 2 ? beats[rd_reg][576] : rd_reg == 25, beats[rd_reg][575:0]}"),
            ["node0 sent a frame of more than 17 beats"],
        ),
        ("sts_lost <= sts_lost + 32'd1", "sts_lost <= 32'd7", ["node0 lost 7 message(s)"]),
        (
            TURNED,
            TURNED.replace("mac_rx_tdata[95:48]", "48'h112233445566"),
            ["MAC address 665544332211, which no port of that Ethernet switch has"],
        ),
        (TURNED, TURNED + "turned[8*24+:16] = 16'd0;", ["node0 sent something that is not a frame of ours", "checksum 0000 is wrong"]),
        (TURNED, TURNED + "turned[8*50+:4] = 4'bx;", ["node0 sent a frame with unknown bits"]),
        ("turned[8*44+:16] = {id_node[7:0], id_node[15:8]}", "turned[8*44+:16] = 16'h4400", ["node0 sent a frame of node 68"]),
        (TURNED, TURNED + "turned[8*59+:8] = 8'h25;", ["slot 2 generation 5 while slot 0 generation 0"]),
        (TURNED, TURNED + "turned[8*61+:8] = 8'd16;", ["of row 16: the result of sequence 0 has 16 rows of 128 bytes"]),
        (TURNED, TURNED + "turned[8*61+:8] = 8'd0;", ["sent row 0 of sequence 0 twice"]),
    ],
)
def test_what_a_node_does_wrong_is_named(tmp_path: Path, right: str, wrong: str, words: list[str]) -> None:
    text = (ECHO / "node_core.v").read_text()
    assert text.count(right) == 1
    text = text.replace(right, wrong).replace("  reg [511:0] turned;", "  reg [511:0] turned;\n  reg [7:0] cycle_reg;")
    text = text.replace(
        "  always @(posedge clk) begin",
        "  always @(posedge clk) cycle_reg <= rst ? 8'd0 : cycle_reg + 8'd1;\n\n  always @(posedge clk) begin",
    )
    if "32'd7" in wrong:
        text = text.replace("mac_rx_tlast && mac_rx_tuser", "mac_rx_tlast")
    (tmp_path / "node_core.v").write_text(text)
    outcome, _ = Echo(_build("icarus", tmp_path, tmp_path), tmp_path).run("run", sentences=1, rows=16)
    assert outcome.error is not None
    for word in words:
        assert word in outcome.error, outcome.error


def test_a_disk_that_fills_up_during_the_run_is_named(icarus: Echo) -> None:
    with pytest.raises(EnvironmentError_, match="no room left on the disk") as caught:
        icarus.run("full", capture="/dev/full")
    assert caught.value.exit_code == 3


def test_a_simulator_that_dies_is_an_error_with_its_last_words(icarus: Echo) -> None:
    with pytest.raises(FloreanaError, match="before the run was over") as caught:
        icarus.run("dies", neighbours=())
    assert caught.value.exit_code == 4 and "ValueError" in caught.value.message


def test_nothing_lives_on_after_ctrl_c(icarus: Echo, tmp_path: Path) -> None:
    """A process that waits for a simulator gets SIGINT: both are gone, also what the simulator's group holds."""
    script = (
        "import sys, pathlib, os\n"
        "from floreana.sim.process import run_logged\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "run_logged(['sh', '-c', 'echo $$ > pid; sleep 61.25 & sleep 61.5; wait'], log=folder / 'log', env=os.environ, cwd=folder)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(project_root() / "python")}
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env=env, stderr=subprocess.DEVNULL)
    pid = tmp_path / "pid"
    limit = time.monotonic() + 120
    while not (pid.exists() and pid.read_text().strip()):
        assert time.monotonic() < limit
        time.sleep(0.05)
    group = int(pid.read_text())
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) != 0
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)
