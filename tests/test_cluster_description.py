# SPDX-License-Identifier: Apache-2.0
"""project.yaml: what is accepted, and that everything else is refused with file, line, key, value, limit and remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from floreana.cluster.description import (
    ProjectError,
    find_project,
    format_ip,
    format_mac,
    legal_node_counts,
    load_description,
    load_project,
    project_schema,
    projects_root,
)
from floreana.environment import project_root
from floreana.errors import FloreanaError, InputError

GOOD = """\
name: sample
model:
  source: synthetic
  hidden: 128
  heads: 2
  ffn: 256
  encoders: 2
cluster:
  nodes: 2
build:
  k_lanes: 64
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "sample" / "project.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str) -> list[tuple[int, str, str, str, str]]:
    """Problems as (line, key, value, limit, remedy)."""
    path = write(folder, text)
    with pytest.raises(ProjectError) as caught:
        load_project(path)
    assert caught.value.exit_code == 2
    for problem in caught.value.problems:
        assert problem.file == path.as_posix()
        assert f"{path.as_posix()}:{problem.line}: {problem.key} = {problem.value}: " in caught.value.message
    return [(p.line, p.key, p.value, p.limit, p.remedy) for p in caught.value.problems]


def test_minilm_6() -> None:
    project = load_project(find_project("minilm_6"))
    model, build = project.model, project.build
    assert (model.hidden, model.heads, model.ffn, model.encoders) == (384, 12, 1536, 6)
    assert project.nodes == 6
    assert (build.k_lanes, build.out_n, build.post_lanes, build.norm_lanes) == (64, 48, 8, 16)
    assert (build.max_tokens, build.slots) == (128, 2)


def test_tiny_2() -> None:
    project = load_project(find_project("tiny_2"))
    model, build = project.model, project.build
    assert (model.hidden, model.heads, model.ffn, model.encoders) == (128, 2, 256, 2)
    assert project.nodes == 2
    assert (build.k_lanes, build.out_n, build.post_lanes, build.norm_lanes) == (64, 16, 4, 4)
    assert (build.max_tokens, build.slots) == (16, 2)


def test_every_shipped_project_loads() -> None:
    names = sorted(path.parent.name for path in projects_root().glob("*/project.yaml"))
    assert {"minilm_6", "tiny_2"} <= set(names)
    for name in names:
        assert load_project(find_project(name)).name == name


def test_defaults_and_node_names(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, GOOD.replace("nodes: 2", "nodes: [left, right]")))
    assert project.cluster.nodes == ("left", "right")
    assert format_mac(project.cluster.mac_base) == "02:f1:0e:00:00:00"
    assert format_ip(project.cluster.ip_base) == "10.17.0.1"
    assert project.mapping.priorities.model_dump() == {"qkv": 0, "out": 1, "ffn1": 2, "ffn2": 3}
    assert load_project(write(tmp_path, GOOD)).cluster.nodes == ("node0", "node1")


def test_boards(tmp_path: Path) -> None:
    plain = load_project(write(tmp_path, GOOD)).cluster
    assert [plain.board_of(name) for name in plain.nodes] == ["sidewinder", "sidewinder"]
    mixed = load_project(write(tmp_path, GOOD.replace("nodes: 2", "nodes: 2\n  board: u280\n  boards: {node1: vcu118}"))).cluster
    assert [mixed.board_of(name) for name in mixed.nodes] == ["u280", "vcu118"]


def test_topology_and_transport(tmp_path: Path) -> None:
    plain = load_project(write(tmp_path, GOOD))
    assert (plain.cluster.topology, plain.cluster.routing, plain.build.eth_ports) == ("star", None, None)
    assert plain.transport.model_dump() == {
        "link_delay": 220, "ack_delay": None, "rto": None, "retries": None, "keep": None, "nack_hold": None,
    }  # fmt: skip
    text = GOOD.replace("nodes: 2", "nodes: 2\n  topology: line") + "transport: {link_delay: 500, rto: 9000, keep: 0}\n"
    project = load_project(write(tmp_path, text))
    assert project.cluster.topology == "line"
    assert (project.transport.link_delay, project.transport.rto, project.transport.keep) == (500, 9000, 0)
    with pytest.raises(ProjectError, match="a ring has at least 3 nodes, not 1"):
        load_project(find_project("tiny_3_ring"), nodes=1)


LINKED = "nodes: [a, b, c, d]\n  topology: {}\n  links: [{}]"


def linked(topology: str, links: str) -> str:
    return GOOD.replace("nodes: 2", LINKED.format(topology, links))


