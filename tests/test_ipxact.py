# SPDX-License-Identifier: Apache-2.0
"""Packaging scripts: what slang reads of the RTL, and every script run by Tcl against a stand-in for Vivado's commands."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from floreana.cli import main
from floreana.environment import find_tool, project_root, tool_environment
from floreana.errors import InputError
from floreana.project.ipxact import MODULES, allowed_values, read_module, write_scripts

ROOT = project_root()
STUB = ROOT / "tests" / "ipxact" / "stub.tcl"


def tcl(script: Path, folder: Path, module: str) -> subprocess.CompletedProcess[str]:
    """Run a script against the stand-in, with the ports and parameters that the Verilog text itself has."""
    command = find_tool("tclsh", tool_environment())
    assert command is not None, "tclsh is missing: make env-test"
    text = next((ROOT / "rtl").glob(f"*/{module}.v")).read_text(encoding="utf-8")
    head = text[text.index(f"module {module}") : text.index("\n);")]
    ports, parameters = folder / "ports", folder / "parameters"
    ports.write_text(
        "\n".join(re.findall(r"^\s*(?:in|out)put\s+(?:wire|reg)\s*(?:\[.*?\])?\s*(\w+)", head, re.MULTILINE)), encoding="utf-8"
    )
    parameters.write_text("\n".join(re.findall(r"^\s*parameter\s+(\w+)", head, re.MULTILINE)), encoding="utf-8")
    return subprocess.run([command, STUB, script, ports, parameters], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_each_script_runs(module: str, tmp_path: Path) -> None:
    (path,) = write_scripts(tmp_path, "1.2.3", module)
    done = tcl(path, tmp_path, module)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    files = [Path(line.split()[1]).name for line in lines if line.startswith("file ")]
    assert files[-1] == f"{module}.v" and len(set(files)) == len(files)
    assert "property core,version = 1.2.3" in lines
    assert "property busparam:bus:rst:POLARITY,value = ACTIVE_HIGH" in lines
    streams = ["mac_tx", "mac_rx"] if module == "node_core" else ["s_axis", "m_axis"]
    for name in streams:
        assert any(line.startswith(f"bus {name} ") for line in lines)
        assert f"associated -busif {name} -clock clk core" in lines
    if module == "node_core":
        assert "property param:ETH_N,value_validation_list = 1" in lines
    if module == "ibert_linear":
        assert "property param:K_LANES,value_validation_list = 16 32 64" in lines
        assert "property param:SLOT_W,value_validation_range_maximum = 4" in lines


BROKEN = {
    "command": ("ipx::create_xgui_files $core", "ipx::make_xgui $core", "unknown command: ipx::make_xgui"),
    "port": ("s_axis_tdata s_axis_tkeep", "s_axis_tdata s_axis_tkept", "no port s_axis_tkept"),
    "parameter": ("get_user_parameters K_LANES", "get_user_parameters K_LANE", "no parameter K_LANE"),
    "file": ("ibert_linear.v]]", "ibert_linears.v]]", "no file"),
    "option": ("-import_files -force", "-import_all", "has no option -import_all"),
    "property": ("set_property version", "set_property versions", "has no property versions"),
    "save": ("ipx::save_core $core", "", "saved must come before"),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_the_stand_in_refuses_what_vivado_would(name: str, tmp_path: Path) -> None:
    old, new, message = BROKEN[name]
    (path,) = write_scripts(tmp_path, "1.2.3", "ibert_linear")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    done = tcl(path, tmp_path, "ibert_linear")
    assert done.returncode == 1 and message in done.stderr


@pytest.mark.parametrize("module", sorted(MODULES))
def test_values_of_parameters_agree_with_what_the_rtl_refuses(module: str) -> None:
    """The dialect gate builds each set of tb/lint_params.toml: the legal ones must be allowed, of the illegal ones a value must not be."""
    sets = tomllib.loads((ROOT / "tb" / "lint_params.toml").read_text(encoding="utf-8"))[module]
    found = {parameter.name: parameter for parameter in read_module(module).parameters}

    def allowed(name: str, value: object) -> bool:
        values, bounds = found[name].values, found[name].bounds
        return (values is None or value in values) and (bounds is None or bounds[0] <= int(str(value)) <= bounds[1])

    for kind in ("smallest", "odd"):
        for name, value in sets[kind].items():
            assert allowed(name, value), f"{kind}: {name} = {value} builds, but is not in {found[name]}"
    for name, parameter in found.items():
        assert allowed(name, int(parameter.default)), parameter
    for rule, values in sets.get("illegal", {}).items():
        stated = [name for name in values if found[name].values or found[name].bounds]
        if len(values) == 1 and stated:
            assert not allowed(stated[0], values[stated[0]]), f"{rule}: {values} does not build, but is in {found[stated[0]]}"


@pytest.mark.parametrize(
    ("comment", "values", "bounds"),
    [
        ("products. Requires 16, 32 or 64", (16, 32, 64), None),
        ("outputs at once. Requires a multiple of 16, at most 64", (16, 32, 48, 64), None),
        ("Requires LANES to divide 16", (1, 2, 4, 8, 16), None),
        ("peers. Requires a power of two, 2 to 64", (2, 4, 8, 16, 32, 64), None),
        ("slots = 2**SLOT_W, 0..4", None, (0, 4)),
        ("rows of a slot = 2**ROW_W. Requires 1 to 12", None, (1, 12)),
        ("beats of the store, at most 65536", None, (1, 65536)),
        ("rows this node owns, at most 2**LROW_W", None, None),
        ("weight words", None, None),
    ],
)
def test_values_that_a_comment_states(comment: str, values: tuple[int, ...] | None, bounds: tuple[int, int] | None) -> None:
    assert allowed_values(comment) == (values, bounds)


def test_ports_are_those_of_the_rtl() -> None:
    module = read_module("net_eth")
    ports = {port.name: port for port in module.ports}
    assert ports["s_axis_tdata"].width == 512 and not ports["s_axis_tdata"].output
    assert ports["sts_count"].width == 64 * 32 and ports["sts_count"].output
    assert [(s.name, s.master) for s in module.streams] == [("s_axis", False), ("m_axis", True), ("mac_tx", True), ("mac_rx", False)]
    assert "mac_rx_tready" not in module.streams[3].ports


def test_the_command_is_repeatable_and_refuses_other_modules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ipxact", "--out", str(tmp_path)]) == 0
    first = {path.name + str(path.parent.name): path.read_bytes() for path in tmp_path.rglob("*.tcl")}
    assert len(first) == len(MODULES)
    assert main(["ipxact", "--out", str(tmp_path)]) == 0
    assert {path.name + str(path.parent.name): path.read_bytes() for path in tmp_path.rglob("*.tcl")} == first
    assert main(["ipxact", "--only", "axis_skid", "--out", str(tmp_path)]) == 2
    assert "axis_skid is not packaged; known: ibert_add_norm" in capsys.readouterr().err
    with pytest.raises(InputError, match="is in no file of rtl/"):
        read_module("no_such_module")
