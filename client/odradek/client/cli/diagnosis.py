"""What `odradek doctor` concludes: from collected facts to findings in words. Pure: no network, no clock.

A finding is critical where something does not work now, a warning where it works and is at risk, and a note where one
should only know. Each says what is wrong and what to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from odradek.client.cli.quantities import format_duration_ms, format_size

Severity = Literal["critical", "warning", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "warning", "note")

#: A voter that the leader has not heard of for longer counts as lost.
VOTER_SILENT_MS: Final = 5_000
SLOW_FSYNC_MS: Final = 20.0
VERY_SLOW_FSYNC_MS: Final = 100.0
CLOCK_SKEW_MS: Final = 500
CLOCK_SKEW_CRITICAL_MS: Final = 30_000
LITTLE_SPACE: Final = 0.10
NO_SPACE: Final = 0.03
#: So many changes of a group while it was watched are flapping.
FLAPS: Final = 2

_LOOPBACK: Final = ("localhost", "127.", "::1", "[::1]")
_WILDCARD: Final = ("0.0.0.0", "::", "[::]", "")


@dataclass(frozen=True)
class Finding:
    severity: Severity
    check: str
    subject: str
    problem: str
    advice: str


@dataclass(frozen=True)
class DialedListener:
    """An address that a node advertises, and what became of dialing it from here: `failure` is None where it
    answered, else "unresolved", "refused", "timeout" or another text."""

    node_id: int
    name: str
    host: str
    port: int
    failure: str | None = None


@dataclass(frozen=True)
class NodeFact:
    node_id: int
    alive: bool


@dataclass(frozen=True)
class PartitionFact:
    topic: str
    partition: int
    leader_id: int
    replicas: tuple[int, ...]
    in_sync_replicas: tuple[int, ...]
    #: None: not known.
    min_in_sync: int | None = None

    @property
    def name(self) -> str:
        return f"{self.topic}/{self.partition}"


@dataclass(frozen=True)
class VoterFact:
    node_id: int
    #: How long ago the leader heard of it, 0 for the leader itself, -1 never.
    last_heard_ms: int
    current: bool


@dataclass(frozen=True)
class GroupSample:
    """A group at one moment. `generation` is 0 where it is not known."""

    group_id: str
    state: str
    members: frozenset[str]
    generation: int = 0


@dataclass(frozen=True)
class LogDirFact:
    node_id: int
    path: str
    total_bytes: int
    usable_bytes: int
    error: str = ""


@dataclass(frozen=True)
class ClockFact:
    """How far the clock of a node is ahead of ours, and how uncertain that is (half the round trip)."""

    node_id: int
    ahead_ms: float
    uncertainty_ms: float


@dataclass(frozen=True)
class Facts:
    """All that was collected. What could not be collected is in `unknown`, as sentences."""

    #: The address that was given: tells whether the cluster is on this machine.
    server: str = "localhost:50051"
    controller_id: int = -1
    nodes: tuple[NodeFact, ...] = ()
    listeners: tuple[DialedListener, ...] = ()
    partitions: tuple[PartitionFact, ...] = ()
    #: None: nobody leads it.
    voters: tuple[VoterFact, ...] | None = ()
    #: In the order of time.
    groups: tuple[GroupSample, ...] = ()
    watched_ms: int = 0
    log_dirs: tuple[LogDirFact, ...] = ()
    clocks: tuple[ClockFact, ...] = ()
    #: What each fsync of the probe took, and where; none without --data.
    fsync_path: str = ""
    fsync_ms: tuple[float, ...] = ()
    unknown: tuple[str, ...] = ()


def diagnose(facts: Facts) -> list[Finding]:
    """The findings, the worst first."""
    found = [
        *_nodes(facts),
        *_quorum(facts),
        *_listeners(facts),
        *_partitions(facts),
        *_groups(facts),
        *_log_dirs(facts),
        *_fsync(facts),
        *_clocks(facts),
        *(
            Finding("note", "unknown", "-", sentence, "Ask again when it can be reached.")
            for sentence in facts.unknown
        ),
    ]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def _nodes(facts: Facts) -> Iterator[Finding]:
    if facts.controller_id < 0 and facts.nodes:
        yield Finding(
            "critical", "controller", "cluster",
            "No node is the active controller: topics cannot be changed, and partitions get no new leaders.",
            "Start nodes until more than half of the voters run and reach each other at their controller listeners.",
        )  # fmt: skip
    for node in facts.nodes:
        if not node.alive:
            yield Finding(
                "warning", "node", f"node {node.node_id}",
                f"Node {node.node_id} is registered, and the controller does not hear of it.",
                "Start it. If it runs: read its log, and see whether it reaches the other nodes.",
            )  # fmt: skip


def _quorum(facts: Facts) -> Iterator[Finding]:
    voters = facts.voters
    if voters is None:
        yield Finding(
            "critical", "quorum", "metadata quorum",
            "Nobody leads the metadata quorum.",
            "More than half of the voters have to run and reach each other: start those that are down.",
        )  # fmt: skip
        return
    count, needed = len(voters), len(voters) // 2 + 1
    lost = [voter for voter in voters if voter.last_heard_ms < 0 or voter.last_heard_ms > VOTER_SILENT_MS]
    living = count - len(lost)
    names = ", ".join(str(voter.node_id) for voter in lost)
    if count > 1 and living <= needed and lost:
        yield Finding(
            "warning" if living == needed else "critical", "quorum", "metadata quorum",
            f"{living} of {count} voters answer and {needed} are needed: the quorum is one node from lost."
            if living == needed else f"Only {living} of {count} voters answer, and {needed} are needed.",
            f"Bring back node {names} before any other node is restarted.",
        )  # fmt: skip
    elif lost:
        yield Finding(
            "warning", "quorum", "metadata quorum",
            f"Of {count} voters {len(lost)} do not answer (node {names}); {living - needed} more may fail.",
            f"Bring back node {names}.",
        )  # fmt: skip
    for voter in voters:
        if voter not in lost and not voter.current:
            yield Finding(
                "note", "quorum", f"node {voter.node_id}",
                f"Voter {voter.node_id} is behind the leader of the quorum.",
                "It catches up by itself; if it does not, its disk or its network is too slow.",
            )  # fmt: skip
    if count == 1:
        yield Finding(
            "note", "quorum", "metadata quorum",
            "There is one voter: if its disk is lost, the cluster is lost.",
            "Fine for a machine of one's own. Elsewhere run three nodes (controller.quorum.voters).",
        )  # fmt: skip
    elif count % 2 == 0 and count:
        yield Finding(
            "note", "quorum", "metadata quorum",
            f"There are {count} voters: no more may fail than of {count - 1}.",
            "Use an odd number of voters.",
        )  # fmt: skip


def _is_loopback(host: str) -> bool:
    return any(host == one or (one.endswith(".") and host.startswith(one)) for one in _LOOPBACK)


_WHY_NOT_DIALED: Final = {
    "unresolved": (
        "its name cannot be resolved from here",
        "Advertise a name or an address that clients can resolve, or give clients that name (DNS, /etc/hosts).",
    ),
    "refused": (
        "nothing listens there",
        "Start the node, or advertise the port that clients reach: behind Docker or NAT that is the published port,"
        " not the one inside.",
    ),
    "timeout": (
        "nothing answers there",
        "Look for a firewall, or an address of an inner network that clients outside cannot reach.",
    ),
}


def _listeners(facts: Facts) -> Iterator[Finding]:
    dead = {node.node_id for node in facts.nodes if not node.alive}
    is_local = _is_loopback(facts.server.rpartition(":")[0])
    for one in facts.listeners:
        address = f"{one.host}:{one.port}"
        subject = f"node {one.node_id} {one.name}"
        setting = "odradek.grpc.advertised.listener" if one.name == "GRPC" else "advertised.listeners"
        if one.host in _WILDCARD:
            yield Finding(
                "critical", "listener", subject,
                f"Node {one.node_id} advertises {address}, which is every address and none: no client can dial it.",
                f"Set {setting} of node {one.node_id} to a name or address that clients can dial.",
            )  # fmt: skip
        elif one.failure is not None and one.node_id not in dead:
            why, advice = _WHY_NOT_DIALED.get(
                one.failure, (one.failure, "See whether this address is right.")
            )
            yield Finding(
                "critical", "listener", subject,
                f"Node {one.node_id} advertises {address}, and {why}. Clients are sent there after their first"
                " connection: they connect, and then fail.",
                f"{advice} The setting is {setting}.",
            )  # fmt: skip
        elif _is_loopback(one.host) and not is_local:
            yield Finding(
                "critical", "listener", subject,
                f"Node {one.node_id} advertises {address}: for a client on another machine that is the client's own.",
                f"Set {setting} of node {one.node_id} to a name or address that other machines can dial.",
            )  # fmt: skip


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _partitions(facts: Facts) -> Iterator[Finding]:
    leaderless = [one for one in facts.partitions if one.leader_id < 0]
    rest = [one for one in facts.partitions if one.leader_id >= 0]
    below = [
        one for one in rest if one.min_in_sync is not None and len(one.in_sync_replicas) < one.min_in_sync
    ]
    under = [one for one in rest if len(one.in_sync_replicas) < len(one.replicas) and one not in below]
    for missing, some in _by_missing(leaderless):
        yield Finding(
            "critical", "partition", _few([one.name for one in some]),
            f"{_count(some)} no leader and can neither be read nor written: the replicas that may lead are on"
            f" {missing}.",
            f"Start {missing}. If its data is lost for good: `odradek cluster elect-leaders --unclean`, which gives up"
            " records that only it had.",
        )  # fmt: skip
    for missing, some in _by_missing(below):
        yield Finding(
            "critical", "partition", _few([one.name for one in some]),
            f"{_count(some)} fewer in-sync replicas than min.insync.replicas: writes with acks=all are refused."
            f" Missing: {missing}.",
            f"Bring {missing} back and let it catch up.",
        )  # fmt: skip
    for missing, some in _by_missing(under):
        yield Finding(
            "warning", "partition", _few([one.name for one in some]),
            f"{_count(some)} fewer in-sync replicas than replicas: they are under-replicated. Missing: {missing}.",
            f"Bring {missing} back. If it runs, it is too slow: look at its disk and network"
            " (replica.lag.time.max.ms).",
        )  # fmt: skip


def _count(partitions: Sequence[PartitionFact]) -> str:
    return "1 partition has" if len(partitions) == 1 else f"{len(partitions)} partitions have"


def _by_missing(partitions: Iterable[PartitionFact]) -> Iterator[tuple[str, list[PartitionFact]]]:
    """Partitions by the nodes whose replicas are not in sync: one cause is one finding. A partition without a leader
    names its last in-sync replicas: only they may lead."""
    grouped: dict[tuple[int, ...], list[PartitionFact]] = defaultdict(list)
    for one in partitions:
        out = tuple(node for node in one.replicas if node not in one.in_sync_replicas)
        grouped[(one.in_sync_replicas or one.replicas) if one.leader_id < 0 else out].append(one)
    for nodes, some in sorted(grouped.items()):
        yield ("node " if len(nodes) == 1 else "nodes ") + ", ".join(map(str, nodes)), some


def _groups(facts: Facts) -> Iterator[Finding]:
    samples: dict[str, list[GroupSample]] = defaultdict(list)
    for sample in facts.groups:
        samples[sample.group_id].append(sample)
    watched = format_duration_ms(facts.watched_ms)
    for group_id, seen in sorted(samples.items()):
        joined = {member for sample in seen for member in sample.members}
        steady = frozenset.intersection(*(sample.members for sample in seen))
        flaps = _changes(seen)
        if flaps >= FLAPS:
            yield Finding(
                "warning", "group", group_id,
                f"The members of group {group_id} flap: it rebalanced about {flaps} times in {watched}"
                f" ({len(joined)} members seen, {len(steady)} all the time), and reads little meanwhile.",
                "Either members die and come back (read their logs), or they take longer for what they got than"
                " max.poll.interval.ms or session.timeout.ms allow: give them less at once or more time. With an"
                " instance id (group.instance.id) a restart is no rebalance.",
            )  # fmt: skip
        elif len(seen) > 2 and all("rebalance" in sample.state for sample in seen):
            yield Finding(
                "warning", "group", group_id,
                f"Group {group_id} has been rebalancing for {watched}: some member does not join again.",
                "Find the member that is busy or hangs; it is given up after its max.poll.interval.ms.",
            )  # fmt: skip


def _changes(seen: Sequence[GroupSample]) -> int:
    """How often a group was divided anew: by its generations where they are known, else by what could be seen."""
    generations = [sample.generation for sample in seen if sample.generation > 0]
    if len(generations) > 1:
        return max(generations) - min(generations)
    pairs = list(pairwise(seen))
    members = sum(before.members != after.members for before, after in pairs)
    began = sum("rebalance" in after.state and "rebalance" not in before.state for before, after in pairs)
    return max(members, began)


def _log_dirs(facts: Facts) -> Iterator[Finding]:
    for one in facts.log_dirs:
        subject = f"node {one.node_id} {one.path}"
        if one.error:
            yield Finding(
                "critical", "disk", subject,
                f"The log directory {one.path} of node {one.node_id} does not work: {one.error}.",
                "Replace the disk or repair the file system, then restart the node.",
            )  # fmt: skip
        elif one.total_bytes > 0 and one.usable_bytes < LITTLE_SPACE * one.total_bytes:
            yield Finding(
                "critical" if one.usable_bytes < NO_SPACE * one.total_bytes else "warning", "disk", subject,
                f"{format_size(one.usable_bytes)} of {format_size(one.total_bytes)} are left in {one.path} of node"
                f" {one.node_id}.",
                "Lower retention.ms or retention.bytes of large topics (`odradek cluster logdirs`), move partitions"
                " away, or give it more space.",
            )  # fmt: skip


def _fsync(facts: Facts) -> Iterator[Finding]:
    if not facts.fsync_ms:
        return
    took = sorted(facts.fsync_ms)
    median, slowest = took[len(took) // 2], took[-1]
    if median >= SLOW_FSYNC_MS or slowest >= 10 * VERY_SLOW_FSYNC_MS:
        yield Finding(
            "critical" if median >= VERY_SLOW_FSYNC_MS else "warning", "fsync", facts.fsync_path,
            f"The disk of {facts.fsync_path} takes {median:.1f} ms for an fsync (slowest {slowest:.0f} ms): every"
            " record that is acknowledged waits for one.",
            "Use a local SSD or NVMe disk, not a network or overlay file system, and keep other writers off it.",
        )  # fmt: skip


def _clocks(facts: Facts) -> Iterator[Finding]:
    for one in facts.clocks:
        away = abs(one.ahead_ms) - one.uncertainty_ms
        if away < CLOCK_SKEW_MS:
            continue
        direction = "ahead of" if one.ahead_ms > 0 else "behind"
        yield Finding(
            "critical" if away >= CLOCK_SKEW_CRITICAL_MS else "warning", "clock", f"node {one.node_id}",
            f"The clock of node {one.node_id} is {format_duration_ms(abs(one.ahead_ms))} {direction} the clock here:"
            " timestamps, retention by time and offsets by time are off by as much.",
            "Run an NTP client (chrony, systemd-timesyncd) on that machine and on this one.",
        )  # fmt: skip
