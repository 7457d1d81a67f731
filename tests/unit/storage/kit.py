"""What the storage tests share: batches, and a node's storage on a disk in memory that can be crashed."""

from __future__ import annotations

from random import Random

from odradek.proto.kafka.record_batch import Record, build_batch, iter_headers
from odradek.storage.append_result import AppendResult
from odradek.storage.disk import Disk, DiskError
from odradek.storage.flusher import SteppedFlusher
from odradek.storage.log import PartitionLog
from odradek.storage.log_config import LogConfig
from odradek.storage.log_dir import LogDir
from odradek.storage.log_dirs import LogDirs
from odradek.storage.memory_disk import MemoryDisk

TOPIC_ID = bytes(range(16))
NOW_MS = 1_700_000_000_000
SMALL = LogConfig(segment_bytes=1000, index_interval_bytes=150)


def batch(
    count: int = 1,
    *,
    base_offset: int = 0,
    timestamp: int = NOW_MS,
    value: bytes = b"value",
    codec: int = 0,
    producer: tuple[int, int, int] | None = None,
    leader_epoch: int = 0,
) -> bytearray:
    """A batch of `count` records, 1 ms apart. `producer` is (id, epoch, first sequence)."""
    records = [Record(base_offset + i, timestamp + i, None, value) for i in range(count)]
    producer_id, producer_epoch, sequence = producer or (-1, -1, -1)
    return build_batch(
        records,
        codec=codec,
        base_offset=base_offset,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=sequence,
        leader_epoch=leader_epoch,
    )


class Storage:
    """One node's log directories on one disk. Nothing is flushed before `flush` is called."""

    def __init__(self, disk: Disk | None = None, paths: tuple[str, ...] = ("data",)) -> None:
        self.memory = MemoryDisk()
        self.disk: Disk = self.memory if disk is None else disk
        self.paths = paths
        self.failures: list[tuple[LogDir, DiskError]] = []
        self.dirs = self._start()

    def _start(self) -> LogDirs:
        dirs = LogDirs(
            self.disk,
            self.paths,
            lambda step: None,
            flusher=SteppedFlusher,
            on_log_dir_failure=lambda home, error: self.failures.append((home, error)),
        )
        dirs.start(NOW_MS)
        return dirs

    def open(self, config: LogConfig = SMALL, topic: str = "t", partition: int = 0) -> PartitionLog:
        return self.dirs.open(topic, partition, TOPIC_ID, config)

    def flush(self) -> None:
        """One round of every flusher."""
        for home in self.dirs.dirs:
            flusher = home.flusher
            assert isinstance(flusher, SteppedFlusher)
            flusher.step()

    def restart(self) -> None:
        """Stop cleanly and start again."""
        self.dirs.close()
        self.dirs = self._start()

    def kill(self) -> None:
        """Kill the process: what was written is still in the page cache."""
        self.dirs.release_locks()
        self.dirs = self._start()

    def crash(self, rng: Random | None = None) -> None:
        """Cut the power and start again."""
        self.memory.crash(rng)
        self.dirs = self._start()


def append(
    log: PartitionLog, count: int = 1, *, timestamp: int = NOW_MS, value: bytes = b"value"
) -> AppendResult:
    """Append `count` records in one batch and expect success."""
    result = log.append_as_leader(batch(count, timestamp=timestamp, value=value), 0, NOW_MS)
    assert result.error == 0, result
    return result


def read_all(log: PartitionLog, max_bytes: int = 400) -> list[tuple[int, int]]:
    """(base offset, last offset) of every batch from the log start to the end, read in pieces."""
    found: list[tuple[int, int]] = []
    offset = log.log_start_offset
    while offset < log.log_end_offset:
        data = log.read(offset, max_bytes, log.log_end_offset)
        assert not isinstance(data, int), f"read at {offset}: {data!r}"
        headers = [header for _, header in iter_headers(data)]
        assert headers, f"nothing at {offset}, the log ends at {log.log_end_offset}"
        assert headers[0].base_offset <= offset <= headers[0].last_offset
        assert sum(header.size for header in headers) == len(data), "a batch is cut off"
        found += [(header.base_offset, header.last_offset) for header in headers]
        offset = headers[-1].last_offset + 1
    return found
