"""How the parts of a node are joined: the image reaches replicas and coordinators."""

import asyncio
from dataclasses import replace
from random import Random

from odradek.node.config import NodeConfig
from odradek.node.controller.image import BrokerImage
from odradek.node.controller.records import ConfigRecord, encode_records
from odradek.node.controller.topics import NewTopic
from odradek.node.partition.replicas import Partition
from odradek.node.ports import system_ports
from odradek.node.runtime.alarm import Alarm
from odradek.node.services import Services, group_config
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.schema import Message
from odradek.storage.flusher import SteppedFlusher
from odradek.storage.log_dirs import LogDirs
from odradek.storage.memory_disk import MemoryDisk


class MetadataLog:
    """A log of one voter that commits at once."""

    is_leader = True
    leader_id = 1

    def __init__(self, services: Services) -> None:
        self._services = services
        self._index = 0

    def read_index(self) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(0)
        return future

    def propose(self, data: bytes) -> asyncio.Future[int]:
        self._index += 1
        self._services.controller.machine.apply(self._index, data)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(self._index)
        return future


async def nowhere(request: Message, version: int) -> Message:
    raise ConnectionError(f"{request!r} needs the whole node")


async def made(**settings: str) -> Services:
    loop = asyncio.get_running_loop()
    dirs = LogDirs(MemoryDisk(), ["data"], loop.call_soon, flusher=SteppedFlusher)
    dirs.start(0)
    config = NodeConfig({name.replace("_", "."): value for name, value in settings.items()})
    ports = replace(system_ports(loop), random=Random(1))
    services = Services(config, dirs, ports, loop, lambda on_due: Alarm(loop, on_due), nowhere)
    services.controller.attach(MetadataLog(services))
    await services.controller.start("cluster-id-of-22-chars", BrokerImage(1, 0, bytes(16), {}))
    return services


async def test_a_created_topic_can_be_found_and_a_deleted_one_cannot() -> None:
    services = await made()
    (outcome,) = await services.controller.create_topics([NewTopic("t", 2, 1)])
    assert isinstance(services.replicas.find("t", 1), Partition)
    assert services.topic_name(outcome.topic_id) == "t"
    await services.controller.delete_topics(["t"], [])
    assert services.replicas.find("t", 1) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert services.topic_name(outcome.topic_id) is None


async def test_changed_configs_reach_open_logs_of_the_topic_and_of_all_topics() -> None:
    services = await made()
    await services.controller.create_topics([NewTopic("t", 1, 1), NewTopic("u", 1, 1)])
    opened = [services.replicas.find(name, 0) for name in "tu"]
    machine = services.controller.machine

    def change(resource_type: int, resource: str, name: str, value: str) -> None:
        changes = [ConfigRecord.Change(name=name, value=value)]
        record = ConfigRecord(resource_type=resource_type, resource_name=resource, changes=changes)
        machine.apply(machine.image.applied_index + 1, encode_records([record]))

    change(2, "t", "retention.ms", "1000")
    change(4, "", "log.retention.ms", "2000")
    assert [one.log.config.retention_ms for one in opened if isinstance(one, Partition)] == [1000, 2000]


def test_the_settings_of_groups_have_their_units() -> None:
    config = group_config(NodeConfig({"offsets.retention.minutes": "2", "group.max.size": "7"}))
    assert (config.offsets_retention_ms, config.max_size) == (120_000, 7)
