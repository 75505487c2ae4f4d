# SPDX-License-Identifier: Apache-2.0
"""A cluster whose encoders differ in their softmax, in RTL: equal to the model, and the comparison knows the mode."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from floreana.environment import project_root
from floreana.errors import DiffersError
from floreana.ibert.params import DEFERRED, PUBLISHED
from floreana.ibert.store import load_params, save_params
from floreana.sim.flow import Finished, Hooks, Options, simulate, verify

BUILDS = project_root() / "build" / "test_sim_deferred"  # built simulators, found again by their content
PROJECT = """
name: modes_1
model: {source: synthetic, hidden: 64, heads: 2, ffn: 64, encoders: 2, softmax: [deferred, published]}
cluster: {nodes: 1}
build: {k_lanes: 64, out_n: 16, post_lanes: 4, norm_lanes: 4, max_tokens: 4, slots: 1}
"""


class Quiet:
    """A teller that says nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("deferred")
    path = folder / "modes_1" / "project.yaml"
    path.parent.mkdir()
    path.write_text(PROJECT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOREANA_CACHE", str(folder / "cache"))
        options = Options(project=str(path), tokens="3,2", sim="icarus", link_delay=40, out=folder / "out")
        return simulate(options, Quiet(), "test", Hooks(builds=BUILDS))


def test_encoders_of_both_modes_are_equal(done: Finished) -> None:
    params = load_params(done.folder / "params.npz")
    assert [layer.softmax.mode for layer in params.encoders] == [DEFERRED, PUBLISHED]
    assert done.content["bit_exact"] is True
    _plan, analysis = verify(done.folder)
    assert analysis.first is None and analysis.values > 0
    assert min(sentence["cosine_fp32"] for sentence in done.content["sentences"]) > 0.97


def test_another_mode_of_the_model_is_a_difference(done: Finished) -> None:
    """Only finished rows leave a node that is alone: it shows in the last encoder's."""
    path = done.folder / "params.npz"
    params, raw = load_params(path), path.read_bytes()
    first, second = params.encoders
    first = replace(first, softmax=replace(first.softmax, mode=PUBLISHED))
    try:
        save_params(path, replace(params, encoders=(first, second)))
        with pytest.raises(DiffersError, match="sentence 0, encoder 1, kernel node0"):
            verify(done.folder)
    finally:
        path.write_bytes(raw)
