# SPDX-License-Identifier: Apache-2.0
"""One `floreana sim`: from a project's description and a text to the compared result.

Everything wrong with the input is said before anything is written.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from floreana.cluster.description import MinilmModel, Project, SyntheticModel, find_project, load_project
from floreana.cluster.images import write_images
from floreana.cluster.plan import Plan, load_plan, make_plan
from floreana.environment import cache_folder, project_root
from floreana.errors import DiffersError, EnvironmentError_, FloreanaError, InputError
from floreana.ibert.bert import BertWeights, forward
from floreana.ibert.params import IntArray, ModelParams
from floreana.ibert.quantise import embed_rows, pool, quantise_cached
from floreana.ibert.source import Tokenizer, fetch_minilm, load_bert
from floreana.ibert.store import load_params, save_params
from floreana.ibert.synthetic import random_ids, synthetic_bert
from floreana.project.tops import cluster_top, render_tops
from floreana.report.compare import Analysis, analyse, check_sequences
from floreana.report.result import SentenceReport, result, write_outputs, write_result, write_whole
from floreana.sim.build import SIMULATORS, Simulator, build
from floreana.sim.capture import read_capture
from floreana.sim.job import Fault, Job, Outcome, Port
from floreana.sim.run import DEFAULT_DELAY, check_window, default_window, run

DEFAULT_PROJECT = "minilm_6"
DEFAULT_TEXT = "Finches crossed the water, and every island taught them another way to live."
DEFAULT_TOKENS = 8  # of a project without a tokenizer
CALIBRATION_SEQUENCES = 8  # of random tokens, there too
QUIET_CYCLES = 20_000  # besides twice the multipliers' own time, before a run without a frame is given up


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line gives; None where it is silent."""

    project: str = DEFAULT_PROJECT
    text: str | None = None
    text_file: Path | None = None
    tokens: str | None = None
    seed: int = 1
    sim: str = "verilator"
    link_delay: int = DEFAULT_DELAY
    window: int | None = None
    model: Path | None = None
    nodes: int | None = None
    vectors: Path | None = None
    encoder: str | None = None
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    out: Path | None = None


@dataclass(frozen=True, slots=True)
class Hooks:
    """What tests change: the images once written, frames in the switch, and where built simulators are kept."""

    images: Callable[[Path], None] = lambda folder: None
    faults: tuple[Fault, ...] = ()
    builds: Path | None = None


