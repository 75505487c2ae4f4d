# SPDX-License-Identifier: Apache-2.0
"""`floreana net-demo`: the simulated cluster behind TAP devices on a real Linux bridge (docs/net-demo.md).

`ping` and `arping` of the system ask every node that shares the host's segment; a host process without privileges sends sentences
through the cluster over a plain socket; the rows that come back are compared with the integer model; then a seeded relay in the host's
cable loses and reorders frames, and the sentences go through once more. Everything is removed at the end, after an error and Ctrl-C too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Protocol

import cocotb_tools.config
import numpy as np

from floreana.cluster.description import find_project, load_project
from floreana.cluster.images import write_images
from floreana.cluster.plan import Plan, make_plan
from floreana.demo import namespaces
from floreana.demo.job import Net, TapJob, TapStatus, scaled
from floreana.demo.namespaces import Lab, Wiring, in_namespace, mac_text, powerless, uninterrupted
from floreana.demo.top import render
from floreana.environment import cache_folder, find_tool
from floreana.errors import DiffersError, FloreanaError, InputError
from floreana.host.socket_host import dotted
from floreana.ibert.model import model
from floreana.ibert.params import IntArray, ModelParams
from floreana.ibert.quantise import embed_rows, quantise_cached
from floreana.report.result import write_whole
from floreana.sim.build import Simulator
from floreana.sim.faults import MAX_RATE
from floreana.sim.flow import Options, Trouble, Workload, build_folder, check_options, locked, make_job, make_simulator, prepare
from floreana.sim.job import Job
from floreana.sim.process import end_group, tail
from floreana.sim.run import simulator_environment

PINGS = 3  # arping asks until one answer: every broadcast bothers all nodes
CLOCK_HZ = 200_000_000


class Teller(Protocol):
    """Where the demo reports; the command line draws it."""

    def stage(self, text: str) -> None: ...
    def built(self, simulator: Simulator) -> None: ...
    def note(self, text: str) -> None: ...
    def show(self, table: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class NetOptions:
    """``run`` as for a simulation; its loss, dup and reorder are those of the relay. ``interval``: seconds between two tables, 0: none."""

    run: Options
    keep: bool = False
    interval: float = 0.0
    builds: Path | None = None  # where built simulators are kept (tests)


@dataclass(slots=True)
class Answers:
    """What a node answered to the system's own tools."""

    node: str
    address: str
    pings: int = 0
    ping_ms: float | None = None
    mac: str = ""  # that answered arping

    def text(self) -> str:
        average = "" if self.ping_ms is None else f", {self.ping_ms:,.0f} ms on average"
        return f"{self.node} {self.address}: ping {self.pings} of {PINGS} answered{average}; arping answered by {self.mac}"


@dataclass(frozen=True, slots=True)
class Pass:
    """One run of all sentences through the cluster. ``relay``: what the relay did meanwhile."""

    seconds: float
    attempts: tuple[int, ...]
    cycles: tuple[int, ...]
    values: int
    digest: str
    counters: dict[str, Any]
    words: dict[str, dict[str, int]]
    log: tuple[str, ...]
    relay: dict[str, Any] = field(default_factory=dict)


# ---------------------------------------------------------------------------------------------------------------------- processes


class Child:
    """A process of the demo, in a group of its own; ended when the block is left."""

    def __init__(self, what: str, command: Sequence[str | Path], *, log: Path, cwd: Path, env: dict[str, str], files: Sequence[int] = ()):
        self.what = what
        with log.open("ab") as out:
            out.write(("$ " + " ".join(str(part) for part in command) + "\n").encode())
            out.flush()
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if what == "host" else out,
                stderr=out,
                env=env,
                cwd=cwd,
                pass_fds=tuple(files),
                start_new_session=True,
            )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        with uninterrupted():
            end_group(self.process)
            if self.process.stdout is not None:
                self.process.stdout.close()

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys([str(Path(__file__).parents[2]), *filter(None, sys.path)]))}


