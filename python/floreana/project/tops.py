# SPDX-License-Identifier: Apache-2.0
"""Generated Verilog of a project: the unparameterised top of its node shape and the simulation of the whole cluster."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from floreana.cluster.plan import Plan

_TEMPLATES = Path(__file__).parent / "templates"


def render_tops(plan: Plan, hier: bool) -> dict[str, str]:
    """File name -> text. ``hier`` marks the node as a block that Verilator compiles once for all nodes."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    values = {"project": plan.project, "nodes": plan.nodes, "shape": list(plan.shape.items()), "hier": hier}
    return {
        f"{plan.project}_node.v": environment.get_template("node.v.j2").render(values),
        f"{plan.project}_cluster.v": environment.get_template("cluster.v.j2").render(values),
    }


def cluster_top(plan: Plan) -> str:
    """Name of the simulation's top module."""
    return f"{plan.project}_cluster"
