# SPDX-License-Identifier: Apache-2.0
"""`floreana fuzz`: a cluster computes while attackers on its Ethernet switch send hostile frames (docs/fuzz.md).

Passed where every sentence is equal to the integer model, and every counter of every attacked port is what `floreana.sim.hostile.Judge`
says of the frames that entered it: regular ones and hostile ones.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from floreana.cluster.description import find_project, load_project
from floreana.cluster.layout import TYPE_CONTROL
from floreana.cluster.plan import Plan, make_plan
from floreana.environment import cache_folder
from floreana.errors import DiffersError, InputError
from floreana.host import words
from floreana.host.frame import HEADER_BYTES, parse
from floreana.ibert.quantise import embed_rows, quantise_cached
from floreana.report.result import write_whole
from floreana.report.transport import network
from floreana.sim.capture import Record, read_capture
from floreana.sim.flow import (
    Hooks,
    Options,
    Ran,
    Teller,
    build_folder,
    check_options,
    locked,
    make_fresh,
    plan_project,
    prepare,
    run_cluster,
)
from floreana.sim.hostile import ANSWERED, CONTROL, DROPS, FATES
from floreana.sim.job import Job, Neighbour, Siege, Target

DEFAULT_PROJECT = "tiny_2"
DEFAULT_FRAMES = 200_000
DEFAULT_TOKENS = "8,5"
RESTART_AT = 9000  # cycle in which the last node restarts, amid the first sentences: frames of an earlier epoch to replay
NO_RESTART = "none"
SHARE = 0.7  # of a port's line that its attacker uses
QUIET = 400  # cycles after a request for the counters in which nothing else may come: they are read one a cycle
_BUSY = DROPS[20]
# counters that must be 0 in an attacked node, whatever comes
_NEVER = ("manager.dropped", "manager.errors", "eth0.tx.dropped_node", "eth0.tx.dropped_format", "eth0.link.failed")


@dataclass(frozen=True, slots=True)
class Check:
    """A counter of a node and what it must be."""

    node: str
    counter: str
    got: int
    want: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a run showed. ``table``: hostile frames by node, kind and fate."""

    frames: int
    table: Mapping[tuple[str, str, str], int]
    checks: tuple[Check, ...]
    sentences: int
    cycles: int
    hostile_cycles: int
    cpu_seconds: float
    seconds: float
    left_out: int
    folder: Path
    content: dict[str, Any] = field(repr=False)

    @property
    def wrong(self) -> list[Check]:
        return [check for check in self.checks if check.got != check.want]


def targets(plan: Plan, spared: Collection[int] = ()) -> tuple[Target, ...]:
    """Ports of the nodes on the host's Ethernet switch, by number in the capture, without those of the nodes ``spared``.

    InputError where the host is on a cable, or where no node is left.
    """
    host = plan.host.node
    segment = next(s for s in plan.links if any(end.node == host for end in s))
    if len(segment) < 3 or any(end.port for end in segment):
        raise InputError(f"PROJECT={plan.project}: its host is on no Ethernet switch with port 0 of the nodes; choose one of topology star")
    eth_n = plan.shape["ETH_N"]
    out = []
    for end in segment:
        if end.node == host or end.node in spared:
            continue
        node = plan.nodes[end.node]
        port = node.ports[end.port]
        number, around = plan.numbers.number, sorted(node.peer[end.port].items())
        peers = tuple(Neighbour(number(k), entry.mac, entry.ip, entry.quota) for k, entry in around)
        out.append(Target(eth_n * end.node + end.port, port.mac, port.ip, peers))
    if not out:
        raise InputError("every node restarts and none is left to be attacked: a restart clears counters; leave one out of RESTART")
    return tuple(sorted(out, key=lambda target: target.port))


def read_cycle(records: Sequence[Record], port: int) -> int:
    """When the request came that read the counters of Ethernet port 0: the last READ that covers them."""
    first, last = words.index_of("eth0.rx.frames"), words.index_of("eth0.rx.dropped.responder_busy")
    out = -1
    for record in records:
        if record.port != port or record.outbound or record.bad or len(record.data) < HEADER_BYTES + 12 or record.data[42] & 31:
            continue
        frame = parse(record.data)
        if frame.header.type != TYPE_CONTROL or frame.payload[0] != words.OP_READ:
            continue
        begin, count = (int.from_bytes(frame.payload[at : at + 4], "little") for at in (4, 8))
        if begin <= first and last < begin + count:
            out = record.cycle
    if out < 0:
        raise DiffersError("the capture holds no request that reads the counters; nothing can be compared")
    return out


