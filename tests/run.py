"""`make test`: all tests, in two calls of pytest.

What only computes, or runs nodes within its own process, runs first, on every processor at once. What starts real
processes, waits for them and hurts them has the machine for itself afterwards, one test after the other.

Both parts always run. Arguments go to both (`-k`, `-x`, ...); a part of which they leave nothing is no failure as long
as the other has something.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: The longest tests first: the last minute of this part is then made of short ones.
COMPUTING = ("sim", "property", "doors", "scripts", "unit", "arch")
NO_TESTS = 5


def main(arguments: Sequence[str]) -> int:
    """The exit code of pytest: that of the first part that failed."""
    folders = [f"tests/{name}" for name in COMPUTING]
    parts = {
        "computing": ["-n", "auto", "--dist", "worksteal", *folders],
        "real processes": ["tests", *(f"--ignore={folder}" for folder in folders)],
    }
    codes = {}
    told = []
    for name, chosen in parts.items():
        began = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-q", "-m", "not clients", *chosen, *arguments]
        codes[name] = subprocess.run(command, cwd=ROOT, check=False).returncode
        outcome = {0: "passed", NO_TESTS: "no tests"}.get(codes[name], "FAILED")
        told.append(f"{name}: {outcome} in {time.monotonic() - began:.0f} s")
    sys.stdout.write("\n" + "\n".join(told) + "\n")
    bad = [code for code in codes.values() if code not in (0, NO_TESTS)]
    return bad[0] if bad else min(codes.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
