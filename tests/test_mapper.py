# SPDX-License-Identifier: Apache-2.0
"""The mapper: its numbers are the plan's, what it finds is least, the same each time, and computes the model."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from floreana.cli import main
from floreana.cluster.description import (
    BuildSection,
    ClusterSection,
    Description,
    OpenBuild,
    OpenMapping,
    Project,
    SyntheticModel,
    find_project,
    load_description,
    load_project,
    projects_root,
)
from floreana.cluster.mapper import choice as mapper_choice
from floreana.cluster.mapper import choose, mapped_yaml, render_choice
from floreana.cluster.mapper.layout import OPERATORS, Build, Layout, Task, evaluate, layout_of, shape_of
from floreana.cluster.mapper.model import Model, legal_groups
from floreana.cluster.mapper.usage import Limit, limits, usage
from floreana.cluster.plan import make_plan
from floreana.cluster.schedule import schedule
from floreana.environment import project_root
from floreana.errors import InputError
from floreana.sim.flow import Hooks, Options, simulate, verify

BUILDS = project_root() / "build" / "test_mapper"  # built simulators, found again by their content
BASE = {"hidden": 768, "heads": 12, "ffn": 3072}
AUTO = """
name: auto_2
model: {source: synthetic, hidden: 128, heads: 2, ffn: 128, encoders: 2}
cluster: {nodes: 2}
mapping: {strategy: auto}
build: {max_tokens: 2, slots: 1, k_lanes: 64, out_n: 16}
transport: {link_delay: 40}
"""


def described(
    nodes: int, encoders: int = 1, clusters: int = 1, sizes: dict[str, int] | None = None, board: str = "sidewinder", **keys: Any
) -> Description:
    lanes = {key: keys.pop(key) for key in list(keys) if key in OpenBuild.model_fields}
    return Description(
        name="case",
        model=SyntheticModel(encoders=encoders, **(sizes or BASE)),
        cluster=ClusterSection.model_validate({"nodes": nodes, "clusters": clusters, "board": board}),
        mapping=OpenMapping.model_validate({"strategy": "auto", **keys}),
        build=OpenBuild(**lanes),
    )


# ------------------------------------------------------------------ numbers


@pytest.mark.parametrize("name", sorted(path.parent.name for path in projects_root().glob("*/project.yaml")))
def test_the_shape_foreseen_is_the_plans(name: str) -> None:
    project = load_project(find_project(name))
    assert shape_of(Task.of(project), layout_of(project)) == make_plan(project).shape


@pytest.mark.parametrize(
    ("name", "nodes", "tokens", "simulated"),
    [
        ("ibert_base_6", None, 128, 52_510),
        ("ibert_base_6", None, 32, 14_360),
        ("ibert_base_6", None, 8, 5_469),
        ("ibert_base_6", None, 1, 2_820),
        ("ibert_base_6", 2, 128, 150_542),
        ("ibert_base_6", 12, 128, 29_504),
        ("ibert_base_6_pipeline", None, 128, 176_934),
        ("ibert_base_3x12", None, 128, 325_088),
        ("ibert_base_12x6", None, 128, 499_569),
    ],
)
def test_the_models_cycles_are_near_the_simulated_ones(name: str, nodes: int | None, tokens: int, simulated: int) -> None:
    """Simulated: docs/bench.md, docs/mapping.md."""
    project = load_project(find_project(name), nodes=nodes)
    project = project.model_copy(update={"build": project.build.model_copy(update={"max_tokens": tokens})})
    assert abs(evaluate(Task.of(project), layout_of(project)).latency / simulated - 1) < 0.05


# ------------------------------------------------------------------ the least of all


def all_layouts(description: Description) -> list[Layout]:
    """Every mapping of a small description on nodes without names: operators on sets of nodes, all legal shares."""
    task = Task.of(description)
    found = []
    for groups in legal_groups(description):
        nodes = range(task.team(groups))
        places = {
            name: [chosen for p in task.legal_shares(name, len(nodes)) for chosen in itertools.combinations(nodes, p)] for name in OPERATORS
        }
        for chosen in itertools.product(*places.values()):
            place = dict(zip(OPERATORS, chosen, strict=True))
            if place["ln1"] == place["ln2"] or (len(place["ln1"]) == len(place["ln2"]) == 1):
                found += [
                    Layout(groups, place, Build(k, n, post, norm))
                    for k, n, post, norm in itertools.product(*(_values(description, lane) for lane in Build.__slots__))
                ]
    return found


def _values(description: Description, lane: str) -> tuple[int, ...]:
    given = getattr(description.build, lane)
    return ({"out_n": (16, 32, 48, 64)}.get(lane, (1,))) if given is None else (given,)


@pytest.mark.parametrize(
    ("objective", "encoders", "clusters"),
    [("latency", 1, 1), ("latency", 2, 1), ("throughput", 1, 1), ("throughput", 2, 1), ("latency", 2, 2)],
)
def test_nothing_is_better(objective: str, encoders: int, clusters: int) -> None:
    """On two nodes, and in a chain of clusters of two."""
    sizes = {"hidden": 128, "heads": 2, "ffn": 192}
    given = {"k_lanes": 16, "post_lanes": 2, "norm_lanes": 2, "max_tokens": 16}
    description = described(2 * clusters, encoders, clusters, sizes=sizes, objective=objective, **given)
    choice = choose(description)
    task = Task.of(description)
    costs = [evaluate(task, each) for each in all_layouts(description)]
    assert len(costs) > 1_000
    assert choice.status == "optimal" and choice.gap == 0
    assert choice.value == choice.bound == min(cost.latency if objective == "latency" else cost.interval for cost in costs)


def test_base_on_six_nodes_is_the_hand_made_mapping() -> None:
    """All operators on all nodes, 64 x 48: the description that simulates in 52,510 cycles, proved to be the best of the model."""
    choice = choose(described(6))
    hand = load_project(find_project("ibert_base_6"))
    assert choice.value == choice.bound == evaluate(Task.of(hand), layout_of(hand)).latency
    assert choice.project.mapping.strategy == "tensor"
    assert choice.project.build == hand.build


def test_the_best_pipeline_of_six_nodes_beats_the_published_one() -> None:
    choice = choose(described(6, strategy="pipeline"))
    paper = load_project(find_project("ibert_base_6_pipeline"))
    assert choice.status == "optimal"
    assert choice.value < 0.75 * evaluate(Task.of(paper), layout_of(paper)).latency
    for node in choice.project.cluster.nodes:  # no kernel serves two operators
        held = [name for name in OPERATORS if node in getattr(choice.project.mapping.place, name)]
        assert len({"qkv", "out", "ffn1", "ffn2"} & set(held)) <= 1 and len({"ln1", "ln2"} & set(held)) <= 1
    make_plan(choice.project)


def test_five_nodes_are_used_though_no_operator_divides_by_five() -> None:
    choice = choose(described(5))
    assert choice.project.mapping.strategy == "pipeline"
    used = {name for operator in OPERATORS for name in getattr(choice.project.mapping.place, operator)}
    assert len(used) == 5
    assert choice.value < choose(described(4)).value


def test_groups_are_chosen() -> None:
    """Of tensor alone: more nodes than heads need groups, and six encoders a group are too many weights."""
    choice = choose(described(36, 12, strategy="tensor", groups="auto"))
    assert choice.project.mapping.groups == 3 and choice.status == "optimal"
    assert choice.finalists == 1 and choice.timed is not None  # no other number fits


def test_the_schedule_model_ranks_the_best_of_each_kind() -> None:
    """The mapper's model takes the overlap of encoders to be perfect: what it finds best is not what takes least here."""
    description = described(8, 4, sizes={"hidden": 256, "heads": 4, "ffn": 1024})
    choice = choose(description)
    best = mapper_choice._search(description, mapper_choice.TICKS)
    assert best is not None and best.value == best.bound == choice.bound < choice.value
    assert choice.timed == schedule(make_plan(choice.project), 128).last_row < schedule(make_plan(best.project), 128).last_row
    assert f"{choice.timed:,} by the schedule model, the least of the {choice.finalists} mappings" in choice.explanation


