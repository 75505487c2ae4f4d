# SPDX-License-Identifier: Apache-2.0
"""python -m floreana"""

import sys

from floreana.cli import main

if __name__ == "__main__":
    sys.exit(main())
