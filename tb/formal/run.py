#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Formal proofs of hand-written units: Yosys makes an and-inverter graph, ABC proves that its only output, `bad`, never rises.

  python3 tb/formal/run.py                   every proof, and every planted bug
  python3 tb/formal/run.py switch_store      only proofs whose name is or begins with one of these
  python3 tb/formal/run.py --quick --list

Proofs hold for all sequences of inputs of any length (property-directed reachability), at the sizes of proofs.toml. A planted bug must be
refuted by a run of inputs from the reset (bounded model checking). Registers and memories without a reset start at 0.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
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
FRAMES = 40  # cycles in which a planted bug must show


class ProofError(FloreanaError):
    """A proof that failed, or proofs.toml that does not fit the sources."""


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
    """One property: ``top`` has an output ``bad``. ``cases`` are its parameter sets, ``seconds`` the limit of each."""

    name: str
    title: str
    top: str
    files: tuple[str, ...]
    cases: tuple[Mapping[str, int], ...]
    seconds: int
    quick: bool
    patches: tuple[Change, ...]
    bugs: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """proven, refuted or undecided; seconds of ABC; frames looked at."""

    result: str
    seconds: float
    frames: int


def _change(entry: Mapping[str, Any]) -> Change:
    return Change(entry["name"], entry["file"], entry["old"], entry["new"], tuple(entry.get("cases", ())))


def proofs(path: Path = HERE / "proofs.toml") -> list[Proof]:
    """All proofs of the list, in its order."""
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    return [
        Proof(
            name=entry["name"], title=entry["title"], top=entry["top"], files=tuple(entry["files"]), cases=tuple(entry["cases"]),
            seconds=entry["seconds"], quick=entry.get("quick", False),
            patches=tuple(_change(patch) for patch in found.get("patch", ()) if patch["name"] == entry.get("patches")),
            bugs=tuple(_change(bug) for bug in entry.get("bug", ())),
        )
        for entry in found["proof"]
    ]  # fmt: skip


def place(file: str) -> Path:
    return ROOT / file[1:] if file.startswith("/") else HERE / file


def sources(proof: Proof, folder: Path, bug: Change | None) -> list[Path]:
    """Copies of the proof's files with its patches, and the bug, in them."""
    changes = [*proof.patches, *([bug] if bug else [])]
    unknown = {change.file for change in changes} - set(proof.files)
    if unknown:
        raise ProofError(f"proof {proof.name}: {', '.join(sorted(unknown))} is changed but is not one of its files; add it in proofs.toml")
    out = []
    for file in proof.files:
        text = place(file).read_text(encoding="utf-8")
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


def check(proof: Proof, case: Mapping[str, int], bug: Change | None = None) -> Answer:
    """Prove one case, or look for a run that shows the bug planted in it."""
    label = "-".join([proof.name, *(f"{k}{v}" for k, v in case.items()), *([re.sub(r"\W+", "_", bug.name)] if bug else [])])
    folder = BUILD / label
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = sources(proof, folder, bug)
    graph = folder / "bad.aig"
    given = "".join(f" -chparam {name} {value}" for name, value in case.items())
    lines = [
        *(f"read_verilog -defer {file}" for file in files), f"hierarchy -check -top {proof.top}{given}",
        "proc -noopt", "flatten", "memory_map", "opt_clean", "setundef -init -zero", "opt -full", "techmap", "opt", "dffunmap", "simplemap",
        "opt_clean", "aigmap", "opt_clean", f"write_aiger -zinit {graph}",
    ]  # fmt: skip
    yosys(lines, folder, "graph", 120)
    engine = f"bmc3 -T {proof.seconds} -F {FRAMES}" if bug else f"scorr; dc2; scorr; pdr -T {proof.seconds}"
    started = time.monotonic()
    text = abc(f"read {graph}; print_stats; {engine}; print_status", proof.seconds + 60)
    (folder / "abc.log").write_text(text, encoding="utf-8")
    if not re.search(r"i/o = +\d+/ +1 ", text):
        raise ProofError(f"{graph} has not one output:\n{text[-1000:]}")
    status = re.findall(r"^Status = (-?\d+) +Frames = (-?\d+)", text, re.MULTILINE)
    result = {"1": "proven", "0": "refuted"}.get(status[-1][0] if status else "", "undecided")
    return Answer(result, time.monotonic() - started, int(status[-1][1]) if status else 0)


def run(chosen: Sequence[Proof]) -> int:
    """Run proofs and their bugs, print a table; the number of answers that are not as they must be."""
    wrong = right = 0
    for proof in chosen:
        print(f"{proof.name}: {proof.title}", flush=True)
        jobs: list[tuple[Mapping[str, int], Change | None]] = [(case, None) for case in proof.cases]
        jobs += [(case, bug) for bug in proof.bugs for case in (bug.cases or proof.cases[:1])]
        for case, bug in jobs:
            answer = check(proof, case, bug)
            good = answer.result == ("refuted" if bug else "proven")
            wrong, right = wrong + (not good), right + good
            what = f"bug: {bug.name}" if bug else "all inputs"
            shape = ", ".join(f"{name}={value}" for name, value in case.items())
            mark = "" if good else "   <-- WRONG"
            print(f"  {what:55} {shape:28} {answer.result:10} {answer.frames:3} frames {answer.seconds:6.1f} s{mark}", flush=True)
    print(f"formal: checked {right + wrong} equal {right}", flush=True)
    return wrong


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="proofs, or beginnings of their names (default: all)")
    parser.add_argument("--quick", action="store_true", help="only proofs of a few seconds")
    parser.add_argument("--list", action="store_true", help="print the proofs and end")
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
            print(f"{proof.name:16} {len(proof.cases)} cases, {len(proof.bugs)} bugs{', quick' if proof.quick else ''}: {proof.title}")
        return 0
    try:
        return 1 if run(chosen) else 0
    except EnvironmentError_ as error:
        print(error, file=sys.stderr)
        return 3
    except ProofError as error:
        print(error, file=sys.stderr)
        return 4


if __name__ == "__main__":
    sys.exit(main())