@contextlib.contextmanager
def _simulation(simulator: Simulator, job: Job, lab: Lab, folder: Path, log: Path, seed: int) -> Iterator[_Simulation]:
    """The simulator with the lab's TAP devices. Told to end when the block is left, then ended."""
    status, file = folder / "tap.json", folder / "tap_job.json"
    status.unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        read, write = os.pipe()
        stack.callback(os.close, read)
        ending = stack.enter_context(contextlib.ExitStack())
        ending.callback(os.close, write)
        by_name = dict(zip(lab.wiring.taps, lab.taps, strict=True))
        names = [port.name for port in job.ports[:-1]]
        taps = tuple(by_name.get(tap_name(k, job.eth_n), -1) for k in range(len(names)))
        TapJob(tuple(names), taps, read, job.window, str(status)).save(file)
        env = simulator_environment(simulator.top, seed) | {
            "COCOTB_TEST_MODULES": "floreana.sim.tap",
            "COCOTB_RESULTS_FILE": str(folder / "cocotb.xml"),
            "FLOREANA_TAP_JOB": str(file),
        }
        plus = [f"+images={job.images}", f"+window={job.window}", f"+idle={int(job.load == 'frames')}"]
        command: list[str | Path]
        if simulator.kind == "verilator":
            command = [simulator.folder / "obj" / "sim", *plus]
        else:
            vpi = cocotb_tools.config.lib_entry("vpi", "icarus")
            command = [find_tool("vvp", env) or "vvp", "-m", vpi, simulator.folder / "sim.vvp", "-none", *plus]
        files = [read, *(tap for tap in taps if tap >= 0)]
        with Child("simulator", command, log=log, cwd=folder, env=env, files=files) as child:
            yield _Simulation(child, status, log)
            with uninterrupted():
                ending.close()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.process.wait(timeout=20.0)


@dataclass(slots=True)
class _Simulation:
    child: Child
    path: Path
    log: Path

    def status(self) -> TapStatus:
        try:
            return TapStatus.read(self.path)
        except FileNotFoundError:
            return TapStatus("loading")

    def check(self) -> None:
        """DiffersError where a node did what none must do; FloreanaError where the simulator ended."""
        status = self.status()
        if status.error is not None:
            raise DiffersError(f"{status.error}\nlog: {self.log}")
        if not self.child.alive:
            raise FloreanaError(f"the simulator ended with status {self.child.process.returncode}; {self.log} ends with\n{tail(self.log)}")


def tap_name(port: int, eth_n: int) -> str:
    """Name of the TAP device of a port: n<node>, with more than one port n<node>p<port>."""
    return f"n{port}" if eth_n == 1 else f"n{port // eth_n}p{port % eth_n}"


def wiring(job: Job, relay: bool) -> Wiring:
    """TAP devices and bridges for a job's segments; a port on no segment has none."""
    host = len(job.ports) - 1
    used = sorted({port for segment in job.segments for port in segment} - {host})
    places = {port: place for place, port in enumerate(used)}
    segments = tuple(tuple(places[port] for port in segment if port != host) for segment in job.segments)
    home = next(k for k, segment in enumerate(job.segments) if host in segment)
    return Wiring(
        taps=tuple(tap_name(port, job.eth_n) for port in used),
        segments=segments,
        host=home,
        host_mac=job.host.mac,
        host_ip=job.host.ip,
        addresses=tuple(job.ports[port].ip for port in job.segments[home] if port != host),
        relay=relay,
    )


# -------------------------------------------------------------------------------------------------------------- ping and arping


def read_ping(text: str) -> tuple[int, float | None]:
    """Answers and average milliseconds of what `ping` printed."""
    got = re.search(r"(\d+) (?:packets )?received", text)
    average = re.search(r"= [\d.]+/([\d.]+)/", text)
    return int(got[1]) if got else 0, float(average[1]) if average else None


