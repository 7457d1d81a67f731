"""Where every partition ends, as its leader says.

Decides: how the high watermarks of a healed cluster are asked for, so that the final reads know when they are done.
Does not decide: what is read (`workloads`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from typing import Protocol

from odradek.jepsen.db import requests
from odradek.jepsen.workloads.spec import split_key
from odradek.proto.kafka.errors import ErrorCode
from odradek.proto.kafka.messages.list_offsets import ListOffsetsRequest, ListOffsetsResponse
from odradek.proto.kafka.schema import Message

_LATEST, _VERSION = -1, 4
_AGAIN_S = 0.1


class Asked(Protocol):
    """`db.cluster.ServerCluster`, as far as it is needed here."""

    def leader_of(self, key: str) -> int | None: ...

    def ask(
        self, node: int, message: Message, version: int, expected: type[requests.M], timeout_s: float = 1.0
    ) -> requests.M: ...


def high_watermarks(cluster: Asked, keys: Iterable[str], timeout_s: float = 30.0) -> Mapping[str, int]:
    """{key: high watermark}, each from its leader. Raises TimeoutError that names the keys without an answer."""
    deadline = time.monotonic() + timeout_s
    left = set(keys)
    found: dict[str, int] = {}
    while left:
        for key in sorted(left):
            offset = _high_watermark(cluster, key)
            if offset is not None:
                found[key] = offset
                left.discard(key)
        if left:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no leader says where {', '.join(sorted(left))} end")
            time.sleep(_AGAIN_S)
    return found


def _high_watermark(cluster: Asked, key: str) -> int | None:
    leader = cluster.leader_of(key)
    if leader is None:
        return None
    with contextlib.suppress(OSError):
        answer = cluster.ask(leader, request(key), _VERSION, ListOffsetsResponse)
        partition = answer.topics[0].partitions[0]
        if partition.error_code == ErrorCode.NONE:
            return partition.offset
    return None


def request(key: str) -> ListOffsetsRequest:
    """For the latest offset that consumers may read."""
    topic, partition = split_key(key)
    asked = ListOffsetsRequest.ListOffsetsPartition(partition_index=partition, timestamp=_LATEST)
    named = ListOffsetsRequest.ListOffsetsTopic(name=topic, partitions=[asked])
    return ListOffsetsRequest(replica_id=-1, topics=[named])
