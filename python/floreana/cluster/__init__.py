# SPDX-License-Identifier: Apache-2.0
"""Description of a project, the mapper and its images."""
