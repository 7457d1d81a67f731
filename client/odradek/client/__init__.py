"""The Python client of Odradek: producer, consumer and admin over gRPC, for asyncio.

Names are imported at first use: what only wants an error does not load gRPC.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odradek.client.admin import Admin as Admin
    from odradek.client.consumer import Consumer as Consumer
    from odradek.client.errors import (
        AccessDeniedError,
        CallTimeoutError,
        ClosedError,
        CommitFailedError,
        DeliveryTimeoutError,
        FencedError,
        GroupNotEmptyError,
        InvalidRecordError,
        InvalidRequestError,
        NodeUnavailableError,
        NotControllerError,
        NotEnoughReplicasError,
        OdradekError,
        OffsetOutOfRangeError,
        RecordTooLargeError,
        SequenceError,
        TopicExistsError,
        UnknownGroupError,
        UnknownTopicError,
    )
    from odradek.client.producer import Producer as Producer
    from odradek.client.records import ConsumerRecord, Position, RecordMetadata, TopicPartition

__all__ = [
    "AccessDeniedError",
    "Admin",
    "CallTimeoutError",
    "ClosedError",
    "CommitFailedError",
    "Consumer",
    "ConsumerRecord",
    "DeliveryTimeoutError",
    "FencedError",
    "GroupNotEmptyError",
    "InvalidRecordError",
    "InvalidRequestError",
    "NodeUnavailableError",
    "NotControllerError",
    "NotEnoughReplicasError",
    "OdradekError",
    "OffsetOutOfRangeError",
    "Position",
    "Producer",
    "RecordMetadata",
    "RecordTooLargeError",
    "SequenceError",
    "TopicExistsError",
    "TopicPartition",
    "UnknownGroupError",
    "UnknownTopicError",
]

_MODULES = {
    "Admin": "admin",
    "Consumer": "consumer",
    "ConsumerRecord": "records",
    "Position": "records",
    "Producer": "producer",
    "RecordMetadata": "records",
    "TopicPartition": "records",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_MODULES.get(name, 'errors')}")
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
