"""Stories of replication, played by three nodes in one process; `ODRADEK_REWRITE=1` writes down what happens now.

A line without indentation is a command, what is indented is its output, `#` begins a remark. Commands:
    min_insync 2           at the start: min.insync.replicas of the topic (2 if it is not said)
    produce 1 a b          one record each, acks=all, at node 1; `acks1` for acks=1; answers are printed as they come
    cut 1 3 | heal         no connection between 1 and 3 | all connections are back
    crash 1 | restart 1    a power cut; the node registers anew when it comes back
    deaf 2 | hear 2        images do not come to node 2 | the newest one does
    fence 3 | unfence 3    what the controller thinks of node 3
    away 1 | back 1        node 1 cannot reach the controller | it can
    place isr=1            the controller records another in-sync set
    elect 2 isr=2,3        the controller names another leader, with the next epoch
    pass 30020             time passes, in ms
    await isr=1,2,3        go on until the in-sync set is this | `await same`: until all logs are alike
    show                   what every node knows and holds; (record) is not on its disk yet
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from tests.unit.node.partition.cluster import ClusterWorld, batch

from odradek.node.partition import follower, isr_publisher
from odradek.node.partition.partition import Partition
from odradek.node.runtime.deferred import Deferred
from odradek.proto.kafka.record_batch import iter_records
from odradek.storage.append_result import AppendResult
from odradek.storage.log_config import LogConfig

SCRIPTS = sorted(Path(__file__).parent.glob("*.txt"))


class Player:
    def __init__(self, min_insync_replicas: int) -> None:
        self.world = ClusterWorld(log_config=LogConfig(min_insync_replicas=min_insync_replicas))
        self._waiting: list[tuple[str, Deferred[list[AppendResult]]]] = []

    async def begin(self) -> None:
        self.world.create()
        parked = self.world.nodes[1].fetches._parked_followers
        await self.world.until(lambda: sum(map(len, parked.values())) == 2)

    async def play(self, line: str) -> list[str]:
        command, *words = line.split()
        await getattr(self, f"do_{command}")(*words)
        await self.world.settle(300)
        answered = [
            f"{name}: {_told(deferred.value[0])}" for name, deferred in self._waiting if deferred.done
        ]
        self._waiting = [one for one in self._waiting if not one[1].done]
        return answered + (self._show() if command == "show" else [])

    # -- commands

    async def do_produce(self, node: str, *values: str, acks: int = -1) -> None:
        for value in values:
            records = batch(1, value.encode())
            deferred = self.world.nodes[int(node)].produce(records, acks=acks, timeout_ms=10**7)
            self._waiting.append((value, deferred))

    async def do_acks1(self, node: str, *values: str) -> None:
        await self.do_produce(node, *values, acks=1)

    async def do_cut(self, one: str, other: str) -> None:
        self.world.part(int(one), int(other))

    async def do_heal(self) -> None:
        self.world.heal()

    async def do_crash(self, node: str) -> None:
        self.world.crash(int(node))

    async def do_restart(self, node: str) -> None:
        self.world.restart(int(node))

    async def do_deaf(self, node: str) -> None:
        self.world.deaf.add(int(node))

    async def do_hear(self, node: str) -> None:
        self.world.listen(int(node))

    async def do_fence(self, node: str) -> None:
        self.world.fence(int(node))

    async def do_unfence(self, node: str) -> None:
        self.world.fence(int(node), fenced=False)

    async def do_away(self, node: str) -> None:
        self.world.cut_from_controller.add(int(node))

    async def do_back(self, node: str) -> None:
        self.world.cut_from_controller.discard(int(node))

    async def do_place(self, isr: str) -> None:
        self.world.change(isr=_members(isr))

    async def do_elect(self, leader: str, isr: str) -> None:
        self.world.elect(int(leader), _members(isr))

    async def do_pass(self, ms: str) -> None:
        self.world.pass_time(int(ms))

    async def do_await(self, wanted: str) -> None:
        if wanted == "same":
            await self.world.until(
                lambda: len({str(node.content()) for node in self.world.nodes.values()}) == 1
            )
        else:
            await self.world.until(lambda: set(self.world.place().isr) == set(_members(wanted)))

    async def do_show(self) -> None:
        """Printed by `play`."""

    # -- what is printed

    def _show(self) -> list[str]:
        place = self.world.place()
        isr = ",".join(map(str, sorted(place.isr)))
        lines = [f"controller: leader {place.leader}, epoch {place.leader_epoch}, in sync {isr}"]
        for node_id, node in sorted(self.world.nodes.items()):
            partition = node.replicas.get("t", 0)
            lines.append(f"{node_id}: not opened" if partition is None else f"{node_id}: {_state(partition)}")
        return lines


def _members(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.removeprefix("isr=").split(",")))


def _told(result: AppendResult) -> str:
    return f"at {result.base_offset}" if result.error.name == "NONE" else result.error.name


def _state(partition: Partition) -> str:
    replica, log = partition.replica, partition.log
    role = f"follows {replica.leader} in epoch {replica.leader_epoch}"
    if replica.is_leader:  # what a follower knows of the high watermark is a matter of a turn more or less
        role = f"leads in epoch {replica.leader_epoch}, high watermark {replica.high_watermark}"
    held = []
    offset = log.log_start_offset
    while offset < log.log_end_offset:
        data = log.read(offset, 1, log.log_end_offset)
        assert isinstance(data, bytes | bytearray | memoryview)
        for record in iter_records(data):
            text = f"{bytes(record.value or b'').decode()}/{log.epoch_at(offset)}"
            held.append(text if offset < log.flushed_offset else f"({text})")
            offset += 1
    return f"{role}: {' '.join(held)}"


async def told(script: str) -> str:
    player: Player | None = None
    lines: list[str] = []
    for line in script.splitlines():
        if line.startswith(" "):
            continue
        lines.append(line)
        if not line or line.startswith("#"):
            continue
        if line.startswith("min_insync"):
            player = Player(int(line.split()[1]))
            await player.begin()
            continue
        if player is None:
            player = Player(2)
            await player.begin()
        lines += [f"    {printed}" for printed in await player.play(line)]
    assert player is not None, "a story without a command"
    player.world.stop()
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Pauses would be real time; without them a story is told in the same turns of the loop each time.
    monkeypatch.setattr(follower, "_RETRY_MS_MIN", 0)
    monkeypatch.setattr(isr_publisher, "RETRY_MS_MIN", 0)
    script = path.read_text()
    found = asyncio.run(told(script))
    if os.environ.get("ODRADEK_REWRITE"):
        path.write_text(found)
    assert found == script
