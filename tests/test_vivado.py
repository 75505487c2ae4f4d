# SPDX-License-Identifier: Apache-2.0
"""Vivado projects without Vivado: tops through three elaborators, scripts and constraints through a stand-in, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from pyslang.driver import Driver

from floreana.boards import board, boards
from floreana.cli import main
from floreana.cluster.description import Project, find_project, load_project
from floreana.cluster.plan import Plan, make_plan
from floreana.environment import find_tool, project_root, tool_environment
from floreana.errors import EnvironmentError_, FloreanaError, InputError
from floreana.ibert.params import ModelParams
from floreana.ibert.quantise import quantise_cached
from floreana.project.cmac_usplus import check, cmac, settings
from floreana.project.generate import check_memories
from floreana.project.tops import cluster_top, render_tops
from floreana.project.vivado import (
    FILES,
    boards_of,
    check_board,
    multiplier,
    node_sources,
    render_node,
    render_project,
    render_top,
    top_name,
    write_project,
)
from floreana.sim.build import rtl_folders, sources_of
from floreana.sim.flow import Options, prepare

HERE = Path(__file__).parent / "vivado"
MADE = tuple(name for name, one in boards().items() if one.ports)
QUIET = "/* verilator lint_off UNUSEDSIGNAL */\n/* verilator lint_off UNDRIVEN */\n"  # a black box uses nothing
MIXED = {"node0": "sidewinder", "node1": "u55c"}


def project(name: str = "tiny_2", **cluster: object) -> Project:
    one = load_project(find_project(name))
    return one.model_copy(update={"cluster": one.cluster.model_copy(update=cluster)})


def plan_of(eth_n: int = 1, name: str = "tiny_2") -> Plan:
    return make_plan(project(name, topology="star" if eth_n == 1 else "line"))


def parameters(one: Project, folder: Path) -> ModelParams:
    work = prepare(one, make_plan(one), Options(project=one.name), lambda _: None)
    return quantise_cached(work.weights, work.calibration, one.name, folder, lambda _: None, work.softmax)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """Everything of tiny_2 on a Sidewinder and a U55C."""
    one = project(boards={"node1": "u55c"})
    return render_project(make_plan(one), boards_of(one.cluster), parameters(one, tmp_path_factory.mktemp("cache")))


# ------------------------------------------------------------------ elaboration


def blackbox(name: str, ports: list[tuple[str, str, int]]) -> str:
    """A module without contents."""
    lines = ",\n".join(f"    {direction} wire {f'[{width - 1}:0] ' if width > 1 else ''}{port}" for direction, port, width in ports)
    return f"`resetall\n`timescale 1ns / 1ps\n`default_nettype none\n{QUIET}module {name} (\n{lines}\n);\nendmodule\n`resetall\n"


def macs(eth_n: int) -> dict[str, str]:
    """The IP with the ports of the data file: all inputs, and the outputs that a top uses."""
    one = cmac()
    ports = [("input", name, width) for name, width in one.inputs.items()] + [
        ("output", name, width) for name, width in one.outputs.items()
    ]
    return {f"cmac_usplus_{p}": blackbox(f"cmac_usplus_{p}", ports) for p in range(eth_n)}


def primitives() -> dict[str, str]:
    """The vendor's cells, for tools that do not know them: what a top uses of them."""
    out = {
        "IBUF": blackbox("IBUF", [("input", "I", 1), ("output", "O", 1)]),
        "BUFG": blackbox("BUFG", [("input", "I", 1), ("output", "O", 1)]),
        "IBUFDS": blackbox("IBUFDS", [("input", "I", 1), ("input", "IB", 1), ("output", "O", 1)]),
    }
    inputs = [("input", name, 1) for name in ("CLKIN1", "CLKFBIN", "RST", "PWRDWN")]
    mmcm = blackbox("MMCME4_BASE", [*inputs, *(("output", name, 1) for name in ("CLKFBOUT", "CLKOUT0", "CLKOUT1", "LOCKED"))])
    values = {"CLKIN1_PERIOD": "10.0", "CLKFBOUT_MULT_F": "5.0", "CLKOUT0_DIVIDE_F": "1.0", "DIVCLK_DIVIDE": "1", "CLKOUT1_DIVIDE": "1"}
    given = ", ".join(['parameter BANDWIDTH = "OPTIMIZED"', *(f"parameter {name} = {value}" for name, value in values.items())])
    out["MMCME4_BASE"] = mmcm.replace("module MMCME4_BASE (", f"/* verilator lint_off UNUSEDPARAM */\nmodule MMCME4_BASE #({given}) (")
    return out


