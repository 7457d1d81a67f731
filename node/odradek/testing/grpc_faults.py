"""Faults at the gRPC door: stands between the server and the servicers of a node.

Decides how a fault looks to a gRPC client: a status with Kafka's error in it, a late answer, or UNAVAILABLE, which is
what a client sees when a connection breaks. Does not decide which calls meet one (`faults`).

A call with streams meets a fault when it begins, and again with each message of the node that holds records: so a
Consume stream that is open can be cut. A fault for a topic is met by the messages that have it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

from google.protobuf.message import Message
from grpc import StatusCode

from odradek.node.grpc_api.methods import Call, Method, Servicer, Shape, Stream
from odradek.node.grpc_api.refusal import RefusalError, refused
from odradek.testing.faults import NO_PLAN, Fault, Faults, Plan
from odradek.testing.pauses import Pauses
from odradek.v1.record_service_pb2 import ConsumeResponse

_TEXT: Final = "a fault that a test has armed"


class GrpcFaults:
    """`servicer` gives the servicer to use in the place of a node's."""

    def __init__(self, faults: Faults, pauses: Pauses) -> None:
        self._faults = faults
        self._pauses = pauses

    def servicer(self, servicer: Servicer) -> Servicer:
        return _FaultyServicer(servicer, self._faults, self._pauses)


class _FaultyServicer:
    def __init__(self, plain: Servicer, faults: Faults, pauses: Pauses) -> None:
        self._plain = plain
        self._faults = faults
        self._pauses = pauses

    @property
    def service(self) -> str:
        return self._plain.service

    def methods(self) -> list[Method]:
        return [self._method(method) for method in self._plain.methods()]

    def _method(self, method: Method) -> Method:
        api = f"{self.service.rpartition('.')[2]}/{method.name}"
        gate = _Gate(api, self._faults, self._pauses)
        if method.shape is Shape.UNARY:

            async def unary(call: Call, request: Any) -> Any:
                plan = gate.plan(request)
                await gate.before(plan)
                response = await method.call(call, request)
                await gate.after(plan)
                return response

            return replace(method, call=unary)

        async def streaming(call: Call, stream: Stream) -> Any:
            has_answer = method.shape is Shape.CLIENT_STREAM
            plan = gate.plan(None, has_after=has_answer)
            await gate.before(plan)
            faulty = _FaultyStream(stream, gate, method.shape)
            response = await method.call(call, faulty)
            if has_answer:
                for one in (plan, *faulty.plans):
                    await gate.after(one)
            return response

        return replace(method, call=streaming)


class _Gate:
    """Where calls of one method pass."""

    def __init__(self, api: str, faults: Faults, pauses: Pauses) -> None:
        self._api = api
        self._faults = faults
        self._pauses = pauses

    def plan(self, message: Message | None, *, has_after: bool = True) -> Plan:
        """What is met here. Without `has_after` there is no answer that could be late or lost."""
        if not self._faults.is_armed(self._api):
            return NO_PLAN
        return self._faults.take(
            self._api, lambda: topics_of(message), lambda fault: has_after or fault.when == "before"
        )

    async def before(self, plan: Plan) -> None:
        """Raises RefusalError for what is not to be carried out."""
        if plan.delay_before_s and not await self._pauses.sleep(plan.delay_before_s):
            raise _broken("the broker stops")
        if plan.error is not None:
            raise refused(plan.error, f"{_TEXT}: {plan.error.name}")
        if plan.drops("before"):
            raise self._dropped(plan.end)

    async def after(self, plan: Plan) -> None:
        """Raises RefusalError for an answer that is to be lost."""
        if plan.delay_after_s:
            await self._pauses.sleep(plan.delay_after_s)
        if plan.drops("after"):
            raise self._dropped(plan.end)

    def _dropped(self, fault: Fault | None) -> RefusalError:
        assert fault is not None
        return _broken(f"{_TEXT}: the connection breaks {fault.when} {self._api}")


class _FaultyStream:
    """`Stream` with faults at what it carries of records."""

    def __init__(self, plain: Stream, gate: _Gate, shape: Shape) -> None:
        self._plain = plain
        self._gate = gate
        self._shape = shape
        self.plans: list[Plan] = []
        """What requests with records met, where it comes after all of them."""

    async def read(self) -> Any | None:
        request = await self._plain.read()
        if request is not None and self._shape is Shape.CLIENT_STREAM:
            plan = self._gate.plan(request)
            await self._gate.before(plan)
            self.plans.append(plan)
        return request

    async def write(self, response: Any) -> None:
        if _has_records(response):
            plan = self._gate.plan(response)
            await self._gate.before(plan)
            await self._gate.after(plan)
        await self._plain.write(response)


def topics_of(message: Message | None) -> Collection[str]:
    """Every topic that a message names, at any depth."""
    names: set[str] = set()
    if message is not None:
        _collect(message, names)
    return names


def _collect(message: Message, names: set[str]) -> None:
    for field, value in message.ListFields():
        if field.message_type is not None:
            if not hasattr(value, "ListFields"):
                for one in value:
                    if hasattr(one, "ListFields"):
                        _collect(one, names)
            else:
                _collect(value, names)
        elif field.name == "topic":
            names.add(value)
        elif field.name == "topics":
            names.update(value)


def _has_records(response: ConsumeResponse) -> bool:
    return bool(response.WhichOneof("event") == "records")


def _broken(message: str) -> RefusalError:
    return RefusalError(StatusCode.UNAVAILABLE, "NETWORK_EXCEPTION", message)
