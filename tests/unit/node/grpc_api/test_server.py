"""The server on loopback, as a client of gRPC sees it."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from tests.unit.node.grpc_api.doors import (
    COLLECT,
    ECHO,
    Door,
    Scripted,
    named,
    refusal,
    repeat,
    server_of,
    serving,
)

from odradek.node.grpc_api.methods import Call, Method, Stream
from odradek.node.grpc_api.refusal import RefusalError, refused
from odradek.node.grpc_api.server import GrpcServer, _check_size, _parser
from odradek.proto.kafka.errors import ErrorCode
from odradek.v1 import topic_service_pb2 as pb


class Recorder:
    """Remembers the calls; may wait until it is let go."""

    def __init__(self, *, waits: bool = False) -> None:
        self.calls: list[Call] = []
        self.began = asyncio.Event()
        self.let_go = asyncio.Event()
        self.cancelled = asyncio.Event()
        if not waits:
            self.let_go.set()

    async def __call__(self, call: Call, request: pb.GetTopicRequest) -> pb.GetTopicResponse:
        self.calls.append(call)
        self.began.set()
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return named(request.name)


async def soon(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), 20)


# -- calls


async def test_a_call_is_answered() -> None:
    async with serving(Scripted()) as door:
        assert await door.get("a") == named("a")


async def test_an_answer_that_is_encoded_already_is_sent_as_it_is() -> None:
    async def encoded(call: Call, request: pb.GetTopicRequest) -> Any:
        return named("encoded").SerializeToString()

    async with serving(Scripted(encoded)) as door:
        assert await door.get() == named("encoded")


async def test_a_call_knows_who_asks_and_where() -> None:
    recorder = Recorder()
    async with serving(Scripted(recorder)) as door:
        await door.get(metadata=(("client-id", "me"),))
        await door.get(metadata=(("odradek-forwarded", "3"),), timeout_s=None)
    first, second = recorder.calls
    assert (first.context.client_id, second.context.client_id) == ("me", None)
    assert (first.is_forwarded, second.is_forwarded) == (False, True)
    assert first.context.client_host == "127.0.0.1" and first.context.listener == "GRPC"
    assert (first.context.local_host, first.context.local_port) == ("a-host", 50051)
    assert first.context.connection_id.startswith("ipv4:127.0.0.1:")


async def test_a_call_knows_how_long_its_client_waits() -> None:
    recorder = Recorder()
    async with serving(Scripted(recorder)) as door:
        await door.get(timeout_s=100)
        await door.get(timeout_s=None)
    bounded, unbounded = recorder.calls
    assert 50_000 < bounded.timeout_ms(5) <= 102_000, "on the wire gRPC rounds up"
    assert unbounded.timeout_ms(5) == 5


async def test_a_refusal_is_a_status_with_the_name_and_when_to_try_again() -> None:
    async def refuse(call: Call, request: pb.GetTopicRequest) -> pb.GetTopicResponse:
        if request.name == "later":
            raise refused(ErrorCode.NOT_CONTROLLER, "nobody leads", node="3")
        raise refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "es gibt kein Thema »ä«")

    async with serving(Scripted(refuse)) as door:
        later, never = await refusal(door.get("later")), await refusal(door.get("never"))
    assert (later.status, later.message, later.reason) == ("UNAVAILABLE", "nobody leads", "NOT_CONTROLLER")
    assert (later.domain, later.metadata, later.retry_ms) == ("odradek.dev", {"node": "3"}, 100)
    assert (never.status, never.message) == ("NOT_FOUND", "es gibt kein Thema »ä«")
    assert never.retry_ms is None


async def test_a_bug_costs_its_call(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(call: Call, request: pb.GetTopicRequest) -> pb.GetTopicResponse:
        if request.name == "bug":
            raise KeyError("a secret")
        return named(request.name)

    async with serving(Scripted(fail)) as door:
        found = await refusal(door.get("bug"))
        assert await door.get("next") == named("next")
    assert (found.status, found.reason) == ("INTERNAL", "UNKNOWN_SERVER_ERROR")
    assert found.message == "the node failed in this call"
    assert "/odradek.v1.TopicService/GetTopic failed" in caplog.text and "a secret" in caplog.text


async def test_a_client_that_does_not_wait_any_longer_ends_the_work() -> None:
    recorder = Recorder(waits=True)
    async with serving(Scripted(recorder)) as door:
        for timeout_s in (0.05, 0.5, 5.0):  # it may give up before its call has arrived
            assert (await refusal(door.get(timeout_s=timeout_s))).status == "DEADLINE_EXCEEDED"
            if recorder.began.is_set():
                break
        await soon(recorder.cancelled)


async def test_a_client_that_cancels_ends_the_work(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(waits=True)
    async with serving(Scripted(recorder)) as door:
        call = door.get()
        await soon(recorder.began)
        call.cancel()
        await soon(recorder.cancelled)
    assert "failed" not in caplog.text


async def test_a_message_over_the_limit_is_refused() -> None:
    async with serving(Scripted(), message_bytes_max=1000) as door:
        assert await door.get("a" * 900) == named("a" * 900)
        assert (await refusal(door.get("a" * 1100))).status == "RESOURCE_EXHAUSTED"
        assert await door.get("next") == named("next")


def test_a_method_may_have_a_limit_of_its_own() -> None:
    async def never(call: Call, request: pb.GetTopicRequest) -> pb.GetTopicResponse:
        raise AssertionError("it was not to be parsed")

    method = Method("GetTopic", pb.GetTopicRequest, never, bytes_max=10)
    small = pb.GetTopicRequest(name="a").SerializeToString()
    assert _parser(method)(small) == pb.GetTopicRequest(name="a")
    _check_size(pb.GetTopicRequest(), method)
    with pytest.raises(RefusalError, match="11 bytes; GetTopic takes at most 10") as raised:
        _check_size(_parser(method)(bytes(11)), method)
    assert raised.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_an_answer_may_be_larger_than_a_request() -> None:
    async def large(call: Call, request: pb.GetTopicRequest) -> pb.GetTopicResponse:
        return named("a" * 100_000)

    async with serving(Scripted(large), message_bytes_max=1000) as door:
        assert len((await door.get()).topic.name) == 100_000


async def test_a_method_that_is_not_there() -> None:
    async with serving(Scripted()) as door:
        ask: Any = door.channel.unary_unary("/odradek.v1.TopicService/NoSuch")
        assert (await refusal(ask(b"", timeout=20))).status == "UNIMPLEMENTED"


# -- streams


async def test_a_stream_of_requests_has_one_answer() -> None:
    async with serving(Scripted()) as door:
        stream = door.stream(COLLECT)
        for name in "abc":
            await stream.write(pb.GetTopicRequest(name=name))
        await stream.done_writing()
        assert await stream == named("a,b,c")


async def test_both_directions_of_a_stream_go_on_together() -> None:
    async with serving(Scripted()) as door:
        stream = door.stream(ECHO)
        for name in "ab":
            await stream.write(pb.GetTopicRequest(name=name))
            assert await stream.read() == named(name)
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        assert (await stream.code()) is grpc.StatusCode.OK


@pytest.mark.parametrize(("path", "field"), [(COLLECT, "collect"), (ECHO, "echo")])
async def test_a_stream_is_refused_and_a_bug_costs_it(
    path: str, field: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(call: Call, stream: Stream) -> Any:
        if (await stream.read()).name == "bug":  # type: ignore[union-attr]
            raise KeyError("a bug")
        raise refused(ErrorCode.ILLEGAL_GENERATION, "too late")

    scripted: Any = Scripted(**{field: fail})  # type: ignore[arg-type]
    async with serving(scripted) as door:

        async def ended(name: str) -> Any:
            stream = door.stream(path)
            await stream.write(pb.GetTopicRequest(name=name))
            return await refusal(stream if path == COLLECT else stream.read())

        late, bug = await ended("late"), await ended("bug")
        assert await door.get("next") == named("next")
    assert (late.status, late.reason, late.message) == ("ABORTED", "ILLEGAL_GENERATION", "too late")
    assert (bug.status, bug.reason) == ("INTERNAL", "UNKNOWN_SERVER_ERROR")
    assert "a bug" in caplog.text


async def test_a_client_that_leaves_a_stream_ends_its_work_quietly(caplog: pytest.LogCaptureFixture) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def wait(call: Call, stream: Stream) -> None:
        try:
            await stream.read()
            began.set()
            await stream.read()
        finally:
            ended.set()

    async with serving(Scripted(echo=wait)) as door:
        stream = door.stream(ECHO)
        await stream.write(pb.GetTopicRequest(name="a"))
        await soon(began)
        stream.cancel()
        await soon(ended)
        assert await door.get("next") == named("next")
    assert "failed" not in caplog.text


# -- health and reflection


def health(door: Door) -> Any:
    check: Any = door.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    return lambda service: check(health_pb2.HealthCheckRequest(service=service), timeout=20)


async def test_the_health_of_the_node_and_of_each_service() -> None:
    async with serving(Scripted()) as door:
        check = health(door)
        for service in ("", "odradek.v1.TopicService"):
            assert (await check(service)).status == health_pb2.HealthCheckResponse.SERVING
        assert (await refusal(check("no.such.Service"))).status == "NOT_FOUND"


async def test_who_watches_the_health_hears_that_the_node_stops() -> None:
    server = server_of(Scripted())
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        watch: Any = channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        watching = watch(health_pb2.HealthCheckRequest(service=""), timeout=20)
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
        stopping = asyncio.create_task(server.stop())
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watching.cancel()
        await stopping


async def test_what_is_served_can_be_asked_for() -> None:
    async with serving(Scripted()) as door:
        open_: Any = door.channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        stream = open_(timeout=20)
        await stream.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        listed = {one.name for one in (await stream.read()).list_services_response.service}
        assert listed >= {"odradek.v1.TopicService", "grpc.health.v1.Health"}
        symbol = "odradek.v1.TopicService"
        await stream.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol))
        files = (await stream.read()).file_descriptor_response.file_descriptor_proto
        assert any(b"CreateTopicRequest" in one for one in files)
        await stream.done_writing()


# -- life


async def test_calls_that_wait_end_when_the_server_stops() -> None:
    recorder = Recorder(waits=True)
    server = server_of(Scripted(recorder))
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        waiting = asyncio.ensure_future(refusal(Door(server, channel).get()))
        await soon(recorder.began)
        await server.stop()
        assert (await waiting).status == "UNAVAILABLE"
        await soon(recorder.cancelled)
        assert (await refusal(Door(server, channel).get(timeout_s=5))).status == "UNAVAILABLE"
    await server.stop()  # once more is nothing


async def test_a_call_that_is_nearly_done_is_let_end() -> None:
    recorder = Recorder(waits=True)
    server = server_of(Scripted(recorder))
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        waiting = asyncio.ensure_future(Door(server, channel).get("a"))
        await soon(recorder.began)
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        recorder.let_go.set()
        assert await waiting == named("a")
        await stopping


async def test_an_address_that_is_taken_is_an_error_and_a_free_one_is_told() -> None:
    server = server_of(Scripted(repeat))
    assert server.port > 0 and server.address == f"127.0.0.1:{server.port}"
    with pytest.raises(OSError, match=r"taken|address|bind"):
        server_of(Scripted(repeat), port=server.port)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OSError, match=r"taken|address|bind"):
            server_of(Scripted(repeat), port=other.getsockname()[1])
    await server.stop()


def test_an_address_of_version_6_has_brackets() -> None:
    server = GrpcServer([], lambda: ("", 0), "GRPC", 1000)
    server.host, server.port = "::1", 7
    assert server.address == "[::1]:7"
