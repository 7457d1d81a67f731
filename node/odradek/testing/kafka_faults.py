"""Faults at the Kafka door: stands between a session and the handlers of a node.

Decides how a fault looks to a Kafka client: an answer with an error, a late answer, or a closed connection. Does not
decide which requests meet one (`faults`). What nodes ask of each other is left alone.

A request that is delayed holds up those behind it on its connection, as a slow broker does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from odradek.node.app.context import RequestContext
from odradek.node.kafka_api.registry import (
    Answer,
    CloseConnection,
    EncodedResponse,
    Outcome,
    Route,
    settled,
)
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.api import APIS
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.metadata import MetadataResponse
from odradek.proto.kafka.messages.produce import ProduceRequest
from odradek.proto.kafka.schema import Message
from odradek.testing import kafka_answers
from odradek.testing.faults import Fault, Faults, Kind, Plan
from odradek.testing.kafka_answers import ANSWERS, TopicName
from odradek.testing.pauses import Pauses

Given = Answer | CloseConnection | None
"""What a handler gives to a session."""


class KafkaFaults:
    """`route` gives the route to use in the place of a node's."""

    def __init__(self, faults: Faults, pauses: Pauses, topic_name: TopicName) -> None:
        self._faults = faults
        self._pauses = pauses
        self._topic_name = topic_name

    def route(self, route: Route) -> Route:
        name = APIS[route.key].name
        if name not in ANSWERS:
            return route
        call = self._metadata if name == "Metadata" else partial(self._call, name)
        return route._replace(call=partial(call, route))

    # -- a request

    def _call(self, api: str, route: Route, context: RequestContext, request: Message, version: int) -> Given:
        if not self._faults.is_armed(api):
            return _called(route, context, request, version)
        topics = partial(kafka_answers.topics_of, api, request, self._topic_name)
        plan = self._faults.take(api, topics)
        # Why here and not in `_carried_out`: the session decodes the next request over this one's bytes.
        if plan.delay_before_s:
            _own_records(request)
        carry_out = partial(self._carried_out, api, route, context, request, version, plan)
        return self._in_time(api, plan, carry_out)

    def _carried_out(
        self,
        api: str,
        route: Route,
        context: RequestContext,
        request: Message,
        version: int,
        plan: Plan,
    ) -> Given:
        if plan.error is None or plan.end is None:
            return _called(route, context, request, version)
        message = f"a fault that a test has armed: {plan.error.name}"
        has_no_answer = isinstance(request, ProduceRequest) and request.acks == 0
        topic = plan.end.topic
        refused = request
        rest: Message | None = None
        if topic is not None:
            refused = kafka_answers.only_topic(api, request, topic, self._topic_name)
            others = kafka_answers.topics_of(api, request, self._topic_name)
            if any(other != topic for other in others):
                rest = kafka_answers.without_topic(api, request, topic, self._topic_name)
        if rest is None:
            if has_no_answer:
                return CloseConnection(message)
            return kafka_answers.answer(api, refused, plan.error, message)
        errors = kafka_answers.answer(api, refused, plan.error, message, in_part=True)

        def join(outcome: Outcome) -> Outcome:
            if has_no_answer:
                return CloseConnection(message)
            if isinstance(outcome, Message):
                kafka_answers.add(outcome, errors)
            return outcome

        return _mapped(_called(route, context, rest, version), join)

    def _metadata(self, route: Route, context: RequestContext, request: Message, version: int) -> Given:
        """The error is put into what the node says: without brokers in it, a client could go nowhere."""
        if not self._faults.is_armed("Metadata"):
            return _called(route, context, request, version)
        response = route.call(context, request, version)
        assert isinstance(response, MetadataResponse), response
        names = [topic.name for topic in response.topics if topic.name]
        plan = self._faults.take(
            "Metadata", lambda: names, lambda fault: bool(names) or fault.kind is not Kind.FAIL
        )
        if plan.error is not None and plan.end is not None:
            _fail_topics(response, plan.end.topic, plan.error)
        return self._in_time("Metadata", plan, lambda: response)

    # -- time, and connections

    def _in_time(self, api: str, plan: Plan, carry_out: Callable[[], Given]) -> Given:
        if plan.delay_before_s or plan.delay_after_s:
            return self._late(api, plan, carry_out)
        if plan.drops("before"):
            return _broken(api, plan.end)
        answer = carry_out()
        if plan.drops("after"):
            return _mapped(answer, lambda _: _broken(api, plan.end))
        return answer

    async def _late(self, api: str, plan: Plan, carry_out: Callable[[], Given]) -> Outcome:
        if not await self._pauses.sleep(plan.delay_before_s):
            return CloseConnection("the broker stops")
        if plan.drops("before"):
            return _broken(api, plan.end)
        outcome = await _settled(carry_out())
        await self._pauses.sleep(plan.delay_after_s)
        return _broken(api, plan.end) if plan.drops("after") else outcome


def _called(route: Route, context: RequestContext, request: Message, version: int) -> Given:
    answer: Given = route.call(context, request, version)
    return answer


def _mapped(answer: Given, function: Callable[[Outcome], Outcome]) -> Given:
    """`function` of what an answer comes to, in the same form."""
    if isinstance(answer, Deferred):
        return answer.map(function)
    if answer is None or isinstance(answer, (Message, CloseConnection)):
        outcome = function(answer)
        assert not isinstance(outcome, EncodedResponse), outcome
        return outcome
    return _then(answer, function)


async def _then(answer: Any, function: Callable[[Outcome], Outcome]) -> Outcome:
    return function(await answer)


async def _settled(answer: Any) -> Outcome:
    outcome = await settled(answer)
    assert outcome is None or isinstance(outcome, (Message, CloseConnection)), outcome
    return outcome


def _broken(api: str, fault: Fault | None) -> CloseConnection:
    assert fault is not None
    return CloseConnection(f"a fault that a test has armed: the connection breaks {fault.when} {api}")


def _own_records(request: Message) -> None:
    """Give a request that is kept records of its own: they are views of what the connection received."""
    if isinstance(request, ProduceRequest):
        for topic in request.topic_data:
            for partition in topic.partition_data:
                if partition.records is not None:
                    partition.records = memoryview(bytearray(partition.records))


def _fail_topics(response: MetadataResponse, topic: str | None, error: ErrorCode) -> None:
    for one in response.topics:
        if topic is None or one.name == topic:
            one.error_code = error
            one.partitions = []
