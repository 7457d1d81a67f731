"""How a call is refused: Kafka's error names as gRPC statuses.

Decides which status an error has, and what it says when nobody wrote a better sentence. `grpc-status-details-bin` holds
a `google.rpc.Status` with an `ErrorInfo` (reason: Kafka's name, domain "odradek.dev") and, where the same call may
succeed later, a `RetryInfo`. Pure.

Source: google.aip.dev/193; the codes follow the meaning that grpc.io gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from odradek.proto.kafka.errors import ErrorCode
from odradek.v1.error_pb2 import Error

DOMAIN: Final = "odradek.dev"
RETRY_DELAY_MS: Final = 100
MESSAGE_BYTES_MAX: Final = 1024
METADATA_BYTES_MAX: Final = 256
DETAILS_KEY: Final = "grpc-status-details-bin"
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

_E = ErrorCode
_STATUS: Final[Mapping[ErrorCode, StatusCode]] = {
    _E.UNKNOWN_TOPIC_OR_PARTITION: StatusCode.NOT_FOUND,
    _E.UNKNOWN_TOPIC_ID: StatusCode.NOT_FOUND,
    _E.GROUP_ID_NOT_FOUND: StatusCode.NOT_FOUND,
    _E.UNKNOWN_MEMBER_ID: StatusCode.NOT_FOUND,
    _E.LOG_DIR_NOT_FOUND: StatusCode.NOT_FOUND,
    _E.NO_REASSIGNMENT_IN_PROGRESS: StatusCode.NOT_FOUND,
    _E.RESOURCE_NOT_FOUND: StatusCode.NOT_FOUND,
    _E.BROKER_ID_NOT_REGISTERED: StatusCode.NOT_FOUND,
    _E.TOPIC_ALREADY_EXISTS: StatusCode.ALREADY_EXISTS,
    _E.OFFSET_OUT_OF_RANGE: StatusCode.OUT_OF_RANGE,
    _E.INVALID_TOPIC_EXCEPTION: StatusCode.INVALID_ARGUMENT,
    _E.INVALID_PARTITIONS: StatusCode.INVALID_ARGUMENT,
    _E.INVALID_REPLICATION_FACTOR: StatusCode.INVALID_ARGUMENT,
    _E.INVALID_REPLICA_ASSIGNMENT: StatusCode.INVALID_ARGUMENT,
    _E.INVALID_CONFIG: StatusCode.INVALID_ARGUMENT,
    _E.INVALID_REQUEST: StatusCode.INVALID_ARGUMENT,
    _E.INVALID_REQUIRED_ACKS: StatusCode.INVALID_ARGUMENT,
    _E.INVALID_TIMESTAMP: StatusCode.INVALID_ARGUMENT,
    _E.INVALID_RECORD: StatusCode.INVALID_ARGUMENT,
    _E.INVALID_SESSION_TIMEOUT: StatusCode.INVALID_ARGUMENT,
    _E.CORRUPT_MESSAGE: StatusCode.INVALID_ARGUMENT,
    _E.MESSAGE_TOO_LARGE: StatusCode.INVALID_ARGUMENT,
    _E.RECORD_LIST_TOO_LARGE: StatusCode.INVALID_ARGUMENT,
    _E.OFFSET_METADATA_TOO_LARGE: StatusCode.INVALID_ARGUMENT,
    _E.INVALID_COMMIT_OFFSET_SIZE: StatusCode.INVALID_ARGUMENT,
    _E.UNSUPPORTED_COMPRESSION_TYPE: StatusCode.INVALID_ARGUMENT,
    _E.INVALID_GROUP_ID: StatusCode.FAILED_PRECONDITION,
    _E.NON_EMPTY_GROUP: StatusCode.FAILED_PRECONDITION,
    _E.GROUP_SUBSCRIBED_TO_TOPIC: StatusCode.FAILED_PRECONDITION,
    _E.INCONSISTENT_GROUP_PROTOCOL: StatusCode.FAILED_PRECONDITION,
    _E.TOPIC_DELETION_DISABLED: StatusCode.FAILED_PRECONDITION,
    _E.POLICY_VIOLATION: StatusCode.FAILED_PRECONDITION,
    _E.INVALID_TXN_STATE: StatusCode.FAILED_PRECONDITION,
    _E.PREFERRED_LEADER_NOT_AVAILABLE: StatusCode.FAILED_PRECONDITION,
    _E.ELIGIBLE_LEADERS_NOT_AVAILABLE: StatusCode.FAILED_PRECONDITION,
    _E.ELECTION_NOT_NEEDED: StatusCode.FAILED_PRECONDITION,
    _E.OUT_OF_ORDER_SEQUENCE_NUMBER: StatusCode.ABORTED,
    _E.DUPLICATE_SEQUENCE_NUMBER: StatusCode.ABORTED,
    _E.INVALID_PRODUCER_EPOCH: StatusCode.ABORTED,
    _E.FENCED_INSTANCE_ID: StatusCode.ABORTED,
    _E.ILLEGAL_GENERATION: StatusCode.ABORTED,
    _E.REBALANCE_IN_PROGRESS: StatusCode.ABORTED,
    _E.REASSIGNMENT_IN_PROGRESS: StatusCode.ABORTED,
    _E.GROUP_MAX_SIZE_REACHED: StatusCode.RESOURCE_EXHAUSTED,
    _E.THROTTLING_QUOTA_EXCEEDED: StatusCode.RESOURCE_EXHAUSTED,
    _E.CLUSTER_AUTHORIZATION_FAILED: StatusCode.PERMISSION_DENIED,
    _E.TOPIC_AUTHORIZATION_FAILED: StatusCode.PERMISSION_DENIED,
    _E.GROUP_AUTHORIZATION_FAILED: StatusCode.PERMISSION_DENIED,
    _E.BROKER_NOT_AVAILABLE: StatusCode.UNAVAILABLE,
    _E.UNSUPPORTED_VERSION: StatusCode.UNIMPLEMENTED,
    _E.REQUEST_TIMED_OUT: StatusCode.DEADLINE_EXCEEDED,
    _E.UNKNOWN_SERVER_ERROR: StatusCode.INTERNAL,
}

_SENTENCES: Final[Mapping[ErrorCode, str]] = {
    _E.UNKNOWN_TOPIC_OR_PARTITION: "there is no such topic or partition",
    _E.INVALID_TOPIC_EXCEPTION: 'a topic name has 1 to 249 of a-z, A-Z, 0-9, ".", "_" and "-"',
    _E.NOT_LEADER_OR_FOLLOWER: "this node does not lead the partition",
    _E.LEADER_NOT_AVAILABLE: "nobody leads the partition now",
    _E.NOT_ENOUGH_REPLICAS: "fewer replicas are in sync than min.insync.replicas asks for",
    _E.NOT_ENOUGH_REPLICAS_AFTER_APPEND: "fewer replicas are in sync than min.insync.replicas asks for",
    _E.REQUEST_TIMED_OUT: "there was no confirmation in time: nobody knows yet whether it was done",
    _E.OFFSET_OUT_OF_RANGE: "the partition does not hold this offset",
    _E.MESSAGE_TOO_LARGE: "the batch is larger than max.message.bytes of its topic",
    _E.CORRUPT_MESSAGE: "the bytes are not a whole record batch, or their checksum is wrong",
    _E.OUT_OF_ORDER_SEQUENCE_NUMBER: "the sequence does not follow the last one of this producer",
    _E.INVALID_PRODUCER_EPOCH: "a newer producer has taken the place of this one",
    _E.FENCED_INSTANCE_ID: "another member has taken the place of this instance id",
    _E.NON_EMPTY_GROUP: "the group has members",
    _E.GROUP_ID_NOT_FOUND: "there is no such group",
    _E.INVALID_GROUP_ID: "this needs a group",
    _E.UNKNOWN_MEMBER_ID: "the group has no such member",
    _E.GROUP_SUBSCRIBED_TO_TOPIC: "members of the group read this topic",
    _E.OFFSET_METADATA_TOO_LARGE: "the metadata is longer than offset.metadata.max.bytes",
    _E.INVALID_COMMIT_OFFSET_SIZE: "there is more to commit than one entry of the log may hold",
    _E.INVALID_SESSION_TIMEOUT: "the session timeout is out of the bounds that the node allows",
    _E.NOT_CONTROLLER: "no active controller was found",
    _E.COORDINATOR_NOT_AVAILABLE: "the coordinator of the group is being elected",
    _E.COORDINATOR_LOAD_IN_PROGRESS: "the coordinator of the group is loading",
    _E.NOT_COORDINATOR: "the coordinator of the group has moved",
    _E.FENCED_LEADER_EPOCH: "the leader epoch is older than the partition's",
    _E.UNKNOWN_LEADER_EPOCH: "the leader epoch is newer than what this node knows",
    _E.KAFKA_STORAGE_ERROR: "the log directory of the partition is offline",
    _E.INVALID_REQUIRED_ACKS: "acks is none of those that are allowed",
}


def _clipped(text: str, limit: int) -> str:
    data = text.encode("utf-8", "replace")
    return text if len(data) <= limit else data[: limit - 3].decode("utf-8", "ignore") + "..."


class RefusalError(Exception):
    """A call that ends with a status other than OK. `reason` is a Kafka error name; `metadata` goes into ErrorInfo."""

    def __init__(
        self,
        status: StatusCode,
        reason: str,
        message: str,
        *,
        retry_delay_ms: int = 0,
        metadata: Mapping[str, str] = _NOTHING,
    ) -> None:
        super().__init__(f"{reason}: {message}")
        self.status = status
        self.reason = reason
        # What clients wrote is quoted, and headers above 8 KiB would be dropped with everything in them.
        self.message = _clipped(message, MESSAGE_BYTES_MAX)
        self.retry_delay_ms = retry_delay_ms
        self.metadata = {key: _clipped(value, METADATA_BYTES_MAX) for key, value in metadata.items()}


def refused(error: ErrorCode, message: str | None = None, **metadata: str) -> RefusalError:
    """The refusal for an error of the application layer."""
    return RefusalError(
        status_of(error),
        error.name,
        message or sentence(error),
        retry_delay_ms=RETRY_DELAY_MS if is_retriable(error) else 0,
        metadata=metadata,
    )


def invalid(message: str, **metadata: str) -> RefusalError:
    """The refusal of a request that cannot be right."""
    return refused(ErrorCode.INVALID_REQUEST, message, **metadata)


def status_of(error: ErrorCode) -> StatusCode:
    return _STATUS.get(error) or (StatusCode.UNAVAILABLE if error.retriable else StatusCode.INTERNAL)


def is_retriable(error: ErrorCode) -> bool:
    """Whether the same call may succeed later. A topic that is not there stays away, unlike in Kafka's own clients,
    where metadata may be old; and where a leader is what was asked for already there is nothing to wait for."""
    never = status_of(error) is StatusCode.NOT_FOUND or error is _E.ELECTION_NOT_NEEDED
    return error.retriable and not never


def sentence(error: ErrorCode) -> str:
    return _SENTENCES.get(error) or error.name.lower().replace("_", " ")


def error_message(error: ErrorCode, message: str | None = None) -> Error:
    """The outcome of one thing among many."""
    return Error(
        reason=error.name,
        message=message or sentence(error),
        retriable=is_retriable(error),
        code=int(error),
    )


def details(refusal: RefusalError) -> bytes:
    """The serialised `google.rpc.Status` for `DETAILS_KEY`."""
    found = Status(code=refusal.status.value[0], message=refusal.message)
    info = AnyMessage()
    info.Pack(ErrorInfo(reason=refusal.reason, domain=DOMAIN, metadata=refusal.metadata))
    found.details.append(info)
    if refusal.retry_delay_ms:
        delay = Duration()
        delay.FromMilliseconds(refusal.retry_delay_ms)
        retry = AnyMessage()
        retry.Pack(RetryInfo(retry_delay=delay))
        found.details.append(retry)
    serialized: bytes = found.SerializeToString()
    return serialized
