# SPDX-License-Identifier: Apache-2.0
"""Bounded proofs of the transport, at a depth that fits the suite; `make formal` goes deeper and plants every bug."""

from __future__ import annotations

from pathlib import Path

import pytest
from formal.prove import Change, ProofError, check, named, proofs, sources

TRANSPORT = named("transport")


def test_transport_holds(tmp_path: Path) -> None:
    answer = check(TRANSPORT, {}, depth=TRANSPORT.quick_depth, build=tmp_path)
    assert (answer.result, answer.frames) == ("holds", TRANSPORT.quick_depth)


@pytest.mark.parametrize("bug", TRANSPORT.bugs[:2], ids=lambda bug: bug.name)
def test_a_planted_bug_is_refuted(bug: Change, tmp_path: Path) -> None:
    assert check(TRANSPORT, {}, bug, build=tmp_path).result == "refuted"


def test_a_bug_that_no_longer_applies_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProofError, match="occurs 0 times"):
        check(TRANSPORT, {}, Change("none", "/rtl/net/net_rx_peers.v", "no such text", ""), build=tmp_path)
    with pytest.raises(ProofError, match="is not one of its files"):
        check(TRANSPORT, {}, Change("none", "/rtl/net/net_link.v", "", ""), build=tmp_path)


def test_every_planted_bug_applies(tmp_path: Path) -> None:
    count = 0
    for proof in proofs():
        for bug in proof.bugs:
            sources(proof, tmp_path, bug)
            count += 1
    assert count >= 20
    print(f"planted bugs: checked {count} equal {count}")
