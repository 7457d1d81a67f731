"""See `run`."""

import sys

from tests.sim.run import main, pin_hashes

if __name__ == "__main__":
    pin_hashes("tests.sim")
    sys.exit(main())
