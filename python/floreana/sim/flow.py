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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from floreana.cluster.description import MinilmModel, Project, SyntheticModel, find_project, load_project
from floreana.cluster.images import write_images
from floreana.cluster.layout import GENERATIONS_MAX
from floreana.cluster.plan import MANAGER, MANAGER_BASE, Plan, load_plan, make_plan, with_link_delay
from floreana.environment import cache_folder, project_root
from floreana.errors import DiffersError, EnvironmentError_, FloreanaError, InputError
from floreana.host.admission import LastGateway
from floreana.host.endpoint import Timers
from floreana.ibert.bert import BertWeights, forward
from floreana.ibert.params import IntArray, ModelParams
from floreana.ibert.quantise import calibration_texts, embed_rows, pool, quantise_cached
from floreana.ibert.source import Tokenizer, fetch_minilm, load_bert
from floreana.ibert.store import load_params, save_params
from floreana.ibert.synthetic import random_ids, synthetic_bert
from floreana.project.tops import cluster_top, render_tops
from floreana.report.compare import Analysis, analyse
from floreana.report.result import SentenceReport, result, write_outputs, write_result, write_whole
from floreana.report.transport import network
from floreana.sim.build import SIMULATORS, Simulator, build
from floreana.sim.capture import read_capture
from floreana.sim.faults import KINDS, Cut, Rates, Restart, check_rate, check_restarts, parse_cuts, parse_restarts
from floreana.sim.job import Fault, Job, Neighbour, Outcome, Port
from floreana.sim.run import check_window, default_window, run

DEFAULT_PROJECT = "minilm_6"
DEFAULT_TEXT = "Finches crossed the water, and every island taught them another way to live."
DEFAULT_TOKENS = 8  # of a project without a tokenizer
CALIBRATION_SEQUENCES = 8  # of random tokens, there too
QUIET_CYCLES = 20_000  # besides twice the multipliers' own time, before a run in which nothing new is sent is given up
LOADS = ("bus", "frames")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line gives; None where it is silent."""

    project: str = DEFAULT_PROJECT
    text: str | None = None
    text_file: Path | None = None
    tokens: str | None = None
    seed: int = 1
    sim: str = "verilator"
    link_delay: int | None = None
    window: int | None = None
    loss: float = 0.0
    dup: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    delay: float = 0.0
    cut: str | None = None
    restart: str | None = None
    dead: str | None = None
    load: str = "bus"
    in_flight: int = 1
    compare_clean: bool = False
    model: Path | None = None
    nodes: int | None = None
    vectors: Path | None = None
    encoder: str | None = None
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    out: Path | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong in a run on purpose."""

    rates: Rates = field(default_factory=Rates)
    cuts: tuple[Cut, ...] = ()
    restarts: tuple[Restart, ...] = ()

    def any(self) -> bool:
        return self.rates.any() or bool(self.cuts or self.restarts)


@dataclass(frozen=True, slots=True)
class Hooks:
    """What tests change: the images once written, frames in the switch, and where built simulators are kept."""

    images: Callable[[Path], None] = lambda folder: None
    faults: tuple[Fault, ...] = ()
    builds: Path | None = None
    job: Callable[[Job], Job] = lambda job: job


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
    softmax: tuple[str, ...]  # of the encoders, or one for all


@dataclass(frozen=True, slots=True)
class Ran:
    """A simulation that came to its end, compared with the integer model."""

    outcome: Outcome
    analysis: Analysis
    seconds: dict[str, float]
    capture: Path
    log: Path
    load: str = "bus"
    clean: bool = True  # nothing went wrong on purpose
    clean_cycles: int | None = None  # of the same sentences without what went wrong, where that was run too

    def check(self) -> None:
        """DiffersError names the first difference, if there is one, or what a transport on a clean network must not do."""
        unclean = unclean_signs(self.analysis, self.outcome, self.load) if self.clean else []
        if unclean and self.analysis.first is None:
            raise DiffersError(
                "nothing was to go wrong in this run, and yet: " + "; ".join(unclean) + f"; capture: {self.capture}; log: {self.log}"
            )
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
        calibration = [tokenizer.encode(line) for line in calibration_texts()]
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
    return Workload(weights, calibration, texts, ids, kind.softmax)


