# SPDX-License-Identifier: Apache-2.0
"""The environment .venv-peer: ``torch`` and ``transformers`` beside the project's own packages, never in .venv.

What it holds: requirements-peer.lock with hashes, and torch with what torch itself asks for. torch has no hash, because
another index (``--torch-index``) serves another build of the same version. Made under a temporary name and renamed when
complete; a stamp makes the second call start at once.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import bootstrap
import relock

from floreana.errors import EnvironmentError_

VENV_NAME = ".venv-peer"
LOCK_FILE = "requirements-peer.lock"
TORCH = "torch==2.13.0"
DIRECT = ("numpy==2.4.6", "tokenizers==0.22.2", "transformers==4.57.6")  # tokenizers: the newest that transformers 4.57 takes
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
VERSION = 1  # of what this module puts into the environment: raise it when that changes
LARGE = 1_000_000_000  # bytes to fetch from which on the CPU build is recommended
UNPACKED = 3.5  # bytes on disk for one byte fetched, the fetched file included


def stamp_text(root: Path) -> str:
    """What decides the contents. The index is not part of it: one version of torch computes the same from any."""
    lock = hashlib.sha256((root / LOCK_FILE).read_bytes()).hexdigest()
    return f"{VERSION} {lock} {TORCH} {sys.version_info[0]}.{sys.version_info[1]} {sys.base_prefix} {root}\n"


def up_to_date(root: Path) -> bool:
    folder = root / VENV_NAME
    try:
        current = (folder / bootstrap.STAMP).read_text(encoding="utf-8") == stamp_text(root)
    except OSError:
        return False
    return current and os.access(folder / "bin" / "python", os.X_OK)


def index_options(torch_index: str | None, env: Mapping[str, str]) -> list[str]:
    """pip's options that put ``torch_index`` first and keep the user's own index for the rest."""
    if torch_index is None:
        return []
    return ["--index-url", torch_index, "--extra-index-url", bootstrap.pip_settings(env)["index-url"][0]]


# ------------------------------------------------------------------ how much will be fetched


def file_size(url: str, cert: str | None) -> int | None:
    """Bytes of a file by its address, without fetching it; None where the server does not say."""
    parts = urllib.parse.urlparse(url)
    try:
        if parts.scheme == "file":
            return Path(urllib.parse.unquote(parts.path)).stat().st_size
        request = urllib.request.Request(url, method="HEAD")
        context = ssl.create_default_context(cafile=cert) if parts.scheme == "https" else None
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            length = answer.headers.get("Content-Length")
            return None if length is None else int(length)
    except (OSError, ValueError):
        return None


def size_lines(sizes: Mapping[str, int | None], torch_index: str | None) -> list[str]:
    """What will be fetched, in words: the total, the largest, and how to make it less."""
    known = {name: size for name, size in sizes.items() if size is not None}
    total = sum(known.values())
    unknown = sorted(set(sizes) - set(known))
    largest = sorted(known, key=lambda name: (-known[name], name))[:4]
    parts = ", ".join(f"{name} {known[name] / 1e6:.0f} MB" for name in largest)
    lines = [f"{len(sizes)} packages, {total / 1e6:.0f} MB to fetch, {total * UNPACKED / 1e6:.0f} MB of disk: {parts}, ..."]
    if unknown:
        lines.append(f"the index does not say the size of {', '.join(unknown)}")
    if torch_index is None and (total >= LARGE or any(name.startswith("nvidia-") for name in sizes)):
        lines.append(f"most of it is CUDA, which this comparison does not use: TORCH_INDEX={CPU_INDEX} fetches about 250 MB instead")
    return lines


def resolve(root: Path, python: Path, torch_index: str | None, report: Path, log: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Name -> address of every file pip would install; nothing is fetched but metadata."""
    pins = [f"{name}=={version}" for name, (version, _) in sorted(bootstrap.read_lock(root / LOCK_FILE).items())]
    command = [
        *pip(python), "install", "--dry-run", "--ignore-installed", "--only-binary=:all:", "--report", report,
        *index_options(torch_index, env), *pins, TORCH,
    ]  # fmt: skip
    bootstrap.run_logged(command, log, env, f"pip could not resolve {TORCH} and {LOCK_FILE}")
    items = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {item["metadata"]["name"]: item["download_info"]["url"] for item in items}


# ------------------------------------------------------------------ the environment


def pip(python: Path) -> list[object]:
    """The project's own pip, working on another environment."""
    return [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]


