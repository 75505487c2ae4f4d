# SPDX-License-Identifier: Apache-2.0
"""Bounded proofs of the transport, at a depth that fits the suite; `make formal` goes deeper and plants every fault."""

from __future__ import annotations

import pytest

from formal.prove import PROOFS, Fault, ProofError, prove

TRANSPORT = next(proof for proof in PROOFS if proof.name == "transport")


def test_transport_holds() -> None:
    assert prove(TRANSPORT, depth=30).frame is None


@pytest.mark.parametrize("fault", TRANSPORT.faults[:2], ids=lambda fault: fault.name)
def test_a_planted_fault_is_refuted(fault: Fault) -> None:
    assert prove(TRANSPORT, fault).frame is not None


def test_a_fault_that_no_longer_applies_is_an_error() -> None:
    with pytest.raises(ProofError, match="occurs 0 times"):
        prove(TRANSPORT, Fault("none", "net_rx_peers", "no such text", ""))


def test_every_planted_fault_applies() -> None:
    for proof in PROOFS:
        for fault in proof.faults:
            path = next(m for m in proof.modules if m.endswith(fault.module))
            text = (proof.top.parents[3] / "rtl" / f"{path}.v").read_text(encoding="utf-8")
            assert text.count(fault.old) == 1, fault.name