def unclean_signs(analysis: Analysis, outcome: Outcome, load: str) -> list[str]:
    """What happened that must not happen while the network and the nodes work: frames sent again or dropped, links failed.

    A node that the host has not loaded yet does not know its neighbours: it drops the hellos of those that are loaded.
    """
    signs = [f"{analysis.traffic.again} frame(s) sent again"] if analysis.traffic.again else []
    for name, causes in dropped_frames(outcome).items():
        signs += [
            f"{name} dropped {count} frame(s): {cause}"
            for cause, count in causes.items()
            if not (load == "frames" and cause == "unknown node")
        ]
    for name, words in outcome.words.items():
        for word in ("node.lost", *(f"eth{k}.{w}" for k in (0, 1) for w in ("tx.again", "tx.discarded", "link.failed", "link.restarted"))):
            if words.get(word):
                signs.append(f"{name}: {word} is {words[word]}")
    return signs


def dropped_frames(outcome: Outcome) -> dict[str, dict[str, int]]:
    """Frames that nodes and host did not take, by name and cause."""
    out: dict[str, dict[str, int]] = {}
    for name, words in outcome.words.items():
        causes: dict[str, int] = {}
        for word, count in words.items():
            if ".rx.dropped." in word and count:
                cause = word.rpartition(".")[2].replace("_", " ")
                causes[cause] = causes.get(cause, 0) + count
        if causes:
            out[name] = causes
    return out | ({"host": dict(outcome.host_drops)} if outcome.host_drops else {})


def transport_content(plan: Plan, ran: Ran) -> dict[str, Any]:
    """The part of result.json about the transport."""
    traffic, outcome = ran.analysis.traffic, ran.outcome
    names = {**{node.index: node.name for node in plan.nodes}, plan.host.node: "host"}
    cycles = sum(s.cycles for s in ran.analysis.sentences)
    return {
        "frames": {kind: traffic.sent[kind] for kind in ("data", "ack", "nack", "hello", "hello-ack")},
        "again": traffic.again,
        "again_by": {names[node]: count for node, count in sorted(traffic.again_by.items())},
        "network": outcome.network,
        "dropped": dropped_frames(outcome),
        "failed_links": list(outcome.failed_links),
        "events": [{"cycle": event.cycle, "text": event.text} for event in outcome.events],
        "attempts": [s.attempts for s in ran.analysis.sentences],
        "cycles_clean": ran.clean_cycles,
        "cycles_added": None if ran.clean_cycles is None else cycles - ran.clean_cycles,
    }


def read_trouble(options: Options, plan: Plan) -> Trouble:
    """What goes wrong on purpose. InputError where it cannot."""
    problems: list[str] = []
    net = network(plan)
    ports: dict[str, list[int]] = {}
    for port, (name, node) in enumerate(zip(net.names, net.nodes, strict=True)):
        ports.setdefault(net.stations[node], []).append(port)
        if name not in ports:
            ports[name] = [port]
    cuts: tuple[Cut, ...] = ()
    restarts: tuple[Restart, ...] = ()
    nodes = [node.name for node in plan.nodes]
    if options.cut is not None:
        cuts, wrong = parse_cuts(options.cut, ports)
        problems += wrong
    for name, text in (("RESTART", options.restart), ("DEAD", options.dead)):
        if text is not None:
            more, wrong = parse_restarts(name, text, nodes)
            restarts += more
            problems += wrong
    problems += check_restarts(restarts, nodes)
    if problems:
        raise InputError("\n".join(problems))
    return Trouble(Rates(*(getattr(options, name) for name in KINDS)), cuts, restarts)


