# SPDX-License-Identifier: Apache-2.0
"""Galapagos' logical and map files, XML or JSON: read, checked, every error reported at once.

Formats: README.md and middleware/python/cluster.py of https://github.com/UofT-HPRC/galapagos. Only what places kernels and gives
addresses is read; other keys are left alone. An XML file with a DOCTYPE is refused, so that no entity is ever expanded.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers import expat

from floreana.errors import InputError

MAX_BYTES = 1 << 20
MAX_DEPTH = 16
MAX_REPETITIONS = 1 << 16
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")


@dataclass(frozen=True, slots=True)
class GalapagosKernel:
    """A kernel of the logical file: its number (TDEST) and the name of its type."""

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class GalapagosNode:
    """A node of the map file: an FPGA (``hardware``) or a computer, with its addresses and the numbers of its kernels."""

    hardware: bool
    kernels: tuple[int, ...]
    mac: int
    ip: int
    board: str
    comm: str


@dataclass(frozen=True, slots=True)
class GalapagosCluster:
    """Both files together. ``packet`` holds the stream widths that the logical file states, in bits."""

    kernels: tuple[GalapagosKernel, ...]
    nodes: tuple[GalapagosNode, ...]
    packet: dict[str, int]


def read_tree(path: Path) -> dict[str, Any]:
    """The file as nested dictionaries, the same for XML and JSON: repeated elements are lists, text beside elements is ``#text``.

    Raises InputError where the file is missing, too large, not UTF-8, malformed, or an XML file with a DOCTYPE.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: {len(data):,} bytes; a logical or map file has at most {MAX_BYTES:,}; name another file")
    suffix = path.suffix.lower()
    if suffix == ".xml":
        value = _read_xml(path, data)
    elif suffix == ".json":
        value = read_json(path, data)
    else:
        raise InputError(f"{path}: the name ends with neither .xml nor .json, which tells how it is read; rename it")
    if not isinstance(value, dict):
        raise InputError(f"{path}: the file holds no element `cluster`; it must have one around everything")
    return value


def read_json(path: Path, data: bytes) -> Any:
    """A JSON text; repeated keys are refused, since all but the last would be lost."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        for name in sorted(set(names)):
            if names.count(name) > 1:
                raise InputError(f"{path}: the key {name!r} stands twice in one object; keep one")
        return dict(pairs)

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=unique)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not JSON: {error.msg}; correct the line") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply for a file of this kind; correct it") from None


def _read_xml(path: Path, data: bytes) -> Any:
    root: dict[str, list[Any]] = {}
    stack: list[tuple[str, dict[str, list[Any]], list[str]]] = [("", root, [])]
    parser = expat.ParserCreate()

    def start(name: str, _attributes: dict[str, str]) -> None:
        if len(stack) > MAX_DEPTH:
            raise InputError(f"{path}:{parser.CurrentLineNumber}: more than {MAX_DEPTH} elements inside each other; correct the file")
        stack.append((name, {}, []))

    def end(_name: str) -> None:
        name, children, words = stack.pop()
        text = " ".join("".join(words).split())
        value: Any = {key: items[0] if len(items) == 1 else items for key, items in children.items()}
        if not children:
            value = text
        elif text:
            value["#text"] = text
        stack[-1][1].setdefault(name, []).append(value)

    def text_of(text: str) -> None:
        stack[-1][2].append(text)

    def doctype(*_: object) -> None:
        raise InputError(f"{path}:{parser.CurrentLineNumber}: a DOCTYPE may define entities without end; remove it from the file")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text_of
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise InputError(f"{path}:{error.lineno}: not XML: {expat.ErrorString(error.code)}; correct the line") from None
    return {name: items[0] for name, items in root.items()}


class Problems:
    """What is wrong with the files, one line each: file, key, value, limit, remedy."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, path: Path, key: str, value: object, limit: str, remedy: str) -> None:
        """Take down one problem."""
        shown = "(absent)" if value is None else str(value)
        self.lines.append(f"{path}: {key} = {shown[:60]}: {limit}; {remedy}")

    def check(self) -> None:
        """Raise InputError with all lines, if there are any."""
        if self.lines:
            count = len(self.lines)
            raise InputError("\n".join([f"{count} error{'s' if count > 1 else ''}", *(f"  {line}" for line in self.lines)]))

    def integer(self, path: Path, key: str, value: object, least: int, most: int) -> int | None:
        """An integer, also written as a string; None and a problem where it is none, or out of range."""
        text = str(value).strip()
        if value is None or isinstance(value, bool) or not re.fullmatch(r"-?[0-9]{1,9}", text):
            self.add(path, key, value, "a whole number is needed", f"write {least} to {most}")
            return None
        if not least <= int(text) <= most:
            self.add(path, key, value, f"must be {least} to {most}", "correct it")
            return None
        return int(text)


def _items(value: object) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list) else [value]


def _cluster(path: Path, problems: Problems) -> dict[str, Any]:
    value = read_tree(path).get("cluster")
    if not isinstance(value, dict):
        problems.add(path, "cluster", None if value is None else value, "the element that holds everything is missing", "add it")
        problems.check()
    assert isinstance(value, dict)
    return value


