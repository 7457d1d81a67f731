"""Lets the scripts import what lies beside them: `from tests.unit.node.partition.cluster import ClusterWorld`."""

import sys
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parents[3])
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)
