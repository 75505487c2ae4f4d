# SPDX-License-Identifier: Apache-2.0
"""A chain with more nodes than a port has peers, in simulation: five clusters of one node each, ports of four peers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from test_sim_tiny import Quiet

from floreana.environment import project_root
from floreana.sim import flow
from floreana.sim.capture import read_capture
from floreana.sim.flow import Finished, Hooks, Options, simulate

BUILDS = project_root() / "build" / "test_sim"
PROJECT = """\
name: chain_5x1
model: {source: synthetic, hidden: 64, heads: 1, ffn: 64, encoders: 5}
cluster: {nodes: 5, clusters: 5}
build: {k_lanes: 16, out_n: 16, post_lanes: 1, norm_lanes: 1, max_tokens: 4, slots: 1}
"""
NUMBERS = [0, 1, 2, 4, 5, 3]  # of the nodes, and of the host: 3 is its index alone


def _run(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Finished:
    monkeypatch.setenv("FLOREANA_CACHE", str(folder / "cache"))
    project = folder / "chain_5x1" / "project.yaml"
    project.parent.mkdir()
    project.write_text(PROJECT, encoding="utf-8")
    monkeypatch.setattr(flow, "build", partial(flow.build, optimise="-O0"))  # short runs: compiling takes most of their time
    options = replace(Options(project=str(project), tokens="2", out=folder / "out"), **changes)
    return simulate(options, Quiet(), "test", Hooks(builds=BUILDS))


def test_numbers_beyond_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit-exact with nothing sent again or dropped, from nodes whose number the table of a port does not reach."""
    done = _run(tmp_path, monkeypatch)
    assert done.plan.shape["PEERS_N"] == 4 and [done.plan.numbers.number(station) for station in range(6)] == NUMBERS
    assert done.content["bit_exact"] is True and done.content["transport"]["again"] == 0
    sent = {int.from_bytes(record.data[44:46], "big") for record in read_capture(done.folder / "traffic.pcapng")[1] if record.outbound}
    assert sent == set(NUMBERS)
    words = done.outcome.words
    assert [words[f"node{k}"]["node.node"] for k in range(5)] == NUMBERS[:5]
    # links by index: the host and the neighbours in the chain
    up = [words[f"node{k}"]["eth0.link.up_low"] for k in range(5)]
    assert up == [1 << 3 | sum(1 << NUMBERS[k] % 4 for k in (node - 1, node + 1) if 0 <= k < 5) for node in range(5)]


def test_a_node_beyond_the_table_restarts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its neighbours tell so by its index, the host by name; the sentence is sent again, the result the same."""
    done = _run(tmp_path, monkeypatch, restart="node3@6000")
    assert done.content["bit_exact"] is True
    told = {event.text for event in done.outcome.events}
    assert told and told <= {f"{who} restarted" for who in ("node3", "node2 reports that node3", "node4 reports that node3")}
    assert done.outcome.sentences[0].attempts > 1
