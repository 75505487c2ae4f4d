# SPDX-License-Identifier: Apache-2.0
"""Generated Verilog of a project: the unparameterised top of its node shape and the simulation of the whole cluster."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from floreana.cluster.plan import Plan
from floreana.cluster.topology import Numbers

_TEMPLATES = Path(__file__).parent / "templates"


def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)


def render_arrays(plan: Plan) -> dict[str, str]:
    """File name -> text of the bare multiplier arrays of a plan, for measuring."""
    environment = _environment()
    k_lanes = plan.shape["K_LANES"]
    values = {
        "project": plan.project,
        "count": len(plan.nodes),
        "k_lanes": k_lanes,
        "out_n": plan.shape["OUT_N"],
        "group": max(plan.hidden // k_lanes, 1),
    }
    return {f"{plan.project}_{name}.v": environment.get_template(f"{name}.v.j2").render(values) for name in ("array", "arrays")}


def render_tops(plan: Plan) -> dict[str, str]:
    """File name -> text: the node, the same in simulation and in synthesis, and the simulated cluster."""
    environment = _environment()
    values = {
        "project": plan.project,
        "nodes": plan.nodes,
        "number": Numbers(len(plan.nodes), plan.shape["PEERS_N"]).number,
        "shape": list(plan.shape.items()),
        "eth_n": plan.shape["ETH_N"],
        "peers_n": plan.shape["PEERS_N"],
    }
    return {
        f"{plan.project}_node.v": environment.get_template("node.v.j2").render(values),
        f"{plan.project}_cluster.v": environment.get_template("cluster.v.j2").render(values),
    }


def cluster_top(plan: Plan) -> str:
    """Name of the simulation's top module."""
    return f"{plan.project}_cluster"
