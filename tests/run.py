"""`make test`: all tests, in three calls of pytest.

What only computes, or runs nodes within its own process, is divided between all processors. What starts real processes
waits for them most of the time, so two such files go on at once, at most one of them with a cluster (see
tests/compat/conftest). What needs the machine for itself comes last, one test after the other.

All parts always run. Arguments go to each (`-k`, `-x`, ...); a part of which they leave nothing is no failure as long
as another one has something.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
NO_TESTS = 5

#: The longest tests first: the last minute of this part is then made of short ones.
COMPUTING = ("sim", "property", "doors", "scripts", "unit", "arch")
REAL_PROCESSES = ("compat", "languages")


def parts() -> dict[str, list[str]]:
    """The arguments of pytest for each part; a folder that is in neither list has the machine for itself."""
    computing, processes = ([f"tests/{name}" for name in names] for names in (COMPUTING, REAL_PROCESSES))
    return {
        "computing": ["-n", "auto", "--dist", "worksteal", *computing],
        "real processes": ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", *processes],
        "alone": ["tests", *(f"--ignore={folder}" for folder in computing + processes)],
    }


def main(arguments: Sequence[str]) -> int:
    """The exit code of pytest: that of the first part that failed."""
    codes = []
    told = []
    for name, chosen in parts().items():
        began = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-q", "-m", "not clients", *chosen, *arguments]
        codes.append(subprocess.run(command, cwd=ROOT, check=False).returncode)
        outcome = {0: "passed", NO_TESTS: "no tests"}.get(codes[-1], "FAILED")
        told.append(f"{name}: {outcome} in {time.monotonic() - began:.0f} s")
    sys.stdout.write("\n" + "\n".join(told) + "\n")
    failed = [code for code in codes if code not in (0, NO_TESTS)]
    return failed[0] if failed else min(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
