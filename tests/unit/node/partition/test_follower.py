"""The loop that follows: durability before questions, lost sources, ranges, and what fails alone."""

from collections.abc import AsyncIterator

import pytest
from tests.unit.node.partition.cluster import ClusterWorld, batch

from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.fetch import FetchRequest
from odradek.storage.disk import DiskError
from odradek.storage.leader_epoch_cache import EpochEndOffset
from odradek.storage.log_config import LogConfig


@pytest.fixture
async def cluster() -> AsyncIterator[ClusterWorld]:
    world = ClusterWorld()
    yield world
    world.stop()


async def following(cluster: ClusterWorld, leader: int = 1, followers: int = 2) -> None:
    parked = cluster.nodes[leader].fetches._parked_followers
    await cluster.until(lambda: sum(map(len, parked.values())) == followers, ms_per_turn=1)


def asked_by(cluster: ClusterWorld, follower: int) -> list[FetchRequest]:
    return [
        message
        for sender, _, message in cluster.requests
        if sender == follower and isinstance(message, FetchRequest)
    ]


async def test_an_offset_is_asked_for_only_when_everything_before_it_is_on_disk(
    cluster: ClusterWorld,
) -> None:
    cluster.create()
    await following(cluster)
    node = cluster.nodes[3]
    flusher = node.dirs.dirs[0].flusher
    held: list[object] = []
    submit = flusher.submit
    flusher.submit = lambda *entry: held.append(entry)  # type: ignore[method-assign]
    waiting = cluster.nodes[1].produce(batch(2))
    before = len(asked_by(cluster, 3))
    await cluster.until(lambda: node.partition().log.log_end_offset == 2)
    await cluster.settle(300)
    assert len(asked_by(cluster, 3)) == before and not waiting.done
    flusher.submit = submit  # type: ignore[method-assign]
    for entry in held:
        submit(*entry)  # type: ignore[misc]
    assert (await cluster.result(waiting)).error is ErrorCode.NONE
    offsets = [one.fetch_offset for t in asked_by(cluster, 3)[-1].topics for one in t.partitions]
    assert offsets == [2]


async def test_a_source_that_breaks_is_reported_and_asked_again(cluster: ClusterWorld) -> None:
    cluster.create()
    await following(cluster)
    cluster.part(1, 2)
    await cluster.until(lambda: len(cluster.nodes[2].lost_sources) > 1)
    assert set(cluster.nodes[2].lost_sources) == {1}
    cluster.heal()
    before = len(asked_by(cluster, 2))
    await following(cluster)
    assert asked_by(cluster, 2)[before].session_epoch == 0, "the session begins anew"
    assert (await cluster.result(cluster.nodes[1].produce(batch()))).error is ErrorCode.NONE


async def test_a_new_registration_is_told_for_every_partition(cluster: ClusterWorld) -> None:
    cluster.create(partitions=4, replicas=(1, 2))
    await cluster.until(lambda: len(asked_by(cluster, 2)) > 1, ms_per_turn=1)
    broker = cluster.image.brokers[2]
    cluster.agree(brokers={**cluster.image.brokers, 2: type(broker)(99)})
    await cluster.until(lambda: asked_by(cluster, 2)[-1].replica_state.replica_epoch == 99, ms_per_turn=1)
    assert asked_by(cluster, 2)[-1].session_epoch == 0
    assert sum(len(topic.partitions) for topic in asked_by(cluster, 2)[-1].topics) == 2


async def test_a_follower_whose_log_ends_before_its_leaders_begins_starts_over(cluster: ClusterWorld) -> None:
    cluster.create()
    await following(cluster)
    cluster.part(1, 3)
    cluster.fence(3)
    cluster.change(isr=(1, 2))
    for _ in range(3):
        await cluster.result(cluster.nodes[1].produce(batch(2)))
    leader = cluster.nodes[1].partition()
    assert leader.log.truncate_fully_to(6) is ErrorCode.NONE  # as retention does it, and faster
    await cluster.settle()
    cluster.heal()
    cluster.fence(3, fenced=False)
    await cluster.until(lambda: cluster.nodes[3].partition().log.log_start_offset == 6)
    assert cluster.nodes[3].partition().log.log_end_offset == 6
    await cluster.until(lambda: 3 in cluster.place().isr, ms_per_turn=1)


async def test_a_follower_with_more_than_a_leader_that_has_lost_its_disk_is_cut(
    cluster: ClusterWorld,
) -> None:
    cluster.create()
    await following(cluster)
    await cluster.result(cluster.nodes[1].produce(batch(2)))
    cluster.crash(1)
    cluster.disks[1].__init__()  # type: ignore[misc]
    cluster.restart(1)
    cluster.elect(1, (1,))  # as an unclean election does it
    await cluster.until(lambda: cluster.nodes[2].partition().log.log_end_offset == 0, ms_per_turn=1)
    await cluster.until(lambda: len(cluster.place().isr) == 3, ms_per_turn=1)
    assert (await cluster.result(cluster.nodes[1].produce(batch()))).base_offset == 0


