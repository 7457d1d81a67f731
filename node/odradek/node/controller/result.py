"""What a pure controller operation returns: records to agree on, and the answer once they are agreed.

An operation changes nothing. The shell proposes the records, and sends the response only after they have been
committed and applied; an operation without records answers from what was committed before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from odradek.node.controller.records import Record

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Result(Generic[R]):
    records: Sequence[Record]
    response: R
