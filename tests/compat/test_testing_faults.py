"""The broker in the test's process under clients that are not ours: what a fault does to them.

The clients' own rules decide what happens next: what may be tried again is tried again, and is written once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError as AioKafkaError
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from tests.compat.confluent import api

from odradek.testing import Broker, BrokerThread

WAIT_S = 30.0


@pytest.fixture
def broker() -> Iterator[BrokerThread]:
    with BrokerThread() as broker:
        yield broker


def new_producer(broker: BrokerThread, **settings: object) -> Producer:
    config = {"bootstrap.servers": broker.bootstrap_servers, "retry.backoff.ms": 10, "linger.ms": 0}
    return Producer({**config, **{name.replace("_", "."): value for name, value in settings.items()}})


def produced(producer: Producer, topic: str, *values: bytes) -> list[Message | KafkaError]:
    """What became of each record: the message, or the error."""
    outcomes: list[Message | KafkaError] = []
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, message: outcomes.append(error or message))
        assert producer.flush(WAIT_S) == 0
    return outcomes


def values_of(broker: BrokerThread, topic: str, partitions: int = 1) -> list[bytes | None]:
    """Everything in a topic, up to its end now."""
    config = {
        "bootstrap.servers": broker.bootstrap_servers,
        "group.id": "values",
        "enable.auto.commit": False,
    }
    consumer = Consumer({**config, "auto.offset.reset": "earliest", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, index, 0) for index in range(partitions)])
    found: list[bytes | None] = []
    ended = 0
    while ended < partitions:
        message = consumer.poll(WAIT_S)
        assert message is not None, f"{found} and no more"
        error = message.error()
        if error is None:
            found.append(message.value())
        else:
            assert error.code() == KafkaError._PARTITION_EOF, error
            ended += 1
    consumer.close()
    return found


# -- confluent-kafka (librdkafka)


def test_a_producer_tries_again_when_the_leader_has_moved(broker: BrokerThread) -> None:
    topic = broker.create_topic("orders")
    fault = broker.faults.fail("Produce", error="NOT_LEADER_OR_FOLLOWER", times=2, topic=topic)
    (message,) = produced(new_producer(broker), topic, b"one")
    assert isinstance(message, Message) and message.offset() == 0
    assert fault.fired == 2 and broker.faults.fired == {"Produce": 2}
    assert values_of(broker, topic) == [b"one"]


def test_a_batch_whose_answer_is_lost_is_written_once(broker: BrokerThread) -> None:
    topic = broker.create_topic("orders")
    fault = broker.faults.drop_connection("Produce", when="after", times=1)
    producer = new_producer(broker, enable_idempotence=True)
    outcomes = produced(producer, topic, b"one", b"two")
    assert [outcome.offset() for outcome in outcomes if isinstance(outcome, Message)] == [0, 1]
    assert fault.fired == 1
    assert values_of(broker, topic) == [b"one", b"two"]


def test_without_idempotence_the_same_loss_doubles_the_batch(broker: BrokerThread) -> None:
    """So the answer was lost, and the request was not."""
    topic = broker.create_topic("orders")
    broker.faults.drop_connection("Produce", when="after", times=1)
    produced(new_producer(broker, enable_idempotence=False), topic, b"one")
    assert values_of(broker, topic) == [b"one", b"one"]


def test_a_batch_whose_connection_breaks_before_it_is_read_is_written_once(broker: BrokerThread) -> None:
    topic = broker.create_topic("orders")
    fault = broker.faults.drop_connection("Produce", when="before", times=1)
    produced(new_producer(broker, enable_idempotence=False), topic, b"one")
    assert fault.fired == 1
    assert values_of(broker, topic) == [b"one"]


def test_an_error_that_no_retry_helps_reaches_the_caller(broker: BrokerThread) -> None:
    topic = broker.create_topic("orders")
    with broker.faults.fail("Produce", error="TOPIC_AUTHORIZATION_FAILED"):
        (error,) = produced(new_producer(broker), topic, b"one")
    assert isinstance(error, KafkaError) and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert values_of(broker, topic) == []


def test_one_topic_fails_and_another_does_not(broker: BrokerThread) -> None:
    orders, clicks = broker.create_topic("orders"), broker.create_topic("clicks")
    broker.faults.fail("Produce", error="INVALID_RECORD", topic=orders)
    producer = new_producer(broker)
    (error,) = produced(producer, orders, b"one")
    assert isinstance(error, KafkaError) and error.code() == KafkaError.INVALID_RECORD
    (message,) = produced(producer, clicks, b"one")
    assert isinstance(message, Message)


def test_a_consumer_reads_on_behind_late_fetches_and_fetches_that_fail(broker: BrokerThread) -> None:
    topic = broker.create_topic("orders", partitions=2)
    produced(new_producer(broker), topic, *(b"%d" % number for number in range(20)))
    late = broker.faults.delay("Fetch", seconds=0.05, times=2)
    failing = broker.faults.fail("Fetch", error="NOT_LEADER_OR_FOLLOWER", times=2, topic=topic)
    lost = broker.faults.drop_connection("Fetch", when="after", times=1)
    assert sorted(values_of(broker, topic, 2), key=lambda value: int(value or b"")) == [
        b"%d" % number for number in range(20)
    ]
    assert (late.fired, failing.fired, lost.fired) == (2, 2, 1)


def test_a_group_forms_although_its_coordinator_is_not_there_at_first(broker: BrokerThread) -> None:
    topic = broker.create_topic("orders")
    produced(new_producer(broker), topic, b"one")
    faults = broker.faults
    looked_up = faults.fail("FindCoordinator", error="COORDINATOR_NOT_AVAILABLE", times=1)
    joining = faults.fail("JoinGroup", error="COORDINATOR_LOAD_IN_PROGRESS", times=1)
    late = faults.delay("SyncGroup", seconds=0.05, times=1)
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": "readers",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "retry.backoff.ms": 10,
        }
    )
    consumer.subscribe([topic])
    message = consumer.poll(WAIT_S)
    assert message is not None and message.value() == b"one"
    assert (looked_up.fired, joining.fired, late.fired) == (1, 1, 1)
    with faults.fail("OffsetCommit", error="REBALANCE_IN_PROGRESS"), pytest.raises(KafkaException) as raised:
        consumer.commit(message=message, asynchronous=False)
    assert raised.value.args[0].code() == KafkaError.REBALANCE_IN_PROGRESS
    consumer.commit(message=message, asynchronous=False)
    consumer.close()


def test_an_admin_is_refused_for_one_topic_of_two(broker: BrokerThread) -> None:
    broker.faults.fail("CreateTopics", error="POLICY_VIOLATION", topic="orders", times=1)
    admin = api.AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    made = admin.create_topics([api.NewTopic("orders", 1, 1), api.NewTopic("clicks", 1, 1)])
    made["clicks"].result(WAIT_S)
    with pytest.raises(KafkaException) as raised:
        made["orders"].result(WAIT_S)
    assert raised.value.args[0].code() == KafkaError.POLICY_VIOLATION
    assert set(admin.list_topics(timeout=WAIT_S).topics) == {"clicks"}


def test_a_topic_without_a_leader_is_waited_for(broker: BrokerThread) -> None:
    topic = broker.create_topic("orders")
    fault = broker.faults.fail("Metadata", error="LEADER_NOT_AVAILABLE", times=2, topic=topic)
    producer = new_producer(broker, topic_metadata_refresh_fast_interval_ms=20)
    (message,) = produced(producer, topic, b"one")
    assert isinstance(message, Message) and fault.fired == 2


def test_a_client_outlives_a_restart(broker: BrokerThread) -> None:
    topic = broker.create_topic("orders")
    producer = new_producer(broker, reconnect_backoff_ms=10)
    produced(producer, topic, b"one")
    broker.restart()
    produced(producer, topic, b"two")
    assert values_of(broker, topic) == [b"one", b"two"]


def test_many_brokers_at_once_keep_to_themselves() -> None:
    def one(number: int) -> None:
        with BrokerThread() as broker:
            topic = broker.create_topic("orders")
            produced(new_producer(broker), topic, b"%d" % number)
            found[number] = values_of(broker, topic)

    found: dict[int, list[bytes | None]] = {}
    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [b"%d" % number] for number in range(4)}


# -- aiokafka, on the same event loop as the broker


async def test_aiokafka_tries_again_and_writes_once() -> None:
    async with Broker(grpc=False) as broker:
        await broker.create_topic("orders")
        servers = broker.bootstrap_servers
        producer = AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True, retry_backoff_ms=10)
        async with producer:
            broker.faults.fail("Produce", error="NOT_LEADER_OR_FOLLOWER", times=1, topic="orders")
            first = await producer.send_and_wait("orders", b"one")
            broker.faults.drop_connection("Produce", when="after", times=1)
            second = await asyncio.wait_for(producer.send_and_wait("orders", b"two"), WAIT_S)
            broker.faults.delay("Produce", seconds=0.05, times=1)
            third = await producer.send_and_wait("orders", b"three")
        assert (first.offset, second.offset, third.offset) == (0, 1, 2)
        assert broker.faults.fired == {"Produce": 3}
        consumer = AIOKafkaConsumer("orders", bootstrap_servers=servers, auto_offset_reset="earliest")
        async with consumer:
            found = [(await asyncio.wait_for(consumer.getone(), WAIT_S)).value for _ in range(3)]
        assert found == [b"one", b"two", b"three"]


async def test_aiokafka_hears_of_what_no_retry_helps() -> None:
    async with Broker(grpc=False) as broker:
        await broker.create_topic("orders")
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers) as producer:
            with broker.faults.fail("Produce", error="MESSAGE_TOO_LARGE"), pytest.raises(AioKafkaError):
                await producer.send_and_wait("orders", b"one")
            assert (await producer.send_and_wait("orders", b"two")).offset == 0
