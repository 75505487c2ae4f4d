#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`make regress`: every job of the matrix in tb/regress.toml, several at once; JUnit XML, a table, and how to repeat each failure.

A job is one bench in one build under one simulator with one seed, or one project with its token counts. Each runs in a process of its
own, started with the very command that is printed when it fails. A job that did not run, or ended without its verdict, is a failure.
See docs/regress.md.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [path for path in (str(ROOT / "tb"), str(ROOT / "python")) if path not in sys.path]

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from floreana.cluster.plan import Plan  # noqa: E402
from floreana.errors import FloreanaError  # noqa: E402
from floreana.sim.faults import KINDS, check_rate  # noqa: E402
from floreana.sim.flow import Hooks, Options, simulate  # noqa: E402
from floreana.sim.process import die_with_parent, end_group  # noqa: E402
from floreana_tb import BenchError, run_unit, runner  # noqa: E402

MATRIX = ROOT / "tb" / "regress.toml"
BUILD = ROOT / "build" / "regress"
SIMULATORS = ("icarus", "verilator")
VERDICT = "regress: passed "  # the last line of a job's output, and nothing else, says that it passed
UNIT_KEYS = {"top", "bench", "simulators", "tests", "env", "env_json", "env_names", "verilator_args", "timeout", "sources", "cases"}
CASE_KEYS = {"name", "parameters", "simulators", "tests", "env", "timeout", "sources"}
PART_KEYS = {"of", "modules"}
PROJECT_KEYS = {"name", "tokens", "simulators", "timeout", "faults", "fault_tokens"}
LIMIT = 3600.0  # seconds of a job, unless its entry says `timeout`
TWICE_RATE = 0.01  # up to this rate of every fault a run takes at most twice the cycles


class MatrixError(Exception):
    """The matrix or the choice from it is wrong."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run. Jobs of one ``group`` share a build: the first makes it."""

    name: str
    group: str
    seed: int
    simulator: str
    quick: bool
    limit: float
    spec: dict[str, Any]


@dataclass(slots=True)
class Result:
    """What became of a job."""

    job: Job
    passed: bool = False
    message: str = "did not run"
    seconds: float = 0.0
    checked: int = 0
    log: Path | None = None


@dataclass(slots=True)
class Running:
    """A job at work."""

    job: Job
    process: subprocess.Popen[bytes]
    output: TextIO
    log: Path
    begin: float = field(default_factory=time.monotonic)


# ------------------------------------------------------------------------------------------------------------------ the matrix


def load_matrix(path: Path) -> dict[str, Any]:
    """The matrix as it is written; MatrixError names what is wrong in it."""
    try:
        with path.open("rb") as handle:
            matrix = tomllib.load(handle)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise MatrixError(f"{path}: {error}") from error
    problems = [f"unknown key {key}" for key in set(matrix) - {"unit", "project", "part", "exempt"}]
    for unit in matrix.get("unit", []):
        where = str(unit.get("bench", unit))
        problems += [f"{where}: unknown key {key}" for key in set(unit) - UNIT_KEYS]
        problems += [f"{where}: {key} is missing" for key in ("top", "bench", "cases") if not unit.get(key)]
        for case in unit.get("cases", []):
            problems += [f"{where}: case {case.get('name')}: unknown key {key}" for key in set(case) - CASE_KEYS]
            problems += [f"{where}: a case has no name"] if not case.get("name") else []
            problems += _wrong_simulators(where, case)
        problems += _wrong_simulators(where, unit)
    for project in matrix.get("project", []):
        problems += [f"project {project.get('name')}: unknown key {key}" for key in set(project) - PROJECT_KEYS]
        problems += [f"project {project.get('name')}: {key} is missing" for key in ("name", "tokens") if not project.get(key)]
        problems += _wrong_simulators(str(project.get("name")), project)
        whys = [check_rate(f"project {project.get('name')}: faults", rate) for rate in project.get("faults", ())]
        problems += [why for why in whys if why]
        if ("faults" in project) != ("fault_tokens" in project):
            problems.append(f"project {project.get('name')}: faults and fault_tokens need each other")
    problems += [f"part: of and modules are needed, not {part}" for part in matrix.get("part", []) if set(part) != PART_KEYS]
    problems += [
        f"exempt: name and reason are needed, not {entry}" for entry in matrix.get("exempt", []) if set(entry) != {"name", "reason"}
    ]
    if problems:
        raise MatrixError(f"{path}: " + "; ".join(problems))
    return matrix


