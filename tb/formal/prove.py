#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`make formal`: formal proofs of the switch, of the transport and of the packed multipliers (proofs.toml).

  .venv/bin/python tb/formal/prove.py                   every proof, and every planted bug
  .venv/bin/python tb/formal/prove.py switch_turns      only proofs whose name is or begins with one of these
  .venv/bin/python tb/formal/prove.py --quick           the first case and the first bug of the quick ones
  .venv/bin/python tb/formal/prove.py --list

Yosys (pyosys) makes an and-inverter graph of a proof's top and the hand-written modules, ABC, which comes with it, does the rest.
Registers and memories without a reset start at 0. A proof holds for runs of any length (property-directed reachability), or, where it has
a depth, for every run of that many cycles from the reset (bounded model checking, or decision diagrams). A planted bug must be refuted.
Sizes are those of proofs.toml. See docs/formal.md.

Exit codes: 0 all as it must be, 1 not, 2 no such proof, 3 environment, 4 proofs.toml does not fit the sources.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT / "python") not in sys.path:
    sys.path.insert(0, str(ROOT / "python"))

from floreana.errors import EnvironmentError_, FloreanaError  # noqa: E402 - after sys.path
from floreana.spec.prove import yosys  # noqa: E402 - after sys.path

HERE = Path(__file__).resolve().parent
BUILD = ROOT / "build" / "formal"
FRAMES = 40  # cycles in which a planted bug must show, where its proof has no depth
GOOD = ("proven", "holds")

# tops with one output `bad`
_OUTPUT = (
    "proc -noopt", "flatten", "memory_map", "opt_clean", "setundef -init -zero", "opt -full", "techmap", "opt", "dffunmap", "simplemap",
    "opt_clean", "aigmap", "opt_clean",
)  # fmt: skip
# tops with assertions and assumptions
_ASSERTIONS = (
    "prep -flatten", "chformal -cover -remove", "memory_map", "opt -full", "async2sync", "dffunmap", "setundef -undriven -anyseq",
    "setundef -init -zero", "simplemap", "techmap", "opt -full -nodffe -nosdff", "dffunmap", "simplemap", "aigmap", "opt_clean",
)  # fmt: skip


class ProofError(FloreanaError):
    """proofs.toml does not fit the sources, or a tool's answer is none."""


@dataclass(frozen=True, slots=True)
class Change:
    """A text that occurs once in a file, and what takes its place."""

    name: str
    file: str
    old: str
    new: str
    cases: tuple[Mapping[str, int], ...] = ()  # of a bug: where it is looked for (none: in the first case)


@dataclass(frozen=True, slots=True)
class Proof:
    """One property of ``top``: its output ``bad`` never rises, or (``assertions``) none of its assertions fails.

    ``cases`` are its parameter sets, ``seconds`` the limit of each, ``depth`` the cycles looked at (0: any number), ``quick_depth`` the
    same in a quick run. ``diagram``: by a binary decision diagram of each cycle's output, for multipliers, which defeat the others.
    ``clocks`` (with ``assertions``): clocks are inputs of the top, free in each step; a cycle of the proof is a step.
    """

    name: str
    title: str
    top: str
    files: tuple[str, ...]
    cases: tuple[Mapping[str, int], ...]
    seconds: int
    depth: int
    quick_depth: int
    quick: bool
    assertions: bool
    diagram: bool
    clocks: bool
    patches: tuple[Change, ...]
    bugs: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """proven (for ever), holds (for ``frames`` cycles), refuted (in cycle ``frames``) or undecided; seconds of both tools."""

    result: str
    seconds: float
    frames: int


@dataclass(frozen=True, slots=True)
class Job:
    """A proof's case, with a planted bug or as it is."""

    proof: Proof
    case: Mapping[str, int]
    bug: Change | None
    depth: int

    @property
    def label(self) -> str:
        parts = [self.proof.name, *(f"{k}{v}" for k, v in self.case.items()), *([re.sub(r"\W+", "_", self.bug.name)] if self.bug else [])]
        return "-".join(parts)

    @property
    def text(self) -> str:
        shape = ", ".join(f"{name}={value}" for name, value in self.case.items())
        return f"{self.proof.name:17} {shape:32} {f'planted: {self.bug.name}' if self.bug else 'as it is'}"

    def good(self, answer: Answer) -> bool:
        return answer.result == "refuted" if self.bug else answer.result in GOOD


def _change(entry: Mapping[str, Any]) -> Change:
    return Change(entry["name"], entry["file"], entry["old"], entry["new"], tuple(entry.get("cases", ())))


