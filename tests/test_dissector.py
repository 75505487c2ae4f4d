# SPDX-License-Identifier: Apache-2.0
"""docs/wireshark/floreana.lua says of every frame what the host's own code says.

Where tshark is missing (tests/dissected.py) only the names in the script are compared. Real captures: tests/test_sim_tiny.py.
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Sequence
from pathlib import Path

from dissected import FIELDS, SCRIPT, TSHARK, number, numbers_of, read_fields, run_tshark

from floreana.cluster import layout
from floreana.cluster.layout import TYPE_CONTROL, Header
from floreana.host import words
from floreana.host.frame import DATA, HELLO_ACK, NO_MESSAGE, SEQUENCE_MODULUS, TYPE_NAMES, UDP_PORT, Frame, Station, build, build_hop, parse
from floreana.sim.capture import Record, write_capture

HERE, THERE = Station(6, 0x02F10E000006, 0x0A110007), Station(0, 0x02F10E000000, 0x0A110001)


def _lua_table(name: str) -> dict[int, str]:
    """A table of numbers and names in the script."""
    found = re.search(rf"^local {name} = \{{(.*?)\n?\}}", SCRIPT.read_text(), re.MULTILINE | re.DOTALL)
    assert found, name
    return {int(number, 0): text for number, text in re.findall(r'\[(\w+)\] = "([^"]*)"', found[1])}


def test_the_names_are_those_of_the_host() -> None:
    assert _lua_table("TYPES") == dict(enumerate(TYPE_NAMES))
    assert _lua_table("STATUSES") == dict(enumerate(words.STATUS))
    assert _lua_table("KINDS") == words.EVENT
    asked = {words.OP_READ: "READ", words.OP_WRITE: "WRITE", words.OP_FLUSH: "FLUSH", words.OP_EVENTS: "EVENTS"}
    replies = {code | words.OP_REPLY: f"{name} reply" for code, name in asked.items()}
    assert _lua_table("OPCODES") == {**asked, **replies, words.OP_EVENT: "EVENT"}
    units = {name.removeprefix("UNIT_").lower(): value for name, value in vars(layout).items() if name.startswith("UNIT_")}
    units["eth0"], units["eth1"] = units.pop("eth"), units.pop("eth_1")
    assert {name: number for number, name in _lua_table("UNITS").items()} == units
    assert f"local PORT = {UDP_PORT}\n" in SCRIPT.read_text()


if TSHARK is not None:
    MANAGER = (
        "opcode", "status", "tag", "first", "address", "count", "slot", "generation", "on", "words", "word", "entry", "kind", "port",
        "peer", "node", "sequence",
    )  # fmt: skip

    def _written(frames: Sequence[bytes], folder: Path) -> Path:
        """A capture of the frames."""
        path = folder / "traffic.pcapng"
        write_capture(path, ["node6"], "", [Record(k, 0, True, raw) for k, raw in enumerate(frames)])
        return path

    def _tshark(frames: Sequence[bytes], folder: Path, fields: Sequence[str]) -> list[dict[str, list[str]]]:
        """The values of some fields in every frame; a field that is not there has none."""
        return read_fields(_written(frames, folder), fields)

    def _texts(frames: Sequence[bytes], folder: Path) -> list[list[str]]:
        """What the tree says of every frame, a line each."""
        texts = re.split(r"^Frame \d+: ", run_tshark(_written(frames, folder), "-O", "floreana"), flags=re.MULTILINE)[1:]
        assert len(texts) == len(frames)
        return [[line.strip() for line in text.splitlines()] for text in texts]

    def _expected(frame: Frame) -> dict[str, int]:
        h = frame.header
        return {
            "version": 1,
            "type": frame.type,
            "credit": frame.credit,
            "node": frame.source,
            "epoch": frame.epoch,
            "epoch_ack": frame.epoch_acknowledged,
            "seq": frame.sequence,
            "ack": frame.acknowledged,
            "limit": (frame.acknowledged + frame.credit) % SEQUENCE_MODULUS,
            "dst_cluster": h.dst_cluster,
            "dst_kernel": h.dst_kernel,
            "edge": h.edge,
            "src_cluster": h.src_cluster,
            "src_kernel": h.src_kernel,
            "slot": h.slot,
            "generation": h.generation,
            "row": h.row,
            "offset": h.offset,
            "offset_bytes": 4 * h.offset,
            "number": h.type,
            "last": int(h.last),
            "reserved": 0,
            "payload_length": len(frame.payload),
        }

    def test_every_field_of_many_frames(tmp_path: Path) -> None:
        rng = random.Random(20)
        frames = []
        for k in range(300):
            kind = k % 5
            header, payload = NO_MESSAGE, b""
            if kind == DATA:
                what = rng.randrange(4)
                # a control message of a gateway: no manager's, so any bytes
                offset = rng.randrange(1024) if what == TYPE_CONTROL else 16 * rng.randrange(64)
                header = Header(
                    *(rng.randrange(256), 254, *(rng.randrange(256) for _ in range(2)), 100),
                    *(rng.randrange(16), rng.randrange(16), rng.randrange(1 << 16), offset, what, rng.random() < 0.5),
                )
                payload = rng.randbytes(rng.randrange(1025) if what == TYPE_CONTROL else 64 * rng.randint(1, 16))
            numbers = rng.randrange(1 << 24), rng.randrange(1 << 24), rng.randrange(256)
            epochs = {"epoch": rng.randint(1, 255), "epoch_acknowledged": rng.randint(1, 255)}
            frames.append(build(HERE, THERE, header, payload, *numbers, kind=kind, **epochs))
        names = [f"floreana.{name}" for name in FIELDS]
        expert = "_ws.expert.message"
        checked = 0
        for raw, seen in zip(frames, _tshark(frames, tmp_path, [*names, expert, "_ws.col.Protocol", "_ws.col.Info"]), strict=True):
            frame = parse(raw)
            assert numbers_of(raw) == _expected(frame)
            for name, value in _expected(frame).items():
                assert [number(text) for text in seen[f"floreana.{name}"]] == [value], (name, raw.hex())
                checked += 1
            assert "".join(seen["floreana.payload"]).replace(":", "") == frame.payload.hex()
            gap = [f"A gap: frames are sent again from {frame.acknowledged}"] if TYPE_NAMES[frame.type] == "nack" else []
            assert seen[expert] == gap
            assert seen["_ws.col.Protocol"] == ["Floreana"]
            info = ";".join(seen["_ws.col.Info"])
            assert info.startswith(f"{TYPE_NAMES[frame.type]} ") and f"ack {frame.acknowledged} credit {frame.credit}" in info
        assert checked == 300 * 23
        print(f"{checked} fields of {len(frames)} frames compared")

    def _reply(op: int, status: int, tag: int, first: int, count: int, body: bytes = b"") -> bytes:
        return struct.pack("<BBHIII", op | words.OP_REPLY, status, tag, first, count, 224).ljust(64, b"\0") + body

    def test_the_managers_messages(tmp_path: Path) -> None:
        read = struct.pack("<3I", 7, 0xFFFFFFFF, 9)
        event = (bytes([words.OP_EVENT, 2, 0, 0]) + struct.pack("<IIII", 1, 3, 2, 17)).ljust(64, b"\0")
        cases: list[tuple[bytes, dict[str, object], str, str]] = [
            (words.read_request(300, 5, 100), {"opcode": 1, "tag": 300, "first": 5, "count": 100}, "READ tag 300: 100 words from 5", ""),
            (
                words.write_request(7, 0x5100_0003, [1, 2 << 500]),
                {"opcode": 2, "tag": 7, "address": 0x5100_0003, "count": 2, "entry": [1, 2 << 500]},
                "WRITE tag 7: 2 entries to 0x51000003 (eth0)",
                "",
            ),
            (
                words.flush_request(1, 3, 9),
                {"opcode": 3, "tag": 1, "slot": 3, "generation": 9},
                "FLUSH tag 1: slot 3 generation 9",
                "",
            ),
            (words.events_request(2, True), {"opcode": 4, "tag": 2, "on": 1}, "EVENTS tag 2: on", ""),
            (
                _reply(1, 0, 300, 5, 3, read),
                {"opcode": 0x81, "status": 0, "tag": 300, "first": 5, "count": 3, "words": 224, "word": [7, 0xFFFFFFFF, 9]},
                "READ reply tag 300: 3 words from 5",
                "",
            ),
            (
                _reply(2, 3, 7, 0x2000_0000, 0),
                {"opcode": 0x82, "status": 3, "tag": 7, "address": 0x2000_0000, "count": 0, "words": 224},
                "WRITE reply tag 7: 0 entries to 0x20000000 (attention): a kernel is at work",
                "The manager refused: a kernel is at work",
            ),
            (_reply(3, 0, 1, 3, 9), {"opcode": 0x83, "status": 0, "tag": 1, "slot": 3, "generation": 9, "words": 224}, "FLUSH reply", ""),
            (_reply(4, 0, 2, 0, 0), {"opcode": 0x84, "status": 0, "tag": 2, "on": 0, "words": 224}, "EVENTS reply tag 2: off", ""),
            (
                event,
                {"opcode": 0xE0, "kind": 2, "port": 1, "peer": 3, "node": 2, "sequence": 17},
                "EVENT node 2 port 1: peer restarted: peer 3",
                "EVENT node 2 port 1: peer restarted: peer 3",
            ),
            (b"\1\0", {"opcode": 1}, "short control message", "Not a message of a manager: 2 bytes"),
        ]
        frames = []
        for payload, *_ in cases:
            answer = payload[0] >= 0x80
            # one over an alias: kernel 195 is the manager of node 2
            kernels = (255, 195) if answer else (0, 255)
            header = Header(0, kernels[0], 0, 0, kernels[1], 0, 0, 0, 0, TYPE_CONTROL, False)
            frames.append(build(HERE, THERE, header, payload, 0, 0))
        names = [f"floreana.manager.{name}" for name in MANAGER]
        rows = _tshark(frames, tmp_path, [*names, "_ws.expert.message", "_ws.col.Info"])
        for (payload, fields, info, expert), seen in zip(cases, rows, strict=True):
            assert {name for name in MANAGER if seen[f"floreana.manager.{name}"]} == set(fields), payload.hex()
            for name, value in fields.items():
                text = seen[f"floreana.manager.{name}"]
                if name == "entry":
                    got = [int.from_bytes(bytes.fromhex(part.replace(":", "")), "little") for part in text]
                else:
                    got = [number(part) for part in text]
                assert got == (value if isinstance(value, list) else [value]), (name, payload.hex())
            assert info in ";".join(seen["_ws.col.Info"]) and seen["_ws.expert.message"] == ([expert] if expert else [])

    def test_kernels_with_names(tmp_path: Path) -> None:
        """(destination, source), each cluster and kernel, and what is said of the two kernels."""
        cases = [
            (((0, 0), (3, 255)), ("manager here", "host")),
            (((0, 195), (2, 195)), ("manager of node 2", "manager 2 of cluster 2")),
            (((1, 193), (0, 223)), ("manager 0 of cluster 1", "manager of node 30")),
            (((7, 224), (7, 254)), ("group", "gateway")),
            (((1, 192), (0, 1)), ("", "")),
        ]
        frames = [
            build(HERE, THERE, Header(*to, 100, *source, 0, 0, 0, 0, TYPE_CONTROL, False), bytes(64), 0, 0)
            for (to, source), _ in cases
        ]  # fmt: skip
        for (ends, names), lines in zip(cases, _texts(frames, tmp_path), strict=True):
            for what, (_, kernel), name in zip(("Destination", "Source"), ends, names, strict=True):
                assert f"{what} kernel: {kernel}{f' ({name})' if name else ''}" in lines, (ends, lines)

    def test_what_is_wrong_is_said(tmp_path: Path) -> None:
        row = Header(0, 129, 3, 0, 255, 1, 2, 5, 16, 0, False)
        good = build(HERE, THERE, row, bytes(64), 1, 2)

        def changed(at: int, value: int) -> bytes:
            return good[:at] + bytes([value]) + good[at + 1 :]

        long = build_hop(HERE, THERE, 1088) + good[42:64] + bytes(1088)
        cases = [
            (changed(42, 0x40), "Version 2 is not 1"),
            (changed(42, 0x20 | HELLO_ACK + 1), "Unknown type of frame: 5"),
            (changed(42, 0x21), "ack with 64 bytes of payload"),
            (changed(63, good[63] | 5), "Reserved bits are 5, not 0"),
            (changed(46, 0), "Data, ack or nack with an unknown epoch"),
            (changed(62, 0x05), "Slice of 64 bytes at 80 is not whole beats of 64 bytes"),
            (build(HERE, THERE, row, b"", 1, 2), "Data without payload that is not control"),
            (build(HERE, THERE, row, bytes(63), 1, 2), "Slice of 63 bytes at 64 is not whole beats of 64 bytes"),
            (long, "1088 bytes of payload, more than 1024"),
            (build_hop(HERE, THERE, 0)[:38] + struct.pack(">HH", 18, 0) + good[42:52], "10 bytes after UDP, fewer than 22"),
            (good, ""),
        ]
        rows = _tshark([raw for raw, _ in cases], tmp_path, ["_ws.expert.message"])
        for (_, text), seen in zip(cases, rows, strict=True):
            found = [message for message in seen["_ws.expert.message"] if "IPv4 total length" not in message]
            assert any(text in message for message in found) if text else not found, (text, found)

    def test_a_capture_that_keeps_only_the_begin_is_no_fault(tmp_path: Path) -> None:
        """As `tcpdump -s` writes it: what was cut off is not missed, and nothing is said to be wrong."""
        row = build(HERE, THERE, Header(0, 129, 3, 0, 255, 1, 2, 5, 16, 0, False), bytes(256), 1, 2)
        write = build(HERE, THERE, Header(0, 0, 0, 0, 255, 0, 0, 0, 0, TYPE_CONTROL, False), words.write_request(7, 5, [1, 2, 3]), 1, 2)
        reply = build(HERE, THERE, Header(0, 255, 0, 0, 0, 0, 0, 0, 0, TYPE_CONTROL, False), _reply(1, 0, 7, 5, 48, bytes(192)), 1, 2)
        kept = (43, 50, 63, 64, 70, 76, 100, 128, 200, 320)
        frames = [(raw, size) for raw in (row, write, reply) for size in kept]
        packets = [struct.pack("<4I", 0, 0, size, len(raw)) + raw[:size] for raw, size in frames]
        path = tmp_path / "cut.pcap"
        path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + b"".join(packets))
        asked = ["-e", "floreana.payload_length", "-e", "_ws.expert.message", "-e", "_ws.col.Info", "-e", "_ws.malformed"]
        lines = run_tshark(path, "-T", "fields", *asked).splitlines()
        for (raw, size), line in zip(frames, lines, strict=True):
            length, expert, info, malformed = line.split("\t")
            assert length == (str(len(raw) - 64) if size >= 64 else "") and not expert and not malformed, (size, line)
            assert ("cut by the capture" in info) == (size < 64 or (raw is write and 64 < size < 76) or (raw is reply and 64 < size < 128))

    def test_nothing_on_the_wire_breaks_the_script(tmp_path: Path) -> None:
        """Every type of frame and every opcode at many lengths, and random bytes: the script names what is wrong and never fails."""
        rng = random.Random(4)
        good = build(HERE, THERE, Header(0, 129, 3, 0, 255, 1, 2, 5, 16, 0, False), bytes(64), 1, 2)[42:]
        frames = [bytes([0x20 | kind]) + good[1:size] for kind in range(32) for size in (1, 2, 5, 11, 12, 21, 22, 23, 86)]
        frames += [rng.randbytes(rng.randint(1, 200)) for _ in range(300)]
        frames = [build_hop(HERE, THERE, len(data) - 22) + data for data in frames]
        for opcode in range(256):
            for size in (1, 11, 12, 63, 64, 67, 128, 1024):
                kernels = rng.choice([(0, 255), (255, 0), (195, 255), (255, 223)])
                header = Header(0, kernels[0], 0, 0, kernels[1], 0, 0, 0, 0, TYPE_CONTROL, False)
                frames.append(build(HERE, THERE, header, bytes([opcode]) + rng.randbytes(size - 1), 0, 0))
        fields = ["_ws.col.Protocol", "_ws.col.Info", "_ws.expert.message", "_ws.lua.error", "_ws.lua.text"]
        for raw, seen in zip(frames, _tshark(frames, tmp_path, fields), strict=True):
            assert seen["_ws.col.Protocol"] == ["Floreana"] and seen["_ws.col.Info"], raw.hex()
            assert not seen["_ws.lua.error"] and not seen["_ws.lua.text"], raw.hex()
            assert not any(word in text for text in seen["_ws.expert.message"] for word in ("Lua", "bug", "exception")), raw.hex()
