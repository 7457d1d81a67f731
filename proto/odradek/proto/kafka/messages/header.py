"""Derived from kafka-clients-4.4.0 by `proto/tools/derive_messages.py`: header.

Do not edit. The notation is explained in `odradek.proto.kafka.schema`.
"""

from __future__ import annotations

from odradek.proto.kafka.schema import (
    Message,
    int16,
    int32,
    string,
)


class RequestHeader(Message, versions="1-2", flexible="2+"):
    request_api_key: int = int16("0+")
    request_api_version: int = int16("0+")
    correlation_id: int = int32("0+")
    client_id: str | None = string("1+", nullable="1+", flexible="none")


class ResponseHeader(Message, versions="0-1", flexible="1+"):
    correlation_id: int = int32("0+")
