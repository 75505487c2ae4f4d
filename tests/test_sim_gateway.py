# SPDX-License-Identifier: Apache-2.0
"""Project tiny_2x2, two clusters chained through a gateway: more sequences than slots, on a bad network, and a gateway that restarts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from test_sim_tiny import Quiet

from floreana.cluster.layout import TYPE_CONTROL
from floreana.environment import project_root
from floreana.host.frame import DATA, parse
from floreana.sim import flow
from floreana.sim.capture import read_capture
from floreana.sim.flow import Finished, Hooks, Options, simulate

BUILDS = project_root() / "build" / "test_sim"
TOKENS = "3,16,1,2,5,1,4,2"
GATEWAY_NODE = "node2"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    patch = pytest.MonkeyPatch()
    patch.setenv("FLOREANA_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


def _run(out: Path, **changes: Any) -> Finished:
    options = replace(Options(project="tiny_2x2", tokens=TOKENS, in_flight=4, out=out), **changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "build", partial(flow.build, optimise="-O1"))  # compiling takes most of the time
        return simulate(options, Quiet(), "test", Hooks(builds=BUILDS))


def _messages(done: Finished) -> Counter[tuple[int, int, bool]]:
    """Data frames that left a port: source and destination kernel, whether of type control. Those sent again count again."""
    seen: Counter[tuple[int, int, bool]] = Counter()
    for record in read_capture(done.folder / "traffic.pcapng")[1]:
        if record.outbound and not record.bad:
            frame = parse(record.data)
            if frame.type == DATA:
                seen[frame.header.src_kernel, frame.header.dst_kernel, frame.header.type == TYPE_CONTROL] += 1
    return seen


def test_eight_sequences_through_two_clusters_of_two_slots(tmp_path: Path) -> None:
    done = _run(tmp_path)
    assert done.content["bit_exact"] is True and done.content["transport"]["again"] == 0
    rows = sum(int(count) for count in TOKENS.split(","))
    words = done.outcome.words[GATEWAY_NODE]
    told = {name.removeprefix("gateway."): value for name, value in words.items() if name.startswith("gateway.") and value}
    # one message a row, and a RELEASE for each sequence
    assert told.pop("waits") > 0, "no sequence waited for a slot of the second cluster"
    assert 0 < told.pop("messages_peak") <= 2 * 16
    told.pop("refused", 0)
    assert told == {
        "messages_in": rows + 8, "beats_in": 2 * rows + 8, "sequences": 8, "releases_in": 8, "messages_out": rows, "beats_out": 2 * rows,
        "releases_out": 8,
    }  # fmt: skip
    assert not any(value for node in done.outcome.words.values() for name, value in node.items() if name in ("node.lost", "gateway.stale"))
    seen = _messages(done)
    assert sum(count for (source, target, _), count in seen.items() if target == 254 and source != 255) == rows
    assert (seen[254, 255, True], seen[255, 254, True]) == (8, 8)


def test_a_bad_network_and_a_gateway_that_restarts(tmp_path: Path) -> None:
    done = _run(tmp_path, loss=0.03, dup=0.03, reorder=0.03, corrupt=0.03, delay=0.03, restart=f"{GATEWAY_NODE}@21000")
    assert done.content["bit_exact"] is True and done.content["transport"]["again"] > 0
    assert any(GATEWAY_NODE in event.text and "restarted" in event.text for event in done.outcome.events)
    assert max(sentence.attempts for sentence in done.outcome.sentences) > 1
