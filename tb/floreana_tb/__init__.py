# SPDX-License-Identifier: Apache-2.0
"""What all benches share: the runner for pytest's side, stream drivers, monitors and scoreboard for the simulator's side.

``streams``, ``stalls`` and ``clocks`` are imported inside the simulator, ``runner`` by pytest; importing this package loads neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from floreana_tb.runner import BenchError, BuildError, TestsFailed, mutate, run_unit

__all__ = ["BenchError", "BuildError", "TestsFailed", "mutate", "run_unit"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from floreana_tb import runner

        return getattr(runner, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
