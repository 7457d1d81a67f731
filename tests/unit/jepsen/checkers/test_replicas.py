"""Replicas that differ, end early or lack what was acknowledged are found; those that may differ are not."""

from __future__ import annotations

from odradek.jepsen.checkers import replicas
from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.observed import finder_of_sends
from odradek.jepsen.checkers.replicas import Batch, Flaw, Replica
from odradek.jepsen.history import Event, pair

KEY = "q/0"


def _replica(sizes: list[int], *, start: int = 0, producer: int = -1) -> Replica:
    """Batches of so many records each; the record at offset n is the integer 100 + n."""
    replica = Replica(log_start=start, end=start)
    base = start
    for size in sizes:
        last = base + size - 1
        replica.add(
            Batch(base, last, 4, producer, 0, base if producer >= 0 else -1, 7 * base, 1000 * base + size)
        )
        for offset in range(base, last + 1):
            replica.offsets.append(offset)
            replica.values.append(100 + offset)
        base = last + 1
    return replica


def _acknowledged(*offsets: int) -> dict[str, dict[int, int | None]]:
    return {KEY: {100 + offset: offset for offset in offsets}}


def _check(
    first: Replica, *others: Replica, told: tuple[int, ...] = (), in_sync: tuple[int, ...] = ()
) -> list[Anomaly]:
    nodes = {node: {KEY: replica} for node, replica in enumerate((first, *others), 1)}
    return replicas.check(nodes, _acknowledged(*told), {KEY: in_sync} if in_sync else None)


def _kinds(anomalies: list[Anomaly]) -> list[str]:
    return [anomaly.kind for anomaly in anomalies]


def test_equal_replicas_and_one_that_is_a_little_shorter() -> None:
    assert _check(_replica([2, 3, 1]), _replica([2, 3, 1]), _replica([2, 3]), told=(0, 4)) == []


def test_other_bytes_at_the_same_offset() -> None:
    other = _replica([2, 3, 1])
    other.digests[1] += 1
    other.crcs[1] += 1
    (found,) = _check(_replica([2, 3, 1]), other)
    assert found.kind == "replica-divergence"
    assert (found.data["offset"], found.data["below"], set(found.data["batches"])) == (2, 6, {"1", "2"})
    assert "crc" in found.detail


def test_other_bytes_above_the_smaller_end_are_nobody_s_yet() -> None:
    longer, shorter = _replica([2, 3, 2]), _replica([2, 3])
    longer.digests[2] += 1
    assert _check(longer, shorter) == []


def test_records_in_other_batches_are_a_divergence() -> None:
    found = _check(_replica([2, 3, 1]), _replica([2, 2, 1, 1]))
    assert set(_kinds(found)) == {"replica-divergence"}
    assert [anomaly.data["offset"] for anomaly in found] == [2, 4]


def test_a_batch_that_reaches_past_the_smaller_end_is_a_divergence() -> None:
    assert set(_kinds(_check(_replica([2, 3]), _replica([2, 2])))) == {"replica-divergence"}


def test_logs_that_begin_elsewhere_are_compared_where_both_are() -> None:
    whole, late = _replica([2, 3, 1]), _replica([3, 1], start=2)
    assert _check(whole, late) == []
    late.digests[0] += 1
    assert _kinds(_check(whole, late)) == ["replica-divergence"]


def test_a_replica_out_of_sync_may_keep_what_was_never_acknowledged() -> None:
    stale = _replica([2, 1, 1])
    stale.digests[1] += 1
    assert _check(_replica([2, 3]), stale, told=(0, 4), in_sync=(1,)) == []
    assert _kinds(_check(_replica([2, 3]), stale, told=(0, 1), in_sync=(1, 2))) != []


def test_a_replica_in_sync_that_ends_before_what_was_acknowledged() -> None:
    (found,) = _check(_replica([2, 3]), _replica([2]), told=(0, 3, 4))
    assert found.kind == "replica-behind"
    assert (found.data["node"], found.data["missing"], found.data["first"], found.data["last"]) == (
        2,
        2,
        3,
        4,
    )
    assert _check(_replica([2, 3]), _replica([2]), told=(0, 3, 4), in_sync=(1,)) == []


def test_a_node_in_sync_without_a_replica() -> None:
    assert _kinds(_check(_replica([2]), told=(0,), in_sync=(1, 2))) == ["replica-behind"]


