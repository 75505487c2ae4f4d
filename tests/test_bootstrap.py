# SPDX-License-Identifier: Apache-2.0
"""The bootstrap's messages and its promises: nothing written where something is missing, nothing half-made, nothing done twice."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import bootstrap
import pytest

ROOT = Path(__file__).resolve().parents[1]
FINE = {"version": (3, 11), "machine": "x86_64", "system": "Linux"}


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a lock file and nothing else."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "requirements.lock").write_text(f"demo==1.0 \\\n    --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    return folder


def fake_venv(root: Path) -> None:
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (root / ".venv" / bootstrap.STAMP).write_text(bootstrap.stamp_text(root), encoding="utf-8")


@pytest.mark.parametrize("tool", sorted(bootstrap.TOOLS))
def test_each_missing_tool_is_named_with_its_packages(tool: str) -> None:
    lines = bootstrap.missing_requirements(which=lambda name: None if name == tool else f"/usr/bin/{name}", **FINE)
    _, debian, fedora = bootstrap.TOOLS[tool]
    assert len(lines) == 1
    assert lines[0].startswith(f"{tool} is missing")
    assert f"`apt install {debian}`" in lines[0]
    assert f"`dnf install {fedora}`" in lines[0]


def test_all_missing_things_are_named_at_once() -> None:
    lines = bootstrap.missing_requirements(which=lambda name: None, version=(3, 9), machine="aarch64", system="Linux")
    assert len(lines) == 2 + len(bootstrap.TOOLS)
    assert "aarch64" in lines[0]
    assert "python3 is 3.9, 3.11 or newer is needed" in lines[1]


def test_a_python_beyond_the_lock_is_refused_by_name() -> None:
    lines = bootstrap.missing_requirements(which=lambda name: name, version=(3, 99), machine="x86_64", system="Linux")
    assert len(lines) == 1
    assert "go up to 3.14" in lines[0]


def test_nothing_is_written_where_something_is_missing(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(root)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert bootstrap.main(["--root", str(root)]) == 3
    assert tree(root) == before
    text = capsys.readouterr().err
    assert "nothing was written" in text
    assert "g++ is missing" in text


def test_a_full_disk_is_said_before_anything_is_written(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10**9, 10**9, 12_000_000))
    assert bootstrap.main(["--root", str(root)]) == 3
    assert tree(root) == before
    assert "has 12 MB free, the environment needs 900 MB" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("failure", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 3, "the disk is full"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (bootstrap.BootstrapError("pip could not install"), 3, "pip could not install"),
    ],
)
def test_a_failure_leaves_nothing_half_made(
    failure: BaseException,
    code: int,
    words: str,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = tree(root)

    def fail(command: Any, log: Path, *_args: Any, **_kwargs: Any) -> None:
        (log.parent / "half").write_text("made", encoding="utf-8")
        raise failure

    monkeypatch.setattr(bootstrap, "run_logged", fail)
    assert bootstrap.main(["--root", str(root)]) == code
    assert tree(root) == before
    assert words in capsys.readouterr().err


def test_a_full_disk_in_a_child_is_recognised(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('OSError: [Errno 28] No space left on device'); raise SystemExit(1)"]
    with pytest.raises(OSError, match="No space left"):
        bootstrap.run_logged(command, tmp_path / "log", dict(os.environ), "pip failed")


def test_a_failing_child_shows_the_end_of_its_output(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no matching distribution'); raise SystemExit(7)"]
    with pytest.raises(bootstrap.BootstrapError, match=r"pip failed \(exit code 7\)[\s\S]*no matching distribution"):
        bootstrap.run_logged(command, tmp_path / "log", dict(os.environ), "pip failed")


def test_a_second_call_does_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_venv(root)

    def never(*_args: Any, **_kwargs: Any) -> None:
        raise AssertionError("a second call must not run anything")

    monkeypatch.setattr(subprocess, "Popen", never)
    monkeypatch.setattr(subprocess, "run", never)
    assert bootstrap.main(["--root", str(root)]) == 0


def test_another_lock_or_another_place_makes_it_stale(root: Path, tmp_path: Path) -> None:
    fake_venv(root)
    assert bootstrap.up_to_date(root)
    moved = tmp_path / "moved"
    shutil.copytree(root, moved, symlinks=True)
    assert not bootstrap.up_to_date(moved)
    with (root / "requirements.lock").open("a", encoding="utf-8") as handle:
        handle.write(f"other==2.0 --hash=sha256:{'1' * 64}\n")
    assert not bootstrap.up_to_date(root)


def test_the_lock_pins_every_package_with_hashes_and_no_local_version() -> None:
    packages = bootstrap.read_lock(ROOT / "requirements.lock")
    assert "pip" in packages
    for name, (version, digests) in packages.items():
        assert digests, f"{name} has no hash"
        assert "+" not in version, f"{name} {version} is a local version"


def test_an_empty_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(bootstrap.BootstrapError, match="holds no pinned package"):
        bootstrap.read_lock(tmp_path / "requirements.lock")


class TestPipWithoutEnsurepip:
    """The pinned wheel comes from whatever the user has configured, and its digest decides."""

    name = "pip-99.0-py3-none-any.whl"
    data = b"a wheel"
    digest = hashlib.sha256(data).hexdigest()

    def index(self, folder: Path, data: bytes) -> str:
        page = folder / "simple" / "pip"
        page.mkdir(parents=True)
        (folder / self.name).write_bytes(data)
        link = f'<a href="../../{self.name}#sha256=x">{self.name}</a>'
        (page / "index.html").write_text(f'<a href="pip-1.0.tar.gz">old</a>{link}', encoding="utf-8")
        return (folder / "simple").as_uri()

    def fetch(self, tmp_path: Path, **env: str) -> Path:
        out = tmp_path / "out"
        out.mkdir()
        return bootstrap.fetch_pip("99.0", {self.digest}, out, {"PIP_CONFIG_FILE": os.devnull, **env})

    def test_from_an_index(self, tmp_path: Path) -> None:
        wheel = self.fetch(tmp_path, PIP_INDEX_URL=self.index(tmp_path / "a", self.data))
        assert wheel.read_bytes() == self.data

    def test_from_find_links(self, tmp_path: Path) -> None:
        folder = tmp_path / "wheels"
        folder.mkdir()
        (folder / self.name).write_bytes(self.data)
        empty = (tmp_path / "none").as_uri()
        assert self.fetch(tmp_path, PIP_FIND_LINKS=str(folder), PIP_INDEX_URL=empty).read_bytes() == self.data

    def test_from_pip_conf(self, tmp_path: Path) -> None:
        url = self.index(tmp_path / "a", self.data)
        conf = tmp_path / "pip.conf"
        conf.write_text(f"[global]\nindex-url = {(tmp_path / 'none').as_uri()}\nextra-index-url = {url}\n", encoding="utf-8")
        assert self.fetch(tmp_path, PIP_CONFIG_FILE=str(conf)).read_bytes() == self.data

    def test_a_wrong_digest_is_passed_over(self, tmp_path: Path) -> None:
        bad, good = self.index(tmp_path / "bad", b"tampered"), self.index(tmp_path / "good", self.data)
        assert self.fetch(tmp_path, PIP_INDEX_URL=bad, PIP_EXTRA_INDEX_URL=good).read_bytes() == self.data

    def test_a_wrong_digest_alone_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(bootstrap.BootstrapError, match=r"is not the one in requirements\.lock"):
            self.fetch(tmp_path, PIP_INDEX_URL=self.index(tmp_path / "bad", b"tampered"))

    def test_no_offer_names_the_remedy(self, tmp_path: Path) -> None:
        with pytest.raises(bootstrap.BootstrapError, match="install the package python3-venv"):
            self.fetch(tmp_path, PIP_INDEX_URL=(tmp_path / "none").as_uri())


def test_pip_is_kept_from_installing_elsewhere() -> None:
    env = bootstrap.clean_environment({"PIP_TARGET": "/x", "PIP_USER": "1", "PYTHONPATH": "/y", "PIP_INDEX_URL": "u"})
    assert not {"PIP_TARGET", "PIP_USER", "PYTHONPATH"} & set(env)
    assert env["PIP_INDEX_URL"] == "u"


def test_icarus_without_apt_is_one_line_with_the_remedy(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_venv(root)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(bootstrap.BootstrapError, match="install Icarus Verilog: Debian, Ubuntu `apt install iverilog`"):
        bootstrap.ensure(root, icarus=True)
    assert not [name for name in tree(root) if "tools" in name]


def test_icarus_that_cannot_be_downloaded_is_a_failure(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_venv(root)
    fakes = tmp_path / "bin"
    fakes.mkdir()
    for name, text in (("apt-get", "#!/bin/sh\necho E: Unable to locate package; exit 100\n"), ("dpkg", "#!/bin/sh\n")):
        (fakes / name).write_text(text, encoding="utf-8")
        (fakes / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{fakes}:/bin")
    monkeypatch.setattr(bootstrap, "have_icarus", lambda *_: False)
    with pytest.raises(bootstrap.BootstrapError, match=r"could not download iverilog \(install Icarus[\s\S]*Unable to locate"):
        bootstrap.ensure(root, icarus=True)
    assert not [name for name in tree(root) if "tools" in name]


def test_an_old_icarus_does_not_count(root: Path, tmp_path: Path) -> None:
    fakes = tmp_path / "bin"
    fakes.mkdir()
    for version, counts in (("10.3", False), ("12.0", True)):
        for name in ("iverilog", "vvp"):
            script = fakes / name
            script.write_text(f"#!/bin/sh\necho 'Icarus Verilog version {version} (stable)'\n", encoding="utf-8")
            script.chmod(0o755)
        assert bootstrap.have_icarus(root, str(fakes)) is counts


def test_an_old_tclsh_does_not_count(root: Path, tmp_path: Path) -> None:
    fakes = tmp_path / "bin"
    fakes.mkdir()
    for version, counts in (("8.5.19", False), ("8.6.13", True), ("9.0.1", True)):
        (fakes / "tclsh").write_text(f"#!/bin/sh\necho {version}\n", encoding="utf-8")
        (fakes / "tclsh").chmod(0o755)
        assert bootstrap.have_tclsh(root, str(fakes)) is counts


def test_tclsh_that_cannot_be_downloaded_is_a_failure(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_venv(root)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(bootstrap, "have_icarus", lambda *_: True)
    with pytest.raises(bootstrap.BootstrapError, match="tclsh is not on PATH and there is no apt-get to fetch it with: install Tcl"):
        bootstrap.ensure(root, icarus=True)
    assert not [name for name in tree(root) if "tcl" in name]


APT = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
*--simulate*)
    echo 'NOTE: This is only a simulation!'
    echo 'Inst libwireshark16 [4.0.16-1] (4.0.17-0+deb12u3 Debian:12.15/oldstable [amd64])'
    echo 'Inst tshark (4.0.17-0+deb12u3 Debian:12.15/oldstable [amd64])'
    echo 'Conf tshark (4.0.17-0+deb12u3 Debian:12.15/oldstable [amd64])' ;;
*) touch libwireshark16_4.deb tshark_4.deb ;;
esac
"""
# what it unpacks prints what Lua would print, where its wrapper sets what it needs
DPKG = """#!/bin/sh
mkdir -p "$3/usr/bin" "$3/usr/lib/x86_64-linux-gnu" "$3/usr/share/wireshark" "$3/etc/wireshark"
touch "$3/usr/lib/x86_64-linux-gnu/libwireshark.so.16"
echo 'enable_lua = true' > "$3/etc/wireshark/init.lua"
ln -sf /etc/wireshark/init.lua "$3/usr/share/wireshark/init.lua"
cat > "$3/usr/bin/tshark" << 'END'
#!/bin/sh
case "$LD_LIBRARY_PATH" in *root/usr/lib/x86_64-linux-gnu*) ;; *) exit 9 ;; esac
grep -q enable_lua "$WIRESHARK_DATA_DIR/init.lua" && echo {says}
END
chmod 755 "$3/usr/bin/tshark"
"""
SETPRIV = '#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n'  # as root the wrapper goes through it


