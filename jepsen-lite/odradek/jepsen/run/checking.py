"""A history and what the replicas hold, through every checker.

Decides: which checkers run over which operations, and their names. Does not decide: what an anomaly is (`checkers`), nor
which ends a run as invalid (`checkers.verdict`).
"""

from __future__ import annotations
