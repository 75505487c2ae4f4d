#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write requirements.lock anew from the direct pins of pyproject.toml: run after changing one, with the project's Python.

  .venv/bin/python python/relock.py

Resolves once, then asks pip for the wheel of every pin for each supported Python, so that one lock with hashes serves them all.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
HEAD = """# SPDX-License-Identifier: Apache-2.0
# Written by python/relock.py from pyproject.toml; x86-64 Linux, Python {pythons}. Do not edit.
"""


def report(arguments: list[str], python: str) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report.json"
        command = [
            sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed", "--only-binary=:all:",
            "--python-version", python, "--target", f"{folder}/target", "--report", str(out), *arguments,
        ]  # fmt: skip
        subprocess.run(command, check=True)
        installs: list[dict[str, Any]] = json.loads(out.read_text(encoding="utf-8"))["install"]
        return installs


def pin(item: dict[str, Any]) -> tuple[str, str]:
    """Name, as lock files spell it, and version of one line of pip's report."""
    return re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(), item["metadata"]["version"]


def write(target: Path, pins: dict[str, str], head: str) -> None:
    """Ask for the wheel of every pin for each supported Python, and write the lock under its name when it is complete."""
    hashes: dict[str, set[str]] = {name: set() for name in pins}
    for python in PYTHONS:
        print(f"wheels for Python {python}", flush=True)
        for item in report(["--no-deps", *(f"{n}=={v}" for n, v in pins.items())], python):
            hashes[pin(item)[0]].add(item["download_info"]["archive_info"]["hashes"]["sha256"])
    lines = [head.format(pythons=f"{PYTHONS[0]} to {PYTHONS[-1]}")]
    for name in sorted(pins):
        marks = "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(hashes[name]))
        lines.append(f"{name}=={pins[name]}{marks}\n")
    temporary = target.with_suffix(".lock.tmp")
    temporary.write_text("".join(lines), encoding="utf-8")
    temporary.replace(target)
    print(f"{target.name}: {len(pins)} packages")


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    direct = [*project["dependencies"], *(p for group in project["optional-dependencies"].values() for p in group), "pip"]
    print(f"resolving {len(direct)} direct pins", flush=True)
    write(ROOT / "requirements.lock", dict(pin(item) for item in report(direct, PYTHONS[0])), HEAD)


if __name__ == "__main__":
    main()
