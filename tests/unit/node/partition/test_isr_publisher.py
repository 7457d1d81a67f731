"""Proposals on their way to the controller."""

import asyncio
from collections.abc import Callable

from tests.unit.node.app.data_path import World

from odradek.node.partition.isr import IsrAnswer, IsrMember, IsrProposal
from odradek.node.partition.isr_publisher import IsrPublisher, build_request
from odradek.node.partition.partition import Partition
from odradek.proto.kafka.codec import decode, encode
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.controller import AlterPartitionRequest, AlterPartitionResponse


class Channel:
    """Answers with what a test has prepared, in turn; accepts everything after that."""

    def __init__(self, *outcomes: BaseException | ErrorCode) -> None:
        self.outcomes = list(outcomes)
        self.requests: list[AlterPartitionRequest] = []
        self.asked = asyncio.Event()

    async def alter_partition(self, request: AlterPartitionRequest) -> AlterPartitionResponse:
        self.requests.append(decode(AlterPartitionRequest, 3, bytearray(b"".join(encode(request, 3)))))
        self.asked.set()
        outcome = self.outcomes.pop(0) if self.outcomes else ErrorCode.NONE
        if isinstance(outcome, BaseException):
            raise outcome
        if outcome is not ErrorCode.NONE:
            return AlterPartitionResponse(error_code=outcome)
        return AlterPartitionResponse(
            topics=[
                AlterPartitionResponse.TopicData(
                    topic_id=topic.topic_id,
                    partitions=[
                        AlterPartitionResponse.PartitionData(
                            partition_index=one.partition_index,
                            leader_epoch=one.leader_epoch,
                            partition_epoch=one.partition_epoch + 1,
                            isr=[member.broker_id for member in one.new_isr_with_epochs],
                        )
                        for one in topic.partitions
                    ],
                )
                for topic in request.topics
            ]
        )


class Answers:
    def __init__(self, again: int = 0) -> None:
        self.heard: list[tuple[str, IsrAnswer]] = []
        self._again = again

    def __call__(self, partition: Partition, proposal: IsrProposal, answer: IsrAnswer) -> bool:
        self.heard.append((repr(partition), answer))
        self._again -= 1
        return self._again >= 0


def made(channel: Channel, again: int = 0) -> tuple[IsrPublisher, Answers, Callable[[int], Partition]]:
    publisher = IsrPublisher(1, lambda: 70, channel)
    answers = Answers(again)
    publisher.on_answer = answers
    world = World()

    def proposed(index: int) -> Partition:
        partition = world.partition("t", index)
        partition.replica.proposal = IsrProposal(5, 3, (IsrMember(1, 70), IsrMember(2, 80)))
        publisher.propose(partition, partition.replica.proposal)
        return partition

    return publisher, answers, proposed


async def done(publisher: IsrPublisher) -> None:
    while publisher._task is not None:
        await asyncio.wait([publisher._task])
        await asyncio.sleep(0)


async def test_proposals_of_one_turn_are_one_request() -> None:
    channel = Channel()
    publisher, answers, propose = made(channel)
    propose(0)
    propose(1)
    await done(publisher)
    (request,) = channel.requests
    assert (request.broker_id, request.broker_epoch) == (1, 70)
    (topic,) = request.topics
    assert [one.partition_index for one in topic.partitions] == [0, 1]
    first = topic.partitions[0]
    assert (first.leader_epoch, first.partition_epoch) == (5, 3)
    assert [(one.broker_id, one.broker_epoch) for one in first.new_isr_with_epochs] == [(1, 70), (2, 80)]
    assert [name for name, _ in answers.heard] == ["t-0", "t-1"]
    assert answers.heard[0][1] == IsrAnswer(ErrorCode.NONE, (1, 2), 5, 4)


async def test_what_could_not_be_delivered_is_sent_again_with_what_came_meanwhile() -> None:
    channel = Channel(ConnectionError(), TimeoutError(), ErrorCode.NOT_CONTROLLER)
    publisher, answers, propose = made(channel)
    propose(0)
    await channel.asked.wait()
    propose(1)
    await done(publisher)
    assert len(channel.requests) == 4
    assert [one.partition_index for one in channel.requests[-1].topics[0].partitions] == [0, 1]
    assert len(answers.heard) == 2


async def test_what_is_to_be_asked_again_is() -> None:
    channel = Channel()
    publisher, answers, propose = made(channel, again=1)
    propose(0)
    await done(publisher)
    assert len(channel.requests) == 2 == len(answers.heard)


async def test_what_a_newer_state_has_overtaken_is_not_sent_again() -> None:
    channel = Channel(ConnectionError())
    publisher, answers, propose = made(channel)
    partition = propose(0)
    await channel.asked.wait()
    partition.replica.proposal = None
    await done(publisher)
    assert len(channel.requests) == 1 and not answers.heard


async def test_a_stopped_publisher_sends_nothing() -> None:
    channel = Channel()
    publisher, _, propose = made(channel)
    propose(0)
    publisher.stop()
    await done(publisher)
    propose(1)
    assert publisher._task is None and not channel.requests


def test_topics_are_told_apart() -> None:
    world = World()
    proposal = IsrProposal(0, 0, (IsrMember(1, -1),))
    waiting = {(name.encode() * 16, 0): (world.partition(name), proposal) for name in ("t", "u")}
    request = build_request(1, 2, waiting)
    assert [topic.topic_id for topic in request.topics] == [b"t" * 16, b"u" * 16]
