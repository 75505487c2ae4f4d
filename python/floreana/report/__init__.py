# SPDX-License-Identifier: Apache-2.0
"""Comparing a run with the model, and writing its results."""
