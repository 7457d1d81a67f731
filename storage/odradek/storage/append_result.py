"""What became of an append. Part of the log's interface, apart from it because every door reads it."""

from __future__ import annotations

from typing import Final, NamedTuple

from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.batch_validator import RecordFault


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
