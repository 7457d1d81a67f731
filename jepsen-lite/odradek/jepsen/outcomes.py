"""Which error is which outcome: the table by which a history says fail, and by that "it did certainly not happen".

Decides: fail or info for the name of an error, per door and kind of request. Does not decide: what the worker does
next. Invariant: whatever is not in the table is info. A fail that is wrong makes a healthy cluster look broken (G1a: a
read of what "certainly" was not written); an info that is too careful only proves less.

Names of the Kafka door are those of librdkafka (`KafkaError.name()`; its own begin with "_"), and for admin those of
the protocol. Names of the gRPC door are the reason of the status (ErrorInfo), else the name of the status itself.
Sources: KAFKA-13574 (an answer NOT_LEADER_OR_FOLLOWER may follow a write), record_service.proto, the client's own
`producer_outcomes`.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from odradek.jepsen.history import Type

Door = Literal["kafka", "grpc"]
Kind = Literal["send", "publish", "commit", "admin"]
"""publish and admin are single requests; what a client sends or commits, it tries often: its last error says less."""


class Outcome(NamedTuple):
    """One line of the table."""

    door: Door
    kind: Kind
    error: str
    type: Type
    why: str


_REFUSED: Final = "refused for what it asks, before anything is written"
_LOCAL: Final = "never left the client"
_EARLIER: Final = "the last attempt; an earlier one may be written"
_DISK: Final = "nobody knows what a failed disk holds"
_LEADER: Final = "also the answer after an append (KAFKA-13574)"
_PARTLY: Final = "written here, not yet everywhere"
_UNSURE: Final = "the server does not know either"

_ROWS: Final[dict[tuple[Door, Kind], dict[str, tuple[Type, str]]]] = {
    ("kafka", "send"): {
        "REFUSED_BY_CLIENT": ("fail", "`produce` raised an error: " + _LOCAL),
        "MSG_SIZE_TOO_LARGE": ("fail", _REFUSED),
        "INVALID_RECORD": ("fail", _REFUSED),
        "TOPIC_AUTHORIZATION_FAILED": ("fail", _REFUSED),
        "CLUSTER_AUTHORIZATION_FAILED": ("fail", _REFUSED),
        "TOPIC_EXCEPTION": ("fail", _REFUSED),
        "UNSUPPORTED_VERSION": ("fail", _REFUSED),
        "NOT_LEADER_FOR_PARTITION": ("info", _LEADER),
        "NOT_ENOUGH_REPLICAS": ("info", _EARLIER),
        "NOT_ENOUGH_REPLICAS_AFTER_APPEND": ("info", _PARTLY),
        "REQUEST_TIMED_OUT": ("info", _PARTLY),
        "OUT_OF_ORDER_SEQUENCE_NUMBER": ("info", _EARLIER),
        "INVALID_PRODUCER_EPOCH": ("info", _EARLIER),
        "UNKNOWN_TOPIC_OR_PART": ("info", _EARLIER),
        "INVALID_MSG": ("info", _EARLIER),
        "KAFKA_STORAGE_ERROR": ("info", _DISK),
        "UNKNOWN": ("info", _UNSURE),
        "_MSG_TIMED_OUT": ("info", "no acknowledgement within the time for it"),
        "_TRANSPORT": ("info", "the connection broke"),
        "_TIMED_OUT": ("info", "no answer"),
        "_FATAL": ("info", "the producer gave up; an earlier attempt may be written"),
    },
    ("grpc", "send"): {
        "REFUSED_BY_CLIENT": ("fail", "`send` raised an error: " + _LOCAL),
        "DELIVERY_TIMEOUT_NOT_WRITTEN": ("fail", "the client says that no attempt was written"),
        "MESSAGE_TOO_LARGE": ("fail", _REFUSED),
        "INVALID_RECORD": ("fail", _REFUSED),
        "INVALID_TIMESTAMP": ("fail", _REFUSED),
        "DELIVERY_TIMEOUT": ("info", "no acknowledgement within the time for it"),
        "UNKNOWN_TOPIC_OR_PARTITION": ("info", _EARLIER),
        "OUT_OF_ORDER_SEQUENCE_NUMBER": ("info", _EARLIER),
        "UNKNOWN_SERVER_ERROR": ("info", _UNSURE),
        "CLOSED": ("info", "the client was torn down"),
    },
    ("grpc", "publish"): {
        "NOT_ENOUGH_REPLICAS": ("fail", "nothing of the request is written, says the API"),
        "LEADER_NOT_AVAILABLE": ("fail", "nothing of the request is written, says the API"),
        "UNKNOWN_TOPIC_OR_PARTITION": ("fail", _REFUSED),
        "INVALID_ARGUMENT": ("fail", _REFUSED),
        "MESSAGE_TOO_LARGE": ("fail", _REFUSED),
        "INVALID_RECORD": ("fail", _REFUSED),
        "INVALID_TIMESTAMP": ("fail", _REFUSED),
        "TOPIC_AUTHORIZATION_FAILED": ("fail", _REFUSED),
        "UNIMPLEMENTED": ("fail", _REFUSED),
        "OUT_OF_ORDER_SEQUENCE_NUMBER": ("info", "passed already, perhaps by this very request"),
        "NOT_LEADER_OR_FOLLOWER": ("info", _LEADER),
        "REQUEST_TIMED_OUT": ("info", _PARTLY),
        "KAFKA_STORAGE_ERROR": ("info", _DISK),
        "UNKNOWN_SERVER_ERROR": ("info", _UNSURE),
        "UNAVAILABLE": ("info", "the connection broke, perhaps behind the write"),
        "DEADLINE_EXCEEDED": ("info", "no answer"),
        "CANCELLED": ("info", "no answer"),
    },
    ("kafka", "commit"): {
        "_NO_OFFSET": ("fail", _LOCAL),
        "_STATE": ("fail", _LOCAL),
        "_ASSIGNMENT_LOST": ("fail", _LOCAL),
        "ILLEGAL_GENERATION": ("info", _EARLIER),
        "UNKNOWN_MEMBER_ID": ("info", _EARLIER),
        "REBALANCE_IN_PROGRESS": ("info", _EARLIER),
        "_WAIT_COORD": ("info", _EARLIER),
    },
    ("grpc", "commit"): {
        "INVALID_GROUP_ID": ("fail", _LOCAL),
        "ILLEGAL_GENERATION": ("info", _EARLIER),
        "UNKNOWN_MEMBER_ID": ("info", _EARLIER),
        "REBALANCE_IN_PROGRESS": ("info", _EARLIER),
    },
    ("kafka", "admin"): {
        "NOT_SENT": ("fail", "no connection could be made: " + _LOCAL),
        "TOPIC_ALREADY_EXISTS": ("fail", _REFUSED),
        "UNKNOWN_TOPIC_OR_PARTITION": ("fail", _REFUSED),
        "UNKNOWN_TOPIC_ID": ("fail", _REFUSED),
        "INVALID_REQUEST": ("fail", _REFUSED),
        "INVALID_CONFIG": ("fail", _REFUSED),
        "INVALID_REPLICATION_FACTOR": ("fail", _REFUSED),
        "POLICY_VIOLATION": ("fail", _REFUSED),
        "NOT_CONTROLLER": ("info", "a controller that lost its place may have written it"),
        "REQUEST_TIMED_OUT": ("info", "accepted, and not seen to be done in time"),
        "UNKNOWN_SERVER_ERROR": ("info", _UNSURE),
        "NO_ANSWER": ("info", "the connection broke, or was silent for too long"),
    },
}

TABLE: Final = tuple(
    Outcome(door, kind, error, type_, why)
    for (door, kind), rows in _ROWS.items()
    for error, (type_, why) in rows.items()
)
_NOT_THERE: Final[tuple[Type, str]] = ("info", "")


def outcome(door: Door, kind: Kind, error: str, *, unknown_before: bool = False) -> Type:
    """fail or info. `unknown_before`: an earlier attempt at the same operation ended without a definite answer."""
    return "info" if unknown_before else _ROWS.get((door, kind), {}).get(error, _NOT_THERE)[0]


def markdown() -> str:
    """The table for people."""
    lines = ["| door | request | error | outcome | because |", "|---|---|---|---|---|"]
    lines += [f"| {o.door} | {o.kind} | `{o.error}` | {o.type} | {o.why} |" for o in TABLE]
    lines.append("| any | any | anything else | info | nobody knows |")
    return "\n".join(lines) + "\n"