def read_arping(text: str) -> str:
    """The MAC address that answered (several have spaces between, none is empty) of what `arping` printed."""
    return " ".join(sorted({found.lower() for found in re.findall(r"reply from \S+ \[([0-9A-Fa-f:]{17})\]", text)}))


def ask_nodes(lab: Lab, job: Job, seconds: float, check: Callable[[], None]) -> list[Answers]:
    """Arping, then ping every port on the host's segment. DiffersError names what does not answer, or with a wrong address."""
    host = len(job.ports) - 1
    ports = [job.ports[port] for port in next(s for s in job.segments if host in s) if port != host]
    out = [Answers(port.name, dotted(port.ip)) for port in ports]
    deadline = str(max(int(seconds), 1))
    env = {**os.environ, "LC_ALL": "C"}
    with contextlib.ExitStack() as stack:

        def start(*words: str) -> subprocess.Popen[bytes]:
            command = in_namespace(lab.host_namespace, [namespaces.tool_path(words[0]) or words[0], *words[1:]])
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
            )
            stack.callback(_end, process)
            return process

        def outputs(processes: list[subprocess.Popen[bytes]]) -> list[str]:
            end = time.monotonic() + seconds + 10
            while any(process.poll() is None for process in processes) and time.monotonic() < end:
                check()
                time.sleep(0.05)
            return [_output(process) for process in processes]

        arping = ("arping", "-f", "-w", deadline, "-I", namespaces.HOST_DEVICE)
        ping = ("ping", "-n", "-c", str(PINGS), "-W", deadline, "-w", deadline)
        for item, text in zip(out, outputs([start(*arping, item.address) for item in out]), strict=True):
            item.mac = read_arping(text)
        for item, text in zip(out, outputs([start(*ping, item.address) for item in out]), strict=True):
            item.pings, item.ping_ms = read_ping(text)
    wrong = []
    for item, port in zip(out, ports, strict=True):
        if not item.pings:
            wrong.append(f"{item.node} {item.address} does not answer ping within {deadline} s")
        if not item.mac:
            wrong.append(f"{item.node} {item.address} does not answer arping within {deadline} s")
        elif item.mac != mac_text(port.mac):
            wrong.append(f"{item.node} {item.address} answers arping as {item.mac}, the plan says {mac_text(port.mac)}")
    if wrong:
        raise DiffersError("\n".join(wrong))
    return out


def _end(process: subprocess.Popen[bytes]) -> None:
    with uninterrupted():
        end_group(process)
        if process.stdout is not None:
            process.stdout.close()


def _output(process: subprocess.Popen[bytes]) -> str:
    """What an ended process printed; nothing of one that still runs."""
    if process.poll() is None or process.stdout is None:
        return ""
    return process.stdout.read().decode(errors="replace")


# ------------------------------------------------------------------------------------------------------------------ the sentences


def _lines(stream: IO[bytes], alive: Callable[[], bool], idle: Callable[[], None]) -> Iterator[dict[str, Any]]:
    """JSON lines of a process until its output ends; ``idle`` is called a few times a second."""
    buffer = b""
    while True:
        ready, _, _ = select.select([stream], [], [], 0.2)
        if ready:
            chunk = os.read(stream.fileno(), 1 << 16)
            if not chunk:
                return
            buffer += chunk
            *whole, buffer = buffer.split(b"\n")
            for line in whole:
                yield json.loads(line)
        elif not alive():
            return
        idle()


