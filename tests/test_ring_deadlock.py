# SPDX-License-Identifier: Apache-2.0
"""Routes that the plan refuses do stop for good, those it accepts do not: with a model of finite buffers, and with the RTL."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from buffer_model import Network

from floreana.cluster import layout as lay
from floreana.cluster.plan import HOST_KERNEL
from floreana.cluster.topology import ETH_PORT, Router, RoutingName, Station, TopologyName, make_links
from floreana_tb import TestsFailed, mutate, run_unit

GROUP = 224
CELLS = 3
RUNS = 8


def tables(topology: TopologyName, routing: RoutingName, nodes: int) -> list[Station]:
    """Kernel 1+k at port 1 of node k, the host's kernel, and a group of all nodes' kernels."""
    router = Router(topology, routing, nodes)
    stations: list[Station] = []
    for at in range(nodes + 1):
        route: dict[int, int] = {}
        peers: list[dict[int, int]] = [{}, {}]
        targets = [(1 + to, to) for to in range(nodes)] + [(HOST_KERNEL, nodes)]
        ways = {number: () if to == at else (router.unicast(at, to),) for number, to in targets}
        if at < nodes:
            ways[GROUP] = router.multicast(at, range(nodes))
        for number, hops in ways.items():
            own = number == GROUP or dict(targets)[number] == at
            route[number] = (1 << lay.PORT_LINEAR if own else 0) | sum(1 << ETH_PORT[hop.port] for hop in hops)
            for hop in hops:
                peers[hop.port][number] = 1 << hop.node
        stations.append(Station(route, peers))
    return stations


def run(
    topology: TopologyName, routing: RoutingName, nodes: int, kernels: list[list[int]], *, holding: bool = False, seed: int = 0
) -> bool:
    """``kernels[k]``: destinations of what node k (the host last) sends. True if all came, then once and in order from each to each."""
    stations = tables(topology, routing, nodes)
    network = Network(stations, make_links(topology, nodes), CELLS, holding, seed)
    expected: Counter[tuple[int, int, int]] = Counter()
    count = 0
    for source, numbers in enumerate(kernels):
        for kernel in numbers:
            network.inject(source, (count, kernel))
            members = range(nodes) if kernel == GROUP else [nodes if kernel == HOST_KERNEL else kernel - 1]
            expected.update((count, member, lay.PORT_LINEAR) for member in members)
            count += 1
    done = network.run()
    got = Counter(network.deliveries)
    assert got == expected if done else not got - expected
    return done


def clockwise(nodes: int, count: int) -> list[list[int]]:
    """Everyone floods the second next."""
    return [[1 + (k + 2) % nodes] * count for k in range(nodes)] + [[]]


def everyone(nodes: int, count: int, groups: bool) -> list[list[int]]:
    """From everyone to everyone and the host, the host to everyone; and to the group."""
    targets = [*range(1, nodes + 1), HOST_KERNEL]
    own = [[t for t in targets if t != 1 + k] + [GROUP] * (groups * nodes) for k in range(nodes)]
    return [each * count for each in (*own, list(range(1, nodes + 1)))]


@pytest.mark.parametrize("nodes", [4, 5, 6])
def test_shortest_ways_round_a_ring_stop(nodes: int) -> None:
    stopped = sum(not run("ring", "shortest", nodes, clockwise(nodes, 20), seed=seed) for seed in range(RUNS))
    print(f"{stopped} of {RUNS} runs stopped")
    assert stopped > 1
    assert all(run("ring", "dateline", nodes, clockwise(nodes, 20), seed=seed) for seed in range(RUNS))


@pytest.mark.parametrize(("topology", "nodes"), [("line", 2), ("line", 5), ("ring", 3), ("ring", 4), ("ring", 6)])
def test_accepted_routes_never_stop(topology: TopologyName, nodes: int) -> None:
    routing: RoutingName = "dateline" if topology == "ring" else "shortest"
    for seed in range(RUNS):
        assert run(topology, routing, nodes, everyone(nodes, 3, groups=True), seed=seed), f"seed {seed}"


@pytest.mark.parametrize("nodes", [2, 4])
def test_a_switch_that_holds_outputs_stops_on_any_route(nodes: int) -> None:
    """Why the graph of waits has its condition: multicasts that hold an output while they wait for another stop even a line of two."""
    kernels = everyone(nodes, 8, groups=True)
    stopped = sum(not run("line", "shortest", nodes, kernels, holding=True, seed=seed) for seed in range(RUNS))
    print(f"{stopped} of {RUNS} runs stopped")
    assert stopped > 0
    assert all(run("line", "shortest", nodes, kernels, seed=seed) for seed in range(RUNS))


# ---- the same with the RTL: net_switch and net_eth


UNIT_KERNEL = 7
STATIONS = 4
RING_CELLS = 4
PEERS_N = 8
RETRIES = (1 << 24) - 1  # a link that waits must not be given up here


def ring_job(
    routing: RoutingName,
    kernels: list[list[int]],
    count: int,
    beats: int,
    *,
    stops: bool,
    quota: int = RING_CELLS,
    ack_delay: int = 16,
    rate: float = 0,
) -> str:
    """Tables and traffic for the bench: node k sends ``count`` messages of ``beats`` beats to its ``kernels`` in turn.

    ``rate``: share of the cycles in which each sender's way must carry a beat, headers counted; 0: no matter.
    """
    stations, nodes = tables("ring", routing, len(kernels))[:-1], len(kernels)
    writes: list[tuple[int, int, str]] = []
    expected = [[0] * 8 for _ in range(nodes)]

    def write(station: int, unit: int, memory: int, index: int, data: int) -> None:
        writes.append((station, lay.cfg_addr(unit, memory, index), f"{data:x}"))

    for at, (station, numbers) in enumerate(zip(stations, kernels, strict=True)):
        for number, mask in station.route.items():
            here = mask >> lay.PORT_LINEAR & 1 | (mask >> lay.PORT_ETH & 3) << 1
            write(at, lay.UNIT_SWITCH, lay.MEM_ROUTE, number, here)
        for eth, unit in enumerate((lay.UNIT_ETH, lay.UNIT_ETH_1)):
            for number, mask in station.peers[eth].items():
                if number != HOST_KERNEL:
                    write(at, unit, lay.MEM_PEERS, number, mask)
            for register, value in ((lay.REG_ACK_DELAY, ack_delay), (lay.REG_RTO, 400), (lay.REG_RETRIES, RETRIES), (lay.REG_KEEP, 0)):
                write(at, unit, lay.MEM_REGISTER, register, value)
            peer = (at + 2 * eth - 1) % nodes
            other = peer + 128 * (1 - eth)
            entry = {"mac": 0x02F10E000000 + other, "ip": 0x0A110001 + other, "valid": 1, "quota": quota}
            write(at, unit, lay.MEM_PEER, peer, lay.pack(lay.PEER, entry))
        if not numbers:  # it only forwards and sinks
            write(at, UNIT_KERNEL, 0, 0, 0)
            continue
        listed = sum(number << 8 * i for i, number in enumerate(numbers))
        write(at, UNIT_KERNEL, 0, 0, listed | (len(numbers) - 1) << 64 | beats << 67 | count << 71)
        for i in range(count):
            number = numbers[i % len(numbers)]
            for member in range(nodes) if number == GROUP else [number - 1]:
                expected[member][1 + at] += 1
    ordered = not any(GROUP in numbers for numbers in kernels)  # a message to one may overtake a message to many
    up = [1 << (k - 1) % nodes | 1 << PEERS_N + (k + 1) % nodes for k in range(nodes)]
    job = {"writes": writes, "expected": expected, "up": up, "stations": nodes, "quiet": 1500, "stops": stops, "ordered": ordered}
    ways = sum(bool(numbers) for numbers in kernels)
    return json.dumps(job | {"rate": rate, "frame": beats + 1, "ways": ways})


def run_ring(
    job: str, sources: list[Path] | None = None, cells: int = RING_CELLS, stations: int = STATIONS, received: int = RING_CELLS
) -> None:
    parameters = {"N": stations, "PEERS_N": PEERS_N, "CELLS": 2, "TX_CELLS": cells, "RX_CELLS": received}
    run_unit("ring_deadlock_tb", "ring_deadlock.test_ring_deadlock", parameters=parameters, extra_env={"RING_JOB": job}, sources=sources)


SIX = 6
HALF_ROUND = [[1 + (k + SIX // 2) % SIX] for k in range(SIX)]  # everyone floods the one opposite: 2 of 3 messages on a link are in transit


FLOOD = 40  # messages of a station: more than all buffers hold
ROOMY = 16  # cells of a sending side that takes messages while 8 are in use; a smaller one takes them only when it is empty


def test_rtl_shortest_ways_stop() -> None:
    run_ring(ring_job("shortest", HALF_ROUND, FLOOD, 1, stops=True), cells=ROOMY, stations=SIX)


def test_rtl_dateline_completes() -> None:
    run_ring(ring_job("dateline", HALF_ROUND, FLOOD, 1, stops=False), cells=ROOMY, stations=SIX)


def test_rtl_transit_at_full_rate() -> None:
    """Stations 0 and 2 flood each other through 1, both ways at once: frames in 94 % of the cycles (100 Gb/s carry them in 95.4 %)."""
    count, beats, cells = 120, 15, 32
    job = ring_job("dateline", [[3], [], [1], []], count, beats, stops=False, quota=cells // 2, ack_delay=64, rate=0.94)
    run_ring(job, cells=cells, received=cells)


MULTICASTS = [[GROUP, 1 + (k + 1) % STATIONS, GROUP, 1 + (k + 2) % STATIONS] for k in range(STATIONS)]


def test_rtl_multicasts_complete() -> None:
    """Everyone to everyone and to the group, along the line of a ring with a dateline."""
    run_ring(ring_job("dateline", MULTICASTS, 80, 1, stops=False), cells=8)


def test_rtl_a_switch_that_holds_outputs_stops(tmp_path: Path) -> None:
    """The same without the rule that a message starts only where there is room."""
    held = mutate("net_switch", ".room(m_axis_room)", ".room({PORTS{1'b1}})", tmp_path)
    with pytest.raises(TestsFailed):
        run_ring(ring_job("dateline", MULTICASTS, 80, 1, stops=False), [held], cells=8)
