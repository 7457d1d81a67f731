"""What a checker reports.

Decides: the shape of an anomaly. Does not decide: which anomalies end a run as invalid (`verdict`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from odradek.jepsen.history import Event


class Anomaly(NamedTuple):
    """`kind` is Jepsen's name; `detail` says in a sentence what is wrong, `evidence` are the events that prove it.

    `data` holds the same for programs (key, offset, values, ...), made of what JSON can hold.
    """

    kind: str
    detail: str
    evidence: Sequence[Event] = ()
    data: Any = None