class Teller(Protocol):
    """Where a run reports; the command line draws it."""

    def stage(self, text: str) -> None: ...
    def built(self, simulator: Simulator) -> None: ...
    def progress(self, line: dict[str, Any], sentences: int, rows: int) -> None: ...
    def sentence(self, number: int, report: SentenceReport, plan: Plan) -> None: ...
    def summary(self, content: dict[str, Any], analysis: Analysis, outcome: Outcome, folder: Path) -> None: ...


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that was compared and written."""

    content: dict[str, Any]
    outcome: Outcome
    plan: Plan
    folder: Path


@dataclass(frozen=True, slots=True)
class Workload:
    """The model and the sentences of a run."""

    weights: BertWeights
    calibration: list[list[int]]
    texts: list[str]
    ids: list[list[int]]


@dataclass(frozen=True, slots=True)
class Ran:
    """A simulation that came to its end, compared with the integer model."""

    outcome: Outcome
    analysis: Analysis
    seconds: dict[str, float]
    capture: Path
    log: Path

    def check(self) -> None:
        """DiffersError names the first difference, if there is one."""
        if self.analysis.first is not None:
            raise DiffersError(f"{self.analysis.first}\nthe RTL and the integer model differ; capture: {self.capture}; log: {self.log}")


def build_folder(project: Project, out: Path | None) -> Path:
    """build/<project>."""
    return (project_root() / "build" if out is None else out).absolute() / project.name


def read_texts(options: Options) -> list[str] | None:
    """Texts given on the command line, None if there are none. InputError where they are unusable."""
    if sum(value is not None for value in (options.text, options.text_file, options.tokens)) > 1:
        raise InputError("TEXT, TEXT_FILE and TOKENS exclude each other; give one of them")
    if options.text is not None:
        if not options.text.strip():
            raise InputError("TEXT is empty; give a sentence")
        return [options.text]
    if options.text_file is None:
        return None
    try:
        lines = options.text_file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"TEXT_FILE={options.text_file}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except OSError as error:
        raise InputError(
            f"TEXT_FILE={options.text_file} cannot be read: {error.strerror}; name a text file, one sentence a line"
        ) from error
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise InputError(f"TEXT_FILE={options.text_file} holds no text; write one sentence a line")
    return texts


def token_counts(options: Options) -> list[int] | None:
    """TOKENS: a count, or several with commas between."""
    if options.tokens is None:
        return None
    try:
        counts = [int(part) for part in options.tokens.split(",")]
    except ValueError:
        raise InputError(f"TOKENS={options.tokens}: a count, or counts with commas between, for example 8 or 5,16,1") from None
    if min(counts) < 1:
        raise InputError(f"TOKENS={options.tokens}: {min(counts)} tokens; at least 1 is needed")
    return counts


def check_lengths(plan: Plan, texts: list[str], ids: list[list[int]]) -> None:
    """Refuse what does not fit. InputError names every text that is too long."""
    long = [
        f"  {len(i)} tokens with the special ones: {text if len(text) <= 60 else text[:57] + '...'}"
        for text, i in zip(texts, ids, strict=True)
        if not 1 <= len(i) <= plan.max_tokens
    ]
    if long:
        raise InputError(
            f"{len(long)} text(s) too long: at most {plan.max_tokens} tokens fit, special ones included, and nothing is ever cut off; "
            "shorten or split them\n" + "\n".join(long)
        )


def synthetic_workload(model: SyntheticModel, plan: Plan) -> tuple[BertWeights, list[list[int]]]:
    """Weights of a random model and the sequences it is calibrated on."""
    weights = synthetic_bert(model.seed, model.hidden, model.heads, model.ffn, model.encoders, model.vocab)
    length = min(plan.max_tokens, weights.max_tokens)
    return weights, [random_ids(1000 + i, length, model.vocab) for i in range(CALIBRATION_SEQUENCES)]


def prepare(project: Project, plan: Plan, options: Options, tell: Callable[[str], None]) -> Workload:
    """Model and token numbers of the sentences."""
    texts, counts = read_texts(options), token_counts(options)
    kind = project.model
    tokenizer: Tokenizer | None = None
    if isinstance(kind, MinilmModel):
        if options.model is None:
            tell("looking for the model all-MiniLM-L6-v2 (fetched once, 90 MB)")
        weights, tokenizer = load_bert(options.model or fetch_minilm(cache_folder()))
        shape = (weights.hidden, weights.heads, weights.ffn, len(weights.encoders))
        if shape != (kind.hidden, kind.heads, kind.ffn, kind.encoders):
            raise InputError(
                f"MODEL={options.model} has hidden, heads, FFN, encoders {shape}, project {project.name} is for "
                f"{(kind.hidden, kind.heads, kind.ffn, kind.encoders)}; name a folder that holds all-MiniLM-L6-v2"
            )
        lines = (Path(__file__).parents[1] / "ibert" / "texts" / "calibration.txt").read_text(encoding="utf-8").splitlines()
        calibration = [tokenizer.encode(line) for line in lines if line.strip()]
    else:
        if options.model is not None:
            raise InputError(f"MODEL={options.model}: project {project.name} has random weights of its own; leave MODEL out")
        weights, calibration = synthetic_workload(kind, plan)
    if texts is None and counts is None:
        if tokenizer is None:
            counts = [min(DEFAULT_TOKENS, plan.max_tokens)]
        else:
            texts = [DEFAULT_TEXT]
    if texts is not None:
        if tokenizer is None:
            raise InputError(
                f"project {project.name} has random weights and no tokenizer; use TOKENS=<count> in place of TEXT or TEXT_FILE"
            )
        ids = [tokenizer.encode(text) for text in texts]
    else:
        assert counts is not None
        vocabulary = len(weights.words)
        texts = [f"{count} random tokens, seed {options.seed + i}" for i, count in enumerate(counts)]
        ids = [random_ids(options.seed + i, count, vocabulary) for i, count in enumerate(counts)]
    check_lengths(plan, texts, ids)
    return Workload(weights, calibration, texts, ids)


def make_job(plan: Plan, rows: list[IntArray], options: Options, folder: Path, faults: tuple[Fault, ...]) -> Job:
    """What the bench needs to know."""
    window = default_window(options.link_delay) if options.window is None else options.window
    last = plan.encoders - 1
    finished = {
        number: (edge.encoder if edge.tensor == "ln2" else edge.encoder - 1)
        for number, edge in plan.edges.items()
        if edge.tensor == "ln2" or (edge.tensor == "entry" and edge.encoder > 0)
    }
    tokens = max(len(r) for r in rows)
    return Job(
        project=plan.project,
        toplevel=cluster_top(plan),
        nodes=tuple(Port(n.name, n.index, n.mac, n.ip, n.kernels["add_norm"]) for n in plan.nodes),
        host=Port("host", plan.host.node, plan.host.mac, plan.host.ip, -1),
        cluster=plan.cluster,
        entry_kernel=plan.entry.kernel_base,
        entry_edge=plan.entry.edge,
        owners=plan.owners,
        row_bytes=plan.hidden,
        slots=plan.slots,
        encoder_edges=finished,
        encoders=last + 1,
        delay=options.link_delay,
        window=window,
        stall=QUIET_CYCLES + 2 * plan.mac_bound(tokens) + 4 * options.link_delay,
        rows=tuple(tuple(bytes(int(v) & 255 for v in row).hex() for row in r) for r in rows),
        capture=str(folder / "sim" / "traffic.pcapng"),
        outcome=str(folder / "sim" / "outcome.json"),
        faults=faults,
    )


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One run at a time in a build folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EnvironmentError_(f"another run is at work in {folder}; wait for it, or choose another folder with OUT=") from None
        yield


def check_options(options: Options) -> None:
    """Options that are wrong whatever the project."""
    problems = []
    if options.vectors is not None:
        given = {"TEXT": options.text, "TEXT_FILE": options.text_file, "TOKENS": options.tokens, "MODEL": options.model}
        problems += [
            f"{name} and VECTORS exclude each other: with VECTORS rows and constants are the recorded ones, all rows that count; "
            f"leave {name} out"
            for name, value in given.items()
            if value is not None
        ]
    elif options.encoder is not None:
        problems.append(f"ENCODER={options.encoder} chooses one of the recordings of VECTORS; give VECTORS=<folder> too, or leave it out")
    if options.sim not in SIMULATORS:
        problems.append(f"SIM={options.sim}: choose {' or '.join(SIMULATORS)}")
    window = default_window(options.link_delay) if options.window is None else options.window
    why = check_window(options.link_delay, window)
    if why:
        problems.append(why)
    if options.jobs < 1:
        problems.append(f"JOBS={options.jobs}: at least 1")
    if not 0 <= options.seed < 1 << 31:
        problems.append(f"SEED={options.seed}: 0 to {(1 << 31) - 1}")
    if problems:
        raise InputError("\n".join(problems))


def make_simulator(plan: Plan, kind: str, folder: Path, log: Path, jobs: int, tell: Callable[[str], None]) -> Simulator:
    """Build the cluster of a plan, or find it built."""
    hier = kind == "verilator" and len(plan.nodes) > 1
    return build(
        kind=kind,
        top=cluster_top(plan),
        own=render_tops(plan, hier),
        folder=folder,
        log=log,
        jobs=jobs,
        hier=hier,
        tell=tell,
    )


def make_fresh(folder: Path) -> Path:
    """Remove an earlier run's results, those of recorded encoders included; an empty log, whose path is returned."""
    log = folder / "sim" / "run.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    for each in (folder, *folder.glob("encoder_*")):
        for name in ("result.json", "outputs.npz", "traffic.pcapng"):
            (each / name).unlink(missing_ok=True)
    return log


