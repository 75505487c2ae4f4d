# SPDX-License-Identifier: Apache-2.0
"""`floreana gpu-baseline`: checks the options, finds or makes a Python with torch, measures in it, keeps the result.

torch is no part of .venv. Without GPU_PYTHON the environment .venv-peer is used, the one that `make peer` makes (torch and transformers,
:mod:`floreana.peer.environment`): torch for CPUs where there is no NVIDIA driver, the one of the package index where there is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from floreana.baseline import measure
from floreana.environment import project_root
from floreana.errors import EnvironmentError_, InputError

SEQUENCES = (1, 8, 32, 64, 128, 256, 512)
LONGEST = 512  # position embeddings of BERT
DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("fp32", "fp16")
MODES = ("eager", "compile", "graph")
MOST_RUNS = 100_000
FOLDER = "gpu_baseline"  # below build/


@dataclass(frozen=True, slots=True)
class BaselineOptions:
    """What the command line gives, as text where it is a list."""

    sequences: str = ",".join(map(str, SEQUENCES))
    runs: int = 50
    warmup: int = 10
    device: str = "auto"
    dtype: str | None = None
    mode: str = "eager"
    threads: int | None = None
    gpu_python: str | None = None
    torch_index: str | None = None
    out: Path | None = None


def _words(name: str, text: str, known: Sequence[str], problems: list[str]) -> list[str]:
    words = list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    wrong = [word for word in words if word not in known]
    if wrong or not words:
        problems.append(f"{name}={text}: {', '.join(wrong) or 'nothing'} is not known; choose {', '.join(known)}")
    return words


def request(options: BaselineOptions) -> dict[str, Any]:
    """What is measured. InputError with everything that is wrong."""
    problems: list[str] = []
    sequences: list[int] = []
    for word in options.sequences.split(","):
        if word.strip().isascii() and word.strip().isdigit() and 1 <= int(word) <= LONGEST:
            sequences.append(int(word))
        else:
            problems.append(f"SEQUENCES={options.sequences}: {word.strip()!r} is no length from 1 to {LONGEST}; write for example 1,128")
    modes = _words("MODE", options.mode, MODES, problems)
    dtypes = [] if options.dtype is None else _words("DTYPE", options.dtype, DTYPES, problems)
    if options.device not in DEVICES:
        problems.append(f"DEVICE={options.device} is not known; choose {', '.join(DEVICES)}")
    for name, value, least in (("RUNS", options.runs, 1), ("WARMUP", options.warmup, 0), ("THREADS", options.threads, 1)):
        if value is not None and not least <= value <= MOST_RUNS:
            problems.append(f"{name}={value}: choose {least} to {MOST_RUNS:,}")
    if options.torch_index is not None and not options.torch_index.startswith(("https://", "http://", "file://")):
        problems.append(f"TORCH_INDEX={options.torch_index} is no address of a package index, for example https://pypi.org/simple")
    if options.torch_index is not None and options.gpu_python is not None:
        problems.append("TORCH_INDEX belongs to the environment that is made without GPU_PYTHON; give one of the two")
    if problems:
        raise InputError("\n".join(problems))
    return {
        "sequences": sorted(set(sequences)),
        "runs": options.runs,
        "warmup": options.warmup,
        "device": options.device,
        "dtypes": dtypes,
        "modes": modes,
        "threads": options.threads,
    }


def has_nvidia() -> bool:
    """True where an NVIDIA driver is loaded."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def find_python(options: BaselineOptions, tell: Callable[[str], None]) -> Path:
    """The Python that measures. InputError, EnvironmentError_."""
    if options.gpu_python is not None:
        found = shutil.which(options.gpu_python)
        if found is None:
            raise InputError(f"GPU_PYTHON={options.gpu_python} is no program; name a Python that has torch, or leave it out")
        return Path(found)
    from floreana.peer import environment

    index = options.torch_index
    if index is None and not (has_nvidia() or options.device == "cuda"):
        index = environment.CPU_INDEX
        tell(f"no NVIDIA driver is loaded: torch for CPUs, from {index} (TORCH_INDEX= names another)")
    return environment.ensure(project_root(), index)


def slug(name: str) -> str:
    """A device's name as a file's."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def read_baseline(path: Path) -> dict[str, Any]:
    """A file of `gpu-baseline`, checked. InputError."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != measure.FORMAT:
            raise ValueError(f"format {content['format']}, {measure.FORMAT} is known")
        for name, kind in (("device", str), ("type", str), ("torch", str), ("model", str), ("sizes", dict), ("rows", list)):
            if not isinstance(content[name], kind) or not content[name]:
                raise ValueError(f"{name} is no {kind.__name__}, or empty")
        for row in content["rows"]:
            if not (0 < row["min_ms"] <= row["q1_ms"] <= row["median_ms"] <= row["q3_ms"] <= row["max_ms"] and row["runs"] > 0):
                raise ValueError(f"times are out of order at {row['tokens']} tokens")
            if row["dtype"] not in DTYPES or row["mode"] not in MODES:
                raise ValueError(f"{row['dtype']} {row['mode']} is not known")
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path}: no result of `make gpu-baseline`: {what}; remove it, and run that again") from error
    return content


def read_baselines(base: Path) -> list[dict[str, Any]]:
    """All results below ``base``, the build folder, by file name."""
    return [read_baseline(path) for path in sorted((base / FOLDER).glob("*.json"))]


def gpu_baseline(options: BaselineOptions, tell: Callable[[str], None]) -> Path:
    """Measure; the file written, build/gpu_baseline/<device>.json."""
    asked = request(options)
    python = find_python(options, tell)
    folder = (project_root() / "build" if options.out is None else options.out).absolute() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
    env |= {"PYTHONPATH": str(project_root() / "python"), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    handle, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        command = [str(python), "-m", "floreana.baseline.measure", json.dumps(asked), str(temporary)]
        code = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, check=False).returncode
        if code == measure.EXIT_BAD:
            raise InputError("nothing was measured (the line above says why)")
        if code:
            raise EnvironmentError_(f"nothing was measured: {python} ended with exit code {code}; what it said stands above")
        content = read_baseline(temporary)
        if content["type"] == "cpu" and has_nvidia() and options.device == "auto":
            tell(f"an NVIDIA driver is loaded, but torch {content['torch']} sees no GPU; GPU_PYTHON= names a Python whose torch does")
        path = folder / f"{slug(content['device'])}.json"
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
