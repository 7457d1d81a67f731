"""pytest in a process of its own, with the plugin of `odradek.testing` and without this project's settings."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

PLUGIN = "odradek.testing.pytest_plugin"
# The entry point loads it where the distribution was installed after it had one.
LOADS = [] if any(one.value == PLUGIN for one in entry_points(group="pytest11")) else ["-p", PLUGIN]


def run_pytest(folder: Path, *arguments: str, plugins: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the tests of a folder. Without `plugins` there is no pytest-asyncio."""
    own = [] if plugins else ["-p", "no:asyncio"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *LOADS, *own, *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)
