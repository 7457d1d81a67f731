"""Members of a group through the gRPC door: what they say of their partitions and commits."""

from __future__ import annotations

from tests.unit.jepsen.workloads.conftest import Bench, at_least, records_at_least, sent

from odradek.jepsen import history
from odradek.jepsen.checkers import groups


def test_a_member_tells_what_it_has_and_commits_what_it_was_told(bench: Bench) -> None:
    topics = bench.topic("grpc-member")
    known = sent(bench.send(topics, 100))
    spec = bench.spec("grpc-member", topics, 50.0, group="through-grpc", life_s=60.0)
    events = bench.run(spec, records_at_least(len(known)))
    assigned = [event for event in events if event.f == "assigned"]
    assert sorted(assigned[0].value["keys"]) == spec.keys and assigned[0].value["member"] == spec.name
    operations = history.pair(events)
    commits = [operation for operation in operations if operation.invoke.f == "commit"]
    assert commits and all(commit.type == "ok" for commit in commits)
    last: dict[str, int] = {}
    for commit in commits:
        last |= commit.invoke.value["offsets"]
    assert last == {key: 1 + max(at for where, at, _ in known if where == key) for key in spec.keys}
    assert groups.check(operations, events) == []


def test_every_life_is_another_member(bench: Bench) -> None:
    topics = bench.topic("grpc-lives")
    spec = bench.spec("grpc-member", topics, 50.0, group="grpc-lives", life_s=0.2, away_s=0.01)
    events = bench.run(spec, at_least(2, "crash", "info"))
    members = dict.fromkeys(event.process for event in events)
    assert list(members)[:2] == [spec.name, f"{spec.name}+1"]