def _elements(path: Path, cluster: dict[str, Any], name: str, has: str, problems: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and content of every element ``name`` of the cluster that has any; ``has`` says what one has."""
    items = _items(cluster.get(name))
    if not items:
        problems.add(path, f"cluster.{name}", None, f"a cluster has at least one {name}", "add it")
    for index, item in enumerate(items):
        key = f"cluster.{name}[{index}]"
        if isinstance(item, dict):
            yield key, item
        else:
            problems.add(path, key, item, f"a {name} has {has}", "write them")


def _kernels(path: Path, cluster: dict[str, Any], problems: Problems) -> list[GalapagosKernel]:
    found: list[GalapagosKernel] = []
    owners: dict[int, str] = {}
    for key, item in _elements(path, cluster, "kernel", "a name and num", problems):
        name = item.get("#text")
        if not isinstance(name, str) or not name:
            problems.add(path, f"{key}.#text", name, "a kernel has a name", "write it (XML: the text of the element)")
            continue
        number = problems.integer(path, f"{key}.num", item.get("num"), 0, MAX_REPETITIONS)
        repeat = problems.integer(path, f"{key}.rep", item.get("rep", 1), 1, MAX_REPETITIONS)
        for each in range(repeat or 0) if number is not None else ():
            assert number is not None
            if number + each in owners:
                limit = f"kernel {number + each} is {owners[number + each]} already"
                problems.add(path, f"{key}.num", number, limit, "give each kernel its own number (rep takes consecutive ones)")
                break
            owners[number + each] = name
            found.append(GalapagosKernel(number + each, name))
    return sorted(found, key=lambda kernel: kernel.number)


def _address(path: Path, key: str, item: dict[str, Any], problems: Problems) -> tuple[int | None, int | None]:
    mac, ip = item.get("mac"), item.get("ip")
    mac_value = ip_value = None
    if not isinstance(mac, str) or not _MAC.fullmatch(mac.strip()):
        problems.add(path, f"{key}.mac", mac, "a MAC address is six pairs of hexadecimal digits", "write it as 02:f1:0e:00:00:00")
    else:
        mac_value = int(mac.replace(":", ""), 16)
        if mac_value >> 40 & 1:
            problems.add(path, f"{key}.mac", mac, "bit 0 of the first byte marks a group address", "make the first byte even")
    try:
        ip_value = int(ipaddress.IPv4Address(str(ip).strip()))
    except ValueError:
        problems.add(path, f"{key}.ip", ip, "an IPv4 address is four numbers from 0 to 255", "write it as 10.17.0.1")
    return mac_value, ip_value


def _nodes(path: Path, cluster: dict[str, Any], known: dict[int, str], problems: Problems) -> list[GalapagosNode]:
    found: list[GalapagosNode] = []
    homes: dict[int, str] = {}
    addresses: defaultdict[tuple[str, int], list[tuple[str, object]]] = defaultdict(list)
    for key, item in _elements(path, cluster, "node", "type, kernel, mac and ip", problems):
        kind = item.get("type")
        if kind not in ("hw", "sw"):
            problems.add(path, f"{key}.type", kind, "a node is an FPGA or a computer", "write hw or sw")
        board = item.get("board")
        if kind == "hw" and (not isinstance(board, str) or not board):
            problems.add(path, f"{key}.board", board, "a node of type hw names its board", "add it")
        numbers: list[int] = []
        for each in _items(item.get("kernel")):
            number = problems.integer(path, f"{key}.kernel", each, 0, MAX_REPETITIONS)
            if number is None:
                continue
            if number not in known:
                problems.add(path, f"{key}.kernel", number, "the logical file has no kernel of this number", "correct one of the files")
            elif number in homes:
                problems.add(path, f"{key}.kernel", number, f"kernel {number} is on {homes[number]} already", "remove one")
            else:
                homes[number] = key
                numbers.append(number)
        if not _items(item.get("kernel")):
            problems.add(path, f"{key}.kernel", None, "a node has at least one kernel", "add it, or remove the node")
        mac, ip = _address(path, key, item, problems)
        for name, value in (("mac", mac), ("ip", ip)):
            if value is not None:
                addresses[name, value].append((key, item[name]))
        found.append(GalapagosNode(kind == "hw", tuple(sorted(numbers)), mac or 0, ip or 0, str(board or ""), str(item.get("comm", ""))))
    for (name, _), ((first, _), *others) in addresses.items():
        for key, given in others:
            problems.add(path, f"{key}.{name}", given, f"{first} has the same address", "give each node its own")
    for number in sorted(set(known) - set(homes)):
        problems.add(
            path, "cluster.node", f"kernel {number}", f"{known[number]} is on no node", "add it to one, or remove it from the logical file"
        )
    return found


def read_cluster(logical: Path, mapping: Path) -> GalapagosCluster:
    """Read a logical and a map file. Raises InputError (exit code 2) with every problem of both."""
    problems = Problems()
    top = _cluster(logical, problems)
    kernels = _kernels(logical, top, problems)
    packet: dict[str, int] = {}
    given = top.get("packet")
    for name, value in sorted(given.items()) if isinstance(given, dict) else ():
        width = problems.integer(logical, f"cluster.packet.{name}", value, 0, 1 << 16)
        if width is not None:
            packet[name] = width
    nodes = _nodes(mapping, _cluster(mapping, problems), {kernel.number: kernel.name for kernel in kernels}, problems)
    problems.check()
    return GalapagosCluster(tuple(kernels), tuple(nodes), packet)
