# SPDX-License-Identifier: Apache-2.0
"""Cabling and ways: every message walked from every station, each receiver reached once; no circular waits; what is refused."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from floreana.cluster import layout as lay
from floreana.cluster.description import (
    BuildSection,
    ClusterSection,
    MappingSection,
    Project,
    SyntheticModel,
    TransportSection,
    find_project,
    load_project,
)
from floreana.cluster.plan import MANAGER_BASE, Plan, TransportPlan, make_plan, plan_from_json, quota, render, stations, with_link_delay
from floreana.cluster.topology import Channel, LinkEnd, Links, Station, Walk, dependencies, find_cycle, make_links, neighbours, walk, wires
from floreana.errors import InputError

LINEAR, NORM = 1 << lay.PORT_LINEAR, 1 << lay.PORT_ADD_NORM
ETH0, ETH1 = 1 << lay.PORT_ETH, 1 << lay.PORT_ETH_1


def project(topology: str, nodes: int, routing: str | None = None, **transport: int) -> Project:
    """One encoder whose operators lie on nodes chosen at random, so that groups are any sets of nodes, with and without `add_norm`."""
    rng = random.Random(f"{topology} {nodes}")
    names = [f"n{k}" for k in range(nodes)]

    def some() -> list[str]:
        return rng.sample(names, rng.choice([count for count in (1, 2, 4) if count <= nodes]))

    place = {operator: some() for operator in ("qkv", "attention", "out", "ffn1", "ffn2")}
    ln1 = some()
    place |= {"ln1": ln1, "ln2": ln1 if len(ln1) > 1 else rng.sample(names, 1)}
    return Project(
        name="sample",
        model=SyntheticModel(hidden=256, heads=4, ffn=256, encoders=2),
        cluster=ClusterSection.model_validate({"nodes": names, "topology": topology, "routing": routing}),
        mapping=MappingSection.model_validate({"strategy": "pipeline", "place": place}),
        build=BuildSection(max_tokens=4),
        transport=TransportSection(**transport),
    )


def tensor(name: str, topology: str | None = None) -> Plan:
    chosen = load_project(find_project(name))
    if topology is not None:
        chosen = chosen.model_copy(update={"cluster": chosen.cluster.model_copy(update={"topology": topology})})
    return make_plan(chosen)


PLANS = {
    **{f"star_{n}": ("star", n) for n in (1, 2, 5, 32, 63)},
    **{f"line_{n}": ("line", n) for n in (1, 2, 3, 6, 31)},
    **{f"ring_{n}": ("ring", n) for n in (3, 4, 5, 6, 7, 12)},
}
SHIPPED = {"tiny_3_ring": None, "minilm_6_line": None, "minilm_6_ring": None, "minilm_6": None, "ibert_base_6_pipeline": "ring"}


def plan_of(name: str) -> Plan:
    return tensor(name, SHIPPED[name]) if name in SHIPPED else make_plan(project(*PLANS[name]))


def homes(plan: Plan) -> dict[int, set[tuple[int, int]]]:
    """Kernel number -> (node, switch port) of everyone it stands for; groups by what the receivers' tables say they take."""
    ports = {"linear": lay.PORT_LINEAR, "attention": lay.PORT_ATTENTION, "add_norm": lay.PORT_ADD_NORM}
    found = {number: {(node.index, ports[kernel])} for node in plan.nodes for kernel, number in node.kernels.items()}
    found |= {MANAGER_BASE + node.index: {(node.index, lay.PORT_MANAGER)} for node in plan.nodes[:31]}
    found[255] = {(plan.host.node, 0)}
    takers: dict[int, set[tuple[int, int]]] = {}
    for node in plan.nodes:
        for kernel, edges in node.edges.items():
            for edge in edges:
                takers.setdefault(edge, set()).add((node.index, ports[kernel]))
    for node in plan.nodes:
        for entries in node.messages.values():
            for message in entries:
                if 224 <= message.dst_kernel <= 253:
                    found[message.dst_kernel] = takers[message.edge]
    return found


