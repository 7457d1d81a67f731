"""What groups have committed, as strangers see it."""

from __future__ import annotations

from tests.unit.jepsen.workloads.conftest import Bench, at_least

from odradek.jepsen import history


def test_offsets_are_those_that_a_member_committed_and_nothing_is_null(bench: Bench) -> None:
    topics = bench.topic("committed")
    bench.send(topics, 50)
    member = bench.spec("kafka-member", topics, 50.0, group="known", life_s=60.0)
    events = bench.run(member, at_least(1, "commit"))
    last: dict[str, int | None] = dict.fromkeys(member.keys)
    for operation in history.pair(events):
        if operation.invoke.f == "commit":
            last |= operation.invoke.value["offsets"]
    spec = bench.spec("kafka-committed", topics, 50.0, groups=["known", "nobodys"])
    operations = history.pair(bench.run(spec, at_least(2, "committed")))
    told = {operation.completion.value["group"]: operation.completion.value for operation in operations}
    assert told["known"] == {"group": "known", "offsets": last}
    assert told["nobodys"] == {"group": "nobodys", "offsets": dict.fromkeys(member.keys)}
