from odradek.node.partition.waiters import OffsetWaiters, PartitionWatchers


def test_an_advance_completes_those_it_passes_in_order() -> None:
    waiters: OffsetWaiters[str] = OffsetWaiters()
    for end, name in ((10, "a"), (20, "b"), (20, "c"), (30, "d")):
        waiters.add(end, name)
    assert waiters.advance(9) == []
    assert waiters.advance(20) == ["a", "b", "c"]
    assert waiters.clear() == ["d"]
    assert len(waiters) == 0


def test_a_duplicate_of_an_earlier_batch_waits_with_the_newest() -> None:
    waiters: OffsetWaiters[str] = OffsetWaiters()
    waiters.add(20, "new")
    waiters.add(10, "duplicate")
    assert waiters.advance(10) == []
    assert waiters.advance(20) == ["new", "duplicate"]


def test_a_watcher_of_many_partitions_is_forgotten_in_all() -> None:
    watchers: PartitionWatchers[str, int] = PartitionWatchers()
    watchers.add(1, ["p", "q"])
    watchers.add(2, ["q"])
    assert watchers.of("q") == [1, 2]
    watchers.discard(1)
    assert watchers.of("p") == [] and watchers.of("q") == [2]
    watchers.discard(2)
    watchers.discard(2)
    assert len(watchers) == 0 and not watchers._by_partition


def test_one_partition_of_a_watcher_may_be_let_go() -> None:
    watchers: PartitionWatchers[str, int] = PartitionWatchers()
    watchers.add(1, ["p"])
    watchers.add(1, ["q"])
    watchers.remove(1, "p")
    watchers.remove(1, "p")
    assert watchers.of("p") == [] and watchers.of("q") == [1]
    watchers.remove(1, "q")
    assert len(watchers) == 0 and not watchers._by_partition
