# SPDX-License-Identifier: Apache-2.0
"""`floreana model-check`: cycles that the schedule model says against those of the RTL simulation (docs/schedule.md).

Runs are simulated and kept as `floreana bench` does it, in the same place: what one has simulated the other takes. ``--record 1`` writes
what was simulated to data/model_cycles.toml, and the tables of docs/schedule.md; with it the tests compare the model without simulating.
Exit codes: 0 all within the limit; 1 one is not, or not bit-exact.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from floreana.cluster.description import find_project, load_project
from floreana.cluster.plan import Plan, make_plan, with_link_delay
from floreana.cluster.schedule import depths, schedule
from floreana.environment import project_root
from floreana.errors import DiffersError, InputError
from floreana.report.bench_runs import LINK_DELAY, Case, Runner
from floreana.report.result import write_whole

PERCENT = 5
CASES = Path(__file__).parent / "data" / "model_cases.toml"
RECORD = Path(__file__).parent / "data" / "model_cycles.toml"
DOCUMENT = "docs/schedule.md"
REMEDY = "make model-check RECORD=1"
IN_FLIGHT = 2  # of sequences back to back
_PLAN_KEYS = {"project", "nodes", "model", "cluster", "mapping", "build", "runs", "held_out", "sim"}


@dataclass(frozen=True, slots=True)
class Cycles:
    """Of a run: last beat of the first row back at the host, of the last row, both of the first sequence; cycles a sequence where several
    run back to back, else None. ``first_row`` None: the run was kept by a bench that did not look at it."""

    first_row: int | None
    last_row: int
    interval: float | None


@dataclass(frozen=True, slots=True)
class Compared:
    """A plan to compare. ``description``: a project.yaml's content, None: ``project`` is one of fpga_projects/."""

    name: str
    project: str
    nodes: int | None
    description: Mapping[str, Any] | None
    runs: tuple[str, ...]
    held_out: bool
    sim: str = "verilator"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: what the model says and what was simulated."""

    name: str
    shape: str
    nodes: int
    strategy: str
    tokens: str
    held_out: bool
    model: Cycles
    rtl: Cycles

    @property
    def errors(self) -> tuple[float | None, ...]:
        """Of first row, last row and interval: model over RTL less 1. Sequences back to back are compared by their interval alone."""
        if self.model.interval is not None and self.rtl.interval is not None:
            return None, None, self.model.interval / self.rtl.interval - 1
        first = None
        if self.model.first_row is not None and self.rtl.first_row is not None:
            first = self.model.first_row / self.rtl.first_row - 1
        return first, self.model.last_row / self.rtl.last_row - 1, None

    @property
    def within(self) -> bool:
        return all(abs(error) <= PERCENT / 100 for error in self.errors if error is not None)


# ------------------------------------------------------------------------------------------------------------------ plans


def read_cases(path: Path = CASES) -> tuple[Compared, ...]:
    """The plans and runs to compare. InputError where the file is damaged."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}; restore it") from error
    out = []
    for name, content in raw.get("plans", {}).items():
        unknown = set(content) - _PLAN_KEYS
        if unknown or not content.get("runs"):
            why = f"unknown keys {', '.join(sorted(unknown))}" if unknown else "no runs"
            raise InputError(f"{path}: [plans.{name}]: {why}; known are {', '.join(sorted(_PLAN_KEYS))}")
        description = None if "project" in content else describe(name, content)
        out.append(
            Compared(
                name=name,
                project=content.get("project", name),
                nodes=content.get("nodes"),
                description=description,
                runs=tuple(content["runs"]),
                held_out=content.get("held_out", False),
                sim=content.get("sim", "verilator"),
            )
        )
    return tuple(out)


def describe(name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """A project.yaml's content: that of the examples, but for what ``content`` gives."""
    return {
        "name": name,
        "model": {"source": "synthetic", "vocab": 100, "seed": 1, **content["model"]},
        "cluster": {"mac_base": "02:f1:0e:00:00:00", "ip_base": "10.17.0.1", **content["cluster"]},
        "mapping": content.get("mapping", {"strategy": "tensor"}),
        "build": content.get("build", {}),
    }


def place(case: Compared, folder: Path) -> str:
    """What names the project: of fpga_projects/, or a description that is written to ``folder``."""
    if case.description is None:
        return case.project
    path = folder / case.name / "project.yaml"
    text = yaml.safe_dump(dict(case.description), sort_keys=False)

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, write)
    return str(path)


def plan_of(case: Compared, project: str) -> Plan:
    return with_link_delay(make_plan(load_project(find_project(project), nodes=case.nodes)), LINK_DELAY)


