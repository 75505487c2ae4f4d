# SPDX-License-Identifier: Apache-2.0
"""`floreana bench-sim`: what simulating the whole cluster costs beside its bare multiplier arrays, both measured in one run."""

from __future__ import annotations

import re
import resource
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from floreana.cluster.description import find_project, load_project
from floreana.cluster.plan import Plan, make_plan
from floreana.environment import tool_environment
from floreana.errors import FloreanaError
from floreana.project.tops import render_arrays
from floreana.sim.build import build
from floreana.sim.flow import Hooks, Options, Teller, simulate
from floreana.sim.process import run_logged, tail

LEAST_RATIO = 1 / 8
LEAST_CYCLES = 50_000


@dataclass(frozen=True, slots=True)
class Speed:
    """Cycles and CPU seconds of the whole cluster and of its bare arrays; ``bench_share``: of its time, in the bench's Python."""

    project: str
    nodes: int
    cycles: int
    seconds: float
    bare_cycles: int
    bare_seconds: float
    bench_share: float

    @property
    def whole(self) -> float:
        return self.cycles / self.seconds

    @property
    def bare(self) -> float:
        return self.bare_cycles / self.bare_seconds

    @property
    def ratio(self) -> float:
        return self.whole / self.bare


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def arrays_speed(plan: Plan, folder: Path, cycles: int, jobs: int, teller: Teller) -> tuple[int, float]:
    """(cycles, CPU seconds) of the multiplier arrays of all nodes, always busy, in a simulation of their own."""
    log = folder / "sim" / "arrays.log"
    log.write_bytes(b"")
    simulator = build(
        kind="verilator",
        top=f"{plan.project}_arrays",
        own=render_arrays(plan),
        folder=folder / "sim",
        log=log,
        jobs=jobs,
        hier=True,
        bare=True,
        tell=lambda text: teller.stage(f"bare arrays: {text}"),
    )
    teller.built(simulator)
    cycles = max(cycles, LEAST_CYCLES)
    before = _children_seconds()
    command: list[str | Path] = [simulator.folder / "obj" / "sim", f"+cycles={cycles}"]
    if run_logged(command, log=log, env=tool_environment(), cwd=folder / "sim"):
        raise FloreanaError(f"the simulation of the bare arrays failed; the log {log} ends with\n{tail(log)}")
    seconds = _children_seconds() - before
    sums = re.search(rf"arrays: {cycles} cycles, sums([0-9a-f ]+)", log.read_text())
    if sums is None or len(set(sums.group(1).split()) - {"0" * 8}) != len(plan.nodes):
        raise FloreanaError(f"the bare arrays did not compute as they should; the log {log} ends with\n{tail(log)}")
    return cycles, seconds


def measure_speed(options: Options, teller: Teller, version: str, hooks: Hooks | None = None) -> Speed:
    """Run both.

    Without a text or a token count it takes as many random tokens as fit, so that the arrays in the cluster are as busy as they ever are.
    """
    if options.text is None and options.tokens is None:
        plan = make_plan(load_project(find_project(options.project), nodes=options.nodes))
        options = replace(options, tokens=str(plan.max_tokens))
    done = simulate(options, teller, version, hooks)
    outcome, plan = done.outcome, done.plan
    cycles, seconds = arrays_speed(plan, done.folder, outcome.cycles, options.jobs, teller)
    share = outcome.bench_seconds / max(outcome.seconds, 1e-9)
    return Speed(plan.project, len(plan.nodes), outcome.cycles, outcome.cpu_seconds, cycles, seconds, share)


def bench_sim(options: Options, teller: Teller, version: str, console: Console) -> int:
    """Print both speeds and their ratio; 1 where the ratio is below an eighth."""
    speed = measure_speed(options, teller, version)
    table = Table(title=f"{speed.project}: {speed.nodes} nodes", title_justify="left")
    for column in ("simulation", "cycles", "CPU seconds", "cycles per CPU second"):
        table.add_column(column, justify="left" if column == "simulation" else "right")
    table.add_row("whole cluster", f"{speed.cycles:,}", f"{speed.seconds:.2f}", f"{speed.whole:,.0f}")
    table.add_row("bare multiplier arrays", f"{speed.bare_cycles:,}", f"{speed.bare_seconds:.2f}", f"{speed.bare:,.0f}")
    console.print(table)
    enough = speed.ratio >= LEAST_RATIO
    console.print(
        f"the whole cluster runs at {speed.ratio:.3f} of the arrays' speed ({'at least' if enough else 'BELOW'} 1/8 = {LEAST_RATIO}); "
        f"{100 * speed.bench_share:.0f} % of its time is the bench's Python",
        highlight=False,
        soft_wrap=True,
    )
    return 0 if enough else 1
