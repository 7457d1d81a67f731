"""Links that are slow, lossy, silent or forgetful: the proxy is put into them for as long as a fault lasts.

Decides: which links each kind of fault takes, and what they do. Does not decide: how the proxy gets there
(`diversions`), nor what a behaviour does to bytes and requests (`proxy`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Final

from odradek.jepsen.nemesis.diversions import Diversions, Link, links_to
from odradek.jepsen.nemesis.targets import Target
from odradek.jepsen.ports import Cluster
from odradek.jepsen.proxy.behaviour import Behaviour, Hold, Pace, Replay, same
from odradek.proto.kafka.api import ApiKey

#: Where frames are Kafka's; the other listeners speak gRPC (Apache Kafka has none, and its CONTROLLER passes as bytes).
KAFKA_LISTENERS: Final = ("CLIENT", "INTERNAL")


# -- what each kind of fault does (pure, but for the Random)


def framed(behaviour: Behaviour, link: Link) -> Behaviour:
    """The same, cutting Kafka's frames where they are spoken, so that requests are counted and cut in their middle."""
    return replace(behaviour, frames=True) if link.listener in KAFKA_LISTENERS else behaviour


def slow(random: Random) -> Behaviour:
    """Delay, with or without stalls; or a narrow link; or one that dribbles. One direction or both."""
    delay_ms = random.uniform(5.0, 200.0)
    pace = random.choice(
        [
            Pace(delay_ms=delay_ms, jitter_ms=random.uniform(0.0, delay_ms / 2)),
            Pace(
                delay_ms=delay_ms / 4, stall=random.uniform(0.01, 0.3), stall_ms=random.uniform(50.0, 500.0)
            ),
            Pace(delay_ms=delay_ms / 4, bytes_per_s=random.choice([16_000, 125_000, 1_000_000])),
            Pace(dribble_bytes=random.choice([1, 7, 100]), dribble_ms=random.uniform(0.1, 2.0)),
        ]
    )
    both = same(pace, random.getrandbits(32))
    return random.choice([both, both, replace(both, down=Pace()), replace(both, up=Pace())])


def lossy(random: Random) -> Behaviour:
    """Loss of 1 to 20 % of all segments, over a round trip of some milliseconds."""
    return same(
        Pace(delay_ms=random.uniform(0.5, 10.0), loss=random.uniform(0.01, 0.2)), random.getrandbits(32)
    )


def resetting(random: Random) -> Behaviour:
    return same(Pace(reset=random.uniform(0.02, 0.1)), random.getrandbits(32))


def silent(random: Random) -> Behaviour:
    """Half-open: one direction, or both, disappear."""
    return Behaviour(
        up=Pace(swallow=random.random() < 0.75), down=Pace(swallow=True), seed=random.getrandbits(32)
    )


# -- the faults


class _Fault:
    """Puts links under a behaviour, and takes them out again."""

    name = ""

    def __init__(
        self, number: int, cluster: Cluster, random: Random, target: Target, diversions: Diversions
    ) -> None:
        self._number = number
        self._cluster = cluster
        self._random = random
        self._target = target
        self._diversions = diversions

    def start(self) -> Mapping[str, object]:
        struck = self._target.found(self._cluster, self._random)
        wanted = self._wanted(struck)
        got = self._diversions.divert(self._number, wanted)
        behaviours = {str(link): brief(wanted[link]) for link in got}
        return {
            "nodes": sorted({link.node for link in got}),
            "links": behaviours,
            "refused": len(wanted) - len(got),
            **({} if got else {"did": False}),
        }

    def stop(self) -> Mapping[str, object]:
        return {"nodes": [], "counts": self._diversions.heal(self._number)}

    def _wanted(self, struck: Sequence[int]) -> Mapping[Link, Behaviour]:
        raise NotImplementedError

    def _some(self, links: Sequence[Link], most: int) -> list[Link]:
        """One or more of them, free ones if there are."""
        links = self._diversions.free(links) or list(links)
        return (
            self._random.sample(links, self._random.randint(1, max(1, min(most, len(links)))))
            if links
            else []
        )


def brief(behaviour: Behaviour) -> dict[str, object]:
    """What it does, for the history: parts that do nothing are left out."""
    told: dict[str, object] = {}
    for side, pace in (("up", behaviour.up), ("down", behaviour.down)):
        changed = {name: value for name in Pace.__slots__ if (value := getattr(pace, name))}
        if changed:
            told[side] = {
                name: round(value, 3) if isinstance(value, float) else value
                for name, value in changed.items()
            }
    if behaviour.holds:
        told["holds"] = [ApiKey(hold.api_key).name for hold in behaviour.holds]
    if behaviour.drop_every:
        told["drop_every"] = behaviour.drop_every
    if behaviour.replay is not None:
        told["replay"] = behaviour.replay.chance
    return told


