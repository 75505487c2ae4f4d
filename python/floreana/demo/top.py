# SPDX-License-Identifier: Apache-2.0
"""`floreana top`: the counters of all nodes, asked of their managers over a plain socket and shown as a table, again and again.

It is the cluster's host meanwhile: one at a time, and not while sentences are in the cluster (`floreana net-demo --top` shows them then).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from floreana.cluster.description import Project
from floreana.cluster.topology import Numbers
from floreana.demo import namespaces
from floreana.demo.job import Net
from floreana.demo.link import connect, manager_client
from floreana.demo.sentence import named, read_all
from floreana.errors import EnvironmentError_, InputError
from floreana.host import words
from floreana.host.manager import ManagerClient, Operation
from floreana.host.socket_host import SocketHost
from floreana.sim.flow import build_folder
from floreana.sim.job import Job

Words = Mapping[str, int]
KERNELS = ("linear", "attention", "add_norm")
_WRAP = 1 << 32
NODES_A_TABLE = 6  # a terminal of 100 columns takes them
ROWS = (
    "links up",
    "links failed",
    "frames out",
    "frames in",
    "sent again",
    "dropped",
    "lost inside",
    "most tx cells",
    "most rx cells",
    "most switch cells",
    *(f"{kernel} busy cycles" for kernel in KERNELS),
)


# --------------------------------------------------------------------------------------------------------------------- the table


@dataclass(frozen=True, slots=True)
class Line:
    """What is shown of one node."""

    peers_n: int  # peers of a port
    up: frozenset[int]  # indices of peers whose links are up
    failed: frozenset[int]
    frames_out: int
    frames_in: int
    again: int  # data frames sent again
    dropped: int  # frames not taken, messages not sent
    lost: int  # messages lost inside the node
    tx_peak: int
    tx_cells: int
    rx_peak: int
    rx_cells: int
    switch_peak: int
    busy: tuple[int, int, int]  # cycles, by kernel
    causes: tuple[tuple[str, int], ...]  # of what was dropped


_SENT = ("frames", "acks", "nacks", "hellos", "hello_acks", "responder")


def line_of(node: Words) -> Line:
    """Sums over the Ethernet ports of a node."""
    eth_n = node["node.ports_peers"] >> 16
    ports = [f"eth{k}" for k in range(eth_n)]
    causes: dict[str, int] = {}
    for name, value in node.items():
        if value and ".rx.dropped." in name:
            cause = name.rpartition(".")[2].replace("_", " ")
            causes[cause] = causes.get(cause, 0) + value
    for port in ports:
        for word in ("dropped_node", "dropped_format", "discarded"):
            if node[f"{port}.tx.{word}"]:
                cause = f"tx {word.replace('_', ' ')}"
                causes[cause] = causes.get(cause, 0) + node[f"{port}.tx.{word}"]

    def total(word: str) -> int:
        return sum(node[f"{port}.{word}"] for port in ports)

    def peers(mask: str) -> frozenset[int]:
        return frozenset().union(*(words.peer_mask(node, f"{port}.link.{mask}") for port in ports))

    return Line(
        peers_n=node["node.ports_peers"] & 0xFFFF,
        up=peers("up"),
        failed=peers("failed"),
        frames_out=sum(total(f"tx.{word}") for word in _SENT),
        frames_in=total("rx.frames"),
        again=total("tx.again"),
        dropped=sum(causes.values()),
        lost=node["node.lost"],
        tx_peak=max(node[f"{port}.tx.cells_peak"] for port in ports),
        tx_cells=node["node.tx_cells"],
        rx_peak=max(node[f"{port}.rx.cells_peak"] for port in ports),
        rx_cells=node["node.rx_cells"],
        switch_peak=max(value for name, value in node.items() if name.startswith("switch.") and name.endswith(".cells_peak")),
        busy=(node["linear.busy"], node["attention.busy"], node["add_norm.busy"]),
        causes=tuple(sorted(causes.items())),
    )


def _number(value: int, before: int | None) -> Text:
    """A counter, and how much it grew since the table before."""
    out = Text(f"{value:,}")
    if before is not None and value != before:
        out.append(f" +{(value - before) % _WRAP:,}", style="green")
    return out


def _alarm(text: str, bad: bool) -> Text:
    return Text(text, style="red" if bad else "")


def _called(index: int, peers_n: int, names: Sequence[str]) -> str:
    """Name of the peer with an index; all that have it, where the tables are smaller than the project."""
    numbers = Numbers(len(names) - 1, peers_n)
    return " or ".join(name for station, name in enumerate(names) if numbers.index(station) == index) or str(index)


def _column(line: Line, old: Line | None, names: Sequence[str]) -> list[Text]:
    """One node's cells, in the order of ROWS."""
    failed = ", ".join(_called(index, line.peers_n, names) for index in sorted(line.failed))
    return [
        Text(str(len(line.up))),
        _alarm(failed or "0", bool(failed)),
        _number(line.frames_out, None if old is None else old.frames_out),
        _number(line.frames_in, None if old is None else old.frames_in),
        _number(line.again, None if old is None else old.again),
        _number(line.dropped, None if old is None else old.dropped),
        _alarm(f"{line.lost:,}", line.lost > 0),
        Text(f"{line.tx_peak} of {line.tx_cells}"),
        Text(f"{line.rx_peak} of {line.rx_cells}"),
        Text(str(line.switch_peak)),
        *(_number(busy, None if old is None else old.busy[k]) for k, busy in enumerate(line.busy)),
    ]