async def test_a_disk_that_fails_stops_its_own_partitions_only() -> None:
    cluster = ClusterWorld(log_dirs=("d", "e"), log_config=LogConfig(min_insync_replicas=1))
    cluster.create(partitions=6)
    for node in cluster.nodes.values():
        await cluster.until(lambda node=node: len(node.replicas.opened()) == 6, ms_per_turn=1)  # type: ignore[misc]
    node = cluster.nodes[3]
    failed = [one for one in node.replicas.opened().values() if one.log.home is node.dirs.dirs[0]]
    assert 0 < len(failed) < 6
    node.dirs.dirs[0].fail(DiskError("d", "broken"))
    followed = [one for one in node.replicas.opened().values() if not one.replica.is_leader]
    sources = node.replication.fetchers._source_of
    assert {one for one in followed if one not in sources} == {one for one in failed if one in followed}
    good = next(one for one in followed if one not in failed)
    leader = cluster.nodes[good.replica.leader]
    await cluster.result(leader.produce(batch(), index=good.index))
    await cluster.until(lambda: good.log.log_end_offset == 1, ms_per_turn=1)
    cluster.stop()


async def test_a_partition_moves_to_its_new_source_at_once(cluster: ClusterWorld) -> None:
    cluster.create()
    await following(cluster)
    fetchers = cluster.nodes[3].replication.fetchers
    assert list(fetchers._sources) == [1]
    cluster.elect(2, (2, 3, 1))
    assert list(fetchers._sources) == [2]
    await following(cluster, leader=2)
    assert (await cluster.result(cluster.nodes[2].produce(batch()))).error is ErrorCode.NONE


async def test_a_bug_does_not_end_replication(cluster: ClusterWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.create()
    await following(cluster)
    catch_up = cluster.nodes[3].replication.fetchers._ports.catch_up
    broken = [True]
    take = type(catch_up).take

    def fail_once(self: object, *arguments: object) -> object:
        if self is catch_up and broken:
            broken.clear()
            raise RuntimeError("a bug")
        return take(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(type(catch_up), "take", fail_once)
    assert (await cluster.result(cluster.nodes[1].produce(batch()))).error is ErrorCode.NONE
    assert not broken


async def test_a_throttled_follower_is_brought_up_slowly(cluster: ClusterWorld) -> None:
    cluster.configure("t", LogConfig(min_insync_replicas=1, follower_replication_throttled_replicas=("*",)))
    cluster.create(replicas=(1, 2))
    leader = cluster.nodes[1]
    await following(cluster, followers=1)
    for _ in range(4):
        await cluster.result(leader.produce(batch(1, b"x" * 10_000)))
    cluster.nodes[3].replication.throttle.set_rates(2**63 - 1, 10_000)
    cluster.change(replicas=(1, 2, 3))
    await cluster.until(lambda: cluster.nodes[3].replicas.get("t", 0) is not None, ms_per_turn=1)
    await cluster.until(lambda: cluster.nodes[3].partition().log.log_end_offset == 4)
    followed = next(iter(cluster.nodes[3].replication.fetchers._sources.values())).schedule
    await cluster.until(lambda: followed.next_deadline_ms() is not None)
    due_ms = followed.next_deadline_ms()
    assert due_ms is not None and 2_000 < due_ms - cluster.now_ms < 4_000
    assert cluster.place().isr == (1, 2)
    cluster.pass_time(4_000)
    await cluster.until(lambda: 3 in cluster.place().isr, ms_per_turn=1)


async def test_deleted_records_are_deleted_on_all_live_replicas(cluster: ClusterWorld) -> None:
    cluster.create()
    await following(cluster)
    for _ in range(3):
        await cluster.result(cluster.nodes[1].produce(batch()))
    await following(cluster)
    deletion = cluster.nodes[1].records.delete_records("t", 0, 2)
    assert not deletion.done
    await cluster.until(lambda: deletion.done)
    assert deletion.value == (ErrorCode.NONE, 2)
    assert all(node.partition().log.log_start_offset == 2 for node in cluster.nodes.values())
    cluster.part(1, 3)
    deletion = cluster.nodes[1].records.delete_records("t", 0, 3)
    await cluster.settle(200)
    assert not deletion.done
    cluster.fence(3)
    assert deletion.done and deletion.value == (ErrorCode.NONE, 3)


async def test_a_leader_that_has_the_same_records_cut_again_and_again_is_asked_less_and_less(
    cluster: ClusterWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.create()
    await following(cluster)
    await cluster.result(cluster.nodes[1].produce(batch(4)))
    leader = cluster.nodes[1].partition()
    monkeypatch.setattr(type(leader.log), "end_offset_for_epoch", lambda log, epoch: EpochEndOffset(0, 1))
    cluster.elect(1, (1, 2, 3))
    before, start_ms = len(asked_by(cluster, 3)), cluster.now_ms
    await cluster.until(lambda: cluster.now_ms - start_ms >= 3_000, ms_per_turn=1)
    assert 5 < len(asked_by(cluster, 3)) - before < 30
    monkeypatch.undo()
    await cluster.until(lambda: cluster.nodes[3].partition().log.log_end_offset == 4, ms_per_turn=1)
    await following(cluster)
