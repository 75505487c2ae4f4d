# SPDX-License-Identifier: Apache-2.0
"""What the processes of the demo tell each other, as JSON files, and how the clocks of simulation and socket fit together."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from floreana.errors import EnvironmentError_, InputError
from floreana.host.endpoint import Timers
from floreana.sim.job import Job

# a program on a plain machine may pause so long
PAUSE_SECONDS = 0.25
REPLY_SECONDS = 0.02
_REGISTER = (1 << 24) - 1


def scaled(timers: Timers, cycles_per_second: float, window: int) -> Timers:
    """The registers for a simulation of that speed: an RTO is longer than a pause of the host, a NACK_HOLD than its answer.

    Never shorter than the plan's: a slow simulation needs nothing, a fast one needs more cycles for the same time. ``window``: cycles a
    frame waits at most on either side before the simulator looks at its TAP device.
    """
    rto = max(timers.rto, math.ceil(PAUSE_SECONDS * cycles_per_second))
    return Timers(
        ack_delay=timers.ack_delay,
        rto=min(rto, _REGISTER),
        retries=timers.retries,
        keep=min(max(timers.keep, 8 * rto) if timers.keep else 0, _REGISTER),
        nack_hold=min(max(timers.nack_hold, 4 * window + math.ceil(REPLY_SECONDS * cycles_per_second)), _REGISTER),
    )


@dataclass(frozen=True, slots=True)
class TapJob:
    """What the bench in the simulator needs: open files of the TAP devices by port, one that reads empty when it is time to end."""

    names: tuple[str, ...]  # of the ports
    taps: tuple[int, ...]  # -1: a port without a cable
    stop: int
    window: int
    status: str  # path

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> TapJob:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**raw, "names": tuple(raw["names"]), "taps": tuple(raw["taps"])})


@dataclass(frozen=True, slots=True)
class TapStatus:
    """What the bench says of itself."""

    state: str  # "loading", "running", "ended"
    cycle: int = 0
    seconds: float = 0.0  # since cycle 0
    load_cycles: int = 0
    sent: tuple[int, ...] = ()  # frames by port that left a node
    received: tuple[int, ...] = ()  # and that entered one
    broken: int = 0  # frames longer than a port takes, handed on marked bad
    refused: int = 0  # frames that a TAP device did not take
    error: str | None = None

    @classmethod
    def read(cls, path: Path) -> TapStatus:
        """FileNotFoundError before the bench has begun."""
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**raw, "sent": tuple(raw["sent"]), "received": tuple(raw["received"])})


@dataclass(frozen=True, slots=True)
class Net:
    """A demo that runs: for its host process, and for `floreana top`."""

    project: str
    namespace: str  # of the host
    cycles_per_second: int
    job: str  # path of the Job; its timers are the scaled ones
    pid: int

    def save(self, path: Path) -> None:
        scratch = path.with_name(f".{path.name}.{self.pid}")
        scratch.write_text(json.dumps(asdict(self)), encoding="utf-8")
        scratch.replace(path)

    @classmethod
    def load(cls, path: Path) -> Net:
        """InputError where no demo runs."""
        try:
            net = cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise InputError(
                f"no demo is running: {path} does not exist; start one with `floreana net-demo --keep 1` and leave it running"
            ) from None
        except (OSError, ValueError, TypeError) as error:
            raise EnvironmentError_(f"{path} cannot be read: {error}; start the demo again") from error
        if not Path(f"/proc/{net.pid}").exists():
            raise InputError(f"the demo of {path} has ended; start one with `floreana net-demo --keep 1` and leave it running")
        return net

    def load_job(self) -> Job:
        return Job.load_file(Path(self.job))