def proofs(path: Path = HERE / "proofs.toml") -> list[Proof]:
    """All proofs of the list, in its order."""
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    return [
        Proof(
            name=entry["name"], title=entry["title"], top=entry["top"], files=tuple(entry["files"]), cases=tuple(entry.get("cases", ({},))),
            seconds=entry["seconds"], depth=entry.get("depth", 0), quick_depth=entry.get("quick_depth", entry.get("depth", 0)),
            quick=entry.get("quick", False), assertions=entry.get("assertions", False),
            diagram=entry.get("diagram", False), clocks=entry.get("clocks", False),
            patches=tuple(_change(patch) for patch in found.get("patch", ()) if patch["name"] == entry.get("patches")),
            bugs=tuple(_change(bug) for bug in entry.get("bug", ())),
        )
        for entry in found["proof"]
    ]  # fmt: skip


def named(name: str) -> Proof:
    """The proof of this name."""
    return next(proof for proof in proofs() if proof.name == name)


def sources(proof: Proof, folder: Path, bug: Change | None) -> list[Path]:
    """Copies of the proof's files with its patches, and the bug, in them; ProofError where a text does not occur exactly once."""
    changes = [*proof.patches, *([bug] if bug else [])]
    unknown = {change.file for change in changes} - set(proof.files)
    if unknown:
        raise ProofError(f"proof {proof.name}: {', '.join(sorted(unknown))} is changed but is not one of its files; add it in proofs.toml")
    out: list[Path] = []
    for file in proof.files:
        text = (ROOT / file[1:] if file.startswith("/") else HERE / file).read_text(encoding="utf-8")
        for change in changes:
            if change.file != file:
                continue
            if text.count(change.old) != 1:
                raise ProofError(
                    f"proof {proof.name}, change {change.name!r}: {change.old!r} occurs {text.count(change.old)} times in {file}, not once;"
                    " bring proofs.toml up to date"
                )
            text = text.replace(change.old, change.new)
        out.append(folder / f"{len(out)}_{Path(file).name}")
        out[-1].write_text(text, encoding="utf-8")
    return out


