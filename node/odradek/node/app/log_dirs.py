"""Log directories: what is in them, and moving a replica from one to another while it is served.

Decides: which moves are refused, how many run at once and how fast (`replica.alter.log.dirs.io.max.bytes.per.second`).
How a log is copied and changes places is the storage's (`future_log`, `LogDirs.finish_move`). A move lasts as long as
the process: one that a stop or a crash has interrupted is asked for again.

Source: KIP-113; Kafka 4.3 ReplicaManager.alterReplicaLogDirs, compared.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from odradek.node.partition.replicas import Partition, Replicas
from odradek.proto.kafka.errors import ErrorCode
from odradek.storage.disk import DiskError
from odradek.storage.future_log import NAME_MAX, FutureLog, SourceGoneError, future_name
from odradek.storage.log import PartitionLog
from odradek.storage.log_dir import LogDir
from odradek.storage.log_dirs import LogDirs

MOVES_AT_ONCE: Final = 2
STEP_BYTES: Final = 512 * 1024
"""Copied before the loop may do something else: about a millisecond."""
_UNIQUE_LENGTH: Final = 32

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DescribedDirectory:
    """One log directory: bytes in all and usable, and `(topic, partition, bytes)` of its logs.

    `futures` are the logs that are being moved here: `(topic, partition, bytes, records that are missing)`.
    """

    error: ErrorCode
    path: str
    total_bytes: int
    usable_bytes: int
    partitions: list[tuple[str, int, int]]
    futures: Sequence[tuple[str, int, int, int]] = ()


class LogDirsService:
    """`unique` makes 32 characters that no other move has; `rate` is in bytes per second, for all moves.

    Directories are told and named by their absolute paths, as Kafka's tools want it.
    """

    def __init__(
        self,
        replicas: Replicas,
        log_dirs: LogDirs,
        wall_ms: Callable[[], int],
        unique: Callable[[], str],
        rate: Callable[[], int],
    ) -> None:
        self._replicas = replicas
        self._log_dirs = log_dirs
        self._wall_ms = wall_ms
        self._unique = unique
        self._rate = rate
        self._turns = asyncio.Semaphore(MOVES_AT_ONCE)
        self._moves: set[asyncio.Task[None]] = set()
        self.on_moved: Callable[[PartitionLog], None] | None = None
        """Hears of each log that is in another directory now."""

    def directories(self, asked: Iterable[tuple[str, int]] | None) -> list[DescribedDirectory]:
        """Every directory, with the logs asked for (None: all of them)."""
        wanted = None if asked is None else frozenset(asked)
        return [
            DescribedDirectory(
                ErrorCode.NONE if described.online else ErrorCode.KAFKA_STORAGE_ERROR,
                os.path.abspath(described.path),
                described.total_bytes,
                described.usable_bytes,
                described.partitions,
                described.futures,
            )
            for described in self._log_dirs.describe(wanted)
        ]

    def move(self, path: str, topic: str, index: int) -> ErrorCode:
        """Begin to move a replica of this node to the log directory `path`, or to move it there instead.

        NONE when that is under way, or done. INVALID_TOPIC_EXCEPTION for a name too long for the copy's directory,
        LOG_DIR_NOT_FOUND, KAFKA_STORAGE_ERROR while a directory is offline, UNKNOWN_TOPIC_OR_PARTITION,
        REPLICA_NOT_AVAILABLE where the replica is on other nodes.
        """
        if len(future_name(f"{topic}-{index}", "0" * _UNIQUE_LENGTH)) > NAME_MAX:
            return ErrorCode.INVALID_TOPIC_EXCEPTION
        target = next((home for home in self._log_dirs.dirs if os.path.abspath(home.path) == path), None)
        if target is None:
            return ErrorCode.LOG_DIR_NOT_FOUND
        if target.error is not None:
            return ErrorCode.KAFKA_STORAGE_ERROR
        partition = self._replicas.get(topic, index) or self._replicas.open(topic, index, as_follower=True)
        if isinstance(partition, ErrorCode):
            elsewhere = partition is ErrorCode.NOT_LEADER_OR_FOLLOWER
            return ErrorCode.REPLICA_NOT_AVAILABLE if elsewhere else partition
        return self._move(partition, target)

    def _move(self, partition: Partition, target: LogDir) -> ErrorCode:
        source = partition.log
        under_way = self._log_dirs.future(source.topic, source.partition)
        if under_way is not None and under_way.target is target:
            return ErrorCode.NONE
        self._log_dirs.cancel_move(source.topic, source.partition)
        if source.home is target:
            return ErrorCode.NONE
        if source.is_offline or any(home.error is not None for home in self._log_dirs.dirs):
            return ErrorCode.KAFKA_STORAGE_ERROR  # the replica might be in the directory that is away
        if source.is_blank:
            self._replace(self._log_dirs.place(source, target))
            return ErrorCode.NONE
        future = self._log_dirs.begin_move(source, target, self._unique())
        task = asyncio.get_running_loop().create_task(self._carry_out(future))
        self._moves.add(task)
        task.add_done_callback(self._moves.discard)
        return ErrorCode.NONE

    async def stop(self) -> None:
        """End the moves under way; their copies are removed at the next start."""
        for task in self._moves:
            task.cancel()
        await asyncio.gather(*self._moves, return_exceptions=True)

    async def _carry_out(self, future: FutureLog) -> None:
        """The task boundary of a move: whatever happens to it, the log goes on."""
        source, path = future.source, future.target.path
        try:
            async with self._turns:
                await self._copy(future)
                moved = self._log_dirs.finish_move(future, self._wall_ms())
        except SourceGoneError:
            log.info("%s is not moved to %s any more", source.name, path)
        except DiskError as error:
            log.error("%s could not be moved to %s: %s", source.name, path, error)
            if self._log_dirs.future(source.topic, source.partition) is future:
                self._log_dirs.on_move_failed(future, error)
            self._fail_if_lost(source)
        except Exception:
            log.exception("%s could not be moved to %s", source.name, path)
            self._log_dirs.cancel_move(source.topic, source.partition)
        else:
            log.info("%s was moved from %s to %s", source.name, source.home.path, path)
            self._replace(moved)

    def _replace(self, moved: PartitionLog) -> None:
        self._replicas.replace_log(moved)
        if self.on_moved is not None:
            self.on_moved(moved)

    async def _copy(self, future: FutureLog) -> None:
        """Return when it is ready, in the same turn of the loop. Raises SourceGoneError, DiskError."""
        synced = asyncio.Event()
        future.on_synced = synced.set
        while not future.is_ready():
            copied = future.step(STEP_BYTES)
            if copied < STEP_BYTES:
                synced.clear()
                future.submit()
                await synced.wait()
            else:
                await asyncio.sleep(copied * MOVES_AT_ONCE / max(self._rate(), 1))

    def _fail_if_lost(self, source: PartitionLog) -> None:
        """The old log had to be given up before the new one could be used: what waits for it is answered."""
        if source.is_offline:
            self._replicas.on_log_dir_failure([source])
