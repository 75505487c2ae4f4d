# SPDX-License-Identifier: Apache-2.0
"""Quick proof of two products in one multiplier; `make formal` proves its adders and the two forms of ibert_mac_pair too."""

from __future__ import annotations

from pathlib import Path

from formal import prove


def test_a_pair_of_products_is_two_products_and_a_missing_borrow_is_refuted(tmp_path: Path) -> None:
    proof = prove.named("mac_mul_one")
    jobs = prove.jobs_of([proof], quick=True)
    assert proof.diagram and proof.quick and [bool(job.bug) for job in jobs] == [False, True]
    assert prove.run(jobs, 1, tmp_path) == 0
