# SPDX-License-Identifier: Apache-2.0
"""Building the simulator of a cluster with Verilator or Icarus, once: a build is found again by the hash of all it depends on."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import cocotb_tools.config

from floreana.environment import (
    VERILATOR_MAKEFLAGS,
    find_tool,
    missing_tool_message,
    project_root,
    tool_environment,
)
from floreana.errors import EnvironmentError_, FloreanaError
from floreana.sim.process import complaints, run_logged

SIMULATORS = ("verilator", "icarus")
_WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
_COMMENT = re.compile(rb"//[^\n]*|/\*.*?\*/", re.S)


@dataclass(frozen=True, slots=True)
class Simulator:
    """A built simulator. ``seconds`` is what building took, 0 where it was there already."""

    kind: str
    top: str
    folder: Path
    seconds: float


def sources_of(top: str, own: Mapping[str, str], folders: Iterable[Path]) -> dict[str, bytes]:
    """Text by module name of ``top`` and of every module below it. A file holds the module of its name.

    ``own`` are generated files by name; folders are searched in order, the first file of a name counts.
    """
    known: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.v")):
            known.setdefault(path.stem, path)
    generated = {name.removesuffix(".v"): text.encode() for name, text in own.items()}
    found: dict[str, bytes] = {}
    queue = [top]
    while queue:
        name = queue.pop()
        if name in found:
            continue
        found[name] = generated[name] if name in generated else known[name].read_bytes()
        words = {word.decode() for word in _WORD.findall(_COMMENT.sub(b" ", found[name]))}
        queue += sorted(word for word in words if word in generated or word in known)
    return dict(sorted(found.items()))


def rtl_folders() -> list[Path]:
    """Where modules are looked for: the bench's own, then every room of rtl/."""
    root = project_root()
    return [root / "tb" / "cluster", *sorted(path for path in (root / "rtl").iterdir() if path.is_dir())]


def _cpu() -> str:
    """What -march=native depends on."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return line
    except OSError:
        pass
    return platform.processor()


def _identity(kind: str, env: Mapping[str, str]) -> str:
    tool = {"verilator": "verilator", "icarus": "iverilog"}[kind]
    path = find_tool(tool, env)
    if path is None:
        raise EnvironmentError_(missing_tool_message(tool))
    if kind == "verilator":
        for other, package in (("g++", "g++"), ("make", "make"), ("perl", "perl")):
            if find_tool(other, env) is None:
                raise EnvironmentError_(f"{other} is not found, Verilator needs it: install the package `{package}`")
    flag = "--version" if kind == "verilator" else "-V"
    found = subprocess.run([path, flag], env=dict(env), capture_output=True, text=True, check=False)
    return f"{found.stdout.splitlines()[0] if found.stdout else path}; cocotb {version('cocotb')}"


def verilator_flags(optimise: str, bare: bool) -> list[str]:
    """Flags of every Verilator build: arithmetic loops vectorised by the C++ compiler. ``bare``: no cocotb, Verilator's own main."""
    name, make_values = VERILATOR_MAKEFLAGS
    return [
        *(("--main",) if bare else ("--vpi",)),
        *("--cc", "--exe", "--timing", "+1364-2005ext+v", "--prefix", "Vtop", "-Wno-fatal", "-Wno-WIDTHEXPAND"),
        *("-CFLAGS", f"{optimise} -march=native -std=gnu++20"),
        *(name, f"{make_values} OPT_FAST= OPT_SLOW= OPT_GLOBAL=-O1"),
    ]


