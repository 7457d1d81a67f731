"""Lets these tests import what is shared beside them: `from tests.unit.raft import raft_cluster`."""

import os
import sys
from pathlib import Path

# As the transport sets it, before any test imports gRPC.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

_ROOT = str(Path(__file__).resolve().parents[3])
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)
