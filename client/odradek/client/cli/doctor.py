"""`odradek doctor`: collect facts from the cluster and this machine, and print what `diagnosis` makes of them.

Every question is asked for itself: what cannot be answered becomes a note, and the others go on."""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from odradek.client.cli import exits
from odradek.client.cli.commands import (
    CALL_TIMEOUT_MS,
    CommandParser,
    argument,
    cluster_of,
    completes,
    leaf,
    reachable,
    say,
    show,
)
from odradek.client.cli.diagnosis import (
    ClockFact,
    DialedListener,
    Facts,
    Finding,
    GroupSample,
    LogDirFact,
    NodeFact,
    PartitionFact,
    VoterFact,
    diagnose,
)
from odradek.client.cli.quantities import parse_duration_ms

if TYPE_CHECKING:
    from odradek.client.admin import Admin
    from odradek.client.descriptions import Cluster, Listener

T = TypeVar("T")

DIAL_TIMEOUT_S: Final = 3.0
SAMPLE_PERIOD_S: Final = 0.5
_MAX_GROUPS: Final = 200
_FSYNCS: Final = 50
_FSYNC_BYTES: Final = 4096

_EXAMPLES = """\
  odradek doctor
  odradek doctor --watch 30s -g billing                  look longer at one group
  odradek doctor --data /var/lib/odradek -o json         and at the disk of this machine
exit code here: 0 nothing or notes only, 5 the worst is a warning, 1 the worst is critical, 4 no node answers"""


def fill(parser: CommandParser) -> None:
    leaf(parser, _doctor, output=True, examples=_EXAMPLES)
    parser.add_argument(
        "--watch", metavar="DURATION", type=argument(parse_duration_ms), default=4000,
        help="how long groups are watched for flapping; default: 4s",
    )  # fmt: skip
    completes(
        parser.add_argument(
            "-g", "--group", metavar="GROUP", action="append", default=[], help="default: all groups"
        ),
        "group",
    )
    parser.add_argument(
        "--data", metavar="DIR", help="try how fast the disk of this directory of this machine syncs"
    )


async def _doctor(options: argparse.Namespace) -> int:
    cluster = cluster_of(options)
    servers = reachable(cluster.servers)
    from odradek.client.admin import Admin

    async with Admin(servers, client_id=cluster.client_id, timeout_ms=CALL_TIMEOUT_MS) as admin:
        facts = await collect(admin, servers, options.watch, options.group)
    if options.data:
        facts = replace(facts, fsync_path=options.data, fsync_ms=tuple(probe_fsync(options.data)))
    findings = diagnose(facts)
    _print(options, facts, findings)
    return exit_code(findings)


def exit_code(findings: list[Finding]) -> int:
    """What the worst finding says."""
    severities = {finding.severity for finding in findings}
    if "critical" in severities:
        return exits.FAILED
    return exits.PARTLY if "warning" in severities else exits.OK


def _print(options: argparse.Namespace, facts: Facts, findings: list[Finding]) -> None:
    if options.output != "table":
        data: dict[str, Any] = {
            "worst": findings[0].severity if findings else "ok",
            "findings": [
                {
                    "severity": one.severity,
                    "check": one.check,
                    "subject": one.subject,
                    "problem": one.problem,
                    "advice": one.advice,
                }
                for one in findings
            ],
            "looked_at": _looked_at(facts),
        }
        show(options, data, [])
        return
    for one in findings:
        say(f"{one.severity.upper()}  {one.subject}\n  {one.problem}\n  -> {one.advice}\n")
    counts = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in _looked_at(facts).items())
    bad = sum(one.severity != "note" for one in findings)
    say(f"{f'{bad} findings' if bad else 'All is well'}. Looked at {counts}.")


def _looked_at(facts: Facts) -> dict[str, int]:
    return {
        "nodes": len(facts.nodes),
        "listeners": len(facts.listeners),
        "partitions": len(facts.partitions),
        "voters": len(facts.voters or ()),
        "groups": len({sample.group_id for sample in facts.groups}),
        "log_directories": len(facts.log_dirs),
        "clocks": len(facts.clocks),
        "fsyncs": len(facts.fsync_ms),
    }


async def collect(admin: Admin, servers: str, watch_ms: int, groups: list[str]) -> Facts:
    """All facts that the network has to say. Raises OdradekError if not even GetCluster is answered."""
    cluster = await admin.get_cluster()
    unknown: list[str] = []

    async def asked(what: str, question: Awaitable[T], otherwise: T) -> T:
        from odradek.client.errors import OdradekError

        try:
            return await question
        except OdradekError as error:
            unknown.append(f"Could not look at {what}: {error.message or error.reason}.")
            return otherwise

    listeners, clocks, partitions, voters, log_dirs, samples = await asyncio.gather(
        _dial_all(cluster),
        _clocks(admin, cluster),
        asked("the partitions", _partitions(admin), ()),
        asked("the quorum", _voters(admin), None),
        asked("the log directories", _log_dirs(admin, cluster, unknown), ()),
        asked("the groups", _watch_groups(admin, watch_ms, groups), ()),
    )
    return Facts(
        server=servers.partition(",")[0],
        controller_id=cluster.controller_id,
        nodes=tuple(NodeFact(node.node_id, node.alive) for node in cluster.nodes),
        listeners=listeners,
        partitions=partitions,
        voters=voters,
        groups=samples,
        watched_ms=watch_ms,
        log_dirs=log_dirs,
        clocks=clocks,
        unknown=tuple(unknown),
    )


