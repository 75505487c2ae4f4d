# SPDX-License-Identifier: Apache-2.0
"""`make regress`: what a planted failure leaves behind, what is a failure besides, and that nothing is missing from the matrix."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import pytest
import regress

import lint_gate
from floreana_tb import BenchError, mutate, runner

ROOT = Path(__file__).resolve().parents[1]
UNIT = """
[[unit]]
top = "axis_skid"
bench = "axis.test_axis_skid"
simulators = ["icarus"]
"""


def call(*options: str | Path) -> list[str]:
    return [sys.executable, str(ROOT / "tb" / "regress.py"), *map(str, options)]


def run(*options: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(call(*options), capture_output=True, text=True, check=False, cwd=ROOT, timeout=300)


def test_a_planted_failure_fails_the_run_and_its_command_repeats_it(tmp_path: Path) -> None:
    skid = mutate("axis_skid", "assign s_axis_tready = s_ready_reg;", "assign s_axis_tready = 1'b1;", tmp_path / "rtl")
    matrix = tmp_path / "matrix.toml"
    cases = f'cases = [{{ name = "good", parameters = {{ DATA_W = 8 }} }}, {{ name = "planted", sources = ["{skid}"] }}]'
    matrix.write_text(UNIT + cases)
    done = run("--matrix", matrix, "--build", tmp_path / "out", "--seed", 7, "--seeds", 1, "--jobs", 2)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 of 2 jobs passed" in done.stdout and "1/1" in done.stdout and "0/1" in done.stdout
    root = ET.parse(tmp_path / "out" / "junit.xml").getroot()
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    cases_seen = {case.get("name"): case.find("failure") for case in root.iter("testcase")}
    assert set(cases_seen) == {"axis_skid/good/icarus/seed7", "axis_skid/planted/icarus/seed7"}
    failure = cases_seen["axis_skid/planted/icarus/seed7"]
    assert cases_seen["axis_skid/good/icarus/seed7"] is None and failure is not None
    (command,) = re.findall(r"^  repeat: (.+)$", done.stdout, re.MULTILINE)
    assert failure.text is not None and failure.text.startswith(command) and "tests failed" in failure.get("message", "")
    again = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False, timeout=300)
    assert again.returncode == 1 and "TestsFailed" in again.stdout
    good = subprocess.run(shlex.split(command.replace("/planted/", "/good/")), capture_output=True, text=True, check=False, timeout=300)
    assert good.returncode == 0 and good.stdout.endswith("regress: passed unit/axis/axis_skid/good/icarus/seed7\n")


@pytest.mark.parametrize(
    ("status", "text", "late", "passed"),
    [
        (0, "regress: passed unit/x\n", False, True),
        (0, "checked 5 equal 5\n", False, False),
        (0, "regress: passed unit/y\n", False, False),
        (1, "regress: passed unit/x\n", False, False),
        (-11, "", False, False),
        (0, "regress: passed unit/x\n", True, False),
    ],
)
def test_only_status_0_and_the_verdict_are_a_pass(tmp_path: Path, status: int, text: str, late: bool, passed: bool) -> None:
    log = tmp_path / "log"
    log.write_text(text)
    job = regress.Job("unit/x", "unit", 1, "icarus", True, 60.0, {})
    ended = SimpleNamespace(job=job, process=SimpleNamespace(returncode=status), output=log.open(), log=log, begin=time.monotonic())
    result = regress.judge(ended, late)
    assert result.passed is passed and bool(result.message) is not passed


def test_a_job_that_hangs_is_ended(tmp_path: Path) -> None:
    matrix = tmp_path / "matrix.toml"
    matrix.write_text(UNIT + 'timeout = 0.1\ncases = [{ name = "slow" }]')
    done = run("--matrix", matrix, "--build", tmp_path / "out", "--seeds", 1)
    assert done.returncode == 1 and "did not end within" in done.stdout


def children(of: int) -> set[int]:
    """Processes below a process."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents[int(stat.parent.name)] = int(fields[1])
    found = {of}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {of}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    matrix = tmp_path / "matrix.toml"
    matrix.write_text(
        """[[unit]]
top = "ibert_requant"
bench = "ibert_arith.test_ibert_requant"
simulators = ["icarus"]
cases = [{ name = "long", parameters = { IN_W = 56, OUT_W = 16 } }]
"""
    )
    process = subprocess.Popen(call("--matrix", matrix, "--build", tmp_path / "out"), stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        limit = time.monotonic() + 120
        while len(below := children(process.pid)) < 2:  # the job and what it runs
            assert time.monotonic() < limit and process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and "0 of 3 jobs passed" in out
    assert not [pid for pid in below if Path(f"/proc/{pid}").exists() and os.getpgid(pid) != os.getpgid(0)]
    root = ET.parse(tmp_path / "out" / "junit.xml").getroot()
    assert root.get("failures") == "3" and all(case.find("failure") is not None for case in root.iter("testcase"))


def test_wrong_input_is_refused(tmp_path: Path) -> None:
    assert run("--only", "no-such-job").returncode == 2
    assert run("--seeds", 0).returncode == 2
    assert run("--job", "unit/none").returncode == 2
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(UNIT.replace("icarus", "questa") + 'cases = [{ name = "a", parametres = {} }]')
    with pytest.raises(regress.MatrixError, match=r"unknown key parametres; .*simulator questa is not one of"):
        regress.load_matrix(wrong)
    wrong.write_text('[[project]]\nname = "p"\ntokens = [1]\nfaults = [0.6]\n')
    with pytest.raises(regress.MatrixError, match=r"p: faults=0\.6: 0 to 0\.5 .*faults and fault_tokens need each other"):
        regress.load_matrix(wrong)
    wrong.write_text(UNIT + 'cases = [{ name = "a" }, { name = "a" }]')
    with pytest.raises(regress.MatrixError, match="declared twice"):
        regress.jobs_of(regress.load_matrix(wrong), [1])


def test_a_run_on_a_bad_network_must_be_more_than_bit_exact() -> None:
    good = {"again": 5, "cycles_clean": 100, "cycles_added": 100, "network": dict.fromkeys(regress.KINDS.values(), 1), "failed_links": [],
            "events": [], "attempts": [1]}  # fmt: skip
    regress.check_faults(0.01, good)
    regress.check_faults(0.1, {**good, "cycles_added": 1000})
    for change, what in (
        ({"cycles_added": 101}, "101 cycles more than 100"),
        ({"network": {"lost": 9}}, r"did \['lost'\]"),
        ({"failed_links": ["node1"]}, "nobody was dead"),
        ({"attempts": [1, 2]}, "nobody was dead"),
    ):
        with pytest.raises(BenchError, match=what):
            regress.check_faults(0.01, {**good, **change})


def test_the_matrix_misses_no_bench_and_no_project() -> None:
    assert regress.uncovered(regress.load_matrix(regress.MATRIX)) == []


def test_every_test_the_matrix_names_exists_and_every_test_of_a_bench_runs_somewhere() -> None:
    matrix = regress.load_matrix(regress.MATRIX)
    runs: dict[str, set[str]] = {}
    for unit in matrix["unit"]:
        have = runner.bench_tests(runner.find_bench(unit["bench"]))
        for case in unit["cases"]:
            named = case.get("tests", unit.get("tests"))
            chosen = {name for name in have if named is None or runner._chosen(name, named)}
            assert named is None or all(any(runner._chosen(name, [n]) for name in have) for n in named), (unit["bench"], case["name"])
            runs.setdefault(unit["bench"], set()).update(chosen)
    for bench, ran in runs.items():
        assert ran == set(runner.bench_tests(runner.find_bench(bench))), bench


def test_list_only_and_quick_choose() -> None:
    every = run("--list", "--seeds", 2).stdout.split()
    assert len(set(every)) == len(every) > 200 and sum(name.endswith("seed2") for name in every) == len(every) // 2
    some = run("--list", "--only", "ibert_requant/in?2*icarus", "--seeds", 1).stdout.split()
    assert some == [f"unit/ibert_arith/ibert_requant/{case}/icarus/seed1" for case in ("in32_out8", "in32_out32")]
    quick = run("--list", "--quick").stdout.split()
    assert len(quick) < 60 and {name.split("/")[2] for name in every if name.startswith("unit/")} == {
        name.split("/")[2] for name in quick if name.startswith("unit/")
    }


def test_every_module_of_the_rtl_is_benched_at_its_default_and_two_more_sets() -> None:
    matrix = regress.load_matrix(regress.MATRIX)
    assert regress.unbenched(matrix) == []


def test_a_module_without_benches_or_sets_is_named() -> None:
    matrix = regress.load_matrix(regress.MATRIX)
    skid = next(unit for unit in matrix["unit"] if unit["top"] == "axis_skid")
    skid["cases"] = [case for case in skid["cases"] if case["name"] != "default"]
    matrix["part"] = [part for part in matrix["part"] if part["of"] != "net_eth_three"]
    matrix["part"] += [{"of": "net_switch_tb", "modules": ["ibert_mac"]}, {"of": "axis_none", "modules": []}]
    assert regress.unbenched(matrix) == [
        "part: ibert_mac is not in net_switch_tb",
        "part: axis_none has no bench",
        "axis_skid has no bench at its default and two more parameter sets",
        "net_eth has no bench and is part of none",
    ]


LEGAL_SETS = {"ibert_dot": 2}  # modules with fewer than three legal parameter sets


def test_every_module_is_linted_at_its_default_and_two_more_sets() -> None:
    parameters = lint_gate.load_parameters()
    few = {}
    for module, path in lint_gate.rtl_files().items():
        defaults = regress.module_defaults(path)
        assert bool(defaults) == ("parameter " in path.read_text(encoding="utf-8").split("\nlocalparam", maxsplit=1)[0])
        named = parameters.sets.get(module, {}).values()
        written = [{name: lint_gate._literal(value) for name, value in values.items()} for values in named]
        sets = {tuple({**defaults, **values}.items()) for values in ({}, *written)}
        if len(sets) < (3 if defaults else 1):
            few[module] = len(sets)
    assert few == LEGAL_SETS
