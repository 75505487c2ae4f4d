# SPDX-License-Identifier: Apache-2.0
"""Generated tops and the cluster bench's own modules pass the same two linters as hand-written RTL, and hold the plan's values."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from floreana.cluster.description import find_project, load_project
from floreana.cluster.plan import Plan, make_plan
from floreana.environment import find_tool, project_root, tool_environment
from floreana.project.tops import cluster_top, render_arrays, render_tops
from floreana.sim.build import rtl_folders, sources_of


def _plan(name: str = "tiny_2") -> Plan:
    return make_plan(load_project(find_project(name)))


def _lint(folder: Path, top: str, own: dict[str, str]) -> str:
    """What both linters say about ``top``; messages about rtl/ are the dialect gate's business."""
    sources = sources_of(top, own, rtl_folders())
    hand_written = {path.stem for path in (project_root() / "rtl").glob("*/*.v")}
    for name, text in sources.items():
        (folder / f"{name}.v").write_bytes(text)
    files = [f"{name}.v" for name in sources]
    env = tool_environment()
    told = ""
    for tool, arguments in (
        ("verilator", ["--lint-only", "--timing", "-Wall", "-Wno-fatal", "--language", "1364-2005", "--top-module", top, *files]),
        ("iverilog", ["-g2005", "-gno-xtypes", "-Wall", "-t", "null", "-s", top, *files]),
    ):
        path = find_tool(tool, env)
        assert path is not None
        done = subprocess.run([path, *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False)
        for line in (done.stdout + done.stderr).splitlines():
            place = re.match(r"(?:%\w+(?:-\w+)?: )?(\w+)\.v:\d+", line)
            if place and place.group(1) not in hand_written:
                told += f"{tool}: {line}\n"
        assert done.returncode == 0, done.stderr
    return told


def _line() -> Plan:
    """tiny_2, cabled as a line: two Ethernet ports a node."""
    project = load_project(find_project("tiny_2"))
    return make_plan(project.model_copy(update={"cluster": project.cluster.model_copy(update={"topology": "line"})}))


@pytest.mark.parametrize("top", ["tiny_2_node", "tiny_2_cluster", "tiny_2_arrays", "tb_port", "tb_loader"])
@pytest.mark.parametrize("make", [_plan, _line])
def test_both_linters_are_silent(tmp_path: Path, top: str, make: Callable[[], Plan]) -> None:
    plan = make()
    assert _lint(tmp_path, top, {**render_tops(plan), **render_arrays(plan)}) == ""


def test_the_linters_are_not_deaf(tmp_path: Path) -> None:
    own = render_tops(_plan())
    own["tiny_2_cluster.v"] = (
        own["tiny_2_cluster.v"].replace("reg [47:0] cycle", "reg [40:0] cycle").replace("reg  [47:0] cycle", "reg  [40:0] cycle")
    )
    assert "cycle" in _lint(tmp_path, "tiny_2_cluster", own)


def test_the_node_has_the_shape_of_the_plan_and_no_parameter_left() -> None:
    plan = _plan("minilm_6")
    text = render_tops(plan)["minilm_6_node.v"]
    found = dict(re.findall(r"\.([A-Z_]+)\((\d+)\)", text))
    assert {name: int(value) for name, value in found.items()} == plan.shape
    body = text.split("module minilm_6_node (")[1]
    assert "localparam PACKED = 1;\n`else\n  localparam PACKED = 0;" in body and ".PACKED(PACKED)" in body
    assert not re.search(r"\bparameter\b", body) and "/*verilator hier_block*/" in body


def test_the_cluster_has_every_node_with_its_identity() -> None:
    plan = _plan("minilm_6")
    text = render_tops(plan)["minilm_6_cluster.v"]
    assert cluster_top(plan) == "minilm_6_cluster" and f"module {cluster_top(plan)};" in text
    for node in plan.nodes:
        block = text.split(f"minilm_6_node node_{node.index} (")[1].split(");\n")[0]
        up = f".id_up_node(16'd{node.up.node})", f".id_up_mac(48'h{node.up.mac:012x})", f".id_up_ip(32'h{node.up.ip:08x})"
        for port in (f".id_mac({{48'h{node.mac:012x}}})", f".id_ip({{32'h{node.ip:08x}}})", f".id_node(16'd{node.index})", *up):
            assert port in block
    assert text.count("tb_port port_") == text.count("tb_loader #(") == len(plan.nodes)
    assert render_tops(plan) == render_tops(_plan("minilm_6"))


def test_a_node_of_a_line_has_two_ports() -> None:
    plan = _line()
    text = render_tops(plan)["tiny_2_cluster.v"]
    for node in plan.nodes:
        block = text.split(f"tiny_2_node node_{node.index} (")[1].split(");\n")[0]
        macs = ", ".join(f"48'h{port.mac:012x}" for port in reversed(node.ports))
        assert len(node.ports) == 2 and f".id_mac({{{macs}}})" in block
        for number in (2 * node.index, 2 * node.index + 1):
            assert f"tb_port port_{number} (" in text
    assert text.count("tb_port port_") == 4 and text.count("tb_loader #(") == 2


def test_the_bare_arrays_compute_what_they_are_given(tmp_path: Path) -> None:
    """Their speed means nothing if a compiler could leave the products out: other activations, other sums, and nothing unknown."""
    plan = _plan()
    sources = sources_of("tiny_2_arrays", render_arrays(plan), rtl_folders())
    for name, text in sources.items():
        (tmp_path / f"{name}.v").write_bytes(text)
    env = tool_environment()
    iverilog, vvp = find_tool("iverilog", env), find_tool("vvp", env)
    assert iverilog is not None and vvp is not None
    command = [iverilog, "-g2005", "-s", "tiny_2_arrays", "-o", "sim.vvp", *(f"{name}.v" for name in sources)]
    subprocess.run(command, cwd=tmp_path, env=env, check=True)
    told = [
        subprocess.run([vvp, "-n", "sim.vvp", f"+cycles={n}"], cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout
        for n in (400, 401 + plan.hidden // plan.shape["K_LANES"])
    ]
    sums = [re.findall(r" ([0-9a-f]{8})(?= |$)", text.strip()) for text in told]
    assert all(len(s) == len(plan.nodes) == len(set(s)) for s in sums) and not set(sums[0]) & set(sums[1]), told


def test_a_hole_in_the_plan_is_an_error() -> None:
    plan = _plan()
    with pytest.raises(UndefinedError):
        render_tops(replace(plan, nodes=({"index": 0},)))  # type: ignore[arg-type]
