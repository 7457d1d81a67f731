"""Members of a group through the gRPC door: they come, read, commit what they have read, and leave.

Decides: what a member does and what the history says of it; see `kafka_member`, with whose members they share groups.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from random import Random
from time import monotonic_ns
from typing import Final

from odradek.client.consumer import Consumer
from odradek.client.errors import CommitFailedError, OdradekError
from odradek.client.records import TopicPartition
from odradek.jepsen.history import Type, Writer
from odradek.jepsen.outcomes import outcome
from odradek.jepsen.workloads.generator import Lives
from odradek.jepsen.workloads.grpc_client import error_name, sleep, within
from odradek.jepsen.workloads.grpc_reader import collect
from odradek.jepsen.workloads.pace import Pace
from odradek.jepsen.workloads.recorder import Recorder
from odradek.jepsen.workloads.spec import WorkerSpec, split_key

_MAX_RECORDS: Final = 500
_WAIT_MS: Final = 200
_CLOSE_S: Final = 5.0
_COMMIT_S: Final = 10.0


class GrpcMember:
    """One life. What is revoked is everything that the member has, since the door is told of all at once."""

    def __init__(self, spec: WorkerSpec, recorder: Recorder, group: str) -> None:
        self._recorder = recorder
        self._group = group
        self._moved: set[str] = set()
        topics = list(spec.topics)
        more = {"group": group}
        op = recorder.invoke("subscribe", topics, more)
        self._consumer = Consumer(
            spec.grpc,
            topics=topics,
            group_id=group,
            auto_commit=False,
            session_timeout_ms=6_000,
            client_id=recorder.process,
            on_assigned=self._on_assigned,
            on_revoked=self._on_revoked,
        )
        self._consumer.start()
        recorder.complete(op, "ok", "subscribe", topics, more=more)

    def _told(self, f: str, named: list[str]) -> None:
        self._moved.update(named)
        value = {"group": self._group, "member": self._recorder.process, "keys": named}
        self._recorder.remark(f, value)

    def _on_assigned(self, partitions: Sequence[TopicPartition]) -> None:
        self._told("assigned", [f"{topic}/{partition}" for topic, partition in partitions])

    def _on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self._told("revoked", [f"{topic}/{partition}" for topic, partition in partitions])

    async def poll(self) -> dict[str, int] | None:
        """Returns the next offset of each key of which there were records; None when this life is over."""
        more = {"group": self._group}
        op = self._recorder.invoke("poll", [["poll"]], more)
        try:
            polled = collect(await self._consumer.poll(_MAX_RECORDS, _WAIT_MS))
        except OdradekError as error:
            self._recorder.complete(op, "fail", "poll", [["poll"]], error_name(error), more)
            return None
        moved, self._moved = sorted(self._moved), set()
        self._recorder.complete(op, "ok", "poll", polled.value(), more=(polled.more(moved) or {}) | more)
        return {key: last + 1 for key, last in polled.last_offsets().items()}

    async def commit(self, offsets: Mapping[str, int]) -> None:
        """And wait for the answer."""
        value = {"group": self._group, "member": self._recorder.process, "offsets": dict(offsets)}
        op = self._recorder.invoke("commit", value)
        error: str | None = None
        kind: Type = "ok"
        try:
            async with asyncio.timeout(_COMMIT_S):
                await self._consumer.commit(
                    {TopicPartition(*split_key(key)): offset for key, offset in offsets.items()}
                )
        except CommitFailedError as failed:
            error = failed.reason
            # Some of the partitions may be committed all the same.
            kind = outcome("grpc", "commit", error, unknown_before=len(failed.failed) < len(offsets))
        except OdradekError as failed:
            error = error_name(failed)
            kind = outcome("grpc", "commit", error)
        except TimeoutError:
            error, kind = "NO_ANSWER", "info"
        self._recorder.complete(op, kind, "commit", value, error)

    async def leave(self) -> Recorder:
        """Returns the recorder of the next life."""
        op = self._recorder.invoke("crash")
        await within(_CLOSE_S, self._consumer.close())
        self._recorder.complete(op, "info", "crash", error="left")
        return self._recorder.successor()


async def _live(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> None:
    group = str(spec.options["group"])
    life_s, away_s = float(spec.options.get("life_s", 10.0)), float(spec.options.get("away_s", 1.0))
    lives = Lives(Random(spec.seed + spec.incarnation), life_s, away_s)
    recorder = Recorder(writer, spec.name)
    pace = Pace(spec.rate, monotonic_ns())
    while not stopping.is_set():
        member = GrpcMember(spec, recorder, group)
        end = monotonic_ns() + lives.stay_ns()
        while monotonic_ns() < end and not stopping.is_set():
            pace.due(monotonic_ns())
            pace.take(1)
            offsets = await member.poll()
            if offsets is None:
                break
            if offsets:
                await member.commit(offsets)
            await sleep(pace.wait_s(), stopping)
        recorder = await member.leave()
        await sleep(lives.away_s(), stopping)


def run(spec: WorkerSpec, writer: Writer, stopping: threading.Event) -> None:
    """Live one life after another. Options: "group", "life_s", "away_s"; see `kafka_member`."""
    asyncio.run(_live(spec, writer, stopping))
