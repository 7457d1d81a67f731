"""`odradek cluster`: info, health, brokers, partitions, reassign, elect-leaders, logdirs, quorum."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from odradek.client.cli import exits
from odradek.client.cli.commands import (
    CommandParser,
    Verbs,
    argument,
    completes,
    open_admin,
    report,
    show,
    show_rows,
)
from odradek.client.cli.partitions import parse_move, parse_topic_partitions

if TYPE_CHECKING:
    from odradek.client.admin import Admin
    from odradek.client.descriptions import Cluster, PartitionOutcome
    from odradek.client.records import TopicPartition


def fill(parser: CommandParser) -> None:
    verbs = Verbs(parser)
    verbs.add("info", _info, "the cluster and its nodes", output=True)
    verbs.add("health", _health, "whether all is well; exit code 1 if not", output=True)
    verbs.add("brokers", _brokers, "the nodes and where they are reached", output=True)
    partitions = verbs.add("partitions", _partitions, "partitions, their leaders and replicas", output=True)
    completes(partitions.add_argument("topics", nargs="*", metavar="TOPIC", help="default: all"), "topic")
    partitions.add_argument(
        "--unhealthy",
        action="store_true",
        help="only those without a leader, or with replicas that are not in sync",
    )
    _fill_reassign(verbs)
    elect = verbs.add(
        "elect-leaders",
        _elect_leaders,
        "have partitions led by their preferred replicas",
        output=True,
        examples="  odradek cluster elect-leaders\n  odradek cluster elect-leaders orders/0,2 --unclean",
    )
    completes(
        elect.add_argument(
            "partitions",
            nargs="*",
            metavar="TOPIC[/0,2]",
            type=argument(parse_topic_partitions),
            help="default: all",
        ),
        "topic",
    )
    elect.add_argument(
        "--unclean", action="store_true",
        help="by any live replica where no in-sync one is left: records that it does not have are LOST",
    )  # fmt: skip
    logdirs = verbs.add(
        "logdirs", _logdirs, "the log directories of nodes, and the largest partitions", output=True
    )
    completes(
        logdirs.add_argument(
            "nodes", nargs="*", type=int, metavar="NODE", help="default: all that are alive"
        ),
        "node",
    )
    logdirs.add_argument("--partitions", action="store_true", help="show every partition")
    verbs.add("quorum", _quorum, "the Raft group that holds the metadata", output=True)


def _fill_reassign(verbs: Verbs) -> None:
    reassign = verbs.add(
        "reassign",
        _reassign,
        "move partitions to other nodes, or list moves under way",
        output=True,
        examples="  odradek cluster reassign                                   what is moving now\n"
        "  odradek cluster reassign orders/0:1,2,3 orders/1:2,3,1 --wait\n"
        "  odradek cluster reassign --cancel orders/0",
    )
    completes(
        reassign.add_argument("moves", nargs="*", metavar="TOPIC/0:1,2,3", type=argument(parse_move)), "topic"
    )
    reassign.add_argument(
        "--cancel", metavar="TOPIC[/0]", type=argument(parse_topic_partitions), action="append", default=[],
        help="take a move back; repeatable",
    )  # fmt: skip
    reassign.add_argument("--wait", action="store_true", help="until the moves are done, with a progress bar")


def node_rows(cluster: Cluster) -> list[dict[str, Any]]:
    """The nodes, as verbs print them."""
    return [
        {
            "node": node.node_id,
            "alive": node.alive,
            "controller": node.node_id == cluster.controller_id,
            "rack": node.rack or None,
            "leaders": node.leader_count,
            "replicas": node.replica_count,
            "listeners": [f"{one.name}://{one.host}:{one.port}" for one in node.listeners],
        }
        for node in cluster.nodes
    ]


_NODE_COLUMNS = ("node", "alive", "controller", "rack", "leaders", "replicas", "listeners")


def _counts(cluster: Cluster) -> dict[str, Any]:
    return {
        "cluster_id": cluster.cluster_id,
        "version": cluster.version,
        "controller": cluster.controller_id if cluster.controller_id >= 0 else None,
        "topics": cluster.topic_count,
        "partitions": cluster.partition_count,
        "leaderless_partitions": cluster.leaderless_partition_count,
        "under_replicated_partitions": cluster.under_replicated_partition_count,
        "under_min_in_sync_partitions": cluster.under_min_in_sync_partition_count,
    }


async def _info(options: argparse.Namespace) -> int:
    from odradek.client.cli.rendering import Table, properties

    async with open_admin(options) as admin:
        cluster = await admin.get_cluster()
    counts, nodes = _counts(cluster), node_rows(cluster)
    show(options, {**counts, "nodes": nodes}, [properties(counts), Table(nodes, _NODE_COLUMNS)])
    return exits.OK


async def _brokers(options: argparse.Namespace) -> int:
    async with open_admin(options) as admin:
        cluster = await admin.get_cluster()
    show_rows(options, node_rows(cluster), _NODE_COLUMNS)
    return exits.OK


async def _health(options: argparse.Namespace) -> int:
    from odradek.client.cli.rendering import properties

    async with open_admin(options) as admin:
        cluster = await admin.get_cluster()
    counts = _counts(cluster)
    down = [node.node_id for node in cluster.nodes if not node.alive]
    healthy = (
        cluster.controller_id >= 0
        and not down
        and not any(counts[name] for name in counts if name.endswith("_partitions"))
    )
    data = {"healthy": healthy, "nodes_down": down, **counts}
    show(options, data, [properties(data)])
    return exits.OK if healthy else exits.FAILED


async def _partitions(options: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = []
    codes = []
    async with open_admin(options) as admin:
        for topic in options.topics or [""]:
            try:
                async for one in admin.list_partitions(topic, only_unhealthy=options.unhealthy):
                    rows.append(  # noqa: PERF401  what came before an error is shown
                        {
                            "topic": one.topic,
                            "partition": one.partition,
                            "leader": one.leader_id if one.leader_id >= 0 else None,
                            "epoch": one.leader_epoch,
                            "replicas": list(one.replicas),
                            "in_sync_replicas": list(one.in_sync_replicas),
                            "offline": list(one.offline_replicas),
                            "eligible": list(one.eligible_leader_replicas),
                            "adding": list(one.adding_replicas),
                            "removing": list(one.removing_replicas),
                        }
                    )
                codes.append(exits.OK)
            except Exception as error:
                codes.append(report(error, topic))
    columns = (
        "topic",
        "partition",
        "leader",
        "epoch",
        "replicas",
        "in_sync_replicas:ISR",
        "offline",
        "adding",
    )
    if rows or exits.worst(codes) == exits.OK:
        show_rows(options, rows, columns)
    return exits.worst(codes)


async def _partition_list(
    admin: Admin, chosen: Iterable[tuple[str, list[int] | None]]
) -> list[TopicPartition]:
    from odradek.client.cli.resolving import partitions_of

    return [tp for topic, numbers in chosen for tp in await partitions_of(admin, topic, numbers)]


async def _reassign(options: argparse.Namespace) -> int:
    changes: dict[TopicPartition, list[int] | None] = {}
    async with open_admin(options) as admin:
        for topic, numbers, nodes in options.moves:
            changes |= dict.fromkeys(await _partition_list(admin, [(topic, numbers)]), nodes)
        changes |= dict.fromkeys(await _partition_list(admin, options.cancel), None)
        code = exits.OK
        if changes:
            code = _show_outcomes(options, await admin.alter_reassignments(changes))
        if options.wait:
            await _wait_for_moves(admin, set(changes))
        if changes:
            return code
        rows = [
            {
                "topic": one.topic,
                "partition": one.partition,
                "replicas": list(one.replicas),
                "adding": list(one.adding_replicas),
                "removing": list(one.removing_replicas),
            }
            async for one in admin.list_reassignments()
        ]
    show_rows(options, rows, ("topic", "partition", "replicas", "adding", "removing"))
    return exits.OK


async def _wait_for_moves(admin: Admin, only: set[TopicPartition]) -> None:
    """Return when no partition of `only` (of all, if it is empty) is moving any more."""
    import asyncio

    from odradek.client.cli.progress import Progress
    from odradek.client.records import TopicPartition

    async def moving() -> int:
        left = {TopicPartition(one.topic, one.partition) async for one in admin.list_reassignments()}
        return len(left & only if only else left)

    total = left = await moving()
    with Progress("moving", total) as progress:
        while left:
            await asyncio.sleep(0.5)
            left = await moving()
            progress.update(total - left, f"{left} partitions left")


def _show_outcomes(options: argparse.Namespace, outcomes: list[PartitionOutcome]) -> int:
    """What became of partitions, one line each."""
    rows = [
        {
            "topic": one.topic,
            "partition": one.partition,
            "ok": one.error is None,
            "reason": one.error.reason if one.error else None,
            "message": one.error.message if one.error else None,
        }
        for one in outcomes
    ]
    show_rows(options, rows, ("topic", "partition", "ok", "reason", "message"))
    return exits.worst([exits.OK if row["ok"] else exits.FAILED for row in rows])


async def _elect_leaders(options: argparse.Namespace) -> int:
    async with open_admin(options) as admin:
        partitions = await _partition_list(admin, options.partitions)
        outcomes = await admin.elect_leaders(partitions, unclean=options.unclean)
    # What was fine before is no failure: nothing had to be done.
    failed = [one for one in outcomes if one.error is None or one.error.reason != "ELECTION_NOT_NEEDED"]
    return _show_outcomes(options, failed)


async def _logdirs(options: argparse.Namespace) -> int:
    from odradek.client.cli.quantities import format_size
    from odradek.client.cli.rendering import Table

    rows: list[dict[str, Any]] = []
    codes = []
    async with open_admin(options) as admin:
        nodes = options.nodes or [node.node_id for node in (await admin.get_cluster()).nodes if node.alive]
        for node in nodes:
            try:
                rows += [
                    {
                        "node": node,
                        "path": one.path,
                        "error": str(one.error) if one.error else None,
                        "total_bytes": one.total_bytes,
                        "usable_bytes": one.usable_bytes,
                        "partitions": [
                            {
                                "topic": part.topic,
                                "partition": part.partition,
                                "size_bytes": part.size_bytes,
                                "offset_lag": part.offset_lag,
                            }
                            for part in sorted(one.partitions, key=lambda part: -part.size_bytes)
                        ],
                    }
                    async for one in admin.list_log_dirs(node)
                ]
                codes.append(exits.OK)
            except Exception as error:
                codes.append(report(error, f"node {node}"))
    summary = [
        {
            **row,
            "size": format_size(sum(part["size_bytes"] for part in row["partitions"])),
            "free": f"{format_size(row['usable_bytes'])} of {format_size(row['total_bytes'])}",
            "count": len(row["partitions"]),
        }
        for row in rows
    ]
    tables = [Table(summary, ("node", "path", "count:PARTITIONS", "size", "free", "error"))]
    if options.partitions:
        parts = [{"node": row["node"], **part} for row in rows for part in row["partitions"]]
        tables.append(Table(parts, ("node", "topic", "partition", "size_bytes", "offset_lag")))
    if rows or exits.worst(codes) == exits.OK:
        show(options, rows, tables)
    return exits.worst(codes)


async def _quorum(options: argparse.Namespace) -> int:
    from odradek.client.cli.rendering import Table, properties

    async with open_admin(options) as admin:
        quorum = await admin.get_quorum()
    head = {"leader": quorum.leader_id, "term": quorum.term, "commit_index": quorum.commit_index}
    voters = [
        {
            "node": voter.node_id,
            "leader": voter.node_id == quorum.leader_id,
            "log_end_index": voter.log_end_index,
            "behind": max(0, quorum.commit_index - voter.log_end_index),
            "last_heard_ms": voter.last_heard_ms if voter.last_heard_ms >= 0 else None,
            "current": voter.current,
        }
        for voter in quorum.voters
    ]
    columns = ("node", "leader", "log_end_index", "behind", "last_heard_ms", "current")
    show(options, {**head, "voters": voters}, [properties(head), Table(voters, columns)])
    return exits.OK
