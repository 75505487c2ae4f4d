# SPDX-License-Identifier: Apache-2.0
"""Strategy pipeline in RTL: operators on nodes of their own, residuals sent as messages, heads shared by two nodes; a chain."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from floreana.cluster.schedule.model import schedule
from floreana.environment import project_root
from floreana.ibert.store import load_params
from floreana.report.compare import analyse
from floreana.sim import flow
from floreana.sim.capture import read_capture
from floreana.sim.flow import Finished, Hooks, Options, simulate, verify

BUILDS = project_root() / "build" / "test_sim_pipeline"  # built simulators, found again by their content
PROJECT = """
name: pipeline_3
model: {source: synthetic, hidden: 128, heads: 2, ffn: 128, encoders: 2}
cluster: {nodes: [left, middle, right]}
mapping:
  strategy: pipeline
  place: {qkv: [left], attention: [middle, right], out: [right], ln1: [right], ffn1: [left], ffn2: [middle], ln2: [left]}
build: {k_lanes: 64, out_n: 16, post_lanes: 4, norm_lanes: 4, max_tokens: 2, slots: 1}
"""
CHAIN = """
name: pipeline_2x2
model: {source: synthetic, hidden: 64, heads: 1, ffn: 64, encoders: 2}
cluster: {nodes: [left, right, left_2, right_2], clusters: 2}
mapping:
  strategy: pipeline
  place: {qkv: [left], attention: [right], out: [left], ln1: [right], ffn1: [left], ffn2: [right], ln2: [left]}
build: {k_lanes: 16, out_n: 16, post_lanes: 1, norm_lanes: 1, max_tokens: 2, slots: 1}
transport: {link_delay: 40}
"""
CHAIN_TOKENS = [2, 1, 2]


class Quiet:
    """A teller that says nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    patch = pytest.MonkeyPatch()
    patch.setenv("FLOREANA_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("pipeline")
    path = folder / "pipeline_3" / "project.yaml"
    path.parent.mkdir()
    path.write_text(PROJECT)
    options = Options(project=str(path), tokens="2", sim="icarus", link_delay=40, out=folder / "out")
    return simulate(options, Quiet(), "test", Hooks(builds=BUILDS))


def test_a_pipeline_is_equal(done: Finished) -> None:
    assert done.content["bit_exact"] is True
    plan, analysis = verify(done.folder)
    assert plan.strategy == "pipeline" and analysis.first is None and analysis.values > 0


def test_a_wrong_value_is_named_by_its_column_in_the_whole_row(done: Finished) -> None:
    """V of the second head, whose receiver numbers its columns from 0; planted in the capture."""
    _, records = read_capture(done.folder / "traffic.pcapng")
    (edge,) = [number for number, each in done.plan.edges.items() if (each.encoder, each.tensor) == (0, "v")]
    right = done.plan.nodes[2].kernels["attention"]
    (at,) = [
        index
        for index, record in enumerate(records)
        if record.outbound and (record.data[55], record.data[56], record.data[61]) == (right, edge, 1)
    ]
    data = bytearray(records[at].data)
    data[64 + 5] ^= 1
    records[at] = replace(records[at], data=bytes(data))
    first = analyse(done.plan, load_params(done.folder / "params.npz"), records).first
    assert first is not None
    assert "encoder 0, kernel left.linear (number 1) (v), row 1, column 69: got" in str(first)


def test_two_pipelines_in_a_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three sequences, two in flight, a slot in each cluster: bit-exact, handed on by the gateway, in the schedule model's cycles."""
    monkeypatch.setattr(flow, "build", partial(flow.build, optimise="-O0"))  # a short run: compiling takes most of its time
    path = tmp_path / "pipeline_2x2" / "project.yaml"
    path.parent.mkdir()
    path.write_text(CHAIN)
    options = Options(project=str(path), tokens=",".join(map(str, CHAIN_TOKENS)), in_flight=2, sim="verilator", out=tmp_path / "out")
    done = simulate(options, Quiet(), "test", Hooks(builds=BUILDS))
    assert done.content["bit_exact"] is True and done.content["transport"]["again"] == 0
    plan, analysis = verify(done.folder)
    assert plan.strategy == "pipeline" and len(plan.clusters) == 2 and analysis.first is None and analysis.values > 0
    words, rows = done.outcome.words["left_2"], sum(CHAIN_TOKENS)
    expected = {"messages_in": rows + 3, "messages_out": rows, "sequences": 3, "releases_in": 3, "releases_out": 3, "stale": 0}
    assert {name: words[f"gateway.{name}"] for name in expected} == expected
    assert not any(node["node.lost"] for node in done.outcome.words.values())
    # a sequence comes in while the one before it is in the second cluster
    seen = [(sentence.start, sentence.end) for sentence in sorted(done.outcome.sentences, key=lambda sentence: sentence.start)]
    assert all(later[0] < earlier[1] for earlier, later in pairwise(seen))
    told = schedule(plan, CHAIN_TOKENS, in_flight=2).sequences
    assert [end - seen[0][0] for _, end in seen] == pytest.approx([each.last_row for each in told], rel=0.002)
