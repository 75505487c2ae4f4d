# SPDX-License-Identifier: Apache-2.0
"""The command line: what it teaches, what it refuses and with which exit code, and that it leaves neither files nor processes behind."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from floreana import cli
from floreana.cli import main, version
from floreana.environment import project_root
from floreana.errors import EnvironmentError_
from floreana.ibert.synthetic import synthetic_bert
from floreana.report.result import write_whole
from floreana.sim import flow
from floreana.sim.process import end_group


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(project_root() / "python")}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOREANA_CACHE", str(tmp_path_factory.mktemp("cache")))


def _floreana(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "floreana", *arguments], env=_environment(), capture_output=True, text=True, check=False, timeout=120, **more
    )


def test_help_teaches() -> None:
    done = _floreana("--help")
    assert done.returncode == 0
    for word in ("floreana sim --text", "floreana verify build/minilm_6", "traffic.pcapng", "bench-sim", "Exit codes", "LINK_DELAY"):
        assert word in done.stdout, word
    done = _floreana("sim", "--help")
    for word in ("--text-file", "--link-delay", "--tokens", "--seed", "--sim", "--jobs", "--model", "--out", "examples"):
        assert word in done.stdout, word


def test_version_is_that_of_the_project() -> None:
    text = (project_root() / "pyproject.toml").read_text()
    assert f'\nversion = "{version()}"\n' in text
    assert _floreana("--version").stdout == f"floreana {version()}\n"


def test_wrong_usage_is_bad_input() -> None:
    for arguments in ((), ("dance",), ("sim", "--colour", "red"), ("sim", "--link-delay", "far")):
        done = _floreana(*arguments)
        assert done.returncode == 2 and "--help" in done.stderr and "Traceback" not in done.stderr, arguments


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--project", "minilm_7"], ["minilm_7", "minilm_6", "tiny_2"]),
        (["--project", "tiny_2", "--nodes", "3"], ["2 heads do not divide over 3 nodes", "choose"]),
        (["--project", "tiny_2", "--tokens", "17"], ["17 tokens", "at most 16"]),
        (["--project", "tiny_2", "--tokens", "4,200"], ["200 tokens", "at most 16"]),
        (["--project", "tiny_2", "--tokens", "0"], ["TOKENS=0", "at least 1"]),
        (["--project", "tiny_2", "--tokens", "few"], ["TOKENS=few", "for example"]),
        (["--project", "tiny_2", "--text", "Hello"], ["no tokenizer", "TOKENS"]),
        (["--project", "tiny_2", "--text", "Hello", "--tokens", "3"], ["exclude each other"]),
        (["--project", "tiny_2", "--model", "somewhere"], ["MODEL=somewhere", "random weights"]),
        (["--project", "tiny_2", "--sim", "vcs"], ["SIM=vcs", "verilator or icarus"]),
        (["--project", "tiny_2", "--link-delay", "18"], ["LINK_DELAY=18", "19 to 100000"]),
        (["--project", "tiny_2", "--window", "203"], ["WINDOW=203", "1 to 202", "LINK_DELAY=220"]),
        (["--project", "tiny_2", "--loss", "0.6", "--corrupt", "-1"], ["LOSS=0.6", "CORRUPT=-1", "0 to 0.5"]),
        (["--project", "tiny_2", "--cut", "node2:1-5"], ["CUT=node2:1-5", "node0, node1, host"]),
        (["--project", "tiny_2", "--restart", "node0@5,node1", "--dead", "node0@900"], ["RESTART=node1", "node0 restarts in cycle 900"]),
        (["--project", "tiny_2", "--load", "usb"], ["LOAD=usb", "bus or frames"]),
        (["--project", "tiny_2", "--in-flight", "3"], ["IN_FLIGHT=3", "2 slot(s)", "1 to 2"]),
        (["--project", "tiny_2", "--jobs", "0", "--seed", "-1"], ["JOBS=0", "SEED=-1"]),
        (["--project", "tiny_2", "--text", "  "], ["TEXT is empty"]),
        (["--project", "tiny_2", "--text-file", "none.txt"], ["TEXT_FILE=none.txt", "No such file"]),
        (["--model", "no/such/folder"], ["no/such/folder", "no such folder"]),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    out = tmp_path / "out"
    assert main(["sim", *arguments, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    for word in words:
        assert word in error, error
    assert "Traceback" not in error and not out.exists()


def test_a_text_file_must_hold_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content, word in ((b"\n \n", "holds no text"), (b"caf\xe9", "not UTF-8 at byte 3")):
        path = tmp_path / "texts.txt"
        path.write_bytes(content)
        assert main(["sim", "--text-file", str(path), "--out", str(tmp_path / "out")]) == 2
        assert word in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


class _Words:
    """A tokenizer for a test: one token a word, and the two special ones."""

    def encode(self, text: str) -> list[int]:
        return [1, *(2 for _ in text.split()), 3]


def test_a_long_text_is_refused_by_its_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    weights = synthetic_bert(1, 384, 12, 1536, 6, 50)
    monkeypatch.setattr(flow, "fetch_minilm", lambda cache: tmp_path)
    monkeypatch.setattr(flow, "load_bert", lambda folder: (weights, _Words()))
    assert main(["sim", "--text", "word " * 127, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "129 tokens" in error and "at most 128 tokens" in error and not (tmp_path / "out").exists()


def test_verify_refuses_what_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert main(["verify", str(tmp_path)]) == 2
    assert "plan.json" in capsys.readouterr().err


def test_plan_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--project", "tiny_2", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "node1" in out and "add_norm" in out and "16 tokens at most" in out
    assert "schedule model: first row back after" in out
    made = sorted(str(p.relative_to(tmp_path / "tiny_2")) for p in (tmp_path / "tiny_2").rglob("*.*"))
    assert made == ["plan.json", "report/timeline.png", "report/timeline.svg"]


# -------------------------------------------------------------------------------------------------------------------- environment


@pytest.mark.parametrize("size", [1 << 16, 1 << 19])
def test_a_full_disk_is_exit_3_and_nothing_is_half_written(tmp_path: Path, size: int) -> None:
    """The kernel refuses larger files, as a full disk would: the parameters do not fit, then the memory images."""
    done = _floreana(
        *("sim", "--project", "tiny_2", "--sim", "icarus", "--out", str(tmp_path)),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )
    assert done.returncode == 3, done.stderr
    assert "File too large" in done.stderr and "choose another" in done.stderr and "Traceback" not in done.stderr
    left = {p.name for p in (tmp_path / "tiny_2").iterdir()}
    assert left == ({".lock", "sim"} if size == 1 << 16 else {".lock", "sim", "plan.json", "params.npz"})


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("before")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(EnvironmentError_, match="No space left on device; free space"):
        write_whole(path, fail)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 3), (errno.EROFS, 3), (errno.EIO, 4)])
def test_unforeseen_errors_have_their_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, code: int
) -> None:
    def fail(*_: Any) -> int:
        raise OSError(number, os.strerror(number), "somewhere")

    monkeypatch.setitem(cli._COMMANDS, "plan", fail)
    assert main(["plan"]) == code
    assert ("Traceback" in capsys.readouterr().err) == (code == 4)


def test_a_run_waits_for_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with flow.locked(tmp_path / "tiny_2"):
        assert main(["sim", "--project", "tiny_2", "--sim", "icarus", "--out", str(tmp_path)]) == 3
    assert "another run is at work" in capsys.readouterr().err


def _group_members(group: int) -> list[int]:
    """Processes of a process group that are not zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def _children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_simulator_outlives_a_run(tmp_path: Path, number: signal.Signals) -> None:
    """A run under Icarus is ended while it simulates; even where it is killed outright the simulator goes with it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "floreana", "sim", "--project", "tiny_2", "--sim", "icarus", "--tokens", "16", "--out", str(tmp_path)],
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    progress = tmp_path / "tiny_2" / "sim" / "progress.jsonl"
    try:
        limit = time.monotonic() + 300
        while not (progress.exists() and "loading" in progress.read_text()):
            assert process.poll() is None and time.monotonic() < limit, process.stderr
            time.sleep(0.05)
        simulators = _children(process.pid)
        assert len(simulators) == 1 and _group_members(simulators[0])
        process.send_signal(number)
        error = process.communicate(timeout=120)[1]
        if number != signal.SIGKILL:
            assert process.returncode == 130 and "interrupted" in error and "Traceback" not in error
        limit = time.monotonic() + 60
        while _group_members(simulators[0]):
            assert time.monotonic() < limit, "the simulator lives on"
            time.sleep(0.05)
        assert not (tmp_path / "tiny_2" / "result.json").exists()
    finally:
        if process.poll() is None:
            end_group(process)  # type: ignore[arg-type]
