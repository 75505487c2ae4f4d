# SPDX-License-Identifier: Apache-2.0
"""Floreana: integer-only transformers on clusters of FPGAs."""
