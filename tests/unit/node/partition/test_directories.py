"""What is said of a replica that is in another directory than the metadata has it in, and when it is followed."""

from collections.abc import AsyncIterator

import pytest
from tests.unit.node.partition.cluster import ClusterWorld, Place, batch

from odradek.node.partition.directories import LOST, UNASSIGNED, assigned_directory, directory_to_report
from odradek.proto.kafka.errors import ErrorCode

OLD, NEW, OTHER = b"o" * 16, b"n" * 16, b"x" * 16
TOPIC_ID = b"t".ljust(16, b".")


@pytest.mark.parametrize(
    ("assigned", "is_lost", "told"),
    [
        (NEW, False, None),
        (NEW, True, None),
        (OLD, False, NEW),  # the id was changed, or the log was put there: it is the one that was in sync
        (OLD, True, LOST),  # the disk was changed: nobody may count on what it had
        (LOST, True, NEW),
        (LOST, False, NEW),
        (UNASSIGNED, True, NEW),
        (UNASSIGNED, False, NEW),
    ],
)
def test_what_the_controller_is_told(assigned: bytes, is_lost: bool, told: bytes | None) -> None:
    assert directory_to_report(assigned, NEW, is_lost=is_lost) == told


def test_where_the_metadata_has_a_replica() -> None:
    place = Place((3, 1), (3,), 3, directories=(OLD, NEW))
    assert assigned_directory(place, 1) == NEW
    assert assigned_directory(Place((3, 1), (3,), 3), 1) == UNASSIGNED


@pytest.fixture
async def cluster() -> AsyncIterator[ClusterWorld]:
    """Node 3 tells where its replicas are; they are in `OLD`."""
    world = ClusterWorld()
    world.directory_ids[3] = {"d": OLD}
    world.create()
    world.change(directories=(OTHER, OTHER, OLD))
    await world.until(lambda: len(world.nodes[1].fetches._parked_followers) == 2)
    await world.result(world.nodes[1].produce(batch(2)))
    assert not world.told
    yield world
    world.stop()


def is_followed(cluster: ClusterWorld, node_id: int = 3) -> bool:
    node = cluster.nodes[node_id]
    return node.replicas.get("t", 0) in node.replication.fetchers._source_of


def restart(cluster: ClusterWorld, *, with_new_disk: bool) -> None:
    """Node 3 comes back with another directory id. The others went on without it."""
    cluster.crash(3)
    if with_new_disk:
        cluster.disks[3].__init__()  # type: ignore[misc]
    cluster.directory_ids[3] = {"d": NEW}
    cluster.change(isr=(1, 2))
    cluster.restart(3)


async def test_on_a_new_disk_it_is_lost_first_and_followed_once_the_metadata_has_it(
    cluster: ClusterWorld,
) -> None:
    restart(cluster, with_new_disk=True)
    await cluster.settle()
    assert cluster.told == [(3, TOPIC_ID, 0, LOST)] and not is_followed(cluster)
    cluster.change(directories=(OTHER, OTHER, LOST))
    await cluster.settle()
    assert cluster.told[1:] == [(3, TOPIC_ID, 0, NEW)] and not is_followed(cluster)
    assert cluster.nodes[3].partition().log.is_blank
    cluster.change(directories=(OTHER, OTHER, NEW))
    assert is_followed(cluster)
    await cluster.until(lambda: 3 in cluster.place().isr, ms_per_turn=1)
    assert cluster.nodes[3].content() == cluster.nodes[1].content()
    assert len(cluster.told) == 2


async def test_a_log_whose_directory_has_another_id_is_reported_as_it_is(cluster: ClusterWorld) -> None:
    restart(cluster, with_new_disk=False)
    await cluster.settle()
    assert cluster.told == [(3, TOPIC_ID, 0, NEW)] and not is_followed(cluster)
    cluster.elect(2, (2, 1))
    assert cluster.told[1:] == [(3, TOPIC_ID, 0, NEW)] and not is_followed(cluster)
    cluster.change(directories=(OTHER, OTHER, NEW))
    assert is_followed(cluster)


@pytest.mark.parametrize("leader", [-1, 3])
async def test_it_is_told_of_what_nobody_leads_and_of_what_is_led_here(
    cluster: ClusterWorld, leader: int
) -> None:
    cluster.crash(3)
    cluster.change(leader=leader)
    cluster.directory_ids[3] = {"d": NEW}
    cluster.restart(3)
    assert cluster.told == [(3, TOPIC_ID, 0, NEW)]


async def test_what_nobody_leads_is_lost_with_its_disk(cluster: ClusterWorld) -> None:
    cluster.change(leader=-1)
    restart(cluster, with_new_disk=True)
    cluster.change(directories=(OTHER, OTHER, LOST))
    assert [told[3] for told in cluster.told] == [LOST, NEW]


async def test_a_replica_that_the_metadata_calls_lost_is_followed_no_longer_by_a_new_leader(
    cluster: ClusterWorld,
) -> None:
    cluster.change(directories=(OTHER, OTHER, LOST))
    assert is_followed(cluster), "the leader is the same"
    assert cluster.told == [(3, TOPIC_ID, 0, OLD)]
    cluster.elect(2, (2, 1))
    assert not is_followed(cluster)
    cluster.delete()
    assert not cluster.nodes[3].replication.assignments._misplaced


async def test_of_several_directories_the_one_in_use_is_told_and_the_assigned_one_is_used() -> None:
    cluster = ClusterWorld(log_dirs=("d", "e"))
    cluster.directory_ids[1] = cluster.directory_ids[3] = {"d": OLD, "e": NEW}
    cluster.create(partitions=1)
    await cluster.until(lambda: len(cluster.nodes[1].fetches._parked_followers) == 2)
    assert is_followed(cluster), "a replica that is assigned nowhere may lead"
    assert set(cluster.told) == {(1, TOPIC_ID, 0, OLD), (3, TOPIC_ID, 0, OLD)}
    cluster.told.clear()
    cluster.create("u", replicas=(1, 2))
    cluster.change("u", directories=(NEW, UNASSIGNED))
    found = cluster.nodes[1].replicas.find("u", 0)
    assert not isinstance(found, ErrorCode) and found.log.home.path == "e"
    assert not cluster.told
    log = cluster.nodes[3].partition().log
    cluster.change(directories=(OLD, OLD, OLD))
    node = cluster.nodes[3]
    node.replicas.replace_log(node.dirs.place(log, node.dirs.dirs[1]))
    topic = node.topic("t")
    assert topic is not None
    assert not node.replication.directories.may_be_followed(topic, 0, topic.partitions[0])
    assert cluster.told == [(3, TOPIC_ID, 0, NEW)], "it was moved on purpose: nothing is lost"
    cluster.stop()
