# SPDX-License-Identifier: Apache-2.0
"""The MyHDL specifications: equal to the integer model, the quick proofs hold, and planted bugs refute them."""

from __future__ import annotations

import pytest

from floreana.spec import check, pipeline
from floreana.spec.unit import Unit
from floreana.spec.units import UNITS

QUICK = ("requant", "sat", "isqrt", "div", "gelu")
BUGS = [(unit, bug) for unit in UNITS for bug in unit.bugs[-3:]]  # make spec plants every one


@pytest.mark.parametrize("name", [unit.name for unit in UNITS])
def test_simulated_and_cosimulated(name: str) -> None:
    unit = check.find(name)
    assert check.simulated(unit, 100, 1) >= 100
    assert check.cosimulated(unit, 100, 1) >= 100


@pytest.mark.parametrize("name", QUICK)
def test_proof(name: str) -> None:
    unit = check.find(name)
    verdict = check.proof(unit, unit.proofs[0], 300)
    assert verdict.result == "proven", verdict.log


@pytest.mark.parametrize(("unit", "bug"), BUGS, ids=lambda value: getattr(value, "name", "bug"))
def test_planted_bug(unit: Unit, bug: tuple[str, str]) -> None:
    verdict = check.planted(unit, bug, 300)
    assert verdict.result == "refuted", verdict.log


def module(cells: dict[str, tuple[str, dict[str, list[int | str]]]]) -> dict[str, object]:
    """A netlist as Yosys writes it: clk 2, rst 3, s_valid 4, s_x 5, m_y the net 20, m_valid the net 21."""
    ports = dict(clk=2, rst=3, s_valid=4, s_x=5)
    return {
        "ports": {name: {"direction": "input", "bits": [bit]} for name, bit in ports.items()}
        | {"m_y": {"direction": "output", "bits": [20]}, "m_valid": {"direction": "output", "bits": [21]}},
        "netnames": {"x_p1": {"bits": [10]}, "v_p1": {"bits": [21]}, "y": {"bits": [20]}},
        "cells": {
            name: {
                "type": kind,
                "connections": links,
                "port_directions": {port: "output" if port in "QY" else "input" for port in links},
            }
            for name, (kind, links) in cells.items()
        },
    }


VALID: dict[str, tuple[str, dict[str, list[int | str]]]] = {
    "r": ("$_MUX_", {"A": [4], "B": ["0"], "S": [3], "Y": [30]}),
    "v": ("$_DFF_P_", {"C": [2], "D": [30], "Q": [21]}),
}
SHAPE = pipeline.Shape(depth=1, enables={"s_valid": 0}, valid_out="m_valid")


def test_balanced_pipeline_is_accepted() -> None:
    assert pipeline.check(module({**VALID, "x": ("$_DFFE_PP_", {"C": [2], "D": [5], "E": [4], "Q": [20]})}), SHAPE) == 2


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ({"y": ("$_AND_", {"A": [10], "B": [5], "Y": [20]}), "x": ("$_DFF_P_", {"C": [2], "D": [5], "Q": [10]})}, "mixes"),
        ({"x": ("$_DFFE_PP_", {"C": [2], "D": [5], "E": [21], "Q": [20]})}, "its enable v_p1 is of stage 1"),
        ({"x": ("$_DFFE_PP_", {"C": [2], "D": [5], "E": [5], "Q": [20]})}, "no valid bit"),
        ({"y": ("$_XOR_", {"A": [20], "B": [5], "Y": [10]}), "x": ("$_DFF_P_", {"C": [2], "D": [10], "Q": [20]})}, "feedback"),
        ({"y": ("$_AND_", {"A": [3], "B": [5], "Y": [10]}), "x": ("$_DFF_P_", {"C": [2], "D": [10], "Q": [20]})}, "rst reaches data"),
        ({"x": ("$_SDFF_PP0_", {"C": [2], "D": [5], "R": [3], "Q": [20]})}, "neither plain"),
        ({"y": ("$_NOT_", {"A": [5], "Y": [20]})}, "0 cycles after its operands, not 1"),
        ({"x": ("$_DFF_P_", {"C": [4], "D": [5], "Q": [20]})}, "not clocked by clk"),
    ],
)
def test_other_circuits_are_refused(cells: dict[str, tuple[str, dict[str, list[int | str]]]], why: str) -> None:
    with pytest.raises(pipeline.Refused, match=why):
        pipeline.check(module({**VALID, **cells}), SHAPE)