def test_throughput_is_ranked_too() -> None:
    """On six nodes the mapper's model takes a pipeline to be best, and the schedule model finds that sequences wait there."""
    description = described(6, objective="throughput")
    choice, best = choose(description), mapper_choice._search(description, mapper_choice.TICKS)
    assert best is not None and best.project.mapping.strategy == "pipeline" and choice.project.mapping.strategy == "tensor"
    assert choice.timed is not None and choice.bound <= choice.timed < mapper_choice._time(best)


def test_seventy_two_nodes() -> None:
    choice = choose(described(72, 12, clusters=12))
    assert choice.status == "optimal" and choice.value == choice.bound
    assert len(make_plan(choice.project).nodes) == 72 and choice.project.mapping.strategy == "tensor"


def test_clusters_of_five_use_all_their_nodes() -> None:
    """Five nodes, over which no operator divides, in each of two clusters: what one cluster does, twice, by either model of time."""
    one, two = choose(described(5)), choose(described(10, 2, clusters=2))
    assert two.layout == one.layout and two.value == two.bound
    plan = make_plan(two.project)
    assert plan.strategy == "pipeline" and {c.name for node in plan.nodes[5:] for c in node.contexts} >= set(OPERATORS)
    assert two.value == pytest.approx(schedule(plan, 128).cycles, rel=0.02)


