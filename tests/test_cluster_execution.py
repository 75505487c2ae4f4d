# SPDX-License-Identifier: Apache-2.0
"""Plan and images against the integer model: the nodes' images, run by behavioural kernels, give the model's bits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from cluster_interpreter import Cluster, PlanFaultError, check_log, random_params

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
from floreana.cluster.images import write_images
from floreana.cluster.plan import Plan, make_plan
from floreana.ibert.model import EncoderTrace, model
from floreana.ibert.params import IntArray


def project(name: str, nodes: int, sizes: tuple[int, int, int, int], **build: int) -> Project:
    hidden, heads, ffn, encoders = sizes
    return Project(
        name=name,
        model=SyntheticModel(hidden=hidden, heads=heads, ffn=ffn, encoders=encoders),
        cluster=ClusterSection.model_validate({"nodes": nodes}),
        build=BuildSection.model_validate(build),
    )


def pipeline(name: str, sizes: tuple[int, int, int, int], place: dict[str, str], **build: int) -> Project:
    """Operators on nodes named by one letter each."""
    places = {operator: list(nodes) for operator, nodes in place.items()}
    nodes = sorted({node for names in places.values() for node in names})
    tensor = project(name, 1, sizes, **build)
    mapping = MappingSection.model_validate({"strategy": "pipeline", "place": places})
    return tensor.model_copy(update={"cluster": ClusterSection.model_validate({"nodes": nodes}), "mapping": mapping})


def random_rows(seed: int, tokens: int, hidden: int) -> IntArray:
    rng = np.random.default_rng(seed)
    return np.clip(np.round(rng.normal(0, 40, (tokens, hidden))), -128, 127).astype(np.int64)


@dataclass
class Case:
    plan: Plan
    folder: Path
    sequences: dict[int, IntArray]
    traces: dict[int, list[EncoderTrace]]


def prepare(chosen: Project, folder: Path, tokens: dict[int, int], seed: int) -> Case:
    plan = make_plan(chosen)
    params = random_params(seed, plan.hidden, plan.heads, plan.ffn, plan.encoders)
    images = write_images(plan, params, folder)
    sequences = {slot: random_rows(seed + slot, count, plan.hidden) for slot, count in tokens.items()}
    traces = {slot: model(params, rows, len(plan.holders("out"))) for slot, rows in sequences.items()}
    return Case(plan, images, sequences, traces)


def run_and_compare(case: Case, seed: int, cluster: Cluster | None = None) -> Cluster:
    """Run the cluster; every message and every row at the host must equal the model's."""
    cluster = cluster or Cluster(case.folder, case.plan, seed)
    got = cluster.run(case.sequences, case.plan)
    want = {
        (slot, row): trace[-1].ln2[row].astype(np.int8).tobytes()
        for slot, trace in case.traces.items()
        for row in range(len(trace[-1].ln2))
    }
    if got != want:
        raise PlanFaultError("rows at the host differ")
    checked = check_log(case.plan, case.traces, cluster.log)
    assert checked == len(cluster.log) > 0
    return cluster


def tiny(nodes: int) -> Project:
    return load_project(find_project("tiny_2"), nodes=nodes)


