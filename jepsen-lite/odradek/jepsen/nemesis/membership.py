"""The cluster changes its shape: replicas move, leaders move, a controller leaves the quorum and comes back.

Decides: what is changed, and that an outcome which nobody knows is asked for again until the cluster shows the change.
Does not decide: how it is asked (`administration`).
Invariants: replication factors stay; a controller that was taken out is put back by `stop`, which fails when it cannot.
What the cluster refuses is no error of the run: it is told in the history, with "did": False when it refused all.
Source: the membership nemesis of the Redpanda suite; KIP-455, KIP-460, KIP-853.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from random import Random

from odradek.jepsen.nemesis.administration import Administration, Quorum
from odradek.jepsen.nemesis.targets import Target
from odradek.proto.kafka.errors import ErrorCode

_MOST_KEYS = 3
_PUT_BACK_S = 30.0
_TAKE_OUT_S = 10.0
_SETTLE_S = 5.0
_POLL_S = 0.1
_TRIES = 5
#: Answers to an election after which the first replica leads.
_LEADS = {ErrorCode.NONE, ErrorCode.ELECTION_NOT_NEEDED}
_ASK_AGAIN = {ErrorCode.NOT_CONTROLLER, ErrorCode.REQUEST_TIMED_OUT}


class Reassign:
    """Other replicas for a few partitions (the same in another order where there are no others), half of them with
    an election of the new first one. `stop` waits a while for the moves, and ends every fourth that still goes on."""

    name = "reassign"

    def __init__(
        self, cluster: Administration, random: Random, keys: Sequence[str], nodes: Sequence[int]
    ) -> None:
        self._cluster = cluster
        self._random = random
        self._keys = keys
        self._nodes = nodes
        self._moved: list[str] = []

    def start(self) -> Mapping[str, object]:
        keys = drawn(self._random, self._keys)
        replicas = self._cluster.replicas(topics_of(keys))
        wanted = {
            key: other_replicas(self._random, replicas[key].replicas, self._nodes)
            for key in keys
            if key in replicas
        }
        self._moved = list(wanted)
        answers = again(lambda: self._cluster.reassign(wanted)) if wanted else {}
        told: dict[str, object] = {"nodes": [], "replicas": wanted, "answers": names(answers)}
        if wanted and self._random.random() < 0.5:
            told["elected"] = names(again(lambda: self._cluster.elect_preferred(list(wanted))))
        return {**told, **did(any(code is ErrorCode.NONE for code in answers.values()))}

    def stop(self) -> Mapping[str, object]:
        if not self._moved:
            return {"nodes": []}
        settled = until(lambda: not self._going_on(), _SETTLE_S)
        told: dict[str, object] = {"nodes": [], "settled": settled}
        if not settled and self._random.random() < 0.25:
            told["ended"] = names(self._cluster.reassign(dict.fromkeys(self._going_on())))
        return told

    def _going_on(self) -> list[str]:
        try:
            return [key for key in self._cluster.reassigning() if key in self._moved]
        except OSError:
            return self._moved


class LeaderMove:
    """Each of a few partitions gets another leader: the next replica becomes the preferred one, and is elected."""

    name = "leader-move"

    def __init__(self, cluster: Administration, random: Random, keys: Sequence[str]) -> None:
        self._cluster = cluster
        self._random = random
        self._keys = keys

    def start(self) -> Mapping[str, object]:
        keys = drawn(self._random, self._keys)
        replicas = self._cluster.replicas(topics_of(keys))
        wanted = {
            key: next_first(replicas[key].replicas, replicas[key].leader) for key in keys if key in replicas
        }
        if not wanted:
            return {"nodes": [], **did(False)}
        answers = again(lambda: self._cluster.reassign(wanted))
        elected = again(lambda: self._cluster.elect_preferred(list(wanted)))
        moved = any(answers.get(key) is ErrorCode.NONE and elected.get(key) in _LEADS for key in wanted)
        told = {"nodes": [], "replicas": wanted, "answers": names(answers), "elected": names(elected)}
        return {**told, **did(moved)}

    def stop(self) -> Mapping[str, object]:
        return {"nodes": []}


class Membership:
    """A controller leaves the quorum, and is put back. It stays a broker meanwhile."""

    name = "membership"

    def __init__(
        self,
        cluster: Administration,
        target: Target,
        put_back_s: float = _PUT_BACK_S,
        take_out_s: float = _TAKE_OUT_S,
    ) -> None:
        self._cluster = cluster
        self._node = target.nodes[0]
        self._put_back_s = put_back_s
        self._take_out_s = take_out_s
        self._asked = False

    def start(self) -> Mapping[str, object]:
        """Raises TimeoutError when it is still a voter after a while; `stop` is to be called then, too."""
        answers: list[str] = []

        def gone(quorum: Quorum) -> bool:
            voter = quorum.voter(self._node)
            if voter is None:
                return True
            code = self._cluster.allow_changes_of_voters()
            answers.append(f"allow: {code.name}")
            self._asked = True
            answers.append(f"remove: {self._cluster.remove_voter(voter).name}")
            return False

        if not self._until(gone, self._take_out_s):
            raise TimeoutError(
                f"node {self._node} is still a voter after {self._take_out_s} s: {answers[-4:]}"
            )
        return {"nodes": [self._node], "answers": answers[-4:]}

    def stop(self) -> Mapping[str, object]:
        """Raises TimeoutError when it cannot be put back in time."""
        answers: list[str] = []

        def back(quorum: Quorum) -> bool:
            if quorum.voter(self._node) is not None:
                return True
            observer = quorum.observer(self._node)
            if observer is None:
                answers.append("add: no observer")
            else:
                answers.append(f"add: {self._cluster.add_voter(observer).name}")
            return False

        if self._asked and not self._until(back, self._put_back_s):
            raise TimeoutError(f"node {self._node} is no voter after {self._put_back_s} s: {answers[-4:]}")
        return {"nodes": [self._node], "answers": answers[-4:]}

    def _until(self, step: Callable[[Quorum], bool], timeout_s: float) -> bool:
        def look() -> bool:
            try:
                quorum = self._cluster.quorum()
                return quorum is not None and step(quorum)
            except OSError:  # unknown, or nobody there: look and ask again
                return False

        return until(look, timeout_s)


def did(something: bool) -> Mapping[str, object]:
    """For the history: a fault that did nothing must not count."""
    return {} if something else {"did": False}


def until(look: Callable[[], bool], timeout_s: float) -> bool:
    """Whether it was true in time."""
    deadline = time.monotonic() + timeout_s
    while not look():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def again(ask: Callable[[], dict[str, ErrorCode]]) -> dict[str, ErrorCode]:
    """The answers of the first try at which somebody knew the controller, or of the last one."""
    for _ in range(_TRIES - 1):
        answers = ask()
        if not any(code in _ASK_AGAIN for code in answers.values()):
            return answers
        time.sleep(_POLL_S)
    return ask()


def drawn(random: Random, keys: Sequence[str]) -> list[str]:
    return random.sample(keys, min(len(keys), random.randint(1, _MOST_KEYS)))


def topics_of(keys: Sequence[str]) -> list[str]:
    return sorted({key.rpartition("/")[0] for key in keys})


def other_replicas(random: Random, replicas: Sequence[int], nodes: Sequence[int]) -> list[int]:
    """As many nodes as before, in another order or other ones; the same only where there is nothing else."""
    if len(nodes) < 2:
        return list(replicas)
    while True:
        chosen = random.sample(list(nodes), len(replicas))
        if chosen != list(replicas):
            return chosen


def next_first(replicas: Sequence[int], leader: int) -> list[int]:
    """The same replicas, turned so that the one after the leader is the first."""
    if leader not in replicas:
        return [*replicas[1:], *replicas[:1]]
    start = (list(replicas).index(leader) + 1) % len(replicas)
    return [*replicas[start:], *replicas[:start]]


def names(codes: Mapping[str, ErrorCode]) -> dict[str, str]:
    return {key: code.name for key, code in codes.items()}
