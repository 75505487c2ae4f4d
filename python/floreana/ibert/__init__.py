# SPDX-License-Identifier: Apache-2.0
"""Integer model, float model, quantiser and model import."""
