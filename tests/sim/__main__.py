"""See `run`."""

import sys

from tests.sim.run import pinned_main

if __name__ == "__main__":
    sys.exit(pinned_main())