async def _dial_all(cluster: Cluster) -> tuple[DialedListener, ...]:
    dialed = [_dial(node.node_id, listener) for node in cluster.nodes for listener in node.listeners]
    return tuple(await asyncio.gather(*dialed))


async def _dial(node_id: int, listener: Listener) -> DialedListener:
    failure = await dial(listener.host, listener.port)
    return DialedListener(node_id, listener.name, listener.host, listener.port, failure)


async def dial(host: str, port: int) -> str | None:
    """Why an address does not answer; None if it does."""
    import socket

    try:
        async with asyncio.timeout(DIAL_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host.strip("[]"), port)
    except TimeoutError:
        return "timeout"
    except socket.gaierror:
        return "unresolved"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return error.strerror or str(error)
    writer.close()
    return None


async def _clocks(admin: Admin, cluster: Cluster) -> tuple[ClockFact, ...]:
    """The clocks of the nodes that say what theirs is."""
    from odradek.client.errors import OdradekError

    found = []
    for node in cluster.nodes:
        address = next((f"{one.host}:{one.port}" for one in node.listeners if one.name == "GRPC"), None)
        if address is None or not node.alive:
            continue
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                # The first call opens the connection: its round trip would say little.
                await admin.get_cluster(address)
                before = time.time() * 1000
                answer = await admin.get_cluster(address)
                after = time.time() * 1000
        except (OdradekError, TimeoutError):
            # That it cannot be dialed is found by dialing it.
            continue
        if answer.time_ms:
            found.append(ClockFact(node.node_id, answer.time_ms - (before + after) / 2, (after - before) / 2))
    return tuple(found)


async def _partitions(admin: Admin) -> tuple[PartitionFact, ...]:
    """All partitions; those that are not well with their min.insync.replicas."""
    from odradek.client.descriptions import ConfigResource

    all_partitions = [one async for one in admin.list_partitions()]
    unwell = {one.topic for one in all_partitions if len(one.in_sync_replicas) < len(one.replicas)}
    needed: dict[str, int] = {}
    for topic in sorted(unwell):
        async for config in admin.list_configs(ConfigResource.topic(topic), ["min.insync.replicas"]):
            needed[topic] = int(config.value or 1)
    return tuple(
        PartitionFact(
            one.topic,
            one.partition,
            one.leader_id,
            one.replicas,
            one.in_sync_replicas,
            # More than there are replicas cannot be asked for.
            min(needed[one.topic], len(one.replicas)) if one.topic in needed else None,
        )
        for one in all_partitions
    )


async def _voters(admin: Admin) -> tuple[VoterFact, ...] | None:
    from odradek.client.errors import NodeUnavailableError

    try:
        quorum = await admin.get_quorum()
    except NodeUnavailableError:
        return None
    return tuple(VoterFact(one.node_id, one.last_heard_ms, one.current) for one in quorum.voters)


async def _log_dirs(admin: Admin, cluster: Cluster, unknown: list[str]) -> tuple[LogDirFact, ...]:
    from odradek.client.errors import OdradekError

    found = []
    for node in cluster.nodes:
        if not node.alive:
            continue
        try:
            async for one in admin.list_log_dirs(node.node_id):
                error = "" if one.error is None else str(one.error)
                found.append(LogDirFact(node.node_id, one.path, one.total_bytes, one.usable_bytes, error))
        except OdradekError as failed:
            unknown.append(
                f"Could not look at the disks of node {node.node_id}: {failed.message or failed.reason}."
            )
    return tuple(found)


async def _watch_groups(admin: Admin, watch_ms: int, only: list[str]) -> tuple[GroupSample, ...]:
    """Look at groups again and again for so long."""
    from odradek.client.errors import UnknownGroupError

    loop = asyncio.get_running_loop()
    deadline = loop.time() + watch_ms / 1000
    names = only or [
        group.group_id async for group in admin.list_groups() if group.protocol_type in ("consumer", "")
    ]
    samples: list[GroupSample] = []
    while names:
        for name in names[:_MAX_GROUPS]:
            try:
                group = await admin.get_group(name)
            except UnknownGroupError:
                if only:
                    raise
                continue
            members = frozenset(member.member_id for member in group.members)
            samples.append(GroupSample(name, group.state, members, group.generation))
        if loop.time() + SAMPLE_PERIOD_S >= deadline:
            break
        await asyncio.sleep(SAMPLE_PERIOD_S)
    return tuple(samples)


def probe_fsync(directory: str) -> list[float]:
    """How long each of some small writes took to be safe in this directory, in ms. Raises OSError."""
    path = os.path.join(directory, f".odradek-doctor-{os.getpid()}")
    took = []
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        for _ in range(_FSYNCS):
            before = time.perf_counter()
            os.write(descriptor, bytes(_FSYNC_BYTES))
            os.fsync(descriptor)
            took.append((time.perf_counter() - before) * 1000)
            if sum(took) > 5000:
                break
    finally:
        os.close(descriptor)
        os.unlink(path)
    return took
