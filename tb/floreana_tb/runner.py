# SPDX-License-Identifier: Apache-2.0
"""``run_unit``: the only caller of cocotb's runner.

Builds a unit in a folder named by a hash of everything that decides the result (the sources that the top really reaches, parameters,
simulator, options), runs one bench module in it and demands that exactly the expected tests ran and passed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import cocotb_tools.runner as cocotb_runner

from floreana.environment import VERILATOR_MAKEFLAGS, find_tool, missing_tool_message, tool_environment

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "tb"
SIMULATORS = ("icarus", "verilator")

ICARUS_ARGS = ("-g2005", "-gno-xtypes")
# -O1: unit benches run seconds, the C++ compiler costs more than it gains
VERILATOR_ARGS = (
    "--language", "1364-2005", "--x-initial", "unique", "--x-assign", "unique", *VERILATOR_MAKEFLAGS,
)  # fmt: skip
VERILATOR_OPT = "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O1"
VERILATOR_MAKE_VARIABLES = VERILATOR_MAKEFLAGS[1].split()

_IDENTIFIER = re.compile(r"\b[A-Za-z_]\w*\b")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


class BenchError(AssertionError):
    """A bench could not be built or did not pass; the message ends with the tail of the log."""


class BuildError(BenchError):
    """The simulator refused or failed to build the unit."""


class TestsFailed(BenchError):
    """Tests failed, or other tests ran than expected."""

    __test__ = False

    def __init__(self, message: str, failed: Sequence[str]) -> None:
        super().__init__(message)
        self.failed = tuple(failed)


# ------------------------------------------------------------------ sources


def candidate_sources(sources: Sequence[str | Path] | None, bench: Path | None = None) -> dict[str, Path]:
    """Module name -> file, for the rooms or files named (None: all rooms), plus the bench's own Verilog.

    An entry with a suffix is a file (``.v``, or a ``.f`` list of files relative to the root), any other a room of ``rtl/``. A later entry
    replaces an earlier one of the same name: that is how a mutated file takes the place of the real one.
    """
    rooms: list[Path] = []
    files: list[Path] = []
    for entry in sources or ():
        path = Path(entry)
        if path.suffix == ".v":
            files.append(path)
        elif path.suffix == ".f":
            files.extend(read_file_list(path))
        elif (ROOT / "rtl" / entry).is_dir():
            rooms.append(ROOT / "rtl" / entry)
        else:
            raise BuildError(f"source {entry!s} is neither a file *.v or *.f nor a room of rtl/")
    if not rooms:  # files alone are additions to, or replacements in, all rooms
        rooms = sorted(p for p in (ROOT / "rtl").iterdir() if p.is_dir())
    found: dict[str, Path] = {}
    for room in rooms:
        found.update((path.stem, path) for path in sorted(room.glob("*.v")))
    if bench is not None:
        found.update((path.stem, path) for path in sorted(bench.parent.glob("*.v")))
    for path in files:
        if not path.is_file():
            raise BuildError(f"source {path} does not exist")
        found[path.stem] = path.resolve()
    return found


def read_file_list(path: Path) -> list[Path]:
    """Files of a ``.f`` list: one a line, relative to the project's root, ``//`` and ``#`` comments, ``-f`` nests."""
    out: list[Path] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.split("//")[0].split("#")[0].strip()
        if not text:
            continue
        if text.startswith("-f "):
            out.extend(read_file_list(ROOT / text[3:].strip()))
        else:
            out.append(ROOT / text)
    return out


def reached(toplevel: str, candidates: Mapping[str, Path]) -> list[Path]:
    """Files that ``toplevel`` reaches, leaves first. One module per file, named like it, so that names are enough."""
    if toplevel not in candidates:
        raise BuildError(f"no source file for module {toplevel}: looked for {toplevel}.v in the given rooms")
    order: list[str] = []
    visiting: set[str] = set()

    def visit(name: str) -> None:
        if name in visiting:
            return
        visiting.add(name)
        text = _COMMENT.sub(" ", candidates[name].read_text(encoding="utf-8"))
        for word in sorted(set(_IDENTIFIER.findall(text))):
            if word in candidates:
                visit(word)
        order.append(name)

    visit(toplevel)
    return [candidates[name] for name in order]


