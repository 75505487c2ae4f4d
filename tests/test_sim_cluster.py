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

from floreana.cluster.layout import Header
from floreana.environment import project_root
from floreana.errors import EnvironmentError_, FloreanaError
from floreana.host.frame import parse
from floreana.project.tops import render_tops
from floreana.sim.build import Simulator, build, rtl_folders
from floreana.sim.capture import Record, read_capture
from floreana.sim.ethernet import EthernetSwitch, Pacer, Sent
from floreana.sim.job import Fault, Job, Outcome, Port
from floreana.sim.run import run

NODES = 2
EDGE = 9
ROW_BYTES = 128
ECHO = project_root() / "tb" / "cluster" / "echo"


def _plan() -> Any:
    nodes = tuple(SimpleNamespace(index=k, name=f"node{k}", mac=0x02F10E000000 + k, ip=0x0A110001 + k) for k in range(NODES))
    return SimpleNamespace(project="echo", nodes=nodes, shape={"DEPTH_W": 8})


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
        nodes = tuple(Port(n.name, n.index, n.mac, n.ip, 129 + n.index) for n in _plan().nodes)
        job = Job(
            project="echo",
            toplevel="echo_cluster",
            nodes=nodes,
            host=Port("host", NODES, 0x02F10E000000 + NODES, 0x0A110001 + NODES, -1),
            cluster=0,
            entry_kernel=129,
            entry_edge=3,
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
        own=render_tops(_plan(), hier=False),
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


def test_every_frame_is_where_and_when_the_rules_put_it(icarus: Echo) -> None:
    outcome, records = icarus.run("rules")
    assert outcome.error is None
    assert outcome.load_writes == (1, 1)
    assert outcome.load_cycles == 3  # the write, the end of the file, and done itself
    # the host: row 0's three beats in cycles 0 to 2, then 192 + 24 bytes a frame at 62.5 a cycle
    first = [r.cycle for r in _frames(records, port=NODES, outbound=True)][:6]
    pacer = Pacer()
    assert first == [pacer.send(0, 192)[1] for _ in range(6)] and first[0] == 2
    assert outcome.sentences[0].start == 0
    assert outcome.sentences[1].start == outcome.sentences[0].end + 64
    # each arrival again from the departures alone
    macs = {0x02F10E000000 + k: k for k in range(NODES + 1)}
    sent = [Sent(r.cycle, r.port, r.data) for r in records if r.outbound]
    expected = sorted((a.cycle, a.port, a.data) for a in EthernetSwitch(macs, 220).forward(sent))
    assert sorted((r.cycle, r.port, r.data) for r in records if not r.outbound) == expected
    # the stand-in node sends a frame the cycle after its last beat came: the beats were seen when the switch said
    for k in range(NODES):
        came, left = _frames(records, port=k, outbound=False), _frames(records, port=k, outbound=True)
        assert left[0].cycle == came[0].cycle + 3
    assert outcome.sentences[1].end == max(r.cycle for r in records)
    headers = [parse(r.data).header for r in _frames(records, port=NODES, outbound=True)]
    assert headers[0] == Header(0, 129, 3, 0, 255, 0, 0, 0, 0, 0, False)
    assert (headers[5].row, headers[5].last, headers[6].slot, headers[6].generation) == (5, True, 1, 0)


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
    assert b.sentences[0].end - a.sentences[0].end == 2 * 280


@pytest.mark.parametrize(
    ("kind", "frame", "words"),
    [
        ("drop", 0, ["sequence error at node0", "peer host", "expected sequence number 0, got 1", "lost", "cycle"]),
        ("repeat", 2, ["sequence error at node0", "peer host", "expected sequence number 2, got 1", "repeated"]),
        ("drop", 6, ["sequence error at host", "peer node0", "expected sequence number 0, got 1", "frame 9,"]),
        ("repeat", 6, ["sequence error at host", "peer node0", "expected sequence number 1, got 0", "repeated"]),
        ("swap", 7, ["sequence error at host", "peer node1", "expected sequence number 0, got 1"]),
    ],
)
def test_a_broken_network_stops_the_run(icarus: Echo, kind: str, frame: int, words: list[str]) -> None:
    outcome, _ = icarus.run(f"{kind}{frame}", sentences=1, faults=(Fault(kind, frame),))
    assert outcome.error is not None
    for word in words:
        assert word in outcome.error, outcome.error


def test_a_lost_last_frame_is_a_stall_that_names_the_row(icarus: Echo) -> None:
    outcome, _ = icarus.run("last", sentences=1, faults=(Fault("drop", 11),))
    assert outcome.error is not None and outcome.cycles < 5000
    for word in ("no frame for", "lacks row(s) 5 of 6", "encoder 0: 6 of 6"):
        assert word in outcome.error, outcome.error


VALID = "assign mac_tx_tvalid = rd_reg != whole_reg;"
BEAT = "assign {mac_tx_tlast, mac_tx_tkeep, mac_tx_tdata} = beats[rd_reg];"
TURNED = "      turned[47:0] = mac_rx_tdata[95:48];"


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        (VALID, VALID.replace(";", " && cycle_reg[0];"), ["node0 left a gap inside a frame"]),
        (BEAT, BEAT.replace(";", " ^ (577'd1 << 517);"), ["node0 sent a frame with a hole in tkeep"]),
        (BEAT, BEAT.replace("beats[rd_reg]", "{rd_reg == 23, beats[rd_reg][575:0]}"), ["node0 sent a frame of more than 17 beats"]),
        ("sts_drops <= sts_drops + 32'd1", "sts_drops <= 32'd7", ["node0 dropped 7 frame(s)"]),
        (TURNED, TURNED.replace("mac_rx_tdata[95:48]", "48'h112233445566"), ["MAC address 665544332211, which no port has"]),
        (TURNED, TURNED + "turned[8*24+:16] = 16'd0;", ["node0 sent something that is not a frame of ours", "checksum 0000 is wrong"]),
        (TURNED, TURNED + "turned[8*52+:4] = 4'bx;", ["node0 sent a frame with unknown bits"]),
        ("turned[8*44+:16] = {id_node[7:0], id_node[15:8]}", "turned[8*44+:16] = 16'h4400", ["node 68, which the plan does not have"]),
        (TURNED, TURNED + "turned[8*59+:8] = 8'h25;", ["slot 2 generation 5 while slot 0 generation 0"]),
        (TURNED, TURNED + "turned[8*61+:8] = 8'd16;", ["of row 16: a result has 16 rows of 128 bytes"]),
        (TURNED, TURNED + "turned[8*61+:8] = 8'd0;", ["sent row 0 twice"]),
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
        icarus.run("dies", owners=(7,) * 16)
    assert caught.value.exit_code == 4 and "KeyError" in caught.value.message


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
