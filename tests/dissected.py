# SPDX-License-Identifier: Apache-2.0
"""What tshark with docs/wireshark/floreana.lua says of frames, and what docs/frame-format.md says of their bytes.

TSHARK is None where there is no tshark that runs Lua scripts: neither on PATH nor unpacked by `make env-test`, which says so. Then the
tests that need it are not there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import bootstrap

from floreana.environment import find_tool, project_root
from floreana.sim.capture import read_capture

SCRIPT = project_root() / "docs" / "wireshark" / "floreana.lua"
TSHARK = next(
    (
        path
        for path in (find_tool("tshark"), Path(sys.prefix) / "tshark" / "bin" / "tshark")
        if path is not None and bootstrap.tshark_runs(path)
    ),
    None,
)
FIELDS = (
    "version", "type", "credit", "node", "epoch", "epoch_ack", "seq", "ack", "limit", "dst_cluster", "dst_kernel", "edge",
    "src_cluster", "src_kernel", "slot", "generation", "row", "offset", "offset_bytes", "number", "last", "reserved",
    "payload_length", "payload",
)  # fmt: skip


def run_tshark(path: Path, *arguments: str) -> str:
    """What tshark prints of a capture, with settings of its own and not those of the user."""
    home = path.parent / "home"
    env = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), "LC_ALL": "C.UTF-8"}
    command = [str(TSHARK), "-n", "-X", f"lua_script:{SCRIPT}", "-r", str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=env)
    assert done.returncode == 0 and "Lua" not in done.stderr, done.stderr
    return done.stdout


def read_fields(path: Path, fields: Sequence[str], *arguments: str) -> list[dict[str, list[str]]]:
    """The values of some fields in every frame of a capture; a field that is not there has none."""
    asked = [word for name in fields for word in ("-e", name)]
    lines = run_tshark(path, "-T", "fields", "-E", "separator=/t", "-E", "aggregator=;", *asked, *arguments).split("\n")[:-1]
    return [
        {name: value.split(";") if value else [] for name, value in zip(fields, line.split("\t"), strict=True)} for line in lines
    ]  # fmt: skip


def number(text: str) -> int:
    """A value as tshark prints it."""
    return {"True": 1, "False": 0}[text] if text in {"True", "False"} else int(text, 0)


def numbers_of(raw: bytes) -> dict[str, int]:
    """The numbers in a frame, as docs/frame-format.md and docs/architecture.md, section 2, place them, by the names of the script."""

    def bits(byte: int, high: int, low: int = 0, size: int = 1) -> int:
        return int.from_bytes(raw[byte : byte + size], "big") >> low & (1 << (high - low + 1)) - 1

    return {
        "version": bits(42, 7, 5),
        "type": bits(42, 4),
        "credit": raw[43],
        "node": bits(44, 15, size=2),
        "epoch": raw[46],
        "epoch_ack": raw[47],
        "seq": bits(48, 23, size=3),
        "ack": bits(51, 23, size=3),
        "limit": (bits(51, 23, size=3) + raw[43]) % (1 << 24),
        "dst_cluster": raw[54],
        "dst_kernel": raw[55],
        "edge": raw[56],
        "src_cluster": raw[57],
        "src_kernel": raw[58],
        "slot": bits(59, 7, 4),
        "generation": bits(59, 3),
        "row": bits(60, 15, size=2),
        "offset": bits(62, 15, 6, size=2),
        "offset_bytes": 4 * bits(62, 15, 6, size=2),
        "number": bits(63, 5, 4),
        "last": bits(63, 3, 3),
        "reserved": bits(63, 2),
        "payload_length": len(raw) - 64,
    }


def compare_capture(path: Path) -> tuple[int, Counter[str]]:
    """Every field of every frame of a clean run's capture, in one call of tshark: number of frames, and how many there are of each kind."""
    names, records = read_capture(path)
    link = ["frame.interface_name", "frame.len", "ip.checksum.status", "udp.length"]
    rest = ["_ws.col.Protocol", "_ws.expert.message", "_ws.malformed", "_ws.lua.error"]
    rows = read_fields(path, [*(f"floreana.{name}" for name in FIELDS), *link, *rest], "-o", "ip.check_checksum:TRUE")
    kinds: Counter[str] = Counter()
    for record, seen in zip(records, rows, strict=True):
        raw, size = record.data, len(record.data)
        numbers = numbers_of(raw)
        assert set(numbers) | {"payload"} == set(FIELDS)
        for name, value in numbers.items():
            assert [number(text) for text in seen[f"floreana.{name}"]] == [value], (name, raw.hex())
        assert "".join(seen["floreana.payload"]).replace(":", "") == raw[64:].hex(), raw.hex()
        assert [seen[name] for name in link] == [[names[record.port]], [str(size)], ["1"], [str(size - 34)]], (seen, raw.hex())
        assert [seen[name] for name in rest] == [["Floreana"], [], [], []], (seen, raw.hex())
        kind = ("data", "ack", "nack", "hello", "hello-ack")[numbers["type"]]
        kinds[kind if kind != "data" else ("int8", "int16", "int32", "control")[numbers["number"]]] += 1
    return len(records), kinds
