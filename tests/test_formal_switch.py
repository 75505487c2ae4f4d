# SPDX-License-Identifier: Apache-2.0
"""Quick proofs of the switch, and a planted bug of each; `make formal` proves more cases and deeper, and plants every bug."""

from __future__ import annotations

from pathlib import Path

import pytest
from formal import prove

QUICK = [proof for proof in prove.proofs() if proof.quick and proof.name.startswith("switch_")]


def test_the_quick_proofs_are_those_of_every_property() -> None:
    assert {proof.name for proof in QUICK} == {"switch_lru", "switch_store", "switch_whole", "switch_turns", "switch_lane", "switch_room"}
    assert all(proof.bugs for proof in prove.proofs())


@pytest.mark.parametrize("proof", QUICK, ids=lambda proof: proof.name)
def test_quick_proof_holds_and_its_bug_is_refuted(proof: prove.Proof, tmp_path: Path) -> None:
    jobs = prove.jobs_of([proof], quick=True)
    assert [bool(job.bug) for job in jobs] == [False, True]
    assert prove.run(jobs, 1, tmp_path) == 0


def test_a_late_unicast_is_not_starved(tmp_path: Path) -> None:
    """Its bound is 2*P*P - 1, and not less."""
    proof = prove.named("switch_turns")
    assert prove.check(proof, {"PORTS": 2, "WATCH": 0, "BOUND": 7}, build=tmp_path).result == "proven"
    assert prove.check(proof, {"PORTS": 2, "WATCH": 0, "BOUND": 6}, build=tmp_path).result == "refuted"


def test_a_wrong_answer_fails_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proof = prove.named("switch_turns")
    job = prove.Job(proof, {"PORTS": 2, "WATCH": 2, "BOUND": 2}, None, 0)
    assert prove.run([job], 1, tmp_path) == 1
    out = capsys.readouterr().out
    assert "<-- WRONG" in out and out.endswith("checked 1 equal 0\n")


def test_wrong_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert prove.main(["no_such_proof"]) == 2
    assert prove.main(["--list"]) == 0
    assert "switch_turns" in capsys.readouterr().out
