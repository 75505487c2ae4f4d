# SPDX-License-Identifier: Apache-2.0
"""Every error Floreana raises on purpose. The command line prints the message alone and exits with ``exit_code``.

A message names the value that is wrong, the limit it breaks and the remedy.
"""

from __future__ import annotations


class FloreanaError(Exception):
    """Base class: a message for the user, and the exit code of the program: 4, an internal error, unless said."""

    exit_code = 4

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        if exit_code is not None:
            self.exit_code = exit_code


class DiffersError(FloreanaError):
    """Two results that must be equal are not."""

    exit_code = 1


class InputError(FloreanaError):
    """Something the user gave is wrong: text, project, weights, an option."""

    exit_code = 2


class EnvironmentError_(FloreanaError):  # noqa: N801 (EnvironmentError is a builtin)
    """Something the machine lacks: a tool, disk space, a file that cannot be written."""

    exit_code = 3
