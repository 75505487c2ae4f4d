# SPDX-License-Identifier: Apache-2.0
"""Bounded proof of the FIFO between two clocks, at a depth that fits the suite; `make formal` goes deeper and plants every bug."""

from __future__ import annotations

from pathlib import Path

from formal.prove import check, named

FIFO = named("cdc_fifo")


def test_frames_cross_whole_and_in_order(tmp_path: Path) -> None:
    answer = check(FIFO, FIFO.cases[0], depth=FIFO.quick_depth, build=tmp_path)
    assert (answer.result, answer.frames) == ("holds", FIFO.quick_depth)


def test_a_frame_announced_too_early_is_refuted(tmp_path: Path) -> None:
    assert check(FIFO, FIFO.cases[0], FIFO.bugs[0], build=tmp_path).result == "refuted"
