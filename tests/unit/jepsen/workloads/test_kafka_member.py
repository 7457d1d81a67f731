"""Members of a group through librdkafka: what they say of their partitions and commits."""

from __future__ import annotations

import pytest
from tests.unit.jepsen.workloads.conftest import Bench, at_least, records_at_least, sent

from odradek.jepsen import history
from odradek.jepsen.checkers import groups


@pytest.mark.parametrize("style", ["eager", "cooperative"])
def test_a_member_tells_what_it_has_and_commits_what_it_was_told(bench: Bench, style: str) -> None:
    topics = bench.topic(f"member-{style}")
    known = sent(bench.send(topics, 100))
    spec = bench.spec("kafka-member", topics, 50.0, group=style, style=style, life_s=60.0)
    events = bench.run(spec, records_at_least(len(known)))
    assigned, revoked = [[event for event in events if event.f == f] for f in ("assigned", "revoked")]
    assert [event.value for event in assigned] == [{"group": style, "member": spec.name, "keys": spec.keys}]
    assert sorted(key for event in revoked for key in event.value["keys"]) == spec.keys  # it left
    operations = history.pair(events)
    polls = [operation for operation in operations if operation.invoke.f == "poll"]
    assert all((poll.completion.more or {})["group"] == style for poll in polls)
    commits = [operation for operation in operations if operation.invoke.f == "commit"]
    assert commits and all(commit.type == "ok" for commit in commits)
    ends = {key: 1 + max(offset for where, offset, _ in known if where == key) for key in spec.keys}
    last: dict[str, int] = {}
    for commit in commits:
        last |= commit.invoke.value["offsets"]
    assert last == ends
    assert groups.check(operations, events) == []


def test_every_life_is_another_member(bench: Bench) -> None:
    topics = bench.topic("member-lives")
    bench.send(topics, 20)
    spec = bench.spec("kafka-member", topics, 50.0, group="lives", life_s=0.2, away_s=0.01)
    events = bench.run(spec, at_least(2, "crash", "info"))
    members = dict.fromkeys(event.process for event in events)
    assert list(members)[:2] == [spec.name, f"{spec.name}+1"]
    assert groups.check(history.pair(events), events) == []