def test_a_record_that_is_in_no_replica() -> None:
    history = [
        Event(1, "a", 1, "invoke", "send", [["send", KEY, 105]]),
        Event(2, "a", 1, "ok", "send", [["send", KEY, [5, 105]]]),
    ]
    (found,) = replicas.check(
        {1: {KEY: _replica([2])}, 2: {KEY: _replica([2])}},
        _acknowledged(0, 1, 5),
        find_sends=finder_of_sends(pair(history)),
    )
    assert (found.kind, found.data["value"], list(found.evidence)) == ("replica-missing-record", 105, history)


def test_a_record_that_another_has_taken_the_place_of() -> None:
    wrong = _replica([2, 3])
    wrong.values[3] = 999
    (found,) = _check(_replica([2, 3]), wrong, told=(0, 3))
    assert (found.kind, found.data["node"], found.data["value"]) == ("replica-missing-record", 2, 103)
    assert "does not have it" in found.detail


def test_a_record_that_moved() -> None:
    moved = _replica([2, 3])
    moved.values[3], moved.values[4] = moved.values[4], moved.values[3]
    assert [anomaly.data["found"] for anomaly in _check(moved, told=(3, 4))] == [4, 3]


def test_records_that_may_be_deleted_and_offsets_that_nobody_was_told() -> None:
    late = _replica([3], start=2)
    assert replicas.check({1: {KEY: late}}, _acknowledged(0, 1, 2), starts={KEY: 2}) == []
    assert len(replicas.check({1: {KEY: late}}, _acknowledged(0, 1, 2))) == 2
    assert replicas.check({1: {KEY: _replica([2])}}, {KEY: {101: None}}) == []
    assert _kinds(replicas.check({1: {KEY: _replica([2])}}, {KEY: {108: None}})) == ["replica-missing-record"]


def test_a_key_that_nobody_has() -> None:
    assert _kinds(replicas.check({1: {}}, _acknowledged(0, 1))) == ["replica-missing-record"] * 2


def test_a_record_that_is_stored_twice() -> None:
    twice = _replica([2, 3])
    twice.values[4] = 100
    (found,) = _check(twice)
    assert (found.kind, found.data["value"], found.data["offsets"]) == ("replica-duplicate", 100, [0, 4])


def test_a_sequence_that_is_stored_twice_and_one_that_begins_anew() -> None:
    assert _check(_replica([2, 3, 1], producer=8)) == []
    twice = _replica([2, 3, 1], producer=8)
    twice.sequences[2] = 4
    assert [(found.kind, found.data["stored"]) for found in _check(twice)] == [("replica-sequence", 4)]
    twice.producer_epochs[2] = 1
    assert _check(twice) == []
    for column in (twice.sequences, twice.producer_ids):  # batches without a producer have no sequence
        column[1] = column[2] = -1
        twice.producer_epochs[2] = 0
        assert _check(twice) == []
        column[1] = column[2] = 8
    wrapped = _replica([2, 3], producer=8)
    wrapped.sequences[0], wrapped.sequences[1] = (1 << 31) - 2, 0
    assert _check(wrapped) == []


def test_damage_is_told_but_a_torn_tail_only_of_a_clean_stop() -> None:
    torn = _replica([2])
    torn.flaws.append(Flaw("torn", 2, "9 bytes are no batch"))
    assert _kinds(_check(torn)) == ["replica-torn-tail"]
    torn.clean = False
    assert _check(torn) == []
    for kind, name in (("corrupt", "corrupt"), ("record", "corrupt"), ("gap", "gap"), ("order", "order")):
        flawed = _replica([2])
        flawed.flaws.append(Flaw(kind, 2, "so"))  # type: ignore[arg-type]
        assert _kinds(_check(flawed)) == [f"replica-{name}"]


def test_compacted_keys_are_cleaned_by_each_node_alone() -> None:
    cleaned = _replica([2, 3])
    cleaned.flaws.append(Flaw("gap", 5, "offsets are missing"))
    cleaned.digests[0] += 1
    nodes = {1: {KEY: _replica([2, 3])}, 2: {KEY: cleaned}}
    assert replicas.check(nodes, _acknowledged(0, 9), compacted={KEY}) == []
    assert replicas.check(nodes, _acknowledged(0, 9)) != []
