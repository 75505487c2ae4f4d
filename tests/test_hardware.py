# SPDX-License-Identifier: Apache-2.0
"""`floreana hardware` against nodes in Python on loopback addresses: images go in as they are, counters come out. No board was asked."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from host_cluster import Node, Shared
from host_cluster import Plan as Made
from rich.console import Console

from floreana import cli
from floreana.cluster.description import find_project, load_project
from floreana.cluster.plan import Plan, make_plan
from floreana.demo import hardware
from floreana.errors import EnvironmentError_, InputError
from floreana.host import words
from floreana.host.endpoint import EndpointConfig, PeerConfig, Timers
from floreana.host.frame import Station
from floreana.host.manager import ManagerError
from floreana.host.socket_host import SocketConfig, SocketHost

TIMERS = Timers(ack_delay=500, rto=20_000, retries=500, keep=500_000, nack_hold=5_000)  # microseconds


class Board(Node):
    """A node whose words are those of one with one port; its link to the host is up."""

    lost = 0

    def word(self, index: int) -> int:
        named = {
            words.index_of("node.ports_peers"): 1 << 16 | 4,
            words.index_of("eth0.link.up_low"): 0b100,
            words.index_of("node.lost"): self.lost,
        }
        return named.get(index, 0)


def loopback(number: int) -> int:
    """An address of this process: tests may run side by side."""
    pid = os.getpid()
    return 127 << 24 | (1 + (pid >> 8) % 250) << 16 | (pid & 255) << 8 | number


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the command reads: a plan at loopback addresses, and images of a few lines."""
    one = load_project(find_project("tiny_2"))
    plan = make_plan(one.model_copy(update={"cluster": one.cluster.model_copy(update={"ip_base": loopback(201)})}))
    plan.save(tmp_path / "plan.json")
    for node in plan.nodes:
        (tmp_path / node.name / "images").mkdir(parents=True)
        lines = [f"{0x1000 * (k // 20) + k:08x}{(node.index << 100) + k:0128x}\n" for k in range(40)]
        (tmp_path / node.name / "images" / f"node{node.index}.hex").write_text("".join(lines))
    return tmp_path


@pytest.fixture
def nodes(folder: Path) -> Iterator[list[Board]]:
    """Both boards, stepped by a thread."""
    plan: Plan = hardware.load_plan(folder / "plan.json")
    made, shared, rng = Made(nodes=2), Shared(), random.Random(1)
    ends = {node.index: Station(node.index, node.mac, node.ip) for node in plan.nodes}
    ends[plan.host.node] = Station(plan.host.node, plan.host.mac, plan.host.ip)
    stop, out, sockets = threading.Event(), [], []
    with ExitStack() as stack:
        for node in plan.nodes:
            peers = {number: PeerConfig(end, 32) for number, end in ends.items() if number != node.index}
            socket = stack.enter_context(SocketHost(SocketConfig(EndpointConfig(ends[node.index], peers, TIMERS), 1_000_000)))
            board = Board(made, node.index, shared, rng, 0)
            board.endpoint = socket.endpoint
            out.append(board)
            sockets.append(socket)

        def turn() -> None:
            while not stop.is_set():
                for socket, board in zip(sockets, out, strict=True):
                    socket.step(0.001)
                    board.step(socket.now())

        thread = threading.Thread(target=turn)
        thread.start()
        try:
            yield out
        finally:
            stop.set()
            thread.join()


def test_images_are_loaded_and_links_checked(folder: Path, nodes: list[Board], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["hardware", "load", str(folder)]) == 0
    for node in nodes:
        image = {0x1000 * (k // 20) + k: ((node.number << 100) + k).to_bytes(64, "little") for k in range(40)}
        assert {address: node.tables[address] for address in image} == image
        assert len(node.tables) == len(image) + 5  # and the registers of its port
    assert cli.main(["hardware", "check", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "2 images are loaded" in told and "tiny_2: 2 of 2 nodes answer" in told
    nodes[1].lost = 3
    assert hardware.check(folder, Console(quiet=True)) == 1


def test_a_silent_node_is_named(folder: Path, nodes: list[Board]) -> None:
    nodes[1].mute = True
    with pytest.raises(ManagerError, match="node1"):
        hardware.load(folder, lambda _: None, seconds=1.0)
    assert hardware.check(folder, Console(quiet=True), seconds=1.0) == 1


def test_what_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no plan.json; name a folder that `floreana vivado` wrote"):
        hardware.check(tmp_path / "nowhere", Console(quiet=True))
    (folder / "node0" / "images" / "node0.hex").unlink()
    with pytest.raises(InputError, match=r"node0.hex is missing; write the folder again with `floreana vivado`"):
        hardware.load(folder, lambda _: None)
    make_plan(load_project(find_project("tiny_2"))).save(folder / "plan.json")
    with pytest.raises(EnvironmentError_, match=r"of 10\.17\.0\.3: Cannot assign requested address"):
        hardware.check(folder, Console(quiet=True))