def run_cluster(
    plan: Plan, params: ModelParams, rows: list[IntArray], options: Options, teller: Teller, hooks: Hooks, log: Path, builds: Path
) -> Ran:
    """Write the images, build, simulate and compare, in the folder above the log's.

    DiffersError where the run could not come to its end.
    """
    begin = time.monotonic()
    sim, folder = log.parent, log.parents[1]
    write_whole(folder / "params.npz", lambda path: save_params(path, params))
    plan.save(folder / "plan.json")
    teller.stage("writing the memory images")
    images = write_images(plan, params, folder)
    hooks.images(images)
    prepared = time.monotonic()
    simulator = make_simulator(plan, options.sim, builds, log, options.jobs, teller.stage)
    teller.built(simulator)
    job = make_job(plan, rows, options, folder, hooks.faults)
    longest = [len(r) for r in rows]

    def progress(line: dict[str, Any]) -> None:
        number = min(line.get("sentence", 0), len(longest) - 1)
        teller.progress(line, len(longest), longest[number])

    outcome = run(simulator, job, images=images, folder=sim, log=log, seed=options.seed, progress=progress)
    teller.stage("comparing every message with the integer model")
    capture = folder / "traffic.pcapng"
    Path(job.capture).replace(capture)
    _names, records = read_capture(capture)
    if outcome.error is not None:
        raise DiffersError(f"{outcome.error}\nframes up to there: {capture}; log: {log}")
    compared = time.monotonic()
    analysis = analyse(plan, params, records)
    for sentence, seen in zip(analysis.sentences, outcome.sentences, strict=True):
        if (sentence.start, sentence.end) != (seen.start, seen.end):
            raise FloreanaError(
                f"capture and bench disagree on when a sentence began and ended: {sentence.start}, {sentence.end}; {seen.start}, {seen.end}"
            )
    seconds = {
        "prepare_seconds": prepared - begin,
        "build_seconds": simulator.seconds,
        "load_seconds": outcome.load_seconds,
        "run_seconds": outcome.seconds,
        "compare_seconds": time.monotonic() - compared,
    }
    return Ran(outcome, analysis, seconds, capture, log)