def abc(script: str, seconds: int) -> str:
    """What ABC, as pyosys brings it along, prints; the little it printed where it ran out of time."""
    package = importlib.util.find_spec("pyosys")
    tool = Path(package.origin).parent / "yosys-abc" if package is not None and package.origin is not None else None
    if tool is None or not tool.exists():
        raise EnvironmentError_("pyosys with its yosys-abc is missing: make env-test")
    try:
        done = subprocess.run(
            [str(tool), "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout + done.stderr


def check(proof: Proof, case: Mapping[str, int], bug: Change | None = None, *, depth: int | None = None, build: Path = BUILD) -> Answer:
    """Prove one case, or look for a run that shows the bug planted in it. ``depth`` in cycles instead of the proof's (0: any length)."""
    started = time.monotonic()
    cycles = (proof.depth or FRAMES if bug else proof.depth) if depth is None else depth
    folder = build / Job(proof, case, bug, cycles).label
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = sources(proof, folder, bug)
    graph = folder / "proof.aig"
    given = "".join(f" -chparam {name} {value}" for name, value in case.items())
    reads = [f"read_verilog -defer {'-formal ' if proof.assertions else ''}{file}" for file in files]
    steps: tuple[str, ...] = _ASSERTIONS if proof.assertions else _OUTPUT
    if proof.clocks:
        steps = tuple("clk2fflogic" if step == "async2sync" else step for step in steps)
    yosys([*reads, f"hierarchy -check -top {proof.top}{given}", *steps, f"write_aiger -zinit {graph}"], folder, "graph", 120)
    if proof.diagram:
        engine = f"strash; frames -F {proof.depth} -i; strash; collapse -B 100000000; strash; orpos; sat"
    elif cycles:
        # merging equal registers costs seconds and pays where many cycles are looked at
        merge = "scorr -F 2; " if proof.assertions and cycles > (60 if bug else 30) else ""
        engine = f"strash; {merge}bmc3 -T {proof.seconds} -F {cycles}"
    else:
        engine = f"scorr; dc2; scorr; pdr -T {proof.seconds}"
    text = abc(f"read_aiger {graph}; print_stats; {engine}; print_status", proof.seconds + 60)
    if "network is combinational" in text:  # merging equal registers has left none: pdr says nothing then
        text += abc(f"read_aiger {graph}; scorr; dc2; scorr; sat", proof.seconds + 60)
    (folder / "abc.log").write_text(text, encoding="utf-8")
    if text and not proof.assertions and not re.search(r"i/o = +\d+/ +1 ", text):
        raise ProofError(f"{graph} has not one output:\n{text[-1000:]}")
    seconds = time.monotonic() - started
    failed = re.search(r"was asserted in frame (\d+)", text)
    status = re.findall(r"^Status = (-?\d+) +Frames = (-?\d+)", text, re.MULTILINE)
    code, frames = (status[-1][0], int(status[-1][1])) if status else ("-1", 0)
    if found := re.search(r"^(UN)?SATISFIABLE", text, re.MULTILINE):
        good = "holds" if proof.diagram else "proven"
        return Answer(good if found.group(1) else "refuted", seconds, proof.depth)
    if failed or code == "0":
        return Answer("refuted", seconds, int(failed.group(1)) if failed else frames)
    if code == "1":
        return Answer("proven", seconds, frames)
    clean = re.search(r"No output asserted in (\d+) frames", text)
    if cycles and clean and int(clean.group(1)) >= cycles:
        return Answer("holds", seconds, int(clean.group(1)))
    return Answer("undecided", seconds, int(clean.group(1)) if clean else max(frames, 0))


def jobs_of(chosen: Sequence[Proof], quick: bool) -> list[Job]:
    """Everything to be run; in a quick run the first case and the first bug of each."""
    jobs: list[Job] = []
    for proof in chosen:
        depth = proof.quick_depth if quick else proof.depth
        jobs += [Job(proof, case, None, depth) for case in proof.cases[: 1 if quick else None]]
        for bug in proof.bugs[: 1 if quick else None]:
            cases = bug.cases or proof.cases[:1]
            jobs += [Job(proof, case, bug, depth or FRAMES) for case in cases[: 1 if quick else None]]
    return jobs


def run(jobs: Sequence[Job], at_once: int, build: Path = BUILD) -> int:
    """Run jobs, a line as each begins and ends, then the table of verdicts; the number of answers that are not as they must be."""

    def one(job: Job) -> Answer:
        print(f"  ...    {job.text}", flush=True)
        answer = check(job.proof, job.case, job.bug, depth=job.depth, build=build)
        print(f"{answer.seconds:5.1f} s  {job.text}: {answer.result}{'' if job.good(answer) else '   <-- WRONG'}", flush=True)
        return answer

    print(f"formal: {len(jobs)} answers, {at_once} at a time", flush=True)
    begin = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        answers = list(pool.map(one, jobs))
    wrong, last = 0, ""
    print(f"\n{'proof':17} {'case':32} {'answer':10} cycles  seconds")
    for job, answer in zip(jobs, answers, strict=True):
        if job.proof.name != last:
            last = job.proof.name
            print(f"{last}: {job.proof.title}")
        good = job.good(answer)
        wrong += not good
        shape = ", ".join(f"{name}={value}" for name, value in job.case.items())
        what = f"  planted: {job.bug.name}" if job.bug else ""
        cycles = "any" if answer.result == "proven" else str(answer.frames)
        print(f"{'':17} {shape:32} {answer.result:10} {cycles:>6} {answer.seconds:8.1f}{what}{'' if good else '   <-- WRONG'}")
    print(f"formal: {time.monotonic() - begin:.0f} s, checked {len(jobs)} equal {len(jobs) - wrong}", flush=True)
    return wrong


def main(argv: Sequence[str] | None = None) -> int:
    """The command; exit codes see the head."""
    parser = argparse.ArgumentParser(prog="prove.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="proofs, or beginnings of their names (default: all)")
    parser.add_argument("--quick", action="store_true", help="less depth, the first case and the first bug of the quick ones")
    parser.add_argument("--list", action="store_true", help="print the proofs and end")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at a time (one a core)")
    options = parser.parse_args(argv)
    every = proofs()
    chosen = [
        proof for proof in every
        if (not options.names or any(proof.name.startswith(name) for name in options.names)) and (proof.quick or not options.quick)
    ]  # fmt: skip
    if not chosen:
        print(f"no such proof; there are {', '.join(proof.name for proof in every)}", file=sys.stderr)
        return 2
    if options.list:
        for proof in chosen:
            reach = f"{proof.depth} cycles" if proof.depth else "any length"
            shape = f"{len(proof.cases)} cases, {len(proof.bugs)} bugs, {reach}{', quick' if proof.quick else ''}"
            print(f"{proof.name:17} {shape}: {proof.title}")
        return 0
    try:
        return 1 if run(jobs_of(chosen, options.quick), max(options.jobs, 1)) else 0
    except EnvironmentError_ as error:
        print(error, file=sys.stderr)
        return 3
    except ProofError as error:
        print(error, file=sys.stderr)
        return 4


if __name__ == "__main__":
    sys.exit(main())
