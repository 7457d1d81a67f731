from __future__ import annotations

from tests.unit.node.grpc_api.node import CONTEXT, Node

from odradek.node.grpc_api.methods import Call, Method, Shape
from odradek.proto.kafka.errors import ErrorCode
from odradek.v1 import topic_service_pb2 as pb


def test_the_time_of_a_call_is_what_is_left_of_its_deadline() -> None:
    now = [100.0]
    call = Call(CONTEXT, lambda: now[0], 102.5)
    assert call.timeout_ms(7) == 2_500
    now[0] = 102.4
    assert 99 <= call.timeout_ms(7) <= 100
    now[0] = 200
    assert call.timeout_ms(7) == 1  # there is no such thing as none


def test_a_call_without_deadline_takes_what_its_method_allows() -> None:
    call = Call(CONTEXT, lambda: 0.0)
    assert call.timeout_ms(7) == 7 and not call.is_forwarded


def test_a_method_is_unary_and_of_the_node_that_is_asked_unless_it_says_so() -> None:
    async def answer(call: Call, request: pb.GetTopicRequest) -> pb.GetTopicResponse:
        return pb.GetTopicResponse()

    method = Method("GetTopic", pb.GetTopicRequest, answer)
    assert (method.shape, method.where, method.nobody) == (Shape.UNARY, None, ErrorCode.NOT_CONTROLLER)


async def test_a_group_that_nobody_coordinates_says_so() -> None:
    node = await Node.started()
    for name in ("GetGroup", "SetGroupOffsets"):
        assert node.methods[name].nobody is ErrorCode.COORDINATOR_NOT_AVAILABLE