CASES = {
    "tiny_2": (tiny(2), {0: 5}),
    "tiny_2_one_token": (tiny(2), {1: 1}),
    "tiny_2_full": (tiny(2), {0: 16}),
    "tiny_1": (tiny(1), {0: 6}),
    "minilm_6": (load_project(find_project("minilm_6")), {0: 3}),
    "three_nodes_three_encoders_one_slot": (
        project("odd", 3, (192, 6, 192, 3), k_lanes=16, out_n=64, post_lanes=16, norm_lanes=1, max_tokens=5, slots=1),
        {0: 5},
    ),
    "more_nodes_than_tokens": (
        project("wide", 4, (256, 4, 256, 2), k_lanes=32, out_n=48, post_lanes=1, norm_lanes=2, max_tokens=2),
        {0: 2},
    ),
    "widest_row": (project("widest", 2, (1024, 16, 128, 1), out_n=32, norm_lanes=16, max_tokens=4), {0: 2}),
    "both_slots_at_once": (tiny(2), {0: 7, 1: 4}),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_images_compute_the_model(name: str, tmp_path: Path) -> None:
    chosen, tokens = CASES[name]
    case = prepare(chosen, tmp_path, tokens, seed=11)
    cluster = run_and_compare(case, seed=5)
    # frames: from the host, multicasts to every other node, parts to other owners, rows to the host
    nodes, rows = len(case.plan.nodes), sum(tokens.values())
    slices = -(-4 * case.plan.hidden // lay.MESSAGE_BYTES)
    multicasts = 2 * case.plan.encoders * (nodes - 1)
    parts = 2 * case.plan.encoders * (nodes - 1) * slices
    assert cluster.frames == rows * (1 + multicasts + parts + 1)


GROUPS = {
    "two groups of two": (project("groups", 4, (128, 4, 128, 4), max_tokens=8), 2, {0: 6, 1: 3}),
    "three groups of one": (project("chain", 3, (128, 2, 128, 3), max_tokens=4), 3, {0: 4}),
    "an encoder each": (project("each", 6, (192, 6, 192, 2), k_lanes=16, max_tokens=4), 2, {0: 1, 1: 4}),
}


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_groups_compute_the_model(name: str, tmp_path: Path) -> None:
    """Groups of nodes compute some encoders each; rows go from owner to owner."""
    chosen, groups, tokens = GROUPS[name]
    mapping = chosen.mapping.model_copy(update={"groups": groups})
    case = prepare(chosen.model_copy(update={"mapping": mapping}), tmp_path, tokens, seed=21)
    run_and_compare(case, seed=6)
    share = len(case.plan.nodes) // groups
    for encoder in range(case.plan.encoders):
        first = encoder * groups // case.plan.encoders * share
        assert case.plan.holders("ffn1", encoder) == tuple(range(first, first + share))


def at(chosen: Project, topology: str) -> Project:
    cluster = chosen.cluster.model_dump() | {"topology": topology, "routing": None}
    return chosen.model_copy(update={"cluster": ClusterSection.model_validate(cluster)})


FOUR = project("four", 4, (256, 4, 256, 2), out_n=32, norm_lanes=4, max_tokens=6)
CABLED = {
    "tiny_3_ring": (load_project(find_project("tiny_3_ring")), {0: 7, 1: 3}),
    "tiny_3_line": (at(load_project(find_project("tiny_3_ring")), "line"), {0: 5}),
    "tiny_2_line": (at(tiny(2), "line"), {1: 6}),
    "four_ring": (at(FOUR, "ring"), {0: 6, 1: 1}),
    "four_line": (at(FOUR, "line"), {0: 6}),
    "minilm_6_ring": (load_project(find_project("minilm_6_ring")), {0: 3}),
    "minilm_6_line": (load_project(find_project("minilm_6_line")), {1: 3}),
}


@pytest.mark.parametrize("name", sorted(CABLED))
def test_line_and_ring_compute_the_model(name: str, tmp_path: Path) -> None:
    """The same bits over other cables, and the frames that the distances ask for."""
    chosen, tokens = CABLED[name]
    case = prepare(chosen, tmp_path, tokens, seed=17)
    cluster = run_and_compare(case, seed=4)
    nodes, ring = len(case.plan.nodes), case.plan.topology == "ring"
    slices = -(-4 * case.plan.hidden // lay.MESSAGE_BYTES)
    last = nodes - 1

    def distance(a: int, b: int) -> int:
        return min(abs(a - b), min(a, b) + 1) if ring and last in (a, b) else abs(a - b)

    def from_host(node: int) -> int:
        return 1 if ring and node == last else node + 1

    frames = 0
    for count in tokens.values():
        for owner in case.plan.owners[:count]:
            parts = sum(distance(node, owner) for node in range(nodes)) * slices
            frames += 2 * from_host(owner) + 2 * case.plan.encoders * ((nodes - 1) + parts)
    assert cluster.frames == frames


def test_pipeline_on_a_ring(tmp_path: Path) -> None:
    """Groups that leave nodes out, the last node among their members or not, residuals from node to node."""
    for seed, name in enumerate(("one_node_each", "shared_operators")):
        chosen, tokens, _ = PIPELINES[name]
        run_and_compare(prepare(at(chosen, "ring"), tmp_path / name, tokens, seed=21), seed)


ONE_EACH = {"qkv": "a", "attention": "b", "out": "c", "ln1": "c", "ffn1": "d", "ffn2": "e", "ln2": "f"}
PIPELINES = {
    # frames a row: host in and out, then what crosses from node to node
    "one_node_each": (
        pipeline("one_node_each", (128, 2, 192, 2), ONE_EACH, out_n=32, max_tokens=6),
        {0: 6},
        # an encoder: q, k, v, two beats of context, ln1 to d and f, ffn1, sums of FFN2; entry from c to a, then from f to a and c
        2 + 2 * (3 + 2 + 2 + 1 + 1) + 1 + 2,
    ),
    "shared_operators": (
        pipeline(
            "shared_operators",
            (256, 4, 384, 3),
            {"qkv": "ab", "attention": "badc", "out": "cb", "ln1": "fda", "ffn1": "ec", "ffn2": "gh", "ln2": "fda"},
            out_n=16,
            max_tokens=7,
        ),
        {0: 7, 1: 2},
        None,
    ),
    "one_node": (pipeline("one_node", (128, 2, 128, 2), dict.fromkeys(ONE_EACH, "x"), max_tokens=4), {1: 4}, 2),
    "ibert_base_6_pipeline": (load_project(find_project("ibert_base_6_pipeline")), {0: 2}, None),
}


REPEATED = {  # one place for the first group, the same in the others
    "LayerNorms together": {"qkv": "a", "attention": "ab", "out": "b", "ln1": "ab", "ffn1": "b", "ffn2": "a", "ln2": "ab"},
    "LayerNorms apart": {"qkv": "ab", "attention": "b", "out": "ba", "ln1": "b", "ffn1": "a", "ffn2": "ab", "ln2": "a"},
}


@pytest.mark.parametrize("name", sorted(REPEATED))
def test_pipelines_of_groups_compute_the_model(name: str, tmp_path: Path) -> None:
    chosen = pipeline("repeated", (128, 2, 128, 2), REPEATED[name], max_tokens=5)
    mapping = chosen.mapping.model_copy(update={"groups": 2})
    four = chosen.model_copy(update={"cluster": ClusterSection.model_validate({"nodes": ["a", "b", "c", "d"]}), "mapping": mapping})
    case = prepare(four, tmp_path, {0: 5, 1: 2}, seed=19)
    run_and_compare(case, seed=4)
    assert [min(case.plan.holders("ffn1", encoder)) // 2 for encoder in range(2)] == [0, 1]


@pytest.mark.parametrize("name", sorted(PIPELINES))
def test_pipeline_computes_the_model(name: str, tmp_path: Path) -> None:
    chosen, tokens, frames = PIPELINES[name]
    case = prepare(chosen, tmp_path, tokens, seed=12)
    cluster = run_and_compare(case, seed=3)
    assert frames is None or cluster.frames == sum(tokens.values()) * frames


def test_pipeline_in_any_order(tmp_path: Path) -> None:
    """Every kernel starved once: above all, residuals that come long after the sums they are added to."""
    case = prepare(PIPELINES["one_node_each"][0], tmp_path, {0: 3, 1: 2}, seed=13)
    for seed in range(18):
        run_and_compare(case, seed)


@pytest.mark.parametrize("direct", [0, 1, 2, 3, 99])
def test_direct_rows_in_any_order(direct: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kernel starved once, above all an owner's add_norm: parts of all others may come long before the row that it keeps."""
    monkeypatch.setattr("floreana.cluster.plan.DIRECT_ROWS", direct)
    case = prepare(project("direct", 3, (192, 3, 192, 2), k_lanes=16, out_n=64, max_tokens=4), tmp_path, {0: 4, 1: 1}, seed=14)
    assert case.plan.entry.direct == min(direct, 4)
    for seed in range(9):
        assert run_and_compare(case, seed).frames == 5 * (1 + 2 * 2 * 2 + 2 * 2 * 2 + 1)  # as many with any number of direct rows


def test_any_order_of_delivery(tmp_path: Path) -> None:
    case = prepare(tiny(2), tmp_path, {0: 4}, seed=3)
    logs = set()
    for seed in range(12):
        logs.add(tuple(header for _, header, _ in run_and_compare(case, seed).log))
    assert len(logs) == 12, "the orders were not different"


def test_sentences_one_after_another(tmp_path: Path) -> None:
    case = prepare(tiny(2), tmp_path, {0: 9}, seed=4)
    cluster = run_and_compare(case, seed=1)
    rows = case.sequences[0][:3]
    traces = model(random_params(4, 128, 2, 256, 2), rows, 2)
    shorter = Case(case.plan, case.folder, {0: rows}, {0: traces})
    run_and_compare(shorter, seed=1, cluster=cluster)
    run_and_compare(case, seed=1, cluster=cluster)


L, A, N = lay.UNIT_LINEAR, lay.UNIT_ATTENTION, lay.UNIT_ADD_NORM
# node, unit, memory, index, bit: one wrong bit in each memory of a node must show
FLIPS = {
    "ident": (0, lay.UNIT_NODE, lay.MEM_IDENT, 0, 8),
    "linear edge valid": (1, L, lay.MEM_EDGE, 5, 8),
    "linear edge ctx": (1, L, lay.MEM_EDGE, 7, 0),
    "attention edge role": (0, A, lay.MEM_EDGE, 3, 6),
    "add_norm edge ctx": (0, N, lay.MEM_EDGE, 6, 1),
    "linear context w_base": (1, L, lay.MEM_CONTEXT, 2, 16 + 7 + 3 + 2 + 2 + 8 + 10),
    "attention context x0": (1, A, lay.MEM_CONTEXT, 1, 5 + 8),
    "attention context bank": (1, A, lay.MEM_CONTEXT, 1, 0),
    "add_norm context shift": (0, N, lay.MEM_CONTEXT, 2, 1 + 7 + 7 + 3 + 2 + 16 + 14 + 1 + 14 + 14 + 13 + 3),
    "add_norm context keep": (0, N, lay.MEM_CONTEXT, 3, 1 + 7 + 7 + 3 + 2 + 16 + 14),
    "linear message edge": (0, L, lay.MEM_MESSAGE, 0, 16),
    "linear message by_owner": (0, L, lay.MEM_MESSAGE, 3, 24),
    "attention message kernel": (1, A, lay.MEM_MESSAGE, 0, 8),
    "add_norm message offset": (1, N, lay.MEM_MESSAGE, 2, 25 + 4),
    "direct row edge ctx": (0, N, lay.MEM_EDGE, 20, 0),  # ENTRY would hand it to all, who have it
    "direct row context mode": (0, N, lay.MEM_CONTEXT, 1, 0),
    "direct row residual": (0, N, lay.MEM_CONTEXT, 1, 1 + 7 + 7 + 3 + 2 + 16),
    "direct row message kernel": (0, N, lay.MEM_MESSAGE, 1, 8),
    "direct row message edge": (0, N, lay.MEM_MESSAGE, 1, 16 + 3),
    "owner": (0, L, lay.MEM_OWNER, 2, 0),
    "local row": (0, N, lay.MEM_LOCAL_ROW, 0, 0),
    "weight of q": (0, L, lay.MEM_WEIGHT, 0, 2),
    "weight of out": (1, L, lay.MEM_WEIGHT, 24 << 6 | 3, 77),
    "weight of ffn2": (1, L, lay.MEM_WEIGHT, 63 << 6 | 15, 511),
    "bias of out": (0, L, lay.MEM_BIAS, 12 << 4, 0),
    "post m": (1, L, lay.MEM_POST, 5, 29),
    "post gelu_b": (1, L, lay.MEM_POST, 48 * 4 + 17, 48 + 12),
    "requant e": (0, A, lay.MEM_REQUANT, 64 + 9, 32),
    "channel m": (1, N, lay.MEM_CHANNEL, 200, 28),
    "channel ooff": (1, N, lay.MEM_CHANNEL, 511, 181),
    "route": (0, lay.UNIT_SWITCH, lay.MEM_ROUTE, 224, 4),
    "peers": (0, lay.UNIT_ETH, lay.MEM_PEERS, 224, 1),
    "peer mac": (1, lay.UNIT_ETH, lay.MEM_PEER, 0, 3),
    "peers of the host": (1, lay.UNIT_ETH, lay.MEM_PEERS, 255, 0),
    "peer quota": (1, lay.UNIT_ETH, lay.MEM_PEER, 2, 48 + 32 + 1 + 6),
    "peer ip": (1, lay.UNIT_ETH, lay.MEM_PEER, 2, 48),
}


@pytest.mark.parametrize("name", sorted(FLIPS))
def test_a_flipped_bit_shows(name: str, tmp_path: Path) -> None:
    """The comparison itself is worth something: one bit of one table of one node, and the run fails."""
    case = prepare(tiny(2), tmp_path, {0: 5}, seed=11)
    node, unit, memory, index, bit = FLIPS[name]
    path = case.folder / f"node{node}.hex"
    lines = path.read_text().splitlines()
    address = f"{lay.cfg_addr(unit, memory, index):08x}"
    (at,) = [i for i, line in enumerate(lines) if line.startswith(address)]
    lines[at] = f"{address}{int(lines[at][8:], 16) ^ 1 << bit:0128x}"
    path.write_text("\n".join(lines) + "\n")

    def every_kernel_starved_once() -> None:  # a wrong bank shows only where the next encoder catches up
        for seed in range(6):
            run_and_compare(case, seed)

    with pytest.raises((PlanFaultError, KeyError)):
        every_kernel_starved_once()
