"""What can go wrong, as exceptions: one class for each thing that callers tell apart.

Decides: which class stands for which reason, and how a gRPC status or an `Error` of the API becomes one.
Does not decide: what is tried again (whoever made the call does).

Every error keeps `reason`, the name that Apache Kafka's protocol has for it ("TOPIC_ALREADY_EXISTS"), or where
a call failed without one, the name of its gRPC status ("UNAVAILABLE"). Reasons stay the same between releases.
This module imports neither gRPC nor generated code until an error is there, so that it costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from odradek.client.records import TopicPartition
    from odradek.v1.error_pb2 import Error

_DETAILS_KEY: Final = "grpc-status-details-bin"
UNKNOWN_CODE: Final = -1
"""The number of an error that has none in Kafka's protocol, or only UNKNOWN_SERVER_ERROR."""


class OdradekError(Exception):
    """Something was refused, or nobody could be asked.

    `code` is the number of the error in Kafka's protocol, -1 where it has none. `is_retriable`: the same
    request may succeed later. `status` is the name of the gRPC status the call ended with, empty where the
    call itself succeeded. `metadata` holds what the node said besides; `retry_after_ms` is the wait that it
    asks for, None if it asks for none.
    """

    def __init__(
        self,
        reason: str,
        message: str = "",
        code: int = UNKNOWN_CODE,
        is_retriable: bool = False,
        *,
        status: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message
        self.code = code
        self.is_retriable = is_retriable
        self.status = status
        self.metadata: Mapping[str, str] = metadata or {}
        self.retry_after_ms = retry_after_ms

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}" if self.message else self.reason


class UnknownTopicError(OdradekError):
    """There is no such topic, or no such partition of it."""


class TopicExistsError(OdradekError):
    """A topic of that name is there already."""


class NodeUnavailableError(OdradekError):
    """No node could be reached, the one reached is stopping, or what it needs is being elected. Try again."""


class CallTimeoutError(OdradekError):
    """The time for the call is over. Nobody knows whether it was carried out."""


class DeliveryTimeoutError(OdradekError):
    """A record was not acknowledged within `delivery_timeout_ms`.

    `is_unknown`: it may have been written all the same. Otherwise it certainly was not.
    """

    def __init__(self, message: str, *, is_unknown: bool) -> None:
        super().__init__("REQUEST_TIMED_OUT", message, 7, True)
        self.is_unknown = is_unknown


class FencedError(OdradekError):
    """Another one took this one's place: a consumer with the same `instance_id`, or a newer producer."""


class OffsetOutOfRangeError(OdradekError):
    """The partition does not hold that offset, and nobody may choose another."""


class RecordTooLargeError(OdradekError):
    """A record is larger than its topic, or the client's buffer, takes."""


class InvalidRecordError(OdradekError):
    """The topic refuses the record: without a key in a compacted topic, or with a timestamp out of bounds."""


class NotEnoughReplicasError(OdradekError):
    """Fewer replicas are in sync than `min.insync.replicas` asks for."""


class SequenceError(OdradekError):
    """The partition does not know this producer, or not in this order: what it wrote before may be gone."""


class GroupNotEmptyError(OdradekError):
    """The group still has members."""


class UnknownGroupError(OdradekError):
    """There is no such group, or no such member of it."""


class NotControllerError(NodeUnavailableError):
    """Nobody leads the cluster at the moment. Try again."""


class AccessDeniedError(OdradekError):
    """The caller is not allowed to do this, or did not say who it is."""


class InvalidRequestError(OdradekError):
    """An argument is not allowed; the message says what is."""


class CommitFailedError(OdradekError):
    """Some offsets were not committed. `failed` holds the reason for each such partition."""

    def __init__(self, failed: Mapping[TopicPartition, str]) -> None:
        first = next(iter(failed.values()), "UNKNOWN_SERVER_ERROR")
        listed = ", ".join(f"{tp.topic}-{tp.partition}: {reason}" for tp, reason in failed.items())
        super().__init__(first, listed, code_of(first), first in _REBALANCING)
        self.failed = dict(failed)


class ClosedError(OdradekError):
    """The producer, consumer or admin client is closed."""

    def __init__(self, message: str) -> None:
        super().__init__("CLOSED", message)


_REBALANCING: Final = frozenset({"REBALANCE_IN_PROGRESS", "ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID"})


def _table(*rows: tuple[type[OdradekError], str]) -> dict[str, type[OdradekError]]:
    return {reason: cls for cls, reasons in rows for reason in reasons.split()}


