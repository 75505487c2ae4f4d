# SPDX-License-Identifier: Apache-2.0
"""The host: one more node of the cluster, in software."""