def mutate(module: str, old: str, new: str, folder: Path, count: int = 1) -> Path:
    """Copy of ``rtl/*/module.v`` in ``folder`` with ``old`` replaced by ``new``, for a bench that must fail.

    ``old`` must occur exactly ``count`` times: a mutation that no longer applies is an error, not a green test.
    """
    path = candidate_sources(None)[module]
    text = path.read_text(encoding="utf-8")
    if text.count(old) != count:
        raise BenchError(f"mutation of {module}: {old!r} occurs {text.count(old)} times, not {count}")
    folder.mkdir(parents=True, exist_ok=True)
    mutated = folder / path.name
    mutated.write_text(text.replace(old, new), encoding="utf-8")
    return mutated


# ------------------------------------------------------------------ bench modules


def find_bench(test_module: str) -> Path:
    """File of a bench module: ``unit.test_x`` is tb/unit/test_x.py, ``test_x`` the only tb/*/test_x.py."""
    if "." in test_module:
        path = ROOT / "tb" / (test_module.replace(".", "/") + ".py")
        if not path.is_file():
            raise BenchError(f"bench {test_module}: {path} does not exist")
        return path
    found = sorted((ROOT / "tb").glob(f"*/{test_module}.py"))
    if len(found) != 1:
        raise BenchError(f"bench {test_module}: {len(found)} files tb/*/{test_module}.py, not one")
    return found[0]


