"""Folders that tests of any kind share: the repository, and its cache of what was fetched or built once."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