# ----------------------------------------------------------------------------------------------------------------- cycles


def lengths(run: str) -> list[int]:
    return [int(part) for part in run.split(",")]


def modelled(plan: Plan, run: str) -> Cycles:
    """What the model says of a run."""
    tokens = lengths(run)
    found = schedule(plan, tokens, in_flight=min(IN_FLIGHT, len(tokens)))
    return Cycles(found.first_row, found.last_row, found.interval if len(tokens) > 1 else None)


def simulated(runner: Runner, case: Compared, project: str, run: str) -> Cycles:
    """Simulate a run, or take what was simulated before. DiffersError where it is not bit-exact, or the network lost something."""
    several = len(lengths(run)) > 1
    record = runner.run(Case(project, run, in_flight=IN_FLIGHT if several else 1, nodes=case.nodes))
    if "unclean" in record:
        raise DiffersError(f"{case.name}, {run} tokens: nothing was to go wrong in this run, and yet: {record['unclean']}")
    content = record["content"]
    sentences = content["sentences"]
    first = sentences[0]
    span = max(s["end"] for s in sentences) - min(s["start"] for s in sentences)
    return Cycles(record.get("first_row"), first["end"] - first["start"], span / len(sentences) if several else None)


def read_record(path: Path = RECORD) -> dict[str, dict[str, Cycles]]:
    """Recorded cycles of the RTL: plan -> run -> cycles. InputError where the file is missing or damaged."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        return {
            name: {run: Cycles(c.get("first_row"), c["last_row"], c.get("interval")) for run, c in runs.items()}
            for name, runs in raw.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} cannot be read: {error}; make it: {REMEDY}") from error


def write_record(record: Mapping[str, Mapping[str, Cycles]], path: Path = RECORD) -> None:
    """Write recorded cycles."""
    lines = [
        "# SPDX-License-Identifier: Apache-2.0",
        f"# Written by `{REMEDY}`: cycles of the RTL simulation, with which the schedule model is compared.",
    ]
    for name, runs in record.items():
        lines += ["", f"[{name}]"]
        for run, cycles in runs.items():
            text = "" if cycles.first_row is None else f"first_row = {cycles.first_row}, "
            text += f"last_row = {cycles.last_row}"
            if cycles.interval is not None:
                text += f", interval = {cycles.interval:.2f}"
            lines.append(f'"{run}" = {{ {text} }}')

    def write(temporary: Path) -> None:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")

    write_whole(path, write)


# ----------------------------------------------------------------------------------------------------------------- table


def compare(case: Compared, plan: Plan, run: str, rtl: Cycles) -> Row:
    return Row(
        name=case.name,
        shape=f"{plan.hidden}, {plan.heads}, {plan.ffn}, {plan.encoders}",
        nodes=len(plan.nodes),
        strategy=plan.strategy,
        tokens=run if len(lengths(run)) == 1 else f"{len(lengths(run))} x {lengths(run)[0]}",
        held_out=case.held_out,
        model=modelled(plan, run),
        rtl=rtl,
    )


COLUMNS = (
    *("plan", "hidden, heads, FFN, encoders", "nodes", "strategy", "tokens"),
    *("first row", "RTL", "error", "last row", "RTL", "error", "interval", "RTL", "error"),
)


def cells(row: Row) -> list[str]:
    """A line of the table as text."""

    def triple(model: float, rtl: float, error: float | None) -> list[str]:
        return ["", "", ""] if error is None else [f"{model:,.0f}", f"{rtl:,.0f}", f"{100 * error:+.2f} %"]

    first, last, interval = row.errors
    values = [
        *triple(row.model.first_row or 0, row.rtl.first_row or 0, first),
        *triple(row.model.last_row, row.rtl.last_row, last),
        *triple(row.model.interval or 0, row.rtl.interval or 0, interval),
    ]
    return [row.name + (" (held out)" if row.held_out else ""), row.shape, str(row.nodes), row.strategy, row.tokens, *values]


def table(rows: Sequence[Row]) -> Table:
    out = Table(title="schedule model against RTL simulation, cycles", title_justify="left", padding=(0, 0, 0, 1))
    for number, text in enumerate(COLUMNS):
        out.add_column(text, justify="left" if number in (0, 3) else "right", no_wrap=number > 1)
    for row in rows:
        out.add_row(*cells(row), style=None if row.within else "red")
    return out


def summary(rows: Sequence[Row]) -> str:
    """The greatest error, of all and of those held out."""

    def greatest(some: Sequence[Row]) -> float:
        return max((abs(error) for row in some for error in row.errors if error is not None), default=0.0)

    held = [row for row in rows if row.held_out]
    text = f"{len(rows)} runs of {len({row.name for row in rows})} plans, greatest error {100 * greatest(rows):.2f} %"
    return text + (f"; of the {len(held)} held out {100 * greatest(held):.2f} %" if held else "")


def markdown(rows: Sequence[Row]) -> str:
    """The table for docs/schedule.md."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| " + " | ".join("---" if n in (0, 3) else "---:" for n in range(len(COLUMNS))) + " |"]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return "\n".join([*lines, "", summary(rows) + "."])


