# SPDX-License-Identifier: Apache-2.0
"""Every step of the integer model against published integer vectors of a real I-BERT (RoBERTa-base, two encoders, 128 tokens).

The vectors are not part of the project: the environment variable VECTORS names the folder that holds encoder_00.npz and
encoder_06.npz. Without it this module has no cases; with it, every case runs and demands equality. The exceptions are
named: the dump was computed in 32-bit floats, and six of its probabilities are one off the exact integer. The RTL units see
the same vectors in `make vectors` (docs/vectors.md), which shares every check with this module.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from floreana.report.vectors import Report, Rounded, Vectors, check_model

FOLDER = os.environ.get("VECTORS", "")

KNOWN = {
    "encoder_00": [
        Rounded(head=1, query=15, key=8, exact=9, recorded=10),
        Rounded(head=2, query=34, key=10, exact=11, recorded=12),
        Rounded(head=3, query=13, key=4, exact=1, recorded=2),
        Rounded(head=10, query=19, key=3, exact=5, recorded=6),
    ],
    "encoder_06": [
        Rounded(head=1, query=4, key=27, exact=4, recorded=5),
        Rounded(head=6, query=6, key=13, exact=13, recorded=14),
    ],
}

if FOLDER:

    @pytest.mark.parametrize("name", KNOWN)
    def test_every_step(name: str) -> None:
        report = Report(name)
        check_model(Vectors(Path(FOLDER) / f"{name}.npz"), report)
        assert not report.differences
        assert len(report.checks) == 27 and all(check.checked == check.equal > 0 for check in report.checks)
        assert report.rounded == KNOWN[name]
