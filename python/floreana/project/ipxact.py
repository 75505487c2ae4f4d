# SPDX-License-Identifier: Apache-2.0
"""A Tcl script for each kernel that packages it as IP-XACT with Vivado's ``ipx::`` commands (docs/ecosystem.md).

Ports and parameters come from the RTL, read by slang; the values a parameter may have from its comment there, which states them. Every
generated script runs in a test against a stand-in that knows the commands and checks names and files. Vivado itself never ran them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyslang
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pyslang import ast, syntax

from floreana.environment import project_root
from floreana.errors import InputError

VENDOR, LIBRARY = "floreana", "ip"
PART = "xczu19eg-ffvc1760-2-i"  # where the environment names no other
# what is packaged, and parameters that keep one value: a flattened bus of two ports is no AXI4-Stream
MODULES: dict[str, dict[str, int]] = {
    "ibert_linear": {},
    "ibert_attention": {},
    "ibert_add_norm": {},
    "net_eth": {},
    "node_manager": {},
    "node_core": {"ETH_N": 1},
}
_SIGNALS = ("tdata", "tkeep", "tuser", "tdest", "tid", "tlast", "tvalid", "tready")
_POWERS_MOST = 1 << 20
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Port:
    """A port: ``width`` in bits with the parameters at their defaults."""

    name: str
    output: bool
    width: int


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter: default, comment, and its values: a list, or least and most (None: whatever the type holds)."""

    name: str
    default: str
    comment: str
    values: tuple[int, ...] | None
    bounds: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Stream:
    """An AXI4-Stream of a module: the prefix of its ports, and their names."""

    name: str
    master: bool
    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Module:
    """What the header of a module says. ``files`` are its sources, leaves first; ``purpose`` is the first sentence of its comment."""

    name: str
    purpose: str
    ports: tuple[Port, ...]
    parameters: tuple[Parameter, ...]
    streams: tuple[Stream, ...]
    reset: str
    files: tuple[Path, ...]


def allowed_values(comment: str) -> tuple[tuple[int, ...] | None, tuple[int, int] | None]:
    """Values that a parameter's comment states: a list, or least and most; (None, None) where it states none."""
    text = comment.split("Requires", 1)[-1]
    powers = [1 << k for k in range(_POWERS_MOST.bit_length())]
    if found := re.search(r"power of two, (\d+) to (\d+)", text):
        return tuple(p for p in powers if int(found[1]) <= p <= int(found[2])), None
    if found := re.search(r"power of two, at least (\d+)", text):
        return tuple(p for p in powers if p >= int(found[1])), None
    if found := re.search(r"multiple of (\d+), at most (\d+)", text):
        return tuple(range(int(found[1]), int(found[2]) + 1, int(found[1]))), None
    if found := re.search(r"to divide (\d+)", text):
        return tuple(v for v in range(1, int(found[1]) + 1) if int(found[1]) % v == 0), None
    if found := re.search(r"(?<![\w*])(\d+(?:, \d+)* or \d+)\b", text):
        return tuple(int(word) for word in re.findall(r"\d+", found[1])), None
    if found := re.search(r"(?<![\w*])(\d+)(?: to |\.\.)(\d+)\b(?!\*)", text):
        return None, (int(found[1]), int(found[2]))
    if found := re.search(r"at most (\d+)\b(?!\*)", text):
        return None, (1, int(found[1]))
    return None, None


def _reached(name: str, sources: dict[str, Path]) -> list[Path]:
    order: dict[str, None] = {}

    def visit(module: str) -> None:
        text = re.sub(r"//[^\n]*", " ", sources[module].read_text(encoding="utf-8"))
        for word in sorted(set(re.findall(r"\b\w+\b", text)) & set(sources) - {module}):
            if word not in order:
                visit(word)
        order.setdefault(module)

    visit(name)
    return [sources[module] for module in order]


def read_module(name: str, extra: Path | None = None) -> Module:
    """Read the module ``name`` of rtl/, or of the file ``extra``. Raises InputError where there is none."""
    sources = {path.stem: path for path in sorted((project_root() / "rtl").glob("*/*.v"))}
    if extra is not None:
        sources[extra.stem] = extra
    if name not in sources:
        raise InputError(f"module {name} is in no file of rtl/; to be packaged: {', '.join(sorted(MODULES))}")
    text = sources[name].read_text(encoding="utf-8")
    options = ast.CompilationOptions()
    options.topModules = {name}
    compilation = ast.Compilation(pyslang.Bag([options]))
    compilation.addSyntaxTree(syntax.SyntaxTree.fromText(text))
    body: Any = compilation.getRoot().topInstances[0].body
    ports = tuple(Port(p.name, p.direction == ast.ArgumentDirection.Out, p.type.bitWidth) for p in body.portList)
    parameters = []
    for each in body.parameters:
        if each.isLocalParam:
            continue
        line = re.search(rf"^\s*parameter\b.*?\b{each.name}\s*=[^/\n]*(?://\s*(.*))?$", text, re.MULTILINE)
        comment = (line[1] or "") if line else ""
        values, bounds = allowed_values(comment)
        parameters.append(Parameter(each.name, str(each.value).strip('"'), comment, values, bounds))
    names = {port.name: port for port in ports}
    streams = []
    for port in ports:
        if port.name.endswith("_tvalid"):
            prefix = port.name.removesuffix("_tvalid")
            streams.append(Stream(prefix, port.output, tuple(f"{prefix}_{s}" for s in _SIGNALS if f"{prefix}_{s}" in names)))
    comments = [line.removeprefix("//").strip() for line in text.splitlines() if line.startswith("//") and "SPDX" not in line]
    purpose = next((line for line in comments if line), name).split(". ")[0].rstrip(".:").translate({ord(c): None for c in "{}\\"})
    reset = "aresetn" if "aresetn" in names else "rst"
    return Module(name, purpose, ports, tuple(parameters), tuple(streams), reset, tuple(_reached(name, sources)))


def render_script(module: Module, fixed: dict[str, int], version: str, folder: Path) -> str:
    """The Tcl script, which lies in ``folder`` and names the sources relative to it."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    known = {parameter.name for parameter in module.parameters}
    assert set(fixed) <= known
    files = [Path(os.path.relpath(path, folder)).as_posix() for path in module.files]
    return environment.get_template("package.tcl.j2").render(
        module=module, fixed=fixed, version=version, files=files, vendor=VENDOR, library=LIBRARY, part=PART
    )


def write_scripts(out: Path, version: str, only: str | None = None) -> list[Path]:
    """Write ``<out>/ip/<module>/package.tcl`` for each module, or for one; returns the paths."""
    if only is not None and only not in MODULES:
        raise InputError(f"module {only} is not packaged; known: {', '.join(sorted(MODULES))}")
    written = []
    for name in sorted(MODULES) if only is None else [only]:
        path = (out / "ip" / name / "package.tcl").absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        text = render_script(read_module(name), MODULES[name], version, path.parent)
        temporary = path.with_suffix(".tcl.tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
        written.append(path)
    return written
