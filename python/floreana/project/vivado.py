# SPDX-License-Identifier: Apache-2.0
"""Vivado projects of a plan: for each node sources, IP, constraints and scripts for its board, and a Makefile for all (docs/vivado.md).

The same plan and parameters give the same bytes. Nothing here runs Vivado.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from floreana.boards import Board, board
from floreana.cluster.description import ClusterSection
from floreana.cluster.images import node_images
from floreana.cluster.plan import NodePlan, Plan
from floreana.environment import project_root
from floreana.errors import EnvironmentError_, InputError
from floreana.ibert.params import ModelParams
from floreana.project.cmac_usplus import settings
from floreana.project.tops import render_tops
from floreana.sim.build import sources_of

_TEMPLATES = Path(__file__).parent / "templates" / "vivado"
FILES = "floreana-files.json"  # of a folder that was written by this module: its files
VIVADO_OLDEST = "2021.1"
CORE_MHZ, INIT_MHZ = 200, 100
VCO_MHZ = (800, 1600)  # of an MMCM of UltraScale+: comments in corundum/corundum, fpga/mqnic/*/fpga_100g/rtl/fpga.v
VCO_BEST = 1200
MAC_PERIOD = 80 * 1000 / 25_781.25  # ns: gt_txusrclk2, 25.78125 Gb/s by 80 bits
LIGHTS = ("a frame was lost, dropped or bad, or a link failed",)
# names beside the nodes': a folder, and targets of the Makefile
RESERVED = frozenset({"rtl", "all", "help", "clean", "program", "check", "load", "project", "synth", "impl"})
SCRIPTS = ("project.tcl", "ip.tcl", "checks.tcl", "synth.tcl", "impl.tcl", "program.tcl", "pins.xdc", "timing.xdc", "cdc.xdc")


@dataclass(frozen=True, slots=True)
class TopPort:
    """A port of a top: ``width`` 0 is a single wire; ``pins`` from bit 0 upwards, none where they follow from others."""

    name: str
    direction: str
    width: int = 0
    pins: tuple[str, ...] = ()
    standard: str | None = None

    @property
    def range(self) -> str:
        return f"[{self.width - 1}:0]" if self.width else ""


@dataclass(frozen=True, slots=True)
class Light:
    what: str


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )


def multiplier(mhz: float) -> int:
    """What an MMCM multiplies ``mhz`` by, so that CORE_MHZ and INIT_MHZ are whole parts of the product. InputError where nothing does."""
    fits = [m for m in range(2, 129) if VCO_MHZ[0] <= mhz * m <= VCO_MHZ[1] and mhz * m % CORE_MHZ == 0 and mhz * m % INIT_MHZ == 0]
    if not fits:
        raise InputError(f"a clock of {mhz:g} MHz has no multiple from {VCO_MHZ[0]} to {VCO_MHZ[1]} MHz that gives {CORE_MHZ} MHz")
    return min(fits, key=lambda m: (abs(mhz * m - VCO_BEST), m))


def lights(one: Board, eth_n: int) -> list[Light]:
    """What the board's LEDs show, as many as it has."""
    all_of_them = [*(f"link of {one.ports[p].name}" for p in range(eth_n)), "busy", *LIGHTS]
    return [Light(what) for what, _ in zip(all_of_them, one.leds.pins if one.leds else (), strict=False)]


def top_ports(one: Board, eth_n: int) -> list[TopPort]:
    """Ports of a node's top on a board, in order."""
    clock, ports = one.clock, []
    if clock.n is None:
        ports.append(TopPort("sys_clk", "input", 0, (clock.p,), clock.standard))
    else:
        ports += [TopPort(f"sys_clk_{s}", "input", 0, (pin,), clock.standard) for s, pin in (("p", clock.p), ("n", clock.n))]
    if one.reset is not None:
        name = "board_reset_n" if one.reset.active == "low" else "board_reset"
        ports.append(TopPort(name, "input", 0, (one.reset.pin,), one.reset.standard))
    for cage in one.ports[:eth_n]:
        ports += [
            TopPort(f"{cage.name}_refclk_p", "input", 0, (cage.refclk.p,)),
            TopPort(f"{cage.name}_refclk_n", "input", 0, (cage.refclk.n,)),
            TopPort(f"{cage.name}_rx_p", "input", 4, cage.rx),
            TopPort(f"{cage.name}_rx_n", "input", 4),
            TopPort(f"{cage.name}_tx_p", "output", 4, cage.tx),
            TopPort(f"{cage.name}_tx_n", "output", 4),
        ]
    ports += [TopPort(name, "output", 0, (pin,), standard) for name, pin, standard, _ in fixed_pins(one, eth_n)]
    shown = lights(one, eth_n)
    if shown and one.leds is not None:
        ports.append(TopPort("led", "output", len(shown), one.leds.pins[: len(shown)], one.leds.standard))
    return ports


