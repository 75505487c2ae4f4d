# SPDX-License-Identifier: Apache-2.0
"""Which nodes share which operator, and how large the array is: decided by CP-SAT within the limits of every board (docs/mapper.md)."""

from floreana.cluster.mapper.choice import Choice, choose, mapped_yaml, render_choice

__all__ = ["Choice", "choose", "mapped_yaml", "render_choice"]
