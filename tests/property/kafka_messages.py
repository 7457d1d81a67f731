"""Strategies that make any message of any version from its schema.

`Values` says which values fields get: `ANY` covers the whole range of each type; a library that we compare
with refuses some of it. `EXAMPLES` is how many messages each version is tried with (`ODRADEK_CODEC_EXAMPLES`
in the environment).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from odradek.proto.kafka.api import APIS, request_class, response_class
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.layout import Item, layout_of
from odradek.proto.kafka.schema import Message, Struct

EXAMPLES = int(os.environ.get("ODRADEK_CODEC_EXAMPLES", "8"))

quick = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
"""Derandomized: a failure in a suite of this breadth must be the same on every machine."""


@dataclass(frozen=True)
class Values:
    largest_int64: int = 2**63 - 1
    smallest_int64: int = -(2**63)
    smallest_int32: int = -(2**31)
    known_error_codes: bool = False


ANY = Values()


def every_message() -> list[type[Message]]:
    return [cls for key in APIS for cls in (request_class(key), response_class(key))]


def all_versions(cls: type[Message]) -> range:
    return range(cls.INFO.versions.first, cls.INFO.versions.last + 1)


@cache
def messages(cls: type[Message], version: int, values: Values = ANY) -> st.SearchStrategy[Any]:
    """Messages whose fields outside of `version` have their defaults, so that they survive a round trip."""
    return _structures(cls, version, version >= cls.INFO.flexible_from, values)


def _structures(cls: type[Struct], version: int, flexible: bool, values: Values) -> st.SearchStrategy[Any]:
    layout = layout_of(cls, version, flexible)
    required = {item.name: _field(item, version, flexible, values) for item in layout.items}
    tagged = {item.name: _field(item, version, flexible, values) for _, item in layout.tagged}
    return st.fixed_dictionaries(required, optional=tagged).map(lambda fields: cls(**fields))


def _field(item: Item, version: int, flexible: bool, values: Values) -> st.SearchStrategy[Any]:
    if item.kind == "array":
        strategy = st.lists(_element(item.element, item.name, version, flexible, values), max_size=2)
    elif item.kind == "struct":
        strategy = _element(item.element, item.name, version, flexible, values)
    else:
        strategy = _element(item.kind, item.name, version, flexible, values)
    return st.none() | strategy if item.nullable else strategy


def _element(
    element: str | type[Struct], name: str, version: int, flexible: bool, values: Values
) -> st.SearchStrategy[Any]:
    if isinstance(element, type):
        return _structures(element, version, flexible, values)
    if element == "int16" and name.endswith("error_code") and values.known_error_codes:
        return st.sampled_from([int(code) for code in ErrorCode if code < ErrorCode.STREAMS_INVALID_TOPOLOGY])
    if element == "int32":
        return st.integers(values.smallest_int32, 2**31 - 1)
    if element == "int64":
        return st.integers(values.smallest_int64, values.largest_int64)
    return _SCALARS[element]


_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "int8": st.integers(-128, 127),
    "int16": st.integers(-(2**15), 2**15 - 1),
    "uint16": st.integers(0, 2**16 - 1),
    "boolean": st.booleans(),
    "float64": st.floats(allow_nan=False),
    "uuid": st.binary(min_size=16, max_size=16),
    "string": st.text(max_size=6) | st.just("long" * 40),
    "octets": st.binary(max_size=6) | st.just(bytes(200)),
    "records": st.binary(max_size=6) | st.just(bytes(200)),
}
