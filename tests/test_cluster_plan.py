# SPDX-License-Identifier: Apache-2.0
"""The mapper's tables: golden values of tiny_2, figures of minilm_6, rules every plan keeps, and what does not fit."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import fields
from pathlib import Path

import pytest

from floreana.cluster import layout as lay
from floreana.cluster.description import (
    BuildSection,
    ClusterSection,
    MappingSection,
    Project,
    SyntheticModel,
    find_project,
    load_project,
)
from floreana.cluster.entry import EntryPlan
from floreana.cluster.plan import (
    CONTEXT_LAYOUTS,
    Allocator,
    EdgePlan,
    GatewayPlan,
    PeerEntry,
    Plan,
    PortPlan,
    TransportPlan,
    UpPlan,
    array_words,
    load_plan,
    make_plan,
    plan_from_json,
    render,
)
from floreana.cluster.topology import Numbers
from floreana.errors import EnvironmentError_, InputError


def shipped(name: str, nodes: int | None = None) -> Plan:
    return make_plan(load_project(find_project(name), nodes=nodes))


def synthetic(hidden: int, heads: int, ffn: int, encoders: int, nodes: int, **build: int) -> Project:
    return Project(
        name="sample",
        model=SyntheticModel(hidden=hidden, heads=heads, ffn=ffn, encoders=encoders),
        cluster=ClusterSection.model_validate({"nodes": nodes}),
        build=BuildSection.model_validate(build),
    )


PLANS = {
    "tiny_2": lambda: shipped("tiny_2"),
    "tiny_1": lambda: shipped("tiny_2", 1),
    "minilm_6": lambda: shipped("minilm_6"),
    "minilm_3": lambda: shipped("minilm_6", 3),
    "minilm_2": lambda: shipped("minilm_6", 2),
    "minilm_1": lambda: shipped("minilm_6", 1),
    "bert_base_12": lambda: make_plan(synthetic(768, 12, 3072, 12, 12)),
    "odd": lambda: make_plan(synthetic(192, 3, 320, 15, 1, k_lanes=16, out_n=64, max_tokens=100, slots=1)),
}


def test_tiny_2_golden() -> None:
    plan = shipped("tiny_2")
    assert plan.shape == {
        "K_LANES": 64,
        "OUT_N": 16,
        "POST_LANES": 4,
        "W_WORDS": 128,
        "BIAS_WORDS": 128,
        "POST_WORDS": 192,
        "STORE_BEATS": 256,
        "ROW_W": 4,
        "SLOT_W": 1,
        "HEAD_DIM": 64,
        "HEAD_BEATS": 1,
        "REQ_WORDS": 2,
        "NORM_LANES": 4,
        "LROW_W": 3,
        "ACC_BEATS": 256,
        "RES_WORDS": 64,
        "CHAN_WORDS": 128,
        "ROW_BEATS": 2,
        "ETH_N": 1,
        "PEERS_N": 4,
        "TX_CELLS": 128,
        "RX_CELLS": 256,
    }
    assert plan.owners == (0, 1) * 8
    assert plan.local_rows == (0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7)
    assert plan.entry == EntryPlan(129, 0, 1, 20, 1, 1, (0, 1))
    assert [plan.entry.copies(t, plan.owners[t]) for t in range(3)] == [((129, 20), (2, 1)), ((130, 0),), ((129, 0),)]
    assert (plan.host.node, plan.host.mac, plan.host.ip) == (2, 0x02F10E000002, 0x0A110003)
    assert [(edge.encoder, edge.tensor) for _, edge in sorted(plan.edges.items())] == [
        (0, "entry"),
        (0, "entry"),
        *((0, tensor) for tensor in ("q", "k", "v", "context", "out_part", "ln1", "ffn1", "ffn2_part")),
        (1, "entry"),
        *((1, tensor) for tensor in ("q", "k", "v", "context", "out_part", "ln1", "ffn1", "ffn2_part")),
        (1, "ln2"),
        (0, "entry"),
    ]
    node = plan.nodes[1]
    assert (node.name, node.mac, node.ip) == ("node1", 0x02F10E000001, 0x0A110002)
    assert node.kernels == {"linear": 2, "attention": 66, "add_norm": 130}
    assert [list(node.context(name, 1).fields.values()) for name in ("qkv", "out", "ffn1", "ffn2")] == [
        [0, 2, 0, 0, 1, 12, 12, 64, 36, 80, 6, 3],
        [64, 1, 1, 1, 0, 8, 8, 88, 48, 0, 9, 1],
        [96, 2, 2, 2, 2, 8, 8, 96, 56, 128, 10, 1],
        [160, 2, 3, 3, 0, 8, 8, 112, 64, 0, 11, 1],
    ]
    assert node.context("attention", 1).fields == {"bank": 1, "beats": 1, "req_base": 1, "msg_base": 1}
    assert node.context("entry", 0).fields == {
        "mode": 0,
        "parts": 1,
        "slices": 1,
        "region": 2,
        "acc_base": 0,
        "res_base": 0,
        "keep": 0,
        "keep_base": 0,
        "chan_base": 0,
        "h": 128,
        "shift": 0,
        "beats": 2,
        "msg_base": 0,
        "msg_count": 1,
    }
    assert node.context("direct", 0).fields == node.context("entry", 0).fields | {"msg_base": 1}
    norm = {name: node.context(name, encoder).fields for name, encoder in (("ln1", 1), ("ln2", 0))}
    assert [norm["ln1"][key] for key in ("parts", "slices", "region", "acc_base", "res_base")] == [2, 1, 0, 0, 0]
    assert [norm["ln1"][key] for key in ("keep", "keep_base", "chan_base", "msg_base")] == [1, 32, 64, 4]
    assert [norm["ln2"][key] for key in ("parts", "slices", "region", "acc_base", "res_base")] == [2, 1, 1, 128, 32]
    assert [norm["ln2"][key] for key in ("keep", "keep_base", "chan_base", "msg_base")] == [1, 0, 32, 3]
    assert node.context("ln2", 1).fields["keep"] == 0
    assert {number: (edge.ctx, edge.role) for number, edge in node.edges["linear"].items()} == {
        1: (0, 0),
        5: (1, 0),
        7: (2, 0),
        8: (3, 0),
        10: (4, 0),
        14: (5, 0),
        16: (6, 0),
        17: (7, 0),
    }
    assert {number: (edge.ctx, edge.role) for number, edge in node.edges["attention"].items()} == {
        2: (0, 0),
        3: (0, 1),
        4: (0, 2),
        11: (1, 0),
        12: (1, 1),
        13: (1, 2),
    }
    assert {number: (edge.ctx, edge.role) for number, edge in node.edges["add_norm"].items()} == {
        0: (0, 0),
        6: (2, 1),
        9: (3, 1),
        15: (4, 1),
        18: (5, 1),
        20: (1, 0),
    }
    assert [tuple(getattr(m, f.name) for f in fields(m)) for m in node.messages["linear"][:6]] == [
        (0, 66, 2, 0, 0, 0, 1),
        (0, 66, 3, 0, 0, 0, 1),
        (0, 66, 4, 0, 0, 0, 1),
        (0, 129, 6, 1, 0, 2, 8),
        (0, 2, 8, 0, 0, 0, 2),
        (0, 129, 9, 1, 0, 2, 8),
    ]
    assert [tuple(getattr(m, f.name) for f in fields(m)) for m in node.messages["attention"]] == [
        (0, 2, 5, 0, 0, 0, 1),
        (0, 2, 14, 0, 0, 0, 1),
    ]
    assert [tuple(getattr(m, f.name) for f in fields(m)) for m in node.messages["add_norm"]] == [
        (0, 224, 1, 0, 0, 0, 2),
        (0, 2, 1, 0, 0, 0, 2),
        (0, 224, 7, 0, 0, 0, 2),
        (0, 224, 10, 0, 0, 0, 2),
        (0, 224, 16, 0, 0, 0, 2),
        (0, 255, 19, 0, 0, 0, 2),
    ]
    assert node.route == {0: 1, 1: 16, 2: 2, 65: 16, 66: 4, 129: 16, 130: 8, 193: 16, 194: 1, 224: 18, 255: 16}
    assert node.peers == ({1: 1, 65: 1, 129: 1, 193: 1, 224: 1, 255: 4},)
    assert node.peer == ({0: PeerEntry(0x02F10E000000, 0x0A110001, 64), 2: PeerEntry(0x02F10E000002, 0x0A110003, 64)},)
    assert node.ports == (PortPlan(node.mac, node.ip),)
    assert node.up == UpPlan(2, 0x02F10E000002, 0x0A110003, 1)
    assert plan.host.peers == {1: 1, 2: 2, 65: 1, 66: 2, 129: 1, 130: 2, 193: 1, 194: 2}
    assert set(plan.host.peer) == {0, 1}
    assert plan.transport == TransportPlan(220, 128, 2272, 24, 18176, 740, 64, ())


def test_minilm_6_figures() -> None:
    plan = shipped("minilm_6")
    node = plan.nodes[0]
    # 24 + 8 + 36 + 32 array words a row and encoder
    assert [array_words(plan, node.context(name, 0)) for name in ("qkv", "out", "ffn1", "ffn2")] == [24, 8, 36, 32]
    assert array_words(plan, node.context("ln1", 0)) == 0
    assert plan.mac_bound(1) == 600
    assert plan.mac_bound(128) == 76_800
    assert plan.shape["W_WORDS"] == 640
    assert plan.shape["STORE_BEATS"] == 256 * (6 + 1 + 6 + 4)
    assert plan.shape["ACC_BEATS"] == 2 * 64 * 24
    assert plan.shape["RES_WORDS"] == 2 * 64 * 6
    assert plan.owners[:8] == (0, 1, 2, 3, 4, 5, 0, 1)
    assert plan.local_rows[127] == 21
    assert len(node.messages["linear"]) == 48
    assert node.peers[0][224] == 0b111110
    out = [m for m in node.messages["linear"] if m.edge == 6]
    assert [(m.offset, m.beats, m.by_owner, m.type) for m in out] == [(0, 16, 1, 2), (256, 8, 1, 2)]


@pytest.mark.parametrize("name", sorted(PLANS))
def test_rules_of_every_plan(name: str) -> None:
    plan = PLANS[name]()
    count = len(plan.nodes)
    kernels = {number: (node.index, kernel) for node in plan.nodes for kernel, number in node.kernels.items()}
    assert len(kernels) == 3 * count
    assert not set(kernels) & {0, 224, 255}
    rows = range(1 << plan.shape["ROW_W"])
    assert plan.max_tokens <= len(rows) == len(plan.owners) == len(plan.local_rows)
    assert len({(plan.owners[t], plan.local_rows[t]) for t in rows}) == len(rows)
    assert max(plan.local_rows) < 1 << plan.shape["LROW_W"]
    used = Counter(edge for node in plan.nodes for entries in node.messages.values() for edge in {m.edge for m in entries})
    assert set(used) == set(plan.edges) - {plan.entry.edge, plan.entry.direct_edge}, "every edge but the host's two is sent on"
    for node in plan.nodes:
        for kernel, entries in node.messages.items():
            assert len(entries) <= 256
            for message in entries:
                assert 1 <= message.beats <= 16
                assert message.offset * 4 % 64 == 0
                if message.dst_kernel == 255:
                    receivers = []
                elif message.dst_kernel == 224:
                    receivers = [(k, "linear") for k in range(count)]
                elif message.by_owner:
                    receivers = [kernels[message.dst_kernel + owner] for owner in set(plan.owners)]
                else:
                    receivers = [kernels[message.dst_kernel]]
                for index, receiver in receivers:
                    assert message.edge in plan.nodes[index].edges[receiver], (kernel, message)
                values = {f.name: getattr(message, f.name) for f in fields(message)}
                assert lay.unpack(lay.MESSAGE, lay.pack(lay.MESSAGE, values)) == values
        for context in node.contexts:
            for field, width in CONTEXT_LAYOUTS[context.kernel]:
                if field in context.fields:
                    assert 0 <= context.fields[field] < 1 << width, (context, field)
            if context.kernel == "linear":
                f = context.fields
                sent = node.messages["linear"][f["msg_base"] : f["msg_base"] + f["msg_count"]]
                row_bytes = f["out_units"] * 16 * (4 if f["mode"] == lay.LINEAR_PARTIAL else 1)
                assert sum(m.beats for m in sent) * 64 == row_bytes
                assert f["in_beats"] * 64 % plan.shape["K_LANES"] == 0
        assert set(node.route) == set(kernels) | {0, 224, 255} | {193 + k for k in range(count)}
        remote = {number for number, mask in node.route.items() if mask & 1 << lay.PORT_ETH}
        assert set(node.peers[0]) == remote
        assert all(mask >> node.index & 1 == 0 for mask in node.peers[0].values())
        assert set(node.peer[0]) == set(range(count + 1)) - {node.index}
        assert sum(entry.quota for entry in node.peer[0].values()) <= plan.shape["RX_CELLS"]
        assert plan.shape["PEERS_N"] > count >= plan.shape["PEERS_N"] // 2
    k_lanes, out_n, lanes = (plan.shape[key] for key in ("K_LANES", "OUT_N", "POST_LANES"))
    taken: dict[str, list[int]] = {"W_WORDS": [], "BIAS_WORDS": [], "POST_WORDS": []}
    for context in plan.nodes[0].contexts:
        if context.kernel == "linear":
            f = context.fields
            post = -(-f["groups"] * out_n // lanes) if f["mode"] != lay.LINEAR_PARTIAL else 0
            taken["W_WORDS"] += range(f["w_base"], f["w_base"] + f["groups"] * f["in_beats"] * 64 // k_lanes)
            taken["BIAS_WORDS"] += range(f["bias_base"], f["bias_base"] + f["groups"])
            taken["POST_WORDS"] += range(f["post_base"], f["post_base"] + post)
    for memory, words in taken.items():
        assert words == list(range(len(words))), f"{memory}: neither gaps nor overlaps"
        assert len(words) <= plan.shape[memory] < len(words) + 64


def test_pipeline_figures() -> None:
    plan = shipped("ibert_base_6_pipeline")
    assert [[f"{c.kernel} {c.name}" for c in node.contexts] for node in plan.nodes] == [
        ["linear qkv"],
        ["attention attention"],
        ["attention attention"],
        ["linear out", "add_norm entry", "add_norm ln1"],
        ["linear ffn1"],
        ["linear ffn2", "add_norm ln2"],
    ]
    assert [node.columns for node in plan.nodes[:4]] == [
        {"qkv": (0, 768)},
        {"attention": (0, 384)},
        {"attention": (384, 768)},
        {"out": (0, 768)},
    ]
    assert [(m.dst_kernel, m.edge, m.offset, m.beats) for m in plan.nodes[0].messages["linear"]] == [
        (66, 2, 0, 6), (67, 2, 0, 6), (66, 3, 0, 6), (67, 3, 0, 6), (66, 4, 0, 6), (67, 4, 0, 6),
    ]  # fmt: skip
    assert [m.offset for m in plan.nodes[2].messages["attention"]] == [96, 112, 128, 144, 160, 176]
    assert [(m.dst_kernel, m.offset, m.beats) for m in plan.nodes[4].messages["linear"]] == [(6, 0, 16), (6, 256, 16), (6, 512, 16)]
    # LN1's row goes to FFN1 and, as a residual, to LN2: group 225
    (row,) = [m for m in plan.nodes[3].messages["add_norm"] if m.edge == 7]
    assert row.dst_kernel == 225 and plan.nodes[3].peers[0][225] == 1 << 4 | 1 << 5
    assert plan.nodes[4].route[225] & ~(1 << lay.PORT_ETH) == 1 << lay.PORT_LINEAR
    assert plan.nodes[5].route[225] & ~(1 << lay.PORT_ETH) == 1 << lay.PORT_ADD_NORM
    assert plan.nodes[5].edges["add_norm"][7].role == lay.ROLE_RESIDUAL
    assert set(plan.owners) == {3} and plan.owner("ln1", 9) == 3 and plan.owner("ln2", 9) == 5
    assert plan.mac_bound(128) == 98_304 and shipped("ibert_base_6").mac_bound(128) == 49_664


def test_node_names_reach_the_plan() -> None:
    project = synthetic(128, 2, 256, 1, 2)
    cluster = ClusterSection.model_validate({"nodes": ["left", "right"], "mac_base": "06:00:00:00:01:ff", "ip_base": "10.0.0.255"})
    plan = make_plan(project.model_copy(update={"cluster": cluster}))
    assert [(node.name, node.mac, node.ip) for node in plan.nodes] == [
        ("left", 0x0600000001FF, 0x0A0000FF),
        ("right", 0x060000000200, 0x0A000100),
    ]


def test_priorities() -> None:
    want = {"qkv": 3, "out": 0, "ffn1": 1, "ffn2": 2}
    mapping = MappingSection.model_validate({"priorities": want})
    plan = make_plan(synthetic(128, 2, 256, 1, 2).model_copy(update={"mapping": mapping}))
    assert {name: plan.nodes[0].context(name, 0).fields["prio"] for name in want} == want


# sizes, nodes, build -> what the message says
TOO_LARGE: dict[str, tuple[tuple[int, int, int, int], int, dict[str, int], list[str]]] = {
    "contexts": (
        (64, 2, 64, 17),
        1,
        {},
        [
            "linear contexts: 17 qkv + 17 out + 17 ffn1 + 17 ffn2 = 68 needed, 64 exist (4 an encoder); at most 16 enc",
            "attention contexts: 17 attention = 17 needed, 16 exist (1 an encoder); at most 16 encoders",
            "add_norm contexts: 1 entry + 17 ln1 + 17 ln2 = 35 needed, 32 exist (1 or 2, and 2 an encoder); at most 15 enc",
        ],
    ),
    "add_norm contexts": ((64, 2, 64, 16), 1, {}, ["1 entry + 16 ln1 + 16 ln2 = 33 needed, 32 exist"]),
    "edges": (
        (64, 2, 64, 29),
        1,
        {},
        ["edges: 30 entry + 29 q + 29 k + 29 v + 29 context", "1 ln2 = 263 needed, 256 exist (8-bit edge); fewer enc"],
    ),
    "weight words": (
        (1024, 16, 4096, 15),
        2,
        {"k_lanes": 16, "out_n": 16},
        ["linear weight words: 92,160 qkv + 30,720 out + ", "65,536 exist (16-bit w_base); more nodes, or fewer enc"],
    ),
    "requant words": (
        (1024, 16, 8064, 12),
        2,
        {"post_lanes": 1},
        ["linear requant words: 18,432 qkv + 48,384 ffn1 = 66,816 needed, 65,536 exist (16-bit post_base)"],
    ),
    "row store": (
        (1024, 16, 4096, 1),
        2,
        {"max_tokens": 512, "slots": 2},
        ["linear row store beats: 16,384 qkv + 8,192 out + 16,384 ffn1 + 32,768 ffn2 = 73,728 needed, 65,536 exist"],
    ),
    "residuals": (
        (1024, 32, 64, 1),
        1,
        {"max_tokens": 512, "slots": 2},
        [
            "add_norm accumulator beats: 65,536 ln1 + 65,536 ln2 = 131,072 needed, 65,536 exist (16-bit acc_base)",
            "add_norm residual words: 16,384 ln1 + 16,384 ln2 = 32,768 needed, 16,384 exist (14-bit res_base)",
            "attention head beats: 32 heads x 32 channels = 16 beats of 64 bytes a row, 15 exist (HEAD_BEATS)",
        ],
    ),
    "channel words": (
        (1024, 16, 64, 15),
        2,
        {"norm_lanes": 1},
        ["add_norm channel words: 15,360 ln1 + 15,360 ln2 = 30,720 needed, 16,384 exist (14-bit chan_base)"],
    ),
    "messages": (
        (1024, 16, 64 * 252, 15),
        2,
        {"k_lanes": 64, "out_n": 64, "post_lanes": 16, "max_tokens": 16, "norm_lanes": 16},
        [
            "linear MESSAGE entries: 45 qkv + 60 out + 120 ffn1 + 60 ffn2 = 285 needed, 256 exist (8-bit msg_base)",
        ],
    ),
    "fields": (
        (64, 1, 64 * 300, 1),
        1,
        {"out_n": 16, "max_tokens": 16},
        [
            "linear context ffn1: groups = 1,200 needed, at most 255 (8 bits); more nodes, or a larger out_n",
            "linear context ffn1: out_units = 1,200 needed, at most 1,023 (10 bits); a smaller model",
            "linear context ffn1: msg_count = 19 needed, at most 15 (4 bits); more nodes, or a smaller model",
            "linear context ffn2: in_beats = 300 needed, at most 127 (7 bits); more nodes, or a smaller model",
        ],
    ),
}


@pytest.mark.parametrize("name", sorted(TOO_LARGE))
def test_what_does_not_fit(name: str) -> None:
    (hidden, heads, ffn, encoders), nodes, build, parts = TOO_LARGE[name]
    project = synthetic(hidden, heads, ffn, encoders, nodes, **build)
    with pytest.raises(InputError) as caught:
        make_plan(project)
    message = caught.value.message
    assert message.startswith(f"project sample on {nodes} nodes does not fit:\n")
    for part in parts:
        assert part in message, message
    lines = message.splitlines()
    assert len(set(lines)) == len(lines), "each problem once, not once a node"


def test_allocator() -> None:
    allocator = Allocator("words", 100, "reason", "remedy")
    assert allocator.depth() == 64
    assert allocator.depth(1) == 1
    assert [allocator.take(40, "a"), allocator.take(60, "b")] == [0, 40]
    assert allocator.depth() == 128
    assert allocator.problems() == []
    assert allocator.take(1, "a") == 100
    assert allocator.problems() == ["words: 41 a + 60 b = 101 needed, 100 exist (reason); remedy"]


@pytest.mark.parametrize("name", sorted(PLANS))
def test_json_round_trip_and_determinism(name: str, tmp_path: Path) -> None:
    plan = PLANS[name]()
    assert PLANS[name]() == plan
    assert PLANS[name]().to_json() == plan.to_json()
    assert plan_from_json(plan.to_json()) == plan
    plan.save(tmp_path / "new" / "plan.json")
    assert load_plan(tmp_path / "new" / "plan.json") == plan
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["plan.json"]


def test_two_clusters_are_chained_through_a_gateway() -> None:
    """tiny_2x2: encoder 0 on nodes 0 and 1, encoder 1 on nodes 2 and 3, the gateway on node 2."""
    plan = shipped("tiny_2x2")
    one, two = plan.clusters
    assert (one.nodes, one.encoders, one.owners[:4], one.gateway) == ((0, 1), (0,), (0, 1, 0, 1), -1)
    assert (two.nodes, two.encoders, two.owners[:4], two.gateway) == ((2, 3), (1,), (2, 3, 2, 3), 2)
    assert plan.shape["GATEWAY"] == 1 and "GATEWAY" not in shipped("tiny_2").shape
    (arrives,) = (number for number, edge in plan.edges.items() if edge == EdgePlan(0, "ln2"))
    # rows that the host sends direct have an edge of their own; a gateway sends none
    assert one.entry == EntryPlan(129, 0, 1, arrives + 1, 1, 1, (0, 1)) and plan.edges[arrives + 1] == EdgePlan(0, "entry")
    assert two.entry == EntryPlan(129, arrives + 2) and plan.edges[arrives + 2] == plan.edges[arrives + 3] == EdgePlan(1, "entry")
    # rows leave the first cluster for the second one's gateway, those of the second for the host
    for node in plan.nodes:
        last = node.context("ln2", node.cluster)
        (message,) = node.messages["add_norm"][last.fields["msg_base"] :][:1]
        away = (1, 254, arrives, 2) if node.cluster == 0 else (1, 255, max(plan.edges), 2)
        assert (message.dst_cluster, message.dst_kernel, message.edge, message.beats) == away
        assert {context.encoder for context in node.contexts} == {node.cluster}
        assert {message.dst_cluster for table in node.messages.values() for message in table} <= {0, 1}
    assert plan.nodes[2].gateway == (GatewayPlan(129, arrives, arrives + 2, 1, 0, 255),)
    assert [len(node.gateway) for node in plan.nodes] == [0, 0, 1, 0]
    # 256 + c is another cluster: the second one is its gateway's node, the first one the host; the gateway is the switch's last port
    eth, gateway = 1 << lay.PORT_ETH, 1 << lay.PORT_ETH + 1
    assert [node.route.get(256) for node in plan.nodes] == [None, None, eth, None]  # only the gateway tells the one before
    assert [node.route.get(257) for node in plan.nodes] == [eth, eth, None, None]
    assert [node.route.get(254) for node in plan.nodes] == [None, None, gateway, None]
    assert [node.peers[0].get(257) for node in plan.nodes[:2]] == [1 << 2] * 2 and plan.nodes[2].peers[0][256] == 1 << plan.host.node
    # kernel numbers count from the first node of a cluster
    assert [node.kernels["linear"] for node in plan.nodes] == [1, 2, 1, 2]
    assert [[node.route.get(number) for number in (129, 130, 131)] for node in plan.nodes] == [[8, 16, None], [16, 8, None]] * 2
    assert plan.host.peers[257] == 1 << 2 and {130, 194} <= set(plan.host.peers) and {131, 195}.isdisjoint(plan.host.peers)
    # who sends to whom: a gateway and all of the cluster before it, and the host everybody
    assert [set(node.peer[0]) for node in plan.nodes] == [{1, 2, 4}, {0, 2, 4}, {0, 1, 3, 4}, {2, 4}]
    assert set(plan.host.peer) == {0, 1, 2, 3} and plan.shape["PEERS_N"] == 8
    assert plan.owner("ln2", 3, 0) == 1 and plan.owner("ln2", 3, 1) == 3
    assert plan_from_json(plan.to_json()) == plan


def test_seventy_two_nodes() -> None:
    """ibert_base_12x6: twelve clusters of six, an encoder each; every port knows whom it speaks to, by different indices."""
    plan = shipped("ibert_base_12x6")
    numbers, host = plan.numbers, plan.host.node
    assert len(plan.nodes) == host == 72 and [cluster.encoders for cluster in plan.clusters] == [(k,) for k in range(12)]
    assert [cluster.gateway for cluster in plan.clusters] == [-1, *range(6, 72, 6)]
    # the nodes' own cluster, the one before, the next gateway and the host are 14
    assert plan.shape["PEERS_N"] == 16 and [numbers.number(station) for station in (14, 15, 71, 72)] == [14, 16, 75, 15]
    assert len({numbers.number(station) for station in range(73)}) == 73
    for node in plan.nodes:
        cluster, (peer,), (peers,) = plan.clusters[node.cluster], node.peer, node.peers
        gateway = node.index == cluster.gateway
        around = set(cluster.nodes) - {node.index} | {host}
        around |= {plan.clusters[node.cluster + 1].gateway} if node.cluster < 11 else set()
        around |= set(plan.clusters[node.cluster - 1].nodes) if gateway else set()
        assert set(peer) == around and len({numbers.index(station) for station in peer} - {numbers.index(node.index)}) == len(peer)
        assert {plan.nodes[k].peer[0][node.index].mac for k in peer if k != host} == {node.mac}, "peers know each other"
        assert all(entry.quota == (16 if len(peer) > 8 else 32) for entry in peer.values())
        # tables lead to peers only, and everybody else's table has the same small numbers
        assert all(mask >> station & 1 == 0 or station in peer for mask in peers.values() for station in range(73))
        place = node.index - cluster.nodes[0]
        assert node.kernels == {"linear": 1 + place, "attention": 65 + place, "add_norm": 129 + place}
        assert set(node.route) - {0, 254, 255, *range(224, 254)} - {256 + k for k in range(12)} == {
            base + k for base in (1, 65, 129, 193) for k in range(6)
        }
        assert node.peers[0].get(256 + node.cluster + 1) == (1 << 6 * (node.cluster + 1) if node.cluster < 11 else None)
        before = 1 << (6 * (node.cluster - 1) if node.cluster > 1 else host)
        assert node.cluster == 0 or node.peers[0].get(256 + node.cluster - 1) == (before if gateway else None)
    assert set(plan.host.peer) == set(range(72)) and plan.host.peer[71] == PeerEntry(plan.nodes[71].mac, plan.nodes[71].ip, 16)
    assert plan.transport == TransportPlan(220, 128, 4 * (440 + 72 * 16), 24, 32 * (440 + 72 * 16), 740, 16, ())
    assert plan_from_json(plan.to_json()) == plan


@pytest.mark.parametrize("peers_n", [2, 4, 16, 64])
def test_numbers_on_the_wire(peers_n: int) -> None:
    """No two stations have a number, only the host has its index, and any peers_n - 1 nodes in a row have different ones."""
    for nodes in (1, peers_n - 1, peers_n, 3 * peers_n + 1, 255):
        numbers = Numbers(nodes, peers_n)
        on_the_wire = [numbers.number(station) for station in range(nodes + 1)]
        assert [numbers.station(number) for number in on_the_wire] == list(range(nodes + 1))
        assert all(numbers.station(number) == -1 for number in set(range(600)) - set(on_the_wire))
        if nodes < peers_n:
            assert on_the_wire == list(range(nodes + 1)) == [numbers.index(station) for station in range(nodes + 1)]
        for first in range(nodes):
            row = [*range(first, min(first + peers_n - 1, nodes)), nodes]
            assert len({numbers.index(station) for station in row}) == len(row)
            assert [numbers.peer(numbers.index(station), row) for station in row] == row
        assert numbers.peer(peers_n, range(nodes + 1)) == -1


@pytest.mark.parametrize("name", ["tiny_2", "minilm_6", "tiny_2x2", "bert_base_12"])
@pytest.mark.parametrize("rows", [0, 1, 2, 3])
def test_direct_rows(name: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second ENTRY beside the first: the same place for the row, which it hands to its own node only; the host serves the others."""
    monkeypatch.setattr("floreana.cluster.plan.DIRECT_ROWS", rows)
    plan = PLANS[name]() if name in PLANS else shipped(name)
    entry, nodes = plan.entry, plan.clusters[0].nodes
    assert (entry.kernel_base, entry.edge, entry.direct) == (129, 0, rows)
    assert plan_from_json(plan.to_json()) == plan
    if not rows:
        assert entry == EntryPlan(129, 0) and entry.edges == {0} and not plan.holders("direct")
        assert [edge for edge in plan.edges.values() if edge == EdgePlan(0, "entry")] == [EdgePlan(0, "entry")] * 2
        return
    assert entry.edges == {0, 1, entry.direct_edge} and [plan.edges[number] for number in entry.edges] == [EdgePlan(0, "entry")] * 3
    assert plan.holders("direct") == nodes
    for row in range(5):
        owner = plan.owners[row]
        others = [(1 + node, 1) for node in nodes if node != owner]
        direct = row < rows
        assert entry.copies(row, owner) == ((129 + owner, entry.direct_edge if direct else 0), *(others if direct else ()))
        for kernel, edge in entry.copies(row, owner):
            kind, node = ("linear", kernel - 1) if kernel < 65 else ("add_norm", kernel - 129)
            assert edge in plan.nodes[node].edges[kind] and plan.host.peers[kernel] == 1 << node
    for node in nodes:
        by_name = {which: plan.nodes[node].context(which, 0) for which in ("entry", "direct", "ln1", "qkv")}
        assert [plan.nodes[node].edges["add_norm"][number].ctx for number in (0, entry.direct_edge)] == [
            by_name["entry"].index,
            by_name["direct"].index,
        ]
        for number in (0, entry.direct_edge):
            assert plan.nodes[node].edges["add_norm"][number].role == lay.ROLE_DATA
        a, b = (dict(by_name[which].fields) for which in ("entry", "direct"))
        sent = [plan.nodes[node].messages["add_norm"][f.pop("msg_base") :][: f["msg_count"]] for f in (a, b)]
        assert a == b and a["mode"] == lay.NORM_ENTRY and a["res_base"] == by_name["ln1"].fields["res_base"]
        assert [{(m.dst_kernel, m.edge, m.by_owner) for m in run} for run in sent] == [{(224, 1, 0)}, {(1 + node, 1, 0)}]
        assert [(m.offset, m.beats) for m in sent[0]] == [(m.offset, m.beats) for m in sent[1]]
        assert plan.nodes[node].edges["linear"][1].ctx == by_name["qkv"].index
        assert max(c.index for c in plan.nodes[node].contexts if c.kernel == "add_norm") < 32