def node_head(plan: Plan) -> str:
    """The node as a black box, for tops alone: its own header."""
    head = render_tops(plan)[f"{plan.project}_node.v"].split(");\n")[0]
    return head.replace("\nmodule ", f"\n{QUIET}module ", 1) + ");\nendmodule\n`resetall\n"


def lay_out(folder: Path, plan: Plan, top: str, whole: bool) -> tuple[list[str], list[str]]:
    """Write a top and all below it; (black boxes of the IP, everything else), as names below ``folder``."""
    (folder / "blackbox").mkdir()
    for name, text in {**macs(plan.shape["ETH_N"]), **primitives()}.items():
        (folder / "blackbox" / f"{name}.v").write_text(text)
    rtl = {name: text for name, text in node_sources(plan).items() if whole or name.startswith(("node_shell", "axis_"))}
    if not whole:
        rtl[f"{plan.project}_node.v"] = node_head(plan).encode()
    for name, text in {**rtl, f"{top_name(plan, plan.nodes[0])}.v": top.encode()}.items():
        (folder / name).write_bytes(text)
    return [f"blackbox/{name}.v" for name in macs(plan.shape["ETH_N"])], [*rtl, f"{top_name(plan, plan.nodes[0])}.v"]


def lint(folder: Path, top: str, names: list[str], tools: tuple[str, ...] = ("verilator", "iverilog")) -> str:
    """What the linters of hand-written RTL say, but for messages about it, which are the dialect gate's business."""
    env = tool_environment()
    hand_written = {path.stem for path in (project_root() / "rtl").glob("*/*.v")}
    arguments = {
        "verilator": ["--lint-only", "-Wall", "-Wno-fatal", "--language", "1364-2005", "-DFLOREANA_PACKED=1", "--top-module", top],
        "iverilog": ["-g2005", "-gno-xtypes", "-Wall", "-DFLOREANA_PACKED=1", "-t", "null", "-s", top],
    }
    told = ""
    for tool in tools:
        path = find_tool(tool, env)
        assert path is not None
        done = subprocess.run(
            [path, *arguments[tool], *(f"blackbox/{name}.v" for name in primitives()), *names],
            cwd=folder, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        for line in (done.stdout + done.stderr).splitlines():
            place = re.match(r"(?:%\w+(?:-\w+)?: )?([\w/]+)\.v:\d+", line)
            if place and place.group(1) not in hand_written:
                told += f"{tool}: {line}\n"
        told += "" if done.returncode == 0 else f"{tool}: exit code {done.returncode}\n"
    return told


def yosys(folder: Path, top: str, names: list[str]) -> tuple[int, str]:
    command = [sys.executable, str(HERE / "elaborate.py"), str(folder), top, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def slang(folder: Path, top: str, names: list[str]) -> bool:
    """Whether slang elaborates it as Verilog-2005 without an error."""
    driver = Driver()
    driver.addStandardArgs()
    boxes = [f"blackbox/{name}.v" for name in primitives()]
    paths = " ".join(str(folder / name) for name in (*boxes, *names))
    arguments = f"slang --std 1364-2005 -DFLOREANA_PACKED=1 --top {top} {paths}"
    assert driver.parseCommandLine(arguments) and driver.processOptions() and driver.parseAllSources()
    return not any(problem.isError() for problem in driver.createCompilation().getAllDiagnostics())


@pytest.mark.parametrize(("name", "eth_n"), [*((name, 2) for name in MADE), ("sidewinder", 1)])
def test_the_tops_of_all_boards_lint_and_elaborate(tmp_path: Path, name: str, eth_n: int) -> None:
    """Like hand-written RTL, and in all three elaborators: shell and top, with the node as a black box."""
    plan = plan_of(eth_n)
    boxes, names = lay_out(tmp_path, plan, render_top(plan, plan.nodes[0], board(name)), whole=False)
    assert lint(tmp_path, top_name(plan, plan.nodes[0]), [*boxes, *names]) == ""
    assert slang(tmp_path, top_name(plan, plan.nodes[0]), [*boxes, *names])
    code, text = yosys(tmp_path, top_name(plan, plan.nodes[0]), [*boxes, *names])
    assert code == 0, text[-2000:]


@pytest.mark.parametrize(("name", "eth_n", "which"), [("sidewinder", 1, "tiny_2"), ("fb2cg", 2, "tiny_2"), ("u55c", 1, "ibert_base_6")])
def test_whole_nodes_elaborate(tmp_path: Path, name: str, eth_n: int, which: str) -> None:
    """Only the vendor's cells and IP are black boxes."""
    plan = plan_of(eth_n, which)
    top = top_name(plan, plan.nodes[0])
    boxes, names = lay_out(tmp_path, plan, render_top(plan, plan.nodes[0], board(name)), whole=True)
    assert lint(tmp_path, top, [*boxes, *names], ("verilator",)) == ""
    assert slang(tmp_path, top, [*boxes, *names])
    if eth_n == 2:
        return  # Yosys takes longest; it has the other two, and the top of this one above
    code, text = yosys(tmp_path, top, [*boxes, *names])
    assert code == 0 and int(text.rsplit("cells:", 1)[1]) > 1000, text[-2000:]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (".tx_axis_tdata ", ".tx_axis_tdat  "),
        ("MMCME4_BASE #(", "MMCME4_BAZE #("),
        (".sts_link(link)", ".sts_lnk(link)"),
        ("cmac_usplus_0 mac0", "cmac_usplus_9 mac0"),
    ],
)
def test_a_broken_top_fails_in_every_tool(tmp_path: Path, old: str, new: str) -> None:
    plan = plan_of()
    top = top_name(plan, plan.nodes[0])
    text = render_top(plan, plan.nodes[0], board("u250"))
    assert old in text
    boxes, names = lay_out(tmp_path, plan, text.replace(old, new), whole=False)
    assert lint(tmp_path, top, [*boxes, *names]).count("exit code") == 2
    assert not slang(tmp_path, top, [*boxes, *names])
    assert yosys(tmp_path, top, [*boxes, *names])[0] != 0


