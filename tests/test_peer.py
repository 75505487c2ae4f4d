# SPDX-License-Identifier: Apache-2.0
"""`make peer` without torch: options, size message, the environment's promises, and the rule that makes a difference explained."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import bootstrap
import numpy as np
import pytest

from floreana.errors import EnvironmentError_
from floreana.peer import __main__ as program
from floreana.peer import environment
from floreana.peer.table import EXACT, FLOAT32, FLOAT32_INTEGERS, FLOAT64, LEVELS, MANTISSA, QUOTIENT, SATURATION, Table, Tally

ROOT = Path(__file__).resolve().parents[1]


def sizes(**at: list[int]) -> dict[str, Any]:
    """|difference| of three values per arithmetic; none where not said."""
    short = {"f32": FLOAT32, "f32i": FLOAT32_INTEGERS, "f64": FLOAT64, "exact": EXACT}
    return {level: np.array(at.get(name, [0, 0, 0])) for name, level in short.items()}


# ------------------------------------------------------------------ explanations


def test_a_difference_that_restored_integers_remove_is_the_quotients() -> None:
    table = Table()
    table.case("u", sizes(f32=[1, 0, 0]))
    assert table.row("u", FLOAT32).causes == {QUOTIENT: 1}
    assert table.unexplained == 0


def test_a_difference_that_only_float64_removes_is_the_mantissas() -> None:
    table = Table()
    table.case("u", sizes(f32=[5, 1, 0], f32i=[5, 0, 0]))
    assert table.row("u", FLOAT32).causes == {MANTISSA: 1, QUOTIENT: 1}
    assert table.row("u", FLOAT32_INTEGERS).causes == {MANTISSA: 1}
    assert table.row("u", FLOAT32).largest == 5
    assert table.unexplained == 0


def test_a_difference_in_exact_arithmetic_is_unexplained_in_every_row() -> None:
    table = Table()
    table.case("u", sizes(f32=[1, 0, 0], f32i=[1, 0, 0], f64=[1, 0, 0], exact=[1, 0, 0]))
    assert [table.row("u", level).unexplained for level in LEVELS] == [1, 1, 1, 1]
    assert any("1 UNEXPLAINED" in line for line in table.lines())


def test_a_named_cause_covers_its_own_values_only() -> None:
    table = Table()
    named = {level: {SATURATION: np.array([True, False, False])} for level in LEVELS}
    table.case("u", sizes(f32=[1, 1, 0], f32i=[1, 1, 0], f64=[1, 1, 0], exact=[1, 1, 0]), named)
    assert table.row("u", EXACT).causes == {SATURATION: 1}
    assert table.row("u", EXACT).unexplained == 1
    assert table.row("u", FLOAT32).unexplained == 1


def test_a_cause_without_a_difference_counts_nothing() -> None:
    row = Tally()
    row.add(np.array([0, 2, 0]), {SATURATION: np.array([True, True, True])})
    assert (row.checked, row.differ, row.largest, row.unexplained, row.causes) == (3, 1, 2, 0, {SATURATION: 1})


def test_cases_add_up_in_one_row() -> None:
    table = Table()
    table.case("u", sizes(f32=[1, 0, 0]))
    table.case("u", sizes(f32=[2, 2, 0]))
    row = table.row("u", FLOAT32)
    assert (row.checked, row.differ, row.largest) == (6, 3, 2)
    text = list(table.lines())
    assert len(text) == 1 + len(LEVELS)
    assert text[1].split()[:2] == ["u", FLOAT32]


# ------------------------------------------------------------------ options


@pytest.mark.parametrize("seeds", ["0", "-1", "many", "1.5", "²", "10001"])
def test_seeds_out_of_range_are_refused(seeds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main([f"--seeds={seeds}"]) == 2
    assert f"SEEDS is {seeds!r}, a number from 1 to 10000 is needed" in capsys.readouterr().err


def test_an_index_that_is_no_address_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--torch-index=cpu"]) == 2
    assert environment.CPU_INDEX in capsys.readouterr().err


def test_defaults() -> None:
    assert program.parse([]).seeds == program.SEEDS
    assert program.parse(["--quick"]).seeds == program.QUICK_SEEDS
    assert program.parse(["--quick", "--seeds=7"]).seeds == 7
    assert program.parse(["--seeds=", "--torch-index="]).torch_index == ""


def test_the_comparison_gets_options_and_its_exit_code_is_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[object]] = []

    def fake_compare(python: Path, root: Path, arguments: list[object]) -> int:
        seen.append(arguments)
        return 1

    monkeypatch.setattr(environment, "ensure", lambda root, index: Path("python"))
    monkeypatch.setattr(environment, "run_compare", fake_compare)
    monkeypatch.setattr(program, "fetch_minilm", lambda cache: Path("model"))
    assert program.main(["--quick", "--seeds=3"]) == 1
    assert seen[0][:5] == ["--seeds", 3, "--quick", "--model", Path("model")]


# ------------------------------------------------------------------ sizes


def test_the_cuda_build_is_said_with_its_size_and_the_smaller_index() -> None:
    found = {"torch": 900_000_000, "nvidia-cudnn-cu13": 600_000_000, "numpy": 16_000_000}
    lines = environment.size_lines(found, None)
    assert lines[0].startswith("3 packages, 1516 MB to fetch")
    assert "torch 900 MB, nvidia-cudnn-cu13 600 MB, numpy 16 MB" in lines[0]
    assert f"TORCH_INDEX={environment.CPU_INDEX}" in lines[1]


def test_the_small_build_has_no_such_line_and_unknown_sizes_are_named() -> None:
    assert len(environment.size_lines({"torch": 190_000_000}, None)) == 1
    assert len(environment.size_lines({"torch": 2_000_000_000}, "https://index")) == 1
    assert environment.size_lines({"torch": None, "numpy": 1}, None)[1] == "the index does not say the size of torch"


def test_the_size_of_a_file_and_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "a b.whl").write_bytes(b"12345")
    assert environment.file_size((tmp_path / "a b.whl").as_uri(), None) == 5
    assert environment.file_size((tmp_path / "none.whl").as_uri(), None) is None


def test_another_index_keeps_the_users_own() -> None:
    assert environment.index_options(None, {}) == []
    env = {"PIP_INDEX_URL": "https://own", "PIP_CONFIG_FILE": "/dev/null"}
    assert environment.index_options("https://torch", env) == ["--index-url", "https://torch", "--extra-index-url", "https://own"]


# ------------------------------------------------------------------ the environment


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / environment.LOCK_FILE).write_text(f"demo==1.0 \\\n    --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    return tmp_path


def fake_resolve(*_args: object) -> dict[str, str]:
    return {"torch": (ROOT / "LICENSE").as_uri()}


def test_a_second_call_starts_at_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_args: object) -> None:
        raise AssertionError("made again")

    python = root / environment.VENV_NAME / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (root / environment.VENV_NAME / bootstrap.STAMP).write_text(environment.stamp_text(root), encoding="utf-8")
    monkeypatch.setattr(environment, "make", forbidden)
    assert environment.ensure(root) == python
    with (root / environment.LOCK_FILE).open("a", encoding="utf-8") as lock:
        lock.write("more==1.0\n")
    with pytest.raises(AssertionError, match="made again"):
        environment.ensure(root)


def test_too_little_space_is_said_and_nothing_is_left(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "resolve", fake_resolve)
    with pytest.raises(EnvironmentError_, match=r"has 0 MB free, \.venv-peer needs .*TORCH_INDEX=") as caught:
        environment.ensure(root, free=lambda path: 0)
    assert caught.value.exit_code == 3
    assert [path.name for path in root.iterdir()] == [environment.LOCK_FILE]


def test_a_failing_pip_is_one_message_and_nothing_is_left(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "pip", lambda python: [sys.executable, "-c", "raise SystemExit('no such index')"])
    with pytest.raises(EnvironmentError_, match="pip could not resolve torch") as caught:
        environment.ensure(root)
    assert "no such index" in caught.value.message
    assert [path.name for path in root.iterdir()] == [environment.LOCK_FILE]


def test_a_torch_that_does_not_load_is_not_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "resolve", fake_resolve)
    monkeypatch.setattr(environment, "pip", lambda python: ["true"])
    with pytest.raises(EnvironmentError_, match="the packages do not load"):
        environment.ensure(root)
    assert [path.name for path in root.iterdir()] == [environment.LOCK_FILE]


def test_the_lock_pins_the_direct_packages_and_no_local_version() -> None:
    pins = bootstrap.read_lock(ROOT / environment.LOCK_FILE)
    for requirement in environment.DIRECT:
        name, version = requirement.split("==")
        assert pins[name][0] == version
    assert "torch" not in pins
    for name, (version, digests) in pins.items():
        assert "+" not in version, name
        assert digests, name