def render(nodes: Sequence[str], now: Mapping[str, Words], before: Mapping[str, Words], title: str) -> RenderableType:
    """One table for every few nodes. ``nodes``: all names in order; one that is not in ``now`` did not answer. Green: since ``before``."""
    names = [*nodes, "host"]
    parts: list[RenderableType] = [Text(title, style="italic")]
    for first in range(0, len(nodes), NODES_A_TABLE):
        some = nodes[first : first + NODES_A_TABLE]
        table = Table()
        table.add_column("")
        columns = []
        for node in some:
            table.add_column(node, justify="right")
            old = line_of(before[node]) if node in before else None
            missing = [Text("no answer", style="red"), *[Text("-")] * (len(ROWS) - 1)]
            columns.append(_column(line_of(now[node]), old, names) if node in now else missing)
        for place, name in enumerate(ROWS):
            table.add_row(name, *(column[place] for column in columns))
        parts.append(table)
    for node in nodes:
        causes = line_of(now[node]).causes if node in now else ()
        if causes:
            parts.append(Text(f"{node} dropped " + ", ".join(f"{count:,} ({cause})" for cause, count in causes)))
    return Group(*parts)


# --------------------------------------------------------------------------------------------------------------------- the asking


@dataclass(slots=True)
class Watcher:
    """Asks all nodes, again and again; nothing else of the cluster is touched."""

    host: SocketHost
    manager: ManagerClient
    job: Job
    _reads: list[Operation] = field(default_factory=list)

    def look(self, seconds: float) -> dict[str, dict[str, int]]:
        """The words of all nodes by name; those that do not answer within ``seconds`` are left out."""
        reads = read_all(self.job, self.manager)
        end = time.monotonic() + seconds
        while not all(read.done for read in reads) and time.monotonic() < end:
            self._step(min(end - time.monotonic(), 0.05))
        for read in reads:
            if not read.done:
                self.manager.abandon(read)
        return named(self.job, reads)

    def wait(self, seconds: float) -> None:
        """Keep the links alive meanwhile."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._step(min(left, 0.05))

    def _step(self, longest: float) -> None:
        self.manager.poll(self.host.now())
        self.host.step(max(longest, 0.0))
        while (item := self.host.take()) is not None:
            self.manager.receive(self.host.now(), item.header, item.payload)
        while self.host.take_event() is not None:
            pass


def open_watcher(net: Net) -> Watcher:
    """Enter the demo's namespace unless this process is in it, and connect. EnvironmentError_ where that needs more than we may."""
    if not namespaces.is_inside(net.namespace):
        try:
            namespaces.enter(net.namespace)
        except OSError as error:
            raise EnvironmentError_(
                f"cannot enter the network namespace {net.namespace}: {error.strerror}; run "
                f"`sudo ip netns exec {net.namespace} floreana top`"
            ) from error
    job = net.load_job()
    host = connect(net, job)
    return Watcher(host, manager_client(job, host), job)


LINK_UP = 4  # times the patience of a table, for the first one


def patience(net: Net, job: Job) -> float:
    """Seconds after which a node that does not answer is said not to: time enough for a lost hello and a lost request."""
    return max(5.0, 12 * job.timers.rto / net.cycles_per_second)


def net_file(project: Project, out: Path | None) -> Path:
    """Where the demo of a project says that it runs."""
    return build_folder(project, out) / "net_demo" / "net.json"


def top(path: Path, console: Console, interval: float, once: bool, ended: Callable[[], bool] = lambda: False) -> int:
    """Show the table until Ctrl-C (or ``ended``); ``once``: print it one time. Exit code 0, or 3 where no node answers."""
    if interval < 0.1:
        raise InputError(f"INTERVAL={interval:g}: at least 0.1 s between two tables")
    net = Net.load(path)
    watcher = open_watcher(net)
    title = f"{net.project}: {net.cycles_per_second:,} cycles of the design a second"
    with watcher.host:
        longest = patience(net, watcher.job)
        now = watcher.look(LINK_UP * longest)  # the links come up first
        if once:
            console.print(render(watcher.job.nodes, now, {}, title))
            return 0 if now else 3
        before: dict[str, dict[str, int]] = {}
        with Live(console=console, auto_refresh=False) as live:
            while not ended():
                live.update(render(watcher.job.nodes, now, before, title), refresh=True)
                watcher.wait(interval)
                before, now = now, watcher.look(longest)
    return 0
