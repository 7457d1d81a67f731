"""A duplicate is a success with its old offsets; anything else is its error."""

from __future__ import annotations

from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.append_result import UNAVAILABLE, AppendResult, refused
from odradek.storage.log_config import LogConfig
from odradek.storage.producer_state import Duplicate


def test_refused() -> None:
    duplicate = Duplicate(10, 12, 777)
    assert refused(duplicate, LogConfig(), 3) == AppendResult(ErrorCode.NONE, 10, 12, -1, 3, duplicate=True)
    by_broker = LogConfig(message_timestamp_type="LogAppendTime")
    assert refused(duplicate, by_broker, 3).log_append_time_ms == 777
    assert refused(ErrorCode.INVALID_PRODUCER_EPOCH, LogConfig(), 3) == AppendResult(
        ErrorCode.INVALID_PRODUCER_EPOCH
    )
    assert (UNAVAILABLE.error, UNAVAILABLE.base_offset) == (ErrorCode.KAFKA_STORAGE_ERROR, -1)
