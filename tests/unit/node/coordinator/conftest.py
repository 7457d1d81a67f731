"""Lets the tests import the coordinator without a clock: `from tests.scripts.group.world import World`."""

import sys
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parents[4])
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)