def test_a_pipeline_in_each_of_two_clusters() -> None:
    choice = choose(described(12, 2, clusters=2, strategy="pipeline"))
    assert choice.status == "optimal" and choice.project.mapping.strategy == "pipeline"
    assert shape_of(Task.of(choice.project), choice.layout) == make_plan(choice.project).shape
    nodes = {name for operator in OPERATORS for name in getattr(choice.project.mapping.place, operator)}
    assert nodes <= set(choice.project.cluster.nodes[:6])


def test_throughput_of_a_chain_is_ranked() -> None:
    choice = choose(described(12, 2, clusters=2, objective="throughput"))
    assert choice.project.mapping.strategy == "tensor" and choice.timed is not None and choice.bound < choice.value


def test_what_would_take_too_long_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the mapper's own model decides for latency; for throughput, of which it knows too little, auto keeps to tensor."""
    monkeypatch.setattr(mapper_choice, "TIMED_MOST", 0)
    for objective in ("latency", "throughput"):
        choice = mapper_choice._choose(described(6, objective=objective), mapper_choice.TICKS)
        assert choice.timed is None and choice.project.mapping.strategy == "tensor"
    assert choice.bound < choice.value  # a pipeline has the bound
    pipeline = mapper_choice._choose(described(6, objective="throughput", strategy="pipeline"), mapper_choice.TICKS)
    assert pipeline.timed is None and pipeline.project.mapping.strategy == "pipeline"


# ------------------------------------------------------------------ limits


def test_every_limit_is_kept_and_a_smaller_board_decides() -> None:
    description = described(4, board="u250")
    free = choose(description)
    cluster = ClusterSection.model_validate({"nodes": 4, "board": "u250", "boards": {"node2": "sidewinder"}})
    mixed = choose(description.model_copy(update={"cluster": cluster}))
    assert free.project.build.out_n == 64 and mixed.project.build.out_n < 64
    assert free.value < mixed.value
    for choice in (free, mixed):
        taken = usage(make_plan(choice.project).shape)
        assert taken == choice.usage
        for limit in limits(choice.project):
            assert all(taken[name] <= limit.usable(name) for name in limit.limits)


def test_what_does_not_fit_is_told_with_the_smallest_change() -> None:
    with pytest.raises(InputError) as caught:
        choose(described(8, 4))
    lines = caught.value.message.splitlines()
    assert lines[0] == "project case on 8 nodes: no mapping fits"
    what = r"  (RAMB36|URAM288) of node0 and 7 more \(sidewinder, XCZU19EG\): ([\d.,]+) needed, "
    what += r"(885|115) \(90 % of \d+\) usable, ([\d.,]+) too many"
    found = re.match(what, lines[1])
    assert found is not None, lines[1]
    needed, usable, more = (float(found[k].replace(",", "")) for k in (2, 3, 4))
    assert needed - usable == more > 0
    changes = [line for line in lines if line.startswith(("  smallest change", "  or: "))]
    assert changes[0].startswith("  smallest change that fits: cluster.nodes: 9 ")
    assert choose(described(9, 4)).status == "optimal"
    assert "cluster.board: u" in changes[1]


def test_a_pipeline_on_three_nodes_is_refused() -> None:
    with pytest.raises(InputError, match="4 operators of linear need a node each, there are 3"):
        choose(described(3, strategy="pipeline"))


def test_shortage_is_measured_where_it_is() -> None:
    """A board with too few DSP slices for any array, a small model: that, and nothing else, is missing."""
    description = described(2, sizes={"hidden": 256, "heads": 4, "ffn": 1024})
    small = Limit("sidewinder", "xczu19eg", description.cluster.nodes, {**limits(description)[0].limits, "DSP48E2": (200, 90)})
    solved = Model(description, [small], "latency", slack=True).solve(2.0)
    assert {key for key, extra in solved.slack.items() if extra} == {("DSP48E2", "sidewinder")}


