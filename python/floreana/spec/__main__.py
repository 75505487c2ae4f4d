# SPDX-License-Identifier: Apache-2.0
"""python -m floreana.spec [--only NAME]: every specification simulated, proven and co-simulated, as a table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from floreana.errors import FloreanaError
from floreana.spec import check
from floreana.spec.units import UNITS


def widths(params: Mapping[str, int]) -> str:
    return " ".join(f"{name}={value}" for name, value in params.items()) or "full"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m floreana.spec", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help=f"one of {', '.join(unit.name for unit in UNITS)}; may be repeated")
    parser.add_argument("--count", type=int, default=1000, help="random operands of each simulation (default 1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the random operands (default 1)")
    parser.add_argument("--seconds", type=int, default=600, help="limit of one proof (default 600)")
    args = parser.parse_args(argv)
    row = "{:<15}{:<19}{:<17}{:<19}{:>7}  {:<13}{:<17}{:<12}"
    print(row.format("unit", "simulated at", "equal", "proof at", "steps", "proof", "cosimulated", "planted bug"))
    failed = []
    try:
        for unit in [check.find(name) for name in args.only] if args.only else UNITS:
            simulated = check.simulated(unit, args.count, args.seed)
            proof = None if unit.open_proof else check.proof(unit, args.seconds)
            planted = None if unit.open_proof else check.planted(unit, args.seconds)
            beside = check.cosimulated(unit, args.count, args.seed)
            found = "open" if planted is None else "found" if planted.result == "refuted" else f"NOT FOUND ({planted.result})"
            proven = "open" if proof is None else f"{proof.result} {proof.seconds:.0f} s"
            print(
                row.format(
                    unit.name, widths(unit.full), f"{simulated} equal {simulated}", widths(unit.proof), unit.depth(unit.proof) + 1,
                    proven, f"{beside} equal {beside}", found,
                ),
                flush=True,
            )  # fmt: skip
            if unit.open_proof:
                failed.append(unit.name)
            for verdict, wanted in ((proof, "proven"), (planted, "refuted")):
                if verdict is not None and verdict.result != wanted:
                    failed.append(unit.name)
                    print(verdict.log, file=sys.stderr)
    except FloreanaError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if failed:
        print(f"not proven: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