def check_port(name: str, told: Mapping[str, Any], got: Mapping[str, int], at: int, restarts: int = 0) -> list[Check]:
    """Every counter of an attacked port. ``told``: of the outcome; ``got``: words read in cycle ``at``; ``restarts``: of its peers."""
    regular, payload = Counter[str](), 0
    for cycle, fate, size in told["regular"]:
        if cycle <= at:
            regular[fate] += 1
            payload += size
        elif cycle <= at + QUIET:
            raise DiffersError(f"{name}: a frame came in cycle {cycle} while the counters were read (from cycle {at}); choose another SEED")
    hostile = Counter[str]()
    for _kind, fate, count in told["table"]:
        hostile[fate] += count
    want = regular + hostile
    asked = sum(want[fate] for fate in ANSWERED)
    checks = [(f"eth0.rx.{fate}", want[fate]) for fate in FATES if fate not in (*ANSWERED, _BUSY)]
    checks += [
        ("eth0.rx.frames", sum(regular.values()) + told["frames"]),
        ("eth0.rx.accepted", regular[CONTROL[0]]),
        ("eth0.rx.beats", payload),
        ("switch.eth0.messages_in", regular[CONTROL[0]]),
        ("eth0.tx.responder", told["replies"]),
        ("eth0.link.hellos_answered", want["hellos"]),
        ("eth0.link.restarted", restarts),
        ("eth0.tx.discarded", got["eth0.tx.discarded"] if restarts else 0),  # what was on its way to a node that restarted
        ("node.lost", got["eth0.tx.discarded"]),
    ]
    checks += [(counter, 0) for counter in (*_NEVER, *sorted(c for c in got if ".dropped" in c and ".rx." not in c and c not in _NEVER))]
    out = [Check(name, counter, got[counter], value) for counter, value in checks]
    answered = sum(got[f"eth0.rx.{fate}"] for fate in ANSWERED)
    out += [
        Check(name, "answered by the responder", answered, told["replies"]),
        Check(name, "answered, or dropped by a busy responder", answered + got[f"eth0.rx.{_BUSY}"], asked),
        Check(name, "frames = sum of their fates", sum(got[f"eth0.rx.{fate}"] for fate in FATES), got["eth0.rx.frames"]),
    ]
    return out


