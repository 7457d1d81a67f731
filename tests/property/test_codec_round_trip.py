"""Every message, every version: what is encoded is decoded, with nothing lost and nothing left over."""

from __future__ import annotations

import pytest
from hypothesis import given
from tests.property.kafka_messages import all_versions, every_message, messages, quick

from odradek.proto.kafka.codec import decode_exactly, encode, encode_to_bytes
from odradek.proto.kafka.schema import Message


@pytest.mark.parametrize("cls", every_message(), ids=lambda cls: cls.__name__)
def test_every_version_decodes_to_what_was_encoded(cls: type[Message]) -> None:
    for version in all_versions(cls):
        check_version(cls, version)


def check_version(cls: type[Message], version: int) -> None:
    @quick
    @given(messages(cls, version))
    def check(message: Message) -> None:
        encoded = encode_to_bytes(message, version)
        assert decode_exactly(cls, version, encoded) == message
        moved = b"header" + encoded
        assert decode_exactly(cls, version, memoryview(bytearray(moved)), 6) == message
        assert b"".join(encode(decode_exactly(cls, version, bytearray(encoded)), version)) == encoded

    check()
