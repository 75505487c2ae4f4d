# SPDX-License-Identifier: Apache-2.0
"""Stall patterns: when a source pauses and when a sink is ready.

Each function gives a ``Pattern``: ``stalls`` yields True in a cycle in which the source holds back its next beat, ``ready`` yields
True in a cycle in which the sink takes one. ``MessageSource`` takes the first and ``MessageSink`` the second out of a Pattern.
"""

from __future__ import annotations

import itertools
import random as _random
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pattern:
    stalls: Iterator[bool]
    ready: Iterator[bool]


def _constant(value: bool) -> Iterator[bool]:
    return itertools.repeat(value)


def _coin(rng: _random.Random, probability: float) -> Iterator[bool]:
    while True:
        yield rng.random() < probability


def _bursts(rng: _random.Random, longest: int) -> Iterator[bool]:
    """Runs of True and False of random length: long runs fill and drain buffers, which a coin seldom does."""
    value = False
    while True:
        for _ in range(rng.randint(1, longest if rng.random() < 0.3 else 3)):
            yield value
        value = not value


def none(seed: int = 0) -> Pattern:
    """No stall at all."""
    return Pattern(_constant(False), _constant(True))


def idle(seed: int = 0) -> Pattern:
    """The source pauses in half of the cycles."""
    return Pattern(_coin(_random.Random(f"idle{seed}"), 0.5), _constant(True))


def backpressure(seed: int = 0) -> Pattern:
    """The sink is ready in half of the cycles."""
    return Pattern(_constant(False), _coin(_random.Random(f"ready{seed}"), 0.5))


def both(seed: int = 0) -> Pattern:
    """Source and sink both stall half of the time, independently."""
    return Pattern(_coin(_random.Random(f"idle{seed}"), 0.5), _coin(_random.Random(f"ready{seed}"), 0.5))


def random(seed: int = 0) -> Pattern:
    """Bursts of random length on both sides."""
    return Pattern(_bursts(_random.Random(f"bursts{seed}"), 24), _bursts(_random.Random(f"burstr{seed}"), 24))


PATTERNS: dict[str, Callable[[int], Pattern]] = {
    "none": none,
    "idle": idle,
    "backpressure": backpressure,
    "both": both,
    "random": random,
}