def examine(plan: Plan, ran: Ran, records: Sequence[Record], frames: int, restarts: int = 0) -> Report:
    """Compare what a run's attackers expect with the nodes' counters; ``restarts`` of nodes that were not attacked."""
    names, outcome = network(plan).names, ran.outcome
    checks: list[Check] = []
    table: Counter[tuple[str, str, str]] = Counter()
    for told in outcome.sieges:
        name = names[told["port"]]
        node = plan.nodes[told["port"] // plan.shape["ETH_N"]].name
        for kind, fate, count in told["table"]:
            table[name, kind, fate] += count
        checks += check_port(node, told, outcome.words[node], read_cycle(records, told["port"]), restarts)
    checks.append(Check("all", "hostile frames that entered nodes", sum(table.values()), frames))
    accepted = sum(count for (_name, _kind, fate), count in table.items() if fate == CONTROL[0])
    checks.append(Check("all", "hostile messages accepted", accepted, 0))
    first, last = min(t["first"] for t in outcome.sieges), max(t["last"] for t in outcome.sieges)
    content = {
        "project": plan.project,
        "frames": frames,
        "kinds": [[*key, count] for key, count in sorted(table.items())],
        "checks": [[c.node, c.counter, c.got, c.want] for c in checks],
        "sentences": len(outcome.sentences),
        "cycles": outcome.cycles,
        "hostile_cycles": [first, last],
        "again": ran.analysis.traffic.again,
        "left_out": sum(t["left_out"] for t in outcome.sieges),
    }
    return Report(
        frames=frames,
        table=table,
        checks=tuple(checks),
        sentences=len(outcome.sentences),
        cycles=outcome.cycles,
        hostile_cycles=last - first + 1,
        cpu_seconds=outcome.cpu_seconds,
        seconds=outcome.seconds,
        left_out=content["left_out"],
        folder=ran.capture.parent,
        content=content,
    )


def fuzz(options: Options, frames: int, teller: Teller, hooks: Hooks | None = None) -> Report:
    """Run, compare and write fuzz.json. DiffersError names the first value, or the counters, that are not what they must be."""
    hooks = Hooks() if hooks is None else hooks
    check_options(options)
    if not 1 <= frames <= 100_000_000:
        raise InputError(f"FRAMES={frames}: 1 to 100,000,000 are possible; 200,000 is the default")
    project = load_project(find_project(options.project), nodes=options.nodes)
    plan = make_plan(project)
    if options.restart is None and len(plan.nodes) > 1:
        options = replace(options, restart=f"{plan.nodes[-1].name}@{RESTART_AT}")
    elif options.restart == NO_RESTART:
        options = replace(options, restart=None)
    options = replace(options, in_flight=min(2, plan.slots))
    plan, trouble = plan_project(project, options)
    siege = Siege(targets(plan, {restart.node for restart in trouble.restarts}), frames, SHARE)
    workload = prepare(project, plan, options, teller.stage)
    folder = build_folder(project, options.out)
    begin = time.monotonic()
    with locked(folder):
        log = make_fresh(folder)
        (folder / "fuzz.json").unlink(missing_ok=True)
        teller.stage("quantising the model")
        params = quantise_cached(workload.weights, workload.calibration, project.name, cache_folder(), teller.stage, workload.softmax)
        rows = [embed_rows(params, workload.weights, ids) for ids in workload.ids]

        def besieged(job: Job) -> Job:
            return replace(hooks.job(job), siege=siege)

        ran = run_cluster(plan, params, rows, options, trouble, teller, replace(hooks, job=besieged), log, hooks.builds or log.parent)
        report = examine(plan, ran, read_capture(ran.capture)[1], frames, len(trouble.restarts))
        text = json.dumps({**report.content, "seed": options.seed, "seconds": round(time.monotonic() - begin, 3)}, indent=1) + "\n"

        def write(path: Path) -> None:
            path.write_text(text, encoding="utf-8")

        write_whole(folder / "fuzz.json", write)
    if ran.analysis.first is not None:
        raise DiffersError(
            f"{ran.analysis.first}\nhostile frames changed a result (SEED={options.seed}, capture: {ran.capture}, log: {log})"
        )
    if report.wrong:
        lines = "\n".join(f"  {c.node} {c.counter}: {c.got}, expected {c.want}" for c in report.wrong)
        raise DiffersError(f"counters do not add up (SEED={options.seed}, log: {log})\n{lines}")
    return report


def render(report: Report) -> str:
    """Kind, fate and count as a table, then the counters in a few lines."""
    kinds: dict[str, Counter[str]] = {}
    for (_node, kind, fate), count in report.table.items():
        kinds.setdefault(kind, Counter())[fate] += count
    lines = [f"{'kind':34} {'frames':>8}  what the nodes counted"]
    for kind, fates in kinds.items():
        shown = ", ".join(f"{fate.removeprefix('dropped.').replace('_', ' ')} {count:,}" for fate, count in fates.most_common())
        lines.append(f"{kind:34} {sum(fates.values()):8,}  {shown}")
    total = Counter[str]()
    for fates in kinds.values():
        total.update(fates)
    lines.append(f"{'all':34} {sum(total.values()):8,}")
    lines += [f"  {fate.replace('_', ' '):40} {total[fate]:8,}" for fate in FATES if total[fate]]
    lines.append(
        f"{len(report.checks)} counters compared, {len(report.checks) - len(report.wrong)} equal; "
        f"{report.sentences:,} sentences bit for bit equal; "
        f"{report.cycles:,} cycles ({report.hostile_cycles:,} under attack), {report.cpu_seconds:,.0f} s of CPU; "
        f"{report.left_out:,} forgeries left out that a node must believe"
    )
    return "\n".join(lines)