def placed(place: dict[str, str], nodes: str, topology: str = "star") -> Plan:
    mapping = {"strategy": "pipeline", "place": {operator: list(names) for operator, names in place.items()}} if place else {}
    cluster = {"nodes": list(nodes), "topology": topology}
    changes = {"cluster": ClusterSection.model_validate(cluster), "mapping": MappingSection.model_validate(mapping)}
    return make_plan(synthetic(256, 4, 256, 2, 1, max_tokens=8).model_copy(update=changes))


def test_who_gets_no_direct_rows() -> None:
    """One mapping in which they would be safe and useful, and one for each reason why not."""
    beside = {"qkv": "ab", "attention": "ba", "out": "ab", "ln1": "ab", "ffn1": "cd", "ffn2": "cd", "ln2": "ab"}
    assert placed(beside, "abcd").entry.copies(0, 0) == ((129, 21 - 1), (2, 1))
    for place, nodes in (
        (beside | {"ln1": "a", "ln2": "b"}, "abcd"),  # a LayerNorm apart from the other
        (beside | {"ln1": "cd", "ln2": "cd"}, "abcd"),  # no `linear` of Q, K, V beside ENTRY
        (beside | {"ln1": "bc", "ln2": "bc"}, "abcd"),  # ... beside one of them
        (beside | {"qkv": "a", "ln1": "a", "ln2": "a"}, "abcd"),  # one taker
    ):
        plan = placed(place, nodes)
        assert plan.entry == EntryPlan(129, 0) and not plan.holders("direct"), place
    for topology, rows in (("star", 1), ("line", 0), ("ring", 0)):
        assert placed({}, "abcd", topology).entry.direct == rows
    assert shipped("tiny_2", 1).entry == shipped("ibert_base_6_pipeline").entry == EntryPlan(129, 0)
    groups = synthetic(128, 2, 256, 2, 4)
    plan = make_plan(groups.model_copy(update={"mapping": MappingSection.model_validate({"groups": 2})}))
    assert plan.entry.takers == plan.holders("direct") == (0, 1) and plan.holders("entry", 1) == (2, 3)


