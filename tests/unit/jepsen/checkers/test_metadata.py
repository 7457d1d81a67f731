"""Topics that are created twice, come back, or are shown before they were made are caught; stale images are not."""

from __future__ import annotations

from random import Random
from typing import Any

from odradek.jepsen.checkers import metadata
from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.linearizability import LIMIT
from odradek.jepsen.history import Event, pair


def _named(topic_id: str | None) -> dict[str, Any]:
    return {"topic_id": topic_id} if topic_id else {}


class _Story:
    """One operation after another, unless it says when it begins and ends. The topic is t unless it says so."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._now = 0
        self._op = 0

    def do(
        self,
        f: str,
        kind: Any = "ok",
        *,
        error: str | None = None,
        at: tuple[int, int] | None = None,
        topic: str = "t",
        node: int | None = None,
        **told: Any,
    ) -> None:
        self._op += 1
        begin, end = at or (self._now + 1, self._now + 2)
        self._now = max(self._now, end)
        asked: dict[str, Any] = {"topic": topic}
        if f == "topic-config":
            asked["value"] = told.pop("value")
        if node is not None:
            asked["node"] = node
        self._events.append(Event(begin, f"p{self._op}", self._op, "invoke", f, asked))
        if kind != "lost":
            self._events.append(Event(end, f"p{self._op}", self._op, kind, f, {**asked, **told}, error))

    def create(self, kind: Any = "ok", topic_id: str | None = None, **how: Any) -> None:
        self.do("topic-create", kind, **how, **_named(topic_id))

    def delete(self, kind: Any = "ok", **how: Any) -> None:
        self.do("topic-delete", kind, **how)

    def config(self, value: int, kind: Any = "ok", **how: Any) -> None:
        self.do("topic-config", kind, value=value, **how)

    def exists(self, topic_id: str | None = None, *, node: int = 1, **how: Any) -> None:
        self.do("topic-describe", node=node, exists=True, **how, **_named(topic_id))

    def valued(self, value: int | None, *, node: int = 1, **how: Any) -> None:
        self.do("topic-describe", node=node, exists=True, value=value, **how)

    def absent(self, *, node: int = 1, **how: Any) -> None:
        self.do("topic-describe", node=node, exists=False, **how)

    def check(self, limit: int = LIMIT) -> list[Anomaly]:
        return metadata.check(pair(sorted(self._events, key=lambda event: event.time)), limit=limit)

    def kinds(self) -> list[str]:
        return [anomaly.kind for anomaly in self.check()]


def test_a_life_of_a_topic() -> None:
    story = _Story()
    story.delete("fail", error=metadata.UNKNOWN)
    story.create(topic_id="a")
    story.create("fail", error=metadata.EXISTS)
    story.config(7)
    story.delete(topic_id="a")
    story.config(8, "fail", error=metadata.UNKNOWN)
    story.create(topic_id="b")
    assert story.kinds() == []


def test_created_twice() -> None:
    story = _Story()
    story.create(topic_id="a")
    story.create(topic_id="b")
    (found,) = story.check()
    assert found.kind == "nonlinearizable-metadata"
    assert {event.f for event in found.evidence} == {"topic-create"}


def test_deleted_twice_changed_after_or_another_topic_deleted() -> None:
    story = _Story()
    story.create(topic_id="a")
    story.delete()
    story.delete()
    assert story.kinds() == ["nonlinearizable-metadata"]
    story = _Story()
    story.create(topic_id="a")
    story.delete()
    story.config(7)
    assert story.kinds() == ["nonlinearizable-metadata"]
    story = _Story()
    story.create(topic_id="a")
    story.delete(topic_id="b")
    assert story.kinds() == ["nonlinearizable-metadata"]


def test_two_at_the_same_time_and_one_that_nobody_knows_of() -> None:
    story = _Story()
    story.create(topic_id="a", at=(1, 5))
    story.delete(at=(2, 4))
    story.create("lost")
    story.delete()
    assert story.kinds() == []


def test_a_refusal_that_is_not_true() -> None:
    story = _Story()
    story.create(topic_id="a")
    story.delete()
    story.create("fail", error=metadata.EXISTS)
    assert story.kinds() == ["stale-metadata-refusal"]
    story = _Story()
    story.create(topic_id="a")
    story.delete("fail", error=metadata.UNKNOWN)
    assert story.kinds() == ["stale-metadata-refusal"]


def test_other_failures_say_nothing() -> None:
    story = _Story()
    story.create("fail", error="INVALID_REPLICATION_FACTOR")
    story.create(topic_id="a")
    assert story.kinds() == []


def test_one_id_of_two_topics() -> None:
    story = _Story()
    story.create(topic_id="a")
    story.create(topic_id="a", topic="u")
    assert story.kinds() == ["topic-id-reused"]


def test_a_search_that_was_given_up_is_told() -> None:
    story = _Story()
    for number in range(8):
        story.create("info", at=(1 + number, 50))
        story.delete(at=(1 + number, 60))
    story.delete(at=(100, 101))
    (found,) = story.check(limit=20)
    assert (found.kind, found.data["explored"]) == ("gave-up", 20)


def test_a_description_that_failed_shows_nothing() -> None:
    story = _Story()
    story.exists("a", kind="fail")
    story.absent(kind="fail")
    assert story.kinds() == []


def test_nodes_may_be_behind_but_not_go_back() -> None:
    story = _Story()
    story.create(topic_id="a")
    story.absent(node=2)
    story.exists("a", node=1)
    story.config(7)
    story.valued(None, node=1)
    story.valued(7, node=2)
    story.valued(7, node=1)
    story.delete()
    story.exists("a", node=2)
    story.absent(node=1)
    assert story.kinds() == []


def test_a_node_that_goes_back() -> None:
    story = _Story()
    story.create(topic_id="a")
    story.exists("a")
    story.absent()
    (found,) = story.check()
    assert (found.kind, found.data["node"]) == ("nonmonotonic-metadata-read", 1)
    story = _Story()
    story.create(topic_id="a")
    story.config(7)
    story.config(8)
    story.valued(8)
    story.valued(7)
    assert story.kinds() == ["nonmonotonic-metadata-read"]
    story = _Story()
    story.create(topic_id="a")
    story.delete()
    story.create(topic_id="b")
    story.exists("b")
    story.exists("a")
    assert story.kinds() == ["nonmonotonic-metadata-read"]


def test_a_node_that_goes_back_with_another_topic() -> None:
    story = _Story()
    story.create(topic_id="a")
    story.create(topic_id="u", topic="u")
    story.exists("u", topic="u")
    story.absent()
    assert story.kinds() == ["nonmonotonic-metadata-read"]


def test_a_topic_that_was_deleted_or_created_again_in_between() -> None:
    story = _Story()
    story.create(topic_id="a")
    story.exists("a")
    story.delete("info")
    story.absent()
    story.create("lost")
    story.exists("new")
    assert story.kinds() == []


def test_descriptions_at_the_same_time_may_come_in_any_order() -> None:
    story = _Story()
    story.create(topic_id="a")
    story.exists("a", at=(10, 20))
    story.absent(at=(15, 18))
    story.absent(node=2)
    assert story.kinds() == []


def test_a_value_that_came_back_by_a_write() -> None:
    story = _Story()
    story.create(topic_id="a")
    story.config(7)
    story.config(8)
    story.valued(8)
    story.config(7)
    story.valued(7)
    assert story.kinds() == []


def test_what_nobody_had_asked_for_yet() -> None:
    story = _Story()
    story.exists("a")
    story.create(topic_id="a")
    story.valued(7)
    story.config(7)
    assert story.kinds() == ["stale-metadata-read-from-the-future"] * 2


def test_what_is_being_made_may_be_shown_and_what_was_refused_may_not() -> None:
    story = _Story()
    story.create(topic_id="a", at=(1, 10))
    story.exists("a", at=(2, 3))
    story.config(7, at=(11, 20))
    story.valued(7, at=(12, 13))
    assert story.kinds() == []
    story.config(9, "fail", error=metadata.UNKNOWN, at=(1, 9))
    story.valued(9)
    assert "stale-metadata-read-from-the-future" in story.kinds()


def test_the_default_value_of_a_topic_that_was_made_anew() -> None:
    story = _Story()
    story.create(topic_id="a")
    story.config(7)
    story.valued(7)
    story.delete()
    story.create(topic_id="b")
    story.valued(None)
    assert story.kinds() == []
    story.valued(7)
    assert story.kinds() == ["nonmonotonic-metadata-read"]


def _simulated(random: Random, *, honest: bool) -> list[str]:
    """Writes and descriptions that overlap, each done at an instant within; images of nodes are a past of the log."""
    story = _Story()
    log = [{"t": metadata.Topic(), "u": metadata.Topic()}]
    image = [0, 0]
    asked = sorted((random.randrange(150), number) for number in range(40))
    instants = sorted((begin + random.randrange(1, 9), begin, number) for begin, number in asked)
    for instant, begin, number in instants:
        topic, at = random.choice("tu"), (10 * begin, 10 * instant + random.randrange(1, 60))
        node, state = number % 2, log[-1]
        image[node] = random.randrange(image[node] if honest else 0, len(log))
        f = random.choice(("create", "delete", "config", "look", "look", "look"))
        kind = random.choice(("ok", "ok", "ok", "info"))
        now = state[topic]
        if f == "look":
            shown = log[image[node]][topic]
            if not shown.exists:
                story.absent(node=node, topic=topic, at=at)
            elif random.random() < 0.5:
                story.exists(shown.topic_id, node=node, topic=topic, at=at)
            else:
                story.valued(shown.value, node=node, topic=topic, at=at)
        elif now.exists == (f == "create"):
            error = metadata.EXISTS if now.exists else metadata.UNKNOWN
            story.do(f"topic-{f}", "fail", error=error, topic=topic, at=at, value=number)
        elif kind == "ok" or random.random() < 0.5:
            after = {"create": metadata.Topic(True, f"id{number}"), "delete": metadata.Topic()}
            log.append({**state, topic: after.get(f, now._replace(value=number))})
            told = {"value": number} if f == "config" else _named(f"id{number}" if f == "create" else None)
            story.do(
                f"topic-{f}", kind, topic=topic, at=at, **(told if kind == "ok" or f == "config" else {})
            )
    return story.kinds()


def test_no_honest_cluster_is_accused_and_others_are() -> None:
    assert [kind for seed in range(40) for kind in _simulated(Random(seed), honest=True)] == []
    assert sum(bool(_simulated(Random(seed), honest=False)) for seed in range(40)) > 10
