# SPDX-License-Identifier: Apache-2.0
"""Building and running the simulated cluster, and its wire."""
