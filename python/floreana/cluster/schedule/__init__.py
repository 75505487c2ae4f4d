# SPDX-License-Identifier: Apache-2.0
"""How long a plan takes, without simulating it: :func:`schedule` (docs/schedule.md)."""

from floreana.cluster.schedule.model import KernelLoad, PortLoad, Schedule, SequenceTimes, Span, schedule

__all__ = ["KernelLoad", "PortLoad", "Schedule", "SequenceTimes", "Span", "schedule"]
