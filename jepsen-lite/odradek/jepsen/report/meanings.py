"""What each kind of anomaly means, in a sentence for a reader who has not met Jepsen's names.

Decides: words. Does not decide: which kinds are fatal (`checkers.verdict`).
"""

from __future__ import annotations

from typing import Final

MEANINGS: Final = {
    "lost-write": "A record was acknowledged and lies before one that was read, but nobody ever read it.",
    "unseen": "A record was acknowledged, and nobody had read it when the run ended.",
    "duplicate": "One record stands at two offsets of a partition.",
    "inconsistent-offsets": "Two different records were seen at one offset of a partition.",
    "G1a": "A record was read whose send had certainly failed.",
    "G1b": "A reader saw one transaction in part.",
    "G1c": "Information flowed in a circle: each of these transactions depends on another of them.",
    "G0": "Writes of two transactions are interleaved; Kafka does not isolate them.",
    "precommitted-read": "An operation read what it had itself sent and not yet committed.",
    "int-poll-skip": "One poll left out records between two that it returned.",
    "int-nonmonotonic-poll": "One poll returned records of a partition in the wrong order.",
    "int-nonmonotonic-send": "One operation sent two records, and the later one got the lower offset.",
    "int-send-skip": "Another record came between two of one transaction.",
    "poll-skip": "Between two polls a reader left out records.",
    "nonmonotonic-poll": "Between two polls a reader went backwards.",
    "nonmonotonic-send": "A producer's later record got a lower offset than its earlier one.",
    "replica-divergence": "Two replicas hold different bytes at one offset below the high watermark.",
    "server-crash": "A node's log has an exception that nobody caught, or a broken assertion.",
    "gave-up": "A checker could not decide within its limits.",
    "realtime-lag": "How far a reader was behind what was known to exist.",
    "consume-counts": "A reader received a record more than once within one subscription.",
}


def meaning_of(kind: str) -> str:
    """Empty for a kind without an entry; variants of a cycle (G1c-realtime, ...) share that of their cycle."""
    return MEANINGS.get(kind) or MEANINGS.get(kind.partition("-")[0], "")