def check_every_way(plan: Plan, tables: list[Station]) -> int:
    """Walk every message from every station; returns how many. AssertionError or ValueError where one goes wrong."""
    where, wiring, walked = homes(plan), wires(plan.links), 0
    for source in range(plan.host.node + 1):
        numbers = set(where) - ({255} | set(range(224, 254)) if source == plan.host.node else set())
        extra = set(tables[source].route) - numbers
        assert numbers <= set(tables[source].route)
        assert extra - set(range(224, 254)) == ({255} if source == plan.host.node else {0})  # a group of a last encoder has no sender
        for number in sorted(numbers):
            deliveries = walk(tables, wiring, source, number).deliveries
            assert len(deliveries) == len(set(deliveries)), f"kernel {number} from {source} is delivered twice"
            assert set(deliveries) == where[number], f"kernel {number} from {source}"
            walked += 1
        if source != plan.host.node:
            assert walk(tables, wiring, source, 0).deliveries == ((source, lay.PORT_MANAGER),)
    return walked


@pytest.mark.parametrize("name", [*PLANS, *SHIPPED])
def test_every_message_reaches_each_receiver_once(name: str) -> None:
    plan = plan_of(name)
    count, groups = len(plan.nodes), len({number for number in homes(plan) if 224 <= number <= 253})
    assert groups >= 1
    assert check_every_way(plan, stations(plan)) == count * (3 * count + min(count, 31) + groups + 1) + 3 * count + min(count, 31)
    assert find_cycle(dependencies(stations(plan), plan.links)) == []
    assert plan_from_json(plan.to_json()) == plan


def test_a_wrong_bit_in_a_table_shows() -> None:
    """The walk is worth something: every Ethernet bit of every table of a ring, turned, is noticed."""
    plan = tensor("tiny_3_ring")
    tables, turned = stations(plan), 0
    for at, station in enumerate(tables[:-1]):
        for number, mask in station.route.items():
            if not number:
                continue
            for bit in (ETH0, ETH1):
                wrong = [*tables]
                wrong[at] = Station({**station.route, number: mask ^ bit}, station.peers)
                with pytest.raises((ValueError, AssertionError)):
                    check_every_way(plan, wrong)
                turned += 1
        for port, peers in enumerate(station.peers):
            for number in peers:
                for bit in range(4):
                    changed = [dict(each) for each in station.peers]
                    changed[port][number] ^= 1 << bit
                    wrong = [*tables]
                    wrong[at] = Station(station.route, changed)
                    with pytest.raises((ValueError, AssertionError)):
                        check_every_way(plan, wrong)
                    turned += 1
    assert turned > 200


def hops(taken: Walk) -> int:
    return sum(before.sends for before, _ in taken.pairs)


@pytest.mark.parametrize("count", [3, 4, 5, 6, 7, 12])
def test_ring_with_a_dateline(count: int) -> None:
    """Along the line, but to and from the last node the shorter way; nothing passes through the last node."""
    plan = make_plan(project("ring", count))
    tables, wiring, last = stations(plan), wires(plan.links), count - 1
    for source in range(count):
        for to in set(range(count)) - {source}:
            length = hops(walk(tables, wiring, source, 1 + to))
            line, other = abs(source - to), min(source, to) + 1
            assert length == (min(line, other) if last in (source, to) else line)
            if last not in (source, to):
                assert hops(walk(tables, wiring, source, MANAGER_BASE + to)) == line
            if to == last:
                assert hops(walk(tables, wiring, source, MANAGER_BASE + to)) == line, "managers along the line"
        assert hops(walk(tables, wiring, source, 255)) == (1 if source == last else source + 1)
        assert hops(walk(tables, wiring, count, 1 + source)) == (1 if source == last else source + 1)
    for before, afters in dependencies(tables, plan.links).items():
        assert before.sends or before.node != last, f"{before} is followed by {afters}"


