"""What changes the segments of a loaded log without changing its records: roll, and deletion of old segments.

Decides: the order of the steps, such that a failure or a crash between any two leaves a whole log. Does not
decide when (`log`), what is full (`segments.must_roll`) or what is old (`retention`). Everything raises
DiskError.
"""

from __future__ import annotations

from odradek.storage.local_log import LocalLog
from odradek.storage.log_config import LogConfig
from odradek.storage.producer_snapshots import StoredProducers
from odradek.storage.retention import plan_retention


def roll(local: LocalLog, producers: StoredProducers, now_ms: int) -> None:
    """Begin a new segment at the log end, unless the active one is empty. DiskFullError: nothing changed."""
    if local.active.size:
        local.finish_active()
        producers.save(local)
        local.begin_segment(now_ms)


def roll_jitter_ms(topic: str, partition: int, config: LogConfig) -> int:
    """What is added to the age of a segment, so that logs made together do not roll together."""
    jitter = config.segment_jitter_ms
    # Any fixed number per partition spreads the rolls; no random generator is needed.
    return (partition * 0x9E3779B1 + len(topic)) % jitter if jitter > 0 else 0


def drop_old_segments(
    local: LocalLog,
    producers: StoredProducers,
    config: LogConfig,
    log_start_offset: int,
    high_watermark: int,
    now_ms: int,
) -> tuple[int, int]:
    """Delete the segments nobody wants any more. (log start offset now, when there may be more to delete).

    `high_watermark`: nothing from there on is deleted; -1 for the log end.
    """
    end = local.end_offset
    limit = end if high_watermark < 0 else min(high_watermark, end)
    plan = plan_retention(local.summaries(), config, log_start_offset, limit, now_ms)
    if plan.delete_count:
        if plan.delete_count == len(local.segments):
            roll(local, producers, now_ms)
        log_start_offset = max(log_start_offset, local.segments[plan.delete_count].base_offset)
        local.drop_oldest(plan.delete_count, now_ms + config.file_delete_delay_ms)
    return log_start_offset, plan.next_check_ms