def compare(rows: Sequence[Sequence[str]], params: ModelParams, inputs: Sequence[IntArray]) -> tuple[int, str]:
    """Values compared with the integer model and a digest of them; DiffersError names the first that differs."""
    digest, values = hashlib.sha256(), 0
    for number, (got, entry) in enumerate(zip(rows, inputs, strict=True)):
        wanted = model(params, entry)[-1].ln2
        found = np.array([list(bytes.fromhex(row)) for row in got], np.uint8).view(np.int8).astype(np.int64)
        if found.shape != wanted.shape:
            raise DiffersError(f"sentence {number}: {found.shape} values came back, the integer model has {wanted.shape}")
        wrong = np.argwhere(found != wanted)
        if wrong.size:
            row, column = (int(v) for v in wrong[0])
            raise DiffersError(
                f"sentence {number}, row {row}, column {column}: {found[row, column]} came back, the integer model has "
                f"{wanted[row, column]}"
            )
        digest.update(found.astype(np.int8).tobytes())
        values += int(found.size)
    return values, digest.hexdigest()


def send_sentences(
    net_file: Path, lab: Lab, job: Job, interval: float, seconds: float, log: Path, teller: Teller, check: Callable[[], None]
) -> dict[str, Any]:
    """Run the host process in its namespace; what it said at the end. FloreanaError where it failed."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "floreana.demo.sentence",
        net_file,
        "--seconds",
        f"{seconds:.0f}",
        "--interval",
        f"{interval}",
    ]
    before: dict[str, dict[str, int]] = {}
    last: dict[str, Any] = {}
    with Child("host", in_namespace(lab.host_namespace, powerless(command)), log=log, cwd=log.parent, env=_environment()) as child:
        assert child.process.stdout is not None
        for line in _lines(child.process.stdout, lambda: child.alive, check):
            if "stage" in line:
                teller.stage(line["stage"])
            elif "rows" in line or "error" in line:
                last = line
            elif "words" in line:
                teller.show(render(job.nodes, line["words"], before, "while sentences are in the cluster"))
                before = line["words"]
        if "rows" not in last:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(timeout=5.0)
            status = child.process.returncode
            why = last.get("error") or f"it ended with status {status}; {log} ends with\n{tail(log)}"
            raise FloreanaError(f"the host process: {why}", 3 if status == 3 else 4)
    return last


# ----------------------------------------------------------------------------------------------------------------------- the demo


def check_net_options(options: NetOptions) -> None:
    """InputError where an option is impossible."""
    run = options.run
    check_options(run)
    wrong = [
        f"{name.upper()}: the demo has no such thing; leave it out" for name in ("cut", "restart", "dead", "vectors") if getattr(run, name)
    ]
    if run.corrupt:
        wrong.append(f"CORRUPT={run.corrupt:g}: a frame with a wrong checksum reaches no TAP device; use LOSS (0 to {MAX_RATE})")
    if options.interval and options.interval < 0.1:
        wrong.append(f"TOP={options.interval:g}: at least 0.1 s between two tables, or 0 for none")
    if wrong:
        raise InputError("\n".join(wrong))


def speed_text(cycles_per_second: float, plan: Plan, job: Job) -> str:
    """What the simulation's speed means for clocks and timers."""
    t = job.timers
    was = "" if t.rto == plan.transport.rto else f" (the plan has {plan.transport.rto:,} for 200 MHz)"
    return (
        f"the simulation makes {cycles_per_second:,.0f} cycles a second, a board 200,000,000: one second here is "
        f"{1e6 * cycles_per_second / CLOCK_HZ:,.1f} us there. The host counts time in cycles of that speed, and nodes and host send again "
        f"after {t.rto:,} cycles{was} = {t.rto / cycles_per_second:.2f} s"
    )


def _measure(simulation: _Simulation, load: str, teller: Teller) -> float:
    """Wait until the nodes run, then two seconds more; cycles a second."""
    teller.stage("starting the simulator" if load == "frames" else "loading the memory images over the configuration buses")
    while (status := simulation.status()).seconds < 2.0 or status.cycle == 0:
        simulation.check()
        time.sleep(0.1)
    return status.cycle / status.seconds