@pytest.mark.parametrize("count", [4, 5, 6, 7, 31])
def test_ring_shortest_is_refused(count: int) -> None:
    with pytest.raises(InputError) as caught:
        make_plan(project("ring", count, "shortest"))
    message = caught.value.message
    around = " -> ".join(f"n{k} port 0 receives -> n{k} port 1 sends" for k in range(count))
    assert message == (
        "the routes can wait for each other in a circle, each full buffer for the next: "
        f"{around} -> n0 port 0 receives; choose cluster.routing: dateline, or leave it out"
    )


def test_ring_of_three_has_no_circle() -> None:
    """Everyone is everyone's neighbour; only the host's messages for node 1 pass through a node."""
    plan = make_plan(project("ring", 3, "shortest"))
    assert (plan.routing, check_every_way(plan, stations(plan)) > 0) == ("shortest", True)


@pytest.mark.parametrize("count", [3, 6])
def test_why_the_host_enters_at_node_0(count: int) -> None:
    """The host's message for node last-1, given to the last node, closes a circle with those of node 0 to the last one."""
    plan = make_plan(project("ring", count))
    tables, last = stations(plan), count - 1
    tables[-1] = Station(tables[-1].route, ({**plan.host.peers, 1 + last - 1: 1 << last},))
    cycle = find_cycle(dependencies(tables, plan.links))
    assert Channel(last, 1, sends=False) in cycle and Channel(last, 0, sends=True) in cycle


@pytest.mark.parametrize("name", ["star_5", "line_6", "ring_6", "ring_3"])
def test_a_bare_node_is_reached(name: str) -> None:
    """A node that knows only `up`, beyond nodes that are loaded: host to manager and back, and no circle."""
    plan = plan_of(name)
    for node in plan.nodes:
        assert node.up.valid == 1
        tables = stations(plan)
        tables[node.index] = Station({0: 1, MANAGER_BASE + node.index: 1, 255: ETH0}, ({255: 1 << node.up.node}, {}))
        request = walk(tables, wires(plan.links), plan.host.node, MANAGER_BASE + node.index)
        assert request.deliveries == ((node.index, lay.PORT_MANAGER),)
        assert request.pairs[-1] == (request.pairs[-1][0], Channel(node.index, 0, sends=False)), "it comes in at port 0"
        assert request.pairs[-1][0].node == node.up.node
        reply = walk(tables, wires(plan.links), node.index, 255)
        assert reply.deliveries == ((plan.host.node, 0),)
        graph = dependencies(stations(plan), plan.links)
        for before, after in (*request.pairs, *reply.pairs):
            graph.setdefault(before, set()).add(after)
        assert find_cycle(graph) == []
        sender = plan.host if node.up.node == plan.host.node else plan.nodes[node.up.node]
        port = next(o.port for o in neighbours(plan.links, LinkEnd(node.index, 0)) if o.node == node.up.node)
        assert (node.up.mac, node.up.ip) == (sender.mac + 128 * port, sender.ip + 128 * port)


def test_links() -> None:
    def text(links: Links) -> list[str]:
        return [" ".join(f"{end.node}.{end.port}" for end in segment) for segment in links]

    assert text(make_links("star", 3)) == ["0.0 1.0 2.0 3.0"]
    assert text(make_links("line", 3)) == ["3.0 0.0", "0.1 1.0", "1.1 2.0"]
    assert text(make_links("ring", 3)) == ["0.0 2.1 3.0", "0.1 1.0", "1.1 2.0"]
    assert text(make_links("line", 1)) == ["1.0 0.0"]
    assert neighbours(make_links("ring", 3), LinkEnd(3, 0)) == (LinkEnd(0, 0), LinkEnd(2, 1))
    assert neighbours(make_links("line", 3), LinkEnd(2, 1)) == ()