def build(
    *,
    kind: str,
    top: str,
    own: Mapping[str, str],
    folder: Path,
    log: Path,
    jobs: int,
    hier: bool,
    folders: list[Path] | None = None,
    optimise: str = "-O3",
    bare: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> Simulator:
    """Build ``top`` below ``folder``, or find it there. ``tell`` gets a short line whenever there is progress."""
    env = tool_environment()
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"):  # of a make that called us, not for the one below us
        env.pop(name, None)
    sources = sources_of(top, own, rtl_folders() if folders is None else folders)
    digest = hashlib.sha256()
    for part in (
        *(kind, top, str(hier), str(bare), optimise, _identity(kind, env), _cpu() if kind == "verilator" else ""),
        *(str(cocotb_tools.config.libs_dir), *verilator_flags(optimise, bare)),
    ):
        digest.update(part.encode() + b"\0")
    for name, text in sources.items():
        digest.update(name.encode() + b"\0" + text + b"\0")
    target = folder / f"{kind}-{top}-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{kind}-{top}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be building the same: wait for it
        return _build(kind, top, sources, target, log, env, jobs, hier, optimise, bare, tell)


def _build(
    kind: str,
    top: str,
    sources: Mapping[str, bytes],
    target: Path,
    log: Path,
    env: Mapping[str, str],
    jobs: int,
    hier: bool,
    optimise: str,
    bare: bool,
    tell: Callable[[str], None],
) -> Simulator:
    if (target / "complete").exists():
        tell(f"{kind}: built already")
        return Simulator(kind, top, target, 0.0)
    folder = target.parent
    begin = time.monotonic()
    scratch = folder / f".{target.name}.{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        source_folder = scratch / "src"
        source_folder.mkdir(parents=True)
        for name, text in sources.items():
            (source_folder / f"{name}.v").write_bytes(text)
        files = [f"src/{name}.v" for name in sources]
        if kind == "verilator":
            _build_verilator(top, files, scratch, log, env, jobs, hier, optimise, bare, tell)
        else:
            tell("icarus: compiling")
            command = ["iverilog", "-g2005", "-s", top, "-o", "sim.vvp", *files]
            if run_logged([find_tool("iverilog", env) or "", *command[1:]], log=log, env=env, cwd=scratch):
                raise FloreanaError(f"Icarus could not build {top}; the log {log} says\n{complaints(log)}")
        for leftover in scratch.rglob("*.o"):
            leftover.unlink()
        (scratch / "complete").write_text("")
        for old in folder.glob(f"{kind}-{top}-*"):
            shutil.rmtree(old, ignore_errors=True)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Simulator(kind, top, target, time.monotonic() - begin)


def file_names(folder: Path) -> list[str]:
    """Names of all files below a folder in which others work: what vanishes while it is read counts as gone."""
    return [name for _, _, names in os.walk(folder) for name in names]


def _build_verilator(
    top: str,
    files: list[str],
    scratch: Path,
    log: Path,
    env: Mapping[str, str],
    jobs: int,
    hier: bool,
    optimise: str,
    bare: bool,
    tell: Callable[[str], None],
) -> None:
    libs = cocotb_tools.config.libs_dir
    main = Path(cocotb_tools.config.share_dir) / "lib" / "verilator" / "verilator.cpp"
    tell("verilator: translating Verilog to C++")
    command: list[str | Path] = [find_tool("verilator", env) or ""]
    command += verilator_flags(optimise, bare)
    command += ["--build", "-j", str(jobs), "-Mdir", "obj", "--top-module", top, "-o", "sim"]
    command += ["--hierarchical"] if hier else []
    if not bare:
        command += ["-LDFLAGS", f"-Wl,-rpath,{libs} -L{libs} -lcocotbvpi_verilator", main]
    command += files
    objects = scratch / "obj"
    begin, shown = time.monotonic(), ""

    def poll() -> None:
        nonlocal shown
        names = file_names(objects)
        todo = sum(name.endswith(".cpp") and not name.endswith("__ALL.cpp") for name in names)
        made = min(todo, sum(name.endswith(".o") for name in names))  # the objects of libraries are counted too
        text = f"verilator: compiling C++, {made} of about {todo} files" if made else "verilator: translating Verilog to C++"
        if text != shown:
            shown = text
            tell(f"{text} ({time.monotonic() - begin:.0f} s)")

    if run_logged(command, log=log, env=env, cwd=scratch, poll=poll):
        raise FloreanaError(f"Verilator could not build {top}; the log {log} says\n{complaints(log)}")