# ------------------------------------------------------------------ the same each time


def _map(folder: Path) -> str:
    (folder / "auto_2").mkdir(parents=True)
    (folder / "auto_2" / "project.yaml").write_text(AUTO.replace(", k_lanes: 64, out_n: 16", ""))
    command = [sys.executable, "-m", "floreana", "map", "--project", "auto_2/project.yaml", "--out", "out"]
    env = {**os.environ, "PYTHONPATH": str(project_root() / "python")}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.replace(str(folder), "") + (folder / "out" / "auto_2" / "mapped.yaml").read_text()


def test_two_processes_decide_alike(tmp_path: Path) -> None:
    first, second = _map(tmp_path / "a"), _map(tmp_path / "b")
    assert first == second
    assert "proved: no mapping has fewer" in first


def test_the_order_of_the_search_leaves_no_symmetry() -> None:
    """Nodes are taken in order, those that hold more first."""
    place = choose(described(6, strategy="pipeline")).layout.place
    held = [[name in OPERATORS and position in place[name] for name in OPERATORS] for position in range(6)]
    assert held == sorted(held, reverse=True)


# ------------------------------------------------------------------ what it is for


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOREANA_CACHE", str(tmp_path / "cache"))


def test_a_chosen_mapping_simulates_bit_for_bit(tmp_path: Path, cache: None) -> None:
    path = tmp_path / "auto_2" / "project.yaml"
    path.parent.mkdir()
    path.write_text(AUTO.replace("k_lanes: 64, out_n: 16", "k_lanes: 16, out_n: 16, post_lanes: 1, norm_lanes: 1"))  # small: Icarus

    class Quiet:
        def __getattr__(self, name: str) -> Any:
            return lambda *_: None

    options = Options(project=str(path), tokens="2", sim="icarus", link_delay=40, out=tmp_path / "out")
    done = simulate(options, Quiet(), "test", Hooks(builds=BUILDS))
    assert done.content["bit_exact"] is True
    plan, analysis = verify(done.folder)
    assert analysis.first is None and analysis.values > 0
    assert plan == make_plan(load_project(path))
    assert abs(choose(load_description(path)).value / done.content["cycles"] - 1) < 0.15


def test_plan_tells_the_choice_and_map_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "auto_2" / "project.yaml"
    path.parent.mkdir()
    path.write_text(AUTO)
    assert main(["map", "--project", str(path), "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    written = tmp_path / "out" / "auto_2" / "mapped.yaml"
    assert str(written) in told and "mapping chosen: 2 nodes" in told
    again = load_description(written)
    assert not any(again.open.values())
    assert again.decided() == load_project(path)
    assert main(["plan", "--project", str(path), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.startswith("mapping chosen: 2 nodes")


def test_what_is_stated_stays(tmp_path: Path) -> None:
    choice = choose(described(4, out_n=32, norm_lanes=4, groups=1))
    assert choice.project.build.out_n == 32 and choice.project.build.norm_lanes == 4 and choice.project.mapping.groups == 1
    assert yaml.safe_load(mapped_yaml(choice.project))["build"]["out_n"] == 32
    assert "out_n 32" in render_choice(choice)


def test_lanes_alone_are_chosen_for_a_given_place() -> None:
    paper = load_description(find_project("ibert_base_6_pipeline"))  # whose nodes, all of one shape, exceed a Sidewinder's RAMB36
    paper = paper.model_copy(update={"cluster": paper.cluster.model_copy(update={"board": "u55c"})})
    build = OpenBuild.model_validate({"k_lanes": "auto", "out_n": "auto", "post_lanes": 8, "norm_lanes": 16})
    choice = choose(paper.model_copy(update={"build": build}))
    assert choice.project.mapping.place == paper.mapping.place
    assert choice.value <= evaluate(Task.of(paper), layout_of(load_project(find_project("ibert_base_6_pipeline")))).latency


def test_nothing_open_is_left_alone() -> None:
    description = load_description(find_project("tiny_2"))
    assert not any(description.open.values())
    code = (
        "import sys; from floreana.cluster.description import *; load_project(find_project('tiny_2')); sys.exit('ortools' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=project_root() / "python").returncode == 0
    assert isinstance(description.decided(), Project) and description.decided().build == BuildSection(
        k_lanes=64, out_n=16, post_lanes=4, norm_lanes=4, max_tokens=16
    )