def fake_tools(folder: Path, **texts: str) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name.replace("_", "-")).write_text(text, encoding="utf-8")
        (folder / name.replace("_", "-")).chmod(0o755)


class TestTshark:
    """Only the dissector's tests need it: it is fetched where that is possible, and else the environment is complete without it."""

    @pytest.fixture(autouse=True)
    def others(self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """All the rest is there, and no tshark but one in bin."""
        fake_venv(root)
        monkeypatch.setattr(bootstrap, "have_icarus", lambda *_: True)
        monkeypatch.setattr(bootstrap, "have_tclsh", lambda *_: True)
        usual = tmp_path / "usual"
        usual.mkdir()
        for name in ("sh", "cat", "chmod", "dirname", "echo", "grep", "id", "ln", "mkdir", "touch"):
            (usual / name).symlink_to(shutil.which(name) or "")
        fake_tools(tmp_path / "bin", setpriv=SETPRIV)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{usual}")

    def test_it_is_unpacked_with_what_apt_says_it_needs(self, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        log = tmp_path / "apt.log"
        fake_tools(tmp_path / "bin", apt_get=APT.format(log=log), dpkg=DPKG.replace("{says}", "works"))
        bootstrap.ensure(root, icarus=True)
        assert "unpacking Debian's package and 1 that it needs into .venv/tshark" in capsys.readouterr().out
        simulated, download = log.read_text(encoding="utf-8").splitlines()
        assert "--simulate" in simulated and "--no-install-recommends" in simulated and simulated.endswith(" install tshark")
        assert download.endswith(" download libwireshark16 tshark")
        assert bootstrap.have_tshark(root)
        init = root / ".venv" / "tshark" / "root" / "usr" / "share" / "wireshark" / "init.lua"
        assert init.is_file() and not init.is_symlink()
        assert sorted(path.name for path in (root / ".venv" / "tshark").iterdir()) == ["bin", "bootstrap.log", "root"]
        # the second call asks nobody and says nothing
        bootstrap.ensure(root, icarus=True)
        assert capsys.readouterr().out == "" and len(log.read_text(encoding="utf-8").splitlines()) == 2

    def test_one_on_path_is_taken(self, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        fake_tools(tmp_path / "bin", tshark="#!/bin/sh\necho works\n")
        bootstrap.ensure(root, icarus=True)
        assert capsys.readouterr().out == "" and not (root / ".venv" / "tshark").exists()

    @pytest.mark.parametrize("text", ["", "echo 'TShark 4.0.17 without Lua'", "echo works; exit 2"])
    def test_one_that_runs_no_script_does_not_count(self, text: str, root: Path, tmp_path: Path) -> None:
        fake_tools(tmp_path / "bin", tshark=f"#!/bin/sh\n{text}\n")
        assert not bootstrap.have_tshark(root)

    @pytest.mark.parametrize(
        ("apt", "says", "words"),
        [
            (None, "works", "tshark is not on PATH and there is no apt-get to fetch it with"),
            ("#!/bin/sh\necho 'E: Unable to locate package tshark' >&2; exit 100\n", "works", "apt-get cannot fetch tshark"),
            ("#!/bin/sh\n", "works", "it is installed, but does not run as tshark should"),
            (APT.replace("touch", "echo E: Failed to fetch; exit 100; touch"), "works", "could not download libwireshark16 tshark"),
            (APT, "broken", "the unpacked tshark does not run here"),
        ],
    )
    def test_without_it_the_environment_is_complete(
        self, apt: str | None, says: str, words: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        if apt is not None:
            fake_tools(tmp_path / "bin", apt_get=apt.replace("{log}", str(tmp_path / "apt.log")), dpkg=DPKG.replace("{says}", says))
        before = tree(root)
        assert bootstrap.main(["--icarus", "--root", str(root)]) == 0
        text = capsys.readouterr().out
        assert words in text and "the tests of the Wireshark dissector (docs/wireshark) do not run" in text
        assert "`apt install tshark`" in text and "`dnf install wireshark-cli`" in text
        assert tree(root) == before


def test_leftovers_of_a_killed_call_are_removed(root: Path) -> None:
    for name in (".venv.tmp-1", ".venv.old-2", ".venv/tools.tmp-3", ".venv/tshark.tmp-4"):
        (root / name).mkdir(parents=True)
    bootstrap.remove_leftovers(root)
    assert tree(root) == [".venv", "requirements.lock"]


def test_scripts_name_the_final_folder(tmp_path: Path) -> None:
    temporary, final = tmp_path / "x.tmp-1", tmp_path / "x"
    (temporary / "bin").mkdir(parents=True)
    (temporary / "bin" / "tool").write_text(f"#!{temporary}/bin/python\n", encoding="utf-8")
    (temporary / "pyvenv.cfg").write_text(f"command = python -m venv {temporary}\n", encoding="utf-8")
    bootstrap.relocate(temporary, final)
    assert (temporary / "bin" / "tool").read_text(encoding="utf-8") == f"#!{final}/bin/python\n"
    assert str(temporary) not in (temporary / "pyvenv.cfg").read_text(encoding="utf-8")


# ------------------------------------------------------------------ Makefile


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The Makefile with an environment whose `floreana` prints its arguments, one a line as Python literals."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "bootstrap.py").write_text("", encoding="utf-8")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    script = tmp_path / ".venv" / "bin" / "floreana"
    script.write_text(
        f"#!{sys.executable}\nimport os, sys\nprint(*map(ascii, sys.argv[1:]), sep='\\n')\n"
        "print(sorted({'MAKEFLAGS', 'TEXT', 'OUT'} & set(os.environ)))\n",
        encoding="utf-8",
    )
    script.chmod(0o755)
    return tmp_path


def make(folder: Path, *arguments: str, **env: str) -> tuple[int, list[str]]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "--no-print-directory", f"PYTHON={sys.executable}", *arguments],
        cwd=folder, env={**clean, **env}, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode, (done.stdout + done.stderr).splitlines()


TEXTS = [
    "plain words",
    'it\'s "quoted"',
    "costs $5, $HOME, $(HOME), ${HOME}, $$",
    "back `touch pwned` ticks",
    "$(shell touch pwned) $(touch pwned)",
    "; touch pwned # & | > pwned",
    "back\\slash \\n and trailing \\",
    "naïve café 日本語 🙂",
    "two\nlines",
    "-dash first",
    "  spaces  ",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_reaches_the_command_unchanged(text: str, made: Path) -> None:
    code, lines = make(made, "sim", f"TEXT={text}")
    assert code == 0
    expected = text.lstrip(" \t") if text.startswith(" ") else text  # make drops blanks before a value
    assert lines == ["'sim'", ascii(f"--text={expected}"), "[]"]
    assert not (made / "pwned").exists()


def test_every_variable_becomes_its_option(made: Path) -> None:
    line = next(line for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines() if line.startswith("OPTIONS"))
    names = [*line.removesuffix("\\").split()[2:], "OUT", "CHECK", "MODEL"]
    assert names[:3] == ["PROJECT", "TEXT", "TEXT_FILE"]
    code, lines = make(made, "sim", *(f"{name}=v{i}" for i, name in enumerate(names)))
    assert code == 0
    assert lines[1:-1] == [f"'--{name.lower().replace('_', '-')}=v{i}'" for i, name in enumerate(names)]


def test_variables_of_the_environment_are_left_alone(made: Path) -> None:
    code, lines = make(made, "sim", SIM="questa", OUT="/nowhere")
    assert code == 0
    assert lines[0] == "'sim'"
    assert not any("--" in line for line in lines)


def test_make_alone_shows_the_help(made: Path) -> None:
    code, lines = make(made)
    assert code == 0
    assert any("make sim" in line for line in lines)


def test_a_missing_python_is_named(made: Path) -> None:
    code, lines = make(made, "sim", "PYTHON=no-such-python")
    assert code != 0
    assert lines[0].startswith("error: no-such-python is missing: Debian, Ubuntu `apt install python3`")