def test_fifteen_encoders_still_fit() -> None:
    plan = make_plan(synthetic(128, 2, 128, 15, 2))
    assert plan.entry.direct == 1 and sum(c.kernel == "add_norm" for c in plan.nodes[0].contexts) == 32


def test_three_clusters_tell_each_other() -> None:
    project = synthetic(128, 2, 256, 6, 3)
    project = project.model_copy(update={"cluster": ClusterSection.model_validate({"nodes": 3, "clusters": 3})})
    plan = make_plan(project)
    assert [cluster.encoders for cluster in plan.clusters] == [(0, 1), (2, 3), (4, 5)]
    assert [cluster.gateway for cluster in plan.clusters] == [-1, 1, 2]
    assert [(g.up_cluster, g.up_kernel) for node in plan.nodes for g in node.gateway] == [(0, 255), (1, 254)]
    assert plan.nodes[2].peers[0][257] == 1 << 1 and plan.nodes[1].peers[0][258] == 1 << 2 and plan.host.peers[258] == 1 << 2


def test_a_chain_of_pipelines_is_alike_in_every_cluster() -> None:
    """Three clusters of three nodes, an encoder each: the same tables but for the numbers of edges, and where rows come from and go to."""
    place = {"qkv": ["a"], "attention": ["a", "b"], "out": ["b"], "ln1": ["c"], "ffn1": ["c"], "ffn2": ["a"], "ln2": ["b"]}
    cluster = {"nodes": list("abcdefghi"), "clusters": 3}
    changes = {
        "cluster": ClusterSection.model_validate(cluster),
        "mapping": MappingSection.model_validate({"strategy": "pipeline", "place": place}),
    }
    plan = make_plan(synthetic(128, 2, 128, 3, 1, max_tokens=8).model_copy(update=changes))
    for k in range(3):
        holders = {name: tuple(3 * k + ord(node) - ord("a") for node in nodes) for name, nodes in place.items()}
        assert {name: plan.holders(name, k) for name in place} == holders
        assert plan.clusters[k].owners[:3] == holders["ln1"] * 3  # who gets the rows that come in
        assert plan.owner("ln1", 5, k) == holders["ln1"][0] and plan.owner("ln2", 5, k) == holders["ln2"][0]
        for node, first in zip(plan.nodes[3 * k : 3 * k + 3], plan.nodes[:3], strict=True):
            assert [(c.name, c.fields | {"bank": 0}) for c in node.contexts] == [(c.name, c.fields | {"bank": 0}) for c in first.contexts]
            assert node.kernels == first.kernels and node.columns == first.columns
            assert {number: mask for number, mask in node.route.items() if number not in (254, 256, 257, 258)} == {
                number: mask for number, mask in first.route.items() if number != 257
            }
    # ENTRY is where LayerNorm 1 is, the gateway on the first node, whoever has the last LayerNorm sends to it
    gates = [gate for node in plan.nodes for gate in node.gateway]
    assert [(k, cluster.gateway) for k, cluster in enumerate(plan.clusters)] == [(0, -1), (1, 3), (2, 6)]
    assert [(gate.kernel, gate.up_cluster, gate.up_kernel) for gate in gates] == [(129, 0, 255), (129, 1, 254)]
    for k, gate in enumerate(gates):
        sends, takes = plan.nodes[3 * k + 1], plan.nodes[3 * k + 5]
        last = sends.messages["add_norm"][sends.context("ln2", k).fields["msg_base"]]
        assert (last.dst_cluster, last.dst_kernel, last.edge) == (k + 1, 254, gate.edge_in)
        assert takes.edges["add_norm"][gate.edge_out].ctx == takes.context("entry", k + 1).index
        assert sends.peers[0][257 + k] == 1 << 3 * k + 3