def test_ports_of_a_ring() -> None:
    plan = tensor("minilm_6_ring")
    first, last = plan.nodes[0], plan.nodes[5]
    assert (plan.topology, plan.routing) == ("ring", "dateline")
    assert (plan.shape["ETH_N"], plan.shape["PEERS_N"], plan.shape["TX_CELLS"], plan.shape["RX_CELLS"]) == (2, 8, 128, 256)
    assert (last.ports[1].mac, last.ports[1].ip) == (last.mac + 128, last.ip + 128)
    assert [sorted(each) for each in first.peer] == [[5, 6], [1]]
    assert [sorted(each) for each in last.peer] == [[4], [0, 6]]
    assert (first.peer[0][5].mac, first.peer[1][1].mac) == (last.ports[1].mac, plan.nodes[1].ports[0].mac)
    assert {node: entry.mac for node, entry in plan.host.peer.items()} == {0: first.mac, 5: last.ports[1].mac}
    # to the group: from node 0 up the line, from the last node down; on the way both
    assert [node.route[224] for node in plan.nodes] == [LINEAR | ETH1, *[LINEAR | ETH0 | ETH1] * 4, LINEAR | ETH0]
    assert [node.route[1 + 5] for node in plan.nodes] == [ETH0, ETH0, ETH1, ETH1, ETH1, LINEAR]
    assert [node.route[129 + 1] for node in plan.nodes] == [ETH1, NORM, ETH0, ETH0, ETH0, ETH1]
    assert plan.host.peers[129] == 1 and plan.host.peers[129 + 5] == 1 << 5 and plan.host.peers[MANAGER_BASE + 5] == 1


def test_star_with_two_ports() -> None:
    chosen = project("star", 2)
    plan = make_plan(chosen.model_copy(update={"build": BuildSection(max_tokens=4, eth_ports=2)}))
    assert plan.shape["ETH_N"] == len(plan.nodes[0].ports) == 2
    assert all((node.peers[1], node.peer[1]) == ({}, {}) for node in plan.nodes)


def test_quotas_fit() -> None:
    assert [quota(peers) for peers in (1, 2, 4, 5, 8, 9, 16, 63)] == [64, 64, 64, 32, 32, 16, 16, 4]
    for name in ("star_1", "star_5", "star_32", "line_6", "ring_7"):
        plan = plan_of(name)
        for around in (plan.host.peer, *(peer for node in plan.nodes for peer in node.peer)):
            assert sum(entry.quota for entry in around.values()) <= plan.shape["RX_CELLS"]
            assert all(number < plan.shape["PEERS_N"] for number in around)


