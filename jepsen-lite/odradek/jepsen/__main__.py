"""`python -m odradek.jepsen`; see `cli`."""

from __future__ import annotations

import sys

from odradek.jepsen.cli import main

if __name__ == "__main__":
    sys.exit(main())
