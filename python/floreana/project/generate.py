# SPDX-License-Identifier: Apache-2.0
"""`floreana vivado` and `floreana projects`: description -> plan, parameters, images -> Vivado projects below build/<project>/vivado."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from floreana.cluster.description import MinilmModel, Project, find_project, load_project, projects_root
from floreana.cluster.plan import Plan, make_plan
from floreana.cluster.resources import check_fit, devices_of, whole
from floreana.environment import cache_folder
from floreana.errors import InputError
from floreana.ibert.quantise import quantise_cached
from floreana.project.vivado import boards_of, check_folder, render_project, write_project
from floreana.sim.flow import Options, build_folder, prepare


@dataclass(frozen=True, slots=True)
class Generated:
    """A folder that was written: the board of each node, files in all, how many of them changed, and what leaves too little room."""

    folder: Path
    boards: dict[str, str]
    files: int
    changed: int
    tight: tuple[str, ...]


def check_memories(project: Project, plan: Plan) -> tuple[str, ...]:
    """What exceeds the limits a design should keep (90 % of a device, 80 % of its LUTs), with the arithmetic.

    Raises InputError where a device has too few DSP slices, RAMB36 or URAM288 at all: those counts are exact, the others are not.
    """
    problems, tight = [], []
    for device, limits in devices_of(project).items():
        problems += [f"  {device}: {text}" for text in check_fit(plan.shape, whole(limits))]
        tight += [f"{device}: {text}" for text in check_fit(plan.shape, limits)]
    if problems:
        raise InputError("\n".join([f"a node of {plan.project} does not fit its board:", *problems]))
    return tuple(tight)


def generate(name: str, out: Path | None, model: Path | None, nodes: int | None, tell: Callable[[str], None]) -> Generated:
    """Write the Vivado projects of a project. InputError where the description, a board or the folder does not do."""
    project = load_project(find_project(name), nodes=nodes)
    plan = make_plan(project)
    tight = check_memories(project, plan)
    folder = build_folder(project, out) / "vivado"
    check_folder(folder, project.name)
    workload = prepare(project, plan, Options(project=name, model=model, nodes=nodes), tell)
    tell(f"quantising the model of {project.name}")
    params = quantise_cached(workload.weights, workload.calibration, project.name, cache_folder(), tell, workload.softmax)
    tell(f"writing {folder}")
    chosen = boards_of(project.cluster)
    files = render_project(plan, chosen, params)
    return Generated(folder, chosen, len(files), write_project(folder, project.name, files), tight)


def generate_all(out: Path | None, model: Path | None, tell: Callable[[str], None]) -> list[Generated]:
    """Every project of fpga_projects/; ``model`` is for those that take one."""
    done = []
    for name in sorted(path.parent.name for path in projects_root().glob("*/project.yaml")):
        takes = isinstance(load_project(find_project(name)).model, MinilmModel)
        done.append(generate(name, out, model if takes else None, None, tell))
    return done