def make(root: Path, temporary: Path, torch_index: str | None, free: Callable[[Path], int]) -> None:
    """A complete environment in ``temporary``, ready to be renamed."""
    env = bootstrap.clean_environment(os.environ)
    temporary.mkdir()
    log = temporary / "bootstrap.log"
    bootstrap.say(f"making {root / VENV_NAME} with {TORCH} and {', '.join(DIRECT)}")
    bootstrap.run_logged([sys.executable, "-m", "venv", "--without-pip", temporary], log, env, "python -m venv failed")
    python = temporary / "bin" / "python"
    urls = resolve(root, python, torch_index, temporary / "report.json", log, env)
    cert = next(iter(bootstrap.pip_settings(env).get("cert", [])), None)
    with ThreadPoolExecutor(8) as pool:
        sizes = dict(zip(urls, pool.map(lambda url: file_size(url, cert), urls.values()), strict=True))
    for line in size_lines(sizes, torch_index):
        bootstrap.say(f"  {line}")
    need = UNPACKED * sum(size or 0 for size in sizes.values())
    if free(root) < need:
        raise bootstrap.BootstrapError(
            f"{root} has {free(root) / 1e6:.0f} MB free, {VENV_NAME} needs {need / 1e6:.0f} MB: free some space"
            + ("" if torch_index else f", or take the smaller build with TORCH_INDEX={CPU_INDEX}")
        )
    started = time.monotonic()
    options = ["--only-binary=:all:", "--no-compile", "--progress-bar=off"]
    bootstrap.run_logged(
        [*pip(python), "install", "--require-hashes", "--no-deps", *options, "--requirement", root / LOCK_FILE],
        log, env, f"pip could not install {LOCK_FILE}",
    )  # fmt: skip
    bootstrap.run_logged(
        [*pip(python), "install", *options, *index_options(torch_index, env), TORCH],
        log, env, f"pip could not install {TORCH}" + (f" from {torch_index}" if torch_index else ""),
    )  # fmt: skip
    bootstrap.run_logged([python, "-c", "import torch, transformers.models.ibert.modeling_ibert"], log, env, "the packages do not load")
    bootstrap.relocate(temporary, root / VENV_NAME)
    (temporary / bootstrap.STAMP).write_text(stamp_text(root), encoding="utf-8")
    bootstrap.say(f"  installed in {time.monotonic() - started:.0f} s")


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """One call at a time makes the environment."""
    handle = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def ensure(root: Path, torch_index: str | None = None, free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free) -> Path:
    """Python of the environment, which is made if it is not there. Raises EnvironmentError_ with one message."""
    python = root / VENV_NAME / "bin" / "python"
    if up_to_date(root):
        return python
    try:
        with locked(root):
            for path in (*root.glob(f"{VENV_NAME}.tmp-*"), *root.glob(f"{VENV_NAME}.old-*")):
                shutil.rmtree(path, ignore_errors=True)  # left by a call that was killed: the lock says nobody uses it
            if not up_to_date(root):
                temporary = root / f"{VENV_NAME}.tmp-{os.getpid()}"
                try:
                    make(root, temporary, torch_index, free)
                    bootstrap.replace_folder(temporary, root / VENV_NAME)
                finally:
                    shutil.rmtree(temporary, ignore_errors=True)
    except bootstrap.BootstrapError as error:
        raise EnvironmentError_(str(error)) from error
    except OSError as error:
        hint = f": {VENV_NAME} needs more space in {root}" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise EnvironmentError_(f"{error.strerror or error}{hint}") from error
    return python


def write_lock(root: Path) -> None:
    """requirements-peer.lock anew from DIRECT: what torch brings besides itself is pinned too, torch and CUDA are not."""
    head = relock.HEAD.replace("python/relock.py from pyproject.toml", "`python -m floreana.peer --relock`")
    resolved = (relock.pin(item) for item in relock.report([*DIRECT, TORCH], relock.PYTHONS[0]))
    pins = {name: version for name, version in resolved if name not in ("torch", "triton") and not name.startswith(("nvidia-", "cuda-"))}
    relock.write(root / LOCK_FILE, pins, head)


def run_compare(python: Path, root: Path, arguments: Sequence[object]) -> int:
    """The comparison, by the Python of the environment. Its exit code: 0 equal or explained, 1 not."""
    env = bootstrap.clean_environment(os.environ)
    env.update(PYTHONPATH=str(root / "python"), HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
    command = [str(part) for part in (python, "-m", "floreana.peer.compare", *arguments)]
    return subprocess.run(command, env=env, stdin=subprocess.DEVNULL, check=False).returncode
