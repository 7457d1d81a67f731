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
    "G1c": "Information flowed in a circle: each of these operations read from, or was written over, the one before.",
    "G1c-realtime": "What an operation read had travelled on from one that began only after it was over.",
    "G1c-process": "A process read something that had travelled on from what it did only later.",
    "realtime-order": "A record stands before another that was known before the first was asked for.",
    "G0": "Writes of two transactions are interleaved; Kafka does not isolate them.",
    "precommitted-read": "An operation read what it had itself sent and not yet committed.",
    "int-poll-skip": "One poll left out records between two that it returned.",
    "int-nonmonotonic-poll": "One poll returned records of a partition in the wrong order.",
    "int-nonmonotonic-send": "One operation sent two records, and the later one got the lower offset.",
    "int-send-skip": "Another record came between two of one transaction.",
    "poll-skip": "Between two polls a reader left out records.",
    "nonmonotonic-poll": "Between two polls a reader went backwards.",
    "nonmonotonic-send": "A producer's later record got a lower offset than its earlier one.",
    "corrupt-record": "A record was read whose checksum is not that of what was sent.",
    "replica-divergence": "Two replicas in sync hold different bytes at one offset.",
    "replica-behind": "A replica that counts as in sync ends before records that were acknowledged.",
    "replica-missing-record": "A replica in sync lacks a record that was acknowledged.",
    "replica-duplicate": "A replica holds one record twice.",
    "replica-gap": "Offsets are missing within a replica.",
    "replica-order": "The offsets of a replica's batches do not rise.",
    "replica-corrupt": "A replica holds bytes that are no batch, or a batch whose checksum is wrong.",
    "replica-torn-tail": "A replica of a node that was stopped in order ends within a batch.",
    "replica-sequence": "A producer's sequence numbers are stored twice, or out of order.",
    "watermark-regression": "A high watermark went back for a client that had seen a higher one.",
    "log-start-regression": "The start of a log went back for a client that had seen a higher one.",
    "watermarks-crossed": "A log start lies above the high watermark beside it.",
    "acknowledged-above-watermark": "A record that was acknowledged or read lies above the high watermark.",
    "committed-offset-regression": "A group was given an offset before the one that it had committed last.",
    "commit-lost": "A committed offset that was acknowledged is gone.",
    "committed-offset-invented": "A group was given an offset that nobody had committed.",
    "failed-commit-visible": "A group was given an offset whose commit had certainly failed.",
    "ownership-overlap": "A member committed, and was acknowledged, for a partition that was another's by then.",
    "group-skip": "A record between two commits of a group was given to none of its members.",
    "torn-transaction": "A part of a transaction is visible, another part is not.",
    "aborted-visible": "A record of a transaction that certainly did not happen was read.",
    "bank-total-changed": "The balances add up to more or less than transfers under way can explain.",
    "bank-balance-wrong": "A balance is not what the transfers allow.",
    "bank-account-unknown": "An account was read that was never opened, or one is missing.",
    "compaction-lost-value": "Compaction took the latest value of a name.",
    "compaction-resurrection": "A name that was deleted shows an older value again.",
    "compaction-order": "The offsets of a compacted log do not rise.",
    "compaction-changed-record": "Compaction changed the record at an offset.",
    "compaction-invented": "A compacted log has a value that nobody wrote.",
    "compaction-tombstone-gone-early": "Compaction took a tombstone before its time.",
    "nonlinearizable-metadata": "The writes of a topic's metadata cannot have happened one at a time.",
    "stale-metadata-refusal": "A write of metadata was refused for a state that was over.",
    "topic-id-reused": "Two topics were created with one id.",
    "stale-metadata-read-from-the-future": "A node described a topic as nobody had asked for it yet.",
    "nonmonotonic-metadata-read": "A node described a topic as it was before what it had already shown.",
    "unrecovered": "After a fault was healed, a partition acknowledged nothing more.",
    "server-crash": "A node's log has an exception that nobody caught, or a broken assertion.",
    "server-ended": "A node ended though no fault ended it, or did not end when it was asked to.",
    "gave-up": "A checker could not decide within its limits.",
    "realtime-lag": "How far a reader was behind what was known to exist.",
    "consume-counts": "A reader received a record more than once within one subscription.",
}


def meaning_of(kind: str) -> str:
    """Empty for a kind without an entry; variants of a cycle (G1c-realtime, ...) share that of their cycle."""
    return MEANINGS.get(kind) or MEANINGS.get(kind.partition("-")[0], "")