@pytest.mark.parametrize(
    ("links", "order"),
    [
        ("[a, b], [b, c], [c, d]", "abcd"),
        ("[c, a], [b, d], [a, d]", "bdac"),  # ends b and c: the host is at b, which nodes names first
        ("[d, c], [c, b], [b, a]", "abcd"),
    ],
)
@pytest.mark.parametrize("topology", ["line", "ring"])
def test_links_give_the_order_of_nodes(topology: str, links: str, order: str, tmp_path: Path) -> None:
    text = linked(topology, links).replace("hidden: 128\n  heads: 2", "hidden: 256\n  heads: 4").replace("ffn: 256", "ffn: 512")
    cluster = load_project(write(tmp_path, text)).cluster
    assert (cluster.nodes, cluster.links, cluster.topology) == (tuple(order), None, topology)


@pytest.mark.parametrize(
    ("topology", "links", "value", "limit", "remedy"),
    [
        ("line", "[a, b], [b, c]", "d", "no link leads to node d: nothing would reach it", "add a link to it, or remove the node"),
        ("ring", "[a, b], [c, d]", "2 links", "no link joins a, b and c, d", "add a link from b"),
        ("line", "[b, c], [c, d], [d, b]", "a", "no link leads to node a: nothing would reach it", "add a link to it, or remove the node"),
        (
            *("ring", "[a, b], [b, c], [c, d], [d, a]", "d, a", "the links go round in a circle, a - b - c - d - a: no port is left"),
            "remove that link",
        ),
        ("line", "[a, b], [a, c], [a, d]", "a", "node a has 3 links, to b, c, d, and two ports", "leave at most two links at a"),
        ("line", "[a, b], [b, c], [c, e]", "c, e", "no node is named e", "choose from a, b, c, d"),
        ("line", "[a, b], [b, b], [c, d]", "b, b", "a cable has two ends, at different nodes", "remove it"),
        ("line", "[a, b], [b, a], [c, d]", "b, a", "b and a have a link already", "remove it"),
        ("star", "[a, b], [b, c], [c, d]", "(given)", "each node of a star has one cable", "remove it, or choose line or ring"),
        ("line", "a, b", "['a', 'b']", "links is a list of pairs of nodes", "write links: [[left, middle], [middle, right]]"),
        ("line", "[a, b, c]", "[['a', 'b', 'c']]", "links is a list of pairs of nodes", "write links"),
    ],
)
def test_links_that_no_cable_could_make_are_refused(topology: str, links: str, value: str, limit: str, remedy: str, tmp_path: Path) -> None:
    text = linked(topology, links).replace("hidden: 128\n  heads: 2", "hidden: 256\n  heads: 4").replace("ffn: 256", "ffn: 512")
    ((line, key, shown, why, do),) = refused(tmp_path, text)
    assert (line, key.partition("[")[0], shown) == (11, "cluster.links", value)
    assert limit in why and remedy in do


def test_two_rings_of_links_are_no_ring(tmp_path: Path) -> None:
    text = GOOD.replace("nodes: 2", "nodes: [a, b, c, d, e]\n  topology: ring\n  links: [[a, b], [c, d], [d, e], [e, c]]")
    assert [(p[2], p[3]) for p in refused(tmp_path, text) if p[1] == "cluster.links"] == [("4 links", "no link joins a, b and c, d, e")]


CHAIN = "chain:\n    back: {{nodes: [c, d]{}}}\n    front: {{nodes: [a, b]{}}}"


def test_a_chain_of_named_clusters(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, GOOD.replace("nodes: 2", CHAIN.format("", ", next: back"))))
    assert (project.cluster.nodes, project.clusters, project.members(1)) == (("a", "b", "c", "d"), 2, (2, 3))
    same = load_project(write(tmp_path, GOOD.replace("nodes: 2", "nodes: [a, b, c, d]\n  clusters: 2")))
    assert project.model_dump() == same.model_dump()


@pytest.mark.parametrize(
    ("back", "front", "key", "value", "limit", "remedy"),
    [
        (
            *(
                ", next: front",
                ", next: back",
                "front.next",
                "back",
                "the gateways go round in a circle, back -> front -> back: no row would",
            ),
            "remove next of the last cluster",
        ),
        ("", ", next: front", "front.next", "front", "the gateways go round in a circle, front -> front", "remove next"),
        ("", "", "back.next", "(absent)", "rows of back return to the host, so none come to front", "add next: front, or remove front"),
        ("", ", next: bakc", "front.next", "bakc", "no cluster is named bakc", "did you mean back?"),
    ],
)
def test_gateways_that_do_not_make_a_row_are_refused(
    back: str, front: str, key: str, value: str, limit: str, remedy: str, tmp_path: Path
) -> None:
    problems = refused(tmp_path, GOOD.replace("nodes: 2", CHAIN.format(back, front)))
    assert any((p[1], p[2]) == (f"cluster.chain.{key}", value) and limit in p[3] and remedy in p[4] for p in problems), problems


