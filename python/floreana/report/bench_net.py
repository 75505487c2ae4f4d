# SPDX-License-Identifier: Apache-2.0
"""`make bench-net`: figures of the network, measured between kernel ports of simulated stations, beside published transports.

The benches are tb/bench_net (packet switch and Ethernet port of each station, under Icarus); they assert the limits shown. Figures of other
systems come from data/transports.toml, each with its source. Exit codes: 0 all limits kept, 1 a limit or a check failed, 3 environment.
"""

from __future__ import annotations

import json
import sys
import tempfile
import tomllib
from pathlib import Path

from rich.console import Console
from rich.table import Table

from floreana.environment import project_root

CLOCK_HZ = 200_000_000
RUNS = (
    ("two stations, MAC to MAC", {"STATIONS": 2, "DIRECT": 1}, ["latency", "throughput"]),
    ("seven stations, six send to one", {"STATIONS": 7, "DIRECT": 0}, ["incast"]),
)
# figure, what it is, limit
LIMITS = (
    ("latency_empty", "kernel to kernel across two nodes, message without payload, last beat in to last beat out", "at most 40 cycles"),
    ("latency_full", "the same, 1,024 bytes", "at most 75 cycles"),
    ("payload_share", "payload of the port's beats, 1,024-byte messages, acknowledgements flowing", "at least 0.93"),
    ("acks_for_400", "frames of acknowledgement alone for 400 messages", ""),
    ("incast_line_share", "of the receiver's line in use while six stations send to one; nothing dropped, nothing sent again", ""),
)


def measure(console: Console) -> dict[str, float]:
    """Run the benches; figures by name. BenchError where a limit is not kept."""
    path = str(project_root() / "tb")
    if path not in sys.path:
        sys.path.insert(0, path)
    from floreana_tb.runner import run_unit

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        for text, parameters, tests in RUNS:
            console.print(f"measuring: {text} ({', '.join(tests)})", highlight=False)
            run_unit(
                "tb_bench_net",
                "bench_net.test_bench_net",
                parameters=parameters,
                expected_tests=tests,
                extra_env={"BENCH_NET_OUT": str(out)},
            )
        figures: dict[str, float] = json.loads(out.read_text(encoding="utf-8"))
    return figures


def tables(figures: dict[str, float]) -> list[Table]:
    """Our figures with their limits, and what is published of others."""
    own = Table(title="Floreana, RTL simulation, cycles of 5 ns (200 MHz assumed)", title_justify="left")
    for column in ("figure", "measured", "limit"):
        own.add_column(column)
    for name, text, limit in LIMITS:
        value = figures[name]
        shown = f"{value:g} cycles = {1e9 * value / CLOCK_HZ:.0f} ns" if name.startswith("latency") else f"{value:g}"
        own.add_row(text, shown, limit)
    others = Table(title="published", title_justify="left")
    for column in ("system", "kind", "figure", "source"):
        others.add_column(column)
    data = tomllib.loads((Path(__file__).parent / "data" / "transports.toml").read_text(encoding="utf-8"))
    for system in data["system"]:
        figure = "; ".join(system[key] for key in ("latency", "rate") if key in system)
        others.add_row(system["name"], system["kind"], figure or "none found", system["source"])
    return [own, others]


def main() -> int:
    """Measure and print."""
    from floreana.environment import find_tool, missing_tool_message, tool_environment

    console = Console()
    if find_tool("vvp", tool_environment()) is None:
        print(f"bench-net: {missing_tool_message('vvp')}", file=sys.stderr)
        return 3
    try:
        figures = measure(console)
    except AssertionError as error:
        print(f"bench-net: a limit or a check failed\n{error}", file=sys.stderr)
        return 1
    for table in tables(figures):
        console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
