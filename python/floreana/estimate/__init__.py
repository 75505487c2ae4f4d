# SPDX-License-Identifier: Apache-2.0
"""What a model would need on so many boards: `floreana estimate` (docs/estimates.md)."""
