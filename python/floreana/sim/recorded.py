# SPDX-License-Identifier: Apache-2.0
"""`floreana sim --vectors`: recorded encoders on the cluster, one run for each, compared with the model and with the recording."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

import numpy as np

from floreana.cluster.description import Project, SyntheticModel, find_project, load_project
from floreana.cluster.plan import Plan
from floreana.environment import cache_folder
from floreana.errors import DiffersError, InputError
from floreana.ibert import ops
from floreana.ibert.model import model
from floreana.ibert.params import EncoderParams, IntArray, ModelParams
from floreana.ibert.quantise import quantise_cached
from floreana.report.recorded import Recorded, compare_recorded, encoder_params
from floreana.report.result import SentenceReport
from floreana.report.vectors import LINEARS, Vectors, exact_probabilities, find_vectors
from floreana.sim.flow import (
    Finished,
    Hooks,
    Options,
    Teller,
    build_folder,
    check_options,
    finish,
    locked,
    make_fresh,
    plan_project,
    run_cluster,
    synthetic_workload,
)


class RecordedTeller(Teller, Protocol):
    """Where a run of recorded vectors reports."""

    def note(self, text: str) -> None: ...
    def recorded(self, report: Recorded) -> None: ...


def misfit(v: Vectors, plan: Plan) -> str | None:
    """Why a recording is not of the project's sizes, or None."""
    sizes = (("hidden size", v.hidden, plan.hidden), ("heads", v.heads, plan.heads), ("FFN size", v.ffn, plan.ffn))
    problems = [f"{name} {recorded}, the project has {own}" for name, recorded, own in sizes if recorded != own]
    tokens = len(v.keys())
    if tokens > plan.max_tokens:
        problems.append(f"{tokens} rows that count, the project takes at most {plan.max_tokens}")
    return "; ".join(problems) or None


def choose(project: Project, plan: Plan, folder: Path, encoder: str | None) -> tuple[list[Path], list[str]]:
    """Recordings of the project's sizes, and why others are left out. InputError where there is none."""
    if not isinstance(project.model, SyntheticModel) or plan.encoders != 1:
        raise InputError(
            f"project {project.name} has {plan.encoders} encoder(s) and source {project.model.source}; VECTORS needs a project of one "
            "encoder and source synthetic, for example PROJECT=ibert_base_6 (a recording lacks the feed-forward matrices: nothing behind "
            "the first encoder could be compared)"
        )
    if project.model.softmax != ("published",):
        raise InputError(
            f"project {project.name} has model.softmax {', '.join(project.model.softmax)}, recordings are of the published one; "
            "leave it out"
        )
    fit, others = [], []
    for path in find_vectors(folder, encoder):
        why = misfit(Vectors(path), plan)
        if why is None:
            fit.append(path)
        else:
            others.append(f"{path}: {why}")
    if not fit:
        raise InputError("\n  ".join([f"no recording fits project {project.name}; choose another project or folder", *others]))
    return fit, others


def model_params(name: str, plan: Plan, v: Vectors, synthetic: EncoderParams) -> ModelParams:
    """The recorded encoder as a model. There is no float model: both scales are 1."""
    scale = np.ones(plan.hidden)
    return ModelParams(name, plan.hidden, plan.heads, plan.ffn, (encoder_params(v, synthetic),), scale, scale)


def simulate_recorded(options: Options, teller: RecordedTeller, version: str, hooks: Hooks | None = None) -> list[Finished]:
    """One run for each recording that fits, each in a folder of its own. DiffersError names every first difference."""
    hooks = Hooks() if hooks is None else hooks
    check_options(options)
    assert options.vectors is not None
    project = load_project(find_project(options.project), nodes=options.nodes)
    plan, trouble = plan_project(project, options)
    paths, others = choose(project, plan, options.vectors, options.encoder)
    assert isinstance(project.model, SyntheticModel)
    for why in others:
        teller.note(f"left out: {why}")
    teller.stage("quantising the model")
    weights, calibration = synthetic_workload(project.model, plan)
    synthetic = quantise_cached(weights, calibration, project.name, cache_folder(), teller.stage).encoders[0]

    def load(path: Path) -> tuple[Vectors, ModelParams, IntArray]:
        v = Vectors(path)
        return v, model_params(f"{project.name} {v.name}", plan, v, synthetic), v[f"{LINEARS[0]}/input"][v.keys()]

    for path in paths:  # what could not be run or compared is said before anything is written
        v, params, rows = load(path)
        exact_probabilities(v)
        try:
            model(params, rows)
        except ops.RangeError as error:
            raise InputError(f"{path}: expected values whose sums and products fit the units, got {error}") from None
    folder = build_folder(project, options.out)
    done: list[Finished] = []
    differences: list[str] = []
    with locked(folder):
        builds = make_fresh(folder).parent
        for path in paths:
            v, params, rows = load(path)
            log = make_fresh(folder / v.name)
            ran = run_cluster(plan, params, [rows], options, trouble, teller, hooks, log, hooks.builds or builds)
            begin = time.monotonic()
            recorded = compare_recorded(v, plan, params, ran.analysis)
            ran.seconds["compare_seconds"] += time.monotonic() - begin
            text = f"{v.name}: {len(rows)} of {v.tokens} recorded rows"
            reports = [SentenceReport(text, sentence) for sentence in ran.analysis.sentences]
            done.append(finish(plan, ran, reports, options, teller, version, log.parents[1], recorded.content()))
            teller.recorded(recorded)
            ran.check()
            differences += recorded.differences
    if differences:
        raise DiffersError("differs: " + "\ndiffers: ".join(differences))
    return done