@pytest.mark.parametrize(
    ("chain", "key", "value", "limit"),
    [
        (
            "{x: {nodes: [a, b], next: z}, y: {nodes: [c, d], next: z}, z: {nodes: [e, f]}}",
            "y.next",
            "z",
            "its gateway takes the rows of x",
        ),
        ("{x: {nodes: [a, b], next: y}, y: {nodes: [b, c]}}", "y.nodes", "b", "cluster x has a node of that name"),
        ("{x: {nodes: [a, b], next: y}, y: {nodes: [c]}}", "y.nodes", "c", "1 nodes, but x has 2"),
        ("{x: {nodes: [a, b], nxt: y}, y: {nodes: [c, d]}}", "x.nxt", "y", "unknown key; known: nodes, next"),
        ("{x: {next: y}, y: {nodes: [c, d]}}", "x.nodes", "(absent)", "this key is required"),
    ],
)
def test_a_chain_with_errors(chain: str, key: str, value: str, limit: str, tmp_path: Path) -> None:
    problems = refused(tmp_path, GOOD.replace("nodes: 2", f"chain: {chain}"))
    assert any((p[0], p[1], p[2]) == (9, f"cluster.chain.{key}", value) and limit in p[3] for p in problems), problems


def test_a_chain_stands_in_place_of_nodes(tmp_path: Path) -> None:
    text = GOOD.replace("nodes: 2", "nodes: 4\n  " + CHAIN.format("", ", next: back"))
    ((line, key, _, limit, remedy),) = refused(tmp_path, text)
    assert (line, key, limit, remedy) == (9, "cluster.nodes", "the clusters of chain name their nodes", "remove nodes, or chain")
    assert [p[1] for p in refused(tmp_path, GOOD.replace("nodes: 2", "topology: star"))] == ["cluster.nodes"]


def test_softmax(tmp_path: Path) -> None:
    def model(text: str) -> Any:
        return load_project(write(tmp_path, GOOD.replace("encoders: 2", f"encoders: 2\n  softmax: {text}"))).model.softmax

    assert load_project(write(tmp_path, GOOD)).model.softmax == ("published",)
    assert (model("deferred"), model("[published, deferred]")) == (("deferred",), ("published", "deferred"))
    words = ("softmax is published or deferred, one for all encoders or a list with one for each", "choose published or deferred")
    for text, shown in (("late", "late"), ("3", "3"), ("[]", "[]"), ("[deferred, 1]", "['deferred', 1]"), ("{a: b}", "{'a': 'b'}")):
        text = GOOD.replace("encoders: 2", f"encoders: 2\n  softmax: {text}")
        assert refused(tmp_path, text) == [(8, "model.softmax", shown, *words)]
    text = GOOD.replace("encoders: 2", "encoders: 2\n  softmax: [deferred, deferred, published]")
    assert refused(tmp_path, text) == [
        (8, "model.softmax", "deferred, deferred, published", "3 words for 2 encoders", "write one for all, or 2")
    ]
    minilm = "name: sample\nmodel:\n  source: minilm\n  softmax: deferred\ncluster:\n  nodes: 6\n"
    assert load_project(write(tmp_path, minilm)).model.softmax == ("deferred",)


def test_the_place_of_a_chain_of_clusters(tmp_path: Path) -> None:
    """Nodes of the first group of the first cluster, and the same positions everywhere else; the mapper's where none is given."""
    chain = GOOD.replace("encoders: 2", "encoders: 4").replace("nodes: 2", "nodes: 8\n  clusters: 2")
    text = chain.replace("cluster:", PLACE.format(ln1="node1", ffn1="node0, node1", ln2="node0") + "  groups: 2\ncluster:")
    project = load_project(write(tmp_path, text))
    teams = [members for cluster in range(2) for members in project.teams(cluster)]
    assert teams == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert [project.place("ln1", members) for members in teams] == [(1,), (3,), (5,), (7,)]
    assert [project.place("ffn1", members) for members in teams] == teams
    unplaced = load_description(write(tmp_path, chain.replace("cluster:", "mapping: {strategy: pipeline}\ncluster:")))
    assert unplaced.open["place"] and unplaced.cluster.clusters == 2


