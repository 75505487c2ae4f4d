# SPDX-License-Identifier: Apache-2.0
"""The shared bench package: stream classes in both simulators, and what run_unit demands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from floreana_tb import BenchError, BuildError, TestsFailed, mutate, run_unit, runner


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_streams(simulator: str) -> None:
    run_unit("tb_message_loop", "streams.test_streams", simulator=simulator)


def test_parametrised_names_are_expected_one_by_one() -> None:
    names = runner.bench_tests(runner.find_bench("streams.test_streams"))
    assert "breach_is_caught/fault=6" in names
    assert "messages/pattern=4" in names  # cocotb numbers the values that are strings


def test_a_chosen_test_runs_alone() -> None:
    run_unit("tb_message_loop", "streams.test_streams", expected_tests=["throughput"])


def test_an_unknown_test_name_is_refused() -> None:
    with pytest.raises(BenchError, match="has no test thruput"):
        run_unit("tb_message_loop", "streams.test_streams", expected_tests=["thruput"])


def test_an_unknown_simulator_is_refused() -> None:
    with pytest.raises(BuildError, match="not one of icarus, verilator"):
        run_unit("tb_message_loop", "streams.test_streams", simulator="questa")


def test_a_missing_simulator_fails_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "tool_environment", lambda: {"PATH": "/nonexistent"})
    with pytest.raises(BuildError, match="install the package `iverilog`"):
        run_unit("tb_message_loop", "streams.test_streams")


def test_a_broken_source_fails_the_build(tmp_path: Path) -> None:
    mutated = mutate("axis_skid", "endmodule", "endmodul", tmp_path)
    with pytest.raises(BuildError, match="axis_skid"):
        run_unit("axis_skid", "axis.test_axis_skid", sources=[mutated])


def test_a_test_that_did_not_run_fails(tmp_path: Path) -> None:
    results = tmp_path / "results.xml"
    results.write_text('<testsuites><testsuite><testcase name="a"/></testsuite></testsuites>', encoding="utf-8")
    log = tmp_path / "log"
    runner._judge(results, ["a"], "", "label", log)
    with pytest.raises(TestsFailed, match=r"missing \['b'\]"):
        runner._judge(results, ["a", "b"], "", "label", log)
    with pytest.raises(TestsFailed, match=r"surplus \['a'\]"):
        runner._judge(results, [], "", "label", log)
    with pytest.raises(TestsFailed, match="no results written"):
        runner._judge(tmp_path / "none.xml", ["a"], "", "label", log)
    results.write_text('<testsuites><testsuite><testcase name="a"><skipped/></testcase></testsuite></testsuites>', encoding="utf-8")
    with pytest.raises(TestsFailed, match="1 of 1 tests failed: a"):
        runner._judge(results, ["a"], "", "label", log)


def test_a_mutation_that_no_longer_applies_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="occurs 0 times"):
        mutate("axis_skid", "no such text", "x", tmp_path)


def test_sources_are_what_the_top_reaches() -> None:
    names = [path.stem for path in runner.reached("axis_fifo", runner.candidate_sources(["axis"]))]
    assert names == ["axis_ram", "axis_fifo"]


def test_the_environment_is_left_as_it_was() -> None:
    before = dict(os.environ)
    run_unit("axis_skid", "axis.test_axis_skid", parameters={"DATA_W": 8}, expected_tests=["full_rate"])
    assert dict(os.environ) == before