def coefficients() -> str:
    """The table of all pipeline depths, of the lines that define them."""
    lines = ["| name | value | source: from -> to |", "| --- | ---: | --- |"]
    place = ""
    for line in Path(depths.__file__).read_text(encoding="utf-8").splitlines():
        if line.startswith("# ---- "):
            place = line.removeprefix("# ---- ")
            lines.append(f"| | | **{place}** |")
        elif found := re.fullmatch(r"(\w+): Final = .*?  # (.*)", line):
            name, source = found.groups()
            lines.append(f"| `{name}` | {getattr(depths, name)} | {source} |")
    return "\n".join(lines)


def write_document(rows: Sequence[Row], path: Path) -> None:
    """Put the tables between their marks in docs/schedule.md."""
    text = path.read_text(encoding="utf-8")
    for mark, content in (("coefficients", coefficients()), ("model check", markdown(rows))):
        begin, end = f"<!-- {mark} -->", f"<!-- end {mark} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        text = f"{before}{begin}\n{content}\n{end}{after}"
        if not (found and closed):
            raise InputError(f"{path}: the marks of a table are missing; restore {begin} and {end}")

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_whole(path, write)


def recorded_rows(folder: Path, most: int | None = None) -> list[Row]:
    """Every recorded run compared, without simulating. ``folder``: where descriptions are written.

    ``most``: leave out runs with more rows of all encoders times nodes than that: the model takes about a millisecond for each.
    InputError where the record has a run that is none.
    """
    record, rows = read_record(), []
    cases = {case.name: case for case in read_cases()}
    wrong = [f"{name}, {run} tokens" for name, runs in record.items() for run in runs if name not in cases or run not in cases[name].runs]
    if wrong:
        raise InputError(f"{RECORD} has {', '.join(wrong)}, which {CASES.name} does not; record anew: {REMEDY}")
    for name, runs in record.items():
        plan = plan_of(cases[name], place(cases[name], folder))
        for run, rtl in runs.items():
            if most is None or sum(lengths(run)) * plan.encoders * len(plan.nodes) // len(plan.clusters) <= most:
                rows.append(compare(cases[name], plan, run, rtl))
    return rows


def chosen(only: str | None, cases: Sequence[Compared]) -> list[Compared]:
    """The plans named by ``only``, parts separated by commas; None: all. InputError for an unknown one."""
    if only is None:
        return list(cases)
    names = [part.strip() for part in only.split(",") if part.strip()]
    known = {case.name: case for case in cases}
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        raise InputError(f"ONLY={only}: {', '.join(wrong) or 'nothing'} is no plan of {CASES.name}; known: {', '.join(known)}")
    return [known[name] for name in names]


def model_check(runner: Runner, console: Console, *, only: str | None = None, record: bool = False) -> int:
    """Simulate and compare; ``record``: write what was simulated, and the table of the document. 1 where an error is above the limit."""
    every = read_cases()
    rows: list[Row] = []
    projects = runner.folder / "projects"
    measured: dict[str, dict[str, Cycles]] = {}
    for case in chosen(only, every):
        project = place(case, projects)
        plan = plan_of(case, project)
        runner.sim = case.sim
        runner.builds = None if case.description is None else runner.folder / "sims" / f"{case.name}_{len(plan.nodes)}"
        measured[case.name] = {run: simulated(runner, case, project, run) for run in case.runs}
        rows += [compare(case, plan, run, rtl) for run, rtl in measured[case.name].items()]
    if record:
        known = (read_record() if RECORD.exists() else {}) | measured
        write_record({case.name: known[case.name] for case in every if case.name in known})
        write_document(recorded_rows(projects), project_root() / DOCUMENT)
    console.print(table(rows))
    console.print(summary(rows), highlight=False)
    wrong = [row for row in rows if not row.within]
    for row in wrong:
        console.print(f"{row.name}, {row.tokens} tokens: more than {PERCENT} % from the RTL", style="red", highlight=False)
    return 1 if wrong else 0
