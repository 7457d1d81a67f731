"""Runs a group script: one verb per line at the margin, what came of it indented below.

    join NAME [group=g] [instance=i] [protocols=range:meta,rr:meta] [id=...] [version=9] [session=MS]
    [rebalance=MS] sync NAME [MEMBER=assignment ...]          heartbeat NAME           leave NAME ...
    leave-instance INSTANCE                    commit NAME topic:partition=offset [retention=MS] fetch | show
    | settle | wait MS | hold | release | refuse ERROR | restart delete-group | delete-offset topic:partition

A NAME stands for a client: it remembers the member id and generation that it was told last. Lines that begin
with # are comments; `config name=value ...` may come first.
"""

from __future__ import annotations

from tests.scripts.group.world import World

from odradek.node.coordinator.config import GroupConfig
from odradek.node.coordinator.group.commands import (
    CommitOffsets,
    CommitResult,
    DeleteGroup,
    DeleteOffsets,
    DeleteOffsetsResult,
    GroupProtocol,
    Heartbeat,
    JoinGroup,
    JoinResult,
    LeaveGroup,
    LeaveResult,
    LeavingMember,
    OffsetToCommit,
    SyncGroup,
    SyncResult,
)
from odradek.node.coordinator.group.shard import GroupShard
from odradek.node.coordinator.result import Token
from odradek.proto.kafka.errors import ErrorCode

GROUP = "g"


def subscription(topics: str) -> bytes:
    """A consumer's subscription to topics separated by '+'."""
    names = [name.encode() for name in topics.split("+") if name]
    body = b"".join(len(name).to_bytes(2, "big") + name for name in names)
    return b"\0\1" + len(names).to_bytes(4, "big") + body + b"\0\0\0\0"


class Client:
    def __init__(self, name: str) -> None:
        self.name = name
        self.member_id = ""
        self.generation = -1
        self.instance_id: str | None = None


