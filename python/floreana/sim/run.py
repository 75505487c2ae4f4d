# SPDX-License-Identifier: Apache-2.0
"""Running a built simulator on a job: environment of the simulator process, progress, and what became of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cocotb_tools.config
from find_libpython import find_libpython

from floreana.environment import find_tool, project_root, tool_environment
from floreana.errors import EnvironmentError_, FloreanaError
from floreana.sim.build import Simulator
from floreana.sim.ethernet import LOOKAHEAD
from floreana.sim.job import Job, Outcome
from floreana.sim.process import run_logged, tail

DEFAULT_DELAY = 220
DEFAULT_WINDOW = 200
MAX_DELAY = 100_000
MAX_WINDOW = 256  # at 1.4 cycles a frame, the fewest there can be, tb_port's 256 places hold a window
_FULL = 1 << 16  # fewer free bytes than this is a full disk


def default_window(delay: int) -> int:
    """The longest useful window for a link delay."""
    return max(min(DEFAULT_WINDOW, delay - LOOKAHEAD), 1)


def check_window(delay: int, window: int) -> str | None:
    """Why delay and window do not go together, or None."""
    if not LOOKAHEAD < delay <= MAX_DELAY:
        return (
            f"LINK_DELAY={delay}: {LOOKAHEAD + 1} to {MAX_DELAY} cycles are possible (a frame of 17 beats must be known "
            f"before its first beat arrives); choose one of these, {DEFAULT_DELAY} is the default"
        )
    limit = min(delay - LOOKAHEAD, MAX_WINDOW)
    if not 1 <= window <= limit:
        return (
            f"WINDOW={window}: 1 to {limit} cycles are possible with LINK_DELAY={delay} (at most delay - {LOOKAHEAD}, and "
            f"at most {MAX_WINDOW}); leave WINDOW out or choose one of these"
        )
    return None


def simulator_environment(top: str, seed: int) -> dict[str, str]:
    """Variables with which cocotb starts the bench inside the simulator."""
    env = tool_environment()
    library = find_libpython()
    if library is None:
        raise EnvironmentError_(
            f"the shared library of Python {sys.version.split()[0]} is not found, cocotb needs it: install `libpython3-dev`"
        )
    env.update(
        COCOTB_TEST_MODULES="floreana.sim.bench",
        COCOTB_TOPLEVEL=top,
        TOPLEVEL_LANG="verilog",
        COCOTB_TRUST_INERTIAL_WRITES="1",
        COCOTB_RANDOM_SEED=str(seed),
        COCOTB_ANSI_OUTPUT="0",
        PYGPI_PYTHON_BIN=sys.executable,
        GPI_USERS=f"{library};{cocotb_tools.config.pygpi_entry_point()}",
        PYTHONPATH=os.pathsep.join(dict.fromkeys([str(project_root() / "python"), *filter(None, sys.path)])),
    )
    return env


def run(
    simulator: Simulator,
    job: Job,
    *,
    images: Path,
    folder: Path,
    log: Path,
    seed: int,
    progress: Callable[[dict[str, Any]], None] = lambda line: None,
) -> Outcome:
    """Simulate. Returns the outcome (which may hold an error of the design); raises when the simulator itself failed."""
    why = check_window(job.delay, job.window)
    if why:
        raise FloreanaError(why)
    outcome, job_file, progress_file = Path(job.outcome), folder / "job.json", folder / "progress.jsonl"
    outcome.unlink(missing_ok=True)
    job.save(job_file)
    progress_file.write_text("")
    env = simulator_environment(simulator.top, seed)
    env |= {
        "FLOREANA_JOB": str(job_file),
        "FLOREANA_PROGRESS": str(progress_file),
        "COCOTB_RESULTS_FILE": str(folder / "cocotb.xml"),
    }
    plus = [f"+images={images}", f"+window={job.window}", f"+idle={int(job.load == 'frames')}"]
    command: list[str | Path]
    if simulator.kind == "verilator":
        command = [simulator.folder / "obj" / "sim", *plus]
    else:
        vvp = find_tool("vvp", env) or "vvp"
        command = [vvp, "-m", cocotb_tools.config.lib_entry("vpi", "icarus"), simulator.folder / "sim.vvp", "-none", *plus]
    read = 0

    def poll() -> None:
        nonlocal read
        with progress_file.open() as lines:
            lines.seek(read)
            text = lines.read()
        whole = text[: text.rfind("\n") + 1]
        read += len(whole.encode())
        for line in whole.splitlines():
            progress(json.loads(line))

    status = run_logged(command, log=log, env=env, cwd=folder, poll=poll)
    if status or not outcome.exists():
        end = tail(log)
        if "No space left on device" in end or "File too large" in end or shutil.disk_usage(folder).free < _FULL:
            raise EnvironmentError_(f"no room left on the disk of {folder}: free some, or choose another folder with OUT=")
        raise FloreanaError(f"the simulator ended with status {status} before the run was over; the log {log} ends with\n{end}")
    with contextlib.suppress(OSError):
        progress_file.unlink()
    return Outcome.load(outcome)
