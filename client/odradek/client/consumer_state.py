"""What a consumer knows and wants, across the streams that it opens one after another.

Decides: where partitions are read on after a stream broke, what the node is told and when, which records are
acknowledged. Does not decide: when a stream is opened, or where. Pure: `now_ms` is an argument, in ms of one steady
clock. Inputs are what callers ask for and what the node says; outputs are requests (`take_requests`), events for
callbacks (`take_events`), and outcomes of commits and seeks, told to promises.

Positions outlive streams. A member of a group whose place was kept (the same generation) reads on behind the last
record that it handed out; if the group was divided anew meanwhile, not before what the group has committed. Nothing
is skipped: where the node would begin elsewhere it is told to seek.

Credit: what is handed out or dropped is granted again, in lots of half the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

from odradek.client.consumer_partition import UNKNOWN, Buffer, PartitionProgress
from odradek.client.consumer_plan import Plan
from odradek.client.errors import CommitFailedError, InvalidRequestError, OdradekError
from odradek.client.records import ConsumerRecord, Position, TopicPartition
from odradek.v1 import record_service_pb2 as pb

ACKNOWLEDGE_DELAY_MS: Final = 100
"""Acknowledgements are gathered for so long."""
_NO_GENERATION: Final = -1

EventKind: TypeAlias = Literal["assigned", "revoked"]


class Event(NamedTuple):
    """Something that callers may want to hear of."""

    kind: EventKind
    partitions: tuple[TopicPartition, ...]


class Promise(Protocol):
    """What is told how a commit or a seek fared: an `asyncio.Future`, in production."""

    def done(self) -> bool: ...
    def set_result(self, result: Any, /) -> None: ...
    def set_exception(self, exception: BaseException, /) -> None: ...


class ConsumerState:
    """See the module."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._partitions: dict[TopicPartition, PartitionProgress] = {}
        self._buffer = Buffer()
        self._generation = _NO_GENERATION
        self._is_assigned = False
        """This stream said what it reads: requests that speak of partitions make sense."""
        self._is_revoking = False
        self._was_told_revoked = False
        self._outbox: list[pb.ConsumeRequest] = []
        self._events: list[Event] = []
        self._credit_due = 0
        self._credit_lot = max(1, plan.credit // 2)
        self._handed: dict[PartitionProgress, int] = {}
        self._unsent: dict[PartitionProgress, None] = {}
        self._unsent_since_ms: int | None = None
        self._has_acknowledged = False
        self._commits: dict[int, tuple[dict[TopicPartition, int], Promise]] = {}
        self._seeks: dict[int, tuple[TopicPartition, Promise | None]] = {}
        self._last_id = 0

    # -- what callers see and ask for

    @property
    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._partitions)

    @property
    def buffered(self) -> int:
        """Records that can be taken."""
        return len(self._buffer)

    def progress(self, tp: TopicPartition) -> PartitionProgress:
        """InvalidRequestError: not assigned to this consumer."""
        found = self._partitions.get(TopicPartition(*tp))
        if found is None:
            raise InvalidRequestError(
                "INVALID_REQUEST", f"{tp[0]}-{tp[1]} is not assigned to this consumer", 42
            )
        return found

    def take(self) -> ConsumerRecord | None:
        """The next record. None: there is none at the moment."""
        taken = self._buffer.take()
        if taken is None:
            return None
        progress, record = taken
        self._handed[progress] = record.offset + 1
        self._credit_due += 1
        return record

    def acknowledge_handed(self, now_ms: int) -> None:
        """All that was handed out is dealt with."""
        if self._handed:
            if self._plan.can_commit:
                for progress, offset in self._handed.items():
                    self._acknowledge(progress, offset, now_ms)
            self._handed.clear()

    def acknowledge(self, record: ConsumerRecord, now_ms: int) -> None:
        """This record, and all before it in its partition, are dealt with. Nothing if the partition is gone."""
        progress = self._partitions.get(TopicPartition(record.topic, record.partition))
        if progress is not None and self._plan.can_commit:
            self._has_acknowledged = True
            self._acknowledge(progress, record.offset + 1, now_ms)

    def _acknowledge(self, progress: PartitionProgress, offset: int, now_ms: int) -> None:
        if progress.acknowledged is not None and offset <= progress.acknowledged:
            return
        progress.acknowledged = offset
        self._unsent[progress] = None
        if self._unsent_since_ms is None:
            self._unsent_since_ms = now_ms

    def commit(self, offsets: Mapping[TopicPartition, int] | None, promise: Promise) -> None:
        """Commit these offsets, or without any what was acknowledged; where nothing ever was acknowledged one by
        one, all that was handed out. The promise gets None, or CommitFailedError."""
        if offsets is None:
            wanted = {
                tp: at for tp, one in self._partitions.items() if (at := self._commit_place(one)) is not None
            }
        else:
            wanted = {TopicPartition(*tp): offset for tp, offset in offsets.items()}
        if not wanted:
            promise.set_result(None)
            return
        for tp, offset in wanted.items():
            progress = self._partitions.get(tp)
            if progress is not None:
                progress.acknowledged = offset
                self._unsent.pop(progress, None)
        request_id = self._next_id()
        self._commits[request_id] = (wanted, promise)
        if self._is_assigned:
            self._outbox.append(_commit_request(request_id, wanted))

    def _commit_place(self, progress: PartitionProgress) -> int | None:
        if self._has_acknowledged or self._plan.auto_commit:
            return progress.acknowledged
        return self._handed.get(progress)

    def seek(self, tp: TopicPartition, position: Position, promise: Promise) -> None:
        """Read on from there. The promise gets the offset. InvalidRequestError: not assigned."""
        progress = self.progress(tp)
        progress.acknowledged = None
        self._unsent.pop(progress, None)
        self._handed.pop(progress, None)
        if position.kind == "offset":
            progress.position = position.value
        self._seek(progress, position, promise)

    def _seek(self, progress: PartitionProgress, position: Position, promise: Promise | None = None) -> None:
        self._credit_due += self._buffer.drop(progress)
        request_id = self._next_id()
        progress.seek = (request_id, position)
        progress.has_dropped = False
        self._seeks[request_id] = (progress.tp, promise)
        if self._is_assigned:
            self._outbox.append(_seek_request(request_id, progress.tp, position))

    def pause(self, tps: Iterable[TopicPartition]) -> None:
        """Hand out nothing of these until they are resumed. InvalidRequestError: not assigned."""
        paused = [one for one in [self.progress(tp) for tp in tps] if not one.is_paused]
        for progress in paused:
            progress.is_paused = True
            dropped = self._buffer.drop(progress)
            progress.has_dropped = dropped > 0
            self._credit_due += dropped
        if paused and self._is_assigned:
            self._outbox.append(_pause_request(paused))

    def resume(self, tps: Iterable[TopicPartition]) -> None:
        """InvalidRequestError: not assigned."""
        resumed = [one for one in [self.progress(tp) for tp in tps] if one.is_paused]
        request = pb.ConsumeRequest()
        for progress in resumed:
            progress.is_paused = False
            if progress.has_dropped and progress.seek is None:
                self._seek(progress, Position.at(progress.position))
            request.resume.partitions.add(topic=progress.tp.topic, partition=progress.tp.partition)
        if resumed and self._is_assigned:
            self._outbox.append(request)

    # -- the stream

    def first_request(self) -> pb.ConsumeRequest:
        """Opens a stream, and grants a whole window of credit."""
        places = {tp: one.place for tp, one in self._partitions.items()}
        return self._plan.first_request({tp: place for tp, place in places.items() if place is not None})

    def on_disconnected(self) -> None:
        """The stream is gone, and with it all that was under way."""
        self._buffer.clear()
        self._outbox.clear()
        self._credit_due = 0
        self._is_assigned = False
        self._is_revoking = False
        for progress in self._partitions.values():
            progress.has_dropped = False

    def on_response(self, response: pb.ConsumeResponse) -> None:
        """What the node says."""
        kind = response.WhichOneof("event")
        if kind == "records":
            for arrived in response.records.partitions:
                progress = self._partitions.get(TopicPartition(arrived.topic, arrived.partition))
                dropped = len(arrived.records) if progress is None else self._buffer.add(progress, arrived)
                self._credit_due += dropped
        elif kind == "assigned":
            self._on_assigned(response.assigned)
        elif kind == "revoking":
            self._is_revoking = True
            self._was_told_revoked = True
            self._events.append(Event("revoked", tuple(self._partitions)))
        elif kind == "committed":
            self._on_committed(response.committed)
        elif kind == "seeked":
            self._on_seeked(response.seeked)
        elif kind == "reset":
            moved = self._partitions.get(TopicPartition(response.reset.topic, response.reset.partition))
            if moved is not None and moved.seek is None:
                self._buffer.move(moved, response.reset.offset)

    def _on_assigned(self, assigned: pb.Assigned) -> None:
        starts = {TopicPartition(one.topic, one.partition): one.offset for one in assigned.partitions}
        is_first = not self._is_assigned
        is_same_generation = assigned.generation == self._generation
        self._generation = assigned.generation
        self._is_assigned = True
        self._is_revoking = False
        lost = [tp for tp in self._partitions if tp not in starts]
        if lost and not self._was_told_revoked:
            self._events.append(Event("revoked", tuple(lost)))
        is_news = bool(lost) or self._was_told_revoked or any(tp not in self._partitions for tp in starts)
        for tp in lost:
            self._lose(self._partitions.pop(tp))
        fresh: dict[TopicPartition, int] = {}
        for tp, offset in starts.items():
            progress = self._partitions.get(tp)
            if progress is None:
                self._partitions[tp] = PartitionProgress(tp, offset)
                if offset != UNKNOWN:
                    fresh[tp] = offset
            elif is_first:
                self._read_on(progress, offset, is_same_generation)
        paused = [one for one in self._partitions.values() if one.is_paused]
        if paused:
            self._outbox.append(_pause_request(paused))
        if is_first:
            self._repeat_requests()
        if fresh and self._plan.is_member and self._plan.offset_reset == "latest":
            # Otherwise, if this stream broke before the first commit, the next would begin behind what came meanwhile.
            self._outbox.append(_commit_request(self._next_id(), fresh))
        if is_news or not self._partitions:
            self._events.append(Event("assigned", tuple(starts)))
        self._was_told_revoked = False

    def _lose(self, progress: PartitionProgress) -> None:
        self._credit_due += self._buffer.drop(progress)
        self._handed.pop(progress, None)
        self._unsent.pop(progress, None)
        if progress.seek is not None:
            _, promise = self._seeks.pop(progress.seek[0])
            if promise is not None and not promise.done():
                promise.set_exception(_not_assigned(progress.tp))

    def _read_on(self, progress: PartitionProgress, offset: int, is_same_generation: bool) -> None:
        """A new stream reads a partition that an earlier one read. `offset` is where it would begin."""
        if self._plan.can_commit and progress.acknowledged is not None and progress.acknowledged > offset:
            self._unsent[progress] = None
            self._unsent_since_ms = self._unsent_since_ms or 0
        else:
            self._unsent.pop(progress, None)
        if progress.seek is not None:
            return
        is_kept = is_same_generation or not self._plan.is_member
        is_behind = progress.position < offset and not is_kept
        # A stream that reads given partitions was told where: what it answers is what is left of that.
        if progress.position in (offset, UNKNOWN) or is_behind or self._plan.partitions is not None:
            progress.move_to(offset)
        else:
            self._seek(progress, Position.at(progress.position))

    def _repeat_requests(self) -> None:
        """Ask again for what an earlier stream has not confirmed."""
        asked = {request.seek.request_id for request in self._outbox if request.HasField("seek")}
        for progress in self._partitions.values():
            if progress.seek is not None and progress.seek[0] not in asked:
                request_id, position = progress.seek
                self._outbox.append(_seek_request(request_id, progress.tp, position))
        for request_id, (wanted, promise) in list(self._commits.items()):
            if self._plan.is_member and any(tp not in self._partitions for tp in wanted):
                # Somebody else reads there now, and would be set back.
                del self._commits[request_id]
                if not promise.done():
                    promise.set_exception(CommitFailedError(dict.fromkeys(wanted, "ILLEGAL_GENERATION")))
            else:
                self._outbox.append(_commit_request(request_id, wanted))

    def _on_committed(self, committed: pb.Committed) -> None:
        found = self._commits.pop(committed.request_id, None)
        if found is None or found[1].done():
            return
        failed = {
            TopicPartition(one.topic, one.partition): one.reason for one in committed.partitions if one.reason
        }
        if failed:
            found[1].set_exception(CommitFailedError(failed))
        else:
            found[1].set_result(None)

    def _on_seeked(self, seeked: pb.Seeked) -> None:
        found = self._seeks.pop(seeked.request_id, None)
        if found is None:
            return
        tp, promise = found
        progress = self._partitions.get(tp)
        if progress is not None and progress.seek is not None and progress.seek[0] == seeked.request_id:
            progress.seek = None
            if seeked.offset != UNKNOWN:
                progress.move_to(seeked.offset)
        if promise is None or promise.done():
            return
        if seeked.offset == UNKNOWN:
            promise.set_exception(_not_assigned(tp))
        else:
            promise.set_result(seeked.offset)

    # -- outputs

    def take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    @property
    def has_lot(self) -> bool:
        """There is something to tell the node now."""
        return (
            bool(self._outbox)
            or self._credit_due >= self._credit_lot
            or (self._is_revoking and bool(self._unsent))
        )

    def next_deadline(self) -> int | None:
        """When acknowledgements are to be sent, in ms; None: there are none, or nobody to tell."""
        if not self._unsent or not self._is_assigned:
            return None
        return (self._unsent_since_ms or 0) + ACKNOWLEDGE_DELAY_MS

    def take_requests(self, now_ms: int, *, is_last: bool = False) -> list[pb.ConsumeRequest]:
        """What the node is to be told now, in order. `is_last`: there will be no other occasion."""
        requests, self._outbox = self._outbox, []
        deadline = self.next_deadline()
        if deadline is not None and (is_last or self._is_revoking or requests or deadline <= now_ms):
            requests.append(self._acknowledge_request())
        if self._credit_due >= self._credit_lot and not is_last:
            if not requests:
                requests.append(pb.ConsumeRequest())
            requests[-1].credit = self._credit_due
            self._credit_due = 0
        return requests

    def _acknowledge_request(self) -> pb.ConsumeRequest:
        request = pb.ConsumeRequest()
        for progress in self._unsent:
            assert progress.acknowledged is not None, f"{progress.tp} has nothing acknowledged"
            request.acknowledge.records.add(
                topic=progress.tp.topic, partition=progress.tp.partition, offset=progress.acknowledged - 1
            )
        self._unsent.clear()
        self._unsent_since_ms = None
        return request

    def fail(self, error: OdradekError) -> None:
        """There will be no other stream: nobody waits any longer."""
        for _, promise in [*self._commits.values(), *self._seeks.values()]:
            if promise is not None and not promise.done():
                promise.set_exception(error)
        self._commits.clear()
        self._seeks.clear()

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id


def _not_assigned(tp: TopicPartition) -> InvalidRequestError:
    return InvalidRequestError("INVALID_REQUEST", f"{tp[0]}-{tp[1]} is not assigned to this consumer", 42)


def _commit_request(request_id: int, offsets: Mapping[TopicPartition, int]) -> pb.ConsumeRequest:
    commit = pb.Commit(request_id=request_id)
    for tp, offset in offsets.items():
        commit.offsets.add(topic=tp.topic, partition=tp.partition, offset=offset)
    return pb.ConsumeRequest(commit=commit)


def _seek_request(request_id: int, tp: TopicPartition, position: Position) -> pb.ConsumeRequest:
    return pb.ConsumeRequest(
        seek=pb.Seek(
            topic=tp.topic, partition=tp.partition, position=position.to_proto(), request_id=request_id
        )
    )


def _pause_request(paused: Iterable[PartitionProgress]) -> pb.ConsumeRequest:
    request = pb.ConsumeRequest()
    for progress in paused:
        request.pause.partitions.add(topic=progress.tp.topic, partition=progress.tp.partition)
    return request