def _wrong_simulators(where: str, entry: dict[str, Any]) -> list[str]:
    return [
        f"{where}: simulator {name} is not one of {', '.join(SIMULATORS)}" for name in entry.get("simulators", ()) if name not in SIMULATORS
    ]


def jobs_of(matrix: dict[str, Any], seeds: Sequence[int]) -> list[Job]:
    """All jobs, in the order of the file. ``quick`` marks the first case of each bench and the first run of the first project."""
    jobs: list[Job] = []
    for unit in matrix.get("unit", []):
        shared = {key: value for key, value in unit.items() if key not in ("cases", "simulators")}
        for number, case in enumerate(unit["cases"]):
            simulators = case.get("simulators", unit.get("simulators", list(SIMULATORS)))
            for simulator in simulators:
                group = f"unit/{unit['bench'].replace('.test_', '/')}/{case['name']}/{simulator}"
                spec = {**shared, **case, "env": {**unit.get("env", {}), **case.get("env", {})}}
                for seed in seeds:
                    quick = number == 0 and simulator == simulators[0] and seed == seeds[0]
                    jobs.append(Job(f"{group}/seed{seed}", group, seed, simulator, quick, float(spec.get("timeout", LIMIT)), spec))
    for first, project in enumerate(matrix.get("project", [])):
        simulators = project.get("simulators", list(SIMULATORS))
        for simulator in simulators:
            runs = [(tokens, 0.0) for tokens in project["tokens"]]
            runs += [(tokens, float(rate)) for rate in project.get("faults", ()) for tokens in project["fault_tokens"]]
            for number, (tokens, rate) in enumerate(runs):
                group = f"project/{project['name']}/{simulator}"
                for seed in seeds:
                    quick = first == number == 0 and simulator == simulators[0] and seed == seeds[0]
                    name = f"project/{project['name']}/tokens{tokens}/{f'faults{rate:g}/' if rate else ''}{simulator}/seed{seed}"
                    spec = {"project": project["name"], "tokens": str(tokens), "faults": rate}
                    jobs.append(Job(name, group, seed, simulator, quick, float(project.get("timeout", LIMIT)), spec))
    names = [job.name for job in jobs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise MatrixError(f"declared twice: {', '.join(twice)}")
    return jobs


def uncovered(matrix: dict[str, Any]) -> list[str]:
    """Benches below tb/ and projects that the matrix does not have and does not exempt."""
    exempt = [entry["name"] for entry in matrix.get("exempt", [])]
    benches = {f"{path.parent.name}.{path.stem}" for path in (ROOT / "tb").glob("*/test_*.py")}
    projects = {path.parent.name for path in (ROOT / "fpga_projects").glob("*/project.yaml")}
    have = {unit["bench"] for unit in matrix.get("unit", [])} | {project["name"] for project in matrix.get("project", [])}
    return sorted(name for name in (benches | projects) - have if not any(fnmatch.fnmatchcase(name, pattern) for pattern in exempt))


def module_defaults(path: Path) -> dict[str, str]:
    """Parameters of a Verilog module, as they are written."""
    head = re.split(r"^\)|\) \(", path.read_text(encoding="utf-8").split("\nmodule ", maxsplit=1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return dict(re.findall(r"^\s*parameter\s+(?:integer\s+)?(\w+)\s*=\s*([^,\s]+)", head, re.MULTILINE))


def unbenched(matrix: dict[str, Any]) -> list[str]:
    """Complaints about modules of rtl/ that no bench exercises at their default and at two more parameter sets, directly or as a part."""
    files = runner.candidate_sources(None)
    benches = {
        unit["top"]: runner.candidate_sources(unit.get("sources"), runner.find_bench(unit["bench"])) for unit in matrix.get("unit", [])
    }
    tops = {top: found[top] for top, found in benches.items()}
    sets: dict[str, set[tuple[tuple[str, str], ...]]] = {top: set() for top in tops}
    for unit in matrix.get("unit", []):
        defaults = module_defaults(tops[unit["top"]])
        for case in unit["cases"]:
            chosen = {key: str(value) for key, value in case.get("parameters", {}).items()}
            sets[unit["top"]].add(tuple({**defaults, **chosen}.items()))
    defaults_of = {top: tuple(module_defaults(path).items()) for top, path in tops.items()}
    good = {top for top in tops if not defaults_of[top] or (len(sets[top]) > 2 and defaults_of[top] in sets[top])}
    problems, of = [], dict[str, set[str]]()
    for part in matrix.get("part", []):
        top = part["of"]
        if top not in tops:
            problems.append(f"part: {top} has no bench")
            continue
        inside = {path.stem for path in runner.reached(top, benches[top])}
        problems += [f"part: {module} is not in {top}" for module in part["modules"] if module not in inside]
        for module in part["modules"]:
            of.setdefault(module, set()).add(top)
    for module in sorted(files):
        if module not in tops and module not in of:
            problems.append(f"{module} has no bench and is part of none")
        elif not good & ({module} | of.get(module, set())):
            problems.append(f"{module} has no bench at its default and two more parameter sets")
    return problems


def choose(jobs: list[Job], only: str | None, quick: bool) -> list[Job]:
    """``only`` is a pattern with * and ?, found anywhere in a job's name."""
    chosen = [job for job in jobs if (only is None or fnmatch.fnmatchcase(job.name, f"*{only}*")) and (job.quick or not quick)]
    if not chosen:
        raise MatrixError(f"no job is named like {only!r}; --list shows all" if only else "the matrix has no jobs")
    return chosen


# ------------------------------------------------------------------------------------------------------------------ one job


class Told:
    """Where `floreana sim` reports: lines on standard output."""

    def stage(self, text: str) -> None:
        print(text, flush=True)

    def built(self, simulator: Any) -> None:
        print(f"{simulator.kind} ready", flush=True)

    def progress(self, line: dict[str, Any], sentences: int, rows: int) -> None:
        """Nothing: a log needs none."""

    def sentence(self, number: int, report: Any, plan: Plan) -> None:
        print(f"sentence {number}: {report.analysis.tokens} tokens, {report.analysis.cycles} cycles", flush=True)

    def summary(self, content: dict[str, Any], analysis: Any, outcome: Any, folder: Path) -> None:
        print(f"{content['frames']} frames: checked {analysis.values} equal {analysis.values if content['bit_exact'] else '?'}", flush=True)


def check_faults(rate: float, transport: dict[str, Any]) -> None:
    """What a run with this rate of every fault must be, beside bit-exact; BenchError where it is not."""
    again, clean, added = transport["again"], transport["cycles_clean"], transport["cycles_added"]
    print(f"{rate:g} of every fault: {added:+,} cycles to {clean:,}, {again:,} frames sent again", flush=True)
    if set(transport["network"]) != set(KINDS.values()):
        raise BenchError(f"the network did {sorted(transport['network'])} to frames, all of {sorted(KINDS.values())} were asked for")
    if transport["failed_links"] or transport["events"] or set(transport["attempts"]) != {1}:
        raise BenchError(f"nobody was dead, but: failed {transport['failed_links']}, events {transport['events']}")
    if rate <= TWICE_RATE and added > clean:
        raise BenchError(f"{added:,} cycles more than {clean:,}: up to a rate of {TWICE_RATE:g} at most twice the cycles are allowed")


def run_job(job: Job, build: Path) -> None:
    """Run one job in this process; raises where it fails."""
    spec = job.spec
    if "project" in spec:
        out = build / "projects" / job.name.replace("/", "-")
        rate = spec["faults"]
        options = Options(project=spec["project"], tokens=spec["tokens"], seed=job.seed, sim=job.simulator, out=out, jobs=1)
        bad = replace(options, compare_clean=rate > 0, **dict.fromkeys(KINDS, rate))
        done = simulate(bad, Told(), "regress", Hooks(builds=build / "simulators" / spec["project"]))
        if rate:
            check_faults(rate, done.content["transport"])
        return
    parameters: dict[str, int] = spec.get("parameters", {})
    env = {name: str(value) for name, value in spec["env"].items()}
    if spec.get("env_names"):
        env |= {name: str(value) for name, value in parameters.items()}
    if "env_json" in spec:
        env[spec["env_json"]] = json.dumps(parameters)
    run_unit(
        spec["top"],
        spec["bench"],
        sources=spec.get("sources"),
        parameters=parameters,
        simulator=job.simulator,
        expected_tests=spec.get("tests"),
        seed=job.seed,
        extra_env=env,
        extra_args=spec.get("verilator_args", ()) if job.simulator == "verilator" else (),
        timeout_s=job.limit,
    )


def job_main(job: Job, build: Path) -> int:
    """What a job's process does: the run, and its verdict as the last line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exception, so that simulators are ended on the way out
    try:
        run_job(job, build)
    except (BenchError, FloreanaError) as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        return 1
    print(VERDICT + job.name, flush=True)
    return 0


# ------------------------------------------------------------------------------------------------------------------ all jobs


def command_of(job: Job, matrix: Path, build: Path) -> list[str]:
    """The command that runs this job alone."""
    return [
        sys.executable,
        str(ROOT / "tb" / "regress.py"),
        *(() if matrix == MATRIX else ("--matrix", str(matrix))),
        *(() if build == BUILD else ("--build", str(build))),
        "--seed",
        str(job.seed),
        "--job",
        job.name,
    ]


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM is like Ctrl-C."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def start(job: Job, matrix: Path, build: Path) -> Running:
    log = build / "logs" / f"{job.name.replace('/', '-')}.log"
    output = log.open("w", encoding="utf-8")
    process = subprocess.Popen(
        command_of(job, matrix, build), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT,
        start_new_session=True, preexec_fn=die_with_parent,  # noqa: PLW1509 - this process has one thread
    )  # fmt: skip
    return Running(job, process, output, log)


def judge(run: Running, late: bool) -> Result:
    """The result of a job whose process ended (``late``: was ended)."""
    run.output.close()
    text = run.log.read_text(encoding="utf-8", errors="replace")
    lines = [line for line in text.splitlines() if line.strip()] or ["(no output)"]
    status = run.process.returncode
    passed = not late and status == 0 and lines[-1] == VERDICT + run.job.name
    checked = sum(int(number) for number in re.findall(r"checked (\d+) equal", text))
    message = ""
    if late:
        message = f"did not end within {run.job.limit:.0f} s"
    elif not passed:
        first = next((line for line in lines if re.match(r"\w+(Error|Failed|Differs\w*|_): ", line)), lines[-1])
        message = first if status == 1 else f"ended with status {status} without a verdict: {first}"
    return Result(run.job, passed, message, time.monotonic() - run.begin, checked, run.log)


def run_all(jobs: list[Job], matrix: Path, build: Path, at_once: int, console: Console, results: dict[str, Result]) -> None:
    """Run every job, ``at_once`` at a time; ``results`` is filled as they end. Nothing runs on when this returns or raises."""
    (build / "logs").mkdir(parents=True, exist_ok=True)
    waiting, running, built = list(jobs), list[Running](), set[str]()
    begin = time.monotonic()
    try:
        while waiting or running:
            busy = {run.job.group for run in running}
            for job in list(waiting):
                # the first of a group builds; the others wait, and leave the place to another group
                if len(running) < at_once and (job.group in built or job.group not in busy):
                    waiting.remove(job)
                    running.append(start(job, matrix, build))
                    busy.add(job.group)
            for run in list(running):
                late = run.process.poll() is None and time.monotonic() - run.begin > run.job.limit
                if run.process.poll() is None and not late:
                    continue
                end_group(run.process, patience=10.0)
                running.remove(run)
                built.add(run.job.group)
                result = judge(run, late)
                results[run.job.name] = result
                word = "[green]pass[/]" if result.passed else "[red]FAIL[/]"
                left = (time.monotonic() - begin) / len(results) * (len(jobs) - len(results)) / 60
                console.print(f"{len(results):5}/{len(jobs)} {word} {run.job.name} ({result.seconds:.1f} s, about {left:.0f} min left)")
            time.sleep(0.05)
    finally:
        for run in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.process.pid, signal.SIGTERM)
        for run in running:
            end_group(run.process, patience=10.0)
            run.output.close()


def write_junit(results: Sequence[Result], matrix: Path, build: Path) -> Path:
    """JUnit XML: one suite per unit or project, one case per job; a failure holds its command and the end of its log."""
    root = ET.Element("testsuites", name="regress")
    suites: dict[str, ET.Element] = {}
    for result in results:
        name, case = ".".join(result.job.name.split("/")[:2]), "/".join(result.job.name.split("/")[2:])
        if name not in suites:
            suites[name] = ET.SubElement(root, "testsuite", name=name)
        entry = ET.SubElement(suites[name], "testcase", classname=name, name=case or name, time=f"{result.seconds:.3f}")
        if not result.passed:
            failure = ET.SubElement(entry, "failure", message=_plain(result.message))
            log = result.log.read_text(encoding="utf-8", errors="replace").splitlines()[-80:] if result.log else []
            failure.text = _plain("\n".join([shlex.join(command_of(result.job, matrix, build)), *log]))
    for suite in [*suites.values(), root]:
        cases = list(suite.iter("testcase"))
        suite.set("tests", str(len(cases)))
        suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
        suite.set("time", f"{sum(float(case.get('time', '0')) for case in cases):.3f}")
    path = build / "junit.xml"
    build.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    ET.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)
    temporary.rename(path)
    return path


def _plain(text: str) -> str:
    """Without the control characters that XML does not allow."""
    return re.sub(r"[\x00-\x08\x0b-\x1f]", " ", text)


def table(results: Sequence[Result]) -> Table:
    """One line per group: seeds (or token counts times seeds) that passed, values compared, seconds."""
    out = Table("job", "simulator", "passed", "checked", "seconds", title="make regress")
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.job.group, []).append(result)
    for group, members in groups.items():
        good = sum(result.passed for result in members)
        colour = "green" if good == len(members) else "red"
        out.add_row(
            group.removesuffix(f"/{members[0].job.simulator}"),
            members[0].job.simulator,
            f"[{colour}]{good}/{len(members)}[/]",
            str(sum(result.checked for result in members)),
            f"{sum(result.seconds for result in members):.1f}",
        )
    return out


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make regress", description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=1, help="first seed; fixes all randomness (1)")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds, counted up from the first (3)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="jobs at a time (one a core)")
    parser.add_argument("--only", help="only jobs with this in their name; * and ? are wild")
    parser.add_argument("--quick", action="store_true", help="one case of every bench and one project run, one seed")
    parser.add_argument("--list", action="store_true", help="print the jobs and run nothing")
    parser.add_argument("--job", help="run this one job here, its output on the terminal")
    parser.add_argument("--matrix", type=Path, default=MATRIX, help="another matrix than tb/regress.toml")
    parser.add_argument("--build", type=Path, default=BUILD, help="folder of logs and junit.xml")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 all passed, 1 a job failed or is missing, 2 wrong input, 130 interrupted."""
    options = arguments(argv)
    console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 160)  # a log holds whole names
    problems = [f"{name} {value}: at least {least}" for name, value, least in
                (("SEED", options.seed, 0), ("SEEDS", options.seeds, 1), ("JOBS", options.jobs, 1)) if value < least]  # fmt: skip
    path, build = options.matrix.absolute(), options.build.absolute()
    try:
        if problems:
            raise MatrixError("; ".join(problems))
        matrix = load_matrix(path)
        every = jobs_of(matrix, range(options.seed, options.seed + options.seeds))
        if options.job is not None:
            job = next((job for job in every if job.name == options.job), None)
            if job is None:
                raise MatrixError(f"no job is named {options.job}; --list shows all")
            return job_main(job, build)
        jobs = choose(every, options.only, options.quick)
    except MatrixError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(job.name for job in jobs))
        return 0
    results: dict[str, Result] = {}
    interrupted = False
    with interruptible():
        try:
            run_all(jobs, path, build, options.jobs, console, results)
        except KeyboardInterrupt:
            interrupted = True
    everything = [results.get(job.name, Result(job)) for job in jobs]
    if path == MATRIX and options.only is None and not options.quick:
        for name in uncovered(matrix):
            missing = Job(f"missing/{name}", f"missing/{name}", 0, "", False, 0.0, {})
            everything.append(Result(missing, message=f"{name} is not in {path.name}: declare its cases there, or exempt it with a reason"))
        for problem in unbenched(matrix):
            missing = Job(f"missing/{problem.split()[0]}", problem, 0, "", False, 0.0, {})
            everything.append(Result(missing, message=f"{problem}: declare it in {path.name}"))
    junit = write_junit(everything, path, build)
    console.print(table(everything))
    failed = [result for result in everything if not result.passed]
    for result in failed:
        console.print(f"[red]FAIL[/] {result.job.name}", soft_wrap=True)
        console.print(f"  {result.message[:400]}", markup=False)
        if result.log is not None:
            console.print(f"  log:    {result.log}", markup=False)
        if not result.job.name.startswith("missing/"):
            console.print(f"  repeat: {shlex.join(command_of(result.job, path, build))}", markup=False)
    console.print(f"{len(everything) - len(failed)} of {len(everything)} jobs passed; {junit}", markup=False)
    if interrupted:
        return 130
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
