# SPDX-License-Identifier: Apache-2.0
"""A plan for Galapagos: logical and map files, a Verilog wrapper and a packaging script for each kind of kernel, configuration packets.

Rules (numbers, header beat, multicast): docs/galapagos.md.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from floreana.cluster import layout
from floreana.cluster.description import format_ip, format_mac
from floreana.cluster.plan import HOST_KERNEL, Plan
from floreana.errors import InputError
from floreana.project.ipxact import LIBRARY, VENDOR, read_module, render_script

HOST_NUMBER = 1  # of the computer; Galapagos refuses the number 0
KERNELS = ("linear", "attention", "add_norm")
PORTS = {"linear": layout.PORT_LINEAR, "attention": layout.PORT_ATTENTION, "add_norm": layout.PORT_ADD_NORM}
GROUPS = range(224, 254)
# parameter of a kernel -> that of node_core whose value it takes
PARAMETERS: dict[str, dict[str, str]] = {
    "linear": {
        name: name for name in ("K_LANES", "OUT_N", "POST_LANES", "W_WORDS", "BIAS_WORDS", "POST_WORDS", "STORE_BEATS", "ROW_W", "SLOT_W")
    },
    "attention": {name: name for name in ("HEAD_DIM", "HEAD_BEATS", "ROW_W", "SLOT_W", "REQ_WORDS")},
    "add_norm": {"LANES": "NORM_LANES"}
    | {name: name for name in ("ROW_W", "SLOT_W", "LROW_W", "ACC_BEATS", "RES_WORDS", "CHAN_WORDS", "ROW_BEATS")},
}
COUNT_W = {"linear": 480, "attention": 320, "add_norm": 352}  # width of sts_count
UNITS = {"linear": layout.UNIT_LINEAR, "attention": layout.UNIT_ATTENTION, "add_norm": layout.UNIT_ADD_NORM}
CONFIG_KIND = 1
WRITES_N = 60  # of a packet: 121 beats, 7,744 bytes, below a jumbo frame
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class GalapagosOptions:
    """Widths of TDEST and TID, of TUSER, in bits; the board of every node and its protocol, by Galapagos' names; the files' format."""

    dest_w: int = 24
    user_w: int = 16
    board: str = "sidewinder"
    comm: str = "udp"
    form: Literal["xml", "json"] = "xml"


def numbers(plan: Plan) -> dict[int, int]:
    """Kernel number of a message -> Galapagos number: 1 the host, then linear of every node, attention, add_norm."""
    count = len(plan.nodes)
    found = {HOST_KERNEL: HOST_NUMBER}
    for index, kernel in enumerate(KERNELS):
        for node in plan.nodes:
            found[node.kernels[kernel]] = HOST_NUMBER + 1 + index * count + node.index
    return found


def receivers(plan: Plan) -> dict[int, tuple[int, ...]]:
    """Kernel number, or group, of a message -> Galapagos numbers of its receivers, ascending."""
    known = numbers(plan)
    found: dict[int, tuple[int, ...]] = {number: (galapagos,) for number, galapagos in known.items()}
    for group in GROUPS:
        members = {
            known[node.kernels[kernel]] for node in plan.nodes for kernel in KERNELS if node.route.get(group, 0) >> PORTS[kernel] & 1
        }
        if members:
            found[group] = tuple(sorted(members))
    return dict(sorted(found.items()))


def check(plan: Plan, options: GalapagosOptions) -> None:
    """Raises InputError where Galapagos has no counterpart of the plan."""
    problems = []
    if len(plan.clusters) > 1:
        problems.append(f"{len(plan.clusters)} clusters: a logical file describes one; choose clusters: 1")
    if plan.topology != "star":
        problems.append(f"a {plan.topology}: Galapagos' boards are on one Ethernet switch; choose topology: star")
    least = max(numbers(plan).values()).bit_length()
    if not least <= options.dest_w <= 24:
        problems.append(f"--dest-bits {options.dest_w}: must be {max(least, 8)} to 24 for this plan; the current Galapagos has 24")
    if not 8 <= options.user_w <= 64:
        problems.append(f"--user-bits {options.user_w}: must be 8 to 64; the current Galapagos has 16")
    if problems:
        raise InputError(f"{plan.project} cannot go to Galapagos: " + "; ".join(problems))


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )


def render_wrapper(plan: Plan, kernel: str, options: GalapagosOptions) -> str:
    """Text of ``galapagos_<kernel>.v``."""
    base = plan.nodes[0].kernels[kernel]
    return (
        _environment()
        .get_template("galapagos_kernel.v.j2")
        .render(
            kernel=kernel,
            project=plan.project,
            dest_w=options.dest_w,
            user_w=options.user_w,
            nodes=len(plan.nodes),
            first=numbers(plan)[base],
            base=base,
            count_w=COUNT_W[kernel],
            parameters=[(name, plan.shape[source]) for name, source in PARAMETERS[kernel].items()],
            table=list(receivers(plan).items()),
        )
    )


def logical_file(plan: Plan, options: GalapagosOptions, version: str) -> dict[str, Any]:
    """The logical file as a tree: the host, then a kernel of each kind, repeated for every node."""
    packet = {"data": "512", "keep": "1", "last": "1", "dest": str(options.dest_w), "id": str(options.dest_w), "user": str(options.user_w)}
    stream = {"s_axis": {"scope": "global", "name": "s_axis"}, "m_axis": {"scope": "global", "name": "m_axis"}}
    common = {"clk": "clk", "aresetn": "aresetn", "id_port": "id", "control": "FALSE"}
    kernels: list[dict[str, Any]] = [
        {"#text": "floreana_host", "num": str(HOST_NUMBER), "rep": "1", **common, "type": "sw", **stream},
    ]
    known = numbers(plan)
    for kernel in KERNELS:
        kernels.append(
            {
                "#text": f"galapagos_{kernel}",
                "vendor": VENDOR,
                "lib": LIBRARY,
                "version": version,
                "num": str(known[plan.nodes[0].kernels[kernel]]),
                "rep": str(len(plan.nodes)),
                **common,
                "type": "ip",
                **stream,
            }
        )
    return {"cluster": {"clusterNumber": "0", "userIpPath": "ip", "packet": packet, "kernel": kernels}}


def map_file(plan: Plan, options: GalapagosOptions) -> dict[str, Any]:
    """The map file as a tree: the computer with the host, then every FPGA with its three kernels."""
    known = numbers(plan)
    nodes: list[dict[str, Any]] = [
        {"type": "sw", "kernel": [str(HOST_NUMBER)], "mac": format_mac(plan.host.mac), "ip": format_ip(plan.host.ip)}
    ]
    for node in plan.nodes:
        nodes.append(
            {
                "board": options.board,
                "comm": options.comm,
                "type": "hw",
                "autorun": "False",
                "kernel": [str(known[node.kernels[kernel]]) for kernel in KERNELS],
                "mac": format_mac(node.mac),
                "ip": format_ip(node.ip),
            }
        )
    return {"cluster": {"node": nodes}}


def render_tree(tree: dict[str, Any], form: Literal["xml", "json"]) -> str:
    """A tree as XML or as JSON."""
    if form == "json":
        return json.dumps(tree, indent=1) + "\n"
    return _environment().get_template("cluster.xml.j2").render(cluster=tree["cluster"])


def config_beats(image: Path, kernel: str) -> Iterator[tuple[int, int]]:
    """Beats (TLAST, TDATA) of the packets that configure one kernel, from its node's image: a header, then addresses and data.

    The image has a write a line, 32 bits of address and 512 of data; the kernel's own are those with its unit in bits 31:28.
    """
    writes = []
    with image.open(encoding="ascii") as lines:
        for line in lines:
            word = int(line, 16)
            if word >> 540 == UNITS[kernel]:
                writes.append((word >> 512 & (1 << 28) - 1, word & (1 << 512) - 1))
    for start in range(0, len(writes), WRITES_N):
        yield 0, CONFIG_KIND << 80
        packet = writes[start : start + WRITES_N]
        for index, (address, data) in enumerate(packet):
            yield 0, address
            yield int(index == len(packet) - 1), data


def write_export(plan: Plan, out: Path, options: GalapagosOptions, version: str) -> Path:
    """Write ``<out>/galapagos/``: logical and map file, wrappers, packaging scripts. Returns the folder; an old one is replaced.

    Where ``<out>/images/`` holds the nodes' images, ``config/<Galapagos number>.hex`` has the packets that configure each kernel, a beat
    a line: TLAST, then 128 digits of TDATA.
    """
    check(plan, options)
    final = out / "galapagos"
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".galapagos-", dir=final.parent))
    try:
        (temporary / f"logical.{options.form}").write_text(
            render_tree(logical_file(plan, options, version), options.form), encoding="utf-8"
        )
        (temporary / f"map.{options.form}").write_text(render_tree(map_file(plan, options), options.form), encoding="utf-8")
        for kernel in KERNELS:
            name = f"galapagos_{kernel}"
            folder = temporary / "ip" / name
            folder.mkdir(parents=True)
            source = folder / f"{name}.v"
            source.write_text(render_wrapper(plan, kernel, options), encoding="utf-8")
            script = render_script(read_module(name, source), {}, version, folder)
            (folder / "package.tcl").write_text(script, encoding="utf-8")
        images = {node.index: out / "images" / f"node{node.index}.hex" for node in plan.nodes}
        if all(path.is_file() for path in images.values()):
            (temporary / "config").mkdir()
            known = numbers(plan)
            for node in plan.nodes:
                for kernel in KERNELS:
                    text = "".join(f"{last}{beat:0128x}\n" for last, beat in config_beats(images[node.index], kernel))
                    (temporary / "config" / f"{known[node.kernels[kernel]]}.hex").write_text(text, encoding="ascii")
        temporary.chmod(0o755)
        if final.exists():
            shutil.rmtree(final)
        temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final
