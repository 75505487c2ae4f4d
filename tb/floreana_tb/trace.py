# SPDX-License-Identifier: Apache-2.0
"""Cycles in which signals are not zero: how benches measure latencies and rates between the parts of a unit."""

from __future__ import annotations

import itertools
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge


class Trace:
    """Samples signals at every edge of ``clock`` from its construction on. Parts inside the top are seen under Icarus only."""

    def __init__(self, clock: Any, **signals: Any) -> None:
        self._clock, self._signals = clock, signals
        self.clear()
        cocotb.start_soon(self._sample())

    def clear(self) -> None:
        """Forget what was seen; cycles count from here."""
        self.cycle = 0
        self._high: dict[str, list[int]] = {name: [] for name in self._signals}

    async def _sample(self) -> None:
        while True:
            await RisingEdge(self._clock)
            for name, handle in self._signals.items():
                value = handle.value
                if value.is_resolvable and int(value):
                    self._high[name].append(self.cycle)
            self.cycle += 1

    def __getitem__(self, name: str) -> list[int]:
        return self._high[name]

    def both(self, first: str, second: str) -> list[int]:
        """Cycles in which both are high: a handshake."""
        other = set(self[second])
        return [cycle for cycle in self[first] if cycle in other]

    def rises(self, name: str) -> list[int]:
        return [cycle for before, cycle in itertools.pairwise([-2, *self[name]]) if cycle - before > 1]

    def demand(self, name: str, expected: list[int]) -> None:
        """The signal was high in exactly these cycles."""
        assert expected and self[name] == expected, f"{name} in cycles {self[name]}, expected in {expected}"