def test_the_top_connects_every_input_of_the_mac() -> None:
    plan = plan_of(2)
    text = render_top(plan, plan.nodes[1], board("u250"))
    for p in range(2):
        connected = re.findall(r"\.(\w+)", text.split(f"cmac_usplus_{p} mac{p} (")[1].split(");\n")[0])
        assert sorted(connected) == sorted([*cmac().inputs, *cmac().outputs])
    node = plan.nodes[1]
    identity = f".id_mac({{48'h{node.ports[1].mac:012x}, 48'h{node.ports[0].mac:012x}}})", f".id_node(16'd{node.index})", ".cfg_we(1'b0)"
    assert all(part in text for part in identity)


def test_the_simulation_runs_the_generated_node(files: Mapping[str, bytes]) -> None:
    """Every module of the node is the same file, byte for byte, in the simulation and in the Vivado project."""
    plan = plan_of()
    simulated = sources_of(cluster_top(plan), render_tops(plan), rtl_folders())
    below = {name: text for name, text in simulated.items() if not name.startswith("tb_") and name != cluster_top(plan)}
    written = {name.removeprefix("rtl/").removesuffix(".v"): text for name, text in files.items() if name.startswith("rtl/")}
    assert "tiny_2_node" in below and "node_core" in below
    assert {name: written[name] for name in below} == below
    shell = set(written) - set(below)
    assert "node_shell" in shell and all(name.startswith(("node_shell", "axis_")) for name in shell)


# ------------------------------------------------------------------ a top at work

BENCH = """`timescale 1ps / 1ps
module bench;
  reg sys_p, ref_p;
  wire [3:0] tx_p, tx_n;
  real before, period;
  integer k;
  TOP top (.sys_clk_p(sys_p), .sys_clk_n(!sys_p), .board_reset_n(1'b1), .qsfp0_refclk_p(ref_p), .qsfp0_refclk_n(!ref_p),
           .qsfp0_rx_p(4'd0), .qsfp0_rx_n(4'd0), .qsfp0_tx_p(tx_p), .qsfp0_tx_n(tx_n), .led());
  initial begin
    sys_p = 1'b0;
    forever #2500 sys_p = !sys_p;
  end
  initial begin
    ref_p = 1'b0;
    forever #1551.5 ref_p = !ref_p;
  end
  initial begin
    @(negedge top.rst);
    for (k = 0; k < 100; k = k + 1) begin
      before = $realtime;
      @(posedge top.clk);
      period = $realtime - before;
    end
    $display("CLK %0d", period);
    @(posedge top.init_clk);
    before = $realtime;
    @(posedge top.init_clk);
    period = $realtime - before;
    $display("INIT %0d", period);
    #8000000 $display("LINK %b", top.link[0]);
    $finish;
  end
endmodule
"""


