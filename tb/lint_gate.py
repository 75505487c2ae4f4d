#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Dialect gate: every module of rtl/ as its own top, at several parameter sets, under Verilator and Icarus; any output fails.

  python3 tb/lint_gate.py                  everything
  python3 tb/lint_gate.py ibert_linear net_   only modules whose name is or begins with one of these
  python3 tb/lint_gate.py --illegal        also build every illegal parameter set, which must fail

Parameter sets: tb/lint_params.toml. Waivers: tb/lint_waivers.toml. Also checked: one module per file, named like it and prefixed by
its room, head and tail directives, file lists complete, an SPDX line in every source.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for _folder in (ROOT / "python", ROOT / "tb"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

from floreana.environment import find_tool, missing_tool_message, tool_environment  # noqa: E402 - after sys.path
from floreana_tb.runner import candidate_sources, reached, read_file_list  # noqa: E402 - after sys.path

PARAMS = ROOT / "tb" / "lint_params.toml"
WAIVERS = ROOT / "tb" / "lint_waivers.toml"
PREFIXES = {"axis": "axis_", "ibert": "ibert_", "net": "net_", "node": "node_"}
SETS = ("smallest", "odd")  # beside the default, which needs no entry
TOOLS = ("verilator", "icarus")

Value = int | str

_SPDX = "SPDX-License-Identifier: Apache-2.0"
_SOURCE_SUFFIXES = {".v", ".vh", ".py", ".sh", ".j2", ".toml", ".yaml", ".yml", ".cfg", ".cff", ".vlt"}
_SOURCE_NAMES = {"Makefile", "run"}
_HEAD = re.compile(r"^`resetall\n`timescale 1ns ?/ ?1ps\n`default_nettype none\n", re.MULTILINE)
_MESSAGE_START = re.compile(r"^(%(Warning|Error)|\S+?:\d+: )", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Case:
    """One module at one parameter set."""

    module: str
    label: str
    parameters: tuple[tuple[str, Value], ...]

    def __str__(self) -> str:
        shown = " ".join(f"{k}={v}" for k, v in self.parameters)
        return f"{self.module} {self.label}" + (f" ({shown})" if shown else "")


@dataclass(frozen=True, slots=True)
class Waiver:
    tool: str
    file: str
    rule: str
    match: str
    reason: str
    line: int = 0  # 0: any line

    def covers(self, tool: str, message: str) -> bool:
        place = f"{self.file}:{self.line}:" if self.line else f"{self.file}:"
        return tool == self.tool and place in message and self.rule in message and self.match in message


@dataclass(frozen=True, slots=True)
class Parameters:
    """Contents of lint_params.toml: module -> named sets, module -> rule -> illegal set."""

    sets: dict[str, dict[str, dict[str, Value]]]
    illegal: dict[str, dict[str, dict[str, Value]]]


def load_parameters(path: Path = PARAMS) -> Parameters:
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    sets: dict[str, dict[str, dict[str, Value]]] = {}
    illegal: dict[str, dict[str, dict[str, Value]]] = {}
    for module, entry in data.items():
        unknown = set(entry) - {*SETS, "illegal"}
        if unknown:
            raise SystemExit(f"{path.name}: [{module}] has {sorted(unknown)}; known are {', '.join(SETS)} and illegal")
        sets[module] = {name: entry[name] for name in SETS if name in entry}
        illegal[module] = entry.get("illegal", {})
    return Parameters(sets, illegal)


def load_waivers(path: Path = WAIVERS) -> list[Waiver]:
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("waiver", [])
    waivers = [Waiver(**{"match": "", **entry}) for entry in entries]
    for waiver in waivers:
        if len(waiver.reason) < 10:
            raise SystemExit(f"{path.name}: the waiver of {waiver.rule} in {waiver.file} gives no reason")
    return waivers


def rtl_files() -> dict[str, Path]:
    return {path.stem: path for path in sorted((ROOT / "rtl").glob("*/*.v"))}


def param_error_rules(module: str, path: Path) -> list[str]:
    """Rules that a file checks: names after PARAM_ERROR_, and after the module's own name where that follows."""
    names = set(re.findall(r"^\s*PARAM_ERROR_(\w+)\s", path.read_text(encoding="utf-8"), re.MULTILINE))
    return sorted(name.removeprefix(f"{module}_") for name in names)


def _literal(value: Value) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def lint_command(tool: str, case: Case, files: Sequence[Path]) -> list[str]:
    names = [str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path) for path in files]
    if tool == "verilator":
        # 'sd makes the override unsized like a plain number in the source; -GX=5 is a sized 32-bit constant and warns of widths
        values = [f"-G{k}={'' if isinstance(v, str) or v < 0 else chr(39) + 'sd'}{_literal(v)}" for k, v in case.parameters]
        head = ["verilator", "--lint-only", "-Wall", "--language", "1364-2005", "--top-module", case.module]
        return [*head, *values, *names]
    values = [f"-P{case.module}.{k}={_literal(v)}" for k, v in case.parameters]
    return ["iverilog", "-g2005", "-gno-xtypes", "-Wall", "-t", "null", "-s", case.module, *values, *names]


def run_tool(command: Sequence[str], env: Mapping[str, str], timeout_s: float = 600) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            check=False, text=True, timeout=timeout_s,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 1, f"{command[0]} did not end within {timeout_s:.0f} s"
    return done.returncode, done.stdout


def split_messages(text: str) -> list[str]:
    """Tool output as messages: a first line with its continuation lines."""
    starts = [match.start() for match in _MESSAGE_START.finditer(text)]
    if not starts or starts[0] != 0:
        starts = [0, *starts]
    pieces = [text[a:b].strip() for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
    return [piece for piece in pieces if piece]


def unwaived(tool: str, code: int, text: str, waivers: Sequence[Waiver], used: set[Waiver]) -> list[str]:
    """What is left of a run's output; a failing exit code with all messages waived is only Verilator's count of warnings."""
    left = []
    for message in split_messages(text):
        if message.startswith(("%Error: Exiting due to", "- ")):
            continue
        covering = [waiver for waiver in waivers if waiver.covers(tool, message)]
        used.update(covering)
        if not covering:
            left.append(message)
    if code != 0 and not left and not any(w for w in waivers if w.tool == tool):
        left.append(text.strip() or f"exit code {code} without a message")
    return left


def cases_of(module: str, parameters: Parameters) -> list[Case]:
    named = parameters.sets.get(module, {})
    cases = [Case(module, "default", ())]
    cases.extend(Case(module, name, tuple(sorted(values.items()))) for name, values in named.items())
    return cases


def illegal_cases(module: str, path: Path, parameters: Parameters) -> tuple[list[Case], list[str]]:
    """Cases that must fail, and complaints about rules without one (or cases without a rule)."""
    rules = param_error_rules(module, path)
    given = parameters.illegal.get(module, {})
    problems = [f"{module}: rule {rule} has no illegal set in {PARAMS.name}" for rule in rules if rule not in given]
    problems += [f"{PARAMS.name}: {module} has no rule {rule}" for rule in given if rule not in rules]
    return [Case(module, rule, tuple(sorted(given[rule].items()))) for rule in rules if rule in given], problems


def check_illegal(case: Case, files: Sequence[Path], env: Mapping[str, str]) -> list[str]:
    """An illegal set must stop both tools with the rule's own name."""
    problems = []
    for tool in TOOLS:
        code, text = run_tool(lint_command(tool, case, files), env)
        if code == 0 or not re.search(rf"\bPARAM_ERROR_(?:{case.module}_)?{case.label}\b", text):
            problems.append(f"{case} under {tool}: accepted, or failed for another reason (code {code})\n{text[:600]}")
    return problems


def style_problems(files: Mapping[str, Path]) -> list[str]:
    """One module per file, names, room prefixes, head, tail, file lists."""
    problems = []
    for stem, path in files.items():
        text = path.read_text(encoding="utf-8")
        where = path.relative_to(ROOT)
        modules = re.findall(r"^\s*module\s+(\w+)", text, re.MULTILINE)
        if modules != [stem]:
            problems.append(f"{where}: holds modules {modules}, not only {stem}")
        prefix = PREFIXES.get(path.parent.name)
        if prefix is None or not stem.startswith(prefix):
            problems.append(f"{where}: modules of this room begin with {prefix}")
        if not _HEAD.search(text):
            problems.append(f"{where}: head directives are not `resetall, `timescale 1ns/1ps, `default_nettype none")
        if not text.rstrip().endswith("`resetall"):
            problems.append(f"{where}: does not end with `resetall")
    for room in sorted({path.parent for path in files.values()}):
        listed = {path.resolve() for flist in room.glob("*.f") for path in read_file_list(flist)}
        for path in listed:
            if not path.is_file():
                problems.append(f"rtl/{room.name}: a file list names {path.name}, which does not exist")
        for path in sorted(room.glob("*.v")):
            if path.resolve() not in listed:
                problems.append(f"{path.relative_to(ROOT)}: in no file list of its room")
    return problems


def source_files() -> list[Path]:
    """All files of the project that git tracks or would track (all files outside build folders where there is no git)."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode == 0:
        return [ROOT / name for name in done.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    skip = {"build", ".venv", ".git", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
    return [p for p in sorted(ROOT.rglob("*")) if p.is_file() and not skip & set(p.relative_to(ROOT).parts)]


def spdx_problems(paths: Iterable[Path]) -> list[str]:
    problems = []
    for path in paths:
        if path.suffix in _SOURCE_SUFFIXES or path.name in _SOURCE_NAMES:
            with path.open(encoding="utf-8", errors="replace") as handle:
                head = "".join(line for _, line in zip(range(5), handle, strict=False))
            if head and _SPDX not in head:  # an empty file states nothing that a licence could cover
                problems.append(f"{path.relative_to(ROOT)}: no `{_SPDX}` in its first five lines")
    return problems


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="module names or beginnings of names (default: all)")
    parser.add_argument("--illegal", action="store_true", help="also build every illegal parameter set, which must fail")
    parser.add_argument("--jobs", type=int, default=2, help="tools at a time (default 2)")
    args = parser.parse_args(argv)

    env = tool_environment()
    for tool in ("verilator", "iverilog"):
        if find_tool(tool, env) is None:
            print(missing_tool_message(tool), file=sys.stderr)
            return 3
    files = rtl_files()
    chosen = {m: p for m, p in files.items() if not args.modules or any(m.startswith(a) for a in args.modules)}
    if not chosen:
        print(f"no module of rtl/ is or begins with {', '.join(args.modules)}", file=sys.stderr)
        return 2
    parameters, waivers = load_parameters(), load_waivers()
    problems: list[str] = [] if args.modules else spdx_problems(source_files())
    problems += style_problems(files) if not args.modules else []
    problems += [f"{PARAMS.name}: no module {m} in rtl/" for m in parameters.sets if m not in files and not args.modules]

    candidates = candidate_sources(None)
    closure = {module: reached(module, candidates) for module in chosen}
    jobs: list[tuple[Case, str]] = [(c, t) for m in chosen for c in cases_of(m, parameters) for t in TOOLS]
    illegal: list[Case] = []
    for module, path in chosen.items():
        cases, complaints = illegal_cases(module, path, parameters)
        problems += complaints
        illegal += cases if args.illegal else []
    missing = [m for m in chosen if not parameters.sets.get(m) and "parameter " in chosen[m].read_text(encoding="utf-8")]
    used: set[Waiver] = set()

    def lint(job: tuple[Case, str]) -> tuple[str, list[str]]:
        case, tool = job
        code, text = run_tool(lint_command(tool, case, closure[case.module]), env)
        left = unwaived(tool, code, text, waivers, used)
        return f"{case} {tool}", [f"{case} under {tool}:\n{message}" for message in left]

    def refuse(case: Case) -> tuple[str, list[str]]:
        return f"{case} refused", check_illegal(case, closure[case.module], env)

    total, bad = len(jobs) + len(illegal), 0
    show = sys.stderr.isatty()
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        pending = [pool.submit(lint, job) for job in jobs] + [pool.submit(refuse, case) for case in illegal]
        for count, future in enumerate(concurrent.futures.as_completed(pending), 1):
            name, found = future.result()
            problems += found
            bad += bool(found)
            if show:
                print(f"\r\x1b[K[{count}/{total}] {name}", end="", file=sys.stderr, flush=True)
            elif count % 25 == 0:
                print(f"[{count}/{total}] linted", file=sys.stderr, flush=True)
    if show:
        print("\r\x1b[K", end="", file=sys.stderr)
    if not args.modules:
        problems += [f"{WAIVERS.name}: waiver of {w.rule} in {w.file} matches nothing" for w in waivers if w not in used]
    for problem in problems:
        print(problem)
    if missing:
        print(f"linted at default parameters only (no entry in {PARAMS.name}): {', '.join(missing)}")
    print(
        f"dialect gate: {len(chosen)} modules, {len(jobs)} lint runs, {len(illegal)} illegal sets, "
        f"{bad} of them with findings, {len(problems)} findings in all"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
