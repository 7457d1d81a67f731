"""Runs a story of the active controller: one verb per line at the margin, what came of it indented below.

    min N | unclean                     rules of all topics; before anything else
    topic 1,2,3 2,3,1                   topic t, with these replicas
    fence B | restart B | beat B        its session lapsed | a new process registers | a heartbeat
    leave B [not-yet]                   a heartbeat that wants to shut down; the others do not know yet
    lose B                              the only directory of B fails
    propose P 1,2                       the leader of partition P proposes an ISR
    move P 3,4 | cancel P               a reassignment
    elect P | unclean P                 ElectLeaders
    balance                             leadership goes back
    hear B | forget                     the controller hears of B for the first time | another controller is active

Partitions that changed are shown after every verb. Lines that begin with # are comments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tests.unit.node.controller.image_world import ImageWorld, broker, directory

from odradek.node.controller.balance import balance_leaders
from odradek.node.controller.brokers import settle_heard
from odradek.node.controller.elections import elect_leaders
from odradek.node.controller.image import PartitionImage
from odradek.node.controller.reassignment import alter_reassignments
from odradek.proto.kafka.errors import ErrorCode


class Wanted(NamedTuple):
    topic: str
    partition: int
    replicas: Sequence[int] | None


class Interpreter:
    def __init__(self) -> None:
        self.world = ImageWorld((1, 2, 3, 4))
        self._incarnations = 0

    def run(self, line: str) -> list[str]:
        """The lines that a verb produces."""
        verb, *words = line.split()
        before = self._partitions()
        told = getattr(self, "do_" + verb)(*words)
        lines = [told] if told else []
        for number, after in enumerate(self._partitions()):
            if number >= len(before) or before[number] != after:
                lines.append(f"{number}: {self.world.show('t', number)}")
        return lines

    def _partitions(self) -> tuple[PartitionImage, ...]:
        topic = self.world.image.topic("t")
        return () if topic is None else topic.partitions

    def do_min(self, count: str) -> None:
        self.world.rules = self.world.rules._replace(min_insync_replicas=int(count))

    def do_topic(self, *replicas: str) -> None:
        self.world.create("t", *[_ids(one) for one in replicas])

    def do_fence(self, one: str) -> None:
        self.world.fence(int(one))

    def do_restart(self, one: str) -> None:
        self._incarnations += 1
        self.world.register(broker(int(one), incarnation=self._incarnations))

    def do_beat(self, one: str) -> str:
        outcome = self.world.heartbeat(int(one))
        return "fenced" if outcome.is_fenced else "serves"

    def do_leave(self, one: str, known: str = "") -> str:
        outcome = self.world.heartbeat(int(one), want_shut_down=True, may_go=known != "not-yet")
        return "may go" if outcome.should_shut_down else "stays"

    def do_lose(self, one: str) -> str:
        outcome = self.world.heartbeat(int(one), offline_directories=[directory(int(one))])
        return "fenced" if outcome.is_fenced else "serves"

    def do_propose(self, number: str, members: str) -> str:
        return _error(self.world.propose("t", _ids(members), int(number)).error)

    def do_move(self, number: str, replicas: str) -> str:
        return self._reassign(int(number), _ids(replicas))

    def do_cancel(self, number: str) -> str:
        return self._reassign(int(number), None)

    def _reassign(self, number: int, replicas: tuple[int, ...] | None) -> str:
        moves = [Wanted("t", number, replicas)]
        (outcome,) = self.world.run(lambda image: alter_reassignments(image, moves, self.world.rules_of))
        return _error(outcome.error)

    def do_elect(self, number: str, *, unclean: bool = False) -> str:
        (outcome,) = self.world.run(
            lambda image: elect_leaders(image, [("t", int(number))], self.world.rules_of, unclean=unclean)
        )
        return _error(outcome.error)

    def do_unclean(self, number: str) -> str:
        return self.do_elect(number, unclean=True)

    def do_balance(self) -> None:
        self.world.run(lambda image: balance_leaders(image, 0, self.world.rules_of))

    def do_hear(self, one: str) -> None:
        self.world.heard |= {int(one)}
        self.world.run(lambda image: settle_heard(image, int(one), self.world.rules_of))

    def do_forget(self) -> None:
        self.world.heard = frozenset()


def play(script: str) -> str:
    """The script with what happens now."""
    interpreter = Interpreter()
    lines: list[str] = []
    for line in script.splitlines():
        if line.startswith("    "):
            continue
        lines.append(line)
        if line and not line.startswith("#"):
            lines += [f"    {told}" for told in interpreter.run(line)]
    return "\n".join(lines) + "\n"


def _ids(text: str) -> tuple[int, ...]:
    return tuple(int(one) for one in text.split(","))


def _error(error: ErrorCode) -> str:
    return "" if error is ErrorCode.NONE else error.name