def test_transport() -> None:
    assert plan_of("star_5").transport == TransportPlan(220, 128, 4 * (440 + 5 * 32), 24, 32 * (440 + 5 * 32), 740, 32, ())
    assert plan_of("line_6").transport == TransportPlan(220, 128, 4 * (440 + 64), 24, 32 * (440 + 64), 740, 64, ())
    assert plan_of("ring_6").transport == TransportPlan(220, 128, 4 * (440 + 128), 24, 32 * (440 + 128), 740, 64, ())
    near = make_plan(project("line", 2, link_delay=0, retries=30)).transport
    assert near == TransportPlan(0, 128, 256, 30, 2048, 300, 64, ("retries",))
    given = make_plan(project("line", 2, rto=9000, keep=0, ack_delay=0, nack_hold=5))
    assert given.transport == TransportPlan(220, 0, 9000, 24, 0, 5, 64, ("ack_delay", "keep", "nack_hold", "rto"))
    further = with_link_delay(given, 1000)
    assert further.transport == replace(given.transport, link_delay=1000) and replace(further, transport=given.transport) == given
    assert with_link_delay(plan_of("line_6"), 1000).transport.rto == 4 * (2000 + 64)
    assert plan_from_json(given.to_json()) == given


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        (
            {"rto": 100},
            ["transport.rto = 100: at least 4 x (2 x 220 for the crossings + 64 for the messages of all peers) = 2,016 cycles; choose at"],
        ),
        ({"ack_delay": 1009}, ["transport.ack_delay = 1,009: at most half of rto, 1,008; choose less, or remove it"]),
        ({"keep": 2000}, ["transport.keep = 2,000: 0 (never), or at least rto, 2,016; choose such a value"]),
        ({"rto": 4_000_000}, ["transport.keep = 32,000,000: at most 16,777,215 (24 bits), with a link delay of 220; give keep"]),
        ({"rto": 1, "ack_delay": 5000}, ["transport.rto = 1: at least", "transport.ack_delay = 5,000: at most half of rto, 0"]),
    ],
)
def test_transport_refused(values: dict[str, int], parts: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        make_plan(project("line", 3, **values))
    lines = caught.value.message.splitlines()
    assert lines[0] == "project sample on 3 nodes does not fit:"
    for part in parts:
        assert any(line.startswith(f"  {part}") for line in lines), lines


def test_link_delay_refused() -> None:
    with pytest.raises(InputError, match=r"transport.rto = 80,000,256: at most 16,777,215 \(24 bits\), with a link delay of 10,000,000"):
        with_link_delay(plan_of("line_2"), 10_000_000)


def test_find_cycle() -> None:
    """Against taking away what waits for nothing, again and again: a circle is what is left."""
    rng, cyclic = random.Random(3), 0
    every = [Channel(node, 0, sends=False) for node in range(6)]
    for _ in range(400):
        graph = {a: {b for b in every if rng.random() < 0.17} for a in every}
        left = dict(graph)
        while free := [a for a, after in left.items() if not after & set(left)]:
            for a in free:
                del left[a]
        cycle = find_cycle(graph)
        assert bool(cycle) == bool(left)
        for before, after in zip(cycle, cycle[1:] + cycle[:1], strict=True):
            assert after in graph[before]
        assert len(set(cycle)) == len(cycle) and (not cycle or cycle[0] == min(cycle))
        cyclic += bool(cycle)
    assert 50 < cyclic < 350, cyclic
    assert find_cycle({}) == []


def test_tables_that_lead_nowhere() -> None:
    links = wires(make_links("line", 2))
    host = Station({1: ETH0}, ({1: 1},))

    def refuse(first: Station, second: Station, part: str) -> None:
        with pytest.raises(ValueError, match=part):
            walk([first, second, host], links, 2, 1)

    end = Station({1: LINEAR}, ({}, {}))
    refuse(Station({}, ({}, {})), end, "kernel 1 from station 2: station 0 does not know where to send it")
    refuse(Station({1: ETH0}, ({1: 4}, {})), end, "station 0 does not know where to send it")
    refuse(Station({1: ETH1}, ({}, {})), end, r"station 0 port 1 has peers 0b0, neighbours \[1\]")
    refuse(Station({1: ETH1}, ({}, {1: 8})), end, r"station 0 port 1 has peers 0b1000, neighbours \[1\]")
    refuse(Station({1: ETH1}, ({}, {1: 3})), end, "station 0 is no neighbour of station 0 port 1")
    refuse(Station({1: ETH1}, ({}, {1: 2})), Station({1: ETH1}, ({}, {1: 1})), r"station 1 port 1 has peers 0b1, neighbours \[\]")
    assert walk([Station({1: ETH1}, ({}, {1: 2})), end, host], links, 2, 1).deliveries == ((1, lay.PORT_LINEAR),)
    ring = wires(make_links("ring", 3))
    around = [Station({1: ETH1}, ({}, {1: 1 << (k + 1) % 3})) for k in range(3)]
    with pytest.raises(ValueError, match="comes to station 0 twice by the same port"):
        walk([*around, host], ring, 3, 1)


def test_render() -> None:
    text = render(tensor("minilm_6_ring"))
    for part in (
        "cabling: ring, routing dateline",
        "│ Ethernet switch, 3 ports │ 0.0, 5.1, host    │ 64 ",
        "│ cable                    │ 4.1, 5.0          │ 64 ",
        "│ 5    │ 1    │ 0    │ 0-1                 │ 0-1                  │        │      │",
        "│ 1    │ 0    │ 0    │ 0, 5                │ 0                    │ 224    │ yes  │",
        "registers of the Ethernet ports, link delay 220",
        "RTO 2272",
    ):
        assert part in text, text
    assert max(map(len, text.splitlines())) <= 110 and "…" not in text
    star = render(plan_of("star_63"))
    assert "ways:" not in star and "62.0, host" in star and "…" not in star
