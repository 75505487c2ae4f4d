# SPDX-License-Identifier: Apache-2.0
"""The MyHDL specifications: equal to the integer model, the quick proofs hold, and a planted bug refutes them."""

from __future__ import annotations

import pytest

from floreana.spec import check
from floreana.spec.units import UNITS

QUICK = ("sat", "isqrt", "div")


@pytest.mark.parametrize("name", [unit.name for unit in UNITS])
def test_simulated_and_cosimulated(name: str) -> None:
    unit = check.find(name)
    assert check.simulated(unit, 100, 1) >= 100
    assert check.cosimulated(unit, 100, 1) >= 100


@pytest.mark.parametrize("name", QUICK)
def test_proof_and_planted_bug(name: str) -> None:
    unit = check.find(name)
    assert check.proof(unit, 100).result == "proven"
    assert check.planted(unit, 100).result == "refuted"
