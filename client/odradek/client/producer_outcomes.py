"""What an error means for the batch that met it.

Decides: try again or give up, whether the batch may have been written nevertheless, and whether the leader has
to be looked up anew. Does not decide: when it is tried again, nor what becomes of its sequence.

An error of a call (a gRPC status) says nothing about what the node did before it, unless the node refused the
call for what it asks. Source: the retriable errors of Apache Kafka's producer.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple

from odradek.client.errors import OdradekError


class Action(Enum):
    """What is done with the batch."""

    RETRY = auto()
    """The same bytes again."""
    RENUMBER = auto()
    """Again under a new identity, if it was certainly not written."""
    SPLIT = auto()
    """In two halves, if it was certainly not written."""
    SUCCEED = auto()
    """It was written by an earlier attempt."""
    FAIL = auto()


class Meaning(NamedTuple):
    """`is_unknown`: it may have been written. `is_misdirected`: the leader may be another node now."""

    action: Action
    is_unknown: bool = False
    is_misdirected: bool = False


_MISDIRECTED: Final = Meaning(Action.RETRY, is_misdirected=True)
_UNKNOWN: Final = Meaning(Action.RETRY, is_unknown=True, is_misdirected=True)
_WAIT: Final = Meaning(Action.RETRY)
_RENUMBER: Final = Meaning(Action.RENUMBER)
_SPLIT: Final = Meaning(Action.SPLIT)
_FAIL: Final = Meaning(Action.FAIL)

_BY_REASON: Final[dict[str, Meaning]] = {
    # Also the answer to what was appended already where a leader is replaced.
    "NOT_LEADER_OR_FOLLOWER": _UNKNOWN,
    "LEADER_NOT_AVAILABLE": _MISDIRECTED,
    "UNKNOWN_TOPIC_OR_PARTITION": _MISDIRECTED,
    "UNKNOWN_TOPIC_ID": _MISDIRECTED,
    "FENCED_LEADER_EPOCH": _MISDIRECTED,
    "UNKNOWN_LEADER_EPOCH": _MISDIRECTED,
    "REPLICA_NOT_AVAILABLE": _MISDIRECTED,
    "BROKER_NOT_AVAILABLE": _MISDIRECTED,
    "NOT_ENOUGH_REPLICAS": _WAIT,
    "THROTTLING_QUOTA_EXCEEDED": _WAIT,
    "CORRUPT_MESSAGE": _WAIT,
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND": Meaning(Action.RETRY, is_unknown=True),
    "REQUEST_TIMED_OUT": _UNKNOWN,
    "NETWORK_EXCEPTION": _UNKNOWN,
    "KAFKA_STORAGE_ERROR": _UNKNOWN,
    "UNKNOWN_SERVER_ERROR": Meaning(Action.FAIL, is_unknown=True),
    "CLIENT_ERROR": Meaning(Action.FAIL, is_unknown=True),  # ours
    "OUT_OF_ORDER_SEQUENCE_NUMBER": _RENUMBER,
    "UNKNOWN_PRODUCER_ID": _RENUMBER,
    "INVALID_PRODUCER_EPOCH": _RENUMBER,
    "DUPLICATE_SEQUENCE_NUMBER": Meaning(Action.SUCCEED),
    "MESSAGE_TOO_LARGE": _SPLIT,
    "RECORD_LIST_TOO_LARGE": _SPLIT,
}

_REFUSING_STATUSES: Final = frozenset(
    {
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "FAILED_PRECONDITION",
        "UNIMPLEMENTED",
        "OUT_OF_RANGE",
    }
)


def meaning_of(error: OdradekError) -> Meaning:
    """What `error` means for a batch, whether it is the outcome of that batch or the end of the whole call."""
    if not error.status:
        found = _BY_REASON.get(error.reason)
        if found is not None:
            return found
        return _MISDIRECTED if error.is_retriable else _FAIL
    if error.status == "RESOURCE_EXHAUSTED":
        # By a limit of sizes, which gRPC itself refuses with these words, or because the node has too much to do.
        return _SPLIT if "larger than max" in error.message or error.reason == "MESSAGE_TOO_LARGE" else _WAIT
    if error.status in _REFUSING_STATUSES:
        return _BY_REASON.get(error.reason, _FAIL)
    return _UNKNOWN