_BY_REASON: Final = _table(
    (UnknownTopicError, "UNKNOWN_TOPIC_OR_PARTITION UNKNOWN_TOPIC_ID"),
    (TopicExistsError, "TOPIC_ALREADY_EXISTS"),
    (
        NodeUnavailableError,
        "UNAVAILABLE LEADER_NOT_AVAILABLE NOT_LEADER_OR_FOLLOWER BROKER_NOT_AVAILABLE REPLICA_NOT_AVAILABLE "
        "NETWORK_EXCEPTION COORDINATOR_NOT_AVAILABLE COORDINATOR_LOAD_IN_PROGRESS NOT_COORDINATOR",
    ),
    (NotControllerError, "NOT_CONTROLLER"),
    (CallTimeoutError, "REQUEST_TIMED_OUT DEADLINE_EXCEEDED"),
    (FencedError, "FENCED_INSTANCE_ID PRODUCER_FENCED INVALID_PRODUCER_EPOCH FENCED_MEMBER_EPOCH"),
    (OffsetOutOfRangeError, "OFFSET_OUT_OF_RANGE"),
    (RecordTooLargeError, "MESSAGE_TOO_LARGE RECORD_LIST_TOO_LARGE"),
    (
        InvalidRecordError,
        "INVALID_RECORD INVALID_TIMESTAMP CORRUPT_MESSAGE UNSUPPORTED_COMPRESSION_TYPE "
        "UNSUPPORTED_FOR_MESSAGE_FORMAT",
    ),
    (NotEnoughReplicasError, "NOT_ENOUGH_REPLICAS NOT_ENOUGH_REPLICAS_AFTER_APPEND"),
    (SequenceError, "OUT_OF_ORDER_SEQUENCE_NUMBER UNKNOWN_PRODUCER_ID"),
    (GroupNotEmptyError, "NON_EMPTY_GROUP"),
    (UnknownGroupError, "GROUP_ID_NOT_FOUND UNKNOWN_MEMBER_ID"),
    (
        AccessDeniedError,
        "TOPIC_AUTHORIZATION_FAILED GROUP_AUTHORIZATION_FAILED CLUSTER_AUTHORIZATION_FAILED "
        "SASL_AUTHENTICATION_FAILED PERMISSION_DENIED UNAUTHENTICATED",
    ),
    (
        InvalidRequestError,
        "INVALID_ARGUMENT INVALID_REQUEST INVALID_CONFIG INVALID_PARTITIONS INVALID_REPLICATION_FACTOR "
        "INVALID_REPLICA_ASSIGNMENT INVALID_TOPIC_EXCEPTION INVALID_GROUP_ID POLICY_VIOLATION "
        "INVALID_SESSION_TIMEOUT INVALID_REGULAR_EXPRESSION INVALID_COMMIT_OFFSET_SIZE "
        "OFFSET_METADATA_TOO_LARGE",
    ),
)

_BY_STATUS: Final = _table(
    (NodeUnavailableError, "UNAVAILABLE"),
    (CallTimeoutError, "DEADLINE_EXCEEDED"),
    (InvalidRequestError, "INVALID_ARGUMENT"),
    (AccessDeniedError, "PERMISSION_DENIED UNAUTHENTICATED"),
)


def code_of(reason: str) -> int:
    """The number that Kafka's protocol has for a reason; -1 if it has none."""
    from odradek.proto.kafka.errors import ErrorCode

    found = ErrorCode.__members__.get(reason)
    return UNKNOWN_CODE if found is None else int(found)


def from_reason(
    reason: str, message: str = "", code: int | None = None, is_retriable: bool | None = None
) -> OdradekError:
    """The error for a reason. Number and retriability are looked up in Kafka's table unless given."""
    if code is None:
        code = code_of(reason)
    if is_retriable is None:
        from odradek.proto.kafka.errors import ErrorCode

        known = ErrorCode.__members__.get(reason)
        is_retriable = known is not None and known.retriable
    if reason == "REQUEST_TIMED_OUT":
        return CallTimeoutError(reason, message, code, is_retriable)
    return _BY_REASON.get(reason, OdradekError)(reason, message, code, is_retriable)


def from_proto(error: Error) -> OdradekError:
    """The error for one outcome among many in an answer."""
    return from_reason(error.reason, error.message, error.code, error.retriable)


class FailedCall(Protocol):
    """What is needed of `grpc.aio.AioRpcError`."""

    def code(self) -> Any: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Any: ...


def from_rpc(failed: FailedCall) -> OdradekError:
    """The error for a call that ended with a status. Its class follows the reason, then the status."""
    from odradek.proto.kafka.errors import ErrorCode

    status: str = failed.code().name
    message = failed.details() or ""
    reason, metadata, retry_after_ms = _read_details(failed.trailing_metadata())
    cls = _BY_REASON.get(reason) or _BY_STATUS.get(status, OdradekError)
    known = ErrorCode.__members__.get(reason)
    is_retriable = status == "UNAVAILABLE" or retry_after_ms is not None
    is_retriable = is_retriable or (known is not None and known.retriable) or status == "DEADLINE_EXCEEDED"
    return cls(
        reason or status,
        message,
        UNKNOWN_CODE if known is None else int(known),
        is_retriable,
        status=status,
        metadata=metadata,
        retry_after_ms=retry_after_ms,
    )


def _read_details(
    trailing: Iterable[tuple[str, str | bytes]] | None,
) -> tuple[str, dict[str, str], int | None]:
    """Reason, metadata and wait in ms out of the details of a status; details that are no details say nothing."""
    from google.protobuf.message import DecodeError
    from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
    from google.rpc.status_pb2 import Status

    reason = ""
    metadata: dict[str, str] = {}
    retry_after_ms: int | None = None
    for key, value in trailing or ():
        if key != _DETAILS_KEY or not isinstance(value, bytes):
            continue
        try:
            for detail in Status.FromString(value).details:
                info, retry = ErrorInfo(), RetryInfo()
                if detail.Unpack(info):
                    reason, metadata = info.reason, dict(info.metadata)
                elif detail.Unpack(retry):
                    retry_after_ms = retry.retry_delay.ToMilliseconds()
        except DecodeError:
            continue
    return reason, metadata, retry_after_ms
