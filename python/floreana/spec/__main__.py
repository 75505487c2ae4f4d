# SPDX-License-Identifier: Apache-2.0
"""python -m floreana.spec [--only NAME]: every specification simulated, co-simulated and proven, as a table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from floreana.errors import FloreanaError
from floreana.spec import check
from floreana.spec.units import UNITS

ROW = "{:<16}{:<31}{:<28}{:<28}{:<17}{}"


@dataclass(slots=True)
class Report:
    """What was found of one unit: lines of the table, and what failed."""

    lines: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def widths(params: Mapping[str, int]) -> str:
    return " ".join(f"{name}={value}" for name, value in params.items()) or "full"


def examine(name: str, count: int, seed: int, seconds: int) -> Report:
    """All checks of one unit; FloreanaError where a simulation differs or a tool is missing."""
    unit = check.find(name)
    report = Report()
    simulated, beside = check.simulated(unit, count, seed), check.cosimulated(unit, count, seed)
    found = 0
    for bug in unit.bugs:
        verdict = check.planted(unit, bug, seconds)
        found += verdict.result == "refuted"
        if verdict.result != "refuted":
            report.failures.append(f"{name} with {bug[1]!r} instead of {bug[0]!r}: {verdict.result}\n{verdict.log}")
    for index, params in enumerate(unit.proofs):
        verdict = check.proof(unit, params, seconds)
        if verdict.result != "proven":
            report.failures.append(f"{name} at {widths(params)}: {verdict.result}\n{verdict.log}")
        proven = f"{verdict.result} {verdict.seconds:.0f} s"
        if index:
            report.lines.append(ROW.format("", "", "", widths(params), proven, "").rstrip())
        else:
            checked = f"{simulated} and {beside} equal"
            report.lines.append(
                ROW.format(name, widths(unit.full), checked, widths(params), proven, f"{found} of {len(unit.bugs)} refuted")
            )
    return report


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m floreana.spec", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help=f"one of {', '.join(unit.name for unit in UNITS)}; may be repeated")
    parser.add_argument("--count", type=int, default=1000, help="random operands of each simulation (default 1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the random operands (default 1)")
    parser.add_argument("--seconds", type=int, default=600, help="limit of one run of a tool (default 600)")
    parser.add_argument("--jobs", type=int, default=2, help="units at a time (default 2)")
    args = parser.parse_args(argv)
    failures: list[str] = []
    try:
        names = [check.find(name).name for name in args.only or [unit.name for unit in UNITS]]
        print(ROW.format("unit", "simulated at", "simulated and co-simulated", "proof at", "proof", "planted bugs"), flush=True)
        with ProcessPoolExecutor(args.jobs) as pool:
            for report in [pool.submit(examine, name, args.count, args.seed, args.seconds) for name in names]:
                done = report.result()
                print("\n".join(done.lines), flush=True)
                failures += done.failures
    except FloreanaError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
