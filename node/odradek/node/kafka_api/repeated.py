"""What may be said of a request that was passed on a second time, because nobody knows what became of the first.

Decides: which refusals the first attempt may have caused itself. A topic that "exists already" may be the one that this
very request has made: to its client that would be a definite answer, and a false one. So it is told the truth, that
nobody knows (REQUEST_TIMED_OUT), and asks again or looks. Does not decide: when a request is passed on again
(`forwarding`). Pure.

Kafka's brokers pass the false answer on; found by the linearizability checker of jepsen-lite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.topics import (
    CreatePartitionsResponse,
    CreateTopicsResponse,
    DeleteTopicsResponse,
)
from odradek.proto.kafka.schema import Message

MESSAGE: Final = "the controller changed meanwhile: this very request may have made the change"

Result = (
    CreateTopicsResponse.CreatableTopicResult
    | DeleteTopicsResponse.DeletableTopicResult
    | CreatePartitionsResponse.CreatePartitionsTopicResult
)

#: By response: the refusals that a request which was carried out already would get.
OWN_DOING: Final[Mapping[type[Message], frozenset[ErrorCode]]] = {
    CreateTopicsResponse: frozenset({ErrorCode.TOPIC_ALREADY_EXISTS}),
    DeleteTopicsResponse: frozenset({ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.UNKNOWN_TOPIC_ID}),
    CreatePartitionsResponse: frozenset({ErrorCode.INVALID_PARTITIONS}),
}


def without_own_doing(response: Message) -> Message:
    """The same response, with what may be the request's own doing told as unknown. Changes it in place."""
    errors = OWN_DOING.get(type(response), frozenset())
    for result in _results(response):
        if result.error_code in errors:
            result.error_code = int(ErrorCode.REQUEST_TIMED_OUT)
            result.error_message = MESSAGE
    return response


def _results(response: Message) -> Sequence[Result]:
    if isinstance(response, CreateTopicsResponse):
        return response.topics
    if isinstance(response, DeleteTopicsResponse):
        return response.responses
    return response.results if isinstance(response, CreatePartitionsResponse) else ()
