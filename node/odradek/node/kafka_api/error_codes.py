"""Whether an answer has a certain error anywhere in it, whatever its API.

Decides nothing. A node that passes a request on must see that the other one could not act (NOT_CONTROLLER), and
each API has its errors at another place. Which fields of a structure can lead to an `error_code` follows from the
declarations of the messages and is found out once per class, so the ten thousand topics of an answer cost two
attribute reads each, and their configs none. Pure.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.schema import Struct, resolve

_ERROR: Final = "error_code"


def has_error(structure: Struct, error: ErrorCode) -> bool:
    """True if a field called `error_code` of the structure, or of one inside it, is `error`."""
    own, lists, structs = _paths(type(structure))
    if own and getattr(structure, _ERROR) == error:
        return True
    for name in structs:
        inner = getattr(structure, name)
        if inner is not None and has_error(inner, error):
            return True
    return any(has_error(inner, error) for name in lists for inner in getattr(structure, name) or ())


@cache
def _paths(cls: type[Struct]) -> tuple[bool, tuple[str, ...], tuple[str, ...]]:
    """(has an error itself, lists of structures that have one, structures that have one)."""
    own = False
    found: dict[str, list[str]] = {"array": [], "struct": []}
    for field in cls.FIELDS:
        own = own or field.name == _ERROR
        if field.kind in found:
            element = resolve(cls, field)
            if isinstance(element, type) and any(_paths(element)):
                found[field.kind].append(field.name)
    return own, tuple(found["array"]), tuple(found["struct"])
