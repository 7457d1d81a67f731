from __future__ import annotations

from dataclasses import replace

from tests.unit.node.controller.metadata_node import CONTEXT, MetadataNode

from odradek.node.app.cluster import CLUSTER_OPERATIONS, TOPIC_OPERATIONS, BrokerAddress


async def test_without_advertised_listeners_the_address_is_the_one_dialled() -> None:
    node = await MetadataNode().start()
    assert node.cluster.brokers(CONTEXT) == [BrokerAddress(1, "dialled", 19092, None)]
    elsewhere = replace(CONTEXT, local_host="::1", local_port=5)
    assert node.cluster.address(elsewhere, 1) == ("::1", 5)


async def test_a_wildcard_listener_answers_with_what_was_dialled_too() -> None:
    node = await MetadataNode({"listeners": "PLAINTEXT://0.0.0.0:9092"}).start()
    assert node.cluster.address(CONTEXT, 1) == ("dialled", 19092)


async def test_an_advertised_address_is_that_of_the_listener_the_client_is_on() -> None:
    node = await MetadataNode(
        {
            "listeners": "PLAINTEXT://:9092,INNER://:9093",
            "advertised.listeners": "PLAINTEXT://outside:29092,INNER://inside:9093",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,INNER:PLAINTEXT",
            "inter.broker.listener.name": "INNER",
        }
    ).start()
    assert node.cluster.address(CONTEXT, 1) == ("outside", 29092)
    assert node.cluster.address(replace(CONTEXT, listener="INNER"), 1) == ("inside", 9093)


async def test_other_brokers_are_where_they_registered_for_that_listener() -> None:
    node = await MetadataNode().start()
    await node.join(node.broker(2, rack="r"))
    await node.join(node.broker(3, fenced=True))
    assert [one.broker_id for one in node.cluster.brokers(CONTEXT)] == [1, 2]
    with_fenced = node.cluster.brokers(CONTEXT, include_fenced=True)
    assert with_fenced[1:] == [
        BrokerAddress(2, "host2", 9092, "r"),
        BrokerAddress(3, "host3", 9092, None, fenced=True),
    ]
    assert node.cluster.address(replace(CONTEXT, listener="OTHER"), 2) is None
    assert node.cluster.address(CONTEXT, 9) is None


async def test_the_controller_is_a_live_broker() -> None:
    node = MetadataNode()
    assert node.cluster.controller_id == -1
    await node.start()
    assert node.cluster.controller_id == 1
    assert node.cluster.cluster_id == "a-cluster"
    await node.join(node.broker(1, fenced=True))
    await node.join(node.broker(2))
    assert node.cluster.controller_id == 2


def test_operations_are_the_bits_that_kafka_answers_without_an_authorizer() -> None:
    assert (TOPIC_OPERATIONS, CLUSTER_OPERATIONS) == (3576, 8096)