def test_every_error_at_once(tmp_path: Path) -> None:
    text = """\
name: Sample
modle: 3
model:
  source: synthetic
  hidden: 128
  heads: 2
  ffn: "256"
  encoders: 0
  encoders: 5
cluster:
  nodes: [a, a]
  mac_base: "01:00:00:00:00:00"
  ip_base: 10.300.0.1
mapping:
  strategy: pipelin
  priorities: {qkv: 4, qvk: 1}
build:
  out_n: 20
  slots: 3
  max_tokens: true
"""
    at_least, known = "must be at least 1", "unknown key; known: "
    assert refused(tmp_path, text) == [
        (
            1,
            "name",
            "Sample",
            "a name is a lower-case letter, then at most 31 lower-case letters, digits or _",
            "choose such a name",
        ),
        (2, "modle", "3", f"{known}name, model, cluster, mapping, build, transport", "did you mean model?"),
        (7, "model.ffn", "256", "an integer is needed", "write a whole number, without quotes"),
        (8, "model.encoders", "0", at_least, "choose a value of at least 1"),
        (9, "model.encoders", "(repeated)", "the key stands in line 8 already", "remove one"),
        (
            11,
            "cluster.nodes",
            "['a', 'a']",
            "node names are unique, but a repeats",
            "give each node its own name",
        ),
        (
            12,
            "cluster.mac_base",
            "01:00:00:00:00:00",
            "bit 0 of the first byte marks a group address",
            "make the first byte even, for example 02",
        ),
        (
            13,
            "cluster.ip_base",
            "10.300.0.1",
            "an IPv4 address is four numbers from 0 to 255",
            "write it as 10.17.0.1",
        ),
        (15, "mapping.strategy", "pipelin", "not a known value", "choose 'tensor', 'pipeline' or 'auto'"),
        (16, "mapping.priorities.qkv", "4", "must be at most 3", "choose a value of at most 3"),
        (16, "mapping.priorities.qvk", "1", f"{known}qkv, out, ffn1, ffn2", "did you mean qkv?"),
        (18, "build.out_n", "20", "not a known value", "choose 16, 32, 48, 64 or 'auto'"),
        (19, "build.slots", "3", "not a known value", "choose 1 or 2"),
        (20, "build.max_tokens", "True", "an integer is needed", "write a whole number, without quotes"),
    ]