def test_damaged_plans(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    with pytest.raises(InputError, match="cannot be read"):
        load_plan(path)
    good = json.loads(shipped("tiny_2").to_json())
    for damage in (
        "{",
        "[]",
        json.dumps(good | {"more": 1}),
        json.dumps({key: value for key, value in good.items() if key != "clusters"}),
        json.dumps(good | {"hidden": "128"}),
        json.dumps(good | {"nodes": 2}),
        json.dumps(good | {"edges": {"x": {"encoder": 0, "tensor": "q"}}}),
        json.dumps(good | {"host": None}),
    ):
        path.write_text(damage)
        with pytest.raises(InputError, match="not a plan"):
            load_plan(path)


def test_plan_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentError_) as caught:
        shipped("tiny_2").save(tmp_path / "file" / "plan.json")
    assert caught.value.exit_code == 3


def test_render() -> None:
    text = render(shipped("minilm_6"))
    assert text == render(shipped("minilm_6"))
    assert "minilm_6: 6 nodes" in text
    assert "W_WORDS 640" in text
    assert "02:f1:0e:00:00:05" in text
    assert "10.17.0.7" in text
    assert "128 tokens at most; the multipliers alone need 600 cycles a token, 76,800 for 128" in text
    assert "the host sends row 0 of a sequence to all 6 nodes at once, the others to their owners" in text
    assert "the host sends" not in render(shipped("minilm_6", 1))
    assert "…" not in text, "nothing is cut off"
    assert max(map(len, text.splitlines())) <= 110


def test_edges_are_plans() -> None:
    assert shipped("tiny_2").edges[19] == EdgePlan(1, "ln2")
