"""What became of an append. Part of the log's interface, apart from it because every door reads it."""

from __future__ import annotations

from typing import Final, NamedTuple

from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.batch_validator import RecordFault
from odradek.storage.log_config import LogConfig
from odradek.storage.producer_state import Duplicate


class AppendResult(NamedTuple):
    """One produced batch, or what was replicated at once. Offsets are -1 unless `error` is NONE."""

    error: ErrorCode
    base_offset: int = -1
    last_offset: int = -1
    log_append_time_ms: int = -1
    log_start_offset: int = -1
    duplicate: bool = False
    record_errors: tuple[RecordFault, ...] = ()
    error_message: str | None = None


UNAVAILABLE: Final = AppendResult(ErrorCode.KAFKA_STORAGE_ERROR)
"""The log directory is offline."""


def refused(verdict: Duplicate | ErrorCode, config: LogConfig, log_start_offset: int) -> AppendResult:
    """The answer to a batch that the producer state does not want: a duplicate is a success with its old offsets."""
    if isinstance(verdict, ErrorCode):
        return AppendResult(verdict)
    stamp_ms = verdict.timestamp if config.message_timestamp_type == "LogAppendTime" else -1
    return AppendResult(
        ErrorCode.NONE, verdict.base_offset, verdict.last_offset, stamp_ms, log_start_offset, duplicate=True
    )