def fixed_pins(one: Board, eth_n: int) -> list[tuple[str, str, str, int]]:
    """(port, pin, standard, level) of outputs that stay at one level: of the cages in use, and of the board."""
    cages = [(f"{cage.name}_{pin.name}", pin) for cage in one.ports[:eth_n] for pin in cage.sideband]
    return [(name, pin.pin, pin.standard, pin.level) for name, pin in (*cages, *((pin.name, pin) for pin in one.fixed))]


def jtag_name(one: Board) -> str:
    """How the device's name begins in Vivado's hardware manager: without the package's letters, in Zynq without those behind the number."""
    if one.device.family.startswith("Zynq"):
        match = re.match(r"xczu\d+", one.device_name)
        assert match is not None
        return match[0]
    return one.device_name


def check_board(name: str, one: Board, eth_n: int) -> None:
    """InputError where no node can be built for the board."""
    if not one.ports:
        raise InputError(
            f"{name}: board {one.name} ({one.device_name}) has no 100G MAC, a node needs {eth_n}; choose another cluster.board"
        )
    if len(one.ports) < eth_n:
        raise InputError(f"{name}: board {one.name} has {len(one.ports)} 100G MACs, the node needs {eth_n}; choose another cluster.board")


def top_name(plan: Plan, node: NodePlan) -> str:
    return f"{plan.project}_{node.name}_top"


def render_top(plan: Plan, node: NodePlan, one: Board) -> str:
    """The top of a node on its board."""
    return _environment().get_template("top.v.j2").render(_values(plan, node, one))


def _values(plan: Plan, node: NodePlan, one: Board) -> dict[str, Any]:
    eth_n = plan.shape["ETH_N"]
    check_board(node.name, one, eth_n)
    mult = multiplier(one.clock.mhz)
    ports = top_ports(one, eth_n)
    vco = round(one.clock.mhz * mult)
    inputs = [port for port in ports if port.direction == "input" and port.standard and "clk" not in port.name]
    outputs = [port for port in ports if port.direction == "output" and port.standard]
    return {
        "project": plan.project,
        "node": node,
        "board": one,
        "top": top_name(plan, node),
        "ports": ports,
        "eth_n": eth_n,
        "peers_n": plan.shape["PEERS_N"],
        "lights": lights(one, eth_n),
        "fixed": [{"name": name, "level": level} for name, _, _, level in fixed_pins(one, eth_n)],
        "core_mhz": CORE_MHZ,
        "init_mhz": INIT_MHZ,
        "mult": mult,
        "core_div": vco // CORE_MHZ,
        "init_div": vco // INIT_MHZ,
        "period": 1000 / one.clock.mhz,
        "slow_in": [port.name for port in inputs],
        "slow_out": [f"{port.name}[*]" if port.width else port.name for port in outputs],
    }


def render_node(plan: Plan, node: NodePlan, one: Board, rtl: Iterable[str]) -> dict[str, str]:
    """File name -> text of a node's folder, but for its images; ``rtl`` are the files of rtl/ that it needs."""
    values = _values(plan, node, one)
    eth_n = plan.shape["ETH_N"]
    cages = one.ports[:eth_n]
    macs = [{"cage": cage.name, "module": f"cmac_usplus_{p}", "settings": settings(cage, INIT_MHZ)} for p, cage in enumerate(cages)]
    scripts = {
        **values,
        "node": node.name,
        "cages": cages,
        "macs": macs,
        "sites": ("CMAC_CORE_SELECT", "GT_GROUP_SELECT", *(f"LANE{lane}_GT_LOC" for lane in range(1, 5)), "GT_REF_CLK_FREQ"),
        "sources": [f"{values['top']}.v", *(f"../rtl/{name}" for name in rtl)],
        "clock_port": "sys_clk" if one.clock.n is None else "sys_clk_p",
        "limit": f"{min(1000 / CORE_MHZ, MAC_PERIOD):.3f}",
        "mac_clocks": " ".join(f"mac{p}/gt_txusrclk2" for p in range(eth_n)),
        "jtag": jtag_name(one),
        "vivado_oldest": VIVADO_OLDEST,
    }
    texts = {f"{values['top']}.v": _environment().get_template("top.v.j2").render(values)}
    return texts | {name: _environment().get_template(f"{name}.j2").render(scripts) for name in SCRIPTS}


