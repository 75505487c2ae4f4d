# SPDX-License-Identifier: Apache-2.0
"""Compare the integer model with the published I-BERT code and the float model with BertModel (docs/peer.md).

Makes .venv-peer where it is not there, prints how much that fetches, then the table. Exit codes: 0 equal or explained,
1 something differs without a reason, 2 bad option, 3 environment.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from floreana.environment import cache_folder, project_root
from floreana.errors import FloreanaError, InputError
from floreana.ibert.source import fetch_minilm
from floreana.peer import environment

SEEDS, QUICK_SEEDS = 20, 4


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options; what make passes as empty text counts as not given."""
    parser = argparse.ArgumentParser(
        prog="floreana.peer", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--seeds", default="", help=f"cases: default {SEEDS}, {QUICK_SEEDS} with --quick")
    parser.add_argument("--quick", action="store_true", help="small sizes only")
    parser.add_argument("--torch-index", default="", help=f"package index to take torch from, for example {environment.CPU_INDEX}")
    parser.add_argument("--relock", action="store_true", help=f"write {environment.LOCK_FILE} anew and stop")
    args = parser.parse_args(argv)
    found = []
    if args.seeds and not (args.seeds.isascii() and args.seeds.isdigit() and 1 <= int(args.seeds) <= 10000):
        found.append(f"SEEDS is {args.seeds!r}, a number from 1 to 10000 is needed")
    if args.torch_index and not args.torch_index.startswith(("https://", "http://", "file://")):
        found.append(f"TORCH_INDEX is {args.torch_index!r}, the address of a package index is needed, for example {environment.CPU_INDEX}")
    if found:
        raise InputError("; ".join(found))
    args.seeds = int(args.seeds or (QUICK_SEEDS if args.quick else SEEDS))
    return args


def main(argv: Sequence[str] | None = None) -> int:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    root = project_root()
    try:
        args = parse(argv)
        if args.relock:
            environment.write_lock(root)
            return 0
        python = environment.ensure(root, args.torch_index or None)
        model = fetch_minilm(cache_folder())
        texts = Path(__file__).parents[1] / "ibert" / "texts" / "sentences.txt"
        arguments = ["--seeds", args.seeds, *(["--quick"] if args.quick else []), "--model", model, "--texts", texts]
        return environment.run_compare(python, root, arguments)
    except FloreanaError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\ninterrupted: nothing half-made is left", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
