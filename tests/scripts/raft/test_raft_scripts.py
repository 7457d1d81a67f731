"""Plays the stories in `*.txt` beside this file and compares what is printed, line by line.
 A line that begins with `> ` is a command; what follows it is its output. `REWRITE=1 pytest
tests/scripts/raft` writes the output anew, for review as prose. Commands:
    nodes 1 2 3            a fresh group; all disks sync at once, nothing is delivered by itself
    option NAME VALUE      a field of RaftConfig, for the nodes made after it
    campaign 1             the election deadline of node 1 passes
    elect 1                the same, and what follows is delivered until it is quiet, unprinted
    advance 100            time passes for all; what is due happens
    pass 100               the same in steps of 10 ms, each delivered until it is quiet, unprinted
    deliver                all messages, and their answers, until it is quiet
    deliver 1->2           the messages under way from 1 to 2, without the answers
    lose 1->2 | lose       those messages, or all, are lost
    cut 1 | 2 3            messages between the sides are lost from now on; `mend` ends it
    propose 1 a b          two proposals at node 1
    join 4                 a new node that was told of the present nodes; it is no member yet
    change 1 1 2 4 + 5     node 1 is to change the voters to 1 2 4, and the learners to 5
    transfer 1 2           node 1 is to hand the leadership to 2
    read 1                 a linearizable read begins at node 1
    hint 2                 the connection of node 2 to its leader broke
    hold 1 | sync 1        the disk of node 1 keeps writes pending | makes them durable, and goes on doing so
    snapshot 1             node 1 stores a snapshot of what it applied, and forgets the log behind it
    crash 1 | restart 1    what was pending is lost
    damage 1               the disk of node 1 (which is down) loses all entries, and says so
    ruin 1                 the same, and its term and vote too
    log 1                  the log of node 1, one line
    # text                 printed as it is
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from odradek.raft.core.config import RaftConfig
from odradek.raft.core.log_view import LogView
from odradek.raft.core.membership import decode_configuration
from odradek.raft.core.messages import Message, SnapshotChunk
from odradek.raft.core.quorum import Configuration
from odradek.raft.core.raft import Raft
from odradek.raft.core.ready import Ready
from odradek.raft.core.types import CONFIGURATION, NO_NODE, NORMAL, Entry, HardState, SnapshotMeta

HERE = Path(__file__).parent


class FixedRandom:
    """Deadlines that only depend on the node: 10 ms apart."""

    def __init__(self, node_id: int) -> None:
        self.offset = 10 * node_id

    def randrange(self, start: int, stop: int, /) -> int:
        return start + self.offset


class Member:
    def __init__(self, node_id: int, founders: frozenset[int]) -> None:
        self.id = node_id
        self.founders = founders
        self.hard_state = HardState()
        self.base = SnapshotMeta(0, 0, 0, Configuration(frozenset({0})))
        self.snapshot = b""
        self.entries: list[Entry] = []
        self.core: Raft | None = None
        self.machine: list[str] = []
        self.held = False
        self.pending: list[tuple[Ready, list[Message]]] = []
        self.shown = ""

    def write(self, ready: Ready) -> None:
        if ready.snapshot is not None:
            snapshot = ready.snapshot
            self.base = SnapshotMeta(
                snapshot.index, snapshot.term, len(snapshot.data), snapshot.configuration
            )
            self.snapshot, self.entries = ready.snapshot.data, []
        if ready.entries:
            del self.entries[ready.first_index - self.base.index - 1 :]
            self.entries += ready.entries
        if ready.hard_state is not None:
            self.hard_state = ready.hard_state

    def describe(self) -> str:
        core = self.core
        if core is None:
            return "down"
        log, state = core.log, core.hard_state
        leader = "-" if core.leader_id == NO_NODE else str(core.leader_id)
        vote = "-" if state.vote == NO_NODE else str(state.vote)
        text = (
            f"{core.role.name.lower():13} term {core.term} vote {vote} leader {leader} last {log.last_index}"
        )
        text += f" durable {log.durable_index} commit {log.commit} machine [{' '.join(self.machine)}]"
        if core.configuration != Configuration(self.founders):
            text += f" members {show_configuration(core.configuration)}"
        if core.transfer_to != NO_NODE:
            text += f" hands over to {core.transfer_to}"
        return text + (" DAMAGED" if state.damaged else "")


class Script:
    """The interpreter: one method per verb."""

    def __init__(self) -> None:
        self.now = 0
        self.config = RaftConfig(election_timeout_ms=1000, heartbeat_interval_ms=100)
        self.members: dict[int, Member] = {}
        self.bag: list[Message] = []
        self.barred: set[tuple[int, int]] = set()
        self.out: list[str] = []

    def run(self, line: str) -> list[str]:
        self.out = []
        verb, *words = line.split()
        if verb != "#":
            command: Callable[..., None] = getattr(self, f"do_{verb}")
            command(*words)
            for member in self.members.values():
                self.settle(member)
            for member in self.members.values():
                text = member.describe()
                if text != member.shown:
                    self.out.append(f"  {member.id}: {text}")
                    member.shown = text
        return self.out

    def core(self, word: str | int) -> Raft:
        core = self.members[int(word)].core
        assert core is not None
        return core

    # -- verbs

    def do_nodes(self, *words: str) -> None:
        founders = frozenset(map(int, words))
        self.members = {node_id: Member(node_id, founders) for node_id in sorted(founders)}
        for word in words:
            self.do_restart(word)

    def do_option(self, name: str, value: str) -> None:
        assert name in {field.name for field in fields(RaftConfig)}
        changes: dict[str, Any] = {name: int(value)}
        self.config = replace(self.config, **changes)

    def do_campaign(self, word: str) -> None:
        deadline = self.core(word).next_deadline
        assert deadline is not None
        self.now = max(self.now, deadline)
        self.core(word).on_timer(self.now)

    def do_elect(self, word: str) -> None:
        self.do_campaign(word)
        self.settle(self.members[int(word)])
        self.deliver_unprinted()

    def do_pass(self, word: str) -> None:
        for _ in range(int(word) // 10):
            self.do_advance("10")
            self.deliver_unprinted()

    def deliver_unprinted(self) -> None:
        printed, self.out = self.out, []
        self.do_deliver()
        self.out = printed

    def do_advance(self, word: str) -> None:
        until = self.now + int(word)
        while due := sorted(
            (deadline, member.id)
            for member in self.members.values()
            if member.core is not None
            and (deadline := member.core.next_deadline) is not None
            and deadline <= until
        ):
            self.now = max(self.now, due[0][0])
            self.core(due[0][1]).on_timer(self.now)
            self.settle(self.members[due[0][1]])
        self.now = until

    def do_deliver(self, route: str | None = None) -> None:
        while chosen := [message for message in self.bag if route is None or self.route(message) == route]:
            for message in chosen:
                self.bag.remove(message)
                member = self.members[message.to]
                lost = member.core is None or (message.sender, message.to) in self.barred
                self.out.append(f"  {self.show(message)}{'  lost' if lost else ''}")
                if member.core is not None and not lost:
                    member.core.step(message, self.now)
                    self.settle(member)
            if route is not None:
                return

    def do_lose(self, route: str | None = None) -> None:
        for message in [message for message in self.bag if route is None or self.route(message) == route]:
            self.bag.remove(message)
            self.out.append(f"  {self.show(message)}  lost")

    def do_cut(self, *words: str) -> None:
        left, right = " ".join(words).split("|")
        for a in map(int, left.split()):
            for b in map(int, right.split()):
                self.barred |= {(a, b), (b, a)}

    def do_mend(self) -> None:
        self.barred.clear()

    def do_propose(self, word: str, *texts: str) -> None:
        index = self.core(word).propose([text.encode() for text in texts], self.now)
        self.out.append("  refused" if index is None else f"  index {index}")

    def do_join(self, word: str) -> None:
        self.members[int(word)] = Member(int(word), next(iter(self.members.values())).founders)
        self.do_restart(word)

    def do_change(self, word: str, *words: str) -> None:
        voters, _, learners = " ".join(words).partition("+")
        targets = [[int(text) for text in texts.split()] for texts in (voters, learners)]
        if not self.core(word).change_membership(targets[0], targets[1], self.now):
            self.out.append("  refused")

    def do_transfer(self, word: str, to: str) -> None:
        if not self.core(word).transfer_leadership(int(to), self.now):
            self.out.append("  refused")

    def do_read(self, word: str) -> None:
        self.core(word).read(self.now)

    def do_hint(self, word: str) -> None:
        self.core(word).on_leader_lost(self.now)

    def do_hold(self, word: str) -> None:
        self.members[int(word)].held = True

    def do_sync(self, word: str) -> None:
        member = self.members[int(word)]
        member.held = False
        for ready, messages in member.pending:
            member.write(ready)
            self.bag += messages
            self.core(word).on_durable(ready.number, self.now)
        member.pending = []

    def do_snapshot(self, word: str) -> None:
        member, core = self.members[int(word)], self.core(word)
        index = core.log.applied
        term = core.log.term_at(index)
        assert term is not None
        member.snapshot = " ".join(member.machine).encode()
        del member.entries[: index - member.base.index]
        member.base = SnapshotMeta(index, term, len(member.snapshot), core.configuration_at(index))
        core.on_snapshot_stored(member.base, index + 1)
        self.out.append(f"  snapshot {index}/{term} of {len(member.snapshot)} bytes")

    def do_crash(self, word: str) -> None:
        member = self.members[int(word)]
        member.core, member.pending = None, []

    def do_restart(self, word: str) -> None:
        member = self.members[int(word)]
        log = LogView(member.base.index, member.base.term, list(member.entries))
        snapshot = member.base if member.base.index else None
        voters, random = member.founders, FixedRandom(member.id)
        member.machine = member.snapshot.decode().split()
        member.held = False
        member.core = Raft(member.id, voters, self.config, random, log, member.hard_state, snapshot, self.now)

    def do_damage(self, word: str) -> None:
        member = self.members[int(word)]
        member.entries = []
        member.hard_state = member.hard_state._replace(damaged=True)

    def do_ruin(self, word: str) -> None:
        self.do_damage(word)
        self.members[int(word)].hard_state = HardState(damaged=True)

    def do_log(self, word: str) -> None:
        log = self.core(word).log
        shown = [f"({log.base_index}/{log.base_term})"] if log.base_index else []
        for index in range(log.base_index + 1, log.last_index + 1):
            entry = log.entries(index, index, 1)[0]
            shown.append(f"{index}/{entry.term}={show_entry(entry)}")
        self.out.append(f"  {' '.join(shown)}")

    # -- the shell's work

    def settle(self, member: Member) -> None:
        core = member.core
        while core is not None and (ready := core.ready()) is not None:
            self.bag += ready.messages_now
            if ready.snapshot is not None:
                member.machine = ready.snapshot.data.decode().split()
            for chunk in ready.chunks:
                data = member.snapshot[chunk.offset : chunk.offset + chunk.length]
                place = (chunk.index, chunk.index_term, chunk.configuration, chunk.total, chunk.offset)
                self.bag.append(SnapshotChunk(member.id, chunk.to, chunk.term, *place, data))
            for read in ready.reads:
                outcome = "fails" if read.index is None else f"may be answered after index {read.index}"
                self.out.append(f"  {member.id}: the read {outcome}")
            member.machine += [entry.data.decode() for entry in ready.committed if entry.kind == NORMAL]
            if member.held and (ready.must_write or member.pending or ready.snapshot is not None):
                member.pending.append((ready, list(ready.messages_after_durable)))
                continue
            member.write(ready)
            self.bag += ready.messages_after_durable
            core.on_durable(ready.number, self.now)

    @staticmethod
    def route(message: Message) -> str:
        return f"{message.sender}->{message.to}"

    @staticmethod
    def show(message: Message) -> str:
        parts = [f"{message.sender}->{message.to} {type(message).__name__} term {message.term}"]
        for field in fields(message):
            value = getattr(message, field.name)
            if field.name == "entries":
                texts = [f"{entry.term}={show_entry(entry)}" for entry in value]
                parts.append(f"entries [{' '.join(texts)}]")
            elif field.name == "data":
                parts.append(f"data {value.decode()!r}")
            elif field.name == "configuration":
                parts.append(f"members {show_configuration(value)}")
            elif field.name not in ("sender", "to", "term") and value != field.default:
                parts.append(f"{field.name} {value}")
        return ", ".join(parts)


def show_configuration(configuration: Configuration) -> str:
    """Voters; while joint the new and the old ones; and learners after a plus sign."""
    new, old, learners = (
        "{" + " ".join(map(str, sorted(group))) + "}"
        for group in (configuration.incoming, configuration.outgoing, configuration.learners)
    )
    text = f"{new}&{old}" if configuration.is_joint else new
    return f"{text}+{learners}" if configuration.learners else text


def show_entry(entry: Entry) -> str:
    if entry.kind == CONFIGURATION:
        return show_configuration(decode_configuration(entry.data))
    return entry.data.decode() if entry.kind == NORMAL else "noop"


def play(text: str) -> Iterator[str]:
    script = Script()
    for line in text.splitlines():
        if line.startswith("> "):
            yield line
            yield from (out.rstrip() for out in script.run(line[2:]))
        elif not line.startswith("  "):
            yield line


@pytest.mark.parametrize("name", sorted(path.stem for path in HERE.glob("*.txt")))
def test_story(name: str) -> None:
    path = HERE / f"{name}.txt"
    text = path.read_text()
    told = "".join(f"{line}\n" for line in play(text))
    if os.environ.get("REWRITE"):
        path.write_text(told)
    assert told == text