PLACE = """mapping:
  strategy: pipeline
  place: {{qkv: [node0], attention: [node1], out: [node0], ln1: [{ln1}], ffn1: [{ffn1}], ffn2: [node0], ln2: [{ln2}]}}
"""
# change to the good text -> line, key, value, part of the limit, part of the remedy of the only problem
REFUSALS: dict[str, tuple[Any, ...]] = {
    "hidden not whole beats": (
        ("hidden: 128", "hidden: 160"),
        ("heads: 2", "heads: 5"),
        (4, "model.hidden", "160", "multiple of 64", "choose 128 or 192"),
    ),
    "head of 16 channels": (
        ("heads: 2", "heads: 8"),
        (5, "model.heads", "8", "8 heads of a hidden size of 128 are 16 channels each", "choose 4 or 2 heads"),
    ),
    "heads do not divide hidden": (
        ("heads: 2", "heads: 3"),
        (5, "model.heads", "3", "42.6667 channels each; a head has 32 or 64", "choose 4 or 2 heads"),
    ),
    "ffn": (("ffn: 256", "ffn: 200"), (6, "model.ffn", "200", "multiple of 64", "choose 192 or 256")),
    "hidden too wide": (
        ("hidden: 128", "hidden: 2048"),
        (4, "model.hidden", "2048", "must be at most 1024", "at most 1024"),
    ),
    "nodes do not divide heads": (
        ("nodes: 2", "nodes: 4"),
        (9, "cluster.nodes", "4", "2 heads do not divide over 4 nodes (2 mod 4 = 2)", "choose 1 or 2 nodes"),
    ),
    "half a beat of heads": (
        ("heads: 2", "heads: 4"),
        ("nodes: 2", "nodes: 4"),
        (9, "cluster.nodes", "4", "1 x 32 = 32 bytes, not a multiple of 64", "choose 1 or 2 nodes"),
    ),
    "ffn over nodes": (
        ("ffn: 256", "ffn: 192"),
        (9, "cluster.nodes", "2", "FFN 192 over 2 nodes is 96 bytes a node, not a multiple of 64", "choose 1 node"),
    ),
    "no nodes": (("nodes: 2", "nodes: 0"), (9, "cluster.nodes", "0", "1 to 255 nodes", "choose 1 to 255 nodes")),
    "too many nodes": (("nodes: 2", "nodes: 256"), (9, "cluster.nodes", "256", "1 to 255 nodes", "choose 1 to 255")),
    "nodes a word": (("nodes: 2", "nodes: two"), (9, "cluster.nodes", "two", "a count or a list", "write nodes: 6")),
    "node name": (
        ("nodes: 2", "nodes: [a, B]"),
        (9, "cluster.nodes", "['a', 'B']", "a name is a lower-case letter", "choose such a name"),
    ),
    "unknown source": (
        ("source: synthetic", "source: bert"),
        (3, "model.source", "bert", "not a known model source", "choose minilm or synthetic"),
    ),
    "no source": (
        ("  source: synthetic\n", ""),
        (2, "model.source", "(absent)", "required", "choose minilm or synthetic"),
    ),
    "no encoders": (("  encoders: 2\n", ""), (2, "model.encoders", "(absent)", "required", "add encoders")),
    "no cluster": (("cluster:\n  nodes: 2\n", ""), (1, "cluster", "(absent)", "required", "add cluster: nodes")),
    "cluster is a number": (
        ("cluster:\n  nodes: 2\n", "cluster: 2\n"),
        (8, "cluster", "2", "a mapping of keys to values is needed", "nodes, clusters, chain, topology, links, routing, mac_base, ip_base"),
    ),
    "minilm has no sizes": (
        ("source: synthetic", "source: minilm"),
        ("hidden: 128\n  heads: 2\n  ffn: 256\n  encoders: 2\n", "hidden: 128\n"),
        (4, "model.hidden", "128", "unknown key; known: source", "remove it"),
    ),
    "groups": (
        ("cluster:", "mapping: {groups: many}\ncluster:"),
        (8, "mapping.groups", "many", "groups is a number from 1 to 63, or auto", "choose such a number, or auto"),
    ),
    "place of an unknown node": (
        ("cluster:", PLACE.format(ln1="node0", ffn1="node7", ln2="node0") + "cluster:"),
        (10, "mapping.place.ffn1", "node7", "no node is named node7", "choose from node0, node1"),
    ),
    "LayerNorms on other nodes": (
        ("cluster:", PLACE.format(ln1="node0, node1", ffn1="node0", ln2="node0") + "cluster:"),
        (10, "mapping.place.ln2", "node0", "rows rotate over the nodes of both LayerNorms alike", "name the nodes of ln1, or one"),
    ),
    "shares of half a beat": (
        ("ffn: 256", "ffn: 192"),
        ("cluster:", PLACE.format(ln1="node0", ffn1="node0, node1", ln2="node1") + "cluster:"),
        (10, "mapping.place.ffn1", "node0, node1", "FFN 192 over 2 nodes is 96 bytes", "name another number of nodes"),
    ),
    "place in strategy tensor": (
        ("cluster:", PLACE.format(ln1="node0", ffn1="node0", ln2="node0").replace("pipeline", "tensor") + "cluster:"),
        (10, "mapping.place", "(given)", "only strategy pipeline places operators", "remove it"),
    ),
    "no name": (("name: sample\n", ""), (1, "name", "(absent)", "required", "add name")),
    "name of another folder": (
        ("name: sample", "name: simple"),
        (1, "name", "simple", "the project's folder is named sample", "use one name for both"),
    ),
    "max_tokens": (
        ("k_lanes: 64", "max_tokens: 513"),
        (11, "build.max_tokens", "513", "must be at most 512", "at most 512"),
    ),
    "no tokens": (("k_lanes: 64", "max_tokens: 0"), (11, "build.max_tokens", "0", "at least 1", "at least 1")),
    "k_lanes": (("k_lanes: 64", "k_lanes: 48"), (11, "build.k_lanes", "48", "not a known", "choose 16, 32, 64 or 'auto'")),
    "last ip": (
        ("nodes: 2", "nodes: 2\n  ip_base: 255.255.255.254"),
        (10, "cluster.ip_base", "255.255.255.254", "the base plus 2, beyond 255.255.255.255", "lower address"),
    ),
    "last mac": (
        ("nodes: 2", 'nodes: 2\n  mac_base: "02:ff:ff:ff:ff:ff"'),
        (10, "cluster.mac_base", "02:ff:ff:ff:ff:ff", "the base plus 2, beyond the last", "lower address"),
    ),
    "unknown topology": (
        ("nodes: 2", "nodes: 2\n  topology: tree"),
        (10, "cluster.topology", "tree", "not a known value", "choose 'star', 'line' or 'ring'"),
    ),
    "clusters of unequal size": (
        ("nodes: 2", "nodes: 3\n  clusters: 2"),
        (10, "cluster.clusters", "2", "3 nodes do not divide over 2 clusters", "choose a multiple of 2 nodes"),
    ),
    "encoders over three clusters": (
        ("nodes: 2", "nodes: 3\n  clusters: 3"),
        (10, "cluster.clusters", "3", "2 encoders do not divide over 3 clusters", "choose a divisor of the encoders"),
    ),
    "groups of unequal size": (
        ("nodes: 2", "nodes: 3\nmapping:\n  groups: 2"),
        (11, "mapping.groups", "2", "3 nodes do not divide over 2 groups", "choose a multiple of 2 nodes, or fewer groups"),
    ),
    "encoders over three groups": (
        ("nodes: 2", "nodes: 3\nmapping:\n  groups: 3"),
        (11, "mapping.groups", "3", "2 encoders do not divide over 3 groups", "choose a divisor of the encoders"),
    ),
    "too many clusters": (
        ("nodes: 2", "nodes: 2\n  clusters: 64"),
        (10, "cluster.clusters", "64", "must be at most 63", "choose a value of at most 63"),
    ),
    "a cluster of 64": (
        ("hidden: 128\n  heads: 2\n  ffn: 256\n  encoders: 2", "hidden: 1024\n  heads: 32\n  ffn: 1024\n  encoders: 4"),
        ("nodes: 2", "nodes: 64\nmapping:\n  groups: 4"),
        (
            9,
            "cluster.nodes",
            "64",
            "at most 64 stations apart, here 65: the 64 nodes and the host",
            "at most 63 nodes, or several clusters of at most 31",
        ),
    ),
    "two clusters of 32": (
        ("hidden: 128\n  heads: 2\n  ffn: 256\n  encoders: 2", "hidden: 1024\n  heads: 32\n  ffn: 1024\n  encoders: 4"),
        ("nodes: 2", "nodes: 64\n  clusters: 2\nmapping:\n  groups: 2"),
        (9, "cluster.nodes", "64", "here 65: the 32 nodes, 32 of the cluster before and the host", "choose clusters of at most 31 nodes"),
    ),
    "two ports of too many nodes": (
        ("hidden: 128\n  heads: 2\n  ffn: 256\n  encoders: 2", "hidden: 1024\n  heads: 16\n  ffn: 1024\n  encoders: 8"),
        ("nodes: 2", "nodes: 128\n  clusters: 8"),
        ("k_lanes: 64", "k_lanes: 64\n  eth_ports: 2"),
        (9, "cluster.nodes", "128", "port 1 of a node has the addresses of port 0 plus 128", "at most 127 nodes, or eth_ports: 1"),
    ),
    "clusters on a line": (
        ("nodes: 2", "nodes: 2\n  clusters: 2\n  topology: line"),
        (10, "cluster.clusters", "2", "chained over one Ethernet switch, not over a line", "choose topology: star, or clusters: 1"),
    ),
    "place in the second cluster": (
        ("nodes: 2", "nodes: 4\n  clusters: 2"),
        ("cluster:", PLACE.format(ln1="node0", ffn1="node2", ln2="node0") + "cluster:"),
        (
            10,
            "mapping.place.ffn1",
            "node2",
            "no node in the first cluster, whose places are those of all clusters, is named node2",
            "choose from node0, node1",
        ),
    ),
    "place in the second group of the first cluster": (
        ("encoders: 2", "encoders: 4"),
        ("nodes: 2", "nodes: 4\n  clusters: 2"),
        ("cluster:", PLACE.format(ln1="node0", ffn1="node0", ln2="node0") + "  groups: 2\ncluster:"),
        (10, "mapping.place.attention", "node1", "no node in the first group, whose places are those of all groups", "choose from node0"),
    ),
    "place in the second group": (
        ("cluster:", PLACE.format(ln1="node0", ffn1="node0", ln2="node0") + "  groups: 2\ncluster:"),
        (10, "mapping.place.attention", "node1", "no node in the first group, whose places are those of all groups", "choose from node0"),
    ),
    "nodes of a cluster": (
        ("nodes: 2", "nodes: 8\n  clusters: 2"),
        (9, "cluster.nodes", "8", "2 heads do not divide over 4 nodes", "choose 1 or 2 nodes a cluster"),
    ),
    "ring of two": (
        ("nodes: 2", "nodes: 2\n  topology: ring"),
        (10, "cluster.topology", "ring", "a ring has at least 3 nodes, not 2", "choose line or star, or at least 3 nodes"),
    ),
    "long line": (
        ("heads: 2", "heads: 16"),
        ("hidden: 128", "hidden: 1024"),
        ("nodes: 2", "nodes: 32\n  topology: line"),
        ("cluster:", PLACE.format(ln1="node0", ffn1="node0", ln2="node0") + "cluster:"),
        (
            13,
            "cluster.topology",
            "line",
            "at most 31 nodes (their managers have the numbers 193 to 223), not 32",
            "choose star, or at most 31",
        ),
    ),
    "dateline in a line": (
        ("nodes: 2", "nodes: 2\n  topology: line\n  routing: dateline"),
        (11, "cluster.routing", "dateline", "only a ring has a dateline; a line has one way", "remove it, or choose shortest"),
    ),
    "unknown routing": (
        ("nodes: 2", "nodes: 2\n  routing: longest"),
        (10, "cluster.routing", "longest", "not a known value", "choose 'shortest' or 'dateline'"),
    ),
    "one port in a line": (
        ("nodes: 2", "nodes: 2\n  topology: line"),
        ("k_lanes: 64", "eth_ports: 1"),
        (
            12,
            "build.eth_ports",
            "1",
            "a node of a line has two neighbours and needs 2 ports",
            "choose 2, or remove it, or choose topology: star",
        ),
    ),
    "three ports": (("k_lanes: 64", "eth_ports: 3"), (11, "build.eth_ports", "3", "not a known value", "choose 1 or 2")),
    "last ip of port 1": (
        ("nodes: 2", "nodes: 2\n  topology: line\n  ip_base: 255.255.255.127"),
        (11, "cluster.ip_base", "255.255.255.127", "the last node's port 1 would be the base plus 129", "lower address"),
    ),
    "transport is a number": (
        ("build:", "transport: 3\nbuild:"),
        (10, "transport", "3", "a mapping of keys to values is needed", "link_delay, ack_delay, rto, retries, keep, nack_hold"),
    ),
    "few retries": (
        ("build:", "transport: {retries: 23}\nbuild:"),
        (10, "transport.retries", "23", "must be at least 24", "at least 24"),
    ),
    "long delay": (
        ("build:", "transport: {link_delay: 100001}\nbuild:"),
        (10, "transport.link_delay", "100001", "must be at most 100000", "at most 100000"),
    ),
    "wide register": (
        ("build:", "transport: {keep: 16777216}\nbuild:"),
        (10, "transport.keep", "16777216", "must be at most 16777215", "at most 16777215"),
    ),
    "register is a word": (
        ("build:", "transport: {rto: long}\nbuild:"),
        (10, "transport.rto", "long", "an integer is needed", "write a whole number"),
    ),
    "unknown board": (
        ("nodes: 2", "nodes: 2\n  board: sidewindr"),
        (10, "cluster.board", "sidewindr", "no board of that name; known: fb2cg, sidewinder, u250", "did you mean sidewinder?"),
    ),
    "board without a 100G MAC": (
        ("nodes: 2", "nodes: 2\n  board: zcu102"),
        (
            10,
            "cluster.board",
            "zcu102",
            "a node has 1 Ethernet port, zcu102 has no 100G MAC",
            "choose fb2cg, sidewinder, u250, u280, u55c or",
        ),
    ),
    "one board without a 100G MAC": (
        ("nodes: 2", "nodes: 2\n  topology: line\n  boards: {node1: zcu102}"),
        (11, "cluster.boards.node1", "zcu102", "a node has 2 Ethernet ports, zcu102 has no 100G MAC", "choose fb2cg"),
    ),
    "unknown board of a node": (
        ("nodes: 2", "nodes: 2\n  boards: {node1: u555}"),
        (10, "cluster.boards", "{'node1': 'u555'}", "node1: u555: no board of that name; known: fb2cg", "did you mean u55c?"),
    ),
    "board of an unknown node": (
        ("nodes: 2", "nodes: 2\n  boards: {node2: u55c}"),
        (10, "cluster.boards.node2", "u55c", "no node is named node2", "did you mean node1?"),
    ),
    "boards a word": (
        ("nodes: 2", "nodes: 2\n  boards: u55c"),
        (10, "cluster.boards", "u55c", "boards maps names of nodes to boards", "write boards: {node0: u55c}"),
    ),
    "mac is no mac": (
        ("nodes: 2", "nodes: 2\n  mac_base: 02f10e000000"),
        (10, "cluster.mac_base", "02f10e000000", "six pairs of hexadecimal digits", "write it quoted"),
    ),
}


