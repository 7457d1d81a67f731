"""Shapes change, factors stay, and a controller that was taken out comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import pytest
from tests.unit.jepsen.nemesis.fakes import FakeCluster

from odradek.jepsen.db.requests import Seen
from odradek.jepsen.nemesis.administration import Administration, Quorum, Voter
from odradek.jepsen.nemesis.membership import (
    LeaderMove,
    Membership,
    Reassign,
    next_first,
    other_replicas,
    topics_of,
)
from odradek.jepsen.nemesis.targets import Target
from odradek.proto.kafka.errors import ErrorCode

KEYS = ["t/0", "t/1"]


class FakeAdministration(Administration):
    """Remembers what it is asked. `loses` answers of changes are lost though the change happened."""

    def __init__(self, loses: int = 0) -> None:
        super().__init__(FakeCluster())
        self.notes: list[str] = []
        self.voters = {1, 2, 3}
        self.stuck = False
        self._loses = loses
        self._allowed = False

    def _change(self, note: str) -> None:
        self.notes.append(note)
        if self._loses:
            self._loses -= 1
            raise TimeoutError("lost")

    def quorum(self) -> Quorum | None:
        voters = tuple(Voter(node, b"") for node in sorted(self.voters))
        return Quorum(2, voters, tuple(Voter(node, b"") for node in {1, 2, 3} - self.voters))

    def allow_changes_of_voters(self) -> ErrorCode:
        self._allowed = True
        return ErrorCode.NONE

    def remove_voter(self, voter: Voter) -> ErrorCode:
        if not self._allowed or self.stuck:
            return ErrorCode.UNSUPPORTED_VERSION
        self.voters.discard(voter.node)
        self._change(f"remove {voter.node}")
        return ErrorCode.NONE

    def add_voter(self, voter: Voter) -> ErrorCode:
        if self.stuck:
            return ErrorCode.REQUEST_TIMED_OUT
        self.voters.add(voter.node)
        self._change(f"add {voter.node}")
        return ErrorCode.NONE

    def replicas(self, topics: Sequence[str]) -> Mapping[str, Seen]:
        return {key: Seen(1, 0, (1, 2, 3), (1, 2, 3)) for key in KEYS}

    def reassign(self, replicas: Mapping[str, Sequence[int] | None]) -> dict[str, ErrorCode]:
        self.notes.append(f"reassign {sorted(replicas)}")
        return dict.fromkeys(replicas, ErrorCode.NONE)

    def reassigning(self) -> list[str]:
        return []

    def elect_preferred(self, keys: Sequence[str]) -> dict[str, ErrorCode]:
        self.notes.append(f"elect {sorted(keys)}")
        return dict.fromkeys(keys, ErrorCode.NONE)


def test_replicas_change_and_their_number_stays() -> None:
    for seed in range(50):
        chosen = other_replicas(Random(seed), [1, 2, 3], [1, 2, 3, 4, 5])
        assert len(set(chosen)) == 3 and chosen != [1, 2, 3]
        assert sorted(other_replicas(Random(seed), [1, 2, 3], [1, 2, 3])) == [1, 2, 3]
    assert other_replicas(Random(1), [1], [1]) == [1]


def test_the_next_replica_comes_first() -> None:
    assert next_first([1, 2, 3], 1) == [2, 3, 1]
    assert next_first([1, 2, 3], 3) == [1, 2, 3]
    assert next_first([1, 2, 3], -1) == [2, 3, 1]
    assert topics_of(["b/c/0", "a/1", "a/0"]) == ["a", "b/c"]


def test_a_reassignment_is_told_and_waited_for() -> None:
    cluster = FakeAdministration()
    fault = Reassign(cluster, Random(1), KEYS, [1, 2, 3])
    told = fault.start()
    replicas, answers = told["replicas"], told["answers"]
    assert isinstance(replicas, dict) and isinstance(answers, dict)
    assert set(answers) == set(replicas) <= set(KEYS)
    assert set(answers.values()) == {"NONE"}
    assert fault.stop() == {"nodes": [], "settled": True}


def test_leaders_move() -> None:
    cluster = FakeAdministration()
    fault = LeaderMove(cluster, Random(1), ["t/0"])
    assert fault.start()["replicas"] == {"t/0": [2, 3, 1]}
    assert cluster.notes == ["reassign ['t/0']", "elect ['t/0']"]
    fault.stop()


@pytest.mark.parametrize("loses", [0, 1])
def test_a_controller_goes_and_comes_back(loses: int) -> None:
    cluster = FakeAdministration(loses)
    fault = Membership(cluster, Target("one", (3,)))
    assert fault.start()["nodes"] == [3]
    assert cluster.voters == {1, 2}
    fault.stop()
    assert cluster.voters == {1, 2, 3}
    assert cluster.notes == ["remove 3", "add 3"]


def test_an_answer_that_was_lost_on_the_way_back_is_asked_for_again() -> None:
    cluster = FakeAdministration()
    fault = Membership(cluster, Target("one", (1,)))
    fault.start()
    cluster._loses = 1
    assert fault.stop()["nodes"] == [1]
    assert cluster.voters == {1, 2, 3}


def test_what_does_not_happen_is_said() -> None:
    cluster = FakeAdministration()
    fault = Membership(cluster, Target("one", (3,)), put_back_s=0, take_out_s=0)
    cluster.stuck = True
    with pytest.raises(TimeoutError, match="still a voter"):
        fault.start()
    cluster.voters = {1, 2}
    with pytest.raises(TimeoutError, match="is no voter"):
        fault.stop()


class _Refusing(FakeAdministration):
    """Answers every move, and every election, with those codes."""

    def __init__(self, move: ErrorCode, election: ErrorCode = ErrorCode.NONE) -> None:
        super().__init__()
        self._move, self._election = move, election

    def reassign(self, replicas: Mapping[str, Sequence[int] | None]) -> dict[str, ErrorCode]:
        return dict.fromkeys(replicas, self._move)

    def elect_preferred(self, keys: Sequence[str]) -> dict[str, ErrorCode]:
        return dict.fromkeys(keys, self._election)


def test_what_was_refused_everywhere_did_nothing() -> None:
    done, refused = ErrorCode.NONE, ErrorCode.REASSIGNMENT_IN_PROGRESS
    for move, election, did in (
        (done, done, True),
        (done, ErrorCode.ELECTION_NOT_NEEDED, True),
        (done, ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE, False),
        (refused, ErrorCode.ELECTION_NOT_NEEDED, False),
    ):
        told = LeaderMove(_Refusing(move, election), Random(1), KEYS).start()
        assert told.get("did", True) is did, (move, election)
    assert Reassign(_Refusing(refused), Random(1), KEYS, [1, 2, 3]).start()["did"] is False
    assert "did" not in Reassign(_Refusing(done), Random(1), KEYS, [1, 2, 3]).start()
    assert LeaderMove(_Refusing(done), Random(1), []).start() == {"nodes": [], "did": False}
