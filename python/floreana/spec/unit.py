# SPDX-License-Identifier: Apache-2.0
"""What one specification states of its unit, and operands that several share."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from floreana.ibert import ops

Values = dict[str, int]
Streams = Iterator[tuple[Values, list[Values]]]  # inputs that stay while anything is in flight, and the operands of each answer


@dataclass(frozen=True, slots=True)
class Unit:
    """One specification and the hand-written unit it is held against."""

    name: str
    module: str
    block: Callable[..., Any]
    inputs: Callable[[Mapping[str, int]], dict[str, Any]]  # signals, from the parameters; also of the outputs below
    outputs: Callable[[Mapping[str, int]], dict[str, Any]]
    full: Mapping[str, int]  # parameters of simulation and co-simulation
    proofs: Sequence[Mapping[str, int]]  # parameters of each proof
    operands: Callable[[random.Random, int, Mapping[str, int]], Streams]
    expect: Callable[[Values, Mapping[str, int]], Values]
    bugs: Sequence[tuple[str, str]]  # text of the unit, and what a wrong unit would say: each must be refuted
    depth: Callable[[Mapping[str, int]], int]  # cycles until the outputs depend on inputs alone: the latency and one; 0 without registers
    children: tuple[str, ...] = ()
    valid_in: str | None = None
    valid_out: str | None = None
    clocks: tuple[str, ...] = ("clk", "rst")  # those of the two that it has
    hold: int = 0  # cycles that operands stay where there is no valid
    iterative: bool = False
    constant: frozenset[str] = frozenset()  # inputs that do not change while anything is in flight
    enables: Mapping[str, int] = field(default_factory=dict)  # inputs that say in which stage a datum is, besides valid_in in stage 0
    at: Mapping[str, int] = field(default_factory=dict)  # inputs of later stages, outputs of earlier ones
    legal: Mapping[str, str] = field(default_factory=dict)  # inputs bound to others: Verilog of the value taken, from <input>_any


def wrap(value: int, bits: int) -> int:
    """``value`` as a signed number of ``bits`` bits."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def some(rng: random.Random, bits: int) -> int:
    """A signed number of ``bits`` bits: any magnitude alike often, and the corners."""
    low, high = ops.signed(bits)
    if rng.random() < 0.2:
        return rng.choice((low, low + 1, -1, 0, 1, high - 1, high))
    return rng.choice((-1, 1)) * rng.randrange(1 << (bits - 1)) >> rng.randrange(bits)
