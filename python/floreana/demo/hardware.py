# SPDX-License-Identifier: Apache-2.0
"""`floreana hardware load|check FOLDER`: images into real boards, and their counters, over a plain socket (docs/vivado.md).

FOLDER is what `floreana vivado` wrote: its plan.json names every address. This machine must have the host's. Never run with real boards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from floreana.cluster.plan import MANAGER, MANAGER_BASE, Plan, load_plan
from floreana.demo.job import scaled
from floreana.demo.sentence import registers
from floreana.demo.top import line_of, render
from floreana.errors import InputError
from floreana.host import words
from floreana.host.endpoint import EndpointConfig, PeerConfig, Timers
from floreana.host.frame import Station
from floreana.host.host import read_image
from floreana.host.manager import ManagerAddress, ManagerClient, ManagerConfig, ManagerError, Operation
from floreana.host.socket_host import SocketConfig, SocketHost

CLOCK_HZ = 200_000_000
OUTSTANDING = 6  # requests a manager has at a time
SECONDS = 20.0  # until a node that does not answer is given up; an image takes as long as it takes


@dataclass(frozen=True, slots=True)
class Boards:
    """The host's socket, and who asks the managers."""

    plan: Plan
    timers: Timers
    host: SocketHost
    manager: ManagerClient

    def run(self, operations: list[Operation], seconds: float) -> None:
        """Until all are done; those that are not after ``seconds`` without any progress are given up."""
        progress, since = -1, self.host.now()
        while not all(operation.done for operation in operations):
            self.manager.poll(self.host.now())
            self.host.step()
            while (item := self.host.take()) is not None:
                self.manager.receive(self.host.now(), item.header, item.payload)
            while self.host.take_event() is not None:
                pass
            if self.manager.counters.replies != progress:
                progress, since = self.manager.counters.replies, self.host.now()
            if self.host.now() - since > seconds * self.host.config.cycles_per_second:
                for operation in operations:
                    if not operation.done:
                        self.manager.abandon(operation)
                return


@contextmanager
def boards(plan: Plan) -> Iterator[Boards]:
    """Connect as the plan's host. EnvironmentError_ where this machine does not have its address."""
    host, t = plan.host, plan.transport
    timers = scaled(Timers(t.ack_delay, t.rto, t.retries, t.keep, t.nack_hold), CLOCK_HZ, 0)
    peers = {node: PeerConfig(Station(node, peer.mac, peer.ip), peer.quota) for node, peer in host.peer.items()}
    hops = {kernel: mask.bit_length() - 1 for kernel, mask in host.peers.items() if mask and not mask & (mask - 1)}
    addresses = {}
    for node in plan.nodes:
        kernel = MANAGER if plan.topology == "star" or node.index == 0 else MANAGER_BASE + node.index
        addresses[node.index] = ManagerAddress(hops[kernel] if kernel else node.index, kernel, node.cluster)
    names = {node.index: node.name for node in plan.nodes}
    endpoint = EndpointConfig(Station(host.node, host.mac, host.ip), peers, timers)
    with SocketHost(SocketConfig(endpoint, CLOCK_HZ)) as socket:
        config = ManagerConfig(addresses, names, timeout=8 * timers.rto, pause=max(timers.rto // 8, 1), outstanding=OUTSTANDING)
        yield Boards(plan, timers, socket, ManagerClient(config, socket.send))


def load(folder: Path, tell: Callable[[str], None], seconds: float = SECONDS) -> int:
    """Write every node's image, then the timers for a host that is a program. ManagerError where a node does not answer."""
    plan = _plan(folder)
    images = [folder / node.name / "images" / f"node{node.index}.hex" for node in plan.nodes]
    for image in images:
        if not image.is_file():
            raise InputError(f"{image} is missing; write the folder again with `floreana vivado`")
    with boards(plan) as cluster:
        for node, image in zip(plan.nodes, images, strict=True):
            tell(f"writing the image of {node.name}")
            writes = [
                cluster.manager.write(node.index, address, [value.to_bytes(words.BEAT_BYTES, "little") for value in values])
                for address, values in read_image(image)
            ]
            for address, entries in registers(cluster.timers, plan.shape["ETH_N"]):
                writes.append(cluster.manager.write(node.index, address, entries))
            cluster.run(writes, seconds)
            failed = next((write for write in writes if write.error is not None or not write.done), None)
            if failed is not None:
                raise failed.error or ManagerError(f"{node.name} does not answer; is it programmed, and the cable in?", node.index)
    tell(f"{len(images)} images are loaded")
    return 0


def check(folder: Path, console: Console, seconds: float = SECONDS) -> int:
    """Show links and counters of every node. Exit code 0; 1 where a node does not answer, a link failed or a message was lost."""
    plan = _plan(folder)
    eth_n = plan.shape["ETH_N"]
    with boards(plan) as cluster:
        reads = [cluster.manager.read(node.index, 0, words.word_count(eth_n)) for node in plan.nodes]
        cluster.run(reads, seconds)
    names = [node.name for node in plan.nodes]
    now = {
        names[read.node]: words.name_words(read.result(), 0, eth_n) for read in reads if read.done and read.error is None and read.pieces
    }
    console.print(render(names, now, {}, f"{plan.project}: {len(now)} of {len(names)} nodes answer"))
    lines = [line_of(node) for node in now.values()]
    return 0 if len(now) == len(names) and all(line.up and not line.failed and not line.lost for line in lines) else 1


def _plan(folder: Path) -> Plan:
    if not (folder / "plan.json").is_file():
        raise InputError(f"{folder} has no plan.json; name a folder that `floreana vivado` wrote, for example build/ibert_base_6/vivado")
    return load_plan(folder / "plan.json")
