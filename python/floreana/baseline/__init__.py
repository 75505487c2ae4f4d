# SPDX-License-Identifier: Apache-2.0
"""BERT-base by PyTorch on whatever CPU or GPU is there: `floreana gpu-baseline` (docs/estimates.md)."""
