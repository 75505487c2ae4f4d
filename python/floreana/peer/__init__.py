# SPDX-License-Identifier: Apache-2.0
"""The integer model beside the published implementation of I-BERT, in an environment of its own: docs/peer.md."""
