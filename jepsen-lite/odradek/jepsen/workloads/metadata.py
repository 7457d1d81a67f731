"""What clients ask of topics: created, deleted, changed and looked at, a few names only, at any node.

Decides: the operations of the metadata workload, out of a seed. Does not decide: how they are carried out
(`kafka_admin`), nor which answers contradict each other (`checkers.metadata`). No clock, no I/O.

Values, by `f` (one request each, to one node; `more` of the invocation and of the completion has "node"):

    topic-create    {"topic": t, "partitions": n} asked; told the same, and "topic_id" (hexadecimal) where it is known
    topic-delete    {"topic": t} asked and told, with "topic_id" where it is known
    topic-config    {"topic": t, "value": n}: retention.ms of the topic becomes n, which no other operation of a run
                    asks for
    topic-describe  {"topic": t, "node": i} asked, of that node alone: it answers from what it knows, and may be behind;
                    told with "exists", and if so with "topic_id" (asked by Metadata) or "value" (asked by
                    DescribeConfigs; null for the default), not with both: each answer comes from one moment

fail is a definite answer (TOPIC_ALREADY_EXISTS, UNKNOWN_TOPIC_OR_PARTITION, ...), or a request that never left; a node
that does not answer makes an info of what changes something, and a fail of what only looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Final, NamedTuple

TOPICS: Final = ("m0", "m1", "m2", "m3")
#: Of retention.ms: 115 days and more, so that nothing is deleted for it.
FIRST_VALUE: Final = 10**10
_WEIGHTS: Final = {"topic-create": 5, "topic-delete": 3, "topic-config": 5, "topic-describe": 9}


class TopicOperation(NamedTuple):
    """`node` counts from 1, in the order of the bootstrap addresses. `by`: metadata or configs, for describe."""

    f: str
    value: dict[str, Any]
    node: int
    by: str = ""


class TopicOperations:
    """The operations of one process."""

    def __init__(self, random: Random, nodes: int, first_value: int, topics: Sequence[str] = TOPICS) -> None:
        self._random = random
        self._nodes = nodes
        self._next = FIRST_VALUE + first_value
        self._topics = topics

    def next(self) -> TopicOperation:
        random = self._random
        (f,) = random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
        node = random.randint(1, self._nodes)
        value: dict[str, Any] = {"topic": random.choice(self._topics)}
        if f == "topic-create":
            value["partitions"] = random.randint(1, 3)
        elif f == "topic-config":
            value["value"] = self._next
            self._next += 1
        elif f == "topic-describe":
            return TopicOperation(f, value | {"node": node}, node, random.choice(("metadata", "configs")))
        return TopicOperation(f, value, node)