def bench_tests(path: Path) -> list[str]:
    """Names of all tests that cocotb would run in a bench module, parametrised ones as ``test/arg=value``."""
    with _import_path(path):
        spec = importlib.util.spec_from_file_location(f"_floreana_bench_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise BenchError(f"{path} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look their module up
        try:
            spec.loader.exec_module(module)
        finally:
            del sys.modules[spec.name]
    names: list[str] = []
    for value in vars(module).values():
        if hasattr(value, "generate_tests") and not isinstance(value, type):
            names.extend(str(test.name) for test in value.generate_tests())
    if not names:
        raise BenchError(f"{path} has no @cocotb.test")
    return names


@contextlib.contextmanager
def _import_path(path: Path) -> Iterator[None]:
    before = list(sys.path)
    extra = [str(path.parent), str(ROOT / "tb"), str(ROOT / "python")]
    sys.path[:0] = [p for p in extra if p not in before]
    try:
        yield
    finally:
        sys.path[:] = before


# ------------------------------------------------------------------ running


class _Icarus(cocotb_runner.Icarus):
    deadline_s: float = 600.0

    def _execute_cmds(self, cmds: Any, cwd: Any, stdout: TextIO | None = None) -> None:
        _execute(cmds, cwd, self.env, stdout, self.deadline_s)


class _Verilator(cocotb_runner.Verilator):
    deadline_s: float = 600.0
    runtime: Path = BUILD / "runtime"

    def _get_parameter_options(self, parameters: Mapping[str, object]) -> list[str]:
        """Unsized like a plain number in the source: -GX=5 would be a sized 32-bit constant, and warn of widths."""
        return [f"-G{k}='sd{v}" if isinstance(v, int) and v >= 0 else f"-G{k}={v}" for k, v in parameters.items()]

    def _build_command(self) -> Any:
        """Only the top's ports are public (all signals public simulate four times slower), and one compiler at a time."""
        commands = super()._build_command()
        index = commands[0].index("--public-flat-rw")
        commands[0][index : index + 1] = ["--public-depth", "1"]
        # cocotb calls make itself: the flags that let g++ work without precompiled headers must be given here too
        commands[1] = [*commands[1], *VERILATOR_OPT.split(" ", 2), *VERILATOR_MAKE_VARIABLES]
        return commands

    def _execute_cmds(self, cmds: Any, cwd: Any, stdout: TextIO | None = None) -> None:
        if len(cmds) != 2:  # not a build
            _execute(cmds, cwd, self.env, stdout, self.deadline_s)
            return
        _execute(cmds[:1], cwd, self.env, stdout, self.deadline_s)
        # Verilator's own runtime is the same in every build and costs most of a small one: compile it once
        for path in sorted(self.runtime.glob("verilated*.o")) if self.runtime.is_dir() else ():
            shutil.copy(path, self.build_dir)
        _execute(cmds[1:], cwd, self.env, stdout, self.deadline_s)
        if not self.runtime.is_dir():
            temporary = self.runtime.with_name(f"{self.runtime.name}.tmp-{os.getpid()}")
            temporary.mkdir(parents=True)
            for path in self.build_dir.glob("verilated*.o"):
                shutil.copy(path, temporary)
            try:
                temporary.rename(self.runtime)
            except OSError:  # another worker was first
                shutil.rmtree(temporary)


def _execute(cmds: Any, cwd: Any, env: Mapping[str, str], stdout: TextIO | None, deadline_s: float) -> None:
    for cmd in cmds:
        try:
            done = subprocess.run(
                cmd, cwd=cwd, env=env, check=False, stdin=subprocess.DEVNULL, stdout=stdout,
                stderr=subprocess.STDOUT, timeout=deadline_s,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{Path(cmd[0]).name} did not end within {deadline_s:.0f} s") from None
        if done.returncode != 0:
            raise RuntimeError(f"{Path(cmd[0]).name} failed with code {done.returncode}")


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _environment(env: Mapping[str, str]) -> Iterator[None]:
    """The runner reads os.environ: give it the tools, and hide pytest (it would end the process on a failure)."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(env)
    for name in ("PYTEST_CURRENT_TEST", "COCOTB_TEST_FILTER", "COCOTB_TESTCASE", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _tail(path: Path, lines: int = 60) -> str:
    if not path.is_file():
        return "(no log)"
    text = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(text[-lines:])


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def run_unit(
    toplevel: str,
    test_module: str,
    *,
    sources: Sequence[str | Path] | None = None,
    parameters: Mapping[str, int] | None = None,
    simulator: str = "icarus",
    expected_tests: Sequence[str] | None = None,
    seed: int = 1,
    extra_env: Mapping[str, str] | None = None,
    extra_args: Sequence[str] = (),
    timeout_s: float = 900.0,
) -> None:
    """Build ``toplevel`` and run the bench ``test_module`` in it.

    ``expected_tests``: names of the tests that must run and pass (None: all of the module); a name without ``/`` stands for all
    its parametrised cases. Only these are run. ``sources``: see ``candidate_sources``. ``extra_args``: to the simulator's build.

    Raises BuildError if the build fails, TestsFailed if a test fails or another set of tests ran. A missing simulator is a failure.
    """
    if simulator not in SIMULATORS:
        raise BuildError(f"simulator {simulator!r} is not one of {', '.join(SIMULATORS)}")
    env = tool_environment()
    for tool in ("iverilog", "vvp") if simulator == "icarus" else ("verilator",):
        if find_tool(tool, env) is None:
            raise BuildError(missing_tool_message(tool))
    bench = find_bench(test_module)
    every = bench_tests(bench)
    wanted = every if expected_tests is None else [n for n in every if _chosen(n, expected_tests)]
    if expected_tests is not None:
        unknown = [n for n in expected_tests if not any(_chosen(have, [n]) for have in every)]
        if unknown:
            raise BenchError(f"{test_module} has no test {', '.join(unknown)}; it has {', '.join(every)}")

    files = reached(toplevel, candidate_sources(sources, bench))
    options = dict(parameters or {})
    args = [*(ICARUS_ARGS if simulator == "icarus" else VERILATOR_ARGS), *extra_args]
    contents = [[path.name, hashlib.sha256(path.read_bytes()).hexdigest()] for path in files]
    versions = [cocotb_runner.__file__, VERILATOR_OPT, shutil.which("g++")]
    key = _digest(toplevel, simulator, options, args, contents, versions)
    build_dir = BUILD / f"{toplevel}-{simulator}-{key}"
    run_key = _digest(test_module, seed, dict(extra_env or {}), wanted)
    run_dir = build_dir / f"run-{bench.stem}-{run_key}"
    shape = ", ".join(f"{k}={v}" for k, v in options.items()) or "defaults"
    label = f"{toplevel} ({shape}) under {simulator}, bench {test_module}, seed {seed}"

    with _environment({**env, **(extra_env or {})}), _import_path(bench):
        runner = _Icarus() if simulator == "icarus" else _Verilator()
        runner.deadline_s = timeout_s
        if isinstance(runner, _Verilator):
            runner.runtime = BUILD / f"runtime-{_digest(args, versions, str(find_tool('verilator', env)))}"
        _build(runner, build_dir, toplevel, files, options, args, label)
        with _locked(run_dir):
            if run_dir.exists():
                shutil.rmtree(run_dir)
            run_dir.mkdir(parents=True)
            results = run_dir / "results.xml"
            log = run_dir / "sim.log"
            chosen = "|".join(re.escape(name) for name in wanted)
            print(f"running {label}: {len(wanted)} tests, log {log.relative_to(ROOT)}", flush=True)
            trouble = ""
            try:
                runner.test(
                    test_module=bench.stem,
                    hdl_toplevel=toplevel,
                    hdl_toplevel_lang="verilog",
                    build_dir=build_dir,
                    test_dir=run_dir,
                    results_xml=str(results),
                    seed=seed,
                    test_filter=rf"^{re.escape(bench.stem)}\.(?:{chosen})$",
                    # registers and memories start at random values, so that a missing reset shows
                    plusargs=[f"+verilator+seed+{seed}", "+verilator+rand+reset+2"] if simulator == "verilator" else [],
                    extra_env=dict(extra_env or {}),
                    log_file=log,
                )
            except (RuntimeError, SystemExit, subprocess.CalledProcessError) as error:
                trouble = str(error)
            _judge(results, wanted, trouble, label, log)
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if re.search(r"checked \d+ equal \d+", line):
            print("  " + line.strip(), flush=True)


def _chosen(name: str, wanted: Sequence[str]) -> bool:
    return name in wanted or name.split("/", maxsplit=1)[0] in wanted


def _build(
    runner: Any, build_dir: Path, toplevel: str, files: Sequence[Path], parameters: Mapping[str, int],
    args: Sequence[str], label: str,
) -> None:  # fmt: skip
    stamp = build_dir / "built"
    with _locked(build_dir):
        if stamp.is_file():
            return
        if build_dir.exists():
            shutil.rmtree(build_dir)
        build_dir.mkdir(parents=True)
        log = build_dir / "build.log"
        try:
            runner.build(
                sources=list(files),
                hdl_toplevel=toplevel,
                parameters=dict(parameters),
                build_args=list(args),
                build_dir=build_dir,
                log_file=log,
                always=True,
            )
        except (RuntimeError, SystemExit, subprocess.CalledProcessError) as error:
            raise BuildError(f"build of {label} failed: {error}\n{_tail(log)}") from None
        for leftover in build_dir.glob("*.o"):
            leftover.unlink()
        stamp.write_text("built\n", encoding="utf-8")


def _judge(results: Path, wanted: Sequence[str], trouble: str, label: str, log: Path) -> None:
    if not results.is_file():
        raise TestsFailed(f"{label}: no results written ({trouble or 'the simulator ended early'})\n{_tail(log)}", wanted)
    ran: list[str] = []
    bad: list[str] = []
    for case in ET.parse(results).getroot().iter("testcase"):
        name = case.get("name", "")
        ran.append(name)
        if any(case.find(kind) is not None for kind in ("failure", "error", "skipped")):
            bad.append(name)
    if sorted(ran) != sorted(wanted):
        missing, surplus = sorted(set(wanted) - set(ran)), sorted(set(ran) - set(wanted))
        raise TestsFailed(
            f"{label}: other tests ran than expected: missing {missing}, surplus {surplus} {trouble}\n{_tail(log)}",
            bad or missing,
        )
    if bad or trouble:
        raise TestsFailed(f"{label}: {len(bad)} of {len(ran)} tests failed: {', '.join(bad)} {trouble}\n{_tail(log, 120)}", bad)
