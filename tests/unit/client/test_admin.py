"""The Admin against a real node in this process, and against one that fails as a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from odradek.client import admin as admin_module
from odradek.client.admin import Admin
from odradek.client.descriptions import ConfigChange, ConfigResource
from odradek.client.errors import (
    InvalidRequestError,
    NodeUnavailableError,
    OdradekError,
    TopicExistsError,
    UnknownGroupError,
    UnknownTopicError,
)
from odradek.client.records import Position, TopicPartition
from odradek.node.broker import Broker
from odradek.node.config import load_config

NOBODY = "127.0.0.1:1"


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    settings = ["odradek.grpc.listener=127.0.0.1:0"]
    broker = Broker(
        load_config(data=str(tmp_path / "data"), listen="127.0.0.1:0", assignments=settings).config
    )
    await broker.start()
    assert broker.grpc_address is not None
    yield broker.grpc_address
    await broker.stop()


@pytest.fixture
async def admin(address: str) -> AsyncIterator[Admin]:
    async with Admin(address, timeout_ms=10_000) as admin:
        yield admin


async def test_topics_page_after_page(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_module, "PAGE_SIZE", 2)
    for name in ("a", "b", "c", "d", "e"):
        await admin.create_topic(name, partition_count=3)
    assert [topic.name async for topic in admin.list_topics()] == ["a", "b", "c", "d", "e"]
    assert [topic.name async for topic in admin.list_topics("[bd]")] == ["b", "d"]
    partitions = [(one.topic, one.partition) async for one in admin.list_partitions()]
    assert partitions == [(name, number) for name in "abcde" for number in range(3)]
    assert [one async for one in admin.list_partitions(only_unhealthy=True)] == []


async def test_a_topic_is_made_changed_and_deleted(admin: Admin) -> None:
    topic = await admin.create_topic("t", assignments=[[1], [1]], configs={"retention.ms": "5000"})
    assert (topic.partition_count, topic.replication_factor, len(topic.topic_id)) == (2, 1, 16)
    with pytest.raises(TopicExistsError):
        await admin.create_topic("t")
    with pytest.raises(InvalidRequestError):
        await admin.create_topic("no way")
    await admin.create_partitions("t", 4)
    await admin.update_configs(ConfigResource.topic("t"), [ConfigChange("retention.ms", "6000")])
    found = await admin.get_topic("t")
    assert (found.partition_count, dict(found.configs)) == (4, {"retention.ms": "6000"})
    [config] = [one async for one in admin.list_configs(ConfigResource.topic("t"), ["retention.ms"])]
    assert (config.value, config.source) == ("6000", "topic")
    with pytest.raises(ValueError, match="CONFIG_OPERATION_SHOUT"):
        await admin.update_configs(ConfigResource.topic("t"), [ConfigChange("a", "b", "shout")])
    await admin.delete_topic("t")
    with pytest.raises(UnknownTopicError):
        await admin.get_topic("t")


async def test_offsets_and_groups(admin: Admin) -> None:
    await admin.create_topic("t", partition_count=2)
    tps = [TopicPartition("t", 0), TopicPartition("t", 1)]
    assert await admin.list_offsets(dict.fromkeys(tps, Position.latest())) == {tps[0]: 0, tps[1]: 0}
    assert await admin.list_offsets({tps[0]: Position.at_time(0)}) == {tps[0]: -1}
    with pytest.raises(UnknownTopicError, match="no partition 7"):
        await admin.list_offsets({TopicPartition("t", 7): Position.latest()})
    assert await admin.delete_records({tps[0]: -1}) == {tps[0]: 0}
    assert await admin.set_group_offsets("g", {tps[0]: Position.earliest(), tps[1]: 0}) == {
        tps[0]: 0,
        tps[1]: 0,
    }
    assert [(one.topic, one.partition, one.lag) async for one in admin.list_group_offsets("g")] == [
        ("t", 0, 0),
        ("t", 1, 0),
    ]
    assert [group.group_id async for group in admin.list_groups(["empty"])] == ["g"]
    assert (await admin.get_group("g")).state == "empty"
    await admin.delete_group_offsets("g", tps[:1])
    assert [one.partition async for one in admin.list_group_offsets("g")] == [1]
    with pytest.raises(UnknownGroupError):
        await admin.remove_group_member("g", member_id="m")
    with pytest.raises(ValueError, match="either"):
        await admin.remove_group_member("g")
    await admin.delete_group("g")
    with pytest.raises(UnknownGroupError):
        await admin.get_group("g")


async def test_the_cluster(admin: Admin, address: str) -> None:
    await admin.create_topic("t", partition_count=1)
    tp = TopicPartition("t", 0)
    cluster = await admin.get_cluster(address)
    assert cluster.controller_id == cluster.answered_by == 1 and cluster.time_ms > 0
    assert address in [f"{one.host}:{one.port}" for one in cluster.nodes[0].listeners if one.name == "GRPC"]
    assert (await admin.get_quorum()).leader_id == 1
    assert [one async for one in admin.list_reassignments()] == []
    moved, refused = await admin.alter_reassignments({tp: [1], TopicPartition("t", 9): [1]})
    assert moved.error is None and isinstance(refused.error, UnknownTopicError)
    assert len(await admin.elect_leaders([tp])) == 1
    assert [one.error async for one in admin.list_log_dirs(1)] == [None]
    with pytest.raises(OdradekError):
        assert [one async for one in admin.list_log_dirs(9)] == []


async def test_what_must_not_be_made_twice_goes_to_a_node_that_answers(address: str) -> None:
    for number in range(6):
        # Whichever of the two is asked first.
        async with Admin(f"{NOBODY},{address}", timeout_ms=10_000) as admin:
            await admin.create_topic(f"t{number}")


async def test_nobody_answers() -> None:
    async with Admin(NOBODY, timeout_ms=1_500) as admin:
        with pytest.raises(NodeUnavailableError):
            await admin.get_cluster()