class Interpreter:
    def __init__(self) -> None:
        self.world = World()
        self.clients: dict[str, Client] = {}
        self._asked: dict[Token, tuple[Client, str]] = {}
        self._seen = 0

    def run(self, line: str) -> list[str]:
        """The lines that a verb produces."""
        verb, *words = line.split()
        options = {key: value for key, _, value in (word.partition("=") for word in words if "=" in word)}
        names = [word for word in words if "=" not in word]
        method = getattr(self, "do_" + verb.replace("-", "_"))
        printed: list[str] = list(method(names, options) or ())
        return printed + self._news()

    def _client(self, name: str) -> Client:
        return self.clients.setdefault(name, Client(name))

    def _news(self) -> list[str]:
        fresh = self.world.answers[self._seen :]
        self._seen = len(self.world.answers)
        return [self._tell(*self._asked[answer.token], answer.value) for answer in fresh]

    def _tell(self, client: Client, verb: str, value: object) -> str:
        head = f"{client.name} {verb}:"
        match value:
            case ErrorCode():
                return f"{head} {value.name}"
            case JoinResult(error=ErrorCode.NONE):
                client.member_id, client.generation = value.member_id, value.generation
                told = f"{head} generation {value.generation}, {value.protocol_name}, "
                told += f"leader {value.leader_id}, is {value.member_id}"
                if value.members:
                    told += ", members " + " ".join(m.member_id for m in value.members)
                return told + (", skips assignment" if value.skip_assignment else "")
            case JoinResult():
                if value.error is ErrorCode.MEMBER_ID_REQUIRED:
                    client.member_id = value.member_id
                return f"{head} {value.error.name} {value.member_id}".rstrip()
            case SyncResult(error=ErrorCode.NONE):
                return f"{head} {value.assignment.decode() or 'nothing'}"
            case LeaveResult():
                return f"{head} " + " ".join(m.error.name for m in value.members)
            case CommitResult():
                return f"{head} " + " ".join(error.name for error in value.errors)
            case DeleteOffsetsResult():
                return f"{head} " + " ".join(error.name for error in value.errors or (value.error,))
            case SyncResult():
                return f"{head} {value.error.name}"
        raise AssertionError(f"cannot tell {value!r}")

    # Verbs

    def do_config(self, names: list[str], options: dict[str, str]) -> None:
        values = {"initial_rebalance_delay_ms": 0, **{key: int(value) for key, value in options.items()}}
        self.world = World(GroupConfig(**values))

    def do_join(self, names: list[str], options: dict[str, str]) -> None:
        client = self._client(names[0])
        client.instance_id = options.get("instance", client.instance_id)
        version = int(options.get("version", "9"))
        protocols = tuple(
            GroupProtocol(name, subscription(topics))
            for name, _, topics in (p.partition(":") for p in options.get("protocols", "range:t").split(","))
        )
        command = JoinGroup(
            GROUP,
            options.get("id", client.member_id),
            client.instance_id,
            client.name,
            "/host",
            int(options.get("session", "10000")),
            int(options.get("rebalance", "30000")),
            options.get("type", "consumer"),
            protocols,
            known_member_id_required=version >= 4,
            can_skip_assignment=version >= 9,
        )
        self._asked[self.world._tokens + 1] = (client, "join")
        self.world.do(GroupShard.join, command)

    def do_sync(self, names: list[str], options: dict[str, str]) -> None:
        client = self._client(names[0])
        assignments = {
            self.clients[name].member_id if name in self.clients else name: value.encode()
            for name, value in options.items()
        }
        self._asked[self.world._tokens + 1] = (client, "sync")
        self.world.do(
            GroupShard.sync,
            SyncGroup(
                GROUP, client.generation, client.member_id, client.instance_id, None, None, assignments
            ),
        )

    def do_heartbeat(self, names: list[str], options: dict[str, str]) -> list[str]:
        client = self._client(names[0])
        command = Heartbeat(GROUP, client.generation, options.get("id", client.member_id), client.instance_id)
        return [f"{client.name} heartbeat: {self.world.shard.heartbeat(command, self.world.now_ms).name}"]

    def do_leave(self, names: list[str], options: dict[str, str]) -> None:
        clients = [self._client(name) for name in names]
        members = tuple(LeavingMember(client.member_id, client.instance_id) for client in clients)
        self._asked[self.world._tokens + 1] = (Client(" ".join(names)), "leave")
        self.world.do(GroupShard.leave, LeaveGroup(GROUP, members))

    def do_leave_instance(self, names: list[str], options: dict[str, str]) -> None:
        self._asked[self.world._tokens + 1] = (Client(f"instance {names[0]}"), "leave")
        self.world.do(GroupShard.leave, LeaveGroup(GROUP, (LeavingMember("", names[0]),)))

    def do_commit(self, names: list[str], options: dict[str, str]) -> None:
        client = self._client(names[0])
        retention_ms = int(options.pop("retention", "-1"))
        offsets = tuple(
            OffsetToCommit(place.split(":")[0], bytes(16), int(place.split(":")[1]), int(offset), -1, "")
            for place, offset in options.items()
        )
        self._asked[self.world._tokens + 1] = (client, "commit")
        self.world.do(
            GroupShard.commit,
            CommitOffsets(
                GROUP, client.generation, client.member_id, client.instance_id, retention_ms, offsets
            ),
        )

    def do_delete_group(self, names: list[str], options: dict[str, str]) -> None:
        self._asked[self.world._tokens + 1] = (Client("admin"), "delete-group")
        self.world.do(GroupShard.delete_group, DeleteGroup(GROUP))

    def do_delete_offset(self, names: list[str], options: dict[str, str]) -> None:
        partitions = tuple((name.split(":")[0], int(name.split(":")[1])) for name in names)
        self._asked[self.world._tokens + 1] = (Client("admin"), "delete-offset")
        self.world.do(GroupShard.delete_offsets, DeleteOffsets(GROUP, partitions))

    def do_fetch(self, names: list[str], options: dict[str, str]) -> list[str]:
        offsets = self.world.shard.committed_offsets(GROUP)
        found = [f"{t}:{p}={c.offset}" for t, partitions in offsets.items() for p, c in partitions.items()]
        return ["committed: " + (" ".join(found) or "nothing")]

    def do_show(self, names: list[str], options: dict[str, str]) -> list[str]:
        group = self.world.shard.groups.get(GROUP)
        if group is None:
            return ["no group"]
        lines = [f"{group.state.value}, generation {group.generation}, leader {group.leader_id or 'nobody'}"]
        for member in group.members.values():
            waits = "joining" if member.join_token is not None else ""
            waits = "syncing" if member.sync_token is not None else waits
            lines.append(f"{member.member_id}: {waits or member.assignment.decode() or 'nothing'}")
        if group.pending_joins:
            lines.append("expected: " + " ".join(group.pending_joins))
        return lines

    def do_settle(self, names: list[str], options: dict[str, str]) -> None:
        self.world.settle()

    def do_wait(self, names: list[str], options: dict[str, str]) -> None:
        self.world.advance(int(names[0]))

    def do_hold(self, names: list[str], options: dict[str, str]) -> None:
        self.world.hold = True

    def do_release(self, names: list[str], options: dict[str, str]) -> None:
        self.world.release()

    def do_refuse(self, names: list[str], options: dict[str, str]) -> None:
        self.world.hold = False
        self.world.refuse(ErrorCode[names[0]])

    def do_restart(self, names: list[str], options: dict[str, str]) -> list[str]:
        lost = self.world.restart()
        return [f"{self._asked[token][0].name} {self._asked[token][1]}: no answer" for token in lost]


def play(script: str) -> str:
    """The script with what its verbs produce now."""
    interpreter = Interpreter()
    lines: list[str] = []
    for line in script.splitlines():
        if line.startswith("    "):
            continue
        lines.append(line)
        if line and not line.startswith("#"):
            lines += [f"    {printed}" for printed in interpreter.run(line)]
    interpreter.world.hold = False
    interpreter.world.release()
    interpreter.world.check_replay()
    return "\n".join(lines) + "\n"
