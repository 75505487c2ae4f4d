# SPDX-License-Identifier: Apache-2.0
"""Galapagos (UofT-HPRC/galapagos) and its Cluster Builder: their files read into descriptions, our kernels written for them.

Rules and formats: docs/galapagos.md.
"""
