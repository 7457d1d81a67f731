"""How the clients of librdkafka are set up.

Decides: properties that all of them share. Errors that belong to no operation (a broker is down) are not recorded:
librdkafka deals with them by itself.
"""

from __future__ import annotations

from typing import Any, Final

from odradek.jepsen.workloads.spec import WorkerSpec

_QUICK: Final[dict[str, Any]] = {
    # Nodes come back within seconds here; the library's own waits are made for machines that stay away.
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 500,
    "retry.backoff.ms": 50,
    "retry.backoff.max.ms": 500,
    "socket.connection.setup.timeout.ms": 2_000,
    "socket.timeout.ms": 5_000,
    "topic.metadata.refresh.fast.interval.ms": 100,
    "log_level": 2,
}


def common(spec: WorkerSpec) -> dict[str, Any]:
    """Properties of every client of a worker."""
    return {"bootstrap.servers": spec.bootstrap, "client.id": spec.name, **_QUICK}


def producer(spec: WorkerSpec) -> dict[str, Any]:
    """acks=all and idempotent; a record without an acknowledgement after two minutes is an info.

    So long, because librdkafka gives up its place in the sequence when a record times out, and then sends again under
    a new epoch what may have been written: from there on it is not idempotent (see `KafkaSender`).
    The log of the workers says when a producer begins a new epoch, and why.
    Options: "delivery_timeout_ms" (120000), "answer_timeout_ms" (5000): after so long a request is sent again.
    """
    answer_ms = int(spec.options.get("answer_timeout_ms", 5_000))
    return common(spec) | {
        "acks": "all",
        "enable.idempotence": True,
        "retries": 2_147_483_647,
        "message.timeout.ms": int(spec.options.get("delivery_timeout_ms", 120_000)),
        "linger.ms": 5,
        "request.timeout.ms": answer_ms,
        "socket.timeout.ms": answer_ms,
        "debug": "eos",
        "log_level": 7,
    }


def consumer(spec: WorkerSpec, group: str) -> dict[str, Any]:
    """Reads what is acknowledged everywhere, from the oldest record where nothing says otherwise."""
    return common(spec) | {
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "session.timeout.ms": 6_000,
        "heartbeat.interval.ms": 1_000,
        "fetch.wait.max.ms": 200,
        "fetch.error.backoff.ms": 50,
        "queued.max.messages.kbytes": 4_096,
    }
