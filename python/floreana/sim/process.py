# SPDX-License-Identifier: Apache-2.0
"""Child processes that never outlive us: each in its own process group, which is ended when the wait for it is interrupted."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
POLL_SECONDS = 0.1


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent ends, however that happens (Linux)."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def end_group(process: subprocess.Popen[bytes], patience: float = 2.0) -> None:
    """End a process that was started as the leader of its group, and everything it started."""
    for number, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        limit = time.monotonic() + wait
        while time.monotonic() < limit:
            process.poll()
            try:
                os.killpg(process.pid, 0)
            except (ProcessLookupError, PermissionError):
                return
            time.sleep(0.02)


def run_logged(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str],
    cwd: Path,
    poll: Callable[[], None] = lambda: None,
) -> int:
    """Run a command with its output appended to ``log``; ``poll`` is called a few times a second. Returns the exit status.

    When anything interrupts the wait (Ctrl-C, SIGTERM turned into an exception, an error in ``poll``), the whole group is ended.
    """
    with log.open("ab") as out:
        out.write(("$ " + " ".join(str(part) for part in command) + "\n").encode())
        out.flush()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
        try:
            while True:
                try:
                    status = process.wait(timeout=POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    poll()
            poll()
            return status
        finally:
            end_group(process)


def tail(log: Path, lines: int = 12) -> str:
    """Last lines of a log, for messages."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"


def complaints(log: Path, lines: int = 12) -> str:
    """The first lines of a build's log that speak of an error, or its last lines."""
    try:
        found = [line[:300] for line in log.read_text(errors="replace").splitlines() if "rror" in line and not line.startswith("$")]
    except OSError:
        found = []
    return "\n".join(found[:lines]) or tail(log, lines)
