"""Derived from kafka-clients-4.4.0 by `proto/tools/derive_messages.py`: sasl.

Do not edit. The notation is explained in `odradek.proto.kafka.schema`.
"""

from __future__ import annotations

from odradek.proto.kafka.schema import (
    Message,
    array,
    int16,
    int64,
    octets,
    string,
)


class SaslHandshakeRequest(Message, key=17, versions="0-1"):
    mechanism: str = string("0+")


class SaslHandshakeResponse(Message, key=17, versions="0-1"):
    error_code: int = int16("0+")
    mechanisms: list[str] = array(string, "0+")


class SaslAuthenticateRequest(Message, key=36, versions="0-2", flexible="2+"):
    auth_bytes: bytes = octets("0+")


class SaslAuthenticateResponse(Message, key=36, versions="0-2", flexible="2+"):
    error_code: int = int16("0+")
    error_message: str | None = string("0+", nullable="0+")
    auth_bytes: bytes = octets("0+")
    session_lifetime_ms: int = int64("1+")
