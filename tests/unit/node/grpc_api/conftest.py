"""Lets the tests use what is shared between folders of tests: `from tests.scripts.group.node import Node`."""

import sys
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parents[4])
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)
