"""Which error is which outcome: the table by which a history says fail, and by that "it did certainly not happen".

Decides: ok, fail or info for the name of an error, per door and kind of operation. Does not decide: what the worker
does next. Invariant: whatever is not in the table is info. A fail that is wrong makes a healthy cluster look broken
(G1a: a read of what "certainly" was not written); an info that is too careful only proves less.

Names of the Kafka door are those of librdkafka (`KafkaError.name()`; its own begin with "_"). Names of the gRPC door
are the reason of the status (ErrorInfo), else the name of the status itself. Sources: KAFKA-13574 (an answer
NOT_LEADER_OR_FOLLOWER may follow a write), record_service.proto, the client's own producer_outcomes.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from odradek.jepsen.history import Type

Door = Literal["kafka", "grpc"]
Kind = Literal["send", "commit", "admin"]


class Outcome(NamedTuple):
    """One line of the table."""

    door: Door
    kind: Kind
    error: str
    type: Type
    why: str


_REFUSED = "refused for what it asks, before anything is written"
_LOCAL = "never left the client"

TABLE: Final = (
    Outcome("kafka", "send", "REFUSED_BY_CLIENT", "fail", "`produce` raised an error: " + _LOCAL),
    Outcome("kafka", "send", "_FATAL", "info", "the producer gave up; an earlier attempt may be written"),
    Outcome("kafka", "send", "MSG_SIZE_TOO_LARGE", "fail", _REFUSED),
    Outcome("kafka", "send", "INVALID_RECORD", "fail", _REFUSED),
    Outcome(
        "kafka", "send", "INVALID_MSG", "info", "the request was mangled on its way; an earlier one may not"
    ),
    Outcome("kafka", "send", "TOPIC_AUTHORIZATION_FAILED", "fail", _REFUSED),
    Outcome("kafka", "send", "CLUSTER_AUTHORIZATION_FAILED", "fail", _REFUSED),
    Outcome("kafka", "send", "TOPIC_EXCEPTION", "fail", _REFUSED),
    Outcome("kafka", "send", "UNSUPPORTED_VERSION", "fail", _REFUSED),
    Outcome(
        "kafka", "send", "NOT_LEADER_FOR_PARTITION", "info", "also the answer after an append (KAFKA-13574)"
    ),
    Outcome("kafka", "send", "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "info", "it is written, and may stay"),
    Outcome(
        "kafka", "send", "NOT_ENOUGH_REPLICAS", "info", "the last attempt; an earlier one may be written"
    ),
    Outcome("kafka", "send", "OUT_OF_ORDER_SEQUENCE_NUMBER", "info", "an earlier attempt may be written"),
    Outcome("kafka", "send", "INVALID_PRODUCER_EPOCH", "info", "an earlier attempt may be written"),
    Outcome(
        "kafka", "send", "UNKNOWN_TOPIC_OR_PART", "info", "the last attempt; the topic may be deleted since"
    ),
    Outcome("kafka", "send", "REQUEST_TIMED_OUT", "info", "written here, not yet everywhere"),
    Outcome("kafka", "send", "KAFKA_STORAGE_ERROR", "info", "nobody knows what a failed disk holds"),
    Outcome("kafka", "send", "UNKNOWN", "info", "the server does not know either"),
    Outcome("kafka", "send", "_MSG_TIMED_OUT", "info", "no acknowledgement within the time for it"),
    Outcome("kafka", "send", "_TRANSPORT", "info", "the connection broke"),
    Outcome("kafka", "send", "_TIMED_OUT", "info", "no answer"),
    Outcome(
        "kafka", "send", "_PURGE_INFLIGHT", "info", "the client was torn down while it waited for the answer"
    ),
    Outcome(
        "kafka", "send", "_PURGE_QUEUE", "info", "the client was torn down; an earlier attempt may be written"
    ),
    Outcome(
        "grpc", "send", "DELIVERY_TIMEOUT_NOT_WRITTEN", "fail", "the client says that no attempt was written"
    ),
    Outcome("grpc", "send", "DELIVERY_TIMEOUT", "info", "no acknowledgement within the time for it"),
    Outcome("grpc", "send", "MESSAGE_TOO_LARGE", "fail", _REFUSED),
    Outcome("grpc", "send", "INVALID_RECORD", "fail", _REFUSED),
    Outcome("grpc", "send", "INVALID_TIMESTAMP", "fail", _REFUSED),
    Outcome("grpc", "send", "TOPIC_AUTHORIZATION_FAILED", "fail", _REFUSED),
    Outcome("grpc", "send", "INVALID_TOPIC_EXCEPTION", "fail", _REFUSED),
    Outcome("grpc", "send", "INVALID_ARGUMENT", "fail", _REFUSED),
    Outcome("grpc", "send", "UNIMPLEMENTED", "fail", _REFUSED),
    Outcome("grpc", "send", "NOT_ENOUGH_REPLICAS", "fail", "nothing of the request is written, says the API"),
    Outcome(
        "grpc", "send", "LEADER_NOT_AVAILABLE", "fail", "nothing of the request is written, says the API"
    ),
    Outcome("grpc", "send", "UNKNOWN_TOPIC_OR_PARTITION", "fail", _REFUSED),
    Outcome(
        "grpc",
        "send",
        "OUT_OF_ORDER_SEQUENCE_NUMBER",
        "info",
        "passed already: perhaps by an earlier attempt",
    ),
    Outcome(
        "grpc", "send", "NOT_LEADER_OR_FOLLOWER", "info", "also the answer after an append (KAFKA-13574)"
    ),
    Outcome("grpc", "send", "REQUEST_TIMED_OUT", "info", "written here, not yet everywhere"),
    Outcome("grpc", "send", "UNAVAILABLE", "info", "the connection broke, perhaps behind the write"),
    Outcome("grpc", "send", "DEADLINE_EXCEEDED", "info", "no answer"),
    Outcome("grpc", "send", "CANCELLED", "info", "no answer"),
    Outcome("grpc", "send", "CLOSED", "info", "the client was torn down"),
    Outcome("kafka", "commit", "_NO_OFFSET", "fail", _LOCAL),
    Outcome("kafka", "commit", "_STATE", "fail", _LOCAL),
    Outcome("kafka", "commit", "_ASSIGNMENT_LOST", "fail", _LOCAL),
    Outcome(
        "kafka",
        "commit",
        "ILLEGAL_GENERATION",
        "info",
        "librdkafka tries again: an earlier attempt may count",
    ),
    Outcome(
        "kafka", "commit", "UNKNOWN_MEMBER_ID", "info", "librdkafka tries again: an earlier attempt may count"
    ),
    Outcome("kafka", "commit", "REBALANCE_IN_PROGRESS", "info", "librdkafka tries again"),
    Outcome("kafka", "commit", "_WAIT_COORD", "info", "librdkafka tries again: an earlier attempt may count"),
    Outcome("kafka", "admin", "TOPIC_ALREADY_EXISTS", "fail", "one request, one answer: " + _REFUSED),
    Outcome("kafka", "admin", "UNKNOWN_TOPIC_OR_PARTITION", "fail", "one request, one answer: " + _REFUSED),
    Outcome("kafka", "admin", "UNKNOWN_TOPIC_ID", "fail", "one request, one answer: " + _REFUSED),
    Outcome("kafka", "admin", "INVALID_REQUEST", "fail", _REFUSED),
    Outcome("kafka", "admin", "INVALID_CONFIG", "fail", _REFUSED),
    Outcome(
        "kafka", "admin", "INVALID_REPLICATION_FACTOR", "fail", "fewer nodes are there than replicas wanted"
    ),
    Outcome("kafka", "admin", "POLICY_VIOLATION", "fail", _REFUSED),
    Outcome("kafka", "admin", "NOT_SENT", "fail", "the connection could not be made: " + _LOCAL),
    Outcome(
        "kafka", "admin", "NOT_CONTROLLER", "info", "the answer of a controller that lost its place meanwhile"
    ),
    Outcome("kafka", "admin", "REQUEST_TIMED_OUT", "info", "accepted, and not seen to be done in time"),
    Outcome("kafka", "admin", "UNKNOWN_SERVER_ERROR", "info", "the server does not know either"),
)

_TYPES: Final[dict[tuple[str, str, str], Type]] = {(o.door, o.kind, o.error): o.type for o in TABLE}


def outcome(door: Door, kind: Kind, error: str, *, unknown_before: bool = False) -> Type:
    """fail or info. `unknown_before`: an earlier attempt at the same operation ended without an answer."""
    return "info" if unknown_before else _TYPES.get((door, kind, error), "info")


def markdown() -> str:
    """The table for people."""
    lines = ["| door | operation | error | outcome | because |", "|---|---|---|---|---|"]
    lines += [f"| {o.door} | {o.kind} | `{o.error}` | {o.type} | {o.why} |" for o in TABLE]
    lines.append("| any | any | anything else | info | nobody knows |")
    return "\n".join(lines) + "\n"