def beats(frame: bytes) -> list[str]:
    """A frame as the MAC's model reads it: a line for each 64 bytes, byte 0 lowest."""
    out = []
    for at in range(0, len(frame), 64):
        part = frame[at : at + 64]
        out.append(f"{int(at + 64 >= len(frame))} {(1 << len(part)) - 1:016x} {int.from_bytes(part, 'little'):0128x}")
    return out


def frames_of(lines: list[str]) -> list[bytes]:
    """The reverse; tkeep must be contiguous."""
    out, data = [], b""
    for line in lines:
        last, keep, value = line.split()
        count = int(keep, 16).bit_length()
        assert int(keep, 16) == (1 << count) - 1 and (count == 64 or last == "1")
        data += int(value, 16).to_bytes(64, "little")[:count]
        if last == "1":
            out.append(data)
            data = b""
    assert data == b""
    return out


def test_a_generated_top_answers_on_its_pins(tmp_path: Path) -> None:
    """The top of a Sidewinder with its whole node, models of clocks and MAC around it: clocks are 200 and 100 MHz, the link comes up, the
    node answers ARP and ping with the plan's addresses, and no frame pauses at the MAC."""
    from scapy.layers.inet import ICMP, IP
    from scapy.layers.l2 import ARP, Ether

    plan = plan_of()
    node, host = plan.nodes[0], plan.host
    mac, peer = (":".join(f"{value:012x}"[k : k + 2] for k in range(0, 12, 2)) for value in (node.mac, host.mac))
    ip, far = (".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0)) for value in (node.ip, host.ip))
    top = top_name(plan, node)
    (tmp_path / "bench.v").write_text(BENCH.replace("TOP top", f"{top} top"))
    (tmp_path / f"{top}.v").write_text(render_top(plan, node, board("sidewinder")))
    sources = node_sources(plan)
    for name, data in sources.items():
        (tmp_path / name).write_bytes(data)
    ask = bytes(Ether(src=peer, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=peer, psrc=far, pdst=ip)).ljust(60, b"\0")
    ping = bytes(Ether(src=peer, dst=mac) / IP(src=far, dst=ip, flags="DF") / ICMP(type=8, id=7, seq=9) / bytes(range(150)))
    (tmp_path / "frames").write_text("\n".join([*beats(ask), *beats(ping)]) + "\n")
    env = tool_environment()
    iverilog, vvp = find_tool("iverilog", env), find_tool("vvp", env)
    assert iverilog is not None and vvp is not None
    build = [iverilog, "-g2005", "-s", "bench", "-o", "top.vvp", "bench.v", str(HERE / "models.v"), f"{top}.v", *sources]
    subprocess.run(build, cwd=tmp_path, env=env, check=True, capture_output=True)
    command = [vvp, "-n", "top.vvp", "+taken=taken", "+frames=frames"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert re.findall(r"[A-Z]+ ?\d*", done.stdout) == ["CLK 5000", "INIT 10000", "LINK 1"], done.stdout
    sent = [Ether(frame) for frame in frames_of((tmp_path / "taken").read_text().splitlines())]
    assert all(frame.src == mac and frame.dst == peer for frame in sent)
    (arp,) = [frame for frame in sent if ARP in frame]
    assert (arp[ARP].op, arp[ARP].hwsrc, arp[ARP].psrc, arp[ARP].pdst) == (2, mac, ip, far)
    (echo,) = [frame for frame in sent if ICMP in frame]
    assert (echo[ICMP].type, echo[ICMP].id, echo[ICMP].seq, bytes(echo[ICMP].payload)) == (0, 7, 9, bytes(range(150)))


# ------------------------------------------------------------------ clock domains


def test_every_crossing_has_its_constraint(files: Mapping[str, bytes]) -> None:
    """Each path between two clocks in the shell's netlist ends or begins where cdc.xdc says, and each of its patterns has one."""
    rtl = [path for path in sorted((project_root() / "rtl").glob("*/*.v")) if path.name.startswith(("axis_", "node_shell"))]
    done = subprocess.run([sys.executable, HERE / "crossings.py", "2", *rtl], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.rsplit("JSON ", 1)[1])
    text = files["node0/cdc.xdc"].decode()
    patterns = re.findall(r"(-from|-to) \[get_(cells|pins) -hierarchical -filter \{NAME =~ (\S+)\}\]", text)
    assert len(patterns) == 4
    used: set[str] = set()

    def named(name: str, way: str) -> bool:
        hits = [glob for one, _, glob in patterns if one == way and re.fullmatch(re.escape(glob).replace(r"\*", ".*"), name)]
        used.update(hits)
        return bool(hits)

    assert found["registers"] > 150 and len(found["crossings"]) > 20
    for kind, source, register in found["crossings"]:
        if kind == "memory" and source.endswith("u_rx/u_cross/u_fifo/u_ram/mem_reg"):
            continue  # block memory, RX_STYLE of node_shell: its read port has the clock of what reads
        assert named(source, "-from") if kind == "memory" else named(register, "-to"), (kind, source, register)
    assert 'RX_STYLE = "block"' in (project_root() / "rtl" / "node" / "node_shell.v").read_text()
    for name in found["caught"]:
        assert named(f"{name}/PRE", "-to"), name
    assert used == {glob for _, _, glob in patterns}
    clocks = re.findall(r"set_max_delay -datapath_only.*?\}?\]? ([0-9.]+)\n", text.replace("\\\n", ""))
    assert clocks == ["3.103"] * 3  # ns: shorter than a period of either clock


# ------------------------------------------------------------------ scripts and constraints under tclsh


def fake_vivado(folder: Path) -> Path:
    tclsh = find_tool("tclsh", tool_environment())
    assert tclsh is not None, "tclsh is missing: make env-test"
    (folder / "properties").write_text("\n".join(cmac().properties) + "\n")
    script = folder / "vivado"
    script.write_text(f'#!/bin/sh\nexec "{tclsh}" "{HERE / "stub.tcl"}" "$@"\n')
    script.chmod(0o755)
    return script


def run_make(folder: Path, vivado: Path, *goals: str, **settings: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    env |= {"STUB_PROPERTIES": str(vivado.with_name("properties")), **{f"STUB_{name}": value for name, value in settings.items()}}
    return subprocess.run(["make", "-C", folder, f"VIVADO={vivado}", *goals], env=env, capture_output=True, text=True, check=False)


def test_the_scripts_run(files: Mapping[str, bytes], tmp_path: Path) -> None:
    """Both nodes side by side from nothing to bitstream and board, as the README of the folder says."""
    folder, vivado = tmp_path / "made", fake_vivado(tmp_path)
    write_project(folder, "tiny_2", files)
    done = run_make(folder, vivado, "-j2")
    assert done.returncode == 0, done.stderr
    for node in ("node0", "node1"):
        assert (folder / node / "work" / f"tiny_2_{node}_top.bit").is_file()
        for report in ("synth_timing", "synth_utilization", "route_timing", "route_cdc", "route_drc", "route_methodology", "route_status"):
            assert (folder / node / "work" / f"{report}.rpt").is_file()
        assert (folder / node / "work" / "synth.dcp").is_file() and (folder / node / "work" / "route.dcp").is_file()
    assert "Nothing to be done" in run_make(folder, vivado).stdout
    refused = run_make(folder, vivado, "program")
    assert refused.returncode != 0 and "no JTAG cable for node0: set HW_TARGET_node0 in boards.mk" in refused.stderr
    (folder / "boards.mk").write_text("HW_TARGET_node0 = A001\nHW_TARGET_node1 = B002\n")
    done = run_make(folder, vivado, "program")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"PROGRAMMED (\S+)", done.stdout) == ["hw:xczu19*", "hw:xcu55c*"]
    # a changed script builds that node anew, and no other
    (folder / "node1" / "impl.tcl").touch()
    anew = [line for line in run_make(folder, vivado).stdout.splitlines() if line.startswith("cd")]
    assert len(anew) == 1 and anew[0].startswith("cd node1 ") and "-source impl.tcl" in anew[0]


@pytest.mark.parametrize("name", [name for name in MADE if name not in MIXED.values()])
def test_the_scripts_of_the_other_boards_run(name: str, tmp_path: Path) -> None:
    plan = plan_of(2)
    vivado = fake_vivado(tmp_path)
    rtl = node_sources(plan)
    for file, text in render_node(plan, plan.nodes[0], board(name), rtl).items():
        (tmp_path / "node0").mkdir(exist_ok=True)
        (tmp_path / "node0" / file).write_text(text)
    (tmp_path / "rtl").mkdir()
    for file in rtl:
        (tmp_path / "rtl" / file).touch()
    (tmp_path / "node0" / "work").mkdir()
    env = {**os.environ, "STUB_PROPERTIES": str(tmp_path / "properties")}
    for step in ("project", "synth", "impl"):
        command = [vivado, "-mode", "batch", "-log", f"work/{step}.log", "-source", f"{step}.tcl", "-tclargs", "1"]
        done = subprocess.run(command, cwd=tmp_path / "node0", env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


# (file of node1, what is there, what comes in its place, what the stand-in says)
BROKEN = {
    "command": ("synth.tcl", "open_run", "open_rum", "unknown command open_rum"),
    "option": ("impl.tcl", "-to_step", "-upto_step", "unknown option -upto_step"),
    "IP property": ("ip.tcl", "CONFIG.USER_INTERFACE", "CONFIG.USER_INTERFCE", "has no property CONFIG.USER_INTERFCE"),
    "IP": ("ip.tcl", "-name cmac_usplus ", "-name cmac_usplas ", "unknown IP cmac_usplas"),
    "source": ("project.tcl", "../rtl/node_shell.v", "../rtl/node_shel.v", "no such file: ../rtl/node_shel.v"),
    "constraints": ("project.tcl", "timing.xdc cdc", "timings.xdc cdc", "no such file: timings.xdc"),
    "port": ("pins.xdc", "{hbm_cattrip}", "{hbm_catrip}", "pins.xdc:23: the top has no port hbm_catrip"),
    "bit": ("pins.xdc", "qsfp0_rx_p[3]", "qsfp0_rx_p[4]", "the top has no port qsfp0_rx_p[4]"),
    "pin twice": ("pins.xdc", "PACKAGE_PIN BE45", "PACKAGE_PIN AD51", "pin AD51 is used by port:qsfp0_rx_p[0] and port:hbm_cattrip"),
    "no standard": ("pins.xdc", " IOSTANDARD LVCMOS18} [get_ports {hbm", "} [get_ports {hbm", "no IOSTANDARD for port:hbm_cattrip"),
    "port without a pin": ("pins.xdc", "set_property PACKAGE_PIN AD42", "#", "ports without a pin: port:qsfp0_refclk_p"),
    "clock's port": ("timing.xdc", "[get_ports sys_clk_p]", "[get_ports sys_clk]", "the top has no port sys_clk"),
    "clock's pin": ("cdc.xdc", "mac0/gt_txusrclk2", "mac0/gt_txusrclk", "the top has no pin mac0/gt_txusrclk"),
    "instance": ("cdc.xdc", "NAME =~ shell/g_port*/sync1", "NAME =~ shel/g_port*/sync1", "the top has no instance shel"),
    "Tcl in constraints": ("timing.xdc", "create_clock -name sys", "if {1} {}\ncreate_clock -name sys", "unknown command if"),
    "bitstream property": ("pins.xdc", "BITSTREAM.GENERAL.COMPRESS", "BITSTREAMS.GENERAL.COMPRESS", "design has no property BITSTREAMS"),
    "top's name": ("tiny_2_node1_top.v", "module tiny_2_node1_top", "module tiny_2_node1_tip", "no file holds the top"),
    "unresolved": ("tiny_2_node1_top.v", "cmac_usplus_0 mac0", "cmac_usplus_1 mac0", "unresolved modules: cmac_usplus_1"),
}  # fmt: skip


@pytest.mark.parametrize("fault", sorted(BROKEN))
def test_a_broken_copy_fails(fault: str, files: Mapping[str, bytes], tmp_path: Path) -> None:
    name, old, new, told = BROKEN[fault]
    text = files[f"node1/{name}"].decode()
    assert old in text
    changed = {**files, f"node1/{name}": text.replace(old, new, 1).encode()}
    write_project(tmp_path / "made", "tiny_2", changed)
    done = run_make(tmp_path / "made", fake_vivado(tmp_path), "node1")
    assert done.returncode != 0 and told in done.stderr, done.stderr
    assert not list((tmp_path / "made" / "node1" / "work").glob("*.bit"))


def test_two_macs_on_one_quad_fail(tmp_path: Path) -> None:
    plan = plan_of(2)
    vivado, rtl = fake_vivado(tmp_path), node_sources(plan)
    texts = render_node(plan, plan.nodes[0], board("u280"), rtl)
    for was, then, told in (
        ("X0Y44~X0Y47", "X0Y40~X0Y43", "GT_GROUP_SELECT X0Y40~X0Y43"),
        ("CMACE4_X0Y7", "CMACE4_X0Y6", "CMAC_CORE_SELECT"),
    ):
        for file, text in texts.items():
            (tmp_path / file).write_text(text.replace(was, then))
        (tmp_path.parent / "rtl").mkdir(exist_ok=True)
        for file in rtl:
            (tmp_path.parent / "rtl" / file).touch()
        env = {**os.environ, "STUB_PROPERTIES": str(tmp_path / "properties")}
        done = subprocess.run([vivado, "-source", "project.tcl"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and told in done.stderr and "is used by cmac_usplus_0 and cmac_usplus_1" in done.stderr


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("SLACK", "-0.001", "negative slack: -0.001 ns, delay type max, from a/C to b/D"),
        ("SLACK", "none", "no timing path of delay type max"),
        ("TPWS", "-0.2", "pulse widths: total negative slack -0.2 ns"),
        ("UNCONSTRAINED", "no_clock 3", "missing constraints: 3 of no_clock"),
        ("UNCONSTRAINED", "no_output_delay 1", "missing constraints: 1 of no_output_delay"),
        ("PROGRESS", "60%", "synth_1 did not end well"),
        ("IPDEF", "xilinx.com:ip:cmac_usplus:2.6", "cmac_usplus 3 or newer is needed, so Vivado 2021.1 or newer"),
        ("REPLACE", "LANE2_GT_LOC X0Y9", "cmac_usplus_0: CONFIG.LANE2_GT_LOC is X0Y9, not X0Y25"),
    ],
)
def test_a_build_stops(setting: str, value: str, told: str, files: Mapping[str, bytes], tmp_path: Path) -> None:
    """What only Vivado can find stops the build, with reports and checkpoint kept."""
    write_project(tmp_path / "made", "tiny_2", files)
    done = run_make(tmp_path / "made", fake_vivado(tmp_path), "node1", **{setting: value})
    assert done.returncode != 0 and told in done.stderr, done.stderr
    work = tmp_path / "made" / "node1" / "work"
    assert not list(work.glob("*.bit")) and not (work / "impl.done").exists()
    if setting in ("SLACK", "TPWS"):
        assert (work / "route.dcp").is_file() and (work / "route_timing.rpt").is_file()


# ------------------------------------------------------------------ the same bytes everywhere


def test_two_clones_write_the_same_bytes(tmp_path: Path) -> None:
    """Two copies of the sources, in folders of other names and depth, write the same; no path of theirs and no date is in it."""
    root, written = project_root(), []
    for place in (tmp_path / "a", tmp_path / "another" / "clone"):
        for part in ("python", "rtl", "fpga_projects/tiny_2"):
            shutil.copytree(root / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
        env = {**os.environ, "PYTHONPATH": str(place / "python"), "FLOREANA_CACHE": str(place / "cache")}
        command = [sys.executable, "-m", "floreana", "vivado", "--project", "tiny_2"]
        done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "2 x sidewinder" in done.stdout and "Vivado was not run" in done.stdout
        folder = place / "build" / "tiny_2" / "vivado"
        written.append({path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()})
    assert written[0] == written[1] and len(written[0]) > 90
    for name, data in written[0].items():
        assert str(tmp_path).encode() not in data and str(root).encode() not in data, name
        assert not re.search(rb"(?<![\w.])/(home|tmp|usr)/", data), name


def test_paths_are_relative(files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        if name.endswith((".tcl", ".xdc", "Makefile")):
            for word in re.findall(r"(?:^|[\s{\"])(/[\w./]+)", data.decode()):
                assert word == "/dev/null", (name, word)


def test_every_line_is_readable(files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        if name.endswith("_top.v"):
            assert max(len(line) for line in data.decode().splitlines()) <= 150, name


# ------------------------------------------------------------------ writing, and what is refused


def snapshot(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()
    }


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    assert write_project(folder, "p", {"a": b"1", "node0/b": b"2", "old": b"3"}) == 3
    (folder / "node0" / "work").mkdir()
    (folder / "node0" / "work" / "x.bit").write_text("made by Vivado")
    os.utime(folder / "a", (1, 1))
    assert write_project(folder, "p", {"a": b"1", "node0/b": b"4"}) == 1
    assert (folder / "a").stat().st_mtime == 1
    assert set(snapshot(folder)) == {FILES, "a", "node0/b", "node0/work/x.bit"}


@pytest.mark.parametrize("contents", ["foreign", "other project", "broken list", "list beyond it", "file"])
def test_a_foreign_folder_is_left_alone(tmp_path: Path, contents: str) -> None:
    folder = tmp_path / "made"
    if contents == "file":
        folder.write_text("mine")
    else:
        folder.mkdir()
        (folder / "mine.txt").write_text("mine")
    if contents == "other project":
        (folder / FILES).write_text('{"project": "q", "files": {}}')
    if contents == "broken list":
        (folder / FILES).write_text("{")
    if contents == "list beyond it":
        (folder / FILES).write_text('{"project": "p", "files": {"../mine": ""}}')
    before = snapshot(tmp_path)
    with pytest.raises(InputError, match="name another folder with OUT=, or move it away"):
        write_project(folder, "p", {"a": b"1"})
    assert snapshot(tmp_path) == before


def test_an_unwritable_folder_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentError_, match=r"cannot be written: .*; free space, or choose another folder with OUT="):
        write_project(tmp_path / "file" / "made", "p", {"a": b"1"})


def test_the_command_refuses_a_foreign_folder_before_it_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from floreana import cli

    (tmp_path / "tiny_2" / "vivado").mkdir(parents=True)
    (tmp_path / "tiny_2" / "vivado" / "thesis.tex").write_text("mine")
    assert cli.main(["vivado", "--project", "tiny_2", "--out", str(tmp_path)]) == 2
    assert "was not written by floreana vivado" in capsys.readouterr().err
    assert snapshot(tmp_path) == {"tiny_2/vivado/thesis.tex": hashlib.sha256(b"mine").hexdigest()}


def test_boards_that_do_not_do(files: Mapping[str, bytes], tmp_path: Path) -> None:
    plan = plan_of()
    told = r"node0: board zcu102 \(xczu9eg\) has no 100G MAC, a node needs 1; choose another cluster.board"
    with pytest.raises(InputError, match=told):
        render_top(plan, plan.nodes[0], board("zcu102"))
    with pytest.raises(InputError, match="has 1 100G MACs, the node needs 2"):
        check_board("node0", board("u280").model_copy(update={"ports": board("u280").ports[:1]}), 2)
    params = parameters(project(), tmp_path)
    with pytest.raises(InputError, match=r"board 'u28' is unknown; known: fb2cg, .*; did you mean u280"):
        render_project(plan, {"node0": "u28", "node1": "u280"}, params)
    named = make_plan(project(nodes=("rtl", "node1")))
    with pytest.raises(InputError, match="rtl is a folder or a make target beside the nodes"):
        render_project(named, {"rtl": "u280", "node1": "u280"}, params)


def test_clocks() -> None:
    assert {mhz: multiplier(mhz) for mhz in (50, 100, 125, 200, 300)} == {50: 24, 100: 12, 125: 8, 200: 6, 300: 4}
    with pytest.raises(InputError, match=r"a clock of 156.25 MHz has no multiple from 800 to 1600 MHz that gives 200 MHz"):
        multiplier(156.25)
    assert all(multiplier(one.clock.mhz) for one in boards().values())


def test_settings_of_the_mac() -> None:
    values = settings(board("u250").ports[0], 100)
    assert values["GT_REF_CLK_FREQ"] == "156.25" and values["LANE4_GT_LOC"] == "X1Y47" and values["CMAC_CORE_SELECT"] == "CMACE4_X0Y8"
    assert settings(board("sidewinder").ports[1], 100)["GT_REF_CLK_FREQ"] == "322.265625"
    assert set(values) <= set(cmac().properties)
    with pytest.raises(FloreanaError, match="cmac_usplus has no property GT_REF_CLOCK"):
        check({**values, "GT_REF_CLOCK": "1"})


def test_what_does_not_fit_its_board_is_refused_with_the_arithmetic(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["vivado", "--project", "ibert_base_6", "--nodes", "2", "--out", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "XCZU19EG: RAMB36: 1,032 linear weights + " in told and "= 1,304 needed, 984 allowed (100 % of 984); fewer encoders" in told
    assert not list(tmp_path.iterdir())


def test_little_room_is_told_and_not_refused() -> None:
    project = load_project(find_project("ibert_base_6_pipeline"))
    (text,) = check_memories(project, make_plan(project))
    assert text.startswith("XCZU19EG: RAMB36: ") and "= 898.5 needed, 885 allowed (90 % of 984)" in text
    project = load_project(find_project("ibert_base_6_mixed"))
    assert check_memories(project, make_plan(project)) == ()