def make_job(
    plan: Plan, rows: list[IntArray], options: Options, folder: Path, trouble: Trouble, faults: tuple[Fault, ...], lines: int
) -> Job:
    """What the bench needs to know; ``lines``: writes of the longest image."""
    delay, net = plan.transport.link_delay, network(plan)
    window = default_window(delay) if options.window is None else options.window
    last, final = plan.encoders - 1, plan.clusters[-1]
    finished = {
        number: (edge.encoder if edge.tensor == "ln2" else edge.encoder - 1)
        for number, edge in plan.edges.items()
        if edge.tensor == "ln2" or (edge.tensor == "entry" and edge.encoder > 0)
    }
    tokens = max(len(r) for r in rows)
    eth_n, host = plan.shape["ETH_N"], plan.host
    ends = {(node.index, k): eth_n * node.index + k for node in plan.nodes for k in range(eth_n)} | {(host.node, 0): len(net.names) - 1}
    addresses = [(port.mac, port.ip) for node in plan.nodes for port in node.ports] + [(host.mac, host.ip)]
    timers = plan.transport
    give_up = timers.retries * timers.rto
    load = options.load == "frames"
    stall = QUIET_CYCLES + 2 * plan.mac_bound(tokens) * options.in_flight + 4 * delay + 4 * timers.rto
    patience = 2 * give_up + (100 * lines * len(plan.nodes) if load else 2 * lines)
    return Job(
        project=plan.project,
        toplevel=cluster_top(plan),
        nodes=tuple(n.name for n in plan.nodes),
        ports=tuple(Port(name, node, *address) for name, node, address in zip(net.names, net.nodes, addresses, strict=True)),
        segments=tuple(tuple(ends[end.node, end.port] for end in segment) for segment in plan.links),
        neighbours=tuple(Neighbour(node, entry.mac, entry.ip, entry.quota) for node, entry in sorted(host.peer.items())),
        hops={kernel: mask.bit_length() - 1 for kernel, mask in host.peers.items() if mask and not mask & (mask - 1)},
        managers=tuple(MANAGER if plan.topology == "star" or n.index == 0 else MANAGER_BASE + n.index for n in plan.nodes),
        clusters=tuple(node.cluster for node in plan.nodes),
        timers=Timers(timers.ack_delay, timers.rto, timers.retries, timers.keep, timers.nack_hold),
        peers_n=plan.shape["PEERS_N"],
        cluster=plan.cluster,
        entry=plan.entry,
        owners=plan.owners,
        row_bytes=plan.hidden,
        slots=plan.slots,
        encoder_edges=finished,
        encoders=last + 1,
        delay=delay,
        window=window,
        stall=stall + (give_up + timers.keep + patience if trouble.any() or load else 0),
        patience=patience,
        rows=tuple(tuple(bytes(int(v) & 255 for v in row).hex() for row in r) for r in rows),
        capture=str(folder / "sim" / "traffic.pcapng"),
        outcome=str(folder / "sim" / "outcome.json"),
        in_flight=options.in_flight,
        gateway=LastGateway(final.number, final.gateway) if final.gateway >= 0 else None,
        load=options.load,
        images=str(folder / "images"),
        rates=trouble.rates,
        seed=options.seed,
        cuts=trouble.cuts,
        restarts=trouble.restarts,
        faults=faults,
        around=tuple(tuple(sorted(set().union(*node.peer))) for node in plan.nodes),
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


def _window_problems(options: Options, delay: int) -> list[str]:
    why = check_window(delay, default_window(delay) if options.window is None else options.window)
    return [why] if why else []


def plan_project(project: Project, options: Options) -> tuple[Plan, Trouble]:
    """The plan for the options' link delay, and what goes wrong on purpose. InputError where they do not fit."""
    plan = make_plan(project)
    if options.link_delay is not None:
        plan = with_link_delay(plan, options.link_delay)
    problems = _window_problems(options, plan.transport.link_delay) if options.link_delay is None else []
    most = plan.slots * min(len(plan.clusters), GENERATIONS_MAX)
    if options.in_flight > most:
        where = f" in each of {len(plan.clusters)} clusters" if len(plan.clusters) > 1 else ""
        problems.append(f"IN_FLIGHT={options.in_flight}: project {plan.project} has {plan.slots} slot(s){where}; choose 1 to {most}")
    if problems:
        raise InputError("\n".join(problems))
    return plan, read_trouble(options, plan)


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
    if options.link_delay is not None:
        problems += _window_problems(options, options.link_delay)
    for name in KINDS:
        why = check_rate(name.upper(), getattr(options, name))
        problems += [why] if why else []
    if options.load not in LOADS:
        problems.append(f"LOAD={options.load}: choose {' or '.join(LOADS)}")
    if options.in_flight < 1:
        problems.append(f"IN_FLIGHT={options.in_flight}: at least 1")
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
        own=render_tops(plan),
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
    plan: Plan,
    params: ModelParams,
    rows: list[IntArray],
    options: Options,
    trouble: Trouble,
    teller: Teller,
    hooks: Hooks,
    log: Path,
    builds: Path,
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
    manifest = json.loads((images / "manifest.json").read_text(encoding="utf-8"))
    lines = max(item["lines"] for item in manifest["files"].values())
    hooks.images(images)
    prepared = time.monotonic()
    simulator = make_simulator(plan, options.sim, builds, log, options.jobs, teller.stage)
    teller.built(simulator)
    job = hooks.job(make_job(plan, rows, options, folder, trouble, hooks.faults, lines))
    longest = [len(r) for r in rows]

    def progress(line: dict[str, Any]) -> None:
        number = min(line.get("sentence", 0), len(longest) - 1)
        teller.progress(line, len(longest), longest[number])

    outcome = run(simulator, job, images=images, folder=sim, log=log, seed=options.seed, progress=progress)
    clean_cycles = None
    if options.compare_clean and trouble.any() and outcome.error is None:
        teller.stage("once more, with nothing that goes wrong")
        other = replace(job, rates=Rates(), cuts=(), restarts=(), capture=str(sim / "clean.pcapng"), outcome=str(sim / "clean.json"))
        clean = run(simulator, other, images=images, folder=sim, log=log, seed=options.seed, progress=progress)
        if clean.error is not None:
            raise DiffersError(f"the run without what goes wrong on purpose: {clean.error}\nlog: {log}")
        clean_cycles = sum(s.end - s.start for s in clean.sentences)
    teller.stage("comparing every message with the integer model")
    capture = folder / "traffic.pcapng"
    Path(job.capture).replace(capture)
    _names, records = read_capture(capture)
    if outcome.error is not None:
        happened = "".join(f"\n  cycle {event.cycle}: {event.text}" for event in outcome.events)
        raise DiffersError(f"{outcome.error}{happened}\nframes up to there: {capture}; log: {log}")
    compared = time.monotonic()
    analysis = analyse(plan, params, records)
    if analysis.traffic.problem is not None:
        raise DiffersError(f"{analysis.traffic.problem}\nthe transport did not keep its promise; capture: {capture}; log: {log}")
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
    clean_run = not trouble.any() and not hooks.faults
    return Ran(outcome, analysis, seconds, capture, log, options.load, clean_run, clean_cycles)


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
        link_delay=plan.transport.link_delay,
        transport=transport_content(plan, ran),
        words=ran.outcome.words,
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
    plan, trouble = plan_project(project, options)
    begin = time.monotonic()
    workload = prepare(project, plan, options, teller.stage)
    folder = build_folder(project, options.out)
    with locked(folder):
        log = make_fresh(folder)
        teller.stage("quantising the model")
        params = quantise_cached(workload.weights, workload.calibration, project.name, cache_folder(), teller.stage, workload.softmax)
        rows = [embed_rows(params, workload.weights, ids) for ids in workload.ids]
        before = time.monotonic() - begin
        ran = run_cluster(plan, params, rows, options, trouble, teller, hooks, log, hooks.builds or log.parent)
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
    if names != list(network(plan).names):
        raise InputError(f"{folder}: the capture has ports {', '.join(names)}, the plan has others; run `floreana sim` again")
    analysis = analyse(plan, params, records)
    if analysis.traffic.problem is not None:
        raise DiffersError(analysis.traffic.problem)
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
        "cycles_to_last_add_norm": sum(s.cycles_to_last_add_norm for s in analysis.sentences),
        "ports": [port.content() for port in analysis.ports],
    }
    wrong = [f"{name} {claims.get(name)}, the capture says {value}" for name, value in seen.items() if claims.get(name) != value]
    transport = claims.get("transport", {})
    if transport.get("again") != analysis.traffic.again:
        wrong.append(f"transport.again {transport.get('again')}, the capture says {analysis.traffic.again}")
    if wrong:
        raise DiffersError(f"{path} claims {'; '.join(wrong)}")