def _relay_command(options: Options, lab: Lab, status: Path) -> tuple[list[str | Path], list[int]]:
    assert lab.relay_wire is not None
    files = [lab.relay_wire.fileno(), lab.relay_tap]
    rates = [f"--{name}={getattr(options, name)}" for name in ("loss", "dup", "reorder")]
    words = [f"--wire={files[0]}", f"--tap={files[1]}", f"--status={status}", f"--seed={options.seed}", *rates]
    return [sys.executable, "-m", "floreana.demo.relay", *words], files


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return content


def net_demo(options: NetOptions, teller: Teller) -> dict[str, Any]:
    """Everything. Returns what result.json in build/<project>/net_demo says. DiffersError (exit 1) names the first difference."""
    check_net_options(options)
    namespaces.check()
    run = options.run
    project = load_project(find_project(run.project), nodes=run.nodes)
    plan = make_plan(project)
    workload = prepare(project, plan, run, teller.stage)
    base = build_folder(project, run.out)
    folder = base / "net_demo"
    with locked(folder):
        for name in ("result.json", "net.json"):
            (folder / name).unlink(missing_ok=True)
        log = folder / "run.log"
        log.write_bytes(b"")
        teller.stage("quantising the model")
        params = quantise_cached(workload.weights, workload.calibration, project.name, cache_folder(), teller.stage, workload.softmax)
        inputs = [embed_rows(params, workload.weights, ids) for ids in workload.ids]
        plan.save(folder / "plan.json")
        teller.stage("writing the memory images")
        images = write_images(plan, params, folder)
        lines = max(item["lines"] for item in json.loads((images / "manifest.json").read_text(encoding="utf-8"))["files"].values())
        simulator = make_simulator(plan, run.sim, options.builds or base / "sim", log, run.jobs, teller.stage)
        teller.built(simulator)
        job = make_job(plan, inputs, run, folder, Trouble(), (), lines)
        with _announced(folder):
            content = _with_network(options, teller, plan, workload, params, inputs, simulator, job, folder, log)
        write_whole(folder / "result.json", lambda path: _write(path, content))
    return content


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _announced(folder: Path) -> Iterator[None]:
    """`floreana top` finds the demo by its net file, as long as it runs."""
    try:
        yield
    finally:
        (folder / "net.json").unlink(missing_ok=True)


