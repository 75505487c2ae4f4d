# SPDX-License-Identifier: Apache-2.0
"""Import paths of the tests, and the rule that a skipped test fails the run unless its reason is allowed here."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT / "tb", ROOT / "python"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

# A shell that starts the tests in the background makes them ignore Ctrl-C, and every child inherits that; the tests that send it need it
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str | None:
    """Tests of one script need tshark, which no other part of the project does: where it is missing the run says so and goes on."""
    from floreana.environment import find_tool, missing_tool_message

    return None if find_tool("tshark") else f"the tests of the Wireshark dissector do not run: {missing_tool_message('tshark')}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """A skip is a failure: nothing that this project needs may be missing silently."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which counts as a failure here: {reason}"
