"""Every message that kio knows, compared with it: it reads the bytes we write, field by field the same, and
what it writes is what we wrote.

kio gives some fields richer types (durations, points in time, enumerations): `plain` takes them back, and the
values are kept where those types can hold them.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from kio.index import UnknownAPIKey, UnknownEntity, load_request_schema, load_response_schema
from kio.serial import entity_reader, entity_writer
from tests.property.kafka_messages import Values, all_versions, every_message, messages, quick

from odradek.proto.kafka.codec import decode_exactly, encode_to_bytes
from odradek.proto.kafka.layout import layout_of
from odradek.proto.kafka.schema import ZERO_UUID, Message, Struct

REPRESENTABLE = Values(largest_int64=2**40, smallest_int64=0, smallest_int32=-(2**31), known_error_codes=True)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MILLISECOND = datetime.timedelta(milliseconds=1)


def kio_class(cls: type[Message], version: int) -> Any:
    """kio's class for one version, or None."""
    load: Callable[[int, int], Any] = (
        load_request_schema if cls.__name__.endswith("Request") else load_response_schema
    )
    try:
        return load(cls.INFO.key or 0, version)
    except (UnknownEntity, UnknownAPIKey):
        return None


def plain(value: Any) -> Any:
    """A value of kio as ours would be: entities as lists of fields in order."""
    if isinstance(value, tuple):
        return [plain(element) for element in value]
    if isinstance(value, datetime.timedelta):
        return value // _MILLISECOND
    if isinstance(value, datetime.datetime):
        return (value - _EPOCH) // _MILLISECOND
    if isinstance(value, UUID):
        return value.bytes
    if isinstance(value, Enum):
        return value.value
    if hasattr(value, "__dataclass_fields__"):
        return [plain(getattr(value, name)) for name in value.__slots__]
    return value


def ours(message: Struct, version: int, flexible: bool) -> list[Any]:
    """The fields of the version in order of declaration, structures as lists."""
    layout = layout_of(type(message), version, flexible)
    present = {item.name for item in layout.items} | {item.name for _, item in layout.tagged}
    return [
        unfolded(getattr(message, field.name), version, flexible)
        for field in type(message).FIELDS
        if field.name in present
    ]


def unfolded(value: Any, version: int, flexible: bool) -> Any:
    if isinstance(value, Struct):
        return ours(value, version, flexible)
    if isinstance(value, list):
        return [unfolded(element, version, flexible) for element in value]
    return bytes(value) if isinstance(value, memoryview) else value


def same(mine: Any, theirs: Any) -> bool:
    """kio reads a zero uuid as None, and a point in time of -1 as None."""
    if isinstance(mine, list) and isinstance(theirs, list):
        return len(mine) == len(theirs) and all(map(same, mine, theirs))
    if theirs is None:
        return mine in (None, ZERO_UUID, -1)
    return bool(mine == theirs)


def compare_version(cls: type[Message], version: int, theirs: Any) -> None:
    read, write = entity_reader(theirs), entity_writer(theirs)
    flexible = version >= cls.INFO.flexible_from

    @quick
    @given(messages(cls, version, REPRESENTABLE))
    def compare(message: Message) -> None:
        encoded = encode_to_bytes(message, version)
        entity, end = read(encoded, 0)
        assert end == len(encoded)
        mine = ours(decode_exactly(cls, version, encoded), version, flexible)
        assert same(mine, plain(entity)), f"{mine}\n{plain(entity)}"
        written = io.BytesIO()
        write(written, entity)
        assert written.getvalue() == encoded

    compare()


@pytest.mark.parametrize("cls", every_message(), ids=lambda cls: cls.__name__)
def test_kio_reads_and_writes_the_same(cls: type[Message]) -> None:
    known = [(version, theirs) for version in all_versions(cls) if (theirs := kio_class(cls, version))]
    assert known or cls.INFO.key in (93, 94), "kio does not know the message at all"
    for version, theirs in known:
        compare_version(cls, version, theirs)