def node_sources(plan: Plan) -> dict[str, bytes]:
    """File name -> text of all modules below a top: those of the simulated node, and of the shell."""
    folders = sorted(path for path in (project_root() / "rtl").iterdir() if path.is_dir())
    own = render_tops(plan)
    found = {**sources_of(f"{plan.project}_node", own, folders), **sources_of("node_shell", {}, folders)}
    return {f"{name}.v": text for name, text in sorted(found.items())}


def render_project(plan: Plan, boards: Mapping[str, str], params: ModelParams) -> dict[str, bytes]:
    """Path -> contents of everything; ``boards`` maps names of nodes to boards. InputError where a board is unknown or does not do."""
    taken = sorted(node.name for node in plan.nodes if node.name in RESERVED)
    if taken:
        raise InputError(f"cluster.nodes: {', '.join(taken)} is a folder or a make target beside the nodes; choose another name")
    rtl = node_sources(plan)
    chosen = {node.name: board(boards[node.name]) for node in plan.nodes}
    files = {f"rtl/{name}": text for name, text in rtl.items()}
    names = [node.name for node in plan.nodes]
    for node in plan.nodes:
        texts = render_node(plan, node, chosen[node.name], rtl)
        files |= {f"{node.name}/{name}": text.encode() for name, text in texts.items()}
    for node, (name, text, _) in zip(plan.nodes, node_images(plan, params), strict=True):
        files[f"{node.name}/images/{name}"] = text
    files["Makefile"] = _environment().get_template("Makefile.j2").render({"project": plan.project, "nodes": names}).encode()
    files["plan.json"] = plan.to_json().encode()
    return dict(sorted(files.items()))


def boards_of(cluster: ClusterSection) -> dict[str, str]:
    """Board by name of node."""
    return {name: cluster.board_of(name) for name in cluster.nodes}


# ------------------------------------------------------------------ writing


def _ours(folder: Path, project: str) -> list[str]:
    """Files that an earlier call wrote there. InputError where the folder is somebody else's."""
    remedy = "name another folder with OUT=, or move it away"
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; {remedy}")
    if not any(folder.iterdir()):
        return []
    try:
        told = json.loads((folder / FILES).read_text(encoding="utf-8"))
        owner, files = told["project"], sorted(told["files"])
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in files):
            raise ValueError("a file outside the folder")
    except FileNotFoundError:
        raise InputError(f"{folder} was not written by floreana vivado (it has no {FILES}) and is left as it is; {remedy}") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{folder / FILES} is not what floreana vivado writes: the folder is left as it is; {remedy}") from None
    if owner != project:
        raise InputError(f"{folder} holds project {owner}, not {project}, and is left as it is; {remedy}")
    return files


def check_folder(folder: Path, project: str) -> None:
    """InputError where the folder holds what an earlier call did not write."""
    _ours(folder, project)


def write_project(folder: Path, project: str, files: Mapping[str, bytes]) -> int:
    """Write ``files`` below ``folder``: only what changed, so that make builds only that; what Vivado made stays. Returns how many.

    InputError where the folder was not written by an earlier call, EnvironmentError_ where it cannot be written.
    """
    before = _ours(folder, project)
    listing = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    text = json.dumps({"project": project, "files": listing}, indent=1) + "\n"
    changed = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # first, so that an interrupted call leaves a folder that the next one may write
        _replace(folder / FILES, text.encode())
        for name, data in files.items():
            path = folder / name
            if path.is_file() and path.read_bytes() == data:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, data)
            changed += 1
        for name in before:
            if name not in files:
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentError_(
            f"{error.filename or folder} cannot be written: {error.strerror}; free space, or choose another folder with OUT="
        ) from error
    return changed


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