def _with_network(
    options: NetOptions,
    teller: Teller,
    plan: Plan,
    workload: Workload,
    params: ModelParams,
    inputs: list[IntArray],
    simulator: Simulator,
    job: Job,
    folder: Path,
    log: Path,
) -> dict[str, Any]:
    run = options.run
    trouble = bool(run.loss or run.dup or run.reorder)
    relay_status, net_file, job_file = folder / "relay.json", folder / "net.json", folder / "job.json"
    relay_status.unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        teller.stage("making namespaces, bridge and TAP devices")
        lab = stack.enter_context(Lab(wiring(job, trouble)))
        simulation = stack.enter_context(_simulation(simulator, job, lab, folder, log, run.seed))
        relay: Child | None = None
        if trouble:
            command, files = _relay_command(run, lab, relay_status)
            relay = stack.enter_context(Child("relay", command, log=log, cwd=folder, env=_environment(), files=files))

        def check() -> None:
            simulation.check()
            if relay is not None and not relay.alive:
                raise FloreanaError(f"the relay ended with status {relay.process.returncode}; {log} ends with\n{tail(log)}")

        speed = _measure(simulation, job.load, teller)
        teller.note(
            f"network: namespace {lab.switch_namespace} with bridge and TAP devices {', '.join(lab.wiring.taps)}; namespace "
            f"{lab.host_namespace} with {namespaces.HOST_DEVICE} {dotted(job.host.ip)}"
        )
        teller.stage("ping and arping of every node")
        answers = ask_nodes(lab, job, 20 + 12_000 / speed, check)
        for item in answers:
            teller.note(item.text())
        status = simulation.status()
        speed = status.cycle / status.seconds
        job = replace(
            job,
            timers=scaled(job.timers, speed, job.window),
            patience=max(job.patience, int(120 * speed)),
        )
        job.save(job_file)
        net = Net(plan.project, lab.host_namespace, max(int(speed), 1), str(job_file), os.getpid())
        net.save(net_file)
        teller.note(speed_text(speed, plan, job))
        seconds = 120 + 20 * (job.stall + (job.patience if job.load == "frames" else 0)) / speed

        def through(what: str) -> Pass:
            said = send_sentences(net_file, lab, job, options.interval, seconds, log, teller, check)
            values, digest = compare(said["rows"], params, inputs)
            done = Pass(
                seconds=said["seconds"],
                attempts=tuple(said["attempts"]),
                cycles=tuple(said["cycles"]),
                values=values,
                digest=digest,
                counters=said["counters"],
                words=said["words"],
                log=tuple(text for _at, text in said["log"]),
                relay=_read_json(relay_status),
            )
            if not said["powerless"]:
                raise FloreanaError("the host process held privileges, or could open a raw socket: it must not")
            many = f"{len(inputs)} sentences" if len(inputs) > 1 else "the sentence"
            teller.note(
                f"{what}: {many} through the cluster over a plain UDP socket in {done.seconds:.1f} s, bit for bit equal to the integer "
                f"model ({values:,} values, SHA-256 {digest[:16]}); host: {done.counters['sent']:,} frames out, "
                f"{done.counters['frames']:,} in, {done.counters['again']:,} sent again"
            )
            return done

        passes = {"clean": through("clean cable")}
        if relay is not None:
            relay.process.send_signal(signal.SIGUSR1)
            lossy = through(f"relay with LOSS={run.loss:g} DUP={run.dup:g} REORDER={run.reorder:g} SEED={run.seed}")
            time.sleep(0.6)  # the relay writes its counts twice a second
            passes["relay"] = lossy = replace(lossy, relay=_read_json(relay_status))
            did = ", ".join(f"{lossy.relay.get(kind, 0):,} {kind}" for kind in ("passed", "lost", "duplicated", "reordered"))
            teller.note(f"the relay: {did}")
        teller.show(render(job.nodes, list(passes.values())[-1].words, {}, "counters of all nodes at the end"))
        if options.keep:
            _stay(teller, lab, plan, answers, check)
        status = simulation.status()
        return {
            "project": plan.project,
            "simulator": simulator.kind,
            "texts": workload.texts,
            "cycles_per_second": round(speed),
            "cycles": status.cycle,
            "rto": job.timers.rto,
            "frames_sent": sum(status.sent),
            "frames_received": sum(status.received),
            "answers": [{"node": a.node, "address": a.address, "pings": a.pings, "ping_ms": a.ping_ms, "mac": a.mac} for a in answers],
            "bit_exact": True,
            "passes": {
                name: {
                    "seconds": round(p.seconds, 3),
                    "attempts": list(p.attempts),
                    "cycles": list(p.cycles),
                    "values": p.values,
                    "sha256": p.digest,
                    "host": p.counters,
                    "words": p.words,
                    "relay": p.relay,
                    "log": list(p.log),
                }
                for name, p in passes.items()
            },
        }


def _stay(teller: Teller, lab: Lab, plan: Plan, answers: Sequence[Answers], check: Callable[[], None]) -> None:
    """Until Ctrl-C."""
    teller.note(
        "the network stays until Ctrl-C; in another terminal, as root:\n"
        f"  ip netns exec {lab.host_namespace} ping {answers[0].address}\n"
        f"  ip netns exec {lab.switch_namespace} tshark -i br{lab.wiring.host} -X lua_script:docs/wireshark/floreana.lua\n"
        f"  floreana top --project {plan.project}"
    )
    teller.stage("running; Ctrl-C ends it")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            check()
            time.sleep(0.2)