class LinkSlow(_Fault):
    """Some links to the struck nodes, from clients and nodes, are slow."""

    name = "link-slow"

    def _wanted(self, struck: Sequence[int]) -> Mapping[Link, Behaviour]:
        links = self._some(links_to(self._cluster, struck), 4)
        return {link: slow(self._random) for link in links}


class LinkLossy(_Fault):
    """Some links to the struck nodes lose segments."""

    name = "link-lossy"

    def _wanted(self, struck: Sequence[int]) -> Mapping[Link, Behaviour]:
        links = self._some(links_to(self._cluster, struck), 4)
        return {link: lossy(self._random) for link in links}


class LinkSilent(_Fault):
    """Some links to the struck nodes are half-open: what is sent disappears, and connections never end."""

    name = "link-silent"

    def _wanted(self, struck: Sequence[int]) -> Mapping[Link, Behaviour]:
        links = self._some(links_to(self._cluster, struck), 2)
        return {link: silent(self._random) for link in links}


class ConnectionReset(_Fault):
    """Connections of some links to the struck nodes are reset in the middle of a frame, again and again."""

    name = "connection-reset"

    def _wanted(self, struck: Sequence[int]) -> Mapping[Link, Behaviour]:
        links = self._some(links_to(self._cluster, struck), 4)
        return {link: framed(resetting(self._random), link) for link in links}


class AcksDropped(_Fault):
    """Producers lose the answer of every n-th request to the struck nodes, with the connection, and try again. Some of
    their requests also come twice."""

    name = "acks-dropped"

    def _wanted(self, struck: Sequence[int]) -> Mapping[Link, Behaviour]:
        every, seed = self._random.randint(2, 20), self._random.getrandbits(32)
        links = links_to(self._cluster, struck, ["CLIENT"])
        return {link: Behaviour(drop_every=every, replay=Replay(), seed=seed) for link in links}


#: What RequestDelayed draws from: the APIs that are held together, and who sends them.
DELAYED: Final[Mapping[str, tuple[tuple[ApiKey, ...], str]]] = {
    "produce": ((ApiKey.PRODUCE,), "CLIENT"),
    "alter-partition": ((ApiKey.ALTER_PARTITION,), "INTERNAL"),
    "replica-fetch": ((ApiKey.FETCH,), "INTERNAL"),
    "end-txn": ((ApiKey.END_TXN, ApiKey.PRODUCE), "CLIENT"),
}


class RequestDelayed(_Fault):
    """Single requests travel for 1 to 30 s (but never longer than the fault lasts), while others pass them; their
    client may be gone when they arrive."""

    name = "request-delayed"

    def _wanted(self, struck: Sequence[int]) -> Mapping[Link, Behaviour]:
        random = self._random
        case = random.choice(sorted(DELAYED))
        apis, listener = DELAYED[case]
        links = links_to(self._cluster, struck, [listener])
        if case == "replica-fetch":  # more at once would be an outage, which other faults are for
            leader = self._target._replace(aim="leader").found(self._cluster, random)
            led = [link for link in links if link.node in leader]
            links = self._some(led or links, 1)
        chance = 1.0 if case == "alter-partition" else random.uniform(0.05, 1.0)
        holds = tuple(
            Hold(api.value, requests=random.randint(1, 3), chance=chance, cut_client=random.random() < 0.6)
            for api in apis
        )
        wanted = {link: Behaviour(holds=holds, seed=random.getrandbits(32)) for link in links}
        return self._with_a_change_of_isr(wanted) if case == "alter-partition" else wanted

    def _with_a_change_of_isr(self, wanted: Mapping[Link, Behaviour]) -> Mapping[Link, Behaviour]:
        """Some heartbeats of one node are late, too: it is fenced, and comes back, which leaders must ask for."""
        controller = self._cluster.controller()
        free = self._diversions.free(wanted)
        beats = [link for link in free if link.node == controller]
        if not beats:
            return wanted
        late = self._random.choice(beats)
        hold = Hold(ApiKey.BROKER_HEARTBEAT.value, low_ms=2_500.0, high_ms=5_000.0, requests=8)
        behaviour = wanted[late]
        return {**wanted, late: replace(behaviour, holds=(*behaviour.holds, hold))}


class StandingRetries:
    """All answers pass, but for those of every n-th Produce of each node: for the whole run."""

    def __init__(self, diversions: Diversions) -> None:
        self._diversions = diversions

    def counts(self) -> Mapping[str, int]:
        return self._diversions.standing_counts()

    def stop(self) -> Mapping[str, int]:
        """Returns the last counts. After the last fault."""
        return self._diversions.stand_no_more()


def standing_retries(cluster: Cluster, diversions: Diversions, every: int, seed: int = 0) -> StandingRetries:
    """Idempotent producers of the run try again all the time, and one request in fifty comes twice."""
    links = links_to(cluster, cluster.nodes, ["CLIENT"])
    behaviour = Behaviour(drop_every=every, replay=Replay(chance=0.02), seed=seed)
    diversions.stand(dict.fromkeys(links, behaviour))
    return StandingRetries(diversions)