def finish(
    plan: Plan,
    ran: Ran,
    reports: list[SentenceReport],
    options: Options,
    teller: Teller,
    version: str,
    folder: Path,
    vectors: dict[str, Any] | None = None,
) -> Finished:
    """Write what a run leaves behind and tell it."""
    content = result(
        version=version,
        project=plan.project,
        nodes=len(plan.nodes),
        simulator=options.sim,
        seed=options.seed,
        link_delay=options.link_delay,
        sentences=reports,
        analysis=ran.analysis,
        load_cycles=ran.outcome.load_cycles,
        timing={name: round(seconds, 3) for name, seconds in ran.seconds.items()},
        vectors=vectors,
    )
    write_outputs(folder / "outputs.npz", reports)
    write_result(folder / "result.json", content)
    for number, report in enumerate(reports):
        teller.sentence(number, report, plan)
    teller.summary(content, ran.analysis, ran.outcome, folder)
    return Finished(content, ran.outcome, plan, folder)


def simulate(options: Options, teller: Teller, version: str, hooks: Hooks | None = None) -> Finished:
    """Run everything. DiffersError (exit 1) names the first difference."""
    hooks = Hooks() if hooks is None else hooks
    check_options(options)
    project = load_project(find_project(options.project), nodes=options.nodes)
    plan = make_plan(project)
    begin = time.monotonic()
    workload = prepare(project, plan, options, teller.stage)
    folder = build_folder(project, options.out)
    with locked(folder):
        log = make_fresh(folder)
        teller.stage("quantising the model")
        params = quantise_cached(workload.weights, workload.calibration, project.name, cache_folder(), teller.stage)
        rows = [embed_rows(params, workload.weights, ids) for ids in workload.ids]
        before = time.monotonic() - begin
        ran = run_cluster(plan, params, rows, options, teller, hooks, log, hooks.builds or log.parent)
        ran.seconds["prepare_seconds"] += before
        begin = time.monotonic()
        reports = [
            SentenceReport(
                text=text,
                analysis=sentence,
                embedding=pool(params, sentence.rtl[-1].astype("int64")),
                embedding_fp32=forward(workload.weights, ids).embedding,
            )
            for text, ids, sentence in zip(workload.texts, workload.ids, ran.analysis.sentences, strict=True)
        ]
        ran.seconds["compare_seconds"] += time.monotonic() - begin
        done = finish(plan, ran, reports, options, teller, version, folder)
        ran.check()
        return done


def recorded_runs(folder: Path) -> list[Path]:
    """What `floreana verify` looks at: the folder itself, or the encoders of a run of recorded vectors in it."""
    inside = [path.parent for path in sorted(folder.glob("encoder_*/traffic.pcapng"))]
    return inside if inside and not (folder / "traffic.pcapng").exists() else [folder]


def verify(folder: Path) -> tuple[Plan, Analysis]:
    """Recompute the model's side from the capture alone and compare. DiffersError (exit 1) names the first difference."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; run `floreana sim` first, then `floreana verify build/<project>`")
    plan = load_plan(folder / "plan.json")
    params: ModelParams = load_params(folder / "params.npz")
    names, records = read_capture(folder / "traffic.pcapng")
    if names != [*(node.name for node in plan.nodes), "host"]:
        raise InputError(f"{folder}: the capture has ports {', '.join(names)}, the plan has others; run `floreana sim` again")
    why = check_sequences(records, names)
    if why:
        raise DiffersError(why)
    analysis = analyse(plan, params, records)
    if analysis.first is not None:
        raise DiffersError(str(analysis.first))
    written = folder / "result.json"
    if written.exists():
        _check_result(written, analysis)
    return plan, analysis


def _check_result(path: Path, analysis: Analysis) -> None:
    """What result.json claims must be what the capture says."""
    try:
        claims = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not readable: {error}; run `floreana sim` again") from error
    seen = {
        "bit_exact": True,
        "frames": analysis.frames,
        "wire_bytes": analysis.wire_bytes,
        "tokens": sum(s.tokens for s in analysis.sentences),
        "cycles": sum(s.cycles for s in analysis.sentences),
        "cycles_per_encoder": analysis.sentences[0].cycles_per_encoder,
    }
    wrong = [f"{name} {claims.get(name)}, the capture says {value}" for name, value in seen.items() if claims.get(name) != value]
    if wrong:
        raise DiffersError(f"{path} claims {'; '.join(wrong)}")