@pytest.mark.parametrize("name", sorted(REFUSALS))
def test_refusal(name: str, tmp_path: Path) -> None:
    *changes, expected = REFUSALS[name]
    text = GOOD
    for change in changes:
        old, new = change
        assert isinstance(old, str)
        assert isinstance(new, str)
        assert old in text
        text = text.replace(old, new)
    ((line, key, value, limit, remedy),) = refused(tmp_path, text)
    assert (line, key, value) == expected[:3]
    assert str(expected[3]) in limit
    assert str(expected[4]) in remedy


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("name: [sample\n", ":2: not YAML: "),
        ("", ":1: a description is a mapping of keys to values"),
        ("- 1\n", ":1: a description is a mapping of keys to values"),
        ("name: !!python/name:os.system x\n", ":1: name: could not determine a constructor"),
        ("name: !shell x\n", ":1: name: could not determine a constructor"),
        ("a: " + "[" * 20 + "]" * 20 + "\n", "more than 16 levels"),
        (
            (
                "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d]\n"
            ),
            "10000 values",
        ),
    ],
)
def test_damaged_file(text: str, part: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_project(write(tmp_path, text))
    assert part in caught.value.message
    assert caught.value.exit_code == 2


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_project(tmp_path / "absent.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        load_project(tmp_path)
    path = write(tmp_path, GOOD)
    path.write_bytes(b"name: \xff\n")
    with pytest.raises(InputError, match="not UTF-8 at byte 6"):
        load_project(path)


@pytest.mark.parametrize("nodes", [1, 2, 3, 6])
def test_node_override(nodes: int) -> None:
    assert load_project(find_project("minilm_6"), nodes=nodes).nodes == nodes


@pytest.mark.parametrize(
    ("nodes", "part"),
    [
        (4, "the heads of a node are 3 x 32 = 96 bytes, not a multiple of 64; choose 1, 2, 3 or 6 nodes"),
        (5, "12 heads do not divide over 5 nodes (12 mod 5 = 2); choose 1, 2, 3 or 6 nodes"),
        (12, "the heads of a node are 1 x 32 = 32 bytes, not a multiple of 64; choose 1, 2, 3 or 6 nodes"),
        (0, "a project has 1 to 255 nodes"),
    ],
)
def test_node_override_refused(nodes: int, part: str) -> None:
    with pytest.raises(ProjectError) as caught:
        load_project(find_project("minilm_6"), nodes=nodes)
    assert part in caught.value.message
    assert f"cluster.nodes = {nodes}" in caught.value.message


def test_legal_node_counts() -> None:
    assert legal_node_counts(384, 12, 1536) == [1, 2, 3, 6]
    assert legal_node_counts(768, 12, 3072) == [1, 2, 3, 4, 6, 12]
    assert legal_node_counts(128, 2, 192) == [1]


def test_find_project(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    assert find_project("sample", root=tmp_path) == path
    assert find_project(str(path.parent)) == path
    assert find_project(str(path)) == path
    with pytest.raises(InputError, match=r"'minilm' is unknown; known: .*minilm_6.*; did you mean minilm_6\?"):
        find_project("minilm")
    with pytest.raises(InputError, match="known: sample; name one of these"):
        find_project("zzz", root=tmp_path)
    with pytest.raises(InputError, match="unknown"):
        find_project("../tiny_2")


def test_exit_codes() -> None:
    assert FloreanaError("x").exit_code == 4
    assert FloreanaError("x", 1).exit_code == 1
    assert InputError("a message").message == str(InputError("a message")) == "a message"


# ------------------------------------------------------------------ the JSON schema

EXAMPLES = sorted(path.parent.name for path in projects_root().glob("*/project.yaml"))


def test_the_published_schema_is_that_of_the_description() -> None:
    published = json.loads((project_root() / "docs" / "project.schema.json").read_text(encoding="utf-8"))
    assert published == json.loads(json.dumps(project_schema())), "docs/project.schema.json is old: make schema"
    Draft202012Validator.check_schema(published)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_follows_the_schema_and_names_it(name: str) -> None:
    text = find_project(name).read_text(encoding="utf-8")
    assert text.splitlines()[1] == "# yaml-language-server: $schema=../../docs/project.schema.json"
    Draft202012Validator(project_schema()).validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: sample", "name: Sample"),
        ("  source: synthetic\n", ""),
        ("  source: synthetic", "  source: bert"),
        ("  hidden: 128", "  hidden: 100"),
        ("  hidden: 128", "  hidden: many"),
        ("  nodes: 2", "  nodes: 256"),
        ("  nodes: 2", "  nodes: [left, left]"),
        ("  nodes: 2", '  nodes: 2\n  mac_base: "03:00:00:00:00:00"'),
        ("  k_lanes: 64", "  k_lanes: 48"),
        ("  k_lanes: 64", "  lanes: 64"),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(tmp_path: Path, old: str, new: str) -> None:
    validator = Draft202012Validator(project_schema())
    validator.validate(yaml.safe_load(GOOD))
    assert GOOD.count(old) == 1
    text = GOOD.replace(old, new)
    with pytest.raises(ValidationError):
        validator.validate(yaml.safe_load(text))
    with pytest.raises(ProjectError):
        load_project(write(tmp_path, text))
