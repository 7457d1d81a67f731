"""Every message that kafka-python knows, compared with it by field name; its schemas come from the same
definitions, its codec does not.

kafka-python reads zero uuids, absent tagged fields and unset bit fields as None.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from kafka.protocol.api_message import ApiMessage
from tests.property.kafka_messages import all_versions, every_message, messages, quick

from odradek.proto.kafka.codec import decode_exactly, encode_to_bytes
from odradek.proto.kafka.layout import layout_of
from odradek.proto.kafka.messages.api_versions import ApiVersionsResponse
from odradek.proto.kafka.schema import ZERO_UUID, Message, Struct

for family in ("admin", "consumer", "metadata", "producer", "sasl"):
    import_module(f"kafka.protocol.{family}")


def subclasses(cls: Any) -> Iterator[Any]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


THEIRS: dict[str, Any] = {cls.__name__: cls for cls in subclasses(ApiMessage)}


RENAMED = {
    "cluster_authorized_operations": "authorized_operations",
    "topic_authorized_operations": "authorized_operations",
    "generation_id_or_member_epoch": "generation_id",
}
"""Fields to which kafka-python gives a name of its own, or an older one."""


def differences(mine: Any, theirs: Any, version: int, flexible: bool, path: str) -> Iterator[str]:
    if isinstance(mine, Struct) and theirs is not None:
        layout = layout_of(type(mine), version, flexible)
        for item in (*layout.items, *(item for _, item in layout.tagged)):
            name = item.name if hasattr(theirs, item.name) else RENAMED[item.name]
            inner = f"{path}.{item.name}"
            yield from differences(getattr(mine, item.name), getattr(theirs, name), version, flexible, inner)
    elif isinstance(mine, list) and isinstance(theirs, list):
        if len(mine) != len(theirs):
            yield f"{path}: {len(mine)} elements, not {len(theirs)}"
        for position, (left, right) in enumerate(zip(mine, theirs)):
            yield from differences(left, right, version, flexible, f"{path}[{position}]")
    elif not same(mine, theirs):
        yield f"{path}: {mine!r}, not {theirs!r}"


def same(mine: Any, theirs: Any) -> bool:
    if isinstance(theirs, UUID):
        return bool(mine == theirs.bytes)
    if isinstance(theirs, set):  # a bit field
        return bool(mine & 0xFFFFFFFF == sum(1 << bit for bit in theirs))
    if theirs is None:
        if isinstance(mine, Struct):
            return all(getattr(mine, field.name) == field.default for field in mine.FIELDS)
        return mine in (None, ZERO_UUID, -(2**31), [])
    return bool(mine == theirs)


def compare_version(cls: type[Message], version: int, theirs: Any) -> None:
    flexible = version >= cls.INFO.flexible_from

    @quick
    @given(messages(cls, version))
    def compare(message: Message) -> None:
        if isinstance(message, ApiVersionsResponse):
            message.error_code = 0  # with any other, kafka-python reads version 0, whatever was asked for
        encoded = encode_to_bytes(message, version)
        read = theirs.decode(encoded, version=version)
        mine = decode_exactly(cls, version, encoded)
        assert list(differences(mine, read, version, flexible, cls.__name__)) == []
        if type(read).encode is ApiMessage.encode:  # DeleteTopicsRequest rewrites itself first
            assert bytes(read.encode()) == encoded

    compare()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "cls", [cls for cls in every_message() if cls.__name__ in THEIRS], ids=lambda cls: cls.__name__
)
def test_kafka_python_reads_and_writes_the_same(cls: type[Message]) -> None:
    theirs = THEIRS[cls.__name__]
    for version in all_versions(cls):
        if version <= theirs.valid_versions[1]:
            compare_version(cls, version, theirs)


def test_kafka_python_knows_what_is_served() -> None:
    assert sum(cls.__name__ in THEIRS for cls in every_message()) >= 100
