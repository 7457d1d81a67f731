"""The example of every language over a killed leader: nothing lost, nothing doubled (make test-languages)."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, TopicPartition
from tests.compat import confluent
from tests.compat.audit import end_offset
from tests.compat.clusters import Cluster, OdradekFromFile
from tests.compat.conftest import OF_THREE
from tests.compat.servers import HOST, quiet_ports
from tests.languages.programs import LANGUAGES, Language, Programs, built
from tests.languages.running import Running, Seen, acknowledged, seen

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1200)]
PARTITIONS = 3
COUNT = 20_000
PER_REQUEST = 100
KEYS = 100
NODES = (1, 2, 3)
_numbers = itertools.count(1)


class Doors:
    """A cluster whose nodes have gRPC doors."""

    def __init__(self, folder: Path) -> None:
        ports = dict(zip(NODES, quiet_ports(len(NODES)), strict=True))
        self.doors = {node: f"{HOST}:{port}" for node, port in ports.items()}
        own = {node: {"odradek.grpc.listener": door} for node, door in self.doors.items()}
        self.cluster = Cluster(OdradekFromFile(), folder, properties=OF_THREE, own=own)

    def addresses(self, first: int) -> str:
        """Those of all nodes, one of them before the others."""
        return ",".join(
            self.doors[node] for node in sorted(NODES, key=lambda node: (node - first) % len(NODES))
        )

    def topic(self, prefix: str) -> str:
        name = f"{prefix}-{next(_numbers)}"
        self.cluster.create_topic(name, PARTITIONS, 3, {"min.insync.replicas": "2"})
        self.cluster.await_in_sync({name: PARTITIONS}, 3)
        return name


@pytest.fixture(scope="module")
def _doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    doors = Doors(tmp_path_factory.mktemp("cluster"))
    with doors.cluster:
        doors.cluster.start()
        yield doors


@pytest.fixture
def doors(_doors: Doors) -> Iterator[Doors]:
    """All three nodes run, for the next test too."""
    yield _doors
    gone = [node for node in NODES if node not in _doors.cluster.running]
    _doors.cluster.start(gone)


@pytest.fixture(params=LANGUAGES, ids=str, scope="module")
def programs(request: pytest.FixtureRequest) -> Programs:
    language: Language = request.param
    return built(language)


def stored(cluster: Cluster, topic: str) -> list[tuple[Seen, int]]:
    """Every record of a topic and its key, partition after partition, by offset."""
    records: list[tuple[Seen, int]] = []
    for partition in range(PARTITIONS):
        end = end_offset(cluster, topic, partition)
        reader = confluent.consumer(cluster, f"auditor-{topic}")
        reader.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
        messages = confluent.poll(reader, end)
        reader.close()
        assert len(messages) == end, f"{len(messages)} of {end} records in {topic}-{partition}"
        for message in messages:
            value, key = int(message.value() or b"-1"), int(message.key() or b"-1")
            records.append((Seen(partition, message.offset() or 0, value), key))
    return records


def assert_once_and_in_order(records: Sequence[tuple[Seen, int]], count: int) -> None:
    numbers = sorted(record.value for record, _ in records)
    assert numbers == list(range(count)), (
        f"lost {sorted(set(range(count)) - set(numbers))[:5]},"
        f" doubled {[number for number, after in itertools.pairwise(numbers) if number == after][:5]}"
    )
    of_key: dict[int, list[Seen]] = defaultdict(list)
    for record, key in records:
        assert key == record.value % KEYS
        of_key[key].append(record)
    for key, its in of_key.items():
        assert len({record.partition for record in its}) == 1, f"key {key} is in several partitions"
        assert [record.value for record in its] == list(range(key, count, KEYS)), f"key {key} is out of order"


@pytest.mark.parametrize("asked", ["at the leader that is killed", "at another node"])
def test_a_leader_is_killed_while_both_run(
    doors: Doors, programs: Programs, asked: str, tmp_path: Path
) -> None:
    cluster, topic = doors.cluster, doors.topic("killed")
    victim = cluster.leader_of(topic, 0)
    addresses = doors.addresses(
        victim if asked == "at the leader that is killed" else victim % len(NODES) + 1
    )
    consume = [addresses, topic, f"group-{topic}", str(COUNT)]
    produce = [addresses, topic, str(COUNT), f"sender-{topic}"]
    with (
        Running(programs.consume, consume, programs.folder, tmp_path / "consumer") as consumer,
        Running(programs.produce, produce, programs.folder, tmp_path / "producer") as producer,
    ):
        consumer.await_lines(COUNT // 10)
        assert producer.process.poll() is None, "the producer was done before a node was killed"
        cluster.kill(victim)
        before = len(producer.lines())
        producer.await_lines(min(before + COUNT // PER_REQUEST // 4, COUNT // PER_REQUEST))
        cluster.start([victim])
        assert producer.await_end() == 0, producer.complaints()
        assert acknowledged(producer) == list(range(COUNT))
        assert consumer.await_end() == 0, consumer.complaints()
    cluster.await_in_sync({topic: PARTITIONS}, 3)
    records = stored(cluster, topic)
    assert_once_and_in_order(records, COUNT)
    read = set(seen(consumer))
    assert read == {record for record, _ in records}
    if asked == "at the leader that is killed":
        assert producer.complaints() and consumer.complaints(), "nobody noticed that the node was killed"


def test_a_consumer_that_is_told_to_end_leaves_what_it_has_read_behind(
    doors: Doors, programs: Programs, tmp_path: Path
) -> None:
    topic, addresses = doors.topic("ended"), doors.addresses(1)
    arguments = [addresses, topic, f"group-{topic}"]
    for name, count in (("first", 1000), ("second", 10)):
        with Running(
            programs.produce, [addresses, topic, str(count), name], programs.folder, tmp_path / name
        ) as producer:
            assert producer.await_end() == 0, producer.complaints()
        with Running(programs.consume, arguments, programs.folder, tmp_path / f"reader-{name}") as consumer:
            consumer.await_lines(count)
            consumer.terminate()
            assert consumer.await_end() in (0, 128 + 15), (
                consumer.complaints()
            )  # Java's status is that of the signal
        read = seen(consumer)
        assert sorted(record.value for record in read) == list(range(count))
