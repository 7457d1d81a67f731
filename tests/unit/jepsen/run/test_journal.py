"""What the run did can be read back as events of the nemesis."""

from __future__ import annotations

import itertools
from pathlib import Path

from odradek.jepsen.history import NEMESIS, pair, read
from odradek.jepsen.run.journal import Journal


def test_faults_and_phases_are_events_of_the_nemesis_and_no_operations(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "nemesis.jsonl", itertools.count(100).__next__)
    journal.phase("load")
    journal.fault(3, "kill", "start", {"nodes": [2]})
    assert journal.healed_ns is None
    journal.fault(3, "kill", "stop", {"nodes": [2]})
    assert journal.healed_ns is not None
    journal.close()
    events = list(read(tmp_path / "nemesis.jsonl"))
    assert [(event.time, event.process, event.f) for event in events] == [
        (100, NEMESIS, "phase"),
        (101, NEMESIS, "fault"),
        (103, NEMESIS, "fault"),
    ]
    assert events[1].value == {"fault": 3, "name": "kill", "phase": "start", "nodes": [2]}
    assert pair(events) == []
