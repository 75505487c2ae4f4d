# SPDX-License-Identifier: Apache-2.0
"""`floreana bench-check`: cycles of small runs against the recorded ones. More than 2 % slower fails.

The cycles of a run are the same on every machine and simulator, so the record needs no allowance for noise: the 2 % are for changes that
trade a little speed for something else. Exit codes: 0 as recorded, or faster; 1 slower, or not bit-exact; 2 the record is unusable.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from floreana.errors import DiffersError, InputError
from floreana.report.bench import interval
from floreana.report.bench_runs import Case, Runner
from floreana.report.result import write_whole

BASELINE = Path(__file__).parent / "data" / "bench_baseline.toml"
PERCENT = 2
WRITTEN = "Written by `make bench-check RECORD=1`: cycles of small runs, with which later ones are compared."
REMEDY = "record with `make bench-check RECORD=1`, and say in the commit why"
# name -> run; of sequences in flight the interval is compared, of others the cycles
CASES: Mapping[str, Case] = {
    "tiny_2, 1 token": Case("tiny_2", "1"),
    "tiny_2, 16 tokens": Case("tiny_2", "16"),
    "tiny_2, interval of 16 tokens": Case("tiny_2", ",".join(["16"] * 6), in_flight=2),
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run's cycles and the recorded ones."""

    name: str
    recorded: float
    measured: float

    @property
    def change(self) -> float:
        """Share of the recorded cycles: above 0 is slower."""
        return self.measured / self.recorded - 1

    @property
    def slower(self) -> bool:
        return 100 * self.measured > (100 + PERCENT) * self.recorded

    @property
    def verdict(self) -> str:
        percent = f"{abs(100 * self.change):.1f} %"
        if self.slower:
            return f"SLOWER by {percent}, {self.measured - self.recorded:,.0f} cycles"
        if 100 * self.measured < (100 - PERCENT) * self.recorded:
            return f"faster by {percent}: record it"
        return "as recorded" if self.change == 0 else f"{percent} {'slower' if self.change > 0 else 'faster'}, within {PERCENT} %"


def read_baseline(path: Path = BASELINE) -> dict[str, float]:
    """Recorded cycles by case. InputError where the file is missing or damaged."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; {REMEDY}") from error
    except ValueError as error:
        raise InputError(f"{path} is not TOML: {error}; {REMEDY}") from error
    cycles = raw.get("cycles", {})
    problems = [f"[{name}] is not known" for name in raw if name != "cycles"]
    if not isinstance(cycles, dict):
        cycles, problems = {}, [*problems, "[cycles] is missing"]
    for name, value in cycles.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            problems.append(f"{name} = {value!r}, a positive number is needed")
    if problems:
        raise InputError(f"{path}: {'; '.join(problems)}; {REMEDY}")
    return dict(cycles)


def write_baseline(cycles: Mapping[str, float], path: Path = BASELINE) -> None:
    """Record cycles."""
    head = f"# SPDX-License-Identifier: Apache-2.0\n# {WRITTEN}\n\n[cycles]\n"
    text = head + "".join(f'"{name}" = {value:g}\n' if value % 1 else f'"{name}" = {value:.0f}\n' for name, value in cycles.items())

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_whole(path, write)


def compare(measured: Mapping[str, float], recorded: Mapping[str, float]) -> list[Comparison]:
    """InputError where something is not recorded, or is recorded and not measured any more."""
    missing = [name for name in measured if name not in recorded]
    stale = [name for name in recorded if name not in measured]
    if missing or stale:
        parts = [
            f"{what}: {', '.join(names)}"
            for what, names in (("not recorded", missing), ("recorded, but there is no such run", stale))
            if names
        ]
        raise InputError(f"the record and the runs are not of the same cases; {'; '.join(parts)}; {REMEDY}")
    return [Comparison(name, recorded[name], value) for name, value in measured.items()]


def measure(runner: Runner) -> dict[str, float]:
    """Cycles of every case. DiffersError where one is not bit-exact."""
    out: dict[str, float] = {}
    for name, case in CASES.items():
        record = runner.run(case)
        if "unclean" in record:
            raise DiffersError(f"{name}: nothing was to go wrong in this run, and yet: {record['unclean']}")
        content = record["content"]
        out[name] = float(content["cycles"]) if case.in_flight == 1 else interval(content["sentences"])
    return out


def table(comparisons: Sequence[Comparison]) -> Table:
    out = Table(title="cycles against the record", title_justify="left")
    for text in ("run", "recorded", "measured", "verdict"):
        out.add_column(text, justify="right" if text in ("recorded", "measured") else "left")
    for item in comparisons:
        out.add_row(item.name, f"{item.recorded:,.0f}", f"{item.measured:,.0f}", item.verdict)
    return out


def bench_check(
    runner: Runner, console: Console, record: bool = False, path: Path = BASELINE, measured: Callable[[Runner], dict[str, float]] = measure
) -> int:
    """Compare, or record. 1 where a run is more than 2 % slower."""
    recorded = {} if record else read_baseline(path)
    cycles = measured(runner)
    if record:
        write_baseline(cycles, path)
        console.print(f"recorded {len(cycles)} runs in {path}", highlight=False, soft_wrap=True)
        return 0
    comparisons = compare(cycles, recorded)
    console.print(table(comparisons))
    slower = [item for item in comparisons if item.slower]
    for item in slower:
        console.print(
            f"{item.name}: {item.measured:,.0f} cycles, {item.recorded:,.0f} are recorded: {100 * item.change:.1f} % more, "
            f"{PERCENT} % are allowed. If that is meant, {REMEDY}",
            style="red",
            highlight=False,
            soft_wrap=True,
        )
    return 1 if slower else 0
